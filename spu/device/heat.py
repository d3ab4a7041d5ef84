"""What temperature does to values: linear coefficients, of every quantity in cells and couplers alike.

A value at T is ``1 + tc (T - reference)`` times what it is at the reference. Resistors besides make the thermal noise
of T (`spu.circuit.elements.Resistor`).
"""

from __future__ import annotations

from dataclasses import replace

from spu.base.constants import ROOM_TEMPERATURE
from spu.base.errors import InputError
from spu.device.banks import Bank
from spu.device.imperfections import Detail

__all__ = ["at_heat", "heat", "heated"]

_LIKE = {"noise_voltage": "noise"}
"""Quantities with the coefficient of another one."""


def heat(detail: Detail, quantity: str, kelvin: float) -> float:
    """What values of a quantity are multiplied by at a temperature (K); 1 at 0, where a device makes no thermal noise.

    Raises
    ------
    InputError
        If nothing would be left of them.
    """
    key = _LIKE.get(quantity, quantity)
    if key == "reference" or key not in detail.temperature or kelvin == 0:
        return 1.0
    reference = float(detail.temperature.get("reference", ROOM_TEMPERATURE))
    factor = 1.0 + float(detail.temperature[key]) * (kelvin - reference)
    if factor <= 0:
        raise InputError(
            f"at {kelvin:g} K a {key} would be {factor:g} times that at {reference:g} K: detail.temperature.{key} is "
            "for temperatures nearer to its reference"
        )
    return factor


def at_heat(kelvin: float, factor: float) -> str:
    """What a netlist says of values that stand there for a temperature."""
    return f" (values at {kelvin:g} K: {factor:.9g} times those at the reference)"


def heated(bank: Bank, factor: float) -> Bank:
    """A bank at another temperature."""
    return bank if factor == 1 else replace(bank, lsb=bank.lsb * factor, offset=bank.offset * factor)
