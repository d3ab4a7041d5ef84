"""Columns that nobody gave are no arrays, and nobody sees that."""

import pickle
from copy import copy

import numpy as np
import pytest

from spu.device.device import Device
from spu.device.lower import lower


def pair() -> Device:
    device = Device(temperature=0.0)
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("a", "b", capacitance=1e-10)
    return device


def test_an_absent_column_is_made_when_it_is_asked_for():
    columns = pair().coupler_columns
    assert list(columns.held()) == ["capacitance"] and "conductance" not in columns.arrays
    assert np.isnan(columns.arrays["conductance"]).all() and len(columns.arrays["conductance"]) == 1 == len(columns)
    assert list(columns.held()) == ["capacitance"] and not columns.holds("conductance")
    with pytest.raises(KeyError, match="resistance"):
        columns.arrays["resistance"]


def test_reading_an_absent_column_changes_nothing():
    device = pair()
    before, circuit = device.content, lower(device)
    for columns in (device.cell_columns, device.coupler_columns):
        for key in columns.keys:
            assert columns.arrays[key] is columns.arrays[key]
    assert device.content == before and lower(device) is circuit
    assert device.to_json() == pair().to_json()


@pytest.mark.parametrize("make", [lambda d: d, copy, lambda d: pickle.loads(pickle.dumps(d))])
def test_an_entry_of_an_absent_column_counts_at_once(make):
    device = make(pair())
    circuit, before = lower(device), device.hash
    device.coupler_columns.arrays["conductance"][0] = 1e-4
    assert device.hash != before and lower(device) is not circuit
    assert device.couplers[0].values == {"capacitance": 1e-10, "conductance": 1e-4}
    device.add_cell("c", capacitance=1e-9, bias=1e-6)
    assert np.array_equal(device.cell_columns.arrays["bias"], [np.nan, np.nan, 1e-6], equal_nan=True)
    assert np.array_equal(device.cell_columns.arrays["conductance"], [1e-3, 1e-3, np.nan], equal_nan=True)


@pytest.mark.parametrize("bits", [0.0, -0.0])
def test_a_state_differs_by_one_bit(bits):
    device = pair()
    device.cell_columns.arrays["bias"][:] = 0.0
    kept = device.kept
    device.cell_columns.arrays["bias"][1] = bits
    assert (device.kept is kept) == (str(bits) == "0.0")
