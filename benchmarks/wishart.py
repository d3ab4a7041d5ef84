"""Random Wishart precisions: which of them passive dual rails hold, and how exactly everything is predicted.

``precision = X X^T / m`` with X (n, m) of standard normals, for some (n, m / n). Prints one line each and exits with 1
if the dual rails hold another set than those with rho < 1, transconductors do not hold all, or a prediction
is off by more than 1e-8.

    python benchmarks/wishart.py [COUNT [SEED]]     200 of each take one to two minutes
"""

from __future__ import annotations

import sys

import numpy as np

import spu

CASES = ((4, 2), (8, 2), (8, 10), (16, 10), (32, 100))
DUAL = ("rlc-capacitive-dual", "rc-resistive-dual")
ALLOWED = 1e-8


def radius(matrix: np.ndarray) -> float:
    """Spectral radius of the scaled off-diagonals, from its definition."""
    root = 1.0 / np.sqrt(np.diag(matrix))
    scaled = np.abs(matrix) * np.outer(root, root)
    return float(np.linalg.eigvalsh(scaled - np.diag(np.diag(scaled)))[-1])


def error(matrix: np.ndarray, architecture: str) -> float | None:
    """Predicted relative error on an architecture; None if it refuses."""
    try:
        made = spu.compile_problem(spu.GaussianSampling(precision=matrix), architecture=architecture)
    except spu.Unrealizable:
        return None
    return made.prediction.relative_error


def main() -> int:
    """Run; 1 if anything was off."""
    given = [int(word) for word in sys.argv[1:3]]
    count, seed = given + [200, 0][len(given) :]
    rng = np.random.default_rng(seed)
    wrong = 0
    print("   n  samples/n  rho < 1  held on dual rails (rlc, rc)  on transconductors  largest predicted error")
    for n, ratio in CASES:
        inside, held, worst = 0, dict.fromkeys((*DUAL, "rc-transconductor"), 0), 0.0
        for _ in range(count):
            X = rng.standard_normal((n, n * ratio))
            matrix = X @ X.T / (n * ratio)
            passive = radius(matrix) < 1
            inside += passive
            for architecture in held:
                found = error(matrix, architecture)
                held[architecture] += found is not None
                wrong += (found is not None) != (passive or architecture not in DUAL)
                worst = max(worst, found or 0.0)
        wrong += worst > ALLOWED
        shares = [f"{100 * value / count:5.1f} %" for value in (inside, *held.values())]
        print(f"{n:4d} {ratio:10d}  {shares[0]:>7s}  {shares[1]:>17s} {shares[2]:>9s}  {shares[3]:>18s}  {worst:23.1e}")
    print("as it should be" if not wrong else f"{wrong} not as they should be")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
