"""Trajectories of a nonlinear Langevin equation: schemes, steps, inputs in time, readouts, heat and work.

==========================  ===============  ==========================================================
scheme                      equation         order
==========================  ===============  ==========================================================
``heun``                    first order      weak order 2, strong order 1 (the noise is additive)
``euler-maruyama``          first order      weak order 1, strong order 1
``leimkuhler-matthews``     first order      weak order 1 in time, order 2 for stationary averages
``baoab``                   inertial         weak order 2; of stationary averages of x, 4 at high damping
==========================  ===============  ==========================================================

All are explicit, and cubic forces make every explicit scheme unstable far enough out (Hutzenthaler, Jentzen
and Kloeden, 2011; the schemes: Leimkuhler and Matthews, AMRX 2013; Kloeden and Platen, 1992, 15.1). What
counts is z, a bound of the fastest rate (of inertial equations: frequency) at the present state, and at the
one that the step is bound for, times the step. On a linear force of rate z over the step the stationary
variance is off by a factor of ``1/(1 - z/2)`` with Euler-Maruyama, and by less than ``1 - z^2/4`` with Heun.

A grid that is *refined* lets each trajectory halve its steps wherever z is above `LIMIT`, however far
out starts, inputs or noise take it (`spu.emulator.runs.langevin_kernels`); typical states have z of `TYPICAL`.
Steps that are given are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import UsageError
from spu.base.threads import available_threads
from spu.emulator.equations.langevin import Langevin
from spu.emulator.runs import langevin_kernels as kernels
from spu.emulator.runs.langevin_plain import Span
from spu.emulator.runs.noise import SAMPLES, key_of
from spu.emulator.runs.numba_products import LANES, blas_addresses
from spu.emulator.runs.run import parallel

SCHEMES = {
    "euler-maruyama": kernels.EULER_MARUYAMA,
    "heun": kernels.HEUN,
    "leimkuhler-matthews": kernels.LEIMKUHLER_MATTHEWS,
    "baoab": kernels.BAOAB,
}

TYPICAL = {"heun": 0.06, "euler-maruyama": 0.02, "leimkuhler-matthews": 0.06, "baoab": 0.1}
"""z of typical states where the step is chosen here."""

LIMIT = {"heun": 0.125, "euler-maruyama": 0.045, "leimkuhler-matthews": np.inf, "baoab": 0.225}
"""z beyond which a trajectory halves its step. The noise of Leimkuhler-Matthews is correlated: no halving there."""

BRIDGE = 5
"""The purpose of the noise inside steps (`spu.emulator.runs.noise`)."""

TILE = 128
"""Trajectories of a tile."""

CHUNK = 4096
"""Most steps between two looks at the outside world."""

MOST_STEPS = 2**35

SPAN = 3
"""Steps at the beginning and at the end of a run that are taken again in plain numpy."""

_WATCHED = 0.04
"""Share of a run's work that ghosts take."""

_WINDOWS = 8
"""Times that ghosts set out, at least, in a run of more than so many times `_SHORTEST` steps."""

_SHORTEST = 64

_CHEAP = 1e7
"""Numbers drawn, and a hundredth of the products, of a run in which ghosts follow all the time: a tenth of a second."""


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
        row, share, _ = self.between(times, times, side="right")
        return np.asarray((1 - share)[:, None] * self.rows[row] + share[:, None] * self.rows[row + 1])

    @cached_property
    def rows(self) -> FloatArray:
        """(k + 2, n) fields, the first and the last twice."""
        return np.ascontiguousarray(np.vstack([self.fields[:1], self.fields, self.fields[-1:]]))

    def between(
        self, begin: FloatArray, end: FloatArray, side: str = "middle"
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Rows and shares (see `kernels.Steps`) of (m,) intervals that hold no instant inside."""
        middle = begin if side == "right" else 0.5 * (begin + end)
        row = np.searchsorted(self.times, middle, side="right")
        inside = (row > 0) & (row < len(self.times))
        left = self.times[np.clip(row - 1, 0, len(self.times) - 1)]
        span = np.where(inside, self.times[np.clip(row, 0, len(self.times) - 1)] - left, 1.0)
        first, last = (np.where(inside, np.clip((each - left) / span, 0.0, 1.0), 0.0) for each in (begin, end))
        return row.astype(np.int64), first, last


@dataclass(frozen=True, eq=False)
class Grid:
    """Steps in time: pieces of equal ones between marks, which are readouts and instants of a schedule.

    Attributes
    ----------
    marks:
        (m + 1,) s, rising from 0.
    counts:
        (m,) steps between them.
    readouts:
        (k,) indices of the marks at which states are read, not falling.
    refined:
        Whether trajectories may halve them.
    """

    marks: FloatArray
    counts: IntArray
    readouts: IntArray
    refined: bool

    @classmethod
    def of(
        cls, readouts: FloatArray, instants: FloatArray, size: Callable[[FloatArray], FloatArray], refined: bool
    ) -> Grid:
        """Steps of at most ``size`` of a piece's middle, from 0 over the readouts and the instants before the last."""
        end = float(readouts[-1])
        inside = instants[(instants > 0) & (instants < end)]
        marks = np.unique(np.concatenate([[0.0], readouts, inside]))
        keep = np.concatenate([[True], np.diff(marks) > 1e-12 * end])
        marks = marks[keep]
        spans = np.diff(marks)
        wanted = spans / size(0.5 * (marks[1:] + marks[:-1]))
        if not wanted.sum() < MOST_STEPS:
            raise UsageError(f"{wanted.sum():.3g} steps are too many: {MOST_STEPS:.0e} at most")
        counts = np.maximum(1, np.ceil(wanted * (1 - 1e-9) - 1e-6)).astype(np.int64)
        places = np.searchsorted(marks, readouts, side="right") - 1
        return cls(marks, counts, places, refined)

    @cached_property
    def before(self) -> IntArray:
        """(m + 1,) steps before each mark."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    @property
    def total(self) -> int:
        """Steps in all."""
        return int(self.before[-1])

    @property
    def largest(self) -> float:
        """The largest step, s; 0 where there is none."""
        return float((np.diff(self.marks) / self.counts).max(initial=0.0))

    def steps(self, first: int, last: int, schedule: Schedule) -> kernels.Steps:
        """Steps ``first`` to ``last - 1``."""
        number = np.arange(first, last)
        piece = np.searchsorted(self.before, number, side="right") - 1
        sizes = np.diff(self.marks)[piece] / self.counts[piece]
        begin = self.marks[piece] + (number - self.before[piece]) * sizes
        return kernels.Steps(first, sizes, *schedule.between(begin, begin + sizes), schedule.rows)


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
    rate:
        Mean of z over steps and trajectories.
    over:
        Largest share of a tile's trajectories that had z above 1 at a step.
    pieces:
        Mean number of pieces of a step of a trajectory.
    check:
        (clusters, 4, n) as `kernels.Tile.check`, of each ghost; none of Leimkuhler-Matthews.
    compared:
        How often.
    """

    times: FloatArray
    states: FloatArray
    heat: FloatArray | None
    work: FloatArray | None
    start: FloatArray | None
    end: FloatArray | None
    rate: float
    over: float
    pieces: float
    check: FloatArray
    compared: float


def _leverage(equation: Langevin) -> FloatArray:
    """(n,) acceleration or velocity per force."""
    return 1 / equation.mass if equation.mass is not None else equation.mobility


def linear_rate(equation: Langevin) -> float:
    """A bound of the rates (of inertial equations: of the squared frequencies) of the linear part of the force, 1/s."""
    root = np.sqrt(_leverage(equation))
    matrix = root[:, None] * equation.stiffness * root
    if len(matrix) <= 300:
        return float(np.linalg.norm(matrix, 2))
    square = LinearOperator(matrix.shape, matvec=lambda x: matrix.T @ (matrix @ x), dtype=np.float64)
    start = np.random.default_rng(0).random(len(matrix))
    found = eigsh(square, k=1, v0=start, tol=1e-3, return_eigenvectors=False)
    return 1.01 * float(np.sqrt(found[0]))


def fastest(equation: Langevin, linear: float, x: FloatArray) -> FloatArray:
    """(...) rates, or frequencies, at states as far out as x (..., n): z over the step."""
    slope = _leverage(equation) * (2 * np.abs(equation.quadratic) + 3 * equation.cubic * np.abs(x)) * np.abs(x)
    found = linear + slope.max(axis=-1)
    return np.asarray(found if equation.mass is None else np.sqrt(found))


def run(
    equation: Langevin,
    *,
    grid: Grid,
    trajectories: int,
    seed: int,
    scheme: str,
    start: FloatArray | None = None,
    velocity: FloatArray | None = None,
    schedule: Schedule | None = None,
    track: bool = False,
    coarse: int = 1,
    advice: str = "a smaller one is needed",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Paths:
    """Step trajectories and read them.

    Parameters
    ----------
    equation:
        Of the circuit.
    grid:
        Of steps; its marks hold the schedule's instants.
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
    advice:
        What to do where steps that were given blow up.
    threads, progress, interrupted:
        As in `spu.emulator.runs.run.run`.

    Raises
    ------
    UsageError
        For a scheme that is not for this equation, or steps at which it blew up.
    InternalError
        If the first or last steps are not what plain numpy makes of them.
    """
    inertial = equation.mass is not None
    if scheme not in SCHEMES or (scheme == "baoab") != inertial:
        kinds = ["baoab"] if inertial else [name for name in SCHEMES if name != "baoab"]
        raise UsageError(f"no scheme {scheme!r} for this equation; valid: {', '.join(kinds)}")
    if track and scheme == "leimkuhler-matthews":
        raise UsageError("heat is not defined on Leimkuhler-Matthews paths, whose noise is correlated: heun")
    if track:
        equation.require_reciprocal()
    n = equation.n
    plan = schedule or Schedule(np.zeros(1), equation.field[None, :])
    law = _law(equation, scheme, coarse, grid.refined)
    tiles = [_tile(equation, first, start, velocity, trajectories, plan) for first in range(0, trajectories, TILE)]
    blas, key, bridge_key = blas_addresses(), key_of(seed, SAMPLES), key_of(seed, BRIDGE)
    readouts = grid.before[grid.readouts]
    states = np.empty((len(readouts), trajectories, n))
    total = int(readouts[-1]) if len(readouts) else 0
    period, watch = _windows(law, total, trajectories)
    cuts = np.unique(np.concatenate([readouts, [min(SPAN, total), max(0, total - SPAN), total]]))
    first_energy = None
    done = taken = 0

    def together(name: str) -> FloatArray:
        return np.concatenate([getattr(tile, name).T for tile in tiles])[:trajectories]

    def energy(now: float) -> FloatArray:
        found = equation.potential(together("x"), plan.at(np.array([now]))[0])
        if equation.mass is not None:
            found = found + 0.5 * (together("w") ** 2) @ equation.mass
        return found

    if track:
        first_energy = energy(0.0)
    with parallel(min(len(tiles), threads or available_threads())) as each:
        while taken < len(readouts) and not interrupted():
            if readouts[taken] == done:
                for number, tile in enumerate(tiles):
                    last = min(trajectories, (number + 1) * TILE)
                    states[taken, number * TILE : last] = tile.x.T[: last - number * TILE]
                _require_finite(states[taken], scheme, grid, advice)
                taken += 1
                continue
            last = int(min(done + CHUNK, cuts[np.searchsorted(cuts, done, side="right")]))
            steps = grid.steps(done, last, plan)
            span = None
            if last - done <= SPAN and (done < SPAN or done >= total - SPAN):
                span = Span(law, key, bridge_key, steps, period, watch, tiles, trajectories - 1)

            def one(number: int, steps: kernels.Steps = steps) -> None:
                kernels.advance(blas, tiles[number], law, key, bridge_key, steps, period, watch, track)

            each(one, range(len(tiles)))
            _require_pieces(tiles, equation)
            if span is not None:
                span.verify()
            done = last
            if progress is not None:
                progress(done, total)
    times = grid.marks[grid.readouts[:taken]]
    tally = np.sum([tile.tally for tile in tiles], axis=0)
    columns = sum(tile.x.shape[1] for tile in tiles) * max(1, done)
    figures = (
        float(tally[kernels.SUM_OF_RATES]) / columns,
        max(float(tile.tally[kernels.MOST_OVER]) for tile in tiles),
        1.0 + float(tally[kernels.PIECES] - tally[kernels.REFINED]) / columns,
        np.concatenate([np.moveaxis(tile.check, 2, 0) for tile in tiles]),
        float(tiles[0].tally[kernels.COMPARED]),
    )
    if not track:
        return Paths(times, states[:taken], None, None, None, None, *figures)
    now = float(np.interp(done, grid.before, grid.marks))
    shift = plan.at(np.array([now]))[0] - tiles[0].field
    work = together("work") - together("x") @ shift
    return Paths(times, states[:taken], together("heat"), work, first_energy, energy(now), *figures)


def _windows(law: kernels.Law, total: int, trajectories: int) -> tuple[int, int]:
    """Period of ghosts, and how many of its steps have them. A ghost's piece costs about two steps of a column."""
    if law.scheme == kernels.LEIMKUHLER_MATTHEWS or not total:
        return 1, 0
    width = min(TILE, -(-trajectories // LANES) * LANES)
    n = len(law.mobility)
    work = float(total) * trajectories * n * (1 + n / 100)
    share = 1.0 if work < _CHEAP else min(1.0, _WATCHED * width / (4 * LANES))
    period = int(np.clip(total // _WINDOWS, _SHORTEST, CHUNK))
    return period, max(SPAN + 1, int(share * period))


def _require_finite(states: FloatArray, scheme: str, grid: Grid, advice: str) -> None:
    if not np.isfinite(states).all():
        raise UsageError(f"the {scheme} scheme blew up at a step of {grid.largest:.3g} s: {advice}")


def _require_pieces(tiles: list[kernels.Tile], equation: Langevin) -> None:
    stuck = [tile for tile in tiles if tile.tally[kernels.TOO_STIFF]]
    if stuck:
        far = np.abs(stuck[0].x).max(axis=1)
        name = equation.names[int(np.argmax(_leverage(equation) * equation.cubic * np.nan_to_num(far, nan=0.0) ** 2))]
        raise UsageError(
            f"{name} is so far out that a step in {2.0**kernels.DEPTH:.0e} pieces is still too coarse: "
            "start closer to rest, or with smaller inputs"
        )


def _law(equation: Langevin, scheme: str, coarse: int, refined: bool) -> kernels.Law:
    n = equation.n
    together = equation.noise @ equation.noise.T
    deviation = np.sqrt(np.diag(together))
    factor = np.empty((0, 0))
    if equation.correlated:
        factor = np.linalg.cholesky(together / np.outer(deviation, deviation) + 1e-14 * np.eye(n))
    none = np.zeros(n)
    return kernels.Law(
        np.ascontiguousarray(equation.stiffness),
        np.ascontiguousarray(equation.quadratic),
        np.ascontiguousarray(equation.cubic),
        np.ascontiguousarray(_leverage(equation)),
        deviation,
        factor,
        none if equation.mass is None else 1.0 / (equation.mobility * equation.mass),
        none if equation.mass is None else np.ascontiguousarray(equation.mass),
        linear_rate(equation),
        SCHEMES[scheme],
        coarse,
        LIMIT[scheme] if refined else np.inf,
    )


def _tile(
    equation: Langevin,
    first: int,
    start: FloatArray | None,
    velocity: FloatArray | None,
    trajectories: int,
    plan: Schedule,
) -> kernels.Tile:
    tile = kernels.new_tile(equation.n, first, min(TILE, -(-(trajectories - first) // LANES) * LANES))
    for held, given in ((tile.x, start), (tile.w, velocity)):
        if given is not None:  # those beyond the last trajectory, which fill the lanes, start as it does
            own = np.broadcast_to(given, (trajectories, equation.n))[first : first + held.shape[1]]
            held[:] = own[np.minimum(np.arange(held.shape[1]), len(own) - 1)].T
    tile.field[:] = plan.at(np.zeros(1))[0]
    return tile
