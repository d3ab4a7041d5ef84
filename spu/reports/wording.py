"""What a check says, in sentences and tables for people: headers, and rows of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spu.base.numbers import number, share, small

if TYPE_CHECKING:
    from spu.crosscheck.decks.changes import Changes, Moved
    from spu.crosscheck.result import Check, Diagnosis
    from spu.emulator.predict import LinearisedPrediction

Rows = tuple[list[str], Sequence[tuple[str, ...]]]

MOST_VARIABLES = 12
"""Whose means and variances are listed."""

SURENESS_NOTE = "surely; where there is chance with 99 %"
COMPARISONS_NOTE = "relative, Frobenius; predicted parts in between need not add up"
SHORT_COMPARISONS_NOTE = "relative, Frobenius; left over: beyond what is predicted, whose parts --verbose lists"
"""What goes with the tables."""

IN_WORDS = {
    "pass": "PASS: whatever was compared agrees within what is allowed.",
    "fail": "FAIL: they disagree by more than is allowed; see the levels marked fail.",
    "inconclusive": "INCONCLUSIVE: nothing contradicts the device, but not everything could be decided.",
    "error": "ERROR: a level could not be run; see its message.",
    "skipped": "SKIPPED: none of the levels asked for has anything to say about this device.",
}
"""The verdict of a check."""

_ROUNDING = 1e-12
_PREDICTED = ("compilation", "sampled noise", "finite steps")
_OF_SOME = ("converters", "white noise")

_SEES = {
    "answer": "the answer off",
    "spectrum": "a spectrum off, at any frequency",
    "mean": "a mean off",
    "covariance": "the covariance off",
    "coefficient": "a coefficient of the equation off",
    "curve": "a transfer curve off",
    "transfer": "a transfer function off, of what all sources make",
    "source_gain": "a noise source's gain off, typically",
    "source_gain_worst": "the same of the hardest",
    "density": "a noise density off",
    "variance": "a variance off, whatever the cause",
    "source_level": "a noise source's rms off",
}


def loud(verdict: str) -> str:
    """Write a verdict so that a bad one stands out without colour."""
    return verdict.upper() if verdict in ("fail", "error") else verdict


def level_table(check: Check) -> Rows:
    """Each level with what it compares and its figures; of several simulators with the name of the one that ran it."""
    several = len(check.simulators) > 1
    rows = [
        (
            level.name,
            simulator if several else level.compares,
            loud(level.verdict),
            small(level.error),
            small(level.tolerance),
            f"{level.seconds:.1f}",
        )
        for simulator, level in check.shown
    ]
    what = "simulator" if several else "what is compared"
    return ["level", what, "verdict", "worst error", "allowed", "seconds"], rows


def sureness_table(check: Check) -> Rows:
    """How often each level cries wolf, and what it sees; of several simulators as the first says that ran it."""
    rows: list[tuple[str, ...]] = []
    told: set[str] = set()
    for _, level in check.shown:
        if level.false_alarm_rate is None or level.verdict == "fail":  # what a level sees follows from what agrees
            continue
        if level.name in told:
            continue
        told.add(level.name)
        first = (level.name, _by_chance(level.false_alarm_rate))
        for line in _sees(level.detects):
            rows.append((*first, *line))
            first = ("", "")
    return ["level", "false alarms", "finds", "beyond"], rows


def _by_chance(rate: float | None) -> str:
    if not rate:
        return "none by chance"
    return f"1 in {1.0 / rate:,.0f} checks"


def _sees(detects: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(words, share(detects[key])) for key, words in _SEES.items() if detects.get(key) is not None]
    if detects.get("element") is not None:
        lines.append(("an element changed, typically", share(detects["element"])))
        lines.append((f"the hardest: {detects['hardest']}", share(detects["element_worst"])))
        if detects["unseen"]:
            lines.append((f"{detects['unseen']} of {detects['elements'] + detects['unseen']} elements", "not seen"))
    return lines


def comparison_table(check: Check, *, parts: bool = True) -> Rows:
    """Ideal model, emulator and simulator pairwise: how far apart, what of that was predicted, and what is allowed.

    The predicted parts have a column each, or none.

    Of sampled ones the tests of level ``noise`` decide: the scatter that such samples have stands for what is allowed.
    """
    listed = [*_PREDICTED, *(part for part in _OF_SOME if any(part in pair.predicted for pair in check.comparisons))]
    rows = [
        (
            pair.quantity,
            " - ".join(pair.between),
            share(pair.found),
            *(share(pair.predicted[part]) if part in pair.predicted else "" for part in listed if parts),
            share(pair.unexplained),
            share(pair.scatter) + " rms scatter" if pair.scatter else share(pair.limit),
            "yes" if pair.within else "NO",
        )
        for pair in check.comparisons
    ]
    return ["", "compared", "apart by", *(listed if parts else ()), "left over", "allowed", "within"], rows


def moments_tables(check: Check, limit: int) -> list[Rows]:
    """Means and variances as ideal model, emulator and simulators have them: all, or the ``limit`` that differ most.

    One table, with a column more for each simulator; of several simulators one for the means and one for the variances.
    """
    laws: list[str] = [name for name in ("as compiled", "as edited") if name in check.covariances] or ["emulator"]
    sides = ("ideal", *laws, *check.simulators)
    variances = {name: matrix.diagonal() for name, matrix in check.covariances.items()}
    worst = check.worst_variables(limit)
    names = [check.variables[k] for k in worst]
    columns: dict[str, list[list[str]]] = {}
    for what, known in (("mean", check.means), ("variance", variances)):
        columns[what] = [[number(float(known[name][k])) if name in known else "-" for k in worst] for name in sides]
    heads = {what: [f"{what}: {sides[0]}", *sides[1:]] for what in columns}
    together = [list(columns)] if len(check.simulators) == 1 else [[what] for what in columns]
    return [
        (
            ["variable", *(head for what in group for head in heads[what])],
            list(zip(names, *(column for what in group for column in columns[what]), strict=True)),
        )
        for group in together
    ]


def messages(check: Check) -> list[str]:
    """One line for each message of the levels: what several say alike is said once. Then who disagrees."""
    said: dict[str, dict[str, list[str]]] = {}
    for simulator, level in check.shown:
        if level.message:
            said.setdefault(level.message, {}).setdefault(level.name, []).extend([simulator] if simulator else [])
    lines = []
    for message, by in said.items():
        alike: dict[str, list[str]] = {}
        for name, who in by.items():
            alike.setdefault(", ".join(who), []).append(name)
        names = [", ".join(levels) + (f" ({who})" if who else "") for who, levels in alike.items()]
        lines.append(f"{', '.join(names)}: {message}")
    return [*lines, *disagreements(check)]


def disagreements(check: Check) -> list[str]:
    """A line for each two simulators that disagree, with whom the emulator sides."""
    lines = []
    for pair in dict.fromkeys(row.between for row in check.disagreements):
        rows = [row for row in check.disagreements if row.between == pair]
        what = ", ".join(f"{row.quantity} by {small(row.found)} ({small(row.limit)} allowed)" for row in rows)
        verdicts = {found.simulator: {level.verdict for level in found.levels.values()} for found in check.each}
        near = [name for name in pair if "fail" not in verdicts[name]]
        sides = f"; the emulator agrees with {near[0]}" if len(near) == 1 else ""
        lines.append(f"{' and '.join(pair)} disagree: {what}{sides}")
    return lines


def noted(check: Check) -> list[str]:
    """What the reader should know besides; of several simulators what only one says with its name."""
    return named([(found.simulator, found.notes) for found in check.each])


def named(said: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Lines, each once; what not all say of several with the names of those that do."""
    who: dict[str, list[str]] = {}
    for name, lines in said:
        for line in lines:
            who.setdefault(line, []).append(name)
    return [line if len(names) == len(said) else f"{', '.join(names)}: {line}" for line, names in who.items()]


def diagnoses(check: Check) -> list[tuple[str, Diagnosis]]:
    """What is diagnosed, with `` of NAME`` where several simulators ran; the same is said once."""
    found: dict[tuple[str, ...], tuple[list[str], Diagnosis]] = {}
    for each in check.each:
        if each.diagnosis is not None:
            found.setdefault(tuple(each.diagnosis.lines), ([], each.diagnosis))[0].append(each.simulator)
    several = len(check.simulators) > 1
    return [(f" of what {', '.join(names)} ran" if several else "", diagnosis) for names, diagnosis in found.values()]


def moved_tables(changes: Changes) -> list[Rows]:
    """Entries of the covariance and of the mean that an edit moved most; a table where none moved is left out."""
    tables: list[Rows] = []
    for what, entries in (
        ("variance, covariance of", changes.moved_covariances()),
        ("mean of", changes.moved_means()),
    ):
        rows = [
            (" ".join(dict.fromkeys(e.variables)), _above(e.before, e), _above(e.after, e), f"{e.relative:+.2%}")
            for e in entries
        ]
        if rows:
            tables.append(([what, "before", "after", "change"], rows))
    return tables


def _above(value: float, moved: Moved) -> str:
    """A number, or 0 where rounding is all that is left of it beside the change."""
    return number(value if abs(value) > _ROUNDING * abs(moved.after - moved.before) else 0.0)


def linearised_lines(prediction: LinearisedPrediction) -> list[str]:
    """What is approximate where transconductors saturate, and by how much."""
    return [
        f"by statistical linearisation: the most driven transconductor keeps {share(prediction.compression)} of its g",
        f"left out: {share(prediction.distortion)} of the power of its current, which no line has",
    ]
