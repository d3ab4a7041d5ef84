"""Runs of large sparse networks: draws, or the implicit midpoint, counted on the pattern of the couplers.

As in `spu.emulator.runs.run` tiles and the order of sums depend on the numbers of trajectories and samples
only. What is counted: means, variances and the covariances of coupled cells; and, to say what they are
worth, the scatter between trajectories, as correlations in time are not known in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.kernels.door import Kernel, floats, integers
from spu.base.sparse import row_numbers, with_data
from spu.base.threads import available_threads
from spu.emulator.laws.large import Midpoint, SparseLaw
from spu.emulator.runs.noise import BLOCK, SAMPLES, fill_normals, key_of
from spu.emulator.runs.run import parallel, rounds

_TILE = 16
"""Trajectories, or draws, side by side: each entry of a factor is read once for all of them."""


ROWS = 65536
"""Cells at a time, where arrays of all cells and trajectories would have to be copied whole."""


count_pairs = Kernel(
    "count_pairs",
    y=floats("p", "k"),
    starts=integers("p+1"),
    columns=integers("entries"),
    products=floats("entries", written=True),
)
"""Add ``sum over b of y_ib y_jb`` to the entry (i, j) of a CSR pattern; y (p, k) (``spu/base/kernels/c/sparse.c``)."""


@dataclass(frozen=True, eq=False)
class PatternSums:
    """What was counted, about the law's mean.

    Attributes
    ----------
    samples:
        Readouts in all.
    mean, mean_error:
        (p,) of the deviations, and its standard error, V.
    covariance:
        (p, p) sparse, on the pattern of the couplers, V^2, divided by the count.
    effective_samples:
        Independent samples whose variances would scatter as much; nan for a single trajectory.
    kept:
        (trajectories, kept, p) every so-manieth readout's deviation, V.
    ends:
        (states, trajectories) the last ones; (0, 0) of independent draws.
    """

    samples: int
    mean: FloatArray
    mean_error: FloatArray
    covariance: sp.csr_array
    effective_samples: float
    kept: FloatArray
    ends: FloatArray


class _Tile:
    """Some trajectories, or a range of independent draws, and what was counted of them."""

    def __init__(self, first: int, width: int, length: int, probes: int, pairs: int, kept: int, scattered: int) -> None:
        self.first, self.width, self.length = first, width, length
        self.state: FloatArray | None = None
        self.sums = np.zeros((probes, scattered))
        self.squares = np.zeros((probes, scattered))
        self.products = np.zeros(pairs)
        self.kept = np.empty((width, kept, probes))


def run_large(
    law: SparseLaw,
    *,
    trajectories: int,
    steps: int,
    seed: int,
    midpoint: Midpoint | None,
    substeps: int = 1,
    every: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> PatternSums:
    """Run and count.

    Parameters
    ----------
    law:
        Where trajectories start, or what independent draws are of.
    trajectories, steps:
        How many, and readouts of each; without ``midpoint`` there are ``steps`` independent draws.
    seed:
        Of the noise.
    midpoint, substeps:
        The rule, and how many of its steps lie between readouts.
    every, threads, progress, interrupted:
        As `spu.emulator.runs.run.run`.
    """
    probes = law.probes
    pattern = law.voltage_covariance
    starts, columns = pattern.indptr.astype(np.int64), pattern.indices.astype(np.int64)
    key, mean = key_of(seed, SAMPLES), (law.voltage_mean - law.sde.y0)[:, None]
    tiles = _tiles(midpoint is None, trajectories, steps, probes.shape[0], len(columns), every)
    nodes = probes.shape[1]

    def count(tile: _Tile, states: FloatArray, number: int) -> None:
        y = probes @ states[:nodes] - mean
        count_pairs(y, starts, columns, tile.products)
        scattered = tile.sums.shape[1]
        tile.sums += y if scattered == y.shape[1] else y.sum(axis=1, keepdims=True)
        tile.squares += y**2 if scattered == y.shape[1] else (y**2).sum(axis=1, keepdims=True)
        if every and midpoint is not None:
            if number % every == 0:
                tile.kept[:, number // every] = y.T
        elif every:
            drawn = tile.first + number  # draws are numbered over all tiles
            chosen = np.arange(-drawn % every, y.shape[1], every)
            tile.kept[0, (drawn + chosen) // every - -(-tile.first // every)] = y[:, chosen].T

    def advance(tile: _Tile, number: int) -> None:
        """Readout ``number`` of a tile of trajectories, or its draws from there on."""
        if midpoint is None:
            wide = min(_TILE, tile.length - number)
            addresses = np.arange(tile.first + number, tile.first + number + wide)
            normals = _normals(law.voltage_normals, key, addresses, np.zeros(wide, dtype=np.int64))
            count(tile, law.draw_voltages(normals), number)
            return
        who = np.arange(tile.first, tile.first + tile.width)
        if tile.state is None:
            tile.state = law.draw(_normals(law.normals, key, np.zeros_like(who), who))
        else:
            for k in range(substeps):
                when = np.full_like(who, 1 + (number - 1) * substeps + k)
                tile.state = midpoint.advance(tile.state, _normals(midpoint.normals, key, when, who))
        count(tile, tile.state, number)

    stride = _TILE if midpoint is None else 1
    lengths = [tile.length for tile in tiles]
    weights = [1 if midpoint is None else tile.width for tile in tiles]
    wanted = int(np.dot(lengths, weights))
    done = 0
    with parallel(min(len(tiles), threads or available_threads())) as each:
        for until in rounds(max(lengths), stride, interrupted):

            def work(number: int, begin: int = done, end: int = until) -> None:
                with np.errstate(over="ignore", invalid="ignore"):  # the guard says so, in words
                    for k in range(begin, min(end, lengths[number]), stride):
                        advance(tiles[number], k)

            each(work, range(len(tiles)))
            done = until
            if progress is not None:
                progress(int(np.dot(np.minimum(done, lengths), weights)), wanted)
    taken = np.minimum(done, lengths)
    kept = np.empty((0, 0, probes.shape[0]))
    if every:
        first = [tile.first if midpoint is None else 0 for tile in tiles]
        parts = [
            tile.kept[:, : _multiples(start, many, every)]
            for tile, start, many in zip(tiles, first, taken.tolist(), strict=True)
        ]
        kept = np.concatenate(parts, axis=1 if midpoint is None else 0)
    ends = _ends(tiles)
    return _gather(tiles, int(np.dot(taken, weights)), int(taken[0]), midpoint is None, pattern, kept, ends)


def _ends(tiles: list[_Tile]) -> FloatArray:
    """The last states side by side; the tiles give theirs up, one by one."""
    running = [tile for tile in tiles if tile.state is not None]
    if not running:
        return np.empty((0, 0))
    ends = np.empty((len(running[0].state), sum(tile.width for tile in running)))  # type: ignore[arg-type]
    for tile in running:
        ends[:, tile.first : tile.first + tile.width] = tile.state
        tile.state = None
    return ends


def _tiles(independent: bool, trajectories: int, steps: int, probes: int, pairs: int, every: int) -> list[_Tile]:
    if not independent:
        kept = _multiples(0, steps, every)
        firsts = range(0, trajectories, _TILE)
        widths = [min(_TILE, trajectories - first) for first in firsts]
        return [
            _Tile(first, wide, steps, probes, pairs, kept, wide) for first, wide in zip(firsts, widths, strict=True)
        ]
    share = max(_TILE, -(-steps // 4 // _TILE) * _TILE)
    tiles = []
    for first in range(0, steps, share):
        length = min(share, steps - first)
        tiles.append(_Tile(first, 1, length, probes, pairs, _multiples(first, length, every), 1))
    return tiles


def _multiples(first: int, length: int, every: int) -> int:
    """How many multiples of ``every`` there are from ``first`` on among ``length`` numbers; 0 of none."""
    return -(-(first + length) // every) - -(-first // every) if every else 0


def _normals(rows: int, key: NDArray[np.uint64], steps: NDArray[np.int64], who: NDArray[np.int64]) -> FloatArray:
    """Normals (rows, k) of the steps (k,) of trajectories (k,)."""
    out = np.empty((-(-rows // BLOCK) * BLOCK, len(steps)))
    fill_normals(out, np.uint64(0), key, steps.astype(np.uint64), who.astype(np.uint64))
    return out[:rows]


@np.errstate(over="ignore", invalid="ignore")
def _gather(
    tiles: list[_Tile],
    samples: int,
    steps: int,
    independent: bool,
    pattern: sp.csr_array,
    kept: FloatArray,
    ends: FloatArray,
) -> PatternSums:
    """Add up the tiles, and see how far trajectories scatter; what is not finite is for the guard to say."""
    products = np.zeros(len(pattern.indices))
    for tile in tiles:
        products += tile.products
    mean = np.sum([tile.sums.sum(axis=1) for tile in tiles], axis=0) / samples
    covariance = with_data(pattern, products / samples - mean[row_numbers(pattern)] * mean[pattern.indices])
    variance = covariance.diagonal()
    if independent:
        return PatternSums(samples, mean, np.sqrt(variance / samples), covariance, float(samples), kept, ends)
    count = sum(tile.sums.shape[1] for tile in tiles)
    if count == 1:
        return PatternSums(samples, mean, np.full(len(mean), np.nan), covariance, float("nan"), kept, ends)
    scatter = _spread([tile.squares for tile in tiles], steps).sum() / count
    effective = float(2.0 * (variance**2).sum() / scatter) if scatter > 0 else float(samples)
    mean_error = np.sqrt(_spread([tile.sums for tile in tiles], steps)) / np.sqrt(count)
    return PatternSums(samples, mean, mean_error, covariance, effective, kept, ends)


def _spread(parts: list[FloatArray], steps: int) -> FloatArray:
    """(p,) variance between trajectories of their sums (p, some each), divided by the steps; some rows at a time."""
    found = np.empty(len(parts[0]))
    for first in range(0, len(found), ROWS):
        rows = slice(first, first + ROWS)
        found[rows] = (np.concatenate([part[rows] for part in parts], axis=1) / steps).var(axis=1, ddof=1)
    return found
