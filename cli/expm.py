"""``spu expm``: the exponential of a matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .algebra import answer_options, give, matrix_argument


@click.command("expm")
@matrix_argument("A")
@click.argument("time_", metavar="[T]", type=float, default=1.0)
@answer_options
def command(a: Path, time_: float, **options: Any) -> int:
    """Find exp(A t) of a matrix A (.npy, .npz, .csv, .mtx) on a device, with error bars.

    It is the covariance of voltages with themselves a time t later.

    \b
      spu expm A.csv 0.5 --error 2% --compare
    """  # noqa: D301 - click wants the control character
    from spu.studies.algebra.tasks import exponential_of

    return give("expm", exponential_of(a, time_), **options)
