"""``spu check``: ideal model, emulator and ngspice side by side."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.errors import UsageError

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

_COMPARES = {
    "ideal": "emulator against the exact answer",
    "answer": "the edited netlist's answer against the device's",
    "op": "ngspice operating point against the mean",
    "ac": "ngspice transfer functions against the emulator's",
    "replay": "the same noise waveform through both",
    "noise": "ngspice with its own noise against the prediction",
}

_IN_WORDS = {
    "pass": "PASS: whatever was compared agrees within what is allowed.",
    "fail": "FAIL: they disagree by more than is allowed; see the levels marked fail.",
    "inconclusive": "INCONCLUSIVE: nothing contradicts the device, but not everything could be decided.",
    "error": "ERROR: a level could not be run; see its message.",
    "skipped": "SKIPPED: none of the levels asked for has anything to say about this device.",
}

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
@click.option(
    "--detect",
    metavar="X",
    callback=lambda _context, _option, value: _parsed(value, "--detect", "2% or 0.02", {"%": 0.01}),
    help="Level noise takes as many samples as show a variance that is off by X (2% or 0.02) with 99 %.",
)
@click.option(
    "--budget",
    metavar="T",
    callback=lambda _context, _option, value: _parsed(
        value, "--budget", "60s or 5min", {"min": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0}
    ),
    help="Seconds for level noise (60s, 5min); what they bought is said before and after.",
)
@click.option("--include-outside", is_flag=True, help="Read includes that lie outside the netlist's folder.")
@click.option("--ignore-control", is_flag=True, help="Leave out control blocks that do more than analyses.")
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
    if detect is not None and budget is not None:
        raise UsageError("--detect and --budget exclude one another: one follows from the other")
    if plot is not None:
        from spu.pictures import refuse_picture

        refuse_picture(plot)
    from spu.crosscheck import check
    from spu.folder import read_folder

    folder = read_folder(directory)
    # What a plan will take and see is said even where nobody watches.
    progress = _say if sys.stderr.isatty() or detect is not None or budget is not None else None
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
        progress=progress,
    )
    if plot is not None:
        from spu.pictures import draw_check, save

        save(draw_check(result.variables, result.covariances, result.spectra), plot)
    if as_json:
        print_result({**report(result), "plot": plot}, folder, "check")
    else:
        click.echo(describe(result))
        if plot is not None:
            click.echo(f"picture: {plot}")
    return result.exit_status


def _parsed(text: str | None, option: str, example: str, units: dict[str, float]) -> float | None:
    """A positive number with or without one of the units."""
    if text is None:
        return None
    stripped = text.strip().lower()
    unit = next((unit for unit in units if stripped.endswith(unit)), "")
    try:
        value = float(stripped.removesuffix(unit)) * units.get(unit, 1.0)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{option} must be a positive number such as {example}, not {text!r}")
    return value


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
    lines += [_levels(result), ""]
    lines += [f"{level.name}: {level.message}" for level in result.levels.values() if level.message]
    lines += _sureness(result)
    if result.changes is not None:
        lines += ["", *_changes(result.changes)]
    if result.covariances:
        lines += ["", *_corners(result)]
    if result.diagnosis is not None:
        lines += ["", *(f"diagnosis: {line}" for line in result.diagnosis.lines)]
    lines += ["", _IN_WORDS[result.verdict]]
    return "\n".join(lines)


def _levels(result: Check) -> str:
    rows = [
        (
            level.name,
            _COMPARES.get(level.name, ""),
            level.verdict.upper() if level.verdict in ("fail", "error") else level.verdict,
            small(level.error),
            small(level.tolerance),
            f"{level.seconds:.1f}",
        )
        for level in result.levels.values()
    ]
    return table(["level", "what is compared", "verdict", "worst error", "allowed", "seconds"], rows, left=3)


def _sureness(result: Check) -> list[str]:
    """How often each level cries wolf, and what it sees."""
    rows: list[tuple[str, ...]] = []
    for level in result.levels.values():
        if level.false_alarm_rate is None:
            continue
        first = (level.name, _by_chance(level.false_alarm_rate))
        for line in _sees(level.detects):
            rows.append((*first, *line))
            first = ("", "")
    if not rows:
        return []
    headers = ["level", "false alarms", "finds", "beyond"]
    return ["", table(headers, rows, left=4), "  (surely; where there is chance with 99 %)"]


def _by_chance(rate: float | None) -> str:
    if not rate:
        return "none by chance"
    return f"1 in {1.0 / rate:,.0f} checks"


_SEES = {
    "answer": "the answer off",
    "mean": "a mean off",
    "covariance": "the covariance off",
    "density": "a noise density off",
    "variance": "a variance off, whatever the cause",
    "source_level": "a noise source's rms off",
}


def _sees(detects: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(words, share(detects[key])) for key, words in _SEES.items() if key in detects]
    if detects.get("element") is not None:
        lines.append(("an element changed, typically", share(detects["element"])))
        lines.append((f"the hardest: {detects['hardest']}", share(detects["element_worst"])))
        if detects["unseen"]:
            lines.append((f"{detects['unseen']} of {detects['elements'] + detects['unseen']} elements", "no change"))
    return lines


def share(value: float | None) -> str:
    """Write a relative size: per cent where that reads well."""
    if value is None:
        return "-"
    return f"{100 * value:.2g} %" if 1e-4 <= value < 10 else small(value)


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
    shown = [name for name in _CORNERS if name in result.covariances]
    variances = {name: result.covariances[name].diagonal() for name in shown}
    order = _worst_first(result, shown)
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
    return [*lines, "", *_pairs(result)]


_PREDICTED = ("compilation", "sampled noise", "finite steps")


def _pairs(result: Check) -> list[str]:
    """The corners pairwise: how far apart, and what of that was predicted."""
    rows = [
        (
            corner.quantity,
            " - ".join(corner.between),
            share(corner.found),
            *(share(corner.predicted[part]) if part in corner.predicted else "" for part in _PREDICTED),
            share(corner.unexplained),
            share(corner.scatter) + " scatter" if corner.scatter else share(corner.limit),
            "yes" if corner.within else "NO",
        )
        for corner in result.corners
    ]
    if not rows:
        return []
    headers = ["", "corners", "apart by", *_PREDICTED, "left over", "allowed", "within"]
    return [table(headers, rows, left=2), "  (relative, Frobenius; predicted parts in between need not add up)"]


def _worst_first(result: Check, shown: list[str]) -> list[int]:
    """Choose the variables to show: all in order, or the ones where the corners differ most."""
    import numpy as np

    n = len(result.variables)
    if n <= _MOST_VARIABLES:
        return list(range(n))
    variances = np.array([result.covariances[name].diagonal() for name in shown])
    means = np.array([result.means[name] for name in shown if name in result.means]).reshape(-1, n)
    scale = np.maximum(np.abs(variances).max(axis=0), np.finfo(float).tiny)
    gap = np.ptp(variances, axis=0) / scale
    if len(means):
        gap = np.maximum(gap, np.ptp(means, axis=0) / np.sqrt(scale))
    return [int(k) for k in np.argsort(-gap, kind="stable")[:_MOST_VARIABLES]]
