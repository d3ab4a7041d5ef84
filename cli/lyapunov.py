"""``spu lyapunov``: a Lyapunov equation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .algebra import answer_options, give, matrix_argument


@click.command("lyapunov")
@matrix_argument("A")
@matrix_argument("Q")
@answer_options
def command(a: Path, q: Path, **options: Any) -> int:
    """Solve A P + P A^T = Q for P on a device, with error bars; A and Q are files (.npy, .npz, .csv, .mtx).

    The eigenvalues of A have positive real parts, Q is symmetric and positive semidefinite; P is the covariance of
    voltages under noise that cells share.

    \b
      spu lyapunov A.csv Q.csv --error 1% --compare
    """  # noqa: D301 - click wants the control character
    from spu.studies.algebra.tasks import lyapunov_of

    return give("lyapunov", lyapunov_of(a, q), **options)
