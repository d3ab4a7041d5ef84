"""Noise that is made by a clock: samples held for its period, Gaussian or binary, out of a converter or a register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from scipy.special import ndtr

from spu.base import registers
from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError
from spu.base.names import shorten, suggest

__all__ = ["Clocked"]

KINDS = ("gaussian", "binary")

CREST = 4.0
"""Full scale of a converter over the rms of what it converts, where nothing is said."""

MOST_BITS, MOST_SUMMED = 20, 64
"""Of a converter; and bits that make up a sample of binary noise."""


@dataclass(frozen=True)
class Clocked:
    """Samples that all injected noise sources hold for the period of one clock, as FPGAs and converters make them.

    Their rms is that of white noise of the source's density below the clock, ``S / (2 T)``, T the period: power at low
    frequencies is that of the white source, and falls off with ``sinc^2(f T)``. Thermal noise of resistors stays white.

    Parameters
    ----------
    clock:
        Hz.
    kind:
        ``gaussian``: normal samples, which a converter may make into steps; ``binary``: of two levels.
    register:
        Of binary noise: bits k of a register of maximal length, of which all sources take their bits, evenly shifted:
        they come around after 2^k - 1 periods. Independent bits unless given.
    summed:
        Of binary noise: bits that are added up to a sample, of ``summed + 1`` levels and a crest factor of its root.
    bits:
        Of the converter of Gaussian samples: 2^bits levels, evenly from minus to plus full scale, of which the nearest
        is taken.
    crest:
        Full scale over the rms of the samples, beyond which they are clipped; 4 unless given, where there are bits.

    Raises
    ------
    InputError
        If anything is not as said above.

    Examples
    --------
    >>> import spu
    >>> round(spu.Clocked(1e8, bits=8, crest=3.0).variance, 4)
    0.9951
    >>> spu.Clocked(1e8, kind="binary", register=5).cycle
    31
    """

    clock: float
    kind: str = "gaussian"
    register: int | None = None
    summed: int | None = None
    bits: int | None = None
    crest: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.clock, (int, float)) and not isinstance(self.clock, bool) and 0 < self.clock < 1e30):
            raise InputError(f"clock of clocked noise must be a positive number of Hz, not {shorten(self.clock)}")
        if self.kind not in KINDS:
            raise InputError(f"kind of clocked noise: {suggest(str(self.kind), KINDS)}, not {shorten(self.kind)}")
        other = ("bits", "crest") if self.kind == "binary" else ("register", "summed")
        for name in other:
            if getattr(self, name) is not None:
                raise InputError(f"{name} has no meaning for {self.kind} noise: leave it out, or take the other kind")
        for name, least, most in (
            ("register", registers.LEAST, registers.MOST),
            ("summed", 1, MOST_SUMMED),
            ("bits", 1, MOST_BITS),
        ):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and least <= value <= most):
                raise InputError(
                    f"{name} of clocked noise must be a whole number from {least} to {most}, not {shorten(value)}"
                )
        if self.crest is not None and not 0.1 <= self.crest <= 100:
            raise InputError(f"crest of clocked noise must be from 0.1 to 100, not {shorten(self.crest)}")

    @property
    def period(self) -> float:
        """Of the clock, s."""
        return 1.0 / self.clock

    @property
    def full_scale(self) -> float | None:
        """Largest size of a sample over the rms that it was meant to have; None of normal ones."""
        if self.kind == "binary":
            return float(np.sqrt(self.width))
        return self.crest if self.bits is None or self.crest is not None else CREST

    @property
    def width(self) -> int:
        """Random numbers that make up a sample."""
        return self.summed or 1

    @property
    def cycle(self) -> int | None:
        """Periods of the clock after which a register comes around; None without one."""
        return None if self.register is None else (1 << self.register) - 1

    @property
    def normal(self) -> bool:
        """Whether samples are normal."""
        return self.kind == "gaussian" and self.full_scale is None

    @cached_property
    def variance(self) -> float:
        """Of a sample, over that which was meant; of those of a register where it is taken as random bits."""
        limit = self.full_scale
        if self.kind == "binary" or limit is None:
            return 1.0
        if self.bits is None:
            outside, edge = ndtr(-limit), np.exp(-(limit**2) / 2) / np.sqrt(2 * np.pi)
            return float(1.0 - 2.0 * outside - 2.0 * limit * edge + 2.0 * limit**2 * outside)
        step = 2.0 * limit / (2**self.bits - 1)
        levels = step * (np.arange(2 ** (self.bits - 1)) + 0.5)  # those above zero, and what lies between them
        chances = np.diff(np.append(ndtr(-(levels - step / 2)), 0.0)) * -1.0
        return float(2.0 * (levels**2 @ chances))

    def shaped(self, normals: Annotated[FloatArray, "... width"]) -> Annotated[FloatArray, "..."]:
        """Samples (...) out of standard normals (..., width)."""
        limit = self.full_scale
        if self.kind == "binary":
            return np.asarray(np.where(normals < 0, -1.0, 1.0).sum(axis=-1) / np.sqrt(self.width))
        found = normals[..., 0]
        if limit is None:
            return found
        if self.bits is not None:
            step = 2.0 * limit / (2**self.bits - 1)
            found = step * (np.floor(found / step) + 0.5)
        return np.clip(found, -limit, limit)

    def delays(self, sources: int) -> Annotated[IntArray, "sources width"]:
        """By how many periods each bit of each source comes after the register's: evenly over what it goes through.

        Raises
        ------
        InputError
            If the register is too short for so many bits.
        """
        assert self.cycle is not None
        many = sources * self.width
        if many > self.cycle:
            raise InputError(
                f"noise.register: {many} bits for {sources} noise sources are more than the {self.cycle} of a register "
                f"of {self.register} bits: take at least {int(many).bit_length()}"
            )
        places = [k * self.cycle // many for k in range(many)]
        return np.array(places, dtype=np.int64).reshape(sources, self.width)

    def words(self) -> str:
        """What it is, for people."""
        if self.kind == "binary":
            many = "" if self.width == 1 else f"sums of {self.width} "
            source = "independent bits" if self.register is None else f"bits of a register of {self.register} bits"
            return f"{many}{source}"
        if self.bits is not None:
            return f"normal samples in {self.bits} bits, clipped at {self.full_scale:g} sigma"
        return "normal samples" if self.crest is None else f"normal samples, clipped at {self.crest:g} sigma"

    def to_dict(self) -> dict[str, Any]:
        """What is given, by name."""
        names = ("clock", "kind", "register", "summed", "bits", "crest")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @classmethod
    def from_dict(cls, data: Any) -> Clocked:
        """Restore what `to_dict` gave.

        Raises
        ------
        InputError
            If it is nothing of the kind.
        """
        names = ("clock", "kind", "register", "summed", "bits", "crest")
        if not isinstance(data, Mapping) or "clock" not in data:
            raise InputError(f"clocked noise must be a table with a clock, not {shorten(data)}")
        for key in data:
            if key not in names:
                raise InputError(f"unknown key {shorten(key)} of clocked noise; {suggest(key, names)}")
        return cls(**data)
