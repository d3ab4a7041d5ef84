"""Circuit elements: what each one adds to the equations, and its line in a netlist.

An element is a template inside a subcircuit. It names its local nodes and the subcircuit
parameter that holds its value; the numbers come with the instances, as arrays over all
instances of the subcircuit, so that half a million couplers cost one call each.

``stamp`` writes the element into modified nodal analysis, ``E x' = F x + s + K n`` with
``x`` the node voltages and branch currents; rows of nodes are Kirchhoff's current law
with currents *leaving* the node on the left-hand side. ``spice`` prints the same element
in a simulator's dialect. The two methods of one class are the only places that know its equation.

Inductors and elements that define a voltage have a branch: an unknown current, from the first
node through the element to the second, and an equation of their own. Elements that use the
current of another name that one, as SPICE does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from spu.constants import BOLTZMANN, UNIT_NOISE_DENSITY
from spu.mna import Stamps

if TYPE_CHECKING:
    from spu.spice.dialects import Dialect

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Element(ABC):
    """One element of a subcircuit.

    Attributes
    ----------
    name:
        Local name; the first letter is the SPICE element type.
    nodes:
        Local nodes in SPICE order: ports, internal nodes, or ``"0"`` for ground.
    value:
        The subcircuit parameter that holds its value.
    noise_port:
        Local node of the unit noise source that drives it, or None.
    branches:
        Names of elements of the same subcircuit whose branches it uses.
    """

    name: str
    nodes: tuple[str, ...]
    value: str
    noise_port: str | None = None
    branches: tuple[str, ...] = ()

    has_branch: ClassVar[bool] = False
    """Whether it has a current of its own among the unknowns."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that hold its values."""
        return (self.value,)

    @abstractmethod
    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        """Add all k instances to the equations.

        Parameters
        ----------
        stamps:
            The equations.
        nodes:
            For each of ``self.nodes`` its (k,) global numbers; ground is `GROUND`.
        noise:
            (k,) numbers of unit noise sources, None without a noise port.
        values:
            (k,) values, SI; (k, c) where there are several parameters.
        branches:
            (k,) numbers of branches: its own, where it has one, then those of ``self.branches``.
        """

    def spice(self, dialect: Dialect) -> list[str]:
        """Lines inside the subcircuit: one element of SPICE, unless it needs more."""
        return [dialect.element(self.name, self.nodes, self.value, self.branches)]


class Resistor(Element):
    """Resistance (ohm); with a noise port it makes thermal noise, ``4kT/r`` (A^2/Hz one-sided)."""

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        conductance = 1.0 / values
        stamps.conductance(nodes[0], nodes[1], conductance)
        if noise is not None:
            density = 4.0 * BOLTZMANN * stamps.temperature * conductance
            stamps.noise_current(nodes[0], nodes[1], noise, np.sqrt(density))

    def spice(self, dialect: Dialect) -> list[str]:
        if self.noise_port is None:
            return [dialect.silent_resistor(self.name, self.nodes, self.value)]
        noisy = super().spice(dialect)
        if not dialect.thermal_sources:
            return noisy
        # SPICE's resistors are noisy in .noise and silent in .tran; the transconductor adds
        # the same noise to .tran (its port is silent in .noise, so nothing is counted twice).
        driven = (*self.nodes, self.noise_port, "0")
        return [*noisy, dialect.element(f"g{self.name}", driven, f"sqrt(kt4/{self.value})/en")]


class Capacitor(Element):
    """Capacitance (F)."""

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.capacitance(nodes[0], nodes[1], values)


class Inductor(Element):
    """Inductance (H); its current, from the first node to the second, is a state."""

    has_branch = True

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.inductance(branches[0], nodes[0], nodes[1], values)


class CurrentSource(Element):
    """Constant current (A), from the first node through the source to the second."""

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.current(nodes[0], nodes[1], values)


class Transconductor(Element):
    """Current ``g (v(third) - v(fourth))`` (A), g in S, from the first node to the second; noiseless."""

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.transconductance(nodes[0], nodes[1], nodes[2], nodes[3], values)


class NoiseCurrent(Element):
    """Injected white noise current of one-sided density (A^2/Hz), from the first node to the second."""

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        assert noise is not None
        stamps.noise_current(nodes[0], nodes[1], noise, np.sqrt(values))

    def spice(self, dialect: Dialect) -> list[str]:
        assert self.noise_port is not None
        return [dialect.element(self.name, (*self.nodes, self.noise_port, "0"), f"sqrt({self.value})/en")]


class MutualInductance(Element):
    """Coupling coefficient k of two inductors, ``M = k sqrt(l1 l2)``; |k| = 1 is an ideal transformer's."""

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.mutual_inductance(branches[0], branches[1], values)


class VoltageSource(Element):
    """Constant voltage (V) of the first node over the second."""

    has_branch = True

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.voltage_branch(branches[0], nodes[0], nodes[1])
        stamps.voltage(branches[0], values)


class VoltageControlledVoltageSource(Element):
    """Voltage ``gain (v(third) - v(fourth))`` of the first node over the second; noiseless."""

    has_branch = True

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.voltage_branch(branches[0], nodes[0], nodes[1])
        stamps.voltage_control(branches[0], nodes[2], nodes[3], values)


class CurrentControlledCurrentSource(Element):
    """Current ``gain`` times that of a branch, from the first node through the source to the second; noiseless."""

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.current_control(nodes[0], nodes[1], branches[0], values)


class CurrentControlledVoltageSource(Element):
    """Voltage, of the first node over the second, of a resistance (ohm) times the current of a branch; noiseless."""

    has_branch = True

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.voltage_branch(branches[0], nodes[0], nodes[1])
        stamps.current_voltage(branches[0], branches[1], values)


class NoiseVoltage(Element):
    """White noise voltage of one-sided density (V^2/Hz) of the first node over the second; no impedance."""

    has_branch = True

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        assert noise is not None
        stamps.voltage_branch(branches[0], nodes[0], nodes[1])
        stamps.noise_voltage(branches[0], noise, np.sqrt(values))

    def spice(self, dialect: Dialect) -> list[str]:
        assert self.noise_port is not None
        return [dialect.element(self.name, (*self.nodes, self.noise_port, "0"), f"sqrt({self.value})/en")]


# --- nonlinear elements ---------------------------------------------------------------------

FLUX_UNIT = CHARGE_UNIT = 1e-6
"""Wb and C that one volt at the sense node of a nonlinear inductor or capacitor stands for."""


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

    coordinate: ClassVar[str]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters of all coefficients."""
        return (self.value, *self.further)

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

    def spice(self, dialect: Dialect) -> list[str]:
        p, n = self.nodes
        return [f"b{self.name} {p} {n} i={self._horner(f'v({p},{n})')}"]


class PolynomialInductor(PolynomialElement):
    """Current ``c1 phi + c2 phi^2 + c3 phi^3`` (A/Wb^k) of the flux between two nodes; derivative of its energy.

    The third node is the sense node: its voltage is the flux over `FLUX_UNIT`. ngspice integrates the
    voltage on a unit capacitor there.
    """

    coordinate = "flux"

    def spice(self, dialect: Dialect) -> list[str]:
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

    def spice(self, dialect: Dialect) -> list[str]:
        p, n, sense = self.nodes
        charge = f"{{qs}}*sinh(asinh((v({p},{n})-{{vc}})/{{vs}})/3)-{{qh}}"
        return [f"c{self.name} {p} {n} q='{charge}'", f"b{self.name} {sense} 0 v=({charge})/{CHARGE_UNIT!r}"]


class CrossedInductor(Element):
    """Inductance (H) behind an ideal transformer of ratio -1: its flux is the *sum* of its two nodes' fluxes.

    Its current leaves both nodes. The energy ``(phi_a + phi_b)^2 / 2L`` couples fluxes with a positive
    sign, as a plain `Inductor` between two nodes does with a negative one.
    """

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        stamps.crossed_inductance(nodes[0], nodes[1], values)

    def spice(self, dialect: Dialect) -> list[str]:
        p, q = self.nodes
        name = self.name
        return [
            f"{name} {p} {name}m {{{self.value}}}",
            f"e{name} {name}s 0 0 {q} 1",  # the transformer: voltage here, current there
            f"v{name} {name}m {name}s 0",
            f"f{name} {q} 0 v{name} 1",
        ]


def silent(element: Element) -> Element:
    """The same element without its noise."""
    return replace(element, noise_port=None)


def unit_noise_resistance(temperature: float) -> float:
    """Resistance (ohm) whose thermal noise ``4kTR`` is the unit noise density squared at ``temperature`` (K)."""
    return UNIT_NOISE_DENSITY**2 / (4.0 * BOLTZMANN * temperature)
