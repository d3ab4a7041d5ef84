"""The files of a study: arrays and what JSON holds, with a digest of both, in an ``.npz``; nothing of it is executed.

A file is written aside and renamed, so it is whole or not there; one that a disk has damaged is told by its digest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.base.array_files import MAX_MEMBERS, read_npz
from spu.base.digest import Digest
from spu.base.errors import InputError, OutputError, UsageError

__all__ = ["digest_of_item", "joined", "parts_of", "read_kept", "write_kept"]

Arrays = dict[str, NDArray[Any]]

_ABOUT = "about"

_KINDS = "biufcUS"
"""Of arrays: truth values, numbers and texts."""


def parts_of(result: Mapping[str, Any], what: str) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and scalars of a result, in the form in which they are read again.

    Raises
    ------
    UsageError
        If it is no mapping of names to arrays and to what JSON holds.
    """
    if not isinstance(result, Mapping) or not all(isinstance(key, str) for key in result):
        raise UsageError(f"{what} gave {type(result).__name__}: a dictionary of arrays and plain values is kept")
    arrays: Arrays = {}
    rest: dict[str, Any] = {}
    for key, value in result.items():
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in _KINDS or key == _ABOUT:
                raise UsageError(f"{what} gave an array {key!r} of {value.dtype}: of numbers and texts are kept")
            arrays[key] = value
        else:
            rest[key] = value
    if len(arrays) >= MAX_MEMBERS:
        raise UsageError(f"{what} gave {len(arrays)} arrays: fewer than {MAX_MEMBERS} are kept in a file")
    try:
        return arrays, json.loads(json.dumps(rest, default=_of_numpy))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} gave what is neither an array nor plain: {error}") from None


def _of_numpy(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__}")


def joined(arrays: Mapping[str, NDArray[Any]], info: Mapping[str, Any]) -> dict[str, Any]:
    """The result that `parts_of` took apart."""
    return {**arrays, **info}


def _digest(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> str:
    found = Digest()
    found.text(json.dumps(about, sort_keys=True))
    for key in sorted(arrays):
        found.text(key)
        found.array(arrays[key])
    return found.hexdigest()


def write_kept(
    file: Path, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any], *, aside: Path, durable: bool
) -> None:
    """Write a file beside its place and rename it.

    Parameters
    ----------
    file, aside:
        Its place, and a folder on the same file system.
    arrays, about:
        Whatever JSON holds, read again as it was.
    durable:
        Wait until it is on the disk, so that it is whole after a power failure, too.

    Raises
    ------
    OutputError
        If it cannot be written; what was there before still is.
    """
    text = json.dumps({"about": about, "digest": _digest(arrays, about)})
    new = aside / file.name
    try:
        with new.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **{_ABOUT: np.array(text)}, **arrays)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        new.replace(file)
        if durable:
            _settle(file.parent)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OutputError(f"cannot be written: {reason} (what is finished before it is kept)", file=file) from None


def _settle(directory: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_kept(file: Path) -> tuple[Arrays, dict[str, Any]]:
    """Arrays of a file and what was said about them.

    Raises
    ------
    InputError
        If it is not there or damaged.
    """
    arrays = read_npz(file)
    try:
        text = json.loads(str(arrays.pop(_ABOUT)[()]))
        about, digest = text["about"], text["digest"]
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        raise InputError("is damaged: it says nothing about itself", file=file) from None
    if not isinstance(about, dict) or digest != _digest(arrays, about):
        raise InputError("is damaged: its content is not what its digest is of", file=file)
    return arrays, about


def digest_of_item(item: Any) -> str:
    """Of what a piece is done for: arrays, what JSON holds, and lists, tuples and dictionaries of such.

    Raises
    ------
    UsageError
        If it holds anything else.
    """
    found = Digest()

    def take(value: Any) -> None:
        if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
            found.text("array")
            found.array(value)
        elif value is None or isinstance(value, (bool, int, float, str)):
            found.text(type(value).__name__, repr(value))
        elif isinstance(value, np.generic):
            take(value.item())
        elif isinstance(value, Mapping):
            found.text("mapping", str(len(value)))
            for key in sorted(value):
                found.text(key)
                take(value[key])
        elif isinstance(value, Sequence):
            found.text("sequence", str(len(value)))
            for each in value:
                take(each)
        else:
            raise UsageError(f"an item of a kept piece holds {type(value).__name__}: arrays and plain values only")

    take(item)
    return found.hexdigest()
