r"""Statistical linearisation of circuits whose transconductors have a finite linear range.

Each transconductor is replaced by the line that is nearest to it in mean square under a Gaussian input of mean m and
deviation s,

.. math:: i \approx E[i] + k (v - m), \quad k = E[di/dv],

and m and s are those of the linear circuit that this makes (Booton, IRE Transactions on Circuit Theory 1, 9, 1954). It
is exact to first order in the curvature. What is left out is stated: the share of the current's power that is no line
of v, of the transconductor that has most of it (`Linearised.distortion`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit
from spu.emulator.equations.saturating import Saturating, linearised

_STEPS, _DEPTH = 300, 6


@dataclass(frozen=True, eq=False)
class Linearised:
    """What it gives.

    Attributes
    ----------
    circuit:
        The linear circuit.
    distortion:
        The largest share of a transconductor's current power that the lines leave out.
    compression:
        The least slope of a line over g: how far the strongest driven transconductor is out of its linear range.
    """

    circuit: Circuit
    distortion: float
    compression: float


def statistically(circuit: Circuit) -> Linearised:
    """Replace transconductors by the lines that are nearest in mean square.

    Raises
    ------
    CircuitError
        As `Saturating.of`; where no lines and law are found that agree.
    """
    equation = Saturating.of(circuit)
    amplifiers = equation.amplifiers
    g, width, _ = amplifiers.values.T
    for begin in (0.0, 1.0, 3.0, 10.0, 30.0):  # what is unstable at rest may be limited by its range
        found = _agreed(equation, begin)
        if found is not None:
            mean, deviation = found
            currents, slopes, left = amplifiers.expected(mean, deviation)
            line = linearised(circuit, slopes, currents - slopes * mean)
            return Linearised(line, float(left.max(initial=0.0)), float((slopes / g).min(initial=1.0)))
    raise CircuitError(
        "statistical linearisation finds no law: the circuit is unstable, or noise is far beyond the transconductors' "
        f"linear range ({width.min():.3g} V)"
    )


def _agreed(equation: Saturating, begin: float) -> tuple[FloatArray, FloatArray] | None:
    """Means and deviations of inputs that the lines for them have, (k,) V; None where none are found.

    By Anderson's mixing of fixed-point iterations (Journal of the ACM 12, 547, 1965), on the scale of the ranges.
    """
    k = len(equation.amplifiers.values)
    scale = np.concatenate([equation.amplifiers.values[:, 1]] * 2)
    x = np.concatenate([np.zeros(k), np.full(k, begin)])
    points: list[FloatArray] = []
    gaps: list[FloatArray] = []
    for _ in range(_STEPS):
        law = _law_of_lines(equation, x[:k] * scale[:k], np.abs(x[k:]) * scale[k:])
        if law is None:
            if not points:
                return None
            x = 0.5 * (x + points[-1])  # stable there
            if np.abs(x - points[-1]).max() < 1e-12:
                return None
            continue
        gap = np.concatenate(law) / scale - x
        if np.abs(gap).max(initial=0.0) <= 1e-13 * (1.0 + np.abs(x).max(initial=0.0)):
            found = (x + gap) * scale
            return found[:k], found[k:]
        points, gaps = [*points, x][-_DEPTH:], [*gaps, gap][-_DEPTH:]
        if len(points) < 2:
            x = x + 0.5 * gap
            continue
        moves, turns = np.diff(points, axis=0).T, np.diff(gaps, axis=0).T
        weights = np.linalg.lstsq(turns, gap, rcond=1e-10)[0]
        x = x + gap - (moves + turns) @ weights
        x[k:] = np.abs(x[k:])
    return None


def _law_of_lines(
    equation: Saturating, mean: FloatArray, deviation: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Means and deviations of inputs, (k,) V, with the lines for given ones; None where a mode grows."""
    k = len(mean)
    currents, slopes, _ = equation.amplifiers.expected(mean, deviation)
    turn = slopes - equation.amplifiers.values[:, 0]
    A = equation.sde.dense.A + (equation.B * turn) @ equation.C
    if not np.linalg.eigvals(A).real.max() < 0:
        return None
    push = equation.B @ (currents - slopes * mean + turn * equation.centre[:k])
    rest = -np.linalg.solve(A, push)
    noise = equation.noise
    P = la.solve_continuous_lyapunov(A, -noise @ noise.T)
    variance = np.einsum("ij,jk,ik->i", equation.C, P, equation.C)
    return equation.C @ rest + equation.centre[:k], np.sqrt(np.maximum(variance, 0.0))
