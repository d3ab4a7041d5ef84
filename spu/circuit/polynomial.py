"""Nonlinear elements, each with a polynomial law, and the inductor that couples fluxes with a positive sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.circuit.elements import CHARGE_UNIT, FLUX_UNIT, Element, Language
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

    def _horner(self, x: str) -> str:
        """The law as ngspice computes it."""
        one, two, three = (f"{{{name}}}" for name in self.parameters)
        return f"{x}*({one}+{x}*({two}+{x}*{three}))"


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

    def ramped(self) -> list[str]:
        p, n = self.nodes
        return [f"b{self.name} {p} {n} i={self.times}*{self._horner(f'v({p},{n})')}"]

    def spice(self, dialect: Language) -> list[str]:
        p, n = self.nodes
        return [f"b{self.name} {p} {n} i={self._horner(f'v({p},{n})')}"]


class PolynomialInductor(PolynomialElement):
    """Current ``c1 phi + c2 phi^2 + c3 phi^3`` (A/Wb^k) of the flux between two nodes; derivative of its energy.

    The third node is the sense node: its voltage is the flux over `FLUX_UNIT`. ngspice integrates the
    voltage on a unit capacitor there.
    """

    coordinate = "flux"
    units = ("A/Wb", "A/Wb²", "A/Wb³")
    words = "Inductors with a mark across: i = {} φ + {} φ² + {} φ³ of the flux φ"

    def spice(self, dialect: Language) -> list[str]:
        p, n, sense = self.nodes
        flux = f"({FLUX_UNIT!r}*v({sense}))"
        return [
            f"c{self.name} {sense} 0 {FLUX_UNIT!r}",
            f"g{self.name} 0 {sense} {p} {n} 1",
            f"b{self.name} {p} {n} i={self._horner(flux)}",
        ]


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
        p, n, sense = self.nodes
        qs, vs, vc, qh = (f"{{{name}}}" for name in self.parameters)
        charge = f"{qs}*sinh(asinh((v({p},{n})-{vc})/{vs})/3)-{qh}"
        return [f"c{self.name} {p} {n} q='{charge}'", f"b{self.name} {sense} 0 v=({charge})/{CHARGE_UNIT!r}"]


class CrossedInductor(Element):
    """Inductance (H) behind an ideal transformer of ratio -1: its flux is the *sum* of its two nodes' fluxes.

    Its current leaves both nodes. The energy ``(phi_a + phi_b)^2 / 2L`` couples fluxes with a positive
    sign, as a plain `Inductor` between two nodes does with a negative one.
    """

    linear = False

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values / factor if factor else np.full_like(values, np.inf)

    def ramped(self) -> list[str]:
        p, q = self.nodes
        current = f"{self.times}*v({self.name}f)*{{{FLUX_UNIT!r}/{self.value}}}"
        return [
            f"c{self.name} {self.name}f 0 {FLUX_UNIT!r}",
            f"g{self.name} 0 {self.name}f {p} 0 1",
            f"gq{self.name} 0 {self.name}f {q} 0 1",
            f"b{self.name} {p} 0 i={current}",
            f"bq{self.name} {q} 0 i={current}",
        ]

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
            f"{name} {p} {name}m {{{self.value}}}",
            f"e{name} {name}s 0 0 {q} 1",  # the transformer: voltage here, current there
            f"v{name} {name}m {name}s 0",
            f"f{name} {q} 0 v{name} 1",
        ]
