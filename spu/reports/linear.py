"""What there is to show of linear cells: an exact Gaussian law, spectra, samples in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.numbers import engineering, plural, small
from spu.emulator.dynamics import all_linear
from spu.emulator.laws.estimate import about_sample_mean, trajectory_error
from spu.emulator.laws.spectra import Autocovariances, compare_autocovariances
from spu.emulator.laws.stationary import Stationary
from spu.emulator.predict import Prediction, predict_linear
from spu.emulator.runs.sampling import Sampling, Simulation, showing, simulate_linear
from spu.emulator.simulate import simulate
from spu.problems.answers import COVARIANCE
from spu.reports.document import Block, Facts, Picture, Section, Text
from spu.reports.evidence import Evidence, Gathering, register, whole
from spu.reports.pictures.covariances import draw_convergence
from spu.reports.pictures.spectra import draw_autocovariances, draw_spectra

SAMPLES = 10_000
"""Readouts of the simulation, unless other many are asked for."""

MOST_VARIABLES = 200
"""With more, the error is not followed over the number of samples."""

_POINTS = 12  # of that curve

LAGS = 128
"""Of the simulation whose autocovariances are shown."""

_FEW, _TIMES = 32, 10
"""Variables of networks for which that simulation is so many times as long."""


@dataclass(frozen=True, eq=False)
class Convergence:
    """The error of a simulation as it went on.

    Attributes
    ----------
    samples, found, expected:
        (k,) readouts taken, the relative error by then, and its expected root mean square.
    floor:
        What infinitely many samples would leave; 0 where the reference is the emulator's own law.
    what:
        The quantity: ``covariance``, ``mean`` or ``lagged covariance``.
    reference:
        What it is compared with, in words.
    """

    samples: FloatArray
    found: FloatArray
    expected: FloatArray
    floor: float
    what: str
    reference: str


@register("linear")
@dataclass(frozen=True, eq=False, kw_only=True)
class LinearEvidence(Evidence):
    """All that a report shows of linear cells.

    Attributes
    ----------
    autocovariances:
        Of a few telling variables, from a further simulation with readouts close together; None as `convergence`.
    convergence:
        None where the simulation cannot be followed (an ensemble, or very many variables).
    """

    prediction: Prediction
    simulation: Simulation
    convergence: Convergence | None
    autocovariances: Autocovariances | None

    @classmethod
    def found(cls, given: Gathering) -> dict[str, Any]:
        """Exact law, a run in it, and one with readouts close together."""
        samples = given.settings.samples or SAMPLES
        given.said("prediction")
        prediction = predict_linear(given.subject)
        given.said("simulation")
        run = cast(Simulation, simulate(given.subject, samples=samples, seed=given.settings.seed, trace=1))
        run = whole(run)
        return {
            "prediction": prediction,
            "simulation": run,
            "convergence": convergence(prediction, run),
            "autocovariances": _autocovariances(given, prediction, samples),
        }

    @property
    def simulated(self) -> list[str]:
        """So many readouts."""
        return ["--samples", str(self.settings.samples or SAMPLES)]

    def figures(self) -> Iterator[tuple[str, str]]:
        """Errors of emulator, simulator and samples; time constants."""
        prediction, run = self.prediction, self.simulation
        if prediction.relative_error is not None:
            promised = (self.folder.compiled or {}).get("predicted_relative_error") if self.folder else None
            text = f"{small(prediction.relative_error)} off the exact answer (relative, Frobenius)"
            if promised is not None:
                text += f"; {small(promised)} was predicted when it was compiled"
            yield "emulator", text
        yield from super().figures()
        text = f"{run.samples:,} readouts"
        if run.relative_error is not None:
            text += f" are {small(run.relative_error)} off; {small(run.expected_relative_error)} is expected of so few"
        yield "sampling", text
        yield from time_constants(prediction)

    def sections(self) -> Iterator[Section]:
        """Spectra, and how samples converge."""
        blocks = list(self._spectra())
        if blocks:
            yield Section("Spectra and autocorrelations", blocks)
        yield Section("Error against number of samples", list(self._samples()))

    def _spectra(self) -> Iterator[Block]:
        spectra, correlations = self.check.spectra, self.autocovariances
        if spectra is not None:
            whose = "emulator, exact" if self.edited is None else "emulator, exact, the device as compiled"
            sides = [f"{whose} (line)"]
            sides += [f"{spectra.simulator} .ac and .noise (markers)"] if spectra.sweep is not None else []
            if spectra.transient is not None:
                sides.append(
                    f"{spectra.simulator} transient by Welch's method with its 95 % band, and what is expected of "
                    "that estimate: held noise, aliasing and the window are in it"
                )
            yield Picture(
                "spectra",
                draw_spectra(spectra),
                f"Spectra of a few telling cells: {'; '.join(sides)}.",
                f"Noise densities against frequency of the cells {', '.join(spectra.cells)}, and coherence of "
                f"pairs: {'; '.join(sides)}",
                wide=True,
            )
        if correlations is not None:
            yield Picture(
                "autocovariances",
                draw_autocovariances(correlations),
                "Autocovariances of a few telling variables: exact (line), and of a simulation with readouts "
                f"{engineering(float(correlations.lags[1]), 's')} apart, with twice their standard errors.",
                f"Autocovariance against lag of {', '.join(correlations.variables)}: exact, and sampled",
                wide=True,
            )

    def _samples(self) -> Iterator[Block]:
        run, curve = self.simulation, self.convergence
        yield Facts(simulation_facts(run))
        if curve is not None:
            figure = draw_convergence(curve.samples, curve.found, curve.expected, curve.floor, curve.what)
            caption = (
                f"Relative error of the {curve.what} (Frobenius) against {curve.reference}, as the simulation went on."
            )
            yield Picture(
                "convergence",
                figure,
                caption,
                "Error against number of readouts, logarithmic: "
                f"{curve.found[0]:.1e} after {curve.samples[0]:.0f}, "
                f"{curve.found[-1]:.1e} after {curve.samples[-1]:.0f}, where {curve.expected[-1]:.1e} is predicted",
            )
        elif not run.interval:
            yield Text("The error is not followed over independent samples.")
        elif run.programmings > 1:
            yield Text("The error is not followed over the samples of an ensemble: its programmings come in turn.")
        else:
            yield Text("The error is not followed over the samples of a network with so many variables.")


def simulation_facts(run: Simulation) -> list[tuple[str, str]]:
    """How the samples were taken, and what they are worth."""
    how = f"on {plural(run.trajectories, 'trajectory', 'trajectories')}, one every {engineering(run.interval, 's')}"
    pairs = [
        ("readouts", f"{run.samples:,} {how}" if run.interval else f"{run.samples:,}, independent: no time passes"),
        ("worth", f"{run.effective_samples:,.0f} independent samples (for the covariance)"),
        ("method", f"{run.method}: {run.method_reason}"),
    ]
    if run.relative_error is not None:
        expected = small(run.expected_relative_error)
        pairs.append(("relative error", f"{small(run.relative_error)}; {expected} is expected of so many samples"))
    if run.target_covariance is not None:
        sigmas, i, j, count = run.worst_deviation()
        pairs.append(
            (
                "largest deviation",
                f"{sigmas:.1f} standard errors, {'covariance' if run.lag is None else 'lagged covariance'} of "
                f"{run.variables[i]} and {run.variables[j]}, "
                f"the worst of {count}",
            )
        )
    return pairs


def time_constants(prediction: Prediction) -> Iterator[tuple[str, str]]:
    """The slowest and the fastest, where there are any."""
    if len(prediction.time_constants):
        slow, fast = (engineering(float(prediction.time_constants[k]), "s") for k in (0, -1))
        yield "time constants", f"{slow} (slowest) to {fast}"


def convergence(prediction: Prediction, run: Simulation) -> Convergence | None:
    """Follow the relative error of the answer over the readouts of a simulation.

    After ``k`` readouts of each trajectory it is expected to be the root of the predicted error and the sampling
    error squared (`spu.emulator.laws.estimate.about_sample_mean`), as the one is fixed and the other has mean zero.
    """
    law = prediction.law
    variables = len(prediction.variables)
    if not isinstance(law, Stationary) or variables > MOST_VARIABLES or len(prediction.laws) > 1:
        return None
    if run.readouts is None or run.trace != 1 or not run.interval:
        return None
    path, steps = run.readouts, run.readouts.shape[1]
    answer, target, floor = prediction.answer, prediction.covariance, prediction.relative_error
    reference = "the exact answer"
    second = run.target_lagged if answer is not None and answer.lagged else run.target_covariance
    if answer is None or floor is None or run.target_mean is None or second is None:
        answer, floor = COVARIANCE, 0.0
        reference = "what the emulator predicts (there is no problem to compare with)"
    else:
        target = answer.of(run.target_mean, second)
    back = round(run.lag / run.interval) if answer.lagged and run.lag is not None else 0
    size = float(np.linalg.norm(np.asarray(target)))
    transform = law.sde.readout.matrix.toarray()
    first = min(steps, max(1, -(-100 // run.trajectories)) + back)
    counts = np.unique(np.geomspace(first, steps, _POINTS).astype(int))
    found, expected = [], []
    for k in counts.tolist():
        readouts = path[:, :k].reshape(-1, variables)
        mean = readouts.mean(axis=0)
        later, earlier = (path[:, each].reshape(-1, variables) for each in (slice(back, k), slice(0, k - back)))
        moments = mean, later.T @ earlier / len(later) - np.outer(mean, mean)
        taken = {"steps": k, "interval": run.interval, "count": run.trajectories, "transform": transform, "lag": back}
        error = trajectory_error(law, **taken)
        error = about_sample_mean(law, error, transform @ law.voltage_covariance @ transform.T, **taken)
        squares = error.covariance_variance if error.lagged_variance is None else error.lagged_variance
        scatter = np.asarray(answer.error(np.sqrt(error.mean_variance), np.sqrt(squares)))
        found.append(answer.distance(answer.of(*moments), target) or 0.0)
        expected.append(float(np.hypot(np.linalg.norm(scatter) / size, floor)))
    samples = counts.astype(np.float64) * run.trajectories
    return Convergence(samples, np.array(found), np.array(expected), floor, answer.name, reference)


def _autocovariances(given: Gathering, prediction: Prediction, samples: int) -> Autocovariances | None:
    if not isinstance(prediction.law, Stationary) or len(prediction.variables) > MOST_VARIABLES:
        return None
    if not len(prediction.time_constants):  # no time passes
        return None
    if prediction.acquisition is not None:  # samples are as far apart as their clock says
        return None
    interval = showing(LAGS, prediction.law)
    # Closer readouts tell less each: of small networks, where they cost little, there are more.
    samples *= _TIMES if len(prediction.variables) <= _FEW else 1
    # Of no problem: the lag of a lagged answer need not be a multiple of that interval.
    how = Sampling(samples=samples, interval=interval, seed=given.settings.seed, lags=LAGS, trace=0)
    run = whole(simulate_linear(all_linear(given.subject, "there are no autocovariances"), None, how))
    assert run.autocovariance is not None
    return compare_autocovariances(prediction.laws, run.autocovariance, interval, run.samples)
