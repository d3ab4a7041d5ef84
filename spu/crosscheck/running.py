"""The levels of a check, one after the other, and what they say together; those of an ensemble as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import DeckError, NotServed, SimulatorFailed, SimulatorMissing, UsageError
from spu.crosscheck.comparisons import comparisons, ensemble_comparisons, moments
from spu.crosscheck.context import Context
from spu.crosscheck.diagnosis import diagnose, without_source
from spu.crosscheck.gathering import Gathered, take_netlist
from spu.crosscheck.levels.kind import LevelKind
from spu.crosscheck.result import VERDICTS, Check, Level
from spu.crosscheck.spectra import spectra
from spu.emulator.predict import merged_prediction
from spu.problems.problem import Problem, linear_problem

Progress = Callable[[str], None] | None


def run_all(of: Gathered, chosen: list[LevelKind], progress: Progress, edited: Path | None) -> Check:
    """Check each programming against its own netlist, and their answer as one."""
    contexts = of.contexts
    for context in contexts:  # each programming has its share
        context.budget = None if context.budget is None else context.budget / len(contexts)
    if len(contexts) == 1:
        return run_one(contexts[0], of.netlists[0], chosen, progress, contexts[0].problem, edited)
    contexts[0].ensemble = tuple(context.law for context in contexts if context.whole)
    checks = []
    for k, (context, path) in enumerate(zip(contexts, of.netlists, strict=True)):
        told = None if progress is None else partial(_told, progress, k + 1)
        own = [level for level in chosen if k == 0 or not level.together]
        checks.append(run_one(context, path, own, told, None))
    return _merged(contexts[0], checks, chosen)


def _told(progress: Callable[[str], None], number: int, words: str) -> None:
    progress(f"programming {number}: {words}")


def run_one(
    context: Context,
    path: Path | None,
    chosen: list[LevelKind],
    progress: Progress,
    problem: Problem | None,
    edited: Path | None = None,
) -> Check:
    """Check one circuit.

    Parameters
    ----------
    context:
        Its levels fill it.
    path, edited:
        The device's own netlist, and what is run in its place.
    problem:
        Of the ideal model that it is compared with; None leaves that out.

    Raises
    ------
    CircuitError, UsageError
        As `Context.require`: an invalid device is an error of the whole check, not of one level.
    """
    fault: Level | None = None
    if any(level.netlist for level in chosen):
        fault = take_netlist(context, path, edited)
    if progress is not None:
        context.progress = progress
    context.require()
    found: dict[str, Level] = {}
    for number, kind in enumerate(chosen, start=1):
        context.progress(f"{kind.name}, {number} of {len(chosen)}: {kind.words(context)}")
        started = time.perf_counter()
        # A deck that lacks something is no less a deck whose answer one may ask for.
        if fault is not None and kind.netlist and not (kind.incomplete and fault.verdict in ("fail", "skipped")):
            level = fault
        else:
            level = _run(kind, context)
        found[kind.name] = kind.in_words(replace(level, seconds=time.perf_counter() - started), context)
    for kind in chosen:
        way = kind.way(context.dynamics)
        if way is not None and way.conclude is not None and context.whole and found[kind.name].verdict != "error":
            found[kind.name] = way.conclude(context, found[kind.name], found)
    diagnosis = None
    if any(level.verdict == "fail" for level in found.values()):
        context.progress("diagnosis")
        lacking = fault.data.get("missing_sources", []) if fault is not None else []
        diagnosis = without_source(lacking[0]) if len(lacking) == 1 else diagnose(context)
    return Check(
        found,
        context.circuit.readout.variables,
        *moments(context),
        notes=tuple(context.notes),
        comparisons=comparisons(context, found, problem),
        changes=context.changes,
        diagnosis=diagnosis,
        spectra=spectra(context),
        simulator=context.simulator.name,
    )


def _run(kind: LevelKind, context: Context) -> Level:
    way = kind.way(context.dynamics)
    if way is None or not (way.large or context.whole):
        return kind.skipped(context.dynamics)
    try:
        context.simulator.require(*way.needs)
        level = way.run(context)
    except NotServed as reason:
        return Level(kind.name, "skipped", str(reason))
    except SimulatorMissing as error:
        return Level(kind.name, "error", str(error), exit_status=error.exit_status, data={"kind": error.kind})
    except (SimulatorFailed, DeckError) as error:
        return Level(kind.name, "error", str(error), exit_status=2, data={"kind": error.kind})
    if not isinstance(level, Level):
        raise UsageError(f"level {kind.name} must give a Level, not {level!r}")
    return level


def _merged(first: Context, checks: list[Check], chosen: Sequence[LevelKind]) -> Check:
    """One check out of those of the programmings of an ensemble."""
    levels = {
        kind.name: _worst_of([found.levels[kind.name] for found in checks if kind.name in found.levels])
        for kind in chosen
    }
    notes = [f"programming {k}: {note}" for k, found in enumerate(checks, start=1) for note in found.notes]
    means, covariances = _merged_moments(checks)
    emulated = {"covariance": covariances["emulator"], "mean": means["emulator"]}
    merged = merged_prediction(first.ensemble, linear_problem(first.problem)) if first.ensemble else None
    if merged is not None and merged.lagged is not None:
        emulated["lagged"] = merged.lagged
    pairs = ensemble_comparisons(
        [found.comparisons for found in checks], first.problem, first.compiled, emulated, levels.get("ideal"), merged
    )
    return Check(
        levels,
        checks[0].variables,
        means,
        covariances,
        tuple(notes),
        pairs,
        diagnosis=next((found.diagnosis for found in checks if found.diagnosis is not None), None),
        spectra=checks[0].spectra,
        simulator=checks[0].simulator,
    )


def _worst_of(levels: list[Level]) -> Level:
    """One level out of those of the programmings: the worst of them, with the verdicts of all."""
    if len(levels) == 1:
        return levels[0]

    def badness(level: Level) -> tuple[int, float]:
        ratio = level.error / level.tolerance if level.error is not None and level.tolerance else 0.0
        return VERDICTS.index(level.verdict), ratio

    worst = max(range(len(levels)), key=lambda k: badness(levels[k]))
    level = levels[worst]
    each = [{"verdict": found.verdict, "error": found.error, "tolerance": found.tolerance} for found in levels]
    return replace(
        level,
        message=f"{len(levels)} programmings, the worst number {worst + 1}: {level.message}",
        seconds=sum(found.seconds for found in levels),
        false_alarm_rate=None if level.false_alarm_rate is None else len(levels) * level.false_alarm_rate,
        data={**level.data, "programmings": each},
    )


def _merged_moments(checks: list[Check]) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Means and covariances of merged samples, for the comparisons that every programming has."""
    means: dict[str, FloatArray] = {}
    covariances: dict[str, FloatArray] = {}
    for name in checks[0].covariances:
        if not all(name in found.covariances for found in checks):
            continue
        covariances[name] = np.mean([found.covariances[name] for found in checks], axis=0)
        if all(name in found.means for found in checks):
            each = np.array([found.means[name] for found in checks])
            means[name] = each.mean(axis=0)
            covariances[name] = covariances[name] + np.cov(each.T, bias=True).reshape(covariances[name].shape)
    return means, covariances
