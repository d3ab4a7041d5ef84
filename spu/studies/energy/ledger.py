"""The energy ledger: what a run costs, item by item, beside a digital reference; and what a claimed ratio assumes.

A circuit equation gives one item, the heat along the path. All others are counts of what a run does (conversions,
couplers programmed, noise sources by their seconds) times prices that somebody states: a file of assumptions, each with
its source. What nobody states has no price. It is listed, it is not guessed, and as the sum leaves it out, the ratio
of the reference to the sum is an upper bound: at most so much.

The heat is the circuit's only where its potential is an energy (fluxes, charges: see `Langevin.potential`). The heat of
voltages on active conductances is a property of the model. It is listed, and in no sum: what such a circuit takes is
the static power of its active elements, ``bias``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.constants import BOLTZMANN, ROOM_TEMPERATURE
from spu.base.display import Result
from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.emulator.laws.power import PowerBalance
from spu.studies.energy.assumptions import DEVICE, PARTS, REFERENCE, Assumptions, Price, load_energy
from spu.studies.energy.counted import Method

__all__ = ["CLAIM", "HEATS", "Amount", "Condition", "Ledger", "LedgerLine", "energy_ledger", "ledger_lines"]

CLAIM = 1e10
"""The ratio that articles of this field speak of."""

HEATS = {
    "physical": "what the circuit's resistors take up",
    "thermal": "of the equation, at the stated temperature: what a circuit gives off whose potential is an energy",
    "stationary": "the circuit's, by its exact law: what noise, bias currents and active elements deliver to it",
    "model": "of the model: its potential is no energy, and this is not the circuit's heat (see bias)",
}
"""Whose heat it is."""


@dataclass(frozen=True)
class LedgerLine:
    """One item.

    Attributes
    ----------
    item:
        ``heat``, or the assumption's name.
    per:
        What is counted, in words.
    count:
        How many (seconds among them, where the unit is W); None where the run does not say.
    energy:
        J; None where the price or the count is not known.
    counted:
        Whether it is in the sum: not so the heat of a model.
    missing:
        What is not known, in words; empty otherwise.
    source:
        Who states the price; of heat, whose it is.
    """

    item: str
    per: str
    count: float | None
    energy: Price | None
    counted: bool
    missing: str
    source: str


@dataclass(frozen=True)
class Condition:
    """What an item must not exceed for a ratio.

    Attributes
    ----------
    item, per, count:
        As in its line; ``everything`` for all of them together.
    limit:
        J (or W) of one count, if nothing else cost anything; of the low, typical and high reference.
    stated:
        What one count costs as stated; None where nobody states it.
    too_much:
        ``stated / limit``, typical: how many times less it must cost than is stated.
    """

    item: str
    per: str
    count: float
    limit: Price
    stated: Price | None
    too_much: float | None


@dataclass(frozen=True)
class Amount:
    """Heat of many runs, in J: the mean with its standard error, and how it spreads."""

    mean: float
    error: float
    deviation: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True, repr=False)
class Ledger(Result):
    """What one run of a device costs, beside a digital reference.

    Attributes
    ----------
    per:
        What one run gives: "image".
    lines, reference:
        The device's items and the reference's.
    heat:
        The heat's mean and spread over runs, J; None where there is none.
    kind:
        Whose heat it is: a key of `HEATS`.
    temperature:
        K, at which kT became J.
    reference_is:
        The digital reference, in words.
    assumptions:
        The file of prices, and its digest.
    claim:
        The ratio for which `what_must_hold` is shown: what articles speak of, or 1 where none speaks of any.
    seconds:
        Device time of one run, s; None where it is not known.
    power:
        Mean powers of the circuit's elements, where its exact law tells them.
    programming_time:
        s, for loading the device's codes; None where nobody states how long one takes.
    methods:
        Digital methods for the same, the reference first.

    Examples
    --------
    >>> import spu
    >>> ledger = spu.energy_ledger(heat=[2900.0, 2950.0], counts={"readout": 784, "noise": None},
    ...                            reference={"mac": 2.1e6})
    >>> ledger.unstated, round(ledger.ratio.typical)
    (('noise',), 301)
    >>> [(each.item, f"{each.limit.typical:.1e}") for each in ledger.what_must_hold(1e10) if each.count == 784]
    [('readout', '2.7e-19')]
    """

    per: str
    lines: tuple[LedgerLine, ...]
    reference: tuple[LedgerLine, ...]
    heat: Amount | None
    kind: str
    temperature: float
    reference_is: str
    assumptions: Assumptions
    claim: float = CLAIM
    seconds: float | None = None
    power: PowerBalance | None = None
    programming_time: Price | None = None
    methods: tuple[Method, ...] = ()

    in_short = ("per", "total", "reference_total", "unstated")

    @property
    def total(self) -> Price | None:
        """The sum of what is stated, J; None if nothing is."""
        return _sum(self.lines)

    @property
    def reference_total(self) -> Price | None:
        """The reference's sum, J; None if nothing of it is stated."""
        return _sum(self.reference)

    @property
    def unstated(self) -> tuple[str, ...]:
        """Items that the sum leaves out."""
        return tuple(line.item for line in self.lines if line.energy is None or not line.counted)

    @property
    def ratio(self) -> Price | None:
        """Reference over the sum of what is stated: at most so much, if anything is `unstated`; None if unknown.

        Its range is that of the cheapest reference over the dearest device, and the other way round.
        """
        total, reference = self.total, self.reference_total
        if total is None or reference is None:
            return None
        return _over(reference, total)

    @property
    def heat_ratio(self) -> Price | None:
        """Reference over the heat alone, as the field quotes it: it leaves all other items out."""
        line = next((line for line in self.lines if line.item == "heat"), None)
        if line is None or line.energy is None or self.reference_total is None or line.energy.low <= 0:
            return None
        return _over(self.reference_total, line.energy)

    def what_must_hold(self, ratio: float = CLAIM) -> tuple[Condition, ...]:
        """What must be so for the reference to cost so many times the device.

        Each item is looked at alone, as if all others were free: necessary conditions, each of them. The last one is
        all items together.

        Raises
        ------
        InputError
            If the ratio is not positive and finite.
        """
        if not 0 < ratio < math.inf:
            raise InputError(f"ratio is {shorten(ratio)}: it must be positive and finite")
        reference = self.reference_total
        if reference is None:
            return ()
        budget = reference.times(1 / ratio)
        found = []
        for line in self.lines:
            if not line.count or not line.counted:
                continue
            stated = None if line.energy is None else line.energy.times(1 / line.count)
            found.append(_condition(line.item, line.per, line.count, budget, stated))
        return (*found, _condition("everything", f"all that is stated of one {self.per}", 1.0, budget, self.total))

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {
            "per": self.per,
            "temperature": self.temperature,
            "heat": None if self.heat is None else {**vars(self.heat), "kind": self.kind, "is": HEATS[self.kind]},
            "items": [_plain(line) for line in self.lines],
            "total": _plain(self.total),
            "unstated": list(self.unstated),
            "reference": {
                "is": self.reference_is,
                "items": [_plain(line) for line in self.reference],
                "total": _plain(self.reference_total),
                "methods": [_plain(method) for method in self.methods],
            },
            "ratio": _plain(self.ratio),
            "ratio_is_at_most": bool(self.unstated),
            "heat_ratio": _plain(self.heat_ratio),
            "claim": self.claim,
            "must_hold": [_plain(each) for each in self.what_must_hold(self.claim)],
            "device_time": self.seconds,
            "programming_time": _plain(self.programming_time),
            "power": None if self.power is None else self.power.to_dict(),
            "assumptions": {"file": self.assumptions.file, "digest": self.assumptions.digest},
        }


def _plain(value: Any) -> Any:
    if value is None or not hasattr(value, "__dataclass_fields__"):
        return value
    return {key: _plain(entry) for key, entry in vars(value).items()}


def _sum(lines: tuple[LedgerLine, ...]) -> Price | None:
    stated = [line.energy for line in lines if line.energy is not None and line.counted]
    if not stated:
        return None
    return Price(*(sum(getattr(energy, part) for energy in stated) for part in PARTS))


def _over(above: Price, below: Price) -> Price | None:
    if below.low <= 0:
        return None
    return Price(above.low / below.high, above.typical / below.typical, above.high / below.low)


def _condition(item: str, per: str, count: float, budget: Price, stated: Price | None) -> Condition:
    limit = budget.times(1 / count)
    too_much = None if stated is None or limit.typical <= 0 else stated.typical / limit.typical
    return Condition(item, per, count, limit, stated, too_much)


def energy_ledger(
    *,
    heat: Annotated[Any, "runs"] | None = None,
    kind: str = "thermal",
    counts: Mapping[str, float | None],
    reference: Mapping[str, float | None],
    reference_is: str = "",
    per: str = "image",
    temperature: float = ROOM_TEMPERATURE,
    assumptions: Assumptions | str | Path | None = None,
) -> Ledger:
    """Put together what a run of a device costs.

    Parameters
    ----------
    heat : (runs,) array_like, optional
        Heat of each run, in kT.
    kind : {"thermal", "physical", "model"}
        Whose heat it is (`HEATS`): of a network at kT = k T, of a circuit whose potential is an energy, or of a
        circuit whose potential is none, whose heat is then in no sum.
    counts:
        How many of each item (`DEVICE`) one run takes; times the seconds that it takes, where the unit is W. None
        where that is not known; what is not named is not used.
    reference:
        The same of the digital reference (`REFERENCE`).
    reference_is:
        What the reference is, in words.
    per:
        What one run gives.
    temperature:
        K, at which kT becomes J.
    assumptions:
        What `load_energy` gave, or its file; the shipped ones unless given.

    Raises
    ------
    InputError
        If an item is not known, a count negative, or the file not valid.

    Examples
    --------
    >>> import spu
    >>> ledger = spu.energy_ledger(counts={"readout": 10}, reference={"mac": 784 * 64 + 64 * 10})
    >>> f"{ledger.total.low:.2g} {ledger.total.high:.2g}", ledger.heat is None
    ('1.9e-11 4.2e-10', True)
    """
    if not isinstance(assumptions, Assumptions):
        assumptions = load_energy(assumptions)
    if kind not in HEATS:
        raise InputError(f"kind is {shorten(kind)}; {suggest(kind, HEATS)}")
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature is {shorten(temperature)}: it must be positive and finite")
    lines = []
    amount = None
    if heat is not None:
        values = np.asarray(heat, dtype=np.float64)
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise InputError("heat must be finite, one number for each run")
        amount = _amount(values * BOLTZMANN * temperature)
        spread = Price(amount.mean - 2 * amount.error, amount.mean, amount.mean + 2 * amount.error)
        lines.append(
            LedgerLine("heat", f"heat along the path of one {per}", 1.0, spread, kind != "model", "", HEATS[kind])
        )
    lines += ledger_lines(counts, assumptions)
    return Ledger(
        per,
        tuple(lines),
        tuple(ledger_lines(reference, assumptions, REFERENCE)),
        amount,
        kind,
        temperature,
        reference_is,
        assumptions,
    )


def _amount(values: FloatArray) -> Amount:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Amount(
        mean=float(values.mean()),
        error=deviation / math.sqrt(len(values)),
        deviation=deviation,
        low=float(np.quantile(values, 0.05)),
        high=float(np.quantile(values, 0.95)),
        runs=len(values),
    )


def ledger_lines(
    counts: Mapping[str, float | None], assumptions: Assumptions, known: Mapping[str, str] = DEVICE
) -> list[LedgerLine]:
    """A line for each item of `known` that is counted, at its price, in that order.

    Raises
    ------
    InputError
        If an item is not known, or a count negative.
    """
    for name, count in counts.items():
        if name not in known:
            raise InputError(f"no item {shorten(name)} in a ledger; {suggest(name, known)}")
        if count is not None and not 0 <= count < math.inf:
            raise InputError(f"{name} is counted {shorten(count)} times: a finite number, 0 or more, is wanted")
    found = []
    for name in known:
        if name not in counts or counts[name] == 0:
            continue
        count, assumed = counts[name], assumptions[name]
        missing = "" if assumed.price is not None else "price not stated"
        if count is None:
            missing = f"{missing}, count not known" if missing else "count not known"
        energy = None if assumed.price is None or count is None else assumed.price.times(count)
        per = f"second and {assumed.per}" if known[name] in ("W", "V") else assumed.per
        found.append(LedgerLine(name, per, count, energy, True, missing, assumed.source))
    return found
