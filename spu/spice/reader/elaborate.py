"""From definitions to expansions: every subcircuit call with its parameters, nodes and elements."""

from __future__ import annotations

from dataclasses import dataclass, field

from spu.base.constants import CELSIUS, GROUND
from spu.base.errors import DeckError
from spu.base.names import shorten, suggest
from spu.circuit.elements import Inductor, MutualInductance, VoltageSource
from spu.spice.reader.limits import MAX_DEPTH, Budget
from spu.spice.reader.lines import Line
from spu.spice.reader.placed import Placed, Surroundings, node_name, place
from spu.spice.reader.scopes import Scope
from spu.spice.reader.statements import Definition, Program, Statement, without_parentheses


@dataclass(eq=False)
class Expansion:
    """One use of a definition.

    Attributes
    ----------
    path:
        Names of the calls that lead here, ``x1.x2``; empty for the deck itself.
    nodes:
        Global numbers of local nodes.
    elements:
        In the order of the deck.
    """

    definition: Definition
    path: str
    nodes: dict[str, int] = field(default_factory=dict)
    elements: list[Placed] = field(default_factory=list)

    def name_of(self, element: Placed) -> str:
        """The element's name in the whole circuit, ``x1.x2.r1``."""
        return f"{self.path}.{element.name}" if self.path else element.name

    def ends(self, element: Placed) -> tuple[int, ...]:
        """Global numbers of an element's nodes."""
        return tuple(self.nodes[node] for node in element.nodes)


@dataclass(eq=False)
class Elaborated:
    """A deck with every subcircuit expanded.

    Attributes
    ----------
    temperature:
        K.
    expansions:
        The deck itself first.
    node_names:
        By number, as ngspice names them: ``x1.x2.node``.
    """

    temperature: float
    expansions: list[Expansion] = field(default_factory=list)
    node_names: list[str] = field(default_factory=list)


def elaborate(program: Program, max_instances: int) -> Elaborated:
    """Expand a deck.

    Raises
    ------
    DeckError
        At the line: what is not understood, a subcircuit that is not there or calls itself, limits.
    NonlinearNetlist
        For parts that only ngspice can run.
    """
    budget = Budget.of(max_instances)
    top = Scope(program.top, budget, constants={"pi": 3.141592653589793})
    for name, option in program.options.items():
        if name not in ("temp", "tnom"):
            raise option.line.refuse(f".options {name} changes the circuit's elements: write them out")
    found = {"temp": 27.0, "tnom": 27.0}
    for name in found:
        if name in program.options:
            option = program.options[name]
            found[name] = top.number(option.expression, option.line, name)
    kelvin = round(found["temp"] + CELSIUS, 9)  # 26.85 + 273.15 is not the double 300.0
    if kelvin < 0:
        raise program.options["temp"].line.refuse(f"temp={found['temp']:g}: below absolute zero (-273.15 Celsius)")
    work = _Elaboration(program, budget, max_instances, found["temp"], found["tnom"])
    work.result.temperature = kelvin
    work.expand(top, "", {}, ())
    return work.result


class _Elaboration:
    def __init__(self, program: Program, budget: Budget, most: int, temperature: float, nominal: float) -> None:
        self._program = program
        self._budget = budget
        self._most = most
        self._temperature = temperature
        self._nominal = nominal
        self._global: dict[str, int] = {}
        self._names: set[str] = set()
        self.result = Elaborated(0.0)

    def expand(self, scope: Scope, path: str, ports: dict[str, int], chain: tuple[Definition, ...]) -> None:
        """Place the elements of a definition, then those of its calls."""
        definition = scope.definition
        around = Surroundings(scope, self._temperature, self._nominal)
        here = Expansion(definition, path, {"0": GROUND, **ports})
        self.result.expansions.append(here)
        calls: list[Statement] = []
        scope.held |= _held(definition, around)
        for statement in definition.statements:
            self._budget.spend(statement.line.file, statement.line.number)
            if statement.name[0] == "x":
                calls.append(statement)
                for token in statement.tokens[:-1]:
                    self._node(here, node_name(token.text), statement.line)
                continue
            for element in place(statement, around):
                for node in element.nodes:
                    self._node(here, node, statement.line)
                here.elements.append(element)
        _refuse_names(here, calls)
        for call in calls:
            self._call(call, scope, here, (*chain, definition))

    def _node(self, here: Expansion, local: str, line: Line) -> int:
        if local not in here.nodes:
            number = self._global.get(local)
            if number is None:
                number = len(self.result.node_names)
                is_global = local in self._program.global_nodes
                name = local if is_global or not here.path else f"{here.path}.{local}"
                if name in self._names:
                    raise line.refuse(f"node {shorten(name)} is two: one written so, and one within a subcircuit")
                self.result.node_names.append(name)
                self._names.add(name)
                if is_global:
                    self._global[local] = number
            here.nodes[local] = number
        return here.nodes[local]

    def _call(self, call: Statement, scope: Scope, here: Expansion, chain: tuple[Definition, ...]) -> None:
        words = [token for token in call.tokens if token.text != "params:"]
        words = without_parentheses(words, 0, len(words) - 1)
        if not words or any(token.kind != "word" for token in words):
            raise call.line.refuse(
                f"{call.name} takes nodes, a subcircuit and parameters: X1 node ... NAME [param=value]"
            )
        name, nodes = words[-1].text, [node_name(token.text) for token in words[:-1]]
        definition = scope.definition.subcircuit(name)
        if definition is None:
            raise call.line.refuse(f"{call.name}: there is no subcircuit {shorten(name)}")
        if definition in chain:
            raise call.line.refuse(f"{call.name}: subcircuit {definition.name} calls itself")
        if len(chain) > MAX_DEPTH:
            raise call.line.refuse(f"{call.name}: subcircuits are nested more than {MAX_DEPTH} deep")
        if len(nodes) != len(definition.ports):
            raise call.line.refuse(
                f"{call.name}: subcircuit {definition.name} has {len(definition.ports)} nodes, not {len(nodes)}"
            )
        self._budget.expand(self._most, call.line.file, call.line.number)
        inner = Scope(definition, self._budget, scope)
        for key, expression in call.settings.items():
            if key not in definition.defaults:
                known = suggest(key, definition.defaults) if definition.defaults else "it has none"
                raise call.line.refuse(f"{call.name}: subcircuit {definition.name} has no parameter {key}; {known}")
            inner.give(key, scope.number(expression, call.line, key), call.line)
        for port in definition.ports:
            if port in self._program.global_nodes:
                raise definition.line.refuse(
                    f"{shorten(port)} is a node of the .subckt line and of .global: give it one name"
                )
        inner.held = {
            port: scope.held[node_name(token.text)]
            for port, token in zip(definition.ports, words, strict=False)
            if node_name(token.text) in scope.held
        }
        ports = {port: self._node(here, node, call.line) for port, node in zip(definition.ports, nodes, strict=True)}
        self.expand(inner, f"{here.path}.{call.name}" if here.path else call.name, ports, chain)


def _held(definition: Definition, around: Surroundings) -> dict[str, float]:
    """Voltages of nodes that a source with straight lines in time holds: factors of a ramp, as they are at ``dc``.

    Of two voltages only such a one may multiply the other. Sources of constant voltage are not taken so: ``.ac`` may
    move them.
    """
    found = {}
    for statement in definition.statements:
        if statement.name[0] == "v" and any(token.text == "pwl" for token in statement.tokens):
            for element in place(statement, around):
                if element.stimulus == "pwl" and element.nodes[1] == "0" and not element.ac:
                    found[element.nodes[0]] = element.value
    return found


def _refuse_names(here: Expansion, calls: list[Statement]) -> None:
    """Refuse names that stand twice, and references to elements that are not there."""
    by_name: dict[str, Placed] = {}
    for element in here.elements:
        if element.name in by_name:
            raise _twice(element.statement, by_name[element.name].statement)
        by_name[element.name] = element
    called: dict[str, Statement] = {}
    for call in calls:
        if call.name in called:
            raise _twice(call, called[call.name])
        called[call.name] = call
    for element in here.elements:
        for name in element.branches:
            other = by_name.get(name)
            inductor = element.kind is MutualInductance
            if other is None or other.kind is not (Inductor if inductor else VoltageSource):
                what = "inductor" if inductor else "voltage source"
                raise element.statement.line.refuse(
                    f"{element.statement.name}: there is no {what} {shorten(name)} beside it"
                )
            if inductor and "m" in other.statement.settings:
                raise other.statement.line.refuse(
                    f"{name} is coupled ({element.statement.name}) and has m=, which simulators scale differently: "
                    "write its inductance"
                )


def _twice(second: Statement, first: Statement) -> DeckError:
    return second.line.refuse(f"{shorten(second.name)[1:-1]} is there twice (first in line {first.line.number})")
