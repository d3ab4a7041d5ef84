"""Injected noise that is not white: finite bandwidth and 1/f noise, built of elements.

A source of noise has a spectrum of its own. Each injected source of a cell, and each place where a shared one drives
a cell, becomes

    white unit source -> first-order low-pass -> cell,

the low-pass of ``noise.bandwidth`` a resistor and a capacitor that make no noise, behind a source of their own current
and in front of a transconductor (a controlled voltage source, where the noise is a voltage in series with the
resistance). Noise of 1/f is a sum of first-order poles with sources of their own (`flicker_poles`), added in front of
the low-pass. All of them are states of the circuit: the law, the netlist and the replay are exact.

The nodes of these are signals: their resistors stand for no loss (`spu.circuit.elements.Element.role`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, KeyFault
from spu.base.expressions import Expression, parameter, root
from spu.circuit.elements import (
    AmplifierNoise,
    Capacitor,
    Element,
    NoiseCurrent,
    NoiseVoltage,
    Resistor,
    SharedNoiseCurrent,
    Transconductor,
    VoltageControlledVoltageSource,
)
from spu.device.build import Realisation
from spu.device.device import Device
from spu.device.imperfections import Detail
from spu.device.quantities import Part

__all__ = ["MOST_POLES", "flicker_poles", "flicker_ripple", "in_series", "series_sources", "shaped", "shapes"]

MOST_POLES = 100
"""States that a cell gets of its 1/f noise at most."""

_CONDUCTANCE = 1e-3
"""S, of the models of currents: their signals are of the size of a cell's voltage. Of voltages it is 1 S: the same."""


def flicker_poles(detail: Detail) -> tuple[Annotated[FloatArray, "k"], Annotated[FloatArray, "k"]]:
    """Corner frequencies (Hz) and weights of the first-order poles that make up 1/f noise.

    With p poles a decade, spaced by ``ln 10 / p`` in the logarithm of frequency, ``sum w_k / f_k / (1 + (f / f_k)^2)``
    is about ``1 / f`` where each weight is ``2 ln 10 / (pi p)``: as an integral it is. The first and the last weight
    also stand for all poles beyond them, a geometric series. One pole a decade lies in the band alone; of more, a
    decade of poles beyond each end is built, too, so that the ends are as good as the middle.

    Parameters
    ----------
    detail:
        With ``noise.flicker_corner``.

    Returns
    -------
    (k,) ndarray, (k,) ndarray
        Ascending frequencies, and weights; the density of pole k is ``S corner w_k / f_k / (1 + (f / f_k)^2)``.

    Raises
    ------
    InputError
        If these are more than `MOST_POLES`.

    Examples
    --------
    >>> import spu
    >>> from spu.device.noise_shaping import flicker_poles
    >>> detail = spu.Detail(noise={"flicker_corner": 1e5, "flicker_low": 1e3, "flicker_high": 1e6})
    >>> frequencies, weights = flicker_poles(detail)
    >>> frequencies.tolist(), weights.round(3).tolist()
    ([1000.0, 10000.0, 100000.0, 1000000.0], [1.629, 1.466, 1.466, 1.629])
    """
    low, high = (detail.number(f"noise.flicker_{end}") for end in ("low", "high"))
    poles = int(detail.noise.get("flicker_poles", 1))
    within = max(1, math.ceil(poles * math.log10(high / low) - 1e-9))
    ratio = (high / low) ** (1 / within)
    beyond = poles if poles > 1 else 0
    if within + 2 * beyond + 1 > MOST_POLES:
        raise KeyFault(
            f"1/f noise from {low:g} to {high:g} Hz with {poles} poles a decade takes {within + 2 * beyond + 1} states "
            f"a cell, {MOST_POLES} at most: give a narrower band or fewer poles",
            *("noise", "flicker_poles"),
        )
    frequencies = low * ratio ** np.arange(-beyond, within + beyond + 1.0)
    weights = np.full(len(frequencies), 2.0 * math.log(ratio) / math.pi)
    weights[[0, -1]] /= 1.0 - 1.0 / ratio
    return frequencies, weights


def flicker_ripple(detail: Detail) -> tuple[float, float]:
    """How far the sum of poles is from 1/f within the band: least and greatest relative error of the density.

    Examples
    --------
    >>> import spu
    >>> from spu.device.noise_shaping import flicker_ripple
    >>> detail = spu.Detail(noise={"flicker_corner": 1e5, "flicker_low": 1e3, "flicker_high": 1e6})
    >>> [f"{error:+.3f}" for error in flicker_ripple(detail)]
    ['-0.059', '+0.056']
    """
    frequencies, weights = flicker_poles(detail)
    low, high = (detail.number(f"noise.flicker_{end}") for end in ("low", "high"))
    f = np.geomspace(low, high, 50 * len(frequencies) + 1)[:, None]
    errors = (weights * (f / frequencies) / (1.0 + (f / frequencies) ** 2)).sum(axis=1) - 1.0
    return float(errors.min()), float(errors.max())


def shapes(detail: Detail) -> bool:
    """Whether injected noise has a spectrum of its own."""
    return "bandwidth" in detail.noise or "flicker_corner" in detail.noise


def shaped(made: Realisation, detail: Detail) -> Realisation:
    """The same with its injected noise as a detail has it; parts that inject none come back as they are."""
    if not shapes(detail):
        return made
    kinds, amplifiers = (NoiseCurrent, NoiseVoltage), AmplifierNoise  # whose own noise no generator's band limits
    injected = [each for each in made.elements if isinstance(each, kinds) and not isinstance(each, amplifiers)]
    if not injected:
        return made
    found = Realisation(
        [element for element in made.elements if element not in injected],
        dict(made.parameters),
        dict(made.constants),
        dict(made.derived),
        dict(made.ports),
        made.meaning,
        dict(made.codes),
    )
    for element in injected:
        _Shaping(found, element, detail).build()
    return found


def in_series(parts: Sequence[Part], made: Sequence[Realisation], cells: Sequence[str]) -> list[Realisation]:
    """What parts are built of, with a noise voltage in series with the conductance where there is one.

    Raises
    ------
    InputError
        If cells have such a voltage and no conductance.
    """
    quantities = [part.quantity for part in parts]
    if "noise_voltage" not in quantities:
        return list(made)
    if "conductance" not in quantities:
        raise InputError(
            f"cell {cells[0]} has a noise voltage and no conductance: that voltage is in series with one; give it a "
            "conductance, or noise, the current"
        )
    resistor, source = (made[quantities.index(quantity)] for quantity in ("conductance", "noise_voltage"))
    behind = [
        replace(element, nodes=tuple("rv" if node == "a" else node for node in element.nodes))
        for element in resistor.elements
    ]
    together = Realisation(
        [*behind, *source.elements],
        resistor.parameters | source.parameters,
        resistor.constants | source.constants,
        resistor.derived | source.derived,
        resistor.ports | source.ports,
        f"{resistor.meaning}, {source.meaning}",
        resistor.codes | source.codes,
    )
    return [together if each is resistor else each for each in made if each is not source]


def series_sources(device: Device) -> None:
    """Turn the injected noise currents of a device, which is changed, into voltages in series with conductances.

    Their densities are those of the currents over the square of the conductance (Norton's theorem): nothing changes as
    long as no conductance does. On boards whose conductances scatter, or drift, the voltages stay.

    Raises
    ------
    InputError
        If cells have noise and no conductance, or programmings of an ensemble differ in conductances.
    """
    columns = device.cell_columns
    noise, conductance = columns.arrays["noise"], columns.arrays["conductance"]
    bare = np.flatnonzero(~np.isnan(noise) & np.isnan(conductance))
    if len(bare):
        raise InputError(
            f"noise source = 'voltage' is in series with each cell's conductance, and {device.cell_names[bare[0]]} has "
            "none: 'current' is for such cells"
        )
    if device.programmings and "conductance" in columns.banks:
        raise InputError(
            "noise source = 'voltage' has one density, and programmings of this ensemble have conductances of their "
            "own: compile with ensemble = 1, or with 'current'"
        )
    columns.arrays["noise_voltage"] = noise / conductance**2
    columns.arrays["noise"] = np.full(len(noise), np.nan)


class _Shaping:
    """The spectrum of one injected source.

    Names begin with those of the source: of ``gn``, node ``nf`` is behind its low-pass, node ``np0`` that of its first
    pole.
    """

    def __init__(self, made: Realisation, element: Element, detail: Detail) -> None:
        self.made, self.element, self.detail = made, element, detail
        self.stem = element.name[1:]
        self.voltage = isinstance(element, NoiseVoltage)
        self.g = 1.0 if self.voltage else _CONDUCTANCE
        made.constants |= {f"gs{self.stem}": self.g, f"rs{self.stem}": 1.0 / self.g}

    def build(self) -> None:
        """Put it in the place of the source."""
        sums = f"{self.stem}f"
        if "bandwidth" in self.detail.noise:
            self.made.constants[f"bw{self.stem}"] = self.detail.number("noise.bandwidth")
            self._pole(sums, parameter(f"bw{self.stem}"))
            self._source(f"g{sums}", sums, self.element.value, self.element.noise_port)
            self._flicker(sums)
            self._outlet(sums, *self.element.nodes)
            self.made.meaning += f"; its bandwidth is bw{self.stem}, Hz"
        elif self.voltage:  # in series: the white voltage, and the sum of the others
            between = f"{self.stem}m"
            p, n = self.element.nodes
            self.made.elements.append(replace(self.element, nodes=(p, between)))
            self._resistor(sums)
            self._flicker(sums)
            self._outlet(sums, between, n)
        else:
            self.made.elements.append(self.element)
            self._flicker(None)

    def _flicker(self, into: str | None) -> None:
        """Poles of 1/f noise, added up at a node of signals, or driving where the source itself does."""
        if "flicker_corner" not in self.detail.noise:
            return
        corner, own = f"fc{self.stem}", self.element.value
        self.made.constants[corner] = self.detail.number("noise.flicker_corner")
        shared = isinstance(self.element, SharedNoiseCurrent)
        for k, (frequency, weight) in enumerate(zip(*flicker_poles(self.detail), strict=True)):
            node, value = f"{self.stem}p{k}", f"{own}p{k}"
            density = parameter(corner) * float(weight / frequency)
            self.made.derived[value] = parameter(own) * (root(density) if shared else density)
            port = f"{self.element.noise_port}{k}"
            self.made.ports[port] = False
            self._pole(node, float(frequency))
            self._source(f"g{node}", node, value, port, "flicker")
            if into is None:
                self._outlet(node, *self.element.nodes)
            else:
                name = f"go{node}"
                self.made.elements.append(Transconductor(name, ("0", into, node, "0"), f"gs{self.stem}", role="signal"))
        least, most = flicker_ripple(self.detail)
        low, high = (self.detail.number(f"noise.flicker_{end}") for end in ("low", "high"))
        self.made.meaning += (
            f"; 1/f noise below fc{self.stem} (Hz), a sum of first-order poles that is {least:+.2%} to {most:+.2%} off "
            f"1/f between {low:g} and {high:g} Hz"
        )

    def _source(self, name: str, node: str, value: str, port: str | None, role: str = "signal") -> None:
        kind = SharedNoiseCurrent if isinstance(self.element, SharedNoiseCurrent) else NoiseCurrent
        self.made.elements.append(kind(name, ("0", node), value, port, role=role))

    def _resistor(self, node: str) -> None:
        self.made.elements.append(Resistor(f"r{node}", (node, "0"), f"rs{self.stem}", role="signal"))

    def _pole(self, node: str, frequency: Expression | float) -> None:
        """A resistor and a capacitor without noise."""
        self._resistor(node)
        self.made.derived[f"c{node}"] = parameter(f"gs{self.stem}") / (2 * math.pi * frequency)
        self.made.elements.append(Capacitor(f"c{node}", (node, "0"), f"c{node}", role="signal"))

    def _outlet(self, node: str, p: str, n: str) -> None:
        """What drives the cell by the voltage of a signal."""
        if self.voltage:
            self.made.elements.append(
                VoltageControlledVoltageSource(f"eo{node}", (p, n, node, "0"), f"gs{self.stem}", role="noise")
            )
        else:
            self.made.elements.append(Transconductor(f"go{node}", (p, n, node, "0"), f"gs{self.stem}", role="noise"))
