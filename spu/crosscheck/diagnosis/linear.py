"""Which single change of a linear circuit explains what was measured, and how well.

Only measurements are used, never the text of the netlist: transfer functions and source densities of level
``ac`` and the operating point of level ``op``. The best candidates of `spu.crosscheck.diagnosis.candidates` are
verified: the changed circuit's own equations are solved again and compared with all that was measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.crosscheck.context import Context, Sweep
from spu.crosscheck.diagnosis import residual
from spu.crosscheck.diagnosis.candidates import candidates, common
from spu.crosscheck.diagnosis.judge import Candidate, Evidence
from spu.crosscheck.diagnosis.perturbation import Scene, scene, system
from spu.crosscheck.diagnosis.ranking import VERIFIED, ranked
from spu.crosscheck.levels import operating_point, transfer
from spu.crosscheck.result import SHOWN, Diagnosis, Explanation

FREQUENCIES = 24
"""Of a sweep, at which changes are judged."""

MOST = 1000
"""Unknowns and noise sources together; the tables of more would not fit into memory."""

ROUNDING = 1e-2
"""Of what is allowed: what ngspice's own rounding leaves of a difference (squares below it do not tell candidates
apart)."""


def diagnose(context: Context) -> Diagnosis | None:
    """Explain what levels ``ac`` and ``op`` measured by a single change of the circuit.

    Returns
    -------
    None where nothing was measured, or nothing measured differs, or the circuit is too large (`MOST`).
    """
    evidence = _evidence(context)
    if evidence is None:
        return residual.diagnose(context)
    untouched = _verified(evidence, Candidate("", "", None, None, evidence.total, lambda: evidence.system))
    if untouched.complete:
        return residual.diagnose(context)
    found = candidates(evidence)[:VERIFIED]
    explanations = [_verified(evidence, candidate) for candidate in found]
    if not any(explanation.complete for explanation in explanations):
        explanations += [_verified(evidence, candidate) for candidate in common(evidence)[:3]]
    floor = ROUNDING**2 * sum(scene.difference.size for scene in evidence.scenes) / evidence.total
    return ranked(explanations, floor, *_places(context, evidence))


def _evidence(context: Context) -> Evidence | None:
    """Gather what was measured; None where there is nothing."""
    sweep = context.sweep
    mean = context.means.get("op")
    if sweep is not None and not np.isfinite(sweep.measured).all():
        sweep = None
    if mean is not None and not np.isfinite(mean).all():
        mean = None
    if (sweep is None and mean is None) or context.sparse:
        return None
    equations = system(context.circuit)
    if sum(equations.K.shape) > MOST:
        return None
    outputs, inputs = np.ones(len(context.circuit.probes)), np.ones(len(context.circuit.sources))
    judged: Scene | None = None
    density = np.zeros(len(context.circuit.sources))
    if sweep is not None:
        peaks = np.abs(context.law.transfer(sweep.frequencies)).max(axis=0)
        loudest = peaks.max(axis=0)
        inputs = 1.0 / np.where(loudest > 0, loudest, loudest.max() or 1.0)
        share = (peaks * inputs).max(axis=1)
        outputs = 1.0 / np.where(share > 0, share, 1.0) / transfer.POINTWISE
        chosen = _frequencies(context, sweep, outputs, inputs)
        points = np.asarray(2j * np.pi * sweep.frequencies[chosen], dtype=np.complex128)
        judged = scene(equations, points, sweep.measured[chosen], outputs, inputs)
        ratio = sweep.densities / UNIT_NOISE_DENSITY**2
        density = np.where(np.isfinite(ratio), ratio - 1.0, 0.0) / transfer.DENSITY
        density = np.where(np.abs(density) > 1.0, density, 0.0)  # ngspice's Boltzmann constant is another one
    rest: Scene | None = None
    if mean is not None:
        weights = np.full(len(mean), 1.0 / operating_point.scale(context) / operating_point.TOLERANCE)
        creep = 1e-7 * float(np.abs(context.law.poles).min())
        rest = scene(
            equations,
            np.zeros(1, dtype=np.complex128),
            mean[None, :, None].astype(np.complex128),
            weights,
            np.ones(1),
            creep,
        )
    return Evidence(equations, judged, rest, inputs, outputs, density, transfer.DENSITY)


def _frequencies(context: Context, sweep: Sweep, outputs: FloatArray, inputs: FloatArray) -> IntArray:
    """A few frequencies of the sweep: at the poles, around them, and where the difference is largest."""
    difference = (sweep.measured - context.law.transfer(sweep.frequencies)) * outputs[:, None] * inputs
    poles = np.sort(np.abs(context.law.poles)) / (2 * np.pi)
    size = FREQUENCIES // 3
    near = poles[np.linspace(0, len(poles) - 1, size).astype(int)]
    wide = np.geomspace(poles[0] / 10, poles[-1] * 10, size)
    at = np.abs(np.log(sweep.frequencies[:, None] / np.concatenate([near, wide]))).argmin(axis=0)
    strength = np.abs(difference).max(axis=(1, 2))
    strongest = np.argsort(-strength)[:: max(1, len(strength) // (4 * size))][:size]
    return np.unique(np.concatenate([at, strongest]))


def _verified(evidence: Evidence, candidate: Candidate) -> Explanation:
    """Solve the changed circuit and compare it with what was measured."""
    try:
        equations = candidate.equations()
        left = 0.0
        worst = 0.0
        if evidence.sweep is not None:
            frequencies = evidence.sweep.points.imag / (2 * np.pi)
            predicted = equations.response(frequencies) * candidate.gains
            weights = evidence.sweep.weights
            measured = evidence.sweep.difference + evidence.sweep.expected * weights
            gap = np.abs(measured - predicted * weights)
            left += float((gap**2).sum())
            scale = np.maximum(np.abs(predicted), np.abs(evidence.sweep.expected)).max(axis=0)
            scale = np.maximum(scale, 1e-4 * scale.max(axis=0))
            allowed = np.where(scale > 0, scale, scale.max() or 1.0) * transfer.POINTWISE * weights
            worst = max(worst, float((gap / allowed).max(initial=0.0)))
        if evidence.rest is not None:
            weights = evidence.rest.weights
            mean = (evidence.rest.difference / weights + evidence.rest.expected)[0, :, 0].real
            gap = np.abs(mean - equations.operating_point()) * weights[:, 0]
            left += float((gap**2).sum())
            worst = max(worst, float(gap.max(initial=0.0)))
    except np.linalg.LinAlgError:
        left, worst = evidence.total, np.inf
    else:
        gap = np.abs(evidence.density_left(candidate.densities))
        left += float((gap**2).sum())
        worst = max(worst, float(gap.max(initial=0.0)))
    return Explanation(
        candidate.element,
        candidate.kind,
        candidate.before,
        candidate.after,
        1.0 - left / evidence.total if evidence.total > 0 else 0.0,
        worst,
    )


def _places(context: Context, evidence: Evidence) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Entries of the covariance, and cells, that moved most."""
    circuit = context.circuit
    moved = np.zeros(len(circuit.probes))
    for judged in evidence.scenes:
        moved += (np.abs(judged.difference) ** 2).sum(axis=(0, 2))
    order = np.argsort(-moved, kind="stable")
    cells = tuple(circuit.probes[k] for k in order[:SHOWN] if moved[k] > 1e-3 * moved.max())
    found = context.covariances.get("ac")
    if found is None:
        return (), cells
    expected = context.law.voltage_covariance
    relative = (found - expected) / np.outer(context.rms, context.rms)
    a, b = np.triu_indices(len(relative))
    largest = np.argsort(-np.abs(relative[a, b]), kind="stable")[:SHOWN]
    entries = tuple(
        {
            "cells": (circuit.probes[a[k]], circuit.probes[b[k]]),
            "expected": float(expected[a[k], b[k]]),
            "measured": float(found[a[k], b[k]]),
            "relative": float(relative[a[k], b[k]]),
        }
        for k in largest
    )
    return entries, cells
