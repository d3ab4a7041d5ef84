"""Problem and hardware to device: one file a pass.

1. `spu.compiler.polarity`: readout signs.
2. `spu.compiler.congruence`: scaling of cells.
3. `spu.compiler.architectures`: what each architecture can hold; the most passive one wins.
4. `spu.compiler.embedding`: cells for the variables where not all cells are coupled (`spu.compiler.wiring`).
5. `spu.compiler.fit`: the physical scale that fits the ranges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spu.compiler.architectures import ARCHITECTURES, Matrix
from spu.compiler.congruence import congruence
from spu.compiler.embedding import Embedding, EmbeddingOptions, Placer, too_few_cells
from spu.compiler.polarity import polarity
from spu.compiler.wiring import load_wiring
from spu.device import Device
from spu.errors import InputError, Unrealizable
from spu.hardware import Hardware, load_hardware
from spu.names import suggest
from spu.problem import Problem
from spu.sparse import canonical
from spu.statistics import Prediction, predict

__all__ = ["Compilation", "EmbeddingOptions", "compile_problem"]

FloatArray = NDArray[np.float64]


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
    embedding:
        Places, chains and their cost on wired hardware; None where any two cells have a coupler.
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
    embedding: Embedding | None


def compile_problem(
    problem: Problem,
    hardware: str | Path | Hardware = "ideal",
    *,
    architecture: str | None = None,
    embedding: EmbeddingOptions | None = None,
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
    embedding:
        Strength of chains, their correction and the seed of their search, on wired hardware.

    Raises
    ------
    Unrealizable
        With the reason and the number, for each architecture that was tried.
    InputError
        For an unknown architecture or a bad hardware file.
    """
    hardware = load_hardware(hardware)
    options = embedding or EmbeddingOptions()
    if options.strength is None:
        options = replace(options, strength=hardware.chain_strength)
    placer = Placer(load_wiring(hardware.wiring), options)
    made = _realize(problem, hardware, placer, architecture)
    plain = placer.uncorrected()
    without = None
    if plain is not None:  # the same chains uncorrected: what the correction is worth, from the circuit's own law
        other = _realize(problem, hardware, plain, made.architecture)
        without = predict(other.device).covariance_relative_error
    prediction = predict(made.device)
    if made.embedding is not None:
        error = prediction.covariance_relative_error
        without = error if plain is None else without
        made = replace(made, embedding=replace(made.embedding, error=error, uncorrected_error=without))
    return Compilation(prediction=prediction, **vars(made))


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
    embedding: Embedding | None


def _realize(
    problem: Problem, hardware: Hardware, placer: Placer | None = None, architecture: str | None = None
) -> _Realized:
    """The passes up to the device; as `compile_problem`."""
    n = len(problem.variables)
    placer = placer or Placer(load_wiring(hardware.wiring), EmbeddingOptions())
    wiring = placer.wiring
    if wiring is not None and hardware.max_cells not in (None, wiring.n):
        raise InputError(
            f"hardware {hardware.name} says {hardware.max_cells} cells, and its wiring {wiring.spec} has {wiring.n}"
        )
    if wiring is not None and n > wiring.n:
        raise too_few_cells(n, wiring)
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
    matrix = Matrix(values, polarity(values), congruence(values), placer)
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
        gains = _gains(device)
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
            embedding=realization.embedding,
        )
    details: dict[str, object] = {"rho": matrix.congruence.rho, "class": matrix.realizability}
    for _, why in refused:
        details |= why.details
    why_not = f"hardware {hardware.name} cannot hold this problem, not as {_reasons(refused)}"
    raise Unrealizable(why_not, details=details)


def _gains(device: Device) -> FloatArray:
    """(n,) gain of each variable: the sum of its row of the readout, wherever it is read."""
    matrix = device.readout.matrix
    return np.asarray(matrix.sum(axis=1)) if matrix.shape[0] < matrix.shape[1] else matrix.diagonal()


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
