"""Checks of many folders as text."""

from __future__ import annotations

from spu.base.layout import table
from spu.base.numbers import plural, small
from spu.reports.wording import IN_WORDS, loud, messages
from spu.studies.checks import Checks


def checks_text(found: Checks) -> str:
    """A row for each folder, with the worst error of each level over what is allowed; messages of what did not pass."""
    levels = list(dict.fromkeys(name for each in found.checks for name in each.levels))
    rows = []
    for name, each in zip(found.names, found.checks, strict=True):
        row = [name, loud(each.verdict)]
        for level in (each.levels.get(key) for key in levels):
            passed = level is not None and level.verdict == "pass"
            row.append("" if level is None else small(level.error) if passed else loud(level.verdict))
        rows.append(row)
    lines = [table(["folder", "verdict", *levels], rows, left=2), ""]
    for name, each in zip(found.names, found.checks, strict=True):
        if each.verdict != "pass":
            lines += [f"{name}: {line}" for line in messages(each)]
    lines += [f"{plural(len(found.checks), 'folder')}. {IN_WORDS[found.verdict]}"]
    return "\n".join(lines)
