"""Stationary laws of small devices in 160 decimal digits, from a device's values alone.

Nothing of `spu` is used but the device itself, and no algorithm that it uses: the Lyapunov equation is solved as
one linear system for all entries, and poles are judged by the characteristic polynomial.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction

import numpy as np

from spu.device.device import Device

BOLTZMANN = Decimal("1.380649e-23")
DIGITS = 160
CONTEXT = Context(prec=DIGITS, Emin=-999999999, Emax=999999999)


def decimals(*shape: int) -> np.ndarray:
    return np.full(shape, Decimal(0), dtype=object)


def equations(device: Device) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``E x' = F x + s + noise`` with noise of covariance ``Q dt``, for x = cell voltages, then inductor currents."""
    names = [cell.name for cell in device.cells]
    parts = [((names.index(cell.name), None), cell.values) for cell in device.cells]
    parts += [((names.index(c.a), names.index(c.b)), c.values) for c in device.couplers]
    inductors = [(ends, values["inductance"]) for ends, values in parts if "inductance" in values]
    n = len(names) + len(inductors)
    E, F, Q, s = decimals(n, n), decimals(n, n), decimals(n, n), decimals(n)

    def two_terminal(matrix: np.ndarray, ends: tuple[int, int | None], value: Decimal) -> None:
        a, b = ends
        matrix[a, a] += value
        if b is not None:
            matrix[b, b] += value
            matrix[a, b] -= value
            matrix[b, a] -= value

    for ends, values in parts:
        C, g = (Decimal(values.get(key, 0.0)) for key in ("capacitance", "conductance"))
        two_terminal(E, ends, C)
        two_terminal(F, ends, -g)
        two_terminal(Q, ends, 2 * BOLTZMANN * Decimal(device.temperature) * g)
        if ends[1] is None:
            Q[ends[0], ends[0]] += Decimal(values.get("noise", 0.0)) / 2
            s[ends[0]] += Decimal(values.get("bias", 0.0))
        else:
            gm = values.get("transconductance", 0.0)
            for (i, j), value in zip((ends, ends[::-1]), gm if isinstance(gm, tuple) else (gm, gm), strict=True):
                F[i, j] -= Decimal(value)
    for k, ((a, b), value) in enumerate(inductors, len(names)):
        E[k, k] = Decimal(value)
        F[k, a], F[a, k] = Decimal(1), Decimal(-1)
        if b is not None:
            F[k, b], F[b, k] = Decimal(-1), Decimal(1)
    return E, F, Q, s


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Gauss and Jordan, the largest pivot of all that is left, rows on one scale."""
    n = len(matrix)
    work = np.column_stack([matrix, right])
    work = work / abs(work[:, :n]).max(axis=1)[:, None]
    order, free = [0] * n, set(range(n))
    for column in range(n):
        row = max(free, key=lambda k: abs(work[k, column]))
        free.discard(row)
        order[column] = row
        work[row] = work[row] / work[row, column]
        for other in range(n):
            if other != row and work[other, column]:
                work[other] = work[other] - work[row] * work[other, column]
    return work[order, n:]


def covariance(E: np.ndarray, F: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """P of ``F P E^T + E P F^T + Q = 0``, from one equation for each entry of its upper triangle."""
    n = len(E)
    rows, columns = np.triu_indices(n)
    place = np.zeros((n, n), dtype=int)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    system = decimals(len(rows), len(rows))
    for equation, (i, j) in enumerate(zip(rows, columns, strict=True)):
        for k in np.flatnonzero((F[i] != 0) | (E[i] != 0)):
            for m in np.flatnonzero((F[j] != 0) | (E[j] != 0)):
                system[equation, place[k, m]] += F[i, k] * E[j, m] + E[i, k] * F[j, m]
    P = solve(system, -Q[rows, columns][:, None])[:, 0]
    return P[place]


def mean(F: np.ndarray, s: np.ndarray) -> np.ndarray:
    return solve(F, -s[:, None])[:, 0] if s.any() else decimals(len(s))


def polynomial(E: np.ndarray, F: np.ndarray) -> list[Decimal]:
    """Characteristic polynomial of ``E^-1 F``, highest power first (Faddeev and LeVerrier)."""
    A = solve(E, F)
    n, M, found = len(A), decimals(len(A), len(A)), [Decimal(1)]
    for k in range(1, n + 1):
        M = A @ M
        M[np.diag_indices(n)] += found[-1]
        found.append(-(A * M.T).sum() / k)
    return found


def stable(coefficients: list[Decimal]) -> bool:
    """Routh's criterion, exactly."""
    rows = [[Fraction(c) for c in coefficients[k::2]] for k in (0, 1)]
    rows[1] += [Fraction(0)] * (len(rows[0]) - len(rows[1]))
    for _ in range(len(coefficients) - 2):
        a, b = rows[-2:]
        if b[0] <= 0:
            return False
        rows.append([a[k + 1] - a[0] / b[0] * b[k + 1] for k in range(len(a) - 1)] + [Fraction(0)])
    return all(row[0] > 0 for row in rows)


def step_to_root(coefficients: list[Decimal], pole: complex) -> complex:
    """Newton's step from a pole to the nearest root: what it is off."""
    x, y = Decimal(pole.real), Decimal(pole.imag)
    value, slope = (Decimal(0), Decimal(0)), (Decimal(0), Decimal(0))
    for c in coefficients:
        slope = (slope[0] * x - slope[1] * y + value[0], slope[0] * y + slope[1] * x + value[1])
        value = (value[0] * x - value[1] * y + c, value[0] * y + value[1] * x)
    size = slope[0] ** 2 + slope[1] ** 2
    real = value[0] * slope[0] + value[1] * slope[1]
    imaginary = value[1] * slope[0] - value[0] * slope[1]
    return complex(float(real / size), float(imaginary / size)) if size else 0j


class ExactLaw:
    """The law of a device, and whether there is one."""

    def __init__(self, device: Device) -> None:
        with localcontext(CONTEXT):
            n = len(device.cells)
            E, F, Q, s = equations(device)
            self.polynomial = polynomial(E, F)
            self.stable = stable(self.polynomial)
            if self.stable:
                P = covariance(E, F, Q)
                T = np.array(
                    [[Decimal(value) for value in row] for row in device.readout.matrix.toarray()], dtype=object
                )
                self.voltages = P[:n, :n].astype(np.float64)
                self.variables = (T @ P[:n, :n] @ T.T).astype(np.float64)
                self.mean = mean(F, s)[:n].astype(np.float64)

    def off(self, poles: np.ndarray) -> float:
        """Worst of what the real parts of poles are off, relative to themselves."""
        with localcontext(CONTEXT):
            return max(abs(step_to_root(self.polynomial, complex(pole)).real / pole.real) for pole in poles)
