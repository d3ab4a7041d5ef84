"""Noise that several cells share, in ngspice: it agrees at every level, and whatever is changed of it is caught."""

import re

import numpy as np
import pytest

import spu
from spu.circuit.circuit import stamp_circuit
from spu.device.lower import lower
from spu.folder import read_folder, write_folder
from spu.spice.dialects import DIALECTS
from spu.spice.reader import read_netlist

PROBLEM = spu.LyapunovEquation(
    [[1.0, 3.0, 0.2], [-3.0, 2.5, 0.1], [0.0, 0.4, 1.5]],
    [[1.0, 0.5, 0.3], [0.5, 2.0, -0.4], [0.3, -0.4, 1.2]],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("shared") / "out"
    write_folder(where, spu.compile_problem(PROBLEM))
    return where


def test_all_levels_agree(folder):
    found = spu.check(folder, levels=["ideal", "answer", "op", "ac", "replay", "noise"])
    assert {level.name: level.verdict for level in found.levels.values()} == dict.fromkeys(
        ("ideal", "answer", "op", "ac", "replay", "noise"), "pass"
    )
    assert found.levels["ac"].error < 1e-6 and found.levels["replay"].error < 1e-3


def tap(deck: str, change, *, name: str = "xnoise_q1_x1") -> str:
    """The netlist with the line of one tap changed."""
    changed, count = re.subn(rf"(?m)^{name} .*$", lambda line: change(line[0]), deck)
    assert count == 1 and changed != deck
    return changed


def scaled(factor: float):
    return lambda line: re.sub(r"an=(\S+)", lambda value: f"an={float(value[1]) * factor!r}", line)


MUTATIONS = {
    "amplitude": (scaled(1.01), "gs of xnoise_q1_x1", "value"),
    "sign": (scaled(-1.0), "gs of xnoise_q1_x1", "sign"),
    "cell": (lambda line: line.replace("cell_x1", "cell_x3"), "xnoise_q1_x1", "moved"),
    "source": (lambda line: line.replace(" w_q1 ", " w_q2 "), "noise port n of xnoise_q1_x1", "rewired"),
    "gone": (lambda _: "*", "gs of xnoise_q1_x1", "missing"),
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_whatever_is_changed_of_it_is_caught_and_named(folder, kind):
    change, element, what = MUTATIONS[kind]
    deck = folder / "device.cir"
    original = deck.read_text()
    try:
        deck.write_text(tap(original, change))
        found = spu.check(folder, levels=["ac", "replay"])
    finally:
        deck.write_text(original)
    assert found.verdict == "fail"
    assert (found.levels["ac"].verdict, found.levels["replay"].verdict) == ("fail", "fail")
    best = found.diagnosis.best
    assert (best.element, best.kind) == (element, what) and best.complete


def test_two_cells_of_a_source_swapped_are_named(folder):
    deck = folder / "device.cir"
    original = deck.read_text()
    try:
        swapped = tap(original, lambda line: line.replace("cell_x1", "cell_x2"))
        swapped = tap(swapped, lambda line: line.replace("cell_x2", "cell_x1"), name="xnoise_q1_x2")
        deck.write_text(swapped)
        found = spu.check(folder, levels=["ac"])
    finally:
        deck.write_text(original)
    assert found.verdict == "fail" and found.diagnosis.best.kind == "swapped"
    assert found.diagnosis.best.element == "gs of xnoise_q1_x1 and xnoise_q1_x2"


def test_the_level_without_a_simulator_catches_a_device_that_was_edited(folder, tmp_path):
    text = (folder / "device.json").read_text()
    write_folder(tmp_path / "out", spu.compile_problem(PROBLEM))
    for old, new in (('"x1": 4.99', '"x1": 5.09'), ('"x3": -', '"x3": '), ('{"x1": 5.3', '{"x2": 5.3')):
        assert text.count(old) == 1
        (tmp_path / "out" / "device.json").write_text(text.replace(old, new))
        assert spu.check(tmp_path / "out", levels=["ideal"]).verdict == "fail", old


def test_its_own_netlist_reads_back(folder):
    device = read_folder(folder).device
    read = read_netlist(folder / "device.cir").circuit
    assert [source.name for source in read.sources] == [source.name.lower() for source in lower(device).sources]
    nodes = [name.lower().removeprefix("cell_") for name in read.nodes]
    order = [nodes.index(name) for name in device.cell_names]
    K = stamp_circuit(lower(device))[0].K.toarray()
    np.testing.assert_allclose(stamp_circuit(read)[0].K.toarray()[order], K, rtol=1e-12, atol=1e-30)
    np.testing.assert_allclose(spu.predict(read).covariance, spu.predict(device).covariance, rtol=1e-9)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_names_source_and_amplitude(folder, dialect):
    device = read_folder(folder).device
    lines = spu.netlist(device, dialect=dialect).splitlines()
    taps = [line for line in lines if line.startswith("xnoise_")]
    assert len(taps) == len(device.shared.taps) == 5
    assert any("an/en" in line for line in lines)
    assert sum(line.startswith("vw_q") for line in lines) == 2
    assert any("noise that several cells share" in line for line in lines)
    for noise in device.noises:
        for cell, amplitude in noise.amplitudes.items():
            (line,) = (line for line in taps if line.split()[0] == f"xnoise_{noise.name}_{cell}")
            assert f"w_{noise.name}" in line and f"cell_{cell}" in line and line.endswith(f"an={amplitude!r}")
