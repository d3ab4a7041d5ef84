"""``spu train generative``: couplings that make images from noise."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from spu.base.errors import UsageError

from .common import facts, file_option, hint, json_option, print_json, seed_option, study_options, study_words
from .names import names


@click.command("generative")
@click.argument("images", metavar="IMAGES", type=click.Path(path_type=Path))
@file_option("-o", "--output", metavar="DIR", help="Folder of the trained network; needed.")
@file_option("--labels", help="Labels of the images, where these do not hold them.")
@click.option("--classes", metavar="LIST", help="Images of these labels only, as in 0,1,2 [default: all].")
@click.option(
    "--images-per-class", type=click.IntRange(1), metavar="N", help="The first N of each label [default: all]."
)
@click.option("--coarser", type=click.IntRange(1), default=1, metavar="N", help="Means of blocks of N x N pixels.")
@click.option("--hidden", type=int, metavar="N", help="Units without a pixel [default: two for three pixels].")
@click.option("--kT", "kT", type=float, default=0.1, show_default=True, metavar="X", help="Of the bath.")
@click.option("--duration", type=float, default=2.5, show_default=True, metavar="T", help="Of noising and generation.")
@click.option("--step", type=float, default=1e-3, show_default=True, metavar="T", help="Of the Euler-Maruyama scheme.")
@click.option(
    "--strength", type=float, default=2.0, show_default=True, metavar="X", help="Field of a pixel of level 1."
)
@click.option(
    "--scaling",
    default="symmetric",
    show_default=True,
    metavar="NAME",
    shell_complete=names("spu.studies.learning.generative:SCALINGS"),
    help="Levels of pixels: symmetric (-1 to 1), grey (0 to 1), unit (mean 0, variance 1).",
)
@click.option(
    "--hidden-drive",
    default="repeat",
    show_default=True,
    metavar="NAME",
    shell_complete=names("spu.studies.learning.generative:DRIVES"),
    help="Levels of hidden units: repeat (pixel k mod m), projection (fixed random ones of all pixels).",
)
@click.option("--visible-bias", is_flag=True, help="Biases of visible units, too: fewer images come out inverted.")
@click.option(
    "--method",
    default="solve",
    show_default=True,
    metavar="NAME",
    shell_complete=names("spu.studies.learning.generative:METHODS"),
    help="solve, or descent (Adam).",
)
@click.option(
    "--sums",
    metavar="NAME",
    shell_complete=names("spu.studies.learning.generative:SUMS"),
    help="For solve: expected (over all noise, no path is drawn), sampled [default: expected].",
)
@click.option("--trajectories", type=click.IntRange(1), metavar="N", help="Of an image: sampled, or a cycle's [8].")
@click.option("--cycles", type=click.IntRange(1), metavar="N", help="Of descent [100].")
@click.option("--rate", type=float, metavar="X", help="Of descent [0.002].")
@click.option(
    "--regularisation", type=float, default=0.0, metavar="X", help="Ridge, a share of the mean of G's diagonal."
)
@seed_option("random projection and noising runs")
@study_options
@json_option
def command(
    images: Path,
    output: Path | None,
    labels: Path | None,
    classes: str | None,
    images_per_class: int | None,
    coarser: int,
    hidden: int | None,
    kT: float,
    duration: float,
    step: float,
    strength: float,
    scaling: str,
    hidden_drive: str,
    visible_bias: bool,
    method: str,
    sums: str | None,
    trajectories: int | None,
    cycles: int | None,
    rate: float | None,
    regularisation: float,
    seed: int,
    cluster: str | None,
    threads: int | None,
    restart: bool,
    as_json: bool,
) -> int:
    """Train a network that makes images like those of IMAGES from noise, into a folder for spu generate.

    IMAGES is an IDX file (also .gz), .npy, .npz with images and labels, or a folder of PNGs. Visible units are
    pixels; images are held by fields and let go while the couplings are off, and the couplings found are
    those that make the reverse most probable. That loss is quadratic, so it is solved, not descended, unless
    asked: seconds instead of minutes.
    """
    from spu.base.errors import refuse_options
    from spu.studies.learning.generative import train_generative

    if output is None:
        raise UsageError("give -o DIR, the folder of the trained network")
    if method == "solve":
        refuse_options("--method solve", {"cycles": cycles, "rate": rate})
        if sums != "sampled":
            refuse_options("expected sums: no path is drawn", {"trajectories": trajectories})
    if method == "descent":
        refuse_options("--method descent, which samples", {"sums": sums})
    given: dict[str, Any] = {"sums": sums, "trajectories": trajectories, "cycles": cycles, "rate": rate}
    trained = train_generative(
        images,
        labels,
        output,
        classes=None if classes is None else _whole(classes),
        each=images_per_class,
        coarser=coarser,
        hidden=hidden,
        kT=kT,
        duration=duration,
        step=step,
        strength=strength,
        scaling=scaling,
        hidden_drive=hidden_drive,
        visible_bias=visible_bias,
        method=method,
        regularisation=regularisation,
        seed=seed,
        cluster=cluster,
        threads=threads,
        restart=restart,
        progress=study_words(),
        **{key: value for key, value in given.items() if value is not None},
    )
    measured = trained.measured
    if as_json:
        keep = {key: value for key, value in trained.settings.items() if key not in ("images", "labels")}
        print_json({"output": output, "units": trained.network.n, "settings": keep, "measured": measured})
        return 0
    rows, columns = trained.shape or (0, 0)
    lines = [
        ("units", f"{rows * columns} visible ({rows} x {columns}), {trained.settings['hidden']} hidden"),
        ("learnt", f"{measured['parameters']} couplings and biases, the largest {measured['largest_coupling']:.3g}"),
        (
            "gain",
            f"the reverse of a noising path is exp({measured['gain']:.5g}) times as probable as without couplings",
        ),
        ("residual", f"{measured['residual']:.2g} of stationarity, after {measured['iterations']} iterations"),
    ]
    click.echo(facts(lines))
    click.echo(f"\nwrote {output}")
    hint(f"\nnext: spu generate {shlex.quote(str(output))} -o sheet.png")
    return 0


def _whole(text: str) -> list[int]:
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise UsageError(f"--classes takes labels, as in --classes 0,1,2, not {text!r}") from None
