"""Changes of the wiring: instances missing, doubled, swapped, reconnected, added."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.circuit import variations as mutations
from spu.circuit.elements import Capacitor, Inductor, Resistor
from spu.crosscheck.diagnosis import changes
from spu.crosscheck.diagnosis.judge import Candidate, Judge, columns, smallest, solved
from spu.crosscheck.diagnosis.perturbation import Perturbations, both, compact

# --- whole instances -------------------------------------------------------------------------


def multiplied(judge: Judge) -> list[Candidate]:
    """An instance missing, or there twice (or any number of times: a multiplier)."""
    found = []
    circuit, equations = judge.system.circuit, judge.system
    nodes = len(circuit.node_names())
    for group, instances in enumerate(circuit.instances):
        if len(instances.parameters) < 2:
            continue  # what a value says, too
        rows = np.arange(len(instances.names))
        whole = equations.place(group, rows, equations.present(group, rows))
        # The equations of branches stay as they are; as much more of their currents reaches the nodes.
        branches = (whole.unknowns >= nodes) & (whole.unknowns < len(equations.E))
        whole = replace(
            whole,
            E=np.where(branches[:, :, None], 0.0, whole.E),
            F=np.where(branches[:, :, None], 0.0, whole.F),
            K=np.where(branches[:, :, None], 0.0, whole.K),
            s=np.where(branches, 0.0, whole.s),
        )
        chosen, t, residual = judge.fitted(partial(_scaled, compact(whole)), len(rows), -1.0, (-1.0, 1.0))
        for row, change, left in zip(chosen.tolist(), t.tolist(), residual.tolist(), strict=True):
            if change == 0:
                continue
            # Its resistors' noise is no longer what their own transfer functions give.
            densities = np.ones(len(circuit.sources))
            densities[instances.nodes[row, mutations.noise_ports(instances.subcircuit)]] = np.nan
            if abs(change + 1) < 1e-3:
                found.append(Candidate.of(changes.missing(circuit, group, row), left, densities))
                continue
            found.append(
                Candidate(
                    instances.names[row],
                    "doubled" if abs(change - 1) < 1e-3 else "multiplied",
                    1.0,
                    1.0 + change,
                    left,
                    partial(equations.perturbed, whole.take(np.array([row])).scaled(np.array([change]))),
                    densities=densities,
                )
            )
    return found


def swapped(judge: Judge) -> list[Candidate]:
    """Two instances of one subcircuit with one value, or all, exchanged."""
    found = []
    circuit, equations = judge.system.circuit, judge.system
    for group, instances in enumerate(circuit.instances):
        a, b = np.triu_indices(len(instances.names), 1)
        if not len(a):
            continue
        choices = [[name] for name in instances.parameters]
        if len(choices) > 1:
            choices.append(list(instances.parameters))
        for names in choices:
            differ = np.any([instances.parameters[name][a] != instances.parameters[name][b] for name in names], axis=0)
            first, second = a[differ], b[differ]
            if not len(first):
                continue
            exchanged = both(
                *(
                    compact(
                        equations.place(
                            group,
                            mine,
                            equations.stamped(group, mine, {name: instances.parameters[name][theirs] for name in names})
                            - equations.present(group, mine),
                        )
                    )
                    for mine, theirs in ((first, second), (second, first))
                )
            )
            chosen, residual = judge.finalists(exchanged)
            for k, left in zip(chosen.tolist(), residual.tolist(), strict=True):
                pair = (int(first[k]), int(second[k]))
                found.append(Candidate.of(changes.swapped(circuit, group, pair, names), left))
    return found


def reconnected(judge: Judge) -> list[Candidate]:
    """One end of an instance on another node."""
    found = []
    circuit, equations = judge.system.circuit, judge.system
    nodes = [*range(len(circuit.nodes)), GROUND]
    size = len(equations.E)
    for group, instances in enumerate(circuit.instances):
        rows, places = np.arange(len(instances.names)), np.array([size if node == GROUND else node for node in nodes])
        for number, port in enumerate(mutations.electrical_ports(instances.subcircuit)):
            row, place = (array.ravel() for array in np.meshgrid(rows, places, indexing="ij"))
            other = np.delete(equations.unknowns[group], number, axis=1)[row]
            keep = (equations.unknowns[group][row, number] != place) & ~(other == place[:, None]).any(axis=1)
            row, place = row[keep], place[keep]
            if not len(row):
                continue
            here = equations.present(group, row)
            there = compact(equations.place(group, row, here))
            unknowns = equations.unknowns[group][row].copy()
            unknowns[:, number] = place
            moved = Perturbations(unknowns, equations.sources[group][row], here.E, here.F, here.K, here.s)
            chosen, residual = judge.finalists(both(there.scaled(np.full(len(row), -1.0)), compact(moved)))
            for k, left in zip(chosen.tolist(), residual.tolist(), strict=True):
                target = GROUND if place[k] == size else int(place[k])
                found.append(Candidate.of(changes.moved(circuit, group, int(row[k]), port, target), left))
    return found


def coupled(judge: Judge) -> list[Candidate]:
    """A mutual inductance between two inductors."""
    circuit, equations = judge.system.circuit, judge.system
    branch, inductance, names = [], [], []
    nodes = len(circuit.node_names())
    for group, instances in enumerate(circuit.instances):
        inductors = [element for element in instances.subcircuit.elements if isinstance(element, Inductor)]
        unknowns = equations.unknowns[group]
        own = [k for k in range(unknowns.shape[1]) if nodes <= unknowns[0, k] < len(equations.E)]
        if len(own) != len(inductors):
            continue  # other elements have branches, too
        for element, k in zip(inductors, own, strict=True):
            branch += unknowns[:, k].tolist()
            inductance += instances.parameters[element.value].tolist()
            names += [f"{element.name} of {name}" for name in instances.names]
    a, b = np.triu_indices(len(branch), 1)
    if not len(a):
        return []
    values = np.array(inductance)
    E = np.zeros((len(a), 2, 2))
    E[:, 0, 1] = E[:, 1, 0] = np.sqrt(values[a] * values[b])
    inserted = Perturbations(
        np.array(branch)[np.stack([a, b], axis=1)],
        np.zeros((len(a), 0), dtype=np.int64),
        E,
        np.zeros_like(E),
        np.zeros((len(a), 2, 0)),
        np.zeros((len(a), 2)),
    )
    rows, t, residual = judge.fitted(partial(_scaled, inserted), len(a), -0.999, (-0.5, 0.5))
    return [
        Candidate(
            f"a coupling of {names[a[row]]} with {names[b[row]]}",
            "added",
            None,
            k,
            left,
            partial(equations.perturbed, inserted.take(np.array([row])).scaled(np.array([k]))),
        )
        for row, k, left in zip(rows.tolist(), t.tolist(), residual.tolist(), strict=True)
        if k != 0
    ]


def _scaled(inserted: Perturbations, rows: IntArray, t: FloatArray) -> Perturbations:
    return inserted.take(rows).scaled(t)


def added(judge: Judge) -> list[Candidate]:
    """A resistor, capacitor or inductor that should not be there, between two nodes or a node and ground."""
    found: list[Candidate] = []
    circuit, equations = judge.system.circuit, judge.system
    count, size = len(circuit.nodes), len(equations.E)
    a, b = np.triu_indices(count + 1, 1)
    b, grounded = np.where(b == count, size, b), b == count
    unknowns = np.stack([a, b], axis=1)
    pattern = np.broadcast_to(np.array([[1.0, -1.0], [-1.0, 1.0]]), (len(a), 2, 2))
    nothing = np.zeros((len(a), 2, 2))
    # A change of one carries as much current as the nodes' own impedance does, somewhere in the sweep.
    scene = judge.coarse[0]
    middle = len(scene.points) // 2
    Z = scene.Z[middle]
    size_of = np.abs(Z[a, a] + Z[b, b] - Z[a, b] - Z[b, a])
    admittance = 1.0 / np.where(size_of > 0, size_of, np.inf)
    rate = float(np.abs(scene.points[middle])) or 1.0
    for element, reference in (
        (Resistor, admittance),
        (Capacitor, admittance / rate),
        (Inductor, admittance * rate),
    ):
        if element is not Resistor and scene.at_dc:
            continue
        unit = pattern * reference[:, None, None]
        inserted = Perturbations(
            unknowns,
            np.zeros((len(a), 0), dtype=np.int64),
            unit if element is Capacitor else nothing,
            -unit if element is Resistor else nothing,
            np.zeros((len(a), 2, 0)),
            np.zeros((len(a), 2)),
            unit if element is Inductor else None,
        )
        rows, t, residual = judge.fitted(partial(_scaled, inserted), len(a), 0.0, (0.1, 1.0, 10.0, 1e4))
        for row, change, left in zip(rows.tolist(), t.tolist(), residual.tolist(), strict=True):
            if not change > 0:
                continue
            value = change * float(reference[row])
            value = value if element is Capacitor else 1.0 / value
            ends = (int(a[row]), GROUND if grounded[row] else int(b[row]))
            places = [changes.node_words(circuit, end) for end in ends]
            found.append(
                Candidate(
                    f"a {element.__name__.lower()} from {places[0]} to {places[1]}",
                    "added",
                    None,
                    value,
                    left,
                    partial(solved, mutations.with_added, circuit, element, ends, value),
                )
            )
    return found


def rewired(judge: Judge) -> list[Candidate]:
    """A noise port on another source, and two sources exchanged."""
    evidence = judge.evidence
    if evidence.sweep is None or evidence.sweep.expected.shape[2] < 2:
        return []
    circuit = judge.system.circuit
    seen, gram, weight = columns(evidence)
    own, size = np.diag(seen), np.diag(gram)
    # Source k is heard no more, and what heard it hears source l besides what l drove already.
    moved = (2 * weight * own + weight**2 * size)[:, None] - 2 * weight * seen + weight**2 * size[:, None]
    apart = size[:, None] + size - 2 * gram
    half = -2 * weight[:, None] * (seen.T - own[:, None]) + weight[:, None] ** 2 * apart
    exchanged = half + half.T
    names = [source.name for source in circuit.sources]
    thermal = np.array([source.thermal for source in circuit.sources])
    users: dict[int, list[tuple[int, int, int]]] = {}
    for group, instances in enumerate(circuit.instances):
        for port in mutations.noise_ports(instances.subcircuit):
            for row, source in enumerate(instances.nodes[:, port].tolist()):
                users.setdefault(source, []).append((group, row, port))
    found = []

    def unknown(*sources: int) -> FloatArray:
        """Densities: .noise hears a resistor where it is, .ac its source where that is."""
        here = np.isin(np.arange(len(names)), sources) & thermal
        return np.where(here, np.nan, 1.0)

    found += _retapped(judge, users)
    np.fill_diagonal(moved, np.inf)
    exchanged[np.tril_indices(len(names))] = np.inf
    for k, other in smallest(moved):
        if len(users.get(k, [])) == 1:
            left = evidence.total + float(moved[k, other]) + evidence.unexplained(unknown(k, other)) - evidence.quiet
            found.append(Candidate.of(changes.rewired(circuit, *users[k][0], other), left, unknown(k, other)))
    for k, other in smallest(exchanged):
        left = evidence.total + float(exchanged[k, other]) + evidence.unexplained(unknown(k, other)) - evidence.quiet
        found.append(Candidate.of(changes.sources_swapped(circuit, k, other), left, unknown(k, other)))
    return found


def _retapped(judge: Judge, users: dict[int, list[tuple[int, int, int]]]) -> list[Candidate]:
    """One of several instances that hear a source, on another source."""
    circuit, equations, found = judge.system.circuit, judge.system, []
    count = len(circuit.sources)
    taps = [(*user, source) for source, several in users.items() if len(several) > 1 for user in several]
    for group, port in sorted({(group, port) for group, _, port, _ in taps}):
        mine = [(row, source) for other, row, at, source in taps if (other, at) == (group, port)]
        row, place = (array.ravel() for array in np.meshgrid([row for row, _ in mine], np.arange(count), indexing="ij"))
        apart = np.repeat([source for _, source in mine], count) != place
        row, place = row[apart], place[apart]
        here = equations.place(group, row, equations.present(group, row))
        sources = here.sources.copy()
        sources[:, mutations.noise_ports(circuit.instances[group].subcircuit).index(port)] = place
        there = compact(replace(here, sources=sources))
        chosen, residual = judge.finalists(both(compact(here).scaled(np.full(len(row), -1.0)), there))
        for k, left in zip(chosen.tolist(), residual.tolist(), strict=True):
            found.append(Candidate.of(changes.rewired(circuit, group, int(row[k]), port, int(place[k])), left))
    return found


def probes(judge: Judge) -> list[Candidate]:
    """Two nodes that are read out exchanged."""
    evidence = judge.evidence
    circuit = judge.system.circuit
    count = len(circuit.probes)
    change = np.zeros((count, count))
    for scene in evidence.scenes:
        scale = scene.weights[0] / scene.weights[0, 0]
        weight = scene.weights[:, 0]
        own = np.moveaxis(scene.expected * scale, 1, 0).reshape(count, -1)
        difference = np.moveaxis(scene.difference, 1, 0).reshape(count, -1)
        seen, gram = (own.conj() @ difference.T).real, (own.conj() @ own.T).real
        size = np.diag(gram)
        half = -2 * weight[:, None] * (seen.T - np.diag(seen)[:, None])
        half += weight[:, None] ** 2 * (size[:, None] + size - 2 * gram)
        change += half + half.T
    change[np.tril_indices(count)] = np.inf
    return [
        Candidate.of(changes.probes_swapped(circuit, a, b), evidence.total + float(change[a, b]))
        for a, b in smallest(change)
    ]
