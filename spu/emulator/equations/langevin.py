r"""From a circuit of polynomial elements to its Langevin equation, in the coordinate its energy is a function of.

The general equation of a circuit is ``d q(x) = f(x) dt + K dW``; `spu.emulator.equations.linear` is its linear
case. Here are the circuits whose nonlinear elements sit between cells and ground:

==========  ================  ==================================================================
coordinate  element           equation
==========  ================  ==================================================================
voltage     conductance       ``C dv = f(v) dt + noise``; f from the co-content, which is no energy
charge      capacitor         ``dq = G f(q) dt + noise``, f from the energy; a single cell each
flux        inductor          ``C dv = f(phi) dt - G v dt + noise``, ``dphi = v dt``
==========  ================  ==================================================================

with ``f = -dU/dx = field - stiffness x - quadratic x^2 - cubic x^3``. Where the couplings are reciprocal
and noise over dissipation is the same for all cells, x has the stationary law ``exp(-U/theta)``. In
another coordinate that law carries the Jacobian: ``p(v) = p(q) dq/dv`` for a nonlinear capacitor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.constants import GROUND
from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit, stamp_circuit
from spu.circuit.elements import CHARGE_UNIT, FLUX_UNIT
from spu.circuit.ramp import Ramp
from spu.circuit.readout import Readout
from spu.circuit.stamps import Stamps
from spu.problems.network import ThermodynamicNetwork

UNITS = {"voltage": "V", "charge": "C", "flux": "Wb", "problem": "1"}

_EQUAL = 1e-9
"""Relative spread up to which noise ratios and couplings count as equal."""


@dataclass(frozen=True, eq=False)
class Varying:
    """What of an equation has a factor in time.

    Attributes
    ----------
    ramp:
        The factors.
    couplers:
        (n, n) of the stiffness, at a factor of 1: what is left of it is diagonal.
    noise:
        (n, m) at a factor of 1.
    """

    ramp: Ramp
    couplers: FloatArray
    noise: FloatArray


@dataclass(frozen=True, eq=False)
class Langevin:
    """The Langevin equation of a circuit of n cells with m noise sources.

    Overdamped (no ``mass``): ``dx = mobility f(x) dt + noise dW``. Inertial: ``dx = w dt``,
    ``mass dw = f(x) dt - w / mobility dt + mass noise dW``.

    Attributes
    ----------
    coordinate:
        ``voltage`` (V), ``charge`` (C) or ``flux`` (Wb); ``problem`` of no circuit, but of a network in its own units.
    names:
        The n cells.
    field, quadratic, cubic:
        (n,) of the force (see above; A for voltage and flux, V for charge).
    stiffness:
        (n, n) of the force; row i acts on cell i.
    mobility:
        (n,) ``1/C``, ``G`` or ``1/G``.
    mass:
        (n,) C in F, of fluxes; None where the equation is of first order.
    noise:
        (n, m), coordinate (of inertial equations: w) per sqrt(s) of each unit source.
    sense:
        (p, n) probe voltages from coordinates, 1/F, 1/s or 1.
    sources, probes:
        Names.
    readout:
        From probe voltages to problem variables.
    varying:
        What has a factor in time: stiffness and noise above are those at the end of it. None where nothing has.
    """

    coordinate: str
    names: tuple[str, ...]
    field: FloatArray
    stiffness: FloatArray
    quadratic: FloatArray
    cubic: FloatArray
    mobility: FloatArray
    mass: FloatArray | None
    noise: FloatArray
    sense: FloatArray
    sources: tuple[str, ...]
    probes: tuple[str, ...]
    readout: Readout
    varying: Varying | None = None

    @property
    def n(self) -> int:
        """Number of coordinates."""
        return len(self.names)

    @cached_property
    def alone(self) -> FloatArray:
        """(n, n) the stiffness that no factor is on; all of it where nothing varies."""
        if self.varying is None:
            return self.stiffness
        return np.asarray(self.stiffness - self.varying.ramp.couplers[-1] * self.varying.couplers)

    def frozen(self, couplers: float, noise: float) -> Langevin:
        """The equation at factors that stay; itself where nothing varies."""
        if self.varying is None:
            return self
        return replace(
            self,
            stiffness=self.alone + couplers * self.varying.couplers,
            noise=noise * self.varying.noise,
            varying=None,
        )

    @property
    def extremes(self) -> list[Langevin]:
        """The equation at the factors between which a ramp goes: rates and sizes at any time are within theirs."""
        if self.varying is None:
            return [self]
        couplers, noise = self.varying.ramp.couplers, self.varying.ramp.noise
        return [self.frozen(float(c), float(noise.max())) for c in sorted({couplers.min(), couplers.max()})]

    def ramped(self, ramp: Ramp, couplers: FloatArray) -> Langevin:
        """The equation, as it is at factors of 1, under a ramp; ``couplers`` (n, n) is their part of the stiffness.

        Raises
        ------
        CircuitError
            If cells are tied by more than couplers.
        """
        alone = self.stiffness - couplers
        tied = np.abs(alone - np.diag(np.diag(alone)))
        if tied.max(initial=0.0) > _EQUAL * np.abs(self.stiffness).max(initial=0.0):
            i, j = (int(k) for k in np.unravel_index(tied.argmax(), tied.shape))
            raise CircuitError(
                f"{self.names[i]} and {self.names[j]} are tied by what is no coupler: a ramp is of couplers alone",
                nodes=(self.names[i], self.names[j]),
            )
        return replace(
            self,
            stiffness=np.diag(np.diag(alone)) + ramp.couplers[-1] * couplers,
            noise=ramp.noise[-1] * self.noise,
            varying=Varying(ramp, couplers, self.noise),
        )

    def force(self, x: FloatArray, field: FloatArray | None = None) -> FloatArray:
        """The force at states (..., n); ``field`` (..., n) replaces the circuit's own."""
        own = (self.cubic * x + self.quadratic) * x * x
        return np.asarray((self.field if field is None else field) - x @ self.stiffness.T - own)

    def slope(self, x: FloatArray) -> FloatArray:
        """(..., n, n): minus the derivative of the force at states (..., n)."""
        own = (2 * self.quadratic + 3 * self.cubic * x) * x
        return np.asarray(self.stiffness + own[..., None] * np.eye(self.n))

    @property
    def per_ampere(self) -> FloatArray:
        """(n,) what a current of 1 A into each cell adds to its field."""
        return 1.0 / self.mobility if self.coordinate == "charge" else np.ones(self.n)

    def potential(self, x: FloatArray, field: FloatArray | None = None) -> FloatArray:
        """U at states (..., n): energy (J), or of voltages co-content (W).

        Raises
        ------
        CircuitError
            If the couplings are not reciprocal.
        """
        self.require_reciprocal()
        own = (self.cubic * x / 4 + self.quadratic / 3) * x**3 - (self.field if field is None else field) * x
        return np.asarray(own.sum(axis=-1) + 0.5 * (x * (x @ self.stiffness)).sum(axis=-1))

    def require_reciprocal(self) -> None:
        """Raise `CircuitError` unless the force is the gradient of a potential."""
        gap = np.abs(self.stiffness - self.stiffness.T)
        if gap.max(initial=0.0) > _EQUAL * np.abs(self.stiffness).max(initial=0.0):
            i, j = (int(k) for k in np.unravel_index(gap.argmax(), gap.shape))
            raise CircuitError(
                f"the coupling of {self.names[i]} and {self.names[j]} is not reciprocal: "
                f"{self.stiffness[i, j]:.4g} one way and {self.stiffness[j, i]:.4g} the other; there is no potential, "
                "no Boltzmann law and no heat",
                nodes=(self.names[i], self.names[j]),
            )

    @cached_property
    def ratios(self) -> FloatArray:
        """(n,) noise over dissipation of each cell: what would be its kT (J, or W for voltages)."""
        power = (self.noise**2).sum(axis=1)
        if self.mass is not None:
            return np.asarray(self.mobility * (self.mass**2 * power) / 2)
        still = self.mobility == 0  # and so without noise
        return np.asarray(power / np.where(still, 1.0, 2 * self.mobility))

    def theta(self) -> float:
        """The temperature of the stationary law ``exp(-U/theta)``: J, or W for voltages.

        Raises
        ------
        CircuitError
            If noise over dissipation differs among cells, their noises are correlated, or the
            couplings are not reciprocal: there is no such law then.
        """
        self.require_reciprocal()
        low, high = int(np.argmin(self.ratios)), int(np.argmax(self.ratios))
        if self.ratios[high] - self.ratios[low] > _EQUAL * self.ratios[high]:
            raise CircuitError(
                f"noise over dissipation is {self.ratios[low]:.4g} at {self.names[low]} and {self.ratios[high]:.4g} at "
                f"{self.names[high]}: the cells are at different temperatures, and the law is not Boltzmann's; make "
                + ("noise / capacitance" if self.coordinate == "voltage" else "noise / conductance")
                + " equal for all cells",
                nodes=(self.names[low], self.names[high]),
            )
        together = self.noise @ self.noise.T
        if self.correlated:
            np.fill_diagonal(together, 0.0)
            i, j = (int(k) for k in np.unravel_index(np.abs(together).argmax(), together.shape))
            raise CircuitError(
                f"the noise of {self.names[i]} and {self.names[j]} is correlated: the law is not Boltzmann's",
                nodes=(self.names[i], self.names[j]),
            )
        return float(self.ratios.mean())

    @cached_property
    def correlated(self) -> bool:
        """Whether some noise drives two cells."""
        return bool(((self.noise != 0).sum(axis=0) > 1).any())

    @property
    def energy(self) -> str:
        """What the potential is, and whether its heat is physical, in words."""
        if self.coordinate == "problem":
            return "the potential V of the network, in its own units"
        if self.coordinate == "voltage":
            return "co-content of active conductances (W): its heat is a property of the model, not the circuit's heat"
        return "energy stored in the circuit (J): its heat is what the resistors take up"

    @property
    def first_order(self) -> Langevin:
        """The equation without inertia; itself where there is none."""
        if self.mass is None:
            return self
        share = (self.mass * self.mobility)[:, None]
        varying = None if self.varying is None else replace(self.varying, noise=self.varying.noise * share)
        return replace(self, mass=None, noise=self.noise * share, varying=varying)

    @cached_property
    def units(self) -> FloatArray:
        """(n,) coordinate per problem unit; the readout must be one variable a cell, in order.

        Raises
        ------
        CircuitError
            If the readout mixes cells or leaves one out.
        """
        gain = self.readout.matrix.toarray() @ self.sense
        square = gain.shape == (self.n, self.n) and not (gain - np.diag(np.diag(gain))).any()
        if not square or not np.diag(gain).all():
            raise CircuitError("this needs a readout of one variable a cell, in the order of the cells")
        return np.asarray(1.0 / np.diag(gain))

    def read(self, x: FloatArray) -> FloatArray:
        """Problem variables (..., p) of states (..., n)."""
        return np.asarray(x @ (self.readout.matrix @ self.sense).T + self.readout.offset)


def langevin_of_network(network: ThermodynamicNetwork) -> Langevin:
    """The equation of a network in its own units: what `langevin` finds of a circuit of it, but for scales."""
    spread = np.full(network.n, np.sqrt(2 * network.mobility * network.kT))
    return Langevin(
        "problem",
        network.variables,
        network.input - network.bias,
        network.couplings + np.diag(2 * network.J2),
        3 * network.J3,
        4 * network.J4,
        np.full(network.n, network.mobility),
        None,
        np.diag(spread),
        np.eye(network.n),
        tuple(f"noise of {name}" for name in network.variables),
        network.variables,
        Readout(network.variables, sp.csr_array(sp.eye(network.n)), np.zeros(network.n)),
    )


def langevin(circuit: Circuit) -> Langevin:
    """Derive the Langevin equation of a circuit from its elements.

    Raises
    ------
    CircuitError
        Naming the cells, for whatever has no such equation: a cell without capacitance or loss,
        nonlinear elements of different coordinates, or not to ground, coupling capacitors (they
        make the coupling of charges no product), coupled nonlinear capacitors; under a ramp cells
        that are tied by more than couplers, or a noise that the ramp is not on.
    """
    ramp = circuit.ramp
    if ramp is None or not (ramp.varies("couplers") or ramp.varies("noise")):
        return _langevin(circuit)
    if not ramp.varies("noise"):  # what resistors make is no matter then
        level, ramp = ramp.end[1], Ramp(ramp.times, ramp.couplers)
    else:
        level = 1.0
        steady = _langevin(circuit.frozen(1.0, 0.0))
        heard = np.flatnonzero(steady.noise.any(axis=1))
        if len(heard):
            name = steady.names[heard[0]]
            raise CircuitError(
                f"{name} has thermal noise, which no ramp is on: couplers may be ramped, or all of it be injected (a "
                "device at 0 K, or an architecture without resistors)",
                nodes=(name,),
            )
    whole, apart = (_langevin(circuit.frozen(couplers, level)) for couplers in (1.0, 0.0))
    return whole.ramped(ramp, whole.stiffness - apart.stiffness)


def _langevin(circuit: Circuit) -> Langevin:
    """Of a circuit at factors that stay."""
    stamps, _ = stamp_circuit(circuit)
    names = circuit.node_names()
    kinds = {kind for kind, _, _ in stamps.polynomials}
    if len(kinds) > 1:
        raise CircuitError(
            f"nonlinear elements of {' and '.join(sorted(kinds))} in one circuit have no common equation"
        )
    if stamps.voltage_ends or stamps.couplings:
        raise CircuitError("nonlinear cells beside voltage sources or coupled inductors: no equation for these")
    inductive = bool(stamps.inductor_count or stamps.crossed_ends)
    coordinate = kinds.pop() if kinds else "flux" if inductive else "voltage"
    count = stamps.node_count
    law = np.zeros((count, 4))
    sense_of: dict[int, tuple[int, float]] = {}  # sense node: cell node, volts per coordinate
    for _, nodes, coefficients in stamps.polynomials:
        if (nodes[1] != GROUND).any():
            raise CircuitError("nonlinear elements are taken between a cell and ground only")
        np.add.at(law, nodes[0], coefficients)
        if len(nodes) > 2:
            unit = FLUX_UNIT if coordinate == "flux" else CHARGE_UNIT
            sense_of |= {int(s): (int(c), 1.0 / unit) for s, c in zip(nodes[2], nodes[0], strict=True)}
    cells = np.setdiff1d(np.arange(count), list(sense_of))
    place = {int(node): k for k, node in enumerate(cells)}
    labels = tuple(names[k] for k in cells)
    law = law[cells]

    C, F = stamps.E[cells][:, cells].toarray(), stamps.F[cells][:, cells].toarray()
    G, K, s = -F, stamps.K[cells].toarray() * np.sqrt(0.5), stamps.s[cells]
    capacitance = np.diag(C)
    if (C - np.diag(capacitance)).any():
        i, j = (int(k) for k in np.argwhere(C - np.diag(capacitance))[0])
        raise CircuitError(
            f"a capacitance couples {labels[i]} and {labels[j]}: nonlinear cells are coupled by transconductors "
            "(voltages) or inductors (fluxes)",
            nodes=(labels[i], labels[j]),
        )
    if coordinate == "voltage":
        if inductive:
            raise CircuitError("nonlinear conductances beside inductors: the equation has no potential")
        _require(capacitance > 0, labels, "has no capacitance")
        field, stiffness, mobility = s - law[:, 3], G + np.diag(law[:, 0]), 1 / capacitance
        mass, noise = None, K / capacitance[:, None]
    elif coordinate == "flux":
        loss = _grounded(G, labels)
        _require(capacitance > 0, labels, "has no capacitance")
        field, stiffness, mobility = s - law[:, 3], _inverse_inductance(stamps, place) + np.diag(law[:, 0]), 1 / loss
        mass, noise = capacitance, K / capacitance[:, None]
    else:
        loss = _grounded(G, labels)
        _require(capacitance == 0, labels, "has a plain capacitance beside its nonlinear one")
        rises = law[:, 1] ** 2 < 3 * law[:, 0] * law[:, 2]
        _require(rises, labels, "has a nonlinear capacitor whose voltage does not rise everywhere with its charge")
        field, stiffness, mobility = s / loss - law[:, 3], np.diag(law[:, 0]), loss
        mass, noise = None, K
    sense = np.zeros((len(circuit.probes), len(cells)))
    for row, (p, n) in enumerate(circuit.probe_nodes.tolist()):
        node, gain = sense_of.get(p, (p, 1.0))
        if n != GROUND or (coordinate != "voltage" and p not in sense_of and sense_of):
            raise CircuitError(f"probe {circuit.probes[row]} does not see the {coordinate} of a cell")
        sense[row, place[node]] = gain
    return Langevin(
        coordinate,
        labels,
        field,
        stiffness,
        law[:, 1],
        law[:, 2],
        mobility,
        mass,
        noise,
        sense,
        tuple(source.name for source in circuit.sources),
        tuple(circuit.probes),
        circuit.readout,
    )


def _require(good: NDArray[np.bool_], names: Sequence[str], what: str) -> None:
    if not good.all():
        name = names[int(np.argmin(good))]
        raise CircuitError(f"cell {name} {what}", nodes=(name,))


def _grounded(G: FloatArray, names: Sequence[str]) -> FloatArray:
    """The loss of each cell (n,), where resistors go to ground and nothing else carries a current."""
    loss = np.diag(G)
    others = G - np.diag(loss)
    if others.any():
        i, j = (int(k) for k in np.argwhere(others)[0])
        raise CircuitError(
            f"a conductance couples {names[i]} and {names[j]}: it adds no energy; fluxes are coupled by inductors, "
            "and nonlinear capacitors not at all",
            nodes=(names[i], names[j]),
        )
    _require(loss > 0, names, "has no conductance: nothing damps it, and nothing heats it")
    return np.asarray(loss)


def _inverse_inductance(stamps: Stamps, place: dict[int, int]) -> FloatArray:
    """(n, n) currents per flux of the plain and crossed inductors; loops hold no flux at the start."""
    n = len(place)
    found = np.zeros((n, n))
    ends = [(p, q, values, -1.0) for p, q, values in stamps.inductor_ends]
    ends += [(p, q, values, 1.0) for p, q, values in stamps.crossed_ends]
    for first, second, values, sign in ends:
        a = np.array([place.get(int(k), -1) for k in first])
        b = np.array([place.get(int(k), -1) for k in second])
        inverse = 1.0 / values
        for here, there in ((a, b), (b, a)):
            inside = here >= 0
            np.add.at(found, (here[inside], here[inside]), inverse[inside])
            both = inside & (there >= 0)
            np.add.at(found, (here[both], there[both]), sign * inverse[both])
    return found


def has_rest(equation: Langevin) -> bool:
    """Whether the circuit has an operating point: a flux, or a charge without a voltage, is not seen by it."""
    return equation.coordinate != "flux"
