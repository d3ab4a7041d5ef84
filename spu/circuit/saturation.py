"""Transconductors of finite linear range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import CircuitError
from spu.circuit.elements import Element, Language
from spu.circuit.stamps import Stamps


@dataclass(frozen=True)
class SaturatingTransconductor(Element):
    """Current ``g V tanh((v(third) - v(fourth) + offset) / V)`` (A), from the first node to the second; noiseless.

    That of a differential pair of bipolar transistors, or of MOS transistors in weak inversion, whose V is
    ``2 n kT/q``; g is its slope where nothing is at its input.

    Attributes
    ----------
    further:
        The parameters of its linear range V and of its offset, V each; ``value`` is that of g.
    """

    further: tuple[str, ...] = ()

    linear = False
    units = ("S", "V", "V")
    words = "Transconductors of finite range: i = {} V tanh((v + offset)/V), V = {}, offset = {}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters of g, V and the offset."""
        return (self.value, *self.further)

    @staticmethod
    def current(volts: FloatArray, values: FloatArray) -> FloatArray:
        """A at input voltages (..., k), of (k, 3) values."""
        g, width, offset = values.T
        return np.asarray(g * width * np.tanh((volts + offset) / width))

    @staticmethod
    def slope(volts: FloatArray, values: FloatArray) -> FloatArray:
        """S at input voltages (..., k), of (k, 3) values."""
        g, width, offset = values.T
        return np.asarray(g * (1.0 - np.tanh((volts + offset) / width) ** 2))

    def stamp(
        self,
        stamps: Stamps,
        nodes: list[IntArray],
        noise: IntArray | None,
        values: FloatArray,
        branches: list[IntArray],
    ) -> None:
        raise CircuitError(
            "transconductors of finite linear range have no linear equation: spu.predict takes them by statistical "
            "linearisation, spu.simulate and replay as they are; leave out detail transconductor.linear_range for more"
        )

    def spice(self, dialect: Language) -> list[str]:
        values = dict(zip(("g", "width", "offset"), self.parameters, strict=True))
        return dialect.module(self.name, "transconductor", self.nodes, values)
