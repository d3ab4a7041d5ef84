"""Yields and corners in words: tables, and the blocks that notebooks show."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spu.base.layout import facts, table
from spu.base.numbers import engineering, number, plural, share
from spu.studies.yields.corner_study import Corners
from spu.studies.yields.wanted import ScanPoint, Wanted
from spu.studies.yields.worst_case import FARTHEST
from spu.studies.yields.yield_study import Yield

MOST_CONTRIBUTIONS = 10
"""That are listed."""

_MOST_NAMED = 5
"""Unstable boards, and elements of a direction, that are named."""

_MOST_CORNERS = 40


def shown_value(value: float | None, unit: str, relative: bool = False) -> str:
    """A metric as people read it."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "none"
    if relative:
        return share(value)
    return engineering(value, unit) if unit in ("s", "V") else f"{number(value)} {unit}".rstrip()


def yield_text(found: Yield) -> str:
    """The yield, what it rests on, what makes the spread, and whatever else was asked for."""
    lines = [facts(yield_facts(found)), "", contribution_table(found)]
    if found.wanted is not None:
        lines += ["", *wanted_lines(found.wanted, found.bits)]
    if found.scan:
        lines += ["", table(*scan_table(found.scan, found.bits))]
    if found.netlists:
        lines += ["", "the worst boards with a law:", table(*netlist_table(found), left=2)]
    return "\n".join(lines)


def yield_facts(found: Yield) -> list[tuple[str, str]]:
    """Labels and texts."""
    low, high = found.interval
    sure = f"{100 * found.confidence:g} %"
    pairs = [
        ("yield", f"{per_cent(found.rate)} ({sure}: {per_cent(low)} to {per_cent(high)})"),
        ("boards", f"{int(found.good.sum())} of {found.draws} are good, {found.method} draws of seed {found.seed}"),
        ("limit", f"{found.words} {_limit(found)}"),
        ("as it is made for", _value(found, found.nominal)),
        ("quantiles", ", ".join(f"{100 * at:g} %: {_value(found, value)}" for at, value in _few(found))),
        ("spread", _spread(found)),
    ]
    if found.worst_case is not None:
        pairs.append(("worst case", _worst(found)))
    if found.unstable:
        pairs.append(("no law", f"{plural(len(found.unstable), 'board')}, bad: {_named(found.unstable)}"))
    pairs.append(("interval", found.interval_is))
    return pairs


def per_cent(rate: float) -> str:
    """A yield."""
    return f"{100 * rate:.4g} %"


def _few(found: Yield) -> list[tuple[float, float]]:
    return [(at, found.quantiles[at]) for at in (0.01, 0.25, 0.5, 0.75, 0.99)]


def _value(found: Yield, value: float | None) -> str:
    return shown_value(value, found.unit, found.relative)


def _limit(found: Yield) -> str:
    if found.low is None:
        return f"at most {_value(found, found.high)}"
    if found.high is None:
        return f"at least {_value(found, found.low)}"
    return f"from {_value(found, found.low)} to {_value(found, found.high)}"


def _named(numbers: Sequence[int]) -> str:
    rest = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return ", ".join(map(str, numbers[:_MOST_NAMED])) + rest


def _spread(found: Yield) -> str:
    said = f"{found.spreads.what} {_value(found, found.spreads.first_order)} by sensitivities"
    if found.spread is not None:
        value, error = found.spread
        said += f", {_value(found, value)} +- {_value(found, error)} of these boards"
    return said


def _worst(found: Yield) -> str:
    worst = found.worst_case
    assert worst is not None
    if worst.distance is None:
        return f"no board within {FARTHEST:g} standard deviations is at the limit"
    elements = ", ".join(f"{name} {sigmas:+.2f}" for name, sigmas in worst.direction[:2])
    more = f", {len(worst.direction) - 2} more" if len(worst.direction) > 2 else ""
    whose = "" if worst.distance >= 0 else " on the good side"
    return f"{abs(worst.distance):.2f} sigmas away{whose}: {elements}{more}"


def contribution_rows(found: Yield) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, the largest first."""
    rows = [
        [each.element, share(each.share), _value(found, each.effect)]
        for each in found.spreads.contributions
        if each.share > 0
    ]
    return ["element", f"share of {found.spreads.of_what}", "effect of one sigma"], rows


def contribution_table(found: Yield) -> str:
    """The first of them."""
    headers, rows = contribution_rows(found)
    if not rows:
        return "no element that varies moves the metric"
    return table(headers, rows, limit=MOST_CONTRIBUTIONS)


def wanted_lines(wanted: Wanted, bits: Sequence[int]) -> list[str]:
    """What a wanted yield needs."""
    lines = [f"a yield of {100 * wanted.wanted:g} % needs"]
    if wanted.scale is not None:
        sure = "" if wanted.sure is None else f" ({wanted.sure:.3g} times to be sure, of so few boards)"
        lines.append(f"  tolerance  {wanted.scale:.3g} times the stated one{sure}")
    if wanted.bits is not None:
        lines.append(f"  bits       {_bits(wanted.bits, bits)}, at the stated tolerance")
    if wanted.why:
        lines += [f"  {why}" for why in wanted.why.split("; ")]
    return lines


def _bits(more: int, bits: Sequence[int]) -> str:
    """Of all banks."""
    return " and ".join(str(each + more) for each in dict.fromkeys(bits))


def scan_table(scan: Sequence[ScanPoint], bits: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """Yields elsewhere: headers and rows."""
    rows = []
    for point in scan:
        where = f"{point.scale:g} times" if point.nominal is None else f"{_bits(point.more_bits, bits)} bits"
        rows.append([where, per_cent(point.rate), f"{per_cent(point.low)} to {per_cent(point.high)}"])
    return ["tolerance, bits", "yield", "interval"], rows


def netlist_table(found: Yield) -> tuple[list[str], list[list[str]]]:
    """The worst boards: headers and rows."""
    rows = [
        [str(board.number), board.folder, _value(found, board.value), board.verdict or "not checked"]
        for board in found.netlists
    ]
    return ["board", "folder", found.metric, "check"], rows


# --- corners -------------------------------------------------------------------------------


def corners_text(found: Corners) -> str:
    """Every metric at every corner, and the worst of each."""
    headers, rows = corner_rows(found)
    lines = [
        f"{found.conditions}; metrics of the exact law",
        "",
        table(headers, rows, left=1, limit=_MOST_CORNERS),
        "",
    ]
    lines += [f"worst {name}: {corner.name} at {corner.temperature:g} K" for name, corner in found.worst.items()]
    return "\n".join(lines)


def corner_rows(found: Corners) -> tuple[list[str], list[list[str]]]:
    """Headers and rows."""
    relative = [name in ("relative-error", "rescaled-error") for name, _, _ in found.metrics]
    rows = [
        [
            corner.name,
            f"{corner.temperature:g}",
            *(
                shown_value(value, unit, is_relative)
                for value, (_, unit, _), is_relative in zip(corner.values, found.metrics, relative, strict=True)
            ),
        ]
        for corner in found.corners
    ]
    return ["corner", "K", *(name for name, _, _ in found.metrics)], rows
