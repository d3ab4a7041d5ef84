r"""Noising paths that are drawn: sums of the quadratic loss from trajectories of the very loops that run everything.

A step from x to x' has noise of its own, ``x' = a(x) + h I + sigma xi``. What A and G hold is its mean given x, which
is known, so that only the noise of the path before is left in the sums: with ``y = a(x) + h I``,

.. math::
    E[e_i x'_j] = (x_i - y_i + h F(y_i))\, y_j \quad (i \ne j), \qquad E[x'_i x'_j] = y_i y_j + \sigma^2 \delta_{ij}

where ``F(y) = f(y) + sigma^2 (12 J4 y + 3 J3)`` is the mean of f after the step. With ``raw`` the sums are of the steps
as they were, as in training by descent along sampled gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.threads import one_blas_thread
from spu.emulator.equations.langevin import langevin_of_network
from spu.emulator.runs.langevin_run import Grid, Paths, Schedule, run
from spu.emulator.runs.observers import Observer, Products
from spu.studies.learning.noising import Noising, boltzmann, reach
from spu.studies.learning.quadratic import Sums

_QUANTILES = 8001


def start_of(noising: Noising, levels: FloatArray, count: int, seed: int) -> FloatArray:
    """(count, n) states drawn from equilibrium of units at levels (n,)."""
    (low, high), _ = reach(noising, levels)
    x = np.linspace(low, high, _QUANTILES)
    distinct, which = np.unique(levels, return_inverse=True)
    below = np.cumsum(boltzmann(noising, x, distinct), axis=0)
    drawn = np.random.default_rng(seed).random((count, len(levels)))
    found = np.empty_like(drawn)
    middle = x + 0.5 * (x[1] - x[0])
    for k in range(len(distinct)):
        units = which == k
        found[:, units] = np.interp(drawn[:, units], below[:, k] / below[-1, k], middle)
    return found


def _walk(
    noising: Noising, levels: FloatArray, count: int, seed: int, observers: Sequence[Observer] = (), keep: bool = False
) -> Paths:
    """Noising trajectories of units at levels (n,), read at every step."""
    n, (sizes, _) = len(levels), noising.steps
    ramp = np.array([0.0, noising.lowered * noising.duration])
    instants = np.concatenate([[0.0], np.cumsum(sizes)])
    instants[np.abs(instants - ramp[1]).argmin()] = ramp[1]
    own = np.broadcast_to(noising.strength * levels, (count, n)).copy()
    return run(
        langevin_of_network(noising.units(np.zeros(n))),
        grid=Grid(instants, np.ones(len(sizes), dtype=np.int64), np.arange(len(instants)), False),
        trajectories=count,
        seed=seed,
        scheme="euler-maruyama",
        start=start_of(noising, levels, count, seed),
        schedule=Schedule(ramp, np.zeros((2, n)), own, np.array([1.0, 0.0])),
        observers=observers,
        keep=keep,
        threads=1,
    )


def noising_paths(noising: Noising, levels: FloatArray, count: int, seed: int) -> FloatArray:
    """(steps + 1, count, n) states of noising trajectories, for a loss of paths that were not trained on."""
    return _walk(noising, levels, count, seed, keep=True).states


class _StepSums:
    """An observer of every step: what the sums of the quadratic loss need of it, and no path is kept."""

    def __init__(self, noising: Noising, levels: FloatArray, raw: bool) -> None:
        n = len(levels)
        self._noising, self._levels, self._raw = noising, levels, raw
        self._sizes, self._shares = noising.steps
        self._gram, self._couplings = Products(n, n), Products(n, n)
        self.states, self.biases = np.zeros(n), np.zeros(n)
        self._before: FloatArray | None = None

    def __call__(self, place: int, states: FloatArray) -> None:
        """Take in the step that begins here, in the mean over its noise; of ``raw`` sums the one that ends here."""
        noising = self._noising
        if self._raw:
            before, self._before = self._before, states
            if before is None:
                return
            h, ends = float(self._sizes[place - 1]), states
            gap = before - ends + h * noising.slope(ends)
        else:
            if place == len(self._sizes):
                return
            h = float(self._sizes[place])
            ends = states - h * noising.slope(states) + h * self._shares[place] * noising.strength * self._levels
            spread = 2 * h * noising.kT
            gap = states - ends + h * (noising.slope(ends) + spread * (12 * noising.J4 * ends + 3 * noising.J3))
        self._gram.add(h * ends, ends)
        self._couplings.add(gap, ends)
        self.states += h * ends.sum(axis=0)
        self.biases += gap.sum(axis=0)

    @property
    def gram(self) -> FloatArray:
        """(n, n), symmetric."""
        found = self._gram.total
        return (found + found.T) / 2

    @property
    def couplings(self) -> FloatArray:
        """(n, n)."""
        return self._couplings.total


@one_blas_thread()
def sampled(noising: Noising, levels: FloatArray, count: int, seed: int, *, raw: bool = False) -> Sums:
    """Sums of ``count`` trajectories of one image, units at levels (n,); averaged over them."""
    n = len(levels)
    sizes, _ = noising.steps
    seen = _StepSums(noising, levels, raw)
    _walk(noising, levels, count, seed, (seen,))
    gram = seen.gram
    if not raw:  # the variance of each step's own noise
        gram[np.diag_indices(n)] += count * float((sizes * 2 * sizes * noising.kT).sum())
    return Sums(
        np.empty((n, 0)),
        np.empty(0),
        gram / count,
        seen.states / count,
        float(sizes.sum()),
        seen.couplings / count,
        seen.biases / count,
    )


def sampled_piece(item: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """A piece of a study: sums of some trajectories of one image."""
    noising = Noising(**shared["noising"])
    found = sampled(noising, np.asarray(item["levels"]), int(item["count"]), int(item["seed"]), raw=bool(item["raw"]))
    return {key: getattr(found, key) for key in ("gram", "states", "time", "couplings", "biases")}


def together(pieces: list[dict[str, Any]]) -> Sums:
    """Means over pieces of as many trajectories each, in their order."""
    first = pieces[0]
    total = {key: np.array(first[key], dtype=np.float64) for key in ("gram", "states", "couplings", "biases")}
    for piece in pieces[1:]:
        for key, array in total.items():
            array += piece[key]
    own = {key: array / len(pieces) for key, array in total.items()}
    n = len(own["states"])
    return Sums(factor=np.empty((n, 0)), rest=np.empty(0), time=float(first["time"]), **own)


def shared_of(noising: Noising) -> dict[str, Any]:
    """What pieces share."""
    return {"noising": asdict(noising)}
