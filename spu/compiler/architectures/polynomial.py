r"""Architectures of nonlinear cells: a network's scales from the hardware's ranges, elements from its potential.

==================  =============================================================================
``rc-conductance``  capacitor, polynomial conductance, injected noise; transconductors of either
                    sign couple. ``x = v / unit``. Boltzmann in the co-content, which is no energy
``rlc-flux``        resistor, capacitor, nonlinear inductor; inductors couple, for ``J > 0`` behind
                    an ideal transformer. ``x = phi / unit``. Thermal: Boltzmann in the energy
``rc-charge``       nonlinear capacitor and resistor; units that are not coupled, with a single well.
                    ``x = q / unit``. Thermal
==================  =============================================================================

With ``T`` seconds a unit of problem time, ``u`` the coordinate of ``x = 1`` and ``e`` the energy of
``V = 1``, the element's law is ``e/u dV/dx``, and noise and dissipation set ``e kT``.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.choice import ROUNDING
from spu.base.constants import BOLTZMANN, ROOM_TEMPERATURE
from spu.base.errors import Unrealizable
from spu.circuit.elements import CHARGE_UNIT, FLUX_UNIT
from spu.circuit.readout import Readout
from spu.circuit.scales import NetworkScales
from spu.compiler.architectures.base import Architecture
from spu.compiler.fit import SLACK
from spu.device.device import Device
from spu.device.hardware import Hardware, Range
from spu.problems.kinds import tasks_of
from spu.problems.network import ThermodynamicNetwork

__all__ = ["Built", "PolynomialArchitecture"]


DAMPED = 0.01
"""Squared quality factor ``C / (G^2 L)`` of the stiffest cell below which a flux counts as overdamped."""


@dataclass(frozen=True, eq=False)
class Built:
    """The device of a network.

    Attributes
    ----------
    device:
        Its readout gives x.
    scales:
        Of time, coordinate and energy.
    warnings:
        What is legitimate but should be known.
    """

    device: Device
    scales: NetworkScales
    warnings: tuple[str, ...] = ()


class PolynomialArchitecture(Architecture):
    """Cells of elements with polynomial laws: a quartic potential.

    Attributes
    ----------
    per_volt:
        The coordinate at a probe of 1 V, in V, C or Wb.
    """

    nonlinear = True
    per_volt: ClassVar[float] = 1.0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Thermodynamic networks."""
        return tasks_of(ThermodynamicNetwork)

    @abstractmethod
    def realize(
        self, network: ThermodynamicNetwork, fast: ThermodynamicNetwork, hardware: Hardware, speedup: float
    ) -> Built:
        """Return the device, or raise `Unrealizable` with the reason and the number.

        ``fast`` is the network whose elements are built: of energies and noise ``speedup`` times those of
        ``network``, from which scales follow.
        """

    def device(
        self,
        network: ThermodynamicNetwork,
        cells: dict[str, FloatArray],
        ends: tuple[NDArray[np.int64], NDArray[np.int64]],
        couplers: dict[str, FloatArray],
        unit: float,
        hardware: Hardware,
    ) -> Device:
        """A cell a unit; ``unit`` is the coordinate of x = 1."""
        n = network.n
        readout = Readout(network.variables, sp.csr_array(sp.eye_array(n) / (unit / self.per_volt)), np.zeros(n))
        return Device.from_arrays(
            network.variables,
            cells,
            np.column_stack(ends),
            couplers,
            temperature=hardware.temperature,
            readout=readout,
            architecture=self.name,
        )


def typical_size(network: ThermodynamicNetwork) -> FloatArray:
    """(n,) a root mean square of each unit: exact where the moments are known, else without its couplings."""
    if not network.solvable:
        network = ThermodynamicNetwork(
            np.where(network.J4 > 0, network.J2, network.J2 + np.abs(network.couplings).sum(axis=1)),
            network.J3,
            network.J4,
            input=np.abs(network.input - network.bias),
            kT=network.kT,
            units=network.n,
        )
    mean, covariance = network.moments()
    return np.asarray(np.sqrt(mean**2 + np.diag(covariance)))


class RCConductance(PolynomialArchitecture):
    """Voltages: ``C dv = -G0 u dV/dx dt + noise``."""

    name = "rc-conductance"
    summary = "RC cells with polynomial conductances, injected noise, transconductors"

    def realize(
        self, network: ThermodynamicNetwork, fast: ThermodynamicNetwork, hardware: Hardware, speedup: float
    ) -> Built:
        capacitance = _nominal(hardware.cell["capacitance"])
        limits = hardware.coupler["transconductance"]
        strongest = float(np.abs(fast.couplings).max(initial=0.0))
        most = min(_reach(limits) / strongest if strongest else np.inf, hardware.cell["conductance"].max)
        # G0: S for a second derivative of V of one. The strongest coupling takes the last code of a bank.
        banked = limits.bank is not None and strongest > 0
        slope = most if banked else min(_nominal(hardware.cell["conductance"]), most)
        if slope < hardware.cell["conductance"].min * (1 - SLACK) or not slope > 0:
            needed = strongest * hardware.cell["conductance"].min
            raise Unrealizable(
                f"the strongest coupling of {strongest:.4g} needs {needed:.4g} S; couplers go to {_reach(limits):.4g} S"
            )
        unit, noise = _voltage_unit(network, hardware, capacitance * slope, speedup)
        energy = slope * unit**2
        cells = {
            "capacitance": np.full(network.n, capacitance),
            "noise": np.full(network.n, noise if noise > 0 else np.nan),
            "bias": _present((fast.input - fast.bias) * slope * unit),
            **_coefficients("polynomial_conductance", fast, energy, unit),
        }
        _require_within(cells["bias"], hardware.cell["bias"], "a bias current", "A")
        i, j = np.nonzero(np.triu(fast.couplings != 0, 1) | np.triu((fast.couplings != 0).T, 1))
        forward, backward = fast.couplings[i, j] * slope, fast.couplings[j, i] * slope
        for values in (forward, backward):
            _require_within(values, limits, "a transconductance", "S")
        couplers = {"transconductance_ab": forward, "transconductance_ba": backward}
        device = self.device(fast, cells, (i, j), couplers, unit, hardware)
        if limits.bank is not None:
            codes = {key: limits.bank.nearest(values) for key, values in couplers.items()}
            device.set_banks({}, {"transconductance": limits.bank}, {}, codes)
        return Built(device, NetworkScales(network.mobility * capacitance / slope, unit, energy, speedup))


def _voltage_unit(
    network: ThermodynamicNetwork, hardware: Hardware, product: float, speedup: float
) -> tuple[float, float]:
    """Volts for x = 1, and the density of the injected noise: ``S = 4 kT C G0 unit^2``, A^2/Hz.

    The unit is the same at any speedup, which multiplies the noise.
    """
    size = typical_size(network)
    limits, readout = hardware.cell["noise"], hardware.readout
    low, high = 0.0, np.inf
    if readout is not None and size.max() > 0:
        high = readout.full_swing / (readout.crest * size.max())
    if network.kT == 0:  # units that rest at zero are silent: there is nothing to be heard
        return float(high if np.isfinite(high) else 1e-3 / max(size.max(), 1e-3)), 0.0
    if readout is not None:
        low = readout.noise_floor / size.min()

    def unit(density: float) -> float:
        return float(np.sqrt(density / (4 * network.kT * product)))

    low, high = max(low, unit(limits.min / speedup)), min(high, unit(limits.max / speedup))
    if low > high * (1 + SLACK):
        raise Unrealizable(
            f"no voltage scale suits noise source and readout: x = 1 would need {low:.3g} V or more to be heard, "
            f"and {high:.3g} V or less not to clip"
        )
    chosen = float(np.clip(unit(_nominal(limits)), low, high))
    if not 1e-60 < chosen < 1e60:  # its fourth power is divided by
        raise Unrealizable(
            f"x = 1 would be {chosen:.3g} V, beyond floating-point numbers: kT = {network.kT:g} is too far from the "
            f"noise of the hardware's cells ({_nominal(limits):.3g} A^2/Hz)"
        )
    return chosen, 4 * network.kT * product * chosen**2 * speedup


class RLCFlux(PolynomialArchitecture):
    """Fluxes: ``C dv = -e/u dV/dx dt - G v dt + noise``."""

    name = "rlc-flux"
    summary = "resistors, capacitors and nonlinear inductors; coupling inductors"
    needs = ("inductance",)
    per_volt = FLUX_UNIT

    def realize(
        self, network: ThermodynamicNetwork, fast: ThermodynamicNetwork, hardware: Hardware, speedup: float
    ) -> Built:
        _require_energy(network)
        cell, coupler = hardware.cell, hardware.coupler
        size = typical_size(network)
        tie = np.abs(fast.couplings).sum(axis=1)
        own = 2 * np.abs(network.J2) + 6 * np.abs(network.J3) * size + 12 * network.J4 * size**2
        stiffest = float(own.max() + tie.max() / speedup)
        # Q^2 = stiffest C / (G^2 L0): more conductance first, then more inductance, then less capacitance.
        weakest = np.abs(network.couplings[network.couplings != 0])
        longest = min(cell["inductance"].max, coupler["inductance"].max * float(weakest.min(initial=np.inf)))
        capacitance = _nominal(cell["capacitance"])
        wanted = cell["inductance"].nominal or capacitance / _nominal(cell["conductance"]) ** 2
        heavy = float(np.sqrt(stiffest * capacitance / (DAMPED * min(wanted, longest))))
        loss = min(max(_nominal(cell["conductance"]), heavy), cell["conductance"].max)
        inductance = wanted
        inductance = min(max(inductance, stiffest * capacitance / (DAMPED * loss**2)), longest)
        capacitance = max(min(capacitance, DAMPED * loss**2 * inductance / stiffest), cell["capacitance"].min)
        if not capacitance > 0:
            raise Unrealizable("no inductance and capacitance in the hardware's ranges")
        quality = speedup * stiffest * capacitance / (loss**2 * inductance)
        theta, noise = _bath(network, hardware, loss, speedup)
        energy = theta / network.kT if network.kT > 0 else theta
        unit = float(np.sqrt(energy * inductance))
        law = _coefficients("polynomial_inductance", fast, energy, unit)
        law["polynomial_inductance_1"] = law["polynomial_inductance_1"] - tie * energy / unit**2
        cells = {
            "capacitance": np.full(network.n, capacitance),
            "conductance": np.full(network.n, loss),
            "noise": np.full(network.n, noise if noise > 0 else np.nan),
            "bias": _present((fast.input - fast.bias) * energy / unit),
            **law,
        }
        _require_within(cells["bias"], cell["bias"], "a bias current", "A")
        i, j = np.nonzero(np.triu(fast.couplings, 1))
        values = fast.couplings[i, j]
        lengths = inductance / np.abs(values)
        _require_within(lengths, coupler["inductance"], "a coupling inductance", "H")
        couplers = {
            "inductance": np.where(values < 0, lengths, np.nan),
            "crossed_inductance": np.where(values > 0, lengths, np.nan),
        }
        warnings = []
        if quality > DAMPED * (1 + 1e-9):
            warnings.append(
                f"the stiffest cell has C/(G^2 L) = {quality:.3g}: not overdamped, so what happens before equilibrium "
                "is not what the network says (the stationary law is)"
            )
        if (law["polynomial_inductance_1"] < -ROUNDING * tie * energy / unit**2).any():
            warnings.append(
                "a cell's own inductor has a negative slope at zero flux, as its couplers take more than it has"
            )
        device = self.device(fast, cells, (i, j), couplers, unit, hardware)
        scales = NetworkScales(network.mobility * loss * inductance, unit, energy, speedup, quality)
        return Built(device, scales, tuple(warnings))


class RCCharge(PolynomialArchitecture):
    """Charges: ``dq = -G e/u dV/dx dt + noise``."""

    name = "rc-charge"
    summary = "nonlinear capacitors and resistors"
    per_volt = CHARGE_UNIT

    def realize(
        self, network: ThermodynamicNetwork, fast: ThermodynamicNetwork, hardware: Hardware, speedup: float
    ) -> Built:
        _require_energy(network)
        if network.couplings.any():
            raise Unrealizable("nonlinear capacitors are single cells: coupling capacitors are no product of charges")
        bad = ~((network.J4 > 0) & (3 * network.J3**2 < 8 * network.J2 * network.J4))
        if bad.any():
            raise Unrealizable(
                f"the potential of {network.variables[int(np.argmax(bad))]} is not convex, or not quartic: a "
                "capacitor's voltage must rise with its charge (8 J2 J4 > 3 J3^2, J4 > 0)"
            )
        loss, capacitance = (_nominal(hardware.cell[key]) for key in ("conductance", "capacitance"))
        theta, noise = _bath(network, hardware, loss, speedup)
        energy = theta / network.kT if network.kT > 0 else theta
        unit = float(np.sqrt(energy * capacitance))
        cells = {
            "conductance": np.full(network.n, loss),
            "noise": np.full(network.n, noise if noise > 0 else np.nan),
            "bias": _present((fast.input - fast.bias) * loss * energy / unit),
            **_coefficients("polynomial_capacitance", fast, energy, unit),
        }
        _require_within(cells["bias"], hardware.cell["bias"], "a bias current", "A")
        device = self.device(fast, cells, (np.empty(0, int), np.empty(0, int)), {}, unit, hardware)
        return Built(device, NetworkScales(network.mobility * capacitance / loss, unit, energy, speedup))


def _bath(network: ThermodynamicNetwork, hardware: Hardware, loss: float, speedup: float) -> tuple[float, float]:
    """What stands for kT before any speedup, J, and the density to be injected beside the resistors' own, A^2/Hz."""
    thermal = BOLTZMANN * hardware.temperature
    if network.kT == 0:
        if thermal > 0:
            raise Unrealizable(f"kT = 0 in circuits of resistors at {hardware.temperature:g} K: they make noise")
        return BOLTZMANN * ROOM_TEMPERATURE, 0.0
    nominal = 0.0 if thermal > 0 else _nominal(hardware.cell["noise"])
    theta = thermal + nominal / (4 * loss)
    injected = max(0.0, speedup * theta - thermal) * 4 * loss
    if speedup * theta < thermal * (1 - 1e-12):
        raise Unrealizable(f"a speedup of {speedup:g} asks for less noise than the resistors make")
    _require_within(np.array([injected] if injected else []), hardware.cell["noise"], "the injected noise", "A^2/Hz")
    return theta, injected


def _coefficients(quantity: str, network: ThermodynamicNetwork, energy: float, unit: float) -> dict[str, FloatArray]:
    """Of the law ``e/u dV/dx`` in the coordinate ``u x``; without the couplings."""
    own = np.stack([2 * network.J2, 3 * network.J3, 4 * network.J4])
    return {f"{quantity}_{k}": own[k - 1] * energy / unit ** (k + 1) for k in (1, 2, 3)}


def _present(values: FloatArray) -> FloatArray:
    return np.where(values != 0, values, np.nan)


def _nominal(limits: Range) -> float:
    if limits.nominal is not None:
        return limits.nominal
    return float(limits.min or min(limits.max, 1.0))


def _reach(limits: Range) -> float:
    return min(-limits.min, limits.max)


def _require_energy(network: ThermodynamicNetwork) -> None:
    if not network.reciprocal:
        raise Unrealizable("couplings that are not reciprocal have no energy: only transconductors make them")


def _require_within(values: FloatArray, limits: Range, what: str, unit: str) -> None:
    values = values[~np.isnan(values)]
    wrong = (values < limits.min * (1 - 1e-12 * np.sign(limits.min))) | (values > limits.max * (1 + 1e-12))
    wrong &= values != 0
    if wrong.any():
        value = float(values[int(np.argmax(wrong))])
        raise Unrealizable(
            f"{what} of {value:.4g} {unit} is outside the hardware's range from {limits.min:.4g} to {limits.max:.4g}",
            details={"value": value, "min": limits.min, "max": limits.max},
        )
