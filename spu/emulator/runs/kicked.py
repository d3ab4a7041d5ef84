"""Trajectories of linear devices that leave a given state: exact steps from readout to readout.

Steps are made by the loops of stationary runs (`spu.emulator.runs.kernels`): the noise of trajectory b on its way to
readout k hangs on the seed, on b and on k alone. What comes out is held against the exact law at every readout.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.interrupt import Interrupt
from spu.base.threads import available_threads
from spu.emulator.labelled import SQUARES, UNITS, Labels, inference_data
from spu.emulator.laws.propagate import factor
from spu.emulator.laws.transient import TransientLaw
from spu.emulator.relaxation import MOST_NUMBERS, Relaxation
from spu.emulator.runs import kernels
from spu.emulator.runs.guard import (
    MOST_STATES,
    UNSURE,
    Tests,
    around,
    combination,
    either,
    ends,
    normal,
    shrunk,
    whitener,
)
from spu.emulator.runs.kernels import DenseStep
from spu.emulator.runs.noise import BLOCK, key_of
from spu.emulator.runs.over_trajectories import OverTrajectories
from spu.emulator.runs.run import parallel, tile_width

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False, repr=False)
class SampledRelaxation(OverTrajectories):
    """Trajectories of a linear device from a given state, in problem units.

    Attributes
    ----------
    variables:
        p names.
    times, device_times:
        (k,) readouts, in units of the problem's time (s where there is none), and in s.
    readouts:
        (trajectories, k, p); the same as (k, trajectories, p) are the ``states``.
    exact:
        The law that they are drawn from.
    checked:
        How many tests the run was held to (`spu.emulator.runs.guard`).
    seed, seconds:
        Of the noise, and wall time.
    complete:
        False if interrupted.
    voltages:
        (trajectories, k, n) V, that ``readouts`` are made of; None unless asked for.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> run = spu.simulate(device, start=[3.0, 0.0], times=[1e-7, 1e-6, 1e-5], trajectories=200)
    >>> run.readouts.shape, run.mean.shape, run.covariance.shape
    ((200, 3, 2), (3, 2), (2, 2))
    >>> bool((abs(run.mean - run.exact.mean) < 6 * run.mean_error).all())
    True
    """

    variables: tuple[str, ...]
    times: Annotated[FloatArray, "k"]
    device_times: Annotated[FloatArray, "k"]
    readouts: Annotated[FloatArray, "trajectories k p"]
    exact: Relaxation
    checked: int
    seed: int
    seconds: float
    complete: bool
    warnings: tuple[str, ...] = ()
    voltages: Annotated[FloatArray, "trajectories k n"] | None = None

    in_short = ("variables", "times", "trajectories", "seed", "complete")

    @property
    def device_time(self) -> float:
        """Simulated, s, of each trajectory."""
        return float(self.device_times[-1])

    @cached_property
    def mean_error(self) -> Annotated[FloatArray, "k p"]:
        """(k, p) standard errors of ``mean``, known from the exact variance: trajectories are independent."""
        return np.asarray(np.sqrt(self.exact.variance[: len(self.times)] / self.trajectories))

    @cached_property
    def variance_error(self) -> Annotated[FloatArray, "k p"]:
        """(k, p) standard errors of ``variance``, known likewise."""
        exact = self.exact.variance[: len(self.times)]
        return np.asarray(exact * np.sqrt(2.0 / max(1, self.trajectories - 1)))

    @cached_property
    def covariance_error(self) -> Annotated[FloatArray, "p p"]:
        """(p, p) its standard errors, known likewise."""
        P = self.exact.covariance[len(self.times) - 1]
        variance = np.diagonal(P)
        return np.asarray(np.sqrt((np.outer(variance, variance) + P**2) / max(1, self.trajectories - 1)))

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files, and for what lies in them (`arrays`)."""
        keys = (
            *("variables", "times", "device_times", "mean", "mean_error", "variance", "variance_error", "covariance"),
            *("covariance_error", "trajectories", "samples", "device_time", "checked", "seed", "seconds", "complete"),
            "warnings",
        )
        exact = self.exact.to_dict()
        kept = ("start", "mean", "variance", "stationary_mean", "stationary_covariance", "slowest", "time_unit")
        return {**{key: getattr(self, key) for key in keys}, "exact": {key: exact[key] for key in kept}}

    def arrays(self) -> dict[str, Any]:
        """What ``samples.npz`` holds of it, by key; ``states`` are the ``readouts`` one time after another."""
        keys = ("readouts", "states", "times", "device_times", "variables", "seed", "trajectories", "complete")
        return {key: getattr(self, key) for key in keys} | {
            "exact_mean": self.exact.mean,
            "exact_covariance": (self.exact.covariance),
        }

    def to_xarray(self) -> xarray.Dataset:
        """Readouts and moments over trajectories as labelled arrays (`spu.emulator.labelled`).

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        found = Labels(**{key: getattr(self, key) for key in ("trajectories", "seed", "complete")})
        found.names("variable", self.variables)
        unit = "s" if self.exact.time_unit == 1 else "problem time"
        found.coordinate("time", self.times, unit, "readout")
        found.coordinate("device_time", self.device_times, "s", "readout")
        found.array("readouts", ("trajectory", "readout", "variable"), self.readouts, UNITS)
        for name, units in (("mean", UNITS), ("mean_error", UNITS), ("variance", SQUARES), ("variance_error", SQUARES)):
            found.array(name, ("readout", "variable"), getattr(self, name), units)
        found.array("covariance", ("variable", "variable_"), self.covariance, SQUARES)
        return found.dataset()

    def to_arviz(self) -> Any:
        """The readouts as ArviZ has samples: a trajectory is a chain, a readout a draw.

        Raises
        ------
        UsageError
            If ArviZ is not installed.
        """
        return inference_data(self.readouts, self.variables, seed=self.seed)


def simulate_relaxation(
    exact: Relaxation,
    *,
    trajectories: int,
    seed: int,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
    voltages: bool = False,
) -> SampledRelaxation:
    """Draw trajectories of a known law; raises as `spu.emulator.simulate.simulate`."""
    began = time.perf_counter()
    law = exact.law
    n, k = len(law.law.dense.A), len(law.times)
    for name, value in (("trajectories", trajectories), ("threads", 1 if threads is None else threads)):
        if value < 1:
            raise UsageError(f"{name} must be positive, not {value!r}")
    if trajectories * k * max(n, len(exact.variables)) > MOST_NUMBERS:
        raise UsageError(f"{trajectories * k * n} numbers are more than {MOST_NUMBERS}: fewer times or trajectories")
    rows = sp.csr_array(law.law.sde.readout.matrix @ law.law.dense.H)
    with Interrupt() as interrupt:
        states = _run(law, trajectories, seed, threads, progress, lambda: interrupt.seen)
    if not len(states):
        raise KeyboardInterrupt("interrupted before the first time at which it is read")
    tests = hold(law, states)
    tests.judge()
    # A row at a time, so that a trajectory's bits hang on no other's.
    readouts = np.stack([(exact.stationary_mean[:, None] + rows @ each).T for each in states], axis=1)
    done = len(states)
    volts = None
    if voltages:
        H, rest = law.law.dense.H, law.law.voltage_mean
        volts = np.stack([(rest[:, None] + H @ each).T for each in states], axis=1)
    return SampledRelaxation(
        exact.variables,
        exact.times[:done],
        exact.device_times[:done],
        readouts,
        exact,
        tests.count,
        seed,
        time.perf_counter() - began,
        done == k,
        voltages=volts,
    )


def _run(
    law: TransientLaw,
    trajectories: int,
    seed: int,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
    interrupted: Callable[[], bool],
) -> FloatArray:
    """(k, n, trajectories) deviations of all states from the stationary mean, at the readouts."""
    dense = law.law.dense
    n, readouts = len(dense.A), len(law.times)
    laws = [DenseStep(np.hstack([step.transition, step.factor]), dense.H, n) for step in law.steps]
    first = factor(law.law.covariance) if law.start is None else np.zeros((n, 0))
    drawn = max([first.shape[1], *(step.factor.shape[1] for step in law.steps)])
    noise = -(-drawn // BLOCK) * BLOCK
    width = tile_width(trajectories)
    tiles = [
        kernels.new_tile(
            (0, begin, 1, 0, 1),
            rows=n + noise,
            drawn=noise,
            observed=0,
            width=min(width, trajectories - begin),
            chunk=1,
            lags=0,
            kept=(min(width, trajectories - begin), 0),
        )
        for begin in range(0, trajectories, width)
    ]
    key = key_of(seed)
    drives = [kernels.drivers(tiles, step, key) for step in laws]
    states = np.empty((readouts, n, trajectories))
    with parallel(min(len(tiles), threads or available_threads())) as each:
        if law.start is None:
            begin = kernels.drivers(tiles, DenseStep(first, dense.H, 0), key)
            each(lambda number: begin[number](0, 1, 0), range(len(tiles)))
        else:
            for tile in tiles:
                tile.state[:, :n, :] = law.start[None, :, None]
        for k in range(readouts):
            if interrupted():
                return states[:k]
            if law.which[k] >= 0:
                drive = drives[law.which[k]]
                each(lambda number, k=k, drive=drive: drive[number](k + 1, 1, 0), range(len(tiles)))  # type: ignore[misc]
            states[k] = np.concatenate([tile.states(n) for tile in tiles], axis=1)
            if progress is not None:
                progress((k + 1) * trajectories, readouts * trajectories)
    return states


# --- the guard ------------------------------------------------------------------------------

_ROUNDING, _FLOOR = 1e-11, 1e-14
"""Of a variance, by its own and by the largest: what it is not known to."""


def hold(law: TransientLaw, states: FloatArray) -> Tests:
    """Hold trajectories against the exact law of their relaxation, at every readout and from each to the next.

    Parameters
    ----------
    law:
        Of all states.
    states:
        (k, n, c) deviations from the stationary mean.

    Returns
    -------
    Tests
        Of the white coordinates at each readout (as many independent draws as there are trajectories) means, variances
        and correlations; and that what the noise adds on the way to it is independent of where it came from. Of more
        than `MOST_STATES` states means and variances, each by itself.
    """
    tests = Tests()
    tests.require("not all of its figures are finite", bool(np.isfinite(states).all()))
    names = law.law.sde.state_names
    n, count = states.shape[1:]
    far = 0.0 if law.start is None else float(np.abs(law.start).max(initial=0.0))
    before: FloatArray | None = None
    for k, now in enumerate(states):
        P = law.covariance[k]
        size = np.sqrt(np.maximum(np.diagonal(P), 0.0))
        least = np.sqrt(_FLOOR * n) * size.max(initial=0.0) + 64 * np.finfo(float).eps * far
        known = np.sqrt(_ROUNDING) * size + least
        away = now - law.deviation[k][:, None]
        still = size == 0
        tests.require(
            "states that no noise has reached are not where they must be",
            bool((np.abs(away[still]) <= 1e-9 * max(far, size.max(initial=0.0))).all()),
        )
        when = f" after {law.times[k]:.4g} s"
        if n > MOST_STATES:
            _hold_each(tests, away, size, known, names, when)
            continue
        W, _, _, rounding = whitener(factor(P), known)
        name = combination(W, names)
        white = W @ away
        ends(tests, white, lambda j, name=name, when=when: name(j) + when, rounding)  # type: ignore[misc]
        if before is not None and law.which[k] >= 0:
            step = law.steps[law.which[k]]
            V, _, _, allowed = whitener(step.factor, known)
            added = V @ (away - step.transition @ (states[k - 1] - law.deviation[k - 1][:, None]))
            # Products of independent normals: two weights of a half each, of either sign.
            sums = shrunk(added @ before.T, count * np.sqrt(allowed + _ROUNDING)[:, None])
            tests.add(
                either(sums[allowed < UNSURE], np.array(count / 2.0), np.array(0.5)),
                lambda _, when=when: f"what noise adds{when} hangs on where it came from",  # type: ignore[misc]
            )
        before = white
    return tests


def _hold_each(
    tests: Tests, away: FloatArray, size: FloatArray, known: FloatArray, names: Sequence[str], when: str
) -> None:
    """States (n, c) of deviations ``size`` (n,), known to ``known`` (n,), each by itself."""
    which = np.flatnonzero(size > np.sqrt(1 / UNSURE) * known)
    count = away.shape[1]
    scaled = away[which] / size[which, None]
    squares, flat = (scaled**2).sum(axis=1), np.full(len(which), float(count))
    tests.add(
        around(shrunk(squares - count, count * (known / size)[which] ** 2), flat, np.ones(len(which)), flat),
        lambda k: f"the variance of {names[int(which[k])]}{when} is {squares[k] / count:.4g} of its own",
    )
    tests.add(
        normal(shrunk(scaled.sum(axis=1), count * (known / size)[which]), flat),
        lambda k: f"the mean of {names[int(which[k])]}{when} is off",
    )
