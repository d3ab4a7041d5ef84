"""Mean and covariance of any deck as a simulator linearises it: for decks that only it understands, too.

The operating point gives the mean. A noise analysis gives the spectral density of a voltage ``v(i)`` and of a
difference ``v(i, j)`` from everything that makes noise, the parts' own noise included; so, by
polarisation, ``cov(i, j) = (var(i) + var(j) - var(i - j)) / 2``, the whole covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from spu.base.arrays import FloatArray
from spu.emulator.laws.timing import sweep_integral
from spu.spice.deck import Deck
from spu.spice.dialects import DIALECTS
from spu.spice.dialects.dialect import Dialect
from spu.spice.simulators.analyses import Decades, Noise, OperatingPoint
from spu.spice.simulators.simulator import Simulator

RESOLVED = 1e-4
"""Relative Frobenius change of the covariance between two grids below which the finer one is taken."""

_REFINEMENTS = 4

MOST_PAIRS = 5000
"""Of nodes, whose differences are measured."""


def reference(dialect: Dialect) -> tuple[str, ...]:
    """A noise analysis wants an input source; this one is joined to nothing."""
    nodes = ("spu_reference", "0")
    return dialect.element("vspu_reference", nodes, "0"), dialect.silent_resistor("rspu_reference", nodes, "1")


@dataclass(frozen=True, eq=False)
class Measured:
    """What the simulator finds.

    Attributes
    ----------
    mean:
        (p,) V, operating point; None where the deck cannot have one.
    covariance:
        (p, p) V^2; nan where a pair was not measured.
    resolution:
        Relative Frobenius difference to the grid of half as many frequencies; 0 where one grid was enough.
    """

    mean: FloatArray | None
    covariance: FloatArray
    resolution: float


@dataclass(frozen=True)
class Grid:
    """A sweep: ``low`` to ``high``, Hz, with so many points per decade; ``exact`` if these are known to do."""

    low: float
    high: float
    per_decade: int
    exact: bool = False


def measure(
    deck: Deck,
    vectors: tuple[str, ...],
    grid: Grid,
    *,
    simulator: Simulator,
    mean: bool,
    time_limit: float,
    most_pairs: int = MOST_PAIRS,
) -> Measured:
    """Measure mean and covariance of the nodes ``vectors`` (p), on ever finer grids until they no longer matter.

    Parameters
    ----------
    deck:
        Any deck that the simulator takes.
    vectors:
        Names of the nodes.
    grid:
        To start with.
    simulator:
        What runs it.
    mean:
        Whether there is an operating point to ask for.
    time_limit:
        s, of each run.
    most_pairs:
        With more pairs of nodes than this only variances are measured.

    Raises
    ------
    DeckError, SimulatorFailed, SimulatorMissing, NotServed
        As `Simulator.run`.
    """
    pairs = list(combinations(range(len(vectors)), 2))
    if len(pairs) > most_pairs:
        pairs = []
    outputs: list[tuple[str, ...]] = [(name,) for name in vectors]
    outputs += [(vectors[i], vectors[j]) for i, j in pairs]
    simulator.require(Noise, *([OperatingPoint] if mean else []))
    text = deck.text(extra=reference(DIALECTS[deck.dialect]))
    centre = None
    if mean:
        (found,) = simulator.run(text, [OperatingPoint(vectors)], time_limit=time_limit)
        centre = np.array([found[name][0] for name in vectors])

    def covariance(per_decade: int) -> FloatArray:
        sweep = Decades(grid.low, grid.high, per_decade)
        runs = simulator.run(
            text, [Noise(output, "vspu_reference", sweep) for output in outputs], time_limit=time_limit
        )
        power = np.array([sweep_integral(run["frequency"], run["total"]) for run in runs])
        own = power[: len(vectors)]
        matrix = np.full((len(vectors), len(vectors)), np.nan)
        np.fill_diagonal(matrix, own)
        for (i, j), difference in zip(pairs, power[len(vectors) :], strict=True):
            matrix[i, j] = matrix[j, i] = (own[i] + own[j] - difference) / 2
        return matrix

    per_decade, resolution = grid.per_decade, 0.0
    found_covariance = covariance(per_decade)
    for _ in range(0 if grid.exact else _REFINEMENTS):
        per_decade *= 2
        fine = covariance(per_decade)
        known = np.isfinite(fine)
        resolution = float(np.linalg.norm((fine - found_covariance)[known]) / np.linalg.norm(fine[known]))
        found_covariance = fine
        if resolution <= RESOLVED:
            break
    return Measured(centre, found_covariance, resolution)
