"""Arguments of public functions, as numpy's users give them: whole numbers as floats, seeds of all kinds, sizes."""

from __future__ import annotations

import secrets
from typing import cast, get_args

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.errors import OptionError, UsageError
from spu.base.kernels.door import Precision

Seed = int | np.random.Generator | None
"""What a seed may be: see `seed_of`."""


def whole(name: str, value: float | None) -> int | None:
    """A number that counts something, as an int: 1e5 is 100000; None stays.

    Raises
    ------
    UsageError
        If it is no whole number.
    """
    if value is None:
        return None
    try:
        good = not isinstance(value, (bool, str)) and int(value) == value
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise OptionError(name, f"must be a whole number, such as 1000 or 1e5, not {value!r}")
    return int(value)


def is_number(value: object) -> bool:
    """Whether it is a real number, of Python or numpy: neither words nor a truth value."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def positive(name: str, value: float | None) -> float | None:
    """A size, as a float; None stays.

    Raises
    ------
    UsageError
        If it is no number, not positive or not finite.
    """
    if value is None:
        return None
    if not (is_number(value) and 0 < value < np.inf):
        raise OptionError(name, f"must be positive, not {value!r}")
    return float(value)


def numbers(value: ArrayLike, problem: str) -> FloatArray:
    """Numbers in arrays or lists; ``problem`` is what is said where they are none.

    Raises
    ------
    UsageError
        If they are none, or in rows of unequal lengths.
    """
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(problem) from None


def seed_of(seed: Seed, below: int = 2**63) -> int:
    """A seed as the non-negative integer that the noise is made of.

    Parameters
    ----------
    below:
        Where a Generator or chance gives it: less than this.

    Raises
    ------
    UsageError
        If it is none of the three.
    """
    if seed is None:
        return secrets.randbelow(below)
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(below))
    try:
        found = whole("seed", seed)
    except UsageError:
        found = -1
    if found is None or found < 0:
        what = (
            "not be negative"
            if isinstance(seed, (int, float, np.number)) and seed < 0
            else ("be a whole number, a numpy Generator or None")
        )
        raise OptionError("seed", f"must {what}, not {seed!r}")
    return found


def precision_of(value: object) -> Precision:
    """Of the numbers of a run.

    Raises
    ------
    UsageError
        If it is neither of the two.
    """
    if not (isinstance(value, str) and value in get_args(Precision)):
        raise OptionError("precision", f"is {' or '.join(get_args(Precision))}, not {value!r}")
    return cast(Precision, value)


SIMULATORS_SEEDS = 2**31 - 2
"""Below this any seed is one of its own to circuit simulators, which hold it, plus one, in 32 bits."""
