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
    head, rows = _table(file, ("time", *network.variables), "the columns are time and names of units")
    if "time" not in head:
        raise InputError("needs a column time", file=file, line=1)
    values = np.tile(network.input, (len(rows), 1))
    instants = np.zeros(len(rows))
    for k, (line, row) in enumerate(rows):
        for name, value in zip(head, row, strict=True):
            if name == "time":
                instants[k] = value
                if k and value < instants[k - 1]:
                    raise InputError(
                        f"time {value:g} comes after {instants[k - 1]:g}, and must not be before it",
                        file=file,
                        line=line,
                    )
            else:
                values[k, network.variables.index(name)] = value
    return instants, values


def read_own_inputs(file: Path, network: ThermodynamicNetwork) -> FloatArray:
    """(trajectories, n) inputs: a table with names of units as columns, a trajectory a row; other units have none.

    Raises
    ------
    InputError
        If the file cannot be read or is no such table, with the line.
    """
    head, rows = _table(file, network.variables, "the columns are names of units, and a row is a trajectory")
    values = np.zeros((len(rows), network.n))
    values[:, [network.variables.index(name) for name in head]] = [row for _, row in rows]
    return values


def _table(file: Path, known: tuple[str, ...], columns: str) -> tuple[list[str], list[tuple[int, list[float]]]]:
    """The names of the columns, and of each row its line and numbers."""
    rows = [
        (number, [word.strip() for word in line.split(",")])
        for number, line in enumerate(read_text(file, _MOST_BYTES).splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not rows:
        raise InputError("holds no rows", file=file)
    first, head = rows[0]
    for word in head:
        if word not in known:
            raise InputError(
                f"no unit {shorten(word)}: {columns}; {suggest(word, known[:9])}",
                file=file,
                line=first,
            )
    if len(set(head)) < len(head) or len(rows) < 2:
        raise InputError("needs each name once, and rows of numbers", file=file, line=first)
    found = []
    for line, row in rows[1:]:
        if len(row) != len(head):
            raise InputError(f"a row needs {len(head)} numbers; this has {len(row)}", file=file, line=line)
        values = [_number(word) for word in row]
        for name, word, value in zip(head, row, values, strict=True):
            if value is None:
                raise InputError(f"{name}: {shorten(word)} is not a finite number", file=file, line=line)
        found.append((line, [value for value in values if value is not None]))
    return head, found


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
