"""Activation curves of single thermodynamic neurons at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.device.hardware import Hardware
from spu.problems.network import ThermodynamicNetwork
from spu.problems.neuron import unit_law

__all__ = ["Activation", "activation", "unit_activation"]


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

    input: FloatArray
    times: FloatArray
    mean: FloatArray
    error: FloatArray
    variance: FloatArray
    equilibrium: FloatArray
    equilibrium_variance: FloatArray


def activation(
    J2: float = 1.0,
    J3: float = 0.0,
    J4: float = 1.0,
    *,
    input: ArrayLike,
    times: ArrayLike,
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
