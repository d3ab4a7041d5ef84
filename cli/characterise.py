"""``spu characterise``: a device against its specification, and its data sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spu.base.errors import UsageError

from .common import file_option, folder_argument, json_option, print_json, study_options, study_words
from .names import HARDWARE


@click.command("characterise")
@folder_argument
@click.argument("specification", metavar="SPEC", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    metavar="WORDS",
    help="How elements spread, cell.capacitance=1%,cell.capacitance.process=5% [default: the device's own].",
)
@click.option(
    "--hardware", metavar="NAME", shell_complete=HARDWARE, help="Take the tolerance of this preset or .toml file."
)
@click.option(
    "--sheet",
    "sheets",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    help="Write a data sheet: .md, .html, .csv or .json; repeatable.",
)
@file_option("-o", "--output", metavar="KEEP", help="Keep finished boards there; the same command goes on with them.")
@study_options
@file_option("--plot", metavar="FILE", help="Draw parameters over temperature (.png, .svg or .pdf).")
@json_option
def command(
    directory: Path,
    specification: Path,
    tolerance: str | None,
    hardware: str | None,
    sheets: tuple[Path, ...],
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Hold the device in DIR against the specification SPEC: limits, conditions, boards that are drawn.

    SPEC is a .toml file (docs/howto/characterisation.md): numbers with minimum, typical and maximum, temperatures,
    corners of the process, how many boards to draw and which share of them has to meet all limits.

    \b
      spu characterise out limits.toml
      spu characterise out limits.toml --sheet board.html --sheet board.csv

    Exit status 1: the specification is missed.
    """  # noqa: D301 - click wants the control character
    from spu.reports.characterisations import refuse_datasheet, write_datasheet
    from spu.studies.yields.characterisation import characterise

    for sheet in sheets:
        refuse_datasheet(sheet)
    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    if output is None and given["restart"]:
        raise UsageError("--restart is for a study that is kept: give -o KEEP")
    found = characterise(
        directory,
        specification,
        tolerance=tolerance,
        hardware=hardware,
        directory=output,
        progress=study_words(),
        **given,
    )
    files = [file for sheet in sheets for file in write_datasheet(found, sheet)]
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), "sheets": files, "output": output, "plot": plot})
    else:
        click.echo(str(found))
        wrote = [*files, *([] if plot is None else [plot])]
        if wrote:
            click.echo(f"\nwrote {', '.join(str(file) for file in wrote)}")
    return found.exit_status
