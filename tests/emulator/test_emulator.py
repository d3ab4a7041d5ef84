"""Exact steps against independent formulas, driven responses, reproducible bits, and sampled statistics.

Statistical assertions: an estimate of a mean or a covariance over N samples that are worth at least
2000 independent ones is Gaussian to a skewness of sqrt(8 / 2000) = 0.06, and 7 standard deviations are
allowed. That is a false alarm in 4e11 for a Gaussian and, with the skewness, below 1e-9 for an entry;
no test looks at more than 10 independent entries, so each raises below 1e-8 false alarms. Seeds are
fixed and were not chosen. What deviation a test would catch is asserted beside it.
"""

import numpy as np
import pytest
import scipy.linalg as la
from helpers import KT, T, difference, law_of, near, paths, random_device, rc_pair, rlc_pair
from scipy.integrate import solve_ivp
from scipy.signal import StateSpace, lsim

import spu
from spu.base.errors import UsageError
from spu.device.device import Device
from spu.emulator.laws.propagate import exact_step, factor, respond
from spu.emulator.runs.run import dense_method, independent_method, run

SIGMAS = 7.0


def silent_rlc(n: int = 3) -> Device:
    """RLC cells at 0 K with noise on the first only, all coupled: B B^T is of rank one."""
    device = Device(temperature=0)
    for k in range(n):
        noise = {"noise": 4e-20} if k == 0 else {}
        device.add_cell(f"c{k}", capacitance=1e-9 * (k + 1), conductance=1e-3, inductance=1e-5, **noise)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=3e-10)
    return device


DEVICES = {
    "rc": rc_pair(T),
    "rlc": rlc_pair(),
    "singular": silent_rlc(),
    "non-reciprocal": random_device(np.random.default_rng(3), 4, temperature=T, transconductors=True),
}


# The exact step


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("step", [1e-6, 1e-3, 0.1, 1.0, 10.0, 100.0])
def test_exact_step(name, step):
    """Q = P - Phi P Phi^T where that does not cancel; Van Loan written out where nothing overflows."""
    law = law_of(DEVICES[name])
    dense, h = law.dense, step * law.time_constants[0]
    found = exact_step(dense, h)
    Q = found.factor @ found.factor.T
    t = h / dense.time
    phi = la.expm(dense.A * t)
    assert difference(found.transition, phi) < 1e-9 if np.linalg.norm(phi) > 1e-20 else True
    P = law.covariance
    direct = P - phi @ P @ phi.T
    assert np.abs(Q - direct).max() < 1e-12 * np.abs(P).max()
    if np.abs(dense.A).sum(axis=0).max() * t < 20:
        n = len(dense.A)
        block = np.block([[-dense.A, dense.B @ dense.B.T], [np.zeros((n, n)), dense.A.T]])
        e = la.expm(block * t)
        assert difference(Q, e[n:, n:].T @ e[:n, n:]) < 1e-7
    if step <= 1e-6:
        assert difference(Q, dense.B @ dense.B.T * t) < 1e-3


@pytest.mark.parametrize("name", DEVICES)
def test_steps_compose(name):
    """Two steps of h are one of 2h."""
    law = law_of(DEVICES[name])
    h = 0.3 * law.time_constants[-1]
    one, two = exact_step(law.dense, h), exact_step(law.dense, 2 * h)
    assert difference(one.transition @ one.transition, two.transition) < 1e-12
    spread = one.transition @ one.factor
    composed = spread @ spread.T + one.factor @ one.factor.T
    assert difference(composed, two.factor @ two.factor.T) < 1e-11


def test_one_step_of_an_ornstein_uhlenbeck_process():
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    law = law_of(device)
    for steps in (1e-6, 1e-3, 1.0, 50.0):
        step = exact_step(law.dense, steps * 1e-6)
        assert step.transition[0, 0] == near(np.exp(-steps), rel=1e-12)
        gain = law.dense.H[0, 0] * step.factor[0, 0]
        assert gain**2 == near(1e-8 * -np.expm1(-2 * steps), rel=1e-12)


def test_factor_of_singular_matrices():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((6, 2))
    root = factor(half @ half.T)
    assert root.shape == (6, 2)
    assert difference(root @ root.T, half @ half.T) < 1e-13
    assert factor(np.zeros((3, 3))).shape == (3, 0)


@pytest.mark.parametrize("spread", [1e-8, 1e-20, 1e-40])
@pytest.mark.parametrize("coupling", [0.0, 1e-13, 1e-9, 1e-6])
@pytest.mark.parametrize("step", [0.01, 1.0, 100.0])
def test_quiet_cells_beside_loud_ones(spread, coupling, step):
    """Noise in two cells is 1e-20 of that in a third, and less: every state keeps its variance, start and step.

    A cell below the rounding of the loudest was sampled as a constant.
    """
    device = Device(temperature=0)
    device.add_cell("loud", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    device.add_cell("a", capacitance=1.1e-9, conductance=1.2e-3, inductance=1.3e-5, noise=4e-20 * spread)
    device.add_cell("b", capacitance=1.1e-9, conductance=1.4e-3, inductance=1.2e-5, noise=4e-20 * spread)
    device.add_coupler("a", "b", capacitance=2e-10)
    if coupling:
        device.add_coupler("loud", "a", capacitance=coupling * 1e-9)
    law = law_of(device)
    how = dense_method(law, step * 1e-6)
    matrix, n = how.step.matrix, how.step.carried
    transition, root, start = matrix[:, :n], matrix[:, n:], how.start.matrix
    P, size = law.covariance, np.sqrt(np.diag(law.covariance))
    after = transition @ (start @ start.T) @ transition.T + root @ root.T
    for found in (start @ start.T, after):
        # A quiet cell that a loud one drives by 1e-13 is known to 1e-6: the law itself is (rounding of the loud).
        assert np.abs((found - P) / size[:, None] / size).max() < 1e-5
    # And so it is drawn: 20,000 independent readouts, each variance to 7 % (7 sigma).
    run_ = spu.simulate(device, samples=20_000, interval=1e-3, trace=0)
    assert np.abs(np.diag(run_.voltage_covariance) / np.diag(law.voltage_covariance) - 1).max() < 0.07


def test_rounding_is_no_correlation():
    """What is left of a silent state is rounding, which may exceed what its variance allows: no loud state is moved."""
    for silent in (0.0, 1e-40, 1e-34, 1e-20):
        covariance = np.array([[1.0, 0.2, 3e-17], [0.2, 2.0, -1e-16], [3e-17, -1e-16, silent]])
        root = factor(covariance)
        assert np.abs((root @ root.T - covariance)[:2, :2]).max() < 1e-15
        assert (root[2] ** 2).sum() <= silent * (1 + 1e-9)


def test_silent_device_stays_at_its_mean():
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, bias=2e-6)
    run = spu.simulate(device, samples=200)
    assert run.mean == near([2e-3], rel=1e-12)
    assert not run.covariance.any() or np.abs(run.covariance).max() < 1e-30


# Driven responses


def state_space(law) -> StateSpace:
    """Per second and per volt of the unit sources, read off the transfer function's definition."""
    dense = law.dense
    gain = np.sqrt(2.0 / dense.time) / 1e-9
    zero = np.zeros((len(dense.H), dense.B.shape[1]))
    return StateSpace(dense.A / dense.time, dense.B * gain, dense.H, zero)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("hold", [True, False])
def test_respond_against_lsim(name, hold):
    law = law_of(DEVICES[name])
    rng = np.random.default_rng(1)
    u = rng.standard_normal((60, law.dense.B.shape[1]))
    h = 0.2 * law.time_constants[-1]
    _, expected, _ = lsim(state_space(law), u, np.arange(60) * h, interp=not hold)
    expected = np.reshape(expected, (60, -1))
    found = respond(law.dense, u, h, hold=hold) - law.voltage_mean
    assert difference(found, expected) < 1e-10


@pytest.mark.parametrize("hold", [True, False])
def test_respond_against_integration_of_the_nodal_equation(hold):
    """An RLC cell written out by hand: C v' = -G v - i + sqrt(S) u, L i' = v; started away from rest."""
    c, g, l, s = 1e-9, 1e-3, 1e-5, 4e-20
    device = Device(temperature=0)
    device.add_cell("a", capacitance=c, conductance=g, inductance=l, noise=s)
    law = law_of(device)
    h, u = 3e-8, np.array([0.0, 1.0, -2.0, 0.5, 3.0, 0.0, 0.0, -1.0])

    def slope(t, x, k):
        drive = u[k] if hold else u[k] + (u[k + 1] - u[k]) * (t / h - k)
        return [(-g * x[0] - x[1] + np.sqrt(s) / 1e-9 * drive) / c, x[0] / l]

    x, expected = np.array([0.3, -1e-3]), [0.3]
    start = np.linalg.solve(law.dense.to_state, x)
    for k in range(len(u) - 1):
        x = solve_ivp(slope, (k * h, (k + 1) * h), x, "DOP853", rtol=1e-12, atol=1e-15, args=(k,)).y[:, -1]
        expected.append(x[0])
    found = respond(law.dense, u[:, None], h, hold=hold, start=start)[:, 0]
    assert difference(found, np.array(expected)) < 1e-9


def test_respond_rests_at_the_mean():
    law = law_of(rc_pair())
    device = rc_pair()
    device.cell_columns.arrays["bias"][:] = [1e-6, -3e-6]
    law = law_of(device)
    found = respond(law.dense, np.zeros((5, law.dense.B.shape[1])), 1e-6, hold=True)
    assert found == near(np.tile(law.voltage_mean, (5, 1)), rel=1e-12)


def driven_node() -> Device:
    """A resistive node m, driven by noise, beside an RC cell."""
    device = Device(temperature=0)
    device.add_cell("m", conductance=1e-3, noise=1e-20)
    device.add_cell("b", capacitance=1e-9, conductance=1e-3)
    device.add_coupler("m", "b", conductance=1e-3)
    return device


def test_respond_of_a_node_without_capacitance():
    """A constant input must end at the transfer function at 0 Hz."""
    law = law_of(driven_node())
    u = np.ones((200, 1))
    final = respond(law.dense, u, 1e-7, hold=False)[-1]
    assert final == near(law.transfer([0.0])[0].real @ u[0], rel=1e-9)


def test_simulate_refuses_to_sample_white_noise():
    with pytest.raises(spu.CircuitError, match="white noise"):
        spu.simulate(driven_node(), samples=100)


# Bits


def test_same_seed_same_run():
    first, again = (spu.simulate(rlc_pair(), samples=300, seed=5) for _ in range(2))
    assert np.array_equal(first.samples_kept, again.samples_kept)
    assert np.array_equal(first.covariance, again.covariance)
    other = spu.simulate(rlc_pair(), samples=300, seed=6)
    assert not np.any(other.samples_kept == first.samples_kept)


def test_readouts_are_what_the_moments_are_of():
    run = spu.simulate(rlc_pair(), samples=1000, trajectories=8, seed=1)
    assert run.samples_kept.shape == (1000, 2)
    assert run.samples == 1000
    assert run.mean == near(run.samples_kept.mean(axis=0), rel=1e-9)
    assert run.covariance == near(np.cov(run.samples_kept.T, bias=True), rel=1e-12)
    assert run.device_time == near(125 * run.interval)
    # One trajectory after another, each in the order of time.
    y = paths(law_of(rlc_pair()), steps=125, interval=run.interval, seed=1, count=8)
    assert np.array_equal(run.samples_kept[125:250], y[:, 1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": 0},
        {"samples": -3},
        {"interval": 0.0},
        {"interval": np.nan},
        {"trajectories": 0},
        {"duration": -1.0},
        {"independent": True, "interval": 1e-6},
    ],
)
def test_bad_arguments(wrong):
    with pytest.raises(UsageError):
        spu.simulate(rlc_pair(), **wrong)


# Sampled statistics


def deviation(found, expected, variance):
    return np.abs(np.asarray(found) - expected) / np.sqrt(variance)


def bartlett(R, steps: int, count: int, shift: int = 0):
    """Variance of ``mean over t of y_i(t + shift) y_j(t)`` from ``R(l)``, a function of the lag in steps.

    Sums ``R_ii(l) R_jj(l) + R_ij(l + shift) R_ji(l - shift)`` over all lags of both signs.
    """
    total = 0.0
    for lag in range(-steps + 1, steps):
        here = R(lag)
        term = np.outer(np.diag(here), np.diag(here))
        if shift:
            term = term + R(lag + shift) * R(lag - shift).T
        else:
            term = term + here * here.T
        total = total + (1 - abs(lag) / steps) * term
        if lag > 0 and np.abs(R(lag)).max() < 1e-9 * np.abs(R(0)).max():
            break
    return total / (steps * count)


@pytest.mark.parametrize("name", DEVICES)
def test_sampled_moments(name):
    """Mean, covariance and lag-1 autocovariance of 32 trajectories, against the law (3 x at most 10 entries)."""
    law = law_of(DEVICES[name])
    count, steps, interval = 32, 600, 0.4 * law.time_constants[0]
    y = paths(law, steps=steps, interval=interval, seed=20, count=count)
    known: dict[int, np.ndarray] = {}

    def R(lag):
        if lag not in known:
            known[lag] = law.autocovariance([lag * interval])[0]
        return known[lag]

    first = next(k for k in range(steps) if np.abs(R(k)).max() < 1e-9 * np.abs(R(0)).max())

    def clipped(lag):
        return R(lag) if abs(lag) <= first + 1 else np.zeros_like(R(0))

    P, n = R(0), steps * count
    variance = bartlett(clipped, steps, count)
    covariance = np.einsum("tki,tkj->ij", y, y) / n
    assert deviation(covariance, P, variance).max() < SIGMAS
    lagged = np.einsum("tki,tkj->ij", y[1:], y[:-1]) / (n - count)
    variance_1 = bartlett(clipped, steps - 1, count, shift=1)
    assert deviation(lagged, R(1), variance_1).max() < SIGMAS
    lags = np.arange(-first, first + 1)
    mean_variance = sum((1 - abs(lag) / steps) * np.diag(R(lag)) for lag in lags) / n
    # An RLC cell's mean is so sharp that only a bound from its correlation time is safe to use.
    mean_variance = np.maximum(mean_variance, np.diag(P) / n / 100)
    assert deviation(y.mean(axis=(0, 1)), 0.0, mean_variance).max() < SIGMAS
    # What this would catch: a variance off by 15 %, a correlation by 0.15, a mean by 0.15 rms.
    size = np.sqrt(np.outer(np.diag(P), np.diag(P)))
    assert (SIGMAS * np.sqrt(variance) / size).max() < 0.15
    assert (SIGMAS * np.sqrt(variance_1) / size).max() < 0.15
    assert (SIGMAS * np.sqrt(mean_variance) / np.sqrt(np.diag(P))).max() < 0.15


def test_stationary_over_time():
    """The covariance at the first readout, soon after and late: each over 4000 independent trajectories."""
    law = law_of(rlc_pair(T))
    count = 4000
    interval = 0.05 * law.time_constants[0]
    y = paths(law, steps=60, interval=interval, seed=4, count=count)
    P = law.voltage_covariance
    sigma = np.sqrt((np.outer(np.diag(P), np.diag(P)) + P**2) / count)
    for k in (0, 1, 10, 59):
        assert (np.abs(y[k].T @ y[k] / count - P) / sigma).max() < SIGMAS, k
        assert (np.abs(y[k].mean(axis=0)) / np.sqrt(np.diag(P) / count)).max() < SIGMAS, k
    # Catches a start that is off by 16 % in variance, such as one from rest or from the wrong factor.
    assert (SIGMAS * sigma.diagonal() / np.diag(P)).max() < 0.16


def test_independent_samples():
    law = law_of(DEVICES["non-reciprocal"])
    samples = 20_000
    y = run(independent_method(law), trajectories=1, steps=samples, seed=11, every=1).kept[0]
    P = law.voltage_covariance
    sigma = np.sqrt((np.outer(np.diag(P), np.diag(P)) + P**2) / samples)
    assert (np.abs(y.T @ y / samples - P) / sigma).max() < SIGMAS
    assert (np.abs(y.mean(axis=0)) / np.sqrt(np.diag(P) / samples)).max() < SIGMAS
    # Successive draws do not correlate.
    assert (np.abs(y[1:].T @ y[:-1] / samples) / np.sqrt(np.outer(np.diag(P), np.diag(P)) / samples)).max() < SIGMAS
    assert (SIGMAS * sigma.diagonal() / np.diag(P)).max() < 0.08  # the variance error that it would catch


@pytest.mark.parametrize("independent", [False, True])
def test_simulate_reports_its_own_error(independent):
    problem = spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]], mean=[1.0, -2.0])
    device = spu.compile(problem)
    run = spu.simulate(device, samples=20_000, seed=2, independent=independent)
    exact = spu.predict(device)
    assert (np.abs(run.covariance - exact.covariance) / run.covariance_error).max() < SIGMAS
    assert (np.abs(run.mean - exact.mean) / run.mean_error).max() < SIGMAS
    # |error| in units of its expected root mean square: at most three entries of unit variance in the mean.
    assert run.relative_error / run.expected_relative_error < SIGMAS
    assert run.expected_relative_error < 0.02
    assert 2000 < run.effective_samples <= 20_000


def test_white_thermal_noise_heats_to_kt():
    """A sampled RC cell at T: kT/C to 7 sigma of 20000 nearly independent readouts (10 % would show)."""
    device = Device(temperature=T)
    device.add_cell("a", capacitance=1e-12, conductance=1e-6)
    run = spu.simulate(device, samples=20_000, interval=3e-6, seed=9)
    assert abs(run.covariance[0, 0] / (KT / 1e-12) - 1) < SIGMAS * np.sqrt(2 / run.effective_samples)
    assert SIGMAS * np.sqrt(2 / run.effective_samples) < 0.1
