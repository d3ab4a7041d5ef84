"""``spu solve``, ``invert``, ``logdet``, ``expm``, ``lyapunov``, ``lstsq`` and ``plan``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from spu.cli import cli

A = np.array([[2.0, -0.5], [-0.5, 1.5]])
G = np.array([[1.5, 0.8], [-0.6, 1.0]])
B = np.array([1.0, 2.0])

KEYS = {"answer", "standard_error", "relative_error", "device_time", "burn_in", "readouts", "energy"}

VERBS = {
    "solve": (["A.csv", "b.csv"], np.linalg.solve(A, B)),
    "invert": (["A.csv"], np.linalg.inv(A)),
    "logdet": (["A.csv"], np.linalg.slogdet(A)[1]),
    "expm": (["A.csv", "0.2"], None),
    "lyapunov": (["G.npy", "A.csv"], None),
    "lstsq": (["T.csv", "b3.csv"], np.linalg.lstsq([[1, 0], [1, 1], [1, 2.0]], [0, 1, 3.0], rcond=None)[0]),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savetxt("A.csv", A, delimiter=",")
    np.savetxt("b.csv", B)
    np.save("G.npy", G)
    np.savetxt("T.csv", [[1, 0], [1, 1], [1, 2]], delimiter=",")
    np.savetxt("b3.csv", [0, 1, 3])
    return tmp_path


def run(*words):
    return CliRunner().invoke(cli, list(words))


@pytest.mark.parametrize("verb", VERBS)
def test_an_answer(verb, here):
    words, exact = VERBS[verb]
    done = run(verb, *words, "--error", "10%", "--compare", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found.keys() >= KEYS
    assert found["relative_error"] < 0.12 and found["device_time"] > found["burn_in"] > 0
    exact = found["exact"] if exact is None else exact
    assert np.allclose(found["exact"], exact)
    assert (abs(np.array(found["answer"]) - exact) < 6 * np.array(found["standard_error"])).all()
    said = run(verb, *words, "--error", "0.1")
    assert said.exit_code == 0
    for word in ("+-", "device time", "readouts", "floor", "energy"):
        assert word in said.stdout
    assert not list(here.glob("*.npz"))


def test_time_and_seeds(here):
    one = json.loads(run("invert", "A.csv", "--time", "200us", "--json").stdout)
    assert one["device_time"] == pytest.approx(2e-4) and one["exact"] is None
    same = json.loads(run("invert", "A.csv", "--time", "0.2ms", "--json").stdout)
    third = json.loads(run("invert", "A.csv", "--time", "2e-4", "--seed", "1", "--json").stdout)
    assert same["answer"] == one["answer"] != third["answer"]
    assert third["relative_error"] == pytest.approx(one["relative_error"])


def test_methods(here):
    for method, task in (("normal", "least-squares"), ("embedding", "general-linear"), ("symmetric", "linear")):
        found = json.loads(run("solve", "A.csv", "b.csv", "--method", method, "--error", "10%", "--json").stdout)
        assert found["task"] == task


def test_names_of_columns(here):
    (here / "named.csv").write_text("left,right\n2,-0.5\n-0.5,1.5\n")
    assert "left" in run("invert", "named.csv", "--error", "20%").stdout


def test_an_output(here, monkeypatch):
    done = run("invert", "A.csv", "--error", "20%", "-o", "out.npz", "--json")
    found = json.loads(done.stdout)
    with np.load("out.npz") as archive:
        assert np.array_equal(archive["answer"], found["answer"]) and archive["readouts"] == found["readouts"]
    assert found["output"] == "out.npz"
    assert "wrote out.npz" in run("invert", "A.csv", "--error", "20%", "-o", "out.npz").stdout  # its own file
    monkeypatch.setattr("spu.folder.arrays.MAX_ROWS", 1)
    found = json.loads(run("invert", "A.csv", "--error", "20%", "--json").stdout)
    assert found["answer"] == {"npz": "invert.npz", "key": "answer"}
    with np.load("invert.npz") as archive:
        assert archive["answer"].shape == archive["standard_error"].shape == (2, 2)
    np.savez("invert.npz", other=1)
    done = run("invert", "A.csv", "--error", "20%", "--json")
    assert done.exit_code == 2 and "was not written by this command" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("solve A.csv b.csv --error 1% --time 1ms", "give error or time, not both"),
        ("invert A.csv --error -1%", "--error must be a positive number such as 1% or 0.01, not '-1%'"),
        ("invert A.csv --error nan", "--error must be a positive number"),
        ("invert A.csv --time 0ms", "--time must be a positive number such as 1ms, 2us or 1e-3, not '0ms'"),
        ("invert A.csv --time 1ns", "less than the longest time constant"),
        ("invert b.csv", "it must be square"),
        ("invert nowhere.csv", "no such file"),
        ("solve A.csv b.csv --method lu", "--method is 'lu'"),
        ("solve A.csv A.csv", "vector"),
        ("expm A.csv 0", "must be positive"),
        ("invert A.csv -o answer.csv", "answers are written as .npz"),
        ("plan A.csv --interval -1", "--interval must be positive"),
        ("plan A.csv -o plan.txt", ".txt"),
        ("plan nowhere", "nowhere"),
    ],
)
def test_wrong_use(words, message, here):
    done = run(*words.split())
    assert done.exit_code == 2 and not done.stdout
    assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_plan(here):
    found = json.loads(run("plan", "A.csv", "--task", "inverse", "--error", "5%", "--json").stdout)
    assert found.keys() >= {"device_time", "burn_in", "readouts", "floor", "energy"}
    assert found["relative_error"] <= 0.05 and found["measured"] is None
    back = json.loads(run("plan", "A.csv", "--task", "inverse", "--time", str(found["device_time"]), "--json").stdout)
    assert back["relative_error"] == pytest.approx(found["relative_error"], rel=1e-2)
    run("compile", "A.csv", "--task", "inverse", "-o", "out")
    of_folder = json.loads(run("plan", "out", "--error", "5%", "--json").stdout)
    assert of_folder["device_time"] == pytest.approx(found["device_time"])
    refused = run("plan", "out", "--hardware", "ideal")
    assert refused.exit_code == 2 and "--hardware is for problems" in refused.stderr


def test_a_picture_with_measured_errors(here):
    done = run("plan", "A.csv", "--error", "20%", "--measure", "8", "-o", "plan.png")
    assert done.exit_code == 0 and (here / "plan.png").stat().st_size > 10_000
    assert "rms of 8 runs" in done.stdout and "picture: plan.png" in done.stdout


def test_an_interrupt_prints_what_there_is(here):
    command = [sys.executable, "-m", "spu.cli", "invert", "A.csv", "--error", "0.02%", "--json"]
    code = "from spu.cli import main; import sys; sys.argv[0] = 'spu'; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command[3:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    # Until the handler of the run is there a signal ends the process at once: as often as it takes.
    time.sleep(6.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    if out.strip():
        found = json.loads(out)
        assert "error" in found or (not found["complete"] and found["relative_error"] > 0.0002)
