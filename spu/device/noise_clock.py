"""Injected noise that a clock makes: from the level of detail to what the circuit says of it."""

from __future__ import annotations

from spu.base.errors import InputError, KeyFault
from spu.circuit.circuit import Instances
from spu.circuit.clocked import Clocked
from spu.circuit.ramp import Ramp
from spu.device.imperfections import Detail

KEYS = ("clock", "kind", "register", "summed", "bits", "crest")


def clocked_of(detail: Detail) -> Clocked | None:
    """What ``detail.noise`` says of a clock; None where it says nothing.

    Raises
    ------
    InputError
        If keys contradict one another, or a number is out of range.
    """
    given = {key: detail.noise[key] for key in KEYS if key in detail.noise}
    if not given:
        return None
    try:
        return Clocked(**given)
    except InputError as error:
        raise KeyFault(f"detail.noise: {error.message}", "noise") from None


def refuse_clocked(groups: list[Instances], ramp: Ramp | None) -> None:
    """Raise `InputError` where held noise has no meaning yet: in networks, and while a ramp runs."""
    if any(not element.linear for group in groups for element in group.subcircuit.elements):
        raise InputError("held noise (noise.clock) is of linear cells, and these are not: leave noise.clock out")
    if ramp is not None:
        raise InputError("held noise (noise.clock) is of circuits that stay as they are: leave it out, or the ramp")
