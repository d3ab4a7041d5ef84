"""The tasks of linear algebra, each in one line: from matrices to a `Solution`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from spu.base.errors import InputError, OptionError
from spu.base.names import check_names, shorten, suggest
from spu.problems.determinant import Determinant
from spu.problems.exponential import MatrixExponential
from spu.problems.gaussian import LinearSystem, MatrixInverse
from spu.problems.lyapunov import LyapunovEquation
from spu.problems.matrix_files import read_named_matrix, read_vector
from spu.problems.problem import Problem
from spu.problems.systems import GeneralSystem, LeastSquares
from spu.studies.algebra.solution import Solution, answer

__all__ = ["expm", "invert", "logdet", "lstsq", "lyapunov", "solve"]

METHODS = {
    "symmetric": "A symmetric and positive definite: a cell a variable, in equilibrium",
    "direct": "all eigenvalues of A to the right of zero: a cell a variable, couplers that are not reciprocal",
    "embedding": "any A of full column rank: a cell a row and a cell a variable",
    "normal": "the normal equations: a cell a variable, and the condition squared",
}
"""Ways to solve a linear system, and what of."""


def system(A: Any, b: Any, method: str | None = None) -> Problem:
    """The problem of a linear system: by the first of `METHODS` that the matrix is for, unless one is named.

    Raises
    ------
    InputError
        If the matrix is not for the method, or is singular.
    OptionError
        If there is no such method.
    """
    if method is not None and method not in METHODS:
        raise OptionError("method", f"is {shorten(method)}; {suggest(str(method), METHODS)}")
    matrix, variables = _matrix(A)
    vector = _vector(b)
    if method == "normal":
        return LeastSquares(matrix, vector, variables=variables)
    if method in (None, "symmetric"):
        try:
            return LinearSystem(matrix, vector, variables)
        except InputError:
            if method is not None:
                raise
    return GeneralSystem(matrix, vector, method, variables=variables)


def inverse_of(A: Any) -> Problem:
    """The problem of an inverse, of a matrix or its file."""
    return MatrixInverse(*_matrix(A))


def determinant_of(A: Any) -> Problem:
    """The problem of the logarithm of a determinant, of a matrix or its file."""
    matrix, variables = _matrix(A)
    return Determinant(matrix, variables)


def exponential_of(A: Any, t: float) -> Problem:
    """The problem of ``exp(A t)``, of a matrix or its file."""
    matrix, variables = _matrix(A)
    return MatrixExponential(matrix, t, variables=variables)


def lyapunov_of(A: Any, Q: Any) -> Problem:
    """The problem of ``A P + P A^T = Q``, of matrices or their files."""
    matrix, variables = _matrix(A)
    return LyapunovEquation(matrix, _matrix(Q)[0], variables)


def least_squares_of(A: Any, b: Any, method: str | None) -> Problem:
    """The problem of a least squares solution, by the normal equations unless another method is named."""
    return system(A, b, "normal" if method is None else method)


def _matrix(given: Any) -> tuple[Any, tuple[str, ...] | None]:
    """A matrix, or that of a file, with the names that head its columns there."""
    if not isinstance(given, (str, Path)):
        return given, None
    table = read_named_matrix(given)
    return table.values, None if table.names is None else check_names(table.names, "a variable", given, table.line)


def _vector(given: Any) -> Any:
    """A vector, or that of a file."""
    return read_vector(Path(given)) if isinstance(given, (str, Path)) else given


def solve(A: Annotated[Any, "m n"], b: Annotated[Any, "m"], *, method: str | None = None, **options: Any) -> Solution:
    """Solve ``A x = b`` on a device.

    Parameters
    ----------
    A, b:
        (n, n) and (n,); with methods ``embedding`` and ``normal`` also (m, n) of full column rank and (m,), in the
        sense of least squares. Or their files, as of `spu.load_problem`.
    method:
        ``symmetric`` (positive definite: a cell a variable, in equilibrium), ``direct`` (eigenvalues with positive real
        parts: a cell a variable, couplers that are not reciprocal), ``embedding`` (any matrix of full column rank: a
        cell a row and a cell a variable) or ``normal`` (the same: a cell a variable, the condition squared). The first
        of these that the matrix is for unless one is named.
    options:
        As of `spu.answer`.

    Raises
    ------
    OptionError
        If there is no such method.
    UsageError, InputError, Unrealizable
        As `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.solve([[4.0, 1.0], [1.0, 3.0]], [1.0, 2.0], error=0.05, seed=1)
    >>> found.task, found.answer.shape, found.relative_error <= 0.05
    ('linear', (2,), True)
    """
    return answer(system(A, b, method), **options)


def invert(A: Annotated[Any, "n n"], **options: Any) -> Solution:
    """Invert a symmetric positive definite matrix on a device.

    Parameters
    ----------
    A:
        (n, n), or its file.
    options:
        As of `spu.answer`.

    Raises
    ------
    UsageError, InputError, Unrealizable
        As `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.invert([[4.0, 1.0], [1.0, 3.0]], error=0.05, seed=1)
    >>> bool((abs(found.answer - [[3 / 11, -1 / 11], [-1 / 11, 4 / 11]]) < 6 * found.standard_error).all())
    True
    """
    return answer(inverse_of(A), **options)


def logdet(A: Annotated[Any, "n n"], **options: Any) -> Solution:
    """The logarithm of the determinant of a symmetric positive definite matrix, from the work of ramps of a device.

    Parameters
    ----------
    A:
        (n, n), or its file.
    options:
        As of `spu.answer`. The error is that of the logarithm as it is, which is the relative one of the determinant.

    Raises
    ------
    UsageError, InputError, Unrealizable
        As `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.logdet([[2.0, -0.5], [-0.5, 1.0]], error=0.05, seed=1, compare=True)
    >>> round(found.exact, 4), abs(found.answer - found.exact) < 6 * found.standard_error
    (0.5596, True)
    """
    return answer(determinant_of(A), **options)


def expm(A: Annotated[Any, "n n"], t: float = 1.0, **options: Any) -> Solution:
    """The exponential ``exp(A t)`` of a matrix on a device.

    Parameters
    ----------
    A:
        (n, n), or its file.
    t:
        Positive.
    options:
        As of `spu.answer`.

    Raises
    ------
    UsageError, InputError, Unrealizable
        As `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.expm([[-1.0, 0.5], [-0.5, -2.0]], 0.5, error=0.1, compare=True)
    >>> found.exact.round(4)
    array([[ 0.5914,  0.1181],
           [-0.1181,  0.3551]])
    >>> bool((abs(found.answer - found.exact) < 6 * found.standard_error).all())
    True
    """
    return answer(exponential_of(A, t), **options)


def lyapunov(A: Annotated[Any, "n n"], Q: Annotated[Any, "n n"], **options: Any) -> Solution:
    """Solve ``A P + P A^T = Q`` for P on a device.

    Parameters
    ----------
    A, Q:
        (n, n) both, or their files: the eigenvalues of A have positive real parts, Q is symmetric and positive
        semidefinite.
    options:
        As of `spu.answer`.

    Raises
    ------
    UsageError, InputError, Unrealizable
        As `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.lyapunov([[1.0, 0.5], [-0.5, 2.0]], [[2.0, 0.0], [0.0, 1.0]], error=0.1, compare=True)
    >>> bool((abs(found.answer - found.exact) < 6 * found.standard_error).all())
    True
    """
    return answer(lyapunov_of(A, Q), **options)


def lstsq(A: Annotated[Any, "m n"], b: Annotated[Any, "m"], *, method: str | None = None, **options: Any) -> Solution:
    """The least squares solution of ``A x = b`` on a device.

    Parameters
    ----------
    A, b:
        (m, n) of full column rank and (m,), or their files.
    method:
        ``normal`` (n cells, the condition squared; so by default) or ``embedding`` (m + n cells, the condition as it
        is).
    options:
        As of `spu.answer`.

    Raises
    ------
    OptionError
        If there is no such method.
    UsageError, InputError, Unrealizable
        As `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.lstsq([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [0.0, 1.0, 3.0], error=0.05, seed=1, compare=True)
    >>> found.exact.round(4)
    array([-0.1667,  1.5   ])
    >>> bool((abs(found.answer - found.exact) < 6 * found.standard_error).all())
    True
    """
    return answer(least_squares_of(A, b, method), **options)
