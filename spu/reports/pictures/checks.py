"""Checks of many folders: how much of what is allowed each level takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.reports.pictures.figures import MOST_LABELS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.checks import Checks


def draw_checks(found: Checks) -> Figure:
    """Draw the error of each level over what it allows, folder by folder; beyond the line it fails."""
    figure = new_figure(9.0, 2.0 + 0.3 * min(len(found.names), MOST_LABELS))
    axes = figure.subplots()
    for level in dict.fromkeys(name for each in found.checks for name in each.levels):
        held = [(k, each.levels[level]) for k, each in enumerate(found.checks) if level in each.levels]
        points = [(k, one.error / one.tolerance) for k, one in held if one.error and one.tolerance]
        if points:
            axes.plot([share for _, share in points], [k for k, _ in points], "o", label=level)
    axes.axvline(1.0, color="tab:red", linestyle="dashed", label="allowed")
    axes.set_xscale("log")
    axes.set_xlabel("error over what is allowed")
    if len(found.names) <= MOST_LABELS:
        axes.set_yticks(range(len(found.names)), list(found.names))
    axes.invert_yaxis()
    axes.legend(fontsize="small")
    axes.set_title(f"{len(found.names)} folders checked: {found.verdict}")
    return figure
