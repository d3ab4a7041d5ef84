"""States of rest of nonlinear circuits, their rates, and the step that resolves them."""

from __future__ import annotations

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError
from spu.emulator.equations.langevin import Langevin


def stable_step(equation: Langevin, x: FloatArray | None = None) -> float:
    """The step (s) beyond which an explicit scheme rings up at states of the size of x (n,): stable below.

    ``2 / (mobility dF/dx)`` of the stiffest direction; of inertial equations ``2 / omega``.
    """
    x = np.zeros(equation.n) if x is None else x
    slope = equation.stiffness + np.diag(2 * np.abs(equation.quadratic * x) + 3 * equation.cubic * x**2)
    if equation.mass is not None:
        root = 1 / np.sqrt(equation.mass)
        largest = float(np.abs(np.linalg.eigvals(root[:, None] * slope * root)).max())
        return 2.0 / np.sqrt(largest)
    root = np.sqrt(equation.mobility)
    return 2.0 / float(np.abs(np.linalg.eigvals(root[:, None] * slope * root)).max())


DAMPING_STEP = 0.2
"""Of inertial equations, the default step over the velocity's time constant at most: BAOAB's mobility is then
right to 0.3 % (``(z/2) coth(z/2)`` at a step of z)."""

UNBOUNDED = 1e300
"""s: stands for a time constant that there is none of, as of a quartic at rest."""


def rest_state(equation: Langevin, start: FloatArray | None = None, field: FloatArray | None = None) -> FloatArray:
    """Where the noiseless drift from ``start`` (zero unless given) comes to rest, in coordinates, (n,).

    By implicit Euler steps that grow as long as they go well: far from rest they follow the drift, near it
    they are Newton's. Where there is a potential a step goes well if it falls, or stays within its rounding;
    elsewhere if the force does not grow much. It is over where a step that is long against every
    relaxation moves nothing any more, or what is left of the force is the rounding of its terms.

    Raises
    ------
    CircuitError
        If the drift does not come to rest.
    """
    # In coordinates y = x / root of the mobility the drift is minus the gradient in y, and its matrix symmetric.
    root = np.sqrt(equation.mobility)
    stiffness = root[:, None] * equation.stiffness * root
    bend, curve = equation.quadratic * root**3, equation.cubic * root**4
    push = (equation.field if field is None else field) * root
    reciprocal = bool(np.allclose(stiffness, stiffness.T, rtol=0, atol=1e-9 * np.abs(stiffness).max(initial=0.0)))
    y = np.zeros(equation.n) if start is None else np.array(start) / root
    size = coordinate_size(equation) / root
    own = np.abs(2 * bend * size) + 3 * curve * size**2
    rate = float(np.abs(stiffness).sum(axis=1).max() + own.max()) or 1.0
    eps = np.finfo(np.float64).eps

    def drift(y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The drift, and the size of its terms."""
        pull, third, fourth = stiffness @ y, bend * y**2, curve * y**3
        return push - pull - third - fourth, np.abs(push) + np.abs(stiffness) @ np.abs(y) + np.abs(third) + fourth * y

    def level(y: FloatArray) -> tuple[float, float]:
        terms = (0.5 * y * (stiffness @ y), bend * y**3 / 3, curve * y**4 / 4, -push * y)
        return float(sum(term.sum() for term in terms)), float(sum(np.abs(term).sum() for term in terms))

    force, terms = drift(y)
    step = 0.1 / rate
    with np.errstate(over="ignore", invalid="ignore"):  # of steps that are not taken
        for _ in range(2000):
            if (np.abs(force) <= 4 * eps * terms).all():
                return y * root
            slope = stiffness + np.diag((2 * bend + 3 * curve * y) * y)
            matrix = slope + np.eye(equation.n) / step
            try:
                if reciprocal:
                    np.linalg.cholesky(matrix)  # else a step would climb
                move = np.linalg.solve(matrix, force)
            except np.linalg.LinAlgError:
                step /= 4.0
                continue
            new = y + move
            after, after_terms = drift(new)
            here = size + np.abs(y)
            if step * rate > 1e6 and (np.abs(move) <= 1e-12 * here).all():
                return new * root
            good = bool(np.isfinite(after).all())
            if good and reciprocal:
                (low, _), (high, weight) = level(new), level(y)
                good = bool(low <= high + 8 * eps * weight)
            elif good:
                good = bool(np.abs(after).max() <= np.abs(force).max() * 1.5 + 8 * eps * after_terms.max())
            if good:
                y, force, terms, step = new, after, after_terms, min(step * 2.0, 1e30 / rate)
            else:
                step /= 4.0
    raise CircuitError("the noiseless drift does not come to rest", nodes=equation.names)


def steps_to_rest(equation: Langevin, x: FloatArray, field: FloatArray) -> FloatArray:
    """Newton's steps from states (k, n) to where they would rest under fields (k, n): how far they are from it.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where the force does not change with a state.
    """
    return np.asarray(np.linalg.solve(equation.slope(x), equation.force(x, field)[..., None])[..., 0])


def coordinate_size(equation: Langevin) -> FloatArray:
    """(n,) a size of each coordinate: of what the noise alone would make of its quartic and quadratic parts."""
    theta = np.maximum(equation.ratios, 1e-300)
    quartic = np.where(equation.cubic > 0, (theta / np.where(equation.cubic > 0, equation.cubic, 1.0)) ** 0.25, np.inf)
    slope = np.diag(equation.stiffness)
    quadratic = np.where(slope > 0, np.sqrt(theta / np.where(slope > 0, slope, 1.0)), np.inf)
    size = np.minimum(quartic, quadratic)
    return np.where(np.isfinite(size), size, 1.0)


def time_constants(equation: Langevin, x: FloatArray) -> FloatArray:
    """Of small deviations from a state x, s, longest first; inertial equations have 2 n."""
    slope = equation.stiffness + np.diag((2 * equation.quadratic + 3 * equation.cubic * x) * x)
    n = equation.n
    if equation.mass is None:
        rates = np.linalg.eigvals(equation.mobility[:, None] * slope)
    else:
        inverse = 1 / equation.mass
        damping = np.diag(inverse / equation.mobility)
        rates = np.linalg.eigvals(np.block([[np.zeros((n, n)), -np.eye(n)], [inverse[:, None] * slope, damping]]))
    return np.sort(1 / np.maximum(np.abs(rates.real), 1 / UNBOUNDED))[::-1]


def slowest_motion(equation: Langevin) -> float:
    """The longest time constant, s; of what is flat at rest, as a quartic is, that where noise holds it.

    What is flat and silent has none, and slows down for ever: then it is that of x = 1.
    """
    rest = rest_state(equation)
    size = coordinate_size(equation)
    found = float(time_constants(equation, rest)[0])
    if found >= UNBOUNDED / 2:
        size = np.where(equation.ratios > 0, size, np.abs(equation.units))
    return min(found, 100 * float(time_constants(equation, np.hypot(rest, size))[0]))


def typical_states(equation: Langevin) -> FloatArray:
    """(n,) how far out coordinates are found: the rest state and two deviations of the noise."""
    return np.abs(rest_state(equation)) + 2 * coordinate_size(equation)
