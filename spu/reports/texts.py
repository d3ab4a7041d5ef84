"""Results as plain text: what the command line prints of them, and ``print`` in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.choice import ROUNDING
from spu.base.layout import MAX_TABLE_ROWS, REST, facts, is_full, table
from spu.base.numbers import engineering, number, plural, share, small
from spu.circuit.acquisition import Acquisition
from spu.crosscheck.decks.changes import Changes
from spu.crosscheck.result import Check
from spu.device.imperfections import key_of
from spu.emulator.laws.clocked import ClockedLaw
from spu.emulator.laws.entropy import EntropyProduction
from spu.emulator.laws.spectra import Spectrum
from spu.emulator.predict import LinearisedPrediction, NetworkPrediction, Prediction
from spu.emulator.relaxation import Relaxation
from spu.emulator.results import CommonMode, Statistics
from spu.emulator.runs.kicked import SampledRelaxation
from spu.emulator.runs.relaxation import NetworkSimulation, averaged
from spu.emulator.runs.sampling import SPAN, Simulation
from spu.export.materials import Materials
from spu.reports.annealings import annealing_text
from spu.reports.answers import plan_text, solution_text
from spu.reports.calibrations import calibration_text
from spu.reports.characterisations import characterisation_text
from spu.reports.checks import checks_text
from spu.reports.classification import classification_text
from spu.reports.determinants import log_determinant_text
from spu.reports.evolution import evolution_text
from spu.reports.gaussian_process import gaussian_process_text
from spu.reports.inspection import time_constant
from spu.reports.ledgers import ledger_text
from spu.reports.materials import materials_text
from spu.reports.natural import natural_text, one_step_text
from spu.reports.relaxations import relaxation_text, sampled_relaxation_text
from spu.reports.scalings import scaling_text
from spu.reports.stabilities import stability_text
from spu.reports.wording import (
    COMPARISONS_NOTE,
    IN_WORDS,
    MOST_VARIABLES,
    SHORT_COMPARISONS_NOTE,
    SURENESS_NOTE,
    comparison_table,
    diagnoses,
    level_table,
    linearised_lines,
    messages,
    moments_tables,
    moved_tables,
    noted,
    sureness_table,
)
from spu.reports.yields import corners_text, yield_text
from spu.studies.activation import UnitActivation
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

_MOST_EDITS = 20
"""Lines of an edited netlist that are listed."""


def text(result: object) -> str | None:
    """What is said of a result, by the nearest of its classes in `TEXTS`; None where nothing is known to say."""
    return next((TEXTS[kind](result) for kind in type(result).__mro__ if kind in TEXTS), None)


# --- predictions ---------------------------------------------------------------------------


def prediction_text(prediction: Prediction) -> str:
    """Means and deviations beside their targets, voltages, time constants."""
    where = "over all frequencies"
    if prediction.band is not None:
        where = f"from {engineering(prediction.band[0], 'Hz')} to {engineering(prediction.band[1], 'Hz')}"
    if isinstance(prediction.law, ClockedLaw):
        where += ", on average over the phase of the noise's clock"
    cells = plural(len(prediction.cells), "cell")
    lines = [f"{plural(len(prediction.variables), 'variable')} on {cells}, exact, {where}", ""]
    lines += [_predicted_variables(prediction, targets=prediction.band is None), ""]
    if prediction.variables != prediction.cells:
        rows = list(zip(prediction.cells, *_voltages(prediction), strict=True))
        lines += [table(["cell", "voltage mean", "noise rms"], rows, limit=MAX_TABLE_ROWS), ""]
    if prediction.common_mode is not None:
        lines += [_common_mode(prediction.common_mode), ""]
    if prediction.time_span is not None:
        slowest, fastest = prediction.time_span
        lines.append(f"time constants: slowest {engineering(slowest, 's')}, fastest {engineering(fastest, 's')}")
        if prediction.looked_at is not None:
            lines[-1] += f", of the {prediction.looked_at} modes that were looked at"
    else:
        lines.append("no time constants: no capacitor and no inductor")
    lines += _acquired(prediction)
    if not isinstance(prediction.covariance, np.ndarray):
        lines.append("a large sparse network: covariances of coupled cells only, and two time constants")
    if prediction.target_covariance is None:
        lines.append("no target: there is no problem.json")
    elif prediction.band is None:
        lines.append(f"covariance off target by {small(prediction.covariance_relative_error)} (relative, Frobenius)")
        if prediction.mean_relative_error is not None:
            lines.append(f"mean off target by {small(prediction.mean_relative_error)} (relative)")
        if prediction.lag is not None:
            lines.append(
                f"lagged covariance, of readings {engineering(prediction.lag, 's')} apart, off target by "
                f"{small(prediction.lagged_relative_error)} (relative, Frobenius)"
            )
    else:
        lines.append("in a band there is no target to compare with")
    return "\n".join(lines)


CLIPS = 1e-4
"""Share of readings beyond full scale that is worth a warning: four standard deviations leave 6e-5."""


def _acquired(prediction: Prediction) -> list[str]:
    """How readouts are taken, what that does, and whether it clips."""
    if prediction.acquisition is None:
        return []
    lines = [acquisition_words(prediction.acquisition)]
    circuit = prediction.circuit
    if circuit is not None and prediction.acquisition.converts:
        before, after = (np.sqrt(each.voltage_covariance.diagonal().clip(0)) for each in (circuit, prediction))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(before > 0, after / before, 1.0)
        lines.append(
            f"rms of what is read over that at the converter: {number(ratio.min(), 6)} to {number(ratio.max(), 6)}"
            + ("" if circuit.relative_error is None else f"; off target there by {small(circuit.relative_error)}")
        )
    if prediction.clipping is not None and prediction.clipping.max(initial=0.0) > CLIPS:
        worst = int(prediction.clipping.argmax())
        lines.append(
            f"warning: {share(float(prediction.clipping[worst]))} of the readings of {prediction.cells[worst]} are "
            "beyond full scale; less noise, or a larger full_scale, would clip fewer"
        )
    return lines


def acquisition_words(acquisition: Acquisition) -> str:
    """How readouts are taken."""
    words = []
    if acquisition.sampling_rate is not None:
        words.append(f"sampled at {engineering(acquisition.sampling_rate, 'Hz')}")
    if acquisition.jitter:
        words.append(f"jitter {engineering(acquisition.jitter, 's')} rms")
    if acquisition.noise:
        words.append(f"noise of each sample {engineering(acquisition.noise, 'V')} rms")
    if acquisition.full_scale is not None:
        bits = "" if acquisition.bits is None else f"{acquisition.bits} bits of "
        step = f" (step {engineering(acquisition.step, 'V')})" if bits else ""
        words.append(f"{bits}+-{engineering(acquisition.full_scale, 'V')}{step}")
    return f"read: {', '.join(words)}"


def linearised_text(prediction: LinearisedPrediction) -> str:
    """The same, and what is approximate about it."""
    said = prediction_text(prediction).replace(", exact, ", ", ", 1)
    return "\n".join([said, *linearised_lines(prediction)])


def _predicted_variables(stats: Statistics, *, targets: bool) -> str:
    """Lay out the variables, and their voltages where each variable is one cell of its own name."""
    deviations = np.sqrt(stats.covariance.diagonal().clip(0))
    headers = ["variable", "mean", "std dev"]
    mean = np.where(abs(stats.mean) > ROUNDING * deviations, stats.mean, 0.0)
    columns = [[number(m) for m in mean], [number(s) for s in deviations]]
    if targets and stats.target_mean is not None and stats.target_covariance is not None:
        headers[2:2] = ["(target)"]
        columns[1:1] = [[f"({number(m)})" for m in stats.target_mean]]
        headers.append("(target)")
        columns.append([f"({number(s)})" for s in np.sqrt(stats.target_covariance.diagonal())])
    if stats.variables == stats.cells:
        headers += ["voltage mean", "noise rms"]
        columns += _voltages(stats)
    return table(headers, list(zip(stats.variables, *columns, strict=True)), limit=MAX_TABLE_ROWS)


def _voltages(stats: Statistics) -> list[list[str]]:
    rms = np.sqrt(stats.voltage_covariance.diagonal().clip(0))
    mean = np.where(abs(stats.voltage_mean) > ROUNDING * rms, stats.voltage_mean, 0.0)
    return [[engineering(float(v), "V") for v in values] for values in (mean, rms)]


def _common_mode(common: CommonMode) -> str:
    """Lay out both modes of the cells that are read in pairs."""
    rms = [
        [engineering(float(v), "V") for v in variance**0.5]
        for variance in (common.variance, common.differential_variance)
    ]
    rows = list(zip(common.variables, *rms, strict=True))
    return table(["per cell of", "common-mode rms", "differential rms"], rows, limit=MAX_TABLE_ROWS)


def network_prediction_text(found: NetworkPrediction) -> str:
    """The state at rest, moments where they are known, time constants."""
    headers = ["variable", "at rest"]
    columns = [[number(value) for value in found.rest]]
    if found.mean is not None and found.covariance is not None:
        headers += ["mean", "std dev"]
        columns += [[number(v) for v in found.mean], [number(v) for v in found.covariance.diagonal() ** 0.5]]
    if found.third is not None and found.fourth is not None:
        headers += ["third moment", "fourth moment"]
        columns += [[number(float(v)) for v in found.third], [number(float(v)) for v in found.fourth]]
    rows = list(zip(found.variables, *columns, strict=True))
    lines = [f"{plural(len(found.variables), 'unit')}, held as {found.coordinate}", ""]
    lines += [table(headers, rows, limit=MAX_TABLE_ROWS), ""]
    slowest, fastest = time_constant(found.time_constants[0]), time_constant(found.time_constants[-1])
    lines.append(f"time constants at rest: slowest {slowest}, fastest {fastest}")
    if found.mean is None:
        lines.append(f"stationary moments: {found.why}")
    else:
        lines.append("moments: stationary, exact (quadrature); third and fourth are central")
    if found.time_unit is not None:
        lines.append(f"one unit of the problem's time is {engineering(found.time_unit, 's')}")
    lines.append(f"potential: {found.heat}")
    return "\n".join(lines)


def activation_text(found: UnitActivation) -> str:
    """A few points of an activation curve."""
    curve = found.curve
    shown = np.unique(np.linspace(0, len(curve.input) - 1, 9).astype(int))
    headers = ["input", "mean in equilibrium", "std dev"]
    columns = [curve.input, curve.equilibrium, np.sqrt(curve.equilibrium_variance)]
    for k, time in enumerate(curve.times):
        headers += [f"mean at {time:.4g}", "+-"]
        columns += [curve.mean[k], curve.error[k]]
    rows = [[number(float(column[k])) for column in columns] for k in shown]
    own = f"activation of {found.unit} by itself, whose input in the network is {found.own:.4g}"
    return "\n".join([own, "", table(headers, rows, left=0)])


# --- simulations ---------------------------------------------------------------------------


def simulation_text(run: Simulation) -> str:
    """How samples were drawn, what they gave, and what they are worth."""
    return "\n".join([*_how(run), "", _sampled_variables(run), "", *_worth(run)])


def _default_interval(run: Simulation) -> str:
    if run.acquisition is not None and run.acquisition.sampling_rate is not None:
        return "the sampling rate's"
    if run.lag is not None:
        return _lag_of(run)
    lags = 0 if run.autocovariance is None else len(run.autocovariance) - 1
    if lags <= SPAN or not run.laws:
        return "the longest time constant"
    reach = lags * run.interval / max(law.slowest for law in run.laws)
    return f"{lags} lags reach over {number(reach, 2)} of the longest time constant"


def _lag_of(run: Simulation) -> str:
    assert run.lag is not None
    back = round(run.lag / run.interval)
    return "the lag of the answer" if back == 1 else f"a part in {back} of the lag of the answer"


def _how(run: Simulation) -> list[str]:
    took = f"took {engineering(run.seconds, 's')}; seed {run.seed}"
    if run.interval == 0:
        return [f"{plural(run.samples, 'independent sample')} of the stationary law; {took}"]
    every = f"one every {engineering(run.interval, 's')}"
    if "interval" in run.chosen:
        every += f" (default: {_default_interval(run)})"
    across = f"{run.trajectories} trajectories" if run.trajectories > 1 else "one trajectory"
    across += " (default)" if "trajectories" in run.chosen else ""
    lines = [
        f"{plural(run.samples, 'readout')} on {across}, {every}",
        f"{engineering(run.device_time, 's')} of device time each; {took}",
        f"method: {run.method}: {run.method_reason}",
    ]
    if run.time_step is not None:
        lines.append(f"time step {engineering(run.time_step, 's')}")
    if run.acquisition is not None:
        lines.append(acquisition_words(run.acquisition))
    if run.precision_error is not None:
        lines.append(f"{run.precision} precision: covariances off by at most {run.precision_error:.1e} of their size")
    if run.trace > 1:
        lines.append(f"kept: every {run.trace}th readout of each trajectory; the statistics are of all")
    return lines


def _sampled_variables(run: Simulation) -> str:
    variances = run.covariance.diagonal().clip(0)
    deviations = np.sqrt(variances)
    # The error of a square root, to first order.
    errors = np.divide(
        run.covariance_error.diagonal(), 2 * deviations, out=np.zeros_like(deviations), where=deviations > 0
    )
    headers = ["variable", "mean", "+-", "std dev", "+-"]
    columns = [
        [number(value) for value in run.mean],
        [number(value, 2) for value in run.mean_error],
        [number(value) for value in deviations],
        [number(value, 2) for value in errors],
    ]
    if run.target_mean is not None and run.target_covariance is not None:
        headers[3:3] = ["(target)"]
        columns[2:2] = [[f"({number(value)})" for value in run.target_mean]]
        headers.append("(target)")
        columns.append([f"({number(value)})" for value in np.sqrt(run.target_covariance.diagonal())])
    return table(headers, list(zip(run.variables, *columns, strict=True)), limit=MAX_TABLE_ROWS)


def _worth(run: Simulation) -> list[str]:
    worth = f"worth {run.effective_samples:.6g} independent samples (for the covariance)"
    if run.target_covariance is None:
        return [worth, "no target: there is no problem.json"]
    lines = [worth]
    if run.relative_error is not None:
        lines.append(
            f"relative error {small(run.relative_error)}; {small(run.expected_relative_error)} is expected "
            "from this many samples alone"
        )
    sigmas, i, j, count = run.worst_deviation()
    what = "covariance" if run.lag is None else "lagged covariance"
    lines.append(
        f"largest deviation of a {what}: {sigmas:.1f} standard errors, at ({run.variables[i]}, "
        f"{run.variables[j]}), the worst of {count}"
    )
    return lines


def _errors(values: FloatArray) -> list[str]:
    """Standard errors; dashes where a single trajectory tells none."""
    return [number(None if np.isnan(value) else float(value), 2) for value in values]


def network_simulation_text(run: NetworkSimulation) -> str:
    """How trajectories were run, their means at a few times, and what they booked."""
    unit = "" if run.time_unit is not None else " s"
    precision = "" if run.precision == "double" else f", in {run.precision} precision"
    lines = [
        f"{plural(run.trajectories, 'trajectory', 'trajectories')}, read at "
        f"{plural(len(run.times), 'time')}; took {engineering(run.seconds, 's')}; seed {run.seed}",
        f"method: {run.scheme}, steps of {engineering(run.time_step, 's')}{precision}; "
        f"the last readout at t = {run.times[-1]:.6g}{unit}, {engineering(run.device_times[-1], 's')} on the device",
        "",
    ]
    columns: list[list[str]] = []
    headers = ["variable"]
    shown = range(len(run.times)) if len(run.times) <= 4 else [0, len(run.times) // 2, len(run.times) - 1]
    for k in shown:
        headers += [f"mean at {run.times[k]:.4g}", "+-"]
        columns += [[number(v) for v in run.mean[k]], _errors(run.mean_error[k])]
    if run.trajectories > 1:
        headers += ["variance", "+-"]
        columns += [[number(v) for v in run.variance[-1]], _errors(run.variance_error[-1])]
    lines.append(table(headers, list(zip(run.variables, *columns, strict=True)), limit=MAX_TABLE_ROWS))
    if run.heat is not None and run.work is not None:
        root = run.trajectories**0.5
        lines += [
            "",
            f"heat to the bath {run.heat.mean():.5g} +- {run.heat.std() / root:.2g} kT, work {run.work.mean():.5g} +- "
            f"{run.work.std() / root:.2g} kT a trajectory; the first law holds to {run.first_law:.1e}",
            f"kT is the device's; the potential is {run.potential}",
        ]
    if run.entropy is not None:
        lines.append(_entropy(run.entropy))
    return "\n".join(lines)


def _entropy(entropy: EntropyProduction) -> str:
    said = []
    for what, values in (("of the medium", entropy.medium), ("in all", entropy.total)):
        if values is not None:
            found = averaged(values)
            said.append(f"{what} {found['mean']:.5g} +- {found['error']:.2g} k")
    if entropy.free_energy_change is not None:
        said[-1] += f" (with the relaxation after the end; free energy change {entropy.free_energy_change:.5g} kT)"
    if entropy.why:
        said.append(f"{'in all ' if said else ''}not known: {entropy.why}")
    return f"entropy production a trajectory: {'; '.join(said)}"


# --- spectra -------------------------------------------------------------------------------


def spectrum_text(found: Spectrum) -> str:
    """Each variable's density at the lowest frequency and where it is loudest, and its variance."""
    own = np.einsum("kii->ki", found.density).real
    tops = own.argmax(axis=0)
    variances = found.autocovariance(0.0)[0].diagonal()
    columns = [
        *([number(float(value)) for value in values] for values in (own[0], own.max(axis=0))),
        [engineering(float(found.frequencies[top]), "Hz") for top in tops],
        [number(float(variance)) for variance in variances],
    ]
    rows = list(zip(found.variables, *columns, strict=True))
    low, high = (engineering(float(found.frequencies[k]), "Hz") for k in (0, -1))
    count = plural(len(found.frequencies), "frequency", "frequencies")
    headers = ["variable", f"at {low}", "highest", "at", "variance in all"]
    return "\n".join(
        [
            f"exact one-sided spectral densities of {plural(len(found.variables), 'variable')}, "
            f"problem units squared a hertz, at {count} from {low} to {high}",
            "",
            table(headers, rows, limit=MAX_TABLE_ROWS, rest="all in density"),
        ]
    )


# --- checks --------------------------------------------------------------------------------


def check_text(result: Check) -> str:
    """Notes, levels, comparisons, verdict."""
    lines = [f"note: {note}" for note in noted(result)]
    if lines:
        lines.append("")
    lines += [table(*level_table(result), left=3), ""]
    lines += messages(result)
    lines += _sureness(result)
    for found in result.each:
        if found.changes is not None:
            lines += ["", *_changes(found.changes, found.simulator)]
    if result.covariances:
        lines += ["", *_comparisons(result)]
    for name, diagnosis in diagnoses(result):
        lines += ["", *(f"diagnosis{name}: {line}" for line in diagnosis.lines)]
    lines += ["", IN_WORDS[result.verdict]]
    return "\n".join(lines)


def _sureness(result: Check) -> list[str]:
    """How often each level cries wolf, and what it sees."""
    headers, rows = sureness_table(result)
    if rows and not is_full():
        return ["", "(how often each level fails by chance, and what it surely finds: --verbose)"]
    return ["", table(headers, rows, left=4), f"  ({SURENESS_NOTE})"] if rows else []


def _changes(changes: Changes, simulator: str) -> list[str]:
    """What was edited, and what that did to the answer."""
    how = changes.how
    if changes.unconfirmed:
        how += f"; {simulator} {'is missing and ' if changes.missing else ''}has not confirmed it"
    if changes.reading_error is not None:
        how += f"; {simulator} differs by {small(changes.reading_error)}"
    lines = [f"what {changes.netlist} changed ({how}):"]
    if changes.edits is not None:
        lines += [f"  {edit}" for edit in changes.edits[:_MOST_EDITS]]
        if len(changes.edits) > _MOST_EDITS:
            lines.append(f"  and {len(changes.edits) - _MOST_EDITS} more lines")
        if not changes.edits:
            lines.append("  no element and no parameter")
    lines += [f"  {remark}" for remark in changes.remarks[:_MOST_EDITS]]
    for headers, rows in moved_tables(changes):
        lines += ["", table(headers, rows)]
    if changes.measured:
        change = f"covariance changed by {share(changes.covariance_change)} in all"
        lines += ["", f"{change} (relative, Frobenius; of entries: over the standard deviations)"]
    if changes.mean_change is not None:
        lines.append(
            f"mean changed by {share(changes.mean_change)} in all (relative; of entries: in standard deviations)"
        )
    if changes.time_constants_before is None:
        return lines
    lines.append(f"time constants, longest and shortest: {_extremes(changes.time_constants_before)} before, ")
    after = changes.time_constants
    lines[-1] += f"{_extremes(after)} after" if after is not None else "after: not known"
    return lines


def _extremes(constants: FloatArray) -> str:
    return f"{engineering(float(constants[0]), 's')} and {engineering(float(constants[-1]), 's')}"


def _comparisons(result: Check) -> list[str]:
    """Means and variances of ideal model, emulator and simulator side by side, and how far apart these are."""
    count = len(result.variables)
    most = count if is_full() else MOST_VARIABLES
    lines = ["\n\n".join(table(*rows) for rows in moments_tables(result, most))]
    if count > most:
        lines.append(f"  (the {most} of {count} variables that differ most; {REST})")
    headers, rows = comparison_table(result, parts=is_full())
    if rows:
        note = COMPARISONS_NOTE if is_full() else SHORT_COMPARISONS_NOTE
        lines += ["", table(headers, rows, left=2), f"  ({note})"]
    return lines


# --- budgets -------------------------------------------------------------------------------


def budget_text(budget: Budget) -> str:
    """The lines of a budget, with what they add up to."""
    rows: list[Sequence[str]] = []
    for line in budget.lines:
        value = "-" if line.value is None else key_of(line.effect).shown(line.value)
        rows.append([line.meaning, value, f"{line.norm:.2e}", f"{line.share:+.2e}"])
    rows += [
        ["sum of these", "-", "-", f"{budget.sum:+.2e}"],
        ["rest: what they do to each other", "-", f"{budget.rest.norm:.2e}", f"{budget.rest.share:+.2e}"],
        ["whole error", "-", f"{budget.relative_error:.2e}", f"{budget.relative_error:+.2e}"],
    ]
    against = "" if budget.against == "problem" else " against the same device with ideal parts"
    return "\n".join(
        [
            f"error budget of the {budget.answer}{against} (relative, Frobenius):",
            table(["effect", "value", "by itself", "share"], rows),
            "by itself: each effect alone, all else ideal. share: its part along the whole error; shares add up.",
        ]
    )


def generation_text(found: Generation) -> str:
    """What generated images are worth, and what they cost."""
    near, said = found.likeness, found.to_dict()
    made, trained = found.diversity

    def pm(figures: dict[str, Any]) -> str:
        error = figures["error"]
        return f"{figures['mean']:.3f}" + ("" if error is None else f" +- {error:.3f}")

    lines = [
        ("images", f"{found.images} of {found.shape[0]} x {found.shape[1]}, from noise in t = {found.duration:g}"),
        ("best |correlation|", f"{pm(said['correlation'])} with a training image, mean and standard error"),
        ("signed", f"{pm(said['signed_correlation'])}: inverses do not count as like"),
        ("inverted", f"{100 * near.inverted:.1f} % are nearest to the inverse of a training image"),
        ("classes", ", ".join(f"{name}: {100 * value:.0f} %" for name, value in found.balance.items())),
        ("distance", f"{pm(said['distance'])} to the nearest, smallest {near.distances.min():.3f} (0: a copy)"),
    ]
    if made is not None and trained is not None:
        lines.append(("diversity", f"{made:.3f}; of the training images {trained:.3f} (0: all the same, 1: unlike)"))
    if said["heat"] is None:
        lines.append(("heat", "none: couplings that are not reciprocal have no potential"))
    else:
        heat, ledger = said["heat"], found.ledger.heat
        spread = "" if heat["error"] is None else f" +- {heat['error']:.2g}, spread {heat['deviation']:.3g},"
        joules = "" if ledger is None else f" or {engineering(ledger.mean, 'J')}"
        lines.append(("heat", f"{heat['mean']:.4g}{spread} kT an image{joules} ({found.kind})"))
    return "\n".join([facts(lines), "", found.copies, "", ledger_text(found.ledger)])


def replayed_text(found: ReplayedNetwork) -> str:
    """A trained network's runs in emulator and simulator."""
    rows = []
    for k, (coarse, fine) in enumerate(zip(found.coarse_error, found.error, strict=True)):
        row = [str(k + 1), f"{coarse:.1e}", f"{fine:.1e}"]
        if found.trained.purpose == "classifier":
            row += [found.trained.classes[each[k]] for each in found.answers]
        rows.append(row)
    heads = ["run", f"error at {found.limits[0]:.2g} s", f"at {found.limits[1]:.2g} s"]
    heads += ["emulator", found.simulator] if found.trained.purpose == "classifier" else []
    alike = {"generative": "images", "classifier": "answers"}.get(found.trained.purpose, "results")
    same = f"the same {alike}" if found.same else f"other {alike}"
    falls = "falls with the step" if found.falls else "does not fall with the step"
    return "\n".join(
        [
            f"the same noise in the emulator and in {found.simulator}; the worst unit's path error, by step limit:",
            table(heads, rows),
            f"{found.verdict.upper()}: {same}; the path error is at most {found.path_error:.1e} and {falls}.",
        ]
    )


def hardware_sweep_text(found: HardwareSweep) -> str:
    """A measure over bits and mismatch."""
    heads = ["bits", *(f"mismatch {100 * sigma:g} %" for sigma in found.mismatch)]
    rows = [
        ["real" if bits is None else str(bits), *(f"{m:.4g} +- {s:.2g}" for m, s in zip(mean, spread, strict=True))]
        for bits, mean, spread in zip(found.bits, found.mean, found.spread, strict=True)
    ]
    boards = plural(found.values.shape[2], "board")
    return "\n".join(
        [
            f"{found.measure} on hardware, mean and standard deviation of {boards}; {found.ideal:.4g} of real numbers:",
            table(heads, rows),
        ]
    )


TEXTS: dict[type, Callable[[Any], str]] = {
    Characterisation: characterisation_text,
    Annealing: annealing_text,
    Budget: budget_text,
    Stability: stability_text,
    Check: check_text,
    Checks: checks_text,
    Evolution: evolution_text,
    Generation: generation_text,
    Classification: classification_text,
    GaussianProcess: gaussian_process_text,
    Ledger: ledger_text,
    Materials: materials_text,
    Calibration: calibration_text,
    Scaling: scaling_text,
    HardwareSweep: hardware_sweep_text,
    Corners: corners_text,
    Yield: yield_text,
    LogDeterminant: log_determinant_text,
    NaturalGradient: natural_text,
    NetworkPrediction: network_prediction_text,
    NetworkSimulation: network_simulation_text,
    Plan: plan_text,
    OneStep: one_step_text,
    Prediction: prediction_text,
    LinearisedPrediction: linearised_text,
    Relaxation: relaxation_text,
    ReplayedNetwork: replayed_text,
    SampledRelaxation: sampled_relaxation_text,
    Simulation: simulation_text,
    Solution: solution_text,
    Spectrum: spectrum_text,
    UnitActivation: activation_text,
}
"""The register: what says each kind of result."""
