"""Exact laws of many boards at once: means and covariances of a device whose elements have other values in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError, InputError
from spu.device.device import Device
from spu.device.variation import Elements, elements_of, varied
from spu.emulator.predict import predict_linear

__all__ = ["ManyLaws", "laws_of_draws"]


@dataclass(frozen=True, eq=False)
class ManyLaws:
    """Stationary statistics of d boards.

    Attributes
    ----------
    voltage_mean, voltage_covariance:
        (d, n) V, (d, n, n) V^2, of each board's cells; not a number where it has no law.
    stable:
        (d,) whether it has one.
    mean, covariance:
        (d, p), (d, p, p), problem units.
    why:
        Why a board has no law, by its number.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> laws = spu.laws_of_draws(device, [[1.0, 1.0], [2.0, 1.0]])
    >>> ratio = laws.voltage_covariance[0] / laws.voltage_covariance[1]
    >>> laws.stable.all(), round(float(ratio.item()), 9)
    (np.True_, 2.0)
    """

    voltage_mean: Annotated[FloatArray, "d n"]
    voltage_covariance: Annotated[FloatArray, "d n n"]
    mean: Annotated[FloatArray, "d p"]
    covariance: Annotated[FloatArray, "d p p"]
    stable: Annotated[NDArray[np.bool_], "d"]
    why: dict[int, str] = field(default_factory=dict)


def laws_of_draws(device: Device, factors: Annotated[ArrayLike, "d e"], elements: Elements | None = None) -> ManyLaws:
    """Exact stationary means and covariances of many boards of a device.

    Parameters
    ----------
    device:
        Of linear cells; of an ensemble the statistics are those of all programmings in equal shares.
    factors:
        (d, e) what each board's elements are multiplied by, in the order of `elements_of`; positive.
    elements:
        Of the device, where they are known already.

    Raises
    ------
    InputError
        If factors are not positive and finite, or not as many as there are elements.
    UsageError
        If the device is not linear.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> elements = spu.elements_of(device)
    >>> factors = spu.draw_factors(elements, spu.Tolerance(cell={"conductance": 0.05}), 3, seed=1)
    >>> laws = spu.laws_of_draws(device, factors, elements)
    >>> laws.covariance.shape, laws.mean.shape
    ((3, 2, 2), (3, 2))
    """
    elements = elements_of(device) if elements is None else elements
    given = np.asarray(factors, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != len(elements) or not np.isfinite(given).all() or (given <= 0).any():
        raise InputError(f"factors of many boards are positive numbers, a row of {len(elements)} for each board")
    count, cells, variables = len(given), len(device.cell_names), len(device.readout.variables)
    found = ManyLaws(
        np.full((count, cells), np.nan),
        np.full((count, cells, cells), np.nan),
        np.full((count, variables), np.nan),
        np.full((count, variables, variables), np.nan),
        np.zeros(count, dtype=bool),
    )
    for k, row in enumerate(given):
        try:
            law = predict_linear(varied(device, row, elements))
        except CircuitError as error:
            found.why[k] = error.message
            continue
        found.voltage_mean[k], found.voltage_covariance[k] = law.voltage_mean, np.asarray(law.voltage_covariance)
        found.mean[k], found.covariance[k] = law.mean, np.asarray(law.covariance)
        found.stable[k] = True
    return found
