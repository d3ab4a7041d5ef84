"""The levels of a check: one file each, and the register of those that there are.

A level from outside of the package is added by `register`, before a check that is to run it::

    def supply(context):
        (found,) = context.run(context.deck.text(), OperatingPoint())
        largest = max(abs(volts[0]) for volts in found.values())
        return Level("supply", "pass" if largest < 1.8 else "fail", f"{largest:.3g} V at most", largest, 1.8)

    register(LevelKind("supply", Way(supply, (OperatingPoint,)), "{} DC voltages against the supply's", "too high"))
"""

from __future__ import annotations

from spu.base.errors import UsageError
from spu.base.names import shorten, suggest
from spu.crosscheck.levels import answer, ideal, noise, operating_point, replay, transfer
from spu.crosscheck.levels.kind import LevelKind, Way
from spu.emulator.dynamics import KINDS

__all__ = ["LEVELS", "LevelKind", "Way", "register"]

LEVELS: dict[str, LevelKind] = {
    each.name: each
    for each in (ideal.LEVEL, answer.LEVEL, operating_point.LEVEL, transfer.LEVEL, replay.LEVEL, noise.LEVEL)
}
"""By name, in the order in which they run: cheap and sharp first."""


def register(level: LevelKind) -> LevelKind:
    """Add a level, which runs after those that there are; one of the same name is replaced where it stands.

    Raises
    ------
    UsageError
        If it has a way for dynamics that there are not.
    """
    if not isinstance(level.ways, Way):
        known = [kind.name for kind in KINDS]
        for name in level.ways:
            if name not in known:
                raise UsageError(f"level {level.name}: no dynamics are called {shorten(name)}; {suggest(name, known)}")
    LEVELS[level.name] = level
    return level
