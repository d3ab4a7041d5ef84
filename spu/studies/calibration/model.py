"""The law of what a readout records, and its derivatives by the logarithms of what is sought.

A linear device is ``z' = A z + B w`` in energy coordinates, with the stationary covariance P; a channel records
``y = G z + offset + e``: G is the readout's gain times what the channel sees, e white noise of one sample and the next.
A readout of finite bandwidth adds a state a channel, a pole behind what it sees. All that any likelihood of such a
record needs is in (A, P, G, R), R the variances of e, and in their derivatives (`Point`).

The matrices of the circuit's equation are differentiated by an imaginary part of values that is far below rounding;
what follows from them, such as ``A dP + dP A^T + dA P + P dA^T + d(B B^T) = 0``, is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as la

from spu.base.arrays import ComplexArray, FloatArray, IntArray
from spu.base.errors import InputError
from spu.circuit.circuit import Circuit
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.variation import Elements, elements_of, varied
from spu.emulator.dynamics import linear
from spu.emulator.equations.descriptor import STEP as TINY
from spu.emulator.equations.linear import StochasticODE, stochastic_ode
from spu.emulator.laws.stationary import SchurForm, refuse_white

STEP = 1e-5
"""Of the logarithm of a value that circuits hold in no plain power: then differences serve, off by its square."""

READOUT = ("readout.gain", "readout.band", "readout.noise")
"""What may be sought beside a device's elements, of each channel: V per V, Hz, V rms a sample."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What turns what channels see into what is recorded.

    Attributes
    ----------
    matrix:
        (c, n) of channels over the device's n probes, in units of the record per volt.
    gain, noise:
        (c,) factors, and standard deviations of the white noise of a sample, units of the record; 0 of none.
    band:
        (c,) Hz of one pole behind each channel, or None.
    """

    matrix: FloatArray
    gain: FloatArray
    noise: FloatArray
    band: FloatArray | None = None

    def scaled(self, factors: dict[str, FloatArray]) -> Reading:
        """The same with values multiplied, by the names of `READOUT`."""
        gain, noise = self.gain * factors["readout.gain"], self.noise * factors["readout.noise"]
        band = None if self.band is None else self.band * factors["readout.band"]
        return replace(self, gain=gain, noise=noise, band=band)


@dataclass(frozen=True, eq=False)
class Sought:
    """The unknowns: elements of a device, then values of the readout.

    Attributes
    ----------
    elements:
        All of the device.
    numbers:
        (k,) which of them are sought.
    readout:
        ``(quantity, channel)`` of those of the readout.
    channels:
        Names of the c channels.
    """

    elements: Elements
    numbers: IntArray
    readout: tuple[tuple[str, int], ...]
    channels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers) + len(self.readout)

    @property
    def names(self) -> tuple[str, ...]:
        """As `Elements.names`; ``readout.gain of x1``."""
        own = [self.elements.names[k] for k in self.numbers.tolist()]
        return (*own, *(f"{quantity} of {self.channels[channel]}" for quantity, channel in self.readout))

    @property
    def kinds(self) -> tuple[str, ...]:
        """As `Elements.kinds`."""
        kinds = self.elements.kinds
        return (*(kinds[k] for k in self.numbers.tolist()), *(quantity for quantity, _ in self.readout))

    def factors(self, theta: FloatArray) -> FloatArray:
        """(e,) factors of all elements of the device."""
        found = np.ones(len(self.elements))
        found[self.numbers] = np.exp(theta[: len(self.numbers)])
        return found

    def of_readout(self, theta: FloatArray) -> dict[str, FloatArray]:
        """(c,) factors by the names of `READOUT`."""
        found = {quantity: np.ones(len(self.channels)) for quantity in READOUT}
        for (quantity, channel), value in zip(self.readout, theta[len(self.numbers) :], strict=True):
            found[quantity][channel] = np.exp(value)
        return found


@dataclass(frozen=True, eq=False)
class Point:
    """The law of the record where the unknowns have some values, with its derivatives by their logarithms.

    Attributes
    ----------
    A:
        (n, n) in units of ``time`` (s).
    P, G, R:
        (n, n), (c, n) and (c,): in units in which channels of the design have a variance of about one.
    dA, dP, dG, dR:
        (k, ...) each.
    """

    A: FloatArray
    P: FloatArray
    G: FloatArray
    R: FloatArray
    time: float
    dA: FloatArray
    dP: FloatArray
    dG: FloatArray
    dR: FloatArray

    @cached_property
    def poles(self) -> ComplexArray:
        """(n,) 1/s."""
        return np.asarray(np.linalg.eigvals(self.A) / self.time)

    @cached_property
    def covariance(self) -> FloatArray:
        """(c, c) of a sample."""
        return np.asarray(self.G @ self.P @ self.G.T + np.diag(self.R))

    @cached_property
    def covariance_change(self) -> FloatArray:
        """(k, c, c)."""
        half = self.dG @ (self.P @ self.G.T)
        moved = half + np.swapaxes(half, 1, 2) + self.G @ self.dP @ self.G.T
        moved[:, np.arange(len(self.R)), np.arange(len(self.R))] += self.dR
        return np.asarray(moved)

    def sampled(self, interval: float) -> Sampled:
        """The law of samples ``interval`` seconds apart."""
        n, h = len(self.A), interval / self.time
        F = la.expm(self.A * h)
        dF = np.zeros_like(self.dA)
        moving = self.dA.any(axis=(1, 2))
        if moving.any():
            block = np.zeros((int(moving.sum()), 2 * n, 2 * n))
            block[:, :n, :n] = block[:, n:, n:] = self.A * h
            block[:, :n, n:] = self.dA[moving] * h
            dF[moving] = la.expm(block)[:, :n, n:]
        return Sampled(self, interval, np.asarray(F), dF)

    def densities(self, frequencies: FloatArray) -> tuple[ComplexArray, ComplexArray]:
        """One-sided cross-densities (f, c, c), per Hz, without noise of samples, and their changes (f, k, c, c)."""
        points = 2j * np.pi * frequencies[:, None, None] * self.time
        inverse = np.linalg.inv(points * np.eye(len(self.A)) - self.A)
        left, right, half = _through(self.G, inverse, self.P @ self.G.T)
        moved = _moved(self, left, right, self.dA)
        two = 2.0 * self.time
        return two * (half + _adjoint(half)), two * (moved + _adjoint(moved))


@dataclass(frozen=True, eq=False)
class Sampled:
    """The law of samples at equal distances: ``z_{t+1} = F z_t + noise``, ``y_t = G z_t + e_t``, exactly."""

    point: Point
    interval: float
    F: FloatArray
    dF: FloatArray

    def spectra(self, angles: FloatArray) -> tuple[ComplexArray, ComplexArray]:
        """``sum_l C_l exp(-j w l)`` (f, c, c), aliases and all, at w (f,) a sample, and its changes (f, k, c, c)."""
        point = self.point
        turned: ComplexArray = np.exp(-1j * angles.astype(np.complex128))[:, None, None]
        inverse = np.linalg.inv(np.eye(len(self.F)) - self.F * turned)
        g = point.P @ point.G.T
        left, right, half = _through(point.G, inverse, g)
        found = half + _adjoint(half) + (np.diag(point.R) - point.G @ g)
        moved = _moved(point, left, right, self.dF, turned)
        constant = point.covariance_change
        return found, moved + _adjoint(moved) + (2.0 * _diagonal(point.dR) - constant)


def _through(G: FloatArray, inverse: Any, g: FloatArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """(f, c, n), (f, n, c) and (f, c, c): ``G R``, ``R g`` and ``G R g``, R the resolvents (f, n, n)."""
    left, right = G @ inverse, inverse @ g
    return np.asarray(left), np.asarray(right), np.asarray(G @ right)


def _moved(
    point: Point, left: ComplexArray, right: ComplexArray, change: FloatArray, turned: ComplexArray | float = 1.0
) -> ComplexArray:
    """(f, k, c, c): of ``G R P G^T``, R the resolvent; ``left`` is ``G R`` and ``right`` is ``R P G^T``."""
    f, c, n = left.shape
    k = len(change)
    through = (left.reshape(f * c, n) @ change.transpose(1, 0, 2).reshape(n, k * n)).reshape(f, c, k, n)
    g = point.dP @ point.G.T + point.P @ np.swapaxes(point.dG, 1, 2)
    own = (left.reshape(f * c, n) @ g.transpose(1, 0, 2).reshape(n, -1)).reshape(f, c, k, -1)
    inner = (through.reshape(f, c * k, n) @ (turned * right)).reshape(f, c, k, -1)
    found = (inner + own).transpose(0, 2, 1, 3)
    if point.dG.any():
        found = found + np.einsum("kcn,fnd->fkcd", point.dG, right)
    return np.asarray(found)


def _adjoint(matrices: ComplexArray) -> ComplexArray:
    return np.conj(np.swapaxes(matrices, -1, -2))


def _diagonal(values: FloatArray) -> FloatArray:
    """(k, c, c) from (k, c)."""
    return values[:, :, None] * np.eye(values.shape[1])


class Model:
    """The law of a record of a device, at any values of what is sought.

    Parameters
    ----------
    device:
        The design: where logarithms of factors are zero.
    sought:
        The unknowns.
    reading:
        The readout, at the same place.
    """

    def __init__(self, device: Device, sought: Sought, reading: Reading) -> None:
        self.device, self.sought, self.reading = device, sought, reading
        does = linear(lower(device))
        does.require_white("calibration")
        law = does.dense
        refuse_white(law.sde)
        seen = np.asarray(reading.matrix @ law.voltage_covariance @ reading.matrix.T)
        variance = reading.gain**2 * seen.diagonal() + reading.noise**2
        silent = [sought.channels[k] for k in np.flatnonzero(variance <= 0)]
        if silent:
            raise InputError(f"channel {silent[0]} is silent in the design: nothing is learnt of it, leave it out")
        self.unit = np.sqrt(variance)
        self.powers = Powers.found(device, sought.elements, sought.numbers)
        self.joule = float(np.trace(law.covariance)) / len(law.covariance) or 1.0

    def at(self, theta: FloatArray) -> Point:
        """The law and its derivatives.

        Raises
        ------
        CircuitError
            If the circuit with these values has no stationary law.
        """
        sought, k = self.sought, len(self.sought)
        device = varied(self.device, sought.factors(theta), sought.elements)
        law = linear(lower(device)).dense
        dense, sde = law.dense, law.sde
        n, own = len(dense.A), len(sought.numbers)
        here = elements_of(device)
        dA, dQ, dH = np.zeros((k, n, n)), np.zeros((k, n, n)), np.zeros((k, len(dense.H), n))
        left = dense.to_state.T if dense.energetic else la.inv(sde.E @ dense.to_state)
        for number, element in enumerate(sought.numbers.tolist()):
            E, F, K, H = self.powers.changes(device, here, number, element, sde)
            moved = left @ E @ dense.to_state
            dA[number] = dense.time * (left @ F @ dense.to_state) - moved @ dense.A
            half = (np.sqrt(dense.time) * (left @ K) - moved @ dense.B) @ dense.B.T
            dQ[number] = half + half.T
            dH[number] = H @ dense.to_state
        reading = self.reading.scaled(sought.of_readout(theta))
        sees = reading.gain[:, None] * reading.matrix / self.unit[:, None]
        A, Q = dense.A, dense.B @ dense.B.T / self.joule
        root = np.sqrt(self.joule)
        G, dG = sees @ dense.H * root, sees @ dH * root
        dQ = dQ / self.joule
        gains = [(own + j, c) for j, (name, c) in enumerate(sought.readout) if name == "readout.gain"]
        for number, channel in gains:
            dG[number, channel] = G[channel]
        if reading.band is not None:
            A, Q, G, dA, dQ, dG = _behind_poles(dense.time, reading.band, sought, A, Q, G, dA, dQ, dG)
        form = SchurForm.of(A)
        P = form.solve(Q)
        for number in range(k):
            if dA[number].any() or dQ[number].any():
                half = dA[number] @ P
                dQ[number] = form.solve(half + half.T + dQ[number])
        R = (reading.noise / self.unit) ** 2
        dR = np.zeros((k, len(R)))
        for j, (name, channel) in enumerate(sought.readout):
            if name == "readout.noise":
                dR[own + j, channel] = 2.0 * R[channel]
        return Point(A, P, G, R, dense.time, dA, dQ, dG, dR)


def _behind_poles(
    time: float,
    band: FloatArray,
    sought: Sought,
    A: FloatArray,
    Q: FloatArray,
    G: FloatArray,
    dA: FloatArray,
    dQ: FloatArray,
    dG: FloatArray,
) -> tuple[FloatArray, ...]:
    """The same with a pole behind each channel: its state follows what the channel sees."""
    n, c, k = len(A), len(G), len(dA)
    rate = 2.0 * np.pi * band * time

    def larger(matrices: FloatArray) -> FloatArray:
        found = np.zeros((*matrices.shape[:-2], n + c, n + c))
        found[..., :n, :n] = matrices
        return found

    A, Q, dA, dQ = larger(A), larger(Q), larger(dA), larger(dQ)
    A[n:, :n], A[n:, n:] = rate[:, None] * G, -np.diag(rate)
    dA[:, n:, :n] = rate[:, None] * dG
    for j, (name, channel) in enumerate(sought.readout):
        if name == "readout.band":
            dA[len(sought.numbers) + j, n + channel] = A[n + channel]
    seen = np.hstack([np.zeros((c, n)), np.eye(c)])
    return A, Q, seen, dA, dQ, np.zeros((k, c, n + c))


@dataclass(frozen=True, eq=False)
class Powers:
    """What parameters of a circuit are as powers of a device's elements: values, their inverses, their roots.

    Attributes
    ----------
    of:
        For each element that is sought: ``(group of instances, parameter, (k,) powers)``; None of one that is in some
        parameter no plain power.
    """

    of: tuple[tuple[tuple[int, str, FloatArray], ...] | None, ...]

    @classmethod
    def found(cls, device: Device, elements: Elements, numbers: IntArray) -> Powers:
        """Of some elements, by lowering the device with each of them a little larger and a little smaller."""
        here = lower(device).instances
        every = []
        for element in numbers.tolist():
            up, down = (_lowered(device, elements, element, sign * _MOVED).instances for sign in (1.0, -1.0))
            powers: list[tuple[int, str, FloatArray]] | None = []
            for group, instances in enumerate(here):
                for key, values in instances.parameters.items():
                    pair = up[group].parameters[key], down[group].parameters[key]
                    if np.array_equal(pair[0], values):
                        continue
                    with np.errstate(divide="ignore", invalid="ignore"):
                        ratio = [np.log(np.where(values == other, 1.0, other / values)) for other in pair]
                    if powers is None or not np.abs(ratio[0] + ratio[1]).max() <= 1e-9 * _MOVED:
                        powers = None
                        break
                    powers.append((group, key, ratio[0] / _MOVED))
            every.append(None if powers is None else tuple(powers))
        return cls(tuple(every))

    def changes(
        self, device: Device, elements: Elements, number: int, element: int, sde: StochasticODE
    ) -> tuple[FloatArray, ...]:
        """Derivatives of E, F, K and H, dense, by the logarithm of an element."""
        powers = self.of[number]
        if powers is None:
            found = [stochastic_ode(_lowered(device, elements, element, sign * STEP)) for sign in (1.0, -1.0)]
            pairs = [(getattr(found[0], key) - getattr(found[1], key)).toarray() / (2.0 * STEP) for key in "EFKH"]
            _same_states(sde, found[0], elements.names[element])
            return tuple(pairs)
        circuit = lower(device)
        instances = list(circuit.instances)
        for group, key, power in powers:
            known = instances[group].parameters
            moved = {**known, key: known[key] * (1.0 + 1j * TINY * power)}
            instances[group] = replace(instances[group], parameters=moved)
        changed = stochastic_ode(replace(circuit, instances=instances))
        _same_states(sde, changed, elements.names[element])
        return tuple(np.imag(getattr(changed, key).toarray()) / TINY for key in "EFKH")


_MOVED = 1e-2
"""Of a logarithm: far enough to tell a power from what is none."""


def _lowered(device: Device, elements: Elements, element: int, step: float) -> Circuit:
    factors = np.ones(len(elements))
    factors[element] = np.exp(step)
    return lower(varied(device, factors, elements))


def _same_states(sde: StochasticODE, changed: StochasticODE, name: str) -> None:
    if changed.E.shape != sde.E.shape:
        raise InputError(f"{name} cannot be fitted: the states of the circuit hang on its value")


def matrix_of(channels: Sequence[str], names: Sequence[str], rows: FloatArray, what: str) -> FloatArray:
    """(c, n) the rows of channels by their names.

    Raises
    ------
    InputError
        For a name that is none, or one that is there twice.
    """
    known = {name.lower(): k for k, name in enumerate(names)}
    missing = [name for name in channels if name.lower() not in known]
    if missing:
        raise InputError(f"the record has {missing[0]!r}, which is none of the device's {what}: {', '.join(names[:8])}")
    if len({name.lower() for name in channels}) < len(channels):
        raise InputError("the record has one channel twice")
    return rows[[known[name.lower()] for name in channels]]
