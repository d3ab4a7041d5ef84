"""Thermodynamic networks as a problem: exact statistics, validation, files, and how they compile."""

import json

import numpy as np
import pytest

from spu.base.errors import InputError, Unrealizable
from spu.compiler import compile_network
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.langevin import langevin
from spu.emulator.laws.boltzmann import as_network
from spu.emulator.predict import predict_network
from spu.problems.network import ThermodynamicNetwork
from spu.problems.network_files import load_network
from spu.problems.neuron import crossing_time, kramers_rate, unit_law

INPUTS = [0.5, 1, 2, 5, 10, 20, 40]

KINDS = ("rc-conductance", "rlc-flux", "rc-charge")


def random_network(n: int, seed: int = 0, kT: float = 0.5, **more) -> ThermodynamicNetwork:
    """Couplings and coefficients of both signs."""
    rng = np.random.default_rng(seed)
    J = np.triu(0.5 * rng.normal(size=(n, n)), 1)
    given = {
        "J2": rng.uniform(-1, 1, n),
        "J3": rng.uniform(-0.3, 0.3, n),
        "J4": rng.uniform(0.5, 1.5, n),
        "input": rng.normal(size=n),
        "bias": rng.normal(size=n),
        "couplings": J + J.T,
        "kT": kT,
    }
    return ThermodynamicNetwork(**{**given, **more})


def single_cells(n: int, seed: int = 0) -> ThermodynamicNetwork:
    """What nonlinear capacitors hold: convex, uncoupled."""
    return random_network(n, seed, J2=np.linspace(0.3, 1, n), couplings=None)


@pytest.mark.parametrize(
    ("potential", "kT", "means", "variance"),
    [
        ((1, 0, 1), 1.0, [0.1163, 0.2290, 0.4323, 0.8421, 1.1968, 1.5947, 2.0684], 0.2340),
        ((1, 0, 1), 0.1, [0.1959, 0.3549, 0.5708, 0.9162, 1.2312, 1.6109, 2.0762], 0.0409),
    ],
)
def test_activation_in_equilibrium_is_the_published_one(potential, kT, means, variance):
    found = unit_law(*potential, input=INPUTS, kT=kT)
    assert found.mean == pytest.approx(means, abs=1e-4)
    assert unit_law(*potential, kT=kT).variance[0] == pytest.approx(variance, abs=1e-4)


def test_a_pure_quartic_neuron():
    found = unit_law(0, 0, 1, input=[0, 2, 5])
    assert found.mean == pytest.approx([0, 0.5813, 0.9988], abs=1e-4)
    assert found.variance[0] == pytest.approx(0.3380, abs=1e-4)


def test_moments_of_coupled_units_by_an_independent_quadrature():
    # Gauss-Hermite nodes against a wide Gaussian: nothing in common with the rule under test.
    network = ThermodynamicNetwork(
        [1, -0.5], [0.2, 0], [1, 0.7], couplings=[[0, 0.8], [0.8, 0]], input=[0.5, -1], kT=0.6
    )
    z, w = np.polynomial.hermite.hermgauss(120)
    x, y = np.meshgrid(z, z, indexing="ij")
    states = np.stack([x.ravel(), y.ravel()], axis=1)
    weights = np.outer(w, w).ravel() * np.exp((states**2).sum(axis=1) - network.energy(states) / network.kT)
    weights /= weights.sum()
    mean, covariance = network.moments()
    assert mean == pytest.approx(weights @ states, abs=1e-7)
    assert covariance == pytest.approx(np.cov(states.T, aweights=weights, bias=True), abs=1e-7)
    fourth = network.central_moments()[2]
    assert fourth == pytest.approx(weights @ (states - weights @ states) ** 4, abs=1e-7)


def test_a_quadratic_network_is_gaussian_of_any_size():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(6, 8))
    A = root @ root.T
    network = ThermodynamicNetwork(np.diag(A) / 2, 0, 0, couplings=A - np.diag(np.diag(A)), input=np.ones(6), kT=2.0)
    mean, covariance = network.moments()
    assert mean == pytest.approx(np.linalg.solve(A, np.ones(6)), rel=1e-9)
    assert covariance == pytest.approx(2.0 * np.linalg.inv(A), rel=1e-9)
    assert network.central_moments()[2] == pytest.approx(3 * np.diag(covariance) ** 2)


def test_the_force_is_minus_the_gradient():
    network = random_network(5)
    x = np.random.default_rng(2).normal(size=5)
    h = 1e-6
    slope = [(network.energy(x + h * e) - network.energy(x - h * e)) / (2 * h) for e in np.eye(5)]
    assert network.force(x) == pytest.approx(-np.array(slope), abs=1e-7)
    curve = np.array([(network.force(x + h * e) - network.force(x - h * e)) / (2 * h) for e in np.eye(5)])
    assert network.stiffness(x) == pytest.approx(-curve, abs=1e-7)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"J4": -1.0}, "does not confine it: J4 is negative"),
        ({"J4": 0.0, "J3": 0.1}, "J4 is 0 and J3 is not"),
        ({"J2": -1.0, "J4": 0.0}, "lowest eigenvalue is -2"),
        ({"J2": 1.0, "J4": [1.0, 0.0, 0.0], "couplings": [[0, 9, 0], [9, 0, 3], [0, 3, 0]]}, "x2, x3"),
        ({"couplings": [[0, 1.0], [0.5, 0]]}, "declared reciprocal but J(x1, x2) = 1 and J(x2, x1) = 0.5"),
        ({"couplings": [[1.0, 0], [0, 0]]}, "couples x1 to itself"),
        ({"kT": -1.0}, "kT is -1.0"),
        ({"mobility": 0.0}, "mobility is 0.0"),
        ({"J2": [1, 2], "J4": [1, 2, 3]}, "not the same everywhere: J2 2, J4 3"),
        ({"J2": [1, float("nan")]}, "J2 must be finite"),
        ({"J2": "one"}, "J2 is 'one'"),
        ({"couplings": [[0, 1, 2], [1, 0, 2]]}, "couplings is 2 x 3"),
        ({"units": 0}, "units is 0"),
        ({"variables": ["a", "A"], "units": 2}, "SPICE ignores case"),
    ],
)
def test_what_makes_no_network_is_refused_with_the_reason(given, words):
    with pytest.raises(InputError) as caught:
        ThermodynamicNetwork(**given)
    assert words in str(caught.value)


def test_a_quartic_unit_confines_what_it_is_coupled_to():
    # The coupling of 9 is far beyond 2 sqrt(J2 J2'), but x1 is quartic.
    ThermodynamicNetwork(1.0, 0.0, [1.0, 0.0], couplings=[[0, 9.0], [9.0, 0]])


def test_dictionary_and_file(tmp_path):
    network = random_network(4)
    again = ThermodynamicNetwork.from_dict(json.loads(json.dumps(network.to_dict())))
    assert again.to_dict() == network.to_dict()
    np.savetxt(tmp_path / "J.csv", network.couplings, delimiter=",")
    file = tmp_path / "net.toml"
    text = 'task = "network"\nJ2 = [1, 2, 3, 4]\ncouplings = "J.csv"\nkT = 0.5\nhardware = "neurons"\n'
    file.write_text(text)
    given = load_network(file)
    assert given.hardware == "neurons"
    assert given.network.couplings == pytest.approx(network.couplings)
    for wrong, words in (
        (text.replace("kT = 0.5", "kT = -1"), f"{file}:4: kT is -1.0"),
        (text.replace("kT", "KT"), f"{file}:4: unknown key 'KT'; did you mean 'kT'?"),
        (text.replace("J.csv", "K.csv"), f"{file}:3: couplings = 'K.csv': no such file"),
        (text.replace("network", "net"), f"{file}:1: task is 'net'"),
    ):
        file.write_text(wrong)
        with pytest.raises(InputError) as caught:
            load_network(file)
        assert words in str(caught.value)


# --- compiling -----------------------------------------------------------------------------


@pytest.mark.parametrize("hardware", ["ideal", "neurons"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("speedup", [1.0, 3.0])
def test_the_circuit_is_the_network(kind, hardware, speedup):
    network = single_cells(3) if kind == "rc-charge" else random_network(8)
    made = compile_network(network, hardware, architecture=kind, speedup=speedup)
    found = as_network(langevin(lower(made.device)), made.scales)
    wanted = network.sped_up(speedup)
    for key in ("J2", "J3", "J4", "couplings", "kT", "mobility"):
        assert np.asarray(getattr(found, key)) == pytest.approx(getattr(wanted, key), rel=1e-9, abs=1e-12), key
    assert found.input == pytest.approx(wanted.input - wanted.bias, rel=1e-9)
    again = Device.from_dict(json.loads(made.device.to_json()))
    assert again.hash == made.device.hash


def test_a_speedup_keeps_the_circuit_but_for_energies_and_noise():
    network = random_network(4)
    slow, fast = (compile_network(network, "neurons", architecture="rc-conductance", speedup=s) for s in (1.0, 3.0))
    assert slow.scales.time == fast.scales.time
    assert slow.scales.coordinate == fast.scales.coordinate
    for key, factor in (("capacitance", 1), ("noise", 3), ("polynomial_conductance_3", 3), ("bias", 3)):
        columns = slow.device.cell_columns.arrays[key], fast.device.cell_columns.arrays[key]
        assert columns[1] == pytest.approx(factor * columns[0])


def test_whose_heat_is_physical_is_said():
    network = random_network(2)
    voltages, fluxes = (compile_network(network, "neurons", architecture=kind) for kind in KINDS[:2])
    assert "not the circuit's heat" in voltages.heat
    assert "what the resistors take up" in fluxes.heat
    # A thermal circuit at the hardware's temperature, without any injected noise.
    assert np.isnan(fluxes.device.cell_columns.arrays["noise"]).all()
    assert predict_network(fluxes.device).theta == pytest.approx(1.380649e-23 * 300.15)


@pytest.mark.parametrize(
    ("network", "hardware", "kind", "words"),
    [
        (random_network(3), "spu8", None, "has no nonlinear cells"),
        (random_network(3), "neurons", "rc-charge", "coupling capacitors are no product of charges"),
        (single_cells(2), "neurons", "rc-charge", None),
        (ThermodynamicNetwork(-1, 0, 1), "neurons", "rc-charge", "voltage must rise with its charge"),
        (ThermodynamicNetwork(1, 0, 1, kT=0), "neurons", "rlc-flux", "they make noise"),
        (
            ThermodynamicNetwork(1, 0, 1, couplings=[[0, 1], [-1, 0]], reciprocal=False),
            "neurons",
            "rlc-flux",
            "not reciprocal",
        ),
        (ThermodynamicNetwork(1, 0, 1, couplings=[[0, 1e7], [1e7, 0]]), "neurons", "rc-conductance", "couplers go to"),
        (ThermodynamicNetwork([1, 1e10], 0, 0), "neurons", "rc-conductance", "no voltage scale"),
    ],
)
def test_what_the_hardware_cannot_hold(network, hardware, kind, words):
    if words is None:
        compile_network(network, hardware, architecture=kind)
        return
    with pytest.raises(Unrealizable) as caught:
        compile_network(network, hardware, architecture=kind)
    assert words in str(caught.value)


def test_networks_that_are_not_reciprocal_compile_to_transconductors():
    network = ThermodynamicNetwork(1, 0, 1, couplings=[[0, 1], [-2, 0]], reciprocal=False)
    device = compile_network(network).device
    found = predict_network(device)
    assert found.mean is None
    assert "x1 and x2 is not reciprocal" in found.why
    assert found.equation.stiffness[0, 1] * -2 == pytest.approx(found.equation.stiffness[1, 0])


# --- double wells --------------------------------------------------------------------------


def test_crossing_time_approaches_kramers():
    times = [crossing_time(-4.0, kT=kT) * kramers_rate(-4.0, kT=kT) for kT in (0.8, 0.4, 0.2)]
    gaps = np.abs(np.array(times) - 1)
    assert gaps[-1] < 0.05
    assert (np.diff(gaps) < 0).all()
    with pytest.raises(InputError, match="no two wells"):
        kramers_rate(1.0)
