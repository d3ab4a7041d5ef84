"""Schematics: every element in the layout, between its nodes; every value on the page, and nothing off it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import schemdraw
import schemdraw.elements
from click.testing import CliRunner
from helpers import frustrated, m_matrix, rlc_pair

import spu
from spu.base.numbers import engineering
from spu.circuit.circuit import Subcircuit
from spu.circuit.elements import Capacitor, CurrentSource, Inductor, NoiseCurrent, Resistor, Transconductor
from spu.cli import cli
from spu.device.device import Device
from spu.device.lower import lower
from spu.reports.diagram import GROUND, _symbol, electrical_ports, lay_out
from spu.reports.schematic import MOST_CELLS, draw_schematic

LEAKY = Subcircuit(
    "cell_x",
    ("a", "n"),
    (),
    (
        Resistor("rs", ("a", "x"), "rs"),
        Inductor("l1", ("x", "0"), "l"),
        Capacitor("cp", ("0", "a"), "cp"),
        NoiseCurrent("gn", ("0", "a"), "sn", "n"),
        Resistor("r2", ("a", "y"), "r"),
        Capacitor("c2", ("y", "0"), "c"),
        Resistor("r3", ("y", "0"), "r"),
        CurrentSource("ib", ("0", "y"), "ib"),
    ),
)
SWITCHED = Subcircuit(
    "coupler_x",
    ("a", "b"),
    (),
    (
        Resistor("ron", ("m", "a"), "ron"),
        Capacitor("c1", ("m", "b"), "c"),
        Resistor("roff", ("b", "a"), "roff"),
        Transconductor("gab", ("a", "0", "b", "0"), "g"),
    ),
)


NETWORK = spu.ThermodynamicNetwork(
    J2=[1.0, -0.5, 0.3],
    J3=[0.1, 0.2, 0.0],
    J4=1.0,
    input=[2.0, 0.0, -1.0],
    couplings=[[0.0, 0.5, -0.4], [0.5, 0.0, 0.0], [-0.4, 0.0, 0.0]],
)
SINGLE = spu.ThermodynamicNetwork(J2=[1.0, 0.5], J4=1.0, input=[2.0, 0.0])
NETWORKS = {
    "rc-conductance": spu.compile_network(NETWORK, "neurons", architecture="rc-conductance").device,
    "rlc-flux": spu.compile_network(NETWORK, "neurons", architecture="rlc-flux").device,
    "rc-charge": spu.compile_network(SINGLE, architecture="rc-charge").device,
}


def templates():
    devices = [
        *NETWORKS.values(),
        rlc_pair(300.0),
        spu.compile(spu.GaussianSampling(precision=frustrated(np.random.default_rng(0), 3))),
        spu.compile(spu.LinearSystem(matrix=m_matrix(np.random.default_rng(0), 3), vector=[1.0, 2.0, 3.0])),
    ]
    return [LEAKY, SWITCHED, *(group.subcircuit for device in devices for group in lower(device).instances)]


@pytest.mark.parametrize("template", templates(), ids=lambda template: template.name)
def test_every_element_is_drawn_between_its_nodes(template):
    layout = lay_out(template)
    assert layout.ends == electrical_ports(template)
    chains = [*itertools.chain(*layout.hanging.values()), *(chain for chain, _ in layout.lying)]
    drawn = [element for chain in chains for element, _ in chain.elements]
    assert sorted(e.name for e in drawn) == sorted(e.name for e in template.elements)
    for chain in chains:  # walked from end to end, each element continues at the node where the last one stopped
        at = chain.start
        for element, forwards in chain.elements:
            first, second = element.nodes[:2] if forwards else element.nodes[1::-1]
            assert first == at
            at = second
        assert at == chain.end
    assert all(chain.end == GROUND and chain.start == node for node, hung in layout.hanging.items() for chain in hung)
    # Rails from left to right, without overlap; chains that lie do not run through each other.
    spans = list(layout.rails.values())
    assert all(left <= right < following for (left, right), (following, _) in itertools.pairwise(spans))
    for (one, y), (other, z) in itertools.combinations(layout.lying, 2):
        (a, b), (c, d) = ((layout.rails[k.start][1], layout.rails[k.end][0]) for k in (one, other))
        assert y != z or b <= c or d <= a
    assert layout.width > spans[-1][1]


def test_series_elements_are_one_chain():
    layout = lay_out(LEAKY)
    names = [[element.name for element, _ in chain.elements] for chain in layout.hanging["a"]]
    assert ["rs", "l1"] in names and ["cp"] in names
    assert list(layout.rails) == ["a", "y"]  # y has a third element, x has not
    coupler = lay_out(SWITCHED)
    assert list(coupler.rails) == ["a", "b"]
    (switched,) = (chain for chain, _ in coupler.lying if len(chain.elements) == 2)
    assert [(element.name, forwards) for element, forwards in switched.elements] == [("ron", False), ("c1", True)]
    assert [chain.elements[0][0].name for chain in coupler.hanging["a"]] == ["gab"]


def texts(figure):
    return [text for axes in figure.axes for text in axes.texts] + list(figure.texts)


def written(figure):
    return "\n".join(text.get_text() for text in texts(figure))


DEVICES = {
    **NETWORKS,
    "rlc": rlc_pair(300.0),
    "dual": spu.compile(
        spu.GaussianSampling(precision=frustrated(np.random.default_rng(0), 3) + 2 * np.eye(3)),
        architecture="rlc-capacitive-dual",
    ),
    "transconductors": spu.compile(spu.GaussianSampling(precision=frustrated(np.random.default_rng(0), 4))),
    "linear": spu.compile(spu.LinearSystem(matrix=m_matrix(np.random.default_rng(0), 3), vector=[1.0, 2.0, 3.0])),
    "shared noise": spu.compile(spu.LyapunovEquation([[1.0, 2.0], [-2.0, 1.5]], [[1.0, -0.5], [-0.5, 0.8]])),
    "34 cells": spu.compile(spu.load_problem(Path(__file__).parents[2] / "examples" / "karate_club.mtx")[0]),
}


@pytest.mark.parametrize("name", DEVICES)
def test_nothing_is_off_the_page(name):
    device = DEVICES[name]
    figure = draw_schematic(device)
    page = figure.bbox
    for text in texts(figure):
        box = text.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
    circuits, graph = figure.axes
    left, right = circuits.get_xlim()
    bottom, top = circuits.get_ylim()
    for line in circuits.lines:
        assert left <= min(line.get_xdata()) and max(line.get_xdata()) <= right
        assert bottom <= min(line.get_ydata()) and max(line.get_ydata()) <= top
    parts = sum(len(coupler.values) for coupler in device.couplers)
    assert len(graph.lines) == parts and len(graph.texts) == parts + len(device.cells)


def test_what_is_written():
    said = written(draw_schematic(DEVICES["rlc"], "b"))
    assert "cell b" in said and "2 nF\n(1 nF\nto 2 nF)" in said  # b's own, and the range
    assert "30 µH" in said and "100 pA/√Hz" in said and "2 kΩ" in said
    assert "C1 500 pF" in said and "R1 5 kΩ" in said and "4kT/R at 300 K" in said
    said = written(draw_schematic(DEVICES["shared noise"], "x2"))
    assert "shared noise w_q1" in said and "w_q1 -100 pA/√Hz" in said and "noise that several cells share" in said
    assert "Kinds of cells" in said and "shared_noise" not in said
    said = written(draw_schematic(DEVICES["dual"], "x1_n"))
    assert "dual-rail pair of cells x1_n, x1_p" in said and "x1_n - " in said and "x1_p - " in said
    device = Device()
    device.add_cell("one", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_cell("two", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("one", "two", transconductance=(1e-5, -2e-5))
    said = written(draw_schematic(device))
    assert "GAB\n10 µS\n× v(two)" in said and "GBA\n-20 µS\n× v(one)" in said and "10 µS / -20 µS" in said


def test_a_bank_is_one_part_with_its_code():
    """Units and switches of a bank are one part; couplers whose switches are all open are counted, not drawn."""
    problem, _ = spu.load_problem(Path(__file__).parents[2] / "examples" / "club8.toml")
    figure = draw_schematic(spu.compile(problem, "spu8-switched"))
    said = written(figure)
    assert "bank 101010\nC1 1.34 nF" in said and "C1\nbank 00000111\n352 pF" in said
    assert "RC0" not in said and "CC0" not in said and "C1 320 pF" in said
    assert "closed 1 Ω, open 1 GΩ and 100 fF" in said and "13 couplers whose switches are all open" in said
    assert len(figure.axes[1].lines) == 15
    said = written(draw_schematic(spu.compile(problem, "spu8")))
    assert "bank 101010\nC1 1.34 nF" in said and "closed" not in said


def test_long_names_and_values_stand_clear_of_the_next_part():
    names = [f"pressure_at_the_outlet_of_stage_{k}" for k in range(3)]
    problem = spu.GaussianSampling(precision=m_matrix(np.random.default_rng(0), 3), variables=names)
    figure = draw_schematic(spu.compile(problem, "ota8"))
    assert "-182 µS / " not in written(figure) and "noise\n4kT·" in written(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)


@pytest.mark.parametrize("name", NETWORKS)
def test_nonlinear_cells_are_drawn_with_all_their_values(name):
    """Every coefficient of the cell that is drawn, with its unit; those that differ in the graph, too, or else once."""
    device = NETWORKS[name]
    cell = device.cells[0]
    said = written(draw_schematic(device, cell.name))
    (quantity,) = (key for key in cell.values if key.startswith("polynomial"))
    letter = {"polynomial_conductance": "p", "polynomial_inductance": "f", "polynomial_capacitance": "q"}[quantity]
    unit = {"p": "A/V", "f": "A/Wb", "q": "V/C"}[letter]
    for k, value in enumerate(cell.values[quantity], start=1):
        power = ["", "²", "³"][k - 1]
        shown = engineering(value, f"{unit}{power}").replace(" u", " µ")
        assert said.count(f"{letter}{k} {shown}") == 2, (letter, k, shown)
    law = {"p": "i = p1 v + p2 v² + p3 v³", "f": "i = f1 φ + f2 φ² + f3 φ³", "q": "v = q1 q + q2 q² + q3 q³"}
    assert law[letter] in said
    assert ("Resistors" in said) == (letter != "p")  # where there are none nothing is said of them


def test_crossed_inductors_are_drawn_with_their_transformer():
    device = NETWORKS["rlc-flux"]
    figure = draw_schematic(device)
    said = written(figure)
    value = engineering(device.couplers[0].values["crossed_inductance"], "H")
    assert f"LX {value}" in said and "sum of its two cells' fluxes" in said and "1 : -1" in said
    assert len(figure.axes[0].patches) >= 2  # the dots of its coils
    assert "behind a transformer" not in written(draw_schematic(NETWORKS["rc-conductance"]))


def test_symbols_of_nonlinear_elements_are_their_own():
    """Each is that of the linear element with one stroke more, and none looks like another."""
    shapes = {}
    for name, linear in (("rc-conductance", "ResistorIEC"), ("rlc-flux", "Inductor2"), ("rc-charge", "Capacitor")):
        elements = [e for group in lower(NETWORKS[name]).instances for e in group.subcircuit.elements]
        element = next(element for element in elements if len(element.parameters) > 1)
        found, plain = _symbol(element), getattr(schemdraw.elements, linear)()
        assert len(found.segments) == len(plain.segments) + 1
        assert [s.path for s in found.segments[:-1]] == [s.path for s in plain.segments]
        shapes[name] = str(found.segments[0].path)
    assert len(set(shapes.values())) == 3


@pytest.mark.parametrize("name", ["rc-charge"])
def test_cells_that_nothing_joins_are_in_the_graph(name):
    graph = draw_schematic(NETWORKS[name]).axes[1]
    box = graph.get_window_extent()
    assert {text.get_text().split("\n")[0] for text in graph.texts} == {"x1", "x2"}
    assert all(box.overlaps(text.get_window_extent()) for text in graph.texts)


def test_labels_of_eight_cells_are_apart():
    problem = spu.GaussianSampling(precision=m_matrix(np.random.default_rng(3), 8, 10.0))
    _, graph = draw_schematic(spu.compile(problem, "spu8")).axes
    boxes = [text.get_window_extent() for text in graph.texts]
    assert len(boxes) > 15
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_of_many_cells_the_surroundings():
    n = MOST_CELLS + 20
    precision = np.diag(np.full(n, 3.0)) - np.eye(n, k=1) - np.eye(n, k=-1)
    device = spu.compile(spu.GaussianSampling(precision=precision))
    figure = draw_schematic(device, "x40")
    said = written(figure)
    assert "Of 80 cells the graph shows 30 near the chosen one" in said
    assert "x39 - x40" in said or "x40 - x41" in said
    assert "x40" in said and "x70" not in said
    assert len(figure.axes[1].lines) == 29


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_inspect_draws_it(tmp_path, ending):
    rlc_pair(300.0).write(tmp_path / "d.json")
    file = tmp_path / f"s.{ending}"
    done = CliRunner().invoke(cli, ["inspect", str(tmp_path / "d.json"), "--schematic", str(file), "--cell", "b"])
    assert done.exit_code == 0 and f"schematic: {file}" in done.output
    first = file.read_bytes()
    assert first[:5] in (b"<?xml", b"\x89PNG\r", b"%PDF-")
    CliRunner().invoke(cli, ["inspect", str(tmp_path / "d.json"), "--schematic", str(file), "--cell", "b"])
    assert file.read_bytes() == first


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--schematic", "s.gif"], "must end in .png, .svg, .pdf"),
        (["--schematic", "s.svg", "--cell", "z"], "no cell 'z'"),
        (["--cell", "a"], "give --schematic FILE"),
    ],
)
def test_refusals(tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    rlc_pair().write("d.json")
    done = CliRunner().invoke(cli, ["inspect", "d.json", *args])
    assert done.exit_code == 2 and said in done.stderr
    assert not Path("s.svg").exists() and not Path("s.gif").exists()
