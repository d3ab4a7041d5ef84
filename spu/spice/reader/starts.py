"""Where a netlist says that its nodes are at time zero (``.ic``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from spu.base.arrays import FloatArray
from spu.spice.reader.lines import Line
from spu.spice.reader.numbers import parse_number
from spu.spice.reader.readout import Probe

_SAID = re.compile(r"v\(\s*([^\s,()]+)\s*\)\s*=\s*(\S+)")


def start_of(lines: Sequence[Line], probes: Sequence[Probe]) -> FloatArray | None:
    """(p,) V of the probes at time zero, as ``.ic`` lines at top level say it in numbers.

    None where there are none; where they are of nodes that are not read, of expressions, or inside a subcircuit; and
    where an element begins with a voltage or a current of its own (``ic=``): then a start is more than its probes.
    """
    said: dict[str, float] = {}
    depth = 0
    for line in lines:
        first, text = line.words[0], line.text.lower()
        depth += (first == ".subckt") - (first == ".ends")
        if first[0] in "cl" and re.search(r"\bic\s*=", text):
            return None
        if first != ".ic":
            continue
        rest = text.split(None, 1)[1] if " " in text.strip() else ""
        if depth or _SAID.sub("", rest).strip():
            return None
        try:
            said |= {node: parse_number(value) for node, value in _SAID.findall(rest)}
        except ValueError:
            return None
    plus = {probe.plus.lower(): k for k, probe in enumerate(probes) if probe.minus == "0"}
    if not said or not set(said) <= set(plus) or len(plus) < len(probes):
        return None
    start = np.zeros(len(probes))
    for node, volts in said.items():
        start[plus[node]] = volts
    return start
