"""Modified nodal analysis: what elements write their stamps into, ``E x' = F x + s + K n``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND

Entries = tuple[IntArray, IntArray, FloatArray]
"""Rows, columns and values of entries: (k,) where k elements have one each, (m, k) where each has m."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Entries of k two-terminal elements: ``values`` at (p, p) and (n, n), and ``sign * values`` at (p, n) and (n, p).

    All arrays are (k,). Half a million couplers are kept so, and not as four entries each.
    """

    p: IntArray
    n: IntArray
    values: FloatArray
    sign: float = -1.0

    @property
    def entries(self) -> Entries:
        """The four entries of each element, (4, k)."""
        p, n, on, off = self.p, self.n, self.values, self.sign * self.values
        return np.array([p, n, p, n]), np.array([p, n, n, p]), np.array([on, on, off, off])


def _listed(parts: Sequence[Entries | Pairs]) -> list[Entries]:
    return [part.entries if isinstance(part, Pairs) else part for part in parts]


def _magnitudes(part: Any) -> Any:
    """The same stamp with the magnitudes of its values."""
    if isinstance(part, Pairs):
        return Pairs(part.p, part.n, np.abs(part.values), 1.0)
    *where, values = part
    return (*where, np.abs(values))


@dataclass(eq=False)
class Stamps:
    """Collects stamps; unknowns are node voltages (V) first, then branch currents (A).

    ``n`` in ``K n`` is a vector of independent white noises of unit one-sided density, so K
    holds amplitudes in A/sqrt(Hz), in the rows of branches V/sqrt(Hz). Branches are counted from 0.

    Stamps are kept as `Entries`, those of two-terminal elements as `Pairs`. Kirchhoff's laws of branches, ones that no
    element's value is in, stand apart.
    """

    node_count: int
    branch_count: int
    source_count: int
    temperature: float
    inductor_count: int = 0
    inductor_ends: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    inductor_branches: list[IntArray] = field(default_factory=list)
    couplings: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    voltage_ends: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    voltage_branches: list[IntArray] = field(default_factory=list)
    capacitor_ends: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    conductor_ends: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    controlled_ends: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    controlled_branches: int = 0
    polynomials: list[tuple[str, list[IntArray], FloatArray]] = field(default_factory=list)
    crossed_ends: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    conserved: list[int] = field(default_factory=list)
    islands: list[IntArray] = field(default_factory=list)
    _charge: list[Entries | Pairs] = field(default_factory=list)
    _drift: list[Entries | Pairs] = field(default_factory=list)
    _laws: list[Entries] = field(default_factory=list)
    _noise: list[Entries] = field(default_factory=list)
    _source: list[tuple[IntArray, FloatArray]] = field(default_factory=list)

    def capacitance(self, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Capacitances (F) between nodes p and n; those of zero are open."""
        self.capacitor_ends.append(_there(p, n, values))
        self._charge.append(Pairs(p, n, values))

    def conductance(self, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Conductances (S) between nodes p and n; those of zero are open."""
        self.conductor_ends.append(_there(p, n, values))
        self._drift.append(Pairs(p, n, -values))

    def inductance(self, branch: IntArray, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Inductances (H) from p to n."""
        self.inductor_count += len(values)
        self.inductor_ends.append((p, n, values))
        self.inductor_branches.append(branch)
        row = self._branch(branch, p, n)
        self._charge.append((row, row, values))

    def mutual_inductance(self, first: IntArray, second: IntArray, coupling: FloatArray) -> None:
        """Couplings of the inductors of two branches, ``M = coupling sqrt(L1 L2)``."""
        self.couplings.append((first, second, coupling))

    def voltage_branch(self, branch: IntArray, p: IntArray, n: IntArray) -> None:
        """Branches that hold ``v(p) - v(n)`` at what is added to their equations, whatever the current from p to n."""
        self.voltage_ends.append((p, n))
        self.voltage_branches.append(branch)
        self._branch(branch, p, n)

    def _branch(self, branch: IntArray, p: IntArray, n: IntArray) -> IntArray:
        """Currents from p to n, and ``v(p) - v(n)`` in their equations; returns the rows of these."""
        row = self.node_count + branch
        one = np.ones(len(branch))
        self._laws.append((np.array([row, row, p, n]), np.array([p, n, row, row]), np.array([one, -one, -one, one])))
        return row

    def voltage(self, branch: IntArray, values: FloatArray) -> None:
        """Constant voltages (V) of branches."""
        self._source.append((self.node_count + branch, -values))

    def noise_voltage(self, branch: IntArray, source: IntArray, amplitude: FloatArray) -> None:
        """Noise voltages of branches: unit source number ``source`` times ``amplitude`` (V/sqrt(Hz))."""
        self._noise.append((self.node_count + branch, source, -amplitude))

    def voltage_control(self, branch: IntArray, cp: IntArray, cn: IntArray, gain: FloatArray) -> None:
        """Voltages ``gain * (v(cp) - v(cn))`` of branches."""
        self.controlled_branches += len(branch)
        row = self.node_count + branch
        self._drift.append((np.array([row, row]), np.array([cp, cn]), np.array([-gain, gain])))

    def current_voltage(self, branch: IntArray, control: IntArray, resistance: FloatArray) -> None:
        """Voltages ``resistance`` (ohm) times the current of the branches ``control``."""
        self.controlled_branches += len(branch)
        self._drift.append((self.node_count + branch, self.node_count + control, -resistance))

    def current_control(self, p: IntArray, n: IntArray, control: IntArray, gain: FloatArray) -> None:
        """Currents ``gain`` times those of the branches ``control``, which leave p and enter n."""
        self.controlled_branches += len(control)
        self.controlled_ends.append(_there(p, n, gain))
        column = self.node_count + control
        self._drift.append((np.array([p, n]), np.array([column, column]), np.array([-gain, gain])))

    def polynomial(self, coordinate: str, nodes: list[IntArray], coefficients: FloatArray) -> None:
        """Elements with a law ``c1 x + c2 x^2 + c3 x^3`` of their coordinate, (k, 3); or (k, 4), a constant last."""
        constant = np.zeros((len(coefficients), 4 - coefficients.shape[1]))
        self.polynomials.append((coordinate, nodes, np.concatenate([coefficients, constant], axis=1)))

    def crossed_inductance(self, p: IntArray, q: IntArray, values: FloatArray) -> None:
        """Inductances (H) whose flux is the sum of the fluxes of p and q: see `spu.emulator.equations.langevin`."""
        self.crossed_ends.append((p, q, values))

    def transconductance(self, p: IntArray, n: IntArray, cp: IntArray, cn: IntArray, values: FloatArray) -> None:
        """Currents ``values * (v(cp) - v(cn))`` (A) that leave p and enter n."""
        self.controlled_ends.append(_there(p, n, values))
        self._drift.append(
            (np.array([p, p, n, n]), np.array([cp, cn, cp, cn]), np.array([-values, values, values, -values]))
        )

    def current(self, p: IntArray, n: IntArray, values: FloatArray) -> None:
        """Constant currents (A) that leave p and enter n."""
        self._source += [(p, -values), (n, values)]

    def noise_current(self, p: IntArray, n: IntArray, source: IntArray, amplitude: FloatArray) -> None:
        """Noise currents from p to n: unit source number ``source`` times ``amplitude`` (A/sqrt(Hz))."""
        self._noise += [(p, source, -amplitude), (n, source, amplitude)]

    @property
    def passive(self) -> bool:
        """Whether nothing but conductances, capacitances, inductances and sources of constant value acts."""
        return all(isinstance(part, Pairs) for part in self._drift)

    @property
    def conductors(self) -> list[Entries]:
        """Conductances: p, n and S, (k,) each."""
        return [(part.p, part.n, -part.values) for part in self._drift if isinstance(part, Pairs)]

    @property
    def capacitors(self) -> list[Entries]:
        """Capacitances: p, n and F, (k,) each."""
        return [(part.p, part.n, part.values) for part in self._charge if isinstance(part, Pairs)]

    def branch_ends(self) -> IntArray:
        """(branches, 2) first and second node of each branch."""
        ends = np.empty((self.branch_count, 2), dtype=np.int64)
        pairs = [(p, n) for p, n, _ in self.inductor_ends] + self.voltage_ends
        for branch, pair in zip(self.inductor_branches + self.voltage_branches, pairs, strict=True):
            ends[branch] = np.column_stack(pair)
        return ends

    def magnitudes(self) -> Stamps:
        """The same stamps with every term's magnitude: their sums bound the rounding of these sums."""
        found = replace(self)
        for name in ("_charge", "_drift", "_laws", "_noise", "_source", "couplings", "inductor_ends"):
            setattr(found, name, [_magnitudes(part) for part in getattr(self, name)])
        return found

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self.node_count + self.branch_count

    def _matrix(self, parts: Sequence[Entries | Pairs], columns: int) -> sp.csr_array:
        """The sum of all parts, (N, columns).

        Entries of pairs are put below the diagonal, on it, where they are added up, and above it: where couplers come
        in the order of their ends each row of the sum is sorted as it is made, and no entry is met twice.
        """
        shape = (self.size, columns)
        pairs = [part for part in parts if isinstance(part, Pairs) and not np.iscomplexobj(part.values)]
        whole = [part for part in parts if not any(part is pair for pair in pairs)]
        below: list[Entries] = []
        above: list[Entries] = []
        diagonal, touched = np.zeros(self.size), np.zeros(self.size, dtype=bool)
        for pair in pairs:
            for ends in (pair.p, pair.n):
                here = ends != GROUND
                there, values = (ends, pair.values) if here.all() else (ends[here], pair.values[here])
                diagonal += np.bincount(there, values, self.size)
                touched[there] = True
            both = (pair.p != GROUND) & (pair.n != GROUND)
            if both.any():
                between = (pair.p, pair.n, pair.values)
                p, n, values = between if both.all() else (each[both] for each in between)
                low, high = (p, n) if (p < n).all() else (np.minimum(p, n), np.maximum(p, n))
                off = pair.sign * values
                below.append((high, low, off))
                above.append((low, high, off))
        places = np.flatnonzero(touched)
        found = [*below, (places, places, diagonal[places]), *above]
        for rows, cols, values in _listed(whole):
            keep = (rows != GROUND) & (cols != GROUND)
            found.append((rows[keep], cols[keep], values[keep]))
        index = np.int32 if max(shape) < 2**31 else np.int64
        where: list[NDArray[np.signedinteger]] = [
            np.concatenate([part[k] for part in found], dtype=index, casting="same_kind") for k in range(2)
        ]
        total = sp.coo_array((np.concatenate([part[2] for part in found]), (where[0], where[1])), shape=shape)
        return sp.csr_array(total)

    def dense(self, name: str, *, decimal: bool = False) -> NDArray[Any]:
        """``E``, ``F``, ``K`` or ``s`` (as a column) as a dense matrix.

        With ``decimal`` an array of `decimal.Decimal`, the terms added up in the current context's precision: a leak of
        1e-15 S beside a switch of 1e3 S is then not lost on the diagonal.
        """
        parts = self._parts(name, decimal=decimal)
        columns = {"K": self.source_count, "s": 1}.get(name, self.size)
        if not decimal:
            found = np.zeros((self.size, columns), np.result_type(float, *(values for *_, values in parts)))
            for rows, cols, values in parts:
                keep = (rows != GROUND) & (cols != GROUND)
                np.add.at(found, (rows[keep], cols[keep]), np.asarray(values)[keep])
            return found
        total = np.full((self.size, columns), Decimal(0), dtype=object)
        for rows, cols, values in parts:
            where = (np.ravel(each).tolist() for each in (rows, cols, values))
            for row, column, value in zip(*where, strict=True):
                if row != GROUND and column != GROUND:
                    total[row, column] += Decimal(value)
        return total

    def entries(self, name: str) -> Entries:
        """All terms of ``E``, ``F``, ``K`` or ``s`` (as a column) one by one, (k,) each; several may be in one place.

        Circuits that differ in values only have them in the same order.
        """
        parts = [[np.ravel(each) for each in part] for part in self._parts(name)]
        empty: list[NDArray[Any]] = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)]
        rows, cols, values = (np.concatenate(each) for each in zip(*parts, empty, strict=True))
        keep = (rows != GROUND) & (cols != GROUND)
        return rows[keep], cols[keep], values[keep]

    def imaginary(self, name: str, instance: int) -> tuple[IntArray, IntArray, FloatArray]:
        """The imaginary part of what one instance adds to ``E``, ``F``, ``K`` or ``s`` (as a column).

        Of stamps in which the values of one parameter of one group of instances are complex, and no others. Returns
        (k,) rows, columns and values of the entries, several of which may be in one place.
        """
        parts = [
            [np.ravel(each[..., instance]) for each in (rows, cols, values.imag)]
            for rows, cols, values in self._parts(name)
            if np.iscomplexobj(values) and values.imag.any()
        ]
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        rows, cols, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        keep = (rows != GROUND) & (cols != GROUND)
        return rows[keep], cols[keep], values[keep]

    def _parts(self, name: str, *, decimal: bool = False) -> list[Entries]:
        if name == "E":
            return [*_listed(self._charge), *self._mutual(decimal=decimal)]
        if name == "F":
            return [*_listed(self._drift), *self._laws]
        return self._noise if name == "K" else [(rows, np.zeros_like(rows), values) for rows, values in self._source]

    def shares(self, by_F: NDArray[Any], by_E: NDArray[Any]) -> float:
        """What relative changes of the elements' values make of a quantity at most: the sum of its derivatives.

        Parameters
        ----------
        by_F, by_E:
            (N, N) its derivatives by the entries of F and E.
        """
        total = 0.0
        mutual = self._mutual(decimal=True)
        for parts, derivative in ((_listed(self._drift), by_F), ([*_listed(self._charge), *mutual], by_E)):
            padded = np.full((self.size + 1, self.size + 1), Decimal(0))
            padded[:-1, :-1] = derivative  # ground is the last row and column
            for rows, cols, values in parts:
                exact = np.array([Decimal(value) for value in np.ravel(values).tolist()], dtype=object)
                change = padded[np.where(rows == GROUND, -1, rows), np.where(cols == GROUND, -1, cols)]
                change = np.atleast_2d(change * exact.reshape(np.shape(values)))
                total += float(abs(change.sum(axis=0)).sum())
        return total

    @property
    def E(self) -> sp.csr_array:
        """Charges and fluxes: capacitance and inductance, (N, N)."""
        return self._matrix([*self._charge, *self._mutual()], self.size)

    def _mutual(self, *, decimal: bool = False) -> Iterator[Entries]:
        inductance = np.zeros(self.branch_count, np.result_type(float, *(values for *_, values in self.inductor_ends)))
        for branch, (_, _, values) in zip(self.inductor_branches, self.inductor_ends, strict=True):
            inductance[branch] = values
        for first, second, coupling in self.couplings:
            if decimal:  # that of a perfect coupling leaves nothing, to the last digit
                pairs = zip(coupling.tolist(), inductance[first].tolist(), inductance[second].tolist(), strict=True)
                mutual = np.array([Decimal(k) * (Decimal(a) * Decimal(b)).sqrt() for k, a, b in pairs], dtype=object)
            else:
                mutual = coupling * np.sqrt(inductance[first] * inductance[second])
            p, n = self.node_count + first, self.node_count + second
            yield from ((p, n, mutual), (n, p, mutual))

    @property
    def F(self) -> sp.csr_array:
        """Currents and voltages, (N, N)."""
        return self._matrix([*self._drift, *self._laws], self.size)

    @property
    def K(self) -> sp.csr_array:
        """Noise amplitudes per unit source, (N, m), A/sqrt(Hz) one-sided."""
        return self._matrix(self._noise, self.source_count)

    @property
    def s(self) -> FloatArray:
        """Constant source currents, (N,), A; in the rows of branches voltages, V."""
        total = np.zeros(self.size, np.result_type(float, *(values for _, values in self._source)))
        for rows, values in self._source:
            keep = rows != GROUND
            np.add.at(total, rows[keep], values[keep])
        return total


def _there(p: IntArray, n: IntArray, values: FloatArray) -> tuple[IntArray, IntArray]:
    """The ends of elements that are there, which those with a value of zero are not."""
    there = values != 0
    return (p, n) if there.all() else (p[there], n[there])


def node_names(names: Sequence[str]) -> tuple[str, ...]:
    """The nodes among names of unknowns (``v(a)``, ``i(l1 of xcell_a)``); all as they are where there is none."""
    nodes = tuple(name[2:-1] for name in names if name.startswith("v("))
    return nodes or tuple(names)


def listed(names: Sequence[str], limit: int = 6) -> str:
    """Some names in a message."""
    shown = ", ".join(names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
