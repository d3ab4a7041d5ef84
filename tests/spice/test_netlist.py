"""The netlist's text: read back by a parser of its own, it must be the device; and the reader of decks.

ngspice is not needed here.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import BOLTZMANN, Nodal, T, difference, frustrated, m_matrix, near, random_device, rc_pair, rlc_pair
from hypothesis import given
from hypothesis import strategies as st

import spu
from spu.base.errors import DeckError, InputError
from spu.base.numbers import engineering
from spu.device.device import Device
from spu.device.lower import lower
from spu.spice.deck import read_deck
from spu.spice.dialects.dialect import number
from spu.spice.names import noise_resistor
from spu.spice.netlist import netlist

# A reader of netlists: as little of SPICE as ours need


class Netlist:
    """Elements of a netlist after flattening: (type, name, nodes, values), the last word evaluated."""

    def __init__(self, text: str) -> None:
        lines: list[str] = []
        for raw in text.splitlines()[1:]:
            if raw.startswith("+"):
                lines[-1] += " " + raw[1:]
            elif raw and not raw.startswith("*"):
                lines.append(raw)
        self.text = text
        self.parameters: dict[str, float] = {}
        self.subcircuits: dict[str, tuple[list[str], list[str], dict[str, float]]] = {}
        self.instances: dict[str, tuple[list[str], str, dict[str, float]]] = {}
        self.resolved: dict[str, dict[str, float]] = {}
        self.elements: list[tuple[str, list[str], float]] = []
        self.sources: dict[str, list[str]] = {}
        body: list[str] | None = None
        controlled = False
        for line in lines:
            words = line.split()
            first = words[0]
            if first == ".control":
                controlled = True
            if controlled:
                controlled = first != ".endc"
            elif first == ".param" and body is None:
                name, _, value = line.split(None, 1)[1].partition("=")
                assert name not in self.parameters
                self.parameters[name] = self.value(value, self.parameters)
            elif first == ".subckt":
                body = []
                ports = [word for word in words[2:] if "=" not in word]
                defaults = {key: float(text) for key, text in (word.split("=") for word in words[2 + len(ports) :])}
                assert words[1] not in self.subcircuits
                self.subcircuits[words[1]] = (ports, body, defaults)
            elif first == ".ends":
                body = None
            elif body is not None:
                body.append(line)
            elif first[0] == "x":
                words = line.partition(";")[0].split()
                settings = dict(word.split("=") for word in words if "=" in word)
                *nodes, template = [word for word in words[1:] if "=" not in word]
                assert first not in self.instances, "an instance twice"
                self.instances[first] = (nodes, template, {key: float(text) for key, text in settings.items()})
            elif first[0] != ".":
                assert first not in self.sources, "an element twice"
                self.sources[first] = words
        for name, (nodes, template, values) in self.instances.items():
            ports, lines_, defaults = self.subcircuits[template]
            assert values.keys() <= defaults.keys()
            values = self.resolved[name] = defaults | values
            local = dict(zip(ports, nodes, strict=True)) | {"0": "0"}
            for line in lines_:
                if line.split()[0] == ".param":
                    key, _, text_ = line.split(None, 1)[1].partition("=")
                    values[key] = self.value(text_, self.parameters | values)
                    continue
                words = line.replace("dc ", "").split()
                value = self.value(words[-1 if "=" not in words[-1] else -2], self.parameters | values)
                count = {"r": 2, "c": 2, "l": 2, "i": 2, "g": 4}[words[0][0]]
                quiet = "noisy=0" in words
                kind = words[0][0] + ("0" if quiet else "")
                self.elements.append((kind, [name, *(local[node] for node in words[1 : 1 + count])], value))

    @staticmethod
    def value(text: str, names: dict[str, float]) -> float:
        return float(eval(text.strip("{}"), {"sqrt": math.sqrt, "__builtins__": {}}, names))

    def nodal(self, cells: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(C, G, inverse inductance, density, bias) over the nodes cell_NAME."""
        n = len(cells)
        index = {f"cell_{name}": k for k, name in enumerate(cells)}
        C, G, inverse = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
        bias = np.zeros(n)
        noise: dict[str, np.ndarray] = {}

        def unit(node: str) -> np.ndarray:
            return np.eye(n)[index[node]] if node != "0" else np.zeros(n)

        for kind, (_, *nodes), value in self.elements:
            across = unit(nodes[0]) - unit(nodes[1])
            if kind == "c":
                C += value * np.outer(across, across)
            elif kind[0] == "r":
                G += np.outer(across, across) / value
            elif kind == "l":
                inverse += np.outer(across, across) / value
            elif kind == "i":
                bias -= value * across
            elif nodes[2] in index:
                G += value * np.outer(across, unit(nodes[2]) - unit(nodes[3]))
            else:
                assert nodes[3] == "0"
                noise[nodes[2]] = noise.get(nodes[2], np.zeros(n)) - value * across
        density = sum((np.outer(u, u) for u in noise.values()), np.zeros((n, n)))
        return C, G, inverse, density * self.parameters["en"] ** 2, bias


DEVICES = {
    "rlc": rlc_pair(),
    "rlc at T": rlc_pair(T),
    "rc": rc_pair(T),
    "random": random_device(np.random.default_rng(1), 5, temperature=T, transconductors=True),
    "random at 0 K": random_device(np.random.default_rng(2), 5, temperature=0.0, transconductors=True),
    "compiled": spu.compile(spu.GaussianSampling(precision=m_matrix(np.random.default_rng(0), 5), mean=np.ones(5))),
    "transconductors": spu.compile(spu.GaussianSampling(precision=frustrated(np.random.default_rng(0), 4))),
    "linear": spu.compile(spu.LinearSystem(matrix=m_matrix(np.random.default_rng(0), 3), vector=[1.0, 2.0, 3.0])),
    "spu8": spu.compile(spu.GaussianSampling(precision=m_matrix(np.random.default_rng(0), 8, 10.0)), hardware="spu8"),
}


@pytest.mark.parametrize("name", DEVICES)
def test_the_text_is_the_device(name):
    """Flattened and stamped by hand, the netlist has the device's matrices."""
    device = DEVICES[name]
    nodal = Nodal(device)
    C, G, inverse, density, bias = Netlist(netlist(device)).nodal([cell.name for cell in device.cells])
    assert pytest.approx(nodal.C, rel=1e-14, abs=1e-14 * np.abs(nodal.C).max()) == C
    assert pytest.approx(nodal.G, rel=1e-14, abs=1e-14 * np.abs(nodal.G).max()) == G
    expected = sum((np.outer(u, u) / l for u, l in nodal.inductors), np.zeros_like(C))
    assert inverse == pytest.approx(expected, rel=1e-14, abs=1e-14 * np.abs(expected).max())
    assert difference(density, nodal.density) < 1e-13
    assert bias == near(nodal.bias, 1e-15)


@pytest.mark.parametrize("name", DEVICES)
def test_every_value_is_exact(name):
    """Instance by instance, each parameter reads back as the same double, given or worked out of a code."""
    device = DEVICES[name]
    read = Netlist(netlist(device))

    def check(given: dict[str, float], resolved: dict[str, float], expected: dict[str, float]) -> None:
        assert {key: resolved[key] for key in expected} == expected
        assert {key for key in given if not key.startswith("code")} <= expected.keys()
        assert given.keys() == expected.keys() or any(key.startswith("code") for key in given)

    keys = {"capacitance": "c", "conductance": "r", "inductance": "l", "noise": "sn", "bias": "ib"}
    seen = 0
    for cell in device.cells:
        nodes, _, values = read.instances[f"xcell_{cell.name}"]
        assert nodes[0] == f"cell_{cell.name}"
        expected = {keys[k]: 1.0 / v if k == "conductance" else v for k, v in cell.values.items()}
        check(values, read.resolved[f"xcell_{cell.name}"], expected)
        seen += 1
    for coupler in device.couplers:
        for quantity, value in coupler.values.items():
            letter = {"capacitance": "c", "conductance": "r", "inductance": "l", "transconductance": "g"}[quantity]
            instance = f"xcoupler_{letter}_{coupler.a}_{coupler.b}"
            nodes, _, values = read.instances[instance]
            assert nodes[:2] == [f"cell_{coupler.a}", f"cell_{coupler.b}"]
            if quantity == "transconductance":
                g_ab, g_ba = value if isinstance(value, tuple) else (value, value)
                check(values, read.resolved[instance], {"gab": g_ab, "gba": g_ba})
            else:
                check(values, read.resolved[instance], {letter: 1.0 / value if letter == "r" else value})
            seen += 1
    assert seen == len(read.instances)


@pytest.mark.parametrize("name", DEVICES)
def test_noise_sources(name):
    """Each source has one element; injected ones a resistor of the same density; silent resistors say so."""
    device = DEVICES[name]
    read = Netlist(netlist(device))
    circuit = lower(device)
    en, ts = read.parameters["en"], read.parameters["ts"]
    assert read.parameters["vn"] == near(en / math.sqrt(2 * ts), 1e-15)
    hot = device.temperature > 0
    temperature = device.temperature if hot else 300.15
    assert 4 * BOLTZMANN * temperature * read.parameters["rn"] == near(en**2, 1e-12)
    option = re.search(r"\.options temp=(\S+)", read.text)
    assert float(option[1]) == near(temperature - 273.15, 1e-9)
    if hot:
        assert read.parameters["kt4"] == near(4 * BOLTZMANN * temperature, 1e-15)
    expected = set()
    for source in circuit.sources:
        expected.add(f"v{source.name}")
        if not source.thermal:
            expected.add(f"r{source.name}")
            assert read.sources[f"r{source.name}"][-1] == "{rn}"
        assert "trrandom(2 {ts} 0 {vn} 0)" in " ".join(read.sources[f"v{source.name}"])
    assert set(read.sources) == expected
    assert any(kind == "r" for kind, _, _ in read.elements) == hot
    assert any(kind == "r0" for kind, _, _ in read.elements) == (not hot)
    # The resistor that makes each source's noise in .noise exists.
    for source, resistor in noise_resistor(circuit).items():
        if resistor.startswith("r."):
            _, instance, element = resistor.split(".")
            assert instance in {name.lower() for name in read.instances}, source
            assert element == "r1"
        else:
            assert resistor in {name.lower() for name in read.sources}


def test_header():
    device = DEVICES["compiled"]
    lines = netlist(device, seed=7).splitlines()
    assert "5 cells" in lines[0]
    head = "\n".join(lines[:12])
    assert device.hash in head
    assert "seed 7" in head
    assert spu.__version__ in head
    assert "SI (V, A, s, F, ohm, H, S)" in head
    assert "one-sided" in head
    assert ".options" in "\n".join(lines)
    assert "seed=8" in "\n".join(lines)
    assert lines[-1] == ".end"
    for variable, gain in zip(device.readout.variables, device.readout.matrix.diagonal(), strict=True):
        assert any(line.split()[:4] == ["*", variable, variable, number(gain)] for line in lines)
    law = spu.predict(device)
    row = next(k for k, line in enumerate(lines) if line.startswith("* Expected covariance"))
    printed = np.array([[float(x) for x in line[1:].split()] for line in lines[row + 1 : row + 6]])
    assert difference(printed, law.voltage_covariance) < 1e-9


def test_same_device_same_text():
    assert netlist(rlc_pair(T)) == netlist(rlc_pair(T))
    assert netlist(rlc_pair(T)) != netlist(rlc_pair(T), seed=1)
    assert netlist(rlc_pair(T)) != netlist(rlc_pair(T, capacitance=math.nextafter(5e-10, 1)))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_round_trips(value):
    text = number(value)
    assert float(text) == value
    assert math.copysign(1, float(text)) == math.copysign(1, value)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", text)  # no letter but e: 1e-9, never 1n or 1meg
    assert number(np.float64(value)) == text


# Names


def all_names(device: Device) -> list[str]:
    """Every name on the netlist's top level: elements and nodes, each once, as ngspice sees them."""
    read = Netlist(netlist(device))
    names = [name.lower() for name in [*read.instances, *read.sources]]
    return names + [source.name.lower() for source in lower(device).sources]


def cells(*names: str) -> Device:
    device = Device(temperature=T)
    for name in names:
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=1e-20)
    return device


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("a_b", "c", "a", "b_c"), [("a_b", "c"), ("a", "b_c")]),
        (("a_b", "c", "a", "b_c", "b_c_2"), [("a_b", "c"), ("a", "b_c"), ("a", "b_c_2")]),
        (("A_b", "c", "a", "B_C"), [("A_b", "c"), ("a", "B_C")]),
        (("0", "gnd", "n", "t"), [("0", "gnd"), ("n", "t"), ("gnd", "n")]),
        (("n_a", "a", "t_a", "s_n_a"), [("n_a", "a"), ("t_a", "s_n_a")]),
        (("x", "cell_x", "v1", "en", "ts"), [("x", "cell_x"), ("en", "ts")]),
    ],
)
def test_names_do_not_collide(names, pairs):
    device = cells(*names)
    for k, (a, b) in enumerate(pairs, 1):
        device.add_coupler(a, b, conductance=k * 1e-4, capacitance=k * 1e-10)
    seen = all_names(device)
    assert len(set(seen)) == len(seen)
    nodal = Nodal(device)
    C, G, _, density, _ = Netlist(netlist(device)).nodal(list(names))
    assert difference(C, nodal.C) < 1e-14
    assert difference(G, nodal.G) < 1e-14
    assert difference(density, nodal.density) < 1e-13


def test_a_cell_named_like_a_coupler():
    device = cells("a", "b", "coupler_a_b")
    device.add_coupler("a", "b", conductance=1e-4)
    names = [source.name for source in lower(device).sources]
    assert len(set(names)) == len(names)


# Decks


def deck(folder: Path, text: str):
    path = folder / "deck.cir"
    path.write_text(text)
    return read_deck(path)


def test_continuations_and_comments(tmp_path):
    read = deck(
        tmp_path,
        "a title\n"
        "* a comment\n"
        "r1 a 0\n"
        "* between\n"
        "+ 1k\n"
        "\n"
        "$ another\n"
        "; another\n"
        "// another\n"
        "  c1 a 0 1n\n"
        ".param x=1\n"
        "+ y=2\n"
        ".tran 1n 1u\n"
        ".end\n"
        "* and more\n",
    )
    assert [(line.text, line.number) for line in read.lines] == [
        ("r1 a 0 1k", 3),
        ("c1 a 0 1n", 10),
        (".param x=1 y=2", 11),
    ]
    assert list(read.top_level()) == ["r1", "c1"]
    assert read.text() == "* a deck under check\nr1 a 0 1k\nc1 a 0 1n\n.param x=1 y=2\n.end\n"
    assert read.text({"r1": "r1 a 0 2k"}, (".ac dec 1 1 10",)).splitlines()[1] == "r1 a 0 2k"
    assert ".ac dec 1 1 10" in read.text(extra=(".ac dec 1 1 10",)).splitlines()


def test_the_control_block_is_dropped(tmp_path):
    read = deck(tmp_path, "t\nr1 a 0 1\n.CONTROL\nop\nprint v(a)\nlet r2=1\n.endc\nr3 c 0 1\n.end\n")
    assert list(read.top_level()) == ["r1", "r3"]
    assert "print" not in read.text()
    with pytest.raises(spu.DeckError, match=r"deck\.cir:4: in a control block, shell runs a program.*--ignore-control"):
        deck(tmp_path, "t\nr1 a 0 1\n.CONTROL\nshell touch x\n.include y\n.endc\nr3 c 0 1\n.end\n")
    read = read_deck(tmp_path / "deck.cir", ignore_control=True)
    assert list(read.top_level()) == ["r1", "r3"]
    assert "shell" not in read.text()


def test_subcircuits_are_not_top_level(tmp_path):
    read = deck(tmp_path, "t\n.subckt s a\nr1 a 0 1\n.ends s\nx1 b s\nr1 b 0 2\n.end\n")
    assert {name: line.number for name, line in read.top_level().items()} == {"x1": 5, "r1": 6}
    text = read.text({"r1": "r1 b 0 3"}).splitlines()
    assert text[2] == "r1 a 0 1"
    assert text[5] == "r1 b 0 3"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("t\nr1 a 0 1\n.include other.cir\n.end\n", 3, r"\.include"),
        ("t\n  .INC other.cir\n", 2, r"\.inc"),
        ('t\n.lib "models" tt\n', 2, r"\.lib"),
        ("t\n.spiceinclude x\n", 2, r"\.spiceinclude"),
        ("t\na1 in out model\n", 2, "a1"),
        ("t\n* c\n.subckt s a\nA7 a b m\n.ends\n", 4, "a7"),
        ('t\n.model m filesource(file="x")\n', 2, "read files"),
        ("t\nr1 a 0 1\n.control\nrun\n", 3, r"\.control without \.endc"),
        ("t\n+ 1k\n", 2, "continuation"),
    ],
)
def test_refused_decks(tmp_path, text, line, message):
    with pytest.raises(DeckError, match=message) as caught:
        deck(tmp_path, text)
    assert caught.value.line == line
    assert caught.value.file == str(tmp_path / "deck.cir")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_decks(tmp_path, text):
    with pytest.raises((DeckError, InputError), match="empty"):
        deck(tmp_path, text)


def test_unreadable_decks(tmp_path):
    with pytest.raises(InputError):
        deck(tmp_path, "t\nr1 a\0b\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd")
    for name in ("binary", "missing"):
        with pytest.raises(InputError):
            read_deck(tmp_path / name)


@pytest.mark.parametrize("name", DEVICES)
def test_our_own_decks_read_back(tmp_path, name):
    device = DEVICES[name]
    text = netlist(device)
    read = deck(tmp_path, text)
    assert read.device_hash == device.hash
    elements = Netlist(text)
    assert set(read.top_level()) == {key.lower() for key in [*elements.instances, *elements.sources]}
    for line in read.lines:
        assert text.splitlines()[line.number - 1].strip().startswith(line.text.split()[0])


# ngspice knows these commands by how they begin; and it runs what stands in a control block.


@pytest.mark.parametrize("text", ["t\n.incl other.cir\n", "t\n.includes other.cir\n"])
def test_includes_by_another_name(tmp_path, text):
    with pytest.raises(DeckError):
        deck(tmp_path, text)


def test_control_block_by_another_name(tmp_path):
    try:
        text = deck(tmp_path, "t\nr1 a 0 1\n.controls\nshell touch x\n.endc\n.end\n").text()
    except DeckError:
        return
    assert "shell" not in text


def test_a_script_is_no_deck(tmp_path):
    try:
        text = deck(tmp_path, "*ng_script\nshell touch x\n.end\n").text()
    except DeckError:
        return
    assert not text.lower().startswith("*ng_script")


def test_continuation_of_what_is_dropped(tmp_path):
    read = deck(tmp_path, "t\nr1 a 0 1k\n.save v(a)\n+ v(b)\n.end\n")
    assert [line.text for line in read.lines] == ["r1 a 0 1k"]


@pytest.mark.parametrize("comment", ["; the load", "$ the load"])
def test_comment_before_a_continuation(tmp_path, comment):
    read = deck(tmp_path, f"t\nr1 a 0 {comment}\n+ 1k\n.end\n")
    assert read.lines[0].text.split() == ["r1", "a", "0", "1k"]


# --- what lines say for people ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "behind"), [("ngspice", " ; "), ("ltspice", " ; "), ("xyce", " ; "), ("spectre", " // ")]
)
@pytest.mark.parametrize("hardware", ["spu8", "spu8-switched"])
def test_behind_a_code_stands_what_it_stands_for(hardware, dialect, behind):
    device = spu.compile([[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]], hardware)
    lines = [line for line in spu.netlist(device, dialect=dialect).splitlines() if line.startswith("xc")]
    said = [line.rpartition(behind)[2] for line in lines]
    cells = device.first_cells(3)
    assert said[:3] == [
        f"C {engineering(cell.values['capacitance'], 'F', 4)}, R 1 kohm, L 10 uH, noise 200 pA/rtHz" for cell in cells
    ]
    couplers = [coupler.values.get("capacitance") for coupler in device.first_couplers(3)]
    assert said[3:] == [f"C {engineering(value, 'F', 4)}" if value else "off" for value in couplers]


def test_of_a_drawn_board_it_is_what_the_board_has():
    given = spu.compile([[2.0, -0.5], [-0.5, 1.5]], "spu8")
    board = spu.varied(given, np.linspace(0.9, 1.1, len(spu.elements_of(given))))
    line = next(line for line in spu.netlist(board).splitlines() if line.startswith("xcell_x1"))
    found = float(lower(board).instances[0].parameters["c"][0])
    assert f"; C {engineering(found, 'F', 4)}," in line and found != given.first_cells(1)[0].values["capacitance"]


def test_numbers_without_codes_speak_for_themselves():
    assert not any(
        ";" in line for line in spu.netlist(spu.compile([[2.0, -0.5], [-0.5, 1.0]])).splitlines() if line[:1] == "x"
    )
