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
        self.matrix = sp.csr_array(matrix)
        self._turned = sp.csr_array(self.matrix.T)
        size = _largest(abs(self.matrix), 1)
        self._rows = 1.0 / np.where(size > 0, size, 1.0)
        size = _largest(sp.diags_array(self._rows) @ abs(self.matrix), 0)
        self._columns = 1.0 / np.where(size > 0, size, 1.0)
        scaled = sp.csc_array(sp.diags_array(self._rows) @ self.matrix @ sp.diags_array(self._columns))
        try:
            symmetric = {"SymmetricMode": True}
            self._lu: Any = splu(scaled, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=1e-3, options=symmetric)
            probe = np.cos(np.arange(scaled.shape[0], dtype=np.float64) ** 2).astype(scaled.dtype)
            found = self._lu.solve(probe)
            terms = abs(scaled) @ np.abs(found) + np.abs(probe)
            good = bool((np.abs(scaled @ found - probe) <= BACKWARD * terms.max()).all())
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
        return found + self._once_transposed(given - self._turned @ found)

    def _once(self, right: ComplexArray) -> ComplexArray:
        return np.asarray(self._columns[:, None] * self._lu.solve(self._rows[:, None] * right))

    def _once_transposed(self, right: ComplexArray) -> ComplexArray:
        return np.asarray(self._rows[:, None] * self._lu.solve(self._columns[:, None] * right, "T"))


def _largest(matrix: Any, axis: int) -> FloatArray:
    return np.asarray(matrix.max(axis=axis).toarray()).ravel()
