"""One thing changed in a circuit: what a diagnosis supposes, and what a mutation study does on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit, Instances, Subcircuit
from spu.circuit.elements import Element, Inductor
from spu.circuit.polynomial import CrossedInductor, PolynomialElement


def _with_group(circuit: Circuit, group: int, changed: Instances) -> Circuit:
    groups = list(circuit.instances)
    groups[group] = changed
    return replace(circuit, instances=groups)


def _probed(circuit: Circuit, changed: Circuit) -> Circuit:
    """A changed circuit that is read out at the nodes of the same names: internal ones may have other numbers."""
    if not circuit.reads_inside:
        return changed
    names, numbers = circuit.node_names(), dict[str, int]()
    for k, name in enumerate(changed.node_names()):
        numbers.setdefault(name, k)
    nodes = [numbers.get(names[k], GROUND) if k != GROUND else GROUND for k in circuit.probe_nodes.ravel().tolist()]
    return replace(changed, probe_nodes=np.array(nodes, dtype=np.int64).reshape(-1, 2))


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
    groups = [changed if k == group else found for k, found in enumerate(circuit.instances)]
    return _probed(circuit, replace(circuit, instances=[found for found in groups if len(found.names)]))


def with_twice(circuit: Circuit, group: int, row: int) -> Circuit:
    """One instance once more."""
    instances = circuit.instances[group]
    rows = np.append(np.arange(len(instances.names)), row)
    changed = Instances(
        instances.subcircuit,
        instances.names.take(rows),
        instances.nodes[rows],
        {name: array[rows] for name, array in instances.parameters.items()},
    )
    return _probed(circuit, _with_group(circuit, group, changed))


def _with_elements(circuit: Circuit, group: int, row: int, name: str, change: Callable[[Element], Element]) -> Circuit:
    """One instance whose elements of the parameter ``name`` are others."""
    instances = circuit.instances[group]
    template = instances.subcircuit
    elements = tuple(change(element) if element.value == name else element for element in template.elements)
    changed = Instances(
        replace(template, elements=elements),
        instances.names.take(np.array([row])),
        instances.nodes[[row]],
        {key: array[[row]] for key, array in instances.parameters.items()},
    )
    rest = without(circuit, group, row)
    return _probed(circuit, replace(rest, instances=[*rest.instances, changed]))


def with_noise_reversed(circuit: Circuit, group: int, row: int, name: str) -> Circuit:
    """One instance whose elements of the parameter ``name`` have their two nodes exchanged."""

    def reversed_(element: Element) -> Element:
        return replace(element, nodes=(*element.nodes[1::-1], *element.nodes[2:]))

    return _with_elements(circuit, group, row, name, reversed_)


def as_printed(circuit: Circuit) -> Circuit:
    """The same circuit, its elements with the parameters by which a netlist holds them."""
    groups = []
    for instances in circuit.instances:
        elements = tuple(
            each.printed if isinstance(each, PolynomialElement) else each for each in instances.subcircuit.elements
        )
        template = replace(instances.subcircuit, elements=elements)
        needed = [name for element in elements for name in element.parameters if name not in instances.parameters]
        settings = instances.settings or {}
        values = {**instances.parameters, **{name: np.asarray(settings[name], dtype=float) for name in needed}}
        groups.append(replace(instances, subcircuit=template, parameters=values))
    return replace(circuit, instances=groups)


_OPPOSITE: dict[type[Element], type[Element]] = {Inductor: CrossedInductor, CrossedInductor: Inductor}


def opposite(template: Subcircuit, name: str) -> type[Element] | None:
    """What couples with the other sign than the element of the parameter ``name``, where a value cannot say that."""
    kinds = [type(element) for element in template.elements if element.value == name]
    return _OPPOSITE.get(kinds[0]) if len(kinds) == 1 else None


def with_opposite(circuit: Circuit, group: int, row: int, name: str) -> Circuit:
    """One instance whose element of the parameter ``name`` couples with the other sign."""
    kind = opposite(circuit.instances[group].subcircuit, name)
    assert kind is not None
    return _with_elements(
        circuit,
        group,
        row,
        name,
        lambda element: kind(element.name, element.nodes, element.value, element.noise_port, factor=element.factor),
    )


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
