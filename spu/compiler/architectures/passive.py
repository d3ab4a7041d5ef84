"""Architectures whose couplers are capacitors or resistors, on single and on dual rails."""

from __future__ import annotations

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.constants import BOLTZMANN
from spu.base.errors import Unrealizable
from spu.compiler.architectures.linear import RC, LinearArchitecture, fitted, nominal, readout
from spu.compiler.layout import Matrix, Realization
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.problems.problem import QuadraticProblem


class RLCCapacitive(LinearArchitecture):
    """Parallel RLC cells, capacitive couplers (Melanson et al., Nature Communications 16:3757).

    ``v ~ N(0, kT_eff C^-1)`` with the Maxwell capacitance matrix C and
    ``kT_eff = S R / 4 + kT``: injected noise S and the resistors' own.
    """

    name = "rlc-capacitive"
    summary = "RLC cells, capacitive couplers: passive but for the injected noise"
    needs = ("inductance",)
    unit = "F"

    def realize(self, problem: QuadraticProblem, matrix: Matrix, hardware: Hardware) -> Realization:
        if problem.kind.answer.deterministic:
            raise Unrealizable(
                "a linear system is solved by bias currents, and an RLC cell's inductor shorts them to ground"
            )
        layout, factor = fitted(self.cells_per_variable, problem.variables, matrix, hardware, "capacitance")
        g, l, s = (nominal(hardware, quantity) for quantity in ("conductance", "inductance", "noise"))
        energy = s / (4.0 * g) + BOLTZMANN * hardware.temperature
        if not (0 < energy < np.inf and 0 < factor / energy < np.inf):
            raise Unrealizable(
                f"noise of {s:g} A^2/Hz on {g:g} S at {hardware.temperature:g} K gives a cell of {factor:.3g} F an "
                f"energy of {energy:.3g} J: its voltages are beyond floating-point numbers"
            )
        unit = np.sqrt(factor / energy)
        offset = problem.target_mean
        device = Device.from_arrays(
            layout.names,
            {
                "capacitance": np.where(layout.own > 0, layout.own * factor, np.nan),
                "conductance": g,
                "inductance": l,
                "noise": s,
            },
            layout.ends,
            {"capacitance": layout.sizes * factor},
            temperature=hardware.temperature,
            readout=readout(problem, layout, unit, offset),
            architecture=self.name,
        )
        mean = "offset" if np.any(offset) else "zero"
        return Realization(device, mean, layout.gain * unit, layout.margin, factor, layout)


class RLCCapacitiveDual(RLCCapacitive):
    """`RLCCapacitive` on dual rails: off-diagonals of any sign, of any H-matrix."""

    name = "rlc-capacitive-dual"
    summary = "RLC cells on dual rails, straight and crossed capacitors: passive but for the injected noise"
    cells_per_variable = 2


class RCResistive(RC):
    """RC cells, resistive couplers (thermodynamic linear algebra, arXiv 2308.05660).

    The resistors' own thermal noise adds ``(kT / c) I`` to the covariance.
    """

    name = "rc-resistive"
    summary = "RC cells, resistive couplers: passive but for the injected noise and the bias"

    def realize(self, problem: QuadraticProblem, matrix: Matrix, hardware: Hardware) -> Realization:
        layout, factor = fitted(self.cells_per_variable, problem.variables, matrix, hardware, "conductance")
        cells: dict[str, FloatArray | float] = {"conductance": np.where(layout.own > 0, layout.own * factor, np.nan)}
        return self._finish(problem, hardware, layout, factor, cells, {"conductance": layout.sizes * factor}, 0.0)


class RCResistiveDual(RCResistive):
    """`RCResistive` on dual rails: off-diagonals of any sign, of any H-matrix; opposite biases on the two rails."""

    name = "rc-resistive-dual"
    summary = "RC cells on dual rails, straight and crossed resistors: passive but for the injected noise and the bias"
    cells_per_variable = 2
