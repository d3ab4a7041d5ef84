"""The exact law of a device, found once and kept."""

from __future__ import annotations

from collections.abc import Sequence

from spu.circuit.circuit import Circuit
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import Law, solve


def slowest(laws: Sequence[Law]) -> Law:
    """The law with the longest time constant that is seen."""
    return laws[0] if len(laws) == 1 else max(laws, key=lambda law: law.slowest)


_last: dict[str, Law] = {}
"""The law of the device that was last asked for: who compiles also predicts, and then simulates."""


def forget_laws() -> None:
    """Forget what `device_law` remembers: for whoever measures how long a law takes."""
    _last.clear()


def device_law(subject: Device | Circuit) -> Law:
    """Derive the equation of a device, or of a circuit, and find the stationary law."""
    name = subject.content or subject.hash
    if name not in _last:
        law = solve(stochastic_ode(lower(subject) if isinstance(subject, Device) else subject))
        _last.clear()
        _last[name] = law
    return _last[name]
