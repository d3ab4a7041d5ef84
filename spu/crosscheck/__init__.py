"""Ideal model, emulator and a simulator (ngspice) side by side, with a verdict.

One file a level, cheap and sharp first: `ideal`, `operating_point`, `transfer`, `replay`,
`transient`. What the simulator runs is the netlist as it lies on disk (of one from elsewhere, with lines added:
`fixture`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spu.base.errors import DeckError, InputError, NgspiceFailed, NgspiceMissing, NotServed, SpuError, UsageError
from spu.base.files import write_text
from spu.base.names import suggest
from spu.base.process import scratch_folder
from spu.circuit.circuit import Circuit
from spu.crosscheck import nonlinear
from spu.crosscheck.context import Context
from spu.crosscheck.corners import corners, ensemble_corners
from spu.crosscheck.decks.changes import Edited, moving_lines
from spu.crosscheck.decks.taps import fit, without_starts
from spu.crosscheck.diagnosis import diagnose, without_source
from spu.crosscheck.levels import answer, ideal, operating_point, replay, transfer
from spu.crosscheck.levels import noise as transient
from spu.crosscheck.result import LEVELS, VERDICTS, Check, Corner, Diagnosis, Level
from spu.crosscheck.spectra import spectra
from spu.device.device import Device
from spu.device.lower import lower
from spu.problems.problem import QuadraticProblem, quadratic
from spu.spice.deck import Deck, read_deck
from spu.spice.dialects import NGSPICE
from spu.spice.names import cell_node, netlist_size
from spu.spice.netlist import netlist as written
from spu.spice.reader import Choices, read_netlist
from spu.spice.reader.limits import MAX_INSTANCES
from spu.spice.simulators.analyses import Analysis
from spu.spice.simulators.simulator import Simulator, find_simulator

if TYPE_CHECKING:
    from spu.folder import Folder

__all__ = ["LEVELS", "VERDICTS", "Check", "Corner", "Diagnosis", "Level", "check"]

_RUN: dict[str, Callable[[Context], Level]] = {
    "ideal": ideal.run,
    "answer": answer.run,
    "op": operating_point.run,
    "ac": transfer.run,
    "replay": replay.run,
    "noise": transient.run,
}

_NEEDS: dict[str, tuple[type[Analysis], ...]] = {
    "op": operating_point.NEEDS,
    "ac": transfer.NEEDS,
    "replay": replay.NEEDS,
    "noise": transient.NEEDS,
}
"""Of the simulator, by level."""


def check(
    subject: Device | Folder | str | Path,
    *,
    netlist: str | Path | None = None,
    levels: Sequence[str] | None = None,
    accuracy: float | None = None,
    seed: int = 0,
    time_limit: float = 300.0,
    detect: float | None = None,
    budget: float | None = None,
    include_outside: bool = False,
    ignore_control: bool = False,
    simulator: str | Simulator = "ngspice",
    progress: Callable[[str], None] | None = None,
) -> Check:
    """Compare ideal model, emulator and ngspice, or another simulator.

    Parameters
    ----------
    subject:
        A compiled folder (or its path, or a ``device.json``), whose ``device.cir`` is run as it
        lies on disk; or a `Device`, whose netlist is then written to a temporary file first; or an imported folder or
        a netlist, to which lines are added where it is not laid out as our own (`spu.crosscheck.decks.taps`).
    netlist:
        A netlist that somebody edited, to be run in place of the device's own. Level ``answer`` then says whether it
        still samples the same, and ``changes`` what is different.
    levels:
        Names out of `LEVELS`; all unless given, but for an edited netlist with an ``accuracy``: then only ``ideal``
        and ``answer``, as all others want the circuit, not its answer, to be the same.
    accuracy:
        Tolerated relative error of the answer; by default the error predicted when it was compiled, with a little
        slack, and of an edited netlist `spu.crosscheck.levels.answer.SAME`.
    seed:
        Of the noise, both replayed and the simulator's own.
    time_limit:
        Seconds for each run of the simulator.
    detect:
        Level ``noise`` takes as many samples as show, with 99 %, a variance that is off by this share.
    budget:
        The other way round: seconds that level ``noise`` may take; its ``detects`` says what they bought.
    include_outside, ignore_control:
        Follow includes out of the netlist's folder; go on without control blocks that do more than analyses.
    simulator:
        What runs the netlist: a name out of `spu.spice.simulators.SIMULATORS`, or an object. Levels that need an
        analysis that it has not are ``skipped``.
    progress:
        Called with a few words before each level.

    Raises
    ------
    InputError, CircuitError
        If the device itself is invalid. What is wrong with the device's own deck or with ngspice is a
        level's verdict (``error``), not an exception.
    InputError, DeckError
        If an edited netlist cannot be read, may not be, or lacks the node of a cell.
    UsageError
        For a level or a simulator that does not exist; for an edited netlist of an ensemble, which has one
        for each programming; for a simulator that reads another dialect than ngspice's.
    """
    chosen = _chosen(levels, netlist is not None and accuracy is not None)
    simulator = find_simulator(simulator)
    if simulator.dialect != NGSPICE.name:
        raise UsageError(
            f"the simulator {simulator.name} reads the dialect {simulator.dialect}, and check runs device.cir, written "
            f"in {NGSPICE.name}'s: a simulator that check can use takes that in run()"
        )
    if accuracy is not None and not accuracy >= 0:
        raise UsageError(f"accuracy must be a relative error >= 0, not {accuracy!r}")
    if seed < 0:
        raise UsageError(f"seed must not be negative, not {seed!r}")
    if detect is not None and budget is not None:
        raise UsageError("detect and budget exclude one another: one follows from the other")
    for name, value in (("detect", detect), ("budget", budget)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise UsageError(f"{name} must be a positive number, not {value!r}")
    settings: dict[str, Any] = {
        "accuracy": accuracy,
        "seed": seed,
        "time_limit": time_limit,
        "detect": detect,
        "budget": budget,
        "include_outside": include_outside,
        "ignore_control": ignore_control,
        "simulator": simulator,
    }
    if isinstance(subject, Device):
        with scratch_folder("check") as scratch:
            contexts, paths = [], []
            for k, member in enumerate(subject.members()):
                paths.append(scratch / f"device.{k}.cir")
                write_text(paths[-1], written(member, seed=seed))
                contexts.append(_context(member, quadratic(subject.problem), None, settings))
            return _check_all(contexts, paths, chosen, progress, _edited_file(netlist, contexts))
    from spu.folder import Folder, dialects_present, read_folder

    folder = subject if isinstance(subject, Folder) else read_folder(subject)
    read = None if folder.read is None or folder.read.conventional else folder.read
    if read is not None and netlist is not None:
        raise UsageError(
            f"{folder.path} is itself a netlist from elsewhere: import the edited one, too, and check each by itself"
        )
    members = folder.subject.members()
    decks = [folder.netlist, *folder.further, *[None] * len(members)][: len(members)]
    settings["read"] = read
    settings["choices"] = None if folder.read is None else folder.read.choices
    contexts = [_context(member, folder.problem, folder.compiled, settings) for member in members]
    found = _check_all(contexts, decks, chosen, progress, _edited_file(netlist, contexts))
    others = [name for name in dialects_present(folder.path.parent) if name != "ngspice"]
    if folder.read is None and others:
        unseen = f"the netlists for {', '.join(others)} were not looked at: spu export writes them anew"
        found = replace(found, notes=(*found.notes, unseen))
    return found


def _context(
    device: Device | Circuit,
    problem: QuadraticProblem | None,
    compiled: dict[str, Any] | None,
    settings: dict[str, Any],
) -> Context:
    """What the levels need, of linear cells or of nonlinear ones."""
    circuit = lower(device) if isinstance(device, Device) else device
    if not (isinstance(device, Device) and circuit.nonlinear):
        return Context(circuit, problem, compiled, None, **settings)
    for name in ("detect", "budget"):
        if settings[name] is not None:
            raise UsageError(f"{name} is for linear cells: level noise of nonlinear ones has a fixed length")
    context = nonlinear.NetworkContext(circuit, None, compiled, None, **settings)
    context.device, context.network, context.scales = device, device.network, device.scales
    return context


def _edited_file(netlist: str | Path | None, contexts: list[Context]) -> Path | None:
    """The netlist that was edited, refused where there is none of that name, or many it could stand for."""
    if netlist is None:
        return None
    if any(isinstance(context, nonlinear.NetworkContext) for context in contexts):
        raise UsageError("of nonlinear cells the folder's own device.cir is what is checked: edit it there")
    if len(contexts) > 1:
        raise UsageError(
            f"an ensemble has {len(contexts)} netlists, one a programming, and an edited one cannot stand for all: "
            "edit device.cir, device.2.cir... in the folder itself, and check that"
        )
    if Path(netlist).is_dir():
        raise InputError("is a folder; the netlist in it is meant, such as device.cir", file=netlist)
    if not Path(netlist).is_file():
        raise InputError("there is no such netlist", file=netlist)
    return Path(netlist)


def _check_all(
    contexts: list[Context],
    paths: Sequence[Path | None],
    chosen: list[str],
    progress: Callable[[str], None] | None,
    edited: Path | None,
) -> Check:
    """Check each programming of an ensemble against its own netlist, and their answer as one."""
    for context in contexts:  # each programming has its share
        context.budget = None if context.budget is None else context.budget / len(contexts)
    if len(contexts) == 1:
        return _check(contexts[0], paths[0], chosen, progress, contexts[0].problem, edited)
    contexts[0].ensemble = tuple(context.law for context in contexts)
    checks = []
    for k, (context, path) in enumerate(zip(contexts, paths, strict=True)):
        told = None if progress is None else partial(_told, progress, k + 1)
        # The answer is that of all together: one level "ideal" says what there is to say.
        own = [level for level in chosen if k == 0 or level != "ideal"]
        checks.append(_check(context, path, own, told, None))
    levels = {name: _worst_of([found.levels[name] for found in checks if name in found.levels]) for name in chosen}
    notes = [f"programming {k}: {note}" for k, found in enumerate(checks, start=1) for note in found.notes]
    means, covariances = _merged_corners(checks)
    emulated = {"covariance": covariances["emulator"], "mean": means["emulator"]}
    pairs = ensemble_corners(
        [found.corners for found in checks], contexts[0].problem, contexts[0].compiled, emulated, levels.get("ideal")
    )
    diagnosis = next((found.diagnosis for found in checks if found.diagnosis is not None), None)
    return Check(
        levels,
        checks[0].variables,
        means,
        covariances,
        tuple(notes),
        pairs,
        diagnosis=diagnosis,
        spectra=checks[0].spectra,
        simulator=checks[0].simulator,
    )


def _told(progress: Callable[[str], None], number: int, words: str) -> None:
    progress(f"programming {number}: {words}")


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


def _merged_corners(
    checks: list[Check],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Means and covariances of merged samples, for the corners that every programming has."""
    means: dict[str, NDArray[np.float64]] = {}
    covariances: dict[str, NDArray[np.float64]] = {}
    for name in checks[0].covariances:
        if not all(name in found.covariances for found in checks):
            continue
        covariances[name] = np.mean([found.covariances[name] for found in checks], axis=0)
        if all(name in found.means for found in checks):
            each = np.array([found.means[name] for found in checks])
            means[name] = each.mean(axis=0)
            covariances[name] = covariances[name] + np.cov(each.T, bias=True).reshape(covariances[name].shape)
    return means, covariances


def _chosen(levels: Sequence[str] | None, judged: bool) -> list[str]:
    """The levels to run, in order; of an edited netlist that is judged by its accuracy only those that judge it."""
    if levels is None:
        levels = ("ideal", "answer") if judged else LEVELS
    for level in levels:
        if level not in LEVELS:
            raise UsageError(f"no level {level!r}; {suggest(level, LEVELS)}")
    return [level for level in LEVELS if level in levels]


def _check(
    context: Context,
    path: Path | None,
    chosen: list[str],
    progress: Callable[[str], None] | None,
    problem: QuadraticProblem | None,
    edited: Path | None = None,
) -> Check:
    notes: list[str] = []
    original, path = path, edited or path
    fault: Level | None = None
    if path is None:
        fault = Level("", "error", "there is no device.cir beside the device", exit_status=2)
    elif any(level != "ideal" for level in chosen):
        try:
            context.deck = read_deck(
                path, include_outside=context.include_outside, ignore_control=context.ignore_control
            )
            conserved = not isinstance(context, nonlinear.NetworkContext) and context.from_zero
            context.deck, starts = without_starts(context.deck, conserved)
            notes += [starts] if starts else []
            if context.read is not None:
                context.fixture = fit(context.deck, context.read, context.law, context.timing, context.seed)
                context.deck = context.fixture.deck
                notes += context.fixture.notes
        except (DeckError, InputError) as error:
            if edited is not None:
                raise
            fault = Level("", "error", str(error), exit_status=2)
        else:
            notes += _stale(context, context.deck)
            fault = _lacking(context, context.deck)
            if edited is not None:
                _refuse_lost_cells(context, context.deck)
            if "answer" in chosen and not isinstance(context, nonlinear.NetworkContext):
                context.edited = _read_again(context, path, None if edited is None else original, edited is None)
            if edited is not None and context.edited is not None and context.edited.why:
                notes.append(f"only {context.simulator.name} reads {edited}: {context.edited.why}")
    if progress is not None:
        context.progress = progress
    context.require()  # an invalid device is an error of the whole check, not of one level
    found: dict[str, Level] = {}
    for name in chosen:
        started = time.perf_counter()
        context.progress(name)
        # A deck that lacks something is no less a deck whose answer one may ask for.
        if fault is not None and name != "ideal" and not (name == "answer" and fault.verdict == "fail"):
            level = replace(fault, name=name)
        else:
            level = _run(name, context)
        found[name] = replace(level, seconds=time.perf_counter() - started)
    diagnosis = None
    if any(level.verdict == "fail" for level in found.values()):
        context.progress("diagnosis")
        lacking = fault.data.get("missing_sources", []) if fault is not None else []
        diagnosis = without_source(lacking[0]) if len(lacking) == 1 else diagnose(context)
    if isinstance(context, nonlinear.NetworkContext):
        corners_ = context.corners()
        name = context.simulator.name
        return Check(found, context.variables, *corners_, tuple(notes), diagnosis=diagnosis, simulator=name)
    return Check(
        found,
        context.law.sde.readout.variables,
        *_corners(context),
        notes=tuple(notes),
        corners=corners(context, found, problem),
        changes=context.changes,
        diagnosis=diagnosis,
        spectra=spectra(context),
        simulator=context.simulator.name,
    )


def _read_again(context: Context, path: Path, original: Path | None, own: bool) -> Edited | None:
    """A netlist as the emulator reads it, with the readout of the device; None of one that is the circuit itself."""
    assert context.deck is not None
    if own and context.choices is not None:
        return None
    before = None if original is None else read_deck(original)
    choices = context.choices or Choices()

    def circuit(heard: str = "") -> Circuit:
        read = read_netlist(
            path,
            probes=[f"{name}={cell_node(name)}" for name in context.circuit.probes],
            silent=choices.silent,
            densities=choices.densities,
            max_instances=max(MAX_INSTANCES, 2 * netlist_size(context.circuit)),
            include_outside=context.include_outside,
            ignore_control=context.ignore_control,
            at_start=True,
            heard=heard,
        )
        return replace(read.circuit, readout=context.circuit.readout)

    def apart() -> tuple[Circuit, ...]:
        try:
            return circuit("noise"), circuit("tran")
        except SpuError:
            return ()

    found, why = None, ""
    try:
        found = circuit()
    except SpuError as refusal:
        why = str(refusal)
    return Edited(found, why, before, own, moving_lines(context.deck), apart)


def _run(name: str, context: Context) -> Level:
    try:
        if isinstance(context, nonlinear.NetworkContext):
            context.simulator.require(*nonlinear.NEEDS.get(name, ()))
            return nonlinear.LEVELS[name](context)
        context.simulator.require(*_NEEDS.get(name, ()))
        return _RUN[name](context)
    except NotServed as reason:
        return Level(name, "skipped", str(reason))
    except NgspiceMissing as error:
        return Level(name, "error", str(error), exit_status=error.exit_status, data={"kind": error.kind})
    except (NgspiceFailed, DeckError) as error:
        return Level(name, "error", str(error), exit_status=2, data={"kind": error.kind})


def _stale(context: Context, deck: Deck) -> list[str]:
    if deck.device_hash is not None and deck.device_hash != context.circuit.hash:
        return [
            f"{Path(deck.file).name} was written for another device ({deck.device_hash}) than device.json holds "
            f"({context.circuit.hash}): one of the two was changed"
        ]
    return []


def _refuse_lost_cells(context: Context, deck: Deck) -> None:
    """Refuse an edited deck that has no node for one of the cells: their voltages are what is compared."""
    words = {word for line in deck.top_level().values() for word in line.words}
    nodes = [cell_node(name) for name in context.circuit.probes]
    lost = [node for node in nodes if node.lower() not in words]
    if lost:
        every = " (nor any other cell's: is it a netlist of this device?)" if lost == nodes else ""
        raise InputError(
            f"there is no node {', '.join(lost[:4])}{every}; check reads the cells there, so keep these names",
            file=deck.file,
        )


def _lacking(context: Context, deck: Deck) -> Level | None:
    """A deck without one of the device's noise sources is another circuit, whatever the rest says."""
    there = deck.top_level()
    missing = [element for element in context.elements if element not in there]
    if missing:
        return Level(
            "", "fail", f"the deck lacks the noise source {', '.join(missing[:4])}", data={"missing_sources": missing}
        )
    for element in context.elements:
        # Their nodes become words of ngspice's command language, which knows redirection and shell commands.
        words = there[element].words
        if len(words) < 4 or not all(re.fullmatch(r"[a-z0-9_.]+", node) for node in words[1:3]):
            where = f"{deck.file}:{there[element].number}"
            return Level("", "error", f"{where}: {element} needs two plain nodes and a value", exit_status=2)
    return None


def _corners(context: Context) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Means and covariances in problem units: ideal, emulator, simulator."""
    readout = context.law.sde.readout
    means: dict[str, NDArray[np.float64]] = {}
    covariances: dict[str, NDArray[np.float64]] = {}
    if context.problem is not None:
        means["ideal"] = context.problem.target_mean
        covariances["ideal"] = np.asarray(context.problem.target_covariance)

    def add(name: str, mean: NDArray[np.float64] | None, covariance: NDArray[np.float64] | None) -> None:
        if mean is not None:
            means[name] = readout.matrix @ mean + readout.offset
        if covariance is not None:
            covariances[name] = readout.matrix @ covariance @ readout.matrix.T

    add("emulator", context.law.voltage_mean, context.law.voltage_covariance)
    # The exact levels (op, ac) and the sampled one are two corners: the latter scatters.
    simulator = context.simulator.name
    add(simulator, context.means.get("op"), context.covariances.get("ac"))
    add(f"{simulator} transient", context.means.get("transient"), context.covariances.get("transient"))
    return means, covariances
