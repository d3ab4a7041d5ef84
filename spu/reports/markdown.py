"""A report as GitHub- or GitLab-flavoured Markdown, with its pictures in files beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import singledispatch

from spu.reports.document import (
    Block,
    Bullets,
    Document,
    Facts,
    Gallery,
    Listing,
    Picture,
    Table,
    Text,
    Verdict,
)
from spu.reports.wording import loud

GENERATOR = "<!-- spu report -->"
"""Marks a file as one that may be written over."""


def page(document: Document, files: Mapping[str, str]) -> str:
    """The text; ``files`` gives the file of each picture, by its name."""
    lines = [GENERATOR, f"# {_escape(document.title)}", _escape(document.subtitle)]
    lines += [_markdown(block, files) for block in document.lead]
    for section in document.sections:
        lines += [f"## {_escape(section.title)}", *(_markdown(block, files) for block in section.blocks)]
    return "\n\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Text on one line in which no character means anything to Markdown or HTML."""
    one_line = " ".join(text.split())
    escaped = re.sub(r"([\\`*_\[\]<>|#~$!])", r"\\\1", one_line.replace("&", "&amp;"))
    # Inside a word an underscore means nothing, and names read better without the backslash.
    return re.sub(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])", "_", escaped)


@singledispatch
def _markdown(block: Block, files: Mapping[str, str]) -> str:  # noqa: ARG001
    raise TypeError(f"no part of a report: {block!r}")


@_markdown.register
def _(block: Text, files: Mapping[str, str]) -> str:  # noqa: ARG001
    return _escape(block.text)


@_markdown.register
def _(block: Bullets, files: Mapping[str, str]) -> str:  # noqa: ARG001
    return "\n".join(f"- {_escape(item)}" for item in block.items)


@_markdown.register
def _(block: Table, files: Mapping[str, str]) -> str:  # noqa: ARG001
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rule = ["---" if k < block.left else "---:" for k in range(len(block.headers))]
    rows = [line([_escape(text) for text in row]) for row in block.rows]
    table = "\n".join([line([_escape(text) for text in block.headers]), line(rule), *rows])
    note = f"\n\n{_escape(block.note)}" if block.note else ""
    return f"**{_escape(block.caption)}**\n\n{table}{note}"


@_markdown.register
def _(block: Facts, files: Mapping[str, str]) -> str:  # noqa: ARG001
    return "\n".join(f"- {_escape(label)}: {_escape(text)}" for label, text in block.pairs)


@_markdown.register
def _(block: Picture, files: Mapping[str, str]) -> str:
    return f"![{_escape(block.alternative)}](<{files[block.name]}>)\n\n{_escape(block.caption)}"


@_markdown.register
def _(block: Gallery, files: Mapping[str, str]) -> str:
    return "\n\n".join(_markdown(picture, files) for picture in block.pictures)


@_markdown.register
def _(block: Listing, files: Mapping[str, str]) -> str:  # noqa: ARG001
    longest = max((len(run) for run in re.findall(r"`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{_escape(block.caption)}:\n\n{fence}\n{block.text.rstrip()}\n{fence}"


@_markdown.register
def _(block: Verdict, files: Mapping[str, str]) -> str:  # noqa: ARG001
    levels = ", ".join(f"{_escape(name)} {_escape(loud(verdict))}" for name, verdict in block.levels)
    return "\n\n".join([f"**{_escape(block.sentence)}**", *map(_escape, block.meaning), f"Levels: {levels}"])
