"""What a device of nonlinear cells does in time, and what is known of it without sampling."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spu.circuit import lower
from spu.device import Device
from spu.emulator.langevin_run import SCHEMES, Paths, Schedule, run, stable_step
from spu.entropy import EntropyProduction, entropy_production, equilibrium_start
from spu.errors import CircuitError, InputError, UsageError
from spu.langevin import UNITS, Langevin, langevin
from spu.sampling import Interrupt

if TYPE_CHECKING:
    from spu.network import Scales, ThermodynamicNetwork

__all__ = ["NetworkPrediction", "NetworkSimulation", "predict_network", "simulate_network"]

FloatArray = NDArray[np.float64]

MOST_NUMBERS = 200_000_000
"""States kept at most: 1.6 GB."""

_FINE = 50.0
"""The default step is the linear bound of stability at typical states over this."""

_DAMPING_STEP = 0.2
"""Of inertial equations, the default step over the velocity's time constant at most: BAOAB's mobility is then
right to 0.3 % (``(z/2) coth(z/2)`` at a step of z)."""


@dataclass(frozen=True, eq=False)
class NetworkPrediction:
    """What is known exactly of a device of nonlinear cells.

    Attributes
    ----------
    variables:
        p names.
    mean, covariance, third, fourth:
        Stationary moments in problem units (third and fourth central ones of each variable); None where
        they are not known: more than a few coupled units, or no Boltzmann law.
    theta:
        The temperature of the device's stationary law in its own unit (J, or W for voltages); None where
        there is no such law, and then ``why`` says why.
    rest:
        (p,) a state where the noiseless drift vanishes, problem units.
    time_constants:
        (n,) s, of small deviations from it, longest first; inertial equations have 2 n.
    coordinate, heat:
        ``voltage``, ``charge`` or ``flux``; what the potential is, in words.
    """

    variables: tuple[str, ...]
    mean: FloatArray | None
    covariance: FloatArray | None
    third: FloatArray | None
    fourth: FloatArray | None
    theta: float | None
    why: str
    rest: FloatArray
    time_constants: FloatArray
    coordinate: str
    heat: str
    equation: Langevin = field(repr=False)


def predict_network(device: Device) -> NetworkPrediction:
    """What is exact of a device of nonlinear cells: stationary moments where they are known, rest, time constants.

    The moments are those of the device's own equation, not of the problem it was compiled for.

    Raises
    ------
    CircuitError
        If the circuit has no Langevin equation in one coordinate.
    """
    equation = langevin(lower(device))
    theta, why = None, ""
    try:
        theta = equation.theta()
    except CircuitError as error:
        why = error.message
    mean = covariance = third = fourth = None
    if theta is not None:
        own = as_network(equation, device.scales)
        if own.solvable:
            shift = equation.readout.offset
            mean, covariance = own.moments()
            mean = mean + shift
            third, fourth = own.central_moments()[1:]
        else:
            why = "more than a few units are coupled, and not quadratic: only sampling tells their moments"
    rest = rest_state(equation)
    return NetworkPrediction(
        equation.readout.variables,
        mean,
        covariance,
        third,
        fourth,
        theta,
        why,
        equation.read(rest),
        time_constants(equation, rest),
        equation.coordinate,
        equation.energy,
        equation,
    )


def as_network(equation: Langevin, scales: Scales | None = None) -> ThermodynamicNetwork:
    """The network that a device's equation is, in problem units, at scales (its own energies and seconds if None).

    Without scales the unit of energy is the device's kT, and that of time one second at the mobility
    of the first cell.

    Raises
    ------
    CircuitError
        If the readout is not one variable a cell, or noise over dissipation differs.
    """
    from spu.network import ThermodynamicNetwork

    unit = equation.units
    theta = float(equation.ratios.max())
    energy = scales.energy if scales is not None else theta or 1.0
    rates = equation.mobility * energy / unit**2
    if np.ptp(rates) > 1e-9 * rates.max():
        raise CircuitError("the cells' mobilities differ: they are not those of one network", nodes=equation.names)
    stiffness = equation.stiffness * np.outer(unit, unit) / energy
    reciprocal = bool(np.allclose(stiffness, stiffness.T, rtol=1e-9, atol=1e-12 * np.abs(stiffness).max()))
    return ThermodynamicNetwork(
        np.diag(stiffness) / 2,
        equation.quadratic * unit**3 / (3 * energy),
        equation.cubic * unit**4 / (4 * energy),
        input=equation.field * unit / energy,
        couplings=stiffness - np.diag(np.diag(stiffness)),
        kT=theta / energy,
        mobility=float(rates.mean()) * (1.0 if scales is None else scales.time),
        reciprocal=reciprocal,
        variables=equation.readout.variables,
    )


def rest_state(equation: Langevin, start: FloatArray | None = None, field: FloatArray | None = None) -> FloatArray:
    """Where the noiseless drift from ``start`` (zero unless given) comes to rest, in coordinates, (n,).

    By implicit Euler steps that grow as the force falls: far from rest they follow the drift, near it
    they are Newton's.

    Raises
    ------
    CircuitError
        If the drift does not come to rest.
    """
    x = np.zeros(equation.n) if start is None else np.array(start)
    size = _coordinate_size(equation)
    step = 0.1 * stable_step(equation) if equation.mass is None else 0.1 / _relaxation_rate(equation)
    rates = equation.mobility[:, None]
    for _ in range(2000):
        force = equation.force(x, field)
        slope = equation.stiffness + np.diag((2 * equation.quadratic + 3 * equation.cubic * x) * x)
        move = np.linalg.solve(np.eye(equation.n) / step + rates * slope, equation.mobility * force)
        new = x + move
        if (
            np.abs(equation.mobility * equation.force(new, field)).max()
            <= np.abs(equation.mobility * force).max() * 1.5
            or step < 1e-30
        ):
            x, step = new, min(step * 2.0, 1e30)
        else:
            step /= 4.0
            continue
        if (np.abs(move) <= 1e-14 * (np.abs(x) + 1e-6 * size)).all() and step > 1e3 * stable_step(equation, x):
            return x
    raise CircuitError("the noiseless drift does not come to rest", nodes=equation.names)


def _relaxation_rate(equation: Langevin) -> float:
    root = np.sqrt(equation.mobility)
    return float(np.abs(np.linalg.eigvals(root[:, None] * equation.stiffness * root)).max()) or 1.0


def _coordinate_size(equation: Langevin) -> FloatArray:
    """(n,) a size of each coordinate: of what the noise alone would make of its quartic and quadratic parts."""
    theta = np.maximum(equation.ratios, 1e-300)
    quartic = np.where(equation.cubic > 0, (theta / np.where(equation.cubic > 0, equation.cubic, 1.0)) ** 0.25, np.inf)
    slope = np.diag(equation.stiffness)
    quadratic = np.where(slope > 0, np.sqrt(theta / np.where(slope > 0, slope, 1.0)), np.inf)
    size = np.minimum(quartic, quadratic)
    return np.where(np.isfinite(size), size, 1.0)


def time_constants(equation: Langevin, x: FloatArray) -> FloatArray:
    """Of small deviations from a state x, s, longest first; inertial equations have 2 n."""
    slope = equation.stiffness + np.diag((2 * equation.quadratic + 3 * equation.cubic * x) * x)
    n = equation.n
    if equation.mass is None:
        rates = np.linalg.eigvals(equation.mobility[:, None] * slope)
    else:
        inverse = 1 / equation.mass
        damping = np.diag(inverse / equation.mobility)
        rates = np.linalg.eigvals(np.block([[np.zeros((n, n)), -np.eye(n)], [inverse[:, None] * slope, damping]]))
    return np.sort(1 / np.maximum(np.abs(rates.real), 1e-300))[::-1]


@dataclass(frozen=True, eq=False)
class NetworkSimulation:
    """Trajectories of a device of nonlinear cells, in problem units.

    Attributes
    ----------
    variables:
        p names.
    times, device_times:
        (k,) readouts, in units of the problem's time (s where there is no problem), and in s.
    states:
        (k, trajectories, p).
    step, scheme, seed, speedup:
        As used; the step in s.
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
    """

    variables: tuple[str, ...]
    times: FloatArray
    device_times: FloatArray
    states: FloatArray
    step: float
    scheme: str
    seed: int
    speedup: float
    coordinate: str
    heat: FloatArray | None
    work: FloatArray | None
    energy_change: FloatArray | None
    first_law: float | None
    entropy: EntropyProduction | None
    seconds: float
    complete: bool

    @property
    def trajectories(self) -> int:
        """How many."""
        return self.states.shape[1]

    @cached_property
    def mean(self) -> FloatArray:
        """(k, p)."""
        return self.states.mean(axis=1)

    @cached_property
    def mean_error(self) -> FloatArray:
        """(k, p) standard errors of ``mean``: trajectories are independent."""
        return np.asarray(np.sqrt(self.variance / max(1, self.trajectories)))

    @cached_property
    def variance(self) -> FloatArray:
        """(k, p), unbiased."""
        return self.states.var(axis=1, ddof=min(1, self.trajectories - 1))

    @cached_property
    def variance_error(self) -> FloatArray:
        """(k, p) standard errors of ``variance``, from the fourth moments found."""
        fourth = ((self.states - self.mean[:, None, :]) ** 4).mean(axis=1)
        return np.asarray(np.sqrt(np.maximum(fourth - self.variance**2, 0.0) / max(1, self.trajectories)))

    @cached_property
    def covariance(self) -> FloatArray:
        """(p, p) at the last readout."""
        return np.atleast_2d(np.cov(self.states[-1].T, ddof=min(1, self.trajectories - 1)))


def simulate_network(
    device: Device,
    *,
    times: ArrayLike | None = None,
    trajectories: int = 1000,
    step: float | None = None,
    scheme: str | None = None,
    start: ArrayLike | str = 0.0,
    inputs: tuple[ArrayLike, ArrayLike] | None = None,
    heat: bool = False,
    seed: int = 0,
    coarse: int = 1,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NetworkSimulation:
    """Run trajectories of a device of nonlinear cells and read them at given times.

    Parameters
    ----------
    device:
        Compiled (`spu.compiler.network`) or built by hand.
    times:
        Readout times, rising, in units of the problem's time (s where the device was compiled for
        none). Rounded to whole steps. By default one, ten of the longest time constants.
    trajectories:
        Independent ones.
    step:
        In the same unit. By default a fiftieth of the bound of stability at typical states.
    scheme:
        ``euler-maruyama``, ``leimkuhler-matthews`` (better stationary statistics) or, where there is
        inertia, ``baoab``. By default ``euler-maruyama`` or ``baoab``.
    start:
        (p,) or (trajectories, p), problem units; ``"equilibrium"`` draws states (and velocities) from
        the stationary law at the first inputs, of units that are not coupled or all quadratic.
    inputs:
        Instants (m,) and inputs I (m, p) then, problem units: straight lines between, constant
        before and after; an instant given twice is a jump. The device's own unless given.
    heat:
        Book heat and work, and the entropy production (`spu.entropy`); its total where the start is
        ``"equilibrium"``.
    seed:
        Same seed, same noise, whatever the threads and the number of trajectories.
    coarse:
        Noise of ``coarse`` finer steps added up for each: runs of the same ``step / coarse`` follow
        one Brownian path (first-order equations).
    threads, progress:
        As in `spu.simulate`.

    Raises
    ------
    UsageError
        For numbers that make no sense, or a step at which the scheme blew up.
    CircuitError
        If the circuit has no such equation.

    Notes
    -----
    An interrupt (ctrl-C) ends the run early; the result then says ``complete=False``.
    """
    began = time.perf_counter()
    equation = langevin(lower(device))
    scales = device.scales
    speedup = 1.0 if scales is None else scales.speedup
    second = 1.0 if scales is None else scales.time / speedup  # s a unit of problem time
    for name, value in (("trajectories", trajectories), ("coarse", coarse)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise UsageError(f"{name} must be a whole number, 1 or more, not {value!r}")
    if seed < 0:
        raise UsageError(f"seed must not be negative, not {seed!r}")
    chosen = scheme or ("baoab" if equation.mass is not None else "euler-maruyama")
    if chosen not in SCHEMES:
        raise UsageError(f"no scheme {scheme!r}; valid: {', '.join(SCHEMES)}")
    h = default_step(equation) if step is None else float(step) * second
    if not 0 < h < np.inf:
        raise UsageError(f"the step must be positive, not {step!r}")
    seconds = _readout_times(times, second, equation)
    if step is None and seconds[-1] > 0:
        h = float(seconds[-1] / np.ceil(seconds[-1] / h))
    counts = np.rint(seconds / h).astype(np.int64)
    if counts[-1] > 2**40:
        raise UsageError(f"{counts[-1]} steps are too many")
    numbers = len(counts) * trajectories * equation.n
    if numbers > MOST_NUMBERS:
        raise UsageError(f"{numbers} numbers to keep are more than {MOST_NUMBERS}: fewer times or trajectories")
    schedule = None if inputs is None else input_schedule(device, equation, inputs)
    ends = None
    if isinstance(start, str):
        ends = _ends(device, equation, start, schedule, h * float(counts[-1]))
        origin, velocity = _drawn(equation, ends[0], trajectories, seed)
    else:
        origin, velocity = _origin(equation, start, trajectories), None
    with Interrupt() as interrupt:
        paths = run(
            equation,
            step=h,
            steps=counts,
            trajectories=trajectories,
            seed=seed,
            scheme=chosen,
            start=origin,
            velocity=velocity,
            schedule=schedule,
            track=heat,
            coarse=coarse,
            threads=threads,
            progress=progress,
            interrupted=lambda: interrupt.seen,
        )
    complete = len(paths.times) == len(counts)
    heat_given, work, change, first_law = _booked(paths, equation)
    entropy = None
    if heat_given is not None and work is not None:
        unknown = "" if complete else "the run was interrupted"
        if ends is None:
            unknown = 'the law at the start is known where the start is "equilibrium"'
        entropy = entropy_production(equation, heat_given, work, ends, unknown)
    return NetworkSimulation(
        equation.readout.variables,
        paths.times / second,
        paths.times,
        equation.read(paths.states),
        h,
        chosen,
        seed,
        speedup,
        UNITS[equation.coordinate],
        heat_given,
        work,
        change,
        first_law,
        entropy,
        time.perf_counter() - began,
        complete,
    )


def _origin(equation: Langevin, start: ArrayLike, trajectories: int) -> FloatArray:
    """Coordinates at the start, (n,) or (trajectories, n)."""
    origin = (np.asarray(start, dtype=np.float64) - equation.readout.offset) * equation.units
    if origin.shape not in ((), (equation.n,), (trajectories, equation.n)) or not np.isfinite(origin).all():
        raise UsageError(f"start must be finite, one number a variable ({equation.n}), or that for each trajectory")
    return np.broadcast_to(origin, origin.shape if origin.ndim else (equation.n,))


def _ends(
    device: Device, equation: Langevin, start: str, schedule: Schedule | None, duration: float
) -> tuple[ThermodynamicNetwork, ThermodynamicNetwork]:
    """The network at the first and at the last inputs."""
    if start != "equilibrium":
        raise UsageError(f'start is numbers or "equilibrium", not {start!r}')
    fields = [equation.field] * 2 if schedule is None else schedule.at(np.array([0.0, duration]))
    first, last = (as_network(replace(equation, field=field), device.scales) for field in fields)
    return first, last


def _drawn(
    equation: Langevin, network: ThermodynamicNetwork, trajectories: int, seed: int
) -> tuple[FloatArray, FloatArray | None]:
    try:
        return equilibrium_start(equation, network, trajectories, seed)
    except (CircuitError, InputError) as error:
        raise UsageError(f"no start in equilibrium: {error.message}") from None


def typical_states(equation: Langevin) -> FloatArray:
    """(n,) how far out coordinates are found: the rest state and two deviations of the noise."""
    return np.abs(rest_state(equation)) + 2 * _coordinate_size(equation)


def default_step(equation: Langevin) -> float:
    """A step (s) at which the schemes are converged for most purposes."""
    size = typical_states(equation)
    if equation.mass is None:
        return stable_step(equation, size) / _FINE
    damping = float((equation.mobility * equation.mass).min())
    return min(stable_step(equation, size) / 20, _DAMPING_STEP * damping)


def input_schedule(device: Device, equation: Langevin, inputs: tuple[ArrayLike, ArrayLike]) -> Schedule:
    """Inputs in problem units as fields of the equation, in s.

    Raises
    ------
    UsageError
        If instants fall, or the numbers do not fit.
    """
    if device.network is None or device.scales is None:
        raise UsageError("inputs in time are in problem units: the device was compiled for no network")
    scales = device.scales
    instants = np.asarray(inputs[0], dtype=np.float64)
    values = np.asarray(inputs[1], dtype=np.float64)
    if instants.ndim != 1 or not len(instants) or (np.diff(instants) < 0).any() or not np.isfinite(instants).all():
        raise UsageError("the instants of inputs must be finite and must not fall")
    if values.shape != (len(instants), equation.n) or not np.isfinite(values).all():
        raise UsageError(f"inputs must be {len(instants)} x {equation.n} finite numbers: an instant a row")
    force = scales.speedup * scales.energy / equation.units
    fields = equation.field + (values - device.network.input) * force
    return Schedule(instants * scales.time / scales.speedup, fields)


def _readout_times(times: ArrayLike | None, second: float, equation: Langevin) -> FloatArray:
    if times is None:
        return np.array([10 * time_constants(equation, rest_state(equation))[0]])
    found = np.atleast_1d(np.asarray(times, dtype=np.float64)) * second
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any() or (np.diff(found) < 0).any():
        raise UsageError("readout times must be finite, not negative and not falling")
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
    return paths.heat / theta, paths.work / theta, change / theta, float(gap.max())
