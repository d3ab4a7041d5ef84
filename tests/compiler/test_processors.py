"""The same device on every processor: choices of the compiler by a rule, and a hash that knows no last bits."""

import functools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import spu
from spu.base.choice import (
    clearly_less,
    first_largest,
    first_smallest,
    nearest_integers,
    stable_order,
    without_rounding,
)
from spu.base.errors import InputError
from spu.compiler import EmbeddingOptions, chains, compile_problem
from spu.device.device import Device
from spu.emulator.dynamics import device_law
from spu.folder import read_folder, write_folder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    import processors
finally:
    sys.path.remove(str(BENCHMARKS))

# One of each kind, but for a large grid, which takes as long as all others: a grid is among the examples, too. More,
# with all processors and hundreds of problems, is `python benchmarks/processors.py`.
NUMBERS = [number for number in range(processors.KINDS) if number != 13]
MORE = [number for number in range(2 * processors.KINDS) if number not in (*NUMBERS, 29)]
FIRST, *OTHERS = ("as it is", "Haswell, AVX2", "any x86")


# Devices


@pytest.mark.parametrize("numbers", [NUMBERS, pytest.param(MORE, marks=pytest.mark.long)], ids=["one each", "more"])
def test_another_processor_makes_the_same(numbers, tmp_path):
    """Codes, order, signs, names, hashes and texts of netlists equal, numbers to 1e-9.

    All examples and random problems, one process a processor. A processor that this machine cannot be is left out.
    """
    possible = [name for name in OTHERS if processors.impossible(processors.PROCESSORS[name]) is None]
    found = processors.compare(numbers, tmp_path, [FIRST, *possible], shaken=1)
    assert found == {name: [] for name in (*possible, "last bits 1")}


def test_differences_are_found(tmp_path):
    """The comparison itself: another code, and a number that is off by 2e-9."""
    line = ["a", {"codes": [1, 2]}, {"values": [1.0, 2.0]}, {}]
    other = ["a", {"codes": [1, 2]}, {"values": [1.0, 2.0 + 4e-9]}, {}]
    third = ["a", {"codes": [1, 3]}, {"values": [1.0, 2.0]}, {}]
    files = [tmp_path / f"{k}.json" for k in range(3)]
    for file, entry in zip(files, (line, other, third), strict=True):
        file.write_text(json.dumps(entry) + "\n")
    assert processors.differences(files[0], files[0]) == []
    assert processors.differences(files[0], files[1]) == ["a: values differs by 2.0e-09"]
    (said,) = processors.differences(files[0], files[2])
    assert said.startswith("a: codes differs")


def crossed(n: int) -> spu.GaussianSampling:
    """All to all, which needs chains on any lattice."""
    return spu.GaussianSampling(precision=(n + 1.0) * np.eye(n) - np.ones((n, n)))


def wired(spec: str) -> spu.Hardware:
    return processors.hardware("rlc-capacitive", wiring=spec, coupler_capacitance={"max": 5e-9})


def test_a_slow_machine_finds_the_same_chains(monkeypatch):
    """A clock that goes by half a minute at each look: the number of tries does not depend on it."""
    problem, hardware = crossed(6), wired("king 4x4")
    quick = compile_problem(problem, hardware)
    now = iter(np.arange(1000.0) * 30.0)
    monkeypatch.setattr(chains.time, "monotonic", lambda: float(next(now)))
    slow = compile_problem(problem, hardware)
    assert slow.embedding.variables == quick.embedding.variables
    assert slow.device.hash == quick.device.hash
    assert slow.warnings == quick.warnings == ()


def test_a_search_that_the_clock_ends_says_so(monkeypatch):
    monkeypatch.setattr(chains, "SECONDS", -1.0)
    made = compile_problem(crossed(6), wired("king 4x4"))
    assert len(made.warnings) == 1
    assert "ended by the clock" in made.warnings[0]


def test_members_of_equal_error_differ():
    """Values that codes can hold: one programming is exact, and a further one is exact, too, with other codes."""
    problem = spu.GaussianSampling(precision=np.diag([2.3, 1.8, 1.3]) - 0.3)
    made = compile_problem(problem, "spu8-4bit", ensemble=2)
    first, second = (member.cell_columns.codes["capacitance"] for member in made.device.members())
    assert made.prediction.relative_error < 1e-12
    assert (first != second).any()


# Hashes


@pytest.fixture(scope="module")
def compiled() -> Device:
    """A device of codes and values, an ensemble with bias currents."""
    A = np.diag([2.1, 1.7, 1.4]) - 0.31
    hardware = processors.hardware("rc-resistive", bits=4)
    return compile_problem(spu.GaussianSampling(precision=A, mean=[1.0, 0.0, 0.5]), hardware, ensemble=2).device


def floats(data, path=()):
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if isinstance(value, float):
            yield (*path, key), value
        yield from floats(value, (*path, key))


def test_an_edited_value_is_seen(compiled):
    """Every number of the file that codes do not set, off by its last bit; every code; what it was compiled from."""
    data = json.loads(compiled.to_json())
    assert compiled.as_compiled
    assert Device.from_dict(data).hash == compiled.hash
    seen = {compiled.hash}
    count = 1
    for path, value in floats(data):
        if path[0] == "banks" or path[-1] == "conductance":
            continue
        changed = json.loads(json.dumps(data))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = math.nextafter(value, math.inf)
        edited = Device.from_dict(changed)
        assert edited.as_compiled == (path == ("temperature",))
        seen.add(edited.hash)
        count += 1
    assert count > 20
    changed = json.loads(json.dumps(data))
    del changed["cells"][0]["conductance"]
    changed["cells"][0]["codes"]["conductance"] += 1
    seen.add(Device.from_dict(changed).hash)
    changed = json.loads(json.dumps(data))
    changed["compiled"]["source"] = "another"
    seen.add(Device.from_dict(changed).hash)
    changed = json.loads(json.dumps(data))
    del changed["compiled"]
    seen.add(Device.from_dict(changed).hash)
    assert len(seen) == count + 3


def test_values_changed_in_memory_are_seen(compiled):
    for key in ("conductance", "capacitance"):  # of codes, and not
        device = Device.from_dict(json.loads(compiled.to_json()))
        device.cell_columns.arrays[key][0] *= 1.001
        assert device.hash != compiled.hash


@pytest.fixture(scope="module")
def hashed():
    """The hash of two cells compiled to banks, by an entry and by options."""

    @functools.cache
    def hashed(entry, **options):
        problem = spu.GaussianSampling(precision=np.diag([2.1, entry]) - 0.25)
        return compile_problem(problem, processors.hardware("rc-resistive", bits=4), **options).device.hash

    return hashed


@pytest.mark.parametrize(
    "options",
    [
        {"rounding": "nearest"},
        {"ensemble": 2},
        {"embedding": EmbeddingOptions(seed=1)},
        {"architecture": "rc-resistive"},
    ],
)
def test_options_of_the_compiler_are_in_the_hash(options, hashed):
    assert hashed(1.7, **options) != hashed(1.7)


def test_the_problem_is_in_the_hash(hashed):
    assert hashed(math.nextafter(1.7, 2.0)) != hashed(1.7)
    assert hashed.__wrapped__(1.7) == hashed(1.7)


def off_by_last_bits(device: Device) -> Device:
    """As another processor would have compiled it."""
    other = Device.from_dict(json.loads(device.to_json()))
    readout = other.readout
    other.set_readout(readout.matrix * (1 + 1e-15), readout.offset, readout.variables)
    other.compiled_from(device.origin.source)
    return other


def test_last_bits_of_another_processor_are_not_in_the_hash():
    """But two such devices are not taken for one another where the last bits matter: laws are kept by all of them."""
    device = compile_problem(spu.GaussianSampling(precision=np.diag([2.1, 1.7]) - 0.25)).device
    other = off_by_last_bits(device)
    assert other.hash == device.hash
    assert other.content != device.content
    law, again = device_law(device), device_law(other)
    assert again is not law
    assert (again.sde.readout.matrix != law.sde.readout.matrix).nnz


def test_an_edited_folder_is_told_from_its_netlist(tmp_path):
    write_folder(tmp_path / "out", compile_problem(spu.GaussianSampling(precision=np.diag([2.1, 1.7]) - 0.25)))
    folder = read_folder(tmp_path / "out")
    assert folder.device.as_compiled
    assert folder.compiled["device_hash"] == folder.device.hash
    file = tmp_path / "out" / "device.json"
    data = json.loads(file.read_text())
    data["cells"][0]["capacitance"] *= 1 + 1e-12
    file.write_text(json.dumps(data))
    edited = read_folder(tmp_path / "out")
    assert not edited.device.as_compiled
    assert edited.compiled["device_hash"] != edited.device.hash
    assert any("written for another device" in note for note in spu.check(tmp_path / "out", levels=["ac"]).notes)


@pytest.mark.parametrize(
    "given", [3, {"source": 1, "values": ""}, {"source": "a"}, {"source": "", "values": "", "x": 1}]
)
def test_a_damaged_origin_is_refused(given):
    with pytest.raises(InputError, match="compiled"):
        Device.from_dict({"format": "spu-device/1", "compiled": given, "cells": [{"name": "a", "capacitance": 1e-9}]})


# Rules


def test_the_first_of_equals_is_chosen():
    values = np.array([1.0, 3.0 - 1e-12, 3.0, 2.0, 3.0 - 2e-12])
    assert first_largest(values) == first_smallest(-values) == 1
    assert first_largest(values[::-1].copy()) == 0
    assert first_largest(np.array([1.0, 1.001])) == 1
    assert first_smallest(np.array([np.inf, 2.0, 1.0])) == 2


@pytest.mark.parametrize("seed", range(4))
def test_order_does_not_depend_on_last_bits(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, 40) / 3.0
    expected = np.argsort(values, kind="stable")
    assert (stable_order(values * (1 + 1e-14 * rng.standard_normal(40))) == expected).all()
    assert stable_order(np.array([np.inf, 1.0, np.inf, 0.0])).tolist() == [3, 1, 0, 2]
    assert stable_order(np.empty(0)).tolist() == []


def test_the_middle_of_two_codes_goes_to_the_smaller():
    off = np.array([-1e-9, 0.0, 1e-9])
    for k in range(-3, 4):
        middle = k + 0.5
        smaller = k if k >= 0 else k + 1
        assert (nearest_integers(middle + off) == smaller).all()
        assert (nearest_integers(k + 0.49 * np.array([-1, 1])) == k).all()
        assert (nearest_integers(np.array([k + 0.51, k - 0.51])) == [k + 1, k - 1]).all()
    assert not np.signbit(nearest_integers(-1e-17))


def test_rounding_is_nothing():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((100, 50)), rng.standard_normal(50)
    b -= a[0] * (a[0] @ b) / (a[0] @ a[0])  # now the first product vanishes
    found = without_rounding(a @ b, np.abs(a) @ np.abs(b), 50)
    assert found[0] == 0.0
    assert found[1:].all()
    assert clearly_less(1.0, 1.1)
    assert not clearly_less(1.0, 1.0 + 1e-12)
    assert not clearly_less(1e-16, 2e-16, 1e-3)
    assert clearly_less(1.0, math.inf)
