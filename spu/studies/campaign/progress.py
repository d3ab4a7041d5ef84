"""How far long work is, in words, with an estimate of what remains."""

from __future__ import annotations

import time
from collections.abc import Callable

from spu.base.numbers import in_words

__all__ = ["Progress"]


class Progress:
    """Where long work says how far it is.

    Parameters
    ----------
    say:
        Takes one line; None says nothing.
    every:
        Seconds that pass at least between two lines of how far it is. What happened is said at once.
    """

    def __init__(self, say: Callable[[str], None] | None, every: float = 10.0) -> None:
        self._say = say
        self._every = every
        self._begun: dict[tuple[str, int], tuple[float, int]] = {}
        self._last = 0.0

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
