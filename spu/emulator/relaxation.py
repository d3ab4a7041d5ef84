"""`relaxation`: how a linear device comes to its stationary law from a given state, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arguments import numbers
from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError, UsageError
from spu.device.subject import Subject
from spu.emulator.dynamics import LinearDynamics, all_linear
from spu.emulator.labelled import SQUARES, UNITS, Labels
from spu.emulator.laws.transient import TransientLaw, state_at, transient_law

if TYPE_CHECKING:
    import xarray

__all__ = ["Relaxation", "relaxation"]

REST, STATIONARY = "rest", "stationary"
"""Starts by name: power-on, without voltages and currents; and the stationary law itself."""

MOST_NUMBERS = 200_000_000
"""Of covariances at all instants together: 1.6 GB."""


@dataclass(frozen=True, eq=False, repr=False)
class Relaxation(Result):
    """The exact law of a linear device at given times after it left a given state.

    Attributes
    ----------
    variables, cells:
        q and p names.
    start:
        (q,) where the variables begin; None of a start in the stationary law.
    times, device_times:
        (k,) in units of the problem's time (s where the device has none), and in s.
    mean, covariance:
        (k, q) and (k, q, q), problem units.
    voltage_mean, voltage_covariance:
        (k, p) V, (k, p, p) V^2.
    stationary_mean, stationary_covariance:
        (q,) and (q, q): what they come to.
    slowest:
        The longest time constant that the readouts see, s.
    time_unit:
        Seconds that one unit of ``times`` takes.
    law:
        All states' law.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> found = spu.relaxation(device, start=[1.0, 0.0], times=[0.0, 1e-3])
    >>> found.mean.round(6) + 0.0
    array([[1., 0.],
           [0., 0.]])
    >>> bool(abs(found.covariance[1] - spu.predict(device).covariance).max() < 1e-9)
    True
    """

    variables: tuple[str, ...]
    cells: tuple[str, ...]
    start: Annotated[FloatArray, "q"] | None
    times: Annotated[FloatArray, "k"]
    device_times: Annotated[FloatArray, "k"]
    mean: Annotated[FloatArray, "k q"]
    covariance: Annotated[FloatArray, "k q q"]
    voltage_mean: Annotated[FloatArray, "k p"]
    voltage_covariance: Annotated[FloatArray, "k p p"]
    stationary_mean: Annotated[FloatArray, "q"]
    stationary_covariance: Annotated[FloatArray, "q q"]
    slowest: float
    time_unit: float
    law: TransientLaw

    in_short = ("variables", "start", "times")

    @property
    def variance(self) -> Annotated[FloatArray, "k q"]:
        """(k, q)."""
        return np.diagonal(self.covariance, axis1=1, axis2=2).copy()

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds: arrays stay arrays."""
        keys = (
            *("variables", "cells", "start", "times", "device_times", "mean", "variance", "covariance"),
            *("voltage_mean", "voltage_covariance", "stationary_mean", "stationary_covariance", "slowest"),
            "time_unit",
        )
        return {key: getattr(self, key) for key in keys}

    def to_xarray(self) -> xarray.Dataset:
        """Means and covariances in time as labelled arrays (`spu.emulator.labelled`).

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        found = Labels(slowest=self.slowest, time_unit=self.time_unit)
        found.names("variable", self.variables)
        found.names("cell", self.cells)
        found.coordinate("time", self.times, "s" if self.time_unit == 1 else "problem time", "readout")
        found.coordinate("device_time", self.device_times, "s", "readout")
        found.array("start", ("variable",), self.start, UNITS)
        found.array("mean", ("readout", "variable"), self.mean, UNITS)
        found.array("covariance", ("readout", "variable", "variable_"), self.covariance, SQUARES)
        found.array("stationary_mean", ("variable",), self.stationary_mean, UNITS)
        found.array("stationary_covariance", ("variable", "variable_"), self.stationary_covariance, SQUARES)
        found.array("voltage_mean", ("readout", "cell"), self.voltage_mean, "V")
        found.array("voltage_covariance", ("readout", "cell", "cell_"), self.voltage_covariance, "V^2")
        return found.dataset()


def relaxation(
    subject: Subject,
    *,
    times: float | Annotated[ArrayLike, "k"],
    start: float | Annotated[ArrayLike, "q"] | str | None = None,
) -> Relaxation:
    """How a linear device comes to its stationary law from a given state: exact mean and covariance, no sampling.

    Parameters
    ----------
    subject:
        A linear device of one programming, as `spu.predict` takes it.
    times:
        Readout times, not falling, in units of the problem's time (s where the device was compiled for none).
    start:
        (q,) values of the variables, or one for all of them: voltages at time zero, while no current flows in
        inductors and nodes that are not read are at zero volts; of cells that are read in pairs the least voltages.
        ``"rest"`` is power-on: no voltages, no currents. ``"stationary"`` is the stationary law itself. Unless given,
        that of the device (`Device.set_start`).

    Raises
    ------
    CircuitError
        If there is no stationary law.
    InputError
        If the variables cannot have the values of the start.
    UsageError
        If the device is not linear, is an ensemble or is too large for its modes, or numbers make no sense.

    Examples
    --------
    A device that is switched on comes to its law within some of its time constants:

    >>> import spu
    >>> device = spu.compile(spu.LinearSystem([[2.0, -0.5], [-0.5, 1.0]], [1.0, 0.0]))
    >>> slowest = float(spu.predict(device).time_constants[0])
    >>> found = spu.relaxation(device, start="rest", times=[0.0, slowest, 20 * slowest])
    >>> bool(abs(found.mean[0]).max() < 1e-12), bool(abs(found.mean[2] - found.stationary_mean).max() < 1e-6)
    (True, True)
    """
    found = all_linear(subject, "there is no exact relaxation")
    return relaxed(found, start, times)


def relaxed(found: Sequence[LinearDynamics], start: ArrayLike | str | None, times: ArrayLike | None) -> Relaxation:
    """`relaxation` of the dynamics of all programmings; raises as it does."""
    if len(found) > 1:
        raise OptionError("start", f"is of one programming, and this is an ensemble of {len(found)}: take a member")
    (does,) = found
    if does.circuit.ramped:
        raise OptionError("start", "is of a device that stays as it is: while a ramp runs it has no one law")
    if does.circuit.acquisition:
        raise OptionError(
            "start",
            "is followed by voltages as they are, not by what is read of them: leave sampling_rate, jitter, "
            "sample_noise, full_scale and bits out of detail.readout",
        )
    if times is None:
        raise OptionError("start", "needs times at which it is read")
    if start is None and does.circuit.start is None:
        raise OptionError("times", 'are of a relaxation from a start: values, "rest" or "stationary"')
    does.require_white("a relaxation from a start")
    law = does.dense
    law.voltage_covariance  # noqa: B018 - refuses a probe that sees white noise directly
    seconds = _instants(times, does.second)
    n = len(does.readout.variables)
    if len(seconds) * max(n, law.sde.E.shape[0]) ** 2 > MOST_NUMBERS:
        raise UsageError(f"covariances at {len(seconds)} times do not fit into memory: give fewer")
    values, state = _start(does, start)
    transient = transient_law(law, seconds, state)
    mean, covariance = law.readout_moments
    readout = law.sde.readout
    return Relaxation(
        readout.variables,
        tuple(law.sde.probes),
        values,
        seconds / does.second,
        seconds,
        transient.mean,
        transient.readout_covariance,
        transient.voltage_mean,
        transient.voltage_covariance,
        mean,
        covariance,
        law.slowest,
        does.second,
        transient,
    )


def _start(does: LinearDynamics, start: ArrayLike | str | None) -> tuple[FloatArray | None, FloatArray | None]:
    """Values of the variables (q,) and energy coordinates (n,) at the start; None of the stationary law."""
    sde, readout = does.sde, does.readout
    if start is None:
        assert does.circuit.start is not None
        volts = does.circuit.start
        return np.asarray(readout.matrix @ volts + readout.offset), state_at(sde, volts)
    if isinstance(start, str):
        if start == STATIONARY:
            return None, None
        if start != REST:
            raise OptionError("start", f'is numbers, "{REST}" or "{STATIONARY}", not {start!r}')
        return np.asarray(readout.matrix @ sde.y0 + readout.offset), np.zeros(sde.E.shape[0])
    if does.circuit.reads_inside:
        raise OptionError(
            "start",
            f'in numbers says where cells are, and what is read is behind amplifiers: give "{REST}" or "{STATIONARY}", '
            "or leave bandwidth, noise, offset, gain_error and crosstalk out of detail.readout",
        )
    problem = f"start must be finite, one number a variable ({len(readout.variables)}) or one for all"
    given = numbers(start, problem)
    if given.shape not in ((), readout.offset.shape) or not np.isfinite(given).all():
        raise UsageError(problem)
    values = np.broadcast_to(given, readout.offset.shape).copy()
    return values, state_at(sde, readout.voltages(values))


def _instants(times: ArrayLike, second: float) -> FloatArray:
    """(k,) s."""
    problem = "readout times must be finite, not negative and not falling"
    found = np.atleast_1d(numbers(times, problem)) * second
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any() or (np.diff(found) < 0).any():
        raise UsageError(problem)
    if not len(found):
        raise UsageError("there is no time to read at in times: give one or more")
    return found
