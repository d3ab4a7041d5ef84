r"""Thermodynamic networks: units with a quartic potential, coupled bilinearly, in a bath.

Overdamped Langevin units

.. math::
    dx_i = -\mu\, \partial V / \partial x_i\, dt + \sqrt{2 \mu k T}\, dW_i, \qquad
    V = \sum_i (J_{2i} x_i^2 + J_{3i} x_i^3 + J_{4i} x_i^4 - I_i x_i + b_i x_i) + \sum_{i<j} J_{ij} x_i x_j

(Whitelam and Casert, arXiv 2412.17183). All is in problem units: x and kT without dimension, time
in units of one over the mobility. `spu.compiler` turns a network into a circuit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError
from spu.base.labels import take_names
from spu.base.names import check_names, shorten, suggest
from spu.problems.answers import LAW
from spu.problems.kinds import Document, Kind, ProblemFile, register
from spu.problems.matrix_files import read_matrix
from spu.problems.problem import FORMAT, Problem

__all__ = ["MOST_TOGETHER", "TASK", "ThermodynamicNetwork"]


TASK = "network"

_SYMMETRY = 1e-10

_POTENTIAL = ("J2", "J3", "J4")

_VECTORS = (*_POTENTIAL, "input", "bias")

_SCALARS = ("kT", "mobility")

FIELDS = ("units", *_VECTORS, "couplings", *_SCALARS, "reciprocal", "variables")

MOST_TOGETHER = 3
"""Units coupled to one another whose moments are still found by quadrature; more only where all is quadratic."""

_NEGLIGIBLE = 1e-18
"""Boltzmann factor, relative to the minimum's, that is left out."""

MAX_UNITS = 10_000
"""Most units of a network: the couplings are a dense matrix."""


@dataclass(frozen=True, eq=False, init=False)
class ThermodynamicNetwork(Problem):
    """A network of thermodynamic neurons.

    Parameters
    ----------
    J2, J3, J4 : (n,) array_like or scalar
        Coefficients of the potential of each unit.
    input, bias : (n,) array_like or scalar
        Fields ``I`` (enter as ``-I x``; a simulation may let them change in time) and ``b`` (``+b x``).
    couplings : (n, n) array_like or csr_array, optional
        ``J_ij`` with a zero diagonal; none unless given. Row i holds what acts on unit i.
    kT, mobility:
        Of the bath; kT >= 0.
    units:
        n, where everything else is a scalar.
    reciprocal:
        Whether the couplings derive from an energy. They must then be symmetric to 1e-10; without
        that there is no potential, no Boltzmann law and no heat.
    variables : sequence of str, optional
        Names; if None those of a DataFrame, Series or DataArray, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If numbers are not as said above, couplings declared reciprocal are not symmetric, or the
        potential does not confine the units.

    Attributes
    ----------
    J2, J3, J4, input, bias : (n,) ndarray
    couplings : (n, n) ndarray
        Read-only, as all arrays.

    Examples
    --------
    Two neurons that want the same sign, the first pulled upwards:

    >>> import spu
    >>> network = spu.ThermodynamicNetwork(J2=-1.0, J4=1.0, input=[0.5, 0.0], couplings=[[0.0, -0.4], [-0.4, 0.0]])
    >>> network.n, network.reciprocal
    (2, True)
    >>> mean, covariance = network.moments()
    >>> mean.round(3), covariance.shape
    (array([0.259, 0.053]), (2, 2))
    >>> network.force([0.5, 0.5]).round(3)
    array([1.2, 0.7])
    """

    J2: Annotated[FloatArray, "n"]
    J3: Annotated[FloatArray, "n"]
    J4: Annotated[FloatArray, "n"]
    input: Annotated[FloatArray, "n"]
    bias: Annotated[FloatArray, "n"]
    couplings: Annotated[FloatArray, "n n"]
    kT: float
    mobility: float
    reciprocal: bool
    variables: tuple[str, ...]

    task: ClassVar[str] = TASK

    factors: ClassVar[Any] = None
    """Of what is annealed: instants (k,), in the network's time, and factors then on couplings and on noise."""

    def __init__(
        self,
        J2: float | Annotated[ArrayLike, "n"] = 1.0,
        J3: float | Annotated[ArrayLike, "n"] = 0.0,
        J4: float | Annotated[ArrayLike, "n"] = 1.0,
        *,
        input: float | Annotated[ArrayLike, "n"] = 0.0,
        bias: float | Annotated[ArrayLike, "n"] = 0.0,
        couplings: Annotated[Any, "n n"] | None = None,
        kT: float = 1.0,
        mobility: float = 1.0,
        units: int | None = None,
        reciprocal: bool = True,
        variables: Iterable[str] | None = None,
    ) -> None:
        given: dict[str, Any] = {"J2": J2, "J3": J3, "J4": J4, "input": input, "bias": bias}
        variables, vectors = take_names(variables, ("couplings", couplings), *given.items())
        arrays = {key: numbers(value, key, (0, 1)) for key, value in zip(given, vectors, strict=True)}
        pairs = None if couplings is None else _matrix(couplings)
        names = None if variables is None else check_names(variables, "a variable")
        n = _size(arrays, pairs, units, names)
        for key, array in arrays.items():
            arrays[key] = np.array(np.broadcast_to(array, (n,)))
        pairs = np.zeros((n, n)) if pairs is None else pairs
        if not isinstance(reciprocal, bool):
            raise InputError(f"reciprocal must be true or false, not {shorten(reciprocal)}")
        kT, mobility = _scalar(kT, "kT"), _scalar(mobility, "mobility")
        if kT < 0:
            raise InputError(f"kT is {kT!r}: it must be 0 or more")
        if mobility <= 0:
            raise InputError(f"mobility is {mobility!r}: it must be positive")
        names = names or tuple(f"x{k}" for k in range(1, n + 1))
        _check_couplings(pairs, names, reciprocal)
        if reciprocal:
            pairs = (pairs + pairs.T) / 2
        arrays["couplings"] = pairs
        for key, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        scalars = {"kT": kT, "mobility": mobility, "reciprocal": reciprocal, "variables": names}
        for name, value in scalars.items():
            object.__setattr__(self, name, value)
        self._check_confined()

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.J2)

    @property
    def quadratic(self) -> bool:
        """Whether all forces are linear: the law is then Gaussian."""
        return not (self.J3.any() or self.J4.any())

    def _check_confined(self) -> None:
        """Refuse a potential that does not go to infinity in every direction.

        Units with J4 > 0 hold whatever bilinear coupling adds. Those with J4 = 0 must be held by
        the quadratic form that is left of the potential when all others stand still.
        """
        held = self.J4 > 0
        for what, wrong in (("J4 is negative", self.J4 < 0), ("J4 is 0 and J3 is not", ~held & (self.J3 != 0))):
            if wrong.any():
                raise InputError(
                    f"the potential of {self._list(wrong)} does not confine it: {what}, so V falls without bound; "
                    "give it J4 > 0, or J4 = J3 = 0 and a positive quadratic form"
                )
        loose = np.flatnonzero(~held)
        if not len(loose):
            return
        form = self.couplings[np.ix_(loose, loose)] + np.diag(2 * self.J2[loose])
        if self.reciprocal:
            values, vectors = np.linalg.eigh(form)
            lowest, direction = float(values[0]), vectors[:, 0]
        else:  # without an energy: the linear drift must come to rest
            values, vectors = np.linalg.eig(form)
            k = int(np.argmin(values.real))
            lowest, direction = float(values[k].real), np.abs(vectors[:, k])
        if lowest <= 1e-12 * max(1.0, float(np.abs(form).max())):
            weight = np.zeros(self.n, dtype=bool)
            weight[loose[np.abs(direction) > 0.3 * np.abs(direction).max()]] = True
            raise InputError(
                f"the potential does not confine {self._list(weight)}: without J4 the quadratic form "
                f"diag(2 J2) + couplings must be positive definite, and its lowest eigenvalue is {lowest:.4g}"
            )

    def _list(self, chosen: NDArray[np.bool_]) -> str:
        names = [self.variables[k] for k in np.flatnonzero(chosen)]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    # Forces and energies

    def energy(
        self, x: Annotated[ArrayLike, "*s n"], input: Annotated[ArrayLike, "... n"] | None = None
    ) -> Annotated[FloatArray, "*s"]:
        """V of states (..., n), in problem units (of kT); ``input`` (..., n) replaces the network's own.

        Raises
        ------
        InputError
            If the couplings are not reciprocal: there is no energy.
        """
        if not self.reciprocal:
            raise InputError("couplings that are not reciprocal have no energy")
        x = np.asarray(x, dtype=np.float64)
        field = self.bias - (self.input if input is None else np.asarray(input, dtype=np.float64))
        own = ((self.J4 * x + self.J3) * x + self.J2) * x + field
        return np.asarray((x * own).sum(axis=-1) + 0.5 * ((x @ self.couplings) * x).sum(axis=-1))

    def force(
        self, x: Annotated[ArrayLike, "*s n"], input: Annotated[ArrayLike, "... n"] | None = None
    ) -> Annotated[FloatArray, "*s n"]:
        """``-dV/dx`` of states (..., n), in problem units."""
        x = np.asarray(x, dtype=np.float64)
        field = self.bias - (self.input if input is None else np.asarray(input, dtype=np.float64))
        own = ((4 * self.J4 * x + 3 * self.J3) * x + 2 * self.J2) * x + field
        return np.asarray(-own - x @ self.couplings.T)

    def stiffness(self, x: Annotated[ArrayLike, "n"]) -> Annotated[FloatArray, "n n"]:
        """Second derivatives of V at one state (n,): (n, n)."""
        x = np.asarray(x, dtype=np.float64)
        return np.asarray(self.couplings + np.diag((12 * self.J4 * x + 6 * self.J3) * x + 2 * self.J2))

    def sped_up(self, factor: float) -> ThermodynamicNetwork:
        """The network whose energies and noise are both ``factor`` times larger: same answers, sooner.

        Parameters
        ----------
        factor:
            Positive. The equation is that of the same network with its mobility (not its
            temperature) times ``factor``: V -> factor V and kT -> factor kT (arXiv 2410.12211).
        """
        factor = _scalar(factor, "the speedup")
        if factor <= 0:
            raise InputError(f"the speedup is {factor!r}: it must be positive")
        return self._with(**{key: factor * getattr(self, key) for key in (*_VECTORS, "couplings", "kT")})

    def with_input(self, input: float | Annotated[ArrayLike, "n"]) -> ThermodynamicNetwork:
        """The same network at other inputs, (n,) or scalar."""
        return self._with(input=input)

    def with_bias(self, bias: float | Annotated[ArrayLike, "n"]) -> ThermodynamicNetwork:
        """The same forces with another share of bias, (n,) or scalar: the input moves along."""
        return self._with(bias=bias, input=self.input - self.bias + np.asarray(bias, dtype=np.float64))

    def _with(self, **changes: Any) -> ThermodynamicNetwork:
        keys = (*_VECTORS, "couplings", *_SCALARS, "reciprocal", "variables")
        return ThermodynamicNetwork(**{**{key: getattr(self, key) for key in keys}, **changes})

    def extent(self) -> Annotated[FloatArray, "n"]:
        """(n,) an estimate of how far out each unit is found: up to some thirty kT above the bottom of V."""
        return _size_of(self)

    # Exact statistics

    @cached_property
    def _components(self) -> list[NDArray[np.int64]]:
        count, labels = connected_components(csr_array(self.couplings != 0), directed=False)
        return [np.flatnonzero(labels == k) for k in range(count)]

    @property
    def groups(self) -> list[Annotated[IntArray, "_"]]:
        """Units that are coupled to one another, directly or through others."""
        return self._components

    def law(self, group: Annotated[IntArray, "d"]) -> tuple[Annotated[FloatArray, "m d"], Annotated[FloatArray, "m"]]:
        """States (m, d) and weights (m,), which add up to 1, whose averages are those of one of `groups`.

        Raises
        ------
        InputError
            As `moments`, for groups of more than `MOST_TOGETHER`.
        """
        if not self.reciprocal or len(group) > MOST_TOGETHER:
            self._require_solvable()
        return self._quadrature(group)[:2]

    def convexity(self) -> float:
        """A lower bound of the curvature of V in every direction and at every state; negative where there may be wells.

        Times the mobility it bounds the slowest rate at which an overdamped network comes to equilibrium
        (Bakry and Emery, 1985).
        """
        dip = np.where(self.J4 > 0, 0.75 * self.J3**2 / np.where(self.J4 > 0, self.J4, 1.0), 0.0)
        form = (self.couplings + self.couplings.T) / 2 + np.diag(2 * self.J2 - dip)
        return float(np.linalg.eigvalsh(form)[0])

    @property
    def solvable(self) -> bool:
        """Whether `moments` knows the stationary law."""
        largest = max(len(each) for each in self._components)
        return self.reciprocal and (self.quadratic or largest <= MOST_TOGETHER)

    def moments(self) -> tuple[Annotated[FloatArray, "n"], Annotated[FloatArray, "n n"]]:
        """Stationary mean (n,) and covariance (n, n), exact.

        By quadrature over each group of at most `MOST_TOGETHER` coupled units, and in closed form
        where everything is quadratic. At kT = 0 the (deepest) minimum and no spread.

        Raises
        ------
        InputError
            Where neither is possible; ask `solvable`.
        """
        self._require_solvable()
        if self.quadratic:
            form = self.couplings + np.diag(2 * self.J2)
            inverse = np.linalg.inv(form)
            return inverse @ (self.input - self.bias), self.kT * (inverse + inverse.T) / 2
        mean, covariance = np.zeros(self.n), np.zeros((self.n, self.n))
        for group in self._components:
            nodes, weights, _ = self._quadrature(group)
            mean[group] = weights @ nodes
            deviation = nodes - mean[group]
            covariance[np.ix_(group, group)] = (deviation * weights[:, None]).T @ deviation
        return mean, covariance

    def exact_moments(self) -> tuple[Annotated[FloatArray, "n"], Annotated[FloatArray, "n n"]] | None:
        """`moments`; None where they are not known."""
        return self.moments() if self.solvable else None

    def central_moments(self, order: int = 4) -> Annotated[FloatArray, "orders n"]:
        """Stationary central moments of each unit, orders 2 to ``order``: (order - 1, n). As `moments`."""
        found = np.zeros((order - 1, self.n))
        mean, covariance = self.moments()
        if self.quadratic:
            variance = np.diag(covariance)
            factors = [1.0, 0.0]  # (k - 1)!! for even k
            for k in range(2, order + 1):
                factors.append(factors[k - 2] * (k - 1))
                found[k - 2] = factors[k] * variance ** (k / 2)
            return found
        for group in self._components:
            nodes, weights, _ = self._quadrature(group)
            for k in range(2, order + 1):
                found[k - 2, group] = weights @ (nodes - mean[group]) ** k
        return found

    def free_energy(self) -> float:
        """``-kT ln(integral of exp(-V/kT))``, exact, in problem units; at kT = 0 the lowest V. As `moments`."""
        self._require_solvable()
        if self.quadratic:
            form = self.couplings + np.diag(2 * self.J2)
            field = self.input - self.bias
            lowest = -0.5 * float(field @ np.linalg.solve(form, field))
            if self.kT == 0:
                return lowest
            return lowest + 0.5 * self.kT * float(np.linalg.slogdet(form / (2 * np.pi * self.kT))[1])
        return sum(self._quadrature(group)[2] for group in self._components)

    def quantiles(self, probabilities: Annotated[FloatArray, "m n"]) -> Annotated[FloatArray, "m n"]:
        """States (m, n) of the stationary law from uniform numbers (m, n) between 0 and 1.

        Of a unit that is coupled to none, the inverse of its distribution function; of coupled quadratic
        units, Gaussian. At kT = 0 the minimum.

        Raises
        ------
        InputError
            For other coupled units, and couplings that are not reciprocal.
        """
        from scipy.special import ndtri

        self._require_solvable()
        if self.quadratic:
            mean, covariance = self.moments()
            values, vectors = np.linalg.eigh(covariance)
            return np.asarray(mean + (ndtri(probabilities) * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
        x = np.empty_like(probabilities)
        for group in self._components:
            if len(group) > 1:
                names = self._list(np.isin(np.arange(self.n), group))
                raise InputError(
                    f"{names} are coupled and not quadratic: their stationary law is not drawn from; "
                    "let the network run into equilibrium"
                )
            nodes, weights, _ = self._quadrature(group)
            centres = np.cumsum(weights) - weights / 2  # trapezoids: half a node's weight lies on either side
            x[:, group[0]] = np.interp(probabilities[:, group[0]], centres, nodes[:, 0])
        return x

    def _require_solvable(self) -> None:
        if not self.reciprocal:
            raise InputError("couplings that are not reciprocal have no Boltzmann law; simulate the network")
        largest = max(len(group) for group in self._components)
        if largest > MOST_TOGETHER and not self.quadratic:
            raise InputError(
                f"{largest} units are coupled and not quadratic: their moments are known exactly for at most "
                f"{MOST_TOGETHER}; simulate the network"
            )

    def _quadrature(self, group: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, float]:
        """Nodes (m, d), normalised Boltzmann weights (m,) of the group's law, and its free energy.

        The trapezoid rule of an analytic function that dies out at both ends converges faster than
        any power of the step. The box is grown until nothing is left on its faces, then narrowed to
        where the weight lies.
        """
        part = ThermodynamicNetwork(
            **{key: getattr(self, key)[group] for key in _VECTORS},
            couplings=self.couplings[np.ix_(group, group)],
            kT=self.kT,
        )
        d = part.n
        centre = _minimum(part)
        if self.kT == 0:
            return centre[None, :], np.ones(1), float(part.energy(centre))
        lowest = float(part.energy(centre))
        points = {1: 1001, 2: 201, 3: 65}[d]
        reach = _size_of(part)
        low, high = centre - reach, centre + reach
        for narrowing in range(40):
            axes = [np.linspace(low[k], high[k], points) for k in range(d)]
            nodes = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
            weights = np.exp(np.minimum(-(part.energy(nodes) - lowest) / self.kT, 50.0)).reshape([points] * d)
            faces = [np.moveaxis(weights, k, 0)[[0, -1]].max() for k in range(d)]
            if max(faces) > _NEGLIGIBLE:
                low, high = centre - 1.5 * (centre - low), centre + 1.5 * (high - centre)
                continue
            before = high - low
            for k, axis in enumerate(axes):
                marginal = weights.max(axis=tuple(j for j in range(d) if j != k))
                inside = np.flatnonzero(marginal > _NEGLIGIBLE)
                if not len(inside):  # narrower than a step of this grid
                    inside = np.array([np.abs(axis - centre[k]).argmin()])
                low[k], high[k] = axis[max(0, inside[0] - 1)], axis[min(points - 1, inside[-1] + 1)]
            if ((high - low) > 0.7 * before).all() and narrowing:
                break
        volume = float(np.prod([axis[1] - axis[0] for axis in axes]))
        free = lowest - self.kT * float(np.log(weights.sum() * volume))
        return nodes, weights.ravel() / weights.sum(), free

    # The file

    def posed(self) -> dict[str, Any]:
        """As of all problems; couplings stand after the potentials, in files and so in the hash of a device."""
        given = super().posed()
        return {key: given[key] for key in ("format", "task", "variables", *_VECTORS, "couplings")} | given

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], file: str | Path | None = None) -> ThermodynamicNetwork:
        """Restore a network from what `to_dict` gave; errors name ``file``.

        Raises
        ------
        InputError
            If the dictionary is not a valid network.
        """
        known = ("format", "task", *FIELDS)
        for key in data:
            if key not in known:
                raise InputError(f"unknown key {shorten(key)}; {suggest(key, known)}", file=file)
        if data.get("format") != FORMAT or data.get("task") != TASK:
            raise InputError(f'a network has "format": "{FORMAT}" and "task": "{TASK}"', file=file)
        try:
            return cls(**{key: data[key] for key in FIELDS if key in data})
        except InputError as error:
            raise InputError(error.message, file=file) from None

    @classmethod
    def from_document(cls, document: Document) -> ProblemFile:
        """Read a network from a ``.toml`` file; see `spu.problems.network_files.load_network`.

        Raises
        ------
        InputError
            With the line where known.
        """
        known = ("task", *FIELDS, "hardware", "architecture")
        values = document.values
        for key in values:
            if key not in known:
                raise document.refuse(f"unknown key {shorten(key)}; {suggest(key, known)}", key)
        if values.get("task") != TASK:
            raise document.refuse(f'task is {shorten(values.get("task"))}: a network has task = "{TASK}"', "task")
        hardware, architecture = document.hardware(), document.name("architecture")
        given = {key: values[key] for key in values if key in FIELDS}
        if isinstance(given.get("couplings"), str):
            try:
                given["couplings"] = read_matrix(document.path.parent / given["couplings"])
            except InputError as error:
                message = f"couplings = {shorten(values['couplings'])}: {error.message}"
                raise document.refuse(message, "couplings") from None
        try:
            return ProblemFile(cls(**given), hardware, architecture)
        except InputError as error:
            named = next((key for key in given if error.message.startswith(f"{key} ")), "")
            raise document.refuse(error.message, named) from None

    def __repr__(self) -> str:
        return f"ThermodynamicNetwork(n={self.n}, kT={self.kT:g})"


register(
    Kind(
        TASK,
        ThermodynamicNetwork,
        LAW,
        "run a thermodynamic network",
        matrices=("couplings",),
        vectors=_VECTORS,
        values=(*_SCALARS, "reciprocal"),
        read=ThermodynamicNetwork.from_document,
        restore=ThermodynamicNetwork.from_dict,
    )
)


def thermodynamic(problem: Problem | None) -> ThermodynamicNetwork | None:
    """The problem, if it is a thermodynamic network, else None: what nonlinear cells may be compared with."""
    return problem if isinstance(problem, ThermodynamicNetwork) else None


def _size(arrays: dict[str, FloatArray], pairs: FloatArray | None, units: Any, names: tuple[str, ...] | None) -> int:
    """The one number of units that everything given agrees on."""
    sizes = {key: len(array) for key, array in arrays.items() if array.ndim}
    if pairs is not None:
        sizes["couplings"] = len(pairs)
    if names is not None:
        sizes["variables"] = len(names)
    if units is not None:
        if isinstance(units, bool) or not isinstance(units, (int, np.integer)) or units < 1:
            raise InputError(f"units is {shorten(units)}: it must be a whole number, 1 or more")
        sizes["units"] = int(units)
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{key} {size}" for key, size in sizes.items())
        raise InputError(f"the number of units is not the same everywhere: {said}")
    n = next(iter(sizes.values()), 1)
    if not 1 <= n <= MAX_UNITS:
        raise InputError(f"a network of {n} units: 1 to {MAX_UNITS} are taken")
    return n


def numbers(value: Any, what: str, dimensions: tuple[int, ...]) -> FloatArray:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} is {shorten(value)}: it must be a number or a list of numbers") from None
    if array.ndim not in dimensions:
        raise InputError(f"{what} has {array.ndim} dimensions, not {' or '.join(map(str, dimensions))}")
    if not np.isfinite(array).all():
        raise InputError(f"{what} must be finite")
    if np.abs(array).max(initial=0.0) > 1e30:
        raise InputError(f"{what} is beyond 1e30")
    return array


def _scalar(value: Any, what: str) -> float:
    return float(numbers(value, what, (0,)))


def _matrix(value: Any) -> FloatArray:
    if hasattr(value, "toarray"):
        value = value.toarray()
    array = numbers(value, "couplings", (2,))
    if array.shape[0] != array.shape[1]:
        raise InputError(f"couplings is {array.shape[0]} x {array.shape[1]}: it must be square")
    return array


def _check_couplings(pairs: FloatArray, names: tuple[str, ...], reciprocal: bool) -> None:
    own = np.flatnonzero(np.diag(pairs))
    if len(own):
        raise InputError(f"couplings couples {names[own[0]]} to itself: its own quadratic term is J2")
    if not reciprocal:
        return
    gap = np.abs(pairs - pairs.T)
    if gap.max(initial=0.0) > _SYMMETRY * np.abs(pairs).max(initial=0.0):
        i, j = (int(k) for k in np.unravel_index(gap.argmax(), gap.shape))
        raise InputError(
            f"couplings are declared reciprocal but J({names[i]}, {names[j]}) = {pairs[i, j]:.6g} and "
            f"J({names[j]}, {names[i]}) = {pairs[j, i]:.6g}: make them equal, or say reciprocal = false "
            "(there is then no energy and no Boltzmann law)"
        )


def _minimum(network: ThermodynamicNetwork) -> FloatArray:
    """The deepest minimum of V of a few units, (n,)."""
    from scipy.optimize import minimize

    n = network.n
    if n == 1:
        field = network.bias[0] - network.input[0]
        roots = np.roots([4 * network.J4[0], 3 * network.J3[0], 2 * network.J2[0], field])
        still = np.append(roots[np.abs(roots.imag) < 1e-6 * (1 + np.abs(roots))].real, 0.0)
        return still[[int(np.argmin(network.energy(still[:, None])))]]
    # From each corner of the box where the units may be found, and from its middle.
    signs = np.array([*np.ndindex(*[2] * n)]) * 2.0 - 1.0
    starts = [np.zeros(n), *(_size_of(network) / 4 * corner for corner in signs)]

    def energy(x: FloatArray) -> float:
        return float(network.energy(x))

    def slope(x: FloatArray) -> FloatArray:
        return -network.force(x)

    found = [minimize(energy, start, jac=slope, method="BFGS") for start in starts]
    return np.asarray(min(found, key=lambda each: each.fun).x)


def _size_of(network: ThermodynamicNetwork) -> FloatArray:
    """(n,) an estimate of how far out units may be found: where what confines outweighs what pulls outwards."""
    pull = np.abs(network.input - network.bias)
    tie = np.abs(network.couplings).sum(axis=1)
    quartic = network.J4 > 0
    own = np.where(quartic, network.J4, np.maximum(network.J2, 1e-3 * tie))
    own = np.where(own > 0, own, 1.0)
    soft = np.maximum(tie / 2 - network.J2, 0.0)
    of_quartic = np.cbrt(pull / own) + np.sqrt(soft / own) + np.abs(network.J3) / own + (30 * network.kT / own) ** 0.25
    of_quadratic = pull / own + np.sqrt(30 * network.kT / own)
    return np.asarray(2.0 * np.where(quartic, of_quartic, of_quadratic) + 1e-6)
