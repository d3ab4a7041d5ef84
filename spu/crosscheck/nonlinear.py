"""The levels of a check for circuits of nonlinear cells.

``ideal``   the equation derived from the device's elements against the network, coefficient by coefficient
``answer``  the netlist's lines against those that the program writes for the device: nobody but ngspice reads them
``op``      transfer curves: the operating point at a sweep of currents into each cell
``ac``      nothing: what small signals do follows from the slopes that ``op`` and ``replay`` see
``replay``  the same noise waveform through both, at finer and finer steps
``noise``   ngspice's own noise: path, sources, and moments up to the fourth
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from spu.base.arrays import FloatArray
from spu.base.files import write_text
from spu.base.process import scratch_folder
from spu.circuit.scales import Scales
from spu.crosscheck.context import FALSE_ALARM, Context
from spu.crosscheck.decks.changes import edits
from spu.crosscheck.levels.noise import DECLARED, HELD
from spu.crosscheck.levels.paths import relative_distances
from spu.crosscheck.levels.recording import SETTLE, declared, run_seed, sampled_and_held
from spu.crosscheck.levels.replay import FALLS, OVERSAMPLING, SAMPLES, noise_waveform, replay_deck, replayed
from spu.crosscheck.result import Level
from spu.crosscheck.statistics.whiteness import Sums, battery
from spu.device.device import Device
from spu.emulator.equations.langevin import Langevin, has_rest, langevin
from spu.emulator.laws.boltzmann import as_network
from spu.emulator.laws.langevin_response import respond
from spu.emulator.laws.rest import steps_to_rest, typical_states
from spu.emulator.laws.timing import NetworkTiming, network_timing
from spu.emulator.runs.noise import normals
from spu.problems.network import ThermodynamicNetwork
from spu.spice.deck import read_deck
from spu.spice.names import probe_vectors
from spu.spice.netlist import netlist
from spu.spice.simulators.analyses import Analysis, DcSweep, DeclaredNoise, Transient, Waveforms

COEFFICIENTS = 1e-9
"""Relative difference of the network's coefficients and the circuit's that passes."""

CURVE = 1e-4
"""Of a transfer curve: the Newton step from ngspice's point to rest, relative to the largest deflection."""

CURVE_POINTS = 21

PATH = 1e-3
"""Path error at the finest step limit, relative to the path's norm."""

LIMITS = (1, 4, 16)
"""Step limits: a piece of the waveform over these. The third only where it is needed."""

FLOOR = 2e-5
"""Below this the path error need not fall any more: ngspice's own tolerances limit it."""

NOISE_SAMPLES = 8192
"""Noise samples in the transient of level ``noise``."""

NOISE_PATH = 5e-3
"""Path error under ngspice's own noise, whose every sample is a jump."""

KINDS = 8
"""Of tests: each has this share of the false-alarm rate."""

TWINS = 100
"""Runs of the emulator that the moments are compared with."""


@dataclass
class NetworkContext(Context):
    """A `Context` of a circuit with nonlinear cells.

    Attributes
    ----------
    network, scales:
        The problem and how the circuit holds it, where it was compiled for one.
    device:
        What the circuit was made of.
    """

    network: ThermodynamicNetwork | None = None
    device: Device | None = None
    scales: Scales | None = None

    curves: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)
    """What level ``op`` measured, a cell each: currents (k,) A into it, and the probes (k, p) V."""
    paths: list[tuple[FloatArray, float, bool, FloatArray]] = field(default_factory=list)
    """What ``replay``, with finer and finer steps, and ``noise`` measured: a waveform, its interval (s), whether it is
    held, and the probes, V."""

    @cached_property
    def equation(self) -> Langevin:
        """The circuit's Langevin equation."""
        return langevin(self.circuit)

    @cached_property
    def times(self) -> NetworkTiming:
        """Its time scales."""
        return network_timing(self.equation)

    @cached_property
    def size(self) -> FloatArray:
        """(n,) how far out coordinates are found."""
        return typical_states(self.equation)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the probe voltages in the flattened netlist."""
        return probe_vectors(self.circuit)

    @property
    def variables(self) -> tuple[str, ...]:
        """Of the readout."""
        return self.equation.readout.variables

    def require(self) -> None:
        """Refuse a circuit that has no equation."""
        self.equation  # noqa: B018

    def corners(self) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Means and covariances in problem units: ideal, emulator (of the twins), ngspice."""
        means, covariances = {}, {}
        if self.network is not None and self.network.solvable:
            means["ideal"], covariances["ideal"] = self.network.moments()
        for name, key in (("emulator", "emulator"), (self.simulator.name, "transient")):
            if key in self.means:
                means[name], covariances[name] = self.means[key], self.covariances[key]
        return means, covariances


def run_ideal(context: NetworkContext) -> Level:
    """Compare the circuit's equation with the network, in problem units."""
    if context.network is None or context.scales is None:
        return Level("ideal", "skipped", "there is no problem.json to compare with")
    wanted = context.network.sped_up(context.scales.speedup)
    found = as_network(context.equation, context.scales)
    off = np.abs(wanted.couplings).max(initial=0.0)
    own = float(np.abs(wanted.stiffness(np.zeros(wanted.n))).max(initial=0.0))
    sizes = {
        "J2": own,
        "J3": wanted.J3,
        "J4": wanted.J4,
        "couplings": off,
        "kT": wanted.kT,
        "mobility": wanted.mobility,
    }
    errors: dict[str, float] = {}
    for key, size in sizes.items():
        scale = float(np.abs(size).max(initial=0.0)) or max(own, 1e-300)
        errors[key] = float(np.abs(np.asarray(getattr(found, key)) - getattr(wanted, key)).max()) / scale
    field = wanted.input - wanted.bias
    errors["field"] = float(np.abs(found.input - found.bias - field).max()) / (float(np.abs(field).max()) or 1.0)
    worst = max(errors, key=lambda key: errors[key])
    return Level(
        "ideal",
        "pass" if errors[worst] <= COEFFICIENTS else "fail",
        f"the circuit's equation against the network's: worst in {worst}, off by {errors[worst]:.2g}",
        errors[worst],
        COEFFICIENTS,
        data={"errors": errors},
    )


def run_operating_point(context: NetworkContext) -> Level:
    """Sweep a current into each cell and compare where everything comes to rest."""
    equation = context.equation
    if not has_rest(equation):
        return Level("op", "skipped", "says nothing here: inductors short every current to ground at DC")
    assert context.deck is not None
    # Currents that push a cell as far as it is ever found.
    push = np.abs(equation.force(context.size[None, :] * np.eye(equation.n)) - equation.field).max(axis=1)
    currents = push / equation.per_ampere
    sources = [f"isweep_{k}" for k in range(equation.n)]
    nodes = [f"cell_{name}" for name in equation.names]
    extra = tuple(f"{source} 0 {node} dc 0" for source, node in zip(sources, nodes, strict=True))
    sweeps = [
        DcSweep(source, -current, current, CURVE_POINTS, context.vectors)
        for source, current in zip(sources, currents.tolist(), strict=True)
    ]
    found = context.run(context.deck.text(extra=extra), *sweeps)
    unit = np.diag(equation.sense)
    worst, where = 0.0, ""
    for k, curve in enumerate(found):
        voltages = np.stack([curve[vector] for vector in context.vectors], axis=1)
        grid = np.linspace(-currents[k], currents[k], CURVE_POINTS)
        if len(voltages) != CURVE_POINTS:
            return Level(
                "op",
                "error",
                f"{context.simulator.name} swept {len(voltages)} of {CURVE_POINTS} currents into {equation.names[k]}",
            )
        context.curves.append((grid, voltages))
        x = voltages / unit
        driven = equation.field + np.outer(grid, (equation.per_ampere * np.eye(equation.n))[k])
        errors = (np.abs(steps_to_rest(equation, x, driven)) / context.size).max(axis=1)
        if errors.max() > worst:
            worst = float(errors.max())
            where = f"{equation.names[k]} driven by {grid[int(errors.argmax())]:.4g} A"
    context.means["op"] = x[CURVE_POINTS // 2]
    return Level(
        "op",
        "pass" if worst <= CURVE else "fail",
        f"transfer curves of {equation.n} cells, {CURVE_POINTS} points each: worst {where}, off by {worst:.2g}",
        worst,
        CURVE,
        data={"points": CURVE_POINTS, "currents": currents.tolist()},
    )


def run_transfer(context: NetworkContext) -> Level:  # noqa: ARG001
    """Nothing to compare."""
    return Level(
        "ac", "skipped", "nonlinear cells have no transfer function; their curves are compared at op and replay"
    )


def run_replay(context: NetworkContext) -> Level:
    """Replay at two or more step limits; the path error must be small and must fall with the limit."""
    equation = context.equation
    if not context.circuit.sources:
        return Level("replay", "skipped", "the device has no noise source")
    interval = max(context.times.fastest, 3.0 * context.times.slowest / SAMPLES)
    waveform = noise_waveform(context, interval)
    piece = interval / OVERSAMPLING
    exact = respond(equation, waveform, piece, hold=False, size=context.size)[::OVERSAMPLING]
    twice = respond(equation, waveform, piece, hold=False, size=context.size, finer=2.0)[::OVERSAMPLING]
    own = float(_errors(twice, exact).max())
    probes = np.diag(equation.sense)
    with scratch_folder("replay") as folder:
        deck = replay_deck(context, waveform, piece, folder)

        def path(limit: int) -> FloatArray:
            return replayed(context, deck, folder, interval, piece / limit, from_zero=True)

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(path, LIMITS[:2]))
        errors = [_errors(each / probes, twice) for each in found]
        if PATH < errors[-1].max() < errors[-2].max() / FALLS:
            found.append(path(LIMITS[2]))
            errors.append(_errors(found[-1] / probes, twice))
    context.paths += [(waveform, piece, False, each) for each in found]
    coarse, fine = float(errors[-2].max()), float(errors[-1].max())
    falls = fine < max(coarse / FALLS, FLOOR)
    verdict = "pass" if fine <= PATH and falls else "inconclusive" if falls else "fail"
    shown = {f"piece/{limit}": float(each.max()) for limit, each in zip(LIMITS, errors, strict=False)}
    worst = equation.names[int(np.argmax(errors[-1]))]
    message = "path error " + ", ".join(f"{error:.2g} at a step limit of {limit}" for limit, error in shown.items())
    message += f" (worst: {worst}; the emulator's own {own:.1g})"
    if verdict == "fail":
        message += "; it does not fall: the difference is not the time step's"
    return Level(
        "replay",
        verdict,
        message,
        fine,
        PATH,
        data={"samples": SAMPLES, "interval": interval, "path_errors": shown, "worst_cell": worst, "emulator": own},
    )


def _errors(found: FloatArray, exact: FloatArray) -> FloatArray:
    """(n,) distance of paths over the norm of the exact one about its mean."""
    return relative_distances(found, exact, exact.mean(axis=0))


def run_noise(context: NetworkContext) -> Level:
    """Run with ngspice's own noise: the path it gives, the sources, and the moments up to the fourth."""
    equation = context.equation
    if not context.circuit.sources:
        return Level("noise", "skipped", "the device has no noise source")
    source = declared(context)
    interval = source.interval
    if not interval > 0:
        return Level("noise", "fail", "the deck's noise sources declare no sample time")
    burn = int(np.ceil(SETTLE * context.times.slowest / interval))
    steps = burn + NOISE_SAMPLES
    assert context.deck is not None
    lines = context.deck.top_level()
    nodes = [lines[element].words[1] for element in context.elements]
    saved = list(dict.fromkeys([*context.vectors, *nodes]))
    transient = Transient(
        stop=steps * interval,
        limit=interval / 8,
        interval=interval,
        vectors=tuple(saved),
        from_zero=True,
        seed=run_seed(context.seed, 0),
    )
    (found,) = context.run(context.deck.text(), transient)
    voltages, noise, held = sampled_and_held(found, list(context.vectors), nodes, interval, steps)
    inputs = np.vstack([noise, noise[-1:]])
    exact = respond(equation, inputs, interval, hold=True, size=context.size)
    path = voltages / np.diag(equation.sense)
    errors = _errors(path, exact)
    context.paths.append((inputs, interval, True, voltages))
    names = [each.name for each in context.circuit.sources]
    white = Sums(len(names))
    white.add(noise / source.rms)
    worst = min(battery(white, names), key=lambda test: test.p_value)
    limit = FALSE_ALARM / KINDS
    unlikely = float(np.log(max(worst.p_value, 1e-300)) / np.log(limit))
    test = _test_moments(context, path[burn + 1 :], interval, source.rms, burn, limit)
    parts: dict[str, tuple[float, float, str]] = {
        "declared": (source.error, DECLARED, f"source {names[source.worst]} is declared with other figures"),
        "held": (held, HELD, "a source does not hold its samples for the sample time it declares"),
        "path": (
            float(errors.max()),
            NOISE_PATH,
            f"driven by {context.simulator.name}'s own noise, a path is off by {errors.max():.2g}",
        ),
        "sources": (unlikely, 1.0, f"noise source {worst.where}: its {worst.name} is off (p = {worst.p_value:.2g})"),
        "moments": (test.statistic, 1.0, f"{test.what} is not what such noise gives"),
    }
    failed = [key for key, (error, tolerance, _) in parts.items() if not error <= tolerance]
    message = "; ".join(parts[key][2] for key in failed) or (
        f"path within {errors.max():.2g} of the emulator's on the same noise ({len(names)} sources, {steps} samples); "
        f"sources white and level (p = {worst.p_value:.2g}); {test.count} moments up to the fourth within the scatter "
        f"of {TWINS} runs of the "
        f"emulator (would see {test.detectable:.2g} in a variance)"
    )
    key = failed[0] if failed else "path"
    return Level(
        "noise",
        "fail" if failed else "pass",
        message,
        parts[key][0],
        parts[key][1],
        false_alarm_rate=FALSE_ALARM,
        detects={"variance": test.detectable, "path": NOISE_PATH},
        data={
            "failed": failed,
            "path_error": float(errors.max()),
            "sample_time": interval,
            "samples": steps,
            "moments": {
                "count": test.count,
                "statistic": test.statistic,
                "worst": test.what,
                "smallest_detectable": test.detectable,
                "false_alarm_rate": limit,
            },
        },
    )


@dataclass(frozen=True)
class _MomentTest:
    statistic: float
    what: str
    count: int
    detectable: float


def _test_moments(
    context: NetworkContext, path: FloatArray, interval: float, rms: float, burn: int, rate: float
) -> _MomentTest:
    """Time-averaged moments of one run against those of runs of the emulator under noise of the same kind.

    Each moment is compared by Student's t with `TWINS` - 1 degrees of freedom, at the false-alarm ``rate``
    shared among all (Bonferroni). Time averages over many relaxation times are nearly normal.
    """
    equation = context.equation
    names = context.variables
    found, labels = _moments(path, names)
    width = len(context.circuit.sources)
    steps = burn + len(path)

    def twin(number: int) -> tuple[FloatArray, FloatArray]:
        noise = rms * normals(context.seed, steps + 1, width, purpose=TWIN, trajectory=number)
        own = respond(equation, noise, interval, hold=True, size=context.size, finer=0.125)[burn + 1 :]
        return _moments(own, names)[0], own

    with ThreadPoolExecutor(2) as pool:
        twins = list(pool.map(twin, range(TWINS)))
    each = np.stack([moments for moments, _ in twins])
    spread = each.std(axis=0, ddof=1)
    threshold = float(-stdtrit(TWINS - 1, rate / len(found) / 2)) * np.sqrt(1 + 1 / TWINS)
    gap = np.abs(found - each.mean(axis=0))
    ratio = gap / np.where(spread > 0, spread * threshold, np.inf)
    worst = int(np.argmax(ratio))
    n = equation.n
    variance = slice(n, 2 * n)
    detectable = float(((threshold + 2.33) * spread[variance] / each.mean(axis=0)[variance]).max())
    read = equation.read
    context.means["transient"] = read(path.mean(axis=0))
    context.covariances["transient"] = np.atleast_2d(np.cov(read(path).T))
    every = read(np.concatenate([own for _, own in twins]))
    context.means["emulator"], context.covariances["emulator"] = every.mean(axis=0), np.atleast_2d(np.cov(every.T))
    return _MomentTest(float(ratio[worst]), labels[worst], len(found), detectable)


TWIN = 3
"""The purpose of the noise of these runs (`spu.emulator.runs.noise`)."""


def _moments(path: FloatArray, names: tuple[str, ...]) -> tuple[FloatArray, list[str]]:
    """Mean, central moments 2 to 4 of each coordinate, covariances of pairs; and what they are called."""
    mean = path.mean(axis=0)
    deviation = path - mean
    rows, columns = np.triu_indices(len(mean), 1)
    covariance = deviation.T @ deviation / len(path)
    powers = [(deviation**k).mean(axis=0) for k in (2, 3, 4)]
    ordinals = ("the mean", "the variance", "the third moment", "the fourth moment")
    labels = [f"{what} of {name}" for what in ordinals for name in names]
    labels += [f"the covariance of {names[i]} and {names[j]}" for i, j in zip(rows, columns, strict=True)]
    return np.concatenate([mean, *powers, covariance[rows, columns]]), labels


_NAMED = 4


def run_answer(context: NetworkContext) -> Level:
    """Compare the netlist's elements and parameters with those that the program writes for this device.

    No reader but ngspice takes nonlinear cells. Levels ``op``, ``replay`` and ``noise`` see what they do near rest and
    in the time that these run; lines that the program did not write may do more, and are named.
    """
    assert context.deck is not None
    if context.device is None:
        return Level("answer", "skipped", "only ngspice reads nonlinear cells, and there is no device to write them")
    with scratch_folder("check") as folder:
        path = folder / "written.cir"
        write_text(path, netlist(context.device))
        foreign = edits(read_deck(path), context.deck)
    if not foreign:
        return Level("answer", "pass", "its elements and parameters are those that the program writes for this device")
    named = "; ".join(map(str, foreign[:_NAMED])) + (f"; and {len(foreign) - _NAMED} more" if foreign[_NAMED:] else "")
    return Level(
        "answer",
        "inconclusive",
        f"only ngspice reads nonlinear cells, and these lines are not as the program writes them: {named}; what they "
        "do beyond the currents of op and the time that replay and noise run was not looked at",
    )


NEEDS: dict[str, tuple[type[Analysis], ...]] = {
    "op": (DcSweep,),
    "replay": (Transient, Waveforms),
    "noise": (DeclaredNoise, Transient),
}
"""Of the simulator, by level; others need none."""

LEVELS: dict[str, Callable[[NetworkContext], Level]] = {
    "ideal": run_ideal,
    "answer": run_answer,
    "op": run_operating_point,
    "ac": run_transfer,
    "replay": run_replay,
    "noise": run_noise,
}
