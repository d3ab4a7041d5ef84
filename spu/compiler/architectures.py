"""Pass 3: what each architecture can hold, and the values it takes. A new one goes here.

An architecture takes a symmetric positive definite matrix, brings it into a form its
couplers can realize (readout polarity, congruence scaling), and returns the device whose
voltages have the wanted covariance and mean after the readout ``x = T v + o``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.compiler.congruence import Congruence, own_fraction
from spu.compiler.fit import Elements, check_range, fit_scale
from spu.compiler.polarity import Polarity
from spu.constants import BOLTZMANN
from spu.device import Device, Readout
from spu.errors import Unrealizable
from spu.hardware import Hardware, Range
from spu.lazy import Lazy
from spu.problem import Problem
from spu.sparse import canonical, row_numbers, scaled, with_data

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matrix:
    """The problem's matrix, (n, n) and canonical, with what passes 1 and 2 found out about it."""

    values: sp.csr_array
    polarity: Polarity
    congruence: Congruence

    @property
    def realizability(self) -> str:
        """The narrowest class: m-matrix, m-matrix-after-polarity, diagonally-dominant, h-matrix or any."""
        if self.polarity.signs is not None and self.congruence.rho < 1:
            return "m-matrix" if (self.polarity.signs > 0).all() else "m-matrix-after-polarity"
        if self.congruence.dominant:
            return "diagonally-dominant"
        return "h-matrix" if self.congruence.rho < 1 else "any"


@dataclass(frozen=True, eq=False)
class Realization:
    """A device, and how its mean is held: ``zero``, ``bias`` (currents) or ``offset`` (of the readout)."""

    device: Device
    mean: str


class Architecture(ABC):
    """One way to build an SPU."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        """Return the device, or raise `Unrealizable` with the reason and the number."""


def _passive_form(matrix: Matrix, names: tuple[str, ...]) -> tuple[FloatArray, sp.csr_array]:
    """Signed scaling t and ``M = diag(t) A diag(t)`` with off-diagonals <= 0 and own parts >= 0."""
    if matrix.polarity.signs is None:
        cycle = [names[k] for k in matrix.polarity.frustrated]
        raise Unrealizable(
            "plain couplers give off-diagonals <= 0 only, and no choice of readout polarity does that: the signs "
            f"around the cycle of {len(cycle)} couplings {'-'.join(cycle[:8])}{'...' if len(cycle) > 8 else ''} "
            "contradict each other",
            details={"frustrated_cycle": cycle, "rho": matrix.congruence.rho},
        )
    if matrix.congruence.scale is None:
        raise Unrealizable(
            f"no positive scaling makes the matrix diagonally dominant: rho = {matrix.congruence.rho:.6g}, not below 1",
            details={"rho": matrix.congruence.rho},
        )
    t = matrix.polarity.signs * matrix.congruence.scale
    M = scaled(matrix.values, t, t)
    peak = M.diagonal().max()
    return t / np.sqrt(peak), with_data(M, M.data / peak)


def _own(M: sp.csr_array) -> FloatArray:
    """Own parts of the diagonal; what is below rounding is zero, which means: not built."""
    n, diagonal = M.shape[0], M.diagonal()
    own, rounding = own_fraction(M, np.ones(n)) * diagonal, 8.0 * n * np.finfo(float).eps * diagonal
    if (own < -rounding).any():
        worst = int(np.argmin(own / diagonal))
        raise Unrealizable(
            f"cell {worst + 1} would need a negative part of its own, {own[worst] / diagonal[worst]:.3g} of its "
            "diagonal: the matrix is too badly conditioned for this scaling"
        )
    return np.where(own > rounding, own, 0.0)


def _edges(M: sp.csr_array) -> tuple[NDArray[np.int64], FloatArray]:
    """(m, 2) coupled pairs, in order of cells, and their (m,) entries."""
    rows = row_numbers(M)
    upper = np.flatnonzero((M.indices > rows) & (M.data != 0))
    return np.column_stack([rows[upper], M.indices[upper].astype(np.int64)]), M.data[upper]


def _signed(pairs: Lazy[str], entries: FloatArray, allowed: Range) -> list[Elements]:
    """Transconductances by sign, each as magnitudes with the range of its own sign."""
    ranges = (
        Range(min=max(allowed.min, 0.0), max=max(allowed.max, 0.0)),
        Range(min=max(-allowed.max, 0.0), max=max(-allowed.min, 0.0)),
    )
    return [
        Elements("coupler", "S", pairs.take(np.flatnonzero(keep)), np.abs(entries[keep]), limits)
        for keep, limits in zip((entries > 0, entries < 0), ranges, strict=True)
    ]


def _pair_names(names: tuple[str, ...], ends: NDArray[np.int64]) -> Lazy[str]:
    return Lazy((len(ends), lambda k: f"{names[ends[k, 0]]}-{names[ends[k, 1]]}"))


def _nominal(hardware: Hardware, quantity: str) -> float:
    value = hardware.cell[quantity].nominal
    assert value is not None  # the hardware file was checked for it
    return value


class RLCCapacitive(Architecture):
    """Parallel RLC cells, capacitive couplers (Melanson et al., Nature Communications 16:3757).

    ``v ~ N(0, kT_eff C^-1)`` with the Maxwell capacitance matrix C and
    ``kT_eff = S R / 4 + kT``: injected noise S and the resistors' own.
    """

    name = "rlc-capacitive"
    summary = "RLC cells, capacitive couplers: passive but for the injected noise"

    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        if problem.answer == "mean":
            raise Unrealizable(
                "a linear system is solved by bias currents, and an RLC cell's inductor shorts them to ground"
            )
        names = problem.variables
        t, M = _passive_form(matrix, names)
        own, (ends, entries) = _own(M), _edges(M)
        factor = fit_scale(
            _nominal(hardware, "capacitance"),
            [
                Elements("cell", "F", names, own, hardware.cell["capacitance"]),
                Elements("coupler", "F", _pair_names(names, ends), -entries, hardware.coupler["capacitance"]),
            ],
        )
        g, l, s = (_nominal(hardware, quantity) for quantity in ("conductance", "inductance", "noise"))
        energy = s / (4.0 * g) + BOLTZMANN * hardware.temperature
        offset = problem.target_mean
        device = Device.from_arrays(
            names,
            {
                "capacitance": np.where(own > 0, own * factor, np.nan),
                "conductance": g,
                "inductance": l,
                "noise": s,
            },
            ends,
            {"capacitance": -entries * factor},
            temperature=hardware.temperature,
            readout=Readout(names, canonical(sp.diags_array(t * np.sqrt(factor / energy))), offset),
            architecture=self.name,
        )
        return Realization(device, "offset" if np.any(offset) else "zero")


class _RC(Architecture):
    """RC cells with injected noise: ``v ~ N(G^-1 i_bias, (S / 4c) G^-1)``, G the conductance matrix."""

    def _finish(
        self,
        problem: Problem,
        hardware: Hardware,
        t: FloatArray,
        M: sp.csr_array,
        factor: float,
        cells: dict[str, FloatArray | float],
        ends: NDArray[np.int64],
        couplers: dict[str, FloatArray],
        thermal: float,
    ) -> Realization:
        """Noise, readout and bias; ``thermal`` (A^2/Hz) is what resistors add to the injected density."""
        names = problem.variables
        c, s = _nominal(hardware, "capacitance"), _nominal(hardware, "noise")
        gain = t * np.sqrt(4.0 * c * factor / (s + thermal))
        bias = (factor * M) @ (problem.target_mean / gain)
        held, offset = "zero", np.zeros(len(names))
        if np.any(bias):
            held = "bias"
            try:
                allowed = hardware.cell["bias"]
                for k in np.flatnonzero(~((bias >= allowed.min) & (bias <= allowed.max)))[:1]:
                    check_range("bias of cell", names[k], float(bias[k]), "A", allowed)
            except Unrealizable:
                if problem.answer == "mean":
                    raise
                held, offset, bias = "offset", problem.target_mean, np.zeros(len(names))
        device = Device.from_arrays(
            names,
            {**cells, "capacitance": c, "noise": s, "bias": np.where(bias != 0, bias, np.nan)},
            ends,
            couplers,
            temperature=hardware.temperature,
            readout=Readout(names, canonical(sp.diags_array(gain)), offset),
            architecture=self.name,
        )
        return Realization(device, held)


class RCResistive(_RC):
    """RC cells, resistive couplers (thermodynamic linear algebra, arXiv 2308.05660).

    The resistors' own thermal noise adds ``(kT / c) I`` to the covariance.
    """

    name = "rc-resistive"
    summary = "RC cells, resistive couplers: passive but for the injected noise and the bias"

    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        names = problem.variables
        t, M = _passive_form(matrix, names)
        own, (ends, entries) = _own(M), _edges(M)
        factor = fit_scale(
            _nominal(hardware, "conductance"),
            [
                Elements("cell", "S", names, own, hardware.cell["conductance"]),
                Elements("coupler", "S", _pair_names(names, ends), -entries, hardware.coupler["conductance"]),
            ],
        )
        cells: dict[str, FloatArray | float] = {"conductance": np.where(own > 0, own * factor, np.nan)}
        return self._finish(problem, hardware, t, M, factor, cells, ends, {"conductance": -entries * factor}, 0.0)


class RCTransconductor(_RC):
    """RC cells, transconductor couplers: any positive definite matrix, with active parts.

    The cells' conductances make thermal noise ``4kT g_ii``, the ideal transconductors none; the
    readout takes the mean of it into account, its spread is part of the predicted error.
    """

    name = "rc-transconductor"
    summary = "RC cells, transconductor couplers of either sign: active"

    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        names = problem.variables
        peak = float(matrix.values.diagonal().max())
        M = with_data(matrix.values, matrix.values.data / peak)
        t = np.full(len(names), 1.0 / np.sqrt(peak))
        ends, entries = _edges(M)
        pairs = _pair_names(names, ends)
        factor = fit_scale(
            _nominal(hardware, "conductance"),
            [
                Elements("cell", "S", names, M.diagonal(), hardware.cell["conductance"]),
                *_signed(pairs, entries, hardware.coupler["transconductance"]),
            ],
        )
        conductance = M.diagonal() * factor
        thermal = 4.0 * BOLTZMANN * hardware.temperature * float(conductance.mean())
        values = entries * factor
        couplers = {"transconductance_ab": values, "transconductance_ba": values}
        return self._finish(problem, hardware, t, M, factor, {"conductance": conductance}, ends, couplers, thermal)


ARCHITECTURES: tuple[Architecture, ...] = (RLCCapacitive(), RCResistive(), RCTransconductor())
"""Most passive first: `spu.compile` takes the first that can hold the problem."""
