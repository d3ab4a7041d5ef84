"""The logarithm of a determinant, as the difference of two free energies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from spu.base.arrays import AnyMatrix, FloatArray, shape_of
from spu.base.errors import InputError
from spu.base.labels import take_names
from spu.problems.answers import COVARIANCE
from spu.problems.definite import definite
from spu.problems.kinds import Kind, register
from spu.problems.problem import QuadraticProblem

__all__ = ["Determinant"]

MOST = 512
"""Variables: the work of a ramp is worked out with whole matrices."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Determinant(QuadraticProblem):
    r"""Find :math:`\ln\det A` of a symmetric positive definite matrix, by the work of raising its couplers.

    The device that it is compiled to has a ramp (`spu.Ramp`) of its couplers from 0 to 1: from the own parts of its
    cells alone, whose determinant is their product, to the whole matrix. `spu.log_determinant` runs it, forward and
    backward. At the end of the ramp the device samples :math:`N(0, A^{-1})`: that is what `spu.predict`,
    `spu.simulate` and `spu.check` compare.

    Parameters
    ----------
    matrix : (n, n) array_like
        A; symmetric to 1e-10 relative, positive definite, of at most 512 rows.
    variables : sequence of str, optional
        Names; if None those of a DataFrame or DataArray, else ``x1`` to ``xn``.

    Raises
    ------
    InputError
        If anything is not as said above.

    Examples
    --------
    >>> import spu
    >>> problem = spu.Determinant([[4.0, 1.0], [1.0, 3.0]])
    >>> round(problem.log_determinant, 4)
    2.3979
    >>> device = spu.compile(problem)
    >>> device.ramp.start, device.ramp.end
    ((0.0, 1.0), (1.0, 1.0))
    """

    matrix: Annotated[FloatArray, "n n"]
    variables: tuple[str, ...]

    task: ClassVar[str] = "determinant"
    ramped: ClassVar[bool] = True

    def __init__(self, matrix: Annotated[AnyMatrix, "n n"] | Any, variables: Iterable[str] | None = None) -> None:
        variables, _ = take_names(variables, ("the matrix", matrix))
        shape = shape_of(matrix)
        if len(shape) == 2 and max(shape) > MOST:
            raise InputError(f"the matrix has {max(shape)} rows: the work of a ramp is worked out for at most {MOST}")
        given = definite(matrix, "the matrix", variables)
        self._set_definite(given)
        self._set(target_mean=np.zeros(len(given.variables)))

    @property
    def log_determinant(self) -> float:
        """The exact one, by Cholesky's factors."""
        return float(np.linalg.slogdet(self.matrix)[1])


register(
    Kind(
        "determinant",
        Determinant,
        COVARIANCE,
        "find the logarithm of a determinant",
        "finds ln det A by the work of its couplers' ramp, and samples N(0, A^-1) at its end, with this matrix A",
        "Matrix A",
    )
)
