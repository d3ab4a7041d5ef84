"""Networks too large for dense matrices: a stationary law by sparse factors, and steps by the implicit midpoint.

Where all of C, G, S and Gamma (`spu.emulator.laws.modes`) are multiples of the identity but one, which couples
the cells, the law is known without any mode. With ``C`` the matrix that couples, ``v ~ N(0, s/(2 g) C^-1)``;
with ``G`` (and ``S = a I + b G``), ``v ~ N(0, (a/(2 c)) G^-1 + (b/(2 c)) I)``: one sparse factorisation
gives draws, and by selected inversion all variances and the covariances of coupled cells.

In time, the implicit midpoint rule

    (E - h F / 2) x' = (E + h F / 2) x + h s + sqrt(h) K n

needs one factorisation for all steps. Its stationary covariance is exactly that of the equation, for
any step: put ``F P E + E P F^T = -K K^T`` into ``cov(x') = cov(x)``. Its correlations in time are not:
it turns a mode of pole p by ``(1 + p h / 2) / (1 - p h / 2)`` a step, where ``exp(p h)`` would be right.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import CircuitError, InternalError
from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky
from spu.base.sparse import canonical, known_congruence, largest_eigenvalue
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.accuracy import hold_covariance
from spu.emulator.laws.modes import Modes, NodalMatrices, multiple, nodal_matrices

LARGE = 6000
"""States from which on matrices are not made dense: such a one has 0.3 GB, and dense laws take minutes."""

_MOST_ENTRIES = 100_000_000
"""Most entries of a covariance that are worked out for a readout that mixes cells."""

_HELD = 1e-9
"""What products of rows of a matrix with columns of its inverse may be off, of their terms."""

_FIT = 1e-13  # S = a I + b G, or a matrix symmetric, to rounding


class SparseLaw(ABC):
    """The stationary law of a large sparse network, as far as it is known.

    Attributes
    ----------
    sde:
        The equation.
    """

    sde: StochasticODE

    @property
    @abstractmethod
    def probes(self) -> sp.csr_array:
        """(p, n) sparse: probe voltages from the first n states, in which `precision` is."""

    @property
    @abstractmethod
    def precision(self) -> sp.csr_array | None:
        """(n, n) sparse inverse of the covariance of the first n states; None where that is not sparse."""

    @property
    @abstractmethod
    def voltage_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""

    @property
    @abstractmethod
    def voltage_covariance(self) -> sp.csr_array:
        """(p, p) V^2, sparse: variances of the probes, covariances of coupled cells and of cells read together."""

    @property
    @abstractmethod
    def readout_moments(self) -> tuple[FloatArray, sp.csr_array]:
        """Mean (q,) and covariance (q, q), sparse, of the problem's variables."""

    @property
    @abstractmethod
    def extremes(self) -> Modes:
        """The two modes that all others lie between."""

    @property
    @abstractmethod
    def poles(self) -> ComplexArray:
        """Poles of these, or of some modes, 1/s."""

    def poles_above(self, _share: float) -> ComplexArray:
        """The same, whatever the share of a variance: every mode counts."""
        return self.poles

    @property
    def seen(self) -> ComplexArray:
        """The same: every mode counts as seen by the probes."""
        return self.poles

    @property
    def slowest(self) -> float:
        """The longest time constant, s."""
        return float(self.time_constants[0])

    @property
    def time_constants(self) -> FloatArray:
        """(2,) the longest and the shortest, s."""
        constants = -1.0 / self.poles.real
        return np.array([constants.max(), constants.min()])

    @property
    def time_span(self) -> tuple[float, float]:
        """The same."""
        slowest, fastest = self.time_constants
        return float(slowest), float(fastest)

    @property
    def looked_at(self) -> int | None:
        """Modes that `time_span` is of, where neither all were found nor the extreme ones; else None."""
        return None

    @property
    def fastest(self) -> float:
        """Largest magnitude of a pole, 1/s."""
        return float(np.abs(self.poles).max())

    @property
    @abstractmethod
    def state_variance(self) -> FloatArray:
        """(states,) variances of voltages (V^2) and inductor currents (A^2), as ``sde.state_names``."""

    @abstractmethod
    def draw(self, normals: FloatArray) -> FloatArray:
        """States (states, k) from the stationary law out of (`normals`, k) standard normals."""

    @property
    @abstractmethod
    def normals(self) -> int:
        """Rows of normals that `draw` takes."""

    def draw_voltages(self, normals: FloatArray) -> FloatArray:
        """The first states at least, which `probes` are of, out of (`voltage_normals`, k) normals; all unless told."""
        return self.draw(normals)

    @property
    def voltage_normals(self) -> int:
        """Rows of normals that `draw_voltages` takes, the first that `draw` does."""
        return self.normals


@dataclass(frozen=True, eq=False)
class SparseStationary(SparseLaw):
    """The law of cells of one kind that one matrix couples.

    Attributes
    ----------
    nodal:
        Its nodal matrices.
    coupling:
        The factorised matrix that couples the cells: C or G.
    inverse, own:
        The law of the voltages is ``inverse * coupling^-1 + own * I``, V^2 with the coupling's unit.
    conductive:
        Whether G couples, not C.
    """

    sde: StochasticODE
    nodal: NodalMatrices
    coupling: SparseCholesky
    inverse: float
    own: float
    conductive: bool

    @property
    def probes(self) -> sp.csr_array:
        """(p, n) sparse: probe voltages from node voltages."""
        return self.nodal.probes

    @property
    def precision(self) -> sp.csr_array | None:
        """(n, n) sparse inverse of the covariance of the node voltages; None where each has a part of its own."""
        return None if self.own else sp.csr_array(self.coupling.matrix / self.inverse)

    @cached_property
    def _rest(self) -> FloatArray:
        """(n,) mean of the cells, V."""
        if self.nodal.Gamma is not None or not self.nodal.drive.any():  # inductors shorten currents into cells
            return np.zeros(self.coupling.n)
        if self.conductive:
            return self.coupling.solve(self.nodal.drive)
        return np.asarray(self.nodal.drive / self.nodal.G.diagonal())

    @cached_property
    def _inverse_coupling(self) -> sp.csr_array:
        """(n, n), of the inverse of the coupling matrix the entries that are wanted.

        Held against the matrix itself: each row of it times the same column of the inverse is 1.
        """
        found = self.coupling.selected_inverse()
        products = self.coupling.matrix.multiply(found)
        ones, terms = products.sum(axis=1), abs(products).sum(axis=1)
        wrong = ~(np.abs(ones - 1.0) <= _HELD * np.maximum(terms, 1.0))
        if wrong.any():
            k = int(np.argmax(wrong))
            raise InternalError(
                f"of the inverse of the matrix that couples the cells, column {k} times its row {k} is {ones[k]:.9g}"
            )
        return found

    @cached_property
    def voltage_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""
        return self.nodal.probes @ self._rest + self.sde.y0

    @cached_property
    def voltage_covariance(self) -> sp.csr_array:
        """(p, p) V^2, sparse: variances of the probes, covariances of coupled cells and of cells read together.

        Raises
        ------
        InternalError
            If the law does not solve its Lyapunov equation.
        """
        hold_covariance(self.sde, self.multiply, self.state_variance, what="by sparse factors")
        found = self._inverse_coupling * self.inverse
        if self.own:
            found.setdiag(found.diagonal() + self.own)  # all of which is stored
        return known_congruence(canonical(self.nodal.probes), sp.csr_array(found))

    @property
    def readout_moments(self) -> tuple[FloatArray, sp.csr_array]:
        """Mean (q,) and covariance (q, q), sparse, of the problem's variables."""
        T = self.sde.readout.matrix
        return T @ self.voltage_mean + self.sde.readout.offset, known_congruence(T, self.voltage_covariance)

    @cached_property
    def extremes(self) -> Modes:
        """The modes of the largest and of the smallest eigenvalue of the coupling: all others lie between."""
        start = np.cos(np.arange(self.coupling.n, dtype=np.float64) ** 2)
        largest = largest_eigenvalue(lambda x: self.coupling.matrix @ x, start, tolerance=1e-6)
        smallest = 1.0 / largest_eigenvalue(self.coupling.solve, start, tolerance=1e-6)
        values = np.array([smallest, largest])
        c, g = (multiple(matrix) or 0.0 for matrix in (self.nodal.C, self.nodal.G))
        gamma = 0.0 if self.nodal.Gamma is None else multiple(self.nodal.Gamma) or 0.0
        flat = np.ones(2)
        empty = np.empty((0, 2))
        capacitance, conductance = (flat * c, values) if self.conductive else (values, flat * g)
        return Modes(empty, empty, capacitance, conductance, flat * gamma, flat, flat, empty)

    @property
    def poles(self) -> ComplexArray:
        """Poles of the two extreme modes, 1/s."""
        return self.extremes.poles

    @cached_property
    def state_variance(self) -> FloatArray:
        """(states,) variances of voltages (V^2) and inductor currents (A^2), as ``sde.state_names``."""
        voltages = self._inverse_coupling.diagonal() * self.inverse + self.own
        if self.nodal.Gamma is None:
            return voltages
        # Every mode holds as much energy in its inductance as in its capacitance: gamma <phi^2> = c <v^2>.
        gamma = multiple(self.nodal.Gamma) or 1.0
        if self.conductive:
            flux = voltages * ((multiple(self.nodal.C) or 0.0) / gamma)
        else:
            flux = np.full(len(voltages), self.inverse / gamma)
        return np.concatenate([voltages, self.nodal.currents.power(2) @ flux])

    def multiply(self, x: FloatArray) -> FloatArray:
        """Multiply (states, k) by the covariance of the states."""
        n = self.coupling.n
        voltages = self.inverse * self.coupling.solve(x[:n]) + self.own * x[:n]
        if self.nodal.Gamma is None:
            return voltages
        gamma = multiple(self.nodal.Gamma) or 1.0
        flux = self.nodal.currents.T @ x[n:]
        if self.conductive:
            flux = self.coupling.solve(flux) * (self.inverse * (multiple(self.nodal.C) or 0.0) / gamma)
        else:
            flux = flux * (self.inverse / gamma)
        return np.concatenate([voltages, self.nodal.currents @ flux])

    def draw_voltages(self, normals: FloatArray) -> FloatArray:
        """Voltages of the cells (n, k) from the stationary law out of (`voltage_normals`, k) standard normals."""
        n = self.coupling.n
        v = self.coupling.sample_solve(normals[:n])
        v *= np.sqrt(self.inverse)
        if self.own:
            v += np.sqrt(self.own) * normals[n : 2 * n]
        v += self._rest[:, None]
        return v

    def draw(self, normals: FloatArray) -> FloatArray:
        """States (states, k) from the stationary law out of (`normals`, k) normals; voltages as `draw_voltages`."""
        n, used = self.coupling.n, self.voltage_normals
        v = self.draw_voltages(normals)
        if self.nodal.Gamma is None:
            return v
        gamma = multiple(self.nodal.Gamma) or 1.0
        if self.conductive:
            scale = np.sqrt((multiple(self.nodal.C) or 0.0) / gamma)
            flux = scale * np.sqrt(self.inverse) * self.coupling.sample_solve(normals[used : used + n])
        else:
            flux = np.sqrt(self.inverse / gamma) * normals[used : used + n]
        static = self.nodal.drive / gamma  # held by the inductors
        return np.concatenate([v, self.nodal.currents @ (flux + static[:, None])])

    @property
    def normals(self) -> int:
        """Rows of normals that `draw` takes."""
        return self.voltage_normals + (self.coupling.n if self.nodal.Gamma is not None else 0)

    @property
    def voltage_normals(self) -> int:
        """Rows of normals that `draw_voltages` takes, the first that `draw` does."""
        return self.coupling.n * (1 + bool(self.own))


def sparse_stationary(sde: StochasticODE) -> SparseStationary:
    """The law of a large sparse network.

    Raises
    ------
    UnknownLaw
        If more than one of its matrices couples cells or differs from cell to cell, so that no closed form is known.
    CircuitError
        If it is not stable.
    """
    nodal = nodal_matrices(sde)
    if nodal is None:
        raise _unknown(sde, "its cells are not all of one kind (one inductor each, or none)")
    c, g, s = (multiple(matrix) for matrix in (nodal.C, nodal.G, nodal.S))
    if nodal.Gamma is not None and multiple(nodal.Gamma) is None:
        raise _unknown(sde, "its inductances differ or couple")
    if g is not None and s is not None:
        if g <= 0:
            raise CircuitError("unstable: no conductance damps the cells, so there is no stationary law", nodes=())
        return SparseStationary(sde, nodal, _factor(nodal.C, "capacitance", nodal, sde), s / (2.0 * g), 0.0, False)
    if c is not None:
        share = _share(nodal.S, nodal.G)
        if share is not None and nodal.Gamma is not None and share[1]:
            share = None
        if share is not None:
            a, b = share
            return SparseStationary(
                sde, nodal, _factor(nodal.G, "conductance", nodal, sde), a / (2.0 * c), b / (2.0 * c), True
            )
    raise _unknown(sde, "capacitances, conductances or noise differ from cell to cell")


class UnknownLaw(CircuitError):
    """No closed form is known of a large network."""


def _unknown(sde: StochasticODE, why: str) -> UnknownLaw:
    n = sde.E.shape[0]
    return UnknownLaw(
        f"{n} states are too many for a general law (at most {LARGE}), and no closed form is known: {why}; "
        "one is where all resistors are noisy, of one temperature, and nothing else is noisy or controlled",
        nodes=(),
    )


def _share(S: sp.csr_array, G: sp.csr_array) -> tuple[float, float] | None:
    """``(a, b)``, both 0 or more so that draws add up, with ``S = a I + b G``; or None."""
    if abs(G - G.T).max() > 0:
        return None
    off_G, off_S = G - sp.diags_array(G.diagonal()), S - sp.diags_array(S.diagonal())
    weight = float((off_G.power(2)).sum())
    b = float(off_G.multiply(off_S).sum()) / weight if weight else 0.0
    a = float((S.diagonal() - b * G.diagonal()).mean())
    rest = S - b * G - a * sp.eye_array(S.shape[0])
    rounding = _FIT * abs(S).max()
    if abs(rest).max() > rounding or min(a, b * abs(G).max()) < -rounding:
        return None
    return max(a, 0.0), max(b, 0.0)


def _factor(matrix: sp.csr_array, what: str, nodal: NodalMatrices, sde: StochasticODE) -> SparseCholesky:
    try:
        return SparseCholesky(canonical((matrix + matrix.T) / 2), _read_together(matrix, nodal, sde))
    except NotPositiveDefinite as error:
        raise CircuitError(f"unstable: the {what} matrix is not positive definite ({error})", nodes=()) from None


def _read_together(matrix: sp.csr_array, nodal: NodalMatrices, sde: StochasticODE) -> sp.csr_array | None:
    """Pattern (n, n) of the covariances that the readout needs besides those of coupled cells; None for none.

    A variable read from several cells needs the covariances of them all with each other, and with all
    cells of every variable whose cells its own are coupled to.
    """
    readout = canonical(abs(sde.readout.matrix) @ abs(nodal.probes))
    if (np.diff(readout.indptr) <= 1).all():
        return None
    shares = (readout.T @ readout > 0).astype(np.float64) + sp.eye_array(matrix.shape[0])
    partners = np.asarray(shares.sum(axis=1))
    joined = abs(matrix) > 0
    if float(partners @ (joined.astype(np.float64) @ partners)) > _MOST_ENTRIES:
        raise CircuitError("the readout mixes too many cells for a network this large", nodes=())
    return canonical((shares @ joined @ shares) > 0)


class Midpoint:
    """The implicit midpoint rule with one factorisation for all steps.

    In node voltages (`nodal_matrices`) what is solved with is ``C + G h / 2 + Gamma h^2 / 4``, for the sum u of the
    voltages before and after, of half as many unknowns as there are states; inductor currents follow from u. It
    is symmetric where G is, and then its factor is of one triangle.

    Parameters
    ----------
    sde:
        The equation, n states.
    step:
        s.
    """

    def __init__(self, sde: StochasticODE, step: float) -> None:
        self.step = step
        nodal = nodal_matrices(sde)
        C, G = (sde.E, -sde.F) if nodal is None else (nodal.C, nodal.G)  # of another equation: all its states
        self._nodes = n = C.shape[0]
        implicit = sp.csr_array(C + G * (step / 2.0))
        self._currents = self._into = sp.csr_array((0, n))
        if nodal is not None and nodal.Gamma is not None:
            implicit = sp.csr_array(implicit + nodal.Gamma * (step**2 / 4.0))
            self._currents = sp.csr_array(nodal.currents * (step / 2.0))
            self._into = sp.csr_array(sde.F[:n, n:] * step)  # minus the incidence of branches: currents into nodes
        self._solve = _solver(implicit, 1.0 / np.sqrt(C.diagonal()))
        self._twice = sp.csr_array(2.0 * C)
        self._noise = sp.csr_array(sde.K[:n] * np.sqrt(step))
        self._drive = (sde.s[:n] * step)[:, None]

    @property
    def normals(self) -> int:
        """Rows of normals that a step takes."""
        return self._noise.shape[1]

    def advance(self, x: FloatArray, normals: FloatArray) -> FloatArray:
        """One step of the states (n, k), with (``normals``, k) standard normals."""
        v, i = x[: self._nodes], x[self._nodes :]
        right = self._noise @ normals
        right += self._twice @ v
        if len(i):
            right += self._into @ i
        right += self._drive
        u = self._solve(right)
        after = np.empty_like(x)
        np.subtract(u, v, out=after[: self._nodes])
        if len(i):
            after[self._nodes :] = i + self._currents @ u
        return after


def _solver(matrix: sp.csr_array, scale: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Solve with a matrix, (n, k) at a time: a symmetric one, or one whose pivots on its diagonal do on this scale."""
    from scipy.sparse.linalg import splu

    if float(abs(matrix - matrix.T).max()) <= _FIT * float(abs(matrix).max()):
        return SparseCholesky(matrix).solve
    S, options = sp.diags_array(scale), {"SymmetricMode": True}
    scaled = sp.csc_array(S @ matrix @ S)
    lu = splu(scaled, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    return lambda right: np.asarray(lu.solve(right * scale[:, None])) * scale[:, None]
