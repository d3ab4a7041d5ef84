"""What all figures share: sizes, scales, heat maps, files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spu.base.errors import OutputError
from spu.base.layout import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    from spu.base.arrays import FloatArray
    from spu.emulator.laws.spectra import Spectra


_SUFFIXES = (".png", ".svg", ".pdf")

_SVG = "http://www.w3.org/2000/svg"

MOST_LABELS = 40  # on an axis or a graph

MOST_NUMBERS = 10  # rows of a matrix whose entries are written out

MOST_PIXELS = 1000  # rows of a matrix drawn one by one

_MOST_MARKS = 40  # rows of a matrix whose negative entries are marked


def refuse_picture(file: Path) -> None:
    """Raise what `save` would raise, before any work is done."""
    if file.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"cannot be drawn: the name must end in {', '.join(_SUFFIXES)}", file=file)
    if not file.parent.is_dir():
        raise OutputError(f"cannot be written: there is no folder {str(file.parent)!r}", file=file)
    if file.is_dir():
        raise OutputError("is a folder; a file is to be written", file=file)


def save(figure: Figure, file: Path) -> None:
    """Write a figure, whole or not at all, in the format of the file's extension."""
    import matplotlib as mpl

    from spu.base.files import write_with

    kind = file.suffix.lower()[1:]
    # Without a date, and with names of its parts that are not random, the same command writes the same file.
    undated: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "spu"}):
        write_with(file, lambda stream: figure.savefig(stream, format=kind, dpi=130, metadata=undated))


def panel_count(spectra: Spectra) -> int:
    """How many panels spectra take: one a cell, one a pair."""
    return len(spectra.cells) + len(spectra.pairs)


def one_legend(figure: Figure | SubFigure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, beneath them."""
    handles: dict[str, Any] = {}
    for axis in axes:
        handles |= {str(label): handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, frameon=False)


def time_unit(longest: float) -> tuple[float, str]:
    """Factor from seconds to a unit in which the longest time is 1 to 1000, and the unit."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")):
        if longest * factor >= 1.0:
            return factor, unit
    return 1e12, "ps"


def coarsened(matrix: Any, size: int) -> FloatArray:
    """The entry of largest size in each (size, size) block of a dense or sparse (m, n) matrix."""
    import numpy as np
    import scipy.sparse as sp

    entries = sp.coo_array(matrix)
    rows, columns = (-(-many // size) for many in matrix.shape)
    place = entries.row // size * columns + entries.col // size
    order = np.argsort(np.abs(entries.data), kind="stable")  # the last one written stays
    coarse = np.zeros(rows * columns)
    coarse[place[order]] = entries.data[order]
    return coarse.reshape(rows, columns)


def svg(figure: Figure, name: str, description: str) -> str:
    """Give a figure as an ``<svg>`` element to stand in a page: named, without identifiers that others could share.

    Parameters
    ----------
    figure:
        What to draw; text stays text, in whatever sans-serif there is.
    name:
        Stands before every identifier, with a hash of the picture.
    description:
        For those who do not see it.
    """
    import hashlib
    import io
    from xml.etree import ElementTree

    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", dpi=130, metadata={"Date": None})
    root = ElementTree.fromstring(stream.getvalue())
    name += f"-{hashlib.sha256(stream.getvalue()).hexdigest()[:8]}"
    for element in root.iter():
        for child in [child for child in element if child.tag == f"{{{_SVG}}}metadata"]:
            element.remove(child)
        link = element.attrib.pop("{http://www.w3.org/1999/xlink}href", None)
        if link is not None:
            element.set("href", f"#{name}-{link[1:]}" if link.startswith("#") else link)
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif value.startswith("url(#"):
                element.set(key, f"url(#{name}-{value[5:]}")
    for key in ("width", "height"):  # the page says how large
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", description)
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


_LONGEST_NAME = 20
"""Letters of a name beside a matrix: the matrix is what is to be seen."""


def heat_map(
    axes: Axes, matrix: FloatArray, names: Sequence[str], scale: float, unit: float | None = None
) -> AxesImage:
    """Draw a matrix with the names of its columns, from -scale to scale; negative entries are marked.

    A square one has the same names beside its rows, another one numbers. Small matrices are written out, in multiples
    of ``unit`` if one is given.
    """
    names = shortened(list(names), _LONGEST_NAME)
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
    rows, columns = matrix.shape
    n = max(rows, columns)
    beside = names if rows == columns else [str(k) for k in range(1, rows + 1)]
    ticks = [range(0, many, -(-many // MOST_LABELS)) for many in (rows, columns)]
    size, small = (9 if n <= 12 else 6), (8 if n <= 6 else 7)
    axes.set_xticks(ticks[1], [names[k] for k in ticks[1]], rotation=90, fontsize=size)
    axes.set_yticks(ticks[0], [beside[k] for k in ticks[0]], fontsize=size)
    for i, j in ((i, j) for i in range(rows) for j in range(columns) if n <= _MOST_MARKS):
        value = matrix[i, j]
        if n > MOST_NUMBERS and not value < -0.02 * scale:
            continue
        written = f"{value + 0.0:.2g}" if unit is None else f"{round(value / unit, 2) + 0.0:.2f}"
        text = "-" if n > MOST_NUMBERS else written
        dark = abs(value) > 0.6 * scale
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=small)
    return image


def common_scale(matrices: Sequence[FloatArray]) -> float:
    """The largest entry of some matrices; 1 where all are zero."""
    largest = max((float(abs(matrix).max()) for matrix in matrices), default=0.0)
    return largest or 1.0


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.15)  # inches
    FigureCanvasAgg(figure)
    return figure
