"""Held noise in ngspice: netlists, what they say of themselves, and paths and statistics of the same kind of noise."""

import re
import subprocess

import numpy as np
import pytest
import scipy.linalg as la

import spu
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.crosscheck.levels import replay
from spu.crosscheck.statistics.sampled import SampledLaw
from spu.device.subject import circuits
from spu.emulator.dynamics import linear
from spu.emulator.laws.clocked import ClockedLaw
from spu.emulator.laws.stationary import source_gain
from spu.emulator.runs.clocked_run import Samples


def device(periods, temperature=300.15, **noise):
    """Two unlike RLC cells, the clock's period in units of the slowest time constant."""
    made = spu.Device(temperature=temperature, detail=spu.Detail(noise={"clock": 1e7, **noise}))
    for k, name in enumerate("ab"):
        made.add_cell(name, capacitance=1e-9 * (1 + k / 5), conductance=1e-3, inductance=1e-5, noise=1e-22 * (1 + k))
    made.add_coupler("a", "b", capacitance=3e-10)
    slowest = law_of(made).white.slowest
    return made.at_detail(spu.Detail(noise={**made.detail.noise, "clock": 1.0 / (periods * slowest)}))


def law_of(made) -> ClockedLaw:
    return linear(circuits(made)[0]).law


@pytest.mark.parametrize(
    ("periods", "noise"),
    [
        (0.01, {}),
        (0.3, {"bits": 3}),
        (0.3, {"kind": "binary", "register": 9}),
        (4.0, {"kind": "binary", "summed": 2}),
    ],
)
def test_ngspice_replays_such_samples(periods, noise):
    """The very samples, held, through both; and transfer functions are those of white noise."""
    found = spu.check(device(periods, **noise), levels=["ac", "replay"])
    assert found.verdict == "pass", found.levels
    assert found.levels["replay"].error < 1e-3
    assert found.levels["ac"].verdict == "pass"


def test_replayed_waveforms_are_held():
    """From an edge on each is reached within a piece, an eighth of the part of a period that is replayed, and held."""
    made = device(0.3, kind="binary", register=9)
    law = law_of(made)
    drawn = Samples(law, 7, 1).of(0, 60)[:, :, 0]
    held = replay._held(law, 7, law.clocked.period / 2, 100)
    rms = UNIT_NOISE_DENSITY / np.sqrt(2 * law.clocked.period)
    middle = held[8::16][:50] / rms  # in the middle of each period of 16 pieces
    assert np.array_equal(middle, drawn[:50])
    assert set(np.unique(np.round(held / rms, 12))) == {-1.0, 0.0, 1.0}


def test_ngspice_makes_such_noise():
    """Its own transient: held sources of the clock beside white ones that are finer, and the law at the edges."""
    made = device(0.3)
    found = spu.check(made, levels=["noise"])
    level = found.levels["noise"]
    assert level.verdict == "pass", level.message
    assert np.isclose(level.data["sample_time"], made.detail.noise["clock"] ** -1)


@pytest.mark.parametrize(("name", "factor"), [("tc", 1.5), ("vc", 1.1)])
def test_another_clock_in_the_netlist_is_seen(name, factor, tmp_path):
    made = device(0.3, 0.0)
    text = spu.netlist(made)
    line = re.search(rf"(?m)^\.param {name}=(.*)$", text)
    value = line[1]
    changed = f"{{{value.strip('{}')}*{factor}}}"
    file = tmp_path / "edited.cir"
    file.write_text(text.replace(line[0], f".param {name}={changed}"))
    level = spu.check(made, netlist=file, levels=["noise"]).levels["noise"]
    assert level.verdict == "fail"
    assert "declared with another rms or sample time" in level.message


def test_law_at_the_edges():
    """Against sums that are written out: white sources with five samples in a period of the clock."""
    law = law_of(device(0.4))
    parts, dense = 5, law.dense
    rms = UNIT_NOISE_DENSITY / np.sqrt(2 * law.clocked.period)
    sampled = SampledLaw(dense, law.clocked.period, rms, law.slowest, ~law.held, parts)
    h, n = law.span / parts, len(dense.A)
    phi = la.expm(dense.A * h)
    fine = la.solve(dense.A, (phi - np.eye(n)) @ dense.B) * source_gain(dense) * rms
    thermal, held = fine[:, ~law.held] * np.sqrt(parts), fine[:, law.held]
    gathered, pushed = np.zeros((n, n)), np.zeros_like(held)
    for _ in range(parts):
        gathered = phi @ gathered @ phi.T + thermal @ thermal.T
        pushed = phi @ pushed + held
    whole = np.linalg.matrix_power(phi, parts)
    Q = gathered + pushed @ pushed.T
    expected = la.solve(np.eye(n * n) - np.kron(whole, whole), Q.ravel()).reshape(n, n)
    assert np.allclose(sampled.state_covariance, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


def test_netlist_says_what_it_is(tmp_path):
    made = device(0.3, bits=4)
    text = spu.netlist(made)
    assert "normal samples in 4 bits, clipped at 4 sigma" in text
    assert "trrandom(2 {tc} 0 {vc} 0)" in text
    assert "trrandom(2 {ts} 0 {vn} 0)" in text
    period = 1.0 / made.detail.noise["clock"]
    ts = float(re.search(r"(?m)^\.param ts=(\S+)$", text)[1])
    assert abs(period / ts - round(period / ts)) < 1e-9
    # Read back it is the same circuit, under white noise of the same density.
    file = tmp_path / "device.cir"
    file.write_text(text)
    read = spu.predict(spu.read_netlist(file, probes=["a=cell_a", "b=cell_b"]))
    assert np.allclose(read.voltage_covariance, law_of(made).white.voltage_covariance, rtol=1e-9)


@pytest.mark.parametrize(
    ("dialect", "words"), [("ltspice", "rand(time/{tc}"), ("xyce", "rms vc"), ("spectre", "type=pwl")]
)
def test_other_dialects(dialect, words):
    text = spu.netlist(device(0.3, kind="binary"), dialect=dialect)
    assert words in text
    assert "independent bits" in text


def test_run_by_itself(tmp_path):
    """What it prints under ``ngspice -b``: ``.noise`` of white noise, ``.tran`` of held."""
    made = device(2.0, 0.0)
    file = tmp_path / "device.cir"
    file.write_text(spu.netlist(made))
    done = subprocess.run(["ngspice", "-b", str(file)], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    rows = dict(re.findall(r"RESULT (\w+ \w+): found (.*)", done.stdout))
    law = law_of(made)
    for k, name in enumerate("ab"):
        found, expected = (float(rows[f"noise {name}"].split()[j]) for j in (0, 2))
        assert abs(expected / law.white.voltage_covariance[k, k] - 1) < 1e-6
        assert abs(found / expected - 1) < 0.02
        found, expected = (float(rows[f"tran {name}"].split()[j]) for j in (0, 2))
        assert abs(expected / law.voltage_covariance[k, k] - 1) < 1e-6
        assert 0.3 < found / expected < 3
    assert law.voltage_covariance[0, 0] < 0.5 * law.white.voltage_covariance[0, 0]
