"""Nonlinear elements, each with a polynomial law, and the inductor that couples fluxes with a positive sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.circuit.elements import Element, Language
from spu.circuit.stamps import Stamps


@dataclass(frozen=True)
class PolynomialElement(Element):
    """An element whose law is the derivative of a polynomial energy (or co-content) of one coordinate.

    With coefficients ``c = (c1, c2, c3)``, ``energy = c1 x^2/2 + c2 x^3/3 + c3 x^4/4`` and ``law =
    d energy / dx = c1 x + c2 x^2 + c3 x^3``. Subclasses say what the coordinate x is, what the law
    gives, and how ngspice has it.

    Attributes
    ----------
    further:
        The parameters of c2 and c3; ``value`` is that of c1.
    coordinate:
        ``voltage``, ``charge`` or ``flux``.
    """

    further: tuple[str, ...] = ()

    linear = False

    coordinate: ClassVar[str]

    @property
    def sense(self) -> str | None:
        """The third node, if any."""
        return self.nodes[2] if len(self.nodes) > 2 else None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters of all coefficients."""
        return (self.value, *self.further)

    @property
    def printed(self) -> PolynomialElement:
        """The element as a netlist holds it, with the parameters that count there; itself, unless it has others."""
        return self

    def typical(self, name: str, x: float, force: float) -> float:
        """A value of a parameter that matters where coordinates are of the size x, and their law of the size force."""
        return force / x ** (self.parameters.index(name) + 1)

    @staticmethod
    def energy(x: FloatArray, coefficients: FloatArray) -> FloatArray:
        """Energy stored (J), or co-content (W), at x: ``coefficients`` (..., 3)."""
        c = np.moveaxis(np.asarray(coefficients), -1, 0)
        return np.asarray(((c[2] / 4 * x + c[1] / 3) * x + c[0] / 2) * x * x)

    @staticmethod
    def law(x: FloatArray, coefficients: FloatArray) -> FloatArray:
        """The derivative of `energy`."""
        c = np.moveaxis(np.asarray(coefficients), -1, 0)
        return np.asarray(((c[2] * x + c[1]) * x + c[0]) * x)

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.polynomial(self.coordinate, nodes, values)

    @property
    def _values(self) -> dict[str, str]:
        """Of a module's parameters."""
        return dict(zip(("c1", "c2", "c3"), self.parameters, strict=True))


class PolynomialConductance(PolynomialElement):
    """Current ``c1 v + c2 v^2 + c3 v^3`` (A, A/V^k), from the first node to the second; noiseless.

    The derivative of its co-content (W). An active element, as `Transconductor`: its noise is part of
    what is injected.
    """

    coordinate = "voltage"
    units = ("A/V", "A/V²", "A/V³")
    words = "Conductances with a mark across: i = {} v + {} v² + {} v³"

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values * factor

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_polynomial", (*self.nodes, self.times), self._values)

    def spice(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "conductance", self.nodes, self._values)


class PolynomialInductor(PolynomialElement):
    """Current ``c1 phi + c2 phi^2 + c3 phi^3`` (A/Wb^k) of the flux between two nodes; derivative of its energy.

    The third node is the sense node: its voltage is the flux over `FLUX_UNIT`. ngspice integrates the
    voltage on a unit capacitor there.
    """

    coordinate = "flux"
    units = ("A/Wb", "A/Wb²", "A/Wb³")
    words = "Inductors with a mark across: i = {} φ + {} φ² + {} φ³ of the flux φ"

    def spice(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "inductor", self.nodes, self._values)


class PolynomialCapacitor(PolynomialElement):
    """Voltage ``c1 q + c2 q^2 + c3 q^3`` (V/C^k) of the charge on it; derivative of its energy.

    The third node is the sense node: its voltage is the charge over `CHARGE_UNIT`. The law must rise
    everywhere (c3 > 0, c2^2 < 3 c1 c3), so that the charge is a function of the voltage: in closed form,
    by Cardano's formula with hyperbolic functions, ``q = qs sinh(asinh((v - vc)/vs)/3) - qh``. `inverse`
    gives the four parameters.
    """

    coordinate = "charge"
    units = ("V/C", "V/C²", "V/C³")
    words = "Capacitors with a mark across: v = {} q + {} q² + {} q³ of the charge q"

    @staticmethod
    def inverse(c1: FloatArray, c2: FloatArray, c3: FloatArray) -> dict[str, FloatArray]:
        """``qs``, ``vs``, ``vc``, ``qh`` of the closed form, of (k,) coefficients."""
        shift = c2 / (3 * c3)
        slope = (c1 - c2**2 / (3 * c3)) / c3  # t^3 + slope t = (v - vc) / c3 with t = q + qh
        half = 2 * np.sqrt(slope / 3)
        return {
            "qs": half,
            "vs": c3 * half * slope / 3,
            "vc": ((-c3 * shift + c2) * shift - c1) * shift,
            "qh": shift,
        }

    @property
    def printed(self) -> InverseCapacitor:
        return InverseCapacitor(self.name, self.nodes, "qs", further=("vs", "vc", "qh"))

    def spice(self, dialect: Language) -> list[str]:
        return self.printed.spice(dialect)


class InverseCapacitor(PolynomialElement):
    """A `PolynomialCapacitor` by the parameters of its closed form, ``q = qs sinh(asinh((v - vc)/vs)/3) - qh``.

    A netlist holds these. Where they are not those of one law, it has a voltage at no charge.
    """

    coordinate = "charge"

    def typical(self, name: str, x: float, force: float) -> float:
        return x if self.parameters.index(name) in (0, 3) else force

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        qs, vs, vc, qh = values.T
        c3, slope = 4 * vs / qs**3, 3 * qs**2 / 4  # v = vc + c3 (t^3 + slope t) with t = q + qh
        at_zero = vc + c3 * (qh**2 + slope) * qh
        coefficients = (c3 * (3 * qh**2 + slope), 3 * c3 * qh, c3, at_zero)
        stamps.polynomial(self.coordinate, nodes, np.stack(coefficients, axis=1))

    def spice(self, dialect: Language) -> list[str]:
        values = dict(zip(("qs", "vs", "vc", "qh"), self.parameters, strict=True))
        return dialect.module(self.name, "capacitor", self.nodes, values)


class CrossedInductor(Element):
    """Inductance (H) behind an ideal transformer of ratio -1: its flux is the *sum* of its two nodes' fluxes.

    Its current leaves both nodes. The energy ``(phi_a + phi_b)^2 / 2L`` couples fluxes with a positive
    sign, as a plain `Inductor` between two nodes does with a negative one.
    """

    linear = False

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values / factor if factor else np.full_like(values, np.inf)

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_crossed_inductor", (*self.nodes, self.times), {"l": self.value})

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.crossed_inductance(nodes[0], nodes[1], values)

    def spice(self, dialect: Language) -> list[str]:
        p, q = self.nodes
        name = self.name
        return [
            dialect.element(name, (p, f"{name}m"), self.value),
            dialect.element(f"e{name}", (f"{name}s", "0", "0", q), "1"),  # the transformer: voltage here, current there
            dialect.element(f"v{name}", (f"{name}m", f"{name}s"), "0"),
            dialect.element(f"f{name}", (q, "0"), "1", (f"v{name}",)),
        ]
