"""The passes of thermodynamic networks, on nonlinear cells, and what their compilation comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from spu.base.errors import Unrealizable
from spu.base.numbers import engineering, plural
from spu.circuit.scales import Scales
from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.polynomial import PolynomialArchitecture
from spu.compiler.compilation import Compilation
from spu.compiler.passes import Passes, Refused
from spu.compiler.source import source_of
from spu.device.lower import lower
from spu.emulator.dynamics import langevin_of
from spu.emulator.equations.langevin import UNITS, Langevin
from spu.emulator.predict import NetworkPrediction, predict_network
from spu.problems.network import ThermodynamicNetwork

__all__ = ["NetworkCompilation", "PolynomialPasses"]


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkCompilation(Compilation):
    """A compiled network and what the compiler decided: further attributes of `Compilation`.

    Attributes
    ----------
    scales:
        Of time, coordinate and energy.
    equation:
        The device's own equation, derived from its elements.

    Examples
    --------
    >>> import spu
    >>> made = spu.compile_network(spu.ThermodynamicNetwork(J2=-1.0, J4=1.0, units=3))
    >>> made.device.cell_names, made.prediction.coordinate
    (['x1', 'x2', 'x3'], 'voltage')
    """

    verbs = ("simulate", "predict", "check", "inspect")

    scales: Scales
    equation: Langevin

    @property
    def network(self) -> ThermodynamicNetwork:
        """The problem."""
        assert isinstance(self.problem, ThermodynamicNetwork)
        return self.problem

    @property
    def heat(self) -> str:
        """Whose heat it is, in words."""
        return self.equation.energy

    @cached_property
    def prediction(self) -> NetworkPrediction:
        """What is known exactly of the device."""
        return predict_network(self.device)

    def decided(self) -> dict[str, Any]:
        """What the compiler decided, in a few numbers."""
        return {
            "device_hash": self.device.hash,
            "hardware": self.hardware.name,
            "architecture": self.architecture,
            "reason": self.reason,
            "scales": self.scales.to_dict(),
            "coordinate": self.equation.coordinate,
            "heat": self.heat,
            "warnings": self.warnings,
        }

    def facts(self) -> list[tuple[str, str]]:
        """The same for people: labels and texts, the problem first."""
        device, scales, network, coordinate = self.device, self.scales, self.network, self.equation.coordinate
        kinds = "reciprocal" if network.reciprocal else "not reciprocal: no energy, no Boltzmann law"
        couplers = plural(len(device.coupler_ends), "coupler")
        sooner = ""
        if scales.speedup != 1:
            sooner = f", {scales.speedup:g} times sooner by as much more energy and noise"
        facts = [
            ("problem", f"a thermodynamic network, {plural(network.n, 'unit')}, kT = {network.kT:g}, {kinds}"),
            ("hardware", f"{self.hardware.name}, {self.hardware.temperature:g} K"),
            ("architecture", f"{self.architecture}: {self.reason}"),
            ("device", f"{plural(network.n, 'cell')}, {couplers}; hash {device.hash}"),
            ("coordinate", f"{coordinate}: x = 1 is {engineering(scales.coordinate, UNITS[coordinate])}"),
            ("time", f"one unit of the problem's is {engineering(scales.time / scales.speedup, 's')}{sooner}"),
            ("potential", self.heat),
        ]
        if scales.quality is not None:
            facts.append(("damping", f"C/(G^2 L) is {scales.quality:.3g} in the stiffest cell (overdamped: << 1)"))
        return facts


class PolynomialPasses(Passes[ThermodynamicNetwork, NetworkCompilation]):
    """Energies and noise sped up before the architecture; the device's own equation after it."""

    cells = "nonlinear cells"
    problems = "networks"
    meaningless: ClassVar = {
        "rounding": "is not for networks: nonlinear cells have real values, no codes; leave it out",
        "ensemble": "is not for networks: nonlinear cells have no codes to choose anew; leave it out",
        "embedding": "is not for networks: hardware with all couplers needs no chains; leave it out",
        "detail": "is not for networks: details are not modelled in nonlinear cells; leave it out",
        "explain": "is not for networks: reason and scales are in what is printed without it; leave it out",
        "dialect": "is not for networks: netlists of nonlinear cells are written for ngspice only; leave it out",
    }

    def require_size(self) -> None:
        """Refuse hardware with fewer cells than units, or without all couplers."""
        hardware, n = self.hardware, self.problem.n
        if hardware.max_cells is not None and n > hardware.max_cells:
            raise Unrealizable(
                f"{n} units need {n} cells; hardware {hardware.name} has {hardware.max_cells}",
                details={"cells_needed": n, "cells": hardware.max_cells},
            )
        if hardware.wiring != "complete":
            raise Unrealizable(
                f"networks are built on hardware with all couplers; {hardware.name} is wired {hardware.wiring}"
            )

    def order(self, known: Iterable[str], names: Iterable[str]) -> list[str]:
        """As the hardware has them."""
        known = set(known)
        return [name for name in names if name in known]

    def prepare(self) -> None:
        """The network whose elements are built."""
        self.fast = self.problem.sped_up(self.options.speedup)

    def realize(self, architecture: Architecture, refused: Refused) -> NetworkCompilation:
        """The device, with the equation that follows from its elements."""
        assert isinstance(architecture, PolynomialArchitecture)
        built = architecture.realize(self.problem, self.fast, self.hardware, self.options.speedup)
        device, options, warnings = built.device, self.options, list(built.warnings)
        device.problem, device.scales = self.problem, built.scales
        device.compiled_from(source_of(self.problem, self.hardware, None, options.architecture, options.speedup))
        if self.hardware.detail:
            warnings.append(f"the details of {self.hardware.name} are not modelled in nonlinear cells")
        reason = architecture.summary + (" (as asked)" if options.architecture else "")
        if refused:
            reason += f"; not as {_reasons(refused)}"
        return NetworkCompilation(
            device=device,
            hardware=self.hardware,
            architecture=architecture.name,
            reason=reason,
            warnings=tuple(warnings),
            scales=built.scales,
            equation=langevin_of(lower(device)).equation,
        )

    def refusal(self, refused: Refused) -> Unrealizable:
        """Why nothing could be built."""
        return Unrealizable(
            f"hardware {self.hardware.name} cannot hold this network, not as {_reasons(refused)}",
            details={"refused": [f"{name}: {why.reason}" for name, why in refused]},
        )

    def finish(self, made: NetworkCompilation) -> NetworkCompilation:
        """Nothing: values are real, parts ideal."""
        return made


def _reasons(refused: Refused) -> str:
    return "; not as ".join(f"{name}: {why.reason}" for name, why in refused)
