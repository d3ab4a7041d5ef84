"""The exact law of quadratic forms of Gaussian vectors: sums of independent chi-squared variables with weights.

``Q = sum_k w_k chi^2(f_k)`` has the cumulant function ``K(s) = -1/2 sum_k f_k log(1 - 2 w_k s)``, and

    P(Q > q) = 1/(2 pi i) int exp(K(s) - q s) / s ds

along any path from below to above that crosses the real axis between 0 and the first pole to the right. The path
taken is a parabola through the saddle point, with the curvature of steepest descent, open to the side where
exp(-q s) decays: it goes round the branch cuts, so the trapezoidal rule converges exponentially, and the relative
precision is the same in the middle and far out in the tails (Rice, SIAM J. Sci. Stat. Comput. 1:438, 1980).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

__all__ = ["tails", "two_sided"]

_PRECISION = 1e-7


def two_sided(q: float, weights: np.ndarray, freedom: np.ndarray) -> float:
    """Twice the smaller tail probability of ``q``, at most 1: uniform on (0, 1) where ``q`` has this law."""
    return min(1.0, 2.0 * min(tails(q, weights, freedom)))


def tails(q: float, weights: np.ndarray, freedom: np.ndarray) -> tuple[float, float]:
    """``P(Q <= q)`` and ``P(Q > q)`` for weights (k,) of either sign and degrees of freedom (k,).

    The smaller one has a relative error of 1e-7 or so. Weights below 1e-14 of the largest are left out.
    """
    size = float(np.abs(weights).max(initial=0.0))
    if size == 0.0:
        return float(q >= 0.0), float(q < 0.0)
    kept = np.abs(weights) > 1e-14 * size
    w, f, q = weights[kept] / size, freedom[kept].astype(float), q / size
    if q >= (w * f).sum():
        upper = _upper(q, w, f)
        return 1.0 - upper, upper
    lower = _upper(-q, -w, f)
    return lower, 1.0 - lower


def _upper(q: float, w: np.ndarray, f: np.ndarray) -> float:
    """``P(Q > q)`` for q not below the mean."""
    if w.max() <= 0.0:
        if q >= 0.0:
            return 0.0
        first = None
    else:
        first = 0.5 / w.max()  # the first pole to the right

    def slope(s: float) -> float:
        """Of ``K(s) - q s - log s``."""
        return float((f * w / (1.0 - 2.0 * w * s)).sum() - q - 1.0 / s)

    if first is None:
        high = 1.0
        while slope(high) < 0.0 and high < 1e30:
            high *= 2.0
        low = high
    else:
        high = low = first * (1.0 - 1e-13)
    while slope(low) > 0.0 and low > 1e-300:
        low /= 2.0
    if slope(low) > 0.0 or slope(high) < 0.0:
        saddle = high
    else:
        saddle = brentq(slope, low, high, xtol=1e-300, rtol=1e-12)
    share = w / (1.0 - 2.0 * w * saddle)
    second = 2.0 * (f * share**2).sum() + 1.0 / saddle**2
    third = 8.0 * (f * share**3).sum()
    width = 1.0 / np.sqrt(second)
    # To the side where exp(-q s) decays: there the path goes round the cuts, and need not cross them.
    side = 1.0 if q >= 0.0 else -1.0
    bend = side * np.clip(side * third * width**3 / 6.0, 0.02, 0.1)
    top = _exponent(np.array([saddle + 0j]), q, w, f).real[0]

    def path(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of the integrand less its top, and the path's derivative; in t, u = sinh t, for the long tails."""
        u = np.sinh(t)
        where = saddle + width * (1j * u + bend * u**2)
        return _exponent(where, q, w, f) - top, (1.0 - 2j * bend * u) * np.cosh(t)

    # Up to where it no longer counts: from there a straight line upwards, on which it falls, ends the path.
    step, last = 0.25, 40.0
    for first in range(0, 160, 16):
        t = step * np.arange(first, first + 16)
        logarithm, speed = path(t)
        small = logarithm.real + np.log(np.abs(speed)) < -42.0
        if small.any():
            last = float(t[small][0])
            break
    before = np.inf
    while True:
        logarithm, speed = path(np.arange(0.0, last, step))
        value = (np.exp(logarithm) * speed).real
        found = float((value.sum() - 0.5 * value[0]) * step * width / np.pi * np.exp(top))
        if abs(found - before) <= _PRECISION * abs(found) or step < 1e-3:
            return min(max(found, 0.0), 1.0)
        before, step = found, step / 2.0


def _exponent(s: np.ndarray, q: float, w: np.ndarray, f: np.ndarray) -> np.ndarray:
    """``K(s) - q s - log s``; each logarithm on its principal branch, whose cut the path never meets."""
    found = -q * s - np.log(s)
    for first in range(0, len(s), 512):
        part = s[first : first + 512]
        found[first : first + 512] -= 0.5 * (np.log(1.0 - 2.0 * np.multiply.outer(part, w)) @ f)
    return found
