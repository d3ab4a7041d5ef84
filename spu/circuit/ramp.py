"""What of a circuit varies in time while it runs: its couplers, its noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.base.names import shorten, suggest

__all__ = ["Ramp"]

_KEYS = ("times", "couplers", "noise")

PORTS = {"couplers": "factor_c", "noise": "factor_n"}
"""Nodes of a subcircuit whose voltage (1 V for one) is a factor of a ramp."""

NODES = {"couplers": "ramp_couplers", "noise": "ramp_noise"}
"""The same at the top of a netlist; the source that makes it is that name behind a ``v``."""


@dataclass(frozen=True, eq=False)
class Ramp:
    """Factors in time on all couplers, and on the amplitude of all injected noise.

    What a device says of a coupler (its capacitance, conductance, transconductance, the inverse of its inductance) and
    of noise (amplitude, A/rtHz) is multiplied by them. Straight lines join the instants; before the first and beyond
    the last one factors are constant, and an instant given twice is a jump. Cells stay as they are.

    Parameters
    ----------
    times:
        (k,) s, not falling, the first one >= 0.
    couplers, noise:
        (k,) factors at those instants, >= 0; 1 unless given.

    Raises
    ------
    InputError
        If anything is not as said above.

    Examples
    --------
    >>> import spu
    >>> ramp = spu.Ramp([0.0, 1e-6, 1e-6, 2e-6], couplers=[0.0, 0.5, 1.0, 1.0])
    >>> ramp.at([0.5e-6, 1e-6])[0]
    array([0.25, 1.  ])
    """

    times: Annotated[FloatArray, "k"]
    couplers: Annotated[FloatArray, "k"]
    noise: Annotated[FloatArray, "k"]

    def __init__(
        self,
        times: Annotated[ArrayLike, "k"],
        couplers: Annotated[ArrayLike, "k"] | None = None,
        noise: Annotated[ArrayLike, "k"] | None = None,
    ) -> None:
        instants = _numbers(times, "times")
        if len(instants) < 1 or (np.diff(instants) < 0).any():
            raise InputError("the times of a ramp must be at least one, >= 0, and must not fall")
        object.__setattr__(self, "times", instants)
        for name, given in (("couplers", couplers), ("noise", noise)):
            factors = np.ones(len(instants)) if given is None else _numbers(given, name)
            if len(factors) != len(instants):
                raise InputError(
                    f"a ramp has {len(instants)} times and {len(factors)} values of {name}: give as many of each"
                )
            object.__setattr__(self, name, factors)
        for name in _KEYS:
            getattr(self, name).setflags(write=False)

    def at(self, times: Annotated[ArrayLike, "m"]) -> tuple[Annotated[FloatArray, "m"], Annotated[FloatArray, "m"]]:
        """(m,) factors of couplers and of noise at (m,) instants, s; at a jump, what comes after it."""
        instants = np.asarray(times, dtype=np.float64)
        row = np.searchsorted(self.times, instants, side="right")
        first, last = np.clip(row - 1, 0, len(self.times) - 1), np.clip(row, 0, len(self.times) - 1)
        span = self.times[last] - self.times[first]
        share = np.where(span > 0, (instants - self.times[first]) / np.where(span > 0, span, 1.0), 0.0)
        share = np.clip(share, 0.0, 1.0)
        found = [(1.0 - share) * values[first] + share * values[last] for values in (self.couplers, self.noise)]
        return found[0], found[1]

    @property
    def end(self) -> tuple[float, float]:
        """Factors of couplers and of noise beyond the last instant."""
        return float(self.couplers[-1]), float(self.noise[-1])

    @property
    def start(self) -> tuple[float, float]:
        """Factors of couplers and of noise before the first instant."""
        return float(self.couplers[0]), float(self.noise[0])

    def varies(self, name: str) -> bool:
        """Whether the factor of ``couplers`` or ``noise`` is another one at another time."""
        factors = getattr(self, name)
        return bool((factors != factors[0]).any())

    def edges(self, edge: float) -> dict[str, tuple[Annotated[FloatArray, "j"], Annotated[FloatArray, "j"]]]:
        """Instants (j,), s, all apart, and factors there (j,), of ``couplers`` and of ``noise``.

        A jump becomes a straight line, about its instant, that takes ``edge`` s, or a tenth of what lies between it and
        the next instant where that is less; one at time zero begins there.
        """
        times = self.times
        distinct = np.unique(times)
        gaps = np.diff(distinct, prepend=-np.inf, append=np.inf)
        width = np.minimum(edge, 0.1 * np.minimum(gaps[:-1], gaps[1:]))
        first = np.searchsorted(times, distinct, side="left")
        last = np.searchsorted(times, distinct, side="right") - 1
        jump = last > first
        half = np.where(jump, width / 2, 0.0)
        middle = np.where(jump & (distinct - half < 0), half, distinct)
        both = np.column_stack([middle - half, middle + half]).ravel()
        kept = np.column_stack([jump, np.ones_like(jump)]).ravel()
        where = np.column_stack([first, last]).ravel()[kept]
        return {name: (both[kept], getattr(self, name)[where]) for name in ("couplers", "noise")}

    def counts(self, name: str) -> bool:
        """Whether the factor of ``couplers`` or ``noise`` is ever another one than 1."""
        return bool((getattr(self, name) != 1.0).any())

    @property
    def backward(self) -> Ramp:
        """The same, run backward in time."""
        last = self.times[-1]
        return Ramp((last - self.times)[::-1], self.couplers[::-1], self.noise[::-1])

    @classmethod
    def constant(cls, couplers: float = 1.0, noise: float = 1.0) -> Ramp:
        """Factors that do not change."""
        return cls([0.0], [couplers], [noise])

    @property
    def duration(self) -> float:
        """The last instant, s."""
        return float(self.times[-1])

    def to_dict(self) -> dict[str, list[float]]:
        """As the device file holds it."""
        return {name: getattr(self, name).tolist() for name in _KEYS}

    @classmethod
    def from_dict(cls, data: Any) -> Ramp:
        """Restore what `to_dict` gave.

        Raises
        ------
        InputError
            If it is nothing of the kind.
        """
        if not isinstance(data, Mapping) or "times" not in data:
            raise InputError(f"a ramp must be a table with times, and couplers or noise, not {shorten(data)}")
        for key in data:
            if key not in _KEYS:
                raise InputError(f"unknown key {shorten(key)} of a ramp; {suggest(key, _KEYS)}")
        return cls(**data)


def _numbers(values: ArrayLike, name: str) -> FloatArray:
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} of a ramp must be a list of numbers, not {shorten(values)}") from None
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"{name} of a ramp must be a list of finite numbers >= 0")
    return found
