"""The reference is what the program does: schemas against real files and outputs, tables against registers."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import scipy.sparse as sp
from click.testing import CliRunner

import spu
from spu.cli import cli, ending
from spu.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def schema(name):
    return json.loads((REFERENCE / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))


def faults(name, data):
    found = jsonschema.Draft202012Validator(schema(name)).iter_errors(data)
    return [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message[:200]}" for fault in found]


def run(*words, status=0):
    done = CliRunner().invoke(cli, [*map(str, words), "--json"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_pages_and_schemas_are_what_the_script_writes(reference):
    for path, text in reference.written().items():
        assert path.read_text(encoding="utf-8") == text, "python docs/make_reference.py"


@pytest.mark.parametrize("name", [path.name.partition(".")[0] for path in (REFERENCE / "schemas").glob("*.json")])
def test_a_schema_is_one(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))


# --- files -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("reference") / "club8"
    return where, run("compile", EXAMPLES / "club8.toml", "-o", where)


def devices():
    """Devices with everything that a device file can hold."""
    matrix = [[2.0, -0.5], [-0.5, 1.0]]
    yield "club8", spu.compile("examples/club8.toml")
    yield "ensemble", spu.compile("examples/six_bits.toml", ensemble=2)
    errs = spu.Tolerance(coupler={"capacitance": 0.01}, cell={"capacitance": {"mismatch": 0.01, "process": 0.02}})
    hardware = replace(spu.load_hardware("spu8-switched"), tolerance=errs)
    yield "board", spu.compile("examples/club8.csv", hardware, draw=1)
    yield "catalogue", spu.compile("examples/club8.csv", "spu8-board")
    yield "shared noise", spu.compile(spu.LyapunovEquation([[2.0, 0.5], [-0.5, 1.0]], [[2.0, 1.0], [1.0, 2.0]]))
    yield "ramp", spu.compile(spu.Determinant(matrix))
    yield "network", spu.compile("examples/neurons.toml")
    yield "flux", spu.compile(spu.load_network("examples/neurons.toml").network, "neurons", architecture="rlc-flux")
    yield "transconductors", spu.compile("examples/wine.toml")
    yield "held", spu.compile(spu.conditional(spu.GaussianSampling(matrix), {"x1": 0.5}))
    by_hand = spu.Device.read("examples/by_hand.json")
    by_hand.set_start([1.0, 0.0, 0.0])
    yield "start", by_hand
    sparse = spu.Device()
    for k in range(40):
        sparse.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    sparse.set_readout(sp.diags_array([np.ones(40), np.ones(39)], offsets=[0, 1]).tocsr())
    yield "sparse readout", sparse


def test_device_files_fit_their_schema(monkeypatch):
    monkeypatch.chdir(ROOT)
    keys = set()
    for name, device in devices():
        data = json.loads(device.to_json())
        assert faults("device", data) == [], name
        keys |= data.keys()
    assert keys == schema("device")["properties"].keys()  # each key was there once


def test_a_device_file_that_is_wrong_does_not():
    good = {"format": "spu-device/1", "cells": [{"name": "a", "capacitance": 1e-9, "noise": 4e-20}]}
    assert faults("device", good) == []
    wrong = [
        {**good, "format": "spu-device/2"},
        {**good, "cells": []},
        {**good, "cell": []},
        {**good, "cells": [{"name": "a", "capacity": 1e-9}]},
        {**good, "cells": [{"name": "a b", "capacitance": 1e-9}]},
        {**good, "cells": [{"name": "a", "capacitance": "1n"}]},
        {**good, "cells": [{"capacitance": 1e-9}]},
        {**good, "couplers": [{"a": "a", "capacitance": 1e-9}]},
        {**good, "readout": {"gain": [1.0], "matrix": [[1.0]]}},
        {**good, "detail": {"switch": {"resistance": 1.0}}},
        {**good, "banks": {"cell": {"noise": {"bits": 6, "lsb": 1e-21}}}},
        {**good, "start": 1.0},
    ]
    for each in wrong:
        assert faults("device", each), each
        with pytest.raises(spu.SpuError):  # and the program refuses it, too
            spu.Device.from_dict(copy.deepcopy(each))


def test_the_device_file_of_the_page_is_read(tmp_path):
    (block,) = re.findall(r"```json\n(.*?)```", (REFERENCE / "device_file.md").read_text(encoding="utf-8"), re.DOTALL)
    assert faults("device", json.loads(block)) == []
    path = tmp_path / "device.json"
    path.write_text(block)
    assert spu.predict(spu.Device.read(path)).variables == ("x", "y")


def test_the_hardware_file_of_the_page_is_read(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", (REFERENCE / "hardware_file.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(block)
    assert spu.load_hardware(path).name == "mine"


def test_problems_and_circuits_fit_their_schema(folder, tmp_path):
    where, _ = folder
    data = json.loads((where / "problem.json").read_text())
    assert faults("problem", data) == []
    assert faults("problem", {**data, "task": "inverse"})  # which needs a matrix, not a precision
    assert faults("problem", {key: value for key, value in data.items() if key != "compiled"})
    deck = tmp_path / "low.cir"
    deck.write_text("a low pass\nr1 in out 1k\nc1 out 0 1n\nv1 in 0 0\n.end\n")
    run("import", deck, "-o", tmp_path / "low", "--probe", "out", "--density", "v1=1e-18")
    data = json.loads((tmp_path / "low" / "circuit.json").read_text())
    assert faults("circuit", data) == []
    deck.write_text("a clipper\nr1 out 0 1k\nc1 out 0 1n\nd1 out 0 dio\n.model dio d\n.end\n")
    run("import", deck, "-o", tmp_path / "clipper", "--probe", "out")
    alone = json.loads((tmp_path / "clipper" / "circuit.json").read_text())
    assert faults("circuit", alone) == [] and faults("circuit", {**alone, "temperature": 300.0})
    for wrong in ({**data, "probe": ["out"]}, {**data, "hash": "x"}, {**data, "densities": [1.0]}):
        assert faults("circuit", wrong)


# --- what --json prints ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed(folder, tmp_path_factory):
    where, compiled = folder
    apart = tmp_path_factory.mktemp("answers")
    np.savetxt(apart / "A.csv", [[2.0, -0.5], [-0.5, 1.0]], delimiter=",")
    np.savetxt(apart / "b.csv", [1.0, 2.0])
    tolerance = ("--tolerance", "cell.capacitance=1%")
    net = apart / "net"
    return {
        "compile": [compiled, run("compile", EXAMPLES / "neurons.toml", "-o", net)],
        "predict-network": [run("predict", net)],
        "simulate-network": [run("simulate", net, "--trajectories", 8, "--times", "0.1,0.2")],
        "predict": [run("predict", where), run("predict", where, "--band", "1e5", "1e6")],
        "simulate": [run("simulate", where, "--samples", 500, "--lags", 2), run("simulate", where, "--independent")],
        "check": [run("check", where, "--level", "ideal", "--level", "op", "--level", "answer")],
        "yield": [run("yield", where, "--limit", "20%", *tolerance, "--draws", 20)],
        "solve": [
            run("solve", apart / "A.csv", apart / "b.csv", "--error", "10%", "--compare"),
            run("invert", apart / "A.csv", "--error", "20%"),
            run("logdet", apart / "A.csv", "--error", "50%"),
        ],
        "error": [run("compile", apart / "nothing.csv", "-o", apart / "x", status=2), run("no-such-verb", status=2)],
    }


OUTPUTS = ("compile", "predict", "predict-network", "simulate", "simulate-network", "check", "yield", "solve", "error")


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_fit_their_schema(name, printed):
    for data in printed[name]:
        assert faults(name, data) == []


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_key_that_is_printed_is_in_the_schema(name, printed):
    """Outputs may grow; the reference grows with them."""
    data = printed[name][0]
    assert data.keys() <= schema(name)["properties"].keys(), "say what the key is in docs/make_reference.py"


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_changed_output_does_not_fit(name, printed):
    """Any required key taken away, or given as what it cannot be."""
    data = printed[name][0]
    for key in schema(name)["required"]:
        assert faults(name, {other: value for other, value in data.items() if other != key}), key
        if schema(name)["properties"][key]:
            assert any(faults(name, {**data, key: value}) for value in ({"nothing": []}, [[{}]], "nothing")), key


# --- pages -------------------------------------------------------------------------------------------------


def test_every_verb_stands_in_the_table():
    text = (REFERENCE / "command_line.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\[`([a-z]+)`\]", text)) == sorted(VERBS)


def test_every_public_name_stands_in_one_group():
    listed = [
        name
        for path in sorted((REFERENCE / "api").glob("*.md"))
        for block in re.findall(r"```\{eval-rst\}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for name in re.findall(r"^   (\w+)$", block, re.MULTILINE)
    ]
    assert sorted(listed) == sorted(set(spu.__all__) - {"__version__"})


def test_every_exit_status_is_in_the_table(reference):
    text = (REFERENCE / "exit_status.md").read_text(encoding="utf-8")
    listed = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    of_errors = {each.exit_status for each in reference.kinds_of_errors().values()}
    of_signals = {ending.INTERRUPTED, ending.TERMINATED, ending.BROKEN_PIPE}
    assert listed == sorted({0, 1} | of_errors | of_signals)


SET_BY_US = {"NGSPICE_INPUT_DIR", "SPU_BENCH_SAMPLES"}
"""What we set for children and nobody else does."""


def test_every_variable_of_the_environment_is_described():
    """Those that the sources name."""
    sources = [path for top in ("spu", "cli") for path in (ROOT / top).rglob("*.py")]
    used = {
        name
        for path in sources
        for name in re.findall(r"[\"' ](SPU_[A-Z]+|NGSPICE_[A-Z_]+)\b", path.read_text(encoding="utf-8"))
    }
    described = set(re.findall(r"`([A-Z_]+)`", (REFERENCE / "environment.md").read_text(encoding="utf-8")))
    assert used - SET_BY_US <= described and {"SPU_TRACEBACK", "SPU_PROCESSOR", "NGSPICE_LIBRARY_PATH"} <= used
