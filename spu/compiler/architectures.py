"""Pass 3: what each architecture can hold, and the values it takes. A new one goes here.

An architecture takes a symmetric positive definite matrix, brings it into a form its
couplers can realize (readout polarity, congruence scaling), and returns the device whose
voltages have the wanted covariance and mean after the readout ``x = T v + o``.

The passive ones lay a scaled matrix ``M = diag(t) A diag(t)`` out on cells (`Layout`): on single
rails, one cell a variable, or on dual rails, two cells a variable, read as their difference. Which cells
of wired hardware these are, or which chains of cells, is for `spu.compiler.embedding` to say
(`Matrix.placer`); the layout then is that of the cells built.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from spu.choice import first_smallest, without_rounding
from spu.compiler.congruence import Congruence, own_fraction, rounding
from spu.compiler.embedding import Placed, Placer, upper_entries
from spu.compiler.fit import Elements, beyond, check_range, fit_scale
from spu.compiler.polarity import Polarity
from spu.compiler.rescale import rescaled
from spu.constants import BOLTZMANN
from spu.device import Device, Readout
from spu.errors import Unrealizable
from spu.hardware import Hardware, Range
from spu.lazy import Lazy
from spu.problem import LinearSystem, Problem
from spu.sparse import canonical, scaled, with_data, without_small

FloatArray = NDArray[np.float64]

_UNITS = {"capacitance": "F", "conductance": "S"}


@dataclass(frozen=True, eq=False)
class Matrix:
    """The problem's matrix, (n, n) and canonical, what passes 1 and 2 found out about it, and who finds its cells."""

    values: sp.csr_array
    polarity: Polarity
    congruence: Congruence
    placer: Placer

    @property
    def margin(self) -> float | None:
        """Smallest share of a diagonal entry that couplers leave over under pass 2's scaling; None if it has none."""
        scale = self.congruence.scale
        return None if scale is None else float(own_fraction(self.values, scale).min())

    @property
    def realizability(self) -> str:
        """The narrowest class: m-matrix, m-matrix-after-polarity, diagonally-dominant, h-matrix or any."""
        if self.polarity.signs is not None and self.congruence.below_one:
            return "m-matrix" if (self.polarity.signs > 0).all() else "m-matrix-after-polarity"
        if self.congruence.dominant:
            return "diagonally-dominant"
        return "h-matrix" if self.congruence.below_one else "any"


@dataclass(frozen=True, eq=False)
class Realization:
    """A device and how it holds the matrix.

    Attributes
    ----------
    device:
        The device.
    mean:
        ``zero``, ``bias`` (currents) or ``offset`` (of the readout).
    gain:
        (n,) problem units per volt of each variable's cell (on dual rails: of the difference; of a chain: of
        what is read of it); signed.
    margin:
        Smallest share of a diagonal entry that couplers, those of chains aside, leave to the cell itself; None
        where they take nothing.
    factor:
        Physical value (F or S) of a unit of the scaled matrix.
    layout:
        The scaled matrix on cells and couplers.
    """

    device: Device
    mean: str
    gain: FloatArray
    margin: float | None
    factor: float
    layout: Layout


class Architecture(ABC):
    """One way to build an SPU."""

    name: ClassVar[str]
    summary: ClassVar[str]
    cells_per_variable: ClassVar[int] = 1

    @abstractmethod
    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        """Return the device, or raise `Unrealizable` with the reason and the number."""


@dataclass(frozen=True, eq=False)
class Layout:
    """A scaled matrix on cells and couplers.

    Attributes
    ----------
    t, M:
        (n,) signed scaling and ``M = diag(t) A diag(t)``, (n, n), with a largest diagonal entry of 1.
    names:
        Of the c cells.
    own:
        (c,) what each cell has to ground, in units of M.
    ends, sizes:
        (m, 2) coupled cells and (m,) positive values of their couplers, in units of M.
    rails:
        (n, c) Q: ``Q v`` behaves as n cells of matrix M would. Its rows are orthonormal and span an invariant
        subspace of the cells' Maxwell matrix N, ``Q N = M Q``; with chains, ``Q N^-1 Q^T = M^-1`` as far as
        they are corrected.
    placed:
        Where these cells are on wired hardware; None where any two cells have a coupler.
    """

    t: FloatArray
    M: sp.csr_array
    names: tuple[str, ...]
    own: FloatArray
    ends: NDArray[np.int64]
    sizes: FloatArray
    rails: sp.csr_array
    placed: Placed | None = None

    @property
    def maxwell(self) -> sp.csr_array:
        """N, (c, c), canonical: of the cells with passive couplers, in units of M."""
        c, (a, b) = len(self.names), self.ends.T
        diagonal = self.own + np.bincount(self.ends.ravel(), np.repeat(self.sizes, 2), c)
        half = sp.coo_array((-self.sizes, (a, b)), shape=(c, c))
        return canonical(sp.diags_array(diagonal) + half + half.T)

    def on(self, placed: Placed) -> Layout:
        """The same with these cells placed, chains included."""
        return replace(
            self,
            names=placed.names,
            own=placed.own,
            ends=placed.all_ends,
            sizes=placed.coupler_values,
            rails=without_small(self.rails @ placed.weights),
            placed=placed,
        )

    @property
    def margin(self) -> float:
        """Smallest own fraction."""
        return float(own_fraction(self.M, np.ones(len(self.t))).min())

    @property
    def gain(self) -> FloatArray:
        """(n,) readout gain of a variable's cell, chain or difference of two cells, for a unit of ``Q v / t``."""
        rails = len(self.names) if self.placed is None else self.placed.weights.shape[0]
        return self.t * np.sqrt(len(self.t) / rails)


def _single_rail(matrix: Matrix, scale: FloatArray | None, names: tuple[str, ...]) -> Layout:
    """One cell a variable: off-diagonals <= 0 after a choice of readout polarity."""
    if matrix.polarity.signs is None:
        cycle = [names[k] for k in matrix.polarity.frustrated]
        raise Unrealizable(
            "plain couplers give off-diagonals <= 0 only, and no choice of readout polarity does that: the signs "
            f"around the cycle of {len(cycle)} couplings {'-'.join(cycle[:8])}{'...' if len(cycle) > 8 else ''} "
            "contradict each other",
            details={"frustrated_cycle": cycle, "rho": matrix.congruence.rho},
        )
    t, M = _scaled_form(matrix, matrix.polarity.signs * _positive_scale(matrix, scale))
    ends, entries = upper_entries(M)
    return Layout(t, M, names, _own(M), ends, -entries, canonical(sp.eye_array(len(t))))


def _dual_rail(matrix: Matrix, scale: FloatArray | None, names: tuple[str, ...]) -> Layout:
    """Two cells a variable, p and n, read as a difference: off-diagonals of any sign.

    A negative entry is a pair of straight couplers (p-p and n-n), a positive one a pair of crossed
    couplers (p-n and n-p). With ``(v_p - v_n) / sqrt 2`` and ``(v_p + v_n) / sqrt 2`` the cells' Maxwell
    matrix falls into two blocks: M for the differential mode, and for the common mode M with all
    off-diagonals ``-|M_ij|``, its comparison matrix. That one is positive definite exactly for
    H-matrices (Berman and Plemmons, Nonnegative Matrices in the Mathematical Sciences, ch. 6).
    """
    t, M = _scaled_form(matrix, _positive_scale(matrix, scale))
    own, (ends, entries) = _own(M), upper_entries(M)
    floating = _floating(M, own)
    if floating is not None:
        raise Unrealizable(
            f"no cell of the part with {names[floating]} would keep anything of its own: its common mode would float "
            "(rho = 1, not below)",
            details={"rho": 1.0},
        )
    n = len(t)
    p, m = 2 * ends, 2 * ends + 1
    crossed = (entries > 0)[:, None]
    first, second = (
        np.where(crossed, np.column_stack([p[:, 0], m[:, 1]]), p),
        np.where(crossed, np.column_stack([m[:, 0], p[:, 1]]), m),
    )
    half = np.sqrt(0.5)
    rails = sp.csr_array((np.tile([half, -half], n), np.arange(2 * n), np.arange(0, 2 * n + 1, 2)), shape=(n, 2 * n))
    return Layout(
        t,
        M,
        rail_names(names),
        np.repeat(own, 2),
        np.stack([first, second], axis=1).reshape(-1, 2),
        np.repeat(np.abs(entries), 2),
        rails,
    )


def rail_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """``a_p, a_n, b_p, b_n`` for variables ``a, b``; long names are cut and, where that makes two equal, numbered."""
    limit = 62  # of the 64 characters a name may have
    found: list[str] = []
    taken: set[str] = {name.lower() for name in names if len(name) <= limit}
    for k, name in enumerate(names):
        stem = name
        if len(name) > limit:
            stem, tail = name[:limit], f"_{k + 1}"
            while stem.lower() in taken:
                stem, tail = name[: limit - len(tail)] + tail, f"_{tail}"
            taken.add(stem.lower())
        found += [f"{stem}_p", f"{stem}_n"]
    return tuple(found)


def _positive_scale(matrix: Matrix, scale: FloatArray | None) -> FloatArray:
    """The scaling given, or that of pass 2."""
    if scale is not None:
        return scale
    if matrix.congruence.scale is None:
        raise Unrealizable(
            f"no positive scaling makes the matrix diagonally dominant: rho = {matrix.congruence.rho:.6g}, not below 1",
            details={"rho": matrix.congruence.rho},
        )
    return matrix.congruence.scale


def _scaled_form(matrix: Matrix, t: FloatArray) -> tuple[FloatArray, sp.csr_array]:
    """``t`` and ``diag(t) A diag(t)``, both so that its largest diagonal entry is 1."""
    M = scaled(matrix.values, t, t)
    peak = M.diagonal().max()
    return t / np.sqrt(peak), with_data(M, M.data / peak)


def _floating(M: sp.csr_array, own: FloatArray) -> int | None:
    """A cell of a connected part in which no cell has a part of its own; None if there is no such part."""
    _, labels = connected_components(M, directed=False)
    held = np.bincount(labels, own) > 0
    return None if held.all() else int(np.argmin(held[labels]))


def _own(M: sp.csr_array) -> FloatArray:
    """Own parts of the diagonal; what is below rounding is zero, which means: not built."""
    n, diagonal = M.shape[0], M.diagonal()
    own, nothing = own_fraction(M, np.ones(n)) * diagonal, 2.0 * rounding(n) * diagonal
    if (own < -nothing).any():
        worst = first_smallest(own / diagonal)
        raise Unrealizable(
            f"cell {worst + 1} would need a negative part of its own, {own[worst] / diagonal[worst]:.3g} of its "
            "diagonal: the matrix is too badly conditioned for this scaling"
        )
    return np.where(own > nothing, own, 0.0)


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


def _readout(problem: Problem, layout: Layout, unit: float, offset: FloatArray) -> Readout:
    """``x = diag(t) unit Q v + offset``."""
    return Readout(problem.variables, sp.diags_array(layout.t * unit) @ layout.rails, offset)


def _on_wiring(layout: Layout, placer: Placer, fit: Callable[[Layout], float], chain: Range) -> Layout:
    """The layout on the cells of the hardware; ``fit`` is its physical scale, ``chain`` the range of chain couplers."""
    if placer.wiring is None:
        return layout
    return layout.on(
        placer.place(layout.maxwell, layout.own, layout.names, lambda placed: fit(layout.on(placed)), chain)
    )


def _fitted(
    cells_per_variable: int,
    names: tuple[str, ...],
    matrix: Matrix,
    hardware: Hardware,
    quantity: str,
) -> tuple[Layout, float]:
    """The layout, and the physical value (F or S) of a unit of its matrix, that lie in the hardware's ranges."""
    cell, coupler, unit = hardware.cell[quantity], hardware.coupler[quantity], _UNITS[quantity]
    lay_out = {1: _single_rail, 2: _dual_rail}[cells_per_variable]

    def factor(layout: Layout) -> float:
        pairs = _pair_names(layout.names, layout.ends)
        groups = [
            Elements("cell", unit, layout.names, layout.own, cell),
            Elements("coupler", unit, pairs, layout.sizes, coupler),
        ]
        return fit_scale(_nominal(hardware, quantity), groups)

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
        layout, factor = _fitted(self.cells_per_variable, problem.variables, matrix, hardware, "capacitance")
        g, l, s = (_nominal(hardware, quantity) for quantity in ("conductance", "inductance", "noise"))
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
            readout=_readout(problem, layout, unit, offset),
            architecture=self.name,
        )
        mean = "offset" if np.any(offset) else "zero"
        return Realization(device, mean, layout.gain * unit, layout.margin, factor, layout)


class RLCCapacitiveDual(RLCCapacitive):
    """`RLCCapacitive` on dual rails: off-diagonals of any sign, of any H-matrix."""

    name = "rlc-capacitive-dual"
    summary = "RLC cells on dual rails, straight and crossed capacitors: passive but for the injected noise"
    cells_per_variable = 2


class _RC(Architecture):
    """RC cells with injected noise: ``v ~ N(G^-1 i_bias, (S / 4c) G^-1)``, G the conductance matrix."""

    def _finish(
        self,
        problem: Problem,
        hardware: Hardware,
        layout: Layout,
        factor: float,
        cells: dict[str, FloatArray | float],
        couplers: dict[str, FloatArray],
        thermal: float,
    ) -> Realization:
        """Noise, readout and bias; ``thermal`` (A^2/Hz) is what resistors add to the injected density."""
        c, s = _nominal(hardware, "capacitance"), _nominal(hardware, "noise")
        unit = np.sqrt(4.0 * c * factor / (s + thermal))
        if isinstance(problem, LinearSystem):
            right = problem.vector
        else:
            A, x = canonical(problem.matrix), problem.target_mean
            right = without_rounding(A @ x, abs(A) @ np.abs(x), problem.n)
        wanted = layout.t * right * (factor / unit)  # of M v, as M = diag(t) A diag(t)
        bias = without_rounding(layout.rails.T @ wanted, abs(layout.rails).T @ np.abs(wanted), problem.n)
        held, offset = "zero", np.zeros(problem.n)
        if np.any(bias):
            held = "bias"
            try:
                allowed = hardware.cell["bias"]
                for k in np.flatnonzero(beyond(bias, allowed))[:1]:
                    check_range("bias of cell", layout.names[k], float(bias[k]), "A", allowed)
            except Unrealizable:
                if problem.answer == "mean":
                    raise
                held, offset, bias = "offset", problem.target_mean, np.zeros(len(bias))
        device = Device.from_arrays(
            layout.names,
            {**cells, "capacitance": c, "noise": s, "bias": np.where(bias != 0, bias, np.nan)},
            layout.ends,
            couplers,
            temperature=hardware.temperature,
            readout=_readout(problem, layout, unit, offset),
            architecture=self.name,
        )
        return Realization(device, held, layout.gain * unit, layout.margin, factor, layout)


class RCResistive(_RC):
    """RC cells, resistive couplers (thermodynamic linear algebra, arXiv 2308.05660).

    The resistors' own thermal noise adds ``(kT / c) I`` to the covariance.
    """

    name = "rc-resistive"
    summary = "RC cells, resistive couplers: passive but for the injected noise and the bias"

    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        layout, factor = _fitted(self.cells_per_variable, problem.variables, matrix, hardware, "conductance")
        cells: dict[str, FloatArray | float] = {"conductance": np.where(layout.own > 0, layout.own * factor, np.nan)}
        return self._finish(problem, hardware, layout, factor, cells, {"conductance": layout.sizes * factor}, 0.0)


class RCResistiveDual(RCResistive):
    """`RCResistive` on dual rails: off-diagonals of any sign, of any H-matrix; opposite biases on the two rails."""

    name = "rc-resistive-dual"
    summary = "RC cells on dual rails, straight and crossed resistors: passive but for the injected noise and the bias"
    cells_per_variable = 2


class RCTransconductor(_RC):
    """RC cells, transconductor couplers: any positive definite matrix, with active parts.

    The cells' conductances make thermal noise ``4kT g_ii``, the ideal transconductors none; the
    readout takes the mean of it into account, its spread is part of the predicted error.
    """

    name = "rc-transconductor"
    summary = "RC cells, transconductor couplers of either sign: active"

    def realize(self, problem: Problem, matrix: Matrix, hardware: Hardware) -> Realization:
        names = problem.variables
        t, M = _scaled_form(matrix, np.ones(len(names)))
        chain, resistive = hardware.coupler["conductance"], hardware.coupler["conductance"].max > 0
        if not resistive:  # chained by transconductors: a current -K v_b leaves cell a
            limits = hardware.coupler["transconductance"]
            chain = Range(min=max(-limits.max, 0.0), max=max(-limits.min, 0.0))

        def own(cells: Placed) -> FloatArray:
            return cells.diagonal if resistive else cells.diagonal + cells.chain_degrees * cells.strength

        def fit(cells: Placed) -> float:
            pairs, links = _pair_names(cells.names, cells.ends), _pair_names(cells.names, cells.chain_ends)
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
        where = cells if matrix.placer.wiring is not None else None
        sizes = np.abs(cells.coupler_values)
        layout = Layout(t, M, cells.names, own(cells), cells.all_ends, sizes, cells.weights, where)
        conductance = layout.own * factor
        thermal = 4.0 * BOLTZMANN * hardware.temperature * float(conductance.mean())
        links = np.concatenate([np.zeros(len(cells.ends)), cells.chain_strengths]) * factor
        entries = np.concatenate([cells.entries, np.zeros(len(cells.chain_ends))]) * factor
        if not resistive:
            entries, links = entries - links, np.zeros_like(links)
        entries = np.where(entries != 0, entries, np.nan)
        couplers = {"transconductance_ab": entries, "transconductance_ba": entries}
        if links.any():
            couplers["conductance"] = np.where(links > 0, links, np.nan)
        made = self._finish(problem, hardware, layout, factor, {"conductance": conductance}, couplers, thermal)
        return replace(made, margin=None)  # transconductors take nothing of the diagonal


ARCHITECTURES: tuple[Architecture, ...] = (
    RLCCapacitive(),
    RCResistive(),
    RLCCapacitiveDual(),
    RCResistiveDual(),
    RCTransconductor(),
)
"""Most passive first, single rails before dual ones: `spu.compile` takes the first that can hold the problem."""
