"""Pass 1: flip readouts so that plain couplers, which only give off-diagonals <= 0, can do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


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


def polarity(matrix: FloatArray) -> Polarity:
    """Two-colour the graph of signs of a symmetric (n, n) matrix.

    A negative entry wants equal signs at its ends, a positive one opposite signs; each
    connected component is coloured breadth first from its first cell.
    """
    n = len(matrix)
    signs = np.zeros(n)
    parent = np.full(n, -1)
    for root in range(n):
        if signs[root]:
            continue
        signs[root] = 1.0
        queue = [root]
        for here in queue:
            neighbours = np.flatnonzero(matrix[here])
            neighbours = neighbours[neighbours != here]
            wanted = -np.sign(matrix[here, neighbours]) * signs[here]
            fresh = signs[neighbours] == 0
            wrong = ~fresh & (signs[neighbours] != wanted)
            if wrong.any():
                return Polarity(None, _cycle(parent, here, int(neighbours[wrong][0])))
            signs[neighbours[fresh]] = wanted[fresh]
            parent[neighbours[fresh]] = here
            queue.extend(neighbours[fresh].tolist())
    return Polarity(signs)


def _cycle(parent: NDArray[np.int64], a: int, b: int) -> tuple[int, ...]:
    """The cycle that the edge a-b closes in the tree of parents."""
    up = [a]
    while parent[up[-1]] >= 0:
        up.append(int(parent[up[-1]]))
    down = [b]
    while down[-1] not in up:
        down.append(int(parent[down[-1]]))
    return (*up[: up.index(down[-1]) + 1], *reversed(down[:-1]))
