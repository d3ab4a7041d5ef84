"""The check on correct devices, on devices and netlists with one thing changed, and on hostile netlists.

ngspice really runs. Each change is tried at the cheapest level that should see it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import unquantised

import spu
from spu.cli import cli
from spu.crosscheck.levels import replay
from spu.emulator.laws.timing import sweep_integral
from spu.folder import write_folder

WEAK = 1e-4
PRECISION = np.array([[2.0, -2 * WEAK, -0.6], [-2 * WEAK, 1.5, -0.4], [-0.6, -0.4, 1.8]])
"""An M-matrix (every architecture can hold it) with one weak link, x1-x2."""

COMPILED = {
    "rlc": lambda: spu.compile_problem(
        spu.GaussianSampling(precision=PRECISION), unquantised(spu.load_hardware("spu8"))
    ),
    "resistive": lambda: spu.compile_problem(spu.LinearSystem(PRECISION, [1.0, -2.0, 0.5])),
    "transconductor": lambda: spu.compile_problem(
        spu.GaussianSampling(precision=PRECISION, mean=[1.0, 0.3, -2.0]), architecture="rc-transconductor"
    ),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The compiled devices, each in its folder; not to be changed."""
    root = tmp_path_factory.mktemp("devices")
    for name, make in COMPILED.items():
        write_folder(root / name, make())
    return root


@pytest.fixture
def copy(folders, tmp_path):
    """``copy(name)``: a folder of one's own."""

    def make(name):
        return Path(shutil.copytree(folders / name, tmp_path / name))

    return make


def loops():
    """Scattered values, inductive couplers: a loop of inductors keeps its flux."""
    device = spu.Device(temperature=300.0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1.3e-5, noise=4e-20)
    device.add_cell("b", capacitance=2e-9, conductance=4e-4, inductance=0.7e-5, noise=1e-20)
    device.add_cell("c", capacitance=0.6e-9, conductance=2e-3, noise=8e-20)
    device.add_coupler("a", "b", inductance=2e-5, conductance=1e-4)
    device.add_coupler("b", "c", inductance=1e-5, capacitance=1e-10)
    return device


def behind_capacitors():
    """Node ``mid`` hangs on capacitors only, which keep its charge."""
    device = spu.Device(temperature=300.0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_cell("mid", capacitance=2e-10)
    device.add_cell("c", capacitance=3e-9, conductance=2e-3, inductance=1e-5, noise=8e-20)
    device.add_coupler("a", "mid", capacitance=3e-10)
    device.add_coupler("mid", "c", capacitance=5e-10)
    return device


def algebraic():
    """Node ``mid`` has no capacitance (and, at 0 K, no noise of its own); the couplers differ in kind and direction."""
    device = spu.Device(temperature=0.0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20, bias=1e-7)
    device.add_cell("mid", conductance=3e-4)
    device.add_cell("c", capacitance=3e-9, conductance=2e-3, noise=8e-20, bias=-3e-8)
    device.add_coupler("a", "mid", conductance=1e-3)
    device.add_coupler("mid", "c", conductance=5e-4)
    device.add_coupler("a", "c", transconductance=(2e-4, -1e-4))
    return device


# --- correct devices -----------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_device_passes_every_level(folders, name):
    found = spu.check(folders / name)
    said = {level.name: (level.verdict, level.message) for level in found.levels.values()}
    assert (found.verdict, found.exit_status, found.notes) == ("pass", 0, ()), said
    assert list(found.levels) == list(spu.crosscheck.LEVELS)
    assert said["op"][0] == ("skipped" if name == "rlc" else "pass")
    for name in ("emulator", "ngspice"):
        assert np.linalg.norm(found.covariances[name] - found.covariances["ideal"]) < 1e-5 * np.linalg.norm(
            found.covariances["ideal"]
        )
    errors = list(found.levels["replay"].data["path_errors"].values())
    assert errors[1] < errors[0] / 1.5 or errors[1] < replay.FLOOR


@pytest.mark.parametrize("make", [loops, behind_capacitors, algebraic])
def test_a_device_built_by_hand_passes(make):
    found = spu.check(make())
    said = {level.name: (level.verdict, level.message) for level in found.levels.values()}
    assert (found.verdict, found.exit_status) == ("pass", 0), said
    assert said["op"][0] == ("pass" if make is algebraic else "skipped")
    assert all(said[name][0] == "pass" for name in ("ac", "replay", "noise")), said


def test_the_command_line_says_the_same(folders):
    result = CliRunner().invoke(cli, ["check", str(folders / "rlc"), "--level", "ac", "--level", "ideal", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verdict"] == "pass"
    assert {name: level["verdict"] for name, level in found["levels"].items()} == {"ideal": "pass", "ac": "pass"}


# --- one thing changed in the netlist ------------------------------------------------------

# (reason, device, level that should see it, pattern, replacement, pattern that the message holds)
# A replacement is applied once, to the first match.
NETLISTS = [
    # Values on instance lines.
    ("a cell's capacitance", "rlc", "ac", r"(xcell_x2 .* c=)(\S+)", r"\1{1.03*\2}", "x2"),
    ("a cell's resistance", "rlc", "ac", r"(xcell_x2 .* r=)(\S+)", r"\1{1.03*\2}", "x2"),
    ("an inductance", "rlc", "ac", r"(xcell_x2 .* l=)(\S+)", r"\1{1.03*\2}", "x2"),
    ("an injected density", "rlc", "ac", r"(xcell_x2 .* sn=)(\S+)", r"\1{1.03*\2}", "n_x2"),
    ("a coupler", "rlc", "ac", r"(xcoupler_c_x1_x3 .* c=)(\S+)", r"\1{1.03*\2}", "x[13]"),
    ("the weakest coupler", "rlc", "ac", r"(xcoupler_c_x1_x2 .* c=)(\S+)", r"\1{1.03*\2}", "x[12]"),
    ("a resistor", "resistive", "op", r"(xcoupler_r_x1_x3 .* r=)(\S+)", r"\1{1.03*\2}", "x[13]"),
    ("the weakest resistor", "resistive", "op", r"(xcoupler_r_x1_x2 .* r=)(\S+)", r"\1{1.03*\2}", "x[12]"),
    ("a bias", "resistive", "op", r"(xcell_x3 .* ib=)(\S+)", r"\1{1.03*\2}", "x3"),
    ("a bias turned round", "resistive", "op", r"(xcell_x3 .* ib=)(\S+)", r"\1{-\2}", "x3"),
    ("one direction", "transconductor", "ac", r"(xcoupler_g_x1_x3 .* gab=)(\S+)", r"\1{1.03*\2}", "x[13]"),
    ("other direction", "transconductor", "op", r"(xcoupler_g_x1_x3 .* gba=)(\S+)", r"\1{1.03*\2}", "x[13]"),
    ("a sign", "transconductor", "op", r"(xcoupler_g_x1_x3 .* gab=)(\S+)", r"\1{-\2}", "x[13]"),
    ("a value left out", "transconductor", "ac", r"(xcoupler_g_x1_x3 .*) gba=\S+", r"\1", "x[13]"),
    # Wiring.
    ("couplers swapped", "rlc", "ac", r"(cell_x1 cell_x2)( .*\n.*)(cell_x1 cell_x3)", r"\3\2\1", "x[123]"),
    ("a coupler moved", "rlc", "ac", r"(xcoupler_c_x1_x3 )cell_x1", r"\1cell_x2", "x[123]"),
    ("noise ports swapped", "rlc", "ac", r"t_x1 n_x1 cell", "n_x1 t_x1 cell", "[tn]_x1"),
    ("one source for two cells", "resistive", "ac", r"(xcell_x2 cell_x2) n_x2", r"\1 n_x1", "n_x[12]"),
    ("a grounded cell", "resistive", "ac", r"(xcell_x2) cell_x2", r"\1 0", "x2"),
    ("a node renamed", "resistive", "ac", r"(xcell_x2) cell_x2", r"\1 cell_y2", "x2"),
    ("a node renamed everywhere", "resistive", "ac", r"(?s)(.*)", lambda m: m[1].replace("cell_x2", "cell_y2"), "x2"),
    # Missing and superfluous elements.
    ("no coupler", "rlc", "ac", r"xcoupler_c_x1_x3.*\n", "", "x[13]"),
    ("no weak coupler", "rlc", "ac", r"xcoupler_c_x1_x2.*\n", "", "x[12]"),
    ("no cell", "rlc", "ac", r"xcell_x2.*\n", "", "x2"),
    ("a cell doubled", "rlc", "ac", r"xcell_x2(.*\n)", r"xcell_x2\1xcell_bis\1", "x2"),
    ("two cells in one", "resistive", "ac", r"(xcell_x2 .*)", r"\1 m=1.03", "x2"),
    ("no inductor", "rlc", "ac", r"  l1 a 0 .*\n", "", ""),
    ("no injected noise", "resistive", "ac", r"  gn .*\n", "", ""),
    ("no noise source", "rlc", "ac", r"vn_x2 .*\n", "", "n_x2"),
    ("a source doubled", "rlc", "ac", r"(vn_x2 .*\n)", r"\1\1", "vn_x2"),
    ("a source cut short", "rlc", "replay", r"(vn_x2 \S+) .*", r"\1", "n_x2"),
    ("a source cut shorter", "rlc", "noise", r"vn_x2 .*", "vn_x2", "n_x2"),
    ("no thermal source", "rlc", "ac", r"vt_x2 .*\n", "", "t_x2"),
    ("no noise resistor", "resistive", "ac", r"rn_x2 .*\n", "", "n_x2"),
    ("a stray capacitor", "rlc", "ac", r"\.control", "cstray cell_x2 0 1e-12\n.control", "x2"),
    ("a stray resistor", "resistive", "op", r"\.control", "rstray cell_x2 0 1e6 noisy=0\n.control", "x2"),
    ("a stray bias", "resistive", "op", r"\.control", "istray 0 cell_x2 1e-9\n.control", "x2"),
    ("a stray hum", "rlc", "noise", r"\.control", "istray 0 cell_x2 sin(0 1e-8 1e6)\n.control", "x2"),
    (
        "noise heard off the peak only",
        *("resistive", "ac", r"\.control"),
        "rq q1 0 1k\ncq1 q1 q2 1e-10\nrq2 q2 0 1k noisy=0\neq2 q3 0 q2 0 1\ncq3 q3 q4 1e-10\nrq4 q4 0 1k noisy=0\n"
        "gq 0 cell_x1 q4 0 0.2\n.control",  # 1 % to 12 % of the variance, none of it at low frequencies
        "",
    ),
    ("mutual inductance", "rlc", "ac", r"\.control", "kstray l.xcell_x1.l1 l.xcell_x2.l1 0.03\n.control", "x[12]"),
    ("a cubic current", "transconductor", "op", r"\.control", "bs 0 cell_x3 i=-10*v(cell_x3)^3\n.control", "x3"),
    # Inside subcircuits.
    ("every capacitor", "resistive", "ac", r"c1 a 0 \{", r"c1 a 0 {1.03*", ""),
    ("every inductor", "rlc", "ac", r"l1 a 0 \{", r"l1 a 0 {1.03*", ""),
    ("every thermal noise", "rlc", "ac", r"\{sqrt\(kt4/r\)", r"{1.03*sqrt(kt4/r)", "t_x"),
    ("noise inside out", "rlc", "ac", r"gn 0 a n 0", "gn a 0 n 0", "n_x"),
    ("a bias drawn", "resistive", "op", r"ib 0 a dc", "ib a 0 dc", "x"),
    ("noise of a cold resistor", "resistive", "ac", r" noisy=0", "", ""),
    ("a hot resistor silenced", "rlc", "ac", r"(  r1 a 0 \{r\})", r"\1 noisy=0", "t_x"),
    # Noise sources: what .noise hears.
    ("one source's density", "rlc", "ac", r"(rn_x2 s_n_x2 n_x2) \{rn\}", r"\1 {rn*1.03}", "n_x2"),
    ("a source silenced", "rlc", "ac", r"(rn_x2 s_n_x2 n_x2 \{rn\})", r"\1 noisy=0", "n_x2"),
    ("a loaded source", "rlc", "ac", r"\.control", "cstray n_x2 0 1e-9\n.control", "n_x2"),
    ("hotter", "rlc", "ac", r"temp=27\S*", "temp=30", ""),
    # Noise sources: what .tran hears.
    ("one rms", "rlc", "noise", r"(vn_x2 .*) \{vn\}", r"\1 {vn*1.03}", "n_x2"),
    ("one sample time", "rlc", "noise", r"(vn_x2 .*)\{ts\}", r"\1{ts*1.03}", "n_x2"),
    ("coarse samples", "rlc", "noise", r"(vn_x2 .*)\{ts\} 0 \{vn\}", r"\1{2*ts} 0 {vn/sqrt(2)}", "n_x2"),
    ("uniform, not normal", "rlc", "noise", r"(vn_x2 .*)trrandom\(2", r"\1trrandom(1", "n_x2"),
    ("an offset", "rlc", "noise", r"(vn_x2 .*\{vn\}) 0\)", r"\1 {vn*0.1})", "n_x2"),
    ("a delay", "rlc", "noise", r"(vn_x2 .*\{ts\}) 0", r"\1 {ts/3}", "n_x2"),
    ("a tone instead", "rlc", "noise", r"(vn_x2 .*)trrandom\(.*\)", r"\1sin(0 {1.4*vn} {0.01/ts})", "n_x2"),
    ("silence instead", "rlc", "noise", r"(vn_x2 .*)trrandom\(.*\)", r"\1", "n_x2"),
    # Parameters.
    ("density of all", "resistive", "ac", r"(\.param rn=)(.*)", r"\1{1.03*\2}", "n_x"),
    ("rms of all", "resistive", "noise", r"(\.param vn=)\{(.*)\}", r"\1{1.03*\2}", "n_x"),
    ("scale of all", "resistive", "ac", r"(\.param en=)(.*)", r"\1{1.03*\2}", ""),
    ("a function shadowed", "resistive", "ac", r"(\.options)", ".func sqrt(x) {1.03*(x)**0.5}\n\\1", ""),
]


@pytest.mark.parametrize("case", NETLISTS, ids=[f"{case[1]}-{case[0]}" for case in NETLISTS])
@pytest.mark.sampled(3)
def test_one_thing_changed_in_the_netlist_is_seen(copy, case):
    _, name, level, pattern, replacement, place = case
    folder = copy(name)
    deck = (folder / "device.cir").read_text()
    changed, count = re.subn(pattern, replacement, deck, count=1)
    assert count == 1 and changed != deck, "the pattern of this case no longer fits the netlist"
    (folder / "device.cir").write_text(changed)
    found = spu.check(folder, levels=[level])
    said = found.levels[level]
    assert said.verdict in ("fail", "error") and found.exit_status in (1, 2), said.message
    assert re.search(place, said.message), said.message
    assert "\n" not in said.message


# Changes that are none: the check must not cry wolf.
SAME = [
    ("other comments", r"\* Run it:.*", "* hello"),
    ("capitals", r"xcell_x1 cell_x1 t_x1", "XCELL_X1 CELL_X1 T_X1"),
    ("a coupler's ends", r"(xcoupler_c_x1_x3) (\S+) (\S+)", r"\1 \3 \2"),
    ("a line broken", r"(xcell_x1 .*) l=", "\\1\n* a word in between\n+ l="),
    ("no control block", r"(?s)\.control.*\.endc\n", ""),
    ("an isolated resistor", r"\.control", "rstray elsewhere 0 1k\n.control"),
]


@pytest.mark.parametrize("case", SAME, ids=[case[0] for case in SAME])
def test_what_changes_nothing_passes(copy, case):
    _, pattern, replacement = case
    folder = copy("rlc")
    deck = (folder / "device.cir").read_text()
    changed, count = re.subn(pattern, replacement, deck, count=1)
    assert count == 1 and changed != deck
    (folder / "device.cir").write_text(changed)
    found = spu.check(folder, levels=["ac"])
    assert found.exit_status == 0, found.levels["ac"].message


def test_line_endings_of_other_systems(copy):
    folder = copy("rlc")
    deck = (folder / "device.cir").read_bytes()
    (folder / "device.cir").write_bytes(deck.replace(b"\n", b"\r\n"))
    assert spu.check(folder, levels=["ac"]).exit_status == 0


# --- one thing changed in the device file --------------------------------------------------


def _scale(row, key, factor=1.03):
    row[key] = [factor * value for value in row[key]] if isinstance(row[key], list) else factor * row[key]


def _swap(rows, key):
    rows[0][key], rows[1][key] = rows[1][key], rows[0][key]


# (reason, device, change, exit status at level ideal alone)
DEVICES = [
    *(
        (f"a cell's {key}", "rlc", lambda d, key=key: _scale(d["cells"][1], key), 1)
        for key in ("capacitance", "conductance", "inductance", "noise")
    ),
    *((f"no {key}", "rlc", lambda d, key=key: d["cells"][1].pop(key), (1, 2)) for key in ("capacitance", "noise")),
    ("no inductance", "rlc", lambda d: d["cells"][1].pop("inductance"), (1, 2)),
    ("a bias", "resistive", lambda d: _scale(d["cells"][1], "bias"), 1),
    ("biases swapped", "resistive", lambda d: _swap(d["cells"], "bias"), 1),
    ("a coupler", "rlc", lambda d: _scale(d["couplers"][1], "capacitance"), 1),
    ("a weak coupler", "rlc", lambda d: _scale(d["couplers"][0], "capacitance"), 1),
    ("couplers swapped", "rlc", lambda d: _swap(d["couplers"], "capacitance"), 1),
    ("no coupler", "rlc", lambda d: d["couplers"].pop(1), 1),
    ("a coupler moved", "resistive", lambda d: d["couplers"].pop(0) and d["couplers"][0].update(b="x2"), (1, 2)),
    ("a resistor", "resistive", lambda d: _scale(d["couplers"][1], "conductance"), 1),
    ("a transconductor", "transconductor", lambda d: _scale(d["couplers"][1], "transconductance"), 1),
    (
        "one direction",
        "transconductor",
        lambda d: (
            d["couplers"][1].update(transconductance=[d["couplers"][1]["transconductance"]] * 2)
            or _scale_first(d["couplers"][1])
        ),
        1,
    ),
    ("the temperature", "rlc", lambda d: _scale(d, "temperature"), 1),
    ("a gain", "rlc", lambda d: d["readout"]["gain"].__setitem__(0, 1.03 * d["readout"]["gain"][0]), 1),
    ("a polarity", "rlc", lambda d: d["readout"]["gain"].__setitem__(0, -d["readout"]["gain"][0]), 1),
    ("an offset", "rlc", lambda d: d["readout"]["offset"].__setitem__(0, 0.03), 1),
    ("no readout", "rlc", lambda d: d.pop("readout"), 1),
    ("variables swapped", "rlc", lambda d: d["readout"]["variables"].reverse(), 2),
    ("no cell", "rlc", lambda d: d["cells"].pop(0), 2),
    ("a cell renamed", "rlc", lambda d: d["cells"][0].update(name="zz"), 2),
    ("cells in another order", "rlc", lambda d: d["cells"].reverse(), 1),
]


def _scale_first(coupler):
    coupler["transconductance"][0] *= 1.03


@pytest.mark.parametrize("case", DEVICES, ids=[f"{case[1]}-{case[0]}" for case in DEVICES])
def test_one_thing_changed_in_the_device_file_is_seen(copy, case):
    _, name, change, status = case
    folder = copy(name)
    file = folder / "device.json"
    data = json.loads(file.read_text())
    before = json.dumps(data)
    change(data)
    assert json.dumps(data) != before
    file.write_text(json.dumps(data))
    result = CliRunner().invoke(cli, ["check", str(folder), "--level", "ideal"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    allowed = status if isinstance(status, tuple) else (status,)
    assert result.exit_code in allowed, result.output


def test_a_changed_device_no_longer_fits_its_netlist(copy):
    folder = copy("rlc")
    data = json.loads((folder / "device.json").read_text())
    _scale(data["cells"][1], "inductance")
    (folder / "device.json").write_text(json.dumps(data))
    (folder / "problem.json").unlink()  # nothing stored to compare with: only the netlist can tell
    found = spu.check(folder, levels=["ac"])
    assert found.exit_status == 1 and "x2" in found.levels["ac"].message
    assert any("another device" in note for note in found.notes)


def test_the_sweep_integral_of_a_lorentzian():
    frequencies = np.geomspace(1e3 / 300, 1e3 * 300, 12 * 5)
    values = 1 / (1 + (frequencies / 1e3) ** 2)
    assert sweep_integral(frequencies, values) == pytest.approx(np.pi / 2 * 1e3, rel=1e-5)


# --- ngspice missing, hanging, misled ------------------------------------------------------


def test_without_ngspice(folders, monkeypatch):
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nonexistent/libngspice.so.0")
    result = CliRunner().invoke(cli, ["check", str(folders / "rlc")])
    assert result.exit_code == 3
    assert "libngspice0" in result.output and "ngspice" in result.output
    found = spu.check(folders / "rlc")
    assert found.levels["ideal"].verdict == "pass"
    assert {level.verdict for name, level in found.levels.items() if name in ("ac", "replay", "noise")} == {"error"}
    assert CliRunner().invoke(cli, ["check", str(folders / "rlc"), "--level", "ideal"]).exit_code == 0


def test_a_broken_library_counts_as_missing(folders, tmp_path, monkeypatch):
    broken = tmp_path / "libngspice.so.0"
    broken.write_bytes(b"this is no library")
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", str(broken))
    found = spu.check(folders / "rlc", levels=["ac"])
    assert found.exit_status == 3 and "libngspice0" in found.levels["ac"].message


def _children(pid):
    """Child processes, by number."""
    children = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        children |= set((task / "children").read_text().split())
    return children


def _running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


ENDLESS = "vfast fast 0 pulse(0 1 0 1e-15 1e-15 1e-15 4e-15)\nrfast fast 0 1k noisy=0\n.control"
"""Four time points every 4 fs: no transient ends."""


def test_a_run_without_end_is_stopped_and_leaves_nothing_behind(copy):
    folder = copy("resistive")
    deck = (folder / "device.cir").read_text()
    (folder / "device.cir").write_text(deck.replace(".control", ENDLESS, 1))
    before = _children(os.getpid())
    started = time.perf_counter()
    found = spu.check(folder, levels=["noise"], time_limit=4.0)
    assert time.perf_counter() - started < 20
    assert found.exit_status == 2 and "4 s" in found.levels["noise"].message
    assert _children(os.getpid()) <= before


SHELL = "shell touch {marker}"
HOSTILE = {
    "a control block": (".control", ".control\n" + SHELL),
    "a second control block": (".control", ".control\n" + SHELL + "\n.endc\n.control"),
    "almost a control block": (".control", ".controls\n" + SHELL + "\n.endc\n.control"),
    "a control block, punctuated": (".control", ".control;\n" + SHELL + "\n.endc\n.control"),
    "a command in a comment": (".control", "*# " + SHELL + "\n.control"),
    "a script": ("SPU:", "*ng_script\n" + SHELL + "\nSPU:"),
    "a command as title": ("SPU:", "*# " + SHELL + "\n* SPU:"),
    "a node that is a command": ("s_n_x1", "s`echo>{marker}`"),
    "a node that is a redirection": ("s_n_x1", "s_n_x1>{marker}"),
    "two lines to other eyes": (".control", "* word\u2028.control\n" + SHELL + "\n.endc\n.control"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_netlist_runs_no_commands(copy, tmp_path, name):
    marker = tmp_path / "marker"
    folder = copy("resistive")
    old, new = HOSTILE[name]
    deck = (folder / "device.cir").read_text()
    everywhere = -1 if old == "s_n_x1" else 1
    changed = deck.replace(old, new.format(marker=marker), everywhere)
    assert changed != deck
    (folder / "device.cir").write_text(changed)
    spu.check(folder, levels=["ac", "noise"], time_limit=30.0)
    assert not list(tmp_path.glob("marker*"))  # a redirection takes the bracket behind it along


@pytest.mark.parametrize("word", [".include", ".INC", ".lib", ".includes", ".incl", ".library"])
def test_a_netlist_reads_no_other_file(copy, tmp_path, word):
    other = tmp_path / "other.cir"
    other.write_text("rstray cell_x1 0 1k\n")
    folder = copy("resistive")
    deck = (folder / "device.cir").read_text()
    (folder / "device.cir").write_text(deck.replace(".control", f'{word} "{other}"\n.control', 1))
    found = spu.check(folder, levels=["op"])
    assert found.exit_status == 2
    assert word.lower() in found.levels["op"].message
    line = deck[: deck.index(".control")].count("\n") + 1
    assert f"device.cir:{line}:" in found.levels["op"].message


BROKEN = {
    "empty": b"",
    "blank": b"\n \n\n",
    "binary": bytes(range(256)) * 8,
    "a title only": b"title\n",
    "control without end": b"title\nr1 a 0 1\n.control\nrun\n",
    "another circuit": b"title\nr1 a 0 1k\nv1 a 0 1\n.end\n",
    "a continued nothing": b"title\n+ r1 a 0 1k\n.end\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_netlist_is_an_error_in_a_line(copy, name):
    folder = copy("rlc")
    (folder / "device.cir").write_bytes(BROKEN[name])
    result = CliRunner().invoke(cli, ["check", str(folder), "--level", "ac", "--level", "ideal"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2), result.output
    found = spu.check(folder, levels=["ac", "ideal"])
    assert found.levels["ideal"].verdict == "pass"
    assert found.levels["ac"].message and "\n" not in found.levels["ac"].message


def test_recursion_is_an_error(copy):
    folder = copy("resistive")
    deck = (folder / "device.cir").read_text()
    again = ".subckt again a\nxagain a again\n.ends\nxagain cell_x1 again\n.control"
    (folder / "device.cir").write_text(deck.replace(".control", again, 1))
    found = spu.check(folder, levels=["op"], time_limit=30.0)
    assert found.exit_status == 2


def test_no_netlist(copy):
    folder = copy("rlc")
    (folder / "device.cir").unlink()
    found = spu.check(folder, levels=["ideal", "ac"])
    assert found.levels["ideal"].verdict == "pass"
    assert found.exit_status == 2 and "device.cir" in found.levels["ac"].message


def test_a_killed_check_leaves_no_ngspice_behind(copy):
    folder = copy("resistive")
    deck = (folder / "device.cir").read_text()
    (folder / "device.cir").write_text(deck.replace(".control", ENDLESS, 1))
    command = [sys.executable, "-c", "import spu.cli; spu.cli.main()", "check", str(folder), "--level", "replay"]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = set()
    deadline = time.monotonic() + 60
    while not children and parent.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
        children = _children(parent.pid)
    parent.kill()
    parent.wait()
    assert children, "ngspice was never started"
    try:
        deadline = time.monotonic() + 10
        while any(_running(child) for child in children):
            assert time.monotonic() < deadline, "ngspice goes on without its parent"
            time.sleep(0.1)
    finally:
        for child in children:
            if _running(child):
                os.kill(int(child), signal.SIGKILL)


# --- the netlist by itself -----------------------------------------------------------------


@pytest.mark.parametrize("name", COMPILED)
def test_the_netlist_runs_by_itself(folders, tmp_path, name):
    deck = Path(shutil.copy(folders / name / "device.cir", tmp_path))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        ["ngspice", "-b", deck.name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    noise = re.findall(r"^RESULT noise (\w+): found (\S+) expected (\S+)$", done.stdout, re.MULTILINE)
    tran = re.findall(
        r"^RESULT tran (\w+): found (\S+) expected (\S+) mean (\S+) expected (\S+)$", done.stdout, re.MULTILINE
    )
    assert [row[0] for row in noise] == [row[0] for row in tran] == ["x1", "x2", "x3"]
    for _, found, expected in noise:
        assert float(found) == pytest.approx(float(expected), rel=0.01)
    for _, found, expected, mean, centre in tran:
        assert 0.3 < float(found) / float(expected) < 3
        assert abs(float(mean) - float(centre)) < 2 * np.sqrt(float(expected))
    assert {path.name for path in tmp_path.iterdir()} == {"device.cir"}


@pytest.mark.parametrize("architecture", ["rlc-capacitive", pytest.param("rc-resistive", marks=pytest.mark.long)])
def test_disconnected_and_badly_conditioned_blocks_pass_at_every_level(architecture):
    # Transfer functions between blocks are zero, up to rounding; within a block two voltages nearly coincide, and
    # their difference is as small as ngspice's own error.
    block = np.array([[1.0 + 1e-5, -1.0, 0.0], [-1.0, 2.0 + 1e-5, -1.0], [0.0, -1.0, 1.0 + 1e-5]])
    matrix = np.zeros((5, 5))
    matrix[:3, :3] = block
    matrix[3:, 3:] = [[200.0, -30.0], [-30.0, 100.0]]
    device = spu.compile(spu.GaussianSampling(precision=matrix), architecture=architecture)
    found = spu.check(device)
    assert found.verdict == "pass", {name: level.message for name, level in found.levels.items()}
