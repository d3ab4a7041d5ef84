"""Level ``answer`` of nonlinear cells, which no reader but ngspice takes: what the lines of the netlist say.

Lines that are not as the program writes them are named, and judged by what those levels find that run the netlist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.files import write_text
from spu.base.process import scratch_folder
from spu.crosscheck.context import Context
from spu.crosscheck.decks.changes import Changes, edits, in_problem_units, moving_lines
from spu.crosscheck.levels.kind import Way
from spu.crosscheck.result import Level
from spu.emulator.laws.rest import time_constants
from spu.spice.dialects import DIALECTS
from spu.spice.languages import read_in
from spu.spice.netlist import netlist

LOOKING = ("op", "replay", "noise")
"""Levels that see what lines do: near rest, in time, and to the noise."""

_NAMED = 4


def _why(context: Context) -> str:
    return f"only {context.simulator.name} reads nonlinear cells"


def run(context: Context) -> Level:
    """Compare the netlist's elements and parameters with those that the program writes for this device."""
    assert context.deck is not None
    if context.device is None:
        return Level("answer", "skipped", f"{_why(context)}, and there is no device to write them")
    with scratch_folder("check") as folder:
        dialect = DIALECTS[context.simulator.dialect]
        path = folder / f"written{dialect.ending}"
        write_text(path, netlist(context.device, dialect=dialect.name))
        foreign = edits(read_in(dialect.name, path), context.deck)
    if not foreign:
        words = "its elements and parameters are those that the program writes for this device"
        return Level("answer", "pass", words, false_alarm_rate=0.0)
    numbers = {edit.line for edit in foreign if edit.file is None}
    moving = [
        str(line) for line in moving_lines(context.deck, context.circuit) if line.number in numbers and line.moves
    ]
    named = "; ".join(map(str, foreign[:_NAMED])) + (f"; and {len(foreign) - _NAMED} more" if foreign[_NAMED:] else "")
    return Level(
        "answer",
        "inconclusive",
        f"{_why(context)}, and these lines are not as the program writes them: {named}",
        false_alarm_rate=0.0,
        data={"lines": [str(edit) for edit in foreign], "moving": moving},
    )


def conclude(context: Context, level: Level, levels: Mapping[str, Level]) -> Level:
    """Judge the lines by what the levels found that ran them; inconclusive where nothing looked."""
    verdict, message = level.verdict, level.message
    if level.data.get("lines"):
        said = {name: levels[name].verdict for name in LOOKING if name in levels}
        failed = [name for name, found in said.items() if found == "fail"]
        rest = context.dynamics.has_rest
        blind = [name for name in LOOKING if said.get(name) != "pass" and (rest or name != "op")]
        moving = level.data["moving"]
        if failed:
            verdict, message = "fail", f"{message}; that is another circuit, by level {' and '.join(failed)}"
        elif blind:
            message += f"; what they do was not looked at: {' and '.join(blind)} did not pass here"
        elif moving:
            message += f"; {', '.join(moving[:_NAMED])}: looked at only in the time that replay and noise run"
        else:
            verdict = "pass"
            message += "; they change nothing that levels op, replay and noise see"
    if not context.own or verdict == "fail":
        context.changes = changes(context)
    return replace(level, verdict=verdict, message=message)


def changes(context: Context) -> Changes:
    """What the netlist changed: in the text, and in the moments that level ``noise`` saw, where it ran."""
    assert context.deck is not None
    readout, moments, langevin = context.circuit.readout, context.transient, context.langevin
    width = len(context.circuit.probes)
    mean: FloatArray | None = None
    mean_error = covariance_error = None
    if moments is None:
        known = langevin.moments()
        before = in_problem_units(readout, *(known or (None, np.full((width, width), np.nan))))
        covariance = np.full_like(before[1], np.nan)
    else:
        weight = abs(readout.matrix).power(2)  # as if entries scattered independently
        before = in_problem_units(readout, moments.predicted_mean, moments.predicted)
        mean, covariance = in_problem_units(readout, moments.mean, moments.covariance)
        mean_error = np.sqrt(weight @ moments.mean_variance)
        covariance_error = np.sqrt(weight @ moments.covariance_variance @ weight.T)
    return Changes(
        netlist=context.deck.file,
        source=context.simulator.name,
        why=_why(context),
        variables=readout.variables,
        edits=None if context.original is None else edits(context.original, context.deck),
        mean_before=before[0],
        mean=mean,
        covariance_before=before[1],
        covariance=covariance,
        time_constants_before=time_constants(langevin.equation, langevin.rest_state),
        time_constants=None,
        mean_error=mean_error,
        covariance_error=covariance_error,
    )


WAY = Way(
    run,
    conclude=conclude,
    compares="the netlist's lines against those that the program writes",
    failing="lines of the netlist are not as the program writes them, and make another circuit than the device",
)
