"""The README's picture: a matrix, the circuit that is compiled of it, and its covariance three times.

    python docs/pictures/matrix_to_covariance.py    writes matrix_to_covariance.svg and, for phones, ..._narrow.svg

All of it is what the program answers: values are those of the compiled device, numbers those of the exact inverse, of
samples of the emulator, and of ngspice, which runs the netlist. On two cores some ten seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import schemdraw
import schemdraw.elements as symbols
from matplotlib.figure import Figure

import spu
from spu.base.numbers import engineering

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from spu.base.arrays import FloatArray

HERE = Path(__file__).parent

PRECISION = np.array([[2.0, -0.8, 0.0], [-0.8, 1.5, -0.5], [0.0, -0.5, 1.1]])
"""A chain, so that the circuit is drawn without crossings."""

SAMPLES, SEED = 100_000, 0

COLUMN, DROP, GAP = 1.3, 2.2, 2.6
"""Drawing units: between the parts of a cell, their length, and between cells."""


def written(value: float, unit: str) -> str:
    """A value as designers write it."""
    return engineering(value, unit, 3).replace(" u", " µ").replace("ohm", "Ω")


def draw_numbers(axes: Axes, matrix: FloatArray, title: str, digits: str, size: float) -> None:
    """Draw a matrix, written out."""
    scale = abs(matrix).max()
    axes.imshow(matrix, cmap="RdBu_r", vmin=-scale, vmax=scale)
    for (i, j), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > 0.6 * scale else "black"
        axes.text(j, i, format(value, digits), ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=size + 1, pad=6)


def draw_circuit(axes: Axes, device: spu.Device, size: float) -> None:
    """Draw RLC cells in a row, and a capacitor from each to the next."""
    drawing = schemdraw.Drawing(canvas=axes, show=False)
    drawing.config(lw=1.3, unit=DROP, inches_per_unit=0.5)
    kinds = (symbols.Capacitor, symbols.Resistor, symbols.Inductor2, symbols.SourceI)
    wide, step = 3 * COLUMN, 3 * COLUMN + GAP
    cells, couplers = device.cells, device.couplers
    for k, cell in enumerate(cells):
        x = k * step
        for column, kind in enumerate(kinds):
            at = x + column * COLUMN
            ends = [(at, 0.0), (at, -DROP)]
            start, end = ends[::-1] if kind is symbols.SourceI else ends
            drawing += kind().endpoints(start, end).scale(0.8)
        drawing += symbols.Line().endpoints((x, 0.0), (x + wide, 0.0))
        drawing += symbols.Line().endpoints((x, -DROP), (x + wide, -DROP))
        drawing += symbols.Ground().at((x + wide / 2, -DROP)).scale(0.8)
        if k + 1 < len(cells):
            drawing += symbols.Capacitor().endpoints((x + wide, 0.0), (x + step, 0.0)).scale(0.8)
        axes.text(x + wide / 2, 0.3, cell.name, ha="center", va="bottom", fontsize=size + 1, weight="bold")
        axes.text(
            x + wide / 2, -DROP - 1.1, written(cell.values["capacitance"], "F"), ha="center", va="top", fontsize=size
        )
    for k, coupler in enumerate(couplers):
        at = k * step + wide + GAP / 2
        axes.text(at, 0.75, written(coupler.values["capacitance"], "F"), ha="center", va="bottom", fontsize=size)
    drawing.draw(show=False)
    axes.set_xlim(-1.0, len(cells) * step - GAP + 1.0)
    axes.set_ylim(-DROP - 2.0, 1.9)
    axes.set_aspect("equal")
    axes.axis("off")


def main() -> None:
    """Compile, sample, run ngspice, draw twice."""
    device = spu.compile(PRECISION, hardware="spu8")
    run = spu.simulate(device, samples=SAMPLES, seed=SEED)
    check = spu.check(device, levels=["ideal", "ac"])
    if check.verdict != "pass":
        raise SystemExit(str(check))
    cell = device.cells[0].values
    resistor, inductor = written(1 / cell["conductance"], "ohm"), written(cell["inductance"], "H")
    every = f"every cell: {resistor}, {inductor}, noise {written(cell['noise'] ** 0.5, 'A')}/√Hz"
    three = (
        ("A⁻¹, exactly", check.covariances["ideal"]),
        (f"emulator, {SAMPLES:,} samples", run.covariance),
        ("ngspice, by .ac", check.covariances["ngspice"]),
    )
    mpl.rcParams.update({"svg.hashsalt": "spu", "font.family": "DejaVu Sans"})
    for name, narrow in (("matrix_to_covariance", False), ("matrix_to_covariance_narrow", True)):
        figure = Figure(figsize=(4.6, 5.9) if narrow else (9.6, 4.5), facecolor="white")
        if narrow:
            size = 8.5
            matrix, circuit = figure.add_axes((0.32, 0.73, 0.36, 0.23)), figure.add_axes((0.01, 0.39, 0.98, 0.28))
            maps = [figure.add_axes((0.015 + 0.335 * k, 0.01, 0.30, 0.234)) for k in range(3)]
            titles = [title.replace(", ", ",\n") for title, _ in three]
            figure.text(0.5, 0.37, every, ha="center", va="center", fontsize=size)
        else:
            size = 10.0
            matrix, circuit = figure.add_axes((0.02, 0.55, 0.19, 0.36)), figure.add_axes((0.27, 0.53, 0.72, 0.45))
            maps = [figure.add_axes((0.02 + 0.377 * k, 0.03, 0.19, 0.36)) for k in range(3)]
            titles = [title for title, _ in three]
            figure.text(0.63, 0.52, every, ha="center", va="center", fontsize=size)
            figure.text(0.24, 0.73, "→", ha="center", va="center", fontsize=22)
        draw_numbers(matrix, PRECISION, "the matrix A", ".1f", size)
        draw_circuit(circuit, device, size)
        for axes, title, (_, covariance) in zip(maps, titles, three, strict=True):
            draw_numbers(axes, covariance, title, ".3f", size)
        figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})
    print(check)


if __name__ == "__main__":
    main()
