"""Files of results as SPICE writes them, binary: what VACASK leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.base.errors import SimulatorFailed

_HEADER = 2**26
"""Bytes of a header, at most."""


def read_raw(path: Path, names: set[str] | None = None) -> dict[str, NDArray[Any]]:
    """The vectors of a file by name, (points,) each, real or complex; ``names`` says which, None: all.

    Raises
    ------
    SimulatorFailed
        If it is not there, no such file, or cut short.
    """
    try:
        with path.open("rb") as file:
            header = _header(file, path)
            start = file.tell()
    except OSError as error:
        raise SimulatorFailed(f"there is no result {path.name}: {error.strerror or error}") from None
    kind = np.complex128 if "complex" in header["flags"].split() else np.float64
    shape = int(header["no. points"]), len(header["variables"])
    size = shape[0] * shape[1] * np.dtype(kind).itemsize
    if shape[0] == 0 or path.stat().st_size < start + size:
        raise SimulatorFailed(f"the result {path.name} is cut short")
    table = np.memmap(path, dtype=kind, mode="r", offset=start, shape=shape)
    return {name: np.array(table[:, k]) for k, name in enumerate(header["variables"]) if names is None or name in names}


def _header(file: Any, path: Path) -> dict[str, Any]:
    """Keys in lower case; of ``variables`` the names."""
    found: dict[str, Any] = {}
    while file.tell() < _HEADER:
        line = file.readline(_HEADER).decode("utf-8", "replace")
        key, colon, value = line.partition(":")
        key = key.strip().lower()
        if not line or not colon:
            break
        if key == "binary":
            if {"flags", "no. points", "variables"} <= set(found):
                return found
            break
        if key == "variables":
            rows = [
                file.readline(_HEADER).decode("utf-8", "replace").split() for _ in range(int(found["no. variables"]))
            ]
            found[key] = [row[1] for row in rows]
        else:
            found[key] = value.strip()
    raise SimulatorFailed(f"the result {path.name} is no binary file of SPICE's")
