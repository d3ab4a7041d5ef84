"""Error against device time, and the answer that a time gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.base.numbers import engineering, share
from spu.problems.kinds import kind_of
from spu.reports.pictures.figures import new_figure, time_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.algebra.planning import Plan
    from spu.studies.algebra.solution import Solution


def draw_plan(plan: Plan) -> Figure:
    """Draw the error that is expected against the time since switching on, with burn-in, floor and what runs gave."""
    curve = plan.curve()
    scale, unit = time_unit(plan.device_time)
    time = curve["time"] * scale
    figure = new_figure(8.0, 5.6)
    axes = figure.subplots()
    axes.loglog(time, curve["statistical"], color="tab:blue", linestyle="dotted", label="scatter of the readouts")
    start = curve["remainder"] > 1e-3 * min(curve["total"])
    axes.loglog(
        time[start], curve["remainder"][start], color="tab:green", linestyle="dotted", label="left of the start"
    )
    axes.loglog(time, curve["total"], color="black", linewidth=1.6, label="expected")
    lowest = 0.5 * float(curve["total"].min())
    if plan.floor > lowest:
        axes.axhline(plan.floor, color="tab:red", linestyle="dashed", linewidth=1.0, label="floor of the hardware")
    axes.axvspan(float(time[0]) / 2.0, plan.burn_in * scale, color="0.93", label="burn-in of this plan")
    axes.axvline(plan.slowest * scale, color="0.6", linewidth=0.8, linestyle="dashed", label="longest time constant")
    if plan.measured is not None:
        at, runs = plan.measured.time * scale, plan.measured.errors
        axes.loglog(at.repeat(runs.shape[1]), runs.ravel(), ".", color="tab:orange", markersize=3, alpha=0.5)
        axes.loglog(at, plan.measured.rms, "o", color="tab:orange", label=f"rms of {runs.shape[1]} runs, each a dot")
    axes.loglog([plan.device_time * scale], [plan.relative_error], "kD", markersize=6, label="this plan")
    axes.set_xlim(float(time[0]) / 2.0, float(time[-1]))
    axes.set_ylim(bottom=lowest)
    axes.set_xlabel(f"device time since switching on, {unit}")
    axes.set_ylabel("error of the answer, of its size")
    said = f"{share(plan.relative_error)} after {engineering(plan.device_time, 's')}"
    axes.set_title(f"{plan.words}, n = {plan.n}: {said}")
    axes.grid(True, which="major", color="0.85", linewidth=0.6)
    axes.legend(fontsize=8)
    return figure


MOST_ENTRIES = 200
"""Of an answer, the largest that are drawn."""


def draw_solution(found: Solution) -> Figure:
    """Draw the entries of an answer with two standard errors, the largest first, and the digital ones beside them."""
    answer, error = np.ravel(found.answer), np.ravel(found.standard_error)
    order = np.argsort(-np.abs(answer), kind="stable")[:MOST_ENTRIES]
    figure = new_figure(8.0, 4.6)
    axes = figure.subplots()
    places = np.arange(len(order))
    axes.axhline(0.0, color="0.8", linewidth=0.8)
    axes.errorbar(places, answer[order], 2 * error[order], fmt="o", markersize=4, label="answer, two standard errors")
    if found.exact is not None:
        axes.plot(places, np.ravel(found.exact)[order], "kx", markersize=5, label="digital")
    left = f", the largest {len(order)} of {len(answer)}" if len(order) < len(answer) else ""
    axes.set(
        xlabel=f"entries by size{left}",
        ylabel="problem units",
        title=f"{kind_of(found.task).words}: {share(found.relative_error)} expected after "
        f"{engineering(found.device_time, 's')}",
    )
    axes.legend()
    return figure
