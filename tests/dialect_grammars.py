"""Readers of the subsets of LTspice, Xyce and Spectre that netlists use, written from the vendors' manuals.

They share no code with the package. Each refuses what its manual does not allow, and flattens the rest into
elements with numbers, so that tests can compare circuits and not only texts. Rules, with the page they are on:

LTspice help: *Circuit Description* (title, ``*``, ``;``, ``+``, ``.end``, letters of elements, ignored case), *R*
(no noise switch), *L* (``Rser``, ``Rpar``), *B* (``V=`` expression with ``time``, ``rand``), *.PARAM* (braces around
expressions), *.SUBCKT* (``params:``), *.STEP* (``.step param name first last step``), *.NOISE*, *.MEAS*, *.OPTIONS*.

Xyce Reference Guide: 2.1 (commands; ``.options PACKAGE key=value``; ``.param`` is constant, ``.step`` takes what
``.global_param`` names), 2.2 (expressions), 2.3 (devices: R without noise switch, ``B ... V={expression}``, X and
``.subckt`` with ``PARAMS:``), reserved names Time, Freq, Vt, Temp, GMIN.

Spectre: Circuit Simulator Reference (statements ``name [(nodes)] master [parameter=value]``, ``parameters``,
``subckt``, ``ends``, ``//``, a backslash at the end continues, names keep their case) and the Components Reference
(terminals and parameters of each master).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import ClassVar

_TOKEN = re.compile(r"\s*(?:([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+)|([A-Za-z_][A-Za-z0-9_]*)|(\*\*|[-+*/(),]))")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")


class GrammarError(Exception):
    """A line that its simulator would not take."""


def require(condition: object, line: str, why: str) -> None:
    if not condition:
        raise GrammarError(f"{why}: {line!r}")


class Expression:
    """``+ - * / **``, unary minus, parentheses, calls; names looked up in ``names``, ``v(node)`` by ``voltage``."""

    def __init__(self, text, names, functions, voltage=None):
        self.tokens, end = [], 0
        while end < len(text.rstrip()):
            found = _TOKEN.match(text, end)
            require(found, text, f"cannot be read from {text[end : end + 12]!r}")
            self.tokens.append((found.lastindex, found[found.lastindex]))
            end = found.end()
        self.text, self.names, self.functions, self.voltage = text, names, functions, voltage
        self.at = 0

    def value(self):
        result = self.sum()
        require(self.at == len(self.tokens), self.text, "ends in the middle")
        return result

    def take(self, *symbols):
        if self.at < len(self.tokens) and self.tokens[self.at] in [(3, symbol) for symbol in symbols]:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def sum(self):
        result = self.product()
        while sign := self.take("+", "-"):
            result += self.product() if sign == "+" else -self.product()
        return result

    def product(self):
        result = self.power()
        while sign := self.take("*", "/"):
            result = result * self.power() if sign == "*" else result / self.power()
        return result

    def power(self):
        if self.take("-"):
            return -self.power()
        self.take("+")
        base = self.atom()
        return base ** self.power() if self.take("**") else base

    def atom(self):
        require(self.at < len(self.tokens), self.text, "ends too early")
        kind, token = self.tokens[self.at]
        self.at += 1
        if kind == 1:
            return float(token)
        if kind == 2:
            if self.take("("):
                if token.lower() == "v" and self.voltage is not None:
                    _, node = self.tokens[self.at]
                    self.at += 1
                    require(self.take(")"), self.text, "no )")
                    return self.voltage(node)
                require(token.lower() in self.functions, self.text, f"no function {token}")
                arguments = [self.sum()]
                while self.take(","):
                    arguments.append(self.sum())
                require(self.take(")"), self.text, "no )")
                return self.functions[token.lower()](*arguments)
            require(token in self.names, self.text, f"undefined {token}")
            return self.names[token]
        require(token == "(", self.text, f"unexpected {token}")
        result = self.sum()
        require(self.take(")"), self.text, "no )")
        return result


FUNCTIONS = {"sqrt": math.sqrt, "abs": abs, "max": max, "min": min, "floor": math.floor}
LETTERS = {"r": 2, "c": 2, "l": 2, "i": 2, "v": 2, "g": 4, "e": 4, "f": 2, "h": 2, "b": 2}


@dataclass
class Flat:
    """One element after flattening: its letter, path, global nodes, value, options, controlling element."""

    letter: str
    name: str
    nodes: list[str]
    value: float
    silent: bool = False
    text: str = ""
    branches: list[str] = field(default_factory=list)


@dataclass
class Template:
    ports: list[str]
    parameters: dict[str, float]
    lines: list[str]
    derived: dict[str, str] = field(default_factory=dict)


class Deck:
    """A flattened netlist: ``elements``, ``parameters``, ``commands`` (kind -> statements), ``options``."""

    def __init__(self):
        self.parameters: dict[str, float] = {}
        self.templates: dict[str, Template] = {}
        self.elements: list[Flat] = []
        self.commands: dict[str, list[str]] = {}
        self.options: dict[str, str] = {}
        self._names: set[str] = set()

    def named(self, name: str, line: str, scope: str = "") -> None:
        require(_NAME.fullmatch(name), line, f"{name!r} is no name that every tool takes")
        key = f"{scope}.{name}".lower()
        require(key not in self._names, line, f"{name!r} twice")
        self._names.add(key)

    def finish(self) -> None:
        """No node hangs in the air: each is held by two ends of elements at least, or controls and is held by one."""
        ends: dict[str, int] = {}
        reads: dict[str, int] = {}
        for element in self.elements:
            for k, node in enumerate(element.nodes):
                count = reads if element.letter in "ge" and k >= 2 else ends
                count[node] = count.get(node, 0) + 1
        for node in {*ends, *reads} - {"0"}:
            held = ends.get(node, 0)
            require(held >= 2 or (held == 1 and (reads.get(node) or node == "probe")), node, "a node with one end")

    def resistors(self, silent: bool) -> list[Flat]:
        return [e for e in self.elements if e.letter == "r" and e.silent == silent]


class Spice:
    """What LTspice and Xyce have in common."""

    commands: frozenset[str] = frozenset()
    after: ClassVar[dict[str, frozenset[str]]] = {}  # options behind the value of an element, by letter
    reserved: frozenset[str] = frozenset()

    def read(self, text: str) -> Deck:
        deck = Deck()
        title, *rest = text.splitlines()
        require(title and title[0] not in "*.+", title, "the first line is the title")
        require(rest[-1].lower() == ".end", rest[-1], "the last line ends the netlist")
        lines: list[str] = []
        for raw in rest[:-1]:
            require(raw.isascii() and len(raw) < 2000, raw, "not ASCII, or long")
            if raw.startswith("*") or not raw.strip():
                continue
            line = raw.partition(";")[0].rstrip()
            if line.startswith("+"):
                lines[-1] += " " + line[1:]
            else:
                lines.append(line)
        self.globals(deck, lines)
        open_one: str | None = None
        top: list[str] = []
        for line in lines:
            words = line.split()
            first = words[0].lower()
            if first == ".subckt":
                require(open_one is None, line, "a subcircuit in a subcircuit")
                open_one = words[1]
                deck.templates[open_one] = self.template(deck, line, words)
            elif first == ".ends":
                require(open_one is not None and words[1:] in ([], [open_one]), line, "ends another one")
                open_one = None
            elif open_one is not None and first == ".param":
                require(len(words) == 2 and "=" in words[1], line, "one name=value")
                key, _, value = words[1].partition("=")
                require(key.lower() not in self.reserved, line, "a reserved name")
                deck.named(key, line, f"parameter of {open_one}")
                deck.templates[open_one].derived[key] = value
            elif open_one is not None:
                require(first[0] != ".", line, "a command in a subcircuit")
                deck.templates[open_one].lines.append(line)
            elif first[0] == ".":
                require(first in self.commands, line, "no such command")
                deck.commands.setdefault(first, []).append(line)
                self.command(deck, first, line, words)
            else:
                top.append(line)
        require(open_one is None, str(open_one), "a subcircuit without end")
        for line in top:
            self.element(deck, line, deck.parameters, {}, "")
        deck.finish()
        return deck

    def globals(self, deck: Deck, lines: list[str]) -> None:
        inside = False
        for line in lines:
            words = line.split()
            inside = words[0].lower() == ".subckt" or (inside and words[0].lower() != ".ends")
            if words[0].lower() in (".param", ".global_param") and not inside:
                require(len(words) == 2, line, "one name=value")
                name, _, value = words[1].partition("=")
                deck.named(name, line, "parameter")
                require(name.lower() not in self.reserved, line, "a reserved name")
                deck.parameters[name] = self.quantity(value, deck.parameters, line)

    def template(self, deck: Deck, line: str, words: list[str]) -> Template:
        settings = [word for word in words[2:] if "=" in word]
        plain = [word for word in words[2:] if "=" not in word]
        if settings:
            require(plain[-1:] == ["params:"], line, "parameters stand behind params:")
            require(words.index("params:") == 2 + len(plain) - 1, line, "nodes come before params:")
            plain.pop()
        deck.named(words[1], line, "subcircuit")
        require("0" not in plain and len(set(plain)) == len(plain), line, "ports differ and are not ground")
        pairs = (setting.split("=") for setting in settings)
        parameters = {name: self.quantity(value, deck.parameters, line) for name, value in pairs}
        require(not {name.lower() for name in parameters} & self.reserved, line, "a reserved name")
        return Template(plain, parameters, [])

    def quantity(self, text: str, names: dict[str, float], line: str) -> float:
        """A plain number, or an expression in braces."""
        if text.startswith("{"):
            require(text.endswith("}"), line, "no }")
            return Expression(text[1:-1], names, FUNCTIONS).value()
        require(re.fullmatch(r"-?[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?", text), line, f"{text!r} is no number")
        return float(text)

    def element(self, deck: Deck, line: str, names: dict[str, float], local: dict[str, str], path: str) -> None:
        words = line.split()
        name = words[0]
        letter = name[0].lower()
        deck.named(name, line, path)

        def node(word: str) -> str:
            require(word == "0" or _NAME.fullmatch(word), line, f"{word!r} is no node")
            return "0" if word == "0" else local.get(word, f"{path}.{word}" if path else word)

        if letter == "x":
            settings, plain = self.call(line, words[1:])
            template = deck.templates.get(plain[-1])
            require(template is not None, line, f"no subcircuit {plain[-1]}")
            require(len(plain) - 1 == len(template.ports), line, "as many nodes as ports")
            require(set(settings) <= set(template.parameters), line, "a parameter it does not have")
            inside = {port: node(word) for port, word in zip(template.ports, plain, strict=False)}
            values = {key: self.quantity(value, names, line) for key, value in settings.items()}
            scope = {**deck.parameters, **template.parameters, **values}
            for key, value in template.derived.items():
                scope[key] = self.quantity(value, scope, line)
            for inner in template.lines:
                self.element(deck, inner, scope, inside, f"{path}.{name}" if path else name)
            return
        require(letter in LETTERS, line, "no element of that letter")
        count = LETTERS[letter]
        nodes, rest = [node(word) for word in words[1 : 1 + count]], words[1 + count :]
        require(len(nodes) == count and rest, line, "too few nodes, or no value")
        if letter == "b":
            self.behavioural(deck, line, name, nodes, names)
            return
        branches = [rest.pop(0)] if letter in "fh" else []
        if letter in "iv":
            require(rest[0].lower() == "dc", line, "a source says dc")
            rest = rest[1:]
        value = self.quantity(rest[0], names, line)
        allowed = self.after.get(letter, frozenset())
        if letter == "v" and rest[1:] == ["ac", "0"]:
            rest = rest[:1]
        for option in rest[1:]:
            require(option.partition("=")[0].lower() in allowed, line, f"{option!r} is no option of it")
        silent = letter == "g" and nodes[:2] == nodes[2:]
        if silent:  # a conductance
            letter, nodes, value = "r", nodes[:2], 1.0 / value
        require(letter not in "rcl" or value > 0, line, "a component of no size")
        deck.elements.append(Flat(letter, f"{path}.{name}" if path else name, nodes, value, silent, line, branches))

    def call(self, line: str, words: list[str]) -> tuple[dict[str, str], list[str]]:
        settings = dict(word.split("=") for word in words if "=" in word)
        return settings, [word for word in words if "=" not in word]

    def behavioural(self, deck: Deck, line: str, name: str, nodes: list[str], names: dict[str, float]) -> None:
        raise NotImplementedError

    def command(self, deck: Deck, first: str, line: str, words: list[str]) -> None:
        if first == ".noise":
            require(
                re.fullmatch(r"\.noise v\(\w+\) v\w+ dec \d+ [\d.e+-]+ [\d.e+-]+", line), line, "not a noise analysis"
            )
            low, high = map(float, words[-2:])
            require(0 < low < high, line, "no sweep")


class LTspiceGrammar(Spice):
    commands = frozenset({".param", ".options", ".step", ".noise", ".meas"})
    after: ClassVar = {"l": frozenset({"rser", "rpar"})}
    reserved = frozenset({"time", "temp", "pi"})
    options = frozenset({"temp", "method", "reltol", "vntol", "abstol", "chgtol"})

    def globals(self, deck, lines):
        super().globals(deck, lines)
        for line in lines:
            if line.startswith(".step"):  # it declares what it steps
                found = re.fullmatch(r"\.step param (\w+) (\d+) (\d+) (\d+)", line)
                require(found, line, "not a step")
                deck.parameters[found[1]] = float(found[2])

    def command(self, deck, first, line, words):
        super().command(deck, first, line, words)
        if first == ".options":
            for word in words[1:]:
                key, _, value = word.partition("=")
                require(key in self.options and value, line, f"no option {key}")
                deck.options[key] = value
        elif first == ".meas":
            tran = re.fullmatch(r"\.meas tran \w+ (avg|rms) v\(\w+\)", line)
            require(tran or re.fullmatch(r"\.meas noise \w+ integ v\(onoise\)", line), line, "not a measurement")

    def behavioural(self, deck, line, name, nodes, names):
        text = line.split(None, 3)[3]
        require(text[:2].lower() == "v=", line, "V= before the expression")
        # Parameters stand in braces, evaluated before the run; the rest is evaluated in it.
        inner = re.sub(r"\{([^{}]*)\}", lambda found: f"({Expression(found[1], names, FUNCTIONS).value()!r})", text[2:])
        calls: list[float] = []

        def rand(x: float) -> float:
            calls.append(x)
            return 1.0

        functions = {**FUNCTIONS, "rand": rand}
        value = Expression(
            inner, {"time": 0.0}, functions, lambda node: 1.0 if node in self.cells(deck) else 0.0
        ).value()
        deck.elements.append(Flat("b", name, nodes, value, False, line))
        if calls:
            deck.commands.setdefault("rand", []).append(repr(calls[0]))

    @staticmethod
    def cells(deck):
        return {node for element in deck.elements for node in element.nodes}


class XyceGrammar(Spice):
    commands = frozenset({".param", ".global_param", ".options", ".step", ".noise", ".print"})
    reserved = frozenset({"time", "freq", "vt", "temp", "gmin"})
    packages: ClassVar = {
        "device": frozenset({"temp"}),
        "timeint": frozenset({"method", "reltol", "abstol"}),
    }

    def call(self, line, words):
        settings, plain = super().call(line, words)
        if settings:
            require("params:" in plain, line, "parameters stand behind PARAMS:")
            require(words.index("params:") == len(plain) - 1, line, "nodes and name come before PARAMS:")
            plain.remove("params:")
        return settings, plain

    def command(self, deck, first, line, words):
        super().command(deck, first, line, words)
        if first == ".options":
            allowed = self.packages.get(words[1])
            require(allowed is not None, line, "no such package")
            for word in words[2:]:
                key, _, value = word.partition("=")
                require(key in allowed and value, line, f"no option {key}")
                deck.options[key] = value
        elif first == ".step":
            require(len(words) == 5, line, "name, first, last, step")
            stated = [c.split()[1].partition("=")[0] for c in deck.commands.get(".global_param", [])]
            require(words[1] in stated, line, "steps what .global_param names, before it")
        elif first == ".print":
            require(words[1:] == ["noise", "onoise"], line, "not what can be printed")

    def behavioural(self, deck, line, name, nodes, names):
        text = line.split(None, 3)[3]
        require(re.fullmatch(r"v=\{.*\}", text), line, "an expression in braces")
        value = Expression(text[3:-1], names, FUNCTIONS, lambda _: 1.0).value()
        deck.elements.append(Flat("b", name, nodes, value, False, line))


@dataclass(frozen=True)
class Master:
    letter: str
    terminals: int
    value: str
    others: frozenset[str] = frozenset()


MASTERS = {
    "resistor": Master("r", 2, "r", frozenset({"isnoisy"})),
    "capacitor": Master("c", 2, "c"),
    "inductor": Master("l", 2, "l"),
    "isource": Master("i", 2, "dc", frozenset({"mag"})),
    "vsource": Master("v", 2, "dc", frozenset({"mag"})),
    "vccs": Master("g", 4, "gm"),
    "vcvs": Master("e", 4, "gain"),
    "cccs": Master("f", 2, "gain", frozenset({"probe"})),
    "ccvs": Master("h", 2, "rm", frozenset({"probe"})),
}
ANALYSES = {
    "noise": frozenset({"start", "stop", "dec"}),
    "tran": frozenset({"stop", "outputstart", "maxstep", "strobeperiod", "method", "noisefmax", "noiseseed", "skipdc"}),
    "options": frozenset({"temp", "reltol", "vabstol", "iabstol"}),
}
_STATEMENT = re.compile(r"(\w+) (?:\(([\w ]+)\) )?(\w+)((?: \w+=\S+)*)")


class SpectreGrammar:
    def read(self, text: str) -> Deck:
        deck = Deck()
        lines: list[str] = []
        for raw in text.splitlines():
            require(raw.isascii(), raw, "not ASCII")
            line = raw.partition("//")[0].rstrip()
            if lines and lines[-1].endswith("\\"):
                lines[-1] = lines[-1][:-1] + line.strip()
            elif line.strip():
                lines.append(line)
        require(lines[:2] == ["simulator lang=spectre", "global 0"], lines[0], "the language comes first")
        template: Template | None = None
        name = ""
        top: list[str] = []
        for line in lines[2:]:
            first, _, rest = line.strip().partition(" ")
            if first == "subckt":
                require(template is None, line, "a subcircuit in a subcircuit")
                found = re.fullmatch(r"(\w+) \(([\w ]+)\)", rest)
                require(found, line, "name (ports)")
                name, ports = found[1], found[2].split()
                require("0" not in ports and len(set(ports)) == len(ports), line, "ports differ and are not ground")
                deck.named(name, line, "subcircuit")
                template = deck.templates[name] = Template(ports, {}, [])
            elif first == "ends":
                require(template is not None and rest == name, line, "ends another one")
                template = None
            elif first == "parameters":
                into = deck.parameters if template is None else template.parameters
                require(template is None or not template.lines, line, "parameters come first")
                for key, value in self.settings(rest):
                    deck.named(key, line, f"parameter of {name if template else ''}")
                    into[key] = Expression(value, {**deck.parameters, **into}, FUNCTIONS).value()
                    if template is not None and not re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", value):
                        template.derived[key] = value
            elif template is not None:
                template.lines.append(line.strip())
            elif first == "save":
                deck.commands.setdefault("save", []).append(rest)
            else:
                top.append(line)
        require(template is None, name, "a subcircuit without end")
        for line in top:
            self.statement(deck, line, deck.parameters, {}, "")
        deck.finish()
        nodes = {node for element in deck.elements for node in element.nodes}
        for wanted in deck.commands.get("save", []):
            require(set(wanted.split()) <= nodes, wanted, "saves what is not there")
        return deck

    @staticmethod
    def settings(text: str) -> list[tuple[str, str]]:
        pairs = [word.partition("=") for word in text.split()]
        require(all(key and sign and value for key, sign, value in pairs), text, "parameter=value")
        require(len({key for key, _, _ in pairs}) == len(pairs), text, "a parameter twice")
        return [(key, value) for key, _, value in pairs]

    def statement(self, deck: Deck, line: str, names: dict[str, float], local: dict[str, str], path: str) -> None:
        found = _STATEMENT.fullmatch(line)
        require(found, line, "not a statement")
        name, inside, master, rest = found.groups()
        settings = dict(self.settings(rest))
        deck.named(name, line, path)
        nodes = []
        for word in (inside or "").split():
            require(word == "0" or _NAME.fullmatch(word), line, f"{word!r} is no node")
            nodes.append("0" if word == "0" else local.get(word, f"{path}.{word}" if path else word))
        if master in ANALYSES:
            require(not path and set(settings) <= ANALYSES[master], line, "a parameter it does not have")
            require(len(nodes) == (2 if master == "noise" else 0), line, "output nodes")
            deck.commands.setdefault(master, []).append(line)
            if master == "options":
                deck.options.update(settings)
            return
        if master == "mutual_inductor":
            require(set(settings) == {"coupling", "ind1", "ind2"} and not nodes, line, "coupling, ind1, ind2")
            return
        if master in deck.templates:
            template = deck.templates[master]
            require(len(nodes) == len(template.ports), line, "as many nodes as ports")
            require(set(settings) <= set(template.parameters), line, "a parameter it does not have")
            values = {key: Expression(value, names, FUNCTIONS).value() for key, value in settings.items()}
            scope = {**deck.parameters, **template.parameters, **values}
            for key, value in template.derived.items():
                scope[key] = Expression(value, scope, FUNCTIONS).value()
            for inner in template.lines:
                self.statement(deck, inner, scope, dict(zip(template.ports, nodes, strict=True)), name)
            return
        require(master in MASTERS, line, f"no master {master}")
        known = MASTERS[master]
        require(len(nodes) == known.terminals, line, "terminals")
        require(set(settings) <= {known.value, *known.others} and known.value in settings, line, "parameters")
        value = Expression(settings[known.value], names, FUNCTIONS).value()
        require(known.letter not in "rcl" or value > 0, line, "a component of no size")
        require(settings.get("isnoisy", "no") in ("yes", "no"), line, "yes or no")
        silent = settings.get("isnoisy") == "no"
        deck.elements.append(Flat(known.letter, f"{path}.{name}" if path else name, nodes, value, silent, line))


GRAMMARS = {"ltspice": LTspiceGrammar(), "xyce": XyceGrammar(), "spectre": SpectreGrammar()}
