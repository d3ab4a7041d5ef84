"""From a device to subcircuits, instances and noise sources: the one circuit behind both back ends.

A `Circuit` holds no device. It is subcircuits (templates of `spu.elements`), instances of
them as columns (names, nodes, parameter arrays), independent unit noise sources on nodes of
their own, and what is read out. The emulator stamps it (`spu.mna`), the netlist prints it
(`spu.spice.netlist`). Names are made as they are read (`spu.lazy.Lazy`): half a million
couplers cost arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spu.constants import GROUND
from spu.device import Columns, Device, Readout
from spu.elements import Element, Inductor, MutualInductance, silent
from spu.errors import CircuitError, InputError
from spu.lazy import Lazy
from spu.parts import Part

if TYPE_CHECKING:
    from spu.problem import Problem

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Subcircuit:
    """A named template: ports (electrical first, then noise), parameters, elements.

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

    ``nodes`` holds numbers of circuit nodes for electrical ports (-1 is ground) and numbers of
    noise sources for noise ports.
    """

    subcircuit: Subcircuit
    names: Lazy[str]
    nodes: IntArray
    parameters: dict[str, FloatArray]


@dataclass(frozen=True)
class NoiseSource:
    """An independent white noise voltage of unit density (`UNIT_NOISE_DENSITY`).

    ``thermal`` ones carry the noise of a resistor that ``.noise`` already knows about.
    """

    name: str
    thermal: bool


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
        Of what it was made from, a device or a netlist: circuits with the same one are alike.
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

    def members(self) -> list[Circuit]:
        """Itself: a circuit has one programming (as `Device.members`, for whoever takes either)."""
        return [self]

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
        """(k,) values, SI."""
        return self.group.parameters[self.element.value]


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
    groups, sources = _group("cell", device.cell_columns, np.arange(count)[:, None], cells, thermal, sources)
    ends = device.coupler_ends
    names = coupler_names(device)
    for part in device.coupler_columns.parts.values():
        columns = Columns((part,), "a coupler")
        columns.arrays = {key: device.coupler_columns.arrays[key] for key in part.keys}
        found, sources = _group("coupler", columns, ends, names, thermal, sources)
        groups += found
    return Circuit(
        temperature=float(device.temperature),
        nodes=cells,
        instances=groups,
        sources=sources,
        probes=cells,
        probe_nodes=np.column_stack([np.arange(count), np.full(count, GROUND)]),
        readout=device.readout,
        hash=device.hash,
        problem=device.problem,
    )


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
    kind: str, columns: Columns, ends: IntArray, names: Lazy[str], thermal: bool, sources: Lazy[NoiseSource]
) -> tuple[list[Instances], Lazy[NoiseSource]]:
    """Instances of one subcircuit for each combination of parts that occurs; the sources with theirs added."""
    parts = list(columns.parts.values())
    # One bit a part, the first one highest.
    code = np.zeros(len(ends), dtype=np.int64)
    for part in parts:
        code = 2 * code + ~np.isnan(columns.arrays[part.keys[0]])
    groups: list[Instances] = []
    for combination in np.flatnonzero(np.bincount(code, minlength=1)):
        held = [part for k, part in enumerate(reversed(parts)) if combination >> k & 1][::-1]
        if not held:
            continue
        rows = np.flatnonzero(code == combination)
        template = _subcircuit(kind, held, thermal, ends.shape[1])
        own = names.take(rows)
        letters = "" if kind == "cell" else "".join(part.letter for part in held) + "_"
        values = {key: columns.arrays[key][rows] for key in columns.keys}
        ports = [ends[rows, k] for k in range(ends.shape[1])]
        for part in held:
            for port, is_thermal in ((part.injected_port, False), (part.thermal_port, True)):
                if port is None or (is_thermal and not thermal):
                    continue
                prefix = "t" if is_thermal else "n"
                prefix += "" if kind == "cell" else "c"  # tc_a_b: no cell's t_NAME can read the same
                ports.append(np.arange(len(sources), len(sources) + len(rows)))
                sources += _noise_sources(prefix, own, is_thermal)
        parameters = {name: convert(values) for part in held for name, convert in part.parameters.items()}
        instance_names = _mapped(f"x{kind}_{letters}{{}}", own)
        groups.append(Instances(template, instance_names, np.column_stack(ports), parameters))
    return groups, sources


def _noise_sources(prefix: str, names: Lazy[str], thermal: bool) -> Lazy[NoiseSource]:
    return Lazy((len(names), lambda k: NoiseSource(f"{prefix}_{names[k]}", thermal)))


def _subcircuit(kind: str, parts: list[Part], thermal: bool, ends: int) -> Subcircuit:
    ports = ["a", "b"][:ends]
    for part in parts:
        if part.injected_port is not None:
            ports.append(part.injected_port)
        if part.thermal_port is not None and thermal:
            ports.append(part.thermal_port)
    return Subcircuit(
        name=f"{kind}_" + "".join(part.letter for part in parts),
        ports=tuple(ports),
        parameters=tuple(name for part in parts for name in part.parameters),
        elements=tuple(
            element if thermal or element.noise_port is None or part.thermal_port is None else silent(element)
            for part in parts
            for element in part.elements
        ),
        meaning=", ".join(part.meaning for part in parts),
    )
