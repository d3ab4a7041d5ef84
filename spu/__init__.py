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

from spu.base import display, opener
from spu.base.version import __version__

TYPE_CHECKING = False  # not from typing: until spu.cli has taken care of signals, every millisecond counts
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from spu.base.distances import kullback_leibler
    from spu.base.errors import (
        CircuitError,
        DeckError,
        InputError,
        InternalError,
        NgspiceFailed,
        NgspiceMissing,
        NonlinearNetlist,
        SimulatorFailed,
        SimulatorMissing,
        SpuError,
        Unrealizable,
    )
    from spu.circuit.acquisition import Acquisition
    from spu.circuit.clocked import Clocked
    from spu.circuit.ramp import Ramp
    from spu.circuit.readout import Readout
    from spu.compiler import compile, compile_network, compile_problem
    from spu.compiler.compilation import Compilation
    from spu.compiler.embedding import EmbeddingOptions
    from spu.compiler.polynomial import NetworkCompilation
    from spu.crosscheck import Check, check
    from spu.device.device import Cell, Coupler, Device
    from spu.device.hardware import Hardware
    from spu.device.hardware_file import load_hardware
    from spu.device.imperfections import Detail
    from spu.device.tolerance import Spread, Tolerance
    from spu.device.variation import Elements, draw_factors, elements_of, varied
    from spu.emulator.laws.gradients import LawJacobian, gradient, jacobian
    from spu.emulator.laws.many import ManyLaws, laws_of_draws
    from spu.emulator.laws.spectra import Spectrum
    from spu.emulator.predict import LinearisedPrediction, NetworkPrediction, Prediction, predict, predict_network
    from spu.emulator.relaxation import Relaxation, relaxation
    from spu.emulator.runs.kicked import SampledRelaxation
    from spu.emulator.runs.relaxation import NetworkSimulation
    from spu.emulator.runs.sampling import Simulation
    from spu.emulator.simulate import simulate, simulate_network
    from spu.emulator.spectrum import spectrum
    from spu.export.materials import Materials, bill_of_materials
    from spu.problems.conditional import ConditionalGaussian, ConditionalSystem, conditional
    from spu.problems.determinant import Determinant
    from spu.problems.exponential import MatrixExponential
    from spu.problems.files import load_problem
    from spu.problems.gaussian import GaussianSampling, LinearSystem, MatrixInverse
    from spu.problems.images import Images, read_images
    from spu.problems.ising import QUBO, BoundedQuadratic, Ising
    from spu.problems.lyapunov import LyapunovEquation
    from spu.problems.network import ThermodynamicNetwork
    from spu.problems.network_files import load_network
    from spu.problems.neuron import unit_law
    from spu.problems.problem import Problem
    from spu.problems.systems import GeneralSystem, LeastSquares
    from spu.problems.trained import TrainedNetwork, load_trained
    from spu.reports import Report, report
    from spu.spice.netlist import netlist
    from spu.spice.rawfile import write_raw
    from spu.spice.reader import ReadNetlist, read_netlist
    from spu.studies.algebra.determinant import LogDeterminant, log_determinant
    from spu.studies.algebra.planning import Plan, plan
    from spu.studies.algebra.scaling import Scaling, cost_scaling
    from spu.studies.algebra.solution import Solution, answer
    from spu.studies.algebra.tasks import expm, invert, logdet, lstsq, lyapunov, solve
    from spu.studies.annealing import Annealing, anneal
    from spu.studies.budget import Budget, error_budget
    from spu.studies.calibration import Calibration, calibrate, compensate
    from spu.studies.checks import Checks, check_many
    from spu.studies.energy import Assumptions, Ledger, digital_samplers, energy_ledger, energy_of, load_energy
    from spu.studies.gaussian_process import GaussianProcess, gaussian_process
    from spu.studies.learning.classifier import train_classifier
    from spu.studies.learning.classify import Classification, classify
    from spu.studies.learning.evolve import Evolution, evolve
    from spu.studies.learning.generate import Generation, generate
    from spu.studies.learning.generative import train_generative
    from spu.studies.learning.hardware import on_hardware
    from spu.studies.learning.natural import NaturalGradient, natural_gradient
    from spu.studies.learning.replay import replay_learned
    from spu.studies.learning.sweep import hardware_sweep
    from spu.studies.stability import Stability, decay_rate, stability
    from spu.studies.yields.characterisation import Characterisation, characterise
    from spu.studies.yields.corner_study import Corners, corners
    from spu.studies.yields.specification import Requirement, Specification, load_specification
    from spu.studies.yields.yield_study import Yield, yields


__all__ = [
    "QUBO",
    "Acquisition",
    "Annealing",
    "Assumptions",
    "BoundedQuadratic",
    "Budget",
    "Calibration",
    "Cell",
    "Characterisation",
    "Check",
    "Checks",
    "CircuitError",
    "Classification",
    "Clocked",
    "Compilation",
    "ConditionalGaussian",
    "ConditionalSystem",
    "Corners",
    "Coupler",
    "DeckError",
    "Detail",
    "Determinant",
    "Device",
    "Elements",
    "EmbeddingOptions",
    "Evolution",
    "GaussianProcess",
    "GaussianSampling",
    "GeneralSystem",
    "Generation",
    "Hardware",
    "Images",
    "InputError",
    "InternalError",
    "Ising",
    "LawJacobian",
    "LeastSquares",
    "Ledger",
    "LinearSystem",
    "LinearisedPrediction",
    "LogDeterminant",
    "LyapunovEquation",
    "ManyLaws",
    "Materials",
    "MatrixExponential",
    "MatrixInverse",
    "NaturalGradient",
    "NetworkCompilation",
    "NetworkPrediction",
    "NetworkSimulation",
    "NgspiceFailed",
    "NgspiceMissing",
    "NonlinearNetlist",
    "Plan",
    "Prediction",
    "Problem",
    "Ramp",
    "ReadNetlist",
    "Readout",
    "Relaxation",
    "Report",
    "Requirement",
    "SampledRelaxation",
    "Scaling",
    "SharedNoise",
    "Simulation",
    "SimulatorFailed",
    "SimulatorMissing",
    "Solution",
    "Specification",
    "Spectrum",
    "Spread",
    "SpuError",
    "Stability",
    "ThermodynamicNetwork",
    "Tolerance",
    "TrainedNetwork",
    "Unrealizable",
    "Yield",
    "__version__",
    "anneal",
    "answer",
    "bill_of_materials",
    "calibrate",
    "characterise",
    "check",
    "check_many",
    "classify",
    "compensate",
    "compile",
    "compile_network",
    "compile_problem",
    "conditional",
    "corners",
    "cost_scaling",
    "decay_rate",
    "digital_samplers",
    "draw_factors",
    "elements_of",
    "energy_ledger",
    "energy_of",
    "error_budget",
    "evolve",
    "expm",
    "gaussian_process",
    "generate",
    "gradient",
    "hardware_sweep",
    "invert",
    "jacobian",
    "kullback_leibler",
    "laws_of_draws",
    "load_energy",
    "load_hardware",
    "load_network",
    "load_problem",
    "load_specification",
    "load_trained",
    "log_determinant",
    "logdet",
    "lstsq",
    "lyapunov",
    "natural_gradient",
    "netlist",
    "on_hardware",
    "plan",
    "predict",
    "predict_network",
    "read_images",
    "read_netlist",
    "relaxation",
    "replay_learned",
    "report",
    "simulate",
    "simulate_network",
    "solve",
    "spectrum",
    "stability",
    "train_classifier",
    "train_generative",
    "unit_law",
    "varied",
    "write_raw",
    "yields",
]


_HOME = {
    "Characterisation": "spu.studies.yields.characterisation",
    "characterise": "spu.studies.yields.characterisation",
    "Requirement": "spu.studies.yields.specification",
    "Specification": "spu.studies.yields.specification",
    "load_specification": "spu.studies.yields.specification",
    "Spread": "spu.device.tolerance",
    "Tolerance": "spu.device.tolerance",
    "Elements": "spu.device.variation",
    "draw_factors": "spu.device.variation",
    "elements_of": "spu.device.variation",
    "varied": "spu.device.variation",
    "ManyLaws": "spu.emulator.laws.many",
    "laws_of_draws": "spu.emulator.laws.many",
    "LawJacobian": "spu.emulator.laws.gradients",
    "gradient": "spu.emulator.laws.gradients",
    "jacobian": "spu.emulator.laws.gradients",
    "Annealing": "spu.studies.annealing",
    "Assumptions": "spu.studies.energy",
    "BoundedQuadratic": "spu.problems.ising",
    "Budget": "spu.studies.budget",
    "Stability": "spu.studies.stability",
    "decay_rate": "spu.studies.stability",
    "stability": "spu.studies.stability",
    "Calibration": "spu.studies.calibration",
    "Cell": "spu.device.device",
    "SharedNoise": "spu.device.noises",
    "Check": "spu.crosscheck",
    "Checks": "spu.studies.checks",
    "CircuitError": "spu.base.errors",
    "Classification": "spu.studies.learning.classify",
    "Clocked": "spu.circuit.clocked",
    "Compilation": "spu.compiler.compilation",
    "ConditionalGaussian": "spu.problems.conditional",
    "ConditionalSystem": "spu.problems.conditional",
    "Corners": "spu.studies.yields.corner_study",
    "corners": "spu.studies.yields.corner_study",
    "Coupler": "spu.device.device",
    "DeckError": "spu.base.errors",
    "Detail": "spu.device.imperfections",
    "Determinant": "spu.problems.determinant",
    "Device": "spu.device.device",
    "EmbeddingOptions": "spu.compiler.embedding",
    "Evolution": "spu.studies.learning.evolve",
    "GaussianProcess": "spu.studies.gaussian_process",
    "GaussianSampling": "spu.problems.gaussian",
    "GeneralSystem": "spu.problems.systems",
    "Generation": "spu.studies.learning.generate",
    "Hardware": "spu.device.hardware",
    "Images": "spu.problems.images",
    "InputError": "spu.base.errors",
    "InternalError": "spu.base.errors",
    "LeastSquares": "spu.problems.systems",
    "Ising": "spu.problems.ising",
    "Ledger": "spu.studies.energy",
    "LogDeterminant": "spu.studies.algebra.determinant",
    "log_determinant": "spu.studies.algebra.determinant",
    "LinearSystem": "spu.problems.gaussian",
    "LyapunovEquation": "spu.problems.lyapunov",
    "Materials": "spu.export.materials",
    "bill_of_materials": "spu.export.materials",
    "MatrixExponential": "spu.problems.exponential",
    "MatrixInverse": "spu.problems.gaussian",
    "NaturalGradient": "spu.studies.learning.natural",
    "NetworkCompilation": "spu.compiler.polynomial",
    "LinearisedPrediction": "spu.emulator.predict",
    "NetworkPrediction": "spu.emulator.predict",
    "NetworkSimulation": "spu.emulator.runs.relaxation",
    "NgspiceFailed": "spu.base.errors",
    "NgspiceMissing": "spu.base.errors",
    "NonlinearNetlist": "spu.base.errors",
    "SimulatorFailed": "spu.base.errors",
    "SimulatorMissing": "spu.base.errors",
    "Plan": "spu.studies.algebra.planning",
    "Prediction": "spu.emulator.predict",
    "Problem": "spu.problems.problem",
    "QUBO": "spu.problems.ising",
    "Acquisition": "spu.circuit.acquisition",
    "Ramp": "spu.circuit.ramp",
    "ReadNetlist": "spu.spice.reader",
    "Readout": "spu.circuit.readout",
    "Relaxation": "spu.emulator.relaxation",
    "Report": "spu.reports",
    "SampledRelaxation": "spu.emulator.runs.kicked",
    "Scaling": "spu.studies.algebra.scaling",
    "Simulation": "spu.emulator.runs.sampling",
    "Solution": "spu.studies.algebra.solution",
    "Spectrum": "spu.emulator.laws.spectra",
    "SpuError": "spu.base.errors",
    "ThermodynamicNetwork": "spu.problems.network",
    "TrainedNetwork": "spu.problems.trained",
    "Unrealizable": "spu.base.errors",
    "Yield": "spu.studies.yields.yield_study",
    "write_raw": "spu.spice.rawfile",
    "yields": "spu.studies.yields.yield_study",
    "anneal": "spu.studies.annealing",
    "answer": "spu.studies.algebra.solution",
    "calibrate": "spu.studies.calibration",
    "check": "spu.crosscheck",
    "check_many": "spu.studies.checks",
    "classify": "spu.studies.learning.classify",
    "compensate": "spu.studies.calibration",
    "compile": "spu.compiler",
    "compile_network": "spu.compiler",
    "compile_problem": "spu.compiler",
    "conditional": "spu.problems.conditional",
    "cost_scaling": "spu.studies.algebra.scaling",
    "digital_samplers": "spu.studies.energy",
    "energy_ledger": "spu.studies.energy",
    "energy_of": "spu.studies.energy",
    "error_budget": "spu.studies.budget",
    "evolve": "spu.studies.learning.evolve",
    "expm": "spu.studies.algebra.tasks",
    "gaussian_process": "spu.studies.gaussian_process",
    "generate": "spu.studies.learning.generate",
    "hardware_sweep": "spu.studies.learning.sweep",
    "invert": "spu.studies.algebra.tasks",
    "kullback_leibler": "spu.base.distances",
    "load_energy": "spu.studies.energy",
    "load_hardware": "spu.device.hardware_file",
    "load_network": "spu.problems.network_files",
    "load_problem": "spu.problems.files",
    "load_trained": "spu.problems.trained",
    "logdet": "spu.studies.algebra.tasks",
    "lstsq": "spu.studies.algebra.tasks",
    "lyapunov": "spu.studies.algebra.tasks",
    "natural_gradient": "spu.studies.learning.natural",
    "netlist": "spu.spice.netlist",
    "on_hardware": "spu.studies.learning.hardware",
    "plan": "spu.studies.algebra.planning",
    "predict": "spu.emulator.predict",
    "predict_network": "spu.emulator.predict",
    "read_images": "spu.problems.images",
    "read_netlist": "spu.spice.reader",
    "relaxation": "spu.emulator.relaxation",
    "replay_learned": "spu.studies.learning.replay",
    "report": "spu.reports",
    "simulate": "spu.emulator.simulate",
    "simulate_network": "spu.emulator.simulate",
    "solve": "spu.studies.algebra.tasks",
    "spectrum": "spu.emulator.spectrum",
    "train_classifier": "spu.studies.learning.classifier",
    "train_generative": "spu.studies.learning.generative",
    "unit_law": "spu.problems.neuron",
}
"""Where each public name lives: imported on first use, so that ``import spu`` costs next to nothing."""


def _notebook(shown: object) -> str | None:
    found: str | None = importlib.import_module("spu.reports.notebook").html(shown)
    return found


def _text(result: object) -> str | None:
    found: str | None = importlib.import_module("spu.reports.texts").text(result)
    return found


def _picture(result: object) -> Any:
    return importlib.import_module("spu.reports.pictures.results").picture(result)


def _opened(path: str | Path) -> Any:
    return importlib.import_module("spu.folder").read_folder(path)


display.show, display.say, display.draw = _notebook, _text, _picture
opener.open_path = _opened


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'spu' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
