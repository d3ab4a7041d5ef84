"""Pass 3: what each architecture can hold, and the values it takes. A new one goes here.

An architecture takes a symmetric positive definite matrix, brings it into a form its
couplers can realize (readout polarity, congruence scaling), and returns the device whose
voltages have the wanted covariance and mean after the readout ``x = T v + o``.

The passive ones lay a scaled matrix ``M = diag(t) A diag(t)`` out on cells (`Layout`): on single
rails, one cell a variable, or on dual rails, two cells a variable, read as their difference. Which cells
of wired hardware these are, or which chains of cells, is for `spu.compiler.embedding` to say
(`Matrix.placer`); the layout then is that of the cells built.
"""

from __future__ import annotations

from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.passive import (
    RCResistive,
    RCResistiveDual,
    RLCCapacitive,
    RLCCapacitiveDual,
)
from spu.compiler.architectures.transconductor import RCTransconductor

ARCHITECTURES: tuple[Architecture, ...] = (
    RLCCapacitive(),
    RCResistive(),
    RLCCapacitiveDual(),
    RCResistiveDual(),
    RCTransconductor(),
)
"""Most passive first, single rails before dual ones: `spu.compile` takes the first that can hold the problem."""
