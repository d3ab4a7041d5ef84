"""``spu classify``: what images show, and how often a network is right."""

from __future__ import annotations

from pathlib import Path

import click

from spu.base.errors import UsageError

from .common import file_option, folder_argument, json_option, number_list, print_json, progress_bar, seed_option


@click.command("classify")
@folder_argument
@click.argument("images", type=click.Path(path_type=Path))
@file_option("--labels", help="What the images show (IDX, .npy, .npz), unless IMAGES holds it.")
@click.option("--times", metavar="T1,T2...", help="When to read, in the network's time [default: as trained].")
@click.option("--average", metavar="N1,N2...", default="1", show_default=True, help="Trajectories averaged.")
@click.option("--kT", "temperatures", metavar="X1,X2...", help="Of the bath, 0 as a control [default: its own].")
@click.option("--bits", metavar="N1,N2...", help="Couplings and weights of so many bits and a sign.")
@click.option("--mismatch", metavar="X1,X2...", help="Relative deviation of every element, such as 0.01.")
@click.option(
    "--draws", type=click.IntRange(1), default=5, show_default=True, metavar="N", help="Boards of a mismatch."
)
@click.option("--step", type=float, metavar="T", help="Time step [default: a fifth of that in training].")
@seed_option("the noise")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]; changes no bit.")
@file_option("-o", "--output", metavar="FILE.csv", help="For the answers, an image a line.")
@file_option("--plot", help="Draw accuracy against what was swept (.png, .svg or .pdf).")
@json_option
def command(
    directory: Path,
    images: Path,
    labels: Path | None,
    times: str | None,
    average: str,
    temperatures: str | None,
    bits: str | None,
    mismatch: str | None,
    draws: int,
    step: float | None,
    seed: int,
    threads: int | None,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Ask the classifier in DIR, trained or compiled, what IMAGES show.

    With labels: accuracy with its 95 % interval for every condition asked for. Averaged are outputs of independent
    trajectories of the same image.
    """
    from spu.studies.learning.classify import classify

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    if output is not None and output.suffix != ".csv":
        raise UsageError(f"answers are written as .csv, not {str(output)!r}")
    with progress_bar("classifying") as progress:
        found = classify(
            directory,
            images,
            labels,
            times=None if times is None else number_list("--times", times),
            average=[_whole(each, "--average") for each in number_list("--average", average)],
            kT=None if temperatures is None else number_list("--kT", temperatures),
            bits=None if bits is None else [_whole(each, "--bits") for each in number_list("--bits", bits)],
            mismatch=0.0 if mismatch is None else number_list("--mismatch", mismatch),
            draws=draws,
            step=step,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    if output is not None:
        from spu.base.files import write_text

        lines = [f"{k},{found.classes[answer]}" for k, answer in enumerate(found.answers)]
        write_text(output, "\n".join(["image,answer", *lines]) + "\n")
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), "output": output, "plot": plot})
        return 0
    click.echo(str(found))
    for file, what in ((output, "answers"), (plot, "picture")):
        if file is not None:
            click.echo(f"{what}: {file}")
    return 0


def _whole(value: float, option: str) -> int:
    if value != value or int(value) != value:
        raise UsageError(f"{option} takes whole numbers, not {value:g}")
    return int(value)
