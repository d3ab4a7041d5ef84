"""Trajectories of a nonlinear Langevin equation: schemes, steps, inputs in time, readouts, heat and work.

==========================  ===============  ==========================================================
scheme                      equation         order
==========================  ===============  ==========================================================
``euler-maruyama``          first order      weak order 1, strong order 1 (the noise is additive)
``leimkuhler-matthews``     first order      weak order 1 in time, order 2 for stationary averages
``baoab``                   inertial         weak order 2; of stationary averages of x, 4 at high damping
==========================  ===============  ==========================================================

All are explicit: a step must stay below `stable_step`, and cubic forces make every explicit scheme
unstable far enough out, which is refused as it happens (Leimkuhler and Matthews, AMRX 2013;
Hutzenthaler, Jentzen and Kloeden, 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spu.emulator import langevin_kernels as kernels
from spu.emulator.kernels import LANES, blas_addresses
from spu.emulator.noise import BLOCK, SAMPLES, WIDTH, key_of
from spu.emulator.run import available_threads, parallel
from spu.errors import UsageError
from spu.langevin import Langevin

FloatArray = NDArray[np.float64]

SCHEMES = {
    "euler-maruyama": kernels.EULER_MARUYAMA,
    "leimkuhler-matthews": kernels.LEIMKUHLER_MATTHEWS,
    "baoab": kernels.BAOAB,
}

TILE = 128
"""Trajectories of a tile."""

CHUNK = 4096
"""Most steps between two looks at the outside world."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Fields in time: straight lines between instants, constant beyond the last.

    Attributes
    ----------
    times:
        (k,) s, not falling; an instant given twice is a jump.
    fields:
        (k, n) of the equation's field.
    """

    times: FloatArray
    fields: FloatArray

    def at(self, times: FloatArray) -> FloatArray:
        """(m, n) fields at (m,) instants; at a jump, what comes after it."""
        right = np.clip(np.searchsorted(self.times, times, side="right"), 1, max(1, len(self.times) - 1))
        if len(self.times) == 1:
            return np.broadcast_to(self.fields[0], (len(times), self.fields.shape[1])).copy()
        left = right - 1
        span = self.times[right] - self.times[left]
        gone = np.clip((times - self.times[left]) / np.where(span > 0, span, 1.0), 0.0, 1.0)
        share = np.where(span > 0, gone, 1.0)[:, None]
        return np.asarray((1 - share) * self.fields[left] + share * self.fields[right])


@dataclass(frozen=True, eq=False)
class Paths:
    """Trajectories at the readout times.

    Attributes
    ----------
    times:
        (k,) s, as stepped.
    states:
        (k, trajectories, n) coordinates.
    heat, work:
        (trajectories,) given to the bath, and done by the fields; None unless tracked.
    start, end:
        (trajectories,) energy at both ends, fields and kinetic energy included; None unless tracked.
    """

    times: FloatArray
    states: FloatArray
    heat: FloatArray | None
    work: FloatArray | None
    start: FloatArray | None
    end: FloatArray | None


def stable_step(equation: Langevin, x: FloatArray | None = None) -> float:
    """The step (s) beyond which an explicit scheme rings up at states of the size of x (n,): stable below.

    ``2 / (mobility dF/dx)`` of the stiffest direction; of inertial equations ``2 / omega``.
    """
    x = np.zeros(equation.n) if x is None else x
    slope = equation.stiffness + np.diag(2 * np.abs(equation.quadratic * x) + 3 * equation.cubic * x**2)
    if equation.mass is not None:
        root = 1 / np.sqrt(equation.mass)
        largest = float(np.abs(np.linalg.eigvals(root[:, None] * slope * root)).max())
        return 2.0 / np.sqrt(largest)
    root = np.sqrt(equation.mobility)
    return 2.0 / float(np.abs(np.linalg.eigvals(root[:, None] * slope * root)).max())


def run(
    equation: Langevin,
    *,
    step: float,
    steps: Sequence[int] | NDArray[np.int64],
    trajectories: int,
    seed: int,
    scheme: str,
    start: FloatArray | None = None,
    velocity: FloatArray | None = None,
    schedule: Schedule | None = None,
    track: bool = False,
    coarse: int = 1,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Paths:
    """Step trajectories and read them.

    Parameters
    ----------
    equation:
        Of the circuit.
    step:
        s.
    steps:
        Numbers of steps, not falling, after which all are read; the last one ends the run.
    trajectories, seed:
        How many, and of which noise. A trajectory does not depend on how many others there are.
    scheme:
        One of `SCHEMES`.
    start:
        (n,) or (trajectories, n); zero unless given.
    velocity:
        As ``start``, of inertial equations.
    schedule:
        Fields in time; the circuit's own unless given.
    track:
        Book heat and work.
    coarse:
        Normals added up for one step: runs of the same ``step / coarse`` follow one Brownian path.
    threads, progress, interrupted:
        As in `spu.emulator.run.run`.

    Raises
    ------
    UsageError
        For a scheme that is not for this equation, or a step at which it blew up.
    """
    inertial = equation.mass is not None
    if scheme not in SCHEMES or (scheme == "baoab") != inertial:
        kinds = ["baoab"] if inertial else ["euler-maruyama", "leimkuhler-matthews"]
        raise UsageError(f"no scheme {scheme!r} for this equation; valid: {', '.join(kinds)}")
    if track and scheme == "leimkuhler-matthews":
        raise UsageError("heat is not defined on Leimkuhler-Matthews paths, whose noise is correlated: euler-maruyama")
    if track:
        equation.require_reciprocal()
    n = equation.n
    law = _law(equation, step, scheme, coarse)
    tiles = [_tile(n, first, start, velocity, trajectories) for first in range(0, trajectories, TILE)]
    blas, key = blas_addresses(), key_of(seed, SAMPLES)
    advance = [kernels.advance.bind(blas, tile, law, key) for tile in tiles]
    readouts = np.asarray(steps, dtype=np.int64)
    states = np.empty((len(readouts), trajectories, n))
    instants = readouts.astype(np.float64) * step
    plan = schedule or Schedule(np.zeros(1), equation.field[None, :])
    first_energy = None
    done = taken = 0
    total = int(readouts[-1]) if len(readouts) else 0

    def energy(now: float) -> FloatArray:
        x = np.concatenate([tile.x.T for tile in tiles])[:trajectories]
        found = equation.potential(x, plan.at(np.array([now]))[0])
        if equation.mass is not None:
            w = np.concatenate([tile.w.T for tile in tiles])[:trajectories]
            found = found + 0.5 * (w**2) @ equation.mass
        return found

    if track:
        first_energy = energy(0.0)
    with parallel(min(len(tiles), threads or available_threads())) as each:
        while taken < len(readouts) and not interrupted():
            if readouts[taken] == done:
                for number, tile in enumerate(tiles):
                    last = min(trajectories, (number + 1) * TILE)
                    states[taken, number * TILE : last] = tile.x.T[: last - number * TILE]
                if not np.isfinite(states[taken]).all():
                    raise UsageError(
                        f"the {scheme} scheme blew up at a step of {step:.3g} s: a smaller one is needed (the linear "
                        f"bound at rest is {stable_step(equation):.3g} s)"
                    )
                taken += 1
                continue
            count = int(min(CHUNK, readouts[taken] - done))
            fields = (
                plan.at((done + np.arange(count + 1, dtype=np.float64)) * step)
                if len(plan.times) > 1
                else plan.fields[:1]
            )
            fields = np.ascontiguousarray(fields)

            def one(number: int, count: int = count, fields: FloatArray = fields, done: int = done) -> None:
                advance[number](fields, done, count, track)

            each(one, range(len(tiles)))
            done += count
            if progress is not None:
                progress(done, total)
    if not track:
        return Paths(instants[:taken], states[:taken], None, None, None, None)
    heat, work = (np.concatenate([getattr(tile, key) for tile in tiles])[:trajectories] for key in ("heat", "work"))
    return Paths(instants[:taken], states[:taken], heat, work, first_energy, energy(done * step))


def _law(equation: Langevin, step: float, scheme: str, coarse: int) -> kernels.Law:
    n = equation.n
    together = equation.noise @ equation.noise.T
    deviation = np.sqrt(np.diag(together))
    factor = np.empty((0, 0))
    if equation.correlated:
        factor = np.linalg.cholesky(together / np.outer(deviation, deviation) + 1e-14 * np.eye(n))
    decay, mass = np.zeros(n), np.zeros(n)
    if equation.mass is not None:
        mass = equation.mass
        rate = 1.0 / (equation.mobility * mass)
        decay = np.exp(-rate * step)
        gain = 0.5 * step / mass
        spread = deviation * np.sqrt(-np.expm1(-2 * rate * step) / (2 * rate))
    else:
        gain, spread = step * equation.mobility, deviation * np.sqrt(step)
    return kernels.Law(
        np.ascontiguousarray(equation.stiffness),
        np.ascontiguousarray(equation.quadratic),
        np.ascontiguousarray(equation.cubic),
        np.ascontiguousarray(gain),
        np.ascontiguousarray(factor),
        np.ascontiguousarray(spread / np.sqrt(coarse)),
        np.ascontiguousarray(decay),
        np.ascontiguousarray(mass),
        0.5 * step,
        SCHEMES[scheme],
        coarse,
    )


def _tile(n: int, first: int, start: FloatArray | None, velocity: FloatArray | None, trajectories: int) -> kernels.Tile:
    width = min(TILE, -(-(trajectories - first) // LANES) * LANES)
    rows = -(-n // BLOCK) * BLOCK
    x, w = np.zeros((n, width)), np.zeros((n, width))
    for held, given in ((x, start), (w, velocity)):
        if given is not None:
            own = np.broadcast_to(given, (trajectories, n))[first : first + width]
            held[:, : len(own)] = own.T
    return kernels.Tile(
        x,
        w,
        np.zeros((n, width)),
        np.zeros((rows, width)),
        np.zeros((rows, width)),
        np.zeros((rows, width)),
        np.zeros(width, dtype=np.uint64),
        np.arange(first, first + width, dtype=np.uint64),
        np.zeros((2, WIDTH), dtype=np.uint64),
        np.zeros(width),
        np.zeros(width),
        np.zeros(width),
    )
