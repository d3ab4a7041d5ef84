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
