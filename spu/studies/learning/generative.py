"""Training of the generative computer: images to couplings whose own motion makes such images from noise."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, UsageError
from spu.base.files import write_with
from spu.problems.images import Images, read_images
from spu.problems.network import MAX_UNITS, ThermodynamicNetwork
from spu.problems.trained import TRAINED, TrainedNetwork
from spu.studies.campaign import Study, open_study, seed_of_piece
from spu.studies.learning.noising import Noising, drives
from spu.studies.learning.quadratic import Learnt, Objective, Solution, Sums, expected, solve
from spu.studies.learning.sampled import sampled_piece, shared_of, together

__all__ = ["MOST_IMAGES", "patterns_of", "train_generative"]

METHODS = ("solve", "descent")

SUMS = ("expected", "sampled")

SCALINGS = ("symmetric", "grey", "unit")
"""Pixels from 0 to 1 become: from -1 to 1; themselves; of mean 0 and variance 1 over the training images."""

DRIVES = ("repeat", "projection")

MOST_IMAGES = 2000

_DECAY, _DECAY_SQUARES, _TINY = 0.9, 0.999, 1e-8
"""Of Adam (Kingma and Ba, 2015)."""


def train_generative(
    images: Images | str | Path | Annotated[Any, "m h w"],
    labels: Any = None,
    directory: str | Path | None = None,
    *,
    classes: Sequence[int] | None = None,
    each: int | None = None,
    coarser: int = 1,
    hidden: int | None = None,
    kT: float = 0.1,
    duration: float = 2.5,
    step: float = 1e-3,
    strength: float = 2.0,
    scaling: str = "symmetric",
    hidden_drive: str = "repeat",
    visible_bias: bool = False,
    method: str = "solve",
    sums: str = "expected",
    trajectories: int = 8,
    cycles: int = 100,
    rate: float = 2e-3,
    regularisation: float = 0.0,
    tolerance: float = 1e-6,
    seed: int = 0,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> TrainedNetwork:
    """Find couplings that make the reverse of the images' noising most probable.

    Parameters
    ----------
    images, labels:
        As `read_images` takes them, or an array of pixels from 0 to 1. Without labels each image is a class.
    directory:
        Of ``trained.npz`` and of what is kept while it is made; nothing is written unless given.
    classes, each:
        Images of these classes only, the first so many of each; all of them unless given.
    coarser:
        Means of blocks of so many pixels a side.
    hidden:
        Units without a pixel; two for three pixels unless given.
    kT, duration, step:
        Of the bath; of noising and of generation; of their Euler-Maruyama scheme.
    strength:
        Field of a pixel of level 1.
    scaling:
        How pixels become levels: "symmetric" (-1 to 1), "grey" (0 to 1), or "unit" (mean 0, variance 1).
    hidden_drive:
        "repeat": hidden unit k gets pixel k mod m; "projection": a fixed random projection of all (by ``seed``).
    visible_bias:
        Learn biases of visible units, too; published networks have none, and their energy hardly knows an image
        from its inverse.
    method:
        "solve" the quadratic loss, or "descent" along sampled gradients by Adam.
    sums:
        What is solved: "expected" over all noise, or "sampled" from ``trajectories`` of each image.
    trajectories:
        Of each image: in all ("sampled"), or in each cycle of descent.
    cycles, rate:
        Of descent.
    regularisation:
        Ridge, as a share of the mean of G's diagonal; needed only where G is singular.
    tolerance:
        Of the solution's residual.
    seed:
        Of whatever is drawn.
    cluster, threads, restart, progress:
        As in `spu.studies.campaign.open_study`.

    Returns
    -------
    TrainedNetwork
        For `generate`; it holds the images, so that these can be compared.

    Raises
    ------
    InputError, UsageError
        For images, classes or options that do not fit, and steps that are too large.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[1, 0, 1], [0, 1, 0], [1, 0, 1]]])
    >>> learnt = spu.train_generative(cross, hidden=6, step=5e-3)
    >>> learnt.network.n, learnt.purpose
    (15, 'generative')
    """
    _require("method", method, METHODS)
    _require("sums", sums, SUMS)
    _require("scaling", scaling, SCALINGS)
    _require("hidden_drive", hidden_drive, DRIVES)
    for name, count in (("trajectories", trajectories), ("cycles", cycles), ("coarser", coarser)):
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise UsageError(f"{name} must be a whole number, 1 or more, not {count!r}")
    for name, value in (("rate", rate), ("tolerance", tolerance)):
        if not 0 < value < np.inf:
            raise UsageError(f"{name} must be positive, not {value!r}")
    if not 0 <= regularisation < np.inf:
        raise UsageError(f"regularisation must be 0 or more, not {regularisation!r}")
    if seed < 0:
        raise UsageError(f"seed must not be negative, not {seed!r}")
    chosen = _chosen(images, labels, classes, each, coarser)
    pixels = chosen.flat
    m = pixels.shape[1]
    many = (2 * m + 2) // 3 if hidden is None else hidden
    if isinstance(many, bool) or not 1 <= many <= MAX_UNITS - m:
        raise UsageError(f"{many} hidden units: 1 to {MAX_UNITS - m} are possible beside {m} pixels")
    offset, factor = _scale(pixels, scaling)
    noising = Noising(kT=kT, duration=duration, step=step, strength=strength)
    levels = drives((pixels - offset) * factor, many, seed if hidden_drive == "projection" else None)
    noising.require_stable(levels)
    settings = {
        **asdict(noising),
        "hidden": many,
        "scaling": scaling,
        "hidden_drive": hidden_drive,
        "visible_bias": visible_bias,
        "method": method,
        "sums": sums if method == "solve" else "sampled",
        "regularisation": regularisation,
        **({"tolerance": tolerance} if method == "solve" else {"cycles": cycles, "rate": rate}),
        **({} if method == "solve" and sums == "expected" else {"trajectories": trajectories}),
        "seed": seed,
        "digest": chosen.digest,
    }
    with open_study(
        directory, "generative", settings, cluster=cluster, threads=threads, restart=restart, progress=progress
    ) as study:
        exact = expected(noising, levels) if method == "descent" or sums == "expected" else None
        if method == "descent":
            start = Objective(_known(exact), m, kT, regularisation, visible_bias)
            found = _descend(study, start, noising, levels, cycles, rate, trajectories, seed)
        else:
            known = exact or _sampled(study, noising, levels, trajectories, seed)
            objective = Objective(known, m, kT, regularisation, visible_bias)
            found = solve(objective, tolerance=tolerance)
        learnt = found.learnt
        network = ThermodynamicNetwork(
            noising.J2, noising.J3, noising.J4, bias=learnt.biases, couplings=learnt.couplings(), kT=kT
        )
        trained = TrainedNetwork(
            network=network,
            purpose="generative",
            duration=duration,
            step=step,
            visible=np.arange(m),
            shape=chosen.shape,
            offset=offset,
            factor=factor,
            classes=tuple(chosen.name(label) for label in chosen.counts),
            settings={**settings, "images": _packed(pixels), "labels": _labels(chosen)},
            measured={
                "gain": -found.loss,
                "residual": found.residual,
                "iterations": found.iterations,
                "parameters": learnt.parameters + (m if visible_bias else 0),
                "largest_coupling": float(max(np.abs(learnt.across).max(), np.abs(learnt.within).max())),
            },
        )
        if directory is not None:
            write_with(Path(directory) / TRAINED, trained.write_to)
    return trained


def _require(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"no {name} {value!r}; valid: {', '.join(known)}")


def _known(sums: Sums | None) -> Sums:
    assert sums is not None
    return sums


def _chosen(images: Any, labels: Any, classes: Sequence[int] | None, each: int | None, coarser: int) -> Images:
    if isinstance(images, (str, Path)):
        images = read_images(images, labels)
    elif not isinstance(images, Images):
        images = Images(pixels=images, labels=labels)
    if classes is not None or each is not None:
        images = images.of_classes(images.counts if classes is None else classes, each)
    if coarser > 1:
        images = images.coarser(coarser)
    where = images.source or None
    if len(images) > MOST_IMAGES:
        raise InputError(f"{len(images)} images are too many: {MOST_IMAGES} at most, so choose by --each", file=where)
    if len(images) < 2:
        raise InputError("one image is no set to learn from: two at least", file=where)
    flat = np.ptp(images.flat, axis=1) == 0
    if flat.any():
        raise InputError(f"image {int(flat.argmax()) + 1} is of one grey: there is nothing to learn", file=where)
    return images


def _scale(pixels: FloatArray, scaling: str) -> tuple[float, float]:
    if scaling == "grey":
        return 0.0, 1.0
    if scaling == "symmetric":
        return 0.5, 2.0
    return float(pixels.mean()), 1 / float(pixels.std())


def _sampled(study: Study, noising: Noising, levels: FloatArray, trajectories: int, seed: int) -> Sums:
    """Of one piece an image."""
    items = [
        {"levels": row, "count": trajectories, "seed": seed_of_piece(seed, 0, k), "raw": False}
        for k, row in enumerate(levels)
    ]
    return together(study.pieces("noising", sampled_piece, items, shared=shared_of(noising), said="noising runs"))


def _descend(
    study: Study,
    exact: Objective,
    noising: Noising,
    levels: FloatArray,
    cycles: int,
    rate: float,
    trajectories: int,
    seed: int,
) -> Solution:
    """Adam along gradients of the steps as they were drawn: new noising trajectories each cycle."""
    none = exact.none()
    parts = {name: np.zeros_like(part) for name, part in zip(Learnt._fields, none, strict=True)}
    fresh = {f"{kind}_{name}": part.copy() for kind in ("at", "first", "second") for name, part in parts.items()}
    kept, info = study.resumed() or (fresh, {"cycle": 0})
    state = {kind: [np.array(kept[f"{kind}_{name}"]) for name in parts] for kind in ("at", "first", "second")}
    study.progress(info["cycle"], cycles)
    for cycle in range(info["cycle"], cycles):
        items = [
            {"levels": row, "count": trajectories, "seed": seed_of_piece(seed, cycle, k), "raw": True}
            for k, row in enumerate(levels)
        ]
        sums = together(study.workers.map(sampled_piece, items, shared=shared_of(noising)))
        objective = Objective(sums, exact.visible, exact.kT, exact.ridge, exact.visible_biases)
        slopes = objective.gradient(Learnt(*state["at"]))
        for own, first, second, slope in zip(state["at"], state["first"], state["second"], slopes, strict=True):
            first += (1 - _DECAY) * (slope - first)
            second += (1 - _DECAY_SQUARES) * (slope**2 - second)
            ahead = first / (1 - _DECAY ** (cycle + 1))
            size = np.sqrt(second / (1 - _DECAY_SQUARES ** (cycle + 1)))
            own -= rate * ahead / (size + _TINY)
        if cycle + 1 == cycles or study.due(10.0):
            arrays = {
                f"{kind}_{name}": part for kind, found in state.items() for name, part in zip(parts, found, strict=True)
            }
            study.checkpoint(arrays, {"cycle": cycle + 1})
        study.progress(cycle + 1, cycles, f"gain {-exact.loss(Learnt(*state['at'])):.4g}")
    at = Learnt(*state["at"])
    at = Learnt(at.across, 0.5 * (at.within + at.within.T), at.biases)
    return Solution(at, exact.loss(at), exact.residual(at), cycles)


# --- the images that a trained network keeps ----------------------------------------------


def _packed(pixels: FloatArray) -> dict[str, Any]:
    data = zlib.compress(np.ascontiguousarray(pixels, dtype="<f4").tobytes(), 9)
    return {"count": len(pixels), "zlib_float32": base64.b64encode(data).decode()}


def _labels(images: Images) -> list[str]:
    if images.labels is None:
        return [str(k) for k in range(len(images))]
    return [images.name(label) for label in images.labels]


def patterns_of(trained: TrainedNetwork) -> tuple[FloatArray, tuple[str, ...]]:
    """(images, m) pixels that a network was trained with, to a float's rounding, and the class of each.

    Raises
    ------
    InputError
        If it keeps none.
    """
    try:
        kept = trained.settings["images"]
        data = zlib.decompress(base64.b64decode(kept["zlib_float32"]))
        pixels = np.frombuffer(data, dtype="<f4").reshape(int(kept["count"]), -1).astype(np.float64)
        labels = tuple(str(label) for label in trained.settings["labels"])
    except (KeyError, TypeError, ValueError, zlib.error):
        raise InputError("this network keeps no training images: spu train generative makes one that does") from None
    if trained.visible is None or pixels.shape[1] != len(trained.visible) or len(labels) != len(pixels):
        raise InputError("the training images that are kept do not fit the network: train again")
    return pixels, labels
