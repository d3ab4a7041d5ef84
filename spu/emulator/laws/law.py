"""The stationary law of an equation of any size: dense where that is possible, sparse where it is not."""

from __future__ import annotations

from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.equilibrium import equilibrium
from spu.emulator.laws.large import LARGE, SparseStationary, sparse_stationary
from spu.emulator.laws.modes import has_closed_form
from spu.emulator.laws.stationary import EXTENDED, Stationary, stationary

Law = Stationary | SparseStationary


def solve(sde: StochasticODE) -> Law:
    """The stationary law: a `Stationary`, or beyond `LARGE` states a `SparseStationary`.

    Raises
    ------
    CircuitError
        If there is none, or of a large network none is known, naming the reason.
    """
    n = sde.E.shape[0]
    if n > LARGE:
        return sparse_stationary(sde)
    return (EXTENDED < n and not has_closed_form(sde) and equilibrium(sde)) or stationary(sde)
