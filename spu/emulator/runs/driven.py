"""Many trajectories through a ramp of a linear circuit's couplers, with the work of each.

Each starts from equilibrium, at the ramp's start, or at its end where the ramp is run backward. Its noise hangs on the
seed and on its own number, and on nothing else; forward and backward runs have noise of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.threads import blas_threads_for
from spu.emulator.laws.propagate import exact_step, factor
from spu.emulator.laws.work import Jump, Potential, jumps
from spu.emulator.runs.noise import BLOCK, fill_normals, key_of

_TOGETHER = 256
"""Trajectories of a block: all blocks are as large, so that no product's rounding hangs on how many are asked for."""


@dataclass(frozen=True, eq=False)
class Driven:
    """Work of trajectories through a ramp.

    Attributes
    ----------
    work:
        (b,) in units of the potential's `Potential.theta`.
    first, last:
        (b, p) what the readout shows at the start and at the end, problem units.
    """

    work: FloatArray
    first: FloatArray
    last: FloatArray


_Leg = tuple[FloatArray | None, tuple[FloatArray, FloatArray] | None, FloatArray]
"""What a jump takes, (n, n); the transition (n, n) and the noise (n, r) of the rest after it; the mean (n,) there."""


class Driver:
    """Runs a circuit through its ramp; steps are worked out once, whatever the number of trajectories."""

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self._steps: dict[tuple[float, float], tuple[FloatArray, FloatArray]] = {}
        self._starts: dict[float, FloatArray] = {}
        self._paths: dict[bool, list[_Leg]] = {}

    def run(self, trajectories: int, *, seed: int, backward: bool = False) -> Driven:
        """Run many trajectories."""
        potential = self.potential
        path = jumps(potential.ramp, backward=backward)
        ends = path[0].before, path[-1].after
        states = len(potential.frozen.scale)
        with blas_threads_for(1):
            if backward not in self._paths:
                self._paths[backward] = [self._leg(jump) for jump in path]
            if ends[0] not in self._starts:
                self._starts[ends[0]] = factor(potential.covariance(ends[0]))
            start = self._starts[ends[0]]
            seen = [potential.read @ potential.frozen.at(potential.factors(u)).to_state for u in ends]
            work, first, last = [], [], []
            for block in range(0, trajectories, _TOGETHER):
                draws = _Draws(seed, block, states, backward)
                z = potential.frozen.at(potential.factors(ends[0])).mean + draws.next(start.shape[1]) @ start.T
                first.append(z @ seen[0].T)
                total = np.zeros(_TOGETHER)
                for change, step, centre in self._paths[backward]:
                    if change is not None:
                        total += 0.5 * ((z @ change) * z).sum(axis=1)
                    if step is not None:
                        transition, loud = step
                        z = centre + (z - centre) @ transition.T + draws.next(loud.shape[1]) @ loud.T
                work.append(total)
                last.append(z @ seen[1].T)
        whole = (np.concatenate(part)[:trajectories] for part in (work, first, last))
        return Driven(*whole)

    def _leg(self, jump: Jump) -> _Leg:
        potential = self.potential
        change = potential.change(jump.before, jump.after) if jump.before != jump.after else None
        return change, self._step(jump), potential.frozen.at(potential.factors(jump.after)).mean

    def _step(self, jump: Jump) -> tuple[FloatArray, FloatArray] | None:
        if jump.rest <= 0:
            return None
        key = jump.after, round(jump.rest / self.potential.ramp.duration, 14)
        if key not in self._steps:
            made = exact_step(self.potential.frozen.at(self.potential.factors(jump.after)), jump.rest)
            self._steps[key] = made.transition, made.factor
        return self._steps[key]


class _Draws:
    """Normals of a block of trajectories, instant by instant."""

    def __init__(self, seed: int, first: int, width: int, backward: bool) -> None:
        self._key = key_of(seed, BACKWARD if backward else FORWARD)
        self._trajectories = np.arange(first, first + _TOGETHER, dtype=np.uint64)
        self._out = np.empty((-(-width // BLOCK) * BLOCK, _TOGETHER))
        self._step = 0

    def next(self, width: int) -> FloatArray:
        """(b, width) of the next instant."""
        steps = np.full(_TOGETHER, self._step, dtype=np.uint64)
        fill_normals(self._out, np.uint64(0), self._key, steps, self._trajectories)
        self._step += 1
        return np.ascontiguousarray(self._out[:width].T)


FORWARD, BACKWARD = 21, 22
"""Purposes of the noise."""
