"""What small changes of a circuit's parameters do to its law."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spu.base.errors import SpuError
from spu.circuit.circuit import Circuit
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import solve
from spu.emulator.laws.stationary import Stationary

CHANGE = 1e-4
"""Relative change of a parameter."""

MOST, FEW = 48, 12
"""Parameters that are tried, at most: a fair choice; and of a circuit of more than `LARGE` states."""

LARGE = 64


@dataclass(frozen=True, eq=False)
class Perturbed:
    """A circuit with one parameter changed by `CHANGE`: which, and its law."""

    name: str
    law: Stationary


def perturbed(circuit: Circuit, states: int) -> list[Perturbed]:
    """Laws of the circuit with one parameter changed, for a fair choice of them."""
    places = [
        (number, key, k)
        for number, group in enumerate(circuit.instances)
        for key, values in group.parameters.items()
        for k in np.flatnonzero(values)
    ]
    most = MOST if states <= LARGE else FEW
    found = []
    for index in np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)):
        number, key, k = places[index]
        group = circuit.instances[number]
        values = group.parameters[key].copy()
        values[k] *= 1.0 + CHANGE
        instances = list(circuit.instances)
        instances[number] = replace(group, parameters={**group.parameters, key: values})
        try:
            law = solve(stochastic_ode(replace(circuit, instances=instances)))
        except SpuError:  # on the edge of what the equations take
            continue
        if isinstance(law, Stationary):
            found.append(Perturbed(f"{key} of {group.names[k]}", law))
    return found
