"""Pass 1: flip readouts so that plain couplers, which only give off-diagonals <= 0, can do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, connected_components

from spu.base.arrays import FloatArray, IntArray
from spu.base.sparse import canonical, off_diagonal, row_numbers


@dataclass(frozen=True, eq=False)
class Polarity:
    """Readout signs, or the cycle that forbids them.

    Attributes
    ----------
    signs:
        (n,) of +1 and -1 such that ``signs_i a_ij signs_j <= 0`` off the diagonal; None if
        there are none.
    frustrated:
        Indices of a cycle of couplings whose signs multiply to the wrong sign, if so.
    """

    signs: FloatArray | None
    frustrated: tuple[int, ...] = ()


def polarity(matrix: FloatArray | sp.csr_array) -> Polarity:
    """Two-colour the graph of signs of a symmetric (n, n) matrix.

    A negative entry wants equal signs at its ends, a positive one opposite signs; each
    connected component is coloured along a breadth-first tree from its first cell.
    """
    whole = canonical(matrix)
    n = whole.shape[0]
    if np.count_nonzero(whole.data > 0) == np.count_nonzero(whole.diagonal() > 0):
        return Polarity(np.ones(n))
    graph = off_diagonal(whole)
    order, parent = _breadth_first(graph)
    rows = row_numbers(graph)
    wanted = -np.sign(graph.data)

    # The sign of a cell is the product of those wanted along its path to the root: pointers to
    # ancestors, with the product on the way there, double their reach at every pass.
    signs = np.ones(n)
    in_tree = parent[graph.indices] == rows
    signs[graph.indices[in_tree]] = wanted[in_tree]
    above = np.where(parent < 0, np.arange(n), parent)
    while (above != above[above]).any():
        signs, above = signs * signs[above], above[above]

    wrong = signs[rows] * wanted != signs[graph.indices]
    if not wrong.any():
        return Polarity(signs)
    # The first one met: its cycle is among the shortest.
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    candidates = np.flatnonzero(wrong)
    first = candidates[np.argmin(place[rows[candidates]])]
    return Polarity(None, _cycle(parent, int(rows[first]), int(graph.indices[first])))


def _breadth_first(graph: sp.csr_array) -> tuple[IntArray, IntArray]:
    """(n,) order of visits and (n,) parents, -1 for a root: the first cell of each connected component."""
    n = graph.shape[0]
    _, labels = connected_components(graph, directed=False)
    roots = np.unique(labels, return_index=True)[1]
    # One more node that leads to every root makes it one search.
    everything = sp.csr_array(
        (
            np.ones(graph.nnz + len(roots)),
            np.concatenate([graph.indices, roots]),
            np.concatenate([graph.indptr, [graph.nnz + len(roots)]]),
        ),
        shape=(n + 1, n + 1),
    )
    order, parent = breadth_first_order(everything, n)
    above = parent[:n].astype(np.int64)
    return order[1:].astype(np.int64), np.where(above == n, -1, above)


def _cycle(parent: IntArray, a: int, b: int) -> tuple[int, ...]:
    """The cycle that the edge a-b closes in the tree of parents."""
    up = {a: 0}
    here = a
    while parent[here] >= 0:
        here = int(parent[here])
        up[here] = len(up)
    down = [b]
    while down[-1] not in up:
        down.append(int(parent[down[-1]]))
    return (*list(up)[: up[down[-1]] + 1], *reversed(down[:-1]))
