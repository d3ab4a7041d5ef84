"""The reference devices and networks under ngspice 39 and 45: the same circuit to both, and to the emulator."""

import runpy
from pathlib import Path

import pytest

from spu.crosscheck import check
from tests.engines import needs_ngspice_wasm

NETLISTS = Path(__file__).resolve().parents[2] / "netlists"

BOTH = ("ngspice", "ngspice-wasm")
MOST = 1e-5

SMALL = ("club8", "by_hand", "coloured_noise")
SILENT = ("annealing",)
"""Without noise at its end there is no size of a voltage: sweeps do not converge to the tolerances of its netlist."""

LARGE = ("karate_club", "wine", "shared_noise", "determinant", "club8_switched", "fin")


@pytest.fixture(scope="module")
def devices():
    return runpy.run_path(str(NETLISTS / "regenerate.py"))["devices"]()


def test_every_reference_netlist_is_among_them(devices):
    assert {*SMALL, *LARGE, *SILENT, "neurons"} == set(devices) == {each.stem for each in NETLISTS.glob("*.cir")}


@needs_ngspice_wasm
@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.long) for name in LARGE)])
def test_transfer_functions_are_the_same_to_both_and_to_the_emulator(devices, name):
    found = check(devices[name], levels=["op", "ac"], simulator=BOTH)
    assert found.verdict == "pass"
    for each in found.each:
        assert each.levels["ac"].data["worst_transfer"]["error"] <= MOST
    (pair,) = (row for row in found.comparisons if row.quantity == "transfer functions")
    assert pair.between == BOTH and pair.found <= MOST


@needs_ngspice_wasm
def test_a_network_comes_to_rest_alike_and_takes_the_same_paths(devices):
    found = check(devices["neurons"], levels=["op", "replay"], simulator=BOTH)
    assert found.verdict == "pass"
    for each in found.each:
        assert each.levels["op"].error <= MOST
    (pair,) = (row for row in found.comparisons if row.quantity == "path")
    assert pair.between == BOTH and pair.found <= MOST
