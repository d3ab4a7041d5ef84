"""Calibrated boards: values against tolerances, spectra as measured, fitted and designed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.studies.calibration import Calibration
    from spu.studies.calibration.result import Heard

_MOST_VALUES, _MOST_CHANNELS = 60, 4
"""That are drawn."""


def draw_calibration(found: Calibration) -> Figure:
    """Deviations with two standard errors on bands of two stated sigmas, and the spectra of a few channels."""
    rows = min(len(found.values), _MOST_VALUES)
    figure = new_figure(12.0 if found.heard else 7.0, max(4.0, 1.2 + 0.22 * rows))
    if found.heard is None:
        _values(figure.subplots(), found)
        return figure
    left, right = figure.subplots(1, 2)
    _values(left, found)
    _spectra(right, found.heard, found.channels)
    return figure


def _values(axes: Axes, found: Calibration) -> None:
    import numpy as np

    shown = found.values[:_MOST_VALUES]
    for row, each in enumerate(shown):
        if each.tolerance:
            band = 100 * 2 * each.tolerance
            axes.barh(row, 2 * band, left=-band, height=0.8, color="0.88", linewidth=0)
        error = each.standard_error / abs(each.nominal)
        if np.isfinite(error):
            axes.errorbar(100 * each.deviation, row, xerr=100 * 2 * error, fmt="o", color="C0", markersize=3.5)
        else:
            axes.plot(100 * each.deviation, row, "x", color="C3", markersize=5)
    axes.axvline(0.0, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [each.name for each in shown], fontsize=7)
    axes.invert_yaxis()
    left_out = len(found.values) - len(shown)
    more = f" ({left_out} more)" if left_out else ""
    axes.set(xlabel="deviation from nominal, %", title=f"two standard errors, two stated sigmas (grey){more}")
    if any(not np.isfinite(each.standard_error) for each in shown):
        axes.plot([], [], "x", color="C3", label="not told")
        axes.legend()


def _spectra(axes: Axes, heard: Heard, channels: tuple[str, ...]) -> None:
    for k, name in enumerate(channels[:_MOST_CHANNELS]):
        colour = f"C{k % 10}"
        axes.loglog(heard.frequencies, heard.measured[:, k], ".", color=colour, markersize=2.5, alpha=0.5, label=name)
        axes.loglog(heard.frequencies, heard.fitted[:, k], color=colour, linewidth=1.2)
        axes.loglog(heard.frequencies, heard.designed[:, k], color=colour, linewidth=0.8, linestyle="dashed")
    axes.set(
        xlabel="frequency, Hz",
        ylabel="density, square of the record's unit per Hz",
        title="measured (dots), fitted, designed (dashed)",
    )
    axes.legend()
