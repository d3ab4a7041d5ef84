"""The passes of thermodynamic networks, on nonlinear cells, and what their compilation comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from spu.base.errors import CircuitError, OptionError, Unrealizable
from spu.base.numbers import engineering, plural, small
from spu.circuit.ramp import Ramp
from spu.circuit.scales import NetworkScales
from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.polynomial import PolynomialArchitecture
from spu.compiler.boards import draw_board
from spu.compiler.compilation import Compilation
from spu.compiler.passes import Passes, Refused
from spu.compiler.source import source_of
from spu.device.hardware import Hardware
from spu.device.lower import lower
from spu.device.tolerance import Spread, errors
from spu.emulator.dynamics import langevin_of
from spu.emulator.equations.langevin import UNITS, Langevin
from spu.emulator.laws.boltzmann import deviations
from spu.emulator.predict import NetworkPrediction, predict_network
from spu.problems.network import ThermodynamicNetwork
from spu.problems.trained import TrainedNetwork

__all__ = ["NetworkCompilation", "PolynomialPasses"]


@dataclass(frozen=True)
class Lines:
    """The lines on which a trained network is given its images: one a pixel, with a transconductor into each cell.

    Attributes
    ----------
    volts:
        V for s = 1 (`TrainedNetwork.scaled`): the largest weight takes the largest transconductance.
    bits, lsb:
        Of the transconductors' banks (S); None where they have any value.
    largest_error, rms_error:
        Of the weights that the device has, relative to the largest.
    """

    volts: float
    bits: int | None
    lsb: float | None
    largest_error: float
    rms_error: float


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkCompilation(Compilation):
    """A compiled network and what the compiler decided: further attributes of `Compilation`.

    Attributes
    ----------
    scales:
        Of time, coordinate and energy.
    equation:
        The device's own equation, derived from its elements.
    errors:
        How far that is from the network: by coefficient the largest and the root mean square error, relative to the
        largest coefficient of the kind.
    draw:
        The number of the board; None of one whose elements have no errors.
    trained:
        Of a trained network, what was learnt, with the input weights that the device has.
    lines:
        How it is given its images, where the hardware says so.

    Examples
    --------
    >>> import spu
    >>> made = spu.compile_network(spu.ThermodynamicNetwork(J2=-1.0, J4=1.0, units=3))
    >>> made.device.cell_names, made.prediction.coordinate
    (['x1', 'x2', 'x3'], 'voltage')
    """

    verbs = ("simulate", "predict", "check", "inspect")

    scales: NetworkScales
    equation: Langevin
    errors: dict[str, tuple[float, float]] = field(default_factory=dict)
    draw: int | None = None
    trained: TrainedNetwork | None = None
    lines: Lines | None = None

    @property
    def network(self) -> ThermodynamicNetwork:
        """The problem."""
        assert isinstance(self.problem, ThermodynamicNetwork)
        return self.problem

    @property
    def learnt(self) -> TrainedNetwork | None:
        """`trained`."""
        return self.trained

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
            "coefficient_errors": {name: list(error) for name, error in self.errors.items()},
            **({} if self.draw is None else {"draw": self.draw}),
            **({} if self.lines is None else {"lines": asdict(self.lines)}),
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
            ("problem", self._posed(kinds)),
            ("hardware", f"{self.hardware.name}, {self.hardware.temperature:g} K"),
            ("architecture", f"{self.architecture}: {self.reason}"),
            ("device", f"{plural(network.n, 'cell')}, {couplers}; hash {device.hash}"),
            ("coordinate", f"{coordinate}: x = 1 is {engineering(scales.coordinate, UNITS[coordinate])}"),
            ("time", f"one unit of the problem's is {engineering(scales.time / scales.speedup, 's')}{sooner}"),
            ("potential", self.heat),
        ]
        facts += self._codes()
        if scales.quality is not None:
            facts.append(("damping", f"C/(G^2 L) is {scales.quality:.3g} in the stiffest cell (overdamped: << 1)"))
        return facts

    def _posed(self, kinds: str) -> str:
        network = self.network
        what = "a thermodynamic network" if network.factors is None else network.kind.words
        return f"{what}, {plural(network.n, 'unit')}, kT = {network.kT:g}, {kinds}"

    def _codes(self) -> list[tuple[str, str]]:
        """What codes and the errors of a board do."""
        found = []
        bank = self.device.coupler_columns.banks.get("transconductance")
        if bank is not None:
            step = f"lsb {engineering(bank.lsb, 'S')}"
            found.append(("codes", f"couplers of {bank.bits} bits and a sign, {step}, each to its nearest code"))
        if self.draw is not None:
            found.append(("board", f"number {self.draw}: every element has an error of its own"))
        if bank is not None or self.draw is not None:
            largest, rms = self.errors["couplings"]
            found.append(
                ("predicted error", f"couplings at most {small(largest)}, rms {small(rms)} of the largest coupling")
            )
        if self.lines is not None:
            lines = self.lines
            made = "" if lines.bits is None else f", weights of {lines.bits} bits and a sign"
            found.append(
                (
                    "inputs",
                    f"a line a pixel, {engineering(lines.volts, 'V')} for s = 1{made}; weights at most "
                    f"{small(lines.largest_error)}, rms {small(lines.rms_error)} of the largest off",
                )
            )
        return found


class PolynomialPasses(Passes[ThermodynamicNetwork, NetworkCompilation]):
    """Energies and noise sped up before the architecture; the device's own equation after it."""

    cells = "nonlinear cells"
    problems = "networks"
    meaningless: ClassVar = {
        "rounding": "is not for networks: each coupling of theirs goes to its nearest code; leave it out",
        "ensemble": "is not for networks: each coupling goes to its nearest code, none is chosen anew; leave it out",
        "embedding": "is not for networks: hardware with all couplers needs no chains; leave it out",
        "detail": "is not for networks: details are not modelled in nonlinear cells; leave it out",
        "explain": "is not for networks: reason and scales are in what is printed without it; leave it out",
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
        if self.problem.factors is not None:
            times, couplers, noise = self.problem.factors
            device.ramp = Ramp(times * (built.scales.time / built.scales.speedup), couplers, noise)
        draw = options.draw
        if draw is not None:
            if not self.hardware.tolerance:
                raise OptionError("draw", f"means nothing of {self.hardware.name}, which states no [tolerance]")
            draw_board(device, self.hardware.tolerance, draw)
        else:
            device.tolerance = self.hardware.tolerance
        chosen = (options.architecture, options.speedup, *([] if draw is None else [draw]))
        device.compiled_from(source_of(self.problem, self.hardware, None, *chosen))
        if self.hardware.detail:
            warnings.append(f"the details of {self.hardware.name} are not modelled in nonlinear cells")
        reason = architecture.summary + (" (as asked)" if options.architecture else "")
        if refused:
            reason += f"; not as {_reasons(refused)}"
        try:
            equation = langevin_of(lower(device)).equation
        except CircuitError as error:  # noise that no ramp is on
            raise Unrealizable(error.message) from None
        trained, lines = _lined(options.trained, self.hardware, equation, built.scales, draw)
        return NetworkCompilation(
            device=device,
            hardware=self.hardware,
            architecture=architecture.name,
            reason=reason,
            warnings=tuple(warnings),
            scales=built.scales,
            equation=equation,
            errors=deviations(equation, built.scales, self.problem),
            draw=draw,
            trained=trained,
            lines=lines,
        )

    def refusal(self, refused: Refused) -> Unrealizable:
        """Why nothing could be built."""
        return Unrealizable(
            f"hardware {self.hardware.name} cannot hold this network, not as {_reasons(refused)}",
            details={"refused": [f"{name}: {why.reason}" for name, why in refused]},
        )

    def finish(self, made: NetworkCompilation) -> NetworkCompilation:
        """Nothing: codes and errors are the device's already."""
        return made


def _reasons(refused: Refused) -> str:
    return "; not as ".join(f"{name}: {why.reason}" for name, why in refused)


def _lined(
    trained: TrainedNetwork | None, hardware: Hardware, equation: Langevin, scales: NetworkScales, draw: int | None
) -> tuple[TrainedNetwork | None, Lines | None]:
    """What was learnt with the weights that the hardware makes of its own, and the lines that they are on."""
    limits = hardware.input.get("transconductance")
    if trained is None or trained.weights is None:
        return trained, None
    weights, volts, bank = trained.weights, 0.0, None if limits is None else limits.bank
    strongest = float(np.abs(weights).max(initial=0.0))
    if limits is not None and strongest:
        reach = min(-limits.min, limits.max)
        # A of a field of one, on the cell where that is most.
        current = float((scales.speedup * scales.energy / (equation.units * equation.per_ampere)).max())
        volts = strongest * current / reach if np.isfinite(reach) else scales.coordinate
        if bank is not None:
            step = strongest / (reach / bank.lsb)
            weights = bank.values(bank.nearest(weights * (bank.lsb / step))) * (step / bank.lsb)
    spread = hardware.tolerance.input.get("transconductance", Spread())
    if draw is not None:
        weights = weights * (1.0 + errors(spread, draw, "input.transconductance", weights.shape))
    off = np.abs(weights - trained.weights)
    error = (float(off.max()) / strongest, float(np.sqrt((off**2).mean())) / strongest) if strongest else (0.0, 0.0)
    lines = None
    if volts:
        lines = Lines(volts, None if bank is None else bank.bits, None if bank is None else bank.lsb, *error)
    return replace(trained, weights=weights), lines
