"""``spu predict``: exact stationary statistics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from spu.base.errors import OutputError, UsageError
from spu.base.numbers import engineering, number, plural, small

from .common import (
    MAX_TABLE_ROWS,
    common_mode_table,
    file_option,
    folder_argument,
    json_option,
    print_result,
    statistics_json,
    table,
)
from .networks import nonlinear, predict_command, refuse_options

if TYPE_CHECKING:
    from spu.emulator.laws.stationary import Stationary
    from spu.emulator.predict import Prediction
    from spu.emulator.results import Statistics

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
@click.option("--unit", metavar="NAME", help="Of a thermodynamic network: whose activation curve [default: the first].")
@click.option(
    "--times", metavar="T1,T2...", help="Of a network: sample that curve at these times too, in its own time."
)
@json_option
def command(
    directory: Path,
    band: tuple[float, float] | None,
    spectrum: Path | None,
    plot: Path | None,
    unit: str | None,
    times: str | None,
    as_json: bool,
) -> int:
    """Give the exact stationary statistics of DIR, without sampling.

    Mean, covariance and their distance from the target, voltages, time constants. DIR is a
    compiled or imported folder, a device.json, or a netlist (.cir, .net, .sp, .ckt, .spice).

    Of a thermodynamic network --plot draws a unit's mean over its input; --unit, --times and --plot
    put the numbers of that curve into the JSON.
    """
    from spu.emulator.laws.stationary import Stationary
    from spu.emulator.predict import predict
    from spu.folder import read_folder

    if band is not None and not 0 <= band[0] < band[1]:
        raise UsageError(f"a band needs 0 <= F1 < F2 (Hz), not {band[0]:g} to {band[1]:g}")
    if spectrum is not None:
        _refuse_spectrum(spectrum)
    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    folder = read_folder(directory)
    if nonlinear(folder.subject):
        refuse_options("networks: their spectra are not known", band=band, spectrum=spectrum)
        return predict_command(folder, unit=unit, times=times, plot=plot, as_json=as_json)
    refuse_options("linear devices", unit=unit, times=times)
    prediction = cast("Prediction", predict(folder.subject, band=band))
    if (spectrum is not None or plot is not None) and not len(prediction.time_constants):
        raise UsageError("without capacitors and inductors all spectra are flat: there is none to write or to draw")
    if spectrum is not None:
        if not isinstance(prediction.law, Stationary):
            raise UsageError("spectra need all modes: this network is too large")
        _write_spectrum(spectrum, prediction.law)
    if plot is not None:
        from spu.reports.pictures.covariances import draw_prediction
        from spu.reports.pictures.figures import save

        save(draw_prediction(prediction), plot)
    if as_json:
        print_result({**_report(prediction, spectrum), "plot": plot}, folder, "predict")
    else:
        click.echo(_describe(prediction))
        if spectrum is not None:
            click.echo(f"\nwrote {spectrum}")
        if plot is not None:
            click.echo(f"picture: {plot}")
    return 0


def _report(prediction: Prediction, spectrum: Path | None) -> dict[str, Any]:
    import numpy as np

    poles = prediction.law.poles
    return {
        **statistics_json(prediction),
        "time_constants": prediction.time_constants,
        "poles": np.column_stack([poles.real, poles.imag]).tolist(),
        "band": prediction.band,
        "spectrum": spectrum,
    }


def _describe(prediction: Prediction) -> str:
    import numpy as np

    where = "over all frequencies"
    if prediction.band is not None:
        where = f"from {engineering(prediction.band[0], 'Hz')} to {engineering(prediction.band[1], 'Hz')}"
    cells = plural(len(prediction.cells), "cell")
    lines = [f"{plural(len(prediction.variables), 'variable')} on {cells}, exact, {where}", ""]
    lines += [_variables(prediction, targets=prediction.band is None), ""]
    if prediction.variables != prediction.cells:
        lines += [_cells(prediction), ""]
    if prediction.common_mode is not None:
        lines += [common_mode_table(prediction.common_mode), ""]
    if len(prediction.time_constants):
        slowest, fastest = prediction.time_constants[0], prediction.time_constants[-1]
        lines.append(f"time constants: slowest {engineering(slowest, 's')}, fastest {engineering(fastest, 's')}")
    else:
        lines.append("no time constants: no capacitor and no inductor")
    if not isinstance(prediction.covariance, np.ndarray):
        lines.append("a large sparse network: covariances of coupled cells only, and the two extreme time constants")
    if prediction.target_covariance is None:
        lines.append("no target: there is no problem.json")
    elif prediction.band is None:
        lines.append(f"covariance off target by {small(prediction.covariance_relative_error)} (relative, Frobenius)")
        if prediction.mean_relative_error is not None:
            lines.append(f"mean off target by {small(prediction.mean_relative_error)} (relative)")
    else:
        lines.append("in a band there is no target to compare with")
    return "\n".join(lines)


def _variables(stats: Statistics, *, targets: bool) -> str:
    """Lay out the variables, and their voltages where each variable is one cell of its own name."""
    import numpy as np

    deviations = np.sqrt(stats.covariance.diagonal().clip(0))
    headers = ["variable", "mean", "std dev"]
    columns = [[number(m) for m in stats.mean], [number(s) for s in deviations]]
    if targets and stats.target_mean is not None and stats.target_covariance is not None:
        headers[2:2] = ["(target)"]
        columns[1:1] = [[f"({number(m)})" for m in stats.target_mean]]
        headers.append("(target)")
        columns.append([f"({number(s)})" for s in np.sqrt(stats.target_covariance.diagonal())])
    if stats.variables == stats.cells:
        headers += ["voltage mean", "noise rms"]
        columns += _voltages(stats)
    return table(headers, list(zip(stats.variables, *columns, strict=True)), limit=MAX_TABLE_ROWS)


def _cells(stats: Statistics) -> str:
    rows = list(zip(stats.cells, *_voltages(stats), strict=True))
    return table(["cell", "voltage mean", "noise rms"], rows, limit=MAX_TABLE_ROWS)


def _voltages(stats: Statistics) -> list[list[str]]:
    import numpy as np

    rms = np.sqrt(stats.voltage_covariance.diagonal().clip(0))
    return [[engineering(float(v), "V") for v in values] for values in (stats.voltage_mean, rms)]


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


def _write_spectrum(file: Path, law: Stationary) -> None:
    import numpy as np

    from spu.base.files import write_text
    from spu.emulator.laws.spectra import spectrum_frequencies

    frequencies = spectrum_frequencies(law.poles)
    # A few at a time: each brings a whole matrix, of which only the diagonal is kept.
    parts = np.array_split(frequencies, max(1, len(frequencies) // 32))
    densities = np.concatenate([np.einsum("kii->ki", law.spectrum(part)).real for part in parts])
    lines = [_SPECTRUM_HEADER, ",".join(("frequency", *law.sde.probes))]
    lines += [
        ",".join(repr(float(value)) for value in (frequency, *row))
        for frequency, row in zip(frequencies, densities, strict=True)
    ]
    write_text(file, "\n".join(lines) + "\n")
