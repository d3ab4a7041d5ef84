"""How often the interval of a yield holds the truth: studies of an 8-cell SPU, repeated.

    python benchmarks/yield_coverage.py             200 studies of 400 boards by each method, truth of 100,000
    python benchmarks/yield_coverage.py --full      1000 studies of 1000 boards, truth of 2,000,000: minutes

The SPU has 8 alike cells, all coupled, and scatter in capacitors (own and shared) and resistors; a board is good where
the relative error of its covariance is within a limit. Each study is `spu.yields` with a seed of its own. The truth is
the same yield of very many other boards; its own error is taken into account. Printed are by method how many studies'
intervals hold it, the mean width of the intervals, and how many independent boards one board is worth. Exit status 1 if
intervals hold it less often than they say, by more than 4 standard errors.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import numpy as np

import spu

LIMITS = (0.01, 0.013, 0.018)
TOLERANCE = "cell.capacitance=1%,coupler.capacitance=2%,cell.capacitance.process=0.5%,cell.conductance=1%"
CONFIDENCE = 0.95


def device() -> spu.Device:
    """8 alike cells, all coupled."""
    matrix = 2.0 * np.eye(8) - 0.15 * (np.ones((8, 8)) - np.eye(8))
    return spu.compile(spu.GaussianSampling(precision=matrix))


def rate(made: spu.Device, limit: float, draws: int, seed: int, method: str) -> tuple[float, float, float]:
    """Yield and its interval."""
    found = spu.yields(
        made, limit, tolerance=TOLERANCE, draws=draws, seed=seed, method=method, confidence=CONFIDENCE, distance=False
    )
    return found.rate, *found.interval


def main(arguments: list[str]) -> int:
    """Repeat studies; 1 if intervals hold the truth too rarely."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    full = parser.parse_args(arguments).full
    studies, draws, many = (1000, 1000, 2_000_000) if full else (200, 400, 100_000)
    made, failed, start = device(), False, time.perf_counter()
    print(f"{studies} studies of {draws} boards, 8 cells; truth of {many} boards; {TOLERANCE}")
    print("  limit  truth    method  holds it    mean width  a board is worth")
    for limit in LIMITS:
        truth = rate(made, limit, many, 2**40, "plain")[0]
        doubt = math.sqrt(truth * (1 - truth) / many)
        for method in ("plain", "latin"):
            found = np.array([rate(made, limit, draws, seed, method) for seed in range(studies)])
            held = (found[:, 1] - 2 * doubt <= truth) & (truth <= found[:, 2] + 2 * doubt)
            worth = truth * (1 - truth) / draws / max(found[:, 0].var(ddof=1), 1e-12)
            low = held.mean() < CONFIDENCE - 4 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / studies)
            failed |= bool(low)
            width = (found[:, 2] - found[:, 1]).mean()
            print(f"  {limit:5.1%}  {truth:6.2%}  {method:6s}  {held.mean():8.1%}  {width:12.2%}  {worth:16.2f}")
    print(f"{time.perf_counter() - start:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
