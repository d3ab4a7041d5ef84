"""What is checked: the circuits of a subject, and the netlist that each is checked with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from spu.base.errors import DeckError, InputError, UsageError
from spu.base.files import plain, write_text
from spu.circuit.circuit import Circuit
from spu.compiler import COMPILATION
from spu.compiler.linear_compilation import LinearCompilation, predicted, statistics_of
from spu.compiler.polynomial import NetworkCompilation
from spu.crosscheck.context import Context
from spu.crosscheck.decks.taps import fit, without_starts
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
from spu.spice.names import cell_node
from spu.spice.netlist import netlist as written
from spu.spice.reader import ReadNetlist


@dataclass(frozen=True, eq=False)
class Gathered:
    """The programmings of a subject, each with its own netlist where there is one.

    Attributes
    ----------
    contexts, netlists:
        One a programming.
    notes:
        What the reader should know of all.
    """

    contexts: list[Context]
    netlists: list[Path | None]
    notes: tuple[str, ...] = ()


def gathered(subject: Subject, settings: dict[str, Any], scratch: Path) -> Gathered:
    """What a subject has to check.

    Parameters
    ----------
    subject:
        As `spu.check` takes it.
    settings:
        Of every `Context`.
    scratch:
        Folder for the netlists of what has none yet.

    Raises
    ------
    UsageError
        Of a bare circuit, and of whatever else is no subject.
    """
    held = opened(subject)
    if isinstance(held, ReadNetlist):
        held = Folder(held.path, None, held.circuit, None, None, held.path, read=held)
    if isinstance(held, Folder):
        return _of_folder(held, settings, scratch)
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


def _of_folder(folder: Folder, settings: dict[str, Any], scratch: Path) -> Gathered:
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
    notes = []
    if dialect is not NGSPICE:
        there = [folder.path.parent / deck_name(k, dialect.ending) for k in range(len(members))]
        decks = [
            path if path.is_file() else _written(cast(Device, member), k, settings, scratch)
            for k, (path, member) in enumerate(zip(there, members, strict=True))
        ]
        anew = [path.name for path, deck in zip(there, decks, strict=True) if path != deck]
        if anew:
            notes.append(
                f"there is no {', '.join(anew[:4])} in the folder: it was written anew from the device, and run"
            )
    others = [name for name in dialects_present(folder.path.parent) if name not in ("ngspice", dialect.name)]
    if read is None and others:
        notes.append(f"the netlists for {', '.join(others)} were not looked at: spu export writes them anew")
    return Gathered(contexts, decks, tuple(notes))


def _context(member: Device | Circuit, problem: Problem | None, settings: dict[str, Any]) -> Context:
    device = member if isinstance(member, Device) else None
    circuit = member if isinstance(member, Circuit) else lower(member)
    return Context(circuit, problem, **{"compiled": None, "deck": None, **settings}, device=device)


def edited_file(netlist: str | Path | None, of: Gathered) -> Path | None:
    """The netlist that is to be run in place of the device's own, refused where it cannot stand for it."""
    if netlist is None:
        return None
    contexts = of.contexts
    if contexts[0].read is not None:
        raise UsageError(
            f"{of.netlists[0]} is itself a netlist from elsewhere: import the edited one, too, and check each by itself"
        )
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
        return Level("", "error", "there is no device.cir beside the device", exit_status=2)
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
        context.deck = deck
        if context.read is not None:
            context.fixture = fit(deck, context.read, context.any_law, context.timing, context.seed)
            context.deck = context.fixture.deck
            context.notes += context.fixture.notes
    except (DeckError, InputError) as error:
        if edited is not None:
            raise
        return Level("", "error", str(error), exit_status=2)
    if edited is not None:
        _refuse_lost_cells(context, context.deck)
        original = None if path is None else read_in(context.simulator.dialect, path)
        context.own, context.original = False, original
    context.notes += _stale(context, context.deck)
    return _lacking(context, context.deck)


def _stale(context: Context, deck: Deck) -> list[str]:
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
    nodes = [cell_node(name) for name in context.circuit.probes]
    lost = [node for node in nodes if node.lower() not in words]
    if lost:
        every = " (nor any other cell's: is it a netlist of this device?)" if lost == nodes else ""
        raise InputError(
            f"there is no node {', '.join(lost[:4])}{every}; check reads the cells there, so keep these names",
            file=deck.file,
        )
    inside = [vector.partition(".")[0] for vector in context.vectors if "." in vector]
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
