"""Linear circuits whose couplers vary in time: the response against plain numpy, and the work of many runs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg as la
from scipy.integrate import solve_ivp

import spu
from spu.device.lower import lower
from spu.emulator.dynamics import dynamics
from spu.emulator.laws.ramps import stairs
from spu.emulator.laws.work import Potential, gentle_ramp, jumps
from spu.emulator.runs.driven import Driver

CAPACITANCE, CONDUCTANCE, INDUCTANCE, COUPLING = 1e-9, 1e-3, 1e-5, 4e-10


def _device(kind: str, ramp: spu.Ramp, bias: float = 0.0) -> spu.Device:
    device = spu.Device(temperature=0.0)
    for name in ("a", "b"):
        parts = {"inductance": INDUCTANCE} if kind == "capacitance" else {"bias": bias}
        device.add_cell(name, capacitance=CAPACITANCE, conductance=CONDUCTANCE, noise=4e-20, **parts)
    strength = {"capacitance": COUPLING, "conductance": 5e-4, "transconductance": (4e-4, -3e-4)}[kind]
    device.add_coupler("a", "b", **{kind: strength})
    device.ramp = ramp
    return device


JUMPS = spu.Ramp([0.3e-6, 0.3e-6, 1.1e-6, 1.1e-6], couplers=[0.0, 0.5, 0.5, 1.0])
SLOPE = spu.Ramp([0.2e-6, 1.4e-6], couplers=[0.0, 1.0], noise=[1.0, 2.0])


@pytest.mark.parametrize("kind", ["capacitance", "conductance", "transconductance"])
@pytest.mark.parametrize("ramp", [JUMPS, SLOPE], ids=["jumps", "slope"])
def test_a_response_under_a_ramp_is_that_of_the_charges(kind: str, ramp: spu.Ramp) -> None:
    """``q' = F(t) E(t)^-1 q + K(t) n``, written by hand and integrated by scipy."""
    circuit = lower(_device(kind, ramp))
    interval, count = 7.1e-9, 230
    waveform = 1e-6 * np.random.default_rng(0).normal(size=(count + 1, 2))
    found = dynamics(circuit).respond(waveform, interval, hold=False)
    gain = np.sqrt(4e-20) / 1e-9

    def matrices(t: float) -> tuple[np.ndarray, np.ndarray, float]:
        u, s = (float(part[0]) for part in ramp.at([t]))
        C, G = CAPACITANCE * np.eye(2), CONDUCTANCE * np.eye(2)
        if kind == "capacitance":
            C = C + u * COUPLING * np.array([[1.0, -1.0], [-1.0, 1.0]])
        if kind == "conductance":
            G = G + u * 5e-4 * np.array([[1.0, -1.0], [-1.0, 1.0]])
        if kind == "transconductance":
            G = G + u * np.array([[0.0, 4e-4], [-3e-4, 0.0]])
        return C, G, s

    def flow(t: float, q: np.ndarray) -> np.ndarray:
        C, G, s = matrices(t)
        drive = s * gain * np.array([np.interp(t, np.arange(count + 1) * interval, waveform[:, k]) for k in range(2)])
        v = np.linalg.solve(C, q[:2])
        if kind != "capacitance":
            return np.asarray(drive - G @ v)
        return np.concatenate([drive - G @ v - q[2:] / INDUCTANCE, v])

    q, expected, t = np.zeros(4 if kind == "capacitance" else 2), [np.zeros(2)], 0.0
    for k in range(count):
        cuts = [x for x in np.unique(ramp.times) if k * interval < x < (k + 1) * interval]
        for end in [*cuts, (k + 1) * interval]:
            q = solve_ivp(flow, (t, end - 1e-18), q, method="DOP853", rtol=1e-10, atol=1e-30).y[:, -1]
            t = end
        expected.append(np.linalg.solve(matrices(t)[0], q[:2]))
    size = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=(1e-6 if ramp is JUMPS else 3e-4) * size)


def test_a_response_begins_at_the_rest_of_the_first_factors() -> None:
    circuit = lower(_device("conductance", JUMPS, bias=1e-6))
    found = dynamics(circuit).respond(np.zeros((3, 2)), 1e-8, hold=True)
    np.testing.assert_allclose(found[0], 1e-3, rtol=1e-12)


def test_slopes_are_cut_into_stairs_and_jumps_are_not() -> None:
    assert [(s.start, s.end, s.couplers) for s in stairs(JUMPS)] == [(0.0, 0.3e-6, 0.0), (0.3e-6, 1.1e-6, 0.5)]
    found = stairs(SLOPE)
    assert len(found) == 65 and found[0].couplers == 0.0 and found[1].couplers == pytest.approx(0.5 / 64)
    assert len(stairs(SLOPE, longest=1e-9)) > 1200
    back = jumps(JUMPS, backward=True)
    legs = [(j.before, j.after, j.rest) for j in back]
    np.testing.assert_allclose(legs, [(1.0, 0.5, 0.8e-6), (0.5, 0.0, 0.3e-6), (0.0, 0.0, 0.0)], rtol=1e-12)


def _compiled(architecture: str, **ramp: float) -> spu.Device:
    matrix = [[2.0, -0.7, 0.0], [-0.7, 1.5, -0.6], [0.0, -0.6, 1.2]]
    if architecture == "rlc-capacitive-dual":
        matrix = [[2.0, -0.7, 0.5], [-0.7, 1.5, 0.6], [0.5, 0.6, 1.9]]
    device = spu.compile(matrix, architecture=architecture)
    device.ramp = spu.Ramp([0.0, 1.0], couplers=[0.0, 1.0])
    device.ramp = gentle_ramp(lower(device), **ramp)  # type: ignore[arg-type]
    return device


ARCHITECTURES = ["rlc-capacitive", "rlc-capacitive-dual", "rc-resistive", "rc-transconductor"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_work_has_its_exact_mean_and_both_identities(architecture: str) -> None:
    """4000 runs each way: every assertion at 5 sigma, 6e-7 a false alarm; mean work off by 0.1 kT would be seen."""
    device = _compiled(architecture, dissipation=1.0)
    potential = Potential.of(lower(device))
    driver = Driver(potential)
    ahead, back = (driver.run(4000, seed=3, backward=backward) for backward in (False, True))
    A = np.asarray(device.problem.matrix)
    log_det = np.linalg.slogdet(A)[1]
    assert potential.reference + 2 * potential.sign * potential.free_energy == pytest.approx(log_det, abs=1e-9)
    assert potential.systematic == pytest.approx(0.0, abs=1e-9)
    for run, sign, backward in ((ahead, 1.0, False), (back, -1.0, True)):
        error = run.work.std() / np.sqrt(4000)
        assert abs(run.work.mean() - potential.mean_work(backward=backward)) < 5 * error
        weights = np.exp(-run.work + sign * potential.free_energy)
        assert abs(weights.mean() - 1.0) < 5 * weights.std() / np.sqrt(4000)
    # Crooks: p(W) e^-W = p_back(-W) e^-F, by means of a bounded function of W.
    scores = [np.exp(-ahead.work + potential.free_energy) / np.cosh(ahead.work), 1 / np.cosh(back.work)]
    error = np.sqrt(sum(part.var() / 4000 for part in scores))
    assert abs(scores[0].mean() - scores[1].mean()) < 5 * error
    # Each starts in equilibrium: of the matrix at the ramp's end, backward.
    whitened = back.first @ la.cholesky(A, lower=True)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(3), atol=5 * np.sqrt(2 / 4000))


def test_work_of_a_jump_by_hand() -> None:
    """One jump of a capacitive coupler: ``q^T (C'^-1 - C^-1) q / 2`` at the charges of the start."""
    ramp = spu.Ramp([0.0, 0.0, 1e-6], couplers=[0.0, 1.0, 1.0])
    potential = Potential.of(lower(_device("capacitance", ramp)))
    driven = Driver(potential).run(5, seed=1)
    C = CAPACITANCE * np.eye(2)
    after = C + COUPLING * np.array([[1.0, -1.0], [-1.0, 1.0]])
    q = driven.first @ C
    work = 0.5 * np.einsum("bi,ij,bj->b", q, np.linalg.inv(after) - np.linalg.inv(C), q)
    np.testing.assert_allclose(driven.work * potential.theta, work, rtol=1e-9)
    assert potential.theta == pytest.approx(4e-20 / (4 * CONDUCTANCE), rel=1e-9)  # S R / 4


def test_a_run_hangs_on_the_seed_and_its_number_alone() -> None:
    driver = Driver(Potential.of(lower(_compiled("rlc-capacitive"))))
    few, many = driver.run(3, seed=5).work, driver.run(700, seed=5).work
    assert few.tolist() == many[:3].tolist()
    assert driver.run(3, seed=6).work.tolist() != few.tolist()


def test_a_gentle_ramp_loses_what_it_is_asked_to() -> None:
    device = _compiled("rc-transconductor", dissipation=0.02, duration=1e-4)
    potential = Potential.of(lower(device))
    lost = potential.mean_work() - potential.free_energy
    assert 0.0 < lost < 0.1
    few = _compiled("rc-transconductor", steps=5)
    assert few.ramp is not None and len(few.ramp.times) == 10 and few.ramp.start[0] == 0.0 and few.ramp.end[0] == 1.0


def test_what_has_no_potential_is_refused() -> None:
    mixed = _device("capacitance", JUMPS)
    mixed.add_cell("c", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    mixed.add_coupler("b", "c", conductance=1e-4)
    with pytest.raises(spu.CircuitError, match="couplers of one sort"):
        Potential.of(lower(mixed))
    with pytest.raises(spu.CircuitError, match="not reciprocal"):
        Potential.of(lower(_device("transconductance", JUMPS)))
    with pytest.raises(spu.CircuitError, match="ramp of noise is no work"):
        Potential.of(lower(_device("conductance", SLOPE)))


def test_a_ramp_of_inductive_couplers_is_refused_in_one_line() -> None:
    device = _device("capacitance", JUMPS)
    device.ramp = None
    device.add_cell("c", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    device.add_coupler("b", "c", inductance=1e-5)
    assert spu.predict(device).covariance.shape == (3, 3)
    device.ramp = JUMPS
    for door in (spu.predict, spu.netlist):
        with pytest.raises(spu.CircuitError, match="ramp of inductive couplers is not followed"):
            door(device)


def test_thermal_noise_on_top_spoils_a_pseudo_potential_by_a_known_amount() -> None:
    device = _compiled("rc-resistive")
    device.temperature = 3e5  # as loud as what is injected
    potential = Potential.of(lower(device))
    assert abs(potential.systematic) > 1e-3
    ahead = Driver(potential).run(4000, seed=1).work
    assert abs(ahead.mean() - potential.mean_work()) < 5 * ahead.std() / np.sqrt(4000)
