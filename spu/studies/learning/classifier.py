"""Training of classifiers: images as fields on hidden units, an output unit for each class."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arguments import positive, seed_of, whole
from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError, OptionError, UsageError
from spu.problems.images import Images, read_images
from spu.problems.trained import TrainedNetwork
from spu.studies.campaign import open_study
from spu.studies.learning.guides import guided
from spu.studies.learning.optimiser import Adam, Parameters
from spu.studies.learning.pathwise import PERMUTATION, SHIFT, Setting, slope_of_batch

__all__ = ["METHODS", "train_classifier"]

METHODS = ("pathwise", "guide")

_EPOCHS = {"pathwise": 16, "guide": 4}
"""A teacher that is taught longer is righter, and harder to follow: full MNIST, 20 epochs 91.1 %, 4 epochs 93.1 %."""

_MOST_UNITS = 4096

_CHECKPOINT = 30.0
"""s between two checkpoints, at least."""


def train_classifier(
    images: Images | str | Path | Annotated[ArrayLike, "m h w"],
    labels: Annotated[ArrayLike, "m"] | str | Path | None = None,
    directory: str | Path | None = None,
    *,
    method: str = "pathwise",
    hidden: int = 64,
    epochs: int | None = None,
    batch: int = 200,
    rate: float = 0.03,
    decay: float = 0.0,
    shift: int = 0,
    duration: float = 0.2,
    step: float = 5e-3,
    J2: float = 1.0,
    J4: float = 1.0,
    kT: float = 1.0,
    gain: float = 5.0,
    bits: int | None = None,
    mismatch: float = 0.0,
    limits: Mapping[str, float] | None = None,
    seed: int = 0,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> TrainedNetwork:
    """Train a network to tell images apart: the answer is the output that is largest at ``duration``.

    Parameters
    ----------
    images : Images, path or (m, h, w) array_like
        With labels, or what `read_images` reads.
    labels : (m,) array_like or path, optional
        Whole numbers from 0, each class with an image at least.
    directory:
        Where checkpoints and the trained network are kept; nothing is unless given. The same call goes on there.
    method:
        "pathwise": the gradient of the cross-entropy through the noisy steps; "guide": the quadratic loss on the
        guide trajectories of a teacher network (arXiv 2509.15324), solved.
    hidden:
        Units that feel the image. All units, the outputs too, are coupled symmetrically.
    epochs, batch, rate, decay, shift:
        Passes over the images (16 unless given, 4 with guides), images a step, size of a step of Adam at most, decay
        of weights and couplings relative to it, and pixels by which images are moved at random. With guides all are
        the teacher's.
    duration, step:
        When outputs are read, and the step of Euler-Maruyama in training.
    J2, J4, kT:
        Of every unit.
    gain:
        Factor on the outputs in the cross-entropy.
    bits, mismatch, limits:
        Train for a board, as of `on_hardware`: rounded and with another draw of mismatch in every batch.
    seed:
        Of everything random.
    cluster, threads, restart, progress:
        As of every study; the numbers hang on none of them.

    Raises
    ------
    InputError
        If images and labels do not fit, or a class is missing.
    UsageError
        If an option is out of range, or the loss is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> pixels = np.zeros((40, 2, 2))
    >>> pixels[::2, 0] = pixels[1::2, 1] = 1.0
    >>> learnt = spu.train_classifier(pixels, [0, 1] * 20, hidden=4, epochs=100, batch=20)
    >>> spu.classify(learnt, pixels, [0, 1] * 20, average=10).best.accuracy > 0.9
    True
    """
    given = images_of(images, labels)
    if method not in METHODS:
        raise OptionError("method", f"is {method!r}: it must be one of {', '.join(METHODS)}")
    if method == "guide" and (bits is not None or mismatch):
        raise OptionError("method", "guide knows no board: bits and mismatch are for pathwise")
    if method == "guide" and cluster is not None:
        raise OptionError("cluster", "is not for guides, which are solved at once")
    counted = {"hidden": hidden, "epochs": _EPOCHS[method] if epochs is None else epochs, "batch": batch}
    whole_numbers = {name: whole(name, value) or 0 for name, value in counted.items()}
    for name, value in whole_numbers.items():
        if value < 1:
            raise OptionError(name, f"must be 1 or more, not {value}")
    if whole_numbers["hidden"] > _MOST_UNITS:
        raise OptionError("hidden", f"is {hidden}: {_MOST_UNITS} at most")
    for name, size in (("rate", rate), ("duration", duration), ("step", step), ("gain", gain), ("J4", J4)):
        positive(name, size)
    for name, size in (("decay", decay), ("kT", kT), ("mismatch", mismatch)):
        if not 0 <= size < math.inf:
            raise OptionError(name, f"must be 0 or more, not {size!r}")
    if step > duration:
        raise OptionError("step", f"is {step:g}, and the outputs are read at {duration:g}")
    shift = whole("shift", shift) or 0
    if not 0 <= shift < min(given.shape):
        raise OptionError("shift", f"is {shift}: 0 to {min(given.shape) - 1} pixels for these images")
    pixels = given.flat
    spread = float(pixels.std())
    if not spread:
        raise InputError("all pixels of all images are equal: there is nothing to tell apart")
    wanted = given.labels
    assert wanted is not None
    setting = Setting(
        hidden=whole_numbers["hidden"],
        classes=tuple(given.name(label) for label in range(int(wanted.max()) + 1)),
        pixels=pixels.shape[1],
        shape=given.shape,
        offset=float(pixels.mean()),
        factor=1.0 / spread,
        J2=float(J2),
        J4=float(J4),
        kT=float(kT),
        duration=float(duration),
        step=float(step),
        gain=float(gain),
        bits=bits,
        mismatch=float(mismatch),
        limits=dict(limits or {}),
        seed=seed_of(seed, 2**31),
    )
    setting.board(setting.first(), 0)  # refuses what is wrong with a board before any work
    recipe: dict[str, Any] = {
        "method": method,
        "epochs": whole_numbers["epochs"],
        "batch": min(whole_numbers["batch"], len(given)),
        "rate": float(rate),
        "decay": float(decay),
        "shift": shift,
    }
    spec = {**asdict(setting), **recipe, "images": given.digest}
    scaled = (pixels - setting.offset) * setting.factor
    began = time.perf_counter()
    options: dict[str, Any] = {"cluster": cluster, "threads": threads, "restart": restart, "progress": progress}
    with open_study(directory, "classifier", spec, **options) as study:
        descend = _descended if method == "pathwise" else guided
        parameters, measured = descend(setting, recipe, scaled, wanted, study)
        measured = {**measured, "seconds": round(time.perf_counter() - began, 2)}
        found = setting.network(parameters, settings={**spec, "count": len(given)}, measured=measured)
        if directory is not None:
            found.save(directory)
    return found


def images_of(
    images: Images | str | Path | ArrayLike, labels: ArrayLike | str | Path | None, classes: int | None = None
) -> Images:
    """Images with labels, each class from 0 on there, or each of them one of so many ``classes``."""
    if isinstance(images, (str, Path)):
        found = read_images(images, labels)
    elif isinstance(images, Images):
        found = images if labels is None else Images(pixels=images.pixels, labels=_labels(labels), source=images.source)
    else:
        found = Images(pixels=np.asarray(images), labels=None if labels is None else _labels(labels))
    where = found.source or None
    if found.labels is None:
        raise InputError("these images have no labels: give them, too", file=where)
    most = int(found.labels.max())
    if classes is not None:
        if most >= classes:
            raise InputError(f"a label is {most}, and the network knows classes 0 to {classes - 1}", file=where)
        return found
    missing = sorted(set(range(most + 1)) - set(found.counts)) if most < 10_000 else [0]
    if missing or not most:
        said = f"no image of class {missing[0]}" if missing else "all images are of class 0"
        raise InputError(f"{said}: labels are 0, 1, ... with an image of each class, of two at least", file=where)
    return found


def _labels(labels: ArrayLike | str | Path) -> Any:
    from spu.problems.images import read_labels

    return read_labels(labels) if isinstance(labels, (str, Path)) else np.asarray(labels)


def _descended(
    setting: Setting, recipe: Mapping[str, Any], inputs: FloatArray, labels: IntArray, study: Any
) -> tuple[Parameters, dict[str, Any]]:
    """Parameters after descent along the pathwise gradient, and what was seen on the way."""
    count, size, epochs = len(labels), int(recipe["batch"]), int(recipe["epochs"])
    batches = max(1, count // size)
    adam = Adam(recipe["rate"], epochs * batches, decay=recipe["decay"])
    parameters = setting.within(setting.first())
    losses: list[float] = []
    right: list[float] = []
    done, total, hits = 0, 0.0, 0
    kept = study.resumed()
    if kept is not None:
        arrays, info = kept
        parameters = {key: arrays.pop(key) for key in parameters}
        done, losses, right = info["done"], list(info["losses"]), list(info["right"])
        total, hits = info["total"], info["hits"]
        adam.restore(arrays, done)
    study.progress(done, epochs * batches)
    while done < epochs * batches:
        epoch, place = divmod(done, batches)
        order = setting.random(PERMUTATION, epoch).permutation(count)[place * size : (place + 1) * size]
        shown = inputs[order]
        if recipe["shift"]:
            shown = _moved(shown, setting, recipe["shift"], done)
        slope = slope_of_batch(setting, parameters, shown, labels[order], done, study.workers.map)
        if not math.isfinite(slope.loss):
            raise UsageError(f"the loss is not finite at batch {done + 1}: lower rate ({recipe['rate']:g}) or step")
        parameters = setting.within(adam.stepped(parameters, slope.gradient))
        done, total, hits = done + 1, total + slope.loss, hits + slope.right
        if done % batches == 0:
            losses.append(total / batches)
            right.append(hits / (batches * size))
            total, hits = 0.0, 0
        if done == epochs * batches or study.due(_CHECKPOINT):
            info = {"done": done, "losses": losses, "right": right, "total": total, "hits": hits}
            study.checkpoint({**parameters, **adam.arrays()}, info)
        study.progress(done, epochs * batches, f"loss {slope.loss:.4g}")
    return parameters, {"loss": losses, "accuracy_in_training": right}


def _moved(inputs: FloatArray, setting: Setting, shift: int, batch: int) -> FloatArray:
    """Each image moved by up to so many pixels, edges filled with black."""
    assert setting.shape is not None
    rows, columns = setting.shape
    black = -setting.offset * setting.factor
    wide = np.full((len(inputs), rows + 2 * shift, columns + 2 * shift), black)
    wide[:, shift : shift + rows, shift : shift + columns] = inputs.reshape(len(inputs), rows, columns)
    down, right = setting.random(SHIFT, batch).integers(2 * shift + 1, size=(2, len(inputs)))
    picture = np.arange(len(inputs))[:, None, None]
    moved = wide[picture, (down[:, None] + np.arange(rows))[:, :, None], (right[:, None] + np.arange(columns))[:, None]]
    return moved.reshape(len(inputs), -1)
