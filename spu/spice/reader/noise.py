"""What is noise in a netlist: thermal noise, random sources, and both forms of one noise counted once.

ngspice hears a resistor in ``.noise`` only and a random source in ``.tran`` only. A deck that means one
noise in both analyses holds it twice, as our own netlists do:

- *injected*: a voltage source ``trrandom`` behind a resistor of the same density, on a node that nothing loads;
- *thermal*: a resistor, and beside it a transconductor that repeats its noise from such a node.

They are recognised by what they are connected to and by their values (to 1e-5), not by their names.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from spu.base.constants import BOLTZMANN, GROUND, UNIT_NOISE_DENSITY
from spu.base.errors import DeckError, InputError
from spu.base.names import shorten
from spu.circuit.circuit import NoiseSource, Origin
from spu.circuit.elements import (
    CurrentSource,
    NoiseCurrent,
    NoiseVoltage,
    Resistor,
    Transconductor,
    VoltageControlledVoltageSource,
    VoltageSource,
)
from spu.spice.reader.elaborate import Elaborated, Expansion
from spu.spice.reader.placed import Placed, Wave
from spu.spice.reader.statements import Definition

SAME = 1e-5
"""Relative difference of densities up to which two forms are one noise (ngspice's k is 3.5e-7 off)."""


@dataclass(frozen=True)
class NoiseRow:
    """One noise source of a netlist, for the table.

    Attributes
    ----------
    name:
        ``x1.r1``; for a noise on a node of its own, that node.
    kind:
        ``thermal``, ``trrandom``, ``trnoise`` or ``density`` (given by an option).
    density:
        One-sided.
    unit:
        ``A^2/Hz`` or ``V^2/Hz``.
    into:
        Where it acts, in words.
    hold:
        s from one of its samples to the next in ``.tran``; 0 where ``.tran`` does not hear it.
    """

    name: str
    kind: str
    density: float
    unit: str
    into: str
    hold: float = 0.0


@dataclass(frozen=True)
class Waving:
    """An independent source, in one expansion, whose line says more than a constant value; or was given a density.

    Attributes
    ----------
    name, path:
        ``x1.v1``, and ``x1`` in front of it.
    flat:
        Its name in ngspice's flattened netlist, ``v.x1.v1``; empty where that is not known.
    element:
        With its line, local nodes, and the constant value (V or A) that is left without the waveform.
    """

    name: str
    path: str
    flat: str
    element: Placed


@dataclass(eq=False)
class Noisy:
    """The elements of an elaborated deck with their noise.

    Attributes
    ----------
    elements:
        For each expansion, elements and the (local name, number) of the noise source that drives each, or None.
    sources, table:
        The sources, and what to say of them.
    removed:
        Nodes that only carried noise and are sources now.
    waving:
        The sources that do not hold still in ``.tran`` or in ``.ac``, silent ones too.
    notes:
        What the user should know.
    """

    elements: list[list[tuple[Placed, tuple[str, int] | None]]] = field(default_factory=list)
    sources: list[NoiseSource] = field(default_factory=list)
    table: list[NoiseRow] = field(default_factory=list)
    waving: list[Waving] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_noise(
    deck: Elaborated,
    silent: Sequence[str],
    densities: Mapping[str, float],
    *,
    at_start: bool = False,
    heard: str = "",
) -> Noisy:
    """Find the noise of a deck.

    Parameters
    ----------
    deck:
        Expanded.
    silent:
        Resistors and sources that are to make none.
    densities:
        Densities of sources that stand for white noise.
    at_start:
        Take sources with waveforms as they are at the start.
    heard:
        ``noise`` or ``tran``: only what that analysis hears; else both.

    Raises
    ------
    InputError
        If an option names what is not there or makes no noise.
    DeckError
        If the two forms of one noise disagree, or a source has a waveform.
    """
    lines = {_place(element) for element in _moving(deck)}
    _choose(deck, silent, densities)
    if not at_start:
        _refuse_waveforms(deck)
    for element in (element for expansion in deck.expansions for element in expansion.elements if heard):
        if heard == "noise":
            element.wave = None
        else:
            element.noisy = False
    lines |= {_place(element) for element in _moving(deck)}
    found = _Search(deck).found
    scopes = {expansion.path: expansion.definition.outer for expansion in deck.expansions}
    found.waving = [
        Waving(expansion.name_of(element), expansion.path, _flat(element.name, expansion.path, scopes), element)
        for expansion in deck.expansions
        for element in expansion.elements
        if _place(element) in lines
    ]
    return found


def _place(element: Placed) -> tuple[str, int]:
    """File and line: a file that is included twice has the same ones twice."""
    return element.statement.line.file, element.statement.line.number


def _moving(deck: Elaborated) -> Iterator[Placed]:
    for expansion in deck.expansions:
        for element in expansion.elements:
            if element.wave is not None or element.stimulus is not None or element.ac:
                yield element


def _flat(name: str, path: str, scopes: Mapping[str, Definition | None]) -> str:
    """The name of an element in a netlist that ngspice has flattened: ``v.x1.x2.v1``.

    Definitions inside definitions are expanded before those around them, and each time a letter comes in
    front: ``v.x1.v.x2.v1``, where that of x2 stands inside that of x1.
    """
    calls = path.split(".") if path else []
    around = [scopes[".".join(calls[: k + 1])] for k in range(len(calls))]
    flat, seen = name, list[Definition | None]()
    while calls:
        scope = around[-1]
        if any(other is scope for other in seen):
            return ""  # expanded in turns: such names are anybody's guess
        seen.append(scope)
        group: list[str] = []
        while calls and around[-1] is scope:
            around.pop()
            group.insert(0, calls.pop())
        flat = ".".join([name[0], *group, flat])
    return flat


def _choose(deck: Elaborated, silent: Sequence[str], densities: Mapping[str, float]) -> None:
    """Set what the options say."""
    wanted = {plain_path(name): name for name in (*silent, *densities)}
    quiet, given = {plain_path(name) for name in silent}, {plain_path(name): value for name, value in densities.items()}
    for expansion in deck.expansions:
        for element in expansion.elements:
            name = expansion.name_of(element)
            if name not in wanted:
                continue
            is_source = element.kind in (VoltageSource, CurrentSource) and element.name == element.statement.name
            if element.kind is not Resistor and not is_source:
                raise InputError(f"{wanted[name]} makes no noise: name a resistor or an independent source")
            del wanted[name]
            if name in quiet:
                element.noisy, element.wave, element.stimulus = False, None, None
            if name in given:
                if not is_source:
                    raise InputError(f"--density {name}: only independent sources take a density")
                density = given[name]
                if not 0 <= density <= sys.float_info.max:
                    raise InputError(
                        f"--density {name}: {shorten(density)} is no density, which cannot be negative and is finite"
                    )
                element.wave, element.stimulus = Wave("density", float(density), 0.0), None
    if wanted:
        missing = ", ".join(shorten(name)[1:-1] for name in wanted.values())
        raise InputError(f"there is no {missing} in the netlist; within subcircuits names read x1.x2.r1")


def plain_path(name: str) -> str:
    """``x1.r1``, also out of ngspice's ``r.x1.r1`` (or ``r.x1.r.x2.r1``): calls begin with an x."""
    *calls, last = name.lower().split(".")
    return ".".join([*(call for call in calls if call != last[:1]), last])


def _refuse_waveforms(deck: Elaborated) -> None:
    for expansion in deck.expansions:
        for element in expansion.elements:
            if element.stimulus is not None:
                name = expansion.name_of(element)
                raise element.statement.line.refuse(
                    f"{name} has a waveform ({element.stimulus}), which a stationary law does not know: "
                    f"take it out, or spu import --silent {name} goes on with its dc value"
                )


@dataclass(frozen=True, eq=False)
class _Touch:
    """An element at a node: which of its terminals."""

    expansion: int
    element: Placed
    terminal: int


class _Search:
    """Works through a deck once; `found` is the result."""

    def __init__(self, deck: Elaborated) -> None:
        self._deck = deck
        self._kt4 = 4.0 * BOLTZMANN * deck.temperature
        self._dropped: set[int] = set()
        self._driven: dict[int, tuple[str, int]] = {}
        self._changed: dict[int, Placed] = {}
        self._twins: dict[int, str] = {}
        self._names: dict[str, set[str]] = {}
        self.found = Noisy()
        waves = [(k, e) for k, x in enumerate(deck.expansions) for e in x.elements if e.wave is not None]
        self._touches = self._all_touches() if any(e.kind is VoltageSource for _, e in waves) else {}
        for k, element in waves:
            self._recognise(k, element)
        for k, expansion in enumerate(deck.expansions):
            self.found.elements.append([])
            for element in expansion.elements:
                if id(element) not in self._dropped:
                    self._finish(k, expansion, element)

    def _all_touches(self) -> dict[int, list[_Touch]]:
        touches: dict[int, list[_Touch]] = {}
        for k, expansion in enumerate(self._deck.expansions):
            for element in expansion.elements:
                for terminal, node in enumerate(expansion.ends(element)):
                    if node != GROUND:
                        touches.setdefault(node, []).append(_Touch(k, element, terminal))
        return touches

    def _others(self, node: int, *known: Placed) -> list[_Touch]:
        return [touch for touch in self._touches.get(node, []) if all(touch.element is not k for k in known)]

    def _thermal(self, resistor: Placed) -> float:
        """Density of a resistor's own noise, A^2/Hz."""
        return (self._kt4 + 4.0 * BOLTZMANN * resistor.heat) / resistor.value

    def _source(
        self,
        name: str,
        thermal: bool,
        kind: str,
        density: float,
        unit: str,
        into: str,
        origin: Origin,
        hold: float = 0.0,
    ) -> int:
        self.found.sources.append(NoiseSource(name, thermal, origin))
        self.found.table.append(NoiseRow(name, kind, density, unit, into, hold))
        return len(self.found.sources) - 1

    # --- noise on a node of its own -----------------------------------------------------------

    def _recognise(self, number: int, source: Placed) -> None:
        """Take a voltage source to ground with what it drives, where that is a noise node."""
        assert source.wave is not None
        expansion = self._deck.expansions[number]
        ends = expansion.ends(source)
        if source.kind is not VoltageSource or source.value != 0 or self._is_sensed(number, source):
            return
        if ends.count(GROUND) != 1:
            return
        driven = ends[0] if ends[1] == GROUND else ends[1]
        sign = 1.0 if ends[1] == GROUND else -1.0
        resistor = self._twin(expansion, source, driven)
        node = driven
        if resistor is not None:
            far = self._deck.expansions[resistor.expansion].ends(resistor.element)[1 - resistor.terminal]
            if far == GROUND:
                return
            resistor.element.noisy = False
            self._twins[id(source)] = self._name(resistor)
            node = far
            loads = self._others(node, source, resistor.element)
        else:
            loads = self._others(node, source)
        controls = [touch for touch in loads if self._senses(touch)]
        if not controls or len(controls) < len(loads):
            if resistor is not None:
                self.found.notes.append(
                    f"{expansion.name_of(source)} and {self._name(resistor)} are two forms of one noise: counted once"
                )
            return
        self._dropped |= {id(source)} | ({id(resistor.element)} if resistor is not None else set())
        self._route(expansion, source, node, controls, sign)

    def _is_sensed(self, number: int, source: Placed) -> bool:
        return any(source.name in other.branches for other in self._deck.expansions[number].elements)

    def _name(self, touch: _Touch) -> str:
        return self._deck.expansions[touch.expansion].name_of(touch.element)

    def _twin(self, expansion: Expansion, source: Placed, driven: int) -> _Touch | None:
        """The resistor that makes the noise of a source once more."""
        assert source.wave is not None
        loads = self._others(driven, source)
        if len(loads) != 1 or loads[0].element.kind is not Resistor or not loads[0].element.noisy:
            return None
        resistor = loads[0].element
        density = self._thermal(resistor) * resistor.value**2
        if abs(density - source.wave.density) <= SAME * source.wave.density:
            return loads[0]
        if source.name[0] == "v" and resistor.name == f"r{source.name[1:]}" and source.wave.kind != "density":
            # Named as in our own netlists: meant as one noise, whatever was edited.
            raise self._disagree(expansion.name_of(source), source, self._name(loads[0]), density)
        return None

    def _disagree(self, name: str, source: Placed, other: str, density: float) -> DeckError:
        assert source.wave is not None
        return source.statement.line.refuse(
            f"{name} and {other} stand for one noise, in .tran and in .noise, but make {source.wave.density:.6g} and "
            f"{density:.6g} V^2/Hz: let them agree, or spu import --silent one of them"
        )

    def _senses(self, touch: _Touch) -> bool:
        """Whether an element only senses the node against ground, drawing no current."""
        if touch.element.kind not in (Transconductor, VoltageControlledVoltageSource) or touch.terminal < 2:
            return False
        ends = self._deck.expansions[touch.expansion].ends(touch.element)
        return ends[5 - touch.terminal] == GROUND

    def _route(self, home: Expansion, source: Placed, node: int, controls: list[_Touch], sign: float) -> None:
        """Make a noise source of a node, and noise of what it controls."""
        assert source.wave is not None
        density = source.wave.density
        name = self._deck.node_names[node]
        pairs = [(touch, self._beside(touch, source)) for touch in controls]
        thermal = len(pairs) == 1 and pairs[0][1] is not None
        first = pairs[0][1] if thermal else None
        if first is not None:
            expansion = self._deck.expansions[controls[0].expansion]
            local = controls[0].element.nodes[controls[0].terminal]
            where = expansion.name_of(first)
            density = self._thermal(first)
            repeater = controls[0].element
            # Volts of the source that make the resistor's own current, from its first node to its second.
            gain = sign * repeater.value * (1.0 if controls[0].terminal == 2 else -1.0)
            gain *= 1.0 if expansion.ends(repeater)[0] == expansion.ends(first)[0] else -1.0
            origin = Origin(_amplitude(density) / gain, home.name_of(source), resistor=where)
            into = f"{where}, repeated by {home.name_of(source)}"
            number = self._source(name, True, "thermal", density, "A^2/Hz", into, origin, source.wave.hold)
            self._driven[id(first)] = (local, number)
            self._dropped.add(id(controls[0].element))
            return
        into = ", ".join(self._name(touch) for touch in controls[:3]) + (" ..." if len(controls) > 3 else "")
        origin = self._origin(source, home.name_of(source))
        number = self._source(name, False, source.wave.kind, density, "V^2/Hz", into, origin, source.wave.hold)
        for touch, resistor in pairs:
            element = touch.element
            if resistor is not None:
                resistor.noisy = False
                repeated = self._deck.expansions[touch.expansion].name_of(resistor)
                self.found.notes.append(
                    f"{self._name(touch)} repeats the noise of {repeated}; its source drives others, too: counted once"
                )
            # A negative gain is a source the other way round.
            gain = sign * element.value * (1.0 if touch.terminal == 2 else -1.0)
            p, n = element.nodes[:2] if gain >= 0 else element.nodes[1::-1]
            kind = NoiseCurrent if element.kind is Transconductor else NoiseVoltage
            self._changed[id(element)] = replace(element, kind=kind, nodes=(p, n), value=gain**2 * density)
            self._driven[id(element)] = (element.nodes[touch.terminal], number)

    def _beside(self, touch: _Touch, source: Placed) -> Placed | None:
        """The resistor in parallel with a transconductor that repeats its noise."""
        assert source.wave is not None
        element, expansion = touch.element, self._deck.expansions[touch.expansion]
        if element.kind is not Transconductor:
            return None
        density = element.value**2 * source.wave.density
        ends = set(expansion.ends(element)[:2])
        for other in expansion.elements:
            if other.kind is Resistor and other.noisy and set(expansion.ends(other)) == ends and self._kt4 > 0:
                own = self._thermal(other)
                if id(other) not in self._driven and abs(own - density) <= SAME * own:
                    if other.heat:
                        raise other.statement.line.refuse(
                            f"{expansion.name_of(other)} has dtemp= and a transconductor that repeats its noise "
                            f"({expansion.name_of(element)}), which is not taken: give it noisy=0 and a source of noise"
                        )
                    return other
                if element.name == f"g{other.name}":
                    raise element.statement.line.refuse(
                        f"{expansion.name_of(element)} repeats in .tran the noise of {expansion.name_of(other)} in "
                        f".noise, but makes {density:.6g} where that makes {own:.6g} A^2/Hz (at "
                        f"{self._deck.temperature:g} K): let them agree, or "
                        f"spu import --silent {expansion.name_of(other)}"
                    )
        return None

    # --- all others ---------------------------------------------------------------------------

    def _finish(self, number: int, expansion: Expansion, element: Placed) -> None:
        into = self.found.elements[number]
        driven = self._driven.get(id(element))
        if driven is not None:
            into.append((self._changed.get(id(element), element), driven))
            return
        name = expansion.name_of(element)
        port = f"noise_{element.name}"
        if element.kind is Resistor and element.noisy and self._thermal(element) > 0:
            density = self._thermal(element)
            p, n = self._ends(expansion, element)
            origin = Origin(_amplitude(density), nodes=(p, n), resistor=name)
            hot = element.heat != 0
            index = self._source(name, not hot, "thermal", density, "A^2/Hz", f"{p} to {n}", origin)
            if hot:  # the circuit has one temperature: a silent resistor, and its noise as a source beside it
                own = self._free_name(expansion, f"g{element.name}")
                noise = replace(element, kind=NoiseCurrent, name=own, value=density)
                into += [(element, None), (noise, (port, index))]
            else:
                into.append((element, (port, index)))
            return
        if element.wave is None:
            into.append((element, None))
            return
        voltage = element.kind is VoltageSource
        unit = "V^2/Hz" if voltage else "A^2/Hz"
        into_words = " to ".join(self._ends(expansion, element))
        wave, origin = element.wave, self._origin(element, name)
        index = self._source(name, False, wave.kind, wave.density, unit, into_words, origin, wave.hold)
        kind = NoiseVoltage if voltage else NoiseCurrent
        own = self._free_name(expansion, f"{'e' if voltage else 'g'}{element.name}")
        noise = replace(element, kind=kind, name=own, value=element.wave.density, wave=None)
        constant = replace(element, wave=None)
        if not voltage:
            into.append((noise, (port, index)))
            if element.value != 0:
                into.append((constant, None))
        elif element.value == 0 and not self._is_sensed(number, element):
            into.append((noise, (port, index)))
        else:
            p, n = element.nodes
            middle = f"mid_{element.name}"
            while middle in expansion.nodes:
                middle += "_"
            expansion.nodes[middle] = len(self._deck.node_names)
            self._deck.node_names.append(f"{expansion.path}.{middle}" if expansion.path else middle)
            into.append((replace(noise, nodes=(p, middle)), (port, index)))
            into.append((replace(constant, nodes=(middle, n)), None))

    def _free_name(self, expansion: Expansion, name: str) -> str:
        """The name, or with underscores behind where an element has it."""
        taken = self._names.get(expansion.path)
        if taken is None:
            taken = self._names[expansion.path] = {element.name for element in expansion.elements}
        while name in taken:
            name += "_"
        return name

    def _origin(self, source: Placed, name: str) -> Origin:
        """Of the noise that an independent source makes."""
        assert source.wave is not None
        twin = self._twins.get(id(source), "")
        return Origin(_amplitude(source.wave.density), name, resistor=twin, stated=source.wave.kind != "density")

    def _ends(self, expansion: Expansion, element: Placed) -> tuple[str, str]:
        """Names of an element's first two nodes."""
        p, n = ("0" if k == GROUND else self._deck.node_names[k] for k in expansion.ends(element)[:2])
        return p, n


def _amplitude(density: float) -> float:
    """That of a source of a one-sided density, for one volt of the unit source."""
    return math.sqrt(density) / UNIT_NOISE_DENSITY
