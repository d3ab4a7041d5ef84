"""The command line: JSON contract, exit statuses, refusals in a line or two, interrupts."""

import functools
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.layout import table
from spu.base.numbers import _PREFIXES, engineering
from spu.cli import cli
from spu.crosscheck.result import Check, Comparison, Level
from spu.reports.texts import check_text as describe

MATRIX = [[2.0, -0.5, 0.3], [-0.5, 1.5, 0.2], [0.3, 0.2, 1.0]]
CSV = "x,y,z\n2,-0.5,0.3\n-0.5,1.5,0.2\n0.3,0.2,1\n"

PREDICT = {
    *("variables", "cells", "mean", "covariance", "target_mean", "target_covariance", "voltage_mean"),
    *("voltage_covariance", "relative_error", "covariance_relative_error", "mean_relative_error"),
    "time_constants",
}
SIMULATE = PREDICT | {"samples", "effective_samples", "expected_relative_error", "seconds", "device_time"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(CSV)


def run(*args):
    result = CliRunner().invoke(cli, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def ok(*args):
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result


@functools.cache
def _compiled():
    home = tempfile.TemporaryDirectory()  # gone with the interpreter
    ok("compile", "a.csv", "-o", Path(home.name, "out"))
    return home


def compiled():
    """``out``, as ``spu compile a.csv -o out`` makes it."""
    shutil.copytree(Path(_compiled().name, "out"), "out")


def as_json(*args):
    result = ok(*args, "--json")
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def process(*args, **kwargs):
    """Start the real program: its own interpreter, pipes and signals."""
    command = [sys.executable, "-c", "import spu.cli; spu.cli.main()", *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
    return subprocess.Popen(command, text=True, **pipes)


def snapshot():
    return {str(path): path.read_bytes() for path in sorted(Path.cwd().rglob("*")) if path.is_file()}


# --- the contract --------------------------------------------------------------------------


def test_compile_json():
    found = as_json("compile", "a.csv", "-o", "out")
    assert (found["device"], found["netlist"]) == ("out/device.json", "out/device.cir")
    assert (found["cells"], found["couplers"], found["architecture"]) == (3, 3, "rlc-capacitive")
    assert found["predicted_relative_error"] < 1e-9
    assert set(found["realizability"]) == {"class", "rho", "reason", "margin"}
    assert found["warnings"] == []


def test_predict_json():
    compiled()
    found = as_json("predict", "out")
    assert set(found) >= PREDICT
    assert found["variables"] == ["x", "y", "z"]
    assert np.allclose(found["covariance"], np.linalg.inv(MATRIX), rtol=1e-9)
    assert found["relative_error"] == found["covariance_relative_error"] < 1e-9
    assert found["time_constants"] == sorted(found["time_constants"], reverse=True)
    assert as_json("predict", "out/device.json") == found


def test_predict_in_a_band():
    compiled()
    found = as_json("predict", "out", "--band", "0", "inf")
    assert found["relative_error"] is None
    assert np.allclose(found["covariance"], np.linalg.inv(MATRIX), rtol=1e-9)
    narrow = as_json("predict", "out", "--band", "1e5", "2e5")
    assert np.trace(narrow["covariance"]) < 0.5 * np.trace(found["covariance"])
    assert "from 100 kHz to 200 kHz" in ok("predict", "out", "--band", "1e5", "2e5").stdout


def test_the_spectrum_integrates_to_the_variance():
    compiled()
    found = as_json("predict", "out", "--spectrum", "s.csv")
    data = np.loadtxt("s.csv", delimiter=",", skiprows=2)
    variances = np.trapezoid(data[:, 1:], data[:, 0], axis=0)
    assert np.allclose(variances, np.diag(found["voltage_covariance"]), rtol=5e-3)
    ok("predict", "out", "--spectrum", "s.csv")  # ours may be written over
    assert run("predict", "out", "--spectrum", "a.csv").exit_code == 2
    assert Path("a.csv").read_text() == CSV


def test_simulate_json():
    compiled()
    found = as_json("simulate", "out", "--samples", 2000, "--seed", 3)
    assert set(found) >= SIMULATE
    assert (found["complete"], found["seed"]) == (True, 3)
    with np.load("out/samples.npz") as data:
        assert data["samples"].shape == (found["samples"], 3)
        assert data["variables"].tolist() == ["x", "y", "z"]
        assert (data["interval"], data["trajectories"]) == (found["interval"], found["trajectories"])
        assert (data["seed"], bool(data["complete"])) == (3, True)
        assert np.allclose(np.cov(data["samples"].T, bias=True), found["covariance"])


def test_a_device_by_hand_has_no_target():
    device = spu.Device()
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.write("mine.json")
    found = as_json("predict", "mine.json")
    assert found["target_covariance"] is None and found["relative_error"] is None
    assert "no target" in ok("predict", "mine.json").stdout
    assert as_json("simulate", "mine.json", "--samples", 100)["output"] is None
    assert not list(Path.cwd().glob("*.npz"))
    ok("simulate", "mine.json", "--samples", 100, "-o", "mine.npz")
    assert Path("mine.npz").exists()
    ok("inspect", "mine.json")


def test_inspect_json():
    compiled()
    found = as_json("inspect", "out")
    assert found["cells"] == ["x", "y", "z"]
    x = found["cell_table"][0]
    total = x["capacitance"] + sum(row["capacitance"] for row in found["coupler_table"] if "x" in (row["a"], row["b"]))
    assert np.isclose(x["quality"], np.sqrt(total / x["inductance"]) / x["conductance"])
    assert np.isclose(x["resonance"], 1 / (2 * np.pi * np.sqrt(total * x["inductance"])))
    assert np.isclose(x["time_constant"], 2 * total / x["conductance"])


@pytest.mark.parametrize("conductance", [1e-4, 2e-4, 1e-3, 5e-2])
def test_the_time_constant_of_a_lone_cell(conductance):
    """What inspect says of a cell is what the emulator finds, damped little or much."""
    device = spu.Device()
    device.add_cell("a", capacitance=1e-9, conductance=conductance, inductance=1e-1, noise=4e-20)
    device.write("mine.json")
    found = as_json("inspect", "mine.json")
    assert np.isclose(found["cell_table"][0]["time_constant"], found["time_constants"][0], rtol=1e-6)


def test_matrices_of_many_rows_go_beside(monkeypatch):
    compiled()
    whole = as_json("predict", "out")
    monkeypatch.setattr("spu.folder.arrays.MAX_ROWS", 2)
    found = as_json("predict", "out")
    assert found["covariance"] == {"npz": "out/predict.npz", "key": "covariance"}
    with np.load(found["covariance"]["npz"]) as data:
        assert np.array_equal(data["covariance"], whole["covariance"])
    assert found["mean"] == whole["mean"]
    as_json("predict", "out")  # ours may be written over
    np.savez("out/simulate.npz", precious=1)
    assert run("simulate", "out", "--json").exit_code == 2


def test_the_same_seed_gives_the_same_bits():
    compiled()
    ok("simulate", "out", "--samples", 500, "--seed", 7)
    first = Path("out/samples.npz").read_bytes()
    ok("simulate", "out", "--samples", 500, "--seed", 7)
    assert Path("out/samples.npz").read_bytes() == first
    ok("simulate", "out", "--samples", 500, "--seed", 8)
    assert Path("out/samples.npz").read_bytes() != first


def test_problem_files_and_overrides():
    Path("p.toml").write_text('task = "inverse"\nmatrix = [[2, 1], [1, 2]]\nhardware = "spu8"\n')
    assert as_json("compile", "p.toml", "-o", "out")["hardware"] == "spu8"
    assert as_json("compile", "p.toml", "-o", "out", "--hardware", "ideal")["hardware"] == "ideal"
    Path("b.csv").write_text("1\n2\n3\n")
    found = as_json("compile", "a.csv", "--vector", "b.csv", "-o", "lin")
    assert (found["mean"], found["architecture"]) == ("bias", "rc-resistive")
    assert np.allclose(as_json("predict", "lin")["mean"], np.linalg.solve(MATRIX, [1, 2, 3]))
    ok("compile", "a.csv", "--covariance", "-o", "cov")
    assert np.allclose(as_json("predict", "cov")["covariance"], MATRIX)


def test_people_are_told_what_they_need():
    text = ok("compile", "a.csv", "-o", "out").stdout
    for word in (
        "rlc-capacitive",
        "rho",
        "polarity",
        "mean",
        "predicted error",
        "out/device.cir",
        "next: spu check",
    ):
        assert word in text, word
    text = ok("predict", "out").stdout
    for word in ("(target)", "uV", "slowest", "off target by"):
        assert word in text, word
    text = ok("simulate", "out", "--samples", 1000).stdout
    for word in (
        "default: the longest time constant",
        "trajectories (default)",
        "worth",
        "is expected",
        "+-",
    ):
        assert word in text, word
    text = ok("inspect", "out").stdout
    for word in ("resonance", "Q", "pF", "strength", "inverted"):
        assert word in text, word


def test_a_warning_goes_to_stderr_or_into_the_json():
    Path("bad.csv").write_text("1e7,0\n0,1\n")
    result = ok("compile", "bad.csv", "-o", "out")
    assert result.stderr.startswith("warning: badly conditioned") and "warning" not in result.stdout
    assert len(as_json("compile", "bad.csv", "-o", "out")["warnings"]) == 1


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_pictures(suffix):
    compiled()
    ok("inspect", "out", "--plot", f"p.{suffix}")
    first = Path(f"p.{suffix}").read_bytes()
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])


def test_help():
    for verb in ("compile", "predict", "simulate", "check", "inspect"):
        assert "--json" in ok(verb, "--help").stdout
        assert verb in ok("--help").stdout
    assert ok("--version").stdout == f"spu-emulator {spu.__version__}\n"


# --- refusals ------------------------------------------------------------------------------

REFUSED = {
    "no such file": (["compile", "missing.csv", "-o", "new"], "input", "no such file"),
    "no -o": (["compile", "a.csv"], "usage", "-o DIR"),
    "unknown option": (["compile", "a.csv", "-o", "new", "--bogus"], "usage", "--bogus"),
    "unknown verb": (["cook"], "usage", "cook"),
    "no argument": (["predict"], "usage", "DIR"),
    "bad seed": (["compile", "a.csv", "-o", "new", "--seed", "-1"], "usage", "seed"),
    "no number": (["simulate", "out", "--samples", "many"], "usage", "many"),
    "unknown hardware": (["compile", "a.csv", "-o", "new", "--hardware", "spu9"], "input", "spu8"),
    "missing hardware": (["compile", "a.csv", "-o", "new", "--hardware", "x.toml"], "input", "x.toml"),
    "unknown architecture": (["compile", "a.csv", "-o", "new", "--architecture", "rlc"], "input", "rlc"),
    "unknown task": (["compile", "a.csv", "-o", "new", "--task", "cook"], "input", "gaussian"),
    "forced": (["compile", "mixed.csv", "-o", "new", "--architecture", "rlc-capacitive"], "unrealizable", ""),
    "ragged": (["compile", "ragged.csv", "-o", "new"], "input", "ragged.csv:2"),
    "asymmetric": (["compile", "asymmetric.csv", "-o", "new"], "input", "not symmetric"),
    "indefinite": (["compile", "indefinite.csv", "-o", "new"], "input", "smallest eigenvalue"),
    "nan": (["compile", "nan.csv", "-o", "new"], "input", "NaN"),
    "empty": (["compile", "empty.csv", "-o", "new"], "input", "empty.csv"),
    "name": (["compile", "name.csv", "-o", "new"], "input", "name.csv:1"),
    "toml key": (["compile", "key.toml", "-o", "new"], "input", "precision"),
    "toml hardware": (["compile", "hardware.toml", "-o", "new"], "input", "hardware.toml"),
    "vector": (["compile", "a.csv", "--vector", "short.csv", "-o", "new"], "input", "2 × 1"),
    "no parent": (["compile", "a.csv", "-o", "no/new"], "output", "no/new"),
    "a file": (["compile", "a.csv", "-o", "a.csv"], "output", "is a file"),
    "under a file": (["compile", "a.csv", "-o", "a.csv/new"], "output", "a.csv/new"),
    "not ours": (["compile", "a.csv", "-o", "."], "output", "--force"),
    "no folder": (["predict", "missing"], "input", "missing"),
    "no device": (["simulate", "empty"], "input", "device.json"),
    "not a device": (["inspect", "a.csv"], "input", "JSON"),
    "bad band": (["predict", "out", "--band", "2", "1"], "usage", "F1 < F2"),
    "nan band": (["predict", "out", "--band", "nan", "1"], "usage", "F1 < F2"),
    "spectrum": (["predict", "out", "--spectrum", "a.csv"], "output", "a.csv"),
    "interval": (["simulate", "out", "--interval", "0"], "usage", "--interval"),
    "nan interval": (["simulate", "out", "--interval", "nan"], "usage", "--interval"),
    "both": (["simulate", "out", "--samples", "3", "--duration", "1"], "usage", "not both"),
    "independent": (["simulate", "out", "--independent", "--interval", "1"], "usage", "independent"),
    "too many": (["simulate", "out", "--samples", "10000000000", "--trace", "1"], "usage", "keep fewer"),
    "too many too": (
        ["simulate", "out", "--independent", "--samples", "10000000000", "--trace", "3"],
        "usage",
        "at most 500000000 numbers",
    ),
    "no trace": (["simulate", "out", "--trace", "3", "--no-output"], "usage", "not both"),
    "no method": (["simulate", "out", "--method", "magic"], "usage", "modal, dense"),
    "lags of independent draws": (["simulate", "out", "--independent", "--lags", "3"], "usage", "lags"),
    "too many lags": (["simulate", "out", "--lags", "100000000"], "usage", "100000"),
    "absurd": (["simulate", "out", "--duration", "1e300", "--interval", "1e-300"], "usage", "too many"),
    "samples file": (["simulate", "out", "-o", "a.csv"], "usage", "a.csv"),
    "samples folder": (["simulate", "out", "-o", "no/s.npz"], "output", "no"),
    "samples not ours": (["simulate", "out", "-o", "precious.npz"], "output", "precious.npz"),
    "level": (["check", "out", "--level", "idael"], "usage", "'ideal'"),
    "accuracy": (["check", "out", "--accuracy", "-1"], "usage", "accuracy"),
    "time limit": (["check", "out", "--time-limit", "0"], "usage", "time-limit"),
    "picture": (["inspect", "out", "--plot", "p.jpg"], "output", ".png"),
    "picture folder": (["check", "out", "--plot", "no/p.png"], "output", "no"),
}


@pytest.fixture
def _malformed():
    compiled()
    Path("empty").mkdir()
    Path("empty.csv").write_text("")
    Path("ragged.csv").write_text("1,0\n0\n")
    Path("asymmetric.csv").write_text("1,0.5\n0.4,1\n")
    Path("indefinite.csv").write_text("1,2\n2,1\n")
    Path("nan.csv").write_text("1,nan\nnan,1\n")
    Path("name.csv").write_text("a b,c\n1,0\n0,1\n")
    Path("mixed.csv").write_text("3,1,1\n1,3,1\n1,1,3\n")
    Path("short.csv").write_text("1\n2\n")
    Path("key.toml").write_text("percision = [[1.0]]\n")
    Path("hardware.toml").write_text('precision = [[1.0]]\nhardware = "spu9"\n')
    np.savez("precious.npz", mine=1)


@pytest.mark.usefixtures("_malformed")
def test_refusals_take_a_line_or_two_and_write_nothing():
    before = snapshot()
    for name, (arguments, kind, words) in REFUSED.items():
        result = run(*arguments)
        assert result.exit_code == 2, (name, result.output)
        assert result.stdout == "", name
        lines = result.stderr.splitlines()
        assert 1 <= len(lines) <= 2 and lines[0].startswith("error: "), (name, result.stderr)
        assert words in result.stderr, (name, result.stderr)

        result = run(*arguments, "--json")
        assert result.exit_code == 2 and result.stderr == "", name
        found = json.loads(result.stdout)
        assert set(found) == {"error"}
        assert set(found["error"]) >= {"kind", "message", "file", "line"}, name
        assert found["error"]["kind"] == kind, (name, found)
        assert "Traceback" not in result.output
    assert snapshot() == before


def test_an_error_names_file_and_line():
    Path("ragged.csv").write_text("1,0\n0\n")
    error = json.loads(run("compile", "ragged.csv", "-o", "out", "--json").stdout)["error"]
    assert (error["file"], error["line"]) == ("ragged.csv", 2)
    Path("mixed.csv").write_text("3,2,2\n2,3,2\n2,2,3\n")
    forced = ("--architecture", "rlc-capacitive")
    error = json.loads(run("compile", "mixed.csv", "-o", "out", *forced, "--json").stdout)["error"]
    assert error["details"]["rho"] > 1


def test_a_circuit_without_a_stationary_law_is_shown_and_refused():
    device = spu.Device()
    device.add_cell("a", capacitance=1e-9, noise=4e-20)
    device.write("mine.json")
    error = json.loads(run("predict", "mine.json", "--json").stdout)["error"]
    assert (error["kind"], error["nodes"]) == ("circuit", ["a"])
    result = run("inspect", "mine.json")
    assert result.exit_code == 2
    assert "1 nF" in result.stdout and result.stderr.startswith("error: ")


def test_no_room_left(monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    result = run("compile", "a.csv", "-o", "out")
    assert result.exit_code == 2
    assert result.stderr == "error: out: cannot be written: No space left on device\n"
    assert not Path("out").exists()


def test_no_memory_left(monkeypatch):
    def large(*args, **kwargs):
        raise MemoryError("Unable to allocate 7 TiB")

    compiled()
    monkeypatch.setattr("spu.emulator.predict.predict", large)
    result = run("predict", "out")
    assert (result.exit_code, result.stderr) == (2, "error: not enough memory: Unable to allocate 7 TiB\n")


def test_an_edited_netlist_is_kept():
    compiled()
    deck = Path("out/device.cir")
    deck.write_text(deck.read_text() + "* mine\n")
    result = run("compile", "a.csv", "-o", "out")
    assert result.exit_code == 2 and "out/device.cir: was edited by hand" in result.stderr
    assert deck.read_text().endswith("* mine\n")
    ok("compile", "a.csv", "-o", "out", "--force")
    assert not deck.read_text().endswith("* mine\n")


# --- the process ---------------------------------------------------------------------------


def test_an_interrupt_keeps_what_there_is():
    """On a terminal, whose progress bar says when there is something to keep."""
    compiled()
    terminal, theirs = pty.openpty()
    child = process("simulate", "out", "--samples", 150_000_000, "--trajectories", 1, "--json", stderr=theirs)
    os.close(theirs)
    shown = b""
    while re.search(rb"\d\d:\d\d:\d\d", shown) is None:  # the time left, known after the first readouts
        shown += os.read(terminal, 1000)
    child.send_signal(signal.SIGINT)
    stdout, _ = child.communicate(timeout=60)
    os.close(terminal)
    assert child.returncode == 130
    found = json.loads(stdout)
    assert found["complete"] is False and 0 < found["samples"] < 150_000_000
    with np.load("out/samples.npz") as data:
        assert not data["complete"]
        assert data["trace"] > 1  # all of them would be 3.6 GB
        assert data["samples"].shape == (-(-found["samples"] // data["trace"]), 3)
        assert np.isfinite(data["samples"]).all()
    assert {path.name for path in Path("out").iterdir()} == {
        *("device.json", "device.cir", "problem.json", "samples.npz")
    }


def test_an_interrupt_before_there_is_anything(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    compiled()
    monkeypatch.setattr("spu.emulator.simulate.simulate", interrupted)
    result = run("simulate", "out")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
    assert not Path("out/samples.npz").exists()
    assert json.loads(run("simulate", "out", "--json").stdout)["error"]["kind"] == "interrupted"


def test_the_program_itself():
    """No traceback, no litter on stdout, and a usage error exits 2 rather than 1."""
    child = process("compile", "a.csv", "-o", "out", "--json")
    stdout, stderr = child.communicate(timeout=60)
    assert (child.returncode, stderr) == (0, "")
    json.loads(stdout)
    child = process("predict", "out", "--bogus")
    stdout, stderr = child.communicate(timeout=60)
    assert (child.returncode, stdout, len(stderr.splitlines())) == (2, "", 1)


def test_nobody_reads():
    compiled()
    child = process("predict", "out", "--json")
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait(timeout=60) == 141


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['spu', '--help']\n"
        "import spu.cli\n"
        "try:\n    spu.cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'matplotlib', 'networkx', 'PySpice', 'scipy.io'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment, timeout=60)


# --- what check prints ---------------------------------------------------------------------


def a_check(n=3, ngspice=True):
    rng = np.random.default_rng(0)
    ideal = np.diag(rng.uniform(1, 2, n))
    covariances = {"ideal": ideal, "emulator": ideal * (1 + 1e-12)}
    means = {"ideal": np.zeros(n), "emulator": np.zeros(n)}
    if ngspice:
        spoilt = ideal.copy()
        spoilt[-1, -1] *= 1.1
        covariances["ngspice"], means["ngspice"] = spoilt, np.zeros(n)
    levels = {
        "ideal": Level("ideal", "pass", "consistent", 1e-12, 1e-9, 0.1),
        "op": Level("op", "skipped", "says nothing here"),
        "ac": Level("ac", "fail", "worst at x3", 0.1, 1e-3, 2.0, {"frequencies": 7}, exit_status=1),
    }
    pairs = [Comparison(("ideal", "emulator"), "covariance", 0.0, {"compilation": 0.0}, 0.0, 0.0, 1e-9, True)]
    if ngspice:
        pairs.append(Comparison(("emulator", "ngspice"), "covariance", 0.1, {}, 0.0, 0.1, 1e-4, False))
    names = tuple(f"x{k + 1}" for k in range(n))
    return Check(levels, names, means, covariances, ("a note",), tuple(pairs))


def test_check_for_people():
    text = describe(a_check())
    assert "note: a note" in text
    assert "FAIL" in text.splitlines()[-1]
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["ac"]]
    assert "1.0e-01" in line and "1.0e-03" in line and "FAIL" in line
    assert "ideal - emulator" in text and "emulator - ngspice" in text
    text = describe(a_check(n=20))
    assert "12 of 20 variables" in text
    first = text.split("variance: ideal")[1].splitlines()[2]
    assert first.split()[0] == "x20"  # the worst comes first
    assert "emulator - ngspice" not in describe(a_check(ngspice=False))


def test_check_for_programs():
    found = a_check().to_dict()
    assert found["verdict"] == "fail"
    assert found["levels"]["ac"] == {
        "verdict": "fail",
        "error": 0.1,
        "tolerance": 1e-3,
        "seconds": 2.0,
        "message": "worst at x3",
        "false_alarm_rate": None,
        "detects": {},
        "frequencies": 7,
    }


def test_check_on_the_command_line(monkeypatch):
    """Options reach the check, and its exit status the shell."""
    import spu.crosscheck

    seen = {}

    def fake(folder, **options):
        seen.update(options, hash=folder.device.hash)
        return a_check()

    monkeypatch.setattr(spu.crosscheck, "check", fake)
    compiled()
    result = run("check", "out", "--level", "ac", "--level", "op", "--accuracy", "0.1", "--seed", 5)
    assert result.exit_code == 1
    assert seen["levels"] == ("ac", "op") and (seen["accuracy"], seen["seed"]) == (0.1, 5)
    result = run("check", "out", "--json", "--plot", "c.png")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verdict"] == "fail"
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("spu.folder.arrays.MAX_ROWS", 2)
    found = json.loads(run("check", "out", "--json").stdout)
    assert found["covariances"]["ideal"] == {"npz": "out/check.npz", "key": "covariances_ideal"}


# --- numbers for people --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.01e-4, "101 uV"),
        (999.9e-9, "1 uV"),
        (1e-9, "1 nV"),
        (0.0, "0 V"),
        (-2.5e3, "-2.5 kV"),
        (1.0, "1 V"),
        (1e-30, "1e-30 V"),
        (None, "-"),
        (float("inf"), "inf V"),
    ],
)
def test_engineering(value, text):
    assert engineering(value, "V") == text


def test_engineering_at_every_decade():
    for exponent in range(-17, 14):
        for mantissa in (1.0, 9.994, 9.996):
            value = mantissa * 10.0**exponent
            text = engineering(value, "V").removesuffix("V")
            number, _, prefix = text.partition(" ")
            powers = {v: k for k, v in _PREFIXES.items()}
            assert float(number) * 10.0 ** powers[prefix] == pytest.approx(value, rel=6e-3)
            assert 1 <= float(number) < 1000


def test_long_tables_are_cut():
    text = table(["a"], [[str(k)] for k in range(50)], limit=40)
    assert "... and 10 more" in text and len(text.splitlines()) == 43
