"""Closed-form modes: a network whose matrices commute is as many independent resonators as it has cells.

With node voltages v and node fluxes phi (``phi' = v``) a network of capacitors, conductances and
inductors obeys ``C v' + G v + Gamma phi = noise`` with the noise of covariance ``S dt``. Where C, G,
Gamma and S commute, one orthogonal U diagonalises all four, and mode k is a resonator of its own:

    v' = -2 alpha v - w psi + noise,   psi' = w v,   2 alpha = g / c,  w^2 = gamma / c,  psi = w phi,

with stationary variance ``s / (2 g c)`` of v and of psi alike, and no covariance between them. The
nominal SPU is of this kind: equal conductances, inductors and noise make all matrices but C
multiples of the identity. Without inductors there is no psi.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arrays import ComplexArray, FloatArray
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.reach import partly_silent

ROUNDING = 1e-14
"""Relative deviation up to which a matrix counts as a multiple of the identity, or as diagonal."""

KNOWN = 1e-6
"""What the least eigenvalue of a matrix may be off, for its modes to be known."""


@dataclass(frozen=True, eq=False)
class Modes:
    """Independent modes of a network.

    Attributes
    ----------
    shapes:
        (n, n) orthogonal: node voltages from modal ones.
    probes:
        (p, n): probe voltages from modal ones, V per V.
    capacitance, conductance, stiffness, noise:
        (n,) F, S, 1/H (zeros without inductors) and A^2 s: eigenvalues of C, G, Gamma, S.
    drive:
        (n,) A: constant current into each mode.
    currents:
        (m, n) A per V s: inductor currents from modal fluxes.
    """

    shapes: FloatArray
    probes: FloatArray
    capacitance: FloatArray
    conductance: FloatArray
    stiffness: FloatArray
    noise: FloatArray
    drive: FloatArray
    currents: FloatArray

    @property
    def inductive(self) -> bool:
        """Whether modes have a flux beside their voltage."""
        return bool(self.stiffness.any())

    @property
    def damping(self) -> FloatArray:
        """(n,) ``alpha = g / 2c``, 1/s."""
        return self.conductance / (2.0 * self.capacitance)

    @property
    def frequency(self) -> FloatArray:
        """(n,) undamped angular frequency ``w``, rad/s; zeros without inductors."""
        return np.sqrt(self.stiffness / self.capacitance)

    @property
    def variance(self) -> FloatArray:
        """(n,) stationary variance of each modal voltage, V^2."""
        return self.noise / (2.0 * self.conductance * self.capacitance)

    @cached_property
    def poles(self) -> ComplexArray:
        """(n,) without, (2 n,) with inductors: 1/s."""
        alpha, w = self.damping, self.frequency
        if not self.inductive:
            return (-2.0 * alpha).astype(np.complex128)
        root = np.sqrt((alpha**2 - w**2).astype(np.complex128))
        fast = -alpha - root
        # The slow pole of an overdamped mode from the product: the difference would cancel.
        slow = np.where(root.real > 0, w**2 / np.where(fast != 0, fast, 1.0), -alpha + root)
        return np.concatenate([slow, fast])

    @property
    def modes(self) -> Modes:
        """Themselves: a law in closed form has them, or finds them (`spu.emulator.laws.coupled`)."""
        return self

    @property
    def probe_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""
        if self.inductive:  # they shorten every current into a cell
            return np.zeros(len(self.probes))
        return np.asarray(self.probes @ (self.drive / self.conductance))

    def seen(self, lift: sp.csr_array | None = None) -> FloatArray:
        """(p, p) covariance of the probes; or of ``lift @ probes``, lift (q, p), differences taken before rounding."""
        half = (self.probes if lift is None else lift @ self.probes) * np.sqrt(self.variance)
        return np.asarray(half @ half.T)  # numpy sees that this is symmetric, and computes half of it

    @property
    def state_variance(self) -> FloatArray:
        """(states,) variances of node voltages (V^2) and inductor currents (A^2)."""
        voltages = self.shapes**2 @ self.variance
        if not self.inductive:
            return voltages
        return np.concatenate([voltages, self.currents**2 @ (self.variance / self.frequency**2)])

    def multiply(self, x: FloatArray) -> FloatArray:
        """Multiply (states, k) by the covariance of node voltages and inductor currents."""
        n = len(self.shapes)
        voltages = self.shapes @ (self.variance[:, None] * (self.shapes.T @ x[:n]))
        if not self.inductive:
            return voltages
        flux = (self.variance / self.frequency**2)[:, None]
        return np.concatenate([voltages, self.currents @ (flux * (self.currents.T @ x[n:]))])

    def drift(self) -> FloatArray:
        """(n, 2, 2): of ``(v, psi)``, 1/s; without inductors (n, 1, 1)."""
        alpha, w = self.damping, self.frequency
        if not self.inductive:
            return (-2.0 * alpha)[:, None, None]
        return np.moveaxis(np.array([[-2.0 * alpha, -w], [w, np.zeros_like(w)]]), 2, 0)

    def spectrum(self, frequencies: ArrayLike) -> FloatArray:
        """One-sided spectral density of each modal voltage, (k, n) V^2/Hz, at (k,) Hz."""
        w = 2 * np.pi * np.asarray(frequencies, dtype=np.float64)[:, None]
        c, g, stiffness = self.capacitance, self.conductance, self.stiffness
        if not self.inductive:
            return np.asarray(2.0 * self.noise / np.abs(g + 1j * w * c) ** 2)
        # The admittance times w, which is finite at 0 Hz: there inductors short the voltage.
        return np.asarray(2.0 * self.noise * (w / np.abs(w * g + 1j * (w**2 * c - stiffness))) ** 2)

    def correlation(self, lags: ArrayLike) -> FloatArray:
        """Autocorrelation of each modal voltage, (k, n), at lags (k,) >= 0 in s."""
        alpha, w = self.damping, self.frequency
        t = np.asarray(lags, dtype=np.float64)[:, None]
        if not self.inductive:
            return np.exp(-2.0 * alpha * t)
        root = np.sqrt((alpha**2 - w**2).astype(np.complex128))
        x = root * t
        # exp(-alpha t) (cosh x - alpha t sinh x / x), with the exponentials taken together: none overflows.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(np.abs(x) > 1e-4, (np.exp(x - alpha * t) - np.exp(-x - alpha * t)) / (2.0 * x), 0.0)
        ratio = np.where(np.abs(x) > 1e-4, ratio, np.exp(-alpha * t) * (1.0 + x**2 / 6.0))
        cosine = (np.exp(x - alpha * t) + np.exp(-x - alpha * t)) / 2.0
        return np.asarray((cosine - alpha * t * ratio).real)


@dataclass(frozen=True, eq=False)
class NodalMatrices:
    """``C v' + G v + Gamma phi = s + noise`` of an equation whose states are voltages and inductor currents.

    Attributes
    ----------
    C, G, S, Gamma:
        (n, n) sparse: F, S, A^2 s and 1/H; Gamma is None without inductors.
    probes:
        (p, n) sparse: probe voltages from node voltages.
    drive:
        (n,) A, constant.
    currents:
        (m, n) sparse, 1/H: inductor currents from node fluxes; m is n or 0.
    """

    C: sp.csr_array
    G: sp.csr_array
    S: sp.csr_array
    Gamma: sp.csr_array | None
    probes: sp.csr_array
    drive: FloatArray
    currents: sp.csr_array


def nodal_matrices(sde: StochasticODE) -> NodalMatrices | None:
    """Write an equation in node voltages and fluxes; None unless every node has one inductor, or none has any."""
    voltages = bisect_left(sde.state_names, True, key=lambda name: not name.startswith("v("))  # they come first
    fluxes = sde.E.shape[0] - voltages
    if fluxes not in (0, voltages) or sde.D.nnz:
        return None
    v, i = slice(0, voltages), slice(voltages, None)
    noise = sde.K[v]
    Gamma, currents = None, sp.csr_array((0, voltages))
    if fluxes:
        N = -sde.F[v, i]
        if sde.E[v, i].count_nonzero() or sde.F[i, i].count_nonzero() or sde.K[i].count_nonzero():
            return None
        if sde.H[:, i].count_nonzero() or abs(sde.F[i, v] - N.T).max() > 0 or sde.s[i].any():
            return None
        inductance = _diagonal(sde.E[i, i])
        if inductance is None:
            return None  # coupled fluxes: not worth a second eigenproblem
        currents = sp.csr_array(sp.diags_array(1.0 / inductance) @ N.T)
        Gamma = sp.csr_array(N @ currents)
    S = sp.csr_array(noise @ noise.T)
    return NodalMatrices(sde.E[v, v], -sde.F[v, v], S, Gamma, sde.H[:, v], sde.s[v], currents)


def well_heard(sde: StochasticODE) -> NodalMatrices | None:
    """`nodal_matrices`; None as well where noise reaches some nodes and not others: modes know a zero to rounding."""
    nodal = nodal_matrices(sde)
    if nodal is None:
        return None
    matrices = [nodal.C, nodal.G, *([] if nodal.Gamma is None else [nodal.Gamma])]
    return None if partly_silent(matrices, nodal.S.diagonal() > 0) else nodal


def modes_of(nodal: NodalMatrices) -> Modes | None:
    """Find the modes of a network, or None where its matrices do not commute."""
    found = _diagonalise([nodal.C, nodal.G, nodal.S, *([] if nodal.Gamma is None else [nodal.Gamma])])
    if found is None:
        return None
    U, values = found
    # An eigenvalue is known to rounding of the largest.
    for part in (*values[:2], *values[3:]):
        if 0 < part.min() < ROUNDING / KNOWN * part.max():
            return None
    stiffness = values[3] if nodal.Gamma is not None else np.zeros(len(U))
    if (values[0] <= 0).any() or (nodal.Gamma is not None and (stiffness <= 0).any()) or (values[2] < 0).any():
        return None
    return _modes(nodal, U, values[0], values[1], stiffness, values[2])


def diagonal_modes(nodal: NodalMatrices, coupling: FloatArray) -> Modes:
    """The modes of a network of which one matrix (n, n) couples, and all others are multiples of 1."""
    values, U = la.eigh(coupling, driver="evd", check_finite=False)
    matrices = (nodal.C, nodal.G, nodal.Gamma, nodal.S)
    factors = [0.0 if matrix is None else multiple(matrix) for matrix in matrices]
    return _modes(nodal, U, *(values if factor is None else np.full(len(U), factor) for factor in factors))


def _modes(
    nodal: NodalMatrices, U: FloatArray, c: FloatArray, g: FloatArray, gamma: FloatArray, s: FloatArray
) -> Modes:
    probes, drive, currents = nodal.probes @ U, nodal.drive @ U, nodal.currents @ U
    return Modes(U, np.asarray(probes), c, g, gamma, s, drive, np.asarray(currents))


def has_closed_form(sde: StochasticODE) -> bool:
    """Whether one eigenproblem gives all modes: all matrices are multiples of the identity but one at most."""
    nodal = nodal_matrices(sde)
    if nodal is None:
        return False
    matrices = [nodal.C, nodal.G, nodal.S, *([] if nodal.Gamma is None else [nodal.Gamma])]
    return sum(multiple(matrix) is None for matrix in matrices) <= 1


def _diagonal(matrix: sp.csr_array) -> FloatArray | None:
    """The diagonal of a matrix that has nothing else."""
    diagonal = matrix.diagonal()
    return diagonal if matrix.count_nonzero() == np.count_nonzero(diagonal) else None


def multiple(matrix: sp.csr_array) -> float | None:
    """``a`` where the matrix is ``a I`` to rounding."""
    diagonal = _diagonal(matrix)
    if diagonal is None or np.ptp(diagonal) > ROUNDING * np.abs(diagonal).max():
        return None
    return float(diagonal.mean())


def _diagonalise(matrices: list[sp.csr_array]) -> tuple[FloatArray, list[FloatArray]] | None:
    """Orthogonal U and the eigenvalues of each matrix, where all are symmetric and commute."""
    n = matrices[0].shape[0]
    multiples = [multiple(matrix) for matrix in matrices]
    others = [matrix.toarray() for matrix, factor in zip(matrices, multiples, strict=True) if factor is None]
    scales = [float(np.abs(other).max()) for other in others]
    for other, scale in zip(others, scales, strict=True):
        if np.abs(other - other.T).max() > ROUNDING * scale:
            return None
    if not others:
        U = np.eye(n)
    elif len(others) == 1:
        eigenvalues, U = la.eigh(others[0], driver="evd", check_finite=False)
    else:
        # Where eigenvalues of one coincide the others decide. Where those of the mixture nearly coincide by chance the
        # check below fails, and the network goes the general way.
        weights = (1.0, 0.6180339887498949, 0.3819660112501051, 0.2360679774997897)
        mixture = np.zeros((n, n))
        for weight, other, scale in zip(weights, others, scales, strict=False):
            mixture += weight / scale * other
        if n <= 64 or all(_commute(others[0], other) for other in others[1:]):
            U = la.eigh(mixture, driver="evd", check_finite=False)[1]
        else:
            return None
    values = []
    for matrix, factor in zip(matrices, multiples, strict=True):
        if factor is not None:
            values.append(np.full(n, factor))
        elif len(others) == 1:
            values.append(eigenvalues)
        else:
            rotated = U.T @ (matrix @ U)
            diagonal = np.diag(rotated).copy()
            if np.abs(rotated - np.diag(diagonal)).max() > 64 * ROUNDING * np.abs(diagonal).max():
                return None
            values.append(diagonal)
    return U, values


def _commute(a: FloatArray, b: FloatArray) -> bool:
    """Whether two matrices seem to commute, on one vector: a cheap no before an eigenproblem."""
    x = np.cos(np.arange(len(a), dtype=np.float64) ** 2)
    ab, ba = a @ (b @ x), b @ (a @ x)
    return bool(np.abs(ab - ba).max() <= 1e-10 * max(np.abs(ab).max(), np.abs(ba).max()))
