"""ngspice 45 in WebAssembly beside ngspice 39; what needs it is skipped, by name, where node or the package is not."""

import re
import sys

import numpy as np
import pytest

import spu
from spu.base.errors import DeckError, NotServed, SimulatorFailed, SimulatorMissing
from spu.crosscheck import check
from spu.spice.deck import read_deck
from spu.spice.simulators import find_simulator
from spu.spice.simulators.analyses import (
    Ac,
    AcTogether,
    DcSweep,
    Decades,
    DeclaredNoise,
    Noise,
    OperatingPoint,
    Transient,
    Waveforms,
)
from spu.spice.simulators.ngspice_wasm import read_raw
from tests.engines import needs_ngspice_wasm

WASM, NGSPICE = find_simulator("ngspice-wasm"), find_simulator("ngspice")

QUIET = """a filter, a nonlinear part, and a source of noise
vin in 0 dc 0.1
vn src 0 0
r1 in x 1k
c1 x 0 1u
xp x y part
rn src y 10k
.subckt part a b
r1 a b 2k
c1 b inside 3n
l1 inside 0 1m
bp b 0 i=1e-3*v(b)*v(b)*v(b)
.ends
.options reltol=1e-6 method=gear seed=1
.end
"""
DECK = QUIET.replace("vn src 0 0", "vn src 0 trrandom(2 1u 0 1m)")
SWEEP = Decades(10.0, 1e6, 7)
NODES = ("x", "y", "xp.inside")


@needs_ngspice_wasm
def test_both_versions_give_the_same_by_the_same_commands():
    analyses = [
        OperatingPoint(),
        DcSweep("vin", -1.0, 1.0, 11, ("y",)),
        Ac("vin", SWEEP, NODES),
        AcTogether(("vin", "vn"), (1.0, -0.5), SWEEP, NODES),
        Noise(("y",), "vin", SWEEP, contributions=True),
        Noise(("y", "x"), "vin", SWEEP),
        Ac("vn", SWEEP, NODES),
    ]
    old, new = (simulator.run(QUIET, analyses, time_limit=120) for simulator in (NGSPICE, WASM))
    for analysis, before, after in zip(analyses, old, new, strict=True):
        assert before.keys() == after.keys()
        for name, values in before.items():
            assert after[name].shape == values.shape and after[name].dtype == values.dtype
            np.testing.assert_allclose(after[name], values, rtol=1e-6, atol=1e-13, err_msg=f"{analysis.called}, {name}")


@needs_ngspice_wasm
def test_numbers_come_back_to_the_last_bit():
    value = float(np.nextafter(1 / 3, 1))
    (found,) = WASM.run(f"bits\nv1 a 0 {value!r}\nr1 a 0 1k\n.end\n", [OperatingPoint()], time_limit=60)
    assert found["a"].tolist() == [value]


@needs_ngspice_wasm
def test_a_transient_is_the_same_from_both():
    deck = QUIET.replace("vn src 0 0", "vn src 0 sin(0 1 2k)")
    run = Transient(1e-3, 1e-6, 1e-5, ("x", "y"))
    (old,), (new,) = (simulator.run(deck, [run], time_limit=120) for simulator in (NGSPICE, WASM))
    assert old["time"][-1] == pytest.approx(1e-3) and new["time"][-1] == pytest.approx(1e-3)
    np.testing.assert_allclose(np.interp(old["time"], new["time"], new["y"]), old["y"], atol=2e-5)


@needs_ngspice_wasm
def test_a_seed_repeats_its_noise_and_why_level_noise_is_skipped():
    run = Transient(2e-5, 1e-7, 1e-6, ("src",), seed=4)
    first, second, other = WASM.run(DECK, [run, run, Transient(2e-5, 1e-7, 1e-6, ("src",), seed=5)], time_limit=120)
    np.testing.assert_array_equal(first["src"], second["src"])
    assert not np.array_equal(first["src"], other["src"])
    # From the second on its samples come early, each by 5e-5 of the largest step.
    changes = first["time"][:-1][np.diff(first["src"]) != 0][:15]
    early = np.arange(15) * 1e-6 - changes
    np.testing.assert_allclose(early, 5e-12 * np.maximum(np.arange(15) - 1, 0), atol=5e-13)
    with pytest.raises(NotServed, match="random sources in transients: ngspice 45 draws each sample of trrandom early"):
        WASM.run(DECK, [DeclaredNoise(("vn",), ("trrandom",))], time_limit=60)


@needs_ngspice_wasm
def test_what_goes_wrong_is_said_by_its_name():
    with pytest.raises(DeckError, match=r"ngspice-wasm does not take the deck: .*unknown subckt"):
        WASM.run("bad\nr1 a 0 1\nx1 a 0 nosuch\n.end\n", [OperatingPoint()], time_limit=60)
    with pytest.raises(SimulatorFailed, match=r"ngspice-wasm's op gave nothing: .*singular"):
        WASM.run("bad\nv1 a 0 1\nv2 a 0 2\n.end\n", [OperatingPoint()], time_limit=60)
    with pytest.raises(SimulatorFailed, match=r"ngspice-wasm did not finish within 0.05 s and was stopped"):
        WASM.run(DECK, [OperatingPoint()], time_limit=0.05)  # node alone takes longer to begin


@needs_ngspice_wasm
def test_files_that_a_netlist_reads_are_put_beside_it(tmp_path):
    (tmp_path / "values.inc").write_text("r2 a 0 1k\n")
    deck = "includes\nv1 b 0 1\nr1 b a 3k\n.include values.inc\n.end\n"
    (found,) = WASM.run(deck, [OperatingPoint()], time_limit=60, folder=tmp_path)
    assert found["a"][0] == pytest.approx(0.25, rel=1e-12)


@needs_ngspice_wasm
def test_its_version_is_what_ngspice_itself_says():
    assert re.fullmatch(r"4[5-9]\S* \(eecircuit-engine [0-9.]+\)", WASM.version())


@needs_ngspice_wasm
@pytest.mark.parametrize("architecture", ["rc-resistive", "rlc-capacitive"])
def test_levels_pass_under_it_as_under_the_library(architecture):
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], architecture=architecture)
    found = check(device, simulator="ngspice-wasm")
    assert found.verdict == "pass" and found.simulator == "ngspice-wasm"
    verdicts = {name: level.verdict for name, level in found.levels.items()}
    assert verdicts["ac"] == verdicts["replay"] == "pass" and verdicts["noise"] == "skipped"
    assert found.levels["noise"].message.startswith("the simulator ngspice-wasm has no random sources in transients: ")
    assert "ngspice-wasm" in found.covariances and "ngspice" not in found.covariances


def test_without_node_or_the_package_its_levels_say_what_to_install(monkeypatch, tmp_path):
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    monkeypatch.setenv("SPU_EECIRCUIT", str(tmp_path))
    monkeypatch.setattr("spu.spice.simulators.ngspice_wasm.shutil.which", lambda name: f"/usr/bin/{name}")
    found = check(device, simulator="ngspice-wasm", levels=["ideal", "ac"])
    assert (found.levels["ideal"].verdict, found.verdict, found.exit_status) == ("pass", "error", 3)
    says = f"SPU_EECIRCUIT names {tmp_path}, which does not hold it"
    assert says in found.levels["ac"].message
    assert f"npm install --prefix {sys.prefix}/node eecircuit-engine" in found.levels["ac"].message
    monkeypatch.setattr("spu.spice.simulators.ngspice_wasm.shutil.which", lambda name: None)
    with pytest.raises(SimulatorMissing, match="needs node"):
        WASM.run(DECK, [OperatingPoint()], time_limit=60)
    assert not WASM.available() and "needs node" in WASM.version()


def test_raw_files_are_read_with_vectors_of_several_lengths():
    header = """Title: t
Date: now
Command: ngspice-45.2
Plotname: Transient Analysis
Flags: {flags}
No. Variables: 3
No. Points: 3
Variables:
\t0\ttime\ttime
\t1\tV(X1.n2)\tvoltage
\t2\ti(v1)\tcurrent dims=2
Binary:
"""
    values = np.arange(9.0).reshape(3, 3)
    found = read_raw(header.format(flags="real").encode() + values.tobytes())
    assert {name: vector.tolist() for name, vector in found.items()} == {
        "time": [0.0, 3.0, 6.0],
        "x1.n2": [1.0, 4.0, 7.0],
        "v1#branch": [2.0, 5.0],
    }
    found = read_raw(header.format(flags="complex").encode() + (values * 1j).tobytes())
    assert found["x1.n2"].tolist() == [1j, 4j, 7j]


@needs_ngspice_wasm
def test_long_waveforms_are_followed_exactly(tmp_path):
    (tmp_path / "device.cir").write_text("long\nvnoise_a n 0 0\nr1 n o 1k\nc1 o 0 1p\n.end\n")
    rng = np.random.default_rng(3)
    values = np.cumsum(rng.standard_normal((8001, 1)), axis=0)
    text = WASM.driven(read_deck(tmp_path / "device.cir"), Waveforms(("vnoise_a",), 1e-9, values), tmp_path)
    (found,) = WASM.run(text, [Transient(8e-6, 2e-9, 1e-9, ("n",))], time_limit=120)
    expected = np.interp(found["time"], np.arange(8001) * 1e-9, values[:, 0])
    np.testing.assert_allclose(found["n"], expected, atol=1e-9 * np.abs(values).max())
