r"""Linear systems whose matrix need not be symmetric, definite or square: two ways, and what each costs.

A linear device comes to rest where its drift vanishes. Of any matrix A (m, n) of full column rank

- the *embedding* has m residual cells r beside n variables x,

  .. math:: \dot r = b - A x - s r, \qquad \dot x = A^T r,

  which rest at :math:`A^T r = 0`: x is the least-squares solution, :math:`s r` what it leaves over. The eigenvalues of
  the drift are :math:`\tfrac12 (s \pm \sqrt{s^2 - 4 \sigma^2})` for each singular value :math:`\sigma` (and s): the
  condition of A itself decides, not its square, at the cost of m more cells;
- the *normal equations* :math:`A^T A x = A^T b` are those of a quadratic energy, on n cells, with the square of the
  condition (`LeastSquares`).

Where A is square and all its eigenvalues are on one side of the imaginary axis it is a drift itself, and n cells do
(*direct*): :math:`\dot x = b - A x`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.choice import without_rounding
from spu.base.errors import InputError
from spu.base.labels import take_columns
from spu.base.names import shorten, suggest
from spu.base.numbers import plural
from spu.problems.answers import MEAN
from spu.problems.definite import Definite, real_matrix, real_vector, variable_names
from spu.problems.drift import MAX_DRIFT, DriftProblem
from spu.problems.kinds import Kind, register
from spu.problems.problem import QuadraticProblem

__all__ = ["GeneralSystem", "LeastSquares", "WayCost"]

METHODS = ("direct", "embedding")

NOISE = 0.1
"""Standard deviation of the noise by default, of the root mean square of the solution."""

_NEAR_CRITICAL = 0.95
"""Of the critical damping of the slowest mode: what is taken."""

_WORTH = 4.0
"""So many times slower the direct way may be than an embedding of twice the cells."""


@dataclass(frozen=True)
class WayCost:
    """What a way to solve a system costs.

    Attributes
    ----------
    cells : int
        How many there are.
    condition : float
        Of the matrix that the device holds, in the 2-norm.
    slowest : float
        The longest time constant, in units of that of its strongest coupling (or own part): so many times slower than
        the fastest part it settles, whatever the hardware. Infinite where the way is none.
    """

    cells: int
    condition: float
    slowest: float


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GeneralSystem(DriftProblem):
    r"""Solve :math:`A x = b` for any nonsingular A, or in the sense of least squares, as the mean of a device at rest.

    Parameters
    ----------
    matrix : (m, n) array_like or sparse
        A; square and nonsingular, or m > n and of full column rank.
    vector : (m,) array_like
        b; one column (m, 1) or one row (1, m) is also taken.
    method : {"direct", "embedding"}, optional
        ``direct`` needs a square matrix with all eigenvalues on one side of the imaginary axis. Unless given it is
        ``direct`` where that is possible and not four times slower than the embedding, which has twice the cells.
    damping : float, optional
        s of the embedding; unless given 1.9 times the smallest singular value (see the notes).
    noise : float
        Standard deviation of what drives x about the solution, on average over x, of the root mean square of the
        solution (of 1, where that is zero). 0 for none: then a device is at its answer when it has settled.
    variables : sequence of str, optional
        Names of the n unknowns; if None those of a DataFrame's or DataArray's columns, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above; of a singular or rank-deficient matrix with its smallest singular value.

    Attributes
    ----------
    method : str
        Which was taken.
    damping : float or None
        s; None of the direct way.
    ways : dict of str to WayCost
        What the ways that there are would cost: ``direct`` (of square matrices), ``embedding``, and the normal
        equations of `LeastSquares`.

    Notes
    -----
    Of the embedding all eigenvalues at s have the real part ``s / 2``, but for singular values below ``s / 2``: these
    are overdamped, and the slower of their two is ``(s - sqrt(s^2 - 4 sigma^2)) / 2 < sigma``. The least real part is
    therefore largest at ``s = 2 sigma_min``, where it is ``sigma_min``. Two modes are one there, and move with the root
    of what parts are off; so s is a twentieth less, and the slowest time constant ``1.05 / sigma_min``.

    Noise is injected into residual cells, with the density ``2 s`` that makes all covariances multiples of 1 (of x and
    r alike, as the drift but for s is skew). The mean over a time T then has the variance ``2 s (A^T A)^-1 / T`` of
    that: less damping averages better, and settles slower. s is also the conductance of a residual cell, about ``2 /
    condition`` of the strongest coupling: where a hardware's range of conductances is too small for that, a larger
    ``damping`` fits, and is slower by ``s / sigma_min``, about.

    Examples
    --------
    >>> import spu
    >>> problem = spu.GeneralSystem([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0])
    >>> problem.method, problem.names, problem.target_mean
    ('embedding', ('r1', 'r2', 'x1', 'x2'), array([2., 1.]))
    >>> spu.GeneralSystem([[2.0, -1.0], [1.0, 1.0]], [1.0, 2.0]).method
    'direct'
    >>> spu.predict(spu.compile_problem(problem).device).mean.round(6)
    array([2., 1.])
    """

    matrix: Annotated[FloatArray, "m n"]
    vector: Annotated[FloatArray, "m"]
    method: str
    damping: float | None
    noise: float
    variables: tuple[str, ...]
    ways: dict[str, WayCost]

    task: ClassVar[str] = "general-linear"

    def __init__(
        self,
        matrix: Annotated[Any, "m n"],
        vector: Annotated[Any, "m"],
        method: str | None = None,
        damping: float | None = None,
        noise: float = NOISE,
        variables: Iterable[str] | None = None,
    ) -> None:
        given = _Given.of(matrix, vector, variables)
        A, b, names, sigma = given.matrix, given.vector, given.variables, given.singular
        m, n = A.shape
        if m + n > MAX_DRIFT:
            raise InputError(f"the matrix is {m} × {n}: m + n may be {MAX_DRIFT} at most")
        if method is not None and method not in METHODS:
            raise InputError(f"no method {shorten(method)}; {suggest(method, METHODS)}")
        s = _NEAR_CRITICAL * 2.0 * float(sigma[-1]) if damping is None else _number(damping, "the damping")
        if not s > 0:
            raise InputError(f"the damping is {s:.6g}: it must be positive")
        loud = _number(noise, "the noise")
        if loud < 0:
            raise InputError(f"the noise is {loud:.6g}: it must not be negative")
        rates: FloatArray = np.asarray(la.eigvals(A).real if m == n else np.zeros(1), dtype=np.float64)
        sign = 1.0 if rates.sum() > 0 else -1.0
        one_sided = float((sign * rates).min())
        ways = _ways(A, sigma, s, one_sided)
        if method == "direct" and "direct" not in ways:
            raise InputError(_NOT_DIRECT[m == n])
        if method == "embedding" or damping is not None or "direct" not in ways:
            if method == "direct":
                raise InputError("the damping is that of an embedding: leave it out with method 'direct'")
            chosen = "embedding"
        else:
            slower = ways["direct"].slowest > _WORTH * ways["embedding"].slowest
            chosen = "embedding" if slower and method is None else "direct"
        size = float(np.sqrt(np.mean(given.solution**2))) or 1.0
        self._set(matrix=A, vector=b, variables=names, method=chosen, noise=loud, ways=ways)
        self._set(damping=s if chosen == "embedding" else None)
        if chosen == "direct":
            self._direct(sign * A, sign * b, (loud * size) ** 2)
        else:
            self._embedded(s, (loud * size) ** 2)
        self._set(condition=float(sigma[0] / sigma[-1]), target_mean=given.solution)

    def _direct(self, M: FloatArray, f: FloatArray, variance: float) -> None:
        """``dx = (f - M x) dt + noise``, white and the same in all, of this average variance of x."""
        unit = la.solve_continuous_lyapunov(M, np.eye(len(M)))
        Q = variance / float(np.trace(unit) / len(M)) * np.eye(len(M))
        self._set_drift(M, Q, force=f, what="the matrix")

    def _embedded(self, s: float, variance: float) -> None:
        """Residuals and variables, with noise on residuals only: both have the covariance ``variance`` times 1."""
        m, n = self.matrix.shape
        M = np.block([[s * np.eye(m), self.matrix], [-self.matrix.T, np.zeros((n, n))]])
        prefix = "r"
        while any(name.lower().startswith(prefix) and name[len(prefix) :].isdigit() for name in self.variables):
            prefix += "r"
        self._set_drift(
            M,
            np.diag(np.repeat([2.0 * s * variance, 0.0], [m, n])),
            force=np.concatenate([self.vector, np.zeros(n)]),
            reads=np.hstack([np.zeros((n, m)), np.eye(n)]),
            names=[*(f"{prefix}{k}" for k in range(1, m + 1)), *self.variables],
            covariance=variance * np.eye(m + n),
        )

    def choices(self) -> dict[str, Any]:
        """The method, its damping, and what all ways cost."""
        return {
            "way": self.method,
            "damping": self.damping,
            "ways": {name: asdict(way) for name, way in self.ways.items()},
        }

    def facts(self) -> list[tuple[str, str]]:
        """The method, and what it costs beside the others."""
        own = self.ways[self.method]
        others = [f"{_WAYS[name]}: {_said(way)}" for name, way in self.ways.items() if name != self.method]
        damped = "" if self.damping is None else f", damped by {self.damping:.4g}"
        said = f"{_WAYS[self.method]}{damped}: {_said(own)} of its strongest part's; {'; '.join(others)}"
        return [("way", said)]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class LeastSquares(QuadraticProblem):
    r"""Minimise :math:`|A x - b|`, as the mean of samples from :math:`N(x, (A^T A)^{-1})`: the normal equations.

    The device holds :math:`A^T A`, whose condition is the square of that of A, on n cells that need not be active;
    `GeneralSystem` has an embedding of m + n cells that keeps the condition.

    Parameters
    ----------
    design : (m, n) array_like or sparse
        A; of full column rank.
    vector : (m,) array_like
        b; one column (m, 1) or one row (1, m) is also taken.
    variables : sequence of str, optional
        Names of the n unknowns; if None those of a DataFrame's or DataArray's columns, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above, or the square of the condition is beyond double precision.

    Attributes
    ----------
    matrix : (n, n) ndarray
        ``A^T A``.
    design_condition : float
        Of A; ``condition`` is its square.

    Examples
    --------
    >>> import spu
    >>> problem = spu.LeastSquares([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 2.0, 4.0])
    >>> problem.target_mean.round(4)
    array([0.8333, 1.5   ])
    >>> spu.predict(spu.compile(problem)).mean.round(4)
    array([0.8333, 1.5   ])
    """

    design: Annotated[FloatArray, "m n"]
    vector: Annotated[FloatArray, "m"]
    variables: tuple[str, ...]
    design_condition: float

    task: ClassVar[str] = "least-squares"

    def __init__(
        self, design: Annotated[Any, "m n"], vector: Annotated[Any, "m"], variables: Iterable[str] | None = None
    ) -> None:
        given = _Given.of(design, vector, variables)
        A, sigma = given.matrix, given.singular
        condition = float(sigma[0] / sigma[-1])
        if condition**2 * len(sigma) * np.finfo(float).eps > 1e-2:
            raise InputError(
                f"the condition {condition:.3g} of the matrix, squared, is beyond double precision: the normal "
                'equations are singular; spu.GeneralSystem (task "general-linear") does not square it'
            )
        try:
            self._set_definite(Definite.check(A.T @ A, "the matrix of the normal equations", given.variables))
        except InputError as error:
            raise InputError(f"{error.message} (the singular values are {sigma[0]:.3g} to {sigma[-1]:.3g})") from error
        self._set(design=A, vector=given.vector, design_condition=condition, target_mean=given.solution)

    @property
    def right_side(self) -> Annotated[FloatArray, "n"]:
        """(n,) vector ``A^T b``; entries that are only rounding are zero."""
        A, b = self.design, self.vector
        return without_rounding(A.T @ b, np.abs(A.T) @ np.abs(b), len(A))

    def choices(self) -> dict[str, Any]:
        """What the normal equations do to the condition."""
        return {"design_condition": self.design_condition}

    def facts(self) -> list[tuple[str, str]]:
        """The same in words."""
        m, n = self.design.shape
        return [
            (
                "way",
                f"normal equations of {plural(m, 'row')}: {plural(n, 'cell')}, condition "
                f"{self.design_condition:.3g} squared (an embedding, spu.GeneralSystem, has {m + n} cells and does not "
                "square it)",
            )
        ]


_NOT_DIRECT = {
    True: "the method 'direct' needs a matrix whose eigenvalues are all on one side of the imaginary axis, and these "
    "are on both: take 'embedding'",
    False: "the method 'direct' needs a square matrix: take 'embedding'",
}

_WAYS = {
    "direct": "directly",
    "embedding": "by embedding",
    "normal equations": "by normal equations (spu.LeastSquares)",
}


def _said(way: WayCost) -> str:
    return f"{plural(way.cells, 'cell')}, condition {way.condition:.3g}, slowest time constant {way.slowest:.3g}"


@dataclass(frozen=True)
class _Given:
    """A matrix (m, n) of full column rank, a vector (m,), names (n,), singular values (n,), and the solution (n,)."""

    matrix: FloatArray
    vector: FloatArray
    variables: tuple[str, ...]
    singular: FloatArray
    solution: FloatArray

    @classmethod
    def of(cls, matrix: Any, vector: Any, variables: Iterable[str] | None) -> _Given:
        """Check them."""
        names, vector = take_columns(variables, ("the matrix", matrix), ("the vector", vector))
        A = real_matrix(matrix, "the matrix")
        m, n = A.shape
        if m < n:
            raise InputError(
                f"the matrix is {m} × {n}: with fewer equations than unknowns there is no one solution; it must have "
                f"at least {n} rows"
            )
        found = variable_names(names, n, "columns")
        b = real_vector(vector, "the vector", tuple(f"row {k}" for k in range(1, m + 1)))
        with np.errstate(over="ignore", invalid="ignore"):
            u, sigma, v = la.svd(A, full_matrices=False)
            least = m * float(np.finfo(float).eps) * float(sigma[0])
            if not sigma[-1] > least:
                what = "singular" if m == n else "rank-deficient"
                raise InputError(
                    f"the matrix is {what} to working precision: its smallest singular value is {sigma[-1]:.3g}, the "
                    f"largest {sigma[0]:.3g}, and it must exceed {least:.2g}"
                )
            x = v.T @ ((u.T @ b) / sigma)
        if not np.isfinite(x).all():
            raise InputError("the solution of the linear system leaves the range of floating point")
        return cls(A, b, found, sigma, x)


def _ways(A: FloatArray, sigma: FloatArray, s: float, one_sided: float) -> dict[str, WayCost]:
    """What the ways that there are cost; ``one_sided`` is the least distance of an eigenvalue from the axis."""
    m, n = A.shape
    largest, condition = float(np.abs(A).max()), float(sigma[0] / sigma[-1])
    least = float(sigma[-1])
    slow = s / 2.0 if s <= 2.0 * least else 2.0 * least**2 / (s + np.sqrt(s**2 - 4.0 * least**2))
    found = {}
    if one_sided > n * np.finfo(float).eps * float(sigma[0]):
        found["direct"] = WayCost(n, condition, largest / one_sided)
    found["embedding"] = WayCost(m + n, condition, max(largest, s) / slow)
    found["normal equations"] = WayCost(n, condition**2, float(np.abs(A.T @ A).max()) / least**2)
    return found


def _number(value: Any, what: str) -> float:
    good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not good or not np.isfinite(value):
        raise InputError(f"{what} is {shorten(value)}: it must be a finite number")
    return float(value)


register(
    Kind(
        "general-linear",
        GeneralSystem,
        MEAN,
        "solve a linear system of any matrix",
        "solves A x = b (x is at rest where A x - b vanishes, or is least) with this matrix A",
        vectors=("vector",),
        values=("method", "damping", "noise"),
        optional=("method", "damping", "noise"),
        beside="vector",
    )
)
register(
    Kind(
        "least-squares",
        LeastSquares,
        MEAN,
        "solve a least-squares problem",
        "minimises |A x - b| by its normal equations, of this matrix A^T A (the mean of x solves them)",
        "Matrix of the normal equations",
        matrices=("design",),
        vectors=("vector",),
    )
)
