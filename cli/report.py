"""``spu report``: what a check finds, in one file that can be shown."""

from __future__ import annotations

from pathlib import Path

import click

from spu.base.errors import UsageError

from .common import (
    accuracy_option,
    file_option,
    folder_argument,
    json_option,
    plan_options,
    print_json,
    progress_words,
    seed_option,
    simulators_option,
)
from .names import LEVELS, names


@click.command("report")
@folder_argument
@file_option("-o", "--output", metavar="FILE", help="Where to [default: DIR/report.html, or .md].")
@click.option(
    "--format",
    "kind",
    metavar="NAME",
    shell_complete=names("spu.reports.reporting:FORMATS"),
    help="html or md [default: what FILE's name says, or html].",
)
@file_option("--netlist", metavar="FILE", help="Run this netlist, an edited DIR/device.cir, and say what it changed.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="NAME",
    shell_complete=LEVELS,
    help="Only this level of check (repeat for more).",
)
@accuracy_option("Error of the answer allowed (5% or 0.05), as for check.")
@click.option(
    "--samples",
    type=click.IntRange(1, 10**9),
    metavar="N",
    help="Readouts of the simulation, of networks trajectories [default: 10000, 1000].",
)
@seed_option("the check's noise and of the simulation")
@click.option("--time-limit", type=float, metavar="S", help="Seconds that each run of a simulator may take.")
@plan_options
@file_option("--specification", metavar="SPEC", help="Hold the device against this file, as spu characterise does.")
@click.option("--include-outside", is_flag=True, help="Read includes outside the netlist's folder, as for check.")
@click.option("--ignore-control", is_flag=True, help="Leave control blocks out, as for check.")
@simulators_option
@json_option
def command(
    directory: Path,
    output: Path | None,
    kind: str | None,
    netlist: Path | None,
    levels: tuple[str, ...],
    accuracy: float | None,
    samples: int | None,
    seed: int,
    time_limit: float | None,
    detect: float | None,
    budget: float | None,
    specification: Path | None,
    include_outside: bool,
    ignore_control: bool,
    simulators: tuple[str, ...],
    as_json: bool,
) -> int:
    """Write a report on DIR: the verdict first, then the evidence.

    Checks DIR as spu check does, predicts and simulates it, and writes what came out, with pictures, into one
    HTML file that needs no network: to read, print, or attach to a design review. With --format md, or -o FILE.md,
    Markdown for a merge request, its pictures as SVG files beside it.

    Prints what spu check prints. Exit status as of spu check. 1: a level failed. 3: a simulator is missing (the report
    says what needs none). 1, too, if the specification is missed.
    """
    from spu.reports import report

    for option, value in (("--accuracy", accuracy), ("--time-limit", time_limit)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{option} must be a positive number, not {value!r}")
    if detect is not None and budget is not None:
        raise UsageError("--detect and --budget exclude one another: one follows from the other")
    given = {"samples": samples, "time_limit": time_limit}
    with progress_words(detect is not None or budget is not None) as progress:
        result = report(
            directory,
            output,
            format=kind,
            netlist=netlist,
            levels=levels or None,
            accuracy=accuracy,
            seed=seed,
            detect=detect,
            budget=budget,
            include_outside=include_outside,
            ignore_control=ignore_control,
            specification=specification,
            simulator=simulators or "ngspice",
            progress=progress,
            **{key: value for key, value in given.items() if value is not None},
        )
    check, characterised = result.check, result.evidence.characterisation
    if as_json:
        print_json(
            {
                "report": result.file,
                "format": result.format,
                "pictures": result.pictures,
                "verdict": result.verdict,
                "levels": {name: level.verdict for name, level in check.levels.items()},
                "specification": None if characterised is None else characterised.verdict,
            }
        )
    else:
        click.echo(str(check))
        if characterised is not None:
            click.echo(f"\n{characterised}\n")
        click.echo(f"report: {result.file}")
    return result.exit_status
