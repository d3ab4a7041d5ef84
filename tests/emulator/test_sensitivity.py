"""Derivatives of laws, held against central differences of whole laws, each solved by itself."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import T
from linear_networks import network

import spu
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws import sensitivity
from spu.emulator.laws.law import solve
from spu.emulator.laws.precise import precise_law
from spu.emulator.laws.propagate import respond
from spu.emulator.laws.sensitivity import perturbed, sensitivities
from tests.circuit.test_controlled import NETWORKS
from tests.crosscheck.test_crosscheck import COMPILED, algebraic, behind_capacitors, loops

CHANGE = 1e-4  # central: the truncation is of the order of its square


def compiled(name):
    return lambda: lower(COMPILED[name]().device)


def dual_rail():
    precision = np.array([[2.0, 0.7, -0.4], [0.7, 1.5, 0.5], [-0.4, 0.5, 1.8]])
    return lower(spu.compile_problem(spu.GaussianSampling(precision=precision)).device)


def scattered():
    """Values over many decades, one cell far more quiet than the others, and one that no noise reaches."""
    device = spu.Device(temperature=0.0)
    device.add_cell("a", capacitance=1e-12, conductance=1e-6, inductance=1e-3, noise=4e-22, bias=1e-9)
    device.add_cell("b", capacitance=1e-8, conductance=1e-2, noise=1e-24)
    device.add_cell("c", capacitance=3e-10, conductance=2e-5, inductance=1e-1, noise=8e-20)
    device.add_cell("d", capacitance=1e-9, conductance=1e-4)
    device.add_coupler("a", "b", conductance=1e-9)
    device.add_coupler("b", "c", capacitance=1e-13)
    return lower(device)


CIRCUITS = {
    "rlc": compiled("rlc"),
    "rc with a mean": compiled("resistive"),
    "transconductors": compiled("transconductor"),
    "dual rail": dual_rail,
    "loops of inductors": lambda: lower(loops()),
    "charge behind capacitors": lambda: lower(behind_capacitors()),
    "algebraic node": lambda: lower(algebraic()),
    "scattered values": scattered,
    **{name: (lambda each=each: network(*each, T)) for name, each in NETWORKS.items()},
}
del CIRCUITS["floating source"]  # its probes see white noise


def laws(parameter):
    return [solve(stochastic_ode(parameter.circuit(1.0 + sign * CHANGE))) for sign in (1, -1)]


def quotient(parameter, figure):
    up, down = (figure(law) for law in laws(parameter))
    return (up - down) / (2 * CHANGE)


@pytest.mark.parametrize("name", CIRCUITS)
def test_derivatives_are_those_of_whole_laws(name):
    circuit = CIRCUITS[name]()
    law = solve(stochastic_ode(circuit))
    parameters = perturbed(circuit, law.sde.E.shape[0])
    found = sensitivities(law, parameters)
    assert len(found.derivatives) >= 0.6 * len(parameters)
    by_name = {each.name: each for each in parameters}
    frequencies = np.abs(law.poles).max() / (2 * np.pi) * np.array([1e-6, 1e-3, 0.1, 1.0, 3.0])
    sources = law.sde.K.shape[1]
    waves = np.random.default_rng(1).standard_normal((30, sources))
    interval, start = 0.2 / np.abs(law.poles).max(), -law.dense.mean if law.sde.conserved else None
    exact = respond(law.dense, waves, interval, hold=False, start=start)
    gains = np.abs(law.transfer(frequencies)).max(axis=0)
    largest = found.largest_transfer(frequencies)
    paths = {hold: found.responses(waves, interval, hold=hold, from_zero=law.sde.conserved) for hold in (True, False)}
    assert paths[False][0] == pytest.approx(exact, rel=1e-9, abs=1e-12 * np.abs(exact).max())
    for k, each in enumerate(found.names[: len(found.derivatives)]):
        pair = laws(by_name[each])

        def near(derivative, figure, size, pair=pair, each=each):
            expected = (figure(pair[0]) - figure(pair[1])) / (2 * CHANGE)
            assert derivative == pytest.approx(expected, rel=1e-5, abs=1e-5 * size), each

        near(
            found.state_variance[k] / np.where(law.state_variance > 0, law.state_variance, 1.0),
            lambda x: x.state_variance / np.where(law.state_variance > 0, law.state_variance, 1.0),
            1.0,
        )
        near(found.voltage_covariance[k], lambda x: x.voltage_covariance, np.abs(law.voltage_covariance).max())
        near(found.voltage_mean[k], lambda x: x.voltage_mean, np.abs(law.voltage_mean).max() + 1e-12)
        moved = np.abs(pair[0].transfer(frequencies) - pair[1].transfer(frequencies)).max(axis=0) / (2 * CHANGE)
        assert largest[k] == pytest.approx(moved, rel=1e-5, abs=1e-5 * gains.max()), each
        for hold, (_, changes) in paths.items():
            near(
                changes[k],
                lambda x, hold=hold: respond(
                    x.dense, waves, interval, hold=hold, start=-x.dense.mean if law.sde.conserved else None
                ),
                np.abs(exact).max(),
            )


def test_no_law_is_solved_for_what_has_a_derivative(monkeypatch):
    circuit = CIRCUITS["rlc"]()
    law = solve(stochastic_ode(circuit))
    monkeypatch.setattr(sensitivity, "solve", None)
    found = sensitivities(law, perturbed(circuit, 6))
    assert not found.solved and len(found.derivatives) == len(found.names) == 15


def test_where_a_cancellation_would_go_the_law_is_solved_anew():
    """A buffer of gain 1 takes the capacitance between its ends away: of another gain there is some."""
    circuit = CIRCUITS["bootstrapped and Miller capacitors"]()
    law = solve(stochastic_ode(circuit))
    found = sensitivities(law, perturbed(circuit, 3))
    assert "pe1 of x" in found.names[len(found.derivatives) :]
    k = found.names.index("pe1 of x")
    parameter = next(each for each in perturbed(circuit, 3) if each.name == "pe1 of x")
    expected = quotient(parameter, lambda x: x.voltage_covariance)
    assert found.voltage_covariance[k] == pytest.approx(expected, rel=1e-2, abs=1e-2 * np.abs(expected).max())


def anew_and_by_derivative(law, circuit, changed_law):
    parameters = perturbed(circuit, law.sde.E.shape[0])
    return sensitivities(changed_law, parameters), sensitivities(law, parameters)


def test_of_equations_that_doubles_do_not_resolve_laws_are_solved_anew():
    circuit = CIRCUITS["rlc"]()
    law = solve(stochastic_ode(circuit))
    found, known = anew_and_by_derivative(law, circuit, replace(law, precise=precise_law(law.sde)))
    assert not found.derivatives and found.names == known.names and len(found.solved) == len(known.names)
    assert found.voltage_covariance == pytest.approx(
        known.voltage_covariance, rel=1e-3, abs=1e-3 * known.voltage_covariance.max()
    )


def test_of_large_networks_without_a_symmetric_drift_laws_are_solved_anew(monkeypatch):
    monkeypatch.setattr(sensitivity, "EXTENDED", 1)
    circuit = CIRCUITS["rlc"]()
    law = solve(stochastic_ode(circuit))
    found = sensitivities(law, perturbed(circuit, 6))
    assert not found.derivatives and len(found.solved) == 15


def test_a_symmetric_drift_needs_no_covariance_and_no_schur_form(monkeypatch):
    """Networks of RC cells of any size, whose laws are known mode by mode."""
    circuit = CIRCUITS["rc with a mean"]()
    law = solve(stochastic_ode(circuit))
    known = sensitivities(law, perturbed(circuit, 3))
    monkeypatch.setattr(sensitivity, "EXTENDED", 1)
    monkeypatch.setattr(sensitivity, "SchurForm", None)
    found = sensitivities(replace(law, solved=None), perturbed(circuit, 3))
    assert not found.solved
    size = np.abs(known.voltage_covariance).max()
    assert found.voltage_covariance == pytest.approx(known.voltage_covariance, rel=1e-9, abs=1e-9 * size)
    assert found.state_variance == pytest.approx(known.state_variance, rel=1e-9, abs=1e-9 * known.state_variance.max())


def test_a_perfect_coupling_cannot_be_more_so():
    text = """
    r1 a 0 1000
    c1 a 0 1e-9
    l1 a 0 1e-5
    l2 b 0 4e-5
    k1 l1 l2 1.0
    r2 b 0 5000
    """
    circuit = network(text, "a b", T)
    law = solve(stochastic_ode(circuit))
    found = sensitivities(law, perturbed(circuit, 2))
    assert "pk1 of x" not in found.names and {"pl1 of x", "pl2 of x", "pr1 of x", "pc1 of x"} <= set(found.names)
