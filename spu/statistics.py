"""`predict`: what a device does, exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spu.circuit import lower
from spu.device import Device
from spu.emulator.stationary import Stationary, stationary
from spu.sde import stochastic_ode

if TYPE_CHECKING:
    from spu.problem import Problem

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and covariance of a device in problem units and in volts, and how far from the target.

    Attributes
    ----------
    variables, cells:
        Names: problem-unit arrays are ordered as ``variables``, voltages as ``cells``.
    mean, covariance:
        (p,), (p, p), problem units.
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
    covariance: FloatArray
    voltage_mean: FloatArray
    voltage_covariance: FloatArray
    target_mean: FloatArray | None
    target_covariance: FloatArray | None
    covariance_relative_error: float | None
    mean_relative_error: float | None
    relative_error: float | None


@dataclass(frozen=True, eq=False)
class Prediction(Statistics):
    """Exact statistics.

    Attributes
    ----------
    law:
        The stationary law, for spectra and autocovariances.
    band:
        (F1, F2) in Hz if band-limited, else None.
    """

    law: Stationary = field(repr=False)
    band: tuple[float, float] | None = None

    @property
    def time_constants(self) -> FloatArray:
        """(states,) ``-1/Re(lambda)``, s, longest first; found when first asked for."""
        return self.law.time_constants


def device_law(device: Device) -> Stationary:
    """Lower a device, derive its equation and solve for the stationary law."""
    return stationary(stochastic_ode(lower(device)))


def compare(
    law: Stationary,
    problem: Problem | None,
    voltage_mean: FloatArray,
    voltage_covariance: FloatArray,
    *,
    against_target: bool = True,
) -> dict[str, Any]:
    """Fill in the fields of `Statistics` for the mean (n,) V and covariance (n, n) V^2 of the voltages."""
    readout = law.sde.readout
    mean = readout.matrix @ voltage_mean + readout.offset
    covariance = readout.matrix @ voltage_covariance @ readout.matrix.T
    target_mean = None if problem is None else problem.target_mean
    target_covariance = None if problem is None else problem.target_covariance
    covariance_error = mean_error = answer = None
    if problem is not None and against_target:
        covariance_error = relative_error(covariance, problem.target_covariance)
        mean_error = relative_error(mean, problem.target_mean)
        answer = mean_error if problem.answer == "mean" else covariance_error
    return {
        "variables": readout.variables,
        "cells": law.sde.probes,
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
    return prediction(device_law(device), problem or device.problem, band=band)


def prediction(law: Stationary, problem: Problem | None, *, band: tuple[float, float] | None = None) -> Prediction:
    """`predict` for a device whose law is known already."""
    covariance = law.voltage_covariance if band is None else law.band_covariance(*band)
    found = compare(law, problem, law.voltage_mean, covariance, against_target=band is None)
    return Prediction(**found, law=law, band=band)


def relative_error(found: FloatArray, target: FloatArray) -> float | None:
    """``|found - target| / |target|`` in the Frobenius norm; None where the target is zero."""
    size = float(np.linalg.norm(target))
    return float(np.linalg.norm(found - target)) / size if size > 0 else None
