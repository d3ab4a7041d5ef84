"""How long a device takes for an answer of a given error, and how exact one is after a given time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arguments import is_number, positive
from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError, UsageError
from spu.base.numbers import share
from spu.compiler import compile_problem
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.subject import opened, subject_of
from spu.problems.determinant import Determinant
from spu.problems.kinds import kind_of
from spu.studies.algebra.accuracy import SHARE, Accuracy, Measured, Parts, accuracy_of
from spu.studies.algebra.work import WorkAccuracy
from spu.studies.budget import error_budget
from spu.studies.energy import Assumptions, Ledger, Price, energy_of

__all__ = ["DEFAULT_ERROR", "Plan", "plan"]

DEFAULT_ERROR = 0.01
"""What is asked for unless something else is."""


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Result):
    """When to read a device, and how exact its answer is then.

    Attributes
    ----------
    task, n, architecture:
        What is asked, of how many variables, and of which architecture the device is (empty of one built by hand).
    error, time:
        As asked; the other one is None.
    relative_error:
        Root mean square of the error of the answer, relative to its size (Frobenius): scatter, what is left of the
        start, and the floor. Of the logarithm of a determinant it is the error as it is: the relative one of the
        determinant.
    statistical, remainder, floor:
        These three, each alone.
    device_time:
        S, from when the device is switched on to the last readout.
    burn_in:
        S, from when it is switched on to the first readout, which is off by at most 0.1 of the error that is asked for
        (or comes out) because capacitors and inductors were empty at the start. Of a determinant what a pair of runs of
        the ramp rests, each time.
    readouts, interval:
        How many, and s between two of them. Unless an interval was given it is the longest one with which readouts
        take 5 % longer than a continuous readout of the same error. (None of a determinant, whose cells are read
        before each jump of each run of the ramp.)
    slowest:
        S, the longest time constant.
    device:
        What is planned for.
    accuracy:
        Its errors in time, for other times than these.
    energy:
        What the answer costs (`spu.energy_of`).
    prices:
        Of which that is made, as given.
    measured:
        What runs missed by (`spu.studies.algebra.measuring.measure`); None unless that was asked for.
    warnings:
        What should be known.

    Examples
    --------
    >>> import spu
    >>> found = spu.plan(spu.MatrixInverse([[2.0, 0.5], [0.5, 1.0]]), error=0.01)
    >>> round(found.relative_error, 4), found.burn_in < 0.01 * found.device_time, found.floor < 1e-9
    (0.01, True, True)
    >>> spu.plan(found.device, time=100 * found.device_time).relative_error < 0.0011
    True
    """

    task: str
    n: int
    architecture: str
    error: float | None
    time: float | None
    relative_error: float
    statistical: float
    remainder: float
    floor: float
    device_time: float
    burn_in: float
    readouts: int
    interval: float | None
    slowest: float
    device: Device
    accuracy: Accuracy | WorkAccuracy = field(repr=False)
    energy: Ledger | None = None
    prices: Any = field(default=None, repr=False)
    measured: Measured | None = None
    warnings: tuple[str, ...] = ()

    in_short = ("task", "relative_error", "device_time", "burn_in", "readouts", "floor")

    def at(self, time: float) -> Parts:
        """The error expected after another time, s, with burn-in and readouts as planned for that time."""
        return self.accuracy.at(time, self.interval)

    @property
    def words(self) -> str:
        """What is to be done."""
        return kind_of(self.task).words

    def curve(self, points: int = 25) -> dict[str, Annotated[FloatArray, "points"]]:
        """Errors expected over a range of times around the planned one: "time", "total", "statistical", "remainder".

        From the least time that there is an answer in, to ten times the planned one, or to the floor.
        """
        last = 10.0 * self.device_time
        if self.floor > 0 and self.statistical > 0:
            reach = self.device_time * (self.statistical / (0.3 * self.floor)) ** 2
            last = float(np.clip(reach, 10.0 * self.device_time, 1e4 * self.device_time))
        least = self.accuracy.least_time
        times = np.geomspace(least, max(last, 10.0 * least), points)
        parts = [self.at(float(time)) for time in times]
        return {"time": times} | {
            key: np.array([getattr(each, key) for each in parts]) for key in ("total", "statistical", "remainder")
        }

    @property
    def programming_time(self) -> Price | None:
        """S that loading the device's codes takes, before it is switched on; None where nobody states it."""
        return None if self.energy is None else self.energy.programming_time

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: times in s."""
        keys = (
            *("task", "n", "architecture", "error", "time", "relative_error", "statistical", "remainder", "floor"),
            *("device_time", "burn_in", "readouts", "interval", "slowest", "warnings"),
        )
        return {key: getattr(self, key) for key in keys} | {
            "energy": None if self.energy is None else self.energy.to_dict(),
            "programming_time": None if self.programming_time is None else asdict(self.programming_time),
            "measured": None if self.measured is None else self.measured.to_dict(),
        }


def plan(
    problem: Any,
    *,
    error: float | None = None,
    time: float | None = None,
    hardware: str | Path | Hardware | None = None,
    architecture: str | None = None,
    interval: float | None = None,
    energy: Assumptions | str | Path | None = None,
) -> Plan:
    """How long a device takes for an answer, or how exact an answer is after a time: from its own spectrum.

    Nothing is run. What is left of the start decays with the modes of the device, the scatter of its readouts follows
    from their autocovariance, and the floor is what the device misses by after any time.

    Parameters
    ----------
    problem:
        A problem, or what `spu.compile` takes for one, compiled for ``hardware``; or a device of one programming that
        was compiled for a problem, or what holds or names one (a folder, a ``device.json``).
    error:
        Relative error of the answer that is asked for (root mean square, Frobenius), 0.01 unless it or ``time`` is
        given.
    time:
        S that there are, in place of an error.
    hardware, architecture:
        As of `spu.compile`.
    interval:
        S between readouts; chosen unless given (see `Plan`).
    energy:
        Prices, as of `spu.load_energy`.

    Raises
    ------
    UsageError
        If both error and time are given, the error is below the floor, or the time too short for any readout.
    InputError, Unrealizable
        As `spu.compile`.

    Examples
    --------
    >>> import spu
    >>> found = spu.plan([[2.0, -0.5], [-0.5, 1.0]], error=0.02)
    >>> print(str(found).splitlines()[0])
    sample a Gaussian, 2 variables, on rlc-capacitive
    """
    wanted, seconds = asked(error, time)
    device = _device(problem, hardware, architecture)
    return planned(device, wanted, seconds, positive("interval", interval), energy)


def asked(error: float | None, time: float | None) -> tuple[float | None, float | None]:
    """What is asked for: an error or a time, and an error of `DEFAULT_ERROR` where neither is given.

    Raises
    ------
    UsageError
        If both are given, or one is no positive number.
    """
    if error is not None and time is not None:
        raise UsageError("give error or time, not both: each follows from the other")
    if error is not None and not (is_number(error) and 0 < error < math.inf):
        raise OptionError("error", f"must be a positive number such as 0.01, not {error!r}")
    if time is not None:
        return None, positive("time", time)
    return DEFAULT_ERROR if error is None else float(error), None


def is_compiled(given: Any) -> bool:
    """Whether it is a device, or holds or names one, and no problem."""
    if isinstance(given, (str, Path)):
        return Path(given).is_dir() or Path(given).suffix.lower() == ".json"
    return isinstance(given, Device) or hasattr(given, "subject")


def _device(given: Any, hardware: Any, architecture: str | None) -> Device:
    """The device that is meant, or the one that a problem is compiled to."""
    if not is_compiled(given):
        return compile_problem(given, hardware, architecture=architecture).device
    for name, value in (("hardware", hardware), ("architecture", architecture)):
        if value is not None:
            raise OptionError(name, "is for problems: a device has been compiled already")
    found = subject_of(opened(given))
    if not isinstance(found, Device):
        raise UsageError("a netlist has no problem to be right about: give a problem, or a device compiled for one")
    return found


def planned(device: Device, error: float | None, time: float | None, interval: float | None, energy: Any) -> Plan:
    """`plan` of a device, of checked numbers."""
    if isinstance(device.problem, Determinant):
        if interval is not None:
            raise OptionError("interval", "is not for determinants: the cells are read where the ramp jumps")
        if not len(device.coupler_ends):
            raise UsageError(
                "the matrix is diagonal, and its determinant the product of its diagonal: there are no couplers to "
                "ramp, and nothing to run"
            )
        return _by_work(device, device.problem, error, time, energy)
    known = accuracy_of(device)
    spacing = known.interval if interval is None else known.dividing(interval)
    if error is not None:
        burn_in, readouts = _for_error(known, device, error, spacing)
    else:
        assert time is not None
        burn_in, spacing, readouts = known.schedule(time, spacing)
    parts = known.parts(burn_in, spacing, readouts)
    warnings = []
    if parts.total > 0.5:
        warnings.append(f"an error of {share(parts.total)} is hardly an answer: more time would do")
    if parts.remainder > 3 * SHARE * parts.total:
        warnings.append(
            f"the device has not forgotten its start: what is left of it ({share(parts.remainder)}) is in the errors"
        )
    seconds = burn_in + (readouts - 1) * spacing
    return Plan(
        task=known.problem.task,
        n=known.problem.n,
        architecture=device.architecture or "",
        error=error,
        time=time,
        relative_error=parts.total,
        statistical=parts.statistical,
        remainder=parts.remainder,
        floor=known.floor,
        device_time=seconds,
        burn_in=burn_in,
        readouts=readouts,
        interval=spacing,
        slowest=known.slowest,
        device=device,
        accuracy=known,
        energy=energy_of(device, seconds, readouts, assumptions=energy, error=min(parts.total, 0.999)),
        prices=energy,
        warnings=tuple(warnings),
    )


def _by_work(
    device: Device,
    problem: Determinant,
    error: float | None,
    time: float | None,
    energy: Assumptions | str | Path | None,
) -> Plan:
    """`planned` of a determinant."""
    known = WorkAccuracy(device)
    if error is not None and error <= known.floor:
        raise UsageError(
            f"an error of {share(error)} is below the floor of {share(known.floor)} that no time goes below: the noise "
            "has not one temperature; hardware whose resistors are silent has none, or ask for less"
        )
    pairs = known.pairs_in(time) if error is None else known.pairs_for(error)
    parts, seconds, readouts = known.parts(pairs), pairs * known.pair, 2 * pairs * known.jumps
    return Plan(
        task=problem.task,
        n=problem.n,
        architecture=device.architecture or "",
        error=error,
        time=time,
        relative_error=parts.total,
        statistical=parts.statistical,
        remainder=0.0,
        floor=known.floor,
        device_time=seconds,
        burn_in=known.burn_in,
        readouts=readouts,
        interval=None,
        slowest=known.slowest,
        device=device,
        accuracy=known,
        energy=energy_of(
            device,
            seconds,
            readouts,
            assumptions=energy,
            error=min(parts.total, 0.999),
            work=None if known.mean_work is None else pairs * known.mean_work,
        ),
        prices=energy,
        warnings=known.warnings,
    )


def _for_error(known: Accuracy, device: Device, error: float, interval: float) -> tuple[float, int]:
    """Burn-in and readouts for an error.

    Raises
    ------
    UsageError
        If the device misses by that much after any time, with what it is that it misses by.
    """
    if error <= known.floor:
        raise UsageError(
            f"an error of {share(error)} is below the floor of {share(known.floor)} that no time goes below: "
            f"{_culprit(device)}"
        )
    burn_in = known.burn_in_for(error)
    return burn_in, known.readouts_for(error, burn_in, interval)


def _culprit(device: Device) -> str:
    """What sets the floor, in words."""
    lines = sorted(error_budget(device).lines, key=lambda line: -line.norm)
    if not lines:
        return "give another hardware, or ask for less"
    first = lines[0]
    return f"most of it is {first.meaning} ({share(first.norm)}); give another hardware, or ask for less"
