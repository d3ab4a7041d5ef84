"""Studies: the same numbers whoever does the pieces, and nothing lost whatever ends them."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import distributed
import numpy as np
import psutil
import pytest
from campaign_pieces import deadly, descend, piece, refusing
from killing import killed_at

from spu.base.errors import InputError, OptionError, OutputError, SystemFailure, UsageError
from spu.base.process import aside_folder
from spu.base.threads import at_most, available_threads
from spu.studies.campaign import Progress, dask_workers, open_study, open_workers, seed_of_piece
from spu.studies.campaign.kept import digest_of_item, read_kept, write_kept

SCRIPT = Path(__file__).parents[1] / "campaign_pieces.py"
ITEMS = [{"seed": seed_of_piece(3, number)} for number in range(12)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler that runs, with two processes."""
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    scratch = str(tmp_path_factory.mktemp("dask"))
    found = distributed.LocalCluster(n_workers=2, memory_limit=0, local_directory=scratch, **options)
    yield found
    dask_workers._close(found)  # as ours are closed: Dask's own books may miss a worker that was killed (KeyError)


@pytest.fixture(scope="module")
def expected():
    with open_workers() as workers:
        return workers.map(piece, ITEMS, shared=np.ones(1))


def same(found, expected):
    return all(
        np.array_equal(one["sum"], other["sum"]) and one["total"] == other["total"]
        for one, other in zip(found, expected, strict=True)
    )


def damage(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


# --- pieces and workers --------------------------------------------------------------------


def test_a_seed_is_of_its_piece_alone():
    assert seed_of_piece(7, 3) == int(np.random.SeedSequence(7, spawn_key=(17, 3)).generate_state(1, np.uint64)[0]) >> 1
    assert len({seed_of_piece(seed, *k) for seed in (0, 1, 2**70) for k in ((0,), (1,), (0, 1), (1, 0))}) == 12
    assert all(0 <= seed_of_piece(7, number) < 2**63 for number in range(100))


@pytest.mark.parametrize("count", [2, 5, 1])
def test_the_same_bits_on_any_number_of_workers(cluster, expected, count):
    cluster.scale(count)
    cluster.wait_for_workers(count, timeout=60)
    finished = []
    with open_workers(cluster.scheduler_address) as workers:
        found = workers.map(piece, ITEMS, lambda place, _: finished.append(place), shared=np.ones(1))
    assert same(found, expected) and sorted(finished) == list(range(12))


def test_results_come_in_the_order_of_items(cluster):
    with open_workers(cluster.scheduler_address) as workers:
        items = [{"seed": k, "sleep": 0.3 * (k == 0)} for k in range(150)]  # more than are sent at once
        assert [each["seed"] for each in workers.map(piece, items)] == list(range(150))


def test_a_lost_worker_is_said_and_its_piece_done_again(cluster, expected, tmp_path):
    said = []
    with open_workers(cluster.scheduler_address, say=said.append) as workers:
        items = [{**item, "mark": str(tmp_path / "mark"), "times": 1} for item in ITEMS[:3]]
        items += [{**item, "mark": str(tmp_path / "other"), "times": 0, "sleep": 1.0} for item in ITEMS[3:6]]
        found = workers.map(deadly, items)
    with open_workers() as workers:
        assert same(found, workers.map(piece, ITEMS[:6]))
    assert any("1 worker lost: their pieces are done again" in words for words in said)


def test_a_piece_that_ends_every_worker_is_named(cluster, tmp_path):
    """It is the last, and slow: others are done by then, as one that waits at a lost worker has been there, too."""
    with open_study(tmp_path / "out", "x", {}, cluster=cluster.scheduler_address) as study:
        items = [{"seed": k, "mark": str(tmp_path / str(k)), "times": 9 * (k == 2), "before": 2.0} for k in range(3)]
        with pytest.raises(SystemFailure, match="piece 2 of a was at 4 workers one after the other"):
            study.pieces("a", deadly, items)
    kept = {file.name for file in (tmp_path / "out/study/pieces/a").iterdir()}
    assert kept == {"000000.npz", "000001.npz"}


def test_a_worker_of_another_version_is_refused_by_name(tmp_path):
    """And one is awaited where there is none."""
    options = {"n_workers": 0, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster:

        def worker(preload):
            command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
            command += ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]
            environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
            return subprocess.Popen([*command, "--preload", preload], env=environment, stderr=subprocess.DEVNULL)

        said = []
        with open_workers(cluster.scheduler_address, say=said.append) as workers:
            assert said == [f"no worker at {cluster.scheduler_address} yet: waiting for one"]
            for preload, message in [
                (
                    "import spu.base.version as v; v.__version__ = '0.0.7'",
                    "tcp://.* has spu 0.0.7, and this",
                ),
                ("import sys; sys.modules['spu'] = None", "has no spu: install the same there"),
            ]:
                process = worker(preload)
                try:
                    with pytest.raises(UsageError, match=message):
                        workers.map(piece, ITEMS)
                finally:
                    process.kill()
                    process.wait()


def test_a_scheduler_that_goes_away_leaves_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "_PATIENCE", 1.0)
    cluster = distributed.LocalCluster(
        1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=None, silence_logs=50
    )
    with open_study(tmp_path / "out", "x", {}, cluster=cluster.scheduler_address) as study:
        begun = []

        def gone(words):
            if not begun:
                begun.append(time.monotonic())
                cluster.close()

        study._progress = Progress(gone, every=0.0)
        with pytest.raises(SystemFailure, match=r"the scheduler of tcp://.* what is finished is kept"):
            study.pieces("a", piece, [{"seed": k, "sleep": 0.1} for k in range(20)], said="a")
    assert time.monotonic() - begun[0] < 20
    assert 1 <= len(list((tmp_path / "out/study/pieces/a").iterdir())) < 20


def test_a_scheduler_that_does_not_answer_is_one_line_in_seconds(monkeypatch):
    monkeypatch.setattr(dask_workers, "_PATIENCE", 1.0)
    begun = time.monotonic()
    with pytest.raises(SystemFailure) as caught, open_workers("tcp://127.0.0.1:1"):
        pass
    assert "no scheduler answers at tcp://127.0.0.1:1" in str(caught.value) and "\n" not in str(caught.value)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("cluster", "threads", "message"),
    [
        ("here", None, "cluster is local, local:N or tcp://HOST:PORT, not 'here'"),
        ("local:0", None, "cluster is local"),
        ("http://host:80", None, "cluster is local"),
        ("tcp://host", None, "cluster is local"),
        ("tcp://host:8786", 2, "threads is not for cluster tcp://host:8786"),
        ("local:2", 2, "threads is not for cluster local:2"),
        (None, 0, "threads must be positive"),
    ],
)
def test_options_without_meaning(cluster, threads, message):
    with pytest.raises(OptionError, match=message), open_workers(cluster, threads=threads):
        pass


def test_dask_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'spu-emulator\[cluster\]'"), open_workers("local"):
        pass


def test_loops_take_no_more_threads_than_they_may():
    free = available_threads()
    with at_most(1):
        assert available_threads() == 1
        with at_most(None):
            assert available_threads() == free
    with open_workers(threads=1):
        assert available_threads() == 1
    assert available_threads() == free


# --- what a folder keeps -------------------------------------------------------------------


def test_finished_pieces_are_not_done_again(tmp_path, monkeypatch):
    with open_study(tmp_path / "out", "x", {"seed": 3}) as study:
        first = study.pieces("a", piece, ITEMS[:4])
    for number in (1, 3):
        (tmp_path / f"out/study/pieces/a/00000{number}.npz").unlink()
    said, done = [], []
    with open_study(tmp_path / "out", "x", {"seed": 3}, progress=said.append) as study:
        monkeypatch.setattr(study.workers, "map", _noting(study.workers.map, done))
        again = study.pieces("a", piece, ITEMS[:4])
    assert done == [ITEMS[1], ITEMS[3]] and said == ["a: 2 of 4 pieces are there already"]
    assert same(first, again) and [each["pair"] for each in first + again] == [[1, 2]] * 8
    assert all(type(each["seed"]) is int for each in first)


def _noting(function, done):
    def noted(what, items, *arguments, **options):
        done.extend(items)
        return function(what, items, *arguments, **options)

    return noted


def test_a_damaged_piece_is_done_again_and_said(tmp_path):
    with open_study(tmp_path / "out", "x", {}) as study:
        first = study.pieces("a", piece, ITEMS[:3])
    files = sorted((tmp_path / "out/study/pieces/a").iterdir())
    damage(files[0])
    np.savez(files[1], about=np.array([{"executed": "never"}], dtype=object))
    said = []
    with open_study(tmp_path / "out", "x", {}, progress=said.append) as study:
        assert same(study.pieces("a", piece, ITEMS[:3]), first)
    assert sum("it is done again" in words for words in said) == 2
    damage(files[2])
    with open_study(tmp_path / "out", "x", {}) as study, pytest.warns(UserWarning, match="000002.npz.*done again"):
        study.pieces("a", piece, ITEMS[:3])


def test_a_piece_of_another_item_is_done_again(tmp_path):
    with open_study(tmp_path / "out", "x", {}) as study:
        study.pieces("a", piece, ITEMS[:2])
    with open_study(tmp_path / "out", "x", {}) as study, pytest.warns(UserWarning, match="for something else"):
        assert study.pieces("a", piece, [ITEMS[0], ITEMS[5]])[1]["seed"] == ITEMS[5]["seed"]


@pytest.mark.parametrize("where", ["here", "dask"])
def test_a_piece_that_raises_is_named_and_others_are_kept(tmp_path, request, where):
    cluster = request.getfixturevalue("cluster").scheduler_address if where == "dask" else None
    with open_study(tmp_path / "out", "x", {}, cluster=cluster) as study:
        with pytest.raises(InputError) as caught:
            study.pieces("a", refusing, [{"seed": k} for k in range(2)] + [{"seed": 2}])
        assert str(caught.value) == "piece 2 of a: this seed diverges"
        assert "000002.npz" not in os.listdir(tmp_path / "out/study/pieces/a")  # noqa: PTH208
        if where == "here":
            assert len(list((tmp_path / "out/study/pieces/a").iterdir())) == 2


def test_what_is_not_plain_is_not_kept(tmp_path):
    with open_study(tmp_path / "out", "x", {}) as study:
        for result, message in [
            (5, "piece 0 of a gave int: a dictionary"),
            ({"a": object()}, "neither an array nor plain: object"),
            ({"a": np.array([{}])}, "an array 'a' of object"),
            ({str(k): np.zeros(1) for k in range(64)}, "gave 64 arrays"),
        ]:
            with pytest.raises(UsageError, match=message):
                study.pieces("a", lambda _, result=result: result, [{}])
        with pytest.raises(UsageError, match="an item of a kept piece holds object"):
            study.pieces("a", piece, [object()])
        with pytest.raises(UsageError, match=r"pieces are called '../a'"):
            study.pieces("../a", piece, [])


def test_items_differ_where_their_content_does():
    items = [
        None,
        0,
        1,
        True,
        1.0,
        "1",
        [1],
        [[1]],
        {"a": 1},
        {"a": [1]},
        np.ones(2),
        np.ones((1, 2)),
        np.ones(2, "f4"),
    ]
    assert len({digest_of_item(item) for item in items}) == len(items)
    assert digest_of_item({"a": 1, "b": (2,)}) == digest_of_item({"b": [2], "a": np.int64(1)})


# --- checkpoints ---------------------------------------------------------------------------


def test_two_checkpoints_are_kept_and_a_damaged_one_gives_way_to_the_other(tmp_path):
    state = descend(tmp_path / "out")
    study = tmp_path / "out/study"
    assert sorted(each.name for each in study.glob("checkpoint*")) == ["checkpoint-2.npz", "checkpoint-3.npz"]
    assert np.array_equal(descend(tmp_path / "out"), state)
    damage(study / "checkpoint-3.npz")
    said = []
    assert np.array_equal(descend(tmp_path / "out", progress=said.append), state)
    assert "checkpoint-3.npz: is" in said[0] and said[0].endswith("going on from what is before it")
    assert said[1].startswith("going on from the checkpoint of 20")
    for file in study.glob("checkpoint*"):
        file.write_bytes(file.read_bytes()[:100])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert np.array_equal(descend(tmp_path / "out"), state)
    assert "no checkpoint is whole: beginning anew" in str(caught[-1].message)


def test_a_checkpoint_has_everything_as_it_was(tmp_path):
    arrays = {"a": np.arange(3, dtype="f4"), "b": np.array(["x", "yz"]), "c": np.eye(2) > 0, "d": np.array(np.nan)}
    info = {"step": 3, "loss": 0.1, "limit": float("inf"), "name": "ä", "list": [1, [2.5, None]]}
    with open_study(tmp_path / "out", "x", {}) as study:
        assert study.resumed() is None and not study.due() and study.due(0.0)
        study.checkpoint(arrays, info)
        found, about = study.resumed()
    assert about == info and found.keys() == arrays.keys()
    assert all(
        found[key].tobytes() == arrays[key].tobytes() and found[key].dtype == arrays[key].dtype for key in arrays
    )


def test_killed_at_any_step_it_goes_on_with_the_same_bits(tmp_path):
    expected = descend(None)
    for step in range(1000):
        directory = tmp_path / str(step)
        killed = killed_at(step, lambda directory=directory: descend(directory))
        assert np.array_equal(descend(directory), expected)
        assert list(directory.rglob(".spu*")) == []
        if not killed:
            break
    assert step > 30


def test_killed_again_and_again_it_gets_there(tmp_path):
    """Each run of the same folder does a few more changes of the file system than the first."""
    steps = 0
    while killed_at(14, lambda: descend(tmp_path / "out")):
        steps += 1
    assert steps > 1 and np.array_equal(descend(tmp_path / "out"), descend(None))


def _start(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def _checkpoints(directory):
    return list((directory / "study").glob("checkpoint-*.npz"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_study_on_processes_that_is_ended_from_outside(tmp_path, number):
    """At a random moment: no process is left, and the same command ends with the same bits."""
    process = _start(tmp_path / "out", 0.2, "local:2")
    try:
        _wait_for(lambda: _checkpoints(tmp_path / "out"))
        time.sleep(random.Random(int(number)).uniform(0.0, 0.4))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert len(children) >= 2 and stdout == ""
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    if number == signal.SIGINT:
        assert stderr == "interrupted\n"
    _wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children), 10)
    assert np.array_equal(descend(tmp_path / "out", 4), descend(None, 4))


def test_ctrl_c_keeps_the_checkpoint(tmp_path):
    process = _start(tmp_path / "out", 0.2, "")
    _wait_for(lambda: _checkpoints(tmp_path / "out"))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "interrupted\n") and process.returncode == 130
    assert [path.name for path in (tmp_path / "out").rglob(".spu*")] == []
    again = _start(tmp_path / "out", 0.0, "")
    assert again.communicate(timeout=60) == (descend(None, 4).tobytes().hex() + "\n", "")


def test_a_disk_that_is_full_loses_nothing(tmp_path):
    descend(tmp_path / "out")
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_study(tmp_path / "out", "descent", {"seed": 5, "steps": 3}) as study:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(OutputError, match=r"cannot be written: File too large \(what is finished") as caught:
                study.checkpoint({"a": np.zeros(10_000)}, {})
            with pytest.raises(OutputError, match=r"000000.npz: cannot be written"):
                study.pieces("large", lambda _: {"a": np.zeros(10_000)}, [{}])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before


# --- whose folder it is --------------------------------------------------------------------


def test_a_folder_of_another_study_is_refused_by_what_differs(tmp_path):
    spec = {"seed": 1, "layers": [3, 4], "rate": {"first": 0.1, "last": 0.01}}
    with open_study(tmp_path / "out", "generative", spec) as study:
        study.checkpoint({}, {"step": 1})
    other = {**spec, "seed": 2, "rate": {"first": 0.1, "last": 0.02}}
    with (
        pytest.raises(
            InputError, match=r"of another study \(seed is 1 there and 2 here; rate.last is 0.01 there and 0.02 here\)"
        ),
        open_study(tmp_path / "out", "generative", other),
    ):
        pass
    with pytest.raises(InputError, match="kind is 'generative' there and 'x'"), open_study(tmp_path / "out", "x", spec):
        pass
    with open_study(tmp_path / "out", "generative", spec) as study:
        assert study.resumed()[1] == {"step": 1}
    with open_study(tmp_path / "out", "x", other, restart=True) as study:
        assert study.resumed() is None
        study.pieces("a", piece, ITEMS[:1])
    file = tmp_path / "out/study/study.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "program": {"spu": "0.0.1", "kernels": "abc"}}))
    with pytest.raises(InputError, match=r"\(spu is '0.0.1' there"), open_study(tmp_path / "out", "x", other):
        pass
    file.write_text("{")
    with pytest.raises(InputError, match="--restart begins anew"), open_study(tmp_path / "out", "x", other):
        pass


def test_two_at_one_folder(tmp_path):
    with open_study(tmp_path / "out", "x", {}):
        with (
            pytest.raises(OutputError, match="another process is at the study in this folder"),
            open_study(tmp_path / "out", "x", {}, restart=True),
        ):
            pass
        process = _start(tmp_path / "out", 0.0, "")
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 2 and stderr.count("\n") == 1 and "another process" in stderr
    with open_study(tmp_path / "out", "x", {}):
        pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine/study").mkdir(parents=True)
    (tmp_path / "mine/study/notes.txt").write_text("mine")
    for directory, message in [
        ("file", "cannot be written: File exists"),
        ("file/below", "cannot be written: Not a directory"),
        ("missing/below", "cannot be written: No such file"),
        ("mine", "holds 'notes.txt' and no study.json: it is no study's folder"),
    ]:
        with pytest.raises(OutputError, match=message), open_study(tmp_path / directory, "x", {}, restart=True):
            pass
    assert (tmp_path / "mine/study/notes.txt").read_text() == "mine"


def test_a_kept_file_that_is_no_file_of_ours(tmp_path):
    with aside_folder(tmp_path) as aside:
        write_kept(tmp_path / "a.npz", {"a": np.arange(3)}, {"b": 1}, aside=aside, durable=True)
    assert read_kept(tmp_path / "a.npz")[1] == {"b": 1}
    np.savez(tmp_path / "b.npz", a=np.arange(3))
    np.savez(tmp_path / "c.npz", a=np.arange(4), about=np.load(tmp_path / "a.npz")["about"])
    for name in ("b.npz", "c.npz"):
        with pytest.raises(InputError, match="is damaged"):
            read_kept(tmp_path / name)


# --- words ---------------------------------------------------------------------------------


def test_progress_is_said_now_and_then_with_what_is_left(monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(said.append, every=10.0)
    progress.step(4, 10, of_what="epochs")
    for done in range(5, 11):
        now[0] += 6.0
        progress.step(done, 10, f"loss {done}", of_what="epochs")
    assert said == [
        "epochs: 5 of 10, loss 5, about 30 s left",
        "epochs: 7 of 10, loss 7, about 20 s left",
        "epochs: 9 of 10, loss 9, about 6 s left",
    ]
    progress("a worker is lost")
    assert said[-1] == "a worker is lost"
