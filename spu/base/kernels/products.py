"""A matrix that stays, packed for products with panels of states that change (``c/products.inc``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.base.kernels.door import FORMATS, Kernel, Precision, aligned, declare, indices, integers, reals

PANEL_BYTES = 128
"""A row of a panel: trajectories side by side."""

_GROUP = 4
"""Rows that are worked on at once, at least, on any processor: bounds the number of blocks."""


def panel(precision: Precision) -> int:
    """Trajectories of a panel."""
    return PANEL_BYTES // FORMATS[precision].itemsize


class Packed(NamedTuple):
    """A packed matrix.

    Attributes
    ----------
    values:
        (entries,) group of rows by group of rows, those columns where a group is not all zero.
    offsets:
        (places,) where in a panel each column's numbers begin.
    blocks:
        (count, 6) groups of rows in blocks of columns.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int32]
    blocks: IntArray

    @property
    def height(self) -> int:
        """Rows."""
        return int((self.blocks[:, 0] + self.blocks[:, 1]).max()) if len(self.blocks) else 0

    @property
    def reach(self) -> int:
        """Columns up to the last that is not zero."""
        row = PANEL_BYTES // self.values.itemsize
        return int(self.offsets.max()) // row + 1 if len(self.offsets) else 0


declare(Packed, values=reals("entries"), offsets=indices("places"), blocks=integers("count", 6))

_pack = {
    precision: Kernel(
        "pack",
        precision,
        matrix=reals("rows", "columns"),
        depth=int,
        values=reals("entries", written=True),
        offsets=indices("places", written=True),
        blocks=integers("count", 6, written=True),
        used=integers(3, written=True),
    )
    for precision in FORMATS
}


def pack(matrix: FloatArray, precision: Precision = "double") -> Packed:
    """Pack a (rows, columns) matrix. Where it is cut depends on the processor's caches, and changes no bit."""
    rows, columns = matrix.shape
    depth = max(64, cache_sizes()[0] // (2 * PANEL_BYTES))
    groups, blocks = -(-rows // _GROUP), max(1, -(-columns // depth))
    dtype = FORMATS[precision]
    values, offsets = aligned((rows * columns,), dtype), np.empty(groups * columns, dtype=np.int32)
    cut, used = np.empty((groups * blocks, 6), dtype=np.int64), np.zeros(3, dtype=np.int64)
    _pack[precision](np.ascontiguousarray(matrix, dtype=dtype), depth, values, offsets, cut, used)
    entries, places, count = used.tolist()
    return Packed(values[:entries], offsets[:places].copy(), cut[:count].copy())


@cache
def cache_sizes() -> tuple[int, int]:
    """Bytes of the first and of the second cache of data of a core; small ones where the system does not tell."""
    found = [32 << 10, 256 << 10]
    for place in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level, kind, size = ((place / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and level in ("1", "2") and size.endswith("K") and size[:-1].isdigit():
            found[int(level) - 1] = int(size[:-1]) << 10
    return found[0], found[1]


def resident(precision: Precision) -> int:
    """Numbers of a matrix that stay in the second cache while panels go by."""
    return cache_sizes()[1] // (2 * FORMATS[precision].itemsize)
