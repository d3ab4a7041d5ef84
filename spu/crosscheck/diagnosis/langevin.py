"""Which single change of a circuit of nonlinear cells explains what was measured, and how well.

Two things are measured. A transfer curve (level ``op``) gives states of rest under known currents: how far Newton's
step goes from there is how wrong the force is. A path (``replay``) is what the same noise made of both.
Whatever changes in the circuit, the changed circuit's own equation is derived anew from its elements and asked for
both, so that a new element needs nothing here. Differences are in units of what their level allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.constants import GROUND
from spu.base.errors import CircuitError
from spu.circuit import variations as mutations
from spu.circuit.circuit import Circuit
from spu.circuit.elements import SharedNoiseCurrent
from spu.circuit.polynomial import PolynomialElement
from spu.crosscheck.context import Context, Curve, ReplayedPath
from spu.crosscheck.diagnosis import changes
from spu.crosscheck.diagnosis.changes import Change, Parameter
from spu.crosscheck.diagnosis.ranking import VERIFIED, ranked
from spu.crosscheck.levels import operating_point, replay
from spu.crosscheck.result import SHOWN, Diagnosis, Explanation
from spu.emulator.dynamics import LangevinDynamics
from spu.emulator.equations.langevin import Langevin, langevin
from spu.emulator.laws.langevin_response import respond
from spu.emulator.laws.rest import stable_step, steps_to_rest

CONVERGES = 3.0
"""A path is off by its distance from that of four times coarser steps over this, or less: an integrator is at least of
first order."""

MOST = 300
"""Instances, cells and couplers; with more each value would be tried for too long."""

STARTS = (-1.0, -2.0, -0.5, 1.0)
"""Relative changes tried first, after the linear step: missing, inverted, half, doubled."""

OPEN = 1e9
"""Relative change of a resistance or an inductance that makes it none."""

AS_PLAIN = 2.0
"""A value that is missing or inverted may leave so many times more than another one, and is the likelier."""

SCREENED = 64
"""Values that are tried, the others explain less by linear response."""

FINALISTS = 16
"""Values that are fitted."""

STEP = 1e-4
"""Relative change by which slopes are found."""

TOUCHED = 6
"""Cells that moved most, among which noise sources and nodes may be exchanged."""

PAIRS = 200
"""Exchanges of two instances that are judged by the equation; of more, the best by linear response."""

STIFFER = 50.0
"""Times stiffer than the circuit: a candidate whose path would take too many steps."""

AS_WELL = 10.0
"""What is left of a path is what the simulator's finite steps made of it, e. What another change cannot mend, d, lets
it look better than the right one only if ``|d| < 2 |e|``, and then it leaves less than ``9 |e|^2``."""

FLOOR = 0.05
"""Of what is allowed: what the simulator's finite steps leave of a difference."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of a circuit of n cells.

    Attributes
    ----------
    circuit, dynamics:
        The circuit as it should be.
    curves:
        By cell; none where there is no rest.
    paths:
        Under known noise.
    """

    circuit: Circuit
    dynamics: LangevinDynamics
    curves: Sequence[Curve]
    paths: Sequence[ReplayedPath]

    @cached_property
    def units(self) -> list[FloatArray]:
        """Of each path (p,) V: how far it may be from ours in all, by its level, and by the simulator's own steps."""
        found = []
        for path, own in zip(self.paths, self._paths(self.dynamics.equation), strict=True):
            norm = np.linalg.norm(own - own.mean(axis=0), axis=0)
            norm = np.maximum(norm, 1e-6 * norm.max(initial=0.0))
            allowed = np.where(norm > 0, norm, 1.0) * replay.TOLERANCES[self.dynamics.name]
            if path.coarser is not None:
                allowed = np.maximum(allowed, np.linalg.norm(path.voltages - path.coarser, axis=0) / CONVERGES)
            found.append(allowed)
        return found

    @cached_property
    def step(self) -> float:
        """The largest stable step of the circuit itself, s."""
        return stable_step(self.dynamics.equation.first_order, self.dynamics.size)

    def differences(self, circuit: Circuit) -> list[FloatArray] | None:
        """What a changed circuit leaves: ``(1, values)`` of each curve, ``(k, p)`` of each path.

        Nothing is wrong where no column has a norm of more than 1. None if it has no equation.
        """
        found: list[FloatArray] = []
        with np.errstate(all="ignore"):  # a guess far off may run away
            try:
                equation = langevin(circuit)
                if equation.n != self.dynamics.equation.n:
                    return None
                if self.curves:
                    found += self._curves(equation)
            except (CircuitError, np.linalg.LinAlgError):
                return None
            if self.paths:
                if not stable_step(equation.first_order, self.dynamics.size) * STIFFER > self.step:
                    return None
                for path, own, unit in zip(self.paths, self._paths(equation), self.units, strict=True):
                    found.append((path.voltages - own) / unit)
        return found if all(np.isfinite(each).all() for each in found) else None

    def _curves(self, equation: Langevin) -> Iterator[FloatArray]:
        size = self.dynamics.size
        for curve in self.curves:
            x: FloatArray = np.asarray(np.linalg.solve(equation.sense, curve.voltages.T).T, dtype=np.float64)
            cell = np.array(equation.names) == curve.cell
            driven = np.outer(curve.currents, equation.per_ampere * cell)
            field = equation.field + driven
            # Beyond a fold Newton's step says no more than that it is far.
            steps = np.clip(steps_to_rest(equation, x, field) / size, -1.0, 1.0)
            seen = np.abs(equation.sense).argmax(axis=1)  # by probe, as paths are
            yield steps[:, seen].reshape(1, -1) / operating_point.CURVE

    def _paths(self, equation: Langevin) -> Iterator[FloatArray]:
        for path in self.paths:
            own = respond(equation, path.waveform, path.interval, hold=False, size=self.dynamics.size)
            yield own[:: path.every] @ equation.sense.T

    @cached_property
    def untouched(self) -> FloatArray:
        """All differences of the circuit itself, one after another."""
        return self.flat(lambda: self.circuit)

    def flat(self, make: Callable[[], Circuit]) -> FloatArray:
        """All differences that a changed circuit leaves; infinite of one that has no equation."""
        found = self.differences(make())
        return np.full(1, np.inf) if found is None else np.concatenate([each.ravel() for each in found])

    @cached_property
    def total(self) -> float:
        """The sum of squares that is to be explained."""
        return float(self.untouched @ self.untouched)

    @cached_property
    def moved(self) -> FloatArray:
        """(p,) what of it each cell has."""
        found = np.zeros(len(self.circuit.probes))
        for each in self.differences(self.circuit) or []:
            found += (each.reshape(-1, len(found)) ** 2).sum(axis=0)
        return found

    def explained(self, change: Change) -> Explanation:
        """How well a change explains what was measured."""
        found = self.differences(change.circuit())
        left, worst = self.total, np.inf
        if found is not None:
            left = sum(float((each**2).sum()) for each in found)
            worst = max(float(np.linalg.norm(each, axis=0).max(initial=0.0)) for each in found)
        share = 1.0 - left / self.total if self.total > 0 else 0.0
        return Explanation(change.element, change.kind, change.before, change.after, share, worst)


def diagnose(context: Context) -> Diagnosis | None:
    """Explain what levels ``op`` and ``replay`` measured by a single change of the circuit.

    Returns
    -------
    None where nothing was measured, or nothing measured differs, or the circuit is too large (`MOST`).
    """
    return explain(context.circuit, context.langevin, context.curves, context.paths)


def explain(
    circuit: Circuit, dynamics: LangevinDynamics, curves: Sequence[Curve], paths: Sequence[ReplayedPath]
) -> Diagnosis | None:
    """The same from what was measured: curves of all cells in order (or none), and paths."""
    curves = [curve for curve in curves if np.isfinite(curve.voltages).all()]
    curves = curves if dynamics.equation.n == len(circuit.probes) else []
    paths = [path for path in paths if np.isfinite(path.voltages).all()]
    if not (curves or paths) or sum(len(each.names) for each in circuit.instances) > MOST:
        return None
    evidence = Evidence(circuit, dynamics, curves, paths)
    unchanged = evidence.explained(Change("", "", None, None, lambda: circuit))
    if unchanged.complete or not np.isfinite(evidence.total):
        return None
    explanations = [evidence.explained(change) for change in _candidates(evidence)[:VERIFIED]]
    floor = FLOOR**2 * sum(each.shape[-1] for each in evidence.differences(circuit) or []) / evidence.total
    moved = evidence.moved
    order = np.argsort(-moved, kind="stable")[:SHOWN]
    cells = tuple(circuit.probes[k] for k in order if moved[k] > 1e-3 * moved.max())
    return ranked(explanations, floor, (), cells, AS_WELL)


# --- candidates -----------------------------------------------------------------------------


def parameters(dynamics: LangevinDynamics) -> Iterator[Parameter]:
    """Every value of every group of instances that the equation depends on: of the circuit, and of its netlist."""
    equation, size = dynamics.equation, float(np.median(dynamics.size))
    force = float(np.median(np.diag(equation.slope(dynamics.size)))) * size
    circuits = [dynamics.circuit, mutations.as_printed(dynamics.circuit)]
    for group in range(len(dynamics.circuit.instances)):
        known: set[str] = set()
        for circuit in circuits:
            instances = circuit.instances[group]
            held = {name: element for element in instances.subcircuit.elements for name in element.parameters}
            for name, element in held.items():
                present = instances.parameters[name]
                typical = float(np.abs(present).max(initial=0.0))
                if not typical > 0 and isinstance(element, PolynomialElement):
                    typical = element.typical(name, size, force)
                if name in known or not typical > 0:
                    continue
                known.add(name)
                reference = np.where(present != 0, present, typical)
                every = np.arange(len(present))
                moved = _moved(equation, mutations.with_values(circuit, group, every, {name: present + reference}))
                if moved:
                    density = moved == {"noise"} and not isinstance(element, SharedNoiseCurrent)
                    yield Parameter(circuit, group, name, "amplitude" if density else "linear", reference)


def _moved(equation: Langevin, circuit: Circuit) -> set[str]:
    """Which parts of the equation differ in a changed circuit; all, if it has none."""
    parts = ("field", "stiffness", "quadratic", "cubic", "mobility", "mass", "noise", "sense")
    try:
        other = langevin(circuit)
    except CircuitError:
        return set(parts)
    return {part for part in parts if np.any(getattr(other, part) != getattr(equation, part))}


@dataclass(frozen=True, eq=False)
class _Value:
    """One parameter of one instance, as an unknown: what it leaves, by its relative change."""

    evidence: Evidence
    parameter: Parameter
    row: int

    def difference(self, t: float) -> FloatArray:
        """All differences, one after another."""
        return self.evidence.flat(self.parameter.changed(self.row, t).circuit) if t else self.evidence.untouched

    @cached_property
    def slope(self) -> FloatArray:
        """Their derivative at no change; zero where there is none."""
        found = (self.difference(STEP) - self.evidence.untouched) / STEP
        return found if np.isfinite(found).all() else np.zeros_like(self.evidence.untouched)

    @cached_property
    def guess(self) -> float:
        """The change, by linear response."""
        size = float(self.slope @ self.slope)
        return -float(self.slope @ self.evidence.untouched) / size if size > 0 else 0.0

    @cached_property
    def linear(self) -> float:
        """What it leaves then."""
        left = self.evidence.untouched + self.guess * self.slope
        return float(left @ left)

    @cached_property
    def start(self) -> tuple[float, float]:
        """What is left, and the change: the best of a few."""
        starts = [start for start in (self.guess, *STARTS) if start >= self.parameter.low]
        left = [float(each @ each) for each in map(self.difference, starts)]
        best = int(np.argmin(left))
        return left[best], starts[best]

    @cached_property
    def fitted(self) -> tuple[float, float]:
        """The change, and what it leaves; one that is missing or inverted where that is as good."""
        low = self.parameter.low
        t, left, _ = changes.along(self.difference, low, (self.start[1],))
        for plain in (-1.0, -2.0) if low < -1.0 else (-1.0, OPEN):
            if abs(t - plain) < 0.1 or (plain == OPEN and t > 10.0):
                difference = self.difference(plain)
                if float(difference @ difference) <= AS_PLAIN * left:
                    t, left = plain, float(difference @ difference)
        return t, left


def _candidates(evidence: Evidence) -> list[Change]:
    """All single changes, best first."""
    found: list[tuple[float, Change]] = []
    values = [
        _Value(evidence, parameter, row)
        for parameter in parameters(evidence.dynamics)
        for row in range(len(parameter.reference))
    ]
    screened = sorted(values, key=lambda value: value.linear)[:SCREENED]
    for value in sorted(screened, key=lambda value: value.start[0])[:FINALISTS]:
        t, left = value.fitted
        found.append((left, value.parameter.changed(value.row, t)))
    for change in [*_exchanged(values), *_instances(values), *_noise(evidence)]:
        difference = evidence.flat(change.circuit)
        found.append((float(difference @ difference), change))
    found = [(left, change) for left, change in found if left < evidence.total]
    return [change for _, change in sorted(found, key=lambda each: each[0])]


def _exchanged(values: Sequence[_Value]) -> list[Change]:
    """Two instances of one subcircuit with one value, or all, exchanged: the best by linear response."""
    found: list[tuple[float, Change]] = []
    by: dict[tuple[int, bool], dict[str, dict[int, _Value]]] = {}
    for value in values:
        place = value.parameter.group, value.parameter.circuit is value.evidence.circuit
        by.setdefault(place, {}).setdefault(value.parameter.name, {})[value.row] = value
    for (group, plain), named in by.items():
        circuit = next(iter(named.values()))[0].parameter.circuit
        choices = [[name] for name in named]
        choices += [list(named)] if len(named) > 1 and plain else []
        for a, b in combinations(range(len(circuit.instances[group].names)), 2):
            for names in choices:
                left = values[0].evidence.untouched
                for name in names:
                    for mine, theirs in ((named[name][a], b), (named[name][b], a)):
                        present = mine.parameter.present
                        left = left + mine.slope * mine.parameter.relative(mine.row, float(present[theirs]))
                if any(np.ptp(named[name][a].parameter.present[[a, b]]) for name in names):
                    found.append((float(left @ left), changes.swapped(circuit, group, (a, b), names)))
    return [change for _, change in sorted(found, key=lambda each: each[0])[:PAIRS]]


def _instances(values: Sequence[_Value]) -> Iterator[Change]:
    """An instance missing or there twice, an element the other way round, or one end of it on another node."""
    evidence = values[0].evidence
    circuit = evidence.circuit
    by: dict[tuple[int, int], list[_Value]] = {}
    for value in values:
        by.setdefault((value.parameter.group, value.row), []).append(value)

    def unexplained(own: Sequence[_Value]) -> float:
        """What changes of all its values leave, by linear response."""
        slopes = np.stack([value.slope for value in own], axis=1)
        scale = np.linalg.norm(slopes, axis=0)
        best = np.linalg.lstsq(slopes / np.where(scale > 0, scale, 1.0), evidence.untouched, rcond=None)[0]
        left = evidence.untouched - (slopes / np.where(scale > 0, scale, 1.0)) @ best
        return float(left @ left)

    likely = sorted(by, key=lambda place: unexplained(by[place]))[:FINALISTS]
    for group, row in likely:
        template = circuit.instances[group].subcircuit
        for value in by[group, row]:
            if mutations.opposite(template, value.parameter.name) is not None:
                yield changes.opposite(value.parameter, row)
        if len(by[group, row]) > 1:
            yield changes.missing(circuit, group, row)
            yield changes.doubled(circuit, group, row)
        ports = mutations.electrical_ports(template)
        for port in ports if len(ports) > 1 else ():
            taken = circuit.instances[group].nodes[row, ports].tolist()
            for node in (*range(len(circuit.nodes)), GROUND):
                if node not in taken:
                    yield changes.moved(circuit, group, row, port, node)


def _noise(evidence: Evidence) -> Iterator[Change]:
    """Two sources exchanged, a noise port on another source, two nodes that are read out exchanged."""
    circuit = evidence.circuit
    moved = evidence.moved
    cells = np.argsort(-moved, kind="stable")[:TOUCHED]
    cells = cells[moved[cells] > 1e-3 * moved.max()]
    for a, b in combinations(sorted(cells.tolist()), 2):
        yield changes.probes_swapped(circuit, a, b)
    if not evidence.paths:
        return
    heard = np.abs(evidence.dynamics.equation.sense[cells] @ evidence.dynamics.equation.noise).sum(axis=0)
    sources = np.flatnonzero(heard).tolist()
    for a, b in combinations(sources, 2):
        yield changes.sources_swapped(circuit, a, b)
    for group, instances in enumerate(circuit.instances):
        for port in mutations.noise_ports(instances.subcircuit):
            for row, own in enumerate(instances.nodes[:, port].tolist()):
                for other in range(len(circuit.sources)) if own in sources else ():
                    if other != own:
                        yield changes.rewired(circuit, group, row, port, other)
