"""Types of arrays, as signatures name them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

IntArray = NDArray[np.int64]

ComplexArray = NDArray[np.complex128]

AnyMatrix = FloatArray | sp.csr_array

Matrix = FloatArray | sp.csr_array
