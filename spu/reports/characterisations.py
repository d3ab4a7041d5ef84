"""A characterisation as text, and as a data sheet: Markdown, a page of HTML, comma-separated values, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from spu.base.errors import OutputError
from spu.base.files import plain, write_text
from spu.base.layout import facts, table
from spu.base.numbers import plural, share
from spu.reports import html, markdown
from spu.reports.document import Block, Document, Facts, Picture, Section, Table, Verdict
from spu.reports.pictures.characterisations import draw_characterisation
from spu.studies.yields.characterisation import Characterisation, Parameter

__all__ = ["characterisation_blocks", "characterisation_text", "datasheet", "write_datasheet"]

FORMATS = (".md", ".html", ".csv", ".json")
"""Of data sheets, by the ending of the file."""

_HEADS = ("parameter", "unit", "min", "typ", "max", "found min", "found typ", "found max", "worst condition", "yield")

IN_WORDS_OF_SHEETS = {
    "pass": "PASS: the device meets its specification.",
    "fail": "FAIL: the device misses its specification.",
    "inconclusive": "INCONCLUSIVE: nothing is missed, but so few boards do not tell whether the wanted share is met.",
}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _row(each: Parameter) -> list[str]:
    wanted = each.requirement
    found = [_number(value) for value in (each.minimum, each.typical, each.maximum)]
    limits = [_number(value) for value in (wanted.minimum, wanted.typical, wanted.maximum)]
    worst = "" if each.worst is None else each.worst.name
    rate = "" if each.rate is None else share(each.rate.rate)
    return [wanted.name, each.unit, *limits, *found, worst, rate]


def _loud(verdict: str) -> str:
    return verdict if verdict in ("pass", "recorded") else verdict.upper()


def _facts(found: Characterisation) -> list[tuple[str, str]]:
    wanted = found.specification
    kelvins = ", ".join(f"{kelvin:g}" for kelvin in found.temperatures.tolist())
    pairs = [
        ("device", f"{found.hash}, {found.architecture or 'hand-built'}"),
        ("conditions", f"{plural(len(found.conditions), 'condition')}: {kelvins} K"),
        ("typical", found.typical.name),
    ]
    if any(each.process for each in found.conditions):
        pairs.append(("corners", f"the process at {wanted.process:g} standard deviations"))
    elif wanted.process:
        pairs.append(("corners", "none: the tolerance states no process"))
    if found.rate is not None:
        rate = found.rate
        ends = f"{share(rate.low)} to {share(rate.high)} with {share(wanted.confidence)}"
        pairs.append(
            ("boards", f"{wanted.draws} drawn ({wanted.method}, seed {wanted.seed}), each at all temperatures")
        )
        aim = "all of them" if wanted.wanted is None else share(wanted.wanted)
        pairs.append(("yield", f"{share(rate.rate)} ({ends}); wanted: {aim}"))
    return pairs


def characterisation_text(found: Characterisation) -> str:
    """What the command line prints."""
    rows = [[*_row(each), _loud(each.verdict)] for each in found.parameters]
    title = found.specification.name or "characterisation"
    return "\n".join(
        [
            title,
            facts(_facts(found)),
            "",
            table([*_HEADS, "verdict"], rows, left=2),
            *_unstable(found),
            "",
            IN_WORDS_OF_SHEETS[found.verdict],
        ]
    )


def _unstable(found: Characterisation) -> list[str]:
    most = max((each.unstable for each in found.parameters), default=0)
    return [f"{plural(most, 'board')} had no stationary law at some temperature: they meet no limit"] if most else []


def characterisation_blocks(found: Characterisation) -> Sequence[Block]:
    """The data sheet's body, for reports and pages."""
    note = "Found: least and largest over all conditions and boards; typical at the typical condition."
    rows = [[*_row(each), _loud(each.verdict)] for each in found.parameters]
    exact = [
        [condition.name, *(_number(float(each.conditions[k])) for each in found.parameters)]
        for k, condition in enumerate(found.conditions)
    ]
    heads = [f"{each.requirement.name}{f' ({each.unit})' if each.unit else ''}" for each in found.parameters]
    return [
        Facts(_facts(found)),
        Table("Limits, and what was found", [*_HEADS, "verdict"], rows, left=2, note=note),
        Table("Without mismatch, condition by condition", ["condition", *heads], exact),
        Picture(
            "characterisation",
            draw_characterisation(found),
            "Each parameter over temperature: corners as lines, boards as dots, limits dashed.",
            "Parameters over temperature with their limits",
            wide=True,
        ),
    ]


def document(found: Characterisation) -> Document:
    """A data sheet."""
    title = found.specification.name or f"device {found.hash}"
    levels = [
        (each.requirement.name, "pass" if each.verdict == "recorded" else each.verdict) for each in found.parameters
    ]
    lead = [Verdict(found.verdict, IN_WORDS_OF_SHEETS[found.verdict], [*_unstable(found)], levels)]
    return Document(
        f"Data sheet: {title}", f"device {found.hash}", lead, [Section("Parameters", characterisation_blocks(found))]
    )


def datasheet(found: Characterisation, format: str) -> str:
    """A data sheet as text in one of `FORMATS`; of Markdown, without its picture."""
    if format == ".json":
        return json.dumps(plain(found.to_dict()), indent=1) + "\n"
    if format == ".csv":
        stream = io.StringIO()
        made = csv.writer(stream, lineterminator="\n")
        made.writerow([*(head.replace(" ", "_") for head in _HEADS), "yield_low", "yield_high", "verdict"])
        for each in found.parameters:
            wanted = each.requirement
            limits = (wanted.minimum, wanted.typical, wanted.maximum)
            numbers = [*limits, each.minimum, each.typical, each.maximum]
            rate = each.rate
            shares = [None] * 3 if rate is None else [rate.rate, rate.low, rate.high]
            cells = ["" if value is None else repr(float(value)) for value in numbers]
            worst = "" if each.worst is None else each.worst.name
            yields = ["" if value is None else repr(float(value)) for value in shares]
            made.writerow([wanted.name, each.unit, *cells, worst, *yields, each.verdict])
        return stream.getvalue()
    return html.page(document(found))


def write_datasheet(found: Characterisation, file: Path) -> list[Path]:
    """Write a data sheet in the format of the file's ending; that of Markdown has its picture beside it.

    Raises
    ------
    OutputError
        For another ending, or if it cannot be written.
    """
    refuse_datasheet(file)
    if file.suffix.lower() != ".md":
        write_text(file, datasheet(found, file.suffix.lower()))
        return [file]
    from spu.reports.pictures.figures import save

    made = document(found)
    files = {picture.name: file.with_name(f"{file.stem}_{picture.name}.svg") for picture in made.pictures()}
    for picture in made.pictures():
        save(picture.figure, files[picture.name])
    write_text(file, markdown.page(made, {name: path.name for name, path in files.items()}))
    return [file, *files.values()]


def refuse_datasheet(file: Path) -> None:
    """Raise what `write_datasheet` would raise, before any work is done."""
    if file.suffix.lower() not in FORMATS:
        raise OutputError(f"cannot be a data sheet: the name must end in {', '.join(FORMATS)}", file=file)
    if not file.parent.is_dir():
        raise OutputError(f"cannot be written: there is no folder {str(file.parent)!r}", file=file)
    if file.is_dir():
        raise OutputError("is a folder; a file is to be written", file=file)
