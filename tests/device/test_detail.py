"""Levels of detail: closed forms of each effect, files and options, ngspice on switched devices, the error budget."""

import json
import math
import shutil
from copy import copy

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import BOLTZMANN, KT, T, difference, law_of, near

import spu
from spu.base.errors import InputError, UsageError
from spu.base.expressions import at_least, bit, parameter, size, whole
from spu.cli import cli
from spu.device.banks import Bank
from spu.device.device import Device
from spu.device.hardware_file import hardware_from_dict, load_hardware
from spu.device.imperfections import OPEN, Detail
from spu.device.lower import lower
from spu.emulator.dynamics import device_law
from spu.emulator.laws.timing import timing
from spu.folder import write_folder
from spu.spice.netlist import netlist

S, C, G, L = 4e-20, 1e-9, 1e-3, 1e-5
SWITCH = {"on_resistance": 20.0, "off_resistance": 1e7, "off_capacitance": 3e-12}


def one_cell(temperature=0.0, detail=None, **values):
    device = Device(temperature=temperature, detail=detail or Detail())
    device.add_cell("a", **({"capacitance": C, "conductance": G, "noise": S} | values))
    return device


def banked(detail, *, codes=(5, 2), coupler=3, quantity="capacitance", temperature=0.0, noise=S, inductance=L, bits=3):
    """Two cells whose trims, and whose coupler, are banks of ``bits`` bits."""
    unit = {"capacitance": C, "conductance": G}[quantity]
    trim, between = Bank(bits, 0.1 * unit, unit), Bank(bits, 0.2 * unit)
    device = Device(temperature=temperature, detail=detail)
    rest = {"capacitance": {"conductance": G, "inductance": inductance}, "conductance": {"capacitance": C}}[quantity]
    for name in "ab":
        device.add_cell(name, noise=noise, **{k: v for k, v in rest.items() if v})
    device.add_coupler("a", "b")
    device.set_banks(
        {quantity: trim}, {quantity: between}, {quantity: np.array(codes)}, {quantity: np.array([coupler])}
    )
    return device


def amplifiers(detail, codes=(3, -2), temperature=0.0, bits=2):
    """Two RC cells coupled by a bank of transconductors for each direction."""
    device = Device(temperature=temperature, detail=detail)
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G, noise=S)
    device.add_coupler("a", "b")
    keys = ("transconductance_ab", "transconductance_ba")
    device.set_banks(
        {},
        {"transconductance": Bank(bits, 1e-4, signed=True)},
        {},
        {key: np.array([code]) for key, code in zip(keys, codes, strict=True)},
    )
    return device


def covariance(drift, noise):
    """Of ``x' = drift x`` with noise of one-sided density matrix ``noise``: by the Kronecker sum."""
    n = len(drift)
    eye = np.eye(n)
    return -np.linalg.solve(np.kron(eye, drift) + np.kron(drift, eye), noise.ravel() / 2).reshape(n, n)


def run(*words):
    return CliRunner().invoke(cli, list(map(str, words)))


# Expressions


def test_expressions_print_what_they_compute():
    """For all codes of small banks, the text that ngspice gets has the value that the emulator takes."""
    code, lsb = parameter("code"), parameter("lsb")
    made = [
        *(bit(size(code), k) for k in range(3)),
        (bit(size(code), 1) * 5.0 + (1 - bit(size(code), 1)) * parameter("roff")) / 2,
        code / at_least(1, size(code)),
        2.5 + lsb * code,
        1.0 / (lsb - (code - 9) * 3),
        lsb / (code + 9) / 2 - whole(code / 4),
    ]
    functions = {"floor": math.floor, "abs": abs, "max": max, "__builtins__": {}}
    for value in range(-7, 8):
        values = {"code": value, "lsb": 0.25, "roff": 1e9}
        for expression in made:
            text = eval(expression.text, functions, values)
            assert text == near(expression(values), 1e-15) or text == expression(values) == 0
    assert [int(bit(code, k)({"code": 6})) for k in range(4)] == [0, 1, 1, 0]


@pytest.mark.parametrize("make", [banked, amplifiers])
def test_every_code_has_its_value(make):
    """At the ideal level a circuit's element is the bank's value at the code, bit by bit the same double."""
    for code in range(8 if make is banked else 4):
        device = make(Detail(), codes=(code, code))
        found = {(flat.group.names[0], flat.element.name): flat.values[0] for flat in lower(device).flatten()}
        if make is banked:
            assert found["xcell_a", "c1"] == C + 0.1 * C * code
        elif code:
            assert found["xcoupler_g_a_b", "gab"] == 1e-4 * code


# Closed forms


def test_node_parasitics():
    """They add to the cell's own: ``(S / 4 + kT g) / (g c)``."""
    device = one_cell(T, Detail(node={"capacitance": 0.3 * C, "conductance": 0.2 * G}))
    g, c = 1.2 * G, 1.3 * C
    assert law_of(device).voltage_covariance[0, 0] == near((S / 4 + KT * g) / (g * c), 1e-10)


def test_the_self_capacitance_of_an_inductor_adds_to_the_cell():
    device = one_cell(T, Detail(inductor={"capacitance": 0.3 * C}), inductance=L)
    assert law_of(device).voltage_covariance[0, 0] == near((S / 4 + KT * G) / (G * 1.3 * C), 1e-10)


@pytest.mark.parametrize("temperature", [0.0, T])
def test_series_resistance(temperature):
    """An inductor with its resistor: two states, and noise of both resistors."""
    R, kT = 3.0, BOLTZMANN * temperature
    device = one_cell(temperature, Detail(inductor={"series_resistance": R}), inductance=L)
    drift = np.array([[-G / C, -1 / C], [1 / L, -R / L]])
    expected = covariance(drift, np.diag([(S + 4 * kT * G) / C**2, 4 * kT * R / L**2]))
    assert law_of(device).voltage_covariance[0, 0] == near(expected[0, 0], 1e-10)


def test_a_closed_switch_and_an_open_one():
    """Bit 0 closed, bit 1 open, beside a fixed capacitor: three states, by hand."""
    ron, roff, coff = SWITCH.values()
    lsb, kT = 0.4 * C, KT
    device = Device(temperature=T, detail=Detail(switch=SWITCH))
    device.add_cell("a", conductance=G, noise=S)
    device.set_banks({"capacitance": Bank(2, lsb, C)}, {}, {"capacitance": np.array([1])}, {})
    # Nodes: the cell, behind the unit, behind the two units.
    E = np.array([[C + 3 * lsb, -lsb, -2 * lsb], [-lsb, lsb, 0], [-2 * lsb, 0, 2 * lsb + 2 * coff]])
    conductances = np.array([G, 1 / ron, 2 / roff])
    inverse = np.linalg.inv(E)
    noise = inverse @ np.diag([S, 0, 0] + 4 * kT * conductances) @ inverse
    expected = covariance(-inverse @ np.diag(conductances), noise)
    assert law_of(device).voltage_covariance[0, 0] == near(expected[0, 0], 1e-9)


@pytest.mark.parametrize("quantity", ["capacitance", "conductance"])
def test_in_thermal_equilibrium_every_node_has_kt_over_c(quantity):
    """Without injected noise: whatever leaks and switches, capacitors hold ``kT C^-1``; wrong noise would show."""
    detail = Detail(switch=SWITCH, node={"capacitance": 0.1 * C, "conductance": 0.3 * G})
    device = banked(detail, quantity=quantity, temperature=T, noise=0.0, inductance=None)
    law = law_of(device)
    energy = law.sde.E.toarray()
    expected = KT * np.linalg.inv(energy)
    found = law.dense.to_state @ law.covariance @ law.dense.to_state.T
    # States: the cells, behind each of nine switches; of resistors only where a switch is open.
    assert len(found) == (2 + 9 if quantity == "capacitance" else 2 + 1 + 2 + 1)
    assert difference(found, expected) < 1e-7


def test_open_switches_couple_through_their_capacitance():
    """A coupler at code 0: its units in series with the capacitances of their switches."""
    coff = 3e-12
    device = banked(
        Detail(switch={"on_resistance": 1e-4, "off_resistance": 1e11, "off_capacitance": coff}),
        coupler=0,
        codes=(7, 7),
    )
    expected = Device(temperature=0.0)
    for name in "ab":
        expected.add_cell(name, capacitance=1.7 * C, conductance=G, inductance=L, noise=S)
    expected.add_coupler("a", "b", capacitance=7 / (1 / (0.2 * C) + 1 / coff))
    assert difference(law_of(device).voltage_covariance, law_of(expected).voltage_covariance) < 1e-6


def test_a_resistor_bank_has_its_switches_in_series():
    """Closed: unit and on-resistance; open: unit and off-resistance."""
    detail = Detail(switch={"on_resistance": 100.0, "off_resistance": 1e6})
    device = banked(detail, quantity="conductance", codes=(5, 0), coupler=1)

    def conductance(unit, code):
        closed, opened = 1 / (1 / unit + 100.0), 1 / (1 / unit + 1e6)
        return code * closed + (7 - code) * opened

    expected = Device(temperature=0.0)
    for name, code in (("a", 5), ("b", 0)):
        expected.add_cell(name, capacitance=C, conductance=G + conductance(0.1 * G, code), noise=S)
    expected.add_coupler("a", "b", conductance=conductance(0.2 * G, 1))
    assert difference(law_of(device).voltage_covariance, law_of(expected).voltage_covariance) < 1e-10


def test_a_transconductor_bank_switches_its_inputs():
    """Each unit's input is divided by its two switches, which load the controlling node."""
    ron, roff = 1e3, 1e5
    device = amplifiers(Detail(switch={"on_resistance": ron, "off_resistance": roff}), codes=(3, -2))
    through, past = roff / (ron + roff), ron / (ron + roff)
    expected = Device(temperature=0.0)
    for name in "ab":  # three units load each node
        expected.add_cell(name, capacitance=C, conductance=G + 3 / (ron + roff), noise=S)
    expected.add_coupler("a", "b", transconductance=(3e-4 * through, -1e-4 * (2 * through + past)))
    assert difference(law_of(device).voltage_covariance, law_of(expected).voltage_covariance) < 1e-10


def test_a_buffer_is_one_pole():
    """From cell a's noise into cell b: ``-g Z_b / (1 + j f / bandwidth)`` times the voltage of a."""
    bandwidth, g = 3e6, 2e-4
    device = Device(temperature=0.0, detail=Detail(buffer={"bandwidth": bandwidth}))
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G, noise=S)
    device.add_coupler("a", "b", transconductance=(0.0, g))
    f = np.geomspace(1e3, 1e8, 30)
    transfer = law_of(device).transfer(f)
    expected = -g / (G + 2j * np.pi * f * C) / (1 + 1j * f / bandwidth)
    assert transfer[:, 1, 0] / transfer[:, 0, 0] == pytest.approx(expected, rel=1e-9)


def test_hidden_time_constants_do_not_set_the_pace():
    """Charges behind open switches leak for seconds; samples are taken as of the same device with ideal parts."""
    real = banked(Detail(switch={"on_resistance": 5.0, "off_capacitance": 1e-13}), temperature=T)
    slow, fast = device_law(real), law_of(real.at_detail(Detail()))
    assert slow.time_constants[0] > 1.0
    assert slow.slowest == near(fast.slowest, 0.1)
    assert timing(slow).sample_time == near(timing(fast).sample_time, 0.3)
    assert "method=trap" in netlist(real)


# Files and options


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[detail.swich]\non_resistance = 1.0", "4: detail has no table 'swich'; did you mean 'switch'"),
        ("[detail.switch]\non_resistence = 1.0", "5: detail.switch has no key 'on_resistence'; did you mean"),
        ("[detail.switch]\non_resistance = -1.0", "5: detail.switch.on_resistance is -1: it must be positive (ohm)"),
        ("[detail.switch]\non_resistance = true", "5: detail.switch.on_resistance must be a number in ohm, not True"),
        ("[detail.switch]\noff_capacitance = 1e-12", "4: detail.switch needs an on_resistance"),
        ("[detail.switch]\non_resistance = 9.0\noff_resistance = 8.0", "6: detail.switch.off_resistance is 8: an open"),
        ("[detail.switch]\non_resistance = 9.0\noff_resistance = 1e13", "6: detail.switch.off_resistance is 1e+13"),
        ("[detail.node]\ncapacitance = inf", "5: detail.node.capacitance is inf: it must be positive (F), and finite"),
        ("[detail]\nbuffer = 3", "5: detail.buffer must be a table of bandwidth, offset, not 3"),
    ],
)
def test_bad_details_are_refused_with_their_line(tmp_path, table, says):
    file = tmp_path / "board.toml"
    cell = "cell = { capacitance = { nominal = 1e-9 }, conductance = { nominal = 1e-3 }, noise = { nominal = 4e-20 } }"
    file.write_text(f'name = "x"\ntemperature = 0\narchitectures = ["rc-resistive"]\n{table}\n')
    file.write_text(f'name = "x"\ntemperature = 0\n{cell}\narchitectures = ["rc-resistive"]\n{table}\n')
    with pytest.raises(InputError) as caught:
        load_hardware(file)
    number, _, message = says.partition(":")
    assert f"{file}:{int(number) + 1}: {message.strip()}" in str(caught.value)


def test_detail_survives_files(tmp_path):
    hardware = load_hardware("spu8-switched")
    assert hardware_from_dict(json.loads(json.dumps(hardware.to_dict()))) == hardware
    device = banked(hardware.detail)
    device.write(tmp_path / "device.json")
    again = Device.read(tmp_path / "device.json")
    assert (again.detail, again.hash) == (device.detail, device.hash)
    assert device.hash != device.at_detail(Detail()).hash
    assert Device.from_graph(device.graph).detail == device.detail
    data = json.loads((tmp_path / "device.json").read_text())
    data["detail"]["node"]["capacity"] = 1e-12
    with pytest.raises(InputError, match=r"x\.json: detail\.node has no key 'capacity'; did you mean 'capacitance'"):
        Device.from_dict(data, file="x.json")


def test_one_hardware_file_serves_all_levels(tmp_path):
    problem = tmp_path / "m.csv"
    problem.write_text("2,-0.7,0\n-0.7,1.6,-0.4\n0,-0.4,1.9\n")
    errors = {}
    for level in ("none", "node.capacitance", "switch,node", "all"):
        found = run(
            "compile",
            problem,
            "--hardware",
            "spu8-switched",
            "--rounding",
            "nearest",
            "--detail",
            level,
            "-o",
            tmp_path / level,
            "--json",
        )
        assert found.exit_code == 0, found.output
        errors[level] = json.loads(found.stdout)["predicted_relative_error"]
    plain = run("compile", problem, "--hardware", "spu8", "--rounding", "nearest", "-o", tmp_path / "spu8", "--json")
    assert errors["none"] == json.loads(plain.stdout)["predicted_relative_error"]
    assert Device.read(tmp_path / "none" / "device.json").hash == Device.read(tmp_path / "spu8" / "device.json").hash
    assert errors["none"] < 0.2 * errors["node.capacitance"] < 0.2 * errors["switch,node"]
    # All to all: with switches the third coupler is there, though the problem does not use it.
    assert [len(Device.read(tmp_path / level / "device.json").coupler_ends) for level in ("none", "all")] == [2, 3]
    assert spu.check(tmp_path / "all", levels=["ideal"]).verdict == "pass"
    wrong = run("compile", problem, "--hardware", "spu8-switched", "--detail", "buffer", "-o", tmp_path / "x")
    assert (wrong.exit_code, "this hardware says nothing of it" in wrong.stderr) == (2, True)
    wrong = run("compile", problem, "--hardware", "spu8-switched", "--detail", "bufer", "-o", tmp_path / "x")
    assert (wrong.exit_code, "there is no such detail" in wrong.stderr) == (2, True)


def test_an_off_resistance_that_is_not_given_is_a_large_one():
    given = banked(Detail(switch={"on_resistance": 5.0, "off_resistance": OPEN}))
    assert (
        difference(
            law_of(banked(Detail(switch={"on_resistance": 5.0}))).voltage_covariance, law_of(given).voltage_covariance
        )
        < 1e-12
    )


# ngspice

DETAILS = {
    "switches": lambda: banked(Detail(switch=SWITCH), temperature=T, bits=2, codes=(3, 1), coupler=2),
    "everything": lambda: banked(
        Detail(
            switch=SWITCH,
            inductor={"series_resistance": 0.5, "capacitance": 1e-11},
            node={"capacitance": 2e-11, "conductance": 1e-5},
        ),
        temperature=T,
        bits=2,
        codes=(2, 1),
        coupler=1,
    ),
    "resistors": lambda: banked(
        Detail(switch=SWITCH), temperature=T, bits=2, codes=(3, 1), coupler=2, quantity="conductance"
    ),
    "amplifiers": lambda: amplifiers(Detail(switch=SWITCH, buffer={"bandwidth": 5e6}), temperature=T),
}


@pytest.mark.parametrize("name", DETAILS)
@pytest.mark.sampled(2)
def test_ngspice_agrees_at_every_level_of_detail(name):
    found = spu.check(DETAILS[name](), levels=["op", "ac", "replay"])
    assert found.verdict == "pass", found.levels
    assert found.levels["ac"].verdict == found.levels["replay"].verdict == "pass"


def test_ngspice_agrees_with_its_own_noise():
    found = spu.check(DETAILS["switches"](), levels=["noise"])
    assert found.levels["noise"].verdict == "pass", found.levels


@pytest.mark.parametrize("change", ["code", "bit"])
def test_a_wrong_bit_in_the_netlist_fails(tmp_path, change):
    """One bit more in a code; a bit that reads its neighbour."""
    device = DETAILS["switches"]()
    device.write(tmp_path / "device.json")
    text = netlist(device)
    old, new = {
        "code": ("coupler_c code=2", "coupler_c code=3"),
        "bit": ("bit1={floor(code/2)-2*floor(code/4)}", "bit1={floor(code/1)-2*floor(code/2)}"),
    }[change]
    assert old in text
    (tmp_path / "device.cir").write_text(text.replace(old, new))
    assert spu.check(tmp_path, levels=["ac"]).verdict == "fail"


# The budget


@pytest.fixture(scope="module")
def switched():
    matrix = np.array([[2.0, -0.7, -0.31], [-0.7, 1.6, -0.43], [-0.31, -0.43, 1.9]])
    return spu.compile_problem(spu.GaussianSampling(precision=matrix), "spu8-switched").device


def test_the_lines_add_up_and_the_rest_is_of_second_order(switched):
    """Shares and rest are the whole; with all effects a tenth as large the rest is a hundredth.

    At 0 K: the thermal noise of a switch, kT/C, does not get smaller with its resistance.
    """
    cold = copy(switched)
    cold.temperature = 0.0

    def budget(factor):
        detail = cold.detail
        for effect in detail.effects:
            # The off-resistance is absent at infinity, and so is its effect.
            detail = detail.scaled(effect, 1 / factor if effect == "switch.off_resistance" else factor)
        return spu.error_budget(cold.at_detail(detail))

    # Not smaller: laws of switches are exact to some 1e-9, which is to be nothing beside the rest.
    whole, small, smaller = budget(1.0), budget(0.3), budget(0.03)
    for found in (whole, small, smaller):
        assert found.sum + found.rest.share == near(found.relative_error, 1e-9)
    assert whole.relative_error == near(spu.predict(cold).relative_error)
    assert small.rest.norm / smaller.rest.norm == near(100.0, 0.1)
    for line, less in zip(small.lines[1:], smaller.lines[1:], strict=True):
        assert line.norm / less.norm == near(10.0, 0.1), line.effect
    assert [line.effect for line in whole.lines] == ["programming", *switched.detail.effects]
    warm = spu.error_budget(switched)
    assert warm.sum + warm.rest.share == near(warm.relative_error, 1e-9)
    assert [line.effect for line in warm.lines[:2]] == ["programming", "thermal"]


def test_each_line_is_right(switched):
    """Node and self-capacitance add ``eps I`` to C; leakage takes energy: ``kT_eff`` falls as ``1 / g``."""
    lines = {line.effect: line for line in spu.error_budget(switched).lines}
    ideal = law_of(switched.at_detail(Detail()))
    P, readout = ideal.voltage_covariance, switched.readout.matrix.toarray()
    size_ = np.linalg.norm(switched.problem.target_covariance)
    energy = 4e-20 / (4 * G) + BOLTZMANN * switched.temperature

    def norm(voltages):
        return np.linalg.norm(readout @ voltages @ readout.T) / size_

    for effect in ("node.capacitance", "inductor.capacitance"):
        eps = switched.detail[effect]
        expected = energy * np.linalg.inv(energy * np.linalg.inv(P) + eps * np.eye(3)) - P
        assert lines[effect].norm == near(norm(expected), 1e-6)
    g = switched.detail["node.conductance"]
    less = (4e-20 / (4 * (G + g)) + BOLTZMANN * switched.temperature) / energy - 1
    assert lines["node.conductance"].norm == near(norm(less * P), 1e-6)
    rounding = readout @ P @ readout.T - switched.problem.target_covariance
    assert lines["programming"].norm == near(np.linalg.norm(rounding) / size_, 1e-3)


def test_thermal_noise_of_resistive_couplers_has_its_line():
    """RC cells at T: the covariance has ``(kT / c) I`` besides, of which the compiler's gain makes up for a part."""
    hardware = load_hardware("ideal")
    hot = hardware_from_dict({**hardware.to_dict(), "temperature": T, "architectures": ["rc-resistive"]})
    problem = spu.GaussianSampling(precision=np.array([[2.0, -0.7], [-0.7, 1.0]]))
    device = spu.compile(problem, hot)
    budget = spu.error_budget(device)
    target = problem.target_covariance
    # gain^2 (P + q I), less the best multiple of P
    q = KT / device.cells[0].values["capacitance"] * device.readout.matrix.diagonal()[0] ** 2
    beyond = q * (np.eye(2) - np.trace(target) / np.sum(target**2) * target)
    assert budget.lines[1].norm == near(np.linalg.norm(beyond) / np.linalg.norm(target), 1e-3)
    assert budget.relative_error == near(spu.predict(device).relative_error)


def test_the_budget_of_a_linear_system_is_of_the_mean():
    matrix, vector = np.array([[2.0, -0.7], [-0.7, 1.0]]), [1.0, 0.5]
    device = spu.compile(spu.LinearSystem(matrix, vector))
    leak = 1e-3 * device.cells[0].values["conductance"]
    device.detail = Detail(node={"conductance": leak})
    budget = spu.error_budget(device)
    assert (budget.answer, budget.against) == ("mean", "problem")
    assert budget.relative_error == near(budget.lines[-1].norm, 1e-6)
    assert budget.relative_error == near(spu.predict(device).mean_relative_error)


def test_budgets_at_the_command_line(tmp_path, switched):
    matrix = spu.GaussianSampling(precision=np.array([[2.0, -0.7], [-0.7, 1.6]]))
    write_folder(tmp_path / "out", spu.compile_problem(matrix, "spu8-switched", rounding="nearest"))
    shown = run("inspect", tmp_path / "out", "--budget")
    assert shown.exit_code == 0, shown.output
    for words in ("on-resistance of the switches", "1 ohm", "sum of these", "whole error", "shares add up"):
        assert words in shown.output
    data = json.loads(run("inspect", tmp_path / "out", "--budget", "--json").stdout)["budget"]
    assert data["sum"] + data["rest"]["share"] == near(data["relative_error"], 1e-9)
    # Without a problem, against ideal parts; without either there is nothing to say.
    alone = banked(Detail(node={"capacitance": 1e-12}))
    assert spu.error_budget(alone).against == "ideal device"
    with pytest.raises(UsageError, match="neither"):
        spu.error_budget(one_cell())
    shutil.rmtree(tmp_path / "out")
