"""Many boards drawn, and numbers of each: in pieces, which a study keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from spu.base.arguments import whole
from spu.base.arrays import FloatArray
from spu.base.errors import OptionError
from spu.base.files import plain
from spu.base.names import shorten, suggest
from spu.device.device import Device
from spu.device.tolerance import Tolerance
from spu.device.variation import METHODS, Elements, draw_factors, elements_of
from spu.studies.campaign import Study, seed_of_piece
from spu.studies.yields.boards import Boards
from spu.studies.yields.metrics import Metric

__all__ = ["HYPERCUBES", "Plan", "about", "checked_plan", "sampled"]

HYPERCUBES = 20
"""Latin hypercubes are drawn so many times, each of its own: their scatter says how much they tell."""

_PIECES, _LEAST, _MOST = 40, 250, 20_000
"""Pieces that plain boards are done in, and how many boards a piece has."""

_AT_ONCE = 4096
"""Boards whose laws are in memory together."""


@dataclass(frozen=True)
class Plan:
    """Which boards are drawn.

    Attributes
    ----------
    draws, seed, method:
        How many, of what seed, and how (`spu.device.variation.METHODS`). Plain board k is row k of
        `spu.draw_factors`; of a Latin hypercube, one of `HYPERCUBES` with seeds of their own.
    """

    draws: int
    seed: int
    method: str

    @property
    def items(self) -> list[dict[str, Any]]:
        """Pieces: the first board's number, how many, and the seed they are drawn of."""
        if self.method == "latin":
            size = self.draws // HYPERCUBES
            return [
                {"first": 0, "count": size, "seed": seed_of_piece(self.seed, number)} for number in range(HYPERCUBES)
            ]
        size = min(max(-(-self.draws // _PIECES), _LEAST), _MOST)
        return [
            {"first": first, "count": min(size, self.draws - first), "seed": self.seed}
            for first in range(0, self.draws, size)
        ]

    def factors(self, elements: Elements, tolerance: Tolerance, numbers: Sequence[int]) -> Annotated[FloatArray, "k e"]:
        """(k, e) of boards by number."""
        found = np.empty((len(numbers), len(elements)))
        for k, number in enumerate(numbers):
            if self.method == "latin":
                cube, row = divmod(int(number), self.draws // HYPERCUBES)
                item = self.items[cube]
                found[k] = draw_factors(elements, tolerance, item["count"], item["seed"], self.method)[row]
            else:
                found[k] = draw_factors(elements, tolerance, 1, self.seed, first=int(number))[0]
        return found


def checked_plan(draws: object, seed: int, method: object) -> Plan:
    """A plan out of what somebody gave.

    Raises
    ------
    OptionError
        For a method that is none, or numbers of boards that it does not take.
    """
    if method not in METHODS:
        raise OptionError("method", f"is {shorten(method)}; {suggest(str(method), METHODS)}")
    count = whole("draws", draws) or 0  # type: ignore[arg-type]
    if count < 1:
        raise OptionError("draws", f"is {shorten(draws)}: it must be 1 or more")
    if method == "latin" and (count % HYPERCUBES or count < 2 * HYPERCUBES):
        raise OptionError(
            "draws",
            f"is {count}: {HYPERCUBES} hypercubes are drawn, so that it must be a multiple of that, twice at least",
        )
    return Plan(count, seed, str(method))


def about(device: Device, tolerance: Tolerance, metrics: Sequence[Metric], plan: Plan) -> dict[str, Any]:
    """What determines the numbers, as a study's spec."""
    posed = None if device.problem is None else json.dumps(plain(device.problem.to_dict()))
    return {
        "device": device.hash,
        "problem": None if posed is None else hashlib.sha256(posed.encode()).hexdigest(),
        "tolerance": tolerance.to_dict(),
        "metrics": [metric.name for metric in metrics],
        "draws": plan.draws,
        "seed": plan.seed,
        "method": plan.method,
    }


def sampled(
    study: Study,
    device: Device,
    tolerance: Tolerance,
    metrics: Sequence[Metric],
    plan: Plan,
    *,
    scale: float = 1.0,
    name: str = "boards",
    said: str | None = "pieces of the sample",
) -> Annotated[FloatArray, "d m"]:
    """Draw boards and find numbers of each.

    Parameters
    ----------
    study:
        Where pieces are done and kept.
    device, tolerance, metrics, plan:
        What is drawn, and what is asked of it.
    scale:
        Factor on all standard deviations: the same boards, nearer to the device or farther from it.
    name, said:
        Of the pieces, as `Study.pieces` takes them.

    Returns
    -------
    (d, m) ndarray
        Not a number of a board that has no law, unless the metric has one.

    Raises
    ------
    InputError
        For a scale by which a standard deviation is too large.
    """
    scaled = tolerance if scale == 1.0 else tolerance.scaled(scale)
    found = study.pieces(name, _measured, plan.items, shared=(device, scaled, tuple(metrics), plan.method), said=said)
    return np.concatenate([np.asarray(piece["values"]) for piece in found])


def _measured(item: Mapping[str, Any], shared: tuple[Device, Tolerance, tuple[Metric, ...], str]) -> dict[str, Any]:
    device, tolerance, metrics, method = shared
    elements = elements_of(device)
    factors = draw_factors(elements, tolerance, item["count"], item["seed"], method, first=item["first"])
    return {"values": measured(device, elements, factors, metrics)}


def measured(
    device: Device, elements: Elements, factors: Annotated[FloatArray, "d e"], metrics: Sequence[Metric]
) -> Annotated[FloatArray, "d m"]:
    """Numbers of boards with these factors."""
    found = np.empty((len(factors), len(metrics)))
    for first in range(0, len(factors), _AT_ONCE):
        boards = Boards(device, elements, factors[first : first + _AT_ONCE])
        for k, metric in enumerate(metrics):
            found[first : first + _AT_ONCE, k] = metric.values(boards)
    return found
