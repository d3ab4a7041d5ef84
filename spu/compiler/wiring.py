"""Which cells of the hardware have couplers between them: lattices by name, any graph from a file.

==================  ===================================================================================
``complete``        a coupler between any two cells, and any number of cells: no limit
``grid RxC``        R rows of C cells, each coupled to the next in its row and in its column
``king RxC``        the same with both diagonals: the moves of the chess king
``chimera RxCxT``   R x C blocks, each the complete bipartite graph of T + T cells; the first side is
                    coupled to the same cell of the block below, the second to that of the block to
                    the right (Boothby, King, Roy, Quantum Information Processing 15:495, 2016)
a path              a graph that networkx reads: GraphML (``.graphml``), an edge list (``.edgelist``,
                    ``.edges``), adjacency JSON (``.json``)
==================  ===================================================================================

The order of a graph's nodes is the order of the cells, and their names are the cells' names if all are
valid names (`spu.names`); otherwise cells are called c1, c2, ...
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from spu.errors import InputError
from spu.files import read_bytes, read_json, read_text
from spu.names import check_names, shorten, suggest

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["COMPLETE", "Wiring", "check_wiring", "is_file", "load_wiring"]

IntArray = NDArray[np.int64]

COMPLETE = "complete"

_LATTICES = {"grid": "ROWSxCOLUMNS", "king": "ROWSxCOLUMNS", "chimera": "ROWSxCOLUMNSxSIDE"}
_EXAMPLES = (COMPLETE, "grid 4x4", "king 4x4", "chimera 2x2x4")
_SUFFIXES = (".graphml", ".edgelist", ".edges", ".json")
_MOST = 1_000_000  # cells: more are a slip of the pen


@dataclass(frozen=True, eq=False)
class Wiring:
    """The hardware's graph.

    Attributes
    ----------
    spec:
        As written in the hardware file.
    names:
        Names of its N cells.
    edges:
        (m, 2) pairs of coupled cells, the smaller number first, in order, none twice.
    """

    spec: str
    names: tuple[str, ...]
    edges: IntArray

    @property
    def n(self) -> int:
        """Number of cells."""
        return len(self.names)

    @property
    def adjacency(self) -> sp.csr_array:
        """(N, N), 1 where two cells are coupled."""
        ones = np.ones(len(self.edges))
        half = sp.coo_array((ones, (self.edges[:, 0], self.edges[:, 1])), shape=(self.n, self.n))
        return sp.csr_array(half + half.T)

    @property
    def degrees(self) -> IntArray:
        """(N,) couplers of each cell."""
        return np.bincount(self.edges.ravel(), minlength=self.n)


def is_file(spec: str) -> bool:
    """Whether a wiring is meant as the path of a graph file."""
    return Path(spec).suffix.lower() in _SUFFIXES


def check_wiring(spec: object) -> str:
    """Check how a wiring is written; a graph file is not opened.

    Raises
    ------
    InputError
        For what is neither a lattice with its sizes, nor ``complete``, nor a path with a known suffix.
    """
    if isinstance(spec, str) and (spec == COMPLETE or is_file(spec)):
        return spec
    _sizes(spec)
    assert isinstance(spec, str)
    return spec


def _sizes(spec: object) -> tuple[str, list[int]]:
    """Name and sizes of a lattice."""
    word, _, rest = spec.strip().partition(" ") if isinstance(spec, str) else ("", "", "")
    if word not in _LATTICES:
        known = suggest(word or spec, (COMPLETE, *_LATTICES))
        raise InputError(
            f"wiring is {shorten(spec)}: it must be one such as {', '.join(map(repr, _EXAMPLES))}, "
            f"or a graph file ({', '.join(_SUFFIXES)}); {known}"
        )
    shape = _LATTICES[word]
    sizes = rest.strip().split("x")
    if len(sizes) != shape.count("x") + 1 or not all(re.fullmatch(r"[0-9]{1,7}", size) for size in sizes):
        raise InputError(f"wiring is {shorten(spec)}: {word} is written {word} {shape}")
    numbers = [int(size) for size in sizes]
    cells = int(np.prod(numbers, dtype=object)) * (2 if word == "chimera" else 1)
    if not 1 <= cells <= _MOST:
        raise InputError(f"wiring is {shorten(spec)}: {cells} cells, where 1 to {_MOST} are allowed")
    return word, numbers


def load_wiring(spec: str) -> Wiring | None:
    """Build the graph that a wiring names.

    Returns
    -------
    Wiring or None
        None for ``complete``: no limit.

    Raises
    ------
    InputError
        As `check_wiring`; for a graph file that cannot be read, with its line where the reader gives
        one; for a graph without cells, with a coupler from a cell to itself, or not connected.
    """
    if spec == COMPLETE:
        return None
    if is_file(spec):
        return _from_graph(spec, _read_graph(Path(spec)))
    word, sizes = _sizes(spec)
    return _chimera(spec, *sizes) if word == "chimera" else _grid(spec, *sizes, diagonals=word == "king")


def _grid(spec: str, rows: int, columns: int, *, diagonals: bool) -> Wiring:
    number = np.arange(rows * columns).reshape(rows, columns)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    if diagonals:
        pairs += [(number[:-1, :-1], number[1:, 1:]), (number[:-1, 1:], number[1:, :-1])]
    names = tuple(f"r{i}c{j}" for i in range(rows) for j in range(columns))
    return Wiring(spec, names, _ordered(np.concatenate([np.column_stack([a.ravel(), b.ravel()]) for a, b in pairs])))


def _chimera(spec: str, rows: int, columns: int, side: int) -> Wiring:
    number = np.arange(rows * columns * 2 * side).reshape(rows, columns, 2, side)
    inside = np.broadcast_arrays(number[:, :, 0, :, None], number[:, :, 1, None, :])
    pairs = [
        (inside[0], inside[1]),
        (number[:-1, :, 0], number[1:, :, 0]),
        (number[:, :-1, 1], number[:, 1:, 1]),
    ]
    names = tuple(
        f"r{i}c{j}{'uv'[u]}{k}" for i in range(rows) for j in range(columns) for u in range(2) for k in range(side)
    )
    return Wiring(spec, names, _ordered(np.concatenate([np.column_stack([a.ravel(), b.ravel()]) for a, b in pairs])))


def _ordered(edges: IntArray) -> IntArray:
    return np.unique(np.sort(edges.astype(np.int64), axis=1), axis=0).reshape(-1, 2)


def _read_graph(path: Path) -> nx.Graph:
    """Read a graph file by its suffix."""
    import networkx as nx

    suffix = path.suffix.lower()
    if suffix == ".json":
        data: Any = read_json(path)
        try:
            return nx.adjacency_graph(data)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, nx.NetworkXError) as error:
            raise InputError(
                f"is no adjacency JSON as networkx.adjacency_data writes it ({type(error).__name__}: {error})",
                file=path,
            ) from None
    if suffix == ".graphml":
        from xml.etree.ElementTree import ParseError

        content = read_bytes(path)
        try:
            return nx.read_graphml(io.BytesIO(content))
        except ParseError as error:
            raise InputError(f"not valid XML: {error}", file=path, line=error.position[0]) from None
        except Exception as error:  # of the XML parser, too: an encoding that it does not know is a LookupError
            said = shorten(" ".join(str(error).split()))[1:-1]
            raise InputError(f"is no GraphML that networkx reads: {said}", file=path) from None
    lines = [line.partition("#")[0].strip() for line in read_text(path).splitlines()]
    for number, line in enumerate(lines, start=1):
        if line and len(line.split()) < 2:
            raise InputError(f"{shorten(line)} is no edge: a line holds two names of cells", file=path, line=number)
    return nx.parse_edgelist(lines, data=False)


def _from_graph(spec: str, graph: nx.Graph) -> Wiring:
    """Cells and couplers of a networkx graph; directions and repeated edges do not matter."""
    nodes = list(graph.nodes)
    if not nodes:
        raise InputError("the graph has no nodes: no cells", file=spec)
    if len(nodes) > _MOST:
        raise InputError(f"{len(nodes)} cells, where {_MOST} are allowed", file=spec)
    number = {node: k for k, node in enumerate(nodes)}
    edges = np.array([(number[a], number[b]) for a, b in graph.edges()], dtype=np.int64).reshape(-1, 2)
    selfish = edges[:, 0] == edges[:, 1]
    if selfish.any():
        node = nodes[int(edges[np.argmax(selfish), 0])]
        raise InputError(f"couples cell {shorten(node)} to itself: a coupler joins two different cells", file=spec)
    wiring = Wiring(spec, _names(nodes), _ordered(edges))
    count, labels = connected_components(wiring.adjacency, directed=False)
    if count > 1:
        lost = nodes[int(np.argmax(labels != labels[0]))]
        raise InputError(
            f"the graph is not connected: it has {count} parts, and no couplers lead from cell {shorten(nodes[0])} "
            f"to cell {shorten(lost)}",
            file=spec,
        )
    return wiring


def _names(nodes: list[Any]) -> tuple[str, ...]:
    """The nodes' own names if all can name cells. Bare numbers cannot: c in front makes them words."""
    words = [f"c{node}" if str(node).isdigit() else str(node) for node in nodes]
    try:
        return check_names(words, "a cell")
    except InputError:
        return tuple(f"c{k + 1}" for k in range(len(nodes)))
