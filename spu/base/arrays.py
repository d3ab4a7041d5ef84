"""Types of arrays, as signatures name them, and what they hold at a time.

Public names say the shape beside the type: ``Annotated[FloatArray, "p p"]`` is a (p, p) array of doubles. What stands
in the quotes is jaxtyping's notation: names and numbers of dimensions, the same name the same length wherever it
stands in one call or one object; ``*s p`` has any dimensions before the last. ``tests/test_shapes.py`` holds arguments,
results and attributes against it, with jaxtyping itself.

`typing.Annotated` it is, not ``jaxtyping.Float``, which means just that to a type checker: it costs no import and no
dependency, keeps the type of the numbers, and is the same for what may be sparse (`Matrix`) or any array_like. (To a
user without jaxtyping all our arrays would be of type Any.)

Dimensions, unless a docstring says otherwise: ``p`` variables, ``n`` cells (of a problem: its variables), ``m``
couplers or instants, ``k`` readouts in time, ``l`` lags, ``f`` frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

IntArray = NDArray[np.int64]

ComplexArray = NDArray[np.complex128]

AnyMatrix = FloatArray | sp.csr_array

Matrix = FloatArray | sp.csr_array


def snapshot(given: Any) -> tuple[Any, ...]:
    """What an array, or a dictionary of arrays, holds now: equal to that of another only if not one bit differs."""
    if isinstance(given, Mapping):
        return tuple((key, snapshot(array)) for key, array in given.items())
    array = np.asarray(given)
    return array.dtype.str, array.shape, array.tobytes()


class Bits:
    """An array, equal to another one only if not one bit differs; nothing of it is copied."""

    __slots__ = ("array",)
    __hash__ = None  # type: ignore[assignment]  # what it holds may change

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bits):
            return NotImplemented
        a, b = self.array, other.array
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype.itemsize != 8:
            return a.tobytes() == b.tobytes()
        a, b = (np.ascontiguousarray(each).view(np.uint64) for each in (a, b))
        return bool((a == b).all())


def frozen(state: Any) -> Any:
    """A tuple, of tuples and so on, with copies of the arrays that `Bits` in it hold."""
    if isinstance(state, tuple):
        return tuple(map(frozen, state))
    return Bits(np.array(state.array)) if isinstance(state, Bits) else state


def shape_of(value: Any) -> tuple[int, ...]:
    """Of whatever somebody may pass for an array; empty of what has none, such as rows of several lengths."""
    found = getattr(value, "shape", None)
    if found is None:
        try:
            found = np.shape(value)
        except (ValueError, TypeError):
            return ()
    return tuple(found)
