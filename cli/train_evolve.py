"""``spu train evolve``: a network learns a function by a genetic algorithm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spu.base.errors import UsageError

from .common import file_option, json_option, print_json, seed_option, study_options, study_words
from .names import PRECISIONS, names


@click.command("evolve")
@click.argument("target", metavar="TARGET", shell_complete=names("spu.studies.learning.evolve:TARGETS"))
@file_option("-o", "--output", metavar="DIR", help="Folder of the trained network; made if it is not there.")
@click.option(
    "--published",
    is_flag=True,
    help="The published setting: 8,8,8,8 units, 250 points, 1000 trajectories each, steps of 1e-3: days here.",
)
@click.option("--layers", metavar="N1,N2...", help="Units of each layer [default: 8,8; published 8,8,8,8].")
@click.option("--duration", type=float, metavar="T", help="When the network is read [default: 1].")
@click.option("--step", type=float, metavar="H", help="Time step of evolution [default: 0.01; published 0.001].")
@click.option(
    "--scheme",
    metavar="NAME",
    shell_complete=names(more=("euler-maruyama", "heun")),
    help="euler-maruyama or heun [default: euler-maruyama].",
)
@click.option("--beta", type=float, metavar="X", help="1/kT [default: 10].")
@click.option("--population", type=int, metavar="N", help="Individuals of a generation [default: 50].")
@click.option("--keep", type=int, metavar="N", help="How many of them are cloned [default: 5].")
@click.option("--elite", type=int, metavar="N", help="Of these go on unchanged, too [default: 1; published 0].")
@click.option("--deviation", type=float, metavar="X", help="Of changes, times fan-in^-1/2 [default: 0.1].")
@click.option("--points", type=int, metavar="N", help="z of a target by name [default: 12; published 250].")
@click.option("--trajectories", type=int, metavar="N", help="At each point, at first [default: 32; published 1000].")
@click.option("--most-trajectories", type=int, metavar="N", help="The same, at most [default: 256; published 1000].")
@click.option(
    "--precision",
    metavar="NAME",
    shell_complete=PRECISIONS,
    help="double or single, of evolution's runs [default: double].",
)
@click.option("--generations", type=int, default=1000, show_default=True, metavar="N", help="At most so many.")
@click.option(
    "--until",
    metavar="ERROR",
    default="0.007",
    show_default=True,
    help="End when the champion's error on fresh noise is as small; none ends with the generations.",
)
@seed_option("all random numbers")
@study_options
@file_option("--plot", metavar="FILE", help="Draw the learnt function, the generations and the notch.")
@json_option
def command(
    target: str,
    output: Path | None,
    published: bool,
    layers: str | None,
    generations: int,
    until: str,
    cluster: str | None,
    threads: int | None,
    restart: bool,
    plot: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Evolve a layered network that computes a function y(z), and write it to DIR.

    TARGET is cosine, which is cos(2 pi z) for z from -1/2 to 1/2, or a .csv file of the columns z and y. z goes into
    the first layer; what is read is a weighted sum over the means of the last, at --duration. The error is the mean of
    (y(z) - target)^2 over the points, divided by nothing: y = 0 has that of the plateau, 1/2 for the cosine.

    The options given by default are a reduced setting that takes minutes on two processors. --generations and --until
    may change when the same study goes on; whatever else determines the numbers may not.
    """
    from spu.studies.learning.evolve import evolve

    if output is None:
        raise UsageError("give -o DIR, the folder of the trained network")
    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    found = evolve(
        target,
        output,
        published=published,
        generations=generations,
        until=None if until == "none" else _number("--until", until),
        cluster=cluster,
        threads=threads,
        restart=restart,
        progress=study_words(),
        **({} if layers is None else {"layers": _whole_numbers("--layers", layers)}),
        **{name: value for name, value in given.items() if value is not None},
    )
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), "output": output, "plot": plot})
    else:
        click.echo(str(found))
        click.echo(f"\nwrote {output / 'trained.npz'}")
        if plot is not None:
            click.echo(f"picture: {plot}")
    return 0


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} takes a number or none, not {text!r}") from None


def _whole_numbers(option: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise UsageError(f"{option} takes whole numbers, as in {option} 8,8,8,8, not {text!r}") from None
