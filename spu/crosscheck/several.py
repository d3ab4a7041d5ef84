"""Checks of one subject by several simulators, put together: what each found, and how far they are from one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from spu.base.arrays import ComplexArray, FloatArray
from spu.crosscheck.context import Context
from spu.crosscheck.gathering import Gathered
from spu.crosscheck.levels.kind import LevelKind
from spu.crosscheck.levels.paths import relative_distances
from spu.crosscheck.levels.transfer import relative
from spu.crosscheck.result import Check, Comparison

SAME_FREQUENCY = 1e-8
"""Relative: simulators add steps up, or multiply them."""

Run = tuple[Gathered, Check]


def further(chosen: Sequence[LevelKind], of: Gathered, *, read: bool, edited: Path | None) -> list[LevelKind]:
    """The levels that another simulator runs, too: those that say nothing of it have been run.

    Parameters
    ----------
    read:
        Whether a netlist in its language has been read by another already.
    edited:
        What is run in place of the device's own netlist: each simulator is asked what it makes of that.
    """

    def speaks(kind: LevelKind) -> bool:
        way = kind.way(of.contexts[0].dynamics)
        asks = way is not None and (bool(way.needs) or way.conclude is not None)
        return kind.netlist and (asks or edited is not None or not read)

    return [kind for kind in chosen if speaks(kind)]


def put_together(runs: Sequence[Run]) -> Check:
    """One check out of one for each simulator; the first is the one that its levels are of."""
    checks = [found for _, found in runs]
    if len(checks) == 1:
        return checks[0]
    rows = {(row.quantity, row.between): row for found in reversed(checks) for row in found.comparisons}
    order = [(row.quantity, row.between) for found in checks for row in found.comparisons]
    together = [rows[key] for key in dict.fromkeys(order)]
    pairs = [row for a, b in combinations(runs, 2) for row in _apart(a, b)]
    quantities = list(dict.fromkeys(row.quantity for row in [*together, *pairs]))
    together = [row for quantity in quantities for row in [*together, *pairs] if row.quantity == quantity]
    return replace(
        checks[0],
        means=_all([found.means for found in checks]),
        covariances=_all([found.covariances for found in checks]),
        comparisons=tuple(together),
        parts=tuple(checks),
    )


def _all(each: Sequence[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """What all name; of one name the first."""
    found: dict[str, FloatArray] = {}
    for known in each:
        found |= {name: values for name, values in known.items() if name not in found}
    return found


# --- two simulators -------------------------------------------------------------------------------


def _apart(a: Run, b: Run) -> Iterator[Comparison]:
    """How far two simulators are from one another; of an ensemble the worst programming.

    Either may be as far from the emulator as its level allows: what is allowed between the two is the sum of both.
    """
    contexts = list(zip(a[0].contexts, b[0].contexts, strict=True))
    for quantity, limits, distance in _QUANTITIES:
        allowed = [limits(found) for _, found in (a, b)]
        sizes = [distance(*pair) for pair in contexts]
        known = [size for size in sizes if size is not None]
        if known and all(limit is not None for limit in allowed):
            worst, limit = max(known), float(sum(allowed))  # type: ignore[arg-type]
            between = (a[1].simulator, b[1].simulator)
            yield Comparison(between, quantity, worst, {}, 0.0, worst, limit, bool(worst <= limit))


def _covariances(a: Context, b: Context) -> float | None:
    """Relative to the emulator's, Frobenius, in problem units."""
    if "ac" not in a.covariances or "ac" not in b.covariances:
        return None
    T = a.circuit.readout.matrix
    first, second, known = (
        np.asarray(T @ volts @ T.T) for volts in (a.covariances["ac"], b.covariances["ac"], a.law.voltage_covariance)
    )
    return float(np.linalg.norm(second - first)) / (float(np.linalg.norm(known)) or 1.0)


def _means(a: Context, b: Context) -> float | None:
    """Relative to the emulator's mean; where that is zero, to the root of the covariance's trace."""
    if "op" not in a.means or "op" not in b.means or not a.whole:
        return None
    readout = a.circuit.readout
    size = float(np.linalg.norm(readout.matrix @ a.dynamics.rest + readout.offset))
    if not size:
        size = float(np.sqrt(np.trace(readout.matrix @ a.law.voltage_covariance @ readout.matrix.T)))
    return float(np.linalg.norm(readout.matrix @ (a.means["op"] - b.means["op"]))) / (size or 1.0)


def _transfers(a: Context, b: Context) -> float | None:
    """The worst of all transfer functions, at any frequency, over its peak; of combinations over what they make."""
    if a.sweep is not None and b.sweep is not None:
        return _pointwise(a.sweep.frequencies, b.sweep.frequencies, a.sweep.measured, b.sweep.measured)
    if a.together is not None and b.together is not None and np.array_equal(a.together.signs, b.together.signs):
        return _pointwise(a.together.frequencies, b.together.frequencies, a.together.nodes, b.together.nodes)
    return None


def _pointwise(f: FloatArray, g: FloatArray, first: ComplexArray, second: ComplexArray) -> float | None:
    """Of arrays (f, p, m) at frequencies (f,)."""
    if first.shape != second.shape or np.abs(f / g - 1.0).max(initial=0.0) > SAME_FREQUENCY:
        return None
    peak = np.maximum(np.abs(first).max(axis=0), np.abs(second).max(axis=0))
    return float(relative(second - first, peak).max(initial=0.0))


def _paths(a: Context, b: Context) -> float | None:
    """The worst of all paths under the same waveform, relative to its norm about its centre."""
    pairs = [
        (one, other)
        for one, other in zip(a.paths, b.paths, strict=False)
        if np.array_equal(one.waveform, other.waveform)
    ]
    centre = a.dynamics.centre
    each = [
        relative_distances(one.voltages, other.voltages, centre(one.exact)).max(initial=0.0) for one, other in pairs
    ]
    return float(max(each)) if each else None


def _of_level(name: str, *keys: str) -> Callable[[Check], float | None]:
    """What a level allows, by a key of its data; None where it has not decided."""

    def limit(found: Check) -> float | None:
        level = found.levels.get(name)
        if level is None or level.verdict not in ("pass", "fail"):
            return None
        value = level.data
        for key in keys:
            value = value.get(key, {})
        return float(value) if isinstance(value, (int, float)) else None

    return limit


def _mean_limit(found: Check) -> float | None:
    between = ("emulator", found.simulator)
    return next((row.limit for row in found.comparisons if row.between == between and row.quantity == "mean"), None)


def _path_limit(found: Check) -> float | None:
    level = found.levels.get("replay")
    return level.tolerance if level is not None and level.verdict in ("pass", "fail") else None


_QUANTITIES: tuple[tuple[str, Callable[[Check], float | None], Callable[[Context, Context], float | None]], ...] = (
    ("covariance", _of_level("ac", "covariance_tolerance"), _covariances),
    ("mean", _mean_limit, _means),
    ("transfer functions", _of_level("ac", "worst_transfer", "tolerance"), _transfers),
    ("path", _path_limit, _paths),
)
