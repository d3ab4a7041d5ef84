"""Compiled loops of nonlinear Langevin equations: a tile of trajectories, step by step.

Arrays have a row for each coordinate and a column for each trajectory. A step is one product with
the stiffness, one block of normals, and one pass of the polynomial over the tile.

Noise by address (`spu.emulator.noise`): step k of the finest grid. A run that is ``coarse`` times
coarser adds up as many normals, so that runs at different steps follow the same Brownian path.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spu.compiled import compiled, declare, floats, inner, words
from spu.emulator.kernels import LANES, multiply
from spu.emulator.noise import BLOCK, WIDTH, fill_normals

FloatArray = NDArray[np.float64]
WordArray = NDArray[np.uint64]

_U = np.uint64

EULER_MARUYAMA, LEIMKUHLER_MATTHEWS, BAOAB = 0, 1, 2


class Law(NamedTuple):
    """The equation, and the step of ``h`` seconds.

    Attributes
    ----------
    stiffness:
        (n, n).
    quadratic, cubic:
        (n,) of the force.
    gain:
        (n,) ``h mobility``; of inertial equations ``h / (2 mass)``, of half a kick.
    factor:
        (n, n) that correlates the noises, or (0, 0) where they are independent.
    spread:
        (n,) of one step's noise, without ``factor``.
    decay:
        (n,) of the velocity in a step; unused where there is none.
    mass:
        (n,), for the kinetic energy.
    half:
        s, half a step.
    scheme:
        One of the constants above.
    coarse:
        Normals added up for one step.
    """

    stiffness: FloatArray
    quadratic: FloatArray
    cubic: FloatArray
    gain: FloatArray
    factor: FloatArray
    spread: FloatArray
    decay: FloatArray
    mass: FloatArray
    half: float
    scheme: int
    coarse: int


class Tile(NamedTuple):
    """A group of trajectories: (rows, width) arrays, and (width,) sums.

    Attributes
    ----------
    x, w:
        (n, width) coordinates and, of inertial equations, their velocities.
    pull:
        (n, width) ``stiffness @ x`` at the present x.
    noise, before, part:
        (blocks of n, width) this step's normals; of Leimkuhler-Matthews the step's before; scratch.
    steps, trajectories, words:
        Scratch of the generator.
    heat, work, stored:
        (width,) heat given to the bath and work done by the fields, of the potential; the energy
        without fields where the trajectory is.
    """

    x: FloatArray
    w: FloatArray
    pull: FloatArray
    noise: FloatArray
    before: FloatArray
    part: FloatArray
    steps: WordArray
    trajectories: WordArray
    words: WordArray
    heat: FloatArray
    work: FloatArray
    stored: FloatArray


declare(
    Law,
    stiffness=floats("n", "n"),
    quadratic=floats("n"),
    cubic=floats("n"),
    gain=floats("n"),
    factor=floats("factor", "factor"),
    spread=floats("n"),
    decay=floats("n"),
    mass=floats("n"),
)
declare(
    Tile,
    x=floats("n", "width", written=True),
    w=floats("n", "width", written=True),
    pull=floats("n", "width", written=True),
    noise=floats("noise", "width", written=True),
    before=floats("noise", "width", written=True),
    part=floats("noise", "width", written=True),
    steps=words("width", written=True),
    trajectories=words("width"),
    words=words(2, WIDTH, written=True),
    heat=floats("width", written=True),
    work=floats("width", written=True),
    stored=floats("width", written=True),
)


def _misfit(_blas: WordArray, tile: Tile, law: Law, *_: object) -> str | None:
    """What is wrong between the sizes of a tile and of a law, or None."""
    n, width = tile.x.shape
    if width != 1 and width % LANES:
        return f"{width} trajectories side by side: 1 or a multiple of {LANES}"
    if len(tile.noise) != -(-n // BLOCK) * BLOCK or len(law.factor) not in (0, n):
        return f"{len(tile.noise)} rows of noise and {len(law.factor)} of its factor for {n} coordinates"
    return None


@inner
def _draw(tile, law, key, step, block):  # type: ignore[no-untyped-def]
    """Normals of one step and one block of rows, into ``tile.noise``; of ``coarse`` finer steps added up."""
    rows = slice(BLOCK * block, BLOCK * (block + 1))
    width = tile.x.shape[1]
    for b in range(width):
        tile.steps[b] = _U(step) * _U(law.coarse)
    fill_normals(tile.noise[rows], _U(block), key, tile.steps, tile.trajectories, tile.words)
    for part in range(1, law.coarse):
        for b in range(width):
            tile.steps[b] = _U(step) * _U(law.coarse) + _U(part)
        fill_normals(tile.part[rows], _U(block), key, tile.steps, tile.trajectories, tile.words)
        for i in range(BLOCK * block, BLOCK * (block + 1)):
            for b in range(width):
                tile.noise[i, b] += tile.part[i, b]


@inner
def _draw_all(blas, tile, law, key, step):  # type: ignore[no-untyped-def]
    """Normals of one step, correlated where the law says so."""
    n, width = tile.x.shape
    for block in range(len(tile.noise) // BLOCK):
        _draw(tile, law, key, step, block)
    if len(law.factor):
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
def _move(tile, law, field, i):  # type: ignore[no-untyped-def]
    """Take coordinate i through a step; its normals are drawn."""
    width = tile.x.shape[1]
    x, noise, spread = tile.x[i], tile.noise[i], law.spread[i]
    if law.scheme == BAOAB:
        decay, half, w = law.decay[i], law.half, tile.w[i]
        for b in range(width):
            x[b] += half * w[b]
            w[b] = decay * w[b] + spread * noise[b]
            x[b] += half * w[b]
        return
    gain, constant, quadratic, cubic = law.gain[i], field[i], law.quadratic[i], law.cubic[i]
    pull = tile.pull[i]
    if law.scheme == LEIMKUHLER_MATTHEWS:
        before, spread = tile.before[i], 0.5 * spread
        for b in range(width):
            force = constant - pull[b] - (quadratic + cubic * x[b]) * x[b] * x[b]
            x[b] += gain * force + spread * (before[b] + noise[b])
            before[b] = noise[b]
        return
    for b in range(width):
        force = constant - pull[b] - (quadratic + cubic * x[b]) * x[b] * x[b]
        x[b] += gain * force + spread * noise[b]


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
def _kick(tile, law, field):  # type: ignore[no-untyped-def]
    """Half a kick: ``w += h / (2 mass) f(x)``."""
    n, width = tile.x.shape
    for i in range(n):
        gain, constant, quadratic, cubic = law.gain[i], field[i], law.quadratic[i], law.cubic[i]
        x, w, pull = tile.x[i], tile.w[i], tile.pull[i]
        for b in range(width):
            w[b] += gain * (constant - pull[b] - (quadratic + cubic * x[b]) * x[b] * x[b])


@inner
def _settle(blas, tile, law, field, after, change):  # type: ignore[no-untyped-def]
    """Book a step from where ``tile.stored`` was counted: ``change`` holds ``field . x`` of its start."""
    n, width = tile.x.shape
    multiply(blas, law.stiffness, tile.x, tile.pull, 0, width)
    for b in range(width):
        tile.heat[b] += tile.stored[b] - change[b]
    _stored(tile, law, tile.stored)
    for b in range(width):
        tile.heat[b] -= tile.stored[b]
    for i in range(n):
        constant, shift = field[i], after[i] - field[i]
        for b in range(width):
            tile.heat[b] += constant * tile.x[i, b]
            tile.work[b] -= shift * tile.x[i, b]


@compiled(_misfit, blas=words(2), key=words(2), fields=floats("instants", "n"))
def advance(blas, tile, law, key, fields, first, count, track):  # type: ignore[no-untyped-def]
    """Take ``count`` steps from step number ``first``.

    ``fields`` (count + 1, n), or (1, n) where they stay: row k acts during step k of these. With
    ``track`` heat and work are booked: heat along the chord at the step's field, work by the change
    of field at the step's end.
    """
    n, width = tile.x.shape
    moving = len(fields) > 1
    change = np.zeros(width)
    if law.scheme == BAOAB or track:
        multiply(blas, law.stiffness, tile.x, tile.pull, 0, width)
    if track:
        _stored(tile, law, tile.stored)
    ahead = 1 if law.scheme == LEIMKUHLER_MATTHEWS else 0
    if ahead:
        _draw_all(blas, tile, law, key, first)
        _keep_noise(tile)
    for k in range(count):
        field = fields[k if moving else 0]
        if track:
            for b in range(width):
                change[b] = 0.0
            for i in range(n):
                for b in range(width):
                    change[b] += field[i] * tile.x[i, b]
        if law.scheme == BAOAB:
            _kick(tile, law, field)
        elif not track:
            multiply(blas, law.stiffness, tile.x, tile.pull, 0, width)
        if len(law.factor):
            _draw_all(blas, tile, law, key, first + k + ahead)
            for i in range(n):
                _move(tile, law, field, i)
        else:  # a few rows at a time: their normals are still in the nearest cache
            for block in range(len(tile.noise) // BLOCK):
                _draw(tile, law, key, first + k + ahead, block)
                for i in range(BLOCK * block, min(n, BLOCK * (block + 1))):
                    _move(tile, law, field, i)
        if law.scheme == BAOAB:
            multiply(blas, law.stiffness, tile.x, tile.pull, 0, width)
            _kick(tile, law, field)
        if track:
            _settle(blas, tile, law, field, fields[k + 1 if moving else 0], change)
