"""The passes of problems that a quadratic energy poses, on linear cells."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np

from spu.base.errors import Unrealizable, clip
from spu.base.sparse import canonical
from spu.circuit.ramp import Ramp
from spu.compiler.advice import advise, describe
from spu.compiler.architectures import ARCHITECTURES
from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.linear import LinearArchitecture
from spu.compiler.cells import CellPasses, reason_of, reasons
from spu.compiler.chains import Embedding
from spu.compiler.congruence import congruence
from spu.compiler.embedding import EmbeddingOptions
from spu.compiler.explain import refused_passes
from spu.compiler.headroom import plan_levels, with_noise
from spu.compiler.imperfections import put_detail
from spu.compiler.layout import Matrix, Realization
from spu.compiler.linear_compilation import QuadraticCompilation, Trace
from spu.compiler.passes import Refused
from spu.compiler.polarity import polarity
from spu.compiler.quantise import ROUNDINGS, quantise, quantised
from spu.device.hardware import Hardware
from spu.device.lower import lower
from spu.emulator.laws.work import gentle_ramp
from spu.emulator.predict import predict_linear
from spu.problems.problem import QuadraticProblem

__all__ = ["LinearPasses"]


class LinearPasses(CellPasses[QuadraticProblem, QuadraticCompilation]):
    """Polarity, congruence and placing before the architecture; levels, codes and details after it."""

    problems = "problems of a matrix"
    meaningless: ClassVar = {
        "speedup": 'is for networks (task = "network"): what sets the speed of linear cells is the hardware\'s '
        "nominal values; leave it out",
    }

    roundings = ROUNDINGS

    def chains(self) -> EmbeddingOptions:
        """As asked, else as strong as the hardware says."""
        chains = self.options.embedding or EmbeddingOptions()
        return chains if chains.strength is not None else replace(chains, strength=self.hardware.chain_strength)

    def prepare(self) -> None:
        """Readout signs and a scaling of cells that suit the couplers."""
        values = canonical(self.problem.matrix)
        self.matrix = Matrix(values, polarity(values), congruence(values), self.placer)

    def realize(self, architecture: Architecture, refused: Refused) -> QuadraticCompilation:
        """The device at the level of noise that suits the readout."""
        assert isinstance(architecture, LinearArchitecture)
        self._require_cells(self.problem.n * architecture.cells_per_variable)
        realization, levels = plan_levels(partial(self._built, architecture), self.hardware)
        gains = realization.gain
        return QuadraticCompilation(
            device=realization.device,
            hardware=self.hardware,
            architecture=architecture.name,
            realizability=self.matrix.realizability,
            reason=reason_of(architecture.summary, refused, self.options.architecture is not None),
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

    def finish(self, made: QuadraticCompilation) -> QuadraticCompilation:
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
        if self.problem.ramped and len(device.coupler_ends):
            device.ramp = Ramp([0.0, 1.0], couplers=[0.0, 1.0])
            device.ramp = gentle_ramp(lower(device.members()[0]))
        self._mark(device)
        prediction = predict_linear(device)
        if placed is not None and placed.embedding is not None and costs is None:  # the device is as it was placed
            costs = self._with_costs(placed.embedding, made, prediction.covariance_relative_error)
        made = replace(made, warnings=tuple(warnings), embedding=costs, prediction=prediction)
        return self._drawn(made)

    def _with_costs(self, embedding: Embedding, made: QuadraticCompilation, error: float | None) -> Embedding:
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
            f"hardware {hardware.name} cannot hold this problem, not as {reasons(refused)} "
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
