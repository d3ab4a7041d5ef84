"""Choices among computed numbers that come out alike on every processor.

Linear algebra libraries, and the same one on two processors, differ in the last bits of what they compute. A
choice made by these bits (the largest of entries that are equal by symmetry, the nearest of two codes at the same
distance, whether a difference that should vanish does) is another one elsewhere. Here each is made by a rule with
a tolerance: what differs by less is equal, and of equals the first one is taken.

A tolerance has an edge, too, but one where nothing lies on purpose: what is equal in exact arithmetic is apart by
rounding, far below, and what is not is apart by more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, IntArray

__all__ = [
    "HALF",
    "ROUNDING",
    "TOLERANCE",
    "clearly_less",
    "first_largest",
    "first_smallest",
    "nearest_integers",
    "stable_order",
    "without_rounding",
]


TOLERANCE = 1e-9
"""Relative: numbers closer than this are equal."""

ROUNDING = 1e-12
"""Relative to the largest beside them: entries that dense linear algebra made are zero below this."""

HALF = 1e-6
"""Of a step: a value so close to the middle of two codes is in the middle."""


def first_smallest(values: ArrayLike, scale: float | None = None) -> int:
    """Index of the first of the smallest of (k,) values; ``scale`` is what the tolerance refers to, or their size."""
    x = np.asarray(values, dtype=np.float64)
    finite = np.abs(x[np.isfinite(x)])
    size = (float(finite.max()) if finite.size else 0.0) if scale is None else abs(scale)
    return int(np.flatnonzero(x <= x.min() + TOLERANCE * size)[0])


def first_largest(values: ArrayLike, scale: float | None = None) -> int:
    """Index of the first of the largest of (k,) values; as `first_smallest`."""
    return first_smallest(-np.asarray(values, dtype=np.float64), scale)


def stable_order(values: ArrayLike, scale: float | None = None) -> IntArray:
    """Indices that sort (k,) values, equal ones in the order in which they come.

    Values are equal that are joined by steps below the tolerance. Infinite ones come last.
    """
    x = np.asarray(values, dtype=np.float64)
    rough = np.argsort(x, kind="stable")
    finite = np.abs(x[np.isfinite(x)])
    size = (float(finite.max()) if finite.size else 0.0) if scale is None else scale
    with np.errstate(invalid="ignore"):
        steps = np.diff(x[rough]) > TOLERANCE * size  # NaN between two infinite ones: equal
    group = np.empty(len(x), dtype=np.int64)
    group[rough] = np.concatenate([[0], np.cumsum(steps)])[: len(x)]
    return np.argsort(group, kind="stable")


def clearly_less(a: float, b: float, scale: float = 0.0) -> bool:
    """Whether ``a`` is below ``b`` by more than the tolerance, of ``b`` and of ``scale``."""
    return bool(a < b - TOLERANCE * (abs(b) + scale)) if np.isfinite(b) else bool(a < b)


def nearest_integers(values: ArrayLike) -> FloatArray:
    """Nearest integers of numbers of any shape, as floats; of two equally near ones that closer to zero."""
    x = np.asarray(values, dtype=np.float64)
    return np.copysign(np.ceil(np.maximum(np.abs(x) - 0.5 - HALF, -0.0)), x) + 0.0


def without_rounding(sums: ArrayLike, sizes: ArrayLike, terms: int) -> FloatArray:
    """Sums of so many terms, of any shape, with zeros where they are within rounding of it; ``sizes`` without signs."""
    x = np.asarray(sums, dtype=np.float64)
    return np.where(np.abs(x) > 4.0 * terms * np.finfo(float).eps * np.asarray(sizes), x, 0.0)
