"""Regression by a Gaussian process: data, posterior and sampled functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.gaussian_process import GaussianProcess


def draw_gaussian_process(found: GaussianProcess) -> Figure:
    """Draw the exact posterior in its 95 % band, what the device samples of both, and some sampled functions."""
    import numpy as np

    from spu.studies.gaussian_process import BAND

    figure = new_figure(11.5, 6.0)
    axes = figure.subplots()
    order = np.argsort(found.at, kind="stable")
    at, (fine, mean, deviation) = found.at[order], found.curve
    reach = BAND * deviation
    axes.plot(found.x, found.y, ".", color="0.45", markersize=4, label="observations")
    for k, path in enumerate(found.paths):
        axes.plot(at, path[order], color="C2", linewidth=0.6, alpha=0.7, label="sampled functions" if k == 0 else None)
    axes.plot(fine, mean, color="black", label="posterior mean, exact")
    axes.fill_between(fine, mean - reach, mean + reach, color="C0", alpha=0.18, linewidth=0, label="95 % band, exact")
    sampled, wide = found.sampled_mean[order], BAND * found.sampled_deviation[order]
    bars = 2 * found.mean_error[order], 2 * BAND * found.deviation_error[order]
    marks: dict[str, Any] = {"fmt": "o", "markersize": 3.5, "fillstyle": "none", "linewidth": 0.8}
    axes.errorbar(at, sampled, bars[0], color="C3", label="sampled mean, two standard errors", **marks)
    for side in (-1, 1):
        label = "sampled band, two standard errors" if side == 1 else None
        axes.errorbar(at, sampled + side * wide, bars[1], color="C0", label=label, **marks)
    axes.set(
        xlabel=found.names[0],
        ylabel=found.names[1],
        title=f"{found.kernel}, {found.samples} samples of {found.architecture}: "
        f"{100 * found.coverage:.1f} % in the band of 95 %",
    )
    axes.legend(fontsize=8)
    return figure
