"""Kinds of circuits whose laws compiled loops find for many boards side by side (``spu/base/kernels/c/draws.c``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.base.kernels.door import CACHE_LINE, Kernel, aligned, declare, floats, integers
from spu.emulator.equations.monomials import POWERS, FactoredCircuit, Monomial, Terms
from spu.emulator.equations.reduction import components

WIDEST = 8
"""Boards side by side, at most, on any processor."""

Term = tuple[int, float, Monomial]
"""Which target it is added to, its number, and the powers of factors that multiply it."""


class Assembly(NamedTuple):
    """How the entries of a circuit's matrices follow from factors.

    Attributes
    ----------
    element, power, times:
        (slots,) a factor, the number of its power in `POWERS`, and a slot before this one: their product is the slot.
        The first one is 1.
    begin:
        (targets + 1,) the first term of each entry.
    base, slot:
        (terms,) a number and a slot: their product is the term.
    """

    element: IntArray
    power: IntArray
    times: IntArray
    begin: IntArray
    base: FloatArray
    slot: IntArray


declare(
    Assembly,
    element=integers("slots"),
    power=integers("slots"),
    times=integers("slots"),
    begin=integers("targets+1"),
    base=floats("terms"),
    slot=integers("terms"),
)


def assembly(terms: Iterable[Term], targets: int) -> Assembly | None:
    """The assembly of so many targets; None where a term has other powers than `POWERS`."""
    slots: dict[Monomial, int] = {(): 0}
    made: list[tuple[int, int, int]] = [(0, 0, 0)]
    rows: list[tuple[int, float, int]] = []
    for target, value, monomial in terms:
        for length in range(1, len(monomial) + 1):
            part = monomial[:length]
            if part not in slots:
                element, power = part[-1]
                if power not in POWERS:
                    return None
                slots[part] = len(made)
                made.append((element, POWERS.index(power), slots[part[:-1]]))
        rows.append((target, value, slots[monomial]))
    rows.sort(key=lambda row: row[0])
    where = np.array([row[0] for row in rows], dtype=np.int64)
    element, power, times = np.array(made, dtype=np.int64).T.copy()
    return Assembly(
        element,
        power,
        times,
        np.searchsorted(where, np.arange(targets + 1)).astype(np.int64),
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows], dtype=np.int64),
    )


def triangle(rows: IntArray, columns: IntArray) -> IntArray:
    """Numbers of entries of a lower triangle, row by row."""
    return rows * (rows + 1) // 2 + columns


def lower(terms: Terms, start: int, sign: float = 1.0) -> list[Term]:
    """Terms of a symmetric matrix as those of its lower triangle, which begins at a target."""
    keep = terms.rows >= terms.columns
    where = start + triangle(terms.rows[keep], terms.columns[keep])
    monomials = [each for each, kept in zip(terms.monomials, keep.tolist(), strict=True) if kept]
    return list(zip(where.tolist(), (sign * terms.values[keep]).tolist(), monomials, strict=True))


def noise_terms(terms: Terms, start: int, scale: float = 1.0) -> list[Term]:
    """Those of ``scale K K^T / 2``, as `lower`."""
    found: list[Term] = []
    order = np.argsort(terms.columns, kind="stable")
    for source in np.split(order, np.flatnonzero(np.diff(terms.columns[order])) + 1):
        for a, b in product(source.tolist(), source.tolist()):
            i, j = int(terms.rows[a]), int(terms.rows[b])
            if i < j:
                continue
            powers = dict(terms.monomials[a])
            for element, power in terms.monomials[b]:
                powers[element] = powers.get(element, 0.0) + power
            monomial = tuple(sorted((element, power) for element, power in powers.items() if power))
            where = start + i * (i + 1) // 2 + j
            found.append((where, 0.5 * scale * float(terms.values[a] * terms.values[b]), monomial))
    return found


Solver = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]
"""Takes factors (d, e), and fills in the mean (d, p) V and covariance (d, p, p) V^2 of the probes, and (d,) an estimate
of their relative error: not a number where there is no law, or where this way does not tell."""


class Family(ABC):
    """A circuit of one kind, on many boards."""

    @abstractmethod
    def solver(self) -> Solver:
        """A solver with room of its own: one for each thread."""


def _misfit(
    made: Assembly,
    stiff: int,
    biased: int,
    design: FloatArray,
    places: IntArray,
    basis: FloatArray,
    probes: IntArray,
    room: FloatArray,
    *_: object,
) -> str | None:
    n = len(basis)
    if len(made.begin) != cell_targets(n, bool(stiff), bool(biased)) + 1 or n > Cells.MOST:
        return f"{len(made.begin) - 1} entries for {n} nodes"
    if len(room) < cell_room(made, n) * WIDEST or room.ctypes.data % CACHE_LINE:
        return "the room must begin where a cache line does, and be large enough"
    if (places < -1).any() or (places >= n).any() or (places[:, :, -1] != -1).any():
        return f"a pattern of more than {n} columns"
    if ((probes < 0) | (probes >= n)).any():
        return f"probes of {n} nodes"
    return astray(made, len(design))


def astray(made: Assembly, elements: int) -> str | None:
    """Whether an assembly speaks of what is not there."""
    slots, terms = len(made.element), len(made.base)
    limits = (
        (made.element, elements),
        (made.power, len(POWERS)),
        (made.times[1:], np.arange(1, slots)),
        (made.times[:1], 1),
        (made.slot, slots),
        (made.begin, terms + 1),
    )
    if any(((array < 0) | (array >= limit)).any() for array, limit in limits) or (np.diff(made.begin) < 0).any():
        return "an assembly of what is not there"
    return None


def cell_targets(n: int, stiff: bool, biased: bool) -> int:
    """Entries that `laws_of_cells` asks for."""
    return (3 + stiff) * (n * (n + 1) // 2) + biased * n


def cell_room(made: Assembly, n: int) -> int:
    """Vectors of scratch of `laws_of_cells`."""
    pairs = n * (n - 1) // 2
    return (15 + n) * n * n + (pairs + 4) * pairs + 4 * n + len(made.begin) + len(made.element)


laws_of_cells = Kernel(
    "laws_of_cells",
    None,
    _misfit,
    made=Assembly,
    stiff=int,
    biased=int,
    design=floats("elements"),
    places=integers(4, "n", "n+1"),
    basis=floats("n", "n"),
    probes=integers("p"),
    room=floats("size", written=True),
    factors=floats("draws", "elements"),
    mean=floats("draws", "p", written=True),
    covariance=floats("draws", "p", "p", written=True),
    error=floats("draws", written=True),
)


class Cells(Family):
    """Capacitances, conductances and inductances among n nodes: ``C v' + G v + Gamma phi = s + noise``, ``phi' = v``.

    All three matrices are symmetric, C and G definite, Gamma definite or zero. With ``X = E[v phi^T]``, which is
    antisymmetric as ``phi' = v``, the covariance V of the voltages solves

        ``G V C + C V G = S + Gamma X C - C X Gamma``,   ``C V Gamma - Gamma V C = G X Gamma + Gamma X G``

    n^2 unknowns and not the n (2 n + 1) of a covariance of 2 n states. In the basis where ``C = 1`` and
    ``G = diag(d)`` the first one gives V entry by entry, ``V = W (S + Gamma X - X Gamma)`` with
    ``W_ij = 1 / (d_i + d_j)``. Put into the second it leaves ``m = n (n - 1) / 2`` equations for X. With ``ad(X) =
    Gamma X - X Gamma`` they are ``(ad^T W ad + M) X = -ad^T W S``, where ``<X, M X> = 2 tr(X^T D X Gamma)``: symmetric
    and positive definite, so that they are solved without pivots and stability needs no poles.

    Operations (multiply and add as one) of a board of n = 8: the basis by Jacobi's rotations, n (n - 1) / 2 of 7 n each
    in a sweep, and from the basis of the board as designed some four sweeps, 6000 with 450 divisions and roots;
    products of n by n, 22 of n^3, 11,000; the matrix of X, 2500, its factor, m^3 / 6 = 3700, and two solutions, 1600.
    With the step of refinement 26,000, where Schur's form of 16 states and what follows takes some 25 (2 n)^3 =
    100,000 that depend on each other, and doubling 8 times 2.5 (2 n)^3 = 82,000.

    The residual of the circuit's own matrices is solved for once more. How far that moves the covariance is the error
    of what was there before, and the estimate.
    """

    MOST = 16
    """Nodes up to which this takes fewer operations than others, and the loop has room."""

    def __init__(
        self,
        made: Assembly,
        elements: int,
        stiff: bool,
        biased: bool,
        places: IntArray,
        basis: FloatArray,
        probes: IntArray,
    ) -> None:
        self.made, self.stiff, self.biased, self.elements = made, stiff, biased, elements
        self.places, self.basis, self.probes = places, basis, probes

    @classmethod
    def of(cls, found: FactoredCircuit) -> Cells | None:
        """Of a circuit; None where it is none of these."""
        circuit, stamps, terms = found.circuit, found.stamps, found.terms
        n, probes = stamps.node_count, circuit.probe_nodes
        if n > cls.MOST or not stamps.passive or stamps.couplings or stamps.voltage_ends:
            return None
        if (probes[:, 0] == GROUND).any() or (probes[:, 1] != GROUND).any() or (terms["K"].rows >= n).any():
            return None
        stiff = bool(stamps.inductor_count)
        inductors = [(p, n) for p, n, _ in stamps.inductor_ends]
        for edges in (stamps.capacitor_ends, stamps.conductor_ends, *([inductors] if stiff else [])):
            labels, ground = components(edges, n)
            if (labels != ground).any():
                return None
        E, F, K, s = (terms[name] for name in "EFKs")
        if (s.rows >= n).any():
            return None
        size, unit = n * (n + 1) // 2, _time(found) if stiff else 1.0
        entries = lower(_among(E, n), 0) + lower(_among(F, n), size, -unit) + noise_terms(K, 2 * size, unit)
        if stiff:
            entries += _stiffness(found, 3 * size, unit**2)
        biased = bool(len(s.rows)) and not stiff  # inductors hold the mean at zero
        if biased:
            entries += list(zip((s.rows + 3 * size).tolist(), s.values.tolist(), s.monomials, strict=True))
        made = assembly(entries, cell_targets(n, stiff, biased))
        if made is None:
            return None
        nominal = [_folded(made, k * size, n) for k in range(3 + stiff)]
        basis = _basis(nominal[0], nominal[1])
        if not np.isfinite(basis).all():
            return None
        places = np.full((4, n, n + 1), -1, dtype=np.int64)
        for where, matrix in zip(places, nominal, strict=False):
            for row, entries_there in zip(where, matrix != 0, strict=True):
                columns = np.flatnonzero(entries_there)
                row[: len(columns)] = columns
        return cls(
            made,
            len(found.factors.known),
            stiff,
            biased,
            places,
            np.ascontiguousarray(basis),
            np.ascontiguousarray(probes[:, 0]),
        )

    def solver(self) -> Solver:
        """As `Family.solver`."""
        room = aligned((cell_room(self.made, len(self.basis)) * WIDEST,))
        shape = (int(self.stiff), int(self.biased), np.ones(self.elements))
        return laws_of_cells.bind(self.made, *shape, self.places, self.basis, self.probes, room)


def _folded(made: Assembly, start: int, n: int) -> FloatArray:
    """A symmetric matrix of n rows with all factors 1, whose lower triangle begins at a target."""
    sums = np.add.reduceat(np.append(made.base, 0.0), made.begin[:-1]) * (np.diff(made.begin) > 0)
    matrix = np.zeros((n, n))
    matrix[np.tril_indices(n)] = sums[start : start + n * (n + 1) // 2]
    return matrix + np.tril(matrix, -1).T


def _basis(C: FloatArray, G: FloatArray) -> FloatArray:
    """(n, n) Y with ``Y C Y^T = 1`` and ``Y G Y^T`` diagonal; not finite where C is not definite.

    Entry by entry: LAPACK's last bits are not those of another machine, and boards would inherit them.
    """
    n = len(C)
    C, G, Y = C.copy(), G.copy(), np.eye(n)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for k in range(n):
            for i in range(k + 1, n):
                factor = C[i, k] / C[k, k]
                for matrix in (C, G):
                    matrix[i] -= factor * matrix[k]
                    matrix[:, i] -= factor * matrix[:, k]
                Y[i] -= factor * Y[k]
        scale = 1.0 / np.sqrt(C.diagonal())
        G *= scale[:, None] * scale
        Y *= scale[:, None]
        for _ in range(_SWEEPS):
            for p, q in combinations(range(n), 2):
                apart, off = G[q, q] - G[p, p], 2.0 * G[p, q]
                if off == 0.0:
                    continue
                t = np.copysign(off, off * apart) / (abs(apart) + np.sqrt(apart * apart + off * off))
                c = 1.0 / np.sqrt(1.0 + t * t)
                for rows in (G, G.T, Y):
                    first, second = rows[p].copy(), rows[q].copy()
                    rows[p], rows[q] = c * first - t * c * second, t * c * first + c * second
    return Y


_SWEEPS = 6
"""Of rotations: boards are turned further, each as far as it takes."""


def _among(terms: Terms, n: int) -> Terms:
    """Terms between the first n unknowns."""
    keep = (terms.rows < n) & (terms.columns < n)
    monomials = [each for each, kept in zip(terms.monomials, keep.tolist(), strict=True) if kept]
    return Terms(terms.rows[keep], terms.columns[keep], terms.values[keep], monomials)


def _time(found: FactoredCircuit) -> float:
    """A unit of time, s, in which the cells' frequencies are about 1: a power of two."""
    n, E = found.stamps.node_count, found.stamps.dense("E").diagonal()
    stiffness = np.zeros(n)
    for row, ends in enumerate(found.stamps.branch_ends().tolist()):
        for end in ends:
            stiffness[end] += 0.0 if end == GROUND else 1.0 / E[n + row]
    return float(2.0 ** -np.round(0.5 * np.log2(stiffness.max() / E[:n].max())))


def _stiffness(found: FactoredCircuit, start: int, scale: float) -> list[Term]:
    """Terms of the inverse inductances."""
    n, E = found.stamps.node_count, found.terms["E"]
    ends = found.stamps.branch_ends()
    made: list[Term] = []
    for row, column, value, monomial in zip(E.rows.tolist(), E.columns.tolist(), E.values, E.monomials, strict=True):
        if row < n or row != column:
            continue
        inverse = tuple((element, -power) for element, power in monomial)
        p, q = (int(end) for end in ends[row - n])
        for i, j, sign in ((p, p, 1.0), (q, q, 1.0), (max(p, q), min(p, q), -1.0)):
            if i != GROUND and j != GROUND:
                made.append((start + i * (i + 1) // 2 + j, sign * scale / float(value), inverse))
    return made


def _unfit(
    made: Assembly,
    n: int,
    whole: int,
    rate: float,  # noqa: ARG001
    design: FloatArray,
    probes: IntArray,
    room: FloatArray,
    *_: object,
) -> str | None:
    if len(made.begin) != state_targets(n, whole) + 1 or not 0 < n <= whole <= States.MOST:
        return f"{len(made.begin) - 1} entries for {n} states of {whole} unknowns"
    if len(room) < state_room(made, n, whole) * WIDEST or room.ctypes.data % CACHE_LINE:
        return "the room must begin where a cache line does, and be large enough"
    if ((probes < 0) | (probes >= n)).any():
        return f"probes of {n} states"
    return astray(made, len(design))


def state_targets(n: int, whole: int) -> int:
    """Entries that `laws_of_states` asks for."""
    return n * (n + 1) // 2 + whole * whole + whole * (whole + 1) // 2 + whole


def state_room(made: Assembly, n: int, whole: int) -> int:
    """Vectors of scratch of `laws_of_states`."""
    return (_DOUBLINGS + 7) * n * n + 2 * whole * whole + 3 * whole + len(made.begin) + len(made.element)


_DOUBLINGS = 24
"""At most, as in the loop: time constants may spread by more than a million."""


laws_of_states = Kernel(
    "laws_of_states",
    None,
    _unfit,
    made=Assembly,
    n=int,
    all=int,
    rate=float,
    design=floats("elements"),
    probes=integers("p"),
    room=floats("size", written=True),
    factors=floats("draws", "elements"),
    mean=floats("draws", "p", written=True),
    covariance=floats("draws", "p", "p", written=True),
    error=floats("draws", written=True),
)


class States(Family):
    """``E x' = F x + s + noise`` of n states with a symmetric definite E, and unknowns without derivative.

    Those are eliminated. Then, in coordinates of stored energy, ``A P + P A^T + Q = 0`` becomes ``P = J P J^T + P_0``
    with ``J = (1 + A / r) (1 - A / r)^-1`` (Cayley), and that is summed by doubling (Smith, SIAM J. Appl. Math. 16:198,
    1968): no poles, no pivots, and what does not decay does not converge.

    Operations of a board of n states: some 8 doublings of 2.5 n^3, and 1.5 n^3 once more, and 20 n^3 besides: 210,000
    for n = 16. Once more because the residual is solved for: how far that moves the covariance is the estimate of the
    error.
    """

    MOST = 100
    """Unknowns up to which this takes far less time than a law on its own, and the loop has room."""

    def __init__(self, made: Assembly, elements: int, n: int, whole: int, rate: float, probes: IntArray) -> None:
        self.made, self.elements, self.n, self.whole = made, elements, n, whole
        self.rate, self.probes = rate, probes

    @classmethod
    def of(cls, found: FactoredCircuit) -> States | None:
        """Of a circuit; None where it is none of these."""
        circuit, stamps, terms = found.circuit, found.stamps, found.terms
        ends, whole = circuit.probe_nodes, stamps.size
        if whole > cls.MOST or (ends[:, 0] == GROUND).any() or (ends[:, 1] != GROUND).any():
            return None
        E, F = stamps.dense("E"), stamps.dense("F")
        moving = E.any(axis=1)
        order = np.append(np.flatnonzero(moving), np.flatnonzero(~moving))
        place = np.argsort(order)
        n, probes = int(moving.sum()), place[ends[:, 0]]
        if not n or (probes >= n).any() or np.abs(E - E.T).max() > 0:
            return None
        rows = np.append(order[:n], _equations(F, order[n:]))
        row_of = np.argsort(rows)
        moved = {
            name: Terms(
                row_of[each.rows], place[each.columns] if name in "EF" else each.columns, each.values, each.monomials
            )
            for name, each in terms.items()
        }
        start = n * (n + 1) // 2
        entries = lower(moved["E"], 0)
        where = start + moved["F"].rows * whole + moved["F"].columns
        entries += list(zip(where.tolist(), moved["F"].values.tolist(), moved["F"].monomials, strict=True))
        entries += noise_terms(moved["K"], start + whole * whole)
        where = start + whole * whole + whole * (whole + 1) // 2 + moved["s"].rows
        entries += list(zip(where.tolist(), moved["s"].values.tolist(), moved["s"].monomials, strict=True))
        made = assembly(entries, state_targets(n, whole))
        rate = _rate(E[np.ix_(order, order)][:n, :n], F[np.ix_(rows, order)])
        if made is None or rate is None:
            return None
        return cls(made, len(found.factors.known), n, whole, rate, probes)

    def solver(self) -> Solver:
        """As `Family.solver`."""
        room = aligned((state_room(self.made, self.n, self.whole) * WIDEST,))
        shape = (self.n, self.whole, self.rate, np.ones(self.elements), self.probes)
        return laws_of_states.bind(self.made, *shape, room)


def _equations(F: FloatArray, unknowns: IntArray) -> IntArray:
    """Equations of unknowns without derivative, in an order in which elimination from the last one needs no pivots."""
    backwards = unknowns[::-1]
    rows = la.lu(F[np.ix_(backwards, backwards)], p_indices=True)[0] if len(unknowns) else np.empty(0, np.int64)
    order = np.argsort(rows)  # F[order] = L U
    return np.asarray(backwards[order][::-1])


def _rate(E: FloatArray, F: FloatArray) -> float | None:
    """A rate between the slowest and the fastest, a power of two; None of what has no law."""
    n = len(E)
    try:
        if len(F) > n:
            F = F[:n, :n] - F[:n, n:] @ np.linalg.solve(F[n:, n:], F[n:, :n])
        A = np.linalg.solve(E, F)
    except np.linalg.LinAlgError:
        return None
    sizes = np.abs(np.linalg.eigvals(A)) if np.isfinite(A).all() else np.zeros(1)
    return float(2.0 ** np.round(0.5 * np.log2(sizes.max() * sizes.min()))) if sizes.min() > 0 else None


FAMILIES = (Cells, States)
"""The kinds, in the order in which they are tried."""
