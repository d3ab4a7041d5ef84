"""Stationary laws in as many digits as the spread of a circuit's rates asks for.

Beside a switch of picoseconds a charge that leaks away in a minute is below the rounding of a double: so are the
leak's own conductance on the diagonal of the nodal matrix, and the slow eigenvalue among the fast ones. Here the
equation is made of the circuit's elements once more, in `decimal.Decimal`, and solved so: real Schur form by
Francis' double shifts (Golub and Van Loan, Matrix Computations, 4th ed., sec. 7.5), from which follow the poles, and
by back-substitution the covariance (Bartels and Stewart, Comm. ACM 15:820, 1972). Arrays are of Python objects, so
that this is for small networks (`MOST`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal, getcontext, localcontext

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import InternalError
from spu.emulator.equations.linear import DecimalODE, StochasticODE, to_decimal

DecimalArray = NDArray[np.object_]

MOST = 64
"""States up to which laws are solved in decimal arithmetic: a few seconds at the most."""

_DIGITS = (60, 120)
"""Digits that are tried: what the first cannot tell from zero the second decides."""

_SURE = 25
"""Digits that a number has to have left to count as known, and not as zero."""

_UNDAMPED = Decimal("1e-14")
"""Decay over frequency of a mode that does not decay: the rounding of two inductors may make it or not."""

_EPS = 2.0 * np.finfo(float).eps
"""What a value is known to: a conductance may have been written as its resistance."""

_ZERO = Decimal(0)


@dataclass(frozen=True, eq=False)
class PreciseLaw:
    """A stationary law, right to the last digits of its doubles.

    Attributes
    ----------
    poles:
        (n,) 1/s.
    voltage_mean, voltage_covariance:
        (p,) V and (p, p) V^2 of the probes.
    mean, covariance:
        (q,) and (q, q) of the problem's variables, without their offsets.
    error:
        What the rounding of the elements' values to doubles makes of variances, at most, relative to them.
    """

    poles: ComplexArray
    voltage_mean: FloatArray
    voltage_covariance: FloatArray
    mean: FloatArray
    covariance: FloatArray
    error: float

    @property
    def means(self) -> FloatArray:
        """(p + q,) of the probes, then of the variables."""
        return np.concatenate([self.voltage_mean, self.mean])

    @property
    def variances(self) -> FloatArray:
        """(p + q,) of the same."""
        return np.concatenate([self.voltage_covariance.diagonal(), self.covariance.diagonal()])


class Unstable(Exception):
    """A mode that does not decay; ``pole`` (1/s) is its own."""

    def __init__(self, pole: complex) -> None:
        super().__init__(f"{pole}")
        self.pole = pole


class Undetermined(Exception):
    """An equation whose elimination in more digits leaves other states than in doubles, or that resists a solution."""


class _NotConverged(Exception):
    """Eigenvalues that Francis' steps do not separate in this many digits."""


def precise_law(sde: StochasticODE) -> PreciseLaw:
    """Solve an equation in decimal arithmetic.

    Raises
    ------
    Unstable
        If a mode grows, or does not decay.
    Undetermined
        If numbers that cancel to rounding decide which states there are, or no number of digits that is tried does.
    """
    found = None
    for digits in _DIGITS:
        context = Context(prec=digits, Emin=-999999999, Emax=999999999)
        with localcontext(context):
            try:
                found, sure = _solve_law(sde, Decimal(1).scaleb(_SURE - digits), last=digits == _DIGITS[-1])
            except _NotConverged:
                continue
        if sure:
            break
    if found is None:
        raise Undetermined
    return found


def _solve_law(sde: StochasticODE, least: Decimal, *, last: bool) -> tuple[PreciseLaw, bool]:
    """The law in the current context, and whether no part of it is in doubt for want of digits.

    What is smaller than ``least`` times its terms is in doubt; with the ``last`` digits it is zero.
    """
    equation = sde.decimal()
    if len(equation.E) != sde.E.shape[0]:
        raise Undetermined
    # In states on scales that balance the drift.
    A, B, drive, made_of = _explicit(equation)
    scale = _balance(A)
    A = A * scale / scale[:, None]
    B, drive, made_of = (part / scale[:, None] for part in (B, drive, made_of))
    T, U = schur(A)
    real, imaginary = _eigenvalues(T)
    undamped = int(np.argmin(-real - _UNDAMPED * abs(imaginary)))
    if -real[undamped] <= _UNDAMPED * abs(imaginary[undamped]):
        raise Unstable(complex(float(real[undamped]), float(abs(imaginary[undamped]))))
    slowest = int(np.argmin(-real))
    size = max(abs(T).ravel())
    if -real[slowest] <= least * size:
        if not last and abs(real[slowest]) <= least * size:
            return _nothing(), False
        raise Unstable(complex(float(real[slowest]), float(abs(imaginary[slowest]))))
    P = lyapunov(B @ B.T, T, U)
    _hold(A, P, B)
    probes = equation.H * scale
    readout = to_decimal(_readout(sde))
    covariances, weights, sure = [], np.full(P.shape, _ZERO), True
    for rows in (probes, readout @ probes):
        covariance = rows @ P @ rows.T
        floor = least * (abs(rows) @ abs(P) @ abs(rows).T)
        nothing = abs(covariance) <= floor
        sure &= last or not bool((nothing.diagonal() & (floor.diagonal() != 0)).any())
        covariance[nothing] = _ZERO
        covariances.append(covariance.astype(np.float64))
        heard = covariance.diagonal() > 0
        if heard.any():
            weights = weights + rows[heard].T @ (rows[heard] / covariance.diagonal()[heard][:, None])
    mean = probes @ -solve(A, drive)[:, 0] + equation.y0
    law = PreciseLaw(
        real.astype(np.float64) + 1j * imaginary.astype(np.float64),
        mean.astype(np.float64),
        covariances[0],
        (readout @ mean).astype(np.float64),
        covariances[1],
        0.0,
    )
    if equation.stamps is None or equation.reduced is None or not sure:
        return law, sure
    # The same from the other side: A^T = (U J) (J T^T J) (U J)^T with the order reversed by J.
    adjoint = lyapunov(weights, T.T[::-1, ::-1], U[:, ::-1])
    unknowns = equation.reduced.X * scale
    inner = P @ adjoint @ made_of
    by_F, by_E = 2 * (unknowns @ inner).T, -2 * (unknowns @ (A @ inner)).T
    return replace(law, error=_EPS * equation.stamps.shares(by_F, by_E)), sure


def _readout(sde: StochasticODE) -> FloatArray:
    """(q, p) from probes to variables; zeros where it is not of these probes."""
    matrix, probes = sde.readout.matrix, sde.H.shape[0]
    return matrix.toarray() if matrix.shape[1] == probes else np.zeros((matrix.shape[0], probes))


def _hold(A: DecimalArray, P: DecimalArray, B: DecimalArray) -> None:
    """Hold a covariance against the residual of its equation: every entry, by the size of its own terms."""
    half = A @ P
    residual = abs(half + half.T + B @ B.T)
    spread = np.array([max(value, _ZERO).sqrt() for value in P.diagonal()], dtype=object)
    reach = np.outer(abs(A) @ spread, spread)
    terms = reach + reach.T + abs(B) @ abs(B).T
    worst = max((residual - terms.max() * Decimal(1).scaleb(_SURE - getcontext().prec)).ravel())
    if worst > 0 and (residual > Decimal("1e-12") * terms).any():
        raise InternalError("the covariance of a stiff network does not solve its Lyapunov equation")


def _nothing() -> PreciseLaw:
    empty, square = np.zeros(0), np.zeros((0, 0))
    return PreciseLaw(np.zeros(0, dtype=np.complex128), empty, square, empty, square, np.inf)


def _explicit(equation: DecimalODE) -> tuple[DecimalArray, DecimalArray, DecimalArray, DecimalArray]:
    """``E^-1`` times F, K, s (as a column) and the map from the circuit's equations to these."""
    n, m = equation.K.shape
    made_of = np.eye(n, dtype=int) + _ZERO if equation.reduced is None else equation.reduced.made_of
    solved = solve(equation.E, np.hstack([equation.F, equation.K, equation.s[:, None], made_of]))
    return solved[:, :n], solved[:, n : n + m], solved[:, n + m : n + m + 1], solved[:, n + m + 1 :]


def _balance(A: DecimalArray) -> DecimalArray:
    """(n,) scales, powers of ten, that make rows and columns of about one size (Osborne, J. ACM 7:338, 1960)."""
    scale = np.full(len(A), Decimal(1))
    size = abs(A)
    size[np.diag_indices(len(A))] = _ZERO
    for _ in range(40):
        changed = False
        for k in range(len(A)):
            column, row = size[:, k].sum(), size[k].sum()
            if not column or not row:
                continue
            shift = round((row.adjusted() - column.adjusted()) / 2)
            if shift:
                size[:, k] *= Decimal(1).scaleb(shift)
                size[k] *= Decimal(1).scaleb(-shift)
                scale[k] = scale[k].scaleb(shift)
                changed = True
        if not changed:
            break
    return scale


def solve(matrix: DecimalArray, right: DecimalArray) -> DecimalArray:
    """Solve (n, n) equations for (n, k) right-hand sides by elimination, pivots chosen relative to their rows."""
    n = len(matrix)
    if not any(matrix[~np.eye(n, dtype=bool)]) and all(matrix.diagonal()):
        return np.asarray(right / matrix.diagonal()[:, None])
    size = abs(matrix).max(axis=1)
    if not all(size):
        raise ZeroDivisionError
    work = np.hstack([matrix, right]) / size[:, None]
    for k in range(n):
        pivot = k + int(np.argmax(abs(work[k:, k])))
        if not work[pivot, k]:
            raise ZeroDivisionError
        if pivot != k:
            work[[k, pivot]] = work[[pivot, k]]
        below = k + 1 + np.flatnonzero(work[k + 1 :, k] != 0)
        if len(below):
            work[below, k:] -= np.outer(work[below, k] / work[k, k], work[k, k:])
    found = work[:, n:]
    for k in range(n - 1, -1, -1):
        found[k] = (found[k] - work[k, k + 1 : n] @ found[k + 1 :]) / work[k, k] if k + 1 < n else found[k] / work[k, k]
    return np.asarray(found)


def schur(A: DecimalArray) -> tuple[DecimalArray, DecimalArray]:
    """Real Schur form: ``A = U T U^T`` with U orthogonal, T upper triangular but for blocks of two on its diagonal.

    Blocks of two may have real eigenvalues.
    """
    n = len(A)
    T, U = A + _ZERO, np.eye(n, dtype=int) + np.full((n, n), _ZERO)
    for k in range(n - 2):
        _reflect(T, U, k + 1, n, k, T[k + 1 :, k])
        T[k + 2 :, k] = _ZERO
    # Below the rounding of the whole, or of its own neighbours where these are smaller.
    whole = n * max(abs(T).ravel(), default=_ZERO).scaleb(1 - getcontext().prec)
    own = Decimal(1).scaleb(1 - getcontext().prec)
    last, tries = n - 1, 0
    while last > 0:
        first = last
        while first > 0:
            below = abs(T[first, first - 1])
            if below <= whole or below <= own * (abs(T[first, first]) + abs(T[first - 1, first - 1])):
                T[first, first - 1] = _ZERO
                break
            first -= 1
        if last - first < 2:
            last, tries = first - 1, 0
            continue
        tries += 1
        if tries > 300:
            raise _NotConverged
        _double_shift(T, U, first, last, exceptional=tries % 10 == 0)
    return T, U


def _double_shift(T: DecimalArray, U: DecimalArray, first: int, last: int, *, exceptional: bool) -> None:
    """One of Francis' steps on the rows from ``first`` to ``last``."""
    a, b, c, d = T[last - 1, last - 1], T[last - 1, last], T[last, last - 1], T[last, last]
    trace, determinant = a + d, a * d - b * c
    if exceptional:
        size = abs(c) + abs(T[last - 1, last - 2])
        trace, determinant = Decimal("1.5") * size, size * size
    h, below = T[first, first], T[first + 1, first]
    column = np.array(
        [
            h * h + T[first, first + 1] * below - trace * h + determinant,
            below * (h + T[first + 1, first + 1] - trace),
            below * T[first + 2, first + 1],
        ],
        dtype=object,
    )
    for k in range(first, last):
        stop = min(k + 3, last + 1)
        _reflect(T, U, k, stop, max(k - 1, first), column[: stop - k], most=min(k + 4, last + 1))
        if k > first:
            T[k + 1 : stop, k - 1] = _ZERO
        column = T[k + 1 : min(k + 4, last + 1), k].copy()


def _reflect(
    T: DecimalArray, U: DecimalArray, start: int, stop: int, left: int, column: DecimalArray, most: int | None = None
) -> None:
    """Turn rows and columns from ``start`` to ``stop`` so that a column of these becomes a multiple of the first.

    ``left``: the first column that is not zero there; ``most``: rows up to which columns are not zero.
    """
    v = column.copy()
    size = max(abs(v[1:]), default=_ZERO)
    if not size:
        return
    size = max(size, abs(v[0]))
    v /= size
    length = (v @ v).sqrt()
    v[0] += length if v[0] >= 0 else -length
    weight = 2 / (v @ v)
    weighted = v * weight
    rows = slice(start, stop)
    T[rows, left:] -= np.outer(v, weighted @ T[rows, left:])
    T[:most, rows] -= np.outer(T[:most, rows] @ v, weighted)
    U[:, rows] -= np.outer(U[:, rows] @ v, weighted)


def _blocks(T: DecimalArray) -> list[slice]:
    """The blocks on the diagonal of a Schur form."""
    blocks, k = [], 0
    while k < len(T):
        size = 2 if k + 1 < len(T) and T[k + 1, k] else 1
        blocks.append(slice(k, k + size))
        k += size
    return blocks


def _eigenvalues(T: DecimalArray) -> tuple[DecimalArray, DecimalArray]:
    """Real and imaginary parts, (n,) each."""
    real, imaginary = T.diagonal().copy(), np.full(len(T), _ZERO)
    for block in _blocks(T):
        if block.stop - block.start == 2:
            (a, b), (c, d) = T[block, block]
            middle = (a + d) / 2
            gap = ((a - d) / 2) ** 2 + b * c
            root = abs(gap).sqrt()
            if gap < 0:
                real[block] = middle
                imaginary[block] = [root, -root]
            else:  # the one of smaller size from the product, where their difference would cancel
                far = middle + root if middle >= 0 else middle - root
                near = (a * d - b * c) / far if far else middle
                real[block] = [near, far]
    return real, imaginary


def lyapunov(Q: DecimalArray, T: DecimalArray, U: DecimalArray) -> DecimalArray:
    """Solve ``A P + P A^T + Q = 0`` for symmetric Q, all (n, n), with the Schur form of A."""
    C = U.T @ Q @ U
    Y = np.full(C.shape, _ZERO)
    blocks = _blocks(T)
    for right in reversed(blocks):
        after = slice(right.stop, None)
        rest = -C[:, right] - (Y[:, after] @ T[right, after].T if right.stop < len(T) else _ZERO)
        for left in [block for block in reversed(blocks) if block.start <= right.start]:
            here = rest[left]
            if left.stop < len(T):
                here = here - T[left, left.stop :] @ Y[left.stop :, right]
            Y[left, right] = _sylvester(T[left, left], T[right, right], here)
            Y[right, left] = Y[left, right].T
    P = U @ Y @ U.T
    return np.asarray((P + P.T) / 2)


def _sylvester(a: DecimalArray, b: DecimalArray, c: DecimalArray) -> DecimalArray:
    """Solve ``a y + y b^T = c`` for a and b of one or two rows."""
    if a.size == b.size == 1:
        return np.asarray(c / (a[0, 0] + b[0, 0]))
    system = np.kron(a, np.eye(len(b), dtype=int)) + np.kron(np.eye(len(a), dtype=int), b)
    return solve(system, c.reshape(-1, 1)).reshape(c.shape)
