"""Stationary laws of networks in thermal equilibrium: sparse, however many states there are.

The covariance of the states is ``kT E^-1`` (`spu.emulator.equations.thermal` says where, and proves that all modes
decay), so that one sparse factorisation of E gives whatever is asked for; without inductive couplings and capacitances
between nodes E is diagonal. Rounding of E moves a variance by less than eps times the condition of E on the scale of
its own diagonal; those of F and K do not count, as the law does not depend on them. As any other, the law is held
against the Lyapunov equation.

Of time constants the extreme ones are found by Lanczos' recurrence where there are no inductors: then the equations
are a symmetric definite pencil. All of them are eigenvalues of a band matrix there, and else of a dense one. Of ringing
networks that are large, and no chains, some modes are looked at, and it is said how many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import LinearOperator, eigs, splu

from spu.base.arrays import ComplexArray, FloatArray, IntArray
from spu.base.errors import CircuitError
from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky
from spu.base.sparse import canonical, is_diagonal, known_congruence, largest_eigenvalue, on_pattern, scaled
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.accuracy import hold_covariance
from spu.emulator.laws.coupled import Coupled
from spu.emulator.laws.ladders import chain_order, tridiagonal_eigenvalues
from spu.emulator.laws.large import SparseLaw
from spu.emulator.laws.modes import Modes
from spu.emulator.laws.stationary import LARGE_CLAIMED, Stationary, refuse_white

_EPS = 8.0 * float(np.finfo(float).eps)
"""Of the magnitudes of its terms, what an entry of E and the factors made of it may be off: some roundings."""

_BLOCK = 4_000_000
"""Numbers in the largest array of right-hand sides."""


class StoredEnergy:
    """The inverse of the matrix E (n, n) of the energy ``x^T E x / 2`` that capacitors and inductors store.

    Raises
    ------
    NotPositiveDefinite
        If it is that of no energy.
    """

    def __init__(self, E: sp.csr_array, sizes: sp.csr_array) -> None:
        matrix = canonical(E)
        diagonal = matrix.diagonal()
        if not (diagonal > 0).all():
            worst = int(np.argmin(diagonal))
            raise NotPositiveDefinite(worst, float(diagonal[worst]))
        self.scale: FloatArray = 1.0 / np.sqrt(diagonal)  # farads and henries at once
        S = sp.diags_array(self.scale)
        unit = canonical(S @ ((matrix + matrix.T) / 2) @ S)
        if abs(S @ (matrix - matrix.T) @ S).max() > 1e-12:
            raise NotPositiveDefinite
        self.matrix = matrix
        self.factor = None if is_diagonal(unit) else SparseCholesky(unit)
        # |x^T dE x| <= eps |x|^T size |x|, with x = E^-1 h, beside h^T x.
        size = float(np.asarray((S @ abs(sizes) @ S).sum(axis=1)).max())
        self.error = _EPS * size * self._inverse_norm()

    def _inverse_norm(self) -> float:
        """The largest eigenvalue of the inverse of E on the scale of its diagonal."""
        if self.factor is None:
            return 1.0
        start = np.cos(np.arange(len(self.scale), dtype=np.float64) ** 2)
        return 2.0 * largest_eigenvalue(self.factor.solve, start, tolerance=0.1)  # which comes from below

    def solve(self, right: FloatArray) -> FloatArray:
        """``E^-1 right`` of (n,) or (n, k)."""
        scale = self.scale if right.ndim == 1 else self.scale[:, None]
        scaled = scale * right
        return np.asarray(scale * (scaled if self.factor is None else self.factor.solve(scaled)))

    @property
    def _width(self) -> int:
        return max(1, _BLOCK // len(self.scale))

    @cached_property
    def diagonal(self) -> FloatArray:
        """(n,) the diagonal of the inverse."""
        if self.factor is None:
            return self.scale**2
        return np.asarray(self.selected.diagonal() * self.scale**2)

    def seen(self, rows: sp.csr_array) -> FloatArray:
        """(k, k) ``rows E^-1 rows^T`` of sparse rows (k, n)."""
        if self.factor is None:
            return np.asarray((rows @ sp.diags_array(self.scale**2) @ rows.T).toarray())
        turned = sp.csc_array(rows.T)
        found = np.empty((rows.shape[0], rows.shape[0]))
        for first in range(0, rows.shape[0], self._width):
            part = slice(first, first + self._width)
            found[:, part] = rows @ self.solve(turned[:, part].toarray())
        return np.asarray((found + found.T) / 2)

    def known(self, rows: sp.csr_array) -> sp.csr_array:
        """(k, k) sparse, the same: all entries, or of many rows those that E couples."""
        if self.factor is None:
            found = canonical(rows @ sp.diags_array(self.scale**2) @ rows.T)
            return on_pattern(found, sp.csr_array(sp.eye_array(rows.shape[0])))
        if rows.shape[0] <= _MOST_WHOLE:
            whole = self.seen(rows)
            every = np.arange(len(whole))
            where = np.repeat(every, len(every)), np.tile(every, len(every))
            return sp.csr_array(sp.coo_array((whole.ravel(), where), shape=whole.shape))
        rows = canonical(rows)
        found = known_congruence(rows, scaled(self.selected, self.scale, self.scale))
        mixed = np.flatnonzero(np.diff(rows.indptr) > 1)
        if len(mixed) > _MOST_MIXED:
            raise CircuitError(f"the readout mixes too many cells for a network this large (at most {_MOST_MIXED})")
        variance = found.diagonal()
        for part in np.array_split(mixed, len(mixed) // self._width + 1):  # of cells that E may not couple
            variance[part] = self.seen_alone(rows[part])
        found = on_pattern(canonical(found), sp.csr_array(sp.eye_array(rows.shape[0])))
        found.setdiag(variance)
        return found

    def seen_alone(self, rows: sp.csr_array) -> FloatArray:
        """(k,) the diagonal of `seen`."""
        turned = rows.T.toarray()
        return np.asarray((turned * self.solve(turned)).sum(axis=0))

    @cached_property
    def selected(self) -> sp.csr_array:
        """(n, n) of the inverse of E on the scale of its diagonal the entries where E has one."""
        assert self.factor is not None
        return self.factor.selected_inverse()


_MOST_WHOLE, _MOST_MIXED = 500, 5000
"""Rows up to which all covariances are worked out of a network that is too large for dense matrices; rows of several
states up to which their variances are."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The modes of ``E x' = F x`` where E is that of an energy, as far as sparse means give them.

    Attributes
    ----------
    energy:
        E and its inverse.
    drift:
        (n, n) sparse: F on the scale of the energy's diagonal, 1/s.
    """

    energy: StoredEnergy
    drift: sp.csr_array = field(repr=False)

    @classmethod
    def of(cls, sde: StochasticODE, energy: StoredEnergy) -> Relaxation:
        """Those of an equation."""
        S = sp.diags_array(energy.scale)
        return cls(energy, canonical(S @ sde.F @ S))

    @cached_property
    def symmetric(self) -> bool:
        """Whether nothing rings: F is symmetric, as without inductors."""
        size = abs(self.drift).max()
        return bool(abs(self.drift - self.drift.T).max() <= 1e-12 * size)

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The longest and the shortest time constant, s; of a large ringing network those of the modes looked at."""
        if not self.symmetric:
            decay = -(self.poles if self.whole else self.some_poles).real
            return 1.0 / float(decay.min()), 1.0 / float(decay.max())
        start = np.cos(np.arange(len(self.energy.scale), dtype=np.float64) ** 2)
        conductance = canonical(-(self.drift + self.drift.T) / 2)
        inverse, energy = SparseCholesky(conductance), self.energy.factor
        if energy is None:
            slow = largest_eigenvalue(inverse.solve, start, tolerance=1e-9)
            fast = largest_eigenvalue(lambda x: conductance @ x, start, tolerance=1e-6)
        else:
            unit = energy.matrix
            slow = largest_eigenvalue(lambda x: inverse.solve(unit @ x), start, tolerance=1e-9, metric=unit)
            fast = largest_eigenvalue(lambda x: energy.solve(conductance @ x), start, tolerance=1e-6, metric=unit)
        return slow, 1.0 / fast

    @property
    def whole(self) -> bool:
        """Whether the extreme time constants are those of all modes."""
        n = len(self.energy.scale)
        return self.symmetric or n <= _DENSE or (n <= _CHAIN and self._chain is not None)

    @cached_property
    def _chain(self) -> IntArray | None:
        """(n,) order of the states of a network that is a chain of them; None of others."""
        return chain_order(self.drift) if self.energy.factor is None else None

    @cached_property
    def some_poles(self) -> ComplexArray:
        """Poles of the slowest modes, and of those nearest to some frequencies up to the fastest, 1/s."""
        n = len(self.energy.scale)
        unit: sp.csc_array = (
            sp.csc_array(sp.eye_array(n)) if self.energy.factor is None else sp.csc_array(self.energy.factor.matrix)
        )
        start = np.cos(np.arange(n, dtype=np.float64) ** 2)
        turning = sp.csr_array((self.drift - self.drift.T) / 2)
        top = np.sqrt(largest_eigenvalue(lambda x: turning.T @ (turning @ x), start, tolerance=0.01))
        found = []
        for share in _LOOKED_AT:
            point = 1j * share * float(top)
            factors = splu(sp.csc_array(self.drift - unit * point))

            def near(x: ComplexArray, factors: Any = factors) -> ComplexArray:
                return np.asarray(factors.solve(unit @ x.astype(np.complex128)))

            inverse = LinearOperator((n, n), matvec=near, dtype=np.complex128)
            first = start.astype(np.complex128)
            ratio = eigs(inverse, k=6, v0=first, return_eigenvectors=False, tol=1e-7, maxiter=30 * n)
            found.append(point + 1.0 / ratio)
        return np.concatenate(found)

    @cached_property
    def poles(self) -> ComplexArray:
        """(n,) all of them, 1/s, by a band matrix or a dense one; `some_poles` where too many ring for that."""
        unit: Any = None if self.energy.factor is None else self.energy.factor.matrix.toarray()
        if not self.symmetric:
            if self._chain is not None:
                turned = self.drift[self._chain][:, self._chain]
                found = tridiagonal_eigenvalues(turned.diagonal(), turned.diagonal(1) * turned.diagonal(-1))
                if found is not None:
                    return found
            if len(self.energy.scale) > _CHAIN:
                return self.some_poles
            drift = self.drift.toarray()
            return np.asarray(la.eigvals(drift if unit is None else la.solve(unit, drift, assume_a="pos")))
        mean = sp.csr_array((self.drift + self.drift.T) / 2)
        if unit is not None:
            return np.asarray(la.eigh(mean.toarray(), unit, eigvals_only=True), dtype=np.complex128)
        order = self._chain if self._chain is not None else reverse_cuthill_mckee(mean, symmetric_mode=True)
        entries = mean[order][:, order].tocoo()
        width = int(np.abs(entries.row - entries.col).max(initial=0))
        if width > len(order) // 16:
            return np.asarray(la.eigvalsh(mean.toarray()), dtype=np.complex128)
        band = np.zeros((max(width, 1) + 1, len(order)))
        below = entries.row >= entries.col
        band[(entries.row - entries.col)[below], entries.col[below]] = entries.data[below]
        if width <= 1:
            return np.asarray(la.eigvalsh_tridiagonal(band[0], band[1, :-1]), dtype=np.complex128)
        return np.asarray(la.eigvals_banded(band, lower=True), dtype=np.complex128)


_DENSE, _CHAIN = 1000, 2500
"""States up to which all modes of a ringing network are found for time constants: by a dense matrix, as a chain."""

_LOOKED_AT = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Shares of the fastest mode's frequency near which modes of a larger one are looked at."""


@dataclass(frozen=True, eq=False)
class Equilibrium(Stationary):
    """The law of a network in thermal equilibrium, of which nothing dense is made until it is asked for.

    Attributes
    ----------
    level:
        kT, J.
    energy, relaxation:
        The stored energy, and the modes.
    """

    level: float = 0.0
    energy: StoredEnergy = field(kw_only=True, repr=False)
    relaxation: Relaxation = field(kw_only=True, repr=False)

    @cached_property
    def covariance(self) -> FloatArray:
        """(n, n) covariance of the energy coordinates z, joule: each coordinate has kT."""
        return self.level * np.eye(self.sde.E.shape[0])

    @cached_property
    def modes(self) -> Modes | None:
        """Its independent modes, unless it rings."""
        if not self.relaxation.symmetric:
            return None
        dense = self.dense
        rates, V = la.eigh(-(dense.A + dense.A.T) / (2 * dense.time), driver="evd", check_finite=False)
        if rates[0] < 1e-10 * rates[-1]:  # known to rounding of the largest
            return None
        shapes, one = dense.to_state @ V, np.ones(len(rates))
        drive = shapes.T @ self.sde.s
        return Modes(shapes, dense.H @ V, one, rates, 0.0 * one, 2.0 * self.level * rates, drive, np.empty((0, len(V))))

    @property
    def _in_closed_form(self) -> Modes | Coupled | None:
        """None: what it is known by is sparse."""
        return None

    @cached_property
    def voltage_covariance(self) -> FloatArray:
        """(p, p) covariance of the probes, V^2; raises as a `Stationary`'s."""
        self._refuse_white()
        return self.level * self.energy.seen(self.sde.H)

    @cached_property
    def readout_moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean (q,) and covariance (q, q) of the problem's variables, in their units."""
        self._refuse_white()
        readout = self.sde.readout
        rows = canonical(readout.matrix @ self.sde.H)
        return readout.matrix @ self.voltage_mean + readout.offset, self.level * self.energy.seen(rows)

    @cached_property
    def state_variance(self) -> FloatArray:
        """(n,) variances of voltages (V^2) and inductor currents (A^2), as ``sde.state_names``."""
        return self.level * self.energy.diagonal

    @property
    def large(self) -> LargeEquilibrium:
        """The same law for runs that make nothing dense."""
        return LargeEquilibrium(self.sde, self.level, self.energy, self.relaxation)

    @property
    def poles(self) -> ComplexArray:
        """(n,) eigenvalues of the drift, 1/s."""
        return self.relaxation.poles

    @property
    def time_span(self) -> tuple[float, float]:
        """The longest and the shortest time constant, s."""
        return self.relaxation.extremes

    @property
    def looked_at(self) -> int | None:
        """Modes that these are of, where not all were found."""
        return None if self.relaxation.whole else len(self.relaxation.some_poles)

    @property
    def slowest(self) -> float:
        """The longest time constant that the probes see, s."""
        return super().slowest if self._shares is not None else self.relaxation.extremes[0]


@dataclass(frozen=True, eq=False)
class LargeEquilibrium(SparseLaw):
    """The law of a network in thermal equilibrium that is too large for anything dense.

    Attributes
    ----------
    level, energy, relaxation:
        As those of an `Equilibrium`.
    """

    sde: StochasticODE
    level: float
    energy: StoredEnergy = field(repr=False)
    relaxation: Relaxation = field(repr=False)

    @property
    def probes(self) -> sp.csr_array:
        """(p, n) sparse: probe voltages from the states."""
        return self.sde.H

    @cached_property
    def precision(self) -> sp.csr_array:
        """(n, n) sparse inverse of the covariance of the states."""
        return sp.csr_array(self.energy.matrix / self.level)

    @cached_property
    def voltage_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""
        return self.sde.H @ self.sde.mean + self.sde.y0

    @cached_property
    def voltage_covariance(self) -> sp.csr_array:
        """(p, p) V^2, sparse: where capacitors couple probes, and there are many, of those that they couple.

        Raises
        ------
        CircuitError
            If a probe sees white noise directly, so that its variance is infinite.
        """
        refuse_white(self.sde)
        return sp.csr_array(self.energy.known(self.sde.H) * self.level)

    @cached_property
    def readout_moments(self) -> tuple[FloatArray, sp.csr_array]:
        """Mean (q,) and covariance (q, q), sparse, of the problem's variables."""
        refuse_white(self.sde)
        readout = self.sde.readout
        covariance = self.energy.known(canonical(readout.matrix @ self.sde.H)) * self.level
        return readout.matrix @ self.voltage_mean + readout.offset, sp.csr_array(covariance)

    @cached_property
    def extremes(self) -> Modes:
        """The slowest and the fastest mode.

        Raises
        ------
        CircuitError
            If the network rings: its modes lie between no two of them.
        """
        if not self.relaxation.symmetric:
            raise CircuitError(
                f"runs in time of a network of {len(self.energy.scale)} states with inductors are too large: "
                "independent samples have its law (spu simulate --independent)"
            )
        flat, empty = np.ones(2), np.empty((0, 2))
        rates = 1.0 / np.array(self.relaxation.extremes)
        return Modes(empty, empty, flat, rates, 0.0 * flat, 2.0 * self.level * rates, 0.0 * flat, empty)

    @property
    def poles(self) -> ComplexArray:
        """Poles of the two extreme modes, 1/s; of a ringing network those that were looked at."""
        return self.extremes.poles if self.relaxation.symmetric else self.relaxation.some_poles

    @property
    def looked_at(self) -> int | None:
        """Modes that time constants are of, where they are not the extreme ones."""
        return None if self.relaxation.symmetric else len(self.relaxation.some_poles)

    @cached_property
    def state_variance(self) -> FloatArray:
        """(states,) variances of voltages (V^2) and inductor currents (A^2), as ``sde.state_names``."""
        return self.level * self.energy.diagonal

    def draw(self, normals: FloatArray) -> FloatArray:
        """States (states, k) from the stationary law out of (`normals`, k) standard normals."""
        factor = self.energy.factor
        unit = normals if factor is None else factor.sample_solve(normals)
        return np.sqrt(self.level) * self.energy.scale[:, None] * unit + self.sde.mean[:, None]

    @property
    def normals(self) -> int:
        """Rows of normals that `draw` takes."""
        return len(self.energy.scale)


def equilibrium(sde: StochasticODE, *, dense: bool = True) -> Equilibrium | LargeEquilibrium | None:
    """The law of an equation in thermal equilibrium, held against its Lyapunov equation; None of others.

    None, too, where rounding would take more than `LARGE_CLAIMED`, or sparse means do not pay. ``dense``: whether what
    takes dense matrices may be asked of it.

    Raises
    ------
    InternalError
        If what was found does not solve the equation.
    """
    level = sde.thermal_energy if sparse(sde) else None
    if level is None:
        return None
    try:
        energy = StoredEnergy(sde.E, sde.sparse_sizes[0])
    except NotPositiveDefinite:
        return None
    if not (energy.error <= LARGE_CLAIMED and np.isfinite(sde.mean).all()):
        return None
    variance = level * energy.diagonal
    if not _means_are_sure(sde):
        return None
    hold_covariance(sde, lambda x: level * energy.solve(x), variance, what="of thermal equilibrium")
    relaxation = Relaxation.of(sde, energy)
    if not dense:
        return LargeEquilibrium(sde, level, energy, relaxation)
    return Equilibrium(sde, level=level, energy=energy, relaxation=relaxation)


_MOST_COUPLED = 32
"""Entries of E for each state, beyond which a dense matrix is no dearer."""


def sparse(sde: StochasticODE) -> bool:
    """Whether sparse means pay for an equation."""
    return sde.E.nnz <= _MOST_COUPLED * sde.E.shape[0]


def _means_are_sure(sde: StochasticODE) -> bool:
    """Whether rounding of F leaves the means of the probes within `LARGE_CLAIMED` of themselves."""
    if not sde.s.any():
        return True
    mean = np.abs(sde.H @ sde.mean + sde.y0)
    size = mean + 1e-6 * mean.max(initial=0.0)
    terms = sde.sparse_sizes[1] @ np.abs(sde.mean) + np.abs(sde.s)
    scale = sp.diags_array(1.0 / abs(sde.F).max(axis=1).toarray().ravel())
    factors = splu(sp.csc_array(scale @ sde.F))
    entries = sde.F.tocoo()
    if (entries.data[entries.row != entries.col] >= 0).all():  # of an M-matrix the inverse has no entry below zero
        moved = abs(sde.H) @ np.abs(factors.solve(scale @ terms))
        return bool((_EPS * moved <= LARGE_CLAIMED * size).all())
    width = max(1, _BLOCK // len(terms))
    for first in range(0, sde.H.shape[0], width):
        part = slice(first, first + width)
        right: FloatArray = sde.H[part].T.toarray()
        back = scale @ np.asarray(factors.solve(right, "T"))  # type: ignore[call-overload]
        if not (_EPS * (terms @ np.abs(back)) <= LARGE_CLAIMED * size[part]).all():
            return False
    return True
