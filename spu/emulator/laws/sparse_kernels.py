"""Compiled loops over sparse matrices: triangular solves for many right-hand sides, and sums over a pattern."""

from __future__ import annotations

from spu.base.compiled import compiled, floats, integers


@compiled(starts=integers("n+1"), rows=integers("entries"), values=floats("entries"), x=floats("n", "k", written=True))
def solve_lower(starts, rows, values, x):  # type: ignore[no-untyped-def]
    """Solve ``L y = x`` in place, x (n, k); L by columns, its unit diagonal first in each."""
    for j in range(len(starts) - 1):
        for p in range(starts[j], starts[j + 1]):
            i, value = rows[p], values[p]
            if i != j:
                for b in range(x.shape[1]):
                    x[i, b] -= value * x[j, b]


@compiled(starts=integers("n+1"), rows=integers("entries"), values=floats("entries"), x=floats("n", "k", written=True))
def solve_upper(starts, rows, values, x):  # type: ignore[no-untyped-def]
    """Solve ``U y = x`` in place, x (n, k); U by columns, its diagonal last in each."""
    for j in range(len(starts) - 2, -1, -1):
        last = starts[j + 1] - 1
        inverse = 1.0 / values[last]
        for b in range(x.shape[1]):
            x[j, b] *= inverse
        for p in range(starts[j], last):
            i, value = rows[p], values[p]
            for b in range(x.shape[1]):
                x[i, b] -= value * x[j, b]


@compiled(
    y=floats("p", "k"), starts=integers("p+1"), columns=integers("entries"), products=floats("entries", written=True)
)
def count_pairs(y, starts, columns, products):  # type: ignore[no-untyped-def]
    """Add ``sum over b of y_ib y_jb`` to the entry (i, j) of a CSR pattern; y (p, k)."""
    for i in range(len(starts) - 1):
        for q in range(starts[i], starts[i + 1]):
            j = columns[q]
            total = 0.0
            for b in range(y.shape[1]):
                total += y[i, b] * y[j, b]
            products[q] += total
