"""Noise sources that cells share: how they are added, kept in files and hashes, and copied."""

import copy
import json
import pickle

import numpy as np
import pytest

import spu
from spu.base.errors import InputError
from spu.circuit.circuit import stamp_circuit
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.langevin import langevin
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.equations.thermal import thermal_energy


def made(**amplitudes: float) -> Device:
    """Cells a, b, c with noise of their own, and one source that drives the first two unless said otherwise."""
    device = Device(temperature=0.0)
    for name in ("a", "b", "c"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("a", "b", conductance=2e-4)
    device.add_noise("n1", amplitudes or {"a": 2e-10, "b": -1e-10})
    return device


def test_it_reaches_the_equations_with_its_signs():
    device = made()
    K = stamp_circuit(lower(device))[0].K.toarray()
    root = 2e-10  # of 4e-20 A^2/Hz
    assert K.tolist() == [[root, 0, 0, 2e-10], [0, root, 0, -1e-10], [0, 0, root, 0]]
    # G = [[1.2, -0.2], [-0.2, 1.2]] mS: G P + P G = S / (2 C), S = root^2 I + a a^T
    a = np.array([2e-10, -1e-10])
    G, S = np.array([[1.2e-3, -2e-4], [-2e-4, 1.2e-3]]), root**2 * np.eye(2) + np.outer(a, a)
    P = spu.predict(device).voltage_covariance[:2, :2]
    np.testing.assert_allclose(G @ P + P @ G, S / (2 * 1e-9), rtol=1e-12)


def test_sources_as_values():
    device = made()
    device.add_noise("n2", {"c": 3e-10, "a": 0.0})  # zero is not there
    assert device.noises == [spu.SharedNoise("n1", {"a": 2e-10, "b": -1e-10}), spu.SharedNoise("n2", {"c": 3e-10})]
    assert device.shared.factor(3).tolist() == [[2e-10, 0.0], [-1e-10, 0.0], [0.0, 3e-10]]


@pytest.mark.parametrize(
    ("name", "amplitudes", "said"),
    [
        ("n 2", {"a": 1e-10}, "cannot name"),
        ("N1", {"a": 1e-10}, "already one of that name"),
        ("n2", {"z": 1e-10}, "there is no cell 'z'"),
        ("n2", {"a": 1e-10, "A": 1e-10}, "twice"),
        ("n2", {}, "drives no cell"),
        ("n2", {"a": 0.0}, "drives no cell"),
        ("n2", {"a": "loud"}, "must be a number in A/sqrt(Hz)"),
        ("n2", {"a": True}, "must be a number in A/sqrt(Hz)"),
        ("n2", {"a": float("nan")}, "beyond anything"),
        ("n2", {"a": 10**400}, "beyond anything"),
        ("n2", [1e-10], "must be given by cell"),
    ],
)
def test_wrong_sources_are_refused_and_leave_nothing(name, amplitudes, said):
    device = made()
    before = device.content
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)")) as caught:
        device.add_noise(name, amplitudes)
    assert "\n" not in caught.value.message
    assert device.content == before


def test_the_file_keeps_them_bit_by_bit():
    device = made()
    device.add_noise("n2", {"c": 1e-10 / 3})
    data = json.loads(device.to_json())
    assert data == device.to_dict()
    assert data["noises"][1] == {"name": "n2", "amplitudes": {"c": 1e-10 / 3}}
    again = Device.from_dict(data)
    assert (again.hash, again.content, again.to_json()) == (device.hash, device.content, device.to_json())
    assert "noises" not in Device.from_dict({**data, "noises": []}).to_dict()


@pytest.mark.parametrize(
    ("noises", "said"),
    [
        ({}, '"noises" must be a list'),
        ([3], "noises[0] must be a JSON object"),
        ([{"name": "n1", "amplitudes": {"a": 1e-10}, "gain": 1}], "has no key 'gain'"),
        ([{"amplitudes": {"a": 1e-10}}], "cannot name noises[0]"),
        ([{"name": "n1", "amplitudes": {"z": 1e-10}}], "noises[0] n1: there is no cell 'z'"),
    ],
)
def test_files_that_are_wrong_say_where(noises, said):
    with pytest.raises(InputError) as caught:
        Device.from_dict({**made().to_dict(), "noises": noises}, file="device.json")
    assert said in str(caught.value) and "device.json" in str(caught.value)


def test_the_hash_knows_each_amplitude_sign_and_cell():
    hashes = {
        made(**amplitudes).hash
        for amplitudes in (
            {},
            {"a": 2e-10},
            {"a": 2e-10, "b": 1e-10},
            {"a": 2e-10, "c": -1e-10},
            {"a": 2.1e-10, "b": -1e-10},
        )
    }
    plain = made()
    plain.shared = type(plain.shared)()
    assert len({*hashes, plain.hash}) == 6


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda device: pickle.loads(pickle.dumps(device))])
def test_a_copy_has_its_own(how):
    device = made()
    lower(device)
    other = how(device)
    assert other.content == device.content
    other.shared.amplitudes[0] *= 2
    other.add_noise("n2", {"a": 1e-10})
    assert len(device.noises) == 1 and device.noises[0].amplitudes["a"] == 2e-10
    assert other.content != device.content
    assert len(lower(other).sources) == len(lower(device).sources) + 1


def test_what_follows_is_worked_out_anew_after_a_change():
    device = made()
    before = spu.predict(device).covariance[0, 1]
    device.shared.amplitudes[1] *= -1
    assert before < 0 < spu.predict(device).covariance[0, 1]


def test_the_graph_keeps_them():
    device = made()
    again = Device.from_graph(device.graph)
    assert (again.hash, again.noises) == (device.hash, device.noises)


def test_names_that_would_read_the_same_stay_apart():
    device = Device(temperature=0.0)
    for name in ("a", "b_a"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    device.add_noise("s_b", {"a": 1e-10})
    device.add_noise("s", {"b_a": 1e-10})
    names = list(lower(device).instances[-1].names)
    assert names == ["xnoise_s_b_a", "xnoise_s_b_a_2"]


# What assumes that each cell has a noise of its own


def test_noise_between_two_cells_is_a_resistors_and_any_other_sharing_is_no_equilibrium():
    """A source of +x and -x is the thermal noise of a conductance between them, and its law that of one temperature."""

    def device(second: float) -> Device:
        found = Device(temperature=0.0)
        for name in ("a", "b"):
            found.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
        found.add_coupler("a", "b", conductance=1e-3)
        found.add_noise("n1", {"a": 2e-10, "b": second})
        return found

    assert thermal_energy(stamp_circuit(lower(device(-2e-10)))[0]) == pytest.approx(4e-20 / 4e-3)
    for second in (2e-10, -1.9e-10):
        found = device(second)
        assert thermal_energy(stamp_circuit(lower(found))[0]) is None
        G = np.array([[2e-3, -1e-3], [-1e-3, 2e-3]])
        S = 4e-20 * np.eye(2) + np.outer([2e-10, second], [2e-10, second])
        P = spu.predict(found).covariance
        np.testing.assert_allclose(G @ P + P @ G, S / 2e-9, rtol=1e-10)


def test_correlated_noise_is_no_boltzmann_law():
    device = Device(temperature=0.0)
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_noise("n1", {"a": 1e-10, "b": 1e-10})
    found = spu.predict_network(device)
    assert found.theta is None and "correlated" in found.why
    np.testing.assert_allclose(
        langevin(lower(device)).noise @ langevin(lower(device)).noise.T * 2e-18, [[5e-20, 1e-20], [1e-20, 5e-20]]
    )


def test_a_large_network_with_it_has_no_closed_form():
    from spu.emulator.laws import large

    device = Device(temperature=0.0)
    for name in "abcd":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("a", "b", conductance=2e-4)
    large.sparse_stationary(stochastic_ode(lower(device)))
    device.add_noise("n1", {"a": 1e-10, "c": 1e-10})
    with pytest.raises(large.UnknownLaw):
        large.sparse_stationary(stochastic_ode(lower(device)))
    # Of the other sign than the coupler's own, or louder than all cells: a draw would be the root of less than zero.
    for second in (1e-11, -2e-10):
        device.shared = type(device.shared)()
        device.add_noise("n1", {"a": second, "b": abs(second)})
        with pytest.raises(large.UnknownLaw):
            large.sparse_stationary(stochastic_ode(lower(device)))
    # The same covariance as the coupler's: a multiple of G beside the identity, which the closed form knows.
    device.shared = type(device.shared)()
    device.add_noise("n1", {"a": 1e-11, "b": -1e-11})
    law = large.sparse_stationary(stochastic_ode(lower(device)))
    np.testing.assert_allclose(
        law.voltage_covariance.toarray()[0, :2], spu.predict(device).covariance[0, :2], rtol=1e-12
    )
