"""A Gaussian Markov random field on a real graph: Zachary's karate club as an SPU of 34 RLC cells.

Each tie of the club is one coupling capacitor; the covariance of the cell voltages says how
much two members' opinions move together. The strongest correlations found by sampling are
printed beside the exact ones.

    python examples/karate_club.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import spu


def main() -> None:
    problem, _ = spu.load_problem(Path(__file__).with_name("karate_club.mtx"))
    device = spu.compile(problem)
    graph = device.graph
    run = spu.simulate(device, samples=100_000, seed=0)
    print(f"{graph.number_of_nodes()} cells, {graph.number_of_edges()} coupling capacitors, {device.architecture}")
    print(
        f"covariance off by {run.relative_error:.2%} after {run.effective_samples:.0f} effective samples",
        end=" ",
    )
    print(f"({run.expected_relative_error:.2%} expected)")

    def correlation(covariance: np.ndarray) -> np.ndarray:
        scale = np.sqrt(np.diag(covariance))
        return covariance / np.outer(scale, scale)

    exact, sampled = correlation(problem.target_covariance), correlation(run.covariance)
    rows, cols = np.triu_indices(len(exact), 1)
    print("members   exact correlation   sampled")
    for k in np.argsort(-exact[rows, cols])[:8]:
        i, j = rows[k], cols[k]
        print(f"{i + 1:3d} {j + 1:3d}   {exact[i, j]:17.4f}   {sampled[i, j]:7.4f}")


if __name__ == "__main__":
    main()
