"""The stationary law of an equation of any size: dense where that is possible, sparse where it is not."""

from __future__ import annotations

from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.equilibrium import equilibrium, sparse
from spu.emulator.laws.large import LARGE, SparseLaw, UnknownLaw, sparse_stationary
from spu.emulator.laws.modes import has_closed_form
from spu.emulator.laws.stationary import EXTENDED, Stationary, stationary

Law = Stationary | SparseLaw


def solve(sde: StochasticODE) -> Law:
    """The stationary law: a `Stationary`, or beyond `LARGE` states a `SparseLaw`.

    Raises
    ------
    CircuitError
        If there is none, or of a large network none is known, naming the reason.
    """
    n = sde.E.shape[0]
    if n > LARGE:
        try:
            return sparse_stationary(sde)
        except UnknownLaw:
            thermal = equilibrium(sde, dense=False)
            if thermal is None:
                raise
            return thermal
    thermal = None if n <= EXTENDED or not sparse(sde) or has_closed_form(sde) else equilibrium(sde)
    return stationary(sde) if thermal is None else thermal
