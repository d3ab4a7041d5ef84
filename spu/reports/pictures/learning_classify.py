"""Pictures of classifications: accuracy against what was swept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spu.base.errors import UsageError
from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.learning.classify import Classification, Reading

_AXES = {
    "time": "time at which outputs are read",
    "average": "independent trajectories averaged",
    "kT": "kT",
    "bits": "bits of couplings and weights",
    "mismatch": "relative mismatch of elements",
}


def draw_classification(found: Classification) -> Figure:
    """Draw a panel for each quantity that was swept, with 95 % intervals, all others as in the first reading.

    Raises
    ------
    UsageError
        If there were no labels.
    """
    if not found.readings:
        raise UsageError("no picture: there were no labels, so nobody knows what is right")
    first = found.best
    swept = [name for name in _AXES if len({getattr(each, name) for each in found.readings}) > 1] or ["time"]
    figure = new_figure(5.2 * len(swept), 4.4)
    panels = figure.subplots(1, len(swept), squeeze=False)[0]
    for panel, name in zip(panels, swept, strict=True):
        others = [key for key in _AXES if key != name]
        lines: dict[Any, list[Reading]] = {}
        for each in found.readings:
            if name != "average" and all(
                getattr(each, key) == getattr(first, key) for key in others if key != "average"
            ):
                lines.setdefault(each.average, []).append(each)
            elif name == "average" and all(getattr(each, key) == getattr(first, key) for key in others):
                lines.setdefault(1, []).append(each)
        for count, readings in lines.items():
            chosen = sorted(
                (each for each in readings if getattr(each, name) is not None), key=lambda each: getattr(each, name)
            )
            places = [getattr(each, name) for each in chosen]
            shares = [100 * each.accuracy for each in chosen]
            errors = [
                [max(0.0, 100 * (each.accuracy - each.low)) for each in chosen],
                [max(0.0, 100 * (each.high - each.accuracy)) for each in chosen],
            ]
            label = "" if name == "average" else f"{count} averaged" if count > 1 else "one trajectory"
            panel.errorbar(places, shares, errors, marker="o", capsize=3, label=label or None)
            for each in readings:
                if getattr(each, name) is None:  # real numbers, beside bits
                    panel.axhline(100 * each.accuracy, color="0.5", linestyle="dashed", label="real numbers")
        panel.set(xlabel=_AXES[name], ylabel="right answers, %")
        panel.grid(color="0.9")
        if name != "average":
            panel.legend()
    return figure
