"""A device held against its specification: conditions exactly, boards as they are drawn.

A condition is a temperature and a corner of the process; the device without mismatch is looked at there. Boards are
drawn with process and mismatch, and each is looked at at every temperature. A limit that a condition misses is missed;
of boards the wanted share has to meet all limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.device.hardware import Hardware
from spu.device.subject import Subject
from spu.device.tolerance import Tolerance
from spu.device.variation import elements_of
from spu.studies.campaign import open_study
from spu.studies.yields.boards import device_of
from spu.studies.yields.corner_study import corners
from spu.studies.yields.metrics import Metric, metrics_of, nominal_of
from spu.studies.yields.sampling import Plan, about, measured, sampled
from spu.studies.yields.specification import Requirement, Specification, load_specification, unit_factor
from spu.studies.yields.spread import process_quantities, tolerance_of, tolerance_of_hardware
from spu.studies.yields.wanted import Rate
from spu.studies.yields.yield_study import rate_of

__all__ = ["Characterisation", "Condition", "Parameter", "characterise"]


@dataclass(frozen=True)
class Condition:
    """A temperature and a corner of the process.

    Attributes
    ----------
    temperature:
        K.
    process:
        ``{quantity: standard deviations}`` of those that are not as they are made for.
    """

    temperature: float
    process: Mapping[str, float]

    @property
    def name(self) -> str:
        """``343.15 K, capacitance +3``."""
        ends = [f"{quantity} {sigmas:+g}" for quantity, sigmas in self.process.items()]
        return ", ".join([f"{self.temperature:g} K", *ends])


@dataclass(frozen=True, eq=False)
class Parameter:
    """A number of the specification, and what was found of it; all in the requirement's unit.

    Attributes
    ----------
    requirement:
        What is wanted.
    unit, words:
        Of all numbers, and what they are.
    conditions:
        (k,) of the device without mismatch, at each condition; not a number where it has no law.
    boards:
        (t, d) of each board at each temperature; not a number likewise.
    typical:
        At the typical condition.
    worst:
        The condition that is nearest to a limit, or farthest beyond; None where there is no limit.
    rate:
        Share of boards that meet the limits, with its interval; None where no boards were drawn, or there is no limit.
    verdict:
        ``pass``, ``fail``, or ``inconclusive`` where so few boards do not tell; ``recorded`` where there is no limit.
    """

    requirement: Requirement
    unit: str
    words: str
    conditions: Annotated[FloatArray, "k"]
    boards: Annotated[FloatArray, "t d"]
    typical: float
    worst: Condition | None
    rate: Rate | None
    verdict: str

    @property
    def _all(self) -> FloatArray:
        found = np.concatenate([self.conditions, self.boards.ravel()])
        return found[np.isfinite(found)]

    @property
    def minimum(self) -> float:
        """The least that was found, of conditions and boards; not a number where nothing has a law."""
        return float(self._all.min(initial=np.inf)) if len(self._all) else float("nan")

    @property
    def maximum(self) -> float:
        """The largest."""
        return float(self._all.max(initial=-np.inf)) if len(self._all) else float("nan")

    @property
    def unstable(self) -> int:
        """How many boards have no law at some temperature."""
        return int((~np.isfinite(self.boards)).any(axis=0).sum()) if self.boards.size else 0

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds, but for each board's numbers."""
        wanted = self.requirement
        return {
            "name": wanted.name,
            "metric": wanted.metric,
            "unit": self.unit,
            "limits": {"minimum": wanted.minimum, "typical": wanted.typical, "maximum": wanted.maximum},
            "found": {"minimum": self.minimum, "typical": self.typical, "maximum": self.maximum},
            "conditions": self.conditions,
            "worst_condition": None if self.worst is None else self.worst.name,
            "yield": None if self.rate is None else self.rate.rate,
            "interval": None if self.rate is None else (self.rate.low, self.rate.high),
            "unstable": self.unstable,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Characterisation(Result):
    """A device against its specification.

    Attributes
    ----------
    specification, hash, architecture:
        What is wanted, and of which device it was found.
    tolerance:
        How elements spread, as hardware files hold it.
    conditions:
        Those that were looked at.
    typical:
        The typical one.
    temperatures:
        (t,) K at which boards were looked at.
    parameters:
        One a requirement.
    rate:
        Share of boards that meet all limits at all temperatures; None where none were drawn.
    verdict:
        ``fail`` if a limit or the wanted share is missed, ``inconclusive`` if so few boards do not tell, else ``pass``.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8")
    >>> limits = [spu.Requirement("error", "relative-error", maximum=20.0, unit="%")]
    >>> wanted = spu.Specification(limits, process=3.0, draws=200, wanted=0.9)
    >>> found = spu.characterise(device, wanted, tolerance="cell.capacitance=2%,cell.capacitance.process=2%")
    >>> found.verdict, found.parameters[0].worst.name
    ('pass', '300.15 K, capacitance -3')
    """

    specification: Specification
    hash: str
    architecture: str | None
    tolerance: Mapping[str, Any]
    conditions: tuple[Condition, ...]
    typical: Condition
    temperatures: Annotated[FloatArray, "t"]
    parameters: tuple[Parameter, ...]
    rate: Rate | None
    verdict: str

    in_short = ("verdict", "rate")

    @property
    def exit_status(self) -> int:
        """1 if the specification is missed, else 0."""
        return int(self.verdict == "fail")

    @property
    def missed(self) -> tuple[str, ...]:
        """Names of the parameters that fail."""
        return tuple(each.requirement.name for each in self.parameters if each.verdict == "fail")

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "verdict": self.verdict,
            "missed": self.missed,
            "device": self.hash,
            "architecture": self.architecture,
            "specification": self.specification.to_dict(),
            "tolerance": self.tolerance,
            "conditions": [
                {"name": each.name, "temperature": each.temperature, "process": dict(each.process)}
                for each in self.conditions
            ],
            "typical": self.typical.name,
            "draws": self.specification.draws,
            "yield": None if self.rate is None else self.rate.rate,
            "interval": None if self.rate is None else (self.rate.low, self.rate.high),
            "parameters": [each.to_dict() for each in self.parameters],
        }


def characterise(
    subject: Subject,
    specification: str | Path | Specification,
    *,
    tolerance: Tolerance | Mapping[str, Any] | str | None = None,
    hardware: str | Path | Hardware | None = None,
    directory: str | Path | None = None,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Characterisation:
    """Hold a device against its specification; every number is of an exact law.

    Parameters
    ----------
    subject:
        A device of linear cells, or whatever has or names one.
    specification:
        What is wanted, or the path of its file (`spu.studies.yields.specification`).
    tolerance, hardware:
        As of `spu.yields`: how elements spread. None is needed where no boards are drawn and no corners asked for.
    directory, cluster, threads, restart, progress:
        As of all studies.

    Raises
    ------
    InputError, OptionError, UsageError
        For a specification that is not as said there, or a metric or unit that has no meaning for the device.
    CircuitError
        If the device has no stationary law itself.
    OutputError, SystemFailure
        As of all studies.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> limits = [spu.Requirement("noise", "deviation out", maximum=2.1, unit="uV")]
    >>> found = spu.characterise(device, spu.Specification(limits, temperatures=(250.0, 300.0, 350.0)))
    >>> found.verdict, found.parameters[0].worst.name, round(found.parameters[0].maximum, 2)
    ('fail', '350 K', 2.2)
    """
    wanted = load_specification(specification)
    device = device_of(subject)
    elements = elements_of(device)
    if tolerance is None and hardware is not None:
        tolerance = tolerance_of_hardware(hardware)
    needed = bool(wanted.draws) or tolerance is not None
    meant = tolerance_of(device, tolerance, elements) if needed else device.tolerance
    names = [each.metric for each in wanted.requirements]
    metrics = metrics_of(nominal_of(device), names)
    factors = [unit_factor(each, metric) for each, metric in zip(wanted.requirements, metrics, strict=True)]
    kelvins = wanted.temperatures or (device.temperature,)
    conditions, exact = _conditions(device, names, metrics, wanted, kelvins, meant)
    typical = _typical(device.temperature, wanted, kelvins)
    boards = np.empty((len(kelvins), 0, len(metrics)))
    if wanted.draws:
        plan = Plan(wanted.draws, wanted.seed, wanted.method)
        spec = {**about(device, meant, metrics, plan), "temperatures": list(kelvins)}
        with open_study(
            directory, "characterisation", spec, cluster=cluster, threads=threads, restart=restart, progress=progress
        ) as study:
            each = [
                sampled(
                    study,
                    device.at_temperature(kelvin),
                    meant,
                    metrics,
                    plan,
                    name=f"boards-{k}",
                    said=f"pieces at {kelvin:g} K",
                )
                for k, kelvin in enumerate(kelvins)
            ]
        boards = np.array(each)
    exact, boards = exact / factors, boards / factors
    parameters = tuple(
        _parameter(wanted, k, metric, conditions, exact[:, k], boards[:, :, k], conditions.index(typical))
        for k, metric in enumerate(metrics)
    )
    rate = None
    if wanted.draws:
        good = np.ones(wanted.draws, dtype=bool)
        for each_one in parameters:
            good &= _within(each_one.requirement, each_one.boards).all(axis=0)
        rate = rate_of(good, wanted.method, wanted.confidence)
    verdict = _worst(
        [*(each_one.verdict for each_one in parameters), *([] if rate is None else [_judged(rate, wanted)])]
    )
    return Characterisation(
        wanted,
        device.hash,
        device.architecture,
        meant.to_dict(),
        conditions,
        typical,
        np.array(kelvins),
        parameters,
        rate,
        verdict,
    )


def _conditions(
    device: Any,
    names: list[str],
    metrics: list[Metric],
    wanted: Specification,
    kelvins: tuple[float, ...],
    meant: Tolerance,
) -> tuple[tuple[Condition, ...], FloatArray]:
    """All temperatures, with all corners of the process where they are asked for, and every metric there."""
    elements = elements_of(device)
    if wanted.process and process_quantities(elements, meant):
        found = corners(device, names, sigmas=wanted.process, temperatures=kelvins, tolerance=meant)
        return tuple(Condition(each.temperature, each.process) for each in found.corners), found.values
    nominal = np.ones((1, len(elements)))
    values = [measured(device.at_temperature(kelvin), elements, nominal, metrics)[0] for kelvin in kelvins]
    return tuple(Condition(kelvin, {}) for kelvin in kelvins), np.array(values)


def _typical(own: float, wanted: Specification, kelvins: tuple[float, ...]) -> Condition:
    if wanted.typical is not None:
        return Condition(wanted.typical, {})
    return Condition(own if own in kelvins else kelvins[len(kelvins) // 2], {})


def _within(requirement: Requirement, values: FloatArray) -> Any:
    """Whether values meet the limits; what is no number meets none, where there is one."""
    low, high = requirement.minimum, requirement.maximum
    if low is None and high is None:
        return np.ones(values.shape, dtype=bool)
    return (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))


def _margins(requirement: Requirement, values: FloatArray) -> FloatArray:
    """How far values are inside the limits; less than nothing beyond, and least of all without a law."""
    low, high = requirement.minimum, requirement.maximum
    inside = np.full(values.shape, np.inf)
    if low is not None:
        inside = np.minimum(inside, values - low)
    if high is not None:
        inside = np.minimum(inside, high - values)
    return np.where(np.isnan(values), -np.inf, inside)


def _parameter(
    wanted: Specification,
    number: int,
    metric: Metric,
    conditions: tuple[Condition, ...],
    exact: FloatArray,
    boards: FloatArray,
    typical: int,
) -> Parameter:
    requirement = wanted.requirements[number]
    limited = requirement.minimum is not None or requirement.maximum is not None
    rate = None
    verdicts = []
    if limited:
        verdicts.append("pass" if _within(requirement, exact).all() else "fail")
        if wanted.draws:
            rate = rate_of(_within(requirement, boards).all(axis=0), wanted.method, wanted.confidence)
            verdicts.append(_judged(rate, wanted))
    worst = conditions[int(np.argmin(_margins(requirement, exact)))] if limited else None
    verdict = _worst(verdicts) if limited else "recorded"
    unit = requirement.unit or metric.unit
    return Parameter(requirement, unit, metric.words, exact, boards, float(exact[typical]), worst, rate, verdict)


def _judged(rate: Rate, wanted: Specification) -> str:
    """What a share of boards says of the one that is wanted."""
    if wanted.wanted is None:
        return "pass" if rate.rate == 1.0 else "fail"
    if rate.low >= wanted.wanted:
        return "pass"
    return "fail" if rate.high < wanted.wanted else "inconclusive"


def _worst(verdicts: list[str]) -> str:
    order = ("recorded", "pass", "inconclusive", "fail")
    found = max(verdicts, key=order.index, default="pass")
    return "pass" if found == "recorded" else found
