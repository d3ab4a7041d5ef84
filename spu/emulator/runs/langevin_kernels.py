"""Compiled loops of nonlinear Langevin equations: a tile of trajectories, step by step.

Arrays have a row for each coordinate and a column for each trajectory. A step is one or two products with
the stiffness, one block of normals, and passes of the polynomial over the tile.

Noise by address (`spu.emulator.runs.noise`): step k of the grid. A run that is ``coarse`` times coarser adds up
as many normals, so that runs at different steps follow the same Brownian path.

Where a trajectory's own rate times the step is above the law's ``limit``, that trajectory takes the step
in halves, and these again, until it is not. Whether to halve is decided by the state and the force at the
beginning of a piece, never by noise to come, so the noise of the pieces is that of one Brownian path: the
increment of a piece is split into those of its halves by a bridge whose normals have addresses, too (step and
node of the tree of halves). So trajectories do not depend on one another, and a run with all steps halved
follows the same path: *ghosts*, a few of the columns, do just that, to tell what the step is worth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.base.compiled import compiled, declare, floats, inner, integers, words
from spu.emulator.runs.numba_noise import BLOCK, WIDTH, fill_normals
from spu.emulator.runs.numba_products import LANES, multiply

WordArray = NDArray[np.uint64]

_U = np.uint64

EULER_MARUYAMA, LEIMKUHLER_MATTHEWS, BAOAB, HEUN = 0, 1, 2, 3

DEPTH = 27
"""A step is halved so many times at most."""

STEP_BITS = 36
"""Of a bridge's address: the lower bits number the step, those above the node."""

_NODE = _U(STEP_BITS)

SUM_OF_RATES, MOST_OVER, REFINED, PIECES, TOO_STIFF, COMPARED = range(6)
"""Places in `Tile.tally`."""


class Law(NamedTuple):
    """The equation and how it is stepped.

    Attributes
    ----------
    stiffness:
        (n, n).
    quadratic, cubic:
        (n,) of the force.
    mobility:
        (n,); of inertial equations ``1/mass``.
    deviation:
        (n,) of the noise in sqrt(s), without ``factor``.
    factor:
        (n, n) that correlates the noises, or (0, 0) where they are independent.
    friction:
        (n,) 1/s at which velocities decay; zero where there are none.
    mass:
        (n,), for the kinetic energy.
    linear:
        Norm of ``mobility stiffness``, symmetrised: a bound of its rates (of squared frequencies where inertial).
    scheme:
        One of the constants above.
    coarse:
        Normals added up for one step.
    limit:
        Rate times step up to which a step is taken in one; infinite where it always is.
    """

    stiffness: FloatArray
    quadratic: FloatArray
    cubic: FloatArray
    mobility: FloatArray
    deviation: FloatArray
    factor: FloatArray
    friction: FloatArray
    mass: FloatArray
    linear: float
    scheme: int
    coarse: int
    limit: float


class Steps(NamedTuple):
    """Consecutive steps, and the fields during them.

    Attributes
    ----------
    first:
        Number of the first one.
    sizes:
        (count,) s.
    segment, begin, end:
        (count,): the field goes from a share ``begin`` to a share ``end`` of the way between rows
        ``segment`` and ``segment + 1`` of ``fields``.
    fields:
        (k, n), k > 1.
    """

    first: int
    sizes: FloatArray
    segment: IntArray
    begin: FloatArray
    end: FloatArray
    fields: FloatArray


class Tile(NamedTuple):
    """A group of trajectories: (rows, width) arrays, and (width,) sums.

    Attributes
    ----------
    x, w:
        (n, width) coordinates and, of inertial equations, their velocities.
    pull, force, trial:
        (n, width) ``stiffness @ x``, the force, and where a step is expected to end.
    noise, before, part:
        (blocks of n, width) this step's normals; of Leimkuhler-Matthews the step's before; scratch.
    steps, trajectories, words:
        Scratch of the generator.
    heat, work, stored:
        (width,) heat given to the bath and work done by the fields, of the potential; the energy
        without fields where the trajectory is.
    rate:
        (width,) bound of the fastest rate at this step.
    field:
        (n,) the one that acts.
    ghost, ghost_w, origin:
        (n, LANES) the first trajectories in steps of half the size, and where they set out from theirs.
    open:
        (1,) whether there are ghosts at present.
    check:
        (4, n, LANES) sums over comparisons with ghosts: x - ghost; of the squares of what is left of both
        without the tile's mean, their difference, and that of x; squared way from ``origin``.
    tally:
        (6,) sums, see above.
    """

    x: FloatArray
    w: FloatArray
    pull: FloatArray
    force: FloatArray
    trial: FloatArray
    noise: FloatArray
    before: FloatArray
    part: FloatArray
    steps: WordArray
    trajectories: WordArray
    words: WordArray
    heat: FloatArray
    work: FloatArray
    stored: FloatArray
    rate: FloatArray
    field: FloatArray
    ghost: FloatArray
    ghost_w: FloatArray
    origin: FloatArray
    open: IntArray
    check: FloatArray
    tally: FloatArray


def new_tile(n: int, first: int, width: int) -> Tile:
    """Trajectories ``first`` to ``first + width`` at zero; ``width`` is a multiple of `LANES`."""
    rows = -(-n // BLOCK) * BLOCK
    return Tile(
        **{key: np.zeros((n, width)) for key in ("x", "w", "pull", "force", "trial")},
        **{key: np.zeros((rows, width)) for key in ("noise", "before", "part")},
        steps=np.zeros(width, dtype=np.uint64),
        trajectories=np.arange(first, first + width, dtype=np.uint64),
        words=np.zeros((2, WIDTH), dtype=np.uint64),
        **{key: np.zeros(width) for key in ("heat", "work", "stored", "rate")},
        field=np.zeros(n),
        **{key: np.zeros((n, LANES)) for key in ("ghost", "ghost_w", "origin")},
        open=np.zeros(1, dtype=np.int64),
        check=np.zeros((4, n, LANES)),
        tally=np.zeros(6),
    )


declare(
    Law,
    stiffness=floats("n", "n"),
    quadratic=floats("n"),
    cubic=floats("n"),
    mobility=floats("n"),
    deviation=floats("n"),
    factor=floats("factor", "factor"),
    friction=floats("n"),
    mass=floats("n"),
)


declare(
    Steps,
    sizes=floats("count"),
    segment=integers("count"),
    begin=floats("count"),
    end=floats("count"),
    fields=floats("instants", "n"),
)


declare(
    Tile,
    x=floats("n", "width", written=True),
    w=floats("n", "width", written=True),
    pull=floats("n", "width", written=True),
    force=floats("n", "width", written=True),
    trial=floats("n", "width", written=True),
    noise=floats("rows", "width", written=True),
    before=floats("rows", "width", written=True),
    part=floats("rows", "width", written=True),
    steps=words("width", written=True),
    trajectories=words("width"),
    words=words(2, WIDTH, written=True),
    heat=floats("width", written=True),
    work=floats("width", written=True),
    stored=floats("width", written=True),
    rate=floats("width", written=True),
    field=floats("n", written=True),
    ghost=floats("n", LANES, written=True),
    ghost_w=floats("n", LANES, written=True),
    origin=floats("n", LANES, written=True),
    open=integers(1, written=True),
    check=floats(4, "n", LANES, written=True),
    tally=floats(6, written=True),
)


def _misfit(_blas: WordArray, tile: Tile, law: Law, *_: object) -> str | None:
    """What is wrong between the sizes of a tile and of a law, or None."""
    n, width = tile.x.shape
    if width % LANES:
        return f"{width} trajectories side by side: a multiple of {LANES}"
    if len(tile.noise) != -(-n // BLOCK) * BLOCK or len(law.factor) not in (0, n):
        return f"{len(tile.noise)} rows of noise and {len(law.factor)} of its factor for {n} coordinates"
    return None


class _Room(NamedTuple):
    """Scratch of `_refine`: (n, columns) and (columns,) arrays of the trajectories that are under way.

    ``increment`` is the noise of the present piece, ``later[L]`` that of the next piece of level L; ``x_end``
    and ``w_end`` are where they arrive, in their first order. ``position`` counts pieces of the last level;
    pieces are of level ``base`` or finer, and of a rate of at most ``limit``.
    """

    x: FloatArray
    w: FloatArray
    increment: FloatArray
    pull: FloatArray
    force: FloatArray
    trial: FloatArray
    x_end: FloatArray
    w_end: FloatArray
    later: FloatArray
    drawn: FloatArray
    part: FloatArray
    rate: FloatArray
    size: FloatArray
    lift: FloatArray
    lift_end: FloatArray
    position: IntArray
    level: IntArray
    column: IntArray
    pieces: IntArray
    picked: IntArray
    base: IntArray
    limit: FloatArray
    trajectory: WordArray
    addresses: WordArray
    whose: WordArray
    words: WordArray


@inner
def _room(n, columns):  # type: ignore[no-untyped-def]
    rows = (n + BLOCK - 1) // BLOCK * BLOCK
    return _Room(
        np.zeros((n, columns)),
        np.zeros((n, columns)),
        np.zeros((n, columns)),
        np.zeros((n, columns)),
        np.zeros((n, columns)),
        np.zeros((n, columns)),
        np.zeros((n, columns)),
        np.zeros((n, columns)),
        np.empty((DEPTH + 1, n, columns)),
        np.empty((rows, LANES)),
        np.empty((rows, LANES)),
        np.zeros(columns),
        np.zeros(columns),
        np.zeros(columns),
        np.zeros(columns),
        np.zeros(columns, dtype=np.int64),
        np.zeros(columns, dtype=np.int64),
        np.zeros(columns, dtype=np.int64),
        np.zeros(columns, dtype=np.int64),
        np.zeros(columns, dtype=np.int64),
        np.zeros(columns, dtype=np.int64),
        np.zeros(columns),
        np.zeros(columns, dtype=np.uint64),
        np.zeros(LANES, dtype=np.uint64),
        np.zeros(LANES, dtype=np.uint64),
        np.zeros((2, WIDTH), dtype=np.uint64),
    )


# --- noise ----------------------------------------------------------------------------------


@inner
def _draw(tile, law, key, step, block):  # type: ignore[no-untyped-def]
    """Normals of one step and one block of rows, into ``tile.noise``; of ``coarse`` finer steps added up."""
    rows = slice(BLOCK * block, BLOCK * (block + 1))
    width = tile.x.shape[1]
    for part in range(law.coarse):
        for b in range(width):
            tile.steps[b] = _U(step) * _U(law.coarse) + _U(part)
        into = tile.part if part else tile.noise
        fill_normals(into[rows], _U(block), key, tile.steps, tile.trajectories, tile.words)
        if part:
            for i in range(BLOCK * block, BLOCK * (block + 1)):
                for b in range(width):
                    tile.noise[i, b] += tile.part[i, b]


@inner
def _correlate(blas, tile, law):  # type: ignore[no-untyped-def]
    n, width = tile.x.shape
    for i in range(n):
        for b in range(width):
            tile.part[i, b] = tile.noise[i, b]
    multiply(blas, law.factor, tile.part, tile.noise, 0, width)


@inner
def _keep_noise(tile):  # type: ignore[no-untyped-def]
    for i in range(len(tile.x)):
        for b in range(tile.x.shape[1]):
            tile.before[i, b] = tile.noise[i, b]


@inner
def _spread(law, h, spread, decay):  # type: ignore[no-untyped-def]
    """Of a step of ``h``: the noise's deviation (of coordinates, or of velocities) and the velocities' decay."""
    for i in range(len(spread)):
        if law.scheme == BAOAB:
            rate = law.friction[i]
            decay[i] = np.exp(-rate * h)
            spread[i] = law.deviation[i] * np.sqrt(-np.expm1(-2 * rate * h) / (2 * rate) / law.coarse)
        else:
            decay[i] = 1.0
            spread[i] = law.deviation[i] * np.sqrt(h / law.coarse)


# --- a step of all --------------------------------------------------------------------------


@inner
def _forces(law, x, pull, field, force, width):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        constant, quadratic, cubic = field[i], law.quadratic[i], law.cubic[i]
        for b in range(width):
            force[i, b] = constant - pull[i, b] - (quadratic + cubic * x[i, b]) * x[i, b] * x[i, b]


@inner
def _rates(law, x, w, force, change, sizes, rate, width):  # type: ignore[no-untyped-def]
    """Rate times step of each column: a bound over where the step sets out from and where it is bound for."""
    for b in range(width):
        rate[b] = 0.0
    inertial = law.scheme == BAOAB
    for i in range(len(x)):
        mobility, bend, curve, more = law.mobility[i], 2 * abs(law.quadratic[i]), 3 * law.cubic[i], abs(change[i])
        if inertial:
            for b in range(width):
                h = sizes[b]
                reach = abs(x[i, b]) + h * (abs(w[i, b]) + h * mobility * (abs(force[i, b]) + more))
                rate[b] = max(rate[b], mobility * (bend + curve * reach) * reach)
        else:
            for b in range(width):
                reach = abs(x[i, b]) + sizes[b] * mobility * (abs(force[i, b]) + more)
                rate[b] = max(rate[b], mobility * (bend + curve * reach) * reach)
    for b in range(width):
        rate[b] = sizes[b] * (np.sqrt(rate[b] + law.linear) if inertial else rate[b] + law.linear)


@inner
def _move(tile, law, h, spread, decay, i):  # type: ignore[no-untyped-def]
    """Take coordinate i through a step, of Heun's the first stage; its normals are drawn."""
    width = tile.x.shape[1]
    x, noise, force, s = tile.x[i], tile.noise[i], tile.force[i], spread[i]
    if law.scheme == BAOAB:
        fade, half, w = decay[i], 0.5 * h, tile.w[i]
        for b in range(width):
            x[b] += half * w[b]
            w[b] = fade * w[b] + s * noise[b]
            x[b] += half * w[b]
        return
    gain = h * law.mobility[i]
    if law.scheme == LEIMKUHLER_MATTHEWS:
        before, s = tile.before[i], 0.5 * s
        for b in range(width):
            x[b] += gain * force[b] + s * (before[b] + noise[b])
            before[b] = noise[b]
        return
    if law.scheme == HEUN:
        trial, half = tile.trial[i], 0.5 * gain
        for b in range(width):
            kick = s * noise[b]
            trial[b] = x[b] + gain * force[b] + kick
            x[b] += half * force[b] + kick
        return
    for b in range(width):
        x[b] += gain * force[b] + s * noise[b]


@inner
def _heun(law, x, trial, pull, field, sizes, width):  # type: ignore[no-untyped-def]
    """The second half of Heun's step: ``x += h/2 mobility f(trial)``; ``pull`` is that of ``trial``."""
    for i in range(len(x)):
        constant, quadratic, cubic = field[i], law.quadratic[i], law.cubic[i]
        half = 0.5 * law.mobility[i]
        for b in range(width):
            y = trial[i, b]
            x[i, b] += half * sizes[b] * (constant - pull[i, b] - (quadratic + cubic * y) * y * y)


@inner
def _kick(law, w, force, sizes, width):  # type: ignore[no-untyped-def]
    """Half a kick: ``w += h / (2 mass) f(x)``."""
    for i in range(len(w)):
        half = 0.5 * law.mobility[i]
        for b in range(width):
            w[i, b] += half * sizes[b] * force[i, b]


@inner
def _stored(tile, law, into):  # type: ignore[no-untyped-def]
    """Energy of each trajectory without fields; ``tile.pull`` must be that of x."""
    n, width = tile.x.shape
    for b in range(width):
        into[b] = 0.0
    for i in range(n):
        third, quarter = law.quadratic[i] / 3, law.cubic[i] / 4
        for b in range(width):
            x = tile.x[i, b]
            into[b] += x * (0.5 * tile.pull[i, b] + x * x * (third + quarter * x))
    if law.scheme == BAOAB:
        for i in range(n):
            half = 0.5 * law.mass[i]
            for b in range(width):
                into[b] += half * tile.w[i, b] * tile.w[i, b]


@inner
def _change_field(tile, mean, track):  # type: ignore[no-untyped-def]
    """Let the field of a step act: work is done at fixed state."""
    n, width = tile.x.shape
    for i in range(n):
        shift = mean[i] - tile.field[i]
        if track and shift != 0.0:
            for b in range(width):
                tile.work[b] -= shift * tile.x[i, b]
        tile.field[i] = mean[i]


@inner
def _settle(blas, tile, law, lift):  # type: ignore[no-untyped-def]
    """Book the heat of a step from where ``tile.stored`` was counted; ``lift`` is what the fields gave."""
    width = tile.x.shape[1]
    multiply(blas, law.stiffness, tile.x, tile.pull, 0, width)
    for b in range(width):
        tile.heat[b] += tile.stored[b] + lift[b]
    _stored(tile, law, tile.stored)
    for b in range(width):
        tile.heat[b] -= tile.stored[b]


# --- steps in pieces ------------------------------------------------------------------------


@inner
def _bridge(law, i, half):  # type: ignore[no-untyped-def]
    """Noise of two pieces of ``half`` seconds: weight of the sum in the first, deviation beside it, decay.

    With ``total = decay first + second``, both of variance v, the first one is ``decay/(1 + decay^2) total``
    and a normal of variance ``v/(1 + decay^2)``, independent of it.
    """
    if law.scheme != BAOAB:
        return 0.5, law.deviation[i] * np.sqrt(0.5 * half), 1.0
    rate = law.friction[i]
    decay = np.exp(-rate * half)
    variance = law.deviation[i] ** 2 * (-np.expm1(-2 * rate * half) / (2 * rate))
    return decay / (1 + decay * decay), np.sqrt(variance / (1 + decay * decay)), decay


@inner
def _halve(blas, law, room, key, number, h, count):  # type: ignore[no-untyped-def]
    """Split the present piece of the ``count`` trajectories ``room.picked`` into two, `LANES` at a time."""
    n = len(room.x)
    for first in range(0, count, LANES):
        lanes = min(LANES, count - first)
        for j in range(LANES):
            c = room.picked[first + min(j, lanes - 1)]
            node = (1 << room.level[c]) + (room.position[c] >> (DEPTH - room.level[c]))
            room.addresses[j] = (_U(node) << _NODE) | _U(number)
            room.whose[j] = room.trajectory[c]
        fill_normals(room.drawn, _U(0), key, room.addresses, room.whose, room.words)
        if len(law.factor):
            for i in range(len(room.drawn)):
                for j in range(LANES):
                    room.part[i, j] = room.drawn[i, j]
            multiply(blas, law.factor, room.part, room.drawn, 0, LANES)
        for j in range(lanes):
            c = room.picked[first + j]
            room.level[c] += 1
            room.size[c] = h / (1 << room.level[c])
        for i in range(n):
            for j in range(lanes):
                c = room.picked[first + j]
                weight, deviation, decay = _bridge(law, i, room.size[c])
                total = room.increment[i, c]
                half = weight * total + deviation * room.drawn[i, j]
                room.increment[i, c] = half
                room.later[room.level[c], i, c] = total - decay * half


@inner
def _refine(blas, law, room, key, number, h, begin, change, count):  # type: ignore[no-untyped-def]
    """Take ``count`` trajectories through step ``number`` in pieces.

    ``room.x``, ``w``, ``increment``, ``trajectory``, ``base`` and ``limit`` are theirs at its beginning. Returns
    whether `DEPTH` levels were enough.
    """
    n = len(room.x)
    end = 1 << DEPTH
    for c in range(count):
        room.position[c], room.level[c], room.column[c], room.size[c], room.lift[c] = 0, 0, c, h, 0.0
        room.pieces[c] = 0
    while count > 0:
        width = (count + LANES - 1) // LANES * LANES
        multiply(blas, law.stiffness, room.x, room.pull, 0, width)
        for i in range(n):
            quadratic, cubic = law.quadratic[i], law.cubic[i]
            for b in range(count):
                # The field in the middle of a piece; before it is chosen, at its beginning.
                field = begin[i] + change[i] * (room.position[b] / end)
                x = room.x[i, b]
                room.force[i, b] = field - room.pull[i, b] - (quadratic + cubic * x) * x * x
        while True:
            _rates(law, room.x, room.w, room.force, change, room.size, room.rate, count)
            picked = 0
            for b in range(count):
                if room.level[b] < room.base[b] or room.rate[b] > room.limit[b]:
                    if room.level[b] == DEPTH:
                        return False
                    room.picked[picked] = b
                    picked += 1
            if picked == 0:
                break
            _halve(blas, law, room, key, number, h, picked)
        # Fields move on by half a piece.
        for i in range(n):
            if change[i] != 0.0:
                for b in range(count):
                    room.force[i, b] += 0.5 * change[i] * room.size[b] / h
        _piece(blas, law, room, begin, change, h, count, width)
        b = 0
        while b < count:
            room.position[b] += end >> room.level[b]
            room.pieces[room.column[b]] += 1
            if room.position[b] < end:
                level = DEPTH
                position = room.position[b]
                while position & 1 == 0:
                    position >>= 1
                    level -= 1
                room.level[b] = level
                room.size[b] = h / (1 << level)
                for i in range(n):
                    room.increment[i, b] = room.later[level, i, b]
                b += 1
                continue
            c = room.column[b]
            for i in range(n):
                room.x_end[i, c] = room.x[i, b]
                room.w_end[i, c] = room.w[i, b]
            room.lift_end[c] = room.lift[b]
            count -= 1
            if b < count:  # the last one takes its place
                for i in range(n):
                    room.x[i, b] = room.x[i, count]
                    room.w[i, b] = room.w[i, count]
                    room.increment[i, b] = room.increment[i, count]
                for level in range(1, room.level[count] + 1):
                    for i in range(n):
                        room.later[level, i, b] = room.later[level, i, count]
                room.position[b], room.level[b] = room.position[count], room.level[count]
                room.column[b], room.size[b] = room.column[count], room.size[count]
                room.lift[b], room.trajectory[b] = room.lift[count], room.trajectory[count]
                room.base[b], room.limit[b] = room.base[count], room.limit[count]
    return True


@inner
def _piece(blas, law, room, begin, change, h, count, width):  # type: ignore[no-untyped-def]
    """One piece of each trajectory under way; ``room.force`` is the force at its field, in its middle."""
    n = len(room.x)
    end = 1 << DEPTH
    for i in range(n):  # what the fields give is counted from here
        for b in range(count):
            field = begin[i] + change[i] * (room.position[b] / end + 0.5 * room.size[b] / h)
            room.lift[b] -= field * room.x[i, b]
    if law.scheme == BAOAB:
        _kick(law, room.w, room.force, room.size, count)
        for i in range(n):
            for b in range(count):
                half = 0.5 * room.size[b]
                room.x[i, b] += half * room.w[i, b]
                room.w[i, b] = np.exp(-law.friction[i] * room.size[b]) * room.w[i, b] + room.increment[i, b]
                room.x[i, b] += half * room.w[i, b]
    else:
        for i in range(n):
            for b in range(count):
                gain = law.mobility[i] * room.size[b]
                room.trial[i, b] = room.x[i, b] + gain * room.force[i, b] + room.increment[i, b]
    if law.scheme != EULER_MARUYAMA:
        multiply(blas, law.stiffness, room.x if law.scheme == BAOAB else room.trial, room.pull, 0, width)
    for i in range(n):
        quadratic, cubic = law.quadratic[i], law.cubic[i]
        for b in range(count):
            field = begin[i] + change[i] * (room.position[b] / end + 0.5 * room.size[b] / h)
            if law.scheme == EULER_MARUYAMA:
                room.x[i, b] = room.trial[i, b]
            else:
                y = room.trial[i, b] if law.scheme == HEUN else room.x[i, b]
                force = field - room.pull[i, b] - (quadratic + cubic * y) * y * y
                half = 0.5 * law.mobility[i] * room.size[b]
                if law.scheme == HEUN:
                    room.x[i, b] += half * (room.force[i, b] + force) + room.increment[i, b]
                else:
                    room.w[i, b] += half * force
            room.lift[b] += field * room.x[i, b]


@inner
def _enter(law, room, tile, x, w, place, column, ghost):  # type: ignore[no-untyped-def]
    """Write down at ``place`` from where a trajectory, or its ghost, takes the step in pieces."""
    room.trajectory[place] = tile.trajectories[column]
    room.base[place] = 1 if ghost else 0
    room.limit[place] = 0.5 * law.limit if ghost else law.limit
    for i in range(len(x)):
        room.x[i, place], room.w[i, place] = x[i, column], w[i, column]


@inner
def _take_pieces(blas, tile, law, room, key, number, h, spread, begin, change, flagged, refined, ghosts, lift):  # type: ignore[no-untyped-def]
    """Take the trajectories ``flagged[:refined]``, and then ghosts if there are any, through the step."""
    n = len(tile.x)
    count = refined + ghosts
    for c in range(count):
        b = flagged[c] if c < refined else c - refined
        for i in range(n):
            room.increment[i, c] = spread[i] * tile.noise[i, b]
    if not _refine(blas, law, room, key, number, h, begin, change, count):
        tile.tally[TOO_STIFF] = 1
        return
    for c in range(refined):
        b = flagged[c]
        tile.tally[REFINED] += 1
        tile.tally[PIECES] += room.pieces[c]
        # The mean field acts all the time in the books: what the field gave beyond that is work, and heat.
        more = room.lift_end[c] - lift[b]
        for i in range(n):
            more -= tile.field[i] * room.x_end[i, c]
        tile.work[b] += more
        lift[b] += more
        for i in range(n):
            tile.x[i, b], tile.w[i, b] = room.x_end[i, c], room.w_end[i, c]
    for b in range(ghosts):
        for i in range(n):
            tile.ghost[i, b], tile.ghost_w[i, b] = room.x_end[i, refined + b], room.w_end[i, refined + b]


# --- ghosts ---------------------------------------------------------------------------------


@inner
def _set_out(tile):  # type: ignore[no-untyped-def]
    """Send out ghosts from where the first trajectories are."""
    for i in range(len(tile.x)):
        for b in range(LANES):
            tile.ghost[i, b] = tile.origin[i, b] = tile.x[i, b]
            tile.ghost_w[i, b] = tile.w[i, b]
    tile.open[0] = 1


@inner
def _compare(tile):  # type: ignore[no-untyped-def]
    """Add up how far ghosts are from their trajectories."""
    n, width = tile.x.shape
    for i in range(n):
        mean = tile.x[i].sum() / width
        for b in range(LANES):
            x, y = tile.x[i, b], tile.ghost[i, b]
            tile.check[0, i, b] += x - y
            tile.check[1, i, b] += (x - mean) ** 2 - (y - mean) ** 2
            tile.check[2, i, b] += (x - mean) ** 2
            tile.check[3, i, b] += (x - tile.origin[i, b]) ** 2
    tile.tally[COMPARED] += 1


# --- all of it ------------------------------------------------------------------------------


@compiled(_misfit, blas=words(2), key=words(2), bridge_key=words(2))
def advance(blas, tile, law, key, bridge_key, steps, period, watch, track):  # type: ignore[no-untyped-def]
    """Take the steps.

    The first ``watch`` of every ``period`` steps have ghosts; they are compared at the end of these, and of
    each call. With ``track`` heat and work are booked: work by the change of field at the beginning of a step,
    heat along the chord at the mean field of the step, which is the one that acts.
    """
    n, width = tile.x.shape
    spread, decay, sizes = np.empty(n), np.empty(n), np.empty(width)
    begin, change, mean = np.empty(n), np.empty(n), np.empty(n)
    lift = np.zeros(width)
    flagged = np.empty(width, dtype=np.int64)
    places = LANES if watch > 0 else 0
    room = _room(n, places)
    last, known = 0.0, False
    count = len(steps.sizes)
    ahead = 1 if law.scheme == LEIMKUHLER_MATTHEWS else 0
    for k in range(-ahead, count):
        number, h = steps.first + k, steps.sizes[max(k, 0)]
        refined, ghosts = 0, 0
        if k >= 0:
            if h != last:
                _spread(law, h, spread, decay)
                sizes[:] = h
                last = h
            row = steps.segment[k]
            for i in range(n):
                low, span = steps.fields[row, i], steps.fields[row + 1, i] - steps.fields[row, i]
                begin[i] = low + steps.begin[k] * span
                change[i] = (steps.end[k] - steps.begin[k]) * span
                mean[i] = begin[i] + 0.5 * change[i]
            if watch > 0 and number % period == 0:
                _set_out(tile)
            ghosts = LANES if watch > 0 and tile.open[0] == 1 else 0
            if not known:
                multiply(blas, law.stiffness, tile.x, tile.pull, 0, width)
            if track and k == 0:
                _stored(tile, law, tile.stored)
            _change_field(tile, mean, track)
            _forces(law, tile.x, tile.pull, mean, tile.force, width)
            _rates(law, tile.x, tile.w, tile.force, change, sizes, tile.rate, width)
            over = 0
            for b in range(width):
                tile.tally[SUM_OF_RATES] += tile.rate[b]
                over += 1 if tile.rate[b] > 1.0 else 0
                if tile.rate[b] > law.limit:
                    flagged[refined] = b
                    refined += 1
            tile.tally[MOST_OVER] = max(tile.tally[MOST_OVER], over / width)
            if refined + ghosts > places:
                places = width + LANES
                room = _room(n, places)
            for c in range(refined):
                _enter(law, room, tile, tile.x, tile.w, c, flagged[c], False)
            for b in range(ghosts):
                _enter(law, room, tile, tile.ghost, tile.ghost_w, refined + b, b, True)
            if track:
                for b in range(width):
                    lift[b] = 0.0
                for i in range(n):
                    for b in range(width):
                        lift[b] -= mean[i] * tile.x[i, b]
            if law.scheme == BAOAB:
                _kick(law, tile.w, tile.force, sizes, width)
        together = len(law.factor) > 0
        for block in range(len(tile.noise) // BLOCK):
            _draw(tile, law, key, number + ahead, block)
            if not together and k >= 0:  # a few rows at a time: their normals are still in the nearest cache
                for i in range(BLOCK * block, min(n, BLOCK * (block + 1))):
                    _move(tile, law, h, spread, decay, i)
        if together:
            _correlate(blas, tile, law)
        if k < 0:
            _keep_noise(tile)
            continue
        if together:
            for i in range(n):
                _move(tile, law, h, spread, decay, i)
        known = law.scheme == BAOAB
        if law.scheme == BAOAB or law.scheme == HEUN:
            multiply(blas, law.stiffness, tile.x if known else tile.trial, tile.pull, 0, width)
        if law.scheme == BAOAB:
            _forces(law, tile.x, tile.pull, mean, tile.force, width)
            _kick(law, tile.w, tile.force, sizes, width)
        elif law.scheme == HEUN:
            _heun(law, tile.x, tile.trial, tile.pull, mean, sizes, width)
        if refined + ghosts > 0:
            _take_pieces(
                blas, tile, law, room, bridge_key, number, h, spread, begin, change, flagged, refined, ghosts, lift
            )
            known = known and refined == 0
            if tile.tally[TOO_STIFF] > 0:
                return
        if track:
            for i in range(n):
                for b in range(width):
                    lift[b] += mean[i] * tile.x[i, b]
            _settle(blas, tile, law, lift)
            known = True
        if ghosts and number % period == watch - 1:
            _compare(tile)
            tile.open[0] = 0
    if tile.open[0] == 1:
        _compare(tile)
