"""Sums of products over trajectories that lie side by side in panels: ``spu/base/kernels/c/adjoint.inc``."""

from __future__ import annotations

from typing import Annotated, Any

from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.kernels.door import FORMATS, Kernel, Precision, floats, reals
from spu.base.kernels.products import panel

__all__ = ["gram"]

_gram = {
    precision: Kernel(
        "gram",
        precision,
        a=reals("panels", "n", "row"),
        b=reals("panels", "m", "row"),
        out=floats("n", "m", written=True),
    )
    for precision in FORMATS
}


def gram(a: NDArray[Any], b: NDArray[Any], out: Annotated[FloatArray, "n m"], precision: Precision = "double") -> None:
    """Add to out (n, m) the sum over panels and lanes of a (panels, n, row) times b (panels, m, row), transposed.

    Each lane is one chain over panels in the number format; lanes are folded in halves, and the sum is
    added in doubles: the same bits on every processor.

    Raises
    ------
    InternalError
        If the arrays are not panels of that format.
    """
    if a.shape[-1] != panel(precision):
        raise UsageError(f"panels of {precision} precision have rows of {panel(precision)}, not {a.shape[-1]}")
    _gram[precision](a, b, out)
