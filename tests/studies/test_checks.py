"""Many folders checked in ngspice as pieces of a study: what `spu.check` says of each, whoever does it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import NgspiceMissing, OptionError, UsageError
from spu.base.files import plain
from spu.cli import cli
from spu.folder import write_folder, write_import
from spu.spice.reader import read_netlist

DECK = Path(__file__).parents[1] / "decks" / "rc_mesh.cir"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two devices, a network, an imported netlist, a device alone, a netlist with an include."""
    where = tmp_path_factory.mktemp("checks")
    for name, coupling in [("weak", -0.1), ("strong", -0.5)]:
        write_folder(where / name, spu.compile_problem(spu.GaussianSampling([[2.0, coupling], [coupling, 1.0]])))
    write_folder(where / "network", spu.compile_problem(spu.ThermodynamicNetwork(units=2)))
    write_import(where / "imported", read_netlist(DECK, densities={"i1": 1e-24}))
    (where / "alone.json").write_bytes((where / "weak/device.json").read_bytes())
    (where / "parts").mkdir()
    (where / "parts/values.inc").write_text("r1 a 0 1k\n")
    (where / "including.cir").write_text("a deck\n.include parts/values.inc\nc1 a 0 1n\n.save v(a)\n.end\n")
    return where


@pytest.fixture(scope="module")
def cluster():
    """Two workers whose scheduler runs."""
    distributed = pytest.importorskip("distributed")
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, memory_limit=0, **options) as found:
        yield found.scheduler_address


def figures(found, *paths):
    """All that a check says, but for the time it took."""
    text = json.dumps(plain(found.to_dict()))
    for path in paths:
        text = text.replace(str(path), "HERE")
    data = json.loads(text)
    for each in (data, *data["simulators"]):
        for level in each["levels"].values():
            del level["seconds"]
    return data


NAMES = ("weak", "strong", "network", "imported", "alone.json", "including.cir")


def test_each_is_what_its_own_check_says_here_and_on_workers(folders, cluster):
    paths = [folders / name for name in NAMES]
    levels = ["ideal", "answer", "op", "ac"]
    alone = [spu.check(path, levels=levels) for path in paths]
    for where in (None, cluster):
        found = spu.check_many(paths, levels=levels, cluster=where)
        assert found.names == tuple(map(str, paths))
        for one, other in zip(found.checks, alone, strict=True):
            assert figures(one) == figures(other)
            assert all(np.array_equal(one.covariances[key], other.covariances[key]) for key in other.covariances)


def test_what_fails_is_found_with_its_diagnosis(folders, tmp_path):
    shutil.copytree(folders / "strong", tmp_path / "edited")
    deck = tmp_path / "edited/device.cir"
    changed = deck.read_text().replace("xcell_x1 ", "rmore n_x1 0 20k\nxcell_x1 ", 1)
    assert changed != deck.read_text()
    deck.write_text(changed)
    found = spu.check_many([folders / "weak", tmp_path / "edited"], levels=["ac"])
    assert [each.verdict for each in found.checks] == ["pass", "fail"]
    assert found.verdict == "fail" and found.exit_status == 1
    alone = spu.check(tmp_path / "edited", levels=["ac"])
    assert alone.diagnosis.best is not None and found.checks[1].diagnosis == alone.diagnosis
    said = str(found)
    assert "FAIL" in said and f"{tmp_path / 'edited'}: ac: " in said and "2 folders" in said
    assert "spu-checks" not in said  # where it was done


def test_a_missing_ngspice_is_said_of_whom_and_nothing_is_kept(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    with pytest.raises(NgspiceMissing, match=r"piece 0 of checks: this machine: NGSPICE_LIBRARY_PATH names"):
        spu.check_many([folders / "weak"], levels="ac", directory=tmp_path / "keep")
    with pytest.raises(NgspiceMissing, match=r"piece 0 of checks: the worker tcp://127.0.0.1:\d+: NGSPICE_LIBRARY"):
        spu.check_many([folders / "weak"], levels="ac", directory=tmp_path / "keep", cluster="local:1")
    monkeypatch.delenv("NGSPICE_LIBRARY_PATH")
    assert spu.check_many([folders / "weak"], levels="ac", directory=tmp_path / "keep").verdict == "pass"


def test_what_is_kept_is_not_done_again_unless_its_files_changed(folders, tmp_path, monkeypatch):
    shutil.copytree(folders / "strong", tmp_path / "other")
    names = [folders / "weak", tmp_path / "other"]
    before = spu.check_many(names, levels="ac", directory=tmp_path / "keep")
    done = []
    from spu.studies import checks

    monkeypatch.setattr(checks, "check", lambda path, **given: done.append(path) or spu.check(path, **given))
    again = spu.check_many(names, levels="ac", directory=tmp_path / "keep")
    assert not done and [figures(each) for each in again.checks] == [figures(each) for each in before.checks]
    deck = tmp_path / "other/device.cir"
    deck.write_text(deck.read_text() + "* a remark\n")
    with pytest.warns(UserWarning, match="was done for something else"):
        spu.check_many(names, levels="ac", directory=tmp_path / "keep")
    assert len(done) == 1


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        ("weak", {}, UsageError, "folders are a list of them"),
        (["weak", "weak"], {}, UsageError, "is there twice"),
        (["nowhere"], {}, spu.InputError, "nowhere: no such file"),
        (["weak"], {"simulator": "xspice"}, UsageError, "no simulator 'xspice'"),
        (["weak"], {"simulator": object()}, OptionError, "simulator is a name here"),
        (["weak"], {"levels": ["opp"]}, UsageError, r"piece 0 of checks: .*weak: no level 'opp'"),
    ],
)
def test_what_is_refused(folders, given, options, error, message):
    names = folders / given if isinstance(given, str) else [folders / name for name in given]
    with pytest.raises(error, match=message):
        spu.check_many(names, **options)


def command(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_command_line(folders, tmp_path):
    names = [folders / "weak", folders / "strong"]
    found = command("check", *names, "--level", "ac", "--json", "-o", tmp_path / "keep")
    said = json.loads(found.stdout)
    assert found.exit_code == 0 and said["verdict"] == "pass" and said["output"] == str(tmp_path / "keep")
    assert [each["name"] for each in said["checks"]] == [str(name) for name in names]
    drawn = command("check", *names, "--level", "ac", "-o", tmp_path / "keep", "--plot", tmp_path / "a.png")
    assert drawn.exit_code == 0 and (tmp_path / "a.png").stat().st_size > 1000
    assert "2 folders. PASS" in drawn.stdout
    for words, message in [
        ([*names, "--netlist", "a.cir"], "--netlist is not for many folders"),
        ([*names, "--clamp", "x1=1"], "--clamp is not for many folders"),
        ([*names, "--include-outside"], "--include-outside is not for many folders"),
        ([*names, "--restart"], "--restart is for checks that are kept"),
        ([names[0], "--threads", "2"], "--threads is not for one folder"),
        ([names[0], "--restart"], "--restart is not for one folder"),
    ]:
        refused = command("check", *words)
        assert refused.exit_code == 2 and message in refused.stderr, refused.stderr


SCRIPT = """
import sys
import spu
if __name__ == "__main__":
    keep, cluster, *folders = sys.argv[1:]
    spu.check_many(folders, levels=["op", "ac", "replay"], directory=keep, cluster=cluster)
"""


def finished(keep):
    return {file: file.stat().st_mtime_ns for file in keep.glob("study/pieces/checks/*.npz")}


def test_killed_it_goes_on_and_does_nothing_twice(folders, tmp_path):
    """A worker is killed, then the whole job; the rerun has the numbers of an undisturbed one."""
    paths = []
    for number in range(6):
        paths.append(tmp_path / f"folder{number}")
        shutil.copytree(folders / ("weak" if number % 2 else "strong"), paths[-1])
    (tmp_path / "script.py").write_text(SCRIPT)
    keep = tmp_path / "keep"
    process = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(keep), "local:2", *map(str, paths)])
    try:
        wait_for(lambda: len(finished(keep)) >= 1, process)
        workers = [each for each in psutil.Process(process.pid).children(recursive=True) if is_worker(each)]
        assert workers
        workers[0].kill()
        wait_for(lambda: len(finished(keep)) >= 3, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = finished(keep)
    assert 3 <= len(before) < 6
    found = spu.check_many(paths, levels=["op", "ac", "replay"], directory=keep)
    after = finished(keep)
    assert len(after) == 6 and all(after[file] == when for file, when in before.items())
    undisturbed = spu.check_many(paths, levels=["op", "ac", "replay"])
    assert [figures(each) for each in found.checks] == [figures(each) for each in undisturbed.checks]


def is_worker(process):
    return "spawn_main" in " ".join(process.cmdline())


def wait_for(condition, process, seconds=90.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
