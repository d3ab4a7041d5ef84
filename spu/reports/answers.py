"""Answers of devices, and plans for them, in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.layout import facts, table
from spu.base.numbers import engineering, plural, share
from spu.problems.kinds import kind_of
from spu.studies.algebra.planning import Plan
from spu.studies.algebra.solution import Solution
from spu.studies.energy import Ledger

_ROWS, _COLUMNS = 12, 6
"""Of an answer that are shown."""


def solution_text(found: Solution) -> str:
    """The answer with its errors, the digital one beside it where it was asked for, and what it took."""
    made = "" if found.device is None or not found.device.architecture else f", on {found.device.architecture}"
    lines = [f"{kind_of(found.task).words}{made}", "", _answer(found), ""]
    off = f"{_share(found.relative_error)} expected (root mean square, of the answer's size)"
    if found.measured_error is not None:
        off += f"; this one is off by {_share(found.measured_error)}"
    pairs = [("error", off)]
    if found.floor is not None:
        pairs.append(("floor", _floor(found.floor)))
    pairs += _taken(found.device_time, found.burn_in, found.readouts, found.interval)
    pairs += _energy(found.energy)
    pairs.append(("seed", str(found.seed)))
    lines.append(facts(pairs))
    return "\n".join(lines)


def _answer(found: Solution) -> str:
    value, error = np.asarray(found.answer, dtype=np.float64), np.asarray(found.standard_error, dtype=np.float64)
    exact = None if found.exact is None else np.asarray(found.exact, dtype=np.float64)
    if value.ndim == 0:
        said = f"  {_pair(float(value), float(error))}"
        return said if exact is None else f"{said}   (digital {float(exact):.6g})"
    names = [str(name) for name in found.variables]
    if value.ndim == 1:
        if len(names) != len(value):
            names = [str(k + 1) for k in range(len(value))]
        rows = [[name, *_split(v, e)] for name, v, e in zip(names, value.tolist(), error.tolist(), strict=True)]
        headers = ["variable", "answer", "+-"]
        if exact is not None:
            headers.append("digital")
            rows = [[*row, f"{x:.6g}"] for row, x in zip(rows, exact.tolist(), strict=True)]
        return table(headers, rows, limit=_ROWS)
    lines = [_matrix("answer", names, value, error)]
    if exact is not None:
        lines += ["", _matrix("digital", names, exact, None)]
    return "\n".join(lines)


def _matrix(title: str, names: list[str], value: FloatArray, error: FloatArray | None) -> str:
    """A matrix with its errors, its first rows and columns where it is large."""
    columns = min(value.shape[1], _COLUMNS)

    def cell(i: int, j: int) -> str:
        return f"{value[i, j]:.6g}" if error is None else _pair(float(value[i, j]), float(error[i, j]))

    rows = [[names[i], *(cell(i, j) for j in range(columns))] for i in range(min(len(value), _ROWS))]
    shown = table([title, *names[:columns]], rows, limit=_ROWS, count=len(value))
    return (
        shown if columns == value.shape[1] else f"{shown}\n  ... and {plural(value.shape[1] - columns, 'column')} more"
    )


def _split(value: float, error: float) -> tuple[str, str]:
    """A number to two digits of its error, and that."""
    if not error > 0 or not np.isfinite(error):
        return f"{value:.6g}", "0" if error == 0 else f"{error:.2g}"
    digits = 1 - int(np.floor(np.log10(error)))
    if not -6 < np.log10(error) < 6:
        return f"{value:.6g}", f"{error:.2g}"
    return f"{value:.{max(digits, 0)}f}", f"{error:.{max(digits, 0)}f}"


def _pair(value: float, error: float) -> str:
    return " +- ".join(_split(value, error))


def _share(value: float | None) -> str:
    return "not known" if value is None else share(value)


def _floor(floor: float) -> str:
    return f"{share(floor)} that no time goes below" if floor > 1e-9 else "none: the hardware misses by rounding only"


def _taken(seconds: float, burn_in: float, readouts: int, interval: float | None) -> list[tuple[str, str]]:
    every = "" if interval is None or readouts == 1 else f", one every {engineering(interval, 's')}"
    wait = "" if not burn_in else f" from switching on, the first {engineering(burn_in, 's')} of it burn-in"
    return [("device time", engineering(seconds, "s") + wait), ("readouts", f"{readouts}{every}")]


def _energy(ledger: Ledger | None) -> list[tuple[str, str]]:
    if ledger is None:
        return []
    if ledger.total is None:
        return [("energy", "nothing of it is stated")]
    low, high = (engineering(value, "J", 2) for value in (ledger.total.low, ledger.total.high))
    left_out = f", without {', '.join(ledger.unstated)}: nobody states these" if ledger.unstated else ""
    return [("energy", f"{low} to {high}{left_out}")]


def plan_text(found: Plan) -> str:
    """When to read, how exact the answer is then, and what makes up its error."""
    made = f", on {found.architecture}" if found.architecture else ""
    pairs = [
        ("error", f"{share(found.relative_error)} (root mean square, of the answer's size)"),
        ("of scatter", share(found.statistical)),
        ("of the start", share(found.remainder)),
        ("floor", _floor(found.floor)),
        *_taken(found.device_time, found.burn_in, found.readouts, found.interval),
        ("slowest", f"{engineering(found.slowest, 's')}, the longest time constant"),
        *_energy(found.energy),
    ]
    lines = [f"{found.words}, {plural(found.n, 'variable')}{made}", "", facts(pairs)]
    if found.measured is not None:
        lines += ["", _measured(found.measured)]
    return "\n".join(lines)


def _measured(found: Any) -> str:
    headers = ["device time", "expected", f"rms of {plural(found.errors.shape[1], 'run')}", "least", "most"]
    rows = [
        [engineering(time, "s"), share(expected), share(rms), share(float(own.min())), share(float(own.max()))]
        for time, expected, rms, own in zip(
            found.time.tolist(), found.expected.tolist(), found.rms.tolist(), found.errors, strict=True
        )
    ]
    return table(headers, rows)
