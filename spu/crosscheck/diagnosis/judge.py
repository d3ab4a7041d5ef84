"""How well a single change of a circuit explains a measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.circuit.circuit import Circuit
from spu.crosscheck.diagnosis.changes import ITERATIONS, Change
from spu.crosscheck.diagnosis.perturbation import Perturbations, Scene, System, system

_SCREEN = 6
"""Frequencies of the first judgement."""

_FINALISTS = 12
"""Of each kind, judged at all frequencies."""

STARTS = (-1.0, -2.0, -0.5, -0.35, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.35, 1.0, 9.0, 1e3, 1e9)
"""Relative changes tried first: missing, inverted, far away (open or shorted); and steps on the way, as a resonance
that moved by more than its width is not found from where it was."""

_COARSE = 4
"""Steps of the method at the first judgement."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A single change, and what it leaves of the difference.

    Attributes
    ----------
    element:
        What is changed, in the words of the netlist.
    kind:
        ``value``, ``missing``, ``shorted``, ``doubled``, ``multiplied``, ``sign``, ``swapped``, ``moved``, ``rewired``
        or ``added``.
    before, after:
        Value (SI) or node, in the circuit and in what was measured; None where there is none.
    residual:
        What is left of the sum of squared differences, each in units of what is allowed.
    equations:
        Makes those of the changed circuit.
    gains, densities:
        (m,) factors of the transfer functions from each noise source, and of its density.
    """

    element: str
    kind: str
    before: float | str | None
    after: float | str | None
    residual: float
    equations: Callable[[], System]
    gains: FloatArray | float = 1.0
    densities: FloatArray | float = 1.0

    @classmethod
    def of(cls, change: Change, residual: float, densities: FloatArray | float = 1.0) -> Candidate:
        """A change of the circuit."""
        return cls(
            change.element,
            change.kind,
            change.before,
            change.after,
            residual,
            partial(solved, change.circuit),
            densities=densities,
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of a circuit.

    Attributes
    ----------
    system:
        Its equations.
    sweep, rest:
        Scenes of the transfer functions and of the operating point, where they were measured.
    density:
        (m,) relative deviation of each source's density, in units of what is allowed.
    allowed:
        That unit.
    """

    system: System
    sweep: Scene | None
    rest: Scene | None
    inputs: FloatArray
    outputs: FloatArray
    density: FloatArray
    allowed: float

    @property
    def scenes(self) -> list[Scene]:
        """Those that there are."""
        return [scene for scene in (self.sweep, self.rest) if scene is not None]

    @property
    def quiet(self) -> float:
        """What the densities contribute, which no change of the circuit explains."""
        return float((self.density**2).sum())

    def unexplained(self, factors: FloatArray | float) -> float:
        """What densities contribute that should differ by factors, (m,); those that are not a number are unknown."""
        return float((self.density_left(factors) ** 2).sum())

    def density_left(self, factors: FloatArray | float) -> FloatArray:
        """(m,) deviations then, in units of what is allowed."""
        left = ((1.0 + self.density * self.allowed) / factors - 1.0) / self.allowed
        return np.where(np.isfinite(left), left, 0.0)

    @property
    def total(self) -> float:
        """The sum of squares that is to be explained."""
        return sum(scene.total for scene in self.scenes) + self.quiet


def solved(mutate: Callable[..., Circuit], *arguments: Any) -> System:
    """The equations of a mutated circuit."""
    return system(mutate(*arguments))


@dataclass(frozen=True, eq=False)
class Judge:
    """Evidence with a coarser view of it for the first judgement."""

    evidence: Evidence
    coarse: list[Scene] = field(default_factory=list)

    @classmethod
    def of(cls, evidence: Evidence) -> Judge:
        """The judge of some evidence, with what it looks at first."""
        coarse = []
        for scene in evidence.scenes:
            size = (np.abs(scene.difference) ** 2).sum(axis=(1, 2))
            # Spread over the sweep, and where there is most to explain.
            spread = np.linspace(0, len(size) - 1, min(_SCREEN // 2, len(size))).astype(int)
            loudest = np.argsort(-size)[: _SCREEN // 2]
            coarse.append(scene.narrowed(np.unique(np.concatenate([spread, loudest]))))
        return cls(evidence, coarse)

    @property
    def system(self) -> System:
        """The equations as they should be."""
        return self.evidence.system

    def finalists(self, changes: Perturbations) -> tuple[IntArray, FloatArray]:
        """The best of given changes, and what they leave, (k,) each."""
        if not len(changes):
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        first = _residual(self.coarse, changes)
        chosen = np.argsort(first)[:_FINALISTS]
        return chosen, _residual(self.evidence.scenes, changes.take(chosen)) + self.evidence.quiet

    def fitted(
        self, make: Callable[[IntArray, FloatArray], Perturbations], count: int, low: float, starts: tuple[float, ...]
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """The best of changes with one unknown each: which, the unknown, and what they leave.

        Parameters
        ----------
        make:
            Perturbations for some rows and a value of the unknown in each; none at zero.
        low:
            Least value of the unknown.
        starts:
            Values tried first.
        """
        rows = np.arange(count)
        at = np.zeros(count)
        slope, curvature = _step(self.coarse, make, rows, at)
        linear = np.maximum(slope / np.where(curvature > 0, curvature, np.inf), low)
        guesses = np.stack([at, linear, *(np.full(count, start) for start in starts if start >= low)])
        left = np.stack([_residual(self.coarse, make(rows, guess)) for guess in guesses])
        best = np.argmin(left, axis=0)
        at, residual = guesses[best, rows], left[best, rows]
        at, residual = _refined(self.coarse, make, rows, at, residual, low, _COARSE)
        chosen = np.argsort(residual)[:_FINALISTS]
        scenes = self.evidence.scenes
        at = at[chosen]
        at, residual = _refined(scenes, make, chosen, at, _residual(scenes, make(chosen, at)), low, ITERATIONS)
        return chosen, at, residual + self.evidence.quiet


def _residual(scenes: list[Scene], changes: Perturbations) -> FloatArray:
    return np.sum([scene.residual(changes) for scene in scenes], axis=0)


def _step(
    scenes: list[Scene], make: Callable[[IntArray, FloatArray], Perturbations], rows: IntArray, at: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Slope and curvature of what is left (Gauss and Newton), per unit of the unknown."""
    move = 1e-5 * np.maximum(1.0, np.abs(at))
    here, nearby = make(rows, at), make(rows, at + move)
    slope, curvature = np.sum([scene.step(here, nearby) for scene in scenes], axis=0)
    return slope / move, curvature / move**2


def _refined(
    scenes: list[Scene],
    make: Callable[[IntArray, FloatArray], Perturbations],
    rows: IntArray,
    at: FloatArray,
    residual: FloatArray,
    low: float,
    iterations: int,
) -> tuple[FloatArray, FloatArray]:
    at, residual = at.copy(), residual.copy()
    share = np.ones(len(at))
    for _ in range(iterations):
        slope, curvature = _step(scenes, make, rows, at)
        trial = np.maximum(at + share * slope / np.where(curvature > 0, curvature, np.inf), low)
        found = _residual(scenes, make(rows, trial))
        better = found < residual
        small = (found >= residual * (1.0 - 1e-6))[better].all()
        at[better], residual[better] = trial[better], found[better]
        share = np.where(better, 1.0, share / 4)
        if small and (share < 0.1)[~better].all():
            break
    return at, residual


# --- noise sources, probes -------------------------------------------------------------------


def columns(evidence: Evidence) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Inner products of the transfer functions from each source: with differences, with each other; and weights."""
    scene = evidence.sweep
    assert scene is not None
    count = scene.expected.shape[2]
    own = (scene.expected * evidence.outputs[:, None]).reshape(-1, count)
    return (own.conj().T @ scene.difference.reshape(-1, count)).real, (own.conj().T @ own).real, evidence.inputs


def smallest(table: FloatArray) -> list[tuple[int, int]]:
    """Places of the few smallest finite entries."""
    order = np.argsort(table, axis=None)[:_FINALISTS]
    places = [tuple(int(k) for k in np.unravel_index(int(flat), table.shape)) for flat in order]
    return [(a, b) for a, b in places if np.isfinite(table[a, b])]
