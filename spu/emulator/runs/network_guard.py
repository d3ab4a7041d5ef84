"""What a run of a network is held against before it becomes a result.

The steps themselves are held against plain numpy as they are taken (`spu.emulator.runs.langevin_plain`). Here are
the run's own steps of half the size on the same noise, and the stationary law where the run must have come to it.

A run has `FALSE_ALARM` for all of its tests together (Bonferroni). The law's tests are Chernoff's bound
``P(mean of N >= a) <= exp(-N (s a - ln E exp(s y)))``, true for every N, s and law of y; those on steps are
Student's, among trajectories, which are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import logsumexp, stdtrit

from spu.base.arrays import FloatArray
from spu.base.errors import InternalError
from spu.emulator.runs.langevin_run import Paths
from spu.problems.network import ThermodynamicNetwork

FALSE_ALARM = 1e-9
"""Of all tests of a run together."""

ACCURACY = {"heun": 0.01, "euler-maruyama": 0.03, "leimkuhler-matthews": 0.02, "baoab": 0.01}
"""Of steps that are chosen here: means to so many standard deviations, variances to so many of themselves."""

ORDER = {"heun": 2, "euler-maruyama": 1, "leimkuhler-matthews": 2, "baoab": 2}

WARNED, REFUSED = 0.03, 0.35
"""Of steps that are given: expected error of a variance that is said, and that is not accepted."""

_FORGOTTEN = 25.0
"""Slowest rate times the time since the last change after which the start is forgotten."""

_GROUPS = 16
"""Groups of coupled units whose law is looked at, at most; and of larger ones as many as cost the same."""

_COST = {1: 1, 2: 8}
"""Of a group's quadrature, in those of one unit; larger ones are left out."""


def step_bias(scheme: str, z: float) -> float:
    """Relative error of a stationary variance at rate times step z, of a linear force."""
    if ORDER[scheme] == 1:
        return 0.5 * z / (1 - 0.5 * z) if z < 2 else np.inf
    return 0.25 * z * z


@dataclass(frozen=True)
class Gap:
    """The largest difference that steps of half the size make, as the error of the steps that were taken.

    Attributes
    ----------
    error:
        Of a mean in standard deviations (without noise: of how far the coordinate went), or of a variance
        relative to itself; less what chance makes of it.
    what, coordinate:
        ``mean`` or ``variance``, and whose.
    """

    error: float
    what: str
    coordinate: int


def halved_steps(paths: Paths, scheme: str) -> Gap:
    """Compare the trajectories that were run with half the step beside, too, with themselves."""
    check = paths.check
    if len(check) < 2 or not check[:, 3].any():
        return Gap(0.0, "mean", 0)
    scale = check[:, 2].mean(axis=0)
    moved = check[:, 3].mean(axis=0)
    known = 2.0 ** ORDER[scheme]
    quantile = float(-stdtrit(len(check) - 1, FALSE_ALARM / 4 / (2 * check.shape[2])))
    # Sums over comparisons cancel; a shift of the mean by 1 % of the way is no error of the variance.
    comparisons = max(1.0, paths.compared)
    sizes = np.sqrt((scale + moved) * comparisons), scale + 0.01 * moved
    worst = Gap(0.0, "mean", 0)
    for row, what in enumerate(("mean", "variance")):
        gaps = check[:, row]
        chance = quantile * gaps.std(axis=0, ddof=1) / np.sqrt(len(gaps))
        size = np.where(sizes[row] > 0, sizes[row], np.inf)
        error = known / (known - 1) * np.maximum(np.abs(gaps.mean(axis=0)) - chance, 0.0) / size
        k = int(np.argmax(error))
        if error[k] > worst.error:
            worst = Gap(float(error[k]), what, k)
    return worst


def hold_against_law(
    network: ThermodynamicNetwork,
    states: FloatArray,
    *,
    elapsed: float,
    stationary: bool,
    damping: float,
    accuracy: float,
    most: int = _GROUPS,
) -> int:
    """Hold final states against the stationary law, of those units that must have come to it.

    Parameters
    ----------
    network:
        At the last inputs, in its own units.
    states:
        (trajectories, n).
    elapsed:
        Since inputs last changed, in units of the network's time.
    stationary:
        Whether the run began in this law.
    damping:
        Factor on rates of relaxation, 1 where there is no inertia.
    accuracy:
        By which means and variances may be off.
    most:
        Groups of units looked at.

    Returns
    -------
    int
        How many moments were held against it.

    Raises
    ------
    InternalError
        If a moment is off by more than ``accuracy`` and than chance makes of it, once in 1e9 runs.
    """
    if network.kT == 0 or not network.reciprocal or len(states) < 2:
        return 0
    rate = damping * network.mobility

    def settled(slowest: float) -> bool:
        return stationary or rate * slowest * elapsed >= _FORGOTTEN

    if network.quadratic:
        if network.n > 200 or not settled(network.convexity()):
            return 0
        return _gaussian(network, states, accuracy)
    everywhere = settled(network.convexity())
    tests = []
    for group in network.groups:
        cost = _COST.get(len(group))
        if cost is None or most < cost:
            continue
        most -= cost
        nodes, weights = network.law(group)
        if not everywhere and not (len(group) == 1 and settled(_gap(network, int(group[0]), nodes[:, 0]))):
            continue
        mean = weights @ nodes
        away, found = nodes - mean, states[:, group] - mean
        spread = np.sqrt(weights @ away**2)
        for i, k in enumerate(group):
            name = network.variables[k]
            tests.append((f"the mean of {name}", away[:, i], found[:, i], weights, spread[i]))
            square = spread[i] ** 2
            tests.append(
                (f"the variance of {name}", away[:, i] ** 2 - square, found[:, i] ** 2 - square, weights, square)
            )
            for j in range(i):
                both, size = weights @ (away[:, i] * away[:, j]), spread[i] * spread[j]
                what = f"the covariance of {network.variables[group[j]]} and {name}"
                tests.append((what, away[:, i] * away[:, j] - both, found[:, i] * found[:, j] - both, weights, size))
    for what, law, found_values, weights, size in tests:
        _require(what, float(found_values.mean()), size, accuracy, len(states), len(tests), law, weights)
    return len(tests)


def _require(
    what: str, off: float, size: float, accuracy: float, count: int, tests: int, law: FloatArray, weights: FloatArray
) -> None:
    """Raise unless a mean of ``count`` values of a centred law may be ``off`` by chance and accuracy."""
    excess = abs(off) - accuracy * size
    if not excess > 0:
        if np.isnan(off):
            raise InternalError(f"{what} is no number")
        return
    signed = law if off > 0 else -law
    natural = excess / float(weights @ law**2)
    tilts = natural * np.array([0.25, 0.5, 0.75, 1.0, 1.5])
    with np.errstate(divide="ignore"):
        cumulants = logsumexp(np.log(weights) + tilts[:, None] * signed, axis=1)
    exponent = -count * float((tilts * excess - cumulants).max())
    _refuse_unlikely(what, off, size, exponent, tests)


def _refuse_unlikely(what: str, off: float, size: float, exponent: float, tests: int) -> None:
    if exponent < np.log(FALSE_ALARM / 4 / max(1, tests)):
        raise InternalError(
            f"{what} is off the exact stationary one by {off / size:.3g} of its size, which chance makes once in "
            f"10^{-exponent / np.log(10):.0f} runs"
        )


def _gaussian(network: ThermodynamicNetwork, states: FloatArray, accuracy: float) -> int:
    """Means and covariances in coordinates in which they are independent normals of variance 1."""
    mean, covariance = network.moments()
    values, vectors = np.linalg.eigh(covariance)
    white = (states - mean) @ (vectors / np.sqrt(values))
    count, n = white.shape
    products = white.T @ white / count
    tests = n + n * (n + 1) // 2
    grid = np.linspace(0.02, 0.98, 25)
    for i, off in enumerate(white.mean(axis=0)):
        excess = max(0.0, abs(off) - accuracy)
        _refuse_unlikely(f"the mean of mode {i + 1}", float(off), 1.0, -count * excess**2 / 2, tests)
    for i in range(n):
        off = float(products[i, i]) - 1
        excess = abs(off) - accuracy
        if excess > 0:  # of a chi-squared variable's mean: (e - ln(1 + e))/2, either way
            e = np.sign(off) * excess
            exponent = -count * 0.5 * (e - np.log1p(e)) if e > -1 else -np.inf
            _refuse_unlikely(f"the variance of mode {i + 1}", off, 1.0, float(exponent), tests)
    beyond = np.abs(np.tril(products, -1)) - accuracy
    for i, j in np.argwhere(beyond > 0)[:1000]:
        exponent = -count * float((grid * beyond[i, j] + 0.5 * np.log1p(-(grid**2))).max())
        what = f"the covariance of modes {j + 1} and {i + 1}"
        _refuse_unlikely(what, float(products[i, j]), 1.0, exponent, tests)
    return tests


def _gap(network: ThermodynamicNetwork, unit: int, nodes: FloatArray) -> float:
    """The slowest rate of one unit by itself, over its mobility: of the Fokker-Planck equation on a grid."""
    x = nodes[:: max(1, len(nodes) // 250)]
    J2, J3, J4 = (float(each[unit]) for each in (network.J2, network.J3, network.J4))
    field = float(network.input[unit] - network.bias[unit])
    energy = (((J4 * x + J3) * x + J2) * x - field) * x / network.kT
    hop = network.kT / (x[1] - x[0]) ** 2
    rise = np.diff(energy)
    # Symmetrised: jumps to a neighbour at rates whose ratio is Boltzmann's.
    leave = np.zeros(len(x))
    leave[:-1] += hop * np.exp(np.clip(-rise / 2, -300, 300))
    leave[1:] += hop * np.exp(np.clip(rise / 2, -300, 300))
    values = eigh_tridiagonal(leave, np.full(len(x) - 1, -hop), eigvals_only=True, select="i", select_range=(0, 1))
    # Below this, rounding; and the grid's own error is far from what is asked of it.
    return float(values[1]) if values[1] > 1e-10 * leave.max() else 0.0
