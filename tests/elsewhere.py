"""Makes this process look like one on another system: ``elsewhere.py PLATFORM FOLDER``, run by test_platforms.py.

What other packages are imported by is loaded first, by the system that this is. Then modules and functions that the
other one has not are gone, every module of spu is imported, and a matrix is compiled, predicted and simulated.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

POSIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
POSIX_FUNCTIONS = (
    *("fork", "forkpty", "geteuid", "getuid", "getpgid", "killpg", "setsid", "sched_getaffinity", "sysconf", "uname"),
    *("waitid", "waitpid", "nice", "mkfifo", "O_NOFOLLOW", "O_NONBLOCK", "WNOHANG", "P_PID"),
)
LACKING = {
    "win32": (POSIX_MODULES, POSIX_FUNCTIONS, ("SIGKILL", "SIGALRM", "SIGPIPE", "SIGHUP", "SIGUSR1", "alarm")),
    "darwin": ((), ("sched_getaffinity", "waitid"), ()),
}


def load_others() -> None:
    """Import what spu imports from elsewhere, by names in its sources."""
    import ast

    root = Path(__file__).parents[1]
    names = set()
    for path in [*root.glob("spu/**/*.py"), *root.glob("cli/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names |= {node.module or ""}
    gone = {name for modules, _, _ in LACKING.values() for name in modules}
    for name in sorted(names):
        if name.partition(".")[0] not in ("spu", *gone):
            with suppress(ImportError):  # an extra that is not here, or of another Python
                importlib.import_module(name)


def become(platform: str) -> None:
    """Take away what the other system has not."""
    modules, functions, signals = LACKING[platform]
    for name in modules:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in functions:
        if hasattr(os, name):
            delattr(os, name)
    for name in signals:
        if hasattr(signal, name):
            delattr(signal, name)
    sys.platform = platform


def main(platform: str, folder: str) -> None:
    """Import everything, and run what needs no simulator."""
    load_others()
    become(platform)
    assert not any(name.partition(".")[0] == "spu" for name in sys.modules)
    root = Path(__file__).parents[1]
    count = 0
    for path in sorted([*root.glob("spu/**/*.py"), *root.glob("cli/*.py")]):
        parts = path.relative_to(root).with_suffix("").parts
        parts = ("spu", *parts) if parts[0] == "cli" else parts
        importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        count += 1
    print(f"{count} modules")
    from click.testing import CliRunner

    from spu.cli import cli

    os.chdir(folder)
    Path("a.csv").write_text("2,-0.5\n-0.5,1\n")
    for line in (
        "compile a.csv -o out",
        "predict out",
        "simulate out --samples 1000",
        "inspect out",
        "export out --dialect ltspice -o out.cir",
        "check out --level ideal --level answer --level op",
    ):
        found = CliRunner().invoke(cli, line.split())
        print(f"{line}: {found.exit_code} {found.stderr}".strip())
        if found.exit_code and found.exception:
            import traceback

            traceback.print_exception(found.exception)


if __name__ == "__main__":
    main(*sys.argv[1:])
