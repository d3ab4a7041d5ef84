r"""Pass 5b: where the flattest scaling does not fit the hardware's ranges, look for another that does.

With ``u = log d`` (and the physical scale in d) a coupler's value ``|a_ij| d_i d_j`` is linear in u on a
logarithmic scale, and a least own part is a posynomial constraint, so convex,

    (cell_min d_i^-2 + sum_j |a_ij| d_j / d_i) / a_ii <= 1 .

A largest own part is not: ``a_ii d_i^2 <= cell_max + sum_j |a_ij| d_i d_j`` is a signomial one. So what is
minimised, the largest violation of any range on a logarithmic scale, is minimised by a sequence of linear programs
in a trust region (the signomial ones, being concave, are then satisfied wherever their linearisations are), which
ends at a global minimum where no cell is at its maximum and at a local one else (Boyd et al., A tutorial on
geometric programming, Optim. Eng. 8:67, 2007, section 9.1).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.hardware import Range
from spu.sparse import off_diagonal, row_numbers

FloatArray = NDArray[np.float64]

MOST = 400
"""Most variables for which another scaling is looked for: a linear program each step."""

_STEPS = 60
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
    u = search.balanced(np.log(scale))
    worst, radius = search.violation(u), 1.0
    for _ in range(_STEPS):
        if worst <= -_SLACK or radius < 1e-6:
            break
        step = search.step(u, worst, radius)
        if step is None:
            break
        trial = search.violation(u + step)
        if trial < worst - 1e-6 * radius:
            u, worst, radius = u + step, trial, min(2.0 * radius, 4.0)
        else:
            radius /= 4.0
    return np.exp(u - u.mean()) if worst <= 0 else None


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

    def _cells(self, u: FloatArray) -> list[tuple[FloatArray, sp.csr_array]]:
        """Residuals (n,) and their gradients (n, n), for least and largest own parts."""
        # Relative to their own diagonal entries, so that no exponential is far from 1.
        ratio = self.off.data * np.exp(u[self.off.indices] - u[self.rows]) / self.diagonal[self.rows]
        taken = sp.csr_array((ratio, self.off.indices, self.off.indptr), shape=self.off.shape)
        total = np.asarray(taken.sum(axis=1)).ravel()
        unit = np.exp(-2.0 * u) / self.diagonal
        found = []
        least = self.cell.min * unit + total
        there = np.where(least > 0, least, 1.0)
        gradient = sp.diags_array(1 / there) @ taken - sp.diags_array(
            np.where(least > 0, 1 + self.cell.min * unit / there, 0)
        )
        found.append((np.where(least > 0, np.log(there) - self.room, -np.inf), sp.csr_array(gradient)))
        if self.cell.max < np.inf:
            most = self.cell.max * unit + total
            gradient = sp.diags_array(1 + self.cell.max * unit / most) - sp.diags_array(1 / most) @ taken
            found.append((-np.log(most), sp.csr_array(gradient)))
        return found

    def violation(self, u: FloatArray) -> float:
        """Largest residual."""
        cells = max(float(residual.max()) for residual, _ in self._cells(u))
        return max(cells, float(self._couplers(u).max(initial=-np.inf)))

    def balanced(self, u: FloatArray) -> FloatArray:
        """``u`` with the common shift (the physical scale) that violates the ranges least."""
        from scipy.optimize import minimize_scalar

        centre = u - u.mean()
        limits = [np.log(x) for x in (self.cell.min, self.cell.max) if 0 < x < np.inf]
        limits += [] if not len(self.constant) else [float(-(self.sign * self.constant).mean())]
        guess = (float(np.mean(limits)) - float(np.log(self.diagonal).mean())) / 2 if limits else 0.0
        best = minimize_scalar(lambda shift: self.violation(centre + shift), bracket=(guess, guess + 1.0))
        return centre + float(best.x)

    def step(self, u: FloatArray, worst: float, radius: float) -> FloatArray | None:
        """Solve the linearised problem in the trust region."""
        from scipy.optimize import linprog

        residual = self._couplers(u)
        near = np.flatnonzero(residual >= worst - 4.0 * radius)  # no other can come to bind in one step
        k = np.arange(len(near))
        pairs = self.pair[near]
        columns = np.concatenate([self.a[pairs], self.b[pairs]])
        signs = np.tile(self.sign[near], 2)
        blocks = [(residual[near], sp.csr_array((signs, (np.tile(k, 2), columns)), shape=(len(near), self.n)))]
        for values, gradient in self._cells(u):
            bound = np.flatnonzero(np.isfinite(values))
            blocks.append((values[bound], gradient[bound]))
        stacked = sp.csr_array(sp.vstack([gradient for _, gradient in blocks]))
        left = sp.csr_array(sp.hstack([stacked, sp.csr_array(-np.ones((stacked.shape[0], 1)))]))
        right = -np.concatenate([values for values, _ in blocks])
        cost = np.zeros(self.n + 1)
        cost[-1] = 1.0
        bounds = [(-radius, radius)] * self.n + [(-0.1, None)]  # a little inside is enough
        found = linprog(cost, A_ub=left, b_ub=right, bounds=bounds, method="highs")  # type: ignore[call-overload]
        return None if found.x is None else np.asarray(found.x[:-1])
