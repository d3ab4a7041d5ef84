"""What is checked: the circuits of a subject, and the netlist that each is checked with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from spu.base.errors import CircuitError, DeckError, InputError, OptionError, SpuError, UsageError
from spu.base.files import plain, write_text
from spu.circuit.circuit import Circuit
from spu.compiler import COMPILATION
from spu.compiler.linear_compilation import LinearCompilation, predicted, statistics_of
from spu.compiler.polynomial import NetworkCompilation
from spu.crosscheck.context import Context
from spu.crosscheck.decks.matched import matched
from spu.crosscheck.decks.renamed import renamed
from spu.crosscheck.decks.taps import fit, only_tapped, without_starts
from spu.crosscheck.result import Level
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.subject import Subject, opened, subject_of
from spu.folder import Folder, dialects_present
from spu.folder.names import deck_name
from spu.problems.problem import Problem
from spu.spice.deck import Deck
from spu.spice.dialects import DIALECTS, NGSPICE
from spu.spice.languages import read_in
from spu.spice.names import cell_node, probe_vectors, probed_nodes
from spu.spice.netlist import netlist as written
from spu.spice.reader import ReadNetlist, read_netlist


@dataclass(frozen=True, eq=False)
class Gathered:
    """The programmings of a subject, each with its own netlist where there is one.

    Attributes
    ----------
    contexts, netlists:
        One a programming.
    notes:
        What the reader should know of all.
    anew:
        The same where these netlists are run.
    """

    contexts: list[Context]
    netlists: list[Path | None]
    notes: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()


def gathered(
    subject: Subject, settings: dict[str, Any], scratch: Path, others: frozenset[str] = frozenset()
) -> Gathered:
    """What a subject has to check.

    Parameters
    ----------
    subject:
        As `spu.check` takes it.
    settings:
        Of every `Context`.
    scratch:
        Folder for the netlists of what has none yet.
    others:
        Languages whose netlists other simulators run.

    Raises
    ------
    UsageError
        Of a bare circuit, and of whatever else is no subject.
    """
    held = opened(subject)
    if isinstance(held, ReadNetlist):
        held = Folder(held.path, None, held.circuit, None, None, held.path, read=held)
    if isinstance(held, Folder):
        return _of_folder(held, settings, scratch, others)
    device = subject_of(held)
    if isinstance(device, Circuit):
        raise UsageError(
            "a bare circuit has no netlist to be run: pass the device, or the netlist that was read, "
            "spu.read_netlist(path)"
        )
    contexts, netlists = [], []
    settings = {**settings, "compiled": _promised(device)}
    for k, member in enumerate(device.members()):
        netlists.append(_written(member, k, settings, scratch))
        contexts.append(_context(member, device.problem, settings))
    return Gathered(contexts, list(netlists))


def _promised(device: Device) -> dict[str, Any] | None:
    """What the compiler predicted of a device that nobody has changed since, as a folder has it."""
    made = device.kept.get(COMPILATION)
    if isinstance(made, NetworkCompilation):
        return cast("dict[str, Any]", plain(made.decided()))
    if isinstance(made, LinearCompilation) and isinstance(made.prediction.covariance, np.ndarray):
        return {**predicted(made.prediction), "statistics": statistics_of(made.prediction)}
    return None


def _written(member: Device, number: int, settings: dict[str, Any], scratch: Path) -> Path:
    """The netlist of a programming in the simulator's language, written to a file."""
    dialect = DIALECTS[settings["simulator"].dialect]
    path = scratch / deck_name(number, dialect.ending)
    write_text(path, written(member, seed=settings["seed"], dialect=dialect.name))
    return path


def _of_folder(folder: Folder, settings: dict[str, Any], scratch: Path, looked: frozenset[str]) -> Gathered:
    read, simulator = folder.read, settings["simulator"]
    dialect = DIALECTS[simulator.dialect]
    if read is not None and dialect is not NGSPICE:
        raise UsageError(
            f"{folder.path} is ngspice's language, as netlists from elsewhere are, and the simulator {simulator.name} "
            f"takes {dialect.name}'s"
        )
    more = {
        "compiled": folder.compiled,
        "read": None if read is None or read.conventional else read,
        "choices": None if read is None else read.choices,
    }
    members = folder.subject.members()
    decks = [folder.netlist, *folder.further, *[None] * len(members)][: len(members)]
    contexts = [_context(member, folder.posed, {**settings, **more}) for member in members]
    notes, said = [], []
    if dialect is not NGSPICE:
        there = [folder.path.parent / deck_name(k, dialect.ending) for k in range(len(members))]
        decks = [
            path if path.is_file() else _written(cast(Device, member), k, settings, scratch)
            for k, (path, member) in enumerate(zip(there, members, strict=True))
        ]
        anew = [path.name for path, deck in zip(there, decks, strict=True) if path != deck]
        if anew:
            said.append(
                f"there is no {', '.join(anew[:4])} in the folder: it was written anew from the device, and run"
            )
    others = [name for name in dialects_present(folder.path.parent) if name not in {"ngspice", dialect.name, *looked}]
    if read is None and others:
        notes.append(f"the netlists for {', '.join(others)} were not looked at: spu export writes them anew")
    return Gathered(contexts, decks, tuple(notes), tuple(said))


def _context(member: Device | Circuit, problem: Problem | None, settings: dict[str, Any]) -> Context:
    device = member if isinstance(member, Device) else None
    circuit = member if isinstance(member, Circuit) else lower(member)
    return Context(circuit, problem, **{"compiled": None, "deck": None, **settings}, device=device)


def edited_file(
    netlist: str | Path | None, of: Gathered, scratch: Path, nodes: Mapping[str, str] | None = None
) -> Path | None:
    """The netlist that is to be run in place of the device's own, refused where it cannot stand for it.

    One whose cells are called otherwise, as KiCad does or ``nodes`` says, is copied to ``scratch`` under their names.
    """
    if netlist is None:
        if nodes:
            raise OptionError("map", "is of an edited netlist: give it as netlist")
        return None
    contexts = of.contexts
    if len(contexts) > 1:
        raise UsageError(
            f"an ensemble has {len(contexts)} netlists, one a programming, and an edited one cannot stand for all: "
            "edit device.cir, device.2.cir... in the folder itself, and check that"
        )
    if Path(netlist).is_dir():
        raise InputError("is a folder; the netlist in it is meant, such as device.cir", file=netlist)
    if not Path(netlist).is_file():
        raise InputError("there is no such netlist", file=netlist)
    device, dialect = contexts[0].device, contexts[0].simulator.dialect
    if device is None or dialect != NGSPICE.name:
        if nodes:
            raise OptionError("map", f"names cells of a device in a netlist for {NGSPICE.name}, and of nothing else")
        return Path(netlist)
    path, notes = renamed(
        Path(netlist),
        list(device.cell_names),
        nodes,
        scratch,
        include_outside=contexts[0].include_outside,
        ignore_control=contexts[0].ignore_control,
    )
    contexts[0].notes += notes
    contexts[0].copied = None if path == Path(netlist) else Path(netlist)
    return path


def take_netlist(context: Context, path: Path | None, edited: Path | None) -> Level | None:
    """Give a context its deck, and what is added to it.

    Parameters
    ----------
    path:
        The device's own netlist.
    edited:
        What is run in its place.

    Returns
    -------
    What to say at every level that needs a deck; None where all is well.

    Raises
    ------
    InputError, DeckError
        If an edited netlist cannot be read, may not be, or lacks the node of a cell. What is wrong with the device's
        own is said at every level.
    """
    chosen = edited or path
    if chosen is None:
        words = "there is no device.cir beside the device: spu export -o device.cir writes it, --netlist names another"
        return Level("", "error", words, exit_status=2)
    try:
        deck = read_in(
            context.simulator.dialect,
            chosen,
            include_outside=context.include_outside,
            ignore_control=context.ignore_control,
        )
        if context.circuit.start is not None:
            context.starts = tuple(line for line in deck.lines if line.words[0] == ".ic")
            deck = replace(deck, lines=tuple(line for line in deck.lines if line not in context.starts))
        deck, starts = without_starts(deck, context.from_zero)
        context.notes += [starts] if starts else []
        context.deck, other = deck, ""
        if edited is not None:
            _refuse_lost_cells(context, deck)
        if context.read is not None:
            read, other = (context.read, "") if edited is None else _edited_read(context, edited)
            if read is None:
                context.fixture = only_tapped(deck, context.read)
            else:
                context.fixture = fit(deck, read, context.any_law, context.timing, context.seed)
            context.deck = context.fixture.deck
            context.notes += context.fixture.notes
    except (DeckError, InputError) as error:
        if edited is not None:
            raise
        return Level("", "error", str(error), exit_status=2)
    if edited is not None:
        original = None if path is None else read_in(context.simulator.dialect, path)
        context.own, context.original = False, original
    context.notes += _stale(context, context.deck)
    fault = Level("", "skipped", other) if other else _lacking(context, context.deck)
    if fault is not None and fault.verdict == "skipped" and context.read is None:
        assert edited is not None
        return _drawn(context, edited, fault)
    return fault


def _drawn(context: Context, edited: Path, fault: Level) -> Level | None:
    """Drive the noise sources that an edited netlist has in place of the device's; what to say where that cannot be."""
    nodes = probed_nodes(context.circuit)
    try:
        read = read_netlist(
            edited,
            probes=[f"{name}={node}" for name, node in zip(context.circuit.probes, nodes, strict=True)],
            include_outside=context.include_outside,
            ignore_control=context.ignore_control,
        )
    except SpuError:
        return fault
    same = matched(context.circuit, read)
    assert context.deck is not None
    context.fixture = fit(context.deck, read if same is None else same, context.any_law, context.timing, context.seed)
    for name in ("vectors", "elements", "resistors"):
        vars(context).pop(name, None)  # those of the device's own netlist
    if same is None:
        return fault
    context.deck = context.fixture.deck
    context.notes += context.fixture.notes
    return _lacking(context, context.deck)


def _edited_read(context: Context, edited: Path) -> tuple[ReadNetlist | None, str]:
    """An edited netlist from elsewhere, read as the one that was imported; or None, and why not all levels run it.

    Raises
    ------
    InputError
        If what is read out, or what a choice names, is not there.
    """
    assert context.read is not None
    choices = context.read.choices
    probes = [f"{probe.name}={probe.plus},{probe.minus}" for probe in context.read.probes]
    try:
        found = read_netlist(
            edited,
            probes=probes,
            silent=choices.silent,
            densities=choices.densities,
            max_instances=choices.max_instances,
            include_outside=context.include_outside,
            ignore_control=context.ignore_control,
        )
    except (DeckError, CircuitError) as refusal:
        return None, f"compares with the netlist that was imported, and the edited one is not read like it: {refusal}"
    names = [{source.name for source in read.circuit.sources} for read in (context.read, found)]
    if names[0] != names[1]:
        apart = ", ".join(sorted(names[0] ^ names[1])[:3])
        return None, f"drives the noise sources of the imported netlist, which the edited one has not alike: {apart}"
    return found, ""


def _stale(context: Context, deck: Deck) -> list[str]:
    if context.device is None:  # the netlist itself is what is checked, whatever it was written for
        return []
    if deck.device_hash is not None and deck.device_hash != context.circuit.hash:
        return [
            f"{Path(deck.file).name} was written for another device ({deck.device_hash}) than device.json holds "
            f"({context.circuit.hash}): one of the two was changed"
        ]
    return []


def _refuse_lost_cells(context: Context, deck: Deck) -> None:
    """Refuse an edited deck that has no node for one of the cells: their voltages are what is compared."""
    there = deck.top_level()
    words = {word for line in there.values() for word in line.words}
    if context.read is None:
        nodes = [cell_node(name) for name in context.circuit.probes]
    else:
        ends = (node for probe in context.read.probes for node in (probe.plus, probe.minus))
        nodes = [node for node in ends if node != "0" and "." not in node]
    lost = [node for node in nodes if node.lower() not in words]
    if lost:
        every = " (nor any other cell's: is it a netlist of this device?)" if lost == nodes else ""
        raise InputError(
            f"there is no node {', '.join(lost[:4])}{every}; check reads the cells there, so keep these names",
            file=deck.file,
        )
    inside = [vector.partition(".")[0] for vector in probe_vectors(context.circuit) if "." in vector]
    gone = [instance for instance in inside if instance not in there]
    if gone:
        raise InputError(
            f"there is no instance {', '.join(gone[:4])}; check reads a voltage inside it, so keep these names",
            file=deck.file,
        )


def _lacking(context: Context, deck: Deck) -> Level | None:
    """A deck without one of the device's noise sources is another circuit, whatever the rest says."""
    there = deck.top_level()
    missing = [element for element in context.elements if element not in there]
    others = [line.words[0] for line in there.values() if re.search(r"\btr(noise|random)\b", line.text.lower())]
    if len(missing) == len(context.elements) and others and not context.own:
        return Level(
            "",
            "skipped",
            f"drives the device's noise sources, {missing[0]} and so on, and this netlist makes noise by others of its "
            f"own, {others[0]} and so on: spu import takes it as it is, and spu check what that wrote",
        )
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
