"""Temperatures along a cooling fin: a linear system from a real discretisation, solved by noise.

An aluminium pin fin (5 mm thick, 60 mm long) on a base 60 K above the air: heat is conducted
along it and lost from its surface. Finite volumes give A T = b with A symmetric positive
definite and off-diagonals <= 0: cells of an SPU with resistive couplers, b as bias currents.
The exact solution of the differential equation is cosh(m (L - x)) / cosh(m L), an insulated tip.

    python examples/fin.py [FOLDER]     compiles into FOLDER (fin.toml is written there too)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import spu

CELLS = 12
LENGTH, THICKNESS = 0.06, 0.005  # m
CONDUCTIVITY, LOSS = 200.0, 25.0  # W/(m K), W/(m^2 K)
BASE = 60.0  # K above the air


def system() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrix (W/K), right-hand side (W) and positions (m) of CELLS finite volumes."""
    dx = LENGTH / CELLS
    area, rim = np.pi * THICKNESS**2 / 4, np.pi * THICKNESS
    between, lost = CONDUCTIVITY * area / dx, LOSS * rim * dx
    matrix = np.diag(np.full(CELLS, 2 * between + lost))
    matrix -= between * (np.eye(CELLS, k=1) + np.eye(CELLS, k=-1))
    matrix[0, 0] += between  # the base is half a volume away: twice the conductance
    matrix[-1, -1] -= between  # nothing leaves through the tip
    vector = np.zeros(CELLS)
    vector[0] = 2 * between * BASE
    return matrix, vector, (np.arange(CELLS) + 0.5) * dx


def main() -> None:
    matrix, vector, x = system()
    m = np.sqrt(4 * LOSS / (CONDUCTIVITY * THICKNESS))
    analytic = BASE * np.cosh(m * (LENGTH - x)) / np.cosh(m * LENGTH)

    problem = spu.LinearSystem(matrix, vector, variables=[f"T{k + 1}" for k in range(CELLS)])
    compilation = spu.compile_problem(problem)
    device = compilation.device
    predicted = spu.predict(device)
    sampled = spu.simulate(device, samples=200_000, seed=1)
    print(f"{compilation.architecture}: {compilation.reason}")
    print("position mm   analytic K   A^-1 b K   SPU predicted K   SPU sampled K")
    for k in range(CELLS):
        print(
            f"{1e3 * x[k]:11.1f}   {analytic[k]:10.3f}   {problem.target_mean[k]:8.3f}   {predicted.mean[k]:15.3f}"
            f"   {sampled.mean[k]:7.3f} +- {sampled.mean_error[k]:.3f}"
        )

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="spu-fin-"))
    folder.mkdir(exist_ok=True)
    rows = ",\n  ".join(str(row.tolist()) for row in matrix)
    names = ", ".join(f'"T{k + 1}"' for k in range(CELLS))
    (folder / "fin.toml").write_text(
        f'task = "linear"\nvariables = [{names}]\nmatrix = [\n  {rows},\n]\nvector = {vector.tolist()}\n'
    )
    print(f"the same problem as a file: spu compile {folder / 'fin.toml'} -o DIR")


if __name__ == "__main__":
    main()
