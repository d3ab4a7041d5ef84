"""Public arrays have the shapes that their types say; and every public array says one."""

from __future__ import annotations

import copy
import inspect
from functools import cached_property

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import ArrayLike
from shapes import attributes, called, hints, holding, holds, shaped, shapeless, wrong

import spu
from spu.base import arrays
from spu.studies.activation import activation

FRUSTRATED = [[2.0, 0.6, 0.6], [0.6, 2.0, 0.6], [0.6, 0.6, 2.0]]


# What there is to hold


@pytest.fixture(scope="module")
def dual():
    """Three variables in six cells, read in pairs."""
    return called(spu.compile, FRUSTRATED, architecture="rlc-capacitive-dual")


@pytest.fixture(scope="module")
def network():
    return called(
        spu.ThermodynamicNetwork, 1.0, J4=[1.0, 2.0], input=[0.5, -0.5], couplings=[[0.0, 0.2], [0.2, 0.0]], kT=0.5
    )


@pytest.fixture(scope="module")
def neurons(network):
    return spu.compile(network)


def line(n: int) -> sp.csr_array:
    return sp.csr_array(sp.diags_array([-np.ones(n - 1), 2.5 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]))


# Every public array says its shape


def public() -> list[tuple[str, object]]:
    """Functions, methods, properties and classes behind the public names."""
    found = []
    for name in spu.__all__:
        what = getattr(spu, name)
        if inspect.isfunction(what) or inspect.isclass(what):
            found.append((name, what))
        for key, member in vars(what).items() if inspect.isclass(what) else ():
            member = getattr(member, "__func__", getattr(member, "fget", getattr(member, "func", member)))
            ours = inspect.isfunction(member) and member.__code__.co_filename != "<string>"
            if ours and (key == "__init__" or not key.startswith("_")):
                found.append((f"{name}.{key}", member))
    return found


@pytest.mark.parametrize(("name", "what"), public(), ids=[name for name, _ in public()])
def test_every_public_array_says_its_shape(name, what):
    silent = [key for key, hint in hints(what).items() if not key.startswith("_") and shapeless(hint)]
    assert not silent, f"{name} says no shape of {', '.join(silent)}"


# Problems


@pytest.mark.parametrize(
    "pose",
    [
        lambda: called(spu.GaussianSampling, [[2.0, -0.5], [-0.5, 1.0]], mean=[1.0, 2.0]),
        lambda: called(spu.GaussianSampling, covariance=np.eye(2)),
        lambda: called(spu.MatrixInverse, [[2.0, -0.5], [-0.5, 1.0]]),
        lambda: called(spu.LyapunovEquation, [[2.0, -0.5], [0.5, 1.0]], [1.0, 2.0]),
        lambda: called(spu.LinearSystem, sp.csr_array([[2.0, -0.5], [-0.5, 1.0]]), (1.0, 2.0)),
    ],
    ids=["precision", "covariance", "inverse", "lyapunov", "linear"],
)
def test_problems(pose):
    problem = pose()
    assert not wrong(problem, n=2)
    called(type(problem).exact_moments, problem)


def test_a_sparse_problem(monkeypatch):
    monkeypatch.setattr("spu.problems.definite.DENSE_SIZE", 10)
    problem = called(spu.MatrixInverse, line(12))
    assert problem.sparse and not wrong(problem, n=12)


def test_networks(network):
    assert not wrong(network, n=2)
    states = np.zeros((5, 4, 2))
    assert called(spu.ThermodynamicNetwork.energy, network, states).shape == (5, 4)
    called(spu.ThermodynamicNetwork.energy, network, [0.0, 1.0], [1.0, 1.0])
    called(spu.ThermodynamicNetwork.force, network, states)
    called(spu.ThermodynamicNetwork.stiffness, network, [0.0, 1.0])
    called(spu.ThermodynamicNetwork.with_input, network, [0.0, 1.0])
    called(spu.ThermodynamicNetwork.with_bias, network, 1.0)
    for name in ("moments", "exact_moments", "extent", "central_moments"):
        called(getattr(spu.ThermodynamicNetwork, name), network)
    (group,) = network.groups
    assert holds(network.groups, hints(spu.ThermodynamicNetwork.groups.fget)["return"])
    called(spu.ThermodynamicNetwork.law, network, group)


def test_the_law_of_a_unit():
    assert not wrong(called(spu.unit_law, input=[0.0, 1.0, 2.0]), m=3)
    assert not wrong(called(spu.unit_law), m=1)


def test_distances():
    called(spu.kullback_leibler, np.zeros(3), np.eye(3), np.ones(3), 2 * np.eye(3))


# Devices


def test_devices(dual):
    assert not wrong(dual.readout, p=3, n=6)
    device = called(
        spu.Device.from_arrays,
        ["a", "b", "c"],
        {"capacitance": [1e-9] * 3, "conductance": [1e-3] * 3},
        [[0, 1], [1, 2]],
        {"capacitance": [1e-10, 2e-10]},
    )
    called(spu.Device.set_readout, device, [[1e3, 0.0, 0.0], [0.0, 0.0, 1e3]], [0.0, 1.0], ["x", "y"])
    assert not wrong(device.readout, p=2, n=3)


# Linear devices


def test_predictions(dual):
    found = called(spu.predict, dual)
    assert found.common_mode is not None
    assert not wrong(found, p=3, n=6)
    assert not wrong(spu.predict(dual, band=(1e3, 1e5)), p=3, n=6)


def test_simulations(dual):
    run = called(spu.simulate, dual, samples=40, trajectories=4, lags=2)
    assert not wrong(run, p=3, n=6, trajectories=4, kept=10, samples=40, l=3)
    assert not wrong(spu.simulate(dual, samples=40, trace=0), p=3, n=6)
    assert not wrong(spu.simulate(dual, samples=40, independent=True), p=3, n=6, trajectories=1, kept=40)


def test_relaxations(dual):
    given = {"start": [1.0, 0.0, -1.0], "times": [0.0, 1e-6]}
    assert not wrong(called(spu.relaxation, dual, **given), k=2, q=3, p=6)
    assert not wrong(called(spu.simulate, dual, **given, trajectories=5), trajectories=5, k=2, p=3)
    dual.set_start([1.0, 0.0, -1.0])
    assert not wrong(dual)
    dual.set_start(None)


def test_spectra(dual):
    found = called(spu.spectrum, dual, [0.0, 1e5, 1e6, 1e7])
    assert not wrong(found, p=3, f=4)
    with holding(p=3):
        called(spu.Spectrum.autocovariance, found, [0.0, 1e-6])
    assert not wrong(called(spu.spectrum, dual, variables=["x2"]), p=1)


def test_ensembles():
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8-4bit", ensemble=2)
    assert len(device.members()) == 2
    assert not wrong(called(spu.predict, device), p=2, n=2)
    assert not wrong(called(spu.simulate, device, samples=40, trajectories=4), p=2, n=2)
    assert not wrong(called(spu.spectrum, device, 1e5), p=2, f=1)


def test_large_networks(monkeypatch):
    """Covariances are sparse there, and so are their errors."""
    monkeypatch.setattr("spu.emulator.laws.law.LARGE", 10)
    device = spu.compile(line(12))
    found, run = called(spu.predict, device), called(spu.simulate, device, samples=64, trajectories=32)
    assert isinstance(found.covariance, sp.csr_array) and isinstance(run.covariance_error, sp.csr_array)
    assert not wrong(found, p=12, n=12)
    assert not wrong(run, p=12, n=12, trajectories=32, kept=2)


def test_checks(dual):
    found = called(spu.check, dual, levels=["ideal", "ac"])
    assert found.spectra is not None
    assert not wrong(found, p=3)


# Networks


def test_predictions_of_networks(neurons):
    assert not wrong(called(spu.predict, neurons), p=2)
    assert not wrong(called(spu.predict_network, neurons), p=2)
    coupled = np.ones((5, 5)) - np.eye(5)
    assert not wrong(spu.predict(spu.compile(spu.ThermodynamicNetwork(couplings=coupled))), p=5)


def test_simulations_of_networks(neurons):
    inputs = ([0.0, 1.0, 2.0], [[0.5, -0.5], [1.0, 0.0], [1.0, 0.0]])
    run = called(
        spu.simulate, neurons, times=[0.1, 0.2, 3.0], trajectories=4, heat=True, start=[0.0, 1.0], inputs=inputs
    )
    assert run.heat is not None and run.entropy is not None
    assert not wrong(run, trajectories=4, k=3, p=2)
    run = called(spu.simulate_network, neurons, times=1.0, trajectories=3, start=np.zeros((3, 2)))
    assert not wrong(run, trajectories=3, k=1, p=2)


def test_optimisation():
    ising = called(spu.Ising, [[0.0, 1.0, 0.0], [1.0, 0.0, -1.0], [0.0, -1.0, 0.0]], h=[0.5, 0.0, 0.0])
    qubo = called(spu.QUBO, [[-1.0, 2.0], [0.0, -2.0]])
    bounded = called(spu.BoundedQuadratic, np.eye(2), [0.5, 2.0], -1.0, 1.0)
    for problem, n in ((ising, 3), (qubo, 2), (bounded, 2)):
        assert not wrong(problem, n=n)
        found = called(spu.anneal, problem, runs=4, duration=5)
        assert not wrong(found, runs=4, n=n)
    with holding(n=3):
        called(spu.Ising.cost, ising, [[1, 1, 1], [1, -1, 1]])
        called(spu.Ising.decode, ising, np.zeros((4, 3)))
        assert not wrong(ising.ground(), n=3)
    with holding(n=2):
        called(spu.BoundedQuadratic.gap, bounded, [[0.5, 1.0]])
        called(spu.BoundedQuadratic.corrected, bounded, [0.5, 1.1], [0.5, 2.0], [0.0, 0.0])


def test_activations():
    found = activation(1.0, input=[-1.0, 0.0, 1.0, 2.0], times=[0.1, 1.0], trajectories=50)
    assert not wrong(found, m=4, k=2)


# What is wrong is seen


def test_a_wrong_length_is_seen(dual):
    found = copy.copy(spu.predict(dual))
    object.__setattr__(found, "voltage_mean", found.voltage_mean[:-1])
    assert wrong(found) in (["voltage_covariance"], ["voltage_mean"])
    assert wrong(found, n=6) == ["voltage_mean"]


@pytest.mark.parametrize("name", attributes(spu.Simulation))
def test_a_wrong_shape_of_any_attribute_is_seen(dual, name):
    lagged = "lagged" in name  # which only some answers are
    device = spu.compile_problem(spu.MatrixExponential(-np.eye(3), 1.0)).device if lagged else dual
    run = copy.copy(spu.simulate(device, samples=40, trajectories=4, lags=2, voltages=name == "voltages"))
    if isinstance(getattr(spu.Simulation, name, None), (property, cached_property)):
        object.__setattr__(run, "readouts", run.readouts[:, 1:])  # these two follow from it
        assert wrong(run, p=3, kept=10, samples=40) == ["readouts", "times", "samples_kept"]
        return
    object.__setattr__(run, name, getattr(run, name)[None])
    assert name in wrong(run, p=3, n=3 if lagged else 6)


def test_a_wrong_kind_of_number_is_seen(dual):
    found = copy.copy(spu.predict(dual))
    object.__setattr__(found, "mean", found.mean.astype(np.float32))
    assert wrong(found, p=3) == ["mean"]


def test_what_is_within_is_looked_at(dual):
    found = copy.copy(spu.predict(dual))
    object.__setattr__(found, "common_mode", copy.copy(found.common_mode))
    object.__setattr__(found.common_mode, "cells", found.common_mode.cells.T[:1])
    assert wrong(found) == ["common_mode.cells"]


def test_wrong_arguments_are_seen():
    with pytest.raises(AssertionError, match="kullback_leibler: covariance, target_covariance not"):
        called(spu.kullback_leibler, np.zeros(3), np.eye(2), np.zeros(3), np.eye(2))
    with pytest.raises(AssertionError, match="couplers not"):
        called(spu.Device.from_arrays, ["a", "b"], {}, [[0, 1]], {"capacitance": [1e-10, 2e-10]})


def test_an_array_without_a_shape_is_seen():
    def silent(covariance: arrays.FloatArray, given: ArrayLike | None) -> dict[str, arrays.FloatArray]: ...

    assert [key for key, hint in hints(silent).items() if shapeless(hint)] == ["covariance", "given", "return"]
    assert not any(map(shaped, hints(silent).values()))
