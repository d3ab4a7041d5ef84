"""``spu inspect``: cells, couplers and time constants for the eye."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.base.errors import UsageError, refuse_options
from spu.base.layout import REST, is_full
from spu.base.numbers import engineering, plural

from .common import MAX_TABLE_ROWS, file_option, folder_argument, json_option, print_json, print_result, say, table

if TYPE_CHECKING:
    from spu.folder import Folder
    from spu.reports.inspection import Look


MOST_LISTED = 2000
"""With more cells or couplers than this, only so many are listed as JSON, and no graph is drawn."""


@click.command("inspect")
@folder_argument
@file_option("--plot", metavar="FILE", help="Draw the graph and the predicted covariance (.png, .svg or .pdf).")
@click.option("--budget", is_flag=True, help="Say what makes up the error of the answer, one line an effect.")
@click.option("--stability", is_flag=True, help="Say how far it is from instability: gain, delay, mismatch.")
@file_option("--schematic", metavar="FILE", help="Draw a cell, its couplers and the graph (.svg, .png or .pdf).")
@click.option("--cell", metavar="NAME", help="The cell in the schematic [default: a typical one].")
@json_option
def command(
    directory: Path,
    plot: Path | None,
    budget: bool,
    stability: bool,
    schematic: Path | None,
    cell: str | None,
    as_json: bool,
) -> int:
    """Show the cells and couplers of DIR, and its time constants.

    --schematic draws the circuit of a cell and of its couplers, and the device as a graph, with component
    values in engineering units.

    The figures of a cell are those it has with its neighbours held at ground: couplers count.
    Of more than 2000 cells or couplers --json lists the first 2000, and --plot draws no graph.
    """
    import numpy as np

    from spu.emulator.predict import predict
    from spu.folder import Folder, read_any
    from spu.reports.inspected import inspected
    from spu.reports.inspection import look_at, time_constants
    from spu.studies.budget import error_budget
    from spu.studies.stability import stability as margins_of

    from .import_netlist import describe_alone, report_alone

    if cell is not None and schematic is None:
        raise UsageError("--cell is of the schematic: give --schematic FILE, too")
    for picture in (plot, schematic):
        if picture is not None:
            from spu.reports.pictures.figures import refuse_picture

            refuse_picture(picture)
    folder = read_any(directory)
    if not isinstance(folder, Folder):
        given = {"plot": plot, "schematic": schematic, "budget": budget, "stability": stability, "cell": cell}
        refuse_options("netlists that only ngspice runs", given)
        if as_json:
            print_json(report_alone(folder))
        else:
            say(describe_alone(folder))
        return 0
    if folder.read is not None:
        refuse_options("netlists: they have no device", {"budget": budget, "cell": cell})
        return _inspect_netlist(folder, stability, plot, schematic, as_json)
    device = folder.device
    kind = inspected(device)
    if not kind.budgets:
        refuse_options(kind.words, {"budget": budget, "stability": stability})
    if schematic is not None:
        from spu.reports.pictures.figures import save
        from spu.reports.schematic import draw_schematic

        save(draw_schematic(device, cell), schematic)
    with np.errstate(all="ignore"):  # figures of absurd values may well be infinite
        large = max(len(device.cell_names), len(device.coupler_ends)) > MOST_LISTED
        few = None if is_full() else MAX_TABLE_ROWS
        look = look_at(device, (MOST_LISTED if as_json or plot is not None else few) if large else None)
    if not as_json:  # before what may fail: a device without a stationary law is worth a look, too
        say(_describe(folder, look))
    margins = margins_of(device) if stability else None
    if margins is not None and not as_json:  # before what needs a stationary law
        click.echo(f"\n{margins}")
    prediction = predict(device)
    made = error_budget(device) if budget else None
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(kind.draw(device, look, prediction), plot)
    if as_json:
        more = {} if made is None else {"budget": made.to_dict()}
        more |= {} if margins is None else {"stability": margins.to_dict()}
        found = {**kind.report(prediction), "plot": plot, "schematic": schematic, **more}
        print_result({**_report(folder, look), **found}, folder, "inspect")
    else:
        say("\n" + "\n".join([*kind.say(prediction), time_constants(prediction)]))
        if made is not None:
            click.echo(f"\n{made}")
        if plot is not None:
            click.echo(f"picture: {plot}")
        if schematic is not None:
            click.echo(f"schematic: {schematic}")
    return 0


def _inspect_netlist(folder: Folder, stability: bool, plot: Path | None, schematic: Path | None, as_json: bool) -> int:
    """Show what `spu import` shows, and the time constants; draw the netlist as a circuit."""
    from spu.emulator.predict import predict_linear
    from spu.reports.inspection import time_constants
    from spu.studies.stability import stability as margins_of

    from .import_netlist import describe, report

    assert folder.read is not None
    if not as_json:
        say(describe(folder.read))
    margins = margins_of(folder.subject) if stability else None
    if margins is not None and not as_json:
        click.echo(f"\n{margins}")
    pictures = tuple(dict.fromkeys(each for each in (plot, schematic) if each is not None))
    for picture in pictures:
        from spu.reports.pictures.figures import save
        from spu.reports.schematic import draw_netlist

        save(draw_netlist(folder.read), picture)
    prediction = predict_linear(folder.subject)
    if as_json:
        more: dict[str, Any] = {} if margins is None else {"stability": margins.to_dict()}
        more |= {"time_constants": prediction.time_constants, "covariance": prediction.covariance}
        print_result({**report(folder.read), **more, "plot": plot, "schematic": schematic}, folder, "inspect")
    else:
        say(f"\n{time_constants(prediction)}")
        for picture in pictures:
            click.echo(f"schematic: {picture}")
    return 0


def _report(folder: Folder, look: Look) -> dict[str, Any]:
    device = folder.device
    return {
        "device": folder.path,
        "device_hash": device.hash,
        "netlist": folder.netlist,
        "architecture": device.architecture,
        "temperature": device.temperature,
        "variables": device.readout.variables,
        "cells": device.cell_names,
        "cell_count": look.cell_count,
        "coupler_count": look.coupler_count,
        "cell_table": [_flat(asdict(cell)) for cell in look.cells],
        "coupler_table": [_flat(asdict(coupler)) for coupler in look.couplers],
        "shared_noise": [asdict(noise) for noise in look.noises],
        "detail": device.detail.to_dict(),
        "ramp": None if device.ramp is None else device.ramp.to_dict(),
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    values = row.pop("values")
    return {**row, **values}


def _describe(folder: Folder, look: Look) -> str:
    from spu.reports.inspection import (
        about_problem,
        cell_table,
        coupler_table,
        imperfections,
        ramp_table,
        shared_table,
    )

    device = folder.device
    lines = [
        f"{folder.path}: {plural(look.cell_count, 'cell')}, {plural(look.coupler_count, 'coupler')}, "
        f"{device.architecture or 'built by hand'}, {device.temperature:g} K, hash {device.hash}",
    ]
    if folder.posed is not None:
        lines.append(f"problem: {about_problem(folder.posed)}")
    rest = f"all in {folder.path}" if is_full() else REST
    cells = table(*cell_table(look.cells), limit=MAX_TABLE_ROWS, count=look.cell_count, rest=rest)
    lines += ["", cells]
    if look.couplers:
        shown = coupler_table(look.couplers)
        lines += ["", table(*shown, left=2, limit=MAX_TABLE_ROWS, count=look.coupler_count, rest=rest)]
    if look.noises:
        lines += ["", table(*shared_table(look.noises), left=2, limit=MAX_TABLE_ROWS, rest=rest)]
    parts = imperfections(device)
    if parts:
        lines += ["", "not ideal:", *(f"  {words} {value}" for words, value in parts)]
    if device.ramp is not None:
        lines += ["", f"ramp, {engineering(device.ramp.duration, 's')}; all above is of its end:"]
        lines.append(table(*ramp_table(device.ramp), left=0, limit=MAX_TABLE_ROWS, rest=rest))
    return "\n".join(lines)
