"""What a level can see: the smallest change of one element that it finds, from the sensitivity of what it measures.

Every parameter of the circuit in turn is changed by a ten-thousandth, the exact law derived anew, and
what a level compares computed from it: a difference quotient, whose own error is of that order.
A level whose tolerance is t and whose figure moves by g for a relative change of one sees changes beyond
(t + what it found) / g for certain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spu.circuit import Circuit
from spu.emulator.law import solve
from spu.emulator.propagate import input_response
from spu.emulator.stationary import Stationary, source_gain
from spu.errors import SpuError
from spu.sde import stochastic_ode

if TYPE_CHECKING:
    from spu.crosscheck.context import Context

FloatArray = NDArray[np.float64]

CHANGE = 1e-4
"""Relative change of a parameter."""

MOST, FEW = 48, 12
"""Parameters that are tried, at most: a fair choice; and of a circuit of more than `LARGE` states."""

LARGE = 64

UNSEEN = 1e-9
"""A figure that moves by less than this per relative change does not see it, but for rounding."""


@dataclass(frozen=True, eq=False)
class Perturbed:
    """A circuit with one parameter changed by `CHANGE`: which, and its law."""

    name: str
    law: Stationary


def perturbed(circuit: Circuit, states: int) -> list[Perturbed]:
    """Laws of the circuit with one parameter changed, for a fair choice of them."""
    places = [
        (number, key, k)
        for number, group in enumerate(circuit.instances)
        for key, values in group.parameters.items()
        for k in np.flatnonzero(values)
    ]
    most = MOST if states <= LARGE else FEW
    found = []
    for index in np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)):
        number, key, k = places[index]
        group = circuit.instances[number]
        values = group.parameters[key].copy()
        values[k] *= 1.0 + CHANGE
        instances = list(circuit.instances)
        instances[number] = replace(group, parameters={**group.parameters, key: values})
        try:
            law = solve(stochastic_ode(replace(circuit, instances=instances)))
        except SpuError:  # on the edge of what the equations take
            continue
        if isinstance(law, Stationary):
            found.append(Perturbed(f"{key} of {group.names[k]}", law))
    return found


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
    from spu.crosscheck.replay import path_errors

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
    """(e, k + 1, p) exact responses of several laws with as many states each, as `spu.emulator.propagate.respond`."""
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
