"""What rounding leaves of a stationary law in doubles, and whether a law solves its own equation.

The law of ``E dx = F x dt + K dW`` has the covariance P with ``F P E^T + E P F^T + K K^T = 0``. A readout ``h^T x``
has the variance ``h^T P h``, which changes of the matrices move by

    ``2 tr(Y dF P E^T) + 2 tr(Y dE P F^T)``,    ``E^T Y F + F^T Y E + h h^T = 0``

to first order. Entries of E and F are sums that were rounded once they were made, by up to eps of the magnitudes of
their terms: `rounding_of_variances` says what becomes of that. It is nothing to speak of where rates are
within ten decades; where they spread further, or one is the difference of two that all but cancel, it is everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import InternalError
from spu.base.sparse import with_data
from spu.emulator.equations.linear import DenseSDE, StochasticODE

_EPS = 4.0 * np.finfo(float).eps
"""Of the magnitudes of its terms, what an entry may be off: some roundings."""

HELD = 1e-9
"""Of the magnitudes of its terms, what a residual of a solved equation may be: far above rounding."""

_SMALL = 256
"""States up to which products of dense matrices take less time than the care that sparse ones take."""

_VECTORS = 4
"""Vectors of random signs that an equation is held against: an error escapes all with the fourth power of a chance."""


def readouts(sde: StochasticODE, probes: FloatArray) -> FloatArray:
    """(p + q, ...) of what is read: probes (p, ...) first, then the problem's variables where they are of these."""
    matrix = sde.readout.matrix
    return np.concatenate([probes, matrix @ probes]) if matrix.shape[1] == len(probes) else probes


def rounding_of_variances(sde: StochasticODE, dense: DenseSDE, P: FloatArray, adjoint: FloatArray) -> float:
    """Bound on the sum of relative errors of variances of which ``adjoint`` is the solution.

    Parameters
    ----------
    sde, dense:
        The equation, and in the coordinates z.
    P, adjoint:
        (n, n) covariance of z, and the solution of ``A^T Y + Y A + sum of h h^T / variance = 0``.
    """
    E_size, F_size = sde.sizes
    T = dense.to_state
    V = _to_equations(sde, dense)
    inner = P @ adjoint
    by_F = T @ inner @ V
    # E was divided by twice, for the drift and for the noise, and each time rounded anew.
    right = adjoint @ dense.B
    by_E = np.abs(V.T @ (adjoint @ dense.A @ P) @ T.T) + np.abs((V.T @ right) @ (T @ dense.B).T)
    by_K = (np.abs(sde.K.toarray()) * np.abs(V.T @ right)).sum() * np.sqrt(dense.time)
    found = (F_size * np.abs(by_F.T)).sum() * dense.time + (E_size * by_E).sum() + by_K
    # And the entries of A and B B^T, of which those of quiet cells may cancel.
    size = np.abs(dense.B)
    found += (np.abs(dense.A) * np.abs(inner.T)).sum() + (np.abs(adjoint) * (size @ size.T)).sum()
    return float(2.0 * _EPS * found)


@dataclass(frozen=True)
class NormBounds:
    """Bounds by norms on what rounding of E, F and K does to the equation in the coordinates z.

    Attributes
    ----------
    drift, noise, push:
        On the changes of A, of ``B B^T`` and of the constant part, in Frobenius' norm.
    reach:
        Norm of the solution S of ``A S + S A^T = -1``, which is that of the inverse of the Lyapunov operator: a change
        of A by less than ``1 / 2 reach`` leaves every mode decaying.
    """

    drift: float
    noise: float
    push: float
    reach: float

    @classmethod
    def of(cls, sde: StochasticODE, dense: DenseSDE, reach: float) -> NormBounds:
        """Those of an equation."""
        E_size, F_size = sde.sizes
        T, V = np.abs(dense.to_state), np.abs(_to_equations(sde, dense))
        A, B = float(np.linalg.norm(dense.A)), float(np.linalg.norm(dense.B))
        by_F = float(np.linalg.norm(V @ F_size @ T)) * dense.time
        by_E = float(np.linalg.norm(V @ E_size @ T))
        by_K = float(np.linalg.norm(V @ abs(sde.K))) * np.sqrt(dense.time)
        push = by_F * float(np.linalg.norm(dense.mean)) + float(np.linalg.norm(V @ np.abs(sde.s))) * dense.time
        return cls(_EPS * (by_F + (by_E + 1.0) * A), _EPS * B * ((by_E + 1.0) * B + 2.0 * by_K), _EPS * push, reach)

    @property
    def decaying(self) -> bool:
        """Whether every mode decays, whatever was rounded; only then the others are bounds."""
        return self.drift * self.reach < 1e-3

    def of_covariance(self, P: FloatArray) -> float:
        """On the change of the covariance, in Frobenius' norm."""
        return self.reach * (2.0 * self.drift * float(np.linalg.norm(P)) + self.noise)

    @property
    def of_mean(self) -> float:
        """On that of the mean: the norm of ``A^-1`` is at most twice the reach."""
        return 2.0 * self.reach * self.push


def _to_equations(sde: StochasticODE, dense: DenseSDE) -> FloatArray:
    """(n, n) ``(E to_state)^-1``."""
    return dense.to_state.T if dense.energetic else np.linalg.inv(sde.E @ dense.to_state)


def rounding_of_means(sde: StochasticODE, mean: FloatArray) -> FloatArray:
    """(p + q,) bounds on the errors of probes' and variables' means, from that (n,) of the states."""
    if not sde.s.any():
        return np.zeros(len(readouts(sde, np.zeros(sde.H.shape[0]))))
    rows = readouts(sde, sde.H.toarray())
    F = sde.F.toarray()
    scale = 1.0 / np.maximum(np.abs(F).max(axis=1), np.finfo(float).tiny)
    try:
        back = np.linalg.solve((scale[:, None] * F).T, rows.T).T * scale
    except np.linalg.LinAlgError:
        return np.full(len(rows), np.inf)
    return np.asarray(_EPS * (np.abs(back) @ (sde.sizes[1] @ np.abs(mean) + np.abs(sde.s))))


def rounding_of_poles(sde: StochasticODE, dense: DenseSDE) -> FloatArray:
    """(n,) what the eigenvalues of A may be off, in its units: by rounding of the circuit's matrices, and of their own.

    The first is ``y^* (dF - lambda dE) x / y^* E x`` to first order. Near a double eigenvalue, where that diverges,
    the root of the relative change is the larger order.
    """
    values, left, right, norms = dense.eigen
    E_size, F_size = sde.sizes
    own = np.abs((left.conj() * right).sum(axis=0))
    y = np.abs(_to_equations(sde, dense).T @ left) if not dense.energetic else np.abs(dense.to_state @ left)
    x = np.abs(dense.to_state @ right)
    moved = (y * (F_size @ x)).sum(axis=0) * dense.time + np.abs(values) * (y * (E_size @ x)).sum(axis=0)
    first = _EPS * (moved + norms)
    return np.asarray(np.minimum(first / np.maximum(own, 1e-300), 2.0 * np.sqrt(first * norms)))


def hold_covariance(
    sde: StochasticODE,
    multiply: Callable[[FloatArray], FloatArray],
    variance: FloatArray,
    *,
    what: str,
    within: float = HELD,
) -> None:
    """Hold a covariance of the states against the residual of its own Lyapunov equation.

    The residual is multiplied with a few vectors of random signs, and each of its rows compared with the magnitudes
    of the terms that it is made of, all on a scale on which these are alike: farads and attofarads, loud cells and
    quiet ones count the same.

    Parameters
    ----------
    sde:
        The equation, n states.
    multiply:
        Multiplies (n, k) vectors by the covariance.
    variance:
        (n,) of the states.
    what:
        How the covariance was found, for the message.
    within:
        What the residual may be, of its terms.

    Raises
    ------
    InternalError
        If it does not solve the equation.
    """
    spread = np.sqrt(np.maximum(variance, 0.0))
    E: Any = sde.E  # dense ones, or sparse
    F: Any = sde.F
    K: Any = sde.K
    if len(spread) <= _SMALL:
        E, F, K = E.toarray(), F.toarray(), K.toarray()
    charge, current = _magnitudes(E) @ spread, _magnitudes(F) @ spread
    noise = np.asarray((K * K).sum(axis=1)).ravel()
    size = np.sqrt(2.0 * charge * current + noise)
    weight = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    signs = np.where(np.random.default_rng(20).random((len(size), _VECTORS)) < 0.5, -1.0, 1.0)
    w = signs * weight[:, None]
    residual = F @ multiply(E.T @ w) + E @ multiply(F.T @ w) + K @ (K.T @ w)
    terms = current * float(charge @ weight) + charge * float(current @ weight) + abs(K) @ (abs(K).T @ weight)
    worst = np.abs(residual).max(axis=1, initial=0.0)
    wrong = ~(worst <= within * terms)
    if wrong.any():
        k = int(np.argmax(np.where(wrong, worst / np.maximum(terms, 1e-300), -1.0)))
        raise InternalError(
            f"the covariance found {what} does not solve its Lyapunov equation: at {sde.state_names[k]} the residual "
            f"is {worst[k] / max(terms[k], 1e-300):.1e} of its terms, not below {within:g}"
        )


def _magnitudes(matrix: Any) -> Any:
    """Those of the entries of a matrix, dense or sparse, whose pattern is not copied."""
    return with_data(matrix, np.abs(matrix.data)) if isinstance(matrix, sp.csr_array) else np.abs(matrix)
