"""Digests of texts and arrays: equal for equal content on every machine, and for nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["Digest"]


class Digest:
    """A SHA-256 that takes texts and arrays, each with its length, so that no two lists run together to one."""

    def __init__(self) -> None:
        self._found = hashlib.sha256()

    def text(self, *words: str | None) -> None:
        """Take a list of words."""
        joined = json.dumps(words).encode()
        self._found.update(len(joined).to_bytes(8, "little") + joined)

    def numbers(self, *arrays: NDArray[Any]) -> None:
        """Take arrays of one dimension, of floats (bit by bit, but for NaNs) or integers."""
        for array in arrays:
            self._found.update(len(array).to_bytes(8, "little"))
            if array.dtype.kind == "f":
                array = np.where(np.isnan(array), np.nan, array)  # there are many NaNs
            kind = "<f8" if array.dtype.kind == "f" else "<i8"
            self._found.update(np.ascontiguousarray(array, dtype=kind).data)

    def array(self, array: NDArray[Any]) -> None:
        """Take an array of any shape and kind but objects, bit by bit."""
        self.text(array.dtype.str, *map(str, array.shape))
        self._found.update(np.ascontiguousarray(array).tobytes())

    def content(self, given: Mapping[str, Any]) -> None:
        """Take what a problem's ``posed`` gives: arrays, dense or sparse, and what JSON holds."""
        for key, value in given.items():
            self.text(key)
            if sp.issparse(value):
                value = cast(sp.csr_array, value)
                self.numbers(np.array(value.shape), value.indptr, value.indices, value.data)
            elif isinstance(value, np.ndarray):
                self.numbers(np.array(value.shape), value.ravel())
            else:
                self.text(json.dumps(value))

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._found.hexdigest()
