"""Error budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.budget import Budget


def draw_budget(budget: Budget) -> Figure:
    """Draw what each effect costs: by itself, and its part along the whole error, which may make up for others."""
    lines = (*budget.lines, budget.rest)
    figure = new_figure(10.0, 1.8 + 0.5 * len(lines))
    axes = figure.subplots()
    places = range(len(lines))
    axes.barh([k - 0.2 for k in places], [line.norm for line in lines], 0.38, color="0.75", label="by itself")
    shares = [line.share for line in lines]
    axes.barh([k + 0.2 for k in places], shares, 0.38, color="tab:blue", label="share of the whole (they add up)")
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.axvline(budget.relative_error, color="tab:red", linestyle="dashed", label="whole error")
    axes.set_yticks(list(places), [line.meaning for line in lines])
    axes.invert_yaxis()
    axes.set_xlabel(f"error of the {budget.answer} (relative, Frobenius)")
    axes.set_title(f"error budget, against the {budget.against}")
    axes.legend()
    return figure
