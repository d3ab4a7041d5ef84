"""A device in an engineer's figures: time constants, resonances and quality of cells, strengths of couplers.

And a netlist from elsewhere in what it has of these: noise sources, readouts, inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spu.base.numbers import engineering, number

if TYPE_CHECKING:
    from spu.base.arrays import FloatArray
    from spu.device.device import Device
    from spu.spice.reader import ReadNetlist


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
        The quantity that couples most; a transconductance with its sign.
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

    ``at_rest`` says whether figures are those of small signals about a state of rest.
    """

    cells: tuple[CellLook, ...]
    couplers: tuple[CouplerLook, ...]
    cell_count: int
    coupler_count: int
    at_rest: bool = False

    @property
    def complete(self) -> bool:
        """Whether no cell and no coupler is left out."""
        return len(self.cells) == self.cell_count and len(self.couplers) == self.coupler_count


def look_at(device: Device, limit: int | None = None) -> Look:
    """Work out the figures of the first ``limit`` cells and couplers, or of all."""
    import numpy as np

    ends, n = device.coupler_ends, len(device.cell_names)
    at_rest = _at_rest(device)

    def total(quantity: str, power: int = 1) -> Any:
        """Sum of a quantity at every node: of the cell and the couplers that end there."""
        found: Any = at_rest.get(quantity, 0.0)
        for columns, nodes in ((device.cell_columns, [np.arange(n)]), (device.coupler_columns, ends.T)):
            if quantity in columns.arrays:
                values = np.nan_to_num(columns.arrays[quantity] ** power)
                found = found + sum(np.bincount(side, values, n) for side in nodes)
        return found

    totals = {"capacitance": total("capacitance"), "conductance": total("conductance")}
    stiffness = total("inductance", -1) + total("crossed_inductance", -1)  # 1/H
    gain = device.readout.matrix
    flipped = gain.diagonal() < 0 if gain.shape[0] == gain.shape[1] else np.zeros(n, dtype=bool)
    cells = tuple(
        CellLook(cell.name, cell.values, *_figures(float(c), float(g), float(k)), bool(inverted))
        for cell, c, g, k, inverted in zip(
            device.first_cells(limit), totals["capacitance"], totals["conductance"], stiffness, flipped, strict=False
        )
    )
    totals |= {"inductance": stiffness, "crossed_inductance": stiffness, "transconductance": totals["conductance"]}
    couplers = []
    for coupler, (a, b) in zip(device.first_couplers(limit), ends[:limit].tolist(), strict=True):
        strengths = {}
        for quantity, value in coupler.values.items():
            pair = value if isinstance(value, tuple) else (value,)
            largest = max(pair, key=abs)
            size = abs(1 / largest if quantity.endswith("inductance") else largest)
            own = totals[quantity][a] * totals[quantity][b]
            scale = float(np.sqrt(own)) if own > 0 else 0.0
            sign = f" {'<' if largest < 0 else '>'} 0" if quantity == "transconductance" else ""
            strengths[quantity + sign] = size / scale if scale > 0 else 0.0
        kind = max(strengths, key=lambda key: strengths[key], default="none")
        couplers.append(CouplerLook(coupler.a, coupler.b, coupler.values, kind, strengths.get(kind, 0.0)))
    return Look(cells, tuple(couplers), n, len(ends), bool(at_rest))


_SLOPES = {
    "polynomial_conductance": ("conductance", 1),
    "polynomial_inductance": ("inductance", 1),
    "polynomial_capacitance": ("capacitance", -1),
}
"""What the slope of each law is at a state: of a current over voltage (S), of a current over flux (1/H, as inductances
add up), of a voltage over charge (1/F)."""


def _at_rest(device: Device) -> dict[str, FloatArray]:
    """(n,) what nonlinear parts of the cells are to small signals where they come to rest, by linear quantity."""
    import numpy as np

    parts = [part for part in device.cell_columns.parts.values() if part.quantity in _SLOPES]
    held = [~np.isnan(device.cell_columns.arrays[part.keys[0]]) for part in parts]
    if not any(mask.any() for mask in held):
        return {}
    from spu.base.errors import CircuitError
    from spu.device.lower import lower
    from spu.emulator.dynamics import langevin_of

    try:
        x = langevin_of(lower(device)).rest_state
    except CircuitError:  # it does not come to rest, or has no equation: it is worth a look all the same
        return {}
    found: dict[str, FloatArray] = {}
    for part, mask in zip(parts, held, strict=True):
        c1, c2, c3 = [np.nan_to_num(device.cell_columns.arrays[key]) for key in part.keys]
        quantity, power = _SLOPES[part.quantity]
        slope = (3 * c3 * x + 2 * c2) * x + c1
        found[quantity] = np.where(mask, slope if power > 0 else 1 / np.where(mask, slope, 1.0), 0.0)
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


_LAWS = {
    "polynomial_conductance": "i of v: A/V, A/V^2, A/V^3",
    "polynomial_inductance": "i of flux: A/Wb, A/Wb^2, A/Wb^3",
    "polynomial_capacitance": "v of charge: V/C, V/C^2, V/C^3",
}
_CELL_HEADERS = (
    *("cell", "C", "R", "L", "noise", "bias"),
    *_LAWS.values(),
    *("time constant", "resonance", "Q", "readout"),
)
_COUPLER_HEADERS = ("cell", "cell", "C", "R", "L", "crossed L", "g(ab)", "g(ba)", "strength")


def cell_table(cells: Sequence[CellLook]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, without the columns in which no cell has anything."""
    return _without_empty(_CELL_HEADERS, [_cell_row(cell) for cell in cells])


def coupler_table(couplers: Sequence[CouplerLook]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, without the columns in which no coupler has anything."""
    return _without_empty(_COUPLER_HEADERS, [_coupler_row(coupler) for coupler in couplers])


def _cell_row(cell: CellLook) -> list[str]:
    values: dict[str, Any] = cell.values
    density = values.get("noise")
    return [
        cell.name,
        engineering(values.get("capacitance"), "F", 4),
        engineering(_inverse(values.get("conductance")), "ohm", 4),
        engineering(values.get("inductance"), "H", 4),
        engineering(None if density is None else density**0.5, "A/rtHz"),
        engineering(values.get("bias"), "A", 4),
        *(" ".join(f"{each:.4g}" for each in values[law]) if law in values else "-" for law in _LAWS),
        engineering(cell.time_constant, "s"),
        engineering(cell.resonance, "Hz"),
        number(cell.quality, 3),
        "inverted" if cell.flipped else "-",
    ]


def _coupler_row(coupler: CouplerLook) -> list[str]:
    values = coupler.values
    pair = values.get("transconductance", (None, None))
    forth, back = pair if isinstance(pair, tuple) else (pair, pair)
    return [
        coupler.a,
        coupler.b,
        engineering(values.get("capacitance"), "F", 4),
        engineering(_inverse(values.get("conductance")), "ohm", 4),
        engineering(values.get("inductance"), "H", 4),
        engineering(values.get("crossed_inductance"), "H", 4),
        engineering(forth, "S", 4),
        engineering(back, "S", 4),
        number(coupler.strength, 3),
    ]


def _inverse(value: float | None) -> float | None:
    return None if value is None else 1 / value


def _without_empty(headers: Sequence[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Drop the columns in which no row has anything."""
    kept = [k for k in range(len(headers)) if any(row[k] != "-" for row in rows)]
    return [headers[k] for k in kept], [[row[k] for k in kept] for row in rows]


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
    return ["read out", "voltage"], [[probe.name, str(probe).partition(" = ")[2]] for probe in read.probes]


def input_table(read: ReadNetlist) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the sources that are not noise."""
    driven = "input of .ac, silent unless --density"
    rows = [[row.name, engineering(row.value, row.unit), driven if row.ac else ""] for row in read.inputs]
    return ["source", "constant", ""], rows
