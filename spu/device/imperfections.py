"""Levels of detail: which imperfections of real parts a device is modelled with.

A `Detail` says what hardware adds to ideal parts: `TABLES` lists the tables of a hardware file, their
keys and units. All keys are optional; what is not there is ideal. The device carries what was chosen,
and `spu.device.build` turns it into elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from spu.base.errors import InputError, KeyFault
from spu.base.names import shorten, suggest

__all__ = ["MEANINGS", "TABLES", "Detail", "detail_from_dict"]

TABLES: dict[str, dict[str, str]] = {
    "switch": {"on_resistance": "ohm", "off_resistance": "ohm", "off_capacitance": "F"},
    "inductor": {"series_resistance": "ohm", "capacitance": "F"},
    "node": {"capacitance": "F", "conductance": "S"},
    "buffer": {"bandwidth": "Hz", "offset": "V"},
    "transconductor": {"noise_gamma": "", "output_conductance": "", "offset": "V"},
    "noise": {},
    "readout": {},
}
"""Tables and keys of ``[detail.TABLE]``, with their units; ``[noise]`` and ``[readout]`` stand in hardware files by
themselves, too.

``switch``: of one unit of a bank; a branch of k units has k switches in parallel. ``inductor``: of each
inductor, in cells and couplers. ``node``: from each cell's node to ground. ``buffer``: the first-order
buffer (-3 dB) at each input of a coupling transconductor.
"""

MEANINGS = {
    "switch.on_resistance": "on-resistance of the switches",
    "switch.off_resistance": "off-resistance of the switches",
    "switch.off_capacitance": "off-capacitance of the switches",
    "inductor.series_resistance": "series resistance of the inductors",
    "inductor.capacitance": "self-capacitance of the inductors",
    "node.capacitance": "capacitance of the nodes to ground",
    "node.conductance": "leakage of the nodes to ground",
    "buffer.bandwidth": "bandwidth of the buffers",
    "buffer.offset": "offset of the buffers",
    "transconductor.noise_gamma": "noise of the transconductors",
    "transconductor.output_conductance": "output conductance of the transconductors",
    "transconductor.offset": "offset of the transconductors",
}

OPEN = 1e12
"""ohm: an open switch whose off-resistance is not given. Without any leak the charge behind it would be anybody's."""


@dataclass(frozen=True)
class Detail:
    """What is not ideal about a device's parts; nothing, unless given.

    Parameters
    ----------
    switch, inductor, node, buffer, transconductor, noise, readout:
        ``{key: value}`` with the keys and units of `TABLES`, all positive. An empty one means ideal.

    Raises
    ------
    InputError
        For an unknown key, a value that is not positive and finite, switches without on-resistance, or an
        off-resistance that is not between the on-resistance and `OPEN`.

    Examples
    --------
    >>> import spu
    >>> detail = spu.Detail(node={"capacitance": 1e-11}, switch={"on_resistance": 1.0})
    >>> detail.effects
    ('switch.on_resistance', 'node.capacitance')
    >>> detail.only(["node"]).to_dict()
    {'node': {'capacitance': 1e-11}}
    """

    switch: Mapping[str, float] = field(default_factory=dict)
    inductor: Mapping[str, float] = field(default_factory=dict)
    node: Mapping[str, float] = field(default_factory=dict)
    buffer: Mapping[str, float] = field(default_factory=dict)
    transconductor: Mapping[str, float] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)
    readout: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table, keys in TABLES.items():
            given = getattr(self, table)
            if not isinstance(given, Mapping):
                raise KeyFault(f"detail.{table} must be a table of {', '.join(keys)}, not {shorten(given)}", table)
            for key in given:
                if key not in keys:
                    message = f"detail.{table} has no key {shorten(key)}; {suggest(key, keys)}"
                    raise KeyFault(message, table, str(key))
            values = {key: _positive(given[key], table, key) for key in keys if key in given}
            object.__setattr__(self, table, values)
        if self.switch and "on_resistance" not in self.switch:
            raise KeyFault("detail.switch needs an on_resistance (ohm): that of a closed switch", "switch")
        if self.switch:
            closed, opened = self.switch["on_resistance"], self.switch.get("off_resistance", OPEN)
            if not closed < opened <= OPEN:
                key = "off_resistance" if "off_resistance" in self.switch else "on_resistance"
                raise KeyFault(
                    f"detail.switch.{key} is {self.switch[key]:g}: an open switch must leak less than a closed one "
                    f"({closed:g} ohm), and has {OPEN:g} ohm at most, which it also has if nothing is said",
                    *("switch", key),
                )

    def __bool__(self) -> bool:
        return any(getattr(self, table) for table in TABLES)

    @property
    def effects(self) -> tuple[str, ...]:
        """What is given, as ``table.key``."""
        return tuple(f"{table}.{key}" for table in TABLES for key in getattr(self, table))

    def only(self, names: Iterable[str]) -> Detail:
        """Keep some of it.

        Parameters
        ----------
        names:
            Names of tables (``switch``) or single keys (``node.capacitance``).

        Raises
        ------
        InputError
            For a name that is none, that is not given here, or a switch without its on-resistance.
        """
        wanted = set()
        valid = [*(table for table in TABLES if getattr(self, table)), *self.effects]
        for name in names:
            if name not in valid:
                known = name in TABLES or name in MEANINGS
                why = "this hardware says nothing of it" if known else "there is no such detail"
                raise InputError(f"detail {shorten(name)}: {why}; {suggest(name, [*valid, 'all', 'none'])}")
            wanted |= {effect for effect in self.effects if effect == name or effect.startswith(f"{name}.")}
        return Detail(**_nested({effect: self[effect] for effect in self.effects if effect in wanted}))

    def __getitem__(self, effect: str) -> float:
        table, _, key = effect.partition(".")
        return float(getattr(self, table)[key])

    def scaled(self, effect: str, factor: float) -> Detail:
        """The same with one value multiplied."""
        table, _, key = effect.partition(".")
        return replace(self, **{table: {**getattr(self, table), key: self[effect] * factor}})

    def to_dict(self) -> dict[str, dict[str, float]]:
        """The tables that are given, as hardware and device files hold them."""
        return {table: dict(getattr(self, table)) for table in TABLES if getattr(self, table)}


def _nested(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for effect, value in values.items():
        table, _, key = effect.partition(".")
        found.setdefault(table, {})[key] = value
    return found


def _positive(value: Any, table: str, key: str) -> float:
    where, unit = f"detail.{table}.{key}", TABLES[table][key]
    if isinstance(value, bool) or not isinstance(value, Real):
        raise KeyFault(f"{where} must be a number in {unit}, not {shorten(value)}", table, key)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 1e-60 < (abs(number) if key == "offset" else number) < 1e60:
        raise KeyFault(f"{where} is {number:g}: it must be positive ({unit}), and finite", table, key)
    return number


def detail_from_dict(data: Any) -> Detail:
    """A `Detail` out of nested tables, as `Detail.to_dict` gives them.

    Raises
    ------
    InputError
        As `Detail`, or for an unknown table.
    """
    if not isinstance(data, Mapping):
        raise KeyFault(f"detail must be a table of {', '.join(TABLES)}, not {shorten(data)}")
    for table in data:
        if table not in TABLES:
            raise KeyFault(f"detail has no table {shorten(table)}; {suggest(table, TABLES)}", str(table))
    return Detail(**data)
