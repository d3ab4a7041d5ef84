"""What cells and couplers can be made of: one entry a quantity, and the place for a new one.

A `Part` says, for one programmable quantity of a cell or coupler (``capacitance``,
``transconductance``...): its unit, which values are allowed, which elements it puts into the
subcircuit and how the programmed value becomes their parameters. The device file, the
arguments of `Device.add_cell` and `Device.add_coupler`, the equations and the netlist all
follow from these tables.

Local nodes: a cell sits on node ``a``, a coupler between ``a`` and ``b``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spu.elements import (
    Capacitor,
    CurrentSource,
    Element,
    Inductor,
    NoiseCurrent,
    Resistor,
    Transconductor,
)

FloatArray = NDArray[np.float64]
Elements = Callable[[bool], tuple[Element, ...]]


@dataclass(frozen=True)
class Part:
    """One programmable quantity of a cell or a coupler.

    Attributes
    ----------
    quantity, unit:
        Its name in device files and Python, and the unit of its value (SI).
    letter:
        Its mark in the names of subcircuits (``cell_crl``).
    meaning:
        What it is, for messages and file headers.
    columns:
        Keys of the values it stores for each cell or coupler: the quantity itself, or two of
        them where the two directions differ.
    positive:
        Whether a value must be > 0 (zero means: not there) or may have either sign.
    elements:
        ``elements(thermal)``: templates; with ``thermal`` a resistor carries a noise port.
    parameters:
        SPICE parameter -> function of the stored columns (arrays over instances).
    injected_port:
        Noise port fed by a source of its own (not thermal noise), if any.
    zero_is_absent:
        A zero means that the part is not built (an inductance of zero is an error instead).
    """

    quantity: str
    unit: str
    letter: str
    meaning: str
    elements: Elements
    parameters: Mapping[str, Callable[[Mapping[str, FloatArray]], FloatArray]]
    columns: tuple[str, ...] = ()
    positive: bool = True
    injected_port: str | None = None
    thermal_port: str | None = None
    zero_is_absent: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys under which the device stores values."""
        return self.columns or (self.quantity,)


CELL_PARTS: tuple[Part, ...] = (
    Part(
        "capacitance",
        "F",
        "c",
        "capacitance to ground",
        lambda thermal: (Capacitor("c1", "a", "0", "c"),),
        {"c": lambda v: v["capacitance"]},
    ),
    Part(
        "conductance",
        "S",
        "r",
        "conductance to ground",
        lambda thermal: (Resistor("r1", "a", "0", "r", "t" if thermal else None),),
        {"r": lambda v: 1.0 / v["conductance"]},
        thermal_port="t",
    ),
    Part(
        "inductance",
        "H",
        "l",
        "inductance to ground",
        lambda thermal: (Inductor("l1", "a", "0", "l"),),
        {"l": lambda v: v["inductance"]},
        zero_is_absent=False,
    ),
    Part(
        "noise",
        "A^2/Hz",
        "n",
        "one-sided density of the injected white noise current",
        lambda thermal: (NoiseCurrent("gn", "0", "a", "sn", "n"),),
        {"sn": lambda v: v["noise"]},
        injected_port="n",
    ),
    Part(
        "bias",
        "A",
        "b",
        "constant current into the cell",
        lambda thermal: (CurrentSource("ib", "0", "a", "ib"),),
        {"ib": lambda v: v["bias"]},
        positive=False,
    ),
)

COUPLER_PARTS: tuple[Part, ...] = (
    Part(
        "capacitance",
        "F",
        "c",
        "coupling capacitance",
        lambda thermal: (Capacitor("c1", "a", "b", "c"),),
        {"c": lambda v: v["capacitance"]},
    ),
    Part(
        "conductance",
        "S",
        "r",
        "coupling conductance",
        lambda thermal: (Resistor("r1", "a", "b", "r", "t" if thermal else None),),
        {"r": lambda v: 1.0 / v["conductance"]},
        thermal_port="t",
    ),
    Part(
        "inductance",
        "H",
        "l",
        "coupling inductance",
        lambda thermal: (Inductor("l1", "a", "b", "l"),),
        {"l": lambda v: v["inductance"]},
        zero_is_absent=False,
    ),
    Part(
        "transconductance",
        "S",
        "g",
        "transconductances: a current gab*v(b) leaves a, a current gba*v(a) leaves b",
        lambda thermal: (
            Transconductor("gab", "a", "0", "b", "0", "gab"),
            Transconductor("gba", "b", "0", "a", "0", "gba"),
        ),
        {"gab": lambda v: v["transconductance_ab"], "gba": lambda v: v["transconductance_ba"]},
        columns=("transconductance_ab", "transconductance_ba"),
        positive=False,
    ),
)
