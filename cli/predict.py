"""``spu predict``: exact stationary statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spu.base.errors import OutputError, UsageError

from .common import clamp_option, file_option, folder_argument, json_option, number_list, print_result, start_values

if TYPE_CHECKING:
    from spu.base.arrays import FloatArray

_SPECTRUM_HEADER = "# spu predict: one-sided spectral density of every cell, V^2/Hz, by frequency in Hz"


@click.command("predict")
@folder_argument
@click.option(
    "--band",
    nargs=2,
    type=float,
    metavar="F1 F2",
    help="What a readout with this brick-wall band sees (Hz; F2 may be inf).",
)
@file_option("--spectrum", metavar="FILE.csv", help="Write the spectral densities of all cells (V^2/Hz).")
@file_option("--plot", metavar="FILE", help="Draw covariance and spectra, or a neuron (.png, .svg or .pdf).")
@clamp_option("Hold a variable there, by a voltage source at its cell")
@click.option("--unit", metavar="NAME", help="Of a thermodynamic network: whose activation curve [default: the first].")
@click.option(
    "--times",
    metavar="T1,T2...|FIRST:LAST:COUNT",
    help="Of a network: sample that curve at these times too, in its own time; with --start of any other: when.",
)
@click.option(
    "--start",
    metavar="X",
    help="Relaxation of a linear device from there: X1,X2..., a file of values (.csv, .npy), or rest (power-on).",
)
@json_option
def command(
    directory: Path,
    band: tuple[float, float] | None,
    spectrum: Path | None,
    plot: Path | None,
    clamp: dict[str, float] | None,
    unit: str | None,
    times: str | None,
    start: str | None,
    as_json: bool,
) -> int:
    """Give the exact stationary statistics of DIR, without sampling.

    Mean, covariance and their distance from the target, voltages, time constants. DIR is a
    compiled or imported folder, a device.json, or a netlist (.cir, .net, .sp, .ckt, .spice).

    Of a thermodynamic network --plot draws a unit's mean over its input; --unit, --times and --plot
    put the numbers of that curve into the JSON.

    With --start and --times of any other device: exact mean and covariance as it comes from there to
    its stationary law, in the picture (--plot) and under relaxation in the JSON.
    """
    from spu.emulator.predict import predict
    from spu.emulator.relaxation import relaxation
    from spu.emulator.spectrum import noise_densities
    from spu.folder import read_folder
    from spu.studies.activation import activation_curve

    if band is not None and not 0 <= band[0] < band[1]:
        raise UsageError(f"a band needs 0 <= F1 < F2 (Hz), not {band[0]:g} to {band[1]:g}")
    if spectrum is not None:
        _refuse_spectrum(spectrum)
    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    instants = None if times is None else number_list("--times", times)
    folder = read_folder(directory)
    subject = folder if clamp is None else folder.device.clamped(clamp)
    if start is not None and (instants is None or unit is not None):
        raise UsageError("--start wants --times, and no --unit: it is of a linear device's relaxation")
    wanted = start is None and (plot is not None or unit is not None or times is not None)
    curve = activation_curve(folder, unit=unit, times=instants) if wanted else None
    relaxed = None if start is None else relaxation(subject, start=start_values(start), times=instants or [])
    densities = None if spectrum is None else noise_densities(subject)
    prediction = predict(subject, band=band)
    if spectrum is not None and densities is not None:
        _write_spectrum(spectrum, *densities)
    if plot is not None:
        from spu.reports.pictures.figures import save

        save((relaxed or curve or prediction).plot(), plot)
    if as_json:
        more = {} if curve is None else {"activation": curve.to_dict()}
        more |= {} if relaxed is None else {"relaxation": relaxed.to_dict()}
        print_result({**prediction.to_dict(), **more, "spectrum": spectrum, "plot": plot}, folder, "predict")
        return 0
    click.echo(str(prediction))
    if relaxed is not None:
        click.echo(f"\n{relaxed}")
    if curve is not None and plot is None:
        click.echo("\nthe activation curve is drawn with --plot FILE, its numbers given with --json")
    if spectrum is not None:
        click.echo(f"\nwrote {spectrum}")
    if plot is not None:
        click.echo(f"picture: {plot}")
    return 0


def _refuse_spectrum(file: Path) -> None:
    """Refuse to write over a .csv that is not a spectrum: it might be somebody's matrix."""
    if not file.exists():
        return
    ours = False
    if file.is_file():
        with file.open("rb") as stream:
            ours = stream.readline(200).strip() == _SPECTRUM_HEADER.encode()
    if not ours:
        raise OutputError("is in the way and holds no spectrum: move it, or give another name", file=file)


def _write_spectrum(file: Path, cells: Sequence[str], frequencies: FloatArray, densities: FloatArray) -> None:
    from spu.base.files import write_text

    lines = [_SPECTRUM_HEADER, ",".join(("frequency", *cells))]
    lines += [
        ",".join(repr(float(value)) for value in (frequency, *row))
        for frequency, row in zip(frequencies, densities, strict=True)
    ]
    write_text(file, "\n".join(lines) + "\n")
