"""Generative training against a plain numpy loop of the published recipe, to the same held-out loss, in one run.

    python benchmarks/learning.py [--cycles 100] [IDX IMAGES, IDX LABELS]

The loop is what a reader of the paper writes: all trajectories of a cycle side by side, Euler-Maruyama in float32, the
gradient of a trajectory in one product, Adam. It runs its cycles on as many BLAS threads as the environment allows; then
its loss on held-out noising paths is the goal, and `spu.train_generative` is timed from pixels to a network that is at
or below it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import spu
from spu.studies.learning.noising import Noising, drives
from spu.studies.learning.quadratic import Learnt, Objective
from spu.studies.learning.sampled import sampled

HERE = Path(__file__).resolve().parent.parent


def numpy_loop(
    levels: np.ndarray, visible: int, *, noising: Noising, cycles: int, rate: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The published recipe: couplings (n, n) and biases (n,) after ``cycles`` of one trajectory an image."""
    random = np.random.default_rng(seed)
    images, n = levels.shape
    h, kT = np.float32(noising.step), np.float32(noising.kT)
    steps, ramp = round(noising.duration / noising.step), noising.lowered * noising.duration
    field = (noising.strength * levels).astype(np.float32)
    mask = np.ones((n, n), dtype=np.float32)
    mask[:visible, :visible] = 0.0
    np.fill_diagonal(mask, 0.0)
    own = (np.arange(n) >= visible).astype(np.float32)
    J, b = np.zeros((n, n), dtype=np.float32), np.zeros(n, dtype=np.float32)
    moments = [np.zeros_like(J), np.zeros_like(J), np.zeros_like(b), np.zeros_like(b)]
    kick = np.sqrt(2 * kT * h)
    after = np.empty((steps, images, n), dtype=np.float32)
    gap = np.empty_like(after)
    for cycle in range(cycles):
        x = np.zeros((images, n), dtype=np.float32)
        for _ in range(round(1.0 / noising.step)):  # held, until it has forgotten the start
            x += h * (field - (2 + 4 * x * x) * x) + kick * random.standard_normal((images, n), dtype=np.float32)
        for t in range(steps):
            share = np.float32(max(0.0, 1.0 - (t + 0.5) * noising.step / ramp))
            noise = kick * random.standard_normal((images, n), dtype=np.float32)
            move = h * (share * field - (2 + 4 * x * x) * x) + noise
            x = x + move
            after[t] = x
            gap[t] = h * ((2 + 4 * x * x) * x) - move
        flat = after.reshape(-1, n)
        r = (gap.reshape(-1, n) + h * (b + flat @ J)) / (2 * kT)
        slope = r.T @ flat
        slope = (slope + slope.T) * mask / images
        slope_own = r.sum(axis=0) * own / images
        for place, (at, found) in enumerate(((J, slope), (b, slope_own))):
            first, second = moments[2 * place : 2 * place + 2]
            first += np.float32(0.1) * (found - first)
            second += np.float32(0.001) * (found * found - second)
            ahead = first / np.float32(1 - 0.9 ** (cycle + 1))
            at -= np.float32(rate) * ahead / (np.sqrt(second / np.float32(1 - 0.999 ** (cycle + 1))) + np.float32(1e-8))
    return J.astype(float), b.astype(float)


def compare(images: spu.Images, hidden: int, *, cycles: int, step: float, rates: list[float], paths: int = 4) -> dict:
    """Seconds of both to the loop's held-out loss, of the loop the best of some rates."""
    noising = Noising(step=step)
    levels = drives(2 * images.flat - 1, hidden, None)
    visible = images.flat.shape[1]
    held_out = [
        Objective(sampled(noising, row, paths, 10_000 + k), visible, noising.kT) for k, row in enumerate(levels)
    ]

    def loss(J: np.ndarray, b: np.ndarray) -> float:
        at = Learnt(J[:visible, visible:], J[visible:, visible:], b)
        return float(np.mean([each.loss(at) for each in held_out]))

    loops = []
    for rate in rates:
        began = time.perf_counter()
        found = numpy_loop(levels, visible, noising=noising, cycles=cycles, rate=rate)
        loops.append((loss(*found), time.perf_counter() - began, rate))
    goal, seconds, rate = min(loops)
    own = []
    for _ in range(3):
        began = time.perf_counter()
        trained = spu.train_generative(images, hidden=hidden, step=step)
        own.append(time.perf_counter() - began)
    reached = loss(trained.network.couplings, trained.network.bias)
    return {
        "units": [visible, hidden],
        "cycles": cycles,
        "rate": rate,
        "numpy_seconds": seconds,
        "numpy_loss": goal,
        "spu_seconds": sorted(own)[1],
        "spu_loss": reached,
        "reached": reached <= goal,
        "ratio": seconds / sorted(own)[1],
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idx", nargs="*", help="images and labels; the shipped 28 x 28 digits unless given")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--coarser", type=int, default=1)
    parser.add_argument("--step", type=float, default=1e-3)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3])
    given = parser.parse_args()
    images = spu.read_images(*(given.idx or [HERE / "examples" / "mnist300.npz"]))
    images = images.of_classes([0, 1, 2], 1).coarser(given.coarser)
    print(json.dumps(compare(images, given.hidden, cycles=given.cycles, step=given.step, rates=given.rates), indent=1))


if __name__ == "__main__":
    main()
