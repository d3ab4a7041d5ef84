"""What a netlist says of itself before its first element."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.choice import ROUNDING
from spu.base.sparse import is_diagonal
from spu.circuit.circuit import Circuit
from spu.circuit.elements import CHARGE_UNIT, FLUX_UNIT
from spu.device.device import Device
from spu.emulator.dynamics import LangevinDynamics
from spu.emulator.laws.law import Law
from spu.emulator.laws.timing import Timing
from spu.emulator.predict import NetworkPrediction
from spu.problems.problem import linear_problem
from spu.spice.converters import header_lines
from spu.spice.dialects.dialect import Dialect, number
from spu.spice.names import UNIT_TIME
from spu.spice.settings import parameters, sample_time

HEADER_ROWS = 16
"""Matrices in the header stop here; larger ones stand in problem.json."""


def _rows(matrix: FloatArray) -> Iterator[str]:
    for row in matrix:
        yield "  " + " ".join(f"{value: .9e}" for value in row)


def header(device: Device, circuit: Circuit, law: Law, times: Timing, seed: int, dialect: Dialect) -> list[str]:
    """What a netlist says of itself: what it computes, on what, and what to expect."""
    from spu.base.version import __version__

    n, m = len(device.cell_names), len(device.coupler_ends)
    kind = device.architecture or "hand-built"
    lines = [
        f"Written by spu {__version__} for device {device.hash}; seed {seed}.",
        *(line.format(file=f"device{dialect.ending}") for line in dialect.run),
        "Units: SI (V, A, s, F, ohm, H, S); noise densities are one-sided (A^2/Hz, V/sqrt(Hz)).",
        *_nodes(device, circuit, dialect),
        "",
        "---- what it computes ----",
    ]
    problem = linear_problem(device.problem)
    if problem is not None:
        lines.append(f"It {problem.kind.does}:")
        lines += _limited(problem.matrix)
        lines.append("Target mean of x:")
        lines += _limited(problem.target_mean[None, :], float(np.abs(problem.target_mean).max(initial=0.0)))
    readout = device.readout
    if is_diagonal(readout.matrix):
        lines.append("Mapping, x = gain * v + offset:   variable, cell, gain (1/V), offset")
        lines += [
            f"  {variable} {cell} {number(gain)} {number(offset)}"
            for variable, cell, gain, offset in zip(
                readout.variables, circuit.probes, readout.matrix.diagonal(), readout.offset, strict=True
            )
        ]
    else:
        lines.append("Mapping, x = T v + offset; the cells, then for each variable its row of T (1/V) and its offset:")
        lines += _mapping(circuit)
    if circuit.scales is not None:
        lines.append(f"{UNIT_TIME} {number(circuit.scales.second)} s.")
    mean, covariance = law.voltage_mean[None, :], law.voltage_covariance
    spread = float(np.sqrt(covariance.diagonal().max(initial=0.0)))
    lines.append("Expected mean of the cell voltages, V:")
    lines += _limited(mean, max(spread, float(np.abs(mean).max(initial=0.0))))
    how = "with white noise" if circuit.clocked is None else "on average over the phase of the noise's clock"
    lines.append(f"Expected covariance of the cell voltages {how}, V^2:")
    lines += _limited(covariance, spread**2)
    every = number(sample_time(circuit, times))
    lines.append(f"Slowest time constant {times.slowest:.4g} s; samples every ts = {every} s in .tran.")
    title = f"SPU: {n} cells, {m} couplers, {kind}"
    return [*dialect.title(title), *(dialect.comment(line) for line in lines)]


def _nodes(device: Device, circuit: Circuit, dialect: Dialect) -> list[str]:
    lines = ["Node cell_NAME is the voltage of cell NAME; n_NAME carries its injected noise."]
    if dialect.thermal_sources:
        lines = [
            "Node cell_NAME is the voltage of cell NAME; n_NAME carries its injected noise, t_NAME the thermal",
            "noise of its resistor (for transient analysis; .noise takes that from the resistor itself).",
        ]
    if device.shared:
        lines += [
            "Node w_SOURCE carries noise that several cells share, so that it is correlated: xnoise_SOURCE_CELL",
            "drives an= A/rtHz of it into a cell, of either sign; two cells have the cross-density an1 * an2.",
        ]
    if circuit.reads_inside:
        lines += [
            "What is read of cell NAME is the output of its readout, node xreadout_NAME.out: v below, and everything",
            "that is expected of cell voltages, is of these.",
        ]
    return [*lines, *header_lines(circuit.acquisition)]


def _mapping(circuit: Circuit) -> list[str]:
    """The rows of T with their offsets, digit by digit: whoever reads the netlist back has the same mapping."""
    readout = circuit.readout
    if max(readout.matrix.shape) > HEADER_ROWS:
        return _limited(readout.matrix)
    rows = np.column_stack([readout.matrix.toarray(), readout.offset])
    texts = (" ".join(map(number, row)) for row in rows)
    named = [f"  {variable}: {text}" for variable, text in zip(readout.variables, texts, strict=True)]
    return [f"  cells: {' '.join(circuit.probes)}", *named]


def _limited(matrix: FloatArray | sp.csr_array, scale: float = 0.0) -> list[str]:
    """The rows of a matrix that is not too large; zeros where entries are but rounding beside the scale."""
    if max(matrix.shape) > HEADER_ROWS:
        return [f"  ({matrix.shape[0]} x {matrix.shape[1]}: see problem.json)"]
    dense = matrix.toarray() if sp.issparse(matrix) else matrix
    return list(_rows(np.where(np.abs(dense) > ROUNDING * scale, dense, 0.0)))


SHOWN = 16


def opening(
    device: Device, does: LangevinDynamics, prediction: NetworkPrediction, seed: int, dialect: Dialect
) -> list[str]:
    """Header and parameters."""
    from spu.base.version import __version__

    equation = does.equation
    what = {
        "voltage": "Node cell_NAME is the voltage of cell NAME, which holds its x.",
        "flux": f"Node xcell_....flux is an inductor's flux over {FLUX_UNIT!r} Wb, which holds its x.",
        "charge": f"Node xcell_....charge is a capacitor's charge over {CHARGE_UNIT!r} C, which holds its x.",
    }[equation.coordinate]
    lines = [
        f"Written by spu {__version__} for device {device.hash}; seed {seed}.",
        dialect.run[0].format(file=f"device{dialect.ending}"),
        "Units: SI (V, A, s, F, ohm, H, S, Wb, C); noise densities are one-sided (A^2/Hz, V/sqrt(Hz)).",
        what,
        f"Potential: {equation.energy}.",
        "Starts from zero (uic); n_NAME carries injected noise, t_NAME the thermal noise of a resistor.",
        "Mapping, x = gain * v + offset:   variable, gain (1/V), offset",
    ]
    gains = device.readout.matrix.diagonal()
    for variable, gain, offset in list(zip(device.readout.variables, gains, device.readout.offset, strict=True))[
        :SHOWN
    ]:
        lines.append(f"  {variable} {number(gain)} {number(offset)}")
    moments = [values for values in (prediction.mean, prediction.covariance) if values is not None]
    size = max((float(np.abs(values).max()) for values in moments), default=0.0)
    for label, values in (("mean", prediction.mean), ("covariance", prediction.covariance)):
        if values is not None and equation.n <= SHOWN:
            lines.append(f"Stationary {label} of x, with white noise:")
            rows = np.where(np.abs(values) > ROUNDING * size, values, 0.0)  # 0 where there is but rounding
            lines += ["  " + " ".join(f"{value: .6e}" for value in row) for row in np.atleast_2d(rows)]
    kind = device.architecture or "hand-built"
    title = f"SPU: network of {equation.n} nonlinear cells, {len(device.coupler_ends)} couplers, {kind}"
    return [
        *dialect.title(title),
        *(dialect.comment(line) for line in lines),
        *parameters(does, seed, dialect),
    ]
