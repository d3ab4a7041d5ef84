"""Single changes of a circuit, in the words of its netlist: what a diagnosis supposes, whatever the circuit's dynamics.

A change knows the changed circuit. How well that explains what was measured is for who judges it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.circuit import variations as mutations
from spu.circuit.circuit import Circuit
from spu.circuit.elements import Capacitor, Element, Inductor, Resistor
from spu.circuit.polynomial import CrossedInductor
from spu.spice.names import node_of, probed_nodes

PASSIVE = (Resistor, Capacitor, Inductor, CrossedInductor)
"""Elements whose value is not negative."""


@dataclass(frozen=True, eq=False)
class Change:
    """A single change.

    Attributes
    ----------
    element, kind, before, after:
        As `spu.crosscheck.result.Explanation` says them.
    circuit:
        Makes the changed circuit.
    """

    element: str
    kind: str
    before: float | str | None
    after: float | str | None
    circuit: Callable[[], Circuit]


# --- values ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter of one subcircuit over all its instances, by a relative change t.

    ``law`` says how the equations depend on the value v: ``linear`` (v + t ref), ``reciprocal`` (1/v times 1 + t),
    ``amplitude`` (sqrt(v) times 1 + t: noise densities) or ``general`` (as linear).
    """

    circuit: Circuit
    group: int
    name: str
    law: str
    reference: FloatArray

    @property
    def elements(self) -> list[Element]:
        """Elements of the template that have this value."""
        template = self.circuit.instances[self.group].subcircuit
        return [element for element in template.elements if self.name in element.parameters]

    @property
    def words(self) -> str:
        """Names of the elements that have the value; of one with several, that of the value."""
        return ", ".join(element.name if len(element.parameters) == 1 else self.name for element in self.elements)

    @property
    def present(self) -> FloatArray:
        """(k,) values of the instances."""
        return self.circuit.instances[self.group].parameters[self.name]

    @property
    def low(self) -> float:
        """Least change."""
        return -1.0 if any(isinstance(element, PASSIVE) for element in self.elements) else -np.inf

    def value(self, rows: IntArray, t: FloatArray) -> FloatArray:
        """(k,) values of instances ``rows`` after changes ``t`` (k,)."""
        present, reference = self.present[rows], self.reference[rows]
        if self.law == "reciprocal":
            with np.errstate(divide="ignore"):
                return np.asarray(present / (1.0 + t))
        if self.law == "amplitude":
            return np.asarray((np.sqrt(present) + t * np.sqrt(reference)) ** 2)
        return np.asarray(present + t * reference)

    def relative(self, row: int, value: float) -> float:
        """The change that makes a value out of an instance's own."""
        present, reference = float(self.present[row]), float(self.reference[row])
        if self.law == "reciprocal":
            return present / value - 1.0 if value else np.inf
        if self.law == "amplitude":
            return float((np.sqrt(value) - np.sqrt(present)) / np.sqrt(reference))
        return (value - present) / reference

    def changed(self, row: int, t: float) -> Change:
        """One instance's value after a change; it may turn out missing, shorted, inverted or doubled."""
        before = float(self.present[row])
        kind, after = self._kind(before, float(self.value(np.array([row]), np.array([t]))[0]), t)
        group, name = self.group, self.name
        if self.law == "amplitude" and kind == "sign":
            make = partial(mutations.with_noise_reversed, self.circuit, group, row, name)
        else:
            value = 1e12 * before if after is None else after
            if kind == "shorted" and value == 0:
                value = 1e-12 * before
            make = partial(mutations.with_values, self.circuit, group, [row], {name: value})
        return Change(f"{self.words} of {self.circuit.instances[group].names[row]}", kind, before, after, make)

    def _kind(self, before: float, after: float, change: float) -> tuple[str, float | None]:
        """Kind of change, and the value after it: None for what is open."""
        if before == 0:
            return "value", after
        ratio = after / before
        if self.law == "amplitude":
            if abs(change + 1) < 1e-3:
                return "missing", 0.0
            if abs(change + 2) < 1e-3:
                return "sign", before
            return ("doubled" if min(abs(ratio - 2), abs(ratio - 4)) < 1e-3 else "value"), after
        if self.low == -np.inf:
            if abs(ratio) < 1e-3:
                return "missing", 0.0
            return ("sign" if abs(ratio + 1) < 1e-3 else "value"), after
        if any(isinstance(element, Capacitor) for element in self.elements):
            return ("missing", 0.0) if ratio < 1e-4 else ("shorted", None) if ratio > 1e5 else ("value", after)
        return ("shorted", 0.0) if ratio < 1e-4 else ("missing", None) if ratio > 1e4 else ("value", after)


# --- wiring ---------------------------------------------------------------------------------


def missing(circuit: Circuit, group: int, row: int) -> Change:
    """An instance that is not there."""
    name = circuit.instances[group].names[row]
    return Change(name, "missing", None, None, partial(mutations.without, circuit, group, row))


def doubled(circuit: Circuit, group: int, row: int) -> Change:
    """An instance that is there twice."""
    name = circuit.instances[group].names[row]
    return Change(name, "doubled", 1.0, 2.0, partial(mutations.with_twice, circuit, group, row))


def opposite(parameter: Parameter, row: int) -> Change:
    """An element whose value has no sign that couples with the other one: see `spu.circuit.variations.opposite`."""
    circuit, group, value = parameter.circuit, parameter.group, float(parameter.present[row])
    make = partial(mutations.with_opposite, circuit, group, row, parameter.name)
    return Change(f"{parameter.words} of {circuit.instances[group].names[row]}", "sign", value, value, make)


def swapped(circuit: Circuit, group: int, pair: tuple[int, int], names: list[str]) -> Change:
    """Two instances of one subcircuit with one value, or all, exchanged."""
    instances = circuit.instances[group]
    elements = [element.name for element in instances.subcircuit.elements if element.value in names]
    before, after = instances.names[pair[0]], instances.names[pair[1]]
    one = len(names) == 1
    values = [float(instances.parameters[names[0]][row]) for row in pair]
    return Change(
        f"{elements[0] if elements else names[0]} of {before} and {after}" if one else f"{before} and {after}",
        "swapped",
        values[0] if one else None,
        values[1] if one else None,
        partial(mutations.with_swapped, circuit, group, pair, names),
    )


def moved(circuit: Circuit, group: int, row: int, port: int, target: int) -> Change:
    """One end of an instance on another node."""
    instances = circuit.instances[group]
    return Change(
        instances.names[row],
        "moved",
        node_words(circuit, int(instances.nodes[row, port])),
        node_words(circuit, target),
        partial(mutations.with_port, circuit, group, row, port, target),
    )


def rewired(circuit: Circuit, group: int, row: int, port: int, source: int) -> Change:
    """A noise port on another source."""
    instances = circuit.instances[group]
    return Change(
        f"noise port {instances.subcircuit.ports[port]} of {instances.names[row]}",
        "rewired",
        circuit.sources[int(instances.nodes[row, port])].name,
        circuit.sources[source].name,
        partial(mutations.with_port, circuit, group, row, port, source),
    )


def sources_swapped(circuit: Circuit, first: int, second: int) -> Change:
    """Two noise sources exchanged."""
    names = circuit.sources[first].name, circuit.sources[second].name
    return Change(
        f"noise sources {names[0]} and {names[1]}",
        "swapped",
        *names,
        partial(mutations.with_sources_swapped, circuit, first, second),
    )


def probes_swapped(circuit: Circuit, first: int, second: int) -> Change:
    """Two nodes that are read out exchanged."""
    names = probed_nodes(circuit)[first], probed_nodes(circuit)[second]
    return Change(
        f"nodes {names[0]} and {names[1]}",
        "swapped",
        *names,
        partial(mutations.with_probes_swapped, circuit, first, second),
    )


def node_words(circuit: Circuit, node: int) -> str:
    """A node as the netlist calls it."""
    return "0" if node == GROUND else node_of(circuit, circuit.nodes[node])


# --- one unknown ----------------------------------------------------------------------------

ITERATIONS = 12
"""Of Gauss and Newton's method, at most."""


def along(
    difference: Callable[[float], FloatArray], low: float, starts: tuple[float, ...]
) -> tuple[float, float, float]:
    """Gauss and Newton's method for one unknown from several starts: where, what it leaves, and of what (at 0)."""
    best: tuple[float, float] | None = None
    start = difference(0.0)
    total = float(start @ start)
    for first in starts:
        t = max(first, low)
        here = difference(t)
        left, share = float(here @ here), 1.0
        for _ in range(ITERATIONS):
            move = 1e-6 * max(1.0, abs(t))
            slope = (difference(t + move) - here) / move
            size = float(slope @ slope)
            if not size > 0 or share < 0.01:
                break
            trial = max(t - share * float(slope @ here) / size, low)
            there = difference(trial)
            if float(there @ there) < left:
                gained = left - float(there @ there)
                t, here, left, share = trial, there, float(there @ there), 1.0
                if gained < 1e-3 * left or left < 1e-18 * total:
                    break
            else:
                share /= 4
        if best is None or left < best[1]:
            best = (t, left)
    assert best is not None
    return best[0], best[1], total
