"""Factors in time on couplers and noise: in devices, their files and their circuits."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import spu
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode


def _device(**ramp: list[float]) -> spu.Device:
    device = spu.Device(temperature=0.0)
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    device.add_coupler("a", "b", capacitance=2e-10, conductance=1e-4, transconductance=(1e-5, -1e-5))
    if ramp:
        device.ramp = spu.Ramp(**ramp)  # type: ignore[arg-type]
    return device


TIMES = {"times": [0.0, 1e-6, 1e-6, 2e-6], "couplers": [0.0, 0.25, 0.5, 0.75], "noise": [1.0, 1.0, 2.0, 3.0]}


def test_a_ramp_is_in_the_file_the_hash_copies_and_graphs(tmp_path) -> None:
    plain, device = _device(), _device(**TIMES)
    assert plain.hash != device.hash and plain.content != device.content
    device.write(tmp_path / "device.json")
    for again in (
        spu.Device.read(tmp_path / "device.json"),
        spu.Device.from_dict(json.loads(json.dumps(device.to_dict()))),
        copy.copy(device),
        copy.deepcopy(device),
        pickle.loads(pickle.dumps(device)),
        spu.Device.from_graph(device.graph),
    ):
        assert again.ramp is not None and again.ramp.to_dict() == device.ramp.to_dict()
        assert again.content == device.content
    again.ramp = spu.Ramp(**{**TIMES, "couplers": [0.0, 0.25, 0.5, 0.7500001]})
    assert again.content != device.content
    assert lower(again).ramp is again.ramp  # what was kept for the other ramp is not given
    again.ramp = None
    assert again.hash == plain.hash


def test_a_circuit_is_at_the_end_of_its_ramp_unless_it_is_frozen_elsewhere() -> None:
    circuit = lower(_device(**TIMES))
    end, middle = stochastic_ode(circuit), stochastic_ode(circuit.frozen(0.5, 2.0))
    for found, u, s in ((end, 0.75, 3.0), (middle, 0.5, 2.0), (stochastic_ode(circuit.frozen(0.0, 1.0)), 0.0, 1.0)):
        c, g = 1e-9 + 2e-10 * u, 1e-3 + 1e-4 * u
        np.testing.assert_allclose(found.E.toarray()[:2, :2], [[c, -2e-10 * u], [-2e-10 * u, c]], rtol=1e-14)
        F = -np.array([[g, -1e-4 * u + 1e-5 * u], [-1e-4 * u - 1e-5 * u, g]])
        np.testing.assert_allclose(found.F.toarray()[:2, :2], F, rtol=1e-13)
        np.testing.assert_allclose(abs(found.K.toarray()[:2]).max(), np.sqrt(4e-20 / 2) * s, rtol=1e-14)
    assert circuit.frozen(0.5, 2.0) is circuit.frozen(0.5, 2.0)
    assert len({circuit.hash, circuit.frozen(0.5).hash, circuit.frozen(0.25).hash}) == 3


def test_what_a_ramp_cannot_be_is_refused_in_one_line(tmp_path) -> None:
    device = _device()
    device.ramp = [0.0, 1.0]  # type: ignore[assignment]
    with pytest.raises(spu.InputError, match=r"must be a spu\.Ramp"):
        lower(device)
    file = {**_device().to_dict(), "ramp": {"times": [0.0, 1.0], "cuplers": [0.0, 1.0]}}
    with pytest.raises(spu.InputError, match="unknown key 'cuplers' of a ramp"):
        spu.Device.from_dict(file, file="device.json")


def test_instants_of_a_ramp() -> None:
    ramp = spu.Ramp(**TIMES)  # type: ignore[arg-type]
    assert ramp.start == (0.0, 1.0) and ramp.end == (0.75, 3.0)
    assert ramp.varies("couplers") and not spu.Ramp([0.0, 1.0], couplers=[2.0, 2.0]).varies("couplers")
    back = ramp.backward
    np.testing.assert_allclose(back.at([0.5e-6, 1.5e-6])[0], ramp.at([1.5e-6, 0.5e-6])[0])
    assert back.start == ramp.end and back.end == ramp.start
