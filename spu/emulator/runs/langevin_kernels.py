"""Compiled loops of nonlinear Langevin equations: a tile of trajectories, step by step.

A *tile* is a group of trajectories, cut into *panels*: of each coordinate so many trajectories lie side by side
(`spu.base.kernels.products.panel`). A step is one or two products with the stiffness, a block of normals, and passes
of the polynomial over a panel, all in the nearest cache; the loops: ``spu/base/kernels/c/langevin.inc``. Every sum has
a stated order, and none but those of comparisons with ghosts goes across trajectories. So the bits of a trajectory
depend neither on the processor, nor on threads, nor on how many others there are.

Fields may be the same for all trajectories, and each may have some of its own beside, times a factor that all have at
the time: they are added where forces are, and cost nothing where there are none. So it is with a factor on all
couplings (a ramp): what a step takes is the one in its middle. Noise is of one strength during a step, whose variance
is that of the ramp over it: a bridge of halved steps is then that of one Brownian path. Both are of second order in
the step.

Noise by address (`spu.emulator.runs.noise`): step k of the grid. A run that is ``coarse`` times coarser adds up
as many normals, so that runs at different steps follow the same Brownian path.

Where a trajectory's own rate times the step is above the law's ``limit``, that trajectory takes the step
in halves, and these again, until it is not. Whether to halve is decided by the state and the force at the
beginning of a piece, never by noise to come, so the noise of the pieces is that of one Brownian path: the
increment of a piece is split into those of its halves by a bridge whose normals have addresses, too (step and
node of the tree of halves). So trajectories do not depend on one another, and a run with all steps halved
follows the same path: *ghosts* of the first panel's trajectories do just that, to tell what the step is worth.

In single precision states, products, forces and normals are floats, these of the same bits as in double precision;
energies, times and what decides about halving are doubles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.base.kernels.door import FORMATS, Kernel, Precision, aligned, declare, floats, integers, reals, words
from spu.base.kernels.products import Packed, pack, panel
from spu.emulator.runs.noise import BLOCK

WordArray = NDArray[np.uint64]
RealArray = NDArray[Any]

EULER_MARUYAMA, LEIMKUHLER_MATTHEWS, BAOAB, HEUN = 0, 1, 2, 3

DEPTH = 27
"""A step is halved so many times at most."""

STEP_BITS = 36
"""Of a bridge's address: the lower bits number the step, those above the node."""

MOST_OVER, REFINED, PIECES, TOO_STIFF, COMPARED = range(5)
"""Places in `LangevinTile.tally`: largest share of trajectories with z above 1 at a step; steps in pieces, and
their pieces; whether `DEPTH` was not enough; comparisons with ghosts."""

CONSTANTS = 11
"""Numbers that the loops keep of each coordinate for a size of step."""

FACTORS = 3
"""Behind the fields of all trajectories: factors on those that each has of its own, on couplings, on noise."""


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
    slope:
        (n,) of the force's own linear term, where couplings are ramped: ``stiffness`` is that of couplings alone then,
        and has their factor. Else zero, and all is in ``stiffness``.
    linear:
        Norm of ``mobility stiffness``, symmetrised: a bound of its rates (of squared frequencies where inertial), at
        any factor.
    scheme:
        One of the constants above.
    coarse:
        Normals added up for one step.
    limit:
        Rate times step up to which a step is taken in one; infinite where it always is.
    ramped:
        Whether couplings have a factor.
    """

    stiffness: FloatArray
    quadratic: FloatArray
    cubic: FloatArray
    mobility: FloatArray
    deviation: FloatArray
    factor: FloatArray
    friction: FloatArray
    mass: FloatArray
    slope: FloatArray
    linear: float
    scheme: int
    coarse: int
    limit: float
    ramped: int


class LangevinLaw(NamedTuple):
    """A `Law` as the loops take it."""

    stiffness: Packed
    factor: Packed
    quadratic: FloatArray
    cubic: FloatArray
    mobility: FloatArray
    deviation: FloatArray
    friction: FloatArray
    mass: FloatArray
    slope: FloatArray
    linear: float
    scheme: int
    coarse: int
    limit: float
    ramped: int


class LangevinSteps(NamedTuple):
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
        (k, n + `FACTORS`), k > 1; behind the fields of all trajectories the factors on those that each has of its own,
        on couplings, and on the amplitude of noise, which is of one strength during a step.
    """

    first: int
    sizes: FloatArray
    segment: IntArray
    begin: FloatArray
    end: FloatArray
    fields: FloatArray


class LangevinRoom(NamedTuple):
    """What steps in pieces need: a lane for each trajectory that is under way.

    Attributes
    ----------
    x, w, increment, pull, force, trial:
        (n, row) states, the noise of the present piece, and scratch.
    later:
        (DEPTH + 1, n, row) noise of the next piece of each level.
    drawn, part:
        (blocks of n, row) normals of bridges; scratch.
    weight, beside, decay:
        (DEPTH + 1, n) how the noise of two pieces of a level is split, and how velocities decay in one.
    own:
        (n, row) the trajectories' own fields.
    """

    x: RealArray
    w: RealArray
    increment: RealArray
    pull: RealArray
    force: RealArray
    trial: RealArray
    later: RealArray
    drawn: RealArray
    part: RealArray
    weight: RealArray
    beside: RealArray
    decay: RealArray
    own: RealArray


class LangevinTile(NamedTuple):
    """A group of trajectories, in panels: (panels, n, row) arrays; energies and sums (panels, row) in doubles.

    Attributes
    ----------
    trajectory:
        Number of the first.
    x, w:
        (panels, n, row) coordinates and, of inertial equations, their velocities.
    next_x, next_w, trial, pull:
        (panels, n, row) where a step leads; where it is expected to end; ``stiffness @ x``.
    own:
        (panels, n, row) fields of each trajectory alone, to be multiplied by their factor at the time; or (0, n, row).
    noise, before, part:
        (panels, blocks of n, row) this step's normals; of Leimkuhler-Matthews the step's before; scratch of one panel.
    constants:
        (n, `CONSTANTS`) of the size of step.
    moving:
        (4, n + `FACTORS`) field at the beginning of a step, its change, its mean, and by how much that differs from the
        last; the same of the factors (of that on noise the root of its mean square).
    field:
        (n + `FACTORS`,) the one that acts, and the factors.
    heat, work, stored, lift:
        (panels, row) heat given to the bath and work done by the fields, of the potential; the energy without fields
        where the trajectory is; what fields gave in a step.
    rates:
        (panels, row) sums of z over steps.
    halved:
        (panels, row) who takes the step in pieces.
    over:
        (longest,) trajectories that had z above 1, at each of so many steps: as many as a panel takes before the next.
    ghost, ghost_w, origin:
        (n, row) the first panel in steps of half the size, and where its ghosts set out.
    open:
        (1,) whether there are ghosts at present.
    check:
        (4, n, row) sums over comparisons with ghosts: x - ghost; of the squares of what is left of both
        without the tile's mean, their difference, and that of x; squared way from ``origin``.
    tally:
        (5,) sums, see above.
    room:
        Of steps in pieces.
    """

    trajectory: int
    x: RealArray
    w: RealArray
    next_x: RealArray
    next_w: RealArray
    trial: RealArray
    pull: RealArray
    own: RealArray
    noise: RealArray
    before: RealArray
    part: RealArray
    constants: RealArray
    moving: FloatArray
    field: FloatArray
    heat: FloatArray
    work: FloatArray
    stored: FloatArray
    lift: FloatArray
    rates: FloatArray
    halved: IntArray
    over: IntArray
    ghost: RealArray
    ghost_w: RealArray
    origin: RealArray
    open: IntArray
    check: FloatArray
    tally: FloatArray
    room: LangevinRoom

    @property
    def width(self) -> int:
        """Trajectories."""
        return self.x.shape[0] * self.x.shape[2]

    def put(self, name: str, values: FloatArray) -> None:
        """Set ``x``, ``w`` or ``own`` to (width, n) values."""
        held = getattr(self, name)
        held[:] = values.reshape(len(held), held.shape[2], held.shape[1]).transpose(0, 2, 1)

    def take(self, name: str) -> FloatArray:
        """(width, n) values of ``x``, ``w`` or ``own``."""
        held = getattr(self, name)
        return np.array(held.transpose(0, 2, 1).reshape(self.width, -1), dtype=np.float64)

    def column(self, name: str, number: int) -> RealArray:
        """(n,) of trajectory ``number`` of the tile, a view of ``x``, ``w``, ``own``, ``ghost`` or ``ghost_w``."""
        held = getattr(self, name)
        row = held.shape[-1]
        return np.asarray(held[..., number % row] if held.ndim == 2 else held[number // row, :, number % row])


def new_tile(
    n: int, first: int, width: int, longest: int, precision: Precision = "double", driven: bool = False
) -> LangevinTile:
    """Trajectories ``first`` to ``first + width``, whole panels; each takes ``longest`` steps before the next.

    Each has fields of its own if ``driven``.
    """
    row, rows, dtype = panel(precision), -(-n // BLOCK) * BLOCK, FORMATS[precision]
    panels = -(-width // row)

    def of_states(*shape: int) -> RealArray:
        return aligned((*shape, row), dtype)

    return LangevinTile(
        trajectory=first,
        **{key: of_states(panels, n) for key in ("x", "w", "next_x", "next_w", "trial", "pull")},
        own=of_states(panels if driven else 0, n),
        **{key: of_states(panels, rows) for key in ("noise", "before")},
        part=of_states(rows),
        constants=aligned((n, CONSTANTS), dtype),
        moving=np.zeros((4, n + FACTORS)),
        field=np.zeros(n + FACTORS),
        **{key: aligned((panels, row)) for key in ("heat", "work", "stored", "lift", "rates")},
        halved=np.zeros((panels, row), dtype=np.int64),
        over=np.zeros(longest, dtype=np.int64),
        **{key: of_states(n) for key in ("ghost", "ghost_w", "origin")},
        open=np.zeros(1, dtype=np.int64),
        check=np.zeros((4, n, row)),
        tally=np.zeros(5),
        room=LangevinRoom(
            **{key: of_states(n) for key in ("x", "w", "increment", "pull", "force", "trial")},
            later=of_states(DEPTH + 1, n),
            drawn=of_states(rows),
            part=of_states(rows),
            **{key: np.zeros((DEPTH + 1, n), dtype=dtype) for key in ("weight", "beside", "decay")},
            own=of_states(n),
        ),
    )


def packed(law: Law, precision: Precision = "double") -> LangevinLaw:
    """Pack a law once for all tiles."""
    matrices = {key: pack(getattr(law, key), precision) for key in ("stiffness", "factor")}
    return LangevinLaw(**(law._asdict() | matrices))


declare(
    LangevinLaw,
    quadratic=floats("n"),
    cubic=floats("n"),
    mobility=floats("n"),
    deviation=floats("n"),
    friction=floats("n"),
    mass=floats("n"),
    slope=floats("n"),
)

declare(
    LangevinSteps,
    sizes=floats("count"),
    segment=integers("count"),
    begin=floats("count"),
    end=floats("count"),
    fields=floats("instants", "n+3"),
)

declare(
    LangevinRoom,
    x=reals("n", "row", written=True),
    w=reals("n", "row", written=True),
    increment=reals("n", "row", written=True),
    pull=reals("n", "row", written=True),
    force=reals("n", "row", written=True),
    trial=reals("n", "row", written=True),
    later=reals(DEPTH + 1, "n", "row", written=True),
    drawn=reals("rows", "row", written=True),
    part=reals("rows", "row", written=True),
    weight=reals(DEPTH + 1, "n", written=True),
    beside=reals(DEPTH + 1, "n", written=True),
    decay=reals(DEPTH + 1, "n", written=True),
    own=reals("n", "row", written=True),
)

declare(
    LangevinTile,
    x=reals("panels", "n", "row", written=True),
    w=reals("panels", "n", "row", written=True),
    next_x=reals("panels", "n", "row", written=True),
    next_w=reals("panels", "n", "row", written=True),
    trial=reals("panels", "n", "row", written=True),
    pull=reals("panels", "n", "row", written=True),
    own=reals("driven", "n", "row"),
    noise=reals("panels", "rows", "row", written=True),
    before=reals("panels", "rows", "row", written=True),
    part=reals("rows", "row", written=True),
    constants=reals("n", CONSTANTS, written=True),
    moving=floats(4, "n+3", written=True),
    field=floats("n+3", written=True),
    heat=floats("panels", "row", written=True),
    work=floats("panels", "row", written=True),
    stored=floats("panels", "row", written=True),
    lift=floats("panels", "row", written=True),
    rates=floats("panels", "row", written=True),
    halved=integers("panels", "row", written=True),
    over=integers("longest", written=True),
    ghost=reals("n", "row", written=True),
    ghost_w=reals("n", "row", written=True),
    origin=reals("n", "row", written=True),
    open=integers(1, written=True),
    check=floats(4, "n", "row", written=True),
    tally=floats(5, written=True),
)


def _misfit(tile: LangevinTile, law: LangevinLaw, *_: object) -> str | None:
    """What is wrong between the sizes of a tile and of a law, or None."""
    _, n, row = tile.x.shape
    rows, precision = -(-n // BLOCK) * BLOCK, next(key for key, kind in FORMATS.items() if kind == tile.x.dtype)
    if row != panel(precision) or not len(tile.over):
        return f"{row} trajectories side by side, and {len(tile.over)} steps at a time"
    if tile.noise.shape[1] != rows or tile.room.x.shape != (n, row) or len(tile.room.drawn) != rows:
        return f"{tile.noise.shape[1]} rows of noise, and room for {len(tile.room.x)}, where there are {n} coordinates"
    if len(tile.own) not in (0, len(tile.x)):
        return f"own fields of {len(tile.own)} panels, where there are {len(tile.x)}"
    if law.stiffness.height != n or law.factor.height not in (0, n) or max(law.stiffness.reach, law.factor.reach) > n:
        return f"matrices of {law.stiffness.height} and {law.factor.height} rows for {n} coordinates"
    return None


advance = {
    precision: Kernel(
        "advance_langevin",
        precision,
        _misfit,
        tile=LangevinTile,
        law=LangevinLaw,
        key=words(2),
        bridge_key=words(2),
        steps=LangevinSteps,
        period=int,
        watch=int,
        track=int,
        cache=int,
    )
    for precision in FORMATS
}
"""Take the steps.

The first ``watch`` of every ``period`` steps have ghosts; they are compared at the end of these, and of
each call. With ``track`` heat and work are booked: work by the change of field at the beginning of a step,
heat along the chord at the mean field of the step, which is the one that acts. Entries of the matrix that fit into
``cache`` numbers stay in the nearest cache while all panels go by.
"""
