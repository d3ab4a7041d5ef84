"""What single precision makes of a run of dense steps, worked out before it runs.

States, products and readouts are then floats; normals and sums stay doubles. What runs is
``x' = fl(Phi_32 (x) + L_32 z)``, seen as ``y = fl(H_32 x)``, with matrices rounded to floats. Three things are off:

- the matrices are others, by up to 2^-24 of each entry, and always in the same way: a bias. It gathers over as many
  steps as the process remembers, so that it grows as the interval falls: about 2^-24 over ``1 - |Phi|^2``;
- every fused multiply-add rounds what its sum has come to: noise, of at most (2^-24)^2/3 of the variance of each
  partial sum, which differs from step to step and is as good as independent of the state;
- so does every normal.

Both of the law's covariance and of the step's are known, so the covariance of what runs is known, too, to first order
in the noise of rounding and exactly in the matrices: from the law's P and the start's P_0 = P + X_0,

    X' = Phi_32 X Phi_32^T + R,    R = Phi_32 P Phi_32^T - Phi P Phi^T + L_32 L_32^T - L L^T + D ,

X being by how much the states' covariance is off and D the (diagonal) noise of rounding. The sign of a state changes
no rounding: means are not off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.emulator.laws.stationary import Stationary
from spu.emulator.runs.kernels import DenseStep
from spu.emulator.runs.run import Method

UNIT, SMALLEST = 2.0**-24, 2.0**-150
"""Half the distance from 1 to the next float, and from zero."""

_LARGEST = 1e36
"""Standard deviation of a sum beyond which floats may overflow."""

MOST_BIAS = 1e-4
"""Of a covariance, for the standard deviations of both: what single precision may put it off by."""

SHARE_OF_ERROR = 0.1
"""Of the standard error of a covariance: what the same may be; it widens the error bar by half a per cent then."""

MARGIN = 4.0
"""The guard lets a run be off by so many times the bias: of its last states it may be twice that of its mean."""

_GONE = 1e-9
"""Of a power of the transition, on scales of the states' own: as good as nothing."""


@dataclass(frozen=True, eq=False)
class Bias:
    """By how much the second moments of a run are off.

    Attributes
    ----------
    states:
        (n, n) of the states, on average over the readouts of a trajectory.
    products:
        (lags + 1, p, p) of what is observed, V^2: of ``E y(k) y(k - l apart)^T``.
    """

    states: FloatArray
    products: FloatArray


def rounded(matrix: FloatArray) -> FloatArray:
    """The nearest floats."""
    with np.errstate(over="ignore", under="ignore"):
        return matrix.astype(np.float32).astype(np.float64)


def bias_of(law: Stationary, how: Method, steps: int, lags: int = 0, apart: int = 1) -> Bias:
    """Bias of a run of ``steps`` readouts a trajectory; entries are not finite where floats do not reach.

    Of ``lags`` and ``apart`` as `spu.emulator.runs.run.run` has them.
    """
    assert isinstance(how.start, DenseStep) and isinstance(how.step, DenseStep)
    n, P, H = how.rows, law.covariance, how.step.observe
    size = np.sqrt(np.maximum(np.diag(P), 0.0))
    scale = np.where(size > 0, size, 1.0)
    with np.errstate(all="ignore"):
        nothing = np.zeros((0, 0))
        transition, exact = rounded(how.step.matrix[:, :n]), how.step.matrix[:, :n]
        first = _of_factor(how.start.matrix) + np.diag(_noise(how.start.matrix, nothing))
        every = (
            _between(transition, exact, P) + _of_factor(how.step.matrix[:, n:]) + np.diag(_noise(how.step.matrix, P))
        )
        unit = np.outer(scale, scale)
        X = _mean(transition / scale[:, None] * scale, first / unit, every / unit, steps) * unit
        seen = rounded(H)
        products = [seen @ X @ seen.T + _between(seen, H, P) + np.diag(_noise(H, P))]
        off, true = (P + X) @ seen.T, P @ H.T
        for k in range(lags * apart):
            off, true = transition @ off, exact @ true
            if (k + 1) % apart == 0:
                products.append(seen @ off - H @ true)
    return Bias(X, np.array(products))


def _between(near: FloatArray, exact: FloatArray, P: FloatArray) -> FloatArray:
    """``near P near^T - exact P exact^T``, where nothing cancels."""
    change = near - exact
    return change @ P @ near.T + exact @ P @ change.T


def _of_factor(root: FloatArray) -> FloatArray:
    near = rounded(root)
    change = near - root
    return change @ near.T + root @ change.T


def _noise(matrix: FloatArray, P: FloatArray) -> FloatArray:
    """(n,) variance of what rounding adds to ``matrix @ (x, normals)``, x (m,) of covariance P, at most.

    A sum in floats is one chain over rising columns, and every step of it that adds anything rounds: by no more than
    `UNIT` of what the sum has come to, and evenly between. Infinite where floats may overflow.
    """
    m = len(P)
    a, root = matrix[:, :m].T, matrix[:, m:].T
    steps = a * (2.0 * (np.tril(P, -1) @ a) + np.diag(P)[:, None] * a)
    partial = np.maximum(np.cumsum(np.concatenate([steps, root**2]), axis=0), 0.0)
    partial[~(partial < _LARGEST**2)] = np.inf
    made = matrix.T != 0
    relative = np.where(made, partial, 0.0).sum(axis=0) + (root**2).sum(axis=0)
    return np.asarray((UNIT**2 * relative + SMALLEST**2 * made.sum(axis=0)) / 3.0)


def _mean(transition: FloatArray, first: FloatArray, every: FloatArray, steps: int) -> FloatArray:
    """Mean over k < steps of ``X_k``, ``X_0 = first``, ``X_(k + 1) = transition X_k transition^T + every``.

    By doubling, from the top bit of ``steps`` down. With M the m-th power of the transition, ``gathered`` what
    ``every`` comes to in m steps and ``total`` the sum over k < m: ``X_(m + k) = M X_k M^T + gathered``.
    """
    power = np.eye(len(transition))
    gathered, total, m = np.zeros_like(power), np.zeros_like(power), 0
    for bit in f"{steps:b}":
        if m:
            total = total + power @ total @ power.T + m * gathered
            gathered = gathered + power @ gathered @ power.T
            power, m = power @ power, 2 * m
        if bit == "1":
            total = total + power @ first @ power.T + gathered
            gathered = every + transition @ gathered @ transition.T
            power, m = transition @ power, m + 1
        if np.abs(power).max(initial=0.0) < _GONE:
            total = total + (steps - m) * gathered
            break
    return np.asarray(total / steps)


def hold_bias(
    bias: Bias,
    transform: FloatArray,
    covariance: FloatArray,
    variance: FloatArray,
    names: Sequence[str],
    interval: float,
) -> float:
    """Return the largest bias, for the standard deviations of both variables, if a run may have it.

    Parameters
    ----------
    bias:
        Of what is observed.
    transform:
        (q, p) from that to variables.
    covariance, variance:
        (q, q) of the variables, and variances of its estimates.
    names, interval:
        Of the variables; s between readouts.

    Raises
    ------
    UsageError
        If it is beyond `MOST_BIAS`, or `SHARE_OF_ERROR` of the standard errors.
    """
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    there = np.outer(size, size) > 0
    unit = np.where(there, np.outer(size, size), 1.0)
    with np.errstate(all="ignore"):
        seen = np.abs(transform @ bias.products @ transform.T).max(axis=0)
        off = np.nan_to_num(seen, nan=np.inf, posinf=np.inf) / unit
        error = np.sqrt(np.maximum(variance, 0.0)) / unit

    def worst(of: FloatArray) -> tuple[float, str]:
        i, j = divmod(int(of.argmax()), len(names))
        what = f"the variance of {names[i]}" if i == j else f"the covariance of {names[i]} and {names[j]}"
        return float(of[i, j]), f"in single precision {what} would be off by"

    largest, said = worst(off)
    if not np.isfinite(largest):
        raise UsageError("in single precision the numbers of this circuit overflow (1e38): take double precision")
    if not largest <= MOST_BIAS:
        raise UsageError(
            f"{said} {largest:.1e} of its size at readouts {interval:.3g} s apart ({MOST_BIAS:g} at most): take a "
            "longer interval, or double precision"
        )
    share, said = worst(off / np.where(there, error, np.inf))
    if not share <= SHARE_OF_ERROR:
        raise UsageError(
            f"{said} {share:.2g} of its standard error of so many samples ({SHARE_OF_ERROR:g} at most): take double "
            "precision, or fewer samples"
        )
    return largest
