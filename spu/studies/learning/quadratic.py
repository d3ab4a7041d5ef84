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
gradients solve it, preconditioned by its diagonal. Of J only the blocks that may be other than zero are kept: visible
to hidden, and hidden to hidden. Where G is singular (kT so small that units stand still)
the lowest point is not one: a ridge, ``kappa |W|^2 / 4 kT`` with kappa a stated share of the mean of G's diagonal,
picks the one of small couplings.

G and A come from sampled paths (`spu.studies.learning.sampled`), or as means over all noise (`expected`), where units
that are noised do not feel one another: G is then of low rank but for its diagonal, which is what products of two
states average to; the mask leaves out the diagonal of A.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.threads import one_blas_thread
from spu.studies.learning.noising import Levels, Noising


class Learnt(NamedTuple):
    """What is learnt: v visible units come first, then h hidden ones; n = v + h.

    Attributes
    ----------
    across, within:
        (v, h) and (h, h) couplings; the second are symmetric, without a diagonal.
    biases:
        (n,).
    """

    across: FloatArray
    within: FloatArray
    biases: FloatArray

    @classmethod
    def none(cls, visible: int, hidden: int) -> Learnt:
        """Nothing yet."""
        return cls(np.zeros((visible, hidden)), np.zeros((hidden, hidden)), np.zeros(visible + hidden))

    def couplings(self) -> FloatArray:
        """(n, n) symmetric."""
        visible = len(self.across)
        found = np.zeros((len(self.biases),) * 2)
        found[:visible, visible:] = self.across
        found[visible:, :visible] = self.across.T
        found[visible:, visible:] = self.within
        return found

    @property
    def parameters(self) -> int:
        """Numbers that may be other than zero, biases of visible units aside."""
        hidden = self.within.shape[0]
        return self.across.size + hidden * (hidden - 1) // 2 + hidden


def inner(a: Learnt, b: Learnt) -> float:
    """Of couplings as whole matrices, and of biases."""
    return float(2 * np.vdot(a.across, b.across) + np.vdot(a.within, b.within) + a.biases @ b.biases)


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
    """The loss of what is learnt.

    Attributes
    ----------
    sums:
        Of noising paths.
    visible:
        How many units are pixels: the first ones.
    kT:
        Of the bath.
    ridge:
        Kappa, in units of the mean of G's diagonal.
    visible_biases:
        Whether visible units have biases, too.
    """

    sums: Sums
    visible: int
    kT: float
    ridge: float = 0.0
    visible_biases: bool = False

    @property
    def kappa(self) -> float:
        """The ridge itself."""
        return self.ridge * float(self.sums.diagonal().mean())

    def none(self) -> Learnt:
        """Nothing learnt yet."""
        return Learnt.none(self.visible, self.sums.n - self.visible)

    def biased(self, values: FloatArray) -> FloatArray:
        """(n,) zero for units that have no bias."""
        if not self.visible_biases:
            values[: self.visible] = 0.0
        return values

    @cached_property
    def _outer(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Rows of ``(factor, g)`` and of diagonals, of visible and of hidden units."""
        wide = np.column_stack([self.sums.factor, self.sums.states])
        v, rest = self.visible, self.sums.rest
        return wide[:v], wide[v:], rest[:v], rest[v:]

    @cached_property
    def _blocks(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of a dense G_xx: visible, visible to hidden, hidden."""
        v, gram = self.visible, self.sums.gram
        return (
            np.ascontiguousarray(gram[:v, :v]),
            np.ascontiguousarray(gram[:v, v:]),
            np.ascontiguousarray(gram[v:, v:]),
        )

    def curve(self, at: Learnt) -> Learnt:
        """The positive map: of J half of ``G J + J G + b g^T + g b^T``, and ``J g + t b``; with the ridge."""
        sums, v = self.sums, self.visible
        seen, hidden = at.biases[:v], at.biases[v:]
        states, more = sums.states[:v], sums.states[v:]
        if sums.gram.size:
            own, mixed, rest = self._blocks
            across = at.across @ rest + own @ at.across + mixed @ at.within
            across += seen[:, None] * more + states[:, None] * hidden
            half = at.across.T @ mixed + at.within @ rest + hidden[:, None] * more
            within = half + half.T
        else:
            u, w, d, e = self._outer  # of G_xx = (factor) (factor)^T + diagonal, with g beside
            p = np.column_stack([at.across @ w[:, :-1], seen])
            q = np.column_stack([at.across.T @ u[:, :-1] + at.within @ w[:, :-1], hidden])
            across = np.column_stack([p, u]) @ np.column_stack([w, q]).T
            across += at.across * (d[:, None] + e)
            within = np.column_stack([q, w]) @ np.column_stack([w, q]).T
            within += at.within * (e[:, None] + e)
        across *= 0.5
        within *= 0.5
        if self.kappa:
            across += self.kappa * at.across
            within += self.kappa * at.within
        np.fill_diagonal(within, 0.0)
        biases = np.concatenate([at.across @ more, at.across.T @ states + at.within @ more])
        return Learnt(across, within, self.biased(biases + (sums.time + self.kappa) * at.biases))

    @cached_property
    def pull(self) -> Learnt:
        """What the map should give at the lowest point."""
        sums, v = self.sums, self.visible
        across = -0.5 * (sums.couplings[:v, v:] + sums.couplings[v:, :v].T)
        own = sums.couplings[v:, v:]
        within = -0.5 * (own + own.T)
        np.fill_diagonal(within, 0.0)
        return Learnt(across, within, self.biased(-sums.biases))

    def loss(self, at: Learnt) -> float:
        """L - L(0) of a path: minus what its reverse gains in logarithm of probability. The ridge is left out."""
        plain = Objective(self.sums, self.visible, self.kT, 0.0, True)
        return (0.5 * inner(at, plain.curve(at)) - inner(at, plain.pull)) / (2 * self.kT)

    def gradient(self, at: Learnt) -> Learnt:
        """Of the loss, ridge included, by each ``J_ij = J_ji`` and each ``b_i``."""
        curved, pull = self.curve(at), self.pull
        return Learnt(
            (curved.across - pull.across) / self.kT,
            (curved.within - pull.within) / self.kT,
            (curved.biases - pull.biases) / (2 * self.kT),
        )

    def residual(self, at: Learnt) -> float:
        """Norm of what stationarity misses, relative to its right side."""
        curved, pull = self.curve(at), self.pull
        missed = Learnt(*(a - b for a, b in zip(curved, pull, strict=True)))
        return float(np.sqrt(inner(missed, missed) / max(inner(pull, pull), 1e-300)))


@dataclass(frozen=True)
class Solution:
    """Where the loss is lowest.

    Attributes
    ----------
    learnt:
        There.
    loss:
        Of it, less that of nothing learnt.
    residual:
        Norm of what stationarity misses, relative to its right side.
    iterations:
        Of conjugate gradients.
    """

    learnt: Learnt
    loss: float
    residual: float
    iterations: int


@one_blas_thread()
def solve(
    objective: Objective,
    *,
    tolerance: float = 1e-6,
    most: int = 2000,
    each: Callable[[int, float, Learnt], None] | None = None,
) -> Solution:
    """Conjugate gradients from nothing learnt, preconditioned by the diagonal.

    Parameters
    ----------
    tolerance:
        Residual, relative to the right side.
    most:
        Iterations.
    each:
        Told of each: its number, the residual as it is stepped along, and where it is.
    """
    v, diagonal = objective.visible, objective.sums.diagonal() + objective.kappa
    scale = Learnt(
        0.5 * (diagonal[:v, None] + diagonal[v:]),
        0.5 * (diagonal[v:, None] + diagonal[v:]),
        np.full(len(diagonal), objective.sums.time + objective.kappa),
    )
    at, left = objective.none(), Learnt(*(part.copy() for part in objective.pull))
    size = max(inner(left, left), 1e-300)
    way = Learnt(*(a / b for a, b in zip(left, scale, strict=True)))
    slope, iterations, residual = inner(left, way), 0, 1.0
    if not slope > 0:
        return Solution(at, 0.0, 0.0, 0)
    while residual > tolerance and iterations < most:
        curved = objective.curve(way)
        bend = inner(way, curved)
        if not bend > 0:
            break
        length = slope / bend
        turned = []
        for a, b, w, c, s in zip(at, left, way, curved, scale, strict=True):
            a += length * w
            c *= length
            b -= c
            turned.append(np.divide(b, s, out=c))
        before, slope = slope, inner(left, Learnt(*turned))
        for w, t in zip(way, turned, strict=True):
            w *= slope / before
            w += t
        iterations += 1
        residual = float(np.sqrt(inner(left, left) / size))
        if each is not None:
            each(iterations, residual, at)
    at = Learnt(at.across, 0.5 * (at.within + at.within.T), at.biases)
    return Solution(at, objective.loss(at), objective.residual(at), iterations)
