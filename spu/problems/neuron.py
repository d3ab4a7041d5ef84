"""The law of a single neuron, by quadrature, and the rate of crossing its barrier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import cumulative_trapezoid

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.problems.network import ThermodynamicNetwork, numbers

__all__ = ["UnitLaw", "crossing_time", "kramers_rate", "unit_law"]


# --- one unit ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class UnitLaw:
    """Exact stationary statistics of one unit over a row of inputs.

    Attributes
    ----------
    input, mean, variance:
        (m,) in problem units.
    """

    input: Annotated[FloatArray, "m"]
    mean: Annotated[FloatArray, "m"]
    variance: Annotated[FloatArray, "m"]


def unit_law(
    J2: float = 1.0,
    J3: float = 0.0,
    J4: float = 1.0,
    *,
    input: float | Annotated[ArrayLike, "m"] = 0.0,
    kT: float = 1.0,
) -> UnitLaw:
    """Mean and variance of ``exp(-V/kT)``, ``V = J2 x^2 + J3 x^3 + J4 x^4 - I x``, for each input I.

    The activation curve of a thermodynamic neuron in equilibrium, by quadrature to rounding.

    Raises
    ------
    InputError
        As `ThermodynamicNetwork`.

    Examples
    --------
    >>> import spu
    >>> law = spu.unit_law(J2=-1.0, J4=1.0, input=[-1.0, 0.5, 1.0], kT=0.5)
    >>> law.mean.round(3)
    array([-0.676,  0.41 ,  0.676])
    """
    inputs = np.atleast_1d(numbers(input, "input", (0, 1)))
    network = ThermodynamicNetwork(J2, J3, J4, input=inputs, kT=kT, units=len(inputs))
    mean, covariance = network.moments()
    return UnitLaw(inputs, mean, np.diag(covariance).copy())


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
