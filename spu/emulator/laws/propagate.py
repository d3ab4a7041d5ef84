"""Exact steps of a linear SDE, of any length: the law of one step, and the response to given waveforms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.errors import NumericalFailure
from spu.emulator.equations.linear import DenseSDE
from spu.emulator.laws.reach import hushed, silent
from spu.emulator.laws.stationary import Stationary, source_gain


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


def exact_step(dense: DenseSDE, step: float, covariance: FloatArray | None = None) -> Step:
    """Transition and noise factor for a step of ``step`` seconds.

    Where states differ in energy by more than `_BAND` the step is found on scales of their own, as the stationary
    ``covariance`` (n, n) gives them: the quietest would drown in the rounding of the loudest. What no noise reaches
    gets none, and nothing from what it does reach: exactly.
    """
    A, B = dense.A, dense.B
    quiet = silent(A, B)
    size = np.ones(len(A)) if covariance is None else np.sqrt(np.maximum(np.diag(covariance), 0.0))
    there = size > 0
    if not there.any() or size[there].min() > np.sqrt(_BAND) * size.max():
        size = np.ones(len(A))
    size = np.where(there, size, size[there].min() if there.any() else 1.0)
    A, B = A / size[:, None] * size, B / size[:, None]
    transition, moved = step_law(A, B @ B.T, step / dense.time)
    transition[np.ix_(quiet, ~quiet)] = 0.0
    moved = hushed(moved, quiet)
    return Step(transition * size[:, None] / size, factor(moved) * size[:, None])


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


_BAND = 1e-8
"""Ratio of variances within which an eigenproblem on one scale keeps all digits that count."""


def factor(covariance: FloatArray) -> FloatArray:
    """A factor ``L`` with ``L L^T`` equal to a positive semidefinite matrix that may be singular, or graded.

    It is lower triangular (trapezoidal where singular), with a positive diagonal: half of it is zero, and as no other
    factor is like that, every processor finds the same one, to rounding.

    Eigenvalues below rounding (n eps of the largest) are zero: they would be noise made of rounding errors. States
    that are quieter than the loudest by more than `_BAND` come after the others, on a scale of their own: what they
    share with these, by regression on them, and what is left. So one whose variance is below the rounding of
    another's keeps it, and the rounding of the loud ones is never taken for a correlation with the quiet.
    """
    if not np.isfinite(covariance).all():
        raise NumericalFailure("the noise gathered over an interval is beyond floating-point numbers")
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    loud = size > np.sqrt(_BAND) * size.max(initial=0.0)
    if not loud.any():
        return np.zeros((len(covariance), 0))
    values, vectors = la.eigh(covariance[np.ix_(loud, loud)])
    kept = values > len(values) * np.finfo(float).eps * max(values[-1], 0.0)
    values, vectors = np.sqrt(values[kept]), vectors[:, kept]
    root = np.zeros((len(covariance), len(values)))
    root[loud] = vectors * values
    quiet = ~loud & (size > 0)
    if not quiet.any():
        return _triangular(root)
    shared = covariance[np.ix_(quiet, loud)] @ (vectors / values)
    # No more than there is of them.
    share = np.sqrt((shared**2).sum(axis=1)) / size[quiet]
    shared /= np.maximum(share, 1.0)[:, None]
    root[quiet] = shared
    rest = factor(covariance[np.ix_(quiet, quiet)] - shared @ shared.T)
    more = np.zeros((len(covariance), rest.shape[1]))
    more[quiet] = rest
    return _triangular(np.hstack([root, more]))


def _triangular(root: FloatArray) -> FloatArray:
    """The triangular factor of what ``root`` (n, r) is a factor of: each row turned, so to its own rounding."""
    (upper,) = la.qr(root.T, mode="r", check_finite=False)
    upper = upper[: root.shape[1]]
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    return np.ascontiguousarray(upper.T[:, : len(signs)] * signs)


def input_response(dense: DenseSDE, interval: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What ``interval`` seconds make of the state, of a held input and of one that rises from zero to one.

    With h the interval in units of ``dense.time``: the (n, n) matrices ``expm(A h)``,
    ``int_0^h expm(A s) ds`` and ``int_0^h expm(A (h - s)) s/h ds``, from one block exponential.
    """
    return _thirds(la.expm(_input_block(dense, interval)))


def input_response_change(
    dense: DenseSDE, change: FloatArray, interval: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What a small change of A (n, n) makes of `input_response`, to first order."""
    moved = np.zeros((3 * len(change), 3 * len(change)))
    moved[: len(change), : len(change)] = change * (interval / dense.time)
    return _thirds(np.asarray(la.expm_frechet(_input_block(dense, interval), moved, compute_expm=False)))


def _input_block(dense: DenseSDE, interval: float) -> FloatArray:
    n, h = len(dense.A), interval / dense.time
    block = np.zeros((3 * n, 3 * n))
    block[:n, :n] = dense.A * h
    block[:n, n : 2 * n] = np.eye(n) * h
    block[n : 2 * n, 2 * n :] = np.eye(n)
    return block


def _thirds(exponential: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    n = len(exponential) // 3
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


def responses(
    laws: list[Stationary], inputs: FloatArray, interval: float, *, hold: bool, from_zero: bool
) -> FloatArray:
    """(e, k + 1, p) exact responses of laws with as many states each, as `respond`."""
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
