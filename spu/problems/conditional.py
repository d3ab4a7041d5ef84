r"""Conditional laws: some variables of a Gaussian, or of a linear system, are held at given values.

With f the free variables and c the held ones of a quadratic energy of matrix :math:`A` and right-hand side :math:`b`,

.. math:: x_f \mid x_c \sim N(A_{ff}^{-1} (b_f - A_{fc} x_c),\; A_{ff}^{-1}).

A device holds a variable by a voltage source at its cell (`spu.device.clamping`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from numbers import Real
from typing import Annotated, Any, ClassVar, cast

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import AnyMatrix, FloatArray, IntArray
from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.base.sparse import canonical
from spu.problems.answers import COVARIANCE, MEAN
from spu.problems.gaussian import GaussianSampling, LinearSystem, MatrixInverse
from spu.problems.kinds import Kind, register
from spu.problems.problem import LinearProblem, Problem, QuadraticProblem

__all__ = ["ConditionalGaussian", "ConditionalProblem", "ConditionalSystem", "checked_held", "conditional"]


class ConditionalProblem(LinearProblem):
    """What conditional problems have in common.

    Attributes
    ----------
    whole : QuadraticProblem
        The problem without anything held.
    held : dict
        Variables that are held, to their values, in the order of ``variables``.
    free : (k,) ndarray
        Indices of the others, rising.
    target_mean : (n,) ndarray
        Of all variables; those held have their values.
    target_covariance : (n, n) ndarray or csr_array
        Rows and columns of what is held are zero.
    condition : float
        Of the free variables' part of the matrix.

    The others are those of `LinearProblem`.
    """

    whole: QuadraticProblem
    free: Annotated[IntArray, "k"]
    _held: tuple[tuple[str, float], ...]
    _part: QuadraticProblem

    @property
    def held(self) -> dict[str, float]:
        """Variables that are held, to their values."""
        return dict(self._held)

    @property
    def sparse(self) -> bool:
        """Whether matrices are sparse."""
        return self.whole.sparse

    @cached_property
    def target_covariance(self) -> Annotated[AnyMatrix, "n n"]:
        """(n, n) covariance; rows and columns of what is held are zero."""
        n, part = self.n, self._part.target_covariance
        found: AnyMatrix
        if self.sparse:
            inner = sp.coo_array(part)
            found = canonical(sp.coo_array((inner.data, (self.free[inner.row], self.free[inner.col])), shape=(n, n)))
            found.data.setflags(write=False)
            return found
        found = np.zeros((n, n))
        found[np.ix_(self.free, self.free)] = part.toarray() if sp.issparse(part) else part
        found.setflags(write=False)
        return found

    def _set_held(self, whole: QuadraticProblem, held: Any, centre: FloatArray | None) -> None:
        """Assign what follows of a problem, of what is held, and of a mean that is known without solving for it."""
        values = checked_held(held, whole.variables)
        names = whole.variables
        where = np.array([names.index(name) for name in values], dtype=np.int64)
        free = np.setdiff1d(np.arange(len(names)), where)
        A, x = canonical(whole.matrix), np.array(list(values.values()))
        # About a known mean the shift is small where the values held are close to it, and so is its rounding.
        b = whole.right_side[free] if centre is None else np.zeros(len(free))
        pull = b - A[free][:, where] @ (x if centre is None else x - centre[where])
        inner = A[free][:, free]
        part = LinearSystem(inner if whole.sparse else inner.toarray(), pull, [names[k] for k in free])
        mean = np.zeros(len(names))
        mean[where] = x
        mean[free] = part.target_mean if centre is None else centre[free] + part.target_mean
        self._set(
            whole=whole,
            free=free,
            _held=tuple(values.items()),
            _part=part,
            variables=names,
            matrix=whole.matrix,
            condition=part.condition,
            target_mean=mean,
        )


def checked_held(held: Any, variables: Iterable[str]) -> dict[str, float]:
    """Variables and the values at which they are held, in the order of ``variables``.

    Raises
    ------
    InputError
        If it is no mapping of some, and not all, of the variables to finite numbers.
    """
    names = tuple(variables)
    if not isinstance(held, Mapping) or not held:
        raise InputError(f"held is {shorten(held)}: it must be variables and their values, such as {{{names[0]}: 0.5}}")
    found: dict[str, float] = {}
    for name, value in held.items():
        if name not in names:
            raise InputError(f"held: there is no variable {shorten(name)}; {suggest(name, names[:9])}")
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise InputError(f"held: {name} is {shorten(value)}: it must be a finite number")
        found[name] = float(value)
    if len(found) == len(names):
        raise InputError("held: these are all variables: nothing is left that moves")
    return {name: found[name] for name in names if name in found}


class ConditionalGaussian(ConditionalProblem):
    r"""Sample a Gaussian some of whose variables are held.

    Parameters
    ----------
    precision, covariance, mean, variables
        Of the whole Gaussian, as `GaussianSampling` takes them.
    held : mapping of str to float
        Some of the variables, not all, and where they are held.

    Raises
    ------
    InputError
        If anything is not as said above.

    Examples
    --------
    >>> import spu
    >>> problem = spu.ConditionalGaussian(covariance=[[2.0, 1.0], [1.0, 1.0]], mean=[0.0, 3.0], held={"x2": 5.0})
    >>> problem.target_mean, problem.target_covariance.round(9)
    (array([2., 5.]), array([[1., 0.],
           [0., 0.]]))
    >>> spu.predict(spu.compile(problem)).mean.round(9)
    array([2., 5.])
    """

    precision: Annotated[AnyMatrix, "n n"] | None
    covariance: Annotated[FloatArray, "n n"] | None
    mean: Annotated[FloatArray, "n"] | None

    task: ClassVar[str] = "conditional"

    def __init__(
        self,
        precision: Annotated[Any, "n n"] | None = None,
        covariance: Annotated[Any, "n n"] | None = None,
        mean: Annotated[Any, "n"] | None = None,
        held: Mapping[str, float] | None = None,
        variables: Iterable[str] | None = None,
    ) -> None:
        self._of(GaussianSampling(precision, covariance, mean, variables), held)

    @classmethod
    def of(cls, whole: GaussianSampling, held: Mapping[str, float]) -> ConditionalGaussian:
        """The conditional law of a Gaussian that was checked already."""
        found = cls.__new__(cls)
        found._of(whole, held)
        return found

    def _of(self, whole: GaussianSampling, held: Any) -> None:
        self._set_held(whole, held, whole.target_mean)
        self._set(precision=whole.precision, covariance=whole.covariance, mean=whole.mean)


class ConditionalSystem(ConditionalProblem):
    r"""Solve a linear system some of whose variables are prescribed: :math:`A_{ff} x_f = b_f - A_{fc} x_c`.

    The equations of the prescribed variables are left out, as where a boundary value problem is discretised.

    Parameters
    ----------
    matrix, vector, variables
        Of the whole system, as `LinearSystem` takes them.
    held : mapping of str to float
        Some of the variables, not all, and their values.

    Raises
    ------
    InputError
        If anything is not as said above.

    Examples
    --------
    >>> import spu
    >>> problem = spu.ConditionalSystem([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]], [0, 0, 0],
    ...                                 held={"x1": 1.0, "x3": 3.0})
    >>> problem.target_mean
    array([1., 2., 3.])
    """

    vector: Annotated[FloatArray, "n"]

    task: ClassVar[str] = "conditional-linear"

    def __init__(
        self,
        matrix: Annotated[Any, "n n"],
        vector: Annotated[Any, "n"],
        held: Mapping[str, float] | None = None,
        variables: Iterable[str] | None = None,
    ) -> None:
        self._of(LinearSystem(matrix, vector, variables), held)

    @classmethod
    def of(cls, whole: LinearSystem, held: Mapping[str, float]) -> ConditionalSystem:
        """The same of a system that was checked already."""
        found = cls.__new__(cls)
        found._of(whole, held)
        return found

    def _of(self, whole: LinearSystem, held: Any) -> None:
        self._set_held(whole, held, None)
        self._set(vector=whole.vector)


def conditional(problem: Problem, held: Mapping[str, float]) -> ConditionalProblem:
    """Hold variables of a problem.

    Parameters
    ----------
    problem:
        A Gaussian to sample, a matrix to invert (as the Gaussian of that precision), a linear system; or one of these
        some of whose variables are held already.
    held:
        Variables and their values.

    Raises
    ------
    InputError
        For any other problem: only that of a quadratic energy has such a law; and for names or values that do not fit.

    Examples
    --------
    >>> import spu
    >>> problem = spu.conditional(spu.MatrixInverse([[2.0, -1.0], [-1.0, 2.0]]), {"x1": 1.0})
    >>> problem.task, problem.target_mean
    ('conditional', array([1. , 0.5]))
    """
    if isinstance(problem, ConditionalProblem):
        return conditional(problem.whole, {**problem.held, **_mapping(held)})
    kind = type(problem)
    if kind is GaussianSampling:
        return ConditionalGaussian.of(cast(GaussianSampling, problem), held)
    if kind is LinearSystem:
        return ConditionalSystem.of(cast(LinearSystem, problem), held)
    if kind is MatrixInverse:
        inverse = cast(MatrixInverse, problem)
        return ConditionalGaussian(precision=inverse.matrix, held=held, variables=inverse.variables)
    raise InputError(
        f"nothing can be held in a problem of the task {problem.task!r}: only a Gaussian, an inverse or a linear "
        "system has a conditional law"
    )


def _mapping(held: Any) -> Mapping[str, float]:
    if not isinstance(held, Mapping):
        raise InputError(f"held is {shorten(held)}: it must be variables and their values")
    return held


register(
    Kind(
        "conditional",
        ConditionalGaussian,
        COVARIANCE,
        "sample a Gaussian, some of whose variables are held",
        "samples a Gaussian with this precision matrix A, some of whose variables are held",
        "Precision",
        matrices=("precision", "covariance"),
        vectors=("mean",),
        values=("held",),
        optional=("mean",),
    )
)
register(
    Kind(
        "conditional-linear",
        ConditionalSystem,
        MEAN,
        "solve a linear system, some of whose variables are prescribed",
        "solves A x = b with this matrix A, some of whose variables are prescribed",
        vectors=("vector",),
        values=("held",),
        beside="vector",
    )
)
