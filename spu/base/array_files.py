"""NumPy's files, looked at before they are unpacked: what a header or an archive promises is no more than it may hold.

A compressed archive of a megabyte unpacks to a gigabyte of zeros, and the header of an array is text that may promise
any size.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from spu.base.errors import InputError
from spu.base.files import check_file
from spu.base.names import first_line, shorten

__all__ = ["MAX_ENTRIES", "MAX_MEMBERS", "parsing", "read_npy", "read_npz"]

MAX_ENTRIES = 10_000**2
"""Of one array: the largest matrix that is taken, dense."""

MAX_UNPACKED = 4 * 8 * MAX_ENTRIES
"""Bytes of all arrays of an archive that is not compressed: the largest problem that is written."""

MAX_COMPRESSED = 2**27
"""Bytes that any archive may unpack to; beyond, at most `MAX_RATIO` times its size."""

MAX_RATIO = 20
"""Compression gains less on numbers that are no mere repetition; zeros become a thousand times smaller."""

MAX_MEMBERS = 64
"""Of an archive."""

_MAX_DIRECTORY = 2**16  # bytes of the list of members
_MOST_TAIL = 2**16 + 200  # bytes in which an archive's last records lie, with the longest comment


def read_npy(path: str | Path) -> NDArray[Any]:
    """Read the array of a ``.npy`` file.

    Raises
    ------
    InputError
        If it is none, holds Python objects, or promises more than the file holds or than `MAX_ENTRIES`.
    """
    size = check_file(path)
    with parsing(path, "NumPy"), Path(path).open("rb") as stream:
        _check_header(cast(IO[bytes], stream), size)
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file, by name.

    Raises
    ------
    InputError
        If it is none, or would unpack to more than is said above.
    """
    size = check_file(path)
    with parsing(path, "NumPy .npz"):
        with Path(path).open("rb") as stream:
            if stream.read(2) != b"PK":
                raise InputError("is not a readable NumPy .npz file: not a zip archive", file=path)
            _check_directory(stream, size, path)
        found = {}
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if len(members) > MAX_MEMBERS:
                raise InputError(f"has {len(members)} members: at most {MAX_MEMBERS} arrays are read", file=path)
            if unpacked > max(MAX_COMPRESSED, MAX_RATIO * size) or unpacked > MAX_UNPACKED:
                raise InputError(
                    f"unpacks to more than a problem of the largest size, or than {MAX_RATIO} times its own "
                    f"({unpacked:,} bytes from {size:,}): store a matrix of zeros as sparse (scipy.sparse.save_npz), "
                    "or uncompressed (numpy.savez)",
                    file=path,
                )
            for member in members:
                name = member.filename
                if not name.endswith(".npy"):
                    raise InputError(f"holds {shorten(name)}, which is no array", file=path)
                with archive.open(member) as part:
                    _check_header(part, member.file_size)
                with archive.open(member) as part:
                    found[name[:-4]] = np.lib.format.read_array(part, allow_pickle=False)
        return found


@contextmanager
def parsing(path: str | Path, kind: str) -> Iterator[None]:
    """Turn whatever a foreign parser raises on bytes it does not like into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"declares more data than memory can hold as a {kind} file", file=path) from error
    except Exception as error:
        # NumPy, zipfile and SciPy promise no particular exceptions on corrupt input: over
        # the years ValueError, EOFError, SyntaxError, struct.error, zlib.error and more.
        raise InputError(f"is not a readable {kind} file: {first_line(error)}", file=path) from error


def _check_header(stream: IO[bytes], size: int) -> None:
    """Refuse an array by its header; ``size`` is that of the file with it. A `ValueError` says why."""
    version = np.lib.format.read_magic(cast(Any, stream))
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]} of the format, which only arrays of records need")
    shape, _, dtype = readers[version](cast(Any, stream))
    if dtype.hasobject:
        raise ValueError("it holds Python objects (pickled), which are never loaded")
    if dtype.names is not None or dtype.subdtype is not None or dtype.itemsize == 0:
        raise ValueError(f"its entries are of type {shorten(str(dtype))}, not numeric: only numbers and names are read")
    if any(length < 0 for length in shape):
        raise ValueError(f"its shape {shorten(shape)} is negative")
    entries = math.prod(shape)
    if entries > MAX_ENTRIES:
        raise ValueError(
            f"its shape {shorten(shape)} means {_figure(entries)} entries: at most {MAX_ENTRIES:,} are read"
        )
    promised, there = entries * dtype.itemsize, size - stream.tell()
    if promised > there:
        raise ValueError(f"its shape {shorten(shape)} takes {_figure(promised)} bytes, and {there:,} are there")


def _figure(count: int) -> str:
    return f"{count:,}" if count < 10**15 else "more than 10^15"


def _check_directory(stream: IO[bytes], size: int, path: str | Path) -> None:
    """Refuse an archive with a list of members that would take long to read."""
    stream.seek(max(0, size - _MOST_TAIL), os.SEEK_SET)
    tail = stream.read()
    for mark, offset, length in ((b"PK\x05\x06", 12, 4), (b"PK\x06\x06", 40, 8)):
        place = tail.rfind(mark)
        stated = int.from_bytes(tail[place + offset : place + offset + length], "little") if place >= 0 else 0
        if stated > _MAX_DIRECTORY and stated != 2**32 - 1:
            raise InputError(f"has too many members: at most {MAX_MEMBERS} arrays are read", file=path)
