"""What numpy's users pass to the doors: it works, or one line says what to pass; never a traceback of numpy."""

from __future__ import annotations

import numpy as np
import pytest

import spu
from spu.folder import write_folder

A = [[2.0, -0.5], [-0.5, 1.5]]


@pytest.fixture(scope="module")
def subjects():
    return {
        "linear": spu.compile(A),
        "network": spu.compile(spu.ThermodynamicNetwork(units=2)),
    }


BOTH, LINEAR, NETWORK = ("linear", "network"), ("linear",), ("network",)
RECORD = {"voltages": np.zeros((9, 2)), "interval": 1e-7}
OTHER = spu.GaussianSampling(precision=np.eye(3))

REFUSED = [
    (BOTH, "check", {"seed": "a"}, "seed must be a whole number, a numpy Generator or None"),
    (BOTH, "check", {"seed": 1.5}, "seed must be a whole number"),
    (BOTH, "check", {"seed": True}, "seed must be a whole number"),
    (BOTH, "check", {"seed": -1}, "seed must not be negative"),
    (BOTH, "check", {"accuracy": "x"}, "accuracy must be a relative error"),
    (BOTH, "check", {"detect": "5%"}, "detect must be a positive number"),
    (BOTH, "check", {"budget": float("inf")}, "budget must be a positive number"),
    (BOTH, "check", {"time_limit": -1}, "time_limit must be a positive number"),
    (BOTH, "check", {"time_limit": "a"}, "time_limit must be a positive number"),
    (BOTH, "netlist", {"seed": -1}, "seed must not be negative"),
    (BOTH, "netlist", {"seed": "a"}, "seed must be a whole number"),
    (BOTH, "simulate", {"step": "x"}, "step must be positive"),
    (BOTH, "simulate", {"precision": "half"}, "precision is double or single, not 'half'"),
    (LINEAR, "simulate", {"precision": "single", "independent": True}, "precision single is of runs in time"),
    (LINEAR, "simulate", {"precision": "single"}, "precision single saves nothing by modes"),
    (NETWORK, "simulate", {"precision": "single", "heat": True}, "precision single is not for heat and work"),
    (BOTH, "simulate", {"threads": 0}, "threads must be"),
    (BOTH, "simulate", {"threads": 1.5}, "threads must be a whole number"),
    (BOTH, "predict", {"problem": A}, "problem must be one, such as spu.GaussianSampling"),
    (LINEAR, "simulate", {"interval": "x"}, "interval must be positive"),
    (LINEAR, "calibrate", {"record": RECORD, "gain": "x"}, "gain must be a positive number, or 2 of them, not 'x'"),
    (LINEAR, "calibrate", {"record": RECORD, "noise": -1}, "noise must be a number from 0 on"),
    (LINEAR, "calibrate", {"record": RECORD, "method": 3}, "method 3; "),
    (LINEAR, "calibrate", {"record": RECORD, "unit": "mV"}, "volts or in problem units"),
    (LINEAR, "calibrate", {"record": RECORD, "rate": "fast"}, "rate must be a positive number"),
    (LINEAR, "calibrate", {"record": "nowhere"}, "a record is a .npz or a .csv file"),
    (NETWORK, "calibrate", {"record": RECORD}, "calibrate is not for networks"),
    (LINEAR, "simulate", {"problem": OTHER}, "problem has 3 variables, and the device 2"),
    (LINEAR, "predict", {"problem": OTHER}, "problem has 3 variables, and the device 2"),
    (LINEAR, "predict", {"problem": spu.ThermodynamicNetwork(units=2)}, "compared with the problem of a matrix"),
    (LINEAR, "simulate", {"times": [1.0]}, "not for linear devices (see samples, interval and duration)"),
    (LINEAR, "spectrum", {"frequencies": ["a"]}, "frequencies are numbers of hertz"),
    (LINEAR, "spectrum", {"frequencies": [[1.0]]}, "frequencies are numbers of hertz"),
    (NETWORK, "check", {"accuracy": 0.1}, "accuracy is not for networks"),
    (NETWORK, "predict", {"problem": OTHER}, "problem is not for networks"),
    (NETWORK, "simulate", {"problem": OTHER}, "problem is not for networks"),
    (NETWORK, "simulate", {"inputs": 3}, "inputs are two arrays"),
    (NETWORK, "simulate", {"inputs": ([0.0], ["a"])}, "inputs are two arrays"),
    (NETWORK, "simulate", {"start": [1.0, 2.0, 3.0]}, "start must be finite, one number a variable (2)"),
    (NETWORK, "simulate", {"start": [[1.0], [2.0, 3.0]]}, "start must be finite"),
    (NETWORK, "simulate", {"times": []}, "no time to read at in times"),
    (NETWORK, "simulate", {"times": "x"}, "readout times must be finite"),
    (LINEAR, "simulate", {"own_inputs": [[1.0, 2.0]]}, "not for linear devices (see samples, interval and duration)"),
    (LINEAR, "simulate", {"envelope": [1.0]}, "not for linear devices"),
    (LINEAR, "simulate", {"clamp": {"x9": 1.0}}, "held: there is no variable 'x9'; did you mean"),
    (LINEAR, "simulate", {"clamp": {"x1": "a"}}, "held: x1 is 'a': it must be a finite number"),
    (NETWORK, "simulate", {"own_inputs": [1.0, 2.0]}, "own_inputs must be 1000 x 2 finite numbers: a trajectory a row"),
    (NETWORK, "simulate", {"own_inputs": [["a"]]}, "own_inputs must be 1000 x 2"),
    (NETWORK, "simulate", {"own_inputs": np.full((1000, 2), np.nan)}, "own_inputs must be 1000 x 2 finite"),
    (NETWORK, "simulate", {"envelope": [1.0]}, "envelope is the factor on own_inputs at the instants of inputs"),
    (
        NETWORK,
        "simulate",
        {"own_inputs": np.ones((1000, 2)), "inputs": ([0.0], [[1.0, 1.0]]), "envelope": [1.0, 2.0]},
        "the envelope must be 1 finite numbers",
    ),
    (
        NETWORK,
        "simulate",
        {"own_inputs": np.ones((1000, 2)), "start": "equilibrium"},
        "no start in equilibrium where inputs or clamps differ by trajectory",
    ),
    (NETWORK, "simulate", {"clamp": "x1"}, "clamp is a mapping of units to where they are held"),
    (NETWORK, "simulate", {"clamp": {"x3": 1.0}}, "clamp holds no unit 'x3'; did you mean"),
    (NETWORK, "simulate", {"clamp": {"x1": "a"}}, "clamp of x1 is a finite number, or one for each of 1000"),
    (NETWORK, "simulate", {"clamp": {"x1": [1.0, 2.0]}}, "clamp of x1 is a finite number, or one for each of 1000"),
    (NETWORK, "simulate", {"clamp": {"x1": 1.0, "x2": 0.0}}, "clamp holds all units: nothing is left that moves"),
    (
        NETWORK,
        "simulate",
        {
            "clamp": {"x1": np.zeros(1000)},
            "own_inputs": np.ones((1000, 2)),
            "inputs": ([0.0], [[1.0, 1.0]]),
            "envelope": [2.0],
        },
        "clamps that differ by trajectory go with no envelope",
    ),
    (NETWORK, "simulate", {"coarse": "x"}, "coarse must be a whole number"),
    (NETWORK, "yields", {"limit": 0.1}, "boards of nonlinear cells have no exact law"),
    (NETWORK, "corners", {}, "boards of nonlinear cells have no exact law"),
    (LINEAR, "yields", {"limit": "x"}, "limit is 'x': a number is wanted, or (low, high)"),
    (LINEAR, "yields", {"limit": 0.1, "draws": "a"}, "draws must be a whole number"),
    (LINEAR, "yields", {"limit": 0.1, "seed": "a"}, "seed must be a whole number"),
    (LINEAR, "yields", {"limit": 0.1, "netlists": "a"}, "netlists must be a whole number"),
    (LINEAR, "yields", {"limit": 0.1, "confidence": "a"}, "confidence is 'a': a share between 0 and 1"),
    (LINEAR, "yields", {"limit": 0.1, "tolerance": 0.01}, "tolerance is 0.01: it must have the tables"),
    (LINEAR, "yields", {"limit": 0.1, "metric": 3}, "no metric"),
    (LINEAR, "corners", {"sigmas": "a"}, "sigmas is 'a': a number of standard deviations"),
    (LINEAR, "corners", {"temperatures": "a"}, "temperatures are 'a': numbers of kelvin"),
]


@pytest.mark.parametrize(
    ("kind", "door", "options", "message"),
    [(kind, door, options, message) for kinds, door, options, message in REFUSED for kind in kinds],
)
def test_what_is_refused(kind, door, options, message, subjects):
    with pytest.raises(spu.SpuError) as refused:
        getattr(spu, door)(subjects[kind], **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", BOTH)
def test_seeds_of_numpy_do_everywhere(kind, subjects, tmp_path):
    """Simulators hold their seeds in 32 bits: what chance gives is below, so that no two are the same to them."""
    device = subjects[kind]
    for seed in (None, np.random.default_rng(1), 7, np.int64(7), 7.0):
        assert spu.check(device, levels="ideal", seed=seed).verdict == "pass"
        text = spu.netlist(device, seed=seed)
        used = int(text.partition("seed=")[2].split()[0])
        assert 0 < used < 2**31
    assert spu.netlist(device, seed=7.0) == spu.netlist(device, seed=7)
    assert spu.netlist(device, seed=None) != spu.netlist(device, seed=None)  # one in 2^31
    report = spu.report(device, tmp_path / "r.html", levels="ideal", samples=100, seed=None)
    assert report.evidence.settings.seed < 2**31


def test_the_netlist_of_a_network_names_the_folder_that_does(tmp_path):
    """Of nonlinear cells only ngspice reads a netlist, and the device lies beside it."""
    write_folder(tmp_path / "out", spu.compile_problem(spu.ThermodynamicNetwork(units=2)))
    with pytest.raises(spu.SpuError, match="only ngspice can run this deck") as refused:
        spu.predict(tmp_path / "out" / "device.cir")
    assert str(refused.value).endswith("; give its folder, with the device.json that it was written of")
    (tmp_path / "out" / "device.json").unlink()
    with pytest.raises(spu.SpuError, match="only ngspice can run this deck") as refused:
        spu.predict(tmp_path / "out" / "device.cir")
    assert "give its folder" not in str(refused.value)


def test_one_name_in_place_of_a_list(subjects):
    assert spu.spectrum(subjects["linear"], [1.0], variables="x1").variables == ("x1",)


@pytest.mark.parametrize("door", ["predict", "simulate", "spectrum", "check", "netlist"])
def test_a_readout_that_knows_fewer_cells_than_there_are(door):
    device = spu.compile(A)
    device.add_cell("late", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    with pytest.raises(spu.SpuError, match="the readout is of 2 cells and the device has 3: set_readout") as refused:
        getattr(spu, door)(device)
    assert refused.value.kind != "internal"


@pytest.mark.parametrize("option", ["detect", "budget"])
@pytest.mark.parametrize("levels", [["ideal"], ["op", "replay"]])
def test_a_plan_for_a_level_that_is_not_asked_for(option, levels):
    device = spu.compile(A)
    with pytest.raises(spu.SpuError, match=f"{option} is not for the levels asked for: it is of level noise"):
        spu.check(device, levels=levels, **{option: 0.1})
