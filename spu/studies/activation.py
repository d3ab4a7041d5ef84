"""Activation curves of single thermodynamic neurons at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import UsageError, refuse_options
from spu.base.names import suggest
from spu.device.hardware import Hardware
from spu.device.subject import Subject, circuits
from spu.emulator.dynamics import Dynamics, LangevinDynamics, dynamics
from spu.problems.network import ThermodynamicNetwork
from spu.problems.neuron import unit_law

__all__ = ["Activation", "UnitActivation", "activation", "activation_curve", "activation_of", "unit_activation"]


_INPUTS = 41
"""Points of a unit's activation curve."""


@dataclass(frozen=True, eq=False)
class Activation:
    """The mean of one neuron over its input, at given times and in equilibrium.

    Attributes
    ----------
    input:
        (m,).
    times:
        (k,) in units of the problem's time.
    mean, error, variance:
        (k, m): sampled, with standard errors of the mean.
    equilibrium, equilibrium_variance:
        (m,), exact.
    """

    input: Annotated[FloatArray, "m"]
    times: Annotated[FloatArray, "k"]
    mean: Annotated[FloatArray, "k m"]
    error: Annotated[FloatArray, "k m"]
    variance: Annotated[FloatArray, "k m"]
    equilibrium: Annotated[FloatArray, "m"]
    equilibrium_variance: Annotated[FloatArray, "m"]


def activation(
    J2: float = 1.0,
    J3: float = 0.0,
    J4: float = 1.0,
    *,
    input: float | Annotated[ArrayLike, "m"],
    times: float | Annotated[ArrayLike, "k"],
    kT: float = 1.0,
    trajectories: int = 10_000,
    step: float | None = None,
    hardware: str | Path | Hardware = "ideal",
    architecture: str | None = None,
    seed: int = 0,
) -> Activation:
    """Sample the activation curve of a neuron that starts at 0, as a device of one cell an input.

    Raises
    ------
    InputError, UsageError, Unrealizable
        As `ThermodynamicNetwork`, `simulate_network` and `compile_network`.
    """
    from spu.compiler import compile_network
    from spu.emulator.simulate import simulate_network

    law = unit_law(J2, J3, J4, input=input, kT=kT)
    network = ThermodynamicNetwork(J2, J3, J4, input=law.input, kT=kT, units=len(law.input))
    device = compile_network(network, hardware, architecture=architecture).device
    run = simulate_network(device, times=times, trajectories=trajectories, step=step, seed=seed)
    return Activation(law.input, run.times, run.mean, run.mean_error, run.variance, law.mean, law.variance)


def unit_activation(
    network: ThermodynamicNetwork, unit: int, *, times: Sequence[float] = (), trajectories: int = 2000, seed: int = 0
) -> Activation:
    """The activation curve of one unit of a network by itself: its potential, bias and bath, without couplings.

    Parameters
    ----------
    network:
        The inputs drawn are centred on the unit's bias, and reach beyond its own input and to where the
        potential is some ten kT up.
    unit:
        Its place.
    times:
        When it is sampled beside equilibrium, in the network's time; it starts at 0 and is overdamped.
    trajectories, seed:
        Of the samples at each input.

    Raises
    ------
    InputError
        If the unit is held by its couplings alone.
    """
    bias, own = float(network.bias[unit]), float(network.input[unit])
    potential = [float(each[unit]) for each in (network.J2, network.J3, network.J4)]
    alone = ThermodynamicNetwork(*potential, kT=network.kT, variables=[network.variables[unit]])
    far = float(alone.extent()[0]) / 3
    reach = max(float(np.abs(alone.force([[far], [-far]])).max()), 1.2 * abs(own - bias))
    inputs = np.linspace(-reach, reach, _INPUTS)
    if len(times):
        instants = np.asarray(times, dtype=np.float64)
        found = activation(
            *potential,
            input=inputs,
            times=instants * network.mobility,
            kT=network.kT,
            trajectories=trajectories,
            seed=seed,
        )
        return replace(found, input=inputs + bias, times=found.times / network.mobility)
    law, none = unit_law(*potential, input=inputs, kT=network.kT), np.empty((0, _INPUTS))
    return Activation(inputs + bias, np.empty(0), none, none, none, law.mean, law.variance)


@dataclass(frozen=True, eq=False, repr=False)
class UnitActivation(Result):
    """The activation curve of one unit of a device by itself.

    Attributes
    ----------
    unit, own:
        Its name, and its input in the network.
    network, times:
        Whose unit it is, and when the curve is sampled beside equilibrium.
    """

    unit: str
    own: float
    network: ThermodynamicNetwork
    times: tuple[float, ...]

    in_short = ("unit", "own", "times")

    @cached_property
    def curve(self) -> Activation:
        """The curve, worked out when first asked for."""
        return unit_activation(self.network, self.network.variables.index(self.unit), times=self.times)

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: arrays stay arrays."""
        return {"unit": self.unit, **asdict(self.curve)}


def activation_curve(
    subject: Subject, *, unit: str | None = None, times: Sequence[float] | None = None
) -> UnitActivation | None:
    """The activation curve of a unit of a device: None of linear cells, which have none, where none was asked for.

    Parameters
    ----------
    subject:
        Whatever has a device or circuit: see `spu.device.subject.subject_of`.
    unit:
        Its name; the first unless given.
    times:
        When it is sampled beside equilibrium, in the problem's time.

    Raises
    ------
    UsageError
        If there is no such unit, or one was asked for of linear cells.
    CircuitError
        If the device has no Boltzmann law.
    """
    found = dynamics(circuits(subject)[0])
    if found.name in CURVES:
        return CURVES[found.name](found, unit, times)
    refuse_options(found.words, {"unit": unit, "times": times})
    return None


def activation_of(found: Dynamics, unit: str | None = None, times: Sequence[float] | None = None) -> UnitActivation:
    """`activation_curve` of what is known to have one."""
    langevin = cast(LangevinDynamics, found)
    names = langevin.readout.variables
    if unit is not None and unit not in names:
        raise UsageError(f"no unit {unit!r}; {suggest(unit, names)}")
    network = langevin.posed
    place = 0 if unit is None else names.index(unit)
    return UnitActivation(names[place], float(network.input[place]), network, tuple(times or ()))


CURVES: dict[str, Callable[..., UnitActivation]] = {"langevin": activation_of}
"""The register: what has activation curves, by the name of its dynamics."""
