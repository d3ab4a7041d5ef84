"""Threads: how many there are, and BLAS held to one of them where more would only get in the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

SMALL = 128
"""Rows of matrices up to which BLAS is as fast on one thread: waking and awaiting others costs more than they do."""


def available_threads() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@cache
def _libraries() -> ThreadpoolController:
    """The BLAS libraries of this process: looking for them takes milliseconds, more than a short run."""
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


def blas_threads_for(rows: int) -> AbstractContextManager[None]:
    """Hold BLAS to one thread where matrices have few rows."""
    return one_blas_thread() if rows <= SMALL else nullcontext()
