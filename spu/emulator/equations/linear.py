"""From a circuit to ``E dx = (F x + s) dt + K dW``, ``y = H x``, with every refusal named.

The stamped equations may hold unknowns that are not free to move: node voltages without
capacitance, currents around a loop of inductors, charges on nodes that only capacitors
reach. They are eliminated here by congruences built from the circuit's graph (no rank is
ever guessed from floating-point numbers), so that what remains has a symmetric ``E``. Networks
with voltage sources, or constraints of other kinds, go the general way (`spu.emulator.equations.descriptor`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg.lapack import dgetrf, dgetrs
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.base.errors import CircuitError
from spu.base.sequences import Lazy
from spu.circuit.acquisition import Acquisition
from spu.circuit.circuit import Circuit, NoiseSource, stamp_circuit
from spu.circuit.readout import Readout
from spu.circuit.stamps import Stamps, listed, node_names
from spu.emulator.equations.descriptor import MOST_UNKNOWNS, Reduced, reduce
from spu.emulator.equations.reduction import (
    Loops,
    Undetermined,
    components,
    fix_conserved_charge,
    has_loops,
    held_nodes,
    inductor_loops,
    inverse_algebraic,
    refuse_floating,
    refuse_impossible_couplings,
)
from spu.emulator.equations.thermal import thermal_energy


@dataclass(frozen=True, eq=False)
class StochasticODE:
    """A linear stochastic differential equation with constant coefficients.

    ``E dx = (F x + s) dt + K dW``, ``y = H x + y0 + D xi``: n states, m unit Wiener
    processes, p probe voltages.

    Attributes
    ----------
    E, F:
        (n, n) sparse; E invertible, F in S and dimensionless. E is symmetric positive definite (F and H)
        where there are no voltage sources; controlled ones can make it any matrix, in mixed units.
    K:
        (n, m) sparse, A sqrt(s) (V sqrt(s) in equations of branches): one-sided density S enters as ``sqrt(S/2)``.
    s:
        (n,), A.
    H, y0:
        (p, n) sparse and (p,): probe voltages from the states, V.
    D:
        (p, m) sparse: white noise seen directly by a probe (V sqrt(s)); zero in most circuits.
    state_names, noise_names, probes:
        For messages and tables; made as they are read.
    readout:
        From probe voltages to problem variables.
    unit_time:
        s that a unit of the problem's time takes; None where nothing says so.
    conserved:
        Whether a flux (inductor loop) or charge (nodes behind capacitors) is conserved, taken as
        zero and eliminated. A simulator's operating point is undetermined then.
    acquisition:
        How the probes are read; the equation is of their voltages before that.
    origin:
        The circuit that it was derived from, for those who need more digits than a double has.
    """

    E: sp.csr_array
    F: sp.csr_array
    K: sp.csr_array
    s: FloatArray
    H: sp.csr_array
    y0: FloatArray
    D: sp.csr_array
    state_names: Lazy[str]
    noise_names: Lazy[str]
    probes: Lazy[str]
    readout: Readout
    unit_time: float | None = None
    conserved: bool = False
    acquisition: Acquisition | None = None
    origin: Origin | None = field(default=None, repr=False)

    @cached_property
    def sizes(self) -> tuple[FloatArray, FloatArray]:
        """(n, n) each: magnitudes of the terms that made the entries of E and F, of which rounding took its share."""
        E, F = self.sparse_sizes
        return E.toarray(), F.toarray()

    @property
    def sparse_sizes(self) -> tuple[sp.csr_array, sp.csr_array]:
        """The same, sparse."""
        if self._original is not None:
            return self._original.sizes()
        return sp.csr_array(abs(self.E)), sp.csr_array(abs(self.F))

    @property
    def thermal_energy(self) -> float | None:
        """kT, J, of a circuit in thermal equilibrium, whose law is ``kT E^-1``; None of others.

        As `spu.emulator.equations.thermal` says, or where that proves nothing.
        """
        return None if self._original is None else self._original.thermal_energy

    def decimal(self) -> DecimalODE:
        """The same equation in `decimal.Decimal`, of the current context's precision.

        Made of the circuit's elements once more, so that no sum of theirs is rounded to a double; of an equation that
        is no circuit's of these doubles, as they are.
        """
        if self._original is not None:
            return self._original.decimal()
        E, F, K, s, H, y0 = (
            to_decimal(matrix.toarray() if sp.issparse(matrix) else matrix)
            for matrix in (self.E, self.F, self.K, self.s, self.H, self.y0)
        )
        return DecimalODE(E, F, K, s, H, y0)

    @property
    def _original(self) -> Origin | None:
        """Where it comes from, unless it was changed since."""
        found = self.origin
        if found is None or any(now is not then for now, then in zip(self._matrices, found.matrices, strict=True)):
            return None
        return found

    @property
    def _matrices(self) -> tuple[object, ...]:
        return self.E, self.F, self.K, self.s, self.H, self.y0, self.D

    @cached_property
    def mean(self) -> FloatArray:
        """(n,) state at rest, where ``F x + s = 0``; not a number where F is singular to rounding."""
        return _rest(self) if self.s.any() else np.zeros(len(self.s))

    @cached_property
    def dense(self) -> DenseSDE:
        """The same equation as ``dz = A (z - mean) dt + B dW``, ``y = H z`` in energy coordinates."""
        return _dense(self)


def to_decimal(matrix: FloatArray) -> NDArray[Any]:
    """An array of doubles as one of `decimal.Decimal`, digit by digit."""
    return np.array([Decimal(value) for value in matrix.ravel().tolist()], dtype=object).reshape(matrix.shape)


@dataclass(frozen=True, eq=False)
class Origin:
    """What an equation was derived from.

    Attributes
    ----------
    circuit:
        The circuit.
    sizes:
        Gives the magnitudes of the terms that made the entries of E and F, (n, n) each, sparse.
    matrices:
        The equation's own matrices: one that has others in their place has lost its origin.
    elimination:
        How it was derived, where that was by the graph.
    """

    circuit: Circuit
    sizes: Callable[[], tuple[sp.csr_array, sp.csr_array]]
    matrices: tuple[object, ...]
    elimination: Elimination | None = None

    @cached_property
    def thermal_energy(self) -> float | None:
        """KT of the circuit, J, where it is in thermal equilibrium: `spu.emulator.equations.thermal`."""
        return thermal_energy(stamp_circuit(self.circuit)[0])  # stamped once more: stamps outweigh an equation

    def decimal(self) -> DecimalODE:
        """As `StochasticODE.decimal`."""
        stamps, names = stamp_circuit(self.circuit)
        reduced = reduce(stamps, names, decimal=True)
        p, n = self.circuit.probe_nodes.T
        H, y0 = _between(reduced.X, p, n), _between(reduced.x0[:, None], p, n)[:, 0]
        K = reduced.K * Decimal("0.5").sqrt()
        return DecimalODE(reduced.E, reduced.F, K, reduced.s, H, y0, reduced, stamps)


@dataclass(frozen=True, eq=False)
class Solved:
    """The unknowns ``x = right y + constant + noise n`` of a circuit, N of them, where n states y are left.

    Attributes
    ----------
    left, right:
        (N, n): ``F = left^T F_circuit right``.
    constant, noise:
        (N,) and (N, m), for sources of unit one-sided density.
    free, inverse:
        (N, z) what z unknowns without derivative move, and the inverse of ``free^T F_circuit free``.
    """

    left: sp.csr_array
    right: sp.csr_array
    constant: FloatArray
    noise: sp.csr_array
    free: sp.csr_array
    inverse: sp.csr_array


@dataclass(frozen=True, eq=False)
class Elimination:
    """How equations ``E x' = F x + s + K n`` were reduced: a small change of them needs to know.

    Attributes
    ----------
    E, F:
        (N, N) of the circuit.
    solved:
        Its unknowns.
    conserved, dropped:
        (N, c) each: ``conserved^T E x = 0`` are charges and fluxes, for which steps along ``dropped`` were given up.
    """

    E: sp.csr_array
    F: sp.csr_array
    solved: Solved
    conserved: sp.csr_array
    dropped: sp.csr_array


@dataclass(frozen=True, eq=False)
class DecimalODE:
    """``E dx = (F x + s) dt + K dW``, ``y = H x + y0`` in arrays of `decimal.Decimal`, as `StochasticODE`.

    Its states need not be the same ones. ``reduced`` and ``stamps`` are what it was made of, where that was a circuit.
    """

    E: NDArray[np.object_]
    F: NDArray[np.object_]
    K: NDArray[np.object_]
    s: NDArray[np.object_]
    H: NDArray[np.object_]
    y0: NDArray[np.object_]
    reduced: Reduced | None = None
    stamps: Stamps | None = None


def _between(matrix: NDArray[Any], p: IntArray, n: IntArray) -> NDArray[Any]:
    """Rows p less rows n of a matrix, those of ground being zero."""
    padded = np.vstack([matrix, np.full((1, matrix.shape[1]), Decimal(0))])
    first, second = (padded[np.where(ends == GROUND, len(matrix), ends)] for ends in (p, n))
    return np.asarray(first - second)


@dataclass(frozen=True, eq=False)
class DenseSDE:
    """``dz = A (z - mean) dt + B dW``, ``y = H z + y0``, in coordinates of stored energy where there is one.

    With ``E = R R^T`` (Cholesky), ``z = R^T x``: ``|z|^2 / 2`` is the energy in capacitors and
    inductors, so volts, amperes and any spread of component values arrive on one scale, and
    equipartition reads ``P = kT I``. Where controlled sources leave an ``E`` that is no energy (not
    symmetric, or not positive), z is x on a diagonal scale that balances A, and means nothing else.
    ``time`` (s) is a unit of time in which A is of order one: A and B are per that unit.

    Attributes
    ----------
    A: (n, n); B: (n, m); mean: (n,); H: (p, n) volts per coordinate; y0: (p,); to_state: (n, n), x = to_state z
    energetic: whether ``|z|^2 / 2`` is the stored energy
    """

    A: FloatArray
    B: FloatArray
    mean: FloatArray
    H: FloatArray
    y0: FloatArray
    D: FloatArray
    to_state: FloatArray
    time: float
    energetic: bool = True

    @cached_property
    def modes(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Eigenvalues (n,) of A and its eigenvectors (n, n), which may be nearly parallel (critical damping)."""
        if "eigen" in self.__dict__:
            return self.eigen[0], self.eigen[2]
        values, _, right, _ = self._eigen(left=False)
        return values, right

    @cached_property
    def eigen(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128], FloatArray]:
        """Eigenvalues (n,), left and right eigenvectors (n, n) of length 1, and (n,) the norm of each one's part of A.

        Parts of the network that nothing connects are taken one by one: the slow ones have their own scale.
        """
        return self._eigen(left=True)

    def _eigen(
        self, *, left: bool
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128], FloatArray]:
        n = len(self.A)
        values, norms = np.zeros(n, dtype=np.complex128), np.zeros(n)
        found, right = np.zeros((n, n), dtype=np.complex128), np.zeros((n, n), dtype=np.complex128)
        for part in parts(self.A):
            where = np.ix_(part, part)
            block = self.A[where]
            if left:
                values[part], found[where], right[where] = la.eig(block, left=True)  # type: ignore[misc]
            else:
                values[part], right[where] = la.eig(block)
            norms[part] = np.linalg.norm(block)
        return values, found, right, norms


def parts(matrix: FloatArray) -> list[IntArray]:
    """The sets of rows of a square matrix that entries connect, each in rising order."""
    if np.count_nonzero(matrix) == matrix.size:
        return [np.arange(len(matrix))]
    linked = (matrix != 0) | (matrix.T != 0)
    reached = linked[0]
    for _ in range(8):  # most networks are one part, and no longer than this
        reached = reached | linked[reached].any(axis=0)
        if reached.all():
            return [np.arange(len(matrix))]
    labels = connected_components(sp.csr_array(matrix != 0), directed=False)[1]
    order = np.argsort(labels, kind="stable")
    return [part.astype(np.int64) for part in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)]


_SMALL = 256
"""Nodes and branches up to which networks with voltage sources are reduced in general."""


def stochastic_ode(circuit: Circuit) -> StochasticODE:
    """Derive the stochastic ODE of a circuit.

    Raises
    ------
    CircuitError
        Naming the nodes: a floating node; noise or bias current that drives a conserved
        charge; nodes whose voltage the circuit does not determine; a noise current that only
        inductors could carry (the voltage would be a derivative of white noise).
    """
    stamps, names = stamp_circuit(circuit)
    if stamps.polynomials or stamps.crossed_ends:
        raise CircuitError(
            "the circuit has nonlinear cells or crossed inductors, so its law is not Gaussian: "
            "simulate_network and predict_network take it",
            nodes=tuple(circuit.nodes[:6]),
        )
    refuse_floating(stamps, names)
    singular = refuse_impossible_couplings(stamps, names) or any((l == 0).any() for _, _, l in stamps.inductor_ends)
    loops = has_loops(stamps)
    # Sources that alone decide a voltage are no harder than nodes without capacitance; of small circuits the general
    # elimination tells more exactly what cancels.
    held = bool(stamps.voltage_ends) and (stamps.size <= _SMALL or loops or stamps.controlled_branches > 0)
    if held or singular or (stamps.couplings and loops):
        return _general(stamps, circuit, names)
    try:
        return _by_graph(stamps, circuit, names, inductor_loops(stamps) if loops else None)
    except Undetermined:
        # Inductors in series, say, have one current among them, which no graph of one kind of element shows.
        if stamps.size > MOST_UNKNOWNS:
            raise
        return _general(stamps, circuit, names)


def _general(stamps: Stamps, circuit: Circuit, names: Lazy[str]) -> StochasticODE:
    """Reduce the equations of any linear network (`spu.emulator.equations.descriptor`)."""
    reduced = reduce(stamps, names)
    p, n = circuit.probe_nodes.T
    H = probe_matrix(p, n, stamps.size)
    E, F, K = (sp.csr_array(matrix) for matrix in (reduced.E, reduced.F, reduced.K))
    X, N = sp.csr_array(H @ reduced.X), sp.csr_array(H @ reduced.N)
    ode = _stochastic_ode(circuit, E, F, K, reduced.s, X, np.asarray(H @ reduced.x0), N, names.take(reduced.states))

    sizes = partial(_dense_sizes, stamps, reduced.made_of, reduced.X)
    return _from(circuit, replace(ode, conserved=reduced.conserved), sizes)


def _dense_sizes(stamps: Stamps, left: FloatArray, right: FloatArray) -> tuple[sp.csr_array, sp.csr_array]:
    bounds = stamps.magnitudes()
    left, right = np.abs(left), np.abs(right)
    return sp.csr_array(left @ bounds.dense("E") @ right), sp.csr_array(left @ bounds.dense("F") @ right)


def _sparse_sizes(
    circuit: Circuit, around: tuple[sp.csr_array, sp.csr_array] | None
) -> tuple[sp.csr_array, sp.csr_array]:
    bounds = stamp_circuit(circuit)[0].magnitudes()  # stamped once more: few ask, and stamps outweigh an equation
    if around is None:
        return bounds.E, bounds.F
    left, right = around
    E, F = (sp.csr_array(abs(left).T @ matrix @ abs(right)) for matrix in (bounds.E, bounds.F))
    return E, F


def _from(
    circuit: Circuit,
    ode: StochasticODE,
    sizes: Callable[[], tuple[sp.csr_array, sp.csr_array]],
    elimination: Elimination | None = None,
) -> StochasticODE:
    return replace(ode, origin=Origin(circuit, sizes, ode._matrices, elimination))


def _by_graph(stamps: Stamps, circuit: Circuit, names: Lazy[str], loops: Loops | None) -> StochasticODE:
    """Reduce the equations of a network without voltage sources, by congruences."""
    E, F, K, s = stamps.E, stamps.F, stamps.K, stamps.s
    given = E, F
    p, n = circuit.probe_nodes.T
    # All unknowns from those that are left, built up with the equations: its rows at the probes are H.
    H = whole = sp.csr_array(sp.eye_array(stamps.size))
    if loops is not None:
        names = names.take(np.setdiff1d(np.arange(stamps.size), loops.dropped))
        # Left-multiplying by X^T (X = loops.basis) drops the chords' own equations and, since
        # X^T F X keeps F's structure, leaves E = X^T E X symmetric.
        X = loops.basis
        E, F, K, s, H = X.T @ E @ X, X.T @ F @ X, X.T @ K, np.asarray(X.T @ s), H @ X

    all_names = names
    E, F, K, s, H, names = fix_conserved_charge(stamps, E, F, K, s, H, names)
    probes = probe_matrix(p, n, stamps.size)
    solved, sde = _eliminate_algebraic(stamps, circuit, E, F, K, s, H, probes, names, all_names)
    left, right = solved.left, solved.right

    sizes = partial(_sparse_sizes, circuit, None if left is whole else (left, right))
    elimination = Elimination(*given, solved, *_conserved(stamps, loops))
    conserved = bool(loops is not None or stamps.conserved)
    return _from(circuit, replace(sde, conserved=conserved), sizes, elimination)


def _conserved(stamps: Stamps, loops: Loops | None) -> tuple[sp.csr_array, sp.csr_array]:
    """(N, c) each: what adds up charges and fluxes that are conserved, and the unknowns that were given up for them."""
    members = np.concatenate([*stamps.islands, np.empty(0, np.int64)])
    number = np.repeat(np.arange(len(stamps.islands)), [len(island) for island in stamps.islands])
    islands = sp.coo_array((np.ones(len(members)), (members, number)), shape=(stamps.size, len(stamps.islands)))
    if loops is None:
        return sp.csr_array(islands), sp.csr_array(islands)
    count = len(loops.dropped)
    chords = sp.coo_array((np.ones(count), (loops.dropped, np.arange(count))), shape=(stamps.size, count))
    return sp.csr_array(sp.hstack([islands, loops.around])), sp.csr_array(sp.hstack([islands, chords]))


def probe_matrix(p: IntArray, n: IntArray, size: int) -> sp.csr_array:
    """(k, size) voltages between nodes p and n (k,) from all unknowns."""
    rows = np.arange(len(p))
    data = [(rows[p != GROUND], p[p != GROUND], 1.0), (rows[n != GROUND], n[n != GROUND], -1.0)]
    r, c, v = (np.concatenate([np.broadcast_to(d[k], d[0].shape) for d in data]) for k in range(3))
    return sp.csr_array(sp.coo_array((v, (r, c)), shape=(len(p), size)))


def _eliminate_algebraic(
    stamps: Stamps,
    circuit: Circuit,
    E: sp.csr_array,
    F: sp.csr_array,
    K: sp.csr_array,
    s: FloatArray,
    unknowns: sp.csr_array,
    probes: sp.csr_array,
    names: Lazy[str],
    all_names: Lazy[str],
) -> tuple[Solved, StochasticODE]:
    """Solve for voltages that no capacitance holds and put them into the rest."""
    held = held_nodes(stamps)
    labels, ground = components(stamps.capacitor_ends + stamps.voltage_ends, stamps.node_count)
    y0: FloatArray = np.zeros(probes.shape[0])
    D = sp.csr_array((probes.shape[0], K.shape[1]))
    size, n = unknowns.shape[0], len(names)
    none = sp.csr_array((size, 0))
    solved_for = Solved(
        unknowns, unknowns, np.zeros(size), sp.csr_array((size, K.shape[1])), none, sp.csr_array((0, 0))
    )
    loose = np.flatnonzero(labels != ground)
    if len(loose) or len(held.nodes):
        position = np.full(stamps.node_count, -1)
        kept = np.setdiff1d(np.arange(stamps.node_count), stamps.conserved)
        position[kept] = np.arange(len(kept))
        twice = loose[np.isin(loose, np.concatenate([*stamps.islands, loose[:0]]))]  # constraints on the same nodes
        if len(twice):
            nodes = node_names(all_names.take(np.flatnonzero(labels == labels[twice[0]])))
            raise Undetermined(
                f"{listed(nodes)}: a conserved charge and nodes without capacitance hang together", nodes=nodes
            )
        # Voltages of held nodes over those that hold them; of nodes that capacitors tie together over the first one.
        together = np.setdiff1d(loose, held.nodes)
        _, first, label = np.unique(labels[together], return_index=True, return_inverse=True)
        reference = together[first]
        U = _over(position[held.nodes], position[held.over], held.over != GROUND, n)
        U = U @ _over(position[together], position[reference[label]], together != reference[label], n)
        z = np.sort(np.concatenate([position[reference], position[held.nodes], stamps.node_count + held.branches]))
        d = np.setdiff1d(np.arange(n), z)
        E, F, K, s, unknowns = U.T @ E @ U, U.T @ F @ U, sp.csr_array(U.T @ K), np.asarray(U.T @ s), unknowns @ U
        H = sp.csr_array(probes @ unknowns)
        Fzz, Fzd, Fdz = F[z][:, z], F[z][:, d], F[d][:, z]
        try:
            inverse = inverse_algebraic(Fzz, K[z], names.take(z))
        except CircuitError as error:
            if len(held.nodes) and not isinstance(error, Undetermined):
                raise Undetermined(error.message, nodes=error.nodes) from None
            raise
        solved = sp.csr_array(-(inverse @ Fzd))
        noise = sp.csr_array(-(inverse @ K[z]))
        constant = -(inverse @ s[z])
        if len(held.nodes):
            _refuse_derivatives(E[d][:, z], noise, names.take(z))
        y0, D = np.asarray(H[:, z] @ constant), sp.csr_array(H[:, z] @ noise)
        right = sp.csr_array(unknowns[:, d] + unknowns[:, z] @ solved)
        left = sp.csr_array(unknowns[:, d] - unknowns[:, z] @ (Fdz @ inverse).T)
        free = sp.csr_array(unknowns[:, z])
        solved_for = Solved(left, right, np.asarray(free @ constant), free @ noise, free, inverse)
        s = s[d] + Fdz @ constant
        K = sp.csr_array(K[d] + Fdz @ noise)
        E, F = E[d][:, d], sp.csr_array(F[d][:, d] + Fdz @ solved)
        names = names.take(d)
    H = sp.csr_array(probes @ solved_for.right)
    return solved_for, _stochastic_ode(circuit, E, F, K, s, H, y0, D, names)


def _over(nodes: IntArray, others: IntArray, apart: NDArray[np.bool_], size: int) -> sp.csr_array:
    """(size, size) a unit matrix with ones besides, at nodes (k,) and the others (k,) over which they have voltages."""
    every = np.arange(size)
    rows, columns = np.append(every, nodes[apart]), np.append(every, others[apart])
    return sp.csr_array(sp.coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size)))


def _refuse_derivatives(stored: sp.csr_array, noise: sp.csr_array, names: Lazy[str]) -> None:
    """Refuse noise (z, m) of voltages (z,) that capacitances (d, z) would take the derivative of."""
    moved = np.flatnonzero(abs(stored).sum(axis=0))
    loud = moved[abs(noise[moved]).sum(axis=1) > 0]
    if len(loud):
        nodes = node_names(names.take(loud))
        raise Undetermined(
            f"the circuit takes a derivative of white noise at {listed(nodes)}: noise holds a voltage that "
            "capacitances follow; put a resistance in series with a noise voltage",
            nodes=nodes,
        )


def _stochastic_ode(
    circuit: Circuit,
    E: sp.csr_array,
    F: sp.csr_array,
    K: sp.csr_array,
    s: FloatArray,
    H: sp.csr_array,
    y0: FloatArray,
    D: sp.csr_array,
    names: Lazy[str],
) -> StochasticODE:
    """From reduced equations with noise of unit one-sided density."""
    if not len(names) and not D.nnz:
        raise CircuitError("the circuit has no state: no capacitor and no inductor moves", nodes=tuple(circuit.nodes))
    if not all(np.isfinite(part).all() for part in (E.data, F.data, K.data, s, H.data, y0, D.data)):
        raise CircuitError(_EXTREME, nodes=node_names(names))
    root_half = np.sqrt(0.5)
    return StochasticODE(
        E=sp.csr_array(E),
        F=sp.csr_array(F),
        K=sp.csr_array(K * root_half),
        s=s,
        H=sp.csr_array(H),
        y0=y0,
        D=sp.csr_array(D * root_half),
        state_names=names,
        noise_names=Lazy((len(circuit.sources), partial(_source_name, circuit.sources))),
        probes=circuit.probes,
        readout=circuit.readout,
        unit_time=None if circuit.scales is None else circuit.scales.second,
        acquisition=circuit.acquisition,
    )


_EXTREME = "element values too large, too small or too far apart for floating-point numbers: their equations overflow"


def _dense(sde: StochasticODE) -> DenseSDE:
    if not len(sde.state_names):
        raise CircuitError("the circuit has no state: no capacitor and no inductor moves", nodes=tuple(sde.probes))
    root = _energy(sde.E.toarray())
    if root is not None:
        left = la.solve_triangular(root, sde.F.toarray(), lower=True)
        A = la.solve_triangular(root, left.T, lower=True).T
        B = la.solve_triangular(root, sde.K.toarray(), lower=True)
        to_state = la.solve_triangular(root, np.eye(len(root)), lower=True).T
    else:
        A, B, to_state = _balanced(sde)
    if not all(np.isfinite(part).all() for part in (A, B, to_state)):
        raise CircuitError(_EXTREME, nodes=node_names(sde.state_names))
    rate = float(np.abs(A).max())
    if rate == 0:
        raise CircuitError(
            "nothing in the circuit moves: no conductance and no inductor", nodes=node_names(sde.state_names)
        )
    A, B = A / rate, B / np.sqrt(rate)
    mean = sde.mean / to_state.diagonal() if root is None else root.T @ sde.mean
    return DenseSDE(
        A=A,
        B=B,
        mean=mean,
        H=sde.H @ to_state,
        y0=sde.y0,
        D=sde.D.toarray() * np.sqrt(rate),
        to_state=to_state,
        time=1.0 / rate,
        energetic=root is not None,
    )


def _energy(E: FloatArray) -> FloatArray | None:
    """The lower Cholesky factor of E, where it is the matrix of a stored energy."""
    diagonal = E.diagonal()
    if (diagonal <= 0).any():
        return None
    unit = np.sqrt(diagonal)
    if np.abs((E - E.T) / unit / unit[:, None]).max() > 1e-12:
        return None
    try:
        return np.asarray(la.cholesky((E + E.T) / 2, lower=True))
    except la.LinAlgError:
        return None


def _balanced(sde: StochasticODE) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A, B and to_state of any equation with invertible E, on scales that balance A."""
    E = sde.E.toarray()
    # As for energies, to begin with: a capacitance of c has its voltages in 1 / sqrt(c), an inductance its currents.
    unit = 1.0 / np.sqrt(np.abs(E).max(axis=0))
    rows = 1.0 / np.abs(E * unit).max(axis=1)
    right = rows[:, None] * np.column_stack([sde.F.toarray() * unit, sde.K.toarray()])
    try:
        solved = np.linalg.solve(rows[:, None] * E * unit, right)
    except np.linalg.LinAlgError:
        raise CircuitError(
            "capacitances and inductances cancel: their matrix is singular", nodes=node_names(sde.state_names)
        ) from None
    n = len(E)
    size = np.abs(solved[:, :n])
    # What acts in one direction only has no balance of its own: scales would run away but for a little of everything.
    _, (scale, _) = la.matrix_balance(size + 1e-8 * size.max(), permute=False, separate=True)
    solved[:, :n] *= scale
    solved /= scale[:, None]
    return solved[:, :n], solved[:, n:], np.diag(unit * scale)


def _rest(sde: StochasticODE) -> FloatArray:
    """Solve ``F x + s = 0``, all (n,), on scales that make its rows alike and with one step of refinement.

    That makes it the exact solution for entries of F that are off by their rounding (Skeel, Math. Comp. 35:817, 1980).
    """
    if sde.F.shape[0] > _SMALL:
        return _sparse_rest(sde)
    F = sde.F.toarray()
    size = np.abs(F).max(axis=1, initial=0.0)
    scale = 1.0 / np.where(size > 0, size, 1.0)
    lu, pivots, singular = dgetrf(scale[:, None] * F)
    if singular:
        return np.full(len(F), np.nan)
    x = np.zeros(len(F))
    for _ in range(2):
        x -= dgetrs(lu, pivots, scale * (sde.F @ x + sde.s))[0]
    return x


def _sparse_rest(sde: StochasticODE) -> FloatArray:
    """As `_rest`, by sparse factors."""
    from scipy.sparse.linalg import splu

    size = abs(sde.F).max(axis=1).toarray().ravel()
    scale = 1.0 / np.where(size > 0, size, 1.0)
    try:
        factors = splu(sp.csc_array(sp.diags_array(scale) @ sde.F))
    except RuntimeError:  # exactly singular
        return np.full(len(size), np.nan)
    x = np.zeros(len(size))
    for _ in range(2):
        x -= factors.solve(scale * (sde.F @ x + sde.s))
    return x


def _source_name(sources: Lazy[NoiseSource], k: int) -> str:
    return sources[k].name
