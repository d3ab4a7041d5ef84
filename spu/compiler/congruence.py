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
    """Scale each connected component as flat as a fair margin allows; leave dominant ones alone."""
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
        root = np.sqrt(np.diag(block))
        jacobi = np.abs(block) / np.outer(root, root)
        np.fill_diagonal(jacobi, 0.0)
        values, vectors = la.eigh(jacobi, subset_by_index=[len(members) - 1, len(members) - 1])
        rho = float(values[0])
        worst = max(worst, rho)
        if (own_fraction(block, np.ones(len(members))) >= -rounding).all():
            continue
        dominant = False
        if rho < 1.0:
            candidates = [np.abs(vectors[:, 0]) / root, *_lifted(block, rho)]
            sound = [d for d in candidates if (d > 0).all() and (own_fraction(block, d) > 0).all()]
            flat = [_flattened(block, d) for d in sound or candidates[:1]]
            scale[members] = min(flat, key=lambda d: float(d.max() / d.min()))
    return Congruence(worst, scale if worst < 1.0 or dominant else None, dominant)


def _lifted(block: FloatArray, rho: float) -> list[FloatArray]:
    """Scalings close to a given one, the constant or Jacobi's, that give every cell a part of its own.

    With the comparison matrix N (``|a_ii|`` and ``-|a_ij|``), an M-matrix where rho < 1, ask for own parts
    ``N d = w``: what each cell has already at the scaling given, or ``(1 - rho) / 2`` of its diagonal if that
    is more. The Perron vector decays along weak links, by decades with every link; these do not.
    """
    diagonal = np.diag(block)
    comparison = 2.0 * np.diag(diagonal) - np.abs(block)
    found = []
    for given in (np.ones(len(block)), 1.0 / np.sqrt(diagonal)):
        own = comparison @ given
        wanted = np.maximum(own, (1.0 - rho) / 2.0 * diagonal * given)
        found.append(given + la.solve(comparison, wanted - own, assume_a="pos"))
    return found


def _flattened(block: FloatArray, scale: FloatArray) -> FloatArray:
    """The flattest ``scale^t``, t from 0 to 1, that keeps half of the smallest own fraction.

    The constraints are log-convex, so the t that satisfy them form an interval that ends at 1.
    """
    direction = np.log(scale) - np.log(scale).mean()
    margin = own_fraction(block, scale).min() / 2.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if own_fraction(block, np.exp(middle * direction)).min() >= margin:
            high = middle
        else:
            low = middle
    return np.exp(high * direction)
