"""Fields of each trajectory's own, and clamped units: in runs, against one run an input."""

from dataclasses import replace

import numpy as np
import pytest

from spu.base.errors import UsageError
from spu.compiler import compile_network
from spu.device.lower import lower
from spu.emulator.equations.langevin import langevin, langevin_of_network
from spu.emulator.runs import langevin_run
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
