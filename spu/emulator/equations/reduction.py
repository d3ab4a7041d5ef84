"""Unknowns that are not free to move, found from the circuit's graph and eliminated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.base.errors import CircuitError
from spu.base.sequences import Lazy
from spu.circuit.stamps import Stamps, listed, node_names


class Undetermined(CircuitError):
    """The elimination by graphs is singular."""


def components(edges: list[tuple[IntArray, IntArray]], count: int) -> tuple[IntArray, int]:
    """Label the connected component of each node; returns labels and the label of ground."""
    # Usually every node is tied to ground by itself, and half a million couplers need not be looked at.
    grounded = np.zeros(count + 1, dtype=bool)  # the last one is ground, which is node -1
    for p, n in edges:
        grounded[p[n == GROUND]] = True
        grounded[n[p == GROUND]] = True
    if grounded[:count].all():
        return np.zeros(count, dtype=np.int64), 0
    labels, _ = _graph_components(edges, count)
    return labels[:count], int(labels[count])


def _graph_components(edges: list[tuple[IntArray, IntArray]], count: int) -> tuple[IntArray, int]:
    """(count + 1,) label of the component of each node and, last, of ground; and how many there are."""
    p = np.concatenate([edge[0] for edge in edges] or [np.empty(0, np.int64)])
    n = np.concatenate([edge[1] for edge in edges] or [np.empty(0, np.int64)])
    p, n = np.where(p == GROUND, count, p), np.where(n == GROUND, count, n)
    graph = sp.coo_array((np.ones(len(p)), (p, n)), shape=(count + 1, count + 1))
    number, labels = connected_components(graph, directed=False)
    return labels.astype(np.int64), int(number)


def refuse_floating(stamps: Stamps, names: Lazy[str]) -> None:
    """Refuse nodes that nothing ties to ground."""
    inductors = [(p, n) for p, n, _ in stamps.inductor_ends]
    edges = stamps.capacitor_ends + stamps.conductor_ends + stamps.controlled_ends + inductors + stamps.voltage_ends
    labels, ground = components(edges, stamps.node_count)
    floating = node_names(names.take(np.flatnonzero(labels != ground)))
    if floating:
        raise CircuitError(
            f"floating: nothing ties {listed(floating)} to ground, so the voltage is undefined; "
            "give the cell a capacitance or conductance",
            nodes=floating,
        )


@dataclass(frozen=True, eq=False)
class Loops:
    """Loops of inductors: the (n, m) basis that keeps their flux, and the (k,) currents that it leaves out.

    ``around`` (n, k) adds up the fluxes around each loop.
    """

    basis: sp.csr_array
    dropped: IntArray
    around: sp.csr_array


def has_loops(stamps: Stamps) -> bool:
    """Whether inductors and voltage sources close loops: a graph without has as many edges as nodes less components."""
    ends = [(p, n) for p, n, _ in stamps.inductor_ends] + stamps.voltage_ends
    return sum(len(p) for p, _ in ends) > stamps.node_count + 1 - _graph_components(ends, stamps.node_count)[1]


@dataclass(frozen=True, eq=False)
class Held:
    """Nodes that voltage sources hold, beside other nodes, which the sources join without a loop.

    Attributes
    ----------
    nodes, over:
        (k,) each: the nodes, and over which node each has a voltage that the sources alone decide (-1 for ground).
    branches:
        (k,) the sources.
    """

    nodes: IntArray
    over: IntArray
    branches: IntArray


def held_nodes(stamps: Stamps) -> Held:
    """Find them; the sources must not close loops."""
    if not stamps.voltage_ends:
        nothing = np.empty(0, np.int64)
        return Held(nothing, nothing, nothing)
    labels, ground = components(stamps.voltage_ends, stamps.node_count)
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    over = np.where(labels == ground, GROUND, first[label])
    nodes = np.flatnonzero(over != np.arange(stamps.node_count))
    return Held(nodes, over[nodes], np.concatenate(stamps.voltage_branches))


def refuse_impossible_couplings(stamps: Stamps, names: Lazy[str]) -> bool:
    """Refuse couplings of inductors that store negative energy; returns whether some are perfect."""
    if not stamps.couplings:
        return False
    first, second, coupling = (np.concatenate([part[k] for part in stamps.couplings]) for k in range(3))
    normal = np.eye(stamps.branch_count)
    np.add.at(normal, (first, second), coupling.real)
    np.add.at(normal, (second, first), coupling.real)
    involved = np.unique(np.concatenate([first, second]))
    normal = normal[np.ix_(involved, involved)]
    labels = connected_components(sp.csr_array(normal), directed=False)[1]
    tight = False
    for label in range(labels.max() + 1):
        members = np.flatnonzero(labels == label)
        smallest = float(la.eigvalsh(normal[np.ix_(members, members)])[0])
        tight |= smallest < 1e-12 * len(members)
        if smallest < -1e-12 * len(members):
            inductors = tuple(names[stamps.node_count + int(k)][2:-1] for k in involved[members])
            raise CircuitError(
                f"the couplings of {listed(inductors)} are more than perfect: the inductors would store negative "
                "energy; |k| <= 1 for two, and less where each of several couples with the others",
                nodes=inductors,
            )
    return tight


def inductor_loops(stamps: Stamps) -> Loops:
    """Express the currents of inductors that close loops by those of a spanning forest.

    The flux through a loop of ideal inductors is conserved; it is taken as zero. The currents
    of the forest stay states, the chords follow: ``L_c i_c = sum of +-L_t i_t``.
    """
    size, nodes = stamps.size, stamps.node_count
    p, n, inductance = (np.concatenate([part[k] for part in stamps.inductor_ends]) for k in range(3))
    # Flux potential of each node as a combination of tree fluxes, built outwards from roots.
    neighbours: dict[int, list[tuple[int, int, float]]] = {}
    for branch, (a, b) in enumerate(zip(p.tolist(), n.tolist(), strict=True)):
        neighbours.setdefault(a, []).append((b, branch, -1.0))  # phi_b = phi_a - L i
        neighbours.setdefault(b, []).append((a, branch, 1.0))
    potential: dict[int, dict[int, float]] = {}
    tree: set[int] = set()
    for root in [GROUND, *neighbours]:
        if root in potential or root not in neighbours:
            continue
        potential[root] = {}
        queue = [root]
        while queue:
            here = queue.pop()
            for there, branch, sign in neighbours[here]:
                if there not in potential:
                    potential[there] = {**potential[here], branch: sign}
                    tree.add(branch)
                    queue.append(there)
    rows, cols, values = list(range(nodes)), list(range(nodes)), [1.0] * nodes
    column = {branch: nodes + k for k, branch in enumerate(sorted(tree))}
    around: list[tuple[int, int, float]] = []
    dropped = np.array([nodes + b for b in range(len(inductance)) if b not in tree], dtype=np.int64)
    for branch in range(len(inductance)):
        if branch in tree:
            rows.append(nodes + branch)
            cols.append(column[branch])
            values.append(1.0)
            continue
        flux: dict[int, float] = dict(potential[int(p[branch])])
        for other, sign in potential[int(n[branch])].items():
            flux[other] = flux.get(other, 0.0) - sign
        loop = int(np.searchsorted(dropped, nodes + branch))
        around.append((nodes + branch, loop, 1.0))
        around += [(nodes + other, loop, -sign) for other, sign in flux.items()]
        for other, sign in flux.items():
            if sign:
                rows.append(nodes + branch)
                cols.append(column[other])
                values.append(sign * inductance[other] / inductance[branch])
    basis = sp.csr_array(sp.coo_array((values, (rows, cols)), shape=(size, nodes + len(tree))))
    where = tuple(np.array(around)[:, :2].T.astype(np.int64))
    signs = np.array(around)[:, 2]
    return Loops(basis, dropped, sp.csr_array(sp.coo_array((signs, where), shape=(size, len(dropped)))))


def fix_conserved_charge(
    stamps: Stamps,
    E: sp.csr_array,
    F: sp.csr_array,
    K: sp.csr_array,
    s: FloatArray,
    H: sp.csr_array,
    names: Lazy[str],
) -> tuple[sp.csr_array, sp.csr_array, sp.csr_array, FloatArray, sp.csr_array, Lazy[str]]:
    """Set to zero, and drop, the charge of node sets that only capacitors tie to the rest."""
    inductors = [(p, n) for p, n, _ in stamps.inductor_ends]
    labels, ground = components(stamps.conductor_ends + inductors + stamps.voltage_ends, stamps.node_count)
    with_control = {ground}
    for p, n in stamps.controlled_ends:
        lp, ln = (np.where(node == GROUND, ground, labels[node]) for node in (p, n))
        with_control |= set(lp[lp != ln].tolist()) | set(ln[lp != ln].tolist())
    charge = E.diagonal().real
    for label in np.setdiff1d(labels, list(with_control)):
        members = np.flatnonzero(labels == label)
        nodes = node_names(names.take(members))
        if stamps.voltage_ends:
            raise Undetermined(
                f"nothing drains the charge of {listed(nodes)}, beside voltage sources; give the cell a conductance",
                nodes=nodes,
            )
        total = np.zeros(len(names))
        total[members] = 1.0
        noise, bias = total @ K, total @ s
        if np.abs(noise).max(initial=0.0) > 0:
            raise CircuitError(
                f"noise drives the charge of {listed(nodes)}, which nothing drains (a random walk); "
                "give the cell a conductance",
                nodes=nodes,
            )
        if bias != 0:
            raise CircuitError(
                f"a bias current charges {listed(nodes)} without bound; give the cell a conductance",
                nodes=nodes,
            )
        # New coordinates: v_i = w_i + w_r. The row of w_r is then the conserved charge, which is
        # set to zero and solved for w_r.
        row = total @ E
        reference = int(members[np.argmax(charge[members])])
        shift = sp.lil_array(sp.eye_array(len(names)))
        shift[members, [reference] * len(members)] = 1.0
        U = sp.csr_array(shift)
        weights = row @ U
        solve = sp.lil_array(sp.eye_array(len(names), dtype=E.dtype))
        solve[reference, :] = -weights / weights[reference]
        solve[reference, reference] = 0.0
        R = U @ sp.csr_array(solve)
        E, F, K, s, H = R.T @ E @ R, R.T @ F @ R, R.T @ K, np.asarray(R.T @ s), H @ R
        stamps.conserved.append(reference)
        stamps.islands.append(members)
    if stamps.conserved:
        keep = np.setdiff1d(np.arange(len(names)), stamps.conserved)
        E, F, K, s, H = E[keep][:, keep], F[keep][:, keep], K[keep], s[keep], H[:, keep]
        names = names.take(keep)
    return E, F, K, s, H, names


def inverse_algebraic(Fzz: sp.csr_array, Kz: sp.csr_array, names: Lazy[str]) -> sp.csr_array:
    """Invert the algebraic block, part by part as they hang together, or say which nodes make it singular."""
    size = Fzz.shape[0]
    scale = abs(Fzz).max(axis=1).toarray().ravel()
    silent = np.flatnonzero(scale == 0)
    if len(silent):
        _refuse_undetermined(silent, Kz, names)
    count, labels = connected_components(sp.csr_array(abs(Fzz)), directed=False)
    many = np.bincount(labels, minlength=count)
    alone = np.flatnonzero(many[labels] == 1)
    rows, columns, values = [alone], [alone], [1.0 / Fzz.diagonal()[alone]]
    order = np.argsort(labels, kind="stable")
    for part in np.split(order, np.cumsum(many)[:-1]):
        if len(part) == 1:
            continue
        block = Fzz[part][:, part].toarray()
        _, singular, vt = la.svd(block / scale[part][:, None])
        if not singular[-1] > 1e-13 * singular[0]:
            weight = np.abs(vt[-1])
            _refuse_undetermined(part[weight > 1e-3 * weight.max()], None, names)
        rows.append(np.repeat(part, len(part)))
        columns.append(np.tile(part, len(part)))
        values.append(la.inv(block).ravel())
    where = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_array(sp.coo_array((np.concatenate(values), where), shape=(size, size)))


def _refuse_undetermined(null: IntArray, Kz: sp.csr_array | None, names: Lazy[str]) -> NoReturn:
    """Refuse nodes that make the algebraic block singular; ``Kz`` is the noise of those without any entry."""
    nodes = node_names(names.take(null))
    if Kz is not None and abs(Kz[null]).sum() > 0:
        raise CircuitError(
            f"noise current into {listed(nodes)} could flow only through inductors: its voltage would "
            "be a derivative of white noise; give the node a capacitance or conductance",
            nodes=nodes,
        )
    raise Undetermined(
        f"the elimination of nodes without capacitance is singular at {listed(nodes)}: "
        "the circuit does not determine the voltage; give the node a capacitance or conductance",
        nodes=nodes,
    )
