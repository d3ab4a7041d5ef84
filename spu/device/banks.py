"""Quantised components: a bank of switched units whose value is ``offset + lsb * code``.

A bank is described in a hardware file and again in the device file that holds its codes, so that a
device file says alone what a board was set to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spu.base.choice import nearest_integers
from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.device.quantities import signed

__all__ = ["BANK_KEYS", "CODINGS", "MOST_BITS", "Bank", "bank_from_dict"]

CODINGS = ("binary", "thermometer")

BANK_KEYS = ("bits", "lsb", "offset", "coding")

MOST_BITS = 24


@dataclass(frozen=True)
class Bank:
    """A bank of ``2^bits - 1`` units, binary-weighted or in a thermometer code.

    Parameters
    ----------
    bits:
        Of the magnitude; a signed bank has its sign bit besides.
    lsb:
        Value of one unit, SI.
    offset:
        Value at code 0, SI; with an offset of zero, code 0 means that the part is not there.
    coding:
        How units are switched, one of `CODINGS`. Ideal units give either the same values.
    signed:
        Whether codes go from ``-(2^bits - 1)`` instead of 0.

    Raises
    ------
    InputError
        For no bits or too many, an LSB that is not positive, an offset that is not finite (or, of an
        unsigned bank, negative), or an unknown coding.
    """

    bits: int
    lsb: float
    offset: float = 0.0
    coding: str = "binary"
    signed: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= MOST_BITS:
            raise InputError(f"bits is {shorten(self.bits)}: it must be a whole number from 1 to {MOST_BITS}")
        for key in ("lsb", "offset"):
            value = getattr(self, key)
            object.__setattr__(self, key, _finite(value, key))
        if not self.lsb > 0:
            raise InputError(f"lsb is {self.lsb:g}: it must be positive")
        if not self.signed and self.offset < 0:
            raise InputError(f"offset is {self.offset:g}: it must be 0 or more")
        if self.coding not in CODINGS:
            raise InputError(f"unknown coding {shorten(self.coding)}; {suggest(self.coding, CODINGS)}")
        if not all(map(math.isfinite, self.limits)):
            raise InputError(f"lsb is {self.lsb:g}: {self.bits} bits of it are beyond any floating-point number")

    @property
    def most(self) -> int:
        """The largest code."""
        return 2**self.bits - 1

    @property
    def least(self) -> int:
        """The smallest code."""
        return -self.most if self.signed else 0

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value, SI."""
        return self.offset + self.lsb * self.least, self.offset + self.lsb * self.most

    def values(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Values of codes, SI; of any shape."""
        return np.asarray(self.offset + self.lsb * np.asarray(codes, dtype=np.float64))

    def nearest(self, values: ArrayLike) -> NDArray[np.int64]:
        """Codes of the nearest values, the smaller of two equally near ones; of any shape."""
        codes = nearest_integers((np.asarray(values, dtype=np.float64) - self.offset) / self.lsb)
        return np.clip(codes, self.least, self.most).astype(np.int64)

    def within(self, low: float, high: float) -> tuple[int, int]:
        """Smallest and largest code with a value from ``low`` to ``high``; the first above the second if none has."""
        slack = 1e-9  # of a step: limits are written in decimal
        # Cut before they are whole numbers: quotients may be infinite.
        first = min(max((low - self.offset) / self.lsb - slack, self.least), self.most + 1)
        last = max(min((high - self.offset) / self.lsb + slack, self.most), self.least - 1)
        return math.ceil(first), math.floor(last)

    def check_code(self, code: object, where: str, file: str | None = None, line: int | None = None) -> int:
        """Refuse a code that is no whole number or beyond the bank; ``where`` names the element."""
        if isinstance(code, bool) or not isinstance(code, (int, np.integer)):
            raise InputError(f"{where}: a code must be a whole number, not {shorten(code)}", file=file, line=line)
        if not self.least <= code <= self.most:
            message = f"{where}: code {code} is out of range: {self.bits} bits take {self.least} to {self.most}"
            raise InputError(message, file=file, line=line)
        return int(code)

    def to_dict(self) -> dict[str, Any]:
        """The bank as hardware and device files spell it."""
        return {key: getattr(self, key) for key in BANK_KEYS}


def _finite(value: object, key: str) -> float:
    if not isinstance(value, bool) and isinstance(value, Real):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond any float
            number = math.inf
        if math.isfinite(number):
            return number
    raise InputError(f"{key} is {shorten(value)}: it must be a finite number")


def bank_from_dict(data: Mapping[str, Any], quantity: str, where: str = "", file: str | None = None) -> Bank:
    """Make a bank of its keys in a hardware or device file; that of a quantity of either sign has a sign bit.

    Raises
    ------
    InputError
        As `Bank`, or for a key that is unknown or missing; ``where`` stands before the message.
    """
    try:
        if not isinstance(data, Mapping):
            raise InputError(f"a bank must be a table of {', '.join(BANK_KEYS)}, not {shorten(data)}")
        for key in data:
            if key not in BANK_KEYS:
                raise InputError(f"unknown key {shorten(key)} of a bank; {suggest(key, BANK_KEYS)}")
        for key in ("bits", "lsb"):
            if key not in data:
                raise InputError(f"a bank needs bits and lsb; there is no {key}")
        return Bank(**data, signed=signed(quantity))
    except InputError as error:
        raise InputError(where + error.message, file=file) from None
