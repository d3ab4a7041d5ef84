"""What tolerance and what bits a wanted yield needs, and how the yield hangs on both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from spu.base.errors import Unrealizable
from spu.compiler import compile_problem
from spu.compiler.quantise import quantised
from spu.device.banks import MOST_BITS
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.tolerance import LARGEST, TABLES_OF, Tolerance
from spu.device.variation import elements_of
from spu.problems.problem import Problem

__all__ = ["SCALES", "Rate", "ScanPoint", "Wanted", "largest_scale", "recompiled", "wanted_bits", "wanted_scale"]

SCALES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Factors on all standard deviations at which a scan looks."""

UNIT = 2**16
"""Factors are whole parts of this: what a piece of a study is called by."""

_FINE, _MOST_SCALE, _LEAST_SCALE = 1.005, 16 * UNIT, UNIT // 64

_MOST_MORE = 12
"""Bits more than there are, at most."""


@dataclass(frozen=True)
class Rate:
    """A yield.

    Attributes
    ----------
    rate, low, high:
        Share of good boards, and its interval.
    """

    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class ScanPoint:
    """A yield elsewhere.

    Attributes
    ----------
    scale:
        Factor on all standard deviations.
    more_bits:
        How many every bank has more than the hardware's.
    nominal:
        The metric of the device as it is made for, there; None where it is the device itself.
    rate, low, high:
        As `Rate`.
    """

    scale: float
    more_bits: int
    nominal: float | None
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Wanted:
    """What a wanted yield needs.

    Attributes
    ----------
    wanted:
        The yield.
    scale:
        The largest factor on all standard deviations at which so many of these boards are good, to half a per cent;
        None where there is none.
    sure:
        The same for the lower end of the yield's interval.
    why:
        Why there is no scale, or no bits; empty where there are both.
    bits:
        How many bits every bank needs more than it has, as the tolerance is; less than zero where fewer do. None where
        no number of them does, or nothing is compiled anew.
    tried:
        Yields by bits.
    """

    wanted: float
    scale: float | None
    sure: float | None
    why: str
    bits: int | None = None
    tried: tuple[ScanPoint, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return asdict(self)


def largest_scale(tolerance: Tolerance, sigma: float) -> int:
    """The largest factor, in parts of `UNIT`, that leaves every standard deviation valid; ``sigma`` is the largest."""
    known = [sigma]
    for part in TABLES_OF:
        known += [value for spread in getattr(tolerance, part).values() for value in (spread.mismatch, spread.process)]
    return min(math.floor(LARGEST / max(known) * UNIT * (1 - 1e-12)), _MOST_SCALE)


def wanted_scale(rate: Callable[[int], Rate], wanted: float, most: int, *, sure: bool = False) -> float | None:
    """The largest factor on all standard deviations with a wanted yield, by halving; None where there is none.

    Parameters
    ----------
    rate:
        Of a factor in parts of `UNIT`; the same boards, so that it hardly rises.
    most:
        The largest one.
    sure:
        Whether the lower end of the interval is to reach it.
    """

    def good(scale: int) -> bool:
        found = rate(scale)
        return (found.low if sure else found.rate) >= wanted

    low, high = min(UNIT, most), min(UNIT, most)
    if good(low):
        while high < most and good(high):
            low, high = high, min(2 * high, most)
        if high == most and good(most):
            return most / UNIT
    else:
        while low > _LEAST_SCALE and not good(low):
            low, high = low // 2, low
        if not good(low):
            return None
    while high > low * _FINE and high > low + 1:
        middle = math.isqrt(low * high)
        low, high = (middle, high) if good(middle) else (low, middle)
    return low / UNIT


def recompiled(problem: Problem, hardware: Hardware, architecture: str | None, more: int) -> Device:
    """The problem on hardware whose banks have so many bits more, of units that are smaller: the same range.

    Raises
    ------
    Unrealizable
        If they do not hold it.
    """

    def changed(ranges: dict[str, Any]) -> dict[str, Any]:
        out = {}
        for name, limits in ranges.items():
            bank = limits.bank
            if bank is not None:
                bits = bank.bits + more
                bank = replace(bank, bits=bits, lsb=bank.lsb * bank.most / (2**bits - 1) if bits > 0 else bank.lsb)
            out[name] = replace(limits, bank=bank)
        return out

    built = replace(hardware, cell=changed(hardware.cell), coupler=changed(hardware.coupler))
    return compile_problem(problem, built, architecture=architecture).device


def bits_of(hardware: Hardware) -> tuple[int, ...]:
    """Of all banks of cells and couplers."""
    ranges = (*hardware.cell.values(), *hardware.coupler.values())
    return tuple(limits.bank.bits for limits in ranges if limits.bank is not None)


def why_no_bits(problem: Problem | None, hardware: Hardware | None) -> str:
    """Why nothing can be compiled with other bits; empty where it can."""
    if hardware is None:
        return "bits: give the hardware, of which the problem is compiled anew"
    if problem is None:
        return "bits: the device has no problem to compile anew"
    return "" if quantised(hardware) else f"bits: hardware {hardware.name} has no banks, its values are real numbers"


def wanted_bits(
    point: Callable[[int], ScanPoint], wanted: float, hardware: Hardware
) -> tuple[int | None, tuple[ScanPoint, ...]]:
    """The least number of bits more with a wanted yield, and all that was tried.

    Parameters
    ----------
    point:
        The yield with so many bits more; raises what the compiler raises.
    """
    bits = bits_of(hardware)
    most = min(_MOST_MORE, MOST_BITS - max(bits))
    tried: dict[int, ScanPoint | None] = {}

    def good(more: int) -> bool:
        if more not in tried:
            try:
                tried[more] = point(more)
            except Unrealizable:  # banks so coarse do not hold it
                tried[more] = None
        found = tried[more]
        return found is not None and found.rate >= wanted

    found: int | None = 0
    if good(0):
        while found is not None and found - 1 > -min(bits) and good(found - 1):
            found -= 1
    else:
        found = next((more for more in range(1, most + 1) if good(more) or _settled(tried, more)), None)
        if found is not None and not good(found):
            found = None
    return found, tuple(each for _, each in sorted(tried.items()) if each is not None)


def _settled(tried: dict[int, ScanPoint | None], more: int) -> bool:
    """Whether two bits more have changed nothing: what is left is the tolerance's."""
    last = [tried.get(number) for number in (more - 2, more - 1, more)]
    rates = [each.rate for each in last if each is not None]
    return len(rates) == 3 and rates[0] == rates[1] == rates[2] and rates[0] > 0


def checked_elements(device: Device, tolerance: Tolerance) -> float:
    """The largest standard deviation of an element of a device."""
    return float(max(sigma.max(initial=0.0) for sigma in elements_of(device).sigmas(tolerance)))
