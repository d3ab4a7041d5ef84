"""How costs grow: time and energy over dimension, device beside digital."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.base.arrays import FloatArray
    from spu.studies.algebra.scaling import Crossing, Scaling

_COLOURS = ("tab:blue", "tab:red", "tab:green", "tab:purple", "tab:brown", "tab:cyan")


def draw_scaling(found: Scaling) -> Figure:
    """Draw time and energy of an answer over n, on logarithmic scales: the device's points and means, and the digital.

    Where they cross is circled; thin lines lead to a crossing beyond the points, with the interval of 95 % it has. Dotted
    is the published power, less one as the error is relative, through the first mean.
    """
    figure = new_figure(11.0, 5.0)
    for axes, quantity in zip(figure.subplots(1, 2), ("time", "energy"), strict=True):
        _draw(axes, found, quantity)
    figure.suptitle(
        f"{found.task} to {found.error:g} on {found.hardware}, {found.architecture} ({found.family}); only what is stated"
    )
    return figure


def _draw(axes: Axes, found: Scaling, quantity: str) -> None:
    for k, condition in enumerate(found.conditions):
        colour = _COLOURS[k % len(_COLOURS)]
        n, device, digital = found.series(quantity, condition)
        if not len(n):
            continue
        here = [point for point in found.planned if point.asked == condition]
        each = [(point.device_time or 0.0) if quantity == "time" else point.total for point in here]
        label = "device" if found.family == "wishart" else f"device, condition {condition:g}"
        axes.plot([point.dimension for point in here], each, ".", color=colour, alpha=0.4)
        axes.plot(n, device, "-", color=colour, label=label)
        axes.plot(n, digital, "--", color=colour, label=f"digital: {here[0].method}" if k == 0 else None)
        _mark(axes, found.crossing(quantity, condition), n, device, digital, colour)
        if quantity == "time" and k == 0 and found.published is not None and len(n) > 1:
            power = found.published.dimension
            label = f"published: n^{power:g} to an absolute error, so n^{power - 1:g}"
            axes.plot(n, device[0] * (n / n[0]) ** (power - 1), ":", color="0.4", label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("dimension n")
    axes.set_ylabel({"time": "time of an answer (s)", "energy": "energy of an answer (J)"}[quantity])
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _mark(axes: Axes, crossing: Crossing, n: FloatArray, device: FloatArray, digital: FloatArray, colour: str) -> None:
    """Circle a crossing, where it is among the points or not too far from them."""
    at = crossing.dimension
    if at is None or at > _SHOWN * n[-1]:
        return
    if crossing.inside:
        level = float(np.exp(np.interp(np.log(at), np.log(n), np.log(device))))
    else:
        slope, height = np.polyfit(np.log(n), np.log(digital), 1)
        level = float(np.exp(height + slope * np.log(at)))
        for costs in (device, digital):
            axes.plot([n[-1], at], [costs[-1], level], "-", color=colour, linewidth=0.6, alpha=0.7)
        ends = [crossing.low or n[-1], min(crossing.high or np.inf, _SHOWN * n[-1])]
        axes.plot(ends, [level, level], "|-", color=colour, linewidth=1.0)
    axes.plot(at, level, "o", color=colour, markersize=9, fillstyle="none")


_SHOWN = 1e6
"""How many times the largest dimension a crossing may lie at to be drawn."""
