"""How far values of parts are from what they are made for: the mismatch of each element, drawn from a seed.

Every physical element has a relative error of its own, normal about zero, with the standard deviation that the
hardware states for its quantity (``[tolerance.cell]``, ``[tolerance.coupler]``, ``[tolerance.input]``). A draw hangs on
the seed, on the quantity and on where the element stands among all that the hardware could have there, not on what
else a device uses: the coupler of two cells is the same part whatever other cells are coupled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any
from zlib import crc32

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, KeyFault
from spu.base.names import shorten, suggest
from spu.device.quantities import PARTS

__all__ = ["INPUTS", "LARGEST", "Tolerance", "errors", "tolerance_from_dict"]

LARGEST = 0.2
"""The largest standard deviation: five of them still leave every value its sign."""

INPUTS = ("transconductance",)
"""Quantities of ``input``: what turns the voltage of a pixel's line into a current into a cell."""


def _known(part: str) -> tuple[str, ...]:
    return INPUTS if part == "input" else tuple(PARTS[part])


@dataclass(frozen=True)
class Tolerance:
    """Standard deviations of the relative errors of elements, by quantity; none where none is stated.

    Parameters
    ----------
    cell, coupler, input:
        ``{quantity: standard deviation}``. A polynomial quantity is one element: its coefficients err together. A
        reciprocal pair of transconductors is two elements, so that it becomes slightly non-reciprocal.

    Raises
    ------
    InputError
        For an unknown quantity, or a number that is not from 0 to `LARGEST`.
    """

    cell: Mapping[str, float] = field(default_factory=dict)
    coupler: Mapping[str, float] = field(default_factory=dict)
    input: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("cell", "coupler", "input"):
            given = getattr(self, part)
            if not isinstance(given, Mapping):
                raise KeyFault(f"tolerance.{part} is {shorten(given)}: it must be a table of quantities", part)
            found = {}
            for quantity, sigma in given.items():
                if quantity not in _known(part):
                    message = f"tolerance.{part} has no quantity {shorten(quantity)}; {suggest(quantity, _known(part))}"
                    raise KeyFault(message, part, str(quantity))
                found[quantity] = checked_sigma(sigma, f"tolerance.{part}.{quantity}", part, quantity)
            object.__setattr__(self, part, found)

    def __bool__(self) -> bool:
        return any(sigma for part in (self.cell, self.coupler, self.input) for sigma in part.values())

    def to_dict(self) -> dict[str, dict[str, float]]:
        """The tables that are given, as hardware files hold them."""
        return {part: dict(getattr(self, part)) for part in ("cell", "coupler", "input") if getattr(self, part)}


def checked_sigma(sigma: object, what: str, *path: str) -> float:
    """A standard deviation of a relative error."""
    if isinstance(sigma, bool) or not isinstance(sigma, Real) or not 0 <= float(sigma) <= LARGEST:
        raise KeyFault(
            f"{what} is {shorten(sigma)}: it must be a relative standard deviation from 0 to {LARGEST:g}", *path
        )
    return float(sigma)


def tolerance_from_dict(table: Any) -> Tolerance:
    """Make it of the table ``[tolerance]`` of a hardware file.

    Raises
    ------
    InputError
        As `Tolerance`, or for a table that is none of its own.
    """
    if not isinstance(table, Mapping):
        raise KeyFault(f"tolerance is {shorten(table)}: it must have the tables cell, coupler, input")
    for key in table:
        if key not in ("cell", "coupler", "input"):
            raise KeyFault(
                f"unknown key {shorten(key)} in [tolerance]; {suggest(key, ('cell', 'coupler', 'input'))}", str(key)
            )
    return Tolerance(**table)


def errors(sigma: float, seed: int, element: str, shape: tuple[int, ...]) -> FloatArray:
    """Relative errors of all elements of a kind that hardware could have, normal about zero.

    Parameters
    ----------
    sigma:
        Their standard deviation.
    seed:
        Of the board, 0 or more.
    element:
        Its kind, as ``coupler.transconductance``.
    shape:
        (n,) one a cell, (n, n) one for each ordered pair of cells (what acts on the first from the second), (n, m) one
        for each cell and line.
    """
    if not sigma:
        return np.zeros(shape)
    return sigma * np.random.default_rng([seed, crc32(element.encode())]).standard_normal(shape)


def checked_draw(seed: object, what: str = "seed") -> int:
    """The number of a board: a whole one, 0 or more."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise InputError(f"{what} is {shorten(seed)}: it must be a whole number from 0 to 2^63 - 1")
    return int(seed)
