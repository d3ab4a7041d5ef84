"""What architectures of linear cells have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.choice import without_rounding
from spu.base.errors import Unrealizable
from spu.circuit.readout import Readout
from spu.compiler.architectures.base import Architecture
from spu.compiler.embedding import Placer
from spu.compiler.fit import Elements, beyond, check_range, fit_scale
from spu.compiler.layout import Layout, Matrix, Realization, dual_rail, pair_names, single_rail
from spu.compiler.rescale import rescaled
from spu.device.device import Device
from spu.device.hardware import Hardware, Range
from spu.problems.kinds import tasks_of
from spu.problems.problem import QuadraticProblem

_UNITS = {"capacitance": "F", "conductance": "S"}


class LinearArchitecture(Architecture):
    """Cells and couplers of linear elements: a quadratic energy.

    Attributes
    ----------
    unit:
        Of what stands for a unit of the scaled matrix: F or S.
    """

    unit: ClassVar[str] = "S"

    @property
    def kinds(self) -> tuple[str, ...]:
        """All that a quadratic energy poses."""
        return tasks_of(QuadraticProblem)

    @abstractmethod
    def realize(self, problem: QuadraticProblem, matrix: Matrix, hardware: Hardware) -> Realization:
        """Return the device, or raise `Unrealizable` with the reason and the number."""


def nominal(hardware: Hardware, quantity: str) -> float:
    """The nominal value of a quantity of cells; where there is none, 0."""
    value = hardware.cell[quantity].nominal
    assert value is not None  # the hardware file was checked for it
    return value


def readout(problem: QuadraticProblem, layout: Layout, unit: float, offset: FloatArray) -> Readout:
    """``x = diag(t) unit Q v + offset``."""
    return Readout(problem.variables, sp.diags_array(layout.t * unit) @ layout.rails, offset)


def _on_wiring(layout: Layout, placer: Placer, fit: Callable[[Layout], float], chain: Range) -> Layout:
    """The layout on the cells of the hardware; ``fit`` is its physical scale, ``chain`` the range of chain couplers."""
    if placer.wiring is None:
        return layout
    return layout.on(
        placer.place(layout.maxwell, layout.own, layout.names, lambda placed: fit(layout.on(placed)), chain)
    )


def fitted(
    cells_per_variable: int,
    names: tuple[str, ...],
    matrix: Matrix,
    hardware: Hardware,
    quantity: str,
) -> tuple[Layout, float]:
    """The layout, and the physical value (F or S) of a unit of its matrix, that lie in the hardware's ranges."""
    cell, coupler, unit = hardware.cell[quantity], hardware.coupler[quantity], _UNITS[quantity]
    lay_out = {1: single_rail, 2: dual_rail}[cells_per_variable]

    def factor(layout: Layout) -> float:
        pairs = pair_names(layout.names, layout.ends)
        groups = [
            Elements("cell", unit, layout.names, layout.own, cell),
            Elements("coupler", unit, pairs, layout.sizes, coupler),
        ]
        return fit_scale(nominal(hardware, quantity), groups)

    def fit(scale: FloatArray | None) -> tuple[Layout, float]:
        layout = _on_wiring(lay_out(matrix, scale, names), matrix.placer, factor, coupler)
        return layout, factor(layout)

    try:
        return fit(None)
    except Unrealizable as refusal:
        found = matrix.congruence
        if found.scale is None or "range" not in refusal.details:
            raise
        layout = lay_out(matrix, None, names)
        if not matrix.placer.fits(layout.maxwell, layout.names):  # the search knows nothing of chains
            raise
        other = rescaled(matrix.values, found.rho, found.scale, cell, coupler) if found.below_one else None
        if other is None:
            raise
        try:
            return fit(other)
        except Unrealizable:  # by rounding only: the first scaling's reason stands
            raise refusal from None


class RC(LinearArchitecture):
    """RC cells with injected noise: ``v ~ N(G^-1 i_bias, (S / 4c) G^-1)``, G the conductance matrix."""

    def _finish(
        self,
        problem: QuadraticProblem,
        hardware: Hardware,
        layout: Layout,
        factor: float,
        cells: dict[str, FloatArray | float],
        couplers: dict[str, FloatArray],
        thermal: float,
    ) -> Realization:
        """Noise, readout and bias; ``thermal`` (A^2/Hz) is what resistors add to the injected density."""
        c, s = nominal(hardware, "capacitance"), nominal(hardware, "noise")
        unit = np.sqrt(4.0 * c * factor / (s + thermal))
        wanted = layout.t * problem.right_side * (factor / unit)  # of M v, as M = diag(t) A diag(t)
        bias = without_rounding(layout.rails.T @ wanted, abs(layout.rails).T @ np.abs(wanted), problem.n)
        held, offset = "zero", np.zeros(problem.n)
        if np.any(bias):
            held = "bias"
            try:
                allowed = hardware.cell["bias"]
                for k in np.flatnonzero(beyond(bias, allowed))[:1]:
                    check_range("bias of cell", layout.names[k], float(bias[k]), "A", allowed)
            except Unrealizable:
                if problem.kind.answer.deterministic:
                    raise
                held, offset, bias = "offset", problem.target_mean, np.zeros(len(bias))
        device = Device.from_arrays(
            layout.names,
            {**cells, "capacitance": c, "noise": s, "bias": np.where(bias != 0, bias, np.nan)},
            layout.ends,
            couplers,
            temperature=hardware.temperature,
            readout=readout(problem, layout, unit, offset),
            architecture=self.name,
        )
        return Realization(device, held, layout.gain * unit, layout.margin, factor, layout)
