"""How a run ends: by a status and at most one message, whatever happens to it, to its streams and from outside.

A signal ends the process from within its handler (`_leave`), rather than by an exception: one that is raised inside an
import, a callback or a ``finally`` of somebody else's is turned into another one, printed, or lost. What has to be
cleaned up is known (`spu.base.process`).
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

INTERRUPTED, TERMINATED, BROKEN_PIPE = 130, 143, 141
"""Exit statuses: what a shell reports of programs that SIGINT, SIGTERM and SIGPIPE ended."""

STDOUT = "standard output"
_SIGNALS = {
    signal.SIGINT: ("interrupted", INTERRUPTED),
    signal.SIGTERM: ("terminated", TERMINATED),
}
_PATIENCE = 2.0  # s after which a second signal no longer waits

_json = False  # whether stdout is to be one JSON object
_said = False  # whether it has been printed, or begun to be
_left: float | None = None  # when a signal came that ends the process
_process = 0


def run(command_line: Callable[[], NoReturn]) -> NoReturn:
    """Run the command line as a process of its own; it is called once signals are taken care of."""
    _take_signals()
    _take_streams()
    try:
        command_line()
    finally:
        # All is done and said. What the interpreter does on its way out is not to be stopped.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def begin(as_json: bool) -> None:
    """Note of a run whether its result is a JSON object."""
    global _json, _said
    _json, _said = as_json, False


# --- signals -------------------------------------------------------------------------------


def _take_signals() -> None:
    global _process
    _process = os.getpid()
    begin("--json" in sys.argv[1:])
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup: then it stays so
            signal.signal(number, _leave)


def _leave(number: int, _frame: object) -> None:
    """End the process: clean up, say one word, and go."""
    global _left
    kind, status = _SIGNALS[signal.Signals(number)]
    if os.getpid() != _process:  # a child on its way to become another program
        os._exit(status)
    now = time.monotonic()
    if _left is not None:
        if now - _left > _PATIENCE:
            os._exit(status)
        return
    _left = now
    abandon = getattr(sys.modules.get("spu.base.process"), "abandon", None)  # not there while it is being imported
    try:
        if abandon is not None:
            abandon()
        if not _json:
            # Not by sys.stderr, which may be in the middle of a line. A progress bar has hidden the cursor.
            os.write(2, (f"\x1b[?25h\n{kind}\n" if os.isatty(2) else f"{kind}\n").encode())
        elif not _said:
            message = f'{{"error": {{"kind": "{kind}", "message": "{kind}", "file": null, "line": null}}}}\n'
            os.write(1, message.encode())
    finally:
        os._exit(status)


# --- streams -------------------------------------------------------------------------------


class _Output(io.FileIO):
    """A standard output whose errors say what they are of."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            raise OSError(error.errno, error.strerror, STDOUT) from None


class _Messages(io.FileIO):
    """A standard error that never fails: work goes on when nobody can be told about it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _take_streams() -> None:
    """Set standard output and error up so that they fail in known ways, and open those that are closed."""
    # What is opened next takes the number of a closed stream, and would be written to by whoever prints. Writing to
    # this fails, as it does to a closed one.
    spare = os.open(os.devnull, os.O_RDONLY)
    while spare <= 2:
        spare = os.dup(spare)
    os.close(spare)
    encodings = [getattr(stream, "encoding", None) or "utf-8" for stream in (sys.stdout, sys.stderr)]
    raw = (_Output(1, "w", closefd=False), _Messages(2, "w", closefd=False))
    # What an encoding lacks is escaped: a path is any bytes, and a table has more signs than ASCII.
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(each), encoding=encoding, errors="backslashreplace", line_buffering=each.isatty()
        )
        for each, encoding in zip(raw, encodings, strict=True)
    )
    sys.stderr.reconfigure(line_buffering=True)


def _mute(number: int) -> None:
    """Let what is still buffered for a broken stream go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


# --- results and messages ------------------------------------------------------------------


def print_object(text: str) -> None:
    """Print the one JSON object, whole or not at all: a signal waits for it."""
    global _said
    from spu.base.process import held

    with held():
        _said = True
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def flush() -> None:
    """Pass on what is buffered of the result."""
    sys.stdout.flush()


def refuse(error: BaseException) -> int:
    """Say what went wrong, in one JSON object on stdout or a line or two on stderr, and give the exit status."""
    if isinstance(error, OSError) and error.filename == STDOUT:
        return _lost(error)
    from spu.base.errors import OptionError, UsageError, as_refusal

    if os.environ.get("SPU_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    found = as_refusal(error)
    if isinstance(found, OptionError):
        found = UsageError(found.as_command)
    if not _json:
        return _tell(str(found) if found.kind == "interrupted" else f"error: {found}", found.exit_status)
    if _said:  # the result is out, and it has to be the only object
        return _tell(f"error: {found}", found.exit_status)
    more = {key: value for key in ("details", "nodes") if (value := getattr(found, key, None))}
    about: Mapping[str, Any] = {"kind": found.kind, "message": found.message, "file": found.file, "line": found.line}
    try:
        import json

        from spu.base.files import plain as plain_json

        print_object(json.dumps({"error": plain_json({**about, **more})}))
    except OSError as lost:
        if not isinstance(lost, BrokenPipeError):
            _tell(f"error: {found}", found.exit_status)
        return _lost(lost)
    return found.exit_status


def _lost(error: OSError) -> int:
    """Of a standard output that fails: a reader that has gone needs no message."""
    _mute(1)
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    return _tell(f"error: {STDOUT}: cannot be written: {error.strerror}", 2)


def _tell(message: str, status: int) -> int:
    print(message, file=sys.stderr, flush=True)
    return status


def guarded(work: Callable[[], int]) -> int:
    """Do the work of a run; every way in which it can end gives an exit status."""
    try:
        status = work()
        flush()
    except Exception as error:
        return refuse(error)
    except KeyboardInterrupt as error:
        return refuse(error)
    return status
