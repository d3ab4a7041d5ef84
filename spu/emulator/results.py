"""Means and covariances in problem units, beside their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray, Matrix
from spu.base.display import Result
from spu.base.sparse import known_congruence
from spu.circuit.readout import Readout
from spu.emulator.labelled import SQUARES, UNITS, Labels
from spu.emulator.laws.law import Law
from spu.problems.answers import COVARIANCE, MEAN, Answer

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
    covariance_relative_error, mean_relative_error:
        Against the target, Frobenius; None without a target, or where it is zero.
    relative_error:
        Of the problem's answer, which may be either of the two or follow from them.
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
    covariance_relative_error: float | None
    mean_relative_error: float | None
    relative_error: float | None
    answer: Answer | None
    common_mode: CommonMode | None

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files: arrays stay arrays."""
        keys = (
            *("variables", "cells", "mean", "covariance", "target_mean", "target_covariance"),
            *("voltage_mean", "voltage_covariance"),
            *("relative_error", "covariance_relative_error", "mean_relative_error"),
        )
        common = self.common_mode
        return {**{key: getattr(self, key) for key in keys}, "common_mode": common and common.to_dict()}

    def labels(self, **attributes: Any) -> Labels:
        """Means and covariances with the names of their dimensions."""
        errors = ("relative_error", "covariance_relative_error", "mean_relative_error")
        found = Labels(**{key: getattr(self, key) for key in errors}, **attributes)
        found.names("variable", self.variables)
        found.names("cell", self.cells)
        for prefix in ("", "target_"):
            found.array(f"{prefix}mean", ("variable",), getattr(self, f"{prefix}mean"), UNITS)
            found.array(f"{prefix}covariance", ("variable", "variable_"), getattr(self, f"{prefix}covariance"), SQUARES)
        found.array("voltage_mean", ("cell",), self.voltage_mean, "V")
        found.array("voltage_covariance", ("cell", "cell_"), self.voltage_covariance, "V^2")
        return found


def compare(
    law: Law,
    problem: LinearProblem | None,
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
    problem: LinearProblem | None, parts: Sequence[Statistics], weights: FloatArray, *, against_target: bool = True
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
    problem: LinearProblem | None,
    mean: FloatArray,
    covariance: Matrix,
    voltage_mean: FloatArray,
    voltage_covariance: Matrix,
    *,
    against_target: bool,
) -> dict[str, Any]:
    """Moments, with their distance from a problem's, as fields of `Statistics`."""
    answer: Answer | None = None
    errors: dict[Answer, float | None] = {}
    if problem is not None and against_target:
        answer = problem.kind.answer
        for each in {COVARIANCE, MEAN, answer}:
            errors[each] = each.distance(each.of(mean, covariance), each.target(problem))
    return {
        "mean": mean,
        "covariance": covariance,
        "voltage_mean": voltage_mean,
        "voltage_covariance": voltage_covariance,
        "target_mean": None if problem is None else problem.target_mean,
        "target_covariance": None if problem is None else problem.target_covariance,
        "covariance_relative_error": errors.get(COVARIANCE),
        "mean_relative_error": errors.get(MEAN),
        "relative_error": None if answer is None else errors[answer],
        "answer": answer,
    }
