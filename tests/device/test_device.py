"""The device, its file and its graph."""

import itertools
import json
import math

import networkx as nx
import numpy as np
import pytest
from helpers import difference, law_of, near
from hypothesis import given, settings
from hypothesis import strategies as st

import spu
from spu.base.errors import InputError
from spu.device.device import Device
from spu.device.lower import lower

QUANTITIES = {
    "cell": ("capacitance", "conductance", "inductance", "noise", "bias"),
    "coupler": ("capacitance", "conductance", "inductance", "transconductance"),
}
positive = st.floats(1e-25, 1e12)
signed = st.one_of(positive, positive.map(lambda x: -x))


@st.composite
def devices(draw):
    """Any device: unique names, any subset of parts, any couplers, perhaps a readout."""
    device = Device(temperature=draw(st.floats(0, 500)), architecture=draw(st.sampled_from([None, "rlc-capacitive"])))
    names = draw(
        st.lists(
            st.text("abcXYZ019_", min_size=1, max_size=6),
            min_size=1,
            max_size=5,
            unique_by=str.lower,
        )
    )

    def values(kind):
        found = {}
        for quantity in draw(st.sets(st.sampled_from(QUANTITIES[kind]))):
            if quantity == "transconductance":
                found[quantity] = draw(st.one_of(signed, st.tuples(signed, signed)))
            else:
                found[quantity] = draw(signed if quantity == "bias" else positive)
        return found

    for name in names:
        device.add_cell(name, **values("cell"))
    for a, b in itertools.combinations(names, 2):
        if draw(st.booleans()):
            device.add_coupler(*draw(st.permutations([a, b])), **values("coupler"))
    if draw(st.booleans()):
        rows = draw(st.integers(1, 3))
        number = st.floats(-1e6, 1e6)
        size = rows * len(names)
        matrix = np.array(draw(st.lists(number, min_size=size, max_size=size))).reshape(rows, len(names))
        device.set_readout(matrix, draw(number), [f"x{k}" for k in range(rows)])
    return device


@settings(max_examples=60, deadline=None, derandomize=True)
@given(devices())
def test_file_round_trip(device):
    again = Device.from_dict(json.loads(device.to_json()))
    assert again.cells == device.cells
    assert again.couplers == device.couplers
    assert again.temperature == device.temperature
    assert again.architecture == device.architecture
    assert np.array_equal(again.readout.matrix.toarray(), device.readout.matrix.toarray())
    assert np.array_equal(again.readout.offset, device.readout.offset)
    assert again.readout.variables == device.readout.variables
    assert again.to_dict() == device.to_dict() or again.to_json() == device.to_json()
    assert again.hash == device.hash
    assert again.to_json() == device.to_json()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(devices())
def test_graph_round_trip(device):
    again = Device.from_graph(device.graph)
    assert again.cells == device.cells
    assert again.temperature == device.temperature
    assert again.architecture == device.architecture

    def by_ends(couplers):
        return {(c.a, c.b): c.values for c in couplers}

    assert by_ends(again.couplers) == by_ends(device.couplers)


def sample() -> Device:
    device = Device(temperature=290.0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20, bias=1e-6)
    device.add_cell("b", capacitance=2e-9, conductance=2e-3)
    device.add_cell("c", capacitance=3e-9, conductance=2e-3)
    device.add_coupler("a", "b", capacitance=2e-10, conductance=1e-4, inductance=1e-4, transconductance=(1e-5, -2e-5))
    device.add_coupler("c", "b", capacitance=3e-10)
    device.set_readout(np.diag([1.0, 2.0, -3.0]), [0.0, 1.0, 0.0], ["x", "y", "z"])
    return device


def test_read_and_write(tmp_path):
    path = tmp_path / "device.json"
    sample().write(path)
    assert Device.read(path).hash == sample().hash
    assert path.read_text() == sample().to_json()
    assert [entry.name for entry in tmp_path.iterdir()] == ["device.json"]
    # One cell or coupler a line.
    lines = path.read_text().splitlines()
    assert sum('"name"' in line for line in lines) == 3
    assert sum('"a":' in line for line in lines) == 2


def leaves(data, path=()):
    if isinstance(data, dict):
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    elif isinstance(data, list):
        for k, value in enumerate(data):
            yield from leaves(value, (*path, k))
    else:
        yield path, data


def test_hash_changes_with_every_value():
    """Every number of the file, moved by one unit in the last place, and every name, gives another hash."""
    data = json.loads(sample().to_json())
    seen = {sample().hash}
    count = 1
    for path, value in leaves(data):
        if path == ("format",):
            continue
        changed = json.loads(json.dumps(data))
        place = changed
        for key in path[:-1]:
            place = place[key]
        if isinstance(value, float):
            place[path[-1]] = math.nextafter(value, math.inf)
        elif path[-1] in ("a", "b"):
            # Renaming an end means another cell: only c-a is still free.
            if path[:2] != ("couplers", 1):
                continue
            changed["couplers"][1] = {**changed["couplers"][1], "a": "c", "b": "a"}
        else:
            place[path[-1]] = value + "q"
            if path[0] == "cells":
                for coupler in changed["couplers"]:
                    coupler.update({end: value + "q" for end in "ab" if coupler[end] == value})
        seen.add(Device.from_dict(changed).hash)
        count += 1
        if path[-1] in ("a", "b"):
            count -= path[-1] == "b"
    assert len(seen) == count
    swapped = json.loads(json.dumps(data))
    swapped["couplers"][0]["transconductance"].reverse()
    assert Device.from_dict(swapped).hash not in seen


def test_a_file_by_hand():
    device = Device.from_dict(
        {
            "format": "spu-device/1",
            "cells": [{"name": "a", "capacitance": 1, "noise": 0}, {"name": "B", "conductance": 2.5}],
            "couplers": [{"a": "A", "b": "b", "transconductance": 3}],
        }
    )
    assert device.temperature == 300.15
    assert [cell.values for cell in device.cells] == [{"capacitance": 1.0}, {"conductance": 2.5}]
    assert device.couplers[0].values == {"transconductance": 3.0}
    assert (device.couplers[0].a, device.couplers[0].b) == ("a", "B")
    assert device.readout.variables == ("a", "B")


CELL = {"name": "a", "capacitance": 1e-9}
OTHER = {"name": "b", "capacitance": 1e-9}
JOINED = {"a": "a", "b": "b", "capacitance": 1e-10}


def file_with(**changes):
    return {"format": "spu-device/1", "cells": [CELL, OTHER], "couplers": [JOINED], **changes}


MALFORMED = [
    ([], "a device file must be a JSON object"),
    (None, "a device file must be a JSON object"),
    ({}, "format"),
    (file_with(format="spu-device/2"), "spu-device/1"),
    (file_with(colour="red"), "no key 'colour'"),
    (file_with(cell=[]), "cells"),
    (file_with(temperature="hot"), "temperature"),
    (file_with(temperature=True), "temperature"),
    (file_with(temperature=-1), "temperature"),
    (file_with(temperature=math.nan), "temperature"),
    (file_with(temperature=math.inf), "temperature"),
    (file_with(architecture=3), "architecture"),
    (file_with(cells=[]), "at least one"),
    (file_with(cells={"a": CELL}), "cells"),
    (file_with(cells=[3]), r"cells\[0\]"),
    (file_with(cells=[{}]), r"cells\[0\]"),
    (file_with(cells=[CELL, {"name": 7}]), r"cells\[1\]"),
    (file_with(cells=[CELL, {"name": "b c"}]), r"cells\[1\]"),
    (file_with(cells=[CELL, {"name": ""}]), r"cells\[1\]"),
    (file_with(cells=[CELL, {"name": "A"}]), "ignores case"),
    (file_with(cells=[CELL, CELL]), "twice"),
    (file_with(cells=[{**CELL, "capacitence": 1.0}, OTHER]), r"cells\[0\] \(a\).*capacitance"),
    (file_with(cells=[CELL, {**OTHER, "transconductance": 1.0}]), r"cells\[1\] \(b\)"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": "1n"}]), r"cells\[1\] \(b\): capacitance.*F"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": None}]), r"cells\[1\] \(b\): capacitance"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": True}]), r"cells\[1\] \(b\): capacitance"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": -1e-9}]), r"cells\[1\] \(b\): capacitance must be positive"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": math.nan}]), r"cells\[1\] \(b\): capacitance must be finite"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": math.inf}]), r"cells\[1\] \(b\): capacitance must be finite"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": 1e-200}]), r"cells\[1\] \(b\): capacitance"),
    (file_with(cells=[CELL, {**OTHER, "capacitance": [1.0, 2.0]}]), r"cells\[1\] \(b\): capacitance"),
    (file_with(cells=[CELL, {**OTHER, "inductance": 0}]), r"cells\[1\] \(b\): inductance must be positive"),
    (file_with(cells=[CELL, {**OTHER, "noise": -1e-20}]), r"cells\[1\] \(b\): noise must be positive"),
    (file_with(couplers={}), "couplers"),
    (file_with(couplers=[[]]), r"couplers\[0\]"),
    (file_with(couplers=[{"a": "a"}]), r"couplers\[0\]"),
    (file_with(couplers=[{**JOINED, "b": "d"}]), r"couplers\[0\] \(a-d\): there is no cell 'd'"),
    (file_with(couplers=[{**JOINED, "b": ["b"]}]), r"couplers\[0\]"),
    (file_with(couplers=[{**JOINED, "b": "A"}]), r"couplers\[0\] \(a-A\): .*different cells"),
    (file_with(couplers=[JOINED, {**JOINED, "a": "b", "b": "a"}]), r"couplers\[1\].*already coupled by couplers\[0\]"),
    (file_with(couplers=[{**JOINED, "noise": 1.0}]), r"couplers\[0\] \(a-b\)"),
    (file_with(couplers=[{**JOINED, "transconductance": [1.0]}]), r"couplers\[0\] \(a-b\): transconductance"),
    (file_with(couplers=[{**JOINED, "transconductance": [1.0, 2.0, 3.0]}]), r"couplers\[0\] \(a-b\)"),
    (file_with(couplers=[{**JOINED, "transconductance": [1.0, "2"]}]), r"couplers\[0\] \(a-b\)"),
    (file_with(readout=[]), "readout"),
    (file_with(readout={}), "gain"),
    (file_with(readout={"gain": [1, 1], "matrix": [[1, 0], [0, 1]]}), "either"),
    (file_with(readout={"gain": [1.0]}), "2x2"),
    (file_with(readout={"gain": [1.0, None]}), "readout"),
    (file_with(readout={"gain": [1.0, math.inf]}), "finite"),
    (file_with(readout={"gain": {"a": 1}}), "readout"),
    (file_with(readout={"gain": ["x", "y"]}), "readout"),
    (file_with(readout={"matrix": [[1.0, 2.0]]}), "1x2"),
    (file_with(readout={"matrix": [[1.0], [1.0, 2.0]]}), "readout"),
    (file_with(readout={"matrix": [[1.0, 2.0]], "variables": ["x", "y"]}), "1x2"),
    (file_with(readout={"matrix": [[1.0, 2.0]], "variables": "x"}), "variables"),
    (file_with(readout={"matrix": [[1.0, 2.0]], "variables": [1]}), "variables"),
    (file_with(readout={"matrix": [[1.0, 2.0]], "variables": ["x y"]}), "x y"),
    (file_with(readout={"gain": [1.0, 1.0], "offset": [1.0, 2.0, 3.0]}), "readout"),
    (file_with(readout={"gain": [1.0, 1.0], "offset": [math.nan, 0.0]}), "finite"),
    (file_with(readout={"gain": [1.0, 1.0], "colour": 1}), "colour"),
]


@pytest.mark.parametrize(("data", "message"), MALFORMED)
def test_malformed_data(data, message):
    with pytest.raises(InputError, match=message) as caught:
        Device.from_dict(data, file="some/device.json")
    assert caught.value.file == "some/device.json"
    assert str(caught.value).startswith("some/device.json: ")
    assert len(str(caught.value).splitlines()) <= 2


HUGE = 10**400


@pytest.mark.parametrize(
    "data",
    [
        file_with(cells=[CELL, {**OTHER, "capacitance": HUGE}]),
        file_with(readout={"gain": [1, HUGE]}),
        file_with(readout={"gain": [1, 1], "offset": HUGE}),
    ],
)
def test_integers_beyond_floating_point(data):
    with pytest.raises(InputError):
        Device.from_dict(data)


def test_temperature_beyond_floating_point():
    with pytest.raises(InputError):
        Device.from_dict(file_with(temperature=HUGE))


@pytest.mark.parametrize(
    "readout",
    [{"gain": ["1", "2"]}, {"gain": [True, False]}, {"gain": [[1, 2]]}, {"gain": [1, 1], "offset": "3"}],
)
def test_readout_of_the_wrong_type(readout):
    with pytest.raises(InputError):
        Device.from_dict(file_with(readout=readout))


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", None, None),
        ("{", "JSON", 1),
        ('{\n"format": "spu-device/1",\n"cells": [,]\n}', "JSON", 3),
        ("[" * 100_000, "JSON", None),
        ('{"format": "spu-device/1", "cells": ' + "1" * 5000 + "}", "JSON", None),
        ("\x00\x01", "JSON", None),
    ],
)
def test_malformed_files(tmp_path, text, message, line):
    path = tmp_path / "device.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Device.read(path)
    assert caught.value.file == str(path)
    if line is not None:
        assert caught.value.line == line


def test_missing_files(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError) as caught:
            Device.read(path)
        assert caught.value.file == str(path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        Device.read(tmp_path / "binary")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**6), 10**6) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["format", "cells", "couplers", "name", "a", "b", "capacitance", "readout", "gain"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(json_values, st.sampled_from(["cells", "couplers", "readout", "temperature", "architecture"]))
def test_any_json_is_a_device_or_an_input_error(value, key):
    try:
        Device.from_dict(file_with(**{key: value}))
    except InputError as error:
        assert str(error)


# By hand


def test_add_cell_refuses():
    device = Device()
    device.add_cell("a", capacitance=1e-9)
    for name in ("a", "A", "a-b", "", "é", 5):
        with pytest.raises(InputError):
            device.add_cell(name)
    for values in ({"capacitance": -1.0}, {"capacitence": 1.0}, {"noise": "1"}, {"bias": np.inf}, {"inductance": 0.0}):
        with pytest.raises(InputError, match="cell b"):
            device.add_cell("b", **values)
    assert [cell.name for cell in device.cells] == ["a"]
    for temperature in (-1, np.nan, np.inf, "hot"):
        with pytest.raises(InputError, match="temperature"):
            Device(temperature=temperature)


def test_add_coupler_refuses():
    device = Device()
    for name in "abc":
        device.add_cell(name, capacitance=1e-9)
    device.add_coupler("a", "b", capacitance=1e-9)
    for a, b in (("a", "b"), ("b", "a"), ("B", "A"), ("a", "a"), ("a", "z")):
        with pytest.raises(InputError):
            device.add_coupler(a, b, capacitance=1e-9)
    with pytest.raises(InputError, match="coupler a-c"):
        device.add_coupler("a", "c", transconductance=(1.0, 2.0, 3.0))
    assert len(device.couplers) == 1


def test_graph_carries_cells_and_couplers():
    graph = sample().graph
    assert sorted(graph.nodes) == ["a", "b", "c"]
    assert graph.nodes["a"]["cell"].values["noise"] == 4e-20
    assert graph.edges["a", "b"]["coupler"].values["transconductance"] == (1e-5, -2e-5)


def test_plain_graph():
    graph = nx.Graph()
    graph.add_node(1, capacitance=1e-9, conductance=1e-3)
    graph.add_node("b", capacitance=1e-9)
    graph.add_edge("b", 1, conductance=2e-3)
    device = Device.from_graph(graph, temperature=4.0)
    assert [cell.name for cell in device.cells] == ["1", "b"]
    assert device.couplers[0].values == {"conductance": 2e-3}
    assert device.temperature == 4.0


def test_columns_and_rows_agree():
    built = Device.from_arrays(
        ["a", "b"],
        {"capacitance": [1e-9, np.nan], "conductance": 1e-3},
        [[1, 0]],
        {"transconductance_ab": [2e-4], "transconductance_ba": [3e-4]},
        temperature=0.0,
    )
    by_hand = Device(temperature=0.0)
    by_hand.add_cell("a", capacitance=1e-9, conductance=1e-3)
    by_hand.add_cell("b", conductance=1e-3)
    by_hand.add_coupler("b", "a", transconductance=(2e-4, 3e-4))
    assert built.hash == by_hand.hash


# Transconductance


@pytest.mark.parametrize("ends", ["ab", "ba"])
def test_a_current_g_ab_v_b_leaves_a(ends):
    """Bias only b; then v_a = -g_ab v_b / g_a, whichever way round the coupler was added."""
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3)
    device.add_cell("b", capacitance=1e-9, conductance=2e-3, bias=4e-6)
    g_ab = 5e-4
    device.add_coupler(*ends, transconductance=(g_ab, 0.0) if ends == "ab" else (0.0, g_ab))
    v_b = 4e-6 / 2e-3
    assert law_of(device).voltage_mean == near(np.array([-g_ab * v_b / 1e-3, v_b]), 1e-12)


def test_one_number_is_both_directions():
    devices = []
    for value in (3e-4, (3e-4, 3e-4)):
        device = Device(temperature=0)
        for name in "ab":
            device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=1e-20)
        device.add_coupler("a", "b", transconductance=value)
        devices.append(device)
    assert devices[0].hash == devices[1].hash
    expected = 1e-20 / 4e-9 * np.linalg.inv([[1e-3, 3e-4], [3e-4, 1e-3]])
    assert difference(law_of(devices[0]).voltage_covariance, expected) < 1e-12


def test_a_circuit_does_for_a_device():
    """An imported netlist has no device: what stands right of the circuit takes the circuit alone."""
    device = spu.compile(spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]]))
    circuit = lower(device)
    assert circuit.hash == device.hash
    exact, again = spu.predict(device), spu.predict(circuit)
    assert (exact.covariance == again.covariance).all()
    assert exact.relative_error == again.relative_error is not None
    drawn, once_more = (spu.simulate(each, samples=200, seed=3) for each in (device, circuit))
    assert (drawn.samples_kept == once_more.samples_kept).all()
