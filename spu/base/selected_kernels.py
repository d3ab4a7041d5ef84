"""Compiled loops of `spu.base.selected_inverse`: apart from it, because importing Numba takes most of a second.

A factor L is given by columns and without its unit diagonal: ``indptr`` (n + 1,), ``rows`` in rising order
within each column, ``values``.
"""
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import numpy as np

from spu.base.compiled import compiled, floats, integers


@compiled(indptr=integers("n+1"), indices=integers("entries"))
def structure(indptr, indices):
    """Structure of L from the rows of the lower triangle of a symmetric matrix: its indptr and rows.

    Row i of L is the union of the paths that lead from its entries up the elimination tree to i
    (Liu 1990; Davis, Direct Methods for Sparse Linear Systems, section 4).
    """
    n = len(indptr) - 1
    parent = np.full(n, -1, dtype=np.int64)
    mark = np.full(n, -1, dtype=np.int64)
    count = np.zeros(n + 1, dtype=np.int64)
    for i in range(n):
        mark[i] = i
        for p in range(indptr[i], indptr[i + 1]):
            k = indices[p]
            while mark[k] != i:
                if parent[k] == -1:
                    parent[k] = i
                count[k + 1] += 1
                mark[k] = i
                k = parent[k]
    starts = np.cumsum(count)
    rows = np.empty(starts[n], dtype=np.int64)
    fill = starts[:n].copy()
    mark[:] = -1
    for i in range(n):  # rising i: every column is sorted
        mark[i] = i
        for p in range(indptr[i], indptr[i + 1]):
            k = indices[p]
            while mark[k] != i:
                rows[fill[k]] = i
                fill[k] += 1
                mark[k] = i
                k = parent[k]
    return starts, rows


@compiled(
    from_indptr=integers("n+1"),
    from_rows=integers("given"),
    from_values=floats("given"),
    indptr=integers("n+1"),
    rows=integers("entries"),
    values=floats("entries", written=True),
)
def scatter(from_indptr, from_rows, from_values, indptr, rows, values):
    """Put the entries of one L, in any order, into another of larger structure."""
    n = len(indptr) - 1
    place = np.empty(n, dtype=np.int64)
    for j in range(n):
        for p in range(indptr[j], indptr[j + 1]):
            place[rows[p]] = p
        for p in range(from_indptr[j], from_indptr[j + 1]):
            if from_rows[p] > j and from_values[p] != 0.0:
                values[place[from_rows[p]]] = from_values[p]


@compiled(
    indptr=integers("n+1"), rows=integers("entries"), values=floats("entries"), block=floats("n", "k", written=True)
)
def back_substitute(indptr, rows, values, block):
    """Solve ``L^T x = block`` in place, for a (n, k) block."""
    for j in range(len(indptr) - 2, -1, -1):
        for p in range(indptr[j], indptr[j + 1]):
            factor, i = values[p], rows[p]
            for c in range(block.shape[1]):
                block[j, c] -= factor * block[i, c]


@compiled(indptr=integers("n+1"), rows=integers("entries"), values=floats("entries"), pivots=floats("n"))
def takahashi(indptr, rows, values, pivots):
    """Entries of ``(L D L^T)^-1`` below the diagonal, on the structure of L, and on the diagonal."""
    n = len(pivots)
    inverse = np.zeros(len(values))
    diagonal = np.empty(n)
    place = np.full(n, -1, dtype=np.int64)
    for j in range(n - 1, -1, -1):
        first, last = indptr[j], indptr[j + 1]
        for p in range(first, last):
            place[rows[p]] = p
        for p in range(first, last):
            k, factor = rows[p], values[p]
            inverse[p] -= factor * diagonal[k]
            # Column k of the inverse, where column j has entries: they are in its structure (fill).
            for q in range(indptr[k], indptr[k + 1]):
                i = rows[q]
                r = place[i]
                if r >= 0:
                    inverse[r] -= factor * inverse[q]
                    inverse[p] -= values[r] * inverse[q]
        total = 1.0 / pivots[j]
        for p in range(first, last):
            total -= values[p] * inverse[p]
            place[rows[p]] = -1
        diagonal[j] = total
    return inverse, diagonal


@compiled(
    indptr=integers("n+1"),
    rows=integers("entries"),
    inverse=floats("entries"),
    diagonal=floats("n"),
    column=integers("wanted"),
    row=integers("wanted"),
)
def gather(indptr, rows, inverse, diagonal, column, row):
    """Entries at the given places, row >= column, by bisection."""
    found = np.empty(len(row))
    for k in range(len(row)):
        j, i = column[k], row[k]
        if i == j:
            found[k] = diagonal[j]
            continue
        low, high = indptr[j], indptr[j + 1]
        while high - low > 1:
            middle = (low + high) // 2
            if rows[middle] <= i:
                low = middle
            else:
                high = middle
        found[k] = inverse[low]
    return found
