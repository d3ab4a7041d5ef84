"""The stationary law against closed forms and independent formulas; what has none is refused by name."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import KT, Nodal, T, difference, kronecker, law_of, near, random_device, rc_pair, rlc_pair
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, quad_vec

from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import CircuitError, InputError
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.stationary import lyapunov, stationary

SEEDS = range(6)


# Closed form


@pytest.mark.parametrize("temperature", [0.0, T, 4.2])
def test_one_rlc_cell(temperature):
    c, g, l, s = 1e-9, 1e-3, 1e-5, 4e-20
    device = Device(temperature=temperature)
    device.add_cell("a", capacitance=c, conductance=g, inductance=l, noise=s)
    law = law_of(device)
    effective = s / (4 * g) + KT * temperature / T
    assert law.voltage_covariance == near(np.array([[effective / c]]), rel=1e-12)
    assert law.state_variance == near([effective / c, effective / l], rel=1e-12)
    assert law.sde.state_names == ("v(a)", "i(l1 of xcell_a)")
    # Voltage and inductor current are uncorrelated: energy coordinates are equal and independent.
    assert law.covariance == pytest.approx(effective * np.eye(2), rel=1e-12, abs=1e-12 * effective)
    assert law.poles * 2 * c / g == near(-1 + np.sqrt(1 - 4 * c / (l * g**2) + 0j) * np.array([1, -1]), rel=1e-12)


def test_one_rc_cell_with_bias():
    c, g, s, bias = 2e-9, 3e-4, 1e-19, -7e-7
    device = Device(temperature=0)
    device.add_cell("a", capacitance=c, conductance=g, noise=s, bias=bias)
    law = law_of(device)
    assert law.voltage_mean == near([bias / g], rel=1e-13)
    assert law.voltage_covariance == near(np.array([[s / (4 * g * c)]]), rel=1e-13)
    assert law.time_constants == near([c / g], rel=1e-13)
    lags = np.array([-2.0, -0.3, 0.0, 0.3, 2.0]) * c / g
    expected = s / (4 * g * c) * np.exp(-np.abs(lags) * g / c)
    assert law.autocovariance(lags)[:, 0, 0] == near(expected, rel=1e-12)


def test_inductor_shorts_the_bias():
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20, bias=1e-6)
    law = law_of(device)
    assert abs(law.voltage_mean[0]) < 1e-25
    state = law.dense.to_state @ law.dense.mean
    assert state[1] == near(1e-6, rel=1e-12)


def test_mean_flux_of_coupled_inductors():
    """Linear systems on inductors: L^-1 phi = bias."""
    device = Device(temperature=0)
    inductance = {"a": 1e-5, "b": 2e-5}
    bias = np.array([3e-6, -1e-6])
    for name, i in zip("ab", bias, strict=True):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, inductance=inductance[name], noise=1e-20, bias=i)
    device.add_coupler("a", "b", inductance=4e-5)
    law = law_of(device)  # the three inductors form a loop
    assert law.sde.conserved
    inverse = np.array([[1 / 1e-5 + 1 / 4e-5, -1 / 4e-5], [-1 / 4e-5, 1 / 2e-5 + 1 / 4e-5]])
    flux = np.linalg.solve(inverse, bias)
    state = dict(zip(law.sde.state_names, law.dense.to_state @ law.dense.mean, strict=True))
    currents = {"i(l1 of xcell_a)": flux[0] / 1e-5, "i(l1 of xcell_b)": flux[1] / 2e-5}
    currents["i(l1 of xcoupler_l_a_b)"] = (flux[0] - flux[1]) / 4e-5
    kept = [name for name in law.sde.state_names if name.startswith("i(")]
    assert len(kept) == 2
    for name in kept:
        assert state[name] == near(currents[name], rel=1e-10), name


def test_two_rlc_cells_coupled():
    """Equal cells, capacitor k between: modes 1/c and 1/(c + 2k)."""
    c, k, g, s = 1e-9, 3e-10, 1e-3, 4e-20
    device = Device(temperature=0)
    for name in "ab":
        device.add_cell(name, capacitance=c, conductance=g, inductance=1e-5, noise=s)
    device.add_coupler("a", "b", capacitance=k)
    effective = s / (4 * g)
    common, opposite = effective / c, effective / (c + 2 * k)
    same, other = (common + opposite) / 2, (common - opposite) / 2
    assert law_of(device).voltage_covariance == near(np.array([[same, other], [other, same]]), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_rlc_cells_with_equal_products(seed):
    """kT_eff C^-1 wherever S R is the same for all cells, whatever L and R."""
    rng = np.random.default_rng(seed)
    device = Device(temperature=0)
    for k in range(5):
        g = 1e-3 * 10 ** rng.uniform(-0.5, 0.5)
        device.add_cell(
            f"c{k}", capacitance=1e-9, conductance=g, inductance=10.0 ** rng.uniform(-6, -4), noise=4e-17 * g
        )
    for k in range(4):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=10.0 ** rng.uniform(-10, -9))
    effective = 4e-17 / 4
    law = law_of(device)
    assert difference(law.voltage_covariance, effective * np.linalg.inv(Nodal(device).C)) < 1e-11
    inductances = [cell.values["inductance"] for cell in device.cells]
    is_current = [name.startswith("i(") for name in law.sde.state_names]
    assert law.state_variance[is_current] == near(effective / np.array(inductances), rel=1e-10)


@pytest.mark.parametrize("temperature", [0.0, T])
def test_rc_resistive(temperature):
    """(S/4c) G^-1 from the injected noise, (kT/c) I from the resistors."""
    rng = np.random.default_rng(1)
    c, s = 1e-9, 5e-20
    device = Device(temperature=temperature)
    for k in range(6):
        device.add_cell(f"c{k}", capacitance=c, conductance=1e-3 * rng.uniform(0.1, 1), noise=s, bias=1e-6 * k)
    for a in range(6):
        for b in range(a):
            device.add_coupler(f"c{a}", f"c{b}", conductance=3e-4 * rng.uniform(0.1, 1))
    G = Nodal(device).G
    law = law_of(device)
    expected = s / (4 * c) * np.linalg.inv(G) + KT * temperature / T / c * np.eye(6)
    assert difference(law.voltage_covariance, expected) < 1e-11
    assert law.voltage_mean == near(np.linalg.solve(G, 1e-6 * np.arange(6)), rel=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("inductors", [False, True])
def test_non_reciprocal_against_kronecker(seed, inductors):
    rng = np.random.default_rng(seed)
    device = random_device(rng, 4, temperature=T * (seed % 2), inductors=inductors, transconductors=True)
    nodal = Nodal(device)
    assert np.linalg.eigvals(nodal.drift()[0]).real.max() < 0
    law = law_of(device)
    assert difference(law.voltage_covariance, nodal.covariance()) < 1e-10
    if not inductors:
        assert law.voltage_mean == near(np.linalg.solve(nodal.G, nodal.bias), rel=1e-10)


def test_transconductance_sign_moves_the_covariance_as_it_should():
    """RC cells of unit scale with G = [[2, g], [g, 2]]: covariance G^-1, off-diagonal opposite to g."""
    for g in (1e-3, -1e-3):
        device = Device(temperature=0)
        for name in "ab":
            device.add_cell(name, capacitance=1e-9, conductance=2e-3, noise=4e-20)
        device.add_coupler("a", "b", transconductance=g)
        expected = 4e-20 / (4 * 1e-9) * np.linalg.inv([[2e-3, g], [g, 2e-3]])
        assert difference(law_of(device).voltage_covariance, expected) < 1e-13


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_lyapunov_solver(size):
    rng = np.random.default_rng(size)
    A = rng.standard_normal((size, size)) - 3 * np.sqrt(size) * np.eye(size)
    b = rng.standard_normal((size, 1))
    assert difference(lyapunov(A, b @ b.T), kronecker(A, b @ b.T)) < 1e-11
    assert not lyapunov(A, np.zeros((size, size))).any()


# Equipartition


def reduced_inverse(device: Device) -> np.ndarray:
    """Inverse of the capacitance matrix on voltages for which every isolated charge is zero."""
    C, n = Nodal(device).C, len(device.cells)
    names = [cell.name for cell in device.cells]
    group = list(range(n))

    def merge(a: int, b: int) -> None:
        group[:] = [group[a] if label == group[b] else label for label in group]

    tied = [k for k, cell in enumerate(device.cells) if {"conductance", "inductance"} & cell.values.keys()]
    for coupler in device.couplers:
        if {"conductance", "inductance"} & coupler.values.keys():
            merge(names.index(coupler.a), names.index(coupler.b))
    drained = {group[k] for k in tied}
    isolated = [np.array([label == g for label in group], float) for g in sorted(set(group) - drained)]
    if not isolated:
        return np.linalg.inv(C)
    constraint = np.array(isolated) @ C
    basis = np.linalg.svd(constraint)[2][len(constraint) :].T
    return basis @ np.linalg.inv(basis.T @ C @ basis) @ basis.T


def thermal(cells: dict[str, dict[str, float]], couplers: dict[str, dict[str, float]]) -> Device:
    device = Device(temperature=T)
    for name, values in cells.items():
        device.add_cell(name, **values)
    for pair, values in couplers.items():
        device.add_coupler(pair[0], pair[1], **values)
    return device


c, g, l = {"capacitance": 1e-9}, {"conductance": 1e-3}, {"inductance": 1e-5}
PASSIVE = {
    "rc": thermal({"a": {**c, **g}}, {}),
    "rlc": thermal({"a": {**c, **g, **l}}, {}),
    "coupled": thermal({"a": {**c, **g, **l}, "b": {"capacitance": 3e-9, **g}}, {"ab": {"capacitance": 5e-10}}),
    "resistive coupler only": thermal({"a": {**c, **l}, "b": c}, {"ab": g}),
    "inductive coupler": thermal({"a": {**c, **g}, "b": {"capacitance": 2e-9, **g}}, {"ab": l}),
    "inductor loop": thermal(
        {name: {"capacitance": k * 1e-9, **g} for k, name in enumerate("abc", 1)},
        {"ab": l, "bc": {"inductance": 2e-5}, "ca": {"inductance": 7e-5}},
    ),
    "loop through ground": thermal({"a": {**c, **g, **l}, "b": {**c, **g, **l}}, {"ab": {"inductance": 3e-5}}),
    "two loops": thermal(
        {name: {**c, **g, "inductance": 1e-5 * k} for k, name in enumerate("abcd", 1)},
        {"ab": l, "bc": {"inductance": 2e-5}, "cd": {"inductance": 7e-5}, "da": l, "ac": {"inductance": 3e-6}},
    ),
    "cut-set": thermal({"a": {**c, **g}, "b": {"capacitance": 4e-9}}, {"ab": {"capacitance": 2e-9}}),
    "cut-set without own capacitance": thermal(
        {"a": {**c, **g}, "b": {}, "d": {"capacitance": 3e-9, **g}},
        {"ab": {"capacitance": 2e-9}, "bd": {"capacitance": 1e-9}},
    ),
    "cut-set of two nodes": thermal(
        {"a": {**c, **g}, "b": {"capacitance": 3e-9}, "d": {"capacitance": 5e-10}},
        {"ab": {"capacitance": 2e-9}, "bd": {"conductance": 1e-4, "capacitance": 1e-10}},
    ),
    "two cut-sets": thermal(
        {"a": {**c, **g}, "b": {"capacitance": 3e-9}, "d": {"capacitance": 5e-10}, "e": c},
        {"ab": {"capacitance": 2e-9}, "bd": {"capacitance": 1e-10}, "de": {"conductance": 1e-4}},
    ),
    "cut-set with an inductor": thermal(
        {"a": {**c, **g}, "b": {"capacitance": 3e-9}, "d": {"capacitance": 5e-10}},
        {"ab": {"capacitance": 2e-9}, "bd": {"conductance": 1e-4, "inductance": 1e-5}},
    ),
}


@pytest.mark.parametrize("name", PASSIVE)
def test_equipartition(name):
    """A passive network at one temperature: kT of the inverse capacitance, whatever R and L."""
    device = PASSIVE[name]
    law = law_of(device)
    assert difference(law.voltage_covariance, KT * reduced_inverse(device)) < 1e-10
    size = len(law.covariance)
    assert difference(law.covariance, KT * np.eye(size)) < 1e-10
    assert law.sde.conserved == ("loop" in name or "cut-set" in name)


def test_conserved_states_are_dropped():
    assert len(law_of(PASSIVE["cut-set"]).poles) == 1
    assert len(law_of(PASSIVE["two cut-sets"]).poles) == 2
    assert len(law_of(PASSIVE["inductor loop"]).poles) == 5
    assert len(law_of(PASSIVE["two loops"]).poles) == 8


magnitude = st.floats(-1.0, 1.0).map(lambda x: 10.0**x)


@st.composite
def passive_networks(draw):
    """Every node holds capacitance; conductances, inductances and couplers anywhere."""
    n = draw(st.integers(1, 5))
    device = Device(temperature=T)
    scale = {"capacitance": 1e-9, "conductance": 1e-3, "inductance": 1e-5}

    def parts(kinds):
        chosen = draw(st.sets(st.sampled_from(kinds), max_size=3))
        return {kind: scale[kind] * draw(magnitude) for kind in sorted(chosen)}

    for k in range(n):
        device.add_cell(f"c{k}", capacitance=1e-9 * draw(magnitude), **parts(["conductance", "inductance"]))
    for a in range(n):
        for b in range(a):
            values = parts(list(scale))
            if values and draw(st.booleans()):
                device.add_coupler(f"c{a}", f"c{b}", **values)
    return device


@settings(max_examples=40, deadline=None, derandomize=True)
@given(passive_networks())
def test_equipartition_of_random_networks(device):
    try:
        law = law_of(device)
    except CircuitError as error:
        # Only an undamped mode is left to refuse.
        assert any(why in error.message for why in ("does not decay", "nothing in the circuit", "has no state"))
        assume(False)
    # A mode that is nearly undamped amplifies rounding by its quality factor.
    quality = np.abs(law.poles).max() * law.time_constants[0]
    assert difference(law.covariance, KT * np.eye(len(law.covariance))) < 1e-12 * max(quality, 100)
    assert difference(law.voltage_covariance, KT * reduced_inverse(device)) < 1e-12 * max(quality, 100)


# Nodes without capacitance


def t_network(temperature: float = 0.0, noise: float = 0.0) -> Device:
    """Two RC cells joined over a node m that has only resistors."""
    device = Device(temperature=temperature)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20, bias=2e-6)
    device.add_cell("m", conductance=5e-4, noise=noise, bias=1e-6)
    device.add_cell("b", capacitance=2e-9, conductance=3e-4, noise=1e-20)
    device.add_coupler("a", "m", conductance=2e-3)
    device.add_coupler("m", "b", conductance=1e-3)
    return device


def test_algebraic_node_at_zero_temperature():
    """m is a resistive divider: Kron reduction by hand."""
    device = t_network()
    law = law_of(device)
    G, total = Nodal(device).G, 2e-3 + 1e-3 + 5e-4
    keep = [0, 2]
    reduced = G[np.ix_(keep, keep)] - np.outer(G[keep, 1], G[1, keep]) / total
    bias = np.array([2e-6, 0.0]) - G[keep, 1] * 1e-6 / total
    C = np.diag([1e-9, 2e-9])
    A = -np.linalg.inv(C) @ reduced
    Q = np.linalg.inv(C) @ np.diag([2e-20, 0.5e-20]) @ np.linalg.inv(C)
    P, mean = kronecker(A, Q), np.linalg.solve(reduced, bias)
    divider = np.array([[1.0, 0.0], [2e-3 / total, 1e-3 / total], [0.0, 1.0]])
    assert difference(law.voltage_covariance, divider @ P @ divider.T) < 1e-12
    assert law.voltage_mean == near(divider @ mean + [0, 1e-6 / total, 0], rel=1e-12)


def test_algebraic_node_is_in_thermal_equilibrium():
    """Thermal noise carried through the elimination: correlated, and exactly kT on the rest."""
    device = Device(temperature=T)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3)
    device.add_cell("m", conductance=5e-4)
    device.add_cell("b", capacitance=2e-9)
    device.add_cell("q", inductance=1e-5)
    device.add_coupler("a", "m", conductance=2e-3)
    device.add_coupler("m", "b", conductance=1e-3)
    device.add_coupler("m", "q", conductance=1e-2)
    circuit = lower(device)
    quiet = replace(circuit, probes=["a", "b"], probe_nodes=circuit.probe_nodes[[0, 2]])
    law = stationary(stochastic_ode(quiet))
    assert difference(law.covariance, KT * np.eye(3)) < 1e-10
    assert difference(law.voltage_covariance, KT * np.diag([1e9, 0.5e9])) < 1e-10


def test_floating_capacitor_is_one_algebraic_node():
    """a and b hang on a capacitor between them; only their difference is a state."""
    device = Device(temperature=0)
    device.add_cell("a", conductance=1e-3)
    device.add_cell("b", conductance=2e-3)
    device.add_coupler("a", "b", capacitance=1e-9)
    device.add_cell("d", capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("a", "d", conductance=1e-3)
    law, nodal = law_of(device), Nodal(device)
    assert len(law.poles) == 2
    for f in (1e2, 1e5, 1e7):
        assert difference(law.spectrum([f])[0], nodal.spectrum(f)) < 1e-10
    assert difference(law.voltage_covariance, band_by_quadrature(device, 0, np.inf)) < 1e-9


def test_conserved_charge_behind_an_algebraic_node():
    """b's charge is conserved on a capacitor whose other end has no capacitance to ground: v_b = v_a."""
    device = Device(temperature=0)
    device.add_cell("a", conductance=1e-3)
    device.add_cell("b")
    device.add_cell("d", capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("a", "b", capacitance=1e-10)
    device.add_coupler("a", "d", conductance=1e-3)
    P = law_of(device).voltage_covariance
    d = 1e-20 / (4 * 1.5e-3 * 1e-9)
    assert difference(P, d * np.array([[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1.0]])) < 1e-12


def band_by_quadrature(device: Device, low: float, high: float) -> np.ndarray:
    """Integral of the real cross-spectrum from the nodal admittance, over the angle of f = f0 tan(angle)."""
    nodal = Nodal(device)
    poles = np.sort(np.abs(law_of(device).poles)) / (2 * np.pi)
    middle = float(np.sqrt(poles[0] * poles[-1]))

    def integrand(angle: float) -> np.ndarray:
        return nodal.spectrum(middle * max(np.tan(angle), 1e-12)).real * middle / np.cos(angle) ** 2

    ends = np.arctan(np.array([low, high]) / middle)
    cuts = [ends[0], *(x for x in np.arctan(poles / middle) if ends[0] < x < ends[1]), ends[1]]
    size = np.abs(integrand(np.pi / 4)).max()
    parts = [
        quad_vec(integrand, start, end, epsabs=1e-14 * size, epsrel=1e-12, limit=1000)[0]
        for start, end in pairwise(cuts)
    ]
    return sum(parts, np.zeros_like(nodal.C))


# Spectra, autocovariance, transfer

DEVICES = {
    "rc": rc_pair(T),
    "rlc": rlc_pair(),
    "random": random_device(np.random.default_rng(5), 4, temperature=T, transconductors=True),
    "loops": PASSIVE["two loops"],
    "loop away from ground": PASSIVE["inductor loop"],
    "algebraic": t_network(T, noise=2e-20),
}


@pytest.mark.parametrize("name", DEVICES)
def test_transfer_and_spectrum_against_nodal_admittance(name):
    device = DEVICES[name]
    law, nodal = law_of(device), Nodal(device)
    frequencies = np.geomspace(1e2, 1e9, 15)
    transfer, spectrum = law.transfer(frequencies), law.spectrum(frequencies)
    for k, f in enumerate(frequencies):
        assert difference(spectrum[k], nodal.spectrum(f)) < 1e-9
        for source, (here, density) in nodal.injected.items():
            expected = np.linalg.solve(nodal.admittance(f), here) * np.sqrt(density) / UNIT_NOISE_DENSITY
            found = transfer[k][:, law.sde.noise_names.index(source)]
            assert difference(found, expected) < 1e-9, source


@pytest.mark.parametrize("name", ["cut-set of two nodes", "two cut-sets", "cut-set with an inductor"])
def test_spectrum_of_cut_sets(name):
    """Well above 0 Hz, where the admittance of an isolated charge vanishes."""
    law, nodal = law_of(PASSIVE[name]), Nodal(PASSIVE[name])
    for f in (1e5, 1e6, 1e7):
        assert difference(law.spectrum([f])[0], nodal.spectrum(f)) < 1e-9


@pytest.mark.parametrize("name", ["rc", "rlc", "random", "loops", "loop away from ground"])
def test_spectrum_integrates_to_the_covariance(name):
    device = DEVICES[name]
    law = law_of(device)
    assert difference(law.voltage_covariance, band_by_quadrature(device, 0, np.inf)) < 1e-9
    assert difference(law.band_covariance(0, np.inf), law.voltage_covariance) < 1e-12
    # Hermitian, with non-negative eigenvalues.
    spectrum = law.spectrum(np.geomspace(1e3, 1e8, 9))
    assert spectrum == near(np.conj(np.swapaxes(spectrum, 1, 2)), rel=1e-12)
    assert all(np.linalg.eigvalsh(matrix).min() > -1e-12 * np.abs(matrix).max() for matrix in spectrum)


@pytest.mark.parametrize("name", ["rc", "rlc", "random", "loops", "loop away from ground"])
def test_autocovariance(name):
    law = law_of(DEVICES[name])
    slowest = law.time_constants[0]
    lags = np.array([0.0, 0.1, 1.0, 5.0]) * slowest
    R = law.autocovariance(lags)
    assert difference(R[0], law.voltage_covariance) < 1e-13
    assert law.autocovariance(-lags) == near(np.swapaxes(R, 1, 2), rel=1e-14)
    late = law.autocovariance([30 * slowest, 60 * slowest])
    assert np.abs(late[0]).max() < 1e-11 * np.abs(R[0]).max()
    assert np.abs(late[1]).max() < 1e-23 * np.abs(R[0]).max()


def test_autocovariance_against_the_spectrum():
    """Wiener-Khinchin for a non-reciprocal pair: int Re S cos + Im S sin, an asymmetric matrix."""
    device = rc_pair()
    device.coupler_columns.arrays["transconductance_ab"][:] = 2e-4
    device.coupler_columns.arrays["transconductance_ba"][:] = -4e-4
    law, nodal = law_of(device), Nodal(device)
    lag, unit = 1e-6, 1e5  # s; Hz, so that quad's integrands are of order one
    size = np.abs(nodal.spectrum(0.01)).max()

    def part(x: float, i: int, j: int, which: str) -> float:
        return getattr(nodal.spectrum(max(x, 1e-9) * unit)[i, j], which) / size

    # R(t) = E[y(t) y(0)^T] = Re int_0^inf S(f) exp(2 pi j f t) df, S one-sided
    expected = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            for which, weight, sign in (("real", "cos", 1.0), ("imag", "sin", -1.0)):
                area, _ = quad(
                    part, 0, np.inf, args=(i, j, which), weight=weight, wvar=2 * np.pi * lag * unit, epsabs=1e-9
                )
                expected[i, j] += sign * area * size * unit
    R = law.autocovariance([lag])[0]
    assert abs(R[0, 1] - R[1, 0]) > 0.1 * np.abs(R[0, 1])
    assert difference(R, expected) < 1e-6


# Bands


def critically_damped(temperature: float = 0.0) -> Device:
    """Q = 1/2 exactly in binary: C = L = 1, R = 1/2, scaled by powers of two; the drift is defective."""
    device = Device(temperature=temperature)
    device.add_cell("a", capacitance=2.0**-30, conductance=2.0**-10, inductance=2.0**-8, noise=1e-20)
    device.add_cell("b", capacitance=2.0**-30, conductance=2.0**-9, inductance=2.0**-10, noise=1e-20)
    return device


BANDED = {"rc": rc_pair(), "rc at T": rc_pair(T), "rlc": rlc_pair(), "critical": critically_damped()}


BANDS = [(0.0, 1e5), (2e4, 3e5), (1e5, 1.001e5), (3e5, np.inf), (0.0, np.inf), (1e3, 1e7)]


@pytest.mark.parametrize("name", BANDED)
@pytest.mark.parametrize("band", BANDS)
def test_band_covariance_against_quadrature(name, band):
    device = BANDED[name]
    law = law_of(device)
    expected = band_by_quadrature(device, *band)
    # What a narrow band holds is the difference of two logarithms: rounding is that of the whole.
    rounding = 1e-14 * np.linalg.norm(law.voltage_covariance) / np.linalg.norm(expected)
    assert difference(law.band_covariance(*band), expected) < 1e-10 + rounding


def test_band_far_above_the_poles_gives_no_warning():
    law = law_of(critically_damped())
    assert difference(law.band_covariance(0.0, 1e8), law.voltage_covariance) < 1e-2


def test_the_critical_cells_are_critical():
    for cell in critically_damped().cells:
        v = cell.values
        assert v["conductance"] ** 2 * v["inductance"] / v["capacitance"] == 4.0  # Q = 1/2
    # The drift has one eigenvector a cell.
    dense = law_of(critically_damped()).dense
    assert np.linalg.cond(np.linalg.eig(dense.A)[1]) > 1e7


@pytest.mark.parametrize("band", [(0.0, 1e5), (1e4, 1e6), (1e6, 1.01e6)])
@pytest.mark.parametrize("resonant", [False, True])
def test_band_with_white_feedthrough(band, resonant):
    """The node m without capacitance sees white noise: a band makes its variance finite."""
    device = t_network(T, noise=2e-20)
    if resonant:  # the drift is then not symmetric
        device.cell_columns.arrays["inductance"][:] = [1e-5, np.nan, np.nan]
        device.coupler_columns.arrays["transconductance_ab"][:] = [1e-3, np.nan]
        device.coupler_columns.arrays["transconductance_ba"][:] = [-5e-4, np.nan]
    law = law_of(device)
    assert np.abs(law.dense.D[1]).max() > 0
    assert difference(law.band_covariance(*band), band_by_quadrature(device, *band)) < 1e-9


def test_bands_add_up():
    law = law_of(rlc_pair(T))
    edges = [0.0, 1e4, 1e5, 3e5, 1e7, np.inf]
    parts = [law.band_covariance(low, high) for low, high in pairwise(edges)]
    assert difference(sum(parts), law.voltage_covariance) < 1e-12


@pytest.mark.parametrize("band", [(1e5, 1e5), (2e5, 1e5), (-1.0, 1e5), (np.nan, 1e5), (0.0, np.nan), (np.inf, np.inf)])
def test_bad_bands(band):
    with pytest.raises(InputError, match="0 <= F1 < F2"):
        law_of(rc_pair()).band_covariance(*band)


# Refusals


def refuse(device: Device) -> CircuitError:
    with pytest.raises(CircuitError) as caught:
        assert law_of(device).voltage_covariance is None
    return caught.value


def add_sound_cell(device: Device) -> None:
    device.add_cell("sound", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=1e-20)


@pytest.mark.parametrize("values", [{}, {"noise": 1e-20}, {"bias": 1e-6}])
def test_floating_node(values):
    device = Device()
    add_sound_cell(device)
    device.add_cell("loose", **values)
    error = refuse(device)
    assert error.nodes == ("loose",)
    assert "floating" in error.message
    assert "loose" in error.message


def test_floating_island():
    device = Device()
    add_sound_cell(device)
    device.add_cell("p")
    device.add_cell("q")
    device.add_coupler("p", "q", capacitance=1e-9, conductance=1e-3)
    assert refuse(device).nodes == ("p", "q")


def test_singular_elimination():
    """Transconductances cancel the conductance matrix of two nodes without capacitance."""
    device = Device(temperature=0)
    add_sound_cell(device)
    for name in "pq":
        device.add_cell(name, conductance=1e-3)
    device.add_coupler("p", "q", transconductance=1e-3)
    error = refuse(device)
    assert set(error.nodes) == {"p", "q"}
    assert "singular" in error.message


def test_noise_into_inductors_only():
    device = Device(temperature=0)
    add_sound_cell(device)
    device.add_cell("m", inductance=1e-5, noise=1e-20)
    device.add_coupler("m", "sound", inductance=1e-5)
    error = refuse(device)
    assert error.nodes == ("m",)
    assert "derivative of white noise" in error.message


def test_inductors_in_series():
    """A node between inductors alone divides the voltage; the two currents are one state."""
    device = Device(temperature=0)
    add_sound_cell(device)
    device.add_cell("m")
    device.add_cell("end", capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("m", "sound", inductance=1e-5)
    device.add_coupler("m", "end", inductance=3e-5)
    law = law_of(device)
    assert len(law.poles) == 4
    divider = np.array([[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]])
    assert (
        difference(law.voltage_covariance, divider @ law.voltage_covariance[np.ix_([0, 2], [0, 2])] @ divider.T) < 1e-12
    )


@pytest.mark.parametrize(("values", "word"), [({"noise": 1e-20}, "random walk"), ({"bias": 1e-6}, "without bound")])
def test_driven_conserved_charge(values, word):
    device = Device(temperature=0)
    add_sound_cell(device)
    device.add_cell("store", capacitance=1e-9, **values)
    device.add_coupler("store", "sound", capacitance=1e-9)
    error = refuse(device)
    assert error.nodes == ("store",)
    assert word in error.message


def test_opposite_biases_leave_the_charge_alone():
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, bias=1e-6)
    device.add_cell("b", capacitance=3e-9, bias=-1e-6)
    device.add_coupler("a", "b", conductance=1e-3)
    mean = law_of(device).voltage_mean
    assert mean == near([1e-3 * 0.75, -1e-3 * 0.25], rel=1e-12)


@pytest.mark.parametrize("coupling", [2e-3, (3e-3, 2e-3), -2e-3])
def test_unstable_mode(coupling):
    device = Device(temperature=0)
    add_sound_cell(device)
    for name in "pq":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("p", "q", transconductance=coupling)
    error = refuse(device)
    assert set(error.nodes) == {"p", "q"}
    assert "grows" in error.message


def test_marginal_mode():
    device = Device(temperature=0)
    for name in "pq":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("p", "q", transconductance=1e-3)
    assert "does not decay" in refuse(device).message


@pytest.mark.parametrize("n", [1, 2, 8])
def test_lossless_lc(n):
    """Alone, and as the undamped common mode of cells of one frequency with resistors between them."""
    rng = np.random.default_rng(n)
    device = Device(temperature=T)
    for k in range(n):
        size = 10.0 ** rng.uniform(-0.5, 0.5)
        device.add_cell(f"c{k}", capacitance=1e-9 * size, inductance=1e-5 / size)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", conductance=1e-4 * (k + 1))
    error = refuse(device)
    assert "does not decay" in error.message
    assert {f"c{k}" for k in range(n)} & set(error.nodes)


def test_readout_of_white_noise_needs_a_band():
    error = refuse(t_network(T))
    assert error.nodes == ("m",)
    assert "band" in error.message
    law = law_of(t_network(T))
    with pytest.raises(InputError, match="infinite"):
        law.band_covariance(0, np.inf)


@pytest.mark.parametrize("values", [{"capacitance": 1e-9}, {"conductance": 1e-3}])
def test_nothing_moves(values):
    device = Device(temperature=0)
    device.add_cell("a", **values)
    assert refuse(device).nodes in (("a",), ("v(a)",))
