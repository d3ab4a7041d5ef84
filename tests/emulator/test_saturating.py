"""Transconductors of finite linear range: one cell's exact law, orders of steps, ngspice, what is refused."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import difference, near

import spu
from spu.base.errors import CircuitError, InputError, OptionError, UsageError
from spu.circuit.ramp import Ramp
from spu.cli import cli
from spu.device.banks import Bank
from spu.device.device import Device
from spu.device.imperfections import Detail
from spu.device.lower import lower
from spu.emulator.dynamics import SaturatingDynamics, dynamics
from spu.emulator.equations.saturating import at_rest, respond
from spu.emulator.runs.noise import normals
from spu.spice.netlist import netlist

C, G, S = 1e-9, 1e-3, 4e-20
RMS = np.sqrt(S / (4 * G * C))
"""V, of a cell alone: 100 uV."""


def one_cell(active, width, offset=0.0, temperature=0.0, **detail):
    more = {"offset": offset} if offset else {}
    device = Device(temperature=temperature, detail=Detail(transconductor={"linear_range": width, **more}, **detail))
    device.add_cell("a", capacitance=C, conductance=G, noise=S, active_conductance=active)
    return device


def pair(width=1e-4, g=(4e-4, -6e-4), temperature=300.0, **detail):
    transconductor = {"linear_range": width, "offset": 2e-5, "noise_gamma": 1.2, "output_conductance": 0.02}
    device = Device(temperature=temperature, detail=Detail(transconductor=transconductor, **detail))
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G, noise=S)
    device.add_coupler("a", "b", transconductance=g)
    return device


def switched():
    detail = Detail(
        transconductor={"linear_range": 1e-4, "offset": 1e-5, "noise_gamma": 1.0},
        switch={"on_resistance": 20.0, "off_resistance": 1e7, "off_capacitance": 3e-12},
    )
    device = Device(temperature=300.0, detail=detail)
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G, noise=S)
    device.add_coupler("a", "b")
    keys = ("transconductance_ab", "transconductance_ba")
    bank = Bank(2, 2e-4, signed=True)
    device.set_banks({}, {"transconductance": bank}, {}, dict(zip(keys, (np.array([3]), np.array([-2])), strict=True)))
    return device


def exact_moments(active, width, offset):
    """Of one cell: its density is ``exp(-(G v^2 / 2 + g V^2 log cosh((v + offset) / V)) / theta)``, theta = S / 4C."""
    v = np.linspace(-12, 12, 40_001) * max(RMS, 2 * width if active < -G else 0)
    potential = G * v**2 / 2 + active * width**2 * np.logaddexp((v + offset) / width, -(v + offset) / width)
    weight = np.exp(-(potential - potential.min()) / (S / (4 * C)))
    weight /= weight.sum()
    mean = (weight * v).sum()
    return mean, (weight * (v - mean) ** 2).sum()


# The law


@pytest.mark.parametrize("active", [5e-4, -5e-4])
def test_within_its_range_a_transconductor_is_linear(active):
    found, linear = (spu.predict(one_cell(active, width)) for width in (1e3, 1e-2))
    plain = Device(temperature=0.0)
    plain.add_cell("a", capacitance=C, conductance=G, noise=S, active_conductance=active)
    assert found.covariance == near(spu.predict(plain).covariance, 1e-12)
    # To first order in (rms / range)^2 the slope falls by it: the law is off by a thousandth, and known to a millionth.
    exact = exact_moments(active, 1e-2, 0.0)[1]
    assert linear.covariance[0, 0] == near(exact, 1e-7)
    assert linear.covariance[0, 0] != near(found.covariance[0, 0], 1e-5)


@pytest.mark.parametrize("active", [5e-4, -5e-4])
@pytest.mark.parametrize("width", [3.0, 1.0, 0.3])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_what_linearisation_is_off_by_is_stated(active, width, offset):
    """Against the exact law of one cell: the variance is off by less than the distortion that is stated."""
    found = spu.predict(one_cell(active, width * RMS, offset * RMS))
    mean, variance = exact_moments(active, width * RMS, offset * RMS)
    assert abs(found.covariance[0, 0] / variance - 1) < found.distortion
    assert abs(found.mean[0] - mean) < found.distortion * RMS
    assert 0 < found.compression < 1


def test_a_cell_that_only_its_range_limits():
    """Negative conductance beyond the loss: no rest, but a law; linearisation knows its size, and says how badly."""
    device = one_cell(-1.2 * G, 2 * RMS)
    found = spu.predict(device)
    assert spu.decay_rate(device) < 0
    variance = exact_moments(-1.2 * G, 2 * RMS, 0.0)[1]
    assert abs(found.covariance[0, 0] / variance - 1) < 0.25
    assert found.compression < 1 / 1.2


def test_trajectories_have_the_exact_law():
    active, width, offset = -6e-4, RMS, 0.4 * RMS
    run = spu.simulate(one_cell(active, width, offset), samples=40_000, trajectories=200, seed=5)
    mean, variance = exact_moments(active, width, offset)
    # Six standard errors: 2 false alarms in 1e9, each. Without the range the variance would be 1.7 times as large.
    assert abs(run.mean[0] - mean) < 6 * run.mean_error[0]
    assert abs(run.covariance[0, 0] - variance) < 6 * run.covariance_error[0, 0] < 0.1 * variance
    assert run.complete
    assert run.readouts.shape[2] == 1
    again = [spu.simulate(one_cell(active, width, offset), samples=400, seed=5).covariance for _ in range(2)]
    assert (again[0] == again[1]).all()


def test_responses_are_of_fourth_order():
    device = pair(width=3e-5)
    does = dynamics(lower(device))
    assert isinstance(does, SaturatingDynamics)
    interval = 1.0 / does.equation.rate * does.equation.sde.dense.time
    waveform = 1e-7 * normals(1, 40, len(does.circuit.sources))
    start = does.equation.rest(does.circuit)

    def path(finer):
        return respond(does.equation, start, waveform, interval, hold=False, finer=finer)

    exact = path(4.0)
    errors = [np.abs(path(finer) - exact).max() for finer in (0.2, 0.4)]
    assert 10 < errors[0] / errors[1] < 24
    assert np.abs(path(1.0) - exact).max() < 1e-5 * np.abs(exact).max()


def test_small_signals_see_the_tangent():
    """About rest: the slope there, sech^2 of the offset and of where the others rest."""
    device = one_cell(-5e-4, 1e-4, 3e-5)
    circuit = lower(device)
    rest = dynamics(circuit).rest[0]
    assert G * rest - 5e-4 * 1e-4 * np.tanh((rest + 3e-5) / 1e-4) == near(0.0, 1e-20) or abs(rest) > 0
    slope = -5e-4 / np.cosh((rest + 3e-5) / 1e-4) ** 2
    assert spu.decay_rate(device) == near((G + slope) / C, 1e-9)
    assert not at_rest(circuit).nonlinear


# ngspice


DEVICES = {
    "pair": pair,
    "buffered": lambda: pair(buffer={"bandwidth": 5e6, "offset": 3e-6}),
    "narrow": lambda: pair(width=2e-5),
    "negative": lambda: one_cell(-8e-4, 1e-4, 2e-5),
    "switched": switched,
}


@pytest.mark.parametrize("name", DEVICES)
def test_ngspice_agrees(name):
    found = spu.check(DEVICES[name](), levels=["op", "ac", "replay"])
    assert {key: level.verdict for key, level in found.levels.items()} == dict.fromkeys(("op", "ac", "replay"), "pass")


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        ("bgba b 0 i={gba}*{vlin}*tanh", "bgba b 0 i={gba}*{vlin}*1.05*tanh", "ac"),
        ("bgba b 0 i={gba}*{vlin}*tanh((v(a)+{vos})/{vlin})", "bgba b 0 i={gba}*(v(a)+{vos})", "replay"),
        ("tanh((v(a)+{vos})/{vlin})", "tanh((v(a)-{vos})/{vlin})", "op"),
    ],
)
def test_a_wrong_element_in_the_netlist_fails(tmp_path, old, new, level):
    device = pair()
    device.write(tmp_path / "device.json")
    text = netlist(device)
    assert old in text
    (tmp_path / "device.cir").write_text(text.replace(old, new))
    assert spu.check(tmp_path, levels=[level]).verdict == "fail"


# Doors


def test_the_command_line_takes_it(tmp_path):
    pair().write(tmp_path / "device.json")
    (tmp_path / "device.cir").write_text(netlist(pair()))

    def run(*words):
        found = CliRunner().invoke(cli, [words[0], str(tmp_path), *words[1:]])
        assert found.exit_code == 0, found.output
        return found.stdout

    assert "by statistical linearisation" in run("predict")
    assert ", exact," not in run("predict")
    data = json.loads(run("predict", "--json"))
    assert 0 < data["distortion"] < 0.1 < data["compression"] < 1
    assert json.loads(run("simulate", "--samples", "300", "--json"))["method"] == "exponential-heun"
    assert "by statistical linearisation" in run("inspect")
    check = json.loads(run("check", "--level", "op", "--level", "ac", "--level", "noise", "--json"))["levels"]
    assert [check[name]["verdict"] for name in ("op", "ac", "noise")] == ["pass", "pass", "skipped"]


def test_the_budget_knows_the_range():
    device = pair()
    lines = {line.effect: line for line in spu.error_budget(device).lines}
    assert lines["transconductor.linear_range"].norm > 1e-3


def test_boards_and_margins_follow_from_it():
    device = pair()
    device.tolerance = spu.Tolerance(detail={"transconductor.linear_range": spu.Spread(process=0.1)})
    wider = spu.varied(device, [1.0] * (len(spu.elements_of(device)) - 1) + [2.0])
    assert wider.detail.transconductor["linear_range"] == 2e-4
    assert difference(spu.predict(wider).covariance, spu.predict(device).covariance) > 1e-2
    found = spu.stability(device, draws=3)
    assert found.stable
    assert found.amplifiers == 2


def test_what_has_no_meaning_is_refused_by_name(tmp_path):
    device = pair()
    for dialect in ("ltspice", "xyce"):
        with pytest.raises(InputError, match=f"transconductors of finite linear range are .* only, not for {dialect}"):
            spu.netlist(device, dialect=dialect)
    with pytest.raises((UsageError, OptionError), match="lags"):
        spu.simulate(device, lags=3)
    with pytest.raises(UsageError, match="beyond the time in which"):
        spu.simulate(device, step=1e-3)
    with pytest.raises(UsageError, match="no reports on devices whose transconductors have a finite linear range"):
        spu.report(device, tmp_path / "report.html")
    with pytest.raises(CircuitError, match="no linear equation"):
        spu.predict_network(device)
    device.ramp = Ramp([0.0, 1e-6], [0.0, 1.0])
    with pytest.raises(InputError, match="transconductors that are not ideal"):
        spu.predict(device)
