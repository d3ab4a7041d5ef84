"""Langevin equations under a ramp: factors in time on couplings and on noise, in steps, laws, replays and refusals."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ndtri

import spu
from spu.base.errors import CircuitError, InternalError, UsageError
from spu.device.lower import lower
from spu.emulator.dynamics import dynamics
from spu.emulator.equations.langevin import langevin
from spu.emulator.laws.boltzmann import as_network
from spu.emulator.runs import langevin_run
from spu.emulator.runs.langevin_plain import Plain, factors_of, fields_of
from spu.emulator.runs.langevin_run import BRIDGE, Grid, Schedule, key_of
from spu.emulator.runs.noise import SAMPLES
from spu.emulator.runs.relaxation import input_schedule

PAIR = np.array([[0.0, -0.6, 0.2], [-0.6, 0.0, 0.4], [0.2, 0.4, 0.0]])


def device(ramp, architecture="rc-conductance", *, hardware="ideal", **more):
    """Three coupled neurons whose ramp is given in units of their time."""
    given = {"J2": -1.0, "J4": 1.0, "input": [0.3, 0.0, -0.2], "couplings": PAIR} | more
    made = spu.compile_network(spu.ThermodynamicNetwork(**given), hardware, architecture=architecture).device
    second = dynamics(lower(made)).second
    times, couplers, noise = ramp
    made.ramp = spu.Ramp(np.array(times) * second, couplers, noise)
    return made


UP = ([0.0, 1.0, 2.0], [0.0, 1.0, 0.5], [1.0, 0.5, 1.2])
JUMP = ([0.5, 0.5, 1.5], [0.2, 1.3, 1.0], [0.5, 1.5, 1.0])


@pytest.mark.parametrize("ramp", [UP, JUMP])
@pytest.mark.parametrize("scheme", ["heun", "euler-maruyama", "baoab"])
def test_every_step_is_that_of_plain_numpy(scheme, ramp):
    """From far out, so that most steps are taken in pieces; of several tiles."""
    made = device(ramp, "rlc-flux" if scheme == "baoab" else "rc-conductance")
    found = dynamics(lower(made))
    equation, unit = found.equation, found.equation.units
    assert equation.varying is not None
    plan = input_schedule(found, ([0.0, 0.7], [[0.3, 0.0, -0.2], [1.0, 0.5, 0.0]])).ramped(equation.varying.ramp)
    size = 0.05 * found.second
    grid = Grid.of(np.array([1.0, 2.5]) * found.second, plan.times, lambda at: np.full(len(at), size), True)
    start = np.random.default_rng(3).normal(size=(140, 3)) * (10.0 if scheme == "baoab" else 3.0) * unit
    run = langevin_run.run(
        equation, grid=grid, trajectories=140, seed=9, scheme=scheme, start=start, schedule=plan, threads=1
    )
    law = langevin_run._law(equation, scheme, 1, True)
    steps, most = grid.steps(0, grid.total, plan), 0.0
    for trajectory in (0, 7, 128, 139):
        plain = Plain(law, key_of(9, SAMPLES), key_of(9, BRIDGE), trajectory)
        plain.most = 100_000
        x, w = start[trajectory], np.zeros(3)
        for k in range(grid.total):
            driven = fields_of(steps, k, np.zeros(3))
            x, w = plain.step(x, w, k, steps.sizes[k], *driven, False, factors_of(steps, k))
        assert run.states[-1, trajectory] / unit == pytest.approx(x / unit, rel=1e-8, abs=1e-9)
        most = max(most, plain.pieces / grid.total)
    assert most > 1.5


def test_bits_do_not_hang_on_threads_or_company():
    made = device(UP)
    runs = [
        spu.simulate(made, times=[0.7, 2.0], trajectories=count, seed=4, threads=threads).readouts[:150]
        for count, threads in ((300, 1), (300, 2), (150, 2))
    ]
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("ramp", [UP, JUMP])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_moments_follow_the_equation_in_time(ramp, precision):
    """Without quartics the law is Gaussian at all times: means and covariances against their own equations.

    18 tests of 40,000 trajectories at a false alarm of 1e-9 in all; what is seen is 6.5 standard errors: 3 % of a
    deviation, 5 % of a variance. A noise amplitude for its square, or a factor of the other kind, is off by more.
    """
    made = device(ramp, J2=[1.0, 1.5, 2.0], J4=0.0)
    network, times = made.network, np.array([0.8, 1.7])
    equation = langevin(lower(made))
    factors = spu.Ramp(*ramp)

    def slope(t, y):
        couplers, noise = (float(each[0]) for each in factors.at([t]))
        matrix = couplers * network.couplings + np.diag(2 * network.J2)
        mean, covariance = y[:3], y[3:].reshape(3, 3)
        change = 2 * network.kT * noise**2 * np.eye(3) - matrix @ covariance - covariance @ matrix.T
        return np.concatenate([network.input - matrix @ mean, change.ravel()])

    found = solve_ivp(slope, (0, times[-1]), np.zeros(12), t_eval=times, rtol=1e-8, atol=1e-10, max_step=0.01).y.T
    count = 40_000
    run = spu.simulate(made, times=times, trajectories=count, seed=1, precision=precision)
    assert run.step_error < 0.01 and equation.varying is not None
    sigmas = float(-ndtri(1e-9 / 36))
    for k, row in enumerate(found):
        mean, covariance = row[:3], row[3:].reshape(3, 3)
        own = np.cov(run.states[k].T)
        spread = np.diag(covariance)
        error = np.sqrt((covariance**2 + np.outer(spread, spread)) / count)
        assert (np.abs(run.mean[k] - mean) < sigmas * np.sqrt(spread / count) + 0.01 * np.sqrt(spread)).all()
        assert (np.abs(own - covariance) < sigmas * error + 0.01 * np.sqrt(np.outer(spread, spread))).all()


def test_a_ramp_that_stays_is_the_device_it_says():
    """Couplers and noise of other values, by the ramp or by the network: the same equation."""
    ramped = device(([0.0], [0.5], [1.5]))
    plain = device(([0.0], [1.0], [1.0]), couplings=0.5 * PAIR, kT=1.5**2)
    ours, own = (langevin(lower(each)) for each in (ramped, plain))
    assert ours.varying is None
    ours, own = as_network(ours), as_network(own)  # in units of their kT
    for name in ("J2", "J4", "input", "couplings"):
        assert getattr(ours, name) == pytest.approx(getattr(own, name), rel=1e-9), name


def test_final_moments_are_held_against_the_law_at_the_end(monkeypatch):
    """Long after the ramp; an end that is taken for another one is seen."""
    made = device(
        ([0.0, 1.0], [0.0, 1.0], [1.5, 1.0]), couplings=np.array([[0, 0.1, 0], [0.1, 0, 0], [0, 0, 0]]), J2=0.5
    )
    run = spu.simulate(made, times=[60.0], trajectories=4000)
    assert run.checked > 0
    assert spu.simulate(made, times=[0.9], trajectories=100).checked == 0
    right = spu.Ramp.at

    def wrong(ramp, times):
        couplers, noise = right(ramp, times)
        return couplers, 1.3 * noise

    monkeypatch.setattr(spu.Ramp, "at", wrong)
    with pytest.raises(InternalError, match="is off the exact stationary one"):
        spu.simulate(made, times=[60.0], trajectories=4000)


def test_the_default_time_is_the_ramps():
    assert spu.simulate(device(UP), trajectories=2).times == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("ramp", "options", "words"),
    [
        (UP, {"heat": True}, "heat and work are not booked under a ramp"),
        (UP, {"scheme": "leimkuhler-matthews"}, "under a ramp there are none: heun"),
        (UP, {"clamp": {"x1": 0.5}}, "clamp is not for devices with a ramp"),
        (([0.0, 1.0], None, [1.0, 0.0]), {"precision": "single"}, "no noise, and single precision"),
    ],
)
def test_what_a_ramp_does_not_go_with(ramp, options, words):
    with pytest.raises(UsageError, match=words) as refused:
        spu.simulate(device(ramp), times=[1.0], trajectories=4, **options)
    assert "\n" not in str(refused.value)


def test_noise_of_resistors_follows_no_ramp():
    """Couplers may be ramped there; noise may not."""
    with pytest.raises(CircuitError, match="x1 has thermal noise, which no ramp is on"):
        langevin(lower(device(([0.0, 1.0], None, [1.0, 0.5]), "rlc-flux", hardware="neurons")))
    equation = langevin(lower(device(([0.0, 1.0], [0.0, 1.0], None), "rlc-flux", hardware="neurons")))
    assert equation.varying is not None and equation.theta() > 0


def test_steps_end_at_the_instants_of_a_ramp():
    """Whoever makes steps without them is told, in place of a run that takes one factor for another."""
    made = device(UP)
    found = dynamics(lower(made))
    grid = Grid.of(np.array([2.0]) * found.second, np.empty(0), lambda at: np.full(len(at), 0.03 * found.second), True)
    plan = Schedule(np.zeros(1), found.equation.field[None])
    with pytest.raises(UsageError, match="steps that end at the instants of the ramp"):
        langevin_run.run(found.equation, grid=grid, trajectories=4, seed=1, scheme="heun", schedule=plan)


@pytest.mark.parametrize("architecture", ["rc-conductance", "rlc-flux"])
def test_a_replay_follows_the_ramp(architecture):
    """Noiseless motion against scipy's, of networks in their own units.

    Coupling inductors hold their cells, too, and cells make up for it: so much less is left while they are weaker.
    """
    made = device(([0.0, 1.0, 2.0], [0.0, 1.0, 0.5], [1.0, 0.0, 1.0]), architecture)
    found = dynamics(lower(made))
    network, interval, count = made.network, 0.02, 100
    waveform = np.zeros((count + 1, len(lower(made).sources)))
    path = found.respond(waveform, interval * found.second, hold=False)
    units = path @ np.linalg.pinv(found.equation.sense).T / found.equation.units
    factors = made.ramp.at
    tie = np.abs(network.couplings).sum(axis=1) * (architecture == "rlc-flux")

    def slope(t, x):
        couplers = float(factors([t * found.second])[0][0])
        own = network.input - 2 * network.J2 * x - 4 * network.J4 * x**3
        return own + (1 - couplers) * tie * x - couplers * network.couplings @ x

    right = solve_ivp(slope, (0, 2.0), np.zeros(3), t_eval=interval * np.arange(count + 1), rtol=1e-9, atol=1e-11).y.T
    close = 1e-5 if architecture == "rc-conductance" else 3e-2  # a little inertia is left there
    assert np.abs(units - right).max() < close * np.abs(right).max()
