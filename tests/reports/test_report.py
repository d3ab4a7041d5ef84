"""`spu report`: what stands in it, that nothing escapes from it, and how a browser shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pypdf import PdfReader

import spu
from spu.base.numbers import engineering, share, small
from spu.cli import cli
from spu.device.lower import lower
from spu.emulator.dynamics import langevin_of
from spu.folder import read_folder, write_folder
from spu.reports import evidence as gathering
from spu.reports import html, langevin, markdown, report, sections
from spu.reports.document import Bullets, Document, Facts, Gallery, Listing, Picture, Section, Table, Text, Verdict
from spu.reports.linear import convergence

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium is installed: pages are not opened in a browser")

LEVELS = ("--level", "ideal", "--level", "op", "--level", "ac")
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
HOSTILE = (
    """<script>alert(1)</script>"'><img src=http://evil.invalid/x onerror=alert(2)> `|*_[x](http://evil.invalid)"""
)


class Page(HTMLParser):
    """A parsed page: its text, its identifiers, what it refers to, and what is wrong with its structure."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.identifiers, self.references = "", [], []
        self.faults: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self._open]
        self.faults += [f"id {name} twice" for name in set(self.identifiers) if self.identifiers.count(name) > 1]

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("script", "link", "iframe", "object", "embed", "base", "form"):
            self.references.append(f"<{tag}>")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag == "svg" and not dict(attributes).get("aria-label"):
            self.faults.append("a picture without words")
        for name, value in attributes:
            value = value or ""
            if name == "id":
                self.identifiers.append(value)
            if name.startswith("on"):
                self.faults.append(f"{name} on <{tag}>")
            if name.split(":")[-1] in ("src", "href", "srcset", "data", "poster", "action", "background"):
                inside = value.startswith("#") or (tag == "image" and value.startswith("data:image/png;base64,"))
                if not inside:
                    self.references.append(value)
            if name != "xmlns" and not name.startswith("xmlns:") and "url(" in value and "url(#" not in value:
                self.references.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data):
        if self._open[-1:] == ["style"]:
            self.references += re.findall(r"@import|url\(.*?\)", data)
            return
        self.text += data
        if self.rows and {"td", "th"} & set(self._open[-2:]):
            self.rows[-1][-1] += data

    def row(self, *starts: str) -> list[str]:
        """The one row of a table that starts with these cells."""
        (found,) = [row for row in self.rows if tuple(row[: len(starts)]) == starts]
        return found


def spu_command(*words, **more):
    program = str(Path(sys.executable).parent / "spu")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three cells, compiled."""
    precision = [[3.0, -1.0, -0.5], [-1.0, 2.5, -0.8], [-0.5, -0.8, 2.0]]
    problem = spu.GaussianSampling(precision=precision, variables=["north", "east", "south"])
    directory = tmp_path_factory.mktemp("report") / "three"
    write_folder(directory, spu.compile_problem(problem, "spu8"))
    return directory


@pytest.fixture(scope="module")
def reported(folder) -> tuple[dict, str]:
    """What ``spu report --json`` printed, and the page it wrote."""
    done = spu_command("report", folder, *LEVELS, "--samples", "3000", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said, Path(said["report"]).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def gathered(folder):
    return gathering.gather(folder, gathering.Settings(levels=("ideal", "ac"), samples=2000))


@pytest.fixture(scope="module")
def spoilt(folder, tmp_path_factory) -> tuple[spu.Report, str]:
    """The report of the same folder with the code of one coupler of its netlist 8 too low."""
    copy = tmp_path_factory.mktemp("spoilt") / "three"
    shutil.copytree(folder, copy)
    (copy / "report.html").unlink(missing_ok=True)
    deck = (copy / "device.cir").read_text()
    (line,) = re.findall(r"^xcoupler_c_north_east .*$", deck, re.MULTILINE)
    code = int(re.search(r" code=(\d+)", line)[1])
    (copy / "device.cir").write_text(deck.replace(line, line.replace(f"code={code}", f"code={code - 8}")))
    result = report(copy, levels=["ideal", "ac"], samples=1000)
    return result, result.file.read_text(encoding="utf-8")


NETWORK = spu.ThermodynamicNetwork(
    J2=[1.0, -0.5, 0.3],
    J3=[0.1, 0.2, 0.0],
    input=[2.0, 0.0, -1.0],
    bias=[0.5, 0.0, 0.0],
    couplings=[[0.0, 0.5, -0.4], [0.5, 0.0, 0.0], [-0.4, 0.0, 0.0]],
    variables=["north", "east", "south"],
)


@pytest.fixture(scope="module")
def network_folder(tmp_path_factory) -> Path:
    """Three nonlinear cells, coupled by an inductor and a crossed one, compiled."""
    directory = tmp_path_factory.mktemp("report") / "neurons"
    write_folder(directory, spu.compile_problem(NETWORK, "neurons", architecture="rlc-flux"))
    return directory


@pytest.fixture(scope="module")
def networked(network_folder) -> tuple[dict, str]:
    """What ``spu report --json`` printed of the network, and the page it wrote."""
    words = ("--level", "ideal", "--level", "op", "--level", "replay", "--samples", "400", "--json")
    done = spu_command("report", network_folder, *words)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said, Path(said["report"]).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def imported(folder, tmp_path_factory) -> tuple[spu.Report, str]:
    """The report of the folder's netlist, read by itself."""
    deck = tmp_path_factory.mktemp("imported") / "three.cir"
    deck.write_text((folder / "device.cir").read_text())
    result = report(spu.read_netlist(deck), deck.with_name("three.html"), levels=["ac"], samples=500)
    return result, result.file.read_text(encoding="utf-8")


# --- what stands in it ---------------------------------------------------------------------


def test_page_is_whole_and_refers_to_nothing(reported):
    said, text = reported
    page = Page(text)
    assert not page.faults and page.references == []
    assert set(re.findall(r"https?://[^\s\"'<>]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert page.headings[0] == "h1" and set(page.headings[1:]) == {"h2"} and page.headings.count("h1") == 1
    assert text.count("<th scope=") > text.count("<tr>")
    assert said["format"] == "html" and said["pictures"] == [] and len(text) < 3_000_000


def test_figures_are_those_of_check(folder, reported):
    done = spu_command("check", folder, *LEVELS, "--json")
    assert done.returncode == 0, done.stderr
    found, (said, text) = json.loads(done.stdout), reported
    page = Page(text)
    assert said["verdict"] == found["verdict"] == "pass" and "PASS" in page.text
    assert said["levels"] == {name: level["verdict"] for name, level in found["levels"].items()}
    for name, level in found["levels"].items():
        row = next(row for row in page.rows if row[0] == name and len(row) == 6)
        assert row[2:5] == [level["verdict"], small(level["error"]), small(level["tolerance"])]
    for pair in found["comparisons"]:
        row = page.row(pair["quantity"], " - ".join(pair["between"]))
        assert row[2] == share(pair["found"]) and row[6] == share(pair["unexplained"])
    for k, name in enumerate(found["variables"]):
        variances = [f"{found['covariances'][name][k][k]:.4g}" for name in ("ideal", "emulator", "ngspice")]
        assert any(row[0] == name and row[-3:] == variances for row in page.rows)


def test_it_comes_in_the_order_in_which_it_is_asked_for(reported):
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", reported[1])
    assert titles == [
        "What was compared",
        "Ideal, emulator and ngspice, pairwise",
        "The covariance, side by side",
        "Spectra and autocorrelations",
        "Error against number of samples",
        "The problem",
        "The device",
        "The netlist",
        "To reproduce this",
    ]
    text = Page(reported[1]).text
    assert text.index("PASS") < text.index("What was compared")


def test_it_says_how_to_get_it_again(folder, reported):
    text = Page(reported[1]).text
    assert f"spu check {folder} {' '.join(LEVELS)} --seed 0" in text
    assert f"spu simulate {folder} --samples 3000 --seed 0" in text
    assert f"spu report {folder} {' '.join(LEVELS)} --samples 3000 --seed 0" in text
    device = read_folder(folder).device
    for words in (device.hash, np.__version__, spu.__version__, ".subckt", "xcell_north", "1/1 kohm"[2:]):
        assert words in text


def test_mismatch_is_at_the_top_with_its_cause(spoilt):
    result, text = spoilt
    assert result.verdict == "fail" and result.check.exit_status == 1
    page = Page(text)
    top = page.text[: page.text.index("What was compared")]
    assert "FAIL: the circuit that ngspice ran is not the device" in top
    assert "Cause: c1 of xcoupler_c_north_east" in top and "ac FAIL" in top
    assert result.check.diagnosis.best.text in page.text
    assert "What differs, and why" in page.text and not page.faults


def test_an_edited_netlist_is_shown_with_what_it_changed(folder, spoilt, tmp_path):
    file = tmp_path / "out.html"
    edited = spoilt[0].file.with_name("device.cir")
    result = report(folder, file, netlist=edited, accuracy=0.5, samples=100)
    page = Page(file.read_text())
    assert {name: level.verdict for name, level in result.check.levels.items()} == {"ideal": "pass", "answer": "pass"}
    (line,) = [row for row in page.rows if row[0] == "xcoupler_c_north_east"]
    assert line[1].startswith("code=") and line[1] != line[2]
    assert f"--netlist {edited} --accuracy 0.5" in page.text


def test_of_an_edited_netlist_all_is_of_the_edited_circuit(folder, spoilt, tmp_path):
    edited = tmp_path / "edited.cir"
    edited.write_text(spoilt[0].file.with_name("device.cir").read_text())
    result = report(folder, tmp_path / "out.html", netlist=edited, levels=["answer"], samples=100)
    page = Page(result.file.read_text())
    after, before = spu.predict(spu.read_netlist(edited)), spu.predict(folder)
    assert "edited (edited.cir)" in page.text and "The circuit, as edited" in page.text
    found = result.evidence.prediction
    assert np.allclose(found.covariance, after.covariance, rtol=1e-12, atol=0)
    assert np.linalg.norm(found.covariance - before.covariance) > 1e-3 * np.linalg.norm(before.covariance)
    assert found.target_covariance is not None and "The problem" in page.text
    (row,) = [row for row in page.rows if row[0] == "north" and len(row) == 9]
    shown = [f"{each.covariance[0, 0]:.4g}" for each in (before, after)]
    assert row[6:8] == shown and shown[0] != shown[1]
    assert "Covariance: as edited." in page.text and "Covariance: emulator." not in page.text
    assert f"spu predict {edited}" in page.text and f"spu simulate {edited}" in page.text
    assert re.search(r"^xcoupler_c_north_east .*$", edited.read_text(), re.MULTILINE)[0] in page.text


def test_of_an_edited_netlist_that_only_ngspice_reads_it_says_so(folder, spoilt, tmp_path):
    edited = tmp_path / "diode.cir"
    lines = spoilt[0].file.with_name("device.cir").read_text().split("\n")
    at = next(k for k, line in enumerate(lines) if line.startswith("xcell_"))
    edited.write_text("\n".join([*lines[:at], "d1 cell_north 0 dx", ".model dx d(is=1e-15)", *lines[at:]]))
    result = report(folder, tmp_path / "out.html", netlist=edited, accuracy=0.9, samples=100)
    page = Page(result.file.read_text())
    assert result.evidence.prediction is None and not page.faults
    assert "Only ngspice knows this netlist" in page.text and "d1 is a diode" in page.text
    assert "alone has answered: the covariance was found by ngspice" in " ".join(page.text.split())
    assert "Error against number of samples" not in page.text and "spu predict" not in page.text
    assert "The device as compiled, before the edit" in page.text and "Covariance: as compiled." in page.text


def test_a_device_of_one_cell_and_no_problem(tmp_path):
    device = spu.Device()
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    result = report(device, tmp_path / "one.html", levels=["ideal"], samples=50)
    page = Page(result.file.read_text())
    assert result.verdict == "skipped" and not page.faults and "SKIPPED" in page.text and "The problem" not in page.text


def test_many_cells_are_cut_short_in_words(tmp_path):
    n = 300
    precision = 2.1 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    device = spu.compile(spu.GaussianSampling(precision=precision))
    result = report(device, tmp_path / "many.html", levels=["ideal"], samples=1000)
    text = result.file.read_text()
    page = Page(text)
    for words in (
        "The first 40 of 300 cells",
        "The first 40 of 299 couplers",
        "The 12 of 300 variables",
        "Of 300 x 300 entries only a picture",
        "not followed over the samples of a network with so many variables",
        "* (and more of these)",
    ):
        assert words in page.text, words
    assert not page.faults and len(text) < 4_000_000


# --- networks ------------------------------------------------------------------------------


def test_page_of_a_network_is_whole_and_in_order(networked):
    said, text = networked
    page = Page(text)
    assert not page.faults and page.references == []
    assert said["verdict"] == "pass" and said["levels"] == {"ideal": "pass", "op": "skipped", "replay": "pass"}
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", text) == [
        "What was compared",
        "Ideal, emulator and ngspice, pairwise",
        "The covariance, side by side",
        "Relaxation, and the law that it leads to",
        "The units by themselves, and their couplings",
        "The problem",
        "The device",
        "The netlist",
        "To reproduce this",
    ]
    assert page.text.index("PASS") < page.text.index("What was compared")


def test_figures_of_a_network_are_those_of_check_predict_and_simulate(network_folder, networked):
    page = Page(networked[1])
    checked = spu.check(network_folder, levels=["ideal", "replay"])
    for name, level in checked.levels.items():
        row = next(row for row in page.rows if row[0] == name and len(row) == 6)
        assert row[2:5] == [level.verdict, small(level.error), small(level.tolerance)]
    found = spu.predict(network_folder)
    for constant in (found.time_constants[0], found.time_constants[-1]):
        assert engineering(float(constant), "s") in page.text
    (command,) = (line for line in page.text.splitlines() if line.startswith("spu simulate"))
    words = command.split()
    times = [float(time) for time in words[words.index("--times") + 1].split(",")]
    run = spu.simulate(network_folder, trajectories=400, times=times, seed=0)
    for k, name in enumerate(NETWORK.variables):
        row = next(row for row in page.rows if row[0] == name and len(row) == 7 and row[6].startswith("("))
        assert row[1] == f"{run.mean[-1, k]:.4g}" and row[3] == f"({found.mean[k]:.4g})"
        assert row[4] == f"{run.variance[-1, k]:.4g}" and row[6] == f"({found.covariance[k, k]:.4g})"


def test_problem_and_device_of_a_network_are_listed(network_folder, networked):
    page = Page(networked[1])
    for k, name in enumerate(NETWORK.variables):
        vectors = (NETWORK.J2, NETWORK.J3, NETWORK.J4, NETWORK.input, NETWORK.bias)
        assert [name, *(f"{vector[k]:.5g}" for vector in vectors)] in page.rows
        assert [name, *(f"{value:.5g}" for value in NETWORK.couplings[k])] in page.rows
    device = read_folder(network_folder).device
    assert all(word in page.text for word in (device.hash, "crossed L", "A/Wb^3", "slopes where they come to rest"))
    labels = set(re.findall(r'aria-label="([^"]*)"', networked[1]))
    for start in ("Means of north", "Histograms of north", "Potentials of north", "Mean of north", "Circuit diagram"):
        assert sum(label.startswith(start) for label in labels) == 1, start


def test_densities_of_a_network_are_those_of_its_law():
    """Against moments, which come from quadrature in another way; and of a single unit against its closed form."""
    mean, covariance = NETWORK.moments()
    for k, (x, density) in enumerate(langevin._densities(NETWORK).values()):
        step = x[1] - x[0]
        assert density.sum() * step == pytest.approx(1.0, abs=1e-12)
        assert (x * density).sum() * step == pytest.approx(mean[k], abs=1e-9)
        assert (x**2 * density).sum() * step == pytest.approx(covariance[k, k] + mean[k] ** 2, abs=1e-9)
    alone = spu.ThermodynamicNetwork(J2=[-1.0], kT=0.5)
    ((x, density),) = langevin._densities(alone).values()
    wanted = np.exp(-(x**4 - x**2) / 0.5)
    assert density == pytest.approx(wanted / (wanted.sum() * (x[1] - x[0])), rel=1e-9, abs=1e-15)
    pair = spu.ThermodynamicNetwork(J2=[1.0, 2.0], J4=0.0, input=[1.0, 0.0], couplings=[[0.0, 0.5], [0.5, 0.0]])
    mean, covariance = pair.moments()
    x, density = langevin._densities(pair)["x2"]
    assert (x**2 * density).sum() * (x[1] - x[0]) == pytest.approx(covariance[1, 1] + mean[1] ** 2, rel=1e-5)
    assert langevin._densities(spu.ThermodynamicNetwork(units=5, couplings=np.ones((5, 5)) - np.eye(5))) == {}


def test_the_law_in_pictures_is_that_of_the_device(network_folder):
    """Input and bias apart, as the problem has them; and the exact means of `spu.predict`."""
    dynamics = langevin_of(lower(read_folder(network_folder).device))
    network = langevin._network(dynamics)
    assert network.input == pytest.approx(NETWORK.input, abs=1e-9) and network.bias.tolist() == NETWORK.bias.tolist()
    assert network.moments()[0] == pytest.approx(spu.predict(network_folder).mean, abs=1e-9)
    assert network.moments()[0] == pytest.approx(NETWORK.moments()[0], abs=1e-9)


def test_what_a_network_does_not_have_is_left_out(tmp_path):
    """One without energy, built from no file: no law, no potential, no commands."""
    network = spu.ThermodynamicNetwork(couplings=[[0.0, 0.5], [0.2, 0.0]], reciprocal=False)
    device = spu.compile(network, "neurons")
    result = report(device, tmp_path / "one.html", levels=["ideal"], samples=50)
    page = Page(result.file.read_text())
    assert result.verdict == "pass" and not page.faults and "not known" in page.text
    assert "exact" not in "".join(row[0] for row in page.rows) and "Command lines" not in page.text
    assert "Boltzmann law, exact" not in page.text


# --- netlists from elsewhere ---------------------------------------------------------------


def test_report_of_a_netlist(imported):
    result, text = imported
    page = Page(text)
    assert result.verdict == "pass" and not page.faults and page.references == []
    read = result.evidence.folder.read
    assert all(word in page.text for word in (str(read.path), read.circuit.hash, "v(cell_north)", read.noise[0].name))
    assert "Error against number of samples" in page.text
    assert "The problem" not in page.text and "Circuit diagram of the netlist" in text
    assert f"spu simulate {read.path} --samples 500 --seed 0" in page.text


def test_a_path_of_a_netlist_and_a_compilation_are_taken(imported, tmp_path):
    read = imported[0].evidence.folder.read
    by_path = report(read.path, tmp_path / "path.md", levels=["ideal"], samples=100)
    assert by_path.evidence.subject.hash == read.circuit.hash
    made = spu.compile_problem([[2.0, -0.5], [-0.5, 1.0]])
    assert report(made, tmp_path / "made.md", levels=["ideal"], samples=100).verdict == "pass"


# --- error against samples -----------------------------------------------------------------


def test_error_curve_ends_at_what_the_simulation_says(gathered):
    curve, run = gathered.convergence, gathered.simulation
    assert curve.samples[-1] == run.samples and (np.diff(curve.samples) > 0).all()
    assert curve.found[-1] == pytest.approx(run.relative_error, rel=1e-9)
    assert curve.expected[-1] == pytest.approx(np.hypot(run.expected_relative_error, curve.floor), rel=1e-9)


def test_error_curve_follows_its_prediction(gathered):
    """The mean square over 200 seeds, at every number of samples.

    Squared errors of one run scatter by about their own size (6 free entries: at most 1.2 times), so the mean of
    200 by 0.09: 0.5 is beyond 5 standard errors at each of some ten points (correlated), a false-alarm rate of
    about 1e-6; a line that forgot a factor 2 in the variance is seen.
    """
    device, prediction = gathered.device, gathered.prediction
    squares = []
    for seed in range(200):
        run = spu.simulate(device, samples=400, trajectories=4, seed=1000 + seed, trace=1)
        curve = convergence(prediction, run)
        squares.append((curve.found / curve.expected) ** 2)
    ratio = np.mean(squares, axis=0)
    assert (np.abs(ratio - 1.0) < 0.5).all(), ratio


# --- nothing escapes -----------------------------------------------------------------------


def hostile_document() -> Document:
    figure = sections.draw_matrix("m", np.eye(2), ["a", "b"], 1.0, "units")
    picture = Picture("p", figure, HOSTILE, HOSTILE, wide=True)
    blocks = [
        Text(HOSTILE),
        Bullets([HOSTILE]),
        Table(HOSTILE, [HOSTILE, HOSTILE], [[HOSTILE, HOSTILE]], note=HOSTILE),
        Facts([(HOSTILE, HOSTILE)]),
        Gallery([picture]),
        Listing(HOSTILE, HOSTILE + "\n```\n"),
    ]
    lead = [Verdict("fail", HOSTILE, [HOSTILE], [(HOSTILE, HOSTILE)])]
    return Document(HOSTILE, HOSTILE, lead, [Section(HOSTILE, blocks)])


def test_hostile_names_stay_text_in_html():
    page = Page(html.page(hostile_document()))
    assert page.references == [] and not [fault for fault in page.faults if "twice" not in fault]
    assert "script" not in page.tags and "img" not in page.tags
    assert page.text.count(HOSTILE) >= 14


def test_hostile_names_stay_text_in_markdown():
    text = markdown.page(hostile_document(), {"p": "p.svg"})
    inside = re.search(r"^````+\n.*?^````+$", text, re.MULTILINE | re.DOTALL)
    assert inside and HOSTILE in inside[0]  # a listing that holds a fence has a longer one
    outside = text.replace(inside[0], "")
    assert not re.search(r"(?<!\\)<(?!!-- spu report)(?!p\.svg>)", outside)
    assert not re.search(r"(?<!\\)\]\((?!<p\.svg>)", outside)
    assert all(line.count("|") - line.count("\\|") == 3 for line in outside.splitlines() if line.startswith("| "))


def test_hostile_folder_and_netlist(folder, tmp_path):
    name = """<img src=x onerror=alert(1)>&"'"""
    copy = tmp_path / name
    shutil.copytree(folder, copy)
    (copy / "report.html").unlink(missing_ok=True)
    deck = copy / "device.cir"
    deck.write_text(f"</pre><script>alert(1)</script>\n* {HOSTILE}\n" + deck.read_text().split("\n", 1)[1])
    result = report(copy, levels=["ideal"], samples=100)
    page = Page(result.file.read_text())
    assert not page.faults and page.references == [] and name in page.text and "</pre><script>" in page.text


# --- files ---------------------------------------------------------------------------------


def test_markdown_has_its_pictures_beside_it(folder, gathered, tmp_path, monkeypatch):
    monkeypatch.setattr("spu.reports.reporting.gather", lambda *_: gathered)
    result = report(folder, tmp_path / "review.md")
    text = result.file.read_text()
    linked = re.findall(r"^!\[.*\]\(<(.*)>\)$", text, re.MULTILINE)
    assert sorted(linked) == sorted(file.name for file in result.pictures) and len(linked) >= 8
    for file in result.pictures:
        assert file.parent == tmp_path and file.read_text().startswith("<svg ")
    assert "**PASS" in text and "| ac | ngspice transfer functions" in text and text.startswith("<!-- spu report -->")
    assert {file.name for file in tmp_path.iterdir()} == {*linked, "review.md"}


@pytest.mark.parametrize("kind", ["html", "md"])
def test_interrupted_nothing_is_written(folder, gathered, tmp_path, monkeypatch, kind):
    file = tmp_path / f"report.{kind}"
    with monkeypatch.context() as patch:
        patch.setattr(gathering, "check", lambda *_, **__: gathered.check)
        patch.setattr("spu.reports.linear.simulate", lambda *_, **__: replace(gathered.simulation, complete=False))
        with pytest.raises(KeyboardInterrupt):
            report(folder, file)
    monkeypatch.setattr("spu.reports.reporting.gather", lambda *_: gathered)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("spu.reports.pictures.figures.svg" if kind == "md" else "spu.reports.html.svg", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report(folder, file)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_before_any_work(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("spu.reports.reporting.gather", lambda *_: pytest.fail("work was done"))
    foreign = tmp_path / "mine.html"
    foreign.write_text("<p>my own page</p>")
    with pytest.raises(spu.SpuError, match="was not written by this command"):
        report(folder, foreign)
    assert foreign.read_text() == "<p>my own page</p>"
    with pytest.raises(spu.SpuError, match="there is no folder"):
        report(folder, tmp_path / "no" / "report.html")
    with pytest.raises(spu.SpuError, match=r"html or .*md"):
        report(folder, tmp_path / "report.pdf")
    with pytest.raises(spu.SpuError, match="html or md"):
        report(folder, format="pdf")
    with pytest.raises(spu.SpuError, match="is a folder"):
        (tmp_path / "dir.html").mkdir()
        report(folder, tmp_path / "dir.html")
    with pytest.raises(spu.SpuError, match="name the file of its report"):
        report(read_folder(folder).device)
    with pytest.raises(spu.SpuError, match="no such netlist"):
        report(folder, netlist=tmp_path / "none.cir")
    for samples in (0, 1.5):
        with pytest.raises(spu.SpuError, match="samples must be"):
            report(folder, samples=samples)
    with pytest.raises(spu.SpuError, match="seed must"):
        report(folder, seed=-1)
    with pytest.raises(spu.SpuError, match="bare circuit has no netlist to be checked: pass"):
        report(lower(read_folder(folder).device), tmp_path / "circuit.html")
    with pytest.raises(spu.SpuError, match=r"ndarray is no device: pass the device that spu.compile\(matrix\)"):
        report(np.eye(2), tmp_path / "matrix.html")


@pytest.mark.parametrize(
    "options",
    [
        ("--level", "sharp"),
        ("--budget", "60s", "--detect", "2%"),
        ("--netlist", "nowhere.cir"),
        ("--samples", "0"),
        ("--format", "pdf"),
    ],
)
def test_what_has_no_meaning_for_a_network_is_refused_before_any_work(network_folder, monkeypatch, options):
    monkeypatch.setattr("spu.spice.simulators.ngspice.run", lambda *_, **__: pytest.fail("a level ran"))
    monkeypatch.setattr("spu.emulator.runs.relaxation.run", lambda *_, **__: pytest.fail("it was simulated"))
    done = CliRunner().invoke(cli, ["report", str(network_folder), *options])
    assert done.exit_code == 2 and done.stderr.startswith(("error: ", "Usage: ")), done.stderr


def test_command_line_refuses_in_one_line(folder, tmp_path):
    done = spu_command("report", folder, "--level", "sharp", "--json")
    assert done.returncode == 2 and "sharp" in json.loads(done.stdout)["error"]["message"]
    done = spu_command("report", tmp_path / "nowhere")
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_excerpt_keeps_the_head_and_thins_out_instances(gathered):
    name, text = gathered.netlist
    head = sections.excerpt(text)
    assert name == "device.cir" and head.splitlines()[0] == text.splitlines()[0]
    assert ".param" in head and ".subckt" in head and len(head.splitlines()) <= sections.MOST_LINES + 1
    many = "title\n.param a=1\n" + "".join(f"r{k} {k} 0 1\n" for k in range(50))
    assert sections.excerpt(many).count("\nr") == sections.FIRST_INSTANCES
    assert sections.excerpt("") == ""


# --- in a browser --------------------------------------------------------------------------


def browse(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}/u",
    ]
    return subprocess.run(
        [CHROMIUM, *options, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )


def measured(tmp_path: Path, text: str, width: int) -> tuple[dict, str]:
    """How wide the page is in a window of that width, and what the console said.

    The page stands in a frame, so that its own policy holds, and so that windows may be narrower than a browser's.
    """
    measure = """
    const frame = document.querySelector("iframe");
    frame.onload = () => {
      const page = frame.contentDocument, root = page.documentElement;
      const smallest = Math.min(...[...page.querySelectorAll("p, td, li, dd")].map(
        (element) => parseFloat(frame.contentWindow.getComputedStyle(element).fontSize)));
      document.body.dataset.found = JSON.stringify({
        inside: root.clientWidth, wide: root.scrollWidth, high: root.scrollHeight, smallest,
        verdict: page.querySelector(".verdict").getBoundingClientRect().bottom});
    };"""
    file = tmp_path / f"frame{width}.html"
    file.write_text(
        f'<!DOCTYPE html><body style="margin:0"><iframe style="border:0" width="{width}" height="844" '
        f'srcdoc="{escape(text)}"></iframe><script>{measure}</script></body>'
    )
    done = browse(tmp_path, "--dump-dom", "--virtual-time-budget=10000", file.as_uri())
    found = re.search(r'data-found="(.*?)"', done.stdout)
    assert found, done.stderr[-2000:]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(found[1].replace("&quot;", '"')), console


@needs_browser
@pytest.mark.parametrize("which", ["reported", "spoilt", "networked", "imported"])
@pytest.mark.sampled(2)
def test_browser_on_a_phone(which, request, tmp_path):
    found, console = measured(tmp_path, request.getfixturevalue(which)[1], 390)
    assert console == ""
    assert found["inside"] >= 370 and found["wide"] <= found["inside"]
    assert found["verdict"] < 844  # the answer is seen without scrolling
    assert found["smallest"] >= 12


@needs_browser
def test_browser_would_tell(reported, tmp_path):
    """The two tests of the browser can fail: a wide element overflows, and the console names what the policy stops."""
    text = reported[1].replace("</main>", '<div style="width:500px">x</div><img src="https://localhost/x"></main>')
    found, console = measured(tmp_path, text, 390)
    assert found["wide"] > found["inside"] and "Content Security Policy" in console


@needs_browser
@pytest.mark.parametrize("which", ["reported", "networked"])
@pytest.mark.sampled(2)
def test_browser_prints(which, request, tmp_path):
    page, file = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(request.getfixturevalue(which)[1])
    browse(tmp_path, f"--print-to-pdf={file}", page.as_uri())
    pages = PdfReader(file).pages
    texts = [" ".join(page.extract_text().split()) for page in pages]
    assert 4 <= len(texts) <= 12
    assert "PASS" in texts[0] and "What was compared" in texts[0]
    assert any("To reproduce this" in text for text in texts) and ".subckt" in "".join(texts)
    assert all(len(text) > 100 for text in texts[:-1])  # no blank page
