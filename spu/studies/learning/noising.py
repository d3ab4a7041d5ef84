r"""Noising: images that dissolve while the couplings are off, and what of it is known without sampling.

The pattern of an image is held by a field: unit i of an image's level s_i starts in equilibrium with the field
``strength s_i``. Then the field is lowered to 0 in a straight line over a share of the time, and nothing acts for the
rest of it but the unit's own potential and the bath. The units do not feel one another, so what a unit does hangs on
its own level alone, and means of products of two units are products of means. The law of one unit, for each level
that there is, says all: no trajectory has to be drawn.

That law is the one of the scheme that is stepped (Euler-Maruyama with the mean field of each step), not of its limit:

.. math:: x' = a(x) + h I + \sigma \xi, \qquad a(x) = x - h f(x), \quad \sigma^2 = 2 h k T

with ``f`` the slope of the unit's potential (mobility 1). Its density p is smooth on the scale of thermal noise,
however small the step is, so a few points a standard deviation hold it to rounding, as a trigonometric
polynomial. The characteristic function after a step is ``exp(i k h I - sigma^2 k^2 / 2) int p(x) exp(i k a(x)) dx``: a
fixed matrix, and a shift that hangs on the field. Moments are analytic in the level, so they are stepped at Chebyshev
points of the range of levels and interpolated, twice as densely until the points in between are met.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, UsageError
from spu.base.threads import one_blas_thread
from spu.emulator.runs.langevin_run import Grid, Schedule
from spu.problems.network import ThermodynamicNetwork

MOST_STEPS = 1_000_000
"""Of a trajectory."""

_POINTS = 3.0
"""Points of the density a standard deviation of the sharpest law."""

_MOST_POINTS = 2048

_MARGIN = 1.1
"""Width of the range of states that is kept, over what units need: it closes on itself."""

_FINE = 20_001

_NEGLIGIBLE = 1e-18
"""Of a law's largest value."""

_FIRST, _MOST = 17, 257
"""Chebyshev points of the levels, at first and at most."""

_CLOSE = 1e-6
"""By which half of the points may miss the others: all of them then miss by about its square."""


@dataclass(frozen=True)
class Noising:
    """How images dissolve.

    Attributes
    ----------
    J2, J3, J4, kT:
        Of each unit (mobility 1).
    duration, step:
        Of a trajectory, and of the Euler-Maruyama scheme.
    strength:
        Field of level 1.
    lowered:
        Share of the duration in which the field goes to 0.
    """

    J2: float = 1.0
    J3: float = 0.0
    J4: float = 1.0
    kT: float = 0.1
    duration: float = 2.5
    step: float = 1e-3
    strength: float = 2.0
    lowered: float = 0.75

    def __post_init__(self) -> None:
        for name in ("kT", "duration", "step", "strength"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise UsageError(f"{name} must be positive and finite, not {value!r}")
        if not 0 < self.lowered < 1:
            raise UsageError(f"the share in which the field is lowered must be between 0 and 1, not {self.lowered!r}")
        if not self.duration / self.step <= MOST_STEPS:
            raise UsageError(f"{self.duration / self.step:.3g} steps are too many: {MOST_STEPS} at most")
        self.units(np.zeros(1))

    @cached_property
    def grid(self) -> Grid:
        """Of steps: the field's end is a mark of it."""
        return Grid.of(
            np.array([self.duration]),
            np.array([self.lowered * self.duration]),
            lambda middle: np.full(len(middle), self.step),
            False,
        )

    @cached_property
    def steps(self) -> tuple[FloatArray, FloatArray]:
        """Sizes (t,) and the share of the field that acts during each step (t,), its mean."""
        plan = Schedule(np.array([0.0, self.lowered * self.duration]), np.array([[1.0], [0.0]]))
        found = self.grid.steps(0, self.grid.total, plan)
        rows = found.fields[:, 0]
        low, high = rows[found.segment], rows[found.segment + 1]
        return found.sizes, low + 0.5 * (found.begin + found.end) * (high - low)

    def units(self, levels: FloatArray) -> ThermodynamicNetwork:
        """Units that are held at levels (m,), apart from one another."""
        return ThermodynamicNetwork(
            self.J2, self.J3, self.J4, input=self.strength * levels, kT=self.kT, units=len(levels)
        )

    def slope(self, x: FloatArray) -> FloatArray:
        """The slope of a unit's potential without fields, of the shape of x."""
        return np.asarray(((4 * self.J4 * x + 3 * self.J3) * x + 2 * self.J2) * x)

    def curvature(self, x: FloatArray) -> FloatArray:
        """The slope's slope."""
        return np.asarray((12 * self.J4 * x + 6 * self.J3) * x + 2 * self.J2)

    def require_stable(self, levels: FloatArray) -> None:
        """Refuse a step at which the scheme would not follow the field's own equilibrium.

        Raises
        ------
        UsageError
            If a step times the curvature is above 1 where units are found.
        """
        fastest = float(self.curvature(reach(self, levels)[0]).max())
        if not self.step * fastest <= 1:
            raise UsageError(
                f"a step of {self.step:g} is too large for units whose fastest rate is {fastest:.3g}: "
                f"{0.05 / fastest:.1g} would do"
            )


class UnitPaths(NamedTuple):
    """Moments of one unit after each of t steps, for each of m levels.

    Attributes
    ----------
    mean, square:
        (t, m) of x' and of its square.
    gap:
        (t, m) mean of ``-(x' - x) + h f(x')``: how far the step back is from what the unit would do by itself.
    """

    mean: FloatArray
    square: FloatArray
    gap: FloatArray


def reach(noising: Noising, levels: FloatArray) -> tuple[FloatArray, float]:
    """Ends (2,) of where units at these levels, and at none, are found; the smallest deviation of their laws."""
    ends = np.unique([min(0.0, levels.min()), 0.0, max(0.0, levels.max())])
    units = noising.units(ends)
    out = float(units.extent().max())
    x = np.linspace(-out, out, _FINE)
    weights = boltzmann(noising, x, ends)
    inside = np.flatnonzero((weights > _NEGLIGIBLE).any(axis=1))
    weights /= weights.sum(axis=0)
    deviation = np.sqrt(np.maximum(x**2 @ weights - (x @ weights) ** 2, (x[1] - x[0]) ** 2))
    return x[[max(0, inside[0] - 1), min(_FINE - 1, inside[-1] + 1)]], float(deviation.min())


def boltzmann(noising: Noising, x: FloatArray, levels: FloatArray) -> FloatArray:
    """(k, m) at k states and of m levels, 1 where it is largest."""
    own = ((noising.J4 * x + noising.J3) * x + noising.J2) * x**2
    depth = (own[:, None] - noising.strength * levels * x[:, None]) / noising.kT
    return np.asarray(np.exp(depth.min(axis=0) - depth))


@one_blas_thread()
def unit_paths(noising: Noising, levels: FloatArray) -> UnitPaths:
    """Step the law of a unit at each of (m,) levels.

    Raises
    ------
    UsageError
        If the step is too large.
    InputError
        If kT is too small.
    """
    noising.require_stable(levels)
    (low, high), deviation = reach(noising, levels)
    count = 2 * int(np.ceil(0.5 * _MARGIN * (high - low) * _POINTS / deviation))
    if count > _MOST_POINTS:
        raise InputError(f"kT is {noising.kT:g}: the law of a unit is too sharp to be stepped; a larger one would do")
    spacing = _MARGIN * (high - low) / count
    x = 0.5 * (low + high) + spacing * (np.arange(count) - count // 2)
    waves = 2 * np.pi * np.fft.rfftfreq(count, spacing)
    slope = noising.slope(x)
    law = boltzmann(noising, x, levels)
    law /= law.sum(axis=0)
    sizes, shares = noising.steps
    found = [np.empty((len(sizes), len(levels))) for _ in UnitPaths._fields]
    # The rows of a wave's coefficients: real parts, then imaginary ones.
    phases = np.exp(-1j * waves[:, None] * (x - x[0]))
    to_waves = np.concatenate([phases.real, phases.imag])
    back = np.fft.irfft(np.eye(len(waves)), count, axis=0), np.fft.irfft(1j * np.eye(len(waves)), count, axis=0)
    to_law = np.concatenate(back, axis=1)
    rows = np.stack([x, x**2, slope]) @ to_law
    before, state, m = x @ law, to_waves @ law, len(waves)
    kernels: dict[float, FloatArray] = {}
    for t, (h, share) in enumerate(zip(sizes, shares, strict=True)):
        if h not in kernels:
            spread = np.exp(-h * noising.kT * waves[:, None] ** 2 - 1j * waves[:, None] * (x - h * slope - x[0]))
            kernels[h] = np.concatenate([spread.real, spread.imag]) @ to_law
        state = kernels[h] @ state
        if share:
            turn = (h * share * noising.strength) * waves[:, None] * levels
            cosine, sine, real, imag = np.cos(turn), np.sin(turn), state[:m], state[m:]
            state = np.concatenate([cosine * real + sine * imag, cosine * imag - sine * real])
        mean, square, force = rows @ state
        found[0][t], found[1][t], found[2][t] = mean, square, before - mean + h * force
        before = mean
    return UnitPaths(*found)


@dataclass(frozen=True)
class Levels:
    """Paths of units at any level of a range, from those at some.

    Attributes
    ----------
    points:
        (k,) levels at which they are known.
    paths:
        Of these.
    exact:
        Whether only these levels will be asked for; else they are Chebyshev's points of the range.
    """

    points: FloatArray
    paths: UnitPaths
    exact: bool

    @classmethod
    def of(cls, noising: Noising, levels: FloatArray) -> Levels:
        """For all levels in an array of any shape.

        Raises
        ------
        UsageError
            As `unit_paths`.
        """
        distinct = np.unique(levels)
        if len(distinct) <= _FIRST:
            return cls(distinct, unit_paths(noising, distinct), True)
        low, high = distinct[[0, -1]]
        count = _FIRST
        while True:
            points = 0.5 * (low + high) - 0.5 * (high - low) * np.cos(np.pi * np.arange(count) / (count - 1))
            paths = unit_paths(noising, points)
            weights = _barycentric(points[::2], points[1::2])
            missed = max(
                float(np.abs(part[:, ::2] @ weights.T - part[:, 1::2]).max() / np.abs(part).max()) for part in paths
            )
            if missed <= _CLOSE:
                return cls(points, paths, False)
            count = 2 * count - 1
            if count > _MOST:
                raise InputError(
                    f"the response of a unit to levels from {low:g} to {high:g} is too sharp to be interpolated: "
                    "a larger kT or a smaller contrast would do"
                )

    def weights(self, levels: FloatArray) -> FloatArray:
        """(n, k) whose products with what is known at the points give it at (n,) levels."""
        if self.exact:
            return np.asarray((levels[:, None] == self.points).astype(np.float64))
        return _barycentric(self.points, levels)


def _barycentric(points: FloatArray, wanted: FloatArray) -> FloatArray:
    """(n, k) weights of interpolation from k Chebyshev points, ends included."""
    signs = (-1.0) ** np.arange(len(points))
    signs[[0, -1]] *= 0.5
    apart = wanted[:, None] - points
    hit = apart == 0
    terms = signs / np.where(hit, 1.0, apart)
    met = hit.any(axis=1)
    terms[met] = hit[met]
    return np.asarray(terms / terms.sum(axis=1, keepdims=True))


def drives(patterns: FloatArray, hidden: int, projection: int | None) -> FloatArray:
    """(images, n) levels of all units for (images, m) patterns.

    Parameters
    ----------
    hidden:
        How many there are; n = m + hidden.
    projection:
        None: hidden unit k gets the level of pixel k mod m. Else the seed of a fixed random projection, with normal
        entries of variance ``1 / m``.
    """
    m = patterns.shape[1]
    if projection is None:
        return np.concatenate([patterns, patterns[:, np.arange(hidden) % m]], axis=1)
    matrix = np.random.default_rng(projection).standard_normal((hidden, m)) / np.sqrt(m)
    return np.concatenate([patterns, np.einsum("km,pm->pk", matrix, patterns)], axis=1)
