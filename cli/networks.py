"""What inspect does with thermodynamic networks: devices of nonlinear cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.base.errors import UsageError
from spu.base.numbers import engineering, plural

from .common import MAX_TABLE_ROWS, print_result, table

if TYPE_CHECKING:
    from spu.circuit.circuit import Circuit
    from spu.device.device import Device
    from spu.folder import Folder


def nonlinear(device: Device | Circuit) -> bool:
    """Whether a device has nonlinear cells; a netlist that was read has none."""
    from spu.device.device import Device
    from spu.device.lower import lower

    return isinstance(device, Device) and lower(device).nonlinear


def refuse_options(what: str, **options: object) -> None:
    """Refuse options that mean nothing here: those that are given (neither None nor False)."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise UsageError(f"--{name.replace('_', '-')} is not for {what}")


_CELL = ("capacitance", "conductance", "noise", "bias")
_UNITS = {"capacitance": "F", "conductance": "S", "bias": "A", "inductance": "H", "crossed_inductance": "H"}


def inspect_command(folder: Folder, plot: Path | None, as_json: bool) -> int:
    """Show cells and couplers as they are."""
    from spu.emulator.laws.boltzmann import as_network
    from spu.emulator.predict import predict_network
    from spu.reports.texts import time_constant

    device = folder.device
    found = predict_network(device)
    if plot is not None:
        from spu.reports.pictures.figures import save
        from spu.reports.pictures.networks import draw_potentials

        save(draw_potentials(folder.network or as_network(found.equation)), plot)
    cells, couplers = device.first_cells(2000), device.first_couplers(2000)
    if as_json:
        report = {
            "device": folder.path,
            "device_hash": device.hash,
            "netlist": folder.netlist,
            "architecture": device.architecture,
            "temperature": device.temperature,
            "variables": found.variables,
            "cells": found.equation.names,
            "cell_count": len(device.cell_names),
            "coupler_count": len(device.coupler_ends),
            "cell_table": [{"name": cell.name, **cell.values} for cell in cells],
            "coupler_table": [{"a": each.a, "b": each.b, **each.values} for each in couplers],
            "time_constants": found.time_constants,
            "coordinate": found.coordinate,
            "heat": found.heat,
            "plot": plot,
        }
        print_result(report, folder, "inspect")
        return 0
    lines = [
        f"{folder.path}: {plural(len(device.cell_names), 'nonlinear cell')}, "
        f"{plural(len(device.coupler_ends), 'coupler')}, {device.architecture or 'built by hand'}, "
        f"{device.temperature:g} K, hash {device.hash}",
        f"coordinate: {found.coordinate}; potential: {found.heat}",
        "",
    ]
    quantities = [key for key in (*_CELL, "polynomial") if any(_held(cell.values, key) for cell in cells)]
    rows = [(cell.name, *(_shown(cell.values, key) for key in quantities)) for cell in cells[:MAX_TABLE_ROWS]]
    heads = [_LAW[found.coordinate] if key == "polynomial" else key for key in quantities]
    lines.append(table(["cell", *heads], rows, count=len(device.cell_names)))
    if couplers:
        kinds = sorted({key for each in couplers for key in each.values})
        pairs = [(each.a, each.b, *(_shown(each.values, key) for key in kinds)) for each in couplers[:MAX_TABLE_ROWS]]
        lines += ["", table(["cell", "cell", *kinds], pairs, left=2, count=len(device.coupler_ends))]
    slowest, fastest = time_constant(found.time_constants[0]), time_constant(found.time_constants[-1])
    lines += ["", f"time constants at rest: {slowest} to {fastest}"]
    if plot is not None:
        lines.append(f"picture: {plot}")
    click.echo("\n".join(lines))
    return 0


_LAW = {
    "voltage": "i of v: A/V, A/V^2, A/V^3",
    "flux": "i of flux: A/Wb, A/Wb^2, A/Wb^3",
    "charge": "v of charge: V/C, V/C^2, V/C^3",
}


def _held(values: dict[str, Any], key: str) -> Any:
    if key != "polynomial":
        return values.get(key)
    return next((value for name, value in values.items() if name.startswith("polynomial")), None)


def _shown(values: dict[str, Any], key: str) -> str:
    value = _held(values, key)
    if value is None:
        return "-"
    if key == "noise":
        return engineering(value**0.5, "A/rtHz")
    if isinstance(value, tuple):
        return " ".join(f"{each:.4g}" for each in value)
    return engineering(value, _UNITS.get(key, "S"), 4)
