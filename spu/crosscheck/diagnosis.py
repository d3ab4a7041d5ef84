"""Which single change of the circuit explains what was measured, and how well.

Only measurements are used, never the text of the netlist: transfer functions and source densities of level
``ac`` and the operating point of level ``op``. The best candidates of `spu.crosscheck.explanations` are
verified: the changed circuit's own equations are solved again and compared with all that was measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.constants import UNIT_NOISE_DENSITY
from spu.crosscheck import operating_point, transfer
from spu.crosscheck.context import Context, Sweep
from spu.crosscheck.explanations import Candidate, Evidence, candidates, common
from spu.crosscheck.perturbation import Scene, scene, system

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
IntArray = NDArray[np.int64]

FREQUENCIES = 24
"""Of a sweep, at which changes are judged."""

MOST = 1000
"""Unknowns and noise sources together; the tables of more would not fit into memory."""

VERIFIED = 8
"""Candidates that are verified."""

MOSTLY = 0.99
"""Share of the squared difference below which no single change is named as the explanation."""

AS_WELL = 100.0
"""Candidates that leave up to this much more of the squared difference than the best one explain it as well."""

AS_GOOD = 1.01
"""The same where the best one leaves something: what then differs besides is alike for all."""

ROUNDING = 1e-2
"""Of what is allowed: what ngspice's own rounding leaves of a difference (squares below it do not tell candidates
apart)."""

_LIKELY = ("swapped", "moved", "rewired", "added")
"""Kinds of change, those behind other ones; all others are before them."""

_SHOWN = 5
"""Entries, cells and runners-up named."""


@dataclass(frozen=True)
class Explanation:
    """A single change that would explain a difference.

    Attributes
    ----------
    element:
        What is changed, as it is called in the netlist: ``c1 of xcell_a`` is element c1 of the subcircuit of
        instance ``xcell_a``.
    kind:
        ``value``, ``missing``, ``shorted``, ``doubled``, ``multiplied``, ``sign``, ``swapped``, ``moved``, ``rewired``
        or ``added``.
    before, after:
        Value (SI) or node: in the circuit, and in what was measured. None where there is none.
    explained:
        Share of the squared differences, each in units of what its level allows, that the change explains; None of
        what makes measuring impossible.
    remaining:
        The worst difference that it leaves, in units of what is allowed.
    equivalent:
        Whether it explains the difference as well as the best one: the measurements cannot tell them apart.
    """

    element: str
    kind: str
    before: float | str | None
    after: float | str | None
    explained: float | None
    remaining: float | None
    equivalent: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is left but rounding."""
        return self.remaining is not None and self.remaining <= 1.0

    @property
    def share(self) -> float:
        """What it explains, as a number."""
        return self.explained or 0.0

    @property
    def text(self) -> str:
        """The change in words."""
        before, after = _shown(self.before), _shown(self.after)
        if self.kind == "swapped":
            return f"{self.element} swapped"
        if self.kind == "missing":
            return f"{self.element} missing" + (f" (should be {before})" if self.before is not None else "")
        if self.kind == "added":
            return f"{self.element} added, {after}"
        if self.kind in ("moved", "rewired"):
            return f"{self.element} at {after} instead of {before}"
        if self.kind == "multiplied" or (self.kind == "doubled" and self.element.startswith("x")):
            return f"{self.element} there {after} times"
        word = {"sign": " (sign)", "shorted": " (a short)", "doubled": " (doubled)"}.get(self.kind, "")
        return f"{self.element}: {before} expected, {after} found{word}"


def _shown(value: float | str | None) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value:.6g}"


@dataclass(frozen=True)
class Diagnosis:
    """Where a circuit and what was measured differ, and which single change explains it.

    Attributes
    ----------
    entries:
        Entries of the covariance that moved most: ``cells`` (two names), ``expected``, ``measured`` (V^2),
        ``relative`` (to the root of the product of the two variances).
    cells:
        The cells whose transfer functions (or DC voltages) moved most, worst first.
    best:
        The explanation, or None: no single change explains it.
    others:
        Runners-up, best first; those marked ``equivalent`` are as good as the best.
    """

    entries: tuple[dict[str, Any], ...]
    cells: tuple[str, ...]
    best: Explanation | None
    others: tuple[Explanation, ...]

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    @property
    def lines(self) -> list[str]:
        """For people: a few plain lines."""
        out = []
        if self.best is None:
            out.append("No single change of one element explains the difference.")
            if self.others:
                out.append(f"Nearest: {self.others[0].text}, which explains {self.others[0].share:.0%} of it.")
        elif self.best.explained is None:
            out.append(f"{self.best.text}: nothing could be measured.")
        else:
            share = (
                "explains all of it, to rounding"
                if self.best.complete
                else f"explains {_percent(self.best.share)} of it, not all: something else differs too"
            )
            out.append(f"{self.best.text}: {share}.")
            same = [other.text for other in self.others if other.equivalent]
            if same:
                out.append(f"What was measured cannot tell it from: {'; '.join(same)}.")
        if self.cells:
            out.append(f"Most affected: {', '.join(self.cells)}.")
        return out


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < 0.9995 else "more than 99.9 %"


def without_source(element: str) -> Diagnosis:
    """The diagnosis of a netlist that lacks a noise source, from which nothing can be measured."""
    return Diagnosis((), (), Explanation(element, "missing", None, None, None, None), ())


def diagnose(context: Context) -> Diagnosis | None:
    """Explain what levels ``ac`` and ``op`` measured by a single change of the circuit.

    Returns
    -------
    None where nothing was measured, or nothing measured differs, or the circuit is too large (`MOST`).
    """
    evidence = _evidence(context)
    if evidence is None:
        return None
    untouched = _verified(evidence, Candidate("", "", None, None, evidence.total, lambda: evidence.system))
    if untouched.complete:
        return None
    found = candidates(evidence)[:VERIFIED]
    explanations = [_verified(evidence, candidate) for candidate in found]
    if not any(explanation.complete for explanation in explanations):
        explanations += [_verified(evidence, candidate) for candidate in common(evidence)[:3]]
    order = sorted(explanations, key=lambda explanation: -explanation.share)
    order = [each for each in order if each.share > 0]
    entries, cells = _places(context, evidence)
    floor = ROUNDING**2 * sum(scene.difference.size for scene in evidence.scenes) / evidence.total
    if not order:
        return Diagnosis(entries, cells, None, ())
    left = 1.0 - order[0].share
    as_well = max(AS_WELL * left, floor) if order[0].complete else AS_GOOD * left
    same = [each for each in order if 1.0 - each.share <= as_well]
    # What cannot be told apart: a wrong value is likelier than a wire that went astray or something extra.
    same.sort(key=lambda each: _LIKELY.index(each.kind) if each.kind in _LIKELY else -1)
    order = [same[0], *(replace(each, equivalent=True) for each in same[1:]), *order[len(same) :]]
    best = order[0] if order[0].complete or order[0].share >= MOSTLY else None
    others = order[1 : 1 + _SHOWN] if best is not None else order[:_SHOWN]
    return Diagnosis(entries, cells, best, tuple(others))


def _evidence(context: Context) -> Evidence | None:
    """Gather what was measured; None where there is nothing."""
    sweep = context.sweep
    mean = context.means.get("op")
    if sweep is not None and not np.isfinite(sweep.measured).all():
        sweep = None
    if mean is not None and not np.isfinite(mean).all():
        mean = None
    if sweep is None and mean is None:
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
    cells = tuple(circuit.probes[k] for k in order[:_SHOWN] if moved[k] > 1e-3 * moved.max())
    found = context.covariances.get("ac")
    if found is None:
        return (), cells
    expected = context.law.voltage_covariance
    relative = (found - expected) / np.outer(context.rms, context.rms)
    a, b = np.triu_indices(len(relative))
    largest = np.argsort(-np.abs(relative[a, b]), kind="stable")[:_SHOWN]
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
