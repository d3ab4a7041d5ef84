"""The JSON file of a device: what it holds, how it is written and read.

`spu.device.device.Device` offers these functions as its methods; here a device is what `Programmed` says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import ROOM_TEMPERATURE
from spu.base.errors import InputError
from spu.base.names import check_name, check_names, shorten, suggest
from spu.base.sparse import from_fields, is_diagonal, to_fields
from spu.circuit.ramp import Ramp
from spu.circuit.readout import Readout, checked_readout
from spu.device.banks import bank_from_dict
from spu.device.columns import Columns
from spu.device.imperfections import Detail, detail_from_dict
from spu.device.noises import Noises
from spu.device.programming import Origin, Programming
from spu.device.quantities import bankable
from spu.device.tolerance import Tolerance, tolerance_from_dict

FORMAT = "spu-device/1"

_KEYS = (
    "format",
    "temperature",
    "architecture",
    "compiled",
    "detail",
    "tolerance",
    "banks",
    "cells",
    "couplers",
    "noises",
    "readout",
    "programmings",
    "ramp",
    "start",
)

_FEW = 1000  # entries of a readout matrix that are written out even if most are zero: people read them


class Programmed(Protocol):
    """What of a `Device` its file holds, and what finds its cells."""

    temperature: float
    architecture: str | None
    detail: Detail
    tolerance: Tolerance
    origin: Origin | None
    cell_names: list[str]
    cell_columns: Columns
    coupler_ends: IntArray
    coupler_columns: Columns
    shared: Noises
    programmings: list[Programming]
    ramp: Ramp | None
    start: FloatArray | None
    _readout: Readout | None
    _index: dict[str, int]

    @property
    def readout(self) -> Readout:
        """The map to problem variables."""

    @property
    def quantised(self) -> bool:
        """Whether any value is that of a bank."""

    @property
    def coupler_labels(self) -> list[str]:
        """``a-b`` for each coupler."""

    def _ends(self, a: Any, b: Any, where: str, file: str | None = None) -> list[int]: ...


P = TypeVar("P", bound=Programmed)


def to_dict(device: Programmed) -> dict[str, Any]:
    """The device file as a JSON-able dictionary (format ``spu-device/1``)."""
    data: dict[str, Any] = {"format": FORMAT, "temperature": device.temperature}
    if device.architecture is not None:
        data["architecture"] = device.architecture
    if device.origin is not None:
        data["compiled"] = device.origin.to_dict()
    if device.detail:
        data["detail"] = device.detail.to_dict()
    if device.tolerance:
        data["tolerance"] = device.tolerance.to_dict()
    if device.quantised:
        data["banks"] = banks_dict(device)
    data["cells"] = [
        {"name": name, **_codes_dict(device.cell_columns, k), **device.cell_columns.values(k)}
        for k, name in enumerate(device.cell_names)
    ]
    data["couplers"] = [
        {
            "a": device.cell_names[a],
            "b": device.cell_names[b],
            **_codes_dict(device.coupler_columns, k),
            **device.coupler_columns.values(k),
        }
        for k, (a, b) in enumerate(device.coupler_ends.tolist())
    ]
    if device.shared:
        data["noises"] = _noise_rows(device)
    if device._readout is not None:
        data["readout"] = _readout_dict(device._readout)
    if device.programmings:
        data["programmings"] = [_programming_dict(programming) for programming in device.programmings]
    if device.ramp is not None:
        data["ramp"] = device.ramp.to_dict()
    if device.start is not None:
        data["start"] = np.asarray(device.start).tolist()
    return data


def _noise_rows(device: Programmed) -> list[dict[str, Any]]:
    return [{"name": each.name, "amplitudes": each.amplitudes} for each in device.shared.values(device.cell_names)]


def _start_from(given: Any, cells: int, file: str | None) -> FloatArray:
    """Volts of the cells at time zero."""
    good = isinstance(given, list) and len(given) == cells and all(type(each) in (int, float) for each in given)
    if not (good and np.isfinite(given).all()):
        raise InputError(f'"start" must be a list of {cells} numbers: V of each cell at time zero', file=file)
    return np.array(given, dtype=np.float64)


def banks_dict(device: Programmed) -> dict[str, Any]:
    """The banks of cells and couplers by quantity, as the file holds them."""
    both = {"cell": device.cell_columns, "coupler": device.coupler_columns}
    return {
        part: {quantity: bank.to_dict() for quantity, bank in columns.banks.items()}
        for part, columns in both.items()
        if columns.banks
    }


def _codes_dict(columns: Columns, index: int) -> dict[str, Any]:
    if not columns.banks:
        return {}
    errors = {"errors": columns.error_row(index)} if columns.errors else {}
    return {"codes": columns.code_row(index), **errors}


def _programming_dict(programming: Programming) -> dict[str, Any]:
    """A further programming: its codes in the order of cells and couplers, one list a key."""
    data: dict[str, Any] = {}
    for part, codes in (("cell_codes", programming.cell_codes), ("coupler_codes", programming.coupler_codes)):
        if codes:
            data[part] = {key: array.tolist() for key, array in codes.items()}
    data["readout"] = _readout_dict(programming.readout)
    if not np.isnan(programming.bias).all():
        data["bias"] = np.nan_to_num(programming.bias).tolist()
    return data


def _readout_dict(readout: Readout) -> dict[str, Any]:
    matrix = readout.matrix
    given: dict[str, Any] = {"variables": list(readout.variables)}
    if is_diagonal(matrix):
        given["gain"] = matrix.diagonal().tolist()
    elif matrix.shape[0] * matrix.shape[1] > max(_FEW, 4 * matrix.nnz):
        given["matrix"] = to_fields(matrix)
    else:
        given["matrix"] = matrix.toarray().tolist()
    return {**given, "offset": readout.offset.tolist()}


def pieces(device: Programmed) -> Iterator[str]:
    """The text of the device file in pieces of many lines: one cell or coupler a line."""
    yield f'{{\n  "format": "{FORMAT}",\n  "temperature": {json.dumps(device.temperature)}'
    if device.architecture is not None:
        yield f',\n  "architecture": {json.dumps(device.architecture)}'
    if device.origin is not None:
        yield f',\n  "compiled": {json.dumps(device.origin.to_dict())}'
    if device.detail:
        yield f',\n  "detail": {json.dumps(device.detail.to_dict())}'
    if device.tolerance:
        yield f',\n  "tolerance": {json.dumps(device.tolerance.to_dict())}'
    if device.quantised:
        yield f',\n  "banks": {json.dumps(banks_dict(device))}'
    names = [json.dumps(name) for name in device.cell_names]
    yield ',\n  "cells": ['
    yield from device.cell_columns.json(*_with_codes(device.cell_columns, ["name"], [names]))
    yield "]"
    a, b = device.coupler_ends.T.tolist()
    yield ',\n  "couplers": ['
    ends = [[names[k] for k in a], [names[k] for k in b]]
    yield from device.coupler_columns.json(*_with_codes(device.coupler_columns, ["a", "b"], ends))
    yield "]"
    if device.shared:
        lines = (f"    {json.dumps(row)}" for row in _noise_rows(device))
        yield ',\n  "noises": [\n' + ",\n".join(lines) + "\n  ]"
    if device._readout is not None:
        yield f',\n  "readout": {json.dumps(_readout_dict(device._readout))}'
    if device.programmings:
        lines = (f"    {json.dumps(_programming_dict(programming))}" for programming in device.programmings)
        yield ',\n  "programmings": [\n' + ",\n".join(lines) + "\n  ]"
    if device.ramp is not None:
        yield f',\n  "ramp": {json.dumps(device.ramp.to_dict())}'
    if device.start is not None:
        yield f',\n  "start": {json.dumps(np.asarray(device.start).tolist())}'
    yield "\n}\n"


def write_to(device: Programmed, stream: BinaryIO) -> None:
    """Write the device file to an open stream, piece by piece."""
    for piece in pieces(device):
        stream.write(piece.encode())


def from_dict(made: Callable[..., P], data: Any, file: str | None = None) -> P:
    """Build a device, by its class, from the dictionary of a device file; errors name ``file``."""
    data = _json_object(data, "a device file", _KEYS, file)
    if data.get("format") != FORMAT:
        raise InputError(f'"format" must be "{FORMAT}", not {data.get("format")!r}', file=file)
    temperature = data.get("temperature", ROOM_TEMPERATURE)
    architecture = data.get("architecture")
    if not (architecture is None or isinstance(architecture, str)):
        raise InputError(f"architecture must be a string, not {architecture!r}", file=file)
    try:
        device = made(temperature=temperature, architecture=architecture)
        device.detail = detail_from_dict(data.get("detail", {}))
        device.tolerance = tolerance_from_dict(data.get("tolerance", {}))
    except InputError as error:
        raise InputError(error.message, file=file) from None
    if "compiled" in data:
        device.origin = _origin_from_dict(data["compiled"], file)
    _read_banks(device, data.get("banks", {}), file)
    cells, cell_codes = _apart(data.get("cells"), device.cell_columns)
    couplers, coupler_codes = _apart(data.get("couplers", []), device.coupler_columns)
    _read_cells(device, cells, file)
    _read_couplers(device, couplers, file)
    if device.cell_columns.banks:
        where = [f"cells[{k}] ({name})" for k, name in enumerate(device.cell_names)]
        _take_codes(device.cell_columns, cell_codes, where, file)
    if device.coupler_columns.banks:
        where = [f"couplers[{k}] ({name})" for k, name in enumerate(device.coupler_labels)]
        _take_codes(device.coupler_columns, coupler_codes, where, file)
    _read_noises(device, data.get("noises", []), file)
    if "readout" in data:
        device._readout = _read_readout(device, data["readout"], file)
    _read_programmings(device, data.get("programmings", []), file)
    if data.get("start") is not None:
        device.start = _start_from(data["start"], len(device.cell_names), file)
    if data.get("ramp") is not None:
        try:
            device.ramp = Ramp.from_dict(data["ramp"])
        except InputError as error:
            raise InputError(error.message, file=file) from None
    return device


def _origin_from_dict(data: Any, file: str | None) -> Origin:
    data = _json_object(data, "compiled", ("source", "values"), file)
    for key in ("source", "values"):
        if not isinstance(data.get(key), str):
            raise InputError(f'"compiled" needs {key}, a text, not {shorten(data.get(key))}', file=file)
    return Origin(data["source"], data["values"])


def _read_banks(device: Programmed, data: Any, file: str | None) -> None:
    both = {"cell": device.cell_columns, "coupler": device.coupler_columns}
    for part, banks in _json_object(data, "banks", tuple(both), file).items():
        for quantity, described in _json_object(banks, f"banks.{part}", bankable(part), file).items():
            both[part].banks[quantity] = bank_from_dict(described, quantity, f"banks.{part}.{quantity}: ", file)


def _read_programmings(device: Programmed, rows: Any, file: str | None) -> None:
    if not isinstance(rows, list):
        raise InputError('"programmings" must be a list', file=file)
    if rows and not device.quantised:
        raise InputError('"programmings" are codes, and this device has no "banks"', file=file)
    for k, row in enumerate(rows):
        where = f"programmings[{k}]"
        data = _json_object(row, where, ("cell_codes", "coupler_codes", "readout", "bias"), file)
        cell, coupler = (
            _programmed_codes(data.get(key, {}), columns, f"{where}.{key}", labels, file)
            for key, columns, labels in (
                ("cell_codes", device.cell_columns, device.cell_names),
                ("coupler_codes", device.coupler_columns, device.coupler_labels),
            )
        )
        bias = np.array(device.cell_columns.arrays["bias"])
        if "bias" in data:
            bias = _nested_numbers(data["bias"], 1, f"{where}.bias", file)
            if bias.shape != (len(device.cell_names),) or not np.isfinite(bias).all():
                raise InputError(f"{where}.bias needs {len(device.cell_names)} finite numbers", file=file)
        its = _read_readout(device, data["readout"], file) if "readout" in data else device.readout
        if its.variables != device.readout.variables:
            raise InputError(f"{where}.readout has other variables than the device's", file=file)
        device.programmings.append(Programming(cell, coupler, its, np.where(bias != 0, bias, np.nan)))


def _programmed_codes(
    data: Any, columns: Columns, where: str, labels: Sequence[str], file: str | None
) -> dict[str, IntArray]:
    bank_of = {key: bank for quantity, bank in columns.banks.items() for key in columns.parts[quantity].keys}
    if not isinstance(data, dict) or data.keys() != bank_of.keys():
        raise InputError(f"{where} must be an object with {', '.join(bank_of) or 'nothing'}", file=file)
    for key, codes in data.items():
        if not isinstance(codes, list) or len(codes) != len(labels):
            raise InputError(f"{where}.{key} must be a list of {len(labels)} codes", file=file)
        for label, code in zip(labels, codes, strict=True):
            bank_of[key].check_code(code, f"{where}.{key} of {label}", file)
    return {key: np.array(data[key], dtype=np.int64) for key in bank_of}


def _read_cells(device: Programmed, rows: Any, file: str | None) -> None:
    if not isinstance(rows, list) or not rows:
        raise InputError('"cells" must be a list with at least one {"name": ...}', file=file)
    names, columns = _quick_cells(device, rows) or _careful_cells(device, rows, file)
    device.cell_names = names
    device._index = {name.lower(): k for k, name in enumerate(names)}
    device.cell_columns.extend(len(rows), columns)


def _quick_cells(device: Programmed, rows: list[Any]) -> tuple[list[str], dict[str, FloatArray]] | None:
    """Names and columns of all cells at once; None where one is not plainly right."""
    if not all(type(row) is dict and type(row.get("name")) is str for row in rows):
        return None
    names, columns = [row["name"] for row in rows], device.cell_columns.read(rows, ("name",))
    try:
        check_names(names, "a cell")
    except InputError:
        return None
    return None if columns is None else (names, columns)


def _careful_cells(device: Programmed, rows: list[Any], file: str | None) -> tuple[list[str], dict[str, FloatArray]]:
    """The same cell by cell, naming the one that is wrong."""
    names, columns = [], {key: np.full(len(rows), np.nan) for key in device.cell_columns.keys}
    for k, row in enumerate(rows):
        where = f"cells[{k}]"
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise InputError(f'{where} must be an object with a "name"', file=file)
        names.append(check_name(row["name"], where, file=file))
        values = {key: value for key, value in row.items() if key != "name"}
        for key, value in device.cell_columns.row(values, f"{where} ({row['name']})", file).items():
            columns[key][k] = value
    check_names(names, "a cell", file=file)
    return names, columns


def _read_noises(device: Programmed, rows: Any, file: str | None) -> None:
    if not isinstance(rows, list):
        raise InputError('"noises" must be a list', file=file)
    for k, row in enumerate(rows):
        data = _json_object(row, f"noises[{k}]", ("name", "amplitudes"), file)
        device.shared.add(data.get("name"), data.get("amplitudes"), device._index, f"noises[{k}]", file)


def _read_couplers(device: Programmed, rows: Any, file: str | None) -> None:
    if not isinstance(rows, list):
        raise InputError('"couplers" must be a list', file=file)
    device.coupler_ends, columns = _quick_couplers(device, rows) or _careful_couplers(device, rows, file)
    device.coupler_columns.extend(len(rows), columns)


def _quick_couplers(device: Programmed, rows: list[Any]) -> tuple[IntArray, dict[str, FloatArray]] | None:
    """Ends and columns of all couplers at once; None where one is not plainly right."""
    if not all(type(row) is dict and type(row.get("a")) is type(row.get("b")) is str for row in rows):
        return None
    try:
        ends = np.array([[device._index[row[end].lower()] for end in "ab"] for row in rows], dtype=np.int64)
    except KeyError:
        return None
    ends = ends.reshape(-1, 2)
    pairs = np.sort(ends, axis=1) @ [len(device.cell_names), 1]
    if (ends[:, 0] == ends[:, 1]).any() or len(np.unique(pairs)) < len(pairs):
        return None
    columns = device.coupler_columns.read(rows, ("a", "b"))
    return None if columns is None else (ends, columns)


def _careful_couplers(device: Programmed, rows: list[Any], file: str | None) -> tuple[IntArray, dict[str, FloatArray]]:
    """The same coupler by coupler, naming the one that is wrong."""
    columns = {key: np.full(len(rows), np.nan) for key in device.coupler_columns.keys}
    ends: list[list[int]] = []
    seen: dict[tuple[int, ...], int] = {}
    for k, row in enumerate(rows):
        where = f"couplers[{k}]"
        if not isinstance(row, dict) or not {"a", "b"} <= row.keys():
            raise InputError(f'{where} must be an object with "a" and "b"', file=file)
        where = f"{where} ({row['a']}-{row['b']})"
        pair = device._ends(row["a"], row["b"], where, file)
        ends.append(pair)
        first = seen.setdefault(tuple(sorted(pair)), k)
        if first != k:
            raise InputError(f"{where}: these cells are already coupled by couplers[{first}]", file=file)
        values = {key: value for key, value in row.items() if key not in ("a", "b")}
        for key, value in device.coupler_columns.row(values, where, file).items():
            columns[key][k] = value
    return np.array(ends, dtype=np.int64).reshape(-1, 2), columns


def _read_readout(device: Programmed, data: Any, file: str | None) -> Readout:
    data = _json_object(data, "readout", ("variables", "gain", "matrix", "offset"), file)
    if ("gain" in data) == ("matrix" in data):
        raise InputError('readout needs either "gain" (one number a cell) or "matrix"', file=file)
    if "gain" in data:
        matrix: Any = sp.diags_array(_nested_numbers(data["gain"], 1, "readout.gain", file))
    elif isinstance(data["matrix"], dict):
        matrix = _sparse_numbers(data["matrix"], "readout.matrix", file)
    else:
        matrix = _nested_numbers(data["matrix"], 2, "readout.matrix", file)
    variables = data.get("variables", device.cell_names)
    if not isinstance(variables, list) or not all(isinstance(name, str) for name in variables):
        raise InputError("readout.variables must be a list of names", file=file)
    offset = _nested_numbers(data.get("offset", [0.0] * len(variables)), 1, "readout.offset", file)
    if offset.shape != (len(variables),):
        raise InputError(f"readout.offset has {len(offset)} numbers for {len(variables)} variables", file=file)
    try:
        return checked_readout(matrix, offset, variables, len(device.cell_names))
    except InputError as error:
        raise InputError(error.message, file=file) from None


def _with_codes(columns: Columns, keys: list[str], texts: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Keys and texts of rows, with the codes after them where there are banks."""
    if not columns.banks:
        return keys, texts
    rows = range(len(texts[0]))
    keys, texts = [*keys, "codes"], [*texts, [json.dumps(columns.code_row(k)) for k in rows]]
    if columns.errors:
        keys, texts = [*keys, "errors"], [*texts, [json.dumps(columns.error_row(k)) for k in rows]]
    return keys, texts


def _apart(rows: Any, columns: Columns) -> tuple[Any, list[tuple[Any, Any]]]:
    """Rows without their codes and errors, and these; rows as they are where nothing is quantised."""
    if not columns.banks or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return rows, []
    return (
        [{key: value for key, value in row.items() if key not in ("codes", "errors")} for row in rows],
        [(row.get("codes"), row.get("errors")) for row in rows],
    )


def _take_codes(columns: Columns, rows: list[tuple[Any, Any]], where: list[str], file: str | None) -> None:
    """Set the codes that were read; a value written beside one must be the bank's value at that code."""
    written = {key: columns.arrays[key] for quantity in columns.banks for key in columns.parts[quantity].keys}
    columns.errors = columns.read_errors([errors for _, errors in rows], where, file)
    columns.set_codes(columns.read_codes([codes for codes, _ in rows], where, file))
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


def _nested_numbers(data: Any, dimensions: int, where: str, file: str | None) -> FloatArray:
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


def _sparse_numbers(data: dict[str, Any], where: str, file: str | None) -> sp.csr_array:
    """A matrix out of the object that `spu.base.sparse.to_fields` makes."""
    try:
        matrix = from_fields(data)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where} is not a readable sparse matrix: {error}", file=file) from None
    if matrix.data.dtype.kind not in "if":
        raise InputError(f"{where} must hold numbers", file=file)
    return matrix


def _json_object(data: Any, what: str, keys: tuple[str, ...], file: str | None) -> dict[str, Any]:
    """A JSON object with none but these keys."""
    if not isinstance(data, dict):
        raise InputError(f"{what} must be a JSON object", file=file)
    for key in data:
        if key not in keys:
            raise InputError(f"{what} has no key {key!r}; {suggest(key, keys)}", file=file)
    return data
