"""Images from noise: a trained network, or the device that was compiled of one, runs, and its visible units are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import CircuitError, InputError, UsageError
from spu.base.interrupt import Interrupt
from spu.base.kernels.door import Precision
from spu.compiler.polynomial import NetworkCompilation
from spu.emulator.runs.langevin_run import Grid, run
from spu.folder import Folder
from spu.problems.trained import TrainedNetwork
from spu.studies.energy import Ledger, counts_of, energy_ledger, reference_of
from spu.studies.learning.generative import patterns_of
from spu.studies.learning.measures import Likeness, likeness, shares, spread
from spu.studies.learning.noising import Noising
from spu.studies.learning.sampled import start_of
from spu.studies.learning.subject import Learned, learned

__all__ = ["Generation", "generate"]

MOST_NUMBERS = 100_000_000
"""States that are kept at most: 800 MB."""


@dataclass(frozen=True, eq=False, repr=False)
class Generation(Result):
    """Images that a network made from noise.

    Attributes
    ----------
    pixels:
        (k, m) as read, on the scale of the units.
    start:
        (k, m) where visible units began.
    heat:
        (k,) ``V(start) - V(end)`` in kT, of all units; None where couplings are not reciprocal, so that there is no V.
    kind:
        Whose heat: "thermal" of the network as such, "physical" of a circuit that stores V, "model" of one that does
        not.
    ledger:
        What an image costs.
    likeness:
        To the training images.
    patterns, labels, classes:
        (t, m) training images, the class of each, and the classes.
    shape:
        Of an image.
    duration, step, scheme, precision, seed:
        Of the run, in the network's time.
    seconds:
        Wall time.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> crosses = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[1, 0, 1], [0, 1, 0], [1, 0, 1]]])
    >>> learnt = spu.train_generative(crosses, hidden=6, step=5e-3)
    >>> made = spu.generate(learnt, images=20)
    >>> made.pixels.shape, made.heat.shape, made.likeness.best.shape
    ((20, 9), (20,), (20,))
    """

    pixels: Annotated[FloatArray, "k m"]
    start: Annotated[FloatArray, "k m"]
    heat: Annotated[FloatArray, "k"] | None
    kind: str
    ledger: Ledger
    likeness: Likeness
    patterns: Annotated[FloatArray, "t m"]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    shape: tuple[int, int]
    duration: float
    step: float
    scheme: str
    precision: str
    seed: int
    seconds: float

    in_short = ("shape", "images", "duration", "seed")

    @property
    def images(self) -> int:
        """How many."""
        return len(self.pixels)

    @cached_property
    def balance(self) -> dict[str, float]:
        """Share of each class: that of the nearest training image."""
        return shares(self.likeness.nearest, self.labels, self.classes)

    @property
    def diversity(self) -> tuple[float | None, float | None]:
        """Of the generated images and of the training images: 0 if all are one image or its inverse, 1 at most."""
        return spread(self.pixels), spread(self.patterns)

    @property
    def copies(self) -> str:
        """What may be said of copying, in words."""
        count = len(self.patterns)
        if count <= 10:
            return (
                f"trained on {count} images: it recalls them, with noise, and the distance to the nearest says how "
                "well; nothing new is made"
            )
        return f"trained on {count} images: a distance to the nearest near 0 would be a copy"

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files."""
        near = self.likeness
        made, trained = self.diversity
        heat = None
        if self.heat is not None:
            heat = {"unit": "kT", "of": self.kind, **_spread(self.heat)}
        return {
            "images": self.images,
            "training_images": len(self.patterns),
            "shape": list(self.shape),
            "correlation": _spread(np.abs(near.best)),
            "signed_correlation": _spread(near.signed),
            "inverted": near.inverted,
            "classes": self.balance,
            "diversity": {"generated": made, "training": trained},
            "distance": {**_spread(near.distances), "smallest": float(near.distances.min())},
            "copies": self.copies,
            "heat": heat,
            "energy": self.ledger.to_dict(),
            **{key: getattr(self, key) for key in ("duration", "step", "scheme", "precision", "seed", "seconds")},
        }


def _spread(values: FloatArray) -> dict[str, float | None]:
    """Mean, deviation and standard error of the mean."""
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    error = None if deviation is None else deviation / len(values) ** 0.5
    return {"mean": float(values.mean()), "deviation": deviation, "error": error}


def generate(
    subject: Learned | TrainedNetwork | NetworkCompilation | Folder | str | Path,
    *,
    images: int = 64,
    duration: float | None = None,
    step: float | None = None,
    precision: Precision = "double",
    energy: str | Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Generation:
    """Make images: units start apart from one another, at kT, then the couplings act for the duration.

    The start is drawn from the law that the units have without couplings and without biases, which is where noising
    ends. The heat of an image is ``V(start) - V(end)``, couplings and biases in V, from both states in doubles.

    Parameters
    ----------
    subject:
        A trained network, its folder, or the device that was compiled of one: then its own equation is run.
    images:
        How many.
    duration, step:
        In the network's time; those of training unless given.
    precision:
        Number format of the run (`spu.emulator.runs.langevin_run`).
    energy:
        File of prices (`spu.studies.energy`).
    seed:
        Of start and noise.
    threads, progress:
        As in `simulate`.

    Raises
    ------
    InputError
        If the network is none that makes images.
    UsageError
        For numbers that are not as said, and steps at which it blows up.

    Examples
    --------
    See `Generation`.

    >>> import numpy as np
    >>> import spu
    >>> learnt = spu.train_generative(np.eye(3)[None] * [[[1.0]], [[0.5]]], hidden=3, step=5e-3)
    >>> spu.generate(learnt, images=4).images
    4
    """
    began = time.perf_counter()
    found = learned(subject)
    trained, equation, network = found.trained, found.equation, found.trained.network
    if trained.purpose != "generative" or trained.visible is None or trained.shape is None:
        raise InputError(f"this network is a {trained.purpose}: spu train generative makes one that makes images")
    if isinstance(images, bool) or not isinstance(images, (int, np.integer)) or images < 1:
        raise UsageError(f"images must be a whole number, 1 or more, not {images!r}")
    if images * network.n > MOST_NUMBERS:
        raise UsageError(f"{images} images of {network.n} units are too many: {MOST_NUMBERS // network.n} at most")
    if seed < 0:
        raise UsageError(f"seed must not be negative, not {seed!r}")
    patterns, labels = patterns_of(trained)
    for name, value in (("duration", duration), ("step", step)):
        if value is not None and not 0 < value < np.inf:
            raise UsageError(f"{name} must be positive and finite, not {value!r}")
    length, size = duration or trained.duration, step or trained.step
    J2, J3, J4 = (float(array.mean()) for array in (network.J2, network.J3, network.J4))
    alone = Noising(J2, J3, J4, kT=network.kT, duration=length, step=size)
    start = start_of(alone, np.zeros(network.n), images, seed)
    scheme = trained.scheme if equation.mass is None else "baoab"
    grid = Grid.of(np.array([length]), np.empty(0), lambda middle: np.full(len(middle), size), False)
    with Interrupt() as interrupt:
        paths = run(
            equation,
            grid=grid,
            trajectories=images,
            seed=seed,
            scheme=scheme,
            start=start,
            precision=precision,
            threads=threads,
            progress=progress,
            interrupted=lambda: interrupt.seen,
            advice=f"--step {size / 10:.2g} would do",
        )
    if not len(paths.times):
        raise KeyboardInterrupt("interrupted before the images were there")
    end = paths.states[-1]
    heat = None
    with suppress(CircuitError):  # couplings that are not reciprocal have no potential, and no heat
        heat = (equation.potential(start) - equation.potential(end)) / network.kT
    kind = "thermal"
    if found.device is not None:
        kind = "model" if found.device.architecture == "rc-conductance" else "physical"
    seconds = None if found.second is None else length * found.second
    ledger = energy_ledger(
        heat=heat,
        kind=kind,
        counts=counts_of(trained, served=images, seconds=seconds, thermal=kind != "model"),
        reference=reference_of(trained, energy)[0],
        reference_is=reference_of(trained, energy)[1],
        per="image",
        assumptions=energy,
    )
    pixels = end[:, trained.visible]
    return Generation(
        pixels,
        start[:, trained.visible],
        heat,
        kind,
        ledger,
        likeness(pixels, patterns),
        patterns,
        labels,
        tuple(dict.fromkeys(labels)),
        trained.shape,
        length,
        grid.largest,
        scheme,
        precision,
        seed,
        time.perf_counter() - began,
    )
