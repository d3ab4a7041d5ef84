"""Tiles of trajectories, stepped through time and counted without storing the path: what the compiled loops take.

A *tile* is a fixed group of trajectories, cut into *panels*: of each state, so many trajectories lie side by side
(`spu.base.kernels.products.panel`); the last panel may have places that are nobody's. Observed rows of a chunk of
steps are collected side by side, column ``k * width + b`` being trajectory ``b`` at step ``k``, and then counted.

Tiles, chunks and the order of every sum depend on the problem and the number of trajectories only, never on threads
or on the processor, so the bits of a result do not either. The loops: ``spu/base/kernels/c/dense.inc``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.kernels.door import FORMATS, Kernel, Precision, aligned, declare, floats, reals, words
from spu.base.kernels.products import PANEL_BYTES, Packed, pack, panel, resident
from spu.emulator.runs.noise import BLOCK

WordArray = NDArray[np.uint64]
RealArray = NDArray[Any]


class Tile(NamedTuple):
    """A group of trajectories: where they are, and what has been counted of them.

    Attributes
    ----------
    address:
        (5,) unsigned: step and trajectory of the first column; by how much the step grows from step to step
        and from column to column, and the trajectory from column to column.
    state, next:
        (panels, rows, row) states where the run has come to and, where all are stepped together, noise below;
        and where they will be.
    ahead:
        (noise, columns) noise of a chunk, where the tile is a single trajectory.
    shown:
        (observed, row) scratch.
    seen:
        (observed, lags * apart * width + columns) observed rows, the latest earlier steps in front.
    total, products:
        (observed,), (lags + 1, observed, observed): sums of ``y`` and of ``y(k) y(k - l apart)^T``.
    kept:
        (width, kept, observed) every so-manieth readout; of draws (1, kept, observed).
    width, chunk, lags, apart:
        Trajectories; steps between counts; lags; and steps from one of them to the next.
    """

    address: WordArray
    state: RealArray
    next: RealArray
    ahead: FloatArray
    shown: RealArray
    seen: FloatArray
    total: FloatArray
    products: FloatArray
    kept: FloatArray
    width: int
    chunk: int
    lags: int
    apart: int

    def states(self, rows: int) -> FloatArray:
        """(rows, width) where the trajectories are."""
        side_by_side = np.concatenate(list(self.state[:, :rows]), axis=1)
        return np.ascontiguousarray(side_by_side[:, : self.width], dtype=np.float64)


class DenseStep(NamedTuple):
    """``x' = matrix @ (x, normals)``, seen as ``observe @ x'``.

    (n, carried + r), (observed, n); ``carried`` is n, the number of states, or 0 for draws that forget.
    """

    matrix: FloatArray
    observe: FloatArray
    carried: int


class PackedStep(NamedTuple):
    """A `DenseStep` as the loops take it; ``drawn`` is r."""

    matrix: Packed
    observe: Packed
    carried: int
    states: int
    drawn: int


class ModalStep(NamedTuple):
    """Independent systems of two states each: states ``2 k`` and ``2 k + 1`` belong to system ``k``.

    (systems, 2, 2) both; of each system the first ``shown`` states are observed.
    """

    transition: FloatArray
    root: FloatArray
    shown: int


def packed(step: DenseStep, precision: Precision = "double") -> PackedStep:
    """Pack a step once for all tiles."""
    n, across = step.matrix.shape
    return PackedStep(
        pack(step.matrix, precision), pack(step.observe, precision), step.carried, n, across - step.carried
    )


declare(
    Tile,
    address=words(5),
    state=reals("panels", "rows", "row", written=True),
    next=reals("panels", "rows", "row", written=True),
    ahead=floats("ahead_rows", "ahead_columns", written=True),
    shown=reals("observed", "row", written=True),
    seen=floats("observed", "seen_columns", written=True),
    total=floats("observed", written=True),
    products=floats("lags+1", "observed", "observed", written=True),
    kept=floats("kept_rows", "kept_columns", "observed", written=True),
)


declare(PackedStep)


declare(ModalStep, transition=floats("systems", 2, 2), root=floats("systems", 2, 2))


def _misfit(tile: Tile, law: PackedStep | ModalStep, *_: object) -> str | None:
    """What is wrong between the sizes of a tile and of the law that steps it, or None."""
    panels, rows, across = tile.state.shape
    if across != PANEL_BYTES // tile.state.itemsize or not 1 <= tile.width <= panels * across:
        return f"{tile.width} trajectories in {panels} panels of {across}"
    history = tile.lags * tile.apart
    if tile.seen.shape[1] < tile.width * (history + tile.chunk) or tile.chunk < 1 or tile.apart < 1:
        return (
            f"{tile.seen.shape[1]} columns of what is seen, for {tile.width} times {tile.chunk} and {history} earlier"
        )
    if isinstance(law, ModalStep):
        needed, observed = 2 * len(law.root), law.shown * len(law.root)
        fits = law.shown in (1, 2)
    else:
        noise = -(-law.drawn // BLOCK) * BLOCK
        needed, observed = max(law.carried + noise, law.states), law.observe.height
        fits = law.carried in (0, law.states) and law.matrix.height == law.states
        fits = fits and law.matrix.reach <= law.carried + law.drawn
        fits = fits and law.observe.reach <= law.states
        alone = tile.ahead.shape[0] >= noise and tile.ahead.shape[1] >= -(-tile.chunk // 8) * 8
        fits = fits and (tile.width > 1 or alone)
    if not fits or rows < needed or len(tile.total) not in (0, observed):
        return (
            f"a law of {needed} rows and {observed} observed does not fit a tile with {rows} rows, noise of "
            f"{tile.ahead.shape} and {len(tile.total)} observed"
        )
    return None


drive_dense = {
    precision: Kernel(
        "drive_dense",
        precision,
        _misfit,
        tile=Tile,
        law=PackedStep,
        key=words(2),
        first=int,
        steps=int,
        every=int,
        cache=int,
    )
    for precision in FORMATS
}
"""Take ``steps`` steps, of which the first is number ``first``; keep every ``every``-th readout (0: none).

Entries of the matrix that fit into ``cache`` numbers stay in the nearest cache while all panels go by.
"""

drive_modal = Kernel(
    "drive_modal", None, _misfit, tile=Tile, law=ModalStep, key=words(2), first=int, steps=int, every=int
)
"""The same, by modes, in double precision."""


Drive = Callable[[int, int, int], None]
"""Takes a tile from a first step so many steps further, keeping every so-manieth readout (0: none)."""


def drivers(
    tiles: list[Tile], law: DenseStep | ModalStep, key: WordArray, precision: Precision = "double"
) -> list[Drive]:
    """How to take each tile through steps of a law; what of it is prepared is prepared once."""
    if isinstance(law, ModalStep):
        return [drive_modal.bind(tile, law, key) for tile in tiles]
    step, cache = packed(law, precision), resident(precision)

    def of(tile: Tile) -> Drive:
        drive = drive_dense[precision].bind(tile, step, key)
        return lambda first, steps, every: drive(first, steps, every, cache)

    return [of(tile) for tile in tiles]


def new_tile(
    address: tuple[int, int, int, int, int],
    *,
    rows: int,
    drawn: int,
    observed: int,
    width: int,
    chunk: int,
    lags: int,
    apart: int = 1,
    kept: tuple[int, int],
    precision: Precision = "double",
) -> Tile:
    """Allocate a tile at rest that takes ``chunk`` steps at a time (arguments as the sizes in `Tile`)."""
    dtype, row = FORMATS[precision], panel(precision)
    panels = -(-width // row)
    return Tile(
        address=np.array(address, dtype=np.uint64),
        state=aligned((panels, rows, row), dtype),
        next=aligned((panels, rows, row), dtype),
        ahead=np.zeros((-(-drawn // BLOCK) * BLOCK, -(-chunk // 8) * 8) if width == 1 else (0, 0)),
        shown=aligned((observed, row), dtype),
        seen=aligned((observed, -(-(lags * apart + chunk) * width // 8) * 8)),
        total=np.zeros(observed),
        products=np.zeros((lags + 1, observed, observed)),
        kept=np.empty((*kept, observed)),
        width=width,
        chunk=chunk,
        lags=lags,
        apart=apart,
    )
