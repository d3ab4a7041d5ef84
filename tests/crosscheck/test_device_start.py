"""A start kept with the device: its file and hash, the netlist that says it, and the replay from there."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.folder import read_folder, write_folder
from spu.spice.dialects import DIALECTS

A = [[2.0, -0.5], [-0.5, 1.0]]


@pytest.fixture
def ringing():
    device = spu.compile(A)  # RLC cells that couple by capacitors
    device.set_start([3.0, -1.0])
    return device


def test_a_start_is_in_file_hash_and_copies(ringing, tmp_path):
    plain = spu.compile(A)
    assert ringing.hash != plain.hash and plain.start is None
    ringing.write(tmp_path / "device.json")
    again = spu.Device.read(tmp_path / "device.json")
    assert np.array_equal(again.start, ringing.start) and again.hash == ringing.hash
    assert spu.Device.from_dict(ringing.to_dict()).hash == ringing.hash
    assert np.allclose(ringing.readout.matrix @ ringing.start, [3.0, -1.0])
    ringing.set_start(None)
    assert ringing.hash == plain.hash
    # What is stationary does not hang on it.
    assert np.array_equal(spu.predict(again).covariance, spu.predict(plain).covariance)


def test_runs_begin_there_unless_told_otherwise(ringing):
    times = [0.0, 1e-6]
    run = spu.simulate(ringing, times=times, trajectories=50, seed=1)
    assert np.array_equal(
        run.readouts, spu.simulate(ringing, start=[3.0, -1.0], times=times, trajectories=50, seed=1).readouts
    )
    assert not spu.relaxation(ringing, start="rest", times=times).mean[0].any()


def test_every_dialect_says_it(ringing):
    volts = ringing.start.tolist()
    for name in DIALECTS:
        text = spu.netlist(ringing, dialect=name)
        said = re.findall(r"^(?:\.ic v\((\w+)\)|ic (\w+))=(\S+)", text, re.M | re.I)
        if name == "vacask":  # a list of the transient's
            said = [(node, "", volts) for node, volts in re.findall(r'"(\w+)", ([-\d.e]+)', text.partition(" ic={")[2])]
        assert [float(each[2]) for each in said] == volts, name
        assert [(each[0] or each[1]).lower() for each in said] == ["cell_x1", "cell_x2"]
        assert "uic" in text.lower() or "skipdc=yes" in text
    assert ".ic" not in spu.netlist(spu.compile(A))


@pytest.mark.parametrize("kind", ["ringing", "bias", "pairs"])
def test_the_replay_begins_there(kind, ringing):
    if kind == "bias":
        device = spu.compile(spu.LinearSystem(A, [1.0, 2.0]))
        device.set_start([-4.0, 2.0])
    elif kind == "pairs":
        device = spu.compile([[2.0, 0.5, 0.5], [0.5, 2.0, 0.5], [0.5, 0.5, 2.0]], architecture="rlc-capacitive-dual")
        device.set_start([3.0, 0.0, 0.0])
    else:
        device = ringing
    level = spu.check(device, levels="replay").levels["replay"]
    assert level.verdict == "pass" and "from its start, without noise" in level.message
    errors = list(level.data["start"]["path_errors"].values())
    assert errors[-1] < 2e-3 and errors[-1] < errors[0] / 2


@pytest.mark.parametrize(
    ("what", "change"),
    [
        (
            "3 % more",
            lambda text: re.sub(r"(\.ic v\(cell_x1\)=)(\S+)", lambda m: m[1] + repr(1.03 * float(m[2])), text),
        ),
        ("another sign", lambda text: re.sub(r"(\.ic v\(cell_x2\)=)-", r"\1", text)),
        ("swapped", lambda text: re.sub(r"\.ic v\(cell_x(\d)\)", lambda m: f".ic v(cell_x{3 - int(m[1])})", text)),
        ("left out", lambda text: re.sub(r"^\.ic .*\n", "", text, flags=re.M)),
        (
            "a capacitance",
            lambda text: re.sub(r"^(xcell_x1 .*c=)(\S+)", lambda m: m[1] + repr(1.05 * float(m[2])), text, flags=re.M),
        ),
    ],
)
def test_another_start_in_the_netlist_is_seen(what, change, ringing, tmp_path):
    text = spu.netlist(ringing)
    changed = change(text)
    assert changed != text, what
    (tmp_path / "edited.cir").write_text(changed)
    level = spu.check(ringing, netlist=tmp_path / "edited.cir", levels="replay").levels["replay"]
    assert level.verdict == "fail", level.message


def test_other_levels_do_not_see_it(ringing):
    found = spu.check(ringing, levels=["ideal", "op", "ac", "noise"], budget=5)
    assert found.verdict == "pass" and not found.notes
    ringing.set_start(None)
    assert spu.check(ringing, levels="replay").levels["replay"].verdict == "pass"


def test_program_sets_it_in_a_folder(tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.GaussianSampling(precision=A)))
    run = CliRunner()
    done = run.invoke(cli, ["program", str(tmp_path / "out"), "--start", "3,-1", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["device_hash"] == read_folder(tmp_path / "out").device.hash
    assert ".ic v(cell_x1)=" in (tmp_path / "out" / "device.cir").read_text()
    done = run.invoke(cli, ["check", str(tmp_path / "out"), "--level", "replay", "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["levels"]["replay"]["verdict"] == "pass", found
    done = run.invoke(cli, ["simulate", str(tmp_path / "out"), "--times", "0,1e-6", "--trajectories", "20", "--json"])
    assert np.allclose(json.loads(done.stdout)["mean"][0], [3.0, -1.0])
    with np.load(tmp_path / "out" / "samples.npz") as held:
        assert held["readouts"].shape == (20, 2, 2)
    done = run.invoke(cli, ["predict", str(tmp_path / "out"), "--start", "rest", "--times", "0,1e-6", "--json"])
    assert json.loads(done.stdout)["relaxation"]["mean"][0] == [0.0, 0.0]
    assert run.invoke(cli, ["program", str(tmp_path / "out"), "--start", "none"]).exit_code == 0
    assert ".ic" not in (tmp_path / "out" / "device.cir").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["program", "DIR", "--start", "stationary"], "--start takes numbers, a file of them, rest or none here"),
        (["program", "DIR", "--start", "1,2,3"], "a start is finite numbers, one a variable (2)"),
        (["program", "DIR"], "exactly one of them"),
        (["predict", "DIR", "--start", "1"], "--start wants --times"),
        (["simulate", "DIR", "--start", "x", "--times", "1"], "--start takes numbers, a file of them"),
        (["simulate", "DIR", "--start", "rest"], "--start needs times"),
    ],
)
def test_wrong_use_is_one_line(options, message, tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.GaussianSampling(precision=A)))
    done = CliRunner().invoke(cli, [str(tmp_path / "out") if word == "DIR" else word for word in options])
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_netlist_that_was_read_begins_where_it_says(ringing, tmp_path):
    """Our own, and one that others drew: on node voltages, in SPICE's units; the check follows it, too."""
    (tmp_path / "own.cir").write_text(spu.netlist(ringing))
    read = spu.read_netlist(tmp_path / "own.cir")
    assert np.array_equal(read.circuit.start, ringing.start)
    times = [0.0, 1e-6, 1e-5]
    assert np.allclose(spu.relaxation(read, times=times).mean, spu.relaxation(ringing, times=times).mean, atol=1e-9)
    deck = "rc\nr1 out 0 1k\nc1 out 0 1n\n.ic v(out)=2m\n.end\n"
    (tmp_path / "rc.cir").write_text(deck)
    read = spu.read_netlist(tmp_path / "rc.cir", probes=["out"])
    found = spu.relaxation(read, times=[0.0, 1e-6])
    assert np.allclose(found.mean[:, 0], [2e-3, 2e-3 * np.exp(-1)], rtol=1e-9)
    level = spu.check(read, levels="replay").levels["replay"]
    assert level.verdict == "pass" and "from its start" in level.message


@pytest.mark.parametrize(
    "line",
    [
        ".ic v(out)={2*x}",
        ".ic v(in)=1",
        ".ic i(r1)=2",
        ".ic v(out)=1 v(out,in)=2",
        "c2 out 0 1n ic=1\n.ic v(out)=1",
        "",
    ],
)
def test_a_start_that_says_more_or_less_is_none(line, tmp_path):
    (tmp_path / "rc.cir").write_text(f"rc\n.param x=1\nr1 in out 1k\nv1 in 0 0\nc1 out 0 1n\n{line}\n.end\n")
    assert spu.read_netlist(tmp_path / "rc.cir", probes=["out"]).circuit.start is None


def test_what_is_no_start_is_refused(ringing):
    with pytest.raises(spu.InputError, match="a start is finite numbers"):
        ringing.set_start([1.0, np.inf])
    with pytest.raises(spu.InputError, match="a start is finite numbers"):
        ringing.set_start("rest")
    ringing.start = np.zeros(3)
    with pytest.raises(spu.InputError, match="the start of a device is 2 finite numbers"):
        spu.predict(ringing)
    with pytest.raises(spu.InputError, match='"start" must be a list of 2 numbers'):
        spu.Device.from_dict({**spu.compile(A).to_dict(), "start": [1.0]})
    ringing.set_start(1.0)
    ringing.ramp = spu.Ramp([0.0, 1e-6], couplers=[0.0, 1.0])
    with pytest.raises(spu.InputError, match="a ramp begins where the circuit rests"):
        spu.predict(ringing)
    ringing.set_start(None)
    with pytest.raises(spu.SpuError, match="start is of a device that stays as it is"):
        spu.simulate(ringing, start="rest", times=1e-6)
    neurons = spu.compile(spu.ThermodynamicNetwork(J4=1.0, units=2))
    neurons.set_start(0.1)
    with pytest.raises(spu.InputError, match="networks take it as an option"):
        spu.predict(neurons)
