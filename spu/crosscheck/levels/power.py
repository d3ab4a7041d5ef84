"""What a level can see: the smallest change of one element that it finds, from the sensitivity of what it measures.

Every parameter of the circuit in turn is changed by a ten-thousandth, the exact law derived anew, and
what a level compares computed from it: a difference quotient, whose own error is of that order.
A level whose tolerance is t and whose figure moves by g for a relative change of one sees changes beyond
(t + what it found) / g for certain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.emulator.laws.propagate import input_response
from spu.emulator.laws.sensitivity import CHANGE
from spu.emulator.laws.stationary import Stationary, source_gain

if TYPE_CHECKING:
    from spu.crosscheck.context import Context


UNSEEN = 1e-9
"""A figure that moves by less than this per relative change does not see it, but for rounding."""


def smallest_change(context: Context, figure: Callable[[Stationary], float], allowed: float) -> dict[str, Any]:
    """The smallest relative change of one parameter that a level sees for certain.

    Parameters
    ----------
    context:
        Of the check.
    figure:
        What the level measures, of a changed law; it is about zero for an unchanged one.
    allowed:
        Its tolerance and what it found; of a level that fails, twice the tolerance: what it sees where all is well.

    Returns
    -------
    ``element`` for the typical (median) parameter, ``element_worst`` for the hardest to see, ``hardest``, which that
    is, and ``element_covariance``, what that change makes of the covariance (relative, Frobenius); all None where
    no parameter is seen. ``elements`` are seen, ``unseen`` not, at no change below 100 %.
    """
    return _summary(context, [figure(each.law) for each in context.perturbed], allowed)


def smallest_change_of_path(
    context: Context, inputs: FloatArray, interval: float, *, hold: bool, every: int, allowed: float
) -> dict[str, Any]:
    """As `smallest_change`, where the figure is the path error under given waveforms (k + 1, m) of the sources."""
    from spu.crosscheck.levels.paths import path_errors

    if not context.perturbed:
        return {}
    laws = [context.law, *[each.law for each in context.perturbed]]
    paths = responses(laws, inputs, interval, hold=hold, from_zero=context.from_zero)[:, ::every]
    return _summary(context, [float(path_errors(context, path, paths[0]).max()) for path in paths[1:]], allowed)


def _summary(context: Context, figures: list[float], allowed: float) -> dict[str, Any]:
    if not figures:
        return {}
    moved = np.array(figures) / CHANGE
    size = np.where(moved > UNSEEN, allowed / np.maximum(moved, UNSEEN), np.inf)
    seen = np.flatnonzero(size < 1.0)
    counts = {"elements": len(seen), "unseen": len(figures) - len(seen)}
    if not len(seen):
        return {"element": None, "element_worst": None, "hardest": None, "element_covariance": None, **counts}
    worst = int(seen[np.argmax(size[seen])])
    hardest, P = context.perturbed[worst], context.law.voltage_covariance
    whole = float(np.linalg.norm(P))  # zero of readouts that nothing moves
    share = float(np.linalg.norm(hardest.law.voltage_covariance - P)) / (whole or 1.0) / CHANGE
    return {
        "element": float(np.median(size[seen])),
        "element_worst": float(size[worst]),
        "hardest": hardest.name,
        "element_covariance": share * float(size[worst]),
        **counts,
    }


def responses(
    laws: list[Stationary], inputs: FloatArray, interval: float, *, hold: bool, from_zero: bool
) -> FloatArray:
    """(e, k + 1, p) exact responses of laws with as many states each, as `spu.emulator.laws.propagate.respond`."""
    transitions, drives, outputs, offsets, starts = [], [], [], [], []
    for law in laws:
        dense = law.dense
        transition, flat, ramp = input_response(dense, interval)
        u = inputs @ (dense.B * source_gain(dense)).T
        drive = u[:-1] @ flat.T
        drives.append(drive if hold else drive + np.diff(u, axis=0) @ ramp.T)
        transitions.append(transition.T)
        outputs.append(dense.H.T)
        offsets.append(dense.H @ dense.mean + dense.y0)
        starts.append(-dense.mean if from_zero else np.zeros(len(dense.mean)))
    z, steps, pushes = np.array(starts)[:, None], np.array(transitions), np.array(drives)
    states = np.empty((len(laws), len(inputs), z.shape[2]))
    states[:, 0] = z[:, 0]
    for k in range(len(inputs) - 1):
        z = z @ steps + pushes[:, k, None]
        states[:, k + 1] = z[:, 0]
    return np.asarray(states @ np.array(outputs) + np.array(offsets)[:, None])
