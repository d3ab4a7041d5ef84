"""Long records as spectra: tapered, transformed, averaged over bins.

The cosine taper at the ends keeps what leaks from a resonance to where little is; it takes the share of averages that
`weights` have less. Nothing hangs on the length of the record from there on.
"""

from __future__ import annotations

import numpy as np

from spu.base.arrays import ComplexArray, FloatArray, IntArray
from spu.base.errors import InputError
from spu.studies.calibration.grid import Grid
from spu.studies.calibration.likelihood import Matrices, OfSpectra

PIECE = 2**19
"""Samples of a path that are transformed at once."""

LEAST = 200.0
"""Of the longest time constant: what a path must last for its bins not to be smeared."""

TAPERED, REACH = 0.1, 40.0
"""Of a path, at most, and of the longest time constant: what the taper takes at both ends together."""


def spectra_of(paths: tuple[FloatArray, ...], interval: float, grid: Grid, slowest: float) -> Matrices:
    """Averaged spectra of paths.

    Parameters
    ----------
    paths:
        Arrays (s, T, c).
    grid:
        Of the bins that are wanted; those are taken in which ordinates are.
    slowest:
        The longest time constant that is recorded, s.

    Raises
    ------
    InputError
        If paths are too short for it.
    """
    pieces = [piece for each in paths for path in each for piece in _cut(path)]
    longest = max(len(piece) for piece in pieces)
    if longest * interval < LEAST * slowest:
        raise InputError(
            f"paths last {longest * interval / slowest:.0f} of the longest time constant: spectra want {LEAST:.0f}, "
            "the method exact takes any"
        )
    pieces = [piece for piece in pieces if len(piece) >= longest / 2]
    mean = np.concatenate(pieces).mean(axis=0)
    step = 2.0 * np.pi / longest
    last = (longest - 1) // 2  # what is at half the rate is real, and left out
    cuts = np.unique(np.clip(np.rint(np.append(grid.low, grid.high[-1]) / step - 0.5), 0, last).astype(np.int64))
    edges = (cuts + 0.5) * step
    count = len(cuts) - 1
    c = pieces[0].shape[1]
    sums, weights = np.zeros((count, c, c), dtype=np.complex128), np.zeros(count)
    for piece in pieces:
        n = len(piece)
        window, loss = _taper(n, min(TAPERED, REACH * slowest / (n * interval)))
        spectrum = np.fft.rfft((piece - mean) * window[:, None], axis=0) / np.sqrt((window**2).sum())
        place = np.searchsorted(edges, 2.0 * np.pi * np.arange(len(spectrum)) / n, side="right") - 1
        there = (place >= 0) & (place < count) & (np.arange(len(spectrum)) * 2 != n)
        for bin_, rows in _runs(place[there], np.flatnonzero(there)):
            y = spectrum[rows]
            sums[bin_] += (y.T @ np.conj(y)) / loss
            weights[bin_] += len(y) / loss
    good = weights > 0
    kept = Grid(np.asarray(edges[:-1][good]), np.asarray(edges[1:][good]))
    measured: ComplexArray = np.asarray(sums[good] / weights[good, None, None], dtype=np.complex128)
    return Matrices(measured, weights[good], OfSpectra(kept, interval))


def _cut(path: FloatArray) -> list[FloatArray]:
    return np.array_split(path, -(-len(path) // PIECE))


def _taper(n: int, share: float) -> tuple[FloatArray, float]:
    """A window whose ends rise as a cosine, and by what it makes averages less."""
    window = np.ones(n)
    m = max(1, int(share * n / 2))
    ramp = 0.5 * (1.0 - np.cos(np.pi * (np.arange(m) + 0.5) / m))
    window[:m], window[n - m :] = ramp, ramp[::-1]
    return window, float(n * (window**4).sum() / (window**2).sum() ** 2)


def _runs(place: IntArray, rows: IntArray) -> list[tuple[int, slice]]:
    """Bins and the consecutive rows that are in each."""
    if not len(place):
        return []
    starts = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
    ends = [*starts[1:].tolist(), len(place)]
    return [
        (int(place[a]), slice(int(rows[a]), int(rows[b - 1]) + 1)) for a, b in zip(starts.tolist(), ends, strict=True)
    ]
