"""What takes samples of a circuit's readouts: when, and how finely."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError
from spu.base.names import shorten

__all__ = ["MOST_BITS", "Acquisition"]

MOST_BITS = 24
"""Of a converter; no finer one is sold."""


@dataclass(frozen=True)
class Acquisition:
    """Samples of all readouts at one instant, each through a converter of its own that is like the others.

    Readout number k is taken at ``k / sampling_rate`` plus an error of the clock, the same one for all channels and
    another one, independent, for each k. The converter divides ``-full_scale`` to ``full_scale`` into ``2**bits`` steps
    and reads the middle of the one that the voltage is in: zero is a threshold, one bit is a comparator. What lies
    outside reads as the last step. Without bits a full scale only clips, at itself.

    Parameters
    ----------
    sampling_rate:
        Hz; None where readouts are taken whenever they are asked for.
    jitter:
        s rms, normal: error of each sample's instant.
    bits:
        From 1 to `MOST_BITS`; None for none.
    full_scale:
        V; None for none.
    noise:
        V rms, normal, white: what the converter adds to each sample of each channel.

    Raises
    ------
    InputError
        For a number that makes no sense, jitter without a rate, or bits without a full scale.

    Examples
    --------
    >>> import spu
    >>> converter = spu.Acquisition(sampling_rate=1e6, bits=3, full_scale=1.0)
    >>> converter.step, converter.read([-3.0, -0.1, 0.1, 0.3]).tolist()
    (0.25, [-0.875, -0.125, 0.125, 0.375])
    >>> converter.codes([-3.0, -0.1, 0.1, 0.3]).tolist()
    [-4, -1, 0, 1]
    """

    sampling_rate: float | None = None
    jitter: float = 0.0
    bits: int | None = None
    full_scale: float | None = None
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("sampling_rate", "full_scale"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _real(getattr(self, name), name, least=0.0, included=False))
        for name in ("jitter", "noise"):
            object.__setattr__(self, name, _real(getattr(self, name), name, least=0.0, included=True))
        bits = self.bits
        if bits is not None:
            if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= MOST_BITS:
                raise InputError(
                    f"bits of an acquisition are a whole number from 1 to {MOST_BITS}, not {shorten(bits)}"
                )
            object.__setattr__(self, "bits", int(bits))
            if self.full_scale is None:
                raise InputError("bits of an acquisition need a full_scale (V), which they divide")
        if self.jitter and self.sampling_rate is None:
            raise InputError("jitter of an acquisition needs a sampling_rate (Hz): of other readouts no clock is known")

    def __bool__(self) -> bool:
        return self != Acquisition()

    @property
    def interval(self) -> float | None:
        """Seconds between samples; None where nothing says so."""
        return None if self.sampling_rate is None else 1.0 / self.sampling_rate

    @property
    def step(self) -> float:
        """V of one code; 0 without bits."""
        return 0.0 if self.bits is None or self.full_scale is None else 2.0 * self.full_scale / 2.0**self.bits

    @property
    def limits(self) -> tuple[float, float]:
        """V, the least and the greatest that can be read."""
        end = math.inf if self.full_scale is None else self.full_scale - self.step / 2.0
        return -end, end

    @property
    def converts(self) -> bool:
        """Whether what is read is another voltage than what there was."""
        return self.full_scale is not None or self.noise > 0

    def codes(self, volts: Annotated[ArrayLike, "..."]) -> Annotated[IntArray, "..."]:
        """Codes, from ``-2**(bits - 1)``, of voltages at the converter.

        Raises
        ------
        InputError
            Without bits.
        """
        if self.bits is None:
            raise InputError("an acquisition without bits has no codes")
        half = 2.0 ** (self.bits - 1)
        found = np.clip(np.floor(np.asarray(volts, dtype=np.float64) / self.step), -half, half - 1.0)
        return np.asarray(found, dtype=np.int64)

    def read(self, volts: Annotated[ArrayLike, "..."]) -> Annotated[FloatArray, "..."]:
        """What is read of voltages at the converter, V; `noise` is already in them."""
        if self.bits is not None:
            return np.asarray((self.codes(volts) + 0.5) * self.step)
        low, high = self.limits
        return np.clip(np.asarray(volts, dtype=np.float64), low, high)

    def to_dict(self) -> dict[str, Any]:
        """What differs from none."""
        none = Acquisition()
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value != getattr(none, name)}


def _real(value: object, name: str, *, least: float, included: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} of an acquisition must be a number, not {shorten(value)}")
    number = float(value)
    if not (math.isfinite(number) and (number > least or (included and number == least))):
        raise InputError(
            f"{name} of an acquisition is {number:g}: it must be {'0 or more' if included else 'positive'}"
        )
    return number
