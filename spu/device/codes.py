"""Codes as a table: what a board was set to, out of a device and into one.

A CSV file with the columns ``programming`` (from 1; may be left out), ``element`` (``cell`` or
``coupler``), ``name`` (``a``, or ``a-b`` of a coupler), ``quantity`` and ``code``. The columns of a quantity that
has several (the two directions of a transconductor) are one row where they are equal, else one row each, under their
own names: ``..._ab`` and ``..._ba``, with a the end that the device file names first.
"""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.device.device import Device

__all__ = ["COLUMNS", "codes_table", "program"]

COLUMNS = ("programming", "element", "name", "quantity", "code")


def codes_table(device: Device) -> str:
    """The codes of all programmings of a device as CSV text.

    Raises
    ------
    InputError
        If nothing of the device is quantised.
    """
    _refuse_unquantised(device)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for number, member in enumerate(device.members(), start=1):
        for element, columns, names in (
            ("cell", member.cell_columns, member.cell_names),
            ("coupler", member.coupler_columns, member.coupler_labels),
        ):
            for k, name in enumerate(names):
                for quantity, code in columns.code_row(k).items():
                    if isinstance(code, list):
                        keys = columns.parts[quantity].keys
                        table.writerows((number, element, name, *pair) for pair in zip(keys, code, strict=True))
                    else:
                        table.writerow((number, element, name, quantity, code))
    return text.getvalue()


def program(device: Device, text: str, file: str | Path | None = None) -> Device:
    """A copy of a device with the codes of a table; what the table does not name stays as it is.

    Readout and bias currents are left alone: a board whose codes are set otherwise is read as before.

    Raises
    ------
    InputError
        With the line: for wrong columns, an unknown element or quantity, one that is named twice, a code that
        is no whole number or out of its bank's range.
    """
    _refuse_unquantised(device)
    place = None if file is None else str(file)
    lines = _rows(text, place)
    header = [word.strip() for word in next(lines, (0, []))[1]]
    if sorted(header) not in (sorted(COLUMNS), sorted(COLUMNS[1:])):
        raise InputError(
            f"the columns must be {', '.join(COLUMNS)} (the first may be left out), not "
            f"{shorten(', '.join(header) or 'none')}",
            file=place,
            line=1,
        )
    found = [copy.deepcopy(member.programming) for member in device.members()]
    cells = {name.lower(): k for k, name in enumerate(device.cell_names)}
    pairs: dict[str, tuple[int | None, bool]] = {}
    for k, label in enumerate(device.coupler_labels):
        a, b = label.lower().split("-")
        pairs |= {f"{a}-{b}": (k, False), f"{b}-{a}": (k, True)}
    seen: dict[tuple[object, ...], int] = {}
    for line, row in lines:
        if not any(word.strip() for word in row):
            continue
        if len(row) != len(header):
            raise InputError(f"{len(row)} entries under {len(header)} columns", file=place, line=line)
        entry = dict(zip(header, (word.strip() for word in row), strict=True))
        number = _whole(entry.get("programming", "1"), "programming", place, line)
        if not 1 <= number <= len(found):
            raise InputError(f"there is no programming {number}: the device has {len(found)}", file=place, line=line)
        element, name, quantity = entry["element"], entry["name"], entry["quantity"]
        if element not in ("cell", "coupler"):
            raise InputError(f"element must be cell or coupler, not {shorten(element)}", file=place, line=line)
        columns = device.cell_columns if element == "cell" else device.coupler_columns
        programming = found[number - 1]
        codes = programming.cell_codes if element == "cell" else programming.coupler_codes
        swapped = False
        index: int | None
        if element == "cell":
            index = cells.get(name.lower())
        else:
            index, swapped = pairs.get(name.lower(), (None, False))
        if index is None:
            raise InputError(f"the device has no {element} {shorten(name)}", file=place, line=line)
        bank_of = {key: q for q in columns.banks for key in (q, *columns.parts[q].keys)}
        if quantity not in bank_of:
            raise InputError(
                f"{element} {name} has no bank {shorten(quantity)}; {suggest(quantity, bank_of)}", file=place, line=line
            )
        keys = columns.parts[bank_of[quantity]].keys
        chosen = keys if quantity == bank_of[quantity] else (quantity,)
        if swapped and len(chosen) < len(keys):  # named from the other end
            chosen = tuple(key for key in keys if key != quantity)
        where = f"{element} {name}: {quantity}"
        value = _whole(entry["code"], where, place, line)
        code = columns.banks[bank_of[quantity]].check_code(value, where, place, line)
        for key in chosen:
            first = seen.setdefault((number, element, index, key), line)
            if first != line:
                raise InputError(f"{where} is set twice, first in line {first}", file=place, line=line)
            codes[key][index] = code
    programmed = device.programmed(found[0])
    programmed.programmings = found[1:]
    return programmed


def _rows(text: str, file: str | None) -> Iterator[tuple[int, list[str]]]:
    """Rows of a table with the numbers of their lines."""
    lines = csv.reader(io.StringIO(text))
    try:
        for row in lines:
            yield lines.line_num, row
    except csv.Error as error:  # an entry of over 131,072 characters
        raise InputError(f"is no table that can be read: {error}", file=file, line=lines.line_num) from None


def _whole(text: str, what: str, file: str | None, line: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{what}: {shorten(text)} is no whole number", file=file, line=line) from None


def _refuse_unquantised(device: Device) -> None:
    if not device.quantised:
        raise InputError("nothing of this device is quantised: it has no codes")
