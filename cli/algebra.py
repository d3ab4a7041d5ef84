"""What ``spu solve``, ``invert``, ``logdet``, ``expm``, ``lyapunov`` and ``lstsq`` share: options, how they answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.base.errors import UsageError

from .common import (
    AnyFunction,
    energy_option,
    file_option,
    json_option,
    print_json,
    progress_bar,
    quantity_option,
    refuse_npz,
    seed_option,
    warn,
    write_npz,
)
from .ending import INTERRUPTED
from .names import ARCHITECTURES, HARDWARE

if TYPE_CHECKING:
    from spu.problems.problem import Problem

_MARKER = "spu_answer"

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "min": 60.0, "h": 3600.0, "s": 1.0}


def matrix_argument(name: str) -> Callable[[AnyFunction], AnyFunction]:
    """A file with a matrix or a vector."""
    return click.argument(name.lower(), metavar=name, type=click.Path(path_type=Path))


def accuracy_options(function: AnyFunction) -> AnyFunction:
    """``--error`` and ``--time``, one of which says how long a device runs, and which device that is."""
    options = (
        quantity_option(
            "--error",
            "X",
            "1% or 0.01",
            {"%": 0.01},
            "Error of the answer, relative to its size (root mean square) [default: 1%].",
        ),
        quantity_option(
            "--time", "T", "1ms, 2us or 1e-3", _SECONDS, "Device time in place of an error (1ms, 2us, 1e-3 s)."
        ),
        click.option(
            "--hardware",
            metavar="NAME|FILE",
            shell_complete=HARDWARE,
            help="ideal, spu8... or a .toml file [default: ideal].",
        ),
        click.option(
            "--architecture",
            metavar="NAME",
            shell_complete=ARCHITECTURES,
            help="As of spu compile [default: the most passive that can hold it].",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return energy_option(function)


def answer_options(function: AnyFunction) -> AnyFunction:
    """All options of a verb that answers."""
    options = (
        seed_option("the noise"),
        click.option("--compare", is_flag=True, help="Set the digital answer beside it."),
        click.option("--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]."),
        file_option(
            "-o", "--output", metavar="FILE.npz", help="Write answer and errors, as of --json, under the same names."
        ),
        json_option,
    )
    for option in reversed(options):
        function = option(function)
    return accuracy_options(function)


def give(verb: str, problem: Problem, *, output: Path | None, as_json: bool, **options: Any) -> int:
    """Answer a problem, print that, and say by the exit status whether it was whole.

    A matrix of more than 200 rows goes into a file under ``--json``: OUTPUT, or VERB.npz here. Whether that may be
    written is looked at before anything runs.
    """
    from spu.folder.arrays import MAX_ROWS, spill
    from spu.studies.algebra.solution import answer

    if output is not None and output.suffix != ".npz":
        raise UsageError(f"answers are written as .npz, not {str(output)!r}")
    file = output or Path(f"{verb}.npz")
    large = as_json and problem.n > MAX_ROWS and not problem.kind.answer.deterministic
    if output is not None or large:
        refuse_npz(file, _MARKER)
    with progress_bar("running") as progress:
        found = answer(problem, progress=progress, **options)
    if not found.complete:
        warn(f"interrupted: the answer below is of the first {found.readouts} readouts")
    for warning in found.warnings:
        warn(warning)
    rest, matrices = spill(found.to_dict(), file)
    if output is not None:
        write_npz(output, found.arrays(), _MARKER)
    elif as_json and matrices:
        write_npz(file, matrices, _MARKER)
    if as_json:
        print_json({**rest, "output": output})
    else:
        click.echo(str(found))
        if output is not None:
            click.echo(f"\nwrote {output}")
    return 0 if found.complete else INTERRUPTED
