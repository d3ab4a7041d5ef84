"""Circuit diagrams of subcircuits, laid out from their elements (drawn with schemdraw).

A node is a horizontal rail. What stands between a node and ground hangs from its rail; what stands between
two nodes lies between their rails, several in parallel above each other. Elements in series are one chain.
So any subcircuit has a picture: nothing here knows an architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from spu.circuit.elements import (
    AmplifierNoise,
    CurrentControlledVoltageSource,
    NoiseCurrent,
    VoltageControlledVoltageSource,
    VoltageSource,
)
from spu.circuit.polynomial import (
    CrossedInductor,
    PolynomialCapacitor,
    PolynomialConductance,
    PolynomialInductor,
)

if TYPE_CHECKING:
    from spu.circuit.circuit import Subcircuit
    from spu.circuit.elements import Element

COLUMN, DROP, ROW, REACH = 3.3, 2.5, 2.0, 4.0
"""Drawing units: between hanging elements, their length, between parallel rows, length of a lying element."""

_WIDE = 5.0
"""In place of `COLUMN` for an element with several values, or long ones."""

_STUB, _GROUND, _TRANSFORMER = 0.9, 1.1, 2.0

GROUND = "0"

Across = Literal["left", "center", "right"]
Along = Literal["bottom", "center"]


@dataclass(frozen=True)
class Text:
    """Something written: where (drawing units), and which of its sides stands there."""

    x: float
    y: float
    text: str
    across: Across
    along: Along


@dataclass
class Chain:
    """Elements in series from one node to another, each with whether it is drawn forwards."""

    start: str
    end: str
    elements: list[tuple[Element, bool]]

    def turned(self) -> Chain:
        """The same from the other end."""
        return Chain(self.end, self.start, [(element, not forwards) for element, forwards in self.elements[::-1]])


@dataclass
class Layout:
    """Where things are: the nodes' rails (x from, x to), what hangs from them, what lies between them.

    ``width``, ``above`` and ``below`` are the extent, in drawing units, from the left end of the first rail's stub.
    """

    rails: dict[str, tuple[float, float]]
    hanging: dict[str, list[Chain]]
    lying: list[tuple[Chain, float]]
    ends: list[str]
    notes: list[Element] = field(default_factory=list)
    width: float = 0.0
    above: float = 0.0
    below: float = 0.0
    wide: Container[str] = ()


def electrical_ports(template: Subcircuit) -> list[str]:
    """Ports that are not those of a unit noise source."""
    noise = {element.noise_port for element in template.elements}
    return [port for port in template.ports if port not in noise]


def lay_out(template: Subcircuit, wide: Container[str] = ()) -> Layout:
    """Place the elements of a subcircuit; those named in ``wide`` have much written beside them."""
    ports = electrical_ports(template)
    chains = [Chain(e.nodes[0], e.nodes[1], [(e, True)]) for e in template.elements if len(e.nodes) >= 2]
    kept = {*ports, GROUND, *(node for e in template.elements for node in e.nodes[2:])}
    chains = _in_series(chains, kept)
    order = _ordered(chains, ports)
    hanging: dict[str, list[Chain]] = {node: [] for node in order}
    between: list[Chain] = []
    for chain in chains:
        if GROUND in (chain.start, chain.end):
            down = chain if chain.end == GROUND else chain.turned()
            hanging[down.start].append(down)
        else:
            between.append(chain if order.index(chain.start) <= order.index(chain.end) else chain.turned())
    rails: dict[str, tuple[float, float]] = {}
    x = _STUB
    for k, node in enumerate(order):
        if k:
            spans = [len(c.elements) for c in between if (c.start, c.end) == (order[k - 1], node)]
            x += REACH * max(spans, default=1)
        rails[node] = (x, x + sum(_column(chain, wide) for chain in hanging[node][:-1]))
        x = rails[node][1]
    rows: list[list[tuple[float, float]]] = []
    lying: list[tuple[Chain, float]] = []
    crossed = [chain for chain in between if _is_crossed(chain)]  # with coils beneath them: in the lowest row
    for chain in sorted(between, key=lambda c: (order.index(c.end) - order.index(c.start), c not in crossed)):
        reach = (rails[chain.start][1], rails[chain.end][0])
        row = 0 if order.index(chain.end) - order.index(chain.start) == 1 else 1
        while row < len(rows) and any(reach[0] < b and a < reach[1] for a, b in rows[row]):
            row += 1
        rows.extend([] for _ in range(row + 1 - len(rows)))
        rows[row].append(reach)
        lying.append((chain, row * ROW))
    depth = max((len(chain.elements) for chains in hanging.values() for chain in chains), default=0)
    return Layout(
        rails=rails,
        hanging=hanging,
        lying=lying,
        ends=ports,
        notes=[element for element in template.elements if len(element.nodes) < 2],
        width=x + (_column(hanging[order[-1]][-1], wide) * 0.9 if hanging[order[-1]] else _STUB),
        above=(len(rows) - 1) * ROW + 1.3 if rows else 0.6,
        wide=wide,
        below=max(depth * DROP + _GROUND if depth else 0.5, _TRANSFORMER if crossed else 0.0),
    )


def _column(chain: Chain, wide: Container[str]) -> float:
    """The room of what hangs: wider where much stands beside an element."""
    several = any(len(element.parameters) > 1 or element.name in wide for element, _ in chain.elements)
    return _WIDE if several else COLUMN


def _is_crossed(chain: Chain) -> bool:
    return any(isinstance(element, CrossedInductor) for element, _ in chain.elements)


def _in_series(chains: list[Chain], kept: set[str]) -> list[Chain]:
    """Join the two chains at each internal node that has no third."""
    while True:
        at: dict[str, list[Chain]] = {}
        for chain in chains:
            for node in (chain.start, chain.end):
                at.setdefault(node, []).append(chain)
        inner = next((node for node, ends in at.items() if node not in kept and len(ends) == 2), None)
        if inner is None or at[inner][0] is at[inner][1]:
            return chains
        first, second = at[inner]
        first = first if first.end == inner else first.turned()
        second = second if second.start == inner else second.turned()
        joined = Chain(first.start, second.end, [*first.elements, *second.elements])
        chains = [chain for chain in chains if chain is not at[inner][0] and chain is not at[inner][1]] + [joined]


def _ordered(chains: Sequence[Chain], ports: Sequence[str]) -> list[str]:
    """Nodes from left to right: the first port, inner nodes by distance from it, the other ports."""
    order = [ports[0]] if ports else []
    nodes = dict.fromkeys(node for chain in chains for node in (chain.start, chain.end) if node != GROUND)
    waiting = [node for node in nodes if node not in ports]
    while waiting:
        near = (
            node
            for node in waiting
            if any({chain.start, chain.end} == {node, placed} for chain in chains for placed in order)
        )
        node = next(near, waiting[0])
        order.append(node)
        waiting.remove(node)
    return [*order, *ports[1:]]


def draw(
    drawing: Any,
    layout: Layout,
    origin: tuple[float, float],
    terminals: Sequence[str],
    label: Callable[[Element], str],
    adjustable: Container[str] = (),
) -> list[Text]:
    """Draw a laid-out subcircuit; what is to be written beside it is returned.

    Parameters
    ----------
    drawing:
        A `schemdraw.Drawing`.
    origin:
        Where the left end of its first rail's stub comes to stand.
    terminals:
        What to write at its ports.
    label:
        The text beside an element.
    adjustable:
        Names of elements whose values are set by codes: an arrow stands across them.
    """
    from schemdraw import elements as symbols

    x0, y0 = origin
    texts: list[Text] = []

    def write(x: float, y: float, text: str, across: Across, along: Along) -> None:
        texts.append(Text(x0 + x, y0 + y, text, across, along))

    def wire(*points: tuple[float, float]) -> None:
        for a, b in pairwise(points):
            if a != b:
                drawing.add(symbols.Line().endpoints((x0 + a[0], y0 + a[1]), (x0 + b[0], y0 + b[1])))

    def dot(x: float, y: float, *, is_open: bool = False) -> None:
        drawing.add(symbols.Dot(open=is_open).at((x0 + x, y0 + y)))

    def component(element: Element, forwards: bool, a: tuple[float, float], b: tuple[float, float]) -> None:
        ends = [(x0 + a[0], y0 + a[1]), (x0 + b[0], y0 + b[1])]
        upright = forwards or isinstance(element, CrossedInductor)  # which looks alike from both ends
        if isinstance(element, _FROM_PLUS):  # their symbols end at plus, where SPICE's sources begin
            upright = not upright
        drawing.add(_symbol(element, element.name in adjustable).endpoints(*(ends if upright else ends[::-1])))
        if a[0] == b[0]:
            write(a[0] + 0.8, (a[1] + b[1]) / 2, label(element), "left", "center")
        else:
            write((a[0] + b[0]) / 2, a[1] + 0.6, label(element), "center", "bottom")

    deepest = max((len(chain.elements) for chains in layout.hanging.values() for chain in chains), default=0)
    for node, (left, right) in layout.rails.items():
        wire((left, 0.0), (right, 0.0))
        chains = layout.hanging[node]
        for k, chain in enumerate(chains):
            x = left + sum(_column(each, layout.wide) for each in chains[:k])
            for k_th, (element, forwards) in enumerate(chain.elements):
                component(element, forwards, (x, -k_th * DROP), (x, -(k_th + 1) * DROP))
            wire((x, -len(chain.elements) * DROP), (x, -deepest * DROP))
            if len(chains) > 1 or node not in layout.ends:
                dot(x, 0.0)
        if chains:
            wire((left, -deepest * DROP), (right, -deepest * DROP))
            drawing.add(symbols.Ground().at((x0 + (left + right) / 2, y0 - deepest * DROP)))
    for chain, y in layout.lying:
        a, b = layout.rails[chain.start][1], layout.rails[chain.end][0]
        step = (b - a) / len(chain.elements)
        wire((a, 0.0), (a, y))
        wire((b, 0.0), (b, y))
        for k, (element, forwards) in enumerate(chain.elements):
            component(element, forwards, (a + k * step, y), (a + (k + 1) * step, y))
        if y > 0.0:
            dot(a, 0.0)
            dot(b, 0.0)
    for k, (port, name) in enumerate(zip(layout.ends, terminals, strict=True)):
        left, right = layout.rails[port]
        last = k > 0 and k == len(layout.ends) - 1
        if 0 < k < len(layout.ends) - 1:  # between others: its rail has no room for a stub
            dot(left, 0.0, is_open=True)
            write(left - 0.15, -0.45, name, "right", "center")
            continue
        x = right + _STUB if last else left - _STUB
        wire((right if last else left, 0.0), (x, 0.0))
        dot(x, 0.0, is_open=True)
        write(x, 0.25, name, "right" if last else "left", "bottom")
    return texts


def _symbol(element: Element, adjustable: bool = False) -> Any:
    """The symbol of an element: its letter is its kind, as in SPICE, unless its class has a symbol of its own."""
    from schemdraw import elements as symbols

    special = next((make for kind, make in _SYMBOLS.items() if isinstance(element, kind)), None)
    if special is not None:
        return special()
    kinds: dict[str, Any] = {
        "r": symbols.Resistor,
        "c": symbols.Capacitor,
        "l": symbols.Inductor2,
        "i": symbols.SourceI,
        "v": symbols.SourceV,
        "g": symbols.SourceControlledI,
        "f": symbols.SourceControlledI,
        "e": symbols.SourceControlledV,
        "h": symbols.SourceControlledV,
    }
    if adjustable and element.name[0].lower() in "rc":
        return symbols.ResistorVar() if element.name[0].lower() == "r" else symbols.CapacitorVar()
    if element.symbol:
        return getattr(symbols, element.symbol)()
    return kinds.get(element.name[0].lower(), symbols.RBox)()


def _noise() -> Any:
    from schemdraw import elements as symbols

    return symbols.SourceI()


def _nonlinear(base: str, middle: float) -> Callable[[], Any]:
    """A symbol with the mark of what is not linear across it: an oblique line with a foot (IEC 60617)."""

    def make() -> Any:
        from schemdraw import elements as symbols
        from schemdraw.segments import Segment

        symbol = getattr(symbols, base)()
        symbol.segments.append(Segment([(middle - 0.7, -0.5), (middle - 0.45, -0.5), (middle + 0.55, 0.5)]))
        return symbol

    return make


def _crossed() -> Any:
    """An inductor, and behind it a transformer of ratio 1 : -1 to ground: two coils, their dots at opposite ends."""
    from schemdraw import elements as symbols
    from schemdraw.elements.twoterm import cycloid, gap
    from schemdraw.segments import Segment, SegmentCircle, SegmentText

    symbol = symbols.Element2Term()
    first, second, top, length = 1.7, 2.3, -0.15, 1.0
    into, out = [(first, 0.0), (first, top)], [(second, top), (second, 0.0), (second + 0.1, 0.0)]
    symbol.segments.append(Segment([*cycloid(loops=4), *into, gap, *out]))
    bottom = top - length
    for x, side in ((first, 1.0), (second, -1.0)):
        # From the top down, the loops of both towards the core between them.
        symbol.segments.append(Segment([(x + side * y * 0.6, top - along) for along, y in cycloid(loops=4)]))
        symbol.segments.append(Segment([(x, bottom), (x, bottom - 0.15)]))
        for k, half in enumerate((0.25, 0.17, 0.08)):
            y = bottom - 0.15 - 0.12 * k
            symbol.segments.append(Segment([(x - half, y), (x + half, y)]))
    middle = (first + second) / 2
    for x in (middle - 0.04, middle + 0.04):
        symbol.segments.append(Segment([(x, top), (x, bottom)]))
    for x, y in ((first - 0.2, top - 0.1), (second + 0.2, bottom + 0.1)):
        symbol.segments.append(SegmentCircle((x, y), 0.06, fill="black"))
    symbol.segments.append(
        SegmentText((second + 0.45, top - length / 2), "1 : -1", align=("left", "center"), fontsize=8.5)
    )
    return symbol


_FROM_PLUS = (VoltageSource, VoltageControlledVoltageSource, CurrentControlledVoltageSource)

_SYMBOLS: dict[type[Any], Callable[[], Any]] = {
    NoiseCurrent: _noise,
    AmplifierNoise: _noise,
    PolynomialConductance: _nonlinear("ResistorIEC", 0.5),
    PolynomialInductor: _nonlinear("Inductor2", 0.5),
    PolynomialCapacitor: _nonlinear("Capacitor", 0.09),
    CrossedInductor: _crossed,
}
"""Of classes whose letter does not say it all."""
