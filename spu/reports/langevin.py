"""What there is to show of nonlinear cells: how they relax, their law as far as it is known, single units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError, InputError
from spu.base.numbers import engineering, number, plural
from spu.device.subject import circuits
from spu.emulator.dynamics import LangevinDynamics, langevin_of
from spu.emulator.laws.rest import slowest_motion
from spu.emulator.predict import NetworkPrediction, predict_network
from spu.emulator.runs.relaxation import NetworkSimulation
from spu.emulator.simulate import TRAJECTORIES, simulate_network
from spu.problems.network import MOST_TOGETHER, ThermodynamicNetwork
from spu.reports.document import Block, Facts, Gallery, Picture, Section, Table
from spu.reports.evidence import Evidence, Gathering, register, whole
from spu.reports.inspection import time_constant
from spu.reports.pictures.networks import draw_activation, draw_histograms, draw_potentials, draw_trajectories
from spu.studies.activation import Activation, unit_activation

MOST_ROWS = 40
"""Of a table of moments."""

MOST_CURVES = 4
"""Units whose activation curves are drawn."""

_READOUTS = 25
"""Of a trajectory, from its start to ten of the longest time constants."""

_WORK = 10**8
"""Trajectories times units squared, by default at most."""


@register("langevin")
@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkEvidence(Evidence):
    """All that a report shows of nonlinear cells.

    Attributes
    ----------
    network:
        The network that the circuit's own equation is, in problem units; None where it is that of none.
    curves:
        By unit, the activation of a few of them by themselves; of those that their own potential holds.
    """

    prediction: NetworkPrediction
    simulation: NetworkSimulation
    network: ThermodynamicNetwork | None
    curves: dict[str, Activation]

    @classmethod
    def found(cls, given: Gathering) -> dict[str, Any]:
        """What is exact, and a run from 0 until it has relaxed."""
        dynamics = langevin_of(circuits(given.subject)[0])
        given.said("prediction")
        prediction = predict_network(given.subject)
        given.said("simulation")
        trajectories = given.settings.samples or max(10, min(TRAJECTORIES, _WORK // dynamics.equation.n**2))
        run = simulate_network(
            given.subject, times=_times(dynamics), trajectories=trajectories, seed=given.settings.seed
        )
        network = _network(dynamics)
        return {
            "prediction": prediction,
            "simulation": whole(run),
            "network": network,
            "curves": {} if network is None else _curves(network),
        }

    @property
    def simulated(self) -> list[str]:
        """So many trajectories, read at these times."""
        run = self.simulation
        times = ",".join(f"{time:.4g}" for time in run.times)
        return ["--trajectories", str(run.trajectories), "--times", times]

    def figures(self) -> Iterator[tuple[str, str]]:
        """What is exact, what was sampled, time constants."""
        found, run = self.prediction, self.simulation
        yield "potential", found.heat
        if found.mean is None:
            yield "stationary moments", f"not known: {found.why}"
        yield from super().figures()
        yield "sampling", f"{plural(run.trajectories, 'trajectory', 'trajectories')} {_when(run)}"
        if found.mean is not None and found.covariance is not None:
            sigmas, name, count = _worst(run, found.mean, found.covariance)
            yield "sampled, exact", f"at most {sigmas:.1f} standard errors apart ({name}, the worst of {count} moments)"
        yield from time_constants(found)

    def sections(self) -> Iterator[Section]:
        """How it relaxes, its law, its units."""
        yield Section("Relaxation, and the law that it leads to", list(self._relaxation()))
        blocks = list(self._units())
        if blocks:
            yield Section("The units by themselves, and their couplings", blocks)

    def _relaxation(self) -> Iterator[Block]:
        run = self.simulation
        yield Facts(simulation_facts(run))
        last = f"{run.times[-1]:.4g}"
        yield Picture(
            "relaxation",
            draw_trajectories(run),
            "Means of the first units from the start on, with bands of one standard deviation, and histograms at the "
            "last readout. Dashed: the exact stationary means, where they are known.",
            f"Means of {', '.join(run.variables[:4])} over time up to {last}, and histograms then",
            wide=True,
        )
        yield moments_table(run, self.prediction)
        laws = {} if self.network is None else _densities(self.network)
        if laws:
            yield Picture(
                "histograms",
                draw_histograms(run.states[-1], run.variables, laws),
                f"Readouts of the first units at t = {last}, and the exact density of the Boltzmann law: they agree "
                "as far as the network has relaxed by then.",
                f"Histograms of {', '.join(list(laws)[:6])} at the last readout, with exact densities",
                wide=True,
            )

    def _units(self) -> Iterator[Block]:
        network = self.network
        if network is None:
            return
        own = dict(zip(network.variables, network.input.tolist(), strict=True))
        yield Picture(
            "potentials",
            draw_potentials(network),
            "The potential of each of the first units by itself, over kT, and the couplings.",
            f"Potentials of {', '.join(network.variables[:4])}, and the matrix of couplings",
            wide=True,
        )
        if self.curves:
            pictures = [
                Picture(
                    f"activation-{k}",
                    draw_activation(curve, name, own[name]),
                    f"Activation of {name}: its exact mean over its input.",
                    f"Mean of {name} against its input, with a band of one standard deviation",
                )
                for k, (name, curve) in enumerate(self.curves.items())
            ]
            yield Gallery(pictures)


def simulation_facts(run: NetworkSimulation) -> list[tuple[str, str]]:
    """How trajectories were run, and what is known of their errors."""
    pieces = "piece" if run.pieces == 1 else "pieces"
    pairs = [
        ("trajectories", f"{run.trajectories:,}, {_when(run)}"),
        (
            "method",
            f"{run.scheme}, steps of {engineering(run.step, 's')}, in {run.pieces:.3g} {pieces} on average",
        ),
        ("error of the steps", f"{run.step_error:.2g} of a deviation, or of a variance, beyond chance"),
    ]
    if run.checked:
        pairs.append(("held against the law", f"{plural(run.checked, 'moment')} of the last readout"))
    return [*pairs, *(("warning", warning) for warning in run.warnings)]


def _when(run: NetworkSimulation) -> str:
    last = "interrupted before the first"
    if len(run.times):
        last = f"the last at t = {run.times[-1]:.4g} ({engineering(float(run.device_times[-1]), 's')} on the device)"
    return f"read at {plural(len(run.times), 'time')}, {last}"


def time_constants(found: NetworkPrediction) -> Iterator[tuple[str, str]]:
    """The slowest and the fastest of small deviations from rest."""
    slow, fast = (time_constant(float(found.time_constants[k])) for k in (0, -1))
    yield "time constants", f"{slow} (slowest) to {fast}, at rest"


def moments_table(run: NetworkSimulation, exact: NetworkPrediction | None, limit: int = MOST_ROWS) -> Table:
    """Means and variances at the last readout, beside the exact stationary ones where they are known."""
    known = exact is not None and exact.mean is not None and exact.covariance is not None
    headers = ["variable", "mean", "+-", "variance", "+-"]
    columns = [
        [number(float(value), digits) for value in values[:limit]]
        for values, digits in (
            (run.mean[-1], 4),
            (run.mean_error[-1], 2),
            (run.variance[-1], 4),
            (run.variance_error[-1], 2),
        )
    ]
    if known:
        assert exact is not None and exact.mean is not None and exact.covariance is not None
        headers[5:5], headers[3:3] = ["(exact)"], ["(exact)"]
        columns[4:4] = [[f"({number(float(value))})" for value in exact.covariance.diagonal()[:limit]]]
        columns[2:2] = [[f"({number(float(value))})" for value in exact.mean[:limit]]]
    rows = list(zip(run.variables[:limit], *columns, strict=True))
    note = f"The first {limit} of {len(run.variables)}. " if len(run.variables) > limit else ""
    note += "Exact ones are stationary." if known else ""
    return Table(f"Sampled at t = {run.times[-1]:.4g}, problem units", headers, rows, note=note)


def _worst(run: NetworkSimulation, mean: FloatArray, covariance: FloatArray) -> tuple[float, str, int]:
    """The largest deviation of a last mean or variance, in standard errors, what it is of, and of how many."""
    gaps = np.concatenate([run.mean[-1] - mean, run.variance[-1] - covariance.diagonal()])
    errors = np.concatenate([run.mean_error[-1], run.variance_error[-1]])
    ratio = np.abs(gaps) / np.where(errors > 0, errors, np.inf)
    worst, n = int(np.argmax(ratio)), len(mean)
    return float(ratio[worst]), f"{'mean' if worst < n else 'variance'} of {run.variables[worst % n]}", 2 * n


def _times(dynamics: LangevinDynamics) -> FloatArray:
    """When to read, in the unit of the problem's time, as the command line of the report writes it."""
    end = 10 * slowest_motion(dynamics.equation) / dynamics.second
    return np.array([float(f"{time:.4g}") for time in np.linspace(0.0, end, _READOUTS)])


def _network(dynamics: LangevinDynamics) -> ThermodynamicNetwork | None:
    """The network that a circuit is, with its problem's bias; None where it is that of none."""
    try:
        return dynamics.posed
    except (CircuitError, InputError):
        return None


def _curves(network: ThermodynamicNetwork) -> dict[str, Activation]:
    curves = {}
    for k, name in enumerate(network.variables[:MOST_CURVES]):
        with suppress(InputError):  # it is held by its couplings alone
            curves[name] = unit_activation(network, k)
    return curves


def _densities(network: ThermodynamicNetwork) -> dict[str, tuple[FloatArray, FloatArray]]:
    """By unit, states and the exact density of its stationary law at them; none where that is not known."""
    if not network.solvable or network.kT == 0:
        return {}
    found = {}
    if network.quadratic:
        mean, covariance = network.moments()
        for name, middle, width in zip(network.variables, mean, np.sqrt(covariance.diagonal()), strict=True):
            x = middle + width * np.linspace(-6, 6, 401)
            found[name] = x, np.exp(-(((x - middle) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        return found
    for group in network.groups:
        assert len(group) <= MOST_TOGETHER
        nodes, weights = network.law(group)
        for k, unit in enumerate(group.tolist()):
            x, place = np.unique(nodes[:, k], return_inverse=True)
            if len(x) > 1:
                found[network.variables[unit]] = x, np.bincount(place.ravel(), weights) / (x[1] - x[0])
    return cast("dict[str, tuple[FloatArray, FloatArray]]", found)
