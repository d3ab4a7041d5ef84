"""``spu check``: ideal model, emulator and ngspice side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spu.base.errors import UsageError, refuse_options

from .common import (
    accuracy_option,
    clamp_option,
    file_option,
    json_option,
    plan_options,
    print_json,
    print_result,
    progress_words,
    seed_option,
    simulators_option,
    study_options,
    study_words,
    warn,
)
from .names import LEVELS


@click.command("check")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@file_option("--netlist", metavar="FILE", help="Run this netlist, an edited DIR/device.cir, and say what it changed.")
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="CELL=NODE",
    help="With --netlist: this cell is that node there (repeatable) [default: cell_NAME, or KiCad's label /cell_NAME].",
)
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="NAME",
    shell_complete=LEVELS,
    help="Only this level (repeat for more): ideal, answer, op, ac, replay, noise [default: all].",
)
@accuracy_option(
    "Error of the answer allowed (5% or 0.05) [default: the predicted one and a little slack]. With --netlist only the "
    "answer is judged then."
)
@seed_option("the noise that is replayed")
@click.option(
    "--time-limit", type=float, metavar="S", help="Seconds that each run of the simulator may take [default: 300]."
)
@plan_options
@click.option(
    "--combinations",
    type=int,
    metavar="N",
    help="Level ac sweeps all noise sources at once, with random signs, N times; 0: each source by itself "
    "[default: that, where it takes less than about a minute, else 20].",
)
@clamp_option("Hold a variable there: what is checked is that device, whose netlist is made for it")
@click.option("--include-outside", is_flag=True, help="Read includes that lie outside the netlist's folder.")
@click.option("--ignore-control", is_flag=True, help="Leave out control blocks that do more than analyses.")
@simulators_option
@file_option("-o", "--output", metavar="KEEP", help="Keep finished checks there; the same command goes on with them.")
@study_options
@file_option("--plot", metavar="FILE", help="Draw covariances and spectra (.png, .svg or .pdf); of many, all errors.")
@json_option
def command(
    directories: tuple[Path, ...],
    netlist: Path | None,
    mapped: tuple[str, ...],
    levels: tuple[str, ...],
    accuracy: float | None,
    seed: int,
    time_limit: float | None,
    detect: float | None,
    budget: float | None,
    combinations: int | None,
    clamp: dict[str, float] | None,
    include_outside: bool,
    ignore_control: bool,
    simulators: tuple[str, ...],
    output: Path | None,
    cluster: str | None,
    threads: int | None,
    restart: bool,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Set ideal model, emulator and ngspice side by side; of many folders one after the other, or on many machines.

    What ngspice runs is DIR/device.cir as it lies on disk; each --simulator runs the netlist in its own language, and
    of several the table says how far they are from one another. Levels, cheap and sharp first:

    \b
      ideal    emulator against the exact answer (needs no ngspice)
      answer   the netlist, read as import does: law, modes and spectra at all frequencies
      op       operating point against the mean; of networks transfer curves
      ac       every transfer function, source density, and the covariance they make; of hundreds of
               sources by random-sign combinations of them, with the chance of missing something said
      replay   the same noise waveform through emulator and ngspice
      noise    ngspice's transient with noise of its own

    With --netlist the levels set that netlist against the emulator of the device as it was compiled, and level answer
    says what moved. Where the netlist holds parts that only ngspice knows (transistors, op-amp models), ngspice
    linearises them at the operating point; that, and what changes with time, is named, and the verdict inconclusive.
    Of networks level answer names the lines that are not as the program writes them; op, replay and noise judge them.

    Several DIR, or --cluster or -o, make it a study: each folder is a piece, done by whoever --cluster names.

    Exit status 1: a level failed, or two simulators disagree. 3: a simulator is missing (levels that need none, and
    other simulators, still run).
    """  # noqa: D301 - click wants the control character
    from spu.base.names import suggest
    from spu.crosscheck.levels import LEVELS
    from spu.spice.simulators import find_simulators

    for name in levels:
        if name not in LEVELS:
            raise UsageError(f"no level {name!r}; {suggest(name, list(LEVELS))}")
    find_simulators(simulators or "ngspice")
    for option, value in (("--accuracy", accuracy), ("--time-limit", time_limit)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{option} must be a positive number, not {value!r}")
    if detect is not None and budget is not None:
        raise UsageError("--detect and --budget exclude one another: one follows from the other")
    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    if len(directories) > 1 or cluster is not None or output is not None:
        refuse_options(
            "many folders: check each by itself",
            {"netlist": netlist, "map": mapped or None, "clamp": clamp, "include_outside": include_outside or None},
        )
        given = {
            "levels": levels or None,
            "accuracy": accuracy,
            "seed": seed,
            "time_limit": 300.0 if time_limit is None else time_limit,
            "detect": detect,
            "budget": budget,
            "combinations": combinations,
            "ignore_control": ignore_control,
            "simulator": simulators or "ngspice",
        }
        where = {"directory": output, "cluster": cluster, "threads": threads, "restart": restart}
        return _many(directories, plot, as_json, **given, **where)
    refuse_options("one folder: give several, --cluster or -o", {"threads": threads, "restart": restart or None})
    from spu.crosscheck import check
    from spu.folder import Folder, read_any

    folder = read_any(directories[0])
    if not isinstance(folder, Folder):
        refuse_options("netlists that only ngspice runs", {"clamp": clamp})
    with progress_words(detect is not None or budget is not None) as progress:
        result = check(
            folder if clamp is None or not isinstance(folder, Folder) else folder.device.clamped(clamp),
            netlist=netlist,
            levels=levels or None,
            accuracy=accuracy,
            seed=seed,
            time_limit=300.0 if time_limit is None else time_limit,
            detect=detect,
            budget=budget,
            combinations=combinations,
            include_outside=include_outside,
            ignore_control=ignore_control,
            simulator=simulators or "ngspice",
            map=_nodes(mapped),
            progress=progress,
        )
    if plot is not None and not result.covariances:
        warn("no picture: no level that ran gives a covariance")
        plot = None
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(result.plot(), plot)
    if as_json:
        print_result({**result.to_dict(), "plot": plot}, folder, "check")
    else:
        click.echo(str(result))
        if plot is not None:
            click.echo(f"picture: {plot}")
    return result.exit_status


def _nodes(given: tuple[str, ...]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for text in given:
        cell, equals, node = text.partition("=")
        if not (cell and equals and node):
            raise UsageError(f"--map {text!r}: write CELL=NODE, as in x1=/out")
        if cell in found:
            raise UsageError(f"--map {text!r}: {cell} is {found[cell]} already")
        found[cell] = node
    return found or None


def _many(directories: tuple[Path, ...], plot: Path | None, as_json: bool, **given: Any) -> int:
    """Check folders as pieces of a study."""
    from spu.studies.checks import check_many

    if given["directory"] is None and given["restart"]:
        raise UsageError("--restart is for checks that are kept: give -o KEEP")
    found = check_many(directories, progress=study_words(), **given)
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), "output": given["directory"], "plot": plot})
    else:
        click.echo(str(found))
        if plot is not None:
            click.echo(f"\npicture: {plot}")
    return found.exit_status
