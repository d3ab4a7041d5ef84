"""How voltages become variables: ``x = T v + o``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, snapshot
from spu.base.errors import InputError
from spu.base.names import check_names
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

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> device.readout.variables, device.readout.matrix.shape
    (('x1', 'x2'), (2, 2))
    """

    variables: tuple[str, ...]
    matrix: Annotated[sp.csr_array, "p n"]
    offset: Annotated[FloatArray, "p"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", sp.csr_array(canonical(self.matrix)))  # nobody else's object

    def state(self) -> tuple[Any, ...]:
        """All that it is, bit by bit, to be compared."""
        matrix = self.matrix
        return self.variables, *map(snapshot, (matrix.indptr, matrix.indices, matrix.data, self.offset))

    def voltages(self, values: Annotated[FloatArray, "p"]) -> Annotated[FloatArray, "n"]:
        """(n,) V at which the variables have given values (p,): the least ones, where there are several.

        So cells that are read in pairs get no common voltage.

        Raises
        ------
        InputError
            If no voltages give these values.
        """
        wanted = values - self.offset
        matrix = self.matrix
        if matrix.nnz == len(wanted) == matrix.shape[1] and matrix.diagonal().all():
            return np.asarray(wanted / matrix.diagonal())
        T = matrix.toarray()
        rows = np.abs(T).max(axis=1)
        rows = np.where(rows > 0, rows, 1.0)[:, None]
        found, *_ = np.linalg.lstsq(T / rows, wanted / rows[:, 0], rcond=None)
        if not (np.abs(T @ found - wanted) <= 1e-9 * np.abs(wanted).max(initial=0.0)).all():
            raise InputError("no voltages give these values: the readout's variables depend on one another")
        return np.asarray(found)

    def copy(self) -> Readout:
        """The same with arrays of its own."""
        return Readout(self.variables, self.matrix.copy(), self.offset.copy())


def checked_readout(matrix: ArrayLike | sp.sparray, offset: ArrayLike, variables: Sequence[str], cells: int) -> Readout:
    """A readout of so many cells out of what somebody gave.

    Parameters
    ----------
    matrix, offset, variables:
        As in `Readout`; one number for ``offset`` is that of all variables.
    cells:
        Number of voltages.

    Raises
    ------
    InputError
        For bad names, shapes that do not fit, or numbers that are not finite.
    """
    array = canonical(matrix if sp.issparse(matrix) else np.atleast_2d(np.asarray(matrix, dtype=np.float64)))
    names = tuple(variables)
    check_names(names, "a variable")
    if array.shape != (len(names), cells):
        raise InputError(
            f"the readout matrix is {array.shape[0]}x{array.shape[1]}; {len(names)} variables "
            f"and {cells} cells need {len(names)}x{cells}"
        )
    shift = np.broadcast_to(np.asarray(offset, dtype=np.float64), (len(names),)).copy()
    if not (np.isfinite(array.data).all() and np.isfinite(shift).all()):
        raise InputError("the readout must be finite")
    return Readout(names, array, shift)
