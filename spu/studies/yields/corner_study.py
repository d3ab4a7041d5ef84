"""Corners: what a device does where the process is at its ends, and at other temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from scipy.special import ndtr

from spu.base.arguments import is_number
from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError, UsageError
from spu.base.names import shorten
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.subject import Subject
from spu.device.tolerance import MOST, Tolerance
from spu.device.variation import Elements, elements_of
from spu.studies.yields.boards import device_of
from spu.studies.yields.metrics import Metric, metrics_of, nominal_of
from spu.studies.yields.sampling import measured
from spu.studies.yields.spread import process_quantities, tolerance_of, tolerance_of_hardware

__all__ = ["METRICS_OF_CORNERS", "Corner", "Corners", "corners"]

METRICS_OF_CORNERS = ("relative-error", "rescaled-error", "time-constant", "stability-margin")
"""Those of a table unless others are asked for."""

MOST_QUANTITIES = 6
"""Quantities of which all combinations of ends are taken; of more each by itself."""


@dataclass(frozen=True)
class Corner:
    """One corner.

    Attributes
    ----------
    process:
        ``{quantity: standard deviations}`` of those that are not as they are made for.
    temperature:
        K.
    values:
        Of each metric; not a number where there is no law.
    """

    process: Mapping[str, float]
    temperature: float
    values: tuple[float, ...]

    @property
    def name(self) -> str:
        """``capacitance +3, conductance -3``; ``nominal`` of none."""
        return ", ".join(f"{quantity} {sigmas:+g}" for quantity, sigmas in self.process.items()) or "nominal"


@dataclass(frozen=True, eq=False, repr=False)
class Corners(Result):
    """What a device does at its corners.

    Attributes
    ----------
    hash, architecture:
        Of the device.
    metrics:
        Names, units, and which side is the bad one, of each.
    sigmas:
        How far the ends of the process are, standard deviations.
    tolerance:
        How elements spread.
    corners:
        At each temperature: nominal first, then all ends.
    combined:
        Whether all combinations of ends were taken; else each quantity by itself.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8")
    >>> found = spu.corners(device, tolerance="cell.capacitance.process=5%,coupler.capacitance.process=5%")
    >>> [corner.name for corner in found.corners]
    ['nominal', 'capacitance -3', 'capacitance +3']
    >>> found.worst["relative-error"].name
    'capacitance -3'
    """

    hash: str
    architecture: str | None
    metrics: tuple[tuple[str, str, str], ...]
    sigmas: float
    tolerance: Mapping[str, Any]
    corners: tuple[Corner, ...]
    combined: bool

    in_short = ("metrics", "sigmas")

    @property
    def conditions(self) -> str:
        """What the corners are, in words."""
        if not any(corner.process for corner in self.corners):
            return "no process stated: temperatures only"
        how = "all combinations" if self.combined else "each by itself"
        return f"process at {self.sigmas:g} standard deviations, {how}"

    @property
    def values(self) -> Annotated[FloatArray, "k m"]:
        """(k, m) of each corner and metric."""
        return np.array([corner.values for corner in self.corners])

    @property
    def temperatures(self) -> list[float]:
        """K, rising."""
        return sorted({corner.temperature for corner in self.corners})

    @property
    def worst(self) -> dict[str, Corner]:
        """By metric; one without a law is the worst of all."""
        found = {}
        for k, (name, _, fails) in enumerate(self.metrics):
            values = self.values[:, k]
            bad = values if fails == "above" else -values
            found[name] = self.corners[int(np.argmax(np.where(np.isnan(bad), np.inf, bad)))]
        return found

    def curve(self, metric: str) -> dict[str, tuple[list[float], list[float]]]:
        """By corner: temperatures (K), rising, and a metric there."""
        column = [name for name, _, _ in self.metrics].index(metric)
        found: dict[str, tuple[list[float], list[float]]] = {}
        for corner in sorted(self.corners, key=lambda each: each.temperature):
            at, values = found.setdefault(corner.name, ([], []))
            at.append(corner.temperature)
            values.append(corner.values[column])
        return found

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        names = [name for name, _, _ in self.metrics]
        return {
            "device": self.hash,
            "architecture": self.architecture,
            "metrics": [{"name": name, "unit": unit, "fails": fails} for name, unit, fails in self.metrics],
            "sigmas": self.sigmas,
            "combined": self.combined,
            "tolerance": self.tolerance,
            "corners": [
                {
                    "name": corner.name,
                    "process": dict(corner.process),
                    "temperature": corner.temperature,
                    "values": dict(zip(names, corner.values, strict=True)),
                }
                for corner in self.corners
            ],
            "worst": {
                name: {"corner": corner.name, "temperature": corner.temperature} for name, corner in self.worst.items()
            },
        }


def corners(
    subject: Subject,
    metrics: str | Sequence[str] | None = None,
    *,
    sigmas: float = 3.0,
    temperatures: Sequence[float] | float | None = None,
    tolerance: Tolerance | Mapping[str, Any] | str | None = None,
    hardware: str | Path | Hardware | None = None,
) -> Corners:
    """What a device does where each quantity's process is at its ends, and at other temperatures: exact.

    Parameters
    ----------
    subject:
        A device of linear cells, or whatever has or names one.
    metrics:
        One or several (`spu.yields`); `METRICS_OF_CORNERS`, those that have a meaning, unless given.
    sigmas:
        How many standard deviations of the process the ends are away; of a distribution that is not normal the values
        that are as rare.
    temperatures:
        K, at each of which all corners are taken; the device's own unless given.
    tolerance, hardware:
        As of `spu.yields`. Only processes have corners; mismatch is for `spu.yields`. None is needed where there are
        temperatures.

    Raises
    ------
    InputError, OptionError, UsageError
        For anything that is not as said above; where nothing is stated that has corners.
    CircuitError
        If the device has no stationary law itself.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> found = spu.corners(device, "deviation out", temperatures=[250.0, 300.0, 350.0])
    >>> [f"{corner.temperature:g} K: {corner.values[0]:.3g} V" for corner in found.corners]
    ['250 K: 1.86e-06 V', '300 K: 2.04e-06 V', '350 K: 2.2e-06 V']
    """
    device = device_of(subject)
    if not (is_number(sigmas) and 0 < sigmas <= MOST):
        raise OptionError("sigmas", f"is {shorten(sigmas)}: a number of standard deviations up to {MOST:g} is wanted")
    kelvins = _temperatures(device, temperatures)
    elements = elements_of(device)
    if tolerance is None and hardware is not None:
        tolerance = tolerance_of_hardware(hardware)
    only_temperature = tolerance is None and not device.tolerance and temperatures is not None
    meant = Tolerance() if only_temperature else tolerance_of(device, tolerance, elements)
    quantities = process_quantities(elements, meant)
    if not quantities and temperatures is None:
        raise UsageError(
            "the tolerance states no process, and only that has corners: state it, as cell.capacitance.process=5%, or "
            "give temperatures"
        )
    judged = _metrics(device, metrics)
    ends = _ends(quantities, float(sigmas))
    factors = _factors(elements, meant, quantities, ends)
    found: list[Corner] = []
    for kelvin in kelvins:
        values = measured(
            device if kelvin == device.temperature else device.at_temperature(kelvin), elements, factors, judged
        )
        found += [
            Corner({name: sigma for name, sigma in zip(quantities, end, strict=True) if sigma}, kelvin, tuple(row))
            for end, row in zip(ends, values.tolist(), strict=True)
        ]
    return Corners(
        hash=device.hash,
        architecture=device.architecture,
        metrics=tuple((metric.name, metric.unit, metric.fails) for metric in judged),
        sigmas=float(sigmas),
        tolerance=meant.to_dict(),
        corners=tuple(found),
        combined=len(quantities) <= MOST_QUANTITIES,
    )


def _temperatures(device: Device, given: Sequence[float] | float | None) -> list[float]:
    if given is None:
        return [device.temperature]
    kelvins: list[Any] = [given] if is_number(given) else list(given)  # type: ignore[arg-type]
    if not kelvins or not all(is_number(kelvin) and 0 <= kelvin < np.inf for kelvin in kelvins):
        raise OptionError("temperatures", f"are {shorten(given)}: numbers of kelvin are wanted")
    return sorted({float(kelvin) for kelvin in kelvins})


def _metrics(device: Device, names: str | Sequence[str] | None) -> list[Metric]:
    nominal = nominal_of(device)
    if names is not None:
        return metrics_of(nominal, [names] if isinstance(names, str) else list(names))
    found: list[Metric] = []
    for name in METRICS_OF_CORNERS:
        try:
            found += metrics_of(nominal, [name])
        except UsageError:  # noqa: PERF203 - an answer of zero has no relative error
            continue
    return found


def _ends(quantities: Sequence[str], sigmas: float) -> list[tuple[float, ...]]:
    """Standard deviations of each quantity: nominal, then all corners, or the ends of each by itself."""
    nominal = (0.0,) * len(quantities)
    if not quantities:
        return [nominal]
    if len(quantities) <= MOST_QUANTITIES:
        return [nominal, *product((-sigmas, sigmas), repeat=len(quantities))]
    places = range(len(quantities))
    return [nominal, *(tuple(end * (k == place) for k in places) for place in places for end in (-sigmas, sigmas))]


def _factors(
    elements: Elements, tolerance: Tolerance, quantities: Sequence[str], ends: Sequence[tuple[float, ...]]
) -> FloatArray:
    """(k, e) of all corners: without mismatch."""
    factors = np.ones((len(ends), len(elements)))
    spreads = elements.spreads(tolerance)
    for group, where, spread in zip(elements.groups, elements.slices, spreads, strict=True):
        if spread.process:
            sigma = np.array(ends)[:, quantities.index(group.quantity)]
            moved = 1.0 + spread.errors(ndtr(sigma), spread.process)
            factors[:, where] = np.where(sigma, moved, 1.0)[:, None]
    return factors
