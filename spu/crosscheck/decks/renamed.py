"""A netlist from a schematic, its nodes under the names of a device's cells.

KiCad calls a local label ``/cell_x``, or ``/board/cell_x`` on a sheet, and a net without one ``Net-_C1-Pad1_``. A check
reads cells at ``cell_x``: nodes are renamed in a copy, outside of subcircuits, and nothing else is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spu.base.errors import InputError, OptionError
from spu.base.names import shorten, suggest
from spu.spice.deck import MAX_BYTES
from spu.spice.names import cell_node
from spu.spice.reader import self_contained
from spu.spice.reader.lines import Line, Source, read_source
from spu.spice.reader.placed import node_name
from spu.spice.reader.readout import local_labels


def renamed(
    path: Path,
    cells: Sequence[str],
    nodes: Mapping[str, str] | None,
    scratch: Path,
    *,
    include_outside: bool = False,
    ignore_control: bool = False,
) -> tuple[Path, tuple[str, ...]]:
    """Call the nodes of a netlist as a device's cells.

    Parameters
    ----------
    path:
        The netlist.
    cells:
        Names of the device's cells.
    nodes:
        For some cells, the node that each is here.
    scratch:
        Folder for the copy.

    Returns
    -------
    The copy, or the netlist itself where no node is called otherwise; and what to say of that.

    Raises
    ------
    OptionError
        If there is no such cell or node, two cells are one node, or a node of a cell's name is another one.
    """
    source = read_source(path, include_outside=include_outside, ignore_control=ignore_control, max_bytes=MAX_BYTES)
    words = {node_name(word) for line in _outside(source) for word in line.words[1:]}
    wanted = _asked(cells, nodes or {}, words, path)
    lower = {cell_node(name).lower() for name in cells}
    taken = {cell_node(name).lower() for name in nodes or {}}
    found: dict[str, list[str]] = {}
    for label, name in local_labels(sorted(words)).items():
        if name in lower and name not in words and name not in taken:
            found.setdefault(name, []).append(label)
    for name, labels in found.items():
        if len(labels) > 1:
            cell = name.removeprefix("cell_")
            raise InputError(
                f"both {labels[0]} and {labels[1]} may be cell {cell}: say which, --map {cell}={labels[0]}", file=path
            )
        wanted[labels[0]] = name
    wanted = {node: name for node, name in wanted.items() if node != name}
    if not wanted:
        return path, ()
    copy = scratch / path.name
    inside = False
    lines: list[Line] = []
    for line in source.lines:
        inside = (inside or line.words[0] == ".subckt") and line.words[0] != ".ends"
        lines.append(line if inside or line.words[0] == ".ends" else _with(line, wanted))
    output = [_with(line, wanted) for line in source.output]
    changed = replace(source, lines=lines, output=output, verbatim=None)
    copy.write_text(self_contained(changed, path), encoding="utf-8")
    first = ", ".join(f"{name} is {node}" for node, name in list(wanted.items())[:3])
    more = f" and {len(wanted) - 3} more" if len(wanted) > 3 else ""
    return copy, (f"cells are called otherwise in {path.name}: {first}{more}; lines are counted without comments",)


def _outside(source: Source) -> list[Line]:
    """Lines outside of subcircuits."""
    depth, found = 0, []
    for line in source.lines:
        depth += line.words[0] == ".subckt"
        if depth == 0:
            found.append(line)
        depth -= line.words[0] == ".ends" and depth > 0
    return found


def _asked(cells: Sequence[str], nodes: Mapping[str, str], words: set[str], path: Path) -> dict[str, str]:
    """Names of cells by the nodes that a user has given."""
    known = {name.lower(): name for name in cells}
    found: dict[str, str] = {}
    for cell, given in nodes.items():
        if cell.lower() not in known:
            raise OptionError("map", f"names no cell {shorten(cell)}; {suggest(cell, list(cells))}")
        node, name = node_name(given.lower()), cell_node(cell).lower()
        if node not in words:
            raise OptionError("map", f"{cell}={given}: there is no node {shorten(given)} in {path.name}")
        if node == "0":
            raise OptionError("map", f"{cell}={given}: that is ground")
        if node != name and name in words:
            raise OptionError("map", f"{cell}={given}: there is a node {name} besides")
        if node in found:
            raise OptionError("map", f"{cell}={given}: that is {found[node]} already")
        found[node] = name
    return found


def _with(line: Line, wanted: Mapping[str, str]) -> Line:
    """A line with nodes called otherwise."""
    if not any(node in line.text.lower() for node in wanted):
        return line
    every = "|".join(re.escape(node) for node in sorted(wanted, key=len, reverse=True))
    pattern = rf"(?i)(?<![\w./#)}}-])(?:{every})(?![\w./#-])"
    return replace(line, text=re.sub(pattern, lambda found: wanted[found[0].lower()], line.text))
