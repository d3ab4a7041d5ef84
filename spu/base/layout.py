"""Tables and labelled lines of plain text, as people read them: no wider than `WIDTH`, unless in full."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import zip_longest

WIDTH = 100
"""Columns of a screen that a line may take."""

MAX_TABLE_ROWS = 20
"""Of a table, unless more are wanted."""

REST = "all with --verbose"
"""Where what is left out is to be had."""

_LEAST_NAME, _LEAST_TEXT, _MOST_NAME = 12, 20, 24
"""Characters that names and sentences in tables keep at least; and names where a table is too wide all the same."""

_full: ContextVar[bool] = ContextVar("full", default=False)


@contextmanager
def in_full() -> Iterator[None]:
    """Leave nothing out of what is laid out within: every row and column, names in full, lines as long as they are."""
    token = _full.set(True)
    try:
        yield
    finally:
        _full.reset(token)


def is_full() -> bool:
    """Whether nothing is to be left out."""
    return _full.get()


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Names in at most so many characters: without their middle where they are longer, and still distinct."""
    tails = sorted(range(most - 1), key=lambda tail: abs(tail - (most - 2) // 2))
    for tail in tails:  # what tells names apart stands in front, or behind
        found = [_cut(name, most, tail) for name in names]
        if len(set(found)) == len(set(names)):
            return found
    return list(names)


def _cut(name: str, most: int, tail: int) -> str:
    return name if len(name) <= most else f"{name[: most - 2 - tail]}..{name[len(name) - tail :]}"


def folded(text: str, hang: int = 2) -> str:
    """Fold lines that are too long at their blanks, what follows set in by ``hang`` more; not in full."""
    if is_full() or len(text) <= WIDTH:
        return text
    return "\n".join(_fold(line, hang) for line in text.split("\n"))


def _fold(line: str, hang: int) -> str:
    if len(line) <= WIDTH:
        return line
    margin = " " * (len(line) - len(line.lstrip()))
    pieces = _wrapped(line.strip(), WIDTH - len(margin), WIDTH - len(margin) - hang)
    return "\n".join(f"{margin}{' ' * hang if k else ''}{piece}" for k, piece in enumerate(pieces))


def _wrapped(text: str, first: int, others: int | None = None, *, hyphens: bool = False) -> list[str]:
    """The pieces of a text; words are never broken: paths are copied."""
    others = first if others is None else others
    pad = " " * max(others - first, 0), " " * max(first - others, 0)
    pieces = textwrap.wrap(
        text,
        max(first, others),
        initial_indent=pad[0],
        subsequent_indent=pad[1],
        break_long_words=False,
        break_on_hyphens=hyphens,
    )
    return [piece.strip() for piece in pieces] or [""]


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    limit: int | None = None,
    count: int | None = None,
    rest: str = REST,
) -> str:
    """Lay out a table: the first ``left`` columns to the left, the others to the right.

    Of ``count`` rows (those given, unless more) ``limit`` are shown; ``rest`` says where the others are. Where it
    would be too wide, words are folded, long names lose their middle, and the last columns continue below,
    with the first ones again.
    """
    count = len(rows) if count is None else count
    shown = rows if limit is None or is_full() else rows[:limit]
    columns = [[header, *cells] for header, *cells in zip(headers, *shown, strict=True)]
    lines: list[str] = []
    notes: list[str] = []
    if not is_full() and _width(columns) > WIDTH:
        columns, short = _narrowed(columns, left)
        if short:
            notes.append("names shortened: in full with --verbose")
    blocks = [columns] if is_full() else _blocks(columns, left)
    for k, block in enumerate(blocks):
        lines += [""] * (k > 0) + _laid_out(block, left)
    if len(shown) < count:
        notes.insert(0, f"... and {count - len(shown)} more ({rest})")
    elif notes:
        notes = [f"({notes[0]})"]
    if notes:
        lines.append("  " + "; ".join(notes))
    return "\n".join(lines)


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(2 + _widest(column) for column in columns)


def _widest(cells: Sequence[str]) -> int:
    return max(len(piece) for cell in cells for piece in cell.split("\n"))


def _narrowed(columns: list[list[str]], left: int) -> tuple[list[list[str]], bool]:
    """Columns with words folded and names shortened, as far as it takes; whether names are shortened."""
    columns = [list(column) for column in columns]
    for k, (header, *cells) in enumerate(columns):  # headers of more than one word, over narrow columns
        too_much = _width(columns) - WIDTH
        if too_much > 0 and set(header) & set(" -"):
            columns[k][0] = "\n".join(
                _wrapped(header, max([6, *map(len, cells), len(header) - too_much]), hyphens=True)
            )
    for k in sorted(range(len(columns)), key=lambda k: -_widest(columns[k])):
        too_much = _width(columns) - WIDTH
        if too_much > 0 and any(" " in cell for cell in columns[k][1:]) and _widest(columns[k]) > _LEAST_TEXT:
            wide = max(_widest(columns[k]) - too_much, _LEAST_TEXT)
            columns[k][1:] = ["\n".join(_wrapped(cell, wide)) for cell in columns[k][1:]]
    given = [list(column) for column in columns]
    named = [k for k in range(len(columns)) if k < left or _widest(columns[k][:1]) > _LEAST_NAME]
    names = list(dict.fromkeys(name for k in named for name in (columns[k] if k < left else columns[k][:1])))
    names = [name for name in names if not set(name) & set(" \n")]
    for most in (*range(max(map(len, names), default=0) - 1, _LEAST_NAME - 1, -1), _MOST_NAME):
        if _width(columns) <= WIDTH:
            break
        short = dict(zip(names, shortened(names, most), strict=True))
        for k in named:
            columns[k][:] = [short.get(cell, cell) for cell in given[k]]
    return columns, any(cell in names and cell not in column for k, column in enumerate(columns) for cell in given[k])


def _blocks(columns: list[list[str]], left: int) -> list[list[list[str]]]:
    """Columns in groups that fit, each with the first ones in front."""
    first, others = columns[:left], columns[left:]
    blocks = [list(first)]
    for column in others:
        if len(blocks[-1]) > left and _width([*blocks[-1], column]) > WIDTH:
            blocks.append(list(first))
        blocks[-1].append(column)
    return blocks


def _laid_out(columns: list[list[str]], left: int) -> list[str]:
    widths = [_widest(column) for column in columns]

    def row(cells: Sequence[str], up: int = 1) -> Iterator[str]:
        # Headers stand on the line below them.
        for pieces in list(zip_longest(*(cell.split("\n")[::up] for cell in cells), fillvalue=""))[::up]:
            padded = (
                piece.ljust(width) if k < left else piece.rjust(width)
                for k, (piece, width) in enumerate(zip(pieces, widths, strict=True))
            )
            yield ("  " + "  ".join(padded)).rstrip()

    head, *body = zip(*columns, strict=True)
    return [*row(head, -1), *row(["-" * width for width in widths]), *(line for cells in body for line in row(cells))]


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Lay out labelled lines; long ones are folded beside their labels."""
    width = max(len(label) for label, _ in pairs) + 2
    lines = []
    for label, text in pairs:
        pieces = (
            text.split("\n") if is_full() else _wrapped(text, WIDTH - width) if len(text) > WIDTH - width else [text]
        )
        lines += [f"{(label if k == 0 else '').ljust(width)}{piece}" for k, piece in enumerate(pieces)]
    return "\n".join(lines)
