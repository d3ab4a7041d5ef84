"""Yields and corners: histograms with their limit, contributions, yield over tolerance and bits, temperature curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.studies.yields.corner_study import Corners
    from spu.studies.yields.wanted import ScanPoint
    from spu.studies.yields.yield_study import Yield

_MOST_BARS = 12

_BLUE, _RED = "tab:blue", "tab:red"


def draw_yield(found: Yield) -> Figure:
    """Draw the boards' metric with its limit, the largest contributions, and the scan where there is one."""
    by_scale = [point for point in found.scan if point.nominal is None]
    by_bits = [point for point in found.scan if point.nominal is not None]
    more = [points for points in (by_scale, by_bits) if points]
    figure = new_figure(11.0, 4.5 * (2 if more else 1))
    places = figure.subplots(2 if more else 1, 2, squeeze=False)
    _histogram(places[0, 0], found)
    _tornado(places[0, 1], found)
    for axes, points in zip(places[1] if more else [], [*more, None], strict=False):
        if points is None:
            axes.set_visible(False)
            continue
        _curve(axes, found, points)
    low, high = found.interval
    figure.suptitle(
        f"yield {100 * found.rate:.4g} % ({100 * found.confidence:g} %: {100 * low:.4g} to {100 * high:.4g} %), "
        f"{found.draws} boards"
    )
    return figure


def _scaled(found: Yield) -> tuple[float, str]:
    if found.relative:
        return 100.0, f"{found.metric} (%)"
    return 1.0, f"{found.metric} ({found.unit})" if found.unit else found.metric


def _histogram(axes: Axes, found: Yield) -> None:
    factor, label = _scaled(found)
    values = found.values[np.isfinite(found.values)] * factor
    if len(values):
        edges = np.histogram_bin_edges(values, bins=min(60, max(10, int(np.sqrt(len(values))))))
        for good, colour in ((True, _BLUE), (False, _RED)):
            chosen = (found.good & np.isfinite(found.values)) if good else (~found.good & np.isfinite(found.values))
            here = found.values[chosen] * factor
            axes.hist(here, bins=edges.tolist(), color=colour, alpha=0.7, label="good" if good else "bad")
    for limit in (found.low, found.high):
        if limit is not None:
            axes.axvline(limit * factor, color="black", linestyle="--", linewidth=1.2)
    axes.axvline(found.nominal * factor, color="0.4", linestyle=":", linewidth=1.2, label="as it is made for")
    axes.set_xlabel(label)
    axes.set_ylabel("boards")
    unstable = f"; {len(found.unstable)} without a law" if found.unstable else ""
    axes.set_title(f"limit dashed{unstable}", fontsize="medium")
    axes.legend(fontsize="small")


def _tornado(axes: Axes, found: Yield) -> None:
    chosen = [each for each in found.spreads.contributions if each.share > 0][:_MOST_BARS][::-1]
    places = np.arange(len(chosen))
    axes.barh(places, [100 * each.share for each in chosen], color=_BLUE, alpha=0.8)
    axes.set_yticks(places, [each.element for each in chosen], fontsize="small")
    axes.set_xlabel(f"share of {found.spreads.of_what} (%)")
    axes.grid(axis="x", alpha=0.3)


def _curve(axes: Axes, found: Yield, points: list[ScanPoint]) -> None:
    by_bits = points[0].nominal is not None
    at = [point.more_bits if by_bits else point.scale for point in points]
    rates = np.array([[100 * point.rate, 100 * point.low, 100 * point.high] for point in points])
    axes.errorbar(
        at, rates[:, 0], yerr=[rates[:, 0] - rates[:, 1], rates[:, 2] - rates[:, 0]], fmt="o-", capsize=3, color=_BLUE
    )
    if found.wanted is not None:
        axes.axhline(100 * found.wanted.wanted, color="black", linestyle="--", linewidth=1.0)
    if by_bits:
        own = " and ".join(map(str, dict.fromkeys(found.bits)))
        axes.set_xlabel(f"bits more than {own}")
    else:
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{each:g}" for each in at])
        axes.minorticks_off()
        axes.set_xlabel("times the stated tolerance")
    axes.set_ylabel("yield (%)")
    axes.grid(alpha=0.3)


def draw_corners(found: Corners) -> Figure:
    """Draw each metric over temperature, a line a corner; of one temperature a bar a corner."""
    count = len(found.metrics)
    figure = new_figure(11.0, 3.6 * -(-count // 2))
    places = figure.subplots(-(-count // 2), 2, squeeze=False).ravel()
    for axes, (name, unit, _) in zip(places, found.metrics, strict=False):
        curves = found.curve(name)
        label = f"{name} ({unit})" if unit else name
        if len(found.temperatures) > 1:
            for corner, (at, values) in curves.items():
                nominal = corner == "nominal"
                axes.plot(at, values, "k-" if nominal else "-", linewidth=2.0 if nominal else 1.0, label=corner)
            axes.set_xlabel("K")
            axes.set_ylabel(label)
        else:
            rows = np.arange(len(curves))[::-1]
            axes.barh(rows, [values[0] for _, values in curves.values()], color=_BLUE, alpha=0.8)
            axes.set_yticks(rows, list(curves), fontsize="small")
            axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    for axes in places[count:]:
        axes.set_visible(False)
    if len(found.temperatures) > 1 and len(found.curve(found.metrics[0][0])) <= _MOST_BARS:
        places[0].legend(fontsize="small")
    figure.suptitle(found.conditions)
    return figure
