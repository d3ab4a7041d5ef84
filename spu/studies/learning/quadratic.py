r"""Couplings that make the reverse of noising most probable: a quadratic loss, and its lowest point.

A step of a noising path goes from x to x' in a time h. Run backwards, from x' to x, under a potential V with mobility
1, the Euler-Maruyama scheme gives it the probability ``exp(-l)`` up to what does not hang on V, with

.. math::
    l = \sum_i \frac{(-(x'_i - x_i) + h\, \partial V / \partial x_i (x'))^2}{4 k T h}
      = \sum_i \frac{(e_i + h\, (b_i + \sum_j J_{ij} x'_j))^2}{4 k T h}, \qquad e_i = -(x'_i - x_i) + h f_i(x'_i)

where f is the slope of a unit's own potential. The paths do not hang on J and b. With the state augmented by a constant
``z = (x', 1)`` and ``W = (J, b)``, the loss, added up over steps and averaged over paths, less that of ``W = 0``, is

.. math::
    L(W) = \frac{1}{2 k T} \Big( \langle A, W \rangle + \tfrac{1}{2} \langle W, W G \rangle \Big), \qquad
    A = \sum e\, z^T, \quad G = \sum h\, z\, z^T.

J is symmetric and zero outside of a mask, b zero outside of another. So L is lowest where, on the masks,

.. math::
    G_{xx} J + J G_{xx} + b\, g^T + g\, b^T = -(A_x + A_x^T), \qquad J g + t\, b = -a

(``G = (G_xx, g; g^T, t)``, ``A = (A_x, a)``). The left side is a symmetric positive map of (J, b), so conjugate
gradients solve it, preconditioned by its diagonal. Where G is singular (kT so small that units stand still) the
lowest point is not one: a ridge, ``kappa |W|^2 / 4 kT`` with kappa a stated share of the mean of G's diagonal, picks the
one of small couplings.

G and A come from sampled paths (`spu.studies.learning.sampled`), or as means over all noise (`expected`), where units
that are noised do not feel one another: G is then of low rank but for its diagonal, which is what products of two
states average to; the mask leaves out the diagonal of A.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.threads import one_blas_thread
from spu.studies.learning.noising import Levels, Noising

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Mask:
    """What may be other than zero.

    Attributes
    ----------
    visible:
        How many units are pixels: the first ones, with no coupling among them.
    couplings:
        (n, n).
    biases:
        (n,).
    """

    visible: int
    couplings: BoolArray
    biases: BoolArray

    @classmethod
    def of(cls, visible: int, hidden: int, visible_biases: bool = False) -> Mask:
        """All that is coupled to a hidden unit; biases of hidden units, and of visible ones if asked for."""
        n = visible + hidden
        couplings = np.ones((n, n), dtype=bool)
        couplings[:visible, :visible] = False
        np.fill_diagonal(couplings, False)
        biases = np.arange(n) >= visible
        return cls(visible, couplings, biases | visible_biases)

    @property
    def count(self) -> int:
        """Numbers that are learnt."""
        return int(self.couplings.sum()) // 2 + int(self.biases.sum())


@dataclass(frozen=True)
class Sums:
    """What the loss needs to know of noising paths: G and A, averaged over paths.

    Attributes
    ----------
    factor:
        (n, r) of ``G_xx = factor factor^T + diag(rest)``.
    rest:
        (n,).
    gram:
        (n, n) G_xx itself, where it has no such form; factor and rest are then empty.
    states, time:
        (n,) g, and t.
    couplings, biases:
        (n, n) A_x, whose diagonal means nothing, and (n,) a.
    """

    factor: FloatArray
    rest: FloatArray
    gram: FloatArray
    states: FloatArray
    time: float
    couplings: FloatArray
    biases: FloatArray

    @property
    def n(self) -> int:
        """Units."""
        return len(self.states)

    def diagonal(self) -> FloatArray:
        """(n,) of G_xx."""
        return np.asarray(np.diag(self.gram) if self.gram.size else self.rest + (self.factor**2).sum(axis=1))

    def times_gram(self, couplings: FloatArray) -> FloatArray:
        """(n, n) ``J G_xx``."""
        if self.gram.size:
            return np.asarray(couplings @ self.gram)
        return np.asarray((couplings @ self.factor) @ self.factor.T + couplings * self.rest)

    def dense(self) -> FloatArray:
        """(n, n) G_xx."""
        return self.gram if self.gram.size else self.factor @ self.factor.T + np.diag(self.rest)


@one_blas_thread()
def expected(noising: Noising, levels: FloatArray) -> Sums:
    """Means over all noise, for units at levels (images, n)."""
    known = Levels.of(noising, levels)
    sizes, _ = noising.steps
    mean, square, gap = known.paths
    images, n = levels.shape
    weighted = sizes[:, None] * mean
    inner, cross = mean.T @ weighted, gap.T @ mean  # of the points: (k, k)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    kept = values > 1e-14 * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    squares, states, gaps = sizes @ square, weighted.sum(axis=0), gap.sum(axis=0)
    many = images * root.shape[1] >= n // 2
    factors: list[FloatArray] = []
    gram = np.zeros((n, n) if many else (0, 0))
    rest, total, biases, couplings = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, n))
    for row in levels:
        weights = known.weights(row)
        part = weights @ root / np.sqrt(images)
        rest += weights @ squares / images - (part**2).sum(axis=1)
        total += weights @ states / images
        biases += weights @ gaps / images
        couplings += (weights @ (cross / images)) @ weights.T
        if many:
            gram += part @ part.T
        else:
            factors.append(part)
    if many:
        gram[np.diag_indices(n)] += rest
        return Sums(np.empty((n, 0)), np.empty(0), gram, total, float(sizes.sum()), couplings, biases)
    factor = np.concatenate(factors, axis=1)
    return Sums(factor, rest, np.empty((0, 0)), total, float(sizes.sum()), couplings, biases)


@dataclass(frozen=True)
class Objective:
    """The loss over couplings and biases on a mask; arrays (J (n, n), b (n,)), of which only the mask counts.

    Attributes
    ----------
    sums, mask:
        Of what.
    kT:
        Of the bath.
    ridge:
        Kappa, in units of the mean of G's diagonal.
    """

    sums: Sums
    mask: Mask
    kT: float
    ridge: float = 0.0

    @property
    def kappa(self) -> float:
        """The ridge itself."""
        return self.ridge * float(self.sums.diagonal().mean())

    def curve(self, couplings: FloatArray, biases: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The positive map: of J the symmetric part of ``J G_xx + b g^T + kappa J``, and ``J g + t b + kappa b``."""
        sums = self.sums
        one = sums.times_gram(couplings)
        one += biases[:, None] * sums.states
        one = 0.5 * (one + one.T) + self.kappa * couplings
        return one * self.mask.couplings, (couplings @ sums.states + (sums.time + self.kappa) * biases) * self.mask.biases

    @property
    def pull(self) -> tuple[FloatArray, FloatArray]:
        """What the map should give at the lowest point."""
        sums = self.sums
        return -0.5 * (sums.couplings + sums.couplings.T) * self.mask.couplings, -sums.biases * self.mask.biases

    def loss(self, couplings: FloatArray, biases: FloatArray) -> float:
        """L - L(0) of a path: minus what its reverse gains in logarithm of probability. The ridge is left out."""
        sums = self.sums
        linear = float((sums.couplings * couplings).sum() + sums.biases @ biases)
        square = float((couplings * sums.times_gram(couplings)).sum())
        square += float(2 * (biases @ couplings @ sums.states) + sums.time * (biases @ biases))
        return (linear + 0.5 * square) / (2 * self.kT)

    def gradient(self, couplings: FloatArray, biases: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of the loss, ridge included, by each J_ij = J_ji (n, n) and b_i (n,)."""
        curved, pull = self.curve(couplings, biases), self.pull
        return (curved[0] - pull[0]) / self.kT, (curved[1] - pull[1]) / (2 * self.kT)


@dataclass(frozen=True)
class Solution:
    """Couplings and biases at which the loss is lowest.

    Attributes
    ----------
    couplings, biases:
        (n, n) and (n,).
    loss:
        There, less that without couplings.
    residual:
        Norm of what stationarity misses, relative to its right side.
    iterations:
        Of conjugate gradients.
    """

    couplings: FloatArray
    biases: FloatArray
    loss: float
    residual: float
    iterations: int


@one_blas_thread()
def solve(
    objective: Objective,
    *,
    tolerance: float = 1e-8,
    most: int = 2000,
    start: tuple[FloatArray, FloatArray] | None = None,
    each: Callable[[int, float, FloatArray, FloatArray], None] | None = None,
) -> Solution:
    """Conjugate gradients on the mask, preconditioned by the diagonal.

    Parameters
    ----------
    tolerance:
        Residual, relative to the right side.
    most:
        Iterations.
    start:
        Where to begin; zero unless given.
    each:
        Told of each iteration: its number, the residual, and where it is.
    """
    sums, mask = objective.sums, objective.mask
    diagonal = sums.diagonal() + objective.kappa
    scale = 0.5 * (diagonal[:, None] + diagonal)
    own = sums.time + objective.kappa
    right = objective.pull
    size = np.sqrt((right[0] ** 2).sum() + (right[1] ** 2).sum())
    n = sums.n
    couplings, biases = (np.zeros((n, n)), np.zeros(n)) if start is None else (start[0].copy(), start[1].copy())
    at = objective.curve(couplings, biases)
    left, left_own = right[0] - at[0], right[1] - at[1]
    kind, kind_own = left / scale, left_own / own
    way, way_own = kind.copy(), kind_own.copy()
    inner = float((left * kind).sum() + left_own @ kind_own)
    iterations, residual = 0, float(np.sqrt((left**2).sum() + left_own @ left_own) / max(size, 1e-300))
    while residual > tolerance and iterations < most:
        curved, curved_own = objective.curve(way, way_own)
        bend = float((way * curved).sum() + way_own @ curved_own)
        if not bend > 0:
            break
        length = inner / bend
        couplings += length * way
        biases += length * way_own
        left -= length * curved
        left_own -= length * curved_own
        np.divide(left, scale, out=kind)
        kind_own = left_own / own
        before, inner = inner, float((left * kind).sum() + left_own @ kind_own)
        way *= inner / before
        way += kind
        way_own = kind_own + inner / before * way_own
        iterations += 1
        residual = float(np.sqrt((left**2).sum() + left_own @ left_own) / max(size, 1e-300))
        if each is not None:
            each(iterations, residual, couplings, biases)
    couplings = 0.5 * (couplings + couplings.T) * mask.couplings
    return Solution(couplings, biases, objective.loss(couplings, biases), residual, iterations)
