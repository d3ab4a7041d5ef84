"""Names that arrays bring along: of a pandas DataFrame or Series, of an xarray DataArray; neither is imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from spu.base.errors import InputError
from spu.base.names import check_names

__all__ = ["take_columns", "take_names"]

Names = tuple[str, ...]


def take_names(
    variables: Iterable[str] | None, matrix: tuple[str, Any], *vectors: tuple[str, Any]
) -> tuple[Iterable[str] | None, list[Any]]:
    """Names for the variables, and the vectors in the order of the matrix.

    Parameters
    ----------
    variables:
        Names that were given apart: they win. None for those of the arrays.
    matrix:
        What it is called in messages, and the (n, n) matrix.
    vectors:
        The same of (n,) vectors, or None in place of one. Labels that are those of the matrix in another order put
        them in its order; whole numbers are places, not names.

    Returns
    -------
    variables, vectors:
        Names, None where nothing has any; and the vectors without labels.

    Raises
    ------
    InputError
        If rows and columns have different names, or a vector's are not the matrix's.
    """
    order = _names_of_both(*matrix)
    found: list[Any] = []
    for what, vector in vectors:
        labels = _names_along(vector)
        if labels is not None and order is None and variables is not None:
            order = variables = check_names(variables, "a variable")
        order = labels if order is None else order
        found.append(vector if labels is None else _in_order(what, np.asarray(vector), labels, order or ()))
    return (order if variables is None else variables), found


def take_columns(
    variables: Iterable[str] | None, matrix: tuple[str, Any], vector: tuple[str, Any]
) -> tuple[Iterable[str] | None, Any]:
    """Names for the unknowns of a system of equations, and its right-hand side in the order of the rows.

    Parameters
    ----------
    variables:
        Names that were given apart: they win. None for those of the columns.
    matrix:
        What it is called in messages, and the (m, n) matrix: its columns are the unknowns, its rows equations.
    vector:
        The same of the (m,) vector. Labels that are those of the rows in another order put it in their order.

    Raises
    ------
    InputError
        If the vector has other labels than the rows.
    """
    axes = _axes(matrix[1])
    rows, columns = axes if len(axes) == 2 else (None, None)
    what, values = vector
    labels = _names_along(values)
    if labels is not None:
        values = np.asarray(values) if rows is None else _in_order(what, np.asarray(values), labels, rows)
    return (columns if variables is None else variables), values


def _axes(value: Any) -> list[Names | None]:
    """The labels of each axis; none of anything that has no labels."""
    if not hasattr(value, "to_numpy"):
        return []
    if hasattr(value, "dims"):
        coordinates = getattr(value, "coords", {})
        return [_text(coordinates[axis].values) if axis in coordinates else None for axis in value.dims]
    axes = [getattr(value, axis, None) for axis in ("index", "columns")]
    columns = [] if axes[1] is None else [_text(axes[1])]
    return [None if axes[0] is None or callable(axes[0]) else _text(axes[0]), *columns]


def _text(labels: Iterable[Any]) -> Names | None:
    labels = list(labels)
    if all(isinstance(label, Integral) for label in labels):
        return None
    return tuple(str(label) if isinstance(label, str) else label for label in labels)


def _names_of_both(what: str, matrix: Any) -> Names | None:
    """Of rows and columns, which must agree where both have names."""
    axes = _axes(matrix)
    if len(axes) != 2:
        return None
    rows, columns = axes
    if rows is None or columns is None or rows == columns:
        return columns if rows is None else rows
    if len(rows) != len(columns):
        return None  # not square, which is what will be said
    place = next(k for k, pair in enumerate(zip(rows, columns, strict=True)) if pair[0] != pair[1])
    same = " but for their order" if sorted(map(repr, rows)) == sorted(map(repr, columns)) else ""
    raise InputError(
        f"{what} has rows and columns of different names: row {place + 1} is {rows[place]!r}, column {place + 1} "
        f"{columns[place]!r}; they must be the same{', in one order' if same else ''}"
    )


def _names_along(vector: Any) -> Names | None:
    """Of what may be a Series, a DataArray of one dimension, or a frame of one column or row."""
    axes = _axes(vector)
    if len(axes) == 2:
        return axes[1] if np.shape(vector)[0] == 1 != np.shape(vector)[1] else axes[0]
    return axes[0] if axes else None


def _in_order(what: str, values: Any, labels: Names, order: Sequence[str]) -> Any:
    if labels == tuple(order):
        return values
    place = {label: k for k, label in enumerate(labels)}
    if len(place) < len(labels) or place.keys() != set(order):
        odd = next((label for label in labels if label not in order), labels[0])
        raise InputError(
            f"{what} does not have the names of the variables: {odd!r} is not one of them, or stands twice"
        )
    return values.reshape(-1)[[place[name] for name in order]]
