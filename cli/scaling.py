"""``spu scaling``: what an answer costs, against dimension and condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from spu.base.errors import UsageError

from .common import (
    energy_option,
    file_option,
    json_option,
    number_list,
    print_found,
    relative_error,
    seed_option,
    study_options,
    study_words,
)
from .names import ARCHITECTURES, HARDWARE, names


@click.command("scaling")
@click.argument("task", metavar="TASK", shell_complete=names("spu.studies.algebra.scaling:POSED"))
@click.option("--dimensions", metavar="N1,N2...", default="4,8,16,32", show_default=True, help="Sizes of the matrices.")
@click.option("--conditions", metavar="K1,K2...", default="10", show_default=True, help="Their condition numbers.")
@click.option("--error", metavar="X", default="1%", show_default=True, help="Relative error of each answer.")
@click.option(
    "--family",
    metavar="NAME",
    shell_complete=names("spu.studies.algebra.scaling:FAMILIES"),
    default="uniform",
    show_default=True,
    help="uniform, geometric or wishart.",
)
@click.option("--draws", type=int, metavar="N", default=3, show_default=True, help="Matrices of each kind.")
@click.option("--hardware", metavar="NAME", shell_complete=HARDWARE, help="A preset, or a .toml file [default: ideal].")
@click.option(
    "--architecture",
    metavar="NAME",
    shell_complete=ARCHITECTURES,
    help="Of all devices [default: what the largest matrix takes].",
)
@energy_option
@seed_option("the matrices")
@file_option("-o", "--output", metavar="DIR", help="Keep finished matrices there; the same command goes on with them.")
@study_options
@file_option("--plot", metavar="FILE", help="Draw time and energy over dimension (.png, .svg or .pdf).")
@json_option
def command(
    task: str,
    dimensions: str,
    conditions: str,
    error: str,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Show how device time, readouts and energy of an answer grow with dimension and condition.

    TASK is inverse, linear, gaussian, determinant, lyapunov, exponential, least-squares or general-linear. Random
    matrices are compiled and planned for (spu plan; log determinants are run). Beside the device stands the digital
    method of the fewest operations, and where one overtakes the other, with the assumptions that move that.
    """
    from spu.studies.algebra.scaling import cost_scaling

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    if output is None and given["restart"]:
        raise UsageError("--restart is for a study that is kept: give -o DIR")
    found = cost_scaling(
        task,
        cast("list[int]", number_list("--dimensions", dimensions)),  # whole ones, as the study says
        number_list("--conditions", conditions),
        relative_error("--error", error),
        directory=output,
        progress=study_words(),
        **given,
    )
    print_found(found, as_json, plot, output=output)
    return 0
