"""The benchmark runs, tells who is missing, and would notice a sampler that is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's modules, which lie beside its script and not in a package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    import correctness
    import harness
    import peers
    import problems

    yield {"correctness": correctness, "harness": harness, "peers": peers, "problems": problems}
    for name in {"adapter", "correctness", "harness", "peers", "problems"} & (set(sys.modules) - before):
        del sys.modules[name]


CASES = ("1", "2", "3", "3b", "4", "5", "6", "7", "8", "9", "10", "11")


@pytest.mark.parametrize("cases", [("1", "10"), pytest.param(CASES, marks=pytest.mark.long)], ids=["some", "all"])
def test_quick_run_without_peers(cases, tmp_path):
    path = tmp_path / "found.json"
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--quick", "--peers", "none", "--json", str(path)]
    command += [] if cases == CASES else ["--only", ",".join(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["format"] == "spu-bench/1"
    assert {row["case"] for row in found["rows"]} == {*cases}
    own = [check["verdict"] for check in found["checks"] if check["sampler"] == "spu"]
    assert own.count("right") >= 5
    assert not any(verdict.startswith("WRONG") for verdict in own)
    left_out = [row for row in found["rows"] if row["case"] in ("1", "2", "3", "4")]
    assert {row["note"] for row in left_out} == {"left out"}
    assert "thermox" in done.stdout


def test_unknown_case_is_refused():
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--only", "99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no case 99" in done.stderr


def test_missing_peer_is_told(modules, monkeypatch):
    monkeypatch.setitem(sys.modules, "thermox", None)
    session = modules["harness"].Session(quick=True)
    law, interval, problem = modules["correctness"].common_problem()
    modules["correctness"].peer(
        session, modules["peers"].Thermox(), "covariance", problem, law, interval, steps=2, count=2
    )
    assert [check.verdict for check in session.checks] == ["not installed"]


def test_formulas_of_the_recursions(modules):
    peers = modules["peers"]
    _, _, problem = modules["correctness"].common_problem()
    exact = peers.NumpyExact()
    assert peers.bias(problem, exact.law(problem)) < 1e-9
    for method in (peers.NumpyEuler(), peers.Diffrax()):
        count = peers.substeps(problem, lambda h, method=method: method._law(problem, h))
        found = peers.bias(problem, method._law(problem, problem.interval / count))
        assert 0.3 * peers.BIAS < found <= peers.BIAS
    # Euler is of first order, ShARK's covariance of second or better.
    for method, order in ((peers.NumpyEuler(), 1), (peers.Diffrax(), 2)):
        coarse, fine = (peers.bias(problem, method._law(problem, problem.interval / n)) for n in (4000, 8000))
        assert coarse / fine > 0.9 * 2**order
    # thermox's formula holds where the drift is normal, and not on an RLC network.
    assert peers.bias(problem, peers.Thermox().law(problem)) > 1.0
    law = modules["problems"].cell_law(modules["problems"].alike_rc(4))
    normal = peers.problem_of(law, float(law.time_constants[0]))
    assert peers.bias(normal, peers.Thermox().law(normal)) < 1e-9


def test_a_wrong_sampler_is_noticed(modules):
    correctness = modules["correctness"]
    law, interval, problem = correctness.common_problem()
    exact = problem.H @ problem.covariance @ problem.H.T
    size = {"steps": 20_000, "interval": interval, "count": 100}
    assert correctness.deviations(law, exact, exact, **size)[1] == 0
    assert correctness.deviations(law, 1.1 * exact, exact, **size)[1] > modules["harness"].WORST


def test_nominal_step_keeps_the_energy(modules):
    problems = modules["problems"]
    step = problems.nominal_step(problems.grid_precision(2, 3), 0.7)
    found = step.transition @ step.transition.T + step.factor @ step.factor.T
    np.testing.assert_allclose(found, np.eye(12), atol=1e-12)
