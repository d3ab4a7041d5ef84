"""A check of devices with a ramp, and what it says of netlists whose ramp is another one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import spu

RAMP = spu.Ramp([0.0, 2e-6, 2e-6, 5e-6, 5e-6, 9e-6], couplers=[0.0, 0.0, 0.4, 0.4, 1.0, 1.0])


def _device(kind: str) -> spu.Device:
    device = spu.Device()
    for name, capacitance in (("a", 1e-9), ("b", 1.3e-9)):
        inductor = {"inductance": 1e-5} if kind == "capacitance" else {}
        device.add_cell(name, capacitance=capacitance, conductance=1e-3, noise=4e-20, **inductor)
    device.add_coupler("a", "b", **{kind: {"capacitance": 3e-10, "conductance": 5e-4}[kind]})
    device.ramp = RAMP
    return device


@pytest.mark.parametrize("kind", ["capacitance", "conductance"])
def test_all_levels_pass_under_a_ramp(kind: str) -> None:
    found = spu.check(_device(kind), levels=["answer", "op", "ac", "replay"])
    assert found.verdict == "pass", {name: level.message for name, level in found.levels.items()}
    assert "at the ramp's end" in found.levels["ac"].message and "at its start" in found.levels["ac"].message
    # To the end of the ramp, and beyond: 3 slowest time constants.
    data = found.levels["replay"].data
    assert data["samples"] * data["interval"] > RAMP.duration


def test_slopes_are_replayed_too() -> None:
    device = _device("conductance")
    device.ramp = spu.Ramp([0.0, 1e-6, 3e-6], couplers=[0.0, 0.2, 1.0], noise=[1.0, 1.0, 1.5])
    assert spu.check(device, levels=["replay"]).verdict == "pass"


def _ramp_line(text: str) -> str:
    found = re.search(r"^vramp_couplers.*?\+ \)", text, re.S | re.M)
    assert found is not None
    return found[0]


MUTATIONS = {
    "a factor": lambda text: text.replace(_ramp_line(text), _ramp_line(text).replace(" 0.4", " 0.43")),
    "the times": lambda text: text.replace(_ramp_line(text), re.sub(r"4\.99998\d*e-06", "4.5e-06", _ramp_line(text))),
    "a coupler without": lambda text: re.sub(
        r"^(xcoupler_\S+ .*?) ramp_couplers", r"vone one 0 dc 1\n\1 one", text, flags=re.M
    ),
    "the value": lambda text: re.sub(r" c=3e-10", " c=3.1e-10", text),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_another_ramp_fails(tmp_path: Path, mutation: str) -> None:
    device = _device("capacitance")
    text = spu.netlist(device)
    changed = MUTATIONS[mutation](text)
    assert changed != text
    (tmp_path / "other.cir").write_text(changed)
    found = spu.check(device, netlist=tmp_path / "other.cir", levels=["ac", "replay"])
    assert found.verdict == "fail"
    assert found.levels["replay"].verdict == "fail"


def test_noise_of_ngspice_itself_is_judged_after_the_ramp() -> None:
    found = spu.check(_device("conductance"), levels=["noise"])
    assert found.verdict == "pass", found.levels["noise"].message
