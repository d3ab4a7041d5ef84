"""Noise transients of the simulator: run, recorded, and set beside the emulator's response to the same noise."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.crosscheck.context import Context
from spu.crosscheck.levels.paths import path_errors
from spu.crosscheck.levels.replay import FALLS
from spu.spice.simulators.analyses import DeclaredNoise, Transient

STEP_LIMITS = (6, 24, 96)
"""Sample time over the step limit; a finer one only while the path error is above what is allowed and falls."""

SETTLE = 5.0
"""Burn-in in units of the slowest time constant: the covariance is then within e^-10 of stationary."""

FORGOTTEN = 1e4
"""Noise over what is left of constant voltages after the burn-in of a transient that starts from zero."""


@dataclass(frozen=True)
class Declared:
    """What the deck's sources say of themselves: V and s, the worst error and whose it is.

    Where injected noise has a clock, ``rms`` and ``interval`` are those of its samples; white sources, which are
    ``finer``, (m,), have ``parts`` samples in each, of so many times the variance.
    """

    rms: float
    interval: float
    error: float
    worst: int
    finer: NDArray[np.bool_] | None = None
    parts: int = 1

    @property
    def sizes(self) -> FloatArray | float:
        """(m,) or one rms for all, V."""
        return self.rms if self.finer is None else self.rms * np.where(self.finer, np.sqrt(self.parts), 1.0)


def declared(context: Context) -> Declared:
    """Ask the simulator, not the text, for rms and sample time of the deck's sources."""
    assert context.deck is not None
    functions = ("trrandom",) * len(context.elements)
    (found,) = context.run(context.deck.text(), DeclaredNoise(context.elements, functions))
    table = np.stack([found[element] for element in context.elements])
    finer, parts = None, 1
    if context.circuit.clocked is None:
        interval = float(np.median(table[:, 1]))
        each = np.full(len(table), interval)
    else:
        interval = context.circuit.clocked.period
        finer = np.array([not source.clocked for source in context.circuit.sources])
        if finer.any():
            parts = max(1, round(interval / float(np.median(table[finer, 1]) or interval)))
        each = np.where(finer, interval / parts, interval)
    held = np.where(each > 0, each, 1.0)
    rms = np.where(each > 0, UNIT_NOISE_DENSITY / np.sqrt(2.0 * held), np.inf)
    none = np.zeros(len(table))
    expected = np.column_stack([none + 2.0, each, none, rms, none])
    error = np.abs(table - expected) / np.column_stack([none + 1.0, held, held, rms, rms])
    worst = int(np.argmax(error.max(axis=1)))
    coarsest = UNIT_NOISE_DENSITY / np.sqrt(2.0 * interval) if interval > 0 else np.inf
    return Declared(float(coarsest), interval, float(error.max()), worst, finer, parts)


@dataclass(frozen=True, eq=False)
class Recording:
    """One run.

    Attributes
    ----------
    voltages, exact:
        (k, p) V at the sample instants after the burn-in: ngspice's, and the emulator's response to the same noise.
    noise:
        (burn-in + k, m) samples of the sources, V; of finer ones those at the beginning of an interval.
    held:
        How far a source strays from its sample while it holds it, over its rms.
    errors:
        (p,) path errors.
    points:
        Time points that ngspice made of a sample.
    seconds:
        Wall time of ngspice.
    whole:
        ``noise`` with all samples of the finer ones; None where no source is finer.
    """

    voltages: FloatArray
    exact: FloatArray
    noise: FloatArray
    held: float
    errors: FloatArray
    points: float
    seconds: float
    whole: FloatArray | None = None


class Recorder:
    """Runs the deck with its own noise for as many samples as it is asked for.

    Attributes
    ----------
    allowed:
        Path error that ends the search for a step limit.
    falls:
        Whether the path error fell with the last finer limit.
    points:
        Most time points of a run.
    """

    def __init__(self, context: Context, source: Declared, allowed: float) -> None:
        assert context.deck is not None
        lines = context.deck.top_level()
        self.context, self.interval, self.allowed, self.parts = context, source.interval, allowed, source.parts
        self.nodes = [lines[element].words[1] for element in context.elements]
        settle = SETTLE
        self.charged = context.charged
        if self.charged:  # constant sources that charge the circuit from zero are to be forgotten beside the noise
            settle += float(np.log1p(FORGOTTEN * np.abs(context.dynamics.rest).max() / context.rms.min()))
        # What is predicted is the law at the end of a ramp.
        ramp = 0.0 if context.circuit.ramp is None else context.circuit.ramp.duration
        self.burn = int(np.ceil((ramp + settle * context.dynamics.slowest) / source.interval))
        self.limit: int | None = None
        self.falls = False
        self.points = 0.0

    @property
    def step(self) -> float:
        """Step limit, s."""
        return self.context.step(self.interval / self.parts, self.limit or STEP_LIMITS[0])

    @cached_property
    def _saved(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.context.vectors, *self.nodes]))

    @property
    def width(self) -> int:
        """Vectors that are kept."""
        return len(self._saved) + 1

    def record(self, count: int, run: int = 0) -> Recording:
        """``count`` samples after the burn-in, from the noise of run number ``run``; the first call finds the limit."""
        if self.limit is not None:
            return self._record(count, run, self.limit)
        coarse = np.inf
        for limit in STEP_LIMITS:
            found = self._record(count, run, limit)
            path = float(found.errors.max())
            self.limit, self.falls = limit, bool(path < coarse / FALLS)
            if path <= self.allowed or not self.falls:
                break
            coarse = path
        self.falls = self.falls and bool(np.isfinite(coarse))
        return found

    def _record(self, count: int, run: int, limit: int) -> Recording:
        context, interval, steps = self.context, self.interval / self.parts, (self.burn + count) * self.parts
        assert context.deck is not None
        transient = Transient(
            stop=steps * interval,
            limit=context.step(interval, limit),
            interval=interval,
            vectors=self._saved,
            from_zero=context.from_zero,
            seed=run_seed(context.seed, run),
        )
        started = time.perf_counter()
        (found,) = context.run(context.deck.text(), transient)
        seconds = time.perf_counter() - started
        voltages, noise, held = sampled_and_held(found, list(context.vectors), self.nodes, interval, steps)
        exact = context.dynamics.respond(np.vstack([noise, noise[-1:]]), interval, hold=True)
        after = slice((self.burn + 1) * self.parts, None, self.parts)
        judged = slice(after.start, None) if self.charged else slice(None)
        errors = path_errors(context, voltages[judged], exact[judged])
        self.points = max(self.points, float(len(found["time"])))
        points = len(found["time"]) * self.parts / steps
        whole = None if self.parts == 1 else noise
        return Recording(voltages[after], exact[after], noise[:: self.parts], held, errors, points, seconds, whole)


def run_seed(seed: int, run: int) -> int:
    """The seed of the simulator's own noise in a run: independent streams out of one seed."""
    if run == 0:
        return seed + 1
    return 1 + int(np.random.SeedSequence(entropy=seed, spawn_key=(run,)).generate_state(1)[0] >> 2)


def sampled_and_held(
    found: dict[str, NDArray[Any]], probes: list[str], sources: list[str], interval: float, steps: int
) -> tuple[FloatArray, FloatArray, float]:
    """Probes at the sample instants, each source's value in each interval, and how far it strays from that.

    ngspice puts a time point on every sample instant (they are breakpoints).
    """
    time = found["time"]
    instants = np.arange(steps + 1) * interval
    at = np.clip(np.searchsorted(time, instants - 1e-6 * interval), 0, len(time) - 1)
    voltages = np.stack([found[name][at] for name in probes], axis=1)
    inside = np.searchsorted(time, instants[:-1] + 0.5 * interval, side="right") - 1
    noise = np.stack([found[name][inside] for name in sources], axis=1)
    # Every point strictly inside an interval must carry the interval's value.
    slot = np.floor(time / interval).astype(np.int64)
    phase = time / interval - slot
    strict = (phase > 1e-3) & (phase < 1 - 1e-3) & (slot < steps)
    rms = float(np.sqrt((noise**2).mean())) or 1.0
    held = max(
        float(np.abs(found[name][strict] - noise[slot[strict], k]).max(initial=0.0)) / rms
        for k, name in enumerate(sources)
    )
    return voltages, noise, held
