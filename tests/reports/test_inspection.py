"""Cells and couplers in an engineer's figures: of nonlinear ones those of small signals at rest."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.folder import write_folder
from spu.reports.inspection import cell_table, coupler_table, look_at, shared_table

SINGLE = {"J2": [1.0, 0.5], "J3": [0.2, 0.0], "J4": 1.0, "input": [2.0, 0.0]}
PAIR = spu.ThermodynamicNetwork(J2=[1.0, -0.5], input=[2.0, 0.0], couplings=[[0.0, 0.5], [0.5, 0.0]])


@pytest.mark.parametrize("architecture", ["rc-conductance", "rlc-flux", "rc-charge"])
def test_cells_that_nothing_joins_have_the_time_constants_of_the_device(architecture):
    """One mode a cell, and where there is inductance the slower one of two."""
    device = spu.compile(spu.ThermodynamicNetwork(**SINGLE), architecture=architecture)
    found = sorted(cell.time_constant for cell in look_at(device).cells)
    exact = spu.predict(device).time_constants
    assert found == pytest.approx(sorted(exact[:2].tolist()), rel=1e-9)
    assert look_at(device).at_rest


def test_fluxes_have_a_resonance_and_a_quality():
    """Of ``C v'' + G v' + K v = 0`` the product of both rates is K/C, and their sum G/C: from the device's modes."""
    device = spu.compile(spu.ThermodynamicNetwork(**SINGLE), architecture="rlc-flux")
    times = np.sort(spu.predict(device).time_constants)[::-1]
    for cell, slow in zip(sorted(look_at(device).cells, key=lambda cell: -cell.time_constant), times[:2], strict=True):
        fast = 1 / (cell.values["conductance"] / cell.values["capacitance"] - 1 / slow)
        assert np.abs(times / fast - 1).min() < 1e-6
        assert cell.resonance == pytest.approx(1 / (2 * np.pi * np.sqrt(slow * fast)), rel=1e-6)
        assert cell.quality == pytest.approx(np.sqrt(slow * fast) / (slow + fast), rel=1e-6)


def test_a_cell_that_would_not_stay_at_rest_has_no_figures():
    """A double well at the top of its barrier, as symmetry holds it there, would leave at once: no time constant."""
    device = spu.compile(spu.ThermodynamicNetwork(J2=[-1.0], J4=1.0), "neurons", architecture="rlc-flux")
    (cell,) = look_at(device).cells
    assert (cell.time_constant, cell.resonance, cell.quality) == (None, None, None)


@pytest.mark.parametrize("architecture", ["rc-conductance", "rlc-flux"])
def test_strength_of_couplers(architecture):
    """The coupling over the geometric mean of the curvatures at rest; a crossed inductor adds none of its own."""
    device = spu.compile(PAIR, "neurons", architecture=architecture)
    rest = spu.predict(device).rest
    curvature = 2 * PAIR.J2 + 12 * PAIR.J4 * rest**2
    (coupler,) = look_at(device).couplers
    assert coupler.strength == pytest.approx(0.5 / np.sqrt(curvature.prod()), rel=1e-9)
    headers, (_row,) = coupler_table([coupler])
    assert (
        headers[2:]
        == {"rc-conductance": ["g(ab)", "g(ba)", "strength"], "rlc-flux": ["crossed L", "strength"]}[architecture]
    )
    headers, rows = cell_table(look_at(device).cells)
    assert all(len(row) == len(headers) for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("network") / "out"
    write_folder(directory, spu.compile_problem(PAIR, "neurons", architecture="rlc-flux"))
    return directory


def run(*words, status=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == status, done.output
    return done


def test_inspect_gives_of_a_network_what_it_gives_of_linear_cells(folder, tmp_path):
    pictures = ("--plot", tmp_path / "p.svg", "--schematic", tmp_path / "s.svg")
    found = json.loads(run("inspect", folder, *pictures, "--json").stdout)
    write_folder(tmp_path / "linear", spu.compile_problem([[2.0, -0.5], [-0.5, 1.0]]))
    linear = json.loads(run("inspect", tmp_path / "linear", "--json").stdout)
    assert set(linear) <= set(found) and set(found) - set(linear) == {"coordinate", "heat"}
    stats, look = spu.predict(folder), look_at(spu.compile(PAIR, "neurons", architecture="rlc-flux"))
    assert found["covariance"] == pytest.approx(stats.covariance)
    assert found["time_constants"] == pytest.approx(stats.time_constants)
    assert [cell["time_constant"] for cell in found["cell_table"]] == pytest.approx(
        [cell.time_constant for cell in look.cells]
    )
    assert found["coupler_table"][0]["strength"] == pytest.approx(look.couplers[0].strength)
    assert (tmp_path / "p.svg").exists() and (tmp_path / "s.svg").exists()
    said = run("inspect", folder).stdout
    assert "problem: network, kT 1" in said and "coordinate: flux; potential: energy stored" in said
    assert "crossed L" in said and "time constants of the whole device (4)" in said


def test_pictures_and_budgets_without_meaning_are_refused_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("spu.emulator.predict.predict", lambda *_: pytest.fail("work was done"))
    done = run("inspect", folder, "--budget", status=2)
    assert done.stderr == "error: --budget is not for networks\n"
    for option in ("--plot", "--schematic"):
        done = run("inspect", folder / "device.json", option, tmp_path / "x.gif", status=2)
        assert "must end in" in done.stderr


def test_a_netlist_has_no_budget(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.cir").write_text(spu.netlist(spu.compile([[2.0, -0.5], [-0.5, 1.0]])))
    done = run("inspect", "d.cir", "--budget", status=2)
    assert done.stderr == "error: --budget is not for netlists: they have no device\n"


def test_a_run_of_a_netlist_is_drawn(tmp_path):
    (tmp_path / "d.cir").write_text(spu.netlist(spu.compile([[2.0, -0.5], [-0.5, 1.0]])))
    words = ("simulate", tmp_path / "d.cir", "--samples", 200, "--no-output", "--plot", tmp_path / "x.png")
    assert f"picture: {tmp_path / 'x.png'}" in run(*words).stdout
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_shared_noise_is_listed_cell_by_cell(tmp_path):
    device = spu.Device(temperature=0.0)
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    assert not look_at(device).noises
    device.add_noise("n1", {"a": 2e-10, "b": -1e-10})
    headers, rows = shared_table(look_at(device).noises)
    assert headers == ["shared noise", "cell", "amplitude"]
    assert rows == [["n1", "a", "200 pA/rtHz"], ["n1", "b", "-100 pA/rtHz"]]
    device.write(tmp_path / "device.json")
    said = CliRunner().invoke(cli, ["inspect", str(tmp_path / "device.json")]).output
    assert "-100 pA/rtHz" in said
    found = json.loads(CliRunner().invoke(cli, ["inspect", str(tmp_path / "device.json"), "--json"]).stdout)
    assert found["shared_noise"] == [{"name": "n1", "amplitudes": {"a": 2e-10, "b": -1e-10}}]
    assert "Shared noise" in device._repr_html_()
