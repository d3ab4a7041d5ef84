"""Clamped cells: exactly the conditional law, in emulator, netlist and ngspice; what cannot be held is refused."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import rlc_pair

import spu
from spu.base.errors import InputError
from spu.cli import cli

ROOT = Path(__file__).resolve().parents[2]
A = np.array([[4.0, -1.0, -0.5], [-1.0, 3.0, -0.7], [-0.5, -0.7, 2.0]])
MIXED = np.array([[4.0, -1.0, 0.5], [-1.0, 3.0, -0.7], [0.5, -0.7, 2.0]])
MEAN = np.array([1.0, 2.0, -3.0])
ARCHITECTURES = {
    "rc-resistive": A,
    "rlc-capacitive": A,
    "rc-resistive-dual": MIXED,
    "rlc-capacitive-dual": MIXED,
    "rc-transconductor": MIXED,
}


def law(matrix, mean, held):
    """Mean and covariance, by the blocks of the precision, written out."""
    c = np.array([int(name[1:]) - 1 for name in held])
    f = np.setdiff1d(np.arange(len(matrix)), c)
    x = np.array(list(held.values()))
    S, m = np.zeros_like(matrix), np.zeros(len(matrix))
    S[np.ix_(f, f)] = np.linalg.inv(matrix[np.ix_(f, f)])
    m[c], m[f] = x, mean[f] - S[np.ix_(f, f)] @ matrix[np.ix_(f, c)] @ (x - mean[c])
    return m, S


@pytest.mark.parametrize("held", [{"x1": 0.5}, {"x3": -2.0}, {"x1": 0.0, "x2": 30.0}], ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_the_conditional_law(architecture, held):
    matrix = ARCHITECTURES[architecture]
    free = spu.compile(spu.GaussianSampling(precision=matrix, mean=MEAN), architecture=architecture)
    device = free.clamped(held)
    m, S = law(matrix, MEAN, held)
    found = spu.predict(device)
    assert found.mean == pytest.approx(m, abs=1e-9) and found.covariance == pytest.approx(S, abs=1e-9)
    assert found.relative_error < 1e-9 and found.mean_relative_error < 1e-9
    assert device.problem.held == held and free.problem.task == "gaussian"  # the one it is made of is as it was
    assert spu.predict(free).covariance[0, 0] > 0.1
    compiled = spu.compile(device.problem, architecture=architecture)
    assert compiled.hash == device.hash
    run = spu.simulate(free, clamp=held, samples=400, seed=0)
    where = [int(name[1:]) - 1 for name in held]
    assert np.array_equal(run.mean[where], list(held.values())) or run.mean[where] == pytest.approx(
        list(held.values()), rel=1e-12
    )
    assert not run.covariance[where].any() and not run.covariance_error[where].any()
    assert 50 < run.effective_samples < 500 and 0.01 < run.expected_relative_error < 0.5


def test_samples_follow_it():
    """Every entry of covariance and mean within 6 standard errors: 9 entries, false alarms below 2e-8."""
    device = spu.compile(spu.GaussianSampling(precision=MIXED, mean=MEAN))
    run = spu.simulate(device, clamp={"x2": 5.0}, samples=20_000, seed=0)
    f = [0, 2]
    where = np.ix_(f, f)
    off = np.abs(run.covariance - run.target_covariance)[where] / run.covariance_error[where]
    assert off.max() < 6 and (np.abs(run.mean - run.target_mean)[f] / run.mean_error[f]).max() < 6
    assert run.relative_error < 5 * run.expected_relative_error


def test_a_linear_system_is_solved_around_what_is_prescribed():
    b = np.array([1.0, 2.0, 3.0])
    device = spu.compile(spu.LinearSystem(A, b)).clamped({"x2": 7.0})
    found = spu.predict(device)
    f = [0, 2]
    assert found.mean[f] == pytest.approx(np.linalg.solve(A[np.ix_(f, f)], b[f] - A[f, 1] * 7.0))
    assert found.mean[1] == pytest.approx(7.0) and found.relative_error < 1e-9


def test_a_held_cell_stands_where_readout_says_so():
    device = spu.compile(spu.GaussianSampling(precision=A), architecture="rc-resistive").clamped({"x1": 0.5})
    gain = device.readout.matrix[0, 0]
    assert device.cells[0].values["clamp"] == pytest.approx(0.5 / gain)
    dual = spu.compile(spu.GaussianSampling(precision=MIXED), architecture="rc-resistive-dual").clamped({"x1": 0.5})
    p, n = (dual.cells[k].values["clamp"] for k in (0, 1))
    assert p == pytest.approx(-n) and dual.readout.matrix[0, 0] * 2 * p == pytest.approx(0.5)
    rlc = spu.compile(spu.GaussianSampling(precision=A), architecture="rlc-capacitive").clamped({"x1": 0.5})
    assert rlc.cells[0].values["clamp"] == 0.0 and "inductance" not in rlc.cells[0].values
    assert "inductance" in rlc.cells[1].values and rlc.readout.offset[0] == 0.5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_netlist_says_the_same(architecture, tmp_path):
    problem = spu.GaussianSampling(precision=ARCHITECTURES[architecture], mean=MEAN)
    device = spu.compile(problem, architecture=architecture).clamped({"x1": 0.5})
    found = spu.check(device, levels=["ideal", "answer", "op", "ac", "replay"])
    verdicts = {name: level.verdict for name, level in found.levels.items()}
    no_dc = architecture.startswith("rlc")
    assert verdicts == dict.fromkeys(verdicts, "pass") | {"op": "skipped" if no_dc else "pass"}
    file = tmp_path / "device.cir"
    file.write_text(spu.netlist(device))
    read = spu.read_netlist(file, problem=device.problem)
    again = spu.predict(read)
    assert again.covariance == pytest.approx(spu.predict(device).covariance, abs=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        (r"(xcell_x1 .* hold=)(\S+)", lambda m: f"{m[1]}{float(m[2]) * 1.01!r}", "op"),
        (r"  vhold a 0 dc \{hold\}\n", lambda m: "", "ac"),
        (r"vhold a 0 dc", lambda m: "vhold 0 a dc", "op"),
        (r"(xcoupler_r_x1_x2 .* r=)(\S+)", lambda m: f"{m[1]}{float(m[2]) * 1.05!r}", "op"),
        (r"(xcell_x2 .* sn=)(\S+)", lambda m: f"{m[1]}{float(m[2]) * 1.05!r}", "ac"),
    ],
    ids=["value", "absent", "reversed", "coupler", "noise"],
)
def test_a_mistake_in_the_netlist_is_seen(old, new, level, tmp_path):
    device = spu.compile(spu.GaussianSampling(precision=A), architecture="rc-resistive").clamped({"x1": 0.5})
    changed, count = re.subn(old, new, spu.netlist(device), count=1)
    assert count == 1
    file = tmp_path / "changed.cir"
    file.write_text(changed)
    assert spu.check(device, netlist=file, levels=[level]).levels[level].verdict == "fail"


def test_devices_by_hand_hold_volts():
    device = spu.Device(temperature=0.0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_cell("b", capacitance=1e-9, conductance=1e-3, noise=4e-20, clamp=0.1)
    device.add_coupler("a", "b", conductance=1e-3)
    found = spu.predict(device)
    assert found.mean == pytest.approx([0.05, 0.1]) and found.covariance[1, 1] == 0.0
    assert found.covariance[0, 0] == pytest.approx(4e-20 / 4 / 1e-9 / 2e-3)
    assert spu.Device.from_dict(device.to_dict()).hash == device.hash
    zero = device.clamped({"b": 0.0})
    assert spu.predict(zero).mean == pytest.approx([0.0, 0.0], abs=1e-15)
    assert spu.Device.from_dict(json.loads(zero.to_json())).cells[1].values["clamp"] == 0.0  # 0 V is held, too
    assert zero.hash != device.hash


def test_inductors_let_no_constant_voltage_stand():
    device = rlc_pair()
    with pytest.raises(InputError, match=r"a cannot be held at 0\.5: an inductor shorts a constant voltage"):
        device.clamped({"a": 0.5})
    held = device.clamped({"a": 0.0})
    found = spu.predict(held)
    # b alone: its own capacitance and the coupler's, noise and all conductances at it.
    C, G = 2.5e-9, 7e-4
    assert found.covariance[1, 1] == pytest.approx(1e-20 / 4 / G / C) and found.covariance[0, 0] == 0.0


def test_held_again_and_more():
    device = spu.compile(spu.GaussianSampling(precision=A), architecture="rlc-capacitive")
    twice = device.clamped({"x1": 0.5}).clamped({"x1": 2.0}).clamped({"x2": 1.0})
    assert twice.problem.held == {"x1": 2.0, "x2": 1.0}
    assert spu.predict(twice).mean == pytest.approx(law(A, np.zeros(3), {"x1": 2.0, "x2": 1.0})[0])


WIRED = 5.0 * np.eye(6) - np.ones((6, 6)) / 2


def test_a_chain_that_is_read_of_one_cell_is_held_there():
    """Pre-distorted chains have the exact joint law of what is read; so has what is left when one reading is known."""
    device = spu.compile(WIRED, ROOT / "examples" / "chimera.toml")
    assert len(device.cell_names) > 6
    found = spu.predict(device.clamped({"x2": 1.5}))
    assert found.covariance_relative_error < 1e-6 and found.mean_relative_error < 1e-6


def test_what_cannot_be_held_is_refused_in_one_line():
    chains = spu.EmbeddingOptions(correction="first-order")
    wired = spu.compile(WIRED, ROOT / "examples" / "chimera.toml", embedding=chains)
    chained = next(name for row, name in enumerate(wired.readout.variables) if wired.readout.matrix[[row]].nnz > 1)
    network = spu.compile(spu.ThermodynamicNetwork(J2=1.0, J4=1.0, units=2))
    ensemble = spu.compile(spu.GaussianSampling(precision=A), ROOT / "examples" / "six_bits_board.toml", ensemble=2)
    for device, held, said in (
        (wired, {chained: 1.0}, "is read of .* cells: a chain"),
        (network, {"x1": 1.0}, "units of a network are held while it runs"),
        (ensemble, {"x1": 1.0}, "hold variables of one of device.members"),
        (spu.compile(A), {"x9": 1.0}, "no variable 'x9'"),
        (spu.compile(A, architecture="rc-resistive"), {"x1": 1e300}, "V: nothing holds that"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            device.clamped(held)
        assert "\n" not in str(caught.value)
    circuit = spu.read_netlist(ROOT / "tests" / "decks" / "rc_mesh.cir", densities={"i1": 1e-24})
    with pytest.raises(spu.SpuError, match="clamp is of devices: in a netlist put a voltage source"):
        spu.simulate(circuit, clamp={"x1": 1.0})


def test_a_voltage_beyond_the_readout_is_said():
    hardware = replace(spu.load_hardware("spu8"), architectures=("rc-transconductor",), coupler={})
    for value, said in ((0.1, 0), (1e4, 1)):
        made = spu.compile_problem(spu.ConditionalGaussian(precision=A, held={"x1": value}), hardware)
        assert sum("and the readout clips at" in warning for warning in made.warnings) == said


def test_the_command_line(tmp_path):
    np.savetxt(tmp_path / "A.csv", A, delimiter=",")
    folder, held = str(tmp_path / "free"), str(tmp_path / "held")

    def run(*words):
        done = CliRunner().invoke(cli, [str(word) for word in words])
        return done.exit_code, done.output

    assert run("compile", tmp_path / "A.csv", "--architecture", "rc-resistive", "-o", folder)[0] == 0
    code, said = run("compile", tmp_path / "A.csv", "--clamp", "x1=0.5", "-o", held, "--explain")
    assert code == 0 and "held" in said and "6. clamp: x1 = 0.5" in said
    m, S = law(A, np.zeros(3), {"x1": 0.5})
    for words in (("predict", held), ("predict", folder, "--clamp", "x1=0.5")):
        code, said = run(*words, "--json")
        found = json.loads(said)
        assert code == 0 and found["mean"] == pytest.approx(m) and np.array(found["covariance"]) == pytest.approx(S)
    code, said = run("simulate", folder, "--clamp", "x1=0.5", "--clamp", "x3=1", "--samples", 200, "--json")
    assert code == 0 and json.loads(said)["mean"][2] == pytest.approx(1.0)
    code, said = run("check", folder, "--clamp", "x1=0.5", "--level", "ideal", "--level", "op", "--json")
    assert code == 0 and json.loads(said)["verdict"] == "pass"
    code, said = run("inspect", held)
    assert code == 0 and "held x1 = 0.5" in said
    for words, hint in (("x1", "such as x1=0.5"), ("x1=nan", "finite"), ("x7=1", "no variable 'x7'")):
        code, said = run("predict", folder, "--clamp", words)
        assert code == 2 and hint in said and len(said.strip().splitlines()) == 1
    code, said = run("predict", folder, "--clamp", "x1=1", "--clamp", "x1=2")
    assert code == 2 and "twice" in said


def test_the_page(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "howto" / "conditional.md").read_text()
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "conditional.md", "exec"), namespace)
    assert namespace["stats"].mean == pytest.approx([0.2, 0.8, 0.1])
    assert spu.predict(spu.compile(namespace["rod"])).mean == pytest.approx([100, 220 / 3, 140 / 3, 20], abs=0.1)
    monkeypatch.chdir(ROOT)
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            done = CliRunner().invoke(cli, shlex.split(line.replace("/tmp/", f"{tmp_path}/"))[1:])
            assert done.exit_code == 0, (line, done.output)
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "p.toml").write_text(block)
    np.savetxt(tmp_path / "precision.csv", np.eye(4), delimiter=",")
    assert spu.load_problem(tmp_path / "p.toml")[0].held == {"x1": 0.5, "x4": -1.0}
