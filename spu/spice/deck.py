"""A netlist on disk for ngspice: read as it lies there, kept from doing harm, its noise sources found.

The lines come from `spu.spice.reader.lines`, which resolves includes inside the deck's folder, leaves out
analyses and refuses what could run commands. Beyond that, code models and elements that read files are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from spu.spice.reader.limits import MAX_INSTANCES
from spu.spice.reader.lines import Line, read_source

__all__ = ["Deck", "Line", "read_deck"]


MAX_BYTES = 2**26
"""A thousand cells, all to all, make a deck of some 40 MB."""


@dataclass(frozen=True)
class Deck:
    """A netlist without control blocks and analyses, in ngspice's language; other languages have classes of their own.

    Attributes
    ----------
    dialect:
        The language.
    lines:
        Logical lines, comments left out.
    file:
        Where it came from.
    device_hash:
        Of the device it was written for, if its header says so.
    """

    dialect: ClassVar[str] = "ngspice"
    lines: tuple[Line, ...]
    file: str
    device_hash: str | None = None

    def text(self, replace: dict[str, str] | None = None, extra: tuple[str, ...] = ()) -> str:
        """Print the deck for ngspice, with lines of some top-level elements replaced and lines added."""
        replace = replace or {}
        depth = 0
        printed = ["* a deck under check"]  # the first line is a title, and some titles are commands
        for line in self.lines:
            first = line.words[0]
            depth += (first == ".subckt") - (first == ".ends")
            printed.append(replace.get(first, line.text) if depth == 0 else line.text)
        return "\n".join([*printed, *extra, ".end", ""])

    def held(self, volts: Mapping[str, float]) -> Deck:
        """The same with other constant values (V, after ``dc``) of those of some sources that are at top level."""
        there = {id(line): name for name, line in self.top_level().items() if name in volts}
        lines = [
            replace(line, text=re.sub(r"(?i)\bdc\s+\S+", f"dc {float(volts[there[id(line)]])!r}", line.text, count=1))
            if id(line) in there
            else line
            for line in self.lines
        ]
        return replace(self, lines=tuple(lines))

    def spelled(self, name: str) -> str:
        """A node or an element, as its lines name it, whose name is known in lower case, with dots."""
        return name

    def top_level(self) -> dict[str, Line]:
        """Elements outside subcircuits by name (lower case)."""
        found: dict[str, Line] = {}
        depth = 0
        for line in self.lines:
            first = line.words[0]
            if depth == 0 and first[0].isalpha():
                found[first] = line
            depth += (first == ".subckt") - (first == ".ends")
        return found


def read_deck(path: Path, *, include_outside: bool = False, ignore_control: bool = False) -> Deck:
    """Read a netlist.

    Parameters
    ----------
    path, include_outside, ignore_control:
        As for `read_source`.

    Raises
    ------
    InputError
        If the file cannot be read.
    DeckError
        With file and line, for what is not run: commands, includes from elsewhere, code models that read files.
    """
    source = read_source(path, include_outside=include_outside, ignore_control=ignore_control, max_bytes=MAX_BYTES)
    for line in source.lines:
        first = line.words[0]
        if first[0] == "a" or re.search(r"\b(file|shared_lib|process_file)\b", line.text.lower()):
            raise line.refuse(f"{first[:60]}: code models and elements that read files are not run")
    refuse_explosion(source.lines, ".subckt", ".ends", lambda line: line.words[0][0] == "x")
    return Deck(tuple(source.lines), str(path), header_hash(source.comments[:4]))


def header_hash(comments: Sequence[str]) -> str | None:
    """The hash of the device for which a netlist says that it was written; None where it says none."""
    found = re.search(r"for device ([0-9a-f]{12})", "\n".join(comments))
    return found.group(1) if found else None


_PER_LINE = 8  # instances that each of a long deck's own lines may make


def refuse_explosion(lines: Sequence[Line], opening: str, closing: str, calling: Callable[[Line], bool]) -> None:
    """Refuse subcircuits within subcircuits that come to more instances than a simulator should be asked to make.

    Parameters
    ----------
    lines:
        Of a netlist.
    opening, closing:
        First words of the lines about a subcircuit.
    calling:
        Whether another line may make an instance of one.
    """
    inside: dict[str, list[Line]] = {}
    opened: list[str] = []
    calls: list[tuple[str, Line]] = []
    for line in lines:
        first = line.words[0]
        if first == opening and len(line.words) > 1:
            opened.append(line.words[1])
            inside.setdefault(line.words[1], [])
        elif first == closing and opened:
            opened.pop()
        elif calling(line):
            calls.append((opened[-1] if opened else "", line))
    for name, line in calls:
        inside.setdefault(name, []).append(line)
    called = {
        name: [word for line in made if (word := _called(line, inside)) is not None] for name, made in inside.items()
    }
    counts = dict.fromkeys(inside, 1)
    most = max(MAX_INSTANCES, _PER_LINE * len(calls))
    for _ in range(len(inside) + 1):  # as deep as they can be
        before = counts
        counts = {name: min(1 + sum(counts[each] for each in names), 2 * most) for name, names in called.items()}
        if counts == before:
            break
    else:
        within = next(name for name in counts if counts[name] != before[name])
        raise inside[within][0].refuse("subcircuits that hold themselves make too many instances")
    if counts.get("", 1) > most:
        made = inside[""]
        largest = max(made, key=lambda line: counts.get(_called(line, inside) or "", 0))
        raise largest.refuse(f"makes too many instances of subcircuits: more than {most:,} in all are not run")


def _called(line: Line, known: Container[str]) -> str | None:
    """The subcircuit that a line makes an instance of."""
    return next((word for word in reversed(line.words[1:]) if word in known), None)
