"""Units that are held where they are: what is left of a network's equation, in which they are fields.

A clamped unit does not move, and what it does to the others is a pull that stays: a field. So an equation with clamped
units is that of the others, in other fields, and costs what that costs; its noise is numbered without them. Heat and
work are those of the units that move: what holds the others takes up no heat, and a change of their inputs is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arguments import numbers
from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import OptionError, UsageError
from spu.base.names import shorten, suggest
from spu.circuit.readout import Readout
from spu.emulator.equations.langevin import Langevin
from spu.emulator.runs.langevin_run import Schedule


@dataclass(frozen=True, eq=False)
class Clamps:
    """An equation some of whose units are held.

    Attributes
    ----------
    whole:
        Of all units.
    held, moving:
        (h,) and (n - h,) units.
    values:
        (h,) or (trajectories, h) coordinates at which they are held.
    """

    whole: Langevin
    held: IntArray
    moving: IntArray
    values: FloatArray

    @classmethod
    def of(cls, whole: Langevin, clamp: Mapping[str, ArrayLike], trajectories: int) -> Clamps:
        """Clamp units by name, at problem units: a number, or (trajectories,) of them.

        Raises
        ------
        UsageError
            If there is no such unit, numbers do not fit, or nothing is left that moves.
        """
        if not isinstance(clamp, Mapping):
            raise OptionError("clamp", "is a mapping of units to where they are held, such as {'x1': 0.5}")
        names = whole.readout.variables
        values = []
        for name, given in clamp.items():
            if name not in names:
                raise OptionError("clamp", f"holds no unit {shorten(name)}; {suggest(name, names[:9])}")
            problem = f"of {name} is a finite number, or one for each of {trajectories} trajectories"
            found = numbers(given, f"clamp {problem}")
            if found.shape not in ((), (trajectories,)) or not np.isfinite(found).all():
                raise OptionError("clamp", problem)
            values.append(found)
        held = np.array([names.index(name) for name in clamp], dtype=np.int64)
        if len(held) == whole.n:
            raise OptionError("clamp", "holds all units: nothing is left that moves")
        same = all(not each.ndim for each in values)
        at = np.stack([np.broadcast_to(each, () if same else (trajectories,)) for each in values], axis=-1)
        coordinates = (at - whole.readout.offset[held]) * whole.units[held]
        return cls(whole, held, np.setdiff1d(np.arange(whole.n), held), coordinates)

    @property
    def equation(self) -> Langevin:
        """Of the units that move, but for the pull of the others."""
        whole, moving = self.whole, self.moving
        if whole.varying is not None:
            raise OptionError("clamp", "is not for devices with a ramp: the pull of what is held would follow it")
        probes = np.flatnonzero(whole.sense[:, moving].any(axis=1))
        readout = Readout(
            tuple(whole.readout.variables[k] for k in moving),
            sp.csr_array(whole.readout.matrix)[moving][:, probes],
            whole.readout.offset[moving],
        )
        return replace(
            whole,
            names=tuple(whole.names[k] for k in moving),
            **{key: getattr(whole, key)[moving] for key in ("field", "quadratic", "cubic", "mobility", "noise")},
            stiffness=np.ascontiguousarray(whole.stiffness[np.ix_(moving, moving)]),
            mass=None if whole.mass is None else whole.mass[moving],
            sense=np.ascontiguousarray(whole.sense[np.ix_(probes, moving)]),
            probes=tuple(whole.probes[k] for k in probes),
            readout=readout,
        )

    def schedule(self, plan: Schedule) -> Schedule:
        """Fields of the units that move, the pull of the others among them.

        Raises
        ------
        UsageError
            If clamps differ by trajectory, which is a field that stays, beside fields of each trajectory that change.
        """
        pull = -self.values @ self.whole.stiffness[np.ix_(self.moving, self.held)].T
        fields = plan.fields[:, self.moving]
        own = None if plan.own is None else plan.own[:, self.moving]
        if pull.ndim == 1:
            return replace(plan, fields=fields + pull, own=own)
        if own is not None and plan.envelope is not None:
            raise UsageError("clamps that differ by trajectory go with no envelope: their pull does not change in time")
        return Schedule(plan.times, fields, pull if own is None else own + pull)

    def states(self, moving: FloatArray) -> FloatArray:
        """(times, trajectories, n) coordinates of all units."""
        found = np.empty((*moving.shape[:2], self.whole.n))
        found[..., self.moving], found[..., self.held] = moving, self.values
        return found
