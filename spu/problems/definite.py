"""Symmetric positive definite matrices, dense and sparse, held to what they must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Complex, Real
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.cholesky import cholesky
from spu.base.cholesky import inverse as cholesky_inverse
from spu.base.errors import InputError
from spu.base.names import check_names, first_line, shorten
from spu.base.sparse import canonical, largest_eigenvalue, with_data
from spu.base.threads import one_blas_thread

if TYPE_CHECKING:
    from spu.base.selected_inverse import SparseCholesky


__all__ = ["DENSE_SIZE", "MAX_SIZE", "MAX_SPARSE_ENTRIES", "MAX_SPARSE_SIZE"]


MAX_SIZE = 10_000
"""Most variables of a problem with a dense matrix: this is 0.8 GB a matrix."""

DENSE_SIZE = 2_000
"""Sparse matrices of up to this many variables are made dense: dense algebra is faster and exact to rounding."""

MAX_SPARSE_SIZE = 1_000_000
"""Most variables of a problem with a sparse matrix."""

MAX_SPARSE_ENTRIES = 20_000_000
"""Most entries a sparse matrix may store; both halves count."""

_SYMMETRY_TOLERANCE = 1e-10

_LANCZOS_TOLERANCE = 1e-4

_EPS = float(np.finfo(np.float64).eps)


def stays_sparse(value: Any) -> bool:
    """Whether a matrix is sparse and too large to be made dense."""
    return sp.issparse(value) and max(cast(Any, value).shape) > DENSE_SIZE


def definite(value: Any, what: str, variables: Iterable[str] | None) -> Definite | SparseDefinite:
    """Validate a matrix and its variables; `what` names it in the messages."""
    kind: Any = SparseDefinite if stays_sparse(value) else Definite
    return kind.check(value, what, variables)


class NotDefinite(InputError):
    """A matrix that is not symmetric, or has eigenvalues below zero: of nothing that is singular, or no matrix."""


class Definite(NamedTuple):
    """A matrix found symmetric positive definite, with what its Cholesky factor gives."""

    matrix: FloatArray  # (n, n), exactly symmetric
    inverse: FloatArray  # (n, n), exactly symmetric
    variables: tuple[str, ...]
    condition: float
    factor: FloatArray  # (n, n), lower Cholesky factor of 2**-exponent * matrix
    exponent: int

    @classmethod
    def check(cls, value: Any, what: str, variables: Iterable[str] | None) -> Definite:
        """Validate a matrix and its variables; `what` names it in the messages."""
        a = _square(value, what)
        n = len(a)
        names = variable_names(variables, n)
        require_finite(a, what, names)
        diagonal = a.diagonal()
        if n > _FEW and diagonal.min() <= 0:  # said before anything that takes time, such as eigenvalues
            k = int(diagonal.argmin())
            raise NotDefinite(
                f"{what} is not positive definite: its diagonal is {diagonal[k]:.6g} at {_place((k,), names)}"
            )

        # Matrices of capacitances in farads are as welcome as matrices near overflow:
        # all that can over- or underflow is done on 2**-exponent * a, which is exact.
        a = symmetrised(a, what, names)
        exponent = _exponent(a)
        scaled = _shifted(a, -exponent)

        factor = cholesky(scaled)
        inverse = None if factor is None else cholesky_inverse(factor)
        smallest, largest = _spectrum(scaled, inverse)
        # Within a small factor of this bound the factorisation may break down.
        if factor is None or inverse is None or not smallest > n * _EPS * largest:
            _refuse_indefinite(what, smallest, largest, n, exponent)
        inverse = _shifted(inverse, -exponent, inverse)
        if not np.isfinite(inverse).all() or not np.diagonal(inverse).all():
            _refuse_range(what, float(np.abs(a).max()))
        return cls(a, inverse, names, largest / smallest, factor, exponent)

    def solve(self, b: FloatArray) -> FloatArray:
        """Solve with the matrix for one right-hand side of shape (n,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.ldexp(scipy.linalg.cho_solve((self.factor, True), b), -self.exponent)
        return _in_range(x)


def square(value: Any, what: str, variables: Iterable[str] | None) -> tuple[FloatArray, tuple[str, ...]]:
    """Convert to a fresh, finite (n, n) array, and names of its rows; ``what`` names it in the messages."""
    a = _square(value, what)
    names = variable_names(variables, len(a))
    require_finite(a, what, names)
    return a, names


def symmetrised(a: FloatArray, what: str, names: tuple[str, ...]) -> FloatArray:
    """A finite (n, n) array made exactly symmetric; one that is not, but for rounding, is refused."""
    if not (a != a.T).any():
        return a
    scaled = _shifted(a, -_exponent(a))
    gap = np.abs(scaled - scaled.T)
    asymmetry = float(gap.max() / (np.abs(scaled).max() or 1.0))
    if asymmetry > _SYMMETRY_TOLERANCE:
        i, j = (int(k) for k in np.unravel_index(gap.argmax(), gap.shape))
        _refuse_asymmetric(what, a[i, j], a[j, i], _place((i, j), names), asymmetry)
    return 0.5 * a + 0.5 * a.T


def _exponent(a: FloatArray) -> int:
    """Of the power of two next above the largest entry."""
    return int(np.frexp(max(a.max(), -a.min()))[1])


_FEW = 256
"""Rows up to which all eigenvalues are found: beyond, the extreme two cost a small part of that."""


def _spectrum(a: FloatArray, inverse: FloatArray | None) -> tuple[float, float]:
    """Smallest and largest eigenvalue of a symmetric (n, n) matrix, of which the inverse is known if there is one."""
    if inverse is None or len(a) <= _FEW or not np.isfinite(inverse).all():
        eigenvalues = scipy.linalg.eigvalsh(a)
        return float(eigenvalues[0]), float(eigenvalues[-1])
    start = np.cos(np.arange(len(a), dtype=np.float64) ** 2)
    with one_blas_thread():  # memory decides: threads that wake for each product take many times as long
        ends = [largest_eigenvalue(matrix.__matmul__, start, tolerance=_LANCZOS_TOLERANCE) for matrix in (a, inverse)]
    return 1.0 / ends[1], ends[0]


def _shifted(a: FloatArray, exponent: int, out: FloatArray | None = None) -> FloatArray:
    """``2**exponent a``; beyond what a double holds infinite, or rounded to what is left of it."""
    with np.errstate(over="ignore"):
        # A product by a power of two is the same number, and soon made.
        if abs(exponent) < _EXPONENTS:
            return np.multiply(a, 2.0**exponent, out=out)
        return np.ldexp(a, exponent, out=out)


_EXPONENTS = 1000
"""Powers of two less than this are doubles."""


class SparseDefinite(NamedTuple):
    """A sparse matrix found symmetric positive definite, with its factors."""

    matrix: sp.csr_array  # (n, n), exactly symmetric and canonical
    variables: tuple[str, ...]
    condition: float
    factor: SparseCholesky  # of 2**-exponent * matrix
    exponent: int

    @classmethod
    def check(cls, value: Any, what: str, variables: Iterable[str] | None) -> SparseDefinite:
        """Validate a sparse matrix and its variables; `what` names it in the messages."""
        from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky

        a = _square_sparse(value, what)
        n = a.shape[0]
        names = variable_names(variables, n)
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


def without_rounding(given: Definite) -> FloatArray:
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
    raise NotDefinite(
        f"{what} is not symmetric: {here:.6g} at {place} but {across:.6g} across the diagonal\n"
        f"(relative asymmetry {asymmetry:.2g}; at most {_SYMMETRY_TOLERANCE:.0e} is taken as rounding)"
    )


def _refuse_pivot(what: str, index: int | None, pivot: float | None, exponent: int, names: tuple[str, ...]) -> NoReturn:
    """Refuse a sparse matrix by the pivot of its factorisation that is not positive."""
    if index is None or pivot is None:
        raise InputError(f"{what} is not positive definite: its factorisation breaks down, so it is singular")
    raise NotDefinite(
        f"{what} is not positive definite: elimination leaves {_ldexp(pivot, exponent):.6g} on the diagonal "
        f"at {_place((index,), names)}; every pivot must be positive"
    )


def _refuse_indefinite(what: str, smallest: float, largest: float, n: int, exponent: int) -> NoReturn:
    """Refuse a matrix by its extreme eigenvalues, given scaled by ``2**-exponent``."""
    spectrum = f"smallest eigenvalue {_ldexp(smallest, exponent):.6g}, largest {_ldexp(largest, exponent):.6g}"
    if smallest < -n * _EPS * abs(largest):
        raise NotDefinite(f"{what} is not positive definite: {spectrum}; all eigenvalues must be positive")
    raise InputError(
        f"{what} is not positive definite but singular to working precision: {spectrum};\n"
        f"the smallest must exceed n·eps = {n * _EPS:.2g} times the largest"
    )


def _ldexp(value: float, exponent: int) -> float:
    with np.errstate(over="ignore"):
        return float(np.ldexp(value, exponent))


def variable_names(variables: Iterable[str] | None, n: int, lines: str = "rows") -> tuple[str, ...]:
    """Names of n variables, checked; ``x1`` to ``xn`` unless given."""
    if variables is None:
        return tuple(f"x{i}" for i in range(1, n + 1))
    names = check_names(variables, "a variable")
    if len(names) != n:
        raise InputError(f"{len(names)} variable names for a matrix of {n} {lines}: give one for each {lines[:-1]}")
    return names


def _place(index: Sequence[int], names: tuple[str, ...]) -> str:
    """Say where an entry is: "row 2, column 3 (x2, x3)" or "entry 2 (x2)"."""
    if len(index) == 1:
        return f"entry {index[0] + 1} ({names[index[0]]})"
    i, j = index
    return f"row {i + 1}, column {j + 1} ({names[i]}, {names[j]})"


def require_finite(a: FloatArray, what: str, names: tuple[str, ...]) -> None:
    finite = np.isfinite(a)
    if not finite.all():
        index = tuple(int(k) for k in np.argwhere(~finite)[0])
        _refuse_infinite(what, float(a[index]), index, names)


def _refuse_infinite(what: str, value: float, index: Sequence[int], names: tuple[str, ...]) -> NoReturn:
    kind = "NaN" if np.isnan(value) else "infinite"
    raise InputError(f"{what} is {kind} at {_place(index, names)}: every entry must be finite")


def _square(value: Any, what: str) -> FloatArray:
    """Convert to a fresh non-empty (n, n) array; entries are not looked at."""
    a = real_array(value, what)
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


def real_matrix(value: Any, what: str) -> FloatArray:
    """Convert to a fresh finite (m, n) array, neither of which is zero; a scalar is 1 × 1."""
    a = real_array(value, what)
    a = a.reshape(1, 1) if a.ndim == 0 else a
    if a.ndim != 2 or a.size == 0:
        raise InputError(f"{what} has shape {_shape(a)}: it must be m × n, with at least one row and column")
    _require_size(a.shape, what)
    if not np.isfinite(a).all():
        i, j = (int(k) for k in np.argwhere(~np.isfinite(a))[0])
        kind = "NaN" if np.isnan(a[i, j]) else "infinite"
        raise InputError(f"{what} is {kind} at row {i + 1}, column {j + 1}: every entry must be finite")
    return a


def real_vector(value: Any, what: str, names: tuple[str, ...]) -> FloatArray:
    """Convert to a fresh finite (n,) array; one column, one row and, for n = 1, a scalar will do."""
    n = len(names)
    a = real_array(value, what)
    if a.shape not in ((n,), (n, 1), (1, n)) and not (n == 1 and a.ndim == 0):
        raise InputError(f"{what} has shape {_shape(a)}: the matrix calls for {_entries(n)}")
    a = a.reshape(n)
    require_finite(a, what, names)
    return a


def _shape(a: FloatArray) -> str:
    return " × ".join(map(str, a.shape)) + (" (one-dimensional)" if a.ndim == 1 else "")


def _require_size(shape: Sequence[int], what: str) -> None:
    if max(shape, default=0) > MAX_SIZE:
        raise InputError(f"{what} has shape {' × '.join(map(str, shape))}: at most {MAX_SIZE} variables are taken")


def real_array(value: Any, what: str) -> FloatArray:
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
