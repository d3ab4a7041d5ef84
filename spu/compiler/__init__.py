"""QuadraticProblem and hardware to device: one file a pass.

1. `spu.compiler.polarity`: readout signs.
2. `spu.compiler.congruence`: scaling of cells.
3. `spu.compiler.architectures`: what each architecture can hold; the most passive one wins.
4. `spu.compiler.embedding`: cells for the variables where not all cells are coupled (`spu.device.wiring`).
5. `spu.compiler.fit`: the physical scale that fits the ranges; where there is none,
   `spu.compiler.rescale`: another scaling of cells.
6. `spu.compiler.headroom`: the injected noise that suits the readout.
7. `spu.compiler.quantise`: codes, where the hardware's components are banks.
8. `spu.compiler.imperfections`: what is not ideal about the parts.

`spu.compiler.compilation` says what each did, `spu.compiler.advice` what would help where all refuse.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from spu.base.errors import InputError, Unrealizable, clip
from spu.base.names import suggest
from spu.base.sparse import canonical
from spu.compiler.advice import advise, describe
from spu.compiler.architectures import ARCHITECTURES
from spu.compiler.architectures.base import Architecture, Realization
from spu.compiler.chains import Embedding, too_few_cells
from spu.compiler.compilation import Compilation, Pass, Realized, Trace, refused_passes
from spu.compiler.congruence import congruence
from spu.compiler.embedding import EmbeddingOptions, Placer
from spu.compiler.headroom import plan_levels, with_noise
from spu.compiler.imperfections import chosen_detail, put_detail
from spu.compiler.layout import Matrix
from spu.compiler.polarity import polarity
from spu.compiler.quantise import ROUNDINGS, quantise, quantised
from spu.compiler.source import source_of
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.hardware_file import load_hardware
from spu.device.wiring import Wiring, load_wiring
from spu.emulator.predict import predict_linear
from spu.problems.problem import QuadraticProblem

__all__ = ["EmbeddingOptions", "Pass", "compile_problem"]


def compile_problem(
    problem: QuadraticProblem,
    hardware: str | Path | Hardware = "ideal",
    *,
    architecture: str | None = None,
    rounding: str = "answer",
    ensemble: int = 1,
    embedding: EmbeddingOptions | None = None,
    detail: Iterable[str] | None = None,
) -> Compilation:
    """Realize a problem on hardware by the most passive architecture that can hold it.

    Parameters
    ----------
    problem:
        What to compute.
    hardware:
        A preset (``ideal``, ``spu8``), a hardware file, or a `Hardware`.
    architecture:
        Force one of `spu.device.hardware.ARCHITECTURES`.
    rounding:
        On quantised hardware, how codes are chosen: ``answer`` (codes, scale and D for the least error of the
        covariance), ``codes`` (only codes), ``nearest`` (each value for itself).
    ensemble:
        Number of programmings, chosen together, whose samples are merged; one where nothing is quantised.
    embedding:
        Strength of chains, their correction and the seed of their search, on wired hardware.
    detail:
        Which of the hardware's details the device is to have: tables (``switch``) or keys
        (``node.capacitance``), ``["none"]``, or None for all. Codes are chosen for the ideal model whatever
        they are; the predicted error is that of the device in detail.

    Raises
    ------
    Unrealizable
        With the reason and the number, for each architecture that was tried.
    InputError
        For an unknown architecture, rounding or detail, an ensemble of less than one, or a bad hardware file.
    """
    if rounding not in ROUNDINGS:
        raise InputError(f"no rounding {rounding!r}; {suggest(rounding, ROUNDINGS)}")
    if isinstance(ensemble, bool) or not isinstance(ensemble, int) or ensemble < 1:
        raise InputError(f"an ensemble has 1 programming or more, not {ensemble!r}")
    hardware = load_hardware(hardware)
    taken = chosen_detail(hardware, detail)
    options = embedding or EmbeddingOptions()
    if options.strength is None:
        options = replace(options, strength=hardware.chain_strength)
    placer = Placer(load_wiring(hardware.wiring), options)
    source = source_of(problem, hardware, placer.wiring, architecture, rounding, ensemble, *vars(options).values())
    made = _realize(problem, hardware, placer, architecture, source)
    fields = vars(made) | {"embedding": _with_costs(made, problem, placer)}
    if quantised(made.hardware):
        found = quantise(made.device, made.hardware, problem, how=rounding, ensemble=ensemble)
        if len(found.device.members()) < ensemble:
            fields = fields | {"warnings": (*made.warnings, _NO_ENSEMBLE.format("so large a network is rounded once"))}
        fields = fields | {"device": found.device, "rounding": found.how, "banks": found.bank_count}
    elif ensemble > 1:
        fields = fields | {"warnings": (*made.warnings, _NO_ENSEMBLE.format("this hardware is not quantised"))}
    if placer.stopped:
        fields = fields | {"warnings": (*cast("tuple[str, ...]", fields["warnings"]), _STOPPED)}
    device = cast(Device, fields["device"])
    put_detail(device, taken, placer.wiring)
    device.compiled_from(source)
    return Compilation(prediction=predict_linear(fields["device"]), **fields)


_STOPPED = "the search for chains was ended by the clock: another machine may find others, and make another device"

_NO_ENSEMBLE = "one programming instead of an ensemble: {}"


def _with_costs(made: Realized, problem: QuadraticProblem, placer: Placer) -> Embedding | None:
    """What was placed where, with the errors of the covariance by the circuits' own laws."""
    placed = made.trace.realization.layout.placed
    if placed is None or placed.embedding is None:
        return None
    error = without = predict_linear(made.device).covariance_relative_error
    plain = placer.uncorrected() if placed.embedding.strength is not None else None
    if plain is not None:  # the same chains uncorrected: what the correction is worth
        hardware = made.hardware
        if made.levels is not None:
            hardware = with_noise(hardware, made.levels.noise)
        architecture = next(each for each in ARCHITECTURES if each.name == made.architecture)
        try:
            device = architecture.realize(problem, replace(made.trace.matrix, placer=plain), hardware).device
            device.problem = problem
            without = predict_linear(device).covariance_relative_error
        except Unrealizable:  # without correction the parts are out of range
            without = None
    return replace(placed.embedding, error=error, uncorrected_error=without)


def _realize(
    problem: QuadraticProblem,
    hardware: Hardware,
    placer: Placer | None = None,
    architecture: str | None = None,
    source: str | None = None,
) -> Realized:
    """The passes up to the device; as `compile_problem`.

    The device knows its problem and its source before anybody asks for its law, which then stays that of the device.
    """
    n = len(problem.variables)
    placer = placer or Placer(load_wiring(hardware.wiring), EmbeddingOptions())
    wiring = placer.wiring
    if wiring is not None and hardware.max_cells not in (None, wiring.n):
        raise InputError(
            f"hardware {hardware.name} says {hardware.max_cells} cells, and its wiring {wiring.spec} has {wiring.n}"
        )
    _require_cells(n, 1, hardware, wiring)
    known = [candidate.name for candidate in ARCHITECTURES]
    if architecture is not None and architecture not in known:
        raise InputError(f"no architecture {architecture!r}; {suggest(architecture, known)}")
    if architecture is not None and architecture not in hardware.architectures:
        raise Unrealizable(
            f"hardware {hardware.name} has no {architecture}; it has {', '.join(hardware.architectures)}"
        )
    if not any(name in known for name in hardware.architectures):
        raise Unrealizable(
            f"hardware {hardware.name} has no linear cells; it has {', '.join(hardware.architectures)}, for networks"
        )
    values = canonical(problem.matrix)
    matrix = Matrix(values, polarity(values), congruence(values), placer)
    refused: list[tuple[str, Unrealizable]] = []
    for candidate in ARCHITECTURES:
        if candidate.name not in hardware.architectures or architecture not in (None, candidate.name):
            continue
        try:
            _require_cells(n, candidate.cells_per_variable, hardware, wiring)
            build = partial(_built, candidate, problem, matrix, source)
            realization, levels = plan_levels(build, hardware)
        except Unrealizable as refusal:
            refused.append((candidate.name, refusal))
            continue
        gains = realization.gain
        return Realized(
            device=realization.device,
            hardware=hardware,
            architecture=candidate.name,
            realizability=matrix.realizability,
            rho=matrix.congruence.rho,
            reason=_reason(candidate.summary, refused, architecture is not None),
            mean=realization.mean,
            flipped=int((gains < 0).sum()),
            scale_spread=float(np.abs(gains).max() / np.abs(gains).min()),
            margin=realization.margin,
            levels=levels,
            warnings=problem.warnings,
            trace=Trace(matrix, tuple(refused), realization),
        )
    raise _refusal(problem, matrix, hardware, refused)


def _built(
    architecture: Architecture, problem: QuadraticProblem, matrix: Matrix, source: str | None, hardware: Hardware
) -> Realization:
    made = architecture.realize(problem, matrix, hardware)
    made.device.problem = problem
    if source is not None:
        made.device.compiled_from(source)
    return made


def _refusal(
    problem: QuadraticProblem, matrix: Matrix, hardware: Hardware, refused: list[tuple[str, Unrealizable]]
) -> Unrealizable:
    """Why nothing could be built, and what would help."""
    advice = advise(problem, matrix, hardware)
    details: dict[str, object] = {"rho": matrix.congruence.rho, "class": matrix.realizability, "margin": matrix.margin}
    for _, why in refused:
        details |= why.details
    details |= {"refused": {name: why.reason for name, why in refused}, "advice": advice}
    details["passes"] = [{"name": step.name, "did": step.did} for step in refused_passes(matrix, refused)]
    helps = describe(advice, hardware, [name for name, _ in refused])
    cause = (
        f"hardware {hardware.name} cannot hold this problem, not as {_reasons(refused)} "
        f"(class {matrix.realizability}, rho = {matrix.congruence.rho:.6g})"
    )
    if not helps:
        return Unrealizable(cause, details=details)
    refusal = Unrealizable(f"{cause}. What would help: {'; '.join(helps)}", details=details)
    refusal.message = clip(f"{clip(cause)}.\nWhat would help: {_fitted(helps)}", refusal.most_characters)
    return refusal


_LINE = 380  # characters of advice in a message


def _fitted(helps: list[str]) -> str:
    """As much advice as a line has room for, nothing cut in the middle."""
    for count in range(len(helps), 0, -1):
        more = [f"{len(helps) - count} more in details.advice (--json)"] if count < len(helps) else []
        line = "; ".join([*helps[:count], *more])
        if len(line) <= _LINE:
            return line
    return clip(helps[0])


def _require_cells(n: int, each: int, hardware: Hardware, wiring: Wiring | None) -> None:
    needed = n * each
    if wiring is not None and needed > wiring.n:
        raise too_few_cells(n, wiring, each)
    if hardware.max_cells is not None and needed > hardware.max_cells:
        raise Unrealizable(
            f"{n} variables need {needed} cells; hardware {hardware.name} has {hardware.max_cells}: "
            f"{needed - hardware.max_cells} missing",
            details={"cells_needed": needed, "cells": hardware.max_cells},
        )


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
