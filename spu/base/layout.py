"""Tables and labelled lines of plain text, as people read them: no wider than `WIDTH`, unless in full."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import zip_longest

WIDTH = 100
"""Columns of a screen that a line may take."""

MAX_TABLE_ROWS = 20
"""Of a table, unless more are wanted."""

REST = "all with --verbose"
"""Where what is left out is to be had."""

_LEAST_NAME, _LEAST_TEXT, _MOST_NAME = 12, 30, 16
"""Characters that names and sentences in tables keep at least; and names where a table is too wide all the same."""

_PLAIN = 24
"""Letters of the longest plain word."""

_WITH_UNIT = re.compile(r"(?<=\d) (?=(?:[afpnumkMGT]?(?:s|Hz|V|A|F|H|S|J|W|K|C|Wb|ohm)|%)(?![A-Za-z]))")
"""The blank between a number and its unit, where no line is to end."""

_NAME = re.compile(r"[^\W\d]\S*")
"""Of what may be shortened."""

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
    taken: dict[str, str] = {}
    for number, name in enumerate(dict.fromkeys(names)):  # here for one, there for another; else they are numbered
        ways = [_cut(name, most, tail) for tail in tails]
        free = next((way for way in ways if way not in taken.values()), None)
        taken[name] = free or f"{ways[0][: most - 1 - len(str(number))]}~{number}"
    return [taken[name] for name in names]


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
    margin = " " * min(len(line) - len(line.lstrip()), WIDTH // 2)
    pieces = _wrapped(line.strip(), WIDTH - len(margin), WIDTH - len(margin) - hang)
    return "\n".join(f"{margin}{' ' * hang if k else ''}{piece}" for k, piece in enumerate(pieces))


def _wrapped(text: str, first: int, others: int | None = None, *, hyphens: bool = False) -> list[str]:
    """The pieces of a text; words are never broken: paths are copied."""
    others = first if others is None else others
    pad = " " * max(others - first, 0), " " * max(first - others, 0)
    pieces = textwrap.wrap(
        _WITH_UNIT.sub("\0", text),
        max(first, others),
        initial_indent=pad[0],
        subsequent_indent=pad[1],
        break_long_words=False,
        break_on_hyphens=hyphens,
    )
    return [piece.strip().replace("\0", " ") for piece in pieces] or [""]


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
        columns, short = _narrowed(columns)
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


def _narrowed(columns: list[list[str]]) -> tuple[list[list[str]], bool]:
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
        if too_much > 0 and any(" " in cell and len(cell) > _LEAST_TEXT for cell in columns[k][1:]):
            wide = max(_widest(columns[k]) - too_much, _LEAST_TEXT)
            columns[k][1:] = ["\n".join(_wrapped(cell, wide)) for cell in columns[k][1:]]
    given = [list(column) for column in columns]
    names = list(dict.fromkeys(name for column in columns for cell in column for name in _names(cell)))
    for most in (*range(max(map(len, names), default=0) - 1, _LEAST_NAME - 1, -1), _MOST_NAME):
        if _width(columns) <= WIDTH:
            break
        short = dict(zip(names, shortened(names, most), strict=True))
        columns = [[_renamed(cell, short) for cell in column] for column in given]
    return columns, columns != given


def _names(cell: str) -> list[str]:
    """What of it may be shortened: all, or in a sentence words that are no plain words."""
    words = _NAME.findall(cell)
    return [word for word in words if len(word) > (_LEAST_NAME if len(word) == len(cell) else _PLAIN)]


def _renamed(cell: str, names: Mapping[str, str]) -> str:
    return _NAME.sub(lambda word: names.get(word[0], word[0]), cell)


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
    texts = [k < left or any("\n" in cell for cell in cells) for k, (_, *cells) in enumerate(columns)]

    def row(cells: Sequence[str], up: int = 1) -> Iterator[str]:
        # Headers stand on the line below them.
        for pieces in list(zip_longest(*(cell.split("\n")[::up] for cell in cells), fillvalue=""))[::up]:
            padded = (
                piece.ljust(width) if text else piece.rjust(width)
                for text, piece, width in zip(texts, pieces, widths, strict=True)
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
