"""``spu train natural``: steps between gradient descent and natural gradient, made by a device that relaxes."""

from __future__ import annotations

from pathlib import Path

import click

from spu.base.errors import UsageError

from .common import file_option, json_option, number_list, print_json, progress_words, seed_option
from .names import HARDWARE, names


@click.command("natural")
@click.argument("images", metavar="IMAGES", type=click.Path(path_type=Path))
@file_option("--labels", help="Labels of the images, where they do not come with them (IDX, .npy).")
@click.option("--classes", metavar="A,B...", help="Labels that are told apart [default: all].")
@click.option(
    "--times", metavar="T1,T2...", help="When the device is read, in the problem's time; inf: when it has settled."
)
@click.option("--steps", type=click.IntRange(1, 10_000), default=8, show_default=True, metavar="N", help="Of training.")
@click.option("--rate", type=float, default=1.0, show_default=True, metavar="X", help="Factor on every step.")
@click.option(
    "--damping", type=float, default=0.01, show_default=True, metavar="X", help="Added to the Fisher matrix's diagonal."
)
@click.option("--noise", type=float, metavar="X", help="Of the device, relative to what it shows [default: 0.1].")
@click.option(
    "--trajectories", type=click.IntRange(1, 100_000), default=100, show_default=True, metavar="N", help="Averaged."
)
@click.option(
    "--hardware",
    metavar="NAME|FILE",
    shell_complete=HARDWARE,
    default="ideal",
    show_default=True,
    help="What can be built.",
)
@seed_option("the noise", 2**31 - 2)
@click.option(
    "--simulator",
    metavar="NAME",
    shell_complete=names("spu.spice.simulators:SIMULATORS", more=("none",)),
    default="ngspice",
    show_default=True,
    help="Runs the first step; or none.",
)
@file_option("--plot", metavar="FILE", help="Draw losses over steps, and the first step (.png, .svg or .pdf).")
@json_option
def command(
    images: Path,
    labels: Path | None,
    classes: str | None,
    times: str | None,
    steps: int,
    rate: float,
    damping: float,
    noise: float | None,
    trajectories: int,
    hardware: str,
    seed: int,
    simulator: str,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Train softmax regression on IMAGES with steps that a device makes.

    In each step a device of first-order cells is compiled for the Fisher matrix F and the gradient g, starts at g and
    is read after a time t: F^-1 g + exp(-F t)(g - F^-1 g). At once that is gradient descent, later natural gradient.
    Losses by exact arithmetic and by the emulated device, for each time; the first step also in ngspice. Pixels are
    averaged in blocks until the model has 64 parameters or fewer. Nothing is written but the picture.

    \b
      spu train natural examples/digits8.npz --classes 3,8 --plot natural.png
    """  # noqa: D301 - click wants the control character
    from spu.problems.images import read_images
    from spu.studies.learning.natural import natural_gradient

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    with progress_words() as progress:
        found = natural_gradient(
            read_images(images, labels),
            classes=None if classes is None else _labels(classes),
            times=None if times is None else number_list("--times", times),
            steps=steps,
            rate=rate,
            damping=damping,
            trajectories=trajectories,
            hardware=hardware,
            seed=seed,
            simulator=None if simulator == "none" else simulator,
            progress=progress,
            **({} if noise is None else {"noise": noise}),
        )
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), "plot": plot})
    else:
        click.echo(str(found))
        if plot is not None:
            click.echo(f"picture: {plot}")
    return 0


def _labels(text: str) -> list[int]:
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise UsageError(f"--classes takes labels, as in --classes 3,8, not {text!r}") from None
