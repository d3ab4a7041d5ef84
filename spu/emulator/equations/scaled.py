"""A device's equation in the units of its problem: the same equation, x and kT without dimension."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from spu.circuit.readout import Readout
from spu.circuit.scales import NetworkScales
from spu.emulator.equations.langevin import Langevin

__all__ = ["in_problem_units"]


def in_problem_units(equation: Langevin, scales: NetworkScales) -> Langevin:
    """The equation of n cells in problem units, of the problem as it was posed: a speedup is one of the clock.

    Unlike `spu.emulator.laws.boltzmann.as_network` it keeps mobilities, temperatures and inertia that differ from cell
    to cell.

    Raises
    ------
    CircuitError
        If the readout is not one variable a cell.
    """
    unit, energy, second = equation.units, scales.energy * scales.speedup, scales.time / scales.speedup
    inertial = equation.mass is not None
    return replace(
        equation,
        coordinate="problem" if equation.mass is None else equation.coordinate,
        names=equation.readout.variables,
        field=equation.field * unit / energy,
        stiffness=equation.stiffness * np.outer(unit, unit) / energy,
        quadratic=equation.quadratic * unit**3 / energy,
        cubic=equation.cubic * unit**4 / energy,
        mobility=equation.mobility * (energy * second) / unit**2,
        mass=None if equation.mass is None else equation.mass * unit**2 / (energy * second**2),
        noise=equation.noise / unit[:, None] * second ** (1.5 if inertial else 0.5),
        sense=np.eye(equation.n),
        probes=equation.readout.variables,
        readout=Readout(equation.readout.variables, sp.csr_array(sp.eye_array(equation.n)), equation.readout.offset),
    )
