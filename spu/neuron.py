r"""Reading single thermodynamic neurons: activation curves at any time, and the rate of crossing a barrier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import cumulative_trapezoid

from spu.errors import InputError
from spu.hardware import Hardware
from spu.network import ThermodynamicNetwork, unit_law

__all__ = ["Activation", "activation", "crossing_time", "kramers_rate", "unit_activation"]

FloatArray = NDArray[np.float64]

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
    from spu.compiler.network import compile_network
    from spu.relaxation import simulate_network

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


def _wells(J2: float, J3: float, J4: float, input: float) -> tuple[float, float, float]:
    """Left minimum, barrier, right minimum.

    Raises
    ------
    InputError
        If the potential has a single well.
    """
    roots = np.roots([4 * J4, 3 * J3, 2 * J2, -input])
    real = np.sort(roots[np.abs(roots.imag) < 1e-9 * (1 + np.abs(roots))].real)
    if len(real) < 3 or J4 <= 0:
        raise InputError(f"V = {J2:g} x^2 + {J3:g} x^3 + {J4:g} x^4 - {input:g} x has no two wells")
    return float(real[0]), float(real[1]), float(real[2])


def kramers_rate(
    J2: float, J3: float = 0.0, J4: float = 1.0, *, input: float = 0.0, kT: float = 1.0, mobility: float = 1.0
) -> float:
    """Rate of leaving the left well of an overdamped neuron over a high barrier (Kramers 1940).

    ``mobility sqrt(V''(well) |V''(barrier)|) / 2 pi exp(-(V(barrier) - V(well)) / kT)``, per unit of time.

    Raises
    ------
    InputError
        If the potential has a single well.
    """
    well, barrier, _ = _wells(J2, J3, J4, input)

    def energy(x: float) -> float:
        return ((J4 * x + J3) * x + J2) * x * x - input * x

    def curvature(x: float) -> float:
        return (12 * J4 * x + 6 * J3) * x + 2 * J2

    return float(
        mobility
        * np.sqrt(curvature(well) * -curvature(barrier))
        / (2 * np.pi)
        * np.exp(-(energy(barrier) - energy(well)) / kT)
    )


def crossing_time(
    J2: float, J3: float = 0.0, J4: float = 1.0, *, input: float = 0.0, kT: float = 1.0, mobility: float = 1.0
) -> float:
    """Mean first time at the right minimum from the left one: exact, by quadrature, at any barrier.

    ``1/(mobility kT) int_well^other dy exp(V(y)/kT) int_-inf^y dz exp(-V(z)/kT)``; over a high barrier the
    inverse of `kramers_rate`.

    Raises
    ------
    InputError
        If the potential has a single well.
    """
    well, barrier, other = _wells(J2, J3, J4, input)
    reach = (other - well) + 3.0 * (45 * kT / J4) ** 0.25
    grid = np.linspace(well - reach, other, 200_001)
    energy = ((J4 * grid + J3) * grid + J2) * grid**2 - input * grid
    top = ((J4 * barrier + J3) * barrier + J2) * barrier**2 - input * barrier
    bottom = float(energy.min())
    inner = cumulative_trapezoid(np.exp(-(energy - bottom) / kT), x=grid, initial=0)
    outer = np.where(grid >= well, np.exp(np.minimum(energy - top, 0.0) / kT), 0.0)
    total = float(np.trapezoid(outer * inner, grid))
    return total * float(np.exp((top - bottom) / kT)) / (mobility * kT)
