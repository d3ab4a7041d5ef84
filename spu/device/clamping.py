"""Holding variables of a device: voltage sources at their cells, and the problem that this poses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError
from spu.circuit.readout import Readout
from spu.device.columns import Columns
from spu.problems.conditional import checked_held, conditional
from spu.problems.problem import Problem

__all__ = ["Held", "hold"]


class Held(NamedTuple):
    """What is held where: all values, problem units, the readout that goes with them, and the problem they pose."""

    values: dict[str, float]
    readout: Readout
    problem: Problem | None


def hold(columns: Columns, readout: Readout, problem: Problem | None, held: Mapping[str, float]) -> Held:
    """Put sources into the columns of cells: `spu.device.device.Device.clamped` says what it is.

    Raises
    ------
    InputError
        As there.
    """
    posed = None if problem is None else conditional(problem, held)
    wanted = checked_held(held, readout.variables) if posed is None else posed.held
    cells = {name: _cells(readout, name) for name in wanted}
    level, inductance = columns.arrays["clamp"], columns.arrays["inductance"]
    if posed is not None and not np.isnan(inductance).all():
        # Inductors short constant voltages, and capacitors do not pass them: what is held stands at 0 V, where the
        # covariance is that of any value, and the mean is added at readout, as the compiler does on such cells.
        if columns.holds("bias"):
            raise InputError("the device has inductors and bias currents: its mean is neither 0 V nor the problem's")
        for where, _ in cells.values():
            level[where] = 0.0
        readout = Readout(readout.variables, readout.matrix, np.array(posed.target_mean))
    else:
        for name, (where, gains) in cells.items():
            level[where] = _voltages(name, wanted[name], readout, gains)
            if not np.isnan(inductance[where]).all() and level[where].any():
                raise InputError(
                    f"{name} cannot be held at {wanted[name]:g}: an inductor shorts a constant voltage. Its 0 V can be "
                    "held; any value where the device has a problem, whose conditional mean is then added at readout"
                )
    for where, _ in cells.values():  # an inductor across a source is a loop that no operating point has
        inductance[where] = np.nan
    return Held(wanted, readout, posed)


def _cells(readout: Readout, name: str) -> tuple[IntArray, FloatArray]:
    """The cell that a variable is read of, or the two rails, and their gains.

    Raises
    ------
    InputError
        If it is read of more, or others are read of them, too.
    """
    T, row = readout.matrix, readout.variables.index(name)
    own = slice(T.indptr[row], T.indptr[row + 1])
    where, gains = T.indices[own].astype(np.int64), T.data[own]
    if len(where) != 1 and not (len(where) == 2 and gains[0] == -gains[1]):
        raise InputError(
            f"{name} is read of {len(where)} cells: a chain would have to be held as a whole, which says more than its "
            "readout; compile it where it takes one cell"
        )
    column = T[:, where].tocoo()
    others = np.setdiff1d(column.row, [row])
    if len(others):
        raise InputError(f"{readout.variables[others[0]]} is read of the cell of {name}, too: it would be held")
    return where, gains


def _voltages(name: str, value: float, readout: Readout, gains: FloatArray) -> FloatArray:
    """At which voltages cells are held, for a variable to have a value."""
    volts = (value - readout.offset[readout.variables.index(name)]) / gains / len(gains)
    if not (np.abs(volts) < _MOST).all():
        raise InputError(f"{name} at {value:g} is a voltage of {np.abs(volts).max():.3g} V: nothing holds that")
    return np.where(np.abs(volts) > _LEAST, volts, 0.0)


_LEAST, _MOST = 1e-60, 1e60
"""V: sizes that device files take; less is held at 0 V."""
