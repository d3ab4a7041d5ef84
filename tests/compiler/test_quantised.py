"""Banks and codes: chosen for the answer, kept in files, replayed from tables, merged in ensembles."""

import json
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import frustrated, m_matrix, near

import spu
from spu.base.errors import InputError
from spu.cli import cli
from spu.compiler import rounding
from spu.compiler.rounding import CELL, PASSIVE, TRANS, Aim, Banks
from spu.device.banks import Bank, bank_from_dict
from spu.device.codes import codes_table, program
from spu.device.hardware_file import hardware_from_dict, load_hardware
from spu.emulator.runs.sampling import member_seed
from spu.folder import read_folder, write_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import rounding as benchmark

PRECISION = np.array([[2.0, -0.7, -0.31], [-0.7, 1.6, -0.43], [-0.31, -0.43, 1.9]])


def compiled(**options):
    return spu.compile_problem(spu.GaussianSampling(precision=PRECISION), "spu8-4bit", **options)


@pytest.fixture(scope="module")
def ensemble():
    return compiled(ensemble=3)


@pytest.fixture
def folder(tmp_path, ensemble):
    write_folder(tmp_path / "out", ensemble)
    return tmp_path / "out"


def run(*words):
    return CliRunner().invoke(cli, list(map(str, words)))


# Banks


def test_a_bank_is_offset_and_steps():
    bank = Bank(bits=3, lsb=2.0, offset=1.0)
    assert (bank.least, bank.most, bank.limits) == (0, 7, (1.0, 15.0))
    assert bank.values([0, 3]).tolist() == [1.0, 7.0]
    assert bank.nearest([-9.0, 1.9, 2.1, 6.5, 99.0]).tolist() == [0, 0, 1, 3, 7]
    assert (bank.within(3.0, 6.9), bank.within(3.5, 4.5)) == ((1, 2), (2, 1))
    signed = bank_from_dict({"bits": 3, "lsb": 2.0, "coding": "thermometer"}, "transconductance")
    assert (signed.least, signed.most, signed.nearest(-5.1)) == (-7, 7, -3)


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("bits = 0, lsb = 1e-12", "coupler.capacitance: bits is 0: it must be a whole number from 1 to 24"),
        ("bits = 6.0, lsb = 1e-12", "bits is 6.0"),
        ("bits = 6, lsb = -1e-12", "lsb is -1e-12: it must be positive"),
        ("bits = 6", "there is no lsb"),
        ("lsb = 1e-12", "there is no bits"),
        ("bits = 6, lsb = 1e-12, offset = -1e-12", "offset is -1e-12: it must be 0 or more"),
        ('bits = 6, lsb = 1e-12, coding = "binery"', "unknown coding 'binery'; did you mean 'binary'"),
        ("bits = 2, lsb = 1e-12, min = 3.2e-12", "no code of the bank .* has a value from 3.2e-12 to inf"),
        ("bits = 2, lsb = 1e-12, min = 1.2e-12, max = 1.8e-12", "no code of the bank"),
    ],
)
def test_bad_banks_in_a_hardware_file(tmp_path, spelling, message):
    text = (Path(spu.__file__).parent / "device" / "presets" / "spu8.toml").read_text().split("[coupler]")[0]
    path = tmp_path / "h.toml"
    path.write_text(f"{text}[coupler]\ncapacitance = {{ {spelling} }}\n")
    with pytest.raises(InputError, match=message) as caught:
        load_hardware(path)
    assert caught.value.line == text.count("\n") + 2


def test_only_some_quantities_are_banks():
    data = load_hardware("spu8").to_dict()
    data["cell"]["noise"] |= {"bits": 4, "lsb": 1e-20}
    with pytest.raises(InputError, match=r"unknown key 'bits' in cell\.noise"):
        hardware_from_dict(data)


@pytest.mark.parametrize("name", ["spu8", "spu8-4bit", "spu8-8bit", "spu8-12bit"])
def test_presets_have_one_range_and_come_back(name):
    hardware = load_hardware(name)
    assert hardware_from_dict(json.loads(json.dumps(hardware.to_dict()))) == hardware
    assert hardware.coupler["capacitance"].max == pytest.approx(2e-9, rel=0.05)
    assert hardware.coupler["capacitance"].bank.bits == int(name.partition("-")[2].removesuffix("bit") or 6)


# The search


def small(kind):
    """Three cells, 2-bit banks, and a target off the lattice; every code can be tried."""
    rng = np.random.default_rng(11)
    a, b = np.triu_indices(3, 1)
    k = np.arange(3)
    least = np.r_[np.full(3, 4), np.full(3, 0 if kind == PASSIVE else -3)]
    most = np.r_[np.full(3, 7), np.full(3, 3)]
    banks = Banks(
        3, np.r_[np.full(3, CELL), np.full(3, kind)], np.r_[k, a], np.r_[k, b], np.ones(6), np.zeros(6), least, most
    )
    values = np.r_[rng.uniform(4.5, 6.5, 3), rng.uniform(0.5, 2.5, 3) * (1 if kind == PASSIVE else [1, -1, 1])]
    S = np.linalg.inv(banks.matrix(values))
    return banks, Aim(S, float(np.linalg.norm(S)), np.eye(3), 1.0, 0.0, False), values


@pytest.mark.parametrize("kind", [PASSIVE, TRANS])
def test_chosen_codes_are_the_best_there_are(kind):
    banks, aim, values = small(kind)
    every = [range(low, high + 1) for low, high in zip(banks.least, banks.most, strict=True)]
    least = min(aim.error(banks.of_codes(np.array(codes)))[0] for codes in product(*every))
    assert rounding.choose(banks, aim, values).error <= least * 1.02
    assert rounding.nearest(banks, aim, values).error > least * 1.05


@pytest.mark.parametrize("kind", [PASSIVE, TRANS])
def test_descent_follows_the_error(monkeypatch, kind):
    """The updates of the descent against errors from scratch: it ends where no single step helps."""
    banks, aim, values = small(kind)
    tiny = replace(banks, lsb=banks.lsb / 64, least=banks.least * 64, most=banks.most * 64)
    start = tiny.nearest(values) + np.array([1, -1, 1, -1, 1, -1])
    found = rounding._descend(tiny, aim, start)
    error = aim.error(tiny.of_codes(found))[0]
    assert error < aim.error(tiny.of_codes(start))[0]
    for k, step in product(range(6), (-1, 1)):
        assert aim.error(tiny.of_codes(found + step * np.eye(6, dtype=int)[k]))[0] > error * 0.97
    monkeypatch.setattr(rounding, "_DECODED", 0)
    assert rounding.choose(tiny, aim, values).error <= rounding.nearest(tiny, aim, values).error


def test_gains_are_the_best():
    rng = np.random.default_rng(0)
    S, d = m_matrix(rng, 5), rng.uniform(0.8, 1.2, 5)
    aim = Aim(d[:, None] * S * d, 1.0, np.eye(5), 1.0, 0.0)
    assert aim.gains(S) == pytest.approx(d, rel=1e-6)


@pytest.mark.parametrize("bits", [6, 8])
def test_ratio_to_nearest_rounding(bits):
    """What `benchmarks/rounding.py` shows with 100 matrices."""
    for capacitive in (False, True):
        found = benchmark.ratios(bits, 5, capacitive=capacitive)
        assert np.median(found["codes"]) < 0.8
        assert np.median(found["answer"]) < 0.4
        assert (found["answer"] <= 1).all()


def test_ensembles_are_of_higher_accuracy_at_every_lsb():
    errors = benchmark.orders(1, bits=(6, 8))
    assert (errors["nearest"] / errors["ensemble 16"] > 20).all()
    assert (errors["dithered 4096"] < errors["dithered 16"]).all()


@pytest.mark.parametrize("architecture", ["rlc-capacitive", "rc-resistive", "rc-transconductor"])
def test_every_architecture_is_rounded(architecture):
    data = load_hardware("ideal").to_dict() | {"temperature": 300.0}
    for part, quantity in product(("cell", "coupler"), ("capacitance", "conductance", "transconductance")):
        if (part, quantity) != ("cell", "transconductance"):
            lsb = 5e-12 if quantity == "capacitance" else 5e-6
            data[part][quantity] = {**data[part][quantity], "bits": 10 if part == "cell" else 8, "lsb": lsb}
            data[part][quantity].pop("min", None)
    A = m_matrix(np.random.default_rng(2), 5, 10.0)
    mean = np.arange(5) - 1.5
    problem = spu.GaussianSampling(precision=A, mean=mean)
    hardware = hardware_from_dict(data)
    nearest = spu.compile_problem(problem, hardware, architecture=architecture, rounding="nearest")
    made = spu.compile_problem(problem, hardware, architecture=architecture)
    thermal = 4e-21 / 1e-9 / 1e-8  # what the resistors of an RC network add, roughly, beside its noise
    assert made.prediction.relative_error < max(0.6 * nearest.prediction.relative_error, 3 * thermal)
    assert made.prediction.mean == pytest.approx(mean, rel=1e-9)
    device = made.device
    for columns in (device.cell_columns, device.coupler_columns):
        for quantity, bank in columns.banks.items():
            for key in columns.parts[quantity].keys:
                assert np.nan_to_num(columns.arrays[key]).tolist() == bank.values(columns.codes[key]).tolist()


def test_free_trims_make_up_for_coarse_couplers():
    data = load_hardware("spu8-4bit").to_dict()
    quantised = data["cell"]["capacitance"]
    data["cell"]["capacitance"] = {"nominal": 1e-9, "min": quantised["offset"], "max": 8e-9}
    made = spu.compile_problem(spu.GaussianSampling(precision=PRECISION), hardware_from_dict(data))
    assert "capacitance" not in made.device.cell_columns.banks
    assert made.prediction.relative_error <= compiled().prediction.relative_error


def test_linear_systems_keep_their_right_hand_side():
    A, b = frustrated(np.random.default_rng(0), 4, 10.0), np.array([1.0, -2.0, 0.5, 3.0])
    made = spu.compile_problem(spu.LinearSystem(A, b), benchmark.hardware(10))
    assert 1e-9 < made.prediction.relative_error < 1e-2
    device = made.device
    currents = np.array([cell.values["bias"] for cell in device.cells])
    ratio = currents / (device.readout.matrix.diagonal() * b)
    assert ratio == pytest.approx(np.full(4, ratio[0]), rel=1e-9)


# Ensembles


def test_an_ensemble_is_one_device(ensemble):
    members = ensemble.device.members()
    assert len(members) == 3
    assert len({member.hash for member in members}) > 1
    parts = [spu.predict(member) for member in members]
    merged = spu.predict(ensemble.device)
    average = np.mean([part.covariance for part in parts], axis=0)
    assert merged.covariance == pytest.approx(average, rel=1e-12)
    assert merged.relative_error < 0.6 * parts[0].relative_error
    assert ensemble.prediction.relative_error == merged.relative_error


def test_means_of_programmings_spread():
    made = compiled(ensemble=2)
    second = made.device.programmings[0]
    shifted = replace(second.readout, offset=np.array([1.0, 0.0, -1.0]))
    made.device.programmings[0] = replace(second, readout=shifted)
    merged = spu.predict(made.device)
    parts = [spu.predict(member) for member in made.device.members()]
    assert merged.mean == pytest.approx([0.5, 0.0, -0.5])
    spread = (merged.covariance - np.mean([part.covariance for part in parts], axis=0)) * 4
    assert spread == pytest.approx(np.outer([1, 0, -1], [1, 0, -1]), abs=1e-12)
    sampled = spu.simulate(made.device, samples=40_000, seed=1)
    assert sampled.covariance == pytest.approx(merged.covariance, abs=0.05)
    readouts = sampled.samples_kept
    assert sampled.covariance == pytest.approx(np.cov(readouts.T), rel=1e-2, abs=1e-2)


def test_programmings_share_samples_and_no_noise(ensemble):
    sampled = spu.simulate(ensemble.device, samples=3000, seed=7, lags=1)
    assert (sampled.samples, sampled.programmings, len(sampled.samples_kept)) == (3000, 3, 3000)
    assert sampled.autocovariance.shape == (2, 3, 3)
    one = spu.simulate(ensemble.device.members()[1], samples=1000, seed=member_seed(7, 1), interval=sampled.interval)
    assert np.array_equal(sampled.samples_kept[1000:2000], one.samples_kept)
    parts = sampled.samples_kept.reshape(3, 1000, 3)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(parts[a][:, 0], parts[b][:, 0])[0, 1]) < 0.15
    assert sampled.effective_samples == pytest.approx(3 * one.effective_samples, rel=0.05)
    whole = spu.simulate(ensemble.device.members()[0], samples=3000, seed=7)
    assert sampled.covariance_error == pytest.approx(whole.covariance_error, rel=0.1)


def test_ensembles_are_checked_one_by_one_and_as_one(folder):
    found = spu.check(folder, levels=["ideal", "ac"])
    assert (found.verdict, found.notes) == ("pass", ()), found.levels
    assert len(found.levels["ac"].data["programmings"]) == 3
    target = read_folder(folder).problem.target_covariance
    error = np.linalg.norm(found.covariances["ngspice"] - target) / np.linalg.norm(target)
    stored = read_folder(folder).compiled["predicted_relative_error"]
    assert error == pytest.approx(stored, abs=1e-5)
    deck = folder / "device.2.cir"
    text = deck.read_text()
    assert " code=" in text
    deck.write_text(
        text.replace("xcell_x1 cell_x1 t_x1 n_x1 cell_crln code=", "xcell_x1 cell_x1 t_x1 n_x1 cell_crln code=1")
    )
    found = spu.check(folder, levels=["ac"])
    assert found.verdict == "fail"
    assert "the worst number 2" in found.levels["ac"].message
    deck.unlink()
    assert spu.check(folder, levels=["ac"]).verdict == "error"


def test_a_smaller_ensemble_leaves_no_netlists_behind(folder, ensemble):
    assert (folder / "device.3.cir").exists()
    write_folder(folder, compiled(ensemble=2))
    assert {path.name for path in folder.glob("*.cir")} == {"device.cir", "device.2.cir"}


def test_bad_ensembles():
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="an ensemble has 1 programming or more"):
            compiled(ensemble=wrong)
    made = spu.compile_problem(spu.GaussianSampling(precision=PRECISION), "ideal", ensemble=4)
    assert "this hardware is not quantised" in made.warnings[-1]
    assert len(made.device.members()) == 1
    with pytest.raises(InputError, match="no rounding 'neerest'; did you mean 'nearest'"):
        compiled(rounding="neerest")


def test_too_few_bits_are_refused_or_found():
    """One bit leaves nothing between off and on, and still no device without a stationary law comes out."""
    A = frustrated(np.random.default_rng(0), 6, 1e4)
    try:
        made = spu.compile_problem(spu.GaussianSampling(precision=A), benchmark.hardware(1))
    except spu.Unrealizable as refusal:
        assert "more bits are needed" in refusal.reason
    else:
        assert np.isfinite(made.prediction.relative_error)


# The device file


def test_codes_are_read_back(tmp_path, ensemble):
    device = ensemble.device
    device.write(tmp_path / "device.json")
    again = spu.Device.read(tmp_path / "device.json")
    assert again.hash == device.hash
    assert spu.Device.from_dict(json.loads(json.dumps(device.to_dict()))).hash == device.hash
    assert spu.predict(again).covariance == pytest.approx(spu.predict(device).covariance, rel=1e-12)


HAND = {
    "format": "spu-device/1",
    "temperature": 300.0,
    "banks": {
        "cell": {"conductance": {"bits": 4, "lsb": 1e-4, "offset": 1e-4}},
        "coupler": {"transconductance": {"bits": 3, "lsb": 1e-5, "coding": "thermometer"}},
    },
    "cells": [
        {"name": "a", "capacitance": 1e-9, "noise": 4e-20, "codes": {"conductance": 5}},
        {"name": "b", "capacitance": 1e-9, "noise": 4e-20, "codes": {"conductance": 0}, "conductance": 1e-4},
    ],
    "couplers": [{"a": "a", "b": "b", "codes": {"transconductance": [-7, 2]}}],
}


def by_hand(*path, value):
    data = json.loads(json.dumps(HAND))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def test_codes_by_hand():
    device = spu.Device.from_dict(HAND)
    assert [cell.values["conductance"] for cell in device.cells] == near([6e-4, 1e-4])
    assert device.couplers[0].values["transconductance"] == near((-7e-5, 2e-5))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("couplers", 0, "codes", "transconductance"), 8, r"couplers\[0\] \(a-b\): transconductance: code 8 is out of"),
        (("couplers", 0, "codes", "transconductance"), [1, -8], "code -8 is out of range: 3 bits take -7 to 7"),
        (("couplers", 0, "codes", "transconductance"), [1, 2, 3], "takes 2 codes, not 3"),
        (("cells", 0, "codes", "conductance"), 5.5, r"cells\[0\] \(a\): conductance: a code must be a whole number"),
        (("cells", 0, "codes"), None, '"codes" must be an object with conductance'),
        (("cells", 0, "codes", "noise"), 1, '"codes" must be an object with conductance'),
        (("cells", 0, "conductance"), 5e-4, "conductance 0.0005 is not what code 5 gives, 0.0006"),
        (("banks", "cell", "conductance", "bits"), 0, r"banks\.cell\.conductance: bits is 0"),
        (("banks", "cell", "conductance", "step"), 1, "unknown key 'step' of a bank"),
        (("banks", "cell", "noise"), {"bits": 1, "lsb": 1.0}, "banks.cell has no key 'noise'"),
        (("programmings",), [{"cell_codes": {"conductance": [1, 16]}}], "of b: code 16 is out of range"),
        (("programmings",), [{"cell_codes": {"conductance": [1]}}], "must be a list of 2 codes"),
        (("programmings",), [{}], r"programmings\[0\].cell_codes must be an object with conductance"),
        (("programmings",), {}, '"programmings" must be a list'),
    ],
)
def test_bad_codes_name_their_element(path, value, message):
    with pytest.raises(InputError, match=message) as caught:
        spu.Device.from_dict(by_hand(*path, value=value), file="device.json")
    assert caught.value.file == "device.json"


# spu program


def test_a_table_of_codes_goes_round(folder, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run("program", folder, "--export", tmp_path / "codes.csv").exit_code == 0
    assert run("program", folder, tmp_path / "codes.csv").exit_code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_programming_writes_everything_anew(folder, tmp_path):
    table = tmp_path / "codes.csv"
    table.write_text("name,element,quantity,code,programming\nX2-x1,coupler,capacitance,3,2\n")
    done = run("program", folder, table, "--json")
    assert done.exit_code == 0, done.output
    after = read_folder(folder)
    assert after.device.programmings[0].coupler_codes["capacitance"][0] == 3
    stored, found = after.compiled, spu.predict(after.device)
    assert stored["predicted_relative_error"] == found.relative_error > 0.01
    assert json.loads(done.output)["predicted_relative_error"] == found.relative_error
    assert stored["device_hash"] == after.device.hash
    assert stored["hardware"] == "spu8-4bit"
    assert "coupler_c code=3 ; C " in (folder / "device.2.cir").read_text()
    checked = spu.check(folder, levels=["ideal", "ac"])
    assert (checked.verdict, checked.notes) == ("pass", ())


def test_programming_a_file_that_stands_alone(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(HAND))
    (tmp_path / "codes.csv").write_text(
        "element,name,quantity,code\n\ncoupler,b-a,transconductance_ab,-1\ncell,A,conductance,15\n"
    )
    assert run("program", tmp_path / "mine.json", tmp_path / "codes.csv").exit_code == 0
    device = spu.Device.read(tmp_path / "mine.json")
    assert device.couplers[0].values["transconductance"] == near((-7e-5, -1e-5))  # b's own direction, from b's end
    assert device.cells[0].values["conductance"] == near(1.6e-3)
    assert "1,coupler,a-b,transconductance_ba,-1\n" in codes_table(device)


def test_edited_files_are_not_written_over(folder, tmp_path):
    run("program", folder, "--export", tmp_path / "codes.csv")
    with (folder / "device.2.cir").open("a") as deck:
        deck.write("* mine\n")
    refused = run("program", folder, tmp_path / "codes.csv")
    assert (refused.exit_code, "edited by hand" in refused.output) == (2, True)
    assert run("program", folder, tmp_path / "codes.csv", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("element,name,code\n", 1, "the columns must be programming, element, name, quantity, code"),
        ("element,name,quantity,code\ncell,a,conductance\n", 2, "3 entries under 4 columns"),
        ("element,name,quantity,code\nwire,a,conductance,1\n", 2, "element must be cell or coupler"),
        ("element,name,quantity,code\n\ncell,c,conductance,1\n", 3, "the device has no cell 'c'"),
        ("element,name,quantity,code\ncoupler,a-a,transconductance,1\n", 2, "the device has no coupler 'a-a'"),
        ("element,name,quantity,code\ncell,a,noise,1\n", 2, "cell a has no bank 'noise'"),
        ("element,name,quantity,code\ncell,a,conductance,1e0\n", 2, "'1e0' is no whole number"),
        ("element,name,quantity,code\ncoupler,a-b,transconductance,9\n", 2, "coupler a-b: transconductance: code 9 is"),
        ("element,name,quantity,code\ncell,a,conductance,1\ncell,A,conductance,1\n", 3, "set twice, first in line 2"),
        ("programming,element,name,quantity,code\n2,cell,a,conductance,1\n", 2, "no programming 2: the device has 1"),
    ],
)
def test_bad_tables_name_the_line(text, line, message):
    with pytest.raises(InputError, match=message) as caught:
        program(spu.Device.from_dict(HAND), text, "codes.csv")
    assert (caught.value.file, caught.value.line) == ("codes.csv", line)


def test_what_program_wants(folder, tmp_path):
    assert run("program", folder).exit_code == 2
    write_folder(tmp_path / "ideal", spu.compile_problem(spu.GaussianSampling(precision=PRECISION)))
    refused = run("program", tmp_path / "ideal", "--export", tmp_path / "codes.csv")
    assert (refused.exit_code, "has no codes" in refused.output) == (2, True)


def test_compile_says_how_it_rounded(tmp_path):
    np.savetxt(tmp_path / "m.csv", PRECISION, delimiter=",")
    words = ("compile", tmp_path / "m.csv", "--hardware", "spu8-4bit", "-o", tmp_path / "out")
    report = json.loads(run(*words, "--ensemble", "2", "--json").output)
    assert report["rounding"] == {"method": "answer", "banks": 6, "programmings": 2}
    assert [Path(file).name for file in report["files"]] == [
        "device.json",
        "device.cir",
        "device.2.cir",
        "problem.json",
    ]
    assert "6 banks: each value to its nearest code" in run(*words, "--rounding", "nearest").output
    assert run(*words, "--ensemble", "0").exit_code == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [0.0, 1e-200, 1e-320, 1.0, 1e200])
def test_codes_that_change_nothing_stay_where_they_are(monkeypatch, size):
    """A bank without effect, or one so small that its square vanishes: its column has no length to divide by."""
    rng = np.random.default_rng(3)
    J = rng.standard_normal((6, 3))
    J[:, 1] *= 0.0 if size == 1.0 else 1e-170
    at = np.array([3.2, 7.4, 5.0])
    monkeypatch.setattr(rounding, "_linear", lambda *_: (size * J @ np.array([1.0, 0.0, -2.0]), size * J))
    banks = type("Three", (), {"least": np.zeros(3), "most": np.full(3, 15.0), "fine": np.zeros(3, dtype=bool)})()
    found = rounding._decode(banks, None, at, np.ones(3), 8)
    assert found[0, 1] == 7
    if size >= 1e-200:
        assert found[0].tolist() == [2, 7, 7]
