"""`predict` and `simulate`: what a device does, exactly and by sampling."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spu.circuit import lower
from spu.device import Device
from spu.emulator.noise import NormalStreams
from spu.emulator.propagate import independent_samples
from spu.emulator.propagate import trajectories as run_trajectories
from spu.emulator.stationary import Stationary, stationary
from spu.errors import UsageError
from spu.estimate import Moments, SamplingError, independent_error, relative_error, trajectory_error
from spu.sde import stochastic_ode

if TYPE_CHECKING:
    from spu.problem import Problem

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and covariance of a device in problem units and in volts, and how far from the target.

    Attributes
    ----------
    variables, cells:
        Names: problem-unit arrays are ordered as ``variables``, voltages as ``cells``.
    mean, covariance:
        (p,), (p, p), problem units.
    voltage_mean, voltage_covariance:
        (n,) V, (n, n) V^2.
    target_mean, target_covariance:
        Of the problem; None where there is none.
    covariance_relative_error, mean_relative_error:
        Against the target, Frobenius; None without a target, or where it is zero.
    relative_error:
        Whichever of the two is the problem's answer.
    """

    variables: tuple[str, ...]
    cells: tuple[str, ...]
    mean: FloatArray
    covariance: FloatArray
    voltage_mean: FloatArray
    voltage_covariance: FloatArray
    target_mean: FloatArray | None
    target_covariance: FloatArray | None
    covariance_relative_error: float | None
    mean_relative_error: float | None
    relative_error: float | None


@dataclass(frozen=True, eq=False)
class Prediction(Statistics):
    """Exact statistics.

    Attributes
    ----------
    time_constants:
        (states,) ``-1/Re(lambda)``, s, longest first.
    law:
        The stationary law, for spectra and autocovariances.
    band:
        (F1, F2) in Hz if band-limited, else None.
    """

    time_constants: FloatArray
    law: Stationary = field(repr=False)
    band: tuple[float, float] | None = None


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
    readouts:
        (samples, p) in problem units if kept, else None.
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
    readouts: FloatArray | None = field(repr=False, default=None)
    complete: bool = True


def device_law(device: Device) -> Stationary:
    """Lower a device, derive its equation and solve for the stationary law."""
    return stationary(stochastic_ode(lower(device)))


def _statistics(
    law: Stationary,
    problem: Problem | None,
    voltage_mean: FloatArray,
    voltage_covariance: FloatArray,
    *,
    compare: bool = True,
) -> dict:
    readout = law.sde.readout
    mean = readout.matrix @ voltage_mean + readout.offset
    covariance = readout.matrix @ voltage_covariance @ readout.matrix.T
    target_mean = None if problem is None else problem.target_mean
    target_covariance = None if problem is None else problem.target_covariance
    covariance_error = mean_error = answer = None
    if problem is not None and compare:
        assert isinstance(target_covariance, np.ndarray)
        covariance_error = relative_error(covariance, target_covariance)
        mean_error = relative_error(mean, problem.target_mean)
        answer = mean_error if problem.answer == "mean" else covariance_error
    return {
        "variables": readout.variables,
        "cells": law.sde.probes,
        "mean": mean,
        "covariance": covariance,
        "voltage_mean": voltage_mean,
        "voltage_covariance": voltage_covariance,
        "target_mean": target_mean,
        "target_covariance": target_covariance,
        "covariance_relative_error": covariance_error,
        "mean_relative_error": mean_error,
        "relative_error": answer,
    }


def predict(device: Device, *, band: tuple[float, float] | None = None, problem: Problem | None = None) -> Prediction:
    """Exact stationary statistics of a device: no sampling, no time step.

    Parameters
    ----------
    device:
        Compiled or built by hand.
    band:
        (F1, F2), Hz: what a readout with a brick-wall band sees (relative errors are then None).
    problem:
        What to compare with; the device's own unless given.

    Raises
    ------
    CircuitError
        If the circuit has no stationary law, naming the nodes.
    """
    return prediction(device_law(device), problem or device.problem, band=band)


def prediction(law: Stationary, problem: Problem | None, *, band: tuple[float, float] | None = None) -> Prediction:
    """`predict` for a device whose law is known already."""
    covariance = law.voltage_covariance if band is None else law.band_covariance(*band)
    found = _statistics(law, problem, law.voltage_mean, covariance, compare=band is None)
    return Prediction(**found, time_constants=law.time_constants, law=law, band=band)


def simulate(
    device: Device,
    *,
    samples: int = 10_000,
    interval: float | None = None,
    trajectories: int | None = None,
    duration: float | None = None,
    independent: bool = False,
    seed: int = 0,
    keep: bool = True,
    problem: Problem | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Draw samples from a device, exactly.

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
        A non-negative integer; the same one gives the same bits.
    keep:
        Keep the readouts in ``readouts``.
    problem:
        What to compare with; the device's own unless given.
    progress:
        Called with readouts done and wanted.

    Raises
    ------
    UsageError
        If the numbers contradict one another or are not positive.
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
    moments = Moments(law.voltage_mean)
    kept: list[FloatArray] = []
    complete = True
    if independent:
        if interval is not None or trajectories is not None or duration is not None:
            raise UsageError("independent samples have no interval, trajectories or duration")
        _positive(samples=samples)
        voltages = independent_samples(law, samples=samples, streams=NormalStreams(seed, 1))
        moments.add(voltages)
        kept.append(voltages)
        interval, trajectories, steps = 0.0, 1, samples
    else:
        trajectories, interval, steps = _plan(law, samples, interval, trajectories, duration)
        streams = NormalStreams(seed, trajectories)
        with _Interrupt() as interrupt:
            for voltages in run_trajectories(law, steps=steps, interval=interval, streams=streams, count=trajectories):
                moments.add(voltages.reshape(-1, voltages.shape[2]))
                if keep:
                    kept.append(voltages)
                if progress is not None:
                    progress(moments.count, steps * trajectories)
                if interrupt.seen:
                    break
        complete, steps = moments.count == steps * trajectories, moments.count // trajectories
    error = _sampling_error(law, steps, interval, trajectories, readout.matrix.toarray())
    found = _statistics(law, problem, moments.mean, moments.covariance)
    of_mean = problem is not None and problem.answer == "mean"
    variance = error.mean_variance if of_mean else error.covariance_variance
    target = None if problem is None else (problem.target_mean if of_mean else problem.target_covariance)
    size = 0.0 if target is None else float(np.linalg.norm(np.asarray(target)))
    readouts = None
    if keep:
        # One trajectory after another, each in the order of time.
        stacked = np.concatenate(kept)
        ordered = stacked if stacked.ndim == 2 else np.swapaxes(stacked, 0, 1).reshape(-1, stacked.shape[2])
        readouts = ordered @ readout.matrix.T + readout.offset
    return Simulation(
        **found,
        time_constants=law.time_constants,
        samples=moments.count,
        effective_samples=error.effective_samples,
        expected_relative_error=float(np.sqrt(variance.sum())) / size if size > 0 else None,
        covariance_error=np.sqrt(error.covariance_variance),
        mean_error=np.sqrt(error.mean_variance),
        seconds=time.perf_counter() - started,
        device_time=steps * interval,
        interval=interval,
        trajectories=trajectories,
        seed=seed,
        readouts=readouts,
        complete=complete,
    )


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


def _plan(
    law: Stationary, samples: int, interval: float | None, count: int | None, duration: float | None
) -> tuple[int, float, int]:
    """Trajectories, interval (s) and readouts a trajectory."""
    _positive(samples=samples, interval=interval, trajectories=count, duration=duration)
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
