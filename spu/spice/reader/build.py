"""From expansions to a `Circuit`: each definition a template, all its expansions instances."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spu.base.constants import GROUND
from spu.base.errors import CircuitError
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit, Instances, Subcircuit
from spu.circuit.elements import Element
from spu.problems.problem import Problem
from spu.spice.reader.elaborate import Elaborated, Expansion
from spu.spice.reader.noise import Noisy
from spu.spice.reader.placed import Placed
from spu.spice.reader.readout import Chosen, Probe

TOP = "deck"
"""Name of the one instance that the deck itself is."""


@dataclass(eq=False)
class _Template:
    """A definition in one of the forms that its expansions take; ``noise`` are ports by the noise they take."""

    subcircuit: Subcircuit
    electrical: tuple[str, ...]
    noise: dict[str, str]
    names: list[str] = field(default_factory=list)
    nodes: list[list[int]] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)


def build(deck: Elaborated, noisy: Noisy, chosen: Chosen, name: str, problem: Problem | None) -> Circuit:
    """Build the circuit.

    Raises
    ------
    CircuitError
        If it has no elements.
    """
    templates: dict[tuple[object, ...], _Template] = {}
    used = live_nodes(deck, noisy)
    number = {old: new for new, old in enumerate(used)}
    number[GROUND] = GROUND
    for expansion, elements in zip(deck.expansions, noisy.elements, strict=True):
        if not elements:
            continue
        key = (
            id(expansion.definition),
            *((e.kind, e.name, e.nodes, e.branches, driven and driven[0]) for e, driven in elements),
        )
        template = templates.get(key)
        if template is None:
            template = templates[key] = _template(expansion, elements, len(templates))
        template.names.append(expansion.path or TOP)
        sources = {driven[0]: driven[1] for _, driven in elements if driven is not None}
        row = [number[expansion.nodes[node]] for node in template.electrical]
        template.nodes.append([*row, *(sources[noise] for noise in template.noise)])
        template.values.append([element.value for element, _ in elements])
    if not templates:
        raise CircuitError("the netlist has no elements")
    by_name = {deck.node_names[old]: new for old, new in number.items() if old != GROUND}
    by_name["0"] = GROUND
    return Circuit(
        temperature=deck.temperature,
        nodes=Lazy.of([deck.node_names[old] for old in used]),
        instances=[_instances(template) for template in templates.values()],
        sources=Lazy.of(noisy.sources),
        probes=Lazy.of([probe.name for probe in chosen.probes]),
        probe_nodes=_probe_nodes(chosen.probes, by_name),
        readout=chosen.readout,
        hash=name,
        problem=problem,
        scales=chosen.scales,
        from_netlist=True,
    )


def _probe_nodes(probes: tuple[Probe, ...], numbers: dict[str, int]) -> np.ndarray:
    return np.array([[numbers[probe.plus], numbers[probe.minus]] for probe in probes], dtype=np.int64).reshape(-1, 2)


def live_nodes(deck: Elaborated, noisy: Noisy) -> list[int]:
    """Numbers of the nodes that elements touch, in the order in which they come."""
    found: dict[int, None] = {}
    for expansion, elements in zip(deck.expansions, noisy.elements, strict=True):
        for element, _ in elements:
            for node in expansion.ends(element):
                if node != GROUND:
                    found[node] = None
    return list(found)


def _template(expansion: Expansion, elements: list[tuple[Placed, tuple[str, int] | None]], count: int) -> _Template:
    definition = expansion.definition
    seen = dict.fromkeys(node for element, _ in elements for node in element.nodes if node != "0")
    electrical = tuple(dict.fromkeys([*(port for port in definition.ports if port in seen), *seen]))
    noise: dict[str, str] = {}
    taken = set(electrical)
    for _, driven in elements:
        if driven is not None and driven[0] not in noise:
            port = driven[0]
            while port in taken:  # they share the template's names
                port += "_"
            taken.add(port)
            noise[driven[0]] = port
    made: list[Element] = [
        element.kind(
            element.name, element.nodes, element.name, None if driven is None else noise[driven[0]], element.branches
        )
        for element, driven in elements
    ]
    title = definition.name or TOP
    line = definition.line
    subcircuit = Subcircuit(
        name=title if count == 0 else f"{title}_{count}",
        ports=(*electrical, *noise.values()),
        parameters=tuple(element.name for element, _ in elements),
        elements=tuple(made),
        meaning=f"{title}, from line {line.number} of {line.file}",
    )
    return _Template(subcircuit, electrical, noise)


def _instances(template: _Template) -> Instances:
    values = np.array(template.values, dtype=float)
    return Instances(
        template.subcircuit,
        Lazy.of(template.names),
        np.array(template.nodes, dtype=np.int64).reshape(len(template.names), -1),
        {name: values[:, k] for k, name in enumerate(template.subcircuit.parameters)},
    )
