"""Mean powers of elements: closed forms of one cell, both sides of the balance, sparse against dense."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import near
from linear_networks import network

import spu
from spu.base.constants import BOLTZMANN
from spu.base.errors import CircuitError
from spu.emulator.dynamics import device_law
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws import law as laws
from spu.emulator.laws import power
from spu.emulator.laws.large import SparseLaw
from spu.emulator.laws.power import mean_power

A = [[2.0, -0.5, 0.3], [-0.5, 1.5, -0.25], [0.3, -0.25, 1.0]]
b = [1.0, -2.0, 0.5]
C, G, L, S = 1e-9, 1e-3, 1e-5, 4e-20


def one_cell(temperature=0.0, **values):
    device = spu.Device(temperature=temperature)
    device.add_cell("a", capacitance=C, conductance=G, **values)
    return mean_power(device_law(device))


# Closed forms


def test_an_rc_cell_takes_up_what_its_noise_puts_in():
    """``E[v^2] = S / (4 G C)``, and half of ``S / 2`` over C is what white noise puts in."""
    found = one_cell(noise=S)
    assert found.noise == near(S / (4 * C), 1e-12)
    assert found.losses == near(G * S / (4 * G * C), 1e-12)
    assert found.heat == found.losses and found.supplied == found.noise and found.imbalance < 1e-15


def test_a_resistor_in_equilibrium_gives_off_nothing():
    """``kT / C`` at its conductance: what it loses it gets back, and no heat is left."""
    found = one_cell(temperature=300.0)
    assert found.losses == near(G * BOLTZMANN * 300.0 / C, 1e-12)
    assert found.thermal == near(found.losses, 1e-12)
    assert found.supplied == 0.0 and abs(found.heat) < 1e-12 * found.losses


def test_a_bias_current_delivers_its_own_loss():
    found = one_cell(noise=S, bias=1e-6)
    assert found.sources == near(1e-6**2 / G, 1e-12)
    assert found.losses == near(1e-6**2 / G + S / (4 * C), 1e-12)
    ringing = one_cell(noise=S, bias=1e-6, inductance=L)  # which shortens the current
    assert abs(ringing.sources) < 1e-12 * found.sources
    assert ringing.noise == near(S / (4 * C), 1e-12)


def test_a_transconductor_delivers_what_its_currents_take_out_of_nodes():
    """Two alike cells, ``G_ab = G_ba = g``: ``-2 g E[v_a v_b]``, which is positive where they move apart."""
    device = spu.Device(temperature=0.0)
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G, noise=S)
    device.add_coupler("a", "b", transconductance=0.5 * G)
    found = mean_power(device_law(device))
    P = S / (4 * C) * np.linalg.inv([[G, 0.5 * G], [0.5 * G, G]])
    assert found.active == near(-2 * 0.5 * G * P[0, 1], 1e-12) and found.active > 0
    assert found.noise == near(2 * S / (4 * C), 1e-12)
    assert sum(each.count for each in found.elements if each.kind == "active") == 2
    assert sum(each.size for each in found.elements if each.kind == "active") == near(G)


# Both sides


KINDS = ["rlc-capacitive", "rc-resistive", "rlc-capacitive-dual", "rc-resistive-dual", "rc-transconductor"]


@pytest.mark.parametrize(
    ("architecture", "hardware"), [*((kind, "ideal") for kind in KINDS), ("rlc-capacitive", "spu8-switched")]
)
def test_what_goes_in_is_lost(architecture, hardware):
    signed = architecture in ("rlc-capacitive-dual", "rc-resistive-dual", "rc-transconductor")
    matrix = np.array(A) if signed else -np.abs(A) + 2 * np.diag(np.diag(A))
    problem = spu.LinearSystem(matrix, b) if architecture.startswith("rc") else matrix
    device = spu.compile(problem, hardware, architecture=architecture)
    found = mean_power(device_law(device))
    assert found.imbalance < 1e-9 and found.noise > 0
    assert found.heat == near(found.supplied, 1e-9)
    assert found.white == (hardware == "spu8-switched")
    assert (found.sources > 0) == architecture.startswith("rc")


def test_details_and_spread_cells_balance():
    """Parasitics, hot cells, unequal parts: no formula knows these."""
    rng = np.random.default_rng(3)
    detail = spu.Detail(node={"capacitance": 1e-11, "conductance": 1e-6})
    device = spu.Device(temperature=300.0, detail=detail)
    for k in range(6):
        c, g, l, s = np.exp(0.5 * rng.standard_normal(4)) * (C, G, L, S)
        device.add_cell(f"c{k}", capacitance=c, conductance=g, noise=s, **({"inductance": l} if k % 2 else {}))
    for k in range(5):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=2e-10, conductance=1e-4, transconductance=(2e-5, -1e-5))
    found = mean_power(device_law(device))
    assert found.imbalance < 1e-12 and found.thermal > 0 and found.active != 0


SHARED = """
c1 a 0 1e-9
c2 b 0 1e-9
c3 a b 0.3e-9
r1 a 0 1e3
r2 b 0 2e3
i1 a 0 noise 4e-20
i2 b 0 noise 4e-20
"""


def test_shared_noise_counts_its_common_part():
    """One source into two nodes: what each puts in depends on the other's sign, and both are lost."""
    circuit = network(SHARED, "a b")
    apart = mean_power(laws.solve(stochastic_ode(circuit)))
    group = circuit.instances[0]
    elements = tuple(
        replace(element, noise_port="n_i1") if element.name == "i2" else element
        for element in group.subcircuit.elements
    )
    shared = replace(circuit, instances=[replace(group, subcircuit=replace(group.subcircuit, elements=elements))])
    found = mean_power(laws.solve(stochastic_ode(shared)))
    E = np.array([[1.3e-9, -0.3e-9], [-0.3e-9, 1.3e-9]])
    Q = 2e-20 * np.linalg.inv(E)
    assert apart.noise == near(0.5 * np.trace(Q), 1e-12)
    assert found.noise == near(0.5 * Q.sum(), 1e-12)
    assert found.imbalance < 1e-12 and apart.imbalance < 1e-12


@pytest.mark.parametrize("more", ["", "l1 a m 1e-3\nr3 m 0 10.0\n"])
def test_voltage_sources_deliver_what_is_left(more):
    """A supply over a divider: ``V^2 / (r1 + r2)``, whose current nobody solves for in a small network."""
    circuit = network(f"v1 s 0 2.0\nr1 s a 1e3\nr2 a 0 1e3\nc1 a 0 1e-9\n{more}", "a")
    found = mean_power(laws.solve(stochastic_ode(circuit)))
    current = 2.0 / (1e3 + 1 / (1e-3 + (0.1 if more else 0.0)))
    assert found.sources == near(2.0 * current, 1e-12)
    assert found.sources == near(found.losses, 1e-12)
    assert [each.element for each in found.elements if each.kind == "source"] == ["voltage sources"]


def test_thermal_noise_across_a_node_without_capacitance():
    """Two resistors in series into a capacitor: kT/C, finite; what goes from one to the other is white, and said."""
    circuit = network("r1 a m 1e3\nr2 m 0 3e3\nc1 a 0 1e-9\n", "a", temperature=300.0)
    found = mean_power(laws.solve(stochastic_ode(circuit)))
    assert found.white and found.imbalance < 1e-12
    # Each takes up its share of what the capacitor drives through both, and its noise puts in as much.
    lost = BOLTZMANN * 300.0 / 1e-9 / 4e3
    assert found.thermal == near(lost, 1e-12) and abs(found.heat) < 1e-12 * lost


# Large networks


def line(n):
    return sp.csr_array(sp.diags_array([-np.ones(n - 1), 2.3 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]))


@pytest.mark.parametrize(
    ("architecture", "temperature"),
    [
        *(("rlc-capacitive", 0.0), ("rlc-capacitive", 300.0), ("rc-resistive", 0.0), ("rc-resistive", 300.0)),
        ("rc-transconductor", 0.0),
    ],
)
def test_sparse_and_dense_agree(architecture, temperature, monkeypatch):
    device = spu.compile(line(40).toarray(), architecture=architecture)
    device.temperature = temperature
    law = device_law(device)
    dense = mean_power(law)
    found = laws.sparse_stationary(law.sde)
    assert isinstance(found, SparseLaw)
    monkeypatch.setattr(power, "_DENSE", 0)
    sparse = mean_power(found)
    for name in ("losses", "thermal", "noise", "active"):
        assert getattr(sparse, name) == pytest.approx(getattr(dense, name), rel=1e-10, abs=1e-25), name
    assert sparse.imbalance < 1e-9


def test_large_equilibrium_takes_entries_that_its_energy_does_not_couple():
    """Capacitors couple neighbours, resistors the next but one: entries that the energy does not have."""
    n = 30
    device = spu.Device(temperature=300.0)
    for k in range(n):
        device.add_cell(f"c{k}", capacitance=C * (1 + 0.01 * k), conductance=G)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=3e-10)
    for k in range(n - 2):
        device.add_coupler(f"c{k}", f"c{k + 2}", conductance=2e-4)
    sde = device_law(device).sde
    thermal = laws.equilibrium(sde)
    assert thermal is not None
    found = mean_power(thermal)
    # In equilibrium each resistor has what its own noise puts in, over all modes.
    assert found.losses == near(found.thermal, 1e-10)
    assert mean_power(device_law(device)).losses == near(found.losses, 1e-10)


def test_powers_that_do_not_balance_are_refused(monkeypatch):
    device = spu.compile(A, architecture="rc-transconductor")
    law = device_law(device)
    exact = power._covariance(law)
    monkeypatch.setattr(power, "_covariance", lambda _: lambda matrix: 1.001 * exact(matrix))
    with pytest.raises(CircuitError, match="do not balance, by"):
        mean_power(law)
