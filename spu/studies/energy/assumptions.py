"""Assumptions on energies that no circuit equation gives: a file of prices, each with its source, or with none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from spu.base.digest import Digest
from spu.base.errors import InputError, KeyFault
from spu.base.files import key_line, parse_toml, read_toml
from spu.base.names import shorten, suggest

__all__ = ["DEVICE", "PARTS", "REFERENCE", "SIZES", "Assumption", "Assumptions", "Price", "load_energy"]

DEVICE = {
    "readout": "J",
    "input": "J",
    "programming": "J",
    "noise": "W",
    "bias": "W",
    "supply": "V",
    "switching": "J",
    "control": "W",
}
"""What a device is charged for beside its heat: whether a count costs J, or W (of an ampere: V) for as long as it runs.
"""

REFERENCE = {"mac": "J", "memory": "J"}
"""What the digital reference is charged for."""

SIZES = {"denoiser": "1", "digital_rate": "1/s", "code_time": "s", "efficiency": "1/V"}
"""What is no price: of the reference itself, how fast it is, how long a code takes to load, and what a transconductor
gives for its current."""

_KEYS = ("value", "unit", "per", "source", "stated")

PARTS = ("low", "typical", "high")


@dataclass(frozen=True)
class Price:
    """A number with its range: low <= typical <= high."""

    low: float
    typical: float
    high: float

    def times(self, count: float) -> Price:
        """The same for so many."""
        return Price(self.low * count, self.typical * count, self.high * count)


@dataclass(frozen=True)
class Assumption:
    """What one count of an item costs.

    Attributes
    ----------
    name:
        A key of `DEVICE`, `REFERENCE` or `SIZES`.
    price:
        None where nobody states it.
    unit:
        "J", "W", "V"; of sizes theirs.
    per:
        What is counted, in words.
    source:
        Who states it.
    """

    name: str
    price: Price | None
    unit: str
    per: str
    source: str


@dataclass(frozen=True)
class Assumptions:
    """A file of assumptions, by name; what the file does not name nobody states.

    Examples
    --------
    >>> import spu
    >>> assumed = spu.load_energy()
    >>> assumed["mac"].price.typical, assumed["noise"].price
    (1e-12, None)
    """

    file: str
    digest: str
    items: dict[str, Assumption]

    def __getitem__(self, name: str) -> Assumption:
        unit = (DEVICE | REFERENCE | SIZES)[name]
        return self.items.get(name, Assumption(name, None, unit, name, "not in the file"))


def load_energy(path: str | Path | None = None) -> Assumptions:
    """Read assumptions on energies from a TOML file; without one, those that are shipped.

    Parameters
    ----------
    path:
        A file of tables such as ``[readout]``, of ``value`` (a number, or a table of ``low``, ``typical`` and
        ``high``), ``unit``, ``per`` and ``source``; or, of what nobody states, ``stated = false`` and no value.

    Raises
    ------
    InputError
        If the file is not such, with the line.

    Examples
    --------
    >>> import spu
    >>> from pathlib import Path
    >>> _ = Path("mine.toml").write_text('''[readout]
    ... value = 1e-12
    ... unit = "J"
    ... per = "conversion"
    ... source = "my converter's data sheet"
    ... ''')
    >>> mine = spu.load_energy("mine.toml")
    >>> mine["readout"].price.high, mine["mac"].price
    (1e-12, None)
    """
    if path is None:
        shipped = resources.files("spu.studies") / "energy.toml"
        text, file = shipped.read_text(encoding="utf-8"), "energy.toml (shipped)"
    else:
        text, file = read_toml(path), str(path)
    found = parse_toml(text, file)
    try:
        items = {name: _assumption(name, table) for name, table in found.items()}
    except KeyFault as fault:
        line = None
        for depth in range(len(fault.path), 0, -1):  # a missing key has no line, but its table has
            line = line or key_line(text, *fault.path[:depth])
        raise InputError(fault.message, file=file, line=line) from None
    digest = Digest()
    digest.text(text.replace("\r\n", "\n"))
    return Assumptions(file, digest.hexdigest(), items)


def _assumption(name: str, table: object) -> Assumption:
    known = DEVICE | REFERENCE | SIZES
    if name not in known:
        raise KeyFault(f"unknown item {shorten(name)}; {suggest(name, known)}", name)
    if not isinstance(table, Mapping):
        raise KeyFault(f"{name} is {shorten(table)}: write a table, [{name}]", name)
    for key in table:
        if key not in _KEYS:
            raise KeyFault(f"unknown key {shorten(key)} in [{name}]; {suggest(key, _KEYS)}", name, str(key))
    for key in ("unit", "per", "source"):
        if not isinstance(table.get(key), str) or not table[key].strip():
            said = f"is {shorten(table[key])}" if key in table else "is missing"
            raise KeyFault(f"{name}.{key} {said}: [{name}] needs it as text", name, *([key] if key in table else []))
    if table["unit"] != known[name]:
        raise KeyFault(f'{name}.unit is {shorten(table["unit"])}: it must be "{known[name]}"', name, "unit")
    stated = table.get("stated", True)
    if not isinstance(stated, bool):
        raise KeyFault(f"{name}.stated is {shorten(stated)}: it must be true or false", name, "stated")
    if stated != ("value" in table):
        message = "no value: give one, or stated = false" if stated else "has a value and stated = false: one of them"
        raise KeyFault(f"{name}: {message}", name)
    price = _price(name, table["value"]) if stated else None
    return Assumption(name, price, table["unit"], table["per"].strip(), table["source"].strip())


def _price(name: str, value: object) -> Price:
    if not isinstance(value, Mapping):
        number = _positive(name, value)
        return Price(number, number, number)
    for key in value:
        if key not in PARTS:
            raise KeyFault(
                f"unknown key {shorten(key)} in {name}.value; {suggest(key, PARTS)}", name, "value", str(key)
            )
    for part in PARTS:
        if part not in value:
            raise KeyFault(f"{name}.value has no {part}: low, typical and high are wanted", name, "value")
    low, typical, high = (_positive(name, value[part], part) for part in PARTS)
    if not low <= typical <= high:
        raise KeyFault(
            f"{name}.value goes {low:g}, {typical:g}, {high:g}: low <= typical <= high is wanted", name, "value"
        )
    return Price(low, typical, high)


def _positive(name: str, value: object, *part: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise KeyFault(
            f"{'.'.join((name, 'value', *part))} is {shorten(value)}: a finite number, 0 or more, is wanted",
            *(name, "value", *part),
        )
    return float(value)
