"""Circuit-level emulator of stochastic processing units (SPUs).

A matrix goes in; a graph of RLC or RC cells and couplers comes out; from that one graph come
a fast stochastic emulator and a SPICE netlist; and `check` says whether ideal model, emulator
and ngspice agree.

>>> import spu
>>> problem = spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]])
>>> device = spu.compile(problem)
>>> spu.predict(device).relative_error < 1e-9
True
"""

from __future__ import annotations

from pathlib import Path

from spu.compiler import Compilation, compile_problem
from spu.crosscheck import Check, check
from spu.device import Cell, Coupler, Device, Readout
from spu.errors import (
    CircuitError,
    DeckError,
    InputError,
    NgspiceFailed,
    NgspiceMissing,
    SpuError,
    Unrealizable,
)
from spu.hardware import Hardware, load_hardware
from spu.problem import GaussianSampling, LinearSystem, MatrixInverse, Problem, load_problem
from spu.spice.netlist import netlist
from spu.statistics import Prediction, Simulation, predict, simulate

__version__ = "0.1.0"

__all__ = [
    "Cell",
    "Check",
    "CircuitError",
    "Compilation",
    "Coupler",
    "DeckError",
    "Device",
    "GaussianSampling",
    "Hardware",
    "InputError",
    "LinearSystem",
    "MatrixInverse",
    "NgspiceFailed",
    "NgspiceMissing",
    "Prediction",
    "Problem",
    "Readout",
    "Simulation",
    "SpuError",
    "Unrealizable",
    "compile",
    "check",
    "compile_problem",
    "load_hardware",
    "load_problem",
    "netlist",
    "predict",
    "simulate",
]


def compile(  # noqa: A001 - the verb users know from the command line
    problem: Problem, hardware: str | Path | Hardware = "ideal", *, architecture: str | None = None
) -> Device:
    """Realize a problem on hardware; see `compile_problem`, whose ``device`` this returns."""
    return compile_problem(problem, hardware, architecture=architecture).device
