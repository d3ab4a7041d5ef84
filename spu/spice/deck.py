"""A netlist on disk: read as it lies there, kept from doing harm, its noise sources found.

A control block can run shell commands, an include can read any file, and so can some code
models. Control blocks are therefore left out (the check runs analyses of its own), and
the rest is refused with its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from spu.errors import DeckError, InputError
from spu.files import read_text

_KEPT = (".subckt", ".ends", ".param", ".options", ".option", ".model", ".ic", ".nodeset", ".func", ".global", ".temp")
"""Dot commands that describe the circuit; they are passed on."""

_LEFT_OUT = (
    *(".tran", ".ac", ".dc", ".op", ".noise", ".tf", ".pz", ".sens", ".disto", ".four", ".meas", ".measure"),
    *(".print", ".plot", ".save", ".probe", ".width", ".title"),
)
"""Analyses and output, which the check replaces by its own."""


@dataclass(frozen=True)
class Line:
    """A logical line (continuations joined), as printed, with the number of its first line."""

    text: str
    number: int

    @property
    def words(self) -> list[str]:
        """Its words, lower case."""
        return self.text.lower().split()


@dataclass(frozen=True)
class Deck:
    """A netlist without control blocks and analyses.

    Attributes
    ----------
    lines:
        Logical lines, comments left out.
    file:
        Where it came from.
    device_hash:
        Of the device it was written for, if its header says so.
    """

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


def read_deck(path: Path) -> Deck:
    """Read a netlist.

    Raises
    ------
    InputError
        If the file cannot be read.
    DeckError
        With file and line, for what is not run: includes, libraries, code models that read files.
    """
    text = read_text(path)
    if not text.strip():
        raise DeckError("is empty", file=path)
    if "\0" in text:
        raise InputError("is not a text file", file=path)
    physical = re.split(r"\r\n|\n|\r", text)  # what ngspice takes for line ends, and no more
    lines: list[Line] = []
    controlled: int | None = None
    continued = "nothing"  # or a line that is "kept" or "dropped"
    for number, raw in enumerate(physical[1:], start=2):
        stripped = _without_comment(raw)
        word = stripped.lower().split(maxsplit=1)[0] if stripped else ""
        if controlled is not None:
            # ngspice goes by the beginnings of words, here and below.
            controlled = None if word.startswith(".endc") else controlled
        elif word.startswith(".control"):
            controlled, continued = number, "dropped"
        elif not stripped:
            continue
        elif stripped[0] == "+":
            if continued == "nothing":
                raise DeckError("a continuation line continues nothing", file=path, line=number)
            if continued == "kept":
                lines[-1] = Line(f"{lines[-1].text} {stripped[1:].strip()}", lines[-1].number)
        elif word == ".end":
            break
        elif word in _LEFT_OUT:
            continued = "dropped"
        elif word[0] == "." and word not in _KEPT:
            raise DeckError(
                f"{word} is not taken: a deck under check holds elements, subcircuits, parameters, options and models",
                file=path,
                line=number,
            )
        else:
            lines.append(Line(stripped, number))
            continued = "kept"
    if controlled is not None:
        raise DeckError(".control without .endc", file=path, line=controlled)
    for line in lines:
        first = line.words[0][0]
        if "`" in line.text:  # what stands in backquotes is a shell command to ngspice's own language
            raise DeckError("a backquote is not taken", file=path, line=line.number)
        if first == "a" or re.search(r"\b(file|shared_lib|process_file)\b", line.text.lower()):
            raise DeckError(
                f"{line.words[0]}: code models and elements that read files are not run", file=path, line=line.number
            )
    header = re.search(r"for device ([0-9a-f]{12})", "\n".join(physical[:5]))
    return Deck(tuple(lines), str(path), header.group(1) if header else None)


def _without_comment(raw: str) -> str:
    """A line without the comments ngspice knows: ``*`` and ``#`` lines, ``;``, ``$ `` and ``//`` behind a statement."""
    stripped = raw.strip()
    if stripped[:1] in ("*", "#"):
        return ""
    return re.split(r";|//|\$(?=\s|$)", stripped, maxsplit=1)[0].strip()
