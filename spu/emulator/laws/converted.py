"""Moments of Gaussian voltages behind a converter (`spu.circuit.acquisition`): steps and clipping, exactly.

A staircase is a sum of jumps at its thresholds, so that moments are sums over thresholds. Of one channel they are sums
of error functions. Of two, Price's theorem (IRE Trans. Inf. Theory 4:69, 1958) gives the covariance of what is read as
an integral over the correlation,

    Cov(q_i, q_j) = step^2 sum_ab int_0^rho phi2(a, b; r) dr,

with the density phi2 of two normals. With ``r = sin g`` the integrand is bounded, and ``(a^2 + b^2 - 2 a b r) / 2 c^2 =
a^2/2 + (b - r a)^2 / 2 c^2``, ``c = cos g``, makes the sum over b one over the few thresholds near ``r a``; where c is
many steps it is the integral, with the terms of Euler and Maclaurin at its ends. Panels of g halve towards a quarter
turn, where neighbouring thresholds come apart one scale after another; in each the integrand is a polynomial, so that
one pair of channels costs the same for one correlation as for many (`covariances`).

Where there are more steps within reach than `FINE`, a staircase is the line that it follows, clipped; the
first term of Euler and Maclaurin at the ends; and a sawtooth of which only what is the same in both channels is left
(Widrow and Kollar, Quantization Noise, 2008). Clipped lines have ``d2 Cov / d rho^2`` in closed form.

What is left out is below 1e-9 of the product of both standard deviations; with fine steps and correlations above 0.9999
in size it is below a step's own variance times the density at the ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.special import ndtr

from spu.base.arrays import FloatArray
from spu.circuit.acquisition import Acquisition

FAR = 9.5
"""Standard deviations beyond which no threshold is reached."""

FINE = 1024
"""Thresholds within reach, beyond which steps are fine."""

_NODES, _PANELS, _SMOOTH = 24, 30, 4.0

_ROOT = np.sqrt(2.0 * np.pi)


@dataclass(frozen=True, eq=False)
class Staircase:
    """A converter as a channel of some mean and standard deviation meets it, in units of the latter from the former.

    Attributes
    ----------
    thresholds:
        (t,) those within `FAR`; None of a clipped line, and where they are too many.
    step:
        Between them; 0 of a line.
    low, high:
        Ends of the line that it follows.
    below:
        What is read below all ``thresholds``.
    """

    thresholds: FloatArray | None
    step: float
    low: float
    high: float
    below: float

    @property
    def within(self) -> float:
        """Probability of the line between its ends."""
        return _between(self.low, self.high)

    @property
    def clipped_mean(self) -> float:
        """Of the line."""
        return float(_clipped_mean(np.array(0.0), 1.0, self.low, self.high))

    @property
    def slope(self) -> float:
        """Expected slope of what is read: its covariance with the voltage, of variance one (Stein's lemma)."""
        if self.thresholds is not None:
            return self.step * float(np.exp(-0.5 * self.thresholds**2).sum()) / float(_ROOT)
        return self.within + self.step**2 / 24.0 * (_times(self.high) - _times(self.low))

    def moments(self) -> tuple[float, float]:
        """Mean and variance of what is read."""
        if self.thresholds is None:
            low, high, step = self.low, self.high, self.step
            mean = self.clipped_mean
            square = float(_clipped_square(low, high))
            # Euler and Maclaurin, sum f = integral - step^2/24 [f']: f is the probability above t, or 2 t times that
            mean += step**2 / 24.0 * (_density(high) - _density(low))
            square += step**2 / 12.0 * self.within + step**2 / 12.0 * (_times(high) - _times(low))
            return mean, square - mean**2
        above = ndtr(-self.thresholds)
        # About the median, so that nothing cancels: one step up for each threshold passed, one down for each not.
        start = int(np.searchsorted(self.thresholds, 0.0))
        up, down = above[start:], ndtr(self.thresholds[:start])[::-1]
        squares = sum(float(((2.0 * np.arange(len(p)) + 1.0) * p).sum()) for p in (up, down))
        shift = float(up.sum() - down.sum())
        return self.below + self.step * (start + shift), self.step**2 * max(squares - shift**2, 0.0)


def _density(x: float) -> float:
    return float(np.exp(-0.5 * min(x * x, 2000.0)) / _ROOT)


def _times(x: float) -> float:
    """X times the density there, 0 far out."""
    return x * _density(x) if abs(x) < 60 else 0.0


def _between(low: float, high: float) -> float:
    return float(ndtr(-low) - ndtr(-high)) if low >= 0 else float(ndtr(high) - ndtr(low))


def _clipped_mean(mean: FloatArray, sd: FloatArray | float, low: float, high: float) -> FloatArray:
    """Of a normal clipped to an interval: ``low + int_low^high P(u > t) dt``."""

    def part(t: float) -> FloatArray:  # int_t^inf P(u > s) ds
        z = (t - mean) / sd
        return np.asarray(sd * (np.exp(-0.5 * np.minimum(z * z, 2000.0)) / _ROOT - z * ndtr(-z)))

    if not np.isfinite(high):
        return mean if not np.isfinite(low) else np.asarray(low + part(low))
    return np.asarray(low + part(low) - part(high))


def _clipped_square(low: float, high: float) -> float:
    """``E clip(z)^2`` of a standard normal."""
    if not np.isfinite(high):
        return 1.0
    inside = _between(low, high) + _times(low) - _times(high)
    return inside + low**2 * float(ndtr(low)) + high**2 * float(ndtr(-high))


def staircase(converter: Acquisition, mean: float, deviation: float) -> Staircase:
    """What a channel of this mean (V) and standard deviation (V, > 0) meets."""
    low, high = ((end - mean) / deviation for end in converter.limits)
    step = converter.step / deviation
    if not step:
        return Staircase(None, 0.0, low, high, low)
    half = 2.0 ** (converter.bits - 1) if converter.bits else 1.0
    first = max(1.0 - half, np.ceil((mean - FAR * deviation) / converter.step))
    last = min(half - 1.0, np.floor((mean + FAR * deviation) / converter.step))
    count = max(0, int(last - first) + 1)
    if count > FINE:
        return Staircase(None, step, low, high, low)
    if not count:  # one code alone
        first = np.clip(np.floor(mean / converter.step), -half, half - 1.0) + 1.0
    thresholds = ((first + np.arange(count)) * converter.step - mean) / deviation
    below = ((first - 0.5) * converter.step - mean) / deviation
    return Staircase(thresholds, step, low, high, below)


def moments(converter: Acquisition, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean (p,) V and variance (p,) V^2 of one reading each of voltages with mean (p,) V and variance (p,) V^2.

    The converter's own noise is added to the variance here.
    """
    total = np.maximum(np.asarray(variance, dtype=np.float64), 0.0) + converter.noise**2
    found, squares = converter.read(mean), np.zeros(len(total))
    for k in np.flatnonzero(total > 0).tolist():
        sd = float(np.sqrt(total[k]))
        centre, spread = staircase(converter, float(mean[k]), sd).moments()
        found[k], squares[k] = mean[k] + sd * centre, sd**2 * spread
    return found, squares


LEFT = 40.0
"""Exponent of what a converter's steps leave of a sawtooth's covariance, beyond which doubles hold nothing of it."""


def even(converter: Acquisition, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Covariances of readings (d, p, p), V^2, of many laws whose steps are far below their deviations and ends far out.

    Steps then add their own variance, ``step^2 / 12``, to each channel and nothing to any pair: what is left is
    ``exp(-2 pi^2 var(v_i -+ v_j) / step^2)`` of a sawtooth (Widrow and Kollar, Quantization Noise, 2008, chapter 9).
    Means are those of the voltages.

    Parameters
    ----------
    mean, covariance:
        (d, p) V, (d, p, p) V^2 at the converter.

    Returns
    -------
    covariances, sure:
        Of what is read, and (d,) whether that holds in all digits; of other laws `moments` and `covariances` tell.
    """
    rows = np.arange(mean.shape[1])
    found = np.array(covariance)
    found[:, rows, rows] += converter.noise**2
    variance = found[:, rows, rows]
    low, high = converter.limits
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.minimum(high - mean, mean - low) / np.sqrt(variance)
    sure = np.asarray((room >= 8.0).all(axis=1))
    if converter.step:
        both = variance[:, :, None] + variance[:, None, :]
        apart = both - 2.0 * np.abs(found)
        apart[:, rows, rows] = variance
        sure = sure & np.asarray((2.0 * np.pi**2 * apart >= LEFT * converter.step**2).all(axis=(1, 2)))
        found[:, rows, rows] += converter.step**2 / 12.0
    return found, sure


def slopes(converter: Acquisition, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """(p,) covariance of a reading with its voltage over the latter's variance, of voltages as in `moments`."""
    sd = np.sqrt(np.maximum(variance, 0.0) + converter.noise**2)
    if converter.full_scale is None:
        return np.ones(len(mean))
    each = zip(mean.tolist(), sd.tolist(), strict=True)
    return np.array([staircase(converter, m, s).slope if s > 0 else 0.0 for m, s in each])


def clipping(converter: Acquisition, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """(p,) probability that one reading is beyond full scale, of voltages as in `moments`."""
    if converter.full_scale is None:
        return np.zeros(len(mean))
    sd = np.sqrt(np.maximum(variance, 0.0) + converter.noise**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        tails = [ndtr(-(converter.full_scale - sign * mean) / sd) for sign in (1.0, -1.0)]
    return np.where(sd > 0, tails[0] + tails[1], (np.abs(mean) > converter.full_scale).astype(float))


def covariances(
    converter: Acquisition,
    means: tuple[float, float],
    deviations: tuple[float, float],
    correlations: FloatArray,
) -> FloatArray:
    """(k,) V^2: covariances of what is read of two normal voltages, for each of many correlations of theirs.

    Parameters
    ----------
    converter:
        Both go through one like it.
    means, deviations:
        V, of the voltages at the converter, its noise among them.
    correlations:
        (k,) from -1 to 1.
    """
    rho = np.clip(np.asarray(correlations, dtype=np.float64), -1.0, 1.0)
    size = deviations[0] * deviations[1]
    if not size or not len(rho):
        return np.zeros(len(rho))
    if converter.full_scale is None:
        return rho * size
    both = [staircase(converter, mean, sd) for mean, sd in zip(means, deviations, strict=True)]
    counted = [each for each in both if each.thresholds is not None]
    if not counted:
        return size * _fine(both[0], both[1], rho, *means, *deviations, converter.step)
    rows = min(counted, key=lambda each: len(each.thresholds) if each.thresholds is not None else 0)
    other = both[1] if rows is both[0] else both[0]
    if not len(rows.thresholds if rows.thresholds is not None else ()):
        return np.zeros(len(rho))
    found = _integrals(lambda g: _lattice(rows, other, g), rho)
    return size * rows.step * other.step / (2.0 * np.pi) * found[:, 0]


# --- integrals over the correlation -----------------------------------------------------------


def _integrals(values: Callable[[float], FloatArray], rho: FloatArray) -> FloatArray:
    """(k, w): ``int_0^{asin rho} values(g) dg`` of a function with w values, for each correlation."""
    angles = np.arcsin(rho)
    points, _ = legendre.leggauss(_NODES)
    fit = np.linalg.inv(legendre.legvander(points, _NODES - 1))
    found: FloatArray | None = None
    for sign in (1.0, -1.0):
        mine = np.flatnonzero(sign * angles > 0)
        start, total = 0.0, None
        for k in range(1, _PANELS + 1):
            stop = 0.5 * np.pi * (1.0 - 0.5**k)
            inside = mine[(np.abs(angles[mine]) > start) & ((np.abs(angles[mine]) <= stop) | (k == _PANELS))]
            if not len(mine) or np.abs(angles[mine]).max() <= start:
                break
            half = (stop - start) / 2.0
            table = np.array([values(sign * (start + half * (1.0 + x))) for x in points])
            if found is None:
                found = np.zeros((len(rho), table.shape[1]))
            series = legendre.legint(fit @ table, lbnd=-1.0) * half * sign
            total = np.zeros(table.shape[1]) if total is None else total
            places = np.minimum((np.abs(angles[inside]) - start) / half - 1.0, 1.0)
            found[inside] = total + legendre.legvander(places, _NODES) @ series
            total = total + series.sum(axis=0)
            start = stop
    if found is None:
        found = np.zeros((len(rho), len(values(0.0))))
    return found


def _lattice(rows: Staircase, other: Staircase, angle: float) -> FloatArray:
    """(1,): ``sum_ab exp(-(a^2 + b^2 - 2 a b r) / 2 c^2)`` over the thresholds of both."""
    a = rows.thresholds
    assert a is not None
    r, c = np.sin(angle), np.cos(angle)
    centre, step = r * a, other.step
    if c >= _SMOOTH * step:
        inner = _smooth(other, centre, c)
    else:
        # (b - centre) / step from the thresholds' places: they are multiples of a step from the low end
        first, last = (0.0, np.round((other.high - other.low) / step) - 1.0)
        place = (centre - other.low) / step - 0.5
        nearest = np.round(place)
        reach = int(np.ceil(FAR * c / step)) + 1
        numbers = nearest[:, None] + np.arange(-reach, reach + 1)
        apart = (numbers - place[:, None]) * (step / c)
        terms = np.exp(-0.5 * np.minimum(apart * apart, 2000.0))
        inner = np.where((numbers >= first) & (numbers <= last), terms, 0.0).sum(axis=1)
    return np.array([float(np.exp(-0.5 * a * a) @ inner)])


def _smooth(other: Staircase, centre: FloatArray, c: float) -> FloatArray:
    """Sums over thresholds of a bell about each centre that is many steps wide: the integral and what its ends add."""
    step = other.step / c
    low, high = (other.low - centre) / c, (other.high - centre) / c
    found = _ROOT / step * np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    for end, sign in ((high, 1.0), (low, -1.0)):
        x = np.clip(end, -60.0, 60.0)
        bell, square = np.exp(-0.5 * x * x), x * x
        # -h f'/24 + 7 h^3 f'''/5760 - 31 h^5 f'''''/967680 with f^(n) = (-1)^n He_n f
        found += sign * bell * x * step / 24.0
        found -= sign * bell * x * (square - 3.0) * 7.0 * step**3 / 5760.0
        found += sign * bell * x * (square**2 - 10.0 * square + 15.0) * 31.0 * step**5 / 967680.0
    return np.asarray(found)


# --- lines, and fine steps along them ---------------------------------------------------------


def _fine(
    first: Staircase,
    second: Staircase,
    rho: FloatArray,
    mean_i: float,
    mean_j: float,
    sd_i: float,
    sd_j: float,
    step: float,
) -> FloatArray:
    """(k,) covariances over the product of standard deviations, of clipped lines with fine steps along them."""
    both = (first, second)
    corners = [
        (first.low, second.low, 1.0),
        (first.high, second.high, 1.0),
        (first.low, second.high, -1.0),
        (first.high, second.low, -1.0),
    ]

    def values(angle: float) -> FloatArray:
        r, c2 = np.sin(angle), np.cos(angle) ** 2
        total: float = 0.0
        for a, b, sign in corners:
            if max(abs(a), abs(b)) < 40.0:
                total += sign * float(np.exp(-0.5 * min(a * a + (b - r * a) ** 2 / c2, 2000.0)))
        return np.array([total, r * total]) / (2.0 * np.pi)

    out_of_reach = min(abs(end) for each in both for end in (each.low, each.high)) > FAR
    whole = np.zeros((len(rho), 2)) if out_of_reach else _integrals(values, rho)
    found: FloatArray = rho * first.within * second.within + rho * whole[:, 0] - whole[:, 1]
    if not step:
        return np.asarray(found)
    # step^2/24 (delta(u - high) - delta(u - low)) of one with the line of the other, both ways
    for mine, its in (both, (second, first)):
        centre = its.clipped_mean
        for end, side in ((mine.high, 1.0), (mine.low, -1.0)):
            if abs(end) < FAR + 3.0:
                spread = np.sqrt(np.maximum(1.0 - rho**2, 1e-30))
                there = _clipped_mean(rho * end, spread, its.low, its.high)
                found = found + side * mine.step**2 / 24.0 * _density(end) * (there - centre)
    # the sawtooth sum_m (step / pi m) sin(2 pi m u / step) of both, where the difference of their phases is known
    sign = np.where(rho < 0, -1.0, 1.0)
    apart = (sd_i**2 + sd_j**2 - 2.0 * np.abs(rho) * sd_i * sd_j) / step**2
    phase = 2.0 * np.pi * (mean_i - sign * mean_j) / step
    ripple = np.zeros(len(rho))
    for m in range(1, 200):
        term = np.exp(-np.minimum(2.0 * np.pi**2 * m**2 * np.maximum(apart, 0.0), 700.0)) / m**2
        if term.max(initial=0.0) < 1e-12:
            break
        ripple += term * np.cos(m * phase)
    own = np.sqrt(first.within * second.within) * first.step * second.step
    return np.asarray(found + sign * own * ripple / (2.0 * np.pi**2))
