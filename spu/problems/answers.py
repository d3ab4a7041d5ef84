"""What answers a problem: a moment of the samples, or whatever follows from both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import numpy as np

from spu.base.arrays import FloatArray, Matrix
from spu.base.distances import frobenius, on_one_pattern, relative_error

__all__ = ["COVARIANCE", "LAGGED", "LAW", "MEAN", "Answer"]


class Answer(ABC):
    """How an answer is read from two moments, and how far one is from another.

    The moments may be those of an exact law, of a run, or of a simulator, in problem units. Those of a large
    sparse network hold the entries on its pattern only.

    Attributes
    ----------
    name : str
        As messages and JSON say it: "its NAME misses the problem's by 0.1".
    moment : {"covariance", "mean"}
        Which of the two it is read from, or mostly.
    moments : tuple of str
        Those that are answers as they stand; none where it only follows from them.
    lagged : bool
        Whether it is read from the covariance of readings `spu.problems.problem.LinearProblem.lag` apart,
        ``E[x(t + lag) x(t)^T]`` about the mean, which `of` and `error` then take in place of the covariance.
    """

    name: str
    moment: str = "covariance"
    moments: tuple[str, ...] = ()
    lagged: bool = False

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def deterministic(self) -> bool:
        """Whether a circuit without noise would give it, too.

        The circuit must then hold the mean itself, as an offset added at readout would be the answer put in by
        hand; and noise, wanted or not, is no part of its error.
        """
        return self.moment == "mean"

    @abstractmethod
    def of(self, mean: FloatArray, covariance: Matrix) -> Matrix:
        """The answer that a mean (n,) and a covariance (n, n) give: an array of any shape, or a csr_array."""

    def target(self, problem: Any) -> Matrix:
        """The exact answer of a `spu.problems.problem.LinearProblem`, as `of` gives it."""
        return self.of(problem.target_mean, problem.target_covariance)

    @abstractmethod
    def error(self, mean_error: FloatArray, covariance_error: Matrix) -> Matrix:
        """Standard errors of the entries of the answer, from those (n,) and (n, n) of the moments."""

    def distance(self, found: Matrix, target: Matrix) -> float | None:
        """Relative, in the Frobenius norm, on the entries that both know; None where the target is zero."""
        return relative_error(found, target)

    def expected(self, found: Matrix, target: Matrix, error: Matrix) -> float | None:
        """Root mean square of the statistical part of `distance`, from `error`; None where the target is zero."""
        size = frobenius(on_one_pattern(found, target)[1])
        return frobenius(error) / size if size > 0 else None


class _Moment(Answer):
    """One of the two, as it is."""

    def __init__(self, name: str) -> None:
        self.name = self.moment = name
        self.moments = (name,)

    def of(self, mean: FloatArray, covariance: Matrix) -> Matrix:
        return mean if self.deterministic else covariance

    def target(self, problem: Any) -> Matrix:
        # Only the one is asked for: the covariance of a large sparse problem is work.
        return cast(Matrix, getattr(problem, f"target_{self.name}"))

    def error(self, mean_error: FloatArray, covariance_error: Matrix) -> Matrix:
        return self.of(mean_error, covariance_error)


class _Lagged(Answer):
    """The covariance of later readings with earlier ones."""

    name = "lagged covariance"
    lagged = True

    def of(self, mean: FloatArray, covariance: Matrix) -> Matrix:  # noqa: ARG002 - an answer of one moment
        return covariance

    def target(self, problem: Any) -> Matrix:
        return cast(Matrix, problem.target_lagged)

    def error(self, mean_error: FloatArray, covariance_error: Matrix) -> Matrix:  # noqa: ARG002
        return covariance_error


class _Law(Answer):
    """Of a network all of its stationary law, as far as moments say it: the mean, then the covariance, row by row."""

    name = "law"
    moments = ("covariance", "mean")

    def of(self, mean: FloatArray, covariance: Matrix) -> Matrix:
        return np.concatenate([np.ravel(mean), np.ravel(np.asarray(covariance))])

    def target(self, problem: Any) -> Matrix:
        """The exact moments of a `spu.problems.network.ThermodynamicNetwork`; refused as by its `moments`."""
        return self.of(*problem.moments())

    def error(self, mean_error: FloatArray, covariance_error: Matrix) -> Matrix:
        return self.of(mean_error, covariance_error)


COVARIANCE: Answer = _Moment("covariance")

MEAN: Answer = _Moment("mean")

LAGGED: Answer = _Lagged()

LAW: Answer = _Law()
