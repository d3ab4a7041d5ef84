"""The integers of pass 5: codes of banks whose device answers best, as a closest vector problem.

The voltages of a device have the covariance ``P = e M^-1 + p I`` with a matrix M that is linear in the
values of its banks, and the variables ``S = D T P T^T D`` with the readout T and gains D that may be
chosen afterwards, since they are numbers and not parts. Asked for are integers c that minimise
``|S(c) - target|`` (Frobenius). To first order a step of bank k changes S by ``-e lsb_k X B_k X^T`` with
``X = T M^-1`` and the pattern B_k of the bank, so that the best codes are the lattice point closest to the
target: found by a breadth-first ("K-best") sphere decoder (Guo and Nilsson, IEEE J. Sel. Areas Commun.
24:491, 2006), whose width of one is Babai's nearest plane (Combinatorica 6:1, 1986). The nonlinear rest is
taken in by decoding again around what was found, with exact covariances deciding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.base.choice import (
    HALF,
    clearly_less,
    first_largest,
    first_smallest,
    nearest_integers,
    stable_order,
)

CELL, PASSIVE, TRANS = 0, 1, 2
"""Patterns of a bank: to ground, between two cells, from each of two cells into the other."""

_DECODED = 600
"""Up to this many banks codes come from the sphere decoder, beyond from descent by single steps."""

MOST_STEPS = 2.0**26
"""More codes than any bank has: what has more steps is not quantised, and neighbouring ones are no choice."""

_SEARCHED, _SETTLED = 1e-6, 1e-13
"""Relative steps at which gains are near enough: while codes are looked for, and in the device."""


@dataclass(frozen=True, eq=False)
class Banks:
    """k banks in a network of n cells: patterns, ends (of `CELL` both the same), LSBs, offsets, codes allowed.

    Attributes
    ----------
    n:
        Number of cells.
    kind, a, b:
        (k,) patterns and ends.
    lsb, offset:
        (k,) in the unit of M.
    least, most:
        (k,) smallest and largest code.
    """

    n: int
    kind: IntArray
    a: IntArray
    b: IntArray
    lsb: FloatArray
    offset: FloatArray
    least: IntArray
    most: IntArray

    def nearest(self, values: FloatArray) -> IntArray:
        """(k,) the codes of the nearest values, within what is allowed."""
        return np.clip(nearest_integers((values - self.offset) / self.lsb), self.least, self.most).astype(np.int64)

    @property
    def fine(self) -> NDArray[np.bool_]:
        """(k,) those that are not quantised."""
        return self.most - self.least > MOST_STEPS

    def matrix(self, values: FloatArray) -> FloatArray:
        """(n, n) M for (k,) values of the banks."""
        M = np.zeros((self.n, self.n))
        for kind, terms in _TERMS.items():
            here = np.flatnonzero(self.kind == kind)
            ends = {"a": self.a[here], "b": self.b[here]}
            for row, column, sign in terms:
                np.add.at(M, (ends[row], ends[column]), sign * values[here])
        return M

    def of_codes(self, codes: IntArray) -> FloatArray:
        """(n, n) M for (k,) codes."""
        return self.matrix(self.offset + self.lsb * codes)

    def project(self, W: FloatArray) -> FloatArray:
        """(k,) inner products of the patterns with a symmetric (n, n) matrix, times the LSBs."""
        found = np.zeros(len(self.kind))
        for kind, terms in _TERMS.items():
            here = self.kind == kind
            ends = {"a": self.a[here], "b": self.b[here]}
            found[here] = sum(sign * W[ends[row], ends[column]] for row, column, sign in terms)
        return found * self.lsb


_TERMS = {
    CELL: (("a", "a", 1.0),),
    PASSIVE: (("a", "a", 1.0), ("b", "b", 1.0), ("a", "b", -1.0), ("b", "a", -1.0)),
    TRANS: (("a", "b", 1.0), ("b", "a", 1.0)),
}
"""Entries of M that a value adds to, by pattern: row, column, sign."""


@dataclass(frozen=True, eq=False)
class Aim:
    """What codes are chosen for.

    Attributes
    ----------
    target:
        (p, p) covariance asked for.
    size:
        Its Frobenius norm (of the problem's own covariance, where ``target`` is what an ensemble still lacks).
    readout:
        (p, n) the map T before the gains D.
    energy, floor:
        e and p of ``P = e M^-1 + p I``.
    free_gains:
        Whether the gains D are chosen with the codes; otherwise they stay at one.
    """

    target: FloatArray
    size: float
    readout: FloatArray
    energy: float
    floor: float
    free_gains: bool = True

    def covariance(self, M: FloatArray) -> FloatArray:
        """(p, p) of the variables before the gains."""
        eye = np.eye(M.shape[-1])
        return self.readout @ (self.energy * np.linalg.inv(M) + self.floor * eye) @ self.readout.T

    def gains(self, S: FloatArray, start: FloatArray | None = None, *, settled: bool = False) -> FloatArray:
        """(p,) the gains D > 0 with which ``D S D`` is closest to the target: a few Gauss-Newton steps.

        Where they end is told by the length of a step, not by the error: a step more or less makes no difference
        then. ``settled`` is until nothing changes.
        """
        p = len(S)
        d = np.ones(p) if start is None else start
        if not self.free_gains:
            return d
        best, least = d, np.inf
        for _ in range(30 if settled else 8):
            now = d[:, None] * S * d
            R = self.target - now
            error = float(np.linalg.norm(R))
            if error > least * (1 + 1e-3) + 1e-9 * self.size:  # it does not converge
                break
            best, least = d, error
            # The columns now_i e_i^T + e_i now_i^T: their Gram matrix and products with R, in closed form.
            square = now * now
            gram = square + np.diag(square.sum(axis=1))
            step = np.clip(la.solve(gram, (R * now).sum(axis=1), assume_a="pos"), -0.5, 1.0)
            d = d * (1.0 + step)
            if np.abs(step).max() <= (_SETTLED if settled else _SEARCHED):
                return d
        return best

    def error(self, M: FloatArray) -> tuple[float, FloatArray]:
        """Relative error of a matrix with its best gains, and these; infinite where it is not definite."""
        try:
            la.cholesky(M, check_finite=False)
            S = self.covariance(M)
        except la.LinAlgError:
            return np.inf, np.ones(len(self.target))
        d = self.gains(S)
        return float(np.linalg.norm(d[:, None] * S * d - self.target)) / self.size, d


EXACT = 1e-3
"""A relative error of which a billionth is none: what `clearly_less` takes beside the errors themselves."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """Codes, (k,), the gains (p,) that go with them, and the relative error of the covariance."""

    codes: IntArray
    gains: FloatArray
    error: float

    def better(self, than: Rounded, taken: Sequence[IntArray] = ()) -> bool:
        """Whether the error is clearly less; or equal, and these codes are not among those taken as the others are."""
        if clearly_less(self.error, than.error, EXACT):
            return True
        if clearly_less(than.error, self.error, EXACT) or not taken:
            return False
        fresh, stale = (not any(np.array_equal(each.codes, codes) for codes in taken) for each in (self, than))
        return fresh and not stale


def nearest(banks: Banks, aim: Aim, values: FloatArray) -> Rounded:
    """Every value to the nearest one of its bank, gains as they were: what there is to improve on."""
    codes = banks.nearest(values)
    error, _ = replace(aim, free_gains=False).error(banks.of_codes(codes))
    return Rounded(codes, np.ones(len(aim.target)), error)


def choose(
    banks: Banks, aim: Aim, values: FloatArray, *, width: int = 32, rounds: int = 3, taken: Sequence[IntArray] = ()
) -> Rounded:
    """Codes near (k,) real values for which the covariance comes closest to the aim.

    Parameters
    ----------
    width:
        Of the sphere decoder.
    rounds:
        Linearisations at most, the first at ``values``.
    taken:
        Codes to avoid where others are as good.
    """
    best = nearest(banks, aim, values)
    error, d = aim.error(banks.of_codes(best.codes))
    if clearly_less(error, best.error, EXACT):
        best = Rounded(best.codes, d, error)
    at, gains = (values - banks.offset) / banks.lsb, np.ones(len(aim.target))
    for _ in range(rounds):
        if len(banks.kind) <= _DECODED:
            found = _decode(banks, aim, at, gains, width)
        else:
            found = _descend(banks, aim, best.codes)[None]
        before = best.error
        for codes in found:
            error, d = aim.error(banks.of_codes(codes))
            if (other := Rounded(codes, d, error)).better(best, taken):
                best = other
        if not best.error < before * 0.999:
            break
        at, gains = best.codes.astype(np.float64), best.gains
    return best


def _linear(banks: Banks, aim: Aim, at: FloatArray, gains: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Residual (m,) at real codes and its Jacobian (m, k), without what gains can make up for."""
    p = len(aim.target)
    M = banks.matrix(banks.offset + banks.lsb * at)
    T = gains[:, None] * aim.readout
    inverse = np.linalg.inv(M)
    X = T @ inverse
    S = T @ (aim.energy * inverse + aim.floor * np.eye(banks.n)) @ T.T
    rows, columns = np.triu_indices(p)
    weight = np.where(rows == columns, 1.0, np.sqrt(2.0))
    J = np.empty((len(rows), len(banks.kind)))
    for kind in _TERMS:
        here = banks.kind == kind
        u, v = X[:, banks.a[here]], X[:, banks.b[here]]
        if kind == CELL:
            J[:, here] = u[rows] * u[columns]
        elif kind == PASSIVE:
            J[:, here] = (u - v)[rows] * (u - v)[columns]
        else:
            J[:, here] = u[rows] * v[columns] + v[rows] * u[columns]
    J *= -aim.energy * banks.lsb * weight[:, None]
    r = (S - aim.target)[rows, columns] * weight
    if aim.free_gains:
        E = np.zeros((len(rows), p))
        k = np.arange(len(rows))
        E[k, rows] += S[rows, columns] * weight
        E[k, columns] += S[rows, columns] * weight
        Q = la.qr(E, mode="economic")[0]
        J, r = J - Q @ (Q.T @ J), r - Q @ (Q.T @ r)
    return r, J


def _decode(banks: Banks, aim: Aim, at: FloatArray, gains: FloatArray, width: int) -> IntArray:
    """(<= width, k) codes close to the least of ``|r + J (c - at)|``, best first."""
    r, J = _linear(banks, aim, at, gains)
    # To the power of two that makes the largest step about one: squares of the small ones are not to vanish.
    size = max(float(np.abs(J).max(initial=0.0)), 1e-100 * float(np.abs(r).max(initial=0.0))) or 1.0
    r, J = (np.ldexp(part, -int(np.frexp(size)[1])) for part in (r, J))
    # Gains leave directions in which codes cost nothing to first order: this keeps them near. In proportion to
    # what a step does, so that the fine steps of what is not quantised stay free. What does nothing stays where it is.
    norms = np.linalg.norm(J, axis=0)
    ridge = np.where(norms > 1e-100, 0.03 * norms, 1.0)
    A = np.vstack([J, np.diag(ridge)])
    y = np.concatenate([J @ at - r, ridge * at])
    order = _order(A)
    Q, R = la.qr(A[:, order], mode="economic")
    z = Q.T @ y
    least, most = banks.least[order], banks.most[order]
    k = len(order)
    codes = np.zeros((1, k))
    cost = np.zeros(1)
    steps = np.array([0.0, 1.0, -1.0, 2.0])
    fine = banks.fine[order]
    unit = 1e-8 * float(y @ y)  # a cost of which a billionth is none
    for i in range(k - 1, -1, -1):
        centre = (z[i] - codes[:, i + 1 :] @ R[i, i + 1 :]) / R[i, i]
        first = np.clip(nearest_integers(centre), least[i], most[i])
        side = np.where(centre >= first - HALF, 1.0, -1.0)
        tried = first[:, None] + side[:, None] * (steps[:1] if fine[i] else steps)
        added = (R[i, i] * (tried - centre[:, None])) ** 2
        added[(tried < least[i]) | (tried > most[i])] = np.inf
        total = (cost[:, None] + added).ravel()
        keep = stable_order(total, float(total.min()) + unit)[:width]
        keep = keep[np.isfinite(total[keep])]
        codes = codes[keep // tried.shape[1]]
        codes[:, i] = tried.ravel()[keep]
        cost = total[keep]
    found = np.empty_like(codes)
    found[:, order] = codes
    return found.astype(np.int64)


def _order(A: FloatArray) -> IntArray:
    """Columns in the order of sorted QR (Wuebben et al., Electron. Lett. 37:1348, 2001): weakest left first."""
    A = A.copy()
    k = A.shape[1]
    order = np.arange(k)
    norms = (A * A).sum(axis=0)
    for i in range(k - 1):
        j = i + first_smallest(norms[i:])
        A[:, [i, j]], order[[i, j]], norms[[i, j]] = A[:, [j, i]], order[[j, i]], norms[[j, i]]
        q = A[:, i] / np.linalg.norm(A[:, i])
        overlap = q @ A[:, i + 1 :]
        A[:, i + 1 :] -= np.outer(q, overlap)
        norms[i + 1 :] = np.maximum(norms[i + 1 :] - overlap**2, 0.0)
    return order


def _descend(banks: Banks, aim: Aim, codes: IntArray) -> IntArray:
    """(k,) codes after steps by one, each time of the bank that lowers the linearised error most.

    With ``W = X^T (S - target) X`` and ``Q = X^T X`` a step s of bank k changes the squared error by
    ``2 s g_k + h_k``, ``g_k = -e lsb_k <B_k, W>`` and ``h_k = (e lsb_k)^2 tr(B_k Q B_k Q)``, and W by
    ``-e lsb_k s Q B_k Q``: no Jacobian is ever formed.
    """
    M = banks.of_codes(codes)
    S = aim.covariance(M)
    d = aim.gains(S)
    X = (d[:, None] * aim.readout) @ np.linalg.inv(M)
    W = X.T @ (d[:, None] * S * d - aim.target) @ X
    Q = X.T @ X
    a, b = banks.a, banks.b
    aa, bb, ab = Q[a, a], Q[b, b], Q[a, b]
    h = np.choose(banks.kind, [aa**2, (aa + bb - 2 * ab) ** 2, 2 * (aa * bb + ab**2)]) * (aim.energy * banks.lsb) ** 2
    codes = codes.copy()
    scale = 1e-3 * float(np.median(h))
    for _ in range(2 * len(codes)):
        g = -aim.energy * banks.project(W)
        step = -np.sign(g).astype(np.int64)
        gain = 2.0 * np.abs(g) - h
        gain[(codes + step < banks.least) | (codes + step > banks.most)] = 0.0
        k = first_largest(gain, float(gain.max()) + scale)
        if gain[k] <= 1e-6 * h[k]:
            break
        codes[k] += step[k]
        u, v, change = Q[:, a[k]], Q[:, b[k]], -aim.energy * banks.lsb[k] * step[k]
        if banks.kind[k] == TRANS:
            W += change * (np.outer(u, v) + np.outer(v, u))
        else:
            w = u if banks.kind[k] == CELL else u - v
            W += change * np.outer(w, w)
    return codes
