"""The graph of a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spu.base.layout import shortened
from spu.reports.pictures.figures import (
    MOST_LABELS,
    MOST_PIXELS,
    coarsened,
    common_scale,
    heat_map,
    new_figure,
)

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.base.arrays import FloatArray
    from spu.reports.inspection import Look


_LONGEST_NAME = 16  # letters of a cell's name in the graph

_MOST_ON_A_CIRCLE = 12  # cells; more are laid out by springs


def draw_device(look: Look, graph: nx.Graph | None, variables: Sequence[str], covariance: FloatArray) -> Figure:
    """Draw the graph of a device, unless it is too large to be given, beside its predicted covariance."""
    figure = new_figure(13.5 if graph is not None else 7.5, 6.4)
    axes = figure.subplots(1, 2 if graph is not None else 1, squeeze=False)[0]
    right = axes[-1]
    if graph is not None:
        _draw_graph(axes[0], look, graph)
    title = "predicted covariance"
    if len(variables) > MOST_PIXELS:
        size = -(-len(variables) // MOST_PIXELS)
        covariance, variables = coarsened(covariance, size), variables[::size]
        title += f"\n(largest entry in blocks of {size} x {size})"
    image = heat_map(right, covariance, variables, common_scale([covariance]))
    right.set_title(title)
    figure.colorbar(image, ax=right, shrink=0.85, label="problem units squared")
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
    for kind, (colour, style) in look.lines.items():
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
    if n <= MOST_LABELS:
        backing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        short = dict(zip(graph, shortened(list(graph), _LONGEST_NAME), strict=True))
        nx.draw_networkx_labels(graph, place, short, font_size=9 if n <= 12 else 6, bbox=backing, ax=axes)
    found = {coupler.kind for coupler in couplers}
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=2, label=kind)
        for kind, (colour, style) in look.lines.items()
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
