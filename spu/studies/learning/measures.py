"""What generated images are worth: likeness, inversion, classes, diversity, and copying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from spu.base.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Likeness:
    """Generated images (k, m) held against training images (t, m).

    Attributes
    ----------
    nearest:
        (k,) the training image of the largest absolute correlation.
    best:
        (k,) that correlation, with its sign.
    signed:
        (k,) the largest correlation, inverted likenesses not counted as such.
    distances:
        (k,) root mean square of the difference from that image, after the best scale and offset, in deviations of
        the generated image: 0 is a copy, 1 has nothing of it.
    """

    nearest: Annotated[IntArray, "k"]
    best: Annotated[FloatArray, "k"]
    signed: Annotated[FloatArray, "k"]
    distances: Annotated[FloatArray, "k"]

    @property
    def inverted(self) -> float:
        """Share whose nearest training image is met inverted."""
        return float((self.best < 0).mean())


def correlations(a: Annotated[FloatArray, "k m"], b: Annotated[FloatArray, "t m"]) -> Annotated[FloatArray, "k t"]:
    """(k, t) Pearson's, over pixels; 0 with an image of one grey."""
    one, other = _normal(a), _normal(b)
    return np.asarray(np.einsum("km,tm->kt", one, other))


def _normal(images: FloatArray) -> FloatArray:
    centred = images - images.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return np.asarray(centred / np.where(size > 0, size, 1.0))


def likeness(made: Annotated[FloatArray, "k m"], patterns: Annotated[FloatArray, "t m"]) -> Likeness:
    """Of generated images to training images."""
    found = correlations(made, patterns)
    nearest = np.abs(found).argmax(axis=1)
    best = np.take_along_axis(found, nearest[:, None], axis=1)[:, 0]
    return Likeness(nearest, best, found.max(axis=1), np.sqrt(np.maximum(1 - best**2, 0.0)))


def spread(images: Annotated[FloatArray, "k m"]) -> float | None:
    """Mean of ``sqrt(1 - c^2)`` over pairs of images, c their correlation: 0 if all are one image or its inverse."""
    if len(images) < 2:
        return None
    found = correlations(images, images)[np.triu_indices(len(images), 1)]
    return float(np.sqrt(np.maximum(1 - found**2, 0.0)).mean())


def shares(nearest: Annotated[IntArray, "k"], labels: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """Share of generated images whose nearest training image is of each class."""
    found = np.array(labels)[nearest]
    return {name: float((found == name).mean()) for name in classes}
