"""What is read out of a netlist: by option, by convention, or by its output lines.

In this order: probes that the user names; nodes ``cell_NAME``, as in our own netlists, or what reads these
(``xreadout_NAME.out``); local labels ``/cell_NAME``, as KiCad writes them; nodes on ``.save``,
``.print``, ``.plot``, ``.probe`` and ``.noise`` lines, as ``v(a)``, ``v(a,b)``, ``vdb(a)``, ``vp(a)``... Our own
netlists also say in their header how voltages map to variables.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from spu.base.errors import InputError
from spu.base.names import shorten
from spu.circuit.readout import Readout
from spu.circuit.scales import Scales
from spu.device.readout_chain import OUTPUT, READOUT
from spu.spice.names import UNIT_TIME
from spu.spice.reader.lines import Line, Source
from spu.spice.reader.placed import node_name

_CELL = "cell_"
_VOLTAGE = re.compile(r"(?<![\w.])v(?:db|[mprig])?\(\s*([^\s(),]+)\s*(?:,\s*([^\s(),]+)\s*)?\)")
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?"
_SHOWN = 150
"""Characters of the names of nodes that a message lists."""


@dataclass(frozen=True)
class Probe:
    """A voltage that is read out, between two nodes (the second may be ground, ``0``)."""

    name: str
    plus: str
    minus: str = "0"

    def __str__(self) -> str:
        voltage = f"v({self.plus})" if self.minus == "0" else f"v({self.plus},{self.minus})"
        return f"{self.name} = {voltage}"


@dataclass(frozen=True, eq=False)
class Chosen:
    """The probes, why these, how they map to variables, and how the problem's time does where the header says so."""

    probes: tuple[Probe, ...]
    why: str
    readout: Readout
    notes: tuple[str, ...] = ()
    scales: Scales | None = None


def choose_probes(source: Source, nodes: Sequence[str], asked: Sequence[str], file: str) -> Chosen:
    """Choose what is read out.

    Parameters
    ----------
    source:
        The deck as lines.
    nodes:
        Names of the nodes there are.
    asked:
        ``NODE``, ``NODE1,NODE2``, ``NAME=NODE`` or ``NAME=NODE1,NODE2``.
    file:
        For messages.

    Raises
    ------
    InputError
        If a probe is not there, or nothing says what to read: then with the nodes to choose from.
    """
    there = set(nodes)
    if asked:
        probes = _unique([_asked(text, there) for text in asked])
        return Chosen(probes, "asked for", _volts(probes))
    cells = [node for node in nodes if node.startswith(_CELL) and "." not in node and len(node) > len(_CELL)]
    if cells:
        return _read_behind(_cells(source, cells), there)
    labels = local_labels(nodes)
    if labels:
        probes = _unique([Probe(name.removeprefix(_CELL), node) for node, name in labels.items()])
        return Chosen(probes, "local labels /cell_NAME of a schematic", _volts(probes))
    found: list[Probe] = []
    for line in source.output:
        found += _saved(line, there)
    if found:
        distinct = list({(probe.plus, probe.minus): probe for probe in found}.values())
        probes = _unique(distinct)
        return Chosen(probes, "named on .save, .print, .plot, .probe or .noise lines", _volts(probes))
    raise InputError(
        "nothing says what is read out (no nodes cell_NAME, no .save): give --probe NODE, or "
        f"--probe NAME=NODE1,NODE2, to spu import; nodes: {_listed(nodes)}",
        file=file,
    )


def local_labels(nodes: Sequence[str]) -> dict[str, str]:
    """Nodes that are local labels of a hierarchical schematic, ``/cell_x``, ``/board/cell_x``: each with its last name.

    KiCad writes them so.
    """
    found = {}
    for node in nodes:
        name = node.rpartition("/")[2]
        if node.startswith("/") and "." not in node and re.fullmatch(rf"{_CELL}\w+", name):
            found[node] = name
    return found


def _read_behind(chosen: Chosen, there: Container[str]) -> Chosen:
    """The same at the outputs of the cells' readouts, where all have one."""
    outputs = [f"x{READOUT}_{probe.plus.removeprefix(_CELL)}.{OUTPUT}" for probe in chosen.probes]
    if not all(output in there for output in outputs):
        return chosen
    probes = tuple(Probe(probe.name, output) for probe, output in zip(chosen.probes, outputs, strict=True))
    return replace(chosen, probes=probes, why=chosen.why.replace("nodes cell_NAME", "outputs of xreadout_NAME"))


def _asked(text: str, there: set[str]) -> Probe:
    found = re.fullmatch(r"(?:([A-Za-z0-9_]{1,64})=)?([^\s,=]+)(?:,([^\s,=]+))?", text.strip())
    if found is None:
        raise InputError(f"--probe {shorten(text)}: write NODE, NODE1,NODE2 or NAME=NODE")
    plus, minus = node_name(found[2].lower()), node_name((found[3] or "0").lower())
    _refuse_missing(plus, minus, there, f"--probe {shorten(text)[1:-1]}")
    return Probe(found[1] or _name_of(plus, minus), plus, minus)


def _refuse_missing(plus: str, minus: str, there: set[str], where: str) -> None:
    for node in (plus, minus):
        if node != "0" and node not in there:
            raise InputError(f"{where}: there is no node {shorten(node)}; nodes: {_listed(sorted(there))}")
    if plus == minus:
        raise InputError(f"{where}: reads a node against itself")


def _listed(names: Sequence[str]) -> str:
    """Names, those of the deck itself before those within subcircuits, as many as a message holds."""
    shown: list[str] = []
    for name in sorted(names, key=lambda name: name.count(".")):
        short = shorten(name, 40)[1:-1]
        if sum(map(len, shown)) + 2 * len(shown) + len(short) > _SHOWN:
            break
        shown.append(short)
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _name_of(plus: str, minus: str) -> str:
    """A variable's name: letters, digits and underscores."""
    text = plus if minus == "0" else f"{plus}_{minus}"
    return re.sub(r"[^A-Za-z0-9_]+", "_", text.removeprefix(_CELL)).strip("_")[:60] or "x"


def _unique(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Names that differ, by a number behind where they would not."""
    taken: set[str] = set()
    found = []
    for probe in probes:
        name, again = probe.name, 1
        while name.lower() in taken:
            again += 1
            name = f"{probe.name}_{again}"
        taken.add(name.lower())
        found.append(Probe(name, probe.plus, probe.minus))
    return tuple(found)


def _saved(line: Line, there: set[str]) -> list[Probe]:
    text = line.text.lower()
    pairs = [(node_name(p), node_name(n or "0")) for p, n in _VOLTAGE.findall(text)]
    return [Probe(_name_of(p, n), p, n) for p, n in pairs if p in there and (n == "0" or n in there) and p != n]


def _volts(probes: Sequence[Probe]) -> Readout:
    count = len(probes)
    return Readout(tuple(probe.name for probe in probes), sp.csr_array(np.eye(count)), np.zeros(count))


# --- our own netlists ----------------------------------------------------------------------


def _cells(source: Source, cells: Sequence[str]) -> Chosen:
    """Nodes ``cell_NAME``, in the order of the header where that lists them, with its mapping."""
    why = "nodes cell_NAME"
    rows = _mapping(source)
    names = [name for _, name, _ in rows]
    if rows and sorted(_CELL + name.lower() for name in names) == sorted(cells):
        probes = tuple(Probe(name, _CELL + name.lower()) for name in names)
        matrix = np.array([numbers[:-1] for _, _, numbers in rows])
        if matrix.shape[1] == 1:
            matrix = np.diag(matrix[:, 0])
        offset = np.array([numbers[-1] for _, _, numbers in rows])
        variables = tuple(variable for variable, _, _ in rows)
        readout = Readout(variables, sp.csr_array(matrix), offset)
        return Chosen(probes, f"{why}, mapped as the header says", readout, scales=_scales(source, readout))
    probes = _unique([Probe(_name_of(node, "0"), node) for node in cells])
    wide = _wide_mapping(source, cells)
    if wide is not None:
        return Chosen(*wide[:1], f"{why}, mapped as the header says", wide[1], scales=_scales(source, wide[1]))
    notes: tuple[str, ...] = ()
    if any("Mapping, x =" in comment for comment in source.comments):
        notes = ("the header's mapping does not fit the cells that are there: read out in volts",)
    return Chosen(probes, why, _volts(probes), notes)


def _mapping(source: Source) -> list[tuple[str, str, list[float]]]:
    """``x = gain v + offset``, row by row: variable, cell, (gain, offset)."""
    rows = []
    for comment in _after(source, "Mapping, x = gain * v + offset"):
        found = re.fullmatch(rf"\s+(\w+) (\w+) ({_NUMBER}) ({_NUMBER})", comment)
        if found is None:
            break
        rows.append((found[1], found[2], [float(found[3]), float(found[4])]))
    return rows


def _wide_mapping(source: Source, cells: Sequence[str]) -> tuple[tuple[Probe, ...], Readout] | None:
    """``x = T v + offset``: the cells in a row, then for each variable its row of T and its offset."""
    lines = _after(source, "Mapping, x = T v + offset")
    names = lines[0].split()[1:] if lines and lines[0].split()[:1] == ["cells:"] else []
    if not names or sorted(_CELL + name.lower() for name in names) != sorted(cells):
        return None
    variables, rows = [], []
    for comment in lines[1:]:
        found = re.fullmatch(rf"\s+(\w+):((?: {_NUMBER}){{{len(names) + 1}}})", comment)
        if found is None:
            break
        variables.append(found[1])
        rows.append([float(word) for word in found[2].split()])
    if not rows:
        return None
    numbers = np.array(rows)
    probes = tuple(Probe(name, _CELL + name.lower()) for name in names)
    return probes, Readout(tuple(variables), sp.csr_array(numbers[:, :-1]), numbers[:, -1])


def _scales(source: Source, readout: Readout) -> Scales | None:
    """How long a unit of the problem's time takes, where the header says so; x = 1 is that of the largest gain."""
    said = re.compile(rf"\s*{re.escape(UNIT_TIME)} ({_NUMBER}) s\.")
    found = [match[1] for match in map(said.fullmatch, source.comments) if match is not None]
    gain = float(np.abs(readout.matrix.data).max(initial=0.0))
    second = float(found[0]) if found else 0.0
    return Scales(second, 1.0 / gain) if 0 < second < np.inf and gain > 0 else None


def _after(source: Source, heading: str) -> list[str]:
    comments = source.comments
    first = next((k for k, comment in enumerate(comments) if heading in comment), None)
    return [] if first is None else comments[first + 1 :]
