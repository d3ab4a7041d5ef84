"""The response of a nonlinear Langevin equation to given noise waveforms: deterministic, no statistics.

Between samples the waveform is held or a straight line. First-order equations take classical
Runge-Kutta steps of order 4. Inertial ones, whose velocities may relax far faster than anything
moves, take exponential midpoint steps: exact for a constant force, of order 2 in the time in which
the force changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.compiled import compiled, declare, floats, inner
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.emulator.equations.langevin import Langevin
from spu.emulator.laws.rest import stable_step

PER_STEP = {False: 0.05, True: 0.0125}
"""Substeps over the fastest time of first-order and of inertial equations, at most."""


class _Force(NamedTuple):
    """``field - stiffness x - quadratic x^2 - cubic x^3``: (n, n), and (n,) each."""

    stiffness: FloatArray
    quadratic: FloatArray
    cubic: FloatArray
    field: FloatArray


declare(_Force, stiffness=floats("n", "n"), quadratic=floats("n"), cubic=floats("n"), field=floats("n"))


@inner
def _force(law, x, drive, into):  # type: ignore[no-untyped-def]
    stiffness, quadratic, cubic, field = law
    for i in range(len(x)):
        total = field[i] + drive[i] - (quadratic[i] + cubic[i] * x[i]) * x[i] * x[i]
        for j in range(len(x)):
            total -= stiffness[i, j] * x[j]
        into[i] = total


@compiled(
    mobility=floats("n"), waveform=floats("k", "n"), x=floats("n", written=True), path=floats("k", "n", written=True)
)
def _first_order(law, mobility, waveform, hold, h, substeps, x, path):  # type: ignore[no-untyped-def]
    n = len(x)
    k1, k2, k3, k4 = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    drive, y = np.empty(n), np.empty(n)
    for step in range(len(path) - 1):
        before, after = waveform[step], waveform[step if hold else step + 1]
        for part in range(substeps):
            at = part / substeps
            middle, end = (part + 0.5) / substeps, (part + 1) / substeps
            for i in range(n):
                drive[i] = before[i] + at * (after[i] - before[i])
            _force(law, x, drive, k1)
            for i in range(n):
                drive[i] = before[i] + middle * (after[i] - before[i])
                y[i] = x[i] + 0.5 * h * mobility[i] * k1[i]
            _force(law, y, drive, k2)
            for i in range(n):
                y[i] = x[i] + 0.5 * h * mobility[i] * k2[i]
            _force(law, y, drive, k3)
            for i in range(n):
                drive[i] = before[i] + end * (after[i] - before[i])
                y[i] = x[i] + h * mobility[i] * k3[i]
            _force(law, y, drive, k4)
            for i in range(n):
                x[i] += h * mobility[i] / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i])
        path[step + 1] = x


@compiled(
    rate=floats("n"),
    mass=floats("n"),
    waveform=floats("k", "n"),
    x=floats("n", written=True),
    w=floats("n", written=True),
    path=floats("k", "n", written=True),
)
def _inertial(law, rate, mass, waveform, hold, h, substeps, x, w, path):  # type: ignore[no-untyped-def]
    n = len(x)
    force, drive, y = np.empty(n), np.empty(n), np.empty(n)
    half, full = np.exp(-rate * h / 2), np.exp(-rate * h)
    for step in range(len(path) - 1):
        before, after = waveform[step], waveform[step if hold else step + 1]
        for part in range(substeps):
            middle = (part + 0.5) / substeps
            for i in range(n):
                drive[i] = before[i] + (part + 0.25) / substeps * (after[i] - before[i])
            _force(law, x, drive, force)
            for i in range(n):
                goal = force[i] / (mass[i] * rate[i])
                y[i] = x[i] + goal * h / 2 + (w[i] - goal) * (1 - half[i]) / rate[i]
                drive[i] = before[i] + middle * (after[i] - before[i])
            _force(law, y, drive, force)
            for i in range(n):
                goal = force[i] / (mass[i] * rate[i])
                x[i] += goal * h + (w[i] - goal) * (1 - full[i]) / rate[i]
                w[i] = goal + (w[i] - goal) * full[i]
        path[step + 1] = x


def respond(
    equation: Langevin,
    waveform: FloatArray,
    interval: float,
    *,
    hold: bool,
    size: FloatArray,
    start: FloatArray | None = None,
    finer: float = 1.0,
) -> FloatArray:
    """The path of the coordinates under voltages of the noise sources.

    Parameters
    ----------
    equation:
        Of n coordinates and m sources.
    waveform:
        (k + 1, m) V at the instants ``0, interval, ...``.
    interval:
        s.
    hold:
        Whether a sample is held until the next one, or joined to it by a straight line.
    size:
        (n,) how far out coordinates are found, for the choice of substeps.
    start:
        (n,) coordinates at the first instant, at rest; zero unless given.
    finer:
        Takes so many times more substeps.

    Returns
    -------
    ndarray
        (k + 1, n) at the instants.
    """
    inertial = equation.mass is not None
    fastest = stable_step(equation.first_order, size) / 2
    substeps = max(1, int(np.ceil(finer * interval / (PER_STEP[inertial] * fastest))))
    # What a source's volt adds to the force: noise is that of a density of half en^2.
    lever = equation.noise * np.sqrt(2.0) / UNIT_NOISE_DENSITY
    lever = lever * (equation.mass[:, None] if equation.mass is not None else 1 / equation.mobility[:, None])
    drive = np.ascontiguousarray(waveform @ lever.T)
    path = np.empty((len(waveform), equation.n))
    x = np.zeros(equation.n) if start is None else np.array(start, dtype=np.float64)
    path[0] = x
    forces = (equation.stiffness, equation.quadratic, equation.cubic, equation.field)
    law = _Force(*(np.ascontiguousarray(each) for each in forces))
    h = interval / substeps
    if equation.mass is None:
        _first_order(law, np.ascontiguousarray(equation.mobility), drive, hold, h, substeps, x, path)
    else:
        rate = 1 / (equation.mobility * equation.mass)
        _inertial(
            law, rate, np.ascontiguousarray(equation.mass), drive, hold, h, substeps, x, np.zeros(equation.n), path
        )
    return path
