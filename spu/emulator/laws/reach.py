"""Which states no noise reaches: their variance is zero, exactly, and whoever draws them draws zeros."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import FloatArray


def silent(A: FloatArray, B: FloatArray) -> NDArray[np.bool_]:
    """Whether no noise of ``dz = A z dt + B dW`` reaches a state, neither itself nor by way of others.

    By the graph alone, the patterns of A (n, n) and B (n, m): in coordinates in which parts of a network that nothing
    connects have entries of their own (`spu.emulator.equations.linear.DenseSDE`) these zeros are exact, where a
    solved variance would be rounding of the loudest, of either sign.

    Returns
    -------
    (n,) booleans.
    """
    heard = (B != 0).any(axis=1)
    new = heard
    while new.any() and not heard.all():
        new = (A[:, new] != 0).any(axis=1) & ~heard
        heard = heard | new
    return np.asarray(~heard)


def hushed(covariance: FloatArray, quiet: NDArray[np.bool_]) -> FloatArray:
    """A covariance (n, n), zero where a state is `silent`; the one given, changed in place."""
    if quiet.any():
        covariance[quiet] = 0.0
        covariance[:, quiet] = 0.0
    return covariance


def partly_silent(matrices: list[sp.csr_array], heard: NDArray[np.bool_]) -> bool:
    """Whether noise reaches some nodes of a network but not others: symmetric matrices (n, n), and where it enters."""
    if heard.all() or not heard.any():
        return False
    pattern = abs(matrices[0])
    for matrix in matrices[1:]:
        pattern = sp.csr_array(pattern + abs(matrix))
    together = connected_components(pattern, directed=False)[1]
    loud = np.unique(together[heard])
    return len(loud) <= together.max()
