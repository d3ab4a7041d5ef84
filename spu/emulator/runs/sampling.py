"""Samples of linear circuits: how many and how far apart, drawn, held against the law, and their error bars."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, Matrix
from spu.base.distances import on_one_pattern
from spu.base.errors import OptionError, UsageError
from spu.base.interrupt import Interrupt
from spu.base.kernels.door import Precision
from spu.base.numbers import plural
from spu.base.sparse import row_numbers, with_data
from spu.base.threads import blas_threads_for
from spu.circuit.acquisition import Acquisition
from spu.emulator.dynamics import LinearDynamics, slowest
from spu.emulator.labelled import SQUARES, UNITS, inference_data
from spu.emulator.laws.acquired import Acquired, acquired
from spu.emulator.laws.clocked import ClockedLaw
from spu.emulator.laws.equilibrium import Equilibrium
from spu.emulator.laws.estimate import SamplingError, about_sample_mean, independent_error, trajectory_error
from spu.emulator.laws.large import Midpoint, SparseLaw
from spu.emulator.laws.law import Law
from spu.emulator.laws.stationary import Stationary
from spu.emulator.results import Statistics, compare, lag_of, lagged_covariance, merge
from spu.emulator.runs.acquiring import counted, hold_acquired, jittered_paths, on_clock, readings
from spu.emulator.runs.clocked_run import ClockedRun, Grid
from spu.emulator.runs.guard import Claims, Memory, hold, hold_large, memory_of_midpoint
from spu.emulator.runs.large_run import PatternSums, run_large
from spu.emulator.runs.run import Method, choose_method, from_rest, independent_method, run
from spu.emulator.runs.single import bias_of, hold_bias
from spu.problems.problem import LinearProblem

if TYPE_CHECKING:
    import xarray

METHODS = ("modal", "dense")
"""Ways to step that `simulate` can be made to take."""

SAVES_NOTHING = "single saves nothing by modes, where normals are most of the work: leave it out"

FEW_NUMBERS, MOST_NUMBERS = 50_000_000, 500_000_000
"""Numbers kept of the path by default (0.4 GB), and at most."""

CLOSE = 128
"""Readouts in the slowest time constant, by default, where waveforms are wanted: so that ringing is seen."""

_MOST_PRODUCTS = 2**28  # numbers in sums over lags: 2 GB


@dataclass(frozen=True, eq=False, repr=False)
class Simulation(Statistics):
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
    lagged_error:
        (p, p) of ``lagged``, about the sample mean; None where the problem's answer is no lagged covariance.
    seconds, device_time:
        Wall time, and time simulated on the device, s.
    interval:
        s between readouts; 0 for independent samples.
    trajectories, seed:
        As used. Of an ensemble the trajectories of all programmings, one programming after another.
    method, method_reason:
        How samples were drawn (``modal``, ``dense``, ``midpoint``, ``clocked``, ``independent``), and why so.
    time_step:
        s, of the implicit midpoint; None where steps are exact.
    precision, precision_error:
        Of states, products and readouts (``double``, ``single``); and what single precision puts a covariance, or an
        autocovariance, off by at most, for the standard deviations of both variables (`spu.emulator.runs.single`): a
        bias, which is in ``covariance_error``, too. None in double precision.
    autocovariance:
        (lags + 1, p, p) in problem units, ``E[x(k) x(k - lag)^T]`` about the sample mean, lags counted in
        readouts; None unless asked for.
    trace:
        Every so-manieth readout of each trajectory was kept; 0 for none.
    readouts:
        (trajectories, kept, p) in problem units, or None. Trajectories of an interrupted ensemble that were cut short
        end in NaN.
    voltages:
        (trajectories, kept, n) V, that ``readouts`` are made of; None unless asked for.
    complete:
        False if the run was interrupted.
    programmings:
        Of an ensemble; 1 of any other device.
    laws:
        Stationary laws of the programmings.
    chosen:
        Those of ``interval`` and ``trajectories`` that were not given.
    warnings:
        What should be known of the result.
    acquisition:
        How readouts are taken, and then all is of what is read; None where they are taken as they are.

    Examples
    --------
    >>> import spu
    >>> run = spu.simulate(spu.compile([[2.0, -0.5], [-0.5, 1.0]]), samples=1000, trajectories=10, seed=1)
    >>> run.readouts.shape, run.times.shape, run.samples_kept.shape
    ((10, 100, 2), (100,), (1000, 2))
    >>> run.covariance_error.shape, run.complete
    ((2, 2), True)
    """

    time_constants: Annotated[FloatArray, "states"]
    samples: int
    effective_samples: float
    expected_relative_error: float | None
    covariance_error: Annotated[Matrix, "p p"]
    mean_error: Annotated[FloatArray, "p"]
    seconds: float
    device_time: float
    interval: float
    trajectories: int
    seed: int
    method: str
    method_reason: str
    lagged_error: Annotated[FloatArray, "p p"] | None = None
    time_step: float | None = None
    precision: str = "double"
    precision_error: float | None = None
    autocovariance: Annotated[FloatArray, "l p p"] | None = None
    trace: int = 0
    readouts: Annotated[FloatArray, "trajectories kept p"] | None = None
    voltages: Annotated[FloatArray, "trajectories kept n"] | None = None
    complete: bool = True
    programmings: int = 1
    laws: tuple[Law, ...] = ()
    chosen: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    acquisition: Acquisition | None = None

    in_short = ("variables", "samples", "trajectories", "seed", "relative_error", "complete")

    @property
    def times(self) -> Annotated[FloatArray, "kept"] | None:
        """(kept,) s since the start of a trajectory, of ``readouts``; None without these, or where no time passes."""
        if self.readouts is None or self.interval == 0:
            return None
        return np.asarray((1 + self.trace * np.arange(self.readouts.shape[1])) * self.interval, dtype=np.float64)

    @property
    def samples_kept(self) -> Annotated[FloatArray, "samples p"] | None:
        """(kept, p) the readouts of all trajectories, one trajectory after another, without those cut short."""
        if self.readouts is None:
            return None
        flat = self.readouts.reshape(-1, self.readouts.shape[2])
        return flat if self.complete or self.programmings == 1 else flat[np.isfinite(flat).all(axis=1)]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files, and for what lies in them (`arrays`)."""
        keys = (
            *("samples", "effective_samples", "expected_relative_error", "covariance_error", "mean_error"),
            *("lagged_error", "seconds", "device_time", "interval", "trajectories", "seed", "complete"),
            *("method", "method_reason", "time_step", "precision", "precision_error"),
            *("trace", "autocovariance", "time_constants", "warnings"),
        )
        read = {} if self.acquisition is None else {"acquisition": self.acquisition.to_dict()}
        return {**super().to_dict(), **{key: getattr(self, key) for key in keys}, **read}

    def arrays(self) -> dict[str, Any]:
        """What ``samples.npz`` holds of it, by key; ``samples`` are the ``readouts`` one trajectory after another.

        Where steps are exact ``time_step`` is NaN; of independent samples there are no ``times``.
        """
        found = {
            "readouts": self.readouts,
            "samples": self.samples_kept,
            "times": self.times,
            "time_step": np.nan if self.time_step is None else self.time_step,
            "autocovariance": self.autocovariance,
        }
        keys = ("variables", "interval", "trace", "seed", "trajectories", "complete")
        return {key: getattr(self, key) for key in keys} | {k: v for k, v in found.items() if v is not None}

    def to_xarray(self) -> xarray.Dataset:
        """Readouts, statistics and their errors as labelled arrays (`spu.emulator.labelled`).

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        keys = (
            *("samples", "effective_samples", "expected_relative_error", "interval", "trajectories", "seed"),
            *("trace", "method", "time_step", "precision", "precision_error", "complete", "programmings"),
        )
        found = self.labels(**{key: getattr(self, key) for key in keys})
        found.coordinate("time", self.times, "s", "readout")
        found.array("readouts", ("trajectory", "readout", "variable"), self.readouts, UNITS)
        found.array("mean_error", ("variable",), self.mean_error, UNITS)
        found.array("covariance_error", ("variable", "variable_"), self.covariance_error, SQUARES)
        found.array("lagged_error", ("variable", "variable_"), self.lagged_error, SQUARES)
        found.array("time_constants", ("mode",), self.time_constants, "s")
        if self.autocovariance is not None:
            found.coordinate("lag", np.arange(len(self.autocovariance)) * self.interval, "s")
            found.array("autocovariance", ("lag", "variable", "variable_"), self.autocovariance, SQUARES)
        return found.dataset()

    def to_arviz(self) -> Any:
        """The readouts as ArviZ has samples: a trajectory is a chain, a readout a draw.

        Raises
        ------
        UsageError
            If ArviZ is not installed, or no readouts were kept.
        """
        return inference_data(self.readouts, self.variables, seed=self.seed, interval=self.interval, trace=self.trace)

    def worst_deviation(self) -> tuple[float, int, int, int]:
        """Largest deviation of a covariance from its target in standard errors; its row, its column; of how many.

        Of a lagged covariance, where that is the answer.

        Raises
        ------
        ValueError
            Where there is no target.
        """
        if self.target_covariance is None:
            raise ValueError("there is no target")
        if self.lagged is not None and self.target_lagged is not None and self.lagged_error is not None:
            misses = np.abs(self.lagged - self.target_lagged)
            each = np.divide(misses, self.lagged_error, out=np.zeros_like(misses), where=self.lagged_error > 0)
            row, column = divmod(int(each.argmax()), len(each))
            return float(each[row, column]), row, column, each.size
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


@dataclass(frozen=True)
class Sampling:
    """How to sample: the options of `spu.emulator.simulate.simulate` that linear devices have."""

    samples: int | None = None
    interval: float | None = None
    trajectories: int | None = None
    duration: float | None = None
    independent: bool = False
    seed: int = 0
    trace: int | None = None
    lags: int = 0
    threads: int | None = None
    method: str | None = None
    step: float | None = None
    precision: Precision = "double"
    voltages: bool = False
    progress: Callable[[int, int], None] | None = None
    burn_in: float | None = None
    """S from when the device is switched on, its capacitors and inductors empty, to the first readout of a trajectory;
    without it trajectories start in the stationary law. Errors are those of stationary trajectories."""


def simulate_linear(found: Sequence[LinearDynamics], problem: LinearProblem | None, how: Sampling) -> Simulation:
    """`spu.emulator.simulate.simulate` of linear circuits, one for each programming; raises as it does."""
    with blas_threads_for(found[0].states):
        if len(found) > 1:
            return _simulate_ensemble(found, problem, how)
        law = found[0].law
        if isinstance(law, Equilibrium) and _sparse_runs(law, how):
            law = law.large
        return _sample(law, problem, how)


_SPARSE_RUNS, _NO_RUNS = 1500, 2500
"""States of a sparse network beyond which dense matrices take far longer than draws or steps by sparse factors; and of
a ringing one, which has none of these steps, beyond which nobody waits for them."""


def _sparse_runs(law: Equilibrium, how: Sampling) -> bool:
    """Whether a law that dense matrices are for, too, is better run without."""
    if how.lags or how.method is not None:
        return False
    most = _SPARSE_RUNS if how.independent or law.relaxation.symmetric else _NO_RUNS
    return law.sde.E.shape[0] > most


def _sample(law: Law, problem: LinearProblem | None, how: Sampling) -> Simulation:
    """Draw from one circuit."""
    started = time.perf_counter()
    interval, trajectories, trace = how.interval, how.trajectories, how.trace
    chosen = chosen_settings(interval, trajectories, how.duration)
    law.voltage_covariance  # noqa: B018 - refuses a probe that sees white noise directly
    lag, back = lag_of(law, problem), 0
    read = acquired(law)
    if read is not None and not how.independent:
        _positive(interval=interval)
        interval = on_clock(read.acquisition, interval)
    wholes = {"samples": how.samples, "trajectories": trajectories, "threads": how.threads}
    _positive(interval=interval, duration=how.duration, step=how.step, **wholes)
    _not_negative(trace=trace or 0, lags=how.lags, seed=how.seed)
    if how.voltages and how.independent:
        raise OptionError("voltages", "are waveforms in time, and independent draws have none: leave independent out")
    if how.independent:
        if isinstance(law, ClockedLaw):
            raise OptionError(
                "independent",
                "held noise has no one law to draw from: that hangs on the phase of the clock; leave it out",
            )
        if any(given is not None for given in (interval, trajectories, how.duration, how.method, how.step)) or how.lags:
            raise UsageError("independent samples have no interval, trajectories, duration, lags, method or step")
        if lag is not None:
            raise OptionError("independent", f"draws tell nothing of readings {lag:.3g} s apart, which are the answer")
        interval, trajectories, steps = 0.0, 1, how.samples or DEFAULT_SAMPLES
    else:
        close = law.slowest / CLOSE if how.voltages else law.slowest
        if lag is not None:
            interval, back = dividing(lag, interval, close)
        if isinstance(law, ClockedLaw):
            _refuse_clocked(how, lag)
            most = close if how.voltages else max(showing(how.lags, law), law.clocked.period)
            interval = Grid.near(law, most if interval is None else interval).interval
        if how.voltages:
            interval, trajectories = close if interval is None else interval, trajectories or 1
        trajectories, interval, steps = plan(law, how.samples, interval, trajectories, how.duration, back, how.lags)
    width = len(law.sde.readout.variables) + (len(law.sde.probes) if how.voltages else 0)
    trace = thinned(trace, steps, trajectories, width)
    with Interrupt() as interrupt:
        common = {
            "trajectories": trajectories,
            "steps": steps,
            "seed": how.seed,
            "every": trace,
            "threads": how.threads,
            "progress": how.progress,
            "interrupted": lambda: interrupt.seen,
        }
        if isinstance(law, SparseLaw):
            if how.lags or how.method is not None:
                raise UsageError("lags and methods are for networks small enough for dense matrices")
            if how.precision == "single":
                raise OptionError("precision", "single is for networks small enough for dense matrices: leave it out")
            if read is not None and (read.acquisition.converts or read.acquisition.jitter):
                read.dense  # noqa: B018 - refuses so large a network
            drawn = _draw_large(law, interval, how.step, common)
        else:
            if how.step is not None:
                raise UsageError("steps are exact here: a step is only for large sparse networks")
            if isinstance(law, ClockedLaw):
                drawn = _draw_clocked(law, interval, how, common)
            elif read is not None and (read.acquisition.converts or (read.acquisition.jitter and interval)):
                drawn = _draw_acquired(read, interval, how, common, back)
            else:
                drawn = _draw(law, interval, how, common, back)
    readout = law.sde.readout
    found = compare(law, problem, drawn.voltage_mean, drawn.voltage_covariance, lagged=drawn.lagged)
    kept = volts = None
    if trace:
        many, each, probes = drawn.kept.shape
        volts = drawn.kept.reshape(-1, probes) + law.voltage_mean
        kept = (volts @ readout.matrix.T + readout.offset).reshape(many, each, -1)
        volts = volts.reshape(many, each, -1) if how.voltages else None
    return Simulation(
        **found,
        time_constants=law.time_constants,
        samples=drawn.samples,
        effective_samples=drawn.effective_samples,
        expected_relative_error=expected_error(
            problem, found, drawn.mean_error, drawn.covariance_error, drawn.lagged_error
        ),
        covariance_error=drawn.covariance_error,
        mean_error=drawn.mean_error,
        seconds=time.perf_counter() - started,
        device_time=_passed(drawn.samples // trajectories, interval, how.burn_in),
        interval=interval,
        trajectories=trajectories,
        seed=how.seed,
        method=drawn.method,
        method_reason=drawn.why,
        lagged_error=drawn.lagged_error,
        time_step=drawn.time_step,
        precision=how.precision,
        precision_error=drawn.precision_error,
        autocovariance=drawn.autocovariance,
        trace=trace,
        readouts=kept,
        voltages=volts,
        complete=drawn.samples == steps * trajectories,
        laws=(law,),
        chosen=chosen,
        acquisition=None if read is None else read.acquisition,
    )


def _passed(steps: int, interval: float, burn_in: float | None) -> float:
    """Seconds from the start of a trajectory to its last readout."""
    return steps * interval if burn_in is None else burn_in + (steps - 1) * interval


def expected_error(
    problem: LinearProblem | None,
    found: dict[str, Any],
    mean_error: FloatArray,
    covariance_error: Matrix,
    lagged_error: FloatArray | None,
) -> float | None:
    """Root mean square of the statistical part of the answer's relative error; None without a target."""
    if problem is None:
        return None
    answer, second = problem.kind.answer, covariance_error
    if answer.lagged:
        assert lagged_error is not None
        second = lagged_error
    there = answer.of(found["mean"], found["lagged" if answer.lagged else "covariance"])
    error = answer.error(mean_error, second)
    return answer.expected(there, answer.target(problem), error)


def member_seed(seed: int, number: int) -> int:
    """The seed of programming ``number`` (from 0) of an ensemble: independent streams out of one seed."""
    if number == 0:
        return seed
    state = np.random.SeedSequence(entropy=seed, spawn_key=(1 << 20, number)).generate_state(2, np.uint64)
    return int(state[0]) << 64 | int(state[1])


def _simulate_ensemble(found: Sequence[LinearDynamics], problem: LinearProblem | None, how: Sampling) -> Simulation:
    """Run the programmings one after another and merge what they give."""
    started = time.perf_counter()
    _not_negative(seed=how.seed)
    _positive(samples=how.samples)
    samples, interval, trace, progress = how.samples, how.interval, how.trace, how.progress
    laws = [each.law for each in found]
    chosen = chosen_settings(interval, how.trajectories, how.duration)
    if interval is None and not how.independent:  # one for all: their readouts are merged
        read = acquired(laws[0])
        longest = slowest(laws)
        close = longest.slowest / CLOSE if how.voltages else showing(how.lags, longest)
        interval = (None if read is None else read.acquisition.interval) or close
        if how.lags and not how.voltages:
            samples = samples or by_default(interval, longest.slowest)
        lag = lag_of(laws[0], problem)
        clocked = read is not None and read.acquisition.interval is not None
        interval = interval if lag is None or clocked else dividing(lag, None, interval)[0]
    if how.duration is None:
        samples = -(-(samples or DEFAULT_SAMPLES) // len(laws))
    if trace is None:  # as many as all of them may keep together
        trace = -(-len(found[0].readout.variables) * (samples or 0) * len(laws) // FEW_NUMBERS) or None

    def told(number: int) -> Callable[[int, int], None] | None:
        if progress is None:
            return None
        return lambda done, total: progress(number * total + done, len(laws) * total)

    runs: list[Simulation] = []
    for number, law in enumerate(laws):
        seed = member_seed(how.seed, number)
        own = replace(how, samples=samples, interval=interval, seed=seed, trace=trace, progress=told(number))
        run = _sample(law, problem, own)
        runs.append(run)
        if not run.complete:
            break
    taken = np.array([run.samples for run in runs], dtype=np.float64)
    weights = taken / taken.sum()
    merged = merge(problem, runs, weights)
    mean_error = np.sqrt(sum((w * run.mean_error) ** 2 for w, run in zip(weights, runs, strict=True)))
    covariance_error = _merged_error(weights, runs, [np.asarray(run.covariance_error) for run in runs])
    lags = [run.lagged_error for run in runs if run.lagged_error is not None]
    lagged_error = _merged_error(weights, runs, lags) if lags else None
    kept = [run.readouts for run in runs if run.readouts is not None]
    volts = [run.voltages for run in runs if run.voltages is not None]
    biases = [run.precision_error for run in runs if run.precision_error is not None]
    correlations = [run.autocovariance for run in runs if run.autocovariance is not None]
    return replace(
        runs[0],
        **merged,
        time_constants=slowest(laws).time_constants,
        samples=sum(run.samples for run in runs),
        effective_samples=sum(run.effective_samples for run in runs),
        expected_relative_error=expected_error(problem, merged, mean_error, covariance_error, lagged_error),
        covariance_error=covariance_error,
        mean_error=mean_error,
        lagged_error=lagged_error,
        seconds=time.perf_counter() - started,
        device_time=sum(run.device_time for run in runs),
        trajectories=sum(run.trajectories for run in runs),
        seed=how.seed,
        precision_error=max(biases, default=None),
        autocovariance=np.tensordot(weights, np.array(correlations), axes=1) if correlations else None,
        readouts=_side_by_side(kept) if kept else None,
        voltages=_side_by_side(volts) if volts else None,
        complete=len(runs) == len(laws) and runs[-1].complete,
        programmings=len(laws),
        laws=tuple(laws),
        chosen=chosen,
    )


def _merged_error(weights: FloatArray, runs: Sequence[Simulation], errors: Sequence[FloatArray]) -> FloatArray:
    """(p, p) standard errors of the average of covariances and the spread of means, to first order and at most."""
    means = np.array([run.mean for run in runs])
    apart = np.abs(means - weights @ means)
    squares = np.zeros_like(errors[0])
    for w, each, error, gap in zip(weights, runs, errors, apart, strict=True):
        spread = np.outer(gap, each.mean_error)
        squares += w**2 * (error**2 + (spread + spread.T) ** 2)
    return np.sqrt(squares)


def _side_by_side(runs: Sequence[FloatArray]) -> FloatArray:
    """Readouts (trajectories, kept, p) of several runs, of which the last may have been cut short, as one array."""
    whole = np.full((sum(map(len, runs)), max(each.shape[1] for each in runs), runs[0].shape[2]), np.nan)
    first = 0
    for each in runs:
        whole[first : first + len(each), : each.shape[1]] = each
        first += len(each)
    return whole


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
    precision_error: float | None = None
    lagged: FloatArray | None = None
    lagged_error: FloatArray | None = None


def _draw(law: Stationary, interval: float, asked: Sampling, common: dict[str, Any], back: int = 0) -> _Drawn:
    """Draw from a network with dense matrices: exact steps, and errors known in advance.

    ``back`` readouts apart the covariance is wanted, too; 0 for none.
    """
    lags, apart = (max(asked.lags, back), 1) if asked.lags or not back else (1, back)
    place = back // apart
    together = asked.burn_in is not None and bool(law.dense.mean.any())  # from rest only all states move their mean
    name = "dense" if together else asked.method
    how = _method(law, interval, name, asked.precision) if interval else independent_method(law)
    if asked.burn_in is not None:
        how = from_rest(how, law, asked.burn_in)
    if (lags + 1) * how.observed**2 * 16 > _MOST_PRODUCTS:
        raise UsageError(f"autocovariances of {how.observed} variables at {lags} lags do not fit into memory")
    transform = law.sde.readout.matrix.toarray()
    trajectories = common["trajectories"]
    covariance = transform @ law.voltage_covariance @ transform.T

    @cache
    def errors(samples: int) -> tuple[SamplingError, SamplingError]:
        """Of covariances about the law's mean, and about that of as many samples."""
        if not interval:
            error = independent_error(covariance, samples)
            return error, about_sample_mean(None, error, covariance, steps=1, interval=0.0, count=samples)
        steps = samples // trajectories
        taken = {"steps": steps, "interval": interval, "count": trajectories, "transform": transform, "lag": back}
        error = trajectory_error(law, **taken)
        return error, about_sample_mean(law, error, covariance, **taken)

    bias, off, precision_error = None, 0.0, None
    if how.precision == "single":
        bias = bias_of(law, how, common["steps"], lags, apart)
        expected = errors(common["steps"] * trajectories)[1].covariance_variance
        precision_error = hold_bias(bias, transform, covariance, expected, law.sde.readout.variables, interval)
        off = transform @ bias.products[0] @ transform.T
    sums = run(how, lags=lags, apart=apart, **common)
    if back and sums.readouts <= back:  # cut short before there was a pair
        raise KeyboardInterrupt
    error, claimed = errors(sums.samples)
    claims = Claims(
        names=tuple(law.sde.readout.variables),
        covariance=covariance,
        size=np.abs(transform) @ np.sqrt(np.maximum(np.diag(law.voltage_covariance), 0.0)),
        covariance_variance=error.covariance_variance,
        mean_variance=error.mean_variance,
        place=place,
        lagged=lagged_covariance(law, back * interval) if back else None,
        lagged_variance=error.lagged_variance,
    )
    hold(law, how, sums, claims, transform, interval=interval, apart=apart, every=common["every"], bias=bias).judge()
    correlations = sums.autocovariance
    off_lagged = 0.0 if bias is None else transform @ bias.products[place] @ transform.T
    return _Drawn(
        method=how.name,
        why=how.why,
        samples=sums.samples,
        voltage_mean=law.voltage_mean + sums.mean,
        voltage_covariance=correlations[0],
        kept=sums.kept,
        effective_samples=error.effective_samples,
        covariance_error=np.sqrt(claimed.covariance_variance + off**2),
        mean_error=np.sqrt(claimed.mean_variance),
        autocovariance=transform @ correlations[: asked.lags + 1] @ transform.T if asked.lags else None,
        precision_error=precision_error,
        lagged=transform @ correlations[place] @ transform.T if back else None,
        lagged_error=None if claimed.lagged_variance is None else np.sqrt(claimed.lagged_variance + off_lagged**2),
    )


def _draw_acquired(read: Acquired, interval: float, asked: Sampling, common: dict[str, Any], back: int) -> _Drawn:
    """Draw voltages at the converters, read them, and hold what is read against its law, too."""
    law, acquisition = read.dense, read.acquisition
    if asked.precision == "single":
        raise OptionError("precision", "single is of voltages as they are, not of what a converter reads")
    numbers = common["trajectories"] * common["steps"] * len(law.sde.probes)
    if numbers > FEW_NUMBERS:
        raise UsageError(
            f"{numbers:.3g} readings are too many to keep, at most {FEW_NUMBERS:.0e}: what a converter reads is "
            "counted when all is there; take fewer samples, several times with other seeds"
        )
    if acquisition.jitter and interval:
        if asked.burn_in is not None or asked.method is not None:
            raise UsageError("samples with jitter are drawn from the stationary law, by steps of their own")
        taken = {key: common[key] for key in ("trajectories", "steps", "seed", "interrupted")}
        method, kept = "jittered", jittered_paths(read, interval=interval, **taken)
        why = "exact steps of the times between samples, in their order"
    else:
        analog = _draw(law, interval, replace(asked, lags=0), {**common, "every": 1}, back)
        method, why, kept = analog.method, analog.why, analog.kept
    readouts = readings(read, kept, asked.seed)
    hold_acquired(read, readouts, interval)
    transform = law.sde.readout.matrix.toarray()
    lags = sorted({0, back, *range(asked.lags + 1)})
    found = counted(readouts, transform, lags)
    P, errors = transform @ found.covariances[0] @ transform.T, found.covariance_errors
    scatter = float((errors[0] ** 2).sum())
    place = lags.index(back)
    return _Drawn(
        method=method,
        why=why,
        samples=readouts.shape[0] * readouts.shape[1],
        voltage_mean=found.mean,
        voltage_covariance=found.covariances[0],
        kept=readouts[:, :: common["every"]] - law.voltage_mean if common["every"] else readouts[:, :0],
        effective_samples=float(np.trace(P) ** 2 + (P**2).sum()) / scatter if scatter > 0 else np.inf,
        covariance_error=errors[0],
        mean_error=found.mean_error,
        autocovariance=transform @ found.covariances[: asked.lags + 1] @ transform.T if asked.lags else None,
        lagged=transform @ found.covariances[place] @ transform.T if back else None,
        lagged_error=errors[place] if back else None,
    )


def _refuse_clocked(how: Sampling, lag: float | None) -> None:
    """Refuse what runs under held noise do not do."""
    words = "is not for held noise (noise.clock): leave it out"
    if how.method is not None:
        raise OptionError("method", words)
    if how.precision == "single":
        raise OptionError("precision", "single is not for held noise (noise.clock): leave it out")
    if lag is not None:
        raise UsageError("lagged covariances under held noise (noise.clock) are predicted, not sampled")
    if how.burn_in is not None:
        raise UsageError("runs under held noise (noise.clock) begin stationary, not from rest: leave noise.clock out")


def _draw_clocked(law: ClockedLaw, interval: float, asked: Sampling, common: dict[str, Any]) -> _Drawn:
    """Draw under noise that a clock makes: exact steps between its edges, and errors known in advance."""
    grid = Grid.near(law, interval)
    made = ClockedRun(law, grid, common["trajectories"], common["steps"], asked.seed)
    if (asked.lags + 1) * len(law.dense.H) ** 2 * 16 > _MOST_PRODUCTS:
        raise UsageError(f"autocovariances of {len(law.dense.H)} variables at {asked.lags} lags do not fit into memory")
    taken = {key: common[key] for key in ("every", "progress", "interrupted")}
    sums = made.count(lags=asked.lags, **taken)
    made.hold(sums).judge()
    transform = law.sde.readout.matrix.toarray()
    error = made.error(transform, sums.readouts)
    # What the phases that were read make of it, and the mean that is taken from the same samples.
    left = transform @ law.dense.H
    off = left @ (made.expected(sums.readouts) - law.covariance) @ left.T
    squares = error.covariance_variance + off**2 + error.mean_covariance**2
    correlations = sums.autocovariance
    why = f"exact steps between the edges of the clock, read at {grid.phases} phases of it: {law.clocked.words()}"
    if made.repeats(sums.readouts) > 1:
        why += f"; the register came around {made.repeats(sums.readouts):.3g} times, after once nothing new is learnt"
    return _Drawn(
        method="clocked",
        why=why,
        samples=sums.samples,
        voltage_mean=law.voltage_mean + sums.mean,
        voltage_covariance=correlations[0],
        kept=sums.kept,
        effective_samples=error.effective_samples,
        covariance_error=np.sqrt(squares),
        mean_error=np.sqrt(np.maximum(error.mean_variance, 0.0)),
        autocovariance=transform @ correlations @ transform.T if asked.lags else None,
    )


def _draw_large(law: SparseLaw, interval: float, step: float | None, common: dict[str, Any]) -> _Drawn:
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
            "but correlations in time only as far as the time step resolves them, and fast modes remember long: "
            "independent draws (--independent) tell more"
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


def _honest(sums: PatternSums, memory: Memory, law: SparseLaw) -> PatternSums:
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


def thinned(trace: int | None, steps: int, trajectories: int, width: int) -> int:
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


def _method(law: Stationary, interval: float, name: str | None, precision: Precision) -> Method:
    if name is not None and name not in METHODS:
        raise UsageError(f"no method {name!r}; there are {', '.join(METHODS)}")
    if name == "modal" and law.modes is None:
        raise UsageError("this circuit's matrices do not commute: it has no independent modes")
    if precision == "single" and name != "dense" and law.modes is not None:
        raise OptionError("precision", f"{SAVES_NOTHING}, or ask for method dense")
    return choose_method(law, interval, name, precision)


def _positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not (np.isfinite(number) and number > 0):
            raise UsageError(f"{name} must be positive, not {number!r}")


def _not_negative(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise UsageError(f"{name} must not be negative, not {number!r}")


def chosen_settings(interval: float | None, trajectories: int | None, duration: float | None) -> tuple[str, ...]:
    """Which settings are ours to choose."""
    return ("interval",) * (interval is None) + ("trajectories",) * (trajectories is None and duration is None)


DEFAULT_SAMPLES, DEFAULT_LARGE = 10_000, 1_000
"""Readouts by default, and those of a large sparse network, where each is costly and shows every cell."""


_SAME = 1e-6
"""Relative difference of a lag and a multiple of an interval below which they are meant to be the same."""

_MOST_BACK = 64
"""Readouts by default within a lag, at most: it is then so many time constants, and nothing is left of the answer."""


def dividing(lag: float, interval: float | None, slowest: float) -> tuple[float, int]:
    """An interval (s) between readouts that divides a lag, and how often it does.

    The longest that is no longer than the slowest time constant, unless one is given: readouts are taken evenly, so
    that each begins a pair. Closer ones would lower the error at equal device time by less than they would add to
    readouts, as they repeat what the slow modes told; ones further apart would lose device time. A lag shorter than
    the slowest time constant is the interval itself.

    Raises
    ------
    UsageError
        If the interval given does not divide the lag.
    """
    if interval is None:
        back = min(_MOST_BACK, max(1, int(np.ceil(lag / slowest * (1 - 1e-12)))))
        return lag / back, back
    back = max(1, round(min(lag / interval, 1e15)))
    if abs(back * interval - lag) > _SAME * lag:
        raise UsageError(
            f"interval {interval:.9g} s does not divide the lag of {lag:.9g} s that the answer is read at: "
            f"{lag / back:.9g} s would"
        )
    return lag / back, back


SPAN = 3.0
"""Longest time constants that autocovariances reach by default, at most: a twentieth of them is left there."""

_IN_A_PERIOD = 8
"""Readouts that show an oscillation."""

_MOST_TIMES = 10
"""As many readouts by default, at most, where they are closer than a time constant."""


def showing(lags: int, law: Law) -> float:
    """The interval (s) between readouts whose lags show the decay, and how the slowest mode rings, if it does.

    They reach over `SPAN` of the longest time constant; over less, but one at least, where a period has else fewer
    than `_IN_A_PERIOD` of them. Of few lags each is a time constant.
    """
    slowest = law.slowest
    if lags <= SPAN or isinstance(law, SparseLaw):
        return slowest
    poles = law.poles
    turns = float(abs(poles[int(np.argmax(poles.real))].imag)) / (2 * np.pi)
    fine = min(SPAN * slowest / lags, 1.0 / (_IN_A_PERIOD * turns) if turns > 0 else np.inf)
    return max(fine, slowest / lags)


def by_default(interval: float, slowest: float) -> int:
    """Readouts, of which closer ones tell less each."""
    return DEFAULT_SAMPLES * int(min(_MOST_TIMES, max(1.0, np.ceil(slowest / interval * (1 - 1e-12)))))


def plan(
    law: Law,
    samples: int | None,
    interval: float | None,
    count: int | None,
    duration: float | None,
    back: int = 0,
    lags: int = 0,
) -> tuple[int, float, int]:
    """Trajectories, interval (s) and readouts a trajectory, of which pairs are ``back``, or up to ``lags``, apart."""
    if interval is None:
        interval = showing(lags, law)
        if samples is None and lags:
            samples = by_default(interval, law.slowest)
    interval = float(interval)
    if duration is not None:
        steps = int(np.ceil(duration / interval * (1 - 1e-12)))
        count = 1 if count is None else count
    else:
        large = isinstance(law, SparseLaw)
        samples = samples or (DEFAULT_LARGE if large else DEFAULT_SAMPLES)
        if count is None:  # what a trajectory loses of its pairs is a tenth at most
            count = int(min(32, samples) if large else min(64, max(1, samples // max(100, 10 * back, 10 * lags))))
        steps = -(-samples // count)
    if steps <= back:
        raise UsageError(
            f"no two of {plural(steps, 'readout')} of a trajectory are the lag of {back * interval:.4g} s apart: "
            f"more than {back} are needed of each"
        )
    return count, interval, steps
