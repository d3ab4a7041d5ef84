"""What a device of nonlinear cells does in time, and what is known of it without sampling."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arguments import numbers
from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError, InputError, InternalError, OptionError, UsageError
from spu.base.interrupt import Interrupt
from spu.base.kernels.door import Precision
from spu.emulator.dynamics import LangevinDynamics
from spu.emulator.equations.langevin import UNITS as COORDINATES
from spu.emulator.equations.langevin import Langevin
from spu.emulator.labelled import SQUARES, UNITS, Labels, inference_data
from spu.emulator.laws.boltzmann import as_network
from spu.emulator.laws.entropy import EntropyProduction, entropy_production, equilibrium_start
from spu.emulator.laws.rest import DAMPING_STEP, coordinate_size, rest_state, slowest_motion
from spu.emulator.runs.clamps import Clamps
from spu.emulator.runs.langevin_run import (
    SCHEMES,
    TYPICAL,
    Grid,
    Paths,
    Schedule,
    fastest,
    linear_rate,
    run,
)
from spu.emulator.runs.network_guard import (
    ACCURACY,
    REFUSED,
    WARNED,
    halved_steps,
    hold_against_law,
    step_bias,
)
from spu.emulator.runs.over_trajectories import OverTrajectories
from spu.problems.inputs import read_inputs, read_own_inputs
from spu.problems.network import ThermodynamicNetwork, thermodynamic

if TYPE_CHECKING:
    import xarray

    from spu.circuit.scales import NetworkScales

__all__ = ["NetworkSimulation"]


MOST_NUMBERS = 200_000_000
"""States kept at most: 1.6 GB."""

MOST_AT_REST = 300
"""Units up to which the state at rest is looked for to choose a step: it takes some cubes of them."""

_FIRST_LAW = 1e-7
"""By which the first law may be missed: the rounding of a million steps."""


@dataclass(frozen=True, eq=False, repr=False)
class NetworkSimulation(OverTrajectories):
    """Trajectories of a device of nonlinear cells, in problem units.

    Attributes
    ----------
    variables:
        p names.
    times, device_times:
        (k,) readouts, in units of the problem's time (s where there is no problem), and in s.
    readouts:
        (trajectories, k, p); the same as (k, trajectories, p) are the ``states``.
    time_step, scheme, seed, speedup:
        As used; the step in s, the largest where they differ.
    pieces:
        Mean number of pieces that a trajectory took a step in: 1 where none had to be refined.
    step_error:
        What the steps cost, from trajectories that were run with half of them, too, on the same noise: the
        worst error of a mean in standard deviations, or of a variance relative to itself, beyond chance.
    checked:
        Moments at the last readout that were held against the exact stationary law.
    warnings:
        What should be known of the result.
    heat, work:
        (trajectories,) given to the bath and done by the inputs over the whole run, in units of the
        device's ``theta``; None unless tracked. See `Langevin.energy` for whose heat it is.
    first_law:
        Largest ``|end - start - work + heat|`` over the size of the terms; None unless tracked.
    entropy:
        What was produced of it; None unless tracked.
    seconds:
        Wall time.
    complete:
        False if interrupted.
    potential:
        Whose heat it is: what the potential is, in words.
    time_unit:
        Seconds that one unit of the problem's time takes; None where there is no problem.
    network:
        What the device was compiled for; None where there is no problem.
    precision:
        Of states, products and forces: ``double`` or ``single``, which is for noise far above rounding
        (`spu.emulator.runs.langevin_run`): it adds less than 1e-4 to a variance.
    clamped:
        Names of the units that were held (`spu.emulator.runs.clamps`).
    voltages:
        (trajectories, k, n) V of the nodes that are read in the netlist, which hold fluxes and charges as voltages,
        too; None unless asked for.

    Examples
    --------
    >>> import spu
    >>> neurons = spu.compile(spu.ThermodynamicNetwork(J2=-1.0, J4=1.0, units=2))
    >>> run = spu.simulate(neurons, times=[0.1, 1.0, 5.0], trajectories=100, heat=True)
    >>> run.mean.shape, run.covariance.shape, run.heat.shape
    ((3, 2), (2, 2), (100,))
    >>> run.first_law < 1e-7
    True
    """

    variables: tuple[str, ...]
    times: Annotated[FloatArray, "k"]
    device_times: Annotated[FloatArray, "k"]
    readouts: Annotated[FloatArray, "trajectories k p"]
    time_step: float
    scheme: str
    pieces: float
    step_error: float
    checked: int
    warnings: tuple[str, ...]
    seed: int
    speedup: float
    coordinate: str
    heat: Annotated[FloatArray, "trajectories"] | None
    work: Annotated[FloatArray, "trajectories"] | None
    energy_change: Annotated[FloatArray, "trajectories"] | None
    first_law: float | None
    entropy: EntropyProduction | None
    seconds: float
    complete: bool
    potential: str = ""
    time_unit: float | None = None
    network: ThermodynamicNetwork | None = None
    precision: str = "double"
    clamped: tuple[str, ...] = ()
    voltages: Annotated[FloatArray, "trajectories k n"] | None = None

    in_short = ("variables", "times", "trajectories", "seed", "complete")

    @property
    def step(self) -> float:
        """The ``time_step``."""
        return self.time_step

    @cached_property
    def mean_error(self) -> Annotated[FloatArray, "k p"]:
        """(k, p) standard errors of ``mean``: trajectories are independent. NaN of a single one."""
        scatter = self.variance if self.trajectories > 1 else np.full_like(self.variance, np.nan)
        return np.asarray(np.sqrt(scatter / self.trajectories))

    @cached_property
    def variance_error(self) -> Annotated[FloatArray, "k p"]:
        """(k, p) standard errors of ``variance``, from the fourth moments found; NaN of a single trajectory."""
        if self.trajectories == 1:
            return np.full_like(self.variance, np.nan)
        fourth = ((self.states - self.mean[:, None, :]) ** 4).mean(axis=1)
        return np.asarray(np.sqrt(np.maximum(fourth - self.variance**2, 0.0) / max(1, self.trajectories)))

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files, and for what lies in them (`arrays`).

        What each trajectory booked is given as ``mean`` and standard ``error``.
        """
        keys = (
            *("variables", "times", "device_times", "mean", "mean_error", "variance", "variance_error", "covariance"),
            *("trajectories", "samples", "time_step", "step", "scheme", "pieces", "step_error", "checked", "warnings"),
            *("precision", "clamped", "seed", "speedup", "time_unit", "first_law", "seconds", "complete"),
        )
        booked: dict[str, Any] = {
            name: averaged(values)
            for name in ("heat", "work", "energy_change")
            if (values := getattr(self, name)) is not None
        }
        if self.entropy is not None:
            booked["entropy"] = {
                "medium": None if self.entropy.medium is None else averaged(self.entropy.medium),
                "total": None if self.entropy.total is None else averaged(self.entropy.total),
                "free_energy_change": self.entropy.free_energy_change,
                "why": self.entropy.why,
            }
        return {**{key: getattr(self, key) for key in keys}, **booked}

    def arrays(self) -> dict[str, Any]:
        """What ``samples.npz`` holds of it, by key; ``states`` are the ``readouts`` one time after another."""
        keys = ("readouts", "states", "times", "device_times", "time_step", "variables", "seed", "trajectories")
        found = {name: getattr(self, name) for name in ("heat", "work", "energy_change")}
        return {key: getattr(self, key) for key in (*keys, "complete")} | {
            name: values for name, values in found.items() if values is not None
        }

    def to_xarray(self) -> xarray.Dataset:
        """Readouts, moments over trajectories and what was booked as labelled arrays (`spu.emulator.labelled`).

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        keys = (
            *("trajectories", "time_step", "scheme", "step_error", "precision", "seed", "speedup", "time_unit"),
            "complete",
        )
        found = Labels(**{key: getattr(self, key) for key in keys})
        found.names("variable", self.variables)
        found.coordinate("time", self.times, "s" if self.time_unit is None else "problem time", "readout")
        found.coordinate("device_time", self.device_times, "s", "readout")
        found.array("readouts", ("trajectory", "readout", "variable"), self.readouts, UNITS)
        for name, units in (("mean", UNITS), ("mean_error", UNITS), ("variance", SQUARES), ("variance_error", SQUARES)):
            found.array(name, ("readout", "variable"), getattr(self, name), units)
        found.array("covariance", ("variable", "variable_"), self.covariance, SQUARES)
        for name in ("heat", "work", "energy_change"):
            found.array(name, ("trajectory",), getattr(self, name), "kT")
        if self.entropy is not None:
            found.array("entropy_medium", ("trajectory",), self.entropy.medium, "k")
            found.array("entropy_total", ("trajectory",), self.entropy.total, "k")
        return found.dataset()

    def to_arviz(self) -> Any:
        """The readouts as ArviZ has samples: a trajectory is a chain, a readout a draw.

        Raises
        ------
        UsageError
            If ArviZ is not installed.
        """
        return inference_data(self.readouts, self.variables, seed=self.seed, time_step=self.time_step)


def averaged(values: FloatArray) -> dict[str, float]:
    """Mean and standard error of what independent trajectories booked."""
    return {"mean": float(values.mean()), "error": float(values.std() / len(values) ** 0.5)}


def simulate_langevin(
    found: LangevinDynamics,
    *,
    times: ArrayLike | None,
    trajectories: int,
    step: float | None,
    scheme: str | None,
    start: ArrayLike | str,
    inputs: tuple[ArrayLike, ArrayLike] | str | Path | None,
    own_inputs: ArrayLike | str | Path | None,
    envelope: ArrayLike | None,
    clamp: Mapping[str, ArrayLike] | None,
    heat: bool,
    seed: int,
    coarse: int,
    precision: Precision,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
    voltages: bool = False,
) -> NetworkSimulation:
    """`spu.emulator.simulate.simulate` of a circuit of nonlinear cells; raises as it does."""
    began = time.perf_counter()
    if precision == "single" and heat:
        raise OptionError("precision", "single is not for heat and work, which are booked in double precision")
    equation, second, problem = found.equation, found.second, found.circuit.problem
    speedup = 1.0 if found.scales is None else found.scales.speedup
    for name, value in (
        ("trajectories", trajectories),
        ("coarse", coarse),
        ("threads", 1 if threads is None else threads),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise UsageError(f"{name} must be a whole number, 1 or more, not {value!r}")
    if seed < 0:
        raise UsageError(f"seed must not be negative, not {seed!r}")
    chosen = scheme or ("baoab" if equation.mass is not None else "heun")
    if chosen not in SCHEMES:
        raise UsageError(f"no scheme {scheme!r}; valid: {', '.join(SCHEMES)}")
    given = None if step is None else float(step) * second
    if given is not None and not 0 < given < np.inf:
        raise UsageError(f"the step must be positive, not {step!r}")
    clamps = None if clamp is None else Clamps.of(equation, clamp, trajectories)
    if clamps is not None:
        equation = clamps.equation
    seconds = _readout_times(times, second, equation, _POINTS if voltages else 1)
    numbers = len(seconds) * trajectories * found.equation.n
    if numbers > MOST_NUMBERS:
        raise UsageError(f"{numbers} numbers to keep are more than {MOST_NUMBERS}: fewer times or trajectories")
    schedule = input_schedule(found, inputs, own_inputs, envelope, trajectories)
    if clamps is not None:
        schedule = clamps.schedule(schedule)
    if equation.varying is not None:
        schedule = schedule.ramped(equation.varying.ramp)
    ends = None
    if isinstance(start, str):
        ends = _ends(equation, found.scales, start, schedule, float(seconds[-1]))
        at_start = equation.frozen(*schedule.rows_at(np.zeros(1))[0, -2:])
        origin, velocity = _drawn(at_start, ends[0], trajectories, seed)
    else:
        origin, velocity = _origin(found.equation, start, trajectories), None
        if clamps is not None:
            origin = origin[..., clamps.moving]
    fits = _fitting_steps(equation, schedule, chosen)
    grid = Grid.of(
        seconds,
        schedule.times,
        fits if given is None else lambda middle: np.full(len(middle), given),
        given is None and chosen != "leimkuhler-matthews",
    )
    finest = float(
        min(fits(0.5 * (grid.marks[1:] + grid.marks[:-1])).min(initial=np.inf), _fit(equation, origin, chosen))
    )
    advice = f"--step {finest / second:.2g} would do, or none: it is chosen then"
    if chosen == "leimkuhler-matthews":
        advice = f"--step {finest / second:.2g} would do, or the scheme heun without a step"
    with Interrupt() as interrupt:
        paths = run(
            equation,
            grid=grid,
            trajectories=trajectories,
            seed=seed,
            scheme=chosen,
            start=origin,
            velocity=velocity,
            schedule=schedule,
            track=heat,
            coarse=coarse,
            advice=advice,
            precision=precision,
            threads=threads,
            progress=progress,
            interrupted=lambda: interrupt.seen,
        )
    if not len(paths.times):
        raise KeyboardInterrupt("interrupted before the first time at which it is read")
    step_error, warnings = _judge_steps(paths, grid, chosen, advice, equation)
    checked = 0
    if len(paths.times) == len(seconds):
        checked = _held_against_law(equation, found.scales, paths, schedule, ends, chosen, grid)
    complete = len(paths.times) == len(seconds)
    heat_given, work, change, first_law = _booked(paths, equation)
    entropy = None
    if heat_given is not None and work is not None:
        unknown = "" if complete else "the run was interrupted"
        if ends is None:
            unknown = 'the law at the start is known where the start is "equilibrium"'
        entropy = entropy_production(equation, heat_given, work, ends, unknown)
    states = paths.states if clamps is None else clamps.states(paths.states)
    return NetworkSimulation(
        found.equation.readout.variables,
        paths.times / second,
        paths.times,
        found.equation.read(states).transpose(1, 0, 2),
        grid.largest,
        chosen,
        paths.pieces,
        step_error,
        checked,
        warnings,
        seed,
        speedup,
        COORDINATES[equation.coordinate],
        heat_given,
        work,
        change,
        first_law,
        entropy,
        time.perf_counter() - began,
        complete,
        equation.energy,
        None if found.scales is None else second,
        thermodynamic(problem),
        precision,
        () if clamp is None else tuple(clamp),
        (states @ found.equation.sense.T).transpose(1, 0, 2) if voltages else None,
    )


def _origin(equation: Langevin, start: ArrayLike, trajectories: int) -> FloatArray:
    """Coordinates at the start, (n,) or (trajectories, n)."""
    problem = f"start must be finite, one number a variable ({equation.n}), or that for each trajectory"
    given = numbers(start, problem)
    if given.shape not in ((), (equation.n,), (trajectories, equation.n)) or not np.isfinite(given).all():
        raise UsageError(problem)
    origin = (given - equation.readout.offset) * equation.units
    return np.broadcast_to(origin, origin.shape if origin.ndim else (equation.n,))


def _ends(
    equation: Langevin, scales: NetworkScales | None, start: str, schedule: Schedule, duration: float
) -> tuple[ThermodynamicNetwork, ThermodynamicNetwork]:
    """The network at the first and at the last inputs."""
    if start != "equilibrium":
        raise UsageError(f'start is numbers or "equilibrium", not {start!r}')
    if schedule.own is not None:
        raise UsageError(
            "no start in equilibrium where inputs or clamps differ by trajectory: each has a law of its own"
        )
    found = []
    for row in schedule.rows_at(np.array([0.0, duration])):
        then = equation.frozen(*row[-2:])
        found.append(as_network(replace(then, field=row[: equation.n]), scales))
    return found[0], found[1]


def _drawn(
    equation: Langevin, network: ThermodynamicNetwork, trajectories: int, seed: int
) -> tuple[FloatArray, FloatArray | None]:
    try:
        return equilibrium_start(equation, network, trajectories, seed)
    except (CircuitError, InputError) as error:
        raise UsageError(f"no start in equilibrium: {error.message}") from None


def _fit(equation: Langevin, x: FloatArray, scheme: str) -> float:
    """The step (s) that fits the farthest of states x (..., n)."""
    return TYPICAL[scheme] / max(1e-300, float(fastest(equation, linear_rate(equation), x).max()))


def _fitting_steps(equation: Langevin, schedule: Schedule, scheme: str) -> Callable[[FloatArray], FloatArray]:
    """The step (s) that fits typical states and those that the fields hold, as a function of the time (m,), s.

    Only a first guess of what is efficient: trajectories that are elsewhere halve it.
    """
    linear, size = linear_rate(equation), 2 * np.max([coordinate_size(each) for each in equation.extremes], axis=0)
    stiffness, cubic = np.diag(equation.stiffness), np.maximum(equation.cubic, 1e-300)
    quartic = equation.cubic > 0
    wells = np.sqrt(np.maximum(-stiffness, 0.0) / cubic) + np.abs(equation.quadratic) / cubic
    pull = schedule.largest
    linear_law = np.where(stiffness > 0, pull / np.where(stiffness > 0, stiffness, 1.0), np.inf)
    held = np.minimum(linear_law, np.cbrt(pull / cubic))
    reach = size + np.where(quartic, held + wells, 0.0)
    if equation.n <= MOST_AT_REST:
        with suppress(CircuitError):  # if it never rests, what it does is followed by halving
            for each in equation.extremes:
                reach = np.maximum(reach, size + np.abs(rest_state(each)))
    steps = TYPICAL[scheme] / fastest(equation, linear, reach)
    if equation.mass is not None:
        steps = np.minimum(steps, DAMPING_STEP * float((equation.mobility * equation.mass).min()))
    of_segment = np.minimum(steps[1:], steps[:-1])

    def fitting(middle: FloatArray) -> FloatArray:
        return np.asarray(of_segment[schedule.between(middle, middle)[0]])

    return fitting


def _judge_steps(
    paths: Paths, grid: Grid, scheme: str, advice: str, equation: Langevin
) -> tuple[float, tuple[str, ...]]:
    """The error of the steps, and what is to be said of it.

    Raises
    ------
    UsageError
        If steps that were given are too coarse.
    InternalError
        If steps that were chosen are.
    """
    gap = halved_steps(paths, scheme)
    if grid.refined:
        if gap.error > ACCURACY[scheme]:
            name = equation.names[gap.coordinate]
            raise InternalError(f"half the step moves the {gap.what} of {name} by {gap.error:.2g} of its size")
        return gap.error, ()
    bias = max(step_bias(scheme, paths.rate), gap.error)
    if paths.over > 0.5 or not bias <= REFUSED:
        expected = "they are unstable" if paths.over > 0.5 else f"a variance is off by about {100 * bias:.0f} %"
        raise UsageError(f"steps of {grid.largest:.3g} s are too coarse for the states met ({expected}): {advice}")
    if bias > WARNED:
        return gap.error, (f"the steps are coarse: variances are off by up to about {100 * bias:.0f} %; {advice}",)
    return gap.error, ()


def _held_against_law(
    equation: Langevin,
    scales: NetworkScales | None,
    paths: Paths,
    schedule: Schedule,
    ends: tuple[ThermodynamicNetwork, ThermodynamicNetwork] | None,
    scheme: str,
    grid: Grid,
) -> int:
    """How many final moments were held against the law; see `spu.emulator.runs.network_guard.hold_against_law`."""
    if schedule.own is not None:  # each trajectory has a law of its own
        return 0
    end, fields = float(grid.marks[-1]), schedule.rows[1:-1]
    moving = np.flatnonzero((fields != fields[-1]).any(axis=1))
    changed = schedule.times[moving[-1] + 1] if len(moving) else 0.0
    if changed > end:
        return 0
    constant = not len(moving) or changed <= 0
    try:
        equation.theta()
        last = as_network(replace(equation, field=fields[-1, : equation.n]), scales)
    except CircuitError:
        return 0
    second = 1.0 if scales is None else scales.time
    damping = 1.0
    if equation.mass is not None:  # far from ringing, velocities only slow it down
        friction = 1 / (equation.mobility * equation.mass)
        damping = 0.5 if friction.min() > 4 * float(fastest(equation, linear_rate(equation), 0 * friction)) else 0.0
    # A quadrature costs as much as some hundred thousand normals.
    budget = max(4, int(1e-2 * grid.total * paths.states.shape[1] * equation.n / 1e5))
    return hold_against_law(
        last,
        paths.states[-1] / equation.units,
        elapsed=(end - max(0.0, float(changed))) / second,
        stationary=ends is not None and constant,
        damping=damping,
        accuracy=max(ACCURACY[scheme], 0.0 if grid.refined else 2 * step_bias(scheme, paths.rate)),
        most=budget,
    )


def input_schedule(
    found: LangevinDynamics,
    inputs: tuple[ArrayLike, ArrayLike] | str | Path | None,
    own: ArrayLike | str | Path | None = None,
    envelope: ArrayLike | None = None,
    trajectories: int = 1,
) -> Schedule:
    """Inputs in problem units, or files of them, as fields of the equation, in s; see `spu.emulator.simulate.simulate`.

    Raises
    ------
    UsageError
        If instants fall, or the numbers do not fit.
    InputError
        If a file cannot be read.
    """
    network, scales, equation = thermodynamic(found.circuit.problem), found.scales, found.equation
    instants, fields = np.zeros(1), equation.field[None, :]
    if envelope is not None and (own is None or inputs is None):
        raise OptionError("envelope", "is the factor on own_inputs at the instants of inputs: give both")
    if inputs is None and own is None:
        return Schedule(instants, fields)
    if network is None or scales is None:
        raise UsageError("inputs in time are in problem units: the device was compiled for no network")
    force = scales.speedup * scales.energy / equation.units
    if inputs is not None:
        if isinstance(inputs, (str, Path)):
            inputs = read_inputs(Path(inputs), network)
        problem = "inputs are two arrays, instants (m,) and inputs (m, p), or a .csv file of them"
        if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
            raise UsageError(problem)
        instants, values = (numbers(part, problem) for part in inputs)
        if instants.ndim != 1 or not len(instants) or (np.diff(instants) < 0).any() or not np.isfinite(instants).all():
            raise UsageError("the instants of inputs must be finite and must not fall")
        if values.shape != (len(instants), equation.n) or not np.isfinite(values).all():
            raise UsageError(f"inputs must be {len(instants)} x {equation.n} finite numbers: an instant a row")
        fields = equation.field + (values - network.input) * force
    times = instants * scales.time / scales.speedup
    if own is None:
        return Schedule(times, fields)
    problem = f"must be {trajectories} x {equation.n} finite numbers: a trajectory a row"
    each = (
        read_own_inputs(Path(own), network) if isinstance(own, (str, Path)) else numbers(own, f"own_inputs {problem}")
    )
    if each.shape != (trajectories, equation.n) or not np.isfinite(each).all():
        raise OptionError("own_inputs", problem)
    factor = None
    if envelope is not None:
        problem = f"the envelope must be {len(times)} finite numbers, one for each instant of inputs"
        factor = numbers(envelope, problem)
        if factor.shape != times.shape or not np.isfinite(factor).all():
            raise UsageError(problem)
    return Schedule(times, fields, each * force, factor)


_POINTS = 1000
"""Readouts of a waveform, unless times are given."""


def _readout_times(times: ArrayLike | None, second: float, equation: Langevin, points: int) -> FloatArray:
    if times is None:
        ramp = None if equation.varying is None else equation.varying.ramp
        end = ramp.duration if ramp is not None and ramp.duration else 10 * slowest_motion(equation)
        return np.asarray(np.arange(1, points + 1) * (end / points))
    problem = "readout times must be finite, not negative and not falling"
    found = np.atleast_1d(numbers(times, problem)) * second
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any() or (np.diff(found) < 0).any():
        raise UsageError(problem)
    if not len(found):
        raise UsageError("there is no time to read at in times: give one or more, or none at all for the default")
    return found


def _booked(
    paths: Paths, equation: Langevin
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None, float | None]:
    """Heat, work and change of energy in units of theta, and by how much they miss the first law."""
    if paths.heat is None or paths.work is None or paths.start is None or paths.end is None:
        return None, None, None, None
    change = paths.end - paths.start
    # Every step's terms are booked one by one: sums may differ by the rounding of the largest energy.
    size = np.abs(paths.start) + np.abs(paths.end) + np.abs(paths.heat) + np.abs(paths.work)
    gap = np.abs(change - paths.work + paths.heat) / np.where(size > 0, size, 1.0)
    theta = float(equation.ratios.max()) or 1.0
    if not gap.max() <= _FIRST_LAW:
        raise InternalError(f"the first law is missed by {gap.max():.2g} of the energies")
    return paths.heat / theta, paths.work / theta, change / theta, float(gap.max())
