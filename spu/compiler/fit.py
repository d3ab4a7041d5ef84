"""Pass 5: the physical scale, so that every element lies in the hardware's range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.choice import TOLERANCE, first_largest, first_smallest
from spu.base.errors import Unrealizable
from spu.device.hardware import Range

SLACK = 1e-10
"""Relative: how far outside a range a value is in it, as values computed to lie on its edge are somewhere there."""


def beyond(values: FloatArray, allowed: Range) -> NDArray[np.bool_]:
    """Which of (k,) values lie outside a range; those that are not there (NaN) do not."""
    low, high = allowed.min, allowed.max
    return (values < low - SLACK * abs(low)) | (values > high + SLACK * abs(high))


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
        least, most = float(shares[there].min()), float(shares.max())
        if allowed.min > least * low * (1 + TOLERANCE):
            at_low = f"{group.what} {group.names[first_smallest(np.where(there, shares, np.inf), least)]}"
        if allowed.max < most * high * (1 - TOLERANCE):
            at_high, share, unit = f"{group.what} {group.names[first_largest(shares)]}", most, group.unit
            limits = (allowed.min, allowed.max)
        low, high = max(low, allowed.min / least), min(high, allowed.max / most)
    if low > high * (1 + SLACK):
        raise _out_of_range(at_high, share * low, unit, limits, f" when {at_low} is at its minimum")
    return float(min(max(nominal, low), high))


def _out_of_range(element: str, value: float, unit: str, limits: tuple[float, float], when: str = "") -> Unrealizable:
    return Unrealizable(
        f"{element} would be {value:.4g} {unit}{when}, outside its range {limits[0]:.4g} to {limits[1]:.4g} {unit}",
        details={"element": element, "value": value, "range": list(limits), "unit": unit},
    )


def check_range(what: str, name: str, value: float, unit: str, allowed: Range) -> None:
    """Refuse a single value outside its range."""
    if beyond(np.array([value]), allowed).any():
        raise _out_of_range(f"{what} {name}", value, unit, (allowed.min, allowed.max))
