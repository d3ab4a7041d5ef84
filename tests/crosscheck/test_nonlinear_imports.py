"""Netlists that only ngspice runs: imported for it alone, and nothing more said of them than it found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.folder import read_any, read_folder, write_import

K = 1.380649e-23
DIODE = """a biased diode
i1 0 out dc 1m
d1 out 0 dio
c1 out 0 1n
.model dio d is=1e-14 n=1
.save v(out)
.end
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("diode")
    (where / "diode.cir").write_text(DIODE)
    write_import(where / "diode", read_any(where / "diode.cir"))
    return where / "diode"


def test_ngspice_alone_says_where_it_rests_and_what_it_hears(folder):
    """Shot noise of a diode into its own resistance: half of kT/C, by hand."""
    found = spu.check(folder)
    said = {name: level.verdict for name, level in found.levels.items()}
    assert said == {
        **dict.fromkeys(("ideal", "answer", "ac", "replay"), "skipped"),
        **dict.fromkeys(("op", "noise"), "inconclusive"),
    }
    assert found.verdict == "inconclusive" and found.exit_status == 0
    thermal = K * 300.15 / 1.602176634e-19
    assert found.means["ngspice"][0] == pytest.approx(thermal * np.log(1e-3 / 1e-14), rel=1e-3)
    assert found.covariances["ngspice"][0, 0] == pytest.approx(K * 300.15 / 1e-9 / 2, rel=2e-2)
    assert set(found.covariances) == {"ngspice"}
    assert "ngspice alone has answered" in found.notes[0] and "d1 is a diode" in found.notes[0]


def test_noise_without_an_end_is_said_to_have_none(tmp_path):
    (tmp_path / "d.cir").write_text(DIODE.replace("c1 out 0 1n\n", ""))
    level = spu.check(tmp_path / "d.cir", levels=["noise"]).levels["noise"]
    assert "there is more of it above" in level.message


def test_an_edited_one_is_held_against_it(folder, tmp_path):
    edited = tmp_path / "edited.cir"
    edited.write_text(DIODE)
    found = spu.check(folder, netlist=edited, levels=["answer"])
    assert found.verdict == "pass" and found.changes.edits == ()
    edited.write_text(DIODE.replace("dc 1m", "dc 1.1m"))
    found = spu.check(folder, netlist=edited, levels=["answer"])
    assert found.verdict == "fail" and [edit.name for edit in found.changes.edits] == ["i1"]
    assert found.changes.source == "ngspice" and found.changes.moved_means()
    edited.write_text(DIODE.replace("c1 out 0 1n", "c1 out 0 1n\nr1 far 0 1k\nr2 far 0 2k"))
    quiet = spu.check(folder, netlist=edited, levels=["answer"]).levels["answer"]
    assert quiet.verdict == "inconclusive" and "was not looked at" in quiet.message
    edited.write_text(DIODE.replace("out", "other"))
    with pytest.raises(spu.InputError, match="there is no node out"):
        spu.check(folder, netlist=edited)


def test_import_says_at_once_what_it_can_have(tmp_path):
    (tmp_path / "diode.cir").write_text(DIODE)
    run = CliRunner().invoke
    done = run(cli, ["import", str(tmp_path / "diode.cir"), "-o", str(tmp_path / "made")])
    words = " ".join(done.output.split())
    assert done.exit_code == 0 and "d1 is a diode" in words
    assert "spu import, inspect, check and report take it, and nothing else does" in words
    found = json.loads(run(cli, ["import", str(tmp_path / "diode.cir"), "--json"]).stdout)
    assert found["parts"] == {"current source": 1, "diode": 1, "capacitor": 1} and found["variables"] == ["out"]
    assert json.loads(run(cli, ["inspect", str(tmp_path / "made"), "--json"]).stdout)["variables"] == ["out"]
    for option in (["--density", "i1=1e-20"], ["--silent", "d1"], ["--problem", "p.toml"]):
        refused = run(cli, ["import", str(tmp_path / "diode.cir"), *option])
        assert refused.exit_code == 2 and f"{option[0]} is not for netlists that only ngspice runs" in refused.output
    with pytest.raises(spu.NonlinearNetlist, match="nothing else does"):
        read_folder(tmp_path / "made")


def test_probes_stay_with_the_folder(tmp_path):
    text = DIODE.replace(
        ".save v(out)\n", "xa out in2 half\n.subckt half a b\nr1 a m 1k\nr2 m b 1k\n.ends\nr9 in2 0 1k\n"
    )
    (tmp_path / "d.cir").write_text(text)
    words = ["--probe", "half=xa.m", "--probe", "across=out,in2"]
    done = CliRunner().invoke(cli, ["import", str(tmp_path / "d.cir"), *words, "-o", str(tmp_path / "made")])
    assert done.exit_code == 0, done.output
    found = spu.check(tmp_path / "made", levels=["op"])
    assert found.variables == ("half", "across")
    half, across = found.means["ngspice"]
    assert half == pytest.approx(across * 3 / 2 - across / 2, rel=1e-3)  # 1k of 3k above, and 1k below in2
    missing = CliRunner().invoke(cli, ["import", str(tmp_path / "d.cir"), "--probe", "nowhere"])
    assert missing.exit_code == 2 and "there is no node 'nowhere'" in missing.output


def test_options_that_mean_nothing_for_it_are_refused(folder):
    with pytest.raises(spu.SpuError, match="combinations is not for netlists that only ngspice runs"):
        spu.check(folder, combinations=3)
    with pytest.raises(spu.SpuError, match="one simulator is asked at a time"):
        spu.check(folder, simulator=["ngspice", "vacask"])
    with pytest.raises(spu.SpuError, match="samples is not for netlists that only ngspice runs"):
        spu.report(folder, samples=10)


def test_a_report_says_who_has_answered(folder):
    found = spu.report(folder, levels=["op"])
    assert found.file == folder / "report.html" and found.verdict == "inconclusive"
    text = found.file.read_text()
    assert "ngspice alone: no law and no samples of ours stand beside what it found" in text
    assert "1 diode" in text and "d1 is a diode" in text
