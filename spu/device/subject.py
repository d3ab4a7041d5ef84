"""What the doors take: a device, a circuit, or whatever holds or names one."""

from __future__ import annotations

import os
from typing import Any

from spu.base import opener
from spu.base.errors import UsageError
from spu.circuit.circuit import Circuit
from spu.device.device import Device
from spu.device.lower import lower
from spu.problems.problem import Problem

Subject = Any
"""A `Device` or a `Circuit`; what has one as its ``subject`` (a compiled or imported folder, a netlist that was read, a
compilation); or the path of a folder, a ``device.json`` or a netlist."""


def opened(given: Subject) -> Any:
    """What lies at a path: a folder, a device or a netlist that was read; anything else is given back."""
    if isinstance(given, (str, os.PathLike)) and opener.open_path is not None:
        return opener.open_path(given)  # type: ignore[arg-type]
    return given


def subject_of(given: Subject) -> Device | Circuit:
    """The device or circuit that is meant.

    Raises
    ------
    UsageError
        For anything that neither is nor holds one, saying what would do.
    SpuError
        As reading what lies at a path does.
    """
    held = opened(given)
    if not isinstance(held, (Device, Circuit)):
        held = getattr(held, "subject", None)
    if isinstance(held, (Device, Circuit)):
        return held
    advice = "a device, a circuit, a netlist that was read, or the path of a folder, a device.json or a netlist"
    if isinstance(given, Problem):
        advice = "the device that spu.compile(problem) makes of it"
    elif hasattr(given, "shape") or isinstance(given, (list, tuple)):
        advice = "the device that spu.compile(matrix) makes of it"
    raise UsageError(f"a {type(given).__name__} is no device: pass {advice}")


def circuits(given: Subject) -> list[Circuit]:
    """The circuits of all programmings: of an ensemble several, else one."""
    return [lower(member) if isinstance(member, Device) else member for member in subject_of(given).members()]
