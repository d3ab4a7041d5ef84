"""Annealing: how often a device ends in a ground state, and how long it takes until it has.

Of ``runs`` independent runs k end in a ground state. The probability p of that has an exact interval (Clopper and
Pearson, 1934), and the time to solution is ``t ln(1 - 0.99)/ln(1 - p)``: that of as many runs as find a ground state
with 99 %, at least one; its interval is that of p, and has no upper end where no run found one.

Whether a state is a ground state is known by counting all, to 20 spins. Beyond that it is only the best that is known:
of a digital annealer where one is installed, and of the runs themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np

from spu.base.arguments import Seed, positive, precision_of, seed_of, whole
from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError, UsageError
from spu.base.extras import needed
from spu.base.names import suggest
from spu.base.proportions import clopper_pearson
from spu.circuit.ramp import Ramp
from spu.compiler import compile_problem
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.lower import lower
from spu.device.subject import Subject, opened, subject_of
from spu.emulator.dynamics import langevin_of
from spu.emulator.runs.relaxation import NetworkSimulation
from spu.emulator.simulate import simulate
from spu.problems.files import read_problem
from spu.problems.ising import BY, MOST_SPINS, BoundedQuadratic, Ising, Optimisation, ramp_of
from spu.problems.matrix_files import MATRIX_SUFFIXES

__all__ = ["Annealing", "Digital", "anneal", "interval_of", "runs_to_solution"]

CONFIDENCE = 0.95
"""Of intervals."""

SURE = 0.99
"""Of a solution, within the time to solution."""

ROUNDS = 25
"""Runs at corrected inputs of a programme within bounds, at most."""

_SETTLED = 0.2
"""Share of the annealing's time that such a run takes."""

_CLOSE = 1e-6
"""Of the size of the cost: a gap at which rounds end."""


@dataclass(frozen=True)
class Digital:
    """A digital annealer beside the device.

    Attributes
    ----------
    name:
        Which one.
    runs, successes:
        How many, and how many found a ground state, or the best that is known.
    best:
        The lowest cost that it found.
    seconds:
        Of one run, by the clock.
    success, success_interval, time_to_solution, time_interval:
        As of `Annealing`; the time is that of this computer.
    """

    name: str
    runs: int
    successes: int
    best: float
    seconds: float
    success: float
    success_interval: tuple[float, float]
    time_to_solution: float
    time_interval: tuple[float, float]


@dataclass(frozen=True, eq=False, repr=False)
class Annealing(Result):
    """What annealing a device many times came to.

    Attributes
    ----------
    variables:
        n names.
    task, schedule:
        What is minimised, and how it is annealed, in words.
    states, costs:
        (runs, n) and (runs,) what each run ended in, in units of the problem.
    best_state, best_cost:
        The lowest.
    reference, reference_source:
        The least cost, and who says so: ``counted`` (all states were), ``digital`` or ``runs``, by which it is only the
        best that is known. None of programmes within bounds, whose `gap` says what is left.
    successes, success, success_interval:
        Runs that ended there, their share, and its exact 95 % interval; None within bounds.
    time_of_run:
        s on the device.
    time_to_solution, time_interval:
        s on the device until a ground state is found with 99 %, and the interval; infinite where none was found.
    readouts_to_solution, readouts_interval:
        How many runs that takes, each read once.
    assured:
        Whether the lowest minimum of the device's potential is a ground state (`spu.problems.ising`): None where that
        is not known.
    gap, distance:
        Within bounds: by how much the best cost is above the least one, and how far the best state is from the answer,
        at most.
    rounds:
        Within bounds: runs at corrected inputs.
    digital:
        A digital annealer beside; None unless asked for, or where it gave the reference.
    seed, seconds:
        As used; wall time.
    run:
        The last run of the emulator.
    device:
        What was annealed.
    warnings:
        What should be known.

    Examples
    --------
    >>> import spu
    >>> found = spu.anneal(spu.Ising([[0, 1], [1, 0]], h=[0.5, 0.0]), runs=20, seed=1)
    >>> found.reference, found.best_state
    (-1.5, array([1., 1.]))
    >>> found.states.shape, found.success > 0.3
    ((20, 2), True)
    """

    variables: tuple[str, ...]
    task: str
    schedule: str
    states: Annotated[FloatArray, "runs n"]
    costs: Annotated[FloatArray, "runs"]
    best_state: Annotated[FloatArray, "n"]
    best_cost: float
    reference: float | None
    reference_source: str | None
    successes: int | None
    success: float | None
    success_interval: tuple[float, float] | None
    time_of_run: float
    time_to_solution: float | None
    time_interval: tuple[float, float] | None
    readouts_to_solution: float | None
    readouts_interval: tuple[float, float] | None
    assured: bool | None
    gap: float | None
    distance: float | None
    rounds: int
    digital: Digital | None
    seed: int
    seconds: float
    run: NetworkSimulation
    device: Device
    warnings: tuple[str, ...] = ()

    in_short = ("task", "runs", "best_cost", "reference", "success", "time_to_solution")

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.costs)

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; what is infinite is null."""
        keys = (
            *("task", "variables", "schedule", "runs", "seed", "costs", "best_cost", "best_state", "reference"),
            *("reference_source", "successes", "success", "success_interval", "time_of_run", "time_to_solution"),
            *("time_interval", "readouts_to_solution", "readouts_interval", "assured", "gap", "distance", "rounds"),
            *("seconds", "warnings"),
        )
        found: dict[str, Any] = {key: _finite(getattr(self, key)) for key in keys}
        if self.digital is not None:
            found["digital"] = {key: _finite(value) for key, value in vars(self.digital).items()}
        return found


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_finite(each) for each in value)
    return None if isinstance(value, float) and not np.isfinite(value) else value


def interval_of(successes: int, runs: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a probability (Clopper and Pearson): it holds the true one at least that often."""
    return clopper_pearson(successes, runs, confidence)


def runs_to_solution(probability: float) -> float:
    """How many runs find, with 99 %, what one finds with a probability; at least one, infinite at 0."""
    if probability >= SURE:
        return 1.0
    return float(np.log1p(-SURE) / np.log1p(-probability)) if probability > 0 else np.inf


def anneal(
    problem: Optimisation | Subject,
    *,
    runs: float = 200,
    seed: Seed = 0,
    schedule: str | Ramp | None = None,
    duration: float | None = None,
    hardware: str | Path | Hardware | None = None,
    architecture: str | None = None,
    task: str | None = None,
    compare: bool = False,
    precision: str = "double",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Annealing:
    """Anneal an optimisation problem on a device, many times.

    Parameters
    ----------
    problem:
        A `spu.Ising`, `spu.QUBO` or `spu.BoundedQuadratic`; a ``.toml`` file of one, or a matrix file (of J, unless
        ``task`` says otherwise); a device that was compiled from one, or what holds or names it.
    runs:
        Independent ones, side by side.
    seed:
        Of the noise: the same one gives the same bits.
    schedule:
        ``noise`` or ``couplings`` in place of the problem's own, or a `spu.Ramp` in seconds of the device. A device
        keeps its ramp unless one is given.
    duration:
        Of ``noise`` or ``couplings``, in units of the network's time; the problem's own unless given.
    hardware, architecture:
        Of a problem: what to compile it on; ``ideal``, or what its file names.
    task:
        Of a matrix file: ``ising`` or ``qubo``.
    compare:
        Set a digital annealer (simulated annealing of ``dwave-samplers``) beside.
    precision, threads, progress:
        As of `spu.simulate`.

    Raises
    ------
    UsageError
        If there is no optimisation problem in what is given, or an option has no meaning for it.
    InputError, Unrealizable
        As reading and compiling do.

    Examples
    --------
    >>> import spu
    >>> ring = [[0, -1, 0, -1], [-1, 0, -1, 0], [0, -1, 0, -1], [-1, 0, -1, 0]]
    >>> found = spu.anneal(spu.Ising(ring), runs=20, duration=30, schedule="couplings")
    >>> found.best_cost, found.assured
    (-4.0, True)
    """
    began = time.perf_counter()
    seed, count = seed_of(seed), cast(int, whole("runs", runs))
    if count < 1:
        raise OptionError("runs", f"must be 1 or more, not {runs!r}")
    precision_of(precision)
    length = positive("duration", duration)
    if isinstance(schedule, str) and schedule not in BY:
        raise OptionError("schedule", f"is {suggest(schedule, BY)}, or a spu.Ramp, not {schedule!r}")
    if not (schedule is None or isinstance(schedule, (str, Ramp))):
        raise OptionError("schedule", "is noise, couplings or a spu.Ramp")
    if isinstance(schedule, Ramp) and length is not None:
        raise OptionError("duration", "is of noise or couplings: a ramp has its own")
    device, posed = _device(problem, schedule, hardware, architecture, task)
    if compare and not isinstance(posed, Ising):
        raise OptionError("compare", "is of spins and bits: what is left within bounds is bounded without")
    found = langevin_of(lower(device))
    words = _set_schedule(device, posed, schedule, length, found.second)
    ramp = cast(Ramp, device.ramp)
    options: dict[str, Any] = {"trajectories": count, "precision": precision, "threads": threads}
    run = simulate(device, times=[ramp.duration / found.second], seed=seed, progress=progress, **options)
    run = cast(NetworkSimulation, run)
    if not run.complete:
        raise KeyboardInterrupt("interrupted before the first run was over")
    common: dict[str, Any] = {
        "variables": posed.variables,
        "task": posed.task,
        "schedule": words,
        "seed": seed,
        "device": device,
    }
    if isinstance(posed, BoundedQuadratic):
        return Annealing(**common, **_bounded(posed, device, run, options, seed, began))
    return Annealing(**common, **_spins(cast(Ising, posed), run, ramp.duration, compare, count, seed, began))


def _device(
    given: Any,
    schedule: str | Ramp | None,
    hardware: str | Path | Hardware | None,
    architecture: str | None,
    task: str | None,
) -> tuple[Device, Optimisation]:
    """A device of one's own, and the problem that it was compiled from."""
    if isinstance(given, (str, Path)) and Path(given).suffix.lower() in (".toml", *MATRIX_SUFFIXES):
        path = Path(given)
        if task is None and path.suffix.lower() != ".toml":
            task = "ising"
        read = read_problem(path, task=task)
        given, hardware = read.problem, hardware or read.hardware
        architecture = architecture or read.architecture
    elif task is not None:
        raise OptionError("task", "is of matrix files: a problem or a device has its own")
    if isinstance(given, Optimisation):
        made = compile_problem(given, hardware or "ideal", architecture=architecture)
        return copy(made.device), given
    for name, option in (("hardware", hardware), ("architecture", architecture)):
        if option is not None:
            raise OptionError(name, "is of problems: a device is on some already")
    held = opened(given)
    device = None if getattr(held, "task", None) else subject_of(held)
    posed = getattr(device, "problem", None)
    if not isinstance(device, Device) or not isinstance(posed, Optimisation):
        raise UsageError(
            "there is nothing to anneal in what was given: pass a spu.Ising, spu.QUBO or spu.BoundedQuadratic, a file "
            "of one, or a device compiled from one"
        )
    if device.ramp is None and schedule is None:
        raise UsageError("the device has no ramp: schedule says how it is annealed (noise, couplings, or a spu.Ramp)")
    return copy(device), posed


def _set_schedule(
    device: Device, posed: Optimisation, schedule: str | Ramp | None, duration: float | None, second: float
) -> str:
    """Give the device its ramp, unless it keeps the one it has; what it does, in words."""
    if isinstance(schedule, Ramp):
        device.ramp = schedule
    elif schedule is not None or duration is not None:
        times, couplers, noise = ramp_of(schedule or posed.by, duration or posed.duration)
        device.ramp = Ramp(times * second, couplers, noise)
    ramp = cast(Ramp, device.ramp)
    if not ramp.duration > 0:
        raise UsageError("the ramp is over at once: an annealing takes time")
    parts = [(key, getattr(ramp, key)) for key in ("couplers", "noise") if ramp.varies(key)]
    said = [
        f"{'couplings' if key == 'couplers' else key} from {values[0]:g} to {values[-1]:g}" for key, values in parts
    ]
    return " and ".join(said) or "nothing changes"


def _spins(
    posed: Ising, run: NetworkSimulation, duration: float, compare: bool, count: int, seed: int, began: float
) -> dict[str, Any]:
    """Costs against the ground state, or the best that is known."""
    states = posed.decode(run.readouts[:, -1])
    costs = posed.cost(states)
    best = int(np.argmin(costs))
    warnings, assured, digital = list(run.warnings), None, None
    if posed.n <= MOST_SPINS:
        counted = posed.ground()
        reference, source, assured = counted.energy, "counted", counted.assured
        if assured is False:
            warnings.append(
                "the lowest minimum of the network is no ground state of the energy: cells are no spins, and two "
                "states are too near to one another; deeper wells (depth) tell them apart"
            )
        elif assured is None:
            warnings.append(
                f"whether the lowest minimum of the network is a ground state is not known: {counted.candidates} "
                "states are near; with deeper wells (depth) there are fewer"
            )
    else:
        reference, source = float(costs[best]), "runs"
    read = None
    if compare or (posed.n > MOST_SPINS and _installed()):
        read = _simulated_annealing(posed, count, seed)
        if source != "counted" and read[0].min() <= reference + posed.tolerance:
            reference, source = min(reference, float(read[0].min())), "digital"
    if compare and read is not None:
        digital = _digital(read, reference + posed.tolerance)
    if source != "counted":
        warnings.append(
            f"{posed.n} spins are too many to count all states: success is against the best that is known, by "
            + ("a digital annealer" if source == "digital" else "these runs themselves")
        )
    successes = int((costs <= reference + posed.tolerance).sum())
    interval = interval_of(successes, count)
    many = runs_to_solution(successes / count)
    readouts = (runs_to_solution(interval[1]), runs_to_solution(interval[0]))
    return {
        "states": states,
        "costs": costs,
        "best_state": states[best],
        "best_cost": float(costs[best]),
        "reference": reference,
        "reference_source": source,
        "successes": successes,
        "success": successes / count,
        "success_interval": interval,
        "time_of_run": duration,
        "time_to_solution": duration * many,
        "time_interval": (duration * readouts[0], duration * readouts[1]),
        "readouts_to_solution": many,
        "readouts_interval": readouts,
        "assured": assured,
        "gap": None,
        "distance": None,
        "rounds": 0,
        "digital": digital,
        "seconds": time.perf_counter() - began,
        "run": run,
        "warnings": tuple(warnings),
    }


def _installed() -> bool:
    try:
        needed("dwave.samplers", "a digital annealer", "annealing")
    except UsageError:
        return False
    return True


def _simulated_annealing(posed: Ising, count: int, seed: int) -> tuple[FloatArray, float]:
    """Costs (count,) of a digital annealer's runs, and s a run."""
    samplers = needed("dwave.samplers", "a digital annealer beside", "annealing")
    i, j = np.nonzero(np.triu(posed.J, 1))
    # Its energy is h s + sum over pairs of J s s: of the other sign.
    fields = {k: -float(value) for k, value in enumerate(posed.h)}
    pairs = {(int(a), int(b)): -float(value) for a, b, value in zip(i, j, posed.J[i, j], strict=True)}
    began = time.perf_counter()
    # In a fixed order walls between domains of a ring walk in step, and never meet.
    options = {"num_reads": count, "seed": seed % 2**31, "randomize_order": True}
    found = samplers.SimulatedAnnealingSampler().sample_ising(fields, pairs, **options)
    seconds = (time.perf_counter() - began) / count
    spins = found.record.sample[:, np.argsort(list(found.variables))]
    return posed.cost(posed.of_spins(spins)), seconds


def _digital(read: tuple[FloatArray, float], goal: float) -> Digital:
    costs, seconds = read
    count, successes = len(costs), int((costs <= goal).sum())
    interval = interval_of(successes, count)
    times = [seconds * runs_to_solution(p) for p in (successes / count, interval[1], interval[0])]
    return Digital(
        "simulated annealing (dwave-samplers)",
        count,
        successes,
        float(costs.min()),
        seconds,
        successes / count,
        interval,
        times[0],
        (times[1], times[2]),
    )


def _bounded(
    posed: BoundedQuadratic, device: Device, run: NetworkSimulation, options: dict[str, Any], seed: int, began: float
) -> dict[str, Any]:
    """Rounds at corrected inputs, until what is left is small or does not fall any more."""
    ramp = cast(Ramp, device.ramp)
    still = copy(device)
    still.ramp = Ramp.constant(ramp.end[0], 0.0)
    settle = _SETTLED * ramp.duration / langevin_of(lower(device)).second
    given, borne = np.array(posed.input), np.zeros(posed.n)
    best, rounds = posed.decode(run.readouts[:, -1].mean(axis=0)), 0
    for _ in range(ROUNDS):
        given, borne = posed.corrected(run.readouts[:, -1].mean(axis=0), given, borne)
        run = cast(
            NetworkSimulation,
            simulate(still, times=[settle], start=run.readouts[:, -1], inputs=([0.0], [given]), seed=seed, **options),
        )
        rounds += 1
        state = posed.decode(run.readouts[:, -1].mean(axis=0))
        if posed.gap(state) < posed.gap(best):
            best = state
        if posed.gap(best) <= _CLOSE * (abs(float(posed.cost(best))) + 1e-300):
            break
    states = posed.decode(run.readouts[:, -1])
    gap, distance = float(posed.gap(best)), float(posed.distance(best))
    warnings = list(run.warnings)
    if gap > 1e-2 * abs(float(posed.cost(best))):
        warnings.append("the gap is wide: a slower ramp gives each round more time to settle")
    return {
        "states": states,
        "costs": posed.cost(states),
        "best_state": best,
        "best_cost": float(posed.cost(best)),
        **dict.fromkeys(("reference", "reference_source", "successes", "success", "success_interval")),
        "time_of_run": ramp.duration * (1 + rounds * _SETTLED),
        **dict.fromkeys(("time_to_solution", "time_interval", "readouts_to_solution", "readouts_interval")),
        "assured": None,
        "gap": gap,
        "distance": distance,
        "rounds": rounds,
        "digital": None,
        "seconds": time.perf_counter() - began,
        "run": run,
        "warnings": tuple(warnings),
    }
