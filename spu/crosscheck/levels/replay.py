"""Level ``replay``: one noise waveform through the simulator and through the emulator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from spu.base.arrays import FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import NgspiceFailed
from spu.base.process import scratch_folder
from spu.crosscheck.context import Context
from spu.crosscheck.levels.paths import path_errors
from spu.crosscheck.levels.power import smallest_change_of_path
from spu.crosscheck.result import Level
from spu.emulator.laws.propagate import respond
from spu.emulator.runs.noise import REPLAY, normals
from spu.spice.simulators.analyses import Transient, Waveforms

NEEDS = (Transient, Waveforms)
"""Of the simulator."""

SAMPLES = 600
"""Independent noise samples of each source."""

OVERSAMPLING = 8
"""The waveform follows a cubic spline through the samples, in this many straight pieces each:
the kinks that ngspice steps over (a file source sets no breakpoints) are then small."""

LIMITS = (8, 32, 128, 512)
"""Step limits: the sample time (or less, see `Context.step`) over these. The first two always run,
the third where the error is still above the tolerance (ngspice's own error control may rule the
first two), the last where it then still falls."""

TOLERANCE = 2e-3
"""Path error at the finest limit, relative to the path's norm."""

FALLS = 1.15
"""An error that a finer step limit divides by more than this is still the step's: stiff circuits converge slowly."""

FLOOR = 2e-5
"""Below this the path error need not fall any more: ngspice's own tolerances limit it."""


def run(context: Context) -> Level:
    """Replay at two or more step limits; the path error must be small and must fall with the limit."""
    assert context.deck is not None
    if not context.circuit.sources:
        return Level("replay", "skipped", "the device has no noise source")
    times = context.timing
    interval = max(0.3 / times.reference, 3.0 * times.slowest / SAMPLES)
    waveform = noise_waveform(context, interval)
    piece = interval / OVERSAMPLING
    # From zero the constant sources charge the circuit first, which may drown the noise: what they do is run, too,
    # and taken off.
    charged = context.from_zero and np.abs(context.law.voltage_mean).max() > 0
    start = None if charged else context.start
    exact = respond(context.law.dense, waveform, piece, hold=False, start=start)[::OVERSAMPLING]
    with scratch_folder("replay") as folder:
        deck = replay_deck(context, waveform, piece, folder)
        quiet = folder / "quiet"
        quiet.mkdir()
        silent = replay_deck(context, np.zeros_like(waveform), piece, quiet) if charged else ""

        def path(limit: int) -> FloatArray:
            step = context.step(interval, limit)
            found = replayed(context, deck, folder, interval, step, context.from_zero)
            if charged:
                found = found - replayed(context, silent, quiet, interval, step, context.from_zero)
                found += context.law.voltage_mean
            return found

        unfinished = ""
        with ThreadPoolExecutor(2) as pool:
            errors = [path_errors(context, found, exact) for found in pool.map(path, LIMITS[:2])]
        for limit in LIMITS[2:]:
            fine, coarse = errors[-1].max(), errors[-2].max()
            if fine <= TOLERANCE or (len(errors) > 2 and fine > coarse / FALLS):
                break
            try:
                errors.append(path_errors(context, path(limit), exact))
            except NgspiceFailed as failure:  # what ran says what it can
                unfinished = str(failure)
                break
    coarse, fine = float(errors[-2].max()), float(errors[-1].max())
    worst = context.circuit.probes[int(np.argmax(errors[-1]))]
    falls = fine < max(coarse / FALLS, FLOOR)
    verdict = "pass" if fine <= TOLERANCE and fine < max(coarse, FLOOR) else "inconclusive" if falls else "fail"
    limit = LIMITS[len(errors) - 1]
    reason = ""
    if verdict == "fail":
        reason = excuse(context, fine, SAMPLES * limit, context.step(interval, limit))
        if not reason and unfinished:
            reason = f"with finer steps {unfinished}"
        verdict = "inconclusive" if reason else "fail"
    found = {f"ts/{limit}": float(each.max()) for limit, each in zip(LIMITS, errors, strict=False)}
    message = "path error " + ", ".join(f"{error:.2g} at a step limit of {limit}" for limit, error in found.items())
    message += f" (worst: {worst})"
    if verdict == "fail":
        message += "; it does not fall: the difference is not the time step's"
    if verdict == "inconclusive":
        still = f"it still falls: {context.simulator.name} would need finer steps than this check takes"
        message += f"; {reason or still}"
    return Level(
        "replay",
        verdict,
        message,
        fine,
        TOLERANCE,
        false_alarm_rate=0.0,
        detects={
            "path": TOLERANCE,
            **smallest_change_of_path(
                context,
                waveform,
                interval / OVERSAMPLING,
                hold=False,
                every=OVERSAMPLING,
                allowed=TOLERANCE + min(fine, TOLERANCE),
            ),
        },
        data={"samples": SAMPLES, "interval": interval, "path_errors": found, "worst_cell": worst},
    )


def noise_waveform(context: Context, interval: float) -> FloatArray:
    """(k + 1, m) V: what every noise source does, at the ends of straight pieces of ``interval / OVERSAMPLING`` s."""
    rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * interval)
    noise = rms * normals(context.seed, SAMPLES + 1, len(context.circuit.sources), purpose=REPLAY)
    noise[0] = 0.0  # so that the start is the operating point
    pieces = np.arange(SAMPLES * OVERSAMPLING + 1) / OVERSAMPLING
    return np.asarray(CubicSpline(np.arange(SAMPLES + 1), noise)(pieces))


def replay_deck(context: Context, waveform: FloatArray, interval: float, folder: Path) -> str:
    """The deck on disk, with its noise sources replaced by waveforms (k + 1, m), and nothing else."""
    assert context.deck is not None
    return context.simulator.driven(context.deck, Waveforms(context.elements, interval, waveform), folder)


def replayed(context: Context, deck: str, folder: Path, interval: float, step: float, from_zero: bool) -> FloatArray:
    """(k + 1, p) V: the simulator's probes at the sample instants, with a step limit (s)."""
    transient = Transient(
        stop=SAMPLES * interval, limit=step, interval=interval, vectors=context.vectors, from_zero=from_zero
    )
    (found,) = context.run(deck, transient, folder=folder)
    return at_samples(found["time"], np.stack([found[name] for name in context.vectors], axis=1), interval)


def excuse(context: Context, error: float, points: float, step: float) -> str:
    """Why a path error says nothing against the circuit, where it is ngspice's own; else nothing.

    Parameters
    ----------
    error:
        Of a path.
    points, step:
        How many time points ngspice made, and the largest step allowed, s.

    Notes
    -----
    Each point adds a rounding of the largest constant voltage; in the worst case they add up. Rates that spread widely
    leave the slow ones few digits, on both sides. A mode that rings within a step is not followed: the trapezoidal rule
    lets it ring on.
    """
    law, whose = context.law, f"{context.simulator.name}'s"
    variance = np.diag(law.voltage_covariance)
    least = float(np.sqrt(variance[variance > 1e-12 * variance.max(initial=0.0)]).min(initial=np.inf))
    if error <= points * np.finfo(float).eps * context.largest_dc / least:
        return (
            f"constant voltages of up to {context.largest_dc:.3g} V beside noise of {least:.2g} V leave too few "
            f"digits: {whose} rounding grows with the number of steps"
        )
    poles = np.abs(law.poles)
    spread = float(poles.max() / poles.min())
    if np.finfo(float).eps * spread > TOLERANCE / 100:
        return f"rates that spread by {spread:.1g} leave neither side enough digits"
    ringing = float(np.abs(law.seen.imag).max(initial=0.0))
    if ringing * step > 1.0:
        return f"a mode rings at {ringing / (2 * np.pi):.3g} Hz, within one of {whose} steps ({step:.2g} s)"
    return ""


def at_samples(time: FloatArray, values: FloatArray, interval: float) -> FloatArray:
    """Values at the sample instants, by cubic interpolation of ngspice's own points."""
    instants = np.arange(SAMPLES + 1) * interval
    keep = np.concatenate([[True], np.diff(time) > 1e-9 * interval])
    return np.asarray(CubicSpline(time[keep], values[keep])(np.minimum(instants, time[-1])))
