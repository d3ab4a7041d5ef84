"""Pass 2: scale cells so that every cell keeps a capacitance (or conductance) of its own.

Plain couplers need ``A_hw = D A D`` to be diagonally dominant: what is left of the diagonal
after the couplers is the cell's own part. A positive diagonal D exists exactly for the
H-matrices: with ``J = D_A^-1/2 |A_off| D_A^-1/2`` and its Perron pair (rho, w), iff
``rho < 1``; then ``d = D_A^-1/2 w`` leaves every cell the own fraction ``1 - rho``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import FloatArray
from spu.base.choice import clearly_less
from spu.base.sparse import canonical, diagonal_places, largest_eigenvalue, off_diagonal, scaled, with_data

_SMALL = 64
"""Up to this many cells the Perron pair comes from a dense eigenvalue solver, beyond from Lanczos."""

_DENSE = 2000
"""Up to this many cells linear systems are solved by dense Cholesky factors, beyond by sparse ones."""


@dataclass(frozen=True, eq=False)
class Congruence:
    """The scaling of each cell.

    Attributes
    ----------
    radius:
        Gives rho.
    bound:
        What rho is at most.
    scale:
        (n,) the diagonal of D; None where rho >= 1.
    dominant:
        True if the matrix was diagonally dominant to begin with (then D = 1).
    """

    radius: Callable[[], float]
    bound: float
    scale: FloatArray | None
    dominant: bool

    @cached_property
    def rho(self) -> float:
        """Spectral radius of J, the largest over connected components.

        To 1e-8 where only its value is asked for (more than 64 cells, all dominant), and found then.
        """
        return self.radius()

    @property
    def below_one(self) -> bool:
        """Whether rho is below 1, by more than it may be off."""
        return _below_one(self.bound) or _below_one(self.rho)


def _below_one(rho: float) -> bool:
    return rho < 1.0 - 1e-11


def rounding(n: int) -> float:
    """Relative to its diagonal entry: what is left of it after n couplers is nothing below this."""
    return 4.0 * n * float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class _Block:
    """A matrix, or a connected component of it: its diagonal, (n,), and the sizes of what is off it, (n, n)."""

    diagonal: FloatArray
    off: sp.csr_array

    @property
    def n(self) -> int:
        return len(self.diagonal)

    @property
    def jacobi(self) -> sp.csr_array:
        """J, (n, n)."""
        root = 1.0 / np.sqrt(self.diagonal)
        return scaled(self.off, root, root)

    def own_fraction(self, scale: FloatArray) -> FloatArray:
        return np.asarray(1.0 - (self.off @ scale) / (self.diagonal * scale))

    def part(self, members: NDArray[np.int64]) -> _Block:
        if len(members) == self.n:
            return self
        return _Block(self.diagonal[members], self.off[members][:, members])


def _block(matrix: FloatArray | sp.csr_array) -> _Block:
    a = canonical(matrix)
    return _Block(a.diagonal(), abs(off_diagonal(a)))


def own_fraction(matrix: FloatArray | sp.csr_array, scale: FloatArray) -> FloatArray:
    """(n,) share of each scaled diagonal entry that couplers leave over; may be negative."""
    a = canonical(matrix)
    places = diagonal_places(a)
    size, diagonal = np.abs(a.data), a.data[places] if len(places) == a.shape[0] else a.diagonal()
    size[places] = 0.0
    return _Block(diagonal, with_data(a, size)).own_fraction(scale)


def congruence(matrix: FloatArray | sp.csr_array) -> Congruence:
    """Scale each connected component as flat as a fair margin allows; leave dominant ones alone."""
    whole = _block(matrix)
    n = whole.n
    left = whole.own_fraction(np.ones(n))
    lacking = left < -rounding(n)
    scale = np.ones(n)
    if not lacking.any():
        # J is similar to the sizes off the diagonal over the diagonal: rho is at most the largest sum of its rows.
        return Congruence(partial(_radius, whole), 1.0 - float(left.min()) + rounding(n), scale, True)
    _, labels = connected_components(whole.off, directed=False)
    needy = np.isin(labels, labels[lacking])
    rest = whole.part(np.flatnonzero(~needy))
    worst = _radius(rest) if rest.n else 0.0
    for label in np.unique(labels[needy]):
        members = np.flatnonzero(labels == label)
        block = whole.part(members)
        rho, vector = _perron(block)
        worst = max(worst, rho)
        if _below_one(rho):
            candidates = [vector / np.sqrt(block.diagonal), *_lifted(block, rho)]
            sound = [d for d in candidates if (d > 0).all() and (block.own_fraction(d) > 0).all()]
            flat = [_flattened(block, d) for d in sound or candidates[:1]]
            scale[members] = _flattest(flat)
    return Congruence(partial(float, worst), worst, scale if _below_one(worst) else None, False)


def _flattest(candidates: list[FloatArray]) -> FloatArray:
    """The scaling of the least spread; the first of those that are alike."""
    best = candidates[0]
    for other in candidates[1:]:
        if clearly_less(float(np.log(other.max() / other.min())), float(np.log(best.max() / best.min())), 1.0):
            best = other
    return best


def _radius(block: _Block) -> float:
    """Spectral radius of J, to 1e-8 in a large block."""
    if block.n <= _SMALL or not block.off.nnz:
        return _perron(block)[0]
    return largest_eigenvalue(block.jacobi.__matmul__, np.sqrt(block.diagonal), tolerance=1e-8)


def _perron(block: _Block) -> tuple[float, FloatArray]:
    """Perron pair of J, of a connected block: its spectral radius, and a vector (n,) >= 0 (not normalised)."""
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    if not block.off.nnz:
        return 0.0, np.ones(block.n)
    jacobi = block.jacobi
    if block.n <= _SMALL:
        values, vectors = la.eigh(jacobi.toarray(), subset_by_index=[block.n - 1, block.n - 1])
        return float(values[0]), np.abs(vectors[:, 0])
    if block.n <= _DENSE or 20 * jacobi.nnz > block.n**2:
        # Nearly the Perron vector where rows are alike; not exactly, which would end Lanczos at once.
        start = np.sqrt(block.diagonal) * (1.0 + 0.1 * np.random.default_rng(0).random(block.n))
        try:
            values, vectors = eigsh(jacobi, k=1, which="LA", v0=start, tol=0.0, maxiter=50)
            return float(values[0]), np.abs(vectors[:, 0])
        except ArpackNoConvergence:  # the end of the spectrum is crowded, as that of a large grid is
            pass
    return _noda(jacobi, np.sqrt(block.diagonal))


def _noda(jacobi: sp.csr_array, start: FloatArray) -> tuple[float, FloatArray]:
    """Perron pair by inverse iteration (Noda, Numer. Math. 17:382, 1971), however crowded the spectrum.

    The shift is the upper bound ``max (J x)_i / x_i`` of Collatz and Wielandt, so vectors stay
    positive; the Rayleigh quotient is the lower bound. Quadratically convergent.
    """
    from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky

    x = start / start.max()
    rho = 0.0
    for _ in range(20):
        image = jacobi @ x
        above, rho = float((image / x).max()), float(x @ image) / float(x @ x)
        if above - rho <= 1e-12 * above:
            break
        try:
            shifted = SparseCholesky(sp.csr_array(above * sp.eye_array(len(x)) - jacobi))
        except NotPositiveDefinite:  # the bound has met the value, but for rounding
            break
        for _ in range(3):  # a solution costs far less than the factors
            y = shifted.solve(x)
            if not (y > 0).all():
                return rho, x
            x = y / y.max()
    return rho, x


def _lifted(block: _Block, rho: float) -> list[FloatArray]:
    """Scalings close to a given one, the constant or Jacobi's, that give every cell a part of its own.

    With the comparison matrix N (``|a_ii|`` and ``-|a_ij|``), an M-matrix where rho < 1, ask for own parts
    ``N d = w``: what each cell has already at the scaling given, or ``(1 - rho) / 2`` of its diagonal if that
    is more. The Perron vector decays along weak links, by decades with every link; these do not.
    """
    comparison = sp.csr_array(sp.diags_array(block.diagonal) - block.off)
    solve = _solver(comparison)
    if solve is None:
        return []
    found = []
    for given in (np.ones(block.n), 1.0 / np.sqrt(block.diagonal)):
        own = comparison @ given
        wanted = np.maximum(own, (1.0 - rho) / 2.0 * block.diagonal * given)
        found.append(given + solve(wanted - own))
    return found


def _solver(matrix: sp.csr_array) -> Callable[[FloatArray], FloatArray] | None:
    """Solve with a symmetric positive definite matrix; None if rounding makes it none."""
    from spu.base.selected_inverse import SparseCholesky

    try:
        if matrix.shape[0] > _DENSE:
            return SparseCholesky(matrix).solve
        factor = la.cho_factor(matrix.toarray())
    except la.LinAlgError:
        return None
    return lambda b: np.asarray(la.cho_solve(factor, b))


def _flattened(block: _Block, scale: FloatArray) -> FloatArray:
    """The flattest ``scale^t``, t from 0 to 1, that keeps half of the smallest own fraction.

    The constraints are log-convex, so the t that satisfy them form an interval that ends at 1.
    """
    direction = np.log(scale) - np.log(scale).mean()
    margin = block.own_fraction(scale).min() / 2.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if block.own_fraction(np.exp(middle * direction)).min() >= margin:
            high = middle
        else:
            low = middle
    return np.exp(high * direction)
