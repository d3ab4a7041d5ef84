"""A bill of materials: what to buy for a board of a device, and what it costs to take values that are sold.

Listed are the parts of cells and couplers and noise sources that cells share, by the designators that schematics have
(`spu.export.components`). A bank is listed by its branches: ``C301.2`` is the capacitor of bit 2, four units, of bank
C301, ``C301.fix`` what is always there, ``C301.1-63`` the equal ones of a bank in thermometer code. What is none of a
device's parts but of the models of their imperfections (parasitics, bands of noise sources, amplifiers of readouts) is
not listed.

Resistors, capacitors and inductors have the nearest value of an E series beside theirs. How far the covariance moves
when all are taken is by the exact law of the device that has them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spu.base.display import Result
from spu.base.distances import relative_error
from spu.base.errors import UsageError
from spu.base.numbers import compact
from spu.device.device import Device
from spu.device.lower import coupler_names, lower
from spu.device.quantities import PARTS, Part
from spu.device.subject import Subject, subject_of
from spu.device.variation import elements_of
from spu.emulator.dynamics import LinearDynamics, dynamics
from spu.emulator.laws.many import laws_of_draws
from spu.export.components import Board, Component, SetBank, Sheet, board
from spu.export.series import decade, nearest

__all__ = ["Item", "Materials", "bill_of_materials"]

DEFAULT_SERIES = "E96"

_SNAPPED = {"R": "resistor", "C": "capacitor", "L": "inductor"}
_WORDS = {
    **_SNAPPED,
    "T": "inductor behind a transformer 1 : -1",
    "I": "current source",
    "V": "voltage source",
    "G": "transconductor",
    "B": "nonlinear element",
}


@dataclass(frozen=True)
class Item:
    """One line: all parts that are alike.

    Attributes
    ----------
    designators:
        Of its parts.
    quantity:
        How many there are.
    part:
        What they are: ``resistor``.
    value, unit:
        SI; None where there is no one number.
    nearest:
        In the series; None for what is not sold in one.
    text:
        The value for people, ``1.344n``.
    """

    designators: tuple[str, ...]
    quantity: int
    part: str
    value: float | None
    unit: str
    nearest: float | None
    text: str

    @property
    def deviation(self) -> float | None:
        """Of the nearest value from the value, relative."""
        if self.nearest is None or not self.value:
            return None
        off = self.nearest / self.value - 1
        return off if abs(off) > 1e-12 else 0.0  # rounding

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` has it."""
        return {
            "designators": list(self.designators),
            "quantity": self.quantity,
            "part": self.part,
            "value": self.value,
            "unit": self.unit,
            "text": self.text,
            "nearest": self.nearest,
            "deviation": self.deviation,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Materials(Result):
    """A bill of materials.

    Attributes
    ----------
    series:
        Of the nearest values.
    items:
        Lines, those of resistors, capacitors and inductors first.
    covariance_error, mean_error:
        ``|found - exact| / |exact|`` (Frobenius norm) of the covariance and the mean of the variables when every value
        is the nearest one of the series; None where that is not known, or the mean is zero.
    why:
        Why it is not known; empty where it is.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> materials = spu.bill_of_materials(device, series="E24")
    >>> [item.designators for item in materials.items if item.part == "resistor"]
    [('R101', 'R201')]
    >>> 0 < materials.covariance_error < 0.1
    True
    """

    series: str
    items: tuple[Item, ...]
    covariance_error: float | None
    mean_error: float | None
    why: str = ""

    in_short = ("series", "items", "covariance_error")

    @property
    def parts(self) -> int:
        """How many parts there are in all."""
        return sum(item.quantity for item in self.items)

    @property
    def worst(self) -> Item | None:
        """The line with the largest deviation."""
        found = [item for item in self.items if item.deviation is not None]
        return max(found, key=lambda item: abs(item.deviation or 0.0), default=None)

    def to_csv(self) -> str:
        """A table for a spreadsheet, a line an item, with a heading; the value for people stands beside that in SI."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(
            ["Reference designators", "Qty", "Part", "Value", "Value (SI)", "Unit", self.series, "Deviation"]
        )
        for item in self.items:
            snapped = "" if item.nearest is None else compact(item.nearest)
            off = "" if item.deviation is None else f"{item.deviation:+.3%}"
            value = "" if item.value is None else repr(item.value)
            row = [" ".join(item.designators), item.quantity, item.part, item.text, value, item.unit, snapped, off]
            lines.writerow(row)
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` has it."""
        return {
            "series": self.series,
            "parts": self.parts,
            "items": [item.to_dict() for item in self.items],
            "covariance_error": self.covariance_error,
            "mean_error": self.mean_error,
            "why": self.why,
        }


def bill_of_materials(subject: Subject, *, series: str = DEFAULT_SERIES) -> Materials:
    """List the parts of a device, with the nearest values that are sold and what taking them does to the answer.

    Parameters
    ----------
    subject:
        A device, or whatever holds one. Of an ensemble the parts are those of its first programming: a bank is the
        same in all of them.
    series:
        ``E3``, ``E6``, ``E12``, ``E24``, ``E48``, ``E96`` or ``E192`` of IEC 60063.

    Raises
    ------
    OptionError
        For a series that is none.
    UsageError
        Of a netlist that was read: it has values, but no cells and couplers.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> materials = spu.bill_of_materials(device)
    >>> print(materials.to_csv().splitlines()[1])
    R101 R201,2,resistor,1k,1000.0,ohm,1k,+0.000%
    """
    decade(series)
    device = subject_of(subject)
    if not isinstance(device, Device):
        raise UsageError(
            "a bill of materials is of a device's cells and couplers, and a netlist that was read has none"
        )
    device = device.members()[0]
    laid = board(device)
    listed: dict[tuple[Any, ...], list[tuple[str, int]]] = {}
    for bought in _bought(laid):
        near = nearest(bought.value, series) if bought.sold and bought.value else None
        key = (bought.part, bought.text, bought.unit, bought.value, near)
        listed.setdefault(key, []).append((bought.designator, bought.quantity))
    items = [
        Item(tuple(name for name, _ in parts), sum(n for _, n in parts), part, value, unit, near, text)
        for (part, text, unit, value, near), parts in listed.items()
    ]
    order = {word: k for k, word in enumerate(_WORDS.values())}
    items.sort(key=lambda item: (order.get(item.part, len(order)), item.value or 0.0, item.text))
    return Materials(series, tuple(items), *_cost(device, _ratios(laid, series)))


class _Bought(NamedTuple):
    """A part, or several alike under one designator."""

    designator: str
    quantity: int
    part: str
    value: float | None
    unit: str
    text: str
    sold: bool


def _parts_of(sheet: Sheet) -> Iterator[tuple[Component, Part]]:
    """Components of a sheet that are a device's parts, and which."""
    kind, _, letters = sheet.kind.name.partition("_")
    for component in sheet.kind.components:
        for part in PARTS.get(kind, {}).values():
            mine = any(value.parameter in part.parameters for value in component.values)
            if part.letter in letters and mine and component.role in ("", "signal", "series"):
                yield component, part
                break


def _bought(laid: Board) -> Iterator[_Bought]:
    switches = 0
    for sheet in laid.sheets:
        for component, _ in _parts_of(sheet):
            name, letter = sheet.designator(component), component.letter
            word = _WORDS.get(letter, "element")
            if component.symbol.endswith("NOISE"):
                word = f"white noise {word}"
            if component.bank is not None and letter in _SNAPPED:
                for tail, count, value in _branches(component.bank, resistive=letter == "R"):
                    yield _Bought(f"{name}.{tail}", count, word, value, component.values[0].unit, compact(value), True)
                    switches += count * (tail != "fix")
                continue
            if len(component.values) > 1:
                text = " ".join(f"{v.parameter}={compact(sheet.value(v))}" for v in component.values)
                yield _Bought(name, 1, word, None, "", text, False)
                continue
            shown = sheet.value(component.values[0])
            yield _Bought(name, 1, word, shown, component.values[0].unit, compact(shown), letter in _SNAPPED)
    for k, name in enumerate(laid.sources, start=1):
        yield _Bought(f"V{k}", 1, f"white noise source {name}", None, "", "", False)
    if switches:
        yield _Bought("", switches, "switch of a bank", None, "", "", False)


def _branches(bank: SetBank, *, resistive: bool) -> Iterator[tuple[str, int, float]]:
    """What a bank is made of: the end of the designator, how many, their value each."""
    units = bank.bank

    def value(of: float) -> float:
        return 1.0 / of if resistive else of

    if units.offset:
        yield "fix", 1, value(units.offset)
    if units.coding == "thermometer":
        yield f"1-{units.most}" if units.most > 1 else "1", units.most, value(units.lsb)
    else:
        for k in range(units.bits):
            yield str(k), 1, value(2**k * units.lsb)


def _ratios(laid: Board, series: str) -> dict[tuple[str, str, int], float]:
    """What each of a device's values is multiplied by when its parts are those of a series: by kind, column and row."""
    numbers = {name: k for k, name in enumerate(coupler_names(laid.device))}
    found: dict[tuple[str, str, int], float] = {}
    for sheet in laid.sheets:
        kind = sheet.kind.name.partition("_")[0]
        for component, part in _parts_of(sheet):
            if component.letter not in _SNAPPED or len(part.keys) > 1:
                continue
            row = sheet.place[0] if kind == "cell" else numbers[sheet.name.removeprefix(f"{sheet.kind.name}_")]
            resistive = component.letter == "R"
            pieces = [(1, sheet.value(component.values[0]))]
            if component.bank is not None:
                pieces = list(_closed(component.bank, sheet.code(component.bank.code), resistive=resistive))
            exact = sum(count * (1.0 / value if resistive else value) for count, value in pieces)
            bought = [(count, nearest(value, series)) for count, value in pieces]
            if exact:
                found[kind, part.keys[0], row] = (
                    sum(count * (1.0 / value if resistive else value) for count, value in bought) / exact
                )
    return found


def _closed(bank: SetBank, code: int, *, resistive: bool) -> Iterator[tuple[int, float]]:
    """What is switched on in a bank: how many, and their value each."""
    for tail, count, value in _branches(bank, resistive=resistive):
        if tail == "fix":
            yield count, value
        elif bank.bank.coding == "thermometer":
            yield code, value
        elif code >> int(tail) & 1:
            yield count, value


def _cost(device: Device, ratios: dict[tuple[str, str, int], float]) -> tuple[float | None, float | None, str]:
    """Relative errors of covariance and mean where elements have these ratios, or why they are not known."""
    if not isinstance(dynamics(lower(device)), LinearDynamics):
        return None, None, "cells are not linear: their law is not known exactly"
    elements = elements_of(device)
    factors = np.ones((2, len(elements)))
    for group, where in zip(elements.groups, elements.slices, strict=True):
        if group.kind in ("cell", "coupler") and len(group.keys) == 1:
            factors[1, where] = [ratios.get((group.kind, group.keys[0], row), 1.0) for row in group.rows.tolist()]
    laws = laws_of_draws(device, factors, elements)
    if not laws.stable.all():
        return None, None, f"a device of these parts has no stationary law: {laws.why.get(1, laws.why.get(0, ''))}"
    errors = [relative_error(found[1], found[0]) for found in (laws.covariance, laws.mean[:, :, None])]
    return errors[0], errors[1], ""
