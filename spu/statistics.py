"""`predict`: what a device does, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.circuit import Circuit, lower
from spu.device import Device, Readout
from spu.emulator.large import LARGE, SparseStationary
from spu.emulator.law import Law, solve
from spu.emulator.stationary import Stationary
from spu.errors import UsageError
from spu.sde import stochastic_ode
from spu.sparse import known_congruence, row_numbers, with_data

if TYPE_CHECKING:
    from spu.problem import Problem

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Matrix = FloatArray | sp.csr_array


@dataclass(frozen=True, eq=False)
class CommonMode:
    """The two modes of cells that are read in pairs, as differences: of each cell, in volts.

    The cells of a pair have the voltages ``common + differential`` and ``common - differential``; the
    readout sees the differential ones only.

    Attributes
    ----------
    variables:
        k names: the variables that are the difference of two cells.
    cells:
        (k, 2) indices of these.
    variance, differential_variance:
        (k,) V^2, of the common and of the differential voltage.
    mean, differential_mean:
        (k,) V, of the same.
    """

    variables: tuple[str, ...]
    cells: IntArray
    variance: FloatArray
    differential_variance: FloatArray
    mean: FloatArray
    differential_mean: FloatArray

    @property
    def loudest(self) -> float:
        """Largest standard deviation of a common voltage, V."""
        return float(np.sqrt(self.variance.max()))

    @property
    def ratio(self) -> float:
        """Largest ratio of a common to the differential standard deviation of the same pair."""
        there = self.differential_variance > 0
        return float(np.sqrt((self.variance[there] / self.differential_variance[there]).max(initial=0.0)))

    def to_dict(self) -> dict[str, Any]:
        """The figures with SI units, as ``--json`` gives them."""
        return {
            "variables": self.variables,
            "variance": self.variance,
            "differential_variance": self.differential_variance,
            "mean": self.mean,
            "differential_mean": self.differential_mean,
            "largest_rms": self.loudest,
            "largest_ratio": self.ratio,
        }


def common_mode(readout: Readout, voltage_mean: FloatArray, voltage_covariance: Matrix) -> CommonMode | None:
    """What pairs of cells do that are read as differences; None where no variable is read so.

    Parameters
    ----------
    readout:
        A variable is a difference where its row of the matrix (p, n) has two entries, ``g`` and ``-g``.
    voltage_mean, voltage_covariance:
        (n,) V, (n, n) V^2; sparse ones have to hold the covariances of the cells of a pair.
    """
    T = readout.matrix
    rows = np.flatnonzero(np.diff(T.indptr) == 2)
    first = T.indptr[rows]
    balanced = T.data[first] == -T.data[first + 1]
    rows, first = rows[balanced], first[balanced]
    if not len(rows):
        return None
    p, n = T.indices[first].astype(np.int64), T.indices[first + 1].astype(np.int64)
    variance = voltage_covariance.diagonal()
    joint = np.asarray(voltage_covariance[p, n]).ravel()
    total = variance[p] + variance[n]
    return CommonMode(
        tuple(readout.variables[k] for k in rows),
        np.column_stack([p, n]),
        ((total + 2 * joint) / 4).clip(0),
        ((total - 2 * joint) / 4).clip(0),
        (voltage_mean[p] + voltage_mean[n]) / 2,
        (voltage_mean[p] - voltage_mean[n]) / 2,
    )


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
    common_mode:
        Of cells read in pairs, as differences; None where none are, and of ensembles.
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
    common_mode: CommonMode | None


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

    def _repr_html_(self) -> str:
        """Show itself in a notebook."""
        from spu.reports.notebook import prediction_html

        return prediction_html(self)


def slowest(laws: Sequence[Law]) -> Law:
    """The law with the longest time constant that is seen."""
    return laws[0] if len(laws) == 1 else max(laws, key=lambda law: law.slowest)


_last: dict[str, Law] = {}
"""The law of the device that was last asked for: who compiles also predicts, and then simulates."""


def forget_laws() -> None:
    """Forget what `device_law` remembers: for whoever measures how long a law takes."""
    _last.clear()


def device_law(subject: Device | Circuit) -> Law:
    """Derive the equation of a device, or of a circuit, and find the stationary law."""
    name = subject.content or subject.hash
    if name not in _last:
        law = solve(stochastic_ode(lower(subject) if isinstance(subject, Device) else subject))
        _last.clear()
        _last[name] = law
    return _last[name]


def compare(
    law: Law,
    problem: Problem | None,
    voltage_mean: FloatArray,
    voltage_covariance: Matrix,
    *,
    moments: tuple[FloatArray, Matrix] | None = None,
    against_target: bool = True,
) -> dict[str, Any]:
    """Fill in the fields of `Statistics` for the mean (n,) V and covariance (n, n) V^2 of the voltages.

    ``moments`` are those of the variables, (q,) and (q, q), where they are known better than from the voltages'.
    """
    readout = law.sde.readout
    if moments is None:
        T = readout.matrix
        sparse = isinstance(voltage_covariance, sp.csr_array)
        lifted: Matrix = (
            known_congruence(T, cast(sp.csr_array, voltage_covariance)) if sparse else T @ voltage_covariance @ T.T
        )
        moments = T @ voltage_mean + readout.offset, lifted
    mean, covariance = moments
    given = {
        "variables": readout.variables,
        "cells": law.sde.probes,
        "common_mode": common_mode(readout, voltage_mean, voltage_covariance),
    }
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

    # Programmings may read a variable from other cells each: the modes of a pair are no property of the whole.
    given = {"variables": parts[0].variables, "cells": parts[0].cells, "common_mode": None}
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


def predict(
    device: Device | Circuit, *, band: tuple[float, float] | None = None, problem: Problem | None = None
) -> Prediction:
    """Exact stationary statistics of a device, or of a circuit read from a netlist: no sampling, no time step.

    Those of an ensemble are of the samples of all its programmings, in equal shares.

    Parameters
    ----------
    device:
        Compiled, built by hand, or a `spu.circuit.Circuit`.
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
    if band is None:
        found = compare(law, problem, law.voltage_mean, law.voltage_covariance, moments=law.readout_moments)
    else:
        covariance = cast(Stationary, law).band_covariance(*band)
        found = compare(law, problem, law.voltage_mean, covariance, against_target=False)
    return Prediction(**found, law=law, band=band, laws=(law,))


def kullback_leibler(
    mean: FloatArray, covariance: FloatArray, target_mean: FloatArray, target_covariance: FloatArray
) -> float:
    """Kullback-Leibler divergence of a Gaussian to a target, in nats: what is lost by taking it for the target.

    ``KL(N(m, S) || N(m0, S0)) = (tr(S0^-1 S - I) - log det(S0^-1 S) + (m0 - m)^T S0^-1 (m0 - m)) / 2``
    (Kullback, Information Theory and Statistics, 1959, ch. 9), from the generalised eigenvalues ``e`` of
    ``S - S0`` and S0, as ``sum(e - log(1 + e)) / 2``: exact to rounding of S even where it all but vanishes.

    Parameters
    ----------
    mean, covariance:
        (n,) and (n, n).
    target_mean, target_covariance:
        (n,) and (n, n), positive definite.

    Returns
    -------
    float
        0 or more; infinite where ``covariance`` is singular.
    """
    size = 1.0 / np.sqrt(np.diagonal(target_covariance))
    target = target_covariance * np.outer(size, size)
    gap = (np.asarray(covariance) - target_covariance) * np.outer(size, size)
    excess = la.eigh((gap + gap.T) / 2, target, eigvals_only=True)
    if excess[0] <= -1.0:
        return float("inf")
    shift = size * (mean - target_mean)
    return float((excess - np.log1p(excess)).sum() + shift @ la.solve(target, shift, assume_a="pos")) / 2


def relative_error(found: Matrix, target: Matrix) -> float | None:
    """``|found - target| / |target|`` in the Frobenius norm, on what both know; None where the target is zero."""
    found, target = on_one_pattern(found, target)
    size = frobenius(target)
    return frobenius(found - target) / size if size > 0 else None


def on_one_pattern(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """Two matrices as they are, or where one or both are sparse, on the entries that are known of both."""
    if isinstance(a, sp.csr_array) and isinstance(b, sp.csr_array):
        return _common(a, b), _common(b, a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a, b
    if isinstance(a, sp.csr_array):
        return a, with_data(a, np.asarray(b)[row_numbers(a), a.indices])
    assert isinstance(b, sp.csr_array)
    return with_data(b, np.asarray(a)[row_numbers(b), b.indices]), b


def _common(a: sp.csr_array, b: sp.csr_array) -> sp.csr_array:
    """Of a matrix the entries that another one stores, too; both sorted, of one shape."""
    columns = a.shape[1]
    rows = row_numbers(a)
    kept = np.isin(rows * columns + a.indices, row_numbers(b) * columns + b.indices, assume_unique=True)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=a.shape[0]))])
    return sp.csr_array((a.data[kept], a.indices[kept], indptr), shape=a.shape)


def frobenius(matrix: Matrix) -> float:
    """Frobenius norm of a dense or sparse matrix, or of a vector."""
    return float(np.linalg.norm(matrix.data if isinstance(matrix, sp.csr_array) else matrix))
