"""The law of cells with one inductor each whose values are scattered, in the modes that they have without loss.

With node voltages v and node fluxes phi (``phi' = v``) such a network obeys ``C v' + G v + Gamma phi = noise``, of the
covariance ``S dt`` (`spu.emulator.laws.modes.NodalMatrices`). The covariances ``V`` of voltages, ``U`` of fluxes and
``Y`` of both are determined by

    ``G V C + C V G - Gamma Y C + C Y Gamma = S``
    ``C V Gamma - Gamma V C = G Y Gamma + Gamma Y G``,    ``Gamma U = C V - G Y``,

V symmetric and Y antisymmetric: half as many rows as the states have. In modes T without loss (``T^T C T = 1``,
``T^T Gamma T = w^2``) and with ``N = w Y w`` this is

    ``D V + V D + B o N = S``,    ``B o V = E N + N E``,    ``B_ij = w_j/w_i - w_i/w_j``,    ``E = D / (w_i w_j)``,

where o multiplies entry by entry. But for what loss couples the modes, D off its diagonal, it is solved pair by pair,
however sharp resonances are. The rest is iterated (GMRES, Saad and Schultz 1986): every step has two products of
matrices with as many rows as there are cells. If ``x^T D x`` lies between ``1 - q`` and ``1 + q`` times what it is with
the diagonal of D alone, each step leaves no more than q of the error. Steps are taken in single precision for residuals
in double precision (Langou et al. 2006), the last ones those of the circuit's own matrices: T is then but a choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import InternalError
from spu.base.sparse import canonical
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.modes import NodalMatrices

Single = NDArray[np.float32]

_SPREAD = 1e4
"""Ratio of squared frequencies beyond which the slow modes are not known well enough in these coordinates."""

_LEAST, _MOST = (0.3, 0.1, 0.03), (2.0, 4.0, 8.0)
"""Bounds that are tried on the eigenvalues of the loss, of its diagonal; beyond the last ones it is not iterated."""

_STEPS, _INNER = 8, 1e-5
"""Steps in single precision for one residual in double precision, and what they are to leave of it."""

_ROUNDS = 12
"""Residuals in double precision: three are the rule."""

_NEAR, _DONE = 1e-9, 1e-14
"""Relative errors from which on the circuit's own matrices give the residual, and which is good enough."""

_DENSE = 0.1
"""Share of entries from which on products with a matrix are faster as those of a dense one."""

_TURNING, _TURNS = 0.5, 50
"""Loss, of the lowest frequency, up to which modes turn one way or the other, and most steps until that is known."""

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Oscillators:
    """The stationary law of such a network of n cells.

    Attributes
    ----------
    nodal:
        Its matrices.
    voltages, crossed, fluxes:
        (n, n) covariances of node voltages V^2, of voltages with fluxes V^2 s, of fluxes (V s)^2.
    shapes, frequency:
        (n, n) node voltages from those of modes without loss, (n,) rad/s: ``shapes^T C shapes = 1``.
    modal:
        (n, n) covariance of these, J.
    error:
        Bound on the error of that, in Frobenius' norm, J.
    """

    nodal: NodalMatrices
    voltages: FloatArray
    crossed: FloatArray
    fluxes: FloatArray
    shapes: FloatArray
    frequency: FloatArray
    modal: FloatArray
    error: float

    def multiply(self, x: FloatArray) -> FloatArray:
        """Multiply (states, k) by the covariance of node voltages and inductor currents."""
        n, currents = len(self.voltages), self.nodal.currents
        v, flux = x[:n], currents.T @ x[n:]
        flux, v = self.fluxes @ flux - self.crossed @ v, self.voltages @ v + self.crossed @ flux
        return np.concatenate([v, currents @ flux])

    @property
    def state_variance(self) -> FloatArray:
        """(states,) of node voltages (V^2) and inductor currents (A^2)."""
        currents = self.nodal.currents
        own = np.asarray(currents.multiply(currents @ self.fluxes).sum(axis=1)).ravel()
        return np.maximum(np.concatenate([self.voltages.diagonal(), own]), 0.0)

    @property
    def probe_mean(self) -> FloatArray:
        """(p,) mean of the probes, V: inductors shorten every current into a cell."""
        return np.zeros(self.nodal.probes.shape[0])

    def seen(self, lift: sp.csr_array | None = None) -> FloatArray:
        """(p, p) covariance of the probes; or of ``lift @ probes``, lift (q, p), differences taken before rounding."""
        rows = self._read(lift)
        if (np.diff(rows.indptr) <= 1).all():
            return np.asarray(rows @ self.voltages @ rows.T)
        modal = rows @ self.shapes
        found = modal @ self.modal @ modal.T
        found = (found + found.T) / 2
        where = np.diag_indices(len(found))
        found[where] = np.maximum(found[where], 0.0)
        return np.asarray(found)

    def knows(self, lift: sp.csr_array | None, within: float) -> bool:
        """Whether such variances, those of the probes and those of all nodes are right to a share of each."""
        rows = sp.csr_array(sp.vstack([self._read(lift), self._read(None), sp.eye_array(len(self.voltages))]))
        variance = np.asarray(rows.multiply(rows @ self.voltages).sum(axis=1)).ravel()
        return bool((self.error * ((rows @ self.shapes) ** 2).sum(axis=1) <= within * variance).all())

    def _read(self, lift: sp.csr_array | None) -> sp.csr_array:
        """(k, n): what is read, of node voltages."""
        return canonical(self.nodal.probes if lift is None else lift @ self.nodal.probes)

    @cached_property
    def poles(self) -> ComplexArray | None:
        """(2 n,) 1/s; None where loss is so strong that modes need not oscillate.

        Fluxes of the modes that turn one way obey ``x' = X x`` with ``X^2 + D X + w^2 = 0``, and those that turn the
        other way the conjugate: half as many rows as the drift has. With ``X = i w + Z`` the products of Z and D are
        small, and their squares smaller: Z is found by iteration, its first digits in single precision.

        Raises
        ------
        InternalError
            If the poles do not add up to what the circuit loses.
        """
        unit = float(self.frequency.max())
        frequency = self.frequency / unit
        loss = _even_part(self.shapes.T @ (self.nodal.G @ self.shapes)) / unit
        if not _definite(_TURNING * frequency.min() * np.eye(len(loss)) - loss):
            return None
        both = frequency + frequency[:, None]
        Z: Any = np.zeros(loss.shape, dtype=np.complex64)
        for kind, within in ((np.complex64, 1e-6), (np.complex128, 1e-13)):
            start, weight = (-loss * frequency / both).astype(kind), (1j / both).astype(kind)
            coupled, Z = loss.astype(kind), Z.astype(kind)
            for _ in range(_TURNS):
                made = start + weight * ((coupled + Z) @ Z)
                moved, Z = _norm(made - Z), made
                if moved <= within * _norm(Z):  # each step leaves half of it, or less
                    break
            else:
                return None
        Z[np.diag_indices(len(Z))] += 1j * frequency
        found = la.eigvals(Z, check_finite=False, overwrite_a=True)
        if not abs(2.0 * found.real.sum() + np.trace(loss)) <= 1e-9 * np.abs(found).sum():
            raise InternalError("the poles of scattered cells do not add up to what these lose")
        return np.asarray(np.concatenate([found, found.conj()]) * unit, dtype=np.complex128)

    def covariance(self, sde: StochasticODE) -> FloatArray:
        """(states, states) of the energy coordinates of the same equation, joule."""
        n, T = len(self.voltages), sde.dense.to_state
        # z = T^-1 x, and T^T E T = 1.
        first = T[:n, :n].T @ self.nodal.C
        second = T[n:, n:].T @ (sde.E[n:, n:] @ self.nodal.currents)
        P = np.empty((2 * n, 2 * n))
        P[:n, :n] = first @ self.voltages @ first.T
        P[:n, n:] = first @ self.crossed @ second.T
        P[n:, :n] = P[:n, n:].T
        P[n:, n:] = second @ self.fluxes @ second.T
        return (P + P.T) / 2


def oscillators(nodal: NodalMatrices) -> Oscillators | None:
    """Solve the equations of a network; None where this is not the way for it.

    It is one for symmetric matrices, frequencies of no more than two decades (`_SPREAD`) and loss in every mode
    (`_LEAST`). All of that is told by the matrices, as is the bound on the error.
    """
    even = [None if each is None else _even(each) for each in (nodal.C, nodal.G, nodal.S, nodal.Gamma)]
    if any(each is None for each in even):
        return None
    C, G, S, Gamma = cast(list[sp.csr_array], even)
    try:
        stiffness, T = la.eigh(Gamma.toarray(), C.toarray(), driver="gvd", check_finite=False)
    except la.LinAlgError:  # capacitances that store no energy
        return None
    if not 0 < stiffness[-1] <= _SPREAD * stiffness[0]:
        return None
    T = np.ascontiguousarray(T)
    unit = float(np.sqrt(stiffness[-1]))
    frequency = np.sqrt(stiffness) / unit
    loss, noise = (_even_part(T.T @ (each @ T)) / unit for each in (G, S))
    own, size = loss.diagonal(), float(np.abs(noise).max())
    if not (own > 0).all() or not 0 < size < np.inf:
        return None
    bounds = _bounds(loss / np.sqrt(own) / np.sqrt(own)[:, None])
    if bounds is None:
        return None
    matrices = [_fitting(each) for each in (C, G, S / size, Gamma)]
    circuit = _Circuit(matrices[0], matrices[1], matrices[2], matrices[3], T, frequency, unit)
    equations = _Equations.of(loss, noise / size, frequency)
    found = equations.solve(circuit)
    if found is None:
        return None
    error = equations.error(found, *bounds)
    return Oscillators(
        nodal,
        found.voltages * size,
        found.crossed * size,
        found.fluxes * size,
        T,
        frequency * unit,
        _halves(found.modal)[0] * size,
        error * size,
    )


def _even(matrix: sp.csr_array) -> sp.csr_array | None:
    """A matrix that is symmetric to rounding, as one that is; else None."""
    odd = abs(matrix - matrix.T).max() if matrix.nnz else 0.0
    if odd > 1e-14 * abs(matrix).max():
        return None
    return sp.csr_array((matrix + matrix.T) / 2) if odd else matrix


def _bounds(matrix: FloatArray) -> tuple[float, float] | None:
    """A lower bound and an upper one, of `_LEAST` and `_MOST`, on the eigenvalues of a symmetric matrix, if any."""
    unit = np.eye(len(matrix))
    least = next((bound for bound in _LEAST if _definite(matrix - bound * unit)), None)
    most = next((bound for bound in _MOST if _definite(bound * unit - matrix)), None) if least else None
    return None if least is None or most is None else (least, most)


def _definite(matrix: FloatArray) -> bool:
    """Whether a symmetric matrix is positive definite: by a Cholesky factor, in its place."""
    return not dpotrf(matrix, clean=False, overwrite_a=True)[1]


def _fitting(matrix: Any) -> Any:
    """A matrix as products with it are fastest."""
    return matrix.toarray() if matrix.nnz > _DENSE * matrix.shape[0] ** 2 else matrix


@dataclass(frozen=True, eq=False)
class _Solution:
    """Covariances as those of `Oscillators`, ``X = V + N`` of the modes, and what the iteration left of its error."""

    voltages: FloatArray
    crossed: FloatArray
    fluxes: FloatArray
    modal: FloatArray
    left: float


@dataclass(frozen=True, eq=False)
class _Circuit:
    """The circuit's own matrices, (n, n), and the modes (`Oscillators.shapes`), frequencies in a unit (rad/s)."""

    C: Any
    G: Any
    S: Any
    Gamma: Any
    T: FloatArray
    frequency: FloatArray
    unit: float

    def covariances(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of voltages, and of these with fluxes, (n, n), from those of the modes; symmetric to rounding."""
        V, N = _halves(X)
        slow = self.T / self.frequency
        return self.T @ V @ self.T.T, slow @ (N / self.unit) @ slow.T

    def residual(self, V: FloatArray, Y: FloatArray) -> FloatArray:
        """(n, n), as `_Equations` has it but to the digits of single precision only."""
        first = self.C @ (self.G @ V - self.Gamma @ Y).T
        second = self.Gamma @ (self.C @ V - self.G @ Y).T
        first = _even_part(self._seen(self.S - (first + first.T), transposed=True))
        second = _odd_part(self._seen(second - second.T, transposed=True))
        back = 1.0 / (self.unit * self.frequency)
        return np.asarray(first / self.unit + second * back * back[:, None])

    def changes(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `covariances` to the digits of single precision, of what is small."""
        V, N = _halves(X)
        back = 1.0 / self.frequency
        return self._seen(V), self._seen(N * (back / self.unit) * back[:, None])

    @cached_property
    def _single(self) -> tuple[Single, float]:
        """T on a scale of its own."""
        size = float(np.abs(self.T).max())
        return (self.T / size).astype(np.float32), size**2

    def _seen(self, matrix: FloatArray, *, transposed: bool = False) -> FloatArray:
        """``T matrix T^T``, or with ``T^T``, in single precision."""
        T, scale = self._single
        size = float(np.abs(matrix).max()) or 1.0
        small = (matrix / size).astype(np.float32)
        found = T.T @ small @ T if transposed else T @ small @ T.T
        return np.asarray(found.astype(np.float64) * (size * scale))

    def fluxes(self, V: FloatArray, Y: FloatArray) -> FloatArray:
        """(n, n) covariance of fluxes."""
        slow = self.T / (self.frequency * self.unit)
        return _even_part(slow @ (slow.T @ (self.C @ V - self.G @ Y)))


@dataclass(frozen=True, eq=False)
class _Equations:
    """The equations of ``X = V + N`` in modes, (n, n), frequencies and rates in one unit.

    A symmetric matrix and an antisymmetric one are the parts of their sum: so are the two equations', ``R + Q``.

    Attributes
    ----------
    loss, slow:
        (n, n): D and E.
    noise:
        (n, n): S.
    turn:
        (n, n): B.
    """

    loss: FloatArray
    slow: FloatArray
    noise: FloatArray
    turn: FloatArray

    @classmethod
    def of(cls, loss: FloatArray, noise: FloatArray, frequency: FloatArray) -> _Equations:
        """Those of modes of frequencies (n,)."""
        back = 1.0 / frequency
        ratio = frequency * back[:, None]
        return cls(loss, loss * back * back[:, None], noise, ratio - ratio.T)

    def residual(self, X: FloatArray) -> FloatArray:
        """(n, n) of an approximate solution."""
        V, N = _halves(X)
        first, second = self.loss @ V, self.slow @ N
        return np.asarray(self.noise - self.turn * X - (first + first.T) + (second - second.T))

    def solve(self, circuit: _Circuit) -> _Solution | None:
        """The solution for a circuit; None where the iteration does not get there."""
        pairs = _Pairs.of(self)
        X, left = pairs.solve(self.noise)
        for _ in range(_ROUNDS):
            if not left < 1.0:  # it does not converge, or there are infinities
                return None
            near = left <= _NEAR
            if near:
                V, Y = circuit.covariances(X)
            change, share = pairs.solve(circuit.residual(V, Y) if near else self.residual(X))
            X += change
            moved = share * _norm(change)
            left = moved / _norm(X)
            if near and left <= _DONE:
                more = circuit.changes(change)
                V, Y = _even_part(V + more[0]), _odd_part(Y + more[1])
                return _Solution(V, Y, circuit.fluxes(V, Y), X, moved)
        return None

    def error(self, found: _Solution, least: float, most: float) -> float:
        """Bound on the error of V in Frobenius' norm, where `_bounds` of the loss are known.

        Pair by pair a residual R + Q has the solution y. With the loss ``a`` of a pair on its diagonal and A the whole
        one, ``a^-1/2 A a^-1/2`` between ``least`` and ``most``, the solution x of all pairs together solves
        ``(A + B) (x - y) = (a - A) y`` with an antisymmetric B, so that the loss alone bounds ``x - y``.
        """
        own, slow, size = self.loss.diagonal(), self.slow.diagonal(), np.abs(self.turn)
        V, N = (float(np.abs(half).sum(axis=1).max()) for half in _halves(found.modal))
        ratio = float(np.sqrt((own / slow).max() / (own / slow).min()))
        # What rounding of their terms makes of the residuals.
        R, Q = most * own.max() * V + ratio * N, ratio * V + most * slow.max() * N
        first, second = own + own[:, None], slow + slow[:, None]
        whole = 8.0 * _EPS / (first * second + size**2)
        pairs = (first * ((second * R + size * Q) * whole) ** 2 + second * ((size * R + first * Q) * whole) ** 2).sum()
        weight = 1.0 + max(1.0 - least, most - 1.0) / least
        left = np.sqrt(max(own.max(), slow.max()) / own.min()) * found.left
        return float(weight * (np.sqrt(pairs / (2.0 * own.min())) + left))


def _even_part(matrix: FloatArray) -> FloatArray:
    """The symmetric part; the one given, changed in place."""
    matrix += matrix.T
    matrix *= 0.5
    return matrix


def _odd_part(matrix: FloatArray) -> FloatArray:
    """The antisymmetric part; the one given, changed in place."""
    matrix -= matrix.T
    matrix *= 0.5
    return matrix


def _halves(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The symmetric and the antisymmetric part."""
    across = np.ascontiguousarray(matrix.T)
    return (matrix + across) / 2, (matrix - across) / 2


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The same without what couples the modes, solved pair by pair, as where steps in single precision start.

    Attributes
    ----------
    even, odd:
        (n, n): ``X = even R + odd Q`` for right-hand sides R and Q.
    coupled:
        (2, n, n): halves of D and E, zero on their diagonals.
    basis:
        Room for directions.
    """

    even: Single
    odd: Single
    coupled: Single
    basis: Single

    @classmethod
    def of(cls, equations: _Equations) -> _Pairs:
        """Those of equations."""
        own, slow, turn = equations.loss.diagonal(), equations.slow.diagonal(), equations.turn
        first, second = own + own[:, None], slow + slow[:, None]
        size = 1.0 / (first * second + turn**2)
        coupled = np.array([equations.loss, equations.slow], dtype=np.float32)
        coupled *= 0.5
        coupled[:, range(len(own)), range(len(own))] = 0.0
        even, odd = ((second + turn) * size).astype(np.float32), ((turn - first) * size).astype(np.float32)
        return cls(even, odd, coupled, np.empty((_STEPS + 1, own.size, own.size), dtype=np.float32))

    def solve(self, right: FloatArray) -> tuple[FloatArray, float]:
        """(n, n) for a right-hand side, and the share that is left: `_INNER`, or what `_STEPS` steps of GMRES leave."""
        size = float(np.abs(right).max())
        if not 0 < size < np.inf:
            return np.zeros_like(right), 0.0 if size == 0 else np.inf
        basis, flat = self.basis, self.basis.reshape(len(self.basis), -1)
        products, parts = np.empty((2, *right.shape), dtype=np.float32), np.empty((2, *right.shape), dtype=np.float32)

        def split(matrix: Single) -> None:
            """Twice the parts of a matrix."""
            np.copyto(parts[1], matrix.T)
            np.add(matrix, parts[1], out=parts[0])
            np.subtract(matrix, parts[1], out=parts[1])

        def apart(first: Single, second: Single, out: Single) -> None:
            """Solve for the parts of a right-hand side; these are overwritten."""
            np.multiply(first, self.even, out=out)
            second *= self.odd
            out += second

        split((right / (2.0 * size)).astype(np.float32))
        apart(parts[0], parts[1], basis[0])
        start = _norm(basis[0])
        basis[0] /= start
        # The small triangle, and what its rotations make of the right-hand side.
        triangle, goal, rotations = np.zeros((_STEPS, _STEPS)), [start], list[tuple[float, float]]()
        for k in range(_STEPS):
            split(basis[k])
            np.matmul(self.coupled, parts, out=products)
            products[0] += products[0].T
            np.copyto(parts[1], products[1].T)
            parts[1] -= products[1]
            apart(products[0], parts[1], basis[k + 1])
            basis[k + 1] += basis[k]
            share = flat[: k + 1] @ flat[k + 1]
            flat[k + 1] -= share @ flat[: k + 1]
            column, rest = share.astype(np.float64), _norm(flat[k + 1])
            for row, (c, s) in enumerate(rotations):
                column[row : row + 2] = c * column[row] + s * column[row + 1], c * column[row + 1] - s * column[row]
            length = float(np.hypot(column[k], rest))
            c, s = column[k] / length, rest / length
            column[k] = length
            triangle[: k + 1, k] = column
            rotations.append((c, s))
            goal[k:] = c * goal[k], -s * goal[k]
            if abs(goal[-1]) <= _INNER * start:
                break
            flat[k + 1] /= rest
        used = len(rotations)
        weights = la.solve_triangular(triangle[:used, :used], goal[:used], check_finite=False)
        found = (weights * size).astype(np.float32) @ flat[:used]
        return np.asarray(found.reshape(right.shape), dtype=np.float64), max(abs(goal[-1]) / start, _INNER)


def _norm(array: NDArray[Any]) -> float:
    """Frobenius' norm."""
    flat = array.ravel()
    return float(np.sqrt(np.vdot(flat, flat).real))
