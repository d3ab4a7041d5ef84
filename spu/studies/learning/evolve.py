r"""Evolution: a layered network learns a function y(z) by a genetic algorithm.

The network has layers of units, each coupled to all units of the next, both ways: the couplings are symmetric and there
is an energy. All units start at 0. The number z goes into the first layer, ``I_i = W_i z``; what is read is
``y = sum_i f_i <x_i(t_f)>`` over the last layer. Couplings, biases, W and f are what evolves (Whitelam and Casert,
arXiv 2412.17183).

The error of an individual is the mean over the points z of ``(y(z) - y_0(z))^2``, divided by nothing: that of ``y = 0``
is the mean of ``y_0^2``, which is 1/2 for a cosine, the plateau on which evolution begins. From m trajectories a point
the square of a mean is too large by the variance of the mean; an estimate of that (``s^2 / m``) is taken off, so the
expectation is the error of infinitely many trajectories, whatever m. (It may come out below 0.) With the error as it is
few trajectories would select for a small readout: y = 0 has no variance. With the estimate taken off they would select
for large variance, which is the luckiest, once errors are small. So trajectories are doubled whenever what is taken off
the best error is more than a tenth of it, up to a limit.

In a generation all individuals see the same noise (common random numbers), and in the next one another. Errors then
differ by what individuals are, and not by what befell them. With `shared_noise` the points see the same noise, too:
what noise does to a mean at all z alike is a constant, which does not correlate with a target whose mean is 0. On
individuals of the plateau that takes a tenth off the spread of differences, as a hundred times the trajectories would.

An error found in a generation is the smallest of many, and so partly luck. What is reported of the champion is
measured afterwards: on noise of its own, independent at all points, at other points, at a tenth of the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.display import Result
from spu.base.errors import InputError, OptionError, UsageError
from spu.base.kernels.door import Precision
from spu.base.names import shorten
from spu.emulator.equations.langevin import langevin_of_network
from spu.emulator.runs.langevin_run import Grid, Schedule, run
from spu.problems.matrix_files import read_table
from spu.problems.network import ThermodynamicNetwork
from spu.problems.trained import TrainedNetwork
from spu.studies.campaign import Study, open_study, seed_of_piece
from spu.studies.learning.genetic import brood, fittest, founders

__all__ = ["PUBLISHED", "Evolution", "EvolutionSettings", "Layers", "Target", "evolve", "read_target"]

TARGETS: dict[str, Callable[[FloatArray], FloatArray]] = {"cosine": lambda z: np.cos(2 * np.pi * z)}
"""Functions of z from -1/2 to 1/2, by name."""

MEASURED = (250, 128)
"""Points and trajectories a point on which the champion is measured."""

WATCHED = (64, 128)
"""The same over time, and where it is asked whether evolution may end."""

FINER = 10
"""How much finer the steps of these are."""

_ASKED = 5
"""Generations between two questions whether the champion is good enough."""

_GENERATION, _QUESTION, _REPORT, _NOTCH, _COLD = range(5)
"""Purposes of noise."""

_PIECES = 10
"""Pieces of a generation, if an individual is not a piece of its own."""

_FINITE = 0.1
"""What may be taken off an error for finitely many trajectories, of what is left."""

_LONG = 1e9
"""Neuron-steps of an individual that is a piece of its own, and kept until its generation is finished."""

MOST_UNITS = 1000


@dataclass(frozen=True)
class EvolutionSettings:
    """How evolution goes; the defaults are a reduced setting that takes minutes on two processors.

    Attributes
    ----------
    layers:
        Units of each layer.
    J:
        (J2, J3, J4) of all units.
    beta:
        1/kT; infinite without noise.
    duration, step, scheme:
        When y is read, and the steps of evolution.
    population, keep, elite:
        Individuals of a generation, how many of them have descendants, and how many of these go on unchanged as well.
    deviation:
        Standard deviation of changes, of what has a fan-in of 1.
    points, trajectories:
        z of a target that is a function, and trajectories at each in the beginning.
    most_trajectories:
        As many at each at most.
    shared_noise:
        Whether all points see the same noise.
    precision:
        Number format of the runs of evolution; what is reported is measured in double precision.
    seed:
        Of all random numbers.
    """

    layers: tuple[int, ...] = (8, 8)
    J: tuple[float, float, float] = (1.0, 0.0, 1.0)
    beta: float = 10.0
    duration: float = 1.0
    step: float = 0.01
    scheme: str = "euler-maruyama"
    population: int = 50
    keep: int = 5
    elite: int = 1
    deviation: float = 0.1
    points: int = 12
    trajectories: int = 32
    most_trajectories: int = 256
    shared_noise: bool = True
    precision: Precision = "double"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _layers(self.layers))
        for name, least in (
            ("population", 2),
            ("keep", 1),
            ("elite", 0),
            ("points", 2),
            ("trajectories", 2),
            ("most_trajectories", 2),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise OptionError(name, f"is {shorten(value)}: it must be a whole number, {least} or more")
        for name in ("beta", "duration", "step", "deviation"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and value > 0 and (value < math.inf or name == "beta")):
                raise OptionError(name, f"is {shorten(value)}: it must be positive and finite")
        if self.population <= self.keep:
            raise OptionError("population", f"is {self.population}: it must be more than are kept ({self.keep})")
        if self.elite > self.keep:
            raise OptionError("elite", f"is {self.elite}: at most those that are kept ({self.keep})")
        if self.most_trajectories < self.trajectories:
            raise OptionError("most_trajectories", f"is {self.most_trajectories}: less than there are in the beginning")
        if self.step > self.duration:
            raise OptionError("step", f"is {self.step:g}: it must not be longer than the duration ({self.duration:g})")
        if self.scheme not in ("euler-maruyama", "heun"):
            raise OptionError("scheme", f"is {shorten(self.scheme)}: euler-maruyama or heun")
        if self.precision not in ("double", "single"):
            raise OptionError("precision", f"is {shorten(self.precision)}: double or single")
        if self.precision == "single" and self.beta == math.inf:
            raise OptionError("precision", "single is for noise far above rounding, and without any: double")

    @property
    def neuron_steps(self) -> int:
        """Steps of single units that an individual takes with one trajectory a point."""
        return self.points * sum(self.layers) * math.ceil(self.duration / self.step - 1e-9)


PUBLISHED: Mapping[str, Any] = {
    "layers": (8, 8, 8, 8),
    "step": 1e-3,
    "elite": 0,
    "points": 250,
    "trajectories": 1000,
    "most_trajectories": 1000,
    "shared_noise": False,
}
"""What is different in the published setting."""

PUBLISHED_GENERATIONS = 400
"""About as many as the published evolution takes to escape."""

TRILLION = 1e12
"""Trajectories of larger tasks that are spoken of."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be learnt.

    Attributes
    ----------
    name:
        Of a function, or of a file.
    z, y:
        (k,) points.
    """

    name: str
    z: Annotated[FloatArray, "k"]
    y: Annotated[FloatArray, "k"]

    @property
    def plateau(self) -> float:
        """The error of y = 0."""
        return float(np.mean(self.y**2))

    def at(self, points: int) -> Target:
        """A function at so many points, the middles of equal intervals; a file's as they are."""
        return self if self.name not in TARGETS else read_target(self.name, points)


def read_target(target: str | Path, points: int = 12) -> Target:
    """A function by name at so many points, or a ``.csv`` file of z and y.

    Raises
    ------
    InputError
        If there is no such function, or the file is no table of two columns of finite numbers.
    """
    if str(target) in TARGETS:
        z = (np.arange(points) + 0.5) / points - 0.5
        return Target(str(target), z, TARGETS[str(target)](z))
    path = Path(target)
    if path.suffix.lower() != ".csv":
        raise InputError(f"no target {shorten(str(target))}: {', '.join(TARGETS)}, or a .csv file of columns z and y")
    table = read_table(path, ".csv")
    values = np.asarray(table.values)
    if values.ndim != 2 or values.shape[1] != 2 or table.names not in (None, ("z", "y")):
        raise InputError("has not the two columns z and y, in this order", file=path)
    if len(values) < 2:
        raise InputError(f"has {len(values)} row: at least 2 points are needed", file=path)
    if not np.isfinite(values).all():
        raise InputError("holds numbers that are not finite", file=path)
    if not values[:, 1].any():
        raise InputError("y is 0 at all points: there is nothing to learn", file=path)
    return Target(path.name, values[:, 0].copy(), values[:, 1].copy())


class Layers:
    """Networks of these layers as rows of numbers: couplings, biases, weights of the input, readout.

    Parameters
    ----------
    settings:
        Layers, potential and temperature.

    Attributes
    ----------
    length:
        Numbers of an individual.
    scale : (length,)
        The inverse root of the fan-in of each: units of the layer before of couplings, those of the last of the
        readout, 1 of biases and of weights, which act alone.
    """

    def __init__(self, settings: EvolutionSettings) -> None:
        widths = settings.layers
        self.settings = settings
        starts = np.cumsum([0, *widths])
        self.units = int(starts[-1])
        self.first, self.last = slice(0, widths[0]), slice(int(starts[-2]), self.units)
        pairs = [
            (i, j)
            for k in range(len(widths) - 1)
            for i in range(starts[k], starts[k + 1])
            for j in range(starts[k + 1], starts[k + 2])
        ]
        self.rows, self.columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        fan_in = [np.full(widths[k] * widths[k + 1], widths[k]) for k in range(len(widths) - 1)]
        alone = np.ones(self.units + widths[0])
        self.scale = np.concatenate([*fan_in, alone, np.full(widths[-1], widths[-1])]) ** -0.5
        self.length = len(self.scale)
        self.names = tuple(f"l{k + 1}u{i + 1}" for k, width in enumerate(widths) for i in range(width))

    def network(
        self, genome: Annotated[FloatArray, "p"]
    ) -> tuple[ThermodynamicNetwork, Annotated[FloatArray, "n 1"], Annotated[FloatArray, "n"]]:
        """The network, the weights of its input and the readout of (length,) numbers."""
        couplings = np.zeros((self.units, self.units))
        pairs, rest = np.split(genome, [len(self.rows)])
        couplings[self.rows, self.columns] = couplings[self.columns, self.rows] = pairs
        bias, into, out = np.split(rest, [self.units, self.units + self.settings.layers[0]])
        weights, readout = np.zeros((self.units, 1)), np.zeros(self.units)
        weights[self.first, 0], readout[self.last] = into, out
        kT = 1 / self.settings.beta
        network = ThermodynamicNetwork(*self.settings.J, bias=bias, couplings=couplings, kT=kT, variables=self.names)
        return network, weights, readout


def outputs(
    network: ThermodynamicNetwork,
    weights: Annotated[FloatArray, "n 1"],
    readout: Annotated[FloatArray, "n"],
    z: Annotated[FloatArray, "k"],
    *,
    times: Annotated[FloatArray, "t"],
    step: float,
    trajectories: int,
    seed: int,
    scheme: str = "euler-maruyama",
    shared_noise: bool = False,
    precision: Precision = "double",
) -> Annotated[FloatArray, "t k m"]:
    """What each trajectory reads, (times, points, trajectories).

    Raises
    ------
    UsageError
        If the steps blow up, or noise is too small for single precision.
    """
    equation = langevin_of_network(network)
    own = np.repeat(z[:, None] @ weights.T, trajectories, axis=0)
    grid = Grid.of(times, np.empty(0), lambda middle: np.full_like(middle, step), refined=False)
    with np.errstate(all="ignore"):  # of those that blow up
        paths = run(
            equation,
            grid=grid,
            trajectories=len(own),
            seed=seed,
            scheme=scheme,
            schedule=Schedule(np.zeros(1), equation.field[None, :], own=own),
            precision=precision,
            ghosts=False,  # what is reported is measured with finer steps
            distinct=trajectories if shared_noise else None,
            advice="a smaller step, or smaller changes, are needed",
        )
    return np.asarray(paths.states @ readout).reshape(len(times), len(z), trajectories)


def errors_of(
    found: Annotated[FloatArray, "*s k m"], y: Annotated[FloatArray, "k"]
) -> tuple[Annotated[FloatArray, "*s"], Annotated[FloatArray, "*s"]]:
    """Errors of outputs (..., points, trajectories), without the part of finitely many, and their standard errors.

    The standard errors are of noise that is independent at all points.
    """
    count = found.shape[-1]
    gap, variance = found.mean(axis=-1) - y, found.var(axis=-1, ddof=1) / count
    own = 4 * gap**2 * variance + 2 * variance**2
    return (gap**2 - variance).mean(axis=-1), np.sqrt(own.sum(axis=-1)) / len(y)


def evaluate(item: Mapping[str, Any], shared: tuple[EvolutionSettings, FloatArray, FloatArray]) -> dict[str, Any]:
    """The errors of some individuals of a generation, infinite where the steps blow up: one piece.

    ``finite`` is what was taken off for finitely many trajectories.
    """
    settings, z, y = shared
    layers = Layers(settings)
    errors = np.full(len(item["genomes"]), np.inf)
    finite = np.zeros(len(errors))
    for k, genome in enumerate(item["genomes"]):
        with suppress(UsageError):
            found = outputs(
                *layers.network(genome),
                z,
                times=np.array([settings.duration]),
                step=settings.step,
                trajectories=item["trajectories"],
                seed=item["seed"],
                scheme=settings.scheme,
                shared_noise=settings.shared_noise,
                precision=settings.precision,
            )
            errors[k] = errors_of(found[0], y)[0]
            finite[k] = found[0].var(axis=-1, ddof=1).mean() / item["trajectories"]
    return {"errors": errors, "finite": finite}


@dataclass(frozen=True, eq=False)
class Notch:
    """The champion's error by when it is read.

    Attributes
    ----------
    times:
        (t,) from near 0 to twice the duration, which is among them.
    error, bar:
        (t,) on the same noise, and standard errors.
    duration:
        When it was trained to be read.
    """

    times: Annotated[FloatArray, "t"]
    error: Annotated[FloatArray, "t"]
    bar: Annotated[FloatArray, "t"]
    duration: float

    @property
    def lowest(self) -> float:
        """When the error is lowest."""
        return float(self.times[np.argmin(self.error)])

    @property
    def at_duration(self) -> float:
        """The error when it was trained to be read."""
        return float(np.interp(self.duration, self.times, self.error))

    def depth(self, share: float) -> float:
        """The smaller of the errors ``share`` of the duration before and after it, over that at it."""
        sides = np.interp([(1 - share) * self.duration, (1 + share) * self.duration], self.times, self.error)
        return float(min(sides) / max(self.at_duration, 1e-12))

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "times": self.times,
            "error": self.error,
            "standard_error": self.bar,
            "lowest": self.lowest,
            "at_duration": self.at_duration,
            "depth_20_percent": self.depth(0.2),
            "depth_50_percent": self.depth(0.5),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Evolution(Result):
    """What evolution gave.

    Attributes
    ----------
    trained:
        The champion.
    settings:
        How evolution went.
    target:
        On the points of evolution.
    history:
        (g,) the smallest error of each generation, on its own noise: partly luck.
    trajectories:
        (g,) trajectories a point of each generation.
    z, y, y_bar:
        (k,) points, what the champion gives and its standard errors.
    wanted:
        (k,) what it should give.
    error, bar:
        Of the champion, on noise of its own, at a tenth of the step; standard error.
    coarse, coarse_bar:
        The same at the step of evolution.
    cold:
        The error without noise, kT = 0: what noise has to do with it.
    notch:
        The error by when it is read.
    reached:
        Whether it ended as the error was small enough, and not as the generations were over; None where nothing was
        asked for.
    rate:
        Neuron-steps a second of this session; None where all was there already.
    workers:
        Who did it.

    Examples
    --------
    >>> import spu
    >>> small = {"layers": [2, 2], "population": 4, "keep": 1, "trajectories": 4, "duration": 0.1}
    >>> found = spu.evolve("cosine", **small, generations=1)
    >>> bool(found.error > 0.4), found.escaped  # a plateau is not escaped in one generation
    (True, None)
    """

    trained: TrainedNetwork
    settings: EvolutionSettings
    target: Target
    history: Annotated[FloatArray, "g"]
    trajectories: Annotated[IntArray, "g"]
    z: Annotated[FloatArray, "k"]
    y: Annotated[FloatArray, "k"]
    y_bar: Annotated[FloatArray, "k"]
    wanted: Annotated[FloatArray, "k"]
    error: float
    bar: float
    coarse: float
    coarse_bar: float
    cold: float
    notch: Notch
    reached: bool | None
    rate: float | None
    workers: str

    in_short = ("error", "bar", "generations")

    @property
    def generations(self) -> int:
        """How many there were."""
        return len(self.history)

    @property
    def escaped(self) -> int | None:
        """The first generation whose smallest error is below 0.8 of the plateau; None if none is."""
        below = np.flatnonzero(self.history < 0.8 * self.target.plateau)
        return int(below[0]) if len(below) else None

    @cached_property
    def scaling(self) -> list[dict[str, Any]]:
        """What others take, in runs and neuron-steps, and on one machine such as this in seconds."""
        published = replace(self.settings, **PUBLISHED)
        units = sum(published.layers)
        steps = math.ceil(published.duration / published.step - 1e-9)
        own = self.settings.neuron_steps * self.settings.population
        theirs = published.neuron_steps * published.trajectories * published.population
        rows = [
            (f"this evolution, {self.generations} generations", own * int(self.trajectories.sum())),
            ("a generation, published setting", theirs),
            (f"{PUBLISHED_GENERATIONS} generations, published setting", theirs * PUBLISHED_GENERATIONS),
            ("1e12 runs, published step", int(TRILLION) * units * steps),
        ]
        return [
            {"what": what, "neuron_steps": count, "seconds": None if self.rate is None else count / self.rate}
            for what, count in rows
        ]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: arrays stay arrays."""
        return {
            "target": self.target.name,
            "plateau": self.target.plateau,
            "error": self.error,
            "standard_error": self.bar,
            "error_at_step": self.coarse,
            "standard_error_at_step": self.coarse_bar,
            "error_without_noise": self.cold,
            "generations": self.generations,
            "escaped": self.escaped,
            "reached": self.reached,
            "history": self.history,
            "trajectories": self.trajectories,
            "z": self.z,
            "y": self.y,
            "y_standard_error": self.y_bar,
            "wanted": self.wanted,
            "notch": self.notch.to_dict(),
            "neuron_steps_per_second": self.rate,
            "workers": self.workers,
            "scaling": self.scaling,
            "settings": asdict(self.settings),
        }


def evolve(
    target: str | Path = "cosine",
    directory: str | Path | None = None,
    *,
    published: bool = False,
    generations: int = 1000,
    until: float | None = 0.007,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> Evolution:
    """Let a layered network learn a function by a genetic algorithm.

    Parameters
    ----------
    target:
        ``cosine``, which is cos(2 pi z) for z from -1/2 to 1/2, or a ``.csv`` file with the columns z and y.
    directory:
        For ``trained.npz`` and the study, which goes on where it was when the same is called again; None keeps nothing.
    published:
        Begin from the published settings instead of the reduced ones: `PUBLISHED`.
    generations:
        At most so many; a study may be given more, and goes on.
    until:
        Ends when the error, measured on fresh noise at a tenth of the step, is as small; None asks nothing.
    cluster, threads, restart, progress:
        As `spu.studies.campaign.open_study`; no bit hangs on the first two.
    settings:
        Of `EvolutionSettings`.

    Raises
    ------
    InputError, OptionError
        If the target or an option makes no sense, or the folder is of another study.
    UsageError
        If the steps of all individuals blow up.

    Examples
    --------
    >>> import spu
    >>> small = {"layers": [2, 2], "population": 4, "keep": 1, "trajectories": 4, "duration": 0.1}
    >>> found = spu.evolve("cosine", **small, generations=2)
    >>> found.trained.purpose, found.generations
    ('regression', 2)
    """
    known = EvolutionSettings.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise OptionError(name, f"is none of evolution's: {', '.join(known)}")
    if isinstance(generations, bool) or not isinstance(generations, (int, np.integer)) or generations < 1:
        raise OptionError("generations", f"is {shorten(generations)}: it must be a whole number, 1 or more")
    if until is not None and not (isinstance(until, (int, float)) and 0 < until < math.inf):
        raise OptionError("until", f"is {shorten(until)}: it must be a positive error")
    if str(target) not in TARGETS and settings.get("points") is not None:
        raise OptionError("points", "are those of the file")
    chosen = EvolutionSettings(**{**(PUBLISHED if published else {}), **settings})
    aim = read_target(target, chosen.points)
    if str(target) not in TARGETS:
        chosen = replace(chosen, points=len(aim.z))
    spec = {**asdict(chosen), "target": aim.name, "z": aim.z.tolist(), "y": aim.y.tolist()}
    with open_study(
        directory, "evolve", spec, cluster=cluster, threads=threads, restart=restart, progress=progress
    ) as study:
        course = _Course(study, chosen, aim)
        reached = course.go(generations, until)
        found = course.champion(reached)
    if directory is not None:
        found.trained.save(directory)
    return found


class _Course:
    """Generations, one after the other."""

    def __init__(self, study: Study, settings: EvolutionSettings, target: Target) -> None:
        self.study, self.settings, self.target = study, settings, target
        self.layers = Layers(settings)
        self.deviations = settings.deviation * self.layers.scale
        self.parents: FloatArray | None = None
        self.history: list[float] = []
        self.trajectories: list[int] = []
        self.many = settings.trajectories
        self.seconds = self.done = 0.0
        resumed = study.resumed()
        if resumed is not None:
            arrays, info = resumed
            self.parents, self.history = arrays["parents"], arrays["history"].tolist()
            self.trajectories, self.many = arrays["trajectories"].tolist(), info["many"]

    def go(self, generations: int, until: float | None) -> bool | None:
        """Go on; whether the error has become as small."""
        settings = self.settings
        self.study.progress(len(self.history), generations)
        while len(self.history) < generations:
            if until is not None and self._reached(until):
                break
            number = len(self.history)
            if self.parents is None:
                people = founders(settings.seed, settings.population, self.deviations)
            else:
                people = brood(
                    self.parents,
                    settings.population,
                    elite=settings.elite,
                    deviations=self.deviations,
                    seed=settings.seed,
                    generation=number,
                )
            errors, finite = self._errors(people, number)
            order = fittest(errors, settings.keep)
            self.parents = people[order]
            self.history.append(float(errors[order[0]]))
            self.trajectories.append(self.many)
            long = self._long
            if finite[order[0]] > _FINITE * max(0.0, errors[order[0]]):
                self.many = min(2 * self.many, settings.most_trajectories)
            if long or self.study.due() or len(self.history) == generations:
                self._keep()
            if long:
                self.study.forget(f"generation-{number}")
            self.study.progress(len(self.history), generations, f"error {self.history[-1]:.4g}")
        self._keep()
        return None if until is None else self._reached(until)

    def _keep(self) -> None:
        if self.parents is not None:
            arrays = {"history": np.array(self.history), "trajectories": np.array(self.trajectories, dtype=np.int64)}
            self.study.checkpoint({"parents": self.parents, **arrays}, {"many": self.many})

    @property
    def _long(self) -> bool:
        """Whether an individual is a piece of its own."""
        return self.settings.neuron_steps * self.many >= _LONG

    def _errors(self, people: FloatArray, number: int) -> tuple[FloatArray, FloatArray]:
        settings, long = self.settings, self._long
        size = 1 if long else math.ceil(len(people) / _PIECES)
        seed = seed_of_piece(settings.seed, _GENERATION, number)
        items = [
            {"genomes": people[k : k + size], "trajectories": self.many, "seed": seed}
            for k in range(0, len(people), size)
        ]
        shared = (settings, self.target.z, self.target.y)
        begun = time.perf_counter()
        if long:
            found = self.study.pieces(f"generation-{number}", evaluate, items, shared=shared)
        else:
            found = self.study.workers.map(evaluate, items, shared=shared)
        self.seconds += time.perf_counter() - begun
        self.done += float(settings.neuron_steps) * self.many * len(people)
        errors, finite = (np.concatenate([each[key] for each in found]) for key in ("errors", "finite"))
        if not np.isfinite(errors).any():
            raise UsageError(
                f"all individuals of generation {number} blow up at a step of {settings.step:g}"
                f"{', or are not for single precision' if settings.precision == 'single' else ''}: "
                "a smaller step, or smaller changes, are needed"
            )
        return errors, finite

    def _reached(self, until: float) -> bool:
        """Whether the champion's error on fresh noise is as small; asked now and then, if its own is."""
        if self.parents is None or self.history[-1] > until or len(self.history) % _ASKED:
            return False
        target = self.target.at(WATCHED[0])
        seed = seed_of_piece(self.settings.seed, _QUESTION, len(self.history))
        try:
            found = self._fresh(target, np.array([self.settings.duration]), WATCHED[1], seed)
        except UsageError:  # it blows up on other noise
            return False
        return bool(errors_of(found, target.y)[0][0] <= until)

    def _fresh(
        self, target: Target, times: FloatArray, trajectories: int, seed: int, finer: int = FINER, cold: bool = False
    ) -> FloatArray:
        """Outputs of the champion on noise that is independent at all points."""
        assert self.parents is not None
        settings = replace(self.settings, beta=math.inf, precision="double") if cold else self.settings
        return outputs(
            *Layers(settings).network(self.parents[0]),
            target.z,
            times=times,
            step=settings.step / finer,
            trajectories=trajectories,
            seed=seed,
            scheme=settings.scheme,
        )

    def champion(self, reached: bool | None) -> Evolution:
        """Measure the first parent."""
        settings = self.settings
        assert self.parents is not None
        seeds = {purpose: seed_of_piece(settings.seed, purpose, 0) for purpose in (_REPORT, _NOTCH, _COLD)}
        end = np.array([settings.duration])
        target = self.target.at(MEASURED[0])
        fine = self._fresh(target, end, MEASURED[1], seeds[_REPORT])[0]
        error, bar = (float(each) for each in errors_of(fine, target.y))
        coarse = self._fresh(target, end, MEASURED[1], seeds[_REPORT], finer=1)[0]
        coarse_error, coarse_bar = (float(each) for each in errors_of(coarse, target.y))
        still = self._fresh(target, end, 2, seeds[_COLD], cold=True)[0]
        cold = float(errors_of(still, target.y)[0])
        seen = self.target.at(WATCHED[0])
        near = np.array([0.95, 0.98, 1.02, 1.05])
        times = settings.duration * np.unique(np.concatenate([np.arange(1, 41) / 20, near]))
        notch = Notch(times, *errors_of(self._fresh(seen, times, WATCHED[1], seeds[_NOTCH]), seen.y), settings.duration)
        network, weights, readout = self.layers.network(self.parents[0])
        measured = {
            "error": error,
            "standard_error": bar,
            "error_at_step": coarse_error,
            "error_without_noise": cold,
            "plateau": self.target.plateau,
            "generations": len(self.history),
        }
        trained = TrainedNetwork(
            network=network,
            purpose="regression",
            duration=settings.duration,
            step=settings.step,
            scheme=settings.scheme,
            weights=weights,
            readout=readout,
            settings={**asdict(settings), "target": self.target.name},
            measured=measured,
        )
        return Evolution(
            trained=trained,
            settings=settings,
            target=self.target,
            history=np.array(self.history),
            trajectories=np.array(self.trajectories, dtype=np.int64),
            z=target.z,
            y=fine.mean(axis=-1),
            y_bar=fine.std(axis=-1, ddof=1) / math.sqrt(fine.shape[-1]),
            wanted=target.y,
            error=error,
            bar=bar,
            coarse=coarse_error,
            coarse_bar=coarse_bar,
            cold=cold,
            notch=notch,
            reached=reached,
            rate=self.done / self.seconds if self.done else None,
            workers=self.study.workers.words,
        )


def _layers(given: Any) -> tuple[int, ...]:
    try:
        found = tuple(given)
        whole = all(isinstance(each, (int, np.integer)) and not isinstance(each, bool) and each > 0 for each in found)
    except TypeError:
        found, whole = (), False
    if not found or not whole or sum(found) > MOST_UNITS:
        raise OptionError("layers", f"are {shorten(given)}: units of each, whole and positive, {MOST_UNITS} in all")
    return tuple(int(each) for each in found)
