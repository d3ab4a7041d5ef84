"""`kill -9` of a worker and of the whole job: a yield goes on with the same numbers, and does nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
from killing import killed_at

import spu

A = [[2.0, -0.5], [-0.5, 1.0]]
TOLERANCE = "cell.capacitance=2%,cell.capacitance.process=2%,coupler.capacitance=2%"

SCRIPT = f"""
import sys
import spu
if __name__ == "__main__":
    device = spu.compile({A})
    spu.yields(device, 1.0, metric="stability-margin", tolerance={TOLERANCE!r}, draws=1250, seed=3,
               distance=False, directory=sys.argv[1], cluster=sys.argv[2])
"""


def found_in(directory, **given):
    options = {"metric": "relative-error", "draws": 1000, "distance": False, "seed": 3, **given}
    limit = options.pop("limit", 0.05)
    return spu.yields(spu.compile(A), limit, tolerance=TOLERANCE, directory=directory, **options)


def pieces(directory):
    return {file: file.stat().st_mtime_ns for file in (directory / "study/pieces/boards").glob("*.npz")}


def same(one, other):
    return (
        np.array_equal(one.values, other.values)
        and (one.rate, one.interval) == (other.rate, other.interval)
        and one.to_dict()["contributions"] == other.to_dict()["contributions"]
    )


def test_killed_at_any_step_a_yield_goes_on(tmp_path):
    """At every third change of the file system: what was finished lies there as it was."""
    undisturbed = found_in(None)
    killed, kept = 0, 0
    for step in range(0, 1000, 3):
        directory = tmp_path / str(step)
        ended = not killed_at(step, lambda directory=directory: found_in(directory))
        before = pieces(directory)
        again = found_in(directory)
        after = pieces(directory)
        assert same(again, undisturbed) and len(after) == 4
        assert all(after[file] == when for file, when in before.items())
        assert list(directory.rglob(".spu*")) == []
        if ended:
            break
        killed += 1
        kept += len(before)
    assert killed > 3 and kept > 0


def test_a_killed_worker_and_a_killed_job(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    directory = tmp_path / "out"
    process = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(directory), "local:2"])
    try:
        wait_for(lambda: len(pieces(directory)) >= 1, process)
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [each for each in children if "spawn_main" in " ".join(each.cmdline())]
        assert workers
        workers[0].kill()
        wait_for(lambda: len(pieces(directory)) >= 2, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = pieces(directory)
    assert 2 <= len(before) < 5
    options = {"metric": "stability-margin", "draws": 1250, "limit": 1.0}
    again = found_in(directory, **options)
    after = pieces(directory)
    assert len(after) == 5 and all(after[file] == when for file, when in before.items())
    assert same(again, found_in(None, **options))


def wait_for(condition, process, seconds=120.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.005)
