"""Runs of readouts that an acquisition takes: samples on its clock, read by its converters, held against their law.

What the guard (`spu.emulator.runs.guard`) says of a run at the converters holds of it here, too. What is read is
bounded, so that Bernstein's inequality over independent trajectories bounds chance:

    log P(|S - E S| > t) <= log 2 - c t^2 / 2 (v + b t / 3)

of the average S over c trajectories of averages within b of their expectation and of variance v. Two readings that
are apart are functions of normal vectors whose largest correlation r of any two combinations is known, so that a
covariance of functions g of them is at most r times the variance of g (Gebelein, Z. angew. Math. Mech. 21:364, 1941):
v is at most ``Var g / n^2 sum_kl r(k - l)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import OptionError, UsageError
from spu.circuit.acquisition import Acquisition
from spu.emulator.laws.acquired import Acquired
from spu.emulator.laws.propagate import factor
from spu.emulator.laws.spectra import correlations
from spu.emulator.runs.guard import Tests

_UNBOUNDED = 12.0
"""Standard deviations within which voltages that nothing clips are taken to be: beyond lies one of 1e32."""

_MOST_LAGS = 20_000

_ROUNDING = 1e-9
"""Of a standard deviation: laws are not known better, and no deviation below it counts."""

_CONVERTER, _CLOCK = 71, 72
"""Streams of random numbers: of converters' noise, of their clock and what jitters with it."""


def on_clock(acquisition: Acquisition, interval: float | None) -> float | None:
    """Seconds between readouts: of the clock where there is one, unless a multiple of that is asked for.

    Raises
    ------
    OptionError
        If it is none.
    """
    period = acquisition.interval
    if period is None or interval is None:
        return interval if period is None else period
    count = round(interval / period)
    if count < 1 or abs(count * period - interval) > 1e-6 * period:
        raise OptionError(
            "interval",
            f"of {interval:.6g} s is no whole number of samples, which are {period:.6g} s apart: "
            f"{max(1, count) * period:.6g} s would do",
        )
    return count * period


def jittered_paths(
    read: Acquired,
    *,
    interval: float,
    trajectories: int,
    steps: int,
    seed: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> FloatArray:
    """(trajectories, steps, p) V: deviations at ``(k + 1) interval`` and the clock's errors, exactly.

    Every trajectory has a clock of its own. Its samples are drawn in the order of time, which jitter may change, each
    from the one before by the exact step of the time between them.
    """
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_CLOCK,)))
    law, dense = read.dense, read.dense.dense
    errors = read.acquisition.jitter * rng.standard_normal((trajectories, steps))
    times = interval * (1.0 + np.arange(steps)) + errors
    order = np.argsort(times, axis=1)
    gaps = np.diff(np.take_along_axis(times, order, axis=1), axis=1) / dense.time
    P = law.covariance
    root = factor(P)
    rows = np.arange(trajectories)
    found = np.empty((trajectories, steps, len(dense.H)))
    state = rng.standard_normal((trajectories, root.shape[1])) @ root.T
    for k in range(steps):
        if k:
            if interrupted():
                raise KeyboardInterrupt
            step = la.expm(dense.A * gaps[:, k - 1, None, None])
            noise = P - step @ P @ np.swapaxes(step, 1, 2)
            values, vectors = np.linalg.eigh(0.5 * (noise + np.swapaxes(noise, 1, 2)))
            # The symmetric root: it is the same whatever eigenvectors a processor finds.
            root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ np.swapaxes(vectors, 1, 2)
            kicks = rng.standard_normal((*values.shape, 1))
            state = (step @ state[:, :, None] + root @ kicks)[:, :, 0]
        found[rows, order[:, k]] = state @ dense.H.T
    return found


def readings(read: Acquired, deviations: FloatArray, seed: int) -> FloatArray:
    """(m, k, p) V: what is read where voltages at the converters deviate so much (m, k, p) from their mean."""
    volts = deviations + read.law.voltage_mean
    if read.acquisition.noise:
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_CONVERTER,)))
        volts = volts + read.acquisition.noise * rng.standard_normal(volts.shape)
    return read.acquisition.read(volts)


@dataclass(frozen=True, eq=False)
class Counted:
    """Statistics of readings, V but for the errors, which are of the variables, by their scatter between blocks.

    Attributes
    ----------
    mean, covariances:
        (p,) and (lags + 1, p, p) about it.
    mean_error, covariance_errors:
        (q,) and (lags + 1, q, q) standard errors.
    """

    mean: FloatArray
    covariances: FloatArray
    mean_error: FloatArray
    covariance_errors: FloatArray


_BLOCKS = 16
"""At least so many, of whole trajectories, or parts of them, tell errors."""


def counted(readouts: FloatArray, transform: FloatArray, lags: list[int]) -> Counted:
    """Count readings (m, k, p) V; ``transform`` (q, p) makes variables of them.

    Raises
    ------
    UsageError
        If there are too few for error bars.
    """
    many, steps, _ = readouts.shape
    mean = readouts.mean(axis=(0, 1))
    away = readouts - mean
    parts = max(1, -(-_BLOCKS // many))
    length = steps // parts
    if length <= max(lags):
        raise UsageError(
            f"{steps} readouts of each of {many} trajectories are too few for error bars of what a converter reads: "
            f"take more than {parts * (max(lags) + 1)} each, or {_BLOCKS} trajectories"
        )
    blocks = away[:, : parts * length].reshape(many * parts, length, -1) @ transform.T
    count = len(blocks)
    mean_error = blocks.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(count)
    covariances, errors = [], []
    for lag in lags:
        later, earlier = away[:, lag:], away[:, : steps - lag]
        covariances.append(np.einsum("mki,mkj->ij", later, earlier) / (many * (steps - lag)))
        each = np.einsum("bki,bkj->bij", blocks[:, lag:], blocks[:, : length - lag]) / (length - lag)
        errors.append(each.std(axis=0, ddof=1) / np.sqrt(count))
    return Counted(mean, np.array(covariances), mean_error, np.array(errors))


def hold_acquired(read: Acquired, readouts: FloatArray, interval: float) -> None:
    """Hold means and covariances of readings (m, k, p) V at one instant against their law.

    Raises
    ------
    InternalError
        If they are beyond chance.
    """
    law, acquisition = read.law, read.acquisition
    many, steps, width = readouts.shape
    if not interval:  # independent draws: each is a trajectory
        many, steps = many * steps, 1
    mean, covariance = read.voltage_mean, read.voltage_covariance
    deviation = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    if acquisition.full_scale is not None:
        low, high = acquisition.limits
        bound = np.maximum(mean - low, high - mean)
    else:
        bound = _UNBOUNDED * deviation
    away = readouts.reshape(-1, width) - mean
    names = law.sde.probes
    share = _shared(read, interval, steps)
    tests = Tests()
    tests.require("readings are not finite", bool(np.isfinite(readouts).all()))
    if acquisition.full_scale is not None:
        off = np.abs(readouts).max(initial=0.0) > acquisition.limits[1] * (1 + 1e-12)
        tests.require("a reading is beyond full scale", not off)
    gap = np.abs(away.mean(axis=0)) - _ROUNDING * deviation
    tests.add(
        _bernstein(gap, share * deviation**2, bound, many),
        lambda k: f"the mean of what is read of {names[k]} is off by {gap[k]:.3g} V",
    )
    fourth = bound**2 * deviation**2  # E d^4 at most
    if acquisition.full_scale is None:
        fourth = 3.0 * deviation**4
    rows, columns = np.triu_indices(width)
    products = away.T @ away / len(away)
    gaps = np.abs(products - covariance)[rows, columns] - _ROUNDING * (deviation[rows] * deviation[columns])
    tests.add(
        _bernstein(gaps, share * np.sqrt(fourth[rows] * fourth[columns]), 2.0 * bound[rows] * bound[columns], many),
        lambda k: f"the covariance of what is read of {names[rows[k]]} and {names[columns[k]]} is off by {gaps[k]:.3g}",
    )
    tests.judge()


def _bernstein(gap: FloatArray, variance: FloatArray, bound: FloatArray, count: int) -> FloatArray:
    """Log of the probability that averages over ``count`` trajectories are so far off, at most."""
    size = 2.0 * (variance + bound * np.maximum(gap, 0.0) / 3.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(2.0) - count * gap**2 / size
    return np.where(gap > 0, np.where(size > 0, np.minimum(found, 0.0), -np.inf), 0.0)


def _shared(read: Acquired, interval: float, steps: int) -> float:
    """What is left of a variance in an average over a trajectory, at most: ``sum_kl r(k - l) / n^2``."""
    if steps == 1 or read.acquisition.jitter:  # as if each trajectory were one reading
        return 1.0
    dense = read.dense.dense
    values, vectors = np.linalg.eigh(dense.H @ read.dense.covariance @ dense.H.T)
    there = values > 1e-12 * values.max(initial=0.0)
    if not there.any():
        return 1.0
    whitened = (vectors[:, there] / np.sqrt(values[there])).T @ dense.H
    count = min(steps, _MOST_LAGS)
    step = la.expm(dense.A * (interval / dense.time))
    r = correlations(step, whitened, read.dense.covariance @ whitened.T, count)
    largest = np.minimum(np.linalg.norm(r, ord=2, axis=(1, 2)) * (1 + 1e-6), 1.0)
    lags: FloatArray = np.arange(1, count, dtype=np.float64)
    total = steps + 2.0 * float(((steps - lags) * largest[1:]).sum())
    if count < steps:  # nothing is said of what is further apart
        total += float((steps - count) * (steps - count + 1))
    return min(1.0, total / steps**2)
