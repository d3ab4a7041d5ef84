"""Images and their labels from IDX files, NumPy's files and folders of PNGs.

What a file promises is looked at before anything is unpacked or set aside for it. Grey values become numbers from 0,
black, to 1, white; which grey is white is a rule (`white_of`), and said with the images.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray

from spu.base.array_files import MAX_ENTRIES, parsing, read_npy, read_npz
from spu.base.arrays import FloatArray, IntArray
from spu.base.digest import Digest
from spu.base.display import Shown
from spu.base.errors import InputError
from spu.base.files import check_file
from spu.base.names import shorten, suggest

__all__ = ["Images", "read_images", "read_labels", "white_of"]

WHITES = (1, 16, 255, 65535)
"""Grey values that may be white: of bits, of scikit-learn's digits, of 8 and of 16 bits."""

MOST_FILES = 200_000
"""Of a folder of PNGs."""

_MOST_LABEL = 10**6
_CHUNK = 1000  # images a block of the digest

_LABELLED = re.compile(r"(\d{1,6})[-_]")
"""A file's name that says the image's label, ``7_0012.png``; digits alone are a number of the image."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Images(Shown):
    """m grey images of h x w pixels, and what they show.

    Parameters
    ----------
    pixels : (m, h, w) array_like
        From 0, black, to 1, white.
    labels : (m,) array_like of int, optional
        The class of each, 0 or more.
    names:
        Names of the classes by their labels; a label without one is called by its number.
    white:
        The grey value in the file that became 1.
    source:
        Where they were read.

    Raises
    ------
    InputError
        If there is no image, a pixel is not from 0 to 1, or labels do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> images = spu.Images(pixels=np.zeros((4, 2, 3)), labels=[1, 0, 1, 1])
    >>> images
    Images(4 of 2 x 3, classes 0 1, white 1)
    >>> images.of_classes([1], each=2).labels
    array([1, 1])
    >>> images.of_classes([0, 1]).counts
    {0: 1, 1: 3}
    """

    pixels: Annotated[FloatArray, "m h w"]
    labels: Annotated[IntArray, "m"] | None = None
    names: dict[int, str] = field(default_factory=dict)
    white: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels, dtype=np.float64)
        if pixels.ndim != 3 or not pixels.size:
            raise InputError(f"images have the shape {pixels.shape}: (m, h, w) is wanted, and none of them 0")
        low, high = float(pixels.min()), float(pixels.max())  # NaN, if there is one
        if not (low >= 0 and high <= 1):
            raise InputError("pixels must be from 0 to 1, not infinite and no NaN")
        if pixels.flags.writeable:
            pixels = pixels.view()
            pixels.setflags(write=False)
        object.__setattr__(self, "pixels", pixels)
        if self.labels is not None:
            labels = _checked_labels(np.asarray(self.labels))
            if len(labels) != len(pixels):
                raise InputError(f"{len(labels)} labels for {len(pixels)} images")
            labels.setflags(write=False)
            object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of an image."""
        _, rows, columns = self.pixels.shape
        return rows, columns

    @property
    def flat(self) -> Annotated[FloatArray, "m p"]:
        """(m, h * w) pixels, row by row."""
        return self.pixels.reshape(len(self.pixels), -1)

    @property
    def counts(self) -> dict[int, int]:
        """How many images each label has, by label."""
        if self.labels is None:
            return {}
        found, counts = np.unique(self.labels, return_counts=True)
        return {int(label): int(count) for label, count in zip(found, counts, strict=True)}

    def name(self, label: int) -> str:
        """What a class is called."""
        return self.names.get(int(label), str(int(label)))

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits: equal for equal pixels and labels, and for nothing else."""
        found = Digest()
        found.text("images")
        found.numbers(np.array(self.pixels.shape))
        for begin in range(0, len(self), _CHUNK):
            found.numbers(self.pixels[begin : begin + _CHUNK].ravel())
        found.numbers(np.empty(0, dtype=np.int64) if self.labels is None else self.labels)
        return found.hexdigest()

    def at(self, places: Annotated[Any, "k"]) -> Images:
        """The images of some places, in their order."""
        where = np.asarray(places)
        return self._with(self.pixels[where], None if self.labels is None else self.labels[where])

    def of_classes(self, classes: Iterable[int], each: int | None = None) -> Images:
        """The images of some classes, in the file's order; of each class its first ``each``, if given.

        Raises
        ------
        InputError
            If there are no labels, a class has no image, or fewer than wanted.
        """
        wanted = [int(label) for label in classes]
        if self.labels is None:
            raise InputError("these images have no labels, so none can be chosen by class", file=self.source or None)
        if each is not None and each < 1:
            raise InputError(f"{each} images of each class: at least 1 is wanted")
        chosen = np.zeros(len(self), dtype=bool)
        for label in wanted:
            places = np.flatnonzero(self.labels == label)
            if not len(places):
                known = " ".join(map(self.name, self.counts))
                raise InputError(f"no image of class {self.name(label)}: there are {known}", file=self.source or None)
            if each is not None and len(places) < each:
                raise InputError(
                    f"class {self.name(label)} has {len(places)} images, and {each} are wanted",
                    file=self.source or None,
                )
            chosen[places[:each]] = True
        if not wanted:
            raise InputError("no class is named")
        return self.at(np.flatnonzero(chosen))

    def coarser(self, factor: int) -> Images:
        """Means of blocks of factor x factor pixels: 28 x 28 by 2 are 14 x 14.

        Raises
        ------
        InputError
            If blocks do not fill the image.
        """
        rows, columns = self.shape
        if factor < 1 or rows % factor or columns % factor:
            raise InputError(f"blocks of {factor} x {factor} pixels do not fill {rows} x {columns}")
        blocks = self.pixels.reshape(len(self), rows // factor, factor, columns // factor, factor)
        return self._with(blocks.mean(axis=(2, 4)), self.labels)

    def _with(self, pixels: FloatArray, labels: IntArray | None) -> Images:
        return Images(pixels=pixels, labels=labels, names=self.names, white=self.white, source=self.source)

    def to_dict(self) -> dict[str, Any]:
        """What they are, without the pixels, as JSON holds it."""
        return {
            "source": self.source,
            "images": len(self),
            "shape": list(self.shape),
            "white": self.white,
            "classes": None if self.labels is None else {self.name(label): k for label, k in self.counts.items()},
            "digest": self.digest,
        }

    def __repr__(self) -> str:
        rows, columns = self.shape
        classes = f"classes {' '.join(map(self.name, self.counts))}" if self.labels is not None else "no labels"
        return f"Images({len(self)} of {rows} x {columns}, {classes}, white {self.white:g})"


def read_images(path: str | Path, labels: Annotated[Any, "m"] | str | Path | None = None) -> Images:
    """Read grey images, and their labels where there are any.

    Which grey value is white, and becomes 1, is a rule: for IDX 255; for PNG the largest of its depth; for arrays the
    least of 1, 16, 255 and 65535 that none of their values exceeds.

    Parameters
    ----------
    path:
        An IDX file (bytes; also compressed by gzip); a ``.npy`` file of shape (m, h, w); a ``.npz`` file with
        ``images`` and perhaps ``labels``; or a folder of PNGs without colours, all of one size, in the order of their
        names. The label of a PNG is what stands before the first ``_`` or ``-`` of its name, ``7_0012.png``, or the
        name of the sub-folder that it lies in.
    labels : (m,) array_like of int, str or Path, optional
        What the images show, or the file that holds it (`read_labels`); before those that come with the images.

    Raises
    ------
    InputError
        If the files are not such, are damaged, promise more than they hold, or do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> np.savez("two.npz", images=np.array([[[0, 16], [8, 4]], [[16, 0], [0, 0]]]), labels=[3, 5])
    >>> images = spu.read_images("two.npz")
    >>> images
    Images(2 of 2 x 2, classes 3 5, white 16)
    >>> images.pixels[0]
    array([[0.  , 1.  ],
           [0.5 , 0.25]])
    """
    where = Path(path)
    found: NDArray[Any]
    own: Any = None
    names: dict[int, str] = {}
    white: float | None
    if _is_folder(where):
        found, own, names, white = _read_folder(where)
    else:
        found, own, white = _read_file(where, "images", 3)
    if labels is not None:
        own, names = (read_labels(labels) if isinstance(labels, (str, Path)) else np.asarray(labels)), {}
    try:
        if own is not None:
            own = _checked_labels(own)
            if len(own) != len(found):
                raise InputError(f"{len(own)} labels for {len(found)} images")
        white = white_of(found) if white is None else white
        pixels = found / white if white != 1 else found.astype(np.float64)
        return Images(pixels=pixels, labels=own, names=names, white=white, source=str(path))
    except InputError as error:
        raise InputError(error.message, file=path) from None


def read_labels(path: str | Path) -> Annotated[IntArray, "m"]:
    """Read labels: an IDX file (bytes; also compressed), a ``.npy`` file, or ``labels`` of a ``.npz`` file.

    Raises
    ------
    InputError
        If the file is none of them, or holds anything but whole numbers, 0 or more.
    """
    found, _, _ = _read_file(Path(path), "labels", 1)
    try:
        return _checked_labels(found)
    except InputError as error:
        raise InputError(error.message, file=path) from None


def white_of(pixels: Annotated[NDArray[Any], "*s"]) -> float:
    """The grey value that is white: the least of `WHITES` that no pixel exceeds.

    Raises
    ------
    InputError
        If a pixel is negative, above the largest, infinite or NaN, or pixels are no real numbers.
    """
    if pixels.dtype.kind not in "buif":
        raise InputError(f"pixels are of type {pixels.dtype}: real numbers are wanted")
    if not pixels.size:
        raise InputError(f"images have the shape {pixels.shape}: none is there")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= WHITES[-1]):
        said = "a pixel is NaN" if math.isnan(low) or math.isnan(high) else f"pixels go from {low:g} to {high:g}"
        raise InputError(f"{said}: grey values from 0, black, to at most {WHITES[-1]} are wanted")
    return float(next(white for white in WHITES if high <= white))


def _checked_labels(labels: NDArray[Any]) -> IntArray:
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise InputError(
            f"labels are of type {labels.dtype} and shape {labels.shape}: (m,) whole numbers, 0 or more, are wanted"
        )
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) >= _MOST_LABEL):
        raise InputError(f"labels go from {labels.min()} to {labels.max()}: 0 to {_MOST_LABEL - 1} are taken")
    return labels.astype(np.int64)


# --- files ---------------------------------------------------------------------------------


def _read_file(path: Path, what: str, dimensions: int) -> tuple[NDArray[Any], Any, float | None]:
    """Images or labels of a file, labels that come with images, and white where the format says it."""
    size = check_file(path)
    try:
        with path.open("rb") as stream:
            begins = stream.read(8)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from error
    found: NDArray[Any]
    own, white = None, None
    if begins.startswith(b"\x93NUMPY"):
        found = read_npy(path)
    elif begins.startswith(b"PK"):
        arrays = read_npz(path)
        for key in arrays:
            if key not in ("images", "labels"):
                raise InputError(f"unknown array {shorten(key)}; {suggest(key, ('images', 'labels'))}", file=path)
        if what not in arrays:
            raise InputError(f"holds {', '.join(arrays) or 'nothing'}, and no {what}", file=path)
        found, own = arrays[what], arrays.get("labels")
    elif begins.startswith(b"\x1f\x8b"):
        with parsing(path, "gzip"), gzip.open(path) as unpacked:
            found = _read_idx(cast(IO[bytes], unpacked), None, path, what)
        white = 255.0
    elif begins.startswith(b"\0\0"):
        with path.open("rb") as stream:
            found = _read_idx(stream, size, path, what)
        white = 255.0
    elif begins.startswith(b"\x89PNG"):
        raise InputError("is one PNG: give the folder that it lies in", file=path)
    else:
        wanted = "IDX (also .gz), .npy or .npz"
        more = ", or a folder of PNGs" if what == "images" else ""
        raise InputError(f"holds no {what} by its first bytes: wanted is {wanted}{more}", file=path)
    if found.ndim != dimensions:
        wanted = "(m, h, w), without colours" if dimensions == 3 else "(m,)"
        raise InputError(f"{what} of shape {found.shape}: {wanted} is wanted", file=path)
    return found, own, white


_IDX_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def _read_idx(stream: IO[bytes], size: int | None, path: Path, what: str) -> NDArray[np.uint8]:
    """The bytes of an IDX file, ``size`` of them if known: 0 0 type dimensions, lengths of four bytes, entries."""
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        raise InputError("is no IDX file: it must begin with 0 0, a type, and 1 to 4 dimensions", file=path)
    if head[2] != 0x08:
        kind = _IDX_TYPES.get(head[2])
        said = f"holds {kind}" if kind else f"has the unknown type 0x{head[2]:02x}"
        raise InputError(f"is an IDX file that {said}: bytes (0x08) are read", file=path)
    wanted = {1: "labels", 3: "images"}.get(head[3])
    if wanted != what:
        other = f", as {wanted} have" if wanted else ""
        raise InputError(f"is an IDX file of {head[3]} dimensions{other}: no {what}", file=path)
    lengths = stream.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise InputError("is an IDX file that ends within its header", file=path)
    shape = tuple(int(length) for length in np.frombuffer(lengths, dtype=">u4"))
    entries = math.prod(shape)
    if entries > MAX_ENTRIES:
        raise InputError(f"promises {shape} bytes: at most {MAX_ENTRIES:,} in all are read", file=path)
    if size is not None and size != entries + 4 + 4 * head[3]:
        raise InputError(f"promises {shape} bytes, and {size - 4 - 4 * head[3]:,} are there", file=path)
    data = stream.read(entries + 1)
    if len(data) != entries:
        there = f"only {len(data):,}" if len(data) < entries else "more"
        raise InputError(f"promises {shape} bytes, and {there} are there", file=path)
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


# --- folders -------------------------------------------------------------------------------


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # check_file says what is wrong
        return False


def _pngs(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() == ".png" and not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.name)


def _read_folder(folder: Path) -> tuple[NDArray[Any], IntArray | None, dict[int, str], float]:
    """Pixels, labels, names of classes and white of a folder of PNGs, or of folders of PNGs."""
    try:
        files = _pngs(folder)
        below = {part.name: _pngs(part) for part in sorted(folder.iterdir()) if part.is_dir()}
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=folder) from error
    below = {name: inside for name, inside in below.items() if inside}
    if files and below:
        raise InputError(f"holds PNGs and a folder of PNGs, {shorten(min(below))}: one or the other", file=folder)
    if not files and not below:
        raise InputError("holds no .png file, and no folder of them", file=folder)
    labels: list[int] | None
    names: dict[int, str] = {}
    if below:
        if all(name.isascii() and name.isdigit() and len(name) <= 6 for name in below):
            numbers = {name: int(name) for name in below}
        else:
            numbers = {name: k for k, name in enumerate(below)}
            names = {k: name for name, k in numbers.items()}
        files = [path for inside in below.values() for path in inside]
        labels = [numbers[name] for name, inside in below.items() for _ in inside]
    else:
        labels = _labels_by_name(folder, files)
    if len(files) > MOST_FILES:
        raise InputError(f"holds {len(files):,} PNGs: at most {MOST_FILES:,} are read", file=folder)
    pixels, white = _read_pngs(files)
    return pixels, None if labels is None else np.array(labels, dtype=np.int64), names, white


def _labels_by_name(folder: Path, files: Sequence[Path]) -> list[int] | None:
    found = [_LABELLED.match(path.name) for path in files]
    if not any(found):
        return None
    for path, match in zip(files, found, strict=True):
        if match is None:
            raise InputError(
                f"{shorten(path.name)} says no label, as other names do: a name begins with its label and _ (7_12.png)",
                file=folder,
            )
    return [int(match[1]) for match in found if match is not None]


_DEPTHS = {"1": 1, "L": 255, "I;16": 65535, "I": 65535}
"""White of Pillow's modes without colour."""


def _read_pngs(files: Sequence[Path]) -> tuple[NDArray[np.uint16], float]:
    from PIL import Image  # takes a tenth of a second

    pixels: NDArray[np.uint16] | None = None
    first_mode = ""
    for k, path in enumerate(files):
        check_file(path)
        with parsing(path, "PNG"), Image.open(path, formats=["PNG"]) as image:
            columns, rows = image.size
            if image.mode not in _DEPTHS:
                raise InputError(f"has colours or transparency (mode {image.mode}): grey is wanted", file=path)
            if getattr(image, "is_animated", False):
                raise InputError("is animated: one image a file is wanted", file=path)
            if pixels is None:
                if len(files) * rows * columns > MAX_ENTRIES:
                    said = f"{len(files)} images of {rows} x {columns} pixels"
                    raise InputError(f"{said}: at most {MAX_ENTRIES:,} pixels in all are read", file=path)
                pixels, first_mode = np.empty((len(files), rows, columns), dtype=np.uint16), image.mode
            if (rows, columns) != pixels.shape[1:]:
                said = f"has {rows} x {columns} pixels, and {files[0].name} {pixels.shape[1]} x {pixels.shape[2]}"
                raise InputError(f"{said}: all must be of one size", file=path)
            if image.mode != first_mode:
                said = f"is of mode {image.mode}, and {files[0].name} of {first_mode}"
                raise InputError(f"{said}: all must be of one depth", file=path)
            pixels[k] = np.asarray(image)
    assert pixels is not None  # there is a file
    return pixels, float(_DEPTHS[first_mode])
