"""Three corners, pairwise: how far ideal model, emulator and ngspice lie apart, and what of that was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.crosscheck.context import Context
from spu.crosscheck.levels import operating_point
from spu.crosscheck.levels.ideal import CONSISTENCY
from spu.crosscheck.result import Corner, Level

if TYPE_CHECKING:
    from spu.problems.problem import QuadraticProblem


@dataclass(eq=False)
class _Part:
    """A quantity of one corner less that of another, and what is predicted of it."""

    difference: FloatArray
    predicted: dict[str, FloatArray] = field(default_factory=dict)
    scatter: float = 0.0
    limit: float | None = 0.0
    within: bool | None = None


def corners(context: Context, levels: dict[str, Level], problem: QuadraticProblem | None) -> tuple[Corner, ...]:
    """Every pair of corners that the levels run allow, in problem units; what is solved for first.

    Parameters
    ----------
    context, levels:
        Of a check that has run.
    problem:
        Of the ideal model; None leaves it out (a programming of an ensemble has none of its own).
    """
    readout, law, transient = context.law.sde.readout, context.law, context.transient
    exact, sampled = context.simulator.name, f"{context.simulator.name} transient"
    T = readout.matrix

    def matrix(volts: FloatArray) -> FloatArray:
        return np.asarray(T @ volts @ T.T)

    def vector(volts: FloatArray) -> FloatArray:
        return np.asarray(T @ volts)

    emulated = {"covariance": matrix(law.voltage_covariance), "mean": vector(law.voltage_mean) + readout.offset}
    parts = _from_ideal(problem, context.compiled, emulated, levels.get("ideal"))
    noise = float(np.sqrt(np.trace(emulated["covariance"])))
    if "ac" in context.covariances:
        difference = matrix(context.covariances["ac"]) - emulated["covariance"]
        parts["covariance", exact] = _Part(difference, limit=levels["ac"].data["covariance_tolerance"])
    if "op" in context.means:
        largest = max(float(np.abs(vector(law.voltage_mean)).max()), noise)
        size = float(np.linalg.norm(emulated["mean"])) or noise
        limit = operating_point.TOLERANCE * largest * np.sqrt(T.shape[0]) / (size or 1.0)
        parts["mean", exact] = _Part(vector(context.means["op"] - law.voltage_mean), limit=float(limit))
    if transient is not None:
        passed = not levels["noise"].data["failed"]
        weight = abs(T).power(2)  # as if entries scattered independently
        parts["covariance", sampled] = _Part(
            matrix(transient.covariance - transient.white),
            {
                "sampled noise": matrix(transient.predicted - transient.white),
                "finite steps": matrix(transient.covariance - transient.response_covariance),
            },
            float(np.sqrt((weight @ transient.covariance_variance @ weight.T).sum())),
            within=passed,
        )
        parts["mean", sampled] = _Part(
            vector(transient.mean - law.voltage_mean),
            {"finite steps": vector(transient.mean - transient.response_mean)},
            float(np.sqrt((weight @ transient.mean_variance).sum())),
            within=passed,
        )
    return _rows(parts, problem, emulated)


def ensemble_corners(
    each: Sequence[tuple[Corner, ...]],
    problem: QuadraticProblem | None,
    compiled: dict[str, Any] | None,
    emulated: dict[str, FloatArray],
    ideal: Level | None,
) -> tuple[Corner, ...]:
    """Corners of an ensemble: the ideal against merged samples, and of other pairs the worst programming.

    ``emulated`` holds ``covariance`` and ``mean`` of merged samples, in problem units.
    """
    worst: dict[tuple[str, tuple[str, str]], Corner] = {}
    for row in (row for rows in each for row in rows):
        other = worst.setdefault((row.quantity, row.between), row)
        if (not row.within, row.unexplained) > (not other.within, other.unexplained):
            worst[row.quantity, row.between] = row
    return (*_rows(_from_ideal(problem, compiled, emulated, ideal), problem, emulated), *worst.values())


def _from_ideal(
    problem: QuadraticProblem | None,
    compiled: dict[str, Any] | None,
    emulated: dict[str, FloatArray],
    ideal: Level | None,
) -> dict[tuple[str, str], _Part]:
    """The emulator less the ideal; what was predicted when the device was compiled lies in its folder."""
    if problem is None:
        return {}
    parts: dict[tuple[str, str], _Part] = {}
    noise = float(np.sqrt(np.trace(emulated["covariance"])))
    for quantity, target in (("covariance", problem.target_covariance), ("mean", problem.target_mean)):
        target = _dense(target)
        part = parts[quantity, "emulator"] = _Part(emulated[quantity] - target)
        stored = None if compiled is None else _dense(compiled["statistics"][quantity])
        if stored is not None and stored.shape == target.shape:
            part.predicted["compilation"] = stored - target
            size = float(np.linalg.norm(target)) or noise
            part.limit = CONSISTENCY * (max(1.0, noise / size) if quantity == "mean" else 1.0)
        elif quantity == problem.answer:
            part.limit = None if ideal is None else ideal.tolerance
        else:  # not what it was compiled for: nothing is promised of it
            part.predicted["compilation"] = part.difference
    return parts


def _rows(
    parts: dict[tuple[str, str], _Part], problem: QuadraticProblem | None, emulated: dict[str, FloatArray]
) -> tuple[Corner, ...]:
    noise = float(np.sqrt(np.trace(emulated["covariance"])))
    first = "covariance" if problem is None else problem.kind.answer.moment
    quantities = sorted(("covariance", "mean"), key=lambda quantity: quantity != first)
    found: list[Corner] = []
    for quantity in quantities:
        size = float(np.linalg.norm(emulated[quantity])) or noise
        near, ideal_size = parts.get((quantity, "emulator")), 0.0
        if near is not None:
            ideal_size = float(np.linalg.norm(emulated[quantity] - near.difference)) or noise
            found.append(_corner(("ideal", "emulator"), quantity, near, ideal_size))
        for (of, far), beyond in parts.items():
            if of != quantity or far == "emulator":
                continue
            found.append(_corner(("emulator", far), quantity, beyond, size))
            if near is not None:
                # Against the ideal, all that compilation leaves is predicted by the emulator.
                chain = _Part(
                    near.difference + beyond.difference,
                    {"compilation": near.difference, **beyond.predicted},
                    beyond.scatter,
                    beyond.limit,
                    beyond.within,
                )
                found.append(_corner(("ideal", far), quantity, chain, ideal_size))
    return tuple(found)


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
