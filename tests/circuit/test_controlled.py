"""Networks with voltage sources, controlled sources and mutual inductances: closed forms, ngspice, direct solutions."""

import numpy as np
import pytest
from helpers import KT, T, difference, near
from linear_networks import by_ngspice, cards, directly, network, noise_by_ngspice

from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit, stamp_circuit
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.stationary import Stationary, stationary


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
    for seed in range(200):
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
    assert solved > 100
    assert hidden > 20
    assert len(refused) >= 6


def charges(circuit: Circuit) -> np.ndarray:
    """E as stamped, on one scale: its rank is the number of states where no constraint is hidden."""
    E = stamp_circuit(circuit)[0].E.toarray()
    unit = np.sqrt(np.where(E.diagonal() > 0, E.diagonal(), 1.0))
    return E / unit / unit[:, None]


# Closed forms


def test_supply_and_divider():
    law = law_of(network(*NETWORKS["supply and divider"], T))
    assert law.voltage_mean == near([1.0], rel=1e-14)
    assert law.voltage_covariance == near(np.array([[KT / 1e-9]]), rel=1e-12)
    assert law.poles == near([-1 / (1e-9 * 2000 / 3)], rel=1e-14)


def test_decoupling_leaves_equipartition():
    """The supply is a short for noise: kT over all capacitance at a, energy coordinates as without sources."""
    law = law_of(network(*NETWORKS["decoupled supply"], T))
    assert law.dense.energetic
    assert law.voltage_covariance == near(np.array([[KT / 1.2e-9]]), rel=1e-12)
    assert law.voltage_mean == near([3.3], rel=1e-14)


def test_ideal_buffer():
    """b copies a, whose noise no load of b changes; c is low-passed: var = kT/c3 + the filtered part of a's."""
    law = law_of(network(*NETWORKS["ideal buffer into a capacitor"], T))
    assert not law.sde.conserved
    assert len(law.poles) == 2
    a, c = KT / 1e-9, KT / 1e-9
    rate_a, rate_c = 1e6, 0.5e6
    across = a * rate_c / (rate_a + rate_c)
    expected = [[a, a, across], [a, a, across], [across, across, c + across]]
    assert difference(law.voltage_covariance, np.array(expected)) < 1e-12


@pytest.mark.parametrize("k", [0.0, 0.7, -0.999])
@pytest.mark.parametrize("source", ["", "v1 s 0 1.0\nr9 s a 1e6"])
def test_coupled_inductors_are_in_equilibrium(k, source):
    """Equipartition: kT C^-1 of the voltages, kT L^-1 of the currents, with the mutual inductance in L."""
    text = f"""
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a 0 1e-5
        l2 b 0 4e-5
        k1 l1 l2 {k}
        r2 b 0 500
        c2 b 0 3e-9
        {source}
        """
    law = law_of(network(text, "a b", T))
    assert difference(law.voltage_covariance, KT * np.diag([1e9, 1e9 / 3])) < 1e-10
    mutual = k * 2e-5
    currents = KT * np.linalg.inv([[1e-5, mutual], [mutual, 4e-5]])
    is_current = [name.startswith("i(l") for name in law.sde.state_names]
    assert law.state_variance[is_current] == near(np.diag(currents), rel=1e-10)
    assert law.dense.energetic
    assert difference(law.covariance, KT * np.eye(4)) < 1e-10


def test_perfect_transformer_keeps_its_ratio():
    """k = -1 and four times the inductance: minus twice the voltage, exactly, and one current less."""
    text = """
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a 0 1e-5
        l2 b 0 4e-5
        k1 l1 l2 -1
        r2 b 0 500
        """
    law = law_of(network(text, "a b", T))
    ratio = np.array([[1.0], [-2.0]])
    # The load counts four times, and the currents hold no energy but in the common flux.
    assert difference(law.voltage_covariance, KT / 1e-9 * ratio @ ratio.T) < 1e-12
    assert law.poles * 2e-9 * 1000 / 9 == near(
        -1 + np.sqrt(1 - 4e-9 / (1e-5 * 9e-3**2) + 0j) * np.array([1, -1]), rel=1e-12
    )


def test_flux_of_a_loop_of_coupled_inductors():
    """A constant current divides between parallel windings so that both hold the same flux."""
    text = """
        i1 0 a 1e-3
        r1 a 0 1000
        c1 a 0 1e-9
        l1 a 0 1e-5
        l2 a 0 4e-5
        k1 l1 l2 0.25
        """
    law = law_of(network(text, "a", T))
    assert law.sde.conserved
    mutual = 0.25 * 2e-5
    first, second = 1e-3 * np.array([4e-5 - mutual, 1e-5 - mutual]) / (5e-5 - 2 * mutual)
    state = dict(zip(law.sde.state_names, law.dense.to_state @ law.dense.mean, strict=True))
    kept = {"i(l1 of x)": first, "i(l2 of x)": second}
    found = [name for name in law.sde.state_names if name in kept]
    assert len(found) == 1
    assert state[found[0]] == near(kept[found[0]], rel=1e-12)
    assert law.voltage_covariance == near(np.array([[KT / 1e-9]]), rel=1e-12)


def test_gyrator_makes_an_inductor():
    """g^2 / c2 as 1 / L: the same variance, resonance and damping as the RLC cell."""
    law = law_of(network(*NETWORKS["gyrator"], T))
    c, g, l = 1e-9, 1e-4, 4e-9 / 1e-3**2
    assert law.poles * 2 * c / g == near(-1 + np.sqrt(1 - 4 * c / (l * g**2) + 0j) * np.array([1, -1]), rel=1e-12)
    assert difference(law.voltage_covariance, KT * np.diag([1e9, 0.25e9])) < 1e-12


def test_current_mirror():
    """The mirrored current is the first branch's, gain and sign: noise voltage over r1 + r2 at low frequency."""
    text = """
        v0 in 0 noise 1e-16
        r1 in a 1000
        v1 a 0 0
        f1 0 out v1 2.5
        r3 out 0 700
        c2 out 0 3e-9
        """
    law = law_of(network(text, "out"))
    f = 1e5
    gain = 2.5 * 700 / 1000 / (1 + 2j * np.pi * f * 700 * 3e-9)
    assert law.transfer([f])[0, 0, 0] == near(gain * 1e-8 / 1e-9, rel=1e-12)
    assert law.voltage_covariance == near(np.array([[1e-16 * (2.5 * 0.7) ** 2 / (4 * 700 * 3e-9)]]), rel=1e-12)


def test_exact_cancellation_is_seen():
    """A negative impedance converter takes away all capacitance of a, but for rounding of unequal numbers."""
    text = """
        r0 s 0 1000
        c0 s 0 1e-9
        r1 s a 1000
        r2 a 0 1000
        c1 a 0 {c1}
        c3 a 0 {c3}
        e1 b 0 a 0 2.0
        c2 a b {c2}
        """
    values = {"c1": 1e-12 / 3, "c3": 2e-12 / 7}
    assert len(law_of(network(text.format(**values, c2=values["c1"] + values["c3"]), "s")).poles) == 1
    # A ten-thousandth more and there is a very fast state: stable with less, unstable with more.
    left = text.format(**values, c2=(values["c1"] + values["c3"]) * (1 - 1e-4))
    law = law_of(network(left, "s"))
    assert len(law.poles) == 2
    with pytest.raises(CircuitError, match="grows"):
        law_of(network(text.format(**values, c2=(values["c1"] + values["c3"]) * (1 + 1e-4)), "s"))


def test_small_parasitics_beside_large_components_are_kept():
    """A femtofarad behind a coupling capacitor of a microfarad has its own pole, to six digits."""
    text = """
        v1 s 0 0
        r1 s a 1000
        c1 a b 1e-6
        c2 b 0 1e-15
        e1 d 0 b 0 1.0
        r2 d e 1000
        c3 e 0 1e-9
        r3 b 0 1e5
        """
    law = law_of(network(text, "e", T))
    expected = np.array([-(1 / 1e3 + 1 / 1e5) / 1e-15, -1e6, -1 / (1.01e5 * 1e-6)])
    assert np.sort(law.poles.real) == near(expected, rel=1e-6)


# Energy, and scales without it


def test_coordinates_without_energy_are_balanced():
    """Mirrored currents of capacitors leave no symmetric E: A is of order one, and the law is that of the states."""
    text, probes = NETWORKS["current mirror"]
    law = law_of(network(text, probes, T))
    assert not law.dense.energetic
    assert np.abs(law.dense.A).max() == 1.0
    E, F, K = (matrix.toarray() for matrix in (law.sde.E, law.sde.F, law.sde.K))
    A, B = np.linalg.solve(E, F), np.linalg.solve(E, K)
    to_state, time = law.dense.to_state, law.dense.time
    assert difference(to_state @ law.dense.A / time, A @ to_state) < 1e-12
    assert difference(to_state @ law.dense.B / np.sqrt(time), B) < 1e-12
    P = to_state @ law.covariance @ to_state.T
    residual = A @ P + P @ A.T + B @ B.T
    assert np.abs(residual).max() < 1e-10 * np.abs(B @ B.T).max()


# Against ngspice's own noise

NOISY = {
    name: NETWORKS[name]
    for name in (
        "Sallen-Key",
        "transresistance",
        "three windings",
        "op-amp with finite gain and pole, inverting",
        "buffers in a chain, differential and floating",
    )
}


def test_covariance_against_integrated_noise():
    """Resistors, heard by ``.noise`` over 13 decades: variance of the last probe to 5e-5 (quadrature)."""
    texts = {name: (text, network(text, probes.split()[-1], T)) for name, (text, probes) in NOISY.items()}
    for name, density in noise_by_ngspice(texts, 1e0, 1e13, 400).items():
        frequencies, spectrum = density
        law = law_of(texts[name][1])
        exact = law.spectrum(frequencies)[:, 0, 0].real
        assert errors(spectrum[:, None, None], exact[:, None, None]) < 1e-6, name
        area = float(np.trapezoid(spectrum * frequencies, np.log(frequencies)))
        assert area == near(law.voltage_covariance[0, 0], rel=5e-5), name


# Refusals

SOUND = """
    r0 s 0 1000
    c0 s 0 1e-9
    """
REFUSED = {
    "loop of voltage sources": ("v1 a 0 1\nv2 a b 1\ne1 b 0 s 0 2\nr1 a 0 10", "closes a loop", {"a", "b"}),
    "two sources side by side": ("v1 a 0 1\nh1 a 0 v1 0\nr1 a 0 10", "closes a loop", {"a"}),
    "a source shorted": ("v1 s s 1", "closes a loop", {"s"}),
    "a source at ground": ("v1 0 0 1", "closes a loop", {"i(v1 of x)"}),
    "cut-set of current sources": (
        "i1 a 0 1e-6\ng1 a 0 s 0 1e-3\nv1 b 0 1\nr1 b 0 5",
        "current sources alone",
        {"s", "a"},
    ),
    "noise into inductors, through a source": (
        "in1 m 0 noise 1e-20\nv1 m n 0\nl1 s n 1e-5\nl2 m 0 1e-5",
        "derivative of white noise",
        {"s", "m", "n"},
    ),
    "the current of a capacitor on a noise voltage": (
        "v1 a b noise 1e-16\nc1 b 0 1e-9\nv2 a 0 0\nf1 0 d v2 1\nr1 d 0 100",
        "derivative of white noise",
        {"b"},
    ),
    "constant voltage on an inductor": ("v1 a 0 1\nl1 a 0 1e-5", "without bound", {"a"}),
    "noise voltage on an inductor": ("v1 a 0 noise 1e-16\nl1 a 0 1e-5", "random walk", {"a"}),
    "follower of itself": ("e1 a 0 a 0 1\nr1 a s 100", "singular", {"a"}),
    "two followers of each other": ("e1 a 0 b 0 1\ne2 b 0 a 0 1\nr1 a s 10", "singular", {"a", "b"}),
    "secondary side without ground": (
        "l1 s 0 1e-5\nl2 b d 1e-5\nk1 l1 l2 0.5\nr2 b d 1",
        "floating",
        {"b", "d"},
    ),
    "more than perfectly coupled": (
        "l1 s 0 1e-5\nl2 b 0 1e-5\nk1 l1 l2 1.01\nr2 b 0 1",
        "more than perfect",
        {"l1 of x", "l2 of x"},
    ),
    "three windings that cannot be": (
        "l1 s 0 1e-5\nl2 b 0 1e-5\nl3 d 0 1e-5\nk1 l1 l2 0.9\nk2 l1 l3 0.9\nk3 l2 l3 -0.9\nr2 b 0 1\nr3 d 0 1",
        "more than perfect",
        {"l1 of x", "l2 of x", "l3 of x"},
    ),
    "positive feedback": ("e1 b 0 s 0 3\nr1 b s 100", "grows", {"s"}),
    "readout of a noise voltage": ("v1 a 0 noise 1e-16\nr1 a s 1000", "white noise directly", {"a"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_nodes(name):
    text, words, nodes = REFUSED[name]
    probe = "a" if "readout" in name else "s"
    with pytest.raises(CircuitError, match=words) as caught:
        assert law_of(network(SOUND.strip() + "\n" + text, probe)).voltage_covariance is None
    assert set(caught.value.nodes) == nodes
    if not any(node.startswith("i(") for node in nodes):
        assert all(node in caught.value.message for node in nodes)


def test_a_noise_voltage_on_a_capacitor_is_not_differentiated_where_nobody_looks():
    """Only the source's own current would be a derivative."""
    text = "v1 a 0 noise 1e-16\nc1 a 0 1e-6\nr1 a s 1000\nc2 s 0 1e-9"
    law = law_of(network(text, "s"))
    assert law.voltage_covariance == near(np.array([[1e-16 / (4 * 1e-6)]]), rel=1e-12)


@pytest.mark.parametrize(
    ("branch", "words"), [("l1", "no voltage source"), ("r1", "no voltage source"), ("v9", "not an element")]
)
def test_references_to_branches(branch, words):
    text = f"l1 a 0 1e-5\nr1 a 0 10\nc1 a 0 1e-9\nf1 a 0 {branch} 2"
    with pytest.raises(CircuitError, match=words):
        network(text, "a")


def test_only_inductors_couple():
    with pytest.raises(CircuitError, match="no inductor"):
        network("l1 a 0 1e-5\nv1 a 0 1\nk1 l1 v1 0.5", "a")
