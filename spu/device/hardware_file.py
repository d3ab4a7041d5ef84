"""Hardware from presets and TOML files; faults are found on their lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from spu.base.errors import InputError, KeyFault
from spu.base.files import key_line, parse_toml, read_toml
from spu.base.names import shorten, suggest
from spu.device.banks import BANK_KEYS, Bank, bank_from_dict
from spu.device.hardware import (
    RANGE_KEYS,
    READOUT_KEYS,
    Hardware,
    Range,
    ReadoutRange,
    require_table,
    unlimited,
)
from spu.device.imperfections import TABLES, Detail, detail_from_dict
from spu.device.quantities import bankable, ranged
from spu.device.tolerance import INPUTS, Tolerance, tolerance_from_dict

__all__ = ["PRESETS", "hardware_from_dict", "load_hardware"]


PRESETS = (
    "ideal",
    "spu8",
    "spu8-4bit",
    "spu8-8bit",
    "spu8-12bit",
    "spu8-switched",
    "spu8-board",
    "ota8",
    "neurons",
    "neurons-6bit",
)

_KEYS = (
    "name",
    "description",
    "temperature",
    "cells",
    "architectures",
    "wiring",
    "chain_strength",
    "cell",
    "coupler",
    "readout",
    "input",
    "detail",
    "noise",
    "tolerance",
)


def _beside(hardware: Hardware, file: str | Path) -> Hardware:
    """Take the path of a graph file as relative to the hardware file."""
    from spu.device.wiring import is_file

    if not is_file(hardware.wiring):
        return hardware
    return replace(hardware, wiring=str(Path(file).parent / hardware.wiring))


def hardware_from_dict(d: Mapping[str, Any], file: str | Path | None = None) -> Hardware:
    """Make hardware of a dictionary in the layout of `Hardware.to_dict`.

    Parameters
    ----------
    d:
        The dictionary.
    file:
        Where it was read, for the messages.

    Raises
    ------
    InputError
        If keys are unknown or missing, or values are not as `Hardware` and `Range` want them.
    """
    return _from_dict(d, file, None)


def load_hardware(name_or_path: str | Path | Hardware) -> Hardware:
    """Find hardware by the name of a preset or by file.

    Parameters
    ----------
    name_or_path:
        One of `PRESETS`, else the path of a ``.toml`` file; a `Hardware` is handed back as it is.

    Raises
    ------
    InputError
        If there is neither such a preset nor such a file, or the file is not valid.

    Examples
    --------
    >>> import spu
    >>> hardware = spu.load_hardware("spu8")
    >>> hardware.max_cells, hardware.architectures, hardware.cell["capacitance"].bank.bits
    (8, ('rlc-capacitive',), 8)
    """
    if isinstance(name_or_path, Hardware):
        return name_or_path
    if not isinstance(name_or_path, (str, Path)):
        raise InputError(f"hardware is {shorten(name_or_path)}: it must be a preset or a path")
    if str(name_or_path) in PRESETS:
        preset = resources.files("spu.device") / "presets" / f"{name_or_path}.toml"
        text, file = preset.read_text(encoding="utf-8"), str(preset)
    else:
        path = Path(name_or_path)
        if path.suffix.lower() != ".toml":
            raise InputError(
                f"no hardware {shorten(str(name_or_path))}: neither a preset nor a .toml file; "
                f"{suggest(name_or_path, PRESETS)}"
            )
        text, file = read_toml(path), str(path)
    return _from_dict(parse_toml(text, file), file, text)


def _from_dict(d: object, file: str | Path | None, text: str | None) -> Hardware:
    """Make hardware of a dictionary; `text` is the TOML it comes from, to find lines in."""
    try:
        hardware = _parse(d)
        return hardware if file is None else _beside(hardware, file)
    except KeyFault as fault:
        line = None
        # A missing key has no line, but the table it is missing from may.
        for depth in range(len(fault.path), 0, -1):
            line = line or key_line(text, *fault.path[:depth])
        raise InputError(fault.message, file=file, line=line) from None


def _parse(d: object) -> Hardware:
    if not isinstance(d, Mapping):
        raise KeyFault(f"hardware must be a table of keys, not {shorten(d)}")
    for key in d:
        if key not in _KEYS:
            raise KeyFault(f"unknown key {shorten(key)}; {suggest(key, _KEYS)}", str(key))
    for key in ("name", "temperature", "architectures", "cell"):
        if key not in d:
            raise KeyFault(f"no {key}: hardware needs name, temperature, architectures and cell")
    return Hardware(
        name=d["name"],
        description=d.get("description", ""),
        temperature=d["temperature"],
        max_cells=d.get("cells"),
        architectures=d["architectures"],
        wiring=d.get("wiring", "complete"),
        chain_strength=d.get("chain_strength"),
        cell=_parse_ranges(d["cell"], "cell"),
        coupler=_parse_ranges(d.get("coupler", {}), "coupler"),
        readout=_parse_readout(d["readout"]) if "readout" in d else None,
        input=_parse_ranges(d.get("input", {}), "input"),
        detail=_parse_detail(d),
        tolerance=_parse_tolerance(d.get("tolerance", {})),
    )


def _parse_tolerance(table: object) -> Tolerance:
    try:
        return tolerance_from_dict(table)
    except KeyFault as fault:
        raise KeyFault(fault.message, "tolerance", *fault.path) from None


def _parse_detail(d: Mapping[str, Any]) -> Detail:
    """Of ``[detail.TABLE]``, and of what ``[noise]`` and ``[readout]`` say of imperfections."""
    table = d.get("detail", {})
    detail = dict(table) if isinstance(table, Mapping) else table
    beside = {name: d[name] for name in ("noise", "readout") if name in d}
    for name, given in beside.items():
        if isinstance(detail, dict) and isinstance(given, Mapping):
            beyond = {key: value for key, value in given.items() if name != "readout" or key not in READOUT_KEYS}
            if name in detail and (beyond or name == "noise"):
                raise KeyFault(f"[{name}] and [detail.{name}] are the same table: give one of them", "detail", name)
            if beyond or name == "noise":
                detail[name] = beyond
    try:
        return detail_from_dict(detail)
    except KeyFault as fault:
        path = fault.path if fault.path and fault.path[0] in beside else ("detail", *fault.path)
        raise KeyFault(fault.message, *path) from None


def _parse_readout(table: object) -> ReadoutRange | None:
    given = require_table(table, "readout", (*READOUT_KEYS, *TABLES["readout"]))
    given = {key: value for key, value in given.items() if key in READOUT_KEYS}
    if not given and table:
        return None
    for key in ("noise_floor", "full_swing"):
        if key not in given:
            raise KeyFault(f"no readout.{key}: [readout] needs noise_floor and full_swing, in V", "readout")
    try:
        return ReadoutRange(**given)
    except KeyFault as fault:
        raise KeyFault(f"readout: {fault.message}", "readout", *fault.path) from None


def _parse_ranges(table: object, part: str) -> dict[str, Range]:
    ranges: dict[str, Range] = {}
    known_here, banks_here = (INPUTS, INPUTS) if part == "input" else (ranged(part), bankable(part))
    for quantity, limits in require_table(table, part, known_here).items():
        if not isinstance(limits, Mapping):
            raise KeyFault(
                f"{part}.{quantity} is {shorten(limits)}: write {{ nominal = ..., min = ..., max = ... }}",
                part,
                quantity,
            )
        known = (*RANGE_KEYS, *BANK_KEYS) if quantity in banks_here else RANGE_KEYS
        for key in limits:
            if key not in known:
                raise KeyFault(
                    f"unknown key {shorten(key)} in {part}.{quantity}; {suggest(key, known)}",
                    *(part, quantity, str(key)),
                )
        try:
            ranges[quantity] = Range(
                nominal=limits.get("nominal"),
                min=limits.get("min", unlimited(quantity).min),
                max=limits.get("max", math.inf),
                bank=_bank(limits, quantity),
            )
        except KeyFault as fault:
            raise KeyFault(f"{part}.{quantity}: {fault.message}", part, quantity, *fault.path) from None
    return ranges


def _bank(limits: Mapping[str, Any], quantity: str) -> Bank | None:
    """The bank of a quantity, if its table describes one."""
    described = {key: limits[key] for key in BANK_KEYS if key in limits}
    if not described:
        return None
    try:
        return bank_from_dict(described, quantity)
    except InputError as error:
        named = next((key for key in described if error.message.startswith(f"{key} ")), next(iter(described)))
        raise KeyFault(error.message, named) from None
