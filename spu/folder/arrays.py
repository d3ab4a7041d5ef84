"""Arrays of a folder's JSON files, large ones in ``.npz`` files beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy.sparse as sp

from spu.base.array_files import read_npz
from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.base.names import first_line, shorten
from spu.problems.definite import MAX_SPARSE_SIZE

__all__ = ["MAX_ROWS", "spill"]


MAX_ROWS = 200
"""Matrices with more rows than this go into an ``.npz`` file instead of the JSON."""

_CSR_PARTS = ("indptr", "indices", "data")

ARRAYS = {  # of compiled.statistics, with their numbers of dimensions
    "mean": 1,
    "covariance": 2,
    "voltage_mean": 1,
    "voltage_covariance": 2,
    "state_variance": 1,
    "time_constants": 1,
}


def spill(data: Mapping[str, Any], npz: str | Path) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Take the matrices with more than `MAX_ROWS` rows out of a JSON object, at any depth.

    Returns
    -------
    dict, dict
        The object with ``{"npz": file, "key": name}`` in their place, and the matrices by name:
        their key, behind those of the objects around it (``covariances_ideal``). Sparse ones as
        said above.
    """
    large: dict[str, FloatArray] = {}

    def without(value: Any, name: str) -> Any:
        if isinstance(value, np.ndarray) and value.ndim >= 2 and value.shape[-2] > MAX_ROWS:
            large[name] = value
            return {"npz": str(npz), "key": name}
        if sp.issparse(value) and cast(Any, value).shape[0] > MAX_ROWS:
            a = sp.csr_array(cast(Any, value))
            large.update({f"{name}.{part}": getattr(a, part) for part in _CSR_PARTS})
            return {"npz": str(npz), "key": name, "sparse": "csr", "shape": list(a.shape)}
        if isinstance(value, Mapping):
            return {key: without(entry, f"{name}_{key}" if name else key) for key, entry in value.items()}
        return value

    return without(data, ""), large


def _is_matrix(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def readable(value: Any, indent: int = 0) -> str:
    """JSON with one key a line and one row of a matrix a line, for people and for ``diff``."""
    space = " " * (indent + 2)
    if isinstance(value, dict) and value:
        lines = [f"{space}{json.dumps(key)}: {readable(entry, indent + 2)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if _is_matrix(value):
        return "[\n" + ",\n".join(space + json.dumps(row) for row in value) + "\n" + " " * indent + "]"
    return json.dumps(value, allow_nan=False)


def real_array(value: Any, dimensions: int, what: str, file: Path) -> FloatArray | sp.csr_array:
    if sp.issparse(value):
        matrix = cast(sp.csr_array, value)
        if dimensions != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix.data).all():
            raise InputError(f'"{what}" is damaged: compile again', file=file)
        return matrix
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    square = dimensions == 1 or (array.ndim == 2 and array.shape[0] == array.shape[1])
    if array.ndim != dimensions or not array.size or not square or not np.isfinite(array).all():
        raise InputError(f'"{what}" is damaged: compile again', file=file)
    return array


def recall(data: Mapping[str, Any], file: Path, npz: str) -> dict[str, Any]:
    """Put the matrices that `spill` took out back in, from the one file they may be in."""
    wanted = {key: value for key, value in data.items() if isinstance(value, dict) and _is_place(value)}
    if not wanted:
        return dict(data)
    beside = file.with_name(npz)
    if not beside.exists():
        raise InputError(f"no such file, but {file.name} keeps its matrices there", file=beside)
    archive = read_npz(beside)
    try:
        return {**data, **{key: _unspill(value, archive) for key, value in wanted.items()}}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"does not hold the matrices of {file.name}: {first_line(error)}", file=beside) from None


def _is_place(value: Mapping[str, Any]) -> bool:
    """Whether it says where a matrix is; a problem may hold other mappings, of numbers."""
    return not value or not all(type(entry) in (int, float) for entry in value.values())


def _unspill(place: Mapping[str, Any], archive: Mapping[str, Any]) -> Any:
    """The matrix that stood where ``place`` does now."""
    key = str(place["key"])
    if place.get("sparse") is None:
        return archive[key]
    if place["sparse"] != "csr":
        raise ValueError(f"unknown kind of sparse matrix {shorten(place['sparse'])}")
    indptr, indices, data = (archive[f"{key}.{part}"] for part in _CSR_PARTS)
    shape: Any = tuple(int(size) for size in place["shape"])
    if max(shape) > MAX_SPARSE_SIZE:
        raise ValueError(f"a matrix of more than {MAX_SPARSE_SIZE} rows or columns")
    matrix = sp.csr_array((data, indices, indptr), shape=shape)
    matrix.check_format(full_check=True)
    return matrix
