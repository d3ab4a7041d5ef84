"""A check by several simulators: what each found, how far they are from one another, and who is said to disagree."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import SimulatorMissing, UsageError
from spu.cli import cli
from spu.crosscheck import check
from spu.folder import write_folder
from spu.spice.simulators import SIMULATORS, find_simulator, register
from spu.spice.simulators.analyses import Ac, Noise, OperatingPoint, Transient
from spu.spice.simulators.ngspice import Ngspice

LEVELS = ["ideal", "answer", "op", "ac", "replay"]
ASKS = ["op", "ac", "replay"]


class Tilted(Ngspice):
    """ngspice, but that all transfer functions are off by a share."""

    name = "tilted"
    share = 3e-5

    def run(self, deck, analyses, *, time_limit, folder=None):
        found = super().run(deck, analyses, time_limit=time_limit, folder=folder)
        for analysis, vectors in zip(analyses, found, strict=True):
            if isinstance(analysis, Ac):
                for name in analysis.vectors:
                    vectors[name] = vectors[name] * (1.0 + self.share)
        return found


class Absent(Ngspice):
    """A simulator that is not installed."""

    name = "absent"

    def run(self, deck, analyses, *, time_limit, folder=None):
        raise SimulatorMissing("absent is not installed; it cannot be had")


class Other(Ngspice):
    """ngspice by another name, which serves fewer analyses."""

    name = "other"
    analyses = (OperatingPoint, Ac, Noise, Transient)

    def version(self):
        return "7.0"


@pytest.fixture
def more(monkeypatch):
    """The simulators above, registered for a test."""
    monkeypatch.setattr("spu.spice.simulators.simulator.SIMULATORS", SIMULATORS)
    before = dict(SIMULATORS)
    for kind in (Tilted, Absent, Other):
        register(kind())
    yield
    SIMULATORS.clear()
    SIMULATORS.update(before)


@pytest.fixture(scope="module")
def device():
    return spu.compile([[2.0, -0.5], [-0.5, 1.0]], architecture="rc-resistive")


def test_two_that_agree_pass_and_stand_side_by_side(device, more):
    said = []
    found = check(device, levels=LEVELS, simulator=["ngspice", "other"], progress=said.append)
    assert (found.verdict, found.exit_status, found.simulators) == ("pass", 0, ("ngspice", "other"))
    assert [(who, level.name) for who, level in found.shown] == [
        ("", "ideal"),
        ("", "answer"),
        *((who, name) for name in ASKS for who in ("ngspice", "other")),
    ]
    begun = [words.partition(",")[0] for words in said]
    assert begun == [f"ngspice: {name}" for name in LEVELS] + [f"other: {name}" for name in ASKS]
    first, second = found.each
    assert list(first.levels) == LEVELS and list(second.levels) == ASKS
    assert found.levels == first.levels and not first.parts
    assert second.levels["replay"].verdict == "skipped" and second.version == "7.0"
    assert set(found.covariances) == {"ideal", "emulator", "ngspice", "other"}
    pairs = {row.quantity: row for row in found.comparisons if row.between == ("ngspice", "other")}
    assert set(pairs) == {"covariance", "mean", "transfer functions"}
    assert all(row.within and row.found == 0.0 and row.limit > 0 for row in pairs.values())
    assert sum(row.between == ("ideal", "emulator") and row.quantity == "covariance" for row in found.comparisons) == 1
    # What allows the most for each is the sum of what each may be off the emulator.
    allowed = first.levels["ac"].data["worst_transfer"]["tolerance"]
    assert pairs["transfer functions"].limit == pytest.approx(2 * allowed)


def test_paths_of_two_are_compared_under_the_same_noise(device, more):
    found = check(device, levels=["replay"], simulator=["ngspice", "tilted"])
    (row,) = (row for row in found.comparisons if row.quantity == "path")
    assert row.between == ("ngspice", "tilted") and row.found == 0.0 and row.limit == pytest.approx(4e-3)


@pytest.mark.parametrize("order", [("ngspice", "tilted"), ("tilted", "ngspice")])
def test_one_whose_transfer_functions_are_off_fails_and_the_pair_is_named(device, more, order):
    found = check(device, levels=LEVELS, simulator=order)
    assert (found.verdict, found.exit_status) == ("fail", 1)
    by_name = {each.simulator: each for each in found.each}
    assert by_name["ngspice"].verdict == "pass" and by_name["tilted"].verdict == "fail"
    (row,) = found.disagreements
    assert row.between == order and row.quantity == "transfer functions"
    assert row.found == pytest.approx(Tilted.share, rel=1e-3) and row.unexplained == row.found
    text = " ".join(str(found).split())
    assert f"{' and '.join(order)} disagree: transfer functions by 3.0e-05" in text
    assert "the emulator agrees with ngspice" in text
    assert text.endswith("FAIL: they disagree by more than is allowed; see the levels marked fail.")
    rows = {tuple(sorted(row.between)): row.found for row in found.comparisons if row.quantity == "transfer functions"}
    assert rows == {("ngspice", "tilted"): pytest.approx(Tilted.share, rel=1e-3)}


def test_what_is_missing_is_an_error_of_its_own_levels_and_the_others_stand(device, more):
    found = check(device, levels=LEVELS, simulator=["absent", "ngspice"])
    assert (found.verdict, found.exit_status) == ("error", 3)
    by_name = {each.simulator: each for each in found.each}
    assert by_name["ngspice"].verdict == "pass" and by_name["ngspice"].levels["ac"].verdict == "pass"
    assert by_name["absent"].levels["ideal"].verdict == "pass"
    assert {by_name["absent"].levels[name].verdict for name in ASKS} == {"error"}
    assert "ac (absent): absent is not installed" in str(found).replace("op, ac, replay", "ac").replace(
        "op (absent), ", ""
    )


def test_json_keeps_its_keys_for_the_first_and_lists_all(device, more, tmp_path):
    folder = write_folder(tmp_path / "out", spu.compile_problem(spu.GaussianSampling([[2.0, -0.5], [-0.5, 1.0]])))
    words = ["check", str(tmp_path / "out"), "--json", "--simulator", "ngspice", "--simulator", "tilted"]
    for level in LEVELS:
        words += ["--level", level]
    done = CliRunner().invoke(cli, words)
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["verdict"] == "fail" and found["simulator"] == "ngspice"
    assert found["levels"]["ac"]["verdict"] == "pass"
    assert [each["name"] for each in found["simulators"]] == ["ngspice", "tilted"]
    first, second = found["simulators"]
    assert first["levels"] == found["levels"] and first["verdict"] == "pass" and second["verdict"] == "fail"
    assert first["netlist"] == second["netlist"] == str(tmp_path / "out" / "device.cir")
    assert first["dialect"] == "ngspice" and first["version"] == find_simulator("ngspice").version()
    assert ["ngspice", "tilted"] in [row["between"] for row in found["comparisons"]]
    assert folder is not None
    alone = json.loads(CliRunner().invoke(cli, [*words[:3], "--level", "ideal"]).stdout)
    assert [each["name"] for each in alone["simulators"]] == ["ngspice"]


def test_names_are_refused_before_any_work(device, more):
    def silent(words):
        pytest.fail(f"{words} was begun")

    for given, says in (
        ([], "no simulator is named"),
        (["ngspice", "ngspice"], "the simulator ngspice is there twice"),
        (["ngspice", "ngspise"], "no simulator 'ngspise'; did you mean 'ngspice'"),
    ):
        with pytest.raises(UsageError, match=says):
            check(device, simulator=given, progress=silent)


def test_an_ensemble_and_many_folders_take_several(more, tmp_path):
    problem = spu.GaussianSampling([[2.0, -0.5], [-0.5, 1.0]])
    for name in ("a", "b"):
        write_folder(tmp_path / name, spu.compile_problem(problem))
    folders = [str(tmp_path / name) for name in ("a", "b")]
    found = spu.check_many(
        folders, levels=["ideal", "ac"], simulator=["ngspice", "tilted"], directory=tmp_path / "kept"
    )
    assert (found.verdict, found.exit_status) == ("fail", 1)
    for each in found.checks:
        assert [part.verdict for part in each.each] == ["pass", "fail"]
        assert each.disagreements[0].between == ("ngspice", "tilted")
        np.testing.assert_allclose(each.each[1].covariances["tilted"], each.covariances["tilted"], rtol=0)
    assert f"{folders[0]}: ngspice and tilted disagree" in " ".join(str(found).split())
    again = spu.check_many(
        folders, levels=["ideal", "ac"], simulator=["ngspice", "tilted"], directory=tmp_path / "kept"
    )
    assert str(again) == str(found)
    with pytest.raises(SimulatorMissing, match="absent is not installed"):
        spu.check_many(folders, levels=["ac"], simulator=["ngspice", "absent"])


def test_an_edited_netlist_is_asked_of_each(device, more, tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.GaussianSampling([[2.0, -0.5], [-0.5, 1.0]])))
    text = (tmp_path / "out" / "device.cir").read_text()
    value = next(line for line in text.splitlines() if line.startswith("xcell_"))
    edited = tmp_path / "edited.cir"
    edited.write_text(text.replace(value, f"{value}\nrextra {value.split()[1]} 0 1e9"))
    found = check(tmp_path / "out", netlist=edited, levels=["answer"], simulator=["ngspice", "other"])
    assert [(who, level.name) for who, level in found.shown] == [("ngspice", "answer"), ("other", "answer")]
    assert all(each.changes is not None for each in found.each)
    assert str(found).count("what ") >= 2


def test_tables_have_a_column_more_and_no_line_is_too_long(device, more):
    found = check(device, levels=["ideal", "op", "ac"], simulator=["ngspice", "tilted"])
    text = str(found)
    assert "mean: ideal  emulator  ngspice  tilted" in text and "variance: ideal  emulator  ngspice  tilted" in text
    assert max(map(len, text.splitlines())) <= 100 or all(":" in line for line in text.splitlines() if len(line) > 100)
    figure = found.plot()
    titles = [axes.get_title() for axes in figure.axes]
    assert "covariance: ngspice" in titles and "covariance: tilted" in titles


def test_a_report_names_all_of_them(more, tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.GaussianSampling([[2.0, -0.5], [-0.5, 1.0]])))
    words = ["report", str(tmp_path / "out"), "--format", "md", "--samples", "100"]
    words += ["--level", "ideal", "--level", "ac", "--simulator", "ngspice", "--simulator", "tilted"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 1, done.output
    text = (tmp_path / "out" / "report.md").read_text()
    version = find_simulator("ngspice").version()
    for words in (
        "Ngspice and tilted disagree: transfer functions by 3.0e-05",
        "Ideal, emulator, ngspice and tilted, pairwise",
        "ac (tilted)",
        "--simulator ngspice --simulator tilted",
        "of ngspice's and tilted's and of the simulation",
    ):
        assert words in text, words
    assert text.count(version) >= 2


def test_an_accuracy_may_be_in_per_cent(tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.GaussianSampling([[2.0, -0.5], [-0.5, 1.0]])))
    words = ["check", str(tmp_path / "out"), "--level", "ideal", "--json", "--accuracy"]
    tolerances = [
        json.loads(CliRunner().invoke(cli, [*words, given]).stdout)["levels"]["ideal"]["tolerance"]
        for given in ("5%", "0.05")
    ]
    assert tolerances == [0.05, 0.05]
    refused = CliRunner().invoke(cli, [*words, "five"])
    assert refused.exit_code == 2 and "such as 5% or 0.05" in refused.output
