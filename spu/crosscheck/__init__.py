"""Ideal model, emulator and a simulator (ngspice) side by side, with a verdict.

``levels`` are what is compared, one file each; ``gathering`` finds what there is to check, ``running`` runs the levels;
``checking`` is the door. What the simulator runs is the netlist as it lies on disk (of one from elsewhere, with lines
added: ``decks.taps``). The names are found when they are asked for: who prints a result needs no level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spu.crosscheck.checking import check
    from spu.crosscheck.result import LEVELS, VERDICTS, Check, Comparison, Corner, Diagnosis, Level

__all__ = ["LEVELS", "VERDICTS", "Check", "Comparison", "Corner", "Diagnosis", "Level", "check"]


def __getattr__(name: str) -> Any:
    if name == "check":
        from spu.crosscheck.checking import check

        return check
    if name in __all__:
        from spu.crosscheck import result

        return getattr(result, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
