"""Languages of netlists that simulators run, each with its own way to read a file as a deck."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from spu.base.errors import UsageError
from spu.spice.deck import Deck, read_deck
from spu.spice.dialects import DIALECTS
from spu.spice.vacask_deck import read_vacask

READERS: Mapping[str, Callable[..., Deck]] = {"ngspice": read_deck, "vacask": read_vacask}
"""By the name of the dialect; all take what `read_deck` takes."""


def read_in(dialect: str, path: Path, *, include_outside: bool = False, ignore_control: bool = False) -> Deck:
    """Read a netlist in a language; arguments and errors are those of `read_deck`.

    Raises
    ------
    UsageError
        If the ending of the file says that it is in another language.
    """
    other = next((name for name in DIALECTS if path.name.endswith(DIALECTS[name].ending) and name != "ngspice"), None)
    if other is not None and other != dialect:
        raise UsageError(f"{path} is in the language of {other} by its ending, and this simulator takes {dialect}'s")
    if other is None and dialect != "ngspice":
        raise UsageError(f"{path}: a netlist for this simulator ends in {DIALECTS[dialect].ending}")
    return READERS[dialect](path, include_outside=include_outside, ignore_control=ignore_control)
