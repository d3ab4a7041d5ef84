"""The examples and the reference netlists: run, and compared with what is shipped."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spu

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
NONLINEAR = ROOT / "netlists" / "neurons.cir"
ANNEALING = ROOT / "netlists" / "annealing.cir"
NETLISTS = sorted(path for path in (ROOT / "netlists").glob("*.cir") if path not in (NONLINEAR, ANNEALING))
SHIPPED = sorted(path for path in (ROOT / "netlists").rglob("*") if path.suffix in (".cir", ".scs", ".sim"))

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.?\d*(?:e[-+]?\d+)?(?![\w.])", re.IGNORECASE)


def test_grid_finds_the_predicted_variances_twice(capsys):
    """The relative error over 4,900 variances scatters by some 3 % of itself: 30 % would be 10 sigma."""
    runpy.run_path(str(EXAMPLES / "grid.py"))["main"](70)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4900 cells, 9660 couplers, rlc-capacitive"
    runs = [line for line in lines if "readouts" in line]
    assert [line.split(":")[0] for line in runs] == ["independent", "midpoint"]
    for line in runs:
        found, expected = (float(re.search(rf"{word} (\S+?),?( |$)", line)[1]) for word in ("error", "expected"))
        assert abs(found / expected - 1) < 0.3


def test_three_boards_are_told_apart(capsys):
    """What samples, scatter and offsets leave, and the boards behind them; as docs/howto/calibration.md shows it."""
    runpy.run_path(str(EXAMPLES / "three_boards.py"))["main"]()
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if not line.startswith("    ")]
    errors = [[float(word.rstrip("%")) for word in line.split()[-3:]] for line in rows[1:]]
    assert errors[0] == [27.4, 8.7, 2.7]
    assert errors[1][2] < 10 and errors[2][2] > 10 and errors[3][2] > 15
    assert printed.count("the model explains the record") == 3
    assert printed.count("within its tolerance") == 3
    page = (ROOT / "docs" / "howto" / "calibration.md").read_text()
    assert all(line in page for line in printed.splitlines())


def test_fin_solves_the_system_and_approaches_the_analytic_solution(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["fin.py", str(tmp_path)])
    fin = runpy.run_path(str(EXAMPLES / "fin.py"))
    fin["main"]()
    assert "rc-resistive" in capsys.readouterr().out
    matrix, vector, x = fin["system"]()
    solution = np.linalg.solve(matrix, vector)
    m = np.sqrt(4 * fin["LOSS"] / (fin["CONDUCTIVITY"] * fin["THICKNESS"]))
    analytic = fin["BASE"] * np.cosh(m * (fin["LENGTH"] - x)) / np.cosh(m * fin["LENGTH"])
    assert np.abs(solution - analytic).max() < 0.05  # K: second order in the cell size
    problem, _ = spu.load_problem(tmp_path / "fin.toml")
    prediction = spu.predict(spu.compile(problem))
    assert np.abs(prediction.mean - solution).max() < 1e-9 * solution.max()
    assert problem.variables[0] == "T1"


def test_half_an_image_tells_something_of_the_other(capsys, tmp_path):
    completion = runpy.run_path(str(EXAMPLES / "completion.py"))
    completion["main"](tmp_path / "c.png")
    found = re.search(r"pixel: (\S+) grey levels given the upper half, (\S+) without", capsys.readouterr().out)
    given, without = map(float, found.groups())
    assert given < 0.8 * without and (tmp_path / "c.png").stat().st_size > 1000
    # The same images by the blocks of the covariance: their errors differ by what 2000 samples leave.
    pixels = completion["images"]()
    fitted = completion["model"](pixels[:1500])
    P = np.linalg.inv(fitted.matrix)
    gain = np.linalg.solve(P[:32, :32], P[:32, 32:])
    shown = pixels[1500::49][:6]
    exact = fitted.target_mean[32:] + (shown[:, :32] - fitted.target_mean[:32]) @ gain
    assert given == pytest.approx(np.sqrt(((shown[:, 32:] - exact) ** 2).mean()), rel=0.02)


def test_neurons_are_linear_quartic_and_mixed(capsys, tmp_path):
    """Activations at the last time: within 6 standard errors (false alarms 1e-7) of equilibrium."""
    neurons = runpy.run_path(str(EXAMPLES / "neurons.py"))
    neurons["main"](tmp_path, trajectories=64)
    assert {file.name for file in tmp_path.iterdir()} == {"neurons.png", "wells.png"}
    said = capsys.readouterr().out
    assert re.search(r"mixed +I = 5: .*equilibrium 0\.8421", said)
    found = neurons["activations"](400)
    for name, curve in found.items():
        gap = np.abs(curve.mean[-1] - curve.equilibrium)
        slow = 0.02 * np.abs(curve.equilibrium) + 0.01  # the linear cell has exp(-6) to go
        assert (gap < 6 * curve.error[-1] + slow).all(), name
    assert np.allclose(found["linear"].equilibrium, found["linear"].input / 2)


def test_karate_club_is_the_graph_it_says(capsys):
    networkx = pytest.importorskip("networkx")
    runpy.run_path(str(EXAMPLES / "karate_club.py"), run_name="__main__")
    assert "34 cells, 78 coupling capacitors, rlc-capacitive" in capsys.readouterr().out
    problem, _ = spu.load_problem(EXAMPLES / "karate_club.mtx")
    graph = networkx.karate_club_graph()
    laplacian = networkx.laplacian_matrix(graph, nodelist=range(34)).toarray()
    assert np.array_equal(problem.matrix, laplacian + np.eye(34))
    eight, hardware = spu.load_problem(EXAMPLES / "club8.toml")
    members = [int(name.removeprefix("member_")) - 1 for name in eight.variables]
    ties = networkx.laplacian_matrix(graph.subgraph(members), nodelist=members).toarray()
    assert hardware == "spu8"
    assert np.array_equal(eight.matrix, ties + np.eye(8))


def test_wine_needs_transconductors_and_is_exact():
    problem, hardware = spu.load_problem(EXAMPLES / "wine.toml")
    compilation = spu.compile_problem(problem, hardware or "ideal")
    assert compilation.architecture == "rc-transconductor"
    assert "alcohol" in problem.variables
    assert compilation.prediction.relative_error < 1e-9
    assert np.allclose(np.diag(problem.target_covariance), 1.0)


def test_frustrated_triangle_is_on_dual_rails():
    problem, _ = spu.load_problem(EXAMPLES / "frustrated.toml")
    compilation = spu.compile_problem(problem)
    assert compilation.architecture == "rlc-capacitive-dual"
    assert compilation.device.cell_names == ["a_p", "a_n", "b_p", "b_n", "c_p", "c_n"]
    assert compilation.prediction.relative_error < 1e-9
    alone = replace(spu.load_hardware("ideal"), architectures=("rlc-capacitive", "rc-resistive"))
    with pytest.raises(spu.Unrealizable, match="contradict each other"):
        spu.compile(problem, alone)


def test_by_hand_is_the_file_that_is_shipped(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["by_hand.py"])  # it writes to its argument: never to pytest's
    by_hand = runpy.run_path(str(EXAMPLES / "by_hand.py"))
    by_hand["main"]()
    assert "slowest time constant" in capsys.readouterr().out
    assert spu.Device.read(EXAMPLES / "by_hand.json").hash == by_hand["device"]().hash


def test_the_device_file_of_the_page_is_read(tmp_path):
    page = ROOT / "docs" / "howto" / "by_hand.md"
    (block,) = re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
    path = tmp_path / "device.json"
    path.write_text(block)
    assert spu.predict(spu.Device.read(path)).variables == ("x", "y")


def test_netlists_are_what_the_examples_give(tmp_path):
    subprocess.run([sys.executable, str(ROOT / "netlists" / "regenerate.py"), str(tmp_path)], check=True)
    written = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert written == sorted(p.relative_to(ROOT / "netlists") for p in SHIPPED)
    for path in SHIPPED:
        old, new = path.read_text(), (tmp_path / path.relative_to(ROOT / "netlists")).read_text()
        # Numbers may differ in their last bits on another processor; the device's hash must not.
        hashes = [re.search(r"device ([0-9a-f]{12});", text).group(1) for text in (old, new)]
        assert hashes[0] == hashes[1], path.name
        assert _NUMBER.sub("N", old) == _NUMBER.sub("N", new), path.name
        a, b = (np.array([float(x) for x in _NUMBER.findall(text)]) for text in (old, new))
        # Zeros of the header (means, covariances) may come out as rounding errors.
        assert np.allclose(a, b, rtol=1e-9, atol=0) or np.allclose(a, b, rtol=1e-9, atol=1e-22), path.name


def run_alone(path: Path, home: Path) -> str:
    """What ngspice prints; -n: without the user's start-up file. Nothing of Python is in the environment of the run."""
    done = subprocess.run(
        ["ngspice", "-n", "-b", str(path)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)},  # without HOME ngspice 39 crashes
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    log = done.stdout + done.stderr
    assert done.returncode == 0, log[-2000:]
    return log


@pytest.mark.parametrize("path", NETLISTS, ids=lambda path: path.stem)
@pytest.mark.sampled(2)
def test_netlists_run_by_themselves(path, tmp_path):
    text = path.read_text()
    if text.count("trrandom(") > 200:  # its transient takes minutes: a short one will do to see that it runs
        step, *_ = re.search(r"^tran (\S+) \S+ \S+ (\S+)", text, re.MULTILINE).groups()
        text = re.sub(r"^tran .*", f"tran {step} {50 * float(step)!r} 0 {float(step) / 8!r}", text, flags=re.MULTILINE)
        path = tmp_path / path.name
        path.write_text(text)
    log = run_alone(path, tmp_path)
    cells = len(re.findall(r"^xcell_", text, re.MULTILINE))
    noise = re.findall(r"^RESULT noise \w+: found (\S+) expected (\S+)", log, re.MULTILINE | re.IGNORECASE)
    transient = re.findall(r"^RESULT tran \w+: found (\S+) expected (\S+)", log, re.MULTILINE | re.IGNORECASE)
    assert len(noise) == len(transient) == cells, log[-2000:]
    for found, expected in noise:
        assert abs(float(found) / float(expected) - 1) < 5e-3  # the control block's rule is plain trapezoid
    assert all(np.isfinite(float(found)) for found, _ in transient)


def test_the_netlist_of_neurons_runs_by_itself(tmp_path):
    """Means and variances against a quadrature over all four units, within 5 standard errors of its short transient.

    Of 95 time constants a mean is known to sqrt(2 variance / 95), 0.07, and a variance to sqrt(2 / 95), 15 % (that of
    a Gaussian): false alarms are below 1e-5 at any seed. Noise of four times the density is seen;
    `spu check` looks closer.
    """
    found = re.findall(r"^RESULT tran (\w+): mean (\S+) variance (\S+)", run_alone(NONLINEAR, tmp_path), re.MULTILINE)
    network = spu.load_network(EXAMPLES / "neurons.toml").network
    assert [name for name, _, _ in found] == list(network.variables)
    x = np.stack(np.meshgrid(*[np.linspace(-3, 3, 31)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    weight = np.exp(-network.energy(x))
    weight /= weight.sum()
    mean, second = weight @ x, weight @ x**2
    variance = second - mean**2
    means, variances = (np.array([float(row[k]) for row in found]) for k in (1, 2))
    assert (np.abs(means - mean) < 5 * np.sqrt(2 * variance / 95)).all()
    assert (np.abs(variances / variance - 1) < 5 * np.sqrt(2 / 95)).all()
