"""What the guard costs: its share of the processor time of `simulate`, in runs of a second or more.

    python benchmarks/guard_share.py

Both are measured in the same run of the same process, with one thread: whatever else the machine does counts for both.
Exit status 1 where a share is 1 % or more.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import spu
from spu.emulator.runs import sampling

ALLOWED = 0.01
SECONDS = 1.0


def cells(n: int, *, scatter: float, edges: list[tuple[int, int]] | None = None) -> spu.Device:
    """RLC cells, a chain unless other edges are given, of values that scatter by a share."""
    draw, device = np.random.default_rng(1), spu.Device(temperature=0)
    for k in range(n):
        values = {"capacitance": 1e-9, "conductance": 1e-3, "inductance": 1e-5, "noise": 4e-20}
        device.add_cell(
            f"c{k}", **{key: value * draw.uniform(1 - scatter, 1 + scatter) for key, value in values.items()}
        )
    for a, b in edges if edges is not None else [(k, k + 1) for k in range(n - 1)]:
        device.add_coupler(f"c{a}", f"c{b}", capacitance=1e-10)
    return device


def grid(rows: int, columns: int) -> spu.Device:
    """A rectangle of equal RLC cells."""
    at = np.arange(rows * columns).reshape(rows, columns)
    pairs = [
        *zip(at[:, :-1].ravel(), at[:, 1:].ravel(), strict=True),
        *zip(at[:-1].ravel(), at[1:].ravel(), strict=True),
    ]
    return cells(rows * columns, scatter=0.0, edges=[(int(a), int(b)) for a, b in pairs])


CASES: dict[str, tuple[Callable[[], spu.Device], dict[str, Any]]] = {
    "8 cells, by modes": (lambda: cells(8, scatter=0.0), {}),
    "8 cells, dense": (lambda: cells(8, scatter=0.0), {"method": "dense"}),
    "8 cells, 10 lags": (lambda: cells(8, scatter=0.1), {"lags": 10}),
    "64 cells, dense": (lambda: cells(64, scatter=0.1), {}),
    "200 cells, dense": (lambda: cells(200, scatter=0.1), {}),
    "5,000 cells, midpoint": (lambda: grid(50, 100), {}),
}


def share(device: spu.Device, options: dict[str, Any]) -> tuple[float, float, spu.Simulation]:
    """Seconds of the guard and of all of `simulate`, of a run that takes `SECONDS` or more, and the run."""
    spent = [0.0]

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            started = time.process_time()
            try:
                return work(*args, **more)
            finally:
                spent[0] += time.process_time() - started

        return call

    names = ("hold", "hold_large", "memory_of_midpoint")
    own = {name: getattr(sampling, name) for name in names}
    samples = 2_000
    try:
        for name in names:
            setattr(sampling, name, timed(own[name]))
        while True:
            spent[0], started = 0.0, time.process_time()
            run = spu.simulate(device, samples=samples, threads=1, **options)
            whole = time.process_time() - started
            if whole >= SECONDS:
                return spent[0], whole, run
            samples *= 2
    finally:
        for name in names:
            setattr(sampling, name, own[name])


def main() -> int:
    """Measure and print."""
    worst = 0.0
    print(f"{'':24s} {'method':9s} {'readouts':>10s} {'guard':>9s} {'whole':>8s} {'share':>7s}")
    for name, (build, options) in CASES.items():
        guard, whole, run = share(build(), options)
        worst = max(worst, guard / whole)
        figures = f"{run.samples:10,d} {1e3 * guard:6.1f} ms {whole:6.2f} s {guard / whole:7.2%}"
        print(f"{name:24s} {run.method:9s} {figures}", flush=True)
    return int(worst >= ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
