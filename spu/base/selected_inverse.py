r"""Factorisation of sparse symmetric positive definite matrices, and the entries of their inverse on the pattern.

``P A P^T = L D L^T`` with P by approximate minimum degree, and L by supernodes: neighbouring columns of L with
the same rows, which are dense panels, so that the factor takes 8 bytes an entry and little besides. From it
follow, with ``Z = A^-1`` in the order of P:

- the entries of Z on the pattern of A, by the recurrence of Takahashi, Fagan and Chen (Proc. 8th PICA
  Conference, 1973; Erisman and Tinney, Comm. ACM 18:177, 1975), from the root of the elimination tree to its leaves:
  ``Z_ij = -sum_k Z_ik L_kj`` and ``Z_jj = 1/D_j - sum_k L_kj Z_kj``, sums over the rows k > j of column j. What
  a supernode needs is part of what its parent had, so that no more of Z is kept than lies on one way to the root;
- ``P^T L^-T D^-1/2``, which turns independent normals into samples of covariance ``A^-1``.

The loops: ``spu/base/kernels/c/supernodes.c``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, IntArray
from spu.base.kernels.door import Kernel, floats, integers
from spu.base.memory import require
from spu.base.sparse import canonical, on_pattern, with_data

_LARGE_FACTOR = 100_000_000
"""Bytes of a factor from which on it is asked whether there are so many."""

__all__ = ["NotPositiveDefinite", "SparseCholesky", "Supernodes", "selected_inverse"]


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
    OutOfMemory
        If its factor would not fit into the memory that is free.

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
        return self.matrix  # its factor is many times larger, and found again in seconds

    def __setstate__(self, matrix: sp.csr_array) -> None:
        self.matrix = matrix
        self._factorise()

    def _factorise(self) -> None:
        diagonal = self.matrix.diagonal()
        if not (diagonal > 0).all():
            worst = int(np.argmin(diagonal))
            raise NotPositiveDefinite(worst, float(diagonal[worst]))
        self._supernodes = Supernodes.of(self.matrix)
        self._values, self.pivots = self._supernodes.factorise(self.matrix.data)
        if not (self.pivots > 0).all():
            worst = int(np.argmin(self.pivots))
            raise NotPositiveDefinite(int(self._supernodes.order[worst]), float(self.pivots[worst]))
        self.log_determinant = float(np.log(self.pivots).sum())

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.matrix.shape[0]

    def solve(self, b: ArrayLike) -> FloatArray:
        """Solve ``A x = b`` for one right-hand side (n,) or for k of them (n, k); each as if it were the only one."""
        right = np.asarray(b, dtype=np.float64)
        x = right.reshape(self.n, -1)[self._supernodes.order]
        self._supernodes.solve_lower(self._values, x)
        x /= self.pivots[:, None]
        self._supernodes.solve_upper(self._values, x)
        return x[self._supernodes.place].reshape(right.shape)

    def sample_solve(self, normals: ArrayLike) -> FloatArray:
        """Apply ``P^T L^-T D^-1/2`` to (n,) or (n, k): independent standard normals get the covariance ``A^-1``."""
        w = np.asarray(normals, dtype=np.float64)
        block = w.reshape(self.n, -1) / np.sqrt(self.pivots)[:, None]
        self._supernodes.solve_upper(self._values, block)
        return block[self._supernodes.place].reshape(w.shape)

    def selected_inverse(self) -> sp.csr_array:
        """Entries of ``A^-1`` on the pattern of A and on the diagonal, (n, n); exactly symmetric."""
        data = self._supernodes.invert(self._values, self.pivots)
        return with_data(self.matrix, data)  # its diagonal is stored, being positive


@dataclass(frozen=True, eq=False)
class Supernodes:
    """The structure of L for a symmetric pattern of n rows: c supernodes, columns each, with the same rows below.

    Attributes
    ----------
    indptr, indices:
        The pattern by rows, as 64-bit integers.
    order, place:
        (n,) which row of A is row k of ``P A P^T``, and which row of that is row k of A.
    starts:
        (c + 1,) first column of each supernode.
    row_starts, rows:
        (c + 1,) and what they point at: the rows below each supernode's columns, rising.
    value_starts:
        (c + 1,) where the panel of each starts among the factor's values.
    parent:
        (c,) the supernode of the first row below; -1 of none.
    stacks:
        (2,) most entries that wait while it is factorised and inverted.
    """

    indptr: IntArray
    indices: IntArray
    order: IntArray
    place: IntArray
    starts: IntArray
    row_starts: IntArray
    rows: IntArray
    value_starts: IntArray
    parent: IntArray
    stacks: IntArray

    @classmethod
    def of(cls, matrix: sp.csr_array) -> Supernodes:
        """Those of a canonical symmetric matrix, in an order that keeps L sparse."""
        n = matrix.shape[0]
        pattern = indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
        order, place, below = _integers(n), _integers(n), _integers(n)
        _minimum_degree(*pattern, _integers(len(indices) + n + 1), _integers(12 * (n + 1)), order)
        starts, count = _integers(n + 1), _integers(1)
        _find_supernodes(*pattern, order, place, _integers(5 * n), starts, below, count)
        c = int(count[0])
        starts, below = starts[: c + 1].copy(), below[:c]
        width = np.diff(starts)
        row_starts, value_starts = (
            np.concatenate([[0], np.cumsum(sizes)]) for sizes in (below, width * (width + below))
        )
        rows, parent, stacks = _integers(int(row_starts[-1])), _integers(c), _integers(2)
        _fill_supernodes(*pattern, order, place, starts, row_starts, _integers(2 * n + 3 * c), rows, parent, stacks)
        return cls(indptr, indices, order, place, starts, row_starts, rows, value_starts, parent, stacks)

    def factorise(self, data: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values of L, and D (n,), of a matrix with these entries.

        Raises
        ------
        NotPositiveDefinite
            If a pivot is 0 or not finite.
        OutOfMemory
            If they would not fit into the memory that is free.
        """
        n, count = len(self.order), len(self.parent)
        needed = 8 * int(self.value_starts[-1] + self.stacks[0])
        if needed > _LARGE_FACTOR:
            require(
                needed, f"the factor of a sparse matrix of {n} rows", "fewer couplings, or a larger machine, would do"
            )
        values, pivots, failed = np.empty(self.value_starts[-1]), np.empty(n), _integers(1)
        pattern = (self.indptr, self.indices, np.ascontiguousarray(data))
        scratch = (_integers(n + 2 * count), np.empty(self.stacks[0]))
        _factorise_supernodes(*pattern, *self._structure, self.parent, *scratch, values, pivots, failed)
        if failed[0]:
            raise NotPositiveDefinite
        return values, pivots

    def solve_lower(self, values: FloatArray, x: FloatArray) -> None:
        """Solve ``L y = x`` in place, for x (n, k) in the order of P."""
        solve_lower(self.starts, self.row_starts, self.rows, self.value_starts, values, x)

    def solve_upper(self, values: FloatArray, x: FloatArray) -> None:
        """Solve ``L^T y = x`` in place, for x (n, k) in the order of P."""
        solve_upper(self.starts, self.row_starts, self.rows, self.value_starts, values, x)

    def invert(self, values: FloatArray, pivots: FloatArray) -> FloatArray:
        """(entries,) of the inverse of the matrix that was factorised, on its pattern."""
        n, count, found = len(self.order), len(self.parent), np.empty(len(self.indices))
        scratch = (_integers(2 * n + 3 * count), np.empty(self.stacks[1]))
        pattern = (self.indptr, self.indices)
        _invert_selected(*pattern, *self._structure, self.parent, values, pivots, *scratch, found)
        return found

    @property
    def _structure(self) -> tuple[IntArray, ...]:
        return self.order, self.place, self.starts, self.row_starts, self.rows, self.value_starts


def _integers(count: int) -> IntArray:
    return np.empty(count, dtype=np.int64)


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


_PATTERN: dict[str, Any] = {"indptr": integers("n+1"), "indices": integers("entries")}
_ORDER: dict[str, Any] = {"order": integers("n"), "place": integers("n")}
_SCRATCH: dict[str, Any] = {"work": integers("scratch", written=True)}
_FACTOR: dict[str, Any] = {
    "starts": integers("count+1"),
    "row_starts": integers("count+1"),
    "rows": integers("lower"),
    "value_starts": integers("count+1"),
}

_minimum_degree = Kernel(
    "minimum_degree",
    **_PATTERN,
    lists=integers("room", written=True),
    **_SCRATCH,
    order=integers("n", written=True),
)

_find_supernodes = Kernel(
    "find_supernodes",
    **_PATTERN,
    order=integers("n", written=True),
    place=integers("n", written=True),
    **_SCRATCH,
    starts=integers("n+1", written=True),
    below=integers("n", written=True),
    count=integers(1, written=True),
)

_fill_supernodes = Kernel(
    "fill_supernodes",
    **_PATTERN,
    **_ORDER,
    starts=integers("count+1"),
    row_starts=integers("count+1"),
    **_SCRATCH,
    rows=integers("lower", written=True),
    parent=integers("count", written=True),
    stacks=integers(2, written=True),
)

_factorise_supernodes = Kernel(
    "factorise_supernodes",
    **_PATTERN,
    data=floats("entries"),
    **_ORDER,
    **_FACTOR,
    parent=integers("count"),
    **_SCRATCH,
    stack=floats("waits", written=True),
    values=floats("stored", written=True),
    pivots=floats("n", written=True),
    failed=integers(1, written=True),
)

_invert_selected = Kernel(
    "invert_selected",
    **_PATTERN,
    **_ORDER,
    **_FACTOR,
    parent=integers("count"),
    values=floats("stored"),
    pivots=floats("n"),
    **_SCRATCH,
    stack=floats("waits", written=True),
    found=floats("entries", written=True),
)

solve_lower = Kernel("solve_lower", **_FACTOR, values=floats("stored"), x=floats("n", "k", written=True))
"""Solve ``L y = x`` in place, x (n, k) in the order of P."""

solve_upper = Kernel("solve_upper", **_FACTOR, values=floats("stored"), x=floats("n", "k", written=True))
"""Solve ``L^T y = x`` in place, x (n, k) in the order of P."""
