"""Values of many cells or couplers as columns: one array a quantity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import Bits, FloatArray, IntArray, snapshot
from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.device.banks import Bank
from spu.device.quantities import Part

_CHUNK = 20_000  # rows written at a time

_LEAST, _MOST = 1e-60, 1e60  # sizes of values, SI, that a circuit can hold


class _Arrays(dict[str, FloatArray]):
    """Arrays by key. One that nobody gave is made, NaN throughout, when somebody asks for it: most kinds are absent."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.possible = keys
        self.count = 0

    def __missing__(self, key: str) -> FloatArray:
        if key not in self.possible:
            raise KeyError(key)
        self[key] = np.full(self.count, np.nan)
        return self[key]


class Columns:
    """Values of all cells or of all couplers: one array a key, NaN for "not there".

    ``banks`` are those quantities that are quantised, and ``codes`` their codes, one integer array a key; ``errors``
    are relative errors of the values of codes, by key, where a board was drawn. Whoever reads many of them asks `held`
    for those that any row has; ``arrays`` has them all.
    """

    def __init__(self, parts: tuple[Part, ...], what: str) -> None:
        self.parts = {part.quantity: part for part in parts}
        self.what = what
        self.keys = tuple(key for part in parts for key in part.keys)
        self.arrays: dict[str, FloatArray] = _Arrays(self.keys)
        self.banks: dict[str, Bank] = {}
        self.codes: dict[str, IntArray] = {}
        self.errors: dict[str, FloatArray] = {}

    def of(self, part: Part) -> Columns:
        """The columns of one part alone."""
        few = Columns((part,), self.what)
        few._take({key: self.arrays[key] for key in part.keys if key in self.arrays}, len(self))
        if part.quantity in self.banks:
            few.banks = {part.quantity: self.banks[part.quantity]}
            few.codes = {key: self.codes[key] for key in part.keys}
            few.errors = {key: self.errors[key] for key in part.keys if key in self.errors}
        return few

    def copy(self) -> Columns:
        """The same with arrays of its own."""
        found = Columns(tuple(self.parts.values()), self.what)
        found._take({key: np.array(array) for key, array in self.held().items()}, len(self))
        found.banks, found.codes = dict(self.banks), {key: np.array(codes) for key, codes in self.codes.items()}
        found.errors = {key: np.array(errors) for key, errors in self.errors.items()}
        return found

    def _take(self, arrays: dict[str, FloatArray], count: int) -> None:
        taken = _Arrays(self.keys)
        taken.update(arrays)
        taken.count = count
        self.arrays = taken

    def __len__(self) -> int:
        for array in self.arrays.values():
            return len(array)
        return self.arrays.count if isinstance(self.arrays, _Arrays) else 0

    def held(self) -> dict[str, FloatArray]:
        """The arrays in which anything is there, in order."""
        stored = ((key, self.arrays[key]) for key in self.keys if key in self.arrays)
        # Most that hold anything have it in their first row.
        return {key: a for key, a in stored if len(a) and (not np.isnan(a[0]) or not np.isnan(a).all())}

    def holds(self, key: str) -> bool:
        """Whether any row has a value of a key."""
        return key in self.arrays and not np.isnan(self.arrays[key]).all()

    def state(self) -> tuple[Any, ...]:
        """All that they hold, bit by bit, to be compared; what is large is not copied (`spu.base.arrays.frozen`)."""
        arrays = tuple((key, Bits(array)) for key, array in self.held().items())
        return repr(self.banks), len(self), arrays, snapshot(self.codes), snapshot(self.errors)

    def coded(self, key: str, bank: Bank) -> FloatArray:
        """The values of the codes of a key, with the errors of this board."""
        values = bank.values(self.codes[key])
        return values * (1.0 + self.errors[key]) if key in self.errors else values

    def set_codes(self, codes: Mapping[str, IntArray]) -> None:
        """Set codes by key, and with them the values; a value of zero means: not there."""
        for quantity, bank in self.banks.items():
            for key in self.parts[quantity].keys:
                self.codes[key] = np.asarray(codes[key], dtype=np.int64)
                values = self.coded(key, bank)
                self.arrays[key] = np.where(values != 0, values, np.nan)
            held = [self.arrays[key] for key in self.parts[quantity].keys]
            absent = np.isnan(held).all(axis=0)
            for key, array in zip(self.parts[quantity].keys, held, strict=True):  # of two directions one may be zero
                self.arrays[key] = np.where(absent, np.nan, np.nan_to_num(array))

    def follows_codes(self, key: str) -> bool:
        """Whether the values of a key are those of its codes, bit by bit; False of one that is no bank."""
        bank = next((bank for quantity, bank in self.banks.items() if key in self.parts[quantity].keys), None)
        if bank is None or key not in self.codes:
            return False
        return np.array_equal(np.nan_to_num(self.arrays[key]), self.coded(key, bank))

    def code_row(self, index: int) -> dict[str, int | list[int]]:
        """The codes of one row by quantity, as the device file writes them."""
        found: dict[str, int | list[int]] = {}
        for quantity in self.banks:
            codes = [int(self.codes[key][index]) for key in self.parts[quantity].keys]
            found[quantity] = codes[0] if len(set(codes)) == 1 else codes
        return found

    def error_row(self, index: int) -> dict[str, float | list[float]]:
        """The relative errors of one row by quantity, as the device file writes them."""
        found: dict[str, float | list[float]] = {}
        for quantity in self.banks:
            keys = self.parts[quantity].keys
            if keys[0] in self.errors:
                errors = [float(self.errors[key][index]) for key in keys]
                found[quantity] = errors[0] if len(set(errors)) == 1 else errors
        return found

    def read_errors(self, rows: Sequence[Any], names: Sequence[str], file: str | None = None) -> dict[str, FloatArray]:
        """Relative errors by key out of ``{quantity: error}`` for each row, None for a row without.

        Raises
        ------
        InputError
            For one of something that is no bank, or that is no number above -1.
        """
        errors: dict[str, FloatArray] = {}
        for k, (row, name) in enumerate(zip(rows, names, strict=True)):
            if row is None:
                continue
            if not isinstance(row, dict) or not row.keys() <= self.banks.keys():
                raise InputError(
                    f'{name}: "errors" must be an object with {", ".join(self.banks)}, not {shorten(row)}', file=file
                )
            for quantity, error in row.items():
                keys = self.parts[quantity].keys
                given = error if isinstance(error, list) else [error] * len(keys)
                sound = all(type(each) in (int, float) and -1 < each < math.inf for each in given)
                if len(given) != len(keys) or not sound:
                    raise InputError(
                        f"{name}: the error of {quantity} must be a number above -1, or {len(keys)} of them, not "
                        f"{shorten(error)}",
                        file=file,
                    )
                for key, entry in zip(keys, given, strict=True):
                    errors.setdefault(key, np.zeros(len(rows)))[k] = entry
        return errors

    def read_codes(self, rows: Sequence[Any], names: Sequence[str], file: str | None = None) -> dict[str, IntArray]:
        """Codes by key out of ``{quantity: code}`` for each row; ``names`` say which in messages.

        Raises
        ------
        InputError
            For a code that is missing, of something that is no bank, or out of its bank's range.
        """
        codes = {key: np.zeros(len(rows), dtype=np.int64) for q in self.banks for key in self.parts[q].keys}
        for k, (row, name) in enumerate(zip(rows, names, strict=True)):
            if not isinstance(row, dict) or row.keys() != self.banks.keys():
                raise InputError(
                    f'{name}: "codes" must be an object with {", ".join(self.banks)}, not {shorten(row)}', file=file
                )
            for quantity, code in row.items():
                keys = self.parts[quantity].keys
                given = code if isinstance(code, list) else [code] * len(keys)
                if len(given) != len(keys):
                    raise InputError(f"{name}: {quantity} takes {len(keys)} codes, not {len(given)}", file=file)
                for key, entry in zip(keys, given, strict=True):
                    codes[key][k] = self.banks[quantity].check_code(entry, f"{name}: {quantity}", file)
        return codes

    def extend(self, count: int, values: Mapping[str, ArrayLike]) -> None:
        """Append ``count`` rows from arrays that are already checked.

        Raises
        ------
        InputError
            For a key that is none of its columns.
        """
        for key in values:
            if key not in self.keys:
                raise InputError(f"{self.what} has no column {key!r}; {suggest(key, self.keys)}")
        before = len(self)
        found = {}
        for key in self.keys:
            if key in values or key in self.arrays:
                new = np.broadcast_to(np.asarray(values.get(key, np.nan), dtype=np.float64), (count,))
                found[key] = np.concatenate([self.arrays[key], new]) if before else np.array(new)
        self._take(found, before + count)

    def row(self, given: Mapping[str, Any], where: str, file: str | None = None) -> dict[str, float]:
        """Check one row ``{quantity: value}``; absent parts are left out."""
        row: dict[str, float] = {}
        for quantity, value in given.items():
            part = self.parts.get(quantity)
            if part is None:
                raise InputError(
                    f"{where}: {self.what} has no quantity {quantity!r}; {suggest(quantity, self.parts)}",
                    file=file,
                )
            several = isinstance(value, (list, tuple)) or part.polynomial
            entries = _several(value) if several else [value] * len(part.keys)
            if len(entries) != len(part.keys):
                raise InputError(
                    f"{where}: {quantity} takes {' and '.join(part.keys)}, not {len(entries)} values",
                    file=file,
                )
            numbers = [_number(entry, f"{where}: {quantity}", part, file) for entry in entries]
            if any(numbers) or not part.zero_is_absent:
                row.update(zip(part.keys, numbers, strict=True))
        return row

    def values(self, index: int) -> dict[str, Any]:
        """The quantities present in one row, as the device file writes them."""
        found: dict[str, Any] = {}
        for part in self.parts.values():
            if not any(key in self.arrays for key in part.keys):
                continue
            numbers = [float(self.arrays[key][index]) for key in part.keys]
            if not math.isnan(numbers[0]):
                one = len(set(numbers)) == 1 and not part.polynomial
                found[part.quantity] = numbers[0] if one else tuple(numbers)
        return found

    def json(self, keys: Sequence[str], texts: Sequence[Sequence[str]]) -> Iterator[str]:
        """The rows as JSON objects, one a line, in pieces of many lines; behind ``keys`` with their ready texts."""
        count = len(self)
        given = self.held()
        there = [part for part in self.parts.values() if any(key in given for key in part.keys)]
        head = ", ".join(f'"{key}": {{}}' for key in keys)
        for first in range(0, count, _CHUNK):
            rows = slice(first, min(first + _CHUNK, count))
            columns = {key: self.arrays[key][rows] for part in there for key in part.keys}
            # Rows that hold the same parts have one format: how a part is held is a digit of its code.
            code = np.zeros(rows.stop - first, dtype=np.int64)
            for part in there:
                held = [columns[key] for key in part.keys]
                unequal = np.any([held[0] != other for other in held[1:]], axis=0) if held[1:] else False
                unequal = True if part.polynomial else unequal
                code = 3 * code + np.where(np.isnan(held[0]), 0, np.where(unequal, 2, 1))
            lines: list[str] = [""] * len(code)
            for kind in np.unique(code).tolist():
                form = head
                used: list[str] = []
                for k, part in enumerate(there):
                    digit = kind // 3 ** (len(there) - 1 - k) % 3
                    if digit:
                        used += part.keys[: 1 if digit == 1 else None]
                        value = "{!r}" if digit == 1 else "[" + ", ".join("{!r}" for _ in part.keys) + "]"
                        form += f', "{part.quantity}": {value}'
                members = np.flatnonzero(code == kind)
                values = [columns[key][members].tolist() for key in used]
                where = members.tolist()
                words = [[text[first + k] for k in where] for text in texts]
                line = f"    {{{{{form}}}}}".format
                for place, text in zip(where, map(line, *words, *values), strict=True):
                    lines[place] = text
            yield ("\n" if first == 0 else ",\n") + ",\n".join(lines)
        if count:
            yield "\n  "

    def read(self, rows: list[dict[str, Any]], skip: tuple[str, ...]) -> dict[str, FloatArray] | None:
        """Check all rows at once: arrays by key; None where a row is not plainly right, for `row` to say why.

        ``skip`` are the keys of a row that are no quantities.
        """
        arrays = {key: np.full(len(rows), np.nan) for key in self.keys}
        alike: dict[tuple[str, ...], list[int]] = {}
        for k, row in enumerate(rows):
            alike.setdefault(tuple(row), []).append(k)
        for quantities, members in alike.items():
            chosen = rows if len(members) == len(rows) else [rows[k] for k in members]
            for quantity in quantities:
                if quantity in skip:
                    continue
                part = self.parts.get(quantity)
                if part is None:
                    return None
                column = [row[quantity] for row in chosen]
                kinds = set(map(type, column))
                if kinds <= {float, int} and not part.polynomial:
                    pairs: list[Any] = [column] * len(part.keys)
                elif kinds <= {float, int, list}:
                    pairs = list(zip(*(v if type(v) is list else [v] * len(part.keys) for v in column), strict=False))
                    lengths = {len(v) for v in column if type(v) is list}
                    if lengths != {len(part.keys)} or not {type(v) for pair in pairs for v in pair} <= {float, int}:
                        return None
                else:
                    return None
                try:
                    values = np.array(pairs, dtype=np.float64)
                except OverflowError:
                    return None
                size = np.abs(values)
                sound = (values == 0) | ((size > _LEAST) & (size < _MOST))
                absent = (values == 0).all(axis=0)
                if not sound.all() or (part.positive and (values < 0).any()):
                    return None
                if absent.any() and not part.zero_is_absent:
                    return None
                for key, value in zip(part.keys, values, strict=True):
                    arrays[key][members] = np.where(absent, np.nan, value)
        return arrays


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _number(value: Any, where: str, part: Part, file: str | None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{where} must be a number in {part.unit}, not {value!r}", file=file)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where} must be finite, not {number}", file=file)
    if number != 0 and not _LEAST < abs(number) < _MOST:
        raise InputError(f"{where} = {number!r} {part.unit} is beyond anything a circuit can hold", file=file)
    if part.positive and (number < 0 or (number == 0 and not part.zero_is_absent)):
        raise InputError(f"{where} must be positive ({part.unit}), not {number!r}", file=file)
    return number
