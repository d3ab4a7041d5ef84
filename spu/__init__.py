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

import importlib

TYPE_CHECKING = False  # not from typing: until spu.cli has taken care of signals, every millisecond counts
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from spu.budget import Budget, error_budget
    from spu.compiler import Compilation, compile_problem
    from spu.compiler.network import NetworkCompilation, compile_network
    from spu.crosscheck import Check, check
    from spu.detail import Detail
    from spu.device import Cell, Coupler, Device, Readout
    from spu.errors import (
        CircuitError,
        DeckError,
        InputError,
        InternalError,
        NgspiceFailed,
        NgspiceMissing,
        NonlinearNetlist,
        SpuError,
        Unrealizable,
    )
    from spu.hardware import Hardware, load_hardware
    from spu.network import ThermodynamicNetwork, load_network, unit_law
    from spu.problem import GaussianSampling, LinearSystem, MatrixInverse, Problem, load_problem
    from spu.relaxation import NetworkPrediction, NetworkSimulation, predict_network, simulate_network
    from spu.reports import Report, report
    from spu.sampling import Simulation, simulate
    from spu.spectra import Spectrum, spectrum
    from spu.spice.netlist import netlist
    from spu.spice.reader import ReadNetlist, read_netlist
    from spu.statistics import Prediction, kullback_leibler, predict

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Cell",
    "Check",
    "CircuitError",
    "Compilation",
    "Coupler",
    "DeckError",
    "Detail",
    "Device",
    "GaussianSampling",
    "Hardware",
    "InputError",
    "InternalError",
    "LinearSystem",
    "MatrixInverse",
    "NetworkCompilation",
    "NetworkPrediction",
    "NetworkSimulation",
    "NgspiceFailed",
    "NgspiceMissing",
    "NonlinearNetlist",
    "Prediction",
    "Problem",
    "ReadNetlist",
    "Readout",
    "Report",
    "Simulation",
    "Spectrum",
    "SpuError",
    "ThermodynamicNetwork",
    "Unrealizable",
    "check",
    "compile",
    "compile_network",
    "compile_problem",
    "error_budget",
    "kullback_leibler",
    "load_hardware",
    "load_network",
    "load_problem",
    "netlist",
    "predict",
    "predict_network",
    "read_netlist",
    "report",
    "simulate",
    "simulate_network",
    "spectrum",
    "unit_law",
]


_HOME = {
    "Budget": "spu.budget",
    "Cell": "spu.device",
    "Check": "spu.crosscheck",
    "CircuitError": "spu.errors",
    "Compilation": "spu.compiler",
    "Coupler": "spu.device",
    "DeckError": "spu.errors",
    "Detail": "spu.detail",
    "Device": "spu.device",
    "GaussianSampling": "spu.problem",
    "Hardware": "spu.hardware",
    "InputError": "spu.errors",
    "InternalError": "spu.errors",
    "LinearSystem": "spu.problem",
    "MatrixInverse": "spu.problem",
    "NetworkCompilation": "spu.compiler.network",
    "NetworkPrediction": "spu.relaxation",
    "NetworkSimulation": "spu.relaxation",
    "NgspiceFailed": "spu.errors",
    "NgspiceMissing": "spu.errors",
    "NonlinearNetlist": "spu.errors",
    "Prediction": "spu.statistics",
    "Problem": "spu.problem",
    "ReadNetlist": "spu.spice.reader",
    "Readout": "spu.device",
    "Report": "spu.reports",
    "Simulation": "spu.sampling",
    "Spectrum": "spu.spectra",
    "SpuError": "spu.errors",
    "ThermodynamicNetwork": "spu.network",
    "Unrealizable": "spu.errors",
    "check": "spu.crosscheck",
    "compile_network": "spu.compiler.network",
    "compile_problem": "spu.compiler",
    "error_budget": "spu.budget",
    "kullback_leibler": "spu.statistics",
    "load_hardware": "spu.hardware",
    "load_network": "spu.network",
    "load_problem": "spu.problem",
    "netlist": "spu.spice.netlist",
    "predict": "spu.statistics",
    "predict_network": "spu.relaxation",
    "read_netlist": "spu.spice.reader",
    "report": "spu.reports",
    "simulate": "spu.sampling",
    "simulate_network": "spu.relaxation",
    "spectrum": "spu.spectra",
    "unit_law": "spu.network",
}
"""Where each public name lives: imported on first use, so that ``import spu`` costs next to nothing."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'spu' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


def compile(
    problem: Problem | ThermodynamicNetwork,
    hardware: str | Path | Hardware = "ideal",
    *,
    architecture: str | None = None,
) -> Device:
    """Realize a problem on hardware; see `compile_problem` and `compile_network`, whose ``device`` this returns."""
    from spu.network import ThermodynamicNetwork

    if isinstance(problem, ThermodynamicNetwork):
        from spu.compiler.network import compile_network

        return compile_network(problem, hardware, architecture=architecture).device
    from spu.compiler import compile_problem

    return compile_problem(problem, hardware, architecture=architecture).device
