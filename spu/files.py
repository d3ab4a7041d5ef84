"""Reading and writing files so that nothing is ever half-written or reported without its place."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from spu.errors import InputError, OutputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_json(path: Path) -> Any:
    """Read a JSON file; every failure is an `InputError` with the file and, for syntax, the line."""
    text = read_text(path)
    try:
        return json.loads(text, parse_int=_whole)
    except _TooLong as error:
        line = text.count("\n", 0, text.find(error.args[0])) + 1
        message = (
            f"a whole number of {len(error.args[0])} digits: numbers of this JSON are floating-point, of at most 309"
        )
        raise InputError(message, file=path, line=line) from None
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg} (column {error.colno})", file=path, line=error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"not valid JSON: {error}", file=path) from None


class _TooLong(ValueError):
    """A whole number beyond any float; its argument is the text of it."""


def _whole(text: str) -> int:
    if len(text) > 308:
        raise _TooLong(text)
    return int(text)


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


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file aside, then rename it into place, so that it is whole or not there.

    Raises
    ------
    OutputError
        If the folder is missing or not writable.
    """
    from spu.process import aside_file

    try:
        with aside_file(path.parent) as aside:
            with aside.open("wb") as file:
                write(file)
            umask = os.umask(0)
            os.umask(umask)
            aside.chmod(0o666 & ~umask)  # files aside are private; ours are ordinary ones
            aside.replace(path)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", file=path) from None


def write_text(path: Path, text: str) -> None:
    """`write_with` for UTF-8 text; what is none, such as the bytes of a path, is written as an escape."""
    write_with(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def plain(value: Any) -> Any:
    """Turn arrays, sequences, paths and numpy scalars into what JSON holds; NaN and infinity into null."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "toarray"):  # a small sparse matrix: `spu.folder.spill` has taken the large ones out
        return plain(value.toarray())
    if hasattr(value, "tolist"):
        import numpy as np  # is there already: this file serves verbs that have not imported it yet

        listed = value.tolist()
        return listed if value.dtype.kind != "f" or bool(np.isfinite(value).all()) else plain(listed)
    if isinstance(value, Sequence):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, PurePath) else value
