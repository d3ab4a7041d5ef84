"""The verbs on thermodynamic networks."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from spu.cli import cli
from spu.problems.neuron import unit_law

NET = """task = "network"
J2 = [1.0, -0.5]
J4 = 1.0
input = [2.0, 0.0]
couplings = [[0.0, 0.5], [0.5, 0.0]]
hardware = "neurons"
"""


def spu(*words: object, status: int = 0) -> str:
    found = CliRunner().invoke(cli, [str(word) for word in words])
    assert found.exit_code == status, found.output
    return found.output


def as_json(*words: object, status: int = 0) -> dict:
    return json.loads(spu(*words, "--json", status=status))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("network")
    (base / "net.toml").write_text(NET)
    spu("compile", base / "net.toml", "-o", base / "out", "--architecture", "rlc-flux")
    return base / "out"


def test_compile(folder, tmp_path):
    file = folder.parent / "net.toml"
    found = as_json("compile", file, "-o", tmp_path / "v", "--speedup", 2)
    assert found["architecture"] == "rc-conductance"
    assert found["scales"]["speedup"] == 2
    assert "not the circuit's heat" in found["heat"]
    said = spu("compile", file, "-o", tmp_path / "w", "--architecture", "rlc-flux")
    assert "what the resistors take up" in " ".join(said.split())
    assert "flux: x = 1 is" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hardware", "spu8"], "no nonlinear cells"),
        (["--architecture", "rc-flux"], "did you mean 'rlc-flux'?"),
        (["--speedup", "0"], "speedup is 0.0"),
        (["--ensemble", "4"], "--ensemble is not for networks"),
        (["--explain"], "--explain is not for networks"),
        (["--dialect", "xyce"], "only, not for xyce"),
    ],
)
def test_compile_refuses(folder, tmp_path, options, words):
    found = as_json("compile", folder.parent / "net.toml", "-o", tmp_path / "x", *options, status=2)
    assert words in found["error"]["message"]
    assert not (tmp_path / "x").exists()


def test_a_bad_file_is_refused_with_its_line(tmp_path):
    file = tmp_path / "net.toml"
    file.write_text(NET.replace("[0.5, 0.0]]", "[0.4, 0.0]]"))
    found = as_json("compile", file, "-o", tmp_path / "x", status=2)["error"]
    assert found["line"] == 5
    assert "declared reciprocal" in found["message"]
    (tmp_path / "m.csv").write_text("1\n")
    found = as_json("compile", tmp_path / "m.csv", "-o", tmp_path / "x", "--speedup", 2, status=2)["error"]
    assert "--speedup is for networks" in found["message"]


def test_predict(folder):
    found = as_json("predict", folder)
    assert found["coordinate"] == "flux"
    assert np.shape(found["covariance"]) == (2, 2)
    assert len(found["time_constants"]) == 4
    said = spu("predict", folder)
    assert "exact (quadrature)" in said
    assert "--band is not for networks" in as_json("predict", folder, "--band", 1, 2, status=2)["error"]["message"]


def test_simulate(folder, tmp_path):
    settings = ("simulate", folder, "--trajectories", 200, "--times", "0.1,0.5", "--step", 0.002)
    inputs = tmp_path / "inputs.csv"
    inputs.write_text("time,x2\n0,0\n0.3,1\n")
    found = as_json(*settings, "--heat", "--inputs", inputs, "--plot", tmp_path / "p.png")
    assert (tmp_path / "p.png").exists()
    assert np.shape(found["mean"]) == (2, 2)
    assert found["first_law"] < 1e-11
    assert found["work"]["mean"] != 0
    own = write(tmp_path / "own.csv", "x1\n" + "3\n-3\n" * 100)
    found = as_json(*settings, "--own-inputs", own, "--clamp", "x2=0.25", "-o", tmp_path / "o.npz")
    assert found["clamped"] == ["x2"] and found["mean"][1][1] == pytest.approx(0.25)
    with np.load(tmp_path / "o.npz") as samples:
        assert samples["states"][1, ::2, 0].mean() > 0.3 + samples["states"][1, 1::2, 0].mean()
    with np.load(folder / "samples.npz") as samples:
        assert samples["states"].shape == (2, 200, 2)
        assert samples["heat"].shape == (200,)
    said = spu(*settings, "--heat", "--no-output")
    assert "what the resistors take up" in " ".join(said.split())
    for words, options in (
        ("--samples is not for networks", ["--samples", 5]),
        ("--times takes numbers", ["--times", "a"]),
        ("no unit 'y'", ["--inputs", write(tmp_path / "i.csv", "time,y\n0,1\n")]),
        ("--own-inputs must be 1000 x 2", ["--own-inputs", write(tmp_path / "k.csv", "x2\n1\n2\n")]),
        ("--clamp takes a name and a number", ["--clamp", "x1"]),
        ("no unit 'y'", ["--clamp", "y=1"]),
        ("a row needs 2 numbers", ["--inputs", write(tmp_path / "j.csv", "time,x1\n0\n")]),
    ):
        assert words in as_json("simulate", folder, *options, status=2)["error"]["message"]


def test_activation_curve(tmp_path):
    """The curve in JSON against unit_law, and at a finite time against the table of the first neuron.

    Mean at t = 0.2, I = 5 of (1, 0, 1) at kT = 1 is 0.6524 by the Fokker-Planck equation (1e-4); here interpolated
    between inputs (2e-3), within 6 standard errors: a false alarm in 1e8. The mobility and the bias are in it.
    """
    net = 'task = "network"\nJ2 = [-0.5, 1.0]\ninput = [0.0, 3.0]\nbias = [0.0, 2.0]\nmobility = 2.0\n'
    net += 'couplings = [[0.0, 0.5], [0.5, 0.0]]\nhardware = "neurons"\n'
    spu("compile", write(tmp_path / "net.toml", net), "-o", tmp_path / "out")
    plot = tmp_path / "a.png"
    curve = as_json("predict", tmp_path / "out", "--unit", "x2", "--times", 0.1, "--plot", plot)["activation"]
    assert plot.exists()
    inputs = np.array(curve["input"])
    assert curve["equilibrium"] == pytest.approx(unit_law(input=inputs - 2).mean, abs=1e-9)
    assert curve["unit"] == "x2"
    assert inputs.min() < 3 < inputs.max()
    error = max(curve["error"][0])
    assert abs(np.interp(7, inputs, curve["mean"][0]) - 0.6524) < 6 * error + 2e-3
    first = as_json("predict", tmp_path / "out", "--plot", plot)["activation"]
    assert (first["unit"], first["times"]) == ("x1", [])
    assert f"picture: {plot}" in spu("predict", tmp_path / "out", "--plot", plot)
    found = as_json("predict", tmp_path / "out", "--unit", "x3", status=2)["error"]["message"]
    assert "no unit 'x3'" in found


def test_entropy_of_a_ramp_from_equilibrium(tmp_path):
    """In JSON the parts agree by the first law; the line for people says the same or why not."""
    net = write(tmp_path / "net.toml", 'task = "network"\nunits = 2\nJ4 = [1.0, 0.0]\nhardware = "neurons"\n')
    spu("compile", net, "-o", tmp_path / "out", "--architecture", "rlc-flux")
    inputs = write(tmp_path / "inputs.csv", "time,x1\n0,0\n0.3,1\n")
    settings = ("simulate", tmp_path / "out", "--trajectories", 200, "--times", 0.3, "--step", 0.002, "--heat")
    settings += ("--inputs", inputs, "--no-output")
    found = as_json(*settings, "--start", "equilibrium")
    entropy = found["entropy"]
    assert entropy["medium"] == found["heat"]
    total = found["work"]["mean"] - entropy["free_energy_change"]
    assert entropy["total"] == {"mean": pytest.approx(total), "error": pytest.approx(found["work"]["error"])}
    assert entropy["why"] == ""
    assert "free energy change" in spu(*settings, "--start", "equilibrium")
    assert as_json(*settings)["entropy"]["total"] is None
    assert "in all not known: the law at the start" in " ".join(spu(*settings).split())
    assert "numbers, a file of them, or equilibrium" in as_json(*settings, "--start", "a", status=2)["error"]["message"]


def write(file, text):
    file.write_text(text)
    return file


def test_simulate_refuses_a_linear_device_what_is_of_networks(tmp_path):
    (tmp_path / "m.csv").write_text("1\n")
    spu("compile", tmp_path / "m.csv", "-o", tmp_path / "lin")
    found = as_json("simulate", tmp_path / "lin", "--heat", status=2)["error"]["message"]
    assert "--heat is not for linear devices" in found


def test_inspect(folder, tmp_path):
    found = as_json("inspect", folder, "--plot", tmp_path / "p.png")
    assert (tmp_path / "p.png").exists()
    assert len(found["cell_table"][0]["polynomial_inductance"]) == 3
    assert "crossed_inductance" in found["coupler_table"][0]
    assert "A/Wb" in spu("inspect", folder)


def test_check(folder, tmp_path):
    found = as_json("check", folder, "--level", "ideal", "--level", "op", "--level", "replay")
    assert found["verdict"] == "pass"
    assert found["levels"]["op"]["verdict"] == "skipped"
    spu("check", folder, "--level", "ideal", "--plot", tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()
    assert "--budget is not for networks" in as_json("inspect", folder, "--budget", status=2)["error"]["message"]
