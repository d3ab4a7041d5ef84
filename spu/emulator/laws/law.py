"""The stationary law of an equation of any size: dense where that is possible, sparse where it is not."""

from __future__ import annotations

from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.large import LARGE, SparseStationary, sparse_stationary
from spu.emulator.laws.stationary import Stationary, stationary

Law = Stationary | SparseStationary


def solve(sde: StochasticODE) -> Law:
    """The stationary law: a `Stationary`, or beyond `LARGE` states a `SparseStationary`.

    Raises
    ------
    CircuitError
        If there is none, or of a large network none is known, naming the reason.
    """
    return sparse_stationary(sde) if sde.E.shape[0] > LARGE else stationary(sde)
