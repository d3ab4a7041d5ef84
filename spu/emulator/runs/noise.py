"""The one place that draws random numbers: counter-based, so that every number has an address.

The standard normal of component ``c`` at step ``k`` of trajectory ``t`` is a function of (seed,
purpose, t, k, c) and of nothing else. So the bits of the noise do not depend on how many threads
draw it, on how many trajectories run side by side, or on where a run is cut into chunks.

Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, SC11, 2011) turns the counter

    (c // 4, t, low half of k, high half of k)

and a key made of seed and purpose into 128 bits, and each half of them becomes two normals by the
Box-Muller transform (1958): 40 bits for the radius, which reaches 7.5 sigma, and 24 for the angle.
All arithmetic is IEEE with explicit fused multiply-adds, so vector width and compiler do not matter. It is written
down in ``spu/base/kernels/c/noise.h``.

Networks in single precision take the same bits and transform them in floats: all 40 and 24 of them count, so tails
reach as far (7.5 sigma), and a normal is that of double precision to 4e-7 of itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.kernels.door import ArraySpec, Kernel, floats, words

WordArray = NDArray[np.uint64]

SAMPLES, REPLAY = 0, 2
"""Purposes: what one seed is used for."""

BLOCK = 4
"""Normals of one counter: rows of `fill_normals` come in such blocks."""

fill_normals = Kernel(
    "fill_normals",
    out=floats("rows", "n", written=True),
    first_block=np.uint64,
    key=words(2),
    steps=words("n"),
    trajectories=words("n"),
)
"""Fill ``out`` with normals: a row a component, a column an instant of a trajectory.

Of ``out`` (rows, n), rows a multiple of `BLOCK`, the components count from ``BLOCK * first_block`` on; ``key`` (2,) is
as `key_of` gives it; ``steps`` and ``trajectories`` (n,) are step and trajectory of each column.
"""

philox4x32 = Kernel("philox4x32", counter=words(4), key=words(2), words=words(4, written=True))
"""Philox 4x32-10 of a counter and a key of 32-bit words, to test against published ones."""


normal_pairs = Kernel(
    "normal_pairs", words=words("n"), first=floats("n", written=True), second=floats("n", written=True)
)
"""The two normals of each word (n,), to test against the same by hand."""


normal_pairs_in_floats = Kernel(
    "normal_pairs_in_floats",
    words=words("n"),
    first=ArraySpec(np.dtype(np.float32), ("n",), written=True),
    second=ArraySpec(np.dtype(np.float32), ("n",), written=True),
)
"""The same as runs in single precision have them."""


def key_of(seed: int, purpose: int = SAMPLES) -> WordArray:
    """The (2,) key of a seed (non-negative, of any size) for a purpose."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(purpose,)).generate_state(2, np.uint32).astype(np.uint64)


def normals(seed: int, steps: int, width: int, *, purpose: int = SAMPLES, trajectory: int = 0) -> FloatArray:
    """A (steps, width) array: the first ``width`` components of steps 0, 1, ... of one trajectory."""
    out = np.empty((-(-width // BLOCK) * BLOCK, steps))
    trajectories = np.full(steps, trajectory, dtype=np.uint64)
    columns = np.arange(steps, dtype=np.uint64)
    fill_normals(out, np.uint64(0), key_of(seed, purpose), columns, trajectories)
    return np.ascontiguousarray(out[:width].T)
