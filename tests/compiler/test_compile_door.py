"""The door `compile`: whatever poses a problem, all options, what is refused, and architectures from outside."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import xarray as xr
from click.testing import CliRunner

import spu
from spu.base.errors import InputError, OptionError, Unrealizable
from spu.cli import cli
from spu.compiler import compile_network, compile_problem, register
from spu.compiler.architectures import ARCHITECTURES
from spu.compiler.architectures.passive import RCResistive
from spu.compiler.architectures.polynomial import RCConductance
from spu.compiler.passes import Passes
from spu.device import hardware as hardware_module
from spu.device.hardware_file import hardware_from_dict, load_hardware
from spu.folder import write_folder
from spu.problems import kinds

MATRIX = np.array([[2.0, -0.5, 0.0], [-0.5, 1.0, -0.25], [0.0, -0.25, 1.5]])
NAMES = ["left", "middle", "right"]
FRAME = pd.DataFrame(MATRIX, index=NAMES, columns=NAMES)
NETWORK = spu.ThermodynamicNetwork(1.0, 0.0, 1.0, couplings=[[0.0, 0.5], [0.5, 0.0]])
NETWORK_FILE = """task = "network"
J2 = [1.0, 0.5]
J4 = 1.0
hardware = "neurons"
architecture = "rlc-flux"
"""


def reference():
    return spu.compile(spu.GaussianSampling(precision=MATRIX))


# --- what poses a problem ------------------------------------------------------------------

MATRICES = {
    "array": lambda: MATRIX,
    "integers": lambda: np.array([[2, -1], [-1, 3]]),
    "lists": lambda: MATRIX.tolist(),
    "tuples": lambda: tuple(map(tuple, MATRIX)),
    "sparse array": lambda: sp.csr_array(MATRIX),
    "sparse matrix": lambda: sp.coo_matrix(MATRIX),
    "frame without names": lambda: pd.DataFrame(MATRIX),
    "data without names": lambda: xr.DataArray(MATRIX),
    "data with places": lambda: xr.DataArray(MATRIX, dims=["i", "j"], coords={"i": range(3), "j": range(3)}),
}


@pytest.mark.parametrize("make", MATRICES.values(), ids=MATRICES)
def test_a_bare_matrix_is_a_precision(make):
    matrix = make()
    dense = matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)
    device = spu.compile(matrix)
    assert device.hash == spu.compile(spu.GaussianSampling(precision=dense)).hash
    assert device.readout.variables == tuple(f"x{k + 1}" for k in range(len(dense)))
    assert spu.predict(device).covariance == pytest.approx(np.linalg.inv(dense), rel=1e-9)


LABELLED = {
    "frame": FRAME,
    "columns alone": pd.DataFrame(MATRIX, columns=NAMES),
    "rows alone": pd.DataFrame(MATRIX, index=NAMES),
    "data": xr.DataArray(MATRIX, dims=["i", "j"], coords={"i": NAMES, "j": NAMES}),
    "data with one": xr.DataArray(MATRIX, dims=["i", "j"], coords={"j": NAMES}),
}


@pytest.mark.parametrize("matrix", LABELLED.values(), ids=LABELLED)
def test_names_of_a_labelled_matrix_become_the_variables(matrix):
    assert spu.compile(matrix).readout.variables == tuple(NAMES)
    assert spu.GaussianSampling(covariance=matrix).variables == tuple(NAMES)
    assert spu.MatrixInverse(matrix).variables == tuple(NAMES)
    assert spu.MatrixInverse(matrix, variables=["a", "b", "c"]).variables == ("a", "b", "c")
    assert spu.LinearSystem(matrix, [1, 2, 3]).variables == tuple(NAMES)


def test_vectors_come_in_the_order_of_the_matrix():
    turned = pd.Series([3.0, 1.0, 2.0], index=["right", "left", "middle"])
    assert spu.LinearSystem(FRAME, turned).vector.tolist() == [1, 2, 3]
    assert spu.LinearSystem(FRAME, turned.to_frame("b")).vector.tolist() == [1, 2, 3]
    assert spu.LinearSystem(FRAME, turned.to_frame("b").T).vector.tolist() == [1, 2, 3]
    assert spu.LinearSystem(FRAME, turned.to_xarray()).vector.tolist() == [1, 2, 3]
    assert spu.LinearSystem(FRAME, [3, 1, 2]).vector.tolist() == [3, 1, 2]
    assert spu.LinearSystem(FRAME, pd.Series([3, 1, 2])).vector.tolist() == [3, 1, 2]
    assert spu.GaussianSampling(FRAME, mean=turned).mean.tolist() == [1, 2, 3]
    bare = spu.LinearSystem(MATRIX, turned)
    assert (bare.variables, bare.vector.tolist()) == (("right", "left", "middle"), [3, 1, 2])
    named = spu.LinearSystem(MATRIX, turned, variables=iter(NAMES))
    assert (named.variables, named.vector.tolist()) == (tuple(NAMES), [1, 2, 3])
    renamed = spu.LinearSystem(FRAME, turned, variables=["a", "b", "c"])
    assert (renamed.variables, renamed.vector.tolist()) == (("a", "b", "c"), [1, 2, 3])


def test_a_network_takes_names_too():
    pairs = pd.DataFrame([[0.0, 1.0], [1.0, 0.0]], index=["b", "a"], columns=["b", "a"])
    network = spu.ThermodynamicNetwork(pd.Series([1.0, 2.0], index=["a", "b"]), couplings=pairs)
    assert (network.variables, network.J2.tolist()) == (("b", "a"), [2.0, 1.0])
    alone = spu.ThermodynamicNetwork(pd.Series([1.0, 2.0], index=["a", "b"]))
    assert spu.compile(alone).readout.variables == ("a", "b")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: spu.compile(pd.DataFrame(MATRIX, index=NAMES, columns=["left", "middle", "up"])), "column 3 'up'"),
        (lambda: spu.compile(FRAME.loc[["right", "left", "middle"]]), "in one order"),
        (lambda: spu.compile(FRAME.iloc[:2]), "2 × 3"),
        (lambda: spu.compile(pd.DataFrame(MATRIX, columns=["a", "b", "c-d"])), "'c-d' cannot name a variable"),
        (lambda: spu.compile(pd.DataFrame(MATRIX, columns=["a", "b", 1.5])), "1.5 cannot name a variable"),
        (lambda: spu.LinearSystem(FRAME, pd.Series([1, 2, 3], index=["left", "middle", "up"])), "'up' is not one of"),
        (lambda: spu.LinearSystem(FRAME, pd.Series([1, 2, 3], index=["left", "left", "right"])), "stands twice"),
        (lambda: spu.LinearSystem(FRAME, pd.Series([1, 2], index=["left", "right"])), "names of the variables"),
        (lambda: spu.LinearSystem(MATRIX, pd.Series([1, 2], index=["left", "right"])), "2 variable names"),
    ],
)
def test_names_that_do_not_fit_are_refused_in_a_line(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_is_a_problem_file(tmp_path):
    np.savetxt(tmp_path / "m.csv", MATRIX, delimiter=",")
    assert spu.compile(tmp_path / "m.csv").hash == reference().hash
    assert spu.compile(str(tmp_path / "m.csv"), architecture="rc-resistive").architecture == "rc-resistive"
    (tmp_path / "p.toml").write_text('precision = "m.csv"\nhardware = "spu8"\n')
    assert compile_problem(tmp_path / "p.toml").hardware.name == "spu8"
    assert compile_problem(tmp_path / "p.toml", "ideal").hardware.name == "ideal"
    (tmp_path / "net.toml").write_text(NETWORK_FILE)
    made = compile_problem(tmp_path / "net.toml")
    assert (made.hardware.name, made.architecture) == ("neurons", "rlc-flux")
    assert compile_problem(tmp_path / "net.toml", architecture="rc-conductance").architecture == "rc-conductance"


def test_what_a_file_names_is_refused_with_the_file(tmp_path):
    for name, text, words in [
        ("a.toml", NETWORK_FILE.replace("neurons", "neuron"), "did you mean 'neurons'?"),
        ("b.toml", NETWORK_FILE.replace("rlc-flux", "rlc-fluks"), "did you mean 'rlc-flux'?"),
        ("c.toml", 'precision = [[1.0]]\nhardware = "spu9"\n', "did you mean 'spu8'?"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError) as caught:
            spu.compile(tmp_path / name)
        assert words in caught.value.message
        assert caught.value.file == str(tmp_path / name)
    with pytest.raises(InputError) as caught:
        spu.compile(tmp_path / "b.toml", architecture="rc-flux")
    assert caught.value.file is None


def folder_of(tmp_path):
    write_folder(tmp_path / "out", compile_problem(MATRIX))
    return spu.folder.read_folder(tmp_path / "out")


REFUSED = {
    "device": (lambda _: reference(), "a Device is compiled already"),
    "circuit": (lambda _: spu.device.lower.lower(reference()), "a Circuit is compiled already"),
    "compilation": (lambda _: compile_problem(MATRIX), "is compiled already"),
    "folder": (folder_of, "a Folder is compiled already"),
    "path of a folder": (lambda path: folder_of(path).directory, "is a folder"),
    "number": (lambda _: 2.0, "2.0 is no problem"),
    "nothing": (lambda _: None, "None is no problem"),
    "dictionary": (lambda _: {"precision": MATRIX}, "is no problem"),
    "class": (lambda _: spu.GaussianSampling, "is no problem"),
    "vector": (lambda _: [1.0, 2.0], "must be square"),
    "words": (lambda _: [["a", "b"], ["c", "d"]], "not numeric"),
    "missing": (lambda path: path / "m.csv", "no such file"),
    "long": (lambda _: "m" * 5000, "cannot be read"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_problem_is_refused_in_a_line(make, words, tmp_path):
    with pytest.raises(InputError) as caught:
        spu.compile(make(tmp_path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# --- options -------------------------------------------------------------------------------


def wired():
    return replace(load_hardware("ideal"), wiring="grid 3x3", chain_strength=None)


TAKEN = {
    "architecture": ("ideal", {"architecture": "rc-resistive"}, lambda made: made.architecture, "rc-resistive"),
    "rounding": ("spu8-4bit", {"rounding": "nearest"}, lambda made: made.rounding, "nearest"),
    "ensemble": ("spu8-4bit", {"ensemble": np.int64(3)}, lambda made: len(made.device.members()), 3),
    "detail": ("spu8-switched", {"detail": "none"}, lambda made: bool(made.device.detail), False),
    "details": ("spu8-switched", {"detail": ["all"]}, lambda made: bool(made.device.detail), True),
    "embedding": (wired(), {"embedding": spu.EmbeddingOptions(seed=3)}, lambda made: made.embedding.strength, None),
}


@pytest.mark.parametrize(("on", "options", "of", "expected"), TAKEN.values(), ids=TAKEN)
def test_options_of_a_linear_problem(on, options, of, expected):
    made = compile_problem(MATRIX, on, **options)
    assert of(made) == expected
    assert spu.compile(MATRIX, on, **options).hash == made.device.hash


def test_options_of_a_network():
    made = compile_problem(NETWORK, "neurons", architecture="rlc-flux", speedup=2)
    assert (made.architecture, made.scales.speedup) == ("rlc-flux", 2.0)
    assert spu.compile(NETWORK, "neurons", architecture="rlc-flux", speedup=2.0).hash == made.device.hash
    assert compile_network(NETWORK, "neurons", architecture="rlc-flux", speedup=2).device.hash == made.device.hash


MEANINGLESS = {
    "speedup": (MATRIX, {"speedup": 2.0}, "speedup is for networks"),
    "rounding": (NETWORK, {"rounding": "codes"}, "rounding is not for networks"),
    "ensemble": (NETWORK, {"ensemble": 2}, "ensemble is not for networks"),
    "embedding": (NETWORK, {"embedding": spu.EmbeddingOptions()}, "embedding is not for networks"),
    "detail": (NETWORK, {"detail": "none"}, "detail is not for networks"),
}


@pytest.mark.parametrize(("problem", "options", "words"), MEANINGLESS.values(), ids=MEANINGLESS)
def test_an_option_without_meaning_is_refused_before_any_work(problem, options, words, monkeypatch):
    monkeypatch.setattr(Passes, "run", lambda _: pytest.fail("worked"))
    monkeypatch.setattr("spu.compiler.load_hardware", lambda _: pytest.fail("worked"))
    for door in (spu.compile, compile_problem):
        with pytest.raises(OptionError) as caught:
            door(problem, "neurons", **options)
        assert words in str(caught.value)
        assert "leave it out" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "rc-charge"}, "no architecture 'rc-charge' for problems of a matrix"),
        ({"architecture": 3}, "architecture is 3: it must be a name"),
        ({"rounding": "best"}, "no rounding 'best'"),
        ({"rounding": ["codes"]}, "it must be a name"),
        ({"ensemble": 2.5}, "an ensemble has 1 programming or more, not 2.5"),
        ({"ensemble": True}, "not True"),
        ({"ensemble": 0}, "not 0"),
        ({"embedding": 3.0}, "spu.EmbeddingOptions"),
        ({"detail": 7}, "detail is 7"),
        ({"detail": ["switch"]}, "this hardware says nothing of it"),
        ({"speedup": "twice"}, "speedup is 'twice': it must be a number"),
        ({"hardware": 8}, "hardware is 8"),
    ],
)
def test_values_that_no_option_has(options, words):
    with pytest.raises(InputError) as caught:
        spu.compile(MATRIX, **options)
    assert words in str(caught.value)


def test_hardware_without_such_cells_says_so():
    with pytest.raises(Unrealizable, match="neurons has no linear cells; it has rc-conductance"):
        spu.compile(MATRIX, "neurons")
    with pytest.raises(Unrealizable, match="spu8 has no nonlinear cells; it has rlc-capacitive"):
        spu.compile(NETWORK, "spu8")
    with pytest.raises(InputError, match="no network: compile"):
        compile_network(spu.GaussianSampling(MATRIX))


# --- what comes out ------------------------------------------------------------------------


@pytest.mark.parametrize(("problem", "cells"), [(FRAME, 3), (NETWORK, 2)], ids=["linear", "network"])
def test_a_compilation_tells_what_the_command_line_prints(problem, cells, tmp_path, monkeypatch):
    made = compile_problem(problem)
    assert isinstance(made, spu.Compilation)
    assert made.problem is made.device.problem
    told = made.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert (told["cells"], told["device_hash"], told["warnings"]) == (cells, made.device.hash, [])
    file = tmp_path / "p.toml"
    posed = {key: value for key, value in made.problem.to_dict().items() if key != "format"}
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in posed.items()))
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(cli, ["compile", "p.toml", "-o", "out"]).output
    label, text = made.facts()[0]
    assert f"p.toml: {text}" in printed
    for line in str(made).splitlines()[1:]:
        assert line in printed
    assert label == "problem"
    found = json.loads(CliRunner().invoke(cli, ["compile", "p.toml", "-o", "out", "--json"]).output)
    assert {key: found[key] for key in told} == told


def test_a_network_compilation_has_what_it_had():
    made = spu.compile_network(NETWORK)
    assert isinstance(made, spu.NetworkCompilation)
    assert made.network is NETWORK
    assert made.heat == made.equation.energy
    assert made.device.scales == made.scales
    assert made.prediction.mean == pytest.approx(spu.predict_network(made.device).mean)
    assert (made.warnings, made.hardware.name, made.architecture) == ((), "ideal", "rc-conductance")


def test_a_dialect_that_cannot_say_it_is_refused_before_a_file_is_made(tmp_path):
    with pytest.raises(InputError, match="only, not for xyce"):
        write_folder(tmp_path / "out", compile_problem(NETWORK), dialects=["xyce"])
    assert not (tmp_path / "out").exists()


# --- architectures from outside ------------------------------------------------------------


class Slow(RCResistive):
    """RC cells of twice the capacitance."""

    name = "rc-slow"
    summary = "RC cells of twice the capacitance"
    needs = ("inductance",)

    def realize(self, problem, matrix, hardware):
        limits = hardware.cell["capacitance"]
        cell = {**hardware.cell, "capacitance": replace(limits, nominal=2 * limits.nominal)}
        return super().realize(problem, matrix, replace(hardware, cell=cell))


class OtherNeurons(RCConductance):
    name = "rc-other"
    summary = "the same under another name"


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(hardware_module, "_KNOWN", dict(hardware_module._KNOWN))
    before = dict(ARCHITECTURES)
    register(Slow())
    register(OtherNeurons())
    yield
    ARCHITECTURES.clear()
    ARCHITECTURES.update(before)


SLOW_HARDWARE = """
name = "slow"
temperature = 0.0
architectures = ["rc-slow"]

[cell]
capacitance = { nominal = 1e-9 }
conductance = { nominal = 1e-3 }
inductance = { nominal = 1e-5 }
noise = { nominal = 4e-20 }
"""


def test_an_architecture_from_outside(registered, tmp_path):
    (tmp_path / "slow.toml").write_text(SLOW_HARDWARE)
    made = compile_problem(MATRIX, tmp_path / "slow.toml")
    assert made.architecture == "rc-slow"
    assert made.device.architecture == "rc-slow"
    assert made.reason == "RC cells of twice the capacitance; the most passive one this hardware has"
    assert {cell.values["capacitance"] for cell in made.device.cells} == {2e-9}
    assert made.prediction.covariance_relative_error < 1e-12
    ideal = load_hardware("ideal")
    both = replace(ideal, architectures=(*ideal.architectures, "rc-slow", "rc-other"))
    assert spu.compile(MATRIX, both).architecture == "rlc-capacitive"
    assert spu.compile(MATRIX, both, architecture="rc-slow").architecture == "rc-slow"
    assert spu.compile(NETWORK, both).architecture == "rc-conductance"
    assert spu.compile(NETWORK, both, architecture="rc-other").architecture == "rc-other"
    with pytest.raises(Unrealizable, match="hardware ideal has no rc-slow"):
        spu.compile(MATRIX, architecture="rc-slow")
    with pytest.raises(InputError, match="no architecture 'rc-slow' for networks"):
        spu.compile(NETWORK, both, architecture="rc-slow")
    np.savetxt(tmp_path / "m.csv", MATRIX, delimiter=",")
    write_folder(tmp_path / "out", made)
    assert spu.folder.read_folder(tmp_path / "out").device.hash == made.device.hash


def test_hardware_learns_of_it(registered):
    assert hardware_module.ARCHITECTURES[-2:] == ("rc-slow", "rc-other")
    assert hardware_module.LINEAR_ARCHITECTURES[-1] == "rc-slow"
    assert hardware_module.NETWORK_ARCHITECTURES[-1] == "rc-other"
    data = load_hardware("ideal").to_dict()
    data["cell"] = {key: value for key, value in data["cell"].items() if key != "inductance"}
    with pytest.raises(InputError, match=r"cell\.inductance needs a nominal value"):
        hardware_from_dict({**data, "architectures": ["rc-slow"]})
    assert hardware_from_dict({**data, "architectures": ["rc-resistive"]}).architectures == ("rc-resistive",)


def test_hardware_does_not_know_what_nobody_registered(tmp_path):
    (tmp_path / "slow.toml").write_text(SLOW_HARDWARE)
    with pytest.raises(InputError, match="unknown architecture 'rc-slow'"):
        load_hardware(tmp_path / "slow.toml")


def test_a_name_is_taken_once(registered):
    with pytest.raises(InputError, match="there is an architecture 'rc-slow' already"):
        register(Slow())
    with pytest.raises(InputError, match="is no Architecture"):
        register(Slow)


def test_hardware_files_know_the_same_of_the_package_s_own_before_and_after_the_compiler_says_it():
    words = "import spu.device.hardware as h; a = dict(h._KNOWN); import spu.compiler; assert a == h._KNOWN"
    subprocess.run([sys.executable, "-c", words], check=True, cwd=Path(__file__).parents[2])


def test_a_kind_of_problem_from_outside_takes_the_passes_of_its_class(monkeypatch):
    class Doubled(spu.GaussianSampling):
        task = "doubled"

        def __init__(self, precision):
            super().__init__(precision=2 * np.asarray(precision))

    problem = Doubled(MATRIX)
    monkeypatch.setitem(kinds.KINDS, "doubled", replace(kinds.KINDS["gaussian"], task="doubled", cls=Doubled))
    made = compile_problem(problem)
    assert made.prediction.covariance == pytest.approx(np.linalg.inv(2 * MATRIX))
    assert made.facts()[0] == ("problem", "sample a Gaussian, 3 variables")
