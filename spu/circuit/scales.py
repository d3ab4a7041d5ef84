"""How a thermodynamic network's units stand for volts, farads and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from spu.base.errors import InputError

__all__ = ["Scales"]


@dataclass(frozen=True)
class Scales:
    """How problem units are held by the circuit.

    Attributes
    ----------
    time:
        s for one unit of problem time.
    coordinate:
        V, Wb or C for x = 1.
    energy:
        J (of ``rc-conductance`` W) for V = 1.
    speedup:
        Factor on energies and noise: answers come this many times sooner.
    quality:
        Squared quality factor of the stiffest cell of ``rlc-flux``; None elsewhere.
    """

    time: float
    coordinate: float
    energy: float
    speedup: float = 1.0
    quality: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any, file: str | Path | None = None) -> Scales:
        """Restore what `to_dict` gave; errors name ``file``."""
        known = [entry.name for entry in fields(cls)]
        good = isinstance(data, Mapping) and set(data) == set(known)
        if good:
            needed = [data[key] for key in known if key != "quality"]
            good = all(type(value) in (int, float) and 0 < value < np.inf for value in needed)
        if not good:
            raise InputError('"compiled.scales" is damaged: compile again', file=file)
        return cls(**data)
