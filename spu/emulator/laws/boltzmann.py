"""A circuit's thermodynamic network, whose Boltzmann law it has in equilibrium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.base.errors import CircuitError
from spu.emulator.equations.langevin import Langevin

if TYPE_CHECKING:
    from spu.circuit.scales import Scales
    from spu.problems.network import ThermodynamicNetwork


def as_network(equation: Langevin, scales: Scales | None = None) -> ThermodynamicNetwork:
    """The network that a device's equation is, in problem units, at scales (its own energies and seconds if None).

    Without scales the unit of energy is the device's kT, and that of time one second at the mobility
    of the first cell.

    Raises
    ------
    CircuitError
        If the readout is not one variable a cell, or noise over dissipation differs.
    """
    from spu.problems.network import ThermodynamicNetwork

    unit = equation.units
    theta = float(equation.ratios.max())
    energy = scales.energy if scales is not None else theta or 1.0
    rates = equation.mobility * energy / unit**2
    if np.ptp(rates) > 1e-9 * rates.max():
        raise CircuitError("the cells' mobilities differ: they are not those of one network", nodes=equation.names)
    stiffness = equation.stiffness * np.outer(unit, unit) / energy
    reciprocal = bool(np.allclose(stiffness, stiffness.T, rtol=1e-9, atol=1e-12 * np.abs(stiffness).max()))
    return ThermodynamicNetwork(
        np.diag(stiffness) / 2,
        equation.quadratic * unit**3 / (3 * energy),
        equation.cubic * unit**4 / (4 * energy),
        input=equation.field * unit / energy,
        couplings=stiffness - np.diag(np.diag(stiffness)),
        kT=theta / energy,
        mobility=float(rates.mean()) * (1.0 if scales is None else scales.time),
        reciprocal=reciprocal,
        variables=equation.readout.variables,
    )
