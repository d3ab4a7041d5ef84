"""A smooth random field on a square grid, sampled by as many cells as it has points: no dense matrix anywhere.

    python examples/grid.py [POINTS_A_SIDE]      (100 unless given; 316 makes 99,856 cells, 1000 a million)

The precision is the grid's Laplacian plus a multiple of the unit matrix, as in spatial statistics
(Gaussian Markov random fields). Variances are predicted exactly, by selected inversion, and then found
again twice: by independent draws, and by letting the circuit run.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import scipy.sparse as sp

import spu


def precision(side: int, shift: float = 0.3) -> sp.csr_array:
    line = sp.diags_array([-np.ones(side - 1), 2 * np.ones(side), -np.ones(side - 1)], offsets=[-1, 0, 1])
    eye = sp.eye_array(side)
    return sp.csr_array(sp.kron(line, eye) + sp.kron(eye, line) + shift * sp.eye_array(side * side))


def main(side: int = 100) -> None:
    started = time.perf_counter()
    device = spu.compile(spu.GaussianSampling(precision=precision(side)))
    exact = spu.predict(device)
    print(f"{len(device.cell_names)} cells, {len(device.coupler_ends)} couplers, {device.architecture}")
    print(f"compiled and predicted in {time.perf_counter() - started:.1f} s")
    corner, centre = exact.covariance.diagonal()[[0, side // 2 * side + side // 2]]
    print(f"variance at a corner {corner:.4f}, in the middle {centre:.4f}")
    print(f"time constants from {exact.time_constants[-1]:.2e} to {exact.time_constants[0]:.2e} s")
    for options in ({"independent": True}, {"trajectories": 32}):
        run = spu.simulate(device, samples=256, trace=0, **options)
        print(
            f"{run.method}: {run.samples} readouts in {run.seconds:.1f} s, worth {run.effective_samples:.0f}; "
            f"relative error {run.relative_error:.3f}, expected {run.expected_relative_error:.3f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
