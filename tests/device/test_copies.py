"""Devices are copied and pickled, and so is what follows from them: for other processes, and to be kept."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import scipy.sparse as sp

import spu
from spu.base.selected_inverse import SparseCholesky
from spu.circuit.circuit import Circuit
from spu.compiler import compile_network, compile_problem
from spu.device.banks import Bank
from spu.device.device import Device
from spu.device.imperfections import Detail
from spu.device.lower import lower
from spu.emulator.dynamics import device_law
from spu.emulator.equations.langevin import langevin
from spu.emulator.equations.linear import stochastic_ode
from spu.folder import read_folder, write_folder

A = np.array([[2.0, -0.5, 0.3], [-0.5, 1.5, 0.2], [0.3, 0.2, 1.0]])
PROBLEM = spu.GaussianSampling(precision=A)
NETWORK = spu.ThermodynamicNetwork([1, -1, 1], 0, [1, 0.5, 1], input=[0.7, 0.2, 1.0], kT=0.5)


def by_hand() -> Device:
    """Every linear quantity there is, shared noise, and a readout."""
    device = Device()
    for name in "abc":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20, bias=1e-6)
    device.add_coupler("a", "b", capacitance=2e-10, conductance=1e-4, inductance=1e-4)
    device.add_coupler("b", "c", transconductance=(1e-4, -1e-4))
    device.add_noise("n1", {"a": 1e-10, "c": -2e-10})
    device.set_readout(np.eye(3), [1.0, 2.0, 3.0], ["x", "y", "z"])
    return device


def switched() -> Device:
    """Banks with real switches: parameters are expressions of codes."""
    detail = Detail(
        switch={"on_resistance": 20.0, "off_resistance": 1e7, "off_capacitance": 3e-12}, node={"capacitance": 1e-12}
    )
    device = Device(detail=detail)
    for name in "ab":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("a", "b", capacitance=2e-10)
    codes = {"capacitance": np.array([5, 2])}
    device.set_banks(
        {"capacitance": Bank(3, 1e-10, 1e-9)}, {"capacitance": Bank(3, 2e-10)}, codes, {"capacitance": np.array([3])}
    )
    return device


DEVICES = {
    "by hand": by_hand,
    "switched": switched,
    "compiled": lambda: spu.compile(PROBLEM),
    "ensemble": lambda: compile_problem(PROBLEM, "spu8-8bit", ensemble=2).device,
    "network": lambda: compile_network(NETWORK).device,
}

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda device: pickle.loads(pickle.dumps(device)),
}


def equal_circuits(a, b) -> bool:
    """Names, wiring, values, constants and readout."""
    same = list(a.nodes) == list(b.nodes) and list(a.sources) == list(b.sources) and list(a.probes) == list(b.probes)
    same = same and np.array_equal(a.probe_nodes, b.probe_nodes) and a.readout.state() == b.readout.state()
    same = same and (a.hash, a.content, a.temperature, a.scales) == (b.hash, b.content, b.temperature, b.scales)
    for one, other in zip(a.instances, b.instances, strict=True):
        same = same and list(one.names) == list(other.names) and np.array_equal(one.nodes, other.nodes)
        same = same and one.subcircuit.elements == other.subcircuit.elements
        same = same and one.parameters.keys() == other.parameters.keys()
        same = same and all(np.array_equal(one.parameters[key], other.parameters[key]) for key in one.parameters)
        derived = dict.fromkeys((*one.subcircuit.parameters, *one.subcircuit.constants), 2.0)
        for name, expression in one.subcircuit.derived.items():
            derived[name] = expression(derived)
            same = same and other.subcircuit.derived[name].text == expression.text
            same = same and other.subcircuit.derived[name](derived) == derived[name]
    return bool(same)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", DEVICES)
def test_copies_are_equal_and_their_own(kind, how):
    device = DEVICES[kind]()
    text, content = device.to_json(), device.content
    lower(device)
    other = COPIES[how](device)
    assert (other.to_json(), other.hash, other.content) == (text, device.hash, content)
    assert equal_circuits(lower(other), lower(device))
    assert len(other.members()) == len(device.members())

    other.cell_columns.arrays["capacitance"][0] *= 2
    if other.cell_columns.codes:
        next(iter(other.cell_columns.codes.values()))[0] = 1
    if other.programmings:
        next(iter(other.programmings[0].cell_codes.values()))[0] = 1
        other.programmings.append(other.programmings[0])
    readout = other._readout
    if readout is not None:
        readout.offset[0] += 1.0
        readout.matrix.data[0] *= 2
    if not other.quantised:
        other.add_cell("more", capacitance=1e-9, conductance=1e-3)
        other.add_coupler("more", other.cell_names[0], capacitance=1e-10)
    other.coupler_ends[0] = other.coupler_ends[0, ::-1]
    other.temperature = 77.0
    if other.detail:
        other.detail.switch["on_resistance"] = 30.0
    assert (device.to_json(), device.content) == (text, content)
    assert other.content != content


def results():
    compilation, network = compile_problem(PROBLEM), compile_network(NETWORK)
    yield "problem", PROBLEM
    yield "network", NETWORK
    yield "compilation", compilation
    yield "network compilation", network
    for name, make in DEVICES.items():
        yield f"circuit of {name}", lower(make().members()[0])
    yield "law", device_law(compilation.device)
    yield "prediction", spu.predict(compilation.device)
    yield "simulation", spu.simulate(compilation.device, samples=200, seed=1)
    yield "ensemble", spu.simulate(DEVICES["ensemble"](), samples=200, seed=1)
    yield "spectrum", spu.spectrum(compilation.device)
    yield "network prediction", spu.predict_network(network.device)
    yield "network simulation", spu.simulate_network(network.device, trajectories=32, seed=1)
    yield "equation", langevin(lower(network.device))


def test_results_can_be_pickled():
    for name, result in results():
        again = pickle.loads(pickle.dumps(result))
        assert type(again) is type(result), name
        for what in ("mean", "covariance", "readouts", "voltage_covariance", "matrix"):
            found, expected = getattr(again, what, None), getattr(result, what, None)
            if isinstance(expected, np.ndarray):
                assert np.array_equal(found, expected), (name, what)
        if hasattr(result, "to_dict"):
            assert repr(again.to_dict()) == repr(result.to_dict()), name
        if isinstance(result, Circuit):
            assert equal_circuits(again, result), name


def test_a_check_and_its_folder_can_be_pickled(tmp_path):
    write_folder(tmp_path / "out", compile_problem(PROBLEM))
    folder = read_folder(tmp_path / "out")
    found = spu.check(folder, levels=["ideal"])
    assert repr(pickle.loads(pickle.dumps(found))) == repr(found)
    assert pickle.loads(pickle.dumps(folder)).device.content == folder.device.content


def test_what_is_kept_goes_into_no_pickle_and_is_worked_out_again():
    device = DEVICES["compiled"]()
    law = device_law(device)
    again = pickle.loads(pickle.dumps(device))
    circuit = pickle.loads(pickle.dumps(lower(device)))
    assert "circuit" in device.kept and not again.kept
    assert lower(device).kept and not circuit.kept
    assert lower(again) is not lower(device)
    for subject in (again, circuit):
        assert np.array_equal(device_law(subject).voltage_covariance, law.voltage_covariance)


def test_an_unpickled_equation_knows_its_circuit():
    """Else it could not be solved in more digits than those of a double."""
    for make in (by_hand, switched):
        sde = stochastic_ode(lower(make()))
        again = pickle.loads(pickle.dumps(sde))
        assert again._original is not None
        for found, expected in zip(again.sizes, sde.sizes, strict=True):
            assert np.array_equal(found, expected)


def test_laws_of_large_networks_can_be_pickled(monkeypatch):
    monkeypatch.setattr("spu.emulator.laws.law.LARGE", 10)
    n = 30
    precision = sp.csr_array(3.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1))
    for architecture in ("rlc-capacitive", "rc-transconductor"):
        made = compile_problem(spu.GaussianSampling(precision=precision), architecture=architecture)
        again = pickle.loads(pickle.dumps(made))
        assert (again.prediction.covariance != made.prediction.covariance).nnz == 0
        assert again.prediction.covariance_relative_error == made.prediction.covariance_relative_error


def test_a_pickled_factor_is_the_same():
    matrix = sp.csr_array(3.0 * np.eye(9) - np.eye(9, k=1) - np.eye(9, k=-1))
    factor = SparseCholesky(matrix, np.ones((9, 9)))
    again = pickle.loads(pickle.dumps(factor))
    assert np.array_equal(again.pivots, factor.pivots)
    assert np.array_equal(again.selected_inverse().toarray(), factor.selected_inverse().toarray())
    assert np.array_equal(again.solve(np.arange(9.0)), factor.solve(np.arange(9.0)))


def test_other_processes_take_devices_and_give_results():
    devices = [DEVICES[kind]() for kind in ("by hand", "compiled", "ensemble")]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(spu.predict, devices))
        circuit = pool.submit(lower, devices[1]).result()
    for device, prediction in zip(devices, found, strict=True):
        assert np.array_equal(prediction.covariance, spu.predict(device).covariance)
    assert equal_circuits(circuit, lower(devices[1]))
