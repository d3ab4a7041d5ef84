"""Tail probabilities of statistics whose cumulant generating function is known.

The saddlepoint approximation in Barndorff-Nielsen's form, ``P(X > x) = Phi(-r*)`` with
``r* = w + log(u / w) / w`` (Barndorff-Nielsen 1986; Lugannani and Rice 1980), has a small
*relative* error however far out, where a normal approximation is off by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, multigammaln, ndtri, ndtri_exp, psi

from spu.base.arrays import FloatArray

_NEAR = 1e-3
"""Of ``w``: nearer to the mean ``r*`` is taken from its limit, a sixth of the skewness."""


def two_sided(r: FloatArray) -> FloatArray:
    """Two-sided p-values of values whose `Mixture.normal` scores are ``r``."""
    return np.asarray(2.0 * np.exp(log_ndtr(-np.abs(r))))


class Mixture:
    """Sums ``sum_j w_ij chi2(n_j)`` of independent chi-squared variables, one for each row i.

    A quadratic form in Gaussians is one; its weights are eigenvalues, of either sign.

    Parameters
    ----------
    weights:
        (k, j).
    freedom:
        (k, 1) or (k, j) degrees of freedom, not necessarily whole.
    """

    def __init__(self, weights: FloatArray, freedom: FloatArray) -> None:
        self.weights = np.atleast_2d(weights)
        self.freedom = np.broadcast_to(freedom, self.weights.shape)

    @property
    def mean(self) -> FloatArray:
        """(k,)."""
        return np.asarray((self.freedom * self.weights).sum(axis=1))

    @property
    def variance(self) -> FloatArray:
        """(k,)."""
        return np.asarray(2.0 * (self.freedom * self.weights**2).sum(axis=1))

    def with_variance(self, variance: FloatArray) -> Mixture:
        """The same means and shapes, another variance (k,): weights times r, degrees of freedom over r."""
        ratio = (variance / self.variance)[:, None]
        return Mixture(self.weights * ratio, self.freedom / ratio)

    def normal(self, values: FloatArray) -> FloatArray:
        """Standard normal scores (k,) of values (k,): ``P(X_i > x_i) = Phi(-score_i)``."""
        size = np.sqrt(self.variance)
        z = (np.asarray(values, dtype=np.float64) - self.mean) / size
        low, high = self._ends(size)
        # A sum of one sign ends at zero: beyond it lies nothing.
        end = -self.mean / size
        beyond = (np.isinf(low) & (z <= end)) | (np.isinf(high) & (z >= end))
        target = np.where(beyond, 0.0, z)
        t = np.zeros(len(z))
        for _ in range(200):
            slope, bend = self._slopes(t, size)
            gap = target - slope
            if np.all(np.abs(gap) <= 1e-10 * (1.0 + np.abs(target))):
                break
            step = t + gap / bend
            # K' grows to infinity at the ends: never beyond half of what is left to them.
            step = np.where(step >= high, (t + high) / 2, step)
            t = np.where(step <= low, (t + low) / 2, step)
        return np.where(beyond, np.where(np.isinf(low), -np.inf, np.inf), self._scores(t, size))

    def quantile(self, score: float) -> FloatArray:
        """(k,) values whose normal score is ``score``."""
        size = np.sqrt(self.variance)
        low, high = self._ends(size)
        # The saddlepoint t grows with the score: bisection in t needs no equation to be solved.
        lower, upper = np.maximum(-1.0, low / 2), np.minimum(1.0, high / 2)
        while np.any(short := self._scores(upper, size) < score):
            upper = np.where(short, np.where(np.isinf(high), 2.0 * upper, (upper + high) / 2), upper)
        while np.any(short := self._scores(lower, size) > score):
            lower = np.where(short, np.where(np.isinf(low), 2.0 * lower, (lower + low) / 2), lower)
        for _ in range(45):
            middle = (lower + upper) / 2
            below = self._scores(middle, size) < score
            lower, upper = np.where(below, middle, lower), np.where(below, upper, middle)
        return np.asarray(self.mean + size * self._slopes((lower + upper) / 2, size)[0])

    # Below, of the sum less its mean over its standard deviation (``size``), so that nothing cancels near zero.

    def _ends(self, size: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Where the generating function ends, (k,) each."""
        least, most = self.weights.min(axis=1) / size, self.weights.max(axis=1) / size
        low = np.where(least < 0, 0.5 / np.minimum(least, -1e-300), -np.inf)
        return low, np.where(most > 0, 0.5 / np.maximum(most, 1e-300), np.inf)

    def _slopes(self, t: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray]:
        """First and second derivative of the cumulant generating function."""
        scaled = self.weights / size[:, None]
        ratio = scaled / (1.0 - 2.0 * scaled * t[:, None])
        slope = 2.0 * t * (self.freedom * scaled * ratio).sum(axis=1)
        return slope, 2.0 * (self.freedom * ratio**2).sum(axis=1)

    def _scores(self, t: FloatArray, size: FloatArray) -> FloatArray:
        """Normal scores of the values whose saddlepoints are t."""
        slope, bend = self._slopes(t, size)
        product = 2.0 * self.weights / size[:, None] * t[:, None]
        exponent = t * slope + 0.5 * (self.freedom * (np.log1p(-product) + product)).sum(axis=1)
        w = np.sign(t) * np.sqrt(np.maximum(2.0 * exponent, 0.0))
        skew = 8.0 * (self.freedom * (self.weights / size[:, None]) ** 3).sum(axis=1)
        return _modified(w, t * np.sqrt(bend), skew)


def _modified(w: FloatArray, u: FloatArray, skew: FloatArray) -> FloatArray:
    near = np.abs(w) < _NEAR
    safe = np.where(near, 1.0, w)
    return np.asarray(w + np.where(near, skew / 6.0, np.log(np.where(near, 1.0, u / safe)) / safe))


def wishart_p(scatter: FloatArray, count: int) -> float:
    """p-value of the likelihood ratio test that Gaussians of mean zero have the identity as covariance.

    Parameters
    ----------
    scatter:
        (m, m), the sum of ``x x^T`` over ``count`` > m independent vectors.

    Notes
    -----
    ``L = (e/N)^(mN/2) |S|^(N/2) exp(-tr S / 2)`` has the moments ``E L^h = (2e/N)^(mNh/2) (1+h)^(-mN(1+h)/2)
    Gamma_m(N(1+h)/2) / Gamma_m(N/2)`` (Anderson, An Introduction to Multivariate Statistical Analysis, 10.8), so
    that the cumulant generating function of ``-2 log L`` is known; the tail follows by saddlepoint.
    """
    m, N = len(scatter), float(count)
    sign, determinant = np.linalg.slogdet(scatter)
    if sign <= 0:
        return 0.0
    statistic = -m * N * (1.0 - np.log(N)) - N * determinant + float(np.trace(scatter))
    orders = np.arange(m) / 2.0

    def cumulant(t: float) -> float:
        h = -2.0 * t
        return float(
            m * N * h / 2 * (np.log(2.0 / N) + 1.0)
            - m * N * (1 + h) / 2 * np.log1p(h)
            + multigammaln(N * (1 + h) / 2, m)
            - multigammaln(N / 2, m)
        )

    def slope(t: float) -> float:
        h = -2.0 * t
        return float(
            -m * N * (np.log(2.0 / N) + 1.0) + m * N * (np.log1p(h) + 1.0) - N * psi(N * (1 + h) / 2 - orders).sum()
        )

    def derivative(function: Callable[[float], float], t: float, step: float) -> float:
        return (function(t + step) - function(t - step)) / (2 * step)

    # h > (m - 1)/N - 1, that is t below half of what is left.
    end = 0.5 * (1.0 - (m - 1) / N)
    far = -1.0
    while slope(far) > statistic:
        far *= 2.0
        if far < -1e6:
            return 1.0
    t = float(brentq(lambda t: slope(t) - statistic, far, end * (1 - 1e-12), xtol=1e-14, rtol=1e-13))
    step = 1e-4 * (end - t)
    bend = derivative(slope, t, step)
    w = np.sign(t) * np.sqrt(max(2.0 * (t * statistic - cumulant(t)), 0.0))
    if abs(w) < 0.02:  # too near the mean for differences: the normal with its skewness
        spread = derivative(slope, 0.0, 1e-4)
        third = (slope(1e-3) - 2 * slope(0.0) + slope(-1e-3)) / 1e-6
        score = (statistic - slope(0.0)) / np.sqrt(spread) + third / spread**1.5 / 6.0
    else:
        score = float(_modified(np.array([w]), np.array([t * np.sqrt(bend)]), np.zeros(1))[0])
    return float(np.exp(log_ndtr(-score)))


def threshold(probability: float) -> float:
    """Normal score of a two-sided p-value."""
    return float(-ndtri_exp(np.log(probability / 2.0)))


CERTAIN = float(ndtri(0.99))
"""Score of near certainty: 99 %."""
