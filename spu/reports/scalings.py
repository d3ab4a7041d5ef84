"""How costs grow, in words: points, powers beside published ones, crossings and what moves them."""

from __future__ import annotations

import math

from spu.base.layout import table
from spu.base.numbers import engineering
from spu.studies.algebra.scaling import FAMILIES, QUANTITIES, Crossing, Fit, Point, Scaling

_NAMES = {
    "device_time": "device time",
    "absolute_time": "device time to an absolute error",
    "readouts": "readouts",
    "total": "energy",
    "flops": "digital operations",
}


def scaling_text(found: Scaling) -> str:
    """Geometric means over draws, powers, crossings, and the assumptions that move them."""
    lines = [
        f"{found.task} to {found.error:.3g}, {found.family}: {FAMILIES[found.family][1]}",
        f"on {found.hardware}, {found.architecture}; prices: {found.assumptions.file}",
        "",
        _points(found),
        "",
        "powers of n and of the condition kappa (95 %):",
        table(["", "n", "n, last two", "kappa"], [[_NAMES[name], *_fit(found.fits[name])] for name in QUANTITIES]),
    ]
    if found.published is not None:
        lines.append(
            f"published: device time to an absolute error as n^{found.published.dimension:g} ({found.published.source})"
        )
    lines.append("")
    lines += [_crossing(found, each) for each in found.crossings]
    if found.unstated:
        lines.append(f"in no energy, as nobody states a price: {', '.join(found.unstated)}; each moves a crossing up")
    lines += _moved(found)
    failed = [point for point in found.points if point.why]
    if failed:
        lines.append(f"{len(failed)} of {len(found.points)} matrices have no plan: {failed[0].why}")
    return "\n".join(lines)


def _points(found: Scaling) -> str:
    rows = []
    for kappa in found.conditions:
        for n in found.dimensions:
            here = [point for point in found.planned if point.asked == kappa and point.dimension == n]
            if here:
                rows.append(_row(n, here))
    headers = ["n", "kappa", "device time", "readouts", "energy, J", "digital", "operations", "digital, J"]
    return table(headers, rows)


def _row(n: int, here: list[Point]) -> list[str]:
    def mean(values: list[float]) -> float:
        kept = [value for value in values if value > 0]
        return math.exp(sum(math.log(value) for value in kept) / len(kept)) if kept else 0.0

    return [
        str(n),
        f"{mean([point.condition for point in here]):.3g}",
        engineering(mean([point.device_time or 0.0 for point in here]), "s"),
        f"{mean([point.readouts or 0.0 for point in here]):.3g}",
        _or_dash(mean([point.total for point in here])),
        here[0].method or "-",
        _or_dash(mean([point.flops or 0.0 for point in here])),
        _or_dash(mean([sum(point.digital.values()) for point in here])),
    ]


def _or_dash(value: float) -> str:
    return f"{value:.2g}" if value > 0 else "-"


def _fit(fit: Fit) -> list[str]:
    def said(power: float | None, error: float | None) -> str:
        if power is None:
            return "-"
        return f"{power:.2f}" + ("" if error is None else f" +- {error:.2f}")

    return [
        *(said(fit.dimension, fit.dimension_error), said(fit.last, None)),
        said(fit.condition, fit.condition_error),
    ]


def _crossing(found: Scaling, each: Crossing) -> str:
    what = "sooner" if each.quantity == "time" else "cheaper"
    at = "" if found.family == "wishart" else f" at condition {each.condition:g}"
    return f"device {what} than digital{at}: {each.words}"


def _moved(found: Scaling) -> list[str]:
    rows = [
        [row["quantity"], row["assumption"], *("none" if row[key] is None else f"{row[key]:.3g}" for key in _ENDS)]
        for row in found.moved
    ]
    if not rows:
        return []
    head = ["crossing of", "assumption", "at half of it", "at twice of it"]
    return ["", f"what moves the crossing, at condition {found.conditions[0]:g}:", table(head, rows, left=2)]


_ENDS = ("at_half", "doubled")
