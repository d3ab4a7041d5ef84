"""What the package asks of sparse matrices besides algebra. All are (rows, columns) `scipy.sparse.csr_array`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.choice import ROUNDING

_FIELDS = ("indptr", "indices", "data")


def canonical(matrix: Any) -> sp.csr_array:
    """The matrix, dense or sparse, as a float64 CSR array: sorted, no entry twice, no stored zeros.

    A matrix that is all this already is returned as it is, not copied.
    """
    if type(matrix) is sp.csr_array and matrix.dtype == np.float64:
        a = matrix
    elif type(matrix) is np.ndarray and matrix.ndim == 2:
        return _of_dense(np.asarray(matrix, dtype=np.float64))
    else:
        a = sp.csr_array(matrix, dtype=np.float64)
    if not (a.has_canonical_format and a.data.all()):
        a = a.copy() if sp.issparse(matrix) else a
        a.sum_duplicates()
        a.eliminate_zeros()
    return a


def _of_dense(matrix: FloatArray) -> sp.csr_array:
    """The entries of a dense matrix that are not zero."""
    rows, columns = matrix.shape
    index = np.int32 if matrix.size < 2**31 else np.int64
    there = matrix != 0
    if there.all():
        indptr = np.arange(0, matrix.size + 1, max(columns, 1), dtype=index) if columns else np.zeros(rows + 1, index)
        indices = np.tile(np.arange(columns, dtype=index), rows)
        a = sp.csr_array((matrix.ravel().copy(), indices, indptr), shape=matrix.shape)
    else:
        places = np.flatnonzero(there)
        indptr = np.zeros(rows + 1, dtype=index)
        np.cumsum(np.count_nonzero(there, axis=1), out=indptr[1:])
        a = sp.csr_array((matrix.ravel()[places], (places % columns).astype(index), indptr), shape=matrix.shape)
    a.has_canonical_format = True
    return a


def to_fields(matrix: sp.csr_array) -> dict[str, list[Any]]:
    """The matrix as JSON holds it: ``{"shape": [p, n], "indptr": [...], "indices": [...], "data": [...]}``."""
    return {"shape": list(matrix.shape), **{key: getattr(matrix, key).tolist() for key in _FIELDS}}


def from_fields(value: Mapping[str, Any]) -> sp.csr_array:
    """The matrix that `to_fields` made ``value`` of, as it was, not checked any further.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If it is no such object.
    """
    if set(value) != {"shape", *_FIELDS}:
        raise ValueError(f"it has {', '.join(map(str, value))}; wanted are shape, {', '.join(_FIELDS)}")
    shape: Any = tuple(int(size) for size in value["shape"])
    return sp.csr_array(tuple(np.array(value[key]) for key in ("data", "indices", "indptr")), shape=shape)


def row_numbers(matrix: sp.csr_array) -> IntArray:
    """(stored,) row of every stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def diagonal_places(matrix: sp.csr_array) -> IntArray:
    """Where in its data a canonical square matrix stores entries of its diagonal, in order."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=matrix.indices.dtype), np.diff(matrix.indptr))
    return np.flatnonzero(matrix.indices == rows)


def is_diagonal(matrix: sp.csr_array) -> bool:
    """Whether a canonical matrix is square and has no entry off its diagonal."""
    return matrix.shape[0] == matrix.shape[1] and bool((matrix.indices == row_numbers(matrix)).all())


def off_diagonal(matrix: sp.csr_array) -> sp.csr_array:
    """A canonical square matrix without its diagonal."""
    places = diagonal_places(matrix)
    keep = np.ones(len(matrix.data), dtype=bool)
    keep[places] = False
    indptr = matrix.indptr - np.searchsorted(places, matrix.indptr)  # less those of the diagonal that stood before
    a = sp.csr_array((matrix.data[keep], matrix.indices[keep], indptr.astype(matrix.indptr.dtype)), shape=matrix.shape)
    a.has_canonical_format = True
    return a


def with_data(matrix: sp.csr_array, data: FloatArray) -> sp.csr_array:
    """A matrix of the same pattern with other entries."""
    a = sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    a.has_canonical_format = matrix.has_canonical_format
    return a


def without_small(matrix: Any) -> sp.csr_array:
    """The matrix, dense or sparse, canonical and without entries that are but rounding beside their row's largest."""
    a = canonical(matrix)
    rows = row_numbers(a)
    largest = np.zeros(a.shape[0])
    np.maximum.at(largest, rows, np.abs(a.data))
    return canonical(with_data(a, np.where(np.abs(a.data) > ROUNDING * largest[rows], a.data, 0.0)))


def scaled(matrix: sp.csr_array, left: FloatArray, right: FloatArray) -> sp.csr_array:
    """``diag(left) @ matrix @ diag(right)`` on the same pattern, even where a product is zero."""
    if (left == 1.0).all() and (right == 1.0).all():
        return with_data(matrix, matrix.data.copy())
    return with_data(matrix, np.repeat(left, np.diff(matrix.indptr)) * matrix.data * right[matrix.indices])


def on_pattern(matrix: sp.csr_array, pattern: sp.csr_array) -> sp.csr_array:
    """The same (n, n) matrix with zeros stored where ``pattern`` has entries; both canonical."""
    n = matrix.shape[0]
    keys = row_numbers(matrix) * n + matrix.indices
    union = np.union1d(keys, row_numbers(pattern) * n + pattern.indices)
    data = np.zeros(len(union))
    data[np.searchsorted(union, keys)] = matrix.data
    indptr = np.searchsorted(union, np.arange(n + 1) * n)
    return sp.csr_array((data, union % n, indptr), shape=(n, n))


def known_congruence(T: sp.csr_array, P: sp.csr_array) -> sp.csr_array:
    """``T P T^T`` of a matrix that is known on its pattern alone: those entries of which every term is known.

    Parameters
    ----------
    T, P:
        (q, n) and (n, n), both without repeated entries. Entries that P does not store are not zero but unknown; those
        that it stores are known, whatever their value.

    Returns
    -------
    (q, q), with the known ones stored.
    """
    if len(T.indices) == T.shape[0] == T.shape[1] and is_diagonal(T):
        return scaled(P, T.data, T.data)
    one, known = with_data(T, np.ones(len(T.indices))), with_data(P, np.ones(len(P.indices)))
    terms = sp.csr_array(one @ known @ one.T)
    terms.sort_indices()
    each = np.diff(T.indptr)
    rows, columns = row_numbers(terms), terms.indices.astype(np.int64)
    whole = terms.data == each[rows] * each[columns]
    rows, columns = rows[whole], columns[whole]
    sums = canonical(T @ P @ T.T)
    q = T.shape[0]
    keys, wanted = row_numbers(sums).astype(np.int64) * q + sums.indices, rows.astype(np.int64) * q + columns
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    data = np.where(keys[place] == wanted, sums.data[place], 0.0) if len(keys) else np.zeros(len(wanted))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=q))])
    return sp.csr_array((data, columns, indptr), shape=(q, q))


def largest_eigenvalue(
    apply: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    *,
    tolerance: float,
    limit: int = 1000,
    metric: sp.csr_array | None = None,
) -> float:
    """Largest eigenvalue of a symmetric (n, n) operator, by Lanczos' three-term recurrence.

    Without reorthogonalisation: rounding repeats eigenvalues that are found already, which does the
    largest one no harm (Paige 1980), and an iteration costs little more than ``apply``.

    Parameters
    ----------
    apply:
        The operator, (n,) to (n,).
    start:
        (n,), with a part along the eigenvector wanted.
    tolerance:
        Relative; of the residual, which bounds the error.
    limit:
        Most iterations. The value is then what was found until there, from below.
    metric:
        (n, n) positive definite: the operator is symmetric in the inner product that it makes.
    """

    def norm(x: FloatArray) -> float:
        return float(np.linalg.norm(x)) if metric is None else float(np.sqrt(x @ (metric @ x)))

    q, before = start / norm(start), np.zeros_like(start)
    alphas: list[float] = []
    betas: list[float] = []
    value = 0.0
    for k in range(min(limit, len(start))):
        w = apply(q) - (betas[-1] if betas else 0.0) * before
        alphas.append(float(q @ w if metric is None else q @ (metric @ w)))
        w -= alphas[-1] * q
        betas.append(norm(w))
        exhausted = betas[-1] <= np.finfo(float).eps * max(map(abs, (alphas[0], alphas[-1])))
        if exhausted or k % 10 == 9 or k + 1 == min(limit, len(start)):
            values, vectors = la.eigh_tridiagonal(alphas, betas[:-1], select="i", select_range=(k, k))
            value = float(values[0])
            if exhausted or betas[-1] * abs(float(vectors[-1, 0])) <= tolerance * abs(value):
                break
        before, q = q, w / betas[-1]
    return value
