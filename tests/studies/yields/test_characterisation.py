"""Specifications and data sheets: what is asked for, what is found, and who decides."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import InputError, OutputError, UsageError
from spu.base.files import plain
from spu.cli import cli
from spu.device.variation import elements_of, varied
from spu.folder import write_folder
from spu.reports.characterisations import datasheet, write_datasheet
from spu.studies.yields.metrics import metric_of
from spu.studies.yields.specification import specification_from_dict, unit_factor

A = [[2.0, -0.5], [-0.5, 1.0]]
CAPACITANCE = "cell.capacitance=2%,cell.capacitance.process=3%,coupler.capacitance=2%,coupler.capacitance.process=3%"
EXAMPLE = Path(__file__).parents[3] / "examples/board8.toml"


def device():
    return spu.compile(A, "spu8")


def limited(*limits, **more):
    return spu.Specification([spu.Requirement(*each[:2], **each[2]) for each in limits], **more)


def rc():
    """One cell in the bath of its resistor: a variance of kT/C, a time constant of C/G."""
    made = spu.Device(temperature=300.0)
    made.add_cell("out", capacitance=1e-9, conductance=1e-3)
    return made


# --- what is found -------------------------------------------------------------------------


def test_conditions_are_exact_and_the_worst_is_named():
    wanted = limited(
        ("noise", "deviation out", {"maximum": 2.2, "unit": "uV"}),
        ("settling", "time-constant", {"minimum": 0.95, "typical": 1.0, "maximum": 1.2, "unit": "us"}),
        ("variance", "variance out", {"unit": "nV^2"}),
        temperatures=(250.0, 300.0, 350.0),
        process=3.0,
    )
    found = spu.characterise(rc(), wanted, tolerance="cell.capacitance.process=5%")
    assert len(found.conditions) == 9 and found.typical.name == "300 K"
    kelvins = np.array([each.temperature for each in found.conditions])
    sizes = 1 + 0.05 * np.array([each.process.get("capacitance", 0.0) for each in found.conditions])
    noise, settling, variance = found.parameters
    exact = np.sqrt(1.380649e-23 * kelvins / (1e-9 * sizes)) * 1e6
    assert np.allclose(noise.conditions, exact, rtol=1e-9)
    assert np.allclose(settling.conditions, sizes, rtol=1e-9)
    assert np.allclose(variance.conditions, (exact * 1e3) ** 2, rtol=1e-9)
    assert noise.worst.name == "350 K, capacitance -3" and noise.verdict == "fail"
    assert settling.worst.process == {"capacitance": -3.0} and settling.verdict == "fail"  # 0.85 us
    assert variance.worst is None and variance.verdict == "recorded"
    assert np.isclose(noise.typical, np.sqrt(1.380649e-23 * 300 / 1e-9) * 1e6)
    assert np.isclose(noise.maximum, exact.max()) and np.isclose(noise.minimum, exact.min())
    assert found.verdict == "fail" and found.exit_status == 1 and found.missed == ("noise", "settling")


def test_boards_are_those_of_the_tolerance_at_every_temperature():
    """Each number by hand, of the very boards: `spu.draw_factors` and the device at that temperature."""
    made = device().at_detail(spu.Detail(temperature={"capacitance": 1e-3, "reference": 300.15}))
    wanted = limited(
        ("error", "relative-error", {"maximum": 6.0, "unit": "%"}),
        ("first", "variance x1", {"minimum": 0.5}),
        temperatures=(280.0, 340.0),
        draws=30,
        seed=4,
        wanted=0.5,
    )
    found = spu.characterise(made, wanted, tolerance=CAPACITANCE)
    elements = elements_of(made)
    tolerance = spu.Tolerance(
        cell={"capacitance": spu.Spread(0.02, process=0.03)}, coupler={"capacitance": spu.Spread(0.02, process=0.03)}
    )
    factors = spu.draw_factors(elements, tolerance, 30, 4)
    target = np.linalg.inv(A)
    good = np.ones(30, dtype=bool)
    for t, kelvin in enumerate((280.0, 340.0)):
        hot = made.at_temperature(kelvin)
        for k, row in enumerate(factors):
            law = spu.predict(varied(hot, row, elements_of(hot)))
            error = 100 * np.linalg.norm(law.covariance - target) / np.linalg.norm(target)
            assert np.isclose(found.parameters[0].boards[t, k], error, rtol=1e-6)
            assert np.isclose(found.parameters[1].boards[t, k], law.covariance[0, 0], rtol=1e-6)
            good[k] &= error <= 6.0 and law.covariance[0, 0] >= 0.5
    assert 0 < good.sum() < 30 and found.rate.rate == good.mean()
    assert found.rate.low < good.mean() < found.rate.high


@pytest.mark.parametrize(
    ("wanted", "draws", "maximum", "verdict"),
    [
        (0.5, 300, 20.0, "pass"),
        (0.99, 300, 4.0, "fail"),
        (0.99, 40, 20.0, "inconclusive"),  # all 40 are good, and that is no proof of 99 %
        (None, 40, 20.0, "pass"),
        (None, 300, 5.0, "fail"),  # one bad board is enough where all are wanted
    ],
)
def test_who_decides(wanted, draws, maximum, verdict):
    asked = limited(("error", "relative-error", {"maximum": maximum, "unit": "%"}), draws=draws, wanted=wanted)
    found = spu.characterise(device(), asked, tolerance=CAPACITANCE)
    assert found.verdict == found.parameters[0].verdict == verdict
    assert found.exit_status == (verdict == "fail")
    assert verdict.upper() in str(found)


def test_a_board_without_a_law_meets_no_limit():
    made = spu.compile(spu.LyapunovEquation([[1.0, 3.0], [3.0, 10.0]], np.eye(2)))
    asked = limited(("error", "relative-error", {"maximum": 1e9}), draws=60, wanted=0.1)
    found = spu.characterise(made, asked, tolerance="coupler.transconductance=20%,cell.conductance=20%")
    parameter = found.parameters[0]
    assert 0 < parameter.unstable < 60
    assert np.isclose(found.rate.rate, 1 - parameter.unstable / 60)
    assert "had no stationary law" in str(found)


def test_what_is_kept_is_not_drawn_again(tmp_path, monkeypatch):
    from spu.studies.yields import sampling

    asked = limited(("error", "relative-error", {"maximum": 5.0, "unit": "%"}), draws=20, temperatures=(280.0, 340.0))
    first = spu.characterise(device(), asked, tolerance=CAPACITANCE, directory=tmp_path / "keep")
    monkeypatch.setattr(sampling, "_measured", None)
    again = spu.characterise(device(), asked, tolerance=CAPACITANCE, directory=tmp_path / "keep")
    assert np.array_equal(again.parameters[0].boards, first.parameters[0].boards)
    other = limited(("error", "relative-error", {"maximum": 5.0, "unit": "%"}), draws=20, temperatures=(280.0, 350.0))
    with pytest.raises(InputError, match="is of another study"):
        spu.characterise(device(), other, tolerance=CAPACITANCE, directory=tmp_path / "keep")


# --- files ---------------------------------------------------------------------------------


def test_the_example_is_a_specification():
    found = spu.load_specification(EXAMPLE)
    assert found.temperatures == (273.15, 300.15, 343.15) and found.typical == 300.15 and found.wanted == 0.8
    assert [each.metric for each in found.requirements][:2] == ["relative-error", "rescaled-error"]
    assert specification_from_dict({**as_file(found)}) == found


def as_file(found):
    """What a file would hold, of what `to_dict` gives."""
    data = {key: value for key, value in plain(found.to_dict()).items() if value is not None}
    kelvins = data["conditions"].pop("temperature")
    typical = data["conditions"].pop("typical")
    data["conditions"]["temperature"] = {
        "minimum": kelvins[0], "typical": typical, "maximum": kelvins[-1]
    }  # fmt: skip
    return data


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("draws = 10", None, "0 parameters: a specification has from 1 to 200"),
        ("[parameter.a]\nmaximum = 1", 1, "parameter 'a' has no metric"),
        ("[parameter.a]\nmetric = 'kl'\nmaximun = 1", 3, "unknown key 'maximun' in [parameter.a]; did you mean"),
        ("[parameter.a]\nmetric = 'kl'\nminimum = 2\nmaximum = 1", 4, "nothing lies between"),
        ("[parameter.a]\nmetric = 'kl'\nmaximum = 'x'", 3, "maximum of 'a' is 'x': a number is wanted"),
        ("[parameter.a]\nmetric = 3", 2, "metric of 'a' is 3: a word is wanted"),
        ("draws = -1\n[parameter.a]\nmetric = 'kl'", 1, "draws is -1"),
        ("draws = 30\nmethod = 'latin'\n[parameter.a]\nmetric = 'kl'", 1, "20 hypercubes"),
        ("yield = 2\n[parameter.a]\nmetric = 'kl'", 1, "yield is 2: a share between 0 and 1"),
        ("seed = -2\n[parameter.a]\nmetric = 'kl'", 1, "seed is -2: a whole number"),
        ("[conditions]\nprocess = 9\n[parameter.a]\nmetric = 'kl'", 2, "process is 9"),
        ("[conditions]\ntemperature = [-1]\n[parameter.a]\nmetric = 'kl'", 2, "numbers of kelvin are wanted"),
        ("[conditions]\ntemperature = {minimum = 300}\n[parameter.a]\nmetric = 'kl'", 2, "temperature has no maximum"),
        (
            "[conditions]\ntemperature = {minimum = 300, maximum = 200}\n[parameter.a]\nmetric = 'kl'",
            2,
            "rise from minimum by typical to maximum",
        ),
        (
            "[conditions]\ntemperature = {minimum = 200, maximum = 300, steps = 1}\n[parameter.a]\nmetric = 'kl'",
            2,
            "steps is 1: from 2 to 200",
        ),
        ("[condition]\n[parameter.a]\nmetric = 'kl'", 1, "unknown key 'condition'; did you mean 'conditions'?"),
        ("parameter = 3", 1, "parameter is 3: a table is wanted"),
        ("name = 3\n[parameter.a]\nmetric = 'kl'", 1, "name is 3: a text is wanted"),
    ],
)
def test_faults_are_found_on_their_lines(tmp_path, text, line, message):
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        spu.load_specification(file)
    assert message in str(refused.value) and refused.value.line == line and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("metric", "unit", "factor"),
    [
        ("relative-error", "%", 0.01),
        ("relative-error", "", 1.0),
        ("time-constant", "ns", 1e-9),
        ("stability-margin", "1/us", 1e6),
        ("deviation out", "mV", 1e-3),
        ("variance out", "uV^2", 1e-12),
        ("variance out", "V^2", 1.0),
    ],
)
def test_units(metric, unit, factor):
    assert unit_factor(spu.Requirement("x", metric, unit=unit), metric_of(rc(), metric)) == factor


@pytest.mark.parametrize(
    ("metric", "unit"),
    [("time-constant", "V"), ("time-constant", "%"), ("relative-error", "s"), ("variance out", "mV"), ("kl", "xs")],
)
def test_units_that_are_none_of_a_metric(metric, unit):
    asked = limited(("x", metric, {"unit": unit}))
    with pytest.raises(InputError, match=f"{re.escape(metric)} is in no unit '{unit}'"):
        spu.characterise(rc(), asked)


def test_what_is_refused_before_any_work():
    with pytest.raises(UsageError, match="no metric 'relative-eror'; did you mean 'relative-error'"):
        spu.characterise(device(), limited(("x", "relative-eror", {})))
    with pytest.raises(UsageError, match="no tolerance is stated"):
        spu.characterise(device(), limited(("x", "relative-error", {}), draws=10))
    with pytest.raises(InputError, match=r"give a spu\.Specification, or the path"):
        spu.characterise(device(), 3)


# --- data sheets ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sheet():
    asked = limited(
        ("error", "relative-error", {"typical": 1.0, "maximum": 6.0, "unit": "%"}),
        ("decay <1>", "stability-margin", {"minimum": 1.0, "unit": "1/ms"}),
        name="a board",
        temperatures=(280.0, 340.0),
        process=3.0,
        draws=40,
        wanted=0.3,
    )
    return spu.characterise(device(), asked, tolerance=CAPACITANCE)


def test_a_sheet_in_every_format_says_the_same(sheet, tmp_path):
    data = json.loads(datasheet(sheet, ".json"))
    assert data == json.loads(json.dumps(plain(sheet.to_dict())))
    rows = list(csv.DictReader(io.StringIO(datasheet(sheet, ".csv"))))
    for row, parameter, entry in zip(rows, sheet.parameters, data["parameters"], strict=True):
        assert row["parameter"] == parameter.requirement.name and row["verdict"] == entry["verdict"]
        assert float(row["found_max"]) == parameter.maximum == entry["found"]["maximum"]
        assert float(row["yield_low"]) == parameter.rate.low == entry["interval"][0]
    files = [file for ending in (".html", ".md") for file in write_datasheet(sheet, tmp_path / f"sheet{ending}")]
    assert [file.name for file in files] == ["sheet.html", "sheet.md", "sheet_characterisation.svg"]
    for file in files[:2]:
        text = file.read_text()
        for parameter in sheet.parameters:
            assert f"{parameter.maximum:.4g}" in text and parameter.verdict in text.lower()
        assert "280 K, capacitance -3" in text and "a board" in text
    page = files[0].read_text()
    assert "decay &lt;1&gt;" in page and "<1>" not in page and "<svg" in page


def test_other_endings_are_refused(sheet, tmp_path):
    with pytest.raises(OutputError, match=r"must end in \.md, \.html, \.csv, \.json"):
        write_datasheet(sheet, tmp_path / "sheet.pdf")
    with pytest.raises(OutputError, match="there is no folder"):
        write_datasheet(sheet, tmp_path / "no" / "sheet.md")


def test_the_command_line(tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.GaussianSampling(A), "spu8"))
    limits = tmp_path / "limits.toml"
    limits.write_text(
        "draws = 20\nyield = 0.5\n[parameter.error]\nmetric = 'relative-error'\nmaximum = 20\nunit = '%'\n"
    )
    words = ["characterise", tmp_path / "out", limits, "--tolerance", CAPACITANCE]

    def run(*more):
        return CliRunner().invoke(cli, [str(word) for word in (*words, *more)])

    done = run("--json", "--sheet", tmp_path / "a.csv", "--sheet", tmp_path / "a.md", "-o", tmp_path / "keep")
    said = json.loads(done.stdout)
    assert done.exit_code == 0 and said["verdict"] == "pass" and (tmp_path / "a.csv").is_file()
    assert said["sheets"] == [str(tmp_path / name) for name in ("a.csv", "a.md", "a_characterisation.svg")]
    found = spu.characterise(tmp_path / "out", limits, tolerance=CAPACITANCE)
    printed = run("--plot", tmp_path / "a.png")
    assert printed.stdout == f"{found}\n\nwrote {tmp_path / 'a.png'}\n"
    limits.write_text(limits.read_text().replace("maximum = 20", "maximum = 1"))
    assert run().exit_code == 1
    assert "--restart is for a study" in run("--restart").stderr
    assert run("--sheet", tmp_path / "a.txt").exit_code == 2


def test_a_report_holds_the_device_against_its_specification(tmp_path):
    compilation = spu.compile_problem(spu.GaussianSampling(A), "spu8")
    compilation.device.tolerance = spu.Tolerance(cell={"capacitance": 0.02})
    write_folder(tmp_path / "out", compilation)
    limits = tmp_path / "limits.toml"
    limits.write_text("draws = 20\n[parameter.error]\nmetric = 'relative-error'\nmaximum = 20\nunit = '%'\n")
    words = ["report", tmp_path / "out", "--level", "ideal", "--samples", 100, "--specification", limits]
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "PASS: the device meets its specification." in done.stdout
    page = (tmp_path / "out/report.html").read_text()
    assert "Its specification" in page and "Limits, and what was found" in page
    assert f"--specification {limits}" in page
    limits.write_text(limits.read_text().replace("maximum = 20", "maximum = 0.001"))
    done = CliRunner().invoke(cli, [str(word) for word in (*words, "--json")])
    said = json.loads(done.stdout)
    assert done.exit_code == 1 and said["verdict"] == "pass" and said["specification"] == "fail"
    limits.write_text("draws = 'a'\n[parameter.error]\nmetric = 'kl'\n")
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 2 and f"{limits}:1" in done.stderr
