"""Types of arrays, as signatures name them, and what they hold at a time."""

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
