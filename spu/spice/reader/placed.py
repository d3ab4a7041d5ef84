"""From statements to elements of `spu.circuit.elements`, with the numbers they have in one expansion.

One function a letter. Behavioural sources are taken apart into linear elements: a voltage becomes a chain
of sources in series, a current sources side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spu.base.constants import CELSIUS
from spu.base.errors import DeckError, NonlinearNetlist
from spu.base.names import shorten
from spu.circuit.elements import (
    Capacitor,
    CurrentControlledCurrentSource,
    CurrentControlledVoltageSource,
    CurrentSource,
    Element,
    Inductor,
    MutualInductance,
    Resistor,
    Transconductor,
    VoltageControlledVoltageSource,
    VoltageSource,
)
from spu.spice.reader.expressions import Expression, Linear
from spu.spice.reader.scopes import Scope
from spu.spice.reader.statements import Statement, Token, expression_of
from spu.spice.reader.waveforms import STARTS, at_start


@dataclass(frozen=True)
class Wave:
    """White noise that a source makes: of which kind, and its one-sided density (V^2/Hz or A^2/Hz)."""

    kind: str
    density: float
    hold: float


@dataclass(slots=True)
class Placed:
    """One element in one expansion, with local nodes.

    Attributes
    ----------
    noisy:
        Of a resistor: whether it makes thermal noise.
    wave:
        Of a source: its noise.
    stimulus:
        Of a source: its other waveform, in a word, if it has one.
    ac:
        Of a source: whether it is an input of ``.ac``.
    heat:
        Of a resistor: by how much it is hotter than the deck (``dtemp``), K.
    """

    kind: type[Element]
    name: str
    nodes: tuple[str, ...]
    value: float
    statement: Statement
    branches: tuple[str, ...] = ()
    noisy: bool = False
    wave: Wave | None = None
    stimulus: str | None = None
    ac: bool = False
    heat: float = 0.0


@dataclass(frozen=True)
class Surroundings:
    """What an element may depend on: parameters, the temperature and the one of nominal values (Celsius)."""

    scope: Scope
    temperature: float
    nominal: float


NEEDS_NGSPICE = {
    "d": "a diode",
    "q": "a transistor",
    "j": "a transistor",
    "m": "a transistor",
    "z": "a transistor",
    "n": "a compiled device model",
    "s": "a switch",
    "w": "a switch",
    "t": "a transmission line",
    "o": "a transmission line",
    "u": "a transmission line",
    "y": "a transmission line",
    "p": "a transmission line",
}
"""Elements that are not linear and lumped, by letter."""


def place(statement: Statement, around: Surroundings) -> list[Placed]:
    """Elements that a statement makes in one expansion; subcircuit calls are not for here.

    Raises
    ------
    NonlinearNetlist
        For what only ngspice can run.
    DeckError
        For what is not understood.
    """
    letter = statement.name[0]
    if letter in NEEDS_NGSPICE:
        raise NonlinearNetlist(
            f"{shorten(statement.name)[1:-1]} is {NEEDS_NGSPICE[letter]}: "
            "not a linear, lumped element; only ngspice can run this deck",
            file=statement.line.file,
            line=statement.line.number,
        )
    if letter not in _PLACE:
        what = "code models are not taken" if letter == "a" else f"{', '.join(map(str.upper, _PLACE))} and X are known"
        raise statement.line.refuse(f"{shorten(statement.name)[1:-1]}: {what}")
    return _PLACE[letter](_Reader(statement, around))


class _Reader:
    """Takes the tokens of a statement one by one."""

    def __init__(self, statement: Statement, around: Surroundings) -> None:
        self.statement = statement
        self.around = around
        self.rest = list(statement.tokens)
        self.settings = dict(statement.settings)

    @property
    def name(self) -> str:
        return self.statement.name

    def refuse(self, message: str) -> DeckError:
        return self.statement.line.refuse(f"{shorten(self.name)[1:-1]}: {message}")

    def nonlinear(self, message: str) -> NonlinearNetlist:
        line = self.statement.line
        return NonlinearNetlist(
            f"{shorten(self.name)[1:-1]}: {message}: only ngspice can run this deck", file=line.file, line=line.number
        )

    def nodes(self, count: int) -> tuple[str, ...]:
        """So many nodes: ``a b``, or several as ``(a b)`` or ``(a,b)``."""
        found: list[str] = []
        opened = count > 1 and self.take("(")
        for _ in range(count):
            if opened and found:
                self.take(",")
            if not self.rest or self.rest[0].kind != "word":
                raise self.refuse(f"needs {count} nodes and a value")
            found.append(node_name(self.rest.pop(0).text))
        if opened and not self.take(")"):
            raise self.refuse("parentheses do not match")
        return tuple(found)

    def word(self, what: str) -> str:
        if not self.rest or self.rest[0].kind != "word":
            raise self.refuse(f"{what} is missing")
        return self.rest.pop(0).text

    def number(self, what: str) -> float:
        """The next token as a number."""
        if not self.rest or self.rest[0].kind == "mark":
            raise self.refuse(f"{what} is missing")
        return self.evaluate(expression_of(self.statement.line, [self.rest.pop(0)], self.name))

    def setting(self, name: str) -> float | None:
        expression = self.settings.pop(name, None)
        return None if expression is None else self.evaluate(expression)

    def evaluate(self, expression: Expression) -> float:
        return self.around.scope.number(expression, self.statement.line, self.name)

    def done(self, hint: str = "") -> None:
        """Refuse what is left."""
        left = [*map(str, self.rest), *(f"{name}=" for name in self.settings)]
        if left:
            raise self.refuse(f"{shorten(left[0])[1:-1]} is not understood{hint}")

    def one(self, kind: type[Element], nodes: tuple[str, ...], value: float, **more: object) -> list[Placed]:
        return [Placed(kind, self.name, nodes, value, self.statement, **more)]  # type: ignore[arg-type]

    def take(self, mark: str) -> bool:
        """Whether this mark comes next, which is then taken."""
        if self.rest and self.rest[0] == Token("mark", mark):
            del self.rest[0]
            return True
        return False

    def control(self) -> tuple[str, str]:
        """Two controlling nodes: ``a b``, ``a,b``, ``(a b)`` or ``(a,b)``; any other comma moves ngspice's nodes."""
        opened = self.take("(")
        (p,) = self.nodes(1)
        self.take(",")
        (n,) = self.nodes(1)
        if opened and not self.take(")"):
            raise self.refuse("parentheses do not match")
        return p, n


def node_name(written: str) -> str:
    """A node's name: lower case, ground as ``0``."""
    return "0" if written in ("0", "gnd") else written


# --- passive elements ----------------------------------------------------------------------


def _passive(read: _Reader, letter: str, words: tuple[str, ...], kind: str, heat: float) -> float:
    """The value of R, L or C at its temperature, which is ``heat`` K above the deck's."""
    scope = read.around.scope
    value = next((found for word in words if (found := read.setting(word)) is not None), None)
    model = None
    if read.rest and read.rest[0].kind == "word":
        model = scope.definition.model(read.rest[0].text)
        if model is not None:
            read.rest.pop(0)
    if value is None and read.rest:
        value = read.number("its value")
        if read.rest and read.rest[0].kind == "word" and model is None:
            model = scope.definition.model(read.rest[0].text)
            if model is None:
                raise read.refuse(f"there is no model {shorten(read.rest[0].text)}")
            read.rest.pop(0)
    if value is None:
        raise read.refuse(f"has no value: write {letter}NAME node node VALUE")
    first, second, nominal = read.setting("tc1"), read.setting("tc2"), read.around.nominal
    if model is not None:
        if model.kind not in (letter, kind):
            raise read.refuse(f"its model is of type {shorten(model.kind)}, not {kind}")
        for name, expression in model.settings.items():
            if name not in ("tc1", "tc2", "tnom"):
                raise read.refuse(f"its model sets {name}; only tc1, tc2 and tnom are taken, and the value on its line")
            number = scope.number(expression, model.line, name)
            if name == "tnom":
                nominal = number
            elif name == "tc1" and first is None:
                first = number
            elif name == "tc2" and second is None:
                second = number
    rise = read.around.temperature + heat - nominal
    value *= 1.0 + (first or 0.0) * rise + (second or 0.0) * rise**2
    return value


def _heat(read: _Reader) -> float:
    heat = read.setting("dtemp") or 0.0
    if read.around.temperature + heat < -CELSIUS:
        raise read.refuse(f"dtemp={heat:g}: below absolute zero")
    return heat


def _several(read: _Reader) -> float:
    count = read.setting("m")
    if count is not None and not count > 0:
        raise read.refuse(f"m={count:g}: it must be positive")
    return 1.0 if count is None else count


def _resistor(read: _Reader) -> list[Placed]:
    nodes = read.nodes(2)
    noisy = read.setting("noisy")
    heat = _heat(read)
    value = _passive(read, "r", ("r", "resistance"), "res", heat) / _several(read)
    read.done("; noisy, m, tc1, tc2 and dtemp are known")
    if value == 0:
        raise read.refuse("has no resistance: join its nodes, or use a voltage source of 0 V")
    if value < 0 and noisy != 0:
        raise read.refuse("is negative and would make negative noise: write noisy=0")
    if noisy not in (None, 0.0, 1.0):
        raise read.refuse(f"noisy={noisy:g}: it is 0 or 1")
    return read.one(Resistor, nodes, value, noisy=noisy != 0, heat=heat)


def _capacitor(read: _Reader) -> list[Placed]:
    nodes = read.nodes(2)
    if "q" in read.settings:
        return _charged(read, nodes)
    read.settings.pop("ic", None)
    value = _passive(read, "c", ("c", "capacitance"), "cap", _heat(read)) * _several(read)
    read.done("; ic, m, tc1, tc2 and dtemp are known, parasitics are elements of their own")
    if value < 0:
        raise read.refuse("is negative")
    return read.one(Capacitor, nodes, value)


def _charged(read: _Reader, nodes: tuple[str, ...]) -> list[Placed]:
    """A capacitor by its charge, where that is a multiple of its voltage."""
    charge = read.around.scope.value(read.settings.pop("q"), read.statement.line, read.name)
    read.settings.pop("ic", None)
    read.done("; q and ic are known of a capacitor that is given by its charge")
    linear = charge if isinstance(charge, Linear) else Linear(charge)
    terms = {key: value for key, value in linear.terms.items() if value != 0}
    p, n = nodes
    value = terms.get(("v", p), 0.0) if p != "0" else -terms.get(("v", n), 0.0)
    own = {("v", node): sign * value for node, sign in ((p, 1.0), (n, -1.0)) if node != "0" and value != 0}
    if terms != own or linear.constant != 0:
        raise read.nonlinear("its charge is no multiple of its voltage")
    if value < 0:
        raise read.refuse("is negative")
    return read.one(Capacitor, nodes, value)


def _inductor(read: _Reader) -> list[Placed]:
    nodes = read.nodes(2)
    read.settings.pop("ic", None)
    if "flux" in read.settings:
        raise read.nonlinear("is given by its flux")
    value = _passive(read, "l", ("l", "inductance"), "ind", _heat(read)) / _several(read)
    read.done("; ic, m, tc1, tc2 and dtemp are known, parasitics are elements of their own")
    if not value > 0:
        raise read.refuse(f"is {value:g} H: it must be positive")
    return read.one(Inductor, nodes, value)


def _mutual(read: _Reader) -> list[Placed]:
    names = [token.text for token in read.rest[:-1] if token.kind == "word"]
    read.rest = read.rest[-1:]
    value = read.setting("k")
    value = read.number("its coefficient") if value is None else value
    read.done()
    if len(names) < 2 or any(name[0] != "l" for name in names) or len(set(names)) < len(names):
        raise read.refuse("needs two inductors and a coefficient: KNAME LNAME LNAME K")
    if not -1 <= value <= 1:
        raise read.refuse(f"couples with {value:g}: a coefficient is between -1 and 1")
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
    return [
        Placed(
            MutualInductance,
            read.name if len(pairs) == 1 else f"{read.name}_{k}",
            (),
            value,
            read.statement,
            branches=pair,
        )
        for k, pair in enumerate(pairs, start=1)
    ]


# --- independent sources -------------------------------------------------------------------

_WAVES = ("sin", "sine", "pulse", "pwl", "exp", "sffm", "am", "wavefile", "external", "noise")


def _source(read: _Reader) -> list[Placed]:
    kind = VoltageSource if read.name[0] == "v" else CurrentSource
    nodes = read.nodes(2)
    value: float | None = None
    wave: Wave | None = None
    stimulus: str | None = None
    shape: list[Token] = []
    ac = read.settings.pop("ac", None) is not None
    value = read.setting("dc")
    while read.rest:
        token = read.rest[0]
        word = token.text if token.kind == "word" else ""
        if word in ("trnoise", "trrandom"):
            read.rest.pop(0)
            wave = _noise(read, word, _arguments(read))
        elif word in _WAVES:
            stimulus = word
            read.rest.pop(0)
            shape = _arguments(read)
        elif word == "ac":
            ac = True
            read.rest.pop(0)
            for _ in range(2):  # magnitude and phase, either of which may be left out
                if read.rest and read.rest[0].kind != "mark" and read.rest[0].text not in ("dc", *_WAVES, *_NOISES):
                    read.number("its magnitude")
        elif value is None and token.kind != "mark" and (word == "dc" or stimulus is None):
            if word == "dc":
                read.rest.pop(0)
            value = read.number("its value")
        else:
            break
    read.done("; dc, ac, trnoise and trrandom are known")
    if value is None and stimulus is not None:
        value = _start(read, stimulus, shape)
    return read.one(kind, nodes, value or 0.0, wave=wave, stimulus=stimulus, ac=ac)


def _start(read: _Reader, stimulus: str, shape: list[Token]) -> float:
    """What a source without ``dc`` is in an operating point: its waveform at the start."""
    numbers = [read.evaluate(expression_of(read.statement.line, [token], stimulus)) for token in shape]
    value = at_start(stimulus, numbers) if stimulus in STARTS else None
    if value is None:
        raise read.refuse(f"the value of {stimulus} at the start is not known here: give dc VALUE before it")
    return value


_NOISES = ("trnoise", "trrandom")


def _arguments(read: _Reader) -> list[Token]:
    """What stands in the parentheses of a waveform, or behind it where there are none."""
    found: list[Token] = []
    if not read.rest or read.rest[0].text != "(" or read.rest[0].kind != "mark":
        while read.rest and read.rest[0].text not in ("dc", "ac", *_WAVES, *_NOISES):
            found.append(read.rest.pop(0))
        return [token for token in found if token.kind != "mark"]
    read.rest.pop(0)
    while read.rest:
        token = read.rest.pop(0)
        if token.kind != "mark":
            found.append(token)
        elif token.text == ")":
            return found
        elif token.text != ",":
            break
    raise read.refuse("parentheses do not match")


def _noise(read: _Reader, word: str, given: list[Token]) -> Wave:
    numbers = [read.evaluate(expression_of(read.statement.line, [token], word)) for token in given]
    if word == "trnoise":
        amplitude, hold, *more = [*numbers, 0.0, 0.0][: max(2, len(numbers))]
        if any(more):
            raise read.refuse("only white noise is taken: trnoise(NA NT 0 0)")
    else:
        kind, hold, delay, amplitude, mean = [*numbers, *[0.0] * 5][:5]
        if kind != 2 or delay != 0 or mean != 0 or len(numbers) > 5:
            raise read.refuse("only Gaussian noise without delay and mean is taken: trrandom(2 TS 0 SIGMA 0)")
    if not hold > 0:
        raise read.refuse(f"holds its samples for {hold:g} s: it must be positive")
    return Wave(word, 2.0 * amplitude**2 * hold, hold)


# --- controlled sources --------------------------------------------------------------------


def _controlled(read: _Reader) -> list[Placed]:
    """E and G: linear, POLY, or behavioural."""
    voltage = read.name[0] == "e"
    nodes = read.nodes(2)
    word = read.rest[0].text if read.rest and read.rest[0].kind == "word" else ""
    for name in ("value", "vol") if voltage else ("value", "cur"):
        if name in read.settings:
            return _behavioural(read, nodes, read.settings.pop(name), voltage)
        if word == name and len(read.rest) == 2:
            return _behavioural(
                read, nodes, expression_of(read.statement.line, read.rest[1:], name, "expression"), voltage, 2
            )
    if word in ("laplace", "table", "freq", "chebyshev"):
        raise read.nonlinear(f"{word} is not a linear, lumped element")
    if word == "poly":
        return _polynomial(read, nodes, voltage)
    control = read.control()
    gain = read.setting("gain")
    gain = (read.number("its gain") if gain is None else gain) * (1.0 if voltage else _several(read))
    read.done()
    kind = VoltageControlledVoltageSource if voltage else Transconductor
    return read.one(kind, (*nodes, *control), gain)


def _current_controlled(read: _Reader) -> list[Placed]:
    """F and H: linear or POLY."""
    voltage = read.name[0] == "h"
    nodes = read.nodes(2)
    if read.rest and read.rest[0].text == "poly":
        return _polynomial(read, nodes, voltage)
    source = read.word("the voltage source whose current controls it")
    gain = read.number("its gain") * (1.0 if voltage else _several(read))
    read.done()
    kind = CurrentControlledVoltageSource if voltage else CurrentControlledCurrentSource
    return read.one(kind, nodes, gain, branches=(source,))


def _polynomial(read: _Reader, nodes: tuple[str, ...], voltage: bool) -> list[Placed]:
    del read.rest[0]
    opened = read.take("(")
    count = read.number("the dimension of POLY")
    if opened and not read.take(")"):
        raise read.refuse("parentheses do not match")
    if count != int(count) or not 1 <= count <= 20:
        raise read.refuse("POLY(n) is taken for n from 1 to 20")
    dimension = int(count)
    if read.name[0] in "eg":
        controls = [tuple(("v", node) for node in read.control()) for _ in range(dimension)]
    else:
        controls = [(("i", read.word("a controlling source")),) for _ in range(dimension)]
    coefficients = []
    while read.rest:
        coefficients.append(read.number("a coefficient"))
    read.done()
    if len(coefficients) == 1:
        raise read.refuse("has one coefficient, a gain or a constant by simulator: write POLY(n) nodes CONSTANT GAIN")
    if any(coefficients[dimension + 1 :]):
        raise read.nonlinear("a polynomial of higher than first degree")
    total = Linear(coefficients[0] if coefficients else 0.0)
    for control, gain in zip(controls, coefficients[1:], strict=False):
        for key, sign in zip(control, (1.0, -1.0), strict=False):
            total = total.plus(Linear(0.0, {key: sign * gain}))
    return _sum(read, nodes, total, voltage)


def _behavioural_source(read: _Reader) -> list[Placed]:
    """B."""
    nodes = read.nodes(2)
    for name, voltage in (("v", True), ("i", False)):
        if name in read.settings:
            return _behavioural(read, nodes, read.settings.pop(name), voltage)
    raise read.refuse("needs v={...} or i={...}")


def _behavioural(
    read: _Reader, nodes: tuple[str, ...], expression: Expression, voltage: bool, taken: int = 0
) -> list[Placed]:
    del read.rest[:taken]
    own = f"{read.name}_int"
    if read.name[0] in "eg" and any(word.startswith(own) for word in read.around.scope.definition.words):
        raise read.refuse(
            f"has nodes {shorten(own)[1:-1]}1... inside for ngspice: give the deck's own node another name"
        )
    several = 1.0 if voltage else _several(read)
    read.done()
    for name in ("time", "hertz"):
        if name in expression.names:
            raise read.nonlinear(f"depends on {name}")
    if expression.functions & {"white", "rand", "random"}:
        raise read.nonlinear(
            "draws random numbers; for white noise write a source, to which spu import --density NAME=VALUE gives one"
        )
    if expression.functions & {"ddt", "idt", "sdt", "idtmod", "delay", "absdelay", "laplace"}:
        raise read.nonlinear("derivatives and integrals in expressions are not taken: use C and L")
    value = read.around.scope.value(expression, read.statement.line, read.name)
    linear = value if isinstance(value, Linear) else Linear(value)
    return _sum(read, nodes, linear.times(several), voltage)


def _sum(read: _Reader, nodes: tuple[str, ...], total: Linear, voltage: bool) -> list[Placed]:
    """A sum of voltages as a chain of elements, a sum of currents as elements side by side."""
    terms = [(key, value) for key, value in total.terms.items() if value != 0]
    parts: list[tuple[type[Element], tuple[str, ...], tuple[str, ...], float]] = []
    while terms:
        (kind, name), value = terms.pop(0)
        if kind == "i":
            which: type[Element] = CurrentControlledVoltageSource if voltage else CurrentControlledCurrentSource
            parts.append((which, (), (name,), value))
            continue
        p = node_name(name)
        # v(a) - v(b) arrives as two terms.
        other = next((k for k, (key, v) in enumerate(terms) if key[0] == "v" and v == -value), None)
        n = "0" if other is None else node_name(terms.pop(other)[0][1])
        parts.append((VoltageControlledVoltageSource if voltage else Transconductor, (p, n), (), value))
    if total.constant != 0 or not parts:
        parts.append((VoltageSource if voltage else CurrentSource, (), (), total.constant))
    middle = f"mid_{read.name}_"
    while any(word.startswith(middle) for word in read.around.scope.definition.words):
        middle += "_"
    found = []
    for k, (which, control, branches, value) in enumerate(parts):
        ends = nodes
        if voltage:
            inner = [nodes[0], *(f"{middle}{j}" for j in range(1, len(parts))), nodes[1]]
            ends = (inner[k], inner[k + 1])
        name = read.name if _LETTERS[which] == read.name[0] and len(parts) == 1 else f"{_LETTERS[which]}{read.name}"
        name += f"_{k}" if len(parts) > 1 else ""
        found.append(Placed(which, name, (*ends, *control), value, read.statement, branches=branches))
    return found


_LETTERS: dict[type[Element], str] = {
    VoltageControlledVoltageSource: "e",
    CurrentControlledCurrentSource: "f",
    Transconductor: "g",
    CurrentControlledVoltageSource: "h",
    CurrentSource: "i",
    VoltageSource: "v",
}
_PLACE: dict[str, Callable[[_Reader], list[Placed]]] = {
    "r": _resistor,
    "l": _inductor,
    "c": _capacitor,
    "k": _mutual,
    "v": _source,
    "i": _source,
    "e": _controlled,
    "g": _controlled,
    "f": _current_controlled,
    "h": _current_controlled,
    "b": _behavioural_source,
}
