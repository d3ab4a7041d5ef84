r"""What to compute: a Gaussian to sample, a matrix to invert, a linear system to solve.

All three come down to one symmetric positive definite matrix :math:`A` and one
right-hand side :math:`b`: a device in thermal equilibrium at the energy
:math:`\tfrac12 x^T A x - b^T x` samples :math:`x \sim N(A^{-1} b, A^{-1})`. The
tasks differ in what is given and in which moment is the answer.

A matrix given as sparse and with more than `DENSE_SIZE` rows stays sparse; nothing of its size
squared is ever made.
"""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Complex, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, cast

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp

from spu.arrays import parsing, read_npy, read_npz
from spu.errors import InputError
from spu.files import check_file, key_line, parse_toml, read_bytes, read_text, read_toml
from spu.names import check_names, first_line, shorten, suggest
from spu.sparse import canonical, from_fields, largest_eigenvalue, to_fields, with_data

if TYPE_CHECKING:
    from spu.selected_inverse import SparseCholesky

__all__ = [
    "DENSE_SIZE",
    "MAX_SIZE",
    "MAX_SPARSE_ENTRIES",
    "MAX_SPARSE_SIZE",
    "TASKS",
    "GaussianSampling",
    "LinearSystem",
    "MatrixInverse",
    "Problem",
    "load_problem",
    "problem_from_dict",
]

FloatArray = npt.NDArray[np.float64]
AnyMatrix = FloatArray | sp.csr_array

TASKS = ("gaussian", "inverse", "linear")

MAX_SIZE = 10_000
"""Most variables of a problem with a dense matrix: this is 0.8 GB a matrix."""

DENSE_SIZE = 2_000
"""Sparse matrices of up to this many variables are made dense: dense algebra is faster and exact to rounding."""

MAX_SPARSE_SIZE = 1_000_000
"""Most variables of a problem with a sparse matrix."""

MAX_SPARSE_ENTRIES = 20_000_000
"""Most entries a sparse matrix may store; both halves count."""

_FORMAT = "spu-problem/1"
_SYMMETRY_TOLERANCE = 1e-10
_LANCZOS_TOLERANCE = 1e-4
_CONDITION_WARNING = 1e6
_EPS = float(np.finfo(np.float64).eps)

_LINE_END = re.compile(r"\r\n|\r|\n")

_MATRIX_KEYS = ("precision", "covariance", "matrix")
_VECTOR_KEYS = ("mean", "vector")
_DICT_KEYS = ("format", "task", "variables", *_MATRIX_KEYS, *_VECTOR_KEYS)
_TOML_KEYS = ("task", *_MATRIX_KEYS, *_VECTOR_KEYS, "variables", "hardware")
_NPZ_KEYS = (*_MATRIX_KEYS, *_VECTOR_KEYS, "variables")
_TAKES = {
    "gaussian": ("precision", "covariance", "mean"),
    "inverse": ("matrix",),
    "linear": ("matrix", "vector"),
}
_MATRIX_SUFFIXES = (".npy", ".npz", ".csv", ".mtx")
_VECTOR_SUFFIXES = (".npy", ".csv", ".mtx")


class Problem(ABC):
    """What the three tasks have in common.

    Attributes
    ----------
    task : {"gaussian", "inverse", "linear"}
        Which task it is.
    answer : {"covariance", "mean"}
        The moment of the samples that answers the task.
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

    task: ClassVar[str]
    answer: ClassVar[str]
    variables: tuple[str, ...]
    matrix: AnyMatrix
    target_mean: FloatArray
    condition: float
    _factorised: _SparseDefinite | None

    @cached_property
    def target_covariance(self) -> AnyMatrix:
        """(n, n) covariance; of a sparse matrix, its entries on the pattern of the matrix."""
        # A dense problem sets the attribute when it is made; only sparse ones get here.
        covariance = cast(_SparseDefinite, self._factorised).selected_inverse()
        covariance.data.setflags(write=False)
        return covariance

    @property
    def sparse(self) -> bool:
        """Whether the matrix is sparse."""
        return sp.issparse(self.matrix)

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.variables)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legitimate but will not work well; one sentence each."""
        if self.condition <= _CONDITION_WARNING:
            return ()
        return (
            f"badly conditioned: condition number {self.condition:.1e}; expect about "
            f"{np.log10(self.condition):.0f} of 16 digits lost and relaxation times spread by that factor",
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the problem as it was posed, as a dictionary that JSON can hold.

        `problem_from_dict` restores it bit for bit. A sparse matrix becomes the object
        ``{"shape": [n, n], "indptr": [...], "indices": [...], "data": [...]}``, the fields of a
        compressed sparse row matrix.
        """
        return {key: _plain(value) for key, value in self.posed().items()}

    def posed(self) -> dict[str, Any]:
        """`to_dict` with the arrays, dense or sparse, as they are; `problem_from_dict` takes it, too."""
        given = {key: getattr(self, key) for key in _TAKES[self.task] if getattr(self, key) is not None}
        return {"format": _FORMAT, "task": self.task, "variables": list(self.variables), **given}

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

    def _set_definite(self, given: _Definite | _SparseDefinite) -> None:
        """Assign what follows from a checked matrix whose inverse is the covariance."""
        if isinstance(given, _SparseDefinite):
            self._set(_factorised=given)
        else:
            self._set(_factorised=None, target_covariance=given.inverse)
        self._set(matrix=given.matrix, variables=given.variables, condition=given.condition)


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GaussianSampling(Problem):
    """Sample a Gaussian of given precision or covariance.

    Parameters
    ----------
    precision, covariance : (n, n) array_like or sparse
        Exactly one of them; symmetric to 1e-10 relative, and positive definite. A scalar
        stands for a 1 × 1 matrix. A covariance of more than `DENSE_SIZE` variables must be dense:
        its inverse is.
    mean : (n,) array_like, optional
        Mean; 0 if None.
    variables : sequence of str, optional
        Names; ``x1`` to ``xn`` if None.

    Raises
    ------
    InputError
        If anything is not as said above.

    Attributes
    ----------
    precision, covariance, mean : ndarray or None
        As given, symmetrised; None where not given. The other attributes are those of `Problem`.
    """

    precision: AnyMatrix | None
    covariance: FloatArray | None
    mean: FloatArray | None
    variables: tuple[str, ...]

    task: ClassVar[str] = "gaussian"
    answer: ClassVar[str] = "covariance"

    def __init__(
        self,
        precision: Any = None,
        covariance: Any = None,
        mean: Any = None,
        variables: Iterable[str] | None = None,
    ) -> None:
        if (precision is None) == (covariance is None):
            count = "neither" if precision is None else "both"
            raise InputError(f"give exactly one of precision and covariance, not {count}")
        from_precision = precision is not None
        if not from_precision and _stays_sparse(covariance):
            raise InputError(
                f"the covariance is sparse and has {cast(Any, covariance).shape[0]} rows; its inverse, the matrix to "
                f"build, would be dense: give the precision, or a dense covariance of at most {MAX_SIZE} variables"
            )
        given = _definite(
            precision if from_precision else covariance,
            "the precision" if from_precision else "the covariance",
            variables,
        )
        centre = None if mean is None else _vector(mean, "the mean", given.variables)
        self._set_definite(given)
        if not from_precision:
            assert isinstance(given, _Definite)
            self._set(matrix=_without_rounding(given), target_covariance=given.matrix)
        self._set(
            precision=given.matrix if from_precision else None,
            covariance=None if from_precision else given.matrix,
            mean=centre,
            target_mean=np.zeros(len(given.variables)) if centre is None else centre,
        )


@dataclass(frozen=True, eq=False, init=False, repr=False)
class MatrixInverse(Problem):
    r"""Invert a matrix :math:`A`, as the covariance of samples from :math:`N(0, A^{-1})`.

    Parameters
    ----------
    matrix : (n, n) array_like or sparse
        Symmetric to 1e-10 relative, and positive definite. A scalar stands for a 1 × 1 matrix.
    variables : sequence of str, optional
        Names; ``x1`` to ``xn`` if None.

    Raises
    ------
    InputError
        If anything is not as said above.
    """

    matrix: AnyMatrix
    variables: tuple[str, ...]

    task: ClassVar[str] = "inverse"
    answer: ClassVar[str] = "covariance"

    def __init__(self, matrix: Any, variables: Iterable[str] | None = None) -> None:
        given = _definite(matrix, "the matrix", variables)
        self._set_definite(given)
        self._set(target_mean=np.zeros(len(given.variables)))


@dataclass(frozen=True, eq=False, init=False, repr=False)
class LinearSystem(Problem):
    r"""Solve :math:`A x = b`, as the mean of samples from :math:`N(A^{-1} b, A^{-1})`.

    Parameters
    ----------
    matrix : (n, n) array_like or sparse
        :math:`A`; symmetric to 1e-10 relative, and positive definite. A scalar stands for a
        1 × 1 matrix.
    vector : (n,) array_like
        The right-hand side :math:`b`; one column (n, 1) or one row (1, n) is also taken.
    variables : sequence of str, optional
        Names; ``x1`` to ``xn`` if None.

    Raises
    ------
    InputError
        If anything is not as said above.
    """

    matrix: AnyMatrix
    vector: FloatArray
    variables: tuple[str, ...]

    task: ClassVar[str] = "linear"
    answer: ClassVar[str] = "mean"

    def __init__(self, matrix: Any, vector: Any, variables: Iterable[str] | None = None) -> None:
        given = _definite(matrix, "the matrix", variables)
        right_side = _vector(vector, "the vector", given.variables)
        self._set_definite(given)
        self._set(vector=right_side, target_mean=given.solve(right_side))


def _stays_sparse(value: Any) -> bool:
    """Whether a matrix is sparse and too large to be made dense."""
    return sp.issparse(value) and max(cast(Any, value).shape) > DENSE_SIZE


def _definite(value: Any, what: str, variables: Iterable[str] | None) -> _Definite | _SparseDefinite:
    """Validate a matrix and its variables; `what` names it in the messages."""
    kind: Any = _SparseDefinite if _stays_sparse(value) else _Definite
    return kind.check(value, what, variables)


class _Definite(NamedTuple):
    """A matrix found symmetric positive definite, with what its Cholesky factor gives."""

    matrix: FloatArray  # (n, n), exactly symmetric
    inverse: FloatArray  # (n, n), exactly symmetric
    variables: tuple[str, ...]
    condition: float
    factor: FloatArray  # (n, n), lower Cholesky factor of 2**-exponent * matrix
    exponent: int

    @classmethod
    def check(cls, value: Any, what: str, variables: Iterable[str] | None) -> _Definite:
        """Validate a matrix and its variables; `what` names it in the messages."""
        a = _square(value, what)
        n = len(a)
        names = _variables(variables, n)
        _require_finite(a, what, names)
        diagonal = a.diagonal()
        if n > _FEW and diagonal.min() <= 0:  # said before anything that takes time, such as eigenvalues
            k = int(diagonal.argmin())
            raise InputError(
                f"{what} is not positive definite: its diagonal is {diagonal[k]:.6g} at {_place((k,), names)}"
            )

        # Matrices of capacitances in farads are as welcome as matrices near overflow:
        # all that can over- or underflow is done on 2**-exponent * a, which is exact.
        exponent = int(np.frexp(np.abs(a).max())[1])
        scaled = np.ldexp(a, -exponent)
        gap = np.abs(scaled - scaled.T)
        asymmetry = float(gap.max() / (np.abs(scaled).max() or 1.0))
        if asymmetry > _SYMMETRY_TOLERANCE:
            i, j = (int(k) for k in np.unravel_index(gap.argmax(), gap.shape))
            _refuse_asymmetric(what, a[i, j], a[j, i], _place((i, j), names), asymmetry)
        if asymmetry > 0 or (a != a.T).any():  # entries next to 0 may differ by less than scaled ones hold
            a = 0.5 * a + 0.5 * a.T
            scaled = np.ldexp(a, -exponent)

        smallest, largest, factor = _spectrum(scaled)
        # Within a small factor of this bound the factorisation may break down.
        if factor is None or smallest <= n * _EPS * largest:
            _refuse_indefinite(what, smallest, largest, n, exponent)
        inverse = scipy.linalg.cho_solve((factor, True), np.eye(n))
        with np.errstate(over="ignore"):
            inverse = np.ldexp(0.5 * (inverse + inverse.T), -exponent)
        if not np.isfinite(inverse).all() or not np.diagonal(inverse).all():
            _refuse_range(what, float(np.abs(a).max()))
        return cls(a, inverse, names, largest / smallest, factor, exponent)

    def solve(self, b: FloatArray) -> FloatArray:
        """Solve with the matrix for one right-hand side of shape (n,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.ldexp(scipy.linalg.cho_solve((self.factor, True), b), -self.exponent)
        return _in_range(x)


_FEW = 256
"""Rows up to which all eigenvalues are found: beyond, the extreme two cost a small part of that."""


def _spectrum(a: FloatArray) -> tuple[float, float, FloatArray | None]:
    """Smallest and largest eigenvalue of a symmetric (n, n) matrix, and its Cholesky factor if it has one."""
    try:
        factor = scipy.linalg.cholesky(a, lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        factor = None
    if factor is None or len(a) <= _FEW:
        eigenvalues = scipy.linalg.eigvalsh(a)
        return float(eigenvalues[0]), float(eigenvalues[-1]), factor
    start = np.cos(np.arange(len(a), dtype=np.float64) ** 2)
    both = (factor, True)
    largest = largest_eigenvalue(lambda x: a @ x, start, tolerance=_LANCZOS_TOLERANCE)
    inverse = largest_eigenvalue(
        lambda x: scipy.linalg.cho_solve(both, x, check_finite=False), start, tolerance=_LANCZOS_TOLERANCE
    )
    return 1.0 / inverse, largest, factor


class _SparseDefinite(NamedTuple):
    """A sparse matrix found symmetric positive definite, with its factors."""

    matrix: sp.csr_array  # (n, n), exactly symmetric and canonical
    variables: tuple[str, ...]
    condition: float
    factor: SparseCholesky  # of 2**-exponent * matrix
    exponent: int

    @classmethod
    def check(cls, value: Any, what: str, variables: Iterable[str] | None) -> _SparseDefinite:
        """Validate a sparse matrix and its variables; `what` names it in the messages."""
        from spu.selected_inverse import NotPositiveDefinite, SparseCholesky

        a = _square_sparse(value, what)
        n = a.shape[0]
        names = _variables(variables, n)
        if not np.isfinite(a.data).all():
            first = int(np.argmax(~np.isfinite(a.data)))
            place = (int(np.searchsorted(a.indptr, first, side="right")) - 1, int(a.indices[first]))
            _refuse_infinite(what, float(a.data[first]), place, names)

        exponent = int(np.frexp(np.abs(a.data).max(initial=0.0))[1])
        scaled = with_data(a, np.ldexp(a.data, -exponent))
        gap = sp.csr_array(abs(scaled - scaled.T))
        asymmetry = float(gap.data.max(initial=0.0) / (np.abs(scaled.data).max(initial=0.0) or 1.0))
        if asymmetry > _SYMMETRY_TOLERANCE:
            worst = int(gap.data.argmax())
            i, j = int(np.searchsorted(gap.indptr, worst, side="right")) - 1, int(gap.indices[worst])
            _refuse_asymmetric(what, float(a[i, j]), float(a[j, i]), _place((i, j), names), asymmetry)
        if asymmetry > 0 or sp.csr_array(a - a.T).data.any():
            a = canonical(0.5 * a + 0.5 * a.T)
            scaled = with_data(a, np.ldexp(a.data, -exponent))

        try:
            factor = SparseCholesky(scaled)
        except NotPositiveDefinite as error:
            _refuse_pivot(what, error.index, error.pivot, exponent, names)
        smallest, largest = _extreme_eigenvalues(factor)
        if smallest <= n * _EPS * largest:
            _refuse_indefinite(what, smallest, largest, n, exponent)
        # Bounds of the diagonal of the inverse.
        if not np.isfinite(_ldexp(1.0 / smallest, -exponent)) or _ldexp(1.0 / largest, -exponent) == 0:
            _refuse_range(what, float(np.abs(a.data).max()))
        return cls(a, names, largest / smallest, factor, exponent)

    def selected_inverse(self) -> sp.csr_array:
        """Entries of the inverse on the pattern of the matrix."""
        inverse = self.factor.selected_inverse()
        inverse.data = np.ldexp(inverse.data, -self.exponent)
        return inverse

    def solve(self, b: FloatArray) -> FloatArray:
        """Solve with the matrix for one right-hand side of shape (n,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            x = self.factor.solve(b)
            # One step of refinement: SuperLU's solution is then that of a matrix very close by.
            x = x + self.factor.solve(b - self.factor.matrix @ x)
            x = np.ldexp(x, -self.exponent)
        return _in_range(x)


def _extreme_eigenvalues(factor: SparseCholesky) -> tuple[float, float]:
    """Smallest and largest eigenvalue of a factorised matrix to about 1e-3, by Lanczos on it and on its inverse."""
    start = np.random.default_rng(0).standard_normal(factor.n)  # any, but always the same

    def largest(apply: Callable[[FloatArray], FloatArray]) -> float:
        return largest_eigenvalue(apply, start, tolerance=1e-3)

    return 1.0 / largest(factor.solve), largest(factor.matrix.__matmul__)


def _in_range(x: FloatArray) -> FloatArray:
    if not np.isfinite(x).all():
        raise InputError("the solution of the linear system leaves the range of floating point")
    return x


def _without_rounding(given: _Definite) -> FloatArray:
    """The inverse with entries that are only rounding set to zero, if that costs no accuracy.

    The precision of a graphical model is sparse, and an inverse computed in floating point is not:
    couplers would be built for rounding errors. An entry within rounding of zero is dropped, and the
    sparser matrix taken only where it inverts back to what was given within the rounding of its entries.
    """
    root = np.sqrt(np.diagonal(given.inverse))
    relative = np.abs(given.inverse) / np.outer(root, root)
    n = len(root)
    small = relative <= 4.0 * n * _EPS * given.condition
    if not small.any():
        return given.inverse
    sparse = np.where(small, 0.0, given.inverse)
    unit = 1.0 / root

    # How far ``matrix @ covariance``, scaled, is from the identity, and how far rounding of all entries may take it.
    left, right = unit[:, None] * sparse, given.matrix * root
    missed = float(np.abs(left @ right - np.eye(n)).max())
    return sparse if missed <= 4.0 * n * _EPS * float((np.abs(left) @ np.abs(right)).max()) else given.inverse


def _refuse_range(what: str, largest: float) -> NoReturn:
    raise InputError(f"{what} has entries up to {largest:.3g}: its inverse leaves the range of floating point")


def _refuse_asymmetric(what: str, here: float, across: float, place: str, asymmetry: float) -> NoReturn:
    raise InputError(
        f"{what} is not symmetric: {here:.6g} at {place} but {across:.6g} across the diagonal\n"
        f"(relative asymmetry {asymmetry:.2g}; at most {_SYMMETRY_TOLERANCE:.0e} is taken as rounding)"
    )


def _refuse_pivot(what: str, index: int | None, pivot: float | None, exponent: int, names: tuple[str, ...]) -> NoReturn:
    """Refuse a sparse matrix by the pivot of its factorisation that is not positive."""
    if index is None or pivot is None:
        raise InputError(f"{what} is not positive definite: its factorisation breaks down, so it is singular")
    raise InputError(
        f"{what} is not positive definite: elimination leaves {_ldexp(pivot, exponent):.6g} on the diagonal "
        f"at {_place((index,), names)}; every pivot must be positive"
    )


def _refuse_indefinite(what: str, smallest: float, largest: float, n: int, exponent: int) -> NoReturn:
    """Refuse a matrix by its extreme eigenvalues, given scaled by ``2**-exponent``."""
    spectrum = f"smallest eigenvalue {_ldexp(smallest, exponent):.6g}, largest {_ldexp(largest, exponent):.6g}"
    if smallest < -n * _EPS * abs(largest):
        raise InputError(f"{what} is not positive definite: {spectrum}; all eigenvalues must be positive")
    raise InputError(
        f"{what} is not positive definite but singular to working precision: {spectrum};\n"
        f"the smallest must exceed n·eps = {n * _EPS:.2g} times the largest"
    )


def _ldexp(value: float, exponent: int) -> float:
    with np.errstate(over="ignore"):
        return float(np.ldexp(value, exponent))


def _variables(variables: Iterable[str] | None, n: int) -> tuple[str, ...]:
    if variables is None:
        return tuple(f"x{i}" for i in range(1, n + 1))
    names = check_names(variables, "a variable")
    if len(names) != n:
        raise InputError(f"{len(names)} variable names for a matrix of {n} rows: give one for each row")
    return names


def _place(index: Sequence[int], names: tuple[str, ...]) -> str:
    """Say where an entry is: "row 2, column 3 (x2, x3)" or "entry 2 (x2)"."""
    if len(index) == 1:
        return f"entry {index[0] + 1} ({names[index[0]]})"
    i, j = index
    return f"row {i + 1}, column {j + 1} ({names[i]}, {names[j]})"


def _require_finite(a: FloatArray, what: str, names: tuple[str, ...]) -> None:
    finite = np.isfinite(a)
    if not finite.all():
        index = tuple(int(k) for k in np.argwhere(~finite)[0])
        _refuse_infinite(what, float(a[index]), index, names)


def _refuse_infinite(what: str, value: float, index: Sequence[int], names: tuple[str, ...]) -> NoReturn:
    kind = "NaN" if np.isnan(value) else "infinite"
    raise InputError(f"{what} is {kind} at {_place(index, names)}: every entry must be finite")


def _square(value: Any, what: str) -> FloatArray:
    """Convert to a fresh non-empty (n, n) array; entries are not looked at."""
    a = _real_array(value, what)
    if a.ndim == 0:
        a = a.reshape(1, 1)
    if a.size == 0:
        raise InputError(f"{what} is empty (shape {_shape(a)}): it needs at least one row and column")
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise InputError(f"{what} has shape {_shape(a)}: it must be square, n × n")
    _require_size(a.shape, what)
    return a


def _square_sparse(value: Any, what: str) -> sp.csr_array:
    """Convert to a fresh canonical (n, n) CSR array; entries are not looked at."""
    shape = value.shape
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"{what} has shape {' × '.join(map(str, shape))}: it must be square, n × n")
    if shape[0] > MAX_SPARSE_SIZE:
        raise InputError(
            f"{what} has shape {' × '.join(map(str, shape))}: at most {MAX_SPARSE_SIZE} variables are taken, "
            "of a sparse matrix"
        )
    if value.nnz > MAX_SPARSE_ENTRIES:
        raise InputError(f"{what} stores {value.nnz} entries: at most {MAX_SPARSE_ENTRIES} are taken")
    if value.dtype.kind == "c":
        raise InputError(f"{what} is complex: only real numbers are taken")
    if value.dtype.kind not in "iuf":
        raise InputError(f"{what} is not numeric (entries of type {value.dtype}): only real numbers are taken")
    with _valid_sparse(value, what), np.errstate(over="ignore", invalid="ignore"):
        a = sp.csr_array(value, dtype=np.float64, copy=True)
        a.sum_duplicates()
        a.eliminate_zeros()
    return a


def _vector(value: Any, what: str, names: tuple[str, ...]) -> FloatArray:
    """Convert to a fresh finite (n,) array; one column, one row and, for n = 1, a scalar will do."""
    n = len(names)
    a = _real_array(value, what)
    if a.shape not in ((n,), (n, 1), (1, n)) and not (n == 1 and a.ndim == 0):
        raise InputError(f"{what} has shape {_shape(a)}: the matrix calls for {_entries(n)}")
    a = a.reshape(n)
    _require_finite(a, what, names)
    return a


def _shape(a: FloatArray) -> str:
    return " × ".join(map(str, a.shape)) + (" (one-dimensional)" if a.ndim == 1 else "")


def _require_size(shape: Sequence[int], what: str) -> None:
    if max(shape, default=0) > MAX_SIZE:
        raise InputError(f"{what} has shape {' × '.join(map(str, shape))}: at most {MAX_SIZE} variables are taken")


def _real_array(value: Any, what: str) -> FloatArray:
    """Convert what a user may pass for a matrix or vector to a fresh float64 array of any shape."""
    if hasattr(value, "tocoo"):
        value = _densify(value, what)
    if np.ma.is_masked(value):
        raise InputError(f"{what} has masked entries: every entry must be a number")
    if isinstance(value, (list, tuple)):
        lengths = [len(row) if isinstance(row, (list, tuple)) else None for row in value]
        odd = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
        if odd is not None:
            raise InputError(
                f"{what} has rows of different length: row {odd + 1} does not match row 1 "
                f"({_entries(lengths[odd])} against {_entries(lengths[0])})"
            )
    try:
        a = np.asarray(value)
        # NumPy would turn a list of True and 2.5 into numbers, and of "1" and 2.5 into strings.
        raw = a if isinstance(value, np.ndarray) else np.asarray(value, dtype=object)
    except Exception as error:  # an object's __array__ may raise anything
        raise InputError(f"{what} cannot be read as an array of numbers: {first_line(error)}") from error
    if a.dtype.kind == "c":
        raise InputError(f"{what} is complex: only real numbers are taken")
    if raw.dtype.kind not in "iufO":
        raise InputError(f"{what} is not numeric (entries of type {raw.dtype}): only real numbers are taken")
    if raw.dtype.kind == "O":
        for index, entry in np.ndenumerate(raw):
            if not _is_real(entry):
                at = ", ".join(str(k + 1) for k in index) or "1"
                raise InputError(f"{what} is not numeric: entry ({at}) is {shorten(entry)}, not a real number")
    try:
        # longdouble may overflow, which is then refused as infinite with its place.
        with np.errstate(over="ignore"):
            return np.array(a, dtype=np.float64, order="C")
    except Exception as error:  # the __float__ of foreign objects, integers beyond 1e308
        raise InputError(f"{what} cannot be read as an array of numbers: {first_line(error)}") from error


def _is_real(entry: object) -> bool:
    """Whether an object is a real number: Fraction and Decimal are, True and "1" are not."""
    if isinstance(entry, (bool, np.bool_, str, bytes)):
        return False
    if isinstance(entry, Complex) and not isinstance(entry, Real):
        return False
    return hasattr(entry, "__float__")


def _entries(length: int | None) -> str:
    if length is None:
        return "a single number"
    return f"{length} {'entry' if length == 1 else 'entries'}"


def _densify(value: Any, what: str) -> Any:
    if not sp.issparse(value):
        return value
    value = cast(Any, value)  # the sparse classes have no common type worth the name
    _require_size(value.shape, what)
    with _valid_sparse(value, what):
        return value.toarray()


@contextmanager
def _valid_sparse(value: Any, what: str) -> Iterator[None]:
    """Refuse a sparse matrix whose indices are wild, or that fails to convert in the block."""
    try:
        # The constructors do not look at the indices, and a conversion would write through
        # an index out of range to whatever lies there.
        if value.format in ("csr", "csc", "bsr"):
            value.check_format(full_check=True)
        elif value.format == "coo":
            for axis, size in zip((value.row, value.col), value.shape, strict=True):
                if len(axis) and not 0 <= axis.min() <= axis.max() < size:
                    raise ValueError(f"an index of {int(axis.min())} or {int(axis.max())} where there are {size}")
        yield
    except (ValueError, IndexError, TypeError, MemoryError) as error:
        raise InputError(f"{what} is not a valid sparse matrix: {first_line(error)}") from error


def problem_from_dict(d: Mapping[str, Any], file: str | Path | None = None) -> Problem:
    """Restore a problem from what `Problem.to_dict` gave.

    Parameters
    ----------
    d:
        The dictionary, for instance parsed from JSON.
    file:
        Where it was read, for the messages.

    Raises
    ------
    InputError
        If the dictionary is not a valid problem.
    """
    if not isinstance(d, Mapping):
        raise InputError(f"a problem must be a table of keys, not {shorten(d)}", file=file)
    for key in d:
        if key not in _DICT_KEYS:
            raise InputError(f"unknown key {shorten(key)}; {suggest(key, _DICT_KEYS)}", file=file)
    if d.get("format") != _FORMAT:
        raise InputError(f"format is {shorten(d.get('format'))}: it must be {_FORMAT!r}", file=file)
    given = _Given({key: _sparse(d[key], key, file) for key in _NPZ_KEYS if d.get(key) is not None}, task=d.get("task"))
    if given.task is None:
        raise InputError(f"no task; {suggest('', TASKS)}", file=file)
    with _located(file):
        _require_task(given.task)
        return _assemble(given, given.task)


def _plain(value: Any) -> Any:
    """Turn an array into what JSON can hold."""
    if sp.issparse(value):
        value = cast(sp.csr_array, value)
        return to_fields(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def _sparse(value: Any, key: str, file: str | Path | None) -> Any:
    """Restore a sparse matrix from what `_plain` made of it; anything else is given back."""
    if not isinstance(value, Mapping):
        return value
    try:
        return from_fields(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{key} is not a readable sparse matrix: {first_line(error)}", file=file) from error


@contextmanager
def _located(file: str | Path | None, text: str | None = None, key: str = "") -> Iterator[None]:
    """Add the place to errors that have none; the line is that of a key of the TOML text, if given."""
    try:
        yield
    except InputError as error:
        if error.file is not None or file is None:
            raise
        raise InputError(error.message, file=file, line=key_line(text, key)) from error


@dataclass
class _Given:
    """What a problem file says, before anything is made of it."""

    values: dict[str, Any]  # keys of _NPZ_KEYS
    task: Any = None
    hardware: str | None = None
    text: str | None = field(default=None, repr=False)  # the TOML text, to find lines in


def load_problem(
    path: str | Path,
    *,
    task: str | None = None,
    covariance: bool = False,
    vector: Any = None,
    variables: Iterable[str] | None = None,
) -> tuple[Problem, str | None]:
    """Read a problem from a file; arguments override what the file says.

    Parameters
    ----------
    path:
        A matrix as ``.npy``, ``.npz`` (one array, arrays named by the keys below, or one
        written by `scipy.sparse.save_npz`), ``.csv`` (separated by commas, semicolons or white
        space; ``#`` starts a comment; names may head the columns) or ``.mtx`` (Matrix
        Market); or a problem as ``.toml`` with the keys ``task``, ``precision``,
        ``covariance``, ``matrix``, ``mean``, ``vector``, ``variables`` and ``hardware``,
        where matrices and vectors are lists or file names relative to the TOML file.
    task : {"gaussian", "inverse", "linear"}, optional
        If neither argument nor file says: "linear" with a vector, otherwise "gaussian".
    covariance:
        Whether the matrix of a Gaussian is its covariance, not its precision.
    vector : (n,) array_like, str or Path, optional
        Right-hand side of a linear system, or the ``.npy``, ``.csv`` or ``.mtx`` file that
        holds it as one column or one row.
    variables : sequence of str, optional
        Names of the variables.

    Returns
    -------
    problem : Problem
        The problem.
    hardware : str or None
        The hardware that a TOML file names: a preset, or the path of another TOML file
        (a relative one is taken from the folder of the problem's).

    Raises
    ------
    InputError
        If a file cannot be read or does not hold a valid problem, whatever its bytes; the
        error names the file and, where known, the line.
    """
    if task is not None:
        _require_task(task)
    given = _read_problem(path)
    if task is None and vector is not None:
        task = "linear"
    if isinstance(vector, (str, Path)):
        vector = _read_vector(Path(vector))

    with _located(path, given.text, "task"):
        if given.task is not None:
            _require_task(given.task)
    with _located(path):
        values = given.values
        if task is not None and task != "gaussian" and "precision" in values and "matrix" not in values:
            # The matrix whose inverse is the covariance: whoever asks for another task of
            # the same file means that one.
            values["matrix"] = values.pop("precision")
        if covariance:
            if "precision" in values:
                raise InputError("the matrix is to be read as a covariance but the file says precision")
            if "matrix" in values:
                values.setdefault("covariance", values.pop("matrix"))
        if vector is not None:
            values["vector"] = vector
        if variables is not None:
            values["variables"] = variables
        chosen = task or given.task or ("linear" if "vector" in values else "gaussian")
        return _assemble(given, chosen), given.hardware


def _require_task(task: object) -> None:
    if task not in TASKS:
        raise InputError(f"unknown task {shorten(task)}; {suggest(task, TASKS)}")


def _assemble(given: _Given, task: str) -> Problem:
    """Make a problem of the values given, refusing any that the task has no use for."""
    values = dict(given.values)
    if task == "gaussian" and "matrix" in values and not {"precision", "covariance"} & values.keys():
        values["precision"] = values.pop("matrix")
    takes = _TAKES[task]
    for key in (*_MATRIX_KEYS, *_VECTOR_KEYS):
        if key in values and key not in takes:
            raise InputError(f"the task {task!r} takes {' and '.join(takes)}, not {key}")
    if task == "gaussian":
        if not {"precision", "covariance"} & values.keys():
            raise InputError("no matrix: the task 'gaussian' needs precision or covariance")
        return GaussianSampling(**values)
    for key in takes:
        if key not in values:
            raise InputError(f"no {key}: the task {task!r} needs {' and '.join(takes)}")
    return MatrixInverse(**values) if task == "inverse" else LinearSystem(**values)


# --- files ---------------------------------------------------------------------------------


def read_matrix(path: str | Path) -> AnyMatrix:
    """Read the one matrix of a ``.npy``, ``.npz``, ``.csv`` or ``.mtx`` file.

    Raises
    ------
    InputError
        If the file cannot be read or holds anything else.
    """
    where = Path(path)
    check_file(where)
    suffix = _suffix(where, _MATRIX_SUFFIXES)
    if suffix != ".npz":
        return cast(AnyMatrix, _read_table(where, suffix).values)
    arrays = _read_npz(where)
    if len(arrays) != 1:
        raise InputError(f"holds {', '.join(arrays)}: wanted one matrix", file=where)
    return cast(AnyMatrix, next(iter(arrays.values())))


class _Table(NamedTuple):
    """Numbers read from a file; `names` head the columns, if there is such a row."""

    values: Any
    names: tuple[str, ...] | None = None
    line: int | None = None  # of the names


def _suffix(path: Path, known: Sequence[str]) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        raise InputError(f"unknown extension {shorten(path.suffix)}: known are {', '.join(known)}", file=path)
    return suffix


def _read_problem(path: str | Path) -> _Given:
    where = Path(path)
    # A missing file is reported as missing, whatever its extension.
    check_file(where)
    suffix = _suffix(where, (*_MATRIX_SUFFIXES, ".toml"))
    if suffix == ".toml":
        return _read_toml(where)
    if suffix == ".npz":
        return _Given(_read_npz(where))
    return _Given(_named_matrix("matrix", where, _read_table(where, suffix)))


def _named_matrix(key: str, path: Path, table: _Table) -> dict[str, Any]:
    """Give a matrix under its key, with the names of its columns checked where they stand."""
    if table.names is None:
        return {key: table.values}
    return {key: table.values, "variables": check_names(table.names, "a variable", path, table.line)}


def _read_vector(path: Path) -> Any:
    check_file(path)
    return _read_table(path, _suffix(path, _VECTOR_SUFFIXES)).values


def _read_table(path: Path, suffix: str) -> _Table:
    """Read the one array of a file."""
    if suffix == ".csv":
        return _read_csv(path)
    if suffix == ".npy":
        return _Table(read_npy(path))
    return _Table(_read_mtx(path))


def _read_csv(path: Path) -> _Table:
    split = None
    names: tuple[str, ...] | None = None
    names_line = None
    rows: list[FloatArray] = []
    width = first = 0
    for number, raw in enumerate(_LINE_END.split(read_text(path)), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if first == 0:
            split = next((mark for mark in ";," if mark in line), None)
        cells = [cell.strip().strip('"') for cell in line.split(split)]
        if first == 0:
            first, width = number, len(cells)
            if width > MAX_SIZE:
                raise InputError(f"a row of {width} entries: at most {MAX_SIZE} are taken", file=path, line=number)
            # The letter tells names from numbers in a foreign notation, such as 1,5 for 1.5.
            lettered = any(character.isalpha() or character == "_" for character in line)
            if lettered and all(_number(cell) is None for cell in cells):
                names, names_line = tuple(cells), number
                continue
        if len(cells) != width:
            raise InputError(
                f"a row of {len(cells)} where line {first} has {width}: all rows must be of one length",
                file=path,
                line=number,
            )
        row = []
        for column, cell in enumerate(cells, start=1):
            value = _number(cell)
            if value is None:
                raise InputError(
                    f"cannot read {shorten(cell)} in column {column} as a number (such as -1.5e-9)",
                    file=path,
                    line=number,
                )
            row.append(value)
        if len(rows) == MAX_SIZE:
            raise InputError(f"more than {MAX_SIZE} rows: at most so many are taken", file=path, line=number)
        rows.append(np.array(row))
    if not rows:
        raise InputError("holds no rows of numbers", file=path)
    return _Table(np.array(rows), names, names_line)


def _number(cell: str) -> float | None:
    """Read a number; not as freely as `float`, which takes 1_000 and the digits of all scripts."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _read_mtx(path: Path) -> AnyMatrix:
    """Read a real, general or symmetric, Matrix Market file into a (rows, columns) array.

    A coordinate file of more than `DENSE_SIZE` rows or columns gives a CSR array.

    `scipy.io.mmread` would do, but its parser (SciPy 1.17) kills the interpreter on some
    malformed files, such as an array of 0 rows, or symmetric data that are not square.
    """
    # Latin-1 because it takes any byte: names of authors in comments are in any encoding.
    lines = _LINE_END.split(read_bytes(path).decode("latin-1"))
    body = (
        (number, line.split())
        for number, line in enumerate(lines[1:], start=2)
        if line.strip() and not line.startswith("%")
    )
    number = 1
    try:
        sparse, pattern, symmetric = _mtx_banner(lines[0])

        number, cells = next(body, (len(lines), []))
        size = [_whole(cell) for cell in cells]
        if len(size) != 2 + sparse:
            raise ValueError(f"the size must be {'rows, columns and entries' if sparse else 'rows and columns'}")
        rows, columns = size[:2]
        if max(rows, columns) > (most := MAX_SPARSE_SIZE if sparse else MAX_SIZE):
            raise ValueError(f"{rows} × {columns} where at most {most} variables are taken")
        if symmetric and rows != columns:
            raise ValueError(f"{rows} × {columns} cannot be symmetric")
        stored = rows * (rows + 1) // 2 if symmetric else rows * columns
        declared = size[2] if sparse else stored

        layout = ["row", "column"] * sparse + ["value"] * (not pattern)
        places, values = _mtx_columns(lines[number:], len(layout), sparse, pattern)
        limits = (rows, columns)
        if places is None or values is None or not _mtx_sound(places, limits, symmetric) or len(values) > declared:
            # Something is wrong with an entry: find out which and what.
            for count, (number, cells) in enumerate(body, start=1):  # noqa: B007 (the except clause tells the line)
                _mtx_entry(cells, layout, limits, sparse, symmetric)
                if count > declared:
                    raise ValueError(f"more entries than the {declared} declared")
            raise ValueError("its entries cannot be read")
        if len(values) < declared:
            number = max([number, *(place for place, _ in body)])  # the last one
            raise ValueError(f"{declared} entries declared but {len(values)} there")
    except ValueError as error:
        raise InputError(f"is not a readable Matrix Market file: {error}", file=path, line=number) from error

    if not sparse and not symmetric:
        return values.reshape((rows, columns), order="F")
    if sparse and max(rows, columns) > DENSE_SIZE:
        if symmetric:
            off = places[:, 0] != places[:, 1]
            places = np.concatenate([places, places[off][:, ::-1]])
            values = np.concatenate([values, values[off]])
        with np.errstate(over="ignore", invalid="ignore"):
            return sp.csr_array(sp.coo_array((values, (places[:, 0], places[:, 1])), shape=(rows, columns)))
    a = np.zeros((rows, columns))
    if sparse:
        with np.errstate(over="ignore", invalid="ignore"):  # refused later, with their place
            np.add.at(a, (places[:, 0], places[:, 1]), values)  # entries given in parts add up
    else:
        a.T[np.triu_indices(rows)] = values  # columns of the lower triangle
    return a + np.tril(a, -1).T if symmetric else a


def _mtx_columns(
    lines: list[str], width: int, sparse: bool, pattern: bool
) -> tuple[npt.NDArray[np.int64] | None, FloatArray | None]:
    """(m, 2) places counted from 0 and (m,) values of all entries at once; None where any is malformed."""
    text = "\n".join(line for line in lines if not line.startswith("%")) + "\n"
    # Words a line, counted all at once: there may be millions of lines.
    codes = np.frombuffer(text.encode("latin-1"), dtype=np.uint8)
    blank = (codes == 32) | (codes == 9) | (codes == 10)
    if ((codes < 33) & ~blank).any() or (codes > 126).any():
        return None, None
    begun = np.cumsum(~blank & np.concatenate([[True], blank[:-1]]))
    words = np.diff(begun[codes == 10], prepend=0)
    if not np.isin(words, (0, width)).all():
        return None, None
    cells = text.split()
    columns = [cells[k::width] for k in range(width)]
    count = len(columns[0])
    places = np.zeros((count, 2), dtype=np.int64)
    if sparse and count:
        for k in range(2):
            digits = "".join(columns[k])
            if not digits.isdigit() or max(map(len, columns[k])) > 18:
                return None, None
            places[:, k] = np.fromiter(map(int, columns[k]), dtype=np.int64, count=count)
        places -= 1
    if pattern:
        return places, np.ones(count)
    if "_" in text:  # which float would take
        return None, None
    try:
        return places, np.fromiter(map(float, columns[-1]), dtype=np.float64, count=count)
    except ValueError:
        return None, None


def _mtx_sound(places: npt.NDArray[np.int64], limits: tuple[int, int], symmetric: bool) -> bool:
    """Whether all places lie in the matrix and, of a symmetric one, not above the diagonal."""
    inside = not len(places) or (places.min() >= 0 and (places < np.array(limits)).all())
    return bool(inside and not (symmetric and (places[:, 0] < places[:, 1]).any()))


def _mtx_entry(cells: list[str], layout: list[str], limits: tuple[int, int], sparse: bool, symmetric: bool) -> None:
    """Refuse one malformed entry."""
    if len(cells) != len(layout) or ("value" in layout and _number(cells[-1]) is None):
        raise ValueError(f"an entry must be '{' '.join(layout)}', not {shorten(' '.join(cells))}")
    if sparse:
        i, j = _whole(cells[0]), _whole(cells[1])
        if not (1 <= i <= limits[0] and 1 <= j <= limits[1]):
            raise ValueError(f"no row {i}, column {j} in {limits[0]} × {limits[1]}")
        if symmetric and i < j:
            raise ValueError(f"row {i}, column {j} is above the diagonal of a symmetric matrix")


def _mtx_banner(line: str) -> tuple[bool, bool, bool]:
    """Parse the first line of a Matrix Market file: whether it is sparse, a pattern, symmetric."""
    words = line.lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError("it must begin with '%%MatrixMarket matrix' and three words")
    layout, kind, symmetry = words[2:]
    for word, known in (
        (layout, ("coordinate", "array")),
        (kind, ("real", "double", "integer", "pattern")),
        (symmetry, ("general", "symmetric")),
    ):
        if word not in known:
            raise ValueError(f"{shorten(word)} is not taken; {suggest(word, known)}")
    if (layout, kind) == ("array", "pattern"):
        raise ValueError("an array cannot be a pattern")
    return layout == "coordinate", kind == "pattern", symmetry == "symmetric"


def _whole(cell: str) -> int:
    """Read a whole number, 0 or more, of a sensible length."""
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 18):
        raise ValueError(f"{shorten(cell)} is not a whole number")
    return int(cell)


def _read_npz(path: Path) -> dict[str, Any]:
    arrays: dict[str, Any] = {**read_npz(path)}
    keys = set(arrays)
    if {"format", "shape", "data"} <= keys:
        with parsing(path, "NumPy .npz"):
            if max(map(int, arrays["shape"].ravel()), default=0) > MAX_SPARSE_SIZE:
                raise InputError(f"has more than {MAX_SPARSE_SIZE} rows or columns", file=path)
            return {"matrix": sp.load_npz(path)}
    if len(arrays) == 1 and not keys & set(_NPZ_KEYS):
        return {"matrix": next(iter(arrays.values()))}
    for key in arrays:
        if key not in _NPZ_KEYS:
            raise InputError(f"unknown array {shorten(key)}; {suggest(key, _NPZ_KEYS)}", file=path)
    if "variables" in arrays:
        with _located(path):
            names = np.asarray(arrays["variables"])
            arrays["variables"] = check_names(np.atleast_1d(names).ravel().tolist(), "a variable")
    return arrays


def _read_toml(path: Path) -> _Given:
    text = read_toml(path)
    document = parse_toml(text, path)
    for key in document:
        if key not in _TOML_KEYS:
            raise InputError(
                f"unknown key {shorten(key)}; {suggest(key, _TOML_KEYS)}", file=path, line=key_line(text, key)
            )

    def wrong(key: str, wanted: str) -> InputError:
        return InputError(
            f"{key} is {shorten(document[key])}: it must be {wanted}", file=path, line=key_line(text, key)
        )

    hardware = document.get("hardware")
    if hardware is not None:
        if not isinstance(hardware, str) or not hardware:
            raise wrong("hardware", "a preset or the path of a .toml file")
        if hardware.lower().endswith(".toml"):
            hardware = str(path.parent / hardware)

    values: dict[str, Any] = {}
    for key in (*_MATRIX_KEYS, *_VECTOR_KEYS):
        if key not in document:
            continue
        entry = document[key]
        if isinstance(entry, str):
            values.update(_read_reference(path, key, entry, text))
        elif isinstance(entry, (list, int, float)) and not isinstance(entry, bool):
            values[key] = entry
        else:
            raise wrong(key, "a list of numbers or the name of a file")
    if "variables" in document:
        if not isinstance(document["variables"], list):
            raise wrong("variables", "a list of names")
        with _located(path, text, "variables"):
            values["variables"] = check_names(document["variables"], "a variable")
    return _Given(values, document.get("task"), hardware, text)


def _read_reference(path: Path, key: str, name: str, text: str) -> dict[str, Any]:
    """Read the matrix or vector file that a TOML key names."""
    target = path.parent / name
    try:
        known = _MATRIX_SUFFIXES if key in _MATRIX_KEYS else _VECTOR_SUFFIXES
        check_file(target)
        suffix = _suffix(target, known)
    except InputError as error:
        # The mistake is in the name, not in the file it does not lead to.
        message = f"{key} = {shorten(name)}: {error.message}"
        raise InputError(message, file=path, line=key_line(text, key)) from error
    if key in _VECTOR_KEYS:
        return {key: _read_table(target, suffix).values}
    if suffix != ".npz":
        return _named_matrix(key, target, _read_table(target, suffix))
    arrays = _read_npz(target)
    if len(arrays) != 1 or not arrays.keys() <= {"matrix", key}:
        raise InputError(f"holds {', '.join(arrays)}: wanted the {key} alone", file=target)
    return {key: next(iter(arrays.values()))}
