"""What a device is set to beside its wiring: the programmings of an ensemble, and what it was compiled from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spu.base.arrays import FloatArray, IntArray, snapshot
from spu.circuit.readout import Readout

__all__ = ["Origin", "Programming"]


@dataclass(frozen=True, eq=False)
class Programming:
    """A further setting of the banks of one wiring.

    Attributes
    ----------
    cell_codes, coupler_codes:
        Codes by key, (n,) and (m,), as `Columns.codes`.
    readout:
        The map that goes with them.
    bias:
        (n,) A, bias currents; NaN where there are none.
    """

    cell_codes: dict[str, IntArray]
    coupler_codes: dict[str, IntArray]
    readout: Readout
    bias: FloatArray

    def state(self) -> tuple[Any, ...]:
        """All that it is, bit by bit, to be compared."""
        return snapshot(self.cell_codes), snapshot(self.coupler_codes), self.readout.state(), snapshot(self.bias)


@dataclass(frozen=True)
class Origin:
    """What a device was compiled from, and which values it was given then.

    Computed values differ in their last bits from processor to processor, so they are not in a compiled device's
    hash. They are, as all given values are, once one of them is not what was computed.

    Attributes
    ----------
    source:
        Digest of the problem and of what it was compiled with.
    values:
        Digest of the computed values, bit by bit (`Device.computed`).
    """

    source: str
    values: str

    def to_dict(self) -> dict[str, str]:
        """As the device file holds it."""
        return {"source": self.source, "values": self.values}
