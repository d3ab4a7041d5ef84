"""Pictures of ramps: factors over time, and the work of runs through one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.reports.pictures.figures import new_figure, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.circuit.ramp import Ramp
    from spu.studies.algebra.determinant import LogDeterminant


def draw_ramp(ramp: Ramp) -> Figure:
    """Draw the factors of a ramp over time, before it, during it and after it."""
    figure = new_figure(6.4, 2.6)
    _draw_factors(figure.subplots(), ramp)
    return figure


def _draw_factors(axes: Axes, ramp: Ramp) -> None:
    beyond = 0.08 * (ramp.duration or 1.0)
    unit, name = time_unit(ramp.duration + beyond)
    times = np.concatenate([[-beyond], ramp.times, [ramp.duration + beyond]]) / unit
    for kind, colour in (("couplers", "tab:blue"), ("noise", "tab:orange")):
        if ramp.counts(kind):
            factors = getattr(ramp, kind)
            axes.plot(times, np.concatenate([factors[:1], factors, factors[-1:]]), color=colour, label=kind)
    axes.set_xlabel(f"time ({name})")
    axes.set_ylabel("factor")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def draw_work(found: LogDeterminant) -> Figure:
    """Draw the work of forward runs and that of backward ones with its sign turned: they cross at the free energy."""
    figure = new_figure(6.8, 4.4)
    axes = figure.subplots()
    both = np.concatenate([found.forward, -found.backward])
    bins = np.linspace(both.min(), both.max(), 41).tolist()
    axes.hist(found.forward, bins, density=True, alpha=0.5, label="forward, W")
    axes.hist(-found.backward, bins, density=True, alpha=0.5, label="backward, -W")
    axes.axvline(found.free_energy, color="black", label="free energy, where they cross")
    bar = found.estimate.standard_error
    axes.axvspan(found.free_energy - bar, found.free_energy + bar, color="black", alpha=0.15)
    axes.set_xlabel("work of a run (kT)")
    axes.set_ylabel("density (1/kT)")
    axes.set_title(f"ln det = {found.log_determinant:.6g} +- {found.standard_error:.2g}")
    axes.legend(fontsize="small")
    return figure
