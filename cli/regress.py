"""``spu regress``: a Gaussian process through data, its posterior sampled by a device."""

from __future__ import annotations

from pathlib import Path

import click

from .common import file_option, json_option, number_list, print_json, seed_option
from .names import ARCHITECTURES, HARDWARE, names


@click.command("regress")
@click.argument("data", metavar="DATA.csv", type=click.Path(path_type=Path))
@click.option("--at", metavar="X1,X2...", help="Where the function is sampled [default: --points at equal distances].")
@click.option("--points", type=int, default=24, show_default=True, metavar="N", help="How many places.")
@click.option(
    "--kernel",
    metavar="NAME",
    shell_complete=names("spu.studies.gaussian_process:KERNELS"),
    default="matern-32",
    show_default=True,
    help="Or squared-exponential.",
)
@click.option("--signal", type=float, metavar="S", help="Standard deviation of the function [default: fitted].")
@click.option("--length", type=float, metavar="L", help="Over which it keeps its value [default: fitted].")
@click.option("--noise", type=float, metavar="S", help="Standard deviation of an observation [default: fitted].")
@click.option(
    "--hardware",
    metavar="NAME|FILE",
    shell_complete=HARDWARE,
    default="ideal",
    show_default=True,
    help="What can be built.",
)
@click.option(
    "--architecture", metavar="NAME", shell_complete=ARCHITECTURES, help="Take this one [default: the first that can]."
)
@click.option(
    "--samples", type=click.IntRange(1, 10**9), default=20_000, show_default=True, metavar="N", help="Readouts in all."
)
@seed_option("the noise")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]; changes no bit.")
@file_option("-o", "--output", metavar="DEVICE.json", help="Write the device that samples the posterior.")
@file_option("--plot", metavar="FILE", help="Draw data, posterior and samples (.png, .svg or .pdf).")
@json_option
def command(
    data: Path,
    at: str | None,
    points: int,
    kernel: str,
    signal: float | None,
    length: float | None,
    noise: float | None,
    hardware: str,
    architecture: str | None,
    samples: int,
    seed: int,
    threads: int | None,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Regress by a Gaussian process, and let a device sample what the data leave open.

    DATA.csv has two columns, x and y. Hyperparameters that are not given are those of maximum likelihood, found
    digitally, as is the posterior's law; a device is compiled that samples it: functions that agree with the data.

    \b
      spu regress examples/nile.csv --plot nile.png
    """  # noqa: D301 - click wants the control character
    from spu.studies.gaussian_process import gaussian_process

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    found = gaussian_process(
        data,
        at=None if at is None else number_list("--at", at),
        points=points,
        kernel=kernel,
        signal=signal,
        length=length,
        noise=noise,
        hardware=hardware,
        architecture=architecture,
        samples=samples,
        seed=seed,
        threads=threads,
    )
    if output is not None:
        found.device.write(output)
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), "output": output, "plot": plot})
        return 0
    click.echo(str(found))
    for what, file in (("wrote", output), ("picture:", plot)):
        if file is not None:
            click.echo(f"{what} {file}")
    return 0
