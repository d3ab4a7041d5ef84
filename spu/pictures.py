"""Pictures: matrices, the graph of a device, errors against samples. Legible without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spu.errors import OutputError

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from spu.look import Look

    FloatArray = NDArray[np.float64]

_SUFFIXES = (".png", ".svg", ".pdf")

_CORNERS = {"ideal": "ideal model", "emulator": "emulator", "ngspice": "ngspice"}

# Kind of coupler: colour, line style. The style carries what the colour says.
_KINDS: dict[str, tuple[str, Any]] = {
    "capacitance": ("tab:blue", "solid"),
    "conductance": ("tab:orange", "dashed"),
    "inductance": ("tab:green", "dashdot"),
    "transconductance > 0": ("tab:red", "solid"),
    "transconductance < 0": ("tab:purple", "dotted"),
}

_SVG = "http://www.w3.org/2000/svg"

_MOST_ON_A_CIRCLE = 12  # cells; more are laid out by springs
_MOST_LABELS = 40  # on an axis or a graph
_MOST_NUMBERS = 10  # rows of a matrix whose entries are written out
_MOST_PIXELS = 1000  # rows of a matrix drawn one by one
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

    from spu.files import write_with

    kind = file.suffix.lower()[1:]
    # Without a date, and with names of its parts that are not random, the same command writes the same file.
    undated: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "spu"}):
        write_with(file, lambda stream: figure.savefig(stream, format=kind, dpi=130, metadata=undated))


def draw_covariances(variables: Sequence[str], covariances: Mapping[str, FloatArray]) -> Figure:
    """Draw the covariances of the corners on one scale; beneath, how they differ from the first."""
    import numpy as np

    shown = [name for name in _CORNERS if name in covariances]
    figure = _figure(4.2 * len(shown) + 1.2, 8.4)
    axes = np.array(figure.subplots(2, len(shown), squeeze=False))
    reference = covariances[shown[0]]
    scale = _scale([covariances[name] for name in shown])
    differences = [covariances[name] - reference for name in shown[1:]]
    fine = _scale(differences)
    unit = 10.0 ** np.floor(np.log10(fine))
    for k, name in enumerate(shown):
        image = heat_map(axes[0, k], covariances[name], variables, scale)
        axes[0, k].set_title(f"covariance: {_CORNERS[name]}")
        if k == 0:
            continue
        gap = float(np.linalg.norm(differences[k - 1]) / (np.linalg.norm(reference) or 1.0))
        below = heat_map(axes[1, k], differences[k - 1], variables, fine, unit)
        axes[1, k].set_title(f"{_CORNERS[name]} - {_CORNERS[shown[0]]}\n({gap:.1e} of it, Frobenius)")
    figure.colorbar(image, ax=list(axes[0]), shrink=0.85, label="problem units squared")
    axes[1, 0].axis("off")
    axes[1, 0].text(
        *(0.5, 0.5),
        f"Right: differences to the {_CORNERS[shown[0]]},\non a scale of their own "
        f"(numbers: times {unit:.0e}).\n\n"
        "Numbers, or a minus sign on\nnegative entries, where there is room.",
        ha="center",
        va="center",
        transform=axes[1, 0].transAxes,
    )
    if differences:
        figure.colorbar(below, ax=list(axes[1]), shrink=0.85, label="difference, problem units squared")
    return figure


def draw_device(look: Look, graph: nx.Graph | None, variables: Sequence[str], covariance: FloatArray) -> Figure:
    """Draw the graph of a device, unless it is too large to be given, beside its predicted covariance."""
    figure = _figure(13.5 if graph is not None else 7.5, 6.4)
    axes = figure.subplots(1, 2 if graph is not None else 1, squeeze=False)[0]
    right = axes[-1]
    if graph is not None:
        _draw_graph(axes[0], look, graph)
    title = "predicted covariance"
    if len(variables) > _MOST_PIXELS:
        size = -(-len(variables) // _MOST_PIXELS)
        covariance, variables = _coarse(covariance, size), variables[::size]
        title += f"\n(largest entry in blocks of {size} x {size})"
    image = heat_map(right, covariance, variables, _scale([covariance]))
    right.set_title(title)
    figure.colorbar(image, ax=right, shrink=0.85, label="problem units squared")
    return figure


def _coarse(matrix: Any, size: int) -> FloatArray:
    """The entry of largest size in each (size, size) block of a dense or sparse (n, n) matrix."""
    import numpy as np
    import scipy.sparse as sp

    entries = sp.coo_array(matrix)
    blocks = -(-matrix.shape[0] // size)
    place = entries.row // size * blocks + entries.col // size
    order = np.argsort(np.abs(entries.data), kind="stable")  # the last one written stays
    coarse = np.zeros(blocks * blocks)
    coarse[place[order]] = entries.data[order]
    return coarse.reshape(blocks, blocks)


def draw_matrix(
    title: str, matrix: FloatArray, names: Sequence[str], scale: float, label: str, unit: float | None = None
) -> Figure:
    """Draw one matrix, from -scale to scale; one with too many rows block by block."""
    if len(names) > _MOST_PIXELS:
        size = -(-len(names) // _MOST_PIXELS)
        matrix, names = _coarse(matrix, size), names[::size]
        title += f"\n(largest entry in blocks of {size} x {size})"
    written_out = len(names) <= _MOST_NUMBERS
    figure = _figure(4.0 if written_out else 4.6, 4.0)
    axes = figure.subplots()
    image = heat_map(axes, matrix, names, scale, unit)
    axes.set_title(title, fontsize=11)
    if not written_out:
        figure.colorbar(image, ax=axes, shrink=0.8, label=label)
    return figure


def draw_convergence(
    samples: FloatArray, found: FloatArray, expected: FloatArray, floor: float | None, what: str
) -> Figure:
    """Draw relative errors (k,) against numbers of samples (k,), with the expected ones and where they end.

    Parameters
    ----------
    samples, found, expected:
        Readouts taken, and the relative error found and expected (root mean square) after as many.
    floor:
        What is left however many samples are taken; None or 0 for nothing.
    what:
        The quantity that is in error, for the axis.
    """
    figure = _figure(6.6, 4.4)
    axes = figure.subplots()
    axes.loglog(samples, expected, color="black", linestyle="dashed", label="predicted (root mean square)")
    axes.loglog(samples, found, color="tab:blue", marker="o", linestyle="solid", label="found by sampling")
    if floor:
        axes.axhline(floor, color="tab:red", linestyle="dotted", label=f"left after infinitely many: {floor:.1e}")
    axes.set_xlabel("readouts taken")
    axes.set_ylabel(f"relative error of the {what}")
    axes.grid(visible=True, which="both", color="0.88")
    axes.legend(fontsize=9)
    return figure


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


def heat_map(
    axes: Axes, matrix: FloatArray, names: Sequence[str], scale: float, unit: float | None = None
) -> AxesImage:
    """Draw a matrix with its row and column names, from -scale to scale; negative entries are marked.

    Small matrices are written out, in multiples of ``unit`` if one is given.
    """
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
    n = len(matrix)
    step = -(-n // _MOST_LABELS)
    ticks = range(0, n, step)
    size, small = (9 if n <= 12 else 6), (8 if n <= 6 else 7)
    axes.set_xticks(ticks, [names[k] for k in ticks], rotation=90, fontsize=size)
    axes.set_yticks(ticks, [names[k] for k in ticks], fontsize=size)
    for i, j in ((i, j) for i in range(n) for j in range(n) if n <= _MOST_MARKS):
        value = matrix[i, j]
        if n > _MOST_NUMBERS and not value < -0.02 * scale:
            continue
        written = f"{value:.2g}" if unit is None else f"{round(value / unit, 2) + 0.0:.2f}"
        text = "-" if n > _MOST_NUMBERS else written
        dark = abs(value) > 0.6 * scale
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=small)
    return image


def _scale(matrices: Sequence[FloatArray]) -> float:
    largest = max((float(abs(matrix).max()) for matrix in matrices), default=0.0)
    return largest or 1.0


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.15)  # inches
    FigureCanvasAgg(figure)
    return figure


def _draw_graph(axes: Axes, look: Look, graph: nx.Graph) -> None:
    import networkx as nx
    from matplotlib.lines import Line2D

    n = len(graph)
    if n <= _MOST_ON_A_CIRCLE:
        place = nx.circular_layout(graph)
        axes.set_aspect("equal")
    else:
        place = nx.spring_layout(graph, seed=1, iterations=50 if n <= 500 else 10)
    couplers = look.couplers
    strongest = max((coupler.strength for coupler in couplers), default=0.0) or 1.0
    for kind, (colour, style) in _KINDS.items():
        chosen = [coupler for coupler in couplers if coupler.kind == kind]
        if chosen:
            nx.draw_networkx_edges(
                graph,
                place,
                edgelist=[(coupler.a, coupler.b) for coupler in chosen],
                width=[0.4 + 4.0 * coupler.strength / strongest for coupler in chosen],
                edge_color=colour,
                style=style,
                ax=axes,
            )
    size = 420 if n <= _MOST_ON_A_CIRCLE else max(20, 9000 // n)
    for shape, flipped in (("o", False), ("s", True)):
        chosen_cells = [cell.name for cell in look.cells if cell.flipped == flipped]
        nx.draw_networkx_nodes(
            graph,
            place,
            nodelist=chosen_cells,
            node_shape=shape,
            node_color="white" if not flipped else "lightgray",
            edgecolors="black",
            node_size=size,
            ax=axes,
        )
    if n <= _MOST_LABELS:
        backing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        nx.draw_networkx_labels(graph, place, font_size=9 if n <= 12 else 6, bbox=backing, ax=axes)
    found = {coupler.kind for coupler in couplers}
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=2, label=kind)
        for kind, (colour, style) in _KINDS.items()
        if kind in found
    ]
    if any(cell.flipped for cell in look.cells):
        square: dict[str, Any] = {"marker": "s", "markerfacecolor": "lightgray", "linestyle": "none"}
        handles.append(Line2D([], [], color="black", label="read inverted", **square))
    if handles:
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False)
    axes.set_title(f"{n} cells, {len(couplers)} couplers (width: strength of coupling)")
    axes.margins(0.12)
    axes.axis("off")
