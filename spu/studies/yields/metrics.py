"""What boards are judged by: numbers of their exact laws, by name.

A metric is a number of every board, of all boards at once. Some are norms of a residual, ``|r|`` or ``|r|^2``: errors
against an answer. These all but vanish where all elements are as they are made for, and have no slope there; what
tells the shares of elements then is their second moment, which the residual's derivatives give (`Norm`). Others are
quantities with a derivative (`Quantity`).

Another metric is a class with `measures`, added to `METRICS`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.names import shorten, suggest
from spu.device.device import Device
from spu.device.variation import elements_of
from spu.emulator.laws.large import SparseLaw
from spu.emulator.laws.margins import Crossing, Loops, delay_crossing, gain_crossings
from spu.emulator.predict import Prediction, predict_linear
from spu.problems.answers import Answer
from spu.problems.problem import LinearProblem, linear_problem
from spu.studies.yields.boards import Boards

__all__ = ["METRICS", "Adjoint", "Metric", "Norm", "Quantity", "metric_of", "metrics_of", "nominal_of", "value_of"]


@dataclass(frozen=True, eq=False)
class Adjoint:
    """Derivatives of a number by the moments of a board.

    Attributes
    ----------
    mean, covariance:
        (p,) and (p, p), symmetric: the number changes by ``<mean, dm> + <covariance, dS>``.
    voltages:
        Whether the moments are those of the n cells, in volts; else of the p variables.
    """

    mean: Annotated[FloatArray, "p"]
    covariance: Annotated[FloatArray, "p p"]
    voltages: bool = False


class Metric(ABC):
    """A number of a board.

    Attributes
    ----------
    name, unit, words:
        As it is asked for; its unit, empty of none; what it is, for people.
    fails:
        ``above`` or ``below``: which side of a limit is the bad one, where one limit is given.
    relative:
        Whether it is a share, and reads well in per cent.
    """

    name: str
    unit: str
    words: str
    fails: ClassVar[str] = "above"
    relative: ClassVar[bool] = False

    @abstractmethod
    def values(self, boards: Boards) -> Annotated[FloatArray, "d"]:
        """(d,) of each board; not a number of those without a law, unless there is one all the same."""

    def adjoint(self, boards: Boards) -> Adjoint | None:  # noqa: ARG002
        """Its derivatives at the first of the boards; None where it is no function of mean and covariance."""
        return None


class Quantity(Metric):
    """A number with a derivative, whose spread is that of elements times it."""


class Norm(Metric):
    """The size of a residual, ``|r|^power``: never less than zero.

    Attributes
    ----------
    power:
        1 or 2.
    """

    power: ClassVar[int] = 1

    @abstractmethod
    def residuals(self, boards: Boards) -> Annotated[FloatArray, "d k"]:
        """(d, k) of each board; not a number, or infinite, where it has none."""

    def values(self, boards: Boards) -> Annotated[FloatArray, "d"]:
        """(d,) sizes."""
        size = np.linalg.norm(self.residuals(boards), axis=1)
        return size**self.power


# --- against an answer ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Compared(Norm):
    """A problem's answer, or the covariance of the voltages where nothing was posed.

    Attributes
    ----------
    target:
        (k,) what it should be, flat.
    answer:
        The problem's; None of voltages.
    """

    target: FloatArray
    answer: Answer | None
    name: str = ""
    unit: str = ""
    words: str = ""
    relative: ClassVar[bool] = True

    def found(self, boards: Boards) -> FloatArray:
        """(d, k) what they give."""
        laws = boards.laws
        if self.answer is None:
            return laws.voltage_covariance.reshape(len(boards), -1)
        if self.answer.lagged:
            return boards.lagged.reshape(len(boards), -1)
        if self.answer.moments in (("covariance",), ("mean",)):  # as they stand: of all boards at once
            given = laws.mean if self.answer.deterministic else laws.covariance
            return given.reshape(len(boards), -1)
        found = np.full((len(boards), len(self.target)), np.nan)
        for k in np.flatnonzero(laws.stable).tolist():
            found[k] = np.ravel(np.asarray(self.answer.of(laws.mean[k], laws.covariance[k])))
        return found

    def slope(self, by_found: FloatArray, boards: Boards) -> Adjoint | None:
        """The adjoint of a number whose derivatives by what is found are (k,)."""
        if self.answer is None:
            n = boards.laws.voltage_mean.shape[1]
            return Adjoint(np.zeros(n), by_found.reshape(n, n), voltages=True)
        p = boards.laws.mean.shape[1]
        if self.answer.moments == ("covariance",) and not self.answer.lagged:
            return Adjoint(np.zeros(p), by_found.reshape(p, p))
        if self.answer.moments == ("mean",):
            return Adjoint(by_found, np.zeros((p, p)))
        return None


class _RelativeError(_Compared):
    """``|found - target| / |target|``."""

    def residuals(self, boards: Boards) -> FloatArray:
        return np.asarray((self.found(boards) - self.target) / np.linalg.norm(self.target))

    def adjoint(self, boards: Boards) -> Adjoint | None:
        residual = self.residuals(boards)[0]
        size = float(np.linalg.norm(residual))
        if not size:
            return None
        return self.slope(residual / (size * float(np.linalg.norm(self.target))), boards)


class _RescaledError(_Compared):
    """``min over c of |c found - target| / |target|``: a common factor is a matter of the readout's gain."""

    def residuals(self, boards: Boards) -> FloatArray:
        found = self.found(boards)
        square = (found**2).sum(axis=1)
        factor = np.divide(found @ self.target, square, out=np.zeros(len(found)), where=square != 0)
        return np.asarray((factor[:, None] * found - self.target) / np.linalg.norm(self.target))

    def adjoint(self, boards: Boards) -> Adjoint | None:
        # The factor is where the error has no slope along it: only the explicit part counts.
        found, residual = self.found(boards)[0], self.residuals(boards)[0]
        size, factor = float(np.linalg.norm(residual)), float(found @ self.target / (found @ found))
        if not size:
            return None
        return self.slope(factor * residual / (size * float(np.linalg.norm(self.target))), boards)


@dataclass(frozen=True, eq=False)
class _Divergence(Norm):
    """Kullback-Leibler divergence to the target (`spu.kullback_leibler`), nats.

    With the target's factor L, ``S0 = L L^T``, and the eigenvalues e of ``G = L^-1 (S - S0) L^-T`` it is
    ``sum(f(e)^2) + |L^-1 (m - m0)|^2 / 2``, where ``f(e)^2 = (e - log(1 + e)) / 2`` and f(e) is about e / 2. So it is
    the square of a smooth residual, the entries of f(G) and ``L^-1 (m - m0) / sqrt(2)``.
    """

    mean: FloatArray
    factor: FloatArray
    voltages: bool
    name: str = "kl"
    unit: str = "nats"
    words: str = "Kullback-Leibler divergence"
    power: ClassVar[int] = 2

    def _moments(self, boards: Boards) -> tuple[FloatArray, FloatArray]:
        laws = boards.laws
        return (laws.voltage_mean, laws.voltage_covariance) if self.voltages else (laws.mean, laws.covariance)

    def residuals(self, boards: Boards) -> FloatArray:
        mean, covariance = self._moments(boards)
        p = len(self.mean)
        found = np.full((len(boards), p * p + p), np.nan)
        good = np.isfinite(covariance).all(axis=(1, 2))
        if good.any():
            inverse = la.solve_triangular(self.factor, np.eye(p), lower=True)
            gap = inverse @ (covariance[good] - self.factor @ self.factor.T) @ inverse.T
            values, vectors = np.linalg.eigh((gap + gap.transpose(0, 2, 1)) / 2)
            root = _root_of_excess(values)
            singular = ~np.isfinite(root).all(axis=1)
            root[singular] = np.inf
            with np.errstate(invalid="ignore"):
                spread = (vectors * root[:, None, :]) @ vectors.transpose(0, 2, 1)
            spread[singular] = np.inf
            shift = (mean[good] - self.mean) @ inverse.T / math.sqrt(2.0)
            found[good] = np.concatenate([spread.reshape(len(spread), -1), shift], axis=1)
        return found

    def adjoint(self, boards: Boards) -> Adjoint | None:
        mean, covariance = (moment[0] for moment in self._moments(boards))
        target = self.factor @ self.factor.T
        inverse = la.inv(target)
        by_covariance = (inverse - la.inv(covariance)) / 2
        return Adjoint(inverse @ (mean - self.mean), (by_covariance + by_covariance.T) / 2, self.voltages)


def _root_of_excess(e: FloatArray) -> FloatArray:
    """``f`` with ``f^2 = (e - log(1 + e)) / 2`` and the sign of e; infinite where e is -1 or less."""
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = e - np.log1p(e)
    # The first terms of the series where the difference of two like numbers has no digits.
    series = e**2 * (1 / 2 - e * (1 / 3 - e * (1 / 4 - e * (1 / 5 - e * (1 / 6 - e * (1 / 7 - e / 8))))))
    near = np.abs(e) < 1e-2
    size = np.where(near, series, np.where(e <= -1.0, np.inf, excess))
    return np.asarray(np.sign(e) * np.sqrt(size / 2))


# --- single moments ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Entry(Quantity):
    """One entry of mean or covariance, or what follows from a few."""

    kind: str
    rows: tuple[int, ...]
    name: str
    unit: str
    words: str

    def values(self, boards: Boards) -> FloatArray:
        mean, covariance = boards.laws.mean, boards.laws.covariance
        a, b = self.rows[0], self.rows[-1]
        if self.kind == "mean":
            return mean[:, a].copy()
        if self.kind == "deviation":
            return np.sqrt(covariance[:, a, a])
        if self.kind == "correlation":
            return np.asarray(covariance[:, a, b] / np.sqrt(covariance[:, a, a] * covariance[:, b, b]))
        return covariance[:, a, b].copy()

    def adjoint(self, boards: Boards) -> Adjoint | None:
        covariance = boards.laws.covariance[0]
        by_mean, by_covariance = np.zeros(len(covariance)), np.zeros_like(covariance)
        a, b = self.rows[0], self.rows[-1]
        if self.kind == "mean":
            by_mean[a] = 1.0
        elif self.kind == "deviation":
            by_covariance[a, a] = 0.5 / math.sqrt(covariance[a, a])
        elif self.kind == "correlation":
            value = float(self.values(boards)[0])
            slope = 0.5 / math.sqrt(covariance[a, a] * covariance[b, b])
            by_covariance[a, b] += slope
            by_covariance[b, a] += slope
            for k in (a, b):
                by_covariance[k, k] -= 0.5 * value / covariance[k, k]
        else:
            by_covariance[a, b] += 0.5
            by_covariance[b, a] += 0.5
        return Adjoint(by_mean, by_covariance)


# --- times ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _TimeConstant(Quantity):
    """How long the slowest mode takes that the probes see."""

    name: str = "time-constant"
    unit: str = "s"
    words: str = "longest time constant that the probes see"

    def values(self, boards: Boards) -> FloatArray:
        return boards.slowest


@dataclass(frozen=True, eq=False)
class _StabilityMargin(Quantity):
    """How fast what is slowest decays; less than nothing grows, of boards without a law, too."""

    name: str = "stability-margin"
    unit: str = "1/s"
    words: str = "decay rate of the slowest mode, less than zero of an unstable board"
    fails: ClassVar[str] = "below"

    def values(self, boards: Boards) -> FloatArray:
        return np.array([-float(poles.real.max(initial=-np.inf)) for poles in boards.poles])


@dataclass(frozen=True, eq=False)
class _Crossing(Quantity):
    """How much stronger or later transconductors may be, all alike, until a mode no longer decays."""

    crossing: Callable[[Loops], Crossing | None]
    name: str
    unit: str
    words: str
    fails: ClassVar[str] = "below"

    def values(self, boards: Boards) -> FloatArray:
        return boards.crossings(self.crossing)


def _gain(loops: Loops) -> Crossing | None:
    return gain_crossings(loops)[1]


def _crossing(
    crossing: Callable[[Loops], Crossing | None], name: str, unit: str, words: str
) -> Callable[[Nominal, Sequence[str]], Metric]:
    def made(nominal: Nominal, _: Sequence[str]) -> Metric:
        found = _Crossing(crossing, name, unit, words)
        if not math.isfinite(value_of(nominal.device, found)):
            raise UsageError(f"{name} has no meaning here: no {words.split()[0]} of transconductors makes it unstable")
        return found

    return made


# --- the register --------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A metric in the register.

    Attributes
    ----------
    words:
        What it is.
    made:
        Makes it for a device, of what `nominal_of` gives and the words that follow its name.
    follows:
        What these are: names of variables.
    """

    words: str
    made: Callable[[Nominal, Sequence[str]], Metric]
    follows: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Nominal:
    """The device as it is made for, and what it is compared with.

    Attributes
    ----------
    device, law:
        The device, and its exact statistics.
    problem:
        None where nothing was posed: boards are compared with the device then.
    """

    device: Device
    law: Prediction
    problem: LinearProblem | None = None

    @property
    def unit(self) -> str:
        """Of the variables: V where they are the cells' voltages."""
        return "V" if self.problem is None and self.device._readout is None else ""


def nominal_of(device: Device) -> Nominal:
    """The device as it is made for.

    Raises
    ------
    CircuitError
        If it has no stationary law itself.
    UsageError
        If it is too large for all entries of its covariance.
    """
    law = predict_linear(device)
    if any(isinstance(each, SparseLaw) for each in law.laws):
        raise UsageError("boards of so large a device are too much: of its covariance only some entries are known")
    return Nominal(device, law, linear_problem(device.problem))


def _compared(cls: type[_Compared], name: str, words: str) -> Callable[[Nominal, Sequence[str]], Metric]:
    def made(nominal: Nominal, _: Sequence[str]) -> Metric:
        problem = nominal.problem
        if problem is None:
            target = nominal.law.voltage_covariance
            return cls(np.ravel(np.asarray(target)), None, name, "", f"{words} of the voltages' covariance")
        answer = problem.kind.answer
        target = np.ravel(np.asarray(answer.target(problem)))
        if not np.linalg.norm(target) > 0:
            raise UsageError(f"{name} has no meaning: the {answer.name} that the problem asks for is zero")
        return cls(target, answer, name, "", f"{words} of the {answer.name}")

    return made


def _divergence(nominal: Nominal, _: Sequence[str]) -> Metric:
    problem, law = nominal.problem, nominal.law
    voltages = problem is None
    mean, covariance = law.voltage_mean, law.voltage_covariance
    if problem is not None:
        mean, covariance = problem.target_mean, problem.target_covariance
    try:
        factor = np.linalg.cholesky(np.asarray(covariance))
    except np.linalg.LinAlgError:
        raise UsageError("kl has no meaning here: the covariance to compare with is singular") from None
    return _Divergence(np.asarray(mean), factor, voltages)


def _entry(kind: str, square: bool, words: str) -> Callable[[Nominal, Sequence[str]], Metric]:
    def made(nominal: Nominal, names: Sequence[str]) -> Metric:
        variables = nominal.law.variables
        rows = []
        for name in names:
            if name not in variables:
                raise UsageError(f"{kind}: there is no variable {shorten(name)}; {suggest(name, variables)}")
            rows.append(variables.index(name))
        unit = "" if kind == "correlation" else nominal.unit
        unit = f"{unit}^2" if unit and square else unit
        return _Entry(kind, tuple(rows), " ".join((kind, *names)), unit, f"{words} of {' and '.join(names)}")

    return made


METRICS: dict[str, Entry] = {
    "relative-error": Entry(
        "error of the problem's answer, relative (Frobenius); without a problem of the voltages' covariance, against "
        "the device as it is made for",
        _compared(_RelativeError, "relative-error", "relative error"),
    ),
    "rescaled-error": Entry(
        "the same after the best common factor",
        _compared(_RescaledError, "rescaled-error", "relative error, after the best common factor,"),
    ),
    "kl": Entry("Kullback-Leibler divergence to the law that is asked for, nats", _divergence),
    "mean": Entry("mean of a variable", _entry("mean", False, "mean"), ("NAME",)),
    "variance": Entry("variance of a variable", _entry("variance", True, "variance"), ("NAME",)),
    "deviation": Entry("standard deviation of a variable", _entry("deviation", False, "standard deviation"), ("NAME",)),
    "covariance": Entry("covariance of two variables", _entry("covariance", True, "covariance"), ("NAME", "NAME")),
    "correlation": Entry("correlation of two variables", _entry("correlation", False, "correlation"), ("NAME", "NAME")),
    "time-constant": Entry("longest time constant that the probes see, s", lambda _n, _w: _TimeConstant()),
    "stability-margin": Entry(
        "decay rate of the slowest mode, 1/s; less than zero of an unstable board", lambda _n, _w: _StabilityMargin()
    ),
    "gain-margin": Entry(
        "common factor on all transconductors at which a board becomes unstable",
        _crossing(_gain, "gain-margin", "", "gain at which all transconductors together make it unstable"),
    ),
    "delay-margin": Entry(
        "common delay of all transconductors at which a board becomes unstable, s",
        _crossing(delay_crossing, "delay-margin", "s", "delay at which all transconductors together make it unstable"),
    ),
}
"""By the first word of their names."""


def metric_of(given: Device | Nominal, name: str) -> Metric:
    """A metric of a device's boards, by name.

    Parameters
    ----------
    given:
        The device, or what `nominal_of` gives of it.
    name:
        One of `METRICS`, with the names of variables that it is of: ``relative-error``, ``variance x1``,
        ``covariance x1 x2``.

    Raises
    ------
    UsageError
        For a name that is none, or one that has no meaning for the device.
    """
    word, *rest = name.split() if isinstance(name, str) and name.strip() else [str(name)]
    if word not in METRICS:
        raise UsageError(f"no metric {shorten(word)}; {suggest(word, METRICS)}")
    known = METRICS[word]
    if len(rest) != len(known.follows):
        wanted = " ".join((word, *known.follows))
        raise UsageError(f"the metric {shorten(name)} should be {wanted!r}: {known.words}")
    return known.made(given if isinstance(given, Nominal) else nominal_of(given), rest)


def metrics_of(given: Device | Nominal, names: Sequence[str]) -> list[Metric]:
    """Several of them."""
    nominal = given if isinstance(given, Nominal) else nominal_of(given)
    return [metric_of(nominal, name) for name in names]


def value_of(device: Device, metric: Metric) -> float:
    """A metric of the device as it is made for."""
    elements = elements_of(device)
    return float(metric.values(Boards(device, elements, np.ones((1, len(elements)))))[0])
