"""Compiled loops over sparse matrices: sums over a pattern (``spu/base/kernels/c/sparse.c``)."""

from __future__ import annotations

from spu.base.kernels.door import Kernel, floats, integers

count_pairs = Kernel(
    "count_pairs",
    y=floats("p", "k"),
    starts=integers("p+1"),
    columns=integers("entries"),
    products=floats("entries", written=True),
)
"""Add ``sum over b of y_ib y_jb`` to the entry (i, j) of a CSR pattern; y (p, k)."""
