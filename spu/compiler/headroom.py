"""Pass 6: the injected noise, so that every cell is read above the readout's noise and below its full swing.

The variance of a cell is linear in the density S of the injected noise, ``a S + b`` (b is the resistors' own), and
a mean held by bias currents is scaled along with the spread. So two laws, at two densities, tell the
interval of those that fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.choice import TOLERANCE, first_largest, first_smallest
from spu.base.errors import Unrealizable
from spu.device.device import Device
from spu.device.hardware import Hardware, ReadoutRange
from spu.emulator.dynamics import device_law

_ROUNDING = 1e-9  # relative, of a density at the edge of what fits


@dataclass(frozen=True)
class Levels:
    """How the cells' voltages lie between the readout's noise and its full swing.

    Attributes
    ----------
    noise, nominal_noise:
        One-sided density of the injected noise current that was chosen, and the hardware's own, A^2/Hz.
    quietest, quietest_rms, floor_headroom:
        The cell of the smallest rms, V, and how far it is above the floor, dB.
    loudest, loudest_peak, clipping_headroom:
        The cell of the largest ``|mean| + crest * rms``, V, and how far that is below the full swing, dB.
    """

    noise: float
    nominal_noise: float
    quietest: str
    quietest_rms: float
    floor_headroom: float
    loudest: str
    loudest_peak: float
    clipping_headroom: float


class Built(Protocol):
    """What an architecture makes."""

    @property
    def device(self) -> Device:
        """The device."""


B = TypeVar("B", bound=Built)


def plan_levels(build: Callable[[Hardware], B], hardware: Hardware) -> tuple[B, Levels | None]:
    """Build at the density nearest to the nominal one that fits.

    Parameters
    ----------
    build:
        Builds on hardware of a given nominal density.
    hardware:
        With `Hardware.readout`, or None, where any voltage will do.

    Raises
    ------
    Unrealizable
        If no density in the hardware's range fits, naming the quietest and the loudest cell.
    """
    made = build(hardware)
    readout, allowed = hardware.readout, hardware.cell["noise"]
    if readout is None:
        return made, None
    nominal = allowed.nominal
    assert nominal is not None  # the hardware file was checked for it
    found = _levels(made, readout, nominal, nominal)
    if min(found.floor_headroom, found.clipping_headroom) >= -TOLERANCE:
        return made, found
    reference = nominal if nominal > 0 else min(max(allowed.min, 1e-30), allowed.max)
    mean, variance = _voltages(build(with_noise(hardware, reference)))
    mean4, variance4 = _voltages(build(with_noise(hardware, 4.0 * reference)))
    slope = (variance4 - variance) / (3.0 * reference)
    own = variance - slope * reference

    def peak(density: float) -> float:
        # The mean goes as the square root of S + (thermal density), which is linear in S.
        squared = mean**2 + (mean4**2 - mean**2) * (density - reference) / (3.0 * reference)
        rms = np.sqrt((slope * density + own).clip(0))
        return float((np.sqrt(squared.clip(0)) + readout.crest * rms).max())

    least = max(float(((readout.noise_floor**2 - own) / slope).max()), 0.0) * (1 + _ROUNDING)
    most = _largest(peak, readout.full_swing, reference) * (1 - _ROUNDING)
    low, high = max(least, allowed.min), min(most, allowed.max)
    if low > high:
        raise _refusal(found, readout, hardware, (least, most))
    chosen = float(min(max(nominal, low), high))
    made = build(with_noise(hardware, chosen))
    return made, _levels(made, readout, chosen, nominal)


def with_noise(hardware: Hardware, density: float) -> Hardware:
    """The hardware with another nominal density of injected noise, A^2/Hz, and no limits to it."""
    unlimited = replace(hardware.cell["noise"], nominal=density, min=0.0, max=np.inf)
    return replace(hardware, cell={**hardware.cell, "noise": unlimited})


def _voltages(made: Built) -> tuple[FloatArray, FloatArray]:
    law = device_law(made.device)
    return law.voltage_mean, np.asarray(law.voltage_covariance.diagonal())


def _largest(peak: Callable[[float], float], swing: float, start: float) -> float:
    """The density at which the peak, which rises with it, meets the swing; 0 if it never lies below."""
    if peak(0.0) > swing:
        return 0.0
    high = start
    while peak(high) < swing:
        high *= 4.0
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if peak(middle) <= swing else (low, middle)
    return low


def _levels(made: Built, readout: ReadoutRange, noise: float, nominal: float) -> Levels:
    mean, variance = _voltages(made)
    rms = np.sqrt(variance.clip(0))
    peak = np.abs(mean) + readout.crest * rms
    quiet, loud = first_smallest(rms, float(rms.min())), first_largest(peak)
    names = made.device.cell_names

    def decibel(ratio: float) -> float:
        return float(20.0 * np.log10(ratio)) if ratio > 0 else -np.inf

    return Levels(
        noise,
        nominal,
        names[quiet],
        float(rms[quiet]),
        decibel(float(rms[quiet]) / readout.noise_floor),
        names[loud],
        float(peak[loud]),
        decibel(readout.full_swing / float(peak[loud])) if peak[loud] > 0 else np.inf,
    )


def _refusal(found: Levels, readout: ReadoutRange, hardware: Hardware, wanted: tuple[float, float]) -> Unrealizable:
    allowed = hardware.cell["noise"]
    least, most = wanted
    details: dict[str, Any] = {
        "noise_needed": [least, most],
        "noise_range": [allowed.min, allowed.max],
        "quietest": found.quietest,
        "quietest_rms": found.quietest_rms,
        "loudest": found.loudest,
        "loudest_peak": found.loudest_peak,
        "noise_floor": readout.noise_floor,
        "full_swing": readout.full_swing,
    }
    at = (
        f"at the nominal noise cell {found.quietest} has {found.quietest_rms:.3g} V rms (floor "
        f"{readout.noise_floor:.3g} V) and cell {found.loudest} peaks at {found.loudest_peak:.3g} V (full swing "
        f"{readout.full_swing:.3g} V)"
    )
    why = (
        f"an injected noise of {least:.3g} to {most:.3g} A^2/Hz is needed, outside its range {allowed.min:.3g} to "
        f"{allowed.max:.3g}"
    )
    if most <= 0:
        why = "the resistors' own noise alone is too loud"
    elif least > most:
        why = (
            f"the quietest cell needs an injected noise of at least {least:.3g} A^2/Hz, the loudest at most {most:.3g}"
        )
    return Unrealizable(f"no level lies between noise floor and full swing: {why}; {at}", details=details)
