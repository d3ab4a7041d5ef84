"""A genetic algorithm: the best are cloned, and the clones changed at random."""

from __future__ import annotations

import numpy as np

from spu.base.arrays import FloatArray, IntArray

__all__ = ["brood", "fittest", "founders"]

_CHANGES = 18
"""What is drawn of a seed for changes, beside all else (`spu.emulator.runs.noise`, `spu.studies.campaign`)."""


def fittest(errors: FloatArray, keep: int) -> IntArray:
    """Places of the ``keep`` smallest errors, the smallest first; of equal ones the first; no number is the largest."""
    return np.argsort(np.where(np.isfinite(errors), errors, np.inf), kind="stable")[:keep].astype(np.int64)


def changes(seed: int, generation: int, count: int, deviations: FloatArray) -> FloatArray:
    """(count, p) normal changes of these standard deviations (p,): those of one generation."""
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_CHANGES, generation)))
    return np.asarray(rng.standard_normal((count, len(deviations))) * deviations)


def founders(seed: int, population: int, deviations: FloatArray) -> FloatArray:
    """(population, p): the first generation, clones of nothing at all, changed."""
    return changes(seed, 0, population, deviations)


def brood(
    parents: FloatArray, population: int, *, elite: int, deviations: FloatArray, seed: int, generation: int
) -> FloatArray:
    """The next generation: the ``elite`` first parents as they are, and changed clones of all parents in turn.

    Parameters
    ----------
    parents : (keep, p)
        The best first.
    population:
        How many there shall be.
    elite:
        How many parents go on as they are; 0 changes all.
    deviations : (p,)
        Of the changes.
    seed, generation:
        What the changes hang on.
    """
    clones = parents[np.arange(population - elite) % len(parents)]
    return np.vstack([parents[:elite], clones + changes(seed, generation, len(clones), deviations)])
