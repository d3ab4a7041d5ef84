"""Are numbers independent standard normals? Sums gathered run by run, and a battery of exact tests on them.

The same battery judges the noise sources that ngspice made, and the innovations of the
voltages: both are independent standard normals if nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, chdtrc, eval_legendre, gammainc, gammaincc, ndtr

from spu.base.arrays import FloatArray
from spu.crosscheck.statistics.tails import CERTAIN, threshold, wishart_p

LAGS = 8
"""Of the tests for correlation in time."""

MOMENTS = 4
"""Orders of the test of normality: location, width, skewness, kurtosis."""


@dataclass(frozen=True)
class Test:
    """One kind of test: the smallest of its p-values, and what they amount to together.

    Attributes
    ----------
    name:
        What is tested.
    p_value:
        Of the kind: the probability that the smallest of ``tests`` independent p-values is as small. Where they
        depend on one another it is less probable yet (Sidak 1967): an upper bound then.
    tests:
        How many there are.
    where:
        The worst place.
    """

    __test__ = False  # pytest: this is no test case

    name: str
    p_value: float
    tests: int
    where: str


def worst_of(name: str, p_values: NDArray[Any], where: Sequence[str]) -> Test:
    """A kind of test out of its p-values, each with its place."""
    flat = np.asarray(p_values).ravel()
    k = int(np.argmin(flat))
    smallest = min(max(float(flat[k]), 0.0), 1.0)
    together = 1.0 if smallest >= 1.0 else -float(np.expm1(len(flat) * np.log1p(-smallest)))
    return Test(name, together, len(flat), where[k])


class Sums:
    """Sums over samples of a vector x (m,), enough for `battery`; runs are added one by one."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self.pairs = np.zeros(LAGS + 1)
        self.total = np.zeros(width)
        self.products = np.zeros((LAGS + 1, width, width))
        self.legendre = np.zeros((MOMENTS, width))

    def add(self, x: FloatArray) -> None:
        """Add a run (k, m); products do not reach from one run into the next."""
        self.count += len(x)
        self.total += x.sum(axis=0)
        for lag in range(min(LAGS + 1, len(x))):
            self.pairs[lag] += len(x) - lag
            self.products[lag] += x[lag:].T @ x[: len(x) - lag]
        place = 2.0 * ndtr(x) - 1.0
        for order in range(1, MOMENTS + 1):
            self.legendre[order - 1] += np.sqrt(2.0 * order + 1.0) * eval_legendre(order, place).sum(axis=0)


def battery(sums: Sums, names: Sequence[str]) -> list[Test]:
    """Test that the samples are independent standard normals.

    Each null law is exact but for the portmanteau's and the normality's, whose corrections are of the order of
    one over the number of samples.

    - *level*: sums of squares, chi-squared.
    - *mean*: normal.
    - *covariance matrix*: the likelihood ratio of the whole matrix against the identity (`wishart_p`).
    - *correlation*, at lag 0 between sources, at later lags with itself too: the cosine of the two series,
      whose square is Beta(1/2, (n - 1)/2).
    - *portmanteau*: squares of all lagged cosines together (Hosking 1980), a gamma law with their mean and variance.
    - *normality*: Neyman's smooth test (1937) on Legendre polynomials of the probability transform.
    """
    count, m = sums.count, len(names)
    power = np.diag(sums.products[0])
    level = 2.0 * np.minimum(gammainc(count / 2.0, power / 2.0), gammaincc(count / 2.0, power / 2.0))
    mean = chdtrc(1.0, sums.total**2 / count)
    found = [worst_of("level", level, names), worst_of("mean", mean, names)]
    if count > m:
        found.append(Test("covariance matrix", wishart_p(sums.products[0], count), 1, "all together"))
    norm = np.where(power > 0, power, 1.0)
    square = sums.products**2 / np.outer(norm, norm)
    # The norms are of all samples, a lagged sum has a few less: the same correlation, that much larger.
    n = sums.pairs[:, None, None]
    square = np.minimum(square * count / np.maximum(n, 1.0), 1.0)
    p_values = betainc((count - 1) / 2.0, 0.5, 1.0 - square)
    if m > 1:
        rows, cols = np.triu_indices(m, 1)
        pairs = [f"{names[i]} with {names[j]}" for i, j in zip(rows.tolist(), cols.tolist(), strict=True)]
        found.append(worst_of("correlation", p_values[0, rows, cols], pairs))
    later = p_values[1:]
    lag, i, j = map(int, np.unravel_index(int(np.argmin(later)), later.shape))
    other = "itself" if i == j else names[j]
    place = f"{names[i]} with {other} {lag + 1} sample{'s' if lag else ''} before"
    together = worst_of("lagged correlation", later, [place] * later.size)
    found.append(together)
    # A squared cosine has the mean 1/n and, once n times as large, the variance 2 (n - 1)/(n + 2), not 2.
    narrow = (count - 1.0) / (count + 2.0)
    spread = float(gammaincc(later.size / (2.0 * narrow), count * square[1:].sum() / (2.0 * narrow)))
    found.append(Test("portmanteau", spread, 1, f"lags 1 to {LAGS} together"))
    smooth = chdtrc(float(MOMENTS), (sums.legendre**2).sum(axis=0) / count)
    found.append(worst_of("normality", smooth, names))
    return found


def smallest_level(count: int, width: int, rate: float) -> float:
    """Relative error of an rms (of one of ``width``) that the test of levels sees with 99 %.

    ``rate`` is the false-alarm rate of that kind of test, all together.
    """
    # An rms off by d moves the sum of squares by 2 d N, whose standard deviation is sqrt(2 N).
    return (threshold(rate / width) + CERTAIN) / float(np.sqrt(2.0 * count))
