"""How sure an estimate is: closed forms, direct sums, and repeated simulations."""

import numpy as np
import pytest
from helpers import T, difference, law_of, near, paths, random_device, rc_pair, rlc_pair

from spu.base.distances import relative_error
from spu.device.device import Device
from spu.emulator.laws.estimate import (
    _lagged_one_by_one,
    _lagged_sums,
    about_sample_mean,
    independent_error,
    lagged_variance,
    trajectory_error,
)


def rc_cell() -> Device:
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    return device


def resonator(quality: float) -> Device:
    c, l = 1e-9, 1e-5
    device = Device(temperature=0)
    device.add_cell("a", capacitance=c, conductance=np.sqrt(c / l) / quality, inductance=l, noise=1e-20)
    return device


def geometric(q: float, steps: int) -> float:
    """Sum over l = 1..steps-1 of (1 - l / steps) q^l."""
    return q / (1 - q) - q * (1 - q**steps) / (steps * (1 - q) ** 2)


def summed(law, *, steps: int, interval: float, count: int):
    """Bartlett's formula lag by lag from the autocovariance."""
    step_sum = mean_sum = 0.0
    for lag in range(steps):
        R = law.autocovariance([lag * interval])[0]
        weight = (1 if lag == 0 else 2) * (1 - lag / steps)
        step_sum = step_sum + weight * (np.outer(np.diag(R), np.diag(R)) + R * R.T)
        mean_sum = mean_sum + weight * np.diag(R)
    return step_sum / (steps * count), mean_sum / (steps * count)


@pytest.mark.parametrize("interval", [0.01, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_ornstein_uhlenbeck(interval, steps):
    """An RC cell sampled is AR(1): Var = (2 P^2 / N) (1 + 2 sum (1 - l/N) r^2l)."""
    law = law_of(rc_cell())
    P, r, count = 1e-8, np.exp(-interval), 3
    found = trajectory_error(law, steps=steps, interval=interval * 1e-6, count=count)
    covariance = 2 * P**2 * (1 + 2 * geometric(r**2, steps)) / (steps * count)
    mean = P * (1 + 2 * geometric(r, steps)) / (steps * count)
    assert found.covariance_variance[0, 0] == near(covariance, rel=1e-8)
    assert found.mean_variance[0] == near(mean, rel=1e-8)
    assert found.effective_samples == near(2 * P**2 / covariance, rel=1e-8)


@pytest.mark.parametrize("name", ["rc", "rlc", "non-reciprocal"])
def test_direct_summation(name):
    law = law_of(
        {
            "rc": rc_pair(T),
            "rlc": rlc_pair(),
            "non-reciprocal": random_device(np.random.default_rng(8), 3, temperature=T, transconductors=True),
        }[name]
    )
    interval = 0.2 * law.time_constants[0]
    found = trajectory_error(law, steps=150, interval=interval, count=2)
    covariance, mean = summed(law, steps=150, interval=interval, count=2)
    assert difference(found.covariance_variance, covariance) < 1e-9
    assert difference(found.mean_variance, mean) < 1e-7
    P = law.voltage_covariance
    effective = (np.trace(P) ** 2 + np.linalg.norm(P) ** 2) / covariance.sum()
    assert found.effective_samples == near(effective, rel=1e-9)


@pytest.mark.parametrize("steps", [3000, 20_000, 400_000])
def test_doubling_strides(steps):
    """Thousands of readouts a time constant: strides double, and the sum stays that of the closed form."""
    law = law_of(rc_cell())
    interval, P = 2e-4, 1e-8
    found = trajectory_error(law, steps=steps, interval=interval * 1e-6, count=1)
    covariance = 2 * P**2 * (1 + 2 * geometric(np.exp(-2 * interval), steps)) / steps
    mean = P * (1 + 2 * geometric(np.exp(-interval), steps)) / steps
    assert found.covariance_variance[0, 0] == near(covariance, rel=1e-5)
    assert found.mean_variance[0] == near(mean, rel=1e-5)


def resonator_sums(quality: float, phase: float, steps: int) -> tuple[float, float]:
    """(Var of the variance, Var of the mean) of one resonator read ``phase`` radians apart, summed lag by lag."""
    c, l = 1e-9, 1e-5
    P, w0 = 1e-20 * quality * np.sqrt(l / c) / (4 * c), 1 / np.sqrt(l * c)
    decay = w0 / (2 * quality)
    w = np.sqrt(w0**2 - decay**2)
    t = np.arange(1, steps) * phase / w0
    r = P * np.exp(-decay * t) * (np.cos(w * t) - decay / w * np.sin(w * t))
    weight = 2 * (1 - np.arange(1, steps) / steps)
    return (2 * P**2 + (weight * 2 * r**2).sum()) / steps, (P + (weight * r).sum()) / steps


def resonator_error(quality: float, phase: float, steps: int):
    law = law_of(resonator(quality))
    return trajectory_error(law, steps=steps, interval=phase * np.sqrt(1e-14), count=1)


@pytest.mark.parametrize(("quality", "phase"), [(10, 0.1), (10, np.pi / 2), (100, np.pi / 2), (100, np.pi), (100, 2.0)])
def test_resonator(quality, phase):
    found = resonator_error(quality, phase, 20_000)
    covariance, mean = resonator_sums(quality, phase, 20_000)
    assert found.covariance_variance[0, 0] == near(covariance, rel=1e-4)
    assert found.mean_variance[0] == near(mean, rel=1e-2)


@pytest.mark.parametrize("which", ["covariance", "mean"])
def test_resonator_of_high_quality(which):
    """Q = 10000 read every quarter period: every second lag is an extremum."""
    found = resonator_error(1e4, np.pi / 2, 200_000)
    covariance, mean = resonator_sums(1e4, np.pi / 2, 200_000)
    if which == "covariance":
        assert found.covariance_variance[0, 0] == near(covariance, rel=0.01)
    else:
        assert found.mean_variance[0] == near(mean, rel=0.1)


def test_mean_of_a_resonator_read_often():
    """Ten readouts a radian at Q = 100: the mean is sharp, but its error is not zero."""
    found = resonator_error(100, 0.1, 200_000)
    _, mean = resonator_sums(100, 0.1, 200_000)
    assert mean > 0
    assert found.mean_variance[0] == near(mean, rel=0.1)


def test_transform():
    law = law_of(rlc_pair())
    interval = 0.5 * law.time_constants[0]
    T_ = np.array([[2.0, 1.0], [0.0, -3.0], [1.0, 1.0]])
    found = trajectory_error(law, steps=40, interval=interval, count=5, transform=T_)
    total = 0.0
    for lag in range(-39, 40):
        R = T_ @ law.autocovariance([lag * interval])[0] @ T_.T
        total = total + (1 - abs(lag) / 40) * (np.outer(np.diag(R), np.diag(R)) + R * R.T)
    assert difference(found.covariance_variance, total / 200) < 1e-9


def test_count_divides():
    law = law_of(rlc_pair())
    one, many = (trajectory_error(law, steps=50, interval=1e-6, count=count) for count in (1, 8))
    assert difference(one.covariance_variance / 8, many.covariance_variance) < 1e-13
    assert many.effective_samples == near(8 * one.effective_samples, rel=1e-13)


def test_independent_error():
    P = np.array([[2.0, 0.5], [0.5, 1.0]])
    found = independent_error(P, 50)
    assert found.covariance_variance == near(np.array([[8.0, 2.25], [2.25, 2.0]]) / 50)
    assert found.mean_variance == near(np.array([2.0, 1.0]) / 50)
    assert found.effective_samples == 50


@pytest.mark.parametrize("name", ["rc", "rlc"])
def test_against_repeated_simulations(name):
    """2000 independent runs of 100 readouts each: the scatter of their estimates is the predicted one.

    A covariance estimate over 100 correlated readouts has kurtosis below 3 + 12/5, so the variance of
    2000 of them is known to sqrt(4.4 / 2000) = 4.7 %, itself nearly Gaussian. The bound of 40 % is more
    than 8 sigma: false alarms below 1e-8 for the six numbers looked at. It would catch an effective
    sample size that is off by 40 %, as the textbook one for the mean is by more (see the last line).
    """
    law = law_of({"rc": rc_pair(), "rlc": rlc_pair()}[name])
    steps, count = 100, 2000
    interval = 0.3 * law.time_constants[0]
    y = paths(law, steps=steps, interval=interval, seed=1, count=count)
    predicted = trajectory_error(law, steps=steps, interval=interval, count=1)
    estimates = np.einsum("tki,tkj->kij", y, y) / steps
    scatter = ((estimates - law.voltage_covariance) ** 2).mean(axis=0)
    assert np.abs(scatter / predicted.covariance_variance - 1).max() < 0.4
    # Means are Gaussian: the variance of 2000 is known to 3.2 %.
    means = y.mean(axis=0)
    assert np.abs((means**2).mean(axis=0) / predicted.mean_variance - 1).max() < 0.3
    independent = independent_error(law.voltage_covariance, steps)
    assert np.abs(scatter / independent.covariance_variance - 1).max() > 0.4


def test_relative_error():
    assert relative_error(np.array([3.0, 4.0]), np.array([0.0, 4.0])) == 0.75
    assert relative_error(np.ones(2), np.zeros(2)) is None


def frozen_and_fast() -> Device:
    """A resonator that turns by most of a turn while its neighbour, a million times slower, stands still."""
    device = Device(temperature=0)
    device.add_cell("fast", capacitance=1e-9, conductance=1e-4, inductance=1e-5, noise=4e-20)
    device.add_cell("slow", capacitance=1e-9, conductance=1e-10, noise=4e-26)
    device.add_coupler("fast", "slow", capacitance=1e-11)
    return device


@pytest.mark.parametrize("name", ["rc", "rlc", "non-reciprocal", "frozen and fast", "critical"])
@pytest.mark.parametrize(
    ("steps", "interval", "count"),
    [(1, 1.0, 1), (2, 0.1, 3), (40, 0.05, 1), (300, 0.004, 2), (128, 0.7, 2), (200, 5e-8, 2)],
)
def test_about_the_sample_mean(name, steps, interval, count):
    """Mean squared errors about the sample mean, as traces of whole matrices: 2 to 40 effective samples."""
    law = law_of(
        {
            "rc": rc_pair(T),
            "rlc": rlc_pair(),
            "non-reciprocal": random_device(np.random.default_rng(8), 3, temperature=T, transconductors=True),
            "frozen and fast": frozen_and_fast(),
            "critical": resonator(0.5),
        }[name]
    )
    h, P, N = interval * law.time_constants[0], law.voltage_covariance, steps * count
    R = law.autocovariance(np.arange(steps) * h)
    lag = np.arange(steps)[:, None] - np.arange(steps)
    both = np.where((lag >= 0)[..., None, None], R[np.abs(lag)], np.swapaxes(R[np.abs(lag)], -1, -2))
    centring = np.eye(N) - 1.0 / N
    p = len(P)
    gamma = [[centring @ np.kron(np.eye(count), both[..., i, j]) for j in range(p)] for i in range(p)]
    V = np.array([[np.kron(np.eye(count), both[..., i, j]).sum() for j in range(p)] for i in range(p)]) / N**2
    expected = V**2
    for i in range(p):
        for j in range(p):
            expected[i, j] += (np.trace(gamma[i][i] @ gamma[j][j]) + np.trace(gamma[i][j] @ gamma[i][j])) / N**2
    taken = {"steps": steps, "interval": h, "count": count}
    error = trajectory_error(law, **taken)
    assert difference(error.mean_covariance, V) < 1e-9
    found = about_sample_mean(law, error, P, **taken)
    size = np.diag(error.covariance_variance) ** 0.5
    assert np.abs((found.covariance_variance - expected) / np.outer(size, size)).max() < 1e-8
    assert (found.covariance_variance >= 0.9 * V**2).all() and (found.mean_variance > 0).all()


@pytest.mark.parametrize("name", ["rc", "rlc", "non-reciprocal", "frozen and fast", "critical"])
@pytest.mark.parametrize(
    ("steps", "lag", "interval", "count"),
    [(2, 1, 0.1, 3), (40, 1, 0.05, 1), (40, 39, 0.05, 2), (120, 70, 0.3, 1), (128, 3, 0.7, 2), (150, 40, 5e-8, 2)],
)
def test_lagged_covariances(name, steps, lag, interval, count):
    """Of readouts some apart: about the known mean and about the sample's, as traces of whole matrices."""
    law = law_of(
        {
            "rc": rc_pair(T),
            "rlc": rlc_pair(),
            "non-reciprocal": random_device(np.random.default_rng(8), 3, temperature=T, transconductors=True),
            "frozen and fast": frozen_and_fast(),
            "critical": resonator(0.5),
        }[name]
    )
    h, N, M = interval * law.time_constants[0], steps * count, (steps - lag) * count
    R = law.autocovariance(np.arange(steps) * h)
    apart = np.arange(steps)[:, None] - np.arange(steps)
    both = np.where((apart >= 0)[..., None, None], R[np.abs(apart)], np.swapaxes(R[np.abs(apart)], -1, -2))
    p = R.shape[1]
    gamma = [[np.kron(np.eye(count), both[..., i, j]) for j in range(p)] for i in range(p)]
    shift = np.kron(np.eye(count), np.eye(steps, k=-lag)) / M  # y_i^T shift y_j pairs a readout with an earlier one
    for form, about in ((shift, False), (shift - 1.0 / N**2, True)):
        expected = np.empty((p, p))
        for i in range(p):
            for j in range(p):
                crossed = form @ gamma[j][i]
                bias = np.trace(crossed) - R[lag][i, j]
                scatter = np.trace(form @ gamma[j][j] @ form.T @ gamma[i][i]) + np.trace(crossed @ crossed)
                expected[i, j] = scatter + bias**2
        taken = {"steps": steps, "interval": h, "count": count, "lag": lag}
        error = trajectory_error(law, **taken)
        size = np.diag(error.covariance_variance) ** 0.5
        if about:
            error = about_sample_mean(law, error, R[0], **taken)
        assert np.abs((error.lagged_variance - expected) / np.outer(size, size)).max() < 1e-8


def test_lagged_covariances_of_many_states():
    """More states than sums keep every digit for: commuting modes, modes of a drift, and lag by lag agree."""
    n, taken = 70, {"steps": 50, "count": 2}
    device = Device(temperature=0)
    for k in range(n):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", conductance=1e-3)
    law = law_of(device)
    h = 0.2 * law.time_constants[0]
    assert law.modes is not None
    found = lagged_variance(law, 3, interval=h, **taken)
    dense, right = law.dense, law.covariance @ law.dense.H.T
    direct = _lagged_sums(dense, dense.H, right, 47, h, law.slowest, 3)
    assert difference(found, sum(direct) / (47 * 2)) < 1e-5
    one_by_one = _lagged_one_by_one(dense, dense.H, right, 47, h, law.slowest, 3)
    assert difference(sum(one_by_one), sum(direct)) < 1e-8


@pytest.mark.parametrize("samples", [1, 2, 7])
def test_independent_draws_about_their_mean(samples):
    """(2 N - 1) / N^2 of a variance squared: at one draw, which is its own mean, all of it."""
    P = np.array([[2.0, 0.5], [0.5, 1.0]])
    error = independent_error(P, samples)
    found = about_sample_mean(None, error, P, steps=1, interval=0.0, count=samples)
    size = np.outer(np.diag(P), np.diag(P))
    assert found.covariance_variance == near((size + P**2) * (samples - 1) / samples**2 + P**2 / samples**2)


@pytest.mark.parametrize("phase", [1e-4, 1e-7, 1e-10, 1e-13])
@pytest.mark.parametrize("steps", [1, 2, 50, 3000])
def test_runs_far_shorter_than_any_time_constant(phase, steps):
    """All readouts of a trajectory are one: the mean has the law's variance, not what a cancellation leaves (0)."""
    for law in (law_of(rc_cell()), law_of(resonator(3.0)), law_of(rlc_pair())):
        found = trajectory_error(law, steps=steps, interval=phase / steps / np.abs(law.poles).max(), count=1)
        P = law.voltage_covariance
        assert np.abs(found.mean_variance / np.diag(P) - 1).max() < 2 * phase + 1e-9
        assert difference(found.covariance_variance, np.outer(np.diag(P), np.diag(P)) + P**2) < 4 * phase + 1e-9
