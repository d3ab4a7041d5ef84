"""Runs of a device that is switched on: the first readout has the exact law of that time, and the next follow."""

from __future__ import annotations

import numpy as np
import pytest

import spu
from spu.emulator.dynamics import device_law
from spu.emulator.laws.propagate import exact_step
from spu.emulator.runs.run import choose_method, from_rest, run

A = np.array([[2.0, -0.5], [-0.5, 1.5]])


@pytest.mark.parametrize("kind", ["modal", "modal of one state", "dense", "dense with a mean"])
def test_readouts_from_rest(kind):
    problem = spu.LinearSystem(A, [1.0, -2.0]) if "mean" in kind else spu.MatrixInverse(A)
    device = spu.compile(problem, architecture=None if kind in ("modal", "dense") else "rc-transconductor")
    law = device_law(device)
    wait, interval, runs = 0.4 * law.slowest, 0.3 * law.slowest, 20_000
    how = choose_method(law, interval, "dense" if "dense" in kind else None)
    assert how.name == ("dense" if "dense" in kind else "modal")
    sums = run(from_rest(how, law, wait), trajectories=runs, steps=3, seed=4, every=1)
    readouts = sums.kept
    for k in range(3):
        moved = exact_step(law.dense, wait + k * interval).transition
        mean = -law.dense.H @ moved @ law.dense.mean
        P = law.dense.H @ (law.covariance - moved @ law.covariance @ moved.T) @ law.dense.H.T
        seen = readouts[:, k]
        assert np.trace(P) < 0.95 * np.trace(law.voltage_covariance)
        size = np.sqrt(np.diag(P))
        # Six standard errors of 20,000 independent runs: false once in 1e8.
        assert (abs(seen.mean(axis=0) - mean) < 6 * size / np.sqrt(runs)).all()
        gap = abs(np.cov(seen.T) - P)
        assert (gap < 6 * np.sqrt((np.outer(size**2, size**2) + P**2) / runs)).all()


def test_threads_and_trajectories_change_no_bit_of_a_first_readout():
    law = device_law(spu.compile(spu.LinearSystem(A, [1.0, -2.0])))
    how = from_rest(choose_method(law, law.slowest, "dense"), law, law.slowest)
    one = run(how, trajectories=40, steps=5, seed=1, every=1, threads=1).kept
    two = run(how, trajectories=40, steps=5, seed=1, every=1, threads=2).kept
    assert np.array_equal(one, two)
