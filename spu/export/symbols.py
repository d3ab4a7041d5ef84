"""Symbols of KiCad schematics: what each component looks like and where its pins are. Drawn here, mm, y upwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spu.export.sexpr import at, effects, indented, mm, prop, quoted

LIBRARY = "spu"
"""The name of the symbol library that stands beside a schematic."""

_LINE = "(stroke (width 0.254) (type default) (color 0 0 0 0))"
_NONE, _FILLED = "(fill (type none))", "(fill (type outline))"


@dataclass(frozen=True)
class Pin:
    """A pin: where wires end, the angle at which it goes into the body, how long it is."""

    x: float
    y: float
    angle: int
    length: float = 1.27
    kind: str = "passive"
    name: str = "~"


@dataclass(frozen=True)
class Symbol:
    """A symbol: words, pins in the order of the element's nodes, its drawing, half its width."""

    words: str
    letter: str
    pins: tuple[Pin, ...]
    drawing: tuple[str, ...]
    half_width: float = 2.54
    power: bool = False
    value: str = ""


def _points(*points: tuple[float, float]) -> str:
    return " ".join(f"(xy {mm(x)} {mm(y)})" for x, y in points)


def _polyline(*points: tuple[float, float], fill: str = _NONE) -> str:
    return f"(polyline (pts {_points(*points)}) {_LINE} {fill})"


def _circle(x: float, y: float, radius: float) -> str:
    return f"(circle (center {mm(x)} {mm(y)}) (radius {mm(radius)}) {_LINE} {_NONE})"


def _box(x: float, y: float) -> str:
    return f"(rectangle (start {mm(-x)} {mm(-y)}) (end {mm(x)} {mm(y)}) {_LINE} {_NONE})"


def _arrow(x: float, tail: float, tip: float) -> tuple[str, str]:
    """A vertical arrow."""
    back = 0.762 if tip > tail else -0.762
    head = _polyline((x - 0.508, tip - back), (x, tip), (x + 0.508, tip - back), (x - 0.508, tip - back), fill=_FILLED)
    return _polyline((x, tail), (x, tip)), head


def _coil(top: float, turns: int, height: float) -> tuple[str, ...]:
    found = []
    for k in range(turns):
        start, end = top - k * height, top - (k + 1) * height
        middle = f"(mid {mm(height / 2)} {mm((start + end) / 2)})"
        found.append(f"(arc (start 0 {mm(start)}) {middle} (end 0 {mm(end)}) {_LINE} {_NONE})")
    return tuple(found)


def _text(text: str, x: float, y: float, size: float = 1.27) -> str:
    return f"(text {quoted(text)} {at(x, y, 0)} {effects(size)})"


_TWO = (Pin(0, 3.81, 270), Pin(0, -3.81, 90))
_CONTROLLED = (
    Pin(2.54, 3.81, 270, 1.27, name="p"),
    Pin(2.54, -3.81, 90, 1.27, name="n"),
    Pin(-5.08, 1.27, 0, 2.54, name="c+"),
    Pin(-5.08, -1.27, 0, 2.54, name="c-"),
)
_DIAMOND = (_polyline((2.54, 2.54), (5.08, 0), (2.54, -2.54), (0, 0), (2.54, 2.54)),)
_CONTROL = (_polyline((-2.54, 1.27), (-1.905, 1.27)), _polyline((-2.54, -1.27), (-1.905, -1.27)))
_WAVE = (
    _polyline((-1.016, -0.254), (-0.635, 0.508), (-0.254, -0.762), (0.127, 0.635), (0.508, -0.508), (0.889, 0.254)),
)

SYMBOLS: dict[str, Symbol] = {
    "R": Symbol("Resistor", "R", _TWO, (_box(1.016, 2.54),)),
    "C": Symbol(
        "Capacitor",
        "C",
        (Pin(0, 3.81, 270, 3.302), Pin(0, -3.81, 90, 3.302)),
        (_polyline((-2.032, 0.508), (2.032, 0.508)), _polyline((-2.032, -0.508), (2.032, -0.508))),
    ),
    "C_BANK": Symbol(
        "Bank of capacitors, set by a code",
        "C",
        (Pin(0, 3.81, 270, 3.302), Pin(0, -3.81, 90, 3.302)),
        (
            _polyline((-2.032, 0.508), (2.032, 0.508)),
            _polyline((-2.032, -0.508), (2.032, -0.508)),
            _polyline((-2.032, -2.032), (2.032, 2.032)),
            _polyline((1.143, 2.032), (2.032, 2.032), (2.032, 1.143)),
        ),
    ),
    "R_BANK": Symbol(
        "Bank of resistors, set by a code",
        "R",
        _TWO,
        (
            _box(1.016, 2.54),
            _polyline((-2.032, -2.032), (2.032, 2.032)),
            _polyline((1.143, 2.032), (2.032, 2.032), (2.032, 1.143)),
        ),
    ),
    "L": Symbol(
        "Inductor",
        "L",
        (Pin(0, 3.81, 270, 1.27), Pin(0, -3.81, 90, 1.27)),
        _coil(2.54, 4, 1.27),
    ),
    "L_CROSSED": Symbol(
        "Inductor behind an ideal transformer 1 : -1",
        "T",
        _TWO,
        (*_coil(2.54, 4, 1.27), _circle(-0.762, 2.286, 0.254), _circle(-0.762, -2.286, 0.254)),
    ),
    "I": Symbol("Current source", "I", _TWO, (_circle(0, 0, 2.54), *_arrow(0, 1.524, -1.524))),
    "V": Symbol("Voltage source", "V", _TWO, (_circle(0, 0, 2.54), _text("+", 0, 1.397), _text("-", 0, -1.397))),
    "I_NOISE": Symbol(
        "White noise current",
        "I",
        _TWO,
        (_circle(0, 0, 2.54), *_arrow(-1.397, 1.27, -1.27), *_WAVE),
    ),
    "V_NOISE": Symbol(
        "White noise voltage", "V", _TWO, (_circle(0, 0, 2.54), _text("+", 0, 1.524), _text("-", 0, -1.524), *_WAVE)
    ),
    "G": Symbol(
        "Transconductor: a current g v(c+,c-) flows from p to n",
        "G",
        _CONTROLLED,
        (*_DIAMOND, *_arrow(2.54, 1.27, -1.27), *_CONTROL),
        5.08,
    ),
    "E": Symbol(
        "Voltage source controlled by a voltage",
        "E",
        _CONTROLLED,
        (*_DIAMOND, _text("+", 2.54, 1.143), _text("-", 2.54, -1.143), *_CONTROL),
        5.08,
    ),
    "B": Symbol(
        "Nonlinear element, by its coefficients",
        "B",
        _TWO,
        (_box(1.27, 2.54), _polyline((-2.286, -1.778), (-1.27, -1.778), (1.27, 1.778), (2.286, 1.778))),
    ),
    "GND": Symbol(
        "Ground",
        "#PWR",
        (Pin(0, 0, 270, 0, "power_in", "GND"),),
        (
            _polyline((0, 0), (0, -1.27)),
            _polyline((-1.27, -1.27), (1.27, -1.27)),
            _polyline((-0.762, -1.778), (0.762, -1.778)),
            _polyline((-0.254, -2.286), (0.254, -2.286)),
        ),
        power=True,
        value="GND",
    ),
    "PWR_FLAG": Symbol(
        "What drives ground, for the rules check",
        "#FLG",
        (Pin(0, 0, 90, 0, "power_out", "pwr"),),
        (_polyline((0, 0), (0, 1.27), (-1.016, 1.905), (0, 2.54), (1.016, 1.905), (0, 1.27)),),
        power=True,
        value="PWR_FLAG",
    ),
}
"""By their names in the library; pins stand in the order of the nodes of the element."""


def symbol_of(name: str) -> Symbol:
    """A symbol; of an element that has none, ``X5``, a box with so many pins."""
    if name in SYMBOLS:
        return SYMBOLS[name]
    count = int(name[1:])
    top = 1.27 * (count - 1)
    pins = tuple(Pin(-5.08, top - 2.54 * k, 0, 2.54, name=str(k + 1)) for k in range(count))
    return Symbol("Element", "U", pins, (_box(2.54, top + 1.27),), 5.08)


def definition(name: str, *, embedded: bool) -> str:
    """A symbol's lines, for a library or for the schematic that uses it."""
    symbol = symbol_of(name)
    letter = symbol.letter
    full = f"{LIBRARY}:{name}" if embedded else name
    head = f"(symbol {quoted(full)}{' (power)' if symbol.power else ''} (pin_numbers hide) (pin_names (offset 0) hide)"
    value = symbol.value or name
    hide = symbol.power
    where = symbol.half_width + 0.762
    bom = "no" if symbol.power else "yes"
    return "\n".join(
        [
            f"{head} (in_bom {bom}) (on_board {bom})",
            indented(
                [
                    prop("Reference", letter, 0, at(where, 1.27, 0), effects(justify="left", hide=hide)),
                    prop("Value", value, 1, at(where, -1.27, 0), effects(justify="left")),
                    prop("Footprint", "", 2, at(0, 0, 0), effects(hide=True)),
                    prop("Datasheet", "", 3, at(0, 0, 0), effects(hide=True)),
                    prop("ki_description", symbol.words, 4, at(0, 0, 0), effects(hide=True)),
                    f"(symbol {quoted(f'{name}_0_1')}\n{indented(symbol.drawing)}\n)",
                    f"(symbol {quoted(f'{name}_1_1')}\n{indented(_pins(symbol))}\n)",
                ]
            ),
            ")",
        ]
    )


def _pins(symbol: Symbol) -> Iterable[str]:
    for number, pin in enumerate(symbol.pins, start=1):
        hide = " hide" if pin.length == 0 and pin.kind == "power_in" else ""
        yield (
            f"(pin {pin.kind} line {at(pin.x, pin.y, pin.angle)} (length {mm(pin.length)}){hide} "
            f"(name {quoted(pin.name)} {effects()}) (number {quoted(str(number))} {effects()}))"
        )
