"""A circuit's thermodynamic network, whose Boltzmann law it has in equilibrium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError
from spu.emulator.equations.langevin import Langevin

if TYPE_CHECKING:
    from spu.circuit.scales import NetworkScales
    from spu.problems.network import ThermodynamicNetwork


def as_network(equation: Langevin, scales: NetworkScales | None = None) -> ThermodynamicNetwork:
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


def deviations(
    equation: Langevin, scales: NetworkScales, network: ThermodynamicNetwork
) -> dict[str, tuple[float, float]]:
    """How far a device's equation is from a network at its scales, coefficient by coefficient; at factors of one.

    Returns
    -------
    By name (``J2``, ``J3``, ``J4``, ``couplings``, ``kT``, ``mobility``, ``field``) the largest and the root mean
    square error, relative to the largest coefficient of the kind, or of the quadratic ones where all are zero. Of
    couplings the mean is over those that the network has.
    """
    equation = equation.frozen(1.0, 1.0)
    wanted = network.sped_up(scales.speedup)
    unit, energy = equation.units, scales.energy
    stiffness = equation.stiffness * np.outer(unit, unit) / energy
    own = float(np.abs(wanted.stiffness(np.zeros(wanted.n))).max(initial=0.0))
    field = wanted.input - wanted.bias
    diagonal = np.diag(stiffness)
    pairs: tuple[FloatArray, FloatArray] = stiffness - np.diag(diagonal), wanted.couplings
    compared: dict[str, tuple[FloatArray, FloatArray, float]] = {
        "J2": (diagonal / 2, wanted.J2, own),
        "J3": (equation.quadratic * unit**3 / (3 * energy), wanted.J3, _largest(wanted.J3)),
        "J4": (equation.cubic * unit**4 / (4 * energy), wanted.J4, _largest(wanted.J4)),
        "couplings": (*pairs, _largest(wanted.couplings)),
        "kT": (equation.ratios / energy, np.full(wanted.n, wanted.kT), wanted.kT),
        "mobility": (
            equation.mobility * energy / unit**2 * scales.time,
            np.full(wanted.n, wanted.mobility),
            wanted.mobility,
        ),
        "field": (equation.field * unit / energy, field, _largest(field) or 1.0),
    }
    found = {}
    for name, (values, meant, size) in compared.items():
        off = np.abs(values - meant)
        there = off[meant != 0] if name == "couplings" and np.any(meant) else off
        scale = size or max(own, 1e-300)
        found[name] = float(off.max()) / scale, float(np.sqrt((there**2).mean())) / scale
    return found


def _largest(values: FloatArray) -> float:
    return float(np.abs(values).max(initial=0.0))
