"""A command confined: ``python confined.py PARENT SECONDS BYTES COMMAND...``.

Bounded processor time and memory (0 bytes: unbounded), and no life after the parent's. It imports nothing of the
package. A script of Python is run in this process, another program takes its place.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import subprocess
import sys
from typing import Any

if sys.platform == "win32":
    resource: Any = None  # nothing is bounded there but the time that the parent waits
else:
    import resource

_SET_PARENT_DEATH_SIGNAL = 1
"""Of Linux's prctl; it outlives exec."""


def confine(parent: int, seconds: int, memory: int) -> None:
    """Confine this process, as far as the system can."""
    if resource is None:
        return
    if memory and sys.platform != "darwin":  # which reserves more than that before anything is asked for
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it has died before
            os._exit(1)


if __name__ == "__main__":
    confine(*map(int, sys.argv[1:4]))
    command = sys.argv[4:]
    if command[0].endswith(".py"):
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")
    elif sys.platform == "win32":  # there exec leaves the parent with a child that has ended
        sys.exit(subprocess.call(command))
    else:
        os.execvp(command[0], command)
