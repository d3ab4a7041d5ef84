"""Netlists that were drawn elsewhere and edited there, held against the ones that were imported."""

from __future__ import annotations

from pathlib import Path

import pytest

import spu
from spu.base.errors import InputError
from spu.folder import write_import
from spu.spice.reader import read_netlist

MESH = (Path(__file__).parents[1] / "decks" / "rc_mesh.cir").read_text()
CAPACITORS = "cc={ternary_fcn(n>3, 2.2n, 1n)}"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    where = tmp_path_factory.mktemp("edited")
    (where / "mesh.cir").write_text(MESH)
    write_import(where / "mesh", read_netlist(where / "mesh.cir", densities={"i1": 1e-24}))
    return where / "mesh"


def against(imported, text, tmp_path, levels=("answer", "ac")):
    (tmp_path / "edited.cir").write_text(text)
    return spu.check(imported, netlist=tmp_path / "edited.cir", levels=levels)


def test_the_same_netlist_is_the_same(imported, tmp_path):
    found = against(imported, MESH, tmp_path)
    assert found.verdict == "pass", found.levels
    assert "entry by entry" in found.levels["answer"].message
    assert found.changes.edits == ()
    # i1 is noise because its user says so: ngspice hears it all the same.
    assert found.changes.reading_error < 1e-5


def test_values_that_moved_are_named_with_what_they_moved(imported, tmp_path):
    found = against(imported, MESH.replace(CAPACITORS, "cc=2.25n"), tmp_path)
    assert [level.verdict for level in found.levels.values()] == ["fail", "fail"]
    assert [edit.line for edit in found.changes.edits] == [2]
    moved = found.changes.moved_covariances()
    assert {name for each in moved for name in each.variables} == {"a4", "b1", "a2_b3"}
    assert all(each.relative < -0.01 for each in moved if len(set(each.variables)) == 1)
    assert found.changes.reading_error < 1e-5
    assert "the imported netlist" in found.levels["answer"].message
    assert "the device" not in found.levels["answer"].message


def test_other_noise_sources_are_no_reason_to_drive_them(imported, tmp_path):
    found = against(imported, MESH.replace("xv4", "rnew a1 0 100k\nxv4"), tmp_path, ("answer", "op", "ac", "noise"))
    assert found.levels["answer"].verdict == "fail"
    assert [str(edit) for edit in found.changes.edits] == ["new: rnew a1 0 100k (line 10)"]
    for name in ("op", "ac", "noise"):
        assert found.levels[name].verdict == "skipped" and "rnew" in found.levels[name].message


def test_what_only_ngspice_reads_is_linearised_there(imported, tmp_path):
    """A diode that barely conducts changes nothing that is heard, and nobody claims more than was looked at."""
    found = against(imported, MESH.replace("xv4", "d1 a1 0 unused\nxv4"), tmp_path)
    answer = found.levels["answer"]
    assert answer.verdict == "inconclusive"
    assert "d1 is a diode" in answer.message and "does not hear in it what was said to be noise" in answer.message
    assert found.levels["ac"].verdict == "skipped" and "d1 is a diode" in found.levels["ac"].message
    write_import(tmp_path / "plain", read_netlist(imported / "device.cir"))
    quiet = against(tmp_path / "plain", MESH.replace("xv4", "d1 a1 0 unused\nxv4"), tmp_path)
    assert quiet.levels["answer"].verdict == "inconclusive" and quiet.levels["answer"].error < 1e-4
    loud = against(tmp_path / "plain", MESH.replace("xv4", "d1 0 a1 big\n.model big d (is=1u)\nxv4"), tmp_path)
    assert loud.levels["answer"].verdict == "fail" and loud.changes.source == "ngspice"


def test_what_is_read_must_be_there(imported, tmp_path):
    gone = MESH.replace("a4", "a5")
    with pytest.raises(InputError, match="there is no node a4; check reads the cells there"):
        against(imported, gone, tmp_path)


def test_a_netlist_of_ours_was_written_for_no_other_device(tmp_path):
    """Imported, it is what is checked, whatever hash its head holds."""
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    (tmp_path / "own.cir").write_text(spu.netlist(device))
    write_import(tmp_path / "own", read_netlist(tmp_path / "own.cir"))
    assert spu.check(tmp_path / "own", levels=["ac"]).notes == ()
    edited = spu.netlist(device).replace("r=1000.0", "r=1010.0")
    found = against(tmp_path / "own", edited, tmp_path, ("answer",))
    assert found.verdict == "fail" and found.notes == ()


def test_a_clock_is_read(tmp_path):
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    device.detail = spu.Detail(noise={"clock": 1e6})
    (tmp_path / "own.cir").write_text(spu.netlist(device))
    read = read_netlist(tmp_path / "own.cir")
    assert read.circuit.clocked.period == 1e-6 and any("held for 1e-06 s by a clock" in note for note in read.notes)
    found, own = spu.predict(read), spu.predict(device)
    assert found.covariance == pytest.approx(own.covariance, rel=1e-9)
    device.detail = spu.Detail(noise={"clock": 1e6, "kind": "binary"})
    (tmp_path / "own.cir").write_text(spu.netlist(device))
    assert any("the header says more of it (" in note for note in read_netlist(tmp_path / "own.cir").notes)
    (tmp_path / "own.cir").write_text(spu.netlist(device).replace("cell_x1 n_x1", "cell_x1 n_other"))
    torn = read_netlist(tmp_path / "own.cir")
    assert torn.circuit.clocked is None and any("counted as white" in note for note in torn.notes)
