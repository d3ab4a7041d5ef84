"""``spu export``: the netlist of a device, for one of the simulators."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from spu.base.errors import UsageError
from spu.base.numbers import plural

from .common import (
    dialect_option,
    file_option,
    folder_argument,
    json_option,
    print_json,
    seed_option,
)


@click.command("export")
@folder_argument
@dialect_option(help="ngspice, ltspice, xyce or spectre.")
@file_option("-o", "--output", help="File to write [default: stdout].")
@click.option("--programming", type=int, default=1, metavar="K", help="Of an ensemble, the one to export [default: 1].")
@click.option("--force", is_flag=True, help="Over a file that is there.")
@seed_option("the noise sources; of --monte-carlo the boards are numbers N + 1 and on")
@click.option(
    "--monte-carlo",
    type=int,
    metavar="BOARDS",
    help="A netlist that draws so many boards by the device's tolerance when ngspice runs it, and measures them.",
)
@json_option
def command(
    directory: Path,
    dialect: str,
    output: Path | None,
    programming: int,
    force: bool,
    seed: int,
    monte_carlo: int | None,
    as_json: bool,
) -> int:
    """Write the netlist of DIR as the device in it makes it, for one simulator.

    Unlike device.cir, which stays as it was compiled or edited, it is made anew from device.json.

    \b
      spu export out --dialect ltspice -o device.ltspice.cir
      spu export out --dialect spectre > device.scs
      spu export out --monte-carlo 100 > boards.cir       (ngspice -b boards.cir: 100 boards, their variances)
    """  # noqa: D301 - click wants the control character
    from spu.base.errors import OutputError
    from spu.base.files import write_with
    from spu.folder import read_folder
    from spu.spice.dialects import find_dialect
    from spu.spice.names import refuse_length
    from spu.spice.netlist import netlist, write_netlist

    chosen = find_dialect(dialect)
    if output is not None and output.exists() and not force:
        raise OutputError("is there already: another name, or --force", file=output)
    members = read_folder(directory).device.members()
    if not 1 <= programming <= len(members):
        raise UsageError(f"there is no programming {programming}: the device has {plural(len(members), 'programming')}")
    device = members[programming - 1]
    refuse_length(device)
    if output is not None:
        write_with(
            output, lambda stream: write_netlist(device, stream, seed=seed, dialect=chosen, monte_carlo=monte_carlo)
        )
    if as_json:
        text = None if output is not None else netlist(device, seed=seed, dialect=dialect, monte_carlo=monte_carlo)
        print_json({"dialect": dialect, "device_hash": device.hash, "file": output, "netlist": text})
    elif output is not None:
        click.echo(f"wrote {output}")
    else:
        write_netlist(device, sys.stdout.buffer, seed=seed, dialect=chosen, monte_carlo=monte_carlo)
    return 0
