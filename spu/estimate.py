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
from numpy.typing import NDArray

from spu.emulator.propagate import exact_step
from spu.emulator.stationary import Stationary

FloatArray = NDArray[np.float64]

_DENSE_LAGS = 2048


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
    Lags are summed one by one up to 2048, then with doubling strides (trapezoid) until the
    slowest mode has decayed by e^-20.
    """
    dense = law.dense
    left = dense.H if transform is None else transform @ dense.H
    step = exact_step(dense, interval).transition
    slowest = float(law.time_constants[0])
    last = min(steps - 1, int(np.ceil(20.0 * slowest / interval)))
    return _bartlett(left, step, law.covariance @ left.T, steps, count, last)


def _bartlett(
    left: FloatArray, step: FloatArray, right: FloatArray, steps: int, count: int, last: int
) -> SamplingError:
    """Sum the formula over lags 0..last of ``R(l) = left @ step^l @ right``."""
    P = left @ right
    variance = np.diag(P)
    covariance_sum = np.outer(variance, variance) + P * P.T
    mean_sum = variance.copy()
    current, power, stride, lag, since = right, step, 1, 0, 0
    while lag < last:
        current = power @ current
        lag += stride
        since += 1
        R = left @ current
        diagonal = np.diag(R)
        # Both signs of the lag; within a stride the sum is the trapezoid's.
        weight = 2.0 * stride * max(0.0, 1.0 - lag / steps)
        if since == _DENSE_LAGS and lag < last:
            weight *= 1.5  # half of the old stride, half of the doubled one
            power, stride, since = power @ power, stride * 2, 0
        covariance_sum = covariance_sum + weight * (np.outer(diagonal, diagonal) + R * R.T)
        mean_sum = mean_sum + weight * diagonal
    total = steps * count
    covariance_variance = covariance_sum / total
    independent = float(np.trace(P) ** 2 + (P**2).sum())
    expected = float(covariance_variance.sum())
    effective = independent / expected if expected > 0 else float(total)
    return SamplingError(covariance_variance, np.maximum(mean_sum, 0.0) / total, effective)


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
