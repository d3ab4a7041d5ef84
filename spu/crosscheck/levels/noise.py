"""Level ``noise``: ngspice's transient with its own seeded noise sources, recorded.

Three questions, kept apart. Does the circuit answer that very noise as the emulator does
(pathwise, no statistics)? Are the sources what they claim to be (level, mean, correlations,
normality)? Do the voltages that such sources make have the covariance and the mean predicted for them,
sampled and held?

The last question is put to the emulator's response to the recorded noise: what ngspice's finite steps
add is known from the first, sample by sample. So nothing has to be allowed for: the null laws are exact, or
those of the emulator's own runs (`spu.crosscheck.levels.moments`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.progress import so_far
from spu.crosscheck.context import FALSE_ALARM, Context
from spu.crosscheck.levels.kind import LevelKind, Way
from spu.crosscheck.levels.moments import MomentTest, as_data, moment_test
from spu.crosscheck.levels.paths import excuse
from spu.crosscheck.levels.recording import Recorder, Recording, declared
from spu.crosscheck.levels.replay import SENSITIVE
from spu.crosscheck.result import Level
from spu.crosscheck.statistics.whiteness import Sums, battery, smallest_level
from spu.emulator.laws.timing import TRANSIENT_SAMPLES
from spu.spice.simulators.analyses import DeclaredNoise, Transient

PATH = 5e-3
"""Relative path error: ngspice's first step after each sample is backward Euler, which damps a little."""

FINEST_PATH = 5e-4
"""The least that is asked of the path, however small a deviation is to be detected."""

DECLARED = 1e-9
"""Relative, of each source's declared rms, sample time and mean."""

HELD = 1e-6
"""Of a source's rms: how far it may stray from its sample while it holds it."""

COARSER, FAITHLESS = 1.5, 0.5
"""Samples held so much longer than the device's time constants ask for are a finding where they change its
covariance by more than this share: all may be as predicted, but the transient no longer speaks of the device."""

KINDS = 18
"""Of tests, at most: each has this share of the false-alarm rate."""

PILOT = 512
"""Noise samples of the run that finds ngspice's speed."""

_FEWEST = 256
"""Samples of a slow clock, at least: while one is held there is as much to step as in many of white sources."""

MOST_SAMPLES = 10**9
"""Of a check: beyond this it would run for days."""

MOST_NUMBERS = 20_000_000
"""Of what ngspice keeps in memory in one run: longer transients are several runs."""

FIRST = 2048
"""Samples on which it is found how an element changes the path."""


def run(context: Context) -> Level:
    """Plan, run, record, and test."""
    assert context.deck is not None
    circuit = context.circuit
    if not circuit.sources:
        return Level("noise", "skipped", "the device has no noise source")
    started = time.perf_counter()
    source = declared(context)
    startup = time.perf_counter() - started
    if not source.interval > 0:
        return Level("noise", "fail", "the deck's noise sources declare no sample time")
    allowed = PATH if context.detect is None else max(FINEST_PATH, min(PATH, context.detect / 4.0))
    recorder = Recorder(context, source, allowed)
    expected = moment_test(context, source, recorder.burn)
    plan = _plan(context, recorder, expected, started, startup)
    expected.begin(plan.count)
    found = _Found(len(circuit.probes), len(circuit.sources), source.sizes)
    for recording in _runs(context, recorder, plan):
        found.add(recording)
        expected.add(recording)
    names, own = [noise.name for noise in circuit.sources], f"{context.simulator.name}'s"
    groups = expected.tests()
    tests = {"sources": battery(found.white, names), **groups}
    moments = context.transient = expected.moments()
    context.covariances["transient"], context.means["transient"] = moments.covariance, moments.mean

    limit = FALSE_ALARM / KINDS
    path, worst_cell = float(found.errors.max()), circuit.probes[int(np.argmax(found.errors))]
    parts: dict[str, tuple[float, float, str]] = {
        "declared": (
            source.error,
            DECLARED,
            f"source {names[source.worst]} is declared with another rms or sample time",
        ),
        "held": (found.held, HELD, "a source does not hold its samples for the sample time it declares"),
        "path": (path, allowed, f"driven by {own} own noise, the path of {worst_cell} is off by {path:.2g}"),
    }
    say = {
        "sources": "noise source {where}: its {name} is off",
        "covariance": "the {name} of {where} is not what such sources give",
        "moments": "the {name} of {where} is not what such noise gives",
        "innovations": "the {name} of what is new in {where} after a time constant is not what such sources give",
    }
    statistics = {}
    for group, members in tests.items():
        worst = min(members, key=lambda test: test.p_value)
        statistics[group] = float(np.log(max(worst.p_value, 1e-300)) / np.log(limit))
        text = say[group].format(name=_SINGULAR.get(worst.name, worst.name), where=worst.where)
        parts[group] = (statistics[group], 1.0, f"{text} (p = {worst.p_value:.2g})")
    failed = [key for key, (error, tolerance, _) in parts.items() if not error <= tolerance]
    variance = expected.smallest_variance(plan.count, expected.runs, limit)
    level = smallest_level(found.white.count, len(names), limit)
    runs = expected.runs
    total = plan.count * runs
    if failed:
        message = "; ".join(parts[key][2] for key in failed)
    else:
        every = [test for members in tests.values() for test in members]
        message = (
            f"path within {path:.2g} of the emulator's on the same noise ({len(names)} sources, {total} samples"
            + (f" in {runs} runs" if runs > 1 else "")
            + f"); {sum(test.tests for test in every)} tests of {len(every)} kinds, smallest p-value of a kind "
            f"{min(test.p_value for test in every):.2g}; {moments.effective_samples:.0f} effective samples"
        )
    verdict = "fail" if failed else "pass"
    if failed == ["path"] and recorder.falls:
        verdict = "inconclusive"
        message += (
            "; it falls with the step limit: "
            + context.simulator.name
            + " would need finer steps than this check takes"
        )
    if failed == ["path"] and verdict == "fail" and (reason := excuse(context, path, recorder.points, recorder.step)):
        verdict = "inconclusive"
        message += f"; {reason}"
    planned = context.dynamics.sample_time if circuit.clocked is None else circuit.clocked.period
    if verdict == "pass" and source.interval > COARSER * planned and moments.sampling_bias > FAITHLESS:
        verdict = "inconclusive"
        message = (
            f"the deck holds its noise samples for {source.interval:.3g} s where the device's time constants ask for "
            f"{planned:.3g} s: all is as predicted for such noise, but it changes the covariance by "
            f"{moments.sampling_bias:.0%}, so the transient says little of the device"
        )
    key = failed[0] if failed else "path"
    shared = {"false_alarm_rate": FALSE_ALARM}
    seen: dict[str, Any] = {
        "variance": float(variance.max()),
        "variance_typical": float(np.median(variance)),
        "source_level": level,
        "path": allowed,
    }
    if context.dynamics.name in SENSITIVE and not context.circuit.ramped:
        seen |= SENSITIVE[context.dynamics.name](
            context,
            found.first,
            source.interval / source.parts,
            hold=True,
            every=1,
            allowed=allowed + min(path, allowed),
        )
    return Level(
        "noise",
        verdict,
        message,
        parts[key][0],
        parts[key][1],
        false_alarm_rate=FALSE_ALARM,
        detects=seen,
        data={
            "failed": failed,
            "path_error": path,
            "step_limit": recorder.step,
            "sample_time": source.interval,
            "samples": total + recorder.burn * runs,
            "runs": runs,
            "burn_in": recorder.burn,
            "seed": context.seed,
            "tests": {group: [asdict(test) for test in members] for group, members in tests.items()},
            "sources": {"level_statistic": statistics["sources"], "smallest_detectable": level, **shared},
            **as_data(groups, "moments", float(variance.max()), limit),
            "covariance": {
                "relative_error": moments.relative_error,
                "statistic": statistics.get("covariance", statistics.get("moments", 0.0)),
                "effective_samples": moments.effective_samples,
                "smallest_detectable": float(variance.max()),
                "sampling_bias": moments.sampling_bias,
                "finite_steps": moments.finite_steps,
                **shared,
            },
        },
    )


_SINGULAR = {
    "variances": "variance",
    "covariances": "covariance",
    "means": "mean",
    "third moments": "third moment",
    "fourth moments": "fourth moment",
}


@dataclass(frozen=True)
class _Plan:
    """So many runs of so many samples, after the burn-in of each; and when to stop."""

    count: int
    runs: int
    workers: int = 1
    deadline: float = np.inf


def _plan(context: Context, recorder: Recorder, expected: MomentTest, started: float, startup: float) -> _Plan:
    """As many samples as what is to be detected needs, or as the budget buys; else the usual number."""
    if context.detect is None and context.budget is None:
        slow = 1.0 if context.circuit.clocked is None else recorder.interval / context.dynamics.sample_time
        return _Plan(int(max(TRANSIENT_SAMPLES / max(slow, 1.0), min(_FEWEST, TRANSIENT_SAMPLES))), 1)
    limit = FALSE_ALARM / KINDS
    wanted = 0
    if context.detect is not None:
        wanted = max(expected.samples_for(context.detect, limit), TRANSIENT_SAMPLES)
        if wanted > MOST_SAMPLES:
            raise UsageError(
                f"to see {context.detect:.2g} of a variance needs {wanted:.2g} noise samples, more than the "
                f"{MOST_SAMPLES:.0g} that a check takes; a larger deviation needs fewer (their number goes with "
                "its inverse square)"
            )
    context.progress(f"noise: a short run, to see how fast {context.simulator.name} is")
    pilot = recorder.record(PILOT)
    speed = (PILOT + recorder.burn) / max(pilot.seconds - startup, 0.1 * pilot.seconds)
    workers = min(2, os.cpu_count() or 1)
    # One run fits into memory and well into its time limit, and a budget is spent in a few of them: others may
    # want the machine, and then it is slower than the short run was.
    seconds = min(context.time_limit, np.inf if context.budget is None else context.budget) / 4.0
    longest = int(min(MOST_NUMBERS / (pilot.points * recorder.width), seconds * speed))
    longest = int(max(min(longest - recorder.burn, expected.longest), PILOT))
    deadline = np.inf
    if context.budget is not None:
        deadline = started + context.budget
        left = max(deadline - expected.seconds(longest) - time.perf_counter() - startup, 0.0)
        wanted = max(int(left * speed * workers) - recorder.burn * workers, PILOT)
    runs = -(-wanted // longest)
    if runs > 1 or wanted > 4 * TRANSIENT_SAMPLES:
        runs = workers * -(-runs // workers)
    # Where the emulator's runs are what is compared with, all runs are as long as these, whatever their number.
    alike = runs > 1 and np.isfinite(expected.longest)
    count = longest if alike else -(-wanted // runs)
    seen = float(expected.smallest_variance(count, runs, limit).max())
    while alike and context.detect is not None and seen > context.detect and runs * count < MOST_SAMPLES:
        runs += workers
        seen = float(expected.smallest_variance(count, runs, limit).max())
    plan = _Plan(count, runs, workers, deadline)
    seconds = -(-runs // workers) * (startup + (plan.count + recorder.burn) / speed)
    context.progress(
        f"noise: {plan.count * runs} samples in {runs} run{'s' if runs > 1 else ''}, about {seconds:.0f} s of "
        f"{context.simulator.name}; "
        f"a variance off by {100 * seen:.2g} % will be seen"
    )
    return plan


def _runs(context: Context, recorder: Recorder, plan: _Plan) -> Iterator[Recording]:
    """The recordings in order; a deadline is kept by leaving out what would not be done in time."""
    if plan.runs == 1:
        yield recorder.record(plan.count)
        return
    done, batch_seconds, begun = 0, 0.0, time.perf_counter()
    with ThreadPoolExecutor(plan.workers) as pool:
        while done < plan.runs:
            before = time.perf_counter()
            if done and before + batch_seconds > plan.deadline:
                return
            numbers = range(done, min(done + plan.workers, plan.runs))
            yield from pool.map(lambda number: recorder.record(plan.count, number), numbers)
            done = numbers.stop
            batch_seconds = time.perf_counter() - before
            if plan.runs > plan.workers:
                context.progress(f"noise: {so_far(begun, done, plan.runs, 'runs')}")


class _Found:
    """What is kept of the runs but for the voltages' moments: sums, no samples."""

    def __init__(self, probes: int, sources: int, rms: FloatArray | float) -> None:
        self.rms, self.held, self.runs = rms, 0.0, 0
        self.errors, self.white = np.zeros(probes), Sums(sources)

    def add(self, recording: Recording) -> None:
        """Add a run."""
        if not self.runs:
            self.first = (recording.noise if recording.whole is None else recording.whole)[:FIRST]
        self.runs += 1
        self.held = max(self.held, recording.held)
        self.errors = np.maximum(self.errors, recording.errors)
        self.white.add(recording.noise / self.rms)


LEVEL = LevelKind(
    "noise",
    dict.fromkeys(("linear", "langevin"), Way(run, (DeclaredNoise, Transient))),
    compares="{} with its own noise against the prediction",
    planned=True,
    failing="with {}'s own noise the circuit does not have the statistics of the device",
    without="no law of transconductors of finite range is exact: they are compared at op, ac and replay",
)
