"""Which single change explains a mismatch: on netlists run by ngspice, and on circuits changed exactly."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import random_device, unquantised

import spu
from spu.circuit import variations as mutations
from spu.circuit.elements import Capacitor
from spu.cli import cli
from spu.crosscheck.context import Context
from spu.crosscheck.diagnosis import diagnose
from spu.crosscheck.diagnosis.perturbation import compact, scene, system
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import solve
from spu.folder import write_folder

PRECISION = np.array([[2.0, -0.2, -0.6], [-0.2, 1.5, -0.4], [-0.6, -0.4, 1.8]])
MIXED = PRECISION * np.array([[1, 1, -1], [1, 1, 1], [-1, 1, 1]])

DEVICES = {
    "rlc": lambda: spu.compile_problem(
        spu.GaussianSampling(precision=PRECISION), unquantised(spu.load_hardware("spu8"))
    ),
    "quantised": lambda: spu.compile_problem(spu.GaussianSampling(precision=PRECISION), "spu8-8bit"),
    "rc": lambda: spu.compile_problem(spu.LinearSystem(PRECISION, [1.0, -2.0, 0.5])),
    "dual": lambda: spu.compile_problem(spu.GaussianSampling(precision=MIXED), architecture="rlc-capacitive-dual"),
    "transconductor": lambda: spu.compile_problem(
        spu.GaussianSampling(precision=MIXED, mean=[1.0, 0.3, -2.0]), architecture="rc-transconductor"
    ),
}


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    root = tmp_path_factory.mktemp("devices")
    for name, make in DEVICES.items():
        write_folder(root / name, make())
    return {name: (root / name, (root / name / "device.cir").read_text()) for name in DEVICES}


def edited(decks, name, pattern, replacement, levels=("op", "ac")):
    """Check a folder with its netlist edited once; the netlist is put back."""
    folder, deck = decks[name]
    changed, count = re.subn(pattern, replacement, deck, count=1)
    assert count == 1 and changed != deck, "the pattern no longer fits the netlist"
    try:
        (folder / "device.cir").write_text(changed)
        return spu.check(folder, levels=list(levels))
    finally:
        (folder / "device.cir").write_text(deck)


FACTOR = r"\1{1.05*\2}"

# device, pattern, replacement; element, kind, after (or after / before, as a string "x1.05")
EDITS = [
    ("rlc", r"(xcell_x2 .* c=)(\S+)", FACTOR, "c1 of xcell_x2", "value", "x1.05"),
    ("rlc", r"(xcell_x2 .* r=)(\S+)", FACTOR, "r1 of xcell_x2", "value", "x1.05"),
    ("rlc", r"(xcell_x2 .* l=)(\S+)", r"\1{0.8*\2}", "l1 of xcell_x2", "value", "x0.8"),
    ("rlc", r"(xcell_x2 .* sn=)(\S+)", r"\1{2*\2}", "gn of xcell_x2", "doubled", "x2"),
    ("rlc", r"(cell_x1 cell_x2)( .*\n.*)(cell_x1 cell_x3)", r"\3\2\1", "xcoupler_c_x1_x2 and xc", "swapped", None),
    ("rlc", r"(xcoupler_c_x1_x3 )cell_x1", r"\1cell_x2", "xcoupler_c_x1_x3", "moved", "cell_x2"),
    ("rlc", r"t_x1 n_x1 cell", "n_x1 t_x1 cell", "noise sources t_x1 and n_x1", "swapped", None),
    ("rlc", r"xcell_x2(.*\n)", r"xcell_x2\1xcell_bis\1", "xcell_x2", "doubled", 2.0),
    ("rlc", r"  l1 a 0 .*\n", "", "l1 in every cell_crln", "missing", None),
    ("rlc", r"\.control", "kk l.xcell_x1.l1 l.xcell_x2.l1 0.03\n.control", "l1 of xcell_x1 with", "added", 0.03),
    ("rlc", r"\.control", "cstray cell_x2 cell_x3 1e-12\n.control", "c1 of xcoupler_c_x2_x3", "value", None),
    ("rlc", r"(rn_x2 s_n_x2 n_x2 \{rn\})", r"\1 noisy=0", "density of noise source n_x2", "missing", None),
    ("quantised", r"(xcoupler_c_x1_x3 .* code=)(\S+)", FACTOR, "c1 of xcoupler_c_x1_x3", "value", "x1.05"),
    ("quantised", r"xcoupler_c_x1_x3.*\n", "", "c1 of xcoupler_c_x1_x3", "missing", 0.0),
    ("rc", r"(xcoupler_r_x1_x3 .* r=)(\S+)", FACTOR, "r1 of xcoupler_r_x1_x3", "value", "x1.05"),
    ("rc", r"(xcell_x3 .* ib=)(\S+)", r"\1{-\2}", "ib of xcell_x3", "sign", "x-1"),
    ("rc", r"(xcell_x2 cell_x2) n_x2", r"\1 n_x1", "noise port n of xcell_x2", "rewired", "n_x1"),
    ("rc", r"xcell_x2.*\n", "", "xcell_x2", "missing", None),
    ("rc", r"\.control", "rstray cell_x1 cell_x2 1e5 noisy=0\n.control", "r1 of xcoupler_r_x1_x2", "value", None),
    ("dual", r"(xcoupler_c_x1\S* .* c=)(\S+)", FACTOR, "c1 of xcoupler_c_x1", "value", "x1.05"),
    ("transconductor", r"(xcoupler_g_x1_x3 .* gab=)(\S+)", r"\1{-\2}", "gab of xcoupler_g_x1_x3", "sign", "x-1"),
    ("transconductor", r"(xcoupler_g_x1_x3 .*) gba=\S+", r"\1", "gba of xcoupler_g_x1_x3", "missing", 0.0),
]  # fmt: skip


@pytest.mark.parametrize("case", EDITS, ids=[f"{case[0]}-{case[3]}-{case[4]}" for case in EDITS])
@pytest.mark.sampled(3)
def test_an_edit_of_the_netlist_is_named(decks, case):
    name, pattern, replacement, element, kind, after = case
    found = edited(decks, name, pattern, replacement)
    assert found.verdict == "fail"
    best = found.diagnosis.best
    assert best is not None and best.complete, found.diagnosis.lines
    assert element in best.element and best.kind == kind, found.diagnosis.lines
    assert best.explained > 1 - 1e-8
    if isinstance(after, str) and after[0] == "x":
        assert best.after == pytest.approx(float(after[1:]) * best.before, rel=1e-4)
    elif isinstance(after, float):
        assert best.after == pytest.approx(after, rel=1e-4)
    elif after is not None:
        assert best.after == after
    assert found.diagnosis.cells


def test_something_extra_is_said_to_look_like_another_value(decks):
    found = edited(decks, "rlc", r"\.control", "cstray cell_x2 0 1e-12\n.control").diagnosis
    assert found.best.element == "c1 of xcell_x2"
    (other,) = [each for each in found.others if each.equivalent]
    assert (other.element, other.kind) == ("a capacitor from cell_x2 to 0", "added")
    assert other.after == pytest.approx(1e-12, rel=1e-3)
    assert other.complete and "cannot tell" in " ".join(found.lines)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"(xcell_x1 .* c=)(\S+)((?:.|\n)*xcell_x3 .* r=)(\S+)", r"\1{1.05*\2}\3{1.05*\4}"),
        (r"(xcoupler_c_x1_x3 .* c=)(\S+)((?:.|\n)*xcoupler_c_x2_x3 .* c=)(\S+)", r"\1{1.2*\2}\3{0.8*\4}"),
        (r"\.control", "bs 0 cell_x3 i=-1e6*v(cell_x3)*v(cell_x1)+1e-4*v(cell_x1)-2e-4*v(cell_x2)\n.control"),
    ],
)
def test_two_changes_are_not_taken_for_one(decks, pattern, replacement):
    found = edited(decks, "rlc", pattern, replacement).diagnosis
    assert found.best is None or not found.best.complete
    assert found.others or found.best
    assert ("No single change" in found.lines[0]) == (found.best is None)


def test_nothing_is_diagnosed_where_nothing_failed(decks):
    assert spu.check(decks["rc"][0], levels=["op", "ac"]).diagnosis is None


def test_what_no_measurement_can_tell_is_not_diagnosed(decks):
    found = edited(decks, "rlc", r"(vn_x2 .*) \{vn\}", r"\1 {vn*1.03}", levels=["ac", "noise"])
    assert found.verdict == "fail" and found.diagnosis is None


def test_one_operating_point_tells_less(decks):
    found = edited(decks, "rc", r"(xcell_x3 .* ib=)(\S+)", FACTOR, levels=["op"]).diagnosis
    named = [each for each in (found.best, *found.others) if each == found.best or each.equivalent]
    assert any(each.element == "ib of xcell_x3" for each in named)
    assert any(each.element == "r1 of xcell_x3" for each in named)  # draws the same current, at one voltage


def test_a_missing_source_is_named(decks):
    found = edited(decks, "rlc", r"vn_x2 .*\n", "", levels=["ac"]).diagnosis
    assert (found.best.element, found.best.kind, found.best.explained) == ("vn_x2", "missing", None)
    assert found.lines[0].startswith("vn_x2 missing")


def test_the_command_line_says_it(decks):
    folder, deck = decks["rlc"]
    try:
        (folder / "device.cir").write_text(re.sub(r"(xcell_x2 .* c=)(\S+)", FACTOR, deck, count=1))
        words = CliRunner().invoke(cli, ["check", str(folder), "--level", "ac"])
        data = CliRunner().invoke(cli, ["check", str(folder), "--level", "ac", "--json"])
    finally:
        (folder / "device.cir").write_text(deck)
    assert words.exit_code == data.exit_code == 1
    (line,) = [line for line in words.stdout.splitlines() if "all of it" in line]
    assert line.startswith("diagnosis: c1 of xcell_x2: ") and "expected" in line
    found = json.loads(data.stdout)["diagnosis"]
    assert found["best"]["element"] == "c1 of xcell_x2" and found["best"]["kind"] == "value"
    assert found["best"]["after"] == pytest.approx(1.05 * found["best"]["before"], rel=1e-4)
    assert found["best"]["explained"] == pytest.approx(1.0)
    assert found["cells"][0] == "x2" and found["entries"][0]["cells"] == ["x2", "x2"]
    entry = found["entries"][0]
    assert entry["measured"] < entry["expected"] and entry["relative"] == pytest.approx(-0.03, abs=0.02)
    assert found["others"]


# --- without ngspice ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"temperature": 300.0}, {"temperature": 0.0, "transconductors": True}])
def test_the_effect_of_a_change_is_exact(options):
    """Against the reduced equations of the changed circuit, at every frequency, for every value of every instance."""
    circuit = lower(random_device(np.random.default_rng(5), 5, **options))
    equations, context = system(circuit), Context(circuit, None, None, None)
    frequencies = np.geomspace(context.timing.low, context.timing.high, 9)
    ones = np.ones(len(circuit.probes)), np.ones(len(circuit.sources))
    for group, instances in enumerate(circuit.instances):
        for name, values in instances.parameters.items():
            if name == "ib":
                continue
            rows = np.arange(len(instances.names))
            changed = equations.stamped(group, rows, {name: 0.4 * values})
            changes = compact(equations.place(group, rows, changed - equations.present(group, rows)))
            for row in (0, len(rows) - 1):
                mutant = mutations.with_values(circuit, group, [row], {name: 0.4 * values[row]})
                measured = solve(stochastic_ode(mutant)).transfer(frequencies)
                judged = scene(equations, 2j * np.pi * frequencies, measured, *ones)
                share = judged.residual(changes) / judged.total
                assert share[row] < 1e-13
                assert np.delete(share, row).min(initial=1.0) > 1e-3


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import diagnoses

    yield diagnoses
    sys.modules.pop("diagnoses", None)


def test_random_mutants_of_random_devices_are_named(study):
    """Every one, first or among those that cannot be told from it; see benchmarks/diagnoses.py for many more."""
    outcomes = study.study(3, seed=11)
    assert set(outcomes) >= {"value by 1%", "value by 20%", "couplers swapped", "coupler moved", "source removed"}
    for kind, found in outcomes.items():
        assert not found["wrong"], found["wrong"]
        if kind == "two values by 5%":
            assert not found["first"] and not found["equivalent"]
        else:
            assert not found["none"], found["none"]


def test_values_are_recovered(study):
    rng = np.random.default_rng(3)
    circuit = study.random_circuit(rng)
    group, row, parameter, _ = study._any_value(rng, circuit)
    before = float(circuit.instances[group].parameters[parameter][row])
    for factor in (1.0001, 1.05, 0.5, 3.0):
        changed = mutations.with_values(circuit, group, [row], {parameter: factor * before})
        best = diagnose(study.measured(circuit, changed, rng)).best
        assert best.before == before
        assert best.after / before - 1 == pytest.approx(factor - 1, rel=1e-3)


def test_an_added_capacitor_between_cells_without_a_coupler(study):
    rng = np.random.default_rng(8)
    device = spu.Device(temperature=0.0)
    for name in "abc":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("a", "b", conductance=2e-4)
    device.add_coupler("b", "c", conductance=3e-4)
    circuit = lower(device)
    changed = mutations.with_added(circuit, Capacitor, (0, 2), 3e-11)
    found = diagnose(study.measured(circuit, changed, rng))
    assert (found.best.element, found.best.kind) == ("a capacitor from cell_a to cell_c", "added")
    assert found.best.after == pytest.approx(3e-11, rel=1e-3)
    assert set(found.cells) >= {"a", "c"}
