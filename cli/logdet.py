"""``spu logdet``: the logarithm of a determinant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .algebra import answer_options, give, matrix_argument


@click.command("logdet")
@matrix_argument("A")
@answer_options
def command(a: Path, **options: Any) -> int:
    """Find log det A of a symmetric positive definite matrix A (.npy, .npz, .csv, .mtx) on a device, with its error.

    Couplers are ramped up and down; the work that this takes gives the difference of free energies to a device without
    couplers, whose determinant is known.

    \b
      spu logdet A.csv --error 1% --compare
    """  # noqa: D301 - click wants the control character
    from spu.studies.algebra.tasks import determinant_of

    return give("logdet", determinant_of(a), **options)
