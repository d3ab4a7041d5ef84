"""How costs grow: time and energy over dimension, device beside digital."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.studies.algebra.scaling import Scaling

_COLOURS = ("tab:blue", "tab:red", "tab:green", "tab:purple", "tab:brown", "tab:cyan")


def draw_scaling(found: Scaling) -> Figure:
    """Draw time and energy of an answer over n, on logarithmic scales: the device's points and means, and the digital.

    Where they cross among the points is marked. Dotted is the published power, less one as the error is relative,
    through the first mean.
    """
    figure = new_figure(11.0, 4.8)
    for axes, quantity in zip(figure.subplots(1, 2), ("time", "energy"), strict=True):
        _draw(axes, found, quantity)
    figure.suptitle(f"{found.task} to {found.error:g} on {found.hardware}, {found.architecture} ({found.family})")
    return figure


def _draw(axes: Axes, found: Scaling, quantity: str) -> None:
    for k, condition in enumerate(found.conditions):
        colour = _COLOURS[k % len(_COLOURS)]
        n, device, digital = found.series(quantity, condition)
        if not len(n):
            continue
        label = f"kappa {condition:g}" if found.family != "wishart" else "device"
        here = [point for point in found.planned if point.asked == condition]
        each = [(point.device_time or 0.0) if quantity == "time" else point.total for point in here]
        axes.plot([point.dimension for point in here], each, ".", color=colour, alpha=0.4)
        axes.plot(n, device, "-", color=colour, label=label)
        axes.plot(n, digital, "--", color=colour, label=f"digital, {here[0].method}" if k == 0 else None)
        crossing = found.crossing(quantity, condition)
        if crossing.dimension is not None and crossing.inside:
            level = np.exp(np.interp(np.log(crossing.dimension), np.log(n), np.log(digital)))
            axes.plot(crossing.dimension, level, "o", color=colour, markersize=11, fillstyle="none")
        if quantity == "time" and k == 0 and found.published is not None and len(n) > 1:
            power = found.published.dimension
            label = f"published: n^{power:g} absolute, n^{power - 1:g} relative"
            axes.plot(n, device[0] * (n / n[0]) ** (power - 1), ":", color="0.5", label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("dimension n")
    units = {"time": "s", "energy": "J, what is stated of it"}
    axes.set_ylabel(f"{quantity} of an answer ({units[quantity]})")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
