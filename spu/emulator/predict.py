"""`predict`: what a device does, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError, UsageError, refuse_options
from spu.circuit.acquisition import Acquisition
from spu.device.subject import Subject, circuits, subject_of
from spu.emulator.dynamics import (
    Dynamics,
    LangevinDynamics,
    LinearDynamics,
    SaturatingDynamics,
    all_linear,
    compared_with,
    dynamics,
    langevin_of,
    slowest,
)
from spu.emulator.equations.langevin import Langevin
from spu.emulator.labelled import SQUARES, UNITS, Labels
from spu.emulator.laws.acquired import Acquired, acquired
from spu.emulator.laws.large import LARGE, SparseLaw
from spu.emulator.laws.law import Law
from spu.emulator.laws.rest import time_constants
from spu.emulator.laws.stationary import Stationary
from spu.emulator.results import Statistics, compare, lag_of, lagged_covariance, merge
from spu.problems.problem import LinearProblem, Problem, linear_problem

if TYPE_CHECKING:
    import xarray

__all__ = ["LinearisedPrediction", "NetworkPrediction", "Prediction", "predict", "predict_network"]


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Statistics):
    """Exact statistics.

    Attributes
    ----------
    law:
        The stationary law, for spectra and autocovariances; of an ensemble that of the first programming.
    band:
        (F1, F2) in Hz if band-limited, else None.
    laws:
        Of each programming of an ensemble; of other devices the one.
    acquisition:
        How readouts are taken, and then moments and errors are of what is read; None where they are taken as they are.
    circuit:
        The same of the voltages at the converter; None likewise, and of ensembles.
    clipping:
        (n,) probability that a reading of a cell is beyond full scale; None likewise.

    Examples
    --------
    >>> import spu
    >>> found = spu.predict(spu.compile([[2.0, -0.5], [-0.5, 1.0]]))
    >>> found.covariance.round(3)
    array([[0.571, 0.286],
           [0.286, 1.143]])
    >>> found.relative_error < 1e-9, found.time_constants.shape
    (True, (4,))
    """

    law: Law
    band: tuple[float, float] | None = None
    laws: tuple[Law, ...] = ()
    acquisition: Acquisition | None = None
    circuit: Prediction | None = None
    clipping: Annotated[FloatArray, "n"] | None = None

    in_short = ("variables", "relative_error", "band")

    @property
    def time_constants(self) -> Annotated[FloatArray, "states"]:
        """(states,) ``-1/Re(lambda)``, s, longest first, of the slowest programming; found when first asked for."""
        return slowest(self.laws).time_constants

    @property
    def time_span(self) -> tuple[float, float] | None:
        """The longest and the shortest of them, s; None where nothing moves."""
        if len(self.laws) > 1:
            constants = self.time_constants
            return (float(constants[0]), float(constants[-1])) if len(constants) else None
        return self.laws[0].time_span

    @property
    def looked_at(self) -> int | None:
        """Modes that `time_span` is of, where a large ringing network's were neither all found nor the extreme ones."""
        return self.laws[0].looked_at

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files: arrays stay arrays."""
        poles = self.law.poles
        return {
            **super().to_dict(),
            "time_constants": self.time_constants,
            "poles": np.column_stack([poles.real, poles.imag]).tolist(),
            "band": self.band,
            **self._acquired(),
        }

    def _acquired(self) -> dict[str, Any]:
        """What an acquisition adds: how, how often it clips, and what the circuit has at the converter."""
        if self.acquisition is None:
            return {}
        keys = ("mean", "covariance", "voltage_mean", "voltage_covariance", "relative_error")
        circuit = None if self.circuit is None else {key: getattr(self.circuit, key) for key in keys}
        return {"acquisition": self.acquisition.to_dict(), "clipping": self.clipping, "circuit": circuit}

    def to_xarray(self) -> xarray.Dataset:
        """Means, covariances and time constants as labelled arrays (`spu.emulator.labelled`).

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        found = self.labels(band=self.band)
        found.array("time_constants", ("mode",), self.time_constants, "s")
        return found.dataset()


def predict(
    subject: Subject, *, band: tuple[float, float] | None = None, problem: Problem | None = None
) -> Prediction | NetworkPrediction:
    """Exact stationary statistics: no sampling, no time step.

    Those of an ensemble are of the samples of all its programmings, in equal shares. Of nonlinear cells
    (`NetworkPrediction`) what is known exactly.

    Parameters
    ----------
    subject:
        A device, compiled or built by hand; a circuit or a netlist that was read; a folder; or the path of one, of a
        ``device.json`` or of a netlist.
    band:
        (F1, F2), Hz: what a readout with a brick-wall band sees (relative errors are then None). Of linear circuits.
    problem:
        What linear devices are compared with; their own unless given. (Networks are, with their own equation's law.)

    Raises
    ------
    CircuitError
        If the circuit has no stationary law, or no equation, naming the nodes.
    UsageError
        If there is no device in what is given, or a band has no meaning for it.

    Examples
    --------
    The thermal noise of an RC cell is kT/C; in the band of an audio amplifier less of it is seen:

    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> f"{spu.predict(device).covariance[0, 0]:.3e} V^2"
    '4.142e-12 V^2'
    >>> f"{spu.predict(device, band=(20.0, 20e3)).covariance[0, 0]:.2e} V^2"
    '3.29e-13 V^2'
    """
    meant = subject_of(subject)
    found = [dynamics(circuit) for circuit in circuits(meant)]
    return PREDICTED[found[0].name](found, compared_with(found[0], problem, meant.problem), band)


def predict_linear(
    subject: Subject, *, band: tuple[float, float] | None = None, problem: Problem | None = None
) -> Prediction:
    """`predict` for whoever has a linear device, and needs what only these have."""
    meant = subject_of(subject)
    return _predict_linear(all_linear(meant, "there is no Gaussian law"), problem or meant.problem, band)


def _predict_linear(found: Sequence[Dynamics], problem: Problem | None, band: tuple[float, float] | None) -> Prediction:
    return predicted([cast(LinearDynamics, each).law for each in found], linear_problem(problem), band=band)


def predicted(
    laws: Sequence[Law], problem: LinearProblem | None, *, band: tuple[float, float] | None = None
) -> Prediction:
    """`predict` for the known laws of all programmings."""
    if len(laws) == 1:
        return prediction(laws[0], problem, band=band)
    return merged_prediction(laws, problem, band=band)


def _predict_saturating(
    found: Sequence[Dynamics], problem: Problem | None, band: tuple[float, float] | None
) -> LinearisedPrediction:
    exact = _predict_linear(found, problem, band)
    lines = [cast(SaturatingDynamics, each).linearised for each in found]
    return LinearisedPrediction(
        **{each.name: getattr(exact, each.name) for each in fields(exact)},
        distortion=max(line.distortion for line in lines),
        compression=min(line.compression for line in lines),
    )


def _predict_langevin(
    found: Sequence[Dynamics],
    problem: Problem | None,  # noqa: ARG001 - whose the moments are is the equation's matter
    band: tuple[float, float] | None,
) -> NetworkPrediction:
    refuse_options("networks: their spectra are not known", {"band": band})
    return network_prediction(cast(LangevinDynamics, found[0]))


PREDICTED: dict[
    str, Callable[[Sequence[Dynamics], Problem | None, tuple[float, float] | None], Prediction | NetworkPrediction]
] = {"linear": _predict_linear, "saturating": _predict_saturating, "langevin": _predict_langevin}
"""The register: what predicts each kind of dynamics."""


def merged_prediction(
    laws: Sequence[Law], problem: LinearProblem | None, *, band: tuple[float, float] | None = None
) -> Prediction:
    """`predict` for an ensemble whose laws are known already: what its merged samples have."""
    parts = [prediction(law, problem, band=band) for law in laws]
    weights = np.full(len(parts), 1.0 / len(parts))
    found = merge(problem, parts, weights, against_target=band is None)
    return Prediction(**found, law=laws[0], band=band, laws=tuple(laws), acquisition=laws[0].sde.acquisition)


def prediction(law: Law, problem: LinearProblem | None, *, band: tuple[float, float] | None = None) -> Prediction:
    """`predict` for a device whose law is known already."""
    read = acquired(law)
    if read is not None:
        return _acquired_prediction(read, problem, band)
    if band is not None and isinstance(law, SparseLaw):
        raise UsageError(f"a band needs all modes: more than {LARGE} states are too many")
    if band is None:
        found = _of_circuit(law, problem)
    else:
        covariance = cast(Stationary, law).band_covariance(*band)
        found = compare(law, problem, law.voltage_mean, covariance, against_target=False)
    return Prediction(**found, law=law, band=band, laws=(law,))


def _of_circuit(law: Law, problem: LinearProblem | None) -> dict[str, Any]:
    lag = lag_of(law, problem)
    lagged = None if lag is None else lagged_covariance(law, lag)
    exact = law.readout_moments
    return compare(law, problem, law.voltage_mean, law.voltage_covariance, moments=exact, lagged=lagged)


def _acquired_prediction(read: Acquired, problem: LinearProblem | None, band: tuple[float, float] | None) -> Prediction:
    law, acquisition = read.law, read.acquisition
    if band is not None:
        raise OptionError(
            "band",
            "is of readouts that are continuous in time: samples fold what lies beyond it, and a converter adds to it; "
            "leave sampling_rate, jitter, sample_noise, full_scale and bits out of detail.readout",
        )
    own = _of_circuit(law, problem)
    circuit = Prediction(**own, law=law, laws=(law,))
    if not (acquisition.converts or (acquisition.jitter and circuit.lagged is not None)):
        return replace(circuit, acquisition=acquisition, circuit=circuit)
    lag = lag_of(law, problem)
    T = law.sde.readout.matrix
    lagged = None if lag is None else np.asarray(T @ read.autocovariance(np.array([lag]))[0] @ T.T)
    found = compare(law, problem, read.voltage_mean, read.voltage_covariance, lagged=lagged)
    clipping = read.clipping if acquisition.full_scale is not None else None
    return Prediction(**found, law=law, laws=(law,), acquisition=acquisition, circuit=circuit, clipping=clipping)


@dataclass(frozen=True, eq=False, repr=False)
class LinearisedPrediction(Prediction):
    """Statistics by statistical linearisation (`spu.emulator.equations.saturating`): of finite linear ranges.

    Attributes
    ----------
    distortion:
        The largest share of a transconductor's current power that is left out: what covariances may be off by, in
        order of magnitude.
    compression:
        The least slope, over that of small signals, that a transconductor has for the noise at its input.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0, detail=spu.Detail(transconductor={"linear_range": 2e-4}))
    >>> device.add_cell("a", capacitance=1e-12, conductance=1e-6, active_conductance=-5e-7)
    >>> found = spu.predict(device)
    >>> type(found).__name__, 0.5 < found.compression < 1, 0 < found.distortion < 0.1
    ('LinearisedPrediction', True, True)
    """

    distortion: float = 0.0
    compression: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files: arrays stay arrays."""
        return {**super().to_dict(), "distortion": self.distortion, "compression": self.compression}


@dataclass(frozen=True, eq=False, repr=False)
class NetworkPrediction(Result):
    """What is known exactly of a device of nonlinear cells.

    Attributes
    ----------
    variables:
        p names.
    mean, covariance, third, fourth:
        Stationary moments in problem units (third and fourth central ones of each variable); None where
        they are not known: more than a few coupled units, or no Boltzmann law.
    theta:
        The temperature of the device's stationary law in its own unit (J, or W for voltages); None where
        there is no such law, and then ``why`` says why.
    rest:
        (p,) a state where the noiseless drift vanishes, problem units.
    time_constants:
        (n,) s, of small deviations from it, longest first; inertial equations have 2 n.
    coordinate, heat:
        ``voltage``, ``charge`` or ``flux``; what the potential is, in words.
    dynamics:
        What the device does in time.

    Examples
    --------
    >>> import spu
    >>> network = spu.ThermodynamicNetwork(J2=1.0, J4=1.0, input=[0.5, -0.5], couplings=[[0.0, 0.2], [0.2, 0.0]])
    >>> found = spu.predict(spu.compile(network))
    >>> found.mean.round(3), found.coordinate
    (array([ 0.122, -0.122]), 'voltage')
    """

    variables: tuple[str, ...]
    mean: Annotated[FloatArray, "p"] | None
    covariance: Annotated[FloatArray, "p p"] | None
    third: Annotated[FloatArray, "p"] | None
    fourth: Annotated[FloatArray, "p"] | None
    theta: float | None
    why: str
    rest: Annotated[FloatArray, "p"]
    time_constants: Annotated[FloatArray, "states"]
    coordinate: str
    heat: str
    dynamics: LangevinDynamics

    in_short = ("variables", "theta", "why")

    @property
    def equation(self) -> Langevin:
        """The Langevin equation."""
        return self.dynamics.equation

    @property
    def time_unit(self) -> float | None:
        """Seconds that one unit of the problem's time takes; None where there is no problem."""
        return None if self.dynamics.scales is None else self.dynamics.second

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files: arrays stay arrays."""
        keys = (
            *("variables", "mean", "covariance", "third", "fourth", "theta", "why", "rest", "time_constants"),
            *("coordinate", "heat", "time_unit"),
        )
        return {**{key: getattr(self, key) for key in keys}, "cells": self.equation.names}

    def to_xarray(self) -> xarray.Dataset:
        """Moments, the state at rest and time constants as labelled arrays (`spu.emulator.labelled`).

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        keys = ("theta", "why", "coordinate", "heat", "time_unit")
        found = Labels(**{key: getattr(self, key) for key in keys})
        found.names("variable", self.variables)
        found.array("mean", ("variable",), self.mean, UNITS)
        found.array("covariance", ("variable", "variable_"), self.covariance, SQUARES)
        found.array("third", ("variable",), self.third, f"{UNITS}^3")
        found.array("fourth", ("variable",), self.fourth, f"{UNITS}^4")
        found.array("rest", ("variable",), self.rest, UNITS)
        found.array("time_constants", ("mode",), self.time_constants, "s")
        return found.dataset()


def predict_network(subject: Subject) -> NetworkPrediction:
    """`predict`, by the Langevin equation also where the circuit is linear.

    Raises
    ------
    CircuitError
        If the circuit has no Langevin equation in one coordinate.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], architecture="rc-transconductor")
    >>> spu.predict_network(device).covariance.round(3)
    array([[0.571, 0.286],
           [0.286, 1.143]])
    """
    return network_prediction(langevin_of(circuits(subject)[0]))


def network_prediction(found: LangevinDynamics) -> NetworkPrediction:
    """What is exact of nonlinear cells: stationary moments where they are known, rest, time constants.

    The moments are those of the circuit's own equation, not of the problem it was compiled for.
    """
    equation = found.equation
    mean = covariance = third = fourth = None
    if found.solvable:
        mean, covariance = found.network.moments()
        mean = mean + equation.readout.offset
        third, fourth = found.network.central_moments()[1:]
    return NetworkPrediction(
        equation.readout.variables,
        mean,
        covariance,
        third,
        fourth,
        found.theta,
        found.why,
        equation.read(found.rest_state),
        time_constants(equation, found.rest_state),
        equation.coordinate,
        equation.energy,
        found,
    )
