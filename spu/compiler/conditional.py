"""The last pass of conditional problems: voltage sources at the cells of what is held."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from spu.base.errors import OptionError
from spu.base.numbers import engineering, number
from spu.compiler.compilation import Pass
from spu.compiler.linear import LinearPasses
from spu.compiler.linear_compilation import QuadraticCompilation
from spu.compiler.passes import Options
from spu.device.hardware import Hardware
from spu.emulator.predict import predict_linear
from spu.problems.conditional import ConditionalProblem

__all__ = ["ConditionalCompilation", "ConditionalPasses"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ConditionalCompilation(QuadraticCompilation):
    """A compiled device some of whose variables are held: a further attribute of `QuadraticCompilation`.

    Attributes
    ----------
    free:
        What was compiled before anything was held.
    """

    free: QuadraticCompilation = field(repr=False)

    @property
    def problem(self) -> Any:
        """What was compiled, the conditional problem."""
        return self.device.problem

    @property
    def offset(self) -> bool:
        """Whether the mean is added at readout, as the cells can hold none."""
        return bool(self.device.cell_columns.holds("inductance"))

    def explain(self) -> tuple[Pass, ...]:
        """The passes one by one; the last puts the sources in."""
        error = self.ideal.covariance_relative_error
        return (*self.free.explain(), Pass("clamp", self._clamp(), {"held": self.problem.held}, error))

    def _clamp(self) -> str:
        if self.offset:
            values = ", ".join(f"{name} = {number(value)}" for name, value in self.problem.held.items())
            return f"{values}: cells at 0 V, the mean added at readout (inductors let no constant voltage stand)"
        device, said = self.device, []
        matrix, level = device.readout.matrix, device.cell_columns.arrays["clamp"]
        for name, value in self.problem.held.items():
            row = device.readout.variables.index(name)
            where = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            volts = " and ".join(engineering(float(level[k]), "V") for k in where)
            said.append(f"{name} = {number(value)} at {volts}")
        return ", ".join(said)

    def facts(self) -> list[tuple[str, str]]:
        """As of any linear problem, with what is held."""
        found = super().facts()
        place = next(k for k, (label, _) in enumerate(found) if label == "mean")
        found.insert(place + 1, ("held", self._clamp()))
        return found


class ConditionalPasses(LinearPasses):
    """All passes of the problem without anything held, then the sources."""

    problem: Any

    def __init__(self, problem: ConditionalProblem, hardware: Hardware, options: Options) -> None:
        super().__init__(problem.whole, hardware, options)
        self.conditional = problem
        if options.ensemble > 1:
            raise OptionError("ensemble", "cannot be of a problem with held variables: a source has one voltage")

    def finish(self, made: QuadraticCompilation) -> ConditionalCompilation:
        """All that comes after the device of the whole problem, and the sources."""
        free = super().finish(made)
        device = free.device.clamped(self.conditional.held)
        device.problem = self.conditional
        prediction = predict_linear(device)
        undrawn = None if free.undrawn is None else free.undrawn.clamped(self.conditional.held)
        meant = None
        if undrawn is not None:
            undrawn.problem = self.conditional
            meant = predict_linear(undrawn)
        known = {each.name: getattr(free, each.name) for each in fields(free)}
        mean = free.mean
        if device.cell_columns.holds("inductance") and self.conditional.target_mean.any():
            mean = "offset"
        found = ConditionalCompilation(
            **known | {"device": device, "prediction": prediction, "mean": mean, "undrawn": undrawn, "meant": meant},
            free=free,
        )
        return replace(found, warnings=(*free.warnings, *self._clipped(found)))

    def _clipped(self, made: ConditionalCompilation) -> list[str]:
        """Cells beyond the readout's full swing: levels were chosen for the problem without anything held."""
        limits = made.hardware.readout
        if limits is None:
            return []
        stats = made.prediction
        peak = np.abs(stats.voltage_mean) + limits.crest * np.sqrt(np.asarray(stats.voltage_covariance.diagonal()))
        worst = int(np.argmax(peak))
        if peak[worst] <= limits.full_swing:
            return []
        name, top = made.device.cell_names[worst], engineering(float(peak[worst]), "V")
        return [f"cell {name} reaches {top}, and the readout clips at {engineering(limits.full_swing, 'V')}"]
