"""The picture of each kind of result: what ``--plot`` draws, and ``.plot()`` in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spu.base.errors import UsageError
from spu.base.extras import needed
from spu.crosscheck.result import Check
from spu.emulator.laws.spectra import Spectra, Spectrum, telling
from spu.emulator.predict import LinearisedPrediction, NetworkPrediction, Prediction, predicted
from spu.emulator.relaxation import Relaxation
from spu.emulator.runs.kicked import SampledRelaxation
from spu.emulator.runs.relaxation import NetworkSimulation
from spu.emulator.runs.sampling import Simulation
from spu.export.materials import Materials
from spu.reports.pictures.annealing import draw_annealing
from spu.reports.pictures.budgets import draw_budget
from spu.reports.pictures.calibrations import draw_calibration
from spu.reports.pictures.characterisations import draw_characterisation
from spu.reports.pictures.checks import draw_checks
from spu.reports.pictures.covariances import draw_check, draw_prediction, draw_simulation
from spu.reports.pictures.energy import draw_ledger
from spu.reports.pictures.gaussian_process import draw_gaussian_process
from spu.reports.pictures.hardware_learning import draw_hardware_sweep, draw_replay
from spu.reports.pictures.learning import draw_generation
from spu.reports.pictures.learning_classify import draw_classification
from spu.reports.pictures.learning_evolution import draw_evolution
from spu.reports.pictures.materials import draw_materials
from spu.reports.pictures.natural import draw_natural, draw_one_step
from spu.reports.pictures.networks import draw_activation, draw_trajectories
from spu.reports.pictures.plans import draw_plan, draw_solution
from spu.reports.pictures.ramps import draw_work
from spu.reports.pictures.relaxations import draw_relaxation, draw_sampled_relaxation
from spu.reports.pictures.scalings import draw_scaling
from spu.reports.pictures.spectra import draw_spectra
from spu.reports.pictures.stabilities import draw_stability
from spu.reports.pictures.yields import draw_corners, draw_yield
from spu.studies.activation import UnitActivation, activation_of
from spu.studies.algebra.determinant import LogDeterminant
from spu.studies.algebra.planning import Plan
from spu.studies.algebra.scaling import Scaling
from spu.studies.algebra.solution import Solution
from spu.studies.annealing import Annealing
from spu.studies.budget import Budget
from spu.studies.calibration import Calibration
from spu.studies.checks import Checks
from spu.studies.energy import Ledger
from spu.studies.gaussian_process import GaussianProcess
from spu.studies.learning.classify import Classification
from spu.studies.learning.evolve import Evolution
from spu.studies.learning.generate import Generation
from spu.studies.learning.natural import NaturalGradient, OneStep
from spu.studies.learning.replay import ReplayedNetwork
from spu.studies.learning.sweep import HardwareSweep
from spu.studies.stability import Stability
from spu.studies.yields.characterisation import Characterisation
from spu.studies.yields.corner_study import Corners
from spu.studies.yields.yield_study import Yield

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(result: object) -> Figure:
    """Draw a result, by the nearest of its classes in `PICTURES`.

    Raises
    ------
    UsageError
        If there is nothing to draw, or matplotlib is not installed.
    """
    needed("matplotlib", "a picture")
    for kind in type(result).__mro__:
        if kind in PICTURES:
            return PICTURES[kind](result)
    raise UsageError(f"a {type(result).__name__} has no picture")


def _check(check: Check) -> Figure:
    if not check.covariances:
        raise UsageError("no picture: the levels that ran give no covariances")
    return draw_check(check.variables, check.covariances, check.spectra)


def _activation(found: UnitActivation) -> Figure:
    return draw_activation(found.curve, found.unit, found.own)


def _spectrum(found: Spectrum) -> Figure:
    """Of a few telling variables."""
    chosen, pairs = telling(found.autocovariance(0.0)[0])
    density = found.density[:, chosen][:, :, chosen]
    names = tuple(found.variables[k] for k in chosen)
    places = [(chosen.index(a), chosen.index(b)) for a, b in pairs]
    return draw_spectra(Spectra(names, places, found.frequencies, density, of="variable", unit="problem units"))


PICTURES: dict[type, Callable[[Any], Figure]] = {
    Characterisation: draw_characterisation,
    Annealing: draw_annealing,
    Budget: draw_budget,
    Calibration: draw_calibration,
    Check: _check,
    Checks: draw_checks,
    Evolution: draw_evolution,
    Generation: draw_generation,
    Classification: draw_classification,
    GaussianProcess: draw_gaussian_process,
    Ledger: draw_ledger,
    Materials: draw_materials,
    Scaling: draw_scaling,
    HardwareSweep: draw_hardware_sweep,
    Corners: draw_corners,
    Yield: draw_yield,
    LinearisedPrediction: draw_prediction,
    LogDeterminant: draw_work,
    NaturalGradient: draw_natural,
    NetworkPrediction: lambda found: _activation(activation_of(found.dynamics)),
    NetworkSimulation: draw_trajectories,
    Plan: draw_plan,
    Solution: draw_solution,
    OneStep: draw_one_step,
    Prediction: draw_prediction,
    Relaxation: draw_relaxation,
    ReplayedNetwork: draw_replay,
    SampledRelaxation: draw_sampled_relaxation,
    Simulation: lambda run: draw_simulation(run, predicted(run.laws, None)),
    Spectrum: _spectrum,
    Stability: draw_stability,
    UnitActivation: _activation,
}
"""The register: what draws each kind of result."""
