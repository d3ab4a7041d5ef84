"""Reading and writing files so that nothing is ever half-written or reported without its place."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from spu.base.errors import InputError, OutputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


MAX_BYTES = 2**29
"""Of a text file that is read whole: the largest device that is taken makes some 300 MB of JSON."""

_MAX_LISTS = 10_000_000
_MAX_VALUES = 50_000_000  # of JSON: an empty list costs two bytes in a file and 64 in memory


def read_json(path: Path, most: int = MAX_BYTES) -> Any:
    """Read a JSON file; every failure is an `InputError` with the file and, for syntax, the line."""
    text = read_text(path, most)
    if text.count("{") + text.count("[") > _MAX_LISTS or text.count(",") > _MAX_VALUES:
        message = f"more than {_MAX_LISTS:,} lists and objects, or {_MAX_VALUES:,} values, are not read as JSON"
        raise InputError(message, file=path)
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


def check_file(path: str | Path) -> int:
    """Check that a path is that of a regular file that is not empty, and give its size in bytes.

    Raises
    ------
    InputError
        If there is no such file, it is a directory or a device, it cannot be looked at, or it is empty.
    """
    try:
        where = Path(path)
        if where.is_dir():
            raise InputError("is a directory, not a file", file=path)
        if not where.exists():
            raise InputError("no such file", file=path)
        if not where.is_file():
            # A FIFO or a device might never end.
            raise InputError(f"is {kind_of_file(where)}, not a regular file", file=path)
        size = where.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file=path) from error
    if not size:
        raise InputError("the file is empty", file=path)
    return size


def kind_of_file(path: Path) -> str:
    """What a path leads to, with its article, of what is there: "a named pipe"."""
    mode = path.stat().st_mode
    kinds = {
        stat.S_IFREG: "a regular file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something special")


def read_bytes(path: str | Path, most: int = MAX_BYTES) -> bytes:
    """Read a whole regular file.

    Raises
    ------
    InputError
        As `check_file`, and if it cannot be read or has more than ``most`` bytes.
    """
    size = check_file(path)
    if size > most:
        raise InputError(f"has {size:,} bytes: at most {most:,} are read of a file of this kind", file=path)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from error


def read_text(path: str | Path, most: int = MAX_BYTES) -> str:
    """Read a whole UTF-8 text file, with or without byte-order mark.

    Raises
    ------
    InputError
        As `read_bytes`, and with the line where the text is not UTF-8.
    """
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8 text: byte 0x{data[error.start]:02x}",
            file=path,
            line=data.count(b"\n", 0, error.start) + 1,
        ) from error


# --- TOML ----------------------------------------------------------------------------------

_MAX_TOML = 4 * 2**20  # bytes: the parser, in Python, takes about a second for two million
_MAX_KEYS = 20_000  # half a millisecond each, all in all
_MAX_PARTS = 32  # of a dotted key: the parser takes their number squared

_KEY = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[\w-]+)"""
_LONG_KEY = re.compile(rf"""(?<![\w"'-]){_KEY}(?:[ \t]*\.[ \t]*{_KEY}){{{_MAX_PARTS}}}""")
_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|'{3}.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|'''
    r"""[\[\]{}\n=.]|[^\s"'#\[\]{}=.]+|[^\S\n]+|.""",
    re.DOTALL,
)


def read_toml(path: str | Path) -> str:
    """Read the text of a TOML file, of a length that is parsed in seconds."""
    return read_text(path, _MAX_TOML)


def parse_toml(text: str, file: str | Path | None = None) -> dict[str, Any]:
    """Parse TOML text.

    Raises
    ------
    InputError
        If the text is not TOML, with the line, where the parser gives one; if it has more or longer keys than
        anything that is read here.
    """
    if text.count("=") > _MAX_KEYS:
        raise InputError(f"has more than {_MAX_KEYS:,} keys: none of ours has so many", file=file)
    long = _LONG_KEY.search(text)
    if long is not None:
        begins = text.count("\n", 0, long.start()) + 1
        raise InputError(f"a key of more than {_MAX_PARTS} parts with dots between them", file=file, line=begins)
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

    The parser of the standard library keeps no positions. Here the document is cut into statements, and only of
    those that may hold the key inside their value the value is parsed.

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
    if text is None or not path:
        return None
    text = text.replace("\r\n", "\n")
    table: tuple[str, ...] = ()
    for key, is_header, start, end in _statements(text):
        full = key if is_header else (*table, *key)
        if is_header:
            table = key
        if path[: len(full)] == full[: len(path)] and (
            len(path) <= len(full) or (not is_header and _has(_value(text[start:end], key), path[len(full) :]))
        ):
            return text.count("\n", 0, start) + 1
    return None


def _statements(text: str) -> Iterator[tuple[tuple[str, ...], bool, int, int]]:
    """Key of each statement or header of a TOML document, which of the two it is, its start and its end."""
    key: list[str] = []
    start, depth, is_header, in_value = 0, 0, False, False
    for found in _TOKEN.finditer(text + "\n"):
        token = found[0]
        if token[0] in " \t#":
            continue
        if token == "\n" and depth == 0:
            if key:
                yield tuple(key), is_header, start, found.start()
            key, is_header, in_value = [], False, False
        elif in_value:
            depth += (token in ("[", "{")) - (token in ("]", "}"))
        elif token == "[":
            is_header, start = True, start if is_header else found.start()
        elif token == "=":
            in_value = True
        elif token not in (".", "]", "\n"):
            start = start if key or is_header else found.start()
            key.append(_plain_key(token))


def _plain_key(token: str) -> str:
    if token[0] not in "\"'":
        return token
    return token[1:-1] if "\\" not in token or token[0] == "'" else str(next(iter(tomllib.loads(f"{token} = 0"))))


def _value(statement: str, key: tuple[str, ...]) -> Any:
    """The value of a statement; None if it is not valid by itself."""
    try:
        value: Any = tomllib.loads(statement)
    except (ValueError, RecursionError):
        return None
    for part in key:
        value = value[part]
    return value


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
        If the folder is missing or not writable, or something is there that is no regular file.
    """
    from spu.base.process import aside_file

    try:
        if path.exists() and not path.is_file():
            # A rename would put a file in the place of a device or a pipe that somebody else has.
            raise OutputError(f"cannot be written: it is {kind_of_file(path)}, not a regular file", file=path)
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
    if hasattr(value, "toarray"):  # a small sparse matrix: `spu.folder.arrays.spill` has taken the large ones out
        return plain(value.toarray())
    if hasattr(value, "tolist"):
        import numpy as np  # is there already: this file serves verbs that have not imported it yet

        listed = value.tolist()
        return listed if value.dtype.kind != "f" or bool(np.isfinite(value).all()) else plain(listed)
    if isinstance(value, Sequence):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, PurePath) else value
