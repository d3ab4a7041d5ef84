"""Trajectories of circuits whose transconductors have a finite linear range, in plain numpy.

Exponential Heun steps on ``de = (A e + B n(C e)) dt + noise`` (`spu.emulator.equations.saturating`): the linear part
and its noise are exact, what transconductors add is of weak order 2 (of strong order 1, as the noise is additive).
Steps are a share (`SHARE`) of the time in which that can turn: what they put a variance off by is below a thousandth.
No exact law is known that a run could be held against; error bars are those of the statistical linearisation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.interrupt import Interrupt
from spu.emulator.dynamics import SaturatingDynamics
from spu.emulator.equations.saturating import Saturating, phi
from spu.emulator.laws.estimate import about_sample_mean, trajectory_error
from spu.emulator.results import compare
from spu.emulator.runs.sampling import CLOSE, Simulation, chosen_settings, expected_error, plan, thinned
from spu.problems.problem import LinearProblem

SHARE = 0.1
"""Of the time in which transconductors can turn anything, a step at most."""


def _root(equation: Saturating, transition: FloatArray) -> FloatArray:
    """(n, n) a root of the covariance that the noise of a step has."""
    noise = equation.noise
    P = la.solve_continuous_lyapunov(equation.sde.dense.A, -noise @ noise.T)
    values, vectors = np.linalg.eigh(P - transition @ P @ transition.T)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


SETTLED = 12.0
"""Slowest time constants from the start, at rest, to the first readout."""

MOST_STEPS = 20_000_000


def simulate_saturating(
    does: SaturatingDynamics,
    problem: LinearProblem | None,
    *,
    samples: int | None,
    interval: float | None,
    trajectories: int | None,
    duration: float | None,
    step: float | None,
    trace: int | None,
    voltages: bool,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Simulation:
    """Sample a device, as `spu.simulate` samples linear ones.

    Raises
    ------
    UsageError
        For more than `MOST_STEPS`, or a step beyond the time in which transconductors turn anything.
    """
    started = time.perf_counter()
    law, equation = does.dense, does.equation
    settings = chosen_settings(interval, trajectories, duration)
    if voltages:
        interval = law.slowest / CLOSE if interval is None else interval
        trajectories = 1 if trajectories is None else trajectories
    count, interval, readings = plan(law, samples, interval, trajectories, duration)
    unit = equation.sde.dense.time
    longest = SHARE / equation.rate * unit if step is None else step
    if longest > unit / equation.rate:
        raise UsageError(
            f"a step of {longest:.3g} s is beyond the time in which transconductors turn anything, "
            f"{unit / equation.rate:.3g} s"
        )
    within = max(1, int(np.ceil(interval / longest * (1 - 1e-9))))
    before = max(1, int(np.ceil(SETTLED * law.slowest / longest)))
    if before + readings * within > MOST_STEPS:
        raise UsageError(f"{before + readings * within} steps of {longest:.3g} s are too many: {MOST_STEPS} at most")
    kept_every = thinned(trace, readings, count, len(law.sde.readout.variables) + (len(law.sde.probes) * voltages))
    made = np.random.default_rng([seed, 17])
    e = np.tile(equation.rest(does.circuit), (count, 1))
    sizes = (SETTLED * law.slowest / unit / before, interval / unit / within)
    p = len(law.voltage_mean)
    total, squares = np.zeros(p), np.zeros((p, p))
    kept: list[Any] = []
    done = 0

    def advance(h: float, steps: int) -> None:
        nonlocal e
        whole, one, two = (each.T for each in phi(equation.sde.dense.A, h, 2))
        root = _root(equation, whole.T).T
        for _ in range(steps):
            here = equation.push(e)
            trial = e @ whole + here @ one + made.standard_normal((count, len(root))) @ root
            e = trial + (equation.push(trial) - here) @ two

    with Interrupt() as interrupt:
        advance(sizes[0], before)
        for reading in range(readings):
            if interrupt.seen and done:
                break
            advance(sizes[1], within)
            volts = equation.seen(e) - law.voltage_mean
            total += volts.sum(axis=0)
            squares += volts.T @ volts
            done += 1
            if kept_every and reading % kept_every == 0:
                kept.append(volts)
            if progress is not None:
                progress(reading + 1, readings)
    number = done * count
    mean = total / number
    covariance = squares / number - np.outer(mean, mean)
    transform = law.sde.readout.matrix.toarray()
    exact = transform @ law.voltage_covariance @ transform.T
    taken: dict[str, Any] = {"steps": done, "interval": interval, "count": count, "transform": transform}
    error = trajectory_error(law, **taken)
    claimed = about_sample_mean(law, error, exact, **taken)
    found = compare(law, problem, law.voltage_mean + mean, covariance)
    readouts, waves = None, None
    if kept:
        waves = np.swapaxes(np.array(kept), 0, 1) + law.voltage_mean
        readouts = waves @ transform.T + law.sde.readout.offset
    mean_error, covariance_error = np.sqrt(claimed.mean_variance), np.sqrt(claimed.covariance_variance)
    return Simulation(
        **found,
        time_constants=law.time_constants,
        samples=number,
        effective_samples=error.effective_samples,
        expected_relative_error=expected_error(problem, found, mean_error, covariance_error, None),
        covariance_error=covariance_error,
        mean_error=mean_error,
        seconds=time.perf_counter() - started,
        device_time=SETTLED * law.slowest + done * interval,
        interval=interval,
        trajectories=count,
        seed=seed,
        method="exponential-heun",
        method_reason="transconductors saturate: exponential Heun steps, of weak order 2",
        time_step=sizes[1] * unit,
        trace=kept_every,
        readouts=readouts,
        voltages=waves if voltages else None,
        complete=done == readings,
        laws=(law,),
        chosen=settings,
    )
