r"""How far a linear circuit with active parts is from instability: common gain and common delay of its transconductors.

Written around its transconductors a circuit is ``x' = A x = (A0 + B C) x``: ``C x`` are the currents that they make of
the voltages at their inputs, ``B`` is where these currents flow. All of them k times as strong give ``A0 + k B C``, and
all late by :math:`\tau` have the exponents :math:`\lambda` with
:math:`\det(\lambda - A_0 - e^{-\lambda \tau} B C) = 0`.

Both margins are eigenvalues, not points of a grid. On the axis :math:`\lambda` and its conjugate add up to zero, and
:math:`M X + X \bar{M}^T = 0` has a solution ``X = v v^H`` of rank one. With ``M = A + s B C`` and X symmetric this is

.. math:: X = -s \, L^{-1}(B U + U^T B^T), \quad U = C X, \quad L(X) = A X + X A^T,

an eigenvalue problem for ``1/s`` of r n unknowns, as L can be inverted where the circuit is stable: its smallest
positive s is where the first mode reaches the axis. With :math:`M = A + (z - 1) B C`, :math:`z = e^{-j \omega \tau}`,
it is one for ``1/(1 - z)`` of 2 r n unknowns (U and ``W = X C^T / z``): all z on the unit circle, with the
frequencies that they have there, are all crossings for any delay (Chen, Gu and Nett, Systems & Control Letters 26, 21,
1995, have a pencil of 2 n^2; its unknowns are reduced here to the r ports). What is found is refined on the
eigenvalues of M.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrsyl
from scipy.optimize import brentq

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit
from spu.circuit.elements import Transconductor
from spu.emulator.equations.linear import DenseSDE, StochasticODE
from spu.emulator.equations.ports import with_ports

__all__ = ["MOST_UNKNOWNS", "Crossing", "Loops", "amplifiers", "delay_crossing", "gain_crossings", "loops_of"]

ComplexArray = NDArray[np.complex128]

MOST_UNKNOWNS = 1600
"""Unknowns of an eigenvalue problem up to which a margin is worked out."""

_REAL = 1e-6
"""Imaginary part, or distance from the unit circle, up to which an eigenvalue is tried as one of the wanted ones."""

_ON_AXIS = 1e-9
"""Real part, relative to the matrix, up to which a mode lies on the axis."""


@dataclass(frozen=True)
class Crossing:
    """Where a mode reaches the axis.

    Attributes
    ----------
    at:
        Gain, or delay (s).
    frequency:
        Of the mode there, Hz; zero where it does not oscillate.
    """

    at: float
    frequency: float


@dataclass(frozen=True, eq=False)
class Loops:
    """A circuit around its transconductors, in the coordinates and the unit of time of ``dense``: ``A = A0 + B C``.

    Attributes
    ----------
    A, B, C:
        (n, n) with all transconductors; (n, r), (r, n).
    sde, dense:
        The equation.
    """

    A: FloatArray
    B: FloatArray
    C: FloatArray
    sde: StochasticODE
    dense: DenseSDE

    @property
    def time(self) -> float:
        """S in a unit of time of the matrices."""
        return self.dense.time

    @property
    def unknowns(self) -> int:
        """Of the eigenvalue problem of the gain; that of the delay has twice as many."""
        return self.B.size


def amplifiers(circuit: Circuit) -> Iterator[tuple[str, list[IntArray], FloatArray]]:
    """Transconductors of couplers, cells and netlists: name, four (k,) nodes, (k,) S; without those of zero.

    What an amplifier's own model is built of (`spu.circuit.elements.Element.role`) is none.
    """
    for flat in circuit.flatten():
        if isinstance(flat.element, Transconductor) and not flat.element.role:
            there = flat.values != 0
            if there.any():
                name = f"{flat.element.name} of {flat.group.names[int(np.flatnonzero(there)[0])]}"
                yield name, [ends[there] for ends in flat.nodes], flat.values[there]


def loops_of(circuit: Circuit) -> Loops:
    """Open a circuit around its transconductors.

    Raises
    ------
    CircuitError
        As `spu.emulator.equations.linear.stochastic_ode`; where a transconductor drives a node without capacitance
        whose voltage another one sees at once: a delay of it is no ordinary one.
    """
    found = list(amplifiers(circuit))
    nodes = [np.concatenate(ends) for ends in zip(*(ends for _, ends, _ in found), strict=True)] if found else []
    values = np.concatenate([np.empty(0), *(values for *_, values in found)])
    ends = np.array(nodes, dtype=np.int64).reshape(4, len(values))
    outputs, into = np.unique(ends[:2].T, axis=0, return_inverse=True)
    inputs, of = np.unique(ends[2:].T, axis=0, return_inverse=True)
    gains = np.zeros((len(outputs), len(inputs)))
    np.add.at(gains, (into.ravel(), of.ravel()), values)
    sde, B, direct = with_ports(circuit, outputs, inputs)
    if direct.any():
        raise CircuitError(
            "a transconductor drives a node without capacitance, whose voltage a transconductor sees at once: margins "
            "need capacitance there (detail node.capacitance, or buffer.bandwidth)"
        )
    H = sde.dense.H[: len(inputs)]
    if len(outputs) <= len(inputs):
        return Loops(sde.dense.A, B, gains @ H, sde, sde.dense)
    return Loops(sde.dense.A, B @ gains, H, sde, sde.dense)


class _Lyapunov:
    """``L(X) = A X + X A^T`` of a stable A, inverted."""

    def __init__(self, A: FloatArray) -> None:
        self.T, self.U = la.schur(A, output="real")

    def __call__(self, Q: FloatArray) -> FloatArray:
        found, factor, _ = dtrsyl(self.T, self.T, self.U.T @ Q @ self.U, tranb="T")
        return np.asarray(self.U @ (found / factor) @ self.U.T)


def gain_crossings(loops: Loops) -> tuple[Crossing | None, Crossing | None]:
    """Common gains nearest to 1 at which a mode of a stable circuit reaches the axis, below (to 0) and above.

    Raises
    ------
    CircuitError
        If there are more than `MOST_UNKNOWNS`.
    """
    A, B, C = loops.A, loops.B, loops.C
    n, r = B.shape
    _refuse_large(n * r)
    inverse = _Lyapunov(A)
    operator = np.empty((r * n, r * n))
    for row in range(r):
        for column in range(n):
            Q = np.zeros((n, n))
            Q[:, column] = B[:, row]
            operator[:, row * n + column] = (C @ inverse(Q + Q.T)).ravel()
    inverses = np.asarray(la.eigvals(operator))
    size = np.abs(inverses).max(initial=0.0)
    real = inverses[(np.abs(inverses.imag) <= _REAL * np.abs(inverses)) & (np.abs(inverses) > 1e-9 * size)].real
    found = np.sort(1.0 - 1.0 / real)
    above, below = found[found > 1.0], found[(found < 1.0) & (found >= 0.0)][::-1]
    return _first(loops, below), _first(loops, above)


def _first(loops: Loops, gains: FloatArray) -> Crossing | None:
    """The first of these gains at which a mode lies on the axis indeed."""
    tried = (_refined_gain(loops, float(gain)) for gain in gains)
    return next((each for each in tried if each is not None), None)


def _refined_gain(loops: Loops, gain: float) -> Crossing | None:
    """The crossing near a gain, where the largest real part changes its sign, or is nothing; None where none is.

    An eigenvalue of many times the others in ``1/s`` may be rounding. Modes may be alike: no derivative is taken.
    """
    BC = loops.B @ loops.C
    s = gain - 1.0

    def largest(s: float) -> float:
        return float(np.linalg.eigvals(loops.A + s * BC).real.max())

    s = _root(largest, s, [share * abs(s) for share in (1e-8, 1e-6, 1e-4)])
    values = np.linalg.eigvals(loops.A + s * BC)
    value = values[np.argmin(np.abs(values.real))]
    if abs(value.real) > 1e-2 * _ON_AXIS * np.linalg.norm(loops.A + s * BC):
        return None
    return Crossing(float(1.0 + s), abs(float(value.imag)) / (2 * np.pi * loops.time))


def _root(function: Callable[[float], float], x: float, widths: list[float]) -> float:
    """Where a function changes its sign, within one of these widths of x; x itself where it does not."""
    for width in widths:
        low, high = x - width, x + width
        if function(low) * function(high) < 0:
            return float(brentq(function, low, high, xtol=1e-16 * max(abs(x), width), rtol=4 * np.finfo(float).eps))
    return x


def delay_crossing(loops: Loops) -> Crossing | None:
    """The smallest common delay at which a mode of a stable circuit reaches the axis; None where none ever does.

    Raises
    ------
    CircuitError
        If there are more than `MOST_UNKNOWNS`.
    """
    B, C = loops.B, loops.C
    n, r = B.shape
    _refuse_large(2 * n * r)
    inverse = _Lyapunov(loops.A)
    L = np.zeros((2, 2, r * n, r * n))  # C L^-1(B U), C L^-1(V B^T), and both times C^T from the right
    for row in range(r):
        for column in range(n):
            Q = np.zeros((n, n))
            Q[:, column] = B[:, row]
            X = inverse(Q)
            k = row * n + column  # entry (row, column) of U, or (column, row) of V
            L[0, 0, :, k], L[1, 0, :, k] = (C @ X).ravel(), (C @ X.T).ravel()
            L[0, 1, :, k], L[1, 1, :, k] = (C @ X.T).ravel(), (C @ X).ravel()
    # The pencil is 1 + (z - 1) Q.
    Q = np.block([[L[0, 0], -L[0, 1]], [L[1, 0], np.eye(r * n) - L[1, 1]]])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 1.0 - 1.0 / np.linalg.eigvals(Q)
    found = found[np.isfinite(found)]
    crossings = []
    for z in found[np.abs(np.abs(found) - 1.0) <= 1e3 * _REAL]:
        crossings += list(_refined_delays(loops, float(-np.angle(z)) % (2 * np.pi)))
    return min(crossings, key=lambda each: each.at, default=None)


def _refined_delays(loops: Loops, angle: float) -> Iterator[Crossing]:
    """Crossings with a phase near an angle: real parts of eigenvalues of ``A + (e^(-j angle) - 1) B C`` vanish."""
    BC = loops.B @ loops.C
    size = float(np.linalg.norm(loops.A))

    def matrix(angle: float) -> ComplexArray:
        return np.asarray(loops.A + (np.exp(-1j * angle) - 1.0) * BC)

    values = np.linalg.eigvals(matrix(angle))
    for start in values[(np.abs(values.real) <= 1e-2 * size) & (values.imag > _ON_AXIS * size)]:
        near = partial(_nearest, matrix, complex(start))
        phase = _root(lambda each: near(each).real, angle, [1e-9, 1e-7, 1e-5, 1e-3])  # noqa: B023 - taken at once
        value = near(phase)
        if abs(value.real) <= _ON_AXIS * size and value.imag > 0 and phase > 0:
            yield Crossing(float(phase / value.imag) * loops.time, value.imag / (2 * np.pi * loops.time))


def _nearest(matrix: Callable[[float], ComplexArray], value: complex, angle: float) -> complex:
    """The eigenvalue at an angle that is nearest to a value."""
    values = np.linalg.eigvals(matrix(angle))
    return complex(values[np.argmin(np.abs(values - value))])


def _refuse_large(unknowns: int) -> None:
    if unknowns > MOST_UNKNOWNS:
        raise CircuitError(
            f"this margin is an eigenvalue problem of {unknowns} unknowns, too many (at most {MOST_UNKNOWNS})"
        )
