"""How far long work is, in words, with an estimate of what remains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from spu.base.numbers import in_words

__all__ = ["Heartbeat", "Progress", "so_far"]


def so_far(begun: float, done: int, of: int, what: str) -> str:
    """How far work of equal pieces is that began at a time of `time.perf_counter`: ``2 of 6 runs, about 60 s left``."""
    left = (time.perf_counter() - begun) / done * (of - done)
    return f"{done} of {of} {what}{f', {in_words(left)} left' if done < of else ''}"


class Progress:
    """Where long work says how far it is.

    Parameters
    ----------
    say:
        Takes one line; None says nothing.
    every:
        Seconds that pass at least between two lines of how far it is. What happened is said at once.
    patience:
        Seconds before the first of these lines: short work says nothing.
    """

    def __init__(self, say: Callable[[str], None] | None, every: float = 10.0, patience: float = 0.0) -> None:
        self._say = say
        self._every = every
        self._begun: dict[tuple[str, int], tuple[float, int]] = {}
        self._last = time.monotonic() - every + patience

    @property
    def silent(self) -> bool:
        """Whether nobody listens."""
        return self._say is None

    def __call__(self, words: str) -> None:
        """Say what happened."""
        if self._say is not None:
            self._say(words)

    def step(self, done: int, of: int, said: str = "", of_what: str = "") -> None:
        """Say how far it is, unless something was said just now.

        The estimate is by what was done since the first call for the same ``of_what`` and ``of``: call it once before
        the work begins, with what is done already.
        """
        if self._say is None:
            return
        now = time.monotonic()
        begun, before = self._begun.setdefault((of_what, of), (now, done))
        if now - self._last < self._every or done == before:
            return
        self._last = now
        left = (now - begun) / (done - before) * (of - done)
        words = [f"{of_what}{': ' if of_what else ''}{done} of {of}"]
        words += [said] if said else []
        words += [f"{in_words(left)} left"] if done < of else []
        self._say(", ".join(words))


class Heartbeat:
    """Where work says what it is at, and what says that it still is, while it is entered.

    Parameters
    ----------
    say:
        Takes one line.
    every:
        Seconds after which it says how long the same has taken, if nothing was said meanwhile.
    patience:
        Words are said at once where this is zero. Else nothing is said for so many seconds, and after that no more
        often than ``every``: of words that come sooner one after the other, the last.
    """

    def __init__(self, say: Callable[[str], None], every: float, patience: float = 0.0) -> None:
        self._say, self._every, self._patience = say, every, patience
        self._lock = threading.Condition()
        self._words, self._since, self._said = "", 0.0, True
        self._next = time.monotonic() + (patience or every)
        self._over = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
            self._lock.notify()
        self._thread.join()

    def __call__(self, words: str) -> None:
        """Say what is done from now on."""
        with self._lock:
            self._words, self._since, self._said = words, time.monotonic(), False
            if self._patience == 0:
                self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        took = now - self._since
        self._say(f"{self._words}: {_elapsed(took)} so far" if self._said or took >= self._every else self._words)
        self._said, self._next = True, now + self._every

    def _beat(self) -> None:
        with self._lock:
            while not self._over:
                left = self._next - time.monotonic()
                if left > 0:
                    self._lock.wait(left)
                elif self._words:
                    self._tell()
                else:
                    self._next += self._every


def _elapsed(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
