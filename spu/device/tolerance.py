"""How far values of parts are from what they are made for, on one board and another.

Every physical element has a relative error, of two parts that multiply. ``process`` is one draw that all elements of
a quantity share, in cells and couplers alike: capacitors of one batch are all too large. ``mismatch`` is a draw of
each element's own. Both are standard deviations, with a distribution that is stated (``[tolerance.cell]``,
``[tolerance.coupler]``, ``[tolerance.shared]``, ``[tolerance.input]``, ``[tolerance.detail.TABLE]`` of a hardware
file).

A board that has a number (`errors`) hangs on the seed, on the quantity and on where the element stands among all that
the hardware could have there, not on what else a device uses: the coupler of two cells is the same part whatever
other cells are coupled. Many boards at once are drawn in `spu.device.variation`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Annotated, Any
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, KeyFault
from spu.base.names import shorten, suggest
from spu.device.imperfections import TABLES, key_of, known_effects
from spu.device.quantities import PARTS

__all__ = ["DISTRIBUTIONS", "INPUTS", "LARGEST", "Spread", "Tolerance", "errors", "tolerance_from_dict"]

LARGEST = 0.2
"""The largest standard deviation: five of them still leave every value its sign."""

MOST = 4.9
"""Standard deviations beyond which nothing is drawn: what lies there (one of a million) is drawn at it."""

INPUTS = ("transconductance",)
"""Quantities of ``input``: what turns the voltage of a pixel's line into a current into a cell."""


def _normal(u: FloatArray, sigma: FloatArray) -> FloatArray:
    return sigma * np.clip(ndtri(u), -MOST, MOST)


def _uniform(u: FloatArray, sigma: FloatArray) -> FloatArray:
    return sigma * math.sqrt(3.0) * (2.0 * u - 1.0)


def _lognormal(u: FloatArray, sigma: FloatArray) -> FloatArray:
    width = np.sqrt(np.log1p(np.square(sigma)))
    return np.expm1(width * np.clip(ndtri(u), -MOST, MOST) - width**2 / 2.0)


DISTRIBUTIONS = {"normal": _normal, "uniform": _uniform, "lognormal": _lognormal}
"""Relative errors out of uniform numbers in (0, 1) and standard deviations; mean zero each."""

_SPREAD = ("mismatch", "process", "distribution", "at")


@dataclass(frozen=True)
class Spread:
    """How elements of one quantity spread about what they are made for.

    Parameters
    ----------
    mismatch:
        Standard deviation of the relative error of each element of its own.
    process:
        Standard deviation of the relative error that all of them share.
    distribution:
        Of both: ``normal`` (cut at `MOST` standard deviations), ``uniform`` or ``lognormal``.
    at:
        Value (SI) of an element whose mismatch is as stated: one of k times the value has k times the area, and a
        mismatch smaller by the root of k (Pelgrom et al., IEEE Journal of Solid-State Circuits 24, 1433, 1989). None
        where all elements have the same.

    Raises
    ------
    InputError
        For a standard deviation that is not from 0 to `LARGEST`, an unknown distribution, or an ``at`` that is not
        positive.

    Examples
    --------
    >>> import spu
    >>> spread = spu.Spread(mismatch=0.01, at=1e-12)
    >>> [float(sigma) for sigma in spread.sigmas([1e-12, 4e-12])]
    [0.01, 0.005]
    """

    mismatch: float = 0.0
    process: float = 0.0
    distribution: str = "normal"
    at: float | None = None

    def __post_init__(self) -> None:
        for key in ("mismatch", "process"):
            object.__setattr__(self, key, checked_sigma(getattr(self, key), key, key))
        if self.distribution not in DISTRIBUTIONS:
            raise KeyFault(
                f"distribution {shorten(self.distribution)}: {suggest(self.distribution, DISTRIBUTIONS)}",
                "distribution",
            )
        if self.at is not None:
            at = self.at
            if isinstance(at, bool) or not isinstance(at, Real) or not 0 < float(at) < math.inf:
                raise KeyFault(f"at is {shorten(at)}: it must be a positive value, SI", "at")
            object.__setattr__(self, "at", float(at))

    def __bool__(self) -> bool:
        return bool(self.mismatch or self.process)

    def scaled(self, factor: float) -> Spread:
        """The same with both standard deviations multiplied.

        Raises
        ------
        InputError
            If one is beyond `LARGEST` then.
        """
        return replace(self, mismatch=factor * self.mismatch, process=factor * self.process)

    def sigmas(self, values: Annotated[ArrayLike, "k"]) -> Annotated[FloatArray, "k"]:
        """(k,) standard deviations of the mismatch of elements with these values (SI, of either sign).

        Raises
        ------
        InputError
            If an element is so small that its mismatch is beyond `LARGEST`.
        """
        size = np.abs(np.asarray(values, dtype=np.float64))
        if self.at is None or not self.mismatch:
            return np.full(size.shape, self.mismatch)
        found: FloatArray = self.mismatch * np.sqrt(self.at / size)
        if (found > LARGEST).any():
            raise InputError(
                f"a mismatch of {self.mismatch:g} at {self.at:g} is {found.max():.3g} of an element of "
                f"{size.min():g}: beyond {LARGEST:g}"
            )
        return found

    def errors(
        self, u: Annotated[FloatArray, "..."], sigma: Annotated[ArrayLike, "..."]
    ) -> Annotated[FloatArray, "..."]:
        """Relative errors out of uniform numbers in (0, 1), in this distribution; ``sigma`` broadcasts against them."""
        return DISTRIBUTIONS[self.distribution](np.asarray(u), np.asarray(sigma, dtype=np.float64))

    def to_json(self) -> float | dict[str, Any]:
        """A number where only a normal mismatch is stated, as hardware files may give it; else a table."""
        given = {key: getattr(self, key) for key in _SPREAD}
        kept = {key: value for key, value in given.items() if value not in (0.0, None, "normal")}
        return self.mismatch if kept.keys() <= {"mismatch"} else kept


def _known(part: str) -> tuple[str, ...]:
    if part == "detail":
        return tuple(effect for effect in known_effects() if key_of(effect).varies)
    if part == "shared":
        return ("amplitude",)
    return INPUTS if part == "input" else tuple(PARTS[part])


TABLES_OF = ("cell", "coupler", "input", "detail", "shared")


@dataclass(frozen=True)
class Tolerance:
    """How elements spread, by quantity; not at all where nothing is stated.

    Parameters
    ----------
    cell, coupler, input:
        ``{quantity: Spread}``; a number is the standard deviation of a normal mismatch. A polynomial quantity is one
        element: its coefficients err together. A reciprocal pair of transconductors is two elements, so that it
        becomes slightly non-reciprocal.
    detail:
        The same of imperfections, by ``table.key`` (`spu.device.imperfections.TABLES`): one value is all instances',
        so that only ``process`` has a meaning.
    shared:
        The same of noise that cells share: its ``amplitude`` into each of them.

    Raises
    ------
    InputError
        For an unknown quantity, or a spread that is none.

    Examples
    --------
    >>> import spu
    >>> tolerance = spu.Tolerance(cell={"conductance": 0.01, "capacitance": spu.Spread(0.002, process=0.1)})
    >>> tolerance.to_dict()
    {'cell': {'conductance': 0.01, 'capacitance': {'mismatch': 0.002, 'process': 0.1}}}
    """

    cell: Mapping[str, Spread] = field(default_factory=dict)
    coupler: Mapping[str, Spread] = field(default_factory=dict)
    input: Mapping[str, Spread] = field(default_factory=dict)
    detail: Mapping[str, Spread] = field(default_factory=dict)
    shared: Mapping[str, Spread] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in TABLES_OF:
            given = getattr(self, part)
            if not isinstance(given, Mapping):
                raise KeyFault(f"tolerance.{part} is {shorten(given)}: it must be a table of quantities", part)
            found = {}
            for quantity, spread in given.items():
                if quantity not in _known(part):
                    message = f"tolerance.{part} has no quantity {shorten(quantity)}; {suggest(quantity, _known(part))}"
                    raise KeyFault(message, part, *str(quantity).split("."))
                found[quantity] = _spread(spread, f"tolerance.{part}.{quantity}", part, *quantity.split("."))
                if part == "detail" and found[quantity].mismatch:
                    raise KeyFault(
                        f"tolerance.detail.{quantity}: one value is all instances', it has process, no mismatch",
                        *("detail", *quantity.split("."), "mismatch"),
                    )
            object.__setattr__(self, part, found)

    def __bool__(self) -> bool:
        return any(spread for part in TABLES_OF for spread in getattr(self, part).values())

    def scaled(self, factor: float) -> Tolerance:
        """The same with all standard deviations multiplied.

        Raises
        ------
        InputError
            If one is beyond `LARGEST` then.
        """
        return Tolerance(
            **{part: {name: each.scaled(factor) for name, each in getattr(self, part).items()} for part in TABLES_OF}
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The tables that are given, as hardware files hold them."""
        found: dict[str, dict[str, Any]] = {
            part: {quantity: spread.to_json() for quantity, spread in getattr(self, part).items()}
            for part in TABLES_OF
            if part != "detail" and getattr(self, part)
        }
        for name, spread in self.detail.items():
            table, key = name.split(".")
            found.setdefault("detail", {}).setdefault(table, {})[key] = spread.to_json()
        return found


def _spread(given: object, what: str, *path: str) -> Spread:
    if isinstance(given, Spread):
        return given
    if not isinstance(given, Mapping):
        return Spread(mismatch=checked_sigma(given, what, *path))
    for key in given:
        if key not in _SPREAD:
            raise KeyFault(f"{what} has no key {shorten(key)}; {suggest(key, _SPREAD)}", *path, str(key))
    try:
        return Spread(**given)
    except KeyFault as fault:
        raise KeyFault(f"{what}: {fault.message}", *path, *fault.path) from None


def checked_sigma(sigma: object, what: str, *path: str) -> float:
    """A standard deviation of a relative error."""
    if isinstance(sigma, bool) or not isinstance(sigma, Real) or not 0 <= float(sigma) <= LARGEST:
        raise KeyFault(
            f"{what} is {shorten(sigma)}: it must be a relative standard deviation from 0 to {LARGEST:g}", *path
        )
    return float(sigma)


def tolerance_from_dict(table: Any) -> Tolerance:
    """Make it of the table ``[tolerance]`` of a hardware file, or of ``"tolerance"`` of a device file.

    Raises
    ------
    InputError
        As `Tolerance`, or for a table that is none of its own.
    """
    if not isinstance(table, Mapping):
        raise KeyFault(f"tolerance is {shorten(table)}: it must have the tables {', '.join(TABLES_OF)}")
    for key in table:
        if key not in TABLES_OF:
            raise KeyFault(f"unknown key {shorten(key)} in [tolerance]; {suggest(key, TABLES_OF)}", str(key))
    given = dict(table)
    if "detail" in given:
        given["detail"] = _flat(given["detail"])
    return Tolerance(**given)


def _flat(tables: Any) -> dict[str, Any]:
    if not isinstance(tables, Mapping):
        raise KeyFault(f"tolerance.detail is {shorten(tables)}: it must have tables such as node", "detail")
    found = {}
    for table, keys in tables.items():
        if table not in TABLES or not isinstance(keys, Mapping):
            raise KeyFault(f"tolerance.detail.{table}: {suggest(table, TABLES)} are tables of it", "detail", str(table))
        found.update({f"{table}.{key}": spread for key, spread in keys.items()})
    return found


def errors(spread: Spread | float, seed: int, element: str, shape: tuple[int, ...]) -> FloatArray:
    """Relative errors of all elements of a kind that hardware could have on one board.

    Parameters
    ----------
    spread:
        Theirs; a number is the standard deviation of a normal mismatch.
    seed:
        Of the board, 0 or more.
    element:
        Its kind, as ``coupler.transconductance``: what follows the dot names the process that it shares.
    shape:
        (n,) one a cell, (n, n) one for each ordered pair of cells (what acts on the first from the second), (n, m) one
        for each cell and line.
    """
    spread = spread if isinstance(spread, Spread) else Spread(mismatch=spread)
    if spread.at is not None:
        raise InputError(f"{element}: boards by number have one mismatch for all elements of it: leave out 'at'")
    return (1.0 + _own(spread, seed, element, shape)) * (1.0 + _shared(spread, seed, element)) - 1.0


def _own(spread: Spread, seed: int, element: str, shape: tuple[int, ...]) -> FloatArray:
    if not spread.mismatch:
        return np.zeros(shape)
    made = np.random.default_rng([seed, crc32(element.encode())])
    if spread.distribution == "normal":  # as it was when this was the only one: boards keep their numbers
        return spread.mismatch * made.standard_normal(shape)
    return spread.errors(made.random(shape), spread.mismatch)


def _shared(spread: Spread, seed: int, element: str) -> float:
    if not spread.process:
        return 0.0
    quantity = element.partition(".")[2]
    u = np.random.default_rng([seed, crc32(f"process {quantity}".encode())]).random(1)
    return float(spread.errors(u, spread.process)[0])


def checked_draw(seed: object, what: str = "seed") -> int:
    """The number of a board: a whole one, 0 or more."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise InputError(f"{what} is {shorten(seed)}: it must be a whole number from 0 to 2^63 - 1")
    return int(seed)
