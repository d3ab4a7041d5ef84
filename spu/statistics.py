"""`predict`: what a device does, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.circuit import lower
from spu.device import Device
from spu.emulator.large import LARGE, SparseStationary
from spu.emulator.law import Law, solve
from spu.emulator.stationary import Stationary
from spu.errors import UsageError
from spu.sde import stochastic_ode
from spu.sparse import row_numbers, with_data

if TYPE_CHECKING:
    from spu.problem import Problem

FloatArray = NDArray[np.float64]
Matrix = FloatArray | sp.csr_array


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and covariance of a device in problem units and in volts, and how far from the target.

    Attributes
    ----------
    variables, cells:
        Names: problem-unit arrays are ordered as ``variables``, voltages as ``cells``.
    mean, covariance:
        (p,), (p, p), problem units. Covariances of a large network (`spu.emulator.large`) are sparse: they
        hold the variances and the covariances of coupled cells, no others.
    voltage_mean, voltage_covariance:
        (n,) V, (n, n) V^2.
    target_mean, target_covariance:
        Of the problem; None where there is none.
    covariance_relative_error, mean_relative_error:
        Against the target, Frobenius; None without a target, or where it is zero.
    relative_error:
        Whichever of the two is the problem's answer.
    """

    variables: tuple[str, ...]
    cells: tuple[str, ...]
    mean: FloatArray
    covariance: Matrix
    voltage_mean: FloatArray
    voltage_covariance: Matrix
    target_mean: FloatArray | None
    target_covariance: Matrix | None
    covariance_relative_error: float | None
    mean_relative_error: float | None
    relative_error: float | None


@dataclass(frozen=True, eq=False)
class Prediction(Statistics):
    """Exact statistics.

    Attributes
    ----------
    law:
        The stationary law, for spectra and autocovariances; of an ensemble that of the first programming.
    band:
        (F1, F2) in Hz if band-limited, else None.
    laws:
        Of each programming of an ensemble; of other devices the one.
    """

    law: Law = field(repr=False)
    band: tuple[float, float] | None = None
    laws: tuple[Law, ...] = field(repr=False, default=())

    @property
    def time_constants(self) -> FloatArray:
        """(states,) ``-1/Re(lambda)``, s, longest first, of the slowest programming; found when first asked for."""
        return slowest(self.laws).time_constants


def slowest(laws: Sequence[Law]) -> Law:
    """The law with the longest time constant."""
    return laws[0] if len(laws) == 1 else max(laws, key=lambda law: float(law.time_constants[0]))


_last: dict[str, Law] = {}
"""The law of the device that was last asked for: who compiles also predicts, and then simulates."""


def forget_laws() -> None:
    """Forget what `device_law` remembers: for whoever measures how long a law takes."""
    _last.clear()


def device_law(device: Device) -> Law:
    """Lower a device, derive its equation and find the stationary law."""
    name = device.hash
    if name not in _last:
        law = solve(stochastic_ode(lower(device)))
        _last.clear()
        _last[name] = law
    return _last[name]


def compare(
    law: Law,
    problem: Problem | None,
    voltage_mean: FloatArray,
    voltage_covariance: Matrix,
    *,
    against_target: bool = True,
) -> dict[str, Any]:
    """Fill in the fields of `Statistics` for the mean (n,) V and covariance (n, n) V^2 of the voltages."""
    readout = law.sde.readout
    mean = readout.matrix @ voltage_mean + readout.offset
    covariance = readout.matrix @ voltage_covariance @ readout.matrix.T
    given = {"variables": readout.variables, "cells": law.sde.probes}
    return given | against(problem, mean, covariance, voltage_mean, voltage_covariance, against_target=against_target)


def merge(
    problem: Problem | None, parts: Sequence[Statistics], weights: FloatArray, *, against_target: bool = True
) -> dict[str, Any]:
    """Fill in the fields of `Statistics` for samples of several programmings thrown together.

    The covariance is the average of theirs and the spread of their means; ``weights`` (K,) are shares.
    """

    def both(mean: str, covariance: str) -> tuple[FloatArray, FloatArray]:
        means = np.array([getattr(part, mean) for part in parts])
        centre = weights @ means
        average = np.tensordot(weights, np.array([getattr(part, covariance) for part in parts]), axes=1)
        deviations = means - centre
        return centre, average + (weights[:, None] * deviations).T @ deviations

    given = {"variables": parts[0].variables, "cells": parts[0].cells}
    moments = (*both("mean", "covariance"), *both("voltage_mean", "voltage_covariance"))
    return given | against(problem, *moments, against_target=against_target)


def against(
    problem: Problem | None,
    mean: FloatArray,
    covariance: Matrix,
    voltage_mean: FloatArray,
    voltage_covariance: Matrix,
    *,
    against_target: bool,
) -> dict[str, Any]:
    """Moments, with their distance from a problem's, as fields of `Statistics`."""
    target_mean = None if problem is None else problem.target_mean
    target_covariance = None if problem is None else problem.target_covariance
    covariance_error = mean_error = answer = None
    if problem is not None and against_target:
        covariance_error = relative_error(covariance, problem.target_covariance)
        mean_error = relative_error(mean, problem.target_mean)
        answer = mean_error if problem.answer == "mean" else covariance_error
    return {
        "mean": mean,
        "covariance": covariance,
        "voltage_mean": voltage_mean,
        "voltage_covariance": voltage_covariance,
        "target_mean": target_mean,
        "target_covariance": target_covariance,
        "covariance_relative_error": covariance_error,
        "mean_relative_error": mean_error,
        "relative_error": answer,
    }


def predict(device: Device, *, band: tuple[float, float] | None = None, problem: Problem | None = None) -> Prediction:
    """Exact stationary statistics of a device: no sampling, no time step.

    Those of an ensemble are of the samples of all its programmings, in equal shares.

    Parameters
    ----------
    device:
        Compiled or built by hand.
    band:
        (F1, F2), Hz: what a readout with a brick-wall band sees (relative errors are then None).
    problem:
        What to compare with; the device's own unless given.

    Raises
    ------
    CircuitError
        If the circuit has no stationary law, naming the nodes.
    """
    members = device.members()
    if len(members) == 1:
        return prediction(device_law(device), problem or device.problem, band=band)
    return merged_prediction([device_law(member) for member in members], problem or device.problem, band=band)


def merged_prediction(
    laws: Sequence[Law], problem: Problem | None, *, band: tuple[float, float] | None = None
) -> Prediction:
    """`predict` for an ensemble whose laws are known already: what its merged samples have."""
    parts = [prediction(law, problem, band=band) for law in laws]
    weights = np.full(len(parts), 1.0 / len(parts))
    found = merge(problem, parts, weights, against_target=band is None)
    return Prediction(**found, law=laws[0], band=band, laws=tuple(laws))


def prediction(law: Law, problem: Problem | None, *, band: tuple[float, float] | None = None) -> Prediction:
    """`predict` for a device whose law is known already."""
    if band is not None and isinstance(law, SparseStationary):
        raise UsageError(f"a band needs all modes: more than {LARGE} states are too many")
    covariance = law.voltage_covariance if band is None else cast(Stationary, law).band_covariance(*band)
    found = compare(law, problem, law.voltage_mean, covariance, against_target=band is None)
    return Prediction(**found, law=law, band=band, laws=(law,))


def relative_error(found: Matrix, target: Matrix) -> float | None:
    """``|found - target| / |target|`` in the Frobenius norm; None where the target is zero."""
    size = frobenius(target)
    return frobenius(difference(found, target)) / size if size > 0 else None


def difference(found: Matrix, target: Matrix) -> Matrix:
    """``found - target``; of a sparse target, where it knows anything."""
    if isinstance(target, sp.csr_array) and not isinstance(found, sp.csr_array):
        found = with_data(target, np.asarray(found)[row_numbers(target), target.indices])
    return found - target


def frobenius(matrix: Matrix) -> float:
    """Frobenius norm of a dense or sparse matrix, or of a vector."""
    return float(np.linalg.norm(matrix.data if isinstance(matrix, sp.csr_array) else matrix))
