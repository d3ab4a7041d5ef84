"""Waveforms as raw files: what was simulated, bit by bit, as spicelib and ngspice read it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from spicelib import RawRead

import spu
from spu.base.errors import OutputError, UsageError
from spu.cli import cli
from spu.device.subject import circuits
from spu.spice import rawfile
from spu.spice.names import probe_vectors

A = [[2.0, -0.5], [-0.5, 1.0]]
NETLISTS = Path(__file__).parents[1] / "decks"


def pair(**detail):
    device = spu.compile(A)
    device.detail = spu.Detail(**detail)
    return device


def wave(device, **options):
    return spu.simulate(device, samples=60, voltages=True, seed=1, **options)


def one_cell():
    device = spu.Device(detail=spu.Detail(transconductor={"linear_range": 1e-4}))
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20, active_conductance=4e-4)
    return device


def fluxes():
    problem = spu.ThermodynamicNetwork(J2=1.0, J4=1.0, units=2)
    return spu.compile_network(problem, architecture="rlc-flux").device


RUNS = {
    "linear": lambda: (found := pair(), wave(found)),
    "thinned": lambda: (found := pair(), wave(found, trace=7)),
    "dual rail": lambda: (found := spu.compile([[2.0, 0.5], [0.5, 1.0]], architecture="rc-resistive"), wave(found)),
    "clocked": lambda: (found := pair(noise={"clock": 2e-8}), wave(found)),
    "converted": lambda: (found := pair(readout={"bits": 6, "full_scale": 1e-3}), wave(found)),
    "ensemble": lambda: (found := spu.compile(A, "spu8-4bit", ensemble=2), wave(found)),
    "relaxation": lambda: (
        found := pair(),
        spu.simulate(found, start=[3.0, 0.0], times=np.linspace(0, 1e-6, 11), voltages=True),
    ),
    "neurons": lambda: (
        found := spu.compile(spu.ThermodynamicNetwork(J2=-1.0, J4=1.0, units=2)),
        spu.simulate(found, voltages=True),
    ),
    "fluxes": lambda: (found := fluxes(), spu.simulate(found, times=[0.0, 0.5, 1.0], voltages=True)),
    "saturating": lambda: (found := one_cell(), wave(found, step=1e-7)),
    "several": lambda: (found := pair(), wave(found, trajectories=3)),
}


@pytest.mark.parametrize("kind", RUNS)
def test_what_was_simulated_comes_back_bit_by_bit(kind, tmp_path):
    subject, run = RUNS[kind]()
    file = tmp_path / "waves.raw"
    names = spu.write_raw(file, subject, run)
    found = RawRead(file)
    circuit = circuits(subject)[0]
    assert names == ("time", *(f"v({name})" for name in probe_vectors(circuit)))
    assert found.get_plot_names() == ["Transient Analysis"] * len(run.voltages)
    times = run.times if isinstance(run, spu.Simulation) else run.device_times
    for plot, voltages in zip(found.plots, run.voltages, strict=True):
        assert tuple(plot.get_trace_names()) == names
        assert np.array_equal(plot.get_wave("time"), times)
        for k, name in enumerate(names[1:]):
            assert np.array_equal(plot.get_wave(name), voltages[:, k])


@pytest.mark.parametrize("kind", [kind for kind in RUNS if kind != "fluxes"])
def test_readouts_are_of_these_voltages(kind):
    subject, run = RUNS[kind]()
    members = circuits(subject)
    for k, member in enumerate(members):  # an ensemble's trajectories come one programming after another
        each = slice(k, None, len(members))
        again = run.voltages[each] @ member.readout.matrix.toarray().T + member.readout.offset
        assert np.allclose(again, run.readouts[each], rtol=1e-12, atol=1e-12)


def test_a_waveform_is_one_trajectory_whose_ringing_is_seen():
    run = spu.simulate(pair(), voltages=True, samples=500)
    assert run.trajectories == 1
    assert run.interval == pytest.approx(run.time_constants[0] / 128)
    assert spu.simulate(spu.compile(spu.ThermodynamicNetwork(J2=1.0, units=1)), voltages=True).voltages.shape[:2] == (
        1,
        1000,
    )


def test_ngspice_loads_it(tmp_path):
    """And makes nothing of it but what stands there: heads of raw files may hold commands, which it runs."""
    device = pair()
    run = wave(device, trajectories=2)
    spu.write_raw(tmp_path / "waves.raw", device, run)
    (tmp_path / "load.cir").write_text(
        "load\nv1 a 0 1\n.control\nload waves.raw\nsetplot tran2\nset numdgt=17\n"
        "print time[5] v(cell_x2)[5] > found.txt\n.endc\n.end\n"
    )
    done = subprocess.run(["ngspice", "-b", "load.cir"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "rror" not in done.stdout + done.stderr
    found = [float(line.split("=")[1]) for line in (tmp_path / "found.txt").read_text().splitlines()]
    assert found == [run.times[5], run.voltages[1, 5, 1]]


def test_names_of_an_imported_netlist(tmp_path):
    """As the netlist calls them; what is read between two nodes, or called as time is, has the name of its readout."""
    read = spu.read_netlist(NETLISTS / "rc_mesh.cir", densities={"i1": 1e-24}, probes=["a4", "B1", "time=a2,b3"])
    names = spu.write_raw(tmp_path / "m.raw", read, spu.simulate(read, voltages=True, samples=20))
    assert names == ("time", "v(a4)", "v(b1)", "time_")


def test_many_instants_are_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(rawfile, "_ROWS", 7)
    device = pair()
    run = wave(device)
    spu.write_raw(tmp_path / "waves.raw", device, run)
    assert np.array_equal(RawRead(tmp_path / "waves.raw").get_wave("v(cell_x1)"), run.voltages[0, :, 0])


def test_it_is_whole_or_not_there(tmp_path, monkeypatch):
    device = pair()
    run = wave(device)
    file = tmp_path / "waves.raw"
    spu.write_raw(file, device, run)
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rawfile, "_blocks", full)
    with pytest.raises(OutputError, match="No space left"):
        spu.write_raw(file, device, run)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_what_is_refused(tmp_path):
    device = pair()
    run = wave(device)
    theirs = tmp_path / "theirs.raw"
    theirs.write_bytes(b"Title: rc\nPlotname: Transient Analysis\n")
    with pytest.raises(OutputError, match="was not written by this command"):
        spu.write_raw(theirs, device, run)
    with pytest.raises(UsageError, match=r"written as \.raw"):
        spu.write_raw(tmp_path / "waves.csv", device, run)
    with pytest.raises(OutputError, match="there is no folder"):
        spu.write_raw(tmp_path / "no" / "waves.raw", device, run)
    with pytest.raises(UsageError, match="voltages=True"):
        spu.write_raw(tmp_path / "w.raw", device, spu.simulate(device, samples=10))
    with pytest.raises(UsageError, match="of 2 nodes, and what it is said to be of has 1"):
        spu.write_raw(tmp_path / "w.raw", spu.compile([[1.0]]), run)
    with pytest.raises(UsageError, match="voltages are waveforms"):
        spu.simulate(device, independent=True, voltages=True)
    with pytest.raises(UsageError, match="trace 0 keeps none"):
        spu.simulate(device, trace=0, voltages=True)
    assert list(tmp_path.iterdir()) == [theirs]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("waves")
    np.savetxt(where / "A.csv", A, delimiter=",")
    assert CliRunner().invoke(cli, ["compile", str(where / "A.csv"), "-o", str(where / "out")]).exit_code == 0
    return where / "out"


def test_from_the_command_line(folder, tmp_path):
    file = tmp_path / "waves.raw"
    command = ["simulate", str(folder), "--trace", str(file), "--trace", "2", "--samples", "50"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0 and f"waveforms: {file} (time, v(cell_x1), v(cell_x2))" in done.output
    first, kept = file.read_bytes(), np.load(folder / "samples.npz")
    assert len(RawRead(file).get_wave("time")) == 25 == kept["readouts"].shape[1]
    again = CliRunner().invoke(cli, [*command, "--no-output", "--json"])
    assert '"vectors": ["time", "v(cell_x1)", "v(cell_x2)"]' in again.stdout
    assert file.read_bytes() == first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trace", "waves.csv"], "a whole number, 0 or more, or a file .raw"),
        (["--trace", "-3"], "a whole number, 0 or more, or a file .raw"),
        (["--trace", "a.raw", "--trace", "b.raw"], "once each"),
        (["--trace", "a.raw", "--independent"], "--independent draws have none"),
        (["--trace", "a.raw", "--trace", "0"], "--trace 0 keeps no readouts"),
        (["--trace", "no/a.raw"], "there is no folder 'no'"),
    ],
)
def test_refused_on_the_command_line(words, said, folder, monkeypatch):
    monkeypatch.setattr("spu.emulator.simulate.simulate", None)
    done = CliRunner().invoke(cli, ["simulate", str(folder), *words])
    assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
