"""A scaled matrix laid out on cells and couplers, on single or on dual rails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import FloatArray
from spu.base.choice import first_smallest
from spu.base.errors import Unrealizable
from spu.base.sequences import Lazy
from spu.base.sparse import canonical, scaled, with_data, without_small
from spu.compiler.chains import Placed, upper_entries
from spu.compiler.congruence import Congruence, own_fraction, rounding
from spu.compiler.embedding import Placer
from spu.compiler.polarity import Polarity
from spu.device.device import Device


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
    left:
        (n,) share of each diagonal entry of M that couplers leave over, where that is known already.
    """

    t: FloatArray
    M: sp.csr_array
    names: tuple[str, ...]
    own: FloatArray
    ends: NDArray[np.int64]
    sizes: FloatArray
    rails: sp.csr_array
    placed: Placed | None = None
    left: FloatArray | None = None

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
        left = own_fraction(self.M, np.ones(len(self.t))) if self.left is None else self.left
        return float(left.min())

    @property
    def gain(self) -> FloatArray:
        """(n,) readout gain of a variable's cell, chain or difference of two cells, for a unit of ``Q v / t``."""
        rails = len(self.names) if self.placed is None else self.placed.weights.shape[0]
        return self.t * np.sqrt(len(self.t) / rails)


def single_rail(matrix: Matrix, scale: FloatArray | None, names: tuple[str, ...]) -> Layout:
    """One cell a variable: off-diagonals <= 0 after a choice of readout polarity."""
    if matrix.polarity.signs is None:
        cycle = [names[k] for k in matrix.polarity.frustrated]
        raise Unrealizable(
            "plain couplers give off-diagonals <= 0 only, and no choice of readout polarity does that: the signs "
            f"around the cycle of {len(cycle)} couplings {'-'.join(cycle[:8])}{'...' if len(cycle) > 8 else ''} "
            "contradict each other",
            details={"frustrated_cycle": cycle, "rho": matrix.congruence.rho},
        )
    t, M = scaled_form(matrix, matrix.polarity.signs * _positive_scale(matrix, scale))
    left, own = _own(M)
    ends, entries = upper_entries(M)
    return Layout(t, M, names, own, ends, -entries, canonical(sp.eye_array(len(t))), left=left)


def dual_rail(matrix: Matrix, scale: FloatArray | None, names: tuple[str, ...]) -> Layout:
    """Two cells a variable, p and n, read as a difference: off-diagonals of any sign.

    A negative entry is a pair of straight couplers (p-p and n-n), a positive one a pair of crossed
    couplers (p-n and n-p). With ``(v_p - v_n) / sqrt 2`` and ``(v_p + v_n) / sqrt 2`` the cells' Maxwell
    matrix falls into two blocks: M for the differential mode, and for the common mode M with all
    off-diagonals ``-|M_ij|``, its comparison matrix. That one is positive definite exactly for
    H-matrices (Berman and Plemmons, Nonnegative Matrices in the Mathematical Sciences, ch. 6).
    """
    t, M = scaled_form(matrix, _positive_scale(matrix, scale))
    (left, own), (ends, entries) = _own(M), upper_entries(M)
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
        left=left,
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


def scaled_form(matrix: Matrix, t: FloatArray) -> tuple[FloatArray, sp.csr_array]:
    """``t`` and ``diag(t) A diag(t)``, both so that its largest diagonal entry is 1."""
    M = scaled(matrix.values, t, t)
    peak = M.diagonal().max()
    return t / np.sqrt(peak), with_data(M, M.data / peak)


def _floating(M: sp.csr_array, own: FloatArray) -> int | None:
    """A cell of a connected part in which no cell has a part of its own; None if there is no such part."""
    _, labels = connected_components(M, directed=False)
    held = np.bincount(labels, own) > 0
    return None if held.all() else int(np.argmin(held[labels]))


def _own(M: sp.csr_array) -> tuple[FloatArray, FloatArray]:
    """(n,) shares and sizes of own parts of the diagonal; a size below rounding is zero, which means: not built."""
    n, diagonal = M.shape[0], M.diagonal()
    left = own_fraction(M, np.ones(n))
    own, nothing = left * diagonal, 2.0 * rounding(n) * diagonal
    if (own < -nothing).any():
        worst = first_smallest(own / diagonal)
        raise Unrealizable(
            f"cell {worst + 1} would need a negative part of its own, {own[worst] / diagonal[worst]:.3g} of its "
            "diagonal: the matrix is too badly conditioned for this scaling"
        )
    return left, np.where(own > nothing, own, 0.0)


def pair_names(names: tuple[str, ...], ends: NDArray[np.int64]) -> Lazy[str]:
    """Names of couplers between cells of these names, ``ends`` (k, 2)."""
    return Lazy((len(ends), partial(_pair_name, names, ends)))


def _pair_name(names: tuple[str, ...], ends: NDArray[np.int64], k: int) -> str:
    return f"{names[ends[k, 0]]}-{names[ends[k, 1]]}"
