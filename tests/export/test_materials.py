"""Bills of materials: everything is listed once, and the price of values that are sold is what a device of them has."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.export.series import SERIES, decade, nearest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_series_are_those_of_the_standard():
    """Spot values of IEC 60063, and its one exception."""
    assert [len(decade(name)) for name in SERIES] == [3, 6, 12, 24, 48, 96, 192]
    assert decade("E12") == (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2)
    assert set(decade("E48")) < set(decade("E96")) < set(decade("E192"))
    assert {1.02, 2.21, 3.16, 4.99, 9.76} < set(decade("E96")) and 9.2 in decade("E192")
    assert 9.19 not in decade("E192") and 9.19 not in decade("E96")


@pytest.mark.parametrize("series", SERIES)
def test_nearest_has_the_least_relative_deviation(series):
    every = np.array([step * 10.0**k for k in range(-13, -9) for step in decade(series)])
    for value in np.geomspace(2e-12, 5e-11, 397):
        found = nearest(value, series)
        assert abs(found / value - 1) <= abs(every / value - 1).min() * (1 + 1e-9)
        assert np.isclose(every, found, rtol=1e-12, atol=0).any()
    assert nearest(9.99e-10, "E24") == 1e-9 and nearest(1000.0, series) == 1000.0


def by_hand(snap):
    """Three cells and two couplers without banks, each value put through a function."""
    device = spu.Device()
    for name, c, g, l in (
        ("a", 1.03e-9, 1 / 1234.0, 1.07e-5),
        ("b", 1.2e-9, 1 / 871.0, 1e-5),
        ("c", 9.9e-10, 1e-3, 9.4e-6),
    ):
        device.add_cell(name, capacitance=snap(c), conductance=1 / snap(1 / g), inductance=snap(l), noise=4e-20)
    device.add_coupler("a", "b", capacitance=snap(2.03e-10))
    device.add_coupler("b", "c", capacitance=snap(1.57e-10), conductance=1 / snap(5432.0))
    return device


@pytest.mark.parametrize("series", ["E6", "E24", "E96", "E192"])
def test_the_price_is_that_of_a_device_with_these_values(series):
    found = spu.bill_of_materials(by_hand(float), series=series)
    exact = spu.predict(by_hand(float)).covariance
    bought = spu.predict(by_hand(lambda value: nearest(value, series))).covariance
    expected = np.linalg.norm(bought - exact) / np.linalg.norm(exact)
    assert found.covariance_error == pytest.approx(expected, rel=1e-6) and expected > 1e-5
    assert found.mean_error is None and not found.why


def test_banks_are_bought_by_their_branches():
    """Of spu8, 6 + 8 bits of 32 pF in binary weights; what is switched on adds up to another value."""
    device = spu.compile(EXAMPLES / "club8.toml")
    found = spu.bill_of_materials(device, series="E24")
    units = {item.text: item for item in found.items if item.part == "capacitor"}
    assert {text: item.quantity for text, item in units.items()} == {
        "32p": 23,
        "64p": 23,
        "128p": 23 + 8,
        "256p": 23,
        "512p": 23,
        "1.024n": 23,
        "2.048n": 8,
        "4.096n": 8,
    }
    assert "C101.fix" in units["128p"].designators and "C1201.5" in units["1.024n"].designators
    (switches,) = (item for item in found.items if item.part == "switch of a bank")
    assert switches.quantity == 8 * 8 + 15 * 6 and switches.value is None
    errors = {}
    for kind, columns, bits, offset in (
        ("cell", device.cell_columns, 8, 1.28e-10),
        ("coupler", device.coupler_columns, 6, 0.0),
    ):
        codes = columns.codes["capacitance"]
        real = [
            (nearest(offset, "E24") if offset else 0.0)
            + sum(nearest(2**k * 3.2e-11, "E24") for k in range(bits) if code >> k & 1)
            for code in codes.tolist()
        ]
        errors[kind] = np.array(real) / (offset + 3.2e-11 * codes)
    elements = spu.elements_of(device)
    factors = np.ones(len(elements))
    for k, name in enumerate(elements.kinds):
        if name.endswith("capacitance"):
            kind = name.partition(".")[0]
            factors[k] = errors[kind][sum(each == name for each in elements.kinds[:k])]
    exact, bought = (spu.predict(each).covariance for each in (device, spu.varied(device, factors)))
    expected = np.linalg.norm(bought - exact) / np.linalg.norm(exact)
    assert found.covariance_error == pytest.approx(expected, rel=1e-9) and expected > 1e-3


def test_a_bank_in_thermometer_code_has_equal_units(tmp_path):
    text = (Path(spu.__file__).parent / "device/presets/spu8.toml").read_text()
    file = tmp_path / "t.toml"
    file.write_text(text.replace('coding = "binary"', 'coding = "thermometer"'))
    found = spu.bill_of_materials(spu.compile(EXAMPLES / "club8.csv", hardware=file))
    (unit,) = (item for item in found.items if "C1201.1-63" in item.designators)
    assert unit.text == "32p" and unit.quantity == 15 * 63 + 8


def test_the_mean_has_a_price_where_there_is_one():
    problem = spu.LinearSystem(matrix=[[2.0, -0.5], [-0.5, 1.0]], vector=[1.0, 2.0])
    found = spu.bill_of_materials(spu.compile(problem), series="E12")
    assert found.mean_error > 1e-3


def test_nonlinear_cells_are_listed_without_a_price():
    found = spu.bill_of_materials(spu.compile(spu.ThermodynamicNetwork(units=2)))
    assert found.covariance_error is None and "not linear" in found.why
    (part,) = (item for item in found.items if item.part == "nonlinear element")
    assert part.value is None and "=" in part.text and part.quantity == 2
    assert "is not known: cells are not linear" in str(found)


def test_models_of_imperfections_are_not_bought():
    device = spu.compile(EXAMPLES / "club8.csv", hardware="spu8-board")
    plain = spu.compile(EXAMPLES / "club8.csv", hardware="spu8")
    lists = [spu.bill_of_materials(each).items for each in (device, plain)]
    assert [(i.part, i.quantity, i.text) for i in lists[0]] == [(i.part, i.quantity, i.text) for i in lists[1]]


def test_the_command_line(tmp_path):
    spu.compile(EXAMPLES / "club8.toml").write(tmp_path / "d.json")

    def run(*words):
        return CliRunner().invoke(cli, ["export", str(tmp_path / "d.json"), "--format", "bom", *map(str, words)])

    done = run()
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows[0]["Reference designators"] == "R101 R201 R301 R401 R501 R601 R701 R801"
    assert (rows[0]["Qty"], rows[0]["Value"], float(rows[0]["Value (SI)"]), rows[0]["E96"]) == ("8", "1k", 1000.0, "1k")
    assert "covariance with all values from E96: off by 0.83 %" in done.stderr
    said = json.loads(run("--json", "--series", "E24").stdout)
    assert said["series"] == "E24" and said["parts"] == sum(item["quantity"] for item in said["items"])
    assert said["covariance_error"] == spu.bill_of_materials(tmp_path / "d.json", series="E24").covariance_error
    assert run("-o", tmp_path / "b.csv").exit_code == 0 and (tmp_path / "b.csv").read_text() == done.stdout
    assert "is there already" in run("-o", tmp_path / "b.csv").stderr
    refused = run("--series", "E95")
    assert refused.exit_code == 2 and "--series 'E95'; valid: E3, E6" in refused.stderr
