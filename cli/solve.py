"""``spu solve``: a linear system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .algebra import answer_options, give, matrix_argument
from .names import names


@click.command("solve")
@matrix_argument("A")
@matrix_argument("B")
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=names("spu.studies.algebra.tasks:METHODS"),
    help="symmetric, direct, embedding or normal [default: the first that does].",
)
@answer_options
def command(a: Path, b: Path, method: str | None, **options: Any) -> int:
    """Solve A x = b on a device, with error bars.

    A is a matrix and B a vector (.npy, .npz, .csv, .mtx). The device is compiled, switched on, left alone until it has
    forgotten its start, and read until the error is small enough; --time says how long instead.

    --method NAME is one of symmetric (A positive definite: a cell a variable, in equilibrium), direct (eigenvalues
    with positive real parts: couplers that are not reciprocal), embedding (any A of full column rank, a cell a row and
    a cell a variable) and normal (the same: a cell a variable, and the condition squared). Unless given it is the
    first of these that A is for.

    \b
      spu solve A.csv b.csv --error 1%
      spu solve A.csv b.csv --time 1ms --hardware mine.toml --compare
    """  # noqa: D301 - click wants the control character
    from spu.studies.algebra.tasks import system

    return give("solve", system(a, b, method), **options)
