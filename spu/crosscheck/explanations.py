"""Every single change of a circuit that might explain a measurement, each fitted and ranked.

Perturbations of a value have one unknown, found by Gauss and Newton's method from several starts; the others have none.
Thousands are first judged at a few frequencies (`_SCREEN`), the best of each kind then at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.circuit import Circuit
from spu.constants import GROUND
from spu.crosscheck import mutations
from spu.crosscheck.perturbation import LocalStamps, Perturbations, Scene, System, both, compact, system
from spu.elements import Capacitor, Element, Inductor, NoiseCurrent, Resistor
from spu.spice.netlist import cell_node

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SCREEN = 6
"""Frequencies of the first judgement."""

_FINALISTS = 12
"""Of each kind, judged at all frequencies."""

_STARTS = (-1.0, -2.0, -0.5, -0.35, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.35, 1.0, 9.0, 1e3, 1e9)
"""Relative changes tried first: missing, inverted, far away (open or shorted); and steps on the way, as a resonance
that moved by more than its width is not found from where it was."""

_COARSE, _ITERATIONS = 4, 12
"""Steps of the method: at the first judgement, and at the second."""

_PASSIVE = (Resistor, Capacitor, Inductor)
"""Elements whose value is not negative."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A single change, and what it leaves of the difference.

    Attributes
    ----------
    element:
        What is changed, in the words of the netlist.
    kind:
        ``value``, ``missing``, ``shorted``, ``doubled``, ``multiplied``, ``sign``, ``swapped``, ``moved``, ``rewired``
        or ``added``.
    before, after:
        Value (SI) or node, in the circuit and in what was measured; None where there is none.
    residual:
        What is left of the sum of squared differences, each in units of what is allowed.
    equations:
        Makes those of the changed circuit.
    gains, densities:
        (m,) factors of the transfer functions from each noise source, and of its density.
    """

    element: str
    kind: str
    before: float | str | None
    after: float | str | None
    residual: float
    equations: Callable[[], System]
    gains: FloatArray | float = 1.0
    densities: FloatArray | float = 1.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of a circuit.

    Attributes
    ----------
    system:
        Its equations.
    sweep, rest:
        Scenes of the transfer functions and of the operating point, where they were measured.
    density:
        (m,) relative deviation of each source's density, in units of what is allowed.
    allowed:
        That unit.
    """

    system: System
    sweep: Scene | None
    rest: Scene | None
    inputs: FloatArray
    outputs: FloatArray
    density: FloatArray
    allowed: float

    @property
    def scenes(self) -> list[Scene]:
        """Those that there are."""
        return [scene for scene in (self.sweep, self.rest) if scene is not None]

    @property
    def quiet(self) -> float:
        """What the densities contribute, which no change of the circuit explains."""
        return float((self.density**2).sum())

    def unexplained(self, factors: FloatArray | float) -> float:
        """What densities contribute that should differ by factors, (m,); those that are not a number are unknown."""
        return float((self.density_left(factors) ** 2).sum())

    def density_left(self, factors: FloatArray | float) -> FloatArray:
        """(m,) deviations then, in units of what is allowed."""
        left = ((1.0 + self.density * self.allowed) / factors - 1.0) / self.allowed
        return np.where(np.isfinite(left), left, 0.0)

    @property
    def total(self) -> float:
        """The sum of squares that is to be explained."""
        return sum(scene.total for scene in self.scenes) + self.quiet


def _solved(mutate: Callable[..., Circuit], *arguments: Any) -> System:
    """The equations of a mutated circuit."""
    return system(mutate(*arguments))


def candidates(evidence: Evidence) -> list[Candidate]:
    """All single changes but those of a whole subcircuit definition, best first."""
    found: list[Candidate] = []
    for make in (_values, _instances, _swapped, _moved, _added, _coupled, _gains_and_densities, _rewired, _probes):
        found += make(_Judge.of(evidence))
    return sorted(found, key=lambda candidate: candidate.residual)


@dataclass(frozen=True, eq=False)
class _Judge:
    """Evidence with a coarser view of it for the first judgement."""

    evidence: Evidence
    coarse: list[Scene] = field(default_factory=list)

    @classmethod
    def of(cls, evidence: Evidence) -> _Judge:
        coarse = []
        for scene in evidence.scenes:
            size = (np.abs(scene.difference) ** 2).sum(axis=(1, 2))
            # Spread over the sweep, and where there is most to explain.
            spread = np.linspace(0, len(size) - 1, min(_SCREEN // 2, len(size))).astype(int)
            loudest = np.argsort(-size)[: _SCREEN // 2]
            coarse.append(scene.narrowed(np.unique(np.concatenate([spread, loudest]))))
        return cls(evidence, coarse)

    @property
    def system(self) -> System:
        return self.evidence.system

    def finalists(self, changes: Perturbations) -> tuple[IntArray, FloatArray]:
        """The best of given changes, and what they leave, (k,) each."""
        if not len(changes):
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        first = _residual(self.coarse, changes)
        chosen = np.argsort(first)[:_FINALISTS]
        return chosen, _residual(self.evidence.scenes, changes.take(chosen)) + self.evidence.quiet

    def fitted(
        self, make: Callable[[IntArray, FloatArray], Perturbations], count: int, low: float, starts: tuple[float, ...]
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """The best of changes with one unknown each: which, the unknown, and what they leave.

        Parameters
        ----------
        make:
            Perturbations for some rows and a value of the unknown in each; none at zero.
        low:
            Least value of the unknown.
        starts:
            Values tried first.
        """
        rows = np.arange(count)
        at = np.zeros(count)
        slope, curvature = _step(self.coarse, make, rows, at)
        linear = np.maximum(slope / np.where(curvature > 0, curvature, np.inf), low)
        guesses = np.stack([at, linear, *(np.full(count, start) for start in starts if start >= low)])
        left = np.stack([_residual(self.coarse, make(rows, guess)) for guess in guesses])
        best = np.argmin(left, axis=0)
        at, residual = guesses[best, rows], left[best, rows]
        at, residual = _refined(self.coarse, make, rows, at, residual, low, _COARSE)
        chosen = np.argsort(residual)[:_FINALISTS]
        scenes = self.evidence.scenes
        at = at[chosen]
        at, residual = _refined(scenes, make, chosen, at, _residual(scenes, make(chosen, at)), low, _ITERATIONS)
        return chosen, at, residual + self.evidence.quiet


def _residual(scenes: list[Scene], changes: Perturbations) -> FloatArray:
    return np.sum([scene.residual(changes) for scene in scenes], axis=0)


def _step(
    scenes: list[Scene], make: Callable[[IntArray, FloatArray], Perturbations], rows: IntArray, at: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Slope and curvature of what is left (Gauss and Newton), per unit of the unknown."""
    move = 1e-5 * np.maximum(1.0, np.abs(at))
    here, nearby = make(rows, at), make(rows, at + move)
    slope, curvature = np.sum([scene.step(here, nearby) for scene in scenes], axis=0)
    return slope / move, curvature / move**2


def _refined(
    scenes: list[Scene],
    make: Callable[[IntArray, FloatArray], Perturbations],
    rows: IntArray,
    at: FloatArray,
    residual: FloatArray,
    low: float,
    iterations: int,
) -> tuple[FloatArray, FloatArray]:
    at, residual = at.copy(), residual.copy()
    share = np.ones(len(at))
    for _ in range(iterations):
        slope, curvature = _step(scenes, make, rows, at)
        trial = np.maximum(at + share * slope / np.where(curvature > 0, curvature, np.inf), low)
        found = _residual(scenes, make(rows, trial))
        better = found < residual
        small = (found >= residual * (1.0 - 1e-6))[better].all()
        at[better], residual[better] = trial[better], found[better]
        share = np.where(better, 1.0, share / 4)
        if small and (share < 0.1)[~better].all():
            break
    return at, residual


# --- values ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Family:
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
        template = self.system.circuit.instances[self.group].subcircuit
        return [element for element in template.elements if element.value == self.name]

    @property
    def present(self) -> FloatArray:
        return self.system.circuit.instances[self.group].parameters[self.name]

    @property
    def low(self) -> float:
        """Least change."""
        return -1.0 if any(isinstance(element, _PASSIVE) for element in self.elements) else -np.inf

    def value(self, rows: IntArray, t: FloatArray) -> FloatArray:
        present, reference = self.present[rows], self.reference[rows]
        if self.law == "reciprocal":
            with np.errstate(divide="ignore"):
                return np.asarray(present / (1.0 + t))
        if self.law == "amplitude":
            return np.asarray((np.sqrt(present) + t * np.sqrt(reference)) ** 2)
        return np.asarray(present + t * reference)

    def changes(self, rows: IntArray, t: FloatArray) -> Perturbations:
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


def _families(equations: System) -> Iterator[_Family]:
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
            yield _Family(equations, group, name, law, reference, equations.place(group, every, once))


def _values(judge: _Judge) -> list[Candidate]:
    """Another value of one parameter of one instance; it may turn out missing, shorted, inverted or doubled."""
    found = []
    circuit = judge.system.circuit
    for family in _families(judge.system):
        names = circuit.instances[family.group].names
        rows, t, residual = judge.fitted(family.changes, len(names), family.low, _STARTS)
        after = family.value(rows, t)
        for row, change, value, left in zip(rows.tolist(), t.tolist(), after.tolist(), residual.tolist(), strict=True):
            before = float(family.present[row])
            if change == 0:
                continue
            kind, value = _kind(family, before, value, change)
            found.append(
                Candidate(
                    f"{_local(family)} of {names[row]}",
                    kind,
                    before,
                    value,
                    left,
                    _revalued(circuit, family, row, value, kind),
                )
            )
    return found


def _local(family: _Family) -> str:
    return ", ".join(element.name for element in family.elements)


def _kind(family: _Family, before: float, after: float, change: float) -> tuple[str, float | None]:
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


def _revalued(circuit: Circuit, family: _Family, row: int, after: float | None, kind: str) -> Callable[[], System]:
    group, name = family.group, family.name
    before = float(family.present[row])
    if family.law == "amplitude" and kind == "sign":
        return partial(_solved, mutations.with_noise_reversed, circuit, group, row, name)
    value = 1e12 * before if after is None else after
    if kind == "shorted" and value == 0:
        value = 1e-12 * before
    return partial(_solved, mutations.with_values, circuit, group, [row], {name: value})


# --- whole instances -------------------------------------------------------------------------


def _instances(judge: _Judge) -> list[Candidate]:
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
            missing = abs(change + 1) < 1e-3
            found.append(
                Candidate(
                    instances.names[row],
                    "missing" if missing else "doubled" if abs(change - 1) < 1e-3 else "multiplied",
                    None if missing else 1.0,
                    None if missing else 1.0 + change,
                    left,
                    partial(_solved, mutations.without, circuit, group, row)
                    if missing
                    else partial(equations.perturbed, whole.take(np.array([row])).scaled(np.array([change]))),
                    densities=densities,
                )
            )
    return found


def _swapped(judge: _Judge) -> list[Candidate]:
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
            changes = both(
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
            chosen, residual = judge.finalists(changes)
            elements = [element.name for element in instances.subcircuit.elements if element.value in names]
            for k, left in zip(chosen.tolist(), residual.tolist(), strict=True):
                pair = (int(first[k]), int(second[k]))
                before, after = instances.names[pair[0]], instances.names[pair[1]]
                what = f"{elements[0]} of {before} and {after}" if len(names) == 1 else f"{before} and {after}"
                values = [float(instances.parameters[names[0]][row]) for row in pair]
                found.append(
                    Candidate(
                        what,
                        "swapped",
                        values[0] if len(names) == 1 else None,
                        values[1] if len(names) == 1 else None,
                        left,
                        partial(_solved, mutations.with_swapped, circuit, group, pair, names),
                    )
                )
    return found


def _moved(judge: _Judge) -> list[Candidate]:
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
                source = int(instances.nodes[row[k], port])
                found.append(
                    Candidate(
                        instances.names[int(row[k])],
                        "moved",
                        _node(circuit, source),
                        _node(circuit, target),
                        left,
                        partial(_solved, mutations.with_port, circuit, group, int(row[k]), port, target),
                    )
                )
    return found


def _coupled(judge: _Judge) -> list[Candidate]:
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
    changes = Perturbations(
        np.array(branch)[np.stack([a, b], axis=1)],
        np.zeros((len(a), 0), dtype=np.int64),
        E,
        np.zeros_like(E),
        np.zeros((len(a), 2, 0)),
        np.zeros((len(a), 2)),
    )
    rows, t, residual = judge.fitted(partial(_scaled, changes), len(a), -0.999, (-0.5, 0.5))
    return [
        Candidate(
            f"a coupling of {names[a[row]]} with {names[b[row]]}",
            "added",
            None,
            k,
            left,
            partial(equations.perturbed, changes.take(np.array([row])).scaled(np.array([k]))),
        )
        for row, k, left in zip(rows.tolist(), t.tolist(), residual.tolist(), strict=True)
        if k != 0
    ]


def _scaled(changes: Perturbations, rows: IntArray, t: FloatArray) -> Perturbations:
    return changes.take(rows).scaled(t)


def _node(circuit: Circuit, node: int) -> str:
    return "0" if node == GROUND else cell_node(circuit.nodes[node])


def _added(judge: _Judge) -> list[Candidate]:
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
        changes = Perturbations(
            unknowns,
            np.zeros((len(a), 0), dtype=np.int64),
            unit if element is Capacitor else nothing,
            -unit if element is Resistor else nothing,
            np.zeros((len(a), 2, 0)),
            np.zeros((len(a), 2)),
            unit if element is Inductor else None,
        )
        rows, t, residual = judge.fitted(partial(_scaled, changes), len(a), 0.0, (0.1, 1.0, 10.0, 1e4))
        for row, change, left in zip(rows.tolist(), t.tolist(), residual.tolist(), strict=True):
            if not change > 0:
                continue
            value = change * float(reference[row])
            value = value if element is Capacitor else 1.0 / value
            ends = (int(a[row]), GROUND if grounded[row] else int(b[row]))
            found.append(
                Candidate(
                    f"a {element.__name__.lower()} from {_node(circuit, ends[0])} to {_node(circuit, ends[1])}",
                    "added",
                    None,
                    value,
                    left,
                    partial(_solved, mutations.with_added, circuit, element, ends, value),
                )
            )
    return found


# --- noise sources, probes -------------------------------------------------------------------


def _columns(evidence: Evidence) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Inner products of the transfer functions from each source: with differences, with each other; and weights."""
    scene = evidence.sweep
    assert scene is not None
    count = scene.expected.shape[2]
    own = (scene.expected * evidence.outputs[:, None]).reshape(-1, count)
    return (own.conj().T @ scene.difference.reshape(-1, count)).real, (own.conj().T @ own).real, evidence.inputs


def _gains_and_densities(judge: _Judge) -> list[Candidate]:
    """One source, or all of a kind, heard by another factor, or with another density."""
    evidence = judge.evidence
    if evidence.sweep is None:
        return []
    circuit = judge.system.circuit
    seen, gram, weight = _columns(evidence)
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


def _rewired(judge: _Judge) -> list[Candidate]:
    """A noise port on another source, and two sources exchanged."""
    evidence = judge.evidence
    if evidence.sweep is None or evidence.sweep.expected.shape[2] < 2:
        return []
    circuit = judge.system.circuit
    seen, gram, weight = _columns(evidence)
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

    np.fill_diagonal(moved, np.inf)
    exchanged[np.tril_indices(len(names))] = np.inf
    for k, other in _best(moved):
        if len(users.get(k, [])) == 1:
            group, row, port = users[k][0]
            found.append(
                Candidate(
                    f"noise port {circuit.instances[group].subcircuit.ports[port]} of "
                    f"{circuit.instances[group].names[row]}",
                    "rewired",
                    names[k],
                    names[other],
                    evidence.total + float(moved[k, other]) + evidence.unexplained(unknown(k, other)) - evidence.quiet,
                    partial(_solved, mutations.with_port, circuit, group, row, port, other),
                    densities=unknown(k, other),
                )
            )
    for k, other in _best(exchanged):
        found.append(
            Candidate(
                f"noise sources {names[k]} and {names[other]}",
                "swapped",
                names[k],
                names[other],
                evidence.total + float(exchanged[k, other]) + evidence.unexplained(unknown(k, other)) - evidence.quiet,
                partial(_solved, mutations.with_sources_swapped, circuit, k, other),
                densities=unknown(k, other),
            )
        )
    return found


def _probes(judge: _Judge) -> list[Candidate]:
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
        Candidate(
            f"nodes {cell_node(circuit.probes[a])} and {cell_node(circuit.probes[b])}",
            "swapped",
            cell_node(circuit.probes[a]),
            cell_node(circuit.probes[b]),
            evidence.total + float(change[a, b]),
            partial(_solved, mutations.with_probes_swapped, circuit, a, b),
        )
        for a, b in _best(change)
    ]


def _best(table: FloatArray) -> list[tuple[int, int]]:
    """Places of the few smallest finite entries."""
    order = np.argsort(table, axis=None)[:_FINALISTS]
    places = [tuple(int(k) for k in np.unravel_index(int(flat), table.shape)) for flat in order]
    return [(a, b) for a, b in places if np.isfinite(table[a, b])]


# --- whole definitions -------------------------------------------------------------------------


def common(evidence: Evidence) -> list[Candidate]:
    """One parameter of a subcircuit definition by one factor in all instances: one edit of the netlist."""
    found: list[Candidate] = []
    judge = _Judge.of(evidence)
    circuit = judge.system.circuit
    for family in _families(judge.system):
        instances = circuit.instances[family.group]
        rows = np.arange(len(instances.names))
        if len(rows) < 2:
            continue

        def made(t: float, family: _Family = family, rows: IntArray = rows) -> Circuit:
            values = family.value(rows, np.full(len(rows), t))
            return mutations.with_values(circuit, family.group, rows, {family.name: values})

        def difference(t: float, made: Callable[[float], Circuit] = made) -> FloatArray:
            changed = system(made(t))
            parts = []
            for scene in judge.coarse:
                predicted = (
                    changed.operating_point()[None, :, None].astype(np.complex128)
                    if scene.at_dc
                    else changed.response(scene.points.imag / (2 * np.pi))
                )
                parts.append((scene.difference - (predicted - scene.expected) * scene.weights).ravel())
            joined = np.concatenate(parts)
            return np.concatenate([joined.real, joined.imag])

        try:
            signed = family.low == -np.inf
            starts = (0.0, -1.0, -2.0) if signed else (0.0, -1.0, 1e9)
            t, left, total = _along(difference, -np.inf if signed else 1e-9 - 1.0, starts)
        except np.linalg.LinAlgError:
            continue
        if not t or family.law == "amplitude":
            continue  # noise that all instances scale is among the gains
        found.append(
            Candidate(
                f"{_local(family)} in every {instances.subcircuit.name}",
                "sign" if abs(t + 2) < 1e-3 else "missing" if abs(t + 1) < 1e-3 or t > 1e5 else "value",
                1.0,
                None if t > 1e5 else float(1.0 / (1.0 + t) if family.law == "reciprocal" else 1.0 + t),
                left / total * (evidence.total - evidence.quiet) + evidence.quiet,
                partial(_solved, made, t),
            )
        )
    return sorted(found, key=lambda candidate: candidate.residual)


def _along(
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
        for _ in range(_ITERATIONS):
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
