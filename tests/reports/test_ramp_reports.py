"""What people see of a ramp: inspections, notebooks, reports, pictures."""

from __future__ import annotations

import json

from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.reports.devices import subject_blocks
from spu.reports.document import Table
from spu.reports.inspection import ramp_table
from spu.reports.pictures.ramps import draw_ramp

RAMP = spu.Ramp([0.0, 1e-6, 1e-6, 2e-6], couplers=[0.0, 0.25, 0.5, 1.0])


def _device() -> spu.Device:
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    device.ramp = RAMP
    return device


def test_a_table_of_instants_shows_the_factors_that_are_not_always_one() -> None:
    headers, rows = ramp_table(RAMP)
    assert headers == ["time", "couplers"] and rows[1:3] == [["1 us", "0.25"], ["1 us", "0.5"]]
    assert len(ramp_table(spu.Ramp([0.0, 1.0], noise=[1.0, 2.0]))[0]) == 2


def test_reports_and_notebooks_show_a_ramp() -> None:
    tables = [block.caption for block in subject_blocks(_device(), {}) if isinstance(block, Table)]
    assert "Ramp" in tables
    assert "Ramp" in (_device()._repr_html_() or "")
    assert len(draw_ramp(RAMP).axes[0].lines) == 1


def test_inspect_lists_it(tmp_path) -> None:
    _device().write(tmp_path / "device.json")
    said = CliRunner().invoke(cli, ["inspect", str(tmp_path / "device.json")])
    assert said.exit_code == 0 and "ramp, 2 us; all above is of its end:" in said.output
    found = CliRunner().invoke(cli, ["inspect", str(tmp_path / "device.json"), "--json"])
    assert json.loads(found.output)["ramp"] == RAMP.to_dict()
    made = CliRunner().invoke(cli, ["predict", str(tmp_path / "device.json")])
    assert made.exit_code == 0
