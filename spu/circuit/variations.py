"""One thing changed in a circuit: what a diagnosis supposes, and what a mutation study does on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit, Instances, Subcircuit
from spu.circuit.elements import Element


def _with_group(circuit: Circuit, group: int, changed: Instances) -> Circuit:
    groups = list(circuit.instances)
    groups[group] = changed
    return replace(circuit, instances=groups)


def with_values(
    circuit: Circuit, group: int, rows: Sequence[int] | IntArray, values: Mapping[str, FloatArray | float]
) -> Circuit:
    """Other values of some parameters, one a row, for some instances of a group."""
    instances = circuit.instances[group]
    parameters = {name: array.copy() for name, array in instances.parameters.items()}
    for name, new in values.items():
        parameters[name][np.asarray(rows)] = new
    return _with_group(circuit, group, replace(instances, parameters=parameters))


def with_swapped(circuit: Circuit, group: int, rows: tuple[int, int], names: Sequence[str]) -> Circuit:
    """Two instances of a group with the values of some parameters exchanged."""
    parameters = circuit.instances[group].parameters
    return with_values(circuit, group, list(rows), {name: parameters[name][list(rows[::-1])] for name in names})


def with_port(circuit: Circuit, group: int, row: int, port: int, node: int) -> Circuit:
    """One port of one instance on another node (-1: ground), or on another noise source."""
    instances = circuit.instances[group]
    nodes = instances.nodes.copy()
    nodes[row, port] = node
    return _with_group(circuit, group, replace(instances, nodes=nodes))


def with_sources_swapped(circuit: Circuit, first: int, second: int) -> Circuit:
    """Two noise sources, each where the other one was."""
    groups = []
    for instances in circuit.instances:
        nodes = instances.nodes.copy()
        for k in noise_ports(instances.subcircuit):
            column = instances.nodes[:, k]
            nodes[:, k] = np.where(column == first, second, np.where(column == second, first, column))
        groups.append(replace(instances, nodes=nodes))
    return replace(circuit, instances=groups)


def with_probes_swapped(circuit: Circuit, first: int, second: int) -> Circuit:
    """Two probes, each where the other one was."""
    nodes = circuit.probe_nodes.copy()
    nodes[[first, second]] = nodes[[second, first]]
    return replace(circuit, probe_nodes=nodes)


def without(circuit: Circuit, group: int, row: int) -> Circuit:
    """One instance less."""
    instances = circuit.instances[group]
    keep = np.delete(np.arange(len(instances.names)), row)
    changed = Instances(
        instances.subcircuit,
        instances.names.take(keep),
        instances.nodes[keep],
        {name: array[keep] for name, array in instances.parameters.items()},
    )
    if len(keep):
        return _with_group(circuit, group, changed)
    return replace(circuit, instances=[found for k, found in enumerate(circuit.instances) if k != group])


def with_noise_reversed(circuit: Circuit, group: int, row: int, name: str) -> Circuit:
    """One instance whose elements of the parameter ``name`` have their two nodes exchanged."""
    instances = circuit.instances[group]
    template = instances.subcircuit
    elements = tuple(
        replace(element, nodes=(*element.nodes[1::-1], *element.nodes[2:])) if element.value == name else element
        for element in template.elements
    )
    reversed_ = Instances(
        replace(template, elements=elements),
        instances.names.take(np.array([row])),
        instances.nodes[[row]],
        {key: array[[row]] for key, array in instances.parameters.items()},
    )
    rest = without(circuit, group, row)
    return replace(rest, instances=[*rest.instances, reversed_])


def with_added(circuit: Circuit, element: type[Element], ends: tuple[int, int], value: float) -> Circuit:
    """One more two-terminal element, noiseless, between two nodes (-1: ground)."""
    template = Subcircuit("added", ("a", "b"), ("value",), (element("e1", ("a", "b"), "value"),))
    nodes = np.array([ends], dtype=np.int64)
    added = Instances(template, Lazy.of(["xadded"]), nodes, {"value": np.array([float(value)])})
    return replace(circuit, instances=[*circuit.instances, added])


def noise_ports(template: Subcircuit) -> list[int]:
    """Places of the noise ports among the ports."""
    driven = {element.noise_port for element in template.elements}
    return [k for k, port in enumerate(template.ports) if port in driven]


def electrical_ports(template: Subcircuit) -> list[int]:
    """Places of the other ports."""
    noise = noise_ports(template)
    return [k for k in range(len(template.ports)) if k not in noise]
