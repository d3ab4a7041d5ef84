"""Noise sources that several cells share: names, and amplitudes as columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import Bits, FloatArray, IntArray
from spu.base.errors import InputError
from spu.base.names import check_name, check_names, shorten

__all__ = ["Noises", "SharedNoise"]

LEAST, MOST = 1e-60, 1e60
"""Sizes of amplitudes, A/sqrt(Hz), that a circuit can hold."""


@dataclass(frozen=True)
class SharedNoise:
    """One white noise source as a value.

    Attributes
    ----------
    name:
        Of the source.
    amplitudes:
        ``{cell: A/sqrt(Hz)}``, one-sided: what it drives into each cell; a negative one the other way round.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device()
    >>> for name in ("a", "b"):
    ...     device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    >>> device.add_noise("n1", {"a": 2e-10, "b": -1e-10})
    >>> device.noises
    [SharedNoise(name='n1', amplitudes={'a': 2e-10, 'b': -1e-10})]
    >>> covariance = spu.predict(device).covariance
    >>> bool(covariance[0, 1] < 0)
    True
    """

    name: str
    amplitudes: dict[str, float]


class Noises:
    """All of a device's, as columns.

    Attributes
    ----------
    names:
        Of the s sources.
    taps:
        (k, 2) numbers of source and cell, of each place where one drives a cell.
    amplitudes:
        (k,) A/sqrt(Hz), one-sided, of either sign.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.taps: IntArray = np.empty((0, 2), dtype=np.int64)
        self.amplitudes: FloatArray = np.empty(0)

    def __len__(self) -> int:
        return len(self.names)

    def copy(self) -> Noises:
        """The same with arrays of its own."""
        found = Noises()
        found.names, found.taps, found.amplitudes = list(self.names), self.taps.copy(), self.amplitudes.copy()
        return found

    def state(self) -> tuple[Any, ...]:
        """All that they are, to be compared bit by bit."""
        return tuple(self.names), Bits(self.taps), Bits(self.amplitudes)

    def add(self, name: object, amplitudes: object, cells: Mapping[str, int], where: str, file: str | None) -> None:
        """Add one, checked; ``cells`` are numbers by lower-case name, ``where`` begins messages.

        Raises
        ------
        InputError
            For a bad name, an unknown cell, or an amplitude that is no number.
        """
        name = check_name(name, where, file=file)
        where = f"{where} {name}" if name not in where else where
        if any(name.lower() == other.lower() for other in self.names):
            raise InputError(f"{where}: there is already one of that name", file=file)
        if not isinstance(amplitudes, Mapping):
            message = f"{where}: amplitudes must be given by cell, {{'a': 1e-10}}, not {shorten(amplitudes)}"
            raise InputError(message, file=file)
        found: dict[int, float] = {}
        for cell, given in amplitudes.items():
            if not isinstance(cell, str) or cell.lower() not in cells:
                raise InputError(f"{where}: there is no cell {cell!r}", file=file)
            if cells[cell.lower()] in found:
                raise InputError(f"{where}: cell {cell} is there twice", file=file)
            found[cells[cell.lower()]] = _amplitude(given, f"{where}, cell {cell}", file)
        there = {cell: value for cell, value in found.items() if value != 0}
        if not there:
            raise InputError(f"{where}: it drives no cell", file=file)
        taps = np.array([(len(self.names), cell) for cell in there], dtype=np.int64)
        self.extend([name], taps, list(there.values()))

    def extend(self, names: Sequence[str], taps: IntArray, amplitudes: ArrayLike) -> None:
        """Append sources that are already checked."""
        self.names += names
        check_names(self.names, "a noise source")
        self.taps = np.concatenate([self.taps, np.asarray(taps, dtype=np.int64).reshape(-1, 2)])
        self.amplitudes = np.concatenate([self.amplitudes, np.asarray(amplitudes, dtype=np.float64)])

    def values(self, cells: Sequence[str]) -> list[SharedNoise]:
        """The sources as values, ``cells`` the names of all cells."""
        rows: list[dict[str, float]] = [{} for _ in self.names]
        for (source, cell), amplitude in zip(self.taps.tolist(), self.amplitudes.tolist(), strict=True):
            rows[source][cells[cell]] = amplitude
        return [SharedNoise(name, row) for name, row in zip(self.names, rows, strict=True)]

    def factor(self, count: int) -> FloatArray:
        """(count, s) amplitudes into each cell, A/sqrt(Hz)."""
        found = np.zeros((count, len(self.names)))
        found[self.taps[:, 1], self.taps[:, 0]] = self.amplitudes
        return found


def _amplitude(value: Any, where: str, file: str | None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{where}: its amplitude must be a number in A/sqrt(Hz), not {shorten(value)}", file=file)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number != 0 and not LEAST < abs(number) < MOST:
        raise InputError(f"{where}: {number!r} A/sqrt(Hz) is beyond anything a circuit can hold", file=file)
    return number
