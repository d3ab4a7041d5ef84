"""Log determinants by work: Bennett's estimate against numpy's, its error bar, and one-sided Jarzynski beside it.

    python benchmarks/determinants.py --seeds 40 --pairs 200 --dimensions 2,4,8,16,32,64 --conditions 1,100,10000

A line for each dimension and condition: the median error of the log determinant and of its bar, the mean and standard
deviation of errors over bars, how many bars a Kolmogorov-Smirnov test (p) would call a normal's, and how many runs were
called too fast. From condition 100 on also Jarzynski's: the root mean square error of forward runs alone that take the
same device time in all (twice as many, and more where forward ones rest less), over Bennett's; and of errors over its
own naive bars. Matrices have random eigenvectors and eigenvalues spaced geometrically.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import stats

import spu
from spu.emulator.laws.work import REST, slowest
from spu.studies.algebra.determinant import Runs, bennett, jarzynski


def definite(n: int, condition: float, seed: int) -> np.ndarray:
    """A random symmetric positive definite matrix."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    return np.asarray((basis * np.geomspace(1.0, condition, n)) @ basis.T)


def line(n: int, condition: float, seeds: int, pairs: int, architecture: str | None, hurry: float) -> str:
    """One row of the table."""
    started = time.perf_counter()
    device = spu.compile(spu.Determinant(definite(n, condition, n)), architecture=architecture)
    if device.ramp is None:
        return f"{n:4d} {condition:8.0f} {device.architecture:20s} no couplers"
    if hurry != 1.0:
        device.ramp = spu.Ramp(device.ramp.times / hurry, couplers=device.ramp.couplers)
    runs = Runs(device)
    potential = runs.potential
    exact = device.problem.log_determinant
    alone = device.ramp.duration + REST * slowest(potential, potential.ramp.start[0])
    more = int(pairs * runs.pair / alone)
    errors, bars, z, hurried, lost, one, one_z = [], [], [], 0, 0.0, [], []
    for seed in range(seeds):
        ahead, back = runs.works(pairs, seed)
        found = bennett(ahead, back)
        error = potential.reference + 2 * potential.sign * found.free_energy - exact
        errors.append(error)
        bar = 2 * found.standard_error
        bars.append(bar)
        z.append(error / bar if bar > 1e-9 else 0.0 if abs(error) < 1e-8 else np.inf)  # of couplers of rounding, none
        hurried += found.hurried
        lost += float(ahead.mean() - found.free_energy) / seeds
        if condition >= 100:
            estimate, naive = jarzynski(runs.ahead(more, seed))
            one.append(potential.reference + 2 * potential.sign * estimate - exact)
            one_z.append(one[-1] / (2 * naive))
    p = stats.kstest(z, "norm").pvalue if np.any(z) and max(bars) > 1e-9 else np.nan
    root = float(np.sqrt(np.mean(np.square(errors))))
    said = (
        f"{n:4d} {condition:8.0f} {device.architecture:20s} {runs.jumps:5d} {lost:6.2f} {root:9.4f} "
        f"{np.median(bars):9.4f} {np.mean(z):6.2f} {np.std(z):5.2f} {p:8.3g} {hurried:4d}"
    )
    if one:
        said += f" {np.sqrt(np.mean(np.square(one))) / root:7.2f} {np.std(one_z):6.2f}"
    return f"{said}  ({time.perf_counter() - started:.0f} s)"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, default=40)
    options.add_argument("--pairs", type=int, default=200)
    options.add_argument("--dimensions", default="2,4,8,16,32,64")
    options.add_argument("--conditions", default="1,10,100,1000,10000")
    options.add_argument("--architecture", default="rc-transconductor", help="or auto, for what compile chooses")
    options.add_argument("--hurry", type=float, default=1.0, help="run ramps so many times faster than compiled")
    given = options.parse_args()
    architecture = None if given.architecture == "auto" else given.architecture
    print(
        "   n condition architecture         jumps   lost rms error       bar mean z std z        p fast  jarz/b  std z"
    )
    for n in map(int, given.dimensions.split(",")):
        for condition in map(float, given.conditions.split(",")):
            print(line(n, condition, given.seeds, given.pairs, architecture, given.hurry), flush=True)


if __name__ == "__main__":
    main()
