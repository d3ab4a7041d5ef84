"""The passes of a linear compilation in words, with what each did to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.distances import kullback_leibler, relative_error
from spu.base.errors import Unrealizable
from spu.compiler.compilation import Pass
from spu.compiler.layout import Matrix
from spu.emulator.predict import Prediction
from spu.problems.problem import LinearProblem, QuadraticProblem

__all__ = ["divergence", "refused_passes", "with_errors"]

_SINGULAR = 1e14
"""Condition of a covariance, scaled to a unit diagonal, from which on it is that of a flat Gaussian."""


def refused_passes(matrix: Matrix, refused: Sequence[tuple[str, Unrealizable]]) -> list[Pass]:
    """The passes up to the architectures that were refused, without their errors."""
    flips = matrix.polarity.signs
    if flips is None:
        cycle = list(matrix.polarity.frustrated)
        did = f"no choice of readout signs makes all off-diagonals <= 0: {len(cycle)} couplings in a cycle contradict"
        first = Pass("polarity", did, {"flipped": None, "frustrated_cycle": cycle})
    else:
        flipped = int((flips < 0).sum())
        did = f"{flipped} of {len(flips)} flipped: all off-diagonals <= 0" if flipped else "none needed"
        first = Pass("polarity", did, {"flipped": flipped, "frustrated_cycle": []})
    found = matrix.congruence
    spread = None if found.scale is None else float(found.scale.max() / found.scale.min())
    margin = matrix.margin
    data: dict[str, Any] = {"rho": found.rho, "dominant": found.dominant, "spread": spread, "margin": margin}
    if found.scale is None:
        did = f"none leaves every cell a part of its own: rho = {found.rho:.6g}, not below 1"
    elif found.dominant:
        did = f"none needed: diagonally dominant, rho = {found.rho:.4g}, smallest own part {margin:.3g}"
    else:
        did = f"by d, spread {spread:.3g}; rho = {found.rho:.4g}, smallest own part {margin:.3g} of its diagonal"
    passes = [first, Pass("scaling", did, data)]
    for name, why in refused:
        data = {"architecture": name, "refused": why.reason, **why.details}
        passes.append(Pass("architecture", f"{name} refused: {why.reason}", data))
    return passes


def divergence(problem: LinearProblem, prediction: Prediction) -> float | None:
    """Kullback-Leibler divergence of what is predicted to the problem's Gaussian; None where that is sparse or flat."""
    if problem.sparse:
        return None
    covariance, target = np.asarray(prediction.covariance), np.asarray(problem.target_covariance)
    scale = np.sqrt(np.diagonal(target))
    if not (scale > 0).all() or np.linalg.cond(target / np.outer(scale, scale)) > _SINGULAR:
        return None
    return kullback_leibler(prediction.mean, covariance, problem.target_mean, target)


def with_errors(
    step: Pass,
    problem: QuadraticProblem,
    t: FloatArray | None,
    M: sp.csr_array | None,
    factor: float = 1.0,
    *,
    held: FloatArray | None = None,
) -> Pass:
    """The pass with the errors of ``x = diag(t) sqrt(factor) v``, ``v ~ N(., M^-1)``; or of a covariance held."""
    if problem.sparse or (held is None and (t is None or M is None)):
        return step
    if held is None:
        assert t is not None
        assert M is not None
        root = np.sqrt(factor)
        held = la.solve(M.toarray(), np.diag(t * root), assume_a="pos") * (t * root)[:, None]
    target = np.asarray(problem.target_covariance)
    mean = problem.target_mean
    return Pass(
        step.name,
        step.did,
        step.data,
        relative_error(held, target),
        kullback_leibler(mean, held, mean, target),
    )
