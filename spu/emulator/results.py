"""Means and covariances in problem units, beside their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray, Matrix
from spu.base.display import Result
from spu.base.errors import UsageError
from spu.base.sparse import known_congruence
from spu.circuit.readout import Readout
from spu.emulator.labelled import SQUARES, UNITS, Labels
from spu.emulator.laws.large import LARGE, SparseLaw
from spu.emulator.laws.law import Law
from spu.emulator.laws.spectra import autocovariance
from spu.problems.answers import COVARIANCE, LAGGED, MEAN, Answer

if TYPE_CHECKING:
    from spu.problems.problem import LinearProblem


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
    cells: Annotated[IntArray, "k 2"]
    variance: Annotated[FloatArray, "k"]
    differential_variance: Annotated[FloatArray, "k"]
    mean: Annotated[FloatArray, "k"]
    differential_mean: Annotated[FloatArray, "k"]

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


@dataclass(frozen=True, eq=False, repr=False)
class Statistics(Result):
    """Mean and covariance of a device in problem units and in volts, and how far from the target.

    Attributes
    ----------
    variables, cells:
        Names: problem-unit arrays are ordered as ``variables``, voltages as ``cells``.
    mean, covariance:
        (p,), (p, p), problem units. Covariances of a large network (`spu.emulator.laws.large`) are sparse: they
        hold the variances and the covariances of coupled cells, no others.
    voltage_mean, voltage_covariance:
        (n,) V, (n, n) V^2.
    target_mean, target_covariance:
        Of the problem; None where there is none.
    lag:
        s between the two readings of a lagged covariance; None where the problem's answer is none.
    lagged, target_lagged:
        (p, p), problem units: ``E[x(t + lag) x(t)^T]`` about the mean, and the problem's; None likewise.
    covariance_relative_error, mean_relative_error, lagged_relative_error:
        Against the target, Frobenius; None without a target, or where it is zero.
    relative_error:
        Of the problem's answer, which may be any of these or follow from them.
    answer:
        What that is; None where nothing is compared.
    common_mode:
        Of cells read in pairs, as differences; None where none are, and of ensembles.
    """

    variables: tuple[str, ...]
    cells: tuple[str, ...]
    mean: Annotated[FloatArray, "p"]
    covariance: Annotated[Matrix, "p p"]
    voltage_mean: Annotated[FloatArray, "n"]
    voltage_covariance: Annotated[Matrix, "n n"]
    target_mean: Annotated[FloatArray, "p"] | None
    target_covariance: Annotated[Matrix, "p p"] | None
    lag: float | None
    lagged: Annotated[FloatArray, "p p"] | None
    target_lagged: Annotated[FloatArray, "p p"] | None
    covariance_relative_error: float | None
    mean_relative_error: float | None
    lagged_relative_error: float | None
    relative_error: float | None
    answer: Answer | None
    common_mode: CommonMode | None

    def moments_for(self, answer: Answer) -> tuple[FloatArray, Matrix]:
        """The mean and the second moment that an answer is read from.

        Raises
        ------
        UsageError
            If it is read from a lagged covariance, and there is none.
        """
        if not answer.lagged:
            return self.mean, self.covariance
        if self.lagged is None:
            raise UsageError("there is no lagged covariance here: no problem says how far apart readings are")
        return self.mean, self.lagged

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files: arrays stay arrays."""
        keys = (
            *("variables", "cells", "mean", "covariance", "target_mean", "target_covariance"),
            *("voltage_mean", "voltage_covariance", "lag", "lagged", "target_lagged"),
            *("relative_error", "covariance_relative_error", "mean_relative_error", "lagged_relative_error"),
        )
        common = self.common_mode
        return {**{key: getattr(self, key) for key in keys}, "common_mode": common and common.to_dict()}

    def labels(self, **attributes: Any) -> Labels:
        """Means and covariances with the names of their dimensions."""
        errors = ("relative_error", "covariance_relative_error", "mean_relative_error", "lagged_relative_error", "lag")
        found = Labels(**{key: getattr(self, key) for key in errors}, **attributes)
        found.names("variable", self.variables)
        found.names("cell", self.cells)
        for prefix in ("", "target_"):
            found.array(f"{prefix}mean", ("variable",), getattr(self, f"{prefix}mean"), UNITS)
            found.array(f"{prefix}covariance", ("variable", "variable_"), getattr(self, f"{prefix}covariance"), SQUARES)
            found.array(f"{prefix}lagged", ("variable", "variable_"), getattr(self, f"{prefix}lagged"), SQUARES)
        found.array("voltage_mean", ("cell",), self.voltage_mean, "V")
        found.array("voltage_covariance", ("cell", "cell_"), self.voltage_covariance, "V^2")
        return found


def lag_of(law: Law, problem: LinearProblem | None) -> float | None:
    """Seconds between the two readings of a problem's lagged covariance on a circuit; None where its answer is none.

    Raises
    ------
    UsageError
        If nothing says how long a unit of the problem's time takes there.
    """
    if problem is None or problem.lag is None:
        return None
    if law.sde.unit_time is None:
        raise UsageError(
            "the answer is a lagged covariance, and nothing says how long a unit of the problem's time takes on this "
            "circuit: a device has it in device.scales"
        )
    return float(problem.lag * law.sde.unit_time)


def lagged_covariance(law: Law, lag: float) -> FloatArray:
    """(p, p) ``E[x(t + lag) x(t)^T]`` about the mean, of the variables: exact.

    Raises
    ------
    UsageError
        If the network is too large for all its modes.
    """
    if isinstance(law, SparseLaw):
        raise UsageError(f"a lagged covariance needs all modes: more than {LARGE} states are too many")
    return np.asarray(autocovariance(law, [lag], law.sde.readout.matrix.toarray())[0])


def compare(
    law: Law,
    problem: LinearProblem | None,
    voltage_mean: FloatArray,
    voltage_covariance: Matrix,
    *,
    moments: tuple[FloatArray, Matrix] | None = None,
    lagged: FloatArray | None = None,
    against_target: bool = True,
) -> dict[str, Any]:
    """Fill in the fields of `Statistics` for the mean (n,) V and covariance (n, n) V^2 of the voltages.

    ``moments`` are those of the variables, (q,) and (q, q), where they are known better than from the voltages';
    ``lagged`` is their lagged covariance (q, q), where the problem asks for one.
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
    return given | against(
        problem,
        mean,
        covariance,
        voltage_mean,
        voltage_covariance,
        lag=lag_of(law, problem),
        lagged=lagged,
        against_target=against_target,
    )


def merge(
    problem: LinearProblem | None, parts: Sequence[Statistics], weights: FloatArray, *, against_target: bool = True
) -> dict[str, Any]:
    """Fill in the fields of `Statistics` for samples of several programmings thrown together.

    The covariance is the average of theirs and the spread of their means, at any lag; ``weights`` (K,) are shares.
    """

    def both(mean: str, covariance: str) -> tuple[FloatArray, FloatArray]:
        means = np.array([getattr(part, mean) for part in parts])
        centre = weights @ means
        average = np.tensordot(weights, np.array([getattr(part, covariance) for part in parts]), axes=1)
        deviations = means - centre
        return centre, average + (weights[:, None] * deviations).T @ deviations

    lagged = None if parts[0].lagged is None else both("mean", "lagged")[1]

    # Programmings may read a variable from other cells each: the modes of a pair are no property of the whole.
    given = {"variables": parts[0].variables, "cells": parts[0].cells, "common_mode": None}
    moments = (*both("mean", "covariance"), *both("voltage_mean", "voltage_covariance"))
    return given | against(problem, *moments, lag=parts[0].lag, lagged=lagged, against_target=against_target)


def against(
    problem: LinearProblem | None,
    mean: FloatArray,
    covariance: Matrix,
    voltage_mean: FloatArray,
    voltage_covariance: Matrix,
    *,
    lag: float | None,
    lagged: FloatArray | None,
    against_target: bool,
) -> dict[str, Any]:
    """Moments, with their distance from a problem's, as fields of `Statistics`."""
    answer: Answer | None = None
    errors: dict[Answer, float | None] = {}
    if problem is not None and against_target:
        answer = problem.kind.answer
        for each in {COVARIANCE, MEAN, answer} | ({LAGGED} if lagged is not None else set()):
            second = lagged if each.lagged else covariance
            assert second is not None
            errors[each] = each.distance(each.of(mean, second), each.target(problem))
    return {
        "mean": mean,
        "covariance": covariance,
        "voltage_mean": voltage_mean,
        "voltage_covariance": voltage_covariance,
        "target_mean": None if problem is None else problem.target_mean,
        "target_covariance": None if problem is None else problem.target_covariance,
        "lag": None if lagged is None else lag,
        "lagged": lagged,
        "target_lagged": None if problem is None or lagged is None else problem.target_lagged,
        "covariance_relative_error": errors.get(COVARIANCE),
        "mean_relative_error": errors.get(MEAN),
        "lagged_relative_error": errors.get(LAGGED),
        "relative_error": None if answer is None else errors[answer],
        "answer": answer,
    }
