"""Intervals hold the truth as often as they say, and are not wider than they must be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

import spu
from spu.base.proportions import clopper_pearson
from spu.studies.yields.intervals import korn_graubard
from spu.studies.yields.sampling import HYPERCUBES, Plan
from spu.studies.yields.yield_study import rate_of


@pytest.mark.parametrize(("draws", "confidence"), [(30, 0.95), (200, 0.95), (200, 0.68)])
def test_the_exact_interval_covers_every_truth(draws, confidence):
    """Summed over all counts, not sampled."""
    ends = np.array([clopper_pearson(good, draws, confidence) for good in range(draws + 1)])
    truths = np.linspace(0.001, 0.999, 400)
    inside = (ends[:, 0][:, None] <= truths) & (truths <= ends[:, 1][:, None])
    covered = (binom.pmf(np.arange(draws + 1)[:, None], draws, truths) * inside).sum(axis=0)
    assert covered.min() >= confidence
    assert covered[100:300].mean() < confidence + 3.0 / np.sqrt(draws)  # its counts are whole: no wider than that
    assert ends[0, 0] == 0 and ends[-1, 1] == 1


def test_the_interval_of_a_textbook():
    """15 of 20 (Brown, Cai and DasGupta, Statistical Science 16, 101, 2001, use such): by the tails themselves."""
    low, high = clopper_pearson(15, 20, 0.95)
    assert binom.sf(14, 20, low) == pytest.approx(0.025) and binom.cdf(15, 20, high) == pytest.approx(0.025)


def two_cells():
    device = spu.Device(temperature=300.0)
    for name in "ab":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    return device


SIGMA = 0.02


def studies(method, draws, limit, count):
    """Boards of two elements that are good where the sum of the errors is at most a limit: known to all digits."""
    elements = spu.elements_of(two_cells())
    tolerance = spu.Tolerance(cell={"capacitance": SIGMA})
    for seed in range(count):
        plan = Plan(draws, seed, method)
        factors = np.concatenate(
            [
                spu.draw_factors(elements, tolerance, item["count"], item["seed"], method, first=item["first"])
                for item in plan.items
            ]
        )
        yield (factors[:, :2] - 1).sum(axis=1) <= limit * SIGMA * np.sqrt(2)


@pytest.mark.parametrize(("method", "limit"), [("plain", 1.0), ("latin", 1.0), ("latin", 0.0), ("latin", 2.3)])
def test_repeated_studies_cover_the_truth_at_their_rate(method, limit):
    """Of 300 studies with 95 % at most 4.6 standard errors fewer hold it (one false alarm in 400,000)."""
    truth = norm.cdf(limit)
    rates = [rate_of(good, method, 0.95) for good in studies(method, 200, limit, 300)]
    covered = np.mean([rate.low <= truth <= rate.high for rate in rates])
    assert covered >= 0.95 - 4.6 * np.sqrt(0.95 * 0.05 / 300)
    assert np.mean([rate.rate for rate in rates]) == pytest.approx(truth, abs=0.006)


def test_hypercubes_tell_more_and_say_so():
    """Of the same number of boards the interval is narrower where hypercubes help."""
    widths = {
        method: np.mean(
            [rate.high - rate.low for rate in (rate_of(g, method, 0.95) for g in studies(method, 400, 1.0, 20))]
        )
        for method in ("plain", "latin")
    }
    assert widths["latin"] < 0.8 * widths["plain"]


def test_hypercubes_that_all_agree_are_not_certain():
    """Each holds its share to a whole board: that much is left open, where their scatter is zero."""
    low, high = korn_graubard([7] * HYPERCUBES, 10, 0.95)
    assert low < 0.7 - 0.0165 and high > 0.7 + 0.015  # 0.17 of a board of 10
    assert korn_graubard([10] * HYPERCUBES, 10, 0.95) == clopper_pearson(200, 200, 0.95)
    assert korn_graubard([0] * HYPERCUBES, 10, 0.95) == clopper_pearson(0, 200, 0.95)


def test_boards_are_found_again_by_number():
    elements = spu.elements_of(two_cells())
    tolerance = spu.Tolerance(cell={"capacitance": spu.Spread(0.02, process=0.05)})
    for method, draws in (("plain", 700), ("latin", 80)):
        plan = Plan(draws, 5, method)
        factors = np.concatenate(
            [
                spu.draw_factors(elements, tolerance, item["count"], item["seed"], method, first=item["first"])
                for item in plan.items
            ]
        )
        assert len(factors) == draws
        numbers = [0, 3, 4, 79, draws - 1]
        assert (plan.factors(elements, tolerance, numbers) == factors[numbers]).all()
        if method == "plain":
            assert (factors == spu.draw_factors(elements, tolerance, draws, 5)).all()
