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
    """Find a flat scaling with a fair margin, one connected component at a time.

    With the comparison matrix ``N`` (``|a_ii|`` and ``-|a_ij|``), an M-matrix where rho < 1, ask every
    cell for its own part ``w_i`` in ``N d = w``: what it has already at d = 1, or half of the best
    fraction, ``(1 - rho) / 2`` of its diagonal, if that is more. ``d = 1 + N^-1 (w - N 1)`` is then
    at least 1, leaves rows that are dominant nearly alone, and does not follow the Perron vector,
    which decays along weak links and would spread component values over many decades.
    """
    n = len(matrix)
    rounding = 4.0 * n * np.finfo(float).eps
    count, labels = connected_components(sp.csr_array(matrix != 0), directed=False)
    scale = np.ones(n)
    worst, dominant = 0.0, True
    for label in range(count):
        members = np.flatnonzero(labels == label)
        if len(members) == 1:
            continue
        block = matrix[np.ix_(members, members)]
        diagonal = np.diag(block)
        root = np.sqrt(diagonal)
        jacobi = np.abs(block) / np.outer(root, root)
        np.fill_diagonal(jacobi, 0.0)
        rho = float(la.eigvalsh(jacobi, subset_by_index=[len(members) - 1, len(members) - 1])[0])
        worst = max(worst, rho)
        if (own_fraction(block, np.ones(len(members))) >= -rounding).all():
            continue
        dominant = False
        if rho >= 1.0:
            continue
        comparison = 2.0 * np.diag(diagonal) - np.abs(block)
        own = comparison.sum(axis=1)
        wanted = np.maximum(own, (1.0 - rho) / 2.0 * diagonal)
        scale[members] = 1.0 + la.solve(comparison, wanted - own, assume_a="pos")
    return Congruence(worst, scale if worst < 1.0 or dominant else None, dominant)
