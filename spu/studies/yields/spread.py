"""How the elements of a device vary, as independent normal variables.

Each element with a mismatch is one, each quantity with a process another; a board is a point among them, and how far
it is from the origin says how rare it is. What the distributions are makes the factors of a point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from scipy.special import ndtr

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError, UsageError
from spu.base.names import shorten
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.hardware_file import load_hardware
from spu.device.tolerance import Tolerance, tolerance_from_dict
from spu.device.variation import Elements

__all__ = ["STATE_IT", "Variables", "process_quantities", "tolerance_of"]

STATE_IT = (
    'state it in the hardware\'s [tolerance], the "tolerance" of device.json, or as cell.capacitance=1%,'
    "cell.capacitance.process=5%"
)


def tolerance_of(device: Device, given: Tolerance | Mapping[str, Any] | str | None, elements: Elements) -> Tolerance:
    """The tolerance that is meant: the device's own unless another is given.

    Parameters
    ----------
    given:
        A `Tolerance`, its dictionary, or words: ``cell.capacitance=1%`` is the mismatch of the cells' capacitances,
        ``cell.capacitance.process=5%`` their process (``.distribution=uniform``, ``.at=1e-12``), between commas.

    Raises
    ------
    InputError
        As `Tolerance`.
    UsageError
        If none is stated, or none of an element that the device has.
    """
    if given is None:
        found = device.tolerance
        if not found:
            raise UsageError(f"no tolerance is stated for this device: {STATE_IT}")
    elif isinstance(given, str):
        found = tolerance_from_dict(_tables(given))
    else:
        found = given if isinstance(given, Tolerance) else tolerance_from_dict(given)
    if not any(sigma.any() for sigma in elements.sigmas(found)):
        stated = ", ".join(f"{part}.{name}" for part, table in found.to_dict().items() for name in table) or "nothing"
        raise UsageError(f"the tolerance is of {shorten(stated)}, and the device has no such element: {STATE_IT}")
    return found


def tolerance_of_hardware(hardware: str | Path | Hardware) -> Tolerance:
    """That of a preset, a hardware file or a `Hardware`.

    Raises
    ------
    UsageError
        If it states none.
    """
    built = hardware if isinstance(hardware, Hardware) else load_hardware(hardware)
    if not built.tolerance:
        raise UsageError(f"hardware {built.name} states no [tolerance]: give tolerance, as cell.capacitance=1%")
    return built.tolerance


def _tables(words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words.split(","):
        path, _, value = word.partition("=")
        keys = path.strip().split(".")
        detail = keys[0] == "detail"
        if not value.strip() or len(keys) not in ((3, 4) if detail else (2, 3)):
            raise InputError(f"tolerance {shorten(word.strip())}: it reads as cell.capacitance=1%")
        *outer, last = keys
        if len(keys) == (3 if detail else 2):
            outer, last = keys, "mismatch"
        table = found
        for key in outer:
            table = table.setdefault(key, {})
        table[last] = value.strip() if last == "distribution" else _number(value, word)
    return found


def _number(value: str, word: str) -> float:
    text = value.strip()
    try:
        return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        raise InputError(f"tolerance {shorten(word.strip())}: {shorten(text)} is no number, as 1% or 0.01") from None


def process_quantities(elements: Elements, tolerance: Tolerance) -> tuple[str, ...]:
    """Quantities whose elements share a draw, in the order in which they are drawn."""
    spreads = elements.spreads(tolerance)
    return tuple(
        sorted({group.quantity for group, spread in zip(elements.groups, spreads, strict=True) if spread.process})
    )


@dataclass(frozen=True, eq=False)
class Variables:
    """What varies: v independent standard normal variables.

    Attributes
    ----------
    elements, tolerance:
        Of the device.
    """

    elements: Elements
    tolerance: Tolerance

    @cached_property
    def own(self) -> Annotated[IntArray, "o"]:
        """(o,) numbers of the elements with a mismatch: the first of the variables."""
        return np.flatnonzero(self.elements.sigmas(self.tolerance)[0])

    @cached_property
    def processes(self) -> tuple[str, ...]:
        """Quantities with a process: the rest of the variables."""
        return process_quantities(self.elements, self.tolerance)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(v,) of elements, and ``process capacitance``."""
        names = self.elements.names
        return (*(names[k] for k in self.own.tolist()), *(f"process {quantity}" for quantity in self.processes))

    def __len__(self) -> int:
        return len(self.own) + len(self.processes)

    @cached_property
    def varying(self) -> Annotated[IntArray, "k"]:
        """(k,) numbers of elements that vary at all."""
        own, shared = self.elements.sigmas(self.tolerance)
        return np.flatnonzero((own > 0) | (shared > 0))

    @cached_property
    def sigmas(self) -> Annotated[FloatArray, "v e"]:
        """(v, e) standard deviations of the relative errors that each variable makes, to first order."""
        own, shared = self.elements.sigmas(self.tolerance)
        found = np.zeros((len(self), len(self.elements)))
        found[np.arange(len(self.own)), self.own] = own[self.own]
        for group, where in zip(self.elements.groups, self.elements.slices, strict=True):
            if group.quantity in self.processes:
                found[len(self.own) + self.processes.index(group.quantity), where] = shared[where]
        return found

    def factors(self, points: Annotated[FloatArray, "d v"]) -> Annotated[FloatArray, "d e"]:
        """(d, e) factors of boards at these points."""
        factors = np.ones((len(points), len(self.elements)))
        place = {int(element): k for k, element in enumerate(self.own)}
        own = self.elements.sigmas(self.tolerance)[0]
        spreads = self.elements.spreads(self.tolerance)
        for group, where, spread in zip(self.elements.groups, self.elements.slices, spreads, strict=True):
            if spread.mismatch:
                columns = [place[k] for k in range(where.start, where.stop)]
                factors[:, where] *= 1.0 + spread.errors(_uniform(points[:, columns]), own[where])
            if spread.process:
                shared = points[:, len(self.own) + self.processes.index(group.quantity)]
                factors[:, where] *= 1.0 + spread.errors(_uniform(shared), spread.process)[:, None]
        return factors

    def slopes(self, point: Annotated[FloatArray, "v"]) -> Annotated[FloatArray, "v e"]:
        """(v, e) derivatives of the logarithms of the factors at a point, to about ten digits.

        By differences, which any distribution has: zero where a normal one is cut.
        """
        steps = _STEP * np.eye(len(self))
        around = np.concatenate([point + k * steps for k in (1.0, -1.0, 2.0, -2.0)])
        near, far = np.log(self.factors(around)).reshape(2, 2, len(self), -1)
        return np.asarray((8.0 * (near[0] - near[1]) - (far[0] - far[1])) / (12.0 * _STEP))


_STEP = 1e-3


def _uniform(normal: FloatArray) -> FloatArray:
    return np.asarray(np.clip(ndtr(normal), 2.0**-53, 1.0 - 2.0**-53))
