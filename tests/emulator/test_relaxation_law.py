"""Linear devices that leave a given state: the exact law, trajectories, and what holds them to it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.linalg as la
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

import spu
from spu.base.errors import InternalError
from spu.emulator.runs import kicked

BOLTZMANN = 1.380649e-23
ALARM = 1e-7
"""Probability of a false alarm of each statistical assertion; a variance that is off by 10 % is seen nearly always."""


def random_device(rng, n, ringing):
    """A device built by hand, and its own equation ``C v' = -G v - i + b + noise``, ``L i' = v``."""
    temperature = 300.0
    own, leak, noise = rng.uniform(1e-9, 3e-9, n), rng.uniform(1e-4, 1e-3, n), rng.uniform(1e-20, 1e-19, n)
    bias = np.zeros(n) if ringing else rng.normal(0, 1e-6, n)
    C, G = np.diag(own), np.diag(leak)
    device = spu.Device(temperature=temperature)
    L = rng.uniform(1e-6, 1e-5, n)
    for k in range(n):
        more = {"inductance": L[k]} if ringing else {"bias": bias[k]}
        device.add_cell(f"c{k}", capacitance=own[k], conductance=leak[k], noise=noise[k], **more)
    thermal = 4 * BOLTZMANN * temperature
    S = np.diag(noise + thermal * leak)
    for a in range(n):
        for b in range(a):
            c, g = rng.uniform(1e-10, 5e-10), rng.uniform(1e-5, 1e-4)
            device.add_coupler(f"c{a}", f"c{b}", capacitance=c, conductance=g)
            e = np.zeros(n)
            e[a], e[b] = 1.0, -1.0
            C, G, S = C + c * np.outer(e, e), G + g * np.outer(e, e), S + thermal * g * np.outer(e, e)
    if ringing:
        zero, eye = np.zeros((n, n)), np.eye(n)
        A = np.block([[-la.solve(C, G), -la.inv(C)], [np.diag(1 / L), zero]])
        Q = la.block_diag(la.solve(C, la.solve(C, S / 2).T), zero)
        return device, A, Q, np.zeros(2 * n), np.hstack([eye, zero])
    return device, -la.solve(C, G), la.solve(C, la.solve(C, S / 2).T), la.solve(G, bias), np.eye(n)


@pytest.mark.parametrize("ringing", [False, True], ids=["rc", "rlc"])
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4), start=st.floats(-1e3, 1e3))
def test_the_law_is_that_of_the_circuits_equation(ringing, seed, n, start):
    """Against scipy's exponential of matrices that the test writes down itself, from a thousandth of the fastest time
    constant to thirty of the slowest."""
    rng = np.random.default_rng(seed)
    device, A, Q, mean, H = random_device(rng, n, ringing)
    P = la.solve_continuous_lyapunov(A, -Q)
    rates = -np.linalg.eigvals(A).real
    times = np.sort(np.append(0.0, 10 ** rng.uniform(np.log10(1e-3 / rates.max()), np.log10(30 / rates.min()), 4)))
    begin = start * np.sqrt(np.diag(H @ P @ H.T)) * rng.uniform(-1, 1, n)
    found = spu.relaxation(device, start=begin, times=times)
    z = np.zeros(len(A))
    z[:n] = begin
    size = np.sqrt(np.diag(H @ P @ H.T)) + np.abs(begin)
    for k, t in enumerate(times):
        phi = la.expm(A * t)
        assert np.allclose(found.mean[k] / size, H @ (mean + phi @ (z - mean)) / size, atol=1e-9)
        expected = H @ (P - phi @ P @ phi.T) @ H.T
        assert np.allclose(found.covariance[k] / np.outer(size, size), expected / np.outer(size, size), atol=1e-9)
    at_rest = spu.relaxation(device, start="rest", times=times)
    assert np.allclose(
        at_rest.mean[1:], [H @ (mean - la.expm(A * t) @ mean) for t in times[1:]], atol=1e-9 * size.max()
    )
    still = spu.relaxation(device, start="stationary", times=times)
    assert np.allclose(still.covariance, (H @ P @ H.T)[None], rtol=1e-8, atol=1e-12 * np.diag(H @ P @ H.T).max())


@pytest.mark.parametrize("ringing", [False, True], ids=["rc", "rlc"])
def test_trajectories_have_that_law(ringing):
    """In white coordinates at each readout, and of all readouts of a trajectory together, by the test's own law."""
    rng = np.random.default_rng(5)
    device, A, Q, mean, H = random_device(rng, 3, ringing)
    P = la.solve_continuous_lyapunov(A, -Q)
    slowest = 1 / (-np.linalg.eigvals(A).real).min()
    times = slowest * np.array([0.02, 0.3, 0.3, 1.0, 4.0])
    begin = 30 * np.sqrt(np.diag(H @ P @ H.T)) * [1, -1, 0.5]
    count = 4000
    run = spu.simulate(device, start=begin, times=times, trajectories=count, seed=3)
    assert run.complete and run.readouts.shape == (count, 5, 3)
    z = np.zeros(len(A))
    z[:3] = begin
    tests = 0
    for k, t in enumerate(times):
        phi = la.expm(A * t)
        law = H @ (P - phi @ P @ phi.T) @ H.T
        white = la.solve_triangular(
            la.cholesky(law, lower=True), (run.states[k] - H @ (mean + phi @ (z - mean))).T, lower=True
        )
        assert abs(white.sum()) < norm.isf(ALARM / 2) * np.sqrt(3 * count)
        squares = (white**2).sum(axis=1)
        assert (chi2.isf(1 - ALARM / 2, count) < squares).all() and (squares < chi2.isf(ALARM / 2, count)).all()
        tests += 1
    assert tests == 5
    assert (run.states[1] == run.states[2]).all()  # no time passes between
    # Of one time and another: E[x(t) x(s)^T] about the mean is Phi(t - s) P(s), seen by H.
    s, t = times[1], times[3]
    first = P - la.expm(A * s) @ P @ la.expm(A * s).T
    expected = H @ la.expm(A * (t - s)) @ first @ H.T
    a, b = (run.states[k] - run.exact.mean[k] for k in (3, 1))
    spread = np.sqrt(np.outer(run.exact.variance[3], run.exact.variance[1]) / count)
    assert (np.abs(a.T @ b / count - expected) < norm.isf(ALARM / 2) * np.sqrt(2) * spread).all()


def test_the_guards_p_values_are_no_smaller_than_chance(judged):
    """Ninety-nine runs: the least p-value of them is above 1e-7/99 by chance alone, and no bound may claim less."""
    device, *_ = random_device(np.random.default_rng(1), 2, True)
    for seed in range(33):
        for start in ("rest", "stationary", 1e-3):
            spu.simulate(device, start=start, times=[1e-7, 2e-7, 1e-6], trajectories=9, seed=seed)
    assert len(judged) == 99 and min(judged) > ALARM / 99


def test_bits_hang_on_seed_and_trajectory_alone():
    device, *_ = random_device(np.random.default_rng(2), 3, True)
    given_ = {"start": [1e-3, 0.0, -1e-3], "times": [1e-7, 3e-7, 1e-6]}
    many = spu.simulate(device, **given_, trajectories=300, seed=7, threads=2)
    few = spu.simulate(device, **given_, trajectories=41, seed=7, threads=1)
    assert np.array_equal(many.readouts[:41], few.readouts)
    assert not np.array_equal(many.readouts, spu.simulate(device, **given_, trajectories=300, seed=8).readouts)


def wrong_laws():
    def other_step(law):
        return dataclasses.replace(
            law, steps=tuple(dataclasses.replace(s, transition=0.9 * s.transition) for s in law.steps)
        )

    def other_noise(law):
        return dataclasses.replace(law, steps=tuple(dataclasses.replace(s, factor=1.1 * s.factor) for s in law.steps))

    def other_start(law):
        return dataclasses.replace(law, start=1.5 * law.start)

    def one_step_left_out(law):
        return dataclasses.replace(law, which=np.where(np.arange(len(law.which)) == 1, -1, law.which))

    return [other_step, other_noise, other_start, one_step_left_out]


@pytest.mark.parametrize("wrong", wrong_laws(), ids=lambda wrong: wrong.__name__)
def test_a_run_of_another_law_is_no_result(wrong, monkeypatch):
    device, *_ = random_device(np.random.default_rng(3), 2, True)
    slowest = float(spu.predict(device).time_constants[0])
    made = kicked._run
    monkeypatch.setattr(kicked, "_run", lambda law, *rest: made(wrong(law), *rest))
    with pytest.raises(InternalError, match="a run is not of its circuit's law"):
        spu.simulate(device, start=1e-3, times=slowest * np.array([0.1, 0.4, 1.0]), trajectories=2000)


def test_noise_that_repeats_is_no_result(monkeypatch):
    """The same noise in every step leaves each readout's law as it is where the start is forgotten in between."""
    device, *_ = random_device(np.random.default_rng(3), 2, False)
    slowest = float(spu.predict(device).time_constants[0])
    made = kicked.kernels.drivers

    def repeating(*given_):
        return [lambda _first, steps, every, drive=drive: drive(1, steps, every) for drive in made(*given_)]

    monkeypatch.setattr(kicked.kernels, "drivers", repeating)
    with pytest.raises(InternalError, match="hangs on where it came from"):
        spu.simulate(device, start="stationary", times=slowest * np.array([20.0, 40.0]), trajectories=2000)


def test_a_device_without_noise_follows_its_mean():
    device = spu.Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, bias=1e-6)
    run = spu.simulate(device, start=2e-3, times=[0.0, 1e-6, 1e-4], trajectories=2)
    assert np.allclose(run.readouts, run.exact.mean, rtol=1e-12)
    assert np.allclose(run.mean[:, 0], [2e-3, 1e-3 + 1e-3 * np.exp(-1), 1e-3], rtol=1e-12)
    assert not run.exact.covariance.any()


def test_starts_by_name_and_in_pairs():
    dual = spu.compile([[2.0, 0.6, 0.6], [0.6, 2.0, 0.6], [0.6, 0.6, 2.0]], architecture="rlc-capacitive-dual")
    found = spu.relaxation(dual, start=[1.0, -2.0, 0.5], times=[0.0, 1e-3])
    assert np.allclose(found.mean[0], [1.0, -2.0, 0.5])
    assert np.allclose(found.voltage_mean[0][::2], -found.voltage_mean[0][1::2])  # no common voltage
    assert not spu.relaxation(dual, start="rest", times=[0.0]).voltage_mean.any()
    assert spu.relaxation(dual, start="stationary", times=[0.0]).start is None


REFUSED = [
    ({"start": 1.0}, "start needs times at which it is read"),
    ({"start": "equilibrium", "times": 1.0}, 'start is numbers, "rest" or "stationary", not \'equilibrium\''),
    ({"start": [1.0], "times": 1.0}, "one number a variable (2) or one for all"),
    ({"start": np.nan, "times": 1.0}, "start must be finite"),
    ({"start": "rest", "times": []}, "no time to read at in times"),
    ({"start": "rest", "times": [2.0, 1.0]}, "not negative and not falling"),
    ({"start": "rest", "times": 1.0, "samples": 10}, "samples is not for relaxations from a start"),
    ({"start": "rest", "times": 1.0, "heat": True}, "heat is not for relaxations from a start"),
    ({"start": "rest", "times": 1.0, "precision": "single"}, "precision single is not for relaxations"),
    ({"start": "rest", "times": 1.0, "threads": 0}, "threads must be"),
    ({"start": "rest", "times": 1.0, "trajectories": 10**9}, "fewer times or trajectories"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_is_refused(options, message):
    with pytest.raises(spu.SpuError) as refused:
        spu.simulate(spu.compile([[2.0, -0.5], [-0.5, 1.0]]), **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_voltage_that_no_capacitance_holds_has_no_start():
    device = spu.Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_cell("b", conductance=1e-3)
    device.add_coupler("a", "b", conductance=1e-3)
    with pytest.raises(spu.SpuError, match=r"no start for .*b.*: no capacitance holds that voltage by itself"):
        spu.relaxation(device, start=[1.0, 1.0], times=1.0)
    assert np.allclose(spu.relaxation(device, start=[1.0, 0.5], times=0.0).mean, [[1.0, 0.5]])
    with pytest.raises(spu.SpuError, match="this is an ensemble of 2: take a member"):
        spu.relaxation(spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8-4bit", ensemble=2), start=1.0, times=1.0)
    with pytest.raises(spu.SpuError, match="no exact relaxation of networks"):
        spu.relaxation(spu.compile(spu.ThermodynamicNetwork(units=2)), start=1.0, times=1.0)
