"""The netlist of a KiCad schematic, by kiutils and geometry alone: nothing of what wrote it is used."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kiutils.items.schitems import Connection
from kiutils.schematic import Schematic

_SPICE = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "Meg": 1e6,
    "G": 1e9,
    "T": 1e12,
    "a": 1e-18,
}


class Part(NamedTuple):
    """A component on a sheet: its fields with what they name of the sheet put in, and the net of each pin."""

    reference: str
    symbol: str
    fields: dict[str, str]
    nets: tuple[str, ...]
    sheet: str

    @property
    def value(self) -> float:
        return number(self.fields["Value"])


def number(text: str) -> float:
    """A number with a letter of SPICE behind it, and a unit with a root behind that."""
    found = re.fullmatch(r"([-+0-9.e]+)(Meg|[afpnumkGT])?((?:A|V)/rtHz)?", text)
    assert found is not None, text
    return float(found[1]) * _SPICE.get(found[2] or "", 1.0)


class _Nets:
    def __init__(self) -> None:
        self.parent: dict[Any, Any] = {}

    def root(self, point: Any) -> Any:
        self.parent.setdefault(point, point)
        while self.parent[point] != point:
            point = self.parent[point]
        return point

    def join(self, a: Any, b: Any) -> None:
        self.parent[self.root(a)] = self.root(b)


def _at(x: float, y: float) -> tuple[int, int]:
    return round(x * 1e4), round(y * 1e4)


def _pins(symbol: Any, library: Any) -> dict[str, tuple[int, int]]:
    """Where the pins of a placed symbol are: KiCad turns anticlockwise, mirrors first, and has y downwards."""
    turn = math.radians(symbol.position.angle or 0)
    found = {}
    for unit in library.units:
        for pin in unit.pins:
            x, y = pin.position.X, pin.position.Y
            if symbol.mirror == "x":
                y = -y
            x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
            found[pin.number] = _at(symbol.position.X + x, symbol.position.Y - y)
    return found


def read_kicad(root: Path) -> list[Part]:
    """All components of a project, with hierarchical nets: ``/label`` of the root, ``/sheet/label``, ``GND``."""
    read = cache(Schematic.from_file)
    top = read(str(root))
    named = {each.path: (each.reference, each.value) for each in top.symbolInstances}
    nets, parts, names = _Nets(), list[Any](), defaultdict(set)

    def page(drawing: Schematic, place: str, path: str, properties: dict[str, str]) -> None:
        libraries = {each.libId: each for each in drawing.libSymbols}
        for item in drawing.graphicalItems:
            if isinstance(item, Connection):
                ends = [(path, _at(point.X, point.Y)) for point in item.points]
                nets.join(*ends)
        for label in drawing.labels:
            nets.join((path, _at(label.position.X, label.position.Y)), (path, label.text))
            names[path, label.text].add(f"{place}{label.text}")
        for label in drawing.hierarchicalLabels:
            nets.join((path, _at(label.position.X, label.position.Y)), (path, label.text))
        for label in drawing.globalLabels:
            nets.join((path, _at(label.position.X, label.position.Y)), ("global", label.text))
        for symbol in drawing.schematicSymbols:
            pins = _pins(symbol, libraries[symbol.libId])
            if libraries[symbol.libId].isPower:
                nets.join((path, pins["1"]), ("global", "GND"))
                continue
            reference, value = named[f"{path}/{symbol.uuid}"]
            fields = {each.key: each.value for each in symbol.properties}
            assert fields["Value"] == value
            assert set(pins) == set(symbol.pins)
            fields = {key: re.sub(r"\$\{(\w+)\}", lambda m: properties[m[1]], text) for key, text in fields.items()}
            where = [(path, pins[key]) for key in sorted(pins, key=int)]
            parts.append((reference, symbol.libId.partition(":")[2], fields, where, place))
        for sheet in drawing.sheets:
            inside = f"{path}/{sheet.uuid}"
            for pin in sheet.pins:
                nets.join((path, _at(pin.position.X, pin.position.Y)), (inside, pin.name))
            child = read(str(root.parent / sheet.fileName.value))
            held = {each.text for each in child.hierarchicalLabels}
            assert held == {pin.name for pin in sheet.pins}
            own = {each.key: each.value for each in sheet.properties}
            page(child, f"{place}{sheet.sheetName.value}/", inside, own)

    page(top, "/", "", {})
    called = {nets.root(("global", "GND")): "0"}
    for key, texts in names.items():
        for text in sorted(texts, key=lambda text: text.count("/")):
            known = called.setdefault(nets.root(key), text)
            if text.count("/") < known.count("/"):
                called[nets.root(key)] = text
    return [
        Part(reference, symbol, fields, tuple(called[nets.root(each)] for each in where), place)
        for reference, symbol, fields, where, place in parts
    ]


def read_own(file: Path) -> list[Part]:
    """The components of a netlist that KiCad itself has written, in its own format."""
    tree = _parsed(file.read_text())
    (components,) = (each for each in tree if each[0] == "components")
    (nets,) = (each for each in tree if each[0] == "nets")
    on: dict[str, dict[str, str]] = defaultdict(dict)
    for net in nets[1:]:
        fields = {each[0]: each[1] for each in net[1:] if each[0] != "node"}
        for node in (each for each in net[1:] if each[0] == "node"):
            where = {each[0]: each[1] for each in node[1:]}
            on[where["ref"]][where["pin"]] = "0" if fields["name"] == "GND" else fields["name"]
    parts = []
    for component in components[1:]:
        held = {each[0]: each[1:] for each in component[1:] if each[0] != "property"}
        fields = {each[1][1]: each[2] for each in held.get("fields", [])}
        source = {each[0]: each[1] for each in held["libsource"]}
        sheet = {each[0]: each[1] for each in held["sheetpath"]}
        (reference,), (value,) = held["ref"], held["value"]
        pins = on[reference]
        nets_of = tuple(pins[key] for key in sorted(pins, key=int))
        parts.append(Part(reference, source["part"], {**fields, "Value": value}, nets_of, sheet["names"]))
    return parts


def _parsed(text: str) -> Any:
    stack: list[list[Any]] = [[]]
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[()]|[^\s()"]+', text):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token[1:-1] if token[0] == '"' else token)
    return stack[0][0]
