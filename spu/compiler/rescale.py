r"""Pass 5b: where the flattest scaling does not fit the hardware's ranges, look for another that does.

With ``u = log d`` (and the physical scale in d) a coupler's value ``|a_ij| d_i d_j`` is linear in u on a
logarithmic scale, and a least own part is a posynomial constraint, so convex,

    (cell_min d_i^-2 + sum_j |a_ij| d_j / d_i) / a_ii <= 1 .

A largest own part is not: ``a_ii d_i^2 <= cell_max + sum_j |a_ij| d_i d_j`` is a signomial one (Boyd et al., A
tutorial on geometric programming, Optim. Eng. 8:67, 2007, section 9.1). What is minimised is the largest violation
``r_k`` of any range on a logarithmic scale, made smooth, and tied a little to the scaling given,

    mu log sum_k exp(r_k / mu) + mu tau |u - u_0|^2 / 2 ,

by Newton steps, for ever smaller mu until all ranges hold. Each minimum is a single point and not one of many
vertices, as those of linear programs are, so it does not depend on last bits which is found. It is a global one
where no cell is at its maximum, and a local one else.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.sparse import off_diagonal, row_numbers
from spu.device.hardware import Range

MOST = 400
"""Most variables for which another scaling is looked for: a system of equations each step."""

_SOFTNESS = 0.3 ** np.arange(14)  # mu, one after the other

_TETHER = 0.1  # tau

_STEPS = 100  # for each

_SETTLED = 1e-11  # a step on a logarithmic scale that is none

_SLACK = 1e-9  # how far inside, on a logarithmic scale, is inside

_KEPT = 1e-3  # share of the best possible margin 1 - rho that every cell keeps


def rescaled(values: sp.csr_array, rho: float, scale: FloatArray, cell: Range, coupler: Range) -> FloatArray | None:
    """A scaling (n,) > 0 with all own parts and couplers in their ranges; None if none was found.

    Parameters
    ----------
    values:
        (n, n) the matrix, canonical.
    rho:
        Spectral radius of its scaled off-diagonals, below 1.
    scale:
        (n,) the scaling to start from.
    cell, coupler:
        Ranges of what a cell keeps to ground and of a coupler, in one unit.
    """
    if values.shape[0] > MOST or coupler.max <= 0 or cell.max <= 0:
        return None
    search = _Search(values, rho, cell, coupler)
    start = np.log(scale) + search.shift(np.log(scale))
    u = start
    for softness in _SOFTNESS:
        u = search.minimised(u, start, float(softness))
        if search.violation(u) <= -_SLACK:
            return np.exp(u - u.mean())
    return None


class _Search:
    """The constraints as functions of ``u = log d``, each in the form ``residual <= 0``."""

    def __init__(self, values: sp.csr_array, rho: float, cell: Range, coupler: Range) -> None:
        n = values.shape[0]
        off = abs(off_diagonal(values))
        rows = row_numbers(off)
        upper = off.indices > rows
        self.off, self.rows, self.cell = off, rows, cell
        self.a, self.b, size = rows[upper], off.indices[upper], np.log(off.data[upper])
        self.diagonal = values.diagonal()
        self.room = np.log1p(-_KEPT * (1.0 - rho))
        # Couplers: sign * (u_a + u_b) + constant <= 0, maxima first.
        parts = [(sign, sign * (size - np.log(limit))) for sign, limit in ((1.0, coupler.max), (-1.0, coupler.min))
                 if 0 < limit < np.inf]  # fmt: skip
        self.sign = np.concatenate([np.full(len(size), sign) for sign, _ in parts]) if parts else np.empty(0)
        self.constant = np.concatenate([constant for _, constant in parts]) if parts else np.empty(0)
        self.pair = np.tile(np.arange(len(size)), len(parts))
        self.n = n

    def _couplers(self, u: FloatArray) -> FloatArray:
        return np.asarray(self.sign * (u[self.a] + u[self.b])[self.pair] + self.constant)

    def _cells(self, u: FloatArray) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """For least and largest own parts: residuals (n,), gradients by others (entries of ``off``) and by its own."""
        # Relative to their own diagonal entries, so that no exponential is far from 1.
        ratio = self.off.data * np.exp(u[self.off.indices] - u[self.rows]) / self.diagonal[self.rows]
        total = np.bincount(self.rows, ratio, minlength=self.n)
        unit = np.exp(-2.0 * u) / self.diagonal
        least = self.cell.min * unit + total
        there = np.where(least > 0, least, 1.0)
        residual = np.where(least > 0, np.log(there) - self.room, -np.inf)
        found = [(residual, ratio / there[self.rows], -np.where(least > 0, 1 + self.cell.min * unit / there, 0.0))]
        if self.cell.max < np.inf:
            most = self.cell.max * unit + total
            found.append((-np.log(most), -ratio / most[self.rows], 1 + self.cell.max * unit / most))
        return found

    def violation(self, u: FloatArray) -> float:
        """Largest residual."""
        return float(self.residuals(u).max())

    def shift(self, u: FloatArray) -> float:
        """A common shift (the physical scale) in the middle of the ranges; a first guess."""
        limits = [np.log(x) for x in (self.cell.min, self.cell.max) if 0 < x < np.inf]
        limits += [] if not len(self.constant) else [float(-(self.sign * self.constant).mean())]
        return (float(np.mean(limits)) - float((np.log(self.diagonal) + 2 * u).mean())) / 2 if limits else 0.0

    def residuals(self, u: FloatArray) -> FloatArray:
        """All, (m,); -inf of what does not bind."""
        return np.concatenate([self._couplers(u), *(residual for residual, _, _ in self._cells(u))])

    def gradients(self, u: FloatArray) -> sp.csr_array:
        """Of the residuals, (m, n)."""
        k, cells = np.arange(len(self.sign)), self._cells(u)
        first = len(k) + self.n * np.arange(len(cells))
        own = np.arange(self.n)
        data = np.concatenate([np.tile(self.sign, 2), *(part for _, *parts in cells for part in parts)])
        rows = np.concatenate([np.tile(k, 2), *(at + part for at in first for part in (self.rows, own))])
        columns = np.concatenate([self.a[self.pair], self.b[self.pair], *[self.off.indices, own] * len(cells)])
        return sp.csr_array((data, (rows, columns)), shape=(len(k) + self.n * len(cells), self.n))

    def minimised(self, u: FloatArray, start: FloatArray, softness: float) -> FloatArray:
        """The minimum nearest to ``u``, (n,), of the smooth violation: Newton steps without the curvature of residuals.

        Damped until they are short; a step more or less is below `_SETTLED` then.
        """
        tie = softness * _TETHER

        def smooth(u: FloatArray, r: FloatArray) -> float:
            top = float(r.max())
            return (
                top
                + softness * float(np.log(np.exp((r - top) / softness).sum()))
                + tie / 2 * float(((u - start) ** 2).sum())
            )

        for _ in range(_STEPS):
            r, J = self.residuals(u), self.gradients(u)
            weight = np.exp((r - r.max()) / softness)
            weight /= weight.sum()
            mean = J.T @ weight
            slope = mean + tie * (u - start)
            weighted = sp.csr_array((J.data * np.repeat(weight, np.diff(J.indptr)), J.indices, J.indptr), shape=J.shape)
            H = ((J.T @ weighted).toarray() - np.outer(mean, mean)) / softness
            # Residuals are curved, by about 1: what the first term lacks is made up for by this much.
            H += np.diag(np.full(self.n, tie) + abs(J).T @ weight)
            step = -la.solve(H, slope, assume_a="pos")
            length = float(np.abs(step).max())
            if length <= _SETTLED:
                break
            step *= min(1.0, 2.0 / length)
            before, down = smooth(u, r), float(slope @ step)
            for _ in range(30):
                if length <= 1e-5 or smooth(u + step, self.residuals(u + step)) <= before + 1e-4 * down:
                    break
                step, down = step / 2.0, down / 2.0
            u = u + step
        return u
