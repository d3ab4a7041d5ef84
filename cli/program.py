"""``spu program``: codes into a compiled folder, or out of it."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spu.base.errors import UsageError
from spu.base.numbers import plural, small

from .common import facts, file_option, folder_argument, json_option, print_json, start_values

if TYPE_CHECKING:
    from spu.device.device import Device


@click.command("program")
@folder_argument
@click.argument("codes", metavar="[CODES.csv]", required=False, type=click.Path(path_type=Path))
@file_option("--export", metavar="CODES.csv", help="Write the codes that DIR has now.")
@file_option("--board", metavar="BOARD.json", help="Of spu calibrate --json: codes for that board, as it is.")
@click.option(
    "--start",
    metavar="X",
    help="Where variables are at time zero, in the netlist, too (.ic): X1,X2..., a file of them, rest, or none.",
)
@click.option("--force", is_flag=True, help="Over a device or netlist that was edited by hand.")
@json_option
def command(
    directory: Path,
    codes: Path | None,
    export: Path | None,
    board: Path | None,
    start: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Set the banks of DIR to the codes of a table, or write the table of its codes.

    The table has the columns programming (from 1; may be left out), element (cell or coupler), name (a, or
    a-b), quantity and code; what it does not name stays as it is. Device, netlist and stored statistics of DIR
    are written anew; a device.json that stands alone is written itself. The readout stays.

    With --board the device of DIR becomes that board: its values and errors, with the codes and the gains of the
    readout that answer best there.

    \b
      spu program out --export codes.csv
      spu program out codes.csv
      spu program out --board board.json
      spu program out --start 1,0,0
    """  # noqa: D301 - click wants the control character
    from spu.base.files import read_text, write_text
    from spu.device.codes import codes_table, program
    from spu.emulator.predict import predict_linear
    from spu.folder import coefficient_errors, read_folder, rewrite_folder

    if sum(each is not None for each in (codes, export, board, start)) != 1:
        raise UsageError(
            "give a table of codes to set, --export one to write, a --board or a --start: exactly one of them"
        )
    folder = read_folder(directory)
    if export is not None:
        write_text(export, codes_table(folder.device))
        if as_json:
            print_json({"codes": export, "programmings": len(folder.device.programmings) + 1})
        else:
            click.echo(f"wrote {export}")
        return 0
    if board is not None:
        from spu.studies.calibration import compensate

        device = compensate(folder, board)
    elif start is None:
        assert codes is not None
        device = program(folder.device, read_text(codes), codes)
    else:
        device = _started(folder.device, start)
    hashes = f"hash {device.hash}, was {folder.device.hash}; {plural(len(device.members()), 'programming')}"
    if folder.network is not None:
        files = rewrite_folder(folder, device, None, force=force)
        errors = coefficient_errors(device)
        if as_json:
            print_json({"device_hash": device.hash, "files": files, "coefficient_errors": errors})
            return 0
        largest, rms = errors["couplings"]
        off = f"couplings at most {small(largest)}, rms {small(rms)} of the largest coupling"
        wrote = ", ".join(str(file) for file in files)
        click.echo(facts([("device", hashes), ("predicted error", off), ("wrote", wrote)]))
        return 0
    prediction = predict_linear(device)
    files = rewrite_folder(folder, device, prediction, force=force)
    if as_json:
        print_json(
            {
                "device_hash": device.hash,
                "files": files,
                "programmings": len(device.programmings) + 1,
                "predicted_relative_error": prediction.relative_error,
                "predicted_covariance_relative_error": prediction.covariance_relative_error,
                "predicted_mean_relative_error": prediction.mean_relative_error,
            }
        )
        return 0
    lines = [
        ("device", hashes),
        ("predicted error", f"{small(prediction.relative_error)} (relative, Frobenius; without sampling)"),
        ("wrote", ", ".join(str(file) for file in files)),
    ]
    click.echo(facts(lines))
    return 0


def _started(device: Device, start: str) -> Device:
    """The device with another start."""
    import numpy as np

    found = copy(device)
    if start == "none":
        found.start = None
    elif start == "rest":
        found.start = np.zeros(len(device.cell_names))
    else:
        values = start_values(start)
        if isinstance(values, str):
            raise UsageError(f"--start takes numbers, a file of them, rest or none here, not {start!r}")
        found.set_start(values)
    return found
