"""Circuit elements: what each one adds to the equations, and its line in a netlist.

An element is a template inside a subcircuit. It names its local nodes and the subcircuit
parameters that hold its values; the numbers come with the instances, as arrays over all
instances of the subcircuit, so that half a million couplers cost one call each.

``stamp`` writes the element into modified nodal analysis, ``E x' = F x + s + K n`` with
``x`` the node voltages and inductor currents; rows of nodes are Kirchhoff's current law
with currents *leaving* the node on the left-hand side. ``spice`` prints the same element
for ngspice. The two methods of one class are the only places that know its equation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spu.constants import BOLTZMANN, UNIT_NOISE_DENSITY
from spu.mna import Stamps

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class Element(Protocol):
    """One element of a subcircuit.

    ``nodes`` are local node names (ports, internal nodes, or ``"0"``), ``noise_port`` is the
    local node of the unit noise source that drives it, if any.
    """

    @property
    def name(self) -> str:
        """Local name; the first letter is the SPICE element type."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Local nodes in SPICE order, without the noise port."""

    @property
    def noise_port(self) -> str | None:
        """Local node of the unit noise source, or None."""

    def stamp(
        self, stamps: Stamps, nodes: list[IntArray], noise: IntArray | None, values: Mapping[str, FloatArray]
    ) -> None:
        """Add all instances to the equations: global nodes (ground is -1), source numbers, values."""

    def spice(self) -> list[str]:
        """Lines inside the ``.subckt``."""


@dataclass(frozen=True)
class Resistor:
    """Resistance ``r`` (ohm); with a noise port it makes thermal noise, ``4kT/r`` (A^2/Hz one-sided)."""

    name: str
    p: str
    n: str
    r: str
    noise_port: str | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.p, self.n)

    def stamp(
        self, stamps: Stamps, nodes: list[IntArray], noise: IntArray | None, values: Mapping[str, FloatArray]
    ) -> None:
        conductance = 1.0 / values[self.r]
        stamps.conductance(nodes[0], nodes[1], conductance)
        if noise is not None:
            density = 4.0 * BOLTZMANN * stamps.temperature * conductance
            stamps.noise_current(nodes[0], nodes[1], noise, np.sqrt(density))

    def spice(self) -> list[str]:
        if self.noise_port is None:
            return [f"{self.name} {self.p} {self.n} {{{self.r}}} noisy=0"]
        # ngspice's resistors are noisy in .noise and silent in .tran; the transconductor adds
        # the same noise to .tran (its port is silent in .noise, so nothing is counted twice).
        return [
            f"{self.name} {self.p} {self.n} {{{self.r}}}",
            f"g{self.name} {self.p} {self.n} {self.noise_port} 0 {{sqrt(kt4/{self.r})/en}}",
        ]


@dataclass(frozen=True)
class Capacitor:
    """Capacitance ``c`` (F)."""

    name: str
    p: str
    n: str
    c: str
    noise_port: str | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.p, self.n)

    def stamp(
        self, stamps: Stamps, nodes: list[IntArray], noise: IntArray | None, values: Mapping[str, FloatArray]
    ) -> None:
        stamps.capacitance(nodes[0], nodes[1], values[self.c])

    def spice(self) -> list[str]:
        return [f"{self.name} {self.p} {self.n} {{{self.c}}}"]


@dataclass(frozen=True)
class Inductor:
    """Inductance ``l`` (H); its current, from ``p`` to ``n``, is a state."""

    name: str
    p: str
    n: str
    l: str
    noise_port: str | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.p, self.n)

    def stamp(
        self, stamps: Stamps, nodes: list[IntArray], noise: IntArray | None, values: Mapping[str, FloatArray]
    ) -> None:
        stamps.inductance(self.name, nodes[0], nodes[1], values[self.l])

    def spice(self) -> list[str]:
        return [f"{self.name} {self.p} {self.n} {{{self.l}}}"]


@dataclass(frozen=True)
class CurrentSource:
    """Constant current ``i`` (A), from ``p`` through the source to ``n``."""

    name: str
    p: str
    n: str
    i: str
    noise_port: str | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.p, self.n)

    def stamp(
        self, stamps: Stamps, nodes: list[IntArray], noise: IntArray | None, values: Mapping[str, FloatArray]
    ) -> None:
        stamps.current(nodes[0], nodes[1], values[self.i])

    def spice(self) -> list[str]:
        return [f"{self.name} {self.p} {self.n} dc {{{self.i}}}"]


@dataclass(frozen=True)
class Transconductor:
    """Current ``g (v(cp) - v(cn))`` (A), ``g`` in S, from ``p`` through the element to ``n``; noiseless."""

    name: str
    p: str
    n: str
    cp: str
    cn: str
    g: str
    noise_port: str | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.p, self.n, self.cp, self.cn)

    def stamp(
        self, stamps: Stamps, nodes: list[IntArray], noise: IntArray | None, values: Mapping[str, FloatArray]
    ) -> None:
        stamps.transconductance(nodes[0], nodes[1], nodes[2], nodes[3], values[self.g])

    def spice(self) -> list[str]:
        return [f"{self.name} {self.p} {self.n} {self.cp} {self.cn} {{{self.g}}}"]


@dataclass(frozen=True)
class NoiseCurrent:
    """Injected white noise current of one-sided density ``s`` (A^2/Hz), from ``p`` to ``n``."""

    name: str
    p: str
    n: str
    s: str
    noise_port: str | None

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.p, self.n)

    def stamp(
        self, stamps: Stamps, nodes: list[IntArray], noise: IntArray | None, values: Mapping[str, FloatArray]
    ) -> None:
        assert noise is not None
        stamps.noise_current(nodes[0], nodes[1], noise, np.sqrt(values[self.s]))

    def spice(self) -> list[str]:
        return [f"{self.name} {self.p} {self.n} {self.noise_port} 0 {{sqrt({self.s})/en}}"]


def silent(element: Element) -> Element:
    """The same element without its noise."""
    return replace(element, noise_port=None)  # type: ignore[type-var]


def unit_noise_resistance(temperature: float) -> float:
    """Resistance (ohm) whose thermal noise ``4kTR`` is the unit noise density squared at ``temperature`` (K)."""
    return UNIT_NOISE_DENSITY**2 / (4.0 * BOLTZMANN * temperature)
