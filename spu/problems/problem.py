r"""What to compute: what all problems have, and what those share that a quadratic energy poses.

A Gaussian to sample, a matrix to invert, a linear system to solve: all three come down to one symmetric
positive definite matrix :math:`A` and one right-hand side :math:`b`: a device in thermal equilibrium at
the energy :math:`\tfrac12 x^T A x - b^T x` samples :math:`x \sim N(A^{-1} b, A^{-1})`. The
tasks differ in what is given and in which moment is the answer.

A matrix given as sparse and with more than `DENSE_SIZE` rows stays sparse; nothing of its size
squared is ever made.
"""

from __future__ import annotations

from abc import ABC
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import AnyMatrix, FloatArray
from spu.base.choice import without_rounding
from spu.base.sparse import canonical, to_fields
from spu.problems.definite import Definite, SparseDefinite
from spu.problems.kinds import Kind, kind_of

__all__ = ["LinearProblem", "Problem", "QuadraticProblem"]


FORMAT = "spu-problem/1"

_CONDITION_WARNING = 1e6


class Problem(ABC):
    """What every problem has.

    Attributes
    ----------
    task : str
        The name of its kind.
    variables : tuple of str
        Names of the `n` variables.

    Examples
    --------
    >>> import spu
    >>> problem = spu.MatrixInverse([[4.0, 1.0], [1.0, 3.0]])
    >>> isinstance(problem, spu.Problem), problem.task, problem.answer, problem.n
    (True, 'inverse', 'covariance', 2)
    >>> problem.to_dict()["matrix"]
    [[4.0, 1.0], [1.0, 3.0]]
    """

    task: ClassVar[str]
    variables: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """What there is to say of all problems of its task: `spu.problems.kinds`."""
        return kind_of(self.task)

    @property
    def answer(self) -> str:
        """What of the samples answers it, by name: "covariance", "mean" or, of a network, "law"."""
        return self.kind.answer.name

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.variables)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legitimate but will not work well; one sentence each."""
        return ()

    def exact_moments(self) -> tuple[Annotated[FloatArray, "n"], Annotated[AnyMatrix, "n n"]] | None:
        """Mean (n,) and covariance (n, n) of the samples that are asked for; None where they are not known."""
        return None

    def choices(self) -> dict[str, Any]:
        """What was decided in posing it, by name, as ``--json`` prints it; nothing unless a kind says otherwise."""
        return {}

    def facts(self) -> list[tuple[str, str]]:
        """The same for people: labels and texts."""
        return []

    def solution(self, answer: Any) -> Any:
        """What was asked for, of what the samples tell: ``kind.answer`` as it is, unless a kind says otherwise.

        Linear in the answer: standard errors go the same way.
        """
        return answer

    def posed(self) -> dict[str, Any]:
        """`to_dict` with the arrays, dense or sparse, as they are; `problem_from_dict` takes it, too."""
        given = {key: getattr(self, key) for key in self.kind.keys if getattr(self, key) is not None}
        return {"format": FORMAT, "task": self.task, "variables": list(self.variables), **given}

    def to_dict(self) -> dict[str, Any]:
        """Give the problem as it was posed, as a dictionary that JSON can hold.

        `problem_from_dict` restores it bit for bit. A sparse matrix becomes the object
        ``{"shape": [n, n], "indptr": [...], "indices": [...], "data": [...]}``, the fields of a
        compressed sparse row matrix.
        """
        return {key: _plain(value) for key, value in self.posed().items()}


class LinearProblem(Problem):
    """What a linear device answers: a Gaussian law is asked for, in equilibrium or not.

    Attributes
    ----------
    matrix : ndarray or csr_array
        The one that is given.
    target_mean : (n,) ndarray
        Mean of the samples.
    target_covariance : (n, n) ndarray or csr_array
        Their covariance, exactly symmetric.
    condition : float
        Of the matrix that is given, in the 2-norm.
    lag : float or None
        What lies between the two readings of a lagged covariance, in units of the problem's time (a device keeps how
        long that is, in ``scales.time``); None unless the answer is one.
    target_lagged : (n, n) ndarray or None
        ``E[x(t + lag) x(t)^T]`` about the mean; None where there is no lag.

    All arrays are float64 and read-only.
    """

    ramped: ClassVar[bool] = False
    """Whether its device gets a ramp of its couplers from 0 to 1."""

    matrix: Annotated[AnyMatrix, "k l"]
    target_mean: Annotated[FloatArray, "n"]
    condition: float
    lag: float | None = None
    target_lagged: Annotated[FloatArray, "n n"] | None = None

    if TYPE_CHECKING:

        @property
        def target_covariance(self) -> Annotated[AnyMatrix, "n n"]:
            """(n, n) covariance."""

    def exact_moments(self) -> tuple[Annotated[FloatArray, "n"], Annotated[AnyMatrix, "n n"]] | None:
        """`target_mean` and `target_covariance`."""
        return self.target_mean, self.target_covariance

    @property
    def sparse(self) -> bool:
        """Whether matrices are sparse: of the covariance only some entries are known."""
        return False

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legitimate but will not work well; one sentence each."""
        if self.condition <= _CONDITION_WARNING:
            return ()
        return (
            f"badly conditioned: condition number {self.condition:.1e}; expect about "
            f"{np.log10(self.condition):.0f} of 16 digits lost and relaxation times spread by that factor",
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={self.n}, condition={self.condition:.3g})"

    def _set(self, **attributes: object) -> None:
        """Assign attributes of a frozen instance under construction; arrays become read-only."""
        for name, value in attributes.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            elif sp.issparse(value):
                cast(Any, value).data.setflags(write=False)
            object.__setattr__(self, name, value)


class QuadraticProblem(LinearProblem):
    """What the tasks of a quadratic energy have in common.

    Attributes
    ----------
    variables : tuple of str
        Names of the `n` variables, in the order of rows and columns.
    matrix : (n, n) ndarray or csr_array
        The precision, or the matrix to invert or solve with; exactly symmetric. A canonical
        `scipy.sparse.csr_array` if it was given sparse and has more than `DENSE_SIZE` rows.
    target_mean : (n,) ndarray
        Mean of the distribution to sample.
    target_covariance : (n, n) ndarray or csr_array
        Its covariance, the inverse of `matrix`; exactly symmetric. For a sparse matrix its entries
        on the pattern of the matrix (variances, and covariances of coupled variables), as a
        csr_array; worked out when first asked for.
    condition : float
        Condition number of `matrix` in the 2-norm; for a sparse one to about three digits.

    All arrays are float64 and read-only.
    """

    _factorised: SparseDefinite | None

    @cached_property
    def target_covariance(self) -> Annotated[AnyMatrix, "n n"]:
        """(n, n) covariance; of a sparse matrix, its entries on the pattern of the matrix."""
        # A dense problem sets the attribute when it is made; only sparse ones get here.
        covariance = cast(SparseDefinite, self._factorised).selected_inverse()
        covariance.data.setflags(write=False)
        self._set(_factorised=None)  # nothing else is asked of the factors, and they are large
        return covariance

    @property
    def right_side(self) -> Annotated[FloatArray, "n"]:
        """(n,) vector b of the energy, ``A target_mean``; entries that are only rounding are zero."""
        A, x = canonical(self.matrix), self.target_mean
        return without_rounding(A @ x, abs(A) @ np.abs(x), self.n)

    @property
    def sparse(self) -> bool:
        """Whether the matrix is sparse."""
        return sp.issparse(self.matrix)

    def _set_definite(self, given: Definite | SparseDefinite) -> None:
        """Assign what follows from a checked matrix whose inverse is the covariance."""
        if isinstance(given, SparseDefinite):
            self._set(_factorised=given)
        else:
            self._set(_factorised=None, target_covariance=given.inverse)
        self._set(matrix=given.matrix, variables=given.variables, condition=given.condition)


def linear_problem(problem: Problem | None) -> LinearProblem | None:
    """The problem, if its answer is of a Gaussian law, else None: what a linear device may be compared with."""
    return problem if isinstance(problem, LinearProblem) else None


def _plain(value: Any) -> Any:
    """Turn an array into what JSON can hold."""
    if sp.issparse(value):
        value = cast(sp.csr_array, value)
        return to_fields(value)
    return value.tolist() if isinstance(value, np.ndarray) else value
