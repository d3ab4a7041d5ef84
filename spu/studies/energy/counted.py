"""What a digital method takes, and the counts that several of them share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from spu.base.selected_inverse import Supernodes
from spu.base.sparse import canonical
from spu.problems.problem import LinearProblem

__all__ = ["BOOK", "Method", "cholesky", "conjugate_gradients"]


@dataclass(frozen=True)
class Method:
    """What one method takes for one problem.

    Attributes
    ----------
    name:
        In words.
    flops:
        Floating-point operations.
    words:
        Numbers to and from memory.
    formula:
        Of the operations.
    source:
        Who states it.
    samples:
        Independent samples, of those that draw some; else None.
    """

    name: str
    flops: float
    words: float
    formula: str
    source: str
    samples: float | None = None


BOOK = "Golub and Van Loan, Matrix Computations, 4th ed."


def cholesky(problem: LinearProblem) -> tuple[float, float, str]:
    """Operations of ``A = L L^T``, entries of L, and the formula of the operations.

    Of a sparse matrix those of its own factor, in an order of minimum degree.
    """
    n, matrix = float(problem.n), problem.matrix
    if not sp.issparse(matrix):
        return n**3 / 3, n**2 / 2, "n^3/3"
    order = Supernodes.of(canonical(matrix)).order
    ordered = sp.csc_array(cast(Any, matrix)[order][:, order])
    options = {"SymmetricMode": True}  # and no pivots but the diagonal's, no zeros among the entries
    factor = splu(ordered, permc_spec="NATURAL", diag_pivot_thresh=0.0, options=options, relax=1, panel_size=1)
    columns = np.diff(factor.L.indptr).astype(float)
    return float((columns**2).sum()), float(columns.sum()), "the squared columns of the sparse factor"


def conjugate_gradients(problem: LinearProblem, error: float) -> Method:
    """Solve ``A x = b``, symmetric positive definite, to a relative error in the norm of A."""
    n, matrix = problem.n, problem.matrix
    entries = float(cast(Any, matrix).nnz) if sp.issparse(matrix) else float(n) ** 2
    iterations = math.ceil(max(1.0, 0.5 * math.sqrt(problem.condition) * math.log(2.0 / error)))
    size = "entries" if sp.issparse(matrix) else "n^2"
    return Method(
        "conjugate gradients",
        iterations * (2 * entries + 10 * n),
        iterations * entries / 2,
        f"(sqrt(kappa) / 2) ln(2 / error) = {iterations} iterations of 2 {size} + 10 n",
        f"{BOOK}, 11.3",
    )
