"""Reading and writing files so that nothing is ever half-written or reported without its place."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from spu.errors import InputError, OutputError


def read_json(path: Path) -> Any:
    """Read a JSON file; every failure is an `InputError` with the file and, for syntax, the line."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg} (column {error.colno})", file=path, line=error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"not valid JSON: {error}", file=path) from None


def read_text(path: Path) -> str:
    """Read a UTF-8 file; every failure is an `InputError` that names it."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except IsADirectoryError:
        raise InputError("is a folder; a file is needed", file=path) from None
    except UnicodeDecodeError:
        raise InputError("is not text (UTF-8)", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file aside, then rename it into place, so that it is whole or not there.

    Raises
    ------
    OutputError
        If the folder is missing or not writable.
    """
    aside = None
    try:
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(aside, 0o666 & ~umask)  # mkstemp makes private files; ours are ordinary ones  # noqa: PTH101
        Path(aside).replace(path)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", file=path) from None
    finally:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_with` for UTF-8 text."""
    write_with(path, lambda file: file.write(text.encode()))
