"""What is not ideal about amplifiers, and switched banks whose units err: closed forms, files, ngspice, mutations."""

import json

import numpy as np
import pytest
from helpers import KT, T, difference, law_of, near

import spu
from spu.base.errors import InputError
from spu.circuit.ramp import Ramp
from spu.device.banks import Bank
from spu.device.device import Device
from spu.device.imperfections import Detail
from spu.device.variation import draw_factors, elements_of, varied
from spu.spice.netlist import netlist

S, C, G = 4e-20, 1e-9, 1e-3
AMPLIFIER = {"noise_gamma": 1.3, "output_conductance": 0.03, "offset": -2e-6}
SWITCH = {"on_resistance": 20.0, "off_resistance": 1e7, "off_capacitance": 3e-12}


def one_cell(active, temperature=T, **transconductor):
    device = Device(temperature=temperature, detail=Detail(transconductor=transconductor))
    device.add_cell("a", capacitance=C, conductance=G, noise=S, active_conductance=active)
    return device


def pair(g=(2e-4, -3e-4), temperature=T, **detail):
    device = Device(temperature=temperature, detail=Detail(**detail))
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G, noise=S)
    device.add_coupler("a", "b", transconductance=g)
    return device


def banked(codes=(3, -2), errors=(0.05, -0.08), temperature=T, offset=0.0, **detail):
    """Two RC cells, conductances of banks, coupled by a bank of transconductors in each direction."""
    device = Device(temperature=temperature, detail=Detail(**detail))
    for name in "ab":
        device.add_cell(name, capacitance=C, noise=S)
    device.add_coupler("a", "b")
    keys = ("transconductance_ab", "transconductance_ba")
    device.set_banks(
        {"conductance": Bank(2, 0.1 * G, G)},
        {"transconductance": Bank(2, 1e-4, offset, signed=True)},
        {"conductance": np.array([1, 2])},
        {key: np.array([code]) for key, code in zip(keys, codes, strict=True)},
    )
    elements = elements_of(device)
    factors = np.ones(len(elements))
    for key, error in zip(keys, errors, strict=True):
        if f"{key} of a-b" in elements.names:
            factors[elements.number(f"{key} of a-b")] = 1 + error
    factors[elements.number("conductance of a")] = 1.07
    return varied(device, factors, elements)


# Closed forms


@pytest.mark.parametrize("active", [4e-4, -4e-4])
def test_an_active_conductance_makes_noise_of_gamma(active):
    """``(S / 4 + kT (G + gamma |g|)) / (C (G + g))``; silent at 0 K."""
    for temperature, energy in ((T, KT), (0.0, 0.0)):
        found = law_of(one_cell(active, temperature, noise_gamma=1.5)).voltage_covariance[0, 0]
        assert found == near((S / 4 + energy * (G + 1.5 * abs(active))) / (C * (G + active)), 1e-10)
    assert "amp" not in netlist(one_cell(active, 0.0, noise_gamma=1.5)).replace("sample", "").replace("example", "")


def test_output_conductance_loads_what_is_driven_and_makes_no_noise_of_its_own():
    found = law_of(one_cell(-4e-4, output_conductance=0.1)).voltage_covariance[0, 0]
    assert found == near((S / 4 + KT * G) / (C * (G - 4e-4 + 0.1 * 4e-4)), 1e-10)


def test_an_offset_is_a_current_of_the_transconductance():
    """``G v_a + g_ab (v_b + offset) = 0``, and so for b."""
    g, offset = (2e-4, -3e-4), -2e-6
    law = law_of(pair(g, transconductor={"offset": offset}))
    expected = np.linalg.solve([[G, g[0]], [g[1], G]], -offset * np.array(g))
    assert law.voltage_mean == near(expected, 1e-10)
    assert law.voltage_covariance == near(law_of(pair(g)).voltage_covariance, 1e-14)
    buffered = law_of(pair(g, buffer={"bandwidth": 1e7, "offset": offset}))
    assert buffered.voltage_mean == near(expected, 1e-10)


def test_noise_of_couplers_is_independent_in_each_direction():
    g, gamma = (2e-4, -3e-4), 0.7
    A = -np.array([[G, g[0]], [g[1], G]]) / C
    B = np.diag(S + 4 * KT * (G + gamma * np.abs(g))) / C**2
    kron = np.kron(np.eye(2), A) + np.kron(A, np.eye(2))
    expected = -np.linalg.solve(kron, B.ravel() / 2).reshape(2, 2)
    found = law_of(pair(g, transconductor={"noise_gamma": gamma})).voltage_covariance
    assert difference(found, expected) < 1e-10


def test_units_of_a_switched_bank_work_on_where_their_input_is_grounded():
    """Three units: of a code of 2 the third one's noise, output conductance and offset are there, too."""
    ideal_switches = {"on_resistance": 1e-3, "off_resistance": 1e11}
    found = law_of(banked((2, -2), (0, 0), switch=ideal_switches, transconductor=AMPLIFIER))
    conductances = np.array([1.1 * 1.07, 1.2]) * G
    g, units = np.array([2e-4, -2e-4]), 3e-4
    D = np.diag(conductances + AMPLIFIER["output_conductance"] * units)
    F = D + np.array([[0, g[0]], [g[1], 0]])
    mean = np.linalg.solve(F, -AMPLIFIER["offset"] * units * np.sign(g))
    assert difference(found.voltage_mean, mean) < 1e-6
    A = -F / C
    B = np.diag(S + 4 * KT * (conductances + AMPLIFIER["noise_gamma"] * units)) / C**2
    kron = np.kron(np.eye(2), A) + np.kron(A, np.eye(2))
    expected = -np.linalg.solve(kron, B.ravel() / 2).reshape(2, 2)
    assert difference(found.voltage_covariance, expected) < 1e-6


# Switched banks with errors


def test_a_bank_errs_as_a_whole_in_all_its_branches():
    """A bank with an error is one of another unit and another fixed part: same switches, to the last digit."""
    detail = Detail(switch=SWITCH)
    erring, made = (Device(temperature=T, detail=detail) for _ in range(2))
    for device, factor in ((erring, 1.0), (made, 1.12)):
        device.add_cell("a", conductance=G, noise=S)
        device.set_banks({"capacitance": Bank(3, 0.1 * C * factor, C * factor)}, {}, {"capacitance": np.array([5])}, {})
    plain = law_of(erring).voltage_covariance
    erring = varied(erring, [1.12 if name.startswith("capacitance") else 1.0 for name in elements_of(erring).names])
    assert difference(law_of(erring).voltage_covariance, law_of(made).voltage_covariance) < 1e-12
    assert difference(law_of(erring).voltage_covariance, plain) > 0.05


def test_boards_of_switched_hardware_are_drawn_and_kept_in_files(tmp_path):
    device = spu.compile([[2.0, -0.7], [-0.7, 1.6]], "spu8-switched")
    tolerance = spu.Tolerance(
        cell={"capacitance": spu.Spread(0.02, process=0.05), "conductance": 0.01},
        coupler={"capacitance": spu.Spread(0.02, process=0.05)},
        detail={effect: spu.Spread(process=0.1) for effect in device.detail.effects},
    )
    elements = elements_of(device)
    factors = draw_factors(elements, tolerance, 2, seed=4)
    assert (factors[0] != 1).sum() >= len(elements) - 4  # all but noise and inductance
    boards = [varied(device, row) for row in factors]
    found = [law_of(board).voltage_covariance for board in boards]
    assert difference(found[0], found[1]) > 1e-3
    boards[0].write(tmp_path / "device.json")
    again = Device.read(tmp_path / "device.json")
    assert law_of(again).voltage_covariance == near(found[0], 1e-12)
    assert again.detail == boards[0].detail != device.detail


# ngspice


DEVICES = {
    "pair": lambda: pair(transconductor=AMPLIFIER),
    "buffered": lambda: pair(transconductor=AMPLIFIER, buffer={"bandwidth": 5e6, "offset": 3e-6}),
    "negative": lambda: one_cell(-4e-4, **AMPLIFIER),
    "banked": lambda: banked(transconductor=AMPLIFIER),
    "switched": lambda: banked(switch=SWITCH, transconductor=AMPLIFIER, offset=5e-5),
    "spu8-switched": lambda: drawn_board(),
}


def drawn_board():
    """Errors of switched capacitors together with those of switches, leakage and parasitics."""
    device = spu.compile([[2.0, -0.7], [-0.7, 1.6]], "spu8-switched")
    spread = spu.Spread(0.03, process=0.05)
    tolerance = spu.Tolerance(
        cell={"capacitance": spread},
        coupler={"capacitance": spread},
        detail={effect: spu.Spread(process=0.2) for effect in device.detail.effects},
    )
    elements = elements_of(device)
    return varied(device, draw_factors(elements, tolerance, 1, seed=1)[0], elements)


@pytest.mark.parametrize("name", DEVICES)
def test_ngspice_agrees(name):
    found = spu.check(DEVICES[name](), levels=["op", "ac", "replay", "noise"])
    passed = {key: level.verdict for key, level in found.levels.items()}
    assert passed["ac"] == passed["replay"] == passed["noise"] == "pass", found.levels
    assert passed["op"] in ("pass", "skipped"), found.levels


@pytest.mark.parametrize(
    ("name", "old", "new", "level"),
    [
        ("pair", "gnab 0 a ampab 0 {sqrt(kt4*nab)/en}", "gnab 0 a ampab 0 {1.05*sqrt(kt4*nab)/en}", "ac"),
        ("pair", "goba b 0 b 0 {oba}", "goba b 0 b 0 {2*oba}", "ac"),
        ("pair", "ioab a 0 dc {iab}", "ioab 0 a dc {iab}", "op"),
        ("buffered", "ibufb 0 bufb dc {ibuf}", "ibufb 0 bufb dc {1.1*ibuf}", "op"),
        ("switched", "unitba={lsb*(1+error_ba)}", "unitba={lsb}", "ac"),
        ("switched", "fixedab={offset*(1+error_ab)}", "fixedab={offset}", "ac"),
    ],
)
def test_a_wrong_element_in_the_netlist_fails(tmp_path, name, old, new, level):
    device = DEVICES[name]()
    device.write(tmp_path / "device.json")
    text = netlist(device)
    assert old in text
    (tmp_path / "device.cir").write_text(text.replace(old, new))
    assert spu.check(tmp_path, levels=[level]).verdict == "fail"


@pytest.mark.parametrize("name", ["pair", "buffered", "switched"])
def test_its_netlist_reads_back_as_the_same_circuit(tmp_path, name):
    device = DEVICES[name]()
    (tmp_path / "device.cir").write_text(netlist(device))
    again = spu.read_netlist(tmp_path / "device.cir")
    mine, read = spu.predict(device), spu.predict(again)
    assert read.voltage_covariance == near(mine.voltage_covariance, 1e-7)
    assert read.voltage_mean == near(mine.voltage_mean, 1e-7)


@pytest.mark.parametrize("dialect", ["ltspice", "xyce", "spectre"])
def test_every_dialect_has_the_elements(dialect):
    text = netlist(pair(transconductor=AMPLIFIER), dialect=dialect)
    for word in ("gnab", "goab", "ioab", "kt4"):
        assert word in text
    assert text.lower().index("kt4") < text.index("gnab")


# Budgets, ramps, keys


def test_each_effect_has_its_line_in_the_budget():
    device = pair(transconductor=AMPLIFIER, buffer={"bandwidth": 5e6, "offset": 3e-6})
    lines = {line.effect: line for line in spu.error_budget(device).lines}
    assert list(lines) == list(device.detail.effects)
    assert lines["transconductor.noise_gamma"].norm > 1e-4
    assert lines["transconductor.output_conductance"].norm > 1e-3
    assert lines["transconductor.offset"].norm == 0.0  # of the covariance
    assert "noise of the transconductors" in lines["transconductor.noise_gamma"].meaning


def test_what_has_no_meaning_is_refused_by_name():
    device = pair(transconductor={"noise_gamma": 1.0})
    device.ramp = Ramp([0.0, 1e-6], [0.0, 1.0])
    with pytest.raises(InputError, match=r"transconductors that are not ideal: set device\.ramp = None"):
        spu.predict(device)
    with pytest.raises(InputError, match="offset"):
        Detail(buffer={"offset": 1e-6})
    with pytest.raises(InputError, match=r"noise_gamma is -1: it must be positive"):
        Detail(transconductor={"noise_gamma": -1.0})


def test_a_file_keeps_them(tmp_path):
    device = pair(transconductor=AMPLIFIER)
    device.write(tmp_path / "device.json")
    assert json.loads((tmp_path / "device.json").read_text())["detail"]["transconductor"] == AMPLIFIER
    assert Device.read(tmp_path / "device.json").hash == device.hash


@pytest.mark.parametrize("name", ["buffered", "switched"])
def test_many_boards_at_once_have_the_same_laws(name):
    device = DEVICES[name]()
    elements = elements_of(device)
    factors = np.exp(0.05 * np.random.default_rng(0).standard_normal((2, len(elements))))
    laws = spu.laws_of_draws(device, factors, elements)
    for row, mean, covariance in zip(factors, laws.voltage_mean, laws.voltage_covariance, strict=True):
        alone = spu.predict(varied(device, row, elements))
        assert difference(covariance, alone.voltage_covariance) < 1e-9
        assert difference(mean, alone.voltage_mean) < 1e-9


def test_the_board_of_amplifiers_that_one_can_buy():
    """Its offsets, output conductances, buffers and noise are in what it predicts; ngspice has the same circuit."""
    device = spu.compile([[2.0, 0.4, -0.3], [0.4, 1.0, 0.2], [-0.3, 0.2, 1.0]], hardware="ota8")
    assert device.detail.transconductor["noise_gamma"] == 2.0
    assert np.abs(spu.predict(device).voltage_mean).max() > 1e-5
    lines = {line.effect: line.norm for line in spu.error_budget(device).lines}
    assert lines["transconductor.output_conductance"] > lines["transconductor.noise_gamma"] > 0
    assert spu.check(device, levels=["op", "ac"]).verdict == "pass"
    found = spu.stability(device, draws=20)
    assert found.stable
    assert found.gain.at > 1
    assert found.distance > 0
