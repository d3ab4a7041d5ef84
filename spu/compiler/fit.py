"""Pass 5: the physical scale, so that every element lies in the hardware's range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spu.errors import Unrealizable
from spu.hardware import Range

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Elements:
    """Elements whose values are a common factor times given numbers: (k,) shares, k names, range."""

    what: str
    unit: str
    names: Sequence[str]
    shares: FloatArray
    range: Range


def fit_scale(nominal: float, groups: Sequence[Elements]) -> float:
    """The factor nearest to ``nominal`` that puts ``factor * share`` in range for all elements.

    Raises
    ------
    Unrealizable
        Naming the two elements that contradict each other, with their values and ranges.
    """
    low, high = 0.0, np.inf
    at_low, at_high, limits, unit, share = "", "", (0.0, np.inf), "", 0.0
    for group in groups:
        allowed, shares = group.range, group.shares
        there = shares > 0
        if not len(shares):
            continue
        if allowed.min > 0 and not there.all():
            check_range(group.what, group.names[int(np.argmin(there))], 0.0, group.unit, allowed)
        if not there.any():
            continue
        if allowed.max <= 0:
            element = f"{group.what} {group.names[int(np.argmax(there))]}"
            raise Unrealizable(
                f"{element} is needed; this hardware has none (its maximum is 0 {group.unit})",
                details={"element": element, "range": [allowed.min, allowed.max]},
            )
        smallest = int(np.argmin(np.where(there, shares, np.inf)))
        largest = int(np.argmax(shares))
        if allowed.min > shares[smallest] * low:
            low, at_low = allowed.min / float(shares[smallest]), f"{group.what} {group.names[smallest]}"
        if allowed.max < shares[largest] * high:
            share, unit = float(shares[largest]), group.unit
            high, limits = allowed.max / share, (allowed.min, allowed.max)
            at_high = f"{group.what} {group.names[largest]}"
    if low > high * (1 + 1e-12):
        raise _out_of_range(at_high, share * low, unit, limits, f" when {at_low} is at its minimum")
    return float(min(max(nominal, low), high))


def _out_of_range(element: str, value: float, unit: str, limits: tuple[float, float], when: str = "") -> Unrealizable:
    return Unrealizable(
        f"{element} would be {value:.4g} {unit}{when}, outside its range {limits[0]:.4g} to {limits[1]:.4g} {unit}",
        details={"element": element, "value": value, "range": list(limits), "unit": unit},
    )


def check_range(what: str, name: str, value: float, unit: str, allowed: Range) -> None:
    """Refuse a single value outside its range."""
    if not allowed.min <= value <= allowed.max:
        raise _out_of_range(f"{what} {name}", value, unit, (allowed.min, allowed.max))
