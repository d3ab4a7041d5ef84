"""``spu lstsq``: a least squares problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .algebra import answer_options, give, matrix_argument
from .names import names


@click.command("lstsq")
@matrix_argument("A")
@matrix_argument("B")
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=names(more=("normal", "embedding")),
    help="normal or embedding [default: normal].",
)
@answer_options
def command(a: Path, b: Path, method: str | None, **options: Any) -> int:
    """Solve A x = b in the sense of least squares on a device, with error bars; A has full column rank.

    A is a matrix and B a vector (.npy, .npz, .csv, .mtx). --method is normal (a cell a variable, and the condition
    squared; so unless given) or embedding (a cell a row and a cell a variable, the condition as it is).

    \b
      spu lstsq A.csv b.csv --error 1% --compare
    """  # noqa: D301 - click wants the control character
    from spu.studies.algebra.tasks import least_squares_of

    return give("lstsq", least_squares_of(a, b, method), **options)
