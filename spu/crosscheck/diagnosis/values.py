"""Changes of values: every parameter of every instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.circuit import variations as mutations
from spu.circuit.circuit import Circuit
from spu.circuit.elements import NoiseCurrent
from spu.crosscheck.diagnosis.changes import Parameter
from spu.crosscheck.diagnosis.judge import STARTS, Candidate, Judge, columns
from spu.crosscheck.diagnosis.perturbation import LocalStamps, Perturbations, System

# --- values ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Family(Parameter):
    """A parameter, and what its changes do to the linear equations; those of law ``general`` are stamped anew."""

    system: System
    direction: Perturbations

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
                twice = stamped(present + 2 * reference) - here
                if np.abs(twice.K - 2.0 * once.K).max() < 1e-9 * moved[3]:  # an amplitude, of either sign
                    law = "linear"
                else:
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
            yield Family(equations.circuit, group, name, law, reference, equations, equations.place(group, every, once))


def other_values(judge: Judge) -> list[Candidate]:
    """Another value of one parameter of one instance; it may turn out missing, shorted, inverted or doubled."""
    found = []
    circuit = judge.system.circuit
    for family in families(judge.system):
        names = circuit.instances[family.group].names
        rows, t, residual = judge.fitted(family.changes, len(names), family.low, STARTS)
        for row, change, left in zip(rows.tolist(), t.tolist(), residual.tolist(), strict=True):
            if change != 0:
                found.append(Candidate.of(family.changed(row, change), left))
    return found


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
    """(m,) whether one value of one instance sets a source's gain and nothing else: it is among the values."""
    found = np.zeros(len(circuit.sources), dtype=int)
    for instances in circuit.instances:
        template = instances.subcircuit
        for element in template.elements:
            if isinstance(element, NoiseCurrent) and element.noise_port is not None:
                np.add.at(found, instances.nodes[:, template.ports.index(element.noise_port)], 1)
    return found == 1
