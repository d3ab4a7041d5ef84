"""Classifications as plain text."""

from __future__ import annotations

from spu.base.layout import MAX_TABLE_ROWS, table
from spu.base.numbers import plural
from spu.studies.learning.classify import Classification


def classification_text(found: Classification) -> str:
    """How often answers are right under each condition; without labels how often each class was answered."""
    what = "by the device's own equation" if found.device else "by the network's equation"
    lines = [f"{plural(len(found.answers), 'image')}, {plural(len(found.classes), 'class', 'classes')}, {what}", ""]
    if not found.readings:
        counts = [(found.classes[k], str(int((found.answers == k).sum()))) for k in range(len(found.classes))]
        return "\n".join([*lines, table(["class", "answers"], counts, limit=MAX_TABLE_ROWS)])
    swept = [
        name
        for name, values in (
            ("kT", {each.kT for each in found.readings}),
            ("bits", {each.bits for each in found.readings}),
            ("mismatch", {each.mismatch for each in found.readings}),
        )
        if len(values) > 1 or values not in ({None}, {0.0}, {found.readings[0].kT})
    ]
    several = any(each.draws > 1 for each in found.readings)
    head = ["time", "averaged", *swept, "right", "95 % interval"] + (["boards", "spread"] if several else [])
    rows = []
    for each in found.readings:
        values = {"kT": f"{each.kT:g}", "bits": str(each.bits or "real"), "mismatch": f"{100 * each.mismatch:g} %"}
        row = [f"{each.time:g}", str(each.average), *(values[name] for name in swept), f"{100 * each.accuracy:.2f} %"]
        row.append(f"{100 * each.low:.2f} to {100 * each.high:.2f} %")
        if several:
            row += [str(each.draws), "" if each.spread is None else f"{100 * each.spread:.2f} %"]
        rows.append(row)
    lines += [table(head, rows, limit=MAX_TABLE_ROWS), ""]
    lines.append("averaged: outputs of so many independent trajectories of an image; intervals: Wilson's")
    return "\n".join(lines)
