"""Runs that are killed: at every step of replacing a folder it is the old one or the new one, and litter goes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from killing import killed_at

import spu
from spu.base.errors import InputError, OutputError
from spu.base.process import child, scratch_folder, sweep
from spu.cli import cli
from spu.folder import read_folder, rewrite_folder, write_folder, write_import


def compiled(scale=1.0, n=2, ensemble=1):
    matrix = scale * (2.0 * np.eye(n) - 0.5 * np.eye(n, k=1) - 0.5 * np.eye(n, k=-1))
    problem = spu.GaussianSampling(precision=matrix)
    if ensemble == 1:
        return spu.compile_problem(problem)
    return spu.compile_problem(problem, "spu8-8bit", ensemble=ensemble)


@pytest.fixture(scope="module")
def old():
    return compiled(ensemble=2)  # with a file that the new one lacks


@pytest.fixture(scope="module")
def new():
    return compiled(2.0)


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def every_state(base, work):
    """Folders as a kill leaves them, one for each state that is different from the one before."""
    seen = []
    for step in range(1000):
        shutil.rmtree(base.parent / "killed", ignore_errors=True)
        directory = shutil.copytree(base, base.parent / "killed")
        if not killed_at(step, lambda directory=directory: work(directory)):
            assert step > 10
            return
        tree = sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
        state = [len(tree), contents_of_files(directory)]
        if state not in seen[-1:]:
            seen.append(state)
            yield directory
    raise AssertionError("never ends")


def contents_of_files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def run(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


VERBS = {
    "predict": ["predict", "DIR", "--json"],
    "simulate": ["simulate", "DIR", "--samples", "10", "--no-output", "--json"],
    "check": ["check", "DIR", "--level", "ideal", "--json"],
    "inspect": ["inspect", "DIR", "--json"],
    "export": ["export", "DIR", "--json"],
    "program": ["program", "DIR", "--export", "codes.csv", "--json"],
    "compile": ["compile", "a.csv", "-o", "DIR", "--json"],
}


def test_a_killed_replacement_is_the_old_folder_or_the_new_one(tmp_path, monkeypatch, old, new):
    """Killed at every single step; then each verb in turn is the first to see the folder."""
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("3,0\n0,3\n")
    write_folder(tmp_path / "base", old)
    write_folder(tmp_path / "fresh", new)
    before, after = contents(tmp_path / "base"), contents(tmp_path / "fresh")
    outcomes, kinds = set(), list(VERBS)
    for number, directory in enumerate(every_state(tmp_path / "base", lambda place: write_folder(place, new))):
        verb = kinds[number % len(kinds)]
        arguments = [str(directory) if each == "DIR" else each for each in VERBS[verb]]
        result = run(*arguments)
        if verb != "compile":
            assert contents(directory) in (before, after), (number, verb)
        hashes = {old.device.hash, new.device.hash}
        if verb == "inspect":
            assert json.loads(result.stdout)["device_hash"] in hashes
        assert result.exit_code == (2 if verb == "program" and "no codes" in result.stdout else 0), result.output
        outcomes.add(read_folder(directory).device.hash)
        assert not [path for path in directory.iterdir() if path.name.startswith(".spu")]
    assert outcomes >= {old.device.hash, new.device.hash}


def test_the_same_of_programming_and_of_imports(tmp_path, old):
    write_folder(tmp_path / "base", old)
    other = compiled(1.5, ensemble=2)
    folder = read_folder(tmp_path / "base")
    for directory in every_state(
        tmp_path / "base", lambda place: rewrite_folder(read_folder(place), other.device, other.prediction)
    ):
        found = read_folder(directory)
        assert found.device.hash in (folder.device.hash, other.device.hash) and found.compiled is not None
        assert found.compiled["device_hash"] == found.device.hash
    (tmp_path / "two.cir").write_text("* t\nr1 out 0 1k\nc1 out 0 1n\nr2 two 0 2k\nc2 two 0 1n\n.end\n")
    (tmp_path / "one.cir").write_text("* t\nr1 out 0 1k\nc1 out 0 1n\n.end\n")
    probes = {"one.cir": ["out"], "two.cir": ["two"]}
    reads = [spu.read_netlist(tmp_path / name, probes=nodes) for name, nodes in probes.items()]
    shutil.rmtree(tmp_path / "base")
    write_import(tmp_path / "base", reads[0])
    for directory in every_state(tmp_path / "base", lambda place: write_import(place, reads[1])):
        found = read_folder(directory)
        assert found.subject.hash in [read.circuit.hash for read in reads]
        assert json.loads((directory / "circuit.json").read_text())["hash"] == found.subject.hash


def test_a_killed_undoing_is_undone(tmp_path, old, new):
    """A rename fails, and the process is killed anywhere while it puts the old files back."""
    write_folder(tmp_path / "base", old)
    before = contents(tmp_path / "base")
    replace = Path.replace

    def failing(self, target):
        if self.parent.name == "new" and self.name == "problem.json":
            raise OSError(5, "Input/output error")
        return replace(self, target)

    def work(place):
        Path.replace = failing
        write_folder(place, new)

    states = 0
    for directory in every_state(tmp_path / "base", work):
        read_folder(directory)
        found = contents(directory)
        # Killed before it failed for good, its renames are finished instead.
        assert found == before or read_folder(directory).compiled["device_hash"] == new.device.hash
        states += 1
    assert states > 5


def test_an_edit_after_the_kill_is_not_lost(tmp_path, old, new):
    write_folder(tmp_path / "base", old)
    for directory in every_state(tmp_path / "base", lambda place: write_folder(place, new)):
        if (directory / ".spu-replacing" / "new" / "device.cir").exists():
            break
    deck = directory / "device.cir"
    deck.write_text(deck.read_text().replace(".end", "* mine\n.end"))
    mine = deck.read_bytes()
    for refused in (lambda: read_folder(directory), lambda: write_folder(directory, new)):
        with pytest.raises(OutputError, match="was edited after a run was killed") as caught:
            refused()
        assert caught.value.file == str(deck) and deck.read_bytes() == mine
    write_folder(directory, new, force=True)
    assert read_folder(directory).compiled["device_hash"] == new.device.hash


def test_edits_by_hand_are_no_mixture(tmp_path, old):
    """Edited devices and netlists are used as they are, with no journal about."""
    write_folder(tmp_path / "out", old)
    file = tmp_path / "out" / "device.json"
    data = json.loads(file.read_text())
    data["temperature"] = 310.0
    file.write_text(json.dumps(data))
    assert read_folder(tmp_path / "out").device.temperature == 310.0
    assert run("predict", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    "plan",
    [
        {"new": ["../precious"], "old": [], "gone": []},
        {"new": [], "old": [], "gone": ["../precious"]},
        {"new": [], "old": ["/etc/passwd"], "gone": []},
        {"new": [], "gone": []},
        [],
    ],
)
def test_a_journal_names_only_files_of_ours(tmp_path, old, plan):
    write_folder(tmp_path / "out", old)
    (tmp_path / "precious").write_text("mine")
    journal = tmp_path / "out" / ".spu-replacing"
    journal.mkdir()
    (journal / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(InputError, match="not what spu writes there"):
        read_folder(tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "mine"


# --- leftovers -----------------------------------------------------------------------------

OWNER = """
import sys, time
from pathlib import Path
from spu.base.process import aside_file, aside_folder, scratch_folder
with aside_folder(Path(sys.argv[1])), aside_file(Path(sys.argv[1])) as file, scratch_folder("ngspice"):
    file.write_text("half")
    print("there", flush=True)
    time.sleep(600)
"""


def litter(*folders):
    return sorted(path.name for folder in folders for path in folder.iterdir() if "spu" in path.name)


def test_leftovers_go_with_the_next_run_unless_their_owner_lives(tmp_path, monkeypatch, new):
    scratch, work = tmp_path / "tmp", tmp_path / "work"
    scratch.mkdir()
    work.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    write_folder(work, new)
    environment = {**os.environ, "TMPDIR": str(scratch)}
    owners = [
        subprocess.Popen([sys.executable, "-c", OWNER, str(work)], stdout=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    try:
        for owner in owners:
            assert owner.stdout is not None and owner.stdout.readline() == b"there\n"
        assert len(litter(scratch, work)) == 6
        read_folder(work)
        assert len(litter(scratch, work)) == 6  # both live
        owners[0].kill()
        owners[0].wait()
        read_folder(work)
        assert len(litter(scratch, work)) == 3
    finally:
        for owner in owners:
            owner.kill()
            owner.wait()
            owner.stdout.close()
    write_folder(work, new)
    assert litter(scratch, work) == []


def test_what_only_looks_like_a_leftover_stays(tmp_path):
    names = [".spu.notes", "spu-ngspice-1", ".spu.12345678.txt", "spu-8bit-notes-of-mine", ".spurious", ".spu.settings"]
    for name in names:
        (tmp_path / name).write_text("mine")
    folders = ["spu-results-20261128", "spu-ngspice-analysis", ".spu.projects"]
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("mine")
    (tmp_path / "target").write_text("mine")
    (tmp_path / ".spu.abcdefgh").symlink_to(tmp_path / "target")
    (tmp_path / ".spu.abcdefgh.tmp").symlink_to(tmp_path / "target")
    links = [".spu.abcdefgh", ".spu.abcdefgh.tmp"]
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, *folders, *links, "target"}
    assert all((tmp_path / name / "file").read_text() == "mine" for name in folders)


def test_a_child_ends_with_its_block_and_so_do_its_own():
    code = "import subprocess as s; p = s.Popen(['sleep', '99']); print(p.pid, flush=True); p.wait()"
    command = [sys.executable, "-c", code]
    with pytest.raises(ZeroDivisionError), child(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGKILL
    for _ in range(100):
        if not Path(f"/proc/{grandchild}").exists() or "Z" in Path(f"/proc/{grandchild}/stat").read_text().split()[2]:
            break
        time.sleep(0.02)
    else:
        raise AssertionError("it lives")


def test_scratch_folders_are_private(tmp_path):
    with scratch_folder("ngspice") as path:
        assert path.stat().st_mode & 0o777 == 0o700
    assert not path.exists()
