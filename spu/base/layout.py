"""Tables and labelled lines of plain text, as people read them."""

from __future__ import annotations

from collections.abc import Sequence

MAX_TABLE_ROWS = 40
"""Of a table, unless more are wanted."""


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    limit: int | None = None,
    count: int | None = None,
    rest: str = "all with --json",
) -> str:
    """Lay out a table: the first ``left`` columns to the left, the others to the right.

    Of ``count`` rows (those given, unless more) ``limit`` are shown; ``rest`` says where the others are.
    """
    count = len(rows) if count is None else count
    shown = rows if limit is None else rows[:limit]
    widths = [max(map(len, column)) for column in zip(headers, *shown, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return ("  " + "  ".join(padded)).rstrip()

    lines = [line(headers), line(["-" * width for width in widths]), *map(line, shown)]
    if len(shown) < count:
        lines.append(f"  ... and {count - len(shown)} more ({rest})")
    return "\n".join(lines)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Lay out labelled lines."""
    width = max(len(label) for label, _ in pairs)
    return "\n".join(f"{label.ljust(width)}  {text}" for label, text in pairs)
