"""What can be built: how many cells, of which architecture, with component values in which ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

from spu.base.errors import InputError, KeyFault
from spu.base.names import shorten, suggest
from spu.device.banks import Bank
from spu.device.imperfections import Detail
from spu.device.quantities import PARTS, bankable, ranged, signed
from spu.device.tolerance import INPUTS, Tolerance

if TYPE_CHECKING:
    ARCHITECTURES: tuple[str, ...]
    LINEAR_ARCHITECTURES: tuple[str, ...]
    NETWORK_ARCHITECTURES: tuple[str, ...]

__all__ = [
    "ARCHITECTURES",
    "LINEAR_ARCHITECTURES",
    "NETWORK_ARCHITECTURES",
    "Hardware",
    "Range",
    "ReadoutRange",
    "know_architecture",
]


@dataclass(frozen=True)
class Known:
    """What hardware has to know of an architecture.

    Attributes
    ----------
    nonlinear:
        Whether its cells are; they hold thermodynamic networks.
    needs:
        Quantities of cells of which hardware must give a nominal value, besides those that all need.
    """

    nonlinear: bool = False
    needs: tuple[str, ...] = ()


_KNOWN = {
    "rlc-capacitive": Known(needs=("inductance",)),
    "rc-resistive": Known(),
    "rlc-capacitive-dual": Known(needs=("inductance",)),
    "rc-resistive-dual": Known(),
    "rc-transconductor": Known(),
    "rc-drift": Known(),
    "rc-conductance": Known(nonlinear=True),
    "rlc-flux": Known(nonlinear=True, needs=("inductance",)),
    "rc-charge": Known(nonlinear=True),
}
"""Those that a hardware file may name: the package's own, and what `spu.compiler.architectures.register` adds."""

_ALWAYS = ("capacitance", "conductance", "noise")


def know_architecture(name: str, known: Known) -> None:
    """Let hardware name an architecture; `spu.compiler.architectures.register` calls it."""
    _KNOWN[name] = known


def __getattr__(name: str) -> tuple[str, ...]:
    """Names of those known now: ``ARCHITECTURES``, ``LINEAR_ARCHITECTURES`` and ``NETWORK_ARCHITECTURES``."""
    if name == "ARCHITECTURES":
        return tuple(_KNOWN)
    if name in ("LINEAR_ARCHITECTURES", "NETWORK_ARCHITECTURES"):
        return tuple(each for each, known in _KNOWN.items() if known.nonlinear == name.startswith("NETWORK"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


READOUT_KEYS = ("noise_floor", "full_swing", "crest")

RANGE_KEYS = ("nominal", "min", "max")


@dataclass(frozen=True)
class Range:
    """The values that a component can take, in SI units.

    Parameters
    ----------
    nominal:
        The value to use where nothing else is asked for; None if there is none.
    min, max:
        Smallest and largest value, both included; infinite where there is no limit.
    bank:
        The switched units whose codes set the value; None where any value can be had. The range is
        narrowed to what the bank reaches.

    Raises
    ------
    InputError
        Unless ``min <= nominal <= max`` with `nominal` finite, `min` below +∞ and `max`
        above -∞; if no code of the bank has a value in the range.
    """

    nominal: float | None = None
    min: float = 0.0
    max: float = math.inf
    bank: Bank | None = None

    def __post_init__(self) -> None:
        for key in RANGE_KEYS:
            value = getattr(self, key)
            if value is None and key == "nominal":
                continue
            object.__setattr__(self, key, _real(value, key))
        if self.nominal is not None and math.isinf(self.nominal):
            raise KeyFault("nominal is infinite: it must be finite", "nominal")
        if self.min == math.inf or self.max == -math.inf or self.min > self.max:
            key = "max" if self.max == -math.inf else "min"
            raise KeyFault(f"min {self.min:g} and max {self.max:g} leave no value between them", key)
        if self.bank is not None:
            first, last = self.bank.within(self.min, self.max)
            if first > last:
                low, high = self.bank.limits
                raise KeyFault(
                    f"no code of the bank (from {low:g} to {high:g}, lsb {self.bank.lsb:g}) has a value from "
                    f"{self.min:g} to {self.max:g}",
                    "bits",
                )
            # Beyond the last code, and in front of the first, a range promises what no code holds.
            object.__setattr__(self, "min", max(self.min, float(self.bank.values(first))))
            object.__setattr__(self, "max", min(self.max, float(self.bank.values(last))))
        if self.nominal is not None and not self.min <= self.nominal <= self.max:
            raise KeyFault(
                f"nominal {self.nominal:g} is outside the range from {self.min:g} to {self.max:g}", "nominal"
            )

    def to_dict(self) -> dict[str, Any]:
        """Give the range as a dictionary that JSON can hold: infinite limits are left out."""
        items = {key: getattr(self, key) for key in RANGE_KEYS}
        finite = {key: value for key, value in items.items() if value is not None and math.isfinite(value)}
        return finite if self.bank is None else {**finite, **self.bank.to_dict()}


@dataclass(frozen=True, kw_only=True)
class ReadoutRange:
    """The voltages that the readout of a cell can tell apart.

    Parameters
    ----------
    noise_floor:
        V rms of the readout's own noise: a cell's rms is to lie above it. Positive.
    full_swing:
        V peak at which it clips: the size of a cell's mean and `crest` times its rms are to lie below it.
    crest:
        Peak over rms of what is to be read unclipped; 4 clips one Gaussian sample in 16,000.

    Raises
    ------
    InputError
        Unless all are positive and finite, and `crest` times the floor is below the swing.
    """

    noise_floor: float
    full_swing: float
    crest: float = 4.0

    def __post_init__(self) -> None:
        for key in READOUT_KEYS:
            value = _real(getattr(self, key), key)
            if not 0 < value < math.inf:
                raise KeyFault(f"{key} is {value:g}: it must be positive and finite", key)
            object.__setattr__(self, key, value)
        if self.crest * self.noise_floor >= self.full_swing:
            raise KeyFault(
                f"full_swing {self.full_swing:g} V leaves nothing above the noise floor of {self.noise_floor:g} V rms "
                f"at a crest factor of {self.crest:g}",
                "full_swing",
            )

    def to_dict(self) -> dict[str, float]:
        """Give it as a dictionary that JSON can hold."""
        return {key: getattr(self, key) for key in READOUT_KEYS}


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A device, or a family of devices, on which problems are realized.

    Parameters
    ----------
    name:
        Short name, one line.
    description:
        For people.
    temperature:
        Physical temperature in K, at which every resistor makes Johnson noise; 0 for none.
    max_cells:
        Most cells it has; None for any number.
    architectures:
        Those it can hold, of `ARCHITECTURES`; the compiler takes the most passive that fits.
    wiring:
        Which cells have couplers between them, as in `spu.device.wiring`: "complete" (all), a
        lattice such as "king 4x4", or the path of a graph file.
    chain_strength:
        Of the couplers that join the cells of one variable (`spu.compiler.embedding`), as a multiple
        of the largest diagonal entry of the matrix as it is scaled for the cells; None for the
        largest that the couplers' range allows.
    cell:
        Ranges of what a cell is made of: ``capacitance`` (F), ``conductance`` (S),
        ``inductance`` (H), ``noise`` (A²/Hz, one-sided density of the injected current
        noise) and ``bias`` (A, either sign). The first four need nominal values, save
        that only some architectures (those of RLC cells) need an inductance.
    coupler:
        Ranges of what joins two cells: ``capacitance`` (F), ``conductance`` (S),
        ``inductance`` (H) and that of transconductors (S, either sign). All quantities, and which of them can be
        banks (`Range.bank`), are in `spu.device.quantities.PARTS`.
    readout:
        What the readout can tell apart; where given, the injected noise is chosen within its range so that
        every cell's voltage lies there. None for any.
    input:
        Range of what turns a pixel's voltage into a current into a cell: ``transconductance`` (S, either sign), for
        trained networks. Left out, any current can be had.
    detail:
        What is not ideal about its parts.
    tolerance:
        How far values of parts are from what they are made for, on one board and another.

    A bank of a quantity of either sign is signed. Of the package's own quantities, those left out of `cell` and
    `coupler` are filled in without nominal value and without limits, so both hold them all afterwards.

    Raises
    ------
    InputError
        If a value has the wrong type, sign or order, or a nominal value is missing.

    Examples
    --------
    >>> import spu
    >>> from dataclasses import replace
    >>> bench = replace(spu.load_hardware("ideal"), name="bench", temperature=300.0, max_cells=2)
    >>> spu.compile([[2.0, -0.5], [-0.5, 1.0]], bench).temperature
    300.0
    >>> bench.cell["capacitance"].nominal
    1e-09
    """

    name: str
    description: str = ""
    temperature: float
    max_cells: int | None = None
    architectures: tuple[str, ...]
    wiring: str = "complete"
    chain_strength: float | None = None
    cell: dict[str, Range]
    coupler: dict[str, Range] = field(default_factory=dict)
    readout: ReadoutRange | None = None
    input: dict[str, Range] = field(default_factory=dict)
    detail: Detail = field(default_factory=Detail)
    tolerance: Tolerance = field(default_factory=Tolerance)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise KeyFault(f"name is {shorten(self.name)}: it must be one line of text", "name")
        if not isinstance(self.description, str):
            raise KeyFault(f"description is {shorten(self.description)}: it must be text", "description")
        temperature = _real(self.temperature, "temperature")
        if not 0 <= temperature < math.inf:
            raise KeyFault(f"temperature is {temperature:g} K: it must be 0 or more, and finite", "temperature")
        cells = self.max_cells
        if cells is not None and (not isinstance(cells, int) or isinstance(cells, bool) or cells < 1):
            raise KeyFault(f"cells is {shorten(cells)}: it must be a whole number, 1 or more", "cells")
        object.__setattr__(self, "temperature", temperature)
        object.__setattr__(self, "architectures", _architectures(self.architectures))
        object.__setattr__(self, "wiring", _wiring(self.wiring))
        if self.chain_strength is not None:
            strength = _real(self.chain_strength, "chain_strength")
            if not 0 < strength < math.inf:
                raise KeyFault(f"chain_strength is {strength:g}: it must be positive, and finite", "chain_strength")
            object.__setattr__(self, "chain_strength", strength)
        object.__setattr__(self, "cell", _ranges(self.cell, "cell"))
        object.__setattr__(self, "coupler", _ranges(self.coupler, "coupler"))
        for quantity, limits in require_table(self.input, "input", INPUTS).items():
            if not isinstance(limits, Range):
                raise KeyFault(f"input.{quantity} is {shorten(limits)}: it must be a Range", "input", quantity)
            if limits.bank is not None and not limits.bank.signed:
                raise KeyFault(f"input.{quantity}: a bank of it is signed", "input", quantity)
        if not isinstance(self.readout, (ReadoutRange, type(None))):
            raise KeyFault(f"readout is {shorten(self.readout)}: it must be a ReadoutRange", "readout")
        if not isinstance(self.detail, Detail):
            raise KeyFault(f"detail is {shorten(self.detail)}: it must be a Detail", "detail")
        if not isinstance(self.tolerance, Tolerance):
            raise KeyFault(f"tolerance is {shorten(self.tolerance)}: it must be a Tolerance", "tolerance")

        more = [quantity for name in self.architectures for quantity in _KNOWN[name].needs]
        for quantity in (*_ALWAYS, *more):
            if self.cell[quantity].nominal is None:
                raise KeyFault(f"cell.{quantity} needs a nominal value", "cell", quantity)

    def to_dict(self) -> dict[str, Any]:
        """Give the hardware as a dictionary in the layout of its TOML files, which JSON can hold too.

        `hardware_from_dict` restores an equal one.
        """
        d: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "temperature": self.temperature,
            "architectures": list(self.architectures),
            "cell": {key: value.to_dict() for key, value in self.cell.items()},
            "coupler": {key: value.to_dict() for key, value in self.coupler.items()},
        }
        if self.readout is not None:
            d["readout"] = self.readout.to_dict()
        if self.input:
            d["input"] = {key: value.to_dict() for key, value in self.input.items()}
        if self.detail:
            d["detail"] = self.detail.to_dict()
        if self.tolerance:
            d["tolerance"] = self.tolerance.to_dict()
        if self.max_cells is not None:
            d["cells"] = self.max_cells
        if self.wiring != "complete":
            d["wiring"] = self.wiring
        if self.chain_strength is not None:
            d["chain_strength"] = self.chain_strength
        return d


def _real(value: object, *path: str) -> float:
    """Convert a real number, possibly infinite, to float; `path` is its key."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise KeyFault(f"{'.'.join(path)} is {shorten(value)}: it must be a number", *path)
    try:
        number = float(value)
    except OverflowError:
        raise KeyFault(f"{'.'.join(path)} is too large for a floating-point number", *path) from None
    if math.isnan(number):
        raise KeyFault(f"{'.'.join(path)} is NaN: it must be a number", *path)
    return number


def _architectures(names: object) -> tuple[str, ...]:
    if not isinstance(names, (list, tuple)) or not names:
        raise KeyFault(
            f"architectures is {shorten(names)}: it must be a list of {', '.join(_KNOWN)}",
            "architectures",
        )
    for name in names:
        if not isinstance(name, str) or name not in _KNOWN:
            raise KeyFault(f"unknown architecture {shorten(name)}; {suggest(name, _KNOWN)}", "architectures")
    if len(set(names)) < len(names):
        raise KeyFault("an architecture is named twice", "architectures")
    return tuple(names)


def _wiring(spec: object) -> str:
    # The compiler imports this module.
    from spu.device.wiring import check_wiring

    try:
        return check_wiring(spec)
    except InputError as error:
        raise KeyFault(error.message, "wiring") from None


def unlimited(quantity: str) -> Range:
    return Range(min=-math.inf if signed(quantity) else 0.0)


def require_table(table: object, part: str, quantities: tuple[str, ...]) -> Mapping[str, Any]:
    """Refuse a cell or coupler that is no table, or has quantities that it cannot have."""
    if not isinstance(table, Mapping):
        raise KeyFault(f"{part} is {shorten(table)}: it must be a table of {', '.join(quantities)}", part)
    for key in table:
        if key not in quantities:
            raise KeyFault(f"unknown key {shorten(key)} in [{part}]; {suggest(key, quantities)}", part, str(key))
    return table


def _ranges(table: object, part: str) -> dict[str, Range]:
    """Check the ranges of a cell or coupler and fill in those left out."""
    ranges = require_table(table, part, ranged(part))
    for quantity, limits in ranges.items():
        if not isinstance(limits, Range):
            raise KeyFault(f"{part}.{quantity} is {shorten(limits)}: it must be a Range", part, quantity)
        if limits.bank is not None:
            if quantity not in bankable(part):
                raise KeyFault(f"{part}.{quantity} cannot be a bank; {', '.join(bankable(part))} can", part, quantity)
            if limits.bank.signed != signed(quantity):
                wants = "is" if signed(quantity) else "is not"
                raise KeyFault(f"{part}.{quantity}: a bank of it {wants} signed", part, quantity)
        if signed(quantity):
            continue
        if limits.min < 0:
            raise KeyFault(f"{part}.{quantity}: min {limits.min:g} is negative", part, quantity, "min")
        if part == "cell" and PARTS[part][quantity].essential and limits.nominal == 0:
            raise KeyFault(f"{part}.{quantity}: nominal is 0, it must be positive", part, quantity, "nominal")
    # What others have registered is there only where it is given: hardware without it is what it was.
    held = [quantity for quantity in ranged(part) if quantity in ranges or PARTS[part][quantity].hardware == "always"]
    return {quantity: ranges.get(quantity, unlimited(quantity)) for quantity in held}
