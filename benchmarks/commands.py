"""Commands as processes of their own: how they are called, and what a fresh install of the project is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import spu
import spu.cli


class Failed(Exception):
    """A command that ended badly, or did not end: one line that says so."""


def python(code: str) -> list[str]:
    """The words that run some Python."""
    return [sys.executable, "-c", code]


def spu_command(*words: str) -> list[str]:
    """The words of the project's command line, without the script, which belongs to one install only."""
    return [*python("from spu.cli import main; main()"), *words]


def command(words: Sequence[str], more: dict[str, str] | None = None, *, limit: float | None = None) -> str:
    """Run a command, with some environment variables more, for ``limit`` seconds at most; what it printed.

    Python keeps the modules that it has compiled, whatever it does here: that is how people run it.

    Raises
    ------
    Failed
        If its exit status is not 0, or the time is up.
    """
    try:
        done = subprocess.run(
            words,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(more or {})},
            cwd="/",  # Python looks for modules where it is first
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not done in {limit:.0f} s") from None
    if done.returncode:
        last = [*done.stderr.strip().splitlines(), "it said nothing"][0]
        raise Failed(f"exit status {done.returncode}: {last}")
    return done.stdout


def fresh_install(folder: Path) -> dict[str, str]:
    """The project as it lies after an install that compiled no Python: the environment in which it is found.

    A copy of the package, in front of every other one, and empty folders where caches would be.
    """
    package, cli = Path(spu.__file__).parent, Path(spu.cli.__file__).parent
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, folder / "spu", ignore=leave)
    if not (folder / "spu" / "cli").exists():  # of an editable install it lies elsewhere
        shutil.copytree(cli, folder / "spu" / "cli", ignore=leave)
    found = {"PYTHONPATH": str(folder)}
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        found[name] = str(folder / name.lower())
        Path(found[name]).mkdir()
    return found
