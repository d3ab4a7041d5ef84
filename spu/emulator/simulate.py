"""`simulate`: what a device does, by sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from numpy.typing import ArrayLike

from spu.base.arguments import Seed, positive, precision_of, seed_of, whole
from spu.base.errors import OptionError, UsageError, refuse_options
from spu.device.device import Device
from spu.device.subject import Subject, circuits, subject_of
from spu.emulator.dynamics import (
    Dynamics,
    LangevinDynamics,
    LinearDynamics,
    SaturatingDynamics,
    compared_with,
    dynamics,
    langevin_of,
)
from spu.emulator.relaxation import relaxed
from spu.emulator.runs.kicked import SampledRelaxation, simulate_relaxation
from spu.emulator.runs.relaxation import NetworkSimulation, simulate_langevin
from spu.emulator.runs.sampling import SAVES_NOTHING, Sampling, Simulation, simulate_linear
from spu.emulator.runs.saturating import simulate_saturating
from spu.problems.problem import Problem, linear_problem

__all__ = ["simulate", "simulate_network"]


def simulate(
    subject: Subject,
    *,
    samples: float | None = None,
    interval: float | None = None,
    trajectories: float | None = None,
    duration: float | None = None,
    independent: bool = False,
    seed: Seed = 0,
    trace: float | None = None,
    lags: float = 0,
    threads: int | None = None,
    method: str | None = None,
    step: float | None = None,
    times: float | Annotated[ArrayLike, "k"] | None = None,
    scheme: str | None = None,
    start: float | Annotated[ArrayLike, "p"] | Annotated[ArrayLike, "trajectories p"] | str | None = None,
    inputs: tuple[Annotated[ArrayLike, "m"], Annotated[ArrayLike, "m p"]] | str | Path | None = None,
    own_inputs: Annotated[ArrayLike, "trajectories p"] | str | Path | None = None,
    envelope: Annotated[ArrayLike, "m"] | None = None,
    clamp: Mapping[str, float | Annotated[ArrayLike, "trajectories"]] | None = None,
    heat: bool = False,
    coarse: int | None = None,
    problem: Problem | None = None,
    precision: str = "double",
    voltages: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation | NetworkSimulation | SampledRelaxation:
    """Draw samples of a device: of linear cells exactly, in the stationary law; of nonlinear ones along trajectories.

    Statistics of linear devices count readouts as they come: memory does not grow with time. With ``start`` and
    ``times`` linear devices, too, run along trajectories, from a given state to readouts at given times. Whole numbers
    may be given as floats (``1e5``).

    Parameters
    ----------
    subject:
        A device, compiled or built by hand; a circuit or a netlist that was read; a folder; or the path of one, of a
        ``device.json`` or of a netlist.
    samples:
        Of linear devices: readouts in total (rounded up to a whole number for each trajectory); by default 10,000, of
        a large sparse network 1,000, and with ``lags`` that choose the interval up to ten times as many. An ensemble
        shares them among its programmings, each with a seed of its own.
    interval:
        Of linear devices: s between readouts; by default the longest time constant, after which readouts are
        nearly independent, and with ``lags`` as much less as lets these reach over three of it.
    trajectories:
        How many run side by side. Of linear devices each starts in the stationary law; by default up to 64, with at
        least 100 readouts each (of a large sparse network 32). From a ``start``, and of networks, they are independent;
        by default 1000.
    duration:
        Of linear devices: s of each trajectory, instead of ``samples``.
    independent:
        Of linear devices: draw independently from the stationary law: no time, no trajectories.
    seed:
        A non-negative integer; the same one gives the same bits, whatever the threads (and of networks whatever the
        number of trajectories). A numpy Generator gives one, None is another one each time; the result says which.
    trace:
        Of linear devices: keep every so-manieth readout of each trajectory in ``readouts``; 0 keeps none. By default
        all, or as many as make `spu.emulator.runs.sampling.FEW_NUMBERS`. (Networks keep what is read at ``times``.)
    lags:
        Of linear devices: autocovariances up to this many readouts apart.
    threads:
        At most so many; by default all processors.
    method:
        Of linear devices: one of `spu.emulator.runs.sampling.METHODS` instead of the best.
    step:
        Of large sparse networks of linear cells: s, of the implicit midpoint, the nearest that divides the interval.
        Of networks: in the unit of ``times``, at most: pieces between readouts and instants of ``inputs`` are cut into
        equal ones.
        It is taken as it is and refused where it is too coarse for the states met: where more than half of the
        trajectories have a rate of more than one in a step, or where variances would be off by a third.

        By default it is chosen, and then it is right for every state and input: typical states, and those that
        the inputs of the time hold, move by a rate of `TYPICAL` in a step (of Heun 0.06), and a trajectory
        that is found, or bound for, where its rate is above `LIMIT` (twice that) takes the step in halves, and
        these again, on the same Brownian path. Means are then right to 1 % of a standard deviation, and variances
        to 1 % (Euler-Maruyama 3 %); the noiseless motion to 0.3 % of how far it went.
    times:
        Readout times, rising, in units of the problem's time (s where the device was compiled for none). Of networks
        steps end there, and at the instants of ``inputs`` and of the device's ramp, which begins at time 0; by default
        one: the end of the ramp, or ten of the longest time constants. Of linear devices with a ``start``.
    scheme:
        ``heun`` (weak order 2), ``euler-maruyama`` (1), ``leimkuhler-matthews`` (2 for stationary statistics
        alone; its steps are not halved) or, where there is inertia, ``baoab`` (2). By default ``heun`` or ``baoab``.
    start:
        Of networks: (p,) or (trajectories, p), problem units, 0 by default; ``"equilibrium"`` draws states (and
        velocities) from the stationary law at the first inputs, of units that are not coupled or all quadratic.
        Of linear devices, with ``times``: (p,), ``"rest"`` or ``"stationary"``, as `spu.relaxation` takes it, and the
        device's own unless given.
    inputs:
        Instants (m,) and inputs I (m, p) then, problem units: straight lines between, constant
        before and after; an instant given twice is a jump. Or a .csv file of them, with the columns ``time`` and the
        names of units. The device's own unless given.
    own_inputs:
        Of networks: inputs (trajectories, p) that each trajectory has beside, problem units, or a .csv file of them, a
        trajectory a row, with names of units as columns. Trajectory b is driven by ``inputs + envelope own_inputs[b]``.
        No law is then common to all: what comes out is held against plain numpy and halved steps alone.
    envelope:
        (m,) that factor at the instants of ``inputs``, straight lines between; 1 unless given.
    clamp:
        Variables that are held, by name, problem units. Of a device of linear cells each at a number: the run is that
        of ``device.clamped(clamp)``. Of networks at a number or at (trajectories,) of them; such units cost nothing
        but their pull on the others (`spu.emulator.runs.clamps`). Heat and work are those of the others.
    heat:
        Book heat and work, and the entropy production (`spu.emulator.laws.entropy`); its total where the start is
        ``"equilibrium"``.
    coarse:
        Noise of ``coarse`` finer steps added up for each: runs of the same ``step / coarse`` follow
        one Brownian path (first-order equations; where readouts and instants are multiples of the steps).
    problem:
        What linear devices are compared with; their own unless given. (Networks are, with their own equation's law.)
    precision:
        ``double``, or ``single``: states and products in floats (sums in doubles), at up to twice the speed
        where there are many states. Of linear devices of dense steps in time, not by modes. What rounding puts
        covariances off by is worked out before anything runs (`Simulation.precision_error`), and refused above 1e-4, or
        a tenth of a standard error. Of networks without ``heat``; refused where a step's noise is not 128 times as
        large as the rounding of what it is added to, which keeps what rounding adds to a variance below 1e-4 of it.
    voltages:
        Keep waveforms, too: volts of the nodes that are read, at the readouts that are kept (`spu.write_raw` writes
        them for viewers). By default there is then one trajectory, with readouts closer together: of linear devices
        `spu.emulator.runs.sampling.CLOSE` in the slowest time constant, of networks 1000 in all.
    progress:
        Called with readouts done and wanted.

    Returns
    -------
    Simulation, SampledRelaxation or NetworkSimulation
        The first of linear devices, the second of these with a ``start``.

    Raises
    ------
    UsageError
        If there is no device in what is given, an option has no meaning for it, numbers contradict one another or make
        no sense, or a step is too coarse; the message says what would do.
    CircuitError
        If the circuit has no stationary law, or no equation.
    InternalError
        If what came out contradicts the exact law as far as it is known; of networks also where it is not what plain
        numpy makes of the same noise (first and last steps), is moved by halved steps more than is said above, or
        breaks the first law (`spu.emulator.runs.guard`, `spu.emulator.runs.network_guard`).

    Notes
    -----
    An interrupt (ctrl-C) ends the run early; the result then says ``complete=False``. Of networks it is a
    ``KeyboardInterrupt`` where the first time was not reached.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> run = spu.simulate(device, samples=10_000, seed=1)
    >>> bool((abs(run.covariance - run.target_covariance) < 7 * run.covariance_error).all())
    True

    Of nonlinear cells the readouts are those at the times wanted:

    >>> neurons = spu.compile(spu.ThermodynamicNetwork(J2=-1.0, J4=1.0, units=2))
    >>> run = spu.simulate(neurons, times=[0.1, 1.0, 5.0], trajectories=100)
    >>> run.readouts.shape
    (100, 3, 2)

    A linear device that leaves a given state is read so, too:

    >>> run = spu.simulate(device, start=[3.0, 0.0], times=[0.0, 1e-6], trajectories=100)
    >>> run.readouts.shape, bool((run.mean[0] == [3.0, 0.0]).all())
    ((100, 2, 2), True)

    Each trajectory may have inputs of its own, and units may be clamped:

    >>> own = [[2.0 * (b % 2), 0.0] for b in range(100)]
    >>> run = spu.simulate(neurons, times=5.0, trajectories=100, own_inputs=own, clamp={"x2": -0.5})
    >>> bool(run.mean[0, 1] == -0.5 and run.readouts[1::2, 0, 0].mean() > run.readouts[::2, 0, 0].mean())
    True
    """
    meant = subject_of(subject)
    found = [dynamics(circuit) for circuit in circuits(meant)]
    if clamp is not None and found[0].name == LinearDynamics.name:
        if not isinstance(meant, Device):
            raise OptionError("clamp", "is of devices: in a netlist put a voltage source at the node")
        meant, clamp = meant.clamped(cast(Mapping[str, float], clamp)), None
        found = [dynamics(circuit) for circuit in circuits(meant)]
    options: dict[str, Any] = {
        "samples": whole("samples", samples),
        "interval": positive("interval", interval),
        "trajectories": whole("trajectories", trajectories),
        "duration": positive("duration", duration),
        "independent": independent or None,
        "trace": whole("trace", trace),
        "lags": whole("lags", lags) or None,
        "method": method,
        "step": positive("step", step),
        "times": times,
        "scheme": scheme,
        "start": start,
        "inputs": inputs,
        "own_inputs": own_inputs,
        "envelope": envelope,
        "clamp": clamp,
        "heat": heat or None,
        "coarse": whole("coarse", coarse),
    }
    common = {
        "seed": seed_of(seed),
        "threads": whole("threads", threads),
        "precision": precision_of(precision),
        "voltages": bool(voltages),
        "progress": progress,
    }
    if voltages and options["trace"] == 0:
        raise OptionError("voltages", "are of readouts that are kept, and trace 0 keeps none")
    return SIMULATED[found[0].name](found, compared_with(found[0], problem, meant.problem), options, common)


_LINEAR = ("samples", "interval", "duration", "independent", "trace", "lags", "method")
_LANGEVIN = ("times", "scheme", "start", "inputs", "own_inputs", "envelope", "clamp", "heat", "coarse")
"""Options that only the one kind has; but a start and its times linear devices have, too."""


def _simulate_linear(
    found: Sequence[Dynamics], problem: Problem | None, options: dict[str, Any], common: dict[str, Any]
) -> Simulation | SampledRelaxation:
    own = options["times"] is not None and found[0].circuit.start is not None
    if options["start"] is not None or own:
        return _simulate_relaxation(cast("Sequence[LinearDynamics]", found), options, common)
    refuse_options(
        f"{LinearDynamics.words} (see samples, interval and duration)", {name: options.pop(name) for name in _LANGEVIN}
    )
    options |= {"lags": options["lags"] or 0, "independent": bool(options["independent"])}
    if common["precision"] == "single":
        if options["independent"]:
            raise OptionError("precision", "single is of runs in time: independent draws are made in double precision")
        if options["method"] == "modal":
            raise OptionError("precision", SAVES_NOTHING)
    how = Sampling(**options, **common)
    return simulate_linear(cast("Sequence[LinearDynamics]", found), linear_problem(problem), how)


def _simulate_saturating(
    found: Sequence[Dynamics], problem: Problem | None, options: dict[str, Any], common: dict[str, Any]
) -> Simulation:
    if len(found) > 1:
        raise UsageError(f"ensembles of {found[0].words} are not simulated: take one programming")
    refused = (*_LANGEVIN, "independent", "lags", "method")
    refuse_options(
        f"{found[0].words} (see samples, interval and duration)", {name: options.pop(name) for name in refused}
    )
    if common.pop("precision") == "single":
        raise OptionError("precision", f"single is not for {found[0].words}")
    common.pop("threads")  # one does it
    return simulate_saturating(cast(SaturatingDynamics, found[0]), linear_problem(problem), **options, **common)


def _simulate_relaxation(
    found: Sequence[LinearDynamics], options: dict[str, Any], common: dict[str, Any]
) -> SampledRelaxation:
    taken = ("times", "start", "trajectories")
    others = {name: value for name, value in options.items() if name not in taken}
    others["trace"] = others["trace"] or None  # 0 asks for no path, and there is none: what is read is kept
    refuse_options("relaxations from a start (see times and trajectories)", others)
    if common.pop("precision") == "single":
        raise OptionError("precision", "single is not for relaxations from a start")
    exact = relaxed(found, options["start"], options["times"])
    return simulate_relaxation(exact, trajectories=_count(options["trajectories"], common["voltages"]), **common)


def _simulate_langevin(
    found: Sequence[Dynamics],
    problem: Problem | None,  # noqa: ARG001 - moments are compared with the equation's own law
    options: dict[str, Any],
    common: dict[str, Any],
) -> NetworkSimulation:
    options["trace"] = options["trace"] or None  # 0 asks for no path, and there is none: what is read is kept
    refuse_options("networks (see times and trajectories)", {name: options.pop(name) for name in _LINEAR})
    options |= {
        "trajectories": _count(options["trajectories"], common["voltages"]),
        "start": 0.0 if options["start"] is None else options["start"],
        "heat": bool(options["heat"]),
        "coarse": 1 if options["coarse"] is None else options["coarse"],
    }
    return simulate_langevin(cast(LangevinDynamics, found[0]), **options, **common)


TRAJECTORIES = 1000
"""Of networks, and from a start, by default."""


def _count(trajectories: int | None, waveforms: bool) -> int:
    """How many there are; of waveforms one is drawn, unless more are wanted."""
    if trajectories is not None:
        return trajectories
    return 1 if waveforms else TRAJECTORIES


SIMULATED: dict[str, Callable[..., Simulation | NetworkSimulation | SampledRelaxation]] = {
    "linear": _simulate_linear,
    "saturating": _simulate_saturating,
    "langevin": _simulate_langevin,
}
"""The register: what simulates each kind of dynamics."""


def simulate_network(
    subject: Subject,
    *,
    times: float | Annotated[ArrayLike, "k"] | None = None,
    trajectories: int = TRAJECTORIES,
    step: float | None = None,
    scheme: str | None = None,
    start: float | Annotated[ArrayLike, "p"] | Annotated[ArrayLike, "trajectories p"] | str = 0.0,
    inputs: tuple[Annotated[ArrayLike, "m"], Annotated[ArrayLike, "m p"]] | str | Path | None = None,
    own_inputs: Annotated[ArrayLike, "trajectories p"] | str | Path | None = None,
    envelope: Annotated[ArrayLike, "m"] | None = None,
    clamp: Mapping[str, float | Annotated[ArrayLike, "trajectories"]] | None = None,
    heat: bool = False,
    seed: Seed = 0,
    coarse: int = 1,
    precision: str = "double",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NetworkSimulation:
    """`simulate`, along trajectories of the Langevin equation also where the circuit is linear.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], architecture="rc-transconductor")
    >>> run = spu.simulate_network(device, times=[1e-6, 1e-5], trajectories=100, start=[1.0, -1.0])
    >>> run.scheme, run.mean.shape, run.complete
    ('heun', (2, 2), True)
    """
    return simulate_langevin(
        langevin_of(circuits(subject)[0]),
        times=times,
        trajectories=cast(int, whole("trajectories", trajectories)),
        step=positive("step", step),
        scheme=scheme,
        start=start,
        inputs=inputs,
        own_inputs=own_inputs,
        envelope=envelope,
        clamp=clamp,
        heat=heat,
        seed=seed_of(seed),
        coarse=cast(int, whole("coarse", coarse)),
        precision=precision_of(precision),
        threads=whole("threads", threads),
        progress=progress,
    )
