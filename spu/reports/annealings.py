"""Annealings as plain text."""

from __future__ import annotations

import numpy as np

from spu.base.layout import MAX_TABLE_ROWS, facts, table
from spu.base.numbers import engineering, number, plural, small
from spu.studies.annealing import Annealing, Digital

_SOURCES = {
    "counted": "all states were counted",
    "digital": "the best that is known, found by a digital annealer",
    "runs": "the best that is known, found by these runs",
}

_MOST_SHOWN, _MOST_LEVELS = 40, 6
"""Spins of a state, and costs, that are shown."""


def annealing_text(found: Annealing) -> str:
    """What the runs ended in, how often that is a ground state, and how long a solution takes."""
    heads = [
        ("annealed", f"{found.schedule}, {engineering(found.time_of_run, 's')} a run on the device"),
        ("runs", f"{found.runs}; took {engineering(found.seconds, 's')}; seed {found.seed}"),
        ("lowest cost", f"{found.best_cost:.8g}"),
    ]
    if found.reference is not None:
        heads += _spins(found)
    else:
        heads += [
            ("left", f"at most {small(found.gap)} above the least cost, whatever the device did"),
            ("distance", _distance(found)),
            ("rounds", f"{found.rounds} runs at corrected inputs, their time included"),
        ]
    lines = [facts(heads), "", _states(found)]
    if found.digital is not None:
        lines += ["", _digital(found.digital)]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in found.warnings)])


def _spins(found: Annealing) -> list[tuple[str, str]]:
    assert found.success is not None and found.success_interval is not None and found.time_to_solution is not None
    assert found.time_interval is not None and found.readouts_interval is not None
    low, high = found.success_interval
    said = [
        (
            "ground state" if found.reference_source == "counted" else "reference",
            f"{found.reference:.8g}: {_SOURCES[str(found.reference_source)]}",
        ),
        (
            "success",
            f"{found.success:.3g}, from {low:.3g} to {high:.3g} (95 %): {found.successes} of {found.runs} runs",
        ),
        (
            "to a solution",
            f"{_time(found.time_to_solution)}, from {_time(found.time_interval[0])} to "
            f"{_time(found.time_interval[1])}, with 99 %",
        ),
        (
            "in runs",
            f"{number(found.readouts_to_solution)}, from {number(found.readouts_interval[0])} to "
            f"{number(found.readouts_interval[1])}, each read once",
        ),
    ]
    if found.assured:
        said.append(("potential", "its lowest minimum is a ground state: no other state has a lower one"))
    return said


def _time(seconds: float) -> str:
    return engineering(seconds, "s") if np.isfinite(seconds) else "no end"


def _distance(found: Annealing) -> str:
    assert found.distance is not None
    if not np.isfinite(found.distance):
        return "not bounded: the matrix is singular, and there may be many answers"
    return f"at most {small(found.distance)} from the answer (2-norm)"


def _states(found: Annealing) -> str:
    """The best state, and of spins how often each cost was met."""
    if found.reference is None:
        rows = [(name, number(value, 6)) for name, value in zip(found.variables, found.best_state, strict=True)]
        return table(["variable", "value"], rows, limit=MAX_TABLE_ROWS)
    costs, first, counts = np.unique(np.round(found.costs, 9), return_index=True, return_counts=True)
    levels = [
        (f"{cost:.6g}", str(count), _word(found, int(k)))
        for cost, k, count in zip(costs[:_MOST_LEVELS], first, counts, strict=False)
    ]
    headers = ["cost", "runs", "a state"]
    return table(headers, levels, left=0, limit=_MOST_LEVELS, count=len(costs))


def _word(found: Annealing, run: int) -> str:
    """A state in one word: signs of spins, or bits."""
    high, low = ("+", "-") if found.task == "ising" else ("1", "0")
    word = "".join(high if value > 0 else low for value in found.states[run])
    return word if len(word) <= _MOST_SHOWN else word[:_MOST_SHOWN] + "..."


def _digital(digital: Digital) -> str:
    low, high = digital.success_interval
    return (
        f"{digital.name}, {plural(digital.runs, 'run')}: lowest cost {digital.best:.8g}, success {digital.success:.3g} "
        f"from {low:.3g} to {high:.3g}; to a solution {_time(digital.time_to_solution)} on this computer"
    )
