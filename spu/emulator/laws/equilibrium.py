"""Stationary laws of networks in thermal equilibrium: sparse, however many states there are.

The covariance of the states is ``kT E^-1`` (`spu.emulator.equations.thermal` says where, and proves that all modes
decay), so that one sparse factorisation of E gives whatever is asked for; without inductive couplings and capacitances
between nodes E is diagonal. Rounding of E moves a variance by less than eps times the condition of E on the scale of
its own diagonal; those of F and K do not count, as the law does not depend on them. As any other, the law is held
against the Lyapunov equation.

Of time constants the extreme ones are found by Lanczos' recurrence where there are no inductors: then the equations
are a symmetric definite pencil. All of them are eigenvalues of a band matrix there, and else of a dense one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import LinearOperator, eigs, splu

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky
from spu.base.sparse import canonical, is_diagonal, largest_eigenvalue
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.accuracy import hold_covariance
from spu.emulator.laws.coupled import Coupled
from spu.emulator.laws.modes import Modes
from spu.emulator.laws.stationary import LARGE_CLAIMED, Stationary

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

    @cached_property
    def diagonal(self) -> FloatArray:
        """(n,) the diagonal of the inverse."""
        if self.factor is None:
            return self.scale**2
        found = np.empty(len(self.scale))
        for first in range(0, len(found), self._width):
            part = np.arange(first, min(first + self._width, len(found)))
            unit = np.zeros((len(found), len(part)))
            unit[part, part - first] = 1.0
            found[part] = self.factor.solve(unit)[part, part - first]
        return found * self.scale**2

    @property
    def _width(self) -> int:
        return max(1, _BLOCK // len(self.scale))

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
            decay = -self.poles.real if self.whole else self._looked_at
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
        return self.symmetric or len(self.energy.scale) <= _ALL_MODES

    @cached_property
    def _looked_at(self) -> FloatArray:
        """Decays (k,) of the modes nearest to some frequencies, 1/s."""
        return -self.some_poles.real

    @cached_property
    def some_poles(self) -> ComplexArray:
        """Poles of the slowest modes, of the fastest, and of those nearest to some frequencies in between, 1/s."""
        n = len(self.energy.scale)
        unit = sp.eye_array(n, format="csc") if self.energy.factor is None else sp.csc_array(self.energy.factor.matrix)
        start = np.cos(np.arange(n, dtype=np.float64) ** 2)

        def apply(x: FloatArray) -> FloatArray:
            turned = self.drift @ x
            return turned if self.energy.factor is None else self.energy.factor.solve(turned)

        fastest = eigs(LinearOperator((n, n), matvec=apply), k=4, v0=start, return_eigenvectors=False, tol=1e-6)
        found = [fastest]
        top = float(np.abs(fastest).max())
        for share in _LOOKED_AT:
            point = 1j * share * top
            factors = splu(sp.csc_array(self.drift - point * unit))

            def near(x: ComplexArray, factors: Any = factors) -> ComplexArray:
                return np.asarray(factors.solve(unit @ x.astype(np.complex128)))

            inverse = LinearOperator((n, n), matvec=near, dtype=np.complex128)
            ratio = eigs(inverse, k=6, v0=start.astype(np.complex128), return_eigenvectors=False, tol=1e-9)
            found.append(point + 1.0 / ratio)
        return np.concatenate(found)

    @cached_property
    def poles(self) -> ComplexArray:
        """(n,) all of them, 1/s, by a band matrix or a dense one."""
        energy = None if self.energy.factor is None else self.energy.factor.matrix.toarray()
        if not self.symmetric:
            drift = self.drift.toarray()
            return np.asarray(la.eigvals(drift if energy is None else la.solve(energy, drift, assume_a="pos")))
        drift = canonical((self.drift + self.drift.T) / 2)
        if energy is not None:
            return la.eigh(drift.toarray(), energy, eigvals_only=True).astype(np.complex128)
        order = reverse_cuthill_mckee(drift, symmetric_mode=True)
        turned = drift[order][:, order].tocoo()
        width = int(np.abs(turned.row - turned.col).max(initial=0))
        if width > len(order) // 16:
            return la.eigvalsh(drift.toarray()).astype(np.complex128)
        band = np.zeros((width + 1, len(order)))
        below = turned.row >= turned.col
        band[(turned.row - turned.col)[below], turned.col[below]] = turned.data[below]
        if width == 1:
            return la.eigvalsh_tridiagonal(band[0], band[1, :-1]).astype(np.complex128)
        return la.eigvals_banded(band, lower=True).astype(np.complex128)


_ALL_MODES = 1500
"""States up to which a ringing network's modes are all found, by a dense matrix."""

_LOOKED_AT = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9)
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
    def poles(self) -> ComplexArray:
        """(n,) eigenvalues of the drift, 1/s."""
        return self.relaxation.poles

    @property
    def time_span(self) -> tuple[float, float]:
        """The longest and the shortest time constant, s."""
        return self.relaxation.extremes

    @property
    def slowest(self) -> float:
        """The longest time constant that the probes see, s."""
        return super().slowest if self._shares is not None else self.relaxation.extremes[0]


def equilibrium(sde: StochasticODE) -> Equilibrium | None:
    """The law of an equation in thermal equilibrium, held against its Lyapunov equation; None of others.

    None, too, where rounding would take more than `LARGE_CLAIMED`, or sparse means do not pay.

    Raises
    ------
    InternalError
        If what was found does not solve the equation.
    """
    if sde.E.nnz > _MOST_COUPLED * sde.E.shape[0] or sde.thermal_energy is None:
        return None
    level = sde.thermal_energy
    try:
        energy = StoredEnergy(sde.E, sde.sparse_sizes[0])
    except NotPositiveDefinite:
        return None
    if not (energy.error <= LARGE_CLAIMED and np.isfinite(sde.mean).all()):
        return None
    law = Equilibrium(sde, level=level, energy=energy, relaxation=Relaxation.of(sde, energy))
    if not _means_are_sure(law):
        return None
    hold_covariance(sde, lambda x: level * energy.solve(x), law.state_variance, what="of thermal equilibrium")
    return law


_MOST_COUPLED = 32
"""Entries of E for each state, beyond which a dense matrix is no dearer."""


def _means_are_sure(law: Equilibrium) -> bool:
    """Whether rounding of F leaves the means of the probes within `LARGE_CLAIMED` of themselves and their spread."""
    sde = law.sde
    if not sde.s.any():
        return True
    rows = canonical(sde.H)
    scale = sp.diags_array(1.0 / abs(sde.F).max(axis=1).toarray().ravel())
    factors = splu(sp.csc_array(scale @ sde.F))
    terms = sde.sparse_sizes[1] @ np.abs(sde.mean) + np.abs(sde.s)
    mean = np.abs(law.voltage_mean)
    size = mean + np.sqrt(law.voltage_covariance.diagonal()) + 1e-6 * mean.max(initial=0.0)
    width = max(1, _BLOCK // len(terms))
    for first in range(0, rows.shape[0], width):
        part = slice(first, first + width)
        back = scale @ factors.solve(sp.csc_array(rows[part].T).toarray(), trans="T")
        if not (_EPS * (terms @ np.abs(back)) <= LARGE_CLAIMED * size[part]).all():
            return False
    return True
