r"""Factorisation of sparse symmetric positive definite matrices, and the entries of their inverse on the pattern.

``P A P^T = L D L^T`` with a fill-reducing order P. SuperLU (in its symmetric mode: no pivoting)
finds order and factors; the structure of L is found from the elimination tree, so that it is
complete even where an entry happens to cancel. From the factors follow, with
``Z = A^-1`` in the order of P:

- the entries of Z on the structure of L, and so on the pattern of A, by the recurrence of
  Takahashi, Fagan and Chen (Proc. 8th PICA Conference, 1973; Erisman and Tinney, Comm. ACM 18:177,
  1975), from the last column to the first:
  ``Z_ij = -sum_k Z_ik L_kj`` and ``Z_jj = 1/D_j - sum_k L_kj Z_kj``, sums over the rows k > j of column j;
- ``P^T L^-T D^-1/2``, which turns independent normals into samples of covariance ``A^-1``.

The loops: ``spu/base/kernels/c/sparse.c``.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, IntArray
from spu.base.kernels.door import Kernel, floats, integers
from spu.base.sparse import canonical, on_pattern, row_numbers

__all__ = ["NotPositiveDefinite", "SparseCholesky", "selected_inverse"]


class NotPositiveDefinite(np.linalg.LinAlgError):
    """A factorisation met a pivot that is not positive.

    Attributes
    ----------
    index:
        Row of the matrix, from 0, whose pivot it is; None where the factorisation broke down.
    pivot:
        Its value; None with ``index``.
    """

    def __init__(self, index: int | None = None, pivot: float | None = None) -> None:
        super().__init__("singular" if index is None else f"pivot {pivot:.6g} at row {index}")
        self.index = index
        self.pivot = pivot


class SparseCholesky:
    """``P A P^T = L D L^T`` of a sparse symmetric positive definite matrix.

    Parameters
    ----------
    matrix : (n, n) sparse
        Exactly symmetric, finite.
    pattern : (n, n) sparse, optional
        Entries of the inverse that are wanted besides those on the pattern of `matrix`; symmetric. `matrix`
        then has zeros stored there.

    Raises
    ------
    NotPositiveDefinite
        If it is not positive definite (to rounding: a singular matrix may pass by a hair).

    Attributes
    ----------
    pivots : (n,) ndarray
        D, all positive.
    log_determinant : float
        Natural logarithm of the determinant of `matrix`.
    """

    def __init__(self, matrix: Any, pattern: Any = None) -> None:
        self.matrix = canonical(matrix)
        if pattern is not None:
            self.matrix = on_pattern(self.matrix, canonical(pattern))
        self._factorise()

    def __getstate__(self) -> sp.csr_array:
        return self.matrix  # SuperLU's factor goes into no pickle

    def __setstate__(self, matrix: sp.csr_array) -> None:
        self.matrix = matrix
        self._factorise()

    def _factorise(self) -> None:
        from scipy.sparse.linalg import splu

        n = self.matrix.shape[0]
        diagonal = self.matrix.diagonal()
        if not (diagonal > 0).all():  # SuperLU would look for a pivot elsewhere
            worst = int(np.argmin(diagonal))
            raise NotPositiveDefinite(worst, float(diagonal[worst]))
        try:
            # Symmetric: its own columns are its rows, and no copy has to be sorted.
            columns = sp.csc_array((self.matrix.data, self.matrix.indices, self.matrix.indptr), shape=(n, n))
            lu = splu(columns, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        except RuntimeError as error:  # "Factor is exactly singular"
            raise NotPositiveDefinite from error
        if not np.array_equal(lu.perm_r, lu.perm_c):
            raise NotPositiveDefinite
        self._lu = lu
        self._place = np.asarray(lu.perm_c, dtype=np.int64)  # row i of A is row place[i] of P A P^T
        self.pivots: FloatArray = lu.U.diagonal()
        if not (self.pivots > 0).all():
            worst = int(np.argmin(self.pivots))
            raise NotPositiveDefinite(int(np.argmax(self._place == worst)), float(self.pivots[worst]))
        self.log_determinant = float(np.log(self.pivots).sum())

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.matrix.shape[0]

    def solve(self, b: ArrayLike) -> FloatArray:
        """Solve ``A x = b`` for one right-hand side (n,) or for k of them (n, k)."""
        return np.asarray(self._lu.solve(np.asarray(b, dtype=np.float64)))

    def sample_solve(self, normals: ArrayLike) -> FloatArray:
        """Apply ``P^T L^-T D^-1/2`` to (n,) or (n, k): independent standard normals get the covariance ``A^-1``."""
        w = np.asarray(normals, dtype=np.float64)
        block = (w.reshape(self.n, -1).T / np.sqrt(self.pivots)).T
        block = np.ascontiguousarray(block)
        indptr, rows, values = self._factor
        _back_substitute(indptr, rows, values, block)
        return block[self._place].reshape(w.shape)

    def selected_inverse(self) -> sp.csr_array:
        """Entries of ``A^-1`` on the pattern of A and on the diagonal, (n, n); exactly symmetric."""
        indptr, rows, values = self._factor
        inverse, diagonal = np.zeros(len(rows)), np.empty(self.n)
        _takahashi(indptr, rows, values, self.pivots, np.empty(self.n, dtype=np.int64), inverse, diagonal)
        pattern = self.matrix  # its diagonal is stored, being positive
        i, j = self._place[row_numbers(pattern)], self._place[pattern.indices]
        data = np.empty(len(i))
        _gather(indptr, rows, inverse, diagonal, np.minimum(i, j), np.maximum(i, j), data)
        return sp.csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)

    @cached_property
    def _factor(self) -> tuple[IntArray, IntArray, FloatArray]:
        """L below its unit diagonal, by columns: (n + 1,) starts, rows in rising order, values."""
        n, place = self.n, self._place
        i, j = place[row_numbers(self.matrix)], place[self.matrix.indices]
        below = i > j
        # By rows: for each row of P A P^T, its columns left of the diagonal.
        lower = sp.csr_array((np.ones(int(below.sum())), (i[below], j[below])), shape=(n, n))
        given = lower.indptr.astype(np.int64), lower.indices.astype(np.int64)
        indptr = np.empty(n + 1, dtype=np.int64)
        parent, mark, fill = (np.empty(n, dtype=np.int64) for _ in range(3))
        _count_structure(*given, indptr, parent, mark)
        rows = np.empty(indptr[n], dtype=np.int64)
        _fill_structure(*given, indptr, parent, mark, fill, rows)
        values = np.zeros(len(rows))
        factor = self._lu.L
        _scatter(
            factor.indptr.astype(np.int64), factor.indices.astype(np.int64), factor.data, indptr, rows, mark, values
        )
        return indptr, rows, values


def selected_inverse(matrix: Any) -> sp.csr_array:
    """Entries of the inverse of a sparse symmetric positive definite (n, n) matrix on its pattern.

    Returns
    -------
    csr_array
        (n, n), exactly symmetric, with the pattern of the matrix; accurate to rounding times its
        condition number.

    Raises
    ------
    NotPositiveDefinite
        If the matrix is not positive definite.
    """
    return SparseCholesky(matrix).selected_inverse()


# Of a factor L its columns' starts, its rows in rising order within each column, and its values.
_FACTOR: dict[str, Any] = {"indptr": integers("n+1"), "rows": integers("entries"), "values": floats("entries")}

_count_structure = Kernel(
    "count_structure",
    indptr=integers("n+1"),
    indices=integers("entries"),
    starts=integers("n+1", written=True),
    parent=integers("n", written=True),
    mark=integers("n", written=True),
)

_fill_structure = Kernel(
    "fill_structure",
    indptr=integers("n+1"),
    indices=integers("entries"),
    starts=integers("n+1"),
    parent=integers("n"),
    mark=integers("n", written=True),
    fill=integers("n", written=True),
    rows=integers("found", written=True),
)

_scatter = Kernel(
    "scatter",
    from_indptr=integers("n+1"),
    from_rows=integers("given"),
    from_values=floats("given"),
    indptr=integers("n+1"),
    rows=integers("entries"),
    place=integers("n", written=True),
    values=floats("entries", written=True),
)

_back_substitute = Kernel("back_substitute", **_FACTOR, block=floats("n", "k", written=True))

_takahashi = Kernel(
    "takahashi",
    **_FACTOR,
    pivots=floats("n"),
    place=integers("n", written=True),
    inverse=floats("entries", written=True),
    diagonal=floats("n", written=True),
)

_gather = Kernel(
    "gather",
    indptr=integers("n+1"),
    rows=integers("entries"),
    inverse=floats("entries"),
    diagonal=floats("n"),
    column=integers("wanted"),
    row=integers("wanted"),
    found=floats("wanted", written=True),
)
