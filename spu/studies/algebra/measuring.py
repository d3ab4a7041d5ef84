"""What answers really miss by: many runs of one plan, beside the error that it expects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np

from spu.base.arguments import Seed, seed_of, whole
from spu.base.arrays import FloatArray
from spu.base.errors import OptionError, UsageError
from spu.emulator.runs.sampling import member_seed
from spu.studies.algebra.accuracy import Accuracy, Errors, Measured
from spu.studies.algebra.planning import Plan

__all__ = ["measure", "trials"]

TIMES = 6
"""At which runs are measured, unless others are given."""


def measure(
    plan: Plan,
    runs: float = 20,
    *,
    times: Sequence[float] | Annotated[FloatArray, "k"] | None = None,
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
        (k,) s; six up to the planned one unless given.
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
        times = np.geomspace(min(5.0 * known.least_time, plan.device_time), plan.device_time, TIMES)
    wanted = np.asarray(times, dtype=np.float64)
    errors, expected = np.zeros((len(wanted), many)), np.zeros(len(wanted))
    for k, time in enumerate(wanted.tolist()):
        expected[k] = known.at(time, plan.interval).total
        errors[k] = known.missed(time, plan.interval, many, member_seed(number, k))
        if progress is not None:
            progress(k + 1, len(wanted))
    return Measured(wanted, errors, expected, number)


def trials(plan: Plan, runs: float, seed: Seed = 0) -> tuple[Annotated[FloatArray, "runs ..."], Errors]:
    """Answers (runs, ...) of many runs as planned, as the samples tell them, and the errors that each claims.

    Raises
    ------
    UsageError
        If the plan is of a determinant, whose runs claim errors of their own (`spu.log_determinant`).
    """
    many, known = whole("runs", runs), plan.accuracy
    if many is None or many < 1:
        raise OptionError("runs", f"must be at least 1, not {runs!r}")
    if not isinstance(known, Accuracy) or plan.interval is None:
        raise UsageError("runs of a ramp claim errors of their own: spu.log_determinant gives both")
    how = plan.burn_in, plan.interval, plan.readouts
    return known.sample(*how, many, seed_of(seed)), known.errors(*how)
