"""The one place that steps: exact propagation of a linear SDE, at any step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
from numpy.typing import ArrayLike, NDArray

from spu.emulator.noise import NormalStreams
from spu.emulator.stationary import Stationary, source_gain
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
    """Transition and noise factor for a step of ``step`` seconds.

    The covariance ``int_0^h expm(A s) B B^T expm(A^T s) ds`` is found by Van Loan's block
    exponential (1978) at ``h / 2^k``, where nothing can overflow or cancel, and doubled up:
    ``Q_2h = Q_h + Phi_h Q_h Phi_h^T`` adds positive semidefinite matrices only.
    """
    n = len(dense.A)
    h = step / dense.time
    doublings = max(0, int(np.ceil(np.log2(max(np.abs(dense.A).sum(axis=1).max() * h, 1e-300)))) + 1)
    small = h / 2.0**doublings
    block = np.zeros((2 * n, 2 * n))
    block[:n, :n] = -dense.A
    block[:n, n:] = dense.B @ dense.B.T
    block[n:, n:] = dense.A.T
    exponential = la.expm(block * small)
    transition = exponential[n:, n:].T
    covariance = transition @ exponential[:n, n:]
    for _ in range(doublings):
        covariance = covariance + transition @ covariance @ transition.T
        transition = transition @ transition
    return Step(transition, factor((covariance + covariance.T) / 2))


def factor(covariance: FloatArray) -> FloatArray:
    """A factor ``L`` with ``L L^T`` equal to a positive semidefinite matrix that may be singular.

    Eigenvalues below rounding (n eps of the largest) are zero: they would be noise made of
    rounding errors.
    """
    values, vectors = la.eigh(covariance)
    kept = values > len(values) * np.finfo(float).eps * max(values[-1], 0.0)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def trajectories(
    law: Stationary, *, steps: int, interval: float, streams: NormalStreams, count: int, chunk: int = 256
) -> Iterator[FloatArray]:
    """Exact trajectories started in the stationary law, chunk by chunk.

    Parameters
    ----------
    law:
        The stationary law.
    steps:
        Readouts of each trajectory.
    interval:
        Seconds between readouts.
    streams:
        Random numbers, one stream a trajectory.
    count:
        Number of trajectories.
    chunk:
        Readouts handed over at a time; changes no bit of the result.

    Yields
    ------
    (k, count, p) arrays of probe voltages, V, k <= chunk.
    """
    dense = law.dense
    start = factor(law.covariance)
    step = exact_step(dense, interval)
    offset = dense.H @ dense.mean + dense.y0
    z = streams.draw(1, start.shape[1])[0] @ start.T
    done = 0
    while done < steps:
        size = min(chunk, steps - done)
        fresh = streams.draw(size if done else size - 1, step.factor.shape[1])
        kicks = fresh @ step.factor.T
        states = np.empty((size, count, len(dense.A)))
        first = 0
        if not done:
            states[0] = z
            first = 1
        for k in range(first, size):
            z = z @ step.transition.T + kicks[k - first]
            states[k] = z
        done += size
        yield states @ dense.H.T + offset


def independent_samples(law: Stationary, *, samples: int, streams: NormalStreams) -> FloatArray:
    """Independent draws of the probes from the stationary law, (samples, p), V."""
    root = factor(law.voltage_covariance)
    return np.asarray(streams.draw(samples, root.shape[1])[:, 0] @ root.T + law.voltage_mean)


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
