"""A report, or a part of one, as HTML that needs nothing else: no network, no script, no font."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import singledispatch
from html import escape
from importlib import resources

from spu.reports.document import (
    Block,
    Bullets,
    Document,
    Facts,
    Gallery,
    Listing,
    Picture,
    Section,
    Table,
    Text,
    Verdict,
)
from spu.reports.pictures.figures import svg
from spu.reports.wording import loud

GENERATOR = '<meta name="generator" content="spu report">'
"""Marks a page as one that may be written over."""

# A browser that heeds this could not fetch anything even if a name from a file got past the escaping.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_LOUD = {"FAIL", "ERROR", "NO"}


def page(document: Document) -> str:
    """A whole page."""
    style = resources.files("spu.reports").joinpath("style.css").read_text(encoding="utf-8")
    sections = "\n".join(map(_section, document.sections))
    contents = "".join(
        f'<li><a href="#{_anchor(section.title)}">{escape(section.title)}</a></li>' for section in document.sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{GENERATOR}\n"
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(document.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header>\n<h1>{escape(document.title)}</h1>\n<p class="subtitle">{escape(document.subtitle)}</p>\n'
        f"{blocks(document.lead)}\n"
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n</header>\n'
        f"{sections}\n</main>\n</body>\n</html>\n"
    )


def fragment(parts: Sequence[Block]) -> str:
    """Blocks to stand in a page of somebody else's: a notebook's."""
    style = (
        "<style>.spu table{border-collapse:collapse}.spu td,.spu th{padding:.15em .6em}.spu svg{max-width:32em}</style>"
    )
    return f'<div class="spu">{style}{blocks(parts)}</div>'


def blocks(parts: Sequence[Block]) -> str:
    """Blocks one below the other."""
    return "\n".join(map(_html, parts))


def _section(section: Section) -> str:
    return (
        f'<section aria-labelledby="{_anchor(section.title)}">\n<h2 id="{_anchor(section.title)}">'
        f"{escape(section.title)}</h2>\n{blocks(section.blocks)}\n</section>"
    )


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@singledispatch
def _html(block: Block) -> str:
    raise TypeError(f"no part of a report: {block!r}")


@_html.register
def _(block: Text) -> str:
    return f"<p>{escape(block.text)}</p>"


@_html.register
def _(block: Bullets) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"


@_html.register
def _(block: Table) -> str:
    def cell(k: int, text: str) -> str:
        words = ' class="words"' if k < block.left else ""
        inside = f"<strong>{escape(text)}</strong>" if text in _LOUD else escape(text)
        return f'<th scope="row"{words}>{inside}</th>' if k == 0 else f"<td{words}>{inside}</td>"

    head = "".join(
        f'<th scope="col"{" class=words" if k < block.left else ""}>{escape(text)}</th>'
        for k, text in enumerate(block.headers)
    )
    rows = "\n".join(f"<tr>{''.join(cell(k, text) for k, text in enumerate(row))}</tr>" for row in block.rows)
    note = f'\n<p class="note">{escape(block.note)}</p>' if block.note else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(block.caption)}">\n'
        f"<table>\n<caption>{escape(block.caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>{note}"
    )


@_html.register
def _(block: Facts) -> str:
    return (
        '<dl class="facts">\n'
        + "\n".join(f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in block.pairs)
        + "\n</dl>"
    )


@_html.register
def _(block: Picture) -> str:
    drawn = svg(block.figure, block.name, block.alternative)
    caption = f"<figcaption>{escape(block.caption)}</figcaption>\n" if block.caption else ""
    if block.wide:
        label = escape(block.alternative)
        drawn = f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">{drawn}</div>'
    return f"<figure{' class=wide' if block.wide else ''}>\n{drawn}\n{caption}</figure>"


@_html.register
def _(block: Gallery) -> str:
    return '<div class="gallery">\n' + blocks(block.pictures) + "\n</div>"


@_html.register
def _(block: Listing) -> str:
    return (
        f'<div class="listing"><p class="caption">{escape(block.caption)}</p>\n'
        f'<pre class="scroll" role="region" tabindex="0" aria-label="{escape(block.caption)}">'
        f"<code>{escape(block.text)}</code></pre></div>"
    )


@_html.register
def _(block: Verdict) -> str:
    levels = "".join(
        f'<li class="{escape(verdict)}"><span>{escape(name)}</span> <b>{escape(loud(verdict))}</b></li>'
        for name, verdict in block.levels
    )
    meaning = "".join(f"<p>{escape(sentence)}</p>" for sentence in block.meaning)
    return (
        f'<div class="verdict {escape(block.verdict)}" role="region" aria-label="Verdict">\n'
        f'<p class="word">{escape(block.sentence)}</p>\n{meaning}\n'
        f'<ul class="levels" aria-label="Levels">{levels}</ul>\n</div>'
    )
