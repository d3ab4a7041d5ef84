"""Pass 2: scale cells so that every cell keeps a capacitance (or conductance) of its own.

Plain couplers need ``A_hw = D A D`` to be diagonally dominant: what is left of the diagonal
after the couplers is the cell's own part. A positive diagonal D exists exactly for the
H-matrices: with ``J = D_A^-1/2 |A_off| D_A^-1/2`` and its Perron pair (rho, w), iff
``rho < 1``; then ``d = D_A^-1/2 w`` leaves every cell the own fraction ``1 - rho``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Congruence:
    """The scaling of each cell.

    Attributes
    ----------
    rho:
        Spectral radius of J, the largest over connected components.
    scale:
        (n,) the diagonal of D; None where rho >= 1.
    dominant:
        True if the matrix was diagonally dominant to begin with (then D = 1).
    """

    rho: float
    scale: FloatArray | None
    dominant: bool


def own_fraction(matrix: FloatArray, scale: FloatArray) -> FloatArray:
    """(n,) share of each scaled diagonal entry that couplers leave over; may be negative."""
    magnitude = np.abs(matrix)
    np.fill_diagonal(magnitude, 0.0)
    return np.asarray(1.0 - (magnitude @ scale) / (np.diag(matrix) * scale))


def congruence(matrix: FloatArray) -> Congruence:
    """Find the flattest scaling with a fair margin, one connected component at a time.

    Of the scalings on the line ``d(t) = (D_A^-1/2 w)^t`` (feasible ones form an interval that
    ends at t = 1, because the constraints are log-convex) the one with the smallest t that
    leaves every cell at least half of the best own fraction is taken: weak links make w
    spread over orders of magnitude, and components with it.
    """
    n = len(matrix)
    rounding = 4.0 * n * np.finfo(float).eps
    count, labels = connected_components(sp.csr_array(matrix != 0), directed=False)
    scale = np.ones(n)
    worst, dominant = 0.0, True
    for label in range(count):
        members = np.flatnonzero(labels == label)
        block = matrix[np.ix_(members, members)]
        root = np.sqrt(np.diag(block))
        jacobi = np.abs(block) / np.outer(root, root)
        np.fill_diagonal(jacobi, 0.0)
        if len(members) == 1:
            continue
        values, vectors = la.eigh(jacobi, subset_by_index=[len(members) - 1, len(members) - 1])
        rho = float(values[0])
        worst = max(worst, rho)
        if (own_fraction(block, np.ones(len(members))) >= -rounding).all():
            continue
        dominant = False
        if rho >= 1.0:
            continue
        perron = np.log(np.abs(vectors[:, 0]) / root)
        perron -= perron.mean()
        scale[members] = np.exp(_flattest(block, perron, (1.0 - rho) / 2.0) * perron)
    return Congruence(worst, scale if worst < 1.0 or dominant else None, dominant)


def _flattest(block: FloatArray, direction: FloatArray, margin: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if own_fraction(block, np.exp(middle * direction)).min() >= margin:
            high = middle
        else:
            low = middle
    return high
