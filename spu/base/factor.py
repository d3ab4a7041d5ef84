"""Sparse square matrices, real or complex, factorised to solve for many right-hand sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from spu.base.arrays import ComplexArray, FloatArray

BACKWARD = 1e-12
"""What rounding may leave of the equations, relative to their terms, until pivots are chosen by size alone."""


class Factor:
    """A factorised sparse matrix (N, N).

    Rows and columns are scaled first: volts and amperes then have pivots of one size. One step of refinement follows
    each solution.

    Raises
    ------
    RuntimeError
        If the matrix is singular.
    """

    def __init__(self, matrix: sp.csr_array) -> None:
        self.matrix = sp.csc_array(matrix)
        rows, starts = self.matrix.indices, self.matrix.indptr
        columns = np.repeat(np.arange(self.matrix.shape[1]), np.diff(starts))
        self._rows = _inverse_of_largest(rows, np.abs(self.matrix.data), self.matrix.shape[0])
        data = self.matrix.data * self._rows[rows]
        self._columns = _inverse_of_largest(columns, np.abs(data), self.matrix.shape[1])
        scaled = sp.csc_array((data * self._columns[columns], rows, starts), shape=self.matrix.shape)
        try:
            symmetric = {"SymmetricMode": True}
            self._lu: Any = splu(scaled, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=1e-3, options=symmetric)
            probe = np.cos(np.arange(scaled.shape[0], dtype=np.float64) ** 2).astype(scaled.dtype)
            found = self._lu.solve(probe)
            most = 1.0 + float(np.abs(found).max())  # no entry of the matrix is more than one
            good = bool((np.abs(scaled @ found - probe) <= BACKWARD * most).all())
        except RuntimeError:  # small pivots beside a zero one
            good = False
        if not good:
            self._lu = splu(scaled)

    @property
    def operations(self) -> float:
        """Multiplications of a factorisation, about."""
        columns, rows = np.diff(self._lu.L.tocsc().indptr), np.diff(self._lu.U.tocsr().indptr)
        return float((columns.astype(float) * rows).sum())

    def solve(self, right: ComplexArray | FloatArray) -> ComplexArray:
        """Solve for columns (N, k)."""
        given = np.asarray(right, dtype=self.matrix.dtype)
        found = self._once(given)
        return found + self._once(given - self.matrix @ found)

    def solve_transposed(self, right: ComplexArray | FloatArray) -> ComplexArray:
        """Solve with the transposed matrix for columns (N, k)."""
        given = np.asarray(right, dtype=self.matrix.dtype)
        found = self._once_transposed(given)
        return found + self._once_transposed(given - self.matrix.T @ found)

    def _once(self, right: ComplexArray) -> ComplexArray:
        return np.asarray(self._columns[:, None] * self._lu.solve(self._rows[:, None] * right))

    def _once_transposed(self, right: ComplexArray) -> ComplexArray:
        return np.asarray(self._rows[:, None] * self._lu.solve(self._columns[:, None] * right, "T"))


def _inverse_of_largest(places: Any, sizes: FloatArray, count: int) -> FloatArray:
    """(count,) one over the largest of the sizes in each place; one where there is none."""
    largest = np.zeros(count)
    np.maximum.at(largest, places, sizes)
    return 1.0 / np.where(largest > 0, largest, 1.0)
