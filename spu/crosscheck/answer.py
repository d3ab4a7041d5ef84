"""Level ``answer``, for a netlist that a designer edited: does it still sample the same, and if not, what changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spu.crosscheck.changes import Changes, Edited, Moved, codes_out_of_range, edits, in_problem_units
from spu.crosscheck.context import Context
from spu.crosscheck.measure import MOST_PAIRS, Grid, measure
from spu.crosscheck.result import Level
from spu.errors import CircuitError, NgspiceMissing
from spu.spice.timing import timing

FloatArray = NDArray[np.float64]

SAME = 1e-4
"""Relative change of covariance or mean up to which the answer is the same, unless an accuracy is given."""

READ_ALIKE = 1e-3
"""Relative difference of the covariances that emulator and ngspice find in one netlist, at most."""

_CONFIRMED = 66
"""Pairs of nodes (of twelve) up to which ngspice confirms covariances, not variances only."""


def run(context: Context) -> Level:
    """Find mean and covariance of the edited deck, set them beside the original's and the problem's."""
    assert context.deck is not None
    assert context.edited is not None
    edited = context.edited
    try:
        changes = _changes(context, edited)
    except CircuitError as refusal:
        return Level("answer", "fail", f"as edited, the network has no stationary law: {refusal}", exit_status=1)
    context.changes = changes
    change = max(changes.covariance_change, changes.mean_change or 0.0)
    error, allowed, of = change, SAME, "the device's"
    if context.accuracy is not None:
        allowed = context.accuracy
    if context.accuracy is not None and context.problem is not None:
        error, of = _error(context, changes), "the problem's"
    verdict = "pass" if error <= allowed else "fail"
    message = f"its answer is off by {error:.3g} from {of}"
    if of == "the problem's":
        message += f", by {change:.3g} from the device's"
    worst = [*changes.moved_covariances()[:1], *changes.moved_means()[:1]]
    if worst and change > SAME:
        message += "; worst: " + ", ".join(f"{_entry(moved)} by {100 * moved.relative:+.3g} %" for moved in worst)
    if changes.reading_error is not None and changes.reading_error > READ_ALIKE and verdict == "pass":
        verdict = "inconclusive"
        message += f"; emulator and ngspice differ by {changes.reading_error:.2g} about this netlist"
    return Level("answer", verdict, message, error, allowed, false_alarm_rate=0.0, detects={"answer": allowed})


def _entry(moved: Moved) -> str:
    if len(moved.variables) == 1:
        return f"mean of {moved.variables[0]}"
    a, b = moved.variables
    return f"variance of {a}" if a == b else f"covariance of {a} and {b}"


def _error(context: Context, changes: Changes) -> float:
    """Of the problem's answer, relative."""
    problem = context.problem
    assert problem is not None
    found, target = changes.covariance, np.asarray(problem.target_covariance)
    if problem.answer == "mean":
        found, target = changes.mean if changes.mean is not None else np.zeros(problem.n), problem.target_mean
    known = np.isfinite(found)
    return float(np.linalg.norm((found - target)[known]) / np.linalg.norm(target[known]))


def _changes(context: Context, edited: Edited) -> Changes:
    law, read = context.law, None
    if edited.circuit is not None:
        read = edited.law()
    has_mean = not context.from_zero if read is None else not read.sde.conserved
    times = context.timing if read is None else timing(read)
    grid = Grid(times.low, times.high, times.per_decade, exact=read is not None)
    most = MOST_PAIRS if read is None else _CONFIRMED
    assert context.deck is not None
    measured, error = None, None
    try:
        measured = measure(
            context.deck, context.vectors, grid, mean=has_mean, time_limit=context.time_limit, most_pairs=most
        )
    except NgspiceMissing:
        if read is None:
            raise
    mean: FloatArray | None
    if read is not None:
        voltages, mean = read.voltage_covariance, read.voltage_mean
        if measured is not None:
            known = np.isfinite(measured.covariance)
            size = float(np.linalg.norm(voltages[known]))
            error = float(np.linalg.norm((measured.covariance - voltages)[known])) / size if size else 0.0
    else:
        assert measured is not None
        voltages, mean = measured.covariance, measured.mean
    readout = law.sde.readout
    before = in_problem_units(readout, law.voltage_mean if mean is not None else None, law.voltage_covariance)
    after = in_problem_units(readout, mean, voltages)
    return Changes(
        netlist=context.deck.file,
        source="ngspice" if read is None else "emulator",
        why=edited.why,
        variables=readout.variables,
        edits=None if edited.original is None else edits(edited.original, context.deck),
        mean_before=before[0],
        mean=after[0],
        covariance_before=before[1],
        covariance=after[1],
        time_constants_before=law.time_constants,
        time_constants=None if read is None else read.time_constants,
        reading_error=error,
        remarks=codes_out_of_range(context.circuit, context.deck),
    )
