"""Digital samplers of a Gaussian: how many operations each takes for as many effective samples, and the samples.

What counts is the error of the covariance, as for a device (`spu.emulator.laws.estimate`): N independent samples have
the mean square ``((tr P)^2 + |P|^2) / N`` of its Frobenius norm. A chain ``x' = M x + noise`` of covariance P, whose
autocovariances are ``M^l P``, has more by the sum over its lags, in closed form in the modes of M.

- ``cholesky``: independent ones by ``L^T x = z`` with the precision ``A = L L^T`` (H. Rue, J. R. Stat. Soc. B 63:325,
  2001).
- ``gibbs``: each coordinate in turn from its law given all others. One sweep is a Gauss-Seidel step with noise,
  ``(D + L) x' = -L^T x + D^1/2 z`` (J. Goodman and A. D. Sokal, Phys. Rev. D 40:2035, 1989).
- ``langevin``: ``x' = x - h A x + sqrt(2 h) z``, of covariance ``A^-1 (1 - h A / 2)^-1``: the step h is the one whose
  bias is 1/sqrt(2) of the error that is asked for, as are then the statistics.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.problems.gaussian import GaussianSampling
from spu.studies.energy.counted import Method, cholesky

__all__ = ["SAMPLERS", "digital_samplers", "draw_digitally"]

SAMPLERS = ("cholesky", "gibbs", "langevin")

_MOST = 512
"""Variables up to which the modes of chains are worked out."""


def digital_samplers(problem: Any, error: float | None = None) -> tuple[Method, ...]:
    """What digital samplers of a Gaussian take for a relative error of its covariance; of one sample without it.

    Parameters
    ----------
    problem:
        A `spu.GaussianSampling`.
    error:
        Relative, in the Frobenius norm.

    Examples
    --------
    >>> import spu
    >>> problem = spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]])
    >>> [(each.name, round(each.samples)) for each in spu.digital_samplers(problem, 0.1)]
    [('Cholesky sampling', 264), ('Gibbs sampling', 264), ('Langevin dynamics, steps of 0.121', 264)]
    """
    if not isinstance(problem, GaussianSampling):
        raise InputError(f"digital samplers are of a Gaussian, not of a {type(problem).__name__}")
    n, entries = float(problem.n), float(problem.n) ** 2
    if sp.issparse(problem.matrix):
        entries = float(problem.matrix.nnz)
    flops, factor, formula = cholesky(problem)
    P: Any = problem.target_covariance
    size = float((P**2).sum()) if isinstance(P, np.ndarray) else float((P.data**2).sum())
    independent = float(P.diagonal().sum()) ** 2 + size
    samples = 1.0 if error is None else max(1.0, independent / (size * error**2))
    found = [
        Method(
            "Cholesky sampling",
            flops + samples * 2 * factor,
            factor + samples * n,
            f"{formula}, and 2 for each entry of the factor and sample",
            "H. Rue, J. R. Stat. Soc. B 63:325, 2001",
            samples,
        )
    ]
    if error is None or n > _MOST or sp.issparse(problem.matrix):
        return tuple(found)
    A = np.asarray(problem.matrix)
    gibbs = _gibbs_variance(A, P) / (size * error**2)
    h, langevin = _langevin_step(np.linalg.eigvalsh(A), error)
    for name, steps, source in (
        ("Gibbs sampling", gibbs, "J. Goodman and A. D. Sokal, Phys. Rev. D 40:2035, 1989"),
        (f"Langevin dynamics, steps of {h:.3g}", langevin, "unadjusted, Euler and Maruyama"),
    ):
        words = f"{steps:.4g} steps of 2 for each entry of the matrix"
        found.append(Method(name, steps * 2 * entries, steps * entries / 2, words, source, samples))
    return tuple(found)


def _gibbs_variance(A: FloatArray, P: FloatArray) -> float:
    """N times the mean square error of the covariance of N sweeps, in the Frobenius norm."""
    lower = np.tril(A)
    M = -la.solve_triangular(lower, A - lower, lower=True)
    values, V = la.eig(M)
    for size in (1e-9, 1e-8, 1e-7, 1e-6):  # what a sweep forgets at once has too few eigenvectors: a nudge gives some
        if np.linalg.cond(V) < 1e7:
            break
        values, V = la.eig(M + size * np.random.default_rng(7).uniform(-1.0, 1.0, M.shape))
    W = la.solve(V, P.astype(np.complex128))
    pairs = np.multiply.outer(values, values)
    sums = pairs / (1.0 - pairs)  # over all lags from 1
    own, crossed = (V * W.T).sum(axis=0), W @ V
    later = own @ sums @ own + (sums * crossed * crossed.T).sum()
    return float(np.trace(P) ** 2 + (P**2).sum() + 2.0 * later.real)


def _langevin_step(rates: Any, error: float) -> tuple[float, float]:
    """The step, and how many of them: bias and statistics have half of the squared error each."""
    exact = 1.0 / rates
    allowed = error / math.sqrt(2.0) * float(np.linalg.norm(exact))

    def covariance(h: float) -> FloatArray:
        return exact / (1.0 - h * rates / 2.0)

    low, high = 0.0, 2.0 / float(rates.max()) * (1.0 - 1e-12)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if float(np.linalg.norm(covariance(middle) - exact)) > allowed:
            high = middle
        else:
            low = middle
    P, ratio = covariance(low), 1.0 - low * rates
    pairs = np.multiply.outer(ratio, ratio)
    sums = pairs / (1.0 - pairs)
    total = float(P.sum() ** 2 + (P**2).sum() + 2.0 * (P @ sums @ P + (P**2 * sums.diagonal()).sum()))
    return low, total / allowed**2


def draw_digitally(
    problem: GaussianSampling, count: int, method: str = "cholesky", seed: int = 0, step: float | None = None
) -> FloatArray:
    """Samples (count, n) of a Gaussian by one of `SAMPLERS`; chains start from an exact one.

    Parameters
    ----------
    problem:
        Dense.
    count:
        How many.
    method:
        One of `SAMPLERS`.
    seed:
        Of numpy's generator.
    step:
        Of ``langevin``.

    Raises
    ------
    InputError
        If there is no such method, or the problem is sparse.
    """
    if method not in SAMPLERS:
        raise InputError(f"method is {shorten(method)}; {suggest(method, SAMPLERS)}")
    if sp.issparse(problem.matrix):
        raise InputError("digital samples are drawn of dense matrices")
    A, n = np.asarray(problem.matrix), problem.n
    normals = np.random.default_rng(seed).standard_normal((count, n))
    L = la.cholesky(A, lower=True)
    if method == "cholesky":
        return problem.target_mean + la.solve_triangular(L.T, normals.T, lower=False).T
    x = la.solve_triangular(L.T, normals[0], lower=False)
    found = np.empty((count, n))
    if method == "gibbs":
        lower, root = np.tril(A), np.sqrt(A.diagonal())
        upper = A - lower
        for k in range(count):
            found[k] = x = la.solve_triangular(lower, root * normals[k] - upper @ x, lower=True)
    else:
        h = 0.1 / float(np.linalg.eigvalsh(A)[-1]) if step is None else step
        for k in range(count):
            found[k] = x = x - h * (A @ x) + math.sqrt(2.0 * h) * normals[k]
    return problem.target_mean + found
