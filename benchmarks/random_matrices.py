"""Random positive definite matrices through compile, predict and every level of check.

Sizes 1 to 40, condition numbers up to 1e6, every pattern of signs, all tasks and architectures. Prints one line
a matrix and exits with 1 if any prediction is off by 1e-9 or any verdict is not "pass".

    python benchmarks/random_matrices.py [SEED [COUNT]]     about 5 s a matrix
"""

from __future__ import annotations

import sys
import time

import numpy as np

import spu

SIZES = {1: 0.1, 2: 0.12, 3: 0.15, 5: 0.18, 8: 0.15, 13: 0.1, 20: 0.1, 30: 0.05, 40: 0.05}
KINDS = ("any", "laplacian", "scaled", "flipped", "diagonal")


def random_matrix(rng: np.random.Generator, n: int, kind: str, condition: float) -> np.ndarray:
    """A symmetric positive definite (n, n) matrix of a kind, at a random overall scale."""
    if kind == "any":
        q, _ = np.linalg.qr(rng.standard_normal((n, n)))
        matrix = (q * np.geomspace(1.0, 1.0 / condition, n)) @ q.T if n > 1 else np.ones((1, 1))
    elif kind == "diagonal":
        matrix = np.diag(np.exp(2.0 * rng.standard_normal(n)))
    else:
        weights = np.triu(rng.random((n, n)) * (rng.random((n, n)) < rng.choice([0.2, 0.6, 1.0])), 1)
        weights = weights + weights.T
        laplacian = np.diag(weights.sum(axis=1)) - weights
        matrix = laplacian / max(float(np.abs(laplacian).max()), 1e-9) + np.eye(n) / condition
        if kind == "scaled":
            d = np.exp(0.7 * rng.standard_normal(n))
            matrix = d[:, None] * matrix * d
        if kind == "flipped":
            signs = rng.choice([-1.0, 1.0], n)
            matrix = signs[:, None] * matrix * signs
    return (matrix + matrix.T) / 2 * 10.0 ** rng.uniform(-3, 3)


def random_problem(rng: np.random.Generator) -> tuple[str, spu.Problem]:
    """A problem of a random task; its kind of matrix first."""
    n = int(rng.choice(list(SIZES), p=list(SIZES.values())))
    kind = str(rng.choice(KINDS))
    matrix = random_matrix(rng, n, kind, 10.0 ** rng.uniform(0, 6))
    task = rng.choice(["gaussian", "inverse", "linear"])
    if task == "gaussian":
        return kind, spu.GaussianSampling(precision=matrix, mean=rng.standard_normal(n))
    if task == "inverse":
        return kind, spu.MatrixInverse(matrix)
    return kind, spu.LinearSystem(matrix, rng.standard_normal(n))


def main() -> int:
    """Run; 1 if anything was off."""
    given = [int(word) for word in sys.argv[1:3]]
    seed, count = given + [0, 40][len(given) :]
    rng = np.random.default_rng(seed)
    wrong = ran = 0
    for number in range(count):
        kind, problem = random_problem(rng)
        forced = rng.choice(["", "", "rlc-capacitive", "rc-resistive", "rc-transconductor"])
        started = time.perf_counter()
        try:
            compilation = spu.compile_problem(problem, architecture=str(forced) or None)
        except spu.Unrealizable:
            if not forced:
                raise
            continue  # an architecture that cannot hold this matrix was asked for
        error = compilation.prediction.relative_error or 0.0
        found = spu.check(compilation.device)
        ran += 1
        fine = found.verdict == "pass" and error < 1e-9
        wrong += not fine
        print(
            f"{number:3d} n={len(problem.variables):2d} {kind:9s} condition {problem.condition:.0e} {problem.task:8s} "
            f"{compilation.architecture:17s} predicted error {error:.0e} {found.verdict} "
            f"{time.perf_counter() - started:.0f} s{'' if fine else '   <---'}",
            flush=True,
        )
        if not fine:
            for name, level in found.levels.items():
                print(f"      {name}: {level.verdict}: {level.message}")
    print(f"{ran} matrices, {wrong} not as they should be")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
