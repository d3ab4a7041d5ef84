"""Regression by a Gaussian process, whose posterior a device samples.

For observations y at m places a Gaussian process with the covariance k gives a Gaussian law of a function at others,

    mean = c + K_* (K + s_n^2 I)^-1 (y - c),     covariance = K_** - K_* (K + s_n^2 I)^-1 K_*^T

(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.23 and 2.24). That law is compiled to a
device, and its samples are functions that agree with the data. What is found digitally is said: the hyperparameters by
maximum likelihood, and the posterior's two moments, which cost m^3/3 multiplications. The device draws from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import scipy.linalg as la
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from spu.base.arguments import Seed, numbers, positive, seed_of, whole
from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import InputError, OptionError, UsageError
from spu.base.files import check_file
from spu.compiler import compile_problem
from spu.compiler.linear_compilation import LinearCompilation
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.emulator.predict import predict_linear
from spu.emulator.simulate import simulate
from spu.problems.gaussian import GaussianSampling
from spu.problems.matrix_files import known_suffix, read_table

__all__ = ["KERNELS", "GaussianProcess", "gaussian_process"]

KERNELS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "squared-exponential": lambda r: np.exp(-0.5 * r**2),
    "matern-32": lambda r: (1.0 + np.sqrt(3.0) * r) * np.exp(-np.sqrt(3.0) * r),
}
"""The register: the correlation of the function at two places, by their distance over the length."""

MOST_DATA, MOST_POINTS = 2000, 256
"""Observations, and places where the posterior is sampled: a cell each, or two, all coupled to all."""

CONDITION = 1e4
"""Of the covariance that is compiled, at most: what is added to its diagonal for that is said (``jitter``)."""

BAND = 1.959963984540054
"""Standard deviations on either side that hold 95 % of a normal law."""

PATHS = 6
"""Functions that are kept."""

_CURVE = 301
"""Places of the curve that is drawn."""

_DIGITS = 4
"""Of the hyperparameters: where a likelihood is largest no processor knows better than some, and all are to agree."""


@dataclass(frozen=True, eq=False, repr=False)
class GaussianProcess(Result):
    """A posterior, exactly and as a device samples it.

    Attributes
    ----------
    x, y:
        (m,) the observations, and ``names`` of both.
    kernel, signal, length, noise:
        Of the process: standard deviation of the function and of an observation about it, in units of y, and the
        length over which the function keeps its value, in units of x.
    fitted:
        Which of the three maximum likelihood has found.
    centre, log_likelihood:
        The constant about which the function varies, the mean of y; and the logarithm of the observations' density.
    at:
        (q,) places.
    mean, covariance:
        (q,), (q, q) of the posterior of the function, exact.
    curve:
        (3, c) places between, and the exact mean and standard deviation there: for the eye.
    jitter, condition:
        What was added to its diagonal before it was compiled, in units of y^2; and the condition then.
    architecture, mean_held, hardware, hash:
        Of the device. Where cells cannot hold a mean it is added at readout: then the device samples deviations.
    law_error:
        Of the device's own covariance, against what was compiled, relative (Frobenius).
    sampled_mean, mean_error, sampled_deviation, deviation_error:
        (q,) and their standard errors.
    relative_error, expected_relative_error:
        Of the sampled covariance, and what the number of samples alone makes of it.
    samples, effective_samples, device_time, seed:
        Of the run.
    coverage, coverage_error:
        Share of all sampled values within the exact 95 % band, and its standard error, from trajectories.
    held_out:
        Share of the observations inside the 95 % band that all others predict for them: of the process, not of the
        device.
    paths:
        (k, q) sampled functions, of different trajectories.
    device:
        The device.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> x = np.linspace(0.0, 6.0, 20)
    >>> found = spu.gaussian_process((x, np.sin(x)), points=5, samples=2000, noise=0.1)
    >>> found.mean.shape, found.paths.shape, bool(0.9 < found.coverage < 1.0)
    ((5,), (6, 5), True)
    """

    names: tuple[str, str]
    x: Annotated[FloatArray, "m"]
    y: Annotated[FloatArray, "m"]
    kernel: str
    signal: float
    length: float
    noise: float
    fitted: tuple[str, ...]
    centre: float
    log_likelihood: float
    at: Annotated[FloatArray, "q"]
    mean: Annotated[FloatArray, "q"]
    covariance: Annotated[FloatArray, "q q"]
    curve: Annotated[FloatArray, "three c"]
    jitter: float
    condition: float
    architecture: str
    mean_held: str
    hardware: str
    hash: str
    law_error: float
    sampled_mean: Annotated[FloatArray, "q"]
    mean_error: Annotated[FloatArray, "q"]
    sampled_deviation: Annotated[FloatArray, "q"]
    deviation_error: Annotated[FloatArray, "q"]
    relative_error: float
    expected_relative_error: float
    samples: int
    effective_samples: float
    device_time: float
    seed: int
    coverage: float
    coverage_error: float
    held_out: float
    paths: Annotated[FloatArray, "k q"]
    device: Device

    in_short = ("kernel", "signal", "length", "noise", "relative_error", "coverage")

    @property
    def deviation(self) -> Annotated[FloatArray, "q"]:
        """(q,) exact standard deviations of the function."""
        return np.sqrt(self.covariance.diagonal().clip(0))

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds."""
        keys = (
            *("names", "kernel", "signal", "length", "noise", "fitted", "centre", "log_likelihood", "at", "mean"),
            *("deviation", "covariance", "jitter", "condition", "architecture", "mean_held", "hardware", "hash"),
            *("law_error", "sampled_mean", "mean_error", "sampled_deviation", "deviation_error", "relative_error"),
            *("expected_relative_error", "samples", "effective_samples", "device_time", "seed", "coverage"),
            *("coverage_error", "held_out", "paths"),
        )
        return {key: getattr(self, key) for key in keys} | {"observations": len(self.x)}


def gaussian_process(
    data: tuple[Annotated[ArrayLike, "m"], Annotated[ArrayLike, "m"]] | str | Path,
    *,
    at: Annotated[ArrayLike, "q"] | None = None,
    points: int = 24,
    kernel: str = "matern-32",
    signal: float | None = None,
    length: float | None = None,
    noise: float | None = None,
    hardware: str | Hardware = "ideal",
    architecture: str | None = None,
    samples: float = 20_000,
    seed: Seed = 0,
    threads: int | None = None,
) -> GaussianProcess:
    """Regress y on x by a Gaussian process, and let a device sample the posterior.

    Parameters
    ----------
    data:
        (m,) places x and observations y, or a ``.csv`` file with these two columns.
    at:
        (q,) places where the function is sampled; unless given ``points`` of them at equal distances, from the least x
        to a tenth of their range beyond the largest.
    points:
        How many.
    kernel:
        One of `KERNELS`.
    signal, length, noise:
        Hyperparameters that are given; maximum likelihood finds the others, digitally, to four digits.
    hardware, architecture:
        As `spu.compile` takes them.
    samples, seed, threads:
        As `spu.simulate` takes them.

    Raises
    ------
    InputError
        If a file or the numbers cannot be taken.
    UsageError
        If an option makes no sense.
    Unrealizable
        If the hardware holds no such covariance.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> x = np.linspace(0.0, 6.0, 20)
    >>> found = spu.gaussian_process((x, np.sin(x)), points=5, samples=2000, noise=0.1)
    >>> bool((abs(found.sampled_mean - found.mean) < 6 * found.mean_error).all())
    True
    """
    x, y, names = _read(data)
    if kernel not in KERNELS:
        raise OptionError("kernel", f"is {' or '.join(KERNELS)}, not {kernel!r}")
    given = {name: positive(name, value) for name, value in (("signal", signal), ("length", length), ("noise", noise))}
    places = _places(at, points, x)
    centre = float(y.mean())
    chosen, likelihood = _fitted(KERNELS[kernel], x, y - centre, given)
    mean, covariance, held_out = _posterior(KERNELS[kernel], x, y - centre, places, *chosen)
    between = np.linspace(min(x.min(), places.min()), max(x.max(), places.max()), _CURVE)
    along, spread, _ = _posterior(KERNELS[kernel], x, y - centre, between, *chosen)
    values = la.eigvalsh(covariance)
    jitter = max(0.0, float(values[-1] - CONDITION * values[0]) / (CONDITION - 1.0))
    wanted = covariance + jitter * np.eye(len(places))
    problem = GaussianSampling(covariance=(wanted + wanted.T) / 2, mean=centre + mean)
    made = cast(LinearCompilation, compile_problem(problem, hardware, architecture=architecture))
    predicted = predict_linear(made.device, problem=problem)
    run: Any = simulate(made.device, samples=samples, trajectories=64, seed=seed_of(seed), threads=threads)
    deviation = np.sqrt(np.diagonal(run.covariance).clip(0))
    exact = np.sqrt(covariance.diagonal().clip(0))
    inside = (np.abs(run.readouts - centre - mean) <= BAND * exact).mean(axis=(1, 2))
    return GaussianProcess(
        names=names,
        x=x,
        y=y,
        kernel=kernel,
        signal=chosen[0],
        length=chosen[1],
        noise=chosen[2],
        fitted=tuple(name for name, value in given.items() if value is None),
        centre=centre,
        log_likelihood=likelihood,
        at=places,
        mean=centre + mean,
        covariance=covariance,
        curve=np.array([between, centre + along, np.sqrt(spread.diagonal().clip(0))]),
        jitter=jitter,
        condition=float((values[-1] + jitter) / (values[0] + jitter)),
        architecture=str(made.device.architecture),
        mean_held="bias currents" if made.mean == "bias" else "added at readout",
        hardware=hardware if isinstance(hardware, str) else hardware.name,
        hash=made.device.hash,
        law_error=float(predicted.covariance_relative_error or 0.0),
        sampled_mean=run.mean,
        mean_error=run.mean_error,
        sampled_deviation=deviation,
        deviation_error=np.diagonal(run.covariance_error) / (2 * deviation),
        relative_error=float(run.relative_error),
        expected_relative_error=float(run.expected_relative_error),
        samples=run.samples,
        effective_samples=run.effective_samples,
        device_time=run.device_time,
        seed=run.seed,
        coverage=float(inside.mean()),
        coverage_error=float(inside.std(ddof=1) / np.sqrt(len(inside))),
        held_out=held_out,
        paths=run.readouts[:PATHS, -1],
        device=made.device,
    )


def _read(data: Any) -> tuple[FloatArray, FloatArray, tuple[str, str]]:
    """Places, observations, and what both are called."""
    names = ("x", "y")
    if isinstance(data, (str, Path)):
        check_file(Path(data))
        table = read_table(Path(data), known_suffix(Path(data), (".csv",)))
        if table.values.ndim != 2 or table.values.shape[1] != 2:
            raise InputError("must have two columns, x and y", file=data)
        x, y = np.asarray(table.values, dtype=np.float64).T
        names = (table.names[0], table.names[1]) if table.names else names
    else:
        problem = "data are two arrays, x and y (m,), or a .csv file of them"
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise UsageError(problem)
        x, y = (numbers(part, problem) for part in data)
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"x and y must be as many finite numbers, not {x.shape} and {y.shape}")
    if not 3 <= len(x) <= MOST_DATA or not np.ptp(x) > 0 or not np.ptp(y) > 0:
        raise InputError(f"3 to {MOST_DATA} observations are wanted, that differ in x and in y; there are {len(x)}")
    return x.copy(), y.copy(), names


def _places(at: ArrayLike | None, points: int, x: FloatArray) -> FloatArray:
    if at is None:
        count = whole("points", points)
        if count is None or not 1 <= count <= MOST_POINTS:
            raise OptionError("points", f"must be from 1 to {MOST_POINTS}, not {points!r}")
        return np.linspace(x.min(), x.max() + 0.1 * np.ptp(x), count)
    problem = f"at is 1 to {MOST_POINTS} different finite numbers"
    found = np.atleast_1d(numbers(at, problem))
    good = found.ndim == 1 and 1 <= len(found) <= MOST_POINTS and np.isfinite(found).all()
    if not good or len(np.unique(found)) < len(found):
        raise UsageError(problem)
    return found


def _correlation(kernel: Callable[[FloatArray], FloatArray], a: FloatArray, b: FloatArray, length: float) -> FloatArray:
    return kernel(np.abs(a[:, None] - b) / length)


def _fitted(
    kernel: Callable[[FloatArray], FloatArray], x: FloatArray, z: FloatArray, given: dict[str, float | None]
) -> tuple[tuple[float, float, float], float]:
    """Signal, length and noise, those that are given as they are, and the logarithm of the likelihood."""
    eye, reach, spread = np.eye(len(x)), float(np.ptp(x)), float(z.std())
    lowest = {"signal": 1e-3 * spread, "length": 1e-3 * reach, "noise": 1e-3 * spread}
    highest = {"signal": 1e2 * spread, "length": 1e2 * reach, "noise": 1e2 * spread}
    free = [name for name, value in given.items() if value is None]

    def cost(logs: FloatArray) -> float:
        at: dict[str, Any] = {**given, **dict(zip(free, np.exp(logs).tolist(), strict=True))}
        covariance = at["signal"] ** 2 * _correlation(kernel, x, x, at["length"]) + at["noise"] ** 2 * eye
        try:
            root = la.cholesky(covariance, lower=True)
        except la.LinAlgError:
            return 1e300
        white = la.solve_triangular(root, z, lower=True)
        return float(0.5 * (white @ white) + np.log(root.diagonal()).sum() + 0.5 * len(x) * np.log(2 * np.pi))

    found = np.empty(0)
    if free:
        bounds = [(np.log(lowest[name]), np.log(highest[name])) for name in free]
        best = np.inf
        for share in (0.02, 0.1, 0.5):  # likelihoods of lengths have several maxima
            first = {"signal": spread, "length": share * reach, "noise": 0.5 * spread}
            begin = np.log([first[name] for name in free])
            tried = minimize(
                cost,
                begin,
                method="Nelder-Mead",
                bounds=bounds,
                options={"maxiter": 1000, "xatol": 1e-6, "fatol": 1e-9},
            )
            if tried.fun < best - 1e-6:
                best, found = float(tried.fun), tried.x
    values = {**given, **{name: float(f"{np.exp(v):.{_DIGITS}g}") for name, v in zip(free, found, strict=True)}}
    chosen = tuple(float(values[name] or 0.0) for name in ("signal", "length", "noise"))
    return (chosen[0], chosen[1], chosen[2]), -cost(np.log([float(values[name] or 0.0) for name in free]))


def _posterior(
    kernel: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    z: FloatArray,
    at: FloatArray,
    signal: float,
    length: float,
    noise: float,
) -> tuple[FloatArray, FloatArray, float]:
    """Mean (q,) and covariance (q, q) of the function; share of observations within the band of all others.

    Leaving one out costs no other solve: with ``C = K + s_n^2 I``, observation i misses what the others say of it by
    ``(C^-1 z)_i / (C^-1)_ii``, with the variance ``1 / (C^-1)_ii`` (Rasmussen and Williams, eq. 5.12).
    """
    C = signal**2 * _correlation(kernel, x, x, length) + noise**2 * np.eye(len(x))
    try:
        root = la.cholesky(C, lower=True)
    except la.LinAlgError:
        raise OptionError(
            "noise", "is too small beside signal: the covariance of the observations is singular"
        ) from None
    across = signal**2 * _correlation(kernel, at, x, length)
    half = la.solve_triangular(root, across.T, lower=True)
    mean = half.T @ la.solve_triangular(root, z, lower=True)
    covariance = signal**2 * _correlation(kernel, at, at, length) - half.T @ half
    inverse = la.cho_solve((root, True), np.eye(len(x)))
    missed = (inverse @ z) / np.sqrt(np.diagonal(inverse))
    return np.asarray(mean), np.asarray((covariance + covariance.T) / 2), float((np.abs(missed) <= BAND).mean())
