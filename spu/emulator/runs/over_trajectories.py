"""Moments over trajectories that are read at the same times: what results of such runs have in common."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result


class OverTrajectories(Result):
    """Of ``readouts`` (trajectories, k, p) at k times."""

    readouts: Annotated[FloatArray, "trajectories k p"]

    @property
    def trajectories(self) -> int:
        """How many."""
        return self.readouts.shape[0]

    @property
    def samples(self) -> int:
        """Readouts taken, over all trajectories."""
        return self.readouts.shape[0] * self.readouts.shape[1]

    @property
    def states(self) -> Annotated[FloatArray, "k trajectories p"]:
        """(k, trajectories, p) the ``readouts``, one time after another."""
        return self.readouts.transpose(1, 0, 2)

    @cached_property
    def mean(self) -> Annotated[FloatArray, "k p"]:
        """(k, p)."""
        return self.states.mean(axis=1)

    @cached_property
    def variance(self) -> Annotated[FloatArray, "k p"]:
        """(k, p), unbiased."""
        return self.states.var(axis=1, ddof=min(1, self.trajectories - 1))

    @cached_property
    def covariance(self) -> Annotated[FloatArray, "p p"]:
        """(p, p) at the last readout."""
        return np.atleast_2d(np.cov(self.states[-1].T, ddof=min(1, self.trajectories - 1)))
