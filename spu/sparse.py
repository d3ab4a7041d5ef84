"""What the package asks of sparse matrices besides algebra. All are (rows, columns) `scipy.sparse.csr_array`."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def canonical(matrix: Any) -> sp.csr_array:
    """The matrix, dense or sparse, as a float64 CSR array: sorted, no entry twice, no stored zeros.

    A matrix that is all this already is returned as it is, not copied.
    """
    a = sp.csr_array(matrix, dtype=np.float64)
    if not (a.has_canonical_format and a.data.all()):
        a = a.copy() if sp.issparse(matrix) else a
        a.sum_duplicates()
        a.eliminate_zeros()
    return a


def row_numbers(matrix: sp.csr_array) -> IntArray:
    """(stored,) row of every stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def is_diagonal(matrix: sp.csr_array) -> bool:
    """Whether a canonical matrix is square and has no entry off its diagonal."""
    return matrix.shape[0] == matrix.shape[1] and bool((matrix.indices == row_numbers(matrix)).all())


def off_diagonal(matrix: sp.csr_array) -> sp.csr_array:
    """A canonical square matrix without its diagonal."""
    rows = row_numbers(matrix)
    keep = matrix.indices != rows
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[keep], minlength=matrix.shape[0]))])
    return sp.csr_array((matrix.data[keep], matrix.indices[keep], indptr), shape=matrix.shape)


def scaled(matrix: sp.csr_array, left: FloatArray, right: FloatArray) -> sp.csr_array:
    """``diag(left) @ matrix @ diag(right)`` on the same pattern, even where a product is zero."""
    data = np.repeat(left, np.diff(matrix.indptr)) * matrix.data * right[matrix.indices]
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
