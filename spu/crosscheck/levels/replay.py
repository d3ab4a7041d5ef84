"""Level ``replay``: one noise waveform through the simulator and through the emulator."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.interpolate import CubicSpline

from spu.base.arrays import FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import SimulatorFailed
from spu.base.numbers import in_words
from spu.base.process import scratch_folder
from spu.circuit.clocked import Clocked
from spu.crosscheck.context import Context, ReplayedPath
from spu.crosscheck.levels.kind import LevelKind, Way
from spu.crosscheck.levels.paths import excuse, path_errors, relative_distances
from spu.crosscheck.levels.power import smallest_change_of_path
from spu.crosscheck.result import Level
from spu.emulator.laws.clocked import ClockedLaw
from spu.emulator.laws.transient import state_at
from spu.emulator.runs.clocked_run import Samples
from spu.emulator.runs.noise import REPLAY, normals
from spu.spice.simulators.analyses import Transient, Waveforms

SAMPLES = 600
"""Independent noise samples of each source."""

AFTER = 3.0
"""Of the slowest time constants, how long a replay goes on after a ramp's end."""

MOST_SAMPLES = 6000
"""Of a replay that sees a whole ramp: beyond it they are farther apart."""

OVERSAMPLING = 8
"""The waveform follows a cubic spline through the samples, in this many straight pieces each:
the kinks that ngspice steps over (a file source sets no breakpoints) are then small."""

LIMITS = (8, 32, 128, 512)
"""Step limits: the sample time (or less, see `Context.step`) over these. The first two always run,
the third where the error is still above the tolerance (ngspice's own error control may rule the
first two), the last where it then still falls."""

TOLERANCES = {"linear": 2e-3, "saturating": 2e-3, "langevin": 1e-3}
"""Path error at the finest limit, relative to the path's norm, by kind of dynamics."""

SENSITIVE = {"linear": smallest_change_of_path}
"""What a change of an element does to a path, by kind of dynamics, where it is known."""

FALLS = 1.15
"""An error that a finer step limit divides by more than this is still the step's: stiff circuits converge slowly."""

FLOOR = 2e-5
"""Below this the path error need not fall any more: ngspice's own tolerances limit it."""


def run(context: Context) -> Level:
    """Replay noise at two or more step limits, and what leaves the device's own start, where it has one.

    The path errors must be small and must fall with the limit.
    """
    sources, start = bool(context.circuit.sources), context.circuit.start is not None
    if not sources and not start:
        return Level("replay", "skipped", "the device has no noise source")
    found = [_noise(context)] if sources else []
    found += [_relaxation(context)] if start else []
    worst = max(found, key=lambda level: _ORDER.index(level.verdict))
    return replace(
        worst,
        message="; ".join(level.message for level in found),
        error=max(level.error for level in found if level.error is not None),
        detects=found[0].detects,
        data={key: value for level in found for key, value in level.data.items()},
    )


_ORDER = ("pass", "inconclusive", "fail")


@dataclass(frozen=True, eq=False)
class Converging:
    """Paths at finer and finer step limits, beside the exact one.

    Attributes
    ----------
    interval:
        s: the unit of the limits.
    paths, errors:
        (k + 1, p) V and (p,) each.
    unfinished:
        Why finer steps gave nothing.
    """

    interval: float
    paths: list[FloatArray]
    errors: list[FloatArray]
    unfinished: str

    @classmethod
    def of(
        cls,
        path: Callable[[int], FloatArray],
        error: Callable[[FloatArray], FloatArray],
        interval: float,
        tolerance: float,
        progress: Callable[[str], None],
    ) -> Converging:
        """Run ``path`` at two limits, and at finer ones as long as that helps."""
        unfinished, begun = "", time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            paths = list(pool.map(path, LIMITS[:2]))
        errors = [error(found) for found in paths]
        for limit in LIMITS[2:]:
            fine, coarse = errors[-1].max(), errors[-2].max()
            if fine <= tolerance or (len(errors) > 2 and fine > coarse / FALLS):
                break
            times = limit / LIMITS[len(paths) - 1]
            took, begun = time.perf_counter() - begun, time.perf_counter()
            progress(f"replay: again, with steps {times:g} times finer, {in_words(times * took)}")
            try:
                paths.append(path(limit))
            except SimulatorFailed as failure:  # what ran says what it can
                unfinished = str(failure)
                break
            errors.append(error(paths[-1]))
        return cls(interval, paths, errors, unfinished)

    @property
    def found(self) -> dict[str, float]:
        """The worst error at each limit."""
        return {f"ts/{limit}": float(each.max()) for limit, each in zip(LIMITS, self.errors, strict=False)}

    def judged(
        self, context: Context, tolerance: float, words: str, own: float | None = None, samples: int = SAMPLES
    ) -> tuple[str, str]:
        """Verdict and message, of so many samples at this interval."""
        coarse, fine = float(self.errors[-2].max()), float(self.errors[-1].max())
        worst = context.circuit.probes[int(np.argmax(self.errors[-1]))]
        falls = fine < max(coarse / FALLS, FLOOR)
        verdict = "pass" if fine <= tolerance and fine < max(coarse, FLOOR) else "inconclusive" if falls else "fail"
        limit = LIMITS[len(self.errors) - 1]
        reason = ""
        if verdict == "fail":
            reason = excuse(context, fine, samples * limit, context.step(self.interval, limit))
            if not reason and self.unfinished:
                reason = f"with finer steps {self.unfinished}"
            verdict = "inconclusive" if reason else "fail"
        message = f"{words} " + ", ".join(f"{error:.2g} at a step limit of {at}" for at, error in self.found.items())
        message += f" (worst: {worst}" + (")" if own is None else f"; the emulator's own {own:.1g})")
        if verdict == "fail":
            message += "; it does not fall: the difference is not the time step's"
        if verdict == "inconclusive":
            still = f"it still falls: {context.simulator.name} would need finer steps than this check takes"
            message += f"; {reason or still}"
        return verdict, message


def _noise(context: Context) -> Level:
    """The same noise waveform through both."""
    assert context.deck is not None
    does = context.dynamics
    tolerance = TOLERANCES.get(does.name, min(TOLERANCES.values()))
    interval = max(does.fastest, 3.0 * does.slowest / SAMPLES)
    samples, interval = covering(context, interval)
    if context.circuit.clocked is not None:
        samples, interval = on_the_clock(context.circuit.clocked, samples, interval)
    waveform = noise_waveform(context, interval, samples)
    piece = interval / OVERSAMPLING
    # From zero the constant sources charge the circuit first, which may drown the noise: what they do is run, too,
    # and taken off.
    charged = context.charged
    start = np.zeros(does.states) if charged else None
    exact = does.respond(waveform, piece, hold=False, start=start)[::OVERSAMPLING]
    own = None
    if not does.exact:
        coarser, exact = exact, does.respond(waveform, piece, hold=False, start=start, finer=2.0)[::OVERSAMPLING]
        own = float(path_errors(context, coarser, exact).max())
    with scratch_folder("replay") as folder:
        deck = replay_deck(context, waveform, piece, folder)
        quiet = folder / "quiet"
        quiet.mkdir()
        silent = replay_deck(context, np.zeros_like(waveform), piece, quiet) if charged else ""

        def path(limit: int) -> FloatArray:
            step = context.step(interval, limit)
            found = replayed(context, deck, folder, interval, step, context.from_zero, samples)
            if charged:
                found = found - replayed(context, silent, quiet, interval, step, context.from_zero, samples)
                found += does.rest
            return found

        runs = Converging.of(
            path, lambda found: path_errors(context, found, exact), interval, tolerance, context.progress
        )
    context.paths.append(ReplayedPath(waveform, piece, OVERSAMPLING, runs.paths[-1], exact, runs.paths[-2]))
    fine = float(runs.errors[-1].max())
    verdict, message = runs.judged(context, tolerance, "path error", own, samples)
    seen: dict[str, Any] = {"path": tolerance}
    if does.name in SENSITIVE and not context.circuit.ramped:
        seen |= SENSITIVE[does.name](
            context,
            waveform,
            interval / OVERSAMPLING,
            hold=False,
            every=OVERSAMPLING,
            allowed=tolerance + min(fine, tolerance),
        )
    worst = context.circuit.probes[int(np.argmax(runs.errors[-1]))]
    data = {"samples": samples, "interval": interval, "path_errors": runs.found, "worst_cell": worst}
    return Level(
        "replay",
        verdict,
        message,
        fine,
        tolerance,
        false_alarm_rate=0.0,
        detects=seen,
        data=data if own is None else {**data, "emulator": own},
    )


def covering(context: Context, interval: float) -> tuple[int, float]:
    """Samples, and s from one to the next: as many as it takes to see a ramp of the circuit to its end and beyond."""
    ramp = context.circuit.ramp
    if ramp is None or not context.circuit.ramped:
        return SAMPLES, interval
    whole = ramp.duration + AFTER * context.dynamics.slowest
    samples = min(max(SAMPLES, int(np.ceil(whole / interval))), MOST_SAMPLES)
    return samples, max(interval, whole / samples)


def _relaxation(context: Context) -> Level:
    """Without noise, from where the deck itself says that its nodes are at time zero (``.ic``), and from the device's.

    Errors are relative to the path's distance from where it comes to rest.
    """
    assert context.deck is not None and context.circuit.start is not None
    does = context.linear
    tolerance = TOLERANCES["linear"]
    interval = max(does.fastest, _RELAXED * does.slowest / SAMPLES)
    silence = np.zeros((SAMPLES + 1, len(context.circuit.sources)))
    start = state_at(does.sde, context.circuit.start) - does.dense.dense.mean
    exact = does.respond(silence, interval, hold=False, start=start)
    begun = replace(context.deck, lines=(*context.deck.lines, *context.starts))
    with scratch_folder("start") as folder:
        deck = context.simulator.driven(begun, Waveforms(context.elements, interval, silence), folder)
        runs = Converging.of(
            lambda limit: replayed(context, deck, folder, interval, context.step(interval, limit), from_zero=True),
            lambda found: relative_distances(found, exact, does.rest),
            interval,
            tolerance,
            context.progress,
        )
    verdict, message = runs.judged(context, tolerance, "from its start, without noise,")
    data = {"start": {"interval": interval, "path_errors": runs.found}}
    fine = float(runs.errors[-1].max())
    return Level("replay", verdict, message, fine, tolerance, 0.0, detects={"path": tolerance}, data=data)


_RELAXED = 6.0
"""Of the slowest time constants, how long what leaves a start is followed."""


def noise_waveform(context: Context, interval: float, samples: int = SAMPLES) -> FloatArray:
    """(k + 1, m) V: what every noise source does, at the ends of straight pieces of ``interval / OVERSAMPLING`` s."""
    rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * interval)
    noise = rms * normals(context.seed, samples + 1, len(context.circuit.sources), purpose=REPLAY)
    noise[0] = 0.0  # so that the start is the operating point
    pieces = np.arange(samples * OVERSAMPLING + 1) / OVERSAMPLING
    found = np.asarray(CubicSpline(np.arange(samples + 1), noise)(pieces))
    if context.circuit.clocked is not None:
        law = cast(ClockedLaw, context.linear.law)
        found[:, law.held] = _held(law, context.seed, interval, samples)
    return found


def on_the_clock(clocked: Clocked, samples: int, interval: float) -> tuple[int, float]:
    """The same for held noise: a whole part of the clock's period, or the period and more of them."""
    if clocked.period >= interval:
        return samples, clocked.period / np.ceil(clocked.period / interval * (1 - 1e-9))
    return min(int(np.ceil(samples * interval / clocked.period)), MOST_SAMPLES), clocked.period


def _held(law: ClockedLaw, seed: int, interval: float, samples: int) -> FloatArray:
    """(k + 1, h) V: samples of the clock's sources, each reached within a piece of its period and held from then on."""
    pieces = np.arange(samples * OVERSAMPLING + 1)
    every = OVERSAMPLING * round(law.clocked.period / interval)
    drawn = Samples(law, seed, 1).of(0, int(pieces[-1]) // every + 1)[:, :, 0]
    rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * law.clocked.period)
    return np.vstack([np.zeros(drawn.shape[1]), rms * drawn[(pieces[1:] - 1) // every]])


def replay_deck(context: Context, waveform: FloatArray, interval: float, folder: Path) -> str:
    """The deck on disk, with its noise sources replaced by waveforms (k + 1, m), and nothing else."""
    assert context.deck is not None
    return context.simulator.driven(context.deck, Waveforms(context.elements, interval, waveform), folder)


def replayed(
    context: Context, deck: str, folder: Path, interval: float, step: float, from_zero: bool, samples: int = SAMPLES
) -> FloatArray:
    """(k + 1, p) V: the simulator's probes at the sample instants, with a step limit (s)."""
    transient = Transient(
        stop=samples * interval, limit=step, interval=interval, vectors=context.vectors, from_zero=from_zero
    )
    (found,) = context.run(deck, transient, folder=folder)
    voltages = np.stack([found[name] for name in context.vectors], axis=1)
    ramp = context.circuit.ramp
    kinks = [] if ramp is None else [t for t in ramp.times.tolist() if 0 < t < samples * interval]
    return at_samples(found["time"], voltages, interval, samples, kinks)


def at_samples(
    time: FloatArray, values: FloatArray, interval: float, samples: int = SAMPLES, kinks: Sequence[float] = ()
) -> FloatArray:
    """Values at the sample instants, by cubic interpolation of ngspice's own points, not beyond kinks (s)."""
    instants = np.minimum(np.arange(samples + 1) * interval, time[-1])
    keep = np.concatenate([[True], np.diff(time) > 1e-9 * interval])
    time, values = time[keep], values[keep]
    found = np.empty((len(instants), values.shape[1]))
    ends = [-np.inf, *np.unique(kinks).tolist(), np.inf]
    for first, last in itertools.pairwise(ends):
        here, wanted = (time >= first) & (time <= last), (instants >= first) & (instants < last)
        if wanted.any():
            found[wanted] = CubicSpline(time[here], values[here])(instants[wanted])
    return found


LEVEL = LevelKind(
    "replay",
    Way(run, (Transient, Waveforms)),
    compares="the same noise waveform through both",
    failing="given the same noise, the circuit that {} ran takes another path than the device",
)
