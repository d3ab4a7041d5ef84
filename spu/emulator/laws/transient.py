"""How a linear circuit leaves a given state: the exact law of its relaxation, at any instants.

The deviation from the mean carries on by ``Phi(t) = expm(A t)``; to the covariance of the start that is left of it
comes what noise has gathered. From one instant to the next both are exact steps (`spu.emulator.laws.propagate`), so
that no small covariance is a difference of large ones. That the law comes from the stationary one by
``P(t) = P + Phi(t) (P(0) - P) Phi(t)^T`` is held at the last instant, by an exponential of the whole time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError, InternalError
from spu.circuit.stamps import listed
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.propagate import Step, exact_step
from spu.emulator.laws.stationary import Stationary

_FITS = 1e-9
"""Of the largest voltage of a start: what the states may miss it by."""

_HOLDS = 1e-8
"""Of the stationary and first deviations: what the two ways to the law at the last instant may differ by."""


def state_at(sde: StochasticODE, voltages: FloatArray) -> FloatArray:
    """(n,) energy coordinates in which the probes have given voltages (p,), V, and no current flows in inductors.

    Nodes that no probe sees are at zero volts.

    Raises
    ------
    InputError
        If the probes cannot have them: where no capacitance of its own holds a voltage.
    """
    names = list(sde.state_names)
    holding = np.flatnonzero([name.startswith("v(") for name in names])
    H = sde.H.toarray()[:, holding]
    wanted = voltages - sde.y0
    found, *_ = np.linalg.lstsq(H, wanted, rcond=None) if len(holding) else (np.zeros(0),)
    missed = np.abs(H @ found - wanted)
    size = max(float(np.abs(voltages).max(initial=0.0)), float(np.abs(sde.y0).max(initial=0.0)))
    if not (missed <= _FITS * size).all():
        cells = [str(sde.probes[int(k)]) for k in np.flatnonzero(missed > _FITS * size)]
        raise InputError(
            f"no start for {listed(cells)}: no capacitance holds that voltage by itself; give the cell one, or start "
            "at rest"
        )
    state = np.zeros(len(names))
    state[holding] = found
    return np.asarray(la.solve(sde.dense.to_state, state))


@dataclass(frozen=True, eq=False)
class TransientLaw:
    """The law of the energy coordinates at k instants.

    Attributes
    ----------
    law:
        The stationary one.
    times:
        (k,) s, not falling.
    steps, which:
        The exact steps that occur, and (k,) by which of them each instant is reached from the one before, the first
        from the start; -1 where no time passes.
    deviation:
        (k, n) of the mean from the stationary one.
    covariance:
        (k, n, n).
    start:
        (n,) deviation at the start; None of a start in the stationary law.
    """

    law: Stationary
    times: FloatArray
    steps: tuple[Step, ...]
    which: IntArray
    deviation: FloatArray
    covariance: FloatArray
    start: FloatArray | None

    @property
    def voltage_mean(self) -> FloatArray:
        """(k, p) V."""
        return np.asarray(self.law.voltage_mean + self.deviation @ self.law.dense.H.T)

    @property
    def voltage_covariance(self) -> FloatArray:
        """(k, p, p) V^2."""
        return _seen(self.law.dense.H, self.covariance)

    @property
    def mean(self) -> FloatArray:
        """(k, q) of the variables."""
        readout = self.law.sde.readout
        rows = readout.matrix @ self.law.dense.H
        return np.asarray(self.law.readout_moments[0] + self.deviation @ rows.T)

    @property
    def readout_covariance(self) -> FloatArray:
        """(k, q, q) of the variables."""
        return _seen(self.law.sde.readout.matrix @ self.law.dense.H, self.covariance)


def _seen(rows: FloatArray, covariance: FloatArray) -> FloatArray:
    found = rows @ covariance @ rows.T
    return np.asarray((found + np.swapaxes(found, 1, 2)) / 2)


def transient_law(law: Stationary, times: FloatArray, start: FloatArray | None) -> TransientLaw:
    """The law at instants (k,), s, from a state (n,), or from the stationary law (None).

    Parameters
    ----------
    law:
        The stationary law.
    times:
        Not negative, not falling.
    start:
        Energy coordinates z.

    Raises
    ------
    InternalError
        If what the steps come to is not what the whole time makes of the start.
    """
    dense, P = law.dense, law.covariance
    gaps = np.diff(times, prepend=0.0)
    lengths, which = _lengths(gaps, float(times[-1]))
    steps = tuple(exact_step(dense, float(length), P) for length in lengths)
    n = len(dense.A)
    deviation, covariance = np.zeros((len(times), n)), np.zeros((len(times), n, n))
    now = np.zeros(n) if start is None else start - dense.mean
    spread = P if start is None else np.zeros((n, n))
    noise = [step.factor @ step.factor.T for step in steps]
    first = now
    for k, number in enumerate(which):
        if number >= 0:
            phi = steps[number].transition
            now, spread = phi @ now, phi @ spread @ phi.T + noise[number]
            spread = (spread + spread.T) / 2
        deviation[k], covariance[k] = now, spread
    found = TransientLaw(law, times, steps, which, deviation, covariance, None if start is None else first)
    _hold(found)
    return found


def _lengths(gaps: FloatArray, last: float) -> tuple[FloatArray, IntArray]:
    """The different lengths (m,) of gaps (k,), and which each one is; -1 of none. Equal but for rounding is equal."""
    lengths: list[float] = []
    which = np.full(len(gaps), -1)
    rounding = 4 * np.finfo(float).eps * last
    for k in np.argsort(gaps, kind="stable").tolist():
        if gaps[k] <= 0:
            continue
        if not lengths or gaps[k] > lengths[-1] + rounding:
            lengths.append(float(gaps[k]))
        which[k] = len(lengths) - 1
    return np.array(lengths), which


def _hold(found: TransientLaw) -> None:
    """Hold the last instant against the stationary law and one exponential of the whole time."""
    dense, P = found.law.dense, found.law.covariance
    phi = np.asarray(la.expm(dense.A * (found.times[-1] / dense.time)))
    first = np.zeros((1, len(P))) if found.start is None else found.start[None]
    size = np.sqrt(np.maximum(np.diag(P), 0.0)) + np.abs(first).max(initial=0.0)
    deviation = (first @ phi.T)[0]
    apart = 0.0 if found.start is None else 1.0
    covariance = P - apart * phi @ P @ phi.T
    off = np.abs(found.deviation[-1] - deviation) - _HOLDS * size
    gap = np.abs(found.covariance[-1] - covariance) - _HOLDS * np.outer(size, size)
    if not (max(off.max(initial=-1.0), gap.max(initial=-1.0)) <= 0):
        raise InternalError("the law of a relaxation is not what its stationary law says at its last instant")
