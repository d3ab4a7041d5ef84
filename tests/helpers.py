"""What the tests of the physics share: random problems by kind, devices, and independent formulas.

`Nodal` builds the nodal equations straight from a device's values, with dense matrices and
no code of `spu` but the device itself: what the package derives must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg as la

from spu.device.device import Device
from spu.device.hardware import Hardware, Range
from spu.device.lower import lower
from spu.emulator.equations.linear import StochasticODE, stochastic_ode
from spu.emulator.laws.modes import Modes, modes_of, well_heard
from spu.emulator.laws.stationary import Stationary, stationary
from spu.emulator.runs.run import choose_method, run

BOLTZMANN = 1.380649e-23
T = 300.0
KT = BOLTZMANN * T


def commuting_modes(sde: StochasticODE) -> Modes | None:
    """The modes of an equation, or None where its matrices do not commute."""
    nodal = well_heard(sde)
    return None if nodal is None else modes_of(nodal)


def law_of(device: Device) -> Stationary:
    return stationary(stochastic_ode(lower(device)))


def paths(law: Stationary, *, steps: int, interval: float, seed: int, count: int, method=None, **options) -> np.ndarray:
    """Every readout of ``count`` trajectories as deviations from the mean, (steps, count, p), V."""
    how = choose_method(law, interval, method)
    return np.swapaxes(run(how, trajectories=count, steps=steps, seed=seed, every=1, **options).kept, 0, 1)


# Problems


def _tuned(spread: Callable[[float], np.ndarray], condition: float) -> np.ndarray:
    """Bisect (in the logarithm) a shift in [1e-12, 1e3] for a condition number; `spread` falls with it."""
    low, high = -12.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.linalg.cond(spread(10.0**middle)) > condition:
            low = middle
        else:
            high = middle
    return spread(10.0**high)


def m_matrix(rng: np.random.Generator, n: int, condition: float = 100.0) -> np.ndarray:
    """A connected, diagonally dominant Laplacian plus a multiple of 1: off-diagonals <= 0."""
    weights = np.triu(rng.uniform(0.2, 1.0, (n, n)) * (rng.random((n, n)) < 0.5), 1)
    k = np.arange(n - 1)
    weights[k, k + 1] = rng.uniform(0.2, 1.0, n - 1)
    weights = weights + weights.T
    laplacian = np.diag(weights.sum(axis=1)) - weights
    return _tuned(lambda shift: laplacian + shift * np.eye(n), condition)


def balanced(rng: np.random.Generator, n: int, condition: float = 100.0) -> np.ndarray:
    """Entries of both signs that a choice of readout polarity makes an M-matrix."""
    signs = np.where(np.arange(n) % 2, -1.0, 1.0)
    rng.shuffle(signs)
    return signs[:, None] * m_matrix(rng, n, condition) * signs


def frustrated(rng: np.random.Generator, n: int, condition: float = 100.0) -> np.ndarray:
    """A dense matrix (n >= 3) with the signs of its first triangle frustrated."""
    while True:
        q = np.linalg.qr(rng.standard_normal((n, n)))[0]
        matrix = (q * np.geomspace(1.0, 1.0 / condition, n)) @ q.T
        matrix = (matrix + matrix.T) / 2
        if matrix[0, 1] * matrix[1, 2] * matrix[0, 2] > 0:
            return matrix


def scaled(rng: np.random.Generator, n: int, condition: float = 100.0) -> np.ndarray:
    """An M-matrix that is not diagonally dominant (n >= 2): only a congruence makes it so."""
    matrix = m_matrix(rng, n, condition)
    d = np.geomspace(1.0, 8.0, n)
    rng.shuffle(d)
    return d[:, None] * matrix * d


def weak_links(rng: np.random.Generator, blocks: int, link: float, spread: float = 3.0) -> np.ndarray:
    """A chain of pairs that are not diagonally dominant and couple unequally, joined by links of relative size."""
    n = 2 * blocks
    matrix = np.eye(n)
    for k in range(blocks):
        matrix[2 * k, 2 * k + 1] = matrix[2 * k + 1, 2 * k] = -0.9 * (1 - 0.05 * k)
    for k in range(blocks - 1):
        matrix[2 * k + 1, 2 * k + 2] = matrix[2 * k + 2, 2 * k + 1] = -link
    d = np.where(np.arange(n) % 2, spread, 1.0)
    return d[:, None] * matrix * d


def disconnected(rng: np.random.Generator, n: int, condition: float = 100.0) -> np.ndarray:
    """Two M-matrices (n >= 3) and a lone cell, in shuffled order."""
    first = (n - 1) // 2
    parts = [m_matrix(rng, size, condition) for size in (first, n - 1 - first) if size]
    matrix = la.block_diag(*parts, np.array([[1.0]]))
    order = rng.permutation(n)
    return matrix[np.ix_(order, order)]


def unquantised(hardware: Hardware) -> Hardware:
    """The same hardware with components of any value: where its codes are not the subject."""

    def free(part: dict[str, Range]) -> dict[str, Range]:
        return {key: replace(limits, bank=None) for key, limits in part.items()}

    return replace(hardware, cell=free(hardware.cell), coupler=free(hardware.coupler))


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    return matrix - np.diag(np.diag(matrix))


def near(expected: object, rel: float = 1e-12) -> object:
    """`pytest.approx` without its absolute tolerance of 1e-12, beside which volts squared are nothing."""
    return pytest.approx(expected, rel=rel, abs=0.0)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Frobenius error relative to what is expected."""
    return float(np.linalg.norm(np.asarray(found) - expected) / np.linalg.norm(expected))


# Devices


def rlc_pair(temperature: float = 0.0, **changes: float) -> Device:
    """Two unequal RLC cells with a capacitive coupler and a resistive leak between them."""
    device = Device(temperature=temperature)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    device.add_cell("b", capacitance=2e-9, conductance=5e-4, inductance=3e-5, noise=1e-20)
    device.add_coupler("a", "b", capacitance=changes.get("capacitance", 5e-10), conductance=2e-4)
    return device


def rc_pair(temperature: float = 0.0) -> Device:
    """Two unequal RC cells with unequal noise and a leak between them."""
    device = Device(temperature=temperature)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_cell("b", capacitance=3e-9, conductance=2e-4, noise=9e-20)
    device.add_coupler("a", "b", conductance=3e-4)
    return device


def random_device(
    rng: np.random.Generator,
    n: int,
    *,
    temperature: float,
    inductors: bool = True,
    transconductors: bool = False,
    noise: bool = True,
) -> Device:
    """A connected device whose cells all hold capacitance and conductance, with inductors on some."""

    def value(scale: float) -> float:
        return float(scale * 10.0 ** rng.uniform(-0.5, 0.5))

    device = Device(temperature=temperature)
    for k in range(n):
        cell = {"capacitance": value(1e-9), "conductance": value(1e-3)}
        if inductors and rng.random() < 0.6:
            cell["inductance"] = value(1e-5)
        if noise:
            cell["noise"] = value(4e-20)
            cell["bias"] = float(rng.normal()) * 1e-6
        device.add_cell(f"c{k}", **cell)
    for a in range(n):
        for b in range(a + 1, n):
            if b > a + 1 and rng.random() > 0.4:
                continue
            coupler: dict[str, float | tuple[float, float]] = {}
            if rng.random() < 0.6:
                coupler["capacitance"] = value(3e-10)
            if rng.random() < 0.6 or not coupler:
                coupler["conductance"] = value(3e-4)
            if transconductors:
                coupler["transconductance"] = (float(rng.normal() * 1e-4), float(rng.normal() * 1e-4))
            ends = (f"c{a}", f"c{b}") if rng.random() < 0.5 else (f"c{b}", f"c{a}")
            device.add_coupler(*ends, **coupler)
    return device


class Nodal:
    """Nodal equations of a device from its values: ``C v' + G v + (inductor currents) = bias + noise``."""

    def __init__(self, device: Device) -> None:
        names = [cell.name for cell in device.cells]
        n = len(names)
        index = {name: k for k, name in enumerate(names)}
        self.C, self.G, self.bias = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
        self.inductors: list[tuple[np.ndarray, float]] = []
        self.injected: dict[str, tuple[np.ndarray, float]] = {}
        self.thermal: list[tuple[np.ndarray, float]] = []
        kt4 = 4 * BOLTZMANN * device.temperature
        parts = [(np.eye(n)[index[cell.name]], cell.values) for cell in device.cells]
        parts += [(np.eye(n)[index[c.a]] - np.eye(n)[index[c.b]], c.values) for c in device.couplers]
        for incidence, values in parts:
            square = np.outer(incidence, incidence)
            self.C += values.get("capacitance", 0.0) * square
            self.G += values.get("conductance", 0.0) * square
            self.thermal.append((incidence, kt4 * values.get("conductance", 0.0)))
            if "inductance" in values:
                self.inductors.append((incidence, values["inductance"]))
        for cell in device.cells:
            here = np.eye(n)[index[cell.name]]
            self.bias += cell.values.get("bias", 0.0) * here
            if "noise" in cell.values:
                self.injected[f"n_{cell.name}"] = (here, cell.values["noise"])
            self.G += cell.values.get("active_conductance", 0.0) * np.outer(here, here)
        for noise in device.noises:  # one source, whatever it drives
            self.injected[f"w_{noise.name}"] = (sum(a * np.eye(n)[index[c]] for c, a in noise.amplitudes.items()), 1.0)
        for c in device.couplers:
            g = c.values.get("transconductance", 0.0)
            g_ab, g_ba = g if isinstance(g, tuple) else (g, g)
            self.G[index[c.a], index[c.b]] += g_ab
            self.G[index[c.b], index[c.a]] += g_ba

    @property
    def density(self) -> np.ndarray:
        """One-sided cross-density of the noise currents into the nodes, A^2/Hz."""
        sources = [*self.injected.values(), *self.thermal]
        return sum((density * np.outer(u, u) for u, density in sources), np.zeros_like(self.C))

    def admittance(self, frequency: float) -> np.ndarray:
        s = 2j * np.pi * frequency
        total = s * self.C + self.G.astype(complex)
        for u, inductance in self.inductors:
            total = total + np.outer(u, u) / (s * inductance)
        return total

    def spectrum(self, frequency: float) -> np.ndarray:
        """Cross-spectrum of the node voltages, one-sided, V^2/Hz."""
        inverse = np.linalg.inv(self.admittance(frequency))
        return inverse @ self.density @ inverse.conj().T

    def drift(self) -> tuple[np.ndarray, np.ndarray]:
        """(A, Q) of ``dx = A x dt + dW``, ``E[dW dW^T] = Q dt``, for ``x = (v, i sqrt(L / C_1))``; C regular."""
        n, m = len(self.C), len(self.inductors)
        B = np.array([u for u, _ in self.inductors]).reshape(m, n)
        z = np.sqrt([inductance / self.C[0, 0] for _, inductance in self.inductors])
        inverse = np.linalg.inv(self.C)
        A = np.zeros((n + m, n + m))
        A[:n, :n] = -inverse @ self.G
        A[:n, n:] = -inverse @ B.T / z
        A[n:, :n] = (B.T * z / [inductance for _, inductance in self.inductors]).T
        Q = np.zeros_like(A)
        Q[:n, :n] = inverse @ (self.density / 2) @ inverse.T
        return A, Q

    def covariance(self) -> np.ndarray:
        """Voltage covariance from the Lyapunov equation as one linear system (Kronecker products)."""
        A, Q = self.drift()
        n = len(self.C)
        return kronecker(A, Q)[:n, :n]


def kronecker(A: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """Solve ``A P + P A^T + Q = 0`` as n^2 equations, with one refinement."""
    rate, size = np.abs(A).max(), np.abs(Q).max()
    A, Q, one = A / rate, Q / size, np.eye(len(A))
    operator = np.kron(A, one) + np.kron(one, A)
    P = np.linalg.solve(operator, -Q.reshape(-1))
    P = P - np.linalg.solve(operator, operator @ P + Q.reshape(-1))
    return P.reshape(Q.shape) * size / rate
