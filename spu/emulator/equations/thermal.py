"""Networks in thermal equilibrium, found from the circuit's elements: their law needs no equation to be solved.

Where every conductance g makes the white noise of one temperature, of one-sided density ``4 kT g``, and nothing else
makes noise or is active, the equations ``E x' = F x + s + K n`` have a symmetric E and ``K K^T / 2 = -kT (F + F^T)``:
each conductance adds the same matrix to both sides. So ``P = kT E^-1`` solves ``F P E + E P F^T + K K^T / 2 = 0``
(Johnson and Nyquist, 1928), and a congruence, or solving for voltages that no capacitance holds, leaves it so. It is
the stationary covariance if every mode decays.

A mode that does not decay, ``s E x = F x`` with imaginary s, dissipates nothing: no conductance has a voltage. So
nodes that conductances join have one voltage, which is zero where they reach ground, and Kirchhoff's laws hold of what
capacitors and inductors carry. An equation with one unknown left makes that zero, and so on; if nothing is left there
is no such mode. Which unknowns an equation has is read off the elements, so that no number is rounded. (Modes with
``s = 0`` are charges and fluxes that are conserved, which the reduction of the equations has taken out.)
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.circuit.stamps import Stamps
from spu.emulator.equations.reduction import components

_SAME = 64 * float(np.finfo(float).eps)
"""What temperatures of conductances may differ by: a density is the square of an amplitude that was rounded. The
stationary covariance is off by no more, relative to itself, as it grows with each noise."""


def thermal_energy(stamps: Stamps) -> float | None:
    """The energy kT (J) of a network in thermal equilibrium of which every mode decays; None where that is not proven.

    Parameters
    ----------
    stamps:
        The equations as they were stamped, real.
    """
    energy = _one_temperature(stamps)
    return energy if energy is not None and _decays(stamps) else None


def _one_temperature(stamps: Stamps) -> float | None:
    """kT, where the noise of each pair of nodes is that of the conductance between them, and all is passive."""
    if not (stamps.passive and stamps.conductors):
        return None
    p, n, g = _joined(stamps.conductors)
    c = _joined(stamps.capacitors)[2]
    if not ((g > 0).all() and (c >= 0).all()):
        return None
    if any((values <= 0).any() for _, _, values in stamps.inductor_ends):
        return None
    noise = sp.csc_array(stamps.K)
    noise.sort_indices()
    count = np.diff(noise.indptr)
    if (count == 0).all() or (count > 2).any() or (noise.indices >= stamps.node_count).any():
        return None
    first = noise.indptr[:-1][count > 0]
    second = first + count[count > 0] - 1
    amplitude = noise.data[first]
    alone = first == second  # its other end is ground
    if (noise.data[second] != np.where(alone, amplitude, -amplitude)).any():
        return None
    pairs = _pairs(p, n, stamps.node_count)
    heard = _pairs(
        noise.indices[first].astype(np.int64), np.where(alone, GROUND, noise.indices[second]), stamps.node_count
    )
    known, place = np.unique(pairs, return_inverse=True)
    where = np.minimum(np.searchsorted(known, heard), len(known) - 1)
    if (known[where] != heard).any():
        return None
    conductance = np.bincount(place, g, minlength=len(known))
    density = np.bincount(where, amplitude**2, minlength=len(known))
    apart = known % (stamps.node_count + 1) != known // (stamps.node_count + 1)  # what joins a node to itself is idle
    energy = density[apart] / (4.0 * conductance[apart])
    if not energy.size or not np.ptp(energy) <= _SAME * energy.max():
        return None
    return float(np.median(energy))


def _joined(parts: list[tuple[IntArray, IntArray, FloatArray]]) -> tuple[IntArray, IntArray, FloatArray]:
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    p, n, values = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return p, n, values


def _pairs(p: IntArray, n: IntArray, count: int) -> IntArray:
    """(k,) a number for each unordered pair of nodes, ground counted last."""
    p, n = (np.where(end == GROUND, count, end).astype(np.int64) for end in (p, n))
    return np.asarray(np.minimum(p, n) * (count + 1) + np.maximum(p, n))


def _decays(stamps: Stamps) -> bool:
    """Whether it is proven that every mode decays."""
    nodes, inductors = stamps.node_count, stamps.inductor_count
    labels, ground = components(stamps.conductor_ends + stamps.voltage_ends, nodes)
    names, place = np.unique(labels, return_inverse=True)
    if (names == ground).all():  # no voltage anywhere, so that no flux moves
        return True
    # Columns: voltages of what conductances and sources join, currents of inductors, of voltage sources.
    voltage = np.append(np.where(labels == ground, GROUND, place), GROUND)  # of node -1, which is ground, too
    number = np.full(max(stamps.branch_count, 1), GROUND)
    branches = [*stamps.inductor_branches, *stamps.voltage_branches]
    order = np.concatenate([*branches, np.empty(0, np.int64)])
    number[order] = len(names) + np.arange(len(order))
    rows: list[IntArray] = []
    columns: list[IntArray] = []

    def enter(row: IntArray, column: IntArray) -> None:
        keep = (row != GROUND) & (column != GROUND)
        rows.append(row[keep])
        columns.append(column[keep])

    p, n, values = _joined(stamps.capacitors)
    apart = (voltage[p] != voltage[n]) & (values > 0)
    p, n = p[apart], n[apart]
    for row in (p, n):
        for column in (voltage[p], voltage[n]):
            enter(row, column)
    ends = stamps.branch_ends()
    for branch in branches:
        p, n = ends[branch].T
        enter(np.where(p != n, p, GROUND), number[branch])
        enter(np.where(p != n, n, GROUND), number[branch])
    for branch in stamps.inductor_branches:
        law = nodes + number[branch] - len(names)
        a, b = voltage[ends[branch, 0]], voltage[ends[branch, 1]]
        enter(np.where(a != b, law, GROUND), a)
        enter(np.where(a != b, law, GROUND), b)
        enter(law, number[branch])
    for first, second, coupling in stamps.couplings:
        there = coupling != 0
        one, other = number[first[there]], number[second[there]]
        enter(nodes + one - len(names), other)
        enter(nodes + other - len(names), one)
    every = np.concatenate(rows), np.concatenate(columns)
    shape = (nodes + inductors, len(names) + len(order))
    entries = sp.csr_array(sp.coo_array((np.ones(len(every[0])), every), shape=shape))
    return _all_zero(entries, shape[1] - int((names == ground).any()))


def _all_zero(entries: sp.csr_array, unknowns: int) -> bool:
    """Whether equations, each with the unknowns that it has entries for, are solved by zeros one by one."""
    count = np.diff(entries.indptr).tolist()
    # The sum of the numbers of its unknowns tells which is left when there is one.
    total = np.add.reduceat(np.append(entries.indices, 0).astype(np.int64), entries.indptr[:-1])
    total[np.diff(entries.indptr) == 0] = 0
    left = total.tolist()
    by_column = sp.csc_array(entries)
    start, where = by_column.indptr.tolist(), by_column.indices.tolist()
    ready = [row for row, number in enumerate(count) if number == 1]
    found = 0
    while ready:
        row = ready.pop()
        if count[row] != 1:
            continue
        unknown = left[row]
        found += 1
        for other in where[start[unknown] : start[unknown + 1]]:
            count[other] -= 1
            left[other] -= unknown
            if count[other] == 1:
                ready.append(other)
    return found == unknowns
