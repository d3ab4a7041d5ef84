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
from spu.crosscheck.diagnosis.judge import ITERATIONS, Candidate, Evidence, Judge, solved
from spu.crosscheck.diagnosis.perturbation import system
from spu.crosscheck.diagnosis.values import Family, families, gains_and_densities, local, other_values
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
            t, left, total = _along(difference, -np.inf if signed else 1e-9 - 1.0, starts)
        except np.linalg.LinAlgError:
            continue
        if not t or family.law == "amplitude":
            continue  # noise that all instances scale is among the gains
        found.append(
            Candidate(
                f"{local(family)} in every {instances.subcircuit.name}",
                "sign" if abs(t + 2) < 1e-3 else "missing" if abs(t + 1) < 1e-3 or t > 1e5 else "value",
                1.0,
                None if t > 1e5 else float(1.0 / (1.0 + t) if family.law == "reciprocal" else 1.0 + t),
                left / total * (evidence.total - evidence.quiet) + evidence.quiet,
                partial(solved, made, t),
            )
        )
    return sorted(found, key=lambda candidate: candidate.residual)


def _along(
    difference: Callable[[float], FloatArray], low: float, starts: tuple[float, ...]
) -> tuple[float, float, float]:
    """Gauss and Newton's method for one unknown from several starts: where, what it leaves, and of what (at 0)."""
    best: tuple[float, float] | None = None
    start = difference(0.0)
    total = float(start @ start)
    for first in starts:
        t = max(first, low)
        here = difference(t)
        left, share = float(here @ here), 1.0
        for _ in range(ITERATIONS):
            move = 1e-6 * max(1.0, abs(t))
            slope = (difference(t + move) - here) / move
            size = float(slope @ slope)
            if not size > 0 or share < 0.01:
                break
            trial = max(t - share * float(slope @ here) / size, low)
            there = difference(trial)
            if float(there @ there) < left:
                gained = left - float(there @ there)
                t, here, left, share = trial, there, float(there @ there), 1.0
                if gained < 1e-3 * left or left < 1e-18 * total:
                    break
            else:
                share /= 4
        if best is None or left < best[1]:
            best = (t, left)
    assert best is not None
    return best[0], best[1], total
