"""How a problem's units stand for volts, farads and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from spu.base.errors import InputError

__all__ = ["NetworkScales", "Scales"]


@dataclass(frozen=True)
class Scales:
    """How problem units are held by the circuit.

    Attributes
    ----------
    time:
        s for one unit of problem time.
    coordinate:
        V for x = 1; of networks V, Wb or C.
    """

    time: float
    coordinate: float

    @property
    def second(self) -> float:
        """Seconds that one unit of the problem's time takes."""
        return self.time

    def to_dict(self) -> dict[str, float | None]:
        """As JSON holds it."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Any, file: str | Path | None = None) -> Scales:
        """Restore what `to_dict` gave, of either class; errors name ``file``."""
        cls = NetworkScales if isinstance(data, Mapping) and "energy" in data else Scales
        known = [entry.name for entry in fields(cls)]
        good = isinstance(data, Mapping) and set(data) == set(known)
        if good:
            needed = [data[key] for key in known if key != "quality"]
            good = all(type(value) in (int, float) and 0 < value < np.inf for value in needed)
        if not good:
            raise InputError('"compiled.scales" is damaged: compile again', file=file)
        return cls(**data)


@dataclass(frozen=True)
class NetworkScales(Scales):
    """How the units of a thermodynamic network are held, which has energies, too.

    Attributes
    ----------
    energy:
        J (of ``rc-conductance`` W) for V = 1.
    speedup:
        Factor on energies and noise: answers come this many times sooner.
    quality:
        Squared quality factor of the stiffest cell of ``rlc-flux``; None elsewhere.
    """

    energy: float
    speedup: float = 1.0
    quality: float | None = None

    @property
    def second(self) -> float:
        """Seconds that one unit of the problem's time takes, sooner by the speedup."""
        return self.time / self.speedup
