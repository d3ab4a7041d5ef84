"""Every single change of a circuit that might explain a measurement, each fitted and ranked.

Perturbations of a value have one unknown, found by Gauss and Newton's method from several starts; the others have none.
Thousands are first judged at a few frequencies (`_SCREEN`), the best of each kind then at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.circuit import variations as mutations
from spu.circuit.circuit import Circuit
from spu.crosscheck.diagnosis.changes import along
from spu.crosscheck.diagnosis.judge import Candidate, Evidence, Judge, solved
from spu.crosscheck.diagnosis.perturbation import system
from spu.crosscheck.diagnosis.values import Family, families, gains_and_densities, other_values
from spu.crosscheck.diagnosis.wiring import (
    added,
    coupled,
    multiplied,
    probes,
    reconnected,
    rewired,
    swapped,
)


def candidates(evidence: Evidence) -> list[Candidate]:
    """All single changes but those of a whole subcircuit definition, best first."""
    found: list[Candidate] = []
    for make in (other_values, multiplied, swapped, reconnected, added, coupled, gains_and_densities, rewired, probes):
        found += make(Judge.of(evidence))
    return sorted(found, key=lambda candidate: candidate.residual)


# --- whole definitions -------------------------------------------------------------------------


def common(evidence: Evidence) -> list[Candidate]:
    """One parameter of a subcircuit definition by one factor in all instances: one edit of the netlist."""
    found: list[Candidate] = []
    judge = Judge.of(evidence)
    circuit = judge.system.circuit
    for family in families(judge.system):
        instances = circuit.instances[family.group]
        rows = np.arange(len(instances.names))
        if len(rows) < 2:
            continue

        def made(t: float, family: Family = family, rows: IntArray = rows) -> Circuit:
            values = family.value(rows, np.full(len(rows), t))
            return mutations.with_values(circuit, family.group, rows, {family.name: values})

        def difference(t: float, made: Callable[[float], Circuit] = made) -> FloatArray:
            changed = system(made(t))
            parts = []
            for scene in judge.coarse:
                predicted = (
                    changed.operating_point()[None, :, None].astype(np.complex128)
                    if scene.at_dc
                    else changed.response(scene.points.imag / (2 * np.pi))
                )
                parts.append((scene.difference - (predicted - scene.expected) * scene.weights).ravel())
            joined = np.concatenate(parts)
            return np.concatenate([joined.real, joined.imag])

        try:
            signed = family.low == -np.inf
            starts = (0.0, -1.0, -2.0) if signed else (0.0, -1.0, 1e9)
            t, left, total = along(difference, -np.inf if signed else 1e-9 - 1.0, starts)
        except np.linalg.LinAlgError:
            continue
        if not t or family.law == "amplitude":
            continue  # noise that all instances scale is among the gains
        found.append(
            Candidate(
                f"{family.words} in every {instances.subcircuit.name}",
                "sign" if abs(t + 2) < 1e-3 else "missing" if abs(t + 1) < 1e-3 or t > 1e5 else "value",
                1.0,
                None if t > 1e5 else float(1.0 / (1.0 + t) if family.law == "reciprocal" else 1.0 + t),
                left / total * (evidence.total - evidence.quiet) + evidence.quiet,
                partial(solved, made, t),
            )
        )
    return sorted(found, key=lambda candidate: candidate.residual)
