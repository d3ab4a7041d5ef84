"""Words of long work: when they are said, and what is said of the time."""

from __future__ import annotations

import re
import time

import pytest

from spu.base import progress as progress_module
from spu.base.progress import Heartbeat, Progress, so_far


class Clock:
    """Time as a test wants it."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        for name in ("monotonic", "perf_counter"):
            monkeypatch.setattr(progress_module.time, name, lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_what_is_left_is_by_what_was_done(clock):
    begun = clock.now
    clock.now += 40.0
    assert so_far(begun, 2, 6, "runs") == "2 of 6 runs, about 80 s left"
    assert so_far(begun, 6, 6, "runs") == "6 of 6 runs"


def test_steps_wait_for_patience_and_then_come_rarely(clock):
    said: list[str] = []
    progress = Progress(said.append, every=30.0, patience=10.0)
    for done in range(101):
        progress.step(done, 100, of_what="simulating")
        clock.now += 1.0
    assert said == [
        "simulating: 10 of 100, about 90 s left",
        "simulating: 40 of 100, about 60 s left",
        "simulating: 70 of 100, about 30 s left",
        "simulating: 100 of 100",
    ]


def test_words_are_said_at_once():
    said: list[str] = []
    with Heartbeat(said.append, every=30.0) as tell:
        tell("ac")
        tell("replay")
        assert said == ["ac", "replay"]
    assert said == ["ac", "replay"]


def test_short_work_says_nothing_with_patience():
    said: list[str] = []
    with Heartbeat(said.append, every=30.0, patience=10.0) as tell:
        tell("ac")
    assert said == []


def test_the_last_words_are_said_after_patience_and_then_that_it_goes_on():
    """By the real clock: words that were overtaken stay unsaid; the thread ends with the work."""
    said: list[tuple[float, str]] = []
    begun = time.monotonic()
    with Heartbeat(lambda words: said.append((time.monotonic() - begun, words)), every=0.2, patience=0.1) as tell:
        tell("ac")
        tell("replay")
        while len(said) < 3:
            time.sleep(0.01)
            assert time.monotonic() - begun < 60
    words = [each for _, each in said]
    assert words[0] == "replay" and said[0][0] >= 0.1
    assert all(re.fullmatch("replay: [0-9]+ s so far", each) for each in words[1:])
    assert not tell._thread.is_alive()
    count = len(said)
    time.sleep(0.3)
    assert len(said) == count


@pytest.mark.parametrize(
    ("seconds", "words"), [(30.2, "30 s"), (99.4, "99 s"), (150.0, "2 min"), (5990.0, "100 min"), (7200.0, "2.0 h")]
)
def test_time_so_far(seconds, words):
    assert progress_module._elapsed(seconds) == words
