"""What stands between the cells and whoever reads them: an amplifier for each cell, then a converter.

The amplifier is elements of the circuit, one subcircuit a cell, ``readout``: behind an ideal buffer, which loads no
cell, one pole at ``bandwidth``. Its output is what is read of the cell,

    out = ((1 + gain_error) v + crosstalk (v before + v after) + offset + noise) / (1 + s / 2 pi bandwidth),

where the cells before and after are the neighbours in the order of the device; the first and the last one have one
each. White noise has no variance without a bandwidth, so that it needs one. What is no element, sampling and
conversion, is said by the circuit (`spu.circuit.acquisition`).
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.base.expressions import Expression, parameter
from spu.base.sequences import Lazy
from spu.circuit.acquisition import Acquisition
from spu.circuit.circuit import Instances, NoiseSource, Subcircuit, mapped
from spu.circuit.elements import Capacitor, CurrentSource, Element, NoiseCurrent, Resistor, Transconductor
from spu.device.imperfections import Detail

CHAIN = ("bandwidth", "noise", "offset", "gain_error", "crosstalk")
"""Keys of ``readout`` that are elements."""

ACQUIRED = {
    "sampling_rate": "sampling_rate",
    "jitter": "jitter",
    "bits": "bits",
    "full_scale": "full_scale",
    "sample_noise": "noise",
}
"""Keys of ``readout`` that are the acquisition's, with what that calls them."""

READOUT = "readout"
"""Name of the subcircuit; its instances are that behind an ``x``, and the name of the cell."""

OUTPUT = "out"
"""Node of an amplifier's output, inside its instance."""

_CONDUCTANCE = 1e-3
"""S, of the amplifier's model; any would do, this one has capacitances of the size of a cell's."""


def acquisition_of(detail: Detail) -> Acquisition | None:
    """How readouts are taken; None where nothing is said of that.

    Raises
    ------
    InputError
        As `Acquisition`.
    """
    given = {name: detail.readout[key] for key, name in ACQUIRED.items() if key in detail.readout}
    return Acquisition(**given) if given else None


def chained(detail: Detail) -> bool:
    """Whether there are amplifiers."""
    return any(key in detail.readout for key in CHAIN)


def chain(
    detail: Detail, cells: Lazy[str], probed: IntArray, sources: Lazy[NoiseSource]
) -> tuple[Instances, Lazy[NoiseSource]]:
    """Amplifiers of all cells, whose nodes are (n,); the sources with theirs added."""
    given, count = detail.readout, len(cells)
    constants: dict[str, float] = {"gro": _CONDUCTANCE, "rro": 1.0 / _CONDUCTANCE}
    derived: dict[str, Expression] = {}
    elements: list[Element] = [
        Transconductor("gin", ("0", OUTPUT, "a", "0"), "gro", role="readout"),
        Resistor("rro", (OUTPUT, "0"), "rro"),
    ]
    ports, nodes = ["a"], [probed]
    words = ["v of the cell behind a buffer"]
    if "gain_error" in given:
        constants["gerr"] = given["gain_error"]
        derived["ga"] = parameter("gro") * (1 + parameter("gerr"))
        elements[0] = Transconductor("gin", ("0", OUTPUT, "a", "0"), "ga", role="readout")
        words.append("times 1 + gerr")
    if "crosstalk" in given:
        constants["xt"] = given["crosstalk"]
        derived["gx"] = parameter("gro") * parameter("xt")
        for side, neighbours in (("before", (GROUND, probed[:-1])), ("after", (probed[1:], GROUND))):
            ports.append(side)
            nodes.append(np.concatenate([np.atleast_1d(part) for part in neighbours]))
            elements.append(Transconductor(f"gx{side}", ("0", OUTPUT, side, "0"), "gx", role="readout"))
        words.append("plus xt of its neighbours'")
    if "offset" in given:
        constants["voff"] = given["offset"]
        derived["ioff"] = parameter("gro") * parameter("voff")
        elements.append(CurrentSource("ioff", ("0", OUTPUT), "ioff"))
        words.append("plus voff (V)")
    if "bandwidth" in given:
        constants["bw"] = given["bandwidth"]
        derived["cro"] = parameter("gro") / (2 * math.pi * parameter("bw"))
        elements.append(Capacitor("cro", (OUTPUT, "0"), "cro"))
        words.append("a pole at bw (Hz)")
    if "noise" in given:
        constants["nro"] = given["noise"]
        derived["sro"] = parameter("gro") * parameter("nro") * (parameter("gro") * parameter("nro"))
        elements.append(NoiseCurrent("gn", ("0", OUTPUT), "sro", "n"))
        ports.append("n")
        nodes.append(len(sources) + np.arange(count))
        sources += Lazy((count, partial(_source, cells)))
        words.append("noise nro (V/rtHz) before it")
    template = Subcircuit(
        READOUT,
        tuple(ports),
        (),
        tuple(elements),
        f"readout of a cell, at {OUTPUT}: {', '.join(words)}",
        constants,
        derived,
    )
    known: dict[str, float] = dict(constants)
    for name, expression in derived.items():
        known[name] = float(expression(known))
    parameters: dict[str, FloatArray] = {
        name: np.full(count, known[name]) for element in elements for name in element.parameters
    }
    return Instances(template, mapped(f"x{READOUT}_{{}}", cells), np.column_stack(nodes), parameters, {}), sources


def _source(cells: Lazy[str], k: int) -> NoiseSource:
    return NoiseSource(f"ro_{cells[k]}", False)
