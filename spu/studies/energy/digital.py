"""The digital reference: what each task takes of the best known method, in floating-point operations and memory.

Counts are of the leading orders, as textbooks state them (`Method.formula`, `Method.source`). A multiplication with
its addition is two operations, one `mac` of the prices. Memory is touched once by each operand of a direct method, as
blocked ones nearly do in a cache that holds them, and once an iteration by the matrix of an iterative one: less than
any machine moves. Random numbers cost nothing here. All this errs to the digital side's favour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spu.base.errors import InputError
from spu.base.names import shorten
from spu.problems.gaussian import GaussianSampling, LinearSystem
from spu.problems.trained import TrainedNetwork
from spu.studies.energy import trained as networks
from spu.studies.energy.assumptions import Assumptions
from spu.studies.energy.counted import BOOK, Method, cholesky, conjugate_gradients
from spu.studies.energy.samplers import digital_samplers

__all__ = ["METHODS", "methods", "reference_of"]


def _gaussian(problem: Any, error: float | None) -> list[Method]:
    return list(digital_samplers(problem, error))


def _linear(problem: Any, error: float | None) -> list[Method]:
    flops, entries, formula = cholesky(problem)
    found = [
        Method(
            *("Cholesky factorisation", flops + 4 * entries, entries + 2 * problem.n),
            *(f"{formula} and 4 for each entry of the factor", f"{BOOK}, 4.2 and 3.1"),
        )
    ]
    if error is not None:
        found.append(conjugate_gradients(problem, error))
    return found


def _inverse(problem: Any, _: float | None) -> list[Method]:
    n = float(problem.n)
    if not problem.sparse:
        return [Method("inverse by a Cholesky factorisation", n**3, n**2, "n^3", f"{BOOK}, 4.2 (n^3/3), and 2 n^3/3")]
    flops, entries, formula = cholesky(problem)  # the entries on the pattern cost twice the factor, at most
    return [
        Method(
            "selected inverse",
            3 * flops,
            2 * entries,
            f"3 times {formula}",
            "A. M. Erisman and W. F. Tinney, Comm. ACM 18:177, 1975",
        )
    ]


def _determinant(problem: Any, _: float | None) -> list[Method]:
    flops, entries, formula = cholesky(problem)
    return [Method("Cholesky factorisation", flops, entries, formula, f"{BOOK}, 4.2")]


def _general(problem: Any, error: float | None) -> list[Method]:
    m, n = (float(size) for size in problem.matrix.shape)
    if m != n:
        return _least_squares(problem, error)
    return [Method("LU factorisation", 2 * n**3 / 3 + 2 * n**2, n**2 + 2 * n, "2 n^3/3 + 2 n^2", f"{BOOK}, 3.2")]


def _least_squares(problem: Any, error: float | None) -> list[Method]:
    m, n = (float(size) for size in np.shape(getattr(problem, "design", problem.matrix)))
    found = [
        Method("QR factorisation", 2 * n**2 * (m - n / 3), m * n + m + n, "2 n^2 (m - n/3)", f"{BOOK}, 5.3"),
        Method("normal equations", m * n**2 + n**3 / 3, m * n + m + n, "m n^2 + n^3/3", f"{BOOK}, 5.3"),
    ]
    if error is None:  # to rounding normal equations do not get where the condition is squared
        return found[:1]
    return found


def _lyapunov(problem: Any, _: float | None) -> list[Method]:
    n = float(problem.n)
    return [
        Method(
            "Bartels and Stewart",
            32 * n**3,
            3 * n**2,
            "25 n^3 (Schur form with vectors), 6 n^3 (there and back), n^3 (triangular)",
            f"{BOOK}, 7.5 and 7.6; R. H. Bartels and G. W. Stewart, Comm. ACM 15:820, 1972",
        )
    ]


_PADE = ((0.01495585217958292, 2), (0.2539398330063230, 3), (0.9504178996162932, 4), (2.097847961257068, 5))
"""Norms up to which Pade's approximant of degree 3, 5, 7 and 9 does in double precision, and its products."""

_THIRTEEN = 5.371920351148152, 6


def _exponential(problem: Any, _: float | None) -> list[Method]:
    n = float(problem.n)
    lag = problem.lag if problem.lag is not None else 1.0
    size = float(np.abs(np.asarray(problem.matrix)).sum(axis=0).max()) * float(lag)
    products, squarings = next(((count, 0) for norm, count in _PADE if size <= norm), (0, 0))
    if not products:
        norm, products = _THIRTEEN
        squarings = max(0, math.ceil(math.log2(size / norm)))
    return [
        Method(
            "scaling and squaring",
            (products + squarings) * 2 * n**3 + 8 * n**3 / 3,
            2 * n**2,
            f"{products} products and {squarings} squarings of 2 n^3, one solution of 8 n^3/3",
            "N. J. Higham, SIAM J. Matrix Anal. Appl. 26:1179, 2005",
        )
    ]


def _conditional(problem: Any, error: float | None) -> list[Method]:
    """Of the free variables: that part of the matrix poses the same task."""
    part = problem.matrix[problem.free][:, problem.free]
    if isinstance(problem.whole, GaussianSampling):
        return list(digital_samplers(GaussianSampling(precision=part), error))
    return _linear(LinearSystem(part, np.zeros(len(problem.free))), error)


METHODS: dict[str, Callable[[Any, float | None], list[Method]]] = {
    "gaussian": _gaussian,
    "conditional": _conditional,
    "conditional-linear": _conditional,
    "linear": _linear,
    "inverse": _inverse,
    "determinant": _determinant,
    "general-linear": _general,
    "least-squares": _least_squares,
    "lyapunov": _lyapunov,
    "exponential": _exponential,
}
"""The register: the digital methods of each task, of a problem and the relative error that is asked for."""


def methods(problem: Any, error: float | None = None) -> tuple[Method, ...]:
    """Digital methods for a problem, the one of the fewest operations first; none where none is known.

    Parameters
    ----------
    problem:
        A problem.
    error:
        Relative error that is asked for; direct methods give rounding whatever it is.

    Raises
    ------
    InputError
        If the error is not between 0 and 1.

    Examples
    --------
    >>> import spu
    >>> from spu.studies.energy import methods
    >>> problem = spu.LinearSystem([[2.0, -0.5], [-0.5, 1.0]], [1.0, 0.0])
    >>> [(method.name, round(method.flops, 1)) for method in methods(problem, 0.01)]
    [('Cholesky factorisation', 10.7), ('conjugate gradients', 140.0)]
    """
    if error is not None and not 0 < error < 1:
        raise InputError(f"error is {shorten(error)}: a relative error between 0 and 1 is wanted")
    known = METHODS.get(getattr(problem, "task", ""))
    return () if known is None else tuple(sorted(known(problem, error), key=lambda method: method.flops))


def reference_of(
    subject: Any, assumptions: Assumptions | str | Path | None = None, *, error: float | None = None
) -> tuple[dict[str, float | None], str]:
    """The digital reference of a trained network or of a problem, and what it is, in words.

    Parameters
    ----------
    subject:
        A trained network, a problem, or None.
    assumptions:
        What `load_energy` gave, or its file; the shipped ones unless given.
    error:
        Relative error that is asked for.

    Returns
    -------
    Counts for `energy_ledger`; of a problem those of the method of the fewest operations.
    """
    if isinstance(subject, TrainedNetwork):
        return networks.reference_of(subject, assumptions)
    found = methods(subject, error)
    if not found:
        return {"mac": None}, "none is stated"
    best = found[0]
    drawn = "" if best.samples is None else f" for {best.samples:.3g} independent samples"
    words = f"{best.name}{drawn}: {best.formula} operations ({best.source})"
    return {"mac": best.flops / 2, "memory": best.words}, words
