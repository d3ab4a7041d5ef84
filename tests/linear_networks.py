"""Linear networks for the tests, written as SPICE cards: a `Circuit`, and a deck of independent making.

A card is a SPICE line of plain numbers; ``vn1 a 0 noise 1e-16`` and ``in1 a 0 noise 4e-20`` are white noise
sources of one-sided density (V^2/Hz, A^2/Hz). Resistors make thermal noise where the temperature is not 0.
"""

from __future__ import annotations

import numpy as np

from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit, Instances, NoiseSource, Subcircuit, stamp_circuit
from spu.circuit.elements import (
    Capacitor,
    CurrentControlledCurrentSource,
    CurrentControlledVoltageSource,
    CurrentSource,
    Element,
    Inductor,
    MutualInductance,
    NoiseCurrent,
    NoiseVoltage,
    Resistor,
    Transconductor,
    VoltageControlledVoltageSource,
    VoltageSource,
)
from spu.circuit.readout import Readout
from spu.spice.simulators.ngspice import Step
from spu.spice.simulators.ngspice import run as run_ngspice

BOLTZMANN = 1.380649e-23
KINDS: dict[str, tuple[type[Element], int, int]] = {  # by letter: class, nodes, branches
    "r": (Resistor, 2, 0),
    "c": (Capacitor, 2, 0),
    "l": (Inductor, 2, 0),
    "k": (MutualInductance, 0, 2),
    "i": (CurrentSource, 2, 0),
    "g": (Transconductor, 4, 0),
    "v": (VoltageSource, 2, 0),
    "e": (VoltageControlledVoltageSource, 4, 0),
    "f": (CurrentControlledCurrentSource, 2, 1),
    "h": (CurrentControlledVoltageSource, 2, 1),
}


def cards(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def network(text: str, probes: str, temperature: float = 0.0) -> Circuit:
    """The circuit of some cards, one subcircuit with every node a port, read out at nodes."""
    elements, values, nodes, sources = [], {}, {}, []
    for name, *words in cards(text):
        value = float(words.pop())
        kind, ends, controls = KINDS[name[0]]
        port = None
        if words[-1] == "noise":
            kind = {"v": NoiseVoltage, "i": NoiseCurrent}[name[0]]
            port = f"n_{name}"
        elif kind is Resistor and temperature > 0:
            port = f"t_{name}"
        if port is not None:
            sources.append(NoiseSource(port, port[0] == "t"))
        assert len(words) == ends + controls + ("noise" in words), name
        for node in words[:ends]:
            if node != "0":
                nodes.setdefault(node, len(nodes))
        branches = tuple(words[ends : ends + controls])
        elements.append(kind(name, tuple(words[:ends]), f"p{name}", port, branches))
        values[f"p{name}"] = np.array([value])
    ports = (*nodes, *(source.name for source in sources))
    template = Subcircuit("network", ports, tuple(values), tuple(elements))
    numbers = np.array([[*nodes.values(), *range(len(sources))]])
    names = probes.split()
    return Circuit(
        temperature=temperature,
        nodes=Lazy.of(list(nodes)),
        instances=[Instances(template, Lazy.of(["x"]), numbers, values)],
        sources=Lazy.of(sources),
        probes=Lazy.of(names),
        probe_nodes=np.array([[nodes[name], -1] for name in names]),
        readout=Readout(tuple(names), np.eye(len(names)), np.zeros(len(names))),
        hash=text,
    )


def directly(circuit: Circuit, frequencies: np.ndarray) -> np.ndarray:
    """Transfer functions from every unit noise source by a dense solve of the equations as they are stamped."""
    stamps, _ = stamp_circuit(circuit)
    E, F, K = stamps.E.toarray(), stamps.F.toarray(), stamps.K.toarray()
    found = []
    for frequency in frequencies:
        system = 2j * np.pi * frequency * E - F
        # Rows and columns on one scale: nodes and branches are in different units.
        rows = 1.0 / np.abs(system).max(axis=1)
        columns = 1.0 / np.abs(system * rows[:, None]).max(axis=0)
        x = columns[:, None] * np.linalg.solve(system * rows[:, None] * columns, rows[:, None] * K)
        found.append(x[circuit.probe_nodes[:, 0]] / UNIT_NOISE_DENSITY)
    return np.array(found)


def by_ngspice(
    networks: dict[str, tuple[str, Circuit]], low: float, high: float, count: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Frequencies, and by name the transfer functions from every unit noise source, by ngspice from the cards.

    All networks stand side by side in one deck: starting ngspice is what takes time.
    """
    lines, elements = ["* networks"], []
    for number, (name, (text, circuit)) in enumerate(networks.items()):
        for card, *words in cards(text):
            kind, ends, controls = KINDS[card[0]]
            mine = [word if word == "0" else f"{word}_{number}" for word in words[: ends + controls]]
            if "noise" in words:
                lines.append(f"{card}_{number} {' '.join(mine)} dc 0 ac 0")
                elements.append((name, f"{card}_{number}", np.sqrt(float(words[-1]))))
                continue
            lines.append(" ".join([f"{card}_{number}", *mine, words[-1]]))
            if kind is Resistor and circuit.temperature > 0:
                lines.append(f"it{card}_{number} {' '.join(mine)} dc 0 ac 0")
                density = 4 * BOLTZMANN * circuit.temperature / float(words[-1])
                elements.append((name, f"it{card}_{number}", np.sqrt(density)))
    probes = {
        name: [f"{probe}_{number}" for probe in circuit.probes]
        for number, (name, (_, circuit)) in enumerate(networks.items())
    }
    steps = [
        Step(
            (f"alter {element} acmag=1", f"ac dec {count} {low!r} {high!r}", f"alter {element} acmag=0"),
            "ac",
            ("frequency", *probes[name]),
        )
        for name, element, _ in elements
    ]
    found = run_ngspice("\n".join([*lines, ".options noopac", ".end", ""]), steps, time_limit=60)
    frequencies = found[0]["frequency"].real
    columns: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    for (name, _, amplitude), sweep in zip(elements, found, strict=True):
        sight = np.stack([sweep[probe] for probe in probes[name]], axis=1)
        columns[name].append(sight * amplitude / UNIT_NOISE_DENSITY)
    return frequencies, {name: np.stack(column, axis=2) for name, column in columns.items()}


def noise_by_ngspice(
    networks: dict[str, tuple[str, Circuit]], low: float, high: float, count: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name: frequencies, and the one-sided density (V^2/Hz) of the resistors' noise at the only probe."""
    lines, steps = ["* networks", "vref ref_0 0 dc 0 ac 1", "rref ref_0 0 1"], []
    for number, (text, circuit) in enumerate(networks.values()):
        for card, *words in cards(text):
            _, ends, controls = KINDS[card[0]]
            mine = [word if word == "0" else f"{word}_{number}" for word in words[: ends + controls]]
            lines.append(" ".join([f"{card}_{number}", *mine, words[-1]]))
        steps.append(Step((f"noise v({circuit.probes[0]}_{number}) vref dec {count} {low!r} {high!r}",), "noise"))
        celsius = circuit.temperature - 273.15
    lines += [f".options noopac temp={celsius!r}", ".end", ""]
    found = run_ngspice("\n".join(lines), steps, time_limit=60)
    return {
        name: (sweep["frequency"].real, sweep["onoise_spectrum"].real ** 2)
        for name, sweep in zip(networks, found, strict=True)
    }
