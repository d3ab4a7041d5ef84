"""In which order and in which words a report says what was found: the answer first, then the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np

from spu.base.numbers import engineering, number, plural, small
from spu.crosscheck import Check, Level
from spu.crosscheck.decks.changes import Changes
from spu.crosscheck.levels import LEVELS
from spu.crosscheck.result import Diagnosis
from spu.emulator.runs.sampling import Simulation
from spu.problems.problem import QuadraticProblem, quadratic
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
from spu.reports.evidence import Evidence
from spu.reports.inspection import cell_table, coupler_table, look_at
from spu.reports.pictures.covariances import draw_convergence, draw_matrix
from spu.reports.pictures.spectra import draw_autocovariances, draw_spectra
from spu.reports.schematic import draw_schematic
from spu.reports.wording import (
    CORNERS_NOTE,
    IN_WORDS,
    MOST_VARIABLES,
    SURENESS_NOTE,
    corner_table,
    level_table,
    moments_table,
    moved_tables,
    sureness_table,
)

MOST_ROWS = 40
"""Of a table of cells, of couplers, of edited lines."""

MOST_WRITTEN = 12
"""Rows of a matrix that is written out."""

MOST_LINES, LONGEST_LINE, FIRST_INSTANCES = 60, 160, 4
"""Of the excerpt of a netlist: lines, characters of a line, and instances of a kind."""

_EXACT = ("ideal", "emulator", "ngspice")

_UNITS = "problem units squared"


def document(evidence: Evidence) -> Document:
    """Lay out all that was gathered."""
    makers: list[Callable[[Evidence], Section | None]] = [
        _levels,
        _difference,
        _corners,
        _covariances,
        _spectra,
        _samples,
        _problem,
        _device,
        _netlist,
        _reproduction,
    ]
    device = evidence.device
    about = [
        f"{plural(len(device.cell_names), 'cell')}, {plural(len(device.coupler_ends), 'coupler')}",
        device.architecture or "built by hand",
    ]
    problem = evidence.device.problem
    if problem is not None:
        about.append(f"made to {problem.kind.words}, {plural(problem.n, 'variable')}")
    return Document(
        f"{evidence.name}: does the circuit do what it should?",
        f"{'; '.join(about)}. spu {evidence.versions.get('spu', '')}, {evidence.date}",
        [verdict(evidence.check), _key_figures(evidence)],
        [section for section in (make(evidence) for make in makers) if section is not None],
    )


# --- the answer -----------------------------------------------------------------------------


def verdict(check: Check) -> Verdict:
    """The verdict of a check, what it means, and that of each level."""
    levels = check.levels.values()
    meaning = []
    failed = [level for level in levels if level.verdict == "fail"]
    said = IN_WORDS[check.verdict]
    if failed:
        said = f"FAIL: {LEVELS[failed[0].name].failing}."
        meaning.append(f"Level {failed[0].name}: {failed[0].message}.")
    if check.diagnosis is not None:
        meaning.insert(0, f"{'Cause' if check.diagnosis.best else 'Cause unknown'}: {check.diagnosis.lines[0]}")
    meaning += [f"Level {level.name}: {level.message}." for level in levels if level.verdict == "error"]
    if check.verdict == "pass":
        meaning += [_agreement(check)]
    meaning += [f"Note: {note}." for note in check.notes]
    return Verdict(check.verdict, said, meaning, [(level.name, level.verdict) for level in levels])


def _agreement(check: Check) -> str:
    """What a pass says, and what was not asked."""
    ran = {name for name, level in check.levels.items() if level.verdict == "pass"}
    spice = ran - {"ideal", "answer"}
    said = []
    if "ideal" in ran:
        said.append("The device answers the problem as well as was promised")
    if spice:
        said.append(f"{'t' if said else 'T'}he netlist that ngspice ran is the circuit that the emulator solves")
    text = ", and ".join(said) or "Nothing contradicts the device"
    if not spice:
        text += "; what ngspice makes of it was not asked"
    return text + "."


def _key_figures(evidence: Evidence) -> Facts:
    check, prediction, run = evidence.check, evidence.prediction, evidence.simulation
    pairs = []
    if prediction.relative_error is not None:
        promised = (evidence.folder.compiled or {}).get("predicted_relative_error") if evidence.folder else None
        text = f"{small(prediction.relative_error)} off the exact answer (relative, Frobenius)"
        if promised is not None:
            text += f"; {small(promised)} was predicted when it was compiled"
        pairs.append(("emulator", text))
    if "ngspice" in check.covariances:
        text = f"covariance {small(_gap(check, 'emulator', 'ngspice'))} off the emulator's"
        if "ideal" in check.covariances:
            text += f", {small(_gap(check, 'ideal', 'ngspice'))} off the exact one"
        pairs.append(("ngspice", text))
    text = f"{run.samples:,} readouts"
    if run.relative_error is not None:
        text += f" are {small(run.relative_error)} off; {small(run.expected_relative_error)} is expected of so few"
    pairs.append(("sampling", text))
    slow, fast = (engineering(float(prediction.time_constants[k]), "s") for k in (0, -1))
    pairs.append(("time constants", f"{slow} (slowest) to {fast}"))
    return Facts(pairs)


# --- the evidence ---------------------------------------------------------------------------


def _levels(evidence: Evidence) -> Section:
    levels: Sequence[Level] = list(evidence.check.levels.values())
    blocks: list[Block] = [levels_block(evidence.check)]
    said = [f"{level.name}: {level.message}" for level in levels if level.message]
    blocks += [Bullets(said)] if said else []
    headers, rows = sureness_table(evidence.check)
    if rows:
        blocks.append(Table("How sure each level is", headers, rows, left=3, note=sentence(SURENESS_NOTE)))
    return Section("What was compared", blocks)


def levels_block(check: Check) -> Table:
    """Each level with what it compares and its figures."""
    note = "Errors are relative; a level that is skipped has nothing to say about this device."
    return Table("Levels, cheap and sharp first", *level_table(check), left=3, note=note)


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
            note = _left_out(len(changes.edits), MOST_ROWS, "lines")
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
    yield Facts(pairs)


def _corners(evidence: Evidence) -> Section | None:
    check = evidence.check
    headers, rows = corner_table(check)
    if not rows:
        return None
    apart = Table("How far the corners lie apart", headers, rows, left=2, note=sentence(CORNERS_NOTE))
    return Section("Ideal, emulator and ngspice, pairwise", [apart, moments_block(check)])


def moments_block(check: Check) -> Table:
    """Mean and variance of each variable in the exact corners, or of those that differ most."""
    note = ""
    if len(check.variables) > MOST_VARIABLES:
        note = f"The {MOST_VARIABLES} of {len(check.variables)} variables that differ most."
    return Table("Means and variances, problem units", *moments_table(check, MOST_VARIABLES), note=note)


def _covariances(evidence: Evidence) -> Section | None:
    check = evidence.check
    shown = [name for name in _EXACT if name in check.covariances]
    if len(shown) < 3 and "ngspice transient" in check.covariances:
        shown.append("ngspice transient")
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
        gap = matrices[b] - matrices[a]
        largest = float(np.abs(gap).max(initial=0.0))
        unit = 10.0 ** np.floor(np.log10(largest)) if largest > 0 else 1.0
        differences.append(
            Picture(
                f"difference-{a}-{b}".replace(" ", "-"),
                draw_matrix(f"{b} - {a}", gap, check.variables, largest or 1.0, _UNITS, unit),
                f"{b} less {a}: {small(_gap(check, a, b))} of it (Frobenius); numbers times {unit:.0e}.",
                f"Heat map of the covariance of {b} less that of {a}; largest entry {largest:.1e}",
            )
        )
    return Section(
        "The covariance, corner by corner",
        [
            Text(
                "First the corners, all on one scale, then their differences, each on its own. Numbers, or a minus "
                "sign on negative entries, where there is room."
            ),
            Gallery([*pictures, *differences]),
        ],
    )


def _spectra(evidence: Evidence) -> Section | None:
    spectra, correlations = evidence.check.spectra, evidence.autocovariances
    blocks: list[Block] = []
    if spectra is not None:
        sides = ["emulator, exact (line)"]
        sides += ["ngspice .ac and .noise (markers)"] if spectra.sweep is not None else []
        if spectra.transient is not None:
            sides.append(
                "ngspice transient by Welch's method with its 95 % band, and what is expected of that estimate: held "
                "noise, aliasing and the window are in it"
            )
        blocks.append(
            Picture(
                "spectra",
                draw_spectra(spectra),
                f"Spectra of a few telling cells: {'; '.join(sides)}.",
                f"Noise densities against frequency of the cells {', '.join(spectra.cells)}, and coherence of pairs: "
                f"{'; '.join(sides)}",
                wide=True,
            )
        )
    if correlations is not None:
        blocks.append(
            Picture(
                "autocovariances",
                draw_autocovariances(correlations),
                "Autocovariances of a few telling variables: exact (line), and of a simulation with readouts "
                f"{engineering(float(correlations.lags[1]), 's')} apart, with twice their standard errors.",
                f"Autocovariance against lag of {', '.join(correlations.variables)}: exact, and sampled",
                wide=True,
            )
        )
    return Section("Spectra and autocorrelations", blocks) if blocks else None


def _samples(evidence: Evidence) -> Section:
    run, curve = evidence.simulation, evidence.convergence
    blocks: list[Block] = [Facts(simulation_facts(run))]
    if curve is not None:
        figure = draw_convergence(curve.samples, curve.found, curve.expected, curve.floor, curve.what)
        caption = (
            f"Relative error of the {curve.what} (Frobenius) against {curve.reference}, as the simulation went on."
        )
        blocks.append(
            Picture(
                "convergence",
                figure,
                caption,
                f"Error against number of readouts, logarithmic: {curve.found[0]:.1e} after {curve.samples[0]:.0f}, "
                f"{curve.found[-1]:.1e} after {curve.samples[-1]:.0f}, where {curve.expected[-1]:.1e} is predicted",
            )
        )
    elif run.programmings > 1:
        blocks.append(Text("The error is not followed over the samples of an ensemble: its programmings come in turn."))
    else:
        blocks.append(Text("The error is not followed over the samples of a network with so many variables."))
    return Section("Error against number of samples", blocks)


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
                f"{sigmas:.1f} standard errors, covariance of {run.variables[i]} and {run.variables[j]}, "
                f"the worst of {count}",
            )
        )
    return pairs


# --- what it is about -----------------------------------------------------------------------


def _problem(evidence: Evidence) -> Section | None:
    problem = quadratic(evidence.device.problem)
    if problem is None:
        return None
    pairs = [
        ("task", problem.kind.words),
        ("variables", str(problem.n)),
        ("condition number", f"{problem.condition:.4g}"),
        *(("warning", warning) for warning in problem.warnings),
    ]
    return Section("The problem", [Facts(pairs), *_matrix(problem)])


def _matrix(problem: QuadraticProblem) -> Iterator[Block]:
    matrix = np.asarray(problem.matrix.toarray() if problem.sparse else problem.matrix)  # type: ignore[union-attr]
    name, right = problem.kind.caption, problem.kind.beside
    mean = problem.target_mean
    if problem.n <= MOST_WRITTEN:
        headers = ["", *problem.variables]
        rows = [[v, *(f"{x:.5g}" for x in row)] for v, row in zip(problem.variables, matrix.tolist(), strict=True)]
        if right:
            headers.append(right)
            for row, value in zip(rows, np.asarray(getattr(problem, right)).tolist(), strict=True):
                row.append(f"{value:.5g}")
        elif mean.any():
            headers.append("mean")
            for row, value in zip(rows, mean.tolist(), strict=True):
                row.append(f"{value:.5g}")
        yield Table(name, headers, rows)
        return
    yield Text(f"Of {problem.n} x {problem.n} entries only a picture is shown; all are in problem.json.")
    scale = float(np.abs(matrix).max(initial=0.0)) or 1.0
    figure = draw_matrix(name, matrix, problem.variables, scale, "problem units")
    yield Picture("matrix", figure, f"{name}.", f"Heat map of the matrix, {problem.n} by {problem.n}")


def _device(evidence: Evidence) -> Section:
    device, compiled = evidence.device, (evidence.folder.compiled if evidence.folder else None) or {}
    decided = compiled.get("realizability")
    pairs = [
        ("architecture", device.architecture or "built by hand"),
        ("temperature", f"{device.temperature:g} K"),
        ("hash", device.hash),
    ]
    if compiled.get("hardware"):
        pairs.insert(1, ("hardware", str(compiled["hardware"])))
    if isinstance(decided, dict) and decided.get("reason"):
        pairs.append(("why this one", str(decided["reason"])))
    if device.programmings:
        pairs.append(("programmings", f"{len(device.programmings) + 1}; values below are of the first"))
    blocks: list[Block] = [Facts(pairs)]
    cells, couplers = len(device.cell_names), len(device.coupler_ends)
    with np.errstate(all="ignore"):
        look = look_at(device, MOST_ROWS)
    blocks.append(
        Picture(
            "schematic",
            draw_schematic(device),
            "Schematic of a typical cell and of the couplers, with their values.",
            f"Circuit diagram of one cell, of each kind of coupler, and how {plural(cells, 'cell')} and "
            f"{plural(couplers, 'coupler')} join; the tables below list their values",
            wide=True,
        )
    )
    headers, rows = cell_table(look.cells)
    blocks.append(
        Table(
            "Cells",
            headers,
            rows,
            note="Time constant, resonance and Q with the neighbours held at ground: couplers count. "
            + _left_out(cells, MOST_ROWS, "cells", "device.json"),
        )
    )
    if look.couplers:
        headers, rows = coupler_table(look.couplers)
        note = "Strength: the coupler's value over the geometric mean of what its two cells have of it in all. "
        note += _left_out(couplers, MOST_ROWS, "couplers", "device.json")
        blocks.append(Table("Couplers", headers, rows, left=2, note=note))
    return Section("The device", blocks)


def _netlist(evidence: Evidence) -> Section | None:
    if evidence.netlist is None:
        return None
    name, text = evidence.netlist
    count = text.count("\n") + 1
    caption = f"{name}: parameters, subcircuits and first instances ({count} lines in all)"
    return Section("The netlist", [Listing(caption, excerpt(text))])


def excerpt(text: str) -> str:
    """The readable head of a netlist: title, then from the first line that is no comment; instances thinned out."""
    lines = text.splitlines()
    first = next((k for k, line in enumerate(lines) if k and line.strip() and not line.startswith("*")), 0)
    while first > 1 and lines[first - 1].startswith("*") and lines[first - 1].strip() != "*":
        first -= 1
    kept = lines[:1]
    run, kind = 0, ""
    for line in lines[max(first, 1) :]:
        here = _kind(line)
        run = run + 1 if here and here == kind else 1
        kind = here
        if here and run > FIRST_INSTANCES:
            if run == FIRST_INSTANCES + 1:
                kept.append("* (and more of these)")
            continue
        kept.append(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ...")
        if len(kept) >= MOST_LINES:
            kept.append("* (and so on)")
            break
    return "\n".join(kept)


def _kind(line: str) -> str:
    """What sort of instance a line is; empty for lines that are all shown."""
    return line[0].lower() if line[:1].isalpha() else ""


def _reproduction(evidence: Evidence) -> Section:
    blocks: list[Block] = []
    if evidence.commands:
        blocks.append(Listing("Command lines that give the same figures", "\n".join(evidence.commands)))
    seeds = [("seed", f"{evidence.settings.seed}, of the replayed noise, of ngspice's and of the simulation")]
    versions = [(name, version) for name, version in evidence.versions.items()]
    hashes = [(f"hash of {name}", value) for name, value in evidence.hashes.items()]
    return Section("To reproduce this", [*blocks, Facts([*seeds, *versions, *hashes, ("date", evidence.date)])])


def _gap(check: Check, a: str, b: str) -> float:
    """How far two corners' covariances lie apart, relative to the first's size."""
    first, second = check.covariances[a], check.covariances[b]
    size = float(np.linalg.norm(first))
    gap = float(np.linalg.norm(second - first))
    return gap / size if size else gap


def _left_out(count: int, limit: int, what: str, where: str = "") -> str:
    if count <= limit:
        return ""
    return f"The first {limit} of {count} {what}" + (f"; all are in {where}." if where else ".")
