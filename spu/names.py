"""What users write and the tool must check: names, keys and the text files that hold them."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spu.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "check_name",
    "check_names",
    "key_line",
    "parse_toml",
    "read_bytes",
    "read_text",
    "shorten",
    "suggest",
]

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
# Both are the reference node in every SPICE: a variable of that name would be shorted to ground.
_GROUND = frozenset({"0", "gnd"})


def check_name(name: object, what: str, file: str | Path | None = None, line: int | None = None) -> str:
    """Check one name that will become a SPICE node or element name.

    Parameters
    ----------
    name:
        The name; 1 to 64 ASCII letters, digits and underscores, and neither ``0`` nor ``gnd``.
    what:
        What is being named, for the message, with its article ("a variable").
    file, line:
        Where the name was written, if it was in a file.

    Returns
    -------
    str
        The name, unchanged.

    Raises
    ------
    InputError
        If the name breaks the rule.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InputError(
            f"{shorten(name)} cannot name {what}: use 1 to 64 of A-Z, a-z, 0-9 and _",
            file=file,
            line=line,
        )
    if name.lower() in _GROUND:
        raise InputError(f"{name!r} cannot name {what}: it is the ground node in SPICE", file=file, line=line)
    return name


def check_names(
    names: Iterable[object], what: str, file: str | Path | None = None, line: int | None = None
) -> tuple[str, ...]:
    """Check a list of names, which must also differ by more than case (SPICE ignores case).

    Parameters
    ----------
    names:
        The names, in order. A bare string is refused: it would be read letter by letter.
    what, file, line:
        As for `check_name`.

    Returns
    -------
    tuple of str
        The names, unchanged and in order.

    Raises
    ------
    InputError
        If a name breaks the rule of `check_name`, or two names are equal but for case.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise InputError(f"{shorten(names)} is not a list of names", file=file, line=line)
    checked = tuple(check_name(name, what, file, line) for name in names)
    seen: dict[str, str] = {}
    for name in checked:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} cannot both name {what}: SPICE ignores case",
                file=file,
                line=line,
            )
    if len(seen) < len(checked):
        twice = next(name for name in checked if checked.count(name) > 1)
        raise InputError(f"{twice!r} cannot name {what} twice", file=file, line=line)
    return checked


def suggest(word: object, valid: Iterable[str]) -> str:
    """Say which valid words there are, the nearest to `word` first in line.

    Parameters
    ----------
    word:
        What the user wrote.
    valid:
        The words that would have been right.

    Returns
    -------
    str
        ``"did you mean 'b'? (valid: a, b, c)"``, or ``"valid: a, b, c"`` if nothing is near.
    """
    words = list(valid)
    near = difflib.get_close_matches(str(word).lower()[:80], words, n=1, cutoff=0.5)
    listed = f"valid: {', '.join(words)}"
    return f"did you mean {near[0]!r}? ({listed})" if near else listed


def shorten(value: object, limit: int = 60) -> str:
    """Give the ``repr`` of a value, cut to fit a one-line message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def read_bytes(path: str | Path) -> bytes:
    """Read a whole regular file.

    Raises
    ------
    InputError
        If there is no such file, it is a directory or a device, it cannot be read, or it is empty.
    """
    try:
        where = Path(path)
        if where.is_dir():
            raise InputError("is a directory, not a file", file=path)
        if not where.exists():
            raise InputError("no such file", file=path)
        if not where.is_file():
            # A FIFO or a device might never end.
            raise InputError("is not a regular file", file=path)
        data = where.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", file=path) from error
    if not data:
        raise InputError("the file is empty", file=path)
    return data


def read_text(path: str | Path) -> str:
    """Read a whole UTF-8 text file, with or without byte-order mark.

    Raises
    ------
    InputError
        As `read_bytes`, and with the line where the text is not UTF-8.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8 text: byte 0x{data[error.start]:02x}",
            file=path,
            line=data.count(b"\n", 0, error.start) + 1,
        ) from error


def parse_toml(text: str, file: str | Path | None = None) -> dict[str, Any]:
    """Parse TOML text.

    Raises
    ------
    InputError
        If the text is not TOML; with the line, where the parser gives one.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InputError("not valid TOML that can be read: nested too deeply", file=file) from error
    except ValueError as error:
        # TOMLDecodeError, or the ValueError of an integer with thousands of digits. Its
        # place is only in the text of the message before Python 3.14.
        message = str(error)
        place = re.search(r"\s*\(at (?:line (\d+), column \d+|end of document)\)", message)
        line = None
        if place is not None:
            message = message[: place.start()]
            line = int(place[1]) if place[1] else text.rstrip().count("\n") + 1
        raise InputError(f"not valid TOML: {message}", file=file, line=line) from error


def key_line(text: str | None, *path: str) -> int | None:
    """Find the line of the statement that sets a key in a valid TOML document.

    The parser of the standard library keeps no positions, so the document is parsed
    again statement by statement until one sets the key.

    Parameters
    ----------
    text:
        The document; None gives None.
    path:
        The key, from the outermost table inwards: ``("cell", "capacitance", "nominal")``.

    Returns
    -------
    int or None
        The first line of the statement, counted from 1; None if there is none.
    """
    if text is None:
        return None
    table: list[str] = []
    statement: list[str] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        statement.append(line)
        # A value over several lines can only end in one of these; to parse at every
        # row of a long matrix would take quadratic time.
        closes = line.partition("#")[0].rstrip().endswith(("]", "}", '"""', "'''"))
        if len(statement) > 1 and not closes:
            continue
        try:
            value: Any = tomllib.loads("\n".join(statement))
        except (ValueError, RecursionError):
            continue
        first, statement = number - len(statement) + 1, []
        is_header = first == number and line.lstrip().startswith("[")
        reached = [] if is_header else list(table)
        if is_header:
            table = _chain(value)
        if _has(value, path[len(reached) :]) and list(path[: len(reached)]) == reached:
            return first
    return None


def _chain(value: Any) -> list[str]:
    """Keys of nested one-key tables: what a TOML header such as ``[a.b]`` parses to."""
    keys: list[str] = []
    while value:
        if isinstance(value, list):
            value = value[-1]
            continue
        key, value = next(iter(value.items()))
        keys.append(key)
    return keys


def _has(value: Any, path: tuple[str, ...]) -> bool:
    """Whether nested dictionaries hold a non-empty path of keys."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return bool(path)
