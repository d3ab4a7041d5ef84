"""Annealing: how often, how long, how sure; against counting, against a digital annealer, against scipy."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import lsq_linear
from scipy.stats import binom, binomtest, fisher_exact

import spu
from spu.base.errors import SpuError, UsageError
from spu.base.files import plain
from spu.cli import cli
from spu.folder import write_folder
from spu.studies import annealing
from spu.studies.annealing import interval_of, runs_to_solution
from tests.problems.test_ising import instance, programme

EXAMPLE = Path(__file__).parents[2] / "examples" / "petersen.toml"
RING = [[0, -1, 0, -1], [-1, 0, -1, 0], [0, -1, 0, -1], [-1, 0, -1, 0]]


def annealed(problem, **options):
    return spu.anneal(problem, **{"runs": 40, "duration": 20.0} | options)


# --- figures -------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 400)])
def test_intervals_are_those_of_clopper_and_pearson(k, n):
    found = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert interval_of(k, n) == pytest.approx((found.low, found.high), abs=1e-12)


def test_an_interval_holds_the_probability_as_often_as_it_says():
    """Exactly, over a walk of probabilities: never below 95 %."""
    n = 30
    ends = [interval_of(k, n) for k in range(n + 1)]
    for p in np.linspace(0.001, 0.999, 97):
        held = sum(binom.pmf(k, n, p) for k in range(n + 1) if ends[k][0] <= p <= ends[k][1])
        assert held >= 0.95 - 1e-12


def test_runs_to_a_solution():
    assert runs_to_solution(0.0) == np.inf and runs_to_solution(1.0) == 1.0 and runs_to_solution(0.995) == 1.0
    for p in (0.01, 0.3, 0.9):
        assert 1 - (1 - p) ** runs_to_solution(p) == pytest.approx(0.99)


# --- the runs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    """Twelve random problems of 4 to 9 spins, each annealed twice with other noise."""
    found = []
    for k in range(12):
        problem = spu.Ising(*instance(4 + k % 6, k, whole=k % 2 == 0), by=("noise", "couplings")[k % 3 == 2])
        found.append([annealed(problem, runs=400, seed=seed, duration=15.0) for seed in (1, 2)])
    return found


def test_what_one_set_of_runs_says_the_other_finds(many):
    """Success of other noise, by Fisher's exact test at 1e-9 in all; a fifth of a success more or less is seen."""
    for first, second in many:
        counts = [[each.successes, each.runs - each.successes] for each in (first, second)]
        assert fisher_exact(counts).pvalue > 1e-9 / 12
    assert all(first.successes > 0 for first, _ in many)
    assert min(first.success for first, _ in many) < 0.8


def test_intervals_of_few_runs_hold_what_many_find(many):
    """240 intervals of 40 runs: 95 % at least hold the probability; fewer than 90 % once in 1e-4 runs of the suite.

    The probability is that of 800 runs, by whose error (up to a fifth of an interval's half width) a little is lost.
    """
    held = total = 0
    for first, second in many:
        costs = np.concatenate([first.costs, second.costs])
        good = costs <= first.reference + 1e-9
        for part in good.reshape(-1, 40):
            low, high = interval_of(int(part.sum()), 40)
            held += low <= good.mean() <= high
            total += 1
    assert total == 240 and held >= 0.9 * total


def test_a_solution_is_there_within_its_time(many):
    """Groups of as many runs as the upper end of the interval says have a ground state among them with 99 % or more.

    Of the other noise; more than twelve groups without are 1 in 1e9 of what may be.
    """
    missed = groups = 0
    for first, second in many:
        size = int(np.ceil(first.readouts_interval[1]))
        good = second.costs <= second.reference + 1e-9
        parts = good[: len(good) // size * size].reshape(-1, size)
        missed += int((~parts.any(axis=1)).sum())
        groups += len(parts)
    assert groups > 200 and binom.sf(missed - 1, groups, 0.01) > 1e-9


def test_figures_agree_with_one_another():
    problem = spu.Ising(*instance(6, 2))
    found = annealed(problem, seed=3)
    assert found.costs == pytest.approx(problem.cost(found.states))
    assert found.best_cost == found.costs.min() == pytest.approx(problem.cost(found.best_state))
    assert found.reference == problem.ground().energy and found.reference_source == "counted"
    assert found.successes == (found.costs <= found.reference + problem.tolerance).sum()
    assert found.time_to_solution == pytest.approx(found.readouts_to_solution * found.time_of_run)
    low, high = found.success_interval
    assert found.readouts_interval == (runs_to_solution(high), runs_to_solution(low))
    assert found.time_of_run == pytest.approx(found.device.ramp.duration)
    again = annealed(problem, seed=3, threads=1)
    assert np.array_equal(again.states, found.states)
    assert not np.array_equal(annealed(problem, seed=4).states, found.states)


def test_slower_is_surer():
    """Success over ten times the time: by more than 6 standard errors."""
    problem = spu.Ising(*instance(9, 5))
    few, more = (annealed(problem, runs=400, duration=duration) for duration in (2.0, 60.0))
    error = np.sqrt(few.success * (1 - few.success) / 400 + more.success * (1 - more.success) / 400)
    assert more.success - few.success > 6 * error


def test_a_qubo_and_its_ising_problem_anneal_alike():
    """The same cells: the same bits."""
    J, h = instance(5, 1)
    qubo = spu.QUBO(np.triu(J) - np.diag(h))
    ising = spu.Ising(qubo.J, qubo.h)
    first, second = annealed(qubo), annealed(ising)
    assert np.array_equal(first.states, (1 + second.states) / 2)
    assert first.costs == pytest.approx(second.costs + qubo.offset)
    assert first.success == second.success


def test_deeper_wells_tell_near_states_apart():
    """A problem whose network prefers another state says so; with deep wells it does not."""
    problem = next(
        each
        for each in (spu.Ising(*instance(6, seed), depth=0.1) for seed in range(40))
        if each.ground().assured is False
    )
    found = annealed(problem)
    assert found.assured is False and "cells are no spins" in found.warnings[-1]
    assert spu.Ising(problem.J, problem.h, depth=5.0).ground().assured is True


# --- schedules and subjects ----------------------------------------------------------------


def test_what_may_be_annealed(tmp_path):
    """A problem, its device, folder and file; the same figures."""
    problem = spu.Ising(RING, duration=20.0)
    made = spu.compile_problem(problem)
    write_folder(tmp_path / "out", made)
    (tmp_path / "ring.toml").write_text(f'task = "ising"\nduration = 20.0\nJ = {RING}\n')
    np.savetxt(tmp_path / "ring.csv", RING, delimiter=",")
    right = spu.anneal(problem, runs=20).states
    for given in (made, made.device, tmp_path / "out", tmp_path / "ring.toml"):
        assert np.array_equal(spu.anneal(given, runs=20).states, right)
    assert np.array_equal(spu.anneal(tmp_path / "ring.csv", runs=20, duration=20.0).states, right)
    assert made.device.ramp.varies("noise")


def test_schedules():
    made = spu.compile_problem(spu.Ising(RING))
    found = spu.anneal(made, runs=10, schedule="couplings", duration=7.0)
    assert found.schedule == "couplings from 0 to 1"
    assert found.time_of_run == pytest.approx(7.0 * made.scales.time)
    assert made.device.ramp.duration == pytest.approx(100.0 * made.scales.time)  # the device stays as it is
    second = made.scales.time
    both = spu.Ramp([0, 5 * second, 10 * second], couplers=[0.0, 1.0, 1.0], noise=[1.0, 1.0, 0.0])
    found = spu.anneal(made, runs=10, schedule=both)
    assert found.schedule == "couplings from 0 to 1 and noise from 1 to 0"
    assert found.device.ramp is both


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (spu.Ising(RING), {"runs": 0}, "runs must be 1 or more"),
        (spu.Ising(RING), {"runs": "a"}, "runs must be a whole number"),
        (spu.Ising(RING), {"seed": -1}, "seed must not be negative"),
        (spu.Ising(RING), {"duration": 0}, "duration must be positive"),
        (spu.Ising(RING), {"schedule": "nois"}, "schedule is did you mean|schedule is"),
        (spu.Ising(RING), {"schedule": 3}, "schedule is noise, couplings or a spu.Ramp"),
        (spu.Ising(RING), {"schedule": spu.Ramp([0, 1e-6], noise=[1, 0]), "duration": 1}, "a ramp has its own"),
        (spu.Ising(RING), {"schedule": spu.Ramp([0.0], noise=[1.0])}, "the ramp is over at once"),
        (spu.Ising(RING), {"task": "qubo"}, "task is of matrix files"),
        (spu.Ising(RING), {"precision": "single"}, "no noise, and single precision"),
        (spu.BoundedQuadratic(np.eye(2), 0.3, 0, 1), {"compare": True}, "compare is of spins and bits"),
        (spu.ThermodynamicNetwork(units=2), {}, "there is nothing to anneal|is no device"),
        (spu.compile(spu.ThermodynamicNetwork(units=2)), {}, "there is nothing to anneal"),
        (spu.compile_problem(spu.Ising(RING)), {"hardware": "neurons"}, "hardware is of problems"),
        (np.eye(3), {}, "is no device"),
        ("nowhere.toml", {}, "nowhere.toml"),
    ],
)
def test_wrong_use_is_one_line(given, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpuError, match=words) as refused:
        spu.anneal(given, **options)
    said = str(refused.value)
    assert "\n" not in said and len(said) < 300 and refused.value.kind != "internal"


def test_a_device_without_a_ramp_is_told_what_to_give():
    device = spu.compile_problem(spu.Ising(RING)).device
    device.ramp = None
    with pytest.raises(UsageError, match="the device has no ramp: schedule says how"):
        spu.anneal(device)
    assert spu.anneal(device, runs=5, schedule="noise", duration=5.0).runs == 5


# --- beyond counting, and beside a digital annealer ----------------------------------------


def test_beyond_twenty_spins_only_the_best_is_known(monkeypatch):
    """A ring of 24 that wants equal spins, whose ground state everybody knows: -24."""
    J = np.roll(np.eye(24), 1, axis=0)
    problem = spu.Ising(J + J.T)
    found = annealed(problem, runs=20)
    assert found.reference_source == "digital" and found.reference == pytest.approx(-24.0)
    assert found.assured is None and "24 spins are too many to count" in found.warnings[-1]
    monkeypatch.setattr(annealing, "_installed", lambda: False)
    alone = annealed(problem, runs=20)
    assert alone.reference_source == "runs" and alone.reference == alone.best_cost
    assert np.array_equal(alone.states, found.states)
    monkeypatch.setitem(sys.modules, "dwave.samplers", None)
    with pytest.raises(UsageError, match=r"pip install 'spu-emulator\[annealing\]'"):
        annealed(problem, runs=2, compare=True)


def test_a_digital_annealer_beside():
    problem = spu.Ising(*instance(8, 4, whole=True))
    found = annealed(problem, compare=True)
    beside = found.digital
    assert beside.best == pytest.approx(problem.ground().energy) and beside.runs == found.runs
    assert beside.success_interval == interval_of(beside.successes, beside.runs)
    assert annealed(problem, compare=True).digital.successes == beside.successes
    assert "simulated annealing" in str(found)


# --- within bounds -------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "extra"), [(1, 2), (3, 2), (6, 6), (10, 20)])
@pytest.mark.parametrize("by", ["noise", "couplings"])
def test_programmes_within_bounds_against_scipy(n, extra, by):
    given = programme(n, 7, extra)
    problem = spu.BoundedQuadratic(*given, by=by, kT=None if by == "noise" else 0.01)
    found = spu.anneal(problem, runs=8)
    root = np.linalg.cholesky(given[0])
    right = lsq_linear(root.T, np.linalg.solve(root, given[1]), (given[2], given[3]), tol=1e-13).x
    assert (found.states >= given[2]).all() and (found.states <= given[3]).all()
    assert np.linalg.norm(found.best_state - right) <= found.distance + 1e-9
    assert -1e-9 <= found.best_cost - problem.cost(right) <= found.gap + 1e-9
    assert found.gap < 1e-2 * abs(found.best_cost)
    assert found.success is None and found.rounds >= 1
    assert found.time_of_run > found.device.ramp.duration


def test_rounds_are_what_brings_the_answer(monkeypatch):
    problem = spu.BoundedQuadratic(*programme(6, 7, 6))
    few, all_of_them = [], []
    for rounds, kept in ((1, few), (25, all_of_them)):
        monkeypatch.setattr(annealing, "ROUNDS", rounds)
        kept.append(spu.anneal(problem, runs=4).gap)
    assert few[0] > 100 * all_of_them[0]


# --- doors ---------------------------------------------------------------------------------


def test_what_it_prints_and_draws(tmp_path):
    found = annealed(EXAMPLE, runs=60)
    said = str(found)
    for words in (
        "ground state   -9: all states were counted",
        "(95 %)",
        "to a solution",
        "each read once",
        "cost  runs",
    ):
        assert words in said, said
    assert repr(found).startswith("Annealing(task='ising', runs=60")
    found.plot().savefig(tmp_path / "a.png")
    held = json.loads(json.dumps(plain(found.to_dict()), allow_nan=False))
    assert held["reference"] == -9.0 and held["runs"] == 60
    object.__setattr__(found, "time_interval", (1e-6, np.inf))
    assert found.to_dict()["time_interval"] == (1e-6, None) and "to no end" in str(found)
    bounded = spu.anneal(spu.BoundedQuadratic(*programme(3, 1)), runs=4)
    assert "above the least cost" in str(bounded) and bounded.plot() is not None


def test_the_verb(tmp_path):
    options = ["--runs", "30", "--duration", "20", "--by", "couplings", "--seed", "2"]
    done = CliRunner().invoke(cli, ["anneal", str(EXAMPLE), *options, "--compare", "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert found["schedule"] == "couplings from 0 to 1" and found["digital"]["best"] == -9.0
    right = spu.anneal(EXAMPLE, runs=30, duration=20, schedule="couplings", seed=2)
    assert found["costs"] == right.costs.tolist()
    done = CliRunner().invoke(cli, ["anneal", str(EXAMPLE), *options, "--plot", str(tmp_path / "a.svg")])
    assert done.exit_code == 0 and (tmp_path / "a.svg").exists() and "success" in done.output
    (tmp_path / "bad.toml").write_text('task = "ising"\nJ = [[0, 1], [2, 0]]\n')
    done = CliRunner().invoke(cli, ["anneal", str(tmp_path / "bad.toml"), "--json"])
    assert done.exit_code == 2 and "J is not symmetric" in json.loads(done.stdout)["error"]["message"]
