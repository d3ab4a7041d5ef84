"""How often does level `noise` of `check` cry wolf? Many runs of ngspice on correct devices, and their p-values.

    python benchmarks/false_alarms.py --runs 20

Every run has its own seed. Printed for each kind of test: how its p-values lie, and the p-value of a
Kolmogorov-Smirnov test that they are uniform. Kinds whose members depend on one another (variances, covariances and
means of coupled cells) are bounded, not uniform: their p-values may only be too large.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from scipy.stats import kstest

import spu

PRECISION = [[2.0, -0.5, -0.6], [-0.5, 1.5, -0.4], [-0.6, -0.4, 1.8]]

BOUNDED = ("variances", "covariances", "means")


def devices() -> dict[str, spu.Device]:
    """One of each architecture, small: what is tested does not depend on the size."""
    gaussian = spu.GaussianSampling(precision=PRECISION)
    return {
        "rlc-capacitive": spu.compile(gaussian, architecture="rlc-capacitive"),
        "rc-resistive": spu.compile(spu.LinearSystem(PRECISION, [1.0, -2.0, 0.5]), architecture="rc-resistive"),
        "rc-transconductor": spu.compile(gaussian, architecture="rc-transconductor"),
        "rlc at spu8": spu.compile(gaussian, hardware="spu8"),
    }


def main() -> int:
    """Run and print; exit status 1 where a check failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="for each device")
    arguments = parser.parse_args()
    found: dict[tuple[str, str], list[float]] = {}
    verdicts: dict[str, int] = {}
    started = time.perf_counter()
    for name, device in devices().items():
        for run in range(arguments.runs):
            level = spu.check(device, levels=["noise"], seed=1000 * run + 7).levels["noise"]
            verdicts[level.verdict] = verdicts.get(level.verdict, 0) + 1
            for group, tests in level.data["tests"].items():
                for test in tests:
                    found.setdefault((group, test["name"]), []).append(test["p_value"])
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    total = sum(verdicts.values())
    print(f"{total} runs: {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}")
    print(f"{'group':12s} {'kind':20s} {'smallest':>9s} {'median':>7s} {'uniform?':>9s}")
    for (group, kind), values in found.items():
        side = "less" if kind in BOUNDED else "two-sided"  # bounded: only too many small ones would be wrong
        p = kstest(values, "uniform", alternative="greater" if side == "less" else side).pvalue
        print(f"{group:12s} {kind:20s} {min(values):9.1e} {np.median(values):7.2f} {p:9.2f}")
    return int(set(verdicts) != {"pass"})


if __name__ == "__main__":
    sys.exit(main())
