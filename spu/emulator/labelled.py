"""Results as labelled arrays: of xarray, with named dimensions, coordinates and units, and of ArviZ.

Dimensions have the same names everywhere: ``trajectory``, ``readout`` (with the coordinate ``time``), ``variable``
and ``variable_`` (the columns of a covariance), ``cell`` and ``cell_``, ``frequency``, ``lag`` and ``mode`` (of time
constants). Matrices of large networks, which are sparse, are the list of their entries, along ``NAME_entry``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.extras import needed
from spu.base.sparse import row_numbers

if TYPE_CHECKING:
    import xarray

EXTRA = "results"
"""The option of the installation that brings xarray and ArviZ."""

UNITS, SQUARES = "problem units", "problem units^2"


class Labels:
    """Arrays with the names of their dimensions, on their way to an `xarray.Dataset`.

    Parameters
    ----------
    attributes:
        Of the whole: numbers and words; None is left out.
    """

    def __init__(self, **attributes: Any) -> None:
        self.attributes = {key: _plain(value) for key, value in attributes.items() if value is not None}
        self.arrays: dict[str, tuple[Any, ...]] = {}
        self.coordinates: dict[str, tuple[Any, ...]] = {}
        self.searchable: list[str] = []

    def names(self, dimension: str, names: Sequence[str]) -> None:
        """Name the entries of a dimension, and of its twin for the columns of matrices."""
        for each in (dimension, f"{dimension}_"):
            self.coordinates[each] = (each, np.asarray(names, dtype=np.str_))

    def coordinate(self, name: str, values: Any, units: str, dimension: str | None = None) -> None:
        """Give a dimension (by default the one of that name) numbers; None is left out."""
        if values is not None:
            self.coordinates[name] = (dimension or name, np.asarray(values), {"units": units})
            if dimension is not None:
                self.searchable.append(name)

    def array(self, name: str, dimensions: tuple[str, ...], values: Any, units: str = "") -> None:
        """Add an array; None is left out."""
        attributes = {"units": units} if units else {}
        if isinstance(values, sp.csr_array):
            entry, (rows, columns) = f"{name}_entry", (self.coordinates[each][1] for each in dimensions)
            self.coordinates[f"{name}_row"] = (entry, rows[row_numbers(values)])
            self.coordinates[f"{name}_column"] = (entry, columns[values.indices])
            self.arrays[name] = (entry, values.data, attributes)
        elif values is not None:
            self.arrays[name] = (dimensions, np.asarray(values), attributes)

    def dataset(self) -> xarray.Dataset:
        """The arrays, with those coordinates that they have the dimensions of.

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        made = needed("xarray", "to_xarray", EXTRA).Dataset(self.arrays, attrs=self.attributes)
        there = {name: each for name, each in self.coordinates.items() if each[0] in made.dims}
        made = made.assign_coords(there)
        for name in self.searchable:
            if name in there:
                made = made.set_xindex(name)  # so that sel(time=...) finds it
        return made


def _plain(value: Any) -> Any:
    """An attribute as files of all kinds hold it."""
    if isinstance(value, bool):
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def inference_data(readouts: FloatArray | None, variables: Sequence[str], **attributes: Any) -> Any:
    """Readouts (trajectory, readout, variable) as ArviZ has samples: a trajectory is a chain, a readout a draw.

    Trajectories that an interrupt cut short are left out.

    Raises
    ------
    UsageError
        If ArviZ is not installed, or there are no readouts.
    """
    arviz = needed("arviz", "to_arviz", EXTRA)
    xarray = needed("xarray", "to_arviz", EXTRA)
    if readouts is None:
        raise UsageError("no readouts were kept: simulate with trace=1, or without trace")
    whole = readouts[np.isfinite(readouts).all(axis=(1, 2))]
    chains, draws, _ = whole.shape
    labels = Labels(**attributes)
    coordinates = {"chain": np.arange(chains), "draw": np.arange(draws), "variable": list(variables)}
    data = {"readouts": (("chain", "draw", "variable"), whole, {"units": UNITS})}
    posterior = xarray.Dataset(data, coords=coordinates, attrs=labels.attributes)
    if hasattr(arviz, "InferenceData"):  # before ArviZ 1
        return arviz.InferenceData(posterior=posterior)
    return xarray.DataTree.from_dict({"posterior": posterior})
