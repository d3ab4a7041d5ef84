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
