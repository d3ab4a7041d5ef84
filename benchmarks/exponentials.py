"""How long a device takes for the exponential of a matrix, over its dimension: the published study, repeated.

    python benchmarks/exponentials.py             d = 16 to 64, seconds
    python benchmarks/exponentials.py --full      d = 64 to 512, 10,000 readouts, 10 matrices of each: some minutes

Duffield et al. (arXiv 2311.12759, section on numerical experiments) took exp(-A) of two kinds of random matrices:

- Wishart: ``A = G G^T / 2d`` with G (d, 2d) of standard normals;
- orthogonal: A a Haar-random orthogonal matrix. ``A + A^T`` is not positive then, so that the device's drift is
  ``A + alpha 1`` with alpha = 1.1 and the answer ``e^alpha`` times its lagged covariance.

One trajectory each, from rest, read at the unit of A's time; the estimate after N readouts is the average of the
products of neighbours. Found is the time (units of A's) until its Frobenius error is below a fixed figure (theirs: 8
and 19 absolute, 0.9 relative), and the power of d with which that time grows: they found d^2 for the absolute figure
and d for the relative one. Here the trajectories are those of compiled devices (`spu.MatrixExponential`, rc-drift).

Beside each sampled error stands the one that is expected exactly, without any sampling. Both kinds of drift are normal,
``M = U diag(m) U*``, so that from rest ``E x_j x_k^T = U diag(l^(j - k) p_k) U*`` for j >= k, with ``l = e^-m`` and
``p_k = 1 - |l|^2k``, and (Isserlis) the sum over all entries of the variance of the estimate is

    1/N^2 sum over j, k of  tr C(j+1, k+1) tr C(j, k) + tr C(j+1, k) C(j, k+1),

to which the bias of the first readouts is added. Leading term: ``(d^2 + |l|^2) / N``, hence both powers: the
absolute error is below a figure after N ~ d^2, and ``|exp(-A)|`` itself grows as d^1/2.

Printed are powers by least squares on log d. Of sampled times they come with 95 % intervals (Student's t over
matrices, each with a power of its own). A device at the same drift needs neither of them to be any other: exit status
1 if a sampled error is more than `FAR` standard deviations of itself from the expected one, or if the powers of
d expected differ from those found by sampling beyond a 99.9 % interval.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.stats import ortho_group, t

import spu
from spu.base.arrays import FloatArray
from spu.emulator.dynamics import LinearDynamics, all_linear
from spu.emulator.runs.sampling import Sampling, simulate_linear

FIGURES = {"wishart": (8.0, 0.9), "orthogonal": (19.0, 0.9)}
SHIFT = {"wishart": 0.0, "orthogonal": 1.1}
GRID = 1.01
"""Ratio of the numbers of readouts at which the error is evaluated."""

FAR = 6.0


def matrix_of(kind: str, d: int, rng: np.random.Generator) -> FloatArray:
    """A random A."""
    if kind == "orthogonal":
        return np.asarray(ortho_group.rvs(d, random_state=rng))
    G = rng.standard_normal((d, 2 * d))
    return G @ G.T / (2 * d)


def expected(drift: FloatArray, shift: float, counts: np.ndarray) -> FloatArray:
    """Root mean square Frobenius error after (k,) numbers of pairs, from rest, exactly; see the module's head."""
    eigenvalues = np.linalg.eigvals(drift)
    step = np.exp(-eigenvalues)
    size = np.abs(step)
    reach = int(np.ceil(np.log(1e-14) / (2.0 * np.log(size.max()))))  # lags, and readouts, after which all is forgotten
    powers = step ** np.arange(reach + 1)[:, None]  # (lag, state)
    p = -np.expm1(2.0 * np.log(size) * np.arange(reach + 2)[:, None])  # (readout, state): variances, 0 at the start
    p[-1] = 1.0
    most = int(counts.max())
    # tr C(j+1, k+1) tr C(j, k) and tr C(j+1, k) C(j, k+1), by lag j - k and by the earlier readout k = 1, 2...
    early = p[1:-1]
    first = (powers @ early.T).real * (powers @ p[2:].T).real
    second = (powers**2 @ (early * p[2:]).T).real
    terms = first + second
    terms[0] = first[0] + (size**2 * early**2).sum(axis=1)
    at = np.minimum(np.arange(most), reach - 1)
    added = terms[0][at].copy()
    for lag in range(1, min(reach, most - 1) + 1):
        added[lag:] += 2.0 * terms[lag][at[: most - lag]]
    variance = np.cumsum(added)[counts - 1] / counts.astype(float) ** 2
    left = size * np.cumsum(np.where(np.arange(most)[:, None] < reach, 1.0 - p[1 + at], 0.0), axis=0)[counts - 1]
    return np.exp(shift) * np.sqrt(variance + (left**2).sum(axis=1) / counts.astype(float) ** 2)


@dataclass(frozen=True)
class Curve:
    """Errors of one matrix over the number of pairs."""

    counts: np.ndarray
    sampled: FloatArray
    exact: FloatArray
    size: float
    """|exp(-A)|."""
    second: float
    """S of device time for a unit of A's."""


def curve(kind: str, d: int, readouts: int, seed: int) -> Curve:
    """A matrix, its device, one trajectory."""
    rng = np.random.default_rng([seed, d, kind == "wishart"])
    A = matrix_of(kind, d, rng)
    problem = spu.MatrixExponential(-A, 1.0, shift=SHIFT[kind])
    device = spu.compile(problem)
    found = cast("list[LinearDynamics]", all_linear(device, "no study"))
    assert device.scales is not None
    unit = device.scales.time
    how = Sampling(samples=readouts, interval=unit, trajectories=1, seed=seed, trace=1, burn_in=unit)
    run = simulate_linear(found, problem, how)
    assert run.readouts is not None
    x = run.readouts[0]
    counts = np.unique(np.geomspace(10, len(x) - 1, int(np.log((len(x) - 1) / 10) / np.log(GRID)) + 2).astype(int))
    total, errors, done = np.zeros_like(A), [], 0
    scale = float(np.exp(problem.shift))
    for count in counts:
        total += x[done + 1 : count + 1].T @ x[done:count]
        done = int(count)
        errors.append(np.linalg.norm(scale * total / count - problem.exact))
    return Curve(
        counts, np.array(errors), expected(problem.drift, problem.shift, counts), np.linalg.norm(problem.exact), unit
    )


def crossing(counts: np.ndarray, errors: FloatArray, figure: float) -> float:
    """From which number of pairs on errors are below a figure for good: between grid points on log-log lines."""
    above = np.flatnonzero(errors >= figure)
    if not len(above):
        return float("nan")
    k = int(above[-1])
    if k == len(errors) - 1:
        return float("nan")
    share = np.log(errors[k] / figure) / np.log(errors[k] / errors[k + 1])
    return float(counts[k] * (counts[k + 1] / counts[k]) ** share)


def power(d: FloatArray, times: FloatArray) -> FloatArray:
    """(m,) slopes of log times (m, len(d)) over log d."""
    x = np.log(d) - np.log(d).mean()
    return np.asarray(np.log(times) @ x / (x @ x))


def interval(values: FloatArray, confidence: float) -> float:
    """Half the interval of a mean."""
    n = len(values)
    return float(t.ppf(0.5 + confidence / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")


def main(given: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the published sizes")
    parser.add_argument("--dimensions", type=int, nargs="+", help="d, instead of those")
    parser.add_argument("--readouts", type=int, help="of each trajectory")
    parser.add_argument("--matrices", type=int, help="of each kind and d")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(given)
    sizes = asked.dimensions or ([64, 128, 256, 512] if asked.full else [16, 32, 64])
    readouts = asked.readouts or (10_000 if asked.full else 2_000)
    matrices = asked.matrices or (10 if asked.full else 6)
    started, wrong = time.perf_counter(), 0
    for kind, (absolute, relative) in FIGURES.items():
        if not asked.full:  # at the published figures small ones are right from the start
            absolute *= 0.3
            relative *= 0.6
        curves = [[curve(kind, d, readouts, asked.seed + k) for d in sizes] for k in range(matrices)]
        print(f"\n{kind}: exp(-A), {readouts} readouts, {matrices} matrices of each d")
        print("    d  unit of time   after all readouts: sampled, expected error   |exp(-A)|")
        for j, d in enumerate(sizes):
            column = [row[j] for row in curves]
            ends = np.array([each.sampled[-1] / each.exact[-1] for each in column])
            # The squared norm scatters by 2 to 2.5 / d of itself, as chi-square of d^2 / 3 numbers.
            off = abs(float((ends**2).mean()) - 1.0) * d / 2.5 * np.sqrt(matrices)
            wrong += off > FAR
            mark = "  <-- off" if off > FAR else ""
            last = column[0]
            print(
                f"{d:5d}  {last.second * 1e6:8.3f} us   {np.mean([c.sampled[-1] for c in column]):19.4f} "
                f"{np.mean([c.exact[-1] for c in column]):9.4f}   {last.size:20.3f}{mark}"
            )
        for name, published in (("absolute", 2), ("relative", 1)):
            figure = absolute if name == "absolute" else relative

            def times(which: str, name: str = name, figure: float = figure) -> FloatArray:
                return np.array(
                    [
                        [
                            crossing(c.counts, getattr(c, which), figure * (c.size if name == "relative" else 1.0))
                            for c in row
                        ]
                        for row in curves  # noqa: B023 - called at once
                    ]
                )

            sampled, exact = times("sampled"), times("exact")
            there = np.flatnonzero(~np.isnan(sampled).any(axis=0) & ~np.isnan(exact).any(axis=0))
            listed = "  ".join(
                f"{d}: {np.mean(sampled[:, j]):.4g} ({np.mean(exact[:, j]):.4g})"
                if j in there
                else f"{d}: not within {readouts}"
                for j, d in enumerate(sizes)
            )
            print(f"  time to {name} error {figure:.3g}, sampled (expected): {listed}")
            if len(there) < 2:
                print("    too few of them for a power")
                continue
            d = np.array(sizes, dtype=float)[there]
            slopes, known = power(d, sampled[:, there]), power(d, exact[:, there])
            half = interval(slopes, 0.95)
            apart, allowed = abs(float((slopes - known).mean())), interval(slopes - known, 0.999)
            wrong += bool(apart > allowed)
            print(
                f"    power of d: {slopes.mean():.3f} +- {half:.3f} sampled, {known.mean():.3f} expected; published: "
                f"{published}{'  <-- apart' if apart > allowed else ''}"
            )
    print(f"\n{'as expected' if not wrong else f'{wrong} not as expected'}; {time.perf_counter() - started:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
