"""``spu corners``: what a device does where its process is at its ends, and at other temperatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import file_option, folder_argument, json_option, number_list, print_found, tolerance_options
from .names import METRICS


@click.command("corners")
@folder_argument
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    shell_complete=METRICS,
    multiple=True,
    help="As of spu yield; repeatable [default: relative-error, rescaled-error, time-constant, stability-margin].",
)
@click.option("--sigmas", type=float, metavar="K", default=3.0, show_default=True, help="How far the ends are.")
@click.option("--temperature", metavar="T1,T2...|FIRST:LAST:COUNT", help="K, at each of which all corners are taken.")
@tolerance_options
@file_option("--plot", metavar="FILE", help="Draw the metrics over corners or temperature (.png, .svg or .pdf).")
@json_option
def command(
    directory: Path, metrics: tuple[str, ...], temperature: str | None, plot: Path | None, as_json: bool, **given: Any
) -> int:
    """Show what DIR does where each process is at its ends, and at other temperatures.

    All combinations of ends of the quantities whose tolerance states a process; of more than six each by itself.

    \b
      spu corners out
      spu corners out --tolerance cell.capacitance.process=5%,cell.conductance.process=10% --temperature 250,300,350
      spu corners out --temperature 230:400:18 --metric "variance x1" --plot temperature.png
    """  # noqa: D301 - click wants the control character
    from spu.studies.yields.corner_study import corners

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    temperatures = None if temperature is None else number_list("--temperature", temperature)
    found = corners(directory, list(metrics) or None, temperatures=temperatures, **given)
    print_found(found, as_json, plot)
    return 0
