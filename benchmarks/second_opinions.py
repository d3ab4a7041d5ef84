"""The example devices and networks under every simulator that is there, beside the emulator and one another.

python benchmarks/second_opinions.py [--only NAME]... [--simulator NAME]... [--level NAME]... [--json FILE]

For each device the worst of all transfer functions at any frequency (over its peak), of networks the transfer curves
of level op, and the paths under the same noise: emulator against each simulator, and simulators against one another.
Transfer functions and curves are held to 1e-5; of paths what is left is the time step, which level replay judges.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import spu
from spu.base.layout import table
from spu.spice.simulators import SIMULATORS

HERE = Path(__file__).resolve().parent
MOST = 1e-5
LEVELS = ("op", "ac", "replay")
LONGEST = 120.0
"""s for a run of a simulator."""


def from_emulator(found: spu.Check) -> dict[str, float]:
    """What a simulator's check measured against the emulator, by quantity."""
    quantities: dict[str, float] = {}
    for name, level in found.levels.items():
        if level.verdict in ("pass", "fail", "inconclusive") and level.error is not None:
            worst = level.data.get("worst_transfer")
            if name == "ac" and worst is not None:
                quantities["transfer functions"] = worst["error"]
            elif name == "op":
                quantities["curves" if "points" in level.data else "mean"] = level.error
            elif name == "replay":
                quantities["path"] = level.error
    return quantities


def looked_at(device: spu.Device, simulators: list[str], levels: tuple[str, ...]) -> dict[str, Any]:
    """One device under all simulators."""
    started = time.perf_counter()
    try:
        found = spu.check(device, simulator=simulators, levels=levels, time_limit=LONGEST)
    except spu.SpuError as error:
        return {"error": str(error), "seconds": time.perf_counter() - started}
    against: dict[str, dict[str, float]] = {}
    for each in found.each:
        for quantity, value in from_emulator(each).items():
            against.setdefault(quantity, {})[each.simulator] = value
    for row in found.comparisons:
        if set(row.between) <= set(simulators):
            against.setdefault(row.quantity, {})[" - ".join(row.between)] = row.found
    return {
        "verdict": found.verdict,
        "against": against,
        "said": {
            each.simulator: {name: level.message for name, level in each.levels.items() if level.verdict != "pass"}
            for each in found.each
        },
        "versions": {each.simulator: each.version for each in found.each},
        "seconds": time.perf_counter() - started,
    }


def main() -> int:
    """Print the table; exit status 1 if anything that is held to `MOST` is beyond it."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--only", action="append", metavar="NAME")
    arguments.add_argument("--simulator", action="append", metavar="NAME")
    arguments.add_argument("--level", action="append", metavar="NAME")
    arguments.add_argument("--json", metavar="FILE")
    given = arguments.parse_args()
    simulators = given.simulator or [name for name, each in SIMULATORS.items() if each.available()]
    missing = [name for name in SIMULATORS if name not in simulators]
    for name in simulators:
        print(f"{name}: version {SIMULATORS[name].version()}")
    print(f"not there, or not asked for: {', '.join(missing) or 'none'}\n")
    devices = runpy.run_path(str(HERE.parent / "netlists" / "regenerate.py"))["devices"]()
    columns = [*simulators, *(" - ".join(pair) for pair in combinations(simulators, 2))]
    results, rows, beyond = {}, [], []
    for name, device in devices.items():
        if given.only and name not in given.only:
            continue
        result = results[name] = looked_at(device, simulators, tuple(given.level or LEVELS))
        if given.json:  # each as it is there: the whole takes a while
            Path(given.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
        print(f"{name}: {result.get('verdict', 'error')} in {result['seconds']:.0f} s", file=sys.stderr, flush=True)
        if "error" in result:
            rows.append((name, "", result["error"][:60], *[""] * len(columns)))
            continue
        for quantity, found in result["against"].items():
            values = [f"{found[column]:.1e}" if column in found else "" for column in columns]
            rows.append((name, quantity, result["verdict"], *values))
            held = quantity in ("transfer functions", "curves")
            beyond += [
                f"{name}, {quantity}, {column}: {value:.1e}" for column, value in found.items() if held and value > MOST
            ]
    print(table(["device", "quantity", "verdict", *columns], rows, left=3))
    for name, result in results.items():
        for simulator, said in result.get("said", {}).items():
            for level, message in said.items():
                print(f"{name}, {simulator}, {level}: {message}")
    print(f"\nbeyond {MOST:g}: {'; '.join(beyond) or 'nothing'}")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
