"""Trained networks: a thermodynamic network, what it is for, and how it came to be; one file, ``trained.npz``.

The file is whole or not there. It holds the arrays below by their names, and under ``about`` all else as JSON.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np

from spu.base.array_files import read_npz
from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError
from spu.base.files import plain, write_with
from spu.base.names import shorten
from spu.problems.network import ThermodynamicNetwork

__all__ = ["PURPOSES", "TRAINED", "TrainedNetwork", "is_trained", "load_trained"]

TRAINED = "trained.npz"
"""The file's name in a folder."""

FORMAT = "spu-trained/1"

PURPOSES = ("generative", "classifier", "regression")

_POTENTIAL = ("J2", "J3", "J4", "input", "bias", "couplings")

_ARRAYS = ("weights", "visible", "outputs", "readout")


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedNetwork:
    """A thermodynamic network of n units that has learnt something.

    Parameters
    ----------
    network:
        Its ``input`` is what acts without an image.
    purpose:
        "generative" (images from noise), "classifier" (images to classes) or "regression" (numbers to numbers).
    duration, step, scheme:
        When it is read, the step of the scheme it was trained with, in the network's time, and the scheme.
    weights : (n, m) array_like, optional
        Inputs are ``network.input + weights @ s`` for what is put in, s (m,).
    visible : (v,) array_like of int, optional
        Units that are the pixels, row by row.
    outputs : (k,) array_like of int, optional
        Units that stand for the classes.
    readout : (n,) array_like, optional
        The number that is read is ``readout @ <x(duration)>``.
    shape:
        Rows and columns of the images.
    offset, factor:
        ``s = (pixel - offset) * factor`` for pixels from 0 to 1.
    classes:
        Their names, in the order of ``outputs``.
    settings, measured:
        How it was trained, and what was measured then: what JSON holds.

    Raises
    ------
    InputError
        If the parts do not fit each other.

    Examples
    --------
    >>> import spu
    >>> network = spu.ThermodynamicNetwork(units=3)
    >>> learnt = spu.TrainedNetwork(network=network, purpose="classifier", duration=0.2, step=1e-3,
    ...                             weights=[[1.0], [0.0], [0.0]], outputs=[1, 2], classes=("no", "yes"))
    >>> learnt.inputs([[2.0]])
    array([[2., 0., 0.]])
    """

    network: ThermodynamicNetwork
    purpose: str
    duration: float
    step: float
    scheme: str = "euler-maruyama"
    weights: Annotated[FloatArray, "n m"] | None = None
    visible: Annotated[IntArray, "v"] | None = None
    outputs: Annotated[IntArray, "k"] | None = None
    readout: Annotated[FloatArray, "n"] | None = None
    shape: tuple[int, int] | None = None
    offset: float = 0.0
    factor: float = 1.0
    classes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.purpose not in PURPOSES:
            raise InputError(f"purpose is {shorten(self.purpose)}: it must be one of {', '.join(PURPOSES)}")
        for name in ("duration", "step"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 < value < math.inf):
                raise InputError(f"{name} is {shorten(value)}: it must be positive and finite")
        n = self.network.n
        for name, kind in (("weights", float), ("readout", float), ("visible", np.int64), ("outputs", np.int64)):
            value = getattr(self, name)
            if value is None:
                continue
            array = np.array(value, dtype=kind)
            wanted = 2 if name == "weights" else 1
            if array.ndim != wanted or not np.isfinite(array).all():
                raise InputError(f"{name} must be finite, of {wanted} dimension{'s' if wanted > 1 else ''}")
            if kind is float and len(array) != n:
                raise InputError(f"{name} has {len(array)} rows, and the network {n} units")
            if kind is not float and (((array < 0) | (array >= n)).any() or len(np.unique(array)) < len(array)):
                raise InputError(f"{name} must be units, 0 to {n - 1}, each once")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        object.__setattr__(self, "shape", None if self.shape is None else tuple(int(k) for k in self.shape))
        self._require()

    def _require(self) -> None:
        needed = {"generative": ("visible",), "classifier": ("weights", "outputs"), "regression": ("readout",)}
        for name in needed[self.purpose]:
            if getattr(self, name) is None:
                raise InputError(f"a {self.purpose} network needs {name}")
        if self.purpose == "classifier" and self.outputs is not None and len(self.outputs) != len(self.classes):
            raise InputError(f"{len(self.outputs)} outputs for {len(self.classes)} classes")
        if self.shape is not None:
            pixels = self.shape[0] * self.shape[1]
            for name, count in (
                ("visible", None if self.visible is None else len(self.visible)),
                ("weights", None if self.weights is None else self.weights.shape[1]),
            ):
                if count is not None and count != pixels:
                    raise InputError(f"images of {self.shape[0]} x {self.shape[1]} pixels do not fit {count} {name}")

    def scaled(self, pixels: Annotated[FloatArray, "*s"]) -> Annotated[FloatArray, "*s"]:
        """What is put in for pixels from 0 to 1, of any shape."""
        return np.asarray((np.asarray(pixels, dtype=np.float64) - self.offset) * self.factor)

    def inputs(self, given: Annotated[Any, "k m"]) -> Annotated[FloatArray, "k n"]:
        """(k, n) inputs of the units for (k, m) of what is put in, scaled already.

        Raises
        ------
        InputError
            If there are no weights, or not m of them.
        """
        array = np.asarray(given, dtype=np.float64)
        if self.weights is None or array.ndim != 2 or array.shape[1] != self.weights.shape[1]:
            m = 0 if self.weights is None else self.weights.shape[1]
            raise InputError(f"what is put in has the shape {array.shape}: (k, {m}) is wanted")
        return np.asarray(self.network.input + array @ self.weights.T)

    def with_network(self, network: ThermodynamicNetwork, **changes: Any) -> TrainedNetwork:
        """The same with another network of as many units, and other changes."""
        return replace(self, network=network, **changes)

    def save(self, directory: str | Path) -> Path:
        """Write ``trained.npz`` into a folder that is there, whole or not at all; its path.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = Path(directory) / TRAINED
        write_with(path, self.write_to)
        return path

    def write_to(self, stream: BinaryIO) -> None:
        """Write the file's bytes."""
        network = self.network
        about = {
            "format": FORMAT,
            **{key: getattr(self, key) for key in ("purpose", "duration", "step", "scheme", "shape", "offset")},
            "factor": self.factor,
            "classes": self.classes,
            "kT": network.kT,
            "mobility": network.mobility,
            "reciprocal": network.reciprocal,
            "variables": network.variables,
            "settings": self.settings,
            "measured": self.measured,
        }
        arrays = {key: getattr(network, key) for key in _POTENTIAL}
        arrays |= {key: getattr(self, key) for key in _ARRAYS if getattr(self, key) is not None}
        whole = io.BytesIO()  # numpy wants a stream that it can read, too
        np.savez_compressed(whole, about=np.array(json.dumps(plain(about))), **arrays)
        stream.write(whole.getvalue())

    def __repr__(self) -> str:
        return f"TrainedNetwork({self.purpose}, n={self.network.n}, duration={self.duration:g})"


def is_trained(path: str | Path) -> bool:
    """Whether a path is that of a trained network's file, or of a folder with one."""
    try:
        return Path(path).name == TRAINED or (Path(path) / TRAINED).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def load_trained(path: str | Path) -> TrainedNetwork:
    """Read a trained network from its folder or file.

    Raises
    ------
    InputError
        If there is none, or it is damaged.

    Examples
    --------
    >>> import spu
    >>> learnt = spu.TrainedNetwork(network=spu.ThermodynamicNetwork(units=2), purpose="generative", duration=1.0,
    ...                             step=1e-3, visible=[0])
    >>> spu.load_trained(learnt.save(".").parent).network.n
    2
    """
    file = Path(path) / TRAINED if Path(path).name != TRAINED else Path(path)
    if not file.is_file():
        raise InputError(f"no {TRAINED} in this folder: spu train makes one", file=path)
    arrays = read_npz(file)
    try:
        about = json.loads(str(arrays.pop("about")[()]))
        if about.pop("format") != FORMAT:
            raise InputError(f"is not of the format {FORMAT!r}: train again", file=file)
        own: dict[str, Any] = {key: arrays.pop(key) for key in _POTENTIAL}
        own |= {key: about.pop(key) for key in ("kT", "mobility", "reciprocal", "variables")}
        network = ThermodynamicNetwork(**own)
        about["shape"] = None if about["shape"] is None else tuple(about["shape"])
        more: dict[str, Any] = {key: arrays[key] for key in _ARRAYS if key in arrays}
        return TrainedNetwork(network=network, **more, **about)
    except InputError as error:
        raise InputError(error.message, file=file) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise InputError("is damaged, or of another version: train again", file=file) from None
