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

from spu.emulator.propagate import exact_step
from spu.emulator.stationary import Stationary

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
    In modes of the drift every sum over lags is a geometric series, taken in closed form. Where modes
    nearly coincide (critical damping) lags are summed one by one until the slowest has decayed.
    """
    dense = law.dense
    left = dense.H if transform is None else transform @ dense.H
    right = law.covariance @ left.T
    P = left @ right
    values, vectors = dense.modes
    if np.linalg.cond(vectors) < 1e5:
        sums = _modal_sums(
            left @ vectors,
            la.solve(vectors, right.astype(np.complex128)),
            np.exp(values * (interval / dense.time)),
            steps,
        )
    else:
        last = min(steps - 1, int(np.ceil(40.0 * float(law.time_constants[0]) / interval)))
        sums = _lag_sums(left, exact_step(dense, interval).transition, right, steps, last)
    variance = np.diag(P)
    total = steps * count
    covariance_variance = (np.outer(variance, variance) + P * P.T + 2.0 * sums[0]) / total
    mean_variance = np.maximum(variance + 2.0 * sums[1], 0.0) / total
    independent = float(np.trace(P) ** 2 + (P**2).sum())
    expected = float(covariance_variance.sum())
    return SamplingError(
        np.maximum(covariance_variance, 0.0), mean_variance, independent / expected if expected > 0 else float(total)
    )


def _series(ratio: NDArray[np.complex128], steps: int) -> NDArray[np.complex128]:
    """``sum over l = 1..steps-1 of (1 - l/steps) ratio^l``, |ratio| < 1."""
    gap = 1.0 - ratio
    return np.asarray(ratio / gap - ratio * (1.0 - ratio**steps) / (steps * gap**2))


def _modal_sums(
    left: NDArray[np.complex128], right: NDArray[np.complex128], ratio: NDArray[np.complex128], steps: int
) -> tuple[FloatArray, FloatArray]:
    """Sums over positive lags, ``R(l) = left diag(ratio^l) right``: (p, p) for the covariance, (p,) for the mean."""
    own = left * right.T  # (p, n): R_ii(l) = own_i ratio^l
    pairs = _series(np.outer(ratio, ratio), steps)
    products = own @ pairs @ own.T
    crossed = np.empty_like(products)
    for i in range(len(left)):
        # R_ij(l) R_ji(l) for one i and all j, over pairs of modes.
        weighted = left[i][:, None] * pairs * right[:, i][None, :]
        crossed[i] = ((right.T @ weighted) * left).sum(axis=1)
    return (products + crossed).real, (own @ _series(ratio, steps)).real


def _lag_sums(
    left: FloatArray, step: FloatArray, right: FloatArray, steps: int, last: int
) -> tuple[FloatArray, FloatArray]:
    """The same two sums, lag by lag up to ``last``, with ``R(l) = left step^l right``."""
    covariance, mean = np.zeros((len(left), len(left))), np.zeros(len(left))
    current = right
    for lag in range(1, last + 1):
        current = step @ current
        R = left @ current
        diagonal, weight = np.diag(R), 1.0 - lag / steps
        covariance += weight * (np.outer(diagonal, diagonal) + R * R.T)
        mean += weight * diagonal
    return covariance, mean


@dataclass
class Moments:
    """Mean and covariance accumulated chunk by chunk, about a fixed centre to keep digits.

    Parameters
    ----------
    centre:
        (p,) about where the samples lie (the predicted mean).
    """

    centre: FloatArray

    def __post_init__(self) -> None:
        self.count = 0
        self._sum = np.zeros_like(self.centre)
        self._square = np.zeros((len(self.centre), len(self.centre)))

    def add(self, samples: FloatArray) -> None:
        """Add (k, p) samples."""
        deviation = samples - self.centre
        self.count += len(samples)
        self._sum += deviation.sum(axis=0)
        self._square += deviation.T @ deviation

    @property
    def mean(self) -> FloatArray:
        """(p,) sample mean."""
        return self.centre + self._sum / self.count

    @property
    def covariance(self) -> FloatArray:
        """(p, p) sample covariance about the sample mean (divided by the count)."""
        shift = self._sum / self.count
        return self._square / self.count - np.outer(shift, shift)


def relative_error(found: FloatArray, target: FloatArray) -> float | None:
    """``|found - target| / |target|`` in the Frobenius norm; None where the target is zero."""
    size = float(np.linalg.norm(target))
    return float(np.linalg.norm(found - target)) / size if size > 0 else None
