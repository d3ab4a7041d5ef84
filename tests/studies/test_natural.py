"""Natural gradient by a device that relaxes: the model, the law, the emulated step, the netlist, training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg as la
from click.testing import CliRunner
from scipy.optimize import approx_fprime

import spu
from spu.cli import cli
from spu.studies.learning import natural
from spu.studies.learning.natural import SoftmaxModel

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits8.npz"

ALARM = 1e-7
"""Of each statistical assertion; a step that is off by five of its expected errors is seen nearly always."""


@pytest.fixture(scope="module")
def eights():
    return spu.read_images(DIGITS).of_classes([3, 8], each=60)


@pytest.fixture(scope="module")
def found(eights):
    return spu.natural_gradient(eights, steps=4, trajectories=50, seed=2)


def test_the_models_gradient_and_fisher_matrix_are_those_of_its_loss():
    """By differences of the loss, and by the definition: the mean over inputs and over labels that the model draws."""
    rng = np.random.default_rng(0)
    inputs = np.column_stack([rng.normal(size=(30, 2)), np.ones(30)])
    model = SoftmaxModel(inputs, rng.integers(0, 3, 30), 3)
    theta = rng.normal(size=model.size)
    assert np.allclose(model.gradient(theta), approx_fprime(theta, model.loss, 1e-7), atol=1e-6)
    fisher = np.zeros((model.size, model.size))
    for x, p in zip(inputs, model.probabilities(theta), strict=True):
        for label in range(3):
            score = SoftmaxModel(x[None], np.array([label]), 3).gradient(theta)
            fisher += p[label] * np.outer(score, score) / len(inputs)
    assert np.allclose(model.fisher(theta), fisher, atol=1e-12)
    curvature = np.array([approx_fprime(theta, lambda t, k=k: model.gradient(t)[k], 1e-7) for k in range(model.size)])
    assert np.allclose(model.fisher(theta), curvature, atol=1e-6)


def test_the_law_leads_from_the_gradient_to_the_natural_gradient(eights):
    """At t = 0 and when all has decayed: to 1e-9; in between against scipy's exponential."""
    model, _ = natural._posed(eights, None)
    F, g = model.fisher(np.zeros(model.size)) + 0.01 * np.eye(model.size), model.gradient(np.zeros(model.size))
    device = natural._device(F, g, 0.1, "ideal")
    x = np.linalg.solve(F, g)
    slowest = 1 / la.eigvalsh(F)[0]
    times = np.array([0.0, 0.01 * slowest, 0.3 * slowest, 40 * slowest])
    law = spu.relaxation(device, times=times)
    assert np.abs(law.mean[0] - g).max() < 1e-9 * np.abs(g).max()
    assert np.abs(law.mean[-1] - x).max() < 1e-9 * np.abs(x).max()
    for k in (1, 2):
        expected = x + la.expm(-F * times[k]) @ (g - x)
        assert np.abs(law.mean[k] - expected).max() < 1e-9 * np.abs(expected).max()
        assert np.allclose(natural._ideal(F, g, times[k]), expected, rtol=1e-9, atol=1e-12)
    capacitance = device.cell_columns.arrays["capacitance"]
    assert (capacitance == capacitance[0]).all()  # no congruence scaling: the drift is F


def test_the_first_step_emulated_and_in_ngspice(found):
    step = found.step
    assert (step.times[[0, -1]] == [0, np.inf]).all()
    assert np.allclose(step.emulated[0], step.gradient, rtol=1e-9, atol=1e-12)
    assert np.allclose(step.ideal[-1], step.natural, rtol=1e-9)
    assert step.law_error < 1e-6  # exp(-16) is left when the device is read
    assert (step.chance > ALARM).all() and (step.relative_error[1:] < 5 * step.expected_relative_error[1:]).all()
    assert step.simulator == "ngspice" and step.falls and step.simulator_error.max() < 1e-4
    assert np.allclose(step.simulated, step.exact, rtol=1e-3, atol=1e-3 * np.abs(step.exact).max())


def test_training_is_faster_the_longer_the_device_relaxes(found):
    assert found.loss.shape == found.emulated_loss.shape == (4, 5)
    assert (np.diff(found.loss[:, -1]) < 0).all() and (np.diff(found.emulated_loss[:, -1]) < 0).all()
    assert np.allclose(found.loss, found.emulated_loss, rtol=0.05)
    assert np.allclose(found.loss[0], found.emulated_loss[0], rtol=1e-12)  # the gradient has no noise
    theta = np.zeros(found.model.size)
    for _ in range(4):  # gradient descent, and the damped natural gradient, by hand
        theta = theta - found.model.gradient(theta)
    assert found.loss[0, -1] == pytest.approx(found.model.loss(theta), rel=1e-12)
    theta = np.zeros(found.model.size)
    for _ in range(4):
        F = found.model.fisher(theta) + 0.01 * np.eye(len(theta))
        theta = theta - np.linalg.solve(F, found.model.gradient(theta))
    assert found.loss[-1, -1] == pytest.approx(found.model.loss(theta), rel=1e-9)


def test_a_device_of_another_matrix_is_seen(eights, monkeypatch):
    """Mutations: one entry of F off by 20 %, its diagonal by 5 %, another start."""
    made = natural._device

    def off(F, g, *rest):
        wrong = F.copy()
        wrong[0, 1] = wrong[1, 0] = 1.2 * F[0, 1]
        return made(wrong, g, *rest)

    def stiff(F, g, *rest):
        return made(F + 0.05 * np.diag(np.diag(F)), g, *rest)

    def begun(F, g, *rest):
        device = made(F, g, *rest)
        device.set_start(1.1 * g)
        return device

    for wrong in (off, stiff, begun):
        monkeypatch.setattr(natural, "_device", wrong)
        step = spu.natural_gradient(eights, steps=1, trajectories=2000, simulator=None).step
        assert step.law_error > 1e-3 or step.chance.min() < ALARM
        assert step.chance.min() < ALARM or not np.allclose(step.emulated[0], step.gradient, rtol=1e-3)


def test_bits_hang_on_the_seed(eights):
    again = [spu.natural_gradient(eights, steps=2, trajectories=20, seed=5, simulator=None) for _ in range(2)]
    assert np.array_equal(again[0].parameters, again[1].parameters)
    other = spu.natural_gradient(eights, steps=2, trajectories=20, seed=6, simulator=None)
    assert not np.array_equal(again[0].parameters, other.parameters)


BOARD = """
name = "board"
temperature = 300.15
cells = 32
architectures = ["rc-drift"]

[cell]
capacitance = { nominal = 1e-9 }
conductance = { nominal = 1e-3, bits = 8, lsb = 1e-5 }
noise = { nominal = 4e-20 }
bias = { min = -1e-2, max = 1e-2 }

[coupler]
transconductance = { bits = 8, lsb = 1e-5, coding = "binary" }
"""


def test_a_board_of_eight_bits_is_wrong_along_soft_directions_first(eights, tmp_path):
    """And that is said: the law's own error, and that chance does not explain the emulated one; ngspice agrees."""
    (tmp_path / "board.toml").write_text(BOARD)
    found = spu.natural_gradient(eights, hardware=str(tmp_path / "board.toml"), steps=2, trajectories=400)
    step = found.step
    off = np.linalg.norm(step.exact - step.ideal, axis=1) / np.linalg.norm(step.ideal, axis=1)
    assert off[0] < 1e-9 and off[1] < 0.02 < off[-1] and step.law_error > 0.02
    assert step.chance[-1] < ALARM < step.chance[0]
    assert step.falls and step.simulator_error.max() < 1e-4  # the netlist has the same codes
    assert found.emulated_loss[-1, -1] < found.emulated_loss[0, -1]


def test_the_verb(tmp_path):
    words = ["train", "natural", str(DIGITS), "--classes", "3,8", "--steps", "1", "--trajectories", "5"]
    done = CliRunner().invoke(cli, [*words, "--times", "0,1,inf", "--plot", str(tmp_path / "n.png"), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["times"] == [0.0, 1.0, "infinite"] and said["parameters"] == 17 and said["step"]["falls"] is True
    assert (tmp_path / "n.png").read_bytes()[:4] == b"\x89PNG"
    done = CliRunner().invoke(cli, [*words, "--simulator", "none"])
    assert done.exit_code == 0 and "settled: natural gradient" in done.stdout and "ngspice" not in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [3]}, "two classes or more are wanted"),
        ({"classes": [3, 77]}, "no image of class 77"),
        ({"damping": 0.0}, "damping must be positive"),
        ({"rate": "x"}, "rate must be positive"),
        ({"noise": -1.0}, "noise must be positive"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"times": [1.0, 1.0]}, "times are numbers that rise"),
        ({"times": ["a"]}, "times are numbers that rise"),
        ({"simulator": "hspice"}, "no simulator"),
    ],
)
def test_wrong_use_is_one_line(options, message):
    with pytest.raises(spu.SpuError) as refused:
        spu.natural_gradient(DIGITS, **{"classes": [3, 8], "steps": 1, "trajectories": 2, **options})
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_too_many_parameters_and_no_labels():
    many = spu.Images(pixels=np.zeros((70, 1, 2)), labels=np.arange(70))
    with pytest.raises(spu.SpuError, match="more than 64 parameters at any size of the images"):
        spu.natural_gradient(many)
    with pytest.raises(spu.SpuError, match="no labels"):
        spu.natural_gradient(spu.Images(pixels=np.zeros((2, 2, 2))))
