"""A schematic of a device: a typical cell, its couplers, and the graph with component values. Black on white."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spu.base.errors import InputError
from spu.base.names import suggest
from spu.base.numbers import engineering, plural
from spu.circuit.elements import AmplifierNoise, CurrentSource, NoiseCurrent, Resistor, SharedNoiseCurrent
from spu.reports.diagram import Layout, Text, draw, electrical_ports, lay_out
from spu.spice.reader.build import TOP

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.base.arrays import FloatArray
    from spu.circuit.circuit import Circuit, Instances, Subcircuit
    from spu.circuit.elements import Element
    from spu.device.device import Device
    from spu.device.quantities import Part
    from spu.spice.reader import ReadNetlist


MOST_CELLS = 60
"""Of more, only the surroundings of the chosen cell are in the graph: a picture nobody can read helps nobody."""

_SURROUNDINGS = 30

_LONGEST_NAME, _LONGEST_TERMINAL = 16, 12

_SHORT_LINE = 12
"""Letters beside an element for which there is room in any case."""

_TITLE_LETTER = 0.24
"""Drawing units."""

_MOST_ON_A_CIRCLE = 12

_INCHES_PER_UNIT = 0.42

_UNITS = {"r": "Ω", "c": "F", "l": "H", "i": "A", "v": "V", "g": "S", "h": "Ω"}


def draw_schematic(device: Device, cell: str | None = None) -> Figure:
    """Draw a device's schematic.

    Parameters
    ----------
    device:
        Its first programming is drawn.
    cell:
        The cell to show as a circuit; a typical one unless given.

    Raises
    ------
    InputError
        If there is no such cell.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from spu.device.lower import lower

    device = device.members()[0]
    circuit = lower(_without_switches(device))  # a bank is one part with its code, not a switch a bit
    cells, couplers, taps = _groups(circuit)
    chosen = _chosen(circuit, cells, cell)
    panels = [*_panels(circuit, cells, couplers, chosen), *_shared_panels(circuit, taps, chosen)]
    parts = _coupling(device, couplers)
    graph, abridged = _graph(circuit, cells, couplers, chosen, parts)
    _write_shared(circuit, taps, graph)
    rows = _wrapped(panels)
    width = max(max(sum(p.width for p in row) for row in rows) * _INCHES_PER_UNIT, 7.0)
    tall = sum(_height(row) for row in rows) * _INCHES_PER_UNIT
    side = 6.5 if len(graph) <= _MOST_ON_A_CIRCLE else min(7.0 + 0.22 * len(graph), 18.0)
    width = max(width, side * 1.25)
    notes = _notes(circuit, device, cells, [*couplers, *taps], abridged)
    left_out = len(device.coupler_ends) - sum(len(group.names) for group in couplers)
    notes[1:1] = _bank_notes(device, circuit.instances, left_out)
    foot = 0.19 * len(notes) + 0.25
    head = 0.55
    height = head + tall + 0.35 + side + foot
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    kind = device.architecture or "built by hand"
    counts = f"{plural(len(circuit.nodes), 'cell')}, {plural(len(device.coupler_ends), 'coupler')}"
    title = f"Device {device.hash}: {kind}, {counts}, {device.temperature:g} K"
    figure.text(0.5, 1 - 0.3 / height, title, ha="center", va="center", fontsize=13, weight="bold")
    top = 1 - (head + tall) / height
    _draw_panels(figure.add_axes((0.0, top, 1.0, tall / height)), rows, width / _INCHES_PER_UNIT)
    axes = figure.add_axes((0.02, foot / height, 0.96, side / height))
    _draw_graph(axes, graph, parts)
    for k, line in enumerate(notes):
        figure.text(0.3 / width, (foot - 0.12 - 0.19 * k) / height, line, fontsize=8.5, va="top")
    return figure


# --- banks ---------------------------------------------------------------------------------


def _without_switches(device: Device) -> Device:
    if not device.detail.switch:
        return device
    return device.at_detail(device.detail.only(e for e in device.detail.effects if not e.startswith("switch.")))


def _banks(template: Subcircuit) -> dict[str, str]:
    """Elements whose values codes set: name -> the parameter that is the code."""
    found = {}
    for element in template.elements:
        for key in element.parameters[:1]:
            code = _code_behind(template, key)
            if code is not None:
                found[element.name] = code
    return found


def _code_behind(template: Subcircuit, key: str) -> str | None:
    if key in template.codes:
        return key
    made = template.derived.get(key)
    names = [] if made is None else re.findall(r"[A-Za-z_]\w*", made.text)
    codes = (_code_behind(template, name) for name in names if name != key)
    return next((code for code in codes if code is not None), None)


def _bits(template: Subcircuit, code: str, value: int) -> str:
    """A code in binary, in as many digits as its bank has units."""
    least, most = template.codes[code]
    digits = max(abs(least), most).bit_length()
    return f"bank {'-' if value < 0 else ''}{abs(value):0{digits}b}"


def _bank_notes(device: Device, groups: Sequence[Instances], left_out: int) -> list[str]:
    """What banks are made of."""
    if not any(group.subcircuit.codes for group in groups):
        return []
    switch = device.detail.switch
    made = "An arrow is across what a code sets: a bank of binary weighted units, the code in binary beside it"
    if switch:
        given = [key for key in ("resistance", "capacitance") if f"off_{key}" in switch]
        off = [_pretty(switch[f"off_{key}"], _UNITS[key[0]]) for key in given]
        figures = f"closed {_pretty(switch['on_resistance'], 'Ω')}, open {' and '.join(off) or 'ideal'}"
        made += f". Each unit has a switch ({figures}), which is not drawn"
    lines = [f"{made}."]
    if left_out:
        lines.append(f"Not drawn: {plural(left_out, 'coupler')} whose switches are all open (code 0).")
    return lines


# --- what there is -------------------------------------------------------------------------


def _groups(circuit: Circuit) -> tuple[list[Instances], list[Instances], list[Instances]]:
    """Instances on one node (cells), on two (couplers), and what shared noise drives into cells."""
    taps = [group for group in circuit.instances if _shares(group)]
    others = [group for group in circuit.instances if not _shares(group)]
    ports = [len(electrical_ports(group.subcircuit)) for group in others]
    cells = [group for group, count in zip(others, ports, strict=True) if count == 1]
    return cells, [group for group, count in zip(others, ports, strict=True) if count == 2], taps


def _shares(group: Instances) -> bool:
    return any(isinstance(element, SharedNoiseCurrent) for element in group.subcircuit.elements)


_MOST_SHARED = 4
"""Sources drawn, or written at a cell."""


def _shared_panels(circuit: Circuit, taps: Sequence[Instances], chosen: int) -> list[_Panel]:
    """What the first of the shared sources drive into the chosen cell."""
    found = [(group, k) for group in taps for k in _rows_on(group, chosen)][:_MOST_SHARED]
    return [_panel(f"shared noise {_source(circuit, group, k)}", circuit, [(group, k)]) for group, k in found]


def _source(circuit: Circuit, group: Instances, k: int) -> str:
    return circuit.sources[int(group.nodes[k, -1])].name


def _write_shared(circuit: Circuit, taps: Sequence[Instances], graph: nx.MultiGraph) -> None:
    """Write at each cell what shared sources drive into it."""
    lines: dict[int, list[str]] = {}
    for group in taps:
        (element,) = group.subcircuit.elements
        for k, node in enumerate(group.nodes[:, 0].tolist()):
            value = _quantity(element, float(group.parameters[element.value][k]))
            lines.setdefault(node, []).append(f"{_source(circuit, group, k)} {value}")
    for node, own in lines.items():
        if node in graph:
            more = [f"and {len(own) - _MOST_SHARED} more"] if len(own) > _MOST_SHARED else []
            graph.nodes[node]["text"] = "\n".join([graph.nodes[node]["text"], *own[:_MOST_SHARED], *more])


def _chosen(circuit: Circuit, cells: Sequence[Instances], name: str | None) -> int:
    """Node of the cell to show: the named one, or that of the most common kind whose values are most usual."""
    import numpy as np

    if name is not None:
        names = [str(node) for node in circuit.nodes]
        if name not in names:
            raise InputError(f"no cell {name!r}: {suggest(name, names[:20])}")
        return names.index(name)
    if not cells:  # of nothing but shared noise
        return 0
    group = max(cells, key=lambda group: len(group.names))
    values = np.column_stack(list(group.parameters.values()))
    middle = np.median(values, axis=0)
    scale = np.where(middle == 0, 1.0, np.abs(middle))
    return int(group.nodes[int(np.argmin(np.abs((values - middle) / scale).sum(axis=1))), 0])


def _partner(circuit: Circuit, cell: int) -> int | None:
    """The other rail of a variable that is read from two cells with opposite signs."""
    matrix = circuit.readout.matrix.tocsr()
    column = matrix.tocsc()[:, [cell]].tocoo()
    if len(column.row) != 1:
        return None
    row = matrix[[int(column.row[0])], :].tocoo()
    others = [int(k) for k, gain in zip(row.col, row.data, strict=True) if k != cell and gain == -column.data[0]]
    return others[0] if len(others) == 1 and len(row.col) == 2 else None


# --- circuits ------------------------------------------------------------------------------


@dataclass
class _Panel:
    """One circuit on the page: its parts side by side."""

    title: str
    parts: list[tuple[Instances, int, Layout, list[str]]]
    width: float


def _cell_name(circuit: Circuit, node: int, most: int = _LONGEST_NAME) -> str:
    """A cell's name, or its two ends where it is too long for its place."""
    name = str(circuit.nodes[node]) if node >= 0 else "0"
    tail = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - 1 - tail]}…{name[-tail:]}"


def _panels(circuit: Circuit, cells: Sequence[Instances], couplers: Sequence[Instances], chosen: int) -> list[_Panel]:
    partner = _partner(circuit, chosen)
    rails = [chosen] if partner is None else [chosen, partner]
    shown = [(group, k) for node in rails for group in cells for k in _rows_on(group, node)]
    kinds = "cell" if partner is None else "dual-rail pair of cells"
    names = ", ".join(_cell_name(circuit, node) for node in rails)
    panels = [_panel(f"{kinds} {names}", circuit, shown)]
    for group in couplers:
        rows = [k for node in rails for k in _rows_on(group, node)]
        if not rows:
            rows = [_typical(group)]
        k = _typical(group, sorted(set(rows)))
        picked = [(group, k)]
        if partner is not None:
            picked += [(group, other) for other in _twins(circuit, group, k)]
        ends = [" - ".join(_cell_name(circuit, int(node)) for node in group.nodes[row, :2]) for _, row in picked]
        title = f"{'coupler' if len(ends) == 1 else 'couplers'} {', '.join(ends)}"
        panels.append(_panel(title, circuit, picked))
    return panels


def _rows_on(group: Instances, node: int) -> list[int]:
    import numpy as np

    count = len(electrical_ports(group.subcircuit))
    return [int(k) for k in np.flatnonzero((group.nodes[:, :count] == node).any(axis=1))]


def _typical(group: Instances, rows: Sequence[int] | None = None) -> int:
    """The instance whose first value is the median of those given."""
    import numpy as np

    rows = range(len(group.names)) if rows is None else rows
    values = next(iter(group.parameters.values()))[list(rows)]
    return int(rows[int(np.argsort(values)[(len(values) - 1) // 2])])


def _twins(circuit: Circuit, group: Instances, k: int) -> list[int]:
    """Other couplers of the same kind between the rails of the same two variables."""
    ends = [{int(node), _partner(circuit, int(node))} for node in group.nodes[k, :2]]
    found = {other for node in ends[0] if node is not None for other in _rows_on(group, node)}
    return sorted(
        other for other in found if other != k and any(int(node) in ends[1] for node in group.nodes[other, :2])
    )


def _panel(title: str, circuit: Circuit, shown: Sequence[tuple[Instances, int]]) -> _Panel:
    parts = []
    for group, k in shown:
        count = len(electrical_ports(group.subcircuit))
        terminals = [_cell_name(circuit, int(node), _LONGEST_TERMINAL) for node in group.nodes[k, :count]]
        label = _labels(group, k, terminals)
        wide = {e.name for e in group.subcircuit.elements if max(map(len, label(e).split("\n"))) > _SHORT_LINE}
        layout = lay_out(group.subcircuit, wide)
        parts.append((group, k, layout, terminals))
    width = sum(part[2].width for part in parts) + 0.8 * (len(parts) + 1)
    width = max(width, 0.8 + _TITLE_LETTER * len(title))
    return _Panel(title, parts, width)


def _wrapped(panels: Sequence[_Panel], widest: float = 42.0) -> list[list[_Panel]]:
    rows: list[list[_Panel]] = [[]]
    for panel in panels:
        if rows[-1] and sum(p.width for p in rows[-1]) + panel.width > widest:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _above(row: Sequence[_Panel]) -> float:
    return max(part[2].above for panel in row for part in panel.parts)


def _height(row: Sequence[_Panel]) -> float:
    """Drawing units: the circuits of a row stand on one line, below their titles."""
    return 1.5 + _above(row) + max(part[2].below for panel in row for part in panel.parts)


def _draw_panels(axes: Axes, rows: Sequence[Sequence[_Panel]], width: float) -> None:
    import schemdraw

    drawing = schemdraw.Drawing(canvas=axes, show=False)
    drawing.config(lw=1.1, inches_per_unit=_INCHES_PER_UNIT, color="black")
    y = 0.0
    titles: list[tuple[float, float, str]] = []
    texts: list[Text] = []
    for row in rows:
        spare = (width - sum(panel.width for panel in row)) / (len(row) + 1)
        x = spare
        for panel in row:
            titles.append((x + 0.4, y - 0.45, panel.title))
            left = x + 0.8
            for group, k, layout, terminals in panel.parts:
                place = (left, y - 1.0 - _above(row))
                label, banks = _labels(group, k, terminals), _banks(group.subcircuit)
                texts += draw(drawing, layout, place, terminals, label, banks)
                left += layout.width + 0.8
            x += panel.width + spare
        y -= _height(row)
    drawing.draw(show=False)
    for text in texts:
        axes.text(text.x, text.y, text.text, fontsize=8.5, ha=text.across, va=text.along)
    for x, at, title in titles:
        axes.text(x, at, title, fontsize=10.5, weight="bold", va="center")
    axes.set_xlim(0.0, width)
    axes.set_ylim(y, 0.0)
    axes.set_aspect("equal")
    axes.axis("off")


def _labels(group: Instances, k: int, terminals: Sequence[str]) -> Callable[[Element], str]:
    names = dict(zip(electrical_ports(group.subcircuit), terminals, strict=True))
    banks, settings = _banks(group.subcircuit), group.settings or {}

    def label(element: Element) -> str:
        control = [f"× {_control(element, names)}"] if len(element.nodes) == 4 else []
        bank = []
        if element.name in banks:
            code = banks[element.name]
            bank = [_bits(group.subcircuit, code, int(settings[code][k]))]
        lines: list[list[str]] = []
        for key in element.parameters:
            values = group.parameters[key]
            name = [key] if len(element.parameters) > 1 else []
            low, high = (_rounded(values, int(k)) for k in (values.argmin(), values.argmax()))
            vary = high - low > _SAME * max(abs(low), abs(high))
            bounds = [f"({_quantity(element, low, key)}", f"to {_quantity(element, high, key)})"] if vary else []
            lines += [[" ".join([*name, _quantity(element, _rounded(values, k), key)])]]
            lines += [[" ".join(bounds)]] if name or _lies(element) else [[bound] for bound in bounds]
        if _lies(element):  # there is room beside, and none below
            (first,), *rest = lines
            lines = [bank, [" ".join([_name(element), first, *control])], *rest]
        else:
            lines = [[_name(element)], bank, lines[0], control, *lines[1:]]
        return "\n".join(text for line in lines for text in line if text)

    return label


def _lies(element: Element) -> bool:
    return "0" not in element.nodes[:2]


_SAME = 1e-9
"""Relative to the largest of the device: less is rounding."""


def _rounded(values: FloatArray, k: int) -> float:
    """A value, or zero where it is nothing beside the largest of its kind."""
    value = float(values[k])
    return 0.0 if abs(value) < _SAME * float(abs(values).max()) else value


_BIAS = re.compile("ib|io[0-9]*|ibuf.*|ioff")
"""Names of what a device's currents are called; netlists have names of their own."""


def _name(element: Element) -> str:
    if isinstance(element, NoiseCurrent):
        return "noise"
    return "bias" if isinstance(element, CurrentSource) and _BIAS.fullmatch(element.name) else element.name.upper()


def _control(element: Element, names: Mapping[str, str]) -> str:
    positive, negative = (names.get(node, node) for node in element.nodes[2:4])
    return f"v({positive})" if negative == "0" else f"v({positive}, {negative})"


def _quantity(element: Element, value: float, key: str = "") -> str:
    """A value in engineering units, of one of several the one of that name; a noise density as its root."""
    if element.units and not isinstance(element, AmplifierNoise):
        return _pretty(value, element.units[element.parameters.index(key) if key else 0])
    if isinstance(element, AmplifierNoise):
        return f"4kT·{_pretty(value, 'S')}"
    if isinstance(element, SharedNoiseCurrent):
        return _pretty(value, "A/√Hz")
    if element.noise_port is not None and element.name[0].lower() != "r":
        unit = "V" if element.name[0].lower() in "ve" else "A"
        return _pretty(value**0.5, f"{unit}/√Hz")
    return _pretty(value, _UNITS.get(element.name[0].lower(), ""))


def _pretty(value: float, unit: str, digits: int = 3) -> str:
    text = engineering(value, unit, digits)
    number, _, rest = text.partition(" ")
    return f"{number} {rest.replace('u', 'µ', 1) if rest != unit else rest}".strip()


# --- the graph -----------------------------------------------------------------------------


def _coupling(device: Device, couplers: Sequence[Instances]) -> dict[str, Part]:
    """The parts of the couplers that there are, by letter, in the order of the circuit."""
    parts = {part.letter: part for part in device.coupler_columns.parts.values()}
    return {letter: parts[letter] for letter in map(_letter, couplers)}


def _letter(group: Instances) -> str:
    """The kind of a coupler: the letter in its subcircuit's name, ``coupler_c``."""
    return group.subcircuit.name.rpartition("_")[2][:1]


def _graph(
    circuit: Circuit,
    cells: Sequence[Instances],
    couplers: Sequence[Instances],
    chosen: int,
    kinds: Mapping[str, Part],
) -> tuple[nx.MultiGraph, bool]:
    """Cells and couplers with what is written at them; the surroundings of one cell, if there are too many."""
    import networkx as nx

    if len(circuit.nodes) > MOST_CELLS:
        kept = _near(couplers, chosen)
    else:
        kept = set(range(len(circuit.nodes)))
    graph = nx.MultiGraph()
    graph.add_nodes_from(sorted(kept))
    for group in cells:
        vary = {key: values for key, values in group.parameters.items() if _varies(cells, key)}
        for k, node in enumerate(group.nodes[:, 0].tolist()):
            if node in kept:
                parts = [(e, key) for e in group.subcircuit.elements for key in e.parameters if key in vary]
                lines = [f"{_short(e, group, key)} {_quantity(e, _rounded(vary[key], k), key)}" for e, key in parts]
                graph.add_node(node, text="\n".join([_cell_name(circuit, node), *lines]), chosen=node == chosen)
    for group in couplers:
        written = _programmed(group, kinds.get(_letter(group)))
        for k, (a, b) in enumerate(group.nodes[:, :2].tolist()):
            if a in kept and b in kept:
                texts = dict.fromkeys(_quantity(e, float(group.parameters[e.value][k])) for e in written)
                graph.add_edge(a, b, text=" / ".join(texts), letter=_letter(group))
    return graph, len(kept) < len(circuit.nodes)


def _programmed(group: Instances, part: Part | None) -> list[Element]:
    """Elements of a coupler whose values stand in the graph: what is programmed, few, rather those that differ."""
    names = {element.name for element in part.elements} if part is not None else set()
    elements = list(group.subcircuit.elements)
    own = [e for e in elements if e.name in names]
    own = own or [e for e in elements if e.name[0].lower() == _letter(group)] or elements
    differ = [e for e in own if _varies([group], e.value)]
    return list(differ if len(own) > 3 and differ else own)[:3]


def _short(element: Element, group: Instances, key: str) -> str:
    """Its letter, where it is the only one of its kind; of one of several values its name."""
    if len(element.parameters) > 1:
        return key
    name = _name(element)
    alike = [other for other in group.subcircuit.elements if _name(other)[0] == name[0]]
    return name if name in ("noise", "bias") or len(alike) > 1 else name[0]


def _varies(groups: Sequence[Instances], key: str) -> bool:
    values = [float(value) for group in groups if key in group.parameters for value in _extremes(group, key)]
    return max(values) - min(values) > _SAME * max(map(abs, values))


def _extremes(group: Instances, key: str) -> tuple[float, float]:
    values = group.parameters[key]
    return float(values.min()), float(values.max())


def _near(couplers: Sequence[Instances], chosen: int) -> set[int]:
    """The chosen cell and those nearest to it."""
    kept, edge = [chosen], [chosen]
    seen = {chosen}
    while edge and len(kept) < _SURROUNDINGS:
        found = []
        for group in couplers:
            for node in edge:
                for k in _rows_on(group, node):
                    found += [int(other) for other in group.nodes[k, :2] if int(other) not in seen]
                    seen.update(found)
        edge = found
        kept += found
    return set(kept[:_SURROUNDINGS])


def _style(part: Part) -> Any:
    """Its line on black and white; the second, where it has two."""
    return part.lines[-1][1] if part.lines else (0, (5, 1, 1, 1, 1, 1))


def _draw_graph(axes: Axes, graph: nx.MultiGraph, parts: Mapping[str, Part]) -> None:
    import networkx as nx
    from matplotlib.lines import Line2D

    n = len(graph)
    simple = nx.Graph(graph)
    place: Mapping[int, Any] = nx.circular_layout(simple) if n <= _MOST_ON_A_CIRCLE else _spread(simple)
    small = 7.5 if n <= _MOST_ON_A_CIRCLE else 6.0
    box = axes.get_window_extent()
    lines = _lines(graph, place, box.width / box.height)
    labels = _label_places([line[1:3] for line in lines], list(place.values()), box.width / box.height)
    for (_, _, data), line, (x, y) in zip(graph.edges(data=True), lines, labels, strict=True):
        style = _style(parts[data["letter"]])
        axes.plot(line[:, 0], line[:, 1], color="black", linewidth=0.9, linestyle=style, zorder=1)
        backing = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
        axes.text(x, y, data["text"], fontsize=small, ha="center", va="center", bbox=backing, zorder=3)
    for node, data in graph.nodes(data=True):
        x, y = place[node]
        width = 2.2 if data["chosen"] else 1.0
        frame = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "black", "linewidth": width}
        axes.text(x, y, data["text"], fontsize=small + 0.5, ha="center", va="center", bbox=frame, zorder=4)
    handles = [
        Line2D([], [], color="black", linestyle=_style(part), label=part.drawn or part.words) for part in parts.values()
    ]
    if handles:
        axes.legend(handles=handles, loc="upper right", frameon=False, fontsize=9, title="couplers", handlelength=4)
    axes.update_datalim(list(place.values()))  # cells that nothing joins are seen, too
    axes.margins(0.1)
    axes.autoscale_view()
    axes.axis("off")


def _lines(graph: nx.MultiGraph, place: Mapping[int, Any], aspect: float) -> list[FloatArray]:
    """Each edge as four points, (4, 2): the inner two apart where there are several between two cells."""
    import numpy as np

    lines = []
    drawn: dict[tuple[int, int], int] = {}
    for a, b in graph.edges():
        low, high = min(a, b), max(a, b)
        number = drawn[low, high] = drawn.get((low, high), -1) + 1
        several = graph.number_of_edges(low, high)
        line = np.array([place[low], place[high]], dtype=float)
        x, y = (line[1] - line[0]) * (aspect, 1.0)
        away = np.array([-y / aspect, x]) / (np.hypot(x, y) or 1.0)
        inner = line[0] + np.array([[0.15], [0.85]]) * (line[1] - line[0])
        inner += 0.12 * (number - (several - 1) / 2) * away
        lines.append(np.vstack([line[:1], inner, line[1:]]))
    return lines


def _label_places(lines: Sequence[FloatArray], cells: Sequence[Any], aspect: float) -> list[tuple[float, float]]:
    """For each edge the point on it that is farthest from other edges, cells and labels."""
    import numpy as np

    stretch = np.array([aspect, 1.0])
    ends = np.array(lines).reshape(-1, 2, 2) * stretch
    nodes = np.array(cells).reshape(-1, 2) * stretch
    labels = np.empty((0, 2))
    for k, (start, end) in enumerate(ends):
        along = start + np.linspace(0.2, 0.8, 25)[:, None] * (end - start)
        room = 0.6 * np.linalg.norm(along[:, None] - nodes, axis=2).min(axis=1)
        if len(labels):
            room = np.minimum(room, 0.7 * np.linalg.norm(along[:, None] - labels, axis=2).min(axis=1))
        others = np.arange(len(ends)) != k
        if others.any():
            base, reach = ends[others, 0], ends[others, 1] - ends[others, 0]
            length = np.maximum((reach**2).sum(axis=1), 1e-12)
            share = np.clip(((along[:, None] - base) * reach).sum(axis=2) / length, 0.0, 1.0)
            gap = np.linalg.norm(along[:, None] - (base + share[..., None] * reach), axis=2).min(axis=1)
            room = np.minimum(room, gap)
        labels = np.vstack([labels, along[int(np.argmax(room))]])
    return [(float(x), float(y)) for x, y in labels / stretch]


def _spread(graph: nx.Graph) -> Mapping[int, Any]:
    """A layout by distances in the graph; its parts side by side."""
    import networkx as nx

    place: dict[int, Any] = {}
    shift = 0.0
    for part in sorted(nx.connected_components(graph), key=len, reverse=True):
        size = max(0.15, (len(part) / len(graph)) ** 0.5)
        inner = (
            nx.kamada_kawai_layout(graph.subgraph(sorted(part))) if len(part) > 1 else {next(iter(part)): (0.0, 0.0)}
        )
        for node, (x, y) in inner.items():
            place[node] = (shift + size * (1 + x), size * y)
        shift += 2.3 * size
    return place


# --- words ---------------------------------------------------------------------------------


def _notes(
    circuit: Circuit,
    device: Device,
    cells: Sequence[Instances],
    couplers: Sequence[Instances],
    abridged: bool,
) -> list[str]:
    """The legend: what is the same in all cells, how to read values."""
    lines = [
        "Values in brackets: smallest and largest in the device. The cell with the thick frame is the one drawn above."
    ]
    common = [
        f"{_short(element, group, key)} {_quantity(element, float(group.parameters[key][0]), key)}"
        for group in cells
        for element in group.subcircuit.elements
        for key in element.parameters
        if not _varies(cells, key)
    ]
    if common:
        lines.append(f"The same in every cell that has it: {', '.join(dict.fromkeys(common))}.")
    drawn = {type(element) for group in (*cells, *couplers) for element in group.subcircuit.elements}
    sounds = []
    if Resistor in drawn:
        elements = [element for group in (*cells, *couplers) for element in group.subcircuit.elements]
        silent = {e.name.upper() for e in elements if isinstance(e, Resistor) and e.role == "signal"}
        but = f" (but not {', '.join(sorted(silent))}, of models of noise sources)" if silent else ""
        thermal = f"Resistors make thermal noise 4kT/R at {device.temperature:g} K{but}"
        sounds.append(thermal if device.temperature > 0 else "Resistors are noiseless (0 K)")
    if {NoiseCurrent, SharedNoiseCurrent} & drawn:
        sounds.append("noise: injected white current, root of the one-sided density")
    lines += [f"{'; '.join(sounds)}."] if sounds else []
    if SharedNoiseCurrent in drawn:
        lines.append("w_SOURCE: noise that several cells share, with its amplitude into each, of either sign.")
    laws = {
        element.words.format(*element.parameters)
        for group in (*cells, *couplers)
        for element in group.subcircuit.elements
        if element.words
    }
    lines += [f"{law}." for law in sorted(laws)]
    lines += [part.note for part in _coupling(device, [g for g in couplers if not _shares(g)]).values() if part.note]
    if len(cells) > 1:
        kinds = ", ".join(f"{len(group.names)} {group.subcircuit.name}" for group in cells)
        lines.append(f"Kinds of cells: {kinds}.")
    if _partner(circuit, 0) is not None:
        lines.append("Dual rails: a variable is the difference of the two cells of a pair, NAME_p - NAME_n.")
    if abridged:
        lines.append(
            f"Of {len(circuit.nodes)} cells the graph shows {_SURROUNDINGS} near the chosen one; "
            "--cell chooses another."
        )
    return lines


# --- a netlist from elsewhere --------------------------------------------------------------

MOST_NODES, MOST_ELEMENTS = 12, 36
"""Of the netlist itself or one of its subcircuits that is drawn as a circuit; a larger one is in the graph alone."""

_MOST_WRITTEN = 5
"""Elements to ground that are written at a node."""


def draw_netlist(read: ReadNetlist) -> Figure:
    """Draw an imported netlist: what stands at its top level, its kinds of subcircuits, and all of it as a graph."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    circuit = read.circuit
    panels, left_out = _netlist_panels(circuit)
    graph, abridged = _netlist_graph(circuit)
    rows = _wrapped(panels) if panels else []
    side = 6.5 if len(graph) <= _MOST_ON_A_CIRCLE else min(7.0 + 0.22 * len(graph), 18.0)
    width = max([*(sum(p.width for p in row) * _INCHES_PER_UNIT for row in rows), side * 1.25, 8.0])
    tall = sum(_height(row) for row in rows) * _INCHES_PER_UNIT
    notes = _netlist_notes(read, graph, left_out, abridged)
    foot, head = 0.19 * len(notes) + 0.25, 0.55
    height = head + tall + 0.35 + side + foot
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    elements = sum(len(group.names) * len(group.subcircuit.elements) for group in circuit.instances)
    counts = f"{plural(elements, 'element')} on {plural(len(circuit.nodes), 'node')}, {circuit.temperature:g} K"
    title = f"{read.path.name}: {counts}"
    figure.text(0.5, 1 - 0.3 / height, title, ha="center", va="center", fontsize=13, weight="bold")
    if rows:
        axes = figure.add_axes((0.0, 1 - (head + tall) / height, 1.0, tall / height))
        _draw_panels(axes, rows, width / _INCHES_PER_UNIT)
    _draw_netlist_graph(figure.add_axes((0.02, foot / height, 0.96, side / height)), graph)
    for k, line in enumerate(notes):
        figure.text(0.3 / width, (foot - 0.12 - 0.19 * k) / height, line, fontsize=8.5, va="top")
    return figure


def _netlist_panels(circuit: Circuit) -> tuple[list[_Panel], list[str]]:
    """The netlist's own elements, then its kinds of subcircuits, the most frequent first; and what is too large."""
    panels, left_out = [], []
    for group in sorted(circuit.instances, key=lambda group: (_is_deck(group), len(group.names)), reverse=True):
        ports, elements = electrical_ports(group.subcircuit), group.subcircuit.elements
        inner = {node for element in elements for node in element.nodes if node not in ("0", *ports)}
        named = "top level" if _is_deck(group) else f"subcircuit {group.subcircuit.name}"
        if len(ports) + len(inner) > MOST_NODES or len(elements) > MOST_ELEMENTS:
            left_out.append(f"{named} ({plural(len(elements), 'element')})")
            continue
        k = _typical(group)
        many = f", {len(group.names)} of it; here {group.names[k]}" if not _is_deck(group) else ""
        panels.append(_panel(f"{named}{many}", circuit, [(_from_left_to_right(group), k)]))
    return panels, left_out


def _is_deck(group: Instances) -> bool:
    return len(group.names) == 1 and str(group.names[0]) == TOP


def _from_left_to_right(group: Instances) -> Instances:
    """The same, its ports in an order in which what is joined stands close together, sources on the left."""
    import numpy as np
    import scipy.sparse as sp
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    ports = electrical_ports(group.subcircuit)
    if len(ports) < 3:
        return group
    number = {port: k for k, port in enumerate(ports)}
    pairs = [e.nodes[:2] for e in group.subcircuit.elements if len(e.nodes) >= 2 and set(e.nodes[:2]) <= set(ports)]
    rows, columns = (np.array([number[pair[side]] for pair in pairs], dtype=np.int64) for side in (0, 1))
    joined = sp.csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(ports), len(ports)))
    order = reverse_cuthill_mckee(sp.csr_matrix(joined + joined.T), symmetric_mode=True).tolist()
    driven = [node for e in group.subcircuit.elements if e.name[0] in "vi" for node in e.nodes]
    places = [order.index(number[node]) for node in driven if node in number]
    if places and np.mean(places) > (len(order) - 1) / 2:
        order = order[::-1]
    rest = list(range(len(ports), len(group.subcircuit.ports)))
    named = tuple(group.subcircuit.ports[k] for k in (*order, *rest))
    return replace(
        group, subcircuit=replace(group.subcircuit, ports=named), nodes=np.asarray(group.nodes)[:, [*order, *rest]]
    )


def _netlist_graph(circuit: Circuit) -> tuple[nx.Graph, bool]:
    """Nodes with what stands between them and ground, what joins them, and subcircuits on three nodes or more."""
    import networkx as nx

    graph: nx.MultiGraph = nx.MultiGraph()
    probed = {int(node) for node in circuit.probe_nodes.ravel()}
    for node, name in enumerate(circuit.nodes):
        graph.add_node(node, lines=[], name=_cell_name(circuit, node), chosen=node in probed, box=False, full=str(name))
    for group in circuit.instances:
        ports = electrical_ports(group.subcircuit)
        for k, path in enumerate(group.names):
            at = {"0": -1, **dict(zip(ports, (int(node) for node in group.nodes[k]), strict=False))}
            if not _is_deck(group):
                _join(graph, [at[port] for port in ports], f"{path}: {group.subcircuit.name}")
                continue
            for element in group.subcircuit.elements:
                if len(element.nodes) >= 2:
                    value = _quantity(element, float(group.parameters[element.value][k]))
                    _join(graph, [at[node] for node in element.nodes[:2]], f"{_name(element)} {value}".strip())
    abridged = len(circuit.nodes) > MOST_CELLS
    if abridged:
        near = list(nx.bfs_tree(nx.Graph(graph), next(iter(probed - {-1}), 0)))[:MOST_CELLS]
        graph = nx.MultiGraph(graph.subgraph(near))
    return graph, abridged


def _join(graph: nx.MultiGraph, nodes: Sequence[int], text: str) -> None:
    ends = [node for node in dict.fromkeys(nodes) if node >= 0]
    if len(ends) == 1:
        graph.nodes[ends[0]]["lines"].append(text)
    elif len(ends) == 2:
        graph.add_edge(*ends, text=text)
    elif ends:
        box = ("box", text)
        graph.add_node(box, lines=[], name=text, chosen=False, box=True, full=text)
        for end in ends:
            graph.add_edge(box, end, text="")


def _draw_netlist_graph(axes: Axes, graph: nx.MultiGraph) -> None:
    import networkx as nx

    if not len(graph):
        axes.axis("off")
        return
    number = {node: k for k, node in enumerate(graph.nodes)}
    plain = nx.relabel_nodes(graph, number)
    place = nx.circular_layout(plain) if len(plain) <= 6 else _spread(nx.Graph(plain))
    small = 7.5 if len(plain) <= _MOST_ON_A_CIRCLE else 6.0
    extent = axes.get_window_extent()
    lines = _lines(plain, place, extent.width / extent.height)
    spots = _label_places([line[1:3] for line in lines], list(place.values()), extent.width / extent.height)
    for (_, _, data), line, (x, y) in zip(plain.edges(data=True), lines, spots, strict=True):
        axes.plot(line[:, 0], line[:, 1], color="black", linewidth=0.9, zorder=1)
        if data["text"]:
            backing = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
            axes.text(x, y, data["text"], fontsize=small, ha="center", va="center", bbox=backing, zorder=3)
    for node, data in plain.nodes(data=True):
        x, y = place[node]
        more = len(data["lines"]) - _MOST_WRITTEN
        written = [data["name"], *data["lines"][:_MOST_WRITTEN], *([f"and {more} more"] if more > 0 else [])]
        style, width = "square,pad=0.4" if data["box"] else "round,pad=0.35", 2.2 if data["chosen"] else 1.0
        frame: dict[str, Any] = {"boxstyle": style, "facecolor": "white", "edgecolor": "black", "linewidth": width}
        axes.text(x, y, "\n".join(written), fontsize=small + 0.5, ha="center", va="center", bbox=frame, zorder=4)
    axes.update_datalim(list(place.values()))
    axes.margins(0.12)
    axes.autoscale_view()
    axes.axis("off")


def _netlist_notes(read: ReadNetlist, graph: nx.MultiGraph, left_out: Sequence[str], abridged: bool) -> list[str]:
    circuit = read.circuit
    lines = [
        "Thick frames: nodes that are read out. At a node: what stands between it and ground. "
        "Subcircuits on three nodes or more are boxes of their own."
    ]
    couplings = [
        f"{element.name.upper()} {float(group.parameters[element.value][0]):.4g} couples {', '.join(element.branches)}"
        for group in circuit.instances
        for element in group.subcircuit.elements
        if len(element.nodes) < 2 and element.branches
    ]
    lines += [f"{', '.join(couplings[:6])}{' ...' if len(couplings) > 6 else ''}."] if couplings else []
    if any(len(group.names) > 1 for group in circuit.instances):
        lines.append("Values in brackets: smallest and largest of a kind of subcircuit.")
    if left_out:
        lines.append(f"Too large to be drawn as a circuit: {', '.join(left_out[:6])}.")
    if abridged:
        lines.append(f"Of {len(circuit.nodes)} nodes the graph shows {len(graph)}, those nearest to what is read out.")
    return lines
