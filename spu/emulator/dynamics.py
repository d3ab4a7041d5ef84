"""The exact law of a device, found once and kept with its circuit."""

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


def device_law(subject: Device | Circuit) -> Law:
    """The stationary law of a device, or of a circuit: found once and kept with the circuit."""
    kept = _circuit(subject).kept
    if "law" not in kept:
        kept["law"] = solve(stochastic_ode(_circuit(subject)))
    law: Law = kept["law"]
    return law


def forget_laws(*subjects: Device | Circuit) -> None:
    """Forget what followed from devices and circuits so far: for whoever measures how long a law takes."""
    for subject in subjects:
        for member in subject.members():
            _circuit(member).kept.clear()


def _circuit(subject: Device | Circuit) -> Circuit:
    return lower(subject) if isinstance(subject, Device) else subject
