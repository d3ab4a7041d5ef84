"""Inputs of a network in time, from a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.base.files import read_text
from spu.base.names import shorten, suggest
from spu.problems.network import ThermodynamicNetwork

_MOST_BYTES = 2**26


def read_inputs(file: Path, network: ThermodynamicNetwork) -> tuple[FloatArray, FloatArray]:
    """Instants (m,) and inputs (m, n): a table with the columns ``time`` and names of units; other units keep theirs.

    Raises
    ------
    InputError
        If the file cannot be read or is no such table, with the line.
    """
    rows = [
        (number, [word.strip() for word in line.split(",")])
        for number, line in enumerate(read_text(file, _MOST_BYTES).splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not rows:
        raise InputError("holds no rows", file=file)
    first, head = rows[0]
    known = ("time", *network.variables)
    for word in head:
        if word not in known:
            raise InputError(
                f"no unit {shorten(word)}: the columns are time and names of units; {suggest(word, known[:9])}",
                file=file,
                line=first,
            )
    if "time" not in head or len(set(head)) < len(head) or len(rows) < 2:
        raise InputError("needs a column time, each name once, and a row for each instant", file=file, line=first)
    values = np.tile(network.input, (len(rows) - 1, 1))
    instants = np.zeros(len(rows) - 1)
    place = {name: k for k, name in enumerate(network.variables)}
    for k, (line, row) in enumerate(rows[1:]):
        if len(row) != len(head):
            raise InputError(f"a row needs {len(head)} numbers; this has {len(row)}", file=file, line=line)
        for name, word in zip(head, row, strict=True):
            value = _number(word)
            if value is None:
                raise InputError(f"{name}: {shorten(word)} is not a finite number", file=file, line=line)
            if name == "time":
                instants[k] = value
                if k and value < instants[k - 1]:
                    raise InputError(
                        f"time {value:g} comes after {instants[k - 1]:g}, and must not be before it",
                        file=file,
                        line=line,
                    )
            else:
                values[k, place[name]] = value
    return instants, values


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
