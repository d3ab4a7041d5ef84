"""The one place that draws random numbers.

Every trajectory has a counter-based stream of its own (Philox 4x64, keyed by seed and
trajectory), consumed in the order of its steps. So the bits of a trajectory's noise depend on
the seed and its number only: not on how many trajectories run beside it, nor on how its
steps are cut into chunks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class NormalStreams:
    """Independent standard normal streams, one a trajectory.

    Parameters
    ----------
    seed:
        A non-negative integer.
    trajectories:
        Number of streams.
    purpose:
        Separates uses of one seed (samples, replayed noise...).
    """

    def __init__(self, seed: int, trajectories: int, purpose: int = 0) -> None:
        sequences = [np.random.SeedSequence(entropy=seed, spawn_key=(purpose, k)) for k in range(trajectories)]
        self._streams = [np.random.Generator(np.random.Philox(sequence)) for sequence in sequences]

    def draw(self, steps: int, width: int) -> FloatArray:
        """Take the next ``steps`` rows of ``width`` normals: a (steps, trajectories, width) array."""
        return np.stack([stream.standard_normal((steps, width)) for stream in self._streams], axis=1)
