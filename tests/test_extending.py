"""The recipes of docs/howto/extending.md run as they stand there, and what each adds is used by the doors."""

import json

import pytest
from click.testing import CliRunner
from recipes import recipe, sections

import spu
from spu.base.errors import UsageError
from spu.cli import cli
from spu.compiler.architectures import ARCHITECTURES
from spu.crosscheck.levels import LEVELS, LevelKind, Way, register
from spu.crosscheck.result import Level
from spu.device import hardware
from spu.folder import write_folder
from spu.problems.kinds import KINDS, Kind
from spu.reports.texts import TEXTS
from spu.spice.simulators import SIMULATORS

SAYS = {
    "A kind of problem": "True\npass\n",
    "An architecture": "10.0 pass\n",
    "A level of the check": "pass\n",
    "A simulator": str(
        {"ideal": "pass", "answer": "pass", "op": "pass", "ac": "skipped", "replay": "skipped", "noise": "skipped"}
    )
    + "\n",
    "A study": "True True\n",
}
"""What the code under each heading prints; the recipes of parts and elements have a test of their own."""


REGISTERS = (KINDS, ARCHITECTURES, LEVELS, SIMULATORS, TEXTS, hardware._KNOWN)


@pytest.mark.parametrize("heading", SAYS)
def test_a_recipe(heading, tmp_path, capsys):
    with recipe(heading, tmp_path, REGISTERS):
        assert capsys.readouterr().out == SAYS[heading]


def test_what_recipes_add_is_there_for_the_command_line(tmp_path):
    with recipe("A kind of problem", tmp_path, REGISTERS), recipe("A level of the check", tmp_path, REGISTERS):
        use(tmp_path)


def use(tmp_path):
    (tmp_path / "p.toml").write_text('task = "trace"\nmatrix = [[2.0, -0.5], [-0.5, 1.0]]\n')
    for words in (["compile", str(tmp_path / "p.toml"), "-o", str(tmp_path / "d")], ["predict", str(tmp_path / "d")]):
        done = CliRunner().invoke(cli, [*words, "--json"])
        assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["relative_error"] < 1e-9
    done = CliRunner().invoke(cli, ["check", str(tmp_path / "d"), "--level", "supply", "--json"])
    assert json.loads(done.stdout)["levels"]["supply"]["verdict"] == "pass"


def test_a_level_of_a_recipe_can_fail(tmp_path):
    made = spu.compiler.compile_problem(spu.LinearSystem([[2.0, -0.5], [-0.5, 1.0]], [1.0, 2.0]))
    write_folder(tmp_path / "d", made)
    with recipe("A level of the check", tmp_path, REGISTERS) as module:
        module.SUPPLY = 1e-9
        found = spu.check(tmp_path / "d", levels=["supply"])
    assert (found.verdict, found.exit_status) == ("fail", 1)


def test_levels_that_say_nothing_a_check_can_use_are_refused_by_name(monkeypatch):
    device = spu.compile(spu.LinearSystem([[2.0, -0.5], [-0.5, 1.0]], [1.0, 2.0]))
    monkeypatch.setitem(LEVELS, "odd", LevelKind("odd", Way(lambda context: None), compares="", failing=""))
    with pytest.raises(UsageError, match="level odd must give a Level, not None"):
        spu.check(device, levels=["odd"])
    with pytest.raises(ValueError, match=r"the verdict of level odd must be one of pass, .*: 'okay'"):
        Level("odd", "okay", "nothing")
    with pytest.raises(UsageError, match="level odd: no dynamics are called 'langevn'; did you mean 'langevin'"):
        register(LevelKind("odd", {"langevn": Way(lambda context: None)}, compares="", failing=""))


def test_kinds_of_each_base_are_read_from_files_as_the_page_says(tmp_path, monkeypatch):
    class Weighted(spu.LinearSystem):
        task = "weighted"

    class Marginal(spu.GaussianSampling):
        task = "marginal"

    linear, sampling = KINDS["linear"], KINDS["gaussian"]
    known = {"matrices": ("precision", "covariance"), "vectors": ("mean",), "optional": ("mean",)}
    monkeypatch.setitem(KINDS, "weighted", Kind("weighted", Weighted, linear.answer, "sum up", vectors=("vector",)))
    monkeypatch.setitem(KINDS, "marginal", Kind("marginal", Marginal, sampling.answer, "look at one", **known))
    for cls, keys in ((Weighted, "matrix = [[2.0]]\nvector = [1.0]"), (Marginal, "covariance = [[2.0]]\nmean = [1.0]")):
        path = tmp_path / f"{cls.task}.toml"
        path.write_text(f'task = "{cls.task}"\n{keys}\n')
        done = CliRunner().invoke(cli, ["compile", str(path), "-o", str(tmp_path / cls.task)])
        assert done.exit_code == 0, done.output
        assert spu.predict(tmp_path / cls.task).relative_error < 1e-9
    assert "vectors=(" in sections()["A kind of problem"]


def test_every_recipe_is_tested():
    assert [*sections()] == ["A coupler (or a part of a cell)", "A nonlinear element", *SAYS]
