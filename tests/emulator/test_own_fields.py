"""Fields of each trajectory's own, and clamped units: in runs, against one run an input."""

from dataclasses import replace

import numpy as np
import pytest

import spu
from spu.base.errors import UsageError
from spu.base.kernels.products import pack
from spu.compiler import compile_network
from spu.device.lower import lower
from spu.emulator.equations.langevin import langevin, langevin_of_network
from spu.emulator.runs import langevin_run
from spu.emulator.runs.clamps import Clamps
from spu.emulator.runs.langevin_run import Grid, Schedule, run
from spu.problems.network import ThermodynamicNetwork

SCHEMES = ("heun", "euler-maruyama", "leimkuhler-matthews", "baoab")


def network(n, seed=0, **more):
    rng = np.random.default_rng([n, seed])
    J = np.triu(rng.normal(size=(n, n)) / np.sqrt(n), 1)
    return ThermodynamicNetwork(1.0, 0.1, 1.0, **{"input": rng.normal(size=n), "couplings": J + J.T, "units": n} | more)


def equation_of(scheme, n, **more):
    made = network(n, **more)
    if scheme != "baoab":
        return langevin_of_network(made)
    return langevin(lower(compile_network(made, "ideal", architecture="rlc-flux").device))


def driven(scheme, n, trajectories, steps=40, seed=2, **more):
    """An equation, a schedule whose fields and envelope rise and jump, and the settings of a run."""
    equation = equation_of(scheme, n, **more)
    unit = equation.units
    h = langevin_run.TYPICAL[scheme] / float(
        langevin_run.fastest(equation, langevin_run.linear_rate(equation), 2 * unit).max()
    )
    if scheme == "baoab":
        h = min(h, 0.2 * float((equation.mobility * equation.mass).min()))
    rng = np.random.default_rng(seed)
    force = np.abs(equation.force(2 * unit)).max()
    times = np.array([0.0, 0.4, 0.4, 0.7]) * steps * h
    fields = equation.field + rng.normal(size=(4, n)) * force
    plan = Schedule(times, fields, rng.normal(size=(trajectories, n)) * force, np.array([1.0, 0.5, -0.3, 2.0]))
    grid = Grid.of(
        np.array([0.35, 1.0]) * steps * h, times, lambda at: np.full(len(at), h), scheme != "leimkuhler-matthews"
    )
    start = rng.normal(size=(trajectories, n)) * 2 * unit
    return equation, plan, {"grid": grid, "seed": 5, "scheme": scheme, "start": start}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("n", [1, 6, 13])
def test_trajectories_with_fields_of_their_own_are_runs_with_that_field(scheme, n):
    """To rounding, heat and work too: of each trajectory a run of all in whose field its own is for everybody."""
    width = 135
    equation, plan, settings = driven(scheme, n, width)
    track = {"track": scheme != "leimkuhler-matthews"}
    found = run(equation, trajectories=width, schedule=plan, threads=1, **settings, **track)
    for b in (0, 17, 127, 128, 134):
        fields = plan.fields + plan.envelope[:, None] * plan.own[b]
        one = run(
            equation,
            trajectories=b + 1,
            schedule=Schedule(plan.times, fields),
            threads=1,
            **settings | {"start": settings["start"][: b + 1]},
            **track,
        )
        gap = np.abs(found.states[:, b] - one.states[:, b]).max(axis=0) / equation.units
        assert gap.max() < 1e-10
        for name in ("heat", "work", "start", "end"):
            if track["track"]:
                size = np.abs(found.start).max()
                assert abs(getattr(found, name)[b] - getattr(one, name)[b]) < 1e-9 * size, name
    if track["track"]:
        miss = found.end - found.start - found.work + found.heat
        assert np.abs(miss).max() < 1e-11 * np.abs(found.start).max()
        assert found.pieces > 1 or scheme == "baoab"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("precision", ["double", "single"])
def test_the_same_bits_whatever_threads_and_neighbours(scheme, precision):
    n = 13
    equation, plan, settings = driven(scheme, n, 150, kT=20.0)
    settings["precision"] = precision
    whole = run(equation, trajectories=150, schedule=plan, threads=1, **settings)
    other = run(equation, trajectories=150, schedule=plan, threads=3, **settings)
    assert np.array_equal(whole.states, other.states)
    for few in (1, 16, 33, 129):
        part = replace(plan, own=plan.own[:few])
        found = run(
            equation, trajectories=few, schedule=part, threads=2, **settings | {"start": settings["start"][:few]}
        )
        assert np.array_equal(found.states, whole.states[:, :few])
    still = replace(plan, own=np.zeros_like(plan.own))
    bare = replace(plan, own=None, envelope=None)
    a, b = (run(equation, trajectories=150, schedule=each, threads=1, **settings) for each in (still, bare))
    assert np.array_equal(a.states, b.states)


def test_own_fields_must_fit():
    equation, plan, settings = driven("heun", 3, 4)
    with pytest.raises(UsageError, match="own fields are 5 x 3 numbers"):
        run(equation, trajectories=5, schedule=plan, **settings | {"start": None})


def test_a_network_is_the_circuit_of_it_but_for_scales():
    made = network(5, kT=0.3, mobility=2.0, bias=0.4)
    device = compile_network(made, "ideal", architecture="rc-conductance").device
    circuit, own = langevin(lower(device)), langevin_of_network(made)
    unit, energy, second = circuit.units, device.scales.energy * device.scales.speedup, device.scales.time
    x = np.random.default_rng(3).normal(size=(4, 5))
    assert own.force(x) == pytest.approx(made.force(x), rel=1e-12)
    assert circuit.force(x * unit) * unit / energy == pytest.approx(own.force(x), rel=1e-9)
    assert own.theta() == pytest.approx(0.3) and not own.correlated
    assert own.potential(x) == pytest.approx(made.energy(x), rel=1e-12)
    assert np.array_equal(own.read(x), x)
    assert circuit.mobility * energy / unit**2 * second / device.scales.speedup == pytest.approx(own.mobility, rel=1e-9)


# --- the doors: inputs of each trajectory, and clamped units -------------------------------


KINDS = {"heun": "rc-conductance", "euler-maruyama": "rc-conductance", "leimkuhler-matthews": "rc-conductance"}
KINDS["baoab"] = "rlc-flux"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_own_inputs_are_runs_with_that_input(scheme):
    """With an envelope: of some trajectories a run in which all have that input, heat and all."""
    rng = np.random.default_rng(4)
    made = network(5)
    device = spu.compile(made, "ideal", architecture=KINDS[scheme])
    instants, values = [0.0, 0.1, 0.1, 0.3], made.input + rng.normal(size=(4, 5))
    own, envelope = rng.normal(size=(140, 5)), np.array([1.0, 0.5, -0.5, 2.0])
    settings = {"times": [0.05, 0.4], "scheme": scheme, "seed": 3, "heat": scheme != "leimkuhler-matthews"}
    if scheme == "leimkuhler-matthews":
        settings["step"] = 0.005
    else:
        settings["step"] = 0.005 if scheme != "baoab" else 0.0005
    found = spu.simulate(
        device, trajectories=140, inputs=(instants, values), own_inputs=own, envelope=envelope, **settings
    )
    for b in (0, 70, 128, 139):
        inputs = instants, values + envelope[:, None] * own[b]
        one = spu.simulate(device, trajectories=b + 1, inputs=inputs, **settings)
        assert found.readouts[b] == pytest.approx(one.readouts[b], abs=1e-9)
        if settings["heat"]:
            assert found.heat[b] == pytest.approx(one.heat[b], abs=1e-7)
            assert found.work[b] == pytest.approx(one.work[b], abs=1e-7)
    assert found.checked == 0


def test_own_inputs_come_to_their_own_laws():
    """Half of the trajectories at one input, half at another, steps chosen here."""
    device = spu.compile(spu.ThermodynamicNetwork())
    own = np.repeat([[0.0], [5.0]], 2000, axis=0)
    run = spu.simulate(device, times=4.0, trajectories=4000, own_inputs=own, seed=1)
    for half, mean in ((slice(0, 2000), 0.0), (slice(2000, None), 0.8421)):
        values = run.readouts[half, 0, 0]
        assert abs(values.mean() - mean) < 7 * values.std() / 2000**0.5 + 0.005


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("differ", [False, True])
def test_clamped_units_are_a_field_on_the_others(scheme, differ):
    """The same bits as a network of the others in that field; what is held stays to the last bit of its coordinate."""
    rng = np.random.default_rng(4)
    made = network(6)
    kind = KINDS[scheme]
    device = spu.compile(made, "ideal", architecture=kind)
    width, moving, held = 35, [0, 2, 3, 5], [4, 1]
    at = rng.normal(size=(width, 2)) if differ else np.tile(rng.normal(size=2), (width, 1))
    clamp = {made.variables[k]: at[:, j] if differ else float(at[0, j]) for j, k in enumerate(held)}
    settings = {"times": [0.05, 0.2], "scheme": scheme, "seed": 3, "trajectories": width}
    settings["step"] = 0.0002 if scheme == "baoab" else 0.001
    settings["heat"] = scheme != "leimkuhler-matthews"
    start = rng.normal(size=(width, 6))
    found = spu.simulate(device, clamp=clamp, start=start, **settings)
    assert found.clamped == tuple(clamp) and found.to_dict()["clamped"] == tuple(clamp)
    assert found.readouts[:, :, held] == pytest.approx(np.repeat(at[:, None], 2, axis=1), rel=1e-12)
    pull = -at @ made.couplings[np.ix_(moving, held)].T
    b = width - 1
    if scheme == "baoab":  # a network of fewer units is compiled to another damping: the forces are compared
        whole = langevin(lower(device))
        clamps = Clamps.of(whole, clamp, width)
        few = clamps.schedule(Schedule(np.zeros(1), whole.field[None, :]))
        x = found.readouts[:, 1] * whole.units
        force = clamps.equation.force(x[:, moving], few.acting(0.0))
        assert force == pytest.approx(whole.force(x)[:, moving], rel=1e-9)
        assert found.first_law < 1e-10
        return
    rest = network(6)
    small = ThermodynamicNetwork(
        1.0, 0.1, 1.0, input=rest.input[moving] + pull[b], couplings=rest.couplings[np.ix_(moving, moving)]
    )
    alone = spu.simulate(spu.compile(small, "ideal", architecture=kind), start=start[:, moving], **settings)
    assert found.readouts[b][:, moving] == pytest.approx(alone.readouts[b], abs=1e-8)
    if settings["heat"]:
        assert found.heat[b] == pytest.approx(alone.heat[b], abs=1e-6)
        assert found.first_law < 1e-10


def test_a_clamped_pair_has_the_conditional_law():
    """In equilibrium by steps chosen here: mean and variance of one unit, given the other; and the guard holds it."""
    J = np.array([[0.0, -1.5], [-1.5, 0.0]])
    device = spu.compile(ThermodynamicNetwork(0.5, 0.0, 1.0, couplings=J))
    run = spu.simulate(device, times=26.0, trajectories=20_000, clamp={"x2": 0.8}, seed=2)
    given = ThermodynamicNetwork(0.5, 0.0, 1.0, input=[1.2])
    mean, variance = given.moments()
    assert abs(run.mean[-1, 0] - mean[0]) < 7 * run.mean_error[-1, 0] + 0.01 * variance[0, 0] ** 0.5
    assert abs(run.variance[-1, 0] - variance[0, 0]) < 7 * run.variance_error[-1, 0] + 0.01 * variance[0, 0]
    assert run.checked == 2 and run.variance[-1, 1] < 1e-20
    start = spu.simulate(
        device, times=0.5, trajectories=2000, clamp={"x2": 0.8}, start="equilibrium", heat=True, seed=2
    )
    assert abs(start.mean[0, 0] - mean[0]) < 7 * start.mean_error[0, 0] + 0.01
    assert start.checked == 2 and start.entropy.total is not None


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("precision", ["double", "single"])
def test_the_same_bits_whatever_threads_with_clamps_and_own_inputs(scheme, precision):
    rng = np.random.default_rng(4)
    made = network(9, kT=20.0)
    device = spu.compile(made, "ideal", architecture=KINDS[scheme])
    own, at = rng.normal(size=(141, 9)), rng.normal(size=141)
    settings = {"times": [0.05, 0.1], "scheme": scheme, "seed": 3, "precision": precision}
    settings["step"] = 0.0002 if scheme == "baoab" else 0.002

    def go(few, threads):
        clamp = {"x2": at[:few], "x7": 0.5}
        return spu.simulate(
            device, trajectories=few, own_inputs=own[:few], clamp=clamp, threads=threads, **settings
        ).readouts

    whole = go(141, 1)
    assert np.array_equal(whole, go(141, 3))
    for few in (1, 15, 33, 129):
        assert np.array_equal(whole[:few], go(few, 2))
    if precision == "single":
        settings["precision"] = "double"
        assert whole == pytest.approx(go(141, 1), abs=2e-4 * np.abs(whole).max())


@pytest.mark.parametrize("scheme", ["heun", "euler-maruyama"])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_units_without_mobility_and_noise_stay_where_they_are(scheme, precision):
    """As an equation may have them: bit by bit, without being refused, and the others feel them."""
    equation = equation_of(scheme, 6, kT=20.0)
    held = np.array([True, False, False, True, False, False])
    still = replace(
        equation,
        mobility=np.where(held, 0.0, equation.mobility),
        noise=np.where(held[:, None], 0.0, equation.noise),
    )
    start = np.float32(np.random.default_rng(2).normal(size=(40, 6))).astype(float)
    grid = Grid.of(np.array([0.2]), np.zeros(0), lambda at: np.full(len(at), 0.002), True)
    found = run(still, grid=grid, trajectories=40, seed=1, scheme=scheme, start=start, precision=precision, threads=1)
    assert np.array_equal(found.states[0][:, held], start[:, held])
    assert not (found.states[0][:, ~held] == start[:, ~held]).any()
    plan = Schedule(np.zeros(1), equation.field[None, :])
    names = equation.names
    clamps = Clamps.of(equation, {names[k]: start[:, k] for k in np.flatnonzero(held)}, 40)
    few = clamps.schedule(plan)
    x = found.states[0]
    force = clamps.equation.force(x[:, ~held], few.acting(0.0))
    assert force == pytest.approx(equation.force(x)[:, ~held], abs=1e-12)


# --- what learning needs of runs -----------------------------------------------------------


def test_couplings_that_are_not_there_are_not_computed():
    """784 visible units, none coupled to another, and 512 hidden: entries, a multiplication each."""
    visible, n = 784, 1296
    rng = np.random.default_rng(1)
    stiffness = np.eye(n) + rng.normal(size=(n, n))
    stiffness[:visible, :visible] = np.eye(visible)
    for precision in ("double", "single"):
        entries = len(pack(stiffness, precision).values)
        assert entries < 1.02 * np.count_nonzero(stiffness) < 0.66 * n * n


def test_runs_without_ghosts_are_the_same_runs():
    """Bit by bit, whatever the tiles: of two panels, of a tile and more, of several wide ones."""
    equation = langevin_of_network(network(5))
    grid = Grid.of(np.array([0.1]), np.zeros(0), lambda at: np.full(len(at), 0.005), False)
    for width in (33, 129, 1100):
        settings = {"grid": grid, "trajectories": width, "seed": 1, "scheme": "euler-maruyama", "threads": 2}
        with_ghosts, without = (run(equation, ghosts=each, **settings) for each in (True, False))
        assert np.array_equal(with_ghosts.states, without.states)
        assert with_ghosts.check.any() and not without.check.any()


@pytest.mark.parametrize("size", [1.0, 4.0, 16.0])
def test_single_precision_of_large_couplings(size):
    """As learned networks have them: on the same noise, to 1e-4 of a deviation after 200 steps; cold ones not."""
    made = network(30)
    J = size * made.couplings / np.abs(made.couplings).max()
    hot, cold = (ThermodynamicNetwork(1.0, 0.0, 1.0, couplings=J, kT=kT) for kT in (1.0, 1e-10))
    grid = Grid.of(np.array([0.2]), np.zeros(0), lambda at: np.full(len(at), 1e-3), False)
    settings = {"grid": grid, "trajectories": 64, "seed": 1, "scheme": "euler-maruyama", "threads": 1, "ghosts": False}
    one, two = (run(langevin_of_network(hot), precision=each, **settings).states for each in ("double", "single"))
    assert 0 < np.abs(one - two).max() < 1e-4 * one.std()
    with pytest.raises(UsageError, match="single precision rounds"):
        run(langevin_of_network(cold), precision="single", start=np.ones(30), **settings)
