"""Other systems, as far as they can be had here: nothing that they lack is imported, or needed for what is exact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_nothing_is_needed_that_is_not_there(platform, tmp_path):
    """In a process that has lost what the other system has not: see elsewhere.py."""
    script = [sys.executable, str(ROOT / "tests" / "elsewhere.py"), platform, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert int(first.split()[0]) > 400
    assert lines and all(line.endswith(": 0") for line in lines), done.stdout + done.stderr
