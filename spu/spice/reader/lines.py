"""From files to logical lines: encodings, comments, continuations, includes, control blocks.

This is the one place that knows how a deck is laid out as text; the check's `spu.spice.deck`
and the reader of netlists start from the same lines. What ``ngspice -b`` makes of the file must be the
same circuit, so comments are ngspice's: ``*`` and ``$`` at the beginning of a line, ``;`` and ``//`` anywhere,
``$`` behind a space, a tab or a comma. Refused is where it goes its own way: text after ``.end`` (it reads on), ``#``
for a comment, two backslashes at the end of a line (the next one continues it), an ``@`` at the beginning (it reads no
further), a carriage return within a line (it leaves it out), a continuation of what is a comment to it, and
titles that it does not take for titles.

A deck may come from anywhere. Nothing in it is executed; files are read only inside the folder of
the deck, symbolic links followed, unless the user says otherwise; a control block is left
out if it holds nothing but analyses and output, and else refused unless the user says to go on without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from spu.base.errors import DeckError, InputError
from spu.base.files import read_bytes
from spu.base.names import shorten
from spu.spice.reader.control import forbidden
from spu.spice.reader.limits import MAX_FILES, MAX_INCLUDES, MAX_STATEMENT

OPTIONS_COMMANDS = (".options", ".option", ".opts", ".opt")
"""Dot commands that set options; ngspice goes by their beginning."""

CIRCUIT = (
    *OPTIONS_COMMANDS,
    ".subckt",
    ".ends",
    ".param",
    ".model",
    ".ic",
    ".nodeset",
    ".func",
    ".global",
    ".temp",
)
"""Dot commands that describe the circuit."""

OUTPUT = (".print", ".plot", ".save", ".probe", ".noise")
"""Dot commands that name what is read out."""

LEFT_OUT = (
    *(".tran", ".ac", ".dc", ".op", ".tf", ".pz", ".sens", ".disto", ".four", ".meas", ".measure"),
    *(".width", ".title", ".fft", ".backanno", ".net", ".csparam"),
)
"""Analyses and the like: whoever takes the deck runs analyses of its own."""

_INSTEAD = {
    ".step": "one circuit at a time: give the parameter a value",
    ".if": "write out the branch that is meant",
    ".data": "one circuit at a time",
    ".alter": "one circuit at a time",
}


@dataclass(frozen=True)
class Line:
    """A logical line (continuations joined, comments left out) with the place of its first physical line."""

    text: str
    number: int
    file: str = ""

    @cached_property
    def words(self) -> list[str]:
        """Its words, lower case."""
        return self.text.lower().split()

    def refuse(self, message: str) -> DeckError:
        """An error at this line."""
        return DeckError(message, file=self.file, line=self.number)


@dataclass
class Source:
    """A deck as logical lines, includes resolved.

    Attributes
    ----------
    title:
        Its first line.
    comments:
        Comment lines of the deck itself, without the star: headers speak to programs, too.
    lines:
        Elements and the dot commands of `CIRCUIT`.
    output:
        The dot commands of `OUTPUT`.
    files:
        What was read, the deck first.
    verbatim:
        The text of the deck, where it is one plain file and nothing was to be ignored; else None.
    """

    title: str = ""
    comments: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    output: list[Line] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    verbatim: str | None = None


def read_source(
    path: str | Path, *, include_outside: bool = False, ignore_control: bool = False, max_bytes: int
) -> Source:
    """Read a deck and what it includes.

    Parameters
    ----------
    path:
        The deck.
    include_outside:
        Follow includes that leave the deck's own folder.
    ignore_control:
        Leave out control blocks whatever they hold; else those that do more than analyses and output are refused.
    max_bytes:
        Of the deck and its includes together.

    Raises
    ------
    InputError
        If a file cannot be read or is not text.
    DeckError
        With file and line: an include that leaves the folder, is not there, or includes itself; a control block
        that is refused; a dot command that is not known; files too long.
    """
    path = Path(path)
    reading = _Reading(Path(os.path.realpath(path.parent)), include_outside, ignore_control, max_bytes)
    reading.deck(path)
    return reading.source


def _decode(data: bytes, path: Path) -> str:
    """Text in UTF-8, in UTF-16 with its mark, or else in Latin-1, which old schematic tools write."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError("begins as UTF-16 but is not; save it as UTF-8", file=path) from None
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError("is not a text file: it holds a NUL byte", file=path, line=line)
    return text


_LINE_END = re.compile(r"\r*\n")  # what ngspice takes for line ends, and no more
_COMMENT = re.compile(r";|//|(?<=[ \t,])\$")
_ODD = re.compile(r"[^\x20-\x7e]")
_MAX_TITLE = 4000  # ngspice reads 4,999 characters of it, and takes the rest for a line of the circuit


def _without_comment(raw: str) -> str:
    """A line without its comment."""
    stripped = raw.strip(" \t")
    return "" if stripped[:1] in ("*", "$") else _COMMENT.split(stripped, maxsplit=1)[0].strip(" \t")


def _command(raw: str, before: str) -> str:
    """What ngspice makes of a line of a control block that follows the command ``before``."""
    text = raw.strip()
    if text[:2] == "*#":  # a comment to every program but ngspice
        return text[2:]
    if text[:1] == "+":  # comments in between do not part the two
        return f"{before} {text[1:]}"
    return text if text and text[0] not in "*#" else before


def _refuse_layout(raw: str, path: Path, number: int) -> None:
    """Refuse a physical line, comments included, that ngspice joins, splits or ends the file at in ways of its own."""
    why = ""
    if "\r" in raw:
        why = "a carriage return within a line, which ngspice leaves out: end lines with LF or CR LF"
    elif raw.lstrip(" \t")[:1] == "@":
        why = "a line that begins with @ ends the file for ngspice: take it out, or write * in front"
    elif raw.rstrip().endswith("\\\\") and raw.lstrip(" \t")[:1] not in ("*", "$"):
        why = (
            "two backslashes at the end, by which ngspice continues the line: write + at the beginning of the next one"
        )
    if why:
        raise DeckError(why, file=path, line=number)


def _refuse_title(title: str, path: Path, number: int, *, first: bool) -> None:
    """Refuse a title (of the first line, or of a ``.title``) that is something else to ngspice."""
    if len(title) > _MAX_TITLE:
        raise DeckError(f"the title is longer than {_MAX_TITLE} characters", file=path, line=number)
    if first and title.lstrip(" \t")[:1] == "." and not title.lower().lstrip(" \t").startswith(".title"):
        raise DeckError(
            f"the first line is the title, and {shorten(title.split()[0])[1:-1]} is none: write one above it",
            file=path,
            line=number,
        )


class _Reading:
    """Reads the deck and its includes, in the order in which they stand."""

    def __init__(self, folder: Path, include_outside: bool, ignore_control: bool, max_bytes: int) -> None:
        self.source = Source()
        self._folder = folder
        self._include_outside = include_outside
        self._ignore_control = ignore_control
        self._most = self._bytes_left = max_bytes
        self._as_it_is = True

    def deck(self, path: Path) -> None:
        if not self._include_outside and not Path(os.path.realpath(path)).is_relative_to(self._folder):
            raise InputError("is a link that leaves its folder: name the file that it leads to", file=path)
        physical = self._physical(path)
        if not any(map(str.strip, physical)):
            raise DeckError("is empty", file=path)
        self.source.title = physical[0]
        _refuse_layout(physical[0], path, 1)
        _refuse_title(physical[0], path, 1, first=True)
        self._refuse_command(physical[0], path, 1)
        self.source.comments += [raw.strip()[1:] for raw in physical if raw.lstrip()[:1] == "*"]
        self._read(path, list(enumerate(physical, start=1))[1:], [])
        if len(self.source.files) == 1 and self._as_it_is and not self._ignore_control:
            self.source.verbatim = "\n".join(physical)

    def _refuse_command(self, title: str, path: Path, number: int) -> None:
        title = re.sub(r"\s*\.title", "", title, count=1, flags=re.IGNORECASE)
        if not self._ignore_control and re.match(r"\s*\*(ng_script|#)", title, re.IGNORECASE):
            raise _commands(path, number, "the title is a command to ngspice")

    def _physical(self, path: Path, by: Line | None = None) -> list[str]:
        try:
            size = path.stat().st_size if path.is_file() else 0
        except (OSError, ValueError):
            size = 0  # read_bytes says what is wrong
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise DeckError(
                f"too long: a deck with its includes may have {self._most} bytes "
                "(more with spu import --max-instances N)",
                file=path if by is None else by.file,
                line=None if by is None else by.number,
            )
        data = read_bytes(path)
        self.source.files.append(path)
        if len(self.source.files) > MAX_FILES:
            assert by is not None
            raise by.refuse(f"more than {MAX_FILES} includes")
        self._as_it_is &= data.isascii()
        return _LINE_END.split(_decode(data, path))

    def _read(self, path: Path, physical: list[tuple[int, str]], within: list[Path]) -> None:
        """Take the lines of one file, or of one section of it; ``within`` are the files that include it."""
        for line in self._logical(path, physical):
            word = line.words[0]
            if "`" in line.text:  # what stands in backquotes is a shell command to ngspice's own language
                raise line.refuse("a backquote is not taken")
            if word in (".include", ".inc", ".lib"):
                self._include(line, path, within)
            elif word in OUTPUT:
                self.source.output.append(line)
            elif word[0] != "." or word in CIRCUIT:
                self.source.lines.append(line)
            elif word not in LEFT_OUT:
                instead = _INSTEAD.get(word, "a deck holds elements, subcircuits, parameters, options and models")
                raise line.refuse(f"{shorten(word)[1:-1]} is not taken: {instead}")

    def _logical(self, path: Path, physical: list[tuple[int, str]]) -> Iterator[Line]:
        """Join continuations and leave out comments and control blocks."""
        name = str(path)
        parts: list[str] = []
        first = length = 0
        controlled: int | None = None
        command = ""  # of a control block, with its continuations
        ended: int | None = None
        loose: int | None = None  # a line to which ngspice, or else we alone, would add what a + continues
        for number, raw in physical:
            _refuse_layout(raw, path, number)
            text = _without_comment(raw)
            word = (text.lower().split(maxsplit=1) or [""])[0]
            if controlled is not None:
                # ngspice goes by the beginnings of words, here and below.
                if word.startswith(".endc"):
                    controlled, command = None, ""
                    continue
                command = _command(raw, command)
                if not self._ignore_control and (why := forbidden(command)) is not None:
                    raise _commands(path, number, f"in a control block, {why}")
                continue
            if not text:
                if not self._ignore_control and raw.lstrip()[:2] == "*#" and forbidden(raw.lstrip()[2:]) is not None:
                    raise _commands(path, number, "behind *# stands a command to ngspice")
                if raw.lstrip(" \t")[:1] == ";":
                    loose = number
                continue
            if text[0] == "#":
                raise DeckError("a comment begins with *; # is none to ngspice", file=path, line=number)
            if ended is not None:
                raise DeckError(
                    f"stands after .end (line {ended}), where ngspice reads on: move it above, or take it out",
                    file=path,
                    line=number,
                )
            text = self._plain(text, path, number)
            if text[0] == "+":
                if not parts:
                    raise DeckError("a continuation line continues nothing", file=path, line=number)
                if loose is not None:
                    raise DeckError(
                        f"a continuation behind line {loose}, which only some simulators skip: bring the two together",
                        file=path,
                        line=number,
                    )
                parts.append(text[1:].strip(" \t"))
                length += len(text)
                if length > MAX_STATEMENT:
                    raise DeckError(f"is longer than {MAX_STATEMENT} characters", file=path, line=first)
                continue
            if parts:
                yield Line(" ".join(parts), first, name)
                parts = []
            if word.startswith(".control"):
                controlled = number
                continue
            if word == ".end":
                ended = number
                continue
            if word == ".title":
                _refuse_title(text, path, number, first=False)
                self._refuse_command(text, path, number)
            loose = number if word == ".title" else None
            parts, first, length = [text], number, len(text)
            if length > MAX_STATEMENT:
                raise DeckError(f"is longer than {MAX_STATEMENT} characters", file=path, line=first)
        if controlled is not None:
            raise DeckError(".control without .endc", file=path, line=controlled)
        if parts:
            yield Line(" ".join(parts), first, name)

    @staticmethod
    def _plain(text: str, path: Path, number: int) -> str:
        """Only what every SPICE reads alike: printable ASCII, with u for the micro sign."""
        text = text.replace("\t", " ").replace("\u00b5", "u")
        odd = _ODD.search(text)
        if odd is not None:
            raise DeckError(
                f"the character U+{ord(odd[0]):04X} is not taken outside comments; use ASCII", file=path, line=number
            )
        return text

    def _include(self, line: Line, path: Path, within: list[Path]) -> None:
        word = line.words[0]
        rest = line.text[len(word) :].strip()
        found = re.fullmatch(r"""("[^"]*"|'[^']*'|[^\s"']+)(?:\s+(\S+))?""", rest)
        if found is None or (found[2] and word != ".lib"):
            raise line.refuse(f"{word} takes a file{' and a section' if word == '.lib' else ''}")
        name, section = found[1].strip("\"'"), found[2]
        if re.match(r"[A-Za-z]:[\\/]|\\\\", name) or name.startswith("~"):
            raise self._leaves(line, word, name)
        target = path.parent / name.replace("\\", "/")
        try:
            real = Path(os.path.realpath(target))
        except (OSError, ValueError):
            raise line.refuse(f"{word} {shorten(name)}: not a file name") from None
        if not self._include_outside and not real.is_relative_to(self._folder):
            raise self._leaves(line, word, name)
        chain = [*within, Path(os.path.realpath(path))]
        if real in chain and section is None:
            raise line.refuse(f"{word} {shorten(name)}: the file includes itself")
        if len(chain) > MAX_INCLUDES:
            raise line.refuse(f"more than {MAX_INCLUDES} includes within includes")
        try:
            there = real.is_file()
        except OSError:
            there = False
        if not there:
            raise line.refuse(f"{word} {shorten(name)}: there is no such file beside {Path(path).name}")
        physical = list(enumerate(self._physical(target, line), start=1))
        if section is not None:
            physical = _section(line, target, physical, section)
        self._read(target, physical, chain)

    @staticmethod
    def _leaves(line: Line, word: str, name: str) -> DeckError:
        return line.refuse(
            f"{word} {shorten(name)} leaves the deck's folder: copy the file there, or "
            "spu import --include-outside (check, too) reads it"
        )


def _section(line: Line, file: Path, physical: list[tuple[int, str]], section: str) -> list[tuple[int, str]]:
    """The lines of a library file from ``.lib SECTION`` to ``.endl``."""
    inside: list[tuple[int, str]] | None = None
    for number, raw in physical:
        words = _without_comment(raw).lower().split()
        if inside is None:
            if words == [".lib", section.lower()]:
                inside = []
        elif words[:1] == [".endl"]:
            return inside
        else:
            inside.append((number, raw))
    if inside is None:
        raise line.refuse(f"{file.name} has no section {shorten(section)}")
    raise line.refuse(f"section {shorten(section)} of {file.name} has no .endl")


def _commands(path: Path, number: int, why: str) -> DeckError:
    return DeckError(
        f"{why}; nothing of it is executed here: take it out, or "
        "spu import --ignore-control (check, too) goes on without",
        file=path,
        line=number,
    )
