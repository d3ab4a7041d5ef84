"""The compiled folder: written whole or not at all, never over somebody's work, read back as it was."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import spu
from spu.base.errors import InputError, OutputError
from spu.base.files import plain
from spu.folder import read_folder, write_folder
from spu.folder.arrays import spill

NAMES = {"device.json", "device.cir", "problem.json"}


def compiled(scale=1.0, n=3, **kwargs):
    matrix = scale * (2.0 * np.eye(n) - 0.5 * np.eye(n, k=1) - 0.5 * np.eye(n, k=-1))
    return spu.compile_problem(spu.GaussianSampling(precision=matrix, **kwargs))


@pytest.fixture(scope="module")
def compilation():
    return compiled()


def listing(directory):
    return {path.name for path in directory.iterdir()}


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_what_is_written_is_read_back(tmp_path, compilation):
    written = write_folder(tmp_path / "out", compilation)
    assert {path.name for path in written} == NAMES == listing(tmp_path / "out")
    folder = read_folder(tmp_path / "out")
    assert folder.directory == tmp_path / "out"
    assert folder.netlist == tmp_path / "out" / "device.cir"
    assert folder.device.hash == compilation.device.hash == folder.compiled["device_hash"]
    assert folder.device.problem is folder.problem
    assert np.array_equal(folder.problem.precision, compilation.device.problem.precision)
    statistics = folder.compiled["statistics"]
    for key in ("mean", "covariance", "voltage_mean", "voltage_covariance", "time_constants"):
        assert np.array_equal(statistics[key], getattr(compilation.prediction, key)), key
    assert np.array_equal(statistics["state_variance"], compilation.prediction.law.state_variance)
    assert statistics["state_names"] == list(compilation.prediction.law.sde.state_names)
    for key in ("hardware", "architecture", "predicted_relative_error", "mean", "version"):
        assert key in folder.compiled
    assert set(folder.compiled["realizability"]) == {"class", "rho", "reason", "margin"}


def test_files_are_ordinary_ones(tmp_path, compilation):
    mask = os.umask(0o022)
    try:
        write_folder(tmp_path / "out", compilation)
    finally:
        os.umask(mask)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (tmp_path / "out").iterdir())


def test_large_matrices_go_beside_the_json(tmp_path, monkeypatch, compilation):
    monkeypatch.setattr("spu.folder.arrays.MAX_ROWS", 2)
    write_folder(tmp_path / "out", compilation)
    assert listing(tmp_path / "out") == NAMES | {"problem.npz", "statistics.npz"}
    data = json.loads((tmp_path / "out" / "problem.json").read_text())
    assert data["precision"] == {"npz": "problem.npz", "key": "precision"}
    assert data["compiled"]["statistics"]["covariance"] == {"npz": "statistics.npz", "key": "covariance"}
    folder = read_folder(tmp_path / "out")
    assert np.array_equal(folder.problem.precision, compilation.device.problem.precision)
    assert np.array_equal(folder.compiled["statistics"]["covariance"], compilation.prediction.covariance)

    (tmp_path / "out" / "statistics.npz").write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"statistics\.npz"):
        read_folder(tmp_path / "out")
    (tmp_path / "out" / "statistics.npz").unlink()
    with pytest.raises(InputError, match="no such file"):
        read_folder(tmp_path / "out")


def test_files_of_a_larger_problem_go_with_it(tmp_path, monkeypatch, compilation):
    with monkeypatch.context() as patch:
        patch.setattr("spu.folder.arrays.MAX_ROWS", 2)
        write_folder(tmp_path, compilation)
    (tmp_path / "samples.npz").write_bytes(b"kept")
    write_folder(tmp_path, compilation)
    assert listing(tmp_path) == NAMES | {"samples.npz"}


def test_compiling_again_is_no_trouble(tmp_path, compilation):
    write_folder(tmp_path, compilation)
    write_folder(tmp_path, compiled(scale=2.0))
    assert read_folder(tmp_path).problem.precision[0, 0] == 4.0


def test_the_parent_must_exist(tmp_path, compilation):
    with pytest.raises(OutputError, match=r"no folder .*missing") as caught:
        write_folder(tmp_path / "missing" / "out", compilation)
    assert caught.value.file == str(tmp_path / "missing" / "out")
    assert not (tmp_path / "missing").exists()


def test_a_file_is_no_folder(tmp_path, compilation):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError):
            write_folder(path, compilation, force=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_is_not_ours(tmp_path, compilation):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not a compiled folder"):
        write_folder(tmp_path, compilation)
    (tmp_path / "device.json").write_text("{}")
    (tmp_path / "problem.json").write_text("[]")
    with pytest.raises(OutputError, match="not a compiled folder"):
        write_folder(tmp_path, compilation)
    write_folder(tmp_path, compilation, force=True)
    assert listing(tmp_path) == NAMES | {"notes.txt"}


@pytest.mark.parametrize("name", ["device.json", "device.cir"])
def test_an_edited_file_is_not_lost(tmp_path, compilation, name):
    write_folder(tmp_path, compilation)
    file = tmp_path / name
    file.write_text(file.read_text().replace("e-10", "e-9"))
    edited = contents(tmp_path)
    with pytest.raises(OutputError, match="edited by hand") as caught:
        write_folder(tmp_path, compilation)
    assert caught.value.file == str(file)
    assert contents(tmp_path) == edited
    write_folder(tmp_path, compilation, force=True)
    assert contents(tmp_path)[name] != edited[name]


def test_a_folder_in_the_way_of_a_file(tmp_path, compilation):
    (tmp_path / "device.cir").mkdir()
    (tmp_path / "device.cir" / "precious").touch()
    with pytest.raises(OutputError, match="is a folder"):
        write_folder(tmp_path, compilation, force=True)
    assert listing(tmp_path) == {"device.cir"}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_old_or_new_but_never_half(tmp_path, monkeypatch, compilation, old, failure, count):
    """Writing fails at the file given by ``count``: nothing changes and nothing is left over."""
    out = tmp_path / "out"
    if old:
        write_folder(out, compiled(scale=2.0))
    before = contents(out) if old else None
    calls = []
    open_file = Path.open

    def failing(self, mode="r", *args, **kwargs):
        if mode == "wb":
            calls.append(self)
            if len(calls) > count:
                raise failure
        return open_file(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", failing)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_folder(out, compilation)
    monkeypatch.undo()
    assert listing(tmp_path) == ({"out"} if old else set())
    assert before is None or contents(out) == before


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_rename_that_fails_is_undone(tmp_path, monkeypatch, compilation, count):
    write_folder(tmp_path, compiled(scale=2.0))
    before = contents(tmp_path)
    replace, done = Path.replace, []

    def failing(self, target):
        if self.parent.name == "new":
            done.append(self)
            if len(done) > count:
                raise OSError(5, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        write_folder(tmp_path, compilation)
    assert contents(tmp_path) == before


def test_an_interrupt_between_renames_waits(tmp_path, monkeypatch, compilation):
    write_folder(tmp_path, compiled(scale=2.0))
    replace = Path.replace

    def interrupting(self, target):
        signal.raise_signal(signal.SIGINT)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupting)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path, compilation)
    assert signal.getsignal(signal.SIGINT) is handler
    assert read_folder(tmp_path).device.hash == compilation.device.hash
    assert listing(tmp_path) == NAMES


def test_a_device_file_alone(tmp_path, compilation):
    path = tmp_path / "device.json"
    compilation.device.write(path)
    folder = read_folder(path)
    assert (folder.directory, folder.problem, folder.compiled, folder.netlist) == (None, None, None, None)
    assert read_folder(tmp_path).directory == tmp_path  # the folder itself was named


def test_what_lies_beside_a_device_file(tmp_path, compilation):
    write_folder(tmp_path, compilation)
    folder = read_folder(tmp_path / "device.json")
    assert folder.directory == tmp_path
    assert folder.netlist is not None and folder.problem is not None
    (tmp_path / "device.json").rename(tmp_path / "other.json")
    folder = read_folder(tmp_path / "other.json")
    assert folder.netlist is None and folder.problem is None


def test_a_problem_of_other_variables(tmp_path, compilation):
    write_folder(tmp_path, compilation)
    other = compiled(variables=["a", "b", "c"])
    (tmp_path / "problem.json").write_text(json.dumps(other.device.problem.to_dict()))
    with pytest.raises(InputError, match=r"does not fit .*a, b, c") as caught:
        read_folder(tmp_path)
    assert caught.value.file == str(tmp_path / "problem.json")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: "nonsense", "JSON object"),
        (lambda d: {**d, "task": "cook"}, "cook"),
        (lambda d: {**d, "format": "spu-problem/9"}, "format"),
        (lambda d: {**d, "compiled": 3}, "damaged"),
        (lambda d: {**d, "compiled": {"statistics": {"mean": "x"}}}, "damaged"),
        (lambda d: {**d, "compiled": {"statistics": {"covariance": [[1, 2]]}}}, "damaged"),
        (lambda d: {**d, "compiled": {"statistics": []}}, "damaged"),
        (lambda d: {**d, "precision": {"npz": "/etc/passwd", "key": "precision"}}, r"problem\.npz"),
        (lambda d: {**d, "precision": {}}, r"problem\.npz"),
    ],
)
def test_a_damaged_problem_file(tmp_path, compilation, change, complaint):
    write_folder(tmp_path, compilation)
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(InputError, match=complaint):
        read_folder(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_folder(tmp_path / "missing")
    with pytest.raises(InputError, match="spu compile"):
        read_folder(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_folder(tmp_path / ("x" * 5000))


def test_plain_json():
    value = {
        "a": np.array([1.0, np.nan]),
        "b": (np.float64(2), np.int64(3)),
        "c": Path("x"),
        "d": float("inf"),
    }
    assert plain(value) == {"a": [1.0, None], "b": [2.0, 3], "c": "x", "d": None}


def test_spill_names_what_it_takes():
    big = np.zeros((201, 201))
    small, large = spill({"covariance": big, "by": {"ideal": big}, "n": np.zeros(300)}, "x.npz")
    assert small["by"]["ideal"] == {"npz": "x.npz", "key": "by_ideal"}
    assert set(large) == {"covariance", "by_ideal"}
    assert isinstance(small["n"], np.ndarray)
