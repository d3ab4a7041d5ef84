"""Cholesky factors of dense symmetric matrices, and inverses by them."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs

from spu.base.arrays import FloatArray


def cholesky(matrix: FloatArray) -> FloatArray | None:
    """Lower factor (n, n) of a symmetric matrix of finite numbers; None where it is not positive definite.

    Of the matrix (n, n) one triangle is read. The factor lies in memory column by column, as LAPACK wants it.
    """
    factor, info = dpotrf(matrix.T, lower=1, clean=1)
    return np.asarray(factor) if info == 0 else None


def inverse(factor: FloatArray) -> FloatArray:
    """Inverse (n, n), exactly symmetric, of the matrix that has a lower Cholesky factor (n, n).

    One triangle is computed, which takes a third of the products that n solutions do.
    """
    half, info = dpotri(factor, lower=1)
    if info:  # a factor with a zero on its diagonal
        return np.full_like(half, np.inf)
    found = half + half.T
    where = np.diag_indices(len(found))
    found[where] = half[where]
    return np.asarray(found)


def solve(factor: FloatArray, right: FloatArray) -> FloatArray:
    """Solution, (n,) or (n, k), with the matrix that has a lower Cholesky factor (n, n)."""
    return np.asarray(dpotrs(factor, right, lower=1)[0])


def half_solve(factor: FloatArray, right: FloatArray) -> FloatArray:
    """``factor^-1 right``, (n, k), of a lower factor (n, n)."""
    return np.asarray(dtrtrs(factor, right, lower=1)[0])
