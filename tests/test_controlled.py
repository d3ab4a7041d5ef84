"""Networks with voltage sources, controlled sources and mutual inductances: closed forms, ngspice, direct solutions."""

import numpy as np
import pytest
from helpers import T
from linear_networks import by_ngspice, cards, directly, network

from spu.circuit import Circuit
from spu.emulator.stationary import Stationary, stationary
from spu.errors import CircuitError
from spu.sde import _stamp, stochastic_ode


def law_of(circuit: Circuit) -> Stationary:
    return stationary(stochastic_ode(circuit))


def errors(found: np.ndarray, expected: np.ndarray) -> float:
    """Worst deviation of any (probe, source), of its peak over frequency (at least 1e-4 of the loudest)."""
    peak = np.abs(expected).max(axis=0)
    scale = np.maximum(peak, 1e-4 * peak.max())
    return float((np.abs(found - expected).max(axis=0) / scale).max())


NETWORKS = {
    "supply and divider": (
        """
        v1 in 0 1.5
        r1 in a 1000
        r2 a 0 2000
        c1 a 0 1e-9
        """,
        "a",
    ),
    "decoupled supply": (
        """
        v1 vdd 0 3.3
        c9 vdd 0 1e-7
        r1 vdd a 1000
        c1 a 0 1e-9
        c2 vdd a 2e-10
        """,
        "a",
    ),
    "floating source": (
        """
        v1 a b 0.25
        c1 a 0 1e-9
        c2 b 0 2e-9
        r1 b 0 1000
        r2 a c 500
        l1 c 0 1e-5
        """,
        "a b c",
    ),
    "noise voltage": (
        """
        v1 in 0 noise 1e-16
        c0 in 0 1e-9
        r1 in a 1000
        l1 a b 1e-5
        c1 b 0 1e-9
        r2 b 0 3000
        """,
        "b",
    ),
    "ideal buffer into a capacitor": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        e1 b 0 a 0 1.0
        c2 b 0 5e-9
        r2 b c 2000
        c3 c 0 1e-9
        """,
        "a b c",
    ),
    "bootstrapped and Miller capacitors": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        e1 b 0 a 0 1.0
        c2 a b 3e-9
        e2 m 0 a 0 -10.0
        c3 a m 1e-10
        r2 m d 100
        c4 d 0 1e-9
        """,
        "a b d",
    ),
    "buffers in a chain, differential and floating": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        r2 b 0 2000
        c2 b 0 2e-9
        e1 p n a b 2.0
        r3 n 0 500
        c3 n 0 1e-9
        e2 q 0 p n 0.5
        c4 q n 1e-9
        r4 q r 100
        c5 r 0 1e-10
        """,
        "a b n r",
    ),
    "op-amp with finite gain and pole, inverting": (
        """
        r1 in 0 50
        c0 in 0 1e-9
        r2 in m 1000
        r3 m out 10000
        c1 m out 1e-11
        c2 m 0 1e-12
        g1 0 x 0 m 1e-3
        r4 x 0 1e8
        c3 x 0 1e-11
        e1 y 0 x 0 1.0
        r5 y out 75
        c4 out 0 1e-10
        """,
        "out",
    ),
    "Sallen-Key": (
        """
        r0 in 0 1000
        c0 in 0 1e-9
        r1 in a 10000
        r2 a b 10000
        c1 a out 1e-9
        c2 b 0 2.5e-10
        e1 out 0 b 0 1.0
        c3 out 0 1e-9
        """,
        "b out",
    ),
    "current mirror": (
        """
        v0 in 0 noise 1e-16
        r1 in a 1000
        v1 a b 0
        r2 b 0 500
        c1 b 0 1e-9
        f1 out 0 v1 2.0
        r3 out 0 700
        c2 out 0 3e-9
        f2 0 d v1 -0.5
        c3 d 0 1e-9
        r4 d out 1000
        """,
        "b out d",
    ),
    "transresistance": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        v1 a b 0
        r2 b 0 300
        h1 c 0 v1 450
        r3 c d 200
        c2 d 0 1e-9
        """,
        "a d",
    ),
    "transresistance of a capacitor's current": (
        """
        r1 in a 1000
        l1 a 0 1e-4
        c9 in 0 1e-9
        r9 in 0 700
        v1 a b 0
        c1 b 0 1e-9
        h1 c 0 v1 450
        r3 c d 200
        c2 d 0 1e-9
        """,
        "a d",
    ),
    "transformer": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a 0 1e-5
        l2 b 0 4e-5
        k1 l1 l2 0.7
        r2 b 0 500
        c2 b 0 1e-9
        """,
        "a b",
    ),
    "perfect transformer": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a 0 1e-5
        l2 b d 4e-5
        k1 l1 l2 -1
        r2 b 0 500
        c2 b d 1e-10
        r3 d 0 100
        """,
        "a",
    ),
    "three windings": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a 0 1e-5
        l2 b 0 4e-5
        l3 d b 2e-5
        k1 l1 l2 0.7
        k2 l1 l3 0.5
        k3 l2 l3 -0.1
        r2 b 0 500
        c2 d 0 1e-9
        """,
        "a d",
    ),
    "coupled inductors in a loop": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a 0 1e-5
        l2 b 0 4e-5
        l3 a b 3e-5
        k1 l1 l2 0.5
        k2 l3 l2 0.3
        r2 b 0 500
        c2 b 0 1e-9
        """,
        "a b",
    ),
    "gyrator": (
        """
        r1 a 0 10000
        c1 a 0 1e-9
        g1 0 b a 0 1e-3
        g2 a 0 b 0 1e-3
        c2 b 0 4e-9
        """,
        "a b",
    ),
    "gyrator of H": (
        """
        r1 a 0 10000
        c1 a 0 1e-9
        v1 a p 0
        h1 p 0 v2 1000
        v2 b q 0
        h2 q 0 v1 -1000
        c2 b 0 4e-9
        r2 b 0 9000
        """,
        "a b",
    ),
    "inductors in series and a cut-set through a source": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a m 1e-5
        v1 m n 0.1
        l2 n b 3e-5
        r2 b 0 500
        c2 b 0 1e-9
        """,
        "a b m",
    ),
    "negative impedance converter": (
        """
        r1 a 0 1000
        c1 a 0 1e-9
        e1 b 0 a 0 2.0
        r2 a b 4000
        c2 a b 3e-10
        """,
        "a b",
    ),
}


@pytest.fixture(scope="module")
def measured() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    circuits = {name: (text, network(text, probes, T)) for name, (text, probes) in NETWORKS.items()}
    return by_ngspice(circuits, 1e2, 1e9, 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_transfer_functions_against_ngspice_and_directly(name, measured):
    """Every noise source to every probe: ngspice to 1e-6, the equations before any reduction to 1e-9."""
    circuit = network(*NETWORKS[name], T)
    law = law_of(circuit)
    frequencies, transfers = measured
    exact = law.transfer(frequencies)
    assert errors(exact, directly(circuit, frequencies)) < 1e-9
    assert errors(exact, transfers[name]) < 1e-6
    assert law.poles.real.max() < 0


def random_cards(rng: np.random.Generator, n: int) -> tuple[str, str]:
    """A network of n nodes of every element, many of them with constraints, hidden ones included."""
    nodes, lines, inductors, sources = [f"n{k}" for k in range(n)], [], [], []

    def two() -> str:
        while True:
            a, b = (str(rng.choice(nodes)) if rng.random() < 0.8 else "0" for _ in range(2))
            if a != b:
                return f"{a} {b}"

    def around(size: float) -> str:
        return repr(float(size * 10 ** rng.uniform(-1, 1)))

    for k, node in enumerate(nodes):
        lines += [f"c{k} {node} 0 {around(1e-9)}"] if rng.random() < 0.6 else []
        lines += [f"r{k} {node} 0 {around(1e3)}"] if rng.random() < 0.6 else []
    for k in range(100, 100 + int(rng.integers(n, 2 * n))):
        kind = str(rng.choice(list("rrrcccllegfhv")))
        gain = float(rng.choice([1.0, -1.0, 2.0, 0.5, 3.0 * rng.normal()]))
        if kind in "fh" and not sources:
            continue
        middle, value = {
            "r": ("", around(1e3)),
            "c": ("", around(1e-9)),
            "l": ("", around(1e-5)),
            "e": (two(), gain),
            "g": (two(), 1e-4 * rng.normal()),
            "f": (rng.choice(sources or [""]), gain),
            "h": (rng.choice(sources or [""]), 1e3 * rng.normal()),
            "v": ("noise", 1e-16) if rng.random() < 0.2 else ("", 0.5),
        }[kind]
        lines.append(f"{kind}{k} {two()} {middle} {value}")
        inductors += [f"l{k}"] if kind == "l" else []
        sources += [f"v{k}"] if kind == "v" else []
    for k, pair in enumerate(zip(inductors[::2], inductors[1::2], strict=False)):
        lines.append(f"k{k} {' '.join(pair)} {rng.choice([0.3, -0.5, 0.99, 1.0])}")
    text = "\n".join(lines)
    used = {word for card in cards(text) for word in card[1:5]}
    return text, " ".join(node for node in nodes if node in used)


REASONS = (
    "derivative of white noise",
    "no state",
    "nothing in the circuit moves",
    "loop of voltage sources",
    "is undetermined",
    "singular",
    "floating",
    "random walk",
    "without bound",
    "current sources alone",
)


def test_random_networks_against_the_equations_as_stamped():
    """The reduction by another way: a dense solve at each frequency, to 1e-8; refusals all have a reason."""
    frequencies = np.array([0.9e3, 1.1e5, 1.3e6, 7e6])
    solved, hidden, refused = 0, 0, set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        text, probes = random_cards(rng, int(rng.integers(2, 9)))
        circuit = network(text, probes, T)
        try:
            sde = stochastic_ode(circuit)
            law = Stationary(sde)
            found = law.transfer(frequencies)
        except CircuitError as error:
            why = [reason for reason in REASONS if reason in error.message]
            assert why, error.message
            assert error.nodes, error.message
            refused |= set(why)
            continue
        expected = directly(circuit, frequencies)
        size = np.abs(expected).max(initial=0.0)
        if size < 1e-12:  # no noise, or sources that hold every node
            continue
        assert np.abs(found - expected).max() < 1e-8 * size, text
        solved += 1
        hidden += len(sde.state_names) < np.linalg.matrix_rank(charges(circuit))
    assert solved > 150
    assert hidden > 30
    assert len(refused) >= 6


def charges(circuit: Circuit) -> np.ndarray:
    """E as stamped, on one scale: its rank is the number of states where no constraint is hidden."""
    E = _stamp(circuit)[0].E.toarray()
    unit = np.sqrt(np.where(E.diagonal() > 0, E.diagonal(), 1.0))
    return E / unit / unit[:, None]
