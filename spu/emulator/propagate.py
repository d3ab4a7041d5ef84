"""Exact steps of a linear SDE, of any length: the law of one step, and the response to given waveforms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
from numpy.typing import ArrayLike, NDArray

from spu.emulator.stationary import source_gain
from spu.errors import NumericalFailure
from spu.sde import DenseSDE

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Step:
    """The exact law of one step: ``z' - mean ~ N(transition @ (z - mean), factor @ factor.T)``.

    Attributes
    ----------
    transition:
        (n, n), ``expm(A h)``.
    factor:
        (n, r) with r <= n: the step's covariance may be singular.
    """

    transition: FloatArray
    factor: FloatArray


def exact_step(dense: DenseSDE, step: float) -> Step:
    """Transition and noise factor for a step of ``step`` seconds."""
    transition, covariance = step_law(dense.A, dense.B @ dense.B.T, step / dense.time)
    return Step(transition, factor(covariance))


def step_law(A: FloatArray, Q: FloatArray, h: float) -> tuple[FloatArray, FloatArray]:
    """``expm(A h)`` and ``int_0^h expm(A s) Q expm(A^T s) ds``, both (..., n, n), for A and Q (..., n, n).

    The integral is found by Van Loan's block exponential (1978) at ``h / 2^k``, where nothing can
    overflow or cancel, and doubled up: ``Q_2h = Q_h + Phi_h Q_h Phi_h^T`` adds positive
    semidefinite matrices only.
    """
    n = A.shape[-1]
    doublings = max(0, int(np.ceil(np.log2(max(np.abs(A).sum(axis=-1).max() * h, 1e-300)))) + 1)
    block = np.zeros((*A.shape[:-2], 2 * n, 2 * n))
    block[..., :n, :n] = -A
    block[..., :n, n:] = Q
    block[..., n:, n:] = np.swapaxes(A, -1, -2)
    exponential = la.expm(block * (h / 2.0**doublings))
    transition = np.swapaxes(exponential[..., n:, n:], -1, -2)
    covariance = transition @ exponential[..., :n, n:]
    for _ in range(doublings):
        covariance = covariance + transition @ covariance @ np.swapaxes(transition, -1, -2)
        transition = transition @ transition
    return transition, (covariance + np.swapaxes(covariance, -1, -2)) / 2


def factor(covariance: FloatArray) -> FloatArray:
    """A factor ``L`` with ``L L^T`` equal to a positive semidefinite matrix that may be singular.

    Eigenvalues below rounding (n eps of the largest) are zero: they would be noise made of
    rounding errors.
    """
    if not np.isfinite(covariance).all():
        raise NumericalFailure("the noise gathered over an interval is beyond floating-point numbers")
    values, vectors = la.eigh(covariance)
    kept = values > len(values) * np.finfo(float).eps * max(values[-1], 0.0)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def input_response(dense: DenseSDE, interval: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What ``interval`` seconds make of the state, of a held input and of one that rises from zero to one.

    With h the interval in units of ``dense.time``: the (n, n) matrices ``expm(A h)``,
    ``int_0^h expm(A s) ds`` and ``int_0^h expm(A (h - s)) s/h ds``, from one block exponential.
    """
    n, h = len(dense.A), interval / dense.time
    block = np.zeros((3 * n, 3 * n))
    block[:n, :n] = dense.A * h
    block[:n, n : 2 * n] = np.eye(n) * h
    block[n : 2 * n, 2 * n :] = np.eye(n)
    exponential = la.expm(block)
    return exponential[:n, :n], exponential[:n, n : 2 * n], exponential[:n, 2 * n :]


def respond(
    dense: DenseSDE, inputs: ArrayLike, interval: float, *, hold: bool, start: FloatArray | None = None
) -> FloatArray:
    """Exact response of the probes to given waveforms of the unit noise sources.

    Parameters
    ----------
    dense:
        The equation; its noise is replaced by the waveforms.
    inputs:
        (k + 1, m) volts of the unit noise sources at multiples of ``interval`` (s).
    hold:
        True: each value is held until the next, and an algebraic probe shows the one that begins;
        False: straight lines join them.
    start:
        (n,) deviation of the state from its mean at the start; zero unless given.

    Returns
    -------
    (k + 1, p) probe voltages at the same instants, V.
    """
    n = len(dense.A)
    u = np.asarray(inputs, dtype=np.float64) @ (dense.B * source_gain(dense)).T
    transition, flat, ramp = input_response(dense, interval)
    drive = u[:-1] @ flat.T
    if not hold:
        drive = drive + np.diff(u, axis=0) @ ramp.T
    z = np.zeros(n) if start is None else np.asarray(start, dtype=np.float64)
    states = np.empty((len(u), n))
    states[0] = z
    for k, push in enumerate(drive):
        z = transition @ z + push
        states[k + 1] = z
    direct = np.asarray(inputs, dtype=np.float64) @ (dense.D * source_gain(dense)).T
    return np.asarray(states @ dense.H.T + dense.H @ dense.mean + dense.y0 + direct)
