"""Closed form without modes: a network of which one matrix couples the nodes, and all others are multiples of 1.

With ``C v' + G v + Gamma phi = noise`` (`spu.emulator.laws.modes`): where C couples, ``v ~ N(0, s/(2 g) C^-1)`` and
the fluxes ``N(0, s/(2 g gamma) I)``; where G does, ``v ~ N(G^-1 drive, s/(2 c) G^-1)`` and the fluxes have ``c/gamma``
times that covariance. The nominal SPU is of this kind. One Cholesky factor gives the law, at a fraction of what the
eigenvectors cost; these are found once they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.cholesky import cholesky, half_solve, inverse, solve
from spu.base.sparse import canonical
from spu.emulator.laws.modes import KNOWN, ROUNDING, Modes, NodalMatrices, diagonal_modes, multiple


@dataclass(frozen=True, eq=False)
class Coupled:
    """The law of such a network.

    Attributes
    ----------
    nodal:
        Its matrices.
    matrix, factor:
        (n, n) each: the matrix that couples, C or G, and its lower Cholesky factor.
    covariance:
        (n, n) of the node voltages, V^2.
    weight:
        ``covariance = weight * matrix^-1``.
    conductive:
        Whether G couples, not C.
    flux:
        What the fluxes' covariance is of the voltages' where G couples, and of 1 where C does; 0 without inductors.
    """

    nodal: NodalMatrices
    matrix: FloatArray
    factor: FloatArray
    covariance: FloatArray
    weight: float
    conductive: bool
    flux: float

    @property
    def inductive(self) -> bool:
        """Whether nodes have a flux beside their voltage."""
        return self.nodal.Gamma is not None

    @cached_property
    def modes(self) -> Modes:
        """Its independent modes."""
        return diagonal_modes(self.nodal, self.matrix)

    @property
    def probe_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""
        nodal = self.nodal
        if self.inductive or not nodal.drive.any():  # inductors shorten every current into a cell
            return np.zeros(nodal.probes.shape[0])
        if self.conductive:
            return np.asarray(nodal.probes @ solve(self.factor, nodal.drive))
        return np.asarray(nodal.probes @ (nodal.drive / nodal.G.diagonal()))

    def seen(self, lift: sp.csr_array | None = None) -> FloatArray:
        """(p, p) covariance of the probes; or of ``lift @ probes``, lift (q, p), differences taken before rounding."""
        rows = canonical(self.nodal.probes if lift is None else lift @ self.nodal.probes)
        if (np.diff(rows.indptr) == 1).all():  # each is one node's
            nodes, gains = rows.indices, rows.data
            whole = np.array_equal(nodes, np.arange(len(self.covariance)))
            found = self.covariance if whole else self.covariance[np.ix_(nodes, nodes)]
            if (gains == 1.0).all():
                return found
            found = found * gains
            found *= gains[:, None]
            return found
        half = half_solve(self.factor, rows.T.toarray())
        return np.asarray(self.weight * (half.T @ half))

    @property
    def state_variance(self) -> FloatArray:
        """(states,) variances of node voltages (V^2) and inductor currents (A^2)."""
        voltages = self.covariance.diagonal().copy()
        if not self.inductive:
            return voltages
        flux = self.flux * (voltages if self.conductive else np.ones(len(voltages)))
        return np.concatenate([voltages, self.nodal.currents.power(2) @ flux])

    def multiply(self, x: FloatArray) -> FloatArray:
        """Multiply (states, k) by the covariance of node voltages and inductor currents."""
        n = len(self.covariance)
        voltages = self.covariance @ x[:n]
        if not self.inductive:
            return voltages
        flux: Any = self.nodal.currents.T @ x[n:]
        flux = self.flux * (self.covariance @ flux if self.conductive else flux)
        return np.concatenate([voltages, self.nodal.currents @ flux])


def coupled(nodal: NodalMatrices) -> Coupled | None:
    """The law where one of C and G couples, and whatever its eigenvalues they are known, and all modes decay.

    None wherever that is not certain from bounds: the modes themselves then have to tell.
    """
    c, g, s = (multiple(matrix) for matrix in (nodal.C, nodal.G, nodal.S))
    gamma = 0.0 if nodal.Gamma is None else multiple(nodal.Gamma)
    if s is None or s < 0 or gamma is None or (c is None) == (g is None):
        return None
    other = g if c is None else c
    assert other is not None
    if other <= 0 or (nodal.Gamma is not None and gamma <= 0):
        return None
    matrix = (nodal.C if c is None else nodal.G).toarray()
    if (matrix != matrix.T).any() and np.abs(matrix - matrix.T).max() > ROUNDING * np.abs(matrix).max():
        return None
    factor = cholesky(matrix)
    if factor is None:
        return None
    covariance = inverse(factor)
    largest, smallest = _row_sums(matrix), 1.0 / _row_sums(covariance)
    if not smallest > ROUNDING / KNOWN * largest:
        return None
    # The slowest and the fastest mode are among those of the extreme eigenvalues: in between the rate of the slow
    # pole rises up to critical damping and falls beyond.
    extremes, flat = np.array([smallest, largest]), np.ones(2)
    empty = np.empty((0, 2))
    capacitance, conductance = (extremes, flat * other) if c is None else (flat * other, extremes)
    poles = Modes(empty, empty, capacitance, conductance, flat * gamma, flat, flat, empty).poles
    if not poles.real.max() < -1e-15 * len(matrix) * len(poles) / 2 * np.abs(poles).max():
        return None
    weight = s / (2.0 * other)
    covariance *= weight
    flux = (weight if c is None else c) / gamma if gamma else 0.0
    return Coupled(nodal, matrix, factor, covariance, weight, c is not None, flux)


def _row_sums(matrix: FloatArray) -> float:
    """The largest sum of magnitudes of a row of a symmetric matrix (n, n): its eigenvalues are at most that."""
    return float(np.abs(matrix).sum(axis=0).max())
