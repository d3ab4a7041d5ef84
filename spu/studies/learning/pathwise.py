"""The gradient of a classifier's loss through its noisy steps, a batch of images at a time.

A unit's input is ``bias + W s`` of the image's pixels s; W is of the hidden units alone. Couplings are symmetric among
all units. The steps are Euler-Maruyama's, from 0 to the time at which the outputs are read, and the loss is the
cross-entropy of ``gain`` times the outputs; its exact gradient on the noise that was drawn comes from
`spu.emulator.runs.adjoint`.

A batch is cut into `SHARDS` shards whatever the number of threads or workers, each with a seed of its own, and their
sums are taken in order.

With a board in mind (bits, mismatch, limits) the network that runs is the one that a board would hold
(`spu.studies.learning.hardware.on_hardware`, another board for every batch), and its gradient is taken for that of the
real numbers behind it: rounding is passed straight through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.kernels.door import Precision
from spu.base.threads import one_blas_thread
from spu.emulator.equations.langevin import langevin_of_network
from spu.emulator.runs.adjoint import Pathwise
from spu.problems.network import ThermodynamicNetwork
from spu.problems.trained import TrainedNetwork
from spu.studies.learning.hardware import on_hardware
from spu.studies.learning.optimiser import Parameters

SHARDS = 4
"""Parts of a batch, and so the most workers at one; in one process each takes all threads."""

_MOST_ROOMS = 8

_FIRST_WEIGHT, _FIRST_COUPLING = 0.8, 0.3
"""Deviations of the field of an image of unit variance on a hidden unit, and of couplings, where training starts."""

PERMUTATION, NOISE, BOARD, START, SHIFT, TEACHER, GUIDE = range(7)
"""Purposes of random numbers of a training."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is trained, and how it is run.

    Attributes
    ----------
    hidden, classes, pixels:
        Units that feel the image, names of the classes (an output each), numbers of an image.
    J2, J4, kT:
        Of all units.
    duration, step:
        When outputs are read, and the step of the scheme until then.
    gain:
        Factor on the outputs in the cross-entropy.
    bits, mismatch, limits:
        Of the board in mind, as of `on_hardware`.
    shape:
        Of the images.
    offset, factor:
        Of the pixels, as of `TrainedNetwork`.
    seed:
        Of everything random.
    precision:
        Number format of the steps and of the way back; sums are doubles.
    """

    hidden: int
    classes: tuple[str, ...]
    pixels: int
    shape: tuple[int, int] | None
    offset: float = 0.0
    factor: float = 1.0
    J2: float = 1.0
    J4: float = 1.0
    kT: float = 1.0
    duration: float = 0.2
    step: float = 5e-3
    gain: float = 5.0
    bits: int | None = None
    mismatch: float = 0.0
    limits: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    precision: Precision = "single"

    @property
    def units(self) -> int:
        """Hidden and output units."""
        return self.hidden + len(self.classes)

    @property
    def steps(self) -> int:
        """Until outputs are read."""
        return max(1, round(self.duration / self.step))

    @property
    def aware(self) -> bool:
        """Whether a board is kept in mind."""
        return self.bits is not None or self.mismatch > 0

    def random(self, purpose: int, *numbers: int) -> np.random.Generator:
        """Random numbers for a purpose, at an address."""
        return np.random.default_rng([self.seed, purpose, *numbers])

    def first(self) -> Parameters:
        """What training starts from."""
        random, n = self.random(START), self.units
        couplings = random.normal(0.0, _FIRST_COUPLING, (n, n))
        couplings = np.triu(couplings, 1)
        weights = random.normal(0.0, _FIRST_WEIGHT / self.pixels**0.5, (self.hidden, self.pixels))
        return {"couplings": couplings + couplings.T, "weights": weights, "bias": np.zeros(n)}

    def network(self, parameters: Parameters, **settings: Any) -> TrainedNetwork:
        """The network of parameters."""
        n, names = self.units, tuple(f"h{k}" for k in range(1, self.hidden + 1))
        weights = np.zeros((n, self.pixels))
        weights[: self.hidden] = parameters["weights"]
        return TrainedNetwork(
            network=ThermodynamicNetwork(
                self.J2,
                0.0,
                self.J4,
                input=parameters["bias"],
                couplings=parameters["couplings"],
                kT=self.kT,
                variables=(*names, *(f"class_{k}" for k in range(len(self.classes)))),
            ),
            purpose="classifier",
            duration=self.duration,
            step=self.duration / self.steps,
            weights=weights,
            outputs=np.arange(self.hidden, n),
            shape=self.shape,
            offset=self.offset,
            factor=self.factor,
            classes=self.classes,
            **settings,
        )

    def board(self, parameters: Parameters, batch: int) -> TrainedNetwork:
        """The network of parameters as the board of a batch holds it."""
        found = self.network(parameters)
        if not self.aware:
            return found
        seed = int(self.random(BOARD, batch).integers(2**31))
        return on_hardware(found, self.bits, self.mismatch, seed, limits=self.limits)

    def within(self, parameters: Parameters) -> Parameters:
        """Parameters inside the limits, which no gradient brings back from beyond."""
        return {
            key: np.clip(value, -self.limits[key], self.limits[key]) if key in self.limits else value
            for key, value in parameters.items()
        }


class Shard(NamedTuple):
    """A part of a batch: the network that runs, pixels (b, m), labels (b,), the noise's seed, and how it is run."""

    trained: TrainedNetwork
    inputs: FloatArray
    labels: IntArray
    seed: int
    steps: int
    gain: float
    precision: Precision


class Slope(NamedTuple):
    """Sums over images: the loss, right answers, and the gradient by ``couplings`` (n, n), ``weights``, ``bias``."""

    loss: float
    right: int
    gradient: Parameters


def cross_entropy(outputs: FloatArray, labels: IntArray, gain: float) -> tuple[FloatArray, FloatArray]:
    """Of the softmax of ``gain`` times outputs (b, k): values (b,) and slopes by the outputs (b, k)."""
    scaled = gain * (outputs - outputs.max(axis=1, keepdims=True))
    total = np.exp(scaled).sum(axis=1)
    rows = np.arange(len(labels))
    slopes = gain * np.exp(scaled) / total[:, None]
    slopes[rows, labels] -= gain
    return np.log(total) - scaled[rows, labels], slopes


_rooms: dict[tuple[int, int, int, Precision], Pathwise] = {}
"""Of this process: room for paths is large, and used again by the next batch."""


@one_blas_thread()
def slope_of_shard(shard: Shard) -> Slope:
    """The loss of a shard and its gradient, by the elements of the network that runs: J_ij and J_ji apart."""
    trained, outputs = shard.trained, shard.trained.outputs
    assert trained.weights is not None and outputs is not None
    size = (trained.network.n, len(shard.labels), shard.steps, shard.precision)
    if size not in _rooms:
        if len(_rooms) >= _MOST_ROOMS:
            _rooms.clear()
        _rooms[size] = Pathwise(*size[:3], precision=shard.precision)
    room = _rooms[size]
    x = room.forward(
        langevin_of_network(trained.network),
        trained.duration / shard.steps,
        shard.seed,
        own=shard.inputs @ trained.weights.T,
    )
    if not np.isfinite(x).all():
        return Slope(math.nan, 0, {})
    values, at_outputs = cross_entropy(x[:, outputs], shard.labels, shard.gain)
    slopes = np.zeros_like(x)
    slopes[:, outputs] = at_outputs
    found = room.backward(slopes)
    right = int((x[:, outputs].argmax(axis=1) == shard.labels).sum())
    weights = found.field.T @ shard.inputs
    return Slope(
        float(values.sum()), right, {"couplings": found.stiffness, "weights": weights, "bias": found.field.sum(axis=0)}
    )


def slope_of_batch(
    setting: Setting,
    parameters: Parameters,
    inputs: FloatArray,
    labels: IntArray,
    batch: int,
    each: Callable[[Callable[[Shard], Slope], Sequence[Shard]], Sequence[Slope]],
) -> Slope:
    """Mean loss of a batch (b, m) and its gradient by the parameters; ``each`` maps a function over shards.

    The gradient by a coupling is that of J_ij and J_ji together.
    """
    trained = setting.board(parameters, batch)
    seeds = setting.random(NOISE, batch).integers(2**62, size=SHARDS)
    parts = [part for part in np.array_split(np.arange(len(labels)), SHARDS) if len(part)]
    shards = [
        Shard(trained, inputs[part], labels[part], int(seed), setting.steps, setting.gain, setting.precision)
        for part, seed in zip(parts, seeds, strict=False)
    ]
    found = list(each(slope_of_shard, shards))
    count = len(labels)
    loss = sum(slope.loss for slope in found) / count
    if not math.isfinite(loss):
        return Slope(loss, 0, {})
    total = {key: np.sum([slope.gradient[key] for slope in found], axis=0) / count for key in found[0].gradient}
    couplings = total["couplings"] + total["couplings"].T
    np.fill_diagonal(couplings, 0.0)
    gradient = {"couplings": couplings, "weights": total["weights"][: setting.hidden], "bias": total["bias"]}
    return Slope(loss, sum(slope.right for slope in found), gradient)
