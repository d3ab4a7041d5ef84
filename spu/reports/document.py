"""What a report is made of, whatever it is written as: sections of paragraphs, tables, pictures and listings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table: the first ``left`` columns are words, the others figures; the first column names the row."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Labelled values."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """A picture; ``alternative`` says in words what it shows. A wide one does not shrink to a narrow screen."""

    name: str
    figure: Figure
    caption: str
    alternative: str
    wide: bool = False


@dataclass(frozen=True)
class Gallery:
    """Small pictures that belong side by side where there is room."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Listing:
    """Text as it stands in a file, or as it is typed."""

    caption: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Attributes
    ----------
    verdict:
        One of `spu.crosscheck.VERDICTS`.
    sentence:
        What it says, in one line.
    meaning:
        What follows from it, one sentence each.
    levels:
        Each level with its verdict.
    """

    verdict: str
    sentence: str
    meaning: Sequence[str]
    levels: Sequence[tuple[str, str]]


Block = Text | Bullets | Table | Facts | Picture | Gallery | Listing | Verdict


@dataclass(frozen=True)
class Section:
    """A heading and what stands beneath it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report: its title, what stands above the first heading, and the sections."""

    title: str
    subtitle: str
    lead: Sequence[Block]
    sections: Sequence[Section]

    def pictures(self) -> list[Picture]:
        """All pictures in order."""
        found: list[Picture] = []
        for block in (block for section in self.sections for block in section.blocks):
            if isinstance(block, Picture):
                found.append(block)
            elif isinstance(block, Gallery):
                found += block.pictures
        return found
