"""Eigenvalues of ladders: of networks that are chains, whose matrix is tridiagonal once its states stand in order.

All roots of the characteristic polynomial at once, by the iteration of Ehrlich and Aberth (Math. Comp. 27:339, 1973).
Newton's step is the sum of ``d_k'/d_k`` of the pivots ``d_k = s - a_k - b_k / d_(k-1)`` of the matrix less s, a few
operations for each state and root: n^2 in all, where a dense matrix takes n^3 (Bini, Gemignani and Tisseur, SIAM J.
Matrix Anal. 27:153, 2005).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, connected_components

from spu.base.arrays import ComplexArray, FloatArray, IntArray

_SWEEPS = 100

_DONE = 1e-13
"""Of a root, below which a step of it is rounding."""

_AGREES = 1e-9
"""What sums of the roots and of their squares may be off those of the matrix, of their terms."""


def chain_order(pattern: sp.csr_array) -> IntArray | None:
    """(n,) an order of states in which a matrix (n, n) of symmetric pattern is tridiagonal; None without any."""
    n = pattern.shape[0]
    entries = pattern.tocoo()
    off = entries.row != entries.col
    degree = np.bincount(entries.row[off], minlength=n)
    count, labels = connected_components(pattern, directed=False)
    # Without a node of more than two neighbours, and with an edge less than nodes in each part.
    if degree.max(initial=0) > 2 or int(off.sum()) != 2 * (n - count):
        return None
    ends = np.flatnonzero(degree <= 1)
    _, first = np.unique(labels[ends], return_index=True)
    parts = [breadth_first_order(pattern, int(end), directed=False, return_predecessors=False) for end in ends[first]]
    return np.concatenate(parts).astype(np.int64)


def tridiagonal_eigenvalues(diagonal: FloatArray, products: FloatArray) -> ComplexArray | None:
    """Eigenvalues (n,) of a tridiagonal matrix; None where they do not converge.

    Parameters
    ----------
    diagonal:
        (n,).
    products:
        (n - 1,) of each entry above the diagonal and the one below it.
    """
    n = len(diagonal)
    size = np.sqrt(np.abs(products))
    # A lossless ladder's to begin with, its losses spread evenly; not quite in pairs, which would never part.
    start = la.eigvalsh_tridiagonal(np.zeros(n), size) if n > 1 else np.zeros(1)
    scale = max(float(np.abs(start).max()), float(np.abs(diagonal).max()))
    if scale == 0:
        return np.zeros(n, dtype=np.complex128)
    nudge = 1e-3 * np.cos(np.arange(n, dtype=np.float64) ** 2)
    roots = np.empty(n, dtype=np.complex128)
    roots.real = float(diagonal.mean()) * (1.0 + nudge[::-1]) + 1e-9 * scale * nudge
    roots.imag = start * (1.0 + nudge)
    moving = np.arange(n)
    for _ in range(_SWEEPS):
        here = roots[moving]
        newton = 1.0 / _slope(diagonal, products, here)
        with np.errstate(divide="ignore", invalid="ignore"):
            repelled = np.zeros(len(moving), dtype=np.complex128)
            for first in range(0, len(moving), _ROWS):
                part = slice(first, first + _ROWS)
                gaps = here[part, None] - roots
                gaps[np.arange(len(gaps)), moving[part]] = np.inf
                repelled[part] = (1.0 / gaps).sum(axis=1)
            step = newton / (1.0 - newton * repelled)
        if not np.isfinite(step).all():
            return None
        roots[moving] = here - step
        moving = moving[np.abs(step) > _DONE * np.abs(here) + 1e-3 * np.finfo(float).eps * scale]
        if not len(moving):
            break
    return roots if _agree(roots, diagonal, products) and len(moving) == 0 else None


_ROWS = 500
"""Roots whose distances from all others are taken at once."""


def _slope(diagonal: FloatArray, products: FloatArray, points: ComplexArray) -> ComplexArray:
    """``p'/p`` of the characteristic polynomial at points (k,)."""
    tiny = 1e-300
    pivot = points - diagonal[0]
    pivot[pivot == 0] = tiny
    ratio = 1.0 / pivot
    total = ratio.copy()
    for a, b in zip(diagonal[1:].tolist(), products.tolist(), strict=True):
        turned = b / pivot
        slope = 1.0 + turned * ratio
        pivot = points - a - turned
        pivot[pivot == 0] = tiny
        ratio = slope / pivot
        total += ratio
    return total


def _agree(roots: ComplexArray, diagonal: FloatArray, products: FloatArray) -> bool:
    """Whether the sum of the roots and that of their squares are those of the matrix."""
    first, second = roots.sum() - diagonal.sum(), (roots**2).sum() - (diagonal**2).sum() - 2.0 * products.sum()
    size, square = np.abs(roots).sum(), (np.abs(roots) ** 2).sum()
    return bool(abs(first) <= _AGREES * size and abs(second) <= _AGREES * square)
