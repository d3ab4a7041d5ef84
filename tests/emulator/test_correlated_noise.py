"""Correlated noise in the loops: error bars hold, p-values are as rare as they say, of linear cells and of others."""

import numpy as np
import pytest
from scipy import stats

import spu
from spu.device.device import Device

PROBLEM = spu.LyapunovEquation(
    [[1.0, 2.0, 0.0], [-2.0, 1.5, 0.3], [0.0, 0.1, 1.0]],
    [[1.0, 0.5, 0.3], [0.5, 2.0, -0.4], [0.3, -0.4, 1.2]],
)


@pytest.fixture(scope="module")
def made():
    return spu.compile_problem(PROBLEM)


def test_p_values_of_clean_runs(made, judged):
    draw = np.random.default_rng(3)
    for number in range(80):
        count, steps = int(draw.choice([1, 2, 7, 16, 40])), int(draw.choice([1, 2, 14, 60]))
        interval = 1e-6 * np.exp(draw.uniform(-5, 3))
        spu.simulate(made, samples=count * steps, trajectories=count, interval=interval, seed=number, threads=1)
    p = np.array(judged)
    assert len(p) == 80
    for a in (1e-6, 1e-3, 0.01, 0.05, 0.2, 0.5):
        assert (p <= a).sum() <= stats.binom(len(p), a).isf(1e-9)


def test_error_bars_hold_at_their_rate(made):
    """Of 150 runs each entry lies within its stated error as often as a normal one would."""
    target, found = made.prediction.covariance, []
    for seed in range(150):
        run = spu.simulate(made, samples=4000, trajectories=8, seed=seed, threads=1)
        found.append((run.covariance - target) / run.covariance_error)
    z = np.array(found)
    for i, j in ((0, 0), (0, 1), (1, 2), (2, 2), (0, 2)):
        assert stats.kstest(z[:, i, j], "norm").pvalue > 1e-5, (i, j)


def test_a_run_with_the_sign_of_a_share_wrong_is_far_outside(made):
    """What the test above would see: the same runs held against the covariance of a flipped share."""
    flipped = Device.from_dict(made.device.to_dict())
    flipped.shared.amplitudes[1] *= -1
    run = spu.simulate(flipped, samples=4000, trajectories=8, seed=1)
    z = np.abs(run.covariance - made.prediction.covariance) / run.covariance_error
    assert z.max() > 10


def test_nonlinear_cells_hear_it_too():
    """The quartic wells of two cells, driven by one source alone with opposite signs, stay mirror images."""
    device = Device(temperature=0.0)
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, polynomial_conductance=(1e-4, 0.0, 1e3))
    device.add_noise("n1", {"a": 2e-10, "b": -2e-10})
    found = spu.simulate(device, seed=1, trajectories=64)
    covariance = found.covariance[-1] if np.ndim(found.covariance) == 3 else found.covariance
    np.testing.assert_allclose(covariance[0, 1], -covariance[0, 0], rtol=1e-6)
    np.testing.assert_allclose(covariance[1, 1], covariance[0, 0], rtol=1e-6)
