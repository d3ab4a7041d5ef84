"""Steps of networks: right wherever starts, inputs and noise lead, and the guard that sees where they are not.

Statistical assertions are bounded at `RATE` each by the normal law, and all counts are large enough for it.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.stats import norm

from spu.base.errors import InternalError, UsageError
from spu.compiler import compile_network
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.langevin import langevin, langevin_of_network
from spu.emulator.laws.rest import rest_state, slowest_motion
from spu.emulator.laws.timing import network_timing
from spu.emulator.runs import langevin_kernels as kernels
from spu.emulator.runs import langevin_run
from spu.emulator.runs.langevin_plain import Plain, fields_of
from spu.emulator.runs.network_guard import hold_against_law
from spu.emulator.runs.noise import SAMPLES, key_of
from spu.emulator.simulate import simulate_network
from spu.problems.network import ThermodynamicNetwork
from spu.problems.neuron import unit_law

RATE = 1e-9
SIGMAS = float(norm.isf(RATE / 2))


def compiled(network, kind="rc-conductance", **more) -> Device:
    return compile_network(network, "ideal", architecture=kind, **more).device


def couplings(rng, n, size=1.0):
    J = np.triu(rng.normal(size=(n, n)), 1) * size
    return J + J.T


# --- every state and input -----------------------------------------------------------------


@pytest.mark.parametrize(("field", "end"), [(0.0, 8.0), (40.0, 1.0), (1000.0, 0.1), (3000.0, 0.05), (1e5, 0.005)])
def test_inputs_in_time_give_the_exact_law(field, end):
    """Mean to 1 % of a deviation and variance to 1 %, beside chance, and as many as trajectories can tell.

    It would see 1 % plus 4 % (six standard errors of 20,000 values' variance, 1 %).
    """
    run = simulate_network(
        compiled(ThermodynamicNetwork()), times=[end], trajectories=20_000, inputs=([0.0], [[field]]), seed=3
    )
    exact = unit_law(input=[field])
    assert abs(run.mean[0, 0] - exact.mean[0]) < SIGMAS * run.mean_error[0, 0] + 0.01 * exact.variance[0] ** 0.5
    assert abs(run.variance[0, 0] - exact.variance[0]) < SIGMAS * run.variance_error[0, 0] + 0.01 * exact.variance[0]
    assert run.checked == 2


def noiseless(network, start, times, inputs=None):
    """By an implicit method of high order, from instant to instant of the inputs."""
    instants, values = (np.zeros(1), network.input[None, :]) if inputs is None else map(np.asarray, inputs)
    marks = np.unique(np.concatenate([[0.0], instants[instants > 0], [times[-1]]]))
    marks = marks[marks <= times[-1]]
    x, found = np.array(start, dtype=float), {0.0: np.array(start, dtype=float)}
    for low, high in itertools.pairwise(marks):
        row = int(np.searchsorted(instants, (low + high) / 2, side="right"))

        def field(t, row=row):
            if row in (0, len(instants)):
                return values[min(row, len(instants) - 1)]
            share = (t - instants[row - 1]) / (instants[row] - instants[row - 1])
            return (1 - share) * values[row - 1] + share * values[row]

        wanted = np.append([t for t in times if low < t < high], high)
        solved = solve_ivp(
            lambda t, x: network.mobility * network.force(x, field(t)),
            (low, high),
            x,
            t_eval=wanted,
            method="Radau",
            jac=lambda t, x: -network.mobility * network.stiffness(x),
            rtol=1e-9,
            atol=1e-12,
        )
        found.update(zip(wanted, solved.y.T, strict=True))
        x = solved.y[:, -1]
    return np.array([found[t] for t in times])


@pytest.mark.parametrize("start", [5.0, -100.0, 2000.0])
def test_without_noise_a_far_start_comes_down_as_it_should(start):
    network = ThermodynamicNetwork(kT=0)
    times = np.array([1e-6, 1e-3, 0.02, 0.5])
    run = simulate_network(compiled(network), times=times, trajectories=1, start=start)
    assert run.states[:, 0] == pytest.approx(noiseless(network, [start], times), rel=2e-3)
    if start == 5.0:
        assert run.states[2, 0, 0] == pytest.approx(2.18, abs=0.01)


@pytest.mark.parametrize("kT", [0.0, 1.0])
@pytest.mark.filterwarnings("error")
def test_what_is_flat_at_rest_has_a_time_all_the_same(kT):
    """A quartic at zero: its netlist's transient ends, ``check`` has an interval, a run without times is read."""
    network = ThermodynamicNetwork(0, 0, 1, kT=kT)
    device = compile_network(network, "neurons", architecture="rc-conductance").device
    equation = langevin(lower(device))
    assert slowest_motion(equation) == network_timing(equation).slowest
    assert 0.1 < slowest_motion(equation) / device.scales.time < 100
    run = simulate_network(device, trajectories=2)
    assert 1 < run.times[0] < 1000


@pytest.mark.filterwarnings("error")
def test_a_silent_quartic_on_hardware_with_a_noise_floor():
    """Nothing to be heard at rest is no reason to divide by it: dx/dt = -4 x^3."""
    device = compile_network(ThermodynamicNetwork(0, 0, 1, kT=0), "neurons", architecture="rc-conductance").device
    run = simulate_network(device, times=[0.02], trajectories=1, start=5.0)
    assert run.states[0, 0, 0] == pytest.approx((5.0**-2 + 8 * 0.02) ** -0.5, rel=2e-3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_without_noise_networks_follow_their_equation(seed):
    """Wells, cubic terms, couplings, inputs that jump and ramp, readouts that are no multiples of anything."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    reciprocal = bool(rng.integers(2))
    J = couplings(rng, n, 10 ** rng.uniform(-1, 1)) if reciprocal else rng.normal(size=(n, n)) * (1 - np.eye(n))
    network = ThermodynamicNetwork(
        rng.normal(size=n) * 10 ** rng.uniform(-1, 1),
        rng.normal(size=n) * rng.integers(2),
        10 ** rng.uniform(-1, 1, size=n),
        couplings=J,
        kT=0.0,
        mobility=10 ** rng.uniform(-1, 1),
        reciprocal=reciprocal,
    )
    start = rng.normal(size=n) * 10 ** rng.uniform(-1, 2)
    values = rng.normal(size=(4, n)) * 10 ** rng.uniform(-1, 4)
    first, second = np.sort(rng.uniform(0.01, 0.5, size=2))
    inputs = ([0.0, first, first, second], values)
    times = np.sort(rng.uniform(0, 0.7, size=3))
    run = simulate_network(compiled(network), times=times, trajectories=1, start=start, inputs=inputs)
    exact = noiseless(network, start, times, inputs)
    size = np.abs(exact).max() + np.abs(start).max()
    # 0.3 % of how far it goes; a saddle on the way makes more of it.
    assert np.abs(run.states[:, 0] - exact).max() < 0.02 * size


def test_finite_times_as_by_a_fine_run():
    """Two units with wells, coupled, thrown from afar and kicked: means and variances as with given fine steps."""
    network = ThermodynamicNetwork([-1, 1], [0.3, 0], [1, 2], couplings=[[0, 1.5], [1.5, 0]], kT=0.5)
    device = compiled(network)
    inputs = ([0.0, 0.05, 0.05, 0.08], [[0, 0], [50, 0], [0, -200], [0, 0]])
    common = {"times": [0.03, 0.0617, 0.09], "trajectories": 8000, "inputs": inputs, "start": [1.0, -8.0]}
    own = simulate_network(device, seed=1, **common)
    fine = simulate_network(device, seed=2, step=1e-4, **common)
    assert own.pieces > 1.01
    for key in ("mean", "variance"):
        error = np.hypot(getattr(own, key + "_error"), getattr(fine, key + "_error"))
        size = own.variance**0.5 if key == "mean" else own.variance
        assert (np.abs(getattr(own, key) - getattr(fine, key)) < SIGMAS * error + 0.01 * size).all(), key


def test_fifty_units_as_by_a_fine_run():
    rng = np.random.default_rng(4)
    network = ThermodynamicNetwork(-1.0, 0.1, 1.0, couplings=couplings(rng, 50, 1.5), input=rng.normal(size=50) * 30)
    device = compiled(network)
    common = {"times": [0.01, 0.1], "trajectories": 1500, "start": 4.0}
    own, fine = simulate_network(device, seed=1, **common), simulate_network(device, seed=2, step=2e-4, **common)
    for key in ("mean", "variance"):
        error = np.hypot(getattr(own, key + "_error"), getattr(fine, key + "_error"))
        size = own.variance**0.5 if key == "mean" else own.variance
        assert (np.abs(getattr(own, key) - getattr(fine, key)) < SIGMAS * error + 0.02 * size).all(), key


@pytest.mark.parametrize("kind", ["rc-conductance", "rlc-flux"])
def test_refined_steps_depend_on_nothing_else(kind):
    """Same bits whatever the threads; whatever the number of trajectories, but for rounding."""
    network = ThermodynamicNetwork([1, -1], 0, 1, couplings=[[0, 1], [1, 0]])
    device = compiled(network, kind)
    common = {
        "times": [0.02, 0.05],
        "start": 12.0,
        "inputs": ([0.0, 0.02, 0.02], [[0, 0], [100, 0], [0, 50]]),
        "seed": 5,
    }
    one, two = (simulate_network(device, trajectories=300, threads=k, **common) for k in (1, 2))
    assert one.pieces > 1
    assert np.array_equal(one.states, two.states)
    few = simulate_network(device, trajectories=13, **common)
    assert few.states == pytest.approx(one.states[:, :13], abs=1e-11)


@pytest.mark.parametrize("kind", ["rc-conductance", "rlc-flux"])
def test_the_first_law_holds_in_pieces_of_steps(kind):
    network = ThermodynamicNetwork([1, -1], 0, 1, couplings=[[0, 1], [1, 0]])
    inputs = ([0.0, 0.01, 0.01, 0.03], [[0, 0], [300, 0], [0, 500], [20, 0]])
    run = simulate_network(compiled(network, kind), times=[0.04], trajectories=50, heat=True, inputs=inputs, start=90.0)
    assert run.pieces > 1
    assert run.first_law < 1e-11


# --- the loops against plain numpy ---------------------------------------------------------


def correlated_cells():
    device = Device(temperature=300.0)
    for name in ("c0", "c1", "c2"):
        device.add_cell(name, capacitance=1e-9, noise=4e-20, polynomial_conductance=(1e-3, 1e2, 1e9))
    device.add_coupler("c0", "c1", conductance=1e-3)
    device.add_coupler("c1", "c2", conductance=5e-4)
    return device


@pytest.mark.parametrize("distinct", [5, 16, 130])
def test_trajectories_may_follow_the_same_noise(distinct):
    """In groups of any size: bit by bit what the first group alone does, and other noise within a group."""
    equation = langevin_of_network(ThermodynamicNetwork(units=3, couplings=couplings(np.random.default_rng(1), 3)))
    grid = langevin_run.Grid.of(np.array([0.1]), np.empty(0), lambda x: np.full_like(x, 0.02), refined=False)
    given = {"grid": grid, "seed": 2, "scheme": "euler-maruyama"}
    alone = langevin_run.run(equation, trajectories=distinct, **given).states[0]
    found = langevin_run.run(equation, trajectories=2 * distinct + 3, distinct=distinct, **given).states[0]
    assert np.array_equal(found[:distinct], alone) and np.array_equal(found[distinct : 2 * distinct], alone)
    assert np.array_equal(found[2 * distinct :], alone[:3])
    assert len(np.unique(alone[:, 0])) == distinct


@pytest.mark.parametrize("scheme", ["heun", "euler-maruyama", "leimkuhler-matthews", "baoab", "correlated"])
def test_steps_are_those_of_plain_numpy(scheme):
    """Every step of a run, in pieces of up to 2^-10 of a step and whole, of several tiles, with ghosts."""
    rng = np.random.default_rng(1)
    if scheme == "correlated":
        device, scheme, far = correlated_cells(), "heun", 2e-5
    else:
        network = ThermodynamicNetwork([1, -1, 0, 2, 1], [0, 0.5, 0, 0, 0], 1, couplings=couplings(rng, 5))
        device, far = (
            compiled(network, "rlc-flux" if scheme == "baoab" else "rc-conductance"),
            300.0 if scheme == "baoab" else 3.0,
        )
    equation = langevin(lower(device))
    n = equation.n
    unit = equation.units
    fields = equation.field + rng.normal(size=(3, n)) * 5 * np.abs(equation.force(unit)).max() * (
        device.scales is not None
    )
    size = langevin_run.TYPICAL[scheme] / float(
        langevin_run.fastest(equation, langevin_run.linear_rate(equation), 0 * unit)
    )
    if scheme == "baoab":
        size = min(size, 0.2 * float((equation.mobility * equation.mass).min()))
    plan = langevin_run.Schedule(np.array([0.0, 4.5, 4.5]) * size, fields)
    grid = langevin_run.Grid.of(
        np.array([3.3, 9.0]) * size, plan.times, lambda at: np.full(len(at), size), scheme != "leimkuhler-matthews"
    )
    start = rng.normal(size=(140, n)) * far * unit * (0.2 if scheme == "leimkuhler-matthews" else 1.0)
    found = langevin_run.run(
        equation, grid=grid, trajectories=140, seed=9, scheme=scheme, start=start, schedule=plan, threads=1
    )
    law = langevin_run._law(equation, scheme, 1, grid.refined)
    steps = grid.steps(0, grid.total, plan)
    most = 0
    for trajectory in (0, 7, 127, 128, 139):
        plain = Plain(law, key_of(9, SAMPLES), key_of(9, langevin_run.BRIDGE), trajectory)
        plain.most = 100_000
        x, w = start[trajectory], np.zeros(n)
        for k in range(grid.total):
            x, w = plain.step(x, w, k, steps.sizes[k], *fields_of(steps, k, np.zeros(n)), ghost=False)
        assert found.states[-1, trajectory] / unit == pytest.approx(x / unit, rel=1e-8, abs=1e-9)
        most = max(most, plain.pieces / grid.total)
    assert most > 3 or not grid.refined


def planted(change):
    """`advance` with something wrong in it."""
    right, laws, pack = kernels.advance["double"], {}, kernels.packed

    def packed(law, precision):
        found = pack(law, precision)
        laws[id(found)] = law
        return found

    class Wrong:
        def bind(self, tile, taken, key, bridge_key):
            def call(steps, *more):
                law, own, bridge, inputs = change(laws[id(taken)], key, bridge_key, steps)
                right(tile, pack(law), own, bridge, inputs, *more)

            return call

    return packed, {"double": Wrong()}


ERRORS = {
    "noise 1 % too loud": lambda law, *more: (law._replace(deviation=1.01 * law.deviation), *more),
    "a sign": lambda law, *more: (law._replace(cubic=-law.cubic), *more),
    "couplings transposed": lambda law, *more: (law._replace(stiffness=np.ascontiguousarray(law.stiffness.T)), *more),
    "couplings of the neighbour": lambda law, *more: (law._replace(stiffness=np.roll(law.stiffness, 1, axis=0)), *more),
    "mobility": lambda law, *more: (law._replace(mobility=1.001 * law.mobility), *more),
    "another column's noise": lambda law, key, *more: (law, key + np.uint64(1), *more),
    "noise inside steps": lambda law, key, bridge, steps: (law, key, bridge + np.uint64(1), steps),
    "inputs of the step before": lambda law, key, bridge, steps: (
        law,
        key,
        bridge,
        steps._replace(begin=np.zeros_like(steps.begin), end=np.zeros_like(steps.end)),
    ),
    "never halved": lambda law, *more: (law._replace(limit=np.inf), *more),
}


@pytest.mark.parametrize("kind", ["rc-conductance", "rlc-flux"])
@pytest.mark.parametrize("error", list(ERRORS))
def test_an_error_in_the_loops_gives_no_result(kind, error, monkeypatch):
    """Of any size, also in networks whose law nobody knows."""
    rng = np.random.default_rng(2)
    reciprocal = kind == "rlc-flux"
    if reciprocal and error in ("couplings transposed", "never halved"):
        return  # they are symmetric, and damping has made all steps fine: there is nothing to be seen
    J = couplings(rng, 8) if reciprocal else rng.normal(size=(8, 8)) * (1 - np.eye(8))
    network = ThermodynamicNetwork(-1.0, 0.2, 1.0, couplings=J, reciprocal=reciprocal)
    device = compiled(network, kind)
    inputs = ([0.0, 0.1], [np.zeros(8), 5 * np.ones(8)])
    common = {
        "times": [0.02, 0.1],
        "trajectories": 20,
        "inputs": inputs,
        "start": 8.0 if error == "never halved" else 0.5,
    }
    simulate_network(device, **common)
    packed, advance = planted(ERRORS[error])
    monkeypatch.setattr(kernels, "packed", packed)
    monkeypatch.setattr(kernels, "advance", advance)
    with pytest.raises(InternalError, match="plain numpy takes it to"):
        simulate_network(device, **common)


# --- the law, half the step ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "end", "factor"),
    [
        # Each kind of network once right and once wrong; the other way, too, where it takes long to see.
        pytest.param(network, end, factor, id=f"{name}-{factor}", marks=[pytest.mark.long] if factor in late else [])
        for name, network, end, late in (
            ("one", ThermodynamicNetwork(), 8.0, ()),
            ("skewed wells", ThermodynamicNetwork(-1.0, 0.2, 1.0, kT=3.0), 8.0, (0.9, 1.1)),
            ("quartic", ThermodynamicNetwork(0.0, 0.0, 1.0, input=2.0), 8.0, (0.9,)),
            ("coupled", ThermodynamicNetwork([1, 2], 0, 1, couplings=[[0, 0.8], [0.8, 0]]), 15.0, (1.1,)),
            (
                "linear",
                ThermodynamicNetwork([2.0] * 6, 0, 0, couplings=0.4 * couplings(np.random.default_rng(0), 6)),
                20.0,
                (),
            ),
        )
        for factor in (1.0, 1.1, 0.9)
    ],
)
@pytest.mark.sampled(2)
def test_a_wrong_law_gives_no_result(network, end, factor, monkeypatch):
    """Noise 10 % off, for the loops and for plain numpy alike: variances by 20 %, by half of it in quartic wells."""
    law_of = langevin_run._law

    def wrong(*given):
        law = law_of(*given)
        return law._replace(deviation=factor * law.deviation)

    monkeypatch.setattr(langevin_run, "_law", wrong)
    run = lambda: simulate_network(compiled(network), times=[end], trajectories=20_000)  # noqa: E731
    if factor == 1.0:
        assert run().checked >= 2 * network.n
        return
    with pytest.raises(InternalError, match="is off the exact stationary one"):
        run()


def test_the_laws_tests_are_right_where_it_is_true():
    """Exact draws are never refused, at 2 trajectories and at 5,000; draws at 1.3 times the variance always.

    False alarms: 60 runs of 1e-9. Two draws cannot tell a wrong variance, and no more is asked of them.
    """
    rng = np.random.default_rng(8)
    network = ThermodynamicNetwork([-1, 1, 0], [0.2, 0, 0], 1, kT=0.7)
    common = {"elapsed": 0.0, "stationary": True, "damping": 1.0, "accuracy": 0.0}
    for count in (2, 3, 10, 100, 5000):
        for _ in range(12):
            states = network.quantiles(rng.random((count, 3)))
            assert hold_against_law(network, states, **common) == 6
    mean = network.moments()[0]
    with pytest.raises(InternalError, match=r"the variance of x\d is off"):
        hold_against_law(network, mean + 1.3**0.5 * (states - mean), **common)


def test_half_the_step_tells_a_step_that_is_too_coarse(monkeypatch):
    """Rules that choose it far too coarse, and never halve it: seen where no law is known, too."""
    rng = np.random.default_rng(3)
    network = ThermodynamicNetwork(-1.0, 0.0, 1.0, couplings=couplings(rng, 6))
    device = compiled(network)
    assert simulate_network(device, times=[2.0], trajectories=2000).step_error < 0.005
    monkeypatch.setitem(langevin_run.TYPICAL, "heun", 5.0)
    monkeypatch.setitem(langevin_run.LIMIT, "heun", np.inf)
    with pytest.raises(InternalError, match="half the step moves the"):
        simulate_network(device, times=[2.0], trajectories=2000)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"step": 0.003, "inputs": ([0.0], [[1000.0]]), "scheme": "euler-maruyama"}, "too coarse"),
        ({"step": 0.003, "inputs": ([0.0], [[3000.0]])}, "too coarse"),
        ({"step": 0.02, "start": 5.0, "times": [0.02]}, "too coarse"),
        ({"step": 0.02, "start": 50.0, "times": [1.0]}, "blew up at a step of"),
        ({"scheme": "leimkuhler-matthews", "start": 5.0}, "too coarse"),
    ],
)
def test_given_steps_that_are_wrong_are_refused_with_one_that_is_right(settings, words):
    device = compiled(ThermodynamicNetwork())
    common = {"times": [0.2], "trajectories": 500, **settings}
    with np.errstate(all="ignore"), pytest.raises(UsageError, match=words) as caught:
        simulate_network(device, **common)
    assert "\n" not in str(caught.value)
    would_do = float(str(caught.value).split("--step ")[1].split()[0])
    assert simulate_network(device, **{**common, "step": would_do}).warnings == ()


def test_a_coarse_step_is_said():
    run = simulate_network(compiled(ThermodynamicNetwork()), times=[2.0], step=0.04, scheme="euler-maruyama")
    assert "variances are off by up to about" in run.warnings[0]


# --- rest ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [30, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["single wells", "double wells", "pure quartics", "J3", "strong couplings", "inputs"])
def test_every_reciprocal_network_comes_to_rest(kind, count):
    rng = np.random.default_rng(sum(map(ord, kind)))
    for _ in range(count):
        n = int(rng.integers(1, 13))
        J2 = {"double wells": -5.0, "pure quartics": 0.0}.get(kind, 1.0) * np.abs(rng.normal(size=n))
        network = ThermodynamicNetwork(
            J2,
            2.0 * rng.normal(size=n) * (kind == "J3"),
            10 ** rng.uniform(-1, 1, size=n),
            couplings=couplings(rng, n, 100.0 if kind == "strong couplings" else 1.0),
            input=rng.normal(size=n) * (1e5 if kind == "inputs" else 1.0),
        )
        equation = langevin(lower(compiled(network)))
        x = rest_state(equation)
        terms = np.abs(equation.field) + np.abs(equation.stiffness) @ np.abs(x) + equation.cubic * np.abs(x) ** 3
        assert (np.abs(equation.force(x)) <= 1e-11 * terms.max()).all()
