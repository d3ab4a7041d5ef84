"""The likeliest values: scoring with the Fisher information, in the directions that the record tells of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import NumericalFailure, SpuError
from spu.studies.calibration.likelihood import Likelihood, Terms
from spu.studies.calibration.model import Model, Point

TOLD = 1.0
"""Of a logarithm: a standard error beyond which a combination of unknowns counts as not told by the record."""

LOUD = 4.0
"""Standard deviations of a slope that is no chance."""

LONGEST = 0.3
"""Of a logarithm: what a step moves at most."""

DONE = 1e-6
"""Twice what the logarithm of the likelihood can still rise, where it is done: a thousandth of a standard error."""

MOST_STEPS = 100

_HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Fit:
    """What was found.

    Attributes
    ----------
    theta:
        (k,) logarithms of factors.
    point, terms:
        The law there, and what the record says of it.
    information:
        (k, k) Fisher's, with that of the prior.
    held:
        (k, h) orthonormal directions of which nothing is told: there theta stays where it began.
    steps:
        How many were taken.
    """

    theta: FloatArray
    point: Point
    terms: Terms
    information: FloatArray
    held: FloatArray
    steps: int

    @property
    def covariance(self) -> FloatArray:
        """(k, k) of the estimates, in the directions that are told of."""
        return inverse_of(self.information, self.held)


def directions(information: FloatArray, slope: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvectors of an information (k, t) and (k, h): of what is told, and of what is not.

    A slope (k,) that is more than chance tells of a direction, too: noise that was taken for far too small.
    """
    values, vectors = la.eigh(information)
    loud = (vectors.T @ slope) ** 2 > LOUD**2 * np.maximum(values, 1e-12 * max(float(values[-1]), 1.0))
    told = (values >= TOLD**-2) | loud
    return vectors[:, told], vectors[:, ~told]


def inverse_of(information: FloatArray, held: FloatArray) -> FloatArray:
    """(k, k) its inverse, beside directions that are held."""
    k = len(information)
    if not k:
        return np.zeros((0, 0))
    away = np.eye(k) - held @ held.T
    # Where directions are held the information is replaced by one of a size of its own.
    size = max(float(np.abs(information).max()), 1.0)
    found = np.linalg.inv(away @ information @ away + size * (held @ held.T)) - (held @ held.T) / size
    return np.asarray((found + found.T) / 2)


def fit(model: Model, likelihood: Likelihood, prior: FloatArray, start: FloatArray | None = None) -> Fit:
    """Climb to the likeliest values.

    Parameters
    ----------
    prior:
        (k, k) information of the prior about zero; zeros of none.
    start:
        (k,); the design unless given.

    Raises
    ------
    NumericalFailure
        If it does not come to rest.
    """
    k = len(prior)
    theta = np.zeros(k) if start is None else start
    point = model.at(theta)
    terms = likelihood.terms(point)
    for step in range(MOST_STEPS):
        information = terms.fisher + prior
        slope = terms.score - prior @ theta
        told, held = directions(information, slope)
        inner = told.T @ information @ told
        inner += 1e-12 * float(np.abs(inner).max(initial=1.0)) * np.eye(len(inner))
        move = told @ la.solve(inner, told.T @ slope, assume_a="pos") if len(inner) else np.zeros(k)
        rise = float(slope @ move)
        if rise <= DONE:
            return Fit(theta, point, terms, information, held, step)
        move *= min(1.0, LONGEST / max(float(np.abs(move).max()), 1e-300))
        height = terms.value - 0.5 * float(theta @ prior @ theta)
        for _ in range(_HALVINGS):
            trial = theta + move
            try:
                there = model.at(trial)
                told_there = likelihood.terms(there)
            except SpuError:
                move = move / 2
                continue
            if told_there.value - 0.5 * float(trial @ prior @ trial) >= height - 1e-9 * abs(height):
                theta, point, terms = trial, there, told_there
                break
            move = move / 2
        else:
            raise NumericalFailure(
                f"the likelihood does not rise from where it is, though its slope says {rise:.2g}: the record and the "
                "design may be of different boards"
            )
    raise NumericalFailure(
        f"after {MOST_STEPS} steps the likelihood still rises: seek fewer elements (--fit, fit=), or take the "
        "tolerance for what was known before (--prior, prior=True)"
    )
