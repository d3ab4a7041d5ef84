r"""Problems that a linear stochastic equation answers, in equilibrium or not.

A device of first-order cells whose couplers need not be reciprocal, and whose noise may be correlated, follows

.. math:: dz = (f - M z)\,dt + \sqrt{Q}\,dW

in units of the problem. Where all eigenvalues of M have a positive real part there is a stationary law,

.. math:: E z = M^{-1} f, \qquad M P + P M^T = Q, \qquad E\,z(t + s) z(t)^T = e^{-M s} P

about the mean (Gardiner, Handbook of Stochastic Methods, 4.4.6), and the answer is read from it as ``x = R z``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.problems.problem import LinearProblem

__all__ = ["DriftProblem"]

MAX_DRIFT = 2_000
"""Most coordinates: their law is worked out with dense matrices, in a time that goes with the cube."""

_ROUNDING = 1e-12
"""Of the largest eigenvalue of a diffusion matrix, below which one is zero."""


class DriftProblem(LinearProblem):
    """What problems have in common that pose a drift and a diffusion.

    Attributes
    ----------
    names : tuple of str
        Of the m coordinates z: the variables, unless there are more coordinates than variables.
    drift : (m, m) ndarray
        M; all its eigenvalues have a positive real part.
    diffusion : (m, m) ndarray
        Q; symmetric, positive semidefinite.
    force : (m,) ndarray
        f.
    reads : (n, m) ndarray
        R.
    slowest : float
        The longest time constant, ``1 / min Re(eigenvalue of M)``, in units of the problem's time.

    All arrays are float64 and read-only. The other attributes are those of `LinearProblem`.
    """

    names: tuple[str, ...]
    drift: Annotated[FloatArray, "m m"]
    diffusion: Annotated[FloatArray, "m m"]
    force: Annotated[FloatArray, "m"]
    reads: Annotated[FloatArray, "n m"]
    slowest: float

    def _set_drift(
        self,
        drift: FloatArray,
        diffusion: FloatArray,
        *,
        force: FloatArray | None = None,
        reads: FloatArray | None = None,
        names: Sequence[str] | None = None,
        lag: float | None = None,
        covariance: FloatArray | None = None,
        what: str = "the drift",
    ) -> None:
        """Assign what follows from an equation; ``variables`` and ``matrix`` are the caller's to set.

        Parameters
        ----------
        drift, diffusion, force, reads, names, lag:
            As the attributes; no force, ``x = z`` and ``variables`` unless given.
        covariance:
            (m, m) of z, where it is known in closed form.
        what:
            The drift, as messages call it.

        Raises
        ------
        InputError
            If the equation has no stationary law that doubles hold.
        """
        m = len(drift)
        if m > MAX_DRIFT:
            raise InputError(f"{what} has {m} rows: at most {MAX_DRIFT} are taken, as its law is that of all modes")
        rates = la.eigvals(drift)
        largest = float(np.abs(rates).max())
        if not rates.real.min() > m * np.finfo(float).eps * largest:
            raise InputError(
                f"{what} has an eigenvalue with the real part {rates.real.min():.3g}: all must have a positive one, "
                "or nothing becomes stationary"
            )
        f = np.zeros(m) if force is None else force
        R = np.eye(m) if reads is None else reads
        P = la.solve_continuous_lyapunov(drift, diffusion) if covariance is None else covariance
        P = 0.5 * (P + P.T)
        if not np.isfinite(P).all():
            raise InputError("the covariance is beyond floating-point numbers: scale the problem")
        singular = la.svdvals(drift)
        self._set(
            names=tuple(self.variables if names is None else names),
            drift=drift,
            diffusion=diffusion,
            force=f,
            reads=R,
            lag=lag,
            slowest=float(1.0 / rates.real.min()),
            condition=float(singular[0] / singular[-1]),
            target_mean=R @ la.solve(drift, f) if f.any() else np.zeros(len(R)),
            target_covariance=R @ P @ R.T,
            target_lagged=None if lag is None else R @ la.expm(-drift * lag) @ P @ R.T,
        )


def noise_factor(diffusion: Annotated[FloatArray, "m m"]) -> Annotated[FloatArray, "m r"]:
    """B with ``B B^T = Q``, (m, r), a column an independent source: diagonal where Q is.

    A symmetric positive semidefinite Q of rank r gives r columns, by a Cholesky factorisation with pivoting whose
    choices among equals go to the first; signs are such that the largest entry of a column is positive.

    Raises
    ------
    InputError
        If Q is not positive semidefinite.
    """
    Q = np.array(diffusion, dtype=np.float64)
    scale = float(np.abs(np.diag(Q)).max(initial=0.0))
    columns: list[FloatArray] = []
    left = np.ones(len(Q), dtype=bool)
    for _ in range(len(Q)):
        diagonal = np.where(left, np.diag(Q), -np.inf)
        best = float(diagonal.max())
        if best <= _ROUNDING * len(Q) * scale:
            break
        k = int(np.flatnonzero(diagonal >= best * (1.0 - 1e-9))[0])
        column = Q[:, k] / np.sqrt(Q[k, k])
        column[~left] = 0.0
        columns.append(column)
        Q = Q - np.outer(column, column)
        left[k] = False
    if np.abs(Q[np.ix_(left, left)]).max(initial=0.0) > 1e-8 * scale:
        raise InputError("the noise is not positive semidefinite: it is the covariance of no sources")
    return np.column_stack(columns) if columns else np.zeros((len(diffusion), 0))
