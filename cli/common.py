"""What the verbs share: options, numbers and tables for people, JSON and .npz files for programs."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spu.base.errors import OutputError, UsageError, clip
from spu.base.numbers import engineering

from .ending import print_object

if TYPE_CHECKING:
    from spu.emulator.results import CommonMode
    from spu.folder import Folder

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

MAX_TABLE_ROWS = 40


def folder_argument(function: AnyFunction) -> AnyFunction:
    """``DIR``: a compiled or imported folder, a device file, or a netlist."""
    return click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))(function)


def json_option(function: AnyFunction) -> AnyFunction:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object (SI units).")(function)


def seed_option(what: str, largest: int | None = None) -> Callable[[AnyFunction], AnyFunction]:
    """``--seed``, saying of what."""
    return click.option(
        "--seed",
        type=click.IntRange(0, largest),
        default=0,
        show_default=True,
        metavar="N",
        help=f"Seed of {what}.",
    )


def dialect_option(*, multiple: bool = False, help: str) -> Callable[[AnyFunction], AnyFunction]:
    """``--dialect``; whether there is such a one is for the verb to say."""
    if multiple:
        return click.option("--dialect", "dialects", metavar="NAME", multiple=True, help=help)
    return click.option("--dialect", metavar="NAME", default="ngspice", show_default=True, help=help)


def plan_options(function: AnyFunction) -> AnyFunction:
    """``--detect`` and ``--budget``, of level ``noise``."""
    detect = click.option(
        "--detect",
        metavar="X",
        callback=lambda _context, _option, value: _parsed(value, "--detect", "2% or 0.02", {"%": 0.01}),
        help="Level noise takes as many samples as show a variance that is off by X (2% or 0.02) with 99 %.",
    )
    budget = click.option(
        "--budget",
        metavar="T",
        callback=lambda _context, _option, value: _parsed(
            value, "--budget", "60s or 5min", {"min": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0}
        ),
        help="Seconds for level noise (60s, 5min); what they bought is said before and after.",
    )
    return detect(budget(function))


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


def file_option(*names: str, metavar: str = "FILE", help: str) -> Callable[[AnyFunction], AnyFunction]:
    """Define an option that takes a path; whether it exists is for the verb to say."""
    return click.option(*names, type=click.Path(path_type=Path), metavar=metavar, help=help)


# --- for programs --------------------------------------------------------------------------


def print_json(data: Mapping[str, Any]) -> None:
    """Print the one JSON object."""
    from spu.base.files import plain

    print_object(json.dumps(plain(data), allow_nan=False))


def print_result(data: Mapping[str, Any], folder: Folder, verb: str) -> None:
    """Print the one JSON object, with large matrices in ``DIR/<verb>.npz``."""
    from spu.folder.arrays import spill

    file = folder.path.parent / f"{verb}.npz"
    rest, large = spill(data, file)
    if large:
        write_npz(file, large, f"spu_{verb}")
    print_json(rest)


def statistics_json(stats: Any) -> dict[str, Any]:
    """Give the keys that `predict` and `simulate` have in common, from `spu.emulator.results.Statistics`."""
    keys = (
        *("variables", "cells", "mean", "covariance", "target_mean", "target_covariance"),
        *("voltage_mean", "voltage_covariance"),
        *("relative_error", "covariance_relative_error", "mean_relative_error"),
    )
    common = stats.common_mode
    return {**{key: getattr(stats, key) for key in keys}, "common_mode": common and common.to_dict()}


def write_npz(file: Path, arrays: Mapping[str, Any], marker: str) -> None:
    """Write arrays with a key that marks the file as ours.

    Raises
    ------
    OutputError
        If a file without that key is in the way, or writing fails.
    """
    import numpy as np

    from spu.base.files import write_with

    refuse_npz(file, marker)
    entries: dict[str, Any] = {marker: 1, **arrays}
    write_with(file, lambda stream: np.savez(stream, **entries))


def refuse_npz(file: Path, marker: str) -> None:
    """Raise what `write_npz` would raise, before any work is done."""
    if not file.parent.is_dir():
        raise OutputError(f"cannot be written: there is no folder {str(file.parent)!r}", file=file)
    if not file.exists():
        return
    ours = False
    if file.is_file():
        try:
            with zipfile.ZipFile(file) as archive:
                ours = f"{marker}.npy" in archive.namelist()
        except (OSError, zipfile.BadZipFile):
            ours = False
    if not ours:
        raise OutputError("was not written by this command: move it, or give another name", file=file)


# --- for people ----------------------------------------------------------------------------


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    limit: int | None = None,
    count: int | None = None,
    rest: str = "all with --json",
) -> str:
    """Lay out a table: the first ``left`` columns to the left, the others to the right.

    Of ``count`` rows (those given, unless more) ``limit`` are shown; ``rest`` says where the others are.
    """
    count = len(rows) if count is None else count
    shown = rows if limit is None else rows[:limit]
    widths = [max(map(len, column)) for column in zip(headers, *shown, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return ("  " + "  ".join(padded)).rstrip()

    lines = [line(headers), line(["-" * width for width in widths]), *map(line, shown)]
    if len(shown) < count:
        lines.append(f"  ... and {count - len(shown)} more ({rest})")
    return "\n".join(lines)


def common_mode_table(common: CommonMode) -> str:
    """Lay out both modes of the cells that are read in pairs."""
    rms = [
        [engineering(float(v), "V") for v in variance**0.5]
        for variance in (common.variance, common.differential_variance)
    ]
    rows = list(zip(common.variables, *rms, strict=True))
    return table(["per cell of", "common-mode rms", "differential rms"], rows, limit=MAX_TABLE_ROWS)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Lay out labelled lines."""
    width = max(len(label) for label, _ in pairs)
    return "\n".join(f"{label.ljust(width)}  {text}" for label, text in pairs)


def warn(message: str) -> None:
    """Say on stderr what does not stop the work."""
    click.echo(f"warning: {clip(message)}", err=True)


def progress_words(always: bool = False) -> Callable[[str], None] | None:
    """Where long work says what it is doing: on stderr, if that is a terminal, or always."""
    return (lambda message: click.echo(message, err=True)) if always or sys.stderr.isatty() else None
