"""Answers of devices, and plans for them, in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.layout import REST, facts, is_full, table
from spu.base.numbers import engineering, plural, share
from spu.problems.kinds import kind_of
from spu.studies.algebra.planning import Plan
from spu.studies.algebra.solution import Solution
from spu.studies.energy import Ledger, Price

_ROWS, _COLUMNS = 12, 6
"""Of an answer that are shown."""


def solution_text(found: Solution) -> str:
    """The answer with its errors, the digital one beside it where it was asked for, and what it took."""
    made = "" if found.device is None or not found.device.architecture else f", on {found.device.architecture}"
    lines = [f"{kind_of(found.task).words}{made}", "", _answer(found), ""]
    whose = _whose(found.task)
    off = f"{_share(found.relative_error)} expected (root mean square, of {whose})"
    if found.measured_error is not None:
        off += f"; this one is off by {_share(found.measured_error)}"
    pairs = [("error", off)]
    if found.floor is not None:
        pairs.append(("floor", _floor(found.floor)))
    pairs += _taken(found)
    pairs += _energy(found.energy)
    pairs.append(("seed", str(found.seed)))
    lines.append(facts(pairs))
    return "\n".join(lines)


def _whose(task: str) -> str:
    """What an error is relative to."""
    return "the determinant" if task == "determinant" else "the answer's size"


def _answer(found: Solution) -> str:
    value, error = np.asarray(found.answer, dtype=np.float64), np.asarray(found.standard_error, dtype=np.float64)
    exact = None if found.exact is None else np.asarray(found.exact, dtype=np.float64)
    if value.ndim == 0:
        said = f"  {' +- '.join(_split(float(value), float(error), _digits(error)))}"
        return said if exact is None else f"{said}   (digital {float(exact):.6g})"
    names = [str(name) for name in found.variables]
    if value.ndim == 1:
        if len(names) != len(value):
            names = [str(k + 1) for k in range(len(value))]
        digits = _digits(error)
        rows = [[name, *_split(v, e, digits)] for name, v, e in zip(names, value.tolist(), error.tolist(), strict=True)]
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
    rows, columns = value.shape if is_full() else (min(len(value), _ROWS), min(value.shape[1], _COLUMNS))
    digits = None if error is None else _digits(error[:rows, :columns])

    def cell(i: int, j: int) -> str:
        return f"{value[i, j]:.6g}" if error is None else " +- ".join(_split(value[i, j], error[i, j], digits))

    cells = [[names[i], *(cell(i, j) for j in range(columns))] for i in range(rows)]
    shown = table([title, *names[:columns]], cells, limit=_ROWS, count=len(value))
    return (
        shown
        if columns == value.shape[1]
        else f"{shown}\n  ... and {plural(value.shape[1] - columns, 'column')} more ({REST})"
    )


def _digits(errors: FloatArray) -> int | None:
    """Decimals that show two digits of the least error; None where numbers are better written otherwise."""
    there = errors[np.isfinite(errors) & (errors > 0)]
    if not there.size or not 1e-6 < there.min() <= there.max() < 1e6:
        return None
    return max(1 - int(np.floor(np.log10(there.min()))), 0)


def _split(value: float, error: float, digits: int | None) -> tuple[str, str]:
    """A number and its error."""
    if digits is None:
        return f"{value:.6g}", f"{error:.2g}"
    return f"{value:.{digits}f}", f"{error:.{digits}f}"


def _share(value: float | None) -> str:
    return "not known" if value is None else share(value)


def _floor(floor: float) -> str:
    return f"{share(floor)} that no time goes below" if floor > 1e-9 else "none: the hardware misses by rounding only"


def _taken(found: Solution | Plan) -> list[tuple[str, str]]:
    """Device time and readouts."""
    seconds, burn_in = engineering(found.device_time, "s"), engineering(found.burn_in, "s")
    if found.interval is None:
        said = f"{seconds}, runs of the ramp up and down, of which each pair rests {burn_in}"
        return [("device time", said), ("readouts", f"{found.readouts}, before each jump of each run")]
    every = "" if found.readouts == 1 else f", one every {engineering(found.interval, 's')}"
    said = f"{seconds} from switching on, the first {burn_in} of it burn-in"
    return [("device time", said), ("readouts", f"{found.readouts}{every}")]


def _energy(ledger: Ledger | None) -> list[tuple[str, str]]:
    if ledger is None:
        return []
    said = "nothing of it is stated"
    if ledger.total is not None:
        left_out = f", without {', '.join(ledger.unstated)}: nobody states these" if ledger.unstated else ""
        said = f"{_between(ledger.total, 'J')}{left_out}"
    return [("energy", said), *_loading(ledger), *_digital(ledger)]


def _between(price: Price, unit: str) -> str:
    low, high = (engineering(value, unit, 2) for value in (price.low, price.high))
    return low if low == high else f"{low} to {high}"


def _loading(ledger: Ledger) -> list[tuple[str, str]]:
    """How long loading the codes takes."""
    codes = next((line.count for line in ledger.lines if line.item == "programming"), None)
    if not codes:
        return []
    time = ledger.programming_time
    took = "nobody states how long one takes" if time is None else _between(time, "s")
    return [("programming", f"{codes:.6g} codes to load: {took}")]


def _digital(ledger: Ledger) -> list[tuple[str, str]]:
    """What the digital reference takes."""
    if not ledger.methods:
        return []
    best, rate = ledger.methods[0], ledger.assumptions["digital_rate"].price
    drawn = "" if best.samples is None else f" for {best.samples:.3g} independent samples"
    parts = [f"{best.flops:.3g} operations"]
    if rate is not None:
        parts.append(_between(Price(best.flops / rate.high, best.flops / rate.typical, best.flops / rate.low), "s"))
    if ledger.reference_total is not None:
        parts.append(_between(ledger.reference_total, "J"))
    return [("digital", f"{best.name}{drawn}: {', '.join(parts)}")]


def plan_text(found: Plan) -> str:
    """When to read, how exact the answer is then, and what makes up its error."""
    made = f", on {found.architecture}" if found.architecture else ""
    pairs = [
        ("error", f"{share(found.relative_error)} (root mean square, of {_whose(found.task)})"),
        ("of scatter", share(found.statistical)),
        ("of the start", share(found.remainder)),
        ("floor", _floor(found.floor)),
        *_taken(found),
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
