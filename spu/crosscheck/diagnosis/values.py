"""Changes of values: every parameter of every instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.circuit import variations as mutations
from spu.circuit.circuit import Circuit
from spu.circuit.elements import Capacitor, Element, NoiseCurrent
from spu.crosscheck.diagnosis.judge import PASSIVE, STARTS, Candidate, Judge, columns, solved
from spu.crosscheck.diagnosis.perturbation import LocalStamps, Perturbations, System

# --- values ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Family:
    """One parameter of one subcircuit over all its instances, by a relative change t.

    ``law`` says how the equations depend on the value v: ``linear`` (v + t ref), ``reciprocal`` (1/v times 1 + t),
    ``amplitude`` (sqrt(v) times 1 + t: noise densities) or ``general`` (as linear, stamped anew each time).
    """

    system: System
    group: int
    name: str
    law: str
    reference: FloatArray
    direction: Perturbations

    @property
    def elements(self) -> list[Element]:
        """Elements of the template that have this value."""
        template = self.system.circuit.instances[self.group].subcircuit
        return [element for element in template.elements if element.value == self.name]

    @property
    def present(self) -> FloatArray:
        """(k,) values of the instances."""
        return self.system.circuit.instances[self.group].parameters[self.name]

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

    def changes(self, rows: IntArray, t: FloatArray) -> Perturbations:
        """What these changes do to the equations."""
        touched = self.direction.touched()
        if self.law != "general":
            change = self.direction.take(rows)
            scaled = change.scaled(t)
            if self.law == "reciprocal":  # thermal noise goes with the root
                scaled = replace(scaled, K=change.K * (np.sqrt(1.0 + t) - 1.0)[:, None, None])
            return scaled.only(*touched)
        with np.errstate(divide="ignore"):
            stamps = self.system.stamped(self.group, rows, {self.name: self.value(rows, t)})
        return self.system.place(self.group, rows, stamps - self.system.present(self.group, rows)).only(*touched)


def families(equations: System) -> Iterator[Family]:
    """Every parameter of every group of instances, with the law by which its changes act."""
    for group, instances in enumerate(equations.circuit.instances):
        every = np.arange(len(instances.names))
        for name, present in instances.parameters.items():
            typical = float(np.abs(present).max(initial=0.0))
            if not typical > 0:
                continue
            reference = np.where(present != 0, present, typical)

            def stamped(
                values: FloatArray, group: int = group, every: IntArray = every, name: str = name
            ) -> LocalStamps:
                return equations.stamped(group, every, {name: values})

            here = equations.present(group, every)
            once = stamped(present + reference) - here
            moved = [float(np.abs(array).max(initial=0.0)) for array in (once.E, once.F, once.s, once.K)]
            if not any(moved):
                continue
            law = "general"
            if not any(moved[:3]):
                law = "amplitude"
                once = stamped((np.sqrt(present) + np.sqrt(reference)) ** 2) - here
            else:
                twice = stamped(present + 2 * reference) - here
                ratio = [
                    float(np.abs(b).max() / np.abs(a).max())
                    for a, b in ((once.E, twice.E), (once.F, twice.F), (once.s, twice.s))
                    if np.any(a)
                ]
                if not np.any(once.K) and all(abs(found - 2.0) < 1e-9 for found in ratio):
                    law = "linear"
                elif np.all(present > 0) and all(abs(found - 4.0 / 3.0) < 1e-9 for found in ratio):
                    law = "reciprocal"
                    noise = once.K / (np.sqrt(0.5) - 1.0)  # twice the resistance: half the rest
                    once = LocalStamps(-2.0 * once.E, -2.0 * once.F, noise, -2.0 * once.s)
            yield Family(equations, group, name, law, reference, equations.place(group, every, once))


def other_values(judge: Judge) -> list[Candidate]:
    """Another value of one parameter of one instance; it may turn out missing, shorted, inverted or doubled."""
    found = []
    circuit = judge.system.circuit
    for family in families(judge.system):
        names = circuit.instances[family.group].names
        rows, t, residual = judge.fitted(family.changes, len(names), family.low, STARTS)
        after = family.value(rows, t)
        for row, change, value, left in zip(rows.tolist(), t.tolist(), after.tolist(), residual.tolist(), strict=True):
            before = float(family.present[row])
            if change == 0:
                continue
            kind, value = _kind(family, before, value, change)
            found.append(
                Candidate(
                    f"{local(family)} of {names[row]}",
                    kind,
                    before,
                    value,
                    left,
                    _revalued(circuit, family, row, value, kind),
                )
            )
    return found


def local(family: Family) -> str:
    """Names of the elements that have the value."""
    return ", ".join(element.name for element in family.elements)


def _kind(family: Family, before: float, after: float, change: float) -> tuple[str, float | None]:
    """Kind of change, and the value after it: None for what is open."""
    if before == 0:
        return "value", after
    ratio = after / before
    if family.law == "amplitude":
        if abs(change + 1) < 1e-3:
            return "missing", 0.0
        if abs(change + 2) < 1e-3:
            return "sign", before
        return ("doubled" if min(abs(ratio - 2), abs(ratio - 4)) < 1e-3 else "value"), after
    if family.low == -np.inf:
        if abs(ratio) < 1e-3:
            return "missing", 0.0
        return ("sign" if abs(ratio + 1) < 1e-3 else "value"), after
    if any(isinstance(element, Capacitor) for element in family.elements):
        return ("missing", 0.0) if ratio < 1e-4 else ("shorted", None) if ratio > 1e5 else ("value", after)
    return ("shorted", 0.0) if ratio < 1e-4 else ("missing", None) if ratio > 1e4 else ("value", after)


def _revalued(circuit: Circuit, family: Family, row: int, after: float | None, kind: str) -> Callable[[], System]:
    group, name = family.group, family.name
    before = float(family.present[row])
    if family.law == "amplitude" and kind == "sign":
        return partial(solved, mutations.with_noise_reversed, circuit, group, row, name)
    value = 1e12 * before if after is None else after
    if kind == "shorted" and value == 0:
        value = 1e-12 * before
    return partial(solved, mutations.with_values, circuit, group, [row], {name: value})


def gains_and_densities(judge: Judge) -> list[Candidate]:
    """One source, or all of a kind, heard by another factor, or with another density."""
    evidence = judge.evidence
    if evidence.sweep is None:
        return []
    circuit = judge.system.circuit
    seen, gram, weight = columns(evidence)
    slope, curvature = weight * np.diag(seen), weight**2 * np.diag(gram)
    thermal = np.array([source.thermal for source in circuit.sources])
    every = np.ones(len(thermal), dtype=bool)
    sets = [("every injected noise source", ~thermal), ("every thermal noise source", thermal)]
    sets = [(name, members) for name, members in sets if members.sum() > 1 and not members.all()]
    sets += [("every noise source", every)] if len(every) > 1 else []
    single = [(f"noise source {source.name}", np.arange(len(every)) == k) for k, source in enumerate(circuit.sources)]
    adjustable = _adjustable(circuit)
    for group in circuit.instances:
        for port in mutations.noise_ports(group.subcircuit):
            members = np.isin(np.arange(len(every)), group.nodes[:, port])
            users = [e.name for e in group.subcircuit.elements if e.noise_port == group.subcircuit.ports[port]]
            if members.sum() > 1 and not any(np.array_equal(members, known) for _, known in sets):
                sets.append((f"{', '.join(users)} in every {group.subcircuit.name}", members))
    found = []
    for name, members in [*single, *sets]:
        change = float(slope[members].sum() / curvature[members].sum()) if curvature[members].sum() > 0 else 0.0
        if change and not (members.sum() == 1 and adjustable[members].all()):
            gain = 1.0 + change
            kind = "missing" if abs(gain) < 1e-3 else "sign" if abs(gain + 1) < 1e-3 else "value"
            left = evidence.total - 2 * change * slope[members].sum() + change**2 * curvature[members].sum()
            gains = np.where(members, gain, 1.0)
            # .noise hears the resistor itself, whatever its source in .ac and .tran does.
            with np.errstate(divide="ignore"):
                densities = np.where(members & thermal, 1.0 / np.square(gains), 1.0)
            densities = np.where(np.abs(gains) > 1e-6, densities, np.nan)
            left += evidence.unexplained(densities) - evidence.quiet
            found.append(
                Candidate(
                    f"gain of {name}",
                    kind,
                    1.0,
                    gain,
                    float(left),
                    lambda: judge.system,
                    gains=gains,
                    densities=densities,
                )
            )
        change = float(evidence.density[members].mean())
        if change:
            factor = 1.0 + change * evidence.allowed
            kind = "missing" if abs(factor) < 1e-3 else "doubled" if abs(factor - 2) < 1e-3 else "value"
            left = evidence.total - float(members.sum()) * change**2
            densities = np.where(members, factor, 1.0)
            found.append(
                Candidate(f"density of {name}", kind, 1.0, factor, left, lambda: judge.system, densities=densities)
            )
    return found


def _adjustable(circuit: Circuit) -> NDArray[np.bool_]:
    """(m,) whether a value of some instance sets a source's gain and nothing else: it is among the values."""
    found = np.zeros(len(circuit.sources), dtype=bool)
    for instances in circuit.instances:
        template = instances.subcircuit
        for element in template.elements:
            if isinstance(element, NoiseCurrent) and element.noise_port is not None:
                found[instances.nodes[:, template.ports.index(element.noise_port)]] = True
    return found
