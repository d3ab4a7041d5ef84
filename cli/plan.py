"""``spu plan``: how long a device takes for an answer, and how exact one is after a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from spu.base.errors import UsageError

from .algebra import accuracy_options
from .common import file_option, json_option, print_json, progress_bar, seed_option, warn
from .names import TASKS


@click.command("plan")
@click.argument("problem", metavar="PROBLEM", type=click.Path(path_type=Path))
@accuracy_options
@click.option(
    "--task", metavar="NAME", shell_complete=TASKS, help="Of a matrix file: what to do with it [default: gaussian]."
)
@file_option("--vector", help="Right-hand side of a linear system (.npy, .csv, .mtx).")
@click.option(
    "--interval", type=float, metavar="S", help="Seconds between readouts [default: the longest that wastes no time]."
)
@click.option(
    "--measure", type=click.IntRange(1, 100_000), metavar="N", help="Run the device N times at each of six times."
)
@seed_option("the noise of these runs")
@file_option("-o", "--output", metavar="FILE", help="Draw error against time (.png, .svg or .pdf).")
@json_option
def command(
    problem: Path,
    error: float | None,
    time: float | None,
    hardware: str | None,
    architecture: str | None,
    energy: Path | None,
    task: str | None,
    vector: Path | None,
    interval: float | None,
    measure: int | None,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> int:
    """Say how long a device takes for an answer of PROBLEM, or with --time how exact it is by then.

    PROBLEM is a problem as of spu compile, compiled for --hardware, or a folder that was compiled. All follows from
    the device's own spectrum: what is left of its start when the first readout is taken, the scatter of correlated
    readouts, and the floor that codes, thermal noise and parasitics set.

    \b
      spu plan problem.toml --error 1%
      spu plan A.csv --task inverse --time 1ms --hardware mine.toml
      spu plan out --error 2% --measure 20 -o plan.png
    """  # noqa: D301 - click wants the control character
    from spu.problems.posed import pose
    from spu.studies.algebra.measuring import measure as measured
    from spu.studies.algebra.planning import is_compiled, plan

    if output is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(output)
    compiled = is_compiled(problem)
    if compiled and (task is not None or vector is not None):
        raise UsageError("--task and --vector are for problems: a folder has been compiled already")
    given = problem if compiled else pose(problem, task=task, vector=vector)
    found = plan(
        given,
        error=error,
        time=time,
        hardware=hardware,
        architecture=architecture,
        interval=interval,
        energy=energy,
    )
    if measure is not None:
        with progress_bar("measuring") as progress:
            found = replace(found, measured=measured(found, measure, seed=seed, progress=progress))
    for warning in found.warnings:
        warn(warning)
    if output is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), output)
    if as_json:
        print_json({**found.to_dict(), "output": output})
    else:
        click.echo(str(found))
        if output is not None:
            click.echo(f"\npicture: {output}")
    return 0
