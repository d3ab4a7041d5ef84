"""Converters of readouts in netlists: a behavioural source each, on a node of its own, ``code_NAME``.

Such a node has the voltage that the converter would read at any time, so that a transient shows the waveform that is
acquired; nothing hangs on it. Of what no element can say, the clock and the noise of each sample, the header tells.
"""

from __future__ import annotations

from collections.abc import Iterator

from spu.circuit.acquisition import Acquisition
from spu.circuit.circuit import Circuit
from spu.spice.dialects import NGSPICE
from spu.spice.dialects.dialect import number
from spu.spice.names import SAMPLED, SAMPLED_KEYS, probed_nodes


def header_lines(acquisition: Acquisition | None) -> list[str]:
    """What a netlist says of it."""
    if not acquisition:
        return []
    lines = []
    if acquisition.full_scale is not None:
        lines = [
            "Node code_NAME is what the converter of cell NAME would read at any time, V; expected moments are of the",
            "voltage at the converter.",
        ]
    said = [f"{key}={number(getattr(acquisition, key))}" for key in SAMPLED_KEYS if getattr(acquisition, key)]
    return [*lines, f"{SAMPLED} {' '.join(said)} (Hz, s rms, V rms)."] if said else lines


def converters(circuit: Circuit) -> Iterator[str]:
    """One line for each readout, where there are converters."""
    acquisition = circuit.acquisition
    if acquisition is None or acquisition.full_scale is None:
        return
    yield from NGSPICE.section("converters: what each would read, node code_NAME; nothing hangs on these")
    full, step = number(acquisition.full_scale), number(acquisition.step)
    for name, node in zip(circuit.probes, probed_nodes(circuit), strict=True):
        value = f"min(max(v({node}),-{full}),{full})"
        if acquisition.bits is not None:
            half = 2.0 ** (acquisition.bits - 1)
            value = f"{step}*(min(max(floor(v({node})/{step}),-{number(half)}),{number(half - 1.0)})+0.5)"
        yield f"bcode_{name} code_{name} 0 v={value}"
