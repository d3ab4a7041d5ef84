"""A characterisation: every parameter over temperature, with its limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.studies.yields.characterisation import Characterisation, Parameter

_MOST_PANELS, _MOST_DOTS = 12, 500


def draw_characterisation(found: Characterisation) -> Figure:
    """Draw parameters over temperature: corners of the process as lines, boards as dots, limits dashed."""
    shown = found.parameters[:_MOST_PANELS]
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(4.2 * columns, 3.2 * rows)
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, parameter in zip(panels, shown, strict=False):
        _draw(axes, found, parameter)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: Axes, found: Characterisation, parameter: Parameter) -> None:
    if parameter.boards.size:
        values = parameter.boards[:, :_MOST_DOTS]
        kelvins = np.broadcast_to(found.temperatures[:, None], values.shape)
        axes.plot(kelvins.ravel(), values.ravel(), ".", color="tab:blue", alpha=0.15, markersize=4)
    lines: dict[str, list[tuple[float, float]]] = {}
    for condition, value in zip(found.conditions, parameter.conditions.tolist(), strict=True):
        corner = ", ".join(f"{quantity} {sigmas:+g}" for quantity, sigmas in condition.process.items())
        lines.setdefault(corner, []).append((condition.temperature, value))
    for corner, points in lines.items():
        colour, width = ("0.6", 0.8) if corner else ("black", 1.6)
        axes.plot(*zip(*sorted(points), strict=True), "o-", color=colour, linewidth=width, markersize=3)
    for limit in (parameter.requirement.minimum, parameter.requirement.maximum):
        if limit is not None:
            axes.axhline(limit, color="tab:red", linestyle="dashed")
    axes.set_title(f"{parameter.requirement.name}: {parameter.verdict}", fontsize="medium")
    axes.set_xlabel("temperature (K)")
    axes.set_ylabel(parameter.unit or "1")
    axes.grid(alpha=0.3)
