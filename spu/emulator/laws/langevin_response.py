"""The response of a nonlinear Langevin equation to given noise waveforms: deterministic, no statistics.

Between samples the waveform is held or a straight line. First-order equations take classical
Runge-Kutta steps of order 4. Inertial ones, whose velocities may relax far faster than anything
moves, take exponential midpoint steps: exact for a constant force, of order 2 in the time in which
the force changes. The loops: ``spu/base/kernels/c/response.c``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.kernels.door import Kernel, declare, floats
from spu.emulator.equations.langevin import Langevin
from spu.emulator.laws.rest import stable_step

PER_STEP = {False: 0.05, True: 0.0125}
"""Substeps over the fastest time of first-order and of inertial equations, at most."""


class _Force(NamedTuple):
    """``field - c stiffness x - slope x - quadratic x^2 - cubic x^3``: (n, n), and (n,) each.

    ``factors`` (k, 4) of each interval: c at its beginning and end, and the factor on drives.
    """

    stiffness: FloatArray
    slope: FloatArray
    quadratic: FloatArray
    cubic: FloatArray
    field: FloatArray
    factors: FloatArray


declare(
    _Force,
    stiffness=floats("n", "n"),
    slope=floats("n"),
    quadratic=floats("n"),
    cubic=floats("n"),
    field=floats("n"),
    factors=floats("k", 4),
)

_first_order = Kernel(
    "respond_first_order",
    law=_Force,
    mobility=floats("n"),
    waveform=floats("k", "n"),
    hold=int,
    h=float,
    substeps=int,
    x=floats("n", written=True),
    path=floats("k", "n", written=True),
    room=floats(6, "n", written=True),
)

_inertial = Kernel(
    "respond_inertial",
    law=_Force,
    rate=floats("n"),
    mass=floats("n"),
    half=floats("n"),
    full=floats("n"),
    waveform=floats("k", "n"),
    hold=int,
    h=float,
    substeps=int,
    x=floats("n", written=True),
    w=floats("n", written=True),
    path=floats("k", "n", written=True),
    room=floats(3, "n", written=True),
)


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

    A ramp begins with it; its factors are joined by straight lines between samples.

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
    fastest = min(stable_step(each.first_order, size) for each in equation.extremes) / 2
    substeps = max(1, int(np.ceil(finer * interval / (PER_STEP[inertial] * fastest))))
    # What a source's volt adds to the force: noise is that of a density of half en^2.
    varying = equation.varying
    lever = (equation.noise if varying is None else varying.noise) * np.sqrt(2.0) / UNIT_NOISE_DENSITY
    lever = lever * (equation.mass[:, None] if equation.mass is not None else 1 / equation.mobility[:, None])
    drive = np.ascontiguousarray(waveform @ lever.T)
    path = np.empty((len(waveform), equation.n))
    x = np.zeros(equation.n) if start is None else np.array(start, dtype=np.float64)
    path[0] = x
    stiffness, slope, factors = equation.stiffness, np.zeros(equation.n), np.ones((len(waveform), 4))
    if varying is not None:
        stiffness, slope = varying.couplers, np.diag(equation.alone)
        instants = interval * np.arange(len(waveform) + 1)
        begin, end = varying.ramp.at(instants[:-1]), varying.ramp.at(np.nextafter(instants[1:], -np.inf))
        factors = np.column_stack([begin[0], end[0], begin[1], end[1]])
    forces = (stiffness, slope, equation.quadratic, equation.cubic, equation.field, factors)
    law = _Force(*(np.ascontiguousarray(each) for each in forces))
    h = interval / substeps
    if equation.mass is None:
        mobility = np.ascontiguousarray(equation.mobility)
        _first_order(law, mobility, drive, hold, h, substeps, x, path, np.empty((6, len(x))))
    else:
        rate, mass = 1 / (equation.mobility * equation.mass), np.ascontiguousarray(equation.mass)
        kept = np.exp(-rate * h / 2), np.exp(-rate * h)
        _inertial(law, rate, mass, *kept, drive, hold, h, substeps, x, np.zeros_like(x), path, np.empty((3, len(x))))
    return path
