"""What a trained classifier, or a device compiled of one, answers; and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arguments import positive, seed_of, whole
from spu.base.arrays import FloatArray, IntArray
from spu.base.display import Result
from spu.base.errors import InputError, OptionError, UsageError
from spu.emulator.equations.langevin import Langevin
from spu.emulator.runs.langevin_run import Grid, Schedule, run
from spu.problems.images import Images, read_images
from spu.problems.trained import TrainedNetwork
from spu.studies.learning.classifier import images_of
from spu.studies.learning.hardware import on_hardware
from spu.studies.learning.subject import learned

__all__ = ["Classification", "Reading", "classify", "wilson"]

_PIECE = 2500
"""Images that run together."""

_NORMAL = 1.959963984540054
"""Half of the width, in deviations, of what holds 95 %."""

_FINER = 5
"""Steps of a run for one of the training."""

_DRAWS = 5

_MOST_READINGS = 2000


@dataclass(frozen=True)
class Reading:
    """The answers under one condition.

    Attributes
    ----------
    time, average:
        When outputs were read, and of how many independent trajectories their means were taken.
    kT, bits, mismatch, draws:
        The condition: bits and mismatch of `on_hardware`, and how many boards were drawn.
    images, right:
        How many there are, of all boards together, and how many of the answers are right.
    accuracy, low, high:
        Their share, and what holds the share of all such images with 95 % (Wilson, 1927), of the boards at hand.
    spread:
        Standard deviation of the accuracy from board to board; None of one board.
    """

    time: float
    average: int
    kT: float
    bits: int | None
    mismatch: float
    draws: int
    images: int
    right: int
    accuracy: float
    low: float
    high: float
    spread: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Classification(Result):
    """Answers of a classifier.

    Attributes
    ----------
    classes:
        Their names.
    answers:
        (k,) of the images, by the last time, the largest average and the first condition.
    outputs:
        (k, c) means of the outputs then.
    labels:
        (k,) what is right; None where nobody said.
    confusion:
        (c, c) images by what they are (rows) and what was answered; None without labels.
    readings:
        One for each condition, time and average.
    step, scheme, seed:
        Of the runs.
    device:
        Whether the equation was that of a device.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> learnt = spu.TrainedNetwork(network=spu.ThermodynamicNetwork(units=2, kT=0.0), purpose="classifier",
    ...                             duration=0.2, step=5e-3, weights=[[1.0, 0.0], [0.0, 1.0]], outputs=[0, 1],
    ...                             classes=("left", "right"))
    >>> found = spu.classify(learnt, np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), [0, 1])
    >>> found.best.accuracy, found.confusion.tolist()
    (1.0, [[1, 0], [0, 1]])
    """

    classes: tuple[str, ...]
    answers: Annotated[IntArray, "k"]
    outputs: Annotated[FloatArray, "k c"]
    labels: Annotated[IntArray, "k"] | None
    confusion: Annotated[IntArray, "c c"] | None
    readings: tuple[Reading, ...]
    step: float
    scheme: str
    seed: int
    device: bool

    in_short = ("classes", "readings")

    @property
    def best(self) -> Reading:
        """Of the last time, the largest average and the first condition.

        Raises
        ------
        UsageError
            If there were no labels.
        """
        if not self.readings:
            raise UsageError("there were no labels, so nobody knows what is right")
        first = self.readings[0]
        same = [each for each in self.readings if _condition(each) == _condition(first)]
        return max(same, key=lambda each: (each.time, each.average))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "classes": list(self.classes),
            "images": len(self.answers),
            "answers": self.answers,
            "confusion": self.confusion,
            "readings": [asdict(each) for each in self.readings],
            "average_of": "outputs of independent trajectories",
            "step": self.step,
            "scheme": self.scheme,
            "seed": self.seed,
            "device": self.device,
        }


def _condition(reading: Reading) -> tuple[Any, ...]:
    return reading.kT, reading.bits, reading.mismatch


def wilson(right: int, count: int) -> tuple[float, float]:
    """Where a probability lies with 95 %, of which ``right`` of ``count`` trials came true (Wilson, 1927)."""
    share, square = right / count, _NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def classify(
    subject: Any,
    images: Images | str | Path | Annotated[ArrayLike, "m h w"],
    labels: Annotated[ArrayLike, "m"] | str | Path | None = None,
    *,
    times: float | Sequence[float] | None = None,
    average: int | Sequence[int] = 1,
    kT: float | Sequence[float] | None = None,
    bits: int | Sequence[int | None] | None = None,
    mismatch: float | Sequence[float] = 0.0,
    draws: int = _DRAWS,
    limits: Mapping[str, float] | None = None,
    step: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Classification:
    """Ask a classifier what images show; each image is the field of a trajectory of its own.

    Parameters
    ----------
    subject:
        A trained network, its folder, or a folder compiled of it: then the equation is the device's.
    images, labels:
        As of `train_classifier`; without labels there are answers only.
    times:
        When outputs are read, in the network's time; the trained duration unless given.
    average:
        Independent trajectories of an image whose outputs are averaged.
    kT:
        Of the bath; the network's own unless given. At 0 nothing is random, and one trajectory is all.
    bits, mismatch, draws, limits:
        Of boards, as of `on_hardware`: every combination is tried, on so many draws where there is mismatch. Not for
        devices, which have theirs.
    step:
        Of Euler-Maruyama; a fifth of that in training unless given.
    seed, threads, progress:
        As of `simulate`.

    Raises
    ------
    InputError
        If images do not fit the network, or labels the images or the classes.
    UsageError
        If an option is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> network = spu.ThermodynamicNetwork(units=2, kT=0.0)
    >>> learnt = spu.TrainedNetwork(network=network, purpose="classifier", duration=0.2, step=5e-3,
    ...                             weights=[[1.0, 0.0], [0.0, 1.0]], outputs=[0, 1], classes=("left", "right"))
    >>> spu.classify(learnt, np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).answers
    array([0, 1])
    """
    held = learned(subject)
    trained = held.trained
    if trained.purpose != "classifier":
        raise InputError(f"this network is {trained.purpose}, not a classifier: spu train classifier makes one")
    assert trained.weights is not None and trained.outputs is not None
    given = _given(images, labels, trained)
    own = trained.network.kT
    moments = np.unique([float(each) for each in _several("times", times, trained.duration)])
    if not (np.isfinite(moments).all() and (moments > 0).all()):
        raise OptionError("times", "must be positive")
    averages = sorted({whole("average", each) or 0 for each in _several("average", average, 1)})
    if not 1 <= averages[0] <= averages[-1] <= 10_000:
        raise OptionError("average", "must be 1 to 10000 trajectories")
    temperatures = [float(each) for each in _several("kT", kT, own)]
    if not all(0 <= each < math.inf for each in temperatures):
        raise OptionError("kT", "must be 0 or more")
    boards = [(b, float(m)) for b in _several("bits", bits, None) for m in _several("mismatch", mismatch, 0.0)]
    if held.device is not None and any(b is not None or m for b, m in boards):
        raise OptionError("bits", "and mismatch are not for devices: compile the trained folder with them")
    draws = whole("draws", draws) or 0
    if draws < 1:
        raise OptionError("draws", f"must be 1 or more, not {draws}")
    if len(boards) * len(temperatures) * len(moments) * len(averages) > _MOST_READINGS:
        raise OptionError("times", f"and conditions make more than {_MOST_READINGS} readings")
    h = positive("step", step) or trained.step / _FINER
    seed = seed_of(seed)
    readings: list[Reading] = []
    kept: FloatArray | None = None
    plan = [(b, m, t) for b, m in boards for t in temperatures]
    total = sum((draws if m else 1) * (averages[-1] if t else 1) for _, m, t in plan) * len(given)
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    for b, m, temperature in plan:
        hits = []
        for draw in range(draws if m else 1):
            board = held
            if b is not None or m:
                board = learned(on_hardware(trained, b, m, draw, limits=limits))
            equation = _at(board.equation, own, temperature)
            counts = averages if temperature else averages[:1]
            means = _outputs(board.trained, equation, given, moments, counts, h, seed, threads, temperature > 0, told)
            if kept is None:
                kept = means[-1, -1]
            if given.labels is not None:
                hits.append((means.argmax(axis=3) == given.labels).sum(axis=2))
        for place, count in enumerate(counts if hits else ()):
            for at, moment in enumerate(moments):
                each = np.array([found[place, at] for found in hits])
                right, images_in_all = int(each.sum()), len(given) * len(each)
                low, high = wilson(round(float(each.mean())), len(given))
                spread = float(each.std(ddof=1)) / len(given) if len(each) > 1 else None
                readings.append(
                    Reading(
                        *(float(moment), count, temperature, b, m, len(each), images_in_all, right),
                        *(right / images_in_all, low, high, spread),
                    )
                )
    assert kept is not None
    answers = kept.argmax(axis=1)
    confusion = None
    if given.labels is not None:
        confusion = np.zeros((len(trained.classes), len(trained.classes)), dtype=np.int64)
        np.add.at(confusion, (given.labels, answers), 1)
    return Classification(
        trained.classes,
        answers,
        kept,
        given.labels,
        confusion,
        tuple(readings),
        h,
        "euler-maruyama",
        seed,
        held.device is not None,
    )


def _several(name: str, given: Any, default: Any) -> list[Any]:
    """One or several of something, as a list."""
    if given is None:
        return [default]
    found = list(given) if isinstance(given, (list, tuple, np.ndarray)) else [given]
    if not found:
        raise OptionError(name, "is an empty list: give one at least, or nothing for the default")
    for each in found:
        if each is not None and (isinstance(each, (bool, str)) or not isinstance(each, (int, float, np.number))):
            raise OptionError(name, f"must be numbers, not {each!r}")
    return found


def _given(images: Any, labels: Any, trained: TrainedNetwork) -> Images:
    if isinstance(images, (str, Path)):
        images = read_images(images, labels)
        labels = None
    elif not isinstance(images, Images):
        images = Images(pixels=np.asarray(images, dtype=np.float64))
    if labels is not None or images.labels is not None:
        images = images_of(images, labels, len(trained.classes))
    assert trained.weights is not None
    found: Images = images
    rows, columns = found.shape
    fits = found.shape == trained.shape if trained.shape is not None else rows * columns == trained.weights.shape[1]
    if not fits:
        wanted = "x".join(map(str, trained.shape)) if trained.shape else str(trained.weights.shape[1])
        raise InputError(
            f"images have {rows}x{columns} pixels, and the network was trained with {wanted}", file=found.source or None
        )
    return found


def _at(equation: Langevin, own: float, kT: float) -> Langevin:
    """The equation in a bath of another temperature."""
    if kT == own:
        return equation
    if not own:
        raise OptionError("kT", "of this network is 0, and nothing says which noise another one is")
    return replace(equation, noise=equation.noise * math.sqrt(kT / own))


def _outputs(
    trained: TrainedNetwork,
    equation: Langevin,
    images: Images,
    times: FloatArray,
    averages: Sequence[int],
    h: float,
    seed: int,
    threads: int | None,
    noisy: bool,
    told: Callable[[int], None],
) -> FloatArray:
    """(averages, times, images, outputs) means of outputs."""
    assert trained.weights is not None and trained.outputs is not None
    found = np.empty((len(averages), len(times), len(images), len(trained.outputs)))
    grid = Grid.of(times, np.empty(0), lambda middle: np.full(len(middle), h), False)
    for begin in range(0, len(images), _PIECE):
        part = slice(begin, min(len(images), begin + _PIECE))
        own = trained.scaled(images.flat[part]) @ trained.weights.T
        total = np.zeros((len(times), len(own), len(trained.outputs)))
        for repeat in range(averages[-1] if noisy else 1):
            number = int(np.random.default_rng([seed, begin, repeat]).integers(2**62))
            paths = run(
                equation,
                grid=grid,
                trajectories=len(own),
                seed=number,
                scheme="euler-maruyama",
                schedule=Schedule(np.zeros(1), equation.field[None, :], own),
                ghosts=False,
                precision="single" if noisy else "double",
                threads=threads,
                advice="a smaller step is needed",
            )
            total += paths.states[:, :, trained.outputs]
            told(len(own))
            if repeat + 1 in averages:
                found[list(averages).index(repeat + 1), :, part] = total / (repeat + 1)
        if not noisy:
            found[:, :, part] = total
    return found
