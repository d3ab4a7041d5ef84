"""Problem and hardware to device: one file a pass.

1. `spu.compiler.polarity`: readout signs.
2. `spu.compiler.congruence`: scaling of cells.
3. `spu.compiler.architectures`: what each architecture can hold; the most passive one wins.
4. `spu.compiler.fit`: the physical scale that fits the ranges.
5. `spu.compiler.quantise`: codes, where the hardware's components are banks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spu.compiler.architectures import ARCHITECTURES, Matrix
from spu.compiler.congruence import congruence
from spu.compiler.polarity import polarity
from spu.compiler.quantise import ROUNDINGS, quantise, quantised
from spu.device import Device
from spu.errors import InputError, Unrealizable
from spu.hardware import Hardware, load_hardware
from spu.names import suggest
from spu.problem import Problem
from spu.sparse import canonical
from spu.statistics import Prediction, predict

__all__ = ["Compilation", "compile_problem"]


@dataclass(frozen=True, eq=False)
class Compilation:
    """A compiled device and what the compiler decided.

    Attributes
    ----------
    device, prediction:
        The device, and its exact statistics against the problem.
    architecture:
        Its name.
    realizability:
        ``m-matrix``, ``m-matrix-after-polarity``, ``diagonally-dominant``, ``h-matrix``, ``any``.
    rho:
        Spectral radius of the scaled off-diagonals; plain couplers need < 1.
    reason:
        Why this architecture.
    mean:
        ``zero``, ``bias`` or ``offset``: how the mean is held.
    flipped:
        Number of cells read with negative polarity.
    scale_spread:
        Largest over smallest entry of the congruence scaling; 1 where none was needed.
    warnings:
        About the problem's conditioning and the like.
    rounding:
        How codes were chosen (`spu.compiler.quantise.ROUNDINGS`); None where nothing is quantised.
    banks:
        Number of quantised components.
    """

    device: Device
    prediction: Prediction
    hardware: Hardware
    architecture: str
    realizability: str
    rho: float
    reason: str
    mean: str
    flipped: int
    scale_spread: float
    warnings: tuple[str, ...]
    rounding: str | None = None
    banks: int = 0


def compile_problem(
    problem: Problem,
    hardware: str | Path | Hardware = "ideal",
    *,
    architecture: str | None = None,
    rounding: str = "answer",
    ensemble: int = 1,
) -> Compilation:
    """Realize a problem on hardware by the most passive architecture that can hold it.

    Parameters
    ----------
    problem:
        What to compute.
    hardware:
        A preset (``ideal``, ``spu8``), a hardware file, or a `Hardware`.
    architecture:
        Force one of ``rlc-capacitive``, ``rc-resistive``, ``rc-transconductor``.
    rounding:
        On quantised hardware, how codes are chosen: ``answer`` (codes, scale and D for the least error of the
        covariance), ``codes`` (only codes), ``nearest`` (each value for itself).
    ensemble:
        Number of programmings, chosen together, whose samples are merged; one where nothing is quantised.

    Raises
    ------
    Unrealizable
        With the reason and the number, for each architecture that was tried.
    InputError
        For an unknown architecture or rounding, an ensemble of less than one, or a bad hardware file.
    """
    if rounding not in ROUNDINGS:
        raise InputError(f"no rounding {rounding!r}; {suggest(rounding, ROUNDINGS)}")
    if isinstance(ensemble, bool) or not isinstance(ensemble, int) or ensemble < 1:
        raise InputError(f"an ensemble has 1 programming or more, not {ensemble!r}")
    made = _realize(problem, load_hardware(hardware), architecture)
    fields = vars(made)
    if quantised(made.hardware):
        found = quantise(made.device, made.hardware, problem, how=rounding, ensemble=ensemble)
        if len(found.device.members()) < ensemble:
            fields = fields | {"warnings": (*made.warnings, _NO_ENSEMBLE.format("so large a network is rounded once"))}
        fields = fields | {"device": found.device, "rounding": found.how, "banks": found.bank_count}
    elif ensemble > 1:
        fields = fields | {"warnings": (*made.warnings, _NO_ENSEMBLE.format("this hardware is not quantised"))}
    return Compilation(prediction=predict(fields["device"]), **fields)


_NO_ENSEMBLE = "one programming instead of an ensemble: {}"


@dataclass(frozen=True, eq=False)
class _Realized:
    """A `Compilation` but for its prediction."""

    device: Device
    hardware: Hardware
    architecture: str
    realizability: str
    rho: float
    reason: str
    mean: str
    flipped: int
    scale_spread: float
    warnings: tuple[str, ...]


def _realize(problem: Problem, hardware: Hardware, architecture: str | None = None) -> _Realized:
    """The passes up to the device; as `compile_problem`."""
    n = len(problem.variables)
    if hardware.max_cells is not None and n > hardware.max_cells:
        raise Unrealizable(
            f"{n} variables need {n} cells; hardware {hardware.name} has {hardware.max_cells}: "
            f"{n - hardware.max_cells} missing",
            details={"cells_needed": n, "cells": hardware.max_cells},
        )
    known = [candidate.name for candidate in ARCHITECTURES]
    if architecture is not None and architecture not in known:
        raise InputError(f"no architecture {architecture!r}; {suggest(architecture, known)}")
    if architecture is not None and architecture not in hardware.architectures:
        raise Unrealizable(
            f"hardware {hardware.name} has no {architecture}; it has {', '.join(hardware.architectures)}"
        )
    values = canonical(problem.matrix)
    matrix = Matrix(values, polarity(values), congruence(values))
    refused: list[tuple[str, Unrealizable]] = []
    for candidate in ARCHITECTURES:
        if candidate.name not in hardware.architectures or architecture not in (None, candidate.name):
            continue
        try:
            realization = candidate.realize(problem, matrix, hardware)
        except Unrealizable as refusal:
            refused.append((candidate.name, refusal))
            continue
        device = realization.device
        device.problem = problem
        gains = device.readout.matrix.diagonal()
        return _Realized(
            device=device,
            hardware=hardware,
            architecture=candidate.name,
            realizability=matrix.realizability,
            rho=matrix.congruence.rho,
            reason=_reason(candidate.summary, refused, architecture is not None),
            mean=realization.mean,
            flipped=int((gains < 0).sum()),
            scale_spread=float(np.abs(gains).max() / np.abs(gains).min()),
            warnings=problem.warnings,
        )
    details: dict[str, object] = {"rho": matrix.congruence.rho, "class": matrix.realizability}
    for _, why in refused:
        details |= why.details
    why_not = f"hardware {hardware.name} cannot hold this problem, not as {_reasons(refused)}"
    raise Unrealizable(why_not, details=details)


def _reason(summary: str, refused: list[tuple[str, Unrealizable]], forced: bool) -> str:
    if forced:
        return f"{summary} (as asked)"
    if not refused:
        return f"{summary}; the most passive one this hardware has"
    return f"{summary}; not as {_reasons(refused)}"


def _reasons(refused: list[tuple[str, Unrealizable]]) -> str:
    """``name: reason`` for each refusal, architectures with one reason together."""
    together: dict[str, list[str]] = {}
    for name, refusal in refused:
        together.setdefault(refusal.reason, []).append(name)
    return "; not as ".join(f"{' or '.join(names)}: {reason}" for reason, names in together.items())
