"""Couplers, parts of cells and a nonlinear element from outside of the package: the recipes of docs/howto/extending.md.

Expected values come from closed forms and from equations written out here, never from what the recipes stamp.
"""

import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import schemdraw.elements
from click.testing import CliRunner
from helpers import BOLTZMANN, T, m_matrix, near
from recipes import code, recipe
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov

import spu
from spu.base.errors import InputError
from spu.circuit.elements import Capacitor, Resistor
from spu.cli import cli
from spu.device.banks import Bank
from spu.device.codes import codes_table, program
from spu.device.device import Device
from spu.device.hardware import Range
from spu.device.hardware_file import hardware_from_dict, load_hardware
from spu.device.imperfections import Detail
from spu.device.lower import lower
from spu.device.quantities import CELL_PARTS, COUPLER_PARTS, PARTS, Part, register_cell_part, register_coupler_part
from spu.reports.diagram import _symbol
from spu.reports.inspection import look_at
from spu.reports.schematic import draw_schematic
from spu.spice.netlist import netlist

REGISTERS = (CELL_PARTS, COUPLER_PARTS)
KT = BOLTZMANN * T


@pytest.fixture
def parts(tmp_path):
    with recipe("A coupler (or a part of a cell)", tmp_path, REGISTERS) as module:
        yield module


@pytest.fixture
def cubic(tmp_path):
    with recipe("A nonlinear element", tmp_path, REGISTERS) as module:
        yield module


def written_out():
    """Mean square voltages of the recipe's two cells: Kirchhoff's laws of the circuit on the page, by hand.

    States: v_a, v_b, u over the coupling capacitor. Noise: one-sided densities, halved.
    """
    ca, cb, ck, ga, gb, leak, g, s = 1e-9, 2e-9, 4e-10, 1e-3, 5e-4, 2e-4, -3e-4, 2e-20
    r = 20e-9 / ck
    leaving = np.array(
        [
            [ga + leak + 1 / r, g - 1 / r, -1 / r],
            [-1 / r - g, gb + 1 / r, 1 / r],
            [-1 / r, 1 / r, 1 / r],
        ]
    )
    densities = 4 * KT * np.array([ga + leak, gb, 1 / r]) + [s, 0, 0]
    into = np.array([[1.0, 0, -1], [0, 1, 1], [0, 0, 1]])
    C = np.diag([ca, cb, ck])
    A = -np.linalg.solve(C, leaving)
    K = np.linalg.solve(C, into)
    return A, solve_continuous_lyapunov(A, -K @ np.diag(densities / 2) @ K.T)


def test_couplers_and_a_part_from_outside(parts, tmp_path):
    device = parts.example()
    A, S = written_out()
    prediction = spu.predict(device)
    assert prediction.covariance == near(S[:2, :2], rel=1e-9)
    assert np.sort(prediction.time_constants) == near(np.sort(-1 / np.linalg.eigvals(A).real), rel=1e-6)

    # Its file, a graph and a pickle hold it; so does a copy.
    device.write(tmp_path / "device.json")
    row = json.loads((tmp_path / "device.json").read_text())["couplers"][0]
    assert (row["lossy_capacitance"], row["gyration"]) == (4e-10, -3e-4)
    for other in (Device.read(tmp_path / "device.json"), pickle.loads(pickle.dumps(device))):
        assert other.hash == device.hash
        assert spu.predict(other).covariance == near(prediction.covariance, rel=1e-14)
    assert Device.from_graph(device.graph).cells == device.cells
    assert Device.from_graph(device.graph).couplers == device.couplers
    changed = Device.from_dict(device.to_dict() | {"couplers": [row | {"gyration": 3e-4}]})
    assert changed.hash != device.hash

    run = spu.simulate(device, samples=4000, seed=3)
    scatter = np.sqrt(2 / 4000)
    assert np.abs(np.diag(run.covariance) / np.diag(S)[:2] - 1).max() < 6 * scatter


def test_without_injected_noise_a_lossy_capacitor_couples_nothing(parts):
    # All at one temperature: energies C v^2/2 of independent capacitors, whatever the gyrator turns.
    device = parts.example()
    device.cell_columns.arrays["noise"][:] = np.nan
    found = spu.predict(device).covariance
    assert np.abs(found - np.diag([KT / 1e-9, KT / 2e-9])).max() < 1e-9 * KT / 2e-9


def test_values_from_outside_are_checked(parts):
    device = Device()
    device.add_cell("a", capacitance=1e-9)
    device.add_cell("b", capacitance=1e-9)
    with pytest.raises(InputError, match=r"lossy_capacitance must be positive \(F\), not -1e-10"):
        device.add_coupler("a", "b", lossy_capacitance=-1e-10)
    with pytest.raises(InputError, match="gyration takes gyration, not 2 values"):
        device.add_coupler("a", "b", gyration=(1e-3, 2e-3))
    with pytest.raises(InputError, match="has no quantity 'gyrations'; did you mean 'gyration'"):
        device.add_coupler("a", "b", gyrations=1e-3)
    with pytest.raises(InputError, match="a cell has no column 'leek'"):
        Device.from_arrays(["a"], {"leek": [1.0]}, [], {})


def test_netlists_of_parts_from_outside(parts, tmp_path):
    device = parts.example()
    for dialect in ("ngspice", "ltspice", "xyce", "spectre"):
        text = netlist(device, dialect=dialect)
        assert len(re.findall(r"^xcoupler_k_a_b\b.*4e-10.*50", text, flags=re.M)) == 1, dialect
        assert len(re.findall(r"^xcoupler_y_a_b\b.*-0.0003", text, flags=re.M)) == 1, dialect
    (tmp_path / "device.cir").write_text(netlist(device))
    assert spu.predict(tmp_path / "device.cir").covariance == near(written_out()[1][:2, :2], rel=1e-9)


def test_ngspice_on_parts_from_outside(parts, tmp_path):
    device = parts.example()
    found = spu.check(device)
    assert found.verdict == "pass"
    assert {name for name, level in found.levels.items() if level.verdict == "pass"} >= {"op", "ac", "replay", "noise"}
    _, S = written_out()
    assert found.covariances["ngspice"] == near(S[:2, :2], rel=1e-4)
    text = netlist(device)
    for line, right, wrong in (
        ("  rk plate b {rk}", "{rk}", "{1.2*rk}"),
        ("  gyba b 0 a 0 {gyba}", "{gyba}", "{-gyba}"),
        ("  grleak a 0 tleak 0 {sqrt(kt4/rleak)/en}", "kt4", "2*kt4"),
    ):
        assert line in text
        deck = tmp_path / "wrong.cir"
        deck.write_text(text.replace(line, line.replace(right, wrong)))
        assert spu.check(device, netlist=deck, levels=["ac", "replay"]).verdict == "fail", line


def test_tables_and_pictures_of_parts_from_outside(parts, tmp_path):
    device = parts.example()
    device.write(tmp_path / "device.json")
    (tmp_path / "device.cir").write_text(netlist(device))
    shown = CliRunner().invoke(cli, ["inspect", str(tmp_path), "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.output)
    assert found["cell_table"][0]["leak"] == 2e-4
    assert found["coupler_table"][0]["gyration"] == -3e-4
    # 0.4 nF over the root of (1 + 0.4)(2 + 0.4) nF^2 couples more than 0.3 mS over that of 1.2 and 0.5 mS.
    assert found["coupler_table"][0]["kind"] == "gyration < 0"
    assert found["coupler_table"][0]["strength"] == near(3e-4 / np.sqrt(1.2e-3 * 5e-4), rel=1e-9)
    assert found["cell_table"][0]["time_constant"] == near(1.4e-9 / 1.2e-3, rel=1e-9)
    text = CliRunner().invoke(cli, ["inspect", str(tmp_path)]).output
    assert "lossy capacitance" in text and "400 pF" in text and "-300 uS" in text and "5 kohm" in text

    lines = look_at(device).lines
    assert lines["lossy_capacitance"] == ("tab:olive", "dashed")
    (colour, solid), (same, dotted) = lines["gyration > 0"], lines["gyration < 0"]
    others = {each for kind, (each, _) in lines.items() if not kind.startswith("gyration")}
    assert colour == same and colour not in others and (solid, dotted) == ("solid", "dotted")

    figure = draw_schematic(device, "a")
    words = "\n".join(t.get_text() for axes in figure.axes for t in axes.texts)
    assert "RLEAK" in words and "5 kΩ" in words and "CK" in words and "400 pF" in words and "GYAB" in words
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [each.get_text() for each in legend.get_texts()] == ["lossy capacitor", "gyrator"]
    plotted = CliRunner().invoke(cli, ["inspect", str(tmp_path), "--plot", str(tmp_path / "graph.svg")])
    assert plotted.exit_code == 0, plotted.output
    spu.report(tmp_path, levels=["op"], samples=100)
    assert "lossy capacitance" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("switch", [{}, {"on_resistance": 50.0, "off_resistance": 1e8}], ids=["ideal", "switches"])
def test_banks_of_a_part_from_outside(parts, switch, tmp_path):
    # Two banks of resistors in one cell: their switches, codes and noises keep apart.
    device = Device(temperature=T, detail=Detail(switch=switch) if switch else Detail())
    for name in "ab":
        device.add_cell(name, capacitance=1e-9, noise=2e-20)
    banks = {"conductance": Bank(2, 1e-4, 5e-4), "leak": Bank(3, 2e-5)}
    device.set_banks(banks, {}, {"conductance": np.array([1, 3]), "leak": np.array([5, 6])}, {})

    def built(bank, code):
        total = bank.offset
        for k in range(bank.bits):
            of_switch = (switch["on_resistance"] if code >> k & 1 else switch["off_resistance"]) if switch else 0.0
            unit = 1 / (1 / bank.lsb + of_switch)
            total += 2**k * (unit if switch or code >> k & 1 else 0.0)
        return total

    G = [built(banks["conductance"], one) + built(banks["leak"], two) for one, two in ((1, 5), (3, 6))]
    expected = [KT / 1e-9 + 2e-20 / (4 * g * 1e-9) for g in G]
    assert np.diag(spu.predict(device).covariance) == near(expected, rel=1e-9)
    device.write(tmp_path / "device.json")
    again = Device.read(tmp_path / "device.json")
    assert again.hash == device.hash
    assert "1,cell,b,leak,6" in codes_table(again)
    other = program(again, "element,name,quantity,code\ncell,b,leak,1\n")
    assert other.cell_columns.arrays["leak"][1] == near(2e-5)
    assert spu.check(device, levels=["op", "ac"]).verdict == "pass"


def test_hardware_gives_ranges_of_parts_from_outside(parts):
    given = load_hardware("spu8").to_dict()
    given["cell"]["leak"] = {"max": 1e-3, "bits": 3, "lsb": 2e-5}
    given["coupler"]["gyration"] = {"min": -1e-3, "max": 1e-3}
    hardware = hardware_from_dict(given)
    assert hardware.cell["leak"].bank == Bank(3, 2e-5)
    assert hardware.coupler["gyration"] == Range(min=-1e-3, max=1e-3)
    assert hardware_from_dict(hardware.to_dict()) == hardware
    for part, quantity, limits, message in (
        ("cell", "leak", {"min": -1.0}, "cell.leak: min -1 is negative"),
        ("coupler", "gyration", {"bits": 3, "lsb": 1e-5}, "unknown key 'bits' in coupler.gyration"),
        ("cell", "gyration", {}, r"unknown key 'gyration' in \[cell\]"),
    ):
        with pytest.raises(InputError, match=message):
            hardware_from_dict(given | {part: given[part] | {quantity: limits}})


def test_a_part_from_outside_leaves_everything_else_as_it_was(tmp_path):
    problem = spu.LinearSystem(matrix=m_matrix(np.random.default_rng(1), 4), vector=[1.0, 0.0, -1.0, 2.0])
    hardware = load_hardware("spu8-8bit")

    def state():
        device = spu.compile(problem)
        return device.hash, device.content, device.to_json(), netlist(device), hardware_from_dict(hardware.to_dict())

    before = state()
    with recipe("A coupler (or a part of a cell)", tmp_path, REGISTERS):
        assert state() == before
    assert state() == before
    assert "leak" not in CELL_PARTS and "gyration" not in COUPLER_PARTS


def test_the_command_line_knows_a_part_that_is_imported_first(parts, tmp_path):
    parts.example().write(tmp_path / "device.json")
    (tmp_path / "device.cir").write_text(netlist(parts.example()))
    start = "from spu.cli import main; main()"
    found = []
    for text in (f"import {parts.__name__}; {start}", start):
        command = [sys.executable, "-c", text, "predict", str(tmp_path), "--json"]
        found.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False))
    assert json.loads(found[0].stdout)["covariance"][0][0] == near(written_out()[1][0, 0], rel=1e-9)
    assert found[1].returncode != 0 and "has no quantity 'leak'" in found[1].stdout


def test_clashes_are_refused_by_name(parts):
    leak = CELL_PARTS["leak"]
    loss = COUPLER_PARTS["lossy_capacitance"]
    for register, part, message in (
        (register_cell_part, leak, "part 'leak' of a cell: quantity leak is that of leak"),
        (register_cell_part, replace(leak, quantity="other"), "letter k is that of leak; left are a d e"),
        (register_cell_part, replace(leak, quantity="other", letter="kk"), "its letter must be one from a to z"),
        (register_cell_part, replace(leak, quantity="name", letter="d"), "its quantity must be a word"),
        (register_cell_part, replace(leak, quantity="other", letter="d"), "element rleak is that of leak"),
        (register_coupler_part, replace(loss, quantity="other", letter="d"), "element ck is that of lossy_capacitance"),
        (register_coupler_part, replace(loss, quantity="bias", letter="d"), "element ck"),
    ):
        with pytest.raises(ValueError, match=message):
            register(part)
    fresh = Part("other", "S", "d", "something", (Resistor("rd", ("a", "0"), "rd", "td"),), {"rd": abs})
    for wrong, message in (
        (replace(fresh, parameters={}), "nothing gives the parameter rd"),
        (fresh, "must name the noise ports of its elements"),
        (replace(fresh, thermal_port="td", elements=(Resistor("rd", ("b", "0"), "rd", "td"),)), "is on a"),
        # Noises of two resistors are independent; one source for both made a circuit out of equilibrium.
        (
            replace(
                fresh,
                thermal_port="td",
                elements=(Resistor("rd", ("a", "x"), "rd", "td"), Resistor("re", ("x", "0"), "rd", "td")),
            ),
            "elements that share a noise port",
        ),
        (
            replace(
                fresh, elements=(Capacitor("cd", ("a", "x"), "rd"), Resistor("rd", ("x", "0"), "rd")), bank="branches"
            ),
            "a bank of branches is one resistor or capacitor",
        ),
        (replace(fresh, thermal_port="td", bank="inputs"), "a bank of inputs is one transconductor a column"),
        (replace(fresh, thermal_port="td", columns=("x_a", "y_a")), "must differ behind their last underscore"),
        (replace(fresh, thermal_port="td", quantity="gyration"), "a coupler has a part of that name with a sign"),
    ):
        with pytest.raises(ValueError, match=message):
            register_cell_part(wrong)
    assert "other" not in PARTS["cell"]


def test_an_inner_node_of_a_parasitic_is_not_shared(parts):
    # "m" is where the series resistance of inductors begins: one netlist node for both would be another circuit.
    register_cell_part(
        Part(
            "tail",
            "F",
            "d",
            "a capacitor behind a resistor",
            (Capacitor("cd", ("a", "m"), "cd"), Resistor("rd", ("m", "0"), "rd")),
            {"cd": abs, "rd": abs},
            columns=("tail_c", "tail_r"),
        )
    )
    device = Device(detail=Detail(inductor={"series_resistance": 1.0}))
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, tail=(1e-10, 100.0))
    with pytest.raises(InputError, match="both inductance to ground and a capacitor behind a resistor have the node m"):
        lower(device)


# --- a nonlinear element ---------------------------------------------------------------------


def wells():
    """(2,) variance of a cell of the recipe's device, and covariance, by sums over its law.

    ``exp(-U/theta)`` with the co-content ``U = sum of (g v^2/2 + g3 v^4/4) - gm v_a v_b`` in W. Of ``C dv = -U' dt +
    sqrt(s/2) dW``, with the one-sided density s, it is the law for ``theta = s / (4 C)``.
    """
    g, g3, gm, theta = 2e-6, 4e-5, 1e-6, 1e-19 / 4 / 1e-12
    unit = np.sqrt(theta / g)

    def weight(x, y):
        a, b = x * unit, y * unit
        return np.exp(-(g * (a * a + b * b) / 2 + g3 * (a**4 + b**4) / 4 - gm * a * b) / theta)

    x, y = np.meshgrid(*[np.linspace(-8, 8, 801)] * 2)
    w = weight(x, y)
    return unit**2 * np.array([(w * x * x).sum(), (w * x * y).sum()]) / w.sum()


def test_a_cubic_conductance_from_outside(cubic, tmp_path):
    device = cubic.example()
    variance, covariance = wells()
    prediction = spu.predict(device)
    assert prediction.covariance == near(np.array([[variance, covariance], [covariance, variance]]), rel=1e-6)

    device.write(tmp_path / "device.json")
    for other in (Device.read(tmp_path / "device.json"), pickle.loads(pickle.dumps(device))):
        assert other.hash == device.hash
        assert spu.predict(other).covariance == near(prediction.covariance, rel=1e-12)

    # One cell alone: the mean square of exp(-(g v^2/2 + g3 v^4/4)/theta).
    one = Device(temperature=0.0)
    one.add_cell("a", capacitance=1e-12, conductance=2e-6, cubic_conductance=4e-5, noise=1e-19)
    theta = 1e-19 / 4 / 1e-12
    law = [quad(lambda v, n=n: v**n * np.exp(-(1e-6 * v**2 + 1e-5 * v**4) / theta), -1, 1, epsabs=0)[0] for n in (0, 2)]
    assert spu.predict(one).covariance[0, 0] == near(law[1] / law[0], rel=1e-7)
    run = spu.simulate(one, times=[0.0, 2e-5], trajectories=4000, seed=1)
    assert abs(run.variance[-1, 0] / (law[1] / law[0]) - 1) < 6 * np.sqrt(2 / 4000)


def test_ngspice_on_a_cubic_conductance_from_outside(cubic, tmp_path):
    device = cubic.example()
    device.write(tmp_path / "device.json")
    deck, text = tmp_path / "device.cir", netlist(device)
    deck.write_text(text)
    found = spu.check(tmp_path)
    assert found.verdict == "pass"
    assert {name for name, level in found.levels.items() if level.verdict == "pass"} >= {"op", "replay"}
    line = "  b3 a 0 i={g3}*v(a,0)*v(a,0)*v(a,0)"
    assert line in text
    for wrong, verdict in (
        ("  b3 a 0 i={1.1*g3}*v(a,0)*v(a,0)*v(a,0)", "fail"),
        ("  b3 a 0 i={g3}*v(a,0)^3", "error"),  # |v|^3 to ngspice: it runs away on one side
    ):
        deck.write_text(text.replace(line, wrong))
        assert spu.check(tmp_path).verdict == verdict, wrong


def test_tables_and_pictures_of_a_cubic_conductance(cubic, tmp_path):
    device = cubic.example()
    device.write(tmp_path / "device.json")
    (tmp_path / "device.cir").write_text(netlist(device))
    shown = CliRunner().invoke(cli, ["inspect", str(tmp_path), "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output)["cell_table"][0]["cubic_conductance"] == 4e-5
    text = CliRunner().invoke(cli, ["inspect", str(tmp_path)]).output
    assert "cubic conductance" in text and "40 uA/V^3" in text

    # At rest under a bias: the slope of g v + g3 v^3 where that is the bias.
    one = Device(temperature=0.0)
    one.add_cell("a", capacitance=1e-12, conductance=2e-6, cubic_conductance=4e-5, noise=1e-19, bias=1e-6)
    (v,) = (root.real for root in np.roots([4e-5, 0, 2e-6, -1e-6]) if abs(root.imag) < 1e-9)
    assert look_at(one).cells[0].time_constant == near(1e-12 / (2e-6 + 3 * 4e-5 * v**2), rel=1e-6)
    figure = draw_schematic(device)
    words = "\n".join(t.get_text() for axes in figure.axes for t in axes.texts)
    assert "B3" in words and "40 µA/V³" in words
    assert any(t.get_text() == "Boxes: i = g3 v³." for t in figure.texts)
    element = CELL_PARTS["cubic_conductance"].elements[0]
    assert isinstance(_symbol(element), schemdraw.elements.RBox)

    class Marked(cubic.CubicConductance):
        symbol = "Diode"

    assert isinstance(_symbol(Marked("b3", ("a", "0"), "g3")), schemdraw.elements.Diode)


def test_the_page_can_be_copied_into_one_file():
    for heading in ("A coupler (or a part of a cell)", "A nonlinear element"):
        compile(code(heading), heading, "exec")
