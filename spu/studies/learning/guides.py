r"""Classifiers from guide trajectories: a teacher says where units should go, and a quadratic loss takes them there.

The teacher is a plain network of two hidden layers of tanh. Each thermodynamic unit stands for one of its neurons: half
of the hidden units for either layer, an output for each class. A unit's guide is the noiseless path from 0 of a unit by
itself in a field proportional to the neuron's argument, which rises as the guides of the layer before have risen. The
loss of a step (arXiv 2509.15324) is that of the probability that the network takes the guide's step,

    sum_i (dx_i - mu f_i(x) dt)^2 / (4 mu kT dt),

which is quadratic in couplings J, weights W and biases b: with F_i the field that the guide needs, it is
``(F - (b + W s - J x))^2`` up to a factor. It is averaged over images, times and the noise that a unit will have about
its guide, and solved by conjugate gradients under the constraints: J symmetric without a diagonal, W of hidden units.

Units that have learnt do not quite go along their guides. So the loss is solved again a few times with the states where
the network of the last solution goes, with its noise, in place of the guides', and with the same fields wanted there.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import UsageError
from spu.emulator.equations.langevin import langevin_of_network
from spu.emulator.runs.langevin_run import Grid, Schedule, run
from spu.studies.learning.optimiser import Adam, Parameters
from spu.studies.learning.pathwise import GUIDE, TEACHER, Setting, cross_entropy

_TEACHER_RATE = 4e-3

_FIELD = (240.0, 120.0, 30.0)
"""Root mean square of the fields of the two hidden layers and of the outputs, kT: far above noise."""

_TIMES = 8
"""Instants of a guide that the loss is averaged over."""

_CHUNK = 4096

_ROUNDS = 3
"""Times that the loss is solved again on the states where the network goes."""

_RIDGE = 1e-4
"""Added to the loss: so much of the mean square of a pixel, times the squared weight."""

_OUTPUTS = 10.0
"""Weight of an output's share of the loss, which answers; a hidden unit's is 1."""

_ITERATIONS = 400

_CLOSE = 1e-6


class Layers(NamedTuple):
    """A teacher's matrices (to, from) and biases."""

    matrices: tuple[FloatArray, FloatArray, FloatArray]
    biases: tuple[FloatArray, FloatArray, FloatArray]


def arguments(teacher: Layers, inputs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What the neurons of each layer take, (k, width) each, for inputs (k, m)."""
    first = inputs @ teacher.matrices[0].T + teacher.biases[0]
    second = np.tanh(first) @ teacher.matrices[1].T + teacher.biases[1]
    return first, second, np.tanh(second) @ teacher.matrices[2].T + teacher.biases[2]


def slope_of_teacher(teacher: Layers, inputs: FloatArray, labels: IntArray) -> tuple[float, Layers]:
    """Mean cross-entropy of a teacher, and its gradient."""
    first, second, outputs = arguments(teacher, inputs)
    one, two = np.tanh(first), np.tanh(second)
    values, back = cross_entropy(outputs, labels, 1.0)
    back = back / len(labels)
    at_two = (back @ teacher.matrices[2]) * (1 - two**2)
    at_one = (at_two @ teacher.matrices[1]) * (1 - one**2)
    slopes = (at_one, at_two, back)
    matrices = tuple(slope.T @ given for slope, given in zip(slopes, (inputs, one, two), strict=True))
    biases = tuple(slope.sum(axis=0) for slope in slopes)
    return float(values.mean()), Layers(matrices, biases)


def _parameters(layers: Layers) -> Parameters:
    return {f"matrix{k}": each for k, each in enumerate(layers.matrices)} | {
        f"bias{k}": each for k, each in enumerate(layers.biases)
    }


def _layers(parameters: Parameters) -> Layers:
    matrices, biases = (tuple(parameters[f"{kind}{k}"] for k in range(3)) for kind in ("matrix", "bias"))
    return Layers(matrices, biases)  # type: ignore[arg-type]


def taught(setting: Setting, recipe: Mapping[str, Any], inputs: FloatArray, labels: IntArray, study: Any) -> Layers:
    """A teacher, by Adam."""
    random = setting.random(TEACHER)
    sizes = (setting.pixels, setting.hidden // 2, setting.hidden - setting.hidden // 2, len(setting.classes))
    matrices = tuple(random.normal(0.0, a**-0.5, (b, a)) for a, b in pairwise(sizes))
    parameters = _parameters(Layers(matrices, tuple(np.zeros(size) for size in sizes[1:])))  # type: ignore[arg-type]
    size, epochs = int(recipe["batch"]), int(recipe["epochs"])
    batches = max(1, len(labels) // size)
    adam = Adam(_TEACHER_RATE, epochs * batches)
    for epoch in range(epochs):
        order = random.permutation(len(labels))
        loss = 0.0
        for place in range(batches):
            chosen = order[place * size : (place + 1) * size]
            loss, slope = slope_of_teacher(_layers(parameters), inputs[chosen], labels[chosen])
            parameters = adam.stepped(parameters, _parameters(slope))
        study.progress(epoch + 1, epochs + _ROUNDS + 1, f"teacher's loss {loss:.4g}")
    return _layers(parameters)


def guides(setting: Setting, wanted: tuple[FloatArray, FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Paths (times, k, n) of units in fields wanted of the three layers (k, width), and the fields then.

    Each is at the end of one of `_TIMES` equal parts of the duration.
    """
    count, steps = len(wanted[0]), setting.steps * 5
    h = setting.duration / steps
    rise = np.ones(3)
    x = np.zeros((count, setting.units))
    ends = np.rint(np.linspace(0, steps, _TIMES + 1)[1:]).astype(int)
    paths, fields = [], []
    typical, settled = np.zeros(2), _settled(setting)
    for step in range(1, steps + 1):
        rise[1:] = typical / settled
        field = np.concatenate([share * each for share, each in zip(rise, wanted, strict=True)], axis=1)
        x = x + h * (field - (2 * setting.J2 + 4 * setting.J4 * x * x) * x)
        drive = rise[:2] * np.array(_FIELD[:2])
        typical = typical + h * (drive - (2 * setting.J2 + 4 * setting.J4 * typical**2) * typical)
        if step in ends:
            paths.append(x)
            fields.append(field)
    return np.array(paths), np.array(fields)


def _settled(setting: Setting) -> FloatArray:
    """(2,) where a unit of either hidden layer comes to rest in the typical field."""
    found = [np.roots([4 * setting.J4, 0.0, 2 * setting.J2, -field]) for field in _FIELD[:2]]
    return np.array([float(roots[np.abs(roots.imag) < 1e-9].real.max()) for roots in found])


class Normal(NamedTuple):
    """Normal equations: sums of products of features (-x, s, 1), and of the fields wanted (n, .) with them."""

    gram: FloatArray
    aims: FloatArray


def solved(setting: Setting, normal: Normal, start: FloatArray) -> FloatArray:
    """The row of (couplings, weights, bias) of each unit that makes the loss least, by conjugate gradients."""
    n, hidden = setting.units, setting.hidden

    def allowed(rows: FloatArray) -> FloatArray:
        """Symmetric couplings without a diagonal, no weights of outputs."""
        found = rows.copy()
        found[:, :n] = (rows[:, :n] + rows[:, :n].T) / 2
        np.fill_diagonal(found[:, :n], 0.0)
        found[hidden:, n:-1] = 0.0
        return found

    weight = np.where(np.arange(n) < hidden, 1.0, _OUTPUTS)[:, None]
    size = weight * np.diag(normal.gram)
    size[:, :n] = (size[:, :n] + size[:, :n].T) / 2
    rows = allowed(start)
    left = allowed(weight * (normal.aims - rows @ normal.gram))
    goal = _CLOSE * float(np.abs(allowed(weight * normal.aims) / size).max())
    way = left / size
    product = float((left * way).sum())
    for _ in range(_ITERATIONS):
        if float(np.abs(left / size).max()) <= goal:
            break
        image = allowed(weight * (way @ normal.gram))
        length = product / float((way * image).sum())
        rows = rows + length * way
        left = left - length * image
        better = left / size
        product, before = float((left * better).sum()), product
        way = better + (product / before) * way
    return rows


def guided(
    setting: Setting, recipe: Mapping[str, Any], inputs: FloatArray, labels: IntArray, study: Any
) -> tuple[Parameters, dict[str, Any]]:
    """Parameters from guides, and how good the teacher is on what it was taught with."""
    if setting.kT <= 0 or setting.hidden < 2:
        raise UsageError("guides take kT > 0, since their loss is a probability's, and 2 hidden units, of either layer")
    n, m = setting.units, setting.pixels
    kept = study.resumed()
    if kept is not None:
        arrays, info = kept
        rows, done = arrays.pop("rows"), int(info["done"])
        teacher, right = _layers(arrays), float(info["teacher"])
    else:
        teacher = taught(setting, recipe, inputs, labels, study)
        right = float((arguments(teacher, inputs)[2].argmax(axis=1) == labels).mean())
        rows, done = np.zeros((n, n + m + 1)), 0
        study.checkpoint({**_parameters(teacher), "rows": rows}, {"done": 0, "teacher": right})
    scales = _scales(teacher, inputs)
    for turn in range(done, _ROUNDS + 1):
        parameters = _of_rows(setting, rows)
        rows = solved(setting, _normal(setting, teacher, scales, inputs, parameters if turn else None, turn), rows)
        study.checkpoint({**_parameters(teacher), "rows": rows}, {"done": turn + 1, "teacher": right})
        study.progress(int(recipe["epochs"]) + turn + 1, int(recipe["epochs"]) + _ROUNDS + 1, "solved")
    return _of_rows(setting, rows), {"teacher_accuracy_in_training": right}


def _of_rows(setting: Setting, rows: FloatArray) -> Parameters:
    n = setting.units
    return {"couplings": rows[:, :n], "weights": rows[: setting.hidden, n:-1], "bias": rows[:, -1]}


def _scales(teacher: Layers, inputs: FloatArray) -> FloatArray:
    """(3,) from what neurons take to fields."""
    found = arguments(teacher, inputs[:_CHUNK])
    centred = (found[0], found[1], found[2] - found[2].mean(axis=1, keepdims=True))
    return np.array([field / np.sqrt((each**2).mean()) for field, each in zip(_FIELD, centred, strict=True)])


def _normal(
    setting: Setting,
    teacher: Layers,
    scales: FloatArray,
    inputs: FloatArray,
    parameters: Parameters | None,
    turn: int,
) -> Normal:
    """Sums over images and times, on the guides, or on the states where a network goes."""
    n, m = setting.units, setting.pixels
    gram, aims = np.zeros((n + m + 1, n + m + 1)), np.zeros((n, n + m + 1))
    variance = setting.kT * setting.duration  # of the noise about a guide: between that of a free and of a held unit
    for number, begin in enumerate(range(0, len(inputs), _CHUNK)):
        shown = inputs[begin : begin + _CHUNK]
        first, second, outputs = arguments(teacher, shown)
        centred = outputs - outputs.mean(axis=1, keepdims=True)
        wanted = (scales[0] * first, scales[1] * second, scales[2] * centred)
        paths, fields = guides(setting, wanted)
        if parameters is not None:
            seed = int(setting.random(GUIDE, turn, number).integers(2**62))
            paths = _visited(setting, parameters, shown, seed)
        given = np.column_stack([shown, np.ones(len(shown))])
        gram[n:, n:] += _TIMES * (given.T @ given)
        gram[:n, n:] -= paths.sum(axis=0).T @ given
        aims[:, n:] += fields.sum(axis=0).T @ given
        for x, field in zip(paths, fields, strict=True):
            gram[:n, :n] += x.T @ x
            aims[:, :n] -= field.T @ x
        if parameters is None:
            gram[:n, :n] += _TIMES * len(shown) * variance * np.eye(n)
    gram[n:, :n] = gram[:n, n:].T
    pixels = np.arange(n, n + m)
    gram[pixels, pixels] += _RIDGE * gram[pixels, pixels].mean()
    return Normal(gram, aims)


def _visited(setting: Setting, parameters: Parameters, inputs: FloatArray, seed: int) -> FloatArray:
    """(times, k, n) states of a network's noisy trajectories, one an image."""
    trained = setting.network(parameters)
    assert trained.weights is not None
    equation = langevin_of_network(trained.network)
    h = trained.step / 5
    times = setting.duration * np.arange(1, _TIMES + 1) / _TIMES
    return run(
        equation,
        grid=Grid.of(times, np.empty(0), lambda middle: np.full(len(middle), h), False),
        trajectories=len(inputs),
        seed=seed,
        scheme="euler-maruyama",
        schedule=Schedule(np.zeros(1), equation.field[None, :], inputs @ trained.weights.T),
        ghosts=False,
        advice="a smaller step is needed",
        precision="single",
    ).states
