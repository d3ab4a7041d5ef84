"""The law of a linear circuit from the values of its parts alone, to hold the package against: numpy and scipy only.

A circuit is a list of primitive `Part` entries on named nodes. What a device's cells, couplers, banks and details are
made of is written down here a second time, from what the tables of `spu.device.quantities` and `spu.device.build`
promise in words; of the package only the numbers a device holds are read.

Modified nodal analysis gives ``E x' = F x + s + K w`` with node voltages and branch currents, ``E`` symmetric.
Charges of islands behind capacitors and fluxes of loops of inductors are conserved, and taken as zero; what no
capacitance and no inductance holds is solved for. What is left is written in coordinates of energy,
``z' = A z + b + B w``, where its covariance solves a Lyapunov equation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as la

BOLTZMANN = 1.380649e-23


class NoLaw(Exception):
    """There is no stationary law, or a read-out has no finite variance: the package is to refuse it, too."""


class NotCovered(Exception):
    """There may be a law, but not one that this module finds."""


@dataclass(frozen=True)
class Part:
    """One primitive element.

    Attributes
    ----------
    kind:
        ``r``, ``c``, ``l`` (ohm, F, H), ``i`` (A), ``v`` (V), ``g`` (S), ``e`` (V/V), ``f`` (A/A), ``h`` (ohm), ``k``;
        ``n`` is one white noise source into all its nodes.
    nodes:
        As SPICE orders them; ``"0"`` is ground.
    value:
        SI.
    noise:
        One-sided density of what it makes: A^2/Hz beside ``r`` and ``i``, V^2/Hz in series with ``v``.
    name, branches:
        Of itself, and of those whose branches it uses (``f``, ``h``, ``k``).
    shares:
        Of ``n``: A/rtHz, one-sided, into each of its nodes.
    """

    kind: str
    nodes: tuple[str, ...]
    value: float
    noise: float = 0.0
    name: str = ""
    branches: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()


# What devices are made of


def device_parts(device: Any) -> list[Part]:
    """The primitive elements of one programming of a device; cells sit on nodes of their names."""
    thermal = 4.0 * BOLTZMANN * device.temperature
    parts: list[Part] = []
    inner = _counter()

    def resistor(p: str, n: str, ohm: float, noisy: bool = True) -> None:
        parts.append(Part("r", (p, n), ohm, thermal / ohm if noisy else 0.0))

    detail = device.detail

    def inductor(p: str, n: str, henry: float) -> None:
        end = n
        if "series_resistance" in detail.inductor:
            end = inner()
            resistor(end, n, detail.inductor["series_resistance"])
        if "capacitance" in detail.inductor:
            parts.append(Part("c", (p, n), detail.inductor["capacitance"]))
        parts.append(Part("l", (p, end), henry, name=f"l{inner()}"))

    def switch(p: str, n: str, closed: bool, units: int) -> None:
        ohm = detail.switch["on_resistance"] if closed else detail.switch.get("off_resistance", 1e12)
        resistor(p, n, ohm / units)
        if not closed and "off_capacitance" in detail.switch:
            parts.append(Part("c", (p, n), detail.switch["off_capacitance"] * units))

    def bank(quantity: str, p: str, n: str, code: int, units: Any) -> None:
        """A bank of capacitors or resistors between two nodes: a branch for each bit, in series with its switches."""
        capacitive = quantity == "capacitance"
        if units.offset:
            if capacitive:
                parts.append(Part("c", (p, n), units.offset))
            else:
                resistor(p, n, 1.0 / units.offset)
        for k in range(units.bits):
            middle, size = inner(), 2**k * units.lsb
            if capacitive:
                parts.append(Part("c", (p, middle), size))
            else:
                resistor(p, middle, 1.0 / size)
            switch(middle, n, bool(code >> k & 1), 2**k)

    def buffered(node: str) -> str:
        if not detail.buffer:
            return node
        out, siemens = inner(), 1e-3
        parts.append(Part("g", ("0", out, node, "0"), siemens))
        resistor(out, "0", 1.0 / siemens, noisy=False)
        parts.append(Part("c", (out, "0"), siemens / (2.0 * np.pi * detail.buffer["bandwidth"])))
        return out

    def transconductor(into: str, control: str, siemens: float) -> None:
        parts.append(Part("g", (into, "0", buffered(control), "0"), siemens))

    def transconductor_bank(into: str, control: str, code: int, units: Any) -> None:
        control = buffered(control)
        if units.offset:
            parts.append(Part("g", (into, "0", control, "0"), units.offset))
        for k in range(units.bits):
            on, middle = bool(abs(code) >> k & 1), inner()
            switch(control, middle, on, 2**k)
            switch(middle, "0", not on, 2**k)
            parts.append(Part("g", (into, "0", middle, "0"), float(np.sign(code)) * 2**k * units.lsb))

    def held(columns: Any, key: str, row: int) -> float | None:
        value = float(columns.arrays[key][row])
        return None if np.isnan(value) else value

    def passive(columns: Any, row: int, p: str, n: str) -> bool:
        """Capacitance, conductance and inductance of one cell or coupler; whether there are any."""
        there = False
        for quantity in ("capacitance", "conductance", "inductance"):
            value = held(columns, quantity, row)
            if quantity in columns.banks and detail.switch:
                bank(quantity, p, n, int(columns.codes[quantity][row]), columns.banks[quantity])
                there = True
            elif value is not None:
                there = True
                if quantity == "capacitance":
                    parts.append(Part("c", (p, n), value))
                elif quantity == "conductance":
                    resistor(p, n, 1.0 / value)
                else:
                    inductor(p, n, value)
        return there

    names = [f"cell {name}" for name in device.cell_names]
    for row, node in enumerate(names):
        columns = device.cell_columns
        there = passive(columns, row, node, "0")
        density, bias = held(columns, "noise", row), held(columns, "bias", row)
        if density is not None or bias is not None:
            parts.append(Part("i", ("0", node), bias or 0.0, density or 0.0))
            there = True
        active = held(columns, "active_conductance", row)
        if active is not None:
            parts.append(Part("g", (node, "0", node, "0"), active))
            there = True
        if there and "capacitance" in detail.node:
            parts.append(Part("c", (node, "0"), detail.node["capacitance"]))
        if there and "conductance" in detail.node:
            resistor(node, "0", 1.0 / detail.node["conductance"])
    for source in device.noises:
        into = tuple(f"cell {name}" for name in source.amplitudes)
        parts.append(Part("n", into, 0.0, shares=tuple(source.amplitudes.values())))
    for row, (a, b) in enumerate(device.coupler_ends.tolist()):
        columns = device.coupler_columns
        passive(columns, row, names[a], names[b])
        for key, into, control in (("ab", names[a], names[b]), ("ba", names[b], names[a])):
            key = f"transconductance_{key}"
            value = held(columns, key, row)
            if "transconductance" in columns.banks and detail.switch:
                code = int(columns.codes[key][row])
                transconductor_bank(into, control, code, columns.banks["transconductance"])
            elif value is not None:
                transconductor(into, control, value)
    return parts


def _counter() -> Callable[[], str]:
    number = 0

    def following() -> str:
        nonlocal number
        number += 1
        return f"inner {number}"

    return following


# The law


@dataclass(frozen=True, eq=False)
class OwnLaw:
    """The stationary law of read-outs ``y = H z + centre`` of ``z' = A z + B w`` (n states, p read-outs).

    Attributes
    ----------
    A:
        (n, n) 1/s.
    B:
        (n, m), of unit Wiener processes.
    H:
        (p, n).
    centre:
        (p,) mean.
    P:
        (n, n) covariance of the states.
    reach:
        (p,) sizes beside which the mean is rounded: a bias that an inductor shorts leaves zero to rounding.
    """

    A: np.ndarray
    B: np.ndarray
    H: np.ndarray
    centre: np.ndarray
    P: np.ndarray
    reach: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """(p, p)."""
        return self.H @ self.P @ self.H.T

    @property
    def poles(self) -> np.ndarray:
        """(n,) 1/s."""
        return la.eigvals(self.A)

    def lagged(self, interval: float, count: int) -> np.ndarray:
        """(count, p, p): ``E[y(t + l interval) y(t)^T]`` less the means, l = 0, 1, ..."""
        return lagged(la.expm(self.A * interval), self.P, self.H, count)

    def spectrum(self, frequency: float) -> np.ndarray:
        """(p, p) one-sided cross-spectral density at a frequency in Hz."""
        h = self.H @ la.solve(2j * np.pi * frequency * np.eye(len(self.A)) - self.A, self.B.astype(complex))
        return 2.0 * h @ h.conj().T

    def read(self, matrix: np.ndarray, offset: np.ndarray) -> OwnLaw:
        """The law of ``matrix @ y + offset``."""
        reach = np.abs(matrix) @ self.reach + np.abs(offset)
        return OwnLaw(self.A, self.B, matrix @ self.H, matrix @ self.centre + offset, self.P, reach)


def lagged(transition: np.ndarray, P: np.ndarray, H: np.ndarray, count: int) -> np.ndarray:
    """(count, p, p) ``H transition^l P H^T`` for l = 0, 1, ..."""
    found = np.empty((count, len(H), len(H)))
    right = P @ H.T
    for lag in range(count):
        found[lag] = H @ right
        right = transition @ right
    return found


def circuit_law(parts: Sequence[Part], probes: Sequence[str]) -> OwnLaw:
    """The law of the voltages of some nodes.

    Raises
    ------
    NoLaw
        If noise or a bias drives what is conserved, a mode does not decay, or a probe sees white noise.
    NotCovered
        If the equations are of an index above one, singular, or with rates too far apart.
    """
    nodes = list(dict.fromkeys(node for part in parts for node in part.nodes if node != "0"))
    number = {node: k for k, node in enumerate(nodes)} | {"0": -1}
    branched = [part for part in parts if part.kind in "lveh"]
    branch = {part.name: len(nodes) + k for k, part in enumerate(branched)}
    size = len(nodes) + len(branched)
    # Units in which everything is of the order of one.
    siemens = _typical([1.0 / part.value for part in parts if part.kind == "r"], 1e-3)
    farad = _typical([part.value for part in parts if part.kind == "c"], 1e-9)
    second = farad / siemens
    E, F, s = np.zeros((size + 1, size + 1)), np.zeros((size + 1, size + 1)), np.zeros(size + 1)  # the last is ground
    columns: list[np.ndarray] = []

    def noise(rows: Sequence[tuple[int, float]], density: float) -> None:
        if density:
            column = np.zeros(size + 1)
            for row, sign in rows:
                column[row] += sign * np.sqrt(density / 2.0)
            columns.append(column)

    for part in parts:
        at = [number[node] for node in part.nodes]
        row = branch.get(part.name, -2) if part.kind in "lveh" else -2
        if part.kind == "r":
            _two(F, at, -1.0 / part.value / siemens)
            noise([(at[0], -1.0 / siemens), (at[1], 1.0 / siemens)], part.noise)
        elif part.kind == "c":
            _two(E, at, part.value / farad)
        elif part.kind == "i":
            s[at[0]] -= part.value / siemens
            s[at[1]] += part.value / siemens
            noise([(at[0], -1.0 / siemens), (at[1], 1.0 / siemens)], part.noise)
        elif part.kind == "n":
            noise([(k, share / siemens) for k, share in zip(at, part.shares, strict=True)], 1.0)
        elif part.kind == "g":
            _controlled(F, at, -part.value / siemens)
        elif part.kind == "k":
            first, second_one = (branch[name] for name in part.branches)
            own = [next(p.value for p in branched if p.name == name) for name in part.branches]
            mutual = part.value * np.sqrt(own[0] * own[1]) * siemens / second
            E[first, second_one] += mutual
            E[second_one, first] += mutual
        elif part.kind == "f":
            control = branch[part.branches[0]]
            F[at[0], control] -= part.value
            F[at[1], control] += part.value
        if row >= 0:
            F[at[0], row] -= 1.0
            F[at[1], row] += 1.0
            F[row, at[0]] += 1.0
            F[row, at[1]] -= 1.0
            if part.kind == "l":
                E[row, row] += part.value * siemens / second
            elif part.kind == "v":
                s[row] -= part.value
                noise([(row, -1.0)], part.noise)
            elif part.kind == "e":
                F[row, at[2]] -= part.value
                F[row, at[3]] += part.value
            elif part.kind == "h":
                F[row, branch[part.branches[0]]] -= part.value * siemens
    E, F, s = E[:-1, :-1], F[:-1, :-1], s[:-1]
    K = np.array(columns).T[:-1] if columns else np.zeros((size, 0))
    K = K / np.sqrt(second)
    H = np.zeros((len(probes), size))
    for k, node in enumerate(probes):
        H[k, number[node]] = 1.0
    return _reduced(E, F, s, K, H, _conserved(parts, number, branch, size), second)


def _typical(values: list[float], otherwise: float) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else otherwise


def _two(matrix: np.ndarray, at: Sequence[int], value: float) -> None:
    p, n = at
    matrix[p, p] += value
    matrix[n, n] += value
    matrix[p, n] -= value
    matrix[n, p] -= value


def _controlled(matrix: np.ndarray, at: Sequence[int], value: float) -> None:
    p, n, cp, cn = at
    matrix[p, cp] += value
    matrix[p, cn] -= value
    matrix[n, cp] -= value
    matrix[n, cn] += value


def _conserved(parts: Sequence[Part], number: dict[str, int], branch: dict[str, int], size: int) -> np.ndarray:
    """(size, c): combinations of equations that say that a charge, or a flux, stays what it is.

    Islands that only capacitors tie to the rest, and loops of inductors; of the graph, so that no rank is guessed.
    """
    count = len(number) - 1
    label = list(range(count + 1))  # the last is ground

    def root(node: int) -> int:
        while label[node] != node:
            node = label[node]
        return node

    def join(p: int, n: int) -> None:
        label[root(p)] = root(n)

    for part in parts:
        at = [number[node] % (count + 1) for node in part.nodes]
        if part.kind in "rlveh":
            join(at[0], at[1])
    for part in parts:  # a controlled current between two islands ties both of them to whatever controls it
        at = [number[node] % (count + 1) for node in part.nodes]
        if part.kind in "gf" and root(at[0]) != root(at[1]):
            join(at[0], count)
            join(at[1], count)
    islands = {root(node) for node in range(count)} - {root(count)}
    vectors = [np.array([float(k < count and root(k) == island) for k in range(size)]) for island in sorted(islands)]
    inductors = [part for part in parts if part.kind == "l"]
    incidence = np.zeros((count + 1, len(inductors)))
    for k, part in enumerate(inductors):
        incidence[number[part.nodes[0]], k] += 1.0
        incidence[number[part.nodes[1]], k] -= 1.0
    for loop in la.null_space(incidence[:-1]).T if inductors else []:
        vector = np.zeros(size)
        for weight, part in zip(loop, inductors, strict=True):
            vector[branch[part.name]] = weight
        vectors.append(vector)
    return np.array(vectors).T if vectors else np.zeros((size, 0))


def _reduced(
    E: np.ndarray, F: np.ndarray, s: np.ndarray, K: np.ndarray, H: np.ndarray, N: np.ndarray, second: float
) -> OwnLaw:
    """Drop what is conserved, solve for what nothing holds, and find the law of the rest; times in units given."""
    if N.shape[1]:
        if np.abs(N.T @ F).max() > 1e-9 * np.abs(F).max():
            raise NotCovered("a conserved charge that drifts")
        if np.abs(N.T @ K).max(initial=0.0) > 1e-9 * np.abs(K).max(initial=0.0) or (
            np.abs(N.T @ s).max() > 1e-9 * np.abs(s).max(initial=0.0)
        ):
            raise NoLaw("noise or a bias drives what is conserved")
        held = (E @ N).T
        X = la.null_space(held / np.linalg.norm(held, axis=1, keepdims=True))
        E, F, s, K, H = X.T @ E @ X, X.T @ F @ X, X.T @ s, X.T @ K, H @ X
    # What nothing holds: the kernel of E, which is symmetric; on scales of its own diagonal where that is not zero.
    diagonal = np.sqrt(np.where(np.diag(E) > 0, np.diag(E), 1.0))
    scaled = E / np.outer(diagonal, diagonal)
    values, vectors = la.eigh((scaled + scaled.T) / 2)
    moving = values > 1e-11
    V1, V0 = vectors[:, moving] / diagonal[:, None], vectors[:, ~moving] / diagonal[:, None]
    if not moving.any():
        raise NoLaw("nothing moves")
    Er = V1.T @ E @ V1
    Fr, Kr, sr, Hr = V1.T @ F @ V1, V1.T @ K, V1.T @ s, H @ V1
    constant, D = np.zeros(len(H)), np.zeros((len(H), K.shape[1]))
    if V0.shape[1]:
        Fzz = V0.T @ F @ V0
        rows = np.abs(Fzz).max(axis=1)
        if (rows == 0).any() or np.linalg.cond(Fzz / rows[:, None]) > 1e12:
            raise NotCovered("of an index above one, or singular")
        solved = -la.solve(Fzz, np.column_stack([V0.T @ F @ V1, V0.T @ K, V0.T @ s]))
        n, m = Fr.shape[0], K.shape[1]
        Fr = Fr + V1.T @ F @ V0 @ solved[:, :n]
        Kr = Kr + V1.T @ F @ V0 @ solved[:, n : n + m]
        sr = sr + V1.T @ F @ V0 @ solved[:, n + m]
        Hr = Hr + H @ V0 @ solved[:, :n]
        D, constant = H @ V0 @ solved[:, n : n + m], H @ V0 @ solved[:, n + m]
    R = la.cholesky(Er, lower=True)
    A = la.solve_triangular(R, la.solve_triangular(R, Fr, lower=True).T, lower=True).T
    B, b = la.solve_triangular(R, Kr, lower=True), la.solve_triangular(R, sr, lower=True)
    H = la.solve_triangular(R, Hr.T, lower=True).T
    if np.abs(D).max(initial=0.0) > 1e-9 * np.abs(H @ B).max(initial=0.0) + 1e-300 and np.abs(D).max() > 0:
        raise NoLaw("white noise is read directly")
    poles = la.eigvals(A)
    slack = 1e-14 * len(A) * np.abs(poles).max()
    if poles.real.max() > slack:
        raise NoLaw("a mode grows")
    if poles.real.max() > -slack:
        raise NotCovered("rates that spread too far for doubles")
    rest = -la.solve(A, b)
    reach = np.abs(constant) + np.linalg.norm(H, axis=1) * np.linalg.norm(rest)
    return OwnLaw(A / second, B / np.sqrt(second), H, constant + H @ rest, lyapunov(A, B @ B.T), reach)


def lyapunov(A: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """Solve ``A P + P A^T + Q = 0``, with a step of refinement by the residual in extended precision."""
    scale = float(np.abs(Q).max())
    if scale == 0:
        return np.zeros_like(Q)
    Q = Q / scale
    P = la.solve_continuous_lyapunov(A, -Q)
    P = (P + P.T) / 2
    if len(A) <= 100:
        wide = A.astype(np.longdouble) @ P.astype(np.longdouble)
        P = P + la.solve_continuous_lyapunov(A, -np.asarray(wide + wide.T + Q, dtype=np.float64))
        P = (P + P.T) / 2
    return P * scale
