"""``spu check``: ideal model, emulator and ngspice side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.base.errors import UsageError
from spu.base.numbers import engineering, share, small
from spu.reports.wording import (
    CORNERS_NOTE,
    IN_WORDS,
    MOST_VARIABLES,
    SURENESS_NOTE,
    corner_table,
    level_table,
    messages,
    moments_table,
    moved_tables,
    sureness_table,
)

from .common import (
    file_option,
    folder_argument,
    json_option,
    plan_options,
    print_result,
    progress_words,
    seed_option,
    table,
    warn,
)

if TYPE_CHECKING:
    from spu.base.arrays import FloatArray
    from spu.crosscheck.decks.changes import Changes
    from spu.crosscheck.result import Check

_MOST_EDITS = 20


@click.command("check")
@folder_argument
@file_option("--netlist", metavar="FILE", help="Run this netlist, an edited DIR/device.cir, and say what it changed.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="NAME",
    help="Only this level (repeat for more): ideal, answer, op, ac, replay, noise [default: all].",
)
@click.option(
    "--accuracy",
    type=float,
    metavar="X",
    help="Error of the answer allowed [default: the predicted one and a little slack]. With --netlist only the "
    "answer is judged then.",
)
@seed_option("the noise that is replayed")
@click.option(
    "--time-limit", type=float, metavar="S", help="Seconds that each run of the simulator may take [default: 300]."
)
@plan_options
@click.option("--include-outside", is_flag=True, help="Read includes that lie outside the netlist's folder.")
@click.option("--ignore-control", is_flag=True, help="Leave out control blocks that do more than analyses.")
@click.option("--simulator", metavar="NAME", default="ngspice", show_default=True, help="What runs the netlist.")
@file_option("--plot", metavar="FILE", help="Draw covariances and spectra (.png, .svg or .pdf).")
@json_option
def command(
    directory: Path,
    netlist: Path | None,
    levels: tuple[str, ...],
    accuracy: float | None,
    seed: int,
    time_limit: float | None,
    detect: float | None,
    budget: float | None,
    include_outside: bool,
    ignore_control: bool,
    simulator: str,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Set ideal model, emulator and ngspice side by side.

    What ngspice runs is DIR/device.cir as it lies on disk. Levels, cheap and sharp first:

    \b
      ideal    emulator against the exact answer (needs no ngspice)
      answer   the netlist, read as import does: law, modes and spectra at all frequencies
      op       operating point against the mean
      ac       every transfer function, source density, and the covariance they make
      replay   the same noise waveform through emulator and ngspice
      noise    ngspice's transient with noise of its own

    With --netlist the levels set that netlist against the emulator of the device as it was compiled, and level answer
    says what moved. Where the netlist holds parts that only ngspice knows (transistors, op-amp models), ngspice
    linearises them at the operating point; that, and what changes with time, is named, and the verdict inconclusive.

    Exit status 1: a level failed. 3: ngspice is missing (levels that need none still run).
    """  # noqa: D301 - click wants the control character
    from spu.base.names import suggest
    from spu.crosscheck.result import LEVELS
    from spu.spice.simulators import find_simulator

    for name in levels:
        if name not in LEVELS:
            raise UsageError(f"no level {name!r}; {suggest(name, LEVELS)}")
    find_simulator(simulator)
    for option, value in (("--accuracy", accuracy), ("--time-limit", time_limit)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{option} must be a positive number, not {value!r}")
    if detect is not None and budget is not None:
        raise UsageError("--detect and --budget exclude one another: one follows from the other")
    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    from spu.crosscheck import check
    from spu.folder import read_folder

    folder = read_folder(directory)
    progress = progress_words(detect is not None or budget is not None)
    result = check(
        folder,
        netlist=netlist,
        levels=levels or None,
        accuracy=accuracy,
        seed=seed,
        time_limit=300.0 if time_limit is None else time_limit,
        detect=detect,
        budget=budget,
        include_outside=include_outside,
        ignore_control=ignore_control,
        simulator=simulator,
        progress=progress,
    )
    if plot is not None and not result.covariances:
        warn("no picture: of nonlinear cells only level noise gives covariances")
        plot = None
    if plot is not None:
        from spu.reports.pictures.covariances import draw_check
        from spu.reports.pictures.figures import save

        save(draw_check(result.variables, result.covariances, result.spectra), plot)
    if as_json:
        print_result({**report(result), "plot": plot}, folder, "check")
    else:
        click.echo(describe(result))
        if plot is not None:
            click.echo(f"picture: {plot}")
    return result.exit_status


def report(result: Check) -> dict[str, Any]:
    """Give the JSON object."""
    return {
        "verdict": result.verdict,
        "simulator": result.simulator,
        "levels": {
            name: {
                **level.data,
                "verdict": level.verdict,
                "error": level.error,
                "tolerance": level.tolerance,
                "false_alarm_rate": level.false_alarm_rate,
                "detects": level.detects,
                "seconds": level.seconds,
                "message": level.message,
            }
            for name, level in result.levels.items()
        },
        "notes": result.notes,
        "variables": result.variables,
        "means": result.means,
        "covariances": result.covariances,
        "diagnosis": None if result.diagnosis is None else result.diagnosis.to_dict(),
        "corners": [asdict(corner) for corner in result.corners],
        "changes": None if result.changes is None else result.changes.to_dict(),
    }


def describe(result: Check) -> str:
    """Lay the result out for people: notes, levels, corners, verdict."""
    lines = [f"note: {note}" for note in result.notes]
    if lines:
        lines.append("")
    lines += [table(*level_table(result), left=3), ""]
    lines += messages(result)
    lines += _sureness(result)
    if result.changes is not None:
        lines += ["", *_changes(result.changes, result.simulator)]
    if result.covariances:
        lines += ["", *_corners(result)]
    if result.diagnosis is not None:
        lines += ["", *(f"diagnosis: {line}" for line in result.diagnosis.lines)]
    lines += ["", IN_WORDS[result.verdict]]
    return "\n".join(lines)


def _sureness(result: Check) -> list[str]:
    """How often each level cries wolf, and what it sees."""
    headers, rows = sureness_table(result)
    return ["", table(headers, rows, left=4), f"  ({SURENESS_NOTE})"] if rows else []


def _changes(changes: Changes, simulator: str) -> list[str]:
    """What was edited, and what that did to the answer."""
    how = {
        "emulator": "found by the emulator, which read the netlist",
    }.get(changes.source, f"found by {changes.source}, linearised at the operating point")
    if changes.unconfirmed:
        how += f"; {simulator} {'is missing and ' if simulator == 'ngspice' else ''}has not confirmed it"
    if changes.reading_error is not None:
        how += f"; {simulator} differs by {small(changes.reading_error)}"
    lines = [f"what {changes.netlist} changed ({how}):"]
    if changes.edits is not None:
        lines += [f"  {edit}" for edit in changes.edits[:_MOST_EDITS]]
        if len(changes.edits) > _MOST_EDITS:
            lines.append(f"  and {len(changes.edits) - _MOST_EDITS} more lines")
        if not changes.edits:
            lines.append("  no element and no parameter")
    lines += [f"  {remark}" for remark in changes.remarks[:_MOST_EDITS]]
    for headers, rows in moved_tables(changes):
        lines += ["", table(headers, rows)]
    lines += ["", f"covariance changed by {share(changes.covariance_change)} in all (relative, Frobenius; of entries:"]
    lines[-1] += " over the standard deviations)"
    if changes.mean_change is not None:
        lines.append(
            f"mean changed by {share(changes.mean_change)} in all (relative; of entries: in standard deviations)"
        )
    lines.append(f"time constants, longest and shortest: {_times(changes.time_constants_before)} before, ")
    lines[-1] += f"{_times(changes.time_constants)} after" if changes.time_constants is not None else "after: not known"
    return lines


def _times(constants: FloatArray) -> str:
    return f"{engineering(float(constants[0]), 's')} and {engineering(float(constants[-1]), 's')}"


def _corners(result: Check) -> list[str]:
    """Means and variances of the corners side by side, and how far apart these are."""
    lines = [table(*moments_table(result, MOST_VARIABLES))]
    if len(result.variables) > MOST_VARIABLES:
        lines.append(f"  (the {MOST_VARIABLES} of {len(result.variables)} variables that differ most)")
    headers, rows = corner_table(result)
    if rows:
        lines += ["", table(headers, rows, left=2), f"  ({CORNERS_NOTE})"]
    return lines
