"""Hardware files: presets, limits, and refusals that name the key and its line."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spu.base.errors import InputError
from spu.device.banks import Bank
from spu.device.hardware import ARCHITECTURES, Hardware, Range
from spu.device.hardware_file import PRESETS, hardware_from_dict, load_hardware

VALID = """\
name = "bench"
description = "a bench"
temperature = 293
cells = 4
architectures = ["rc-resistive", "rlc-capacitive"]
[cell]
capacitance = { nominal = 1e-9, min = 1e-11, max = 1e-8 }
conductance = { nominal = 1e-3 }
inductance = { nominal = 1e-5 }
[cell.noise]
nominal = 4e-20
max = inf
[coupler]
capacitance = { max = 2e-9 }
"""


def write(folder: Path, text: str | bytes, name: str = "h.toml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_ideal():
    h = load_hardware("ideal")
    assert (h.name, h.temperature, h.max_cells, h.architectures) == ("ideal", 0.0, None, ARCHITECTURES)
    nominal = {key: value.nominal for key, value in h.cell.items()}
    assert nominal == {
        "capacitance": 1e-9,
        "conductance": 1e-3,
        "inductance": 1e-5,
        "noise": 4e-20,
        "bias": None,
        "active_conductance": None,
    }
    for quantity, limits in [*h.cell.items(), *h.coupler.items()]:
        signed = quantity in ("bias", "active_conductance", "transconductance")
        assert (limits.min, limits.max) == (-math.inf if signed else 0.0, math.inf)


def test_spu8():
    h = load_hardware("spu8")
    assert (h.max_cells, h.temperature, h.architectures) == (8, 300.15, ("rlc-capacitive",))
    trim = Bank(bits=8, lsb=3.2e-11, offset=1.28e-10)
    assert h.cell["capacitance"] == Range(1e-9, 1.28e-10, 1.28e-10 + 255 * 3.2e-11, trim)
    assert h.cell["conductance"].nominal == 1e-3
    assert h.cell["inductance"].nominal == 1e-5
    assert h.cell["noise"].nominal == 4e-20
    assert h.coupler["capacitance"] == Range(None, 0.0, 63 * 3.2e-11, Bank(bits=6, lsb=3.2e-11))
    assert "Melanson et al., Nature Communications 16:3757" in h.description
    assert "illustrative" in h.description


def test_file(tmp_path):
    h = load_hardware(write(tmp_path, VALID))
    assert h.architectures == ("rc-resistive", "rlc-capacitive")  # order of preference is kept
    assert h.temperature == 293.0
    assert h.cell["noise"] == Range(4e-20)
    assert set(h.coupler) == {"capacitance", "conductance", "inductance", "transconductance"}
    assert load_hardware(h) is h


@pytest.mark.parametrize("name", PRESETS)
def test_presets_win_over_files(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_hardware(name).name == name


@pytest.mark.parametrize("name", PRESETS)
def test_round_trip(name):
    h = load_hardware(name)
    assert hardware_from_dict(json.loads(json.dumps(h.to_dict(), allow_nan=False))) == h


def test_round_trip_of_limits():
    h = load_hardware("ideal")
    cell = h.cell | {"bias": Range(min=-1e-3, max=1e-3), "capacitance": Range(2e-9, 1e-9, 3e-9)}
    h = Hardware(name="h", temperature=1, architectures=("rc-resistive",), cell=cell)
    assert hardware_from_dict(h.to_dict()) == h


def test_inductance_is_only_needed_by_resonators(tmp_path):
    text = VALID.replace("inductance = { nominal = 1e-5 }\n", "")
    with pytest.raises(InputError, match=r"cell\.inductance needs a nominal value"):
        load_hardware(write(tmp_path, text))
    load_hardware(write(tmp_path, text.replace(', "rlc-capacitive"', "")))


@pytest.mark.parametrize(
    ("old", "new", "fragment", "line"),
    [
        ('name = "bench"\n', "", "no name", None),
        ('"bench"', '""', "name is ''", 1),
        ('"bench"', "3", "name is 3", 1),
        ('"bench"', '"a\\nb"', "one line", 1),
        ('"a bench"', "[]", "description is []", 2),
        ("= 293", "= -1", "temperature is -1 K", 3),
        ("= 293", "= nan", "temperature is NaN", 3),
        ("= 293", "= inf", "finite", 3),
        ("= 293", "= '293'", "temperature is '293': it must be a number", 3),
        ("= 293", "= true", "must be a number", 3),
        ("= 293", "= 1" + "0" * 400, "too large", 3),
        ("temperature", "temprature", "did you mean 'temperature'", 3),
        ("cells = 4", "cells = 0", "cells is 0", 4),
        ("cells = 4", "cells = 4.0", "cells is 4.0", 4),
        ("cells = 4", "cells = true", "cells is True", 4),
        ("cells = 4", "max_cells = 4", "did you mean 'cells'", 4),
        ('["rc-resistive", "rlc-capacitive"]', "[]", "architectures is []", 5),
        ('["rc-resistive", "rlc-capacitive"]', '"rc-resistive"', "must be a list", 5),
        ("rc-resistive", "rc-resistve", "did you mean 'rc-resistive'", 5),
        ('"rc-resistive"', "{}", "unknown architecture {}", 5),
        ('"rc-resistive"', '"rlc-capacitive"', "named twice", 5),
        ("[cell]\n", "[cel]\n", "did you mean 'cell'", 6),
        ("capacitance = { nominal", "capacitence = { nominal", "did you mean 'capacitance'", 7),
        ("min = 1e-11", "mn = 1e-11", "did you mean 'min'", 7),
        ("min = 1e-11", "min = 1e-7", "leave no value between", 7),
        ("min = 1e-11", "min = -1e-11", "negative", 7),
        ("min = 1e-11", "min = 2e-9", "nominal 1e-09 is outside the range from 2e-09 to 1e-08", 7),
        ("max = 1e-8", "max = 5e-10", "outside the range", 7),
        ("max = 1e-8", "max = nan", "max is NaN", 7),
        ("max = 1e-8", "max = '1e-8'", "must be a number", 7),
        ("nominal = 1e-9, min = 1e-11, ", "", "capacitance needs a nominal value", 7),
        ("nominal = 1e-9, min = 1e-11", "nominal = 0", "nominal is 0, it must be positive", 7),
        ("{ nominal = 1e-3 }", "1e-3", "write { nominal", 8),
        ("nominal = 1e-3", "nominal = inf", "nominal is infinite", 8),
        ("nominal = 4e-20", "nominal = -4e-20", "outside the range from 0", 11),
        ("max = inf", "max = -inf", "leave no value between", 12),
        (
            "[coupler]\ncapacitance = { max = 2e-9 }",
            "[coupler]\nnoise = {}",
            "unknown key 'noise' in [coupler]",
            14,
        ),
        ("[coupler]\ncapacitance", "[couplers]\ncapacitance", "did you mean 'coupler'", 13),
        ("name = ", "coupler = 3\nname = ", "not valid TOML", None),
        ("2e-9 }", "2e-9", "not valid TOML", 14),
    ],
)
def test_refused_file(tmp_path, old, new, fragment, line):
    assert VALID.count(old) >= 1
    path = write(tmp_path, VALID.replace(old, new, 1))
    with pytest.raises(InputError) as info:
        load_hardware(path)
    assert fragment in info.value.message
    assert info.value.file == str(path)
    if line is not None:
        assert info.value.line == line


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("Ideal", "did you mean 'ideal'"),
        ("spu", "did you mean 'spu8'"),
        ("quite-other", "valid: ideal, spu8"),
        ("none.toml", "none.toml: no such file"),
        ("", "neither a preset"),
        (".", "neither a preset"),
        ("a\0.toml", ""),
        (3, "a preset or a path"),
    ],
)
def test_unknown_hardware(name, fragment):
    with pytest.raises(InputError) as info:
        load_hardware(name)
    assert fragment in str(info.value)


def test_folder_and_encoding(tmp_path):
    (tmp_path / "d.toml").mkdir()
    with pytest.raises(InputError, match="directory"):
        load_hardware(tmp_path / "d.toml")
    with pytest.raises(InputError, match=r"h\.toml:2: is not UTF-8"):
        load_hardware(write(tmp_path, b"name = 'a'\n\xff"))


def test_dictionary_must_be_one():
    for d in (None, [], "ideal"):
        with pytest.raises(InputError, match="table of keys"):
            hardware_from_dict(d)


def test_construction_checks_too():
    h = load_hardware("ideal")
    with pytest.raises(InputError, match="must be a Range"):
        Hardware(name="h", temperature=0, architectures=("rc-resistive",), cell=h.cell | {"bias": 1.0})
    with pytest.raises(InputError, match="unknown key 'x'"):
        Hardware(name="h", temperature=0, architectures=("rc-resistive",), cell=h.cell, coupler={"x": Range()})
    with pytest.raises(InputError, match="outside the range"):
        Range(1.0, max=0.5)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.integers(0, 6),
            st.binary(max_size=4) | st.sampled_from([b"\n", b"-", b"inf", b"{", b"}", b"[", b"]", b'"', b"=", b"nan"]),
        ),
        max_size=4,
    )
)
def test_fuzz(tmp_path, edits):
    data = bytearray(VALID.encode())
    for where, cut, new in edits:
        at = int(where * len(data))
        data[at : at + cut] = new
    path = write(tmp_path, bytes(data))
    try:
        h = load_hardware(path)
    except InputError as error:
        assert error.file == str(path)
    else:
        assert hardware_from_dict(h.to_dict()) == h
