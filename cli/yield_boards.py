"""``spu yield``: how many boards meet a limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spu.base.errors import UsageError

from .common import (
    file_option,
    folder_argument,
    json_option,
    limits,
    print_found,
    seed_option,
    share_of,
    study_options,
    study_words,
    tolerance_options,
)
from .names import METRICS, names


@click.command("yield")
@folder_argument
@click.option(
    "--limit",
    metavar="X|LOW:HIGH",
    required=True,
    help="What a board's metric must not exceed (of stability-margin: fall below), or both ends: 3%, 0.9:1.1, 1e-6:.",
)
@click.option(
    "--metric",
    metavar="NAME",
    shell_complete=METRICS,
    default="relative-error",
    show_default=True,
    help="rescaled-error, kl, time-constant, stability-margin, gain-margin, delay-margin; of variables by name, as "
    '"variance x1": mean, variance, deviation, covariance, correlation.',
)
@tolerance_options
@click.option("--draws", type=int, metavar="N", default=1000, show_default=True, help="Boards.")
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=names("spu.device.variation:METHODS"),
    default="plain",
    show_default=True,
    help="plain, or latin: hypercubes.",
)
@click.option("--confidence", metavar="X", default="95%", show_default=True, help="Of the yield's interval.")
@click.option("--wanted", metavar="X", help="A yield (99%): say which tolerance and which bits it needs.")
@click.option("--scan", is_flag=True, help="Find the yield at other tolerances, and with --hardware other bits.")
@click.option(
    "--netlists", type=int, metavar="K", default=0, help="Write the K worst boards into folders under -o DIR."
)
@click.option("--check", is_flag=True, help="Check these in ngspice; exit status 1 if one fails.")
@seed_option("the boards")
@file_option("-o", "--output", metavar="DIR", help="Keep finished pieces and a table of boards there, and go on there.")
@study_options
@file_option("--plot", metavar="FILE", help="Draw histogram, contributions and scan (.png, .svg or .pdf).")
@json_option
def command(
    directory: Path,
    limit: str,
    confidence: str,
    wanted: str | None,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Say how many boards of DIR meet a limit.

    Boards are drawn by the tolerance of the device (its hardware's [tolerance], unless --tolerance or --hardware is
    given), and the exact statistics of each are judged. Beside the yield with its interval: which element makes how
    much of the spread, and how many standard deviations the nearest board at the limit is away.

    \b
      spu yield out --limit 3%
      spu yield out --limit 3% --tolerance cell.capacitance=1%,coupler.capacitance=2%,cell.capacitance.process=5%
      spu yield out --limit 0.9:1.1 --metric "variance x1" --method latin
      spu yield out --limit 3% --wanted 99% --scan --hardware spu8-8bit --plot yield.png
      spu yield out --limit 3% -o boards --netlists 3 --check
    """  # noqa: D301 - click wants the control character
    from spu.studies.yields.yield_study import yields

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    for option in ("restart", "netlists"):
        if output is None and given[option]:
            raise UsageError(f"--{option} is for boards that are kept: give -o DIR")
    found = yields(
        directory,
        limits("--limit", limit),
        confidence=share_of("--confidence", confidence),
        wanted=None if wanted is None else share_of("--wanted", wanted),
        directory=output,
        progress=study_words(),
        **given,
    )
    print_found(found, as_json, plot, output=output)
    return 1 if found.confirmed is False else 0
