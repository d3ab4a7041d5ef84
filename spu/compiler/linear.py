"""The passes of problems that a quadratic energy poses, on linear cells."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np

from spu.base.errors import InputError, Unrealizable, clip
from spu.base.names import suggest
from spu.base.sparse import canonical
from spu.compiler.advice import advise, describe
from spu.compiler.architectures import ARCHITECTURES
from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.linear import LinearArchitecture
from spu.compiler.chains import Embedding, too_few_cells
from spu.compiler.congruence import congruence
from spu.compiler.embedding import EmbeddingOptions, Placer
from spu.compiler.explain import refused_passes
from spu.compiler.headroom import plan_levels, with_noise
from spu.compiler.imperfections import chosen_detail, put_detail
from spu.compiler.layout import Matrix, Realization
from spu.compiler.linear_compilation import LinearCompilation, Trace
from spu.compiler.passes import Options, Passes, Refused
from spu.compiler.polarity import polarity
from spu.compiler.quantise import ROUNDINGS, quantise, quantised
from spu.compiler.source import source_of
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.wiring import load_wiring
from spu.emulator.predict import predict_linear
from spu.problems.problem import QuadraticProblem

__all__ = ["LinearPasses"]


class LinearPasses(Passes[QuadraticProblem, LinearCompilation]):
    """Polarity, congruence and placing before the architecture; levels, codes and details after it."""

    cells = "linear cells"
    problems = "problems of a matrix"
    meaningless: ClassVar = {
        "draw": 'is for networks (task = "network"): of linear cells no tolerance is drawn; leave it out',
        "speedup": 'is for networks (task = "network"): what sets the speed of linear cells is the hardware\'s '
        "nominal values; leave it out",
    }

    def __init__(self, problem: QuadraticProblem, hardware: Hardware, options: Options) -> None:
        super().__init__(problem, hardware, options)
        if options.rounding not in ROUNDINGS:
            raise InputError(f"no rounding {options.rounding!r}; {suggest(options.rounding, ROUNDINGS)}")
        self.detail = chosen_detail(hardware, options.detail)
        chains = options.embedding or EmbeddingOptions()
        if chains.strength is None:
            chains = replace(chains, strength=hardware.chain_strength)
        self.placer = Placer(load_wiring(hardware.wiring), chains)
        chosen = (options.architecture, options.rounding, options.ensemble, *vars(chains).values())
        self.source: str | None = source_of(problem, hardware, self.placer.wiring, *chosen)
        """Digest of what the device is compiled from; None leaves it a device like one made by hand."""

    def require_size(self) -> None:
        """Refuse hardware with fewer cells than variables."""
        hardware, wiring = self.hardware, self.placer.wiring
        if wiring is not None and hardware.max_cells not in (None, wiring.n):
            raise InputError(
                f"hardware {hardware.name} says {hardware.max_cells} cells, and its wiring {wiring.spec} has {wiring.n}"
            )
        self._require_cells(1)

    def _require_cells(self, each: int) -> None:
        n, hardware, wiring = self.problem.n, self.hardware, self.placer.wiring
        needed = n * each
        if wiring is not None and needed > wiring.n:
            raise too_few_cells(n, wiring, each)
        if hardware.max_cells is not None and needed > hardware.max_cells:
            raise Unrealizable(
                f"{n} variables need {needed} cells; hardware {hardware.name} has {hardware.max_cells}: "
                f"{needed - hardware.max_cells} missing",
                details={"cells_needed": needed, "cells": hardware.max_cells},
            )

    def prepare(self) -> None:
        """Readout signs and a scaling of cells that suit the couplers."""
        values = canonical(self.problem.matrix)
        self.matrix = Matrix(values, polarity(values), congruence(values), self.placer)

    def realize(self, architecture: Architecture, refused: Refused) -> LinearCompilation:
        """The device at the level of noise that suits the readout."""
        assert isinstance(architecture, LinearArchitecture)
        self._require_cells(architecture.cells_per_variable)
        realization, levels = plan_levels(partial(self._built, architecture), self.hardware)
        gains = realization.gain
        return LinearCompilation(
            device=realization.device,
            hardware=self.hardware,
            architecture=architecture.name,
            realizability=self.matrix.realizability,
            reason=_reason(architecture.summary, refused, self.options.architecture is not None),
            mean=realization.mean,
            flipped=int((gains < 0).sum()),
            scale_spread=float(np.abs(gains).max() / np.abs(gains).min()),
            margin=realization.margin,
            levels=levels,
            warnings=self.problem.warnings,
            trace=Trace(self.matrix, tuple(refused), realization, architecture.unit),
        )

    def _built(self, architecture: LinearArchitecture, hardware: Hardware) -> Realization:
        """The device knows its problem and its source before anybody asks for its law, which then stays its own."""
        made = architecture.realize(self.problem, self.matrix, hardware)
        made.device.problem = self.problem
        self._mark(made.device)
        return made

    def _mark(self, device: Device) -> None:
        if self.source is not None:
            device.compiled_from(self.source)

    def finish(self, made: LinearCompilation) -> LinearCompilation:
        """Codes, where components are banks; what is not ideal about the parts; the prediction."""
        options, warnings = self.options, list(made.warnings)
        placed = made.trace.realization.layout.placed
        coded = quantised(made.hardware)
        costs = None
        if placed is not None and placed.embedding is not None and (coded or self.detail):
            costs = self._with_costs(placed.embedding, made, predict_linear(made.device).covariance_relative_error)
        if coded:
            found = quantise(made.device, made.hardware, self.problem, how=options.rounding, ensemble=options.ensemble)
            if len(found.device.members()) < options.ensemble:
                warnings.append(_NO_ENSEMBLE.format("so large a network is rounded once"))
            made = replace(made, device=found.device, rounding=found.how, banks=found.bank_count)
        elif options.ensemble > 1:
            warnings.append(_NO_ENSEMBLE.format("this hardware is not quantised"))
        if self.placer.stopped:
            warnings.append(_STOPPED)
        device = made.device
        put_detail(device, self.detail, self.placer.wiring)
        self._mark(device)
        prediction = predict_linear(device)
        if placed is not None and placed.embedding is not None and costs is None:  # the device is as it was placed
            costs = self._with_costs(placed.embedding, made, prediction.covariance_relative_error)
        return replace(made, warnings=tuple(warnings), embedding=costs, prediction=prediction)

    def _with_costs(self, embedding: Embedding, made: LinearCompilation, error: float | None) -> Embedding:
        """What was placed where, with the covariance's ``error``, and without correction, by the circuits' own laws."""
        without = error
        plain = self.placer.uncorrected() if embedding.strength is not None else None
        if plain is not None:  # the same chains uncorrected: what the correction is worth
            hardware = made.hardware
            if made.levels is not None:
                hardware = with_noise(hardware, made.levels.noise)
            architecture = ARCHITECTURES[made.architecture]
            assert isinstance(architecture, LinearArchitecture)
            try:
                device = architecture.realize(self.problem, replace(self.matrix, placer=plain), hardware).device
                device.problem = self.problem
                without = predict_linear(device).covariance_relative_error
            except Unrealizable:  # without correction the parts are out of range
                without = None
        return replace(embedding, error=error, uncorrected_error=without)

    def refusal(self, refused: Refused) -> Unrealizable:
        """Why nothing could be built, and what would help."""
        problem, matrix, hardware = self.problem, self.matrix, self.hardware
        advice = advise(problem, matrix, hardware)
        details: dict[str, object] = {
            "rho": matrix.congruence.rho,
            "class": matrix.realizability,
            "margin": matrix.margin,
        }
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


_STOPPED = "the search for chains was ended by the clock: another machine may find others, and make another device"

_NO_ENSEMBLE = "one programming instead of an ensemble: {}"


_LINE = 380  # characters of advice in a message


def _fitted(helps: list[str]) -> str:
    """As much advice as a line has room for, nothing cut in the middle."""
    for count in range(len(helps), 0, -1):
        more = [f"{len(helps) - count} more in details.advice (--json)"] if count < len(helps) else []
        line = "; ".join([*helps[:count], *more])
        if len(line) <= _LINE:
            return line
    return clip(helps[0])


def _reason(summary: str, refused: Refused, forced: bool) -> str:
    if forced:
        return f"{summary} (as asked)"
    if not refused:
        return f"{summary}; the most passive one this hardware has"
    return f"{summary}; not as {_reasons(refused)}"


def _reasons(refused: Refused) -> str:
    """``name: reason`` for each refusal, architectures with one reason together."""
    together: dict[str, list[str]] = {}
    for name, refusal in refused:
        together.setdefault(refusal.reason, []).append(name)
    return "; not as ".join(f"{' or '.join(names)}: {reason}" for reason, names in together.items())
