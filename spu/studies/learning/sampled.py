r"""Noising paths that are drawn: sums of the quadratic loss from trajectories of the very loops that run everything.

A step from x to x' has noise of its own, ``x' = a(x) + h I + sigma xi``. What A and G hold is its mean given x, which
is known, so that only the noise of the path before is left in the sums: with ``y = a(x) + h I``,

.. math::
    E[e_i x'_j] = (x_i - y_i + h F(y_i))\, y_j \quad (i \ne j), \qquad E[x'_i x'_j] = y_i y_j + \sigma^2 \delta_{ij}

where ``F(y) = f(y) + sigma^2 (12 J4 y + 3 J3)`` is the mean of f after the step. With ``raw`` the sums are of the steps
as they were, as in training by descent along sampled gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.threads import one_blas_thread
from spu.emulator.equations.langevin import langevin_of_network
from spu.emulator.runs.langevin_run import Grid, Schedule, run
from spu.studies.learning.noising import Noising, boltzmann, reach
from spu.studies.learning.quadratic import Sums

TOGETHER = 8_000_000
"""States of trajectories that are kept at a time, at most: 64 MB."""

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


def noising_paths(noising: Noising, levels: FloatArray, count: int, seed: int) -> FloatArray:
    """(steps + 1, count, n) states of noising trajectories of units at levels (n,)."""
    n = len(levels)
    network = noising.units(np.zeros(n))
    ramp = np.array([0.0, noising.lowered * noising.duration])
    sizes, _ = noising.steps
    instants = np.concatenate([[0.0], np.cumsum(sizes)])
    instants[np.abs(instants - ramp[1]).argmin()] = ramp[1]
    grid = Grid(instants, np.ones(len(sizes), dtype=np.int64), np.arange(len(instants)), False)
    own = np.broadcast_to(noising.strength * levels, (count, n)).copy()
    found = run(
        langevin_of_network(network),
        grid=grid,
        trajectories=count,
        seed=seed,
        scheme="euler-maruyama",
        start=start_of(noising, levels, count, seed),
        schedule=Schedule(ramp, np.zeros((2, n)), own, np.array([1.0, 0.0])),
        threads=1,
    )
    return found.states


@one_blas_thread()
def sampled(noising: Noising, levels: FloatArray, count: int, seed: int, *, raw: bool = False) -> Sums:
    """Sums of ``count`` trajectories of one image, units at levels (n,); averaged over them."""
    n = len(levels)
    sizes, shares = noising.steps
    group = max(1, TOGETHER // ((len(sizes) + 1) * n))
    if (len(sizes) + 1) * n > 10 * TOGETHER:
        raise UsageError("a trajectory has too many states to be kept: fewer units, a larger step, or expected sums")
    gram, couplings = np.zeros((n, n)), np.zeros((n, n))
    states, biases = np.zeros(n), np.zeros(n)
    h = sizes[:, None, None]
    spread = 2 * h * noising.kT
    for first in range(0, count, group):
        many = min(group, count - first)
        paths = noising_paths(noising, levels, many, seed + first)
        x, after = paths[:-1], paths[1:]
        if raw:
            ends, gap, noise = after, x - after + h * noising.slope(after), 0.0
        else:
            ends = x - h * noising.slope(x) + (h * shares[:, None, None] * noising.strength) * levels
            mean_slope = noising.slope(ends) + spread * (12 * noising.J4 * ends + 3 * noising.J3)
            gap, noise = x - ends + h * mean_slope, float((sizes * 2 * sizes * noising.kT).sum())
        flat = ends.reshape(-1, n)
        gram += (h * ends).reshape(-1, n).T @ flat
        gram[np.diag_indices(n)] += many * noise
        couplings += gap.reshape(-1, n).T @ flat
        states += (h * ends).sum(axis=(0, 1))
        biases += gap.sum(axis=(0, 1))
    gram = (gram + gram.T) / (2 * count)
    return Sums(
        np.empty((n, 0)),
        np.empty(0),
        gram,
        states / count,
        float(sizes.sum()),
        couplings / count,
        biases / count,
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
    return {"noising": asdict(replace(noising))}
