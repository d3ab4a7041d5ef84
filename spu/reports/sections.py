"""In which order and in which words a report says what was found: the answer first, then the evidence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

import numpy as np

from spu.base.numbers import engineering, number, plural, small
from spu.crosscheck import Check
from spu.crosscheck.decks.changes import Changes
from spu.crosscheck.result import Diagnosis
from spu.device.device import Device
from spu.reports.characterisations import IN_WORDS_OF_SHEETS, characterisation_blocks
from spu.reports.devices import about, left_out, subject_blocks
from spu.reports.document import (
    Block,
    Bullets,
    Document,
    Facts,
    Gallery,
    Listing,
    Picture,
    Section,
    Table,
    Text,
    Verdict,
)
from spu.reports.evidence import AS_COMPILED, AS_EDITED, Evidence, gap
from spu.reports.pictures.covariances import draw_matrix
from spu.reports.problems import problem_blocks
from spu.reports.wording import (
    COMPARISONS_NOTE,
    IN_WORDS,
    MOST_VARIABLES,
    SURENESS_NOTE,
    comparison_table,
    diagnoses,
    disagreements,
    level_table,
    moments_tables,
    moved_tables,
    noted,
    sureness_table,
)

MOST_ROWS = 40
"""Of a table of edited lines."""

MOST_LINES, LONGEST_LINE, FIRST_INSTANCES = 60, 160, 4
"""Of the excerpt of a netlist: lines, characters of a line, and instances of a kind."""

_UNITS = "problem units squared"


def document(evidence: Evidence) -> Document:
    """Lay out all that was gathered."""
    before = (_levels, _specification, _difference, _comparisons, _covariances)
    after = (_problem, _device, _netlist, _reproduction)
    said = about(evidence.described)
    problem = evidence.subject.problem
    if problem is not None:
        said.append(f"made to {problem.kind.words}, {plural(problem.n, 'variable')}")
    sections = [
        *(make(evidence) for make in before),
        *evidence.sections(),
        *(make(evidence) for make in after),
    ]
    return Document(
        f"{evidence.name}{'' if evidence.edited is None else f', edited ({evidence.edited.file.name})'}: "
        "does the circuit do what it should?",
        f"{'; '.join(said)}. spu {evidence.versions.get('spu', '')}, {evidence.date}",
        [verdict(evidence.check), Facts(list(evidence.figures()))],
        [section for section in sections if section is not None],
    )


# --- the answer -----------------------------------------------------------------------------


def verdict(check: Check) -> Verdict:
    """The verdict of a check, what it means, and that of each level."""
    levels = [level for _, level in check.shown]
    ran = {id(level): f" ({simulator})" if simulator else "" for simulator, level in check.shown}
    meaning = []
    failed = [level for level in levels if level.verdict == "fail"]
    said = IN_WORDS[check.verdict]
    if failed:
        said = f"FAIL: {failed[0].failing}."
        meaning.append(f"Level {failed[0].name}{ran[id(failed[0])]}: {failed[0].message}.")
    for name, diagnosis in reversed(diagnoses(check)):
        meaning.insert(0, f"{'Cause' if diagnosis.best else 'Cause unknown'}{name}: {diagnosis.lines[0]}")
    meaning += [f"{sentence(line)}" for line in disagreements(check)]
    meaning += [f"Level {level.name}{ran[id(level)]}: {level.message}." for level in levels if level.verdict == "error"]
    if check.verdict == "pass":
        meaning += [_agreement(check)]
    meaning += [f"Note: {note}." for note in noted(check)]
    verdicts = [(f"{level.name}{ran[id(level)]}", level.verdict) for level in levels]
    return Verdict(check.verdict, said, meaning, verdicts)


def _agreement(check: Check) -> str:
    """What a pass says, and what was not asked."""
    passed = {
        each.simulator: {name for name, level in each.levels.items() if level.verdict == "pass"} for each in check.each
    }
    spice = [name for name, levels in passed.items() if levels - {"ideal", "answer"}]
    said = []
    if "ideal" in passed[check.simulator]:
        said.append("The device answers the problem as well as was promised")
    if spice:
        said.append(f"{'t' if said else 'T'}he netlist that {_and(spice)} ran is the circuit that the emulator solves")
    text = ", and ".join(said) or "Nothing contradicts the device"
    if unasked := [name for name in passed if name not in spice]:
        text += f"; what {_and(unasked)} makes of it was not asked"
    return text + "."


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- the evidence ---------------------------------------------------------------------------


def _levels(evidence: Evidence) -> Section:
    blocks: list[Block] = [levels_block(evidence.check)]
    said = [
        f"{level.name}{f' ({simulator})' if simulator else ''}: {level.message}"
        for simulator, level in evidence.check.shown
        if level.message
    ]
    said += disagreements(evidence.check)
    blocks += [Bullets(said)] if said else []
    headers, rows = sureness_table(evidence.check)
    if rows:
        blocks.append(Table("How sure each level is", headers, rows, left=3, note=sentence(SURENESS_NOTE)))
    return Section("What was compared", blocks)


def levels_block(check: Check) -> Table:
    """Each level with what it compares and its figures."""
    note = "Errors are relative; a level that is skipped has nothing to say about this device."
    return Table("Levels, cheap and sharp first", *level_table(check), left=3, note=note)


def _specification(evidence: Evidence) -> Section | None:
    found = evidence.characterisation
    if found is None:
        return None
    return Section("Its specification", [Text(IN_WORDS_OF_SHEETS[found.verdict]), *characterisation_blocks(found)])


def sentence(words: str) -> str:
    """A note as a sentence."""
    return f"{words[:1].upper()}{words[1:]}."


def _difference(evidence: Evidence) -> Section | None:
    changes = evidence.check.changes
    diagnosis = evidence.check.diagnosis
    blocks: list[Block] = [] if diagnosis is None else list(_diagnosis(diagnosis))
    blocks += [] if changes is None else list(_changes(changes))
    return Section("What differs, and why", blocks) if blocks else None


def _diagnosis(diagnosis: Diagnosis) -> Iterator[Block]:
    yield Bullets(diagnosis.lines)
    explanations = [*([diagnosis.best] if diagnosis.best else []), *diagnosis.others]
    if explanations:
        rows = [
            (
                each.text,
                "-" if each.explained is None else f"{100 * each.explained:.4g} %",
                number(each.remaining, 3),
                "yes" if each.complete else "no",
            )
            for each in explanations
        ]
        yield Table(
            "Single changes that would explain what was measured, the best first",
            ["change", "explains", "leaves, of what is allowed", "explains all"],
            rows,
            note="Only measurements are used, not the text of the netlist. What is explained: of the squared "
            "differences, each in units of what its level allows.",
        )
    if diagnosis.entries:
        rows = [
            (
                " ".join(dict.fromkeys(entry["cells"])),
                number(entry["expected"]),
                number(entry["measured"]),
                f"{entry['relative']:+.2%}",
            )
            for entry in diagnosis.entries
        ]
        note = "Change relative to the root of the product of the two variances."
        yield Table(
            "Covariances of voltages that moved most, V^2", ["cells", "expected", "measured", "change"], rows, note=note
        )


def _changes(changes: Changes) -> Iterator[Block]:
    how = changes.how
    yield Text(f"{changes.netlist} against the device's own netlist; its answer was {how}.")
    if changes.edits is not None:
        rows = [
            (edit.name, edit.before or "-", edit.after or "-", "-" if edit.line is None else str(edit.line))
            for edit in changes.edits[:MOST_ROWS]
        ]
        if rows:
            note = left_out(len(changes.edits), MOST_ROWS, "lines")
            yield Table("Edited lines", ["element or parameter", "was", "is", "line"], rows, left=3, note=note)
        else:
            yield Text("No element and no parameter differs.")
    for headers, moved in moved_tables(changes):
        note = "Changes are relative to the standard deviations."
        yield Table("What moved most", headers, moved, note=note)
    pairs = [("covariance", "not measured")]
    if changes.measured:
        pairs = [("covariance", f"changed by {small(changes.covariance_change)} (relative, Frobenius)")]
    if changes.mean_change is not None:
        pairs.append(("mean", f"changed by {small(changes.mean_change)} (relative)"))
    for label, times in (("before", changes.time_constants_before), ("after", changes.time_constants)):
        if times is not None:
            words = f"{engineering(float(times[0]), 's')} to {engineering(float(times[-1]), 's')}"
            pairs.append((f"time constants {label}", words))
        elif label == "after":
            pairs.append((f"time constants {label}", "not known"))
    yield Facts(pairs)


def _comparisons(evidence: Evidence) -> Section | None:
    check = evidence.shown
    headers, rows = comparison_table(check)
    blocks: list[Block] = []
    if rows:
        note = sentence(COMPARISONS_NOTE)
        blocks.append(Table("How far they lie apart", headers, rows, left=2, note=note))
    if check.covariances:
        blocks += moments_blocks(check)
    title = _and(["Ideal", "emulator", *check.simulators]) + (", pairwise" if rows else "")
    if evidence.edited is not None and blocks:
        file = evidence.edited.file.name
        blocks.insert(0, Text(f"{_as_compiled(evidence)} What {_and(list(check.simulators))} ran is {file}."))
    return Section(title, blocks) if blocks else None


def _as_compiled(evidence: Evidence) -> str:
    """What names mean where a netlist was edited."""
    assert evidence.edited is not None
    read = evidence.edited.read is not None and not evidence.edited.why
    own = "as edited: its law of the netlist as it read it" if read else "of the netlist as edited it knows no law"
    return f"As compiled: the emulator's law of the device before the edit; {own}."


def moments_blocks(check: Check) -> list[Table]:
    """Mean and variance of each variable in ideal model, emulator and simulators, or of those that differ most."""
    note = ""
    if len(check.variables) > MOST_VARIABLES:
        note = f"The {MOST_VARIABLES} of {len(check.variables)} variables that differ most."
    tables = moments_tables(check, MOST_VARIABLES)
    titles = ["Means and variances"] if len(tables) == 1 else ["Means", "Variances"]
    return [Table(f"{title}, problem units", *rows, note=note) for title, rows in zip(titles, tables, strict=True)]


def _covariances(evidence: Evidence) -> Section | None:
    check = evidence.shown
    sides = ("ideal", "emulator", AS_COMPILED, AS_EDITED, *check.simulators)
    shown = [name for name in sides if name in check.covariances]
    if len(shown) < 3 and f"{check.simulator} transient" in check.covariances:
        shown.append(f"{check.simulator} transient")
    if len(shown) < 2:
        return None
    matrices = {name: np.asarray(check.covariances[name]) for name in shown}
    scale = max(float(np.abs(matrix).max(initial=0.0)) for matrix in matrices.values()) or 1.0
    pictures = [
        Picture(
            f"covariance-{name.replace(' ', '-')}",
            draw_matrix(name, matrix, check.variables, scale, _UNITS),
            f"Covariance: {name}.",
            f"Heat map of the covariance of {plural(len(check.variables), 'variable')}, {name}; "
            f"largest entry {float(np.abs(matrix).max(initial=0.0)):.3g}",
        )
        for name, matrix in matrices.items()
    ]
    differences = []
    for a, b in combinations(shown, 2):
        apart = matrices[b] - matrices[a]
        largest = float(np.abs(apart).max(initial=0.0))
        unit = 10.0 ** np.floor(np.log10(largest)) if largest > 0 else 1.0
        differences.append(
            Picture(
                f"difference-{a}-{b}".replace(" ", "-"),
                draw_matrix(f"{b} - {a}", apart, check.variables, largest or 1.0, _UNITS, unit),
                f"{b} less {a}: {small(gap(check, a, b))} of it (Frobenius); numbers times {unit:.0e}.",
                f"Heat map of the covariance of {b} less that of {a}; largest entry {largest:.1e}",
            )
        )
    return Section(
        "The covariance, side by side",
        [
            Text(
                "First the covariances, all on one scale, then their differences, each on its own. Numbers, or a minus "
                "sign on negative entries, where there is room."
            ),
            Gallery([*pictures, *differences]),
        ],
    )


# --- what it is about -----------------------------------------------------------------------


def _problem(evidence: Evidence) -> Section | None:
    problem = evidence.subject.problem
    return None if problem is None else Section("The problem", list(problem_blocks(problem)))


def _device(evidence: Evidence) -> Section:
    compiled = (evidence.folder.compiled if evidence.folder else None) or {}
    edited, title = evidence.edited, "The device" if isinstance(evidence.described, Device) else "The circuit"
    if edited is not None:
        title = "The circuit, as edited" if edited.read is not None else "The device as compiled, before the edit"
    return Section(title, list(subject_blocks(evidence.described, compiled)))


def _netlist(evidence: Evidence) -> Section | None:
    if evidence.netlist is None:
        return None
    name, text = evidence.netlist
    count = text.count("\n") + 1
    caption = f"{name}: parameters, subcircuits and first instances ({count} lines in all)"
    changes = evidence.check.changes
    edits = () if changes is None or changes.edits is None else changes.edits
    edited = [edit.line for edit in edits if edit.line is not None and edit.file is None]
    if edited:
        caption += "; edited lines are all there"
    return Section("The netlist", [Listing(caption, excerpt(text, edited))])


def excerpt(text: str, wanted: Collection[int] = ()) -> str:
    """The readable head of a netlist: title, then from the first line that is no comment; instances thinned out.

    Lines with the numbers ``wanted`` are never left out.
    """
    lines = text.splitlines()
    first = next((k for k, line in enumerate(lines) if k and line.strip() and not line.startswith("*")), 0)
    while first > 1 and lines[first - 1].startswith("*") and lines[first - 1].strip() != "*":
        first -= 1
    kept = lines[:1]
    run, kind = 0, ""
    first = max(first, 1)
    for place, line in enumerate(lines[first:], start=first + 1):
        if place in wanted:
            kept.append(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ...")
            continue
        if len(kept) >= MOST_LINES:
            if kept[-1] != "* (and so on)":
                kept.append("* (and so on)")
            continue
        here = _kind(line)
        run = run + 1 if here and here == kind else 1
        kind = here
        if here and run > FIRST_INSTANCES:
            if run == FIRST_INSTANCES + 1:
                kept.append("* (and more of these)")
            continue
        kept.append(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ...")
    return "\n".join(kept)


def _kind(line: str) -> str:
    """What sort of instance a line is; empty for lines that are all shown."""
    return line[0].lower() if line[:1].isalpha() else ""


def _reproduction(evidence: Evidence) -> Section:
    blocks: list[Block] = []
    if evidence.commands:
        blocks.append(Listing("Command lines that give the same figures", "\n".join(evidence.commands)))
    whose = _and([f"{name}'s" for name in evidence.check.simulators])
    seeds = [("seed", f"{evidence.settings.seed}, of the replayed noise, of {whose} and of the simulation")]
    versions = [(name, version) for name, version in evidence.versions.items()]
    hashes = [(f"hash of {name}", value) for name, value in evidence.hashes.items()]
    return Section("To reproduce this", [*blocks, Facts([*seeds, *versions, *hashes, ("date", evidence.date)])])
