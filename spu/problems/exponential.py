r"""The exponential of a matrix, as a covariance of readings some time apart.

A device with the drift :math:`M = s I - A` and the diffusion :math:`M + M^T` has the stationary covariance 1, whatever
A is, so that readings t apart have

.. math:: E\,x(u + t)\,x(u)^T = e^{-M t} = e^{-s t} e^{A t}

(Duffield et al., arXiv 2311.12759; there M = -A). The diffusion must be positive semidefinite, which takes
:math:`s \ge \mu`, the largest eigenvalue of :math:`(A + A^T) / 2`, and M must be stable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.base.labels import take_names
from spu.base.names import shorten
from spu.problems.answers import LAGGED
from spu.problems.definite import square
from spu.problems.drift import DriftProblem
from spu.problems.kinds import Kind, register

__all__ = ["MatrixExponential"]

_ROUNDING = 1e-12
"""Of the norm of a matrix: what its numerical abscissa may be off by."""

_MARGINAL = 1e-9
"""Of the norm of a matrix: a mode that decays no faster than that does not decay on any hardware."""

_HOPELESS, _COSTLY, _BETTER = 1e16, 1e4, 10.0
"""Factors in device time: from which an answer is refused, is warned of, and another shift is proposed."""

_LARGEST = 700.0
"""Exponents up to which the exponential is a double."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class MatrixExponential(DriftProblem):
    r"""Find the exponential of a matrix, :math:`e^{A t}`.

    Parameters
    ----------
    matrix : (n, n) array_like or sparse
        A: any real square matrix. A scalar stands for a 1 × 1 matrix.
    time : float
        t > 0.
    shift : float, optional
        s of the drift ``s 1 - A``. Unless given it is 0 where ``A + A^T`` is negative semidefinite and A is stable, and
        otherwise the numerical abscissa mu (the least with ``A + A^T - 2 s 1 <= 0``) and ``1 / 2 t`` more.
    variables : sequence of str, optional
        Names; if None those of a DataFrame or DataArray, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above, a shift leaves no law, the exponential is beyond floating-point numbers, or
        the answer is drowned in noise on any device.

    Attributes
    ----------
    time, shift : float
        As above.
    exact : (n, n) ndarray
        ``scipy.linalg.expm(A t)``, to compare with.
    cost : float
        Device time that the same relative error takes, of that which it would take were the lagged covariance an
        orthogonal matrix: ``n / |exp(-M t)|^2`` (Frobenius). The samples do not depend on the answer's size.

    Notes
    -----
    The answer is ``e^{s t}`` times the lagged covariance, and its error as many times larger, so that a shift costs
    device time. It makes modes faster, too: the slowest has the time constant ``1 / (s - alpha)`` with the largest real
    part alpha of an eigenvalue of A, and the squared error of its part goes as ``e^{2 s t} / (s - alpha)``, which is
    least at ``s = alpha + 1 / 2 t``. So the margin is ``1 / 2 t``: time constants are then at most ``2 t``, and less
    would save less of the factor than it would lose to slow modes. That best shift may be negative where A decays fast:
    ``exp(-10)`` is then not looked for in noise of size 1. `warnings` says so where it matters.

    Examples
    --------
    >>> import spu
    >>> problem = spu.MatrixExponential([[-1.0, 0.5], [-0.5, -2.0]], 0.5)
    >>> problem.shift, problem.lag, problem.diffusion
    (0.0, 0.5, array([[2., 0.],
           [0., 4.]]))
    >>> problem.solution(problem.target_lagged).round(4)
    array([[ 0.5905,  0.1181],
           [-0.1181,  0.3543]])
    >>> bool(abs(problem.exact - problem.solution(problem.target_lagged)).max() < 1e-12)
    True
    """

    matrix: Annotated[FloatArray, "n n"]
    time: float
    shift: float
    variables: tuple[str, ...]
    exact: Annotated[FloatArray, "n n"]
    cost: float
    _better: tuple[float, float]

    task: ClassVar[str] = "exponential"

    def __init__(
        self,
        matrix: Annotated[Any, "n n"],
        time: float = 1.0,
        shift: float | None = None,
        variables: Iterable[str] | None = None,
    ) -> None:
        variables, _ = take_names(variables, ("the matrix", matrix))
        A, names = square(matrix, "the matrix", variables)
        t, n = _positive(time), len(A)
        size = float(np.linalg.norm(A, 2))
        mu = float(la.eigvalsh(0.5 * A + 0.5 * A.T)[-1])
        alpha = float(la.eigvals(A).real.max())
        s = _chosen(mu, alpha, size, t) if shift is None else _finite(shift)
        if s < mu - _ROUNDING * size:
            raise InputError(
                f"the shift {s:.6g} leaves no noise that makes this answer: it must be at least {mu:.6g}, the largest "
                "eigenvalue of (A + A^T) / 2"
            )
        if s - alpha <= _MARGINAL * max(size, abs(s)):
            raise InputError(
                f"the shift {s:.6g} leaves a mode that does not decay: it must be above {alpha:.6g}, the largest real "
                f"part of an eigenvalue; {max(mu, alpha) + 0.5 / t:.6g} would do"
            )
        if max(mu, s) * t > _LARGEST:
            raise InputError(
                f"the norm of A t is too large: its exponential may be e^{max(mu, s) * t:.4g}, beyond floating-point "
                "numbers; take a shorter time, and square"
            )
        M = s * np.eye(n) - A
        exact = la.expm(A * t)
        self._set(matrix=A, time=t, shift=s, variables=names, exact=exact)
        # The largest eigenvalue may be rounded below zero: what is left of it is no noise.
        self._set_drift(M, _semidefinite(M + M.T), lag=t, covariance=np.eye(n))
        held = float(np.linalg.norm(la.expm(-M * t))) ** 2
        self._set(cost=n / held if held > 0 else np.inf)
        better, saved = _best_shift(s, t, mu, alpha)
        if not self.cost < _HOPELESS:
            hint = f"; shift={better:.4g} would do" if self.cost / saved < _HOPELESS else "; take a shorter time"
            raise InputError(
                f"the answer is drowned in noise: it would take {self.cost:.2g} times the device time of an answer of "
                f"the noise's size{hint}"
            )
        self._set(_better=(better, saved))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legitimate but will not work well; one sentence each."""
        found = list(super().warnings)
        if self.cost > _COSTLY:
            found.append(
                f"the lagged covariance is small beside its noise: {self.cost:.2g} times the device time that one "
                "of the noise's size takes at the same relative error"
            )
        better, saved = self._better
        if saved > _BETTER:
            found.append(
                f"the shift {self.shift:.4g} costs {saved:.2g} times the device time that shift={better:.4g} would take"
            )
        return tuple(found)

    def choices(self) -> dict[str, Any]:
        """The shift, and what the answer costs."""
        return {"shift": self.shift, "cost": self.cost}

    def facts(self) -> list[tuple[str, str]]:
        """The same in words."""
        if self.shift == 0:
            return [("shift", "none: the noise is that of A + A^T, and A is stable")]
        growth = np.exp(self.shift * self.time)
        return [
            (
                "shift",
                f"{self.shift:.6g}: the drift is that times 1 less A, and the answer {growth:.4g} times the lagged "
                "covariance",
            )
        ]

    def solution(self, answer: Any) -> Any:
        """``e^{s t}`` times a lagged covariance."""
        return np.exp(self.shift * self.time) * np.asarray(answer)

    def __repr__(self) -> str:
        return f"MatrixExponential(n={self.n}, time={self.time:.6g}, shift={self.shift:.6g})"


def _chosen(mu: float, alpha: float, size: float, t: float) -> float:
    """The shift: none where noise and decay are there without; else the margin above the numerical abscissa."""
    if mu <= _ROUNDING * size and alpha < -_MARGINAL * size:
        return 0.0
    return mu + 0.5 / t


def _best_shift(s: float, t: float, mu: float, alpha: float) -> tuple[float, float]:
    """The shift of the least error of the slowest mode, and how many times less device time it takes than s."""
    best = max(mu, alpha + 0.5 / t)
    gain = 2.0 * (s - best) * t + np.log(best - alpha) - np.log(s - alpha)
    return best, float(np.exp(np.clip(gain, -_LARGEST, _LARGEST)))


def _positive(value: Any) -> float:
    found = _finite(value, "the time")
    if not found > 0:
        raise InputError(f"the time is {found:.6g}: it must be positive (the exponential of -A t is that of -A)")
    return found


def _finite(value: Any, what: str = "the shift") -> float:
    good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not good or not np.isfinite(value):
        raise InputError(f"{what} is {shorten(value)}: it must be a finite number")
    return float(value)


def _semidefinite(Q: FloatArray) -> FloatArray:
    """A matrix whose least eigenvalue is zero but for rounding, without what is below zero."""
    values, vectors = la.eigh(Q)
    if values[0] >= 0:
        return Q
    return np.asarray(Q - (vectors * np.minimum(values, 0.0)) @ vectors.T)


register(
    Kind(
        "exponential",
        MatrixExponential,
        LAGGED,
        "find the exponential of a matrix",
        "finds exp(A t) of this matrix A (from the covariance of x with itself a time t later)",
        "Matrix to exponentiate",
        values=("time", "shift"),
        optional=("time", "shift"),
    )
)
