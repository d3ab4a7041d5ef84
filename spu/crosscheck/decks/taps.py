"""What a netlist from elsewhere needs to be checked: taps at its readouts, unit sources for its noise.

All lines are added at top level, where ngspice takes flattened names (``x1.n2``): a controlled source copies each
readout to a node of its own; for each noise source of the circuit there is a voltage source, as in our own
netlists, and a controlled source that makes a resistor's noise current of it. Where a source of the netlist makes the
noise, the line of that source is replaced, in whichever subcircuit it stands, by a controlled source at the same
nodes, whose control is a node that the added lines drive; each expansion of the subcircuit has its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spu.base.constants import BOLTZMANN, ROOM_TEMPERATURE, UNIT_NOISE_DENSITY
from spu.circuit.circuit import Origin
from spu.circuit.elements import VoltageSource
from spu.emulator.laws.law import Law
from spu.emulator.laws.timing import Timing
from spu.spice.deck import Deck
from spu.spice.dialects.dialect import number
from spu.spice.reader import ReadNetlist
from spu.spice.reader.lines import Line
from spu.spice.reader.noise import Waving, plain_path
from spu.spice.reader.readout import Probe
from spu.spice.settings import tolerances

_ADDED = "lines added by the check"


@dataclass(frozen=True)
class Stated:
    """An independent source, as ngspice names it, its waveform, and the unit source's gain into it."""

    element: str
    kind: str
    gain: float


@dataclass(frozen=True, eq=False)
class Fixture:
    """A netlist with what a check adds to it.

    Attributes
    ----------
    deck:
        With taps, unit noise sources, and what they drive.
    bare:
        As it lies on disk.
    tapped:
        With taps only: its sources are its own.
    audible:
        As ``deck``, but that ``.noise`` hears the unit sources that no resistor of the netlist stands for.
    vectors, elements:
        Nodes of the taps; names of the unit noise sources.
    resistors:
        For each noise source the resistor that makes it in ``.noise``, ``x1.r1``; empty for none.
    silenced:
        Other resistors, whose noise does not count.
    stated:
        For each noise source that ``.noise`` is deaf to, the source that says how strong it is; None for the others.
    notes:
        What the user should know of it.
    """

    deck: Deck
    bare: Deck
    tapped: Deck
    audible: Deck
    vectors: tuple[str, ...]
    elements: tuple[str, ...]
    resistors: tuple[str, ...]
    silenced: frozenset[str]
    stated: tuple[Stated | None, ...]
    notes: tuple[str, ...] = ()


def fit(deck: Deck, read: ReadNetlist, law: Law, times: Timing, seed: int) -> Fixture:
    """Fit out a netlist.

    Parameters
    ----------
    deck:
        As it lies on disk.
    read:
        How it was read.
    law, times:
        Of its circuit: sample times and tolerances of transients follow from them.
    seed:
        Of the unit noise sources.
    """
    prefix = free_prefix(deck)
    taps = [f"{prefix}_tap{k}" for k in range(len(read.probes))]
    tap_lines = _taps(taps, read.probes)
    known = [source.origin for source in read.circuit.sources if source.origin is not None]
    nodes = [f"{prefix}_noise{k}" for k in range(len(known))]
    added = [*tap_lines, *_options(law, times, seed)]
    for k, origin in enumerate(known):
        if not origin.element:
            added.append(f"g{prefix}_r{k} {' '.join(origin.nodes)} {nodes[k]} 0 {number(origin.gain)}")
    controlled = {origin.element: (nodes[k], origin.gain) for k, origin in enumerate(known) if origin.element}
    added += _drives(read.waving, controlled, prefix)
    replaced = {_key(waving.element.statement.line): _replacement(waving, prefix) for waving in read.waving}
    fitted: list[Line] = []
    for line in deck.lines:
        texts = replaced.get(_key(line))
        fitted += [line] if texts is None else [replace(line, text=text) for text in texts]
    fitted_deck = _with(replace(deck, lines=tuple(fitted)), added)
    deaf = [not origin.resistor for origin in known]
    flat = {waving.name: waving.flat for waving in read.waving}
    return Fixture(
        deck=_with(fitted_deck, _units(nodes, times)),
        bare=deck,
        audible=_with(fitted_deck, _audible(nodes, deaf, read.circuit.temperature)),
        tapped=_with(deck, tap_lines),
        vectors=tuple(taps),
        elements=tuple(f"v{node}" for node in nodes),
        resistors=tuple(origin.resistor for origin in known),
        silenced=frozenset(plain_path(name) for name in read.choices.silent),
        stated=tuple(
            _stated(origin, row.kind, flat.get(origin.element, ""))
            for origin, row in zip(known, read.noise, strict=True)
        ),
        notes=_notes(known),
    )


def without_starts(deck: Deck, from_zero: bool) -> tuple[Deck, str]:
    """A deck whose transients begin at the operating point, or at zero (``uic``), whatever it says; and what it says.

    Where a transient begins, the stationary law forgets.
    """
    lines, said = [], []
    for line in deck.lines:
        first = line.words[0]
        if first in (".ic", ".nodeset"):
            said.append(f"{first} (line {line.number})")
            continue
        if from_zero and first[0] in "cl" and _START.search(line.text):
            said.append(f"ic= of {first}")
            line = replace(line, text=_START.sub("", line.text))
        lines.append(line)
    if not said:
        return deck, ""
    named = ", ".join(said[:4]) + (f" and {len(said) - 4} more" if len(said) > 4 else "")
    return replace(deck, lines=tuple(lines)), f"left out: {named}; where a transient begins, a stationary law forgets"


_START = re.compile(r"\bic\s*=\s*(\{[^}]*\}|'[^']*'|\S+)", re.IGNORECASE)


def _notes(origins: Sequence[Origin]) -> tuple[str, ...]:
    own = [origin.element for origin in origins if origin.element]
    if not own:
        return ()
    named = ", ".join(own[:4]) + (f" and {len(own) - 4} more" if len(own) > 4 else "")
    return (f"levels ac, replay and noise have sources of their own in place of {named}, of the density these declare",)


def _key(line: Line) -> tuple[str, int]:
    return line.file, line.number


def _with(deck: Deck, added: Sequence[str]) -> Deck:
    return replace(deck, lines=(*deck.lines, *(Line(text, 0, _ADDED) for text in added)))


def free_prefix(deck: Deck) -> str:
    """Letters with which no name of the deck begins."""
    text = "\n".join(line.text.lower() for line in deck.lines)
    prefix = "spu"
    while f"{prefix}_" in text:
        prefix += "x"
    return prefix


def _options(law: Law, times: Timing, seed: int) -> list[str]:
    """Tolerances below the signals; the temperature stays the deck's own."""
    chosen = tolerances(ROOM_TEMPERATURE, law, times, seed)
    options = (
        f".options seed={chosen.seed} method={chosen.method} reltol=1e-4 vntol={chosen.voltage:.0e} "
        f"abstol={chosen.current:.0e} chgtol={chosen.charge:.0e}"
    )
    return [options, *([".options noopac"] if law.sde.conserved else [])]


def _units(nodes: Sequence[str], times: Timing) -> list[str]:
    """Sampled and held as in our own netlists."""
    interval = times.sample_time
    rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * interval)
    wave = f"dc 0 trrandom(2 {number(interval)} 0 {number(rms)} 0)"
    return [f"v{node} {node} 0 {wave}" for node in nodes]


def _audible(nodes: Sequence[str], deaf: Sequence[bool], kelvin: float) -> list[str]:
    """Silent unit sources, and in front of those that ``.noise`` would be deaf to a resistor of their density."""
    lines = []
    for node, alone in zip(nodes, deaf, strict=True):
        if alone and kelvin > 0:
            resistance = UNIT_NOISE_DENSITY**2 / (4.0 * BOLTZMANN * kelvin)
            lines += [f"v{node} {node}_q 0 dc 0", f"r{node} {node}_q {node} {number(resistance)}"]
        else:
            lines.append(f"v{node} {node} 0 dc 0")
    return lines


def only_tapped(deck: Deck, read: ReadNetlist) -> Fixture:
    """Taps alone, where ``read`` is, on a netlist of which no more is known."""
    tapped, taps = with_taps(deck, read.probes)
    silenced = frozenset(plain_path(name) for name in read.choices.silent)
    return Fixture(tapped, deck, tapped, tapped, taps, (), (), silenced, ())


def with_taps(deck: Deck, probes: Sequence[Probe]) -> tuple[Deck, tuple[str, ...]]:
    """A netlist with a node for each voltage that is read out, and the names of these nodes."""
    prefix = free_prefix(deck)
    taps = tuple(f"{prefix}_tap{k}" for k in range(len(probes)))
    return _with(deck, _taps(taps, probes)), taps


def _taps(taps: Sequence[str], probes: Sequence[Probe]) -> list[str]:
    return [f"e{tap} {tap} 0 {probe.plus} {probe.minus} 1" for tap, probe in zip(taps, probes, strict=True)]


def _replacement(waving: Waving, prefix: str) -> list[str]:
    """A controlled source; one of voltage in series with the source itself, without a voltage: others may sense it."""
    element = waving.element
    p, n = element.nodes[:2]
    control = f"{prefix}_{element.name}"
    if element.kind is not VoltageSource:
        return [f"g{control} {p} {n} {control} 0 1"]
    return [f"e{control} {p} {control}_mid {control} 0 1", f"{element.name} {control}_mid {n} 0"]


def _drives(waving: Sequence[Waving], controlled: dict[str, tuple[str, float]], prefix: str) -> list[str]:
    """For each replaced source, what stands in for it: its constant value, and the noise if it makes any."""
    lines = []
    for k, source in enumerate(waving):
        node = f"{prefix}_{source.element.name}"
        node = f"{source.path}.{node}" if source.path else node
        if source.name not in controlled:
            lines.append(f"v{prefix}_dc{k} {node} 0 {number(source.element.value)}")
            continue
        noise, gain = controlled[source.name]
        lines.append(f"v{prefix}_dc{k} {prefix}_dc{k} 0 {number(source.element.value)}")
        lines.append(f"e{prefix}_drive{k} {node} {prefix}_dc{k} {noise} 0 {number(gain)}")
    return lines


def _stated(origin: Origin, kind: str, flat: str) -> Stated | None:
    # The name becomes a word of ngspice's command language, which knows redirection and shell commands.
    if origin.resistor or not origin.stated or not re.fullmatch(r"[a-z0-9_.]+", flat):
        return None
    return Stated(flat, kind, origin.gain)
