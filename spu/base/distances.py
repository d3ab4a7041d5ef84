"""How far two means or covariances are apart."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray, Matrix
from spu.base.sparse import row_numbers, with_data


def kullback_leibler(
    mean: Annotated[FloatArray, "n"],
    covariance: Annotated[FloatArray, "n n"],
    target_mean: Annotated[FloatArray, "n"],
    target_covariance: Annotated[FloatArray, "n n"],
) -> float:
    """Kullback-Leibler divergence of a Gaussian to a target, in nats: what is lost by taking it for the target.

    ``KL(N(m, S) || N(m0, S0)) = (tr(S0^-1 S - I) - log det(S0^-1 S) + (m0 - m)^T S0^-1 (m0 - m)) / 2``
    (Kullback, Information Theory and Statistics, 1959, ch. 9), from the generalised eigenvalues ``e`` of
    ``S - S0`` and S0, as ``sum(e - log(1 + e)) / 2``: exact to rounding of S even where it all but vanishes.

    Parameters
    ----------
    mean, covariance:
        Of the one.
    target_mean, target_covariance:
        Of the other, whose covariance is positive definite.

    Returns
    -------
    float
        0 or more; infinite where ``covariance`` is singular.

    Examples
    --------
    One variance twice as large as it should be costs ``(1 - log 2) / 2``:

    >>> import numpy as np
    >>> import spu
    >>> found, target = np.diag([2.0, 1.0]), np.eye(2)
    >>> round(spu.kullback_leibler(np.zeros(2), found, np.zeros(2), target), 6)
    0.153426
    """
    size = 1.0 / np.sqrt(np.diagonal(target_covariance))
    target = target_covariance * np.outer(size, size)
    gap = (np.asarray(covariance) - target_covariance) * np.outer(size, size)
    excess = la.eigh((gap + gap.T) / 2, target, eigvals_only=True)
    if excess[0] <= -1.0:
        return float("inf")
    shift = size * (mean - target_mean)
    return float((excess - np.log1p(excess)).sum() + shift @ la.solve(target, shift, assume_a="pos")) / 2


def relative_error(found: Matrix, target: Matrix) -> float | None:
    """``|found - target| / |target|`` in the Frobenius norm, on what both know; None where the target is zero."""
    found, target = on_one_pattern(found, target)
    size = frobenius(target)
    return frobenius(found - target) / size if size > 0 else None


def on_one_pattern(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """Two matrices as they are, or where one or both are sparse, on the entries that are known of both."""
    if isinstance(a, sp.csr_array) and isinstance(b, sp.csr_array):
        return _common(a, b), _common(b, a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a, b
    if isinstance(a, sp.csr_array):
        return a, with_data(a, np.asarray(b)[row_numbers(a), a.indices])
    assert isinstance(b, sp.csr_array)
    return with_data(b, np.asarray(a)[row_numbers(b), b.indices]), b


def _common(a: sp.csr_array, b: sp.csr_array) -> sp.csr_array:
    """Of a matrix the entries that another one stores, too; both sorted, of one shape."""
    columns = a.shape[1]
    rows = row_numbers(a)
    kept = np.isin(rows * columns + a.indices, row_numbers(b) * columns + b.indices, assume_unique=True)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=a.shape[0]))])
    return sp.csr_array((a.data[kept], a.indices[kept], indptr), shape=a.shape)


def frobenius(matrix: Matrix) -> float:
    """Frobenius norm of a dense or sparse matrix, or of a vector."""
    return float(np.linalg.norm(matrix.data if isinstance(matrix, sp.csr_array) else matrix))
