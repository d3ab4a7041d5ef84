"""Names of nodes and elements in netlists, and how long a netlist may be."""

from __future__ import annotations

from spu.base.errors import InputError
from spu.circuit.circuit import Circuit
from spu.device.device import Device
from spu.device.lower import lower

MAX_INSTANCES = 2_000_000
"""Most instances and noise sources of a netlist; ngspice itself would take hours to set up more."""


SWITCH = "montecarlo"
"""The parameter that makes a netlist of ours draw a board, at 1; at 0 it is the nominal circuit."""

UNIT_TIME = "A unit of the problem's time takes"
"""In the head of a netlist, before a number of seconds, where a problem has a time."""


HELD = "Injected noise is held for tc:"
"""In the head of a netlist, before what a clock makes of its noise."""

SAMPLED = "Samples are taken with"
"""In the head of a netlist, before what its elements do not tell of an acquisition."""

SAMPLED_KEYS = ("sampling_rate", "jitter", "noise")


def cell_node(name: str) -> str:
    """The netlist's node of a cell: prefixed, so that no name collides with ground or a noise node."""
    return f"cell_{name}"


def node_of(circuit: Circuit, name: str) -> str:
    """The netlist's node of one of a circuit's: that of a cell, or as the netlist calls it that it was read from."""
    return name if circuit.from_netlist else cell_node(name)


def noise_resistor(circuit: Circuit) -> dict[str, str]:
    """For each noise source, the resistor that makes its noise in ``.noise``, as ngspice names it."""
    found = {source.name: f"r{source.name}" for source in circuit.sources if not source.thermal}
    for flat in circuit.flatten():
        if flat.noise is None:
            continue
        for instance, k in zip(flat.group.names, flat.noise.tolist(), strict=True):
            if circuit.sources[k].thermal:
                found[circuit.sources[k].name] = f"{flat.element.name[0]}.{instance}.{flat.element.name}".lower()
    return found


def netlist_size(circuit: Circuit) -> int:
    """Number of instances and noise sources: what makes a netlist long (see `MAX_INSTANCES`)."""
    return sum(len(group.names) for group in circuit.instances) + len(circuit.sources)


def refuse_length(device: Device) -> None:
    """Raise `InputError` for a device whose netlist no simulator would get through."""
    size = netlist_size(lower(device.members()[0]))
    if size > MAX_INSTANCES:
        raise InputError(f"a netlist of {size} instances is more than a simulator takes: at most {MAX_INSTANCES}")


def probed_nodes(circuit: Circuit) -> tuple[str, ...]:
    """The netlist's nodes that are read out: cells' nodes, and nodes inside instances."""
    names, own = circuit.node_names(), len(circuit.nodes)
    return tuple(node_of(circuit, names[k]) if k < own else names[k] for k in circuit.probe_nodes[:, 0].tolist())


def probe_vectors(circuit: Circuit) -> tuple[str, ...]:
    """The same as ngspice calls their voltages."""
    return tuple(name.lower() for name in probed_nodes(circuit))
