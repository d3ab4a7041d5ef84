"""Natural gradient by a device: losses, and the first step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.studies.learning.natural import NaturalGradient, OneStep


def draw_natural(found: NaturalGradient) -> Figure:
    """Draw loss against steps for each time, exact and emulated, beside the first step."""
    import numpy as np

    figure = new_figure(13.5, 5.4)
    left, right = figure.subplots(1, 2)
    steps = np.arange(found.steps + 1)
    for k, t in enumerate(found.times):
        colour = f"C{k % 10}"
        left.semilogy(steps, found.loss[k], color=colour, label=f"read {_time(float(t))}")
        left.semilogy(steps, found.emulated_loss[k], "o", color=colour, markersize=5, fillstyle="none")
    left.set(xlabel="step", ylabel="loss", title=f"{found.model.size} parameters: lines exact, rings emulated")
    left.legend()
    _step(right, found.step)
    return figure


def draw_one_step(step: OneStep) -> Figure:
    """Draw every parameter's step at each time over the ideal one."""
    figure = new_figure(7.5, 5.6)
    _step(figure.subplots(), step)
    return figure


def _step(axes: Axes, step: OneStep) -> None:
    low, high = float(step.ideal.min()), float(step.ideal.max())
    axes.plot([low, high], [low, high], color="black", linewidth=0.8)
    for k, t in enumerate(step.times):
        axes.errorbar(
            step.ideal[k],
            step.emulated[k],
            2 * step.error[k],
            fmt="o",
            color=f"C{k % 10}",
            markersize=4,
            fillstyle="none",
            linewidth=0.8,
            label=f"read {_time(float(t))}",
        )
        if step.simulated is not None:
            label = f"{step.simulator}, without noise" if k == 0 else None
            axes.plot(step.ideal[k], step.simulated[k], "x", color="0.4", markersize=4, label=label)
    least = max(abs(low), abs(high)) / 30 or 1.0  # small steps of early times beside large ones
    axes.set_xscale("symlog", linthresh=least)
    axes.set_yscale("symlog", linthresh=least)
    top = math.ceil(math.log10(30 * least))
    powers = [10.0**k for k in range(top - 2, top + 1) if 10.0**k > least / 2]  # nearer to zero they write over it
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([*(-each for each in powers), 0.0, *powers]))
    axes.set(
        xlabel="x of the formula",
        ylabel="x of the device",
        title=f"the first step, {step.trajectories} relaxations, two standard errors",
    )
    axes.legend()


def _time(t: float) -> str:
    import numpy as np

    if t == 0:
        return "at 0: gradient"
    return f"at {t:.3g}" if np.isfinite(t) else "when settled: natural gradient"
