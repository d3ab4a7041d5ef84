r"""Statistical linearisation of circuits whose transconductors have a finite linear range.

Each transconductor is replaced by the line that is nearest to it in mean square under a Gaussian input of mean m and
deviation s,

.. math:: i \approx E[i] + k (v - m), \quad k = E[di/dv],

and m and s are those of the linear circuit that this makes (Booton, IRE Transactions on Circuit Theory 1, 9, 1954). It
is exact to first order in the curvature. What is left out is stated: the share of the current's power that is no line
of v, of the transconductor that has most of it (`Linearised.distortion`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit
from spu.emulator.equations.ports import with_ports
from spu.emulator.equations.saturating import Amplifiers, linearised
from spu.emulator.laws.law import solve

_STEPS = 500


@dataclass(frozen=True, eq=False)
class Linearised:
    """What it gives.

    Attributes
    ----------
    circuit:
        The linear circuit.
    distortion:
        The largest share of a transconductor's current power that the lines leave out.
    compression:
        The least slope of a line over g: how far the strongest driven transconductor is out of its linear range.
    """

    circuit: Circuit
    distortion: float
    compression: float


def statistically(circuit: Circuit) -> Linearised:
    """Replace transconductors by the lines that are nearest in mean square.

    Raises
    ------
    CircuitError
        As `spu.emulator.laws.law.solve`; where no lines and law are found that agree.
    """
    amplifiers = Amplifiers.of(circuit)
    none = np.zeros((0, 2), dtype=np.int64)
    g, width, _ = amplifiers.values.T
    k = len(g)

    def moments(currents: FloatArray, slopes: FloatArray, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
        line = linearised(circuit, slopes, currents - slopes * mean)
        law = solve(with_ports(line, none, amplifiers.inputs)[0])
        variance = np.asarray(law.voltage_covariance.diagonal())[:k]
        return np.asarray(law.voltage_mean)[:k], np.sqrt(np.maximum(variance, 0.0))

    problem: CircuitError | None = None
    for begin in (0.0, 1.0, 3.0, 10.0):  # a circuit that is unstable at rest may be limited by its range
        mean, deviation = np.zeros(k), begin * width
        share, before = 1.0, np.inf
        try:
            for _ in range(_STEPS):
                currents, slopes, _ = amplifiers.expected(mean, deviation)
                new_mean, new_deviation = moments(currents, slopes, mean)
                gap = float(np.maximum(np.abs(new_mean - mean), np.abs(new_deviation - deviation)).max(initial=0.0))
                if gap <= 1e-12 * float(np.hypot(new_mean, new_deviation).max(initial=0.0)):
                    currents, slopes, left = amplifiers.expected(new_mean, new_deviation)
                    line = linearised(circuit, slopes, currents - slopes * new_mean)
                    return Linearised(line, float(left.max(initial=0.0)), float((slopes / g).min(initial=1.0)))
                share = share if gap < before else max(share / 2, 2.0**-6)
                before = gap
                mean, deviation = mean + share * (new_mean - mean), deviation + share * (new_deviation - deviation)
        except CircuitError as error:
            problem = problem or error
            continue
        problem = problem or CircuitError(
            "statistical linearisation does not settle: noise is far beyond the transconductors' linear range"
        )
    assert problem is not None
    raise problem
