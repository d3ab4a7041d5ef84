"""Derivatives of metrics, and what they say of the spread: which element makes how much of it.

Of a number that hangs on mean and covariance one adjoint equation gives them all (`spu.gradient`). Of residuals, which
are many numbers, of poles and lagged covariances differences of exact laws are taken, of fourth order: to about ten
digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from spu.base.arrays import FloatArray
from spu.device.device import Device
from spu.emulator.laws.gradients import gradient
from spu.studies.yields.boards import Boards
from spu.studies.yields.metrics import Metric, Norm, Quantity
from spu.studies.yields.spread import Variables

__all__ = ["Contribution", "Spreads", "contributions", "derivatives", "differences", "exact_derivatives"]

_STEP = 2e-3
"""Of differences of fourth order, in logarithms: their error is about 1e-11, their rounding 1e-12."""


def derivatives(
    device: Device, metric: Metric, variables: Variables, at: Annotated[FloatArray, "e"]
) -> Annotated[FloatArray, "e"]:
    """(e,) derivatives of a metric by the logarithms of a board's elements; zero of those that do not vary.

    By differences of many laws at once, which costs less than an adjoint equation of each board. Those of a norm are of
    its residual, which is smooth where the norm is not.

    Parameters
    ----------
    at:
        (e,) factors of the board.
    """
    if not isinstance(metric, Norm):
        return differences(device, variables, at, metric.values)
    residual = metric.residuals(Boards(device, variables.elements, at[None]))[0]
    slopes = differences(device, variables, at, metric.residuals) @ residual
    if metric.power == 2:
        return np.asarray(2.0 * slopes)
    size = float(np.linalg.norm(residual))
    return np.asarray(slopes / size) if size else slopes


def exact_derivatives(device: Device, metric: Quantity, variables: Variables) -> Annotated[FloatArray, "e"]:
    """(e,) derivatives of a metric at the device itself, by one adjoint equation; differences where it has none."""
    here = np.ones(len(variables.elements))
    adjoint = metric.adjoint(Boards(device, variables.elements, here[None]))
    if adjoint is None or device.programmings:
        return differences(device, variables, here, metric.values)
    by_mean, by_covariance = adjoint.mean, adjoint.covariance
    if not adjoint.voltages:
        T = device.readout.matrix
        by_mean, by_covariance = T.T @ by_mean, T.T @ (T.T @ by_covariance).T
    found = gradient(device, by_covariance, by_mean, variables.elements)
    return np.where(np.isin(np.arange(len(found)), variables.varying), found, 0.0)


def differences(
    device: Device, variables: Variables, at: Annotated[FloatArray, "e"], values: Callable[[Boards], FloatArray]
) -> Annotated[FloatArray, "e ..."]:
    """(e, ...) derivatives of smooth numbers of a board by the logarithms of its elements, by differences.

    Parameters
    ----------
    at:
        (e,) factors of the board.
    values:
        Of d boards, (d, ...).
    """
    which = variables.varying
    moved = np.repeat(at[None], 4 * len(which), axis=0).reshape(4, len(which), -1)
    for row, steps in enumerate((1.0, -1.0, 2.0, -2.0)):
        moved[row, np.arange(len(which)), which] *= math.exp(steps * _STEP)
    found = values(Boards(device, variables.elements, moved.reshape(4 * len(which), -1)))
    near_up, near_down, far_up, far_down = found.reshape(4, len(which), *found.shape[1:])
    out = np.zeros((len(at), *found.shape[1:]))
    out[which] = (8.0 * (near_up - near_down) - (far_up - far_down)) / (12.0 * _STEP)
    return out


@dataclass(frozen=True)
class Contribution:
    """What one source of variation does.

    Attributes
    ----------
    element:
        ``capacitance of x1``, or ``process capacitance`` of what all capacitances share.
    share:
        Of the variance of the metric; of one that is a norm, of the mean of its square (of a divergence: of its mean).
    effect:
        What one standard deviation does to the metric, with a sign; of a norm the size of the error it makes.
    """

    element: str
    share: float
    effect: float


@dataclass(frozen=True)
class Spreads:
    """How far a metric spreads, by first-order sensitivities.

    Attributes
    ----------
    what:
        ``standard deviation``; of a norm ``root mean square``, of a divergence ``mean``.
    first_order:
        What sensitivities and standard deviations give.
    systematic:
        What of it is the device's as it is made for: of norms.
    contributions:
        Sources of variation, the largest first.
    """

    what: str
    first_order: float
    systematic: float
    contributions: tuple[Contribution, ...]

    @property
    def of_what(self) -> str:
        """What shares are shares of."""
        return {"root mean square": "mean square"}.get(self.what, "mean" if self.what == "mean" else "variance")

    def of(self, values: Annotated[FloatArray, "d"]) -> tuple[float, float] | None:
        """The same of values (d,) that were drawn, with its standard error; None of too few."""
        good = values[np.isfinite(values)]
        if len(good) < 3:
            return None
        if self.what == "mean":
            return float(good.mean()), float(good.std(ddof=1) / math.sqrt(len(good)))
        centre = 0.0 if self.what == "root mean square" else good.mean()
        squares = (good - centre) ** 2
        size = math.sqrt(squares.mean() if self.what == "root mean square" else squares.sum() / (len(good) - 1))
        error = float(squares.std(ddof=1)) / math.sqrt(len(good)) / (2.0 * size) if size else 0.0
        return size, error


def contributions(device: Device, metric: Metric, variables: Variables) -> Spreads:
    """Shares of all sources of variation in the spread of a metric, to first order.

    Of a norm, whose slope is zero or none where the error vanishes, shares are those of ``E|r|^2``, to second order:
    ``|r0|^2 + sum_v |dr/dv|^2``, r0 being that of the device itself.
    """
    here = np.ones(len(variables.elements))
    boards = Boards(device, variables.elements, here[None])
    if isinstance(metric, Norm):
        by_element = differences(device, variables, here, metric.residuals)
        parts = ((variables.sigmas @ by_element) ** 2).sum(axis=1)
        start = float((metric.residuals(boards)[0] ** 2).sum())
        total = start + float(parts.sum())
        what, size = ("root mean square", math.sqrt(total)) if metric.power == 1 else ("mean", total)
        effects = np.sqrt(parts) if metric.power == 1 else parts
        systematic = math.sqrt(start) if metric.power == 1 else start
    else:
        assert isinstance(metric, Quantity)
        signed = variables.sigmas @ exact_derivatives(device, metric, variables)
        effects, parts, systematic = signed, signed**2, 0.0
        what, size = "standard deviation", math.sqrt(float(parts.sum()))
    whole = float(parts.sum())
    shares = parts / whole if whole else parts
    found = [
        Contribution(name, float(share), float(effect))
        for name, share, effect in zip(variables.names, shares, effects, strict=True)
    ]
    return Spreads(what, size, systematic, tuple(sorted(found, key=lambda each: -each.share)))
