"""From a device to subcircuits, instances and noise sources: the one circuit behind both back ends.

A `Circuit` holds no device. It is subcircuits (templates of `spu.elements`), instances of
them as columns (names, nodes, parameter arrays), independent unit noise sources on nodes of
their own, and what is read out. The emulator stamps it (`spu.mna`), the netlist prints it
(`spu.spice.netlist`). Names are made as they are read (`spu.lazy.Lazy`): half a million
couplers cost arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spu.constants import GROUND
from spu.detail import Detail
from spu.device import Columns, Device, Readout
from spu.elements import CrossedInductor, Element, Inductor, MutualInductance, PolynomialElement
from spu.errors import CircuitError, InputError
from spu.expressions import Expression
from spu.lazy import Lazy
from spu.realisation import Realisation, code_of, node_parasitics, realise, switched

if TYPE_CHECKING:
    from spu.problem import Problem

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Subcircuit:
    """A named template: ports (electrical first, then noise), parameters, elements.

    Attributes
    ----------
    parameters:
        Those that instances give values.
    constants:
        Those that have one value for all instances, and
    derived:
        those that follow from others, each of which stands before it.
    codes:
        Parameters that are the code of a bank: name -> least and greatest.

    Raises
    ------
    CircuitError
        If an element uses the branch of another that is not there, or is of another kind.
    """

    name: str
    ports: tuple[str, ...]
    parameters: tuple[str, ...]
    elements: tuple[Element, ...]
    meaning: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    derived: Mapping[str, Expression] = field(default_factory=dict)
    codes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = {element.name: element for element in self.elements}
        for element in self.elements:
            for name in element.branches:
                if name not in kinds:
                    raise CircuitError(f"{element.name} of {self.name} names {name}, which is not an element there")
                inductor = isinstance(kinds[name], Inductor)
                if isinstance(element, MutualInductance):
                    if not inductor:
                        raise CircuitError(f"{element.name} of {self.name} couples {name}, which is no inductor")
                elif inductor or not kinds[name].has_branch:
                    # As SPICE has it: the current of an inductor is not to be had there.
                    raise CircuitError(
                        f"{element.name} of {self.name} uses the current of {name}, which is no voltage source: "
                        "put one of 0 V in series"
                    )

    @property
    def internal_nodes(self) -> tuple[str, ...]:
        """Local nodes that are neither ports nor ground, in order of appearance."""
        found: dict[str, None] = {}
        for element in self.elements:
            for node in element.nodes:
                if node != "0" and node not in self.ports:
                    found[node] = None
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Instances:
    """All instances of one subcircuit: k names, (k, ports) nodes, ``{parameter: (k,)}`` values.

    ``parameters`` has the values of all elements; ``settings`` what stands in a netlist, a line each: the
    subcircuit's ``parameters``, of which its constants and derived ones make the rest. None where these are the same.

    ``nodes`` holds numbers of circuit nodes for electrical ports (-1 is ground) and numbers of
    noise sources for noise ports.
    """

    subcircuit: Subcircuit
    names: Lazy[str]
    nodes: IntArray
    parameters: dict[str, FloatArray]
    settings: dict[str, FloatArray | IntArray] | None = None


@dataclass(frozen=True)
class Origin:
    """Where a noise source sits in the netlist that it was read from.

    Attributes
    ----------
    gain:
        A or V that it makes there for each volt of the unit source.
    element:
        The independent source that makes it in ``.tran``, ``x1.i1``; empty where only a resistor makes it.
    nodes:
        Of such a resistor, as ngspice flattens them: its noise current flows from the first to the second.
    resistor:
        The resistor that makes it in ``.noise``, ``x1.r1``; empty where ``.noise`` is deaf to it.
    stated:
        Whether the netlist itself says how strong it is (a user may have said it instead).
    """

    gain: float
    element: str = ""
    nodes: tuple[str, str] = ("0", "0")
    resistor: str = ""
    stated: bool = True


@dataclass(frozen=True)
class NoiseSource:
    """An independent white noise voltage of unit density (`UNIT_NOISE_DENSITY`).

    ``thermal`` ones carry the noise of a resistor that ``.noise`` already knows about. Those of a netlist that was
    read know their ``origin``.
    """

    name: str
    thermal: bool
    origin: Origin | None = None


@dataclass(frozen=True, eq=False)
class Circuit:
    """What both back ends take.

    Attributes
    ----------
    temperature:
        K.
    nodes:
        Names of the electrical nodes but ground.
    instances:
        One `Instances` a subcircuit.
    sources:
        The noise sources.
    probes:
        Names of what is read out, (p,) and their nodes, (p, 2) with -1 for ground.
    readout:
        From the p probe voltages to problem variables.
    hash:
        Of what it was made from, a device or a netlist: circuits with the same one are alike, but for last bits.
    content:
        The same to the last bit; empty where the hash says that, too.
    problem:
        What it is meant to compute, where that is known.
    """

    temperature: float
    nodes: Lazy[str]
    instances: list[Instances]
    sources: Lazy[NoiseSource]
    probes: Lazy[str]
    probe_nodes: IntArray
    readout: Readout
    hash: str
    problem: Problem | None = None
    content: str = ""

    def members(self) -> list[Circuit]:
        """Itself: a circuit has one programming (as `Device.members`, for whoever takes either)."""
        return [self]

    @property
    def nonlinear(self) -> bool:
        """Whether any element is not linear, or couples fluxes: see `spu.langevin`."""
        return any(
            isinstance(element, (PolynomialElement, CrossedInductor))
            for group in self.instances
            for element in group.subcircuit.elements
        )

    def flatten(self) -> Iterator[FlatElements]:
        """Every element over all its instances, with global nodes; internal nodes and branches get numbers."""
        next_node, next_branch = len(self.nodes), 0
        for group in self.instances:
            template = group.subcircuit
            count = len(group.names)
            local: dict[str, IntArray] = {"0": np.full(count, GROUND, dtype=np.int64)}
            for k, port in enumerate(template.ports):
                local[port] = group.nodes[:, k]
            for node in template.internal_nodes:
                local[node] = np.arange(next_node, next_node + count)
                next_node += count
            own: dict[str, IntArray] = {}
            for element in template.elements:
                if element.has_branch:
                    own[element.name] = np.arange(next_branch, next_branch + count)
                    next_branch += count
            for element in template.elements:
                names = (element.name, *element.branches) if element.has_branch else element.branches
                yield FlatElements(
                    element,
                    group,
                    [local[node] for node in element.nodes],
                    None if element.noise_port is None else local[element.noise_port],
                    [own[name] for name in names],
                )

    def node_names(self) -> Lazy[str]:
        """Names of all nodes, internal ones after the circuit's own, as ngspice flattens them."""
        names = Lazy.of(self.nodes)
        for group in self.instances:
            for node in group.subcircuit.internal_nodes:
                names += _mapped(f"{{}}.{node}", group.names)
        return names


@dataclass(frozen=True, eq=False)
class FlatElements:
    """One element of a subcircuit over all its instances."""

    element: Element
    group: Instances
    nodes: list[IntArray]
    noise: IntArray | None
    branches: list[IntArray]

    @property
    def values(self) -> FloatArray:
        """(k,) values, SI; of an element with several coefficients (k, c)."""
        names = self.element.parameters
        if len(names) > 1:
            return np.column_stack([self.group.parameters[name] for name in names])
        return self.group.parameters[names[0]]


def lower(device: Device) -> Circuit:
    """Lower a device to its circuit.

    Every cell is one instance on a node that bears its name, every coupler one instance per
    kind it holds. Cells with the same parts share a subcircuit.

    Raises
    ------
    InputError
        If the device has no cells.
    """
    if not device.cell_names:
        raise InputError("the device has no cells")
    sources: Lazy[NoiseSource] = Lazy()
    thermal = device.temperature > 0
    count = len(device.cell_names)
    cells = Lazy.of(list(device.cell_names))
    detail = device.detail
    groups, sources = _group("cell", device.cell_columns, np.arange(count)[:, None], cells, detail, thermal, sources)
    ends = device.coupler_ends
    names = coupler_names(device)
    for part in device.coupler_columns.parts.values():
        columns = device.coupler_columns.of(part)
        found, sources = _group("coupler", columns, ends, names, detail, thermal, sources)
        groups += found
    content = device.content
    return Circuit(
        temperature=float(device.temperature),
        nodes=cells,
        instances=groups,
        sources=sources,
        probes=cells,
        probe_nodes=np.column_stack([_probed(groups, count), np.full(count, GROUND)]),
        readout=device.readout,
        hash=content.split()[0],
        problem=device.problem,
        content=content,
    )


def _probed(groups: list[Instances], count: int) -> IntArray:
    """The node that shows each cell: its own, or the sense node of its nonlinear inductor or capacitor."""
    nodes = np.arange(count)
    following = count
    for group in groups:
        senses = {
            e.nodes[2] for e in group.subcircuit.elements if isinstance(e, PolynomialElement) and len(e.nodes) > 2
        }
        for node in group.subcircuit.internal_nodes:
            if node in senses:
                nodes[group.nodes[:, 0]] = np.arange(following, following + len(group.names))
            following += len(group.names)
    return nodes


def _mapped(form: str, names: Sequence[str]) -> Lazy[str]:
    """Each name put into a format string."""
    return Lazy((len(names), lambda k: form.format(names[k])))


def coupler_names(device: Device) -> Lazy[str]:
    """``a_b``, with a number behind where two pairs would read the same (a_b + c, a + b_c)."""
    cells, ends = list(device.cell_names), device.coupler_ends
    if len({name.count("_") for name in cells}) <= 1:  # the middle one separates: no two read the same
        return Lazy((len(ends), lambda k: f"{cells[ends[k, 0]]}_{cells[ends[k, 1]]}"))
    names: list[str] = []
    seen: set[str] = set()
    for a, b in device.coupler_ends.tolist():
        base = name = f"{device.cell_names[a]}_{device.cell_names[b]}"
        again = 1
        while name.lower() in seen:
            again += 1
            name = f"{base}_{again}"
        seen.add(name.lower())
        names.append(name)
    return Lazy.of(names)


def _group(
    kind: str,
    columns: Columns,
    ends: IntArray,
    names: Lazy[str],
    detail: Detail,
    thermal: bool,
    sources: Lazy[NoiseSource],
) -> tuple[list[Instances], Lazy[NoiseSource]]:
    """Instances of one subcircuit for each combination of parts that occurs; the sources with theirs added."""
    parts = list(columns.parts.values())
    parasitics = node_parasitics(detail) if kind == "cell" else None
    # One bit a part, the first one highest.
    code = np.zeros(len(ends), dtype=np.int64)
    for part in parts:
        is_held = switched(columns.banks.get(part.quantity), detail) | ~np.isnan(columns.arrays[part.keys[0]])
        code = 2 * code + is_held
    groups: list[Instances] = []
    for combination in np.flatnonzero(np.bincount(code, minlength=1)):
        held = [part for k, part in enumerate(reversed(parts)) if combination >> k & 1][::-1]
        if not held:
            continue
        rows = np.flatnonzero(code == combination)
        several = sum(part.quantity in columns.banks for part in held) > 1
        made = [
            realise(part, columns.banks.get(part.quantity), detail, f"_{part.letter}" if several else "")
            for part in held
        ]
        made = [each if thermal else each.silenced() for each in (*made, *([parasitics] if parasitics else []))]
        letters = "".join(part.letter for part in held)
        template = _subcircuit(f"{kind}_{letters}", made, ends.shape[1])
        own = names.take(rows)
        values: dict[str, FloatArray | IntArray] = {key: columns.arrays[key][rows] for key in columns.keys}
        values |= {code_of(key): codes[rows] for key, codes in columns.codes.items()}
        ports = [ends[rows, k] for k in range(ends.shape[1])]
        for port, is_thermal in (entry for each in made for entry in each.ports.items()):
            prefix = port if kind == "cell" else f"{port}c"  # tc_a_b: no cell's t_NAME can read the same
            ports.append(np.arange(len(sources), len(sources) + len(rows)))
            sources += _noise_sources(prefix, own, is_thermal)
        settings = {name: convert(values) for each in made for name, convert in each.parameters.items()}
        parameters = _resolved(template, settings, len(rows))
        instance_names = _mapped(f"x{kind}_{{}}" if kind == "cell" else f"x{kind}_{letters}_{{}}", own)
        groups.append(Instances(template, instance_names, np.column_stack(ports), parameters, settings))
    return groups, sources


def _resolved(template: Subcircuit, settings: dict[str, Any], count: int) -> dict[str, FloatArray]:
    """(count,) values of all elements, out of what instances set."""
    known: dict[str, Any] = {**settings, **template.constants}
    for name, expression in template.derived.items():
        known[name] = expression(known)
    needed = dict.fromkeys(name for element in template.elements for name in element.parameters)
    return {name: np.broadcast_to(np.asarray(known[name], dtype=np.float64), (count,)) for name in needed}


def _noise_sources(prefix: str, names: Lazy[str], thermal: bool) -> Lazy[NoiseSource]:
    return Lazy((len(names), lambda k: NoiseSource(f"{prefix}_{names[k]}", thermal)))


def _subcircuit(name: str, made: list[Realisation], ends: int) -> Subcircuit:
    """One template out of what its parts add."""
    return Subcircuit(
        name=name,
        ports=(*["a", "b"][:ends], *(port for each in made for port in each.ports)),
        parameters=tuple(key for each in made for key in each.parameters),
        elements=tuple(element for each in made for element in each.elements),
        meaning=", ".join(each.meaning for each in made),
        constants={key: value for each in made for key, value in each.constants.items()},
        derived={key: value for each in made for key, value in each.derived.items()},
        codes={key: ends for each in made for key, ends in each.codes.items()},
    )
