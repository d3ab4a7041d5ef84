"""The law of samples: a circuit's stationary law read by an acquisition (`spu.circuit.acquisition`).

Readings at one instant are those of the circuit behind a converter (`spu.emulator.laws.converted`); its clock's jitter
does not show there. Two samples are apart by a whole number of intervals and the difference of two errors of the clock,
``d ~ N(0, 2 jitter^2)``, so that their covariance is the circuit's averaged over d, of either sign:

    E[y(l h + d) y(0)^T] = H J(l h) P H^T + (H J(-l h) P H^T)^T,   J(m) = int_0^inf expm(A t) N(t; m, 2 jitter^2) dt,

mode by mode ``J = exp(-m^2 / 2 s^2) erfcx(-(m + lambda s^2) / sqrt(2) s) / 2``, ``s^2 = 2 jitter^2``. Where modes are
nearly parallel it is integrated in panels over which nothing that is left turns by much.

Behind a converter the covariance of two samples is a function of theirs at its input. Jitter makes their law a mixture
of normals, one for each d; that function is averaged over d by quadrature.

The density of samples, one-sided up to half the sampling rate, is ``2 h sum_l C(l) exp(-2 pi i f l h)``: all images of
the circuit's own. Without jitter and converter the sum is closed, ``expm(A h)`` being the step from sample to sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg as la
from scipy.special import wofz

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import UsageError
from spu.circuit.acquisition import Acquisition
from spu.emulator.laws import converted
from spu.emulator.laws.large import LARGE
from spu.emulator.laws.law import Law
from spu.emulator.laws.stationary import Stationary

_PARALLEL = 1e6
"""Condition of the matrix of modes beyond which they are not taken apart."""

_FORGOTTEN = 40.0
"""Longest time constants after which nothing is left of a covariance."""

_MOST_LAGS, _MOST_POINTS = 200_000, 100_000


@dataclass(frozen=True, eq=False)
class Observation:
    """What a reading is of the circuit's voltage, as far as second moments tell: ``gain (v - mean) + offset + e``.

    Attributes
    ----------
    gain, offset:
        (p,) a factor, and V: the mean of what is read. The gain is the expected slope of the converter, so that e has
        no covariance with any voltage of the circuit at the same instant.
    noise:
        (p,) V rms of e: of the converter's noise, of its steps and of its clipping. It is white as far as samples
        differ by more than a step, and independent of other channels; where they do not, `Acquired.autocovariance` is
        exact.
    """

    gain: FloatArray
    offset: FloatArray
    noise: FloatArray


@dataclass(frozen=True, eq=False)
class Acquired:
    """What an acquisition makes of a stationary law.

    Attributes
    ----------
    law:
        Of the voltages at the converter.
    acquisition:
        How they are read.
    """

    law: Law
    acquisition: Acquisition

    @property
    def dense(self) -> Stationary:
        """The law with all its modes.

        Raises
        ------
        UsageError
            Of a network that is too large for them.
        """
        if not isinstance(self.law, Stationary):
            raise UsageError(
                f"what a converter reads is known of networks of up to {LARGE} states: leave bits, full_scale, "
                "sample_noise and jitter out of detail.readout"
            )
        return self.law

    @cached_property
    def _input(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean (p,), covariance (p, p) and standard deviations with the converter's noise (p,), V, at the converter."""
        covariance = np.asarray(self.dense.voltage_covariance)
        variance = np.maximum(covariance.diagonal(), 0.0) + self.acquisition.noise**2
        return self.law.voltage_mean, covariance, np.sqrt(variance)

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray]:
        mean, covariance, _ = self._input
        return converted.moments(self.acquisition, mean, covariance.diagonal())

    @property
    def voltage_mean(self) -> FloatArray:
        """(p,) V."""
        return self._moments[0] if self.acquisition.converts else self.law.voltage_mean

    @cached_property
    def voltage_covariance(self) -> FloatArray:
        """(p, p) V^2 of readings at one instant."""
        covariance = self._input[1]
        if not self.acquisition.converts:
            return covariance
        found = self._converted(covariance[None])[0]
        np.fill_diagonal(found, self._moments[1])
        return found

    @cached_property
    def clipping(self) -> FloatArray:
        """(p,) probability that a reading is beyond full scale."""
        mean, covariance, _ = self._input
        return converted.clipping(self.acquisition, mean, covariance.diagonal())

    @cached_property
    def observation(self) -> Observation:
        """What a filter needs to know of the converters; amplifiers and their noise are states of the law."""
        mean, covariance, _ = self._input
        variance = np.maximum(covariance.diagonal(), 0.0)
        gain = converted.slopes(self.acquisition, mean, variance)
        read, squares = self._moments
        return Observation(gain, read, np.sqrt(np.maximum(squares - gain**2 * variance, 0.0)))

    def _converted(self, covariances: FloatArray) -> FloatArray:
        """(k, p, p) covariances of what is read of two samples, out of those at the converter."""
        if not self.acquisition.converts:
            return covariances
        mean, _, deviation = self._input
        found = np.zeros_like(covariances)
        for i in range(len(mean)):
            for j in range(i, len(mean)):
                size = deviation[i] * deviation[j]
                if size == 0:
                    continue
                both = np.concatenate([covariances[:, i, j], covariances[:, j, i]]) / size
                values, where = np.unique(both, return_inverse=True)
                read = converted.covariances(
                    self.acquisition,
                    (float(mean[i]), float(mean[j])),
                    (float(deviation[i]), float(deviation[j])),
                    values,
                )[where]
                found[:, i, j], found[:, j, i] = np.split(read, 2)
        return found

    def _apart(self, lags: FloatArray) -> FloatArray:
        """(k, p, p) V^2 of two samples at lags (k,)."""
        jitter, law = self.acquisition.jitter, self.dense
        if not (jitter and self.acquisition.converts):
            return self._converted(jittered(law, lags, jitter))
        found = np.empty((len(lags), *self._input[1].shape))
        mixtures = [_mixture(law, lag, jitter) for lag in lags.tolist()]
        first = 0
        while first < len(lags):
            last, count = first, 0
            while last < len(lags) and (last == first or count + len(mixtures[last][0]) <= _MOST_POINTS):
                count += len(mixtures[last][0])
                last += 1
            read = self._converted(_at(law, np.concatenate([times for times, _ in mixtures[first:last]])))
            ends = np.cumsum([len(times) for times, _ in mixtures[first:last]])
            for k, part in enumerate(np.split(read, ends[:-1]), first):
                found[k] = np.tensordot(mixtures[k][1], part, axes=1)
            first = last
        return found

    def autocovariance(self, lags: FloatArray) -> FloatArray:
        """(k, p, p) V^2: ``E[y(t + lag) y(t)^T]`` less the means, at lags (k,) s >= 0; at 0 the same sample.

        Raises
        ------
        UsageError
            For a lag that is no whole number of samples.
        """
        interval = self.acquisition.interval
        if interval is not None:
            counts = np.round(lags / interval)
            if (np.abs(counts * interval - lags) > 1e-6 * interval).any():
                worst = float(lags[np.argmax(np.abs(counts * interval - lags))])
                raise UsageError(
                    f"samples are {interval:.6g} s apart: none are {worst:.6g} s; a whole number of samples is needed"
                )
        found = self._apart(lags)
        found[lags == 0] = self.voltage_covariance
        return found

    def spectrum(self, frequencies: FloatArray, lift: FloatArray) -> ComplexArray:
        """(f, q, q) one-sided densities of ``lift @ samples``, V^2/Hz, at (f,) Hz up to half the sampling rate.

        Raises
        ------
        UsageError
            Without a sampling rate, for a frequency beyond half of it, or where samples are so close that too many of
            them remember one another.
        """
        interval = self.acquisition.interval
        if interval is None:
            raise UsageError("samples have a spectrum where their rate is known: give detail.readout.sampling_rate")
        if (frequencies > 0.5 / interval * (1 + 1e-12)).any():
            raise UsageError(
                f"samples at {1 / interval:.6g} Hz have no frequency of {frequencies.max():.6g} Hz: at most half of it"
            )
        turns = np.exp(-2j * np.pi * frequencies * interval)
        if not self.acquisition.converts and not self.acquisition.jitter:
            return 2.0 * interval * _folded(self.dense, interval, turns, lift)
        count = int(np.ceil(_FORGOTTEN * self.law.slowest / interval)) + 1
        if self.acquisition.jitter:
            count += int(np.ceil(15.0 * self.acquisition.jitter / interval))
        if count > _MOST_LAGS:
            raise UsageError(
                f"{count:,} samples remember one another, more than {_MOST_LAGS:,}: their spectrum takes a lower "
                "sampling_rate, or readouts without jitter and converter"
            )
        lags: FloatArray = np.arange(count, dtype=np.float64) * interval
        C = np.asarray(lift @ self.autocovariance(lags) @ lift.T)
        found = np.zeros((len(frequencies), len(lift), len(lift)), dtype=np.complex128)
        for first in range(1, count, 4096):
            powers = turns[:, None] ** np.arange(first, min(count, first + 4096))
            found += np.tensordot(powers, C[first : first + 4096], axes=1)
        return np.asarray(2.0 * interval * (C[0] + found + np.conj(np.swapaxes(found, 1, 2))))


def acquired(law: Law) -> Acquired | None:
    """What is acquired of a law; None where readouts are taken as they are."""
    acquisition: Acquisition | None = law.sde.acquisition
    return Acquired(law, acquisition) if acquisition else None


def _folded(law: Stationary, interval: float, turns: ComplexArray, lift: FloatArray) -> ComplexArray:
    """``sum_l R(l) z^l`` over all l, of ``lift @ probes``, z = exp(-2 pi i f h)."""
    dense = law.dense
    step = la.expm(dense.A * (interval / dense.time))
    H = lift @ dense.H
    right = law.covariance @ H.T
    left, whole = H.astype(np.complex128), np.eye(len(step))
    R0 = H @ right
    found = np.empty((len(turns), len(lift), len(lift)), dtype=np.complex128)
    for k, z in enumerate(turns):
        half = z * (left @ np.linalg.solve(whole - z * step, step @ right))
        found[k] = R0 + half + half.conj().T
    return found


def jittered(law: Stationary, lags: FloatArray, jitter: float) -> FloatArray:
    """(k, p, p) V^2: the autocovariance averaged over the jitter (s rms) of both instants, at lags (k,) s >= 0."""
    if not jitter:
        return _stepped(law, lags)
    modes, spread = _modes(law), np.sqrt(2.0) * jitter
    found = np.empty((len(lags), *law.voltage_covariance.shape))
    for k, lag in enumerate(lags.tolist()):
        if modes is None:
            times, weights = _mixture(law, lag, jitter)
            found[k] = np.tensordot(weights, _at(law, times), axes=1)
            continue
        values, left, right = modes
        ahead, behind = (((left * _half(values, m, spread)) @ right).real for m in (lag, -lag))
        found[k] = ahead + behind.T
    return found


def _modes(law: Stationary) -> tuple[ComplexArray, ComplexArray, ComplexArray] | None:
    """Poles (n,), 1/s, and (p, n), (n, p): ``R(t) = left exp(poles t) right``; None where modes are nearly parallel."""
    dense = law.dense
    values, vectors = np.linalg.eig(dense.A / dense.time)
    if np.linalg.cond(vectors) > _PARALLEL:
        return None
    right = np.linalg.solve(vectors, (law.covariance @ dense.H.T).astype(np.complex128))
    return values, dense.H @ vectors, right


def _at(law: Stationary, times: FloatArray) -> FloatArray:
    """(k, p, p) autocovariance at times (k,) s of either sign."""
    modes = _modes(law)
    if modes is None:
        return law.autocovariance(times)
    values, left, right = modes
    found: FloatArray = ((left * np.exp(np.abs(times)[:, None, None] * values)) @ right).real
    return np.where(times[:, None, None] < 0, np.swapaxes(found, 1, 2), found)


def _stepped(law: Stationary, lags: FloatArray) -> FloatArray:
    """The same without jitter; evenly spaced lags from 0 on step by step."""
    if len(lags) > 4 and np.allclose(lags, np.arange(len(lags)) * lags[1], rtol=1e-12, atol=0.0):
        dense = law.dense
        step, current = la.expm(dense.A * (lags[1] / dense.time)), law.covariance @ dense.H.T
        found = np.empty((len(lags), len(dense.H), len(dense.H)))
        for k in range(len(lags)):
            found[k] = dense.H @ current
            current = step @ current
        return found
    return law.autocovariance(lags)


def _half(values: ComplexArray, mean: float, spread: float) -> ComplexArray:
    """``int_0^inf exp(lambda t) N(t; mean, spread^2) dt`` of poles (n,), 1/s."""
    z = -(mean + values * spread**2) / (np.sqrt(2.0) * spread)
    weight = np.exp(-0.5 * (mean / spread) ** 2)
    outer = z.real >= 0
    scaled = wofz(1j * np.where(outer, z, -z))  # erfcx of the half plane where it is small
    exponent = np.where(outer, 0.0, values * mean + 0.5 * (values * spread) ** 2)
    return np.asarray(np.where(outer, 0.5 * weight * scaled, np.exp(exponent) - 0.5 * weight * scaled))


def _mixture(law: Stationary, lag: float, jitter: float) -> tuple[FloatArray, FloatArray]:
    """Times (k,) s of either sign and weights, by which functions of the autocovariance are averaged over jitter.

    Panels are so short that nothing that is left there turns by much; zero, where the autocovariance has a corner, is
    an end.
    """
    poles, spread = law.poles, np.sqrt(2.0) * jitter
    nodes, shares = np.polynomial.legendre.leggauss(20)
    times, weights = [], []
    for sign in (1.0, -1.0):
        start, stop = max(0.0, sign * lag - 9.0 * spread), sign * lag + 9.0 * spread
        while start < stop:
            alive = np.abs(poles)[-poles.real * start < _FORGOTTEN]
            if not len(alive):
                break
            end = min(start + min(2.0 / float(alive.max()), 2.0 * spread), stop)
            t = start + 0.5 * (end - start) * (1.0 + nodes)
            density = np.exp(-0.5 * ((t - sign * lag) / spread) ** 2) / (np.sqrt(2.0 * np.pi) * spread)
            times.append(sign * t)
            weights.append(0.5 * (end - start) * shares * density)
            if end <= start:
                break
            start = end
    if not times:
        return np.array([lag]), np.zeros(1)
    return np.concatenate(times), np.concatenate(weights)
