"""The SLURM script of docs/howto/clusters.md, as it stands there, against a queue that runs each job at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import spu
from spu.folder import write_folder

PAGE = (Path(__file__).parents[2] / "docs/howto/clusters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"^```(?:python|console|text)\n(.*?)^```$", PAGE.partition("## On SLURM")[2], re.MULTILINE | re.DOTALL
)

SPU = (sys.executable, "-c", "from spu.cli import main; main()")

SBATCH = """#!/bin/bash
cp "$1" {jobs}/$$.script
setsid bash {jobs}/$$.script > {jobs}/$$.out 2>&1 < /dev/null &
echo $! > {jobs}/$$.pid
echo "Submitted batch job $$"
"""
SCANCEL = """#!/bin/bash
kill -TERM -- -$(cat {jobs}/$1.pid) 2> /dev/null
rm -f {jobs}/$1.pid
"""


@pytest.fixture
def queue(tmp_path):
    """Programs sbatch and scancel on the path, and a folder of what was submitted."""
    jobs, programs = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    programs.mkdir()
    for name, text in [("sbatch", SBATCH), ("scancel", SCANCEL), ("squeue", "#!/bin/bash\n")]:
        (programs / name).write_text(text.format(jobs=jobs))
        (programs / name).chmod(stat.S_IRWXU)
    yield jobs, {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for file in jobs.glob("*.pid"):
        end(int(file.read_text()))


def end(pid):
    """A job and all that it started."""
    try:
        job = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    for each in [*job.children(recursive=True), job]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def test_the_script_of_the_page_runs_a_study_on_jobs(queue, tmp_path):
    jobs, environment = queue
    (tmp_path / "slurm.py").write_text(
        BLOCKS[0].replace("cores=8,", "cores=2,").replace("processes=8,", "processes=2,")
    )
    for name, coupling in [("weak", -0.1), ("strong", -0.5)]:
        write_folder(tmp_path / name, spu.compile_problem(spu.GaussianSampling([[2.0, coupling], [coupling, 1.0]])))
    study = [*SPU, "check", "weak", "strong", "--level", "ac", "--level", "replay", "-o", "keep", "--json"]
    command = [sys.executable, "slurm.py", "2", *study]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["verdict"] == "pass" and [each["name"] for each in said["checks"]] == ["weak", "strong"]
    for each in said["checks"]:
        alone = spu.check(tmp_path / each["name"], levels=["ac", "replay"])
        assert {name: level["error"] for name, level in each["levels"].items()} == {
            name: level.error for name, level in alone.levels.items()
        }
    assert len(list(jobs.glob("*.script"))) == 2  # jobs were submitted, and ended with the script
    until = time.monotonic() + 20
    while [file for file in jobs.glob("*.pid") if psutil.pid_exists(int(file.read_text()))]:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_job_script_that_the_page_shows_is_the_one_that_is_submitted():
    given = re.search(r"SLURMCluster\((.*?)\n    \) as slurm", BLOCKS[0], re.DOTALL)[1]
    # In a process of its own: what is imported there takes signals away from whoever imports it.
    program = f"""
import sys
from dask_jobqueue import SLURMCluster
if __name__ == "__main__":
    with SLURMCluster({given}
        interface='lo') as slurm:
        print(slurm.job_script().replace(sys.executable, "PYTHON").replace(slurm.scheduler_address, "ADDRESS"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    script = done.stdout
    shown = [block for block in BLOCKS if block.startswith("#!")]
    assert script.replace(" --interface lo", "").strip() == shown[0].strip()


def test_a_killed_script_leaves_what_is_done(queue, tmp_path, monkeypatch):
    """`kill -9` of the script: its study goes on without it, here, and does nothing twice."""
    _, environment = queue
    text = BLOCKS[0].replace("cores=8,", "cores=1,").replace("processes=8,", "processes=1,")
    (tmp_path / "slurm.py").write_text(text)
    names = [f"device{k}" for k in range(5)]
    for k, name in enumerate(names):
        write_folder(tmp_path / name, spu.compile_problem(spu.GaussianSampling([[2.0, -0.1 * k], [-0.1 * k, 1.0]])))
    study = [*SPU, "check", *names, "--level", "ac", "--level", "replay", "-o", "keep"]
    command = [sys.executable, "slurm.py", "1", *study]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    pieces = tmp_path / "keep/study/pieces/checks"
    try:
        until = time.monotonic() + 90
        while len(list(pieces.glob("*.npz"))) < 2:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, 9)
        process.wait()
    before = {file: file.stat().st_mtime_ns for file in pieces.glob("*.npz")}
    paths = [tmp_path / name for name in names]
    levels = ["ac", "replay"]
    assert 2 <= len(before) < 5
    monkeypatch.chdir(tmp_path)
    found = spu.check_many(names, levels=levels, directory="keep")
    assert len(found.checks) == 5 and all(file.stat().st_mtime_ns == when for file, when in before.items())
    for path, each in zip(paths, found.checks, strict=True):
        alone = spu.check(path, levels=levels)
        assert [level.error for level in each.levels.values()] == [level.error for level in alone.levels.values()]
