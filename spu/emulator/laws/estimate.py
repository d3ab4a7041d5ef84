"""Estimates from correlated samples: covariance, mean, and how sure they are.

The autocorrelation of an RLC voltage integrates to zero, so the textbook effective sample
size (of the mean) diverges; what counts is the error of the covariance estimate, known
exactly from the process: for jointly Gaussian samples at spacing h,

    Cov(P_ij, P_ij) = (1/N) sum_l (1 - |l|/N) (R_ii(l) R_jj(l) + R_ij(l) R_ji(l)),

with ``R(l) = E[y(t + l h) y(t)^T]`` (Bartlett 1946). Of the covariance of readouts L apart, from the M pairs of
each trajectory that are there, it is

    Cov(R_ij(L), R_ij(L)) = (1/M) sum_l (1 - |l|/M) (R_ii(l) R_jj(l) + R_ij(L + l) R_ij(L - l)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.emulator.equations.linear import DenseSDE
from spu.emulator.laws.modes import Modes
from spu.emulator.laws.propagate import exact_step
from spu.emulator.laws.stationary import Stationary


@dataclass(frozen=True, eq=False)
class SamplingError:
    """What the estimates from given samples can be expected to miss by.

    Attributes
    ----------
    covariance_variance:
        (p, p) variances of the entries of the covariance estimate (units of y to the fourth).
    mean_variance:
        (p,) variances of the mean estimate.
    effective_samples:
        Independent samples that would give the same expected squared Frobenius error of the
        covariance: ``((tr P)^2 + |P|_F^2) / E|P_hat - P|_F^2``.
    mean_covariance:
        (p, p) covariance of the mean estimate.
    lagged_variance:
        (p, p) variances of the entries of the lagged covariance estimate; None where no lag is counted.
    """

    covariance_variance: FloatArray
    mean_variance: FloatArray
    effective_samples: float
    mean_covariance: FloatArray
    lagged_variance: FloatArray | None = None


def independent_error(covariance: FloatArray, samples: int) -> SamplingError:
    """Sampling error of ``samples`` independent draws of a Gaussian with the (p, p) covariance given."""
    variance = np.diag(covariance)
    squares = np.outer(variance, variance) + covariance**2
    return SamplingError(squares / samples, np.maximum(variance, 0.0) / samples, float(samples), covariance / samples)


def about_sample_mean(
    law: Stationary | None,
    error: SamplingError,
    covariance: FloatArray,
    *,
    steps: int,
    interval: float,
    count: int,
    transform: FloatArray | None = None,
    lag: int = 0,
) -> SamplingError:
    """The same for covariances about the sample mean: mean squared errors, bias included.

    Taking the mean from the same samples lowers the covariance by that of the mean, V, and takes part of its
    scatter away, too: with ``A_ij(k) = sum_l R_ij(k - l)`` over the readouts of a trajectory, and N samples,

        E (P_hat - P)_ij^2 = Var_ij - (2 count / N^3) sum_k (A_ii A_jj + A_ij A_ji)(k) + V_ii V_jj + 2 V_ij^2,

    where Var is that about the known mean (Isserlis; ``error``). For large networks, and in long runs where modes
    nearly coincide, the products of means are left out but for the bias ``V_ij^2``: then it is a bound of what counts.
    Effective samples stay those of ``error``: as many independent ones have the same bias. Of covariances of readouts
    ``lag`` apart, of which a trajectory has M pairs, the terms are ``V_ii V_jj + 2 V_ij^2``, too, and

        (2 / M N^2) sum_k (A_ii(k + lag) A_jj(k) + A_ij(k + lag) A_ji(k)).

    Parameters
    ----------
    law:
        None of independent samples, of which there are ``count``, one step each.
    error, covariance:
        About the known mean, and the (q, q) covariance.
    steps, interval, count, transform, lag:
        As `trajectory_error`.
    """
    V, total = error.mean_covariance, float(steps * count)
    variance = np.diag(V)
    mean_products = np.outer(variance, variance) + 2.0 * V**2
    counts = law is None or bool(np.any(variance > _NEGLIGIBLE * np.diag(covariance)))

    def about(scatter: FloatArray, back: int) -> FloatArray:
        crossed = np.zeros_like(V)
        if law is None:
            own = np.diag(covariance)
            crossed = np.outer(own, own) + covariance**2
        elif counts:
            crossed = _row_sums(law, steps, interval, transform, back)
        if law is None or crossed.any():
            pairs = float((steps - back) * count)
            squares = scatter - 2.0 * count * crossed / (pairs * total**2) + mean_products
        else:
            squares = scatter + V**2
        return np.maximum(squares, V**2)

    lagged = None if error.lagged_variance is None else about(error.lagged_variance, lag)
    return SamplingError(about(error.covariance_variance, 0), error.mean_variance, error.effective_samples, V, lagged)


_NEGLIGIBLE = 1e-5
"""Share of a variance below which that of its mean takes no part of its scatter away worth working out."""


def _row_sums(law: Stationary, steps: int, interval: float, transform: FloatArray | None, lag: int) -> FloatArray:
    """``sum_k (A_ii(k + lag) A_jj(k) + A_ij(k + lag) A_ji(k))`` of `about_sample_mean`; zeros where it costs much."""
    left = law.dense.H if transform is None else transform @ law.dense.H
    if len(law.dense.A) > _FEW:
        return np.zeros((len(left), len(left)))
    values, vectors = law.dense.modes
    if np.linalg.cond(vectors) > 1e5:
        return _rows_one_by_one(law, left, steps, interval, lag)
    right = la.solve(vectors, (law.covariance @ left.T).astype(np.complex128))
    modal = left @ vectors
    # With g_m(k) = sum_{l <= k} exp(x_m l) and h_m(k) = g_m(steps - 1 - k) - 1 of each mode m,
    # A_ij(k) = sum_m a_ijm g_m(k) + a_jim h_m(k).
    exponent, n = values * (interval / law.dense.time), steps - lag
    total, forth, across, _ = _sums_of_series(exponent, n)
    # Over n = steps - lag terms g(k + lag) = start + power g(k), h(k) = start + power g(n - 1 - k) - 1, and h(k + lag)
    # is as without a lag. Products of what stands at k + lag with what stands at k:
    power, start = np.exp(exponent * lag), _sums_of_series(exponent, lag)[3]
    gg = start[:, None] * total + power[:, None] * forth
    gh = np.outer(start, (start - 1.0) * n + power * total)
    gh += power[:, None] * (np.outer(total, start - 1.0) + power * across)
    hg = across - total
    hh = np.outer(total, start - 1.0) + power * forth - ((start - 1.0) * n + power * total)
    own = modal * right.T
    a = modal[:, None, :] * right.T
    turned = np.swapaxes(a, 0, 1)
    crossed = ((a @ gg) * turned + (a @ gh) * a + (turned @ hg) * turned + (turned @ hh) * a).sum(axis=2)
    return np.asarray((own @ (gg + gh + hg + hh) @ own.T + crossed).real)


def _rows_one_by_one(law: Stationary, left: FloatArray, steps: int, interval: float, lag: int) -> FloatArray:
    """`_row_sums` where modes nearly coincide; zeros where that costs too much."""
    if steps * left.size * max(len(left), len(law.dense.A)) > 10_000_000:
        return np.zeros((len(left), len(left)))
    step, current = exact_step(law.dense, interval).transition, law.covariance @ left.T
    R = np.empty((steps, len(left), len(left)))
    for k in range(steps):
        R[k] = left @ current
        current = step @ current
    sums = np.cumsum(R, axis=0)
    A = sums + np.swapaxes(sums[::-1], 1, 2) - R[0].T
    own, n = np.diagonal(A, axis1=1, axis2=2), steps - lag
    return np.asarray(own[lag:].T @ own[:n] + (A[lag:] * np.swapaxes(A[:n], 1, 2)).sum(axis=0))


def _sums_of_series(
    exponent: NDArray[np.complex128], steps: int
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
    """Sums over ``k < steps`` of ``g(k) = sum_{l <= k} exp(exponent l)``, exponents (n,) left of the imaginary axis.

    Returns the sums of ``g`` (n,), of ``g_a(k) g_b(k)`` and of ``g_a(k) g_b(steps - 1 - k)`` (n, n), and
    ``g(steps - 1)`` (n,): by doubling, with ``g(k + K) = g(K - 1) + exp(exponent K) g(k)``, where nothing cancels
    however slow or fast a mode is.
    """
    n, ratio = len(exponent), np.exp(exponent)
    last, total = np.zeros(n, dtype=np.complex128), np.zeros(n, dtype=np.complex128)  # g(K - 1), and its sum
    forth, across = np.zeros((n, n), dtype=np.complex128), np.zeros((n, n), dtype=np.complex128)
    known = 0
    for bit in f"{steps:b}":
        power = np.exp(exponent * known)
        through, shared = np.outer(last, power * total), np.outer(last, total)
        forth = forth + known * np.outer(last, last) + through + through.T + np.outer(power, power) * forth
        across = shared + shared.T + (power[:, None] + power) * across
        total = total + known * last + power * total
        last, known = last + power * last, 2 * known
        if bit == "1":
            across = total[:, None] + ratio * across
            last = 1.0 + ratio * last
            total, forth, known = total + last, forth + np.outer(last, last), known + 1
            across = across + last[:, None]
    return total, forth, across, last


def trajectory_error(
    law: Stationary,
    *,
    steps: int,
    interval: float,
    count: int,
    transform: FloatArray | None = None,
    lag: int = 0,
) -> SamplingError:
    """Sampling error of ``count`` stationary trajectories of ``steps`` readouts, ``interval`` seconds apart.

    Parameters
    ----------
    law, steps, interval, count:
        The process and how it is sampled.
    transform:
        (q, p): estimates are of ``transform @ y``; the probes themselves unless given.
    lag:
        Fewer than ``steps``: the covariance of readouts so many apart is estimated, too; 0 for none.

    Notes
    -----
    In modes of the drift every sum over lags is a geometric series, taken in closed form. Where they
    nearly coincide (critical damping), or cost more than they save, lags are summed one by one until the
    slowest has decayed.
    """
    P, diagonal, crossed, mean = _sums(law, steps, interval, transform)
    variance = np.diag(P)
    total = steps * count
    covariance_variance = (np.outer(variance, variance) + P * P.T + 2.0 * (diagonal + crossed)) / total
    mean_covariance = (P + mean + mean.T) / total
    # Between those of as many samples as readouts and as trajectories, whatever rounding makes of them.
    least, most = 2.0 * variance**2 / total, 2.0 * variance**2 / count
    index = np.arange(len(P))
    covariance_variance[index, index] = np.clip(covariance_variance[index, index], least, most)
    mean_variance = np.clip(np.diag(mean_covariance), 0.0, np.maximum(variance, 0.0) / count)
    independent = float(np.trace(P) ** 2 + (P**2).sum())
    expected = float(covariance_variance.sum())
    effective = independent / expected if expected > 0 else float(total)
    lagged = (
        lagged_variance(law, lag, steps=steps, interval=interval, count=count, transform=transform) if lag else None
    )
    return SamplingError(np.maximum(covariance_variance, 0.0), mean_variance, effective, mean_covariance, lagged)


def lagged_variance(
    law: Stationary, lag: int, *, steps: int, interval: float, count: int, transform: FloatArray | None = None
) -> FloatArray:
    """(q, q) variances of covariances of readouts ``lag`` apart, about the known mean; arguments as `trajectory_error`.

    Each trajectory has ``steps - lag`` pairs. That of the entry (i, j) is of ``E y_i(k + lag) y_j(k)``.
    """
    n = steps - lag
    states, modes = law.sde.E.shape[0], law.modes
    if modes is not None and states > _FEW:
        lift = modes.probes if transform is None else transform @ modes.probes
        P, products, crossed = _commuting_lagged(modes, lift, n, interval, law.slowest, lag)
    else:
        dense = law.dense
        left = dense.H if transform is None else transform @ dense.H
        right = law.covariance @ left.T
        P = left @ right
        products, crossed = _lagged_sums(dense, left, right, n, interval, law.slowest, lag)
    variance = np.diag(P)
    return np.asarray(np.clip(products + crossed, 0.0, n * 2.0 * np.outer(variance, variance)) / (n * count))


def _lagged_sums(
    dense: DenseSDE, left: FloatArray, right: FloatArray, n: int, interval: float, slowest: float, lag: int
) -> tuple[FloatArray, FloatArray]:
    """Sums over all ``|l| < n``, weighted ``1 - |l| / n``, for ``R(l) = left expm(A l interval) right``.

    Of ``R_ii(l) R_jj(l)`` and of ``R_ij(lag + l) R_ij(lag - l)`` (p, p). Below zero R is transposed: the second splits
    at ``l = lag`` into what is near, of two lags that add up to ``2 lag``, and a geometric series beyond.
    """
    variance = np.diag(left @ right)
    if len(dense.A) <= _MANY:
        values, vectors = dense.modes
        if np.linalg.cond(vectors) < 1e5:
            modal, lifted = la.solve(vectors, right.astype(np.complex128)), left @ vectors
            exponent = values * (interval / dense.time)
            products = _modal_sums(lifted, modal, exponent, n)[0]
            near = np.arange(1, min(lag, n - 1) + 1)
            S = (np.exp(np.outer(exponent, lag + near)) * (1.0 - near / n)) @ np.exp(np.outer(exponent, lag - near)).T
            crossed = _of_pairs(S, lifted, modal, turned=False)
            if n - lag > 1:
                S = np.exp(2 * lag * exponent)[:, None] * _series(exponent[:, None] + exponent, n - lag)
                crossed = crossed + ((n - lag) / n) * _of_pairs(S, lifted, modal, turned=True)
            R = ((lifted * np.exp(exponent * lag)) @ modal).real
            return np.outer(variance, variance) + 2.0 * products, R**2 + 2.0 * crossed.real
    return _lagged_one_by_one(dense, left, right, n, interval, slowest, lag)


def _lagged_one_by_one(
    dense: DenseSDE, left: FloatArray, right: FloatArray, n: int, interval: float, slowest: float, lag: int
) -> tuple[FloatArray, FloatArray]:
    """`_lagged_sums` where modes nearly coincide, or are too many."""
    step = exact_step(dense, interval).transition
    last = _last_lag(n, interval, slowest, len(dense.A))
    variance, products = np.diag(left @ right), _lag_sums(left, step, right, n, last)[0]
    reach = max(last, min(lag, n - 1))
    found, current = [left @ right], right
    for _ in range(lag + reach):
        current = step @ current
        found.append(left @ current)
    R = found[lag]
    crossed = np.zeros_like(R)
    for near in range(1, reach + 1):
        other = found[lag - near] if near <= lag else found[near - lag].T
        crossed += (1.0 - near / n) * found[lag + near] * other
    return np.outer(variance, variance) + 2.0 * products, R**2 + 2.0 * crossed


def _of_pairs(
    S: NDArray[np.complex128],
    left: NDArray[np.complex128],
    right: NDArray[np.complex128],
    *,
    turned: bool,
) -> NDArray[np.complex128]:
    """(p, p) sums over pairs of modes k, m of ``left_ik right_kj S_km left_im right_mj``, or of ``left_jm right_mi``.

    S is smooth, so that few of its singular vectors do (all of them for few states).
    """
    u, sizes, v = la.svd(S)
    kept = sizes > (1e-16 if len(S) <= _FEW else 1e-8) * sizes[0]
    crossed = np.zeros((len(left), len(left)), dtype=np.complex128)
    for a, size, b in zip(u.T[kept], sizes[kept], v[kept], strict=True):
        other = (left * b) @ right
        crossed += size * ((left * a) @ right) * (other.T if turned else other)
    return crossed


def _commuting_lagged(
    modes: Modes, lift: FloatArray, n: int, interval: float, slowest: float, lag: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The covariance, and the sums of `_lagged_sums`, for ``R(l) = lift diag(r(l)) lift^T``, which is symmetric."""
    P, products, _, _ = _commuting_sums(modes, lift, n, interval, slowest)
    last = max(_last_lag(n, interval, slowest, _MANY + 1), min(lag, n - 1))
    S = np.zeros((len(modes.variance),) * 2)
    for first in range(1, last + 1, 1024):
        away = np.arange(first, min(first + 1024, last + 1))
        ahead, back = (modes.correlation(np.abs(each) * interval) * modes.variance for each in (lag + away, lag - away))
        S += (ahead.T * (1.0 - away / n)) @ back
    sizes, vectors = la.eigh((S + S.T) / 2.0)
    crossed = np.zeros_like(P)
    for k in np.flatnonzero(np.abs(sizes) > 1e-6 * np.abs(sizes).max(initial=0.0)):
        crossed += sizes[k] * ((lift * vectors[:, k]) @ lift.T) ** 2
    R = (lift * (modes.correlation(np.array([lag * interval]))[0] * modes.variance)) @ lift.T
    variance = np.diag(P)
    return P, np.outer(variance, variance) + 2.0 * products, R**2 + 2.0 * crossed


def _sums(
    law: Stationary, steps: int, interval: float, transform: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """``R(0)``, and the sums over positive lags, with weights ``1 - l / steps``.

    Of ``R_ii R_jj`` (p, p), of ``R_ij R_ji`` (p, p), and of R (p, p).
    """
    states = law.sde.E.shape[0]
    if law.modes is not None and states > _FEW:
        lift = law.modes.probes if transform is None else transform @ law.modes.probes
        return _commuting_sums(law.modes, lift, steps, interval, law.slowest)
    dense = law.dense
    left = dense.H if transform is None else transform @ dense.H
    right = law.covariance @ left.T
    sums = sums_over_lags(dense, left, right, interval=interval, steps=steps, slowest=law.slowest)
    return left @ right, *sums


def sums_over_lags(
    dense: DenseSDE, left: FloatArray, right: FloatArray, *, interval: float, steps: int, slowest: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums over the lags ``l = 1 .. steps - 1``, weighted ``1 - l / steps``, of a known autocovariance R(l).

    Parameters
    ----------
    dense:
        Its drift makes ``R(l) = left expm(A l interval) right``, whatever noise drives it.
    left, right:
        (p, n) and (n, p); ``left @ right`` is the covariance.
    interval, slowest:
        s, between samples, and the longest time constant.
    steps:
        Samples.

    Returns
    -------
    The sums of ``R_ii R_jj`` (p, p), of ``R_ij R_ji`` (p, p), and of R (p, p).
    """
    states = len(dense.A)
    if states <= _MANY:
        values, vectors = dense.modes
        if np.linalg.cond(vectors) < 1e5:
            modal = la.solve(vectors, right.astype(np.complex128))
            return _modal_sums(left @ vectors, modal, values * (interval / dense.time), steps)
    last = _last_lag(steps, interval, slowest, states)
    return _lag_sums(left, exact_step(dense, interval).transition, right, steps, last)


_FEW, _MANY = 64, 600
"""States up to which sums keep every digit, and up to which all eigenvectors of a drift are worth finding."""


def _last_lag(steps: int, interval: float, slowest: float, states: int) -> int:
    """The lag by which squares have decayed to rounding; for error bars of large networks, to 1e-7."""
    return int(min(steps - 1.0, np.ceil((40.0 if states <= _MANY else 8.0) * (slowest / interval))))


def _series(exponent: NDArray[np.complex128], steps: int) -> NDArray[np.complex128]:
    """``sum over l = 1..steps-1 of (1 - l/steps) exp(exponent l)``, exponents left of the imaginary axis.

    The closed form cancels where little decays in all: there the binomial series of ``(1 - gap)^steps`` is taken.
    """
    ratio, gap = np.exp(exponent), -np.expm1(exponent)
    little = np.abs(steps * gap) < 0.1
    safe = np.where(little, 1.0, gap)
    closed = 1.0 / safe + np.expm1(steps * exponent) / (steps * safe**2)
    term = np.full_like(gap, (steps - 1) / 2.0)
    series = term.copy()
    for j in range(2, 12):
        term = -term * gap * ((steps - j) / (j + 1.0))
        series += term
    return np.asarray(ratio * np.where(little, series, closed))


def _modal_sums(
    left: NDArray[np.complex128], right: NDArray[np.complex128], exponent: NDArray[np.complex128], steps: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums as in `_sums` for ``R(l) = left diag(exp(exponent l)) right``.

    The crossed one is a sum over pairs of modes (`_of_pairs`).
    """
    own = left * right.T  # (p, n): R_ii(l) = own_i exp(exponent l)
    pairs = _series(exponent[:, None] + exponent, steps)
    products, crossed = own @ pairs @ own.T, _of_pairs(pairs, left, right, turned=True)
    return products.real, crossed.real, ((left * _series(exponent, steps)) @ right).real


def mean_covariance(law: Stationary, *, steps: int, interval: float, transform: FloatArray | None = None) -> FloatArray:
    """(q, q) covariance of the mean of one trajectory, as `trajectory_error`, for whoever needs nothing else.

    By doubling, whatever the modes are: with ``G(k) = sum_{l <= k} F^l`` and the transition F of one interval,
    ``G(k + K) = G(K - 1) + F^K G(k)``.
    """
    dense = law.dense
    left = dense.H if transform is None else transform @ dense.H
    step = exact_step(dense, interval).transition
    n = len(step)
    last, total, power, known = np.zeros((n, n)), np.zeros((n, n)), np.eye(n), 0  # G(known - 1), sum of G, F^known
    for bit in f"{steps:b}":
        total = total + known * last + power @ total
        last, power, known = last + power @ last, power @ power, 2 * known
        if bit == "1":
            last = last + power
            total, power, known = total + last, step @ power, known + 1
    # The sum over positive lags with weights 1 - l / N is that of G over N, less what lag 0 has of it.
    right = law.covariance @ left.T
    P = left @ right
    later = left @ total @ right / steps - P
    found = (P + later + later.T) / steps
    index, variance = np.arange(len(P)), np.maximum(np.diag(P), 0.0)
    found[index, index] = np.clip(np.diag(found), 0.0, variance)
    return np.asarray(found)


@dataclass(frozen=True, eq=False)
class ModalSpread:
    """What `trajectory_error` gives of all covariances together, at a fraction of its cost.

    Attributes
    ----------
    own:
        (n,) with ``sum_i R_ii(t) = sum_m own_m exp(rates_m t)``.
    crossed:
        (n, n) with ``sum_ij R_ij(t) R_ji(t) = sum_km crossed_km exp((rates_k + rates_m) t)``.
    rates:
        (n,) 1/s.
    """

    own: NDArray[np.complex128]
    crossed: NDArray[np.complex128]
    rates: NDArray[np.complex128]

    @classmethod
    def of(cls, law: Stationary, transform: FloatArray) -> ModalSpread | None:
        """That of ``transform @ y``; None where modes are too many, or nearly coincide.

        A drift that has not all eigenvectors is multiplied by 1 and a random matrix of 1e-7 or so: that gives it some,
        and moves slow and fast modes, and what is summed, by little more.
        """
        dense = law.dense
        if len(dense.A) > _MANY:
            return None
        values, vectors = dense.modes
        for size in (1e-7, 1e-6, 1e-5, 1e-4):
            if np.linalg.cond(vectors) < 1e5:
                break
            moved = np.random.default_rng(7).uniform(-1.0, 1.0, dense.A.shape)
            values, vectors = la.eig(dense.A + size * moved @ dense.A)
        if np.linalg.cond(vectors) > 1e6 or not (values.real < 0).all():
            return None
        lift = transform @ dense.H
        left = lift @ vectors
        right = la.solve(vectors, (law.covariance @ lift.T).astype(np.complex128))
        inner = right @ left
        return cls((left * right.T).sum(axis=0), inner * inner.T, values / dense.time)

    def variance(self, steps: int, interval: float) -> float:
        """The sum of the variances of all covariances, about the known mean."""
        exponent = self.rates * interval
        pairs = _series(exponent[:, None] + exponent, steps)
        covariance = np.outer(self.own, self.own) + self.crossed
        return max(float((covariance.sum() + 2.0 * (covariance * pairs).sum()).real) / steps, 0.0)


def _commuting_sums(
    modes: Modes, lift: FloatArray, steps: int, interval: float, slowest: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sums as in `_sums` for ``R(l) = lift diag(r(l)) lift^T`` with the modes' own autocovariances r(l)."""
    P = (lift * modes.variance) @ lift.T
    last = _last_lag(steps, interval, slowest, _MANY + 1)
    pairs, mean = np.zeros((len(modes.variance),) * 2), np.zeros(len(modes.variance))
    for first in range(1, last + 1, 1024):
        lags = np.arange(first, min(first + 1024, last + 1))
        r = modes.correlation(lags * interval) * modes.variance
        weights = 1.0 - lags / steps
        pairs += (r.T * weights) @ r
        mean += weights @ r
    own = lift**2
    sizes, vectors = la.eigh(pairs)
    crossed = np.zeros_like(P)
    for k in np.flatnonzero(sizes > 1e-6 * sizes[-1]):
        crossed += sizes[k] * ((lift * vectors[:, k]) @ lift.T) ** 2
    return P, own @ pairs @ own.T, crossed, (lift * mean) @ lift.T


def _lag_sums(
    left: FloatArray, step: FloatArray, right: FloatArray, steps: int, last: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums as in `_sums`, lag by lag up to ``last``, for ``R(l) = left step^l right``."""
    products, crossed, mean = (np.zeros((len(left), len(left))) for _ in range(3))
    current = right
    for lag in range(1, last + 1):
        current = step @ current
        R = left @ current
        diagonal, weight = np.diag(R), 1.0 - lag / steps
        products += weight * np.outer(diagonal, diagonal)
        crossed += weight * R * R.T
        mean += weight * R
    return products, crossed, mean
