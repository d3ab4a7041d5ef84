"""Modified nodal analysis: what elements write their stamps into, ``E x' = F x + s + K n``."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.constants import GROUND

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(eq=False)
class Stamps:
    """Collects stamps; unknowns are node voltages (V) first, then inductor currents (A).

    ``n`` in ``K n`` is a vector of independent white noises of unit one-sided density, so K
    holds amplitudes in A/sqrt(Hz).
    """

    node_count: int
    source_count: int
    temperature: float
    inductor_count: int = 0
    inductor_ends: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    capacitor_ends: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    conductor_ends: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    controlled_ends: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    conserved: list[int] = field(default_factory=list)
    isolated: set[int] = field(default_factory=set)
    _charge: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    _drift: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    _noise: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    _source: list[tuple[IntArray, FloatArray]] = field(default_factory=list)

    @staticmethod
    def _two_terminal(into: list, p: IntArray, n: IntArray, values: FloatArray) -> None:
        into += [(p, p, values), (n, n, values), (p, n, -values), (n, p, -values)]

    def capacitance(self, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Capacitances (F) between nodes p and n; one of zero is not there."""
        there = values != 0
        p, n, values = p[there], n[there], values[there]
        self.capacitor_ends.append((p, n))
        self._two_terminal(self._charge, p, n, values)

    def conductance(self, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Conductances (S) between nodes p and n."""
        self.conductor_ends.append((p, n))
        self._two_terminal(self._drift, p, n, -values)

    def inductance(self, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Inductances (H); each adds its current, from p to n, to the unknowns."""
        first = self.size
        branch = np.arange(first, first + len(values))
        self.inductor_count += len(values)
        self.inductor_ends.append((p, n, values))
        one = np.ones(len(values))
        self._charge.append((branch, branch, values))
        self._drift += [(branch, p, one), (branch, n, -one), (p, branch, -one), (n, branch, one)]

    def transconductance(self, p: IntArray, n: IntArray, cp: IntArray, cn: IntArray, values: FloatArray) -> None:
        """Currents ``values * (v(cp) - v(cn))`` (A) that leave p and enter n."""
        self.controlled_ends.append((p, n))
        self._drift += [(p, cp, -values), (p, cn, values), (n, cp, values), (n, cn, -values)]

    def current(self, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Constant currents (A) that leave p and enter n."""
        self._source += [(p, -values), (n, values)]

    def noise_current(self, p: IntArray, n: IntArray, source: IntArray, amplitude: FloatArray) -> None:
        """Noise currents from p to n: unit source number ``source`` times ``amplitude`` (A/sqrt(Hz))."""
        self._noise += [(p, source, -amplitude), (n, source, amplitude)]

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self.node_count + self.inductor_count

    def _matrix(self, parts: list[tuple[IntArray, IntArray, FloatArray]], columns: int) -> sp.csr_array:
        shape = (self.size, columns)
        if not parts:
            return sp.csr_array(shape)
        rows, cols, values = (np.concatenate([part[k] for part in parts]) for k in range(3))
        keep = (rows != GROUND) & (cols != GROUND)
        matrix = sp.coo_array((values[keep], (rows[keep], cols[keep])), shape=shape)
        return sp.csr_array(matrix)

    @property
    def E(self) -> sp.csr_array:
        """Charges and fluxes: capacitance and inductance, (N, N)."""
        return self._matrix(self._charge, self.size)

    @property
    def F(self) -> sp.csr_array:
        """Currents and voltages, (N, N)."""
        return self._matrix(self._drift, self.size)

    @property
    def K(self) -> sp.csr_array:
        """Noise amplitudes per unit source, (N, m), A/sqrt(Hz) one-sided."""
        return self._matrix(self._noise, self.source_count)

    @property
    def s(self) -> FloatArray:
        """Constant source currents, (N,), A."""
        total = np.zeros(self.size)
        for rows, values in self._source:
            keep = rows != GROUND
            np.add.at(total, rows[keep], values[keep])
        return total
