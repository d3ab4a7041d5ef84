r"""Entropy production along trajectories of a device of nonlinear cells, in units of Boltzmann's constant.

Heat Q given to a bath of temperature T raises the entropy of the medium by ``Q/T``; a trajectory's own
entropy is ``-k ln p(x, t)``, and the two together are its total entropy production (Seifert, PRL 95, 040602,
2005), whose mean is never negative. It takes the law p at both ends. They are known where the trajectory
starts in equilibrium and the inputs hold at the end until there is equilibrium again: no work is done
meanwhile, and the mean of the total is that of the dissipated work,

.. math:: \Sigma / k = (W - \Delta F) / kT,

with the free energies of the first and the last inputs (Jarzynski, PRL 78, 2690, 1997; Crooks, PRE 60, 2721,
1999). That is the total given here, for each trajectory: it counts the relaxation that follows the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from scipy.special import ndtri

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError
from spu.emulator.equations.langevin import Langevin

if TYPE_CHECKING:
    from spu.problems.network import ThermodynamicNetwork


__all__ = ["EntropyProduction", "entropy_production", "equilibrium_start"]


_STREAM = 0x5EED
"""Sets the random numbers of starts apart from others of the same seed."""


@dataclass(frozen=True, eq=False)
class EntropyProduction:
    """What trajectories produced, in units of k.

    Attributes
    ----------
    medium:
        (trajectories,) ``Q/kT``; None where the cells have no common temperature.
    total:
        (trajectories,) ``(W - free energy change)/kT``, the relaxation after the end included; None
        where the law of an end is not known.
    free_energy_change:
        Over kT, between the inputs at the start and at the end; None with ``total``.
    why:
        Why something is None; empty otherwise.
    """

    medium: Annotated[FloatArray, "trajectories"] | None
    total: Annotated[FloatArray, "trajectories"] | None
    free_energy_change: float | None
    why: str


def entropy_production(
    equation: Langevin,
    heat: FloatArray,
    work: FloatArray,
    ends: tuple[ThermodynamicNetwork, ThermodynamicNetwork] | None,
    unknown: str,
) -> EntropyProduction:
    """Entropy production from heat and work.

    Parameters
    ----------
    equation:
        Of the circuit.
    heat, work:
        (trajectories,) in units of the equation's theta.
    ends:
        The equation as a network at the first and at the last inputs, of a run that started in
        equilibrium; None for others.
    unknown:
        Why the total is not known; empty where it is.
    """
    try:
        theta = equation.theta()
    except CircuitError as error:
        return EntropyProduction(None, None, None, error.message)
    if theta == 0:
        return EntropyProduction(None, None, None, "the temperature is zero")
    if unknown or ends is None:
        return EntropyProduction(heat, None, None, unknown)
    first, last = (network.free_energy() / network.kT for network in ends)
    return EntropyProduction(heat, work - (last - first), last - first, "")


def equilibrium_start(
    equation: Langevin, network: ThermodynamicNetwork, trajectories: int, seed: int
) -> tuple[FloatArray, FloatArray | None]:
    """Coordinates (trajectories, n) drawn from the stationary law, and velocities where there are any.

    Parameters
    ----------
    equation:
        Of the circuit.
    network:
        The same at the inputs of the start.
    trajectories, seed:
        The first ones are the same however many there are.

    Raises
    ------
    CircuitError, InputError
        If there is no such law, or it cannot be drawn from.
    """
    theta = equation.theta()
    uniform = np.random.default_rng([seed, _STREAM]).random((trajectories, 2, equation.n))
    uniform = np.maximum(uniform, np.finfo(np.float64).tiny)  # 0 would be infinitely far out
    x = network.quantiles(uniform[:, 0]) * equation.units
    if equation.mass is None:
        return x, None
    return x, ndtri(uniform[:, 1]) * np.sqrt(theta / equation.mass)
