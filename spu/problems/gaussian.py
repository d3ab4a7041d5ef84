"""The three linear problems: a Gaussian to sample, a matrix to invert, a system to solve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

import numpy as np

from spu.base.arrays import AnyMatrix, FloatArray, shape_of
from spu.base.errors import InputError
from spu.base.labels import take_names
from spu.problems.answers import COVARIANCE, MEAN
from spu.problems.definite import (
    MAX_SIZE,
    Definite,
    NotDefinite,
    SparseDefinite,
    definite,
    real_vector,
    stays_sparse,
    without_rounding,
)
from spu.problems.kinds import Kind, register
from spu.problems.problem import QuadraticProblem

__all__ = ["GaussianSampling", "LinearSystem", "MatrixInverse"]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GaussianSampling(QuadraticProblem):
    """Sample a Gaussian of given precision or covariance.

    Parameters
    ----------
    precision, covariance : (n, n) array_like or sparse
        Exactly one of them; symmetric to 1e-10 relative, and positive definite. A scalar
        stands for a 1 × 1 matrix. A covariance of more than `DENSE_SIZE` variables must be dense:
        its inverse is.
    mean : (n,) array_like, optional
        Mean; 0 if None.
    variables : sequence of str, optional
        Names; if None those of a DataFrame or DataArray, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above.

    Attributes
    ----------
    precision, covariance, mean : ndarray or None
        As given, symmetrised; None where not given. The other attributes are those of `Problem`.

    Examples
    --------
    >>> import spu
    >>> problem = spu.GaussianSampling(covariance=[[2.0, 0.6], [0.6, 1.0]], mean=[1.0, -1.0], variables=["a", "b"])
    >>> problem.variables, problem.answer
    (('a', 'b'), 'covariance')
    >>> problem.matrix.round(4)
    array([[ 0.6098, -0.3659],
           [-0.3659,  1.2195]])
    """

    precision: Annotated[AnyMatrix, "n n"] | None
    covariance: Annotated[FloatArray, "n n"] | None
    mean: Annotated[FloatArray, "n"] | None
    variables: tuple[str, ...]

    task: ClassVar[str] = "gaussian"

    def __init__(
        self,
        precision: Annotated[Any, "n n"] | None = None,
        covariance: Annotated[Any, "n n"] | None = None,
        mean: Annotated[Any, "n"] | None = None,
        variables: Iterable[str] | None = None,
    ) -> None:
        if (precision is None) == (covariance is None):
            count = "neither" if precision is None else "both"
            raise InputError(f"give exactly one of precision and covariance, not {count}")
        from_precision = precision is not None
        given_matrix = ("the precision", precision) if from_precision else ("the covariance", covariance)
        variables, (mean,) = take_names(variables, given_matrix, ("the mean", mean))
        if not from_precision and stays_sparse(covariance):
            raise InputError(
                f"the covariance is sparse and has {cast(Any, covariance).shape[0]} rows; its inverse, the matrix to "
                f"build, would be dense: give the precision, or a dense covariance of at most {MAX_SIZE} variables"
            )
        given = definite(given_matrix[1], given_matrix[0], variables)
        centre = None if mean is None else real_vector(mean, "the mean", given.variables)
        self._set_definite(given)
        if not from_precision:
            assert isinstance(given, Definite)
            self._set(matrix=without_rounding(given), target_covariance=given.matrix)
        self._set(
            precision=given.matrix if from_precision else None,
            covariance=None if from_precision else given.matrix,
            mean=centre,
            target_mean=np.zeros(len(given.variables)) if centre is None else centre,
        )


@dataclass(frozen=True, eq=False, init=False, repr=False)
class MatrixInverse(QuadraticProblem):
    r"""Invert a matrix :math:`A`, as the covariance of samples from :math:`N(0, A^{-1})`.

    Parameters
    ----------
    matrix : (n, n) array_like or sparse
        Symmetric to 1e-10 relative, and positive definite. A scalar stands for a 1 × 1 matrix.
    variables : sequence of str, optional
        Names; if None those of a DataFrame or DataArray, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above.

    Examples
    --------
    >>> import spu
    >>> problem = spu.MatrixInverse([[4.0, 1.0], [1.0, 3.0]])
    >>> problem.target_covariance.round(4)
    array([[ 0.2727, -0.0909],
           [-0.0909,  0.3636]])
    >>> spu.predict(spu.compile(problem)).relative_error < 1e-9
    True
    """

    matrix: Annotated[AnyMatrix, "n n"]
    variables: tuple[str, ...]

    task: ClassVar[str] = "inverse"

    def __init__(self, matrix: Annotated[Any, "n n"], variables: Iterable[str] | None = None) -> None:
        variables, _ = take_names(variables, ("the matrix", matrix))
        given = definite(matrix, "the matrix", variables)
        self._set_definite(given)
        self._set(target_mean=np.zeros(len(given.variables)))


@dataclass(frozen=True, eq=False, init=False, repr=False)
class LinearSystem(QuadraticProblem):
    r"""Solve :math:`A x = b`, as the mean of samples from :math:`N(A^{-1} b, A^{-1})`.

    Parameters
    ----------
    matrix : (n, n) array_like or sparse
        :math:`A`; symmetric to 1e-10 relative, and positive definite. A scalar stands for a
        1 × 1 matrix.
    vector : (n,) array_like
        The right-hand side :math:`b`; one column (n, 1) or one row (1, n) is also taken.
    variables : sequence of str, optional
        Names; if None those of a DataFrame or DataArray, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above.

    Examples
    --------
    >>> import spu
    >>> problem = spu.LinearSystem([[4.0, 1.0], [1.0, 3.0]], [1.0, 2.0])
    >>> problem.target_mean.round(4)
    array([0.0909, 0.6364])
    >>> spu.predict(spu.compile(problem)).mean.round(4)
    array([0.0909, 0.6364])
    """

    matrix: Annotated[AnyMatrix, "n n"]
    vector: Annotated[FloatArray, "n"]
    variables: tuple[str, ...]

    task: ClassVar[str] = "linear"

    def __init__(
        self, matrix: Annotated[Any, "n n"], vector: Annotated[Any, "n"], variables: Iterable[str] | None = None
    ) -> None:
        variables, (vector,) = take_names(variables, ("the matrix", matrix), ("the vector", vector))
        given = _definite(matrix, variables)
        right_side = real_vector(vector, "the vector", given.variables)
        self._set_definite(given)
        self._set(vector=right_side, target_mean=given.solve(right_side))

    @property
    def right_side(self) -> Annotated[FloatArray, "n"]:
        """(n,) vector b, as given."""
        return self.vector


_OTHERWISE = (
    'GeneralSystem (task "general-linear") solves with any matrix, by an embedding, and LeastSquares (task '
    '"least-squares") by the normal equations'
)


def _definite(matrix: Any, variables: Iterable[str] | None) -> Definite | SparseDefinite:
    """`definite`, whose refusals of what is no matrix of an energy say which problems take it."""
    try:
        return definite(matrix, "the matrix", variables)
    except NotDefinite as error:
        message = error.message
    except InputError as error:
        shape = shape_of(matrix)
        if len(shape) != 2 or not shape[0] > shape[1] > 0:
            raise
        message = error.message
    raise InputError(f"{' '.join(message.split())}; {_OTHERWISE}")


register(
    Kind(
        "gaussian",
        GaussianSampling,
        COVARIANCE,
        "sample a Gaussian",
        "samples a Gaussian with this precision matrix A (covariance A^-1)",
        "Precision",
        matrices=("precision", "covariance"),
        vectors=("mean",),
        optional=("mean",),
    )
)
register(
    Kind(
        "inverse",
        MatrixInverse,
        COVARIANCE,
        "invert a matrix",
        "inverts this matrix A (the covariance of x is A^-1)",
        "Matrix to invert",
    )
)
register(
    Kind(
        "linear",
        LinearSystem,
        MEAN,
        "solve a linear system",
        "solves A x = b (the mean of x is A^-1 b) with this matrix A",
        vectors=("vector",),
        beside="vector",
    )
)
