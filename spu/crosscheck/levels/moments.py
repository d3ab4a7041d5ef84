"""What the voltages of a noise transient should be, and tests of what they are: by kind of dynamics.

Linear circuits have an exact law under sampled and held noise, and with it the exact law of whatever is estimated
(`spu.crosscheck.statistics.sampled`). Of others the emulator's own runs under noise of the same kind, twins of the
simulator's, say what is to be expected and how it scatters.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from spu.base.arrays import FloatArray
from spu.crosscheck.context import Context, Moments
from spu.crosscheck.levels.recording import Declared, Recording
from spu.crosscheck.statistics.sampled import SampledLaw
from spu.crosscheck.statistics.tails import CERTAIN
from spu.crosscheck.statistics.whiteness import Sums, Test, battery, worst_of
from spu.emulator.laws.timing import TRANSIENT_SAMPLES
from spu.emulator.laws.welch import Welch
from spu.emulator.runs.noise import normals

INNOVATIONS = 64
"""At least so many are taken of a run."""

TWINS = 100
"""Runs of the emulator that moments are compared with, at least."""

PER_RUN = 3
"""Twins a run of the simulator, where there are many: then what they leave open is less than what it does."""

TWIN = 3
"""The purpose of the noise of these runs (`spu.emulator.runs.noise`)."""


class MomentTest(ABC):
    """What is expected of runs of so many samples each, all that was recorded of them, and tests of it.

    Attributes
    ----------
    longest:
        Samples of a run, at most.
    runs:
        That were added.
    """

    longest: float = np.inf

    def __init__(self, context: Context, source: Declared, burn: int) -> None:
        self.context, self.source, self.burn = context, source, burn
        self.mean = context.dynamics.rest  # V: what sums are about
        width = len(self.mean)
        self.count, self.runs = 0, 0
        self.found, self.exact = np.zeros((width, width)), np.zeros((width, width))
        self.found_mean, self.exact_mean = np.zeros(width), np.zeros(width)

    @abstractmethod
    def samples_for(self, change: float, rate: float) -> int:
        """Samples that show a relative ``change`` of any variance with 99 %, at a false-alarm ``rate``; 0 of none."""

    @abstractmethod
    def smallest_variance(self, count: int, runs: int, rate: float) -> FloatArray:
        """(h,) relative change of each variance that ``runs`` of ``count`` samples show with 99 %; (1,) 0 of none."""

    def seconds(self, count: int) -> float:
        """That the tests of runs of ``count`` samples take by themselves."""
        return 0.0

    def begin(self, count: int) -> None:
        """Make ready for runs of ``count`` samples each."""
        self.count = count

    @abstractmethod
    def add(self, recording: Recording) -> None:
        """Add a run."""

    @abstractmethod
    def tests(self) -> dict[str, list[Test]]:
        """By group."""

    @abstractmethod
    def moments(self) -> Moments:
        """Means and covariances, with what they should be and how far they scatter."""


class ExactTest(MomentTest):
    """Of linear circuits: everything is known."""

    def __init__(self, context: Context, source: Declared, burn: int) -> None:
        super().__init__(context, source, burn)
        self.law = SampledLaw(
            context.law.dense, source.interval, source.rms, context.timing.slowest, source.finer, source.parts
        )
        self.shown = context.shown[0]

    def samples_for(self, change: float, rate: float) -> int:
        return self.law.samples_for(change, rate) if len(self.law.heard) else 0

    def smallest_variance(self, count: int, runs: int, rate: float) -> FloatArray:
        return self.law.smallest_variance(count, runs, rate) if len(self.law.heard) else np.zeros(1)

    def begin(self, count: int) -> None:
        super().begin(count)
        self.welch = Welch.for_law(self.source.interval, self.law.slowest, count)
        self.filter = None
        if len(self.law.heard):
            # From one slowest time constant to the next, innovations are of the size of the voltages themselves.
            fewest = max(INNOVATIONS, 4 * len(self.law.heard))
            stride = max(1, min(round(self.law.slowest / self.law.interval), count // fewest))
            self.filter = self.law.innovations(stride)
            self.new = Sums(self.filter.width)

    def add(self, recording: Recording) -> None:
        self.runs += 1
        found, exact = recording.voltages - self.mean, recording.exact - self.mean
        self.found += found.T @ found / len(found)
        self.exact += exact.T @ exact / len(exact)
        self.found_mean += found.mean(axis=0)
        self.exact_mean += exact.mean(axis=0)
        self.welch.add(found[:, self.shown])
        if self.filter is not None:
            heard = self.law.heard
            self.new.add(self.filter.of(exact[:, heard] / self.law.rms_voltages[heard]))

    def tests(self) -> dict[str, list[Test]]:
        if self.filter is None:
            return {}
        law, heard = self.law, self.law.heard
        probes = [self.context.circuit.probes[k] for k in heard]
        size = law.rms_voltages[heard]
        entries = self.exact[np.ix_(heard, heard)] / np.outer(size, size) / self.runs
        whole = self.filter.width == len(probes)
        names = probes if whole else [f"combination {k + 1} of the cells" for k in range(self.filter.width)]
        return {
            "covariance": [
                *law.test_entries(entries, self.count, self.runs, probes),
                *law.test_means(self.exact_mean[heard] / size / self.runs, self.count, self.runs, probes),
            ],
            "innovations": battery(self.new, names),
        }

    def moments(self) -> Moments:
        law, runs = self.law, self.runs
        self.context.welch = self.welch.estimate(), self.welch.expected(law.correlations(self.shown, self.welch.length))
        heard, size = law.heard, law.rms_voltages[law.heard]
        spread, mean_spread = np.zeros_like(self.found), np.zeros(len(self.mean))
        effective = 0.0
        if len(heard):
            spread[np.ix_(heard, heard)] = law.entry_variance(self.count) / runs * np.outer(size, size) ** 2
            mean_spread[heard] = np.diag(law.mean_covariance(self.count)) / runs * size**2
            effective = law.effective_samples(self.count, runs)
        return Moments(
            covariance=self.found / runs,
            mean=self.mean + self.found_mean / runs,
            response_covariance=self.exact / runs,
            response_mean=self.mean + self.exact_mean / runs,
            predicted=law.covariance,
            predicted_mean=self.mean,
            covariance_variance=spread,
            mean_variance=mean_spread,
            white=self.context.law.voltage_covariance,
            effective_samples=effective,
        )


class TwinTest(MomentTest):
    """Time-averaged moments up to the fourth against those of twins, runs of the emulator under noise of the same kind.

    Each run's moments are about its own mean, and so are its twin's, which have as many samples: where runs are many
    their average is compared. By Student's t, as time averages over many relaxation times are nearly normal; their
    scatter is that of the twins, and shrinks with the root of the runs.
    """

    def __init__(self, context: Context, source: Declared, burn: int) -> None:
        super().__init__(context, source, burn)
        self.longest = max(TRANSIENT_SAMPLES, 2 * burn)
        self._sum = np.zeros(0)
        self._known: dict[int, FloatArray] = {}

    def _twins(self, count: int, runs: int = 1) -> FloatArray:
        """(t, k) moments of twins of ``count`` samples each, as many as ``runs`` of the simulator ask for."""
        known = self._known.get(count, np.empty((0, 0)))
        wanted = TWINS
        if self.context.detect is not None:  # a budget buys the simulator's runs
            wanted = max(wanted, PER_RUN * runs)
        if len(known) < wanted:
            with ThreadPoolExecutor(2) as pool:
                new = list(pool.map(lambda number: self._twin(count, number), range(len(known), wanted)))
            self._known[count] = known = np.concatenate([known, new]) if len(known) else np.array(new)
        return known

    def _twin(self, count: int, number: int) -> FloatArray:
        width = len(self.context.circuit.sources)
        steps = self.burn + count
        noise = self.source.rms * normals(self.context.seed, steps + 1, width, purpose=TWIN, trajectory=number)
        path = self.context.dynamics.respond(noise, self.source.interval, hold=True, finer=0.125)
        return _moments(path[self.burn + 1 :])

    def seconds(self, count: int) -> float:
        few = min(count, 512)
        started = time.perf_counter()
        self._twin(few, 0)  # what a first one prepares is there now
        started = time.perf_counter()
        self._twin(few, 0)
        each = (time.perf_counter() - started) * (self.burn + count) / (self.burn + few)
        return TWINS * each / 2

    def _scatter(self, count: int, runs: int, rate: float) -> tuple[FloatArray, FloatArray, float]:
        """Means and standard deviations of the moments over twins, and how many of these a difference has to be."""
        twins = self._twins(count, runs)
        total = len(twins)
        spread = twins.std(axis=0, ddof=1) * np.sqrt(1.0 / runs + 1.0 / total)
        return twins.mean(axis=0), spread, float(-stdtrit(total - 1, rate / len(self.mean) / 2))

    def samples_for(self, change: float, rate: float) -> int:
        count, runs = int(self.longest), 1
        for _ in range(16):  # what is seen falls as the root of the runs, once there are as many twins as they want
            seen = float(self.smallest_variance(count, runs, rate).max())
            if seen <= change:
                break
            runs = max(runs + 1, int(np.ceil(runs * (seen / change) ** 2)))
            if runs * count > MOST_TWINS:
                return runs * count
        return runs * count

    def smallest_variance(self, count: int, runs: int, rate: float) -> FloatArray:
        mean, spread, threshold = self._scatter(count, runs, rate)
        variances = slice(len(self.mean), 2 * len(self.mean))
        size = mean[variances]
        return np.asarray((threshold + CERTAIN) * spread[variances] / np.where(size > 0, size, np.inf))

    def add(self, recording: Recording) -> None:
        self.runs += 1
        found, exact = _moments(recording.voltages), _moments(recording.exact)
        self._sum = self._sum + exact if len(self._sum) else exact
        width = len(self.mean)
        self.found += _covariance(found, width)
        self.exact += _covariance(exact, width)
        self.found_mean += found[:width]
        self.exact_mean += exact[:width]

    def tests(self) -> dict[str, list[Test]]:
        twins = self._twins(self.count, self.runs)
        total = len(twins)
        spread = twins.std(axis=0, ddof=1) * np.sqrt(1.0 / self.runs + 1.0 / total)
        gap = np.abs(self._sum / self.runs - twins.mean(axis=0))
        p_values = 2.0 * stdtr(total - 1, -gap / np.where(spread > 0, spread, np.inf))
        probes = list(self.context.circuit.probes)
        width = len(probes)
        names = ("means", "variances", "third moments", "fourth moments")
        found = [worst_of(name, p_values[k * width : (k + 1) * width], probes) for k, name in enumerate(names)]
        rows, columns = np.triu_indices(width, 1)
        if len(rows):
            pairs = [f"{probes[i]} with {probes[j]}" for i, j in zip(rows, columns, strict=True)]
            found.append(worst_of("covariances", p_values[4 * width :], pairs))
        return {"moments": found}

    def moments(self) -> Moments:
        runs, width = self.runs, len(self.mean)
        twins = self._twins(self.count, runs)
        share = 1.0 / runs + 1.0 / len(twins)
        mean, variance = twins.mean(axis=0), twins.var(axis=0, ddof=1)
        known = self.context.dynamics.moments()
        # Samples that, drawn independently, would know the variances as well.
        second, fourth, scatter = mean[width : 2 * width], mean[3 * width : 4 * width], variance[width : 2 * width]
        size = np.where(second > 0, second, 1.0)
        effective = float(((fourth - second**2) / size**2).sum() / max((scatter / size**2).sum(), 1e-300)) * runs
        return Moments(
            covariance=self.found / runs,
            mean=self.found_mean / runs,
            response_covariance=self.exact / runs,
            response_mean=self.exact_mean / runs,
            predicted=_covariance(mean, width),
            predicted_mean=mean[:width],
            covariance_variance=_covariance(variance, width) * share,
            mean_variance=variance[:width] * share,
            white=None if known is None else known[1],
            effective_samples=effective,
        )


MOST_TWINS = 10**8
"""Samples of the simulator beyond which it is not worked out how many a change asks for: it is too many."""


def _moments(path: FloatArray) -> FloatArray:
    """Means, central moments 2 to 4 of each probe, covariances of pairs."""
    mean = path.mean(axis=0)
    deviation = path - mean
    rows, columns = np.triu_indices(len(mean), 1)
    covariance = deviation.T @ deviation / len(path)
    powers = [(deviation**k).mean(axis=0) for k in (2, 3, 4)]
    return np.concatenate([mean, *powers, covariance[rows, columns]])


def _covariance(moments: FloatArray, width: int) -> FloatArray:
    """The matrix (p, p) of second moments out of what `_moments` gives."""
    found = np.diag(moments[width : 2 * width])
    rows, columns = np.triu_indices(width, 1)
    found[rows, columns] = found[columns, rows] = moments[4 * width :]
    return found


TESTS: dict[str, Callable[[Context, Declared, int], MomentTest]] = {"linear": ExactTest}
"""By kind of dynamics, where the law is known under sampled and held noise; of others there are twins."""


def moment_test(context: Context, source: Declared, burn: int) -> MomentTest:
    """The test of a circuit's moments under noise that its sources declare, after ``burn`` samples."""
    return TESTS.get(context.dynamics.name, TwinTest)(context, source, burn)


def as_data(found: dict[str, list[Test]], group: str, seen: float, rate: float) -> dict[str, Any]:
    """A group of tests in figures, for ``--json``; nothing where there is none."""
    if group not in found:
        return {}
    worst = min(found[group], key=lambda test: test.p_value)
    return {
        group: {
            "count": sum(test.tests for test in found[group]),
            "statistic": float(np.log(max(worst.p_value, 1e-300)) / np.log(rate)),
            "worst": f"the {worst.name} of {worst.where}",
            "smallest_detectable": seen,
            "false_alarm_rate": rate,
        }
    }
