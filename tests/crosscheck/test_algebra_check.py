"""Exponentials and systems in ngspice: every level passes, and what is changed in the netlist is seen."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import spu
from spu.folder import read_folder, write_folder

PROBLEMS = {
    "exponential": spu.MatrixExponential([[0.2, 1.0], [-0.7, -0.6]], 0.5),  # correlated noise
    "direct": spu.GeneralSystem([[2.0, -1.0], [1.0, 1.0]], [1.0, 2.0]),
    "embedding": spu.GeneralSystem([[0.0, 1.0], [1.0, 0.3], [0.5, 0.5]], [1.0, 2.0, 0.5]),
    "least-squares": spu.LeastSquares([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 2.0, 4.0]),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    where = tmp_path_factory.mktemp("algebra")
    for name, problem in PROBLEMS.items():
        write_folder(where / name, spu.compile_problem(problem))
    return where


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_level_passes(name, folders):
    found = spu.check(folders / name, levels=["ideal", "answer", "op", "ac", "replay"])
    assert {level.name: level.verdict for level in found.levels.values()} == dict.fromkeys(found.levels, "pass")
    first = found.comparisons[0]
    kind = PROBLEMS[name].kind
    assert first.between == ("ideal", "emulator") and first.within
    assert first.quantity == ("lagged" if kind.answer.lagged else "mean")


@pytest.mark.parametrize("name", PROBLEMS)
def test_its_netlist_reads_back(name, folders):
    problem = PROBLEMS[name]
    read = spu.read_netlist(folders / name / "device.cir")
    found = spu.predict(read, problem=problem)
    assert found.relative_error < 1e-9
    if problem.lag is not None:
        assert found.lag == spu.predict(folders / name).lag
        np.testing.assert_allclose(problem.solution(found.lagged), problem.exact, rtol=1e-9)


def _edited(folders, name, pattern, replacement):
    original = (folders / name / "device.cir").read_text()
    text, count = re.subn(pattern, replacement, original, count=1, flags=re.MULTILINE)
    assert count == 1, pattern
    file = folders / f"{name}_edited.cir"
    file.write_text(text)
    return file


def test_a_lagged_answer_that_moved_is_seen(folders):
    """Cells ten per cent slower, with as much more noise: the covariance stays, and only the lag tells."""
    original = (folders / "exponential" / "device.cir").read_text()
    slower = re.sub(r"\bc=1e-09\b", "c=1.1e-09", original)
    assert slower != original
    file = folders / "slower.cir"
    more = {"sn": 1.1, "an": 1.1**0.5}  # a density, and an amplitude
    file.write_text(re.sub(r"\b(sn|an)=(\S{4,})", lambda m: f"{m[1]}={float(m[2]) * more[m[1]]!r}", slower))
    found = spu.check(folders / "exponential", netlist=file, levels=["answer"])
    changes = found.changes
    assert changes.covariance_change < 1e-6 and changes.lagged_change > 0.01
    assert found.levels["answer"].verdict == "fail"
    assert changes.to_dict()["lagged"]["relative_change"] == changes.lagged_change
    judged = spu.check(folders / "exponential", netlist=file, levels=["answer"], accuracy=0.2)
    assert judged.levels["answer"].verdict == "pass" and judged.levels["answer"].error > 0.01
    assert spu.check(folders / "exponential", netlist=file, levels=["answer"], accuracy=0.01).verdict == "fail"


def test_a_stored_answer_that_is_another_is_seen(folders, tmp_path):
    file = folders / "exponential" / "problem.json"
    data = json.loads(file.read_text())
    data["compiled"]["statistics"]["lagged"][0][1] += 1e-6
    made = spu.compile_problem(PROBLEMS["exponential"])
    write_folder(tmp_path / "f", made)
    (tmp_path / "f" / "problem.json").write_text(json.dumps(data))
    found = spu.check(read_folder(tmp_path / "f"), levels=["ideal"]).levels["ideal"]
    assert found.verdict == "fail" and "its lagged is off" in found.message
    del data["compiled"]["statistics"]["lagged"]
    (tmp_path / "f" / "problem.json").write_text(json.dumps(data))
    with pytest.raises(spu.InputError, match="lacks lagged: compile again"):
        read_folder(tmp_path / "f")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("exponential", r"(^xcoupler\S+.*\bgab=)(\S+)"),
        ("embedding", r"(^xcoupler\S+.*\bgba=)(\S+)"),
    ],
)
def test_a_coupler_of_one_direction_is_seen(name, pattern, folders):
    """The half of a coupler that has no twin: the other direction alone changes."""
    file = _edited(folders, name, pattern, lambda m: f"{m[1]}{float(m[2]) * 1.01!r}")
    found = spu.check(folders / name, netlist=file, levels=["answer", "ac"])
    assert {level.verdict for level in found.levels.values()} == {"fail"}


def test_what_no_sweep_holds_is_inconclusive(folders):
    """A netlist that only ngspice reads: its sweeps give covariances, not what a time later is left of them."""
    text = (folders / "exponential" / "device.cir").read_text()
    weak = "d1 cell_x1 0 weak\nd2 0 cell_x1 weak\n.model weak d(is=1e-30 n=1)\n"
    file = folders / "diodes.cir"
    first = re.search(r"^xcell", text, flags=re.MULTILINE).start()
    file.write_text(text[:first] + weak + text[first:])
    for options in ({}, {"accuracy": 0.1}):
        level = spu.check(folders / "exponential", netlist=file, levels=["answer"], **options).levels["answer"]
        assert level.verdict == "inconclusive"
        assert "the answer, a lagged covariance, is in no sweep of ngspice's" in level.message


def test_a_time_that_is_another_is_seen(folders, tmp_path):
    """The folder says how long a unit of the problem's time is: with another one the answer is another."""
    write_folder(tmp_path / "f", spu.compile_problem(PROBLEMS["exponential"]))
    file = tmp_path / "f" / "problem.json"
    data = json.loads(file.read_text())
    data["compiled"]["scales"]["time"] *= 1.01
    file.write_text(json.dumps(data))
    found = spu.check(read_folder(tmp_path / "f"), levels=["ideal"]).levels["ideal"]
    assert found.verdict == "fail" and found.data["accuracy"]["error"] > 1e-3


def test_a_budget_is_of_the_lagged_covariance():
    """A node's capacitance makes the cells slower and quieter; its shares add up to what the answer is off by."""
    problem = PROBLEMS["exponential"]
    device = spu.compile_problem(problem).device.at_detail(spu.Detail(node={"capacitance": 1e-11}))
    device.problem = problem
    budget = spu.error_budget(device)
    assert budget.answer == "lagged covariance" and budget.against == "problem"
    assert budget.relative_error == pytest.approx(spu.predict(device).lagged_relative_error)
    assert budget.sum + budget.rest.share == pytest.approx(budget.relative_error)
    by_effect = {line.effect: line.norm for line in budget.lines}
    assert by_effect["node.capacitance"] > 1e-3 > 1e-9 > by_effect["programming"]
