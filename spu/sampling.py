"""`simulate`: what a device does, by sampling."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spu.device import Device
from spu.emulator.run import Method, choose_method, independent_method, run
from spu.emulator.stationary import Stationary
from spu.errors import UsageError
from spu.estimate import SamplingError, independent_error, trajectory_error
from spu.statistics import Statistics, compare, device_law

if TYPE_CHECKING:
    from spu.problem import Problem

FloatArray = NDArray[np.float64]

METHODS = ("modal", "dense")
"""Ways to step that `simulate` can be made to take."""

FEW_NUMBERS, MOST_NUMBERS = 50_000_000, 500_000_000
"""Numbers kept of the path by default (0.4 GB), and at most."""

_MOST_PRODUCTS = 2**28  # numbers in sums over lags: 2 GB


@dataclass(frozen=True, eq=False)
class Simulation(Statistics):
    """Sampled statistics.

    Attributes
    ----------
    time_constants:
        (states,) as in `Prediction`.
    samples:
        Readouts taken, over all trajectories.
    effective_samples:
        Independent samples worth as much (`spu.estimate.SamplingError`).
    expected_relative_error:
        Root mean square of the statistical part of ``relative_error``.
    covariance_error, mean_error:
        (p, p), (p,) standard errors in problem units.
    seconds, device_time:
        Wall time, and time simulated on the device, s.
    interval:
        s between readouts; 0 for independent samples.
    trajectories, seed:
        As used.
    method, method_reason:
        How samples were drawn (``modal``, ``dense``, ``independent``), and why so.
    autocovariance:
        (lags + 1, p, p) in problem units, ``E[x(k) x(k - lag)^T]`` about the sample mean, lags counted in
        readouts; None unless asked for.
    trace:
        Every so-manieth readout of each trajectory was kept; 0 for none.
    readouts:
        (kept, p) in problem units, one trajectory after another, or None.
    complete:
        False if the run was interrupted.
    """

    time_constants: FloatArray
    samples: int
    effective_samples: float
    expected_relative_error: float | None
    covariance_error: FloatArray
    mean_error: FloatArray
    seconds: float
    device_time: float
    interval: float
    trajectories: int
    seed: int
    method: str
    method_reason: str
    autocovariance: FloatArray | None = field(repr=False, default=None)
    trace: int = 0
    readouts: FloatArray | None = field(repr=False, default=None)
    complete: bool = True


def simulate(
    device: Device,
    *,
    samples: int = 10_000,
    interval: float | None = None,
    trajectories: int | None = None,
    duration: float | None = None,
    independent: bool = False,
    seed: int = 0,
    trace: int | None = None,
    lags: int = 0,
    threads: int | None = None,
    method: str | None = None,
    problem: Problem | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Draw samples from a device, exactly, counting as they come: memory does not grow with time.

    Parameters
    ----------
    samples:
        Readouts in total (rounded up to a whole number for each trajectory).
    interval:
        s between readouts; by default the longest time constant, after which readouts are
        nearly independent.
    trajectories:
        How many run side by side, each started in the stationary law; by default up to 64,
        with at least 100 readouts each.
    duration:
        s of each trajectory, instead of ``samples``.
    independent:
        Draw independently from the stationary law: no time, no trajectories.
    seed:
        A non-negative integer; the same one gives the same bits, whatever the threads.
    trace:
        Keep every so-manieth readout of each trajectory in ``readouts``; 0 keeps none. By default all,
        or as many as make `FEW_NUMBERS`.
    lags:
        Autocovariances up to this many readouts apart.
    threads:
        At most so many; by default all processors.
    method:
        One of `METHODS` instead of the best.
    problem:
        What to compare with; the device's own unless given.
    progress:
        Called with readouts done and wanted.

    Raises
    ------
    UsageError
        If the numbers contradict one another or are not positive, or the method is not for this device.
    CircuitError
        If the circuit has no stationary law.

    Notes
    -----
    An interrupt (ctrl-C) ends the run early; the result then says ``complete=False``.
    """
    started = time.perf_counter()
    law = device_law(device)
    problem = problem or device.problem
    readout = law.sde.readout
    law.voltage_covariance  # noqa: B018 - refuses a probe that sees white noise directly
    _positive(samples=samples, interval=interval, trajectories=trajectories, duration=duration, threads=threads)
    _not_negative(trace=trace or 0, lags=lags, seed=seed)
    if independent:
        if interval is not None or trajectories is not None or duration is not None or lags or method is not None:
            raise UsageError("independent samples have no interval, trajectories, duration, lags or method")
        how, interval, trajectories, steps = independent_method(law), 0.0, 1, samples
    else:
        trajectories, interval, steps = _plan(law, samples, interval, trajectories, duration)
        how = _method(law, interval, method)
    if (lags + 1) * how.observed**2 * 16 > _MOST_PRODUCTS:
        raise UsageError(f"autocovariances of {how.observed} variables at {lags} lags do not fit into memory")
    trace = _thinned(trace, steps, trajectories, len(readout.variables))
    with _Interrupt() as interrupt:
        sums = run(
            how,
            trajectories=trajectories,
            steps=steps,
            seed=seed,
            lags=lags,
            every=trace,
            threads=threads,
            progress=progress,
            interrupted=lambda: interrupt.seen,
        )
    complete = sums.samples == steps * trajectories
    steps = sums.samples // trajectories
    error = _sampling_error(law, steps, interval, trajectories, readout.matrix)
    correlations = sums.autocovariance
    found = compare(law, problem, law.voltage_mean + sums.mean, correlations[0])
    of_mean = problem is not None and problem.answer == "mean"
    variance = error.mean_variance if of_mean else error.covariance_variance
    target = None if problem is None else (problem.target_mean if of_mean else problem.target_covariance)
    size = 0.0 if target is None else float(np.linalg.norm(target))
    kept = None
    if trace:
        deviations = sums.kept.reshape(-1, sums.kept.shape[2])
        kept = (deviations + law.voltage_mean) @ readout.matrix.T + readout.offset
    return Simulation(
        **found,
        time_constants=law.time_constants,
        samples=sums.samples,
        effective_samples=error.effective_samples,
        expected_relative_error=float(np.sqrt(variance.sum())) / size if size > 0 else None,
        covariance_error=np.sqrt(error.covariance_variance),
        mean_error=np.sqrt(error.mean_variance),
        seconds=time.perf_counter() - started,
        device_time=steps * interval,
        interval=interval,
        trajectories=trajectories,
        seed=seed,
        method=how.name,
        method_reason=how.why,
        autocovariance=readout.matrix @ correlations @ readout.matrix.T if lags else None,
        trace=trace,
        readouts=kept,
        complete=complete,
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


class _Interrupt:
    """Holds ctrl-C back until the chunk at hand is counted whole; elsewhere than in the main thread, nothing."""

    def __init__(self) -> None:
        self.seen = False

    def __enter__(self) -> _Interrupt:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_: object) -> None:
        self.seen = True

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)


def _positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not (np.isfinite(number) and number > 0):
            raise UsageError(f"{name} must be positive, not {number!r}")


def _not_negative(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise UsageError(f"{name} must not be negative, not {number!r}")


def _plan(
    law: Stationary, samples: int, interval: float | None, count: int | None, duration: float | None
) -> tuple[int, float, int]:
    """Trajectories, interval (s) and readouts a trajectory."""
    interval = float(law.time_constants[0]) if interval is None else float(interval)
    if duration is not None:
        steps = int(np.ceil(duration / interval * (1 - 1e-12)))
        return (1 if count is None else count), interval, steps
    if count is None:
        count = int(min(64, max(1, samples // 100)))
    return count, interval, -(-samples // count)


def _sampling_error(law: Stationary, steps: int, interval: float, count: int, transform: FloatArray) -> SamplingError:
    if interval == 0:
        return independent_error(transform @ law.voltage_covariance @ transform.T, steps)
    return trajectory_error(law, steps=steps, interval=interval, count=count, transform=transform)
