"""How often a diagnosis is right: one element of a random device changed, measured exactly, and told from all others.

Devices of every architecture, hot and cold, of free and of quantised values. What ngspice would measure is taken
from the reduced equations of the changed circuit (`spu.predict`'s), with rounding of 1e-9 of each peak added, more
than ngspice's own; the diagnosis itself uses the equations before reduction.

    python benchmarks/diagnoses.py [DEVICES [SEED]]     100 devices unless given, some minutes
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import spu
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import CircuitError
from spu.circuit import variations as mutations
from spu.circuit.circuit import Circuit
from spu.crosscheck.context import Context, Sweep
from spu.crosscheck.diagnosis import diagnose
from spu.crosscheck.result import Diagnosis, Explanation
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import solve
from spu.emulator.laws.stationary import Stationary

ROUNDING = 1e-9
PER_DECADE = 20

ARCHITECTURES = ("rlc-capacitive", "rc-resistive", "rc-transconductor", "rlc-capacitive-dual", "rc-resistive-dual")


@dataclass(frozen=True)
class Mutant:
    """A circuit with one thing changed (or two), and what a right diagnosis says.

    ``names`` are to occur in the element named, ``after`` (where given) is its value.
    """

    kind: str
    circuit: Circuit
    names: tuple[str, ...]
    after: float | str | None = None

    def named_by(self, found: Explanation) -> bool:
        """Whether an explanation is this change."""
        if not all(name in found.element for name in self.names):
            return False
        if isinstance(self.after, str):
            return found.after == self.after
        return self.after is None or found.after is None or abs(self.error(found)) < 0.01

    def error(self, found: Explanation) -> float:
        """Relative error of the value found."""
        if not isinstance(self.after, float) or not isinstance(found.after, float) or self.after == 0:
            return 0.0
        return found.after / self.after - 1.0


def random_circuit(rng: np.random.Generator) -> Circuit:
    """A device of three to six variables: compiled for a random matrix, or built by hand with scattered values."""
    n = int(rng.integers(3, 7))
    choice = int(rng.integers(len(ARCHITECTURES) + 2))
    weights = np.triu(rng.uniform(0.1, 1.0, (n, n)) * (rng.random((n, n)) < 0.7), 1) + np.diag([0.5] * (n - 1), 1)
    matrix = np.diag((weights + weights.T).sum(axis=1) + rng.uniform(0.2, 1.0, n)) - weights - weights.T
    if choice < len(ARCHITECTURES):
        architecture = ARCHITECTURES[choice]
        if architecture not in ("rlc-capacitive", "rc-resistive"):
            signs = np.triu(rng.choice([-1.0, 1.0], (n, n)), 1)
            matrix = np.diag(np.diag(matrix)) + (matrix - np.diag(np.diag(matrix))) * (signs + signs.T)
        mean = rng.normal(size=n) if architecture.startswith("rc") else np.zeros(n)
        problem = spu.GaussianSampling(precision=matrix, mean=mean)
        return lower(spu.compile(problem, architecture=architecture))
    if choice == len(ARCHITECTURES):
        return lower(spu.compile(spu.GaussianSampling(precision=matrix), hardware="spu8-8bit"))
    device = spu.Device(temperature=float(rng.choice([0.0, 300.0])))

    def value(scale: float) -> float:
        return float(scale * 10.0 ** rng.uniform(-0.5, 0.5))

    for k in range(n):
        inductance = {"inductance": value(1e-5)} if rng.random() < 0.5 else {}
        device.add_cell(
            f"c{k}",
            capacitance=value(1e-9),
            conductance=value(1e-3),
            noise=value(4e-20),
            bias=value(1e-6),
            **inductance,
        )
    for k in range(n):
        for other in range(k + 1, n):
            if other > k + 1 and rng.random() < 0.4:
                continue
            parts = {"capacitance": value(3e-10), "conductance": value(3e-4), "transconductance": value(1e-4)}
            held = rng.choice(list(parts), int(rng.integers(1, 4)), replace=False)
            device.add_coupler(f"c{k}", f"c{other}", **{part: parts[part] for part in held})
    return lower(device)


def mutants(rng: np.random.Generator, circuit: Circuit) -> Iterator[Mutant]:
    """One of each kind that the circuit has room for."""
    for change in (0.01, 0.02, 0.05, 0.2):
        group, row, parameter, element = _any_value(rng, circuit)
        after = float(circuit.instances[group].parameters[parameter][row] * (1.0 + rng.choice([-1.0, 1.0]) * change))
        changed = mutations.with_values(circuit, group, [row], {parameter: after})
        yield Mutant(f"value by {change:.0%}", changed, (element,), after)
    couplers = [k for k, group in enumerate(circuit.instances) if len(mutations.electrical_ports(group.subcircuit)) > 1]
    group = int(rng.choice(couplers))
    instances = circuit.instances[group]
    if len(instances.names) > 1:
        a, b = (int(k) for k in rng.choice(len(instances.names), 2, replace=False))
        if any(array[a] != array[b] for array in instances.parameters.values()):
            swapped = mutations.with_swapped(circuit, group, (a, b), list(instances.parameters))
            yield Mutant("couplers swapped", swapped, (instances.names[a], instances.names[b]))
    row = int(rng.integers(len(instances.names)))
    yield Mutant("coupler missing", mutations.without(circuit, group, row), (instances.names[row],))
    there = instances.nodes[row][mutations.electrical_ports(instances.subcircuit)]
    free = np.setdiff1d(np.arange(len(circuit.nodes)), there)
    if len(free):
        node = int(rng.choice(free))
        moved = mutations.with_port(circuit, group, row, 0, node)
        yield Mutant("coupler moved", moved, (instances.names[row],), f"cell_{circuit.nodes[node]}")
    signed = [k for k in couplers if "gab" in circuit.instances[k].parameters]
    if signed:
        instances, row = circuit.instances[signed[0]], int(rng.integers(len(circuit.instances[signed[0]].names)))
        parameter = str(rng.choice(["gab", "gba"]))
        after = -float(instances.parameters[parameter][row])
        flipped = mutations.with_values(circuit, signed[0], [row], {parameter: after})
        yield Mutant("sign of a coupler", flipped, (f"{parameter} of {instances.names[row]}",), after)
    noisy = [k for k, group in enumerate(circuit.instances) if "sn" in group.parameters]
    group = int(rng.choice(noisy))
    instances, row = circuit.instances[group], int(rng.integers(len(circuit.instances[group].names)))
    name, density = f"gn of {instances.names[row]}", float(instances.parameters["sn"][row])
    yield Mutant("noise reversed", mutations.with_noise_reversed(circuit, group, row, "sn"), (name,), density)
    for kind, after in (("source removed", 0.0), ("source doubled", 2.0 * density)):
        yield Mutant(kind, mutations.with_values(circuit, group, [row], {"sn": after}), (name,), after)
    port = mutations.noise_ports(instances.subcircuit)[-1]
    other = int(rng.choice(np.setdiff1d(np.arange(len(circuit.sources)), instances.nodes[row, port])))
    rewired = mutations.with_port(circuit, group, row, port, other)
    yield Mutant("source rewired", rewired, (instances.names[row],), circuit.sources[other].name)
    twice, places = circuit, set()
    while len(places) < 2:  # of two instances: both values of one are as good as a multiplier of it
        group, row, parameter, _ = _any_value(rng, circuit)
        if (group, row) in places:
            continue
        places.add((group, row))
        now = float(twice.instances[group].parameters[parameter][row])
        twice = mutations.with_values(twice, group, [row], {parameter: 1.05 * now})
    yield Mutant("two values by 5%", twice, ())


def _any_value(rng: np.random.Generator, circuit: Circuit) -> tuple[int, int, str, str]:
    """A parameter of an instance, each as likely, and its element; biases only where they matter."""
    deaf = any("l" in group.parameters for group in circuit.instances)
    places = [
        (group, row, element.value, f"{element.name} of {instances.names[row]}")
        for group, instances in enumerate(circuit.instances)
        for element in instances.subcircuit.elements
        for row in range(len(instances.names))
        if instances.parameters[element.value][row] != 0 and not (element.value == "ib" and deaf)
    ]
    return places[int(rng.integers(len(places)))]


def measured(base: Circuit, changed: Circuit, rng: np.random.Generator) -> Context:
    """The context that levels ``op`` and ``ac`` would leave.

    Raises
    ------
    CircuitError
        If the changed circuit has no stationary law.
    """
    context = Context(base, None, None, None)
    law = solve(stochastic_ode(changed))
    assert isinstance(law, Stationary)
    span = np.log10(context.timing.high / context.timing.low)
    frequencies = context.timing.low * 10.0 ** (np.arange(0, span, 1 / PER_DECADE))
    transfer = law.transfer(frequencies)
    transfer = transfer + ROUNDING * np.abs(transfer).max(axis=0) * rng.standard_normal(transfer.shape)
    densities = np.where(np.abs(transfer).max(axis=(0, 1)) > 0, UNIT_NOISE_DENSITY**2, np.nan)
    context.sweep = Sweep(frequencies, transfer, densities)
    if not context.from_zero and not context.deaf_at_dc:
        context.means["op"] = law.voltage_mean
    context.covariances["ac"] = law.voltage_covariance
    return context


def right(mutant: Mutant, found: Diagnosis | None) -> str:
    """``first``, ``equivalent`` (named among those that cannot be told apart), ``none`` or ``wrong``."""
    if found is None or found.best is None:
        return "none"
    if not mutant.names:
        return "wrong" if found.best.complete else "none"
    if mutant.named_by(found.best):
        return "first"
    return "equivalent" if any(other.equivalent and mutant.named_by(other) for other in found.others) else "wrong"


def study(devices: int, seed: int = 0) -> dict[str, dict[str, list[str]]]:
    """Outcomes of all mutants of random devices: kind of change -> outcome (see `right`) -> what was said."""
    rng = np.random.default_rng(seed)
    outcomes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(devices):
        circuit = random_circuit(rng)
        assert diagnose(measured(circuit, circuit, rng)) is None
        for mutant in mutants(rng, circuit):
            try:
                context = measured(circuit, mutant.circuit, rng)
            except CircuitError:
                continue
            found = diagnose(context)
            said = " / ".join(found.lines) if found is not None else "nothing differs"
            outcomes[mutant.kind][right(mutant, found)].append(f"{' '.join(mutant.names)} -> {mutant.after}: {said}")
    return outcomes


def main(arguments: list[str]) -> int:
    """Print a table, and every wrong diagnosis."""
    devices, seed = (int(argument) for argument in (arguments + ["100", "0"][len(arguments) :]))
    outcomes = study(devices, seed)
    print(f"{'change':22}{'count':>7}{'first':>7}{'as well':>9}{'none':>6}{'wrong':>7}")
    for kind, found in outcomes.items():
        counts = [len(found[outcome]) for outcome in ("first", "equivalent", "none", "wrong")]
        print(f"{kind:22}{sum(counts):>7}{counts[0]:>7}{counts[1]:>9}{counts[2]:>6}{counts[3]:>7}")
    for kind, found in outcomes.items():
        for said in found["wrong"] + (found["none"] if kind != "two values by 5%" else []):
            print(f"{kind}: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
