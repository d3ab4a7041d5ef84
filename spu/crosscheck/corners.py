"""Three corners, pairwise: how far ideal model, emulator and ngspice lie apart, and what of that was predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.crosscheck import operating_point, transfer
from spu.crosscheck.context import Context
from spu.crosscheck.ideal import CONSISTENCY
from spu.crosscheck.result import Level

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Corner:
    """One pair of corners, one quantity; all sizes are Frobenius norms, relative to the first corner's.

    Attributes
    ----------
    between:
        Two of ``ideal``, ``emulator``, ``ngspice`` and ``ngspice transient``.
    quantity:
        ``covariance`` or ``mean``. A mean is measured against the noise (the root of the covariance's trace) where
        it is zero.
    found:
        How far the two are apart.
    predicted:
        What of it is known in advance or follows from what was measured on the same noise: ``compilation`` (codes,
        ranges, the resistors' own noise), ``sampled noise``, ``finite steps`` of ngspice. Parts are matrices: their
        sizes need not add up.
    scatter:
        Expected size of what few samples leave; 0 where nothing is sampled.
    unexplained:
        Size of the difference less all predicted parts.
    limit:
        What is allowed of that; for sampled corners the verdict of the statistical tests decides, and this is None.
    within:
        Whether it is.
    """

    between: tuple[str, str]
    quantity: str
    found: float
    predicted: dict[str, float]
    scatter: float
    unexplained: float
    limit: float | None
    within: bool


@dataclass(eq=False)
class _Part:
    """A quantity of one corner less that of the one before, as a chain: what is predicted of it, and what not."""

    difference: FloatArray
    predicted: dict[str, FloatArray] = field(default_factory=dict)
    scatter: float = 0.0
    limit: float | None = 0.0
    within: bool | None = None


def corners(context: Context, levels: dict[str, Level]) -> tuple[Corner, ...]:
    """Every pair of corners that the levels run allow, in problem units; what is solved for first."""
    readout = context.law.sde.readout
    T = readout.matrix

    def matrix(volts: FloatArray) -> FloatArray:
        return np.asarray(T @ volts @ T.T)

    def vector(volts: FloatArray) -> FloatArray:
        return np.asarray(T @ volts)

    problem, law = context.problem, context.law
    covariance, mean = matrix(law.voltage_covariance), vector(law.voltage_mean) + readout.offset
    of_covariance: dict[tuple[str, str], _Part] = {}
    of_mean: dict[tuple[str, str], _Part] = {}
    noise = float(np.sqrt(np.trace(covariance)))
    ideal_covariance, ideal_mean = covariance, mean
    if problem is not None:
        ideal_covariance, ideal_mean = np.asarray(problem.target_covariance), problem.target_mean
        stored = None if context.compiled is None else context.compiled["statistics"]
        for quantity, target, found, into in (
            ("covariance", ideal_covariance, covariance, of_covariance),
            ("mean", ideal_mean, mean, of_mean),
        ):
            part = _Part(found - target)
            size = float(np.linalg.norm(target)) or noise
            if stored is not None and np.shape(stored[quantity]) == np.shape(target):
                part.predicted["compilation"] = np.asarray(_dense(stored[quantity])) - target
                part.limit = CONSISTENCY * max(1.0, noise / size if quantity == "mean" else 1.0)
            elif quantity == problem.answer:
                part.limit = levels["ideal"].tolerance if "ideal" in levels else None
            else:  # not what it was compiled for: nothing is promised
                part.predicted["compilation"] = part.difference
            into["ideal", "emulator"] = part
    if "ac" in context.covariances:
        allowed = levels["ac"].data["covariance_tolerance"]
        of_covariance["emulator", "ngspice"] = _Part(matrix(context.covariances["ac"]) - covariance, limit=allowed)
    if "op" in context.means:
        difference = vector(context.means["op"] - law.voltage_mean)
        scale = float(np.abs(vector(law.voltage_mean)).max()) or noise
        allowed = operating_point.TOLERANCE * scale * np.sqrt(len(mean)) / (float(np.linalg.norm(mean)) or noise)
        of_mean["emulator", "ngspice"] = _Part(difference, limit=float(allowed))
    transient = context.transient
    if transient is not None:
        failed = levels["noise"].data["failed"]
        # Independent entries of the voltages' moments scatter; through the readout, by as much at most.
        weight = abs(T)
        scatter = float(np.sqrt((weight.power(2) @ transient.covariance_variance @ weight.power(2).T).sum()))
        of_covariance["emulator", "ngspice transient"] = _Part(
            matrix(transient.covariance - transient.white),
            {
                "sampled noise": matrix(transient.predicted - transient.white),
                "finite steps": matrix(transient.covariance - transient.response_covariance),
            },
            scatter,
            None,
            not failed,
        )
        of_mean["emulator", "ngspice transient"] = _Part(
            vector(transient.mean - law.voltage_mean),
            {"finite steps": vector(transient.mean - transient.response_mean)},
            float(np.sqrt((weight.power(2) @ transient.mean_variance).sum())),
            None,
            not failed,
        )
    rows = [("covariance", of_covariance, ideal_covariance, covariance), ("mean", of_mean, ideal_mean, mean)]
    if problem is not None and problem.answer == "mean":
        rows.reverse()
    found: list[Corner] = []
    for quantity, parts, target, emulated in rows:
        for far in ("ngspice", "ngspice transient"):
            near, beyond = parts.get(("ideal", "emulator")), parts.get(("emulator", far))
            if near is not None and beyond is not None:
                parts["ideal", far] = _Part(
                    near.difference + beyond.difference,
                    # Against the ideal, all that compilation leaves is predicted by the emulator.
                    {"compilation": near.difference, **beyond.predicted},
                    beyond.scatter,
                    beyond.limit,
                    beyond.within,
                )
        for between in _ORDER:
            if between in parts:
                base = target if between[0] == "ideal" else emulated
                found.append(_corner(between, quantity, parts[between], float(np.linalg.norm(base)) or noise))
    return tuple(found)


_ORDER = (
    ("ideal", "emulator"),
    ("emulator", "ngspice"),
    ("ideal", "ngspice"),
    ("emulator", "ngspice transient"),
    ("ideal", "ngspice transient"),
)


def _corner(between: tuple[str, str], quantity: str, part: _Part, size: float) -> Corner:
    def share(values: FloatArray) -> float:
        return float(np.linalg.norm(values)) / size if size > 0 else float(np.linalg.norm(values))

    left = part.difference - sum(part.predicted.values(), np.zeros_like(part.difference))
    unexplained = share(left)
    within = part.within if part.within is not None else part.limit is None or unexplained <= part.limit
    return Corner(
        between,
        quantity,
        share(part.difference),
        {name: share(values) for name, values in part.predicted.items()},
        part.scatter / size if size > 0 else 0.0,
        unexplained,
        part.limit,
        bool(within),
    )


def _dense(values: object) -> FloatArray:
    return np.asarray(values.toarray() if sp.issparse(values) else values, dtype=np.float64)  # type: ignore[attr-defined]
