"""A problem in a report: what is asked for, in numbers, vectors and matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.numbers import plural
from spu.problems.conditional import ConditionalProblem
from spu.problems.problem import LinearProblem, Problem
from spu.reports.document import Block, Facts, Picture, Table, Text
from spu.reports.pictures.covariances import draw_matrix

MOST_WRITTEN = 12
"""Rows of a matrix that is written out."""

MOST_ROWS = 40
"""Of a table of vectors."""


@singledispatch
def problem_blocks(problem: Problem) -> Iterator[Block]:
    """What a report shows of a problem: of any kind whatever poses it; classes may register something better."""
    kind = problem.kind
    pairs = [("task", kind.words), ("variables", str(problem.n))]
    pairs += [(key, _written(getattr(problem, key))) for key in kind.values if getattr(problem, key) is not None]
    yield Facts([*pairs, *(("warning", warning) for warning in problem.warnings)])
    vectors = {key: np.asarray(getattr(problem, key)) for key in kind.vectors if getattr(problem, key) is not None}
    if vectors:
        columns = [[f"{value:.5g}" for value in vector[:MOST_ROWS].tolist()] for vector in vectors.values()]
        rows = list(zip(problem.variables[:MOST_ROWS], *columns, strict=True))
        note = f"The first {MOST_ROWS} of {plural(problem.n, 'variable')}." if problem.n > MOST_ROWS else ""
        yield Table("Of each variable", ["variable", *vectors], rows, note=note)
    for key in kind.matrices:
        matrix = getattr(problem, key)
        if matrix is not None and np.any(_dense(matrix)):
            yield from matrix_blocks(key.capitalize(), _dense(matrix), problem.variables)


@problem_blocks.register
def _(problem: LinearProblem) -> Iterator[Block]:
    kind = problem.kind
    pairs = [
        ("task", kind.words),
        ("variables", str(problem.n)),
        *_held(problem),
        ("condition number", f"{problem.condition:.4g}"),
        *problem.facts(),
        *(("warning", warning) for warning in problem.warnings),
    ]
    yield Facts(pairs)
    beside = {kind.beside: np.asarray(getattr(problem, kind.beside))} if kind.beside else {}
    if not kind.beside and problem.target_mean.any():
        beside = {"mean of x" if isinstance(problem, ConditionalProblem) else "mean": problem.target_mean}
    yield from matrix_blocks(kind.caption, _dense(problem.matrix), problem.variables, beside)


def _held(problem: LinearProblem) -> list[tuple[str, str]]:
    if not isinstance(problem, ConditionalProblem):
        return []
    return [("held", ", ".join(f"{name} = {value:.5g}" for name, value in problem.held.items()))]


def matrix_blocks(
    name: str, matrix: FloatArray, variables: Sequence[str], beside: dict[str, FloatArray] | None = None
) -> Iterator[Block]:
    """A matrix (m, n) written out, with vectors (m,) beside it; a large one as a picture."""
    m, n = matrix.shape
    labels = variables if m == n else [str(k) for k in range(1, m + 1)]
    beside = {key: vector for key, vector in (beside or {}).items() if len(vector) == m}
    if max(m, n) <= MOST_WRITTEN:
        columns = np.column_stack([matrix, *beside.values()])
        rows = [[v, *(f"{x:.5g}" for x in row)] for v, row in zip(labels, columns.tolist(), strict=True)]
        yield Table(name, ["", *variables, *beside], rows)
        return
    yield Text(f"Of {m} x {n} entries only a picture is shown; all are in problem.json.")
    scale = float(np.abs(matrix).max(initial=0.0)) or 1.0
    figure = draw_matrix(name, matrix, variables, scale, "problem units")
    yield Picture("matrix", figure, f"{name}.", f"Heat map of the matrix, {m} by {n}")


def _dense(matrix: Any) -> FloatArray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, (int, float)) else str(value)
