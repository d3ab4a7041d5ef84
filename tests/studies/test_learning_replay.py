"""Trained networks in ngspice: the same starts, inputs and noise, so the same paths, images and answers."""

import numpy as np
import pytest
from test_learning_hardware import learnt

import spu
from spu.base.errors import InputError, UsageError
from spu.compiler import compile_problem
from spu.folder import write_folder
from spu.studies.learning.replay import PATH_ERROR, _prepared, replay_learned

PIXELS = np.random.default_rng(0).uniform(size=(2, 4))


def generator(visible=4, hidden=2):
    rng = np.random.default_rng(1)
    n = visible + hidden
    J = np.zeros((n, n))
    J[:visible, visible:] = rng.normal(scale=0.8, size=(visible, hidden))
    network = spu.ThermodynamicNetwork(couplings=J + J.T, bias=rng.normal(size=n), kT=0.1, units=n)
    return spu.TrainedNetwork(
        network=network, purpose="generative", duration=1.0, step=1e-2, visible=range(visible), shape=(2, 2)
    )


def test_images_to_answers(tmp_path):
    write_folder(tmp_path / "board", compile_problem(learnt(kT=0.1), "neurons-6bit", draw=1))
    run = replay_learned(tmp_path / "board", PIXELS)
    assert run.error.shape == (2,)
    assert run.path_error < PATH_ERROR
    assert run.falls
    assert run.same
    assert run.verdict == "pass"
    assert run.exact.shape == run.found.shape == (2, len(run.times), 6)
    assert run.times[-1] == pytest.approx(0.2)
    assert (run.exact[:, 0] == 0).all()
    # Two images, two paths: the inputs are on.
    assert np.abs(run.exact[0, -1] - run.exact[1, -1]).max() > 0.05
    assert run.to_dict()["emulator"] == run.to_dict()["ngspice"]
    assert "PASS: the same answers" in str(run)
    run.plot()


def test_noise_to_images():
    trained = generator()
    start = np.array([[0.5, -0.5, 0.2, 0.0, 0.1, -0.1]])
    run = replay_learned(compile_problem(trained, "neurons"), start=start, count=1)
    assert run.exact[0, 0] == pytest.approx(start[0])
    assert run.found[0, 0] == pytest.approx(start[0], abs=1e-6)
    assert run.verdict == "pass"
    emulator, simulator = run.images
    assert emulator.shape == (1, 4)
    assert simulator == pytest.approx(emulator, abs=1e-3)
    run.plot()


def test_a_wrong_current_or_start_is_seen(monkeypatch):
    """What ngspice is given is what is compared: one input a few per cent off, one start on another cell."""
    made = compile_problem(learnt(kT=0.1), "neurons")

    def wrong_current(deck, nodes, volts, current):
        return _prepared(deck, nodes, volts, current * np.where(np.arange(len(current)) == 2, 1.03, 1.0))

    monkeypatch.setattr("spu.studies.learning.replay._prepared", wrong_current)
    assert replay_learned(made, PIXELS[:1], samples=40).verdict == "fail"
    monkeypatch.setattr(
        "spu.studies.learning.replay._prepared", lambda deck, nodes, volts, _: _prepared(deck, nodes, volts[::-1], None)
    )
    assert replay_learned(compile_problem(generator(), "neurons"), count=1, samples=40).verdict == "fail"


def test_refusals():
    trained = generator()
    with pytest.raises(InputError, match="not compiled"):
        replay_learned(trained)
    made = compile_problem(trained, "neurons")
    with pytest.raises(UsageError, match="it is given no images"):
        replay_learned(made, PIXELS)
    with pytest.raises(UsageError, match="is given images: pass some"):
        replay_learned(compile_problem(learnt(), "neurons"))
    with pytest.raises(InputError, match=r"\(4, 6\) finite numbers"):
        replay_learned(made, start=[[0.0]])
    with pytest.raises(UsageError, match="are no voltages"):
        replay_learned(compile_problem(trained, "neurons", architecture="rlc-flux"))
