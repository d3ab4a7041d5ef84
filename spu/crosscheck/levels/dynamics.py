"""Two linear circuits with the same readouts, set beside one another at every frequency and mode by mode.

Sweeps and transients look at a band and start at rest: what lies outside, between two points, or never starts, they
miss. The exact equations miss nothing. Where those of two circuits agree entry by entry, all the rest does. Where
they do not, as of equivalent circuits, their modes are paired, and their cross-spectra compared below, between, at and
above the poles of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import ComplexArray, FloatArray
from spu.circuit.stamps import node_names
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.stationary import Stationary

ALIKE = 1e-9
"""Relative difference of two equations' entries that is rounding."""

NOISE_ALIKE = 1e-6
"""Of entries of their noise: a netlist states densities with a Boltzmann constant of its own."""

PAIRED = 1e-6
"""Relative distance of two poles that are one, beyond the rounding of either."""

MOST_MODES = 1200
"""States of equations whose modes are paired: beyond it only their number is compared."""

MOST_PROBES = 48
"""Readouts whose spectra are compared, a fair choice of them."""

FLOOR = 1e-5
"""Of a spectrum's peak: differences are relative to no less."""

_AROUND = (-3.0, -1.0, 0.0, 1.0, 3.0)
"""Half widths from a resonance at which spectra are compared."""

_PER_DECADE, _BEYOND = 8, 1e3
"""Points of the sweep besides, and how far it goes beyond the poles."""

_MOST_POLES = 128
"""Of each circuit, around which spectra are compared, a fair choice; those of unpaired modes always."""


@dataclass(frozen=True)
class Mode:
    """A mode that one circuit has and the other has not.

    Attributes
    ----------
    pole:
        1/s.
    nodes:
        Where it is at home.
    seen:
        Whether it can move a readout at all.
    """

    pole: complex
    nodes: tuple[str, ...]
    seen: bool

    def __str__(self) -> str:
        where = ", ".join(self.nodes[:3]) + (" ..." if len(self.nodes) > 3 else "")
        time, frequency = -1.0 / self.pole.real, abs(self.pole.imag) / (2 * np.pi)
        ringing = f", ringing at {frequency:.3g} Hz" if frequency > 0 else ""
        return f"{where or 'a branch'} (time constant {time:.3g} s{ringing})"


def same_equations(found: StochasticODE, known: StochasticODE) -> bool:
    """Whether two equations have the same states, readouts and entries, up to rounding."""
    if found.E.shape != known.E.shape or found.H.shape != known.H.shape or found.conserved != known.conserved:
        return False

    def close(a: sp.csr_array, b: sp.csr_array, allowed: float) -> bool:
        size = abs(a).maximum(abs(b))
        beyond = abs(a - b) - allowed * size
        return bool(beyond.max() <= 0) if beyond.nnz else True

    def noise(matrix: sp.csr_array) -> sp.csr_array:  # sources may come in another order
        return sp.csr_array(matrix @ matrix.T)

    vectors = [(found.s, known.s), (found.y0, known.y0)]
    pairs = [(found.E, known.E), (found.F, known.F), (found.H, known.H)]
    return (
        all(close(a, b, ALIKE) for a, b in pairs)
        and all((np.abs(a - b) <= ALIKE * np.maximum(np.abs(a), np.abs(b))).all() for a, b in vectors)
        and all(close(noise(a), noise(b), NOISE_ALIKE) for a, b in ((found.K, known.K), (found.D, known.D)))
    )


def unpaired_modes(found: Stationary, known: Stationary) -> tuple[list[Mode], list[Mode]]:
    """Modes that only the first circuit has, and those that only the second has, slowest first.

    What a readout can see is paired apart from what it cannot. Poles are paired so that their distances are the least
    in all. A pair counts as one mode up to `PAIRED` and the rounding of the eigenvalues (their condition times that of
    the matrix).
    """
    if max(found.sde.E.shape[0], known.sde.E.shape[0]) > MOST_MODES:
        return [], []
    extra: list[Mode] = []
    missing: list[Mode] = []
    for one, other in zip(_blocks(found), _blocks(known), strict=True):
        distance = np.abs(one.poles[:, None] - other.poles)
        size = np.maximum(np.abs(one.poles)[:, None], np.abs(other.poles))
        relative = distance / np.where(size > 0, size, 1.0)
        rows, columns = linear_sum_assignment(np.sqrt(relative))
        allowed = PAIRED * size + one.rounding[:, None] + other.rounding
        paired = distance[rows, columns] <= allowed[rows, columns]
        extra += one.without(rows[paired])
        missing += other.without(columns[paired])
    return sorted(extra, key=_slowness), sorted(missing, key=_slowness)


def _slowness(mode: Mode) -> float:
    return -mode.pole.real


class _Block:
    """States of a law that its readouts can see, or those that they cannot, with their modes."""

    def __init__(self, law: Stationary, states: NDArray[np.int64], seen: bool) -> None:
        A = law.dense.A[np.ix_(states, states)]
        values, left, right = la.eig(A, left=True, right=True)  # type: ignore[misc]  # stubs know two of them
        self._names, self._seen = law.sde.state_names.take(states), seen
        self.poles: ComplexArray = values.astype(np.complex128) / law.dense.time
        # How much each coordinate takes part in a mode, whatever the units.
        self._shares: FloatArray = np.abs(left * right)
        overlap = np.abs((np.conj(left) * right).sum(axis=0))
        rounding = 100.0 * np.finfo(float).eps * np.linalg.norm(A) / law.dense.time
        self.rounding: FloatArray = rounding / np.maximum(overlap, 1e-30)

    def without(self, paired: NDArray[np.int64]) -> list[Mode]:
        """All modes but some, one of each conjugate pair."""
        found = []
        for k in np.setdiff1d(np.arange(len(self.poles)), paired):
            if self.poles[k].imag >= 0:
                heavy = np.flatnonzero(self._shares[:, k] > 0.3 * self._shares[:, k].max())
                nodes = node_names([self._names[int(state)] for state in heavy])
                found.append(Mode(complex(self.poles[k]), nodes, self._seen))
        return found


def _blocks(law: Stationary) -> tuple[_Block, _Block]:
    """What the readouts can see, and what not, by which entries there are, however small.

    A state moves another one where F has an entry, and with it all those that E ties to that one. What no path leads
    from to a readout evolves by itself, beside the rest.
    """
    E, F, H = law.sde.E, law.sde.F, law.sde.H
    groups = connected_components(E, directed=False)[1]
    count = int(groups.max()) + 1
    rows, columns = F.nonzero()
    graph = sp.csr_array((np.ones(len(rows)), (groups[rows], groups[columns])), shape=(count, count))
    seen = np.zeros(count, dtype=bool)
    front = np.unique(groups[H.nonzero()[1]])
    while len(front):
        seen[front] = True
        moving = np.unique(graph[front].indices)
        front = moving[~seen[moving]]
    visible = seen[groups]
    return _Block(law, np.flatnonzero(visible), True), _Block(law, np.flatnonzero(~visible), False)


def spectral_difference(
    found: Stationary, known: Stationary, unpaired: Sequence[Mode] = ()
) -> tuple[float, float, int]:
    """The worst difference of two circuits' cross-spectra over the densities known, around ``unpaired`` modes, too.

    Returns
    -------
    The difference, relative to the roots of the readouts' own densities (or `FLOOR` of their peaks); where it is, Hz;
    and at which readout.
    """
    count = len(known.sde.probes)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_PROBES)).astype(int))
    frequencies = _telling_frequencies((found, known), np.array([mode.pole for mode in unpaired], dtype=complex))
    # What is known at all frequencies first: peaks set the scale.
    own = np.concatenate([_spectrum(known, part, chosen) for part in _parts(frequencies)])
    density = np.einsum("fii->fi", own).real
    size = np.sqrt(np.maximum(density, FLOOR * density.max(axis=0, initial=0.0)))
    loudest = float(size.max(initial=0.0))
    size = np.maximum(size, FLOOR * loudest) if loudest > 0 else np.ones_like(size)
    other = np.concatenate([_spectrum(found, part, chosen) for part in _parts(frequencies)])
    gap = np.abs(other - own) / (size[:, :, None] * size[:, None, :])
    k, i, _ = np.unravel_index(int(np.argmax(gap)), gap.shape)
    return float(gap.max(initial=0.0)), float(frequencies[k]), int(chosen[i])


def _parts(frequencies: FloatArray) -> list[FloatArray]:
    return np.array_split(frequencies, max(1, len(frequencies) // 64))


def _spectrum(law: Stationary, frequencies: FloatArray, chosen: NDArray[np.int64]) -> ComplexArray:
    h = law.transfer(frequencies)[:, chosen]
    return np.asarray(h @ np.conj(np.swapaxes(h, 1, 2)))


def _telling_frequencies(laws: Sequence[Stationary], always: ComplexArray) -> FloatArray:
    """(f,) Hz: around each resonance and corner of the laws, between them, and far beyond on both sides."""
    chosen, ends = [always], []
    for law in laws:
        poles = law.poles[law.poles.imag >= 0]
        poles = poles[np.argsort(np.abs(poles))]
        chosen.append(poles[np.unique(np.linspace(0, len(poles) - 1, min(len(poles), _MOST_POLES)).astype(int))])
        ends += [float(np.abs(poles[0])), float(np.abs(poles[-1]))]
    poles = np.concatenate(chosen)
    low, high = min(ends) / _BEYOND, max(ends) * _BEYOND
    sweep = np.geomspace(low, high, int(np.log10(high / low) * _PER_DECADE) + 2)
    points = [sweep, np.abs(poles), *(poles.imag + width * poles.real for width in _AROUND)]
    found = np.unique(np.concatenate(points))
    return np.asarray(found[found > 0] / (2 * np.pi))
