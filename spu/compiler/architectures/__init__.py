"""Pass 3: what each architecture can hold, and the values it takes. A new one goes here, or into `register`.

A linear architecture takes a symmetric positive definite matrix, brings it into a form its
couplers can realize (readout polarity, congruence scaling), and returns the device whose
voltages have the wanted covariance and mean after the readout ``x = T v + o``.

The passive ones lay a scaled matrix ``M = diag(t) A diag(t)`` out on cells (`Layout`): on single
rails, one cell a variable, or on dual rails, two cells a variable, read as their difference. Which cells
of wired hardware these are, or which chains of cells, is for `spu.compiler.embedding` to say
(`Matrix.placer`); the layout then is that of the cells built.

That of problems which pose a drift and a diffusion holds the drift as it is, on cells of one time constant.

An architecture of nonlinear cells takes a thermodynamic network and gives the device whose elements have the
polynomial laws of its potential.
"""

from __future__ import annotations

from spu.base.errors import InputError
from spu.base.names import shorten
from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.drift import RCDrift
from spu.compiler.architectures.passive import (
    RCResistive,
    RCResistiveDual,
    RLCCapacitive,
    RLCCapacitiveDual,
)
from spu.compiler.architectures.polynomial import RCCharge, RCConductance, RLCFlux
from spu.compiler.architectures.transconductor import RCTransconductor
from spu.device.hardware import Known, know_architecture

__all__ = ["ARCHITECTURES", "register"]

ARCHITECTURES: dict[str, Architecture] = {}
"""By name. Most passive first, single rails before dual ones: a linear problem takes the first that can hold it."""


def register(architecture: Architecture) -> Architecture:
    """Add an architecture: hardware may name it from now on, and the compiler tries it after those that are there.

    Raises
    ------
    InputError
        If it is no `Architecture`, or its name is taken.
    """
    if not isinstance(architecture, Architecture):
        raise InputError(f"{shorten(architecture)} is no Architecture: register an object of a class derived from it")
    if architecture.name in ARCHITECTURES:
        raise InputError(f"there is an architecture {architecture.name!r} already: give this one another name")
    ARCHITECTURES[architecture.name] = architecture
    know_architecture(architecture.name, Known(architecture.nonlinear, architecture.needs))
    return architecture


for _each in (
    RLCCapacitive(),
    RCResistive(),
    RLCCapacitiveDual(),
    RCResistiveDual(),
    RCTransconductor(),
    RCDrift(),
    RCConductance(),
    RLCFlux(),
    RCCharge(),
):
    register(_each)
