r"""Optimisation on double wells: Ising energies, QUBOs, and quadratic programmes within bounds.

An Ising energy ``E(s) = -1/2 s^T J s - h^T s`` of spins of +1 and -1 is posed to the network

.. math::
    V(x) = \sum_i D (x_i^2 - 1)^2 + \epsilon E(x)

of cells with two wells, at +1 and -1, of depth D; the sign of a cell is its spin. The energy's unit is chosen so that
what acts on a spin is of order one, ``1/eps = sqrt(mean_i (h_i^2 + sum_j J_ij^2))``, and D and kT are in units of V.

Cells are not spins: one on which an aligned field g acts moves outwards, and V falls short of ``eps E`` by about
``eps^2 g^2 / (16 D)``. States that are nearly as low may change places by that. `Ising.assured` says, by counting all
states, whether the lowest minimum of V is a ground state of E; a deeper well helps, and takes longer to anneal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, shape_of
from spu.base.errors import InputError
from spu.base.labels import take_names
from spu.base.names import check_names, shorten
from spu.problems.answers import LAW
from spu.problems.kinds import Kind, register
from spu.problems.network import ThermodynamicNetwork, numbers
from spu.problems.problem import Problem

__all__ = ["MOST_SPINS", "QUBO", "Assurance", "BoundedQuadratic", "Ising", "Optimisation"]

MOST_SPINS = 20
"""Of which all states are counted."""

_SYMMETRY = 1e-10

_EQUAL = 1e-9
"""Of the size of an energy's terms, by which two energies may differ and be the same."""

BY = ("noise", "couplings")

_HOT = {"noise": 1.0, "couplings": 0.3}
"""kT unless given: where the noise begins that is taken to nothing; that which stays while couplings rise."""


class Optimisation(ThermodynamicNetwork):
    """A network that is annealed into a low state: what the kinds below have in common.

    Attributes
    ----------
    by:
        ``noise``: its amplitude falls to nothing along a straight line; ``couplings``: they rise from nothing to what
        they are, at constant noise.
    duration:
        How long that takes, in units of the network's time.
    """

    by: str
    duration: float

    @property
    def factors(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Instants (2,), and the factors then on couplings and on the amplitude of noise."""
        return ramp_of(self.by, self.duration)

    def cost(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s"]:
        """What is to be minimised, at (..., n) of the variables."""
        raise NotImplementedError

    def decode(self, x: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """Variables (..., n) of what the cells read."""
        raise NotImplementedError

    def posed(self) -> dict[str, Any]:
        """As of all problems."""
        return Problem.posed(self)

    def _pose(self, by: Any, duration: Any, **network: Any) -> None:
        if by not in BY:
            raise InputError(f"by is {shorten(by)}: an optimisation is annealed by noise or by couplings")
        duration = float(numbers(duration, "duration", (0,)))
        if duration <= 0:
            raise InputError(f"duration is {duration!r}: it must be positive")
        ThermodynamicNetwork.__init__(self, **network)
        object.__setattr__(self, "by", by)
        object.__setattr__(self, "duration", duration)

    def _keep(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={self.n}, by={self.by!r}, duration={self.duration:g})"


def ramp_of(by: str, duration: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Instants (2,), and factors on couplings and noise, of an annealing by one of the two."""
    times, ones = np.array([0.0, duration]), np.ones(2)
    return (times, ones, np.array([1.0, 0.0])) if by == "noise" else (times, np.array([0.0, 1.0]), ones)


@dataclass(frozen=True, eq=False)
class Assurance:
    """Whether the lowest minimum of a network is a ground state of its Ising energy, from counting all states.

    Attributes
    ----------
    energy:
        Of the ground states.
    states:
        (k, n) all of them.
    assured:
        True: no other state has a lower V. False: ``spoiled_by`` has. None: some may have, and too many to look at.
    spoiled_by:
        (n,) the state whose V is lowest, where that is no ground state; else None.
    candidates:
        States that a bound did not exclude.
    """

    energy: float
    states: Annotated[FloatArray, "k n"]
    assured: bool | None
    spoiled_by: Annotated[FloatArray, "n"] | None
    candidates: int


class Ising(Optimisation):
    """The ground state of ``E(s) = -1/2 s^T J s - h^T s``, spins of +1 and -1.

    A pair counts once: J_ij > 0 wants equal spins, h_i > 0 wants +1.

    Parameters
    ----------
    J : (n, n) array_like
        Symmetric to 1e-10, with a zero diagonal.
    h : (n,) array_like or scalar, optional
        Fields; none unless given.
    depth:
        Of the wells, in units of the energy's typical change by a spin (`spu.problems.ising`). Shallow ones anneal
        sooner, deep ones are better spins.
    kT:
        Of the network at factors of one: 1 by noise, 0.3 by couplings unless given.
    by, duration:
        ``noise`` or ``couplings``, and in which time of the network.
    variables : sequence of str, optional
        Names; if None those of a DataFrame, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If numbers are not as said above, or all of them are zero.

    Attributes
    ----------
    J, h : ndarray
        As given.
    scale : float
        V of a unit of E.

    Examples
    --------
    A triangle of which one bond is frustrated:

    >>> import spu
    >>> problem = spu.Ising([[0, 1, 1], [1, 0, -1], [1, -1, 0]], h=[0.5, 0.0, 0.0])
    >>> problem.cost([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
    array([-1.5, -1.5, -0.5])
    >>> found = problem.ground()
    >>> found.energy, len(found.states), found.assured
    (-1.5, 3, True)
    """

    J: Annotated[FloatArray, "n n"]
    h: Annotated[FloatArray, "n"]
    depth: float
    scale: float
    task: ClassVar[str] = "ising"

    def __init__(
        self,
        J: Annotated[Any, "n n"],
        h: float | Annotated[Any, "n"] = 0.0,
        *,
        depth: float = 0.5,
        kT: float | None = None,
        by: str = "noise",
        duration: float = 100.0,
        variables: Iterable[str] | None = None,
    ) -> None:
        variables, (fields,) = take_names(variables, ("J", J), ("h", h))
        pairs, fields, names = _pairs(J, "J"), numbers(fields, "h", (0, 1)), _names(variables)
        _require_size(len(pairs), h=fields, variables=names)
        own = np.flatnonzero(np.diag(pairs))
        if len(own):
            raise InputError(
                f"J has {pairs[own[0], own[0]]:.6g} on the diagonal, in row {own[0] + 1}: a spin's square is one, so "
                "its diagonal must be zero"
            )
        self._pose_ising(pairs, np.broadcast_to(fields, len(pairs)).copy(), depth, kT, by, duration, names)

    def _pose_ising(
        self, J: FloatArray, h: FloatArray, depth: Any, kT: Any, by: Any, duration: Any, names: Any, offset: float = 0.0
    ) -> None:
        depth = float(numbers(depth, "depth", (0,)))
        if depth <= 0:
            raise InputError(f"depth is {depth!r}: wells must be deeper than nothing")
        size = float(np.sqrt((np.square(J).sum(axis=1) + h**2).mean()))
        if not size > 0:
            raise InputError("all couplings and fields are zero: every state is a ground state")
        self._keep(J=J, h=h, depth=depth, scale=1.0 / size, offset=offset)
        self._pose(
            by,
            duration,
            J2=-2.0 * depth,
            J4=depth,
            input=h / size,
            couplings=-J / size,
            kT=_HOT.get(by, 1.0) if kT is None else kT,
            variables=names,
        )

    offset: float

    def cost(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s"]:
        """E of (..., n) spins."""
        return self._energy(np.asarray(states, dtype=np.float64))

    def decode(self, x: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """Spins (..., n): the signs of cells; of one at zero +1."""
        return np.where(np.asarray(x) < 0, -1.0, 1.0)

    def spins(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """The spins that stand for (..., n) of the variables: these themselves."""
        return np.asarray(states, dtype=np.float64)

    def of_spins(self, spins: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """(..., n) of the variables for spins: these themselves."""
        return np.asarray(spins, dtype=np.float64)

    def _energy(self, spins: FloatArray) -> FloatArray:
        return np.asarray(self.offset - 0.5 * ((spins @ self.J) * spins).sum(axis=-1) - spins @ self.h)

    @property
    def tolerance(self) -> float:
        """Difference up to which two costs count as equal: rounding of their terms."""
        return _EQUAL * float(np.abs(self.J).sum() / 2 + np.abs(self.h).sum())

    def ground(self) -> Assurance:
        """The ground states, by counting all, and whether the network's lowest minimum is one of them.

        Raises
        ------
        InputError
            Of more than `MOST_SPINS` spins.
        """
        return self._ground

    @cached_property
    def _ground(self) -> Assurance:
        if self.n > MOST_SPINS:
            raise InputError(
                f"{self.n} spins have 2^{self.n} states: all are counted of at most {MOST_SPINS}; beyond that only the "
                "best that is found is known"
            )
        few = self.n // 2
        low, high = _corners(few), _corners(self.n - few)
        J, h = self.J, self.h

        def whole(rows: np.ndarray[Any, Any]) -> FloatArray:
            """(m, n) states by their numbers."""
            return np.hstack([low[rows % len(low)], high[rows // len(low)]])

        def part(spins: FloatArray, own: slice) -> FloatArray:
            return -0.5 * ((spins @ J[own, own]) * spins).sum(axis=1) - spins @ h[own]

        first, second = slice(0, few), slice(few, self.n)
        energy = part(high, second)[:, None] + part(low, first) - high @ J[second, first] @ low.T
        lowest = float(energy.min())
        ground = np.flatnonzero(energy.ravel() <= lowest + self.tolerance)
        # V of each state, at least; as a concave function of fields, chords of which lie below it.
        bound = self.scale * energy
        reach = np.abs(J).sum(axis=1) + np.abs(h)
        table = _least_own(self.depth, self.scale, max(0.0, float(np.linalg.eigvalsh(J)[-1])), float(reach.max()))
        for k in range(self.n):
            row = high @ J[second, k] + h[k], low @ J[first, k]
            field = row[0][:, None] + row[1]
            field *= low[:, k] if k < few else high[:, k - few, None]
            bound += np.interp(field, *table)
        best = float(self._minima(whole(ground)).min())
        slack = 1e-9 * (abs(best) + self.scale * self.tolerance / _EQUAL)
        rivals = np.setdiff1d(np.flatnonzero(bound.ravel() < best + slack), ground)
        states = self.of_spins(whole(ground))
        assured, spoiled = True if not len(rivals) else None, None
        if 0 < len(rivals) <= _MOST_RIVALS:
            found = self._minima(whole(rivals))
            k = int(np.argmin(found))
            assured = bool(found[k] >= best - slack)
            spoiled = None if assured else self.of_spins(whole(rivals[k : k + 1]))[0]
        return Assurance(lowest + self.offset, states, assured, spoiled, len(rivals))

    def _minima(self, spins: FloatArray) -> FloatArray:
        """V, but for a constant, at the minima (m,) that states (m, n) lead to without a sign being changed."""
        scale, depth = self.scale, self.depth
        size = np.ones_like(spins)
        reach = scale * float((np.abs(self.J).sum(axis=1) + np.abs(self.h)).max())
        far = 1.0 + np.cbrt(reach / depth)
        step = 1.0 / (12 * depth * far**2 + reach)
        for _ in range(_DESCENTS):
            x = spins * size
            slope = 4 * depth * (x**2 - 1) * x - scale * (x @ self.J + self.h)
            size = np.clip(size - step * spins * slope, 0.0, far)
        x = spins * size
        return depth * np.square(x**2 - 1).sum(axis=1) + scale * (self._energy(x) - self.offset)


_MOST_RIVALS, _DESCENTS = 2000, 400


def _least_own(depth: float, scale: float, curve: float, reach: float) -> tuple[FloatArray, FloatArray]:
    """Aligned fields, and the least of ``D (r^2 - 1)^2 - eps g (r - 1) - eps curve (r - 1)^2 / 2`` over r >= 0 at each.

    With ``curve`` the largest eigenvalue of J, the sum of it over cells is what V differs by from eps E, or less.
    """
    fields = np.linspace(-reach, reach, 801)
    far = 2.0 + np.cbrt(scale * reach / depth) + np.sqrt(scale * curve / depth)
    r = np.linspace(0.0, far, 4001)
    own = depth * (r**2 - 1) ** 2 - 0.5 * scale * curve * (r - 1) ** 2
    found = (own - scale * fields[:, None] * (r - 1)).min(axis=1)
    # Between points of the grid it may be lower, by half a step at the steepest curvature.
    bend = 12 * depth * far**2 + scale * curve
    return fields, found - 0.125 * bend * (r[1] - r[0]) ** 2


class QUBO(Ising):
    """The least ``x^T Q x`` over x of zeros and ones.

    By ``x = (1 + s)/2`` it is the Ising energy of ``J = -Q/2`` off the diagonal and ``h = -Q 1/2`` with the offset
    ``(1^T Q 1 + tr Q)/4``, Q symmetrised.

    Parameters
    ----------
    Q : (n, n) array_like
        Symmetric or not: only ``Q + Q^T`` counts. Linear terms stand on the diagonal.
    depth, kT, by, duration, variables:
        As of `Ising`.

    Raises
    ------
    InputError
        As `Ising`.

    Examples
    --------
    >>> import spu
    >>> problem = spu.QUBO([[-1, 2], [0, -2]])
    >>> problem.cost([[0, 0], [1, 0], [0, 1], [1, 1]])
    array([ 0., -1., -2., -1.])
    >>> found = problem.ground()
    >>> found.energy, found.states
    (-2.0, array([[0., 1.]]))
    """

    Q: Annotated[FloatArray, "n n"]
    task: ClassVar[str] = "qubo"

    def __init__(
        self,
        Q: Annotated[Any, "n n"],
        *,
        depth: float = 0.5,
        kT: float | None = None,
        by: str = "noise",
        duration: float = 100.0,
        variables: Iterable[str] | None = None,
    ) -> None:
        variables, _ = take_names(variables, ("Q", Q))
        given, names = _square(Q, "Q"), _names(variables)
        _require_size(len(given), "Q", variables=names)
        self._keep(Q=given)
        even = (given + given.T) / 2
        J, h = -even / 2, -even.sum(axis=1) / 2
        np.fill_diagonal(J, 0.0)
        offset = float(even.sum() + np.trace(even)) / 4
        self._pose_ising(J, h, depth, kT, by, duration, names, offset)

    def cost(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s"]:
        """``x^T Q x`` of (..., n) bits."""
        x = np.asarray(states, dtype=np.float64)
        return np.asarray(((x @ self.Q) * x).sum(axis=-1))

    def decode(self, x: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """Bits (..., n): 1 where a cell is above zero, or at it."""
        return self.of_spins(Ising.decode(self, x))

    def spins(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """``2 x - 1``."""
        return 2.0 * np.asarray(states, dtype=np.float64) - 1.0

    def of_spins(self, spins: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """``(1 + s)/2``."""
        return (1.0 + np.asarray(spins, dtype=np.float64)) / 2.0


class BoundedQuadratic(Optimisation):
    r"""The least ``1/2 x^T A x - b^T x`` within ``lower <= x <= upper``, A positive semidefinite.

    In ``y = (2 x - lower - upper)/(upper - lower)`` the bounds are -1 and 1, and cells hold y by walls ``W y^4``. A
    quartic is a soft wall: between the bounds it pushes inwards by ``4 W |y|^3``, and a cell that is pushed against a
    bound comes to rest short of it or beyond. Both are known where y is: `corrected` gives the inputs that take the
    push off and the overshoot back (the method of multipliers, with the quartic as its penalty), and a few runs at
    corrected inputs lead to the answer, the last digits as fast as the condition of A lets them. What is left is
    bounded, whatever the device did: `gap`.

    Parameters
    ----------
    A : (n, n) array_like
        Symmetric to 1e-10.
    b, lower, upper : (n,) array_like or scalar
        Finite; each lower bound below the upper one.
    wall:
        W, in units of the energy's typical slope. Softer ones take fewer runs where A is badly conditioned, and hold
        cells less well in each.
    kT, by, duration:
        As of `Ising`; there is one minimum, and noise serves no other end than to be like a device.
    variables : sequence of str, optional
        Names; if None those of a DataFrame, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If numbers are not as said above.

    Examples
    --------
    >>> import spu
    >>> problem = spu.BoundedQuadratic([[2.0, 1.0], [1.0, 2.0]], [1.0, 3.0], 0.0, 1.2)
    >>> round(float(problem.cost([0.0, 1.2])), 2), round(float(problem.gap([0.0, 1.2])), 2)
    (-2.16, 0.0)
    """

    A: Annotated[FloatArray, "n n"]
    b: Annotated[FloatArray, "n"]
    lower: Annotated[FloatArray, "n"]
    upper: Annotated[FloatArray, "n"]
    wall: float
    scale: float
    task: ClassVar[str] = "bounded-quadratic"

    def __init__(
        self,
        A: Annotated[Any, "n n"],
        b: float | Annotated[Any, "n"],
        lower: float | Annotated[Any, "n"],
        upper: float | Annotated[Any, "n"],
        *,
        wall: float = 0.05,
        kT: float | None = None,
        by: str = "noise",
        duration: float = 100.0,
        variables: Iterable[str] | None = None,
    ) -> None:
        given = {"b": b, "lower": lower, "upper": upper}
        variables, vectors = take_names(variables, ("A", A), *given.items())
        matrix, names = _pairs(A, "A"), _names(variables)
        arrays = {key: numbers(value, key, (0, 1)) for key, value in zip(given, vectors, strict=True)}
        n = len(matrix)
        _require_size(n, "A", **arrays, variables=names)
        arrays = {key: np.broadcast_to(value, n).copy() for key, value in arrays.items()}
        crossed = np.flatnonzero(arrays["lower"] >= arrays["upper"])
        if len(crossed):
            k = crossed[0]
            raise InputError(
                f"the bounds of {names[k] if names else f'x{k + 1}'} are crossed: lower {arrays['lower'][k]:.6g}, "
                f"upper {arrays['upper'][k]:.6g}; a variable needs room between them"
            )
        values = np.linalg.eigvalsh(matrix)
        if values[0] < -_SYMMETRY * np.abs(values).max(initial=0.0):
            raise InputError(
                f"A is not positive semidefinite: its smallest eigenvalue is {values[0]:.3g}, and there may be many "
                "minima; choices between bounds are an Ising or a QUBO problem"
            )
        wall = float(numbers(wall, "wall", (0,)))
        if wall <= 0:
            raise InputError(f"wall is {wall!r}: it must be positive")
        half = (arrays["upper"] - arrays["lower"]) / 2
        inner = matrix * half * half[:, None]
        pull = half * (arrays["b"] - matrix @ (arrays["lower"] + half))
        size = float(np.sqrt((np.square(inner).sum(axis=1) + pull**2).mean()))
        if not size > 0:
            raise InputError("A and b are zero: there is nothing to minimise")
        self._keep(A=matrix, wall=wall, scale=1.0 / size, least=max(0.0, float(values[0])), **arrays)
        diagonal = np.diag(inner) / size
        self._pose(
            by,
            duration,
            J2=diagonal / 2,
            J4=wall,
            input=pull / size,
            couplings=(inner - np.diag(np.diag(inner))) / size,
            kT=0.1 if kT is None else kT,
            variables=names,
        )

    least: float

    def cost(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s"]:
        """``1/2 x^T A x - b^T x`` of (..., n)."""
        x = np.asarray(states, dtype=np.float64)
        return np.asarray(0.5 * ((x @ self.A) * x).sum(axis=-1) - x @ self.b)

    def decode(self, x: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """(..., n) within the bounds: beyond them cells count as at them."""
        half = (self.upper - self.lower) / 2
        return np.asarray(self.lower + half * (1.0 + np.clip(np.asarray(x), -1.0, 1.0)))

    def gap(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s"]:
        """By how much the cost of states (..., n) within the bounds is above the least one, at most.

        ``max over z within the bounds of (A x - b)^T (x - z)`` (Frank and Wolfe, 1956): rigorous, and of order ``n^2``.
        """
        x = np.asarray(states, dtype=np.float64)
        slope = x @ self.A - self.b
        return np.asarray(np.maximum(slope * (x - self.lower), slope * (x - self.upper)).sum(axis=-1))

    def distance(self, states: Annotated[ArrayLike, "*s n"]) -> Annotated[FloatArray, "*s"]:
        """How far states (..., n) are from the answer in the 2-norm, at most; infinite where A is singular."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.sqrt(self.gap(states) / self.least))

    def push(self, y: Annotated[FloatArray, "*s n"]) -> Annotated[FloatArray, "*s n"]:
        """What walls do to cells (..., n): the slope of their energy."""
        return np.asarray(4 * self.wall * y**3)

    def corrected(
        self, y: Annotated[ArrayLike, "n"], input: Annotated[ArrayLike, "n"], borne: Annotated[ArrayLike, "n"]
    ) -> tuple[Annotated[FloatArray, "n"], Annotated[FloatArray, "n"]]:
        """Inputs for the next run, from where cells came to rest in this one.

        Parameters
        ----------
        y : (n,) array_like
            Where they did.
        input : (n,) array_like
            Of this run.
        borne : (n,) array_like
            What the bounds bore, as far as this run knew; zero at first.

        Returns
        -------
        input : (n,) ndarray
            Of the next run.
        borne : (n,) ndarray
            What the bounds bear: positive at the upper ones, negative at the lower, zero of cells between.
        """
        y = np.asarray(y, dtype=np.float64)
        force = self.push(y) - (np.asarray(input) - self.input)  # the problem's own, at rest: what the wall takes
        side = np.where(np.abs(y) > 1, np.sign(y), np.sign(borne))
        borne = np.where(side * force > 0, force, 0.0)
        place = np.where(borne != 0, side, np.clip(y, -1.0, 1.0))
        return np.asarray(self.input + self.push(place) - borne), borne


_OPTIONS = ("depth", "kT", "by", "duration")

register(
    Kind(
        "ising",
        Ising,
        LAW,
        "find the ground state of an Ising energy",
        "anneals the Ising energy with these couplings J",
        "Couplings J",
        matrices=("J",),
        vectors=("h",),
        values=_OPTIONS,
        optional=("h", *_OPTIONS),
    )
)

register(
    Kind(
        "qubo",
        QUBO,
        LAW,
        "minimise a quadratic function of bits",
        "anneals the quadratic function of bits with this matrix Q",
        "Matrix Q",
        matrices=("Q",),
        values=_OPTIONS,
        optional=_OPTIONS,
    )
)


register(
    Kind(
        "bounded-quadratic",
        BoundedQuadratic,
        LAW,
        "minimise a quadratic function within bounds",
        "minimises a quadratic function with this matrix A within bounds",
        "Matrix A",
        matrices=("A",),
        vectors=("b", "lower", "upper"),
        values=("wall", *_OPTIONS[1:]),
        optional=("wall", *_OPTIONS[1:]),
    )
)


def _corners(n: int) -> FloatArray:
    """(2^n, n) all states of n spins."""
    return np.asarray(((np.arange(2**n)[:, None] >> np.arange(n)) & 1) * 2.0 - 1.0, dtype=np.float64)


def _square(value: Any, what: str) -> FloatArray:
    if hasattr(value, "toarray"):
        value = value.toarray()
    matrix = numbers(value, what, (2,))
    if matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise InputError(f"{what} is {matrix.shape[0]} x {matrix.shape[1]}: it must be square")
    return matrix.copy()


def _pairs(value: Any, what: str) -> FloatArray:
    matrix = _square(value, what)
    gap = np.abs(matrix - matrix.T)
    if gap.max() > _SYMMETRY * np.abs(matrix).max():
        i, j = (int(k) for k in np.unravel_index(gap.argmax(), gap.shape))
        raise InputError(
            f"{what} is not symmetric: {matrix[i, j]:.6g} in row {i + 1}, column {j + 1}, and {matrix[j, i]:.6g} the "
            f"other way; give (M + M.T)/2"
        )
    return (matrix + matrix.T) / 2


def _names(variables: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if variables is None else check_names(variables, "a variable")


def _require_size(n: int, what: str = "J", **others: Any) -> None:
    for name, value in others.items():
        shape = shape_of(value)
        if shape and shape[0] != n:
            raise InputError(f"{name} has {shape[0]} entries, and {what} is {n} x {n}: give as many")
