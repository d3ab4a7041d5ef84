"""``spu anneal``: an optimisation problem on a device, many times."""

from __future__ import annotations

from pathlib import Path

import click

from .common import file_option, json_option, print_json, seed_option
from .names import ARCHITECTURES, HARDWARE


@click.command("anneal")
@click.argument("problem", metavar="PROBLEM", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(1), default=200, show_default=True, metavar="N", help="Independent runs.")
@click.option(
    "--duration", type=float, metavar="T", help="Of a run, in the network's time [default: the problem's own]."
)
@click.option(
    "--by",
    type=click.Choice(["noise", "couplings"]),
    help="What is ramped: noise to nothing, or couplings from nothing [default: the problem's own].",
)
@click.option("--task", type=click.Choice(["ising", "qubo"]), help="Of a matrix file [default: ising].")
@click.option(
    "--hardware",
    metavar="NAME",
    shell_complete=HARDWARE,
    help="Of a problem: a preset or a .toml file [default: ideal].",
)
@click.option("--architecture", metavar="NAME", shell_complete=ARCHITECTURES, help="Of a problem: how cells are built.")
@click.option("--compare", is_flag=True, help="Set a digital annealer (dwave-samplers) beside.")
@click.option(
    "--precision",
    type=click.Choice(["double", "single"]),
    default="double",
    show_default=True,
    help="Number format of the runs.",
)
@file_option("--plot", metavar="FILE", help="Draw what the runs ended in (.png, .svg or .pdf).")
@seed_option("the noise")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]; changes no bit.")
@json_option
def command(
    problem: Path,
    runs: int,
    duration: float | None,
    by: str | None,
    task: str | None,
    hardware: str | None,
    architecture: str | None,
    compare: bool,
    precision: str,
    plot: Path | None,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> int:
    """Anneal PROBLEM on a device: what it ends in, how often in a ground state, and how long a solution takes.

    PROBLEM is a .toml file of an Ising, QUBO or bounded quadratic problem, a matrix file (couplings J, or Q with --task
    qubo), or a folder that spu compile made of one. To 20 spins all states are counted; beyond that success is against
    the best that is known. Intervals are exact (Clopper and Pearson), 95 %.
    """
    from spu.studies.annealing import anneal

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    found = anneal(
        problem,
        runs=runs,
        seed=seed,
        schedule=by,
        duration=duration,
        hardware=hardware,
        architecture=architecture,
        task=task,
        compare=compare,
        precision=precision,
        threads=threads,
    )
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), "plot": plot})
        return 0
    click.echo(str(found))
    if plot is not None:
        click.echo(f"\npicture: {plot}")
    return 0
