"""``spu generate``: images from noise."""

from __future__ import annotations

from pathlib import Path

import click

from .common import energy_option, file_option, json_option, print_json, progress_bar, seed_option


@click.command("generate")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@file_option("-o", "--output", metavar="FILE", help="Contact sheet (.png, .svg or .pdf).")
@click.option("--images", type=click.IntRange(1), default=64, show_default=True, metavar="N", help="How many.")
@click.option("--duration", type=float, metavar="T", help="In the network's time [default: that of training].")
@click.option("--step", type=float, metavar="T", help="Of the scheme [default: that of training].")
@click.option(
    "--precision",
    type=click.Choice(["double", "single"]),
    default="double",
    show_default=True,
    help="Number format of the run; heat is always of doubles.",
)
@energy_option
@seed_option("start and noise")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]; changes no bit.")
@json_option
def command(
    directory: Path,
    output: Path | None,
    images: int,
    duration: float | None,
    step: float | None,
    precision: str,
    energy: Path | None,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> int:
    """Let the trained network of DIR make images from noise, and say what they are worth.

    DIR is what spu train generative wrote, or a device compiled of it: then the device's own equation runs.
    Units start apart from one another at kT; then the couplings act. Said are the likeness to the training
    images, how many came out inverted, the balance of classes, diversity, the distance to the nearest training
    image, and the heat of an image.
    """
    from typing import cast

    from spu.base.kernels.door import Precision
    from spu.studies.learning.generate import generate

    if output is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(output)
    with progress_bar("generating") as progress:
        found = generate(
            directory,
            images=images,
            duration=duration,
            step=step,
            precision=cast(Precision, precision),
            energy=energy,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    if output is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), output)
    if as_json:
        print_json({**found.to_dict(), "output": output})
        return 0
    click.echo(str(found))
    if output is not None:
        click.echo(f"\nsheet: {output}")
    return 0
