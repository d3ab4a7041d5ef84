"""Networks in thermal equilibrium: their law is kT E^-1, by sparse means; held against the dense ways beside it."""

import re

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from ladder_decks import passive, rc_chain, rlc_line
from linear_decks import DECKS

import spu
from spu.base.constants import BOLTZMANN
from spu.base.errors import CircuitError, InternalError, SpuError
from spu.circuit.circuit import stamp_circuit
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.equations.thermal import thermal_energy
from spu.emulator.laws.equilibrium import Equilibrium, LargeEquilibrium, equilibrium
from spu.emulator.laws.ladders import chain_order, tridiagonal_eigenvalues
from spu.emulator.laws.large import SparseStationary
from spu.emulator.laws.law import solve
from spu.emulator.laws.stationary import Stationary, stationary

KT = BOLTZMANN * 300.15  # a deck's own temperature is 27 Celsius


@pytest.fixture
def small_is_sparse(monkeypatch):
    """Small networks go the ways of large ones: sources by the graph, equilibrium by sparse means."""
    monkeypatch.setattr("spu.emulator.equations.linear._SMALL", 0)
    monkeypatch.setattr("spu.emulator.laws.law.EXTENDED", 0)


def circuit_of(tmp_path, text, **options):
    path = tmp_path / "deck.cir"
    path.write_text(text)
    return spu.read_netlist(path, **options).circuit


def dense_law(circuit) -> Stationary:
    """The law in general, whatever it is of."""
    return stationary(stochastic_ode(circuit))


def closest(found, expected):
    """The largest distance of each of the expected numbers from the nearest found one, relative to itself."""
    return (np.abs(expected[:, None] - found).min(axis=1) / np.abs(expected)).max()


# --- sources by the graph -----------------------------------------------------------------------


@pytest.mark.parametrize("name", DECKS)
def test_sources_by_the_graph_are_those_in_general(tmp_path, monkeypatch, name):
    circuit = circuit_of(tmp_path, DECKS[name], at_start=True, probes=_probes(DECKS[name]))
    found = []
    for small in (10**9, 0):
        monkeypatch.setattr("spu.emulator.equations.linear._SMALL", small)
        try:
            law = dense_law(circuit)
            found.append((law.voltage_mean, law.voltage_covariance, law.time_constants))
        except SpuError as error:
            found.append(str(error))
    general, graph = found
    if isinstance(general, str):
        assert graph == general
        return
    spread = np.sqrt(np.diagonal(general[1]))
    assert (np.abs(graph[0] - general[0]) <= 1e-9 * (np.abs(general[0]) + spread)).all()
    assert (np.abs(graph[1] - general[1]) <= 1e-9 * np.outer(spread, spread)).all()
    # The general way may leave other states, but not other modes.
    assert graph[2] == pytest.approx(general[2], rel=1e-6)


def _probes(text):
    return () if ".save" in text else re.findall(r"v\((\w+)\)", text)


def test_of_several_sources_in_a_tree_all_voltages_follow(tmp_path, small_is_sparse):
    deck = """sources upon sources, none at ground
v1 a b 1
v2 c b 2
v3 b d 4
r1 a 0 1k
r2 c 0 2k
r3 d x 3k
c1 a 0 1n
c2 d 0 2n
c3 x 0 3n
.save v(a) v(b) v(c) v(d) v(x)
.end
"""
    circuit = circuit_of(tmp_path, deck)
    graph = dense_law(circuit)
    assert graph.sde.E.shape[0] == 2  # the tree has one voltage of its own
    mean = graph.voltage_mean
    assert mean[[0, 2]] - mean[1] == pytest.approx([1.0, 2.0]) and mean[1] - mean[3] == pytest.approx(4.0)
    assert mean[0] / 1e3 + mean[2] / 2e3 == pytest.approx(0.0, abs=1e-15)
    assert graph.voltage_covariance[:4, :4] == pytest.approx(np.full((4, 4), graph.voltage_covariance[0, 0]))


def test_noise_that_capacitances_would_differentiate_is_refused_of_large_networks(tmp_path, monkeypatch):
    monkeypatch.setattr("spu.emulator.equations.descriptor.MOST_UNKNOWNS", 10)
    monkeypatch.setattr("spu.emulator.equations.linear.MOST_UNKNOWNS", 10)
    deck = rc_chain(300).replace("vin n0 0 2", "vin n0 0 0 trnoise(1u 1n 0 0)\nc0 n0 n1 1p")
    with pytest.raises(CircuitError, match=r"derivative of white noise at n0.*resistance in series"):
        stochastic_ode(circuit_of(tmp_path, deck))
    without = circuit_of(tmp_path, deck.replace("c0 n0 n1 1p\n", ""))
    assert stochastic_ode(without).thermal_energy is None  # a resistor's noise, and a source's


# --- the law ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inductors", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_law_is_that_in_general(tmp_path, small_is_sparse, seed, inductors):
    circuit = circuit_of(tmp_path, passive(seed, 12, inductors=inductors))
    sde = stochastic_ode(circuit)
    law, general = solve(sde), dense_law(circuit)
    assert isinstance(law, Equilibrium) and law.level == pytest.approx(KT, rel=1e-13)
    spread = np.sqrt(np.diagonal(general.voltage_covariance))
    assert (np.abs(law.voltage_covariance - general.voltage_covariance) <= 1e-10 * np.outer(spread, spread)).all()
    assert law.readout_moments[1] == pytest.approx(general.readout_moments[1], rel=1e-9, abs=1e-10 * spread.min() ** 2)
    assert law.voltage_mean == pytest.approx(general.voltage_mean, rel=1e-10)
    assert law.state_variance == pytest.approx(general.state_variance, rel=1e-9)
    assert law.covariance == pytest.approx(KT * np.eye(len(sde.mean)))
    assert closest(law.poles, general.poles) < 1e-8 and closest(general.poles, law.poles) < 1e-8
    slowest, fastest = law.time_span
    assert slowest == pytest.approx(general.time_constants[0], rel=1e-8)
    assert fastest == pytest.approx(general.time_constants[-1], rel=1e-5)
    frequencies = np.geomspace(1e2, 1e9, 7)
    assert law.transfer(frequencies) == pytest.approx(general.transfer(frequencies), rel=1e-9)
    assert law.slowest == pytest.approx(general.slowest, rel=1e-6)
    if not inductors:
        modes = law.modes
        assert modes is not None
        assert modes.multiply(np.eye(len(sde.mean))) == pytest.approx(KT * la.inv(sde.E.toarray()), rel=1e-9)
        drift = -(modes.shapes * modes.conductance) @ modes.shapes.T
        expected = la.solve(sde.E.toarray(), sde.F.toarray()) @ la.inv(sde.E.toarray())
        assert drift == pytest.approx(expected, rel=1e-8, abs=1e-12 * np.abs(expected).max())
        assert modes.probes @ (modes.drive / modes.conductance) + sde.y0 == pytest.approx(law.voltage_mean, rel=1e-9)


@pytest.mark.parametrize("inductors", [False, True])
def test_of_large_networks_it_is_sparse(tmp_path, small_is_sparse, monkeypatch, inductors):
    circuit = circuit_of(tmp_path, passive(7, 14, inductors=inductors))
    sde = stochastic_ode(circuit)
    whole = equilibrium(sde)
    monkeypatch.setattr("spu.emulator.laws.law.LARGE", 10)
    law = solve(sde)
    assert isinstance(law, LargeEquilibrium)
    assert law.voltage_covariance.toarray() == pytest.approx(whole.voltage_covariance, rel=1e-10)
    monkeypatch.setattr("spu.emulator.laws.equilibrium._MOST_WHOLE", 2)
    law = solve(sde)
    entries = law.voltage_covariance.tocoo()
    assert entries.data == pytest.approx(whole.voltage_covariance[entries.row, entries.col], rel=1e-10)
    assert len(entries.data) < 15**2 and (law.voltage_covariance.diagonal() > 0).all()
    mean, covariance = law.readout_moments
    assert mean == pytest.approx(whole.readout_moments[0]) and covariance.diagonal() == pytest.approx(
        whole.readout_moments[1].diagonal(), rel=1e-10
    )
    assert law.time_span[0] == pytest.approx(whole.time_span[0], rel=1e-6)
    rng = np.random.default_rng(3)
    drawn = law.draw(rng.standard_normal((law.normals, 200_000)))
    P = KT * la.inv(sde.E.toarray())
    found = np.cov(drawn)
    assert (np.abs(found - P) <= 7 * np.sqrt((P**2 + np.outer(P.diagonal(), P.diagonal())) / 2e5)).all()
    assert (np.abs(drawn.mean(axis=1) - sde.mean) <= 7 * np.sqrt(P.diagonal() / 2e5)).all()


def test_a_wrong_level_does_not_pass(tmp_path, small_is_sparse, monkeypatch):
    sde = stochastic_ode(circuit_of(tmp_path, passive(1, 10)))
    monkeypatch.setattr(type(sde), "thermal_energy", property(lambda _: KT * (1 + 1e-6)))
    with pytest.raises(InternalError, match="of thermal equilibrium does not solve its Lyapunov equation"):
        equilibrium(sde)


# --- what is no equilibrium, or not proven to be one ------------------------------------------------

TANKS = """two tanks that are alike, side by side
r1 a 0 1k
c0 a 0 1n
l1 a x 1u
c1 x 0 1n
l2 a y 1u
c2 y 0 1n
.save v(a)
.end
"""

OTHERS = {
    "a hotter resistor": ("r1 n1 ", "r1 n1 0 1k dtemp=1\nr1b n1 "),
    "a silent resistor": ("r1 n1 ", "r1 n1 0 1k noisy=0\nr1b n1 "),
    "a noise source besides": ("c1 n1 ", "ix 0 n1 0 trnoise(1n 1n 0 0)\nc1 n1 "),
    "a transconductor": ("c1 n1 ", "g1 n1 0 n2 0 1u\nc1 n1 "),
    "a controlled source": ("c1 n1 ", "e1 ex 0 n2 0 2\nrex ex n1 1k\nc1 n1 "),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_solved_in_general(tmp_path, small_is_sparse, name):
    deck = passive(5, 8)
    assert thermal_energy(stamp_circuit(circuit_of(tmp_path, deck))[0]) == pytest.approx(KT)
    changed = deck.replace(*OTHERS[name], 1)
    assert changed != deck
    circuit = circuit_of(tmp_path, changed)
    assert thermal_energy(stamp_circuit(circuit)[0]) is None
    assert type(solve(stochastic_ode(circuit))) is Stationary


def test_a_mode_that_nothing_damps_is_refused_as_ever(tmp_path, small_is_sparse):
    circuit = circuit_of(tmp_path, TANKS)
    assert thermal_energy(stamp_circuit(circuit)[0]) is None  # every conductance has the same temperature
    with pytest.raises(CircuitError, match="does not decay"):
        solve(stochastic_ode(circuit))
    damped = circuit_of(tmp_path, TANKS.replace("c2 y 0 1n", "c2 y 0 1n\nr2 y 0 1meg"))
    assert thermal_energy(stamp_circuit(damped)[0]) == pytest.approx(KT)
    # Two that differ are damped by the one resistor, which no equation by itself shows: the general way knows.
    apart = circuit_of(tmp_path, TANKS.replace("l2 a y 1u", "l2 a y 2u"))
    assert thermal_energy(stamp_circuit(apart)[0]) is None
    assert type(solve(stochastic_ode(apart))) is Stationary


def test_charges_that_nothing_drains_and_loops_of_inductors_are_no_obstacle(tmp_path, small_is_sparse):
    for deck in (
        DECKS["floating_nodes_behind_caps"],
        DECKS["loop_of_inductors"],
        DECKS["parallel_inductors"],
        DECKS["transformer_three_windings"],
    ):
        circuit = circuit_of(tmp_path, deck)
        law, general = equilibrium(stochastic_ode(circuit)), dense_law(circuit)
        assert law is not None
        assert law.voltage_covariance == pytest.approx(general.voltage_covariance, rel=1e-9)


def test_a_probe_of_white_noise_is_refused(tmp_path, small_is_sparse):
    law = solve(stochastic_ode(circuit_of(tmp_path, rlc_line(5).replace(".save", ".save v(m2)"))))
    assert isinstance(law, Equilibrium)
    with pytest.raises(CircuitError, match="m2 sees white noise directly"):
        _ = law.voltage_covariance


# --- chains -------------------------------------------------------------------------------------


def test_a_chain_of_sections_has_its_analytic_law(tmp_path):
    n, rc = 2000, 1e3 * 1e-9
    found = spu.predict(circuit_of(tmp_path, rc_chain(n)))
    law = found.law
    assert isinstance(law, Equilibrium)
    assert found.voltage_covariance == pytest.approx(KT / 1e-9 * np.eye(3), rel=1e-13)
    assert found.voltage_mean == pytest.approx(np.full(3, 2.0), rel=1e-9)
    angles = (2 * np.arange(1, n + 1) - 1) * np.pi / (2 * (2 * n + 1))
    constants = np.sort(rc / (4 * np.sin(angles) ** 2))[::-1]
    assert found.time_span == pytest.approx((constants[0], constants[-1]), rel=1e-6)
    assert found.time_span[0] == pytest.approx(constants[0], rel=1e-9)
    assert law.poles.real == pytest.approx(np.sort(-1.0 / constants), rel=1e-6)
    assert "slowest 1.62 s, fastest 250 ns" in str(found)


def test_a_line_has_the_modes_of_a_dense_matrix(tmp_path):
    law = spu.predict(circuit_of(tmp_path, rlc_line(200))).law
    assert isinstance(law, Equilibrium)
    assert law.voltage_covariance == pytest.approx(KT / 10e-12 * np.eye(2), rel=1e-12)
    expected = la.eigvals(law.relaxation.drift.toarray())
    assert closest(law.poles, expected) < 1e-10 and closest(expected, law.poles) < 1e-10
    assert law.time_span[0] == pytest.approx((-1 / expected.real).max(), rel=1e-9)
    assert law.time_span[1] == pytest.approx((-1 / expected.real).min(), rel=1e-9)


def test_terminations_alone_damp_a_line(tmp_path):
    circuit = circuit_of(tmp_path, rlc_line(300, loss=""))
    law = spu.predict(circuit).law
    assert isinstance(law, Equilibrium) and (law.poles.real < 0).all()
    open_ended = rlc_line(300, loss="").replace("rs s n0 50", "rs s n0 50 noisy=0")
    assert thermal_energy(stamp_circuit(circuit_of(tmp_path, open_ended))[0]) is None


def test_of_larger_ringing_networks_it_is_said_how_many_modes_were_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("spu.emulator.laws.equilibrium._DENSE", 100)
    monkeypatch.setattr("spu.emulator.laws.equilibrium._CHAIN", 100)
    found = spu.predict(circuit_of(tmp_path, rlc_line(200)))
    expected = la.eigvals(found.law.relaxation.drift.toarray())
    some = found.law.relaxation.some_poles
    assert closest(expected, some) < 1e-5  # each is one
    assert f"of the {len(some)} modes that were looked at" in str(found) and len(some) == 48
    assert found.time_span[0] == pytest.approx((-1 / expected.real).max(), rel=0.01)


def test_elements_stamped_together_are_those_one_by_one(tmp_path, monkeypatch):
    circuit = circuit_of(tmp_path, rlc_line(300))
    together = stamp_circuit(circuit)[0]
    monkeypatch.setattr("spu.circuit.circuit._MANY", 10**9)
    alone = stamp_circuit(circuit)[0]
    assert len(together._charge) < 10 < len(alone._charge)
    for name in "EFK":
        assert abs(getattr(together, name) - getattr(alone, name)).max() == 0
    assert (together.s == alone.s).all()


def test_simulate_draws_and_runs_without_dense_matrices(tmp_path, monkeypatch):
    monkeypatch.setattr("spu.emulator.runs.sampling._SPARSE_RUNS", 200)
    monkeypatch.setattr("spu.emulator.runs.sampling._NO_RUNS", 200)
    circuit = circuit_of(tmp_path, rc_chain(300))
    drawn = spu.simulate(circuit, independent=True, samples=20_000, seed=1)
    assert drawn.method == "independent"
    assert np.diagonal(drawn.covariance.toarray()) == pytest.approx(np.full(3, KT / 1e-9), rel=0.07)
    run = spu.simulate(circuit, samples=500, interval=1e-6, seed=1)
    assert run.method == "midpoint"
    line = circuit_of(tmp_path, rlc_line(200))
    with pytest.raises(CircuitError, match=r"400 states with inductors.*independent samples have its law"):
        spu.simulate(line)
    drawn = spu.simulate(line, independent=True, samples=20_000, seed=2)
    assert np.diagonal(drawn.covariance.toarray()) == pytest.approx(np.full(2, KT / 10e-12), rel=0.07)


# --- ladders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 40, 161])
def test_eigenvalues_of_tridiagonal_matrices(n):
    rng = np.random.default_rng(n)
    for sign in (-1.0, rng.choice([-1.0, 1.0], max(n - 1, 0))):
        a, size = -rng.uniform(0.0, 0.3, n), rng.uniform(0.3, 1.0, n - 1)
        matrix = np.diag(a) + np.diag(size, 1) + np.diag(sign * size, -1)
        found, expected = tridiagonal_eigenvalues(a, sign * size**2), la.eigvals(matrix)
        assert found is not None
        assert closest(found, expected) < 1e-9 and closest(expected, found) < 1e-9
    assert (tridiagonal_eigenvalues(np.zeros(3), np.zeros(2)) == 0).all()


def test_the_order_of_a_chain():
    rng = np.random.default_rng(5)
    order = rng.permutation(9)
    edges = [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7)]  # two paths, and a point

    def pattern(pairs):
        rows, columns = np.array([*pairs, *[(b, a) for a, b in pairs], *((k, k) for k in range(9))]).T
        return sp.csr_array(sp.coo_array((np.ones(len(rows)), (order[rows], order[columns])), shape=(9, 9)))

    found = chain_order(pattern(edges))
    i, j = pattern(edges)[found][:, found].nonzero()
    assert np.abs(i - j).max() == 1
    assert chain_order(pattern([*edges, (3, 0)])) is None  # a ring
    assert chain_order(pattern([*edges, (5, 8)])) is None  # a branch


def test_compiled_devices_keep_their_own_closed_form(monkeypatch):
    monkeypatch.setattr("spu.emulator.laws.law.EXTENDED", 4)
    device = spu.compile(np.diag(np.full(8, 2.0)) - np.diag(np.full(7, 0.5), 1) - np.diag(np.full(7, 0.5), -1))
    assert type(spu.predict(device).law) is Stationary
    monkeypatch.setattr("spu.emulator.laws.law.LARGE", 4)
    assert isinstance(solve(spu.predict(device).law.sde), SparseStationary)
