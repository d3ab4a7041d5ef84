"""Ideal model, emulator and ngspice, pairwise: how far they lie apart, and what of that was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.crosscheck.context import Context
from spu.crosscheck.decks.changes import SCATTERS
from spu.crosscheck.levels import operating_point
from spu.crosscheck.levels.ideal import CONSISTENCY
from spu.crosscheck.result import Comparison, Level
from spu.emulator.predict import Prediction, prediction
from spu.emulator.results import lag_of, lagged_covariance
from spu.problems.problem import Problem, linear_problem


@dataclass(eq=False)
class _Part:
    """A quantity of one less that of the other, and what is predicted of it."""

    difference: FloatArray
    predicted: dict[str, FloatArray] = field(default_factory=dict)
    scatter: float = 0.0
    limit: float | None = 0.0
    within: bool | None = None


def moments(context: Context) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Means and covariances in problem units that a check has found: ideal, emulator, simulator."""
    means: dict[str, FloatArray] = {}
    covariances: dict[str, FloatArray] = {}
    posed = _at_end(context, context.problem) if context.whole else None
    if posed is not None and (known := posed.exact_moments()) is not None:
        means["ideal"], covariances["ideal"] = known[0], _dense(known[1])
    if (known := _emulated(context)) is not None:
        means["emulator"], covariances["emulator"] = known
    readout = context.circuit.readout
    exact, sampled = _names(context)
    for name, key in ((exact, "op"), (sampled, "transient")):
        if key in context.means:
            means[name] = readout.matrix @ context.means[key] + readout.offset
    for name, key in ((exact, "ac"), (sampled, "transient")):
        if key in context.covariances:
            covariances[name] = readout.matrix @ context.covariances[key] @ readout.matrix.T
    return means, covariances


def _names(context: Context) -> tuple[str, str]:
    """What the simulator's moments are called: the exact ones (levels op and ac), and the sampled ones, which scatter.

    Where there are no exact ones, the sampled ones go by its name.
    """
    name = context.simulator.name
    return name, f"{name} transient" if context.dynamics.exact else name


def _emulated(context: Context) -> tuple[FloatArray, FloatArray] | None:
    """Mean and covariance by the emulator, in problem units: exact, or where no law is known of its own runs."""
    if not context.whole and sp.issparse(context.any_law.voltage_covariance):
        return None  # some covariances are known, others are not
    circuit = context.circuit
    if circuit.ramp is not None and circuit.nonlinear and circuit.ramp.end[1] == 0:
        return None  # silent at the end of its ramp, in the well that the run has led to
    known = context.dynamics.moments()
    if known is None and context.transient is not None:
        known = context.transient.predicted_mean, context.transient.predicted
    if known is None:
        return None
    readout = context.circuit.readout
    return readout.matrix @ known[0] + readout.offset, np.asarray(readout.matrix @ known[1] @ readout.matrix.T)


def _at_end(context: Context, problem: Problem | None) -> Problem | None:
    """The problem, if it is that of the circuit at the end of a ramp: its factors are one then."""
    ramp = context.circuit.ramp
    return problem if ramp is None or ramp.end == (1.0, 1.0) else None


def comparisons(context: Context, levels: dict[str, Level], problem: Problem | None) -> tuple[Comparison, ...]:
    """Every pair that the levels run allow, in problem units; what is solved for first.

    Parameters
    ----------
    context, levels:
        Of a check that has run.
    problem:
        Of the ideal model; None leaves it out (a programming of an ensemble has none of its own).
    """
    known, transient = _emulated(context), context.transient
    if known is None:
        return ()
    emulated = {"mean": known[0], "covariance": known[1]}
    exact, sampled = _names(context)
    T = context.circuit.readout.matrix

    def matrix(volts: FloatArray) -> FloatArray:
        return np.asarray(T @ volts @ T.T)

    def vector(volts: FloatArray) -> FloatArray:
        return np.asarray(T @ volts)

    problem = _at_end(context, problem)
    linear = linear_problem(problem)
    if linear is not None and linear.lag is not None:
        law = context.any_law
        emulated["lagged"] = lagged_covariance(law, cast(float, lag_of(law, linear)))
    parts, silent = _from_ideal(problem, context.compiled, emulated, levels.get("ideal")), False
    if context.circuit.acquisition is not None and context.dynamics.exact:
        _converted(parts, prediction(context.linear.law, linear), emulated)
    noise = float(np.sqrt(np.trace(emulated["covariance"])))
    if "ac" in context.covariances:
        difference = matrix(context.covariances["ac"]) - emulated["covariance"]
        part = parts["covariance", exact] = _Part(difference, limit=levels["ac"].data["covariance_tolerance"])
        if context.circuit.clocked is not None:  # transfer functions know nothing of a clock
            part.predicted["white noise"] = matrix(context.law.voltage_covariance) - emulated["covariance"]
    if "op" in context.means:
        rest = context.dynamics.rest
        largest = max(float(np.abs(vector(rest)).max()), noise)
        size = float(np.linalg.norm(emulated["mean"])) or noise
        limit = operating_point.TOLERANCE * largest * np.sqrt(T.shape[0]) / (size or 1.0)
        parts["mean", exact] = _Part(vector(context.means["op"] - rest), limit=float(limit))
    if transient is not None:
        passed = not levels["noise"].data["failed"]
        weight = abs(T).power(2)  # as if entries scattered independently
        readout = context.circuit.readout
        predicted_mean = vector(transient.predicted_mean) + readout.offset
        bias = {"covariance": matrix(transient.predicted) - emulated["covariance"]}
        if not context.dynamics.additive:  # else sampling the noise leaves the mean as it is
            bias["mean"] = predicted_mean - emulated["mean"]
        parts["covariance", sampled] = _Part(
            matrix(transient.covariance) - emulated["covariance"],
            {
                "sampled noise": bias["covariance"],
                "finite steps": matrix(transient.covariance - transient.response_covariance),
            },
            float(np.sqrt((weight @ transient.covariance_variance @ weight.T).sum())),
            within=passed,
        )
        parts["mean", sampled] = _Part(
            vector(transient.mean) + readout.offset - emulated["mean"],
            {
                **({"sampled noise": bias["mean"]} if "mean" in bias else {}),
                "finite steps": vector(transient.mean - transient.response_mean),
            },
            float(np.sqrt((weight @ transient.mean_variance).sum())),
            within=passed,
        )
        # A mean that is itself an average over runs, and no more than these scatter, is none to measure by.
        own = context.dynamics.moments() is None
        silent = own and float(np.linalg.norm(emulated["mean"])) <= SCATTERS * parts["mean", sampled].scatter
    return _rows(parts, problem, emulated, silent)


def ensemble_comparisons(
    each: Sequence[tuple[Comparison, ...]],
    problem: Problem | None,
    compiled: dict[str, Any] | None,
    emulated: dict[str, FloatArray],
    ideal: Level | None,
    read: Prediction | None = None,
) -> tuple[Comparison, ...]:
    """Pairs of an ensemble: the ideal against merged samples, and of other pairs the worst programming.

    ``emulated`` holds ``covariance`` and ``mean`` (``lagged``, too) of merged samples, in problem units;
    ``read`` is what the programmings' converters make of them.
    """
    worst: dict[tuple[str, tuple[str, str]], Comparison] = {}
    for row in (row for rows in each for row in rows):
        other = worst.setdefault((row.quantity, row.between), row)
        if (not row.within, row.unexplained) > (not other.within, other.unexplained):
            worst[row.quantity, row.between] = row
    parts = _from_ideal(problem, compiled, emulated, ideal)
    _converted(parts, read, emulated)
    return (*_rows(parts, problem, emulated), *worst.values())


def _from_ideal(
    problem: Problem | None,
    compiled: dict[str, Any] | None,
    emulated: dict[str, FloatArray],
    ideal: Level | None,
) -> dict[tuple[str, str], _Part]:
    """The emulator less the ideal; what was predicted when the device was compiled lies in its folder."""
    targets = None if problem is None else problem.exact_moments()
    if problem is None or targets is None:
        return {}
    parts: dict[tuple[str, str], _Part] = {}
    noise = float(np.sqrt(np.trace(emulated["covariance"])))
    wanted = {"covariance": _dense(targets[1]), "mean": targets[0]}
    linear = linear_problem(problem)
    if linear is not None and linear.target_lagged is not None:
        wanted["lagged"] = linear.target_lagged
    for quantity, target in wanted.items():
        if quantity not in emulated:
            continue
        part = parts[quantity, "emulator"] = _Part(emulated[quantity] - target)
        stored = (compiled or {}).get("statistics", {}).get(quantity)
        stored = None if stored is None else _dense(stored)
        if stored is not None and stored.shape == target.shape:
            part.predicted["compilation"] = stored - target
            size = float(np.linalg.norm(target)) or noise
            part.limit = CONSISTENCY * (max(1.0, noise / size) if quantity == "mean" else 1.0)
        elif quantity in problem.kind.answer.moments or (quantity == "lagged" and problem.kind.answer.lagged):
            part.limit = None if ideal is None else ideal.tolerance
        else:  # not what it was compiled for: nothing is promised of it
            part.predicted["compilation"] = part.difference
    return parts


def _converted(parts: dict[tuple[str, str], _Part], read: Prediction | None, emulated: dict[str, FloatArray]) -> None:
    """What converters change: stored statistics are of what is read, a check's of the voltages before them."""
    if read is None or read.acquisition is None:
        return
    for (quantity, far), part in parts.items():
        values = getattr(read, quantity)
        if far == "emulator" and values is not None and part.predicted.get("compilation") is not part.difference:
            part.predicted["converters"] = emulated[quantity] - _dense(values)


def _rows(
    parts: dict[tuple[str, str], _Part],
    problem: Problem | None,
    emulated: dict[str, FloatArray],
    silent: bool = False,
) -> tuple[Comparison, ...]:
    noise = float(np.sqrt(np.trace(emulated["covariance"])))
    first = "covariance" if problem is None else problem.kind.answer.moment
    quantities = sorted(("covariance", "mean"), key=lambda quantity: quantity != first)
    quantities = [*(each for each in emulated if each not in quantities), *quantities]
    found: list[Comparison] = []
    for quantity in quantities:
        size = float(np.linalg.norm(emulated[quantity])) or noise
        if silent and quantity == "mean":
            size = noise
        near, ideal_size = parts.get((quantity, "emulator")), 0.0
        if near is not None:
            ideal_size = float(np.linalg.norm(emulated[quantity] - near.difference)) or noise
            found.append(_comparison(("ideal", "emulator"), quantity, near, ideal_size))
        for (of, far), beyond in parts.items():
            if of != quantity or far == "emulator":
                continue
            found.append(_comparison(("emulator", far), quantity, beyond, size))
            if near is not None:
                # Against the ideal, all that compilation leaves is predicted by the emulator.
                chain = _Part(
                    near.difference + beyond.difference,
                    {"compilation": near.difference, **beyond.predicted},
                    beyond.scatter,
                    beyond.limit,
                    beyond.within,
                )
                found.append(_comparison(("ideal", far), quantity, chain, ideal_size))
    return tuple(found)


def _comparison(between: tuple[str, str], quantity: str, part: _Part, size: float) -> Comparison:
    def share(values: FloatArray) -> float:
        return float(np.linalg.norm(values)) / size if size > 0 else float(np.linalg.norm(values))

    left = part.difference - sum(part.predicted.values(), np.zeros_like(part.difference))
    unexplained = share(left)
    within = part.within if part.within is not None else part.limit is None or unexplained <= part.limit
    return Comparison(
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
