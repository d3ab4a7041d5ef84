"""Whether a record is what the fitted model says, or what the design says, and whether tolerances explain it.

All rest on the information of the record, so that they count neither what was fitted nor what is not told: residuals
at the estimate have the covariance ``1 - J I^-1 J^T``, where J is what they move by with the unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from spu.base.arrays import FloatArray, IntArray
from spu.device.device import Device
from spu.studies.calibration.fit import Fit
from spu.studies.calibration.likelihood import Terms
from spu.studies.calibration.model import Sought
from spu.studies.calibration.paths import Filtered

ALARM = 0.01
"""Of p-values: below it the answer is no. One of a hundred boards that are as they should be is told otherwise."""

LEAST_NORMAL = 100
"""Samples for a test of their distribution (D'Agostino and Pearson, Biometrika 60:613, 1973)."""

_LOST = 0.05
"""Of a residual's variance: what the fit leaves of those that it all but takes away; they are no test."""

_RANK = 1e-9
"""Of the largest eigenvalue of an information: those below are nothing."""


@dataclass(frozen=True)
class Test:
    """One test.

    Attributes
    ----------
    name, meaning:
        ``spectrum``, ``normality``; in words.
    statistic, freedom, p_value:
        A chi square, its degrees of freedom, and the chance of as large a one where the model is right.
    """

    name: str
    meaning: str
    statistic: float
    freedom: int
    p_value: float


@dataclass(frozen=True)
class Goodness:
    """Whether the fitted model explains the record.

    Attributes
    ----------
    tests:
        What was tested.
    fits:
        Whether the least p-value, times the number of tests, is `ALARM` or more; None where nothing is left to test.
    """

    tests: tuple[Test, ...]

    @property
    def fits(self) -> bool | None:
        """Whether it does."""
        if not self.tests:
            return None
        return min(test.p_value for test in self.tests) * len(self.tests) >= ALARM


@dataclass(frozen=True)
class KindDifference:
    """One kind of element.

    Attributes
    ----------
    kind, elements:
        Its name, and how many of them are sought.
    alone:
        Chance of a record that speaks as loudly for a change of this kind alone, of a board that is as designed.
    needed:
        The same, where all other elements may be anything; None where the record does not tell them apart.
    within:
        Chance of values as far from the design under the stated tolerance; None without one.
    """

    kind: str
    elements: int
    alone: float
    needed: float | None
    within: float | None


@dataclass(frozen=True)
class Difference:
    """Whether the board differs from its design.

    Attributes
    ----------
    test:
        ``likelihood ratio`` of design and estimate; with a prior ``score`` at the design.
    statistic, freedom, p_value:
        A chi square.
    kinds:
        Where.
    within:
        Chance of values as far from the design under the stated tolerances, all together; None without any.
    """

    test: str
    statistic: float
    freedom: int
    p_value: float
    kinds: tuple[KindDifference, ...]
    within: float | None

    @property
    def differs(self) -> bool:
        """Whether the p-value is below `ALARM`."""
        return self.p_value < ALARM

    @property
    def within_tolerance(self) -> bool | None:
        """Whether that of the tolerance is not; None without one."""
        return None if self.within is None else self.within >= ALARM


def chance(statistic: float, freedom: int) -> float:
    """Of a chi square as large."""
    return float(chdtrc(freedom, max(statistic, 0.0))) if freedom else 1.0


def goodness(found: Fit, filtered: Filtered | None) -> Goodness:
    """Test what is left of a record; ``filtered`` are its samples in time, where it has these."""
    tests = []
    J, r = found.terms.sensitivity, found.terms.residual
    covariance = np.eye(len(r)) - J @ found.covariance @ J.T
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    kept = values > _LOST
    if kept.any():
        left = vectors[:, kept].T @ r
        statistic = float((left**2 / values[kept]).sum())
        meaning = "variances and correlations of what the model leaves, in bands of frequency"
        tests.append(Test("spectrum", meaning, statistic, int(kept.sum()), chance(statistic, int(kept.sum()))))
    innovations = [] if filtered is None else filtered.innovations
    if filtered is not None and sum(each.shape[0] * each.shape[1] for each in innovations) >= LEAST_NORMAL:
        from scipy.stats import kurtosistest, skewtest  # few ask, and it takes a while to import

        statistic, count = 0.0, innovations[0].shape[2]
        for channel in range(count):
            u = np.concatenate([each[..., channel].ravel() for each in innovations])
            statistic += float(skewtest(u).statistic ** 2 + kurtosistest(u).statistic ** 2)
        meaning = "skewness and kurtosis of each channel, whitened"
        tests.append(Test("normality", meaning, statistic, 2 * count, chance(statistic, 2 * count)))
        tests.append(_distribution(filtered))
    return Goodness(tuple(tests))


def _distribution(filtered: Filtered) -> Test:
    """Third and fourth moments of samples as they are, which limits of a readout change most.

    Hermite polynomials of normal samples have the correlations of these to the power of their degree.
    """
    law, paths = filtered.law, filtered.paths
    point, size = law.point, np.sqrt(law.point.covariance.diagonal())
    longest, total = max(each.shape[1] for each in paths), sum(each.shape[0] * each.shape[1] for each in paths)
    sums, spread = np.zeros((2, len(size))), np.zeros((2, len(size), len(size)))
    for each in paths:
        u = (each - filtered.offset) / size
        sums += np.array([(u**3 - 3 * u).sum(axis=(0, 1)), (u**4 - 6 * u**2 + 3).sum(axis=(0, 1))])
    state, first = point.P @ point.G.T, point.covariance / np.outer(size, size)
    for lag in range(min(longest, _MOST_LAGS)):
        pairs = sum(each.shape[0] * max(each.shape[1] - lag, 0) for each in paths)
        correlation = first if lag == 0 else point.G @ state / np.outer(size, size)
        for row, power in enumerate((3, 4)):
            moved = pairs * correlation**power
            spread[row] += moved if lag == 0 else moved + moved.T
        if lag and np.abs(correlation).max() < _FORGOTTEN:
            break
        state = law.F @ state
    statistic, freedom = 0.0, 0
    for row, count in enumerate((6.0, 24.0)):
        values, vectors = np.linalg.eigh(count * spread[row])
        kept = values > _LOST * count * total
        statistic += float(((vectors[:, kept].T @ sums[row]) ** 2 / values[kept]).sum())
        freedom += int(kept.sum())
    meaning = "third and fourth moments of the samples of each channel"
    return Test("distribution", meaning, statistic, freedom, chance(statistic, freedom))


_MOST_LAGS, _FORGOTTEN = 20_000, 1e-3
"""Of correlations: how many lags are taken, and below what they are nothing to the power of three."""


def difference(device: Device, sought: Sought, design: Terms, found: Fit, prior: bool) -> Difference:
    """Hold the record against the design.

    Parameters
    ----------
    design:
        Of the record where elements are as designed and the readout's values at their likeliest.
    found:
        The estimate.
    prior:
        Whether a prior drew the estimate to the design.
    """
    e = len(sought.numbers)
    score, information = _without_readout(design.score, design.fisher, e)
    if prior:
        statistic, freedom = _quadratic(score, information)
        test = "score"
    else:
        _, freedom = _quadratic(score, information)
        statistic, test = float(2.0 * (found.terms.value - design.value)), "likelihood ratio"
    told = found.information @ found.theta  # the fit's own normal equations: I theta of the likeliest, prior or not
    own, fisher = _without_readout(told, found.terms.fisher, e)
    spread = spread_of(device, sought)
    kinds = np.array(sought.kinds[:e])
    found_kinds = []
    for kind in dict.fromkeys(kinds.tolist()):
        where = np.flatnonzero(kinds == kind)
        alone = chance(*_quadratic(score[where], information[np.ix_(where, where)]))
        h, inner = _rest_free(own, fisher, where)
        size, rank = _quadratic(h, inner)
        needed = chance(size, rank) if rank == len(where) else None
        within = None
        if spread.diagonal()[where].all():
            within = _within(*_rest_spread(own, fisher, spread, where), spread[np.ix_(where, where)])
        found_kinds.append(KindDifference(kind, len(where), alone, needed, within))
    stated = np.flatnonzero(spread.diagonal())
    total = None
    if len(stated):
        total = _within(*_rest_free(own, fisher, stated), spread[np.ix_(stated, stated)])
    return Difference(test, statistic, freedom, chance(statistic, freedom), tuple(found_kinds), total)


def spread_of(device: Device, sought: Sought) -> FloatArray:
    """(e, e) covariance of logarithms of the sought elements, as the tolerance of the device states it.

    A process is shared by all elements of a quantity, in cells and couplers alike.
    """
    own, shared = sought.elements.sigmas(device.tolerance)
    quantities = np.array([kind.partition(".")[2] for kind in sought.elements.kinds])[sought.numbers]
    own, shared = own[sought.numbers], shared[sought.numbers]
    same = quantities[:, None] == quantities[None]
    return np.asarray(np.diag(own**2) + same * np.outer(shared, shared))


def _without_readout(score: FloatArray, information: FloatArray, e: int) -> tuple[FloatArray, FloatArray]:
    return _rest_free(score, information, np.arange(e))


def _rest_free(h: FloatArray, information: FloatArray, where: IntArray) -> tuple[FloatArray, FloatArray]:
    """Of some unknowns, where the others are at their likeliest."""
    rest = np.setdiff1d(np.arange(len(h)), where)
    across = information[np.ix_(where, rest)]
    pull = across @ np.linalg.pinv(information[np.ix_(rest, rest)], rcond=_RANK, hermitian=True)
    return h[where] - pull @ h[rest], information[np.ix_(where, where)] - pull @ across.T


def _rest_spread(
    h: FloatArray, information: FloatArray, spread: FloatArray, where: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Of some unknowns, where the others are as their spread allows; those without one are at their likeliest."""
    k = len(h)
    stated = np.flatnonzero(spread.diagonal())
    inner, reduced = _rest_free(h, information, np.union1d(where, stated)) if len(stated) < k else (h, information)
    names = np.union1d(where, stated) if len(stated) < k else np.arange(k)
    mine = np.flatnonzero(np.isin(names, where))
    others = np.setdiff1d(np.arange(len(names)), mine)
    across = reduced[np.ix_(mine, others)]
    S = spread[np.ix_(names[others], names[others])]
    inside = reduced[np.ix_(others, others)]
    # across (inside + S^-1)^-1, without the inverse of S
    pull = across @ S @ np.linalg.inv(np.eye(len(others)) + inside @ S)
    return inner[mine] - pull @ inner[others], reduced[np.ix_(mine, mine)] - pull @ across.T


def _quadratic(h: FloatArray, information: FloatArray) -> tuple[float, int]:
    """``h^T I^+ h`` and the rank of I."""
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    kept = values > max(_RANK * values.max(initial=0.0), 1.0)
    return float(((vectors[:, kept].T @ h) ** 2 / values[kept]).sum()), int(kept.sum())


def _within(h: FloatArray, information: FloatArray, spread: FloatArray) -> float:
    """Chance of ``h = I theta`` as large, of theta with a spread and the record's own errors."""
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    kept = values > max(_RANK * values.max(initial=0.0), 1.0)
    if not kept.any():
        return 1.0
    basis, size = vectors[:, kept], values[kept]
    estimate = basis.T @ h / size
    covariance = basis.T @ spread @ basis + np.diag(1.0 / size)
    return chance(float(estimate @ np.linalg.solve(covariance, estimate)), int(kept.sum()))


def prior_of(device: Device, sought: Sought, wanted: bool) -> FloatArray:
    """(k, k) information of the stated tolerances; zeros where nothing is stated, or it is not wanted."""
    k = len(sought)
    found = np.zeros((k, k))
    spread = spread_of(device, sought)
    stated = np.flatnonzero(spread.diagonal())
    if wanted and len(stated):
        own = spread[np.ix_(stated, stated)]
        # Elements that only a process moves go together; a thousandth of it keeps their inverse finite.
        found[np.ix_(stated, stated)] = np.linalg.inv(own + np.diag(1e-6 * own.diagonal()))
    return found


def errors_of(found: Fit) -> FloatArray:
    """(k,) standard errors of logarithms; infinite where the record does not tell."""
    covariance = found.covariance
    held = (found.held**2).sum(axis=1)
    return np.where(held > 1e-6, np.inf, np.sqrt(np.maximum(covariance.diagonal(), 0.0)))
