"""Trajectories of a nonlinear Langevin equation: schemes, steps, inputs and factors in time, readouts, heat and work.

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

In single precision states, products and forces are floats: twice the speed where products decide. A step then rounds a
coordinate by up to 6e-8 of itself, as if there were a little more noise, and what the equation is made of once. So it
is for noise that is far above that: a run is refused where a step's noise is not `ROUNDINGS` times as large, which
keeps what rounding adds to a variance below 1e-4 of it. It is never a default, and not for what hangs on
coefficients more than a hundred thousandfold, such as means that are small differences, or nearly critical couplings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import UsageError
from spu.base.kernels.door import Precision
from spu.base.kernels.products import panel, resident
from spu.base.threads import available_threads, one_blas_thread
from spu.circuit.ramp import Ramp
from spu.emulator.equations.langevin import Langevin
from spu.emulator.laws.rest import coordinate_size
from spu.emulator.runs import langevin_kernels as kernels
from spu.emulator.runs.langevin_plain import Span
from spu.emulator.runs.noise import SAMPLES, key_of
from spu.emulator.runs.observers import Observer
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

TILE, WIDE = 128, 1024
"""Trajectories of a tile; and at most, of many on matrices that stay in the cache, where none has ghosts."""

CHUNK = 4096
"""Most steps between two looks at the outside world."""

MOST_STEPS = 2**35

SPAN = 3
"""Steps at the beginning and at the end of a run that are taken again in plain numpy: of the first and of the last
trajectory; of short runs without ghosts those of the last one at the beginning, of the first one at the end."""

ROUNDINGS = 128.0
"""Noise of a step in single precision, at least, in roundings of what it is added to."""

_ROUNDING = 2.0**-24
"""Of a float, at most, relative to itself."""

_WATCHED = 0.04
"""Share of a run's work that ghosts take."""

_WINDOWS = 8
"""Times that ghosts set out, at least, in a run of more than so many times `_SHORTEST` steps."""

_SHORTEST = 64

_CHEAP = 1e7
"""Numbers drawn, and a hundredth of the products, of a run in which ghosts follow all the time: a tenth of a second."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Fields in time, and factors: straight lines between instants, constant beyond the last.

    Of trajectory b fields are ``fields(t) + envelope(t) * own[b]``.

    Attributes
    ----------
    times:
        (k,) s, not falling; an instant given twice is a jump.
    fields:
        (k, n) of the equation's field.
    own:
        (trajectories, n) fields that each trajectory has of its own; None where it has none.
    envelope:
        (k,) their factor at the same instants; 1 unless given.
    couplers, noise:
        (k,) factors on all couplings, and on the amplitude of noise (`ramped`); 1 unless given.
    """

    times: FloatArray
    fields: FloatArray
    own: FloatArray | None = None
    envelope: FloatArray | None = None
    couplers: FloatArray | None = None
    noise: FloatArray | None = None

    def ramped(self, ramp: Ramp) -> Schedule:
        """The same with the factors of a ramp: instants stand twice, for what comes before and after."""
        instants = np.unique(np.concatenate([self.times, ramp.times]))
        before = np.nextafter(instants, -np.inf)
        here = np.column_stack([before, instants]).ravel()
        rows, factors = self.rows_at(here), np.column_stack(ramp.at(here))
        envelope = None if self.own is None else rows[:, self.fields.shape[1]]
        fields = rows[:, : self.fields.shape[1]]
        return Schedule(np.repeat(instants, 2), fields, self.own, envelope, factors[:, 0], factors[:, 1])

    def at(self, times: FloatArray) -> FloatArray:
        """(m, n) fields of all trajectories at (m,) instants; at a jump, what comes after it."""
        return self.rows_at(times)[:, : self.fields.shape[1]]

    def acting(self, time: float) -> FloatArray:
        """(n,) field at an instant, or (trajectories, n) where each trajectory has its own."""
        found, n = self.rows_at(np.array([time]))[0], self.fields.shape[1]
        return found[:n] if self.own is None else found[:n] + found[n] * self.own

    def rows_at(self, times: FloatArray) -> FloatArray:
        """(m, n + 3) fields and factors, as `at`."""
        row, share, _ = self.between(times, times, side="right")
        return np.asarray((1 - share)[:, None] * self.rows[row] + share[:, None] * self.rows[row + 1])

    @cached_property
    def rows(self) -> FloatArray:
        """(k + 2, n + 3) fields, and factors on own ones, couplings and noise, the first and the last twice."""
        one = np.ones(len(self.times))
        envelope = 0 * one if self.own is None else one if self.envelope is None else self.envelope
        factors = (one if each is None else each for each in (self.couplers, self.noise))
        rows = np.column_stack([self.fields, envelope, *factors])
        return np.ascontiguousarray(np.vstack([rows[:1], rows, rows[-1:]]))

    @cached_property
    def largest(self) -> FloatArray:
        """(k + 2, n) bounds of the size of any trajectory's fields, as ``rows``."""
        n = self.fields.shape[1]
        found = np.abs(self.rows[:, :n])
        if self.own is None:
            return found
        return np.asarray(found + np.abs(self.rows[:, n : n + 1]) * np.abs(self.own).max(axis=0))

    def between(
        self, begin: FloatArray, end: FloatArray, side: str = "middle"
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Rows and shares (see `kernels.LangevinSteps`) of (m,) intervals that hold no instant inside."""
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

    @property
    def smallest(self) -> float:
        """The smallest step, s; infinite where there is none."""
        return float((np.diff(self.marks) / self.counts).min(initial=np.inf))

    def steps(self, first: int, last: int, schedule: Schedule) -> kernels.LangevinSteps:
        """Steps ``first`` to ``last - 1``."""
        number = np.arange(first, last)
        piece = np.searchsorted(self.before, number, side="right") - 1
        sizes = np.diff(self.marks)[piece] / self.counts[piece]
        begin = self.marks[piece] + (number - self.before[piece]) * sizes
        return kernels.LangevinSteps(first, sizes, *schedule.between(begin, begin + sizes), schedule.rows)


@dataclass(frozen=True, eq=False)
class Paths:
    """Trajectories at the readout times.

    Attributes
    ----------
    times:
        (k,) s, as stepped.
    states:
        (k, trajectories, n) coordinates; where they were not kept, (1, trajectories, n) of the last readout.
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
        (clusters, 4, n) as `kernels.LangevinTile.check`, of each ghost; all zero where there are none.
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


@dataclass(frozen=True)
class Scale:
    """Units in which numbers of a run are near 1, so that floats hold them: powers of two, which round nothing.

    Attributes
    ----------
    length, time, force:
        Units of coordinates, of time (s) and of forces.
    """

    length: float = 1.0
    time: float = 1.0
    force: float = 1.0

    @classmethod
    def of(cls, law: kernels.Law) -> Scale:
        """Of a law with noise: the fastest rate, how far noise goes in that time, the force that goes as far."""
        inertial = law.scheme == kernels.BAOAB
        moves = law.mobility > 0
        size = law.deviation / np.sqrt(2 * law.friction) if inertial else law.deviation
        rate = law.linear + float(np.sqrt(3 * law.mobility * law.cubic * size**2).max())
        time = 4.0 ** np.round(0.5 * np.log2(1 / (np.sqrt(rate) if inertial else rate)))
        length = 2.0 ** np.round(np.log2(np.median(size[moves]) * (time if inertial else np.sqrt(time))))
        force = 2.0 ** np.round(np.log2(length / (np.median(law.mobility[moves]) * (time**2 if inertial else time))))
        return cls(float(length), float(time), float(force))

    def law(self, law: kernels.Law) -> kernels.Law:
        """A law in these units."""
        length, time, force = self.length, self.time, self.force
        order = 2 if law.scheme == kernels.BAOAB else 1
        return law._replace(
            stiffness=law.stiffness * (length / force),
            quadratic=law.quadratic * (length**2 / force),
            cubic=law.cubic * (length**3 / force),
            mobility=law.mobility * (force / length * time**order),
            deviation=law.deviation * (time ** (order - 1) * np.sqrt(time) / length),
            friction=law.friction * time,
            slope=law.slope * (length / force),
            mass=law.mass * (length / (force * time**2)),
            linear=law.linear * time**order,
        )

    def steps(self, steps: kernels.LangevinSteps) -> kernels.LangevinSteps:
        """Steps in these units."""
        fields = steps.fields.copy()
        fields[:, : -kernels.FACTORS] /= self.force
        return steps._replace(sizes=steps.sizes / self.time, fields=fields)


def _leverage(equation: Langevin) -> FloatArray:
    """(n,) acceleration or velocity per force."""
    return 1 / equation.mass if equation.mass is not None else equation.mobility


_linear_rates: WeakKeyDictionary[Langevin, float] = WeakKeyDictionary()


def linear_rate(equation: Langevin) -> float:
    """A bound of the rates (of inertial equations: of the squared frequencies) of the linear part of the force, 1/s.

    Of one under a ramp, at any time: a norm is a convex function of the factor.
    """
    if equation not in _linear_rates:  # a run asks for it several times
        _linear_rates[equation] = max(_linear_rate(each) for each in equation.extremes)
    return _linear_rates[equation]


def _linear_rate(equation: Langevin) -> float:
    root = np.sqrt(_leverage(equation))
    matrix = root[:, None] * equation.stiffness * root
    if len(matrix) <= 300:
        if np.array_equal(matrix, matrix.T):  # a third of the time
            return float(np.abs(np.linalg.eigvalsh(matrix)).max())
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


@one_blas_thread()  # what is left to BLAS are products with a vector; others would wait for more, and spin
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
    precision: Precision = "double",
    ghosts: bool = True,
    distinct: int | None = None,
    observers: Sequence[Observer] = (),
    keep: bool = True,
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
        Fields in time, and what each trajectory has of its own; the circuit's own unless given.
    track:
        Book heat and work.
    coarse:
        Normals added up for one step: runs of the same ``step / coarse`` follow one Brownian path.
    advice:
        What to do where steps that were given blow up.
    precision:
        Number format of states, products and forces. In single precision a path on the same noise leaves that of
        double precision by rounding; heat and work are booked in double precision only.
    ghosts:
        Follow some trajectories with half the step, too (`Paths.check`). Runs whose steps are known to do can leave
        that out: of short ones it is most of the work.
    distinct:
        Trajectories b and b + distinct follow the same noise: for differences between starts or fields, which then
        are not those of noise. Each its own unless given.
    observers:
        Called with the number of each readout and the states (trajectories, n) then (`spu.emulator.runs.observers`).
    keep:
        Keep the states of all readouts; else of the last one only, and observers have seen the others.
    threads, progress, interrupted:
        As in `spu.emulator.runs.run.run`.

    Raises
    ------
    UsageError
        For a scheme that is not for this equation, steps at which it blew up, or noise that is too small for
        single precision.
    InternalError
        If the first or last steps are not what plain numpy makes of them.
    """
    inertial = equation.mass is not None
    if scheme not in SCHEMES or (scheme == "baoab") != inertial:
        kinds = ["baoab"] if inertial else [name for name in SCHEMES if name != "baoab"]
        raise UsageError(f"no scheme {scheme!r} for this equation; valid: {', '.join(kinds)}")
    plan = schedule or Schedule(np.zeros(1), equation.field[None, :])
    if track and scheme == "leimkuhler-matthews":
        raise UsageError("heat is not defined on Leimkuhler-Matthews paths, whose noise is correlated: heun")
    if equation.varying is not None:
        if scheme == "leimkuhler-matthews":
            raise UsageError(
                "leimkuhler-matthews is right for stationary averages, and under a ramp there are none: heun"
            )
        if track:
            raise UsageError("heat and work are not booked under a ramp: leave heat out, or the ramp")
        plan = _in_time(plan, equation.varying.ramp, grid)
    if track:
        equation.require_reciprocal()
    if track and precision == "single":
        raise UsageError("heat and work are booked in double precision: sums of a float's rounding would pass for heat")
    n = equation.n
    if plan.own is not None and plan.own.shape != (trajectories, n):
        raise UsageError(f"own fields are {trajectories} x {n} numbers, a trajectory a row, not {plan.own.shape}")
    law, scale, least = _law(equation, scheme, coarse, grid.refined), Scale(), 1.0
    if precision == "single":
        least = 1.0 if plan.noise is None else float(plan.noise.min())
        if not least * law.deviation[law.mobility > 0].all():
            name = equation.names[int(np.argmin(np.where(law.mobility > 0, law.deviation, np.inf)))]
            raise UsageError(f"{name} has no noise, and single precision is for noise far above rounding: use double")
        scale = Scale.of(law)
        law = scale.law(law)
    key, bridge_key = key_of(seed, SAMPLES), key_of(seed, BRIDGE)
    readouts = grid.before[grid.readouts]
    states = np.empty((len(readouts) if keep else 1, trajectories, n))
    total = int(readouts[-1]) if len(readouts) else 0
    alone = trajectories if distinct is None else distinct
    matrices, cache = kernels.packed(law, precision), resident(precision)
    tile = TILE
    if not ghosts and len(matrices.stiffness.values) <= cache:  # what a tile costs is little beside its steps
        tile = min(WIDE, -(-trajectories // (4 * TILE)) * TILE)
    bounds = [
        (first, min(first + tile, begin + alone, trajectories))
        for begin in range(0, trajectories, alone)
        for first in range(begin, min(begin + alone, trajectories), tile)
    ]
    tiles = [
        _tile(equation, each, each[0] % alone, start, velocity, plan, min(CHUNK, max(1, total)), precision, scale)
        for each in bounds
    ]
    last_of_all = (trajectories - 1) % alone
    advance = [kernels.advance[precision].bind(tile, matrices, key, bridge_key) for tile in tiles]
    work = float(total) * trajectories * n * (1 + n / 100)
    period, watch = _windows(law, total, trajectories, panel(precision), work) if ghosts else (1, 0)
    cuts = np.unique(np.concatenate([readouts, [min(SPAN, total), max(0, total - SPAN), total]]))
    first_energy = None
    done = taken = 0

    def taken_of(of: Callable[[kernels.LangevinTile], FloatArray]) -> FloatArray:
        """Without what fills the last panel of a tile."""
        return np.concatenate([of(tile)[: end - first] for tile, (first, end) in zip(tiles, bounds, strict=True)])

    def together(name: str) -> FloatArray:
        unit = scale.length if name == "x" else scale.length / scale.time
        return taken_of(lambda tile: tile.take(name)) * unit

    def booked(name: str) -> FloatArray:
        return taken_of(lambda tile: getattr(tile, name).ravel())

    def energy(now: float) -> FloatArray:
        found = equation.potential(together("x"), plan.acting(now))
        if equation.mass is not None:
            found = found + 0.5 * (together("w") ** 2) @ equation.mass
        return found

    if precision == "single" and not inertial:  # before any work, as far as it is known
        far = np.max([coordinate_size(each) for each in equation.extremes], axis=0)
        _require_noise(tiles, law, least, grid.smallest / scale.time, equation, far / scale.length)
    if track:
        first_energy = energy(0.0)
    with parallel(min(len(tiles), threads or available_threads())) as each:
        while taken < len(readouts) and not interrupted():
            if readouts[taken] == done:
                present = together("x")
                _require_finite(present, scheme, grid, advice)
                for observer in observers:
                    observer(taken, present)
                states[taken if keep else 0] = present
                if precision == "single":
                    _require_noise(tiles, law, least, grid.smallest / scale.time, equation)
                taken += 1
                continue
            last = int(min(done + CHUNK, cuts[np.searchsorted(cuts, done, side="right")]))
            steps = scale.steps(grid.steps(done, last, plan))
            span = None
            if last - done <= SPAN and (done < SPAN or done >= total - SPAN):
                both = work >= _CHEAP or ghosts
                followed = [last_of_all] if done < SPAN else [0]
                followed = sorted({0, last_of_all}) if both else followed
                span = Span(law, key, bridge_key, steps, period, watch, tiles, followed, precision)

            def one(number: int, steps: kernels.LangevinSteps = steps) -> None:
                advance[number](steps, period, watch, track, cache)

            each(one, range(len(tiles)))
            _require_pieces(tiles, equation)
            if span is not None:
                span.verify()
            done = last
            if progress is not None:
                progress(done, total)
    times = grid.marks[grid.readouts[:taken]]
    tally = np.sum([tile.tally for tile in tiles], axis=0)
    columns = sum(tile.width for tile in tiles) * max(1, done)
    figures = (
        float(sum(tile.rates.sum() for tile in tiles)) / columns,
        max(float(tile.tally[kernels.MOST_OVER]) for tile in tiles),
        1.0 + float(tally[kernels.PIECES] - tally[kernels.REFINED]) / columns,
        np.concatenate([np.moveaxis(tile.check, 2, 0) for tile in tiles])
        * scale.length ** np.array([[1], [2], [2], [2]]),
        float(tiles[0].tally[kernels.COMPARED]),
    )
    if not track:
        return Paths(times, states[: taken if keep else 1], None, None, None, None, *figures)
    now = float(np.interp(done, grid.before, grid.marks))
    field, envelope = tiles[0].field[:n], tiles[0].field[n]
    shift = plan.acting(now) - (field if plan.own is None else field + envelope * plan.own)
    work = booked("work") - (together("x") * shift).sum(axis=1)
    return Paths(times, states[: taken if keep else 1], booked("heat"), work, first_energy, energy(now), *figures)


def _windows(law: kernels.Law, total: int, trajectories: int, row: int, work: float) -> tuple[int, int]:
    """Period of ghosts, ``row`` a tile, and how many of its steps have them.

    A ghost's piece costs about two steps of a column.
    """
    if law.scheme == kernels.LEIMKUHLER_MATTHEWS or not total:
        return 1, 0
    width = min(TILE, -(-trajectories // row) * row)
    share = 1.0 if work < _CHEAP else min(1.0, _WATCHED * width / (4 * row))
    period = int(np.clip(total // _WINDOWS, _SHORTEST, CHUNK))
    return period, max(SPAN + 1, int(share * min(period, total)))


def _require_finite(states: FloatArray, scheme: str, grid: Grid, advice: str) -> None:
    if not np.isfinite(states).all():
        raise UsageError(f"the {scheme} scheme blew up at a step of {grid.largest:.3g} s: {advice}")


def _require_noise(
    tiles: list[kernels.LangevinTile],
    law: kernels.Law,
    least: float,
    h: float,
    equation: Langevin,
    reach: FloatArray | float = 0.0,
) -> None:
    """Refuse single precision where a step's noise is not far above the rounding of what it is added to.

    ``least`` is the smallest factor on noise, ``reach`` (n,) how far coordinates will go at least, where they have not
    yet gone there.
    """

    def size(name: str) -> FloatArray:
        found = [np.square(tile.take(name)).sum(axis=0) for tile in tiles]
        return np.asarray(np.sqrt(np.sum(found, axis=0) / sum(tile.width for tile in tiles)))

    noise = least * law.deviation * np.sqrt(h)
    parts = [(noise, np.maximum(size("x"), reach))]
    if law.scheme == kernels.BAOAB:  # noise moves velocities, and these the coordinates
        parts = [(noise, size("w")), (h * size("w"), size("x"))]
    for moves, value in parts:
        share = np.where(law.mobility > 0, _ROUNDING * value / np.maximum(moves, 1e-300), 0.0)  # what is held may be
        k = int(np.argmax(share))
        if not share[k] * ROUNDINGS <= 1:
            raise UsageError(
                f"single precision rounds {equation.names[k]} by {share[k]:.2g} of what a step's noise does to it, and "
                f"{1 / ROUNDINGS:.2g} is the most: double precision would do, or larger steps"
            )


def _require_pieces(tiles: list[kernels.LangevinTile], equation: Langevin) -> None:
    stuck = [tile for tile in tiles if tile.tally[kernels.TOO_STIFF]]
    if stuck:
        far = np.abs(stuck[0].take("x")).max(axis=0)
        name = equation.names[int(np.argmax(_leverage(equation) * equation.cubic * np.nan_to_num(far, nan=0.0) ** 2))]
        raise UsageError(
            f"{name} is so far out that a step in {2.0**kernels.DEPTH:.0e} pieces is still too coarse: "
            "start closer to rest, or with smaller inputs"
        )


def _law(equation: Langevin, scheme: str, coarse: int, refined: bool) -> kernels.Law:
    n, varying = equation.n, equation.varying
    noise = equation.noise if varying is None else varying.noise
    deviation = np.sqrt((noise**2).sum(axis=1))
    factor: FloatArray = np.empty((0, 0))
    if ((noise != 0).sum(axis=0) > 1).any():
        together = noise @ noise.T
        factor = np.asarray(np.linalg.cholesky(together / np.outer(deviation, deviation) + 1e-14 * np.eye(n)))
    none = np.zeros(n)
    return kernels.Law(
        np.ascontiguousarray(equation.stiffness if varying is None else varying.couplers),
        np.ascontiguousarray(equation.quadratic),
        np.ascontiguousarray(equation.cubic),
        np.ascontiguousarray(_leverage(equation)),
        deviation,
        factor,
        none if equation.mass is None else 1.0 / (equation.mobility * equation.mass),
        none if equation.mass is None else np.ascontiguousarray(equation.mass),
        none if varying is None else np.ascontiguousarray(np.diag(equation.alone)),
        linear_rate(equation),
        SCHEMES[scheme],
        coarse,
        LIMIT[scheme] if refined else np.inf,
        int(varying is not None),
    )


def _in_time(plan: Schedule, ramp: Ramp, grid: Grid) -> Schedule:
    """A schedule with a ramp's factors, whose instants steps of the grid must end at."""
    inside = ramp.times[(ramp.times > 0) & (ramp.times < grid.marks[-1] * (1 - 1e-12))]
    gaps = np.abs(grid.marks[:, None] - inside).min(axis=0) if len(inside) else inside
    if (gaps > 1e-9 * grid.marks[-1]).any():
        raise UsageError("a device with a ramp is run in steps that end at the instants of the ramp: simulate it")
    return plan if plan.couplers is not None else plan.ramped(ramp)


def _tile(
    equation: Langevin,
    bounds: tuple[int, int],
    number: int,
    start: FloatArray | None,
    velocity: FloatArray | None,
    plan: Schedule,
    longest: int,
    precision: Precision,
    scale: Scale,
) -> kernels.LangevinTile:
    """Of the trajectories within ``bounds``; ``number`` is that of the first one's noise."""
    (first, end), driven = bounds, plan.own is not None
    tile = kernels.new_tile(equation.n, number, end - first, longest, precision, driven)
    speed = scale.length / scale.time
    for name, given, unit in (("x", start, scale.length), ("w", velocity, speed), ("own", plan.own, scale.force)):
        if given is not None:  # those beyond the last trajectory, which fill the panel, start as it does
            own = given if given.ndim == 1 else given[first:end]
            own = np.broadcast_to(own, (end - first, equation.n))
            tile.put(name, own[np.minimum(np.arange(tile.width), len(own) - 1)] / unit)
    tile.field[:] = plan.rows_at(np.zeros(1))[0]
    tile.field[: equation.n] /= scale.force
    return tile
