"""How much memory there is, so that what cannot fit is refused before it is tried."""

from __future__ import annotations

import os
from pathlib import Path

from spu.base.errors import OutOfMemory

__all__ = ["available", "require"]


def available() -> int | None:
    """Bytes that programs could take now, without swapping; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:  # all that is installed: nothing above that can be had
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def require(needed: int, what: str, advice: str) -> None:
    """Refuse what takes more bytes than are available.

    Raises
    ------
    OutOfMemory
        Saying how many ``what`` takes, how many there are, and ``advice``.
    """
    there = available()
    if there is not None and needed > there:
        raise OutOfMemory(f"{what} takes {needed / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB are free: {advice}")
