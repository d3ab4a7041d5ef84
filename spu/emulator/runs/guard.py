"""The program's own guard: what a run has counted is held against the exact law of what it draws.

A run of c independent trajectories of n readouts gives sums of squares ``q = sum y^2`` and products of
stationary Gaussians whose law is known. Such a sum is ``sum_k w_k chi2_1`` with as many weights as readouts. Nobody
wants to compute these, but their sum, the sum of their squares ``s`` and a bound ``L`` of the largest are known,
and these bound its tails. In the cumulant generating function ``sum_k (-log(1 - 2 t w_k)/2 - t w_k)`` each term
over ``w_k^2`` grows with ``w_k``, so that Chernoff's bound is largest where all weights are L:

    log P(q - E q >= x) <= -(x/L - m log(1 + x/(m L))) / 2,   m = s / L^2 .

Below, of weights that are positive, ``log(1 + 2 t w)/w`` is convex in w, so that (Jensen) it is largest where
all are equal: ``log P(q <= r E q) <= (m/2) (log r + 1 - r)``, ``m = (E q)^2 / s``. Both are chi-squared tails, as
they have to be at few effective samples, and hold whatever the weights are: a p-value from them is never too small.

How long a process remembers gives s and L. In white coordinates of the state, ``G = P^-1/2 Phi P^1/2`` is a
contraction, and a readout ``y = g . w`` with ``|g| = 1`` has the autocorrelation ``r(l) = g . G^l g``. With
``X = sum_{l < n} |G^l g|^2`` and ``Y = sum_{l < n} |(G^T)^l g|^2`` (Cauchy and Schwarz, lag by lag):

    sum_kl r(k - l)^2 <= n (2 min(X, Y) - 1),
    sum_l |r(l)|      <= 2 (sqrt(X Y) + sqrt(X (Y - 1))) - 1    (r(2l) = (G^T^l g) . (G^l g), and so the odd ones),

and the spectrum of a Toeplitz matrix is below the second. Nothing is larger than n, as if a trajectory were one sample.

All tests of a run share `FALSE_ALARM`. A deviation beyond it is an `InternalError`: never a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import log_ndtr

from spu.base.arrays import FloatArray
from spu.base.errors import InternalError
from spu.base.sparse import row_numbers, with_data
from spu.emulator.laws.large import Midpoint, SparseLaw
from spu.emulator.laws.propagate import factor
from spu.emulator.laws.reach import silent
from spu.emulator.laws.stationary import Stationary
from spu.emulator.runs.kernels import DenseStep, ModalStep
from spu.emulator.runs.large_run import ROWS, PatternSums
from spu.emulator.runs.run import Method, Sums
from spu.emulator.runs.single import MARGIN, SMALLEST, UNIT, Bias

FALSE_ALARM = 1e-9
"""Probability of a false alarm of a run, over all its tests."""

_ROUNDING = 1e-11
"""Of the largest of what was added up: laws and sums are not known better, and no deviation below it counts."""


class Tests:
    """Bounds of the p-values of a run's tests, as they come.

    Attributes
    ----------
    count:
        Of tests so far.
    log_p:
        Natural logarithm of the smallest bound.
    """

    def __init__(self) -> None:
        self.count = 0
        self.log_p = 0.0
        self._says: Callable[[], str] = lambda: "nothing"

    def add(self, log_p: FloatArray | float, says: Callable[[int], str], count: int | None = None) -> None:
        """Add the logarithms of p-values (any shape) of ``count`` tests; ``says`` words the one at a flat index."""
        flat = np.ravel(np.asarray(log_p, dtype=np.float64))
        if not len(flat):
            return
        flat = np.where(np.isnan(flat), -np.inf, flat)
        worst = int(np.argmin(flat))
        self.count += len(flat) if count is None else count
        if flat[worst] < self.log_p:
            self.log_p = float(flat[worst])
            self._says = lambda: says(worst)

    def require(self, what: str, holds: bool) -> None:
        """A test that cannot fail by chance."""
        self.add(0.0 if holds else -np.inf, lambda _: what)

    @property
    def p(self) -> float:
        """Of the run: the probability that any of its tests comes out as far as the worst, or a bound of it."""
        return float(min(1.0, np.exp(self.log_p) * max(self.count, 1)))

    def judge(self) -> None:
        """Refuse a run whose law is not the one that it was to have.

        Raises
        ------
        InternalError
            With the figures of the worst test.
        """
        if self.p < FALSE_ALARM:
            power = (self.log_p + np.log(self.count)) / np.log(10)
            chance = "never by chance" if np.isinf(power) else f"by chance in one run of 1e{-power:.0f}"
            raise InternalError(
                f"a run is not of its circuit's law: {self._says()} ({chance}, over {self.count} tests)"
            )


# --- tails ----------------------------------------------------------------------------------


def above(x: FloatArray, squares: FloatArray, largest: FloatArray) -> FloatArray:
    """``log P(q - E q >= x)``, at most: of weights of either sign with a sum of squares and a largest magnitude."""
    x, squares, largest = np.broadcast_arrays(*map(np.asarray, (x, squares, largest)))
    out = np.where(np.isnan(x) | (x > 0), -np.inf, 0.0)
    with np.errstate(all="ignore"):
        there = (x > 0) & (squares > 0) & (largest > 0)
        m = squares / largest**2
        ratio = x / largest
        bound = -0.5 * (ratio - m * np.log1p(ratio / m))
    return np.where(there & np.isfinite(bound), np.minimum(bound, 0.0), out)


def below(x: FloatArray, squares: FloatArray, mean: FloatArray) -> FloatArray:
    """``log P(q - E q <= -x)``, at most: of positive weights with a sum of squares and a mean ``E q``."""
    x, squares, mean = np.broadcast_arrays(*map(np.asarray, (x, squares, mean)))
    out = np.where(np.isnan(x) | (x > 0), -np.inf, 0.0)
    with np.errstate(all="ignore"):
        there = (x > 0) & (squares > 0)
        rest = np.clip(1.0 - x / mean, 0.0, None)
        bound = mean**2 / (2.0 * squares) * (np.log(rest) + 1.0 - rest)
    return np.where(there & ~np.isnan(bound), np.minimum(bound, 0.0), out)


def either(x: FloatArray, squares: FloatArray, largest: FloatArray) -> FloatArray:
    """``log P(|q - E q| >= |x|)``, at most: of weights of either sign; 0 where it is more than 1e-4."""
    x, squares, largest = np.broadcast_arrays(x, squares, largest)
    far = ~(x * x <= 40.0 * squares)  # no tail is below that of a Gaussian, exp(-x^2 / 4 s)
    out = np.zeros(x.shape)
    out[far] = np.minimum(np.log(2.0) + above(np.abs(x[far]), squares[far], largest[far]), 0.0)
    return out


def around(x: FloatArray, squares: FloatArray, largest: FloatArray, mean: FloatArray) -> FloatArray:
    """The same of positive weights: twice the smaller of both tails."""
    x = np.asarray(x)
    tails = np.where(x > 0, above(x, squares, largest), below(-x, squares, mean))
    return np.minimum(np.log(2.0) + np.where(np.isnan(x), -np.inf, tails), 0.0)


def normal(x: FloatArray, variance: FloatArray) -> FloatArray:
    """``log P(|z| >= |x|)`` of a Gaussian of at most this variance."""
    x, variance = np.broadcast_arrays(np.asarray(x), np.asarray(variance))
    size = np.abs(x) / np.sqrt(np.where(variance > 0, variance, 1.0))
    found = np.minimum(np.log(2.0) + log_ndtr(-size), 0.0)
    return np.where(variance > 0, found, np.where(x == 0, 0.0, -np.inf))


# --- memory ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Memory:
    """How long readouts remember, as far as tails need it.

    Attributes
    ----------
    trajectories, steps:
        c and n.
    forth, back:
        (m,) X and Y of m directions of unit variance.
    most_forth, most_back:
        Largest X and Y of any direction.
    """

    trajectories: int
    steps: int
    forth: FloatArray
    back: FloatArray
    most_forth: float
    most_back: float

    @classmethod
    def none(cls, count: int, directions: int) -> Memory:
        """Of independent samples."""
        flat = np.ones(directions)
        return cls(count, 1, flat, flat, 1.0, 1.0)

    @classmethod
    def unknown(cls, trajectories: int, steps: int, directions: int) -> Memory:
        """As if each trajectory were one sample: holds of every process."""
        flat = np.full(directions, float(steps))
        return cls(trajectories, steps, flat, flat, float(steps), float(steps))

    @property
    def squares(self) -> FloatArray:
        """(m,) sums of squared weights of ``sum y^2``, at most."""
        n = float(self.steps)
        return self.trajectories * n * np.minimum(2.0 * np.minimum(self.forth, self.back) - 1.0, n)

    @property
    def largest(self) -> FloatArray:
        """(m,) largest weight of the same, at most."""
        return np.minimum(_reach(self.forth, self.back), float(self.steps))

    @property
    def overall(self) -> float:
        """Largest weight of any combination of readouts of unit variance, at most."""
        return min(float(_reach(np.array(self.most_forth), np.array(self.most_back))), float(self.steps))

    @property
    def rows(self) -> FloatArray:
        """(m,) sums over all other directions and lags of squared correlations, at most, of all trajectories."""
        n = float(self.steps)
        return self.trajectories * n * np.minimum(self.forth + self.back - 1.0, n)

    def pairs(self) -> tuple[FloatArray, FloatArray]:
        """(m, m) sum of squared weights and largest weight of ``sum y_i y_j``, i and j apart and uncorrelated."""
        squares, largest, rows = self.squares, self.largest, self.rows
        both = np.minimum(np.sqrt(np.outer(squares, squares)), (rows[:, None] + rows) / 4.0)
        return both, np.minimum(np.sqrt(np.outer(largest, largest)), self.overall / 2.0)

    def lagged(self) -> tuple[FloatArray, FloatArray]:
        """The same of ``sum y_i(k) y_j(k - lag)``, at any lag, i and j equal or not."""
        return np.sqrt(np.outer(self.squares, self.squares)), np.sqrt(np.outer(self.largest, self.largest))


def _reach(forth: FloatArray, back: FloatArray) -> FloatArray:
    least = np.minimum(np.sqrt(forth * np.maximum(back - 1.0, 0.0)), np.sqrt(back * np.maximum(forth - 1.0, 0.0)))
    return np.asarray(2.0 * (np.sqrt(forth * back) + least) - 1.0)


def sums_of_powers(G: FloatArray, steps: int) -> tuple[FloatArray, FloatArray]:
    """``sum_{l < n} (G^T)^l G^l`` and the same of ``G^T``, (..., r, r), n ``steps`` or more: by doubling."""
    eye = np.broadcast_to(np.eye(G.shape[-1]), G.shape)
    forth, back, power, known = eye.copy(), eye.copy(), G, 1
    while known < steps and np.abs(power).max(initial=0.0) > 1e-8:
        turned = np.swapaxes(power, -1, -2)
        forth, back = forth + turned @ forth @ power, back + power @ back @ turned
        power, known = power @ power, 2 * known
    return forth, back


def memory_of(G: FloatArray, directions: FloatArray, trajectories: int, steps: int) -> Memory:
    """Of readouts ``directions @ w``, (m, r) with rows of length one, of a white state that G (r, r) carries on.

    A G that is no contraction is that of a law that is not known well enough: then nothing is known of its memory.
    """
    if not np.isfinite(G).all() or (G.size and np.linalg.norm(G, 2) > 1.0 + 1e-6):
        return Memory.unknown(trajectories, steps, len(directions))
    forth, back = sums_of_powers(G, steps)
    X, Y = (((directions @ each) * directions).sum(axis=1) for each in (forth, back))
    most = [float(np.linalg.eigvalsh(each)[-1]) if len(each) else 1.0 for each in (forth, back)]
    return _capped(trajectories, steps, X, Y, *most)


def memory_of_systems(G: FloatArray, shown: int, trajectories: int, steps: int) -> Memory:
    """Of the first ``shown`` states of systems G (k, 2, 2) that do not touch one another."""
    forth, back = sums_of_powers(G, steps)
    X, Y = (np.diagonal(each, axis1=1, axis2=2)[:, :shown].ravel() for each in (forth, back))
    most = [float(np.max(np.linalg.eigvalsh(each), initial=1.0)) for each in (forth, back)]
    return _capped(trajectories, steps, X, Y, *most)


def _capped(trajectories: int, steps: int, X: FloatArray, Y: FloatArray, most_X: float, most_Y: float) -> Memory:
    slack = 1.0 + 1e-6  # rounding, and powers below 1e-8 left out
    X, Y = (np.clip(np.nan_to_num(each * slack, nan=np.inf), 1.0, steps) for each in (X, Y))
    most_X, most_Y = (float(np.clip(np.nan_to_num(each * slack, nan=np.inf), 1.0, steps)) for each in (most_X, most_Y))
    return Memory(trajectories, steps, X, Y, most_X, most_Y)


# --- what is tested -------------------------------------------------------------------------

_MOST_PAIRS = 512
"""Directions up to which all pairs are looked at; of more, each by itself and all together."""

_MOST_SHOWN = 1000
"""Variables up to which all covariances that are shown are looked at; of more, the variances."""

MOST_STATES = 64
"""States of a dense law up to which its memory is worked out; a larger one is taken to remember a whole trajectory."""

_MOST_WHITENED = 200
"""Readouts up to which their whole covariance is whitened; of more, sixteen combinations of all of them."""

_NEAR_NOTHING = 1e-5
"""Share of the largest standard deviation below which a direction of white coordinates is taken for rounding."""

UNSURE = 1e-3
"""Relative rounding of a variance beyond which its law is not known, and nothing is held against it."""

_FLOOR = 1e-14
"""Of the largest variance, for each state: where solutions of general equations end."""

_Name = Callable[[int], str]


def white(
    tests: Tests,
    memory: Memory,
    total: FloatArray,
    products: FloatArray,
    name: _Name,
    *,
    pairs: NDArray[np.int64] | None = None,
    expected: FloatArray | None = None,
    allowed: FloatArray | float = 0.0,
    bias: FloatArray | None = None,
) -> None:
    """Hold sums of white coordinates against independent standard normals that remember.

    Parameters
    ----------
    tests:
        To add to.
    memory:
        Of the m coordinates.
    total, products:
        (m,) and (lags + 1, m, m) sums, as `spu.emulator.runs.run.Sums`.
    name:
        Puts a coordinate into words.
    pairs, expected:
        (lags + 1,) pairs of each lag and (lags + 1, m, m) their correlation; only where there are lags.
    allowed:
        (m,) relative rounding of each variance.
    bias:
        (lags + 1, m, m) what each correlation may be off by besides; nothing unless given.
    """
    count = float(memory.trajectories * memory.steps)
    m = len(total)
    if not m:
        return
    allowed = np.broadcast_to(np.asarray(allowed) + _ROUNDING, (m,))
    bias = np.broadcast_to(0.0, products.shape) if bias is None else bias
    sure = allowed + np.diagonal(bias[0]) < UNSURE
    if not sure.all():
        picked, number = np.flatnonzero(sure), int(sure.sum())
        memory = replace(memory, forth=memory.forth[sure], back=memory.back[sure])
        total, products, allowed = total[sure], products[:, sure][:, :, sure], allowed[sure]
        bias = bias[:, sure][:, :, sure]
        expected = None if expected is None else expected[:, sure][:, :, sure]
        every, m = name, number
        name = lambda k: every(int(picked[k]))  # noqa: E731
        if not m:
            return
    effective = count / memory.largest
    tests.add(
        normal(shrunk(total, count * np.where(allowed > 1e-6, np.sqrt(allowed), allowed)), count * memory.largest),
        lambda k: (
            f"the mean of {name(k)} is {total[k] / count:.4g} standard deviations from its own, "
            f"at {effective[k]:.4g} effective samples or more"
        ),
    )
    own = np.diagonal(products[0]) - count
    off = allowed + np.diagonal(bias[0])
    tests.add(
        around(shrunk(own, count * off), memory.squares, memory.largest, np.full(m, count)),
        lambda k: (
            f"the variance of {name(k)} is {1 + own[k] / count:.6g} of its own, "
            f"at {effective[k]:.4g} effective samples or more"
        ),
    )
    tests.add(
        around(shrunk(own.sum(), count * off.sum()), memory.rows.sum(), np.array(memory.overall), np.array(count * m)),
        lambda _: f"the variances of all {m} directions together are {1 + own.sum() / count / m:.6g} of their own",
    )
    if m <= _MOST_PAIRS:
        squares, largest = memory.pairs()
        apart = count * (np.sqrt(np.outer(allowed, allowed)) + bias[0])
        tests.add(
            either(np.tril(shrunk(products[0], apart), -1), squares, largest),
            lambda k: (
                f"{name(k // m)} and {name(k % m)}, which are independent, correlate by "
                f"{products[0].flat[k] / count:.4g}"
            ),
            m * (m - 1) // 2,
        )
    if expected is None or pairs is None:
        return
    squares, largest = memory.lagged()
    for lag in range(1, len(products)):
        gap = products[lag] - pairs[lag] * expected[lag]
        apart = count * (np.sqrt(np.outer(allowed, allowed)) + bias[lag])
        tests.add(
            either(shrunk(gap, apart), squares, largest),
            lambda k, lag=lag, gap=gap: (
                f"the autocovariance of {name(k // m)} and {name(k % m)} at lag {lag} is off by "  # type: ignore[misc]
                f"{gap.flat[k] / max(pairs[lag], 1):.4g} standard deviations squared"
            ),
        )


def shrunk(x: FloatArray, by: FloatArray | float) -> FloatArray:
    """x, nearer to zero by so much."""
    return np.asarray(np.sign(x) * np.maximum(np.abs(x) - by, 0.0))


def ends(
    tests: Tests,
    states: FloatArray,
    name: _Name,
    allowed: FloatArray | float = 0.0,
    bias: FloatArray | None = None,
    alike: float = 2.0**-50,
) -> None:
    """Hold the last states (m, c) of c trajectories, white, against independent normals; no two may be alike.

    ``alike`` bounds the probability that two numbers of a standard normal are equal: doubles, unless given.
    """
    count = states.shape[1]
    if not states.size:
        return
    products = states @ states.T if len(states) <= _MOST_PAIRS else np.diag((states**2).sum(axis=1))
    end: _Name = lambda k: f"{name(k)} at the end of {count} trajectories"  # noqa: E731
    off = None if bias is None else bias[None]
    white(tests, Memory.none(count, len(states)), states.sum(axis=1), products[None], end, allowed=allowed, bias=off)
    equal = count - len(np.unique(states[np.abs(states[:, 0]).argmax()]))
    log_p = equal * (1.0 + np.log(count**2 * alike / 2.0) - np.log(max(equal, 1))) if equal else 0.0
    tests.add(min(log_p, 0.0), lambda _: f"{equal} of {count} trajectories end where another does")


@dataclass(frozen=True, eq=False)
class Claims:
    """What is known, and claimed, of the readouts in the units in which they are shown.

    Attributes
    ----------
    names:
        Of the q variables.
    covariance:
        (q, q) of the law.
    size:
        (q,) standard deviations of what each is made of, added up: their rounding is its own.
    covariance_variance, mean_variance:
        (q, q), (q,) of the estimates about the law's mean (`spu.emulator.laws.estimate.SamplingError`).
    place, lagged, lagged_variance:
        Among the lags counted the one that is claimed, (q, q) that covariance of the law, and its estimate's variance;
        0 and None where none is.
    """

    names: tuple[str, ...]
    covariance: FloatArray
    size: FloatArray
    covariance_variance: FloatArray
    mean_variance: FloatArray
    place: int = 0
    lagged: FloatArray | None = None
    lagged_variance: FloatArray | None = None


def _hold_lagged(
    tests: Tests,
    claims: Claims,
    trajectories: int,
    pairs: float,
    reach: FloatArray,
    known_to: FloatArray,
    gap: FloatArray,
) -> None:
    """Hold what a lagged covariance (q, q) about the law's mean is off by; further arguments as of `shown`."""
    assert claims.lagged is not None and claims.lagged_variance is not None
    q, names, error = len(gap), claims.names, np.sqrt(claims.lagged_variance)
    variance = np.maximum(np.diagonal(claims.covariance), 0.0)
    squares = 1.001 * pairs**2 * claims.lagged_variance / 2.0
    largest = np.minimum(np.sqrt(squares / trajectories), np.sqrt(np.outer(reach, reach)))
    unsure = known_to**2 > UNSURE * variance
    clear = np.where(unsure | unsure[:, None], 0.0, shrunk(pairs * gap, pairs * np.outer(known_to, known_to)))
    tests.add(
        either(clear, np.maximum(squares, 1e-12 * pairs * np.outer(variance, variance)), largest),
        lambda k: (
            f"the lagged covariance of {names[k // q]} with {names[k % q]} is off its law's by {gap.flat[k]:.3g}, with "
            f"a standard error of {error.flat[k]:.3g}"
        ),
    )


def shown(
    tests: Tests,
    claims: Claims,
    trajectories: int,
    steps: int,
    reach: FloatArray,
    known_to: FloatArray,
    mean: FloatArray,
    covariance: FloatArray,
    bias: FloatArray | float = 0.0,
) -> None:
    """Hold mean (q,) and covariance (q, q) about the law's mean, as shown, against the law, within their error bars.

    ``reach`` (q,) bounds the largest weight of the sum of a variable's squares; of a variance no more is known than
    the square of ``known_to`` (q,); the covariance may be off by ``bias`` (q, q) besides.
    """
    c, count = trajectories, float(trajectories * steps)
    P, names = claims.covariance, claims.names
    variance = np.maximum(np.diagonal(P), 0.0)
    rounding = np.outer(known_to, known_to) + bias
    own = np.diagonal(claims.covariance_variance)
    # Sums of squared weights: half the variance of a quadratic form.
    squares = 1.001 * count**2 * claims.covariance_variance / 2.0  # sums over lags leave out less
    largest = np.sqrt(squares / c)
    least = np.outer(variance, variance) * count
    index = np.arange(len(P))
    squares[index, index] = np.maximum(squares[index, index], least[index, index])
    largest = np.minimum(largest, np.sqrt(np.outer(reach, reach)))
    gap = count * (covariance - P)
    clear = shrunk(gap, count * rounding)
    unsure = known_to**2 > UNSURE * variance
    off = np.where(unsure | unsure[:, None], 0.0, np.tril(clear, -1))
    tests.add(
        around(clear[index, index], squares[index, index], largest[index, index], count * variance),
        lambda k: (
            f"the variance of {names[k]} is {covariance[k, k]:.6g} where its law has {P[k, k]:.6g}, with a "
            f"standard error of {np.sqrt(own[k]):.3g}"
        ),
    )
    if len(P) <= _MOST_SHOWN:
        q, error = len(P), np.sqrt(claims.covariance_variance)
        tests.add(
            either(off, np.maximum(squares, 1e-12 * least), largest),
            lambda k: (
                f"the covariance of {names[k // q]} and {names[k % q]} is {covariance.flat[k]:.6g} where its law "
                f"has {P.flat[k]:.6g}, with a standard error of {error.flat[k]:.3g}"
            ),
            q * (q - 1) // 2,
        )
    spread = claims.mean_variance + 1e-10 * reach / count
    tests.add(
        normal(shrunk(mean, np.where(known_to**2 > 1e-6 * variance, known_to, _ROUNDING * claims.size)), spread),
        lambda k: (
            f"the mean of {names[k]} is {mean[k]:.4g} from its law's, with a standard error of {np.sqrt(spread[k]):.3g}"
        ),
    )


# --- runs -----------------------------------------------------------------------------------


def hold(
    law: Stationary,
    how: Method,
    sums: Sums,
    claims: Claims,
    transform: FloatArray,
    *,
    interval: float,
    apart: int = 1,
    every: int = 0,
    bias: Bias | None = None,
) -> Tests:
    """Hold a run of a network with dense matrices against its law.

    What was counted, of modes, probes or draws, is looked at in white coordinates, with all pairs and all lags; the
    last states of all trajectories (currents of inductors, too) likewise, as so many independent draws; what is shown
    as it is shown; and what was kept, where its last readouts are those of the last states.

    Parameters
    ----------
    law:
        Of the circuit.
    how, sums:
        How it was drawn, and what was counted.
    claims:
        Of the q variables.
    transform:
        (q, p) from probes to variables.
    interval:
        s between readouts, 0 of independent draws.
    apart:
        Readouts from one lag counted to the next.
    every:
        So-manieth readouts were kept; 0 for none.
    bias:
        Of a run in single precision: what is known of its rounding.
    """
    tests = Tests()
    P = law.voltage_covariance
    rows = sp.csr_array(transform)
    mean = np.asarray(rows @ sums.mean)
    covariance = np.asarray(rows @ np.asarray(rows @ (sums.products[0] / sums.samples)).T)
    tests.require("not all of its figures are finite", bool(np.isfinite(mean).all() and np.isfinite(covariance).all()))
    trajectories, steps = (
        (sums.samples, 1) if how.name == "independent" else (sums.samples // sums.readouts, sums.readouts)
    )
    variance = np.maximum(np.diagonal(claims.covariance), 0.0)
    floor = np.sqrt(_FLOOR * len(P) * np.diagonal(P).max(initial=0.0))
    known_to = np.sqrt(_ROUNDING) * claims.size + np.abs(transform).sum(axis=1) * floor
    if how.name == "independent":
        reach = variance
        _hold_draws(tests, P, sums, law.sde.probes)
    elif isinstance(how.step, ModalStep):
        reach = _hold_modes(tests, law, how, how.step, sums, transform, interval * apart)
    elif how.rows <= MOST_STATES:
        reach, known_to = _hold_states(tests, law, how, sums, transform, apart, bias)
    else:
        _hold_silent(tests, law, how, sums)
        reach = variance * steps
        sure = known(law)
        known_to = np.abs(np.asarray(rows @ law.dense.H)) @ sure
        memory = Memory.unknown(trajectories, steps, 0)
        _hold_probes(tests, P, sums, law.sde.probes, memory, np.abs(law.dense.H) @ sure, bias)
        _hold_ends(tests, law, sums, sure, bias)
    off = 0.0 if bias is None else MARGIN * np.abs(transform @ bias.products[0] @ transform.T)
    shown(tests, claims, trajectories, steps, reach, known_to, mean, covariance, off)
    if claims.lagged is not None:
        pairs = float(sums.pairs[claims.place])
        gap = transform @ (sums.products[claims.place] / pairs) @ transform.T - claims.lagged
        if bias is not None:
            gap = shrunk(gap, MARGIN * np.abs(transform @ bias.products[claims.place] @ transform.T))
        _hold_lagged(tests, claims, trajectories, pairs, reach, known_to, gap)
    if every and sums.kept.size:
        _hold_kept(tests, how, sums, P, every)
    return tests


def _hold_modes(
    tests: Tests,
    law: Stationary,
    how: Method,
    step: ModalStep,
    sums: Sums,
    transform: FloatArray,
    apart: float,
) -> FloatArray:
    """By modes, which are white but for their size, with lags ``apart`` s; returns `shown`'s ``reach``."""
    assert law.modes is not None and how.lift is not None
    modes, trajectories, steps = law.modes, sums.samples // sums.readouts, sums.readouts
    size = np.zeros(how.observed)
    size[: len(modes.variance)] = np.sqrt(modes.variance)
    memory = memory_of_systems(step.transition, step.shown, trajectories, steps)
    loud = size > 0
    scale = size[loud]
    kept = replace(memory, forth=memory.forth[loud], back=memory.back[loud])
    number = np.flatnonzero(loud)
    name: _Name = lambda k: f"mode {number[k]}"  # noqa: E731
    total, products = sums.counted_total, sums.counted_products
    tests.require("modes without noise move", not total[~loud].any() and not products[:, ~loud].any())
    expected = None
    if len(products) > 1:
        decay = modes.correlation(np.arange(len(products)) * apart)[:, loud[: len(modes.variance)]]
        expected = np.zeros((*decay.shape, decay.shape[1]))
        expected[:, np.arange(decay.shape[1]), np.arange(decay.shape[1])] = decay
    white(
        tests,
        kept,
        total[loud] / scale,
        products[:, loud][:, :, loud] / scale[:, None] / scale,
        name,
        pairs=sums.pairs,
        expected=expected,
    )
    states = np.repeat(size, 2) if step.shown == 1 else size
    moving = states > 0
    which = np.flatnonzero(moving) // (2 if step.shown == 1 else 1)
    last = sums.ends[: len(states)]
    tests.require("modes without noise move", not last[~moving].any())
    ends(tests, last[moving] / states[moving, None], lambda k: f"mode {which[k]}")
    lift = transform @ how.lift
    return np.asarray(lift**2 @ (size**2 * memory.largest))


def known(law: Stationary) -> FloatArray:
    """(n,) square root of what the variances of a law's energy coordinates may be off by.

    From the residual of its Lyapunov equation, on the scale of each, and no less than rounding of the loudest: a state
    that is quieter than that may be nothing else, and nothing is held against it. What no noise reaches is zero.
    """
    A, B, P = law.dense.A, law.dense.B, law.covariance
    size = np.sqrt(np.maximum(np.diagonal(P), 0.0))
    there = size > 0
    scale = np.where(there, size, 1.0)
    # Along eight vectors of random signs no row of it is a tenth of its length each time.
    w = np.where(np.random.default_rng(21).random((len(A), 8)) < 0.5, -1.0, 1.0) / scale[:, None]
    residual = np.abs(A @ (P @ w) + P @ (A.T @ w) + B @ (B.T @ w)).max(axis=1) / scale
    off = np.where(there, residual * law.time_constants[0] / law.dense.time, 0.0)
    least = np.sqrt(_FLOOR * len(A) * size.max(initial=0.0) ** 2)
    return np.where(silent(A, B), 0.0, np.maximum(np.sqrt(np.maximum(10.0 * off, _ROUNDING)) * size, least))


def whitener(root: FloatArray, known_to: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """White coordinates of ``x = root @ w``, (n, r), on scales of the rows' own.

    Returns ``W`` (m, n) with ``W x`` white, its inverse (n, m) on what x spans, the directions (m, r) in w, and the
    (m,) relative rounding of each variance, from ``known_to`` (n,) of x.
    """
    size = np.sqrt((root**2).sum(axis=1))
    there = size > 0
    scale = size[there, None]
    u, sigma, v = la.svd(root[there] / scale, full_matrices=False)
    kept = sigma > _NEAR_NOTHING * sigma.max(initial=0.0)
    u, sigma, v = u[:, kept], sigma[kept], v[kept]
    # Rows of nothing stay nothing: rounding of the others, on a scale of its own, would be a law.
    W, back = np.zeros((len(sigma), len(root))), np.zeros((len(root), len(sigma)))
    W[:, there], back[there] = (u / sigma / scale).T, u * sigma * scale
    return W, back, v, (np.abs(W) @ known_to) ** 2


def _hold_states(
    tests: Tests, law: Stationary, how: Method, sums: Sums, transform: FloatArray, apart: int, bias: Bias | None
) -> tuple[FloatArray, FloatArray]:
    """By the white coordinates of all states, of which probes are combinations; returns `shown`'s bounds."""
    assert isinstance(how.step, DenseStep)
    _hold_silent(tests, law, how, sums)
    trajectories, steps = sums.samples // sums.readouts, sums.readouts
    n = how.rows
    transition, observe = how.step.matrix[:, :n], how.step.observe
    sure = known(law)
    W, back, _, allowed = whitener(factor(law.covariance), sure)
    G = W @ transition @ back
    seen = observe @ back
    V, _, directions, rounding = whitener(seen, np.abs(observe) @ sure)
    rows = transform @ seen
    size = np.sqrt((rows**2).sum(axis=1))
    shares = rows / np.where(size > 0, size, 1.0)[:, None]
    whole = memory_of(G, np.concatenate([directions, shares]), trajectories, steps)
    m = len(directions)
    memory = replace(whole, forth=whole.forth[:m], back=whole.back[:m])
    power, expected, between = np.eye(len(G)), [np.eye(len(directions))], np.linalg.matrix_power(G, apart)
    for _ in range(1, len(sums.products)):
        power = between @ power
        expected.append(directions @ power @ directions.T)
    _hold_seen(tests, V, sums, law.sde.probes, memory, rounding, np.array(expected), bias)
    name = combination(W, law.sde.state_names)
    if bias is None:
        ends(tests, W @ sums.ends, name, allowed)
    else:
        ends(tests, W @ sums.ends, name, allowed, MARGIN * np.abs(W @ bias.states @ W.T), alike=UNIT)
    return whole.largest[m:] * size**2, np.abs(transform @ observe) @ sure


def _hold_silent(tests: Tests, law: Stationary, how: Method, sums: Sums) -> None:
    """What no noise reaches stays where it is, to the last bit: states, and what is observed of nothing else."""
    quiet = silent(law.dense.A, law.dense.B)
    deaf = ~(how.step.observe[:, ~quiet] != 0).any(axis=1) if isinstance(how.step, DenseStep) else np.zeros(0, bool)
    moved = sums.ends[quiet].any() or sums.counted_total[deaf].any() or sums.counted_products[:, deaf].any()
    tests.require("states that no noise reaches move", not moved)


def _hold_ends(tests: Tests, law: Stationary, sums: Sums, sure: FloatArray, bias: Bias | None) -> None:
    """Last states of a law too large to be whitened whole: each on its own scale."""
    size = np.sqrt(np.maximum(np.diagonal(law.covariance), 0.0))
    loud = size > 0
    states = sums.ends[loud] / size[loud, None]
    count = states.shape[1]
    names, which = law.sde.state_names, np.flatnonzero(loud)
    own = (states**2).sum(axis=1) - count
    flat = np.full(len(own), float(count))
    off = 0.0 if bias is None else MARGIN * np.abs(np.diagonal(bias.states)[loud])
    allowed = count * (sure[loud] ** 2 + off) / size[loud] ** 2
    tests.add(
        around(shrunk(own, allowed), flat, np.ones(len(own)), flat),
        lambda k: (
            f"the energy with {names[int(which[k])]} at the end of {count} trajectories is {1 + own[k] / count:.4g} of "
            "its own"
        ),
    )
    tests.add(
        normal(states.sum(axis=1), flat),
        lambda k: (
            f"the mean of the energy coordinate of {names[int(which[k])]} at the end of {count} trajectories is off"
        ),
    )


def combination(rows: FloatArray, names: Sequence[str]) -> _Name:
    """Names a combination by what it weighs most."""
    return lambda k: f"a combination of {names[int(np.abs(rows[k]).argmax())]} and others"


def _hold_seen(
    tests: Tests,
    V: FloatArray,
    sums: Sums,
    probes: Sequence[str],
    memory: Memory,
    rounding: FloatArray,
    expected: FloatArray | None,
    bias: Bias | None = None,
) -> None:
    pairs = None if expected is None else sums.pairs
    products = sums.counted_products if expected is not None else sums.counted_products[:1]
    name = combination(V, probes)
    white(
        tests,
        memory,
        V @ sums.counted_total,
        V @ products @ V.T,
        name,
        pairs=pairs,
        expected=expected,
        allowed=rounding,
        bias=None if bias is None else MARGIN * np.abs(V @ bias.products[: len(products)] @ V.T),
    )


def _triangular(P: FloatArray, known_to: FloatArray) -> tuple[FloatArray, FloatArray]:
    """W (m, p) that whitens a covariance, and the relative rounding of each variance; by Cholesky where it can."""
    size = np.sqrt(np.maximum(np.diagonal(P), 0.0))
    if size.all():
        try:
            root = la.cholesky(P / size[:, None] / size, lower=True)
        except la.LinAlgError:
            root = np.zeros((1, 1))
        if np.diagonal(root).min() > np.sqrt(_NEAR_NOTHING):
            V = la.solve_triangular(root, np.eye(len(P)), lower=True)
            return V / size, (np.abs(V / size) @ known_to) ** 2
    V, _, _, rounding = whitener(factor(P), known_to)
    return V, rounding


def _hold_draws(tests: Tests, P: FloatArray, sums: Sums, probes: Sequence[str]) -> None:
    """Independent draws of the probes."""
    known_to = np.sqrt(_ROUNDING * np.maximum(np.diagonal(P), 0.0) + _FLOOR * len(P) * np.diagonal(P).max(initial=0.0))
    _hold_probes(tests, P, sums, probes, Memory.none(sums.samples, 0), known_to)


def _hold_probes(
    tests: Tests,
    P: FloatArray,
    sums: Sums,
    probes: Sequence[str],
    memory: Memory,
    known_to: FloatArray,
    bias: Bias | None = None,
) -> None:
    """Probes of covariance P, of which no more is known than how long any of them remembers."""
    if len(P) <= _MOST_WHITENED:
        V, rounding = _triangular(P, known_to)
    else:
        size = np.sqrt(np.maximum(np.diagonal(P), 0.0))
        signs = np.cos(np.arange(16)[:, None] * np.arange(len(P)) + 1.0) / np.where(size > 0, size, np.inf)
        own = np.sqrt(np.einsum("ij,jk,ik->i", signs, P, signs, optimize=True))
        V = signs[own > 0] / own[own > 0, None]
        rounding = (np.abs(V) @ known_to) ** 2
    m, steps = len(V), memory.steps
    flat = np.full(m, memory.most_forth)
    whole = Memory(memory.trajectories, steps, flat, flat, memory.most_forth, memory.most_back)
    if len(P) <= _MOST_WHITENED:
        _hold_seen(tests, V, sums, probes, whole, rounding, None, bias)
        return
    if bias is not None:
        rounding = rounding + MARGIN * np.abs(np.einsum("ij,jk,ik->i", V, bias.products[0], V, optimize=True))
    total, products = V @ sums.counted_total, V @ sums.counted_products[0] @ V.T
    count = float(sums.samples)
    own = np.diagonal(products) - count
    name = "a combination of all readouts"
    tests.add(
        around(shrunk(own, count * rounding), whole.squares, whole.largest, np.full(m, count)),
        lambda k: f"the variance of {name} is {1 + own[k] / count:.6g} of its own",
    )
    tests.add(
        normal(total, count * whole.largest),
        lambda k: f"the mean of {name} is {total[k] / count:.4g} standard deviations off",
    )


def _hold_kept(tests: Tests, how: Method, sums: Sums, P: FloatArray, every: int) -> None:
    """Of what was kept, the last readouts are those of the last states, and a few hundred have the law's variances."""
    size = np.sqrt(np.maximum(np.diagonal(P), 0.0))
    if how.name != "independent" and (sums.readouts - 1) % every == 0:
        if isinstance(how.step, ModalStep):
            assert how.lift is not None
            n = how.rows
            seen = sums.ends.reshape(n // 2, 2, -1)[:, : how.step.shown].reshape(how.observed, -1)
            last = how.lift @ seen
        else:
            last = how.step.observe @ sums.ends
        gap = np.abs(sums.kept[:, -1].T - last)
        if how.precision == "single" and isinstance(how.step, DenseStep):
            # A chain of as many roundings as there are states, and one of each entry.
            terms = np.abs(how.step.observe) @ np.abs(sums.ends)
            gap = np.maximum(gap - (how.rows + 1) * (UNIT * terms + SMALLEST), 0.0)
        tests.require(
            "what was kept of the last readouts is not what the trajectories ended with",
            bool((gap <= 1e-9 * (np.abs(last) + size[:, None]) + 1e-12 * size.max(initial=0.0)).all()),
        )
    many, length = sums.kept.shape[:2]
    few = sums.kept[:, :: max(1, length * many // 1024)]
    n = few.shape[1]
    c, n = (many * n, 1) if how.name == "independent" else (many, n)
    loud = size > 1e-6 * size.max(initial=0.0)
    squares = np.einsum("tkp,tkp->p", few, few)[loud] / size[loud] ** 2
    flat = np.full(len(squares), 1.0)
    tests.add(
        around(squares - c * n, c * n**2 * flat, n * flat, c * n * flat),
        lambda k: f"the variance of readouts that were kept is {squares[k] / (c * n):.4g} of the law's",
    )


def memory_of_midpoint(law: SparseLaw, midpoint: Midpoint, substeps: int, trajectories: int, steps: int) -> Memory:
    """Of any readout of a large network by the implicit midpoint (one direction), at most.

    Its modes are not known, but the two that all others lie between are, and a mode's memory is a smooth function
    of its eigenvalue: the largest of 500 along the way, and a twentieth more. The rule's own discrete law is used:
    ``G = (1 - A h/2)^-1 (1 + A h/2)`` of each mode.
    """
    low, high = law.extremes, law.extremes
    t = np.linspace(0.0, 1.0, 500)

    def along(values: FloatArray) -> FloatArray:
        return np.asarray(values[0] * (values[1] / values[0]) ** t)

    c, g = along(low.capacitance), along(high.conductance)
    flat = np.ones(len(t))
    gamma = flat * law.extremes.stiffness[0]
    A = replace(law.extremes, capacitance=c, conductance=g, stiffness=gamma, noise=flat, drive=flat).drift()
    half, eye = A * (midpoint.step / 2.0), np.eye(A.shape[-1])
    G = np.linalg.matrix_power(np.linalg.solve(eye - half, eye + half), substeps)
    forth, back = sums_of_powers(G, steps)
    X, Y = (1.05 * np.diagonal(each, axis1=1, axis2=2).max() for each in (forth, back))
    most = [1.05 * float(np.linalg.eigvalsh(each).max()) for each in (forth, back)]
    return _capped(trajectories, steps, np.array([X]), np.array([Y]), *most)


def hold_large(law: SparseLaw, sums: PatternSums, memory: Memory) -> Tests:
    """Hold a run of a large network against its law, as far as that is known.

    Its memory is only bounded (`memory_of_midpoint`), and of its covariance only entries are known: held are means,
    variances and the covariances of coupled cells, one by one; the last states of all trajectories, each by itself and
    by the energy of all of them together; and where that is the law (``P^-1`` is a multiple of the coupling
    matrix) the energy of all readouts, which sees a common factor of 1e-3. What it does not see is an error of
    correlations in time that leaves the stationary law as it is.
    """
    tests = Tests()
    P, count = law.voltage_covariance, float(sums.samples)
    variance = np.maximum(P.diagonal(), 0.0)
    rows = row_numbers(P)
    second = sums.covariance.data + sums.mean[rows] * sums.mean[P.indices]
    finite = bool(np.isfinite(second).all() and np.isfinite(sums.mean).all() and np.isfinite(sums.kept).all())
    tests.require("not all of its figures are finite", finite)
    squares, largest = float(memory.squares[0]), float(memory.largest[0])
    names = law.sde.probes
    loud = variance > 0
    unit = np.where(loud, variance, np.inf)
    own = count * (with_data(P, second).diagonal() / unit - loud)
    each = np.ones(len(unit))
    tests.add(
        around(shrunk(own, count * _ROUNDING), squares * each, largest * each, count * each),
        lambda k: (
            f"the variance of {names[k]} is {1 + own[k] / count:.6g} of its own, at "
            f"{count / largest:.4g} effective samples or more"
        ),
    )
    size = np.sqrt(unit)
    below_diagonal = rows > P.indices
    i, j = rows[below_diagonal], P.indices[below_diagonal]
    gap = count * (second - P.data)[below_diagonal] / size[i] / size[j]
    tests.add(
        either(shrunk(gap, count * _ROUNDING), np.array(squares), np.array(largest)),
        lambda k: (
            f"the covariance of {names[int(i[k])]} and {names[int(j[k])]} is off by {gap[k] / count:.4g} of what "
            "both allow"
        ),
    )
    tests.add(
        normal(count * sums.mean / size, np.array(count * largest)),
        lambda k: (
            f"the mean of {names[k]} is {sums.mean[k] / size[k]:.4g} standard deviations off, at "
            f"{count / largest:.4g} effective samples or more"
        ),
    )
    eye, precision = law.probes, law.precision
    n = eye.shape[1]
    if precision is not None and eye.shape == (n, n) and eye.nnz == n and (eye.diagonal() == 1).all():
        energy = float(precision.multiply(with_data(P, second)).sum()) * count - count * n
        spread = float(memory.rows[0]) * n
        tests.add(
            around(np.array(energy), np.array(spread), np.array(memory.overall), np.array(count * n)),
            lambda _: f"the energy of its {n} cells is {1 + energy / count / n:.6g} of its own",
        )
    if sums.ends.size:
        _hold_large_ends(tests, law, sums.ends)
    return tests


def _hold_large_ends(tests: Tests, law: SparseLaw, ends: FloatArray) -> None:
    """The last states (states, c) of c trajectories."""
    c, n = ends.shape[1], law.probes.shape[1]
    rest = law.draw(np.zeros((law.normals, 1)))
    size = np.sqrt(np.maximum(law.state_variance, 0.0))
    loud = size > 0
    squares, sums = np.empty(len(ends)), np.empty(len(ends))
    for first in range(0, len(ends), ROWS):
        rows = slice(first, first + ROWS)
        scaled = (ends[rows] - rest[rows]) / np.where(loud, size, np.inf)[rows, None]
        sums[rows], squares[rows] = scaled.sum(axis=1), (scaled**2).sum(axis=1)
    names, which = law.sde.state_names, np.flatnonzero(loud)
    own, flat = squares[loud] - c, np.full(len(which), float(c))
    tests.add(
        around(own, flat, np.ones(len(own)), flat),
        lambda k: (
            f"the variance of {names[int(which[k])]} at the end of {c} trajectories is {1 + own[k] / c:.4g} of its own"
        ),
    )
    tests.add(
        normal(sums[loud], flat),
        lambda k: f"the mean of {names[int(which[k])]} at the end of {c} trajectories is off",
    )
    precision = law.precision
    if precision is not None:
        away = (ends[:n, k] - rest[:n, 0] for k in range(c))
        energy = sum(float(v @ (precision @ v)) for v in away) - n * c
        total = np.array(float(n * c))
        tests.add(
            around(np.array(energy), total, np.array(1.0), total),
            lambda _: (
                f"the energy of its {n} cells at the end of {c} trajectories is {1 + energy / n / c:.6g} of its own"
            ),
        )
    alike = c - len(np.unique(ends[int(size[:n].argmax())]))
    tests.require("trajectories end where others do", alike < 3 or not loud.any())
