"""Pictures of annealings: what the runs ended in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.annealing import Annealing

_BINS = 40


def draw_annealing(found: Annealing) -> Figure:
    """Draw a histogram of costs, with the reference and the share of runs that reached it."""
    figure = new_figure(6.4, 4.2)
    panel = figure.subplots()
    shown = found.costs if found.reference is None else np.append(found.costs, found.reference)
    levels = np.unique(np.round(shown, 9))
    width = float(np.ptp(levels)) / _BINS
    if len(levels) <= _BINS:  # a bar a level
        width = 0.8 * float(np.diff(levels).min(initial=width * _BINS or 1.0))
        counts = np.array([np.isclose(found.costs, level, rtol=0, atol=1e-8).sum() for level in levels])
        panel.bar(levels, counts / found.runs, width=width, color="tab:blue")
    else:
        panel.hist(found.costs, bins=_BINS, weights=np.full(found.runs, 1 / found.runs), color="tab:blue")
    if found.reference is not None and found.success is not None and found.success_interval is not None:
        name = "ground state" if found.reference_source == "counted" else "best known"
        panel.axvline(found.reference, color="tab:red", linestyle="--", label=name)
        low, high = found.success_interval
        error = [[found.success - low], [high - found.success]]
        panel.errorbar(
            [found.reference], [found.success], error, color="black", marker="o", capsize=4, label="success, 95 %"
        )
        panel.legend()
    panel.set_xlabel("cost at the end of a run")
    panel.set_ylabel("share of runs")
    panel.set_title(f"{found.runs} runs of {found.time_of_run:.3g} s, {found.schedule}")
    return figure
