"""Threads: how many there are, and BLAS held to one of them where more would only get in the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache

from threadpoolctl import ThreadpoolController

SMALL = 128
"""Rows of matrices up to which BLAS is as fast on one thread: waking and awaiting others costs more than they do."""


_most: ContextVar[int | None] = ContextVar("most", default=None)


def available_threads() -> int:
    """Processors that this process may use, or as many as `at_most` says."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        found = os.cpu_count() or 1
    return min(found, _most.get() or found)


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Let loops take so many threads at most; None is no limit."""
    token = _most.set(threads)
    try:
        yield
    finally:
        _most.reset(token)


@cache
def _libraries() -> ThreadpoolController:
    """The BLAS libraries of this process: looking for them takes milliseconds, more than a short run."""
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def one_blas_thread_for_good() -> None:
    """Hold BLAS to one thread for the rest of the process: threads of it that set and reset a limit disagree."""
    _libraries().limit(limits=1, user_api="blas")


def blas_threads_for(rows: int) -> AbstractContextManager[None]:
    """Hold BLAS to one thread where matrices have few rows."""
    return one_blas_thread() if rows <= SMALL else nullcontext()
