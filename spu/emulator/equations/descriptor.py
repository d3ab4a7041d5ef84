"""Reduce ``E x' = F x + s + K n`` of any linear network to one with an invertible ``E``.

Voltage sources, controlled sources and perfect couplings leave modified nodal analysis with
unknowns that have no derivative (currents of sources, voltages of nodes without capacitance) and
with constraints among those that have one: a capacitor across a supply, one that an amplifier
drives, inductors in series. Such a constraint is hidden (index 2): its derivative determines a
current. It is allowed as long as no white noise is in it, whose derivative is nothing.

The reduction is Gaussian elimination, in this order:

1. The current of each voltage source appears where Kirchhoff's law of a node can be solved for it.
   Nobody asks for it, so that equation goes, with the current.
2. Combinations of equations without derivatives are constraints, combinations of unknowns without
   derivatives are free. Constraints are solved for free unknowns; those left over, which hold states
   alone, for states. Then ``E`` has fewer columns, and the same again until it is invertible.
3. Combinations of equations without right-hand side conserve a charge or a flux. It is taken as
   zero, and one state fewer is left.

Which entries are zero decides everything. Each entry therefore carries the sum of the magnitudes
of the terms that made it: what is smaller than the rounding of these terms (`_ROUNDING`) is
their exact cancellation, and set to zero. So the decisions depend on no unit, and not on how far
the values of other components are away.

Values may have an imaginary part of `STEP`, relative: magnitudes and so all decisions are as without, and what is
left has the derivative by that value in its imaginary part, without a difference that could round (Squire and
Trapp, SIAM Rev. 40:110, 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, getcontext
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import IntArray
from spu.base.constants import GROUND
from spu.base.errors import CircuitError
from spu.circuit.stamps import Stamps, listed, node_names

BoolArray = NDArray[np.bool_]

Numbers = NDArray[Any]  # doubles, or objects that are `decimal.Decimal`

MOST_UNKNOWNS = 4000
"""Nodes and branches up to which networks are reduced in general: the matrices are dense meanwhile."""

_ROUNDING = 2.0**-46
"""Of the magnitudes of its terms, below which a sum counts as zero: 64 roundings."""


STEP = 1e-30
"""Imaginary part, relative, of a value that the equations are differentiated by: its square is below all rounding."""

_UNMOVED = 2.0**-40
"""Of the magnitudes of its terms, below which the derivative of what cancels is zero, too."""


class Coincidence(CircuitError):
    """Terms cancel for these values of the elements only, so that the equation has no derivative by one of them."""


@dataclass(frozen=True, eq=False)
class Reduced:
    """The equation that is left: ``E y' = F y + s + K n``, ``x = X y + x0 + N n``.

    Attributes
    ----------
    E, F, K, s:
        (n, n), (n, n), (n, m), (n,); E is invertible.
    X, x0, N:
        (N, n), (N,), (N, m): unknowns of the circuit from the states; rows of voltage sources' currents are zero.
    states:
        (n,) the unknown that each state is named after, ascending.
    conserved:
        Whether a conserved charge or flux was taken as zero.
    made_of:
        (n, N) the equations as combinations of the circuit's: ``F = made_of F_circuit X``.
    """

    E: Numbers
    F: Numbers
    K: Numbers
    s: Numbers
    X: Numbers
    x0: Numbers
    N: Numbers
    states: IntArray
    conserved: bool
    made_of: Numbers


class _Tracked:
    """A matrix whose entries know the magnitudes of the terms that made them; cancelled ones are zero."""

    def __init__(self, value: Numbers, size: Numbers) -> None:
        self.value, self.size = value, size
        self.rounding: Any = Decimal(64).scaleb(-getcontext().prec) if value.dtype == object else _ROUNDING
        self._cancel(value, size)

    @classmethod
    def exact(cls, value: Numbers) -> _Tracked:
        """A matrix without cancellation."""
        return cls(value, np.abs(value))

    def copy(self) -> _Tracked:
        return _Tracked(self.value.copy(), self.size.copy())

    def add_row(self, source: int, rows: IntArray, factors: Numbers) -> None:
        """Add ``factors`` times row ``source`` to ``rows``."""
        columns = np.flatnonzero(self.value[source])
        if len(columns) and len(rows):
            terms, sizes = self.value[source, columns], self.size[source, columns]
            self._add(np.ix_(rows, columns), np.outer(factors, terms), np.outer(np.abs(factors), sizes))

    def add_column(self, source: int, columns: IntArray, factors: Numbers) -> None:
        """Add ``factors`` times column ``source`` to ``columns``."""
        rows = np.flatnonzero(self.value[:, source])
        if len(columns) and len(rows):
            terms, sizes = self.value[rows, source], self.size[rows, source]
            self._add(np.ix_(rows, columns), np.outer(terms, factors), np.outer(sizes, np.abs(factors)))

    def add_multiple(self, column: Numbers, row: Numbers, sizes: tuple[Numbers, Numbers]) -> None:
        """Add the outer product of a column and a row whose terms have these magnitudes."""
        rows, columns = np.flatnonzero(column), np.flatnonzero(row)
        if len(columns) and len(rows):
            where = np.ix_(rows, columns)
            self._add(where, np.outer(column[rows], row[columns]), np.outer(sizes[0][rows], sizes[1][columns]))

    def _add(self, where: tuple[IntArray, ...], terms: Numbers, sizes: Numbers) -> None:
        self._put(where, self.value[where] + terms, self.size[where] + sizes)

    def _put(self, where: tuple[IntArray, ...], value: Numbers, size: Numbers) -> None:
        self._cancel(value, size)
        self.value[where], self.size[where] = value, size

    def _cancel(self, value: Numbers, size: Numbers) -> None:
        cancelled = np.abs(value) <= self.rounding * size
        if value.dtype.kind == "c" and (np.abs(value.imag) > STEP * _UNMOVED * size)[cancelled].any():
            raise Coincidence("currents or voltages cancel for these values of the elements only")
        value[cancelled] = size[cancelled] = 0


class _Pivots:
    """Choose pivots of a part of a matrix, best first, rows and columns on one scale; until all that is left is 0."""

    def __init__(self, matrix: _Tracked, rows: IntArray, columns: IntArray, gone: BoolArray | None = None) -> None:
        self.matrix, self.rows, self.columns = matrix, rows, columns
        block = np.abs(matrix.value[np.ix_(rows, columns)]).astype(np.float64)
        wide, high = (
            np.sqrt(np.where(m > 0, m, 1.0)) for m in (block.max(axis=1, initial=0), block.max(axis=0, initial=0))
        )
        self.weight = 1.0 / np.outer(wide, high)
        if gone is not None:  # unknowns whose own equations are gone rather than those that still have them
            self.weight[:, gone[columns]] *= 1.5
        self.open_rows = np.ones(len(rows), dtype=bool)
        self.open_columns = np.ones(len(columns), dtype=bool)
        self.best = np.zeros(len(rows))
        self.where = np.zeros(len(rows), dtype=np.int64)
        self._look(np.arange(len(rows)))

    def _look(self, local: IntArray) -> None:
        columns = np.flatnonzero(self.open_columns)
        if not len(columns) or not len(local):
            self.best[local] = 0
            return
        found = np.abs(self.matrix.value[np.ix_(self.rows[local], self.columns[columns])]).astype(np.float64)
        found *= self.weight[np.ix_(local, columns)]
        # Of equal ones that of a row's own unknown, which keeps the circuit's structure.
        found[self.rows[local][:, None] == self.columns[columns][None, :]] *= 1.5
        at = found.argmax(axis=1)
        self.best[local] = found[np.arange(len(local)), at]
        self.where[local] = columns[at]

    def next(self) -> tuple[int, int] | None:
        """Row and column of the next pivot; None where nothing is left."""
        if not len(self.rows):
            return None
        row = int(np.argmax(np.where(self.open_rows, self.best, -1.0)))
        if not self.open_rows[row] or self.best[row] == 0:
            return None
        column = int(self.where[row])
        self.open_rows[row] = self.open_columns[column] = False
        return int(self.rows[row]), int(self.columns[column])

    def changed(self, rows: IntArray) -> None:
        """Tell that an elimination changed these rows."""
        self._look(np.flatnonzero(self.open_rows & np.isin(self.rows, rows)))

    @property
    def left(self) -> IntArray:
        """Rows without pivot."""
        return self.rows[self.open_rows]


class _System:
    """The equations while they are reduced; rows and columns keep their numbers, and are closed as they go."""

    def __init__(self, stamps: Stamps, names: Sequence[str], decimal: bool) -> None:
        size = stamps.size
        matrices = [
            [stamped.dense(name, decimal=decimal) for name in "EFKs"] for stamped in (stamps, stamps.magnitudes())
        ]
        (E, F, K, s), (E_size, F_size, K_size, s_size) = matrices
        numbers = np.result_type(E, F, K, s)
        E, F, K, s = (matrix.astype(numbers, copy=False) for matrix in (E, F, K, s))
        self.stamps, self.names, self.size, self.decimal = stamps, names, size, decimal
        self.E, self.F = _Tracked(E, E_size), _Tracked(F, F_size)
        # Sources: the constant one first, then the noise.
        self.S = _Tracked(np.hstack([s, K]), np.hstack([s_size, K_size]))
        self.made_of = self.eye()  # each equation as a combination of the circuit's
        self.X, self.Y = _Tracked.exact(self.eye()), _Tracked.exact(np.zeros_like(self.S.value))
        self.rows, self.columns = np.ones(size, dtype=bool), np.ones(size, dtype=bool)
        self.ends = stamps.branch_ends()

    @cached_property
    def storage(self) -> Any:
        """(size, size) E as it was stamped, before anything was eliminated."""
        return self.stamps.dense("E", decimal=True) if self.decimal else self.stamps.E

    def eye(self) -> Numbers:
        """(size, size) unit matrix of the numbers that the equations are made of."""
        return np.eye(self.size, dtype=self.E.value.dtype)

    def add_row(self, source: int, rows: IntArray, factors: Numbers) -> None:
        for matrix in (self.E, self.F, self.S):
            matrix.add_row(source, rows, factors)
        self.made_of[rows] += np.outer(factors, self.made_of[source])

    def others(self, matrix: _Tracked, row: int, column: int) -> tuple[IntArray, Numbers]:
        """Open rows but one with an entry in a column, and what to add of that one to each to remove it."""
        rows = np.flatnonzero(self.rows & (matrix.value[:, column] != 0))
        rows = rows[rows != row]
        return rows, -matrix.value[rows, column] / matrix.value[row, column]

    def remove(self, matrix: _Tracked, row: int, column: int) -> IntArray:
        """Remove a column from all rows but one; returns which changed."""
        rows, factors = self.others(matrix, row, column)
        self.add_row(row, rows, factors)
        matrix.value[rows, column] = matrix.size[rows, column] = 0
        return rows

    def mix(self, column: int, row_of: _Tracked, row: int, columns: IntArray) -> None:
        """Put ``x_column = w - sum of (entry of row / pivot) x_k`` over ``columns`` into E and X."""
        factors = -row_of.value[row, columns] / row_of.value[row, column]
        for matrix in (self.E, self.X):
            matrix.add_column(column, columns, factors)

    def solve(self, row: int, column: int) -> IntArray:
        """Solve an equation without derivatives for an unknown and put it in everywhere; returns changed rows."""
        pivot = self.F.value[row, column]
        columns = np.flatnonzero(self.columns & (self.F.value[row] != 0))
        columns = columns[columns != column]
        self.mix(column, self.F, row, columns)
        self.Y.add_multiple(
            self.X.value[:, column],
            -self.S.value[row] / pivot,
            (self.X.size[:, column], self.S.size[row] / abs(pivot)),
        )
        self.E.value[:, column] = self.E.size[:, column] = 0
        changed = self.remove(self.F, row, column)
        self.rows[row] = self.columns[column] = False
        return changed

    def shift(self, column: int, value: Any) -> None:
        """Put ``x_column = w + value`` into the constant sources and the constant part of the unknowns."""
        for into, matrix in ((self.S, self.F), (self.Y, self.X)):
            into.value[:, 0] += value * matrix.value[:, column]
            into.size[:, 0] += abs(value) * matrix.size[:, column]

    def equations(self, row: int) -> tuple[str, ...]:
        """Names of the nodes whose laws, and of those whose branches' laws, an equation combines."""
        parts = np.abs(self.made_of[row])
        return self.nodes(np.flatnonzero(parts > 1e-9 * parts.max()))

    def nodes(self, unknowns: IntArray) -> tuple[str, ...]:
        """Names of the nodes among unknowns, or at the ends of branches among them; of branches at ground alone."""
        found = set(unknowns[unknowns < self.stamps.node_count].tolist())
        for branch in unknowns[unknowns >= self.stamps.node_count]:
            found |= set(self.ends[branch - self.stamps.node_count].tolist())
        named = sorted(found - {GROUND}) or unknowns.tolist()
        return node_names([self.names[k] for k in named])


def reduce(stamps: Stamps, names: Sequence[str], *, decimal: bool = False) -> Reduced:
    """Reduce the equations of a circuit to an ordinary stochastic differential equation.

    Parameters
    ----------
    stamps:
        The equations.
    names:
        Of the unknowns, ``v(node)`` and ``i(element of instance)``.
    decimal:
        Add up and eliminate in `decimal.Decimal` of the current context's precision, and return arrays of these.

    Raises
    ------
    CircuitError
        Naming the nodes: loops of voltage sources, cut-sets of current sources and all else that the
        circuit does not determine; white noise that would be differentiated; noise or bias that
        drives a conserved charge or flux; more than `MOST_UNKNOWNS` unknowns.
    """
    if stamps.size > MOST_UNKNOWNS:
        raise CircuitError(
            f"{stamps.size} nodes and branches are too many (at most {MOST_UNKNOWNS}) for a network with controlled "
            "sources that have branches, voltage sources or couplings in loops of inductors, or inductors in series"
        )
    system = _System(stamps, names, decimal)
    _drop_source_currents(system)
    _follow_sources(system)
    while _constraints(system):
        pass
    conserved = False
    while _conserved(system):
        conserved = True
    return _reduced(system, conserved)


def _drop_source_currents(system: _System) -> None:
    """Step 1: take out the currents of voltage-defined branches, each with an equation that determines it."""
    nodes, F = system.stamps.node_count, system.F
    for branch in (nodes + np.concatenate([*system.stamps.voltage_branches, np.empty(0, np.int64)])).tolist():
        column = np.where(system.rows, np.abs(F.value[:, branch]), 0)
        # Kirchhoff's laws have +-1 there and gains; equations of branches only where they must.
        row = int(np.argmax(column[:nodes])) if column[:nodes].any() else int(np.argmax(column))
        if column[row] == 0:
            _refuse_loop(system, branch)
        system.remove(F, row, branch)
        system.rows[row] = system.columns[branch] = False


def _follow_sources(system: _System) -> None:
    """Step 2 for the obvious: what silent sources hold follows them, where its own equation went with their current.

    Solving a constraint without noise is sound whatever it is solved for; here it keeps the matrices sparse.
    """
    nodes, E, S = system.stamps.node_count, system.E, system.S
    branches = np.arange(nodes, system.size)
    quiet = system.rows[nodes:] & (E.value[nodes:] == 0).all(axis=1) & (S.value[nodes:, 1:] == 0).all(axis=1)
    pivots = _Pivots(system.F, branches[quiet], np.flatnonzero(system.columns & ~system.rows), ~system.rows)
    while (pivot := pivots.next()) is not None:
        pivots.changed(system.solve(*pivot))


def _refuse_loop(system: _System, branch: int) -> None:
    """Say that a current is undetermined: around a loop of voltage sources, where there is one through it."""
    nodes = system.stamps.node_count
    p, n = system.ends[branch - nodes].tolist()
    around = {branch, p, n}
    graph: dict[int, set[int]] = {}
    for k in np.concatenate(system.stamps.voltage_branches).tolist():
        if k != branch - nodes:
            a, b = system.ends[k].tolist()
            graph.setdefault(a, set()).add(b)
            graph.setdefault(b, set()).add(a)
    before, queue = {p: p}, [p]
    while queue and n not in before:
        here = queue.pop(0)
        for there in graph.get(here, ()):
            if there not in before:
                before[there] = here
                queue.append(there)
    what = f"the current of {system.names[branch][2:-1]} is undetermined"
    if n in before:
        what = f"{system.names[branch][2:-1]} closes a loop of voltage sources, so their current is undetermined"
        here = n
        while here != p:
            around.add(here)
            here = before[here]
    names = system.nodes(np.array(sorted(around - {GROUND})))
    raise CircuitError(f"{what} (at {listed(names)}); put a resistance in series", nodes=names)


def _constraints(system: _System) -> bool:
    """Step 2, once: solve the constraints there are; whether states were among what they were solved for."""
    _separate(system)
    E, F, S = system.E, system.F, system.S
    static = np.flatnonzero(system.rows & ~(E.value[:, system.columns] != 0).any(axis=1))
    free = np.flatnonzero(system.columns & ~(E.value[system.rows] != 0).any(axis=0))
    if not len(static):
        return False
    pivots = _Pivots(F, static, free)
    while (pivot := pivots.next()) is not None:
        pivots.changed(system.solve(*pivot))
    left = pivots.left
    for row in left:
        if not (F.value[row, system.columns] != 0).any():
            _refuse_singular(system, int(row))
        if (S.value[row, 1:] != 0).any():
            among = np.flatnonzero(system.columns & (F.value[row] != 0))
            nodes = system.nodes(among)
            raise CircuitError(
                f"the circuit takes a derivative of white noise at {listed(nodes)}: noise holds a voltage that "
                "capacitances or other sources follow, or could flow only through inductors; put a resistance in "
                "series with a noise voltage, a capacitance or conductance across a noise current",
                nodes=nodes,
            )
    pivots = _Pivots(F, left, np.flatnonzero(system.columns), ~system.rows)
    for _ in range(len(left)):
        pivot = pivots.next()
        if pivot is None:
            _refuse_singular(system, int(pivots.left[0]))
        assert pivot is not None
        pivots.changed(system.solve(*pivot))
    return bool(len(left))


def _refuse_singular(system: _System, row: int) -> None:
    """Say which equations contradict or repeat each other, or leave something undetermined."""
    nodes = system.equations(row)
    driven = bool(system.S.value[row].any())
    parts = np.flatnonzero(np.abs(system.made_of[row]) > 1e-9)
    if driven and (parts < system.stamps.node_count).all():
        what = f"current sources alone feed {listed(nodes)}: their currents have nowhere to go"
    else:
        what = (
            f"the equations are singular at {listed(nodes)}: the circuit does not determine every voltage and current"
        )
    raise CircuitError(f"{what}; give the node a capacitance or conductance", nodes=nodes)


def _separate(system: _System) -> None:
    """Combine equations and unknowns so that those without derivatives stand alone: zero rows and columns of E."""
    for rows, columns in _blocks(system):
        if _dominant(system.E, rows, columns):
            continue
        trial = system.E.copy()
        order = _factor(trial, rows, columns)
        if len(order) == len(rows) == len(columns):
            continue
        chosen = [column for _, column in order]
        rest = np.setdiff1d(columns, chosen)
        for row, column in order:
            system.remove(system.E, row, column)
        for row, column in order:
            here = rest[system.E.value[row, rest] != 0]
            factors = -system.E.value[row, here] / system.E.value[row, column]
            for matrix in (system.F, system.X):
                matrix.add_column(column, here, factors)
            system.E.value[row, here] = system.E.size[row, here] = 0


def _blocks(system: _System) -> list[tuple[IntArray, IntArray]]:
    """Rows and columns of E that hang together, where there is an entry at all."""
    graph = sp.coo_array(system.rows[:, None] & system.columns[None, :] & (system.E.value != 0))
    size = system.size
    ends = (graph.row, graph.col + size)
    both = sp.coo_array((np.ones(graph.nnz), ends), shape=(2 * size, 2 * size))
    labels = connected_components(both, directed=False)[1]
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [(part[part < size], part[part >= size] - size) for part in parts if len(part) > 1]


def _dominant(matrix: _Tracked, rows: IntArray, columns: IntArray) -> bool:
    """Whether a block is seen to be invertible: each part that hangs together both ways is diagonally dominant.

    Strictly so in one row at least (Taussky 1949); the parts are the diagonal blocks of a triangle.
    """
    if not np.array_equal(rows, columns):
        return False
    where = np.ix_(rows, rows)
    block = np.abs(matrix.value[where])
    labels = connected_components(sp.csr_array(block != 0), directed=True, connection="strong")[1]
    block[labels[:, None] != labels] = 0
    margin = 2 * block.diagonal() - block.sum(axis=1)
    slack = matrix.rounding * matrix.size[where].sum(axis=1)
    strict = np.zeros(labels.max() + 1, dtype=bool)
    strict[labels[margin > slack]] = True
    return bool((margin >= -slack).all() and strict.all())


def _factor(
    matrix: _Tracked, rows: IntArray, columns: IntArray, beside: _Tracked | None = None
) -> list[tuple[int, int]]:
    """Gaussian elimination of a part of a matrix, and of another beside it, in place; its pivots."""
    pivots, order = _Pivots(matrix, rows, columns), []
    still = np.zeros(matrix.value.shape[0], dtype=bool)
    still[rows] = True
    while (pivot := pivots.next()) is not None:
        row, column = pivot
        still[row] = False
        below = np.flatnonzero(still & (matrix.value[:, column] != 0))
        factors = -matrix.value[below, column] / matrix.value[row, column]
        for each in (matrix, *([] if beside is None else [beside])):
            each.add_row(row, below, factors)
        matrix.value[below, column] = matrix.size[below, column] = 0
        pivots.changed(below)
        order.append(pivot)
    return order


def _conserved(system: _System) -> bool:
    """Step 3, once: find what no equation changes, take it as zero, and drop a state for each."""
    rows, columns = np.flatnonzero(system.rows), np.flatnonzero(system.columns)
    trial, combined = system.F.copy(), _Tracked.exact(system.eye())
    done = {row for row, _ in _factor(trial, rows, columns, combined)}
    still = np.array([row for row in rows.tolist() if row not in done], dtype=np.int64)
    if not len(still):
        return False
    for row in still.tolist():
        parts = np.flatnonzero(combined.value[row])
        parts = parts[parts != row]
        for part in parts.tolist():
            system.add_row(part, np.array([row]), combined.value[row, [part]])
        # What is left of it is rounding: the elimination has shown that.
        system.F.value[row] = system.F.size[row] = 0
        if system.S.value[row].any():
            kept = np.flatnonzero(system.columns & (system.E.value[row] != 0))
            nodes = system.nodes(kept)
            if system.S.value[row, 1:].any():
                what = f"noise drives a charge or flux at {listed(nodes)}, which nothing drains (a random walk)"
            else:
                what = f"a constant current or voltage drives a charge or flux at {listed(nodes)} without bound"
            raise CircuitError(f"{what}; give the cell a conductance, an inductor a resistance in series", nodes=nodes)
    pivots = _Pivots(system.E, still, columns)
    while (pivot := pivots.next()) is not None:
        row, column = pivot
        here = np.flatnonzero(system.columns & (system.E.value[row] != 0))
        here = here[here != column]
        factors = -system.E.value[row, here] / system.E.value[row, column]
        # Constant sources hold a part of it: the charge of a capacitor to a supply.
        held = system.made_of[row] @ (system.storage @ system.Y.value[:, 0])
        system.shift(column, -held / system.E.value[row, column])
        for matrix in (system.F, system.X, system.E):
            matrix.add_column(column, here, factors)
        system.E.value[row] = 0
        system.rows[row] = system.columns[column] = False
        pivots.changed(still)
    return True


def _reduced(system: _System, conserved: bool) -> Reduced:
    columns = np.flatnonzero(system.columns)
    rows = np.flatnonzero(system.rows)
    # Each equation at the place of its own unknown, as far as both are left.
    place = {int(row): k for k, row in enumerate(rows)}
    spare = iter(k for k, row in enumerate(rows) if not system.columns[row])
    order = rows[[place.get(int(column), -1) if int(column) in place else next(spare) for column in columns]]
    return Reduced(
        E=system.E.value[np.ix_(order, columns)],
        F=system.F.value[np.ix_(order, columns)],
        K=system.S.value[order, 1:],
        s=system.S.value[order, 0],
        X=system.X.value[:, columns],
        x0=system.Y.value[:, 0],
        N=system.Y.value[:, 1:],
        states=columns,
        conserved=conserved,
        made_of=system.made_of[order],
    )
