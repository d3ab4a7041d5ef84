"""What answers really miss by: many runs of one plan, beside the error that it expects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np

from spu.base.arguments import Seed, seed_of, whole
from spu.base.arrays import FloatArray
from spu.base.errors import OptionError
from spu.emulator.dynamics import all_linear
from spu.emulator.runs.sampling import FEW_NUMBERS, Sampling, member_seed, simulate_linear
from spu.studies.algebra.accuracy import Accuracy, Errors, Measured
from spu.studies.algebra.planning import Plan, schedule

__all__ = ["measure", "sampled_answers", "trials"]

TIMES = 6
"""At which runs are measured, unless others are given."""


def measure(
    plan: Plan,
    runs: float = 20,
    *,
    times: Sequence[float] | FloatArray | None = None,
    seed: Seed = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Run a planned device many times and see what its answers miss by.

    Parameters
    ----------
    plan:
        Of the device.
    runs:
        At each time; each with noise of its own.
    times:
        (k,) s; six from ten of the longest time constants to the planned one unless given.
    seed:
        As of `spu.simulate`.
    progress:
        Called with times done and wanted.

    Raises
    ------
    UsageError
        If a time is too short for any answer.
    """
    number, many = seed_of(seed), whole("runs", runs)
    if many is None or many < 1:
        raise OptionError("runs", f"must be at least 1, not {runs!r}")
    known = plan.accuracy
    if times is None:
        least = min(10.0 * known.slowest + 2.0 * (known.lag or 0.0), plan.device_time)
        times = np.geomspace(least, plan.device_time, TIMES)
    wanted = np.asarray(times, dtype=np.float64)
    errors, expected = np.zeros((len(wanted), many)), np.zeros(len(wanted))
    for k, time in enumerate(wanted.tolist()):
        burn_in, interval, readouts = schedule(known, time, plan.interval)
        found = sampled_answers(plan, burn_in, interval, readouts, many, member_seed(number, k))
        gaps = (found - known.target).reshape(many, -1)
        errors[k] = np.linalg.norm(gaps, axis=1) / known.size
        expected[k] = known.parts(burn_in, interval, readouts).total
        if progress is not None:
            progress(k + 1, len(wanted))
    return Measured(wanted, errors, expected, number)


def trials(plan: Plan, runs: float, seed: Seed = 0) -> tuple[Annotated[FloatArray, "runs ..."], Errors]:
    """Answers (runs, ...) of many runs as planned, as the samples tell them, and the errors that each claims."""
    many = whole("runs", runs)
    assert many is not None
    how = plan.burn_in, plan.interval, plan.readouts
    return sampled_answers(plan, *how, many, seed_of(seed)), plan.accuracy.errors(*how)


def sampled_answers(
    plan: Plan, burn_in: float, interval: float, readouts: int, runs: int, seed: int
) -> Annotated[FloatArray, "runs ..."]:
    """Answers (runs, ...) as the samples tell them, each of readouts of its own from when the device is switched on."""
    known, found = plan.accuracy, []
    if known.silent:
        return np.repeat((known.found + known.remainder(burn_in, interval, readouts))[None], runs, axis=0)
    dynamics = all_linear(plan.device, "there are no answers")
    together = max(1, min(runs, FEW_NUMBERS // (readouts * len(known.mean))))
    for number, first in enumerate(range(0, runs, together)):
        many = min(together, runs - first)
        how = Sampling(
            samples=readouts * many,
            interval=interval,
            trajectories=many,
            seed=member_seed(seed, number),
            trace=1 if many > 1 else 0,
            burn_in=burn_in,
        )
        run = simulate_linear(dynamics, known.problem, how)
        if not run.complete:
            raise KeyboardInterrupt
        if run.readouts is None:
            found.append(np.asarray(known.answer.of(*run.moments_for(known.answer))))
        else:
            found += [_answer_of(known, path, known.back(interval)) for path in run.readouts]
    return np.array(found)


def _answer_of(known: Accuracy, path: FloatArray, back: int) -> FloatArray:
    """The answer that (k, p) readouts of one run tell."""
    mean = path.mean(axis=0)
    gap = path - known.mean
    off = mean - known.mean
    second = gap[back:].T @ gap[: len(gap) - back] / (len(gap) - back) - np.outer(off, off)
    return np.asarray(known.answer.of(mean, second), dtype=np.float64)
