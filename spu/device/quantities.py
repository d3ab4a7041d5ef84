"""What cells and couplers can be made of: one entry a quantity, and the place for a new one.

A `Part` says, for one programmable quantity of a cell or coupler (``capacitance``,
``transconductance``...): its unit, which values are allowed, which elements it puts into the
subcircuit, how the programmed value becomes their parameters, whether hardware has a range or a bank of it, and how
it is shown. The device file, the arguments of `Device.add_cell` and `Device.add_coupler`, hardware files, the
equations, the netlist, tables and pictures all follow from these registers.

Local nodes: a cell sits on node ``a``, a coupler between ``a`` and ``b``.

A part from outside of the package is added by `register_cell_part` or `register_coupler_part`, before devices are
made or read that have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Literal

from spu.circuit.elements import (
    Capacitor,
    CurrentSource,
    Element,
    Inductor,
    NoiseCurrent,
    NoiseVoltage,
    Resistor,
    Transconductor,
    VoltageSource,
)
from spu.circuit.polynomial import (
    CrossedInductor,
    PolynomialCapacitor,
    PolynomialConductance,
    PolynomialInductor,
)

__all__ = [
    "CELL_PARTS",
    "COUPLER_PARTS",
    "PARTS",
    "TRANSCONDUCTANCE",
    "Figure",
    "Part",
    "bankable",
    "ranged",
    "register_cell_part",
    "register_coupler_part",
    "signed",
]


def _itself(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Figure:
    """A column of a table.

    Attributes
    ----------
    heading:
        Above it.
    unit:
        Of what it shows; empty for bare numbers.
    shown:
        What is shown of a value (SI).
    digits:
        How many.
    """

    heading: str
    unit: str
    shown: Callable[[float], float] = float
    digits: int = 4


@dataclass(frozen=True)
class Part:
    """One programmable quantity of a cell or a coupler.

    Attributes
    ----------
    quantity, unit:
        Its name in device files and Python, and the unit of its value (SI).
    letter:
        Its mark in the names of subcircuits (``cell_crl``): one lower-case letter.
    meaning:
        What it is, for messages and file headers.
    elements:
        Templates. A resistor's noise port is left out where the device makes no thermal noise. Nodes besides ``a``,
        ``b`` and ``0``, parameters and noise ports bear names that no other part has.
    parameters:
        SPICE parameter -> function of the stored columns: of arrays over instances, or of a bank's
        `spu.base.expressions.Expression`. No lambda: circuits hold them, and are pickled.
    columns:
        Keys of the values it stores for each cell or coupler: the quantity itself, or several where, say, the two
        directions differ.
    positive:
        Whether a value must be > 0 (zero means: not there) or may have either sign.
    injected_port, thermal_port:
        Noise port fed by a source of its own, or by the thermal noise of a resistor, if any.
    zero_is_absent:
        A zero means that the part is not built (an inductance of zero is an error instead).
    polynomial:
        Its columns are coefficients of different powers: one number for all of them means nothing.
    hardware:
        Whether hardware has a range of it: ``always`` (without limits where a file gives none), where a file gives
        one (``given``) or ``never``.
    essential:
        Whether hardware whose cells have it cannot have a nominal value of zero: then there is no stationary law.
    bank:
        How a bank of it is built where switches are not ideal: ``branches`` (one resistor or capacitor, whose
        conductance or capacitance is the value: units in series with switches), ``inputs`` (for each column one
        transconductor with that transconductance: units whose inputs are switched), or a function
        ``(made, part, bank, detail, tag)`` that adds to a `spu.device.build.Realisation`. None: it cannot be a bank.
    total:
        What its strength as a coupler is measured against: the ``capacitance`` (F), ``conductance`` (S) or
        ``stiffness`` (1/H) that a cell has in all; None for nothing.
    share:
        What it is of that, out of its value: itself, unless given.
    adds:
        Whether it is part of that total.
    figures:
        Its columns in tables: one for each of its own, or one for all of them; unless given, values as they are.
    lines:
        Colour and style (matplotlib's) of a coupler in pictures; a signed one has two, of its positive values and of
        its negative ones. Unless given, solid in a colour that is left.
    drawn:
        What a schematic's legend calls a coupler of it; its quantity unless given.
    note:
        A sentence below such a schematic.
    """

    quantity: str
    unit: str
    letter: str
    meaning: str
    elements: tuple[Element, ...]
    parameters: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    columns: tuple[str, ...] = ()
    positive: bool = True
    injected_port: str | None = None
    thermal_port: str | None = None
    zero_is_absent: bool = True
    polynomial: bool = False
    hardware: Literal["always", "given", "never"] = "given"
    essential: bool = False
    bank: Literal["branches", "inputs"] | Callable[..., None] | None = None
    total: Literal["capacitance", "conductance", "stiffness"] | None = None
    share: Callable[[Any], Any] = _itself
    adds: bool = True
    figures: tuple[Figure, ...] = ()
    lines: tuple[tuple[str, Any], ...] = ()
    drawn: str = ""
    note: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys under which the device stores values."""
        return self.columns or (self.quantity,)

    @property
    def words(self) -> str:
        """Its name as people read it."""
        return self.quantity.replace("_", " ")

    @property
    def table(self) -> tuple[Figure, ...]:
        """Its columns in tables."""
        return self.figures or tuple(Figure(key.replace("_", " "), self.unit) for key in self.keys)

    @property
    def ports(self) -> tuple[str, ...]:
        """Its noise ports."""
        return tuple(port for port in (self.injected_port, self.thermal_port) if port is not None)


CELL_PARTS: dict[str, Part] = {}
"""What a cell can have, by quantity."""

COUPLER_PARTS: dict[str, Part] = {}
"""What a coupler can have, by quantity."""

PARTS: dict[str, dict[str, Part]] = {"cell": CELL_PARTS, "coupler": COUPLER_PARTS}
"""Both registers."""


def register_cell_part(part: Part) -> Part:
    """Let cells have a part.

    Raises
    ------
    ValueError
        If its quantity, its letter, or the name of an element, an inner node, a parameter or a noise port is that of
        another part; if it is not built between ``a`` and ground; or if it cannot be built in the way that `Part.bank`
        says.
    """
    return _registered(part, "cell", ("a",))


def register_coupler_part(part: Part) -> Part:
    """Let couplers have a part.

    Raises
    ------
    ValueError
        As `register_cell_part`.
    """
    return _registered(part, "coupler", ("a", "b"))


def _registered(part: Part, kind: str, ends: tuple[str, ...]) -> Part:
    wrong = next(_faults(part, kind, ends), None)
    if wrong is not None:
        raise ValueError(f"part {part.quantity!r} of a {kind}: {wrong}")
    PARTS[kind][part.quantity] = part
    return part


def _faults(part: Part, kind: str, ends: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a part, in words."""
    if not part.quantity.isidentifier() or part.quantity in _NO_QUANTITIES:
        yield "its quantity must be a word of letters, digits and underscores that device files do not use otherwise"
    if len(part.letter) != 1 or not "a" <= part.letter <= "z":
        yield f"its letter must be one from a to z, not {part.letter!r}"
    endings = [key.rpartition("_")[2] for key in part.keys]
    if len(set(endings)) < len(endings):
        yield f"its columns must differ behind their last underscore: {', '.join(part.keys)}"
    if len(part.figures) not in (0, 1, len(part.keys)):
        yield f"it has {len(part.keys)} columns, and {len(part.figures)} figures to show"
    mine = _names(part, ends)
    for other in PARTS[kind].values():
        for what, names in _names(other, ends).items():
            taken = sorted(mine[what] & names)
            if taken:
                left = sorted(set("abcdefghijklmnopqrstuvwxyz") - {each.letter for each in PARTS[kind].values()})
                advice = f"; left are {' '.join(left)}" if what == "letter" else ""
                yield f"{what} {taken[0]} is that of {other.quantity}{advice}"
    other_kind = next(each for each in PARTS if each != kind)
    twin = PARTS[other_kind].get(part.quantity)
    if twin is not None and twin.positive != part.positive:
        yield f"a {other_kind} has a part of that name with{'out' if twin.positive else ''} a sign"
    needed = {name for element in part.elements for name in element.parameters}
    for name in sorted(needed - part.parameters.keys()):
        yield f"nothing gives the parameter {name} of its elements"
    fed = [element.noise_port for element in part.elements if element.noise_port is not None]
    ports = set(fed)
    if len(fed) > len(ports):
        yield "elements that share a noise port would make one noise together: each resistor's is its own"
    if ports != set(part.ports):
        yield "injected_port and thermal_port must name the noise ports of its elements"
    nodes = {node for element in part.elements for node in element.nodes}
    if not nodes & set(ends):
        yield f"none of its elements is on {' or '.join(ends)}"
    if kind == "cell" and "b" in nodes:
        yield "a cell has no node b"
    kinds = tuple(type(element) for element in part.elements)
    if part.bank == "branches" and (len(part.keys) > 1 or kinds not in ((Resistor,), (Capacitor,))):
        yield "a bank of branches is one resistor or capacitor with one value"
    if part.bank == "inputs":
        grounded = all(element.nodes[3] == "0" for element in part.elements if isinstance(element, Transconductor))
        if set(kinds) != {Transconductor} or len(kinds) != len(part.keys) or not grounded:
            yield "a bank of inputs is one transconductor a column, its control against ground"


_NO_QUANTITIES = ("name", "a", "b", "codes", "cell", "coupler")
"""Keys of cells and couplers in device files, and attributes in graphs."""


def _names(part: Part, ends: tuple[str, ...]) -> dict[str, set[str]]:
    """Names that no two parts of a subcircuit or device file can share, by what they are; SPICE ignores their case."""
    inner = {node for element in part.elements for node in element.nodes} - {*ends, "0"}
    found = {
        "quantity": {part.quantity, *part.keys},
        "letter": {part.letter},
        "element": {element.name for element in part.elements},
        "inner node": inner,
        "parameter": set(part.parameters),
        "noise port": set(part.ports),
    }
    return {what: {name.lower() for name in names} for what, names in found.items()}


def signed(quantity: str) -> bool:
    """Whether values of a quantity may have either sign."""
    return any(not parts[quantity].positive for parts in PARTS.values() if quantity in parts)


def bankable(kind: str) -> tuple[str, ...]:
    """Quantities of a ``cell`` or ``coupler`` that can be banks."""
    return tuple(quantity for quantity, part in PARTS[kind].items() if part.bank is not None)


def ranged(kind: str) -> tuple[str, ...]:
    """Quantities of a ``cell`` or ``coupler`` of which hardware may have a range."""
    return tuple(quantity for quantity, part in PARTS[kind].items() if part.hardware != "never")


def _inverse(value: Any) -> Any:
    return 1.0 / value


def _root(value: float) -> float:
    return value**0.5


def _passive(p: str, n: str, meaning: str) -> tuple[Part, ...]:
    """Capacitance, conductance and inductance between two local nodes."""
    return (
        Part(
            "capacitance",
            "F",
            "c",
            meaning.format("capacitance"),
            (Capacitor("c1", (p, n), "c"),),
            {"c": itemgetter("capacitance")},
            hardware="always",
            essential=True,
            bank="branches",
            total="capacitance",
            figures=(Figure("C", "F"),),
            lines=(("tab:blue", "solid"),),
            drawn="capacitor",
        ),
        Part(
            "conductance",
            "S",
            "r",
            meaning.format("conductance"),
            (Resistor("r1", (p, n), "r", "t"),),
            {"r": _resistance},
            thermal_port="t",
            hardware="always",
            essential=True,
            bank="branches",
            total="conductance",
            figures=(Figure("R", "ohm", _inverse),),
            lines=(("tab:orange", "dashed"),),
            drawn="resistor",
        ),
        Part(
            "inductance",
            "H",
            "l",
            meaning.format("inductance"),
            (Inductor("l1", (p, n), "l"),),
            {"l": itemgetter("inductance")},
            zero_is_absent=False,
            hardware="always",
            essential=True,
            total="stiffness",
            share=_inverse,
            figures=(Figure("L", "H"),),
            lines=(("tab:green", "dashdot"),),
            drawn="inductor",
        ),
    )


def _columns(quantity: str) -> tuple[str, ...]:
    return tuple(f"{quantity}_{k}" for k in (1, 2, 3))


def _resistance(values: Mapping[str, Any]) -> Any:
    return 1.0 / values["conductance"]


def _coefficients(quantity: str, letter: str) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """Parameters ``p1``, ``p2``, ``p3`` out of the columns of a polynomial quantity."""
    return {f"{letter}{k}": itemgetter(key) for k, key in enumerate(_columns(quantity), start=1)}


def _charge_parameter(name: str, values: Mapping[str, Any]) -> Any:
    return PolynomialCapacitor.inverse(*(values[key] for key in _columns("polynomial_capacitance")))[name]


for _part in (
    *_passive("a", "0", "{} to ground"),
    Part(
        "noise",
        "A^2/Hz",
        "n",
        "one-sided density of the injected white noise current",
        (NoiseCurrent("gn", ("0", "a"), "sn", "n"),),
        {"sn": itemgetter("noise")},
        injected_port="n",
        hardware="always",
        figures=(Figure("noise", "A/rtHz", _root, 3),),
    ),
    Part(
        "noise_voltage",
        "V^2/Hz",
        "v",
        "one-sided density of the white noise voltage in series with the conductance",
        (NoiseVoltage("ev", ("a", "rv"), "sv", "nv", role="series"),),
        {"sv": itemgetter("noise_voltage")},
        injected_port="nv",
        hardware="never",
        figures=(Figure("noise in series", "V/rtHz", _root, 3),),
    ),
    Part(
        "bias",
        "A",
        "b",
        "constant current into the cell",
        (CurrentSource("ib", ("0", "a"), "ib"),),
        {"ib": itemgetter("bias")},
        positive=False,
        hardware="always",
        figures=(Figure("bias", "A"),),
    ),
    Part(
        "clamp",
        "V",
        "h",
        "voltage source that holds the cell",
        (VoltageSource("vhold", ("a", "0"), "hold"),),
        {"hold": itemgetter("clamp")},
        positive=False,
        zero_is_absent=False,
        hardware="never",
        figures=(Figure("held at", "V"),),
    ),
    Part(
        "active_conductance",
        "S",
        "g",
        "active conductance to ground: a current ga*v(a) leaves the cell, without noise, and ga < 0 drives it",
        (Transconductor("ga", ("a", "0", "a", "0"), "ga"),),
        {"ga": itemgetter("active_conductance")},
        positive=False,
        figures=(Figure("active", "S"),),
    ),
    Part(
        "polynomial_conductance",
        "A/V^k",
        "p",
        "polynomial conductance to ground, i = p1 v + p2 v^2 + p3 v^3",
        (PolynomialConductance("p1", ("a", "0"), "p1", further=("p2", "p3")),),
        _coefficients("polynomial_conductance", "p"),
        columns=_columns("polynomial_conductance"),
        positive=False,
        polynomial=True,
        hardware="never",
        figures=(Figure("i of v: A/V, A/V^2, A/V^3", ""),),
    ),
    Part(
        "polynomial_inductance",
        "A/Wb^k",
        "f",
        "nonlinear inductor to ground, i = f1 phi + f2 phi^2 + f3 phi^3",
        (PolynomialInductor("f1", ("a", "0", "flux"), "f1", further=("f2", "f3")),),
        _coefficients("polynomial_inductance", "f"),
        columns=_columns("polynomial_inductance"),
        positive=False,
        polynomial=True,
        hardware="never",
        figures=(Figure("i of flux: A/Wb, A/Wb^2, A/Wb^3", ""),),
    ),
    Part(
        "polynomial_capacitance",
        "V/C^k",
        "q",
        "nonlinear capacitor to ground, v = q1 q + q2 q^2 + q3 q^3; q = qs sinh(asinh((v-vc)/vs)/3) - qh",
        (PolynomialCapacitor("q1", ("a", "0", "charge"), "q1", further=("q2", "q3")),),
        {
            **_coefficients("polynomial_capacitance", "q"),
            **{name: partial(_charge_parameter, name) for name in ("qs", "vs", "vc", "qh")},
        },
        columns=_columns("polynomial_capacitance"),
        positive=False,
        polynomial=True,
        hardware="never",
        figures=(Figure("v of charge: V/C, V/C^2, V/C^3", ""),),
    ),
):
    register_cell_part(_part)

TRANSCONDUCTANCE = Part(
    "transconductance",
    "S",
    "g",
    "transconductances: a current gab*v(b) leaves a, a current gba*v(a) leaves b",
    (
        Transconductor("gab", ("a", "0", "b", "0"), "gab"),
        Transconductor("gba", ("b", "0", "a", "0"), "gba"),
    ),
    {"gab": itemgetter("transconductance_ab"), "gba": itemgetter("transconductance_ba")},
    columns=("transconductance_ab", "transconductance_ba"),
    positive=False,
    hardware="always",
    bank="inputs",
    total="conductance",
    adds=False,
    figures=(Figure("g(ab)", "S"), Figure("g(ba)", "S")),
    lines=(("tab:red", "solid"), ("tab:purple", "dotted")),
    drawn="transconductors",
    note="Transconductors: the current flows as the arrow points; on a line of the graph, two values are GAB / GBA, a "
    "single one is both.",
)

for _part in (
    *_passive("a", "b", "coupling {}"),
    TRANSCONDUCTANCE,
    Part(
        "crossed_inductance",
        "H",
        "x",
        "coupling inductance behind an ideal transformer of ratio -1: its flux is the sum of the cells' fluxes",
        (CrossedInductor("lx", ("a", "b"), "lx"),),
        {"lx": itemgetter("crossed_inductance")},
        zero_is_absent=False,
        hardware="never",
        total="stiffness",
        share=_inverse,
        figures=(Figure("crossed L", "H"),),
        lines=(("tab:cyan", (0, (9, 3))),),
        drawn="inductor behind a transformer 1 : -1",
        note="An inductor behind a transformer 1 : -1 holds the sum of its two cells' fluxes.",
    ),
):
    register_coupler_part(_part)
