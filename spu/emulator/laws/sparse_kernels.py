"""Compiled loops over sparse matrices: triangular solves for many right-hand sides, and sums over a pattern.

The loops: ``spu/base/kernels/c/sparse.c``.
"""

from __future__ import annotations

from typing import Any

from spu.base.kernels.door import Kernel, floats, integers

_SOLVE: dict[str, Any] = {
    "starts": integers("n+1"),
    "rows": integers("entries"),
    "values": floats("entries"),
    "x": floats("n", "k", written=True),
}

solve_lower = Kernel("solve_lower", **_SOLVE)
"""Solve ``L y = x`` in place, x (n, k); L by columns, its unit diagonal first in each."""

solve_upper = Kernel("solve_upper", **_SOLVE)
"""Solve ``U y = x`` in place, x (n, k); U by columns, its diagonal last in each."""

count_pairs = Kernel(
    "count_pairs",
    y=floats("p", "k"),
    starts=integers("p+1"),
    columns=integers("entries"),
    products=floats("entries", written=True),
)
"""Add ``sum over b of y_ib y_jb`` to the entry (i, j) of a CSR pattern; y (p, k)."""
