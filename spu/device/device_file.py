"""What a device's JSON file holds, and how its numbers are read and written."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.base.names import suggest
from spu.base.sparse import from_fields
from spu.device.columns import Columns

KEYS = (
    "format",
    "temperature",
    "architecture",
    "compiled",
    "detail",
    "banks",
    "cells",
    "couplers",
    "readout",
    "programmings",
)

FEW = 1000  # entries of a readout matrix that are written out even if most are zero: people read them


def with_codes(columns: Columns, keys: list[str], texts: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Keys and texts of rows, with the codes after them where there are banks."""
    if not columns.banks:
        return keys, texts
    return [*keys, "codes"], [*texts, [json.dumps(columns.code_row(k)) for k in range(len(texts[0]))]]


def apart(rows: Any, columns: Columns) -> tuple[Any, list[Any]]:
    """Rows without their codes, and these; rows as they are where nothing is quantised."""
    if not columns.banks or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return rows, []
    return (
        [{key: value for key, value in row.items() if key != "codes"} for row in rows],
        [row.get("codes") for row in rows],
    )


def take_codes(columns: Columns, rows: list[Any], where: list[str], file: str | None) -> None:
    """Set the codes that were read; a value written beside one must be the bank's value at that code."""
    written = dict(columns.arrays)
    columns.set_codes(columns.read_codes(rows, where, file))
    for quantity, bank in columns.banks.items():
        for key in columns.parts[quantity].keys:
            given, found = written[key], columns.arrays[key]
            off = ~np.isnan(given) & (np.abs(given - np.nan_to_num(found)) > 1e-6 * bank.lsb + 1e-9 * np.abs(given))
            for k in np.flatnonzero(off)[:1].tolist():
                raise InputError(
                    f"{where[k]}: {quantity} {given[k]:.9g} is not what code {columns.codes[key][k]} gives, "
                    f"{np.nan_to_num(found[k]):.9g}: leave the value out, or make them agree",
                    file=file,
                )


def nested_numbers(data: Any, dimensions: int, where: str, file: str | None) -> FloatArray:
    """An array out of nested lists of plain numbers: no strings, no booleans, no ragged rows."""

    def plain(value: Any, depth: int) -> bool:
        if depth == 0:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        return isinstance(value, list) and all(plain(entry, depth - 1) for entry in value)

    if plain(data, dimensions):
        try:
            array = np.array(data, dtype=np.float64)
        except (ValueError, OverflowError):  # ragged, or an integer beyond any float
            array = np.empty(())
        if array.ndim == dimensions:
            return array
    shape = "a list of numbers" if dimensions == 1 else "a list of rows of numbers, all of one length"
    raise InputError(f"{where} must be {shape}", file=file)


def sparse_numbers(data: dict[str, Any], where: str, file: str | None) -> sp.csr_array:
    """A matrix out of the object that `spu.base.sparse.to_fields` makes."""
    try:
        matrix = from_fields(data)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where} is not a readable sparse matrix: {error}", file=file) from None
    if matrix.data.dtype.kind not in "if":
        raise InputError(f"{where} must hold numbers", file=file)
    return matrix


def json_object(data: Any, what: str, keys: tuple[str, ...], file: str | None) -> dict[str, Any]:
    """A JSON object with none but these keys."""
    if not isinstance(data, dict):
        raise InputError(f"{what} must be a JSON object", file=file)
    for key in data:
        if key not in keys:
            raise InputError(f"{what} has no key {key!r}; {suggest(key, keys)}", file=file)
    return data
