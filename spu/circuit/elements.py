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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import BOLTZMANN, UNIT_NOISE_DENSITY
from spu.base.errors import CircuitError
from spu.circuit.ramp import PORTS
from spu.circuit.stamps import Stamps

FLUX_UNIT = CHARGE_UNIT = 1e-6
"""Wb and C that one volt at the sense node of a nonlinear inductor or capacitor stands for."""


class Language(Protocol):
    """What an element asks of the language of a netlist; the dialects of `spu.spice` are such."""

    @property
    def thermal_sources(self) -> bool:
        """Whether a resistor is silent in ``.tran``, so that a source must make its noise there."""

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:
        """One element: name and nodes (local), the expression of its value (SI), the branches it uses."""

    def silent_resistor(self, name: str, nodes: Sequence[str], value: str) -> str:
        """A resistor that makes no noise."""

    def module(self, name: str, module: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
        """What SPICE has no element for: an instance of one of `spu.spice.modules`, its nodes, its values as above."""


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
    factor:
        Which factor of a ramp (`spu.circuit.ramp.Ramp`) its strength is multiplied by: ``couplers`` or ``noise``; none
        where that is empty.
    role:
        What a model of a noise source is built of, whose powers are none of the circuit's: ``signal``, or ``flicker``
        for the sources of its 1/f noise; ``noise`` for what drives its signal into the circuit; ``series`` for a white
        voltage in series with a resistor, which it gives power without limit. Of what an amplifier is built of
        ``buffer``, for what drives its first pole, and ``output``, for the conductance of its output; ``readout`` of
        what reads a cell. Empty for all else.
    """

    name: str
    nodes: tuple[str, ...]
    value: str
    noise_port: str | None = None
    branches: tuple[str, ...] = ()
    factor: str = ""
    role: str = ""

    has_branch: ClassVar[bool] = False
    """Whether it has a current of its own among the unknowns."""

    linear: ClassVar[bool] = True
    """Whether the linear equations can hold it; else the circuit's is `spu.emulator.equations.langevin`."""

    units: ClassVar[tuple[str, ...]] = ()
    """Of its values, for pictures; unless given, the unit of its letter's kind."""

    symbol: ClassVar[str] = ""
    """Name of a two-terminal symbol of schemdraw (``ResistorIEC``); unless given, that of its letter, or else a box."""

    words: ClassVar[str] = ""
    """What it is, below a schematic: one sentence with a ``{}`` for the name of each of its parameters."""

    @property
    def sense(self) -> str | None:
        """The local node whose voltage shows its coordinate, where that is no voltage of its own."""
        return None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that hold its values."""
        return (self.value,)

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        """Its values where its strength is ``factor`` times as large.

        Raises
        ------
        CircuitError
            If that means nothing for such an element.
        """
        raise CircuitError(
            f"{self.name}: a ramp of couplers is of capacitors, resistors, inductors, transconductors and polynomial "
            "conductances, one of noise of injected currents"
        )

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

    def spice(self, dialect: Language) -> list[str]:
        """Lines inside the subcircuit: one element of SPICE, unless it needs more."""
        return [dialect.element(self.name, self.nodes, self.value, self.branches)]

    def ramped(self, dialect: Language) -> list[str]:
        """The same lines where its strength is multiplied by the voltage of a node, `times`."""
        raise CircuitError(f"{self.name} follows no ramp")

    @property
    def times(self) -> str:
        """The node that bears the factor of its ramp."""
        return PORTS[self.factor]

    @property
    def _driven(self) -> tuple[str, ...]:
        """Its nodes where noise drives it along a ramp."""
        assert self.noise_port is not None
        return (*self.nodes, self.noise_port, self.times)


class Resistor(Element):
    """Resistance (ohm); with a noise port it makes thermal noise, ``4kT/r`` (A^2/Hz one-sided)."""

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values / factor if factor else np.full_like(values, np.inf)

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

    def ramped(self, dialect: Language) -> list[str]:
        nodes = (*self.nodes, self.times)
        lines = dialect.module(self.name, "ramped_conductance", nodes, {"g": f"1/{self.value}"})
        if self.noise_port is None:
            return lines
        driven = (*self.nodes, self.noise_port, self.times)
        gain = {"gain": f"sqrt(kt4/{self.value})/en"}
        return [*lines, *dialect.module(f"t{self.name}", "ramped_thermal", driven, gain)]

    def spice(self, dialect: Language) -> list[str]:
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

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values * factor

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_capacitor", (*self.nodes, self.times), {"c": self.value})

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

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values / factor if factor else np.full_like(values, np.inf)

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_inductor", (*self.nodes, self.times), {"l": self.value})

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

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values * factor

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_transconductor", (*self.nodes, self.times), {"g": self.value})

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

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values * factor**2  # a density: the factor is of amplitudes

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_current", self._driven, {"gain": f"sqrt({self.value})/en"})

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

    def spice(self, dialect: Language) -> list[str]:
        assert self.noise_port is not None
        return [dialect.element(self.name, (*self.nodes, self.noise_port, "0"), f"sqrt({self.value})/en")]


class SharedNoiseCurrent(NoiseCurrent):
    """What a white noise that others hear, too, drives from the first node to the second: A/sqrt(Hz), of either sign.

    Its noise port is that of a source which several instances name.
    """

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values * factor

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_current", self._driven, {"gain": f"{self.value}/en"})

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        assert noise is not None
        stamps.noise_current(nodes[0], nodes[1], noise, values)

    def spice(self, dialect: Language) -> list[str]:
        assert self.noise_port is not None
        return [dialect.element(self.name, (*self.nodes, self.noise_port, "0"), f"{self.value}/en")]


class AmplifierNoise(NoiseCurrent):
    """Thermal noise current of an amplifier's output, ``4kT g`` (A^2/Hz one-sided) of a conductance g (S).

    Its g is the excess factor times the amplifier's transconductance. No resistor makes it: in netlists it is a source
    of its own, which ``.noise`` hears as it hears injected ones.
    """

    units = ("S",)

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        raise CircuitError(f"{self.name}: the noise of an amplifier follows no ramp")

    def ramped(self, dialect: Language) -> list[str]:
        raise CircuitError(f"{self.name} follows no ramp")

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        assert noise is not None
        stamps.noise_current(nodes[0], nodes[1], noise, np.sqrt(4.0 * BOLTZMANN * stamps.temperature * values))

    def spice(self, dialect: Language) -> list[str]:
        assert self.noise_port is not None
        return [dialect.element(self.name, (*self.nodes, self.noise_port, "0"), f"sqrt(kt4*{self.value})/en")]


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

    def at(self, values: FloatArray, factor: float) -> FloatArray:
        return values * factor**2  # a density: the factor is of amplitudes

    def ramped(self, dialect: Language) -> list[str]:
        return dialect.module(self.name, "ramped_voltage", self._driven, {"gain": f"sqrt({self.value})/en"})

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

    def spice(self, dialect: Language) -> list[str]:
        assert self.noise_port is not None
        return [dialect.element(self.name, (*self.nodes, self.noise_port, "0"), f"sqrt({self.value})/en")]


def silent(element: Element) -> Element:
    """The same element without its noise."""
    return replace(element, noise_port=None)


def unit_noise_resistance(temperature: float) -> float:
    """Resistance (ohm) whose thermal noise ``4kTR`` is the unit noise density squared at ``temperature`` (K)."""
    return UNIT_NOISE_DENSITY**2 / (4.0 * BOLTZMANN * temperature)
