"""What a process must not leave behind, and what it must not be stopped in.

Whatever is prepared aside (a folder about to be renamed, the scratch folder of an ngspice run) is made here, and so
are child processes. A run that ends by itself takes them away, one that is stopped by a signal calls `abandon`, and
what a killed one leaves is removed by the next (`sweep`). To tell the dead from the living, the owner holds a lock
(``flock``) on each: the system lets go of it when the process is gone, however it went.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    fcntl: Any = None  # nothing is locked there, and nothing swept
else:
    import fcntl

__all__ = ["abandon", "aside_file", "aside_folder", "child", "held", "locked", "scratch_folder", "sweep"]

ASIDE = ".spu."
"""What the names of files and folders aside begin with; those of scratch folders with ``spu-KIND-``."""

_KINDS = "checks?|diagnoses|learned|natural|ngspice|replay|start|vacask|workers"
_FOLDERS = re.compile(rf"(\.spu\.|spu-({_KINDS})-)[a-z0-9_]{{8}}")
_FILES = re.compile(r"\.spu\.[a-z0-9_]{8}\.tmp")

_MARK = ".made-by-spu"
"""A file in every folder of ours: somebody's own folder that happens to be called like one is left alone."""

PATIENCE = 2.0
"""Seconds after which a second signal no longer waits for what the first one waits for."""

_paths: set[Path] = set()
_children: set[subprocess.Popen[str]] = set()
_closing = False
_lock = threading.RLock()  # a signal's handler may come while its own thread holds it


# --- signals -------------------------------------------------------------------------------


@contextmanager
def held() -> Iterator[None]:
    """Hold ctrl-C and SIGTERM back for what must not be cut, and deliver them afterwards.

    A second one, `PATIENCE` later, is not held: what is done here may wait for a disk or a reader that never answers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread only
        return
    pending: list[tuple[int, float]] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        now = time.monotonic()
        if pending and now - pending[0][1] > PATIENCE and callable(before.get(number)):
            before[number](number, frame)
        pending.append((number, now))

    for each in (signal.SIGINT, signal.SIGTERM):
        found = signal.getsignal(each)
        if found is not None and found is not signal.SIG_IGN:  # None: set by another than Python
            before[each] = found
            signal.signal(each, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0][0])


def abandon() -> None:
    """End the children and remove what lies aside, at once: this process is about to end, from wherever it is."""
    global _closing
    with _lock:
        _closing = True  # other threads make nothing more
        for each in list(_children):
            _end(each)
        for path in list(_paths):
            _remove(path)


def _refuse_if_closing() -> None:
    if _closing:
        raise SystemExit(1)  # of a thread beside the one that ends the process


# --- files and folders aside ---------------------------------------------------------------


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """Make a private folder among the system's temporary ones, gone afterwards whatever happens."""
    sweep(tempfile.gettempdir())
    with _owned(lambda: tempfile.mkdtemp(prefix=f"spu-{kind}-")) as path:
        (path / _MARK).touch()
        yield path


@contextmanager
def aside_folder(parent: Path) -> Iterator[Path]:
    """Make a private folder to prepare files in, beside where they will lie, gone afterwards whatever happens."""
    sweep(parent)
    with _owned(lambda: tempfile.mkdtemp(dir=parent, prefix=ASIDE)) as path:
        (path / _MARK).touch()
        yield path


@contextmanager
def aside_file(parent: Path) -> Iterator[Path]:
    """Make an empty private file, as `aside_folder`."""

    def make() -> str:
        handle, name = tempfile.mkstemp(dir=parent, prefix=ASIDE, suffix=".tmp")
        os.close(handle)
        return name

    sweep(parent)
    with _owned(make) as path:
        yield path


@contextmanager
def _owned(make: Callable[[], str]) -> Iterator[Path]:
    path, handle = _claim(make)
    while path is None:  # another process swept it, between its making and our lock
        path, handle = _claim(make)
    try:
        yield path
    finally:
        _remove(path)
        _paths.discard(path)
        if handle is not None:
            os.close(handle)


def _claim(make: Callable[[], str]) -> tuple[Path | None, int | None]:
    """Make a file or folder and lock it; the path is None if it is gone again."""
    with held(), _lock:
        _refuse_if_closing()
        path = Path(make())
        _paths.add(path)
    handle = None
    try:
        if fcntl is not None:
            handle = os.open(path, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: nobody will sweep there
                fcntl.flock(handle, fcntl.LOCK_SH)
            os.lstat(path)
    except FileNotFoundError:
        _paths.discard(path)
        if handle is not None:
            os.close(handle)
        return None, None
    return path, handle


def sweep(directory: str | Path) -> None:
    """Remove what killed runs have left in a folder: temporary files of ours whose owner no longer lives.

    Only the user's own ones, and only where the system's locks tell that nobody holds them. Never fails.
    """
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(directory) as entries:
        for name in [entry.name for entry in entries]:
            if _FOLDERS.fullmatch(name) or _FILES.fullmatch(name):
                with suppress(OSError):
                    _sweep_one(Path(directory, name))


def _is_litter(path: Path) -> bool:
    """Whether a file or folder called like one of ours is one; one without a mark yet is empty."""
    about = os.lstat(path)
    if about.st_uid != os.geteuid():
        return False
    if stat.S_ISDIR(about.st_mode):
        return bool(_FOLDERS.fullmatch(path.name)) and ((path / _MARK).exists() or next(path.iterdir(), None) is None)
    return stat.S_ISREG(about.st_mode) and bool(_FILES.fullmatch(path.name))


def _sweep_one(path: Path) -> None:
    if not _is_litter(path):
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
        _remove(path)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            for part in path.iterdir():
                if part.name != _MARK:  # goes last: what is left of a removal that is killed is still known as ours
                    _remove(part)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(directory: Path, *, alone: bool, patience: float) -> Iterator[bool]:
    """Lock a folder, for readers together or for a writer alone.

    Yields
    ------
    bool
        False if others have held it for all of ``patience`` seconds. Where the file system knows no locks, or the
        folder cannot be opened, True: there is nothing to wait for.
    """
    handle = None
    granted = True
    try:
        if fcntl is not None:
            with suppress(OSError):
                handle = os.open(directory, os.O_RDONLY)
        if handle is not None:
            granted = _flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, time.monotonic() + patience)
        yield granted
    finally:
        if handle is not None:
            os.close(handle)


def _flock(handle: int, kind: int, until: float) -> bool:
    while not (granted := _try_flock(handle, kind)) and time.monotonic() < until:
        time.sleep(0.02)
    return granted


def _try_flock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        return True
    return True


# --- children ------------------------------------------------------------------------------


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a child in a process group of its own, ended with all it has started when the block is left.

    Ctrl-C on the terminal reaches this process only, which then decides what becomes of the child.
    """
    with held(), _lock:
        _refuse_if_closing()
        process = subprocess.Popen(command, start_new_session=True, text=True, errors="replace", **options)
        _children.add(process)
    try:
        with process:
            try:
                yield process
            finally:
                _end(process)
    finally:
        _children.discard(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a child's group, and wait for the child to be dead (not to be collected: its own thread may be at that)."""
    if process.returncode is not None:
        return
    if sys.platform == "win32":  # no groups: what the child has started is left
        process.kill()
        return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(OSError):
        for _ in range(200):
            if _has_ended(process):
                break
            time.sleep(0.005)


def _has_ended(process: subprocess.Popen[str]) -> bool:
    if not hasattr(os, "waitid"):  # as on macOS before Python 3.13: then it is collected, too
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
