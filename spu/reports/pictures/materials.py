"""Bills of materials: how far the values that are sold lie from those that were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.base.numbers import share
from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.export.materials import Materials

_MOST_LINES = 30


def draw_materials(found: Materials) -> Figure:
    """Draw, line by line, how far the nearest value of the series is off; the lines that are farthest off, of many."""
    lines = [(item, item.deviation) for item in found.items if item.deviation is not None]
    lines.sort(key=lambda line: -abs(line[1]))
    shown = lines[:_MOST_LINES]
    figure = new_figure(8.0, 1.6 + 0.28 * max(len(shown), 1))
    axes = figure.subplots()
    axes.barh(range(len(shown)), [100 * off for _, off in shown], 0.6, color="tab:blue")
    labels = [f"{item.designators[0]}{'...' if item.quantity > 1 else ''}  {item.text}" for item, _ in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    few = f", the {len(shown)} farthest off of {len(lines)} lines" if len(lines) > len(shown) else ""
    axes.set_xlabel(f"nearest value of {found.series} less the value, per cent of it{few}")
    off = found.covariance_error
    cost = "" if off is None else f"; with all of them the covariance is {share(off)} off"
    axes.set_title(f"values as they are sold{cost}", fontsize=10)
    return figure
