"""What was checked, in a report: a device with its cells and couplers, or a netlist that was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any

import numpy as np

from spu.base.numbers import engineering, plural
from spu.device.device import Device
from spu.reports.document import Block, Facts, Picture, Table, Text
from spu.reports.inspection import (
    RAMP_NOTE,
    cell_table,
    coupler_table,
    element_count,
    imperfections,
    input_table,
    look_at,
    noise_table,
    probe_table,
    ramp_table,
    readout_table,
    shared_table,
)
from spu.reports.pictures.ramps import draw_ramp
from spu.reports.schematic import draw_netlist, draw_schematic
from spu.spice.reader import ReadNetlist
from spu.spice.reader.nonlinear import NonlinearDeck

MOST_ROWS = 40
"""Of a table of cells or of couplers."""

CELL_NOTE = "Time constant, resonance and Q with the neighbours held at ground: couplers count. "
COUPLER_NOTE = "Strength: the coupler's value over the geometric mean of what its two cells have of it in all. "
SHARED_NOTE = "Two cells that a source drives have the cross-density of the product of its amplitudes. "
AT_REST_NOTE = "Of nonlinear cells by their slopes where they come to rest. "


@singledispatch
def about(subject: object) -> list[str]:
    """What it is, in a few words each."""
    raise TypeError(f"nothing is known of how to describe a {type(subject).__name__}")


@about.register
def _(device: Device) -> list[str]:
    return [
        f"{plural(len(device.cell_names), 'cell')}, {plural(len(device.coupler_ends), 'coupler')}",
        device.architecture or "built by hand",
    ]


@about.register
def _(read: ReadNetlist) -> list[str]:
    return [f"{plural(element_count(read), 'element')} on {plural(len(read.circuit.nodes), 'node')}", "a netlist"]


@about.register
def _(read: NonlinearDeck) -> list[str]:
    return [f"{plural(sum(read.parts.values()), 'element')} as its lines are", "a netlist for ngspice alone"]


@singledispatch
def subject_blocks(subject: object, compiled: Mapping[str, Any]) -> Iterator[Block]:  # noqa: ARG001
    """What a report shows of it; ``compiled`` is what the compiler decided, empty where it does not say."""
    raise TypeError(f"nothing is known of how to show a {type(subject).__name__}")


@subject_blocks.register
def _(device: Device, compiled: Mapping[str, Any]) -> Iterator[Block]:
    decided = compiled.get("realizability")
    pairs = [
        ("architecture", device.architecture or "built by hand"),
        ("temperature", f"{device.temperature:g} K"),
        ("hash", device.hash),
    ]
    if compiled.get("hardware"):
        pairs.insert(1, ("hardware", str(compiled["hardware"])))
    reason = decided.get("reason") if isinstance(decided, dict) else compiled.get("reason")
    if reason:
        pairs.append(("why this one", str(reason)))
    if device.programmings:
        pairs.append(("programmings", f"{len(device.programmings) + 1}; values below are of the first"))
    pairs += imperfections(device)
    yield Facts(pairs)
    cells, couplers = len(device.cell_names), len(device.coupler_ends)
    with np.errstate(all="ignore"):
        look = look_at(device, MOST_ROWS)
    yield Picture(
        "schematic",
        draw_schematic(device),
        "Schematic of a typical cell and of the couplers, with their values.",
        f"Circuit diagram of one cell, of each kind of coupler, and how {plural(cells, 'cell')} and "
        f"{plural(couplers, 'coupler')} join; the tables below list their values",
        wide=True,
    )
    note = CELL_NOTE + (AT_REST_NOTE if look.at_rest else "") + left_out(cells, MOST_ROWS, "cells", "device.json")
    yield Table("Cells", *cell_table(look.cells), note=note)
    if look.couplers:
        note = COUPLER_NOTE + left_out(couplers, MOST_ROWS, "couplers", "device.json")
        yield Table("Couplers", *coupler_table(look.couplers), left=2, note=note)
    if look.noises:
        headers, rows = shared_table(look.noises)
        note = SHARED_NOTE + left_out(len(rows), MOST_ROWS, "rows", "device.json")
        yield Table("Shared noise", headers, rows[:MOST_ROWS], left=2, note=note)
    if device.ramp is not None:
        headers, rows = ramp_table(device.ramp)
        yield Picture(
            "ramp",
            draw_ramp(device.ramp),
            "The device's ramp: factors in time of its couplers and of its injected noise.",
            f"Factors over {engineering(device.ramp.duration, 's')}; the table below lists them",
        )
        note = RAMP_NOTE + left_out(len(rows), MOST_ROWS, "instants", "device.json")
        yield Table("Ramp", headers, rows[:MOST_ROWS], left=0, note=note)


@subject_blocks.register
def _(read: ReadNetlist, compiled: Mapping[str, Any]) -> Iterator[Block]:  # noqa: ARG001 - nothing compiled it
    yield Facts(
        [
            ("netlist", str(read.path)),
            ("title", read.title),
            ("elements", f"{element_count(read)} on {plural(len(read.circuit.nodes), 'node')}"),
            ("temperature", f"{read.circuit.temperature:g} K"),
            ("hash", read.circuit.hash),
            *(("note", note) for note in read.notes),
        ]
    )
    yield Picture(
        "schematic",
        draw_netlist(read),
        "The netlist as a circuit: its top level, its kinds of subcircuits, and all of it as a graph.",
        f"Circuit diagram of the netlist and of its subcircuits, and how {plural(len(read.circuit.nodes), 'node')} are "
        "joined",
        wide=True,
    )
    for caption, (headers, rows), left, note in (
        ("Noise", noise_table(read), 2, ""),
        ("Readouts", readout_table(read), 2, f"({read.probed_by})"),
        ("Sources that are not noise", input_table(read), 1, ""),
    ):
        if rows:
            note += left_out(len(rows), MOST_ROWS, "rows")
            yield Table(caption, headers, rows[:MOST_ROWS], left=left, note=note)
    if not read.noise:
        yield Text("Nothing in it is noise.")


@subject_blocks.register
def _(read: NonlinearDeck, compiled: Mapping[str, Any]) -> Iterator[Block]:  # noqa: ARG001 - nothing compiled it
    parts = ", ".join(plural(count, kind) for kind, count in read.parts.items())
    yield Facts(
        [
            ("netlist", str(read.path)),
            ("title", read.title),
            ("made of", parts),
            ("for ngspice alone", f"{read.why}: no emulator solves it, and nothing of ours stands beside it"),
            ("hash", read.hash),
        ]
    )
    yield Table("Readouts", *probe_table(read.probes), left=2, note=f"({read.probed_by})")


def left_out(count: int, limit: int, what: str, where: str = "") -> str:
    """That a table is cut short, and where the rest is; empty where it is whole."""
    if count <= limit:
        return ""
    return f"The first {limit} of {count} {what}" + (f"; all are in {where}." if where else ".")
