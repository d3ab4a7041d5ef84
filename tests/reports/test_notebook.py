"""Objects show themselves in a notebook, and the notebook of the examples runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import spu
from spu.base import display
from spu.base.numbers import engineering
from spu.reports import notebook
from spu.reports.document import Text
from tests.reports.test_report import Page

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "spu.ipynb"


@pytest.fixture(scope="module")
def device() -> spu.Device:
    return spu.compile(spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]], variables=["left", "right"]))


def test_objects_show_their_figures(device):
    stats, run = spu.predict(device), spu.simulate(device, samples=500)
    check = spu.check(device, levels=["ideal"])
    for shown, words in (
        (device, ["left", "right", device.hash, "ohm"]),
        (stats, [f"{np.sqrt(stats.covariance[0, 0]):.4g}", "time constants"]),
        (run, [f"{np.sqrt(run.covariance[1, 1]):.4g}", "independent samples"]),
        (check, ["PASS", "emulator against the exact answer"]),
    ):
        text = shown._repr_html_()
        page = Page(text)
        assert all(word in page.text for word in words), (type(shown), page.text)
        assert page.references == [] and not page.faults
        assert len(text) < 60_000


NETWORK = spu.ThermodynamicNetwork(
    J2=[1.0, -0.5], input=[2.0, 0.0], couplings=[[0.0, 0.5], [0.5, 0.0]], variables=["left", "right"]
)


@pytest.fixture(scope="module", params=["rc-conductance", "rlc-flux"])
def network(request) -> spu.Compilation:
    """Of cells with one law each; those of fluxes are coupled by crossed inductors."""
    return spu.compile_problem(NETWORK, "neurons", architecture=request.param)


def test_networks_show_their_figures(network):
    device = network.device
    found, run = spu.predict(device), spu.simulate(device, trajectories=50, times=[0.1, 0.5])
    check = spu.check(device, levels=["ideal"])
    rest, slowest = f"{found.rest[0]:.4g}", engineering(float(found.time_constants[0]), "s")
    for shown, words in (
        (device, ["left", "right", device.hash, "time constant", "strength", "A/"]),
        (found, [rest, f"{found.third[1]:.4g}", slowest, found.heat, found.coordinate]),
        (run, [f"{run.mean[-1, 0]:.4g}", f"{run.variance[-1, 1]:.4g}", "50, read at 2 times", run.scheme]),
        (check, ["PASS", f"{NETWORK.moments()[0][0]:.4g}"]),
        (network, [network.architecture, network.reason, device.hash]),
    ):
        page = Page(shown._repr_html_())
        assert all(word in page.text for word in words), (type(shown), words, page.text)
        assert page.references == [] and not page.faults


def test_what_is_not_known_of_a_network_is_said():
    couplings = [[0.0, 0.5], [0.2, 0.0]]
    device = spu.compile(spu.ThermodynamicNetwork(couplings=couplings, units=2, reciprocal=False), "neurons")
    found = spu.predict(device)
    page = Page(found._repr_html_())
    assert f"not known: {found.why}" in page.text and "third moment" not in page.text


def test_compilations_netlists_and_spectra_show_themselves(device, tmp_path):
    deck = tmp_path / "d.cir"
    deck.write_text(spu.netlist(device))
    read = spu.read_netlist(deck)
    spectrum = spu.spectrum(device, np.geomspace(1e3, 1e6, 20))
    compilation = spu.compile_problem([[2.0, -0.5], [-0.5, 1.0]])
    for shown, words in (
        (read, [str(deck), read.circuit.hash, read.noise[0].name, "v(cell_left)"]),
        (spectrum, ["2 variables, 20 frequencies, 1 kHz to 1 MHz"]),
        (compilation, [compilation.reason, compilation.device.hash]),
    ):
        page = Page(shown._repr_html_())
        assert all(word in page.text for word in words), (type(shown), words, page.text)
        assert page.references == [] and not page.faults


def test_a_class_of_ones_own_is_registered():
    class Meter(display.Shown):
        pass

    assert Meter()._repr_html_() is None
    notebook.shown(Meter)(lambda _: [Text("12 V")])
    assert "12 V" in Page(Meter()._repr_html_()).text


def test_a_large_device_shows_the_first_of_its_cells():
    n = 60
    precision = 2.1 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    page = Page(spu.compile(spu.GaussianSampling(precision=precision))._repr_html_())
    assert "The first 12 of 60." in page.text and "x12" in page.text and "x13" not in page.text.split("Couplers")[0]


def test_two_pictures_of_one_page_share_no_identifier(device):
    one = spu.predict(device)._repr_html_()
    other = spu.predict(spu.compile(spu.GaussianSampling(precision=[[3.0, -0.5], [-0.5, 1.0]])))._repr_html_()
    first, second = Page(one).identifiers, Page(other).identifiers
    assert first and second and not set(first) & set(second)


def test_importing_the_package_imports_no_report():
    code = "import sys, spu; sys.exit(any(name.startswith(('spu.reports', 'matplotlib')) for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_example_runs_and_shows_what_it_promises():
    notebook = nbformat.read(EXAMPLE, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)  # as it is shipped
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [
        "".join(str(output.get("data", output).get("text/html", output.get("text", ""))) for output in cell.outputs)
        for cell in cells
    ]
    for words in ("north", "relative error of the covariance", "independent samples", "PASS", "kHz"):
        assert any(words in text for text in shown), words
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)
