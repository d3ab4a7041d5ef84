"""Pass 3: what each architecture can hold, and the values it takes. A new one goes here.

Which cells it is put on is for `spu.compiler.embedding` to say (`Matrix.placer`).

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
from spu.compiler.embedding import Embedding, Placed, Placer
from spu.compiler.fit import Elements, check_range, fit_scale
from spu.compiler.polarity import Polarity
from spu.constants import BOLTZMANN
from spu.device import Device, Readout
from spu.errors import Unrealizable
from spu.hardware import Hardware, Range
from spu.lazy import Lazy
from spu.problem import Problem
from spu.sparse import scaled, with_data

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matrix:
    """The problem's matrix, (n, n) and canonical, what passes 1 and 2 found out about it, and who finds its cells."""

    values: sp.csr_array
    polarity: Polarity
    congruence: Congruence
    placer: Placer

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
    """A device, how its mean is held (``zero``, ``bias`` or ``offset`` of the readout), and its cells' places."""

    device: Device
    mean: str
    embedding: Embedding | None = None


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


def _nominal(hardware: Hardware, quantity: str) -> float:
    value = hardware.cell[quantity].nominal
    assert value is not None  # the hardware file was checked for it
    return value


def _passive_cells(
    matrix: Matrix, M: sp.csr_array, names: tuple[str, ...], hardware: Hardware, quantity: str, unit: str
) -> tuple[Placed, float]:
    """Cells for M whose parts, couplers and chains are all of one quantity, and the factor from M to its values."""
    own = _own(M)

    def fit(cells: Placed) -> float:
        return fit_scale(
            _nominal(hardware, quantity),
            [
                Elements("cell", unit, cells.names, cells.own, hardware.cell[quantity]),
                Elements(
                    "coupler", unit, cells.pairs(cells.all_ends), cells.coupler_values, hardware.coupler[quantity]
                ),
            ],
        )

    cells = matrix.placer.place(M, own, names, fit, hardware.coupler[quantity])
    return cells, fit(cells)


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
        cells, factor = _passive_cells(matrix, M, names, hardware, "capacitance", "F")
        g, l, s = (_nominal(hardware, quantity) for quantity in ("conductance", "inductance", "noise"))
        energy = s / (4.0 * g) + BOLTZMANN * hardware.temperature
        offset = problem.target_mean
        device = Device.from_arrays(
            cells.names,
            {
                "capacitance": np.where(cells.own > 0, cells.own * factor, np.nan),
                "conductance": g,
                "inductance": l,
                "noise": s,
            },
            cells.all_ends,
            {"capacitance": cells.coupler_values * factor},
            temperature=hardware.temperature,
            readout=Readout(names, cells.read(t * np.sqrt(factor / energy)), offset),
            architecture=self.name,
        )
        return Realization(device, "offset" if np.any(offset) else "zero", cells.embedding)


class _RC(Architecture):
    """RC cells with injected noise: ``v ~ N(G^-1 i_bias, (S / 4c) G^-1)``, G the conductance matrix."""

    def _finish(
        self,
        problem: Problem,
        hardware: Hardware,
        t: FloatArray,
        M: sp.csr_array,
        factor: float,
        cells: Placed,
        values: dict[str, FloatArray | float],
        couplers: dict[str, FloatArray],
        thermal: float,
    ) -> Realization:
        """Noise, readout and bias; ``thermal`` (A^2/Hz) is what resistors add to the injected density."""
        names = problem.variables
        c, s = _nominal(hardware, "capacitance"), _nominal(hardware, "noise")
        gain = t * np.sqrt(4.0 * c * factor / (s + thermal))
        # Injected as it is read, so that the mean is as exact as the covariance, whatever the chains' strength.
        bias = cells.weights.T @ ((factor * M) @ (problem.target_mean / gain))
        held, offset = "zero", np.zeros(len(names))
        if np.any(bias):
            held = "bias"
            try:
                allowed = hardware.cell["bias"]
                for k in np.flatnonzero(~((bias >= allowed.min) & (bias <= allowed.max)))[:1]:
                    check_range("bias of cell", cells.names[k], float(bias[k]), "A", allowed)
            except Unrealizable:
                if problem.answer == "mean":
                    raise
                held, offset, bias = "offset", problem.target_mean, np.zeros(len(bias))
        device = Device.from_arrays(
            cells.names,
            {**values, "capacitance": c, "noise": s, "bias": np.where(bias != 0, bias, np.nan)},
            cells.all_ends,
            couplers,
            temperature=hardware.temperature,
            readout=Readout(names, cells.read(gain), offset),
            architecture=self.name,
        )
        return Realization(device, held, cells.embedding)


class RCResistive(_RC):
    """RC cells, resistive couplers (thermodynamic linear algebra, arXiv 2308.05660).

    The resistors' own thermal noise adds ``(kT / c) I`` to the covariance.
    """

    name = "rc-resistive"
    summary = "RC cells, resistive couplers: passive but for the injected noise and the bias"

    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        names = problem.variables
        t, M = _passive_form(matrix, names)
        cells, factor = _passive_cells(matrix, M, names, hardware, "conductance", "S")
        values: dict[str, FloatArray | float] = {"conductance": np.where(cells.own > 0, cells.own * factor, np.nan)}
        couplers = {"conductance": cells.coupler_values * factor}
        return self._finish(problem, hardware, t, M, factor, cells, values, couplers, 0.0)


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
        chain, resistive = hardware.coupler["conductance"], hardware.coupler["conductance"].max > 0
        if not resistive:  # chained by transconductors: a current -K v_b leaves cell a
            limits = hardware.coupler["transconductance"]
            chain = Range(min=max(-limits.max, 0.0), max=max(-limits.min, 0.0))

        def own(cells: Placed) -> FloatArray:
            return cells.diagonal if resistive else cells.diagonal + cells.chain_degrees * cells.strength

        def fit(cells: Placed) -> float:
            pairs, links = cells.pairs(cells.ends), cells.pairs(cells.chain_ends)
            return fit_scale(
                _nominal(hardware, "conductance"),
                [
                    Elements("cell", "S", cells.names, own(cells), hardware.cell["conductance"]),
                    *_signed(pairs, cells.entries, hardware.coupler["transconductance"]),
                    Elements("chain coupler", "S", links, cells.chain_strengths, chain),
                ],
            )

        sums = np.asarray(M.sum(axis=1), dtype=np.float64)
        cells = matrix.placer.place(M, sums, names, fit, chain, signed=True)
        factor = fit(cells)
        conductance = own(cells) * factor
        thermal = 4.0 * BOLTZMANN * hardware.temperature * float(conductance.mean())
        links = np.where(np.arange(len(cells.all_ends)) < len(cells.ends), 0.0, cells.strength) * factor
        entries = np.concatenate([cells.entries * factor, np.zeros(len(cells.chain_ends))])
        if not resistive:
            entries, links = entries - links, np.zeros_like(links)
        entries = np.where(entries != 0, entries, np.nan)
        couplers = {
            "transconductance_ab": entries,
            "transconductance_ba": entries,
            "conductance": np.where(links > 0, links, np.nan),
        }
        values: dict[str, FloatArray | float] = {"conductance": conductance}
        return self._finish(problem, hardware, t, M, factor, cells, values, couplers, thermal)


ARCHITECTURES: tuple[Architecture, ...] = (RLCCapacitive(), RCResistive(), RCTransconductor())
"""Most passive first: `spu.compile` takes the first that can hold the problem."""
