"""``spu export``: a device for other programs, as a netlist, a KiCad project or a bill of materials."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from spu.base.errors import OutputError, UsageError
from spu.base.names import shorten, suggest
from spu.base.numbers import plural

from .common import (
    dialect_option,
    file_option,
    folder_argument,
    json_option,
    print_json,
    seed_option,
)
from .names import FORMATS as FORMAT_NAMES
from .names import SERIES, SHEETS

if TYPE_CHECKING:
    from spu.device.device import Device


@click.command("export")
@folder_argument
@click.option(
    "--format",
    "form",
    metavar="NAME",
    shell_complete=FORMAT_NAMES,
    default="netlist",
    show_default=True,
    help="netlist, kicad (a folder: a project of KiCad 6 or later) or bom (a bill of materials, CSV).",
)
@dialect_option(help="Of a netlist: ngspice, ltspice, xyce, spectre or vacask.")
@file_option("-o", "--output", help="File to write, folder of a KiCad project [default: stdout].")
@click.option("--programming", type=int, default=1, metavar="K", help="Of an ensemble, the one to export [default: 1].")
@click.option("--force", is_flag=True, help="Over a file that is there.")
@seed_option("the noise sources of a netlist; of --monte-carlo the boards are numbers N + 1 and on")
@click.option(
    "--monte-carlo",
    type=int,
    metavar="BOARDS",
    help="A netlist that draws so many boards by the device's tolerance when ngspice runs it, and measures them.",
)
@click.option(
    "--sheets",
    metavar="kind|each",
    shell_complete=SHEETS,
    default="kind",
    show_default=True,
    help="Of kicad: sheets of one kind share a file, or each has its own, whose SPICE netlist is the circuit.",
)
@click.option(
    "--series",
    metavar="E96",
    shell_complete=SERIES,
    default="E96",
    show_default=True,
    help="Of bom: the E series of the nearest values.",
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    directory: Path,
    form: str,
    output: Path | None,
    programming: int,
    force: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Write the device in DIR for other programs: as a netlist, a KiCad schematic or a bill of materials.

    Unlike device.cir, which stays as it was compiled or edited, all are made anew from device.json.

    \b
      spu export out --dialect ltspice -o device.ltspice.cir
      spu export out --dialect spectre > device.scs
      spu export out --monte-carlo 100 > boards.cir       (ngspice -b boards.cir: 100 boards, their variances)
      spu export out --format kicad -o board              (kicad board/board.kicad_pro)
      spu export out --format bom --series E24 > bom.csv
    """  # noqa: D301 - click wants the control character
    from spu.folder import read_folder

    if form not in FORMATS:
        raise UsageError(f"no format {shorten(form)}; {suggest(form, list(FORMATS))}")
    chosen = FORMATS[form]
    given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    for name in given:
        if name not in chosen.options:
            of = next(other for other, each in FORMATS.items() if name in each.options)
            raise UsageError(f"--{name.replace('_', '-')} is not for --format {form}: it is of {of}")
    if output is not None and output.exists() and not force and not output.is_dir():
        raise OutputError("is there already: another name, or --force", file=output)
    members = read_folder(directory).device.members()
    if not 1 <= programming <= len(members):
        raise UsageError(f"there is no programming {programming}: the device has {plural(len(members), 'programming')}")
    device = members[programming - 1]
    taken = {name: options[name] for name in chosen.options}
    found = chosen.write(device, output, force, as_json, **taken)
    if as_json:
        print_json(found)
    return 0


def _netlist(
    device: Device,
    output: Path | None,
    force: bool,  # noqa: ARG001 - of folders
    as_json: bool,
    dialect: str,
    seed: int,
    monte_carlo: int | None,
) -> dict[str, Any]:
    from spu.base.files import write_with
    from spu.spice.dialects import find_dialect
    from spu.spice.names import refuse_length
    from spu.spice.netlist import netlist, write_netlist

    chosen = find_dialect(dialect)
    refuse_length(device)
    if output is not None:
        write_with(
            output, lambda stream: write_netlist(device, stream, seed=seed, dialect=chosen, monte_carlo=monte_carlo)
        )
    text = None
    if as_json and output is None:
        text = netlist(device, seed=seed, dialect=dialect, monte_carlo=monte_carlo)
    elif output is None:
        write_netlist(device, sys.stdout.buffer, seed=seed, dialect=chosen, monte_carlo=monte_carlo)
    elif not as_json:
        click.echo(f"wrote {output}")
    return {"dialect": dialect, "device_hash": device.hash, "file": output, "netlist": text}


def _kicad(device: Device, output: Path | None, force: bool, as_json: bool, sheets: str) -> dict[str, Any]:
    from spu.export.kicad import write_kicad

    if output is None:
        raise UsageError("a KiCad project is a folder of several files: name one with -o FOLDER")
    files = write_kicad(device, output, sheets=sheets, force=force)
    if not as_json:
        for file in files:
            click.echo(f"wrote {file}")
    return {"format": "kicad", "device_hash": device.hash, "files": files}


def _bom(
    device: Device,
    output: Path | None,
    force: bool,  # noqa: ARG001 - of folders
    as_json: bool,
    series: str,
) -> dict[str, Any]:
    from spu.base.files import write_text
    from spu.export.materials import bill_of_materials
    from spu.reports.materials import cost_lines

    found = bill_of_materials(device, series=series)
    if output is not None:
        write_text(output, found.to_csv())
    if not as_json:
        click.echo(found.to_csv(), nl=False) if output is None else click.echo(f"wrote {output}")
        for line in cost_lines(found):
            click.echo(line, err=True)
    return {"format": "bom", "device_hash": device.hash, "file": output, **found.to_dict()}


@dataclass(frozen=True)
class _Format:
    """A format: how a device is written in it, which options are its own."""

    write: Callable[..., dict[str, Any]]
    options: tuple[str, ...]


FORMATS = {
    "netlist": _Format(_netlist, ("dialect", "seed", "monte_carlo")),
    "kicad": _Format(_kicad, ("sheets",)),
    "bom": _Format(_bom, ("series",)),
}
"""The register: formats by their names."""
