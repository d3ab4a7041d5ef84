"""What the logarithm of a determinant misses by, from the work of few runs: a pilot, as no law tells its scatter."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import OptionError, UsageError
from spu.base.numbers import engineering
from spu.device.device import Device
from spu.emulator.laws.work import slowest
from spu.emulator.runs.sampling import member_seed
from spu.studies.algebra.accuracy import Parts
from spu.studies.algebra.determinant import ENOUGH, Runs, bennett

_PILOT = 256
"""Pairs of runs of the ramp that tell how far one pair scatters."""

_SEED = 2**40
"""Of the pilot: a plan hangs on the device alone."""


class WorkAccuracy:
    """Errors of the logarithm of a determinant, as they are: relative ones of the determinant.

    Parameters
    ----------
    device : Device
        Compiled for a `spu.Determinant`.

    Attributes
    ----------
    floor : float
        What the device misses by after any time.
    pair, burn_in : float
        S that a forward and a backward run take, with the rests before them; and these rests.
    jumps : int
        Of a run, before each of which all cells are read.
    mean_work : float or None
        J that a pair takes; None where work is of a pseudo-potential.
    slowest : float
        The longest time constant at either end of the ramp, s.
    warnings : tuple of str
        What should be known.
    """

    def __init__(self, device: Device) -> None:
        self.runs = Runs(device)
        self.pair, self.burn_in, self.jumps = self.runs.pair, self.runs.burn_in, self.runs.jumps
        potential = self.runs.potential
        exact = self.runs.problem.log_determinant  # type: ignore[union-attr]
        self.exact = float(exact)
        limit = potential.reference + 2 * potential.sign * (potential.free_energy + potential.systematic)
        self.floor = abs(float(limit) - self.exact)
        self.slowest = max(slowest(potential, u) for u in (device.ramp.start[0], device.ramp.end[0]))  # type: ignore[union-attr]
        ahead, back = self.runs.works(_PILOT, _SEED)
        found = bennett(ahead, back)
        self.one = 2.0 * found.standard_error * math.sqrt(_PILOT)
        self.hurried = found.hurried
        self.mean_work = float(ahead.mean() + back.mean()) * potential.theta if potential.stored else None
        self.warnings: tuple[str, ...] = ()
        if found.hurried:
            self.warnings = (
                "the ramp is too fast for its error bar: few runs say the same forward and backward, and the bar is "
                "what the second law leaves open; give device.ramp more time",
            )

    @property
    def least_time(self) -> float:
        """S of two pairs, without which there is no answer."""
        return 2.0 * self.pair

    def pairs_in(self, time: float | None) -> int:
        """How many pairs a time has room for."""
        assert time is not None
        if time < self.least_time * (1 - 1e-9):
            raise UsageError(
                f"{engineering(time, 's')} is too short: two pairs of runs and their rests take "
                f"{engineering(self.least_time, 's')}"
            )
        return int(time / self.pair * (1 + 1e-12))

    def pairs_for(self, error: float) -> int:
        """How many pairs an error takes."""
        if self.hurried:
            raise OptionError(
                "error", "cannot be planned: the ramp is too fast for its error bar; give device.ramp more time"
            )
        return max(math.ceil(self.one**2 / (error**2 - self.floor**2)), 2 * int(ENOUGH))

    def parts(self, pairs: int) -> Parts:
        """The error of so many pairs."""
        scatter = self.one / math.sqrt(pairs)
        return Parts(math.hypot(scatter, self.floor), scatter, 0.0)

    def at(self, time: float, interval: float | None) -> Parts:  # noqa: ARG002 - as `Accuracy.at`
        """The error after a time."""
        return self.parts(self.pairs_in(time))

    def missed(self, time: float, interval: float | None, runs: int, seed: int) -> Annotated[FloatArray, "runs"]:  # noqa: ARG002
        """(runs,) errors of as many answers after a time."""
        potential, pairs = self.runs.potential, self.pairs_in(time)
        free = [bennett(*self.runs.works(pairs, member_seed(seed, k))).free_energy for k in range(runs)]
        return np.abs(potential.reference + 2 * potential.sign * np.array(free) - self.exact)
