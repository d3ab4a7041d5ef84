"""The nodal equations of a circuit by sparse factors: what a simulator solves, for circuits of any size.

``(s E - F) x = K n`` at a complex frequency s, with all node voltages and branch currents as unknowns: one
factorisation serves every source, every combination of them, and every readout (by the transposed equations).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.factor import Factor
from spu.circuit.circuit import Circuit, FlatElements, stamp_circuit
from spu.circuit.elements import Inductor
from spu.circuit.stamps import Stamps
from spu.emulator.equations.linear import probe_matrix
from spu.emulator.laws.sensitivity import CHANGE


@dataclass(frozen=True, eq=False)
class Nodal:
    """The equations ``E x' = F x + s + K n`` of a circuit, all N unknowns of them.

    Attributes
    ----------
    circuit:
        Whose they are.
    stamps:
        Of its elements.
    E, F:
        (N, N).
    K:
        (N, m) per volt of the m unit noise sources.
    s:
        (N,) constant sources.
    probes:
        (p, N) probe voltages.
    """

    circuit: Circuit
    stamps: Stamps
    E: sp.csr_array
    F: sp.csr_array
    K: sp.csr_array
    s: FloatArray
    probes: sp.csr_array

    @classmethod
    def of(cls, circuit: Circuit) -> Nodal:
        """Stamp a circuit."""
        stamps = stamp_circuit(circuit)[0]
        plus, minus = circuit.probe_nodes.T
        return cls(
            circuit,
            stamps,
            stamps.E,
            stamps.F,
            sp.csr_array(stamps.K / UNIT_NOISE_DENSITY),
            stamps.s,
            probe_matrix(plus, minus, stamps.size),
        )

    def at(self, frequency: float) -> Factor:
        """The equations at a frequency, Hz; raises RuntimeError where they are singular."""
        if frequency == 0:
            return Factor(sp.csr_array(-self.F))
        return Factor(sp.csr_array(2j * np.pi * frequency * self.E - self.F))

    @cached_property
    def rest(self) -> FloatArray:
        """(N,) the operating point; not a number where there is none."""
        if not self.s.any():
            return np.zeros(len(self.s))
        try:
            return np.asarray(self.at(0.0).solve(self.s[:, None])[:, 0].real)
        except RuntimeError:
            return np.full(len(self.s), np.nan)

    def rounded(self, seed: int) -> Nodal:
        """The same equations with entries off by as much as summing and rounding the elements' terms may leave."""
        bounds = self.stamps.magnitudes()
        rng = np.random.default_rng(seed)

        def off(matrix: sp.csr_array, terms: sp.csr_array) -> sp.csr_array:
            change = sp.csr_array(terms)
            change.data = change.data * rng.uniform(-1.0, 1.0, len(change.data)) * np.finfo(float).eps
            return sp.csr_array(matrix + change)

        E, F = off(self.E, bounds.E), off(self.F, bounds.F)
        return Nodal(self.circuit, self.stamps, E, F, self.K, self.s, self.probes)

    def slopes(self, most: int) -> list[Slope]:
        """What relative changes of elements make of the equations, of a fair choice of them."""
        coupled = bool(self.stamps.couplings)
        groups = [
            (flat, np.flatnonzero(flat.values.reshape(len(flat.group.names), -1).any(axis=1)))
            for flat in self.circuit.flatten()
            if not (coupled and isinstance(flat.element, Inductor))  # its mutual inductances hang on it
        ]
        counts = np.array([len(rows) for _, rows in groups], dtype=np.int64)
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        found = []
        for place in np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(int)).tolist():
            number = int(np.searchsorted(ends, place, side="right"))
            flat, rows = groups[number]
            slope = self.slope(flat, int(rows[place - (ends[number] - counts[number])]))
            if slope.there:
                found.append(slope)
        return found

    def slope(self, flat: FlatElements, k: int) -> Slope:
        """What a relative change of one element makes of the equations."""
        one = slice(k, k + 1)

        def stamped(factor: float) -> Stamps:
            given = self.stamps
            stamps = Stamps(given.node_count, given.branch_count, given.source_count, given.temperature)
            nodes, branches = ([each[one] for each in arrays] for arrays in (flat.nodes, flat.branches))
            noise = None if flat.noise is None else flat.noise[one]
            flat.element.stamp(stamps, nodes, noise, flat.values[one] * factor, branches)
            return stamps

        before, after = stamped(1.0), stamped(1.0 + CHANGE)
        E, F, K = ((getattr(after, name) - getattr(before, name)) / CHANGE for name in ("E", "F", "K"))
        s = (after.s - before.s) / CHANGE
        name = f"{flat.element.name} of {flat.group.names[k]}"
        return Slope(name, E, F, sp.csr_array(K / UNIT_NOISE_DENSITY), s)


@dataclass(frozen=True, eq=False)
class Slope:
    """The derivative of a circuit's equations by the logarithm of one element's value; as `Nodal`."""

    name: str
    E: sp.csr_array
    F: sp.csr_array
    K: sp.csr_array
    s: FloatArray

    @property
    def there(self) -> bool:
        """Whether anything changes."""
        return bool(abs(self.E).sum() or abs(self.F).sum() or abs(self.K).sum() or self.s.any())


def power_gains(nodal: Nodal, frequencies: FloatArray, rows: sp.csr_array) -> FloatArray:
    """(f, r, m) power gains from every source to rows (r, N), by the transposed equations."""
    listened = rows.toarray().T
    gains = np.empty((len(frequencies), rows.shape[0], nodal.K.shape[1]))
    for k, frequency in enumerate(frequencies.tolist()):
        gains[k] = (np.abs(np.asarray(nodal.K.T @ nodal.at(frequency).solve_transposed(listened))) ** 2).T
    return gains
