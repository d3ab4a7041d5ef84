"""From a problem to its answer on a device: compiled, switched on, waited for, read; with error bars."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arguments import Seed, seed_of, whole
from spu.base.display import Result
from spu.base.distances import frobenius
from spu.base.errors import UsageError
from spu.base.numbers import engineering
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.emulator.runs.sampling import Sampling, simulate_linear
from spu.studies.algebra.determinant import log_determinant
from spu.studies.algebra.planning import Plan, plan
from spu.studies.algebra.work import WorkAccuracy
from spu.studies.energy import Assumptions, Ledger, energy_of

__all__ = ["Solution", "answer"]

MOST_RUN = 10**10
"""Readouts that are emulated at most."""


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Result):
    """What a device answered, and how sure that is.

    Attributes
    ----------
    task, variables:
        What was asked, and the names of what the answer is of.
    answer:
        What was asked for: an inverse, a solution, a logarithm of a determinant.
    standard_error:
        Of each of its entries: scatter of the readouts, and what is left of the start. What the hardware misses by
        after any time is not in it: `floor`.
    relative_error:
        Of the whole answer (Frobenius), as it is expected: root mean square, floor included. Of the logarithm of a
        determinant it is the error as it is: the relative one of the determinant.
    floor:
        The part of it that no time goes below.
    device_time, burn_in, interval:
        S, from when the device is switched on to the last readout, to the first readout, and between two of them.
    readouts:
        How many.
    energy:
        What it costs; None where nobody says.
    exact, measured_error:
        The digital answer, and how far off the device's is, relative; None unless they were asked for.
    seed:
        Of the noise.
    complete:
        False if the run was interrupted: then all is of the readouts so far.
    plan, device:
        What was planned, and for which device.
    warnings:
        What should be known.

    Examples
    --------
    >>> import spu
    >>> found = spu.invert([[2.0, 0.5], [0.5, 1.0]], error=0.02, seed=1, compare=True)
    >>> found.answer.shape, found.standard_error.shape, found.complete
    ((2, 2), (2, 2), True)
    >>> found.exact.round(4)
    array([[ 0.5714, -0.2857],
           [-0.2857,  1.1429]])
    >>> bool((abs(found.answer - found.exact) < 6 * found.standard_error).all())
    True
    """

    task: str
    variables: tuple[str, ...]
    answer: Annotated[Any, "..."]
    standard_error: Annotated[Any, "..."]
    relative_error: float | None
    floor: float | None
    device_time: float
    burn_in: float
    interval: float | None
    readouts: int
    energy: Ledger | None
    seed: int
    exact: Annotated[Any, "..."] | None = None
    measured_error: float | None = None
    complete: bool = True
    plan: Plan | None = field(default=None, repr=False)
    device: Device | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()

    in_short = ("task", "answer", "relative_error", "device_time", "readouts")

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; arrays stay arrays, times are in s."""
        keys = (
            *("answer", "standard_error", "relative_error", "device_time", "burn_in", "readouts"),
            *("floor", "interval", "exact", "measured_error", "task", "variables", "seed", "complete", "warnings"),
        )
        found = {key: getattr(self, key) for key in keys}
        return found | {"energy": None if self.energy is None else self.energy.to_dict()}

    def arrays(self) -> dict[str, Any]:
        """What a ``.npz`` holds of it, by key: all but what nobody said."""
        keys = (
            *("answer", "standard_error", "exact", "variables", "relative_error", "measured_error", "floor"),
            *("device_time", "burn_in", "interval", "readouts", "seed", "complete", "task"),
        )
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


def answer(
    problem: Any,
    *,
    error: float | None = None,
    time: float | None = None,
    hardware: str | Path | Hardware | None = None,
    architecture: str | None = None,
    seed: Seed = 0,
    compare: bool = False,
    energy: Assumptions | str | Path | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Solution:
    """Answer a problem on a device: compile it, plan how long to read (`spu.plan`), run, and say how sure that is.

    One device of one programming: it is switched on with capacitors and inductors empty, is left alone until it has
    forgotten that as far as the error needs it, and is read at intervals.

    Parameters
    ----------
    problem:
        As of `spu.plan`: a problem, or what stands for one; or a device that was compiled for one.
    error, time:
        Relative error that is asked for, or s that there are: as of `spu.plan`.
    hardware, architecture:
        As of `spu.compile`.
    seed:
        Of the noise, as of `spu.simulate`.
    compare:
        Put the digital answer beside it.
    energy:
        Prices, as of `spu.load_energy`.
    threads, progress:
        As of `spu.simulate`.

    Raises
    ------
    UsageError, InputError, Unrealizable
        As `spu.plan`.

    Notes
    -----
    An interrupt (ctrl-C) ends the run early: what there is by then is given with the errors that it has, and
    ``complete=False``.

    Examples
    --------
    >>> import spu
    >>> found = spu.answer(spu.LinearSystem([[4.0, 1.0], [1.0, 3.0]], [1.0, 2.0]), error=0.05, seed=1)
    >>> bool((abs(found.answer - [1 / 11, 7 / 11]) < 6 * found.standard_error).all())
    True
    """
    number, most = seed_of(seed), whole("threads", threads)
    wanted = plan(problem, error=error, time=time, hardware=hardware, architecture=architecture, energy=energy)
    return carried_out(wanted, number, compare=compare, threads=most, progress=progress)


def carried_out(
    wanted: Plan,
    seed: int,
    *,
    compare: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Solution:
    """The answer by a plan."""
    known = wanted.accuracy
    if isinstance(known, WorkAccuracy):
        return _by_work(wanted, known, seed, compare=compare)
    device, problem, interval = wanted.device, known.problem, wanted.interval
    assert interval is not None  # only a ramp has none
    if known.silent:
        found, taken, complete = known.found + known.remainder(wanted.burn_in, interval, 1), 1, True
    else:
        if wanted.readouts > MOST_RUN:
            raise UsageError(
                f"the answer takes {wanted.readouts:.2g} readouts, {engineering(wanted.device_time, 's')} on the "
                "device: emulating it would take days; ask for a larger error (spu plan says what that takes)"
            )
        how = Sampling(
            samples=wanted.readouts,
            interval=interval,
            trajectories=1,
            seed=seed,
            trace=0,
            threads=threads,
            progress=progress,
            burn_in=wanted.burn_in,
        )
        run = simulate_linear([known.dynamics], problem, how)
        found = np.asarray(known.answer.of(*run.moments_for(known.answer)))
        taken, complete = run.samples, run.complete
    errors = known.errors(wanted.burn_in, interval, taken)
    parts = known.parts(wanted.burn_in, interval, taken)
    seconds = wanted.burn_in + (taken - 1) * interval
    energy = wanted.energy
    if not complete:
        energy = energy_of(device, seconds, taken, assumptions=wanted.prices, error=min(parts.total, 0.999))
    exact, given = problem.solution(known.target), problem.solution(found)
    return Solution(
        task=problem.task,
        variables=problem.variables,
        answer=given,
        standard_error=np.abs(problem.solution(errors.standard)),
        relative_error=parts.total,
        floor=known.floor,
        device_time=seconds,
        burn_in=wanted.burn_in,
        interval=interval,
        readouts=taken,
        energy=energy,
        seed=seed,
        exact=exact if compare else None,
        measured_error=frobenius(given - exact) / frobenius(exact) if compare else None,
        complete=complete,
        plan=wanted,
        device=device,
        warnings=wanted.warnings,
    )


def _by_work(wanted: Plan, known: WorkAccuracy, seed: int, *, compare: bool) -> Solution:
    """The logarithm of a determinant, by as many pairs of runs as are planned."""
    pairs = wanted.readouts // (2 * known.jumps)
    found = log_determinant(wanted.device, max(pairs, 2), seed=seed)
    return Solution(
        task=wanted.task,
        variables=(),
        answer=found.log_determinant,
        standard_error=found.standard_error,
        relative_error=math.hypot(found.standard_error, known.floor),
        floor=known.floor,
        device_time=found.device_time,
        burn_in=found.burn_in,
        interval=None,
        readouts=found.readouts,
        energy=wanted.energy,
        seed=seed,
        exact=known.exact if compare else None,
        measured_error=abs(found.log_determinant - known.exact) if compare else None,
        plan=wanted,
        device=wanted.device,
        warnings=tuple(dict.fromkeys((*wanted.warnings, *found.warnings))),
    )
