"""Lagged covariances: exact, counted, held by the guard, and with error bars that are honest at any lag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg as la
from helpers import difference, law_of, random_device

import spu
from spu.base.errors import InternalError, OptionError, UsageError
from spu.circuit.scales import Scales
from spu.device.lower import lower
from spu.emulator.dynamics import dynamics
from spu.emulator.predict import predict_linear, predicted
from spu.emulator.runs import guard, sampling
from spu.emulator.runs.run import choose_method, run
from spu.emulator.runs.sampling import dividing
from spu.problems.answers import LAGGED

A = np.array([[-1.0, 0.5], [-0.8, -2.0]])


@pytest.fixture(scope="module")
def device():
    return spu.compile_problem(spu.MatrixExponential(A, 0.5)).device


def _at(device, time):
    """The same device asked for another time; and the problem."""
    return spu.MatrixExponential(A, time), device


@pytest.mark.parametrize("time", [1e-3, 0.5, 4.0])
def test_a_prediction_is_exact(device, time):
    problem, device = _at(device, time)
    found = spu.predict(device, problem=problem)
    assert found.lag == pytest.approx(time * device.scales.time, rel=1e-12)
    np.testing.assert_allclose(found.lagged, la.expm(A * time), atol=1e-12)
    np.testing.assert_array_equal(found.target_lagged, problem.target_lagged)
    assert found.lagged_relative_error == found.relative_error < 1e-10
    assert found.to_dict()["lagged"] is found.lagged and found.answer.lagged
    law = law_of(device)
    own = law.sde.readout.matrix.toarray()
    np.testing.assert_allclose(found.lagged, own @ law.autocovariance([found.lag])[0] @ own.T, rtol=1e-12, atol=1e-15)


def test_what_has_no_lag_has_none():
    found = spu.predict(spu.compile([[2.0, -0.5], [-0.5, 1.0]]))
    assert found.lag is None is found.lagged is found.target_lagged
    assert found.lagged_relative_error is None
    assert spu.simulate(spu.compile([[2.0]]), samples=200).lagged_error is None


def test_a_band_has_no_lag(device):
    assert spu.predict(device, band=(1.0, 1e5)).lagged is None


def test_a_device_that_says_nothing_of_time_is_refused():
    device = random_device(np.random.default_rng(1), 2, temperature=300.0)
    problem = spu.MatrixExponential(A, 0.5)
    for ask in (spu.predict, spu.simulate):
        with pytest.raises(UsageError, match="how long a unit of the problem's time takes"):
            ask(device, problem=problem)
    device.scales = Scales(1e-6, 1.0)
    assert spu.predict(device, problem=problem).lag == 0.5e-6


def test_the_interval_divides_the_lag():
    assert dividing(1.0, None, 2.0) == (1.0, 1)
    assert dividing(1.0, None, 1.0) == (1.0, 1)
    assert dividing(5.0, None, 2.0) == (5.0 / 3.0, 3)
    assert dividing(1e6, None, 1.0) == (1e6 / 64, 64)
    assert dividing(1.0, 0.25 * (1 + 1e-9), 2.0) == (0.25, 4)
    with pytest.raises(UsageError, match=r"interval 0\.3 s does not divide the lag of 1 s .* 0\.333333333 s would"):
        dividing(1.0, 0.3, 2.0)
    with pytest.raises(UsageError, match="1 s would"):
        dividing(1.0, 7.0, 2.0)
    assert dividing(1.0, float("0.333333333"), 2.0) == (1.0 / 3.0, 3)  # what the message says would do


def test_runs_take_it(device):
    problem, device = _at(device, 4.0)
    found = spu.simulate(device, problem=problem, samples=500, seed=1)
    slowest = law_of(device).slowest
    assert found.interval <= slowest * (1 + 1e-12) < 2 * found.interval
    assert round(found.lag / found.interval) * found.interval == pytest.approx(found.lag)
    with pytest.raises(UsageError, match="does not divide"):
        spu.simulate(device, problem=problem, samples=500, interval=0.3 * found.lag)
    with pytest.raises(UsageError, match=r"no two of 5 readouts of a trajectory .* more than 10 are needed of each"):
        spu.simulate(device, problem=problem, duration=0.5 * found.lag, interval=0.1 * found.lag)
    with pytest.raises(OptionError, match="independent draws tell nothing of readings"):
        spu.simulate(device, problem=problem, independent=True)


@pytest.mark.parametrize("method", ["modal", "dense"])
def test_a_single_lag_is_counted_as_among_all(method):
    """Every so-manieth lag alone: the same products to the last bit, and nothing in between."""
    law = law_of(spu.compile([[2.0, -0.5], [-0.5, 1.0]]))
    how = choose_method(law, 0.3 * law.slowest, method)
    for trajectories, steps in ((70, 41), (1, 300)):
        every = run(how, trajectories=trajectories, steps=steps, seed=3, lags=14)
        some = run(how, trajectories=trajectories, steps=steps, seed=3, lags=2, apart=7)
        np.testing.assert_array_equal(some.products, every.products[::7])
        np.testing.assert_array_equal(some.pairs, every.pairs[::7])


def test_lags_asked_for_are_there_beside_it(device):
    found = spu.simulate(device, samples=4000, seed=2, lags=3, interval=spu.predict(device).lag / 2)
    assert found.autocovariance.shape == (4, 2, 2)
    np.testing.assert_allclose(found.lagged, found.autocovariance[2], rtol=1e-12)
    alone = spu.simulate(device, samples=4000, seed=2, interval=found.interval)
    np.testing.assert_array_equal(alone.lagged, found.lagged)
    assert alone.autocovariance is None
    path = found.readouts
    mean = path.reshape(-1, 2).mean(axis=0)
    later, earlier = path[:, 2:].reshape(-1, 2), path[:, :-2].reshape(-1, 2)
    np.testing.assert_allclose(found.lagged, later.T @ earlier / len(later) - np.outer(mean, mean), atol=1e-12)


@pytest.mark.parametrize(
    ("time", "options"),
    [
        (0.5, {}),
        (0.02, {}),
        (4.0, {}),
        (0.5, {"interval": 1 / 8, "samples": 320, "trajectories": 2}),
        (0.02, {"samples": 40, "trajectories": 8}),
    ],
)
def test_error_bars_are_honest(device, time, options):
    """300 short runs: mean squares of deviations in standard errors, which are root mean squares about the truth.

    Each of the four averages has the mean 1 and a standard deviation of 0.13 or less (deviations have kurtosis 6 at
    most); 0.65 is five of them: a false alarm in 10^6 seeds. In all, 95 % are within two standard errors.
    """
    problem, device = _at(device, time)
    given = {"samples": 400, "trajectories": 4, **options}
    if "interval" in given:
        given["interval"] *= problem.lag * device.scales.time
    z = []
    for seed in range(300):
        found = spu.simulate(device, problem=problem, seed=seed, trace=0, **given)
        z.append((found.lagged - found.target_lagged) / found.lagged_error)
    squares = np.mean(np.square(z), axis=0)
    assert np.abs(squares - 1).max() < 0.65, squares
    assert abs(squares.mean() - 1) < 0.3
    assert 0.92 < np.mean(np.abs(z) < 2) < 0.99


def test_expected_and_worst_are_of_the_answer(device):
    found = spu.simulate(device, samples=20_000, seed=4)
    size = np.linalg.norm(found.target_lagged)
    assert found.expected_relative_error == pytest.approx(np.linalg.norm(found.lagged_error) / size)
    assert found.relative_error == pytest.approx(np.linalg.norm(found.lagged - found.target_lagged) / size)
    z = np.abs(found.lagged - found.target_lagged) / found.lagged_error
    worst, i, j, count = found.worst_deviation()
    assert (worst, z[i, j], count) == (z.max(), z.max(), 4)


def test_single_precision(device):
    found = spu.simulate(device, samples=3000, seed=5, precision="single")
    double = spu.simulate(device, samples=3000, seed=5)
    assert 0 < difference(found.lagged, double.lagged) < 1e-4
    assert found.precision_error < 1e-4


def test_an_ensemble_is_merged(device):
    """Several programmings: of means apart the spread counts, as it does in the covariance."""
    parts = [random_device(np.random.default_rng(k), 2, temperature=300.0, transconductors=True) for k in (1, 2)]
    problem = spu.MatrixExponential(A, 0.5)
    for part in parts:
        part.scales = Scales(1e-6, 1.0)
    laws = [law_of(part) for part in parts]
    found, each = predicted(laws, problem), [predicted([law], problem) for law in laws]
    mean = (each[0].mean + each[1].mean) / 2
    spread = sum(np.outer(part.mean - mean, part.mean - mean) for part in each) / 2
    np.testing.assert_allclose(found.lagged, (each[0].lagged + each[1].lagged) / 2 + spread, rtol=1e-12)
    run = sampling.simulate_linear([dynamics(lower(part)) for part in parts], problem, sampling.Sampling(samples=4000))
    z = (run.lagged - found.lagged) / run.lagged_error
    assert run.programmings == 2 and np.abs(z).max() < 6


@pytest.mark.parametrize(
    ("matrix", "fault"),
    [
        (A, "later"),
        (A, "transposed"),
        (A, "bigger"),
        (np.diag([-1.0, -2.0]), "later"),
        (np.diag([-1.0, -2.0]), "bigger"),
    ],
)
def test_the_guard_sees_a_lag_that_is_none(monkeypatch, matrix, fault):
    """Of steps of all states together, and mode by mode."""
    device = spu.compile_problem(spu.MatrixExponential(matrix, 0.5)).device
    assert spu.simulate(device, samples=200).method == ("dense" if matrix is A else "modal")
    real = sampling.run

    def wrong(how, **options):
        sums = real(how, **options)
        products = sums.products.copy()
        changed = {
            "later": 0.7 * products[1],
            "transposed": products[1].T,
            "bigger": products[1] + 0.2 * np.abs(products[0]),
        }[fault]
        products[1] = changed
        return replace(sums, products=products, counted_products=products)

    monkeypatch.setattr(sampling, "run", wrong)
    with pytest.raises(InternalError, match="lag"):
        spu.simulate(device, samples=100_000, seed=6)


def test_the_guard_looks_at_what_is_shown(monkeypatch):
    """Of more states than it whitens, the lagged covariance as it is shown."""
    n = 70
    drift = -np.diag(np.linspace(1.0, 3.0, n)) + np.diag(np.full(n - 1, 0.8), 1)
    device = spu.compile_problem(spu.MatrixExponential(drift, 0.5)).device
    found = spu.simulate(device, samples=6400, seed=7)
    assert found.method == "dense" and found.worst_deviation()[0] < 6
    real = guard._hold_lagged

    def off(tests, claims, trajectories, pairs, reach, known_to, gap):
        real(tests, claims, trajectories, pairs, reach, known_to, gap + 0.3 * np.eye(n))

    monkeypatch.setattr(guard, "_hold_lagged", off)
    with pytest.raises(InternalError, match=r"the lagged covariance of x\d+ with x\d+ is off its law's by 0\.[23]"):
        spu.simulate(device, samples=6400, seed=7)


def test_moments_for_an_answer():
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    found = predict_linear(device)
    assert found.moments_for(found.answer)[1] is found.covariance
    with pytest.raises(UsageError, match="no lagged covariance"):
        found.moments_for(LAGGED)
