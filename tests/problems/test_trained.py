"""Trained networks: parts that fit, the file, and a folder as a problem."""

import json

import numpy as np
import pytest

import spu
from spu.base.errors import InputError
from spu.problems.posed import pose


def a_network(n=5):
    rng = np.random.default_rng(n)
    J = np.triu(rng.normal(size=(n, n)), 1)
    return spu.ThermodynamicNetwork(
        1.0, 0.1, 1.0, input=rng.normal(size=n), bias=0.3, couplings=J + J.T, kT=0.2, units=n
    )


def a_classifier(**changes):
    given = {
        "network": a_network(),
        "purpose": "classifier",
        "duration": 0.2,
        "step": 1e-3,
        "weights": np.arange(20.0).reshape(5, 4) / 7,
        "outputs": [3, 4],
        "classes": ("0", "1"),
        "shape": (2, 2),
        "offset": 0.1,
        "factor": 3.0,
        "settings": {"seed": 1, "rates": [0.1, 0.2]},
        "measured": {"accuracy": 0.9},
    }
    return spu.TrainedNetwork(**(given | changes))


def test_a_file_gives_back_what_was_saved_bit_by_bit(tmp_path):
    first = a_classifier()
    first.save(tmp_path)
    second = spu.load_trained(tmp_path)
    for key in ("J2", "J3", "J4", "input", "bias", "couplings"):
        assert np.array_equal(getattr(first.network, key), getattr(second.network, key))
    assert np.array_equal(first.weights, second.weights)
    assert second.outputs.tolist() == [3, 4] and second.readout is None and second.visible is None
    for key in ("purpose", "duration", "step", "scheme", "shape", "offset", "factor", "classes"):
        assert getattr(first, key) == getattr(second, key)
    assert second.network.kT == 0.2 and second.network.variables == first.network.variables
    assert json.dumps(second.settings) == json.dumps(first.settings) and second.measured == first.measured
    assert [path.name for path in tmp_path.iterdir()] == ["trained.npz"]


def test_its_folder_is_a_problem(tmp_path):
    a_classifier().save(tmp_path)
    posed = pose(tmp_path)
    assert posed.problem.n == 5 and spu.compile_problem(tmp_path).architecture == "rc-conductance"
    assert posed.file == tmp_path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"purpose": "clever"}, "purpose is"),
        ({"duration": 0.0}, "duration is 0.0"),
        ({"step": float("nan")}, "step is nan"),
        ({"weights": np.ones((4, 4))}, "weights has 4 rows, and the network 5 units"),
        ({"weights": np.ones((5, 3))}, "do not fit 3 weights"),
        ({"weights": None}, "needs weights"),
        ({"outputs": [3, 5]}, "units, 0 to 4"),
        ({"outputs": [3, 3]}, "each once"),
        ({"classes": ("0",)}, "2 outputs for 1 classes"),
        ({"purpose": "generative"}, "needs visible"),
        ({"purpose": "regression"}, "needs readout"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        a_classifier(**changes)


def test_inputs_are_the_network_s_own_and_the_weighted_pixels():
    learnt = a_classifier()
    pixels = np.array([[0.1, 0.5, 1.0, 0.0]])
    by_hand = learnt.network.input + learnt.weights @ ((pixels[0] - 0.1) * 3.0)
    assert np.allclose(learnt.inputs(learnt.scaled(pixels)), by_hand)
    with pytest.raises(InputError, match=r"\(k, 4\) is wanted"):
        learnt.inputs(np.ones((1, 3)))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other", "list", "missing"])
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = a_classifier().save(tmp_path)
    whole = path.read_bytes()
    if damage in ("empty", "cut", "text"):
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"no archive"}[damage])
    else:
        arrays = dict(np.load(path))
        about = json.loads(str(arrays["about"]))
        if damage == "other":
            arrays["about"] = np.array(json.dumps(about | {"format": "spu-trained/9"}))
        if damage == "list":
            arrays["about"] = np.array(json.dumps([1, 2]))
        if damage == "missing":
            del arrays["couplings"]
        np.savez(path, **arrays)
    with pytest.raises(InputError) as caught:
        spu.load_trained(tmp_path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_folder_without_one_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no trained\.npz"):
        spu.load_trained(tmp_path)
