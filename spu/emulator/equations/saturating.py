"""Circuits whose only nonlinear elements are transconductors of finite linear range.

``dx = (A x + B n(C x)) dt + noise``, A with every transconductor at its small-signal slope g, and n what each one's
current differs by from that of g. Couplings that saturate have no potential, so that there is no law in closed form:
`spu.emulator.laws.linearised` has statistics, `spu.emulator.runs.saturating` trajectories.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit
from spu.circuit.elements import CurrentSource, Element, Transconductor
from spu.circuit.saturation import SaturatingTransconductor
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.equations.ports import with_ports

_REACH, _POINTS = 9.0, 2001
"""Deviations to either side over which expectations are taken, and points: the trapezoidal rule of what is analytic."""

_STEPS = 500


@dataclass(frozen=True, eq=False)
class Amplifiers:
    """The saturating transconductors of a circuit, k in all, in the order of `Circuit.flatten`.

    Attributes
    ----------
    outputs, inputs:
        (k, 2) nodes: the current flows from the first output to the second.
    values:
        (k, 3) g (S), linear range and offset (V).
    """

    outputs: IntArray
    inputs: IntArray
    values: FloatArray

    @classmethod
    def of(cls, circuit: Circuit) -> Amplifiers:
        """Find them."""
        found = [flat for flat in circuit.flatten() if isinstance(flat.element, SaturatingTransconductor)]
        nodes = np.concatenate([np.column_stack(flat.nodes) for flat in found])
        return cls(nodes[:, :2], nodes[:, 2:], np.concatenate([flat.values for flat in found]))

    def excess(self, volts: FloatArray) -> FloatArray:
        """A at inputs (..., k): their currents less those of their slopes g."""
        return SaturatingTransconductor.current(volts, self.values) - self.values[:, 0] * volts

    def expected(self, mean: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(k,) mean current, slope of the nearest line, and share of the current's power that is not on it.

        Of Gaussian inputs of these means and deviations, (k,) V.
        """
        z = np.linspace(-_REACH, _REACH, _POINTS)[:, None]
        weight = np.exp(-(z**2) / 2)
        weight /= weight.sum()
        volts = mean + deviation * z
        current = SaturatingTransconductor.current(volts, self.values)
        middle = (weight * current).sum(axis=0)
        slope = (weight * SaturatingTransconductor.slope(volts, self.values)).sum(axis=0)
        power = (weight * (current - middle) ** 2).sum(axis=0)
        left = np.maximum(power - (slope * deviation) ** 2, 0.0)
        return middle, slope, np.divide(left, power, out=np.zeros_like(left), where=power > 0)


def linearised(circuit: Circuit, slopes: FloatArray, currents: FloatArray) -> Circuit:
    """The circuit with each saturating transconductor as one of a slope (S) and a current (A) beside it, (k,) each."""
    instances, first = [], 0
    for group in circuit.instances:
        elements: list[Element] = []
        values = dict(group.parameters)
        count = len(group.names)
        for element in group.subcircuit.elements:
            if not isinstance(element, SaturatingTransconductor):
                elements.append(element)
                continue
            slope, current = f"slope of {element.name}", f"current of {element.name}"
            elements.append(Transconductor(element.name, element.nodes, slope))
            elements.append(CurrentSource(f"i{element.name}", element.nodes[:2], current))
            values |= {slope: slopes[first : first + count], current: currents[first : first + count]}
            first += count
        # What is printed is the circuit itself: these are for equations.
        subcircuit = replace(group.subcircuit, elements=tuple(elements))
        instances.append(replace(group, subcircuit=subcircuit, parameters=values))
    return replace(circuit, instances=instances, hash=f"{circuit.hash} linearised", content="")


def at_rest(circuit: Circuit) -> Circuit:
    """The linear circuit that small signals see: transconductors by their tangents where it rests without noise.

    Raises
    ------
    CircuitError
        If it does not come to rest.
    """
    if "at rest" not in circuit.kept:
        circuit.kept["at rest"] = _at_rest(circuit)
    found: Circuit = circuit.kept["at rest"]
    return found


def _at_rest(circuit: Circuit) -> Circuit:
    amplifiers = Amplifiers.of(circuit)
    none = np.zeros((0, 2), dtype=np.int64)
    volts = np.zeros(len(amplifiers.values))
    before, share = np.inf, 1.0
    for _ in range(_STEPS):
        slopes = SaturatingTransconductor.slope(volts, amplifiers.values)
        currents = SaturatingTransconductor.current(volts, amplifiers.values) - slopes * volts
        tangent = linearised(circuit, slopes, currents)
        sde, _, _ = with_ports(tangent, none, amplifiers.inputs)
        new = np.asarray(sde.H @ sde.mean + sde.y0)[: len(volts)]
        step = new - volts
        gap = float(np.abs(step / amplifiers.values[:, 1]).max())
        if gap <= 1e-13 * (1 + float(np.abs(new / amplifiers.values[:, 1]).max())):
            return tangent
        share = 1.0 if gap < before or gap < 1e-3 else max(share / 2, 2.0**-10)
        before = gap
        volts = volts + share * step
    raise CircuitError("without noise the circuit comes to no rest that Newton's method finds")


@dataclass(frozen=True, eq=False)
class Saturating:
    """The equation itself, in the coordinates and the unit of time of its linear part: ``de = (A e + B n(v)) dt``.

    Attributes
    ----------
    sde:
        With every transconductor at its slope g; its probes are the inputs, then those of the circuit.
    amplifiers:
        Their laws.
    B:
        (n, k).
    """

    sde: StochasticODE
    amplifiers: Amplifiers
    B: FloatArray

    @classmethod
    def of(cls, circuit: Circuit) -> Saturating:
        """Derive it.

        Raises
        ------
        CircuitError
            As `spu.emulator.equations.linear.stochastic_ode`; where an output drives a node without capacitance whose
            voltage is an input.
        """
        amplifiers = Amplifiers.of(circuit)
        line = linearised(circuit, amplifiers.values[:, 0], np.zeros(len(amplifiers.values)))
        sde, B, direct = with_ports(line, amplifiers.outputs, amplifiers.inputs)
        if direct.any():
            raise CircuitError(
                "a transconductor of finite range drives a node without capacitance that another one sees at once: "
                "give it capacitance (detail node.capacitance)"
            )
        return cls(sde, amplifiers, B)

    @cached_property
    def C(self) -> FloatArray:
        """(k, n) inputs of coordinates, V."""
        return self.sde.dense.H[: len(self.amplifiers.values)]

    @cached_property
    def centre(self) -> FloatArray:
        """(k + p,) V of inputs and probes at coordinates of zero: the rest of the linear part."""
        return np.asarray(self.sde.H @ self.sde.mean + self.sde.y0)

    @cached_property
    def noise(self) -> FloatArray:
        """(n, m) of the circuit's own sources."""
        return self.sde.dense.B[:, : self.sde.dense.B.shape[1] - len(self.amplifiers.values)]

    @property
    def per_volt(self) -> FloatArray:
        """(n, m) what a volt of each source does."""
        return self.noise * np.sqrt(2.0 * self.sde.dense.time) / UNIT_NOISE_DENSITY

    @cached_property
    def rate(self) -> float:
        """A bound of the rates, per unit of time, that transconductors alone make: their currents turn no faster."""
        g = self.amplifiers.values[:, 0]
        return float(np.linalg.norm((self.B * g) @ self.C, 2))

    def push(self, e: FloatArray) -> FloatArray:
        """What is not linear, at coordinates (..., n)."""
        volts = e @ self.C.T + self.centre[: len(self.C)]
        return np.asarray(self.amplifiers.excess(volts) @ self.B.T)

    def seen(self, e: FloatArray) -> FloatArray:
        """(..., p) V of the circuit's probes."""
        k = len(self.C)
        return np.asarray(e @ self.sde.dense.H[k:].T + self.centre[k:])

    def rest(self, circuit: Circuit) -> FloatArray:
        """(n,) coordinates at rest."""
        none = np.zeros((0, 2), dtype=np.int64)
        sde, _, _ = with_ports(at_rest(circuit), none, self.amplifiers.inputs)
        state = np.linalg.solve(self.sde.dense.to_state, sde.mean - self.sde.mean)
        return np.asarray(state)


def phi(A: FloatArray, h: float, count: int) -> list[FloatArray]:
    """``e^(A h)`` and h times ``phi_j(A h)``, j up to ``count``, (n, n) each: what exponential steps are made of.

    ``phi_1(z) = (e^z - 1)/z``, and ``phi_(j+1)(z) = (phi_j(z) - 1/j!)/z``.
    """
    n = len(A)
    whole = np.zeros(((count + 1) * n,) * 2)
    whole[:n, :n] = A * h
    for k in range(count):
        whole[k * n : (k + 1) * n, (k + 1) * n : (k + 2) * n] = np.eye(n)
    found = la.expm(whole)[:n]
    return [found[:, :n], *(h * found[:, k * n : (k + 1) * n] for k in range(1, count + 1))]


def respond(
    equation: Saturating, start: FloatArray, waveform: FloatArray, interval: float, *, hold: bool, finer: float = 1.0
) -> FloatArray:
    """(k + 1, p) V of the probes under voltages (k + 1, m) of the sources.

    A sample is held until the next one, or joined to it by a straight line. The linear part is exact, so that fast
    time constants cost nothing; what transconductors add goes by exponential Runge and Kutta's steps of fourth order
    (Cox and Matthews, Journal of Computational Physics 176, 430, 2002), ten in the time in which that can turn,
    ``finer`` times as many.
    """
    tau = interval / equation.sde.dense.time
    steps = max(1, int(np.ceil(finer * 10.0 * tau * equation.rate)))
    h = tau / steps
    A = equation.sde.dense.A
    half, over_half = phi(A, h / 2, 1)
    whole, one, two, three = phi(A, h, 3)
    first, middle, last = one - 3 * two + 4 * three, 2 * two - 4 * three, 4 * three - two
    drives = waveform @ equation.per_volt.T
    path = [start]
    for begin, following in pairwise(drives):
        e, end = path[-1], begin if hold else following
        for k in range(steps):
            low, mid, high = (begin + (k + share) / steps * (end - begin) for share in (0.0, 0.5, 1.0))
            here = equation.push(e) + low
            a = half @ e + over_half @ here
            at_a = equation.push(a) + mid
            at_b = equation.push(half @ e + over_half @ at_a) + mid
            at_c = equation.push(half @ a + over_half @ (2 * at_b - here)) + high
            e = whole @ e + first @ here + middle @ (at_a + at_b) + last @ at_c
        path.append(e)
    return equation.seen(np.array(path))
