"""The devices that the cases run: who is compared on what."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray

import spu
from spu.emulator.dynamics import device_law
from spu.emulator.laws.propagate import Step
from spu.emulator.laws.stationary import Stationary

FloatArray = NDArray[np.float64]

INDUCTOR_QUALITY = 100.0
"""Quality factor of the lossy inductors at each cell's own resonance: an ordinary wound one."""

NOMINAL_TIME = 1e-7
"""s: ``sqrt(L C)`` of the nominal cell of the preset ``ideal``."""


def scattered(
    cells: int, *, seed: int = 0, neighbours: int | None = None, lossy: bool = False, cold: bool = False
) -> spu.Device:
    """RLC cells with component values scattered by +-30 %, joined by capacitors.

    Parameters
    ----------
    cells:
        Number of cells; the state has twice as many entries.
    seed:
        Of the component values.
    neighbours:
        Couplers of a cell to the next ones around a ring; all to all unless given.
    lossy:
        Give every inductor a series resistance (`INDUCTOR_QUALITY`). Noise then drives the currents too,
        and the diffusion matrix is regular, as some peers require.
    cold:
        Those resistances make thermal noise at 300.15 K only. Otherwise they are as noisy as the cell's own
        resistor with its injected noise, which conditions the diffusion matrix as well as can be.

    Returns
    -------
    A device at 300.15 K with an injected noise of about 4e-20 A^2/Hz a cell.
    """
    rng = np.random.default_rng([seed, cells])
    device = spu.Device()

    def value(nominal: float) -> float:
        return float(nominal * rng.uniform(0.7, 1.3))

    for k in range(cells):
        parts = {"capacitance": value(1e-9), "conductance": value(1e-3), "noise": value(4e-20)}
        inductance = value(1e-5)
        if not lossy:
            device.add_cell(f"c{k}", **parts, inductance=inductance)
            continue
        device.add_cell(f"c{k}", **parts)
        series = np.sqrt(inductance / parts["capacitance"]) / INDUCTOR_QUALITY
        loss = {"conductance": float(1.0 / series)}
        if not cold:
            loss["noise"] = parts["noise"] * loss["conductance"] / parts["conductance"]
        device.add_cell(f"loss{k}", **loss)
        device.add_coupler(f"c{k}", f"loss{k}", inductance=inductance)
    reach = cells - 1 if neighbours is None else neighbours
    for a in range(cells):
        for hop in range(1, reach + 1):
            b = (a + hop) % cells
            if (neighbours is None and b > a) or (neighbours is not None and 2 * hop < cells):
                device.add_coupler(f"c{a}", f"c{b}", capacitance=value(1e-9 / max(reach, 1)))
    return device


def alike_rc(cells: int, *, seed: int = 0) -> spu.Device:
    """RC cells all alike, joined all to all by scattered resistors, without thermal noise.

    Its drift is symmetric and its diffusion matrix a multiple of the unit matrix.
    """
    rng = np.random.default_rng([seed, cells])
    device = spu.Device(temperature=0.0)
    for k in range(cells):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    for a in range(cells):
        for b in range(a + 1, cells):
            device.add_coupler(f"c{a}", f"c{b}", conductance=float(rng.uniform(1e-4, 1e-3)))
    return device


def cell_law(device: spu.Device) -> Stationary:
    """The stationary law of the nodes called ``c...`` only, in units where a coordinate's variance is about 1.

    The nodes between an inductor and its loss have no capacitance and see white noise; nobody samples
    them. Energies near 1e-17 J would make no difference to anybody in double precision, but a covariance
    of order one lets every peer's own tolerances mean what their authors meant.
    """
    law = device_law(device)
    dense = law.dense
    rows = [k for k, name in enumerate(law.sde.probes) if name.startswith("c")]
    scale = float(np.sqrt(np.trace(law.covariance) / len(law.covariance)))
    scaled = replace(
        dense,
        B=dense.B / scale,
        mean=dense.mean / scale,
        H=dense.H[rows] * scale,
        y0=dense.y0[rows],
        D=np.zeros((len(rows), dense.B.shape[1])),
        to_state=dense.to_state * scale,
    )
    nothing = sp.csr_array((len(rows), dense.B.shape[1]))
    seen = sp.csr_array(law.sde.H)[rows]
    names = tuple(law.sde.probes[k] for k in rows)
    sde = SimpleNamespace(dense=scaled, E=law.sde.E, H=seen, mean=law.sde.mean, y0=scaled.y0, D=nothing, probes=names)
    return Stationary(sde, solved=law.covariance / scale**2)  # type: ignore[arg-type]


def noise_factor(B: FloatArray) -> FloatArray:
    """(n, r) factor of ``B B^T`` with as few columns as its rank: two sources on one node are one."""
    values, vectors = la.eigh(B @ B.T)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def grid_precision(rows: int, columns: int) -> FloatArray:
    """Precision matrix of a rectangular grid: its graph Laplacian plus the unit matrix."""
    count = rows * columns
    precision = np.zeros((count, count))
    site = np.arange(count).reshape(rows, columns)
    for a, b in (
        (site[:, :-1].ravel(), site[:, 1:].ravel()),
        (site[:-1].ravel(), site[1:].ravel()),
    ):
        precision[a, b] = precision[b, a] = -1.0
    return precision - np.diag(precision.sum(axis=1)) + np.eye(count)


def dense_precision(count: int) -> FloatArray:
    """Precision matrix with every pair coupled: random weights, Laplacian plus a multiple of the unit matrix."""
    rng = np.random.default_rng(count)
    weights = np.triu(rng.random((count, count)), 1)
    weights = (weights + weights.T) / count
    return np.diag(weights.sum(axis=1)) - weights + 0.2 * np.eye(count)


def orthogonal_step(states: int, seed: int = 0) -> Step:
    """A dense step whose stationary covariance is the unit matrix, without a Lyapunov equation of that size.

    ``Phi = 0.9 Q1`` and ``L = sqrt(0.19) Q2`` with orthogonal Q1, Q2: what a dense step costs depends on
    its size only, and a real device of 1,000 scattered cells takes minutes to solve.
    """
    rng = np.random.default_rng(seed)
    first, second = (np.linalg.qr(rng.standard_normal((states, states)))[0] for _ in range(2))
    return Step(0.9 * first, np.sqrt(0.19) * second)


def nominal_step(precision: FloatArray, interval: float) -> Step:
    """The dense exact step of a nominal RLC SPU, in units of its cells' nominal values.

    All cells alike (conductance and inductance 1/10 and 1 where the nominal capacitance is 1), capacitance
    matrix proportional to ``precision``: its eigenvectors split the network into damped oscillators, each
    with a 2 x 2 step, and turning those back gives the (2n, 2n) matrices that dense propagation needs.

    Parameters
    ----------
    precision:
        (n, n).
    interval:
        In units of the nominal cell's ``sqrt(L C)``.
    """
    capacitance, U = la.eigh(precision / np.diag(precision).mean())
    n = len(capacitance)
    transition, factor = np.empty((n, 2, 2)), np.empty((n, 2, 2))
    for k, c in enumerate(capacitance):
        drift = np.array([[-0.1 / c, -1.0 / np.sqrt(c)], [1.0 / np.sqrt(c), 0.0]])
        transition[k] = la.expm(drift * interval)
        factor[k] = la.cholesky(np.eye(2) - transition[k] @ transition[k].T, lower=True)

    def turn(blocks: FloatArray) -> FloatArray:
        return np.block([[(U * blocks[:, i, j]) @ U.T for j in range(2)] for i in range(2)])

    return Step(turn(transition), turn(factor))


def chain(sections: int, *, seed: int = 0) -> str:
    """A netlist: RC sections in a row, values scattered by +-30 %, a current into the far end, which is read out."""
    rng = np.random.default_rng([seed, sections])
    lines = [f"* {sections:,} RC sections"]
    for k in range(1, sections + 1):
        resistance, capacitance = 1e3 * rng.uniform(0.7, 1.3), 1e-9 * rng.uniform(0.7, 1.3)
        lines.append(f"r{k} {f'n{k - 1}' if k > 1 else '0'} n{k} {resistance:.6g}")
        lines.append(f"c{k} n{k} 0 {capacitance:.6g}")
    return "\n".join([*lines, f"i1 0 n{sections} dc 1u", f".save v(n{sections})", ".end", ""])
