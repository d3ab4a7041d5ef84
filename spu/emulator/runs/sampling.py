"""Samples of linear circuits: how many and how far apart, drawn, held against the law, and their error bars."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, Matrix
from spu.base.display import Shown
from spu.base.distances import on_one_pattern
from spu.base.errors import UsageError
from spu.base.interrupt import Interrupt
from spu.base.sparse import row_numbers, with_data
from spu.emulator.dynamics import LinearDynamics, slowest
from spu.emulator.laws.estimate import about_sample_mean, independent_error, trajectory_error
from spu.emulator.laws.large import Midpoint, SparseStationary
from spu.emulator.laws.law import Law
from spu.emulator.laws.stationary import Stationary
from spu.emulator.results import Statistics, compare, merge
from spu.emulator.runs.guard import Claims, Memory, hold, hold_large, memory_of_midpoint
from spu.emulator.runs.large_run import PatternSums, run_large
from spu.emulator.runs.run import Method, choose_method, independent_method, run
from spu.problems.problem import QuadraticProblem

METHODS = ("modal", "dense")
"""Ways to step that `simulate` can be made to take."""

FEW_NUMBERS, MOST_NUMBERS = 50_000_000, 500_000_000
"""Numbers kept of the path by default (0.4 GB), and at most."""

_MOST_PRODUCTS = 2**28  # numbers in sums over lags: 2 GB


@dataclass(frozen=True, eq=False)
class Simulation(Statistics, Shown):
    """Sampled statistics.

    Attributes
    ----------
    time_constants:
        (states,) as in `Prediction`.
    samples:
        Readouts taken, over all trajectories.
    effective_samples:
        Independent samples worth as much (`spu.emulator.laws.estimate.SamplingError`).
    expected_relative_error:
        Root mean square of the statistical part of ``relative_error``.
    covariance_error, mean_error:
        (p, p), (p,) standard errors in problem units (of one trajectory of a large network, bounds of them).
    seconds, device_time:
        Wall time, and time simulated on the device, s.
    interval:
        s between readouts; 0 for independent samples.
    trajectories, seed:
        As used.
    method, method_reason:
        How samples were drawn (``modal``, ``dense``, ``midpoint``, ``independent``), and why so.
    time_step:
        s, of the implicit midpoint; None where steps are exact.
    autocovariance:
        (lags + 1, p, p) in problem units, ``E[x(k) x(k - lag)^T]`` about the sample mean, lags counted in
        readouts; None unless asked for.
    trace:
        Every so-manieth readout of each trajectory was kept; 0 for none.
    readouts:
        (kept, p) in problem units, one trajectory after another, or None.
    complete:
        False if the run was interrupted.
    programmings:
        Of an ensemble, whose readouts lie one programming after another; 1 of any other device.
    """

    time_constants: FloatArray
    samples: int
    effective_samples: float
    expected_relative_error: float | None
    covariance_error: Matrix
    mean_error: FloatArray
    seconds: float
    device_time: float
    interval: float
    trajectories: int
    seed: int
    method: str
    method_reason: str
    time_step: float | None = None
    autocovariance: FloatArray | None = field(repr=False, default=None)
    trace: int = 0
    readouts: FloatArray | None = field(repr=False, default=None)
    complete: bool = True
    programmings: int = 1

    def worst_deviation(self) -> tuple[float, int, int, int]:
        """Largest deviation of a covariance from its target in standard errors; its row, its column; of how many.

        Raises
        ------
        ValueError
            Where there is no target.
        """
        if self.target_covariance is None:
            raise ValueError("there is no target")
        found, target = on_one_pattern(self.covariance, self.target_covariance)
        gap, error = found - target, self.covariance_error
        if isinstance(gap, sp.csr_array):
            rows, columns = row_numbers(gap), np.asarray(gap.indices, dtype=np.int64)
            gaps, errors = np.abs(gap.data), np.asarray(error[rows, columns])
        else:
            rows, columns = np.indices(gap.shape, dtype=np.int64).reshape(2, -1)
            gaps, errors = np.abs(gap).ravel(), np.asarray(error).ravel()
        sigmas = np.divide(gaps, errors, out=np.zeros_like(gaps), where=errors > 0)
        worst = int(sigmas.argmax())
        return float(sigmas[worst]), int(rows[worst]), int(columns[worst]), int((rows <= columns).sum())


def simulate_linear(
    found: Sequence[LinearDynamics],
    problem: QuadraticProblem | None,
    *,
    samples: int | None,
    interval: float | None,
    trajectories: int | None,
    duration: float | None,
    independent: bool,
    seed: int,
    trace: int | None,
    lags: int,
    threads: int | None,
    method: str | None,
    step: float | None,
    progress: Callable[[int, int], None] | None,
) -> Simulation:
    """`spu.emulator.simulate.simulate` of linear circuits, one for each programming; raises as it does."""
    settings: dict[str, Any] = {
        "samples": samples,
        "interval": interval,
        "trajectories": trajectories,
        "duration": duration,
        "independent": independent,
        "seed": seed,
        "trace": trace,
        "lags": lags,
        "threads": threads,
        "method": method,
        "step": step,
        "progress": progress,
    }
    if len(found) > 1:
        return _simulate_ensemble(found, problem, **settings)
    return _sample(found[0].law, problem, **settings)


def _sample(
    law: Law,
    problem: QuadraticProblem | None,
    *,
    samples: int | None,
    interval: float | None,
    trajectories: int | None,
    duration: float | None,
    independent: bool,
    seed: int,
    trace: int | None,
    lags: int,
    threads: int | None,
    method: str | None,
    step: float | None,
    progress: Callable[[int, int], None] | None,
) -> Simulation:
    """Draw from one circuit."""
    started = time.perf_counter()
    law.voltage_covariance  # noqa: B018 - refuses a probe that sees white noise directly
    _positive(
        samples=samples, interval=interval, trajectories=trajectories, duration=duration, threads=threads, step=step
    )
    _not_negative(trace=trace or 0, lags=lags, seed=seed)
    if independent:
        if any(given is not None for given in (interval, trajectories, duration, method, step)) or lags:
            raise UsageError("independent samples have no interval, trajectories, duration, lags, method or step")
        interval, trajectories, steps = 0.0, 1, samples or DEFAULT_SAMPLES
    else:
        trajectories, interval, steps = _plan(law, samples, interval, trajectories, duration)
    trace = _thinned(trace, steps, trajectories, len(law.sde.readout.variables))
    with Interrupt() as interrupt:
        common = {
            "trajectories": trajectories,
            "steps": steps,
            "seed": seed,
            "every": trace,
            "threads": threads,
            "progress": progress,
            "interrupted": lambda: interrupt.seen,
        }
        if isinstance(law, SparseStationary):
            if lags or method is not None:
                raise UsageError("lags and methods are for networks small enough for dense matrices")
            drawn = _draw_large(law, interval, step, common)
        else:
            if step is not None:
                raise UsageError("steps are exact here: a step is only for large sparse networks")
            drawn = _draw(law, interval, lags, method, common)
    readout = law.sde.readout
    found = compare(law, problem, drawn.voltage_mean, drawn.voltage_covariance)
    kept = None
    if trace:
        deviations = drawn.kept.reshape(-1, drawn.kept.shape[2])
        kept = (deviations + law.voltage_mean) @ readout.matrix.T + readout.offset
    return Simulation(
        **found,
        time_constants=law.time_constants,
        samples=drawn.samples,
        effective_samples=drawn.effective_samples,
        expected_relative_error=_expected(problem, found, drawn.mean_error, drawn.covariance_error),
        covariance_error=drawn.covariance_error,
        mean_error=drawn.mean_error,
        seconds=time.perf_counter() - started,
        device_time=drawn.samples // trajectories * interval,
        interval=interval,
        trajectories=trajectories,
        seed=seed,
        method=drawn.method,
        method_reason=drawn.why,
        time_step=drawn.time_step,
        autocovariance=drawn.autocovariance,
        trace=trace,
        readouts=kept,
        complete=drawn.samples == steps * trajectories,
    )


def _expected(
    problem: QuadraticProblem | None, found: dict[str, Any], mean_error: FloatArray, covariance_error: Matrix
) -> float | None:
    """Root mean square of the statistical part of the answer's relative error; None without a target."""
    if problem is None:
        return None
    answer = problem.kind.answer
    there, error = answer.of(found["mean"], found["covariance"]), answer.error(mean_error, covariance_error)
    return answer.expected(there, answer.target(problem), error)


def member_seed(seed: int, number: int) -> int:
    """The seed of programming ``number`` (from 0) of an ensemble: independent streams out of one seed."""
    if number == 0:
        return seed
    state = np.random.SeedSequence(entropy=seed, spawn_key=(1 << 20, number)).generate_state(2, np.uint64)
    return int(state[0]) << 64 | int(state[1])


def _simulate_ensemble(
    found: Sequence[LinearDynamics],
    problem: QuadraticProblem | None,
    *,
    samples: int | None,
    interval: float | None,
    duration: float | None,
    seed: int,
    trace: int | None,
    progress: Callable[[int, int], None] | None,
    **settings: Any,
) -> Simulation:
    """Run the programmings one after another and merge what they give."""
    started = time.perf_counter()
    _not_negative(seed=seed)
    _positive(samples=samples)
    laws = [each.law for each in found]
    if interval is None and not settings["independent"]:
        interval = slowest(laws).slowest  # one for all: their readouts are merged
    if duration is None:
        samples = -(-(samples or DEFAULT_SAMPLES) // len(laws))
    if trace is None:  # as many as all of them may keep together
        trace = -(-len(found[0].readout.variables) * (samples or 0) * len(laws) // FEW_NUMBERS) or None

    def told(number: int) -> Callable[[int, int], None] | None:
        if progress is None:
            return None
        return lambda done, total: progress(number * total + done, len(laws) * total)

    runs: list[Simulation] = []
    for number, law in enumerate(laws):
        run = _sample(
            law,
            problem,
            samples=samples,
            interval=interval,
            duration=duration,
            seed=member_seed(seed, number),
            trace=trace,
            progress=told(number),
            **settings,
        )
        runs.append(run)
        if not run.complete:
            break
    taken = np.array([run.samples for run in runs], dtype=np.float64)
    weights = taken / taken.sum()
    merged = merge(problem, runs, weights)
    covariance_error = np.sqrt(
        sum((w * np.asarray(run.covariance_error)) ** 2 for w, run in zip(weights, runs, strict=True))
    )
    mean_error = np.sqrt(sum((w * run.mean_error) ** 2 for w, run in zip(weights, runs, strict=True)))
    kept = [run.readouts for run in runs if run.readouts is not None]
    correlations = [run.autocovariance for run in runs if run.autocovariance is not None]
    return replace(
        runs[0],
        **merged,
        time_constants=slowest(laws).time_constants,
        samples=sum(run.samples for run in runs),
        effective_samples=sum(run.effective_samples for run in runs),
        expected_relative_error=_expected(problem, merged, mean_error, covariance_error),
        covariance_error=covariance_error,
        mean_error=mean_error,
        seconds=time.perf_counter() - started,
        device_time=sum(run.device_time for run in runs),
        trajectories=sum(run.trajectories for run in runs),
        seed=seed,
        autocovariance=np.tensordot(weights, np.array(correlations), axes=1) if correlations else None,
        readouts=np.concatenate(kept) if kept else None,
        complete=len(runs) == len(laws) and runs[-1].complete,
        programmings=len(laws),
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What came out of a run: in volts, but for errors and autocovariance, which are in problem units."""

    method: str
    why: str
    samples: int
    voltage_mean: FloatArray
    voltage_covariance: Matrix
    kept: FloatArray
    effective_samples: float
    covariance_error: Matrix
    mean_error: FloatArray
    autocovariance: FloatArray | None = None
    time_step: float | None = None


def _draw(law: Stationary, interval: float, lags: int, method: str | None, common: dict[str, Any]) -> _Drawn:
    """Draw from a network with dense matrices: exact steps, and errors known in advance."""
    how = _method(law, interval, method) if interval else independent_method(law)
    if (lags + 1) * how.observed**2 * 16 > _MOST_PRODUCTS:
        raise UsageError(f"autocovariances of {how.observed} variables at {lags} lags do not fit into memory")
    sums = run(how, lags=lags, **common)
    transform = law.sde.readout.matrix.toarray()
    trajectories = common["trajectories"]
    covariance = transform @ law.voltage_covariance @ transform.T
    if interval:
        steps = sums.samples // trajectories
        taken = {"steps": steps, "interval": interval, "count": trajectories, "transform": transform}
        error = trajectory_error(law, **taken)
        claimed = about_sample_mean(law, error, covariance, **taken)
    else:
        error = independent_error(covariance, sums.samples)
        claimed = about_sample_mean(None, error, covariance, steps=1, interval=0.0, count=sums.samples)
    claims = Claims(
        names=tuple(law.sde.readout.variables),
        covariance=covariance,
        size=np.abs(transform) @ np.sqrt(np.maximum(np.diag(law.voltage_covariance), 0.0)),
        covariance_variance=error.covariance_variance,
        mean_variance=error.mean_variance,
    )
    hold(law, how, sums, claims, transform, interval=interval, every=common["every"]).judge()
    correlations = sums.autocovariance
    return _Drawn(
        method=how.name,
        why=how.why,
        samples=sums.samples,
        voltage_mean=law.voltage_mean + sums.mean,
        voltage_covariance=correlations[0],
        kept=sums.kept,
        effective_samples=error.effective_samples,
        covariance_error=np.sqrt(claimed.covariance_variance),
        mean_error=np.sqrt(claimed.mean_variance),
        autocovariance=transform @ correlations @ transform.T if lags else None,
    )


def _draw_large(law: SparseStationary, interval: float, step: float | None, common: dict[str, Any]) -> _Drawn:
    """Draw from a large sparse network: independently, or by the implicit midpoint, and see how far it scatters."""
    midpoint, substeps, time_step = None, 1, None
    why = "independent draws from the stationary law: no time passes"
    if interval:
        # Half a radian of the fastest mode, but no more steps than a readout is worth.
        wanted = max(0.5 / law.fastest, interval / 32.0) if step is None else step
        substeps = max(1, round(interval / wanted))
        time_step = interval / substeps
        midpoint = Midpoint(law.sde, time_step)
        why = (
            f"the implicit midpoint rule on {law.sde.E.shape[0]} sparse states: exact covariances, "
            "but correlations in time only as far as the time step resolves them"
        )
    sums = run_large(law, midpoint=midpoint, substeps=substeps, **common)
    if midpoint is None:
        memory = Memory.none(sums.samples, 1)
    else:
        trajectories = common["trajectories"]
        memory = memory_of_midpoint(law, midpoint, substeps, trajectories, sums.samples // trajectories)
    hold_large(law, sums, memory).judge()
    sums = _honest(sums, memory, law)
    scale = law.sde.readout.matrix
    P = law.voltage_covariance
    covariance = law.readout_moments[1]
    variance = covariance.diagonal()
    squares = variance[row_numbers(covariance)] * variance[covariance.indices] + covariance.data**2
    # A variable's mean is as uncertain, for its own spread, as are those of the cells it is read from.
    weights = abs(scale)
    share = (weights @ (sums.mean_error / np.sqrt(P.diagonal()))) / weights.sum(axis=1)
    mean_error = np.sqrt(variance) * share
    bias = mean_error[row_numbers(covariance)] * mean_error[covariance.indices]  # of centring, at most
    return _Drawn(
        method="midpoint" if midpoint else "independent",
        why=why,
        samples=sums.samples,
        voltage_mean=law.voltage_mean + sums.mean,
        voltage_covariance=sums.covariance,
        kept=sums.kept,
        effective_samples=sums.effective_samples,
        covariance_error=with_data(covariance, np.sqrt(squares / sums.effective_samples + bias**2)),
        mean_error=mean_error,
        time_step=time_step,
    )


def _honest(sums: PatternSums, memory: Memory, law: SparseStationary) -> PatternSums:
    """Error bars where the scatter between trajectories says little, or nothing: within what is known.

    Of a single trajectory the bounds themselves are taken, which are no smaller than the errors; of few the scatter of
    one cell is drawn towards that of all, as far as their number says it is not known.
    """
    samples = float(sums.samples)
    variance = np.maximum(law.voltage_covariance.diagonal(), 0.0)
    least, worst = float(samples**2 / memory.squares[0]), memory.largest[0] * variance / samples
    if np.isnan(sums.effective_samples):
        return replace(sums, effective_samples=least, mean_error=np.sqrt(worst))
    if not sums.ends.size:  # independent draws: known
        return replace(sums, mean_error=np.sqrt(variance / samples))
    if memory.trajectories >= 16:
        return replace(sums, effective_samples=float(np.clip(sums.effective_samples, least, samples)))
    own = sums.mean_error**2
    loud = variance > 0
    shared = float((own[loud] / variance[loud]).mean()) * variance if loud.any() else own
    known = memory.trajectories - 1
    return replace(
        sums,
        effective_samples=float(np.clip(sums.effective_samples, least, samples)),
        mean_error=np.sqrt((known * own + (16 - known) * shared) / 16),
    )


def _thinned(trace: int | None, steps: int, trajectories: int, width: int) -> int:
    """Which readouts to keep: as asked, or as many as do not hurt."""
    if trace is None:
        return max(1, -(-steps * trajectories * width // FEW_NUMBERS))
    if trace and -(-steps // trace) * trajectories * width > MOST_NUMBERS:
        raise UsageError(
            f"{-(-steps // trace) * trajectories} readouts of {width} variables are too many to keep (at most "
            f"{MOST_NUMBERS} numbers): keep fewer, such as every {-(-steps * trajectories * width // FEW_NUMBERS)}th, "
            "or none"
        )
    return trace


def _method(law: Stationary, interval: float, name: str | None) -> Method:
    if name is not None and name not in METHODS:
        raise UsageError(f"no method {name!r}; there are {', '.join(METHODS)}")
    if name == "modal" and law.modes is None:
        raise UsageError("this circuit's matrices do not commute: it has no independent modes")
    return choose_method(law, interval, name)


def _positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not (np.isfinite(number) and number > 0):
            raise UsageError(f"{name} must be positive, not {number!r}")


def _not_negative(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise UsageError(f"{name} must not be negative, not {number!r}")


DEFAULT_SAMPLES, DEFAULT_LARGE = 10_000, 1_000
"""Readouts by default, and those of a large sparse network, where each is costly and shows every cell."""


def _plan(
    law: Law, samples: int | None, interval: float | None, count: int | None, duration: float | None
) -> tuple[int, float, int]:
    """Trajectories, interval (s) and readouts a trajectory."""
    interval = law.slowest if interval is None else float(interval)
    if duration is not None:
        steps = int(np.ceil(duration / interval * (1 - 1e-12)))
        return (1 if count is None else count), interval, steps
    large = isinstance(law, SparseStationary)
    samples = samples or (DEFAULT_LARGE if large else DEFAULT_SAMPLES)
    if count is None:
        count = int(min(32, samples) if large else min(64, max(1, samples // 100)))
    return count, interval, -(-samples // count)
