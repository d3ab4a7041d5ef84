"""Boards of a device, and what is known exactly of each: found when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, cast

import numpy as np

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import SpuError, UsageError
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.subject import Subject, subject_of
from spu.device.variation import Elements, varied
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.many import ManyLaws, laws_of_draws
from spu.emulator.laws.margins import Crossing, Loops, loops_of
from spu.emulator.predict import predict_linear
from spu.problems.problem import linear_problem
from spu.studies.stability import small_signals

__all__ = ["Boards", "device_of"]


def device_of(given: Subject) -> Device:
    """The device of linear cells that is meant.

    Raises
    ------
    UsageError
        If there is none: boards are drawn of a device's elements, and their laws are exact.
    """
    found = subject_of(given)
    if not isinstance(found, Device):
        raise UsageError("boards are drawn of a device's elements, and a netlist names none: give a compiled folder")
    if found.network is not None or any(
        columns.holds(key)
        for columns in (found.cell_columns, found.coupler_columns)
        for part in columns.parts.values()
        if part.polynomial
        for key in part.keys
    ):
        raise UsageError("boards of nonlinear cells have no exact law: spu compile --draw N makes one to simulate")
    problem = linear_problem(found.problem)
    if problem is not None and problem.sparse:
        raise UsageError(f"boards of {problem.n} variables are too large: of so many only some covariances are known")
    return found


@dataclass(frozen=True, eq=False)
class Boards:
    """d boards of a device.

    Attributes
    ----------
    device, elements:
        As it is made for, and what of it varies.
    factors:
        (d, e) on the values of its elements.
    """

    device: Device
    elements: Elements
    factors: Annotated[FloatArray, "d e"]

    def __len__(self) -> int:
        return len(self.factors)

    def device_of(self, number: int) -> Device:
        """One of them."""
        return varied(self.device, self.factors[number], self.elements)

    @cached_property
    def laws(self) -> ManyLaws:
        """Means and covariances."""
        return laws_of_draws(self.device, self.factors, self.elements)

    @cached_property
    def lagged(self) -> Annotated[FloatArray, "d p p"]:
        """Covariances of readings a lag apart, of the variables; not a number where a board has no law."""
        p = len(self.device.readout.variables)
        found = np.full((len(self), p, p), np.nan)
        for number in np.flatnonzero(self.laws.stable).tolist():
            found[number] = predict_linear(self.device_of(number)).lagged
        return found

    @cached_property
    def poles(self) -> list[ComplexArray]:
        """Of each board the poles of all its programmings, 1/s; also of those that have no law."""
        return [self._poles(number) for number in range(len(self))]

    def _poles(self, number: int) -> ComplexArray:
        found = []
        for member in self.device_of(number).members():
            sde = stochastic_ode(small_signals(lower(member)))
            found.append(sde.dense.eigen[0] / sde.dense.time)
        return np.concatenate(found)

    def crossings(self, crossing: Callable[[Loops], Crossing | None]) -> Annotated[FloatArray, "d"]:
        """Where each board becomes unstable, by gain or delay of its transconductors (`spu.emulator.laws.margins`).

        Infinite where it never does, not a number where it is unstable already.
        """
        return np.array([self._crossing(number, crossing) for number in range(len(self))])

    def _crossing(self, number: int, crossing: Callable[[Loops], Crossing | None]) -> float:
        if self.poles[number].real.max(initial=-np.inf) >= 0:
            return float("nan")
        found = [crossing(loops_of(small_signals(lower(member)))) for member in self.device_of(number).members()]
        return min(float("inf") if each is None else each.at for each in found)

    @cached_property
    def slowest(self) -> Annotated[FloatArray, "d"]:
        """s, the longest time constant that the probes see; not a number where a board has no law."""
        return np.array([self._slowest(number) for number in range(len(self))])

    def _slowest(self, number: int) -> float:
        try:
            laws = predict_linear(self.device_of(number)).laws
        except SpuError:
            return float("nan")
        return max(cast(float, getattr(law, "slowest", law.time_constants[0])) for law in laws)
