"""How a part of a cell or coupler is built from elements: ideal, from a bank of switched units, with parasitics.

Every part becomes elements of its subcircuit here, whatever the level of detail (`spu.device.imperfections`), and so
both back ends get the same ones.

A switched bank has a branch for each bit: 2^k units, in series with 2^k unit switches in parallel. To the
outside a thermometer code is the same, as units are alike: which of them are closed does not show.

========================  ==========================================================================
capacitor, resistor       branch k: units ``c0``, ``c1``... (``r0``...) from the first node, switch
                          ``rc0``... (``rr0``...) to the second: its on-resistance where bit k of the
                          code is 1; its off-resistance, and beside it its off-capacitance, where it is 0
transconductor            branch k: the input of 2^k unit transconductors, tied by one switch to the
                          controlling node and by another to ground; bit k says which one is closed.
                          Units whose input is grounded work on: they make noise and have their offset
inductor                  series resistance inside, self-capacitance across both
input of a transconductor a buffer of unit gain and first order: ``rbuf`` and ``cbuf``, without noise;
                          its offset is a current into ``rbuf``
output of one             ``gn``: noise current ``4kT gamma |g|``, a source of its own; ``go``: output
                          conductance, whose noise is in gamma; ``io``: the current that its offset makes.
                          Of finite linear range its current is ``g V tanh((v + offset)/V)``
node of a cell            capacitance ``cpar`` and leakage ``rpar`` to ground
========================  ==========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from spu.base.errors import InputError
from spu.base.expressions import Expression, at_least, bit, parameter, size
from spu.circuit.elements import (
    AmplifierNoise,
    Capacitor,
    CurrentSource,
    Element,
    Inductor,
    Resistor,
    Transconductor,
    silent,
)
from spu.circuit.saturation import SaturatingTransconductor
from spu.device.banks import Bank
from spu.device.imperfections import OPEN, Detail
from spu.device.quantities import Part

Columns = Mapping[str, Any]

_BUFFER_CONDUCTANCE = 1e-3
"""S, of the buffer's model; any would do, this one has capacitances of the size of a cell's."""


@dataclass(eq=False)
class Realisation:
    """What a part adds to its subcircuit.

    Attributes
    ----------
    elements:
        Templates.
    parameters:
        Parameter that each instance has a value of -> function of the stored columns (and codes, see `code_of`).
    constants:
        Parameters that are the same for all instances.
    derived:
        Parameters that follow from these.
    ports:
        Noise ports: name -> whether it is fed by the thermal noise of a resistor.
    meaning:
        In words, for the netlist.
    codes:
        Parameters that are the code of a bank: name -> least and greatest.
    """

    elements: list[Element] = field(default_factory=list)
    parameters: dict[str, Callable[[Columns], Any]] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    derived: dict[str, Expression] = field(default_factory=dict)
    ports: dict[str, bool] = field(default_factory=dict)
    meaning: str = ""
    codes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def capacitor(self, name: str, p: str, n: str, value: str) -> None:
        """Add a capacitor."""
        self.elements.append(Capacitor(name, (p, n), value))

    def resistor(self, name: str, p: str, n: str, value: str, port: str) -> None:
        """Add a resistor that makes thermal noise."""
        self.elements.append(Resistor(name, (p, n), value, port))
        self.ports[port] = True

    def silenced(self) -> Realisation:
        """The same without thermal noise: resistors go on without it, the noise of amplifiers is not there."""
        gone = [element for element in self.elements if isinstance(element, AmplifierNoise)]
        elements = [silent(e) if self.ports.get(e.noise_port or "", False) else e for e in self.elements]
        unused = {each.value for each in gone}
        derived = {key: value for key, value in self.derived.items() if key not in unused}
        constants = {key: value for key, value in self.constants.items() if not (gone and key == "gamma")}
        quiet = {each.noise_port for each in gone}
        ports: dict[str, bool] = {port: hot for port, hot in self.ports.items() if not hot and port not in quiet}
        return Realisation(
            [element for element in elements if not isinstance(element, AmplifierNoise)],
            self.parameters,
            constants,
            derived,
            ports,
            self.meaning,
            self.codes,
        )


def code_of(key: str) -> str:
    """Key of the codes of a column, beside its values."""
    return f"{key} code"


def error_of(key: str) -> str:
    """Key of the relative errors of a column's codes, beside its values."""
    return f"{key} error"


def switched(bank: Bank | None, detail: Detail) -> bool:
    """Whether a part is built from switched units, so that even at code 0 something of it is there."""
    return bank is not None and bool(detail.switch)


def realise(part: Part, bank: Bank | None, detail: Detail, tag: str = "", *, erring: bool = False) -> Realisation:
    """Build a part.

    Parameters
    ----------
    part:
        What it is.
    bank:
        Its bank, where it is quantised.
    detail:
        How real it is to be.
    tag:
        Behind the names of the bank's parameters, where a subcircuit has several banks.
    erring:
        Whether the bank's values have relative errors.
    """
    made = Realisation(meaning=part.meaning)
    if bank is not None:
        _add_bank(made, part, bank, tag)
    if bank is not None and erring:
        made.parameters |= {name: itemgetter(error_of(key)) for key, name in _error_names(part, tag).items()}
        made.meaning += ", times 1 + error"
    if switched(bank, detail):
        assert bank is not None
        made.constants["ron"] = detail.switch["on_resistance"]
        made.constants["roff"] = detail.switch.get("off_resistance", OPEN)
        if "off_capacitance" in detail.switch:
            made.constants["coff"] = detail.switch["off_capacitance"]
        made.meaning += f" (one branch a bit, code {bank.least} to {bank.most})"
        build = BANKS[part.bank] if isinstance(part.bank, str) else part.bank
        if build is None:
            raise InputError(f"{part.quantity} cannot be a bank")
        build(made, part, bank, detail, tag)
        return made
    if bank is not None:
        values = _bank_values(part, bank, tag)
        if erring:
            values = {key: values[key] * (1 + parameter(name)) for key, name in _error_names(part, tag).items()}
        made.derived |= {name: convert(values) for name, convert in part.parameters.items()}
        made.meaning += f" (code {bank.least} to {bank.most})"
    else:
        made.parameters |= part.parameters
    for element in part.elements:
        _add_element(made, element, detail)
    for port, thermal in ((part.injected_port, False), (part.thermal_port, True)):
        if port is not None:
            made.ports[port] = thermal
    return made


def node_parasitics(detail: Detail) -> Realisation | None:
    """What hangs on the node of every cell; None where nothing does."""
    if not detail.node:
        return None
    made = Realisation(meaning="parasitics of the node")
    if "capacitance" in detail.node:
        made.constants["cpar"] = detail.node["capacitance"]
        made.capacitor("cpar", "a", "0", "cpar")
    if "conductance" in detail.node:
        made.constants["rpar"] = 1.0 / detail.node["conductance"]
        made.resistor("rpar", "a", "0", "rpar", "tp")
    return made


def _add_element(made: Realisation, element: Element, detail: Detail) -> None:
    """An element of a part that is no switched bank, with the parasitics of its kind."""
    if isinstance(element, Inductor) and detail.inductor:
        p, n = element.nodes
        inner = n
        if "series_resistance" in detail.inductor:
            inner = "m"
            made.constants["rser"] = detail.inductor["series_resistance"]
            made.resistor("rser", inner, n, "rser", "tl")
        if "capacitance" in detail.inductor:
            made.constants["cself"] = detail.inductor["capacitance"]
            made.capacitor("cself", p, n, "cself")
        made.elements.insert(0, Inductor(element.name, (p, inner), element.value))
        return
    if isinstance(element, Transconductor):
        p, n, control, low = element.nodes
        if detail.buffer:
            control, low = _buffer(made, control, detail), "0"
        made.elements.append(_amplifier(made, element.name, (p, n, control, low), element.value, detail))
        _add_output(made, element.name[1:], (p, n), (parameter(element.value),), detail)
        return
    made.elements.append(element)


def _amplifier(made: Realisation, name: str, nodes: tuple[str, ...], value: str, detail: Detail) -> Element:
    """A transconductor; of finite linear range it has its offset inside."""
    if "linear_range" not in detail.transconductor:
        return Transconductor(name, nodes, value)
    made.constants["vlin"] = detail.number("transconductor.linear_range")
    made.constants["vos"] = detail.number("transconductor.offset") if "offset" in detail.transconductor else 0.0
    return SaturatingTransconductor(name, nodes, value, further=("vlin", "vos"))


def _add_output(
    made: Realisation, way: str, nodes: tuple[str, str], values: tuple[Expression, ...], detail: Detail
) -> None:
    """What is not ideal at the output of transconductors of these values (S); ``way`` ends its names."""
    given = detail.transconductor
    p, n = nodes
    value, magnitude = sum(values[1:], values[0]), sum(map(size, values[1:]), size(values[0]))
    if "noise_gamma" in given:
        made.meaning = made.meaning.replace(", without noise", "")
        made.constants["gamma"] = detail.number("transconductor.noise_gamma")
        made.derived[f"n{way}"] = parameter("gamma") * magnitude
        made.elements.append(AmplifierNoise(f"gn{way}", (n, p), f"n{way}", f"amp{way}"))
        made.ports[f"amp{way}"] = False
    if "output_conductance" in given:
        made.constants["gout"] = detail.number("transconductor.output_conductance")
        made.derived[f"o{way}"] = parameter("gout") * magnitude
        made.elements.append(
            Transconductor(f"go{way}", (p, n, p, n), f"o{way}", role="output")
        )  # any value, zero as well
    if "offset" in given and "linear_range" not in given:
        made.constants["vos"] = detail.number("transconductor.offset")
        made.derived[f"i{way}"] = parameter("vos") * value
        made.elements.append(CurrentSource(f"io{way}", (p, n), f"i{way}"))


def _buffer(made: Realisation, node: str, detail: Detail) -> str:
    """A buffer of unit gain behind a node; returns the node of its output."""
    out = f"buf{node}"
    made.constants |= {"bw": detail.buffer["bandwidth"], "gbuf": _BUFFER_CONDUCTANCE, "rbuf": 1 / _BUFFER_CONDUCTANCE}
    made.derived["cbuf"] = parameter("gbuf") / (2 * math.pi * parameter("bw"))
    made.elements += [
        Transconductor(f"gbuf{node}", ("0", out, node, "0"), "gbuf", role="buffer"),
        Resistor(f"rbuf{node}", (out, "0"), "rbuf"),
        Capacitor(f"cbuf{node}", (out, "0"), "cbuf"),
    ]
    if "offset" in detail.buffer:
        made.constants["vbuf"] = detail.number("buffer.offset")
        made.derived["ibuf"] = parameter("gbuf") * parameter("vbuf")
        made.elements.append(CurrentSource(f"ibuf{node}", ("0", out), "ibuf"))
    return out


# Banks


def _code_names(part: Part, tag: str) -> dict[str, str]:
    """Parameter that holds the code, by key of the part: ``code``, or one a direction."""
    if len(part.keys) == 1:
        return {part.keys[0]: f"code{tag}"}
    return {key: f"code_{key.rpartition('_')[2]}{tag}" for key in part.keys}


def _error_names(part: Part, tag: str) -> dict[str, str]:
    """Parameter that holds the relative error, by key of the part."""
    return {key: name.replace("code", "error", 1) for key, name in _code_names(part, tag).items()}


def _add_bank(made: Realisation, part: Part, bank: Bank, tag: str) -> None:
    """Code and constants of a bank."""
    for key, name in _code_names(part, tag).items():
        made.parameters[name] = itemgetter(code_of(key))
        made.codes[name] = (bank.least, bank.most)
    made.constants[f"lsb{tag}"] = bank.lsb
    if bank.offset:
        made.constants[f"offset{tag}"] = bank.offset


def _bank_values(part: Part, bank: Bank, tag: str) -> dict[str, Expression]:
    """The value of an ideal bank by key, ``offset + lsb * code``."""
    found = {}
    for key, name in _code_names(part, tag).items():
        value = parameter(f"lsb{tag}") * parameter(name)
        found[key] = parameter(f"offset{tag}") + value if bank.offset else value
    return found


def _unit(made: Realisation, bank: Bank, tag: str, error: str, way: str = "") -> tuple[str, str]:
    """Parameters that are the value of one unit and that of what is always there, with the bank's error if it has one.

    A bank errs as a whole: all its units, and what is always there, by the same factor.
    """
    unit, offset = f"lsb{tag}", f"offset{tag}"
    if error not in made.parameters:
        return unit, offset
    made.derived[f"unit{way}{tag}"] = parameter(unit) * (1 + parameter(error))
    if bank.offset:
        made.derived[f"fixed{way}{tag}"] = parameter(offset) * (1 + parameter(error))
    return f"unit{way}{tag}", f"fixed{way}{tag}"


def _switch(
    made: Realisation, name: str, p: str, n: str, closed: Expression, units: int, port: str, detail: Detail
) -> None:
    """Unit switches in parallel, ``r<name>`` and ``c<name>``: closed where an expression is 1, open where it is 0."""
    made.derived[f"r{name}"] = (closed * parameter("ron") + (1 - closed) * parameter("roff")) / units
    made.resistor(f"r{name}", p, n, f"r{name}", port)
    if "off_capacitance" in detail.switch:
        made.derived[f"c{name}"] = units * (1 - closed) * parameter("coff")
        made.capacitor(f"c{name}", p, n, f"c{name}")


def _switched_passive(made: Realisation, part: Part, bank: Bank, detail: Detail, tag: str) -> None:
    """A bank of capacitors or resistors."""
    (element,) = part.elements
    unit, offset = _unit(made, bank, tag, *_error_names(part, tag).values())
    letter = element.name.rstrip("1")  # r of r1; all of a name that says more, which keeps several banks apart
    mark = letter[1:]
    p, n = element.nodes
    resistive = isinstance(element, Resistor)
    if bank.offset:
        if resistive:
            made.derived[f"{letter}fix"] = 1.0 / parameter(offset)
            made.resistor(f"{letter}fix", p, n, f"{letter}fix", f"tfix{mark}")
        else:
            made.capacitor(f"{letter}fix", p, n, offset)
    code = parameter(f"code{tag}")
    for k in range(bank.bits):
        closed, inner = f"bit{k}{tag}", f"m{letter}{k}"
        made.derived[closed] = bit(code, k)
        if resistive:
            made.derived[f"{letter}{k}"] = 1.0 / (2**k * parameter(unit))
            made.resistor(f"{letter}{k}", p, inner, f"{letter}{k}", f"tu{mark}{k}")
        else:
            made.derived[f"{letter}{k}"] = 2**k * parameter(unit)
            made.capacitor(f"{letter}{k}", p, inner, f"{letter}{k}")
        _switch(made, f"{letter}{k}", inner, n, parameter(closed), 2**k, f"t{letter}{k}", detail)


def _switched_transconductor(made: Realisation, part: Part, bank: Bank, detail: Detail, tag: str) -> None:
    """A bank of transconductors for each direction; the sign of the code is that of all its units."""
    names = zip(part.elements, _code_names(part, tag).values(), _error_names(part, tag).values(), strict=True)
    for element, code_name, error_name in names:
        way = element.value[1:]  # ab or ba
        p, n, control, _ = element.nodes
        unit, offset = _unit(made, bank, tag, error_name, way)
        if detail.buffer:
            control = _buffer(made, control, detail)
        if bank.offset:
            made.elements.append(_amplifier(made, f"gfix{way}", (p, n, control, "0"), offset, detail))
        code = parameter(code_name)
        made.derived[f"sign{way}"] = code / at_least(1, size(code))
        for k in range(bank.bits):
            mark, inner = f"{way}{k}", f"q{way}{k}"
            made.derived[f"bit{mark}"] = bit(size(code), k)
            closed = parameter(f"bit{mark}")
            _switch(made, f"h{mark}", control, inner, closed, 2**k, f"th{mark}", detail)
            _switch(made, f"l{mark}", inner, "0", 1 - closed, 2**k, f"tl{mark}", detail)
            made.derived[f"g{mark}"] = 2**k * parameter(unit) * parameter(f"sign{way}")
            made.elements.append(_amplifier(made, f"g{mark}", (p, n, inner, "0"), f"g{mark}", detail))
        if detail.transconductor:
            made.derived[f"g{way}"] = bank.most * parameter(unit) * parameter(f"sign{way}")
            fixed = (parameter(offset),) if bank.offset else ()
            _add_output(made, way, (p, n), (parameter(f"g{way}"), *fixed), detail)


BANKS: dict[str, Callable[[Realisation, Part, Bank, Detail, str], None]] = {
    "branches": _switched_passive,
    "inputs": _switched_transconductor,
}
"""How banks of switched units are built, by what `Part.bank` calls it; a part may bring a function of its own."""
