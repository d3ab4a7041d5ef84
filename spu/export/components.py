"""What a board of a device holds: sheets of cells and couplers, their components, reference designators and values.

A sheet is an instance of a subcircuit (`spu.device.lower`), and its components are that subcircuit's elements, with two
differences. A bank of switched units is one component with its code, however its switches are modelled. A noise
current that one source drives is a component of two pins, not a transconductor behind a source.

Numbers of sheets hang on places, not on order: cell number 3 is sheet 3, the coupler of cells 3 and 7 is sheet 37 (307
where there are ten cells or more). Designators follow: C301 is the first capacitor of cell 3. So nothing is renumbered
when a coupler comes or goes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt

import numpy as np

from spu.base.constants import BOLTZMANN, GROUND, UNIT_NOISE_DENSITY
from spu.circuit.circuit import Circuit, Instances, Subcircuit
from spu.circuit.elements import (
    AmplifierNoise,
    Capacitor,
    CurrentSource,
    Element,
    Inductor,
    NoiseCurrent,
    NoiseVoltage,
    Resistor,
    SharedNoiseCurrent,
    Transconductor,
    VoltageControlledVoltageSource,
    VoltageSource,
)
from spu.circuit.polynomial import CrossedInductor, PolynomialElement
from spu.circuit.saturation import SaturatingTransconductor
from spu.device.banks import Bank
from spu.device.build import realise, switched
from spu.device.device import Device
from spu.device.heat import heat, heated
from spu.device.lower import lower
from spu.device.quantities import PARTS
from spu.device.readout_chain import READOUT
from spu.spice.names import cell_node

_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Value:
    """One value of a component.

    Attributes
    ----------
    parameter:
        The subcircuit's parameter that holds it.
    unit:
        Of what is shown.
    shown:
        What is shown, of the parameter's value (SI).
    """

    parameter: str
    unit: str
    shown: Callable[[float], float] = float


@dataclass(frozen=True)
class SetBank:
    """A bank of a component: its units, and the parameter that is its code."""

    bank: Bank
    code: str
    switches: Mapping[str, float]


@dataclass(frozen=True)
class Component:
    """A part on a sheet.

    Attributes
    ----------
    element:
        The name of its element in the netlist's subcircuit.
    symbol:
        What it is, a key of `spu.export.symbols.SYMBOLS`.
    letter:
        Of its reference designator.
    ordinal:
        Among those of the same letter on its sheet, from 1.
    nodes:
        Of its pins in order: ports, inner nodes of the sheet, ``"0"``.
    values:
        What it is like, its own value first.
    bank:
        Where its value is set by a code.
    silent:
        A resistor without noise.
    role:
        What it is in a model (`Element.role`).
    stands_for:
        Names of the elements that it is in the netlist.
    """

    element: str
    symbol: str
    letter: str
    ordinal: int
    nodes: tuple[str, ...]
    values: tuple[Value, ...]
    bank: SetBank | None = None
    silent: bool = False
    role: str = ""
    stands_for: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Kind:
    """All that sheets of one subcircuit have in common.

    Attributes
    ----------
    ports:
        Their pins: electrical ports, and nodes of noise sources that several sheets hear.
    fixed:
        Values that are alike in all of them, by parameter.
    """

    group: Instances
    ports: tuple[str, ...]
    components: tuple[Component, ...]
    fixed: Mapping[str, float]

    @property
    def template(self) -> Subcircuit:
        """The subcircuit."""
        return self.group.subcircuit

    @property
    def name(self) -> str:
        """Of the subcircuit."""
        return self.template.name

    @property
    def codes(self) -> tuple[str, ...]:
        """Parameters that are codes."""
        return tuple(self.template.codes)


@dataclass(frozen=True, eq=False)
class Sheet:
    """One cell, coupler, share of a noise source or readout.

    Attributes
    ----------
    name:
        Of the instance, without its x: ``cell_x1``.
    number:
        Of the sheet, which designators begin with.
    place:
        Numbers of its one or two cells, from 0.
    nets:
        Of its pins, by port.
    first:
        How many components of each letter other sheets of that number have already.
    """

    kind: Kind
    row: int
    name: str
    number: int
    place: tuple[int, int]
    nets: Mapping[str, str]
    first: Mapping[str, int]

    def designator(self, component: Component) -> str:
        """Its reference designator, C301."""
        return f"{component.letter}{self.number}{self.first.get(component.letter, 0) + component.ordinal:02d}"

    def value(self, value: Value) -> float:
        """What is shown of a value."""
        return value.shown(self.parameter(value.parameter))

    def parameter(self, name: str) -> float:
        """SI."""
        return float(self.kind.group.parameters[name][self.row])

    def code(self, name: str) -> int:
        """A code."""
        settings = self.kind.group.settings
        assert settings is not None
        return int(settings[name][self.row])


@dataclass(frozen=True, eq=False)
class Board:
    """A device as sheets; `sources` are the noise sources that several of them hear."""

    device: Device
    circuit: Circuit
    kinds: tuple[Kind, ...]
    sheets: tuple[Sheet, ...]
    sources: tuple[str, ...]


GROUND_NET = "GND"


def board(device: Device) -> Board:
    """Lay a device, of one programming, out as sheets; values are those at the temperature that they are stated for."""
    if device.detail.temperature:
        device = copy(device)
        device.detail = replace(device.detail, temperature={})
    circuit = lower(device)
    kinds = tuple(_kind(device, circuit, group) for group in circuit.instances)
    sheets = tuple(_sheets(circuit, kinds))
    nets = {net for sheet in sheets for net in sheet.nets.values()}
    sources = tuple(source.name for source in circuit.sources if source.name in nets)
    return Board(device, circuit, kinds, sheets, sources)


def _sheets(circuit: Circuit, kinds: tuple[Kind, ...]) -> Iterator[Sheet]:
    base = 10 if len(circuit.nodes) < 10 else 100 if len(circuit.nodes) < 100 else 10 ** len(str(len(circuit.nodes)))
    used: Counter[tuple[int, str]] = Counter()
    inner = {number: name for number, name in enumerate(circuit.node_names()) if number >= len(circuit.nodes)}
    for kind in kinds:
        ports = kind.template.ports
        noises = {element.noise_port for element in kind.template.elements}
        letters = Counter(component.letter for component in kind.components)
        for row, (name, ends) in enumerate(zip(kind.group.names, kind.group.nodes.tolist(), strict=True)):
            cells = [n for n, port in zip(ends, ports, strict=True) if port in ("a", "b")]
            cells = [n if n < len(circuit.nodes) else row for n in cells]  # a readout of a sense node
            first, last = min(cells), max(cells)
            number = first + 1 if len(cells) == 1 else (first + 1) * base + last + 1
            nets = {}
            for n, port in zip(ends, ports, strict=True):
                if port not in kind.ports:
                    continue
                if port in noises:
                    nets[port] = circuit.sources[n].name
                elif n == GROUND:
                    nets[port] = GROUND_NET
                else:
                    nets[port] = cell_node(circuit.nodes[n]) if n < len(circuit.nodes) else inner[n]
            before = {letter: used[number, letter] for letter in letters}
            yield Sheet(kind, row, name[1:], number, (first, last), nets, before)
            for letter, count in letters.items():
                used[number, letter] += count


def _kind(device: Device, circuit: Circuit, group: Instances) -> Kind:
    template = group.subcircuit
    noises = {element.noise_port for element in template.elements}
    shared = {e.noise_port for e in template.elements if isinstance(e, SharedNoiseCurrent)}
    banks = _banks(device, template)
    hidden = {name: bank for bank in banks for name in bank.names}
    ordinals: Counter[str] = Counter()
    components: list[Component] = []

    def add(element: Element, bank: SetBank | None, names: tuple[str, ...]) -> None:
        symbol, letter = _symbol(element)
        if bank is not None and symbol in ("C", "R"):
            symbol += "_BANK"
        ordinals[letter] += 1
        components.append(
            Component(
                element.name,
                symbol,
                letter,
                ordinals[letter],
                _pins(element),
                _values(element, circuit.temperature),
                bank,
                isinstance(element, Resistor) and element.noise_port is None,
                element.role,
                names,
            )
        )

    done = set()
    for element in template.elements:
        bank = hidden.get(element.name)
        if bank is None:
            add(element, None, (element.name,))
        elif id(bank) not in done:
            done.add(id(bank))
            for each, code in zip(bank.elements, bank.codes, strict=True):
                add(each, SetBank(bank.bank, code, bank.switches), bank.names)
    return Kind(
        group if all(not bank.switches for bank in banks) else _with_totals(group, banks),
        tuple(port for port in template.ports if port not in noises or port in shared),
        tuple(components),
        {name: value for name, value in _fixed(template).items() if name not in template.codes},
    )


@dataclass(frozen=True, eq=False)
class _Bank:
    """A bank as the device has it: its ideal elements, a code each, and the names of what it is built of."""

    bank: Bank
    quantity: str
    elements: tuple[Element, ...]
    codes: tuple[str, ...]
    names: tuple[str, ...]
    switches: Mapping[str, float]


def _banks(device: Device, template: Subcircuit) -> list[_Bank]:
    """The banks of a subcircuit, as `spu.device.lower` builds them."""
    kind, _, letters = template.name.partition("_")
    if kind not in PARTS or template.name == READOUT:
        return []
    columns = device.cell_columns if kind == "cell" else device.coupler_columns
    held = [part for part in PARTS[kind].values() if part.letter in letters]
    banked = [part for part in held if part.quantity in columns.banks]
    found = []
    for part in banked:
        tag = f"_{part.letter}" if len(banked) > 1 else ""
        hot = heat(device.detail, part.quantity, float(device.temperature))
        bank = heated(columns.banks[part.quantity], hot)
        made = realise(part, bank, device.detail, tag, erring=part.keys[0] in columns.errors)
        names = tuple(element.name for element in made.elements)
        switches = dict(device.detail.switch) if switched(bank, device.detail) else {}
        elements = part.elements
        built = {element.name: element for element in template.elements}
        if not switches:  # the bank is these elements; what hangs on them stays
            names = tuple(element.name for element in elements)
            elements = tuple(built[name] for name in names)
        elif any("rv" in built[name].nodes for name in names):  # behind a noise voltage in series
            elements = tuple(replace(each, nodes=("rv", *each.nodes[1:])) for each in elements)
        found.append(_Bank(bank, part.quantity, elements, tuple(made.codes), names, switches))
    return found


def _with_totals(group: Instances, banks: list[_Bank]) -> Instances:
    """The same group with the values of whole banks, where it has those of their branches."""
    settings, parameters = group.settings or {}, dict(group.parameters)
    for bank in banks:
        for element, code in zip(bank.elements, bank.codes, strict=True):
            values = bank.bank.values(settings[code])
            error = settings.get(code.replace("code", "error", 1))
            values = values if error is None else values * (1 + error)
            with np.errstate(divide="ignore"):
                parameters[element.value] = 1.0 / values if isinstance(element, Resistor) else values
    return replace(group, parameters=parameters)


def _fixed(template: Subcircuit) -> dict[str, float]:
    """Parameters that have one value in all instances: constants, and what follows from nothing else."""
    known = dict(template.constants)
    for name, expression in template.derived.items():
        words = set(_WORD.findall(expression.text)) - {"floor", "abs", "max", "sqrt", "e"}
        if words <= known.keys():
            known[name] = float(expression(known))
    return known


def _symbol(element: Element) -> tuple[str, str]:
    """Symbol and letter of an element: those of the first class in its ancestry that has one."""
    for kind in type(element).__mro__:
        if kind in _SYMBOLS:
            return _SYMBOLS[kind]
    return f"X{len(element.nodes)}", "U"


_SYMBOLS: dict[type, tuple[str, str]] = {
    Resistor: ("R", "R"),
    Capacitor: ("C", "C"),
    Inductor: ("L", "L"),
    CrossedInductor: ("L_CROSSED", "T"),
    CurrentSource: ("I", "I"),
    VoltageSource: ("V", "V"),
    NoiseCurrent: ("I_NOISE", "I"),
    NoiseVoltage: ("V_NOISE", "V"),
    SharedNoiseCurrent: ("G", "G"),
    Transconductor: ("G", "G"),
    SaturatingTransconductor: ("G", "G"),
    VoltageControlledVoltageSource: ("E", "E"),
    PolynomialElement: ("B", "B"),
}


def _pins(element: Element) -> tuple[str, ...]:
    if isinstance(element, SharedNoiseCurrent):
        assert element.noise_port is not None
        return (*element.nodes, element.noise_port, "0")
    if isinstance(element, PolynomialElement):
        return element.nodes[:2]  # a sense node is the model's, not the part's
    return element.nodes


def _values(element: Element, temperature: float) -> tuple[Value, ...]:
    if isinstance(element, AmplifierNoise):
        return (Value(element.value, "A/rtHz", partial(_thermal, temperature)),)
    if isinstance(element, SharedNoiseCurrent):
        return (Value(element.value, "S", _of_unit_noise),)
    if isinstance(element, (NoiseCurrent, NoiseVoltage)):
        return (Value(element.value, "V/rtHz" if isinstance(element, NoiseVoltage) else "A/rtHz", sqrt),)
    names = element.parameters
    units = element.units or (_UNITS.get(_symbol(element)[0], ""),) * len(names)
    return tuple(
        Value(name, unit.replace("²", "^2").replace("³", "^3")) for name, unit in zip(names, units, strict=True)
    )


def _thermal(temperature: float, conductance: float) -> float:
    return sqrt(4.0 * BOLTZMANN * temperature * conductance)


def _of_unit_noise(amplitude: float) -> float:
    return amplitude / UNIT_NOISE_DENSITY


_UNITS = {"R": "ohm", "C": "F", "L": "H", "L_CROSSED": "H", "I": "A", "V": "V", "G": "S", "E": ""}
