"""Observers: what training needs of trajectories is added up while they run, and no path is kept.

`spu.emulator.runs.langevin_run.run` hands every observer the states at each readout. Sums of products are made by the
kernel `spu.emulator.runs.grams.gram`, row by row in the order in which they come, so their bits depend neither on
threads nor on the processor. Heat and work need no observer: a run that tracks them keeps one number a trajectory.
"""

from __future__ import annotations

from typing import Annotated, Protocol

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.kernels.door import aligned
from spu.base.kernels.products import panel
from spu.emulator.runs.grams import gram

__all__ = ["Gram", "Means", "Observer", "Products"]

_ROWS = 512
"""Rows that are put together before they are multiplied: the chains of sums are so long, whatever comes at once."""


class Observer(Protocol):
    """Whatever is called with the number of a readout and the states (trajectories, n) then."""

    def __call__(self, place: int, states: Annotated[FloatArray, "trajectories n"]) -> None:
        """Take them in."""


class Products:
    """The sum of ``a^T b`` over rows of a (k, n) and b (k, m), given piece by piece: `total` (n, m)."""

    def __init__(self, n: int, m: int) -> None:
        self._a, self._b, self._rows = np.zeros((_ROWS, n)), np.zeros((_ROWS, m)), 0
        self._total = np.zeros((n, m))

    def add(self, a: Annotated[FloatArray, "k n"], b: Annotated[FloatArray, "k m"]) -> None:
        """Add some rows."""
        first = 0
        while first < len(a):
            many = min(_ROWS - self._rows, len(a) - first)
            into = slice(self._rows, self._rows + many)
            self._a[into], self._b[into] = a[first : first + many], b[first : first + many]
            self._rows += many
            first += many
            if self._rows == _ROWS:
                self._flush()

    def _flush(self) -> None:
        row = panel("double")
        count = -(-self._rows // row)
        parts = []
        for held in (self._a, self._b):
            held[self._rows :] = 0.0
            part = aligned((count, held.shape[1], row))
            part[:] = held[: count * row].reshape(count, row, -1).transpose(0, 2, 1)
            parts.append(part)
        gram(parts[0], parts[1], self._total)
        self._rows = 0

    @property
    def total(self) -> Annotated[FloatArray, "n m"]:
        """The sum so far."""
        if self._rows:
            self._flush()
        return self._total


class Means:
    """Means over trajectories at each of k readouts: ``mean`` and ``square`` (k, n)."""

    def __init__(self, readouts: int, n: int) -> None:
        self.mean, self.square = np.zeros((readouts, n)), np.zeros((readouts, n))

    def __call__(self, place: int, states: Annotated[FloatArray, "trajectories n"]) -> None:
        """Take the states of a readout in."""
        self.mean[place] = states.mean(axis=0)
        self.square[place] = np.square(states).mean(axis=0)


class Gram:
    """``sum w (x, 1) (x, 1)^T`` over readouts, of weights (k,) or 1, and trajectories: `total` (n + 1, n + 1)."""

    def __init__(self, n: int, weights: Annotated[FloatArray, "k"] | None = None) -> None:
        self._weights = weights
        self._products = Products(n + 1, n + 1)

    def __call__(self, place: int, states: Annotated[FloatArray, "trajectories n"]) -> None:
        """Take the states of a readout in."""
        whole = np.column_stack([states, np.ones(len(states))])
        self._products.add(whole if self._weights is None else self._weights[place] * whole, whole)

    @property
    def total(self) -> Annotated[FloatArray, "m m"]:
        """The sum so far."""
        return self._products.total
