"""Annealing runs in ngspice: one path in both, errors that fall with the step, and edits that are found."""

import re
from pathlib import Path

import numpy as np
import pytest

import spu
from spu.crosscheck.levels import replay
from spu.folder import read_folder, write_folder
from tests.problems.test_ising import instance
from tests.test_examples import ANNEALING, run_alone


def made(by, n=4, seed=2):
    J, h = instance(n, seed)
    return spu.compile_problem(spu.Ising(J, h, by=by, duration=12.0), "neurons")


@pytest.mark.parametrize("by", ["noise", "couplings"])
def test_one_annealing_run_in_both(by, monkeypatch):
    """Errors of the path fall with finer steps, to 1e-3; the spins are the same while they turn, and at the end."""
    kept, taken = [], replay.ReplayedPath

    def keep(*given):
        kept.append(given)
        return taken(*given)

    monkeypatch.setattr(replay, "ReplayedPath", keep)
    compiled = made(by, 6)
    found = spu.check(compiled, levels=["ideal", "op", "replay"])
    assert found.verdict == "pass", found
    errors = list(found.levels["replay"].data["path_errors"].values())
    assert errors[-1] < 1e-3 and errors[-1] < errors[0] / 2
    (waveform, piece, every, theirs, ours, _) = kept[0]
    assert len(theirs) * every * piece > compiled.device.ramp.duration  # the whole of it, and beyond
    far = np.abs(ours) > 0.01 * np.abs(ours).max()
    assert (np.sign(theirs) == np.sign(ours))[far].all()
    turns = (np.diff(np.sign(ours), axis=0) != 0).sum()
    assert turns > 3 and np.abs(waveform).max() > 0
    spins = [compiled.problem.decode(path[-1]) for path in (theirs, ours)]
    assert np.array_equal(*spins)


MUTATIONS = [
    ("noise", r"^vramp_noise .*pwl\(\n\+ 0\.0 ", 0.9),  # where it begins
    ("couplings", r"^vramp_couplers .*pwl\(\n\+ 0\.0 0\.0 (?=\S+ 1\.0)", 1.3),  # when it ends
    ("couplings", r"^xcoupler_g_x1_x2 .* gab=", -1.0),
    ("couplings", r"^xcell_x2 .* p3=", 1.05),
]


@pytest.mark.parametrize(("by", "pattern", "factor"), MUTATIONS)
def test_an_edited_annealing_is_found(by, pattern, factor, tmp_path):
    write_folder(tmp_path / "d", made(by))
    deck = tmp_path / "d" / "device.cir"
    assert spu.check(tmp_path / "d", levels=["replay"]).verdict == "pass"
    number = re.compile(rf"({pattern})([-+.e0-9]+)", re.MULTILINE)
    text, count = number.subn(lambda m: f"{m[1]}{float(m[2]) * factor!r}", deck.read_text(), count=1)
    assert count == 1
    deck.write_text(text)
    found = spu.check(tmp_path / "d", levels=["replay"])
    assert found.levels["replay"].verdict == "fail", found.levels["replay"].message


def test_a_coupler_that_does_not_follow_is_found(tmp_path):
    write_folder(tmp_path / "d", made("couplings"))
    deck = tmp_path / "d" / "device.cir"
    text = re.sub(r"^(xcoupler_g_x1_x2 \S+ \S+) ramp_couplers ", r"\1 steady ", deck.read_text(), flags=re.MULTILINE)
    assert text != deck.read_text()
    deck.write_text(text.replace("\nvramp_couplers ", "\nvsteady steady 0 dc 1\nvramp_couplers ", 1))
    assert spu.check(tmp_path / "d", levels=["replay"]).levels["replay"].verdict == "fail"


def test_the_annealing_netlist_runs_by_itself(tmp_path):
    """Petersen's graph: after its ramp every cell rests, where the network has a minimum; the cut is a good one."""
    problem, _ = spu.load_problem(Path(__file__).parents[2] / "examples" / "petersen.toml")
    found = re.findall(r"^RESULT tran (\w+): mean (\S+) variance (\S+)", run_alone(ANNEALING, tmp_path), re.MULTILINE)
    assert [name for name, _, _ in found] == list(problem.variables)
    x = np.array([float(mean) for _, mean, _ in found])
    assert all(float(variance) < 1e-9 for _, _, variance in found)
    assert np.abs(problem.force(x)).max() < 1e-3
    assert np.linalg.eigvalsh(problem.stiffness(x))[0] > 0
    cut = (15 - problem.cost(problem.decode(x))) / 2
    assert 10 <= cut <= 12


def test_a_folder_of_an_annealing_goes_through_every_verb(tmp_path):
    """What a designer does with it: simulate, check, inspect; and to anneal it gives what the problem gives."""
    from click.testing import CliRunner

    from spu.cli import cli

    write_folder(tmp_path / "d", made("noise"))
    for words in (
        ["predict"],
        ["simulate", "--no-output", "--trajectories", "10"],
        ["inspect"],
        ["check", "--level", "ideal"],
        ["report", "--level", "ideal", "-o", str(tmp_path / "r.html")],
        ["anneal", "--runs", "5"],
    ):
        done = CliRunner().invoke(cli, [words[0], str(tmp_path / "d"), *words[1:], "--json"])
        assert done.exit_code == 0, (words, done.output)
    assert read_folder(tmp_path / "d").device.ramp is not None
