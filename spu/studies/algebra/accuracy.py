r"""What the answer of a linear device misses by, known in advance from its own law: nothing is fitted, nothing guessed.

A device is switched on with its capacitors and inductors empty, waits for the time of burn-in, :math:`t_0`, and is
read N times, :math:`h` apart. The answer then misses by

- what the device would miss by after any time: codes, thermal noise, parasitics (`Accuracy.bias`), the floor;
- what is left of its start. About the stationary mean, with the mean :math:`\mu` and the covariance P of the state,

  .. math:: E[z(t) z(t)^T] = P - e^{A t} (P - \mu \mu^T) e^{A^T t}, \qquad E\,z(t) = -e^{A t} \mu,

  which is averaged over the readouts (`Accuracy.remainder`);
- the scatter of N correlated readouts, exact from the autocovariance (`spu.emulator.laws.estimate`).

The first two are added as arrays, the third in squares: their root mean square is the error that is expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.distances import frobenius
from spu.base.errors import UsageError
from spu.base.numbers import engineering
from spu.device.subject import Subject, subject_of
from spu.emulator.dynamics import LinearDynamics, all_linear
from spu.emulator.laws.estimate import ModalSpread, about_sample_mean, mean_covariance, trajectory_error
from spu.emulator.laws.propagate import exact_step
from spu.emulator.laws.stationary import Stationary
from spu.emulator.predict import prediction
from spu.emulator.relaxation import REST, relaxed
from spu.emulator.results import lag_of
from spu.emulator.runs.kicked import simulate_relaxation
from spu.emulator.runs.sampling import Sampling, dividing, member_seed, simulate_linear
from spu.problems.answers import COVARIANCE, MEAN
from spu.problems.ising import Optimisation
from spu.problems.problem import LinearProblem, linear_problem

SHARE = 0.1
"""Of the error that is asked for, what may be left of the start when the first readout is taken."""

WASTE = 0.05
"""How much longer readouts may take than a continuous readout of the same error: they are as far apart as that lets."""

_LONG = 300.0
"""Time constants from which on scatter is known from all entries together: what their own mean takes is little."""

_FEW, _KEPT = 400, 20_000_000
"""Readouts that are held against the exact law of a relaxation, and numbers kept of a path."""

MOST_READOUTS = 10**15
"""More of them nobody waits for."""


@dataclass(frozen=True)
class Parts:
    """The relative error of an answer, and what it is made of (root mean squares, Frobenius).

    Attributes
    ----------
    total:
        All of it.
    statistical:
        Scatter of the readouts.
    remainder:
        What is left of the start.
    """

    total: float
    statistical: float
    remainder: float


@dataclass(frozen=True, eq=False)
class Errors:
    """The same, entry by entry, as the answer is read from the samples.

    Attributes
    ----------
    statistical:
        Standard errors.
    remainder, bias:
        What is left of the start, and what the device misses by for ever; with their signs.
    """

    statistical: FloatArray
    remainder: FloatArray
    bias: FloatArray

    @property
    def standard(self) -> FloatArray:
        """Standard errors about the device's own answer: scatter, and what is left of the start."""
        return np.sqrt(self.statistical**2 + self.remainder**2)


@dataclass(frozen=True, eq=False)
class Measured:
    """Errors of runs, from when the device is switched on.

    Attributes
    ----------
    time:
        (k,) s.
    errors:
        (k, runs) relative errors of the answers (Frobenius), each of a run of its own.
    expected:
        (k,) root mean squares that are expected.
    seed:
        From which all seeds follow.
    """

    time: Annotated[FloatArray, "k"]
    errors: Annotated[FloatArray, "k runs"]
    expected: Annotated[FloatArray, "k"]
    seed: int

    @property
    def rms(self) -> Annotated[FloatArray, "k"]:
        """(k,) root mean square over the runs."""
        return np.asarray(np.sqrt((self.errors**2).mean(axis=1)))

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {"time": self.time, "expected": self.expected, "rms": self.rms, "errors": self.errors, "seed": self.seed}


class Accuracy:
    """What the answer of a device misses by, as a function of burn-in, readouts and the time between them.

    Parameters
    ----------
    dynamics, problem:
        Of the device.

    Attributes
    ----------
    floor : float
        Relative error of the answer after any time.
    slowest : float
        The longest time constant that is seen, s.
    """

    def __init__(self, dynamics: LinearDynamics, problem: LinearProblem) -> None:
        dynamics.require_white("errors in time")
        law, self.dynamics = dynamics.law, dynamics
        if not isinstance(law, Stationary) or problem.sparse:
            raise UsageError(
                "errors in time are worked out with whole matrices: this network is too large; spu.simulate samples it"
            )
        self.law, self.problem, self.answer = law, problem, problem.kind.answer
        found = prediction(law, problem)
        self.target = np.asarray(self.answer.target(problem), dtype=np.float64)
        self.size = frobenius(self.target)
        if self.size == 0:
            raise UsageError("the exact answer is zero: no error is relative to it")
        self.lag = lag_of(law, problem)
        self.covariance = np.asarray(found.covariance)
        self.mean, self.second = (np.asarray(each) for each in found.moments_for(self.answer))
        self.found = np.asarray(self.answer.of(self.mean, self.second))
        self.bias = self.found - self.target
        self.floor = float(found.relative_error or 0.0)
        self.slowest = law.slowest
        self._transform = law.sde.readout.matrix.toarray()
        self._left = self._transform @ law.dense.H
        push = law.dense.mean
        # Of what is left of a covariance some time is left once more where it is a lagged one.
        self._later = self._left if self.lag is None else self._left @ exact_step(law.dense, self.lag).transition
        self._start = law.covariance - np.outer(push, push)
        self._push = push
        self._scatter = lru_cache(maxsize=64)(self._scatter_of)
        self._transition = lru_cache(maxsize=16)(lambda seconds: exact_step(law.dense, seconds).transition)

    @property
    def silent(self) -> bool:
        """Whether there is no noise: then one readout tells all."""
        return not np.diagonal(self.covariance).any()

    def back(self, interval: float) -> int:
        """Readouts between the two of a pair, of which the lagged covariance is; 0 where none is asked for."""
        return 0 if self.lag is None else round(self.lag / interval)

    def dividing(self, interval: float) -> float:
        """An interval that is asked for; refused where an answer is of readouts whose distance it does not divide."""
        return interval if self.lag is None else dividing(self.lag, interval, self.slowest)[0]

    def least(self, interval: float) -> int:
        """The number of readouts without which there is no answer."""
        return self.back(interval) + 1

    # --- scatter ---------------------------------------------------------------------------

    def _scatter_of(self, interval: float, readouts: int) -> tuple[FloatArray, float]:
        """Standard errors of the answer, and their size relative to the exact one."""
        if self.answer is MEAN:
            own = mean_covariance(self.law, steps=readouts, interval=interval, transform=self._transform)
            entries = np.sqrt(np.diag(own))
            return entries, frobenius(entries) / self.size
        back = self.back(interval)
        taken = {"steps": readouts, "interval": interval, "count": 1, "transform": self._transform, "lag": back}
        known = trajectory_error(self.law, **taken)  # type: ignore[arg-type]
        error = about_sample_mean(self.law, known, self.covariance, **taken)  # type: ignore[arg-type]
        second = error.covariance_variance if error.lagged_variance is None else error.lagged_variance
        entries = np.asarray(self.answer.error(np.sqrt(error.mean_variance), np.sqrt(second)), dtype=np.float64)
        return entries, float(self.answer.expected(self.found, self.target, entries) or 0.0)

    @cached_property
    def _spread(self) -> ModalSpread | None:
        """The scatter of all covariances together; None where it is not known so."""
        return ModalSpread.of(self.law, self._transform)

    def scatter(self, interval: float, readouts: int) -> float:
        """Relative size of the scatter of so many readouts."""
        if self.silent:
            return 0.0
        # What is taken from the same samples' mean is worth a share of one in their effective number.
        long = readouts * interval > _LONG * self.slowest
        if long and self.answer is COVARIANCE and self._spread is not None:
            return math.sqrt(self._spread.variance(readouts, interval)) / self.size
        return self._scatter(interval, readouts)[1]

    def _asymptotic(self, interval: float) -> float:
        """Squares of all means, or covariances, together, times the device time that they take: of many readouts."""
        steps = max(2, round(1e6 * self.slowest / interval))
        if self.answer.deterministic:
            own = mean_covariance(self.law, steps=steps, interval=interval, transform=self._transform)
            return float(np.trace(own)) * steps * interval
        if self._spread is None:
            known = trajectory_error(self.law, steps=steps, interval=interval, count=1, transform=self._transform)
            return float(known.covariance_variance.sum()) * steps * interval
        return self._spread.variance(steps, interval) * steps * interval

    @cached_property
    def interval(self) -> float:
        """S between readouts that wastes few: the longest with which they take `WASTE` longer than a continuous one.

        Of much longer times than the slowest mode's, where both are known from sums over all lags; of all means, or
        covariances, together. Where an answer is of readouts some time apart it divides that time.
        """
        chosen = self.slowest if self.silent else self._sparing
        return chosen if self.lag is None else dividing(self.lag, None, chosen)[0]

    @property
    def _sparing(self) -> float:
        # A twentieth of the fastest mode's time is continuous to 1e-3; but lags that are summed one by one are counted.
        fine = 0.05 / float(np.abs(self.law.seen).max())
        counted = not self.answer.deterministic and self._spread is None
        continuous = self._asymptotic(max(fine, 1e-2 * self.slowest) if counted else fine)
        # From the top: cells that ring are seen badly at multiples of half a period, and well between them.
        for k in range(60):
            interval = float(f"{4.0 * self.slowest * 2.0 ** (-k / 6):.1e}")
            if self._asymptotic(interval) <= (1.0 + WASTE) * continuous:
                break
        read = self.law.sde.acquisition
        if read is not None and read.interval is not None:  # a whole number of samples
            interval = max(1, round(interval / read.interval)) * read.interval
        return interval

    def readouts_for(self, error: float, burn_in: float, interval: float) -> int:
        """The number of readouts with which the whole error is at most so large: the least one, to a thousandth.

        Raises
        ------
        UsageError
            If they are more than `MOST_READOUTS`.
        """

        def excess(readouts: int) -> float:
            """Scatter over what may be of it, in squares; infinite where nothing may be."""
            parts = self.parts(burn_in, interval, readouts)
            room = error**2 - (parts.total**2 - parts.statistical**2)
            return parts.statistical**2 / room if room > 0 else math.inf

        least = self.least(interval)
        guess = self._about(error, interval)
        if guess * interval < _LONG * self.slowest and excess(least) <= 1.0:
            return least
        few, many = least, max(least + 1, guess)  # the one is too few; the other is enough once the loop ends
        while (ratio := excess(many)) > 1.0:
            # Scatter falls as the root of the number, or sooner.
            few, many = many, max(many + 1, math.ceil(many * min(1.0002 * ratio, 1e6)))
            if many > MOST_READOUTS:
                raise UsageError(
                    f"an error of {error:.2g} takes more than {MOST_READOUTS:.0g} readouts: ask for less, or scale "
                    "the problem"
                )
        while ratio < 0.999 and many - few > max(1, many // 1000):
            middle = (few + many) // 2
            found = excess(middle)
            few, many, ratio = (few, middle, found) if found <= 1.0 else (middle, many, ratio)
        return many

    def _about(self, error: float, interval: float) -> int:
        """About how many readouts an error takes; 1 where few enough do, or nothing tells without much work."""
        room = (error**2 - self.floor**2) * self.size**2
        if self.silent or room <= 0 or not (self.answer.deterministic or self._spread is not None):
            return 1
        return int(min(self._asymptotic(interval) / interval / room, MOST_READOUTS))

    # --- start -----------------------------------------------------------------------------

    def _remains(self, second: FloatArray, first: FloatArray) -> FloatArray:
        """What is left in the answer of (n, n) of second moments and (n,) of means, both of the state."""
        off = -(self._left @ first)
        spread = -(self._later @ second @ self._left.T) - np.outer(off, off)
        return np.asarray(self.answer.of(self.mean + off, self.second + spread)) - self.found

    def remainder(self, burn_in: float, interval: float, readouts: int) -> FloatArray:
        """What is left of the start in the answer, averaged over the readouts; with its sign."""
        first = self._transition(burn_in)
        second, push = first @ self._start @ first.T, first @ self._push
        if readouts > 1:
            # A pair has a later readout: of the last ones none begins.
            step, pairs = self._transition(interval), max(readouts - self.back(interval), 1)
            second, push = _averaged(step, second, pairs), _averaged(step, push, readouts)
        return self._remains(second, push)

    @cached_property
    def _decay(self) -> tuple[FloatArray, FloatArray]:
        """Times (k,), and how large at most what is left of the start is from each on, relative to the answer."""
        spacing = self.slowest / 20.0
        step = exact_step(self.law.dense, spacing).transition
        second, push = self._start, self._push
        sizes = []
        for _ in range(_LONGEST):
            sizes.append(frobenius(self._remains(second, push)) / self.size)
            if len(sizes) > 100 and max(sizes[-20:]) < 1e-14:
                break
            second, push = step @ second @ step.T, step @ push
        largest = np.maximum.accumulate(np.array(sizes)[::-1])[::-1]
        return spacing * np.arange(len(sizes), dtype=np.float64), np.asarray(largest, dtype=np.float64)

    def burn_in_for(self, error: float) -> float:
        """S from when the device is switched on until no readout is off by more than `SHARE` of an error any more."""
        times, largest = self._decay
        there = np.flatnonzero(largest <= SHARE * error)
        return float(times[there[0]] if len(there) else times[-1])

    # --- together --------------------------------------------------------------------------

    def errors(self, burn_in: float, interval: float, readouts: int) -> Errors:
        """Of the answer's entries."""
        entries = np.zeros_like(self.target) if self.silent else self._scatter(interval, readouts)[0]
        return Errors(entries, self.remainder(burn_in, interval, readouts), self.bias)

    def parts(self, burn_in: float, interval: float, readouts: int) -> Parts:
        """Of the answer, relative."""
        scatter = self.scatter(interval, readouts)
        left = self.remainder(burn_in, interval, readouts)
        fixed = frobenius(left + self.bias) / self.size
        return Parts(math.hypot(scatter, fixed), scatter, frobenius(left) / self.size)

    @property
    def least_time(self) -> float:
        """S in which there is an answer: the longest time constant, and what lies between readouts of a pair."""
        return self.slowest + (self.lag or 0.0)

    def schedule(self, time: float, interval: float | None) -> tuple[float, float, int]:
        """Burn-in, interval and readouts that fill a time, in which the start is forgotten as far as the rest is self.

        Raises
        ------
        UsageError
            If the time is shorter than the longest time constant: the device has not left its start then.
        """
        interval, least = self.interval if interval is None else interval, self.least_time
        if time < least * (1 - 1e-9):
            apart = "" if self.lag is None else f" and the {engineering(self.lag, 's')} that its readouts are apart"
            raise UsageError(
                f"{engineering(time, 's')} is less than the longest time constant, "
                f"{engineering(self.slowest, 's')}{apart}: "
                f"switched on, the device is still at its start then; give {engineering(10 * least, 's')} or more"
            )
        room = time - self.back(interval) * interval  # until the first readout, where there is to be an answer
        burn_in = min(self.burn_in_for(1.0), room)
        for _ in range(8):
            readouts = max(1 + int((time - burn_in) / interval * (1 + 1e-12)), self.least(interval))
            error = math.hypot(self.scatter(interval, readouts), self.floor)
            longer = min(self.burn_in_for(max(error, 1e-12)), room)
            if longer <= burn_in * (1 + 1e-9):
                break
            burn_in = longer
        readouts = 1 + int((time - burn_in) / interval * (1 + 1e-12))
        return time - (readouts - 1) * interval, interval, readouts

    def at(self, time: float, interval: float | None) -> Parts:
        """The error after a time, with burn-in and readouts as `schedule` has them."""
        return self.parts(*self.schedule(time, interval))

    # --- runs ------------------------------------------------------------------------------

    def run(
        self,
        burn_in: float,
        interval: float,
        readouts: int,
        seed: int,
        *,
        runs: int = 1,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Annotated[FloatArray, "runs ..."], int]:
        """Answers (runs, ...) as the samples tell them, each of readouts of its own, from rest.

        A few readouts are drawn, and held, by the exact law of a relaxation from rest. Of many most are taken in the
        stationary law: they are drawn from rest as well, and held against that one.

        Returns
        -------
        Answers, and the readouts of each: fewer than wanted where the run was interrupted.

        Raises
        ------
        UsageError
            If many readouts still see the start.
        """
        if self.silent:
            return np.repeat((self.found + self.remainder(burn_in, interval, 1))[None], runs, axis=0), 1
        back, width = self.back(interval), max(len(self.law.dense.A), len(self.mean))
        if readouts <= _FEW and runs * readouts * width <= _KEPT and readouts * width**2 <= _KEPT:
            times = (burn_in + interval * np.arange(readouts)) / self.dynamics.second
            exact = relaxed([self.dynamics], REST, times)
            path = simulate_relaxation(exact, trajectories=runs, seed=seed, threads=threads, progress=progress).readouts
            if path.shape[1] <= back:
                raise KeyboardInterrupt  # before there was an answer
            return np.array([self._told(own, back) for own in path]), path.shape[1]
        if frobenius(self.remainder(burn_in, interval, 1)) > 0.5 * self.size * self.scatter(interval, back + 1):
            raise UsageError(
                f"the start is still seen when the first of {readouts} readouts is taken: give more time, or a longer "
                "interval"
            )
        how = Sampling(
            samples=readouts * runs,
            interval=interval,
            trajectories=runs,
            seed=seed,
            trace=1 if runs > 1 else 0,
            threads=threads,
            progress=progress,
            burn_in=burn_in,
        )
        run = simulate_linear([self.dynamics], self.problem, how)
        if run.readouts is None:
            return np.asarray(self.answer.of(*run.moments_for(self.answer)))[None], run.samples
        return np.array([self._told(own, back) for own in run.readouts]), run.samples // runs

    def sample(
        self, burn_in: float, interval: float, readouts: int, runs: int, seed: int
    ) -> Annotated[FloatArray, "runs ..."]:
        """Answers (runs, ...) of `run`, as many at a time as there is room for."""
        found: list[FloatArray] = []
        together = max(1, min(runs, _KEPT // (readouts * max(len(self.law.dense.A), len(self.mean)))))
        for number, first in enumerate(range(0, runs, together)):
            many = min(together, runs - first)
            answers, taken = self.run(burn_in, interval, readouts, member_seed(seed, number), runs=many)
            if taken < readouts and not self.silent:
                raise KeyboardInterrupt
            found.append(answers)
        return np.concatenate(found)

    def _told(self, path: FloatArray, back: int) -> FloatArray:
        """The answer that (k, p) readouts of one run tell."""
        mean = path.mean(axis=0)
        gap, off = path - self.mean, mean - self.mean
        second = gap[back:].T @ gap[: len(gap) - back] / (len(gap) - back) - np.outer(off, off)
        return np.asarray(self.answer.of(mean, second), dtype=np.float64)

    def missed(self, time: float, interval: float | None, runs: int, seed: int) -> Annotated[FloatArray, "runs"]:
        """(runs,) relative errors of as many answers after a time."""
        gaps = self.sample(*self.schedule(time, interval), runs, seed) - self.target
        return np.asarray(np.linalg.norm(gaps.reshape(runs, -1), axis=1) / self.size)


_LONGEST = 2000
"""Twentieths of the slowest time constant that a start is followed for: to e^-100, or e^-200 of squares."""


def _averaged(step: FloatArray, first: FloatArray, count: int) -> FloatArray:
    """``(1/N) sum over k < N`` of ``F^k X F^kT`` for X (n, n), or of ``F^k v`` for v (n,): by doubling."""
    total: FloatArray = np.zeros_like(first)  # over the first `known` powers
    power, known = np.eye(len(step)), 0

    def moved(by: FloatArray, what: FloatArray) -> FloatArray:
        return np.asarray(by @ what @ by.T if what.ndim == 2 else by @ what)

    for bit in f"{count:b}":
        if np.abs(power).max(initial=0.0) < 1e-200:  # nothing is left that could be added
            break
        total = total + moved(power, total)
        power, known = power @ power, 2 * known
        if bit == "1":
            total = first + moved(step, total)
            power, known = step @ power, known + 1
    return np.asarray(total / count, dtype=np.float64)


def accuracy_of(subject: Subject, problem: LinearProblem | None = None) -> Accuracy:
    """That of a linear device of one programming, for its own problem unless another is given.

    Raises
    ------
    UsageError
        If the device is not such, is too large, has no problem, or has an answer of zero.
    """
    meant = subject_of(subject)
    if isinstance(meant.problem, Optimisation):
        raise UsageError(
            "of an optimisation no error is known in advance: spu.anneal (spu anneal) gives its success, and how long "
            "a solution takes"
        )
    found = all_linear(meant, "there is no error that is known in advance")
    if len(found) > 1:
        raise UsageError("an ensemble of programmings has no one device time: plan with a device of one programming")
    wanted = problem or linear_problem(meant.problem)
    if wanted is None:
        raise UsageError("there is no problem to be right about: give a device that was compiled for one")
    return Accuracy(found[0], wanted)
