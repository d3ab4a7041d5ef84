"""The exact law of the voltages under sampled and held noise, at the sample instants, and tests against it.

With ``z' = Phi z + G u`` from one sample to the next and u independent normals, everything is known:
the covariance, the autocovariance ``R(l) = H Phi^l P H^T``, the spectrum, and with them the null law of
whatever is estimated from N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray
from scipy.special import chdtrc

from spu.base.arrays import ComplexArray, FloatArray
from spu.crosscheck.statistics.tails import CERTAIN, Mixture, threshold, two_sided
from spu.crosscheck.statistics.whiteness import Test, worst_of
from spu.emulator.equations.linear import DenseSDE
from spu.emulator.laws.estimate import sums_over_lags
from spu.emulator.laws.propagate import input_response
from spu.emulator.laws.spectra import correlations
from spu.emulator.laws.stationary import source_gain

_DETAIL = 48
"""Entries that are judged by their full law: those furthest off by the normal approximation."""

_MOST_NODES = 4096
"""Frequencies at which the spectrum is taken; its peaks are smooth on this grid, or few samples see them."""

_POOLED = 16
"""Neighbouring eigenvalues that are taken as one."""

_RANK = 1e-11
"""Of the largest: eigenvalues below this are rounding, and the voltages are dependent."""


@dataclass(frozen=True, eq=False)
class SampledLaw:
    """The stationary law at the sample instants.

    Attributes
    ----------
    dense:
        The equation, whose noise is replaced by held samples.
    interval, rms:
        s and V: of the unit sources' samples.
    slowest:
        s, the longest time constant.
    finer:
        Sources (m,) that have as many samples in an interval as ``parts`` says, of so many times the variance.
    """

    dense: DenseSDE
    interval: float
    rms: float
    slowest: float
    finer: NDArray[np.bool_] | None = None
    parts: int = 1

    @cached_property
    def _response(self) -> tuple[FloatArray, FloatArray]:
        transition, flat, _ = input_response(self.dense, self.interval)
        push = flat @ self.dense.B * (source_gain(self.dense) * self.rms)
        if self.finer is None or self.parts == 1:
            return transition, push
        part, flat, _ = input_response(self.dense, self.interval / self.parts)
        one = flat @ self.dense.B[:, self.finer] * (source_gain(self.dense) * self.rms * np.sqrt(self.parts))
        many = [one]
        for _ in range(self.parts - 1):
            many.append(part @ many[-1])
        return transition, np.hstack([push[:, ~self.finer], *many])

    @property
    def transition(self) -> FloatArray:
        """(n, n) of the state over one sample time."""
        return self._response[0]

    @property
    def push(self) -> FloatArray:
        """(n, m): what one sample of each source, a standard normal, adds to the state; of finer ones all of them."""
        return self._response[1]

    @cached_property
    def state_covariance(self) -> FloatArray:
        """(n, n): the solution of ``P = Phi P Phi^T + G G^T``."""
        covariance = self.push @ self.push.T
        power = self.transition
        while np.abs(power).max() > 1e-18:  # doubling sums the series of positive semidefinite terms
            covariance = covariance + power @ covariance @ power.T
            power = power @ power
        return np.asarray((covariance + covariance.T) / 2)

    @cached_property
    def covariance(self) -> FloatArray:
        """(p, p) of the probes, V^2."""
        found = self.dense.H @ self.state_covariance @ self.dense.H.T
        return np.asarray((found + found.T) / 2)

    def correlations(self, probes: Sequence[int], count: int) -> FloatArray:
        """(count, q, q) autocovariance of some probes, V^2, at lags from 0 on counted in samples."""
        left = self.dense.H[list(probes)]
        return correlations(self.transition, left, self.state_covariance @ left.T, count)

    @cached_property
    def rms_voltages(self) -> FloatArray:
        """(p,) V; 0 for a probe that no source reaches, to rounding."""
        rms = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return np.where(rms > 1e-9 * rms.max(initial=0.0), rms, 0.0)

    @cached_property
    def heard(self) -> NDArray[np.int64]:
        """Numbers of the probes that are moved at all."""
        return np.flatnonzero(self.rms_voltages > 0)

    @cached_property
    def _left(self) -> FloatArray:
        """(h, n) probes that are heard, over their rms."""
        return np.asarray(self.dense.H[self.heard] / self.rms_voltages[self.heard, None])

    def entry_variance(self, count: int) -> FloatArray:
        """(h, h) variances of the normalised covariance's entries, estimated from ``count`` consecutive samples."""
        left = self._left
        right = self.state_covariance @ left.T
        R = left @ right
        products, crossed, _ = sums_over_lags(
            self.dense, left, right, interval=self.interval, steps=count, slowest=self.slowest
        )
        own = np.diag(R)
        return np.asarray((np.outer(own, own) + R * R.T + 2.0 * (products + crossed)) / count)

    def effective_samples(self, count: int, runs: int) -> float:
        """Independent samples that would know the normalised covariance as well."""
        left = self._left
        R = left @ self.state_covariance @ left.T
        independent = float(np.trace(R) ** 2 + (R**2).sum())
        return runs * independent / float(self.entry_variance(count).sum())

    def mean_covariance(self, count: int) -> FloatArray:
        """(h, h) covariance of the normalised means of ``count`` consecutive samples.

        ``sum_l (1 - l/N) Phi^l`` in closed form: Phi has no eigenvalue one.
        """
        left, P, phi = self._left, self.state_covariance, self.transition
        one = np.eye(len(phi))
        inverse = la.inv(one - phi)
        power = np.linalg.matrix_power(phi, count)
        series = phi @ inverse - phi @ (one - power) @ inverse @ inverse / count
        half = left @ series @ P @ left.T
        return np.asarray((left @ P @ left.T + half + half.T) / count)

    @cached_property
    def _nodes(self) -> int:
        """Frequencies that resolve the slowest mode's peak."""
        wanted = 40.0 * self.slowest / self.interval
        return int(np.clip(2 ** np.ceil(np.log2(max(wanted, 1.0))), 128, _MOST_NODES))

    def _weights(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> FloatArray:
        """(k, nodes / 8) eigenvalues of ``Re(conj(a) b)`` for the spectra of normalised probes (rows, cols)."""
        J = self._nodes
        z = np.exp(1j * (np.arange(J) + 0.5) * np.pi / J)
        own, cross = self._spectrum(z, rows, rows).real, self._spectrum(z, rows, cols)
        other = own if np.array_equal(rows, cols) else self._spectrum(z, cols, cols).real
        root = np.sqrt(np.maximum(own * other - cross.imag**2, 0.0))
        flat = np.concatenate([cross.real + root, cross.real - root]).T / 2
        # Half of those of a variance are zero but for rounding.
        flat = np.where(np.abs(flat) > 1e-12 * np.abs(flat).max(axis=1, keepdims=True), flat, 0.0)
        sorted_weights = np.sort(flat, axis=1)
        return np.asarray(sorted_weights.reshape(len(rows), -1, _POOLED).mean(axis=2))

    def _spectrum(self, z: ComplexArray, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> ComplexArray:
        """(J, k) cross-spectra at points z (J,): ``G + conj(G)^T - R(0)`` with ``G = sum_l R(l) z^-l``."""
        left, right = self._left, self.state_covariance @ self._left.T
        values, vectors = self.dense.modes
        if np.linalg.cond(vectors) < 1e5:
            ratio = np.exp(values * (self.interval / self.dense.time))
            series = z[:, None] / (z[:, None] - ratio)
            before, behind = left @ vectors, la.solve(vectors, right.astype(np.complex128))
            one = series @ (before[rows] * behind[:, cols].T).T
            two = series @ (before[cols] * behind[:, rows].T).T
        else:
            eye, one, two = np.eye(len(values)), *np.empty((2, len(z), len(rows)), dtype=np.complex128)
            for k, point in enumerate(z):
                whole = left @ np.linalg.solve(eye - self.transition / point, right)
                one[k], two[k] = whole[rows, cols], whole[cols, rows]
        return np.asarray(one + np.conj(two) - (left @ right)[rows, cols])

    @cached_property
    def _own_weights(self) -> FloatArray:
        each = np.arange(len(self.heard))
        return self._weights(each, each)

    def entry_law(self, rows: NDArray[np.int64], cols: NDArray[np.int64], count: int, runs: int) -> Mixture:
        """Law of entries of the normalised covariance, averaged over ``runs`` runs of ``count`` samples.

        A quadratic form in Gaussians. Its weights are the spectrum's (Grenander and Szego 1958), which holds for
        many samples; the variance is then set to the exact one.
        """
        weights = self._own_weights[rows] if np.array_equal(rows, cols) else self._weights(rows, cols)
        freedom = np.array([[_POOLED * runs * count / self._nodes]])
        mixture = Mixture(weights / (runs * count), freedom)
        return mixture.with_variance(self.entry_variance(count)[rows, cols] / runs)

    def test_entries(self, covariance: FloatArray, count: int, runs: int, names: Sequence[str]) -> list[Test]:
        """Test every variance and covariance of the probes (h, h), normalised; ``names`` of the h probes."""
        h = len(self.heard)
        found = []
        expected = self._left @ self.state_covariance @ self._left.T
        spread = np.sqrt(self.entry_variance(count) / runs)
        score = np.abs(covariance - expected) / spread
        for name, (rows, cols) in (
            ("variances", (np.arange(h), np.arange(h))),
            ("covariances", np.triu_indices(h, 1)),
        ):
            if not len(rows):
                continue
            p_values = two_sided(score[rows, cols])
            worst = np.argsort(-score[rows, cols])[:_DETAIL]
            exact = self.entry_law(rows[worst], cols[worst], count, runs).normal(covariance[rows[worst], cols[worst]])
            # A skew law can make a smaller score the rarer one; far behind the worst it cannot.
            p_values[worst] = two_sided(exact)
            others = np.setdiff1d(np.arange(len(rows)), worst)
            p_values[others] = np.maximum(p_values[others], p_values[worst].min(initial=1.0))
            pairs = zip(rows.tolist(), cols.tolist(), strict=True)
            where = [names[i] if i == j else f"{names[i]} with {names[j]}" for i, j in pairs]
            found.append(worst_of(name, p_values, where))
        return found

    def test_means(self, mean: FloatArray, count: int, runs: int, names: Sequence[str]) -> list[Test]:
        """Test the normalised means (h,) of the probes, one by one and all together; both are exact."""
        covariance = self.mean_covariance(count) / runs
        spread = np.sqrt(np.diag(covariance))
        found = [worst_of("means", chdtrc(1.0, (mean / spread) ** 2), names)]
        values, vectors = la.eigh(covariance / np.outer(spread, spread))
        kept = values > _RANK * values[-1]
        whole = float(((vectors[:, kept].T @ (mean / spread)) ** 2 / values[kept]).sum())
        found.append(Test("mean vector", float(chdtrc(float(kept.sum()), whole)), 1, "all together"))
        return found

    def smallest_variance(self, count: int, runs: int, rate: float) -> FloatArray:
        """(h,) relative change of each probe's variance that is seen with 99 %, either way.

        ``rate`` is the false-alarm rate of the tests of variances, all together.
        """
        each = np.arange(len(self.heard))
        law = self.entry_law(each, each, count, runs)
        score = threshold(rate / len(each))
        # What grows by a factor is seen once the threshold's share of it is its first percentile.
        above = law.quantile(score) / law.quantile(-CERTAIN) - 1.0
        below = 1.0 - law.quantile(-score) / law.quantile(CERTAIN)
        return np.asarray(np.maximum(above, below))

    def samples_for(self, change: float, rate: float) -> int:
        """Consecutive samples that show a relative ``change`` of any variance with 99 %."""
        count = 100.0 * max(1.0, self.slowest / self.interval) / change**2
        for _ in range(8):  # what is seen falls as the root of the samples, but for few of them
            seen = float(self.smallest_variance(int(np.ceil(count)), 1, rate).max())
            if 0.99 * change <= seen <= change:
                break
            count = max(count * (seen / (0.995 * change)) ** 2, 16.0)
        return int(np.ceil(count))

    def innovations(self, stride: int, most: int = 4000) -> Innovations:
        """The filter that turns every ``stride``-th sample of the voltages into independent standard normals.

        Kalman's, without measurement noise, from the stationary law on; its gain is taken as settled where it no
        longer changes.
        """
        left, P = self._left, self.state_covariance
        phi = np.linalg.matrix_power(self.transition, stride)
        step = P - phi @ P @ phi.T
        gains: list[FloatArray] = []
        whitens: list[FloatArray] = []
        M = P
        for _ in range(most):
            values, vectors = la.eigh(left @ M @ left.T)
            kept = values > _RANK * values[-1]
            if kept.all():
                whiten = (vectors / np.sqrt(values)) @ vectors.T
            else:
                whiten = (vectors[:, kept] / np.sqrt(values[kept])).T
            gain = M @ left.T @ whiten.T  # of the whitened innovation
            if gains and gain.shape == gains[-1].shape and np.abs(gain - gains[-1]).max() <= 1e-10 * np.abs(gain).max():
                break
            gains.append(gain)
            whitens.append(whiten)
            M = phi @ (M - gain @ gain.T) @ phi.T + step
            M = (M + M.T) / 2
        width = min(len(whiten) for whiten in whitens)
        return Innovations(left, phi, gains, whitens, width, stride)


@dataclass(frozen=True, eq=False)
class Innovations:
    """What each sample says that the ones before it did not, in units of its standard deviation."""

    left: FloatArray
    transition: FloatArray
    gains: list[FloatArray]
    whitens: list[FloatArray]
    width: int
    stride: int

    def of(self, voltages: FloatArray) -> FloatArray:
        """(k, width) innovations of normalised voltages (N, h), deviations from their means."""
        samples = voltages[:: self.stride]
        state = np.zeros(len(self.transition))
        found = np.empty((len(samples), self.width))
        for k, sample in enumerate(samples):
            gain, whiten = self.gains[min(k, len(self.gains) - 1)], self.whitens[min(k, len(self.whitens) - 1)]
            innovation = whiten @ (sample - self.left @ state)
            found[k] = innovation[: self.width]
            state = self.transition @ (state + gain @ innovation)
        return found
