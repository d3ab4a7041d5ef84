"""Readouts that are not ideal: emulator and ngspice side by side, netlists read back, mutations seen."""

import re
from pathlib import Path

import numpy as np
import pytest

import spu
from spu.base.errors import DeckError, InputError
from spu.circuit.acquisition import Acquisition
from spu.compiler import compile_problem
from spu.crosscheck.gathering import gathered, take_netlist
from spu.crosscheck.levels.replay import OVERSAMPLING, noise_waveform, replay_deck
from spu.device.lower import lower
from spu.folder import write_folder
from spu.reports.wording import comparison_table
from spu.spice.simulators.analyses import Transient
from spu.spice.simulators.simulator import find_simulator

CHAIN = {"bandwidth": 2e5, "noise": 2e-8, "offset": 1e-3, "gain_error": 0.02, "crosstalk": 0.03}
CONVERTER = {"bits": 5, "full_scale": 2e-3, "sampling_rate": 1e6, "jitter": 1e-9, "sample_noise": 1e-6}


def device(**readout):
    made = spu.Device(detail=spu.Detail(readout=readout))
    for k, name in enumerate(("a", "B", "c")):
        made.add_cell(name, capacitance=1e-9 * (1 + 0.1 * k), conductance=1e-3, noise=4e-18)
    made.add_coupler("a", "B", conductance=3e-4)
    made.add_coupler("B", "c", capacitance=2e-10)
    return made


@pytest.mark.parametrize("readout", [CHAIN, {"gain_error": 0.02, "crosstalk": -0.1}, {**CHAIN, **CONVERTER}, CONVERTER])
def test_ngspice_agrees(readout):
    """Transfer functions from all sources to the outputs of the chain, their means, and the path under one noise."""
    found = spu.check(device(**readout), levels=["answer", "op", "ac", "replay"])
    assert found.verdict == "pass", {name: level.message for name, level in found.levels.items()}
    assert found.levels["ac"].verdict == found.levels["replay"].verdict == "pass"


@pytest.mark.parametrize("readout", [CHAIN, {**CHAIN, **CONVERTER}, CONVERTER, {"full_scale": 1e-3}])
def test_netlists_are_read_back(readout, tmp_path):
    """With the same probes, law and acquisition."""
    made, path = device(**readout), tmp_path / "device.cir"
    path.write_text(spu.netlist(made))
    read = spu.read_netlist(path)
    assert read.conventional and read.circuit.acquisition == lower(made).acquisition
    found, expected = spu.predict(read.circuit), spu.predict(made)
    assert np.allclose(found.voltage_covariance, expected.voltage_covariance, rtol=1e-9, atol=0)
    assert np.allclose(found.voltage_mean, expected.voltage_mean, rtol=1e-9, atol=1e-15)
    if "bandwidth" in readout:
        assert [probe.plus for probe in read.probes] == [f"xreadout_{name}.out" for name in "abc"]


CHANGES = {
    "bandwidth": ("bw=200000.0", "bw=205000.0"),
    "gain": ("gerr=0.02", "gerr=0.03"),
    "crosstalk": ("xt=0.03", "xt=0.04"),
    "noise": ("nro=2e-08", "nro=2.2e-08"),
    "offset": ("voff=0.001", "voff=0.0011"),
    "neighbours": ("xreadout_B cell_B cell_a cell_c", "xreadout_B cell_B cell_a cell_a"),
    "cell": ("xreadout_c cell_c", "xreadout_c cell_B"),
    "bits": (r"-16.0),15.0)", r"-8.0),7.0)"),
    "full scale": ("0.000125", "0.00013"),
    "one converter": (r"bcode_c code_c.*\n", ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen(change, tmp_path):
    """By reading the netlist; those of elements by ngspice as well."""
    made = device(**CHAIN, **CONVERTER)
    made.write(tmp_path / "device.json")
    text, (old, new) = spu.netlist(made), CHANGES[change]
    edited = re.sub(old, new, text) if "*" in old else text.replace(old, new)
    assert edited != text
    (tmp_path / "device.cir").write_text(edited)
    found = spu.check(tmp_path, levels=["answer", "op", "ac"])
    assert found.verdict == "fail"
    assert found.levels["answer"].verdict == "fail", found.levels["answer"].message
    if change not in ("bits", "full scale", "one converter"):
        assert "fail" in (found.levels["ac"].verdict, found.levels["op"].verdict)
    else:
        assert "converter" in found.levels["answer"].message


def test_odd_converters_are_refused(tmp_path):
    text, path = spu.netlist(device(**CONVERTER)), tmp_path / "device.cir"
    for old, new, words in (
        ("-16.0),15.0)", "-15.0),14.0)", "from 1 to 24 bits"),
        ("\n.control", "\nrload code_a 0 1k\n.control", "nothing may hang on"),
    ):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(DeckError, match=words):
            spu.read_netlist(path)
    path.write_text(re.sub(r"bcode_a.*\n", "", text))
    with pytest.raises(InputError, match="all alike"):
        spu.read_netlist(path)
    path.write_text(text.replace("jitter=1e-09", "jitter=1e-09e"))
    with pytest.raises(InputError, match="a number that is none"):
        spu.read_netlist(path)


def test_the_acquired_waveform_code_by_code(tmp_path: Path):
    """Under the same noise, what ngspice's converters read is what the emulator's do, but within 2 % of a threshold."""
    made = device(**CHAIN, **CONVERTER)
    settings = {
        "accuracy": None,
        "seed": 3,
        "time_limit": 100.0,
        "detect": None,
        "budget": None,
        "combinations": None,
        "include_outside": False,
        "ignore_control": False,
        "simulator": find_simulator("ngspice"),
    }
    of = gathered(made, settings, tmp_path)
    (context,) = of.contexts
    assert take_netlist(context, of.netlists[0], None) is None
    samples, interval = 400, 3e-7
    waveform = noise_waveform(context, interval, samples)
    exact = context.dynamics.respond(waveform, interval / OVERSAMPLING, hold=False)
    folder = tmp_path / "replay"
    folder.mkdir()
    deck = replay_deck(context, waveform, interval / OVERSAMPLING, folder)
    codes = [f"code_{name}" for name in "abc"]
    outputs = [f"xreadout_{name}.out" for name in "abc"]
    transient = Transient(
        stop=samples * interval,
        limit=interval / 64,
        interval=interval,
        vectors=(*codes, *outputs),
        from_zero=context.from_zero,
    )
    (found,) = context.run(deck, transient, folder=folder)
    converter = Acquisition(bits=5, full_scale=2e-3)
    fine = np.arange(len(exact)) * interval / OVERSAMPLING
    compared = 0
    for k, (code, output) in enumerate(zip(codes, outputs, strict=True)):
        # ngspice's converter reads its own output as ours would ...
        there = np.abs(found[output] / converter.step - np.round(found[output] / converter.step)) > 1e-6
        assert np.allclose(found[code][there], converter.read(found[output][there]), rtol=0, atol=1e-6 * converter.step)
        # ... and the emulator's path is read alike at ngspice's own points, but where a threshold is near.
        ours = np.interp(found["time"], fine, exact[:, k])
        clear = np.abs(ours / converter.step - np.round(ours / converter.step)) > 0.02
        assert np.array_equal(
            np.floor(found[code][clear] / converter.step), np.floor(converter.read(ours[clear]) / converter.step)
        )
        compared += int(clear.sum())
        assert len(np.unique(converter.codes(ours[clear]))) > 5
    assert compared > 10_000


@pytest.mark.parametrize("ensemble", [1, 2])
def test_what_converters_change_is_named_beside_what_compiling_leaves(ensemble, tmp_path):
    """Stored statistics are of what is read, the emulator's are of the voltages before converters."""
    write_folder(
        tmp_path / "out", compile_problem([[2.0, -0.5], [-0.5, 1.5]], hardware="spu8-board", ensemble=ensemble)
    )
    found = spu.check(tmp_path / "out", levels=["ideal"])
    assert found.verdict == "pass"
    assert found.comparisons
    for row in found.comparisons:
        assert row.within, row
        assert row.unexplained < 1e-9
    assert next(row for row in found.comparisons if row.quantity == "covariance").predicted["converters"] > 1e-7
    assert "converters" in comparison_table(found)[0]
