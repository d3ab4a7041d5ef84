"""What boards of a device have to do: a specification, as a file states it.

```
name = "8-cell board"
draws = 1000                   # boards that are drawn; 0 looks at conditions only
yield = 0.95                   # share of boards that has to meet all limits; all of them unless given

[conditions]
temperature = { minimum = 273.15, typical = 300.15, maximum = 343.15, steps = 3 }   # K; or a number, or a list
process = 3                    # corners of the process, standard deviations

[parameter."error of the covariance"]
metric = "relative-error"      # of `spu.studies.yields.metrics.METRICS`
maximum = 5
unit = "%"
```

``minimum`` and ``maximum`` are limits, both or one or none; ``typical`` is what is stated beside them, and no limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spu.base.arguments import is_number
from spu.base.errors import InputError, KeyFault
from spu.base.files import key_line, parse_toml, read_toml
from spu.base.names import shorten, suggest
from spu.studies.yields.metrics import Metric
from spu.studies.yields.sampling import checked_plan

__all__ = ["Requirement", "Specification", "load_specification", "specification_from_dict", "unit_factor"]

MOST_PARAMETERS = 200
MOST_TEMPERATURES = 200

_KEYS = ("name", "draws", "seed", "method", "yield", "confidence", "conditions", "parameter")
_CONDITIONS = ("temperature", "process")
_TEMPERATURE = ("minimum", "typical", "maximum", "steps")
_PARAMETER = ("metric", "minimum", "typical", "maximum", "unit")

_POWERS = {"": 0, "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "m": -3, "k": 3, "M": 6, "G": 9}
"""Of ten, by the prefix of a unit."""


@dataclass(frozen=True)
class Requirement:
    """What is required of one number of each board.

    Parameters
    ----------
    name:
        What the data sheet calls it.
    metric:
        One of `spu.studies.yields.metrics.METRICS`, with the names of variables that it is of.
    minimum, maximum:
        Limits, in ``unit``; None where there is none.
    typical:
        Stated beside them, and no limit.
    unit:
        Of these numbers; the metric's own, SI, where it is empty.

    Raises
    ------
    InputError
        If limits are no numbers, or leave nothing between them.

    Examples
    --------
    >>> import spu
    >>> spu.Requirement("settling", "time-constant", maximum=20.0, unit="us").maximum
    20.0
    """

    name: str
    metric: str
    minimum: float | None = None
    typical: float | None = None
    maximum: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        for key in ("metric", "unit"):
            if not isinstance(getattr(self, key), str) or (key == "metric" and not self.metric.strip()):
                raise KeyFault(f"{key} of {shorten(self.name)} is {shorten(getattr(self, key))}: a word is wanted", key)
        for key in ("minimum", "typical", "maximum"):
            value = getattr(self, key)
            if value is not None and not (is_number(value) and math.isfinite(value)):
                raise KeyFault(f"{key} of {shorten(self.name)} is {shorten(value)}: a number is wanted", key)
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise KeyFault(
                f"{shorten(self.name)} is limited from {self.minimum:g} to {self.maximum:g}: nothing lies between",
                "maximum",
            )


@dataclass(frozen=True)
class Specification:
    """What boards have to do, and under which conditions.

    Parameters
    ----------
    requirements:
        One a number.
    name:
        What it is of.
    temperatures:
        (t,) K, rising; the device's own where there are none.
    typical:
        K, that of typical values; the device's own where it is None and among the others, else the middle one.
    process:
        Standard deviations of the corners of the process; 0 where there are none.
    draws, seed, method:
        Of the boards that are drawn, as `spu.yields` takes them; 0 draws none.
    wanted:
        Share of boards that has to meet all limits at all temperatures; None: all that are drawn.
    confidence:
        Of the interval of that share.

    Raises
    ------
    InputError
        For numbers that are not as said above.

    Examples
    --------
    >>> import spu
    >>> limits = [spu.Requirement("error", "relative-error", maximum=5.0, unit="%")]
    >>> spu.Specification(limits, temperatures=(273.15, 343.15), process=3.0, draws=100, wanted=0.9).temperatures
    (273.15, 343.15)
    """

    requirements: tuple[Requirement, ...]
    name: str = ""
    temperatures: tuple[float, ...] = ()
    typical: float | None = None
    process: float = 0.0
    draws: int = 0
    seed: int = 0
    method: str = "plain"
    wanted: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        object.__setattr__(self, "requirements", tuple(self.requirements))
        if not 1 <= len(self.requirements) <= MOST_PARAMETERS:
            raise KeyFault(
                f"{len(self.requirements)} parameters: a specification has from 1 to {MOST_PARAMETERS}, each a table "
                "[parameter.NAME] with a metric",
                "parameter",
            )
        kelvins = tuple(self.temperatures)
        if not all(is_number(kelvin) and 0 <= kelvin < math.inf for kelvin in kelvins):
            raise KeyFault(f"temperature is {shorten(kelvins)}: numbers of kelvin are wanted", "temperature")
        if len(kelvins) > MOST_TEMPERATURES:
            raise KeyFault(f"{len(kelvins)} temperatures: {MOST_TEMPERATURES} at most", "temperature")
        object.__setattr__(self, "temperatures", tuple(sorted({float(kelvin) for kelvin in kelvins})))
        if self.typical is not None and self.typical not in self.temperatures:
            raise KeyFault(f"the typical temperature {shorten(self.typical)} is none of the others", "temperature")
        if not (is_number(self.process) and 0 <= self.process <= 4.9):
            raise KeyFault(
                f"process is {shorten(self.process)}: a number of standard deviations up to 4.9 is wanted", "process"
            )
        if self.draws != 0 or isinstance(self.draws, bool):
            try:
                checked_plan(self.draws, 0, self.method)
            except InputError:
                raise
            except Exception as error:
                raise KeyFault(str(error), "draws") from None
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise KeyFault(f"seed is {shorten(self.seed)}: a whole number from 0 is wanted", "seed")
        for key, value in (("yield", self.wanted), ("confidence", self.confidence)):
            if value is not None and not (is_number(value) and 0 < value < 1):
                raise KeyFault(f"{key} is {shorten(value)}: a share between 0 and 1 is wanted", key)

    def to_dict(self) -> dict[str, Any]:
        """As a file holds it."""
        return {
            "name": self.name,
            "draws": self.draws,
            "seed": self.seed,
            "method": self.method,
            "yield": self.wanted,
            "confidence": self.confidence,
            "conditions": {"temperature": self.temperatures, "typical": self.typical, "process": self.process},
            "parameter": {
                each.name: {key: getattr(each, key) for key in _PARAMETER if getattr(each, key) not in (None, "")}
                for each in self.requirements
            },
        }


def load_specification(file: str | Path | Specification) -> Specification:
    """Read a specification from a TOML file; one that is given stays as it is.

    Raises
    ------
    InputError
        With file and line, for what is not as this module says.

    Examples
    --------
    >>> import spu
    >>> from pathlib import Path
    >>> lines = ["[parameter.error]", "metric = 'relative-error'", "maximum = 0.1"]
    >>> _ = Path("limits.toml").write_text(chr(10).join(lines))
    >>> spu.load_specification("limits.toml").requirements[0].maximum
    0.1
    """
    if isinstance(file, Specification):
        return file
    if not isinstance(file, (str, Path)):
        raise InputError(f"a specification is {shorten(file)}: give a spu.Specification, or the path of a .toml file")
    text = read_toml(Path(file))
    try:
        return specification_from_dict(parse_toml(text, file))
    except KeyFault as fault:
        line = None
        for depth in range(len(fault.path), 0, -1):
            line = line or key_line(text, *fault.path[:depth])
        raise InputError(fault.message, file=file, line=line) from None


def specification_from_dict(given: Mapping[str, Any]) -> Specification:
    """Make one of the tables of a file.

    Raises
    ------
    InputError
        For keys that are none, or as `Specification` and `Requirement`.
    """
    _known(given, _KEYS)
    conditions = _table(given.get("conditions", {}), "conditions")
    _known(conditions, _CONDITIONS, "conditions")
    typical, kelvins = _temperatures(conditions.get("temperature", ()))
    parameters = _table(given.get("parameter", {}), "parameter")
    requirements = []
    for name, table in parameters.items():
        _known(_table(table, "parameter", name), _PARAMETER, "parameter", name)
        if "metric" not in table:
            raise KeyFault(f"parameter {shorten(name)} has no metric", "parameter", name)
        requirements.append(_at(lambda n=name, t=table: Requirement(n, **t), "parameter", name))
    keys = {"name": "name", "draws": "draws", "seed": "seed", "method": "method", "yield": "wanted"}
    keys["confidence"] = "confidence"
    more = {mine: given[key] for key, mine in keys.items() if key in given}
    if not isinstance(more.get("name", ""), str):
        raise KeyFault(f"name is {shorten(more['name'])}: a text is wanted", "name")
    try:
        return Specification(
            tuple(requirements),
            temperatures=kelvins,
            typical=typical,
            process=conditions.get("process", 0.0),
            **more,
        )
    except KeyFault as fault:
        within = ("conditions",) if fault.path and fault.path[0] in _CONDITIONS else ()
        raise KeyFault(fault.message, *within, *fault.path) from None


def _at(make: Any, *path: str) -> Any:
    try:
        return make()
    except KeyFault as fault:
        raise KeyFault(fault.message, *path, *fault.path) from None


def _table(given: Any, *path: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise KeyFault(f"{'.'.join(path)} is {shorten(given)}: a table is wanted", *path)
    return given


def _known(given: Mapping[str, Any], keys: tuple[str, ...], *path: str) -> None:
    for key in given:
        if key not in keys:
            where = f" in [{'.'.join(path)}]" if path else ""
            raise KeyFault(f"unknown key {shorten(key)}{where}; {suggest(key, keys)}", *path, str(key))


def _temperatures(given: Any) -> tuple[float | None, tuple[float, ...]]:
    """The typical one, where it is said, and all."""
    if is_number(given):
        return float(given), (float(given),)
    if isinstance(given, (list, tuple)):
        return None, tuple(given)
    path = ("conditions", "temperature")
    _known(_table(given, *path), _TEMPERATURE, *path)
    for key in ("minimum", "maximum"):
        if key not in given:
            raise KeyFault(f"temperature has no {key}: minimum and maximum are wanted, typical and steps may be", *path)
    for key in given:
        if not is_number(given[key]) or not 0 <= given[key] < math.inf:
            raise KeyFault(f"{key} is {shorten(given[key])}: a number is wanted", *path, key)
    low, high, steps = float(given["minimum"]), float(given["maximum"]), given.get("steps", 2)
    typical = float(given["typical"]) if "typical" in given else None
    if not low < high or (typical is not None and not low <= typical <= high):
        raise KeyFault("temperatures rise from minimum by typical to maximum", *path)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 2 <= steps <= MOST_TEMPERATURES:
        raise KeyFault(
            f"steps is {shorten(steps)}: from 2 to {MOST_TEMPERATURES} temperatures are wanted", *path, "steps"
        )
    kelvins = {low + (high - low) * k / (steps - 1) for k in range(steps)}
    kelvins |= set() if typical is None else {typical}
    return typical, tuple(sorted(kelvins))


def unit_factor(requirement: Requirement, metric: Metric) -> float:
    """What a number of the requirement's unit is in the metric's own.

    Raises
    ------
    InputError
        For a unit that is none of the metric's.

    Examples
    --------
    >>> import spu
    >>> from spu.studies.yields.metrics import metric_of
    >>> from spu.studies.yields.specification import unit_factor
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> unit_factor(spu.Requirement("settling", "time-constant", unit="ms"), metric_of(device, "time-constant"))
    0.001
    """
    unit, base = requirement.unit, metric.unit
    if unit in ("", base):
        return 1.0
    if not base and unit == "%":
        return 0.01
    found = re.fullmatch(r"(1/)?([a-zA-Z]*)(\^2)?", base)
    given = re.fullmatch(r"(1/)?([a-zA-Zµ]?)([a-zA-Z]+)(\^2)?", unit)
    if base and found is not None and given is not None:
        prefix, rest = given[2], given[3]
        same = (given[1], rest, given[4]) == (found[1], found[2], found[3])
        if same and prefix in _POWERS:
            power = _POWERS[prefix] * (2 if given[4] else 1)
            return float(f"1e{-power if given[1] else power}")
    wanted = f"{base!r} with or without a prefix, such as m" if base else "'%', or none"
    raise InputError(f"{shorten(requirement.name)}: {metric.name} is in no unit {shorten(unit)}; {wanted}, would do")
