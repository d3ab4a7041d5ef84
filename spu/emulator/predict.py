"""`predict`: what a device does, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Shown
from spu.base.errors import CircuitError, UsageError
from spu.circuit.circuit import Circuit
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.dynamics import device_law, slowest
from spu.emulator.equations.langevin import Langevin, langevin
from spu.emulator.laws.boltzmann import as_network
from spu.emulator.laws.large import LARGE, SparseStationary
from spu.emulator.laws.law import Law
from spu.emulator.laws.rest import rest_state, time_constants
from spu.emulator.laws.stationary import Stationary
from spu.emulator.results import Statistics, compare, merge
from spu.problems.problem import QuadraticProblem, quadratic

__all__ = ["NetworkPrediction", "predict_network"]


@dataclass(frozen=True, eq=False)
class Prediction(Statistics, Shown):
    """Exact statistics.

    Attributes
    ----------
    law:
        The stationary law, for spectra and autocovariances; of an ensemble that of the first programming.
    band:
        (F1, F2) in Hz if band-limited, else None.
    laws:
        Of each programming of an ensemble; of other devices the one.
    """

    law: Law = field(repr=False)
    band: tuple[float, float] | None = None
    laws: tuple[Law, ...] = field(repr=False, default=())

    @property
    def time_constants(self) -> FloatArray:
        """(states,) ``-1/Re(lambda)``, s, longest first, of the slowest programming; found when first asked for."""
        return slowest(self.laws).time_constants


def predict(
    device: Device | Circuit, *, band: tuple[float, float] | None = None, problem: QuadraticProblem | None = None
) -> Prediction:
    """Exact stationary statistics of a device, or of a circuit read from a netlist: no sampling, no time step.

    Those of an ensemble are of the samples of all its programmings, in equal shares.

    Parameters
    ----------
    device:
        Compiled, built by hand, or a `spu.circuit.circuit.Circuit`.
    band:
        (F1, F2), Hz: what a readout with a brick-wall band sees (relative errors are then None).
    problem:
        What to compare with; the device's own unless given.

    Raises
    ------
    CircuitError
        If the circuit has no stationary law, naming the nodes.
    """
    members = device.members()
    problem = problem or quadratic(device.problem)
    if len(members) == 1:
        return prediction(device_law(device), problem, band=band)
    return merged_prediction([device_law(member) for member in members], problem, band=band)


def merged_prediction(
    laws: Sequence[Law], problem: QuadraticProblem | None, *, band: tuple[float, float] | None = None
) -> Prediction:
    """`predict` for an ensemble whose laws are known already: what its merged samples have."""
    parts = [prediction(law, problem, band=band) for law in laws]
    weights = np.full(len(parts), 1.0 / len(parts))
    found = merge(problem, parts, weights, against_target=band is None)
    return Prediction(**found, law=laws[0], band=band, laws=tuple(laws))


def prediction(law: Law, problem: QuadraticProblem | None, *, band: tuple[float, float] | None = None) -> Prediction:
    """`predict` for a device whose law is known already."""
    if band is not None and isinstance(law, SparseStationary):
        raise UsageError(f"a band needs all modes: more than {LARGE} states are too many")
    if band is None:
        found = compare(law, problem, law.voltage_mean, law.voltage_covariance, moments=law.readout_moments)
    else:
        covariance = cast(Stationary, law).band_covariance(*band)
        found = compare(law, problem, law.voltage_mean, covariance, against_target=False)
    return Prediction(**found, law=law, band=band, laws=(law,))


@dataclass(frozen=True, eq=False)
class NetworkPrediction:
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
    """

    variables: tuple[str, ...]
    mean: FloatArray | None
    covariance: FloatArray | None
    third: FloatArray | None
    fourth: FloatArray | None
    theta: float | None
    why: str
    rest: FloatArray
    time_constants: FloatArray
    coordinate: str
    heat: str
    equation: Langevin = field(repr=False)


def predict_network(device: Device) -> NetworkPrediction:
    """What is exact of a device of nonlinear cells: stationary moments where they are known, rest, time constants.

    The moments are those of the device's own equation, not of the problem it was compiled for.

    Raises
    ------
    CircuitError
        If the circuit has no Langevin equation in one coordinate.
    """
    equation = langevin(lower(device))
    theta, why = None, ""
    try:
        theta = equation.theta()
    except CircuitError as error:
        why = error.message
    mean = covariance = third = fourth = None
    if theta is not None:
        own = as_network(equation, device.scales)
        if own.solvable:
            shift = equation.readout.offset
            mean, covariance = own.moments()
            mean = mean + shift
            third, fourth = own.central_moments()[1:]
        else:
            why = "more than a few units are coupled, and not quadratic: only sampling tells their moments"
    rest = rest_state(equation)
    return NetworkPrediction(
        equation.readout.variables,
        mean,
        covariance,
        third,
        fourth,
        theta,
        why,
        equation.read(rest),
        time_constants(equation, rest),
        equation.coordinate,
        equation.energy,
        equation,
    )
