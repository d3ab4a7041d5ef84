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

_REFUSED = (".include", ".inc", ".lib", ".spiceinclude")
_ANALYSES = (
    ".tran",
    ".ac",
    ".dc",
    ".op",
    ".noise",
    ".tf",
    ".pz",
    ".sens",
    ".disto",
    ".four",
    ".meas",
    ".measure",
    ".print",
    ".plot",
    ".save",
    ".probe",
    ".width",
    ".end",
)


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
    title:
        Its first line.
    lines:
        Logical lines, comments left out.
    file:
        Where it came from.
    """

    title: str
    lines: tuple[Line, ...]
    file: str

    def text(self, replace: dict[str, str] | None = None, extra: tuple[str, ...] = ()) -> str:
        """Print the deck for ngspice, with lines of some top-level elements replaced and lines added."""
        replace = replace or {}
        depth = 0
        printed = [self.title]
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

    @property
    def device_hash(self) -> str | None:
        """The hash of the device it was written for, if its header says so."""
        return self._hash

    _hash: str | None = None


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
    physical = text.splitlines()
    lines: list[Line] = []
    controlled: int | None = None
    for number, raw in enumerate(physical[1:], start=2):
        stripped = raw.strip()
        word = stripped.lower().split(maxsplit=1)[0] if stripped else ""
        if controlled is not None:
            controlled = None if word == ".endc" else controlled
            continue
        if word == ".control":
            controlled = number
        elif not stripped or stripped[0] in "*$#;":
            continue
        elif stripped[0] == "+":
            if not lines:
                raise DeckError("a continuation line continues nothing", file=path, line=number)
            lines[-1] = Line(f"{lines[-1].text} {stripped[1:].strip()}", lines[-1].number)
        elif word in _REFUSED:
            raise DeckError(f"{word} is not read: put what it holds into the deck itself", file=path, line=number)
        elif word == ".end":
            break
        elif word not in _ANALYSES:
            lines.append(Line(stripped, number))
    if controlled is not None:
        raise DeckError(".control without .endc", file=path, line=controlled)
    for line in lines:
        if line.words[0][0] == "a" or re.search(r"\b(file|shared_lib|process_file)\s*=", line.text.lower()):
            raise DeckError(
                f"{line.words[0]}: code models and elements that read files are not run",
                file=path,
                line=line.number,
            )
    header = re.search(r"for device ([0-9a-f]{12})", "\n".join(physical[:5]))
    return Deck(physical[0].strip() or "netlist", tuple(lines), str(path), header.group(1) if header else None)
