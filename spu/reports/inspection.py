"""A device in an engineer's figures: time constants, resonances and quality of cells, strengths of couplers.

And a netlist from elsewhere in what it has of these: noise sources, readouts, inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from itertools import cycle
from typing import TYPE_CHECKING, Any

from spu.base.layout import is_full
from spu.base.numbers import engineering, number
from spu.device.quantities import CELL_PARTS, COUPLER_PARTS
from spu.problems.conditional import ConditionalProblem
from spu.problems.problem import LinearProblem, Problem

if TYPE_CHECKING:
    from spu.base.arrays import FloatArray
    from spu.circuit.ramp import Ramp
    from spu.device.device import Device
    from spu.device.noises import SharedNoise
    from spu.device.quantities import Part
    from spu.emulator.predict import NetworkPrediction, Prediction
    from spu.spice.reader import ReadNetlist
    from spu.spice.reader.readout import Probe


@dataclass(frozen=True)
class CellLook:
    """A cell as an engineer sees it, its neighbours held at ground; a nonlinear one by its slopes at rest.

    Attributes
    ----------
    values:
        As programmed, SI.
    time_constant:
        s; the slower one where there are two; None without capacitance or loss, or where it would not stay at rest.
    resonance, quality:
        Hz and 1; None without inductance, and as above.
    flipped:
        Whether its variable is read with negative polarity.
    """

    name: str
    values: dict[str, float]
    time_constant: float | None
    resonance: float | None
    quality: float | None
    flipped: bool


@dataclass(frozen=True)
class CouplerLook:
    """A coupler as an engineer sees it.

    Attributes
    ----------
    values:
        As programmed, SI.
    kind:
        The quantity that couples most; one of either sign with its sign.
    strength:
        Its value over the geometric mean of what the two cells have of it in all.
    """

    a: str
    b: str
    values: dict[str, Any]
    kind: str
    strength: float


@dataclass(frozen=True)
class Look:
    """The cells and couplers of a device, or the first of them, and how many there are in all.

    ``noises`` are all sources that cells share. ``at_rest`` says whether figures are those of small signals about a
    state of rest; ``lines`` are colours and styles of the kinds of couplers.
    """

    cells: tuple[CellLook, ...]
    couplers: tuple[CouplerLook, ...]
    cell_count: int
    coupler_count: int
    noises: tuple[SharedNoise, ...] = ()
    at_rest: bool = False
    lines: Mapping[str, tuple[str, Any]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether no cell and no coupler is left out."""
        return len(self.cells) == self.cell_count and len(self.couplers) == self.coupler_count


def look_at(device: Device, limit: int | None = None) -> Look:
    """Work out the figures of the first ``limit`` cells and couplers, or of all."""
    import numpy as np

    ends, n = device.coupler_ends, len(device.cell_names)
    at_rest = _at_rest(device)

    # At every node, of the cell and the couplers that end there: F, S, 1/H.
    totals: dict[str, FloatArray] = {
        what: np.zeros(n) + at_rest.get(what, 0.0) for what in ("capacitance", "conductance", "stiffness")
    }
    for columns, nodes in ((device.cell_columns, [np.arange(n)]), (device.coupler_columns, ends.T)):
        for part in columns.parts.values():
            if part.total is not None and part.adds and any(columns.holds(key) for key in part.keys):
                values = sum(np.nan_to_num(part.share(columns.arrays[key])) for key in part.keys)
                for side in nodes:
                    totals[part.total] = totals[part.total] + np.bincount(side, values, n)
    moving = totals["capacitance"]
    if device.cell_columns.holds("clamp"):  # what a source holds has no time constant
        moving = np.where(np.isnan(device.cell_columns.arrays["clamp"]), moving, 0.0)
    gain = device.readout.matrix
    flipped = gain.diagonal() < 0 if gain.shape[0] == gain.shape[1] else np.zeros(n, dtype=bool)
    cells = tuple(
        CellLook(cell.name, cell.values, *_figures(float(c), float(g), float(k)), bool(inverted))
        for cell, c, g, k, inverted in zip(
            device.first_cells(limit), moving, totals["conductance"], totals["stiffness"], flipped, strict=False
        )
    )
    parts = device.coupler_columns.parts
    couplers = []
    for coupler, (a, b) in zip(device.first_couplers(limit), ends[:limit].tolist(), strict=True):
        strengths = {}
        for quantity, value in coupler.values.items():
            part = parts[quantity]
            pair = value if isinstance(value, tuple) else (value,)
            largest = max(pair, key=abs)
            own = totals[part.total][a] * totals[part.total][b] if part.total is not None else 0.0
            scale = float(np.sqrt(own)) if own > 0 else 0.0
            kind = quantity if part.positive else _signs(quantity)[int(largest < 0)]
            strengths[kind] = float(abs(part.share(largest))) / scale if scale > 0 else 0.0
        kind = max(strengths, key=lambda key: strengths[key], default="none")
        couplers.append(CouplerLook(coupler.a, coupler.b, coupler.values, kind, strengths.get(kind, 0.0)))
    return Look(cells, tuple(couplers), n, len(ends), tuple(device.noises), bool(at_rest), _lines(parts.values()))


_LEFT = ("tab:brown", "tab:pink", "tab:olive", "tab:gray")
"""Colours of couplers that bring none."""


def _signs(quantity: str) -> tuple[str, str]:
    return f"{quantity} > 0", f"{quantity} < 0"


def _lines(parts: Iterable[Part]) -> dict[str, tuple[str, Any]]:
    """Colour and style of couplers by their kind (see `CouplerLook`)."""
    parts = list(parts)
    taken = {colour for part in parts for colour, _ in part.lines}
    left = cycle([colour for colour in _LEFT if colour not in taken] or _LEFT)
    found: dict[str, tuple[str, Any]] = {}
    for part in parts:
        kinds = (part.quantity,) if part.positive else _signs(part.quantity)
        colour = "" if part.lines else next(left)
        lines = part.lines or ((colour, "solid"), (colour, "dotted"))
        found |= {kind: lines[min(number, len(lines) - 1)] for number, kind in enumerate(kinds)}
    return found


_COORDINATES = {"voltage": ("conductance", 1), "flux": ("stiffness", 1), "charge": ("capacitance", -1)}
"""What the slope of a law is, by the coordinate it is a law of, or what its inverse is: S, 1/H, F."""


def _at_rest(device: Device) -> dict[str, FloatArray]:
    """(n,) what nonlinear parts of the cells are to small signals where they come to rest, in all of each kind."""
    import numpy as np

    from spu.base.errors import CircuitError
    from spu.circuit.circuit import stamp_circuit
    from spu.device.lower import lower
    from spu.emulator.dynamics import LangevinDynamics, dynamics

    if not device.cell_names:
        return {}
    circuit = lower(device)
    does = dynamics(circuit)
    polynomials = stamp_circuit(circuit)[0].polynomials if isinstance(does, LangevinDynamics) else []
    if not isinstance(does, LangevinDynamics) or not polynomials:
        return {}
    try:
        x = does.rest_state
    except CircuitError:  # it does not come to rest, or has no equation: it is worth a look all the same
        return {}
    found: dict[str, FloatArray] = {}
    for coordinate, (cells, *_), law in polynomials:
        c1, c2, c3, _ = law.T
        slope = (3 * c3 * x[cells] + 2 * c2) * x[cells] + c1
        what, power = _COORDINATES[coordinate]
        total = found.setdefault(what, np.zeros(len(device.cell_names)))
        np.add.at(total, cells, slope if power > 0 else 1 / slope)
    return found


def _figures(c: float, g: float, k: float) -> tuple[float | None, float | None, float | None]:
    """Time constant, resonance and quality of ``c v'' + g v' + k v = 0``."""
    import numpy as np

    if c <= 0 or g <= 0 or k < 0:
        return None, None, None
    if k == 0:
        return float(np.float64(c) / g), None, None
    quality = np.sqrt(c) * np.sqrt(k) / g
    resonance = np.sqrt(k) / np.sqrt(c) / (2 * np.pi)
    if quality >= 0.5:
        time = 2 * np.float64(c) / g
    else:  # overdamped: the slow root
        time = np.float64(g) / k * (1 + np.sqrt(1 - 4 * quality**2)) / 2
    return float(time), float(resonance), float(quality)


def imperfections(device: Device) -> list[tuple[str, str]]:
    """What of a device's parts is not ideal: its words, and its value."""
    from spu.device.imperfections import key_of
    from spu.device.noise_shaping import flicker_poles, flicker_ripple

    found = [(key_of(effect).meaning, key_of(effect).shown(device.detail[effect])) for effect in device.detail.effects]
    if "flicker_corner" in device.detail.noise:
        least, most = flicker_ripple(device.detail)
        count = len(flicker_poles(device.detail)[0])
        found.append(
            ("1/f noise is", f"{count} first-order poles a source, {least:+.2%} to {most:+.2%} off 1/f in the band")
        )
    return found


def cell_table(cells: Sequence[CellLook]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, without the columns in which no cell has anything."""
    headers, rows = _values(CELL_PARTS, cells)
    more = [
        (
            engineering(cell.time_constant, "s"),
            engineering(cell.resonance, "Hz"),
            number(cell.quality, 3),
            "inverted" if cell.flipped else "-",
        )
        for cell in cells
    ]
    rows = [[cell.name, *row, *rest] for cell, row, rest in zip(cells, rows, more, strict=True)]
    return _without_empty(["cell", *headers, "time constant", "resonance", "Q", "readout"], rows)


def coupler_table(couplers: Sequence[CouplerLook]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, without the columns in which no coupler has anything."""
    headers, rows = _values(COUPLER_PARTS, couplers)
    rows = [[each.a, each.b, *row, number(each.strength, 3)] for each, row in zip(couplers, rows, strict=True)]
    return _without_empty(["cell", "cell", *headers, "strength"], rows)


def shared_table(noises: Sequence[SharedNoise]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of what sources that cells share drive into each."""
    rows = [
        [noise.name, cell, engineering(amplitude, "A/rtHz", 3)]
        for noise in noises
        for cell, amplitude in noise.amplitudes.items()
    ]
    return ["shared noise", "cell", "amplitude"], rows


def ramp_table(ramp: Ramp) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the instants of a ramp, one a line; an instant that stands twice is a jump."""
    rows = [
        [engineering(t, "s", 4), number(u, 5), number(s, 5)]
        for t, u, s in zip(ramp.times.tolist(), ramp.couplers.tolist(), ramp.noise.tolist(), strict=True)
    ]
    headers = ["time", *(name for name in ("couplers", "noise") if ramp.counts(name))]
    kept = [0, *(k for k, name in enumerate(("couplers", "noise"), start=1) if ramp.counts(name))]
    return headers, [[row[k] for k in kept] for row in rows]


RAMP_NOTE = (
    "Factors of all couplers, and of the amplitude of all injected noise, where they are not always 1; straight lines "
    "join them, and an instant that stands twice is a jump. All else that is said of the device is of its end."
)


def _values(
    parts: Mapping[str, Part], looks: Sequence[CellLook] | Sequence[CouplerLook]
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of what cells or couplers are programmed to, by their parts."""
    headers = [figure.heading for part in parts.values() for figure in part.table]
    rows = []
    for look in looks:
        row: list[str] = []
        for quantity, part in parts.items():
            row += shown(part, look.values.get(quantity))
        rows.append(row)
    return headers, rows


def shown(part: Part, value: Any) -> list[str]:
    """A value of a part as its columns in a table show it; dashes where there is none."""
    table = part.table
    if value is None:
        return ["-"] * len(table)
    values = value if isinstance(value, tuple) else (value,) * len(part.keys)
    if len(table) < len(values):
        return [" ".join(engineering(table[0].shown(each), "", 4).replace(" ", "") for each in values)]
    return [
        engineering(figure.shown(each), figure.unit, figure.digits) for figure, each in zip(table, values, strict=True)
    ]


def _without_empty(headers: Sequence[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Drop the columns in which no row has anything."""
    kept = [k for k in range(len(headers)) if any(row[k] != "-" for row in rows)]
    return [headers[k] for k in kept], [[row[k] for k in kept] for row in rows]


# --- the whole device -------------------------------------------------------------------------


def time_constant(value: float) -> str:
    """A time constant at rest, s, where potentials may be flat."""
    from spu.emulator.laws.rest import UNBOUNDED

    return "unbounded (flat)" if value >= UNBOUNDED / 2 else engineering(value, "s")


def time_constants(prediction: Prediction | NetworkPrediction) -> str:
    """Those of the whole device, the slowest and the fastest of many."""
    times = [time_constant(float(t)) for t in prediction.time_constants]
    listed = (
        ", ".join(times) if len(times) <= 12 or is_full() else f"{', '.join(times[:6])} ... {', '.join(times[-3:])}"
    )
    return f"time constants of the whole device ({len(times)}): {listed}"


@singledispatch
def about_problem(problem: Problem) -> str:
    """A problem in one line."""
    values = [(key, getattr(problem, key)) for key in problem.kind.values]
    return ", ".join([problem.task, *(f"{key} {value:g}" for key, value in values if isinstance(value, float))])


@about_problem.register
def _(problem: LinearProblem) -> str:
    return f"{problem.task}, condition number {problem.condition:.3g}"


@about_problem.register
def _(problem: ConditionalProblem) -> str:
    held = ", ".join(f"{name} = {value:g}" for name, value in problem.held.items())
    return f"{problem.task}, held {held}; condition number {problem.condition:.3g}"


# --- a netlist from elsewhere -----------------------------------------------------------------


def element_count(read: ReadNetlist) -> int:
    """How many elements its subcircuits have in all."""
    return sum(len(group.names) * len(group.subcircuit.elements) for group in read.circuit.instances)


def noise_table(read: ReadNetlist) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of what counts as noise."""
    rows = [
        [
            row.name,
            row.kind,
            f"{row.density:.4g} {row.unit}",
            engineering(row.density**0.5, f"{row.unit[0]}/rtHz"),
            row.into,
        ]
        for row in read.noise
    ]
    return ["noise source", "kind", "density", "its root", "into"], rows


def readout_table(read: ReadNetlist) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of what is read out."""
    return probe_table(read.probes)


def probe_table(probes: Sequence[Probe]) -> tuple[list[str], list[list[str]]]:
    """The same of probes."""
    return ["read out", "voltage"], [[probe.name, str(probe).partition(" = ")[2]] for probe in probes]


def input_table(read: ReadNetlist) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the sources that are not noise."""
    driven = "input of .ac, silent unless --density"
    rows = [[row.name, engineering(row.value, row.unit), driven if row.ac else ""] for row in read.inputs]
    return ["source", "constant", ""], rows
