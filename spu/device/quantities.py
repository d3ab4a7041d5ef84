"""What cells and couplers can be made of: one entry a quantity, and the place for a new one.

A `Part` says, for one programmable quantity of a cell or coupler (``capacitance``,
``transconductance``...): its unit, which values are allowed, which elements it puts into the
subcircuit and how the programmed value becomes their parameters. The device file, the
arguments of `Device.add_cell` and `Device.add_coupler`, the equations and the netlist all
follow from these tables.

Local nodes: a cell sits on node ``a``, a coupler between ``a`` and ``b``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from spu.circuit.elements import (
    Capacitor,
    CurrentSource,
    Element,
    Inductor,
    NoiseCurrent,
    Resistor,
    Transconductor,
)
from spu.circuit.polynomial import (
    CrossedInductor,
    PolynomialCapacitor,
    PolynomialConductance,
    PolynomialInductor,
)


@dataclass(frozen=True)
class Part:
    """One programmable quantity of a cell or a coupler.

    Attributes
    ----------
    quantity, unit:
        Its name in device files and Python, and the unit of its value (SI).
    letter:
        Its mark in the names of subcircuits (``cell_crl``).
    meaning:
        What it is, for messages and file headers.
    columns:
        Keys of the values it stores for each cell or coupler: the quantity itself, or two of
        them where the two directions differ.
    positive:
        Whether a value must be > 0 (zero means: not there) or may have either sign.
    elements:
        Templates. A resistor's noise port is left out where the device makes no thermal noise.
    parameters:
        SPICE parameter -> function of the stored columns: of arrays over instances, or of a bank's
        `spu.base.expressions.Expression`. No lambda: circuits hold them, and are pickled.
    injected_port, thermal_port:
        Noise port fed by a source of its own, or by the thermal noise of a resistor, if any.
    zero_is_absent:
        A zero means that the part is not built (an inductance of zero is an error instead).
    polynomial:
        Its columns are coefficients of different powers: one number for all of them means nothing.
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

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys under which the device stores values."""
        return self.columns or (self.quantity,)


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
        ),
        Part(
            "conductance",
            "S",
            "r",
            meaning.format("conductance"),
            (Resistor("r1", (p, n), "r", "t"),),
            {"r": _resistance},
            thermal_port="t",
        ),
        Part(
            "inductance",
            "H",
            "l",
            meaning.format("inductance"),
            (Inductor("l1", (p, n), "l"),),
            {"l": itemgetter("inductance")},
            zero_is_absent=False,
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


CELL_PARTS: tuple[Part, ...] = (
    *_passive("a", "0", "{} to ground"),
    Part(
        "noise",
        "A^2/Hz",
        "n",
        "one-sided density of the injected white noise current",
        (NoiseCurrent("gn", ("0", "a"), "sn", "n"),),
        {"sn": itemgetter("noise")},
        injected_port="n",
    ),
    Part(
        "bias",
        "A",
        "b",
        "constant current into the cell",
        (CurrentSource("ib", ("0", "a"), "ib"),),
        {"ib": itemgetter("bias")},
        positive=False,
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
    ),
)

COUPLER_PARTS: tuple[Part, ...] = (
    *_passive("a", "b", "coupling {}"),
    Part(
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
    ),
    Part(
        "crossed_inductance",
        "H",
        "x",
        "coupling inductance behind an ideal transformer of ratio -1: its flux is the sum of the cells' fluxes",
        (CrossedInductor("lx", ("a", "b"), "lx"),),
        {"lx": itemgetter("crossed_inductance")},
        zero_is_absent=False,
    ),
)
