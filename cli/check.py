"""``spu check``: ideal model, emulator and ngspice side by side."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.errors import UsageError
from spu.verdicts import COMPARES, IN_WORDS

from .common import (
    engineering,
    file_option,
    folder_argument,
    json_option,
    number,
    print_result,
    seed_option,
    small,
    table,
)

if TYPE_CHECKING:
    from spu.crosscheck.changes import Changes, FloatArray
    from spu.crosscheck.result import Check

_CORNERS = ("ideal", "emulator", "ngspice")

_MOST_VARIABLES = 12
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
@click.option("--time-limit", type=float, metavar="S", help="Seconds that each ngspice run may take.")
@file_option("--plot", metavar="FILE", help="Draw the three covariances (.png, .svg or .pdf).")
@json_option
def command(
    directory: Path,
    netlist: Path | None,
    levels: tuple[str, ...],
    accuracy: float | None,
    seed: int,
    time_limit: float | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Set ideal model, emulator and ngspice side by side.

    What ngspice runs is DIR/device.cir as it lies on disk. Levels, cheap and sharp first:

    \b
      ideal    emulator against the exact answer (needs no ngspice)
      answer   of a netlist given by --netlist: does it still sample the same, and what moved
      op       operating point against the mean
      ac       every transfer function, source density, and the covariance they make
      replay   the same noise waveform through emulator and ngspice
      noise    ngspice's transient with noise of its own

    With --netlist the levels set that netlist against the emulator of the device as it was compiled. Where the netlist
    holds parts that only ngspice knows (transistors, op-amp models), ngspice linearises them at the operating point.

    Exit status 1: a level failed. 3: ngspice is missing (levels that need none still run).
    """  # noqa: D301 - click wants the control character
    from spu.crosscheck.result import LEVELS
    from spu.names import suggest

    for name in levels:
        if name not in LEVELS:
            raise UsageError(f"no level {name!r}; {suggest(name, LEVELS)}")
    for option, value in (("--accuracy", accuracy), ("--time-limit", time_limit)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{option} must be a positive number, not {value!r}")
    if plot is not None:
        from spu.pictures import refuse_picture

        refuse_picture(plot)
    from spu.crosscheck import check
    from spu.folder import read_folder

    folder = read_folder(directory)
    progress = _say if sys.stderr.isatty() else None
    result = check(
        folder,
        netlist=netlist,
        levels=levels or None,
        accuracy=accuracy,
        seed=seed,
        time_limit=300.0 if time_limit is None else time_limit,
        progress=progress,
    )
    if plot is not None:
        from spu.pictures import draw_covariances, save

        save(draw_covariances(result.variables, result.covariances), plot)
    if as_json:
        print_result({**report(result), "plot": plot}, folder, "check")
    else:
        click.echo(describe(result))
        if plot is not None:
            click.echo(f"picture: {plot}")
    return result.exit_status


def _say(message: str) -> None:
    click.echo(message, err=True)


def report(result: Check) -> dict[str, Any]:
    """Give the JSON object."""
    return {
        "verdict": result.verdict,
        "levels": {
            name: {
                **level.data,
                "verdict": level.verdict,
                "error": level.error,
                "tolerance": level.tolerance,
                "seconds": level.seconds,
                "message": level.message,
            }
            for name, level in result.levels.items()
        },
        "notes": result.notes,
        "variables": result.variables,
        "means": result.means,
        "covariances": result.covariances,
        "changes": None if result.changes is None else result.changes.to_dict(),
    }


def describe(result: Check) -> str:
    """Lay the result out for people: notes, levels, corners, verdict."""
    lines = [f"note: {note}" for note in result.notes]
    if lines:
        lines.append("")
    lines += [_levels(result), ""]
    lines += [f"{level.name}: {level.message}" for level in result.levels.values() if level.message]
    if result.changes is not None:
        lines += ["", *_changes(result.changes)]
    if result.covariances:
        lines += ["", *_corners(result)]
    lines += ["", IN_WORDS[result.verdict]]
    return "\n".join(lines)


def _levels(result: Check) -> str:
    rows = [
        (
            level.name,
            COMPARES.get(level.name, ""),
            level.verdict.upper() if level.verdict in ("fail", "error") else level.verdict,
            small(level.error),
            small(level.tolerance),
            f"{level.seconds:.1f}",
        )
        for level in result.levels.values()
    ]
    return table(["level", "what is compared", "verdict", "worst error", "allowed", "seconds"], rows, left=3)


def _changes(changes: Changes) -> list[str]:
    """What was edited, and what that did to the answer."""
    how = {
        "emulator": "found by the emulator, which read the netlist",
        "ngspice": "found by ngspice, linearised at the operating point",
    }[changes.source]
    if changes.reading_error is not None:
        how += f"; ngspice differs by {small(changes.reading_error)}"
    lines = [f"what {changes.netlist} changed ({how}):"]
    if changes.edits is not None:
        lines += [f"  {edit}" for edit in changes.edits[:_MOST_EDITS]]
        if len(changes.edits) > _MOST_EDITS:
            lines.append(f"  and {len(changes.edits) - _MOST_EDITS} more lines")
        if not changes.edits:
            lines.append("  no element and no parameter")
    rows = [
        (" ".join(dict.fromkeys(moved.variables)), number(moved.before), number(moved.after), f"{moved.relative:+.2%}")
        for moved in changes.moved_covariances()
    ]
    if rows:
        lines += ["", table(["variance, covariance of", "before", "after", "change"], rows)]
    rows = [
        (moved.variables[0], number(moved.before), number(moved.after), f"{moved.relative:+.2%}")
        for moved in changes.moved_means()
    ]
    if rows:
        lines += ["", table(["mean of", "before", "after", "change"], rows)]
    lines += [
        "",
        f"covariance changed by {small(changes.covariance_change)} (relative, Frobenius; of entries: over the",
    ]
    lines[-1] += " standard deviations)"
    if changes.mean_change is not None:
        lines.append(f"mean changed by {small(changes.mean_change)} (relative; of entries: in standard deviations)")
    lines.append(f"time constants, longest and shortest: {_times(changes.time_constants_before)} before, ")
    lines[-1] += f"{_times(changes.time_constants)} after" if changes.time_constants is not None else "after: not known"
    return lines


def _times(constants: FloatArray) -> str:
    return f"{engineering(float(constants[0]), 's')} and {engineering(float(constants[-1]), 's')}"


def _corners(result: Check) -> list[str]:
    """Means and variances of the corners side by side, and how far apart their covariances are."""
    import numpy as np

    shown = [name for name in _CORNERS if name in result.covariances]
    variances = {name: result.covariances[name].diagonal() for name in shown}
    order = result.worst_variables(_MOST_VARIABLES)
    headers = ["variable"]
    headers += [f"mean: {name}" if name == _CORNERS[0] else name for name in _CORNERS]
    headers += [f"variance: {name}" if name == _CORNERS[0] else name for name in _CORNERS]
    rows = []
    for k in order:
        means = [number(float(result.means[name][k])) if name in result.means else "-" for name in _CORNERS]
        spread = [number(float(variances[name][k])) if name in variances else "-" for name in _CORNERS]
        rows.append((result.variables[k], *means, *spread))
    lines = [table(headers, rows)]
    if len(order) < len(result.variables):
        lines.append(f"  (the {len(order)} of {len(result.variables)} variables that differ most)")
    lines.append("")
    for a, b in itertools.combinations(shown, 2):
        size = float(np.linalg.norm(result.covariances[a]))
        gap = float(np.linalg.norm(result.covariances[b] - result.covariances[a]))
        lines.append(f"covariance, {a} to {b}: {small(gap / size if size else gap)} (relative, Frobenius)")
    return lines
