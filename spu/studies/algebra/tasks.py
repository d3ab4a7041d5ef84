"""The tasks of linear algebra, each in one line: from matrices to a `Solution`."""

from __future__ import annotations

from typing import Annotated, Any

from spu.base.errors import InputError, OptionError
from spu.base.names import shorten, suggest
from spu.problems.gaussian import LinearSystem, MatrixInverse
from spu.problems.kinds import kind_of
from spu.problems.problem import Problem
from spu.studies.algebra.solution import Solution, answer

__all__ = ["METHODS", "expm", "invert", "logdet", "lstsq", "lyapunov", "solve", "system"]

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
    if method == "normal":
        return kind_of("least-squares").cls(A, b)
    if method in (None, "symmetric"):
        try:
            return LinearSystem(A, b)
        except InputError:
            if method is not None:
                raise
    return kind_of("general-linear").cls(A, b, method=method)


def solve(A: Annotated[Any, "m n"], b: Annotated[Any, "m"], *, method: str | None = None, **options: Any) -> Solution:
    """Solve ``A x = b`` on a device.

    Parameters
    ----------
    A, b:
        (n, n) and (n,); with methods ``embedding`` and ``normal`` also (m, n) of full column rank and (m,), in the
        sense of least squares.
    method:
        One of `spu.studies.algebra.tasks.METHODS`; by the matrix unless given.
    options:
        As of `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.solve([[4.0, 1.0], [1.0, 3.0]], [1.0, 2.0], error=0.05, seed=1)
    >>> found.task, found.answer.shape, found.relative_error <= 0.05
    ('linear', (2,), True)
    """
    return answer(system(A, b, method), **options)


def invert(A: Annotated[Any, "n n"], **options: Any) -> Solution:
    """Invert a symmetric positive definite (n, n) matrix on a device; options as of `spu.answer`.

    Examples
    --------
    >>> import spu
    >>> found = spu.invert([[4.0, 1.0], [1.0, 3.0]], error=0.05, seed=1)
    >>> bool((abs(found.answer - [[3 / 11, -1 / 11], [-1 / 11, 4 / 11]]) < 6 * found.standard_error).all())
    True
    """
    return answer(MatrixInverse(A), **options)


def logdet(A: Annotated[Any, "n n"], **options: Any) -> Solution:
    """The logarithm of the determinant of a symmetric positive definite (n, n) matrix; options as of `spu.answer`."""
    return answer(kind_of("determinant").cls(A), **options)


def expm(A: Annotated[Any, "n n"], t: float = 1.0, **options: Any) -> Solution:
    """The exponential ``exp(A t)`` of an (n, n) matrix on a device; options as of `spu.answer`."""
    return answer(kind_of("exponential").cls(A, t), **options)


def lyapunov(A: Annotated[Any, "n n"], Q: Annotated[Any, "n n"], **options: Any) -> Solution:
    """Solve ``A P + P A^T = Q`` for P (n, n) on a device; options as of `spu.answer`."""
    return answer(kind_of("lyapunov").cls(A, Q), **options)


def lstsq(A: Annotated[Any, "m n"], b: Annotated[Any, "m"], *, method: str | None = None, **options: Any) -> Solution:
    """The least squares solution of ``A x = b`` on a device, (m, n) of full column rank.

    Parameters
    ----------
    A, b:
        (m, n) and (m,).
    method:
        ``normal`` (by default: n cells, the condition squared) or ``embedding`` (m + n cells, the condition as it is).
    options:
        As of `spu.answer`.
    """
    return answer(system(A, b, "normal" if method is None else method), **options)
