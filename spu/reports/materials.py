"""What is said of a bill of materials."""

from __future__ import annotations

from spu.base.layout import MAX_TABLE_ROWS, table
from spu.base.numbers import compact, engineering, plural, share
from spu.export.materials import Item, Materials


def materials_text(found: Materials) -> str:
    """Its lines as a table, and what the nearest values cost."""
    headers = ["part", "quantity", "value", found.series, "deviation", "designators"]
    rows = [[item.part, str(item.quantity), *_values(item), _few(item)] for item in found.items]
    return "\n".join([table(headers, rows, limit=MAX_TABLE_ROWS), "", *cost_lines(found)])


def cost_lines(found: Materials) -> list[str]:
    """How many parts there are, which is farthest from its value, and how far the answer moves."""
    lines = [f"{plural(found.parts, 'part')} on {plural(len(found.items), 'line')}"]
    worst = found.worst
    if worst is not None and worst.deviation:
        lines.append(
            f"farthest from its value in {found.series}: {worst.part} {worst.text}, by {100 * worst.deviation:+.2g} %"
        )
    if found.covariance_error is None:
        lines.append(f"what the values of {found.series} do to the covariance is not known: {found.why}")
    else:
        moved = share(found.covariance_error)
        lines.append(f"covariance with all values from {found.series}: off by {moved} (relative, Frobenius, exact law)")
    if found.mean_error is not None:
        lines.append(f"mean with all values from {found.series}: off by {share(found.mean_error)} (relative)")
    return lines


def _values(item: Item) -> list[str]:
    value = item.text if item.value is None else engineering(item.value, item.unit, 7)
    if item.nearest is None:
        return [value, "-", "-"]
    return [value, compact(item.nearest), f"{100 * (item.deviation or 0.0):+.2f} %"]


def _few(item: Item) -> str:
    shown = " ".join(item.designators[:3])
    return shown if len(item.designators) <= 3 else f"{shown} ..."
