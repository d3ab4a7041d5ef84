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
valid names (`spu.base.names`); otherwise cells are called c1, c2, ...
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from spu.base.arrays import IntArray
from spu.base.errors import InputError
from spu.base.files import read_bytes, read_json, read_text
from spu.base.names import check_names, first_line, shorten, suggest

if TYPE_CHECKING:
    import networkx as nx


__all__ = ["COMPLETE", "Wiring", "check_wiring", "is_file", "load_wiring"]


COMPLETE = "complete"

_LATTICES = {"grid": "ROWSxCOLUMNS", "king": "ROWSxCOLUMNS", "chimera": "ROWSxCOLUMNSxSIDE"}

_EXAMPLES = (COMPLETE, "grid 4x4", "king 4x4", "chimera 2x2x4")

_SUFFIXES = (".graphml", ".edgelist", ".edges", ".json")

_MOST = 1_000_000  # cells: more are a slip of the pen

_MOST_COUPLERS = 250_000  # of a graph file, whose couplers are in no order that a program could make use of

_MOST_BYTES = 2**24  # of a graph file


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
        return _from_graph(spec, *_read_graph(Path(spec)))
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


def _read_graph(path: Path) -> tuple[list[Any], IntArray]:
    """Read a graph file by its suffix: its nodes, and pairs of their numbers as they come."""
    suffix = path.suffix.lower()
    if suffix in (".edgelist", ".edges"):
        return _read_edges(path)
    graph = _read_json(path) if suffix == ".json" else _read_graphml(path)
    number = {node: k for k, node in enumerate(graph.nodes)}
    edges = np.array([(number[a], number[b]) for a, b in graph.edges()], dtype=np.int64).reshape(-1, 2)
    return list(number), edges


def _read_json(path: Path) -> nx.Graph:
    import networkx as nx

    data: Any = read_json(path, _MOST_BYTES)
    try:
        return nx.adjacency_graph(data)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, nx.NetworkXError) as error:
        raise InputError(
            f"is no adjacency JSON as networkx.adjacency_data writes it ({type(error).__name__}: {first_line(error)})",
            file=path,
        ) from None


def _read_graphml(path: Path) -> nx.Graph:
    from xml.etree.ElementTree import ParseError

    import networkx as nx

    content = read_bytes(path, _MOST_BYTES)
    if re.search(rb"<\0?!\0?(D\0?O\0?C\0?T|E\0?N\0?T)", content, re.IGNORECASE):
        raise InputError("declares a document type or entities, which no graph needs: take them out", file=path)
    try:
        return nx.read_graphml(io.BytesIO(content))
    except ParseError as error:
        raise InputError(f"not valid XML: {error}", file=path, line=error.position[0]) from None
    except Exception as error:  # of the XML parser, too: an encoding that it does not know is a LookupError
        said = shorten(" ".join(str(error).split()))[1:-1]
        raise InputError(f"is no GraphML that networkx reads: {said}", file=path) from None


def _read_edges(path: Path) -> tuple[list[Any], IntArray]:
    """Two names of nodes a line; what stands behind them is left alone."""
    number: dict[str, int] = {}
    edges: list[tuple[int, int]] = []
    for line, raw in enumerate(read_text(path, _MOST_BYTES).splitlines(), start=1):
        words = raw.partition("#")[0].split(maxsplit=2)
        if not words:
            continue
        if len(words) < 2:
            message = f"{shorten(words[0])} is no edge: a line holds two names of cells"
            raise InputError(message, file=path, line=line)
        a, b = (number.setdefault(word, len(number)) for word in words[:2])
        if a == b:
            raise InputError(_selfish(words[0]), file=path, line=line)
        edges.append((a, b))
        if len(edges) > _MOST_COUPLERS:
            raise InputError(f"more than {_MOST_COUPLERS:,} couplers: a graph file has at most so many", file=path)
    return list(number), np.array(edges, dtype=np.int64).reshape(-1, 2)


def _selfish(node: object) -> str:
    return f"couples cell {shorten(node)} to itself: a coupler joins two different cells"


def _from_graph(spec: str, nodes: list[Any], edges: IntArray) -> Wiring:
    """Cells and couplers of a graph; directions and repeated edges do not matter."""
    if not nodes:
        raise InputError("the graph has no nodes: no cells", file=spec)
    if len(nodes) > _MOST:
        raise InputError(f"{len(nodes)} cells, where {_MOST} are allowed", file=spec)
    if len(edges) > _MOST_COUPLERS:
        raise InputError(f"{len(edges):,} couplers: a graph file has at most {_MOST_COUPLERS:,}", file=spec)
    selfish = edges[:, 0] == edges[:, 1]
    if selfish.any():
        raise InputError(_selfish(nodes[int(edges[np.argmax(selfish), 0])]), file=spec)
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
