"""The table of docs/benchmarks.md: a column for each class of processor that was measured.

    make bench BENCH="--column NAME"   runs everything, writes benchmarks/measured/NAME.json and the table
    python benchmarks/columns.py       writes the table anew from what lies in benchmarks/measured/

A column is what one run found, whole, and is committed with the table. Columns stand in the order in which they were
taken; one that a newer version has made useless is removed by removing its file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).parent / "measured"

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

BEGIN, END = "<!-- written by benchmarks/columns.py -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes
    ----------
    text:
        What is compared with what.
    keys:
        Of the rows (`harness.Row.key`) whose figures stand side by side in it.
    unit:
        Behind each figure.
    """

    text: str
    keys: tuple[str, ...]
    unit: str = "x"


LINES = (
    Line("exact step, 16 states, 1,024 trajectories: thermox as documented, one trajectory", ("thermox documented",)),
    Line("the same: thermox vmapped and compiled, preprocessing outside", ("thermox batch",)),
    Line("the same: batched numpy, PCG64", ("numpy batch",)),
    Line("share of the machine's limit, 16 / 256 / 2,048 states", ("limit 16", "limit 256", "limit 2048"), ""),
    Line("time to a 1 % covariance by trajectory, 8 cells: ngspice with noise sources", ("ngspice",)),
    Line("state update of the nominal 1,000-cell SPU, by modes: dense numpy", ("modal",)),
    Line(
        "compile + predict, 1,000 cells on a grid / all to all: times as long as `numpy.linalg.eigh`",
        ("compile grid", "compile all to all"),
        "",
    ),
    Line(
        "predict, 200 / 1,000 scattered cells: `scipy.linalg.solve_continuous_lyapunov`",
        ("predict 200", "predict 1000"),
    ),
    Line(
        "Euler-Maruyama step of a network of 32 / 1,000 quartic units: numpy",
        ("network 32 numpy", "network 1000 numpy"),
    ),
    Line("the same: diffrax, compiled", ("network 32 diffrax", "network 1000 diffrax")),
    Line("the same in single precision: numpy in double precision", ("network 32 single", "network 1000 single")),
    Line("share of the machine's limit, 32 / 1,000 quartic units", ("network 32 limit", "network 1000 limit"), ""),
    Line(
        "single precision, 74 / 1,296 units that learn: torch, a plain loop on the CPU",
        ("learning 74 torch", "learning 1296 torch"),
    ),
    Line("share of the machine's limit, the same", ("learning 74 limit", "learning 1296 limit"), ""),
    Line("first `spu simulate` of a fresh install, the demo's", ("first run",), " s"),
    Line(
        "a netlist of 3,000 RC sections: `spu predict` / `spu check` at `op` and `ac`",
        ("chain predict", "chain check"),
        " s",
    ),
    Line(
        "exact laws of 10,000 boards of 8 cells: a loop over `scipy.linalg.solve_continuous_lyapunov`",
        ("laws of boards",),
    ),
    Line("a yield of boards solved one at a time, two workers of one thread: one worker", ("two workers",)),
)


def figure(value: float | None, unit: str) -> str:
    """A figure of the table: two digits, or a dash where there is none."""
    if value is None:
        return "-"
    if value >= 10:
        return f"{float(f'{value:.2g}'):,.0f}{unit}"
    if value < 1:
        return f"{value:.2f}{unit}"
    return f"{value:.{3 if value < 1.15 else 2}g}{unit}"  # on which side of 1 is what one wants to know


def columns() -> list[dict[str, Any]]:
    """What was measured, oldest first."""
    found = [json.loads(path.read_text()) for path in sorted(MEASURED.glob("*.json"))]
    return sorted(found, key=lambda each: str(each["taken"]))


def table() -> str:
    """The table in Markdown."""
    runs = columns()
    values = [{row["key"]: row["value"] for row in run["rows"] if row.get("key")} for run in runs]
    lines = [["case", *(run["machine"]["label"] for run in runs)], ["---"] * (len(runs) + 1)]
    for line in LINES:
        cells = []
        for known in values:
            figures = [figure(known.get(key), line.unit) for key in line.keys]
            cells.append("-" if set(figures) == {"-"} else " / ".join(figures))
        lines.append([line.text, *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write(page: Path = PAGE) -> None:
    """Put the table in its place on the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + BEGIN + table() + END + after)


if __name__ == "__main__":
    write()
