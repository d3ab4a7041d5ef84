"""A Lyapunov equation, as the covariance of a linear system driven by noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.base.labels import take_names
from spu.problems.answers import COVARIANCE
from spu.problems.definite import real_array, require_finite, square, symmetrised
from spu.problems.drift import DriftProblem
from spu.problems.kinds import Kind, register

__all__ = ["LyapunovEquation"]

_INDEFINITE = 1e-10
"""Of the largest eigenvalue of Q, how far below zero the smallest may be by rounding."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class LyapunovEquation(DriftProblem):
    r"""Solve :math:`A P + P A^T = Q` for P, as the covariance of ``dx = -A x dt + sqrt(Q) dW``.

    Parameters
    ----------
    matrix : (n, n) array_like
        A; all its eigenvalues have a positive real part (that is, -A is stable).
    diffusion : (n, n) or (n,) array_like, or float
        Q; symmetric to 1e-10 relative, and positive semidefinite: it may be singular. (n,) is a diagonal, a number a
        multiple of the identity.
    variables : sequence of str, optional
        Names; if None those of a DataFrame or DataArray, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above.

    Notes
    -----
    P is unique where -A is stable, and positive semidefinite (Gardiner, Handbook of Stochastic Methods, 4.4.6).
    Where Q is not diagonal its noise comes from sources that several cells share.

    Examples
    --------
    >>> import spu
    >>> problem = spu.LyapunovEquation([[2.0, 1.0], [-1.0, 1.0]], [[2.0, 1.0], [1.0, 1.0]])
    >>> problem.target_covariance.round(4)
    array([[0.3889, 0.2222],
           [0.2222, 0.7222]])
    >>> [(noise.name, list(noise.amplitudes)) for noise in spu.compile(problem).noises]  # a source that cells share
    [('q1', ['x1', 'x2'])]
    """

    matrix: Annotated[FloatArray, "n n"]
    diffusion: Annotated[FloatArray, "n n"]
    variables: tuple[str, ...]

    task: ClassVar[str] = "lyapunov"

    def __init__(
        self,
        matrix: Annotated[Any, "n n"],
        diffusion: Annotated[Any, "n n"] | Annotated[Any, "n"] | float,
        variables: Iterable[str] | None = None,
    ) -> None:
        variables, _ = take_names(variables, ("the matrix", matrix))
        A, names = square(matrix, "the matrix", variables)
        Q = _diffusion(diffusion, names)
        self._set(matrix=A, variables=names)
        self._set_drift(A, Q, what="the matrix")


def _diffusion(given: Any, names: tuple[str, ...]) -> FloatArray:
    """Q as a matrix, checked."""
    what, n = "the diffusion", len(names)
    Q = real_array(given, what)
    if Q.shape not in ((), (n,), (n, n)):
        shape = " × ".join(map(str, Q.shape))
        raise InputError(f"{what} has shape {shape}: the matrix calls for {n} × {n}, {n} for a diagonal, or one number")
    if Q.ndim < 2:
        Q = np.diag(np.broadcast_to(Q, (n,)))
    require_finite(Q, what, names)
    Q = symmetrised(Q, what, names)
    values = la.eigvalsh(Q)
    if values[0] < -_INDEFINITE * max(float(values[-1]), 0.0) or values[-1] < 0:
        raise InputError(
            f"{what} is not positive semidefinite: its smallest eigenvalue is {values[0]:.3g} (largest "
            f"{values[-1]:.3g}), and it is the covariance of noise"
        )
    if not Q.any():
        raise InputError(f"{what} is zero: without noise P is zero, and there is nothing to compute")
    return Q


register(
    Kind(
        "lyapunov",
        LyapunovEquation,
        COVARIANCE,
        "solve a Lyapunov equation",
        "solves A P + P A^T = Q for the covariance P of x with this matrix A",
        "Matrix A",
        values=("diffusion",),
        tables=("diffusion",),
    )
)
