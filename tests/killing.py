"""Killing a child at a chosen change of the file system."""

import os
import signal
import sys

STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.copyfile", "shutil.rmtree", "tempfile.mkdtemp"}


def killed_at(step, work):
    """Do the work in a child that is killed just before its ``step``-th change of the file system; False if it ends."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def hook(event, arguments):
            nonlocal count
            if event in STEPS or (event == "open" and isinstance(arguments[1], str) and arguments[1][0] in "wx"):
                count += 1
                if count > step:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            work()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1] != 0
