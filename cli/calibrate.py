"""``spu calibrate``: the values of a board's parts, from a record of it."""

from __future__ import annotations

from pathlib import Path

import click

from spu.base.errors import OutputError, UsageError

from .common import file_option, folder_argument, json_option, number_list, print_result, warn
from .names import names


@click.command("calibrate")
@folder_argument
@click.argument("record", metavar="RECORD", type=click.Path(path_type=Path))
@click.option(
    "--fit",
    metavar="NAME1,NAME2...",
    help="Elements, kinds (cell.conductance) or quantities (capacitance) that are sought, and readout.gain, "
    "readout.band, readout.noise [default: what the device's tolerance states, else all elements].",
)
@click.option("--prior", is_flag=True, help="Take the stated tolerances for what is known before.")
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=names("spu.studies.calibration.calibrate:METHODS"),
    help="exact, or whittle: by spectra [default: exact to 2 million samples].",
)
@click.option("--rate", type=float, metavar="HZ", help="Samples a second, where RECORD has no times.")
@click.option("--independent", is_flag=True, help="Samples are independent: only their covariance counts.")
@click.option(
    "--unit",
    metavar="NAME",
    shell_complete=names(more=("volts", "problem")),
    help="volts or problem [default: volts; samples.npz of simulate: problem].",
)
@click.option("--gain", metavar="X1,X2...", help="Of the readout, one or one a channel [default: 1].")
@click.option("--band", metavar="HZ1,HZ2...", help="One pole of the readout, one or one a channel [default: none].")
@click.option("--noise", metavar="X1,X2...", help="White rms noise of a sample, units of RECORD [default: 0].")
@file_option("-o", "--output", metavar="DEVICE.json", help="Write the device with the board's values.")
@file_option("--plot", metavar="FILE", help="Draw values against tolerances, and spectra (.png, .svg or .pdf).")
@json_option
def command(
    directory: Path,
    record: Path,
    fit: str | None,
    prior: bool,
    method: str | None,
    rate: float | None,
    independent: bool,
    unit: str | None,
    gain: str | None,
    band: str | None,
    noise: str | None,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Find what the parts of the board measure that DIR describes and RECORD was taken of.

    RECORD is the samples.npz of spu simulate; a .npz with voltages (N, c) or (segments, N, c), interval, rate or
    times, and names of channels; one with frequencies, density (f, c, c; one-sided, V^2/Hz) and averages; or a .csv
    whose columns are channels, with time (s) and segment where there are any. Channels are cells.

    Says the likeliest values with standard errors, which combinations RECORD does not tell, whether the fitted model
    explains it, and whether the board differs from its design: where, and whether that is within tolerance.

    \b
      spu calibrate out out/samples.npz
      spu calibrate out measured.csv --fit conductance,capacitance,readout.noise --noise 2e-6
      spu calibrate out measured.npz --json > board.json; spu program out --board board.json
    """  # noqa: D301 - click wants the control character
    from spu.folder import read_folder
    from spu.studies.calibration import calibrate

    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    if output is not None:
        _refuse_device(output)
    folder = read_folder(directory)
    given = {"gain": gain, "band": band, "noise": noise}
    readout = {name: number_list(f"--{name}", text) for name, text in given.items() if text is not None}
    found = calibrate(
        folder,
        record,
        fit=None if fit is None else [name.strip() for name in fit.split(",") if name.strip()],
        prior=prior,
        method=method,
        rate=rate,
        independent=independent,
        unit=unit,
        **{name: values[0] if len(values) == 1 else values for name, values in readout.items()},  # type: ignore[arg-type]
    )
    for warning in found.warnings:
        warn(warning)
    if output is not None:
        found.board.write(output)
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_result({**found.to_dict(), "output": output, "plot": plot}, folder, "calibrate")
        return 0
    click.echo(str(found))
    if output is not None:
        click.echo(f"\nwrote {output}")
    if plot is not None:
        click.echo(f"picture: {plot}")
    return 0


def _refuse_device(file: Path) -> None:
    """Refuse to write over what is no device file."""
    from spu.base.errors import SpuError
    from spu.device.device import Device

    if file.suffix != ".json":
        raise UsageError(f"a device is written as .json, not {str(file)!r}")
    if file.exists():
        try:
            Device.read(file)
        except SpuError:
            raise OutputError("is in the way and holds no device: move it, or give another name", file=file) from None
