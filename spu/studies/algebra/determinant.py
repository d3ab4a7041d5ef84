r"""Log determinants by work: a ramp of the couplers, forward and backward, combined by Bennett's acceptance ratio.

With works :math:`W` of forward and :math:`W_{back}` of backward runs, in kT, the free energy :math:`\Delta F` solves

.. math:: \sum_{forward} \frac{1}{1 + e^{M + W - \Delta F}}
          = \sum_{backward} \frac{1}{1 + e^{-M + W_{back} + \Delta F}}, \qquad M = \ln\frac{n_{forward}}{n_{back}},

which of all estimates from these numbers has the least variance (Bennett 1976; Shirts, Bair, Hooker and Pande 2003).
One side alone gives :math:`-\ln\langle e^{-W}\rangle` (Jarzynski 1997), whose mean is that of its rarest runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logsumexp

from spu.base.arguments import Seed, seed_of
from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError, UsageError
from spu.base.names import shorten
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.subject import Subject, subject_of
from spu.emulator.laws.work import REST, Potential, jumps, slowest
from spu.emulator.predict import predict_linear
from spu.emulator.runs.driven import Driver
from spu.problems.determinant import Determinant

__all__ = ["Bennett", "LogDeterminant", "bennett", "jarzynski", "log_determinant"]

TRAJECTORIES = 1000
"""Pairs of a forward and a backward run, unless an error or a time is asked for."""

_PILOT = 256
"""Pairs that tell how many an error takes."""

_MOST = 10_000_000
"""Pairs that are run at most."""

ENOUGH = 20.0
"""Effective numbers of runs, on each side, from which on the asymptotic error bar is trusted."""


@dataclass(frozen=True)
class Bennett:
    """A free energy from forward and backward work.

    Attributes
    ----------
    free_energy, standard_error:
        KT.
    overlap:
        From 0 to 1: how far the two distributions of work say the same; 1 of an infinitely slow ramp.
    effective:
        How many forward and how many backward runs carry the estimate: ``(sum f)^2 / sum f^2`` of their weights f.
    hurried:
        Whether these are too few for the asymptotic error: then the bar is what the second law alone leaves open,
        between the mean works of both sides.
    """

    free_energy: float
    standard_error: float
    overlap: float
    effective: tuple[float, float]
    hurried: bool


def bennett(forward: Annotated[FloatArray, "a"], backward: Annotated[FloatArray, "b"]) -> Bennett:
    """Bennett's acceptance ratio, from (a,) forward and (b,) backward works, kT.

    Raises
    ------
    UsageError
        If one side has fewer than two runs, or works are not finite.
    """
    f, b = np.asarray(forward, dtype=np.float64), np.asarray(backward, dtype=np.float64)
    if min(len(f), len(b)) < 2 or not (np.isfinite(f).all() and np.isfinite(b).all()):
        raise UsageError("a free energy takes two forward and two backward works or more, all finite")
    M = float(np.log(len(f) / len(b)))

    def excess(dF: float) -> float:
        """Rises with dF: the log of one sum over the other."""
        ahead, behind = M + f - dF, -M + b + dF
        return float(logsumexp(-np.logaddexp(0.0, ahead)) - logsumexp(-np.logaddexp(0.0, behind)))

    low, high = min(f.min(), -b.max()) - abs(M) - 1.0, max(f.max(), -b.min()) + abs(M) + 1.0
    while excess(low) > 0:
        low -= high - low
    while excess(high) < 0:
        high += high - low
    dF = float(brentq(excess, low, high, xtol=1e-12, rtol=1e-14))
    # Fermi's functions, scaled by their largest: without overlap all of them vanish.
    logs = [-np.logaddexp(0.0, M + f - dF), -np.logaddexp(0.0, -M + b + dF)]
    weights = [np.exp(log - log.max()) for log in logs]
    effective = tuple(float(w.sum() ** 2 / (w**2).sum()) for w in weights)
    both = np.concatenate([M + f - dF, M - b - dF])
    shared = float((expit(both) * expit(-both)).mean())
    whole, most = len(f) + len(b), len(f) * len(b) / (len(f) + len(b)) ** 2
    # Bennett's variance, (<f^2>/<f>^2 - 1)/n of each side; and as Shirts and others have it, of both together. Where
    # works obey Crooks' relation they agree; where they do not overlap only the second one knows.
    variance = sum(float(len(w) * (w**2).sum() / w.sum() ** 2 - 1.0) / len(w) for w in weights)
    together = (1.0 / shared - 1.0 / most) / whole if shared > 0 else np.inf
    error = float(np.sqrt(max(variance, together, 0.0)))
    overlap = min(shared / most, 1.0)
    fewest = min(len(f), len(b))
    hurried = min(*effective, overlap * fewest) < min(ENOUGH, 0.5 * fewest)
    if hurried:
        sides = np.sqrt(f.var(ddof=1) / len(f) + b.var(ddof=1) / len(b))
        least = float(abs(f.mean() + b.mean())) / 2 + float(sides)
        error = max(error, least) if np.isfinite(error) and error < 2 * least else least
    return Bennett(dF, error, overlap, (effective[0], effective[1]), bool(hurried))


def jarzynski(work: Annotated[FloatArray, "a"]) -> tuple[float, float]:
    """Free energy and its standard error, kT, from (a,) works of one side; both are off where the tail is not seen."""
    w = np.asarray(work, dtype=np.float64)
    weights = np.exp(w.min() - w)
    error = float(weights.std(ddof=1) / weights.mean() / np.sqrt(len(w)))
    return float(-logsumexp(-w) + np.log(len(w))), error


@dataclass(frozen=True, eq=False, repr=False)
class LogDeterminant(Result):
    """A log determinant from the work of a ramp.

    Attributes
    ----------
    log_determinant, standard_error:
        The answer, and the error bar of its statistics.
    exact:
        By Cholesky's factors; None where the device has no such problem.
    reference:
        The same of the own parts of the cells alone: known, a sum of logarithms.
    free_energy:
        KT, between the ramp's ends.
    estimate:
        Bennett's, of the free energy.
    jarzynski, jarzynski_error:
        What forward runs alone say of the log determinant.
    systematic:
        What the device misses by after any time: what it holds is not quite the matrix, or its noise has not one
        temperature. In the log determinant, known in advance from its own law; None where nothing is known of it.
    forward, backward:
        (b,) works of the runs, kT.
    dissipation:
        KT a run that is lost, on average, forward and backward.
    kT:
        What a kT is: J of stored energy, W of the pseudo-potential.
    physical:
        Whether it is energy.
    trajectories, jumps:
        Pairs of runs; jumps of one run.
    device_time, burn_in:
        S: of all runs on one device, which rests before each; and of that, the rests of one pair.
    readouts:
        Times at which all cells are read: before each jump of each run.
    seed:
        Of the noise.
    warnings:
        What should be known.

    Examples
    --------
    >>> import spu
    >>> found = spu.log_determinant(spu.compile(spu.Determinant([[2.0, -0.5], [-0.5, 1.0]])), 200, seed=1)
    >>> found.jumps, found.readouts, found.physical, found.estimate.hurried
    (8, 3200, True, False)
    >>> bool(abs(found.log_determinant - found.exact) < 5 * found.standard_error)
    True
    """

    log_determinant: float
    standard_error: float
    exact: float | None
    reference: float
    free_energy: float
    estimate: Bennett
    jarzynski: float
    jarzynski_error: float
    systematic: float | None
    forward: Annotated[FloatArray, "b"] = field(repr=False)
    backward: Annotated[FloatArray, "b"] = field(repr=False)
    kT: float
    physical: bool
    trajectories: int
    jumps: int
    device_time: float
    burn_in: float
    readouts: int
    seed: int
    warnings: tuple[str, ...] = ()
    device: Device | None = field(default=None, repr=False)

    in_short = ("log_determinant", "standard_error", "exact", "trajectories", "device_time")

    @property
    def dissipation(self) -> tuple[float, float]:
        """KT that a forward and a backward run lose, on average."""
        if not self.trajectories:
            return 0.0, 0.0
        return float(self.forward.mean()) - self.free_energy, float(self.backward.mean()) + self.free_energy

    @property
    def mean_work(self) -> float | None:
        """J that all runs take in all; None where work is of a pseudo-potential."""
        return float(self.forward.sum() + self.backward.sum()) * self.kT if self.physical else None

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; times in s."""
        keys = (
            *("log_determinant", "standard_error", "exact", "reference", "free_energy", "jarzynski"),
            *("jarzynski_error", "systematic", "dissipation", "kT", "physical", "trajectories", "jumps"),
            *("device_time", "burn_in", "readouts", "seed", "warnings"),
        )
        found = {key: getattr(self, key) for key in keys}
        return found | {
            "overlap": self.estimate.overlap,
            "effective": self.estimate.effective,
            "hurried": self.estimate.hurried,
        }


class Runs:
    """The runs of a device: what one pair takes, and the works of many.

    Raises
    ------
    UsageError
        If the device has no ramp, or one that does not raise all couplers from nothing.
    CircuitError
        If nothing is stored along it.
    """

    def __init__(self, subject: Subject) -> None:
        device = subject_of(subject)
        member = device.members()[0]
        circuit = lower(member) if isinstance(member, Device) else member
        if circuit.ramp is None or not circuit.ramp.varies("couplers"):
            raise UsageError(
                "the device has no ramp of its couplers: compile a spu.Determinant, or set device.ramp = spu.Ramp(...)"
            )
        self.device = device if isinstance(device, Device) else None
        self.problem = circuit.problem
        if "ramp" not in circuit.kept:
            circuit.kept["ramp"] = Driver(Potential.of(circuit))
        self._driver: Driver = circuit.kept["ramp"]
        self.potential = self._driver.potential
        self.jumps = sum(jump.before != jump.after for jump in jumps(circuit.ramp))
        ends = (circuit.ramp.start[0], circuit.ramp.end[0])
        self.burn_in = REST * sum(slowest(self.potential, u) for u in ends)
        self.pair = 2 * circuit.ramp.duration + self.burn_in

    def ahead(self, runs: int, seed: int) -> FloatArray:
        """(b,) forward works, kT."""
        return self._driver.run(runs, seed=seed).work

    def works(self, pairs: int, seed: int) -> tuple[FloatArray, FloatArray]:
        """(b,) forward and backward works, kT."""
        return self.ahead(pairs, seed), self._driver.run(pairs, seed=seed, backward=True).work


def log_determinant(
    device: Subject,
    trajectories: int | None = None,
    *,
    error: float | None = None,
    time: float | None = None,
    seed: Seed = 0,
    progress: Callable[[str], None] | None = None,
) -> LogDeterminant:
    """The log determinant of what a device holds, from the work of its ramp.

    Parameters
    ----------
    device:
        Compiled for a `spu.Determinant`, or any device with a ramp of its couplers.
    trajectories:
        Pairs of a forward and a backward run; 1000 unless an error or a time is asked for.
    error:
        Standard error of the log determinant that is asked for.
    time:
        S of device time that there are: runs, and rests of `spu.emulator.laws.work.REST` slowest time constants before
        each.
    seed:
        Of the noise, as of `spu.simulate`: run number b hangs on the seed and b alone.
    progress:
        Told in a few words what is going on.

    Raises
    ------
    UsageError
        If the device has no ramp of its couplers, or the time is too short for two pairs.
    CircuitError
        If it has no potential.

    Examples
    --------
    >>> import numpy as np, spu
    >>> found = spu.log_determinant(spu.compile(spu.Determinant([[2.0, -0.5], [-0.5, 1.0]])), 500, seed=1)
    >>> round(found.exact, 4), bool(abs(found.log_determinant - found.exact) < 5 * found.standard_error)
    (0.5596, True)
    """
    number = seed_of(seed)
    given = [name for name, value in (("trajectories", trajectories), ("error", error), ("time", time)) if value]
    if len(given) > 1:
        raise OptionError(given[1], f"and {given[0]} both say how many runs there are: give one of them")
    for name, value in (("error", error), ("time", time)):
        if value is not None and not (isinstance(value, (int, float)) and 0 < value < np.inf):
            raise OptionError(name, f"is {shorten(value)}: it must be a number above 0")
    if trajectories is not None and (not isinstance(trajectories, (int, np.integer)) or trajectories < 2):
        raise OptionError("trajectories", f"is {shorten(trajectories)}: it must be a whole number from 2 on")
    posed = subject_of(device)
    if isinstance(posed, Device) and isinstance(posed.problem, Determinant) and not len(posed.coupler_ends):
        return _product(posed, number)
    runs = Runs(device)
    pairs = TRAJECTORIES if trajectories is None else int(trajectories)
    if time is not None:
        pairs = min(int(time / runs.pair), _MOST)
        if pairs < 2:
            raise OptionError("time", f"is too short: two pairs of runs and their rests take {2 * runs.pair:.3g} s")
    if error is not None:
        pilot = bennett(*runs.works(_PILOT, number))
        if pilot.hurried:
            raise OptionError(
                "error", "cannot be planned: the ramp is too fast for its error bar; give device.ramp more time"
            )
        wanted = _PILOT * (2 * pilot.standard_error / error) ** 2
        if wanted > _MOST:
            raise OptionError("error", f"takes {wanted:.2g} pairs of runs: {_MOST} are the most")
        pairs = max(int(np.ceil(wanted)), 2 * int(ENOUGH))
    if progress is not None:
        progress(f"{pairs} pairs of runs")
    ahead, back = runs.works(pairs, number)
    return _result(runs, ahead, back, number)


def _product(device: Device, seed: int) -> LogDeterminant:
    """Of a device without couplers, whose determinant is the product of its own parts: nothing is run."""
    assert isinstance(device.problem, Determinant)
    reference = -float(np.linalg.slogdet(np.asarray(predict_linear(device).covariance))[1])
    nothing = np.zeros(0)
    known = Bennett(0.0, 0.0, 1.0, (0.0, 0.0), False)
    return LogDeterminant(
        log_determinant=reference,
        standard_error=0.0,
        exact=device.problem.log_determinant,
        reference=reference,
        free_energy=0.0,
        estimate=known,
        jarzynski=reference,
        jarzynski_error=0.0,
        systematic=reference - device.problem.log_determinant,
        forward=nothing,
        backward=nothing,
        kT=0.0,
        physical=False,
        trajectories=0,
        jumps=0,
        device_time=0.0,
        burn_in=0.0,
        readouts=0,
        seed=seed,
        warnings=("there are no couplers: the determinant is the product of the cells' own parts, nothing was run",),
        device=device,
    )


def _result(runs: Runs, ahead: FloatArray, back: FloatArray, seed: int) -> LogDeterminant:
    potential = runs.potential
    sign, pairs = potential.sign, len(ahead)
    found = bennett(ahead, back)
    alone, bar = jarzynski(ahead)
    posed = runs.problem if isinstance(runs.problem, Determinant) else None
    exact = None if posed is None else posed.log_determinant
    limit = potential.reference + 2 * sign * (potential.free_energy + potential.systematic)
    systematic = None if exact is None else limit - exact
    error = 2 * found.standard_error
    warnings = []
    if found.hurried:
        warnings.append(
            "the ramp is too fast for its error bar: few runs say the same forward and backward, and the bar is what "
            "the second law leaves open; give device.ramp more time"
        )
    stray = 2 * abs(potential.systematic)
    if stray > max(0.1 * error, 1e-9 * max(1.0, abs(limit))):
        warnings.append(
            f"the noise has not one temperature (thermal noise of resistors on top of what is injected, or unequal "
            f"cells): the log determinant is off by about {stray:.2g}, whatever the time; device.temperature = 0 "
            "leaves that out"
        )
    return LogDeterminant(
        log_determinant=potential.reference + 2 * sign * found.free_energy,
        standard_error=error,
        exact=exact,
        reference=potential.reference,
        free_energy=found.free_energy,
        estimate=found,
        jarzynski=potential.reference + 2 * sign * alone,
        jarzynski_error=2 * bar,
        systematic=systematic,
        forward=ahead,
        backward=back,
        kT=potential.theta,
        physical=potential.stored,
        trajectories=pairs,
        jumps=runs.jumps,
        device_time=pairs * runs.pair,
        burn_in=runs.burn_in,
        readouts=2 * pairs * runs.jumps,
        seed=seed,
        warnings=tuple(warnings),
        device=runs.device,
    )
