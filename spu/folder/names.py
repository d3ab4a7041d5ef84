"""The names of a folder's files."""

from __future__ import annotations

import re

from spu.problems.trained import TRAINED

__all__ = ["NETLISTS"]


DEVICE, DECK, PROBLEM, CIRCUIT = "device.json", "device.cir", "problem.json", "circuit.json"

MATRICES, STATISTICS = "problem.npz", "statistics.npz"

NAMES = (DEVICE, DECK, PROBLEM, MATRICES, STATISTICS, CIRCUIT, TRAINED)

NETLISTS = (".cir", ".net", ".sp", ".ckt", ".spice")
"""Suffixes of files that are read as netlists."""

DECKS = re.compile(
    r"device(\.[1-9][0-9]*)?(\.ltspice\.cir|\.xyce\.cir|\.spectre\.scs|\.vacask\.sim|\.cir)|spu_(nonlinear|ramped)\.va"
)
"""Netlists, and the modules that lie beside some."""


def deck_name(number: int, ending: str = ".cir") -> str:
    """The netlist of programming ``number``, counted from 0; ``ending`` is that of its dialect."""
    return f"device{ending}" if number == 0 else f"device.{number + 1}{ending}"


PROBLEM_FORMAT = "spu-problem/1"

CIRCUIT_FORMAT = "spu-circuit/1"
