"""Level ``replay``: one noise waveform through ngspice and through the emulator."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from spu.constants import UNIT_NOISE_DENSITY
from spu.crosscheck.context import Context
from spu.crosscheck.result import Level
from spu.emulator.noise import NormalStreams
from spu.emulator.propagate import respond
from spu.spice.ngspice import Step, run as run_ngspice

FloatArray = NDArray[np.float64]

SAMPLES = 600
LIMITS = (4, 32)
"""Step limits: the sample time over these."""

TOLERANCE = 5e-3
"""Path error at the finer limit, relative to the path's norm."""

CHANNELS = 12
"""Of one file source: ngspice's reader has a line buffer of 512 characters."""


def run(context: Context) -> Level:
    """Replay at two step limits; the path error must be small and must fall with the limit."""
    assert context.deck is not None
    if not context.circuit.sources:
        return Level("replay", "skipped", "the device has no noise source")
    times = context.timing
    interval = max(0.3 / times.reference, 3.0 * times.slowest / SAMPLES)
    rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * interval)
    count = len(context.circuit.sources)
    noise = rms * NormalStreams(context.seed, 1, purpose=2).draw(SAMPLES + 1, count)[:, 0]
    noise[0] = 0.0  # so that the start is the operating point
    exact = respond(context.law.dense, noise, interval, hold=False)
    mean = context.law.voltage_mean
    with tempfile.TemporaryDirectory(prefix="spu-replay-") as folder:
        deck = _deck(context, noise, interval, Path(folder))

        def path(limit: int) -> FloatArray:
            start = " uic" if context.inductor_loops else ""
            commands = (
                "save " + " ".join(f"v({vector})" for vector in context.vectors),
                f"tran {interval!r} {SAMPLES * interval!r} 0 {interval / limit!r}{start}",
            )
            (found,) = run_ngspice(
                deck,
                [Step(commands, "tran", ("time", *context.vectors))],
                time_limit=context.time_limit,
                folder=folder,
            )
            return _at_samples(found["time"], np.stack([found[name] for name in context.vectors], axis=1), interval)

        with ThreadPoolExecutor(len(LIMITS)) as pool:
            paths = list(pool.map(path, LIMITS))
    norm = np.linalg.norm(exact - mean, axis=0)
    norm = np.maximum(norm, 1e-6 * norm.max(initial=0.0))
    per_cell = [np.linalg.norm(found - exact, axis=0) / np.where(norm > 0, norm, 1.0) for found in paths]
    coarse, fine = (float(errors.max()) for errors in per_cell)
    worst = int(np.argmax(per_cell[1]))
    falls = fine < coarse
    passed = fine <= TOLERANCE and falls
    name = context.circuit.probes[worst]
    message = f"path error {coarse:.2g} at a step limit of ts/{LIMITS[0]}, {fine:.2g} at ts/{LIMITS[1]} (worst: {name})"
    if not falls:
        message += "; it does not fall: the difference is not the time step's"
    return Level(
        "replay",
        "pass" if passed else "fail",
        message,
        fine,
        TOLERANCE,
        data={
            "samples": SAMPLES,
            "interval": interval,
            "path_errors": {f"ts/{limit}": float(e.max()) for limit, e in zip(LIMITS, per_cell, strict=True)},
            "worst_cell": name,
        },
    )


def _deck(context: Context, noise: FloatArray, interval: float, folder: Path) -> str:
    """The deck on disk, with the waveforms of its noise sources, and nothing else, read from files."""
    assert context.deck is not None
    lines = context.deck.top_level()
    replace: dict[str, str] = {}
    extra: list[str] = [".options xtrtol=7"]  # code models would force trtol=1
    instants = np.arange(len(noise)) * interval
    for first in range(0, noise.shape[1], CHANNELS):
        block = noise[:, first : first + CHANNELS]
        width = block.shape[1]
        file = folder / f"noise{first // CHANNELS}.txt"
        np.savetxt(file, np.column_stack([instants, block]), fmt="%.17g")
        nodes = [f"replay_{first + k}" for k in range(width)]
        model = f"replay_model_{first}"
        extra += [
            f"areplay_{first} %v([{' '.join(nodes)}]) {model}",
            f'.model {model} filesource (file="{file.name}" amploffset=[{" 0" * width}] amplscale=[{" 1" * width}] '
            "timeoffset=0 timescale=1 timerelative=false amplstep=false)",
        ]
        for node, element in zip(nodes, context.elements[first : first + CHANNELS], strict=True):
            p, n = lines[element].text.split()[1:3]
            replace[element] = f"e{element} {p} {n} {node} 0 1"
    return context.deck.text(replace, tuple(extra))


def _at_samples(time: FloatArray, values: FloatArray, interval: float) -> FloatArray:
    """Values at the sample instants, by cubic interpolation of ngspice's own points."""
    instants = np.arange(SAMPLES + 1) * interval
    keep = np.concatenate([[True], np.diff(time) > 1e-9 * interval])
    return np.asarray(CubicSpline(time[keep], values[keep])(np.minimum(instants, time[-1])))
