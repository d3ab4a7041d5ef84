"""How voltages become variables: ``x = T v + o``."""

from __future__ import annotations

from dataclasses import dataclass

import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.sparse import canonical


@dataclass(frozen=True, eq=False)
class Readout:
    """The affine map from cell voltages to problem variables, ``x = matrix @ v + offset``.

    Attributes
    ----------
    variables:
        p names.
    matrix:
        (p, n) `scipy.sparse.csr_array`, made of whatever dense or sparse matrix is given: problem
        units per volt. Polarity and scaling are its entries.
    offset:
        (p,), problem units.
    """

    variables: tuple[str, ...]
    matrix: sp.csr_array
    offset: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", canonical(self.matrix))
