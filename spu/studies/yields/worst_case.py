"""Worst-case distance: how many standard deviations from the device to the nearest board at the limit.

In the space of independent normal variables (`spu.studies.yields.spread.Variables`) the nearest point at which the
metric is at its limit, ``min |z|`` with ``metric(z) = limit``: its distance beta and its direction (Hasofer and Lind,
Journal of the Engineering Mechanics Division ASCE 100, 111, 1974; Antreich, Graeb and Wieser, IEEE Transactions on
Computer-Aided Design 13, 57, 1994). Along a direction the limit is found on the exact metric; the slope there gives the
next direction, which is taken as far as it brings the limit nearer. A norm has no slope at the origin: there one begins
along the directions that make most of it, to both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from scipy.optimize import brentq

from spu.base.arrays import FloatArray
from spu.device.device import Device
from spu.studies.yields.boards import Boards
from spu.studies.yields.metrics import Metric, Norm, value_of
from spu.studies.yields.slopes import derivatives, differences
from spu.studies.yields.spread import Variables

__all__ = ["FARTHEST", "WorstCase", "worst_case"]

FARTHEST = 8.0
"""Standard deviations up to which the limit is looked for: beyond are boards that nobody makes."""

_STARTS, _STEPS, _GRID, _FEW = 3, 40, 33, 9


@dataclass(frozen=True, eq=False)
class WorstCase:
    """The nearest board at the limit.

    Attributes
    ----------
    distance:
        Standard deviations; less than zero where the device itself misses the limit. None where no board up to
        `FARTHEST` is at it.
    direction:
        (v,) names and coordinates of it, standard deviations each, the largest first; those that are next to nothing
        left out.
    limit:
        Which one it is.
    factors:
        (e,) of that board; None likewise.
    settled:
        Whether the direction is that of the slope there, to 1e-4: it is the nearest one around, then.
    """

    distance: float | None
    direction: tuple[tuple[str, float], ...]
    limit: float
    factors: Annotated[FloatArray, "e"] | None
    settled: bool

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        direction = [{"element": name, "sigmas": sigmas} for name, sigmas in self.direction]
        return {"distance": self.distance, "limit": self.limit, "direction": direction, "settled": self.settled}


class _Search:
    def __init__(self, device: Device, metric: Metric, variables: Variables, limit: float) -> None:
        self.device, self.metric, self.variables, self.limit = device, metric, variables, limit

    def gap(self, points: FloatArray) -> FloatArray:
        """(d,) metric less limit at points (d, v); not a number where there is no law."""
        factors = self.variables.factors(points)
        return np.asarray(self.metric.values(Boards(self.device, self.variables.elements, factors)) - self.limit)

    def slope(self, point: FloatArray) -> FloatArray:
        """(v,) of the metric."""
        factors = self.variables.factors(point[None])[0]
        by_element = derivatives(self.device, self.metric, self.variables, factors)
        return np.asarray(self.variables.slopes(point) @ by_element)

    def starts(self, side: float) -> list[FloatArray]:
        """Directions to begin with."""
        here = np.ones(len(self.variables.elements))
        if not isinstance(self.metric, Norm):
            slope = side * self.slope(np.zeros(len(self.variables)))
            return [_unit(slope)] if np.isfinite(slope).all() and slope.any() else []
        by_variable = self.variables.sigmas @ differences(self.device, self.variables, here, self.metric.residuals)
        values, vectors = np.linalg.eigh(by_variable @ by_variable.T)
        last = [k for k in range(1, min(_STARTS, len(values)) + 1) if values[-k] > 1e-12 * values[-1]]
        return [sign * vectors[:, -k] for k in last for sign in (1.0, -1.0)]

    def reach(self, direction: FloatArray, side: float, most: float, points: int) -> float | None:
        """How far along a direction the limit is, up to so far, looked at so many points; None where not reached.

        A board without law is beyond any limit.
        """
        grid = np.linspace(0.0, most, points)
        gaps = side * self.gap(grid[:, None] * direction)
        beyond = np.flatnonzero((gaps >= 0) | np.isnan(gaps))
        if not len(beyond) or beyond[0] == 0:
            return None
        low, high = float(grid[beyond[0] - 1]), float(grid[beyond[0]])
        while np.isnan(self.gap(high * direction[None])[0]):
            middle = (low + high) / 2
            gap = side * self.gap(middle * direction[None])[0]
            if np.isnan(gap) or gap >= 0:
                high = middle
            else:
                low = middle
            if high - low < 1e-9:  # the limit is where there is a law no more
                return low
        return float(brentq(lambda t: float(self.gap(t * direction[None])[0]), low, high, xtol=1e-11, rtol=1e-11))

    def nearest(self, direction: FloatArray, side: float) -> tuple[float, FloatArray, bool] | None:
        """From a direction on to the nearest one around: its distance, itself, whether it is settled."""
        reached = self.reach(direction, side, FARTHEST, _GRID)
        if reached is None:
            return None
        for _ in range(_STEPS):
            slope = side * self.slope(reached * direction)
            if not np.isfinite(slope).all() or not slope.any():
                return reached, direction, False
            wanted = _unit(slope)
            turn = float(np.linalg.norm(wanted - direction))
            if turn < 1e-5:
                return reached, direction, True
            better = self._better(direction, wanted, reached, side)
            if better is None:
                return reached, direction, turn < 1e-4
            gained = reached - better[0]
            reached, direction = better
            if gained < 1e-10 * reached:
                return reached, direction, turn < 1e-4
        return reached, direction, False

    def _better(
        self, direction: FloatArray, wanted: FloatArray, reached: float, side: float
    ) -> tuple[float, FloatArray] | None:
        part = 1.0
        while part > 1e-3:
            tried = _unit(direction + part * (wanted - direction))
            found = self.reach(tried, side, 1.02 * reached, _FEW)
            if found is not None and found < reached:
                return found, tried
            part /= 2
        return None


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector))


def worst_case(
    device: Device, metric: Metric, variables: Variables, low: float | None, high: float | None
) -> WorstCase:
    """The nearest board at a limit of a metric; of two limits at the nearer one.

    Parameters
    ----------
    low, high:
        Limits, V or whatever the metric's unit is; not both None.
    """
    nominal = value_of(device, metric)
    inside = (low is None or nominal >= low) and (high is None or nominal <= high)
    limits = [limit for limit in (low, high) if limit is not None]
    if not inside:  # the one that is missed
        limits = [limit for limit in limits if (nominal < limit) == (limit == low)]
    best: tuple[float, FloatArray, bool, float] | None = None
    for limit in limits:
        search = _Search(device, metric, variables, limit)
        side = 1.0 if nominal <= limit else -1.0
        for start in search.starts(side):
            found = search.nearest(start, side)
            if found is not None and (best is None or found[0] < best[0]):
                best = (*found, limit)
    if best is None:
        return WorstCase(None, (), limits[0], None, True)
    distance, direction, settled, limit = best
    point = distance * direction
    order = np.argsort(-np.abs(point), kind="stable")
    named = tuple((variables.names[k], float(point[k])) for k in order.tolist() if abs(point[k]) > 1e-3 * distance)
    factors = variables.factors(point[None])[0]
    return WorstCase(distance if inside else -distance, named, limit, factors, settled)
