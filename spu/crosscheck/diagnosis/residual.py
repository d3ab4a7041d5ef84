"""Which single change of a large circuit explains what combinations of its sources made of all its nodes.

What a simulator measured is put into the circuit's own equations: ``(s E - F) x - K n`` is zero at every node but those
whose elements are others. The element is one of theirs, and by how much it is off is a number that fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import ComplexArray, FloatArray, IntArray
from spu.base.factor import Factor
from spu.circuit.elements import Resistor
from spu.crosscheck.context import Context, Together
from spu.crosscheck.diagnosis.ranking import ranked
from spu.crosscheck.nodal import Nodal
from spu.crosscheck.result import SHOWN, Diagnosis, Explanation

ROUNDING = 1e-9
"""Of the terms at a node: what is left of their sum where elements are what they should be."""

MOST_NODES = 12
"""At which currents do not add up, where a single element may be the reason."""

_GONE = 1e-3
"""Of a value: what is left of it where it counts as missing."""


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Currents that do not add up.

    Attributes
    ----------
    nodal:
        The equations.
    frequencies:
        (f,) Hz.
    x:
        (f, N, j) all unknowns, as they were measured.
    signs:
        (m, j) of the sources.
    rows:
        (r,) the nodes.
    off, weights:
        (f, r, j) the sums at these, and (f, r, j) one over what rounding leaves of each.
    """

    nodal: Nodal
    frequencies: FloatArray
    x: ComplexArray
    signs: FloatArray
    rows: IntArray
    off: ComplexArray
    weights: FloatArray


def diagnose(context: Context) -> Diagnosis | None:
    """Explain it.

    Returns
    -------
    None where not all nodes were measured, or at all of them currents add up.
    """
    together = context.together
    if together is None:
        return None
    evidence = _evidence(context, together)
    if evidence is None:
        return None
    size = (np.abs(evidence.off) * evidence.weights).max(axis=(0, 2))
    order = np.argsort(-size, kind="stable")
    cells = tuple(context.node_vectors[k] for k in evidence.rows[order[:SHOWN]])
    if len(evidence.rows) > MOST_NODES:
        return Diagnosis((), cells, None, ())
    return ranked([*_values(evidence), *_gains(evidence)], 1e-12, (), cells)


def _evidence(context: Context, together: Together) -> _Evidence | None:
    nodal, count = context.nodal, context.nodal.stamps.node_count
    if together.nodes.shape[1] != count or not np.isfinite(together.nodes).all():
        return None
    drive = nodal.K @ together.signs
    x = np.zeros((len(together.frequencies), nodal.E.shape[0], drive.shape[1]), dtype=np.complex128)
    x[:, :count] = together.nodes
    sums, terms = np.empty_like(x[:, :count]), np.empty(x[:, :count].shape)
    try:
        for k, frequency in enumerate(together.frequencies.tolist()):
            matrix = sp.csr_array(2j * np.pi * frequency * nodal.E - nodal.F)
            if count < matrix.shape[0]:  # branch currents follow from the voltages, where they do
                right = drive[count:] - matrix[count:, :count] @ x[k, :count]
                x[k, count:] = Factor(sp.csr_array(matrix[count:, count:])).solve(right)
            sums[k] = (matrix @ x[k] - drive)[:count]
            terms[k] = (abs(matrix) @ np.abs(x[k]) + abs(nodal.K) @ np.abs(together.signs))[:count]
    except RuntimeError:  # voltage sources: their currents are anything
        return None
    weights = 1.0 / np.where(terms > 0, terms, 1.0) / ROUNDING
    rows = np.flatnonzero((np.abs(sums) * weights > 1.0).any(axis=(0, 2)))
    if not len(rows):
        return None
    return _Evidence(nodal, together.frequencies, x, together.signs, rows, sums[:, rows], weights[:, rows])


def _values(evidence: _Evidence) -> list[Explanation]:
    """Another value of one element at these nodes."""
    found, nodal = [], evidence.nodal
    for flat in nodal.circuit.flatten():
        ends = np.stack([nodes for nodes in flat.nodes if len(nodes)])
        values = flat.values
        if values.ndim > 1:
            continue
        for k in np.flatnonzero(np.isin(ends, evidence.rows).any(axis=0) & (values != 0)).tolist():
            slope = nodal.slope(flat, k)
            made = np.stack(
                [
                    -(np.asarray((2j * np.pi * f * slope.E - slope.F) @ x)[evidence.rows])
                    for f, x in zip(evidence.frequencies, evidence.x, strict=True)
                ]
            )
            before = float(values[k])
            name = f"{flat.element.name} of {flat.group.names[k]}"
            change, told = _fit(evidence, made)
            if told is None:
                continue
            # Of a resistance the conductance is what is linear.
            share = 1.0 / (1.0 - change) if isinstance(flat.element, Resistor) and change != 1 else 1.0 + change
            kind = "missing" if abs(1.0 + _linear(flat.element, change)) < _GONE else "sign" if share < 0 else "value"
            found.append(Explanation(name, kind, before, None if kind == "missing" else share * before, *told))
    return found


def _linear(element: Any, change: float) -> float:
    """The relative change of what stands in the equations."""
    return -change if isinstance(element, Resistor) else change


def _gains(evidence: _Evidence) -> list[Explanation]:
    """One noise source into these nodes, heard by another factor."""
    nodal = evidence.nodal
    columns = sp.csc_array(nodal.K)
    near = np.unique(sp.csr_array(nodal.K)[evidence.rows].indices)
    found = []
    for k in near.tolist():
        column = columns[:, [k]].toarray()[evidence.rows]
        made = np.broadcast_to(column * evidence.signs[k], evidence.off.shape).astype(np.complex128)
        change, told = _fit(evidence, made)
        if told is not None:
            gain = 1.0 + change
            kind = "missing" if abs(gain) < _GONE else "sign" if gain < 0 else "value"
            name = nodal.circuit.sources[k].name
            found.append(Explanation(f"gain of noise source {name}", kind, 1.0, gain, *told))
    return found


def _fit(evidence: _Evidence, made: ComplexArray) -> tuple[float, tuple[float, float] | None]:
    """By what factor a change of the sums explains them; the share that it does, and the worst that it leaves."""
    seen, wanted = made * evidence.weights, evidence.off * evidence.weights
    power = float((np.abs(seen) ** 2).sum())
    if not power > 0:
        return 0.0, None
    change = float((np.conj(seen) * wanted).sum().real) / power
    left = wanted - change * seen
    share = 1.0 - float((np.abs(left) ** 2).sum()) / float((np.abs(wanted) ** 2).sum())
    return change, (share, float(np.abs(left).max()))
