"""A device as a KiCad project: a schematic file for each kind of cell and coupler, and a sheet of it for each of them.

The format is that of KiCad 6, which later versions read. Sheets of one kind share a file, as instances of a
subcircuit share its lines, and what differs between them are fields of the *sheet* (``c``, ``code``, ``r``...), which
the components inside name as values, ``${c}``. KiCad has another way to say what differs, a list of values by instance
in the root file; only version 6 reads it, so that there is nothing but designators in it.

Identifiers are made of names (`spu.export.sexpr.uuid`), designators and places of the numbers of cells
(`spu.export.components`), and no date, hash or seed is written: two exports differ where their devices do.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from spu.base.errors import InputError, OptionError, OutputError
from spu.base.names import shorten
from spu.base.numbers import compact, plural
from spu.base.process import aside_folder
from spu.base.version import __version__
from spu.device.device import Device
from spu.emulator.dynamics import LinearDynamics, dynamics
from spu.emulator.laws.clocked import under_white_noise
from spu.emulator.laws.timing import timing
from spu.export.components import GROUND_NET, Board, Component, Kind, Sheet, Value, board
from spu.export.sexpr import at, effects, indented, mm, prop, quoted, uuid
from spu.export.symbols import LIBRARY, definition, symbol_of
from spu.spice.settings import sample_time

KIND, EACH = SHEETS = ("kind", "each")
"""Whether sheets of one kind share a file, or each has its own."""

MOST_SHEETS = 500
"""Of a schematic that anyone can find something in."""

GRID = 1.27
"""mm: that of KiCad's schematics; whatever is connected lies on it."""

_CHARACTER = 1.15
"""mm that a character takes at the usual size of text."""

_ROW = 2.54
_SMALL = ("A5", 210, 148)
_PAPERS = (("A4", 297, 210), ("A3", 420, 297), ("A2", 594, 420), ("A1", 841, 594), ("A0", 1189, 841))
_MARGIN, _TITLE_BLOCK = 15.24, 38.1
_VERSION = "20211123"


def kicad_project(device: Device, name: str, sheets: str = KIND) -> dict[str, str]:
    """All files of a KiCad project of a device.

    Parameters
    ----------
    device:
        Of one programming.
    name:
        Of the project.
    sheets:
        ``kind``: sheets of one kind share a file. ``each``: every one has its own, with its values in its components.

    Returns
    -------
        Text by the name of the file: ``name.kicad_pro``, ``name.kicad_sch`` (the root), a ``.kicad_sch`` for each kind
        or sheet, the library of symbols and its table.

    Raises
    ------
    OptionError
        For another word in ``sheets``.
    InputError
        If the device has more sheets than a schematic holds, or the project is called as a kind of its sheets is.
    """
    if sheets not in SHEETS:
        raise OptionError("sheets", f"is kind or each, not {shorten(sheets)}")
    laid = board(device)
    if len(laid.sheets) > MOST_SHEETS:
        raise InputError(
            f"a schematic of {len(laid.sheets):,} sheets is none that anyone reads: at most {MOST_SHEETS}; "
            "spu inspect --schematic draws a typical cell and its couplers"
        )
    sampled = _sample_time(laid) if sheets == EACH else None
    pages: dict[str, tuple[Sheet, _Drawing]] = {}
    for sheet in laid.sheets:
        own = sheet.name if sheets == EACH else sheet.kind.name
        pages.setdefault(own, (sheet, _Drawing(f"sheet {own}", None if sheets == KIND else sheet, sampled)))
    if name in pages:
        raise InputError(f"a project called {name} would have two schematics of that name: call the folder otherwise")
    children = {own: drawing for own, (_, drawing) in pages.items()}
    files = {f"{name}.kicad_pro": _project(name), f"{name}.kicad_sch": ""}
    files |= {f"{own}.kicad_sch": _child(sheet.kind, drawing) for own, (sheet, drawing) in pages.items()}
    files[f"{name}.kicad_sch"] = _root(laid, children)
    used = sorted({each for drawing in children.values() for each in drawing.symbols} | {"GND", "PWR_FLAG"})
    files[f"{LIBRARY}.kicad_sym"] = (
        f"(kicad_symbol_lib (version 20211014) (generator spu)\n"
        f"{indented(definition(each, embedded=False) for each in used)}\n)\n"
    )
    files["sym-lib-table"] = (
        f'(sym_lib_table\n  (lib (name {quoted(LIBRARY)})(type "KiCad")(uri "${{KIPRJMOD}}/{LIBRARY}.kicad_sym")'
        '(options "")(descr "Symbols of this schematic"))\n)\n'
    )
    return files


def write_kicad(device: Device, folder: Path, *, sheets: str = KIND, force: bool = False) -> tuple[Path, ...]:
    """Write a KiCad project, whole or not at all, and give the paths of its files.

    Into a folder that is there its files are put beside the others, such as a board's layout.

    Raises
    ------
    OutputError
        If one of the files is there and not to be replaced, or the folder cannot be written.
    InputError
        As `kicad_project`.
    """
    folder = folder.resolve()  # a project is called like its folder, and "." is no name
    files = kicad_project(device, folder.name, sheets)
    there = [name for name in files if (folder / name).exists()]
    if folder.exists() and not folder.is_dir():
        raise OutputError("is a file, and a KiCad project is a folder of several: name a folder", file=folder)
    if there and not force:
        raise OutputError("is there already: another folder, or --force", file=folder / there[0])
    try:
        with aside_folder(folder if folder.exists() else folder.parent) as aside:
            new = aside / "new"
            new.mkdir()  # with the user's own permissions: the folder aside is private
            for name, text in files.items():
                (new / name).write_text(text, encoding="utf-8", newline="\n")
            if folder.exists():
                for name in files:
                    (new / name).replace(folder / name)
            else:
                new.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", file=folder) from None
    return tuple(folder / name for name in files)


def _project(name: str) -> str:
    content = {
        "meta": {"filename": f"{name}.kicad_pro", "version": 1},
        "schematic": {"legacy_lib_dir": "", "legacy_lib_list": []},
        "text_variables": {},
    }
    return json.dumps(content, indent=2) + "\n"


def _snapped(length: float) -> float:
    """The next length on the grid."""
    return math.ceil(length / GRID - 1e-9) * GRID


def shown(sheet: Sheet, value: Value) -> str:
    """A value as fields hold it."""
    unit = value.unit if value.unit.endswith("rtHz") else ""
    return f"{compact(sheet.value(value))}{unit}"


@dataclass
class _Drawing:
    """What is drawn on one page: lines of its file, and the symbols that need a designator of their own.

    ``sheet`` is the only one that is of this page, where there is one; ``sampled`` the time (s) for which its noise
    sources hold their samples when KiCad's SPICE netlist is run.
    """

    name: str
    sheet: Sheet | None = None
    sampled: float | None = None
    lines: list[str] = field(default_factory=list)
    placed: list[tuple[str, Component | None]] = field(default_factory=list)
    """Identifiers of symbols, with their component; None for ground."""
    symbols: set[str] = field(default_factory=set)
    count: int = 0

    def fresh(self, *names: str) -> str:
        """An identifier of something on this page."""
        return uuid(self.name, *names)

    def wire(self, *points: tuple[float, float]) -> None:
        """Wires from point to point."""
        for (x, y), (to_x, to_y) in pairwise(points):
            mark = self.fresh("wire", mm(x), mm(y), mm(to_x), mm(to_y))
            self.lines.append(
                f"(wire (pts (xy {mm(x)} {mm(y)}) (xy {mm(to_x)} {mm(to_y)}))\n"
                f"  (stroke (width 0) (type default) (color 0 0 0 0))\n  (uuid {mark})\n)"
            )

    def junction(self, x: float, y: float) -> None:
        mark = self.fresh("junction", mm(x), mm(y))
        self.lines.append(f"(junction {at(x, y)} (diameter 0) (color 0 0 0 0)\n  (uuid {mark})\n)")

    def text(self, text: str, x: float, y: float, size: float = 1.27, *, bold: bool = False, name: str = "") -> None:
        """Words whose lower left corner is here."""
        mark = self.fresh("text", name or text, "" if name else mm(x), "" if name else mm(y))
        look = effects(size, "left bottom", bold=bold)
        self.lines.append(f"(text {quoted(text)} {at(x, y, 0)}\n  {look}\n  (uuid {mark})\n)")

    def label(self, net: str, x: float, y: float, *, left: bool, ports: Sequence[str] = ()) -> None:
        """The name of a wire, at its end: that of a pin of the sheet, of ground, or of a net of this page."""
        angle, side = (180, "right") if left else (0, "left")
        mark = self.fresh("label", net, mm(x), mm(y))
        if net in ports:
            head, look = f"hierarchical_label {quoted(net)} (shape bidirectional)", side
        elif net == GROUND_NET:
            head, look = f"global_label {quoted(net)} (shape input)", side
        else:
            head, look = f"label {quoted(net)}", f"{side} bottom"
        more = ""
        if net == GROUND_NET and net not in ports:
            more = "\n  " + prop("Intersheet References", "${INTERSHEET_REFS}", 0, at(x, y, 0), effects(hide=True))
        self.lines.append(f"({head} {at(x, y, angle)}\n  {effects(justify=look)}\n  (uuid {mark}){more}\n)")

    def ground(self, x: float, y: float, name: str) -> None:
        """The symbol of ground."""
        self.symbol("GND", x, y, ("ground", name), [("Reference", "#PWR?", True), ("Value", "GND", False)], None)

    def symbol(
        self,
        name: str,
        x: float,
        y: float,
        path: tuple[str, ...],
        fields: Sequence[tuple[str, str, bool]],
        component: Component | None,
        *,
        orientation: str = "",
        places: Sequence[tuple[float, float]] = (),
        justify: str = "left",
    ) -> None:
        """A symbol with fields (name, text, hidden); ``orientation`` is ``""``, ``"flipped"`` or ``"across"``."""
        drawn, mark = symbol_of(name), self.fresh("symbol", *path)
        self.symbols.add(name)
        self.placed.append((mark, component))
        angle, text_angle = (90, 90) if orientation == "across" else (0, 0)
        mirror = " (mirror x)" if orientation == "flipped" else ""
        kept = "no" if drawn.power else "yes"
        lines = [
            f"(symbol (lib_id {quoted(f'{LIBRARY}:{name}')}) {at(x, y, angle)}{mirror} (unit 1)",
            f"  (in_bom {kept}) (on_board {kept})",
            f"  (uuid {mark})",
        ]
        given = {each[0] for each in fields}
        every = [*fields[:2], *((each, "", True) for each in ("Footprint", "Datasheet") if each not in given)]
        every += fields[2:]
        for number, (key, text, hidden) in enumerate(every):
            dx, dy = places[number] if number < len(places) else (0.0, 0.0)
            if drawn.power and number == 1:
                dx, dy = 0.0, 3.81 if name == "GND" else -3.81
            side = "" if drawn.power else justify
            look = effects(justify=side, hide=hidden)
            lines.append("  " + prop(key, text, number, at(x + dx, y + dy, text_angle), look))
        lines += [f"  (pin {quoted(str(k))} (uuid {self.fresh('pin', *path, str(k))}))" for k in _numbers(name)]
        self.lines.append("\n".join([*lines, ")"]))


def _numbers(name: str) -> range:
    return range(1, len(symbol_of(name).pins) + 1)


def _page(drawing: _Drawing, paper: str, title: str, comments: Sequence[str], more: Sequence[str] = ()) -> str:
    """The text of a schematic file."""
    block = [f"(title {quoted(title)})", *(f"(comment {k} {quoted(each)})" for k, each in enumerate(comments, 1))]
    library = indented((definition(name, embedded=True) for name in sorted(drawing.symbols)), 4)
    return "\n".join(
        [
            f"(kicad_sch (version {_VERSION}) (generator spu)",
            "",
            f"  (uuid {drawing.fresh('page')})",
            "",
            f"  (paper {paper})",
            "",
            f"  (title_block\n{indented(block, 4)}\n  )",
            "",
            f"  (lib_symbols\n{library}\n  )" if library else "  (lib_symbols)",
            "",
            indented(drawing.lines),
            "",
            *(indented([each]) for each in more),
            ")",
            "",
        ]
    )


# ---- sheets of one kind ----

_PITCH, _HANGING = 38.1, 27.94
_CROSSING, _AMPLIFIER = 20.32, 30.48
_LEFT, _TOP = 25.4, 25.4
_ACROSS = 4


def _child(kind: Kind, drawing: _Drawing) -> str:
    """The schematic of all cells or couplers of a kind."""
    words = textwrap.wrap(kind.template.meaning, 120)
    for k, line in enumerate(words):
        drawing.text(line, 20.32, 20.32 + 2.54 * k, name=f"meaning {k}")
    y = _TOP + _snapped(2.54 * len(words))
    hanging: dict[str, list[Component]] = {}
    crossing, others = [], []
    for each in kind.components:
        apart = set(each.nodes) - {"0"}
        if len(each.nodes) == 2 and len(apart) == 1 and "0" in each.nodes:
            hanging.setdefault(apart.pop(), []).append(each)
        elif len(each.nodes) == 2:
            crossing.append(each)
        else:
            others.append(each)
    for net, components in hanging.items():
        for first in range(0, len(components), _ACROSS):
            _hang(kind, drawing, net, components[first : first + _ACROSS], y)
            y += _HANGING
    for k, each in enumerate(crossing):
        _cross(kind, drawing, each, _LEFT + 30.48 + (k % 2) * 2 * _PITCH, y + 5.08)
        if k % 2 or k == len(crossing) - 1:
            y += _CROSSING
    for k, each in enumerate(others):
        _stand(kind, drawing, each, _LEFT + 17.78 + (k % 3) * 1.5 * _PITCH, y + 7.62)
        if k % 3 == 2 or k == len(others) - 1:
            y += max(_AMPLIFIER, 2.54 * len(each.nodes) + 12.7)
    height = y + _TITLE_BLOCK
    comment = [f"Written by spu {__version__}"]
    paper = next((name for name, _, most in (_SMALL, *_PAPERS) if height <= most), "A0")
    return _page(drawing, quoted(paper), kind.name if drawing.sheet is None else drawing.sheet.name, comment)


def _fields(
    kind: Kind, component: Component, sheet: Sheet | None, sampled: float | None = None
) -> list[tuple[str, str, bool]]:
    """Fields of a component: name, text, whether hidden. Values that differ from sheet to sheet are names of theirs."""
    texts = [_text_of(kind, value, sheet) for value in component.values]
    value = texts[0]
    if component.symbol == "B":
        value = " ".join(f"{each.parameter}={text}" for each, text in zip(component.values, texts, strict=True))
    found = [("Reference", f"{component.letter}?", False), ("Value", value, False)]
    bank = component.bank
    if bank is not None:
        found.append(("Bank code", f"${{{bank.code}}}" if sheet is None else str(sheet.code(bank.code)), False))
    found.append(("Element", component.element, True))
    if bank is not None:
        resistive = component.symbol.startswith("R")
        unit = "S" if resistive else component.values[0].unit
        found += [
            ("Bank bits", str(bank.bank.bits), True),
            ("Bank coding", bank.bank.coding, True),
            (f"Bank LSB ({unit})", compact(bank.bank.lsb), True),
            (f"Bank offset ({unit})", compact(bank.bank.offset), True),
        ]
        found += [(f"Switch {key.replace('_', ' ')}", compact(each), True) for key, each in bank.switches.items()]
    if component.symbol != "B":
        pairs = zip(component.values[1:], texts[1:], strict=True)
        found += [(each.parameter, text, True) for each, text in pairs]
    if component.silent:
        found.append(("Noise", "none", True))
    if component.role:
        found.append(("Model", component.role, True))
    if sheet is None:
        # KiCad 6 takes the values of whatever sheet is open for all that share its file.
        found.append(("Spice_Netlist_Enabled", "N", True))
    elif component.symbol.endswith("NOISE") and sampled is not None:
        rms = _level(kind, component.values[0], sheet) / math.sqrt(2 * sampled)
        found += [
            ("Spice_Primitive", component.letter, True),
            ("Spice_Model", f"dc 0 ac 0 trrandom(2 {compact(sampled)} 0 {compact(rms)} 0)", True),
            ("Spice_Netlist_Enabled", "Y", True),
        ]
    return found


def _level(kind: Kind, value: Value, sheet: Sheet) -> float:
    """What is shown of a value, whether it is the same in all sheets of a kind or not."""
    fixed = kind.fixed.get(value.parameter)
    return sheet.value(value) if fixed is None else value.shown(fixed)


def _sample_time(laid: Board) -> float | None:
    """For how long noise sources hold a sample in KiCad's SPICE netlist: a round number of s, which seldom moves."""
    does = dynamics(laid.circuit)
    if not isinstance(does, LinearDynamics):
        return None
    exact = sample_time(laid.circuit, timing(under_white_noise(does.law)))
    decade = 10.0 ** math.floor(math.log10(exact))
    return max(step * decade for step in (1, 2, 5) if step * decade <= exact * (1 + 1e-9))


def _text_of(kind: Kind, value: Value, sheet: Sheet | None) -> str:
    if value.parameter not in kind.fixed:
        return f"${{{value.parameter}}}" if sheet is None else shown(sheet, value)
    unit = value.unit if value.unit.endswith("rtHz") else ""
    return f"{compact(value.shown(kind.fixed[value.parameter]))}{unit}"


def _put(kind: Kind, drawing: _Drawing, component: Component, x: float, y: float, orientation: str = "") -> None:
    """A component with its fields beside it."""
    fields = _fields(kind, component, drawing.sheet, drawing.sampled)
    half = symbol_of(component.symbol).half_width
    if orientation == "across":
        places = [(0.0, -5.08), (0.0, 5.08), (0.0, 0.0), (0.0, 0.0), (0.0, 7.62)]
        justify = ""
    else:
        right = half + 1.27
        places = [(right, -2.54), (right, 0.0), (0.0, 0.0), (0.0, 0.0), (right, 2.54)]
        justify = "left"
        if component.bank is not None:
            places[4] = (right + 6.35, 2.54)
            drawing.text("code", x + right, y + 2.54 + 0.635, name=f"code of {component.element}")
    drawing.symbol(
        component.symbol,
        x,
        y,
        (component.element,),
        fields,
        component,
        orientation=orientation,
        places=places,
        justify=justify,
    )


def _hang(kind: Kind, drawing: _Drawing, net: str, components: Sequence[Component], y: float) -> None:
    """Components from one net to ground, below one wire."""
    places = [_LEFT + 10.16 + k * _PITCH for k in range(len(components))]
    drawing.label(net, _LEFT, y, left=True, ports=kind.ports)
    drawing.wire(*((x, y) for x in [_LEFT, *places]))
    for k, (x, each) in enumerate(zip(places, components, strict=True)):
        drawing.wire((x, y), (x, y + 3.81))
        if k < len(places) - 1:
            drawing.junction(x, y)
        _put(kind, drawing, each, x, y + 7.62, "flipped" if each.nodes[0] == "0" else "")
        drawing.ground(x, y + 11.43, each.element)


def _cross(kind: Kind, drawing: _Drawing, component: Component, x: float, y: float) -> None:
    """A component between two nets, one to its left and one to its right."""
    for k, (net, side) in enumerate(zip(component.nodes, (-1, 1), strict=True)):
        end = x + side * 15.24
        drawing.wire((x + side * 3.81, y), (end, y))
        if net == "0":
            drawing.ground(end, y, f"{component.element} {k}")
        else:
            drawing.label(net, end, y, left=side < 0, ports=kind.ports)
    _put(kind, drawing, component, x, y, "across")


def _stand(kind: Kind, drawing: _Drawing, component: Component, x: float, y: float) -> None:
    """A component of more than two pins, each with a label or ground."""
    pins = symbol_of(component.symbol).pins
    for k, (pin, net) in enumerate(zip(pins, component.nodes, strict=True)):
        px, py = x + pin.x, y - pin.y
        upright = pin.angle in (90, 270)
        out = -2.54 if pin.angle == 270 else 2.54
        name = f"{component.element} {k}"
        if upright:
            if net == "0" and pin.angle == 90:
                drawing.ground(px, py, name)
                continue
            drawing.wire((px, py), (px, py + out), (px + 5.08, py + out))
            end = (px + 5.08, py + out)
            if net == "0":
                drawing.label(GROUND_NET, *end, left=False)
            else:
                drawing.label(net, *end, left=False, ports=kind.ports)
            continue
        if net == "0" and len(pins) == 4 and k == 3:
            drawing.wire((px, py), (px - 2.54, py), (px - 2.54, py + 2.54))
            drawing.ground(px - 2.54, py + 2.54, name)
            continue
        drawing.wire((px, py), (px - 2.54, py))
        drawing.label(GROUND_NET if net == "0" else net, px - 2.54, py, left=True, ports=kind.ports)
    _put(kind, drawing, component, x, y)


# ---- the root ----


@dataclass(frozen=True)
class _Box:
    """The size of a sheet on the root page, and its rows of values: name of the field, text."""

    rows: tuple[tuple[str, str], ...]
    width: float
    height: float


def _rows(sheet: Sheet) -> tuple[tuple[str, str], ...]:
    """Fields of a sheet: codes and values that other sheets of its kind may have otherwise."""
    found = {code: str(sheet.code(code)) for code in sheet.kind.codes}
    for component in sheet.kind.components:
        for value in component.values:
            if value.parameter not in sheet.kind.fixed:
                found[value.parameter] = shown(sheet, value)
    return tuple(found.items())


def _box(sheet: Sheet) -> _Box:
    rows = _rows(sheet)
    longest = max((len(text) for _, text in rows), default=0)
    names = max((len(name) for name, _ in rows), default=0)
    width = _snapped(max(_inset(sheet) + (longest + names + 1) * _CHARACTER + 2.54, 12.7))
    return _Box(rows, width, _snapped(_ROW * max(len(rows), len(sheet.nets), 1) + _ROW))


def _root(laid: Board, children: Mapping[str, _Drawing]) -> str:
    drawing = _Drawing("root")
    boxes = [_box(sheet) for sheet in laid.sheets]
    width = max(box.width for box in boxes)
    boxes = [replace(box, width=width) for box in boxes]
    label = max(len(net) for sheet in laid.sheets for net in sheet.nets.values()) * _CHARACTER + 3.81
    if any(GROUND_NET in sheet.nets.values() for sheet in laid.sheets):
        label += 7.62
    heading = max(len(sheet.name) for sheet in laid.sheets) * _CHARACTER
    pitch = _snapped(label + max(width, heading - label) + 2.54)
    places, columns, height = _places(laid, boxes, pitch)
    notes = _notes(laid, as_matrix=columns == len(laid.circuit.nodes))
    below = max(_TITLE_BLOCK, 2.54 * len(notes) + 7.62 * bool(laid.sources) + 15.24)
    need_x = 2 * _MARGIN + (columns - 1) * pitch + label + max(width, heading) + GRID
    need_y = height + _MARGIN + below + 10.16
    paper, page = _paper(need_x, need_y)
    for sheet, box, (x, y) in zip(laid.sheets, boxes, places, strict=True):
        _sheet(drawing, sheet, _page_of(sheet, children), box, _MARGIN + _snapped(label) + x, _MARGIN + 5.08 + y)
    bottom = math.floor((page - below) / GRID) * GRID
    _legend(drawing, laid, notes, bottom)
    sheets = [("/", "0"), *((f"/{_identity(sheet)}", str(sheet.number)) for sheet in laid.sheets)]
    pages = indented(f"(path {quoted(path)} (page {quoted(page)}))" for path, page in sheets)
    circuit = laid.circuit
    couplers = sum(kind.name.startswith("coupler") for kind in (sheet.kind for sheet in laid.sheets))
    title = f"SPU: {plural(len(circuit.nodes), 'cell')}, {plural(couplers, 'coupler')}"
    more = [
        f"(sheet_instances\n{pages}\n)",
        "",
        f"(symbol_instances\n{indented(_designators(laid, drawing, children))}\n)",
    ]
    return _page(drawing, paper, title, [f"Written by spu {__version__}"], more)


def _paper(width: float, height: float) -> tuple[str, float]:
    """A sheet of paper for so much (mm), and its height: a common one, unless half of a large one would be empty."""
    for name, x, y in _PAPERS:
        if width <= x and height <= y:
            if x <= 420 or width * height > x * y / 2:
                return quoted(name), y
            break
    width, height = (10.0 * math.ceil(max(each, least) / 10) for each, least in ((width, 297), (height, 210)))
    return f'"User" {mm(width)} {mm(height)}', height


def _page_of(sheet: Sheet, children: Mapping[str, _Drawing]) -> str:
    return sheet.name if sheet.name in children else sheet.kind.name


def _identity(sheet: Sheet) -> str:
    return uuid("sheet", sheet.name)


def _places(laid: Board, boxes: Sequence[_Box], pitch: float) -> tuple[list[tuple[float, float]], int, float]:
    """Where sheets are, how many columns of them, and how high all are.

    As the matrix has them, cells on its diagonal and couplers above it, as long as that fits a large sheet of paper;
    else one behind the other.
    """
    gap = 8.89
    count = len(laid.circuit.nodes)
    slots: dict[tuple[int, int], float] = {}
    inside = []
    for sheet, box in zip(laid.sheets, boxes, strict=True):
        used = slots.get(sheet.place, 0.0)
        inside.append(used)
        slots[sheet.place] = used + box.height + gap
    heights = [max((h for (row, _), h in slots.items() if row == k), default=0.0) for k in range(count)]
    _, most_x, most_y = _PAPERS[-1]
    room_x, room_y = most_x - 2 * _MARGIN, most_y - _MARGIN - _TITLE_BLOCK - 20
    if count * pitch <= room_x and sum(heights) <= room_y:
        tops = [sum(heights[:k]) for k in range(count)]
        at_place = [
            (sheet.place[1] * pitch, tops[sheet.place[0]] + down)
            for sheet, down in zip(laid.sheets, inside, strict=True)
        ]
        return at_place, count, sum(heights)
    row = max(box.height for box in boxes) + gap
    columns = max(round(math.sqrt(1.4 * len(boxes) * row / pitch)), 1)
    found = [(k % columns * pitch, k // columns * row) for k in range(len(boxes))]
    return found, columns, -(-len(boxes) // columns) * row


_COLOURS, _OTHERS = {"cell": "232 240 250", "coupler": "250 244 226"}, "236 244 232"
"""Red, green and blue of sheets; those that are neither cells nor couplers have the last."""


def _sheet(drawing: _Drawing, sheet: Sheet, page: str, box: _Box, x: float, y: float) -> None:
    """A sheet's symbol, with labels at its pins and its values inside."""
    mark = _identity(sheet)
    x, y = round(x / GRID) * GRID, round(y / GRID) * GRID
    lines = [
        f"(sheet {at(x, y)} (size {mm(box.width)} {mm(box.height)}) (fields_autoplaced)",
        "  (stroke (width 0.1524) (type solid) (color 0 0 0 0))",
        f"  (fill (color {_COLOURS.get(sheet.kind.name.partition('_')[0], _OTHERS)} 1.0000))",
        f"  (uuid {mark})",
        "  " + prop("Sheet name", sheet.name, 0, at(x, y - 0.635, 0), effects(justify="left bottom")),
        "  " + prop("Sheet file", f"{page}.kicad_sch", 1, at(x, y, 0), effects(justify="left top", hide=True)),
    ]
    for k, (name, text) in enumerate(box.rows):
        level = y + _ROW * (k + 1)
        place = at(x + box.width - 1.27, level, 0)
        lines.append("  " + prop(name, text, k + 2, place, effects(justify="right")))
        drawing.text(name, x + _inset(sheet), level + 0.635, name=f"{name} of {sheet.name}")
    longest = _CHARACTER * max(len(net) for net in sheet.nets.values())
    for k, (port, net) in enumerate(sheet.nets.items()):
        level = y + _ROW * (k + 1)
        pin = uuid("sheet", sheet.name, "pin", port)
        lines.append(
            f"  (pin {quoted(port)} bidirectional {at(x, level, 180)}\n"
            f"    {effects(justify='left')}\n    (uuid {pin})\n  )"
        )
        # A global label is a box: it stands to the left of its neighbours' names.
        end = x - _snapped(2.54 + (longest if net == GROUND_NET else 0.0))
        drawing.wire((x, level), (end, level))
        drawing.label(net, end, level, left=True)
    drawing.lines.append("\n".join([*lines, ")"]))


def _inset(sheet: Sheet) -> float:
    return 2.54 + _CHARACTER * max(len(port) for port in sheet.nets)


def _notes(laid: Board, *, as_matrix: bool) -> list[str]:
    circuit = laid.circuit
    order = "Sheets stand where the matrix has its entries" if as_matrix else "Cells stand before couplers"
    found = [
        "Each sheet is an instance of a subcircuit of the netlist, its fields are the values there; code is a bank's.",
        f"{order}, and have the numbers of their cells: the first capacitor of",
        "cell 3 is C301, that of the coupler of cells 3 and 7 is C3701 (C30701 of ten cells or more).",
        f"Temperature {circuit.temperature:g} K.",
    ]
    if circuit.ramped:
        found.append("Couplers or noise follow a ramp in time, which is not drawn: values are those at a factor of 1.")
    if circuit.start is not None:
        found.append("Cells are started at given voltages, which is not drawn.")
    if circuit.clocked is not None:
        found.append("Noise is made by clocked samples (detail.noise.clock): densities are theirs at low frequencies.")
    return found


def _legend(drawing: _Drawing, laid: Board, notes: Sequence[str], y: float) -> None:
    """What stands at the lower left: notes, shared noise sources, what drives ground."""
    x = 25.4
    for k, line in enumerate(notes):
        drawing.text(line, x, y + 2.54 * k, name=f"note {k}")
    y = math.ceil((y + 2.54 * len(notes) + 3.81) / GRID) * GRID
    drawing.ground(x, y, "flag")
    fields = [("Reference", "#FLG?", True), ("Value", "PWR_FLAG", True)]
    drawing.symbol("PWR_FLAG", x, y, ("flag",), fields, None)
    for k, name in enumerate(laid.sources):
        left = x + 17.78 + k * _PITCH
        drawing.label(name, left, y - 2.54, left=False)
        drawing.wire((left, y - 2.54), (left, y))
        _put_source(drawing, name, left, y + 3.81)
        drawing.ground(left, y + 7.62, f"source {name}")


def _put_source(drawing: _Drawing, name: str, x: float, y: float) -> None:
    fields = [("Reference", "V?", False), ("Value", "1nV/rtHz", False), ("Element", name, True)]
    places = [(3.81, -1.27), (3.81, 1.27)]
    drawing.symbol("V_NOISE", x, y, ("source", name), fields, None, places=places)


def _designators(laid: Board, root: _Drawing, children: Mapping[str, _Drawing]) -> Iterator[str]:
    """Designators of all symbols on all sheets."""
    powers, sources, flags = 0, 0, 0

    def line(path: str, reference: str, value: str) -> str:
        return (
            f"(path {quoted(path)}\n  (reference {quoted(reference)}) (unit 1) (value {quoted(value)}) "
            '(footprint "")\n)'
        )

    flag, own = root.fresh("symbol", "flag"), {root.fresh("symbol", "source", name) for name in laid.sources}
    for mark, _ in root.placed:
        if mark == flag:
            flags += 1
            yield line(f"/{mark}", f"#FLG{flags:02d}", "PWR_FLAG")
        elif mark in own:
            sources += 1
            yield line(f"/{mark}", f"V{sources}", "1nV/rtHz")
        else:
            powers += 1
            yield line(f"/{mark}", f"#PWR{powers:02d}", "GND")
    grounds: Counter[int] = Counter()  # by the number of the sheet, which two may share
    for sheet in laid.sheets:
        place = f"/{_identity(sheet)}"
        page = children[_page_of(sheet, children)]
        for mark, component in page.placed:
            if component is None:
                grounds[sheet.number] += 1
                yield line(f"{place}/{mark}", f"#PWR{sheet.number}{grounds[sheet.number]:02d}", "GND")
            else:
                value = _fields(sheet.kind, component, page.sheet)[1][1]
                yield line(f"{place}/{mark}", sheet.designator(component), value)
