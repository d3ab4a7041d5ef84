"""What would help where a problem cannot be realized, and what each way out costs.

Three ways: another architecture; another matrix, near enough to the one wanted to be held; or a
sparse linear map in software behind the device, ``x = T y``, so that the device only has to hold
``T^T A T``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.choice import TOLERANCE, first_largest
from spu.base.distances import kullback_leibler, relative_error
from spu.base.errors import Unrealizable
from spu.base.sparse import canonical, row_numbers, with_data
from spu.compiler.architectures import ARCHITECTURES
from spu.compiler.architectures.linear import LinearArchitecture
from spu.compiler.congruence import congruence
from spu.compiler.layout import Matrix
from spu.compiler.polarity import polarity
from spu.device.hardware import Hardware
from spu.device.hardware_file import load_hardware
from spu.problems.problem import QuadraticProblem

MARGIN = 0.01
"""Share of its diagonal that a cell of a changed matrix is to keep, at the least."""

_MOST_ELIMINATED = 256
"""Most variables of a matrix for which the cheapest elimination is looked for: each step costs an eigenvalue."""


def advise(problem: QuadraticProblem, matrix: Matrix, hardware: Hardware) -> dict[str, Any]:
    """What would help, as JSON holds it.

    Returns
    -------
    dict
        ``architectures``: of all that are known, ``{name: None}`` where it would hold the problem with parts
        of any value, else the reason why not. ``shrink``: ``theta`` < 1 for all off-diagonals, that leaves
        every cell `MARGIN` (None where nothing has to shrink). ``single_rail``: the same where couplings
        of the wrong sign are left out first, ``dropped`` of them. Both with the ``covariance_relative_error``
        (Frobenius), ``mean_relative_error`` and ``kullback_leibler`` (nats) of the Gaussian that results (None for
        sparse problems). ``transforms``: a list of maps ``x = T y`` with ``multiplications_per_sample``, ``device``
        for what is left to sample, and the ``eliminated`` variables.
    """
    frustrated = matrix.polarity.signs is None
    signed = any(name.endswith("-dual") for name in hardware.architectures)
    return {
        "architectures": _architectures(problem, matrix, hardware),
        "shrink": _shrunk(problem, matrix.values, matrix.congruence.rho),
        "single_rail": _single_rail(problem, matrix.values) if frustrated else None,
        "transforms": _transforms(problem, matrix, any_sign=signed),
    }


def describe(advice: dict[str, Any], hardware: Hardware, refused: Sequence[str]) -> list[str]:
    """The same in words, the nearest at hand first; ``refused`` are the architectures that were tried."""
    parts = []
    holding = [name for name, why in advice["architectures"].items() if why is None]
    if lacking := [name for name in holding if name not in hardware.architectures]:
        parts.append(f"{' or '.join(lacking)} would hold it, which this hardware lacks")
    if untried := [name for name in holding if name in hardware.architectures and name not in refused]:
        parts.append(f"{' or '.join(untried)}, which this hardware has, has the couplers for it")
    if limited := [name for name in holding if name in refused]:
        parts.append(f"{' or '.join(limited)} would hold it with parts of other values")
    if shrink := advice["shrink"]:
        parts.append(
            f"with all off-diagonals times {shrink['theta']:.4g}, dual rails (or, signs permitting, single ones) would "
            f"hold it{_bias(shrink)}"
        )
    if single := advice["single_rail"]:
        also = f" and the rest times {single['theta']:.4g}" if single["theta"] < 1 else ""
        parts.append(
            f"without {single['dropped']} couplings of the wrong sign{also}, single rails would{_bias(single)}"
        )
    for transform in advice["transforms"]:
        cost = f"x = T y in software, {transform['multiplications_per_sample']} multiplications a sample"
        if transform["kind"] == "elimination":
            parts.append(f"{cost}, that eliminates {transform['share']}, leaves {transform['device']}")
        else:
            parts.append(f"{cost} (whitening) always does, but leaves the device {transform['device']}")
    return parts


def _bias(change: dict[str, Any]) -> str:
    if change["covariance_relative_error"] is None:
        return ""
    return (
        f", its covariance off by {change['covariance_relative_error']:.2g} (relative, Frobenius), "
        f"Kullback-Leibler divergence {change['kullback_leibler']:.2g} nats"
    )


def _architectures(problem: QuadraticProblem, matrix: Matrix, hardware: Hardware) -> dict[str, str | None]:
    unlimited = replace(load_hardware("ideal"), temperature=hardware.temperature)
    found: dict[str, str | None] = {}
    for candidate in ARCHITECTURES.values():
        if isinstance(candidate, LinearArchitecture) and problem.task in candidate.kinds:
            found[candidate.name] = _refused(candidate, problem, matrix, unlimited)
    return found


def _refused(
    candidate: LinearArchitecture, problem: QuadraticProblem, matrix: Matrix, hardware: Hardware
) -> str | None:
    try:
        candidate.realize(problem, matrix, hardware)
    except Unrealizable as refusal:
        return refusal.reason
    return None


def _shrunk(problem: QuadraticProblem, values: sp.csr_array, rho: float) -> dict[str, Any] | None:
    """All off-diagonals times theta; positive definite, being between the matrix and its diagonal."""
    if rho <= 1.0 - MARGIN + TOLERANCE:
        return None
    theta = (1.0 - MARGIN) / rho
    return {"theta": theta, "margin": MARGIN, **_consequences(problem, _times(values, theta))}


def _times(values: sp.csr_array, theta: float) -> sp.csr_array:
    return with_data(values, np.where(values.indices == row_numbers(values), 1.0, theta) * values.data)


def _single_rail(problem: QuadraticProblem, values: sp.csr_array) -> dict[str, Any]:
    """Drop the couplings whose sign a good choice of polarity leaves wrong; shrink the others if need be."""
    rows = row_numbers(values)
    off = values.indices != rows
    signs = _good_signs(values)
    wrong = off & (signs[rows] * values.data * signs[values.indices] > 0)
    kept = canonical(with_data(values, np.where(wrong, 0.0, values.data)))
    rho = congruence(kept).rho
    theta = min(1.0, (1.0 - MARGIN) / rho) if rho > 0 else 1.0
    return {
        "dropped": int(wrong.sum()) // 2,
        "theta": theta,
        "margin": MARGIN,
        **_consequences(problem, _times(kept, theta)),
    }


def _good_signs(values: sp.csr_array) -> FloatArray:
    """(n,) signs that leave little weight on couplings of the wrong sign: single flips until none helps."""
    n = values.shape[0]
    root = 1.0 / np.sqrt(values.diagonal())
    weights = sp.csr_array(sp.diags_array(root) @ values @ sp.diags_array(root))
    weights.setdiag(0.0)
    signs = np.ones(n)
    for _ in range(20 * n):
        gain = signs * (weights @ signs)  # what is wrong at a cell, less what is right
        worst = first_largest(gain, 1.0)
        if gain[worst] <= 1e-8:
            break
        signs[worst] *= -1.0
    return signs


def _consequences(problem: QuadraticProblem, changed: sp.csr_array) -> dict[str, float | None]:
    """How far the Gaussian of a changed matrix is from the target; None for sparse problems."""
    if problem.sparse:
        return {"covariance_relative_error": None, "mean_relative_error": None, "kullback_leibler": None}
    factor = la.cho_factor(changed.toarray())
    covariance = la.cho_solve(factor, np.eye(problem.n))
    mean = problem.target_mean
    if problem.kind.answer.deterministic:
        mean = la.cho_solve(factor, np.asarray(problem.matrix @ problem.target_mean))
    target = np.asarray(problem.target_covariance)
    return {
        "covariance_relative_error": relative_error(covariance, target),
        "mean_relative_error": relative_error(mean, problem.target_mean),
        "kullback_leibler": kullback_leibler(mean, covariance, problem.target_mean, target),
    }


def _transforms(problem: QuadraticProblem, matrix: Matrix, *, any_sign: bool) -> list[dict[str, Any]]:
    """Maps ``x = T y`` in software: eliminate as few variables as will do, or all."""
    found = []
    eliminated = _elimination(matrix.values.toarray(), any_sign) if problem.n <= _MOST_ELIMINATED else None
    if eliminated is not None and eliminated[0]:  # nothing to eliminate: it is not the couplings that were refused
        members, products = eliminated
        found.append(
            {
                "kind": "elimination",
                "eliminated": [problem.variables[k] for k in members],
                "multiplications_per_sample": products,
                "share": f"{len(members)} of {problem.n} variables",
                "device": "a matrix for " + ("dual" if any_sign else "single") + " rails",
            }
        )
    if not problem.sparse:
        found.append(
            {
                "kind": "whitening",
                "eliminated": list(problem.variables),
                # Back substitution in A = L L^T, L lower triangular.
                "multiplications_per_sample": int(np.count_nonzero(la.cholesky(matrix.values.toarray(), lower=True))),
                "device": "white noise to make and nothing else",
            }
        )
    return found


def _elimination(A: FloatArray, any_sign: bool) -> tuple[list[int], int] | None:
    """Variables to eliminate, the heaviest of the Perron vector first, and products a sample; None if it takes all.

    With ``x_k = y_k - sum_j a_kj x_j / a_kk`` the variable y_k is independent of the others, whose matrix
    becomes the Schur complement ``a_ij - a_ik a_kj / a_kk``.
    """
    left, rest = list(range(len(A))), A.copy()
    gone: list[int] = []
    products = 0
    while len(left) > 1:
        root = 1.0 / np.sqrt(np.diagonal(rest))
        J = np.abs(rest) * np.outer(root, root)
        np.fill_diagonal(J, 0.0)
        top = len(left) - 1
        value = la.eigvalsh(J, subset_by_index=[top, top])
        if value[0] <= 1.0 - MARGIN + TOLERANCE and (any_sign or polarity(rest).signs is not None):
            return gone, products
        # Several parts may have the largest eigenvalue: the vector is then that nearest to one of equal entries.
        _, vectors = la.eigh(J, subset_by_value=[value[0] - 1e-6 * max(1.0, value[0]), np.inf])
        k = first_largest(vectors @ vectors.sum(axis=0))
        keep = np.arange(len(left)) != k
        products += int(np.count_nonzero(rest[k, keep]))
        rest = rest[np.ix_(keep, keep)] - np.outer(rest[keep, k], rest[k, keep]) / rest[k, k]
        gone.append(left.pop(k))
    return None
