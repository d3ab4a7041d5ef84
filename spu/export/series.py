"""Preferred values: the E series of IEC 60063."""

from __future__ import annotations

import math
from functools import cache

from spu.base.errors import OptionError
from spu.base.names import shorten, suggest

_E24 = (10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91)

SERIES = ("E3", "E6", "E12", "E24", "E48", "E96", "E192")
"""Their names, from few values a decade to many."""


@cache
def decade(series: str) -> tuple[float, ...]:
    """The values of a series from 1 to below 10.

    Those of E3 to E24 are a table, every eighth, fourth, second or each of it. Those of E48 to E192 are powers of ten
    rounded to three digits, 9.20 of E192 excepted, which is 9.19 rounded.

    Raises
    ------
    OptionError
        For a series that is none.
    """
    if series not in SERIES:
        raise OptionError("series", f"{shorten(series)}; {suggest(str(series), SERIES)}")
    count = int(series[1:])
    if count <= 24:
        return tuple(value / 10 for value in _E24[:: 24 // count])
    found = [round(10 ** (2 + k / count)) for k in range(count)]
    return tuple((920 if value == 919 else value) / 100 for value in found)


def nearest(value: float, series: str) -> float:
    """The value of a series with the least relative deviation from a positive one; the smaller of two."""
    exponent = math.floor(math.log10(value))
    steps = decade(series)
    near = [
        float(f"{step * 10.0**shift:.3g}e{exponent}")
        for shift in (-1, 0, 1)
        for step in (steps[0], steps[-1], *(steps if shift == 0 else ()))
    ]
    return min(sorted(near), key=lambda each: abs(each / value - 1))
