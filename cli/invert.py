"""``spu invert``: the inverse of a matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .algebra import answer_options, give, matrix_argument


@click.command("invert")
@matrix_argument("A")
@answer_options
def command(a: Path, **options: Any) -> int:
    """Invert a symmetric positive definite matrix A (.npy, .npz, .csv, .mtx) on a device, with error bars.

    The inverse is the covariance of the voltages of cells in thermal equilibrium. --error says how exact, --time how
    long instead.

    \b
      spu invert A.csv --error 1% --compare
      spu invert A.npy --time 2ms --json -o inverse.npz
    """  # noqa: D301 - click wants the control character
    from spu.studies.algebra.tasks import inverse_of

    return give("invert", inverse_of(a), **options)
