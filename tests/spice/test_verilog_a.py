"""Modules of Verilog-A against the expressions that ngspice has for the same parts, and networks made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spu
from spu.folder import write_folder
from spu.spice.dialects.vacask import Vacask as Language
from spu.spice.modules import EXPRESSIONS, FOLDER, files, needed
from spu.spice.simulators.analyses import Ac, Decades, OperatingPoint
from spu.spice.simulators.ngspice import Ngspice
from spu.spice.simulators.vacask import Vacask
from tests.crosscheck.test_network_check import made
from tests.engines import needs_vacask

PARTS: dict[str, tuple[int, dict[str, float]]] = {
    "conductance": (2, {"c1": 1e-3, "c2": -4e-4, "c3": 3e-4}),
    "inductor": (3, {"c1": 1e3, "c2": 1e8, "c3": 1e14}),
    "capacitor": (3, {"qs": 2e-9, "vs": 0.7, "vc": 0.1, "qh": 3e-10}),
    "transconductor": (4, {"g": 2e-3, "width": 0.3, "offset": 0.05}),
    "ramped_conductance": (3, {"g": 1e-3}),
    "ramped_capacitor": (3, {"c": 1e-9}),
    "ramped_inductor": (3, {"l": 1e-3}),
    "ramped_crossed_inductor": (3, {"l": 1e-3}),
    "ramped_transconductor": (5, {"g": 2e-3}),
    "ramped_current": (4, {"gain": 2e-3}),
    "ramped_thermal": (4, {"gain": 2e-3}),
    "ramped_voltage": (4, {"gain": 0.6}),
    "ramped_polynomial": (3, {"c1": 1e-3, "c2": -4e-4, "c3": 3e-4}),
}
"""How many nodes each module has, and values at which all of its terms matter."""

EXAMPLES = Path(__file__).parents[2] / "examples"

VOLTS = (0.9, 0.2, -0.4, 0.1, 0.6)
"""Of the source behind a resistor at each node; the last one is a factor."""


def test_each_module_has_an_expression_and_each_expression_a_module() -> None:
    assert set(files()) == set(EXPRESSIONS) == set(PARTS)
    assert needed(["conductance", "ramped_voltage", "inductor"]) == [
        FOLDER / "spu_nonlinear.va",
        FOLDER / "spu_ramped.va",
    ]


def _sources(module: str) -> list[tuple[str, float]]:
    """Nodes that a source drives through a resistor, and its voltage: a sense node is not driven."""
    count = PARTS[module][0]
    driven = 2 if module in ("inductor", "capacitor") else count
    volts = (*VOLTS[: driven - 1], VOLTS[-1]) if module.startswith("ramped") else VOLTS[:driven]
    return [(f"n{k}", volt) for k, volt in enumerate(volts)]


def _decks(module: str) -> dict[str, str]:
    count, values = PARTS[module]
    nodes = [f"n{k}" for k in range(count)]
    texts = {name: repr(value) for name, value in values.items()}
    lines = ["a part", *EXPRESSIONS[module]("c1", nodes, texts)]
    language = Language()
    other = ["a part", *language.models(), *language.modules(needed([module]))]
    other += language.module("c1", module, nodes, texts)
    for node, volts in _sources(module):
        lines += [f"v{node} s{node} 0 dc {volts} ac 0", f"r{node} s{node} {node} 700"]
        other += [f"v{node} (s{node} 0) vsource dc={volts} mag=0", f"r{node} (s{node} {node}) resistor r=700"]
    return {
        "ngspice": "\n".join([*lines, ".options reltol=1e-9 vntol=1e-12 abstol=1e-15", ".end", ""]),
        "vacask": "\n".join([*other, "control", "options reltol=1e-9 vntol=1e-12 abstol=1e-15", "endc", ""]),
    }


@needs_vacask
@pytest.mark.parametrize("module", PARTS)
def test_a_module_is_what_ngspice_has_as_an_expression(module: str) -> None:
    """At rest and around it, from each of its nodes to each."""
    nodes = tuple(f"n{k}" for k in range(PARTS[module][0]))
    sweep = Decades(1e3, 1e8, 4)
    asked = [OperatingPoint(nodes), *(Ac(f"v{node}", sweep, nodes) for node, _ in _sources(module))]
    decks = _decks(module)
    theirs = Ngspice().run(decks["ngspice"], asked, time_limit=60.0)
    ours = Vacask().run(decks["vacask"], asked, time_limit=60.0)
    for expected, found in zip(theirs, ours, strict=True):
        size = max(float(np.abs(expected[node]).max()) for node in nodes)
        assert size > 0
        for node in nodes:
            assert np.abs(found[node] - expected[node]).max() < 1e-6 * size, node


@needs_vacask
@pytest.mark.parametrize("kind", ["rc-conductance", "rlc-flux", "rc-charge"])
def test_a_network_follows_the_same_path_in_vacask(kind: str) -> None:
    found = spu.check(made(kind, 2).device, simulator="vacask", levels=["op", "replay"])
    assert {level.verdict for level in found.levels.values()} <= {"pass", "skipped"}
    assert found.levels["replay"].verdict == "pass"


@needs_vacask
def test_a_coefficient_that_is_off_is_seen(tmp_path) -> None:
    device = made("rc-conductance", 2).device
    text = spu.netlist(device, dialect="vacask")
    line = next(line for line in text.splitlines() if line.startswith("xcell_") and " p3=" in line)
    before, _, value = line.rpartition(" p3=")
    edited = tmp_path / "edited.vacask.sim"
    edited.write_text(text.replace(line, f"{before} p3={float(value.split()[0]) * 1.01!r}"))
    found = spu.check(device, netlist=edited, simulator="vacask", levels="op")
    assert found.verdict == "fail"


@needs_vacask
def test_only_our_own_modules_are_embedded(tmp_path) -> None:
    device = made("rc-conductance", 2).device
    edited = tmp_path / "edited.vacask.sim"
    for old, new in (
        ("V(p,n)*c3", "V(p,n)*c2"),
        ('embed "spu_nonlinear.va"', 'embed "../spu_nonlinear.va"'),
        ('embed "spu_nonlinear.va"', 'embed "other.va"'),
    ):
        text = spu.netlist(device, dialect="vacask")
        assert old in text
        edited.write_text(text.replace(old, new))
        with pytest.raises(spu.DeckError, match=r"only spu_nonlinear.va and spu_ramped.va are, word for word"):
            spu.check(device, netlist=edited, simulator="vacask", levels="op")
    edited.write_text(spu.netlist(device, dialect="vacask").replace('load "spu_nonlinear.va"', 'load "spu_ramped.va"'))
    with pytest.raises(spu.DeckError, match="files that are embedded, are loaded"):
        spu.check(device, netlist=edited, simulator="vacask", levels="op")


@needs_vacask
def test_a_ramp_is_followed_by_transients_only() -> None:
    """Small signals are of its end, as ngspice's; its transient begins where the ramp does."""
    device = spu.Device()
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("a", "b", capacitance=1e-10)
    device.ramp = spu.Ramp([0.0, 0.0, 1e-6, 2e-6], couplers=[0.0, 0.25, 0.5, 0.8], noise=[1.0, 1.0, 2.0, 2.0])
    found = spu.check(device, simulator="vacask", levels=["ac", "replay"])
    assert {name: level.verdict for name, level in found.levels.items()} == {"ac": "pass", "replay": "pass"}


@needs_vacask
def test_a_ramp_that_stands_still_when_the_netlist_is_run_by_itself_is_refused(tmp_path) -> None:
    device = spu.compile(*(each for each in spu.load_problem(EXAMPLES / "determinant.toml") if each is not None))
    text = spu.netlist(device, dialect="vacask")
    assert text.count('type="pwl"') == 1
    edited = tmp_path / "edited.vacask.sim"
    for old, new, says in (
        ('  alter instance("vramp_couplers") type="pwl"\n', "", "vramp_couplers stands still in that transient"),
        ("\ncontrol\n", '\ncontrol\n  alter instance("vn_u") type="pwl"\n', "vn_u has no wave to follow"),
    ):
        assert old in text
        edited.write_text(text.replace(old, new))
        with pytest.raises(spu.DeckError, match=says):
            spu.check(device, netlist=edited, simulator="vacask", levels="ac")


def test_spectre_includes_the_files_that_lie_beside_its_netlist(tmp_path) -> None:
    write_folder(tmp_path / "net", made("rc-conductance", 2), dialects=["spectre"])
    text = (tmp_path / "net" / "device.spectre.scs").read_text()
    assert 'ahdl_include "spu_nonlinear.va"' in text and "spu_conductance c1=p1 c2=p2 c3=p3" in text
    assert (tmp_path / "net" / "spu_nonlinear.va").read_bytes() == (FOLDER / "spu_nonlinear.va").read_bytes()
