"""Level ``ideal``, without ngspice: is the device the one compiled, and does it answer the problem.

Of linear devices the exact law says so; of others the coefficients of the equation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.base.arrays import Matrix
from spu.circuit.scales import NetworkScales
from spu.crosscheck.context import Context
from spu.crosscheck.levels.kind import LevelKind, Way
from spu.crosscheck.levels.power import smallest_change
from spu.crosscheck.result import Level
from spu.emulator.laws.boltzmann import deviations
from spu.emulator.laws.law import Law
from spu.emulator.predict import merged_prediction, prediction
from spu.problems.network import thermodynamic
from spu.problems.problem import linear_problem

CONSISTENCY = 1e-9
"""Recomputed against stored statistics: rounding only."""

COEFFICIENTS = 1e-9
"""Relative difference of the network's coefficients and the circuit's that passes."""

SLACK = 1.05
"""Accuracy asked for by default: the stored predicted error, five per cent more, and rounding."""


def run(context: Context) -> Level:
    """*Consistency* of device file and stored statistics; *accuracy* of the device against its problem."""
    laws: Sequence[Law] = context.ensemble or (context.linear.law,)
    problem = linear_problem(context.problem)
    found = prediction(laws[0], problem) if len(laws) == 1 else merged_prediction(laws, problem)
    compiled = context.compiled
    if compiled is None and problem is None:
        return Level("ideal", "skipped", "no problem and no stored statistics to compare the device with")
    data: dict[str, Any] = {}
    messages, ratios = [], []
    if compiled is not None:
        statistics = compiled["statistics"]
        voltages, variables = found.voltage_covariance, found.covariance
        noise = np.sqrt(voltages.diagonal().sum())
        differences = {
            "voltage_covariance": _difference(voltages, statistics["voltage_covariance"]),
            "voltage_mean": _difference(found.voltage_mean, statistics["voltage_mean"], noise),
            "covariance": _difference(variables, statistics["covariance"]),
            "mean": _difference(found.mean, statistics["mean"], np.sqrt(variables.diagonal().sum())),
            **({} if found.lagged is None else {"lagged": _difference(found.lagged, statistics.get("lagged"))}),
            # Inductances do not show in the voltages' law; they show here.
            "state_variance": _difference(
                np.concatenate([law.state_variance for law in laws]), statistics["state_variance"], each=True
            ),
        }
        worst = max(differences, key=lambda key: differences[key])
        data["consistency"] = {
            "error": differences[worst],
            "tolerance": CONSISTENCY,
            "worst": worst,
            **differences,
        }
        ratios.append((differences[worst], CONSISTENCY))
        if differences[worst] <= CONSISTENCY:
            messages.append("the device is the one that was compiled")
        else:
            messages.append(
                f"device.json is not the device that was compiled: its {worst.replace('_', ' ')} is off by "
                f"{differences[worst]:.2g}"
            )
    if problem is not None and found.relative_error is not None:
        predicted = 0.0 if compiled is None else float(compiled.get("predicted_relative_error") or 0.0)
        tolerance = context.accuracy if context.accuracy is not None else SLACK * predicted + 1e-8
        error = found.relative_error
        data["accuracy"] = {
            "error": error,
            "tolerance": tolerance,
            "covariance": found.covariance_relative_error,
            "mean": found.mean_relative_error,
            **({} if found.lagged is None else {"lagged": found.lagged_relative_error}),
        }
        ratios.append((error, tolerance))
        messages.append(
            f"its {problem.answer} misses the problem's by {error:.2g}"
            + ("" if error <= tolerance else f", more than the {tolerance:.2g} allowed")
        )
    if not ratios:
        return Level("ideal", "skipped", "nothing to compare: the target is zero", data=data)
    error, tolerance = max(ratios, key=lambda pair: pair[0] / pair[1] if pair[1] > 0 else np.inf * pair[0])
    passed = all(error <= tolerance for error, tolerance in ratios)
    return Level(
        "ideal",
        "pass" if passed else "fail",
        "; ".join(messages),
        error,
        tolerance,
        false_alarm_rate=0.0,
        detects=_detects(context, data, compiled is not None),
        data=data,
    )


def _detects(context: Context, data: dict[str, Any], stored: bool) -> dict[str, Any]:
    """What deviation of the answer is seen, and what change of the device file."""
    found: dict[str, Any] = {}
    if "accuracy" in data:
        found["answer"] = data["accuracy"]["tolerance"]
    if not stored or context.ensemble:
        return found
    if context.sparse:
        return found | {"covariance": CONSISTENCY}
    law, noise = context.law, float(np.sqrt(np.trace(context.law.voltage_covariance)))
    changes = context.sensitivities
    moved = [
        max(
            _share(variance, law.state_variance, each=True),
            _share(mean, law.voltage_mean, noise),
            _share(covariance, law.voltage_covariance),
        )
        for variance, mean, covariance in zip(
            changes.state_variance, changes.voltage_mean, changes.voltage_covariance, strict=True
        )
    ]
    found["covariance"] = CONSISTENCY
    return found | smallest_change(context, np.array(moved), CONSISTENCY + data["consistency"]["error"])


def _difference(found: Matrix, stored: Matrix, floor: float = 0.0, *, each: bool = False) -> float:
    """Of two arrays, relative to the stored one; of a large network's covariances those that are known."""
    if np.shape(found) != np.shape(stored):
        return float("inf")
    if sp.issparse(found) or sp.issparse(stored):
        known = sp.csr_array(stored)
        return _share(sp.csr_array(found - known).data, known.data, floor)
    return _share(np.asarray(found) - np.asarray(stored), np.asarray(stored), floor, each=each)


def _share(change: NDArray[np.float64], whole: NDArray[np.float64], floor: float = 0.0, *, each: bool = False) -> float:
    """A change relative to the whole, or to the floor where that is more; with ``each`` the largest of an entry."""
    if each:
        scale = np.abs(whole)
        return float(np.max(np.abs(change) / np.where(scale > 0, scale, 1.0), initial=0.0))
    size = max(float(np.linalg.norm(whole)), floor)
    return float(np.linalg.norm(change)) / (size if size > 0 else 1.0)


def coefficients(context: Context) -> Level:
    """Compare a circuit's equation with its thermodynamic network, coefficient by coefficient, in problem units."""
    problem, scales = thermodynamic(context.problem), context.circuit.scales
    if problem is None or not isinstance(scales, NetworkScales):
        return Level("ideal", "skipped", "there is no problem.json to compare with")
    found = deviations(context.langevin.equation, scales, problem)
    errors = {key: largest for key, (largest, _) in found.items()}
    promised = (context.compiled or {}).get("coefficient_errors", {})
    device = context.device
    if not promised and device is not None and device.quantised:
        return Level("ideal", "skipped", "how far its codes may be off is said by its folder, or by what compiled it")
    # Of codes, and of a board's elements, the compiler has said how far they are off, at most and in the mean: the
    # circuit has to be off by as much, so that one coupler on another code shows.
    beyond = {
        key: max(abs(has - said) for has, said in zip(found[key], _said(promised, key), strict=True)) for key in found
    }
    worst = max(errors, key=lambda key: (beyond[key], errors[key]))
    message = f"the circuit's equation against the network's: worst in {worst}, off by {errors[worst]:.2g}"
    if _said(promised, worst)[0] > COEFFICIENTS:
        message += f", as was said when it was compiled, to {beyond[worst]:.1g}"
    return Level(
        "ideal",
        "pass" if beyond[worst] <= COEFFICIENTS else "fail",
        message,
        beyond[worst],
        COEFFICIENTS,
        false_alarm_rate=0.0,
        detects={"coefficient": COEFFICIENTS},
        data={"errors": errors},
    )


def _said(promised: Any, key: str) -> tuple[float, float]:
    """The largest and the mean error of a coefficient that a compiled folder states; zero where it states none."""
    said = promised.get(key) if isinstance(promised, dict) else None
    if isinstance(said, list) and len(said) == 2 and all(type(each) in (int, float) for each in said):
        return float(said[0]), float(said[1])
    return 0.0, 0.0


COEFFICIENT_WAY = Way(
    coefficients,
    compares="the circuit's equation against the network's, coefficient by coefficient",
    failing="the circuit's equation is not that of the network",
)

LEVEL = LevelKind(
    "ideal",
    {"linear": Way(run, large=True), "saturating": Way(run), "langevin": COEFFICIENT_WAY},
    compares="emulator against the exact answer",
    failing="the device is not the one that was compiled, or answers the problem less well than was promised",
    netlist=False,
    together=True,
    judges=True,
)
