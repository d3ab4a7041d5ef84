"""Asking long work to stop between two of its blocks."""

from __future__ import annotations

import signal
import threading


class Interrupt:
    """Holds ctrl-C back until the chunk at hand is counted whole; elsewhere than in the main thread, nothing."""

    def __init__(self) -> None:
        self.seen = False

    def __enter__(self) -> Interrupt:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_: object) -> None:
        self.seen = True

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
