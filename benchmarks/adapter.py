"""The one place where the benchmark calls the project: when its interface changes, change this file only.

Everything else speaks of a `Sampler` built once from a law (or a step) and run many times. Each function
that stands for a planned one says in a line "PLANNED" what to call instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import spu
from spu.emulator.noise import NormalStreams
from spu.emulator.propagate import Step, exact_step, factor
from spu.emulator.propagate import independent_samples as draw_independent
from spu.emulator.stationary import Stationary
from spu.estimate import Moments
from spu.statistics import device_law

FloatArray = NDArray[np.float64]

VERSION = spu.__version__
CHUNK = 64


@dataclass(frozen=True, eq=False)
class Sampler:
    """Exact trajectories of one law at one interval, prepared.

    Attributes
    ----------
    step:
        Transition (n, n) and noise factor (n, r).
    start:
        (n, k) factor of the stationary covariance.
    readout:
        (p, n) probes from the state.
    """

    step: Step
    start: FloatArray
    readout: FloatArray

    @property
    def size(self) -> int:
        """States, d."""
        return len(self.step.transition)

    @property
    def rank(self) -> int:
        """Columns of the noise factor, r: normals a step and trajectory."""
        return self.step.factor.shape[1]

    def _chunks(self, steps: int, count: int, seed: int) -> object:
        # PLANNED: Propagator(law, interval).run(steps, count, seed, threads, ...), which streams chunks itself.
        streams = NormalStreams(seed, count)
        z = streams.draw(1, self.start.shape[1])[0] @ self.start.T
        for first in range(0, steps, CHUNK):
            kicks = streams.draw(min(CHUNK, steps - first), self.rank) @ self.step.factor.T
            states = np.empty_like(kicks)
            for k, kick in enumerate(kicks):
                z = z @ self.step.transition.T + kick
                states[k] = z
            yield states

    def run(self, *, steps: int, count: int, seed: int, threads: int) -> None:  # noqa: ARG002
        """Advance ``count`` trajectories by ``steps``, keeping nothing: the state update alone, for timing."""
        for _ in self._chunks(steps, count, seed):
            pass

    def moments(self, *, steps: int, count: int, seed: int, threads: int) -> Moments:  # noqa: ARG002
        """Moments of the probes over ``count`` trajectories of ``steps`` readouts, storing no trajectory."""
        moments = Moments(np.zeros(len(self.readout)))
        for states in self._chunks(steps, count, seed):
            moments.add((states @ self.readout.T).reshape(-1, len(self.readout)))
        return moments

    def record(self, *, steps: int, count: int, seed: int, threads: int) -> FloatArray:  # noqa: ARG002
        """The probes themselves, (steps, count, p)."""
        return np.concatenate([states @ self.readout.T for states in self._chunks(steps, count, seed)])


def sampler(law: Stationary, interval: float) -> Sampler:
    """Prepare exact trajectories of a law's probes, ``interval`` seconds apart."""
    return Sampler(exact_step(law.dense, interval), factor(law.covariance), law.dense.H)


def sampler_of_step(step: Step) -> Sampler:
    """The same from a given step whose stationary covariance is the unit matrix; the probes are the states."""
    unit = np.eye(len(step.transition))
    return Sampler(step, unit, unit)


MODAL = False
"""PLANNED: True once the project propagates a nominal SPU mode by mode."""


def modal_sampler(device: spu.Device, interval: float) -> Sampler:
    """Trajectories of a nominal SPU, one 2 x 2 step a mode, ``interval`` seconds apart; probes are its voltages.

    Only called where `MODAL` is true.
    """
    # PLANNED: Propagator(device_law(device), interval), which chooses the modal path itself.
    return sampler(device_law(device), interval)


def independent_samples(law: Stationary, *, samples: int, seed: int, threads: int) -> FloatArray:  # noqa: ARG001
    """Independent draws of the probes from the stationary law, (samples, p), V."""
    return draw_independent(law, samples=samples, streams=NormalStreams(seed, 1))


def normals(count: int, seed: int, threads: int) -> None:  # noqa: ARG001
    """Generate ``count`` standard normals with the project's own generator, keeping none."""
    streams = NormalStreams(seed, 1)
    for first in range(0, count, 65536):
        streams.draw(1, min(65536, count - first))


def simulate(
    device: spu.Device,
    *,
    samples: int,
    interval: float,
    trajectories: int,
    seed: int,
    threads: int,  # noqa: ARG001
) -> object:
    """The public way to moments: everything from the device to covariance and error bars."""
    # PLANNED: spu.simulate(device, samples=, interval=, trajectories=, threads=, trace=None).
    return spu.simulate(device, samples=samples, interval=interval, trajectories=trajectories, seed=seed, keep=False)


def law_of(device: spu.Device) -> Stationary:
    """The stationary law of a device."""
    return device_law(device)
