"""Which single change of a network's netlist explains a failed check: edited netlists, run by ngspice."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.circuit import variations
from spu.cli import cli
from spu.crosscheck.context import Curve, ReplayedPath
from spu.crosscheck.diagnosis import langevin as networks
from spu.device.lower import lower
from spu.emulator.dynamics import dynamics
from spu.emulator.laws.rest import rest_state

KINDS = ("rc-conductance", "rlc-flux", "rc-charge")

# Each value once, by 5 % or by a factor of two; benchmarks/network_diagnoses.py has them all.
EDITS = [
    ("rc-conductance", "c x1.05"),
    ("rc-conductance", "sn x2"),
    ("rc-conductance", "ib x1.05"),
    ("rc-conductance", "p1 x2"),
    ("rc-conductance", "p2 x1.05"),
    ("rc-conductance", "p3 x1.05"),
    ("rc-conductance", "gab of xcoupler_g_x1_x2 x1.05"),
    ("rc-conductance", "gba of xcoupler_g_x1_x3 x-1"),
    ("rc-conductance", "xcoupler_g_x1_x2 missing"),
    ("rc-conductance", "xcoupler_g_x1_x2 and xcoupler_g_x1_x3 swapped"),
    ("rlc-flux", "c x2"),
    ("rlc-flux", "r x1.05"),
    ("rlc-flux", "f1 x1.05"),
    ("rlc-flux", "f2 x2"),
    ("rlc-flux", "f3 x1.05"),
    ("rlc-flux", "lx of xcoupler_x_x1_x2 x1.05"),
    ("rlc-flux", "xcoupler_x_x1_x2 sign"),
    ("rlc-flux", "xcoupler_l_x1_x3 missing"),
    ("rc-charge", "sn x1.05"),
    ("rc-charge", "qs x1.05"),
    ("rc-charge", "q2 x2"),
    ("rc-charge", "q3 x1.05"),
]


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import network_diagnoses

    yield network_diagnoses
    sys.path.pop(0)
    sys.modules.pop("network_diagnoses", None)


@pytest.fixture(scope="module")
def folders(study, tmp_path_factory):
    root = tmp_path_factory.mktemp("networks")
    return {kind: study.folder(root / kind, kind, 2 if kind == "rc-charge" else 3) for kind in KINDS}


# One of each kind of element in `make test`, all in `make test-long`.
FEW = (
    ("rc-conductance", "p3 x1.05"),
    ("rc-conductance", "gba of xcoupler_g_x1_x3 x-1"),
    ("rlc-flux", "f1 x1.05"),
    ("rlc-flux", "xcoupler_l_x1_x3 missing"),
    ("rc-charge", "q3 x1.05"),
)


@pytest.mark.parametrize(
    ("kind", "label"),
    [pytest.param(*each, marks=[] if each in FEW else pytest.mark.long, id=" ".join(each)) for each in EDITS],
)
def test_an_edit_of_the_netlist_is_named(study, folders, kind, label):
    path, text = folders[kind]
    (edit,) = [edit for edit in study.edits(kind, text) if edit.label == label]
    found = study.checked(path, edit.text)
    assert found.verdict == "fail"
    assert study.outcome(found, edit) == "named", found.diagnosis.lines
    assert found.diagnosis.cells[0] in ("x1", "x2", "x3")
    if "missing" in label or "sign" in label:
        assert found.diagnosis.best.kind == label.split()[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_correct_netlist_has_no_diagnosis(study, folders, kind):
    path, text = folders[kind]
    found = study.checked(path, text)
    assert found.verdict == "pass" and found.diagnosis is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sampled(3)
def test_two_changes_are_not_taken_for_one(study, folders, kind):
    path, text = folders[kind]
    edit = list(study.pairs(kind, text))[1]
    found = study.checked(path, edit.text)
    assert found.verdict == "fail"
    diagnosis = found.diagnosis
    assert not any(each.complete for each in (diagnosis.best, *diagnosis.others) if each is not None)
    assert "No single change" in diagnosis.lines[0] or "something else differs too" in diagnosis.lines[0]


def test_what_cannot_be_told_apart_is_said(study, folders):
    """A constant current into a cell, and a constant voltage of its capacitor, behind the resistor between them."""
    path, text = folders["rc-charge"]
    (edit,) = [edit for edit in study.edits("rc-charge", text) if edit.label == "ib x1.05"]
    diagnosis = study.checked(path, edit.text).diagnosis
    named = {
        each.element: each for each in (diagnosis.best, *diagnosis.others) if each == diagnosis.best or each.equivalent
    }
    assert set(named) == {"ib of xcell_x2", "vc of xcell_x2"}
    assert named["ib of xcell_x2"].after == pytest.approx(1.05 * named["ib of xcell_x2"].before, rel=1e-4)
    assert "cannot tell it from" in diagnosis.lines[1]


def test_a_coupler_there_twice_is_twice_its_values(study, folders):
    path, text = folders["rlc-flux"]
    line = next(line for line in text.splitlines() if line.startswith("xcoupler_x_x1_x2"))
    best = study.checked(
        path, text.replace(line, f"{line}\n{line.replace('xcoupler', 'xcouplerbis', 1)}")
    ).diagnosis.best
    assert best.element == "lx of xcoupler_x_x1_x2"
    assert best.after == pytest.approx(best.before / 2, rel=0.01)


def test_the_command_line_says_it(study, folders):
    path, text = folders["rc-conductance"]
    (edit,) = [edit for edit in study.edits("rc-conductance", text) if edit.label == "p3 x2"]
    (path / "device.cir").write_text(edit.text)
    words = CliRunner().invoke(cli, ["check", str(path), "--level", "op"])
    data = CliRunner().invoke(cli, ["check", str(path), "--level", "op", "--json"])
    assert words.exit_code == data.exit_code == 1
    assert "diagnosis: p3 of xcell_x2: " in words.stdout
    best = json.loads(data.stdout)["diagnosis"]["best"]
    assert best["element"] == "p3 of xcell_x2"
    assert best["after"] == pytest.approx(2 * best["before"], rel=1e-3)


# --- without ngspice ---------------------------------------------------------------------------


def compiled(study, kind, n):
    hardware = "neurons" if kind == "rc-conductance" else "ideal"
    return lower(spu.compile_network(study.network(kind, n), hardware, architecture=kind).device)


def measured(circuit, changed):
    """What a changed circuit would give at ``op`` and ``replay``."""
    own, other = dynamics(circuit), dynamics(changed)
    currents = np.linspace(-1e-7, 1e-7, 7)
    curves = []
    for k in range(own.equation.n):
        one = other.equation.per_ampere * (np.arange(own.equation.n) == k)
        rest = [rest_state(other.equation, field=other.equation.field + current * one) for current in currents]
        curves.append(Curve(own.equation.names[k], currents, np.array(rest) @ other.equation.sense.T))
    rng = np.random.default_rng(0)
    waveform = rng.normal(size=(401, len(circuit.sources))) * 1e-9 / np.sqrt(own.timing.fastest)
    interval = own.timing.fastest / 4
    path, exact = (each.respond(waveform, interval, hold=False) for each in (other, own))
    return curves, [ReplayedPath(waveform, interval, 1, path, exact)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sampled(3)
def test_every_value_of_every_instance_is_found_exactly(study, kind):
    circuit = compiled(study, kind, 2)
    own = dynamics(circuit)
    for number, parameter in enumerate(networks.parameters(own)):
        if parameter.circuit is not circuit:
            continue
        row = number % len(parameter.reference)
        value = {parameter.name: 1.3 * parameter.present[row]}
        curves, paths = measured(circuit, variations.with_values(circuit, parameter.group, [row], value))
        found = networks.explain(circuit, own, [] if kind == "rlc-flux" else curves, paths)
        same = [found.best, *(each for each in found.others if each.equivalent)]
        name = f"{parameter.words} of {circuit.instances[parameter.group].names[row]}"
        (named,) = [each for each in same if each.element == name]
        assert named.after == pytest.approx(1.3 * named.before, rel=1e-4)
        assert found.best.complete


def test_noise_on_another_source_is_named(study):
    circuit = compiled(study, "rc-conductance", 3)
    changed = variations.with_sources_swapped(circuit, 0, 1)
    found = networks.explain(circuit, dynamics(circuit), *measured(circuit, changed))
    names = [circuit.sources[k].name for k in (0, 1)]
    assert found.best.element == f"noise sources {names[0]} and {names[1]}"
    assert found.best.kind == "swapped" and found.best.complete


def test_nothing_measured_is_nothing_explained(study):
    circuit = compiled(study, "rc-conductance", 2)
    assert networks.explain(circuit, dynamics(circuit), [], []) is None
    curves, paths = measured(circuit, circuit)
    assert networks.explain(circuit, dynamics(circuit), curves, paths) is None
