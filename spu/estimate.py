"""Estimates from correlated samples: covariance, mean, and how sure they are.

The autocorrelation of an RLC voltage integrates to zero, so the textbook effective sample
size (of the mean) diverges; what counts is the error of the covariance estimate, known
exactly from the process: for jointly Gaussian samples at spacing h,

    Cov(P_ij, P_ij) = (1/N) sum_l (1 - |l|/N) (R_ii(l) R_jj(l) + R_ij(l) R_ji(l)),

with ``R(l) = E[y(t + l h) y(t)^T]`` (Bartlett 1946).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

from spu.emulator.modes import Modes
from spu.emulator.propagate import exact_step
from spu.emulator.stationary import Stationary
from spu.sde import DenseSDE

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SamplingError:
    """What the estimates from given samples can be expected to miss by.

    Attributes
    ----------
    covariance_variance:
        (p, p) variances of the entries of the covariance estimate (units of y to the fourth).
    mean_variance:
        (p,) variances of the mean estimate.
    effective_samples:
        Independent samples that would give the same expected squared Frobenius error of the
        covariance: ``((tr P)^2 + |P|_F^2) / E|P_hat - P|_F^2``.
    """

    covariance_variance: FloatArray
    mean_variance: FloatArray
    effective_samples: float


def independent_error(covariance: FloatArray, samples: int) -> SamplingError:
    """Sampling error of ``samples`` independent draws of a Gaussian with the (p, p) covariance given."""
    variance = np.diag(covariance)
    return SamplingError((np.outer(variance, variance) + covariance**2) / samples, variance / samples, float(samples))


def trajectory_error(
    law: Stationary, *, steps: int, interval: float, count: int, transform: FloatArray | None = None
) -> SamplingError:
    """Sampling error of ``count`` stationary trajectories of ``steps`` readouts, ``interval`` seconds apart.

    Parameters
    ----------
    law, steps, interval, count:
        The process and how it is sampled.
    transform:
        (q, p): estimates are of ``transform @ y``; the probes themselves unless given.

    Notes
    -----
    In modes of the drift every sum over lags is a geometric series, taken in closed form. Where they
    nearly coincide (critical damping), or cost more than they save, lags are summed one by one until the
    slowest has decayed.
    """
    P, diagonal, crossed, mean = _sums(law, steps, interval, transform)
    variance = np.diag(P)
    total = steps * count
    covariance_variance = (np.outer(variance, variance) + P * P.T + 2.0 * (diagonal + crossed)) / total
    mean_variance = np.maximum(variance + 2.0 * mean, 0.0) / total
    independent = float(np.trace(P) ** 2 + (P**2).sum())
    expected = float(covariance_variance.sum())
    return SamplingError(
        np.maximum(covariance_variance, 0.0), mean_variance, independent / expected if expected > 0 else float(total)
    )


def _sums(
    law: Stationary, steps: int, interval: float, transform: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """``R(0)``, and the sums over positive lags, with weights ``1 - l / steps``.

    Of ``R_ii R_jj`` (p, p), of ``R_ij R_ji`` (p, p), and of ``R_ii`` (p,).
    """
    states = law.sde.E.shape[0]
    if law.modes is not None and states > _FEW:
        lift = law.modes.probes if transform is None else transform @ law.modes.probes
        return _commuting_sums(law.modes, lift, steps, interval, law.slowest)
    dense = law.dense
    left = dense.H if transform is None else transform @ dense.H
    right = law.covariance @ left.T
    sums = sums_over_lags(dense, left, right, interval=interval, steps=steps, slowest=law.slowest)
    return left @ right, *sums


def sums_over_lags(
    dense: DenseSDE, left: FloatArray, right: FloatArray, *, interval: float, steps: int, slowest: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums over the lags ``l = 1 .. steps - 1``, weighted ``1 - l / steps``, of a known autocovariance R(l).

    Parameters
    ----------
    dense:
        Its drift makes ``R(l) = left expm(A l interval) right``, whatever noise drives it.
    left, right:
        (p, n) and (n, p); ``left @ right`` is the covariance.
    interval, slowest:
        s, between samples, and the longest time constant.
    steps:
        Samples.

    Returns
    -------
    The sums of ``R_ii R_jj`` (p, p), of ``R_ij R_ji`` (p, p), and of ``R_ii`` (p,).
    """
    states = len(dense.A)
    if states <= _MANY:
        values, vectors = dense.modes
        if np.linalg.cond(vectors) < 1e5:
            modal = la.solve(vectors, right.astype(np.complex128))
            return _modal_sums(left @ vectors, modal, values * (interval / dense.time), steps)
    last = _last_lag(steps, interval, slowest, states)
    return _lag_sums(left, exact_step(dense, interval).transition, right, steps, last)


_FEW, _MANY = 64, 600
"""States up to which sums keep every digit, and up to which all eigenvectors of a drift are worth finding."""


def _last_lag(steps: int, interval: float, slowest: float, states: int) -> int:
    """The lag by which squares have decayed to rounding; for error bars of large networks, to 1e-7."""
    return min(steps - 1, int(np.ceil((40.0 if states <= _MANY else 8.0) * slowest / interval)))


def _series(exponent: NDArray[np.complex128], steps: int) -> NDArray[np.complex128]:
    """``sum over l = 1..steps-1 of (1 - l/steps) exp(l exponent)``, Re exponent < 0.

    In closed form; where nothing decays over all the steps its two terms are large and cancel, and the sum is a
    polynomial.
    """
    n, z = float(steps), np.where(exponent == 0, -1.0, exponent)
    ratio, gap = np.exp(z), -np.expm1(z)
    closed = ratio / gap + ratio * np.expm1(n * z) / (n * gap**2)
    square = n**2 - 1.0
    cubic = square * (3.0 * n**2 - 2.0) / 360.0
    flat = (n - 1.0) / 2.0 + exponent * (square / 6.0 + exponent * (n * square / 24.0 + exponent * cubic))
    return np.asarray(np.where(np.abs(exponent) * n < 1e-3, flat, closed))


def _modal_sums(
    left: NDArray[np.complex128], right: NDArray[np.complex128], exponent: NDArray[np.complex128], steps: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums as in `_sums` for ``R(l) = left diag(exp(l exponent)) right``.

    The crossed one is a sum over pairs of modes k, m of ``left_ik right_kj S_km left_jm right_mi``; S is smooth,
    so that few of its singular vectors do (all of them for few states).
    """
    own = left * right.T  # (p, n): R_ii(l) = own_i exp(l exponent)
    pairs = _series(np.add.outer(exponent, exponent), steps)
    products = own @ pairs @ own.T
    u, sizes, v = la.svd(pairs)
    kept = sizes > (1e-16 if len(exponent) <= _FEW else 1e-8) * sizes[0]
    crossed = np.zeros_like(products)
    for a, size, b in zip(u.T[kept], sizes[kept], v[kept], strict=True):
        crossed += size * ((left * a) @ right) * ((left * b) @ right).T
    return products.real, crossed.real, (own @ _series(exponent, steps)).real


def _commuting_sums(
    modes: Modes, lift: FloatArray, steps: int, interval: float, slowest: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sums as in `_sums` for ``R(l) = lift diag(r(l)) lift^T`` with the modes' own autocovariances r(l)."""
    P = (lift * modes.variance) @ lift.T
    last = _last_lag(steps, interval, slowest, _MANY + 1)
    pairs, mean = np.zeros((len(modes.variance),) * 2), np.zeros(len(modes.variance))
    for first in range(1, last + 1, 1024):
        lags = np.arange(first, min(first + 1024, last + 1))
        r = modes.correlation(lags * interval) * modes.variance
        weights = 1.0 - lags / steps
        pairs += (r.T * weights) @ r
        mean += weights @ r
    own = lift**2
    sizes, vectors = la.eigh(pairs)
    crossed = np.zeros_like(P)
    for k in np.flatnonzero(sizes > 1e-6 * sizes[-1]):
        crossed += sizes[k] * ((lift * vectors[:, k]) @ lift.T) ** 2
    return P, own @ pairs @ own.T, crossed, own @ mean


def _lag_sums(
    left: FloatArray, step: FloatArray, right: FloatArray, steps: int, last: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums as in `_sums`, lag by lag up to ``last``, for ``R(l) = left step^l right``."""
    products, crossed, mean = np.zeros((len(left), len(left))), np.zeros((len(left), len(left))), np.zeros(len(left))
    current = right
    for lag in range(1, last + 1):
        current = step @ current
        R = left @ current
        diagonal, weight = np.diag(R), 1.0 - lag / steps
        products += weight * np.outer(diagonal, diagonal)
        crossed += weight * R * R.T
        mean += weight * diagonal
    return products, crossed, mean
