"""The error budget: what each imperfection of a device costs in the answer, one line an effect.

The whole error is ``D = P - P*``: the covariance of the device as it is, less the wanted one (of a linear
system the means, of an exponential the lagged covariances). Each effect is switched on alone: what it does is
``D_e = P(with it) - P(without)``, with everything else ideal. Norms of such matrices do not add; two numbers are given
for each effect therefore:

- ``norm``, ``|D_e| / |P*|``: how large it is by itself (Frobenius);
- ``share``, ``<D_e, D> / (|D| |P*|)``: its part along the whole error, with a sign (a negative one makes up
  for others). Shares, with that of the ``rest``, add up to ``|D| / |P*|`` exactly.

The rest is what effects do to each other; it is of second order: with all effects a tenth as large it is a
hundredth. (But for the thermal noise of switches: kT/C, in whatever band, however small their resistance.)

``programming`` is what is wrong before any detail: codes, chains, readout gains. ``thermal`` is the noise of
the device's resistors, beyond what one gain makes up for (which the compiler has done). The off-state of
switches is taken beside their on-resistance: without it nothing could be open.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import UsageError
from spu.device.device import Device
from spu.device.imperfections import Detail, Value, key_of
from spu.emulator.predict import predict_linear
from spu.problems.answers import COVARIANCE, Answer
from spu.problems.problem import linear_problem

__all__ = ["Budget", "BudgetLine", "error_budget"]


@dataclass(frozen=True)
class BudgetLine:
    """One effect.

    Attributes
    ----------
    effect:
        ``programming``, ``thermal``, ``table.key`` of a detail, or ``rest``.
    meaning:
        In words.
    value:
        Of the detail, SI, or its word; None for the others.
    norm, share:
        See above, relative to the size of the wanted answer.
    """

    effect: str
    meaning: str
    value: Value | None
    norm: float
    share: float


@dataclass(frozen=True, repr=False)
class Budget(Result):
    """What makes up the error of a device.

    Attributes
    ----------
    answer:
        What is compared, by name: ``covariance``, ``mean`` or ``lagged covariance``.
    against:
        ``problem``, or ``ideal device`` where there is no problem: the same device without any detail.
    relative_error:
        The whole.
    lines:
        The effects, in the order of the signal's way through the device.
    rest:
        What they do to each other.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=0.0, detail=spu.Detail(node={"capacitance": 1e-11, "conductance": 1e-6}))
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    >>> budget = spu.error_budget(device)
    >>> budget.answer, budget.against, [line.effect for line in budget.lines]
    ('covariance', 'ideal device', ['node.capacitance', 'node.conductance'])
    >>> abs(budget.sum + budget.rest.share - budget.relative_error) < 1e-12
    True
    """

    answer: str
    against: str
    relative_error: float
    lines: tuple[BudgetLine, ...]
    rest: BudgetLine

    in_short = ("answer", "against", "relative_error")

    @property
    def sum(self) -> float:
        """Of the shares of all effects, without the rest."""
        return sum(line.share for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {**asdict(self), "sum": self.sum}


def error_budget(device: Device) -> Budget:
    """Work out which effect has which part in the error of a device.

    Parameters
    ----------
    device:
        With ``device.problem`` set, or with details.

    Raises
    ------
    UsageError
        If the device has neither problem nor details, or is too large for whole matrices.
    CircuitError
        If it has no stationary law.

    Examples
    --------
    The variance of an RC cell goes with one over C, to which its node adds one per cent here:

    >>> import spu
    >>> device = spu.Device(temperature=0.0, detail=spu.Detail(node={"capacitance": 1e-11}))
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    >>> budget = spu.error_budget(device)
    >>> [(line.effect, round(line.share, 4)) for line in budget.lines]
    [('node.capacitance', 0.0099)]
    """
    problem, detail = linear_problem(device.problem), device.detail
    if problem is None and not detail:
        raise UsageError("a budget needs a problem to miss, or a device whose parts are not ideal: this has neither")
    wanted = COVARIANCE if problem is None else problem.kind.answer
    answer = _answer_of(wanted)
    bare = device.at_detail(Detail())
    ideal, whole = answer(bare), answer(device)
    found: list[tuple[str, str, Value | None, FloatArray]] = []
    if problem is None:
        target = ideal
    else:
        target = np.asarray(wanted.target(problem))
        warm = device.temperature > 0 and not wanted.deterministic
        cold = _without_thermal_noise(bare, ideal, answer) if warm else ideal
        found = [
            ("programming", "programmed values: codes, chains, readout", None, cold - target),
        ]
        if device.temperature > 0:
            found.append(("thermal", "thermal noise of cells and couplers, beyond a gain", None, ideal - cold))
    for effect in detail.effects:
        key = key_of(effect)
        if key.setting:
            continue
        table = effect.partition(".")[0]
        beside = [f"{table}.{need}" for need in key.needs if f"{table}.{need}" in detail.effects]
        alone = answer(device.at_detail(detail.only([*beside, effect])))
        without = answer(device.at_detail(detail.only(beside))) if beside else ideal
        found.append((effect, key.meaning, detail[effect], alone - without))
    error = whole - target
    rest = error - sum(difference for *_, difference in found)
    size, length = float(np.linalg.norm(target)), float(np.linalg.norm(error))
    if size == 0:
        raise UsageError("the wanted answer is zero: no error is relative to it")

    def line(effect: str, meaning: str, value: Value | None, difference: FloatArray) -> BudgetLine:
        along = float(np.vdot(difference, error)) / length if length > 0 else 0.0
        return BudgetLine(effect, meaning, value, float(np.linalg.norm(difference)) / size, along / size)

    return Budget(
        answer=wanted.name,
        against="ideal device" if problem is None else "problem",
        relative_error=length / size,
        lines=tuple(line(*each) for each in found),
        rest=line("rest", "what these do to each other", None, rest),
    )


def _answer_of(wanted: Answer) -> Callable[[Device], FloatArray]:
    def answer(device: Device) -> FloatArray:
        found = predict_linear(device)
        value = wanted.of(*found.moments_for(wanted))
        if not isinstance(value, np.ndarray):
            raise UsageError("a budget compares whole matrices: this network is too large")
        return value

    return answer


def _without_thermal_noise(device: Device, hot: FloatArray, answer: Callable[[Device], FloatArray]) -> FloatArray:
    """The answer at 0 K, times the gain that brings it closest to the one with thermal noise."""
    silent = copy(device)
    silent.temperature = 0.0
    cold = answer(silent)
    power = float(np.vdot(cold, cold))
    return cold * (float(np.vdot(cold, hot)) / power) if power > 0 else cold
