"""Linear devices that leave a given state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.reports.pictures.figures import new_figure, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.emulator.relaxation import Relaxation
    from spu.emulator.runs.kicked import SampledRelaxation

_MOST_DRAWN = 4
"""Variables."""

_PATHS = 3
"""Trajectories of the first variable."""


def draw_relaxation(found: Relaxation) -> Figure:
    """Draw exact means over time in bands of one exact deviation, and what they come to."""
    figure = new_figure(8.5, 5.6)
    _bands(figure.subplots(), found)
    return figure


def draw_sampled_relaxation(run: SampledRelaxation) -> Figure:
    """Draw the means of trajectories with two standard errors on the exact bands, and some trajectories."""
    figure = new_figure(12.0, 5.0)
    left, right = figure.subplots(1, 2)
    scale = _bands(left, run.exact)
    times = run.device_times * scale
    for k in range(min(len(run.variables), _MOST_DRAWN)):
        left.errorbar(
            times, run.mean[:, k], 2 * run.mean_error[:, k], fmt="o", markersize=3, color=f"C{k % 10}", linewidth=0.8
        )
    left.set_title(f"means of {run.trajectories} trajectories with two standard errors, exact bands", fontsize=10)
    _bands(right, run.exact, 1)
    for path in run.readouts[:_PATHS]:
        right.plot(times, path[:, 0], linewidth=0.7, color="0.3", marker=".", markersize=3)
    right.set_title(f"{run.variables[0]} in {min(_PATHS, run.trajectories)} trajectories", fontsize=10)
    return figure


def _bands(axes: Axes, found: Relaxation, most: int = _MOST_DRAWN) -> float:
    """The first variables; returns the factor from seconds to the unit of the axis."""
    import numpy as np

    scale, unit = time_unit(float(found.device_times[-1]) or 1.0)
    times = found.device_times * scale
    for k, name in enumerate(found.variables[:most]):
        colour, mean, deviation = f"C{k % 10}", found.mean[:, k], np.sqrt(found.variance[:, k])
        mark = "o" if len(times) == 1 else None
        axes.plot(times, mean, color=colour, marker=mark, label=name)
        axes.fill_between(times, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(found.stationary_mean[k], color=colour, linestyle="dashed", linewidth=0.8)
    axes.set(xlabel=f"time, {unit}", ylabel="x", title="exact means, and bands of one standard deviation")
    axes.legend()
    return scale
