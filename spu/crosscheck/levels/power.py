"""What a level can see: the smallest change of one element that it finds, from the sensitivity of what it measures.

Of a fair choice of the circuit's parameters the exact law's derivatives are known (`spu.emulator.laws.sensitivity`),
and from them by how much what a level compares moves. A level whose tolerance is t and whose figure moves by g for a
relative change of one sees changes beyond (t + what it found) / g for certain: to first order, as all these changes
are small. Elements by which the equations have no derivative are changed by `CHANGE`, and the law solved anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.choice import first_largest
from spu.emulator.laws.sensitivity import CHANGE

if TYPE_CHECKING:
    from spu.crosscheck.context import Context


CHANGED = 24
"""Elements of a large circuit that are tried, at most."""

UNSEEN = 1e-9
"""A figure that moves by less than this per relative change does not see it, but for rounding."""


def smallest_change(context: Context, moved: FloatArray, allowed: float) -> dict[str, Any]:
    """The smallest relative change of one parameter that a level sees for certain.

    Parameters
    ----------
    context:
        Of the check.
    moved:
        (e,) what a relative change of one of each parameter in ``context.sensitivities`` makes of what the level
        measures.
    allowed:
        Its tolerance and what it found; of a level that fails, twice the tolerance: what it sees where all is well.

    Returns
    -------
    ``element`` for the typical (median) parameter, ``element_worst`` for the hardest to see, ``hardest``, which that
    is, and ``element_covariance``, what that change makes of the covariance (relative, Frobenius); all None where
    no parameter is seen. ``elements`` are seen, ``unseen`` not, at no change below 100 %.
    """
    found = smallest(context.sensitivities.names, moved, allowed)
    if found.get("hardest") is None:
        return found
    worst = context.sensitivities.names.index(found["hardest"])
    whole = float(np.linalg.norm(context.law.voltage_covariance))  # zero of readouts that nothing moves
    share = float(np.linalg.norm(context.sensitivities.voltage_covariance[worst])) / (whole or 1.0)
    return {**found, "element_covariance": share * found["element_worst"]}


def smallest(names: Sequence[str], moved: FloatArray, allowed: float) -> dict[str, Any]:
    """As `smallest_change`, of parameters with names; what that makes of the covariance is not worked out."""
    if not len(moved):
        return {}
    size = np.where(moved > UNSEEN, allowed / np.maximum(moved, UNSEEN), np.inf)
    seen = np.flatnonzero(size < 1.0)
    counts = {"element_covariance": None, "elements": len(seen), "unseen": len(moved) - len(seen)}
    if not len(seen):
        return {"element": None, "element_worst": None, "hardest": None, **counts}
    worst = int(seen[first_largest(size[seen])])
    return {
        "element": float(np.median(size[seen])),
        "element_worst": float(size[worst]),
        "hardest": names[worst],
        **counts,
    }


def smallest_change_of_path(
    context: Context, inputs: FloatArray, interval: float, *, hold: bool, every: int, allowed: float
) -> dict[str, Any]:
    """As `smallest_change`, where the path error is measured under given waveforms (k + 1, m) of the sources."""
    from spu.crosscheck.levels.paths import path_errors

    exact, changes = context.sensitivities.responses(inputs, interval, hold=hold, from_zero=context.from_zero)
    exact, changes = exact[::every], changes[:, ::every]
    # Of a path that is a little off: where paths start apart, it counts only beyond what level op allows.
    errors = [path_errors(context, exact + CHANGE * change, exact).max() for change in changes]
    return smallest_change(context, np.array(errors) / CHANGE, allowed)
